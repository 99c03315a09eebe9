"""Compares an account with a manifest: what the things of the manifest lack, have too much, have otherwise.

`gather` reads the manifest and, in the journal, what its entries became. `compare` reads all that back from the
service, a fixed number of projects at a time, and hands out each difference as it is found. Only reads are sent; what
can be put right is the business of ``repair``. What belongs to no project is compared in ``verify_organisation``.

Kept in memory are the wishes, added up for each project: hashes of datasets, titles and scopes of API keys, users and
groups with their roles; for each dataset, ontology and group its hash, title and description; members of groups and of
the organisation; for each key that is referred to its hash; and what the journal does not know. Entries, records and
what the service answers are not kept.

Not compared, because the service does not show it: the workflow that a project was made with, the project that it was
copied from, and where a dataset keeps its data. Users and groups are compared where the service lists them; see
`members`.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import anyio.to_thread

from encord_async.engine.crew import each
from encord_async.engine.members import Groups, Members, Unlisted, groups_of, members_of
from encord_async.errors import AuthenticationError, NotFoundError, RefusedError
from encord_async.journal.record import Ledger, Record, State
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry, InProjectEntry, MakingEntry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.namer import Namer
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.kinds.steps import CREATES, Step, StepKind
from encord_async.manifest.checker import Checker
from encord_async.manifest.files import check_manifest, raise_for_problems
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.sources import STANDARD_INPUT, Manifest, open_source
from encord_async.protocol.catalogue import CopyOption, ProjectUserRole
from encord_async.protocol.operations.datasets import ListDatasets
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.projects import GetProject
from encord_async.session.session import Session
from encord_async.verify.difference import (
    NOT_PROVISIONED,
    Difference,
    Fault,
    NamedWish,
    Thing,
    different,
    extra,
    missing,
    names,
    role_name,
)
from encord_async.verify.organisation import (
    GroupWish,
    Lacking,
    OntologyWish,
    OrganisationUserWish,
    OrganisationWishes,
    compare_organisation,
    parts_of,
)

__all__ = [
    "APIKeyName",
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
    "extra_groups",
    "extra_users",
    "gather",
    "groups_to_remove",
    "missing_api_keys",
    "missing_groups",
    "missing_users",
    "users_to_remove",
]

_CHUNK: Final = 256
ROLE_STAYS: Final = "this API cannot change the role of a member; change it in Encord's app"

APIKeyName: TypeAlias = tuple[str, frozenset[str]]
"""What API keys are told apart by: title and scopes."""


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
        unwanted_users: E-mail addresses of those who are not to be.
        groups: Hash and role of groups that are to have access.
        unmade_groups: References to groups that have no hash, with the role.
        unwanted_groups: Hashes of groups that are not to have it.
        ontology: Hash of the ontology that it is to have; None if that is not wished for, or not known.
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
    unwanted_users: set[str] = field(default_factory=set)
    groups: set[tuple[str, ProjectUserRole]] = field(default_factory=set)
    unmade_groups: set[tuple[str, ProjectUserRole]] = field(default_factory=set)
    unwanted_groups: set[str] = field(default_factory=set)
    ontology: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return self.hash if self.entry is None else self.entry.title

    def limits(self, taken_along: CopyOption) -> bool:
        """Whether it may only hold what is wished for; a copy may also hold what it took along."""
        return self.entry is not None and not (self.entry.copy_of and taken_along in self.entry.copy_options)


@dataclass(slots=True)
class Wishes:
    """What a manifest wants, with hashes for keys.

    *absent* is what has no hash, and so cannot be looked for; nothing is said of the contents of such a project.
    *name_groups* says whether there is an entry about any group: a manifest without one limits no project's groups.
    """

    entries: int = 0
    datasets: dict[str, NamedWish] = field(default_factory=dict)
    projects: dict[str, ProjectWishes] = field(default_factory=dict)
    organisation: OrganisationWishes = field(default_factory=OrganisationWishes)
    name_groups: bool = False
    absent: list[Difference] = field(default_factory=list)

    @property
    def users(self) -> int:
        """How many users are wished for, each once for each project."""
        return sum(len(project.users) for project in self.projects.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """A project as the service shows it; *api_keys*, *users* and *groups* are None if the wishes are not about them."""

    title: str
    description: str = ""
    ontology_hash: str | None = None
    datasets: frozenset[str] = frozenset()
    api_keys: Counter[APIKeyName] | None = None
    users: Members | Unlisted | None = None
    groups: Groups | Unlisted | None = None


@dataclass(slots=True)
class Report:
    """The sums of a comparison.

    Attributes:
        projects: How many were read back.
        datasets: How many were looked for.
        users: How many users of projects were read.
        unlisted: How many things could not be compared, by what the service does not list: users and groups of
            projects, ontologies, groups, members of groups, users of the organisation.
        unlisted_reasons: Why, of the first of each.
        counts: Differences by the way of differing and the thing.
    """

    projects: int = 0
    datasets: int = 0
    users: int = 0
    unlisted: Counter[Thing] = field(default_factory=Counter)
    unlisted_reasons: dict[Thing, str] = field(default_factory=dict)
    counts: Counter[tuple[Fault, Thing]] = field(default_factory=Counter)

    @property
    def differences(self) -> int:
        """How many there are."""
        return self.counts.total()

    def not_listed(self, what: Thing, number: int, why: Unlisted) -> None:
        """Note that the service does not list *number* of *what*."""
        self.unlisted[what] += number
        self.unlisted_reasons.setdefault(what, why.reason)

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
    return gatherer.finish()


class _Gatherer:
    """Adds entries to wishes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._namer = Namer()
        self._hashes: dict[tuple[StepKind, str], str | None] = {}
        self._emails: dict[str, str] = {}
        self.wishes = Wishes()

    async def take(self, entries: Sequence[PlacedEntry]) -> None:
        """Add *entries*, the next in the manifest's order."""
        steps = [list(one.entry.steps(self._namer.identity(one.entry))) for one in entries]
        keys = {named for one in entries for named in _named(one.entry)} - self._hashes.keys()
        makers = {named: _maker(*named) for named in keys}
        identities = [step.identity for some in steps for step in some if step.kind in CREATES]
        records = await self._ledger.known(list(dict.fromkeys([*identities, *makers.values()])))
        self._hashes |= {named: _hash_in(records.get(identity)) for named, identity in makers.items()}
        for one, some in zip(entries, steps, strict=True):
            self.wishes.entries += 1
            self._add(one.place, one.entry, some, records)

    def finish(self) -> Wishes:
        """The wishes; who stands for whom in groups is known when all entries are in."""
        for group in self.wishes.organisation.groups.values():
            named = {member: referenced_key(member) for member in group.members}
            group.members = {member if key is None else self._emails[key] for member, key in named.items()}
        return self.wishes

    def _add(self, place: Place, entry: Entry, steps: Sequence[Step], records: Mapping[bytes, Record]) -> None:
        self.wishes.name_groups |= isinstance(entry, GroupEntry | ProjectGroupsEntry)
        if isinstance(entry, OrganisationUserEntry):
            self._add_organisation_user(place, entry)
        elif isinstance(entry, MakingEntry):
            record = records.get(steps[0].identity)
            made = _hash_in(record)
            if made is None:
                self.wishes.absent.append(_absent(place, Thing(entry.kind), entry.wished_title, record))
            elif isinstance(entry, ProjectEntry):
                self._add_to(self._project(made, place, entry), entry, steps, records)
            else:
                self._add_named(made, place, entry)
        elif isinstance(entry, InProjectEntry):
            found = self._resolved(StepKind.PROJECT, entry.project)
            if found is not None:
                self._add_to(self._project(found, place, entry), entry, steps, records)

    def _add_named(self, made: str, place: Place, entry: MakingEntry) -> None:
        named = NamedWish(place, entry.wished_title, entry.description)
        match entry:
            case DatasetEntry():
                self.wishes.datasets[made] = named
            case OntologyEntry():
                self.wishes.organisation.ontologies[made] = OntologyWish(named, parts_of(entry.structure or {}))
            case GroupEntry():
                self.wishes.organisation.groups[made] = GroupWish(named, set(entry.members))

    def _add_organisation_user(self, place: Place, entry: OrganisationUserEntry) -> None:
        if entry.key is not None:
            self._emails[entry.key] = entry.email
        wish = OrganisationUserWish(place, entry.email, entry.role, entry.member_type)
        self.wishes.organisation.users.setdefault(entry.email.casefold(), wish)

    def _project(self, project_hash: str, place: Place, entry: Entry) -> ProjectWishes:
        project = self.wishes.projects.setdefault(project_hash, ProjectWishes(project_hash, place))
        if isinstance(entry, ProjectEntry):
            project.place = place
            # What is in it is added up elsewhere, and would be kept twice.
            project.entry = entry.model_copy(update={"datasets": (), "users": (), "api_keys": ()})
            if entry.wanted_ontology is not None:
                project.ontology = self._resolved(StepKind.ONTOLOGY, entry.wanted_ontology)
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
                is_made = record is not None and record.state is State.DONE and record.project_hash == project.hash
                project.unmade_keys[name] += not is_made
            elif step.kind is StepKind.USER and step.role is not None:
                project.users.add((sys.intern(step.item), step.role))
            elif step.kind is StepKind.REMOVE_USER:
                project.unwanted_users.add(sys.intern(step.item))
            else:
                self._add_group_to(project, step)

    def _add_group_to(self, project: ProjectWishes, step: Step) -> None:
        if step.kind is StepKind.REMOVE_GROUP:
            project.unwanted_groups.add(self._resolved(StepKind.GROUP, step.item) or step.item)
        elif step.kind is StepKind.ADD_GROUP and step.role is not None:
            group_hash = self._resolved(StepKind.GROUP, step.item)
            if group_hash is None:
                project.unmade_groups.add((step.item, step.role))
            else:
                project.groups.add((group_hash, step.role))

    def _resolved(self, kind: StepKind, reference: str) -> str | None:
        key = referenced_key(reference)
        return sys.intern(reference) if key is None else self._hashes[kind, key]


def _named(entry: Entry) -> Iterator[tuple[StepKind, str]]:
    """The keys that *entry* refers to, and what they name."""
    references: list[tuple[StepKind, str]] = [(StepKind.DATASET, reference) for reference in _attached_by(entry)]
    if isinstance(entry, ProjectDatasetsEntry):
        references += [(StepKind.DATASET, reference) for reference in entry.remove]
    if isinstance(entry, ProjectGroupsEntry):
        references += [(StepKind.GROUP, reference) for reference in (*entry.add, *entry.remove)]
    if isinstance(entry, ProjectEntry) and entry.wanted_ontology is not None:
        references.append((StepKind.ONTOLOGY, entry.wanted_ontology))
    if isinstance(entry, InProjectEntry):
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
    entry: Entry
    match kind:
        case StepKind.DATASET:
            entry = DatasetEntry(key=key, title=key)
        case StepKind.ONTOLOGY:
            entry = OntologyEntry(key=key, title=key)
        case StepKind.GROUP:
            entry = GroupEntry(key=key, name=key)
        case _:
            entry = ProjectEntry(key=key, title=key)
    return next(entry.steps(Namer().identity(entry))).identity


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
    on_lacking: Callable[[Lacking], None] = lambda _: None,
) -> Report:
    """Read back what *wishes* is about, at most as much at once as the session allows; only reads are sent.

    Args:
        session: Reads.
        wishes: What is wanted.
        on_difference: Is given each difference as it is found, in no particular order.
        on_project: Is given each project that could be read.
        on_lacking: Is given whoever the organisation or a group lacks.

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
    await compare_organisation(
        session, wishes.organisation, note=note, not_listed=report.not_listed, on_lacking=on_lacking
    )

    async def compare_project(project: ProjectWishes) -> None:
        found = await _read(session, project, groups=wishes.name_groups)
        report.projects += 1
        if isinstance(found, Difference):
            note(found)
            return
        _count(report, found)
        on_project(project, found)
        for difference in examine(project, found):
            note(difference)

    await each(wishes.projects.values(), compare_project, at_once=session.settings.concurrency)
    return report


def _count(report: Report, found: ProjectFacts) -> None:
    if isinstance(found.users, Unlisted):
        report.not_listed(Thing.USER, 1, found.users)
    else:
        report.users += len(found.users or ())
    if isinstance(found.groups, Unlisted):
        report.not_listed(Thing.PROJECT_GROUP, 1, found.groups)


async def _compare_datasets(
    session: Session, wanted: Mapping[str, NamedWish], note: Callable[[Difference], None]
) -> None:
    seen: set[str] = set()
    for listed in await session.execute(ListDatasets()):
        dataset = listed.dataset
        wish = wanted.get(dataset.dataset_hash)
        if wish is None:
            continue
        seen.add(dataset.dataset_hash)
        for difference in names(wish, dataset.dataset_hash, dataset.title, dataset.description):
            note(difference)
    for dataset_hash, wish in wanted.items():
        if dataset_hash not in seen:
            reason = "the account has no such dataset any more"
            note(missing(wish.place, Thing.DATASET, wish.title, dataset_hash, reason))


async def _read(session: Session, wishes: ProjectWishes, *, groups: bool) -> ProjectFacts | Difference:
    try:
        project = await session.execute(GetProject(project_hash=wishes.hash))
        keys = await session.execute(ListProjectAPIKeys(project_hash=wishes.hash)) if wishes.api_keys else None
        # A project's own entry says that there are no other users, too.
        about_users = wishes.users or wishes.unwanted_users or wishes.entry is not None
        users = await members_of(session, wishes.hash) if about_users else None
        about_groups = wishes.groups or wishes.unwanted_groups or (groups and wishes.entry is not None)
        held_groups = await groups_of(session, wishes.hash) if about_groups else None
    except AuthenticationError:
        raise
    except NotFoundError as error:
        return missing(wishes.place, Thing.PROJECT, wishes.title, wishes.hash, error.message)
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
        groups=held_groups,
    )


# ---------------------------------------------------------------------- the difference


def examine(wishes: ProjectWishes, facts: ProjectFacts) -> Iterator[Difference]:
    """The differences between a project as it is wanted and as it is. Pure."""
    entry = wishes.entry
    if entry is not None:
        named = NamedWish(wishes.place, entry.title, entry.description)
        yield from names(named, wishes.hash, facts.title, facts.description)
        yield from _ontology_difference(wishes, entry, facts.ontology_hash or "")
    lacking = (wishes.datasets - wishes.unwanted - facts.datasets) | wishes.unmade
    for item in sorted(lacking):
        reason = NOT_PROVISIONED if item in wishes.unmade else None
        yield missing(wishes.place, Thing.ATTACHMENT, item, wishes.hash, reason)
    for item in sorted(extra_datasets(wishes, facts)):
        yield extra(wishes.place, Thing.ATTACHMENT, item, wishes.hash)
    yield from _key_differences(wishes, facts)
    yield from _user_differences(wishes, facts)
    yield from _group_differences(wishes, facts)


def _ontology_difference(wishes: ProjectWishes, entry: ProjectEntry, held: str) -> Iterator[Difference]:
    wanted = wishes.ontology or entry.wanted_ontology
    if wanted and wanted != held:
        reason = NOT_PROVISIONED if wishes.ontology is None else None
        yield different(wishes.place, Thing.ONTOLOGY, entry.title, wishes.hash, wanted, held, reason=reason)


def extra_datasets(wishes: ProjectWishes, facts: ProjectFacts) -> frozenset[str]:
    """Hashes of attached datasets that should not be.

    A manifest that has no entry for the project itself only says what is to be in it, not that nothing else is.
    """
    unwanted = facts.datasets & wishes.unwanted
    return unwanted | (facts.datasets - wishes.datasets) if wishes.limits(CopyOption.DATASETS) else unwanted


def missing_api_keys(wishes: ProjectWishes, facts: ProjectFacts) -> Counter[APIKeyName]:
    """How many API keys of each title and scopes are missing."""
    return wishes.api_keys - (facts.api_keys or Counter())


def missing_users(wishes: ProjectWishes, facts: ProjectFacts) -> list[tuple[str, ProjectUserRole]]:
    """Users that are no members, with the role wanted, in a stable order; all of them if nobody knows the members."""
    members = {email.casefold() for email in _listed(facts.users)} | _unwanted_users(wishes)
    return sorted((email, role) for email, role in wishes.users if email.casefold() not in members)


def extra_users(wishes: ProjectWishes, facts: ProjectFacts) -> list[str]:
    """Users who should not be there though no entry removes them, in a stable order; none where the project is open.

    A project is open to others where a manifest has no entry for it. Admins are never among them: whoever made the
    project is one, the account itself is another, and which of them these are the service does not say.
    """
    if not wishes.limits(CopyOption.COLLABORATORS):
        return []
    wanted = {email.casefold() for email, _ in wishes.users} | _unwanted_users(wishes)
    held = _listed(facts.users).items()
    return sorted(email for email, role in held if email.casefold() not in wanted and role != ProjectUserRole.ADMIN)


def users_to_remove(wishes: ProjectWishes, facts: ProjectFacts) -> list[str]:
    """Users who are there although an entry removes them, in a stable order."""
    unwanted = _unwanted_users(wishes)
    return sorted(email for email in _listed(facts.users) if email.casefold() in unwanted)


def missing_groups(wishes: ProjectWishes, facts: ProjectFacts) -> list[tuple[str, ProjectUserRole]]:
    """Groups without access or with another role, with the role wanted; all of them if nobody knows the groups."""
    held = _listed(facts.groups)
    wanted = sorted(wishes.groups)
    return [(one, role) for one, role in wanted if one not in wishes.unwanted_groups and held.get(one) != role]


def extra_groups(wishes: ProjectWishes, facts: ProjectFacts) -> list[str]:
    """Groups that should have no access though no entry takes it from them; as for users, none that makes Admins."""
    if not wishes.limits(CopyOption.COLLABORATORS):
        return []
    wanted = {one for one, _ in wishes.groups} | wishes.unwanted_groups
    held = _listed(facts.groups).items()
    return sorted(one for one, role in held if one not in wanted and role != ProjectUserRole.ADMIN)


def groups_to_remove(wishes: ProjectWishes, facts: ProjectFacts) -> list[str]:
    """Groups that have access although an entry takes it from them, in a stable order."""
    return sorted(_listed(facts.groups).keys() & wishes.unwanted_groups)


def _unwanted_users(wishes: ProjectWishes) -> set[str]:
    return {email.casefold() for email in wishes.unwanted_users}


def _listed(held: Mapping[str, int] | Unlisted | None) -> Mapping[str, int]:
    return {} if held is None or isinstance(held, Unlisted) else held


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
    if facts.users is None or isinstance(facts.users, Unlisted):
        return
    unwanted = _unwanted_users(wishes)
    held = {email.casefold(): role for email, role in facts.users.items()}
    for email, role in sorted(wishes.users):
        member = held.get(email.casefold())
        if email.casefold() in unwanted:
            continue
        if member is None:
            yield missing(wishes.place, Thing.USER, email, wishes.hash, wanted=role_name(role))
        elif member != role:
            wanted, found = role_name(role), role_name(member)
            yield different(wishes.place, Thing.ROLE, email, wishes.hash, wanted, found, reason=ROLE_STAYS)
    for email in (*extra_users(wishes, facts), *users_to_remove(wishes, facts)):
        yield extra(wishes.place, Thing.USER, email, wishes.hash, found=role_name(facts.users[email]))


def _group_differences(wishes: ProjectWishes, facts: ProjectFacts) -> Iterator[Difference]:
    for reference, role in sorted(wishes.unmade_groups):
        wanted = role_name(role)
        yield missing(wishes.place, Thing.PROJECT_GROUP, reference, wishes.hash, NOT_PROVISIONED, wanted=wanted)
    if facts.groups is None or isinstance(facts.groups, Unlisted):
        return
    for group_hash, role in missing_groups(wishes, facts):
        held = facts.groups.get(group_hash)
        if held is None:
            yield missing(wishes.place, Thing.PROJECT_GROUP, group_hash, wishes.hash, wanted=role_name(role))
        else:
            yield different(wishes.place, Thing.ROLE, group_hash, wishes.hash, role_name(role), role_name(held))
    for group_hash in (*extra_groups(wishes, facts), *groups_to_remove(wishes, facts)):
        found = role_name(facts.groups[group_hash])
        yield extra(wishes.place, Thing.PROJECT_GROUP, group_hash, wishes.hash, found=found)
