"""A session in which a run rehearses: what reads is sent, what would change something is answered as the service would.

This is how `plan` says exactly what a run would do: it is the run, with this in the place of the session and a ledger
that forgets. Nothing that changes anything ever leaves here, and nothing is written down.

What the service would answer is worked out from what it shows of a project, its users and its groups, read once on
first need. What it does not show (whether the account may change a project that is not its own) is taken to go well.
"""

import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any, Final, TypeAlias, TypeVar, cast

import anyio
from pydantic import SecretStr

from encord_async.engine.doubt import Settler
from encord_async.engine.members import Unlisted, groups_of, listing, members_of
from encord_async.errors import EncordError, ForbiddenError, NotFoundError, RefusedError
from encord_async.journal.record import Ledger, MemoryLedger, Record, State
from encord_async.journal.seen import Seen
from encord_async.kinds.steps import TAKING, StepKind
from encord_async.protocol.catalogue import Effect
from encord_async.protocol.models import NewDataset, Project, ProjectDataset, ProjectUser
from encord_async.protocol.operations.base import Operation, PageOperation
from encord_async.protocol.operations.datasets import CreateDataset, CreateDatasetV2, ListDatasetsV2
from encord_async.protocol.operations.keys import CreateProjectAPIKey, ListProjectAPIKeys
from encord_async.protocol.operations.ontologies import CreateOntology, GetOntologyV2
from encord_async.protocol.operations.organisation import (
    AddGroupMembers,
    AddOrganisationUser,
    CreateGroup,
    GetGroup,
    ListGroupMembers,
    ListGroups,
    ListOrganisationUsers,
)
from encord_async.protocol.operations.projects import (
    AddDatasets,
    AddProjectGroups,
    AddProjectUsers,
    CopyProject,
    CreateProject,
    GetProject,
    RemoveDatasets,
    RemoveProjectGroups,
    RemoveProjectUsers,
)
from encord_async.protocol.rest_models import CreatedDataset, Group, GroupMember, Ontology, Page
from encord_async.session.clock import Clock
from encord_async.session.session import Session, Statistics
from encord_async.session.settings import Settings

__all__ = ["Audience", "Change", "Overlay", "Rehearsal", "is_new"]

T = TypeVar("T")

Change: TypeAlias = tuple[StepKind, str, str]
"""A membership that would change: the kind of step, the project or group, and who or what."""

_NEW: Final = "(new "
"""Begins the stand-ins for hashes of what would be made; no hash looks like it."""


@dataclass(slots=True)
class _Held:
    """What a project holds, as far as somebody asked, with what the rehearsal has changed. Addresses are casefolded."""

    datasets: set[str] = field(default_factory=set)
    users: dict[str, int] | None = None
    groups: dict[str, int] | None = None


class Rehearsal:
    """Takes the place of *session* for a run; see the module."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._numbers = itertools.count(1)
        self._lock = anyio.Lock()
        self._projects: dict[str, _Held] = {}
        self._groups: dict[str, set[str]] = {}
        self._organisation: set[str] | None = None
        self._there: dict[StepKind, frozenset[str] | None] = {}
        self._checked: set[str] = set()
        self._changes: set[Change] = set()
        """What would really change; a membership that is so already does not."""
        self.failure: EncordError | None = None
        """Why the service could not be read, if it could not: then what follows from it says nothing."""

    def take(self, change: Change) -> bool:
        """Whether *change* has been made since it was last asked about: of two that wish for it one makes it."""
        is_made = change in self._changes
        self._changes.discard(change)
        return is_made

    # ------------------------------------------------------------------ what a run needs of a session

    @property
    def settings(self) -> Settings:
        """See `Session`."""
        return self._session.settings

    @property
    def clock(self) -> Clock:
        """See `Session`."""
        return self._session.clock

    @property
    def is_free(self) -> bool:
        """See `Session`."""
        return self._session.is_free

    @property
    def identity(self) -> str:
        """See `Session`."""
        return self._session.identity

    @property
    def _as_session(self) -> Session:
        # What reads asks for a session, and uses nothing of it that is not here.
        return cast("Session", self)

    def statistics(self) -> Statistics:
        """See `Session`."""
        return self._session.statistics()

    def report_in_doubt(self, kind: str) -> None:
        """Nothing: a rehearsal leaves nothing in doubt."""

    async def execute(self, operation: Operation[T], **how: Any) -> T:
        """Send *operation* if it reads what is there, else answer it."""
        if operation.effect is not Effect.READ:
            return cast("T", await self._answer(operation))
        imaginary = self._imagined(operation)
        if imaginary is not None:
            return cast("T", imaginary)
        with self._reading():
            return await self._session.execute(operation, **how)

    async def pages(self, listing: PageOperation[T]) -> AsyncIterator[Page[T]]:
        """See `Session`."""
        with self._reading():
            async for page in self._session.pages(listing):
                yield page

    async def collect(self, listing: PageOperation[T]) -> tuple[T, ...]:
        """See `Session`."""
        with self._reading():
            return await self._session.collect(listing)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Note what keeps the service from being read; that it refuses to show something is an answer."""
        try:
            yield
        except RefusedError:
            raise
        except EncordError as error:
            self.failure = self.failure or error
            raise

    # ------------------------------------------------------------------ answers

    def _imagined(self, operation: object) -> object | None:
        """What would be read of something that would only be made; None if it is there."""
        match operation:
            case GetProject(project_hash=about) if about.startswith(_NEW):
                datasets = tuple(ProjectDataset(dataset_hash=one) for one in self._projects[about].datasets)
                return Project(project_hash=about, title="", datasets=datasets)
            case ListProjectAPIKeys(project_hash=about) if about.startswith(_NEW):
                return ()
            case GetGroup(group_hash=about) if about.startswith(_NEW):
                return Group(group_hash=about, name="")
        return None

    @singledispatchmethod
    async def _answer(self, operation: object) -> object:
        raise AssertionError(f"{type(operation).__name__} has no rehearsal")

    @_answer.register
    async def _copy_project(self, operation: CopyProject) -> str:
        await self._held(operation.project_hash)
        return self._new_project(())

    @_answer.register
    async def _create_dataset(self, operation: CreateDataset) -> NewDataset:
        return NewDataset(dataset_hash=self._new(), title=operation.title, type=operation.storage)

    @_answer.register
    async def _create_dataset_v2(self, operation: CreateDatasetV2) -> CreatedDataset:  # noqa: ARG002 - their shape
        return CreatedDataset(dataset_uuid=self._new())

    @_answer.register
    async def _create_ontology(self, operation: CreateOntology) -> Ontology:
        return Ontology(ontology_uuid=self._new(), title=operation.title, editor={})

    @_answer.register
    async def _create_group(self, operation: CreateGroup) -> Group:
        made = Group(group_hash=self._new(), name=operation.name)
        self._groups[made.group_hash] = set()
        return made

    @_answer.register
    async def _create_api_key(self, operation: CreateProjectAPIKey) -> SecretStr:
        await self._held(operation.project_hash)
        return SecretStr(self._new())

    @_answer.register
    async def _admit(self, operation: AddOrganisationUser) -> bool:
        known = await self._members_of_organisation()
        if known is None:
            return True
        is_new = operation.email.casefold() not in known
        known.add(operation.email.casefold())
        return is_new

    @_answer.register
    async def _add_datasets(self, operation: AddDatasets) -> None:
        held = await self._held(operation.project_hash)
        await self._all_there(StepKind.DATASET, operation.dataset_hashes)
        self._enter(StepKind.ATTACH, operation.project_hash, held.datasets, operation.dataset_hashes)

    @_answer.register
    async def _remove_datasets(self, operation: RemoveDatasets) -> None:
        held = await self._held(operation.project_hash)
        for one in held.datasets.intersection(operation.dataset_hashes):
            self._changes.add((StepKind.DETACH, operation.project_hash, one))
            held.datasets.remove(one)

    @_answer.register
    async def _remove_users(self, operation: RemoveProjectUsers) -> None:
        users = await self._users(operation.project_hash)
        for email in operation.emails:
            if users.pop(email.casefold(), None) is not None:
                self._changes.add((StepKind.REMOVE_USER, operation.project_hash, email))

    @_answer.register
    async def _add_groups(self, operation: AddProjectGroups) -> None:
        groups = await self._project_groups(operation.project_hash)
        await self._all_there(StepKind.GROUP, operation.group_hashes)
        for one in operation.group_hashes:
            if groups.get(one) != operation.role:
                self._changes.add((StepKind.ADD_GROUP, operation.project_hash, one))
            groups[one] = int(operation.role)

    @_answer.register
    async def _remove_groups(self, operation: RemoveProjectGroups) -> None:
        groups = await self._project_groups(operation.project_hash)
        for one in operation.group_hashes:
            if groups.pop(one, None) is not None:
                self._changes.add((StepKind.REMOVE_GROUP, operation.project_hash, one))

    @_answer.register
    async def _create_project(self, operation: CreateProject) -> str:
        await self._all_there(StepKind.DATASET, operation.dataset_hashes)
        ontology = operation.ontology_hash
        if ontology and not ontology.startswith(_NEW) and ontology not in self._checked:
            await self.execute(GetOntologyV2(ontology_hash=ontology))
            self._checked.add(ontology)
        if operation.workflow_template_id:
            await self._held(operation.workflow_template_id)
        return self._new_project(operation.dataset_hashes)

    @_answer.register
    async def _add_users(self, operation: AddProjectUsers) -> tuple[ProjectUser, ...]:
        about = operation.project_hash
        users = await self._users(about)
        answer = []
        for email in operation.emails:
            if email.casefold() not in users:
                self._changes.add((StepKind.USER, about, email))
            role = users.setdefault(email.casefold(), int(operation.role))
            answer.append(ProjectUser(user_email=email, user_role=role, project_hash=about))
        return tuple(answer)

    @_answer.register
    async def _add_members(self, operation: AddGroupMembers) -> tuple[GroupMember, ...]:
        about = operation.group_hash
        known = await self._members_of_organisation()
        if known is not None and not known.issuperset(email.casefold() for email in operation.emails):
            raise ForbiddenError("not everybody is a member of the organisation")
        async with self._lock:
            if about not in self._groups:
                await self.execute(GetGroup(group_hash=about))
                listed = await listing(self._as_session, ListGroupMembers(group_hash=about))
                members = () if isinstance(listed, Unlisted) else listed
                self._groups[about] = {member.user_email.casefold() for member in members}
        for email in operation.emails:
            if email.casefold() not in self._groups[about]:
                self._changes.add((StepKind.GROUP_MEMBER, about, email))
                self._groups[about].add(email.casefold())
        return tuple(GroupMember(user_email=email) for email in self._groups[about])

    # ------------------------------------------------------------------ what is held

    def _new(self) -> str:
        return f"{_NEW}{next(self._numbers)})"

    def _new_project(self, dataset_hashes: Iterable[str]) -> str:
        made = self._new()
        self._projects[made] = _Held(users={}, groups={})
        self._enter(StepKind.ATTACH, made, self._projects[made].datasets, dataset_hashes)
        return made

    def _enter(self, kind: StepKind, about: str, held: set[str], items: Iterable[str]) -> None:
        for one in items:
            if one not in held:
                self._changes.add((kind, about, one))
                held.add(one)

    async def _held(self, project_hash: str) -> _Held:
        """The project; raises as the service does where it is not there, or not to be seen."""
        held = self._projects.get(project_hash)
        if held is None:
            project = await self.execute(GetProject(project_hash=project_hash))
            fresh = _Held(datasets={dataset.dataset_hash for dataset in project.datasets})
            # Somebody else may have read it meanwhile, and changed it.
            held = self._projects.setdefault(project_hash, fresh)
        return held

    async def _users(self, project_hash: str) -> dict[str, int]:
        held = await self._held(project_hash)
        if held.users is None:
            found = _listed(await members_of(self._as_session, project_hash))
            if held.users is None:
                held.users = {email.casefold(): role for email, role in found.items()}
        return held.users

    async def _project_groups(self, project_hash: str) -> dict[str, int]:
        held = await self._held(project_hash)
        if held.groups is None:
            found = _listed(await groups_of(self._as_session, project_hash))
            if held.groups is None:
                held.groups = dict(found)
        return held.groups

    async def _members_of_organisation(self) -> set[str] | None:
        """Addresses of everybody in the organisation; None if the service does not list them."""
        async with self._lock:
            if self._organisation is None and StepKind.ORGANISATION_USER not in self._there:
                listed = await listing(self._as_session, ListOrganisationUsers())
                self._there[StepKind.ORGANISATION_USER] = None
                if not isinstance(listed, Unlisted):
                    self._organisation = {user.email.casefold() for user in listed}
        return self._organisation

    async def _all_there(self, kind: StepKind, hashes: Sequence[str]) -> None:
        """Refuse as the service does what refers to a dataset or group that is not there."""
        real = [one for one in hashes if not one.startswith(_NEW)]
        if not real:
            return
        async with self._lock:
            if kind not in self._there:
                self._there[kind] = await self._listed(kind)
        known = self._there[kind]
        for one in real:
            if known is not None and one not in known:
                raise NotFoundError(f"no such {kind.value}: {one}", code="RESOURCE_NOT_FOUND_ERROR")

    async def _listed(self, kind: StepKind) -> frozenset[str] | None:
        if kind is StepKind.GROUP:
            groups = await listing(self._as_session, ListGroups())
            return None if isinstance(groups, Unlisted) else frozenset(one.group_hash for one in groups)
        datasets = await listing(self._as_session, ListDatasetsV2())
        return None if isinstance(datasets, Unlisted) else frozenset(one.dataset_uuid for one in datasets)


def is_new(found: str | None) -> bool:
    """Whether this stands for something that would only be made."""
    return found is not None and found.startswith(_NEW)


def _listed(found: Mapping[str, int] | Unlisted) -> Mapping[str, int]:
    return {} if isinstance(found, Unlisted) else found


class Overlay:
    """A ledger that reads another one, if there is one, and keeps what is written for itself.

    Of memberships only what takes back is kept: what gives is as the rehearsed service has it.

    Attributes:
        open: Identities of the steps that the other has left open.
    """

    def __init__(self, under: Ledger | None) -> None:
        self._under = under or MemoryLedger()
        self._own: dict[bytes, Record] = {}
        self._by_name: defaultdict[bytes, dict[bytes, Record]] = defaultdict(dict)
        self._moved: set[bytes] = set()
        """Identities of records whose place others have taken."""
        self._is_present: Callable[[bytes], bool] = lambda _: True
        self.is_new = self._under.is_new
        self.has_made = self._under.has_made
        self.has_moved = self._under.has_moved
        self.open: frozenset[bytes] = frozenset()

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """See `Ledger`."""
        under = await self._under.known(identities)
        found = {one: record for one, record in under.items() if one not in self._moved}
        return found | {one: self._own[one] for one in identities if one in self._own}

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:
        """Keep what can matter to what is still to be played."""
        await anyio.lowlevel.checkpoint()
        inherits = not self.open.isdisjoint(instead_of)
        self._let_go(instead_of)
        for record in records:
            identity = record.identity
            self.open |= {identity} if inherits else set()
            takes = record.state is not State.DONE or record.kind in TAKING
            if record.name is not None or takes or identity in self.open or identity in self._own:
                self._own[identity] = record
            if record.name is not None:
                self._by_name[record.name][identity] = record

    def _let_go(self, identities: Collection[bytes]) -> None:
        self._moved.update(identities)
        self.open = self.open.difference(identities)
        for identity in identities:
            own = self._own.pop(identity, None)
            if own is not None and own.name is not None:
                del self._by_name[own.name][identity]

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        under = await self._under.namesakes(name)
        return [*self._untouched(under), *self._by_name.get(name, {}).values()]

    async def holders(self, found: str) -> Sequence[Record]:
        """See `Ledger`."""
        return self._untouched(await self._under.holders(found))

    async def seen(self) -> Seen:
        """See `Ledger`."""
        return await self._under.seen()

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """See `Ledger`; kept in mind, and written nowhere."""
        self._is_present = is_present

    async def left_behind(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        alike = [record for record in await self.namesakes(name) if record.state is not State.FAILED]
        lost = await self._lost(alike) if self.has_moved else set()
        return [one for one in alike if one.is_aside or one.identity in lost or not self._is_present(one.holder)]

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:
        """See `Ledger`."""
        return await self._lost(list((await self.known(keys)).values()))

    async def _lost(self, keys: Sequence[Record]) -> set[bytes]:
        """Which of these are API keys of projects that other entries have taken over in earlier runs."""
        made = {key.identity: key.project_step for key in keys}
        makers = await self.known([maker for maker in made.values() if maker is not None])
        return {key.identity for key in keys if (maker := made[key.identity]) and key.has_lost(makers.get(maker))}

    async def detached(self, project_hashes: Collection[str]) -> Collection[str]:
        """See `Ledger`."""
        return await self._under.detached(project_hashes)

    async def open_intents(self) -> Sequence[Record]:
        """See `Ledger`."""
        records = await self._under.open_intents()
        self.open = frozenset(record.identity for record in records)
        return records

    def _untouched(self, records: Iterable[Record]) -> list[Record]:
        return [one for one in records if one.identity not in self._own and one.identity not in self._moved]


class Audience(Settler):
    """Looks what became of what is in doubt; what is only played proves nothing about listings."""

    def saw_created(self, record: Record, made: str, *, sent_s: float) -> None:
        """Nothing was created."""
