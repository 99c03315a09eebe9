"""What a run of a manifest would do: reads the account, decides entry by entry, and changes nothing.

What is decided about an entry is pure (`decide`); what has to be known for it is read before. Actions are handed
out as they are found and not kept. Kept are: for each key what it stands for, and what waits for a key to come.

It reads no journal: of what a run would leave as it is, or take over, because its journal says whose it is, it says
what the account shows.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

import anyio

from encord_async.engine.account import Account, Adopt, DatasetAPI, Existing, differs, match
from encord_async.engine.crew import each
from encord_async.engine.making import title_of
from encord_async.errors import AuthenticationError, ConflictError, RefusedError
from encord_async.kinds.steps import IRREVERSIBLE, StepKind
from encord_async.manifest.entries import (
    APIKeyWish,
    Checker,
    DatasetEntry,
    Entry,
    GroupEntry,
    MakingEntry,
    NamedEntry,
    OntologyEntry,
    OrganisationUserEntry,
    PlacedEntry,
    Problem,
    ProjectAPIKeyEntry,
    ProjectDatasetsEntry,
    ProjectEntry,
    ProjectGroupsEntry,
    ProjectUsersEntry,
    referenced_key,
)
from encord_async.manifest.files import check_manifest, raise_for_problems
from encord_async.manifest.sources import Item, Manifest, open_source
from encord_async.protocol.operations import GetProject, ListProjectAPIKeys
from encord_async.protocol.rest_operations import GetOntologyV2
from encord_async.session.session import Session

__all__ = ["Action", "Facts", "Forecast", "Verb", "decide", "preview"]

_CHUNK: Final = 256
_REMEMBERED_PROJECTS: Final = 10_000
_MAX_PROBLEMS: Final = 1000


class Verb(StrEnum):
    """What would be done."""

    CREATE = "create"
    ADOPT = "adopt"
    ATTACH = "attach"
    DETACH = "detach"
    ADD = "add"
    ADD_OR_LEAVE = "add_or_leave"
    """To something that is there: who or what is in it already is not looked at."""
    REMOVE = "remove"
    LEAVE = "leave_alone"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that would be done for an entry.

    Attributes:
        number: Position of the entry in the manifest, from 1.
        place: Where it stands, for people.
        verb: What would be done.
        what: To what.
        items: Titles, references or e-mail addresses.
        project: The project or group it would be done in, as the manifest names it.
        hash: Hash of what is there already.
        role: The role, for users and groups.
        reason: Why it would fail.
    """

    number: int
    place: str
    verb: Verb
    what: StepKind
    items: tuple[str, ...]
    project: str | None = None
    hash: str | None = None
    role: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, object]:
        """A JSON object with the members that say something."""
        shown: dict[str, object] = {
            "number": self.number,
            "place": self.place,
            "action": self.verb.value,
            "what": _noun(self.what),
            "items": list(self.items),
        }
        more = {"project": self.project, "hash": self.hash, "role": self.role, "reason": self.reason}
        return shown | {name: value for name, value in more.items() if value is not None}


@dataclass(slots=True)
class Forecast:
    """The sums of a preview: how many things of which sort would be made, adopted and so on."""

    entries: int = 0
    counts: Counter[tuple[Verb, StepKind]] = field(default_factory=Counter)

    def count(self, verb: Verb, what: StepKind | None = None) -> int:
        """How often *verb* would be done, to *what* or to anything."""
        return sum(number for (one, sort), number in self.counts.items() if one is verb and what in {None, sort})

    @property
    def irreversible(self) -> int:
        """How many things would be made that this API cannot unmake."""
        return sum(self.counts[Verb.CREATE, what] for what in IRREVERSIBLE)

    def as_json(self) -> dict[str, dict[str, int]]:
        """Numbers by verb and sort of thing."""
        shown: dict[str, dict[str, int]] = {}
        for verb in Verb:
            sorts = {_noun(what): self.counts[verb, what] for what in StepKind if self.counts[verb, what]}
            if sorts:
                shown[verb.value] = sorts
        return shown


@dataclass(frozen=True, slots=True)
class There:
    """Something that is on the server."""

    hash: str
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class New:
    """Something that would be made."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Something that would not come about, and why."""

    why: str


Known: TypeAlias = There | New | Dead


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a project that is there holds.

    *api_keys* are titles with scopes, None if nobody asked. *refused* says why the project cannot be read.
    """

    datasets: frozenset[str] = frozenset()
    ontology_hash: str | None = None
    api_keys: frozenset[tuple[str, frozenset[str]]] | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """An entry whose actions are not decided yet; *itself* is what the key of an entry turned out to stand for."""

    number: int
    placed: PlacedEntry
    itself: Known | None = None

    @property
    def entry(self) -> Entry:
        return self.placed.entry


async def preview(
    session: Session,
    manifest: Manifest,
    *,
    existing: Existing = Existing.ADOPT,
    dataset_api: DatasetAPI = DatasetAPI.REST,
    skip_invalid: bool = False,
    on_action: Callable[[Action], None] = lambda _: None,
) -> Forecast:
    """Find out what a run would do; only reads are sent.

    Args:
        session: Reads.
        manifest: As for a run.
        existing: As for a run.
        dataset_api: As for a run.
        skip_invalid: Pass over bad entries, as the run would.
        on_action: Is given each action as it is found; the order is that of the manifest but for references to
            what comes later.

    Raises:
        ManifestError: There is a bad entry; a file is checked before anything is sent.
        EncordError: The account cannot be read.
    """
    if isinstance(manifest, str | Path) and str(manifest) != "-" and not skip_invalid:
        report = await anyio.to_thread.run_sync(check_manifest, manifest)
        raise_for_problems(report.problems, total=report.problem_count)
    previewer = _Previewer(session, Account(session, dataset_api=dataset_api), existing, on_action)
    checker, bad = Checker(), _Bad()
    source = open_source(manifest)
    try:
        while items := await source.take(_CHUNK):
            good = [placed for item in items if (placed := _checked(item, checker, bad)) is not None]
            previewer.forecast.entries = _number(items[-1])
            if skip_invalid or not bad.problems:
                await previewer.take(good)
    finally:
        with anyio.CancelScope(shield=True):
            await source.aclose()
    if not skip_invalid:
        bad.add(*checker.finish())
        raise_for_problems(bad.problems, total=bad.count)
    await previewer.finish()
    return previewer.forecast


class _Bad:
    """The bad entries so far."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.count = 0

    def add(self, *problems: Problem) -> None:
        self.count += len(problems)
        self.problems.extend(problems[: _MAX_PROBLEMS - len(self.problems)])


def _number(item: Item) -> int:
    """Position of what *item* is or is wrong with; in files an entry with several faults is several items."""
    return item.place.number if isinstance(item, PlacedEntry) else item[0].place.number


def _checked(item: Item, checker: Checker, bad: _Bad) -> PlacedEntry | None:
    """The entry of *item* if it is a good one."""
    if isinstance(item, PlacedEntry):
        problems = checker.add(item)
        bad.add(*problems)
        return None if problems else item
    for problem in item:
        checker.refuse(problem)
    bad.add(*item)
    return None


class _Previewer:
    """Takes entries, looks up what they need, and hands out actions."""

    def __init__(
        self, session: Session, account: Account, existing: Existing, on_action: Callable[[Action], None]
    ) -> None:
        self._session = session
        self._account = account
        self._existing = existing
        self._on_action = on_action
        self._known: dict[str, Known] = {}
        self._waiting: dict[str, list[_Open]] = {}
        self._queue: deque[_Open] = deque()
        self._facts: OrderedDict[str, Facts] = OrderedDict()
        self.forecast = Forecast()

    async def take(self, entries: Iterable[PlacedEntry]) -> None:
        """Decide *entries*, and those before that waited for them."""
        self._queue.extend(_Open(number=placed.place.number, placed=placed) for placed in entries)
        await self._work_off()

    async def finish(self) -> None:
        """No further entry will come: what waits for a key waits for nothing."""
        for key in list(self._waiting):
            self._learn(key, Dead(f"@{key} refers to nothing that can be provisioned"))
        await self._work_off()

    async def _work_off(self) -> None:
        while self._queue:
            ready: list[_Open] = []
            while self._queue and len(ready) < _CHUNK:
                found = await self._identified(self._queue.popleft())
                if found is not None:
                    ready.append(found)
            await self._look_up(self._needed(ready))
            for one in ready:
                for action in decide(one.number, one.placed, one.itself, self._resolve, self._facts, self._existing):
                    self.forecast.counts[action.verb, action.what] += len(action.items)
                    self._on_action(action)

    def _resolve(self, reference: str) -> Known:
        key = referenced_key(reference)
        return There(reference) if key is None else self._known[key]

    def _learn(self, key: str | None, known: Known) -> None:
        if key is not None:
            self._known[key] = known
            self._queue.extend(self._waiting.pop(key, ()))

    async def _identified(self, one: _Open) -> _Open | None:
        """*one* when all that it refers to is known, with what it is itself; else it is set aside."""
        entry = one.entry
        for reference in _references(entry):
            key = referenced_key(reference)
            if key is not None and key not in self._known:
                self._waiting.setdefault(key, []).append(one)
                return None
        if not isinstance(entry, NamedEntry):
            return one
        known = await self._itself(entry)
        self._learn(entry.key, known)
        return _Open(number=one.number, placed=one.placed, itself=known)

    async def _itself(self, entry: NamedEntry) -> Known:
        """Whether *entry* would be made, or is there."""
        if isinstance(entry, ProjectEntry):
            for reference in _references(entry):
                known = self._resolve(reference)
                if isinstance(known, Dead):
                    return Dead(f"needs {reference}: {known.why}")
        if self._existing is Existing.CREATE or isinstance(entry, OrganisationUserEntry):
            return New()
        what, title = StepKind(entry.kind), title_of(entry)
        found = await self._account.find(what, title, entry.description)
        try:
            decision = match(what, title, found, self._existing)
        except ConflictError as error:
            return Dead(error.message)
        if not isinstance(decision, Adopt):
            return New()
        self._account.claim(decision.hash)
        if isinstance(entry, OntologyEntry) and entry.structure is not None:
            there = await self._session.execute(GetOntologyV2(ontology_hash=decision.hash))
            if differs(entry.structure, there.editor):
                return Dead(f"the ontology {decision.hash} is there with another structure")
        return There(decision.hash, adopted=True)

    # ------------------------------------------------------------------ reading

    def _needed(self, ready: Sequence[_Open]) -> dict[str, bool]:
        """Hashes of projects to read, and whether their API keys are needed too."""
        needed: dict[str, bool] = {}
        for one in ready:
            project = one.itself if isinstance(one.entry, ProjectEntry) else self._project_of(one.entry)
            if isinstance(project, There):
                wishes = isinstance(one.entry, ProjectAPIKeyEntry) or bool(getattr(one.entry, "api_keys", ()))
                keys = wishes and self._existing is not Existing.CREATE
                needed[project.hash] = needed.get(project.hash, False) or keys
        for project_hash in list(needed):
            facts = self._facts.get(project_hash)
            if facts is not None and (facts.refused or facts.api_keys is not None or not needed[project_hash]):
                self._facts.move_to_end(project_hash)
                del needed[project_hash]
        return needed

    def _project_of(self, entry: Entry) -> Known | None:
        return None if isinstance(entry, NamedEntry) else self._resolve(entry.project)

    async def _look_up(self, needed: Mapping[str, bool]) -> None:
        """Read projects, several at a time."""

        async def read(wanted: tuple[str, bool]) -> None:
            project_hash, keys = wanted
            self._facts[project_hash] = await self._read(project_hash, keys=keys)

        await each(needed.items(), read, at_once=self._session.settings.concurrency)
        while len(self._facts) > _REMEMBERED_PROJECTS:
            self._facts.popitem(last=False)

    async def _read(self, project_hash: str, *, keys: bool) -> Facts:
        try:
            project = await self._session.execute(GetProject(project_hash=project_hash))
            found = await self._session.execute(ListProjectAPIKeys(project_hash=project_hash)) if keys else None
        except AuthenticationError:
            raise
        except RefusedError as error:
            return Facts(refused=error.message)
        return Facts(
            datasets=frozenset(dataset.dataset_hash for dataset in project.datasets),
            ontology_hash=project.ontology_hash,
            api_keys=None if found is None else frozenset((key.title, frozenset(key.scopes)) for key in found),
        )


def _references(entry: Entry) -> Iterator[str]:
    match entry:
        case ProjectEntry():
            yield from entry.datasets
            yield from (one for one in (entry.wanted_ontology, entry.copy_of) if one is not None)
        case ProjectDatasetsEntry() | ProjectGroupsEntry():
            yield entry.project
            yield from entry.add
            yield from entry.remove
        case ProjectUsersEntry() | ProjectAPIKeyEntry():
            yield entry.project
        case GroupEntry():
            yield from entry.members
        case DatasetEntry() | OntologyEntry() | OrganisationUserEntry():
            pass


def decide(
    number: int,
    placed: PlacedEntry,
    itself: Known | None,
    resolve: Callable[[str], Known],
    facts: Mapping[str, Facts],
    existing: Existing,
) -> Iterator[Action]:
    """The actions of one entry.

    Args:
        number: Position of the entry.
        placed: The entry.
        itself: What the key of the entry turned out to stand for.
        resolve: What a reference stands for.
        facts: What the projects that are there hold.
        existing: What to do about what is there.
    """
    entry = placed.entry
    maker = _Maker(number, str(placed.place), resolve, existing)
    if isinstance(entry, NamedEntry) and not isinstance(entry, ProjectEntry):
        yield from maker.made(entry, itself or New())
        return
    if isinstance(entry, ProjectEntry):
        project, named = itself or New(), f"@{entry.key}" if entry.key else entry.title
    else:
        project, named = resolve(entry.project), entry.project
    known = facts.get(project.hash, Facts()) if isinstance(project, There) else Facts()
    refusal = _refusal(entry, project, known, resolve)
    if refusal is not None:
        yield maker.failure(entry, named, refusal)
        return
    if isinstance(entry, ProjectEntry):
        yield maker.itself(StepKind.PROJECT, entry.title, project)
    yield from maker.contents(entry, named, project, known)


def _refusal(entry: Entry, project: Known, facts: Facts, resolve: Callable[[str], Known]) -> str | None:
    """Why nothing of *entry* could be done."""
    if isinstance(project, Dead):
        return project.why
    if facts.refused is not None:
        return facts.refused
    wanted = entry.wanted_ontology if isinstance(entry, ProjectEntry) and isinstance(project, There) else None
    if wanted is not None and facts.ontology_hash:
        ontology = resolve(wanted)
        if not isinstance(ontology, There) or ontology.hash != facts.ontology_hash:
            return f"the project is there with the ontology {facts.ontology_hash}, and {wanted} is wanted"
    return None


_SORTS: Final[Mapping[str, StepKind]] = {
    "project": StepKind.PROJECT,
    "project_datasets": StepKind.DATASET,
    "project_users": StepKind.USER,
    "project_api_key": StepKind.API_KEY,
    "project_groups": StepKind.GROUP,
}


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the actions of one entry."""

    number: int
    place: str
    resolve: Callable[[str], Known]
    existing: Existing

    def _action(
        self,
        verb: Verb,
        what: StepKind,
        items: Iterable[str],
        *,
        project: str | None = None,
        found: str | None = None,
        role: str | None = None,
        reason: str | None = None,
    ) -> Action:
        return Action(
            number=self.number,
            place=self.place,
            verb=verb,
            what=what,
            items=tuple(items),
            project=project,
            hash=found,
            role=role,
            reason=reason,
        )

    def itself(self, what: StepKind, title: str, known: Known) -> Action:
        """What becomes of the thing that an entry wishes for."""
        if isinstance(known, Dead):
            return self._action(Verb.FAIL, what, [title], reason=known.why)
        if isinstance(known, There):
            return self._action(Verb.ADOPT, what, [title], found=known.hash)
        return self._action(Verb.CREATE, what, [title])

    def made(self, entry: MakingEntry | OrganisationUserEntry, known: Known) -> Iterator[Action]:
        """What becomes of an entry that is about no project."""
        if isinstance(entry, OrganisationUserEntry):
            role = entry.role.name.lower()
            yield self._action(Verb.ADD_OR_LEAVE, StepKind.ORGANISATION_USER, [entry.email], role=role)
            return
        yield self.itself(StepKind(entry.kind), title_of(entry), known)
        if isinstance(entry, GroupEntry) and entry.members and not isinstance(known, Dead):
            named = f"@{entry.key}" if entry.key else entry.name
            yield from self._entering(StepKind.GROUP_MEMBER, named, entry.members, known)

    def failure(self, entry: Entry, named: str, reason: str) -> Action:
        """An entry of which nothing can be done."""
        item = getattr(entry, "title", None) or named
        return self._action(Verb.FAIL, _SORTS[entry.kind], [item], project=named, reason=reason)

    def contents(self, entry: Entry, named: str, project: Known, facts: Facts) -> Iterator[Action]:
        """What is done inside of a project."""
        match entry:
            case ProjectEntry():
                yield from self._datasets(named, entry.datasets, (), project, facts)
                for role in dict.fromkeys(user.role for user in entry.users):
                    emails = [user.email for user in entry.users if user.role is role]
                    yield self._users(named, emails, role.name.lower(), project)
                yield from self._api_keys(named, entry.api_keys, project, facts)
            case ProjectDatasetsEntry():
                yield from self._datasets(named, entry.add, entry.remove, project, facts)
            case ProjectUsersEntry():
                if entry.role is not None:
                    yield self._users(named, entry.emails, entry.role.name.lower(), project)
                if entry.remove:
                    yield self._action(Verb.REMOVE, StepKind.USER, dict.fromkeys(entry.remove), project=named)
            case ProjectGroupsEntry():
                word = entry.role.name.lower() if entry.role is not None else None
                yield from self._entering(StepKind.GROUP, named, entry.add, project, role=word)
                if entry.remove:
                    yield self._action(Verb.REMOVE, StepKind.GROUP, dict.fromkeys(entry.remove), project=named)
            case ProjectAPIKeyEntry():
                yield from self._api_keys(named, [entry], project, facts)
            case DatasetEntry() | OntologyEntry() | GroupEntry() | OrganisationUserEntry():
                pass

    def _entering(
        self, what: StepKind, named: str, references: Iterable[str], into: Known, *, role: str | None = None
    ) -> Iterator[Action]:
        """Groups that get access to a project, or members that come into a group."""
        dead = [one for one in dict.fromkeys(references) if isinstance(self.resolve(one), Dead)]
        good = [one for one in dict.fromkeys(references) if one not in dead]
        if good:
            verb = Verb.ADD_OR_LEAVE if isinstance(into, There) else Verb.ADD
            yield self._action(verb, what, good, project=named, role=role)
        if dead:
            reason = "what it needs would not come about"
            yield self._action(Verb.FAIL, what, dead, project=named, role=role, reason=reason)

    def _datasets(
        self, named: str, add: Iterable[str], remove: Iterable[str], project: Known, facts: Facts
    ) -> Iterator[Action]:
        sorted_: dict[Verb, list[str]] = {Verb.ATTACH: [], Verb.DETACH: [], Verb.LEAVE: [], Verb.FAIL: []}
        for verb, references in ((Verb.ATTACH, add), (Verb.DETACH, remove)):
            for reference in dict.fromkeys(references):
                known = self.resolve(reference)
                attached = isinstance(known, There) and known.hash in facts.datasets
                done = isinstance(project, There) and attached is (verb is Verb.ATTACH)
                sorted_[Verb.FAIL if isinstance(known, Dead) else Verb.LEAVE if done else verb].append(reference)
        for verb, items in sorted_.items():
            reason = "a dataset that it needs would not come about" if verb is Verb.FAIL else None
            if items:
                yield self._action(verb, StepKind.DATASET, items, project=named, reason=reason)

    def _users(self, named: str, emails: Iterable[str], role: str, project: Known) -> Action:
        verb = Verb.ADD_OR_LEAVE if isinstance(project, There) else Verb.ADD
        return self._action(verb, StepKind.USER, dict.fromkeys(emails), project=named, role=role)

    def _api_keys(
        self, named: str, wishes: Iterable[APIKeyWish | ProjectAPIKeyEntry], project: Known, facts: Facts
    ) -> Iterator[Action]:
        for wish in wishes:
            there = isinstance(project, There) and self.existing is not Existing.CREATE
            if there and (wish.title, frozenset(wish.scopes)) in (facts.api_keys or frozenset()):
                failed = self.existing is Existing.FAIL
                reason = "such an API key is there already" if failed else None
                verb = Verb.FAIL if failed else Verb.ADOPT
            else:
                verb, reason = Verb.CREATE, None
            yield self._action(verb, StepKind.API_KEY, [wish.title], project=named, reason=reason)


def _noun(what: StepKind) -> str:
    return what.value
