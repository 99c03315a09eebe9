"""The plan loses nothing, does nothing twice and runs nothing too early, whatever the order of events."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import reduce

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from encord_async.engine.outcome import Outcome, RoleKept, Status, worst
from encord_async.engine.schedule import Schedule
from encord_async.engine.ticket import Batch, Creation, Result, Ticket, Wish, Work, tickets_of
from encord_async.errors import BlockedError, ManifestError, NotFoundError
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.group import MEMBERS, GroupEntry
from encord_async.kinds.membership import Membership
from encord_async.kinds.namer import Namer
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import PROJECT, APIKeyWish, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import API_KEY, ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import DATASETS, ProjectDatasetsEntry
from encord_async.kinds.project_groups import GROUPS, ProjectGroupsEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.kinds.step import Step
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole

ADMIN, REVIEWER = ProjectUserRole.ADMIN, ProjectUserRole.REVIEWER

# --- manifests --------------------------------------------------------------------------------------------------------

DATASET_KEYS = ("d1", "d2", "d3")
PROJECT_KEYS = ("p1", "p2")
ONTOLOGY_KEYS = ("o1",)
GROUP_KEYS = ("g1", "g2")
USER_KEYS = ("u1",)

titles = st.sampled_from(["Cats", "Dogs"])
roles = st.sampled_from([ADMIN, REVIEWER])
emails = st.sampled_from(["a@example.com", "b@example.com", "c@example.com"])
scopes = st.just((APIKeyScope.LABEL_READ,))
# The last of each is a reference to nothing; of the others, only those that were drawn stand for an entry.
datasets = st.sampled_from([*(f"@{key}" for key in DATASET_KEYS), "dataset-hash", "@nothing"])
projects = st.sampled_from([*(f"@{key}" for key in PROJECT_KEYS), "project-hash", "@no-project"])
ontologies = st.sampled_from([*(f"@{key}" for key in ONTOLOGY_KEYS), "ontology-hash", "@no-ontology"])
groups = st.sampled_from([*(f"@{key}" for key in GROUP_KEYS), "group-hash", "@no-group"])
colleagues = st.sampled_from([*(f"@{key}" for key in USER_KEYS), "c@example.com", "@nobody"])
# No project is copied from one that is copied from it: such manifests are bad, and never come here.
templates: dict[str | None, st.SearchStrategy[str | None]] = {
    None: st.none() | projects,
    "p1": st.sampled_from([None, "project-hash", "@no-project"]),
    "p2": st.sampled_from([None, "project-hash", "@p1"]),
}


def some(strategy: st.SearchStrategy[str], *, least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    """A few of *strategy*, repetitions among them."""
    return st.lists(strategy, min_size=least, max_size=3).map(tuple)


def project_entries(key: str | None) -> st.SearchStrategy[Entry]:
    """Projects with all that a project can have."""
    return st.builds(
        ProjectEntry,
        key=st.just(key),
        title=titles,
        datasets=some(datasets),
        ontology=st.none() | ontologies,
        copy_of=templates[key],
        users=st.lists(st.builds(UserWish, email=emails, role=roles), max_size=3).map(tuple),
        api_keys=st.lists(st.builds(APIKeyWish, title=titles, scopes=scopes), max_size=2).map(tuple),
    )


keyless: st.SearchStrategy[Entry] = st.one_of(
    st.builds(DatasetEntry, title=titles),
    project_entries(None),
    st.builds(ProjectDatasetsEntry, project=projects, add=some(datasets), remove=some(datasets)),
    st.builds(ProjectUsersEntry, project=projects, emails=some(emails, least=1), role=roles, remove=some(emails)),
    st.builds(ProjectGroupsEntry, project=projects, add=some(groups, least=1), role=roles, remove=some(groups)),
    st.builds(OntologyEntry, title=titles),
    st.builds(GroupEntry, name=titles, members=some(colleagues)),
    st.builds(OrganisationUserEntry, email=emails),
    st.builds(ProjectAPIKeyEntry, project=projects, title=titles, scopes=scopes),
)


@st.composite
def manifests(draw: st.DrawFn) -> list[Entry]:
    """Entries of all kinds in any order, with references before and after what they name, and to nothing."""
    entries = draw(st.lists(keyless, max_size=10))
    for key in draw(st.sets(st.sampled_from(DATASET_KEYS))):
        entries.append(DatasetEntry(key=key, title=draw(titles)))
    for key in draw(st.sets(st.sampled_from(PROJECT_KEYS))):
        entries.append(draw(project_entries(key)))
    for key in draw(st.sets(st.sampled_from(ONTOLOGY_KEYS))):
        entries.append(OntologyEntry(key=key, title=draw(titles)))
    for key in draw(st.sets(st.sampled_from(GROUP_KEYS))):
        entries.append(GroupEntry(key=key, name=draw(titles), members=draw(some(colleagues))))
    for key in draw(st.sets(st.sampled_from(USER_KEYS))):
        entries.append(OrganisationUserEntry(key=key, email=draw(emails)))
    return draw(st.permutations(entries))


ITEM_IS_A_REFERENCE = {
    DATASETS.give,
    DATASETS.take,
    GROUPS.give,
    GROUPS.take,
    MEMBERS.give,
}

# --- a run of the plan ------------------------------------------------------------------------------------------------


@dataclass
class Driver:
    """Plays the run and the service to a plan, in a random order, and checks what the plan hands out."""

    manifest: Sequence[Entry]
    chance: random.Random
    max_batch: int
    plan: Schedule = field(init=False)
    running: list[Work] = field(default_factory=list)
    read: int = 0
    now_s: float = 0.0
    cancelled: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    results: dict[tuple[int, bytes], Result] = field(default_factory=dict)
    """What each step was said to have ended in, by the number of its entry and its identity."""
    made: dict[str, str] = field(default_factory=dict)
    """Hashes of the entries that came about, by key."""
    started: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    sent_back: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    namer: Namer = field(default_factory=Namer)

    def __post_init__(self) -> None:
        self.plan = Schedule(max_batch=self.max_batch, most_whole=self.chance.choice((0, 3, 5000)))

    # ------------------------------------------------------------------ events

    def add(self) -> None:
        """Read one entry; some of its steps may be known from a run before."""
        entry = self.manifest[self.read]
        self.read += 1
        identity = self.namer.identity(entry)
        steps = list(entry.steps(identity))
        known = self.known(steps) if self.chance.random() < 0.2 else {}
        for step in steps:
            if step.identity in known:
                self.note(self.read, entry, step, known[step.identity])
        self.plan.add(entry, steps, number=self.read, place=f"entry {self.read}", identity=identity, known=known)

    def known(self, steps: Sequence[Step]) -> dict[bytes, Result]:
        """Results as a journal could have them: nothing of a project's is known without the project."""
        found: dict[bytes, Result] = {}
        for step in steps:
            if self.chance.random() < 0.5:
                found[step.identity] = self.result(step)
            elif step.kind.stands_for_entry:
                break
            if step.kind.stands_for_entry and not found[step.identity].status.satisfied:
                break
        return found

    def take(self) -> None:
        """Ask for work and check that it may run."""
        work = self.plan.next(self.now_s)
        if work is None:
            return
        assert not self.cancelled
        self.running.append(work)
        for ticket in tickets_of(work):
            self.check(ticket)
        if isinstance(work, Batch):
            assert 1 <= len(work.tickets) <= self.max_batch
            assert {ticket.step.kind for ticket in work.tickets} == {work.lane.kind}
            assert {ticket.parent_hash for ticket in work.tickets} == {work.lane.parent_hash}
            assert {ticket.step.role for ticket in work.tickets} == {work.lane.role}
            assert isinstance(work.lane.kind, Membership)
        else:
            assert not isinstance(work.ticket.step.kind, Membership)

    def let_go(self) -> None:
        """Nothing else can be done, or the first outcomes are waited for."""
        self.plan.let_go(stuck=self.chance.random() < 0.5)

    def check(self, ticket: Ticket) -> None:
        """Nothing runs twice, and nothing before what it needs has a hash, which the ticket carries."""
        name = ticket.wish.number, ticket.step.identity
        assert name not in self.results
        assert self.started[name] == self.sent_back[name]
        self.started[name] += 1
        step, entry = ticket.step, self.manifest[ticket.wish.number - 1]
        if step.kind is PROJECT:
            assert isinstance(entry, ProjectEntry)
            assert ticket.items == tuple(dict.fromkeys(map(self.hash_of, entry.datasets)))
            assert (ticket.links or {}).get("ontology") == (
                None if entry.ontology is None else self.hash_of(entry.ontology)
            )
            assert (ticket.links or {}).get("copy_of") == (
                None if entry.copy_of is None else self.hash_of(entry.copy_of)
            )
        elif not step.kind.stands_for_entry:
            own = (ticket.wish.number, next(iter(entry.steps(ticket.wish.identity))).identity)
            wanted = self.results[own].hash if step.parent is None else self.hash_of(step.parent)
            assert ticket.parent_hash == wanted
        if step.kind in ITEM_IS_A_REFERENCE:
            assert ticket.items == (self.hash_of(step.item),)

    def hash_of(self, reference: str) -> str:
        """What a reference has turned out to be."""
        key = referenced_key(reference)
        return reference if key is None else self.made[key]

    def end(self) -> None:
        """Let some running work end, be split or be put off."""
        if not self.running:
            return
        work = self.running.pop(self.chance.randrange(len(self.running)))
        fate = self.chance.random()
        if fate < 0.2 and len(tickets_of(work)) > 1:
            assert isinstance(work, Batch)
            self.send_back(work, Result(status=Status.CANCELLED))
            self.plan.split(work)
        elif fate < 0.3:
            otherwise = Result(status=Status.IN_DOUBT, error=NotFoundError("who knows"))
            self.send_back(work, otherwise)
            self.plan.postpone(work, self.now_s + self.chance.randrange(3), otherwise=otherwise)
        else:
            results = [(ticket, self.result(ticket.step)) for ticket in tickets_of(work)]
            for ticket, result in results:
                self.note(ticket.wish.number, self.manifest[ticket.wish.number - 1], ticket.step, result)
            self.plan.finish(work, results)

    def send_back(self, work: Work, if_cancelled: Result) -> None:
        """Note that *work* is to come again, or ends so if the run is stopped."""
        for ticket in tickets_of(work):
            name = ticket.wish.number, ticket.step.identity
            self.sent_back[name] += 1
            if self.cancelled:
                self.results[name] = if_cancelled

    def result(self, step: Step) -> Result:
        """A result as the service could give it."""
        if self.chance.random() < 0.25:
            status = self.chance.choice([Status.FAILED, Status.IN_DOUBT])
            return Result(status=status, error=NotFoundError("gone"))
        if not isinstance(step.kind, Membership):
            hash_ = None if step.kind is API_KEY else f"{step.kind}-{self.chance.random()}"
            return Result(status=self.chance.choice([Status.CREATED, Status.ADOPTED]), hash=hash_)
        return Result(status=self.chance.choice([Status.UPDATED, Status.UNCHANGED]))

    def note(self, number: int, entry: Entry, step: Step, result: Result) -> None:
        """Note what a step has ended in."""
        self.results[number, step.identity] = result
        if step.kind.stands_for_entry and result.hash is not None and entry.key is not None:
            self.made[entry.key] = result.hash

    def cancel(self) -> None:
        """Stop the run."""
        self.cancelled = True
        for _, _, work, otherwise in self.plan._postponed:
            for ticket in tickets_of(work):
                self.results[ticket.wish.number, ticket.step.identity] = otherwise
        self.plan.cancel()

    # ------------------------------------------------------------------ the whole

    def run(self, *, cancels: bool) -> None:
        """Play all events in a random order until nothing is left to do."""
        events: list[Callable[[], None]] = [self.add, self.take, self.take, self.end, self.let_go]
        cancel_at = self.chance.randrange(len(self.manifest) * 6 + 2) if cancels else -1
        moment = 0
        while self.read < len(self.manifest) or not self.plan.idle:
            if moment == cancel_at:
                self.cancel()
            if self.read == len(self.manifest):
                self.now_s = max(self.now_s, self.plan.next_due_s or 0.0)
                events = events[1:] if self.add in events else events
            self.chance.choice(events)()
            self.settle()
            moment += 1
        if cancels and not self.cancelled:
            self.cancel()
        if not self.cancelled:
            self.plan.end_of_manifest()
        self.settle()

    def settle(self) -> None:
        """Take the outcomes, and check what holds at any moment."""
        self.outcomes += self.plan.take_outcomes()
        assert self.plan.open_entries >= self.plan.parked_entries >= 0
        assert self.plan.open_entries >= self.plan.lying_entries >= 0
        assert self.plan.open_entries + len(self.outcomes) == self.read
        if self.plan.idle:
            # Otherwise a bounded read-ahead could be full of entries that nothing but reading on can bring forward.
            assert self.plan.parked_entries == self.plan.open_entries
        self.now_s += self.chance.random()


@dataclass(frozen=True)
class Expectation:
    """What should have become of an entry, as told from the results of the steps alone."""

    statuses: frozenset[Status]
    blockers: frozenset[str]


def expect(driver: Driver, number: int) -> Expectation:
    """The status that the entry should have; where a step is both blocked and refers to nothing, either will do."""
    entry = driver.manifest[number - 1]
    keys = {other.key for other in driver.manifest if other.key is not None}
    ended: list[Status] = []
    either: list[frozenset[Status]] = []
    blockers: set[str] = set()
    own_failed = False
    for step in entry.steps(identities_of(driver.manifest)[number - 1]):
        result = driver.results.get((number, step.identity))
        if result is not None:
            ended.append(result.status)
        else:
            missing = [ref for ref in needs(entry, step) if (key := referenced_key(ref)) and key not in driver.made]
            if step.parent is None and not step.kind.stands_for_entry and own_failed:
                missing.append("what the same entry makes")
            assert missing, f"{step} of entry {number} was not run, although all it needs is there"
            blockers.update(missing)
            orphan = {Status.FAILED} if any(ref[1:] not in keys for ref in missing if ref[0] == "@") else set()
            dead = {Status.BLOCKED} if any(ref[0] != "@" or ref[1:] in keys for ref in missing) else set()
            either.append(frozenset(orphan | dead))
        if step.kind.stands_for_entry:
            own_failed = result is None or not result.status.satisfied
    base = reduce(worst, ended, Status.UNCHANGED)
    statuses = {base}
    for choice in either:
        statuses = {worst(status, more) for status in statuses for more in choice}
    return Expectation(frozenset(statuses), frozenset(blockers))


def needs(entry: Entry, step: Step) -> list[str]:
    """The references that *step* cannot do without."""
    if isinstance(entry, ProjectEntry) and step.kind is PROJECT:
        return [*entry.datasets, *(one for one in (entry.ontology, entry.copy_of) if one is not None)]
    items = [step.item] if step.kind in ITEM_IS_A_REFERENCE else []
    return [*items, *([step.parent] if step.parent else [])]


def identities_of(manifest: Sequence[Entry]) -> list[bytes]:
    """The identity of each entry."""
    namer = Namer()
    return [namer.identity(entry) for entry in manifest]


def assert_nothing_left(plan: Schedule, *, keys: int = 0) -> None:
    """Nothing but the keys is remembered."""
    assert plan.idle
    assert (plan.open_entries, plan.parked_entries, plan.next_due_s) == (0, 0, None)
    sizes = {name: len(value) for name, value in vars(plan).items() if isinstance(value, Sized)}
    assert sizes.pop("_named") == keys
    # Of each phase there is a number, and a list.
    assert sizes.pop("_open_steps") == sizes.pop("_held")
    assert not any(plan._open_steps)
    assert not any(plan._held)
    assert set(sizes.values()) == {0}


# --- whatever happens -------------------------------------------------------------------------------------------------


@given(manifests(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_every_entry_ends_once_and_as_it_should(manifest: list[Entry], chance: random.Random, max_batch: int) -> None:
    """Whatever fails and in whatever order: one outcome an entry, and blocked exactly if what it needs is missing."""
    driver = Driver(manifest, chance, max_batch)
    driver.run(cancels=False)
    assert sorted(outcome.number for outcome in driver.outcomes) == list(range(1, len(manifest) + 1))
    for outcome in driver.outcomes:
        entry = manifest[outcome.number - 1]
        expected = expect(driver, outcome.number)
        assert outcome.status in expected.statuses
        assert (outcome.kind, outcome.key, outcome.place) == (entry.kind, entry.key, f"entry {outcome.number}")
        assert (outcome.error is None) == outcome.status.satisfied
        assert (outcome.blocked_by is not None) == (outcome.status is Status.BLOCKED)
        if outcome.status is Status.BLOCKED:
            assert isinstance(outcome.error, BlockedError)
            assert outcome.blocked_by in expected.blockers
            assert str(outcome.blocked_by) in outcome.error.message
        event(outcome.status.value)
    assert driver.plan.parked_entries == driver.plan.open_entries == 0


@given(manifests(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_cancelled_at_any_moment(manifest: list[Entry], chance: random.Random, max_batch: int) -> None:
    """After a cancel nothing starts, what is under way counts, and still every entry ends once."""
    driver = Driver(manifest, chance, max_batch)
    driver.run(cancels=True)
    assert sorted(outcome.number for outcome in driver.outcomes) == list(range(1, len(manifest) + 1))
    for outcome in driver.outcomes:
        entry = manifest[outcome.number - 1]
        results = [
            driver.results.get((outcome.number, step.identity))
            for step in entry.steps(identities_of(manifest)[outcome.number - 1])
        ]
        reported = reduce(worst, [result.status for result in results if result], Status.UNCHANGED)
        # Whatever was not run is blocked or cancelled.
        possible = {worst(reported, Status.CANCELLED), worst(reported, Status.BLOCKED)}
        assert outcome.status in (possible if None in results else {reported})
    assert (driver.plan.parked_entries, driver.plan.open_entries, driver.plan.idle) == (0, 0, True)


@given(manifests(), st.randoms(use_true_random=False))
def test_a_manifest_without_mistakes_on_a_service_without_faults(manifest: list[Entry], chance: random.Random) -> None:
    """If nothing fails, every entry is satisfied whose references have an entry, in whatever order they stand."""

    class Kind(Driver):
        def result(self, step: Step) -> Result:
            return Result(status=Status.UPDATED, hash=f"{step.kind}-hash" if step.kind.stands_for_entry else None)

    good, before = manifest, -1
    while len(good) != before:
        before, keys = len(good), {entry.key for entry in good}
        good = [one for one in good if {referenced_key(name) for name in named(one)} <= {*keys, None}]
    driver = Kind(good, chance, 3)
    driver.run(cancels=False)
    assert all(outcome.status.satisfied for outcome in driver.outcomes)


def named(entry: Entry) -> list[str]:
    """All references of an entry."""
    return [use.reference for use in entry.references()]


# --- single stories ---------------------------------------------------------------------------------------------------


def fill(plan: Schedule, entries: Iterable[Entry], *, known: Mapping[bytes, Result] | None = None) -> None:
    """Add all entries."""
    namer = Namer()
    for number, entry in enumerate(entries, 1):
        identity = namer.identity(entry)
        steps = entry.steps(identity)
        plan.add(entry, steps, number=number, place=f"entry {number}", identity=identity, known=known)


def member(project: str, email: str = "a@example.com", role: ProjectUserRole = REVIEWER) -> ProjectUsersEntry:
    """A single membership."""
    return ProjectUsersEntry(project=project, emails=(email,), role=role)


def take(plan: Schedule) -> Work:
    """The next work, which has to be there."""
    work = following(plan)
    assert work is not None
    return work


def following(plan: Schedule) -> Work | None:
    """The next work, also what is let go because there is nothing else."""
    work = plan.next(0.0)
    return plan.next(0.0) if work is None and plan.let_go(stuck=True) else work


def finish(plan: Schedule, work: Work, status: Status, hash_: str | None = None) -> None:
    """Let all steps of *work* end alike."""
    error = None if status.satisfied else NotFoundError("gone")
    plan.finish(work, [(ticket, Result(status=status, hash=hash_, error=error)) for ticket in tickets_of(work)])


def test_a_member_who_did_not_come_about_leaves_the_others_in() -> None:
    """A group whose one member failed before the group was made still gets the other."""
    plan = Schedule(max_batch=10)
    fill(plan, [OrganisationUserEntry(key="u", email="a@example.com")])
    finish(plan, take(plan), Status.FAILED)
    group, namer = GroupEntry(name="G", members=("@u", "b@example.com")), Namer()
    identity = namer.identity(group)
    plan.add(group, group.steps(identity), number=2, place="entry 2", identity=identity)
    finish(plan, take(plan), Status.CREATED, "g")
    work = take(plan)
    assert [(ticket.parent_hash, ticket.items) for ticket in tickets_of(work)] == [("g", ("b@example.com",))]
    finish(plan, work, Status.UPDATED)
    assert [outcome.status for outcome in plan.take_outcomes()] == [Status.FAILED, Status.BLOCKED]


def test_memberships_of_one_project_and_role_gather() -> None:
    """What is ready together for one project and role goes out together; other roles and projects do not mix in."""
    plan = Schedule(max_batch=100)
    plan_entries = [member("p", f"{n}@example.com", role) for n in range(5) for role in (ADMIN, REVIEWER)]
    fill(plan, [*plan_entries, member("q")])
    found = [take(plan) for _ in range(3)]
    assert all(isinstance(work, Batch) for work in found)
    assert sorted(len(tickets_of(work)) for work in found) == [1, 5, 5]
    assert following(plan) is None


def test_groups_are_taken_off_a_hundred_at_a_time() -> None:
    """One piece of work is one request: what a request cannot hold is another piece, which may end otherwise."""
    plan = Schedule(max_batch=1000)
    groups = tuple(f"g{number}" for number in range(150))
    fill(plan, [ProjectGroupsEntry(project="p", add=(), remove=groups)])
    assert [len(tickets_of(take(plan))) for _ in range(2)] == [100, 50]


def test_lanes_take_turns() -> None:
    """A project with very many memberships does not keep the others waiting."""
    plan = Schedule(max_batch=2)
    fill(plan, [*(member("big", f"{n}@example.com") for n in range(6)), member("small")])
    plan.end_of_manifest()
    lanes = [work.lane.parent_hash for work in (take(plan) for _ in range(4)) if isinstance(work, Batch)]
    assert lanes == ["big", "small", "big", "big"]


def test_creations_come_first() -> None:
    """What others wait for is made before memberships are sent."""
    plan = Schedule(max_batch=10)
    fill(plan, [member("p"), DatasetEntry(title="Cats")])
    assert isinstance(take(plan), Creation)
    assert isinstance(take(plan), Batch)


def test_datasets_go_into_the_create_call() -> None:
    """A project waits for the datasets it names, before or after it, and gets their hashes in the order written."""
    plan = Schedule(max_batch=10)
    fill(
        plan,
        [
            DatasetEntry(key="one", title="1"),
            ProjectEntry(key="p", title="P", datasets=("@two", "hash", "@one", "@two")),
            DatasetEntry(key="two", title="2"),
        ],
    )
    one, two = take(plan), take(plan)
    finish(plan, two, Status.CREATED, "hash-two")
    assert following(plan) is None
    finish(plan, one, Status.ADOPTED, "hash-one")
    work = take(plan)
    assert isinstance(work, Creation)
    assert work.ticket.items == ("hash-two", "hash", "hash-one")
    finish(plan, work, Status.CREATED, "hash-p")
    assert {outcome.hash for outcome in plan.take_outcomes()} == {"hash-one", "hash-two", "hash-p"}


def test_a_long_chain_of_blocks_names_each_link() -> None:
    """If a dataset fails, its project is blocked by it, and the project's members are blocked by the project."""
    plan = Schedule(max_batch=10)
    fill(plan, [DatasetEntry(key="d", title="D"), ProjectEntry(key="p", title="P", datasets=("@d",)), member("@p")])
    finish(plan, take(plan), Status.FAILED)
    dataset, project, users = plan.take_outcomes()
    assert (dataset.status, project.status, users.status) == (Status.FAILED, Status.BLOCKED, Status.BLOCKED)
    assert (project.blocked_by, users.blocked_by) == ("@d", "@p")
    assert str(project.error) == "not tried: @d failed: gone"
    assert str(users.error) == "not tried: @p blocked by @d"


def test_what_comes_after_a_failure_is_blocked_too() -> None:
    """An entry that is read long after what it needs has failed learns why all the same."""
    plan = Schedule(max_batch=10)
    fill(plan, [DatasetEntry(key="d", title="D")])
    finish(plan, take(plan), Status.IN_DOUBT)
    plan.add(
        ProjectEntry(title="P", datasets=("@d",)),
        ProjectEntry(title="P", datasets=("@d",)).steps(b"2"),
        number=2,
        place="entry 2",
        identity=b"2",
    )
    assert str(plan.take_outcomes()[-1].error) == "not tried: @d in doubt: gone"


def test_reference_to_nothing_fails_at_the_end() -> None:
    """An entry that refers to a key which never comes fails when the manifest ends, not before, and says what to do."""
    plan = Schedule(max_batch=10)
    fill(plan, [ProjectEntry(key="p", title="P", datasets=("@d",)), member("@p")])
    assert (plan.open_entries, plan.parked_entries) == (2, 2)
    assert plan.take_outcomes() == []
    plan.end_of_manifest()
    project, users = plan.take_outcomes()
    assert isinstance(project.error, ManifestError)
    assert "refers to @d, and no entry has that key" in project.error.message
    assert (users.status, users.blocked_by) == (Status.BLOCKED, "@p")
    assert (plan.open_entries, plan.parked_entries) == (0, 0)


def test_waiting_through_others_is_parked_too() -> None:
    """Members of a project whose dataset is still to be read do not fill the read-ahead: reading on is what helps."""
    plan = Schedule(max_batch=10)
    project = ProjectEntry(key="p", title="P", datasets=("@d", "@e"), users=(UserWish(email="u@e.com", role=ADMIN),))
    fill(plan, [member("@p"), project, *(member("@p") for _ in range(20)), DatasetEntry(key="e", title="E")])
    assert (plan.open_entries, plan.parked_entries) == (23, 22)
    dataset = DatasetEntry(key="d", title="D")
    plan.add(dataset, dataset.steps(b"24"), number=24, place="", identity=b"24")
    assert (plan.open_entries, plan.parked_entries) == (24, 0)


def test_second_entry_with_a_key_is_refused() -> None:
    """Two entries cannot have one key, and the second leaves no trace."""
    plan = Schedule(max_batch=10)
    fill(plan, [DatasetEntry(key="d", title="D")])
    with pytest.raises(ManifestError, match="two entries have the key 'd'"):
        plan.add(DatasetEntry(key="d", title="E"), [], number=2, place="", identity=b"2")
    assert plan.open_entries == 1


def test_key_that_came_after_the_cancel() -> None:
    """An entry that was on its way when the run was stopped is cancelled, also if others had waited for it."""
    plan = Schedule(max_batch=10)
    fill(plan, [ProjectEntry(title="P", datasets=("@d",))])
    plan.cancel()
    late = DatasetEntry(key="d", title="D")
    plan.add(late, late.steps(b"2"), number=2, place="", identity=b"2")
    assert [outcome.status for outcome in plan.take_outcomes()] == [Status.CANCELLED, Status.CANCELLED]


def test_work_under_way_counts_after_a_cancel() -> None:
    """What was sent before the stop ends as the service says; who waited for it is cancelled, not blocked."""
    plan = Schedule(max_batch=10)
    fill(plan, [DatasetEntry(key="d", title="D"), ProjectEntry(key="p", title="P", datasets=("@d",)), member("@p")])
    work = take(plan)
    plan.cancel()
    assert plan.take_outcomes() == []
    finish(plan, work, Status.CREATED, "hash")
    assert {outcome.number: outcome.status for outcome in plan.take_outcomes()} == {
        1: Status.CREATED,
        2: Status.CANCELLED,
        3: Status.CANCELLED,
    }
    assert plan.idle


@pytest.mark.parametrize("order", ["before", "after"])
def test_postponed_work_ends_otherwise_when_cancelled(order: str) -> None:
    """Something in doubt that waits to be looked up stays in doubt if the run is stopped before or meanwhile."""
    plan = Schedule(max_batch=10)
    fill(plan, [DatasetEntry(key="d", title="D")])
    work = take(plan)
    otherwise = Result(status=Status.IN_DOUBT, error=NotFoundError("?"), candidates=("h1", "h2"))
    if order == "before":
        plan.cancel()
    plan.postpone(work, 5.0, otherwise=otherwise)
    if order == "after":
        assert (plan.next_due_s, plan.idle, plan.next(4.9)) == (5.0, False, None)
        plan.cancel()
    [outcome] = plan.take_outcomes()
    assert (outcome.status, outcome.candidates) == (Status.IN_DOUBT, ("h1", "h2"))
    assert_nothing_left(plan, keys=1)


def test_postponed_work_is_due_in_order() -> None:
    """Postponed work comes again when its time has come, the earliest first, before anything else."""
    plan = Schedule(max_batch=10)
    fill(plan, [DatasetEntry(title="late"), DatasetEntry(title="soon"), DatasetEntry(title="fresh")])
    late, soon = take(plan), take(plan)
    plan.postpone(late, 9.0, otherwise=Result(status=Status.IN_DOUBT))
    plan.postpone(soon, 5.0, otherwise=Result(status=Status.IN_DOUBT))
    assert plan.next_due_s == 5.0
    assert plan.next(9.0) is soon
    assert plan.next(9.0) is late


def test_steps_known_from_before_are_not_run_again() -> None:
    """A resumed run takes over what the journal has, and those who refer to it go on with its hash."""
    plan = Schedule(max_batch=10)
    project = ProjectEntry(key="p", title="P", users=(UserWish(email="a@example.com", role=ADMIN),))
    create, user = project.steps(Namer().identity(project))
    known = {
        create.identity: Result(status=Status.CREATED, hash="hash"),
        user.identity: Result(status=Status.UPDATED),
    }
    fill(plan, [project, member("@p", "b@example.com")], known=known)
    work = take(plan)
    assert [(ticket.step.item, ticket.parent_hash) for ticket in tickets_of(work)] == [("b@example.com", "hash")]
    [outcome] = plan.take_outcomes()
    assert (outcome.status, outcome.hash) == (Status.CREATED, "hash")


def test_an_entry_without_steps_is_unchanged() -> None:
    """An entry that asks for nothing ends at once."""
    plan = Schedule(max_batch=10)
    fill(plan, [ProjectDatasetsEntry(project="p")])
    assert [outcome.status for outcome in plan.take_outcomes()] == [Status.UNCHANGED]


def test_all_kept_roles_are_told() -> None:
    """An entry with several members says of each one who keeps another role."""
    plan = Schedule(max_batch=10)
    fill(plan, [ProjectUsersEntry(project="p", emails=("a@example.com", "b@example.com"), role=ADMIN)])
    work = take(plan)
    kept = [RoleKept(email=ticket.step.item, wanted="admin", held="reviewer") for ticket in tickets_of(work)]
    error = NotFoundError("kept")
    plan.finish(
        work,
        [
            (ticket, Result(status=Status.FAILED, error=error, role_kept=one))
            for ticket, one in zip(tickets_of(work), kept, strict=True)
        ],
    )
    [outcome] = plan.take_outcomes()
    assert (outcome.role_kept, outcome.status, outcome.error) == (tuple(kept), Status.FAILED, error)


def test_the_worst_step_speaks_for_the_entry() -> None:
    """An entry of which a member failed and another is in doubt is in doubt, and says why that is."""
    plan = Schedule(max_batch=1)
    fill(plan, [ProjectUsersEntry(project="p", emails=("a@example.com", "b@example.com", "c@example.com"), role=ADMIN)])
    for status, said in ((Status.FAILED, "no"), (Status.IN_DOUBT, "who knows"), (Status.FAILED, "no, too")):
        work = take(plan)
        plan.finish(work, [(tickets_of(work)[0], Result(status=status, error=NotFoundError(said)))])
    [outcome] = plan.take_outcomes()
    assert (outcome.status, str(outcome.error)) == (Status.IN_DOUBT, "who knows")


def test_a_step_without_a_result_is_a_bug() -> None:
    """Work cannot be finished by half: a step that was forgotten raises."""
    plan = Schedule(max_batch=10)
    fill(plan, [member("p"), member("p", "b@example.com")])
    work = take(plan)
    with pytest.raises(AssertionError, match="1 steps were left without a result"):
        plan.finish(work, [(tickets_of(work)[0], Result(status=Status.UPDATED))])


# --- splitting --------------------------------------------------------------------------------------------------------


def calls_to_find(size: int, culprits: set[int]) -> tuple[int, dict[int, Status]]:
    """Play a service that refuses a batch with a culprit in it; the number of calls, and what each entry ended in."""
    plan = Schedule(max_batch=size)
    fill(plan, [member("p", f"{number}@example.com") for number in range(1, size + 1)])
    calls = 0
    while (work := following(plan)) is not None:
        calls += 1
        assert isinstance(work, Batch)
        guilty = {ticket.wish.number for ticket in work.tickets} & culprits
        if guilty and len(work.tickets) > 1:
            plan.split(work)
        else:
            finish(plan, work, Status.FAILED if guilty else Status.UPDATED)
    return calls, {outcome.number: outcome.status for outcome in plan.take_outcomes()}


@given(st.integers(1, 300).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size))))
def test_one_culprit_is_found_in_a_logarithmic_number_of_calls(case: tuple[int, int]) -> None:
    """Of n members one is refused: it alone fails, after at most 2 * ceil(log2 n) + 1 calls."""
    size, culprit = case
    calls, statuses = calls_to_find(size, {culprit})
    assert calls <= 2 * math.ceil(math.log2(size)) + 1
    assert [number for number, status in statuses.items() if status is Status.FAILED] == [culprit]
    assert len(statuses) == size


@given(st.integers(1, 60), st.sets(st.integers(1, 60)))
def test_any_number_of_culprits_is_found(size: int, culprits: set[int]) -> None:
    """However many members are refused, exactly they fail, in fewer than two calls a member."""
    calls, statuses = calls_to_find(size, culprits)
    assert {number for number, status in statuses.items() if status is Status.FAILED} == {
        number for number in culprits if number <= size
    }
    assert calls <= 2 * size - 1


def test_split_of_a_stopped_run_ends() -> None:
    """A batch that is refused after the stop is not tried again."""
    plan = Schedule(max_batch=10)
    fill(plan, [member("p"), member("p", "b@example.com")])
    work = take(plan)
    assert isinstance(work, Batch)
    plan.cancel()
    plan.split(work)
    assert [outcome.status for outcome in plan.take_outcomes()] == [Status.CANCELLED] * 2
    assert following(plan) is None


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.UPDATED, Status.FAILED])
def test_finished_entries_without_a_key_leave_nothing(
    living: Callable[[], list[Wish | Ticket]], status: Status
) -> None:
    """However many memberships have gone through, done or failed, the plan is as empty as before."""
    plan = Schedule(max_batch=1000)
    for _ in range(3):
        fill(plan, (member(f"p{n % 7}", f"{n}@example.com") for n in range(2000)))
        while (work := following(plan)) is not None:
            finish(plan, work, status)
        del work
        assert len(plan.take_outcomes()) == 2000
    assert_nothing_left(plan)
    assert not living()


def test_blocked_entries_leave_nothing() -> None:
    """Memberships of a project that failed are told so and forgotten; of the project, its key and why are kept."""
    plan = Schedule(max_batch=10)
    fill(plan, [ProjectEntry(key="p", title="P"), *(member("@p") for _ in range(1000))])
    finish(plan, take(plan), Status.FAILED)
    assert len(plan.take_outcomes()) == 1001
    fill(plan, (member("@p") for _ in range(1000)))
    assert len(plan.take_outcomes()) == 1000
    assert_nothing_left(plan, keys=1)
