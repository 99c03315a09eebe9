"""How few requests a manifest takes, in whatever order it stands, and what waits for that."""

import gc
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from encord_async.engine.lanes import Expected
from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.run import Run
from encord_async.engine.schedule import Schedule
from encord_async.engine.ticket import Batch, Creation, Result, Ticket, Wish, Work, tickets_of
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.membership import Membership
from encord_async.kinds.namer import Namer
from encord_async.kinds.project import ProjectEntry, UserWish
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.protocol.catalogue import ProjectUserRole
from tests.provision.conftest import Project, Service, all_of, members, open_session, project, users

ROLES = tuple(ProjectUserRole)
KEYS = ("a", "b", "c", None)

# --- any manifest in any order ----------------------------------------------------------------------------------------


def random_manifest(chance: random.Random, size: int) -> list[Entry]:
    """Projects and datasets with keys, and what comes into the projects by their own entries and others."""
    entries: list[Entry] = [
        ProjectEntry(
            key=key,
            title=f"P {number}",
            datasets=tuple(chance.sample(["@d0", "@d1"], chance.randrange(3))),
            users=tuple(
                UserWish(email=f"{n}@example.com", role=chance.choice(ROLES)) for n in range(chance.randrange(4))
            ),
            tags=tuple(chance.sample("xyz", chance.randrange(4))),
        )
        for number, key in enumerate(KEYS)
    ]
    entries += [DatasetEntry(key=f"d{number}", title=f"D {number}") for number in range(6)]
    entries.append(GroupEntry(name="G", members=("u@example.com", "v@example.com")))
    for _ in range(size):
        about = chance.choice(["@a", "@b", "@c", "hash"])
        if chance.random() < 0.8:
            emails = tuple(f"{n}@example.com" for n in chance.sample(range(30), chance.randrange(1, 4)))
            entries.append(ProjectUsersEntry(project=about, emails=emails, role=chance.choice(ROLES)))
        else:
            datasets = tuple(f"@d{n}" for n in chance.sample(range(6), chance.randrange(1, 4)))
            entries.append(ProjectDatasetsEntry(project=about, add=datasets))
    chance.shuffle(entries)
    return entries


def fewest(manifest: Sequence[Entry], max_batch: int) -> int:
    """The creates, and for each lane as many requests as its steps need."""
    steps: Counter[tuple[Membership, object, object]] = Counter()
    creates = 0
    for number, entry in enumerate(manifest):
        for step in entry.steps(b""):
            if isinstance(step.kind, Membership):
                about = step.parent or (entry.key and f"@{entry.key}") or number
                steps[step.kind, about, step.role] += 1
            else:
                creates += 1
    return creates + sum(ceil(number / kind.most(max_batch)) for (kind, _, _), number in steps.items())


class Player:
    """Plays a run of a manifest that is known beforehand, and a service that refuses nothing, in a random order."""

    def __init__(self, manifest: Sequence[Entry], chance: random.Random, max_batch: int) -> None:
        self.schedule = Schedule(max_batch=max_batch, most_whole=chance.choice((0, 3, 5000)))
        expected = Expected()
        for entry in manifest:
            expected.add(entry)
        self.schedule.expect(expected)
        self.manifest = manifest
        self.chance = chance
        self.namer = Namer()
        self.read = self.requests = 0
        self.running: list[Work] = []
        self.outcomes: list[Outcome] = []

    def add(self) -> None:
        """Read an entry."""
        entry, self.read = self.manifest[self.read], self.read + 1
        identity = self.namer.identity(entry)
        self.schedule.add(
            entry, entry.steps(identity), number=self.read, place=f"m.jsonl:{self.read}", identity=identity
        )

    def take(self) -> None:
        """Send something; where there is nothing to be sent, what the run would let go then."""
        work = self.schedule.next(0.0)
        if work is None and not self.running and self.schedule.let_go(stuck=self.read == len(self.manifest)):
            work = self.schedule.next(0.0)
        if work is not None:
            self.requests += 1
            self.running.append(work)

    def end(self) -> None:
        """Some request is answered."""
        if self.running:
            work = self.running.pop(self.chance.randrange(len(self.running)))
            made = f"hash-{self.requests}-{self.chance.random()}" if isinstance(work, Creation) else None
            status = Status.CREATED if made else Status.UPDATED
            self.schedule.finish(work, [(one, Result(status=status, hash=made)) for one in tickets_of(work)])

    def play(self) -> None:
        """To the end."""
        while self.read < len(self.manifest) or not self.schedule.idle:
            events = [self.add, self.take, self.end] if self.read < len(self.manifest) else [self.take, self.end]
            self.chance.choice(events)()
            self.outcomes += self.schedule.take_outcomes()
            if events[0] == self.add and self.read == len(self.manifest):
                self.schedule.end_of_manifest()


@given(st.integers(), st.integers(0, 150), st.integers(1, 20))
def test_any_order_takes_hardly_more_than_the_fewest_requests(seed: int, size: int, max_batch: int) -> None:
    """Of a manifest that is a file, in any order and however fast the service is: at most 1.1 times the fewest."""
    chance = random.Random(seed)
    manifest = random_manifest(chance, size)
    player = Player(manifest, chance, max_batch)
    player.play()
    assert all(outcome.status.satisfied for outcome in player.outcomes)
    assert sorted(outcome.number for outcome in player.outcomes) == list(range(1, len(manifest) + 1))
    assert {one.place for one in player.outcomes} == {f"m.jsonl:{n}" for n in range(1, len(manifest) + 1)}
    least = fewest(manifest, max_batch)
    event(f"{player.requests - least} more")
    assert player.requests <= 1.1 * least


@pytest.mark.parametrize("order", ["by project", "by person", "shuffled"])
def test_many_projects_in_any_order(order: str) -> None:
    """Sixty people in forty projects: a request for each project, however the list is sorted, and however fast."""
    pairs = [(where, who) for where in range(40) for who in range(60)]
    if order == "by person":
        pairs.sort(key=lambda pair: pair[1])
    elif order == "shuffled":
        random.Random(1).shuffle(pairs)
    manifest = [
        ProjectUsersEntry(project=f"p{where}", emails=(f"{who}@example.com",), role=ProjectUserRole.REVIEWER)
        for where, who in pairs
    ]
    for seed in range(3):
        player = Player(manifest, random.Random(seed), 1000)
        player.play()
        assert 40 <= player.requests <= 42


# --- a lane -----------------------------------------------------------------------------------------------------------


def in_turn(number: int, projects: int = 1, key: str | None = None) -> list[Entry]:
    """Memberships of one person each, of the projects in turn."""
    return [
        ProjectUsersEntry(
            key=None if key is None else f"{key}{n}",
            project=f"p{n % projects}",
            emails=(f"{n}@example.com",),
            role=ProjectUserRole.REVIEWER,
        )
        for n in range(number)
    ]


def fill(schedule: Schedule, entries: Sequence[Entry], *, first: int = 1, place: str = "m.jsonl:{}") -> None:
    """Add all of them."""
    namer = Namer()
    for number, entry in enumerate(entries, first):
        identity = namer.identity(entry)
        schedule.add(entry, entry.steps(identity), number=number, place=place.format(number), identity=identity)


def batch(schedule: Schedule) -> Batch:
    """The next request."""
    work = schedule.next(0.0)
    assert isinstance(work, Batch)
    return work


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize("place", ["m.jsonl:{}", "m.yaml:1{} row 7", "entry {}", "teams.xlsx#A:B:0{}"])
def test_an_entry_that_waits_for_others_is_no_object(
    living: Callable[[], list[Wish | Ticket]], place: str, key: str | None
) -> None:
    """Of memberships that lie in a lane bytes are kept; what goes at last is as it was: step, place, key, identity."""
    schedule, entries = Schedule(max_batch=100, most_whole=0), in_turn(30, key=key)
    fill(schedule, entries[:29], place=place)
    assert (schedule.open_entries, schedule.lying_entries, schedule.next(0.0)) == (29, 29, None)
    assert not living()
    fill(schedule, entries[29:], first=30, place=place)
    assert schedule.let_go(stuck=True)
    assert schedule.lying_entries == 0
    tickets, namer = batch(schedule).tickets, Namer()
    for number, (ticket, entry) in enumerate(zip(tickets, entries, strict=True), 1):
        wish = ticket.wish
        expected = None if key is None else f"{key}{number - 1}"
        assert (wish.number, wish.place, wish.key) == (number, place.format(number), expected)
        assert wish.identity == namer.identity(entry)
        assert [ticket.step] == list(entry.steps(wish.identity))
        assert (ticket.parent_hash, ticket.items) == ("p0", ())


def test_what_waits_for_others_takes_little_room() -> None:
    """Of a membership in a lane its item is kept and some bytes: a million may wait at once."""
    schedule, entries = Schedule(max_batch=10_000, most_whole=0), in_turn(2_000)
    tracemalloc.start()
    try:
        fill(schedule, entries)
        gc.collect()
        # Sixteen characters of an address are among them, and what grows by an eighth.
        assert tracemalloc.get_traced_memory()[0] < 2_000 * 50
    finally:
        tracemalloc.stop()
    assert schedule.lying_entries == 2_000


def test_what_is_too_long_for_that_waits_as_it_is() -> None:
    """A key of any length comes out as it went in."""
    schedule, entries = Schedule(max_batch=2, most_whole=0), in_turn(2, key="k" * 70_000)
    fill(schedule, entries)
    assert [ticket.wish.key for ticket in batch(schedule).tickets] == [entry.key for entry in entries]


def test_several_of_an_entry_go_together() -> None:
    """An entry with several people is cut in two where a request has no room, and ends when both have."""
    schedule = Schedule(max_batch=4, most_whole=0)
    emails = [f"{n}@example.com" for n in range(9)]
    entries = [
        ProjectUsersEntry(project="p", emails=tuple(emails[start : start + 3]), role=ProjectUserRole.ADMIN)
        for start in (0, 3, 6)
    ]
    fill(schedule, entries)
    schedule.end_of_manifest()
    sent = []
    while (work := schedule.next(0.0)) is not None:
        sent.append([ticket.step.item for ticket in tickets_of(work)])
        schedule.finish(work, [(ticket, Result(status=Status.UPDATED)) for ticket in tickets_of(work)])
    assert [len(items) for items in sent] == [4, 4, 1]
    assert sorted(item for items in sent for item in items) == emails
    assert sorted(outcome.number for outcome in schedule.take_outcomes()) == [1, 2, 3]
    assert (schedule.idle, schedule.open_entries, schedule.lying_entries) == (True, 0, 0)


def test_a_lane_waits_for_what_is_to_come_by_either_name() -> None:
    """What others call by its hash is the same lane as what they call by its key: it goes when neither comes any more.

    A project that was adopted has both.
    """
    named = ProjectUsersEntry(project="@p", emails=("a@example.com",), role=ProjectUserRole.ADMIN)
    hashed = ProjectUsersEntry(project="hash", emails=("b@example.com",), role=ProjectUserRole.ADMIN)
    schedule = Schedule(max_batch=10)
    schedule.know("p", "hash")
    schedule.expect(Expected.of([named, hashed]))
    fill(schedule, [named])
    assert schedule.next(0.0) is None
    fill(schedule, [hashed], first=2)
    assert len(batch(schedule).tickets) == 2


def test_what_fails_beforehand_is_not_waited_for() -> None:
    """If a dataset is not made, what else goes into its project goes without it."""
    entries = [
        DatasetEntry(key="d", title="D"),
        ProjectDatasetsEntry(project="p", add=("@d",)),
        ProjectDatasetsEntry(project="p", add=("other",)),
    ]
    schedule = Schedule(max_batch=10)
    schedule.expect(Expected.of(entries))
    fill(schedule, entries)
    creation = schedule.next(0.0)
    assert isinstance(creation, Creation)
    assert schedule.next(0.0) is None
    schedule.finish(creation, [(creation.ticket, Result(status=Status.FAILED))])
    assert [ticket.items for ticket in batch(schedule).tickets] == [("other",)]


def test_the_fullest_go_where_there_is_no_room() -> None:
    """More than may lie never lies: the fullest lanes go first, and the others stay."""
    schedule = Schedule(max_batch=1000, most_lying=100)
    fill(schedule, in_turn(60))
    fill(schedule, in_turn(200, projects=100), first=61)
    assert schedule.lying_entries <= 100
    assert batch(schedule).lane.parent_hash == "p0"


def test_no_more_goes_than_has_to_where_there_is_no_room() -> None:
    """The fullest lane goes, however late it was begun, until half of the room is free; others may still be joined.

    What is passed over later on, of the lane that has gone, is not looked for among those that lie.
    """
    schedule = Schedule(max_batch=1000, most_lying=10, most_whole=0)
    entries: list[Entry] = [
        ProjectUsersEntry(project=f"p{n}", emails=(f"{number}@example.com",), role=ProjectUserRole.ADMIN)
        for number, n in enumerate(n for n in (1, 4, 6) for _ in range(n))
    ]
    fill(schedule, entries)
    schedule.pass_over(entries[-1].steps(b""), None)
    work = batch(schedule)
    assert (work.lane.parent_hash, len(work.tickets)) == ("p6", 6)
    assert schedule.next(0.0) is None
    assert schedule.lying_entries == 5


@pytest.mark.parametrize("most_whole", [0, 1000])
def test_what_has_gone_takes_no_room(most_whole: int) -> None:
    """However much has passed through the lanes, few that lie have all the room that there is."""
    schedule = Schedule(max_batch=10, most_lying=60, most_whole=most_whole)
    for first in range(1, 301, 10):
        fill(schedule, in_turn(10), first=first)
        assert len(batch(schedule).tickets) == 10
    fill(schedule, in_turn(5), first=301)
    assert (schedule.next(0.0), schedule.lying_entries) == (None, 5)


def test_what_is_left_of_a_lane_that_went_lies_again() -> None:
    """It is counted, and takes room, as what has never gone: with what lies elsewhere it may be too much."""
    schedule, others = Schedule(max_batch=10, most_lying=20, most_whole=0), in_turn(20, projects=5)
    fill(schedule, others[1:4])
    fill(schedule, in_turn(25), first=4)
    assert [len(batch(schedule).tickets) for _ in range(2)] == [10, 10]
    assert (schedule.next(0.0), schedule.lying_entries) == (None, 8)
    fill(schedule, [others[n] for n in range(5, 20) if n % 5], first=29)
    assert (schedule.next(0.0), schedule.lying_entries) == (None, 20)
    fill(schedule, others[4:5], first=41)
    assert schedule.next(0.0) is not None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 60), st.integers(1, 7))
def test_a_stop_ends_what_lies(where: list[int], at: int, max_batch: int) -> None:
    """Whenever a run is stopped, every entry that was read has one outcome, and nothing is sent."""
    schedule = Schedule(max_batch=max_batch, most_whole=at % 3)
    entries: list[Entry] = [
        ProjectUsersEntry(project=f"p{n}", emails=(f"{number}@example.com",), role=ProjectUserRole.ADMIN)
        for number, n in enumerate(where)
    ]
    fill(schedule, entries[:at])
    schedule.cancel()
    fill(schedule, entries[at:], first=at + 1)
    assert schedule.next(0.0) is None
    outcomes = schedule.take_outcomes()
    assert sorted(one.number for one in outcomes) == list(range(1, len(entries) + 1))
    assert {one.status for one in outcomes} == {Status.CANCELLED}
    assert (schedule.idle, schedule.open_entries, schedule.lying_entries) == (True, 0, 0)


# --- a run ------------------------------------------------------------------------------------------------------------


async def test_a_file_in_turn(service: Service, tmp_path: Path) -> None:
    """Memberships of many projects in turn, before and after these in the file: a request for each project and role."""
    rows = [users(f"@p{n % 20}", f"{n}@example.com", role="reviewer") for n in range(3000)]
    projects = [project(f"P {n}", key=f"p{n}", users=[{"email": "me@x.org", "role": "reviewer"}]) for n in range(20)]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(one) + "\n" for one in [*rows[:1500], *projects, *rows[1500:]]))
    async with (
        open_session(service) as session,
        Run(session, str(manifest), Options(lookahead=100), journal=None) as run,
    ):
        outcomes = await all_of(run)
    assert len(outcomes) == 3020
    assert {one.status for one in outcomes} == {Status.CREATED, Status.UPDATED}
    assert 20 <= len(service.of("projectusers.POST")) <= 22


def file_in_turn(service: Service, folder: Path) -> Path:
    """Five thousand memberships of a hundred projects that are there, in turn."""
    service.projects |= {f"p{n}": Project("Cats") for n in range(100)}
    manifest = folder / "m.jsonl"
    rows = [users(f"p{n % 100}", f"{n}@example.com") for n in range(5000)]
    manifest.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return manifest


async def test_the_first_outcome_of_a_long_file_is_not_long_in_coming(service: Service, tmp_path: Path) -> None:
    """Some go before their lane is complete, so that something is seen to happen: few."""
    manifest = file_in_turn(service, tmp_path)
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        first = await anext(run)
        assert run.progress().entries < 5000
        outcomes = [first, *await all_of(run)]
    assert len(outcomes) == 5000
    assert 100 < len(service.of("projectusers.POST")) <= 110


async def test_a_stream_that_says_nothing_is_not_waited_for(service: Service) -> None:
    """What was read goes out while the source thinks: it may wait itself for what becomes of that."""
    service.projects["p"] = Project("Cats")
    seen = anyio.Event()

    async def entries() -> AsyncIterator[dict[str, Any]]:
        for one in members("p", 3):
            yield one
        await seen.wait()
        yield users("p", "last@example.com")

    async with open_session(service) as session, session.provision(entries(), journal=None) as run:
        for _ in range(3):
            await anext(run)
        seen.set()
        assert len(await all_of(run)) == 1
    assert [len(call.items) for call in service.of("projectusers.POST")] == [3, 1]


async def test_a_stop_while_much_lies(service: Service, tmp_path: Path) -> None:
    """Everything that was read has an outcome when a run is stopped that had hardly sent anything yet."""
    manifest = file_in_turn(service, tmp_path)
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        first = await anext(run)
        run.drain()
        outcomes = [first, *await all_of(run)]
    assert sorted(one.number for one in outcomes) == list(range(1, run.summary.entries + 1))
    assert 1 <= len(service.of("projectusers.POST")) <= 3
    assert run.summary.count(Status.CANCELLED) == len(outcomes) - run.summary.count(Status.UPDATED) > 0


async def test_leaving_while_much_lies(service: Service, tmp_path: Path) -> None:
    """The sums are true, too, of a run that is left: what was not begun counts as cancelled."""
    manifest = file_in_turn(service, tmp_path)
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        await anext(run)
    counts = run.summary.by_status
    assert sum(counts.values()) == run.summary.entries
    assert counts[Status.CANCELLED] > 0


async def test_what_is_done_is_passed_by(service: Service, tmp_path: Path) -> None:
    """A later run sends only what the journal does not have, in whatever entry and order that stands."""
    entries = [*members("@p", 5), project("P", key="p"), users("@p", "x@example.com", "y@example.com")]
    async with open_session(service) as session, session.provision(entries, journal=tmp_path / "j") as run:
        await all_of(run)
    before = len(service.of("projectusers.POST"))
    now = [
        *members("@p", 6),
        project("P", key="p"),
        *members("@p", 2),
        users("@p", "x@example.com", "z@example.com"),
        users("@p", "Y@example.com", role="reviewer"),
    ]
    async with open_session(service) as session, session.provision(now, journal=tmp_path / "j") as run:
        outcomes = await all_of(run)
    sent = [call.items for call in service.of("projectusers.POST")[before:]]
    assert sorted(item for items in sent for item in items) == ["5@example.com", "Y@example.com", "z@example.com"]
    unchanged = [one.number for one in outcomes if one.status is Status.UNCHANGED]
    assert unchanged == [1, 2, 3, 4, 5, 7, 8, 9]
    assert {one.hash for one in outcomes} == {outcomes[6].hash}
