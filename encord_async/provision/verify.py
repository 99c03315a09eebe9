"""Compares an account with a manifest: what the manifest's projects and datasets lack, have too much, have otherwise.

`gather` reads the manifest and, in the journal, what its entries became. `compare` reads all that back from the
service, a fixed number of projects at a time, and hands out each difference as it is found. Only reads are sent; what
can be put right is the business of ``repair``.

Kept in memory are the wishes, added up for each project: hashes of datasets, titles and scopes of API keys, users with
their roles; for each dataset entry its hash, title and description; for each key that is referred to its hash; and what
the journal does not know. Entries, records and what the service answers are not kept.

Not compared, because the service does not show it: the workflow that a project was made with, and where a dataset keeps
its data. Users are compared where the service lists them; see `members`.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import anyio.to_thread

from encord_async.errors import AuthenticationError, NotFoundError, RefusedError
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.operations import GetProject, ListDatasets, ListProjectAPIKeys
from encord_async.provision.crew import each
from encord_async.provision.existing import stamped
from encord_async.provision.ledger import Ledger, Record, State
from encord_async.provision.manifest import (
    Checker,
    DatasetEntry,
    Entry,
    NamedEntry,
    Place,
    PlacedEntry,
    Problem,
    ProjectDatasetsEntry,
    ProjectEntry,
    referenced_key,
)
from encord_async.provision.manifest_files import check_manifest, raise_for_problems
from encord_async.provision.members import Members, Unlisted, members_of
from encord_async.provision.sources import STANDARD_INPUT, Manifest, open_source
from encord_async.provision.steps import CREATES, Namer, Step, StepKind, steps_of
from encord_async.session.session import Session

__all__ = [
    "APIKeyName",
    "DatasetWish",
    "Difference",
    "Fault",
    "ProjectFacts",
    "ProjectWishes",
    "Report",
    "Thing",
    "Wishes",
    "compare",
    "examine",
    "extra_datasets",
    "extra_users",
    "gather",
    "missing_api_keys",
    "missing_users",
]

_CHUNK: Final = 256
_MARK_BYTES: Final = 12
ROLE_STAYS: Final = "this API cannot change the role of a member; change it in Encord's app"
NOT_PROVISIONED: Final = "the journal does not say that it was made; run 'encord-async apply'"

APIKeyName: TypeAlias = tuple[str, frozenset[str]]
"""What API keys are told apart by: title and scopes."""


class Fault(StrEnum):
    """In what way the account differs from the manifest."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    """The service did not let us look."""


class Thing(StrEnum):
    """What it is that differs."""

    PROJECT = "project"
    DATASET = "dataset"
    TITLE = "title"
    DESCRIPTION = "description"
    ONTOLOGY = "ontology"
    ATTACHMENT = "attachment"
    """A dataset in a project."""
    API_KEY = "api_key"
    USER = "user"
    ROLE = "role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as the manifest wants it.

    Attributes:
        place: Where the entry stands that wants it, or the first that is about its project.
        fault: In what way it differs.
        what: What differs.
        item: Title of a project, dataset or API key; hash of an attached dataset; e-mail address.
        hash: Hash of the project or dataset, if it has one.
        wanted: What the manifest says, if it is one text.
        found: What the service says, if it is one text.
        reason: Why, as far as that is known.
    """

    place: Place
    fault: Fault
    what: Thing
    item: str
    hash: str | None = None
    wanted: str | None = None
    found: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, str]:
        """A JSON object with the members that say something."""
        shown = {"place": str(self.place), "difference": self.fault.value, "what": self.what.value, "item": self.item}
        more = {"hash": self.hash, "wanted": self.wanted, "found": self.found, "reason": self.reason}
        return shown | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True, slots=True)
class DatasetWish:
    """A dataset as its entry describes it."""

    place: Place
    title: str
    description: str


@dataclass(slots=True)
class ProjectWishes:
    """What all entries of a manifest together want of one project.

    Attributes:
        hash: Its hash.
        place: Where its entry stands, or the first that is about it.
        entry: Its own entry without what is in it, if the manifest has one: then the project holds nothing else.
        datasets: Hashes of datasets that are to be attached.
        unmade: References to datasets that have no hash.
        unwanted: Hashes of datasets that are to be detached.
        api_keys: How many keys of a title and scopes it is to have.
        unmade_keys: How many of them have not been made, as far as the journal says.
        users: E-mail address and role of those who are to be members.
    """

    hash: str
    place: Place
    entry: ProjectEntry | None = None
    datasets: set[str] = field(default_factory=set)
    unmade: set[str] = field(default_factory=set)
    unwanted: set[str] = field(default_factory=set)
    api_keys: Counter[APIKeyName] = field(default_factory=Counter)
    unmade_keys: Counter[APIKeyName] = field(default_factory=Counter)
    users: set[tuple[str, ProjectUserRole]] = field(default_factory=set)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.hash if self.entry is None else self.entry.title


@dataclass(slots=True)
class Wishes:
    """What a manifest wants, with hashes for keys.

    *absent* is what has no hash, and so cannot be looked for; nothing is said of the contents of such a project.
    """

    entries: int = 0
    datasets: dict[str, DatasetWish] = field(default_factory=dict)
    projects: dict[str, ProjectWishes] = field(default_factory=dict)
    absent: list[Difference] = field(default_factory=list)

    @property
    def users(self) -> int:
        """How many users are wished for, each once for each project."""
        return sum(len(project.users) for project in self.projects.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """A project as the service shows it. *api_keys* and *users* are None if the wishes are not about them."""

    title: str
    description: str = ""
    ontology_hash: str | None = None
    datasets: frozenset[str] = frozenset()
    api_keys: Counter[APIKeyName] | None = None
    users: Members | Unlisted | None = None


@dataclass(slots=True)
class Report:
    """The sums of a comparison.

    Attributes:
        projects: How many were read back.
        datasets: How many were looked for.
        users: How many users of projects were read.
        unlisted: How many projects have wishes about users whom the service does not list.
        unlisted_reason: Why, of the first of them.
        counts: Differences by the way of differing and the thing.
    """

    projects: int = 0
    datasets: int = 0
    users: int = 0
    unlisted: int = 0
    unlisted_reason: str | None = None
    counts: Counter[tuple[Fault, Thing]] = field(default_factory=Counter)

    @property
    def differences(self) -> int:
        """How many there are."""
        return self.counts.total()

    def as_json(self) -> dict[str, dict[str, int]]:
        """Numbers by way of differing and thing."""
        shown: dict[str, dict[str, int]] = {}
        for fault in Fault:
            things = {what.value: self.counts[fault, what] for what in Thing if self.counts[fault, what]}
            if things:
                shown[fault.value] = things
        return shown


# ---------------------------------------------------------------------- what is wanted


async def gather(manifest: Manifest, ledger: Ledger) -> Wishes:
    """Add up what *manifest* wants, and find in *ledger* what its entries became. Sends nothing.

    Args:
        manifest: As for a run.
        ledger: The journal of the run, or a `MemoryLedger` to do without: then only hashes are known.

    Raises:
        ManifestError: There is a bad entry.
        JournalError: The journal cannot be read.
    """
    if isinstance(manifest, str | Path) and str(manifest) != STANDARD_INPUT:
        report = await anyio.to_thread.run_sync(check_manifest, manifest)
        raise_for_problems(report.problems, total=report.problem_count)
    gatherer, checker, problems = _Gatherer(ledger), Checker(), list[Problem]()
    source = open_source(manifest)
    try:
        while items := await source.take(_CHUNK):
            for item in items:
                problems += checker.add(item) if isinstance(item, PlacedEntry) else item
            raise_for_problems(problems)
            await gatherer.take([item for item in items if isinstance(item, PlacedEntry)])
    finally:
        with anyio.CancelScope(shield=True):
            await source.aclose()
    raise_for_problems(checker.finish())
    return gatherer.wishes


class _Gatherer:
    """Adds entries to wishes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._namer = Namer()
        self._hashes: dict[tuple[StepKind, str], str | None] = {}
        self.wishes = Wishes()

    async def take(self, entries: Sequence[PlacedEntry]) -> None:
        """Add *entries*, the next in the manifest's order."""
        steps = [list(steps_of(one.entry, self._namer.identity(one.entry))) for one in entries]
        keys = {named for one in entries for named in _named(one.entry)} - self._hashes.keys()
        makers = {named: _maker(*named) for named in keys}
        identities = [step.identity for some in steps for step in some if step.kind in CREATES]
        records = await self._ledger.known(list(dict.fromkeys([*identities, *makers.values()])))
        self._hashes |= {named: _hash_in(records.get(identity)) for named, identity in makers.items()}
        for one, some in zip(entries, steps, strict=True):
            self.wishes.entries += 1
            self._add(one.place, one.entry, some, records)

    def _add(self, place: Place, entry: Entry, steps: Sequence[Step], records: Mapping[bytes, Record]) -> None:
        if isinstance(entry, DatasetEntry | ProjectEntry):
            made = _hash_in(records.get(steps[0].identity))
            if made is None:
                what = Thing.DATASET if isinstance(entry, DatasetEntry) else Thing.PROJECT
                self.wishes.absent.append(_absent(place, what, entry.title, records.get(steps[0].identity)))
                return
        elif isinstance(entry, NamedEntry):
            return
        else:
            made = self._resolved(StepKind.PROJECT, entry.project)
        if isinstance(entry, DatasetEntry) and made is not None:
            self.wishes.datasets[made] = DatasetWish(place, entry.title, entry.description)
        elif made is not None:
            self._add_to(self._project(made, place, entry), entry, steps, records)

    def _project(self, project_hash: str, place: Place, entry: Entry) -> ProjectWishes:
        project = self.wishes.projects.setdefault(project_hash, ProjectWishes(project_hash, place))
        if isinstance(entry, ProjectEntry):
            project.place = place
            # What is in it is added up elsewhere, and would be kept twice.
            project.entry = entry.model_copy(update={"datasets": (), "users": (), "api_keys": ()})
        return project

    def _add_to(
        self, project: ProjectWishes, entry: Entry, steps: Sequence[Step], records: Mapping[bytes, Record]
    ) -> None:
        for reference in _attached_by(entry):
            dataset_hash = self._resolved(StepKind.DATASET, reference)
            if dataset_hash is None:
                project.unmade.add(reference)
            else:
                project.datasets.add(dataset_hash)
        for step in steps:
            if step.kind is StepKind.DETACH:
                project.unwanted.add(self._resolved(StepKind.DATASET, step.item) or step.item)
            elif step.kind is StepKind.API_KEY:
                name = (step.item, frozenset(scope.value for scope in step.scopes))
                project.api_keys[name] += 1
                record = records.get(step.identity)
                project.unmade_keys[name] += record is None or record.state is not State.DONE
            elif step.kind is StepKind.USER and step.role is not None:
                project.users.add((sys.intern(step.item), step.role))

    def _resolved(self, kind: StepKind, reference: str) -> str | None:
        key = referenced_key(reference)
        return sys.intern(reference) if key is None else self._hashes[kind, key]


def _named(entry: Entry) -> Iterator[tuple[StepKind, str]]:
    """The keys that *entry* refers to, and what they name."""
    references: list[tuple[StepKind, str]] = [(StepKind.DATASET, reference) for reference in _attached_by(entry)]
    if isinstance(entry, ProjectDatasetsEntry):
        references += [(StepKind.DATASET, reference) for reference in entry.remove]
    if not isinstance(entry, NamedEntry):
        references.append((StepKind.PROJECT, entry.project))
    for kind, reference in references:
        key = referenced_key(reference)
        if key is not None:
            yield kind, key


def _attached_by(entry: Entry) -> tuple[str, ...]:
    match entry:
        case ProjectEntry():
            return entry.datasets
        case ProjectDatasetsEntry():
            return entry.add
        case _:
            return ()


def _maker(kind: StepKind, key: str) -> bytes:
    """Identity of the step that makes what *key* names, wherever its entry stands: it depends on nothing else."""
    entry = DatasetEntry(key=key, title=key) if kind is StepKind.DATASET else ProjectEntry(key=key, title=key)
    return next(steps_of(entry, Namer().identity(entry))).identity


def _hash_in(record: Record | None) -> str | None:
    return None if record is None or record.hash is None or record.is_open else sys.intern(record.hash)


def _absent(place: Place, what: Thing, title: str, record: Record | None) -> Difference:
    reason = NOT_PROVISIONED
    if record is not None and record.is_open:
        reason = "it is in doubt whether it was made; run 'encord-async settle' or 'encord-async apply'"
    elif record is not None:
        reason = f"it could not be made: {record.message or record.code or 'nobody knows why'}"
    return Difference(place=place, fault=Fault.MISSING, what=what, item=title, reason=reason)


# ---------------------------------------------------------------------- what is there


async def compare(
    session: Session,
    wishes: Wishes,
    *,
    on_difference: Callable[[Difference], None] = lambda _: None,
    on_project: Callable[[ProjectWishes, ProjectFacts], None] = lambda _wishes, _facts: None,
) -> Report:
    """Read back what *wishes* is about, at most as much at once as the session allows; only reads are sent.

    Args:
        session: Reads.
        wishes: What is wanted.
        on_difference: Is given each difference as it is found, in no particular order.
        on_project: Is given each project that could be read.

    Raises:
        EncordError: The service cannot be read, for another reason than that it refuses to show one project.
    """
    report = Report()

    def note(difference: Difference) -> None:
        report.counts[difference.fault, difference.what] += 1
        on_difference(difference)

    for difference in wishes.absent:
        note(difference)
    if wishes.datasets:
        await _compare_datasets(session, wishes.datasets, note)
        report.datasets = len(wishes.datasets)

    async def compare_project(project: ProjectWishes) -> None:
        found = await _read(session, project)
        report.projects += 1
        if isinstance(found, Difference):
            note(found)
            return
        _count_users(report, found)
        on_project(project, found)
        for difference in examine(project, found):
            note(difference)

    await each(wishes.projects.values(), compare_project, at_once=session.settings.concurrency)
    return report


def _count_users(report: Report, found: ProjectFacts) -> None:
    if isinstance(found.users, Unlisted):
        report.unlisted += 1
        report.unlisted_reason = report.unlisted_reason or found.users.reason
    else:
        report.users += len(found.users or ())


async def _compare_datasets(
    session: Session, wanted: Mapping[str, DatasetWish], note: Callable[[Difference], None]
) -> None:
    seen: set[str] = set()
    for listed in await session.execute(ListDatasets()):
        dataset = listed.dataset
        wish = wanted.get(dataset.dataset_hash)
        if wish is None:
            continue
        seen.add(dataset.dataset_hash)
        for difference in _names(wish.place, wish, dataset.dataset_hash, dataset.title, dataset.description or ""):
            note(difference)
    for dataset_hash, wish in wanted.items():
        if dataset_hash not in seen:
            reason = "the account has no such dataset any more"
            note(_missing(wish.place, Thing.DATASET, wish.title, dataset_hash, reason))


async def _read(session: Session, wishes: ProjectWishes) -> ProjectFacts | Difference:
    try:
        project = await session.execute(GetProject(project_hash=wishes.hash))
        keys = await session.execute(ListProjectAPIKeys(project_hash=wishes.hash)) if wishes.api_keys else None
        # A project's own entry says that there are no other users, too.
        users = await members_of(session, wishes.hash) if wishes.users or wishes.entry is not None else None
    except AuthenticationError:
        raise
    except NotFoundError as error:
        return _missing(wishes.place, Thing.PROJECT, wishes.title, wishes.hash, error.message)
    except RefusedError as error:
        return Difference(
            place=wishes.place,
            fault=Fault.UNREADABLE,
            what=Thing.PROJECT,
            item=wishes.title,
            hash=wishes.hash,
            reason=error.message,
        )
    return ProjectFacts(
        title=project.title,
        description=project.description or "",
        ontology_hash=project.ontology_hash,
        datasets=frozenset(dataset.dataset_hash for dataset in project.datasets),
        api_keys=None if keys is None else Counter((key.title, frozenset(key.scopes)) for key in keys),
        users=users,
    )


# ---------------------------------------------------------------------- the difference


def examine(wishes: ProjectWishes, facts: ProjectFacts) -> Iterator[Difference]:
    """The differences between a project as it is wanted and as it is. Pure."""
    entry = wishes.entry
    if entry is not None:
        yield from _names(wishes.place, entry, wishes.hash, facts.title, facts.description)
        if entry.ontology_hash and entry.ontology_hash != facts.ontology_hash:
            yield _different(
                wishes.place, Thing.ONTOLOGY, entry.title, wishes.hash, entry.ontology_hash, facts.ontology_hash or ""
            )
    lacking = (wishes.datasets - wishes.unwanted - facts.datasets) | wishes.unmade
    for item in sorted(lacking):
        reason = NOT_PROVISIONED if item in wishes.unmade else None
        yield _missing(wishes.place, Thing.ATTACHMENT, item, wishes.hash, reason)
    for item in sorted(extra_datasets(wishes, facts)):
        yield _extra(wishes, Thing.ATTACHMENT, item)
    yield from _key_differences(wishes, facts)
    yield from _user_differences(wishes, facts)


def extra_datasets(wishes: ProjectWishes, facts: ProjectFacts) -> frozenset[str]:
    """Hashes of attached datasets that should not be.

    A manifest that has no entry for the project itself only says what is to be in it, not that nothing else is.
    """
    unwanted = facts.datasets & wishes.unwanted
    return unwanted if wishes.entry is None else unwanted | (facts.datasets - wishes.datasets)


def missing_api_keys(wishes: ProjectWishes, facts: ProjectFacts) -> Counter[APIKeyName]:
    """How many API keys of each title and scopes are missing."""
    return wishes.api_keys - (facts.api_keys or Counter())


def missing_users(wishes: ProjectWishes, facts: ProjectFacts) -> list[tuple[str, ProjectUserRole]]:
    """Users that are no members, with the role wanted, in a stable order; all of them if nobody knows the members."""
    members = {email.casefold() for email in _listed(facts) or ()}
    return sorted((email, role) for email, role in wishes.users if email.casefold() not in members)


def extra_users(wishes: ProjectWishes, facts: ProjectFacts) -> list[str]:
    """Users who should not be there, in a stable order; none where a manifest has no entry for the project itself.

    Admins are never among them: whoever made the project is one, the account itself is another, and which of them these
    are the service does not say.
    """
    if wishes.entry is None:
        return []
    wanted = {email.casefold() for email, _ in wishes.users}
    held = (_listed(facts) or {}).items()
    return sorted(email for email, role in held if email.casefold() not in wanted and role != ProjectUserRole.ADMIN)


def _listed(facts: ProjectFacts) -> Members | None:
    return None if isinstance(facts.users, Unlisted) else facts.users


def _key_differences(wishes: ProjectWishes, facts: ProjectFacts) -> Iterator[Difference]:
    for (title, scopes), number in sorted(missing_api_keys(wishes, facts).items(), key=_by_name):
        others = [" ".join(sorted(other)) for name, other in facts.api_keys or () if name == title and other != scopes]
        unmade = wishes.unmade_keys[title, scopes]
        for index in range(number):
            yield Difference(
                place=wishes.place,
                fault=Fault.MISSING,
                what=Thing.API_KEY,
                item=title,
                hash=wishes.hash,
                wanted=" ".join(sorted(scopes)),
                found="; ".join(sorted(others)) or None,
                reason=NOT_PROVISIONED if index < unmade else None,
            )


def _by_name(item: tuple[APIKeyName, int]) -> tuple[str, list[str]]:
    (title, scopes), _ = item
    return title, sorted(scopes)


def _user_differences(wishes: ProjectWishes, facts: ProjectFacts) -> Iterator[Difference]:
    members = _listed(facts)
    if members is None:
        return
    held = {email.casefold(): role for email, role in members.items()}
    for email, role in sorted(wishes.users):
        member = held.get(email.casefold())
        if member is None:
            yield _missing(wishes.place, Thing.USER, email, wishes.hash, None, wanted=_role_name(role))
        elif member != role:
            wanted, found = _role_name(role), _role_name(member)
            yield _different(wishes.place, Thing.ROLE, email, wishes.hash, wanted, found, reason=ROLE_STAYS)
    for email in extra_users(wishes, facts):
        yield _extra(wishes, Thing.USER, email, found=_role_name(members[email]))


def _names(
    place: Place, wish: DatasetWish | ProjectEntry, found_hash: str, title: str, description: str
) -> Iterator[Difference]:
    if wish.title != title:
        yield _different(place, Thing.TITLE, wish.title, found_hash, wish.title, title)
    # The stamp of a run, which stands between "[encord-async " and the bracket at the end.
    if description not in {wish.description, stamped(wish.description, description[-_MARK_BYTES - 1 : -1])}:
        yield _different(place, Thing.DESCRIPTION, wish.title, found_hash, wish.description, description)


def _missing(
    place: Place, what: Thing, item: str, found_hash: str, reason: str | None, *, wanted: str | None = None
) -> Difference:
    return Difference(
        place=place, fault=Fault.MISSING, what=what, item=item, hash=found_hash, wanted=wanted, reason=reason
    )


def _extra(wishes: ProjectWishes, what: Thing, item: str, *, found: str | None = None) -> Difference:
    return Difference(place=wishes.place, fault=Fault.EXTRA, what=what, item=item, hash=wishes.hash, found=found)


def _different(
    place: Place, what: Thing, item: str, found_hash: str, wanted: str, found: str, *, reason: str | None = None
) -> Difference:
    return Difference(
        place=place,
        fault=Fault.DIFFERENT,
        what=what,
        item=item,
        hash=found_hash,
        wanted=wanted,
        found=found,
        reason=reason,
    )


def _role_name(role: int) -> str:
    roles: Iterable[ProjectUserRole] = ProjectUserRole
    return next((one.name.lower() for one in roles if one == role), str(role))
