"""Writes an account down as a manifest: datasets, ontologies, the organisation, and projects with all that is in them.

`export` reads, and `Exporter`, which is pure, makes entries of what was read. Only reads are sent, and the API keys
themselves, which the service shows, go nowhere. Kept in memory are the listings of the account, but for ontologies, and
the key of each thing; projects are read some hundreds at a time.

What is exported is what the account is admin of, for nobody else could make it again, and the groups and users of the
organisation. The order is that in which things were made, so that what comes later changes nothing about the keys of
its kind that were given before. A manifest cannot say which workflow a project was made with, because the service does
not show it, and what a project was copied from does not matter any more.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from pydantic import ValidationError

from encord_async.engine.crew import each
from encord_async.engine.members import Groups, Members, Unlisted, groups_of, listing, members_of
from encord_async.errors import AuthenticationError, RefusedError
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import APIKeyWish, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.protocol.catalogue import (
    APIKeyScope,
    DatasetUserRole,
    MemberType,
    OntologyUserRole,
    OrganisationRole,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.models import Dataset, ListedProject, OwnedDataset, OwnedProject, Project
from encord_async.protocol.operations.datasets import ListDatasets, ListDatasetsV2
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.ontologies import ListOntologies
from encord_async.protocol.operations.organisation import ListGroupMembers, ListGroups, ListOrganisationUsers
from encord_async.protocol.operations.projects import GetProject, ListProjects
from encord_async.protocol.rest_models import Group, Ontology, OrganisationUser
from encord_async.session.session import Session

__all__ = ["Contents", "Exported", "Exporter", "KeyMaker", "LeftOut", "Scope", "entry_json", "export"]

E = TypeVar("E")
T = TypeVar("T")
FoundT = TypeVar("FoundT")

_CHUNK: Final = 256
_LONGEST_KEY: Final = 60
_NO_WORD: Final = re.compile(r"[\W_]+")
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_STORAGES: Final[Mapping[StorageLocation, str]] = {
    StorageLocation.CORD_STORAGE: "cord",
    StorageLocation.AWS_S3: "aws",
    StorageLocation.GCP_STR: "gcp",
    StorageLocation.AZURE_STR: "azure",
    StorageLocation.S3_COMPATIBLE_STR: "s3_compatible",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that the manifest does not hold, and why."""

    what: str
    title: str
    hash: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """A JSON object."""
        return {"what": self.what, "title": self.title, "hash": self.hash, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A project as the service shows it: its API keys as title and scopes, its users and groups if it lists them."""

    project: Project
    api_keys: Sequence[tuple[str, Sequence[str]]] = ()
    users: Members | Unlisted = field(default_factory=dict)
    groups: Groups | Unlisted = field(default_factory=dict)


class KeyMaker:
    """Makes keys of titles: words joined by hyphens, with a number where another has the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: Counter[str] = Counter()

    def make(self, title: str, otherwise: str) -> str:
        """A key that was not given before; *otherwise* stands in for a title without a letter or digit."""
        words = _NO_WORD.sub("-", title.casefold()).strip("-")[:_LONGEST_KEY].strip("-")
        base = words or otherwise
        key = base
        while key in self._taken:
            # From 2 on: the first has no number.
            self._next[base] = max(2, self._next[base] + 1)
            key = f"{base}-{self._next[base]}"
        self._taken.add(key)
        return key


class Exporter:
    """Makes entries, in the order in which it is shown things. Pure.

    Args:
        ontologies: Write down the ontology of each project. Another account does not have it.
        on_left_out: Is told what no entry can say.
    """

    def __init__(self, *, ontologies: bool = True, on_left_out: Callable[[LeftOut], None] = lambda _: None) -> None:
        self._ontologies = ontologies
        self._on_left_out = on_left_out
        self._keys = KeyMaker()
        self._references: dict[str, str] = {}
        self._people: dict[str, str] = {}

    def dataset(self, dataset: Dataset, *, has_backing_folder: bool = False) -> Iterator[Entry]:
        """The entry of a dataset, if a manifest can say it."""
        made = self._made(
            "dataset",
            dataset.title,
            dataset.dataset_hash,
            lambda: DatasetEntry(
                key=self._keys.make(dataset.title, "dataset"),
                title=dataset.title,
                description=dataset.description or "",
                storage=StorageLocation.CORD_STORAGE if dataset.type is None else StorageLocation(dataset.type),
                create_backing_folder=has_backing_folder,
            ),
        )
        if made is not None:
            self._references[dataset.dataset_hash] = f"@{made.key}"
            yield made

    def ontology(self, ontology: Ontology) -> Iterator[Entry]:
        """The entry of an ontology, if a manifest can say it; an empty structure goes without saying."""
        made = self._made(
            "ontology",
            ontology.title,
            ontology.ontology_uuid,
            lambda: OntologyEntry(
                key=self._keys.make(ontology.title, "ontology"),
                title=ontology.title,
                description=ontology.description or "",
                structure=ontology.editor if any(ontology.editor.values()) else None,
            ),
        )
        if made is not None:
            self._references[ontology.ontology_uuid] = f"@{made.key}"
            yield made

    def organisation_user(self, user: OrganisationUser) -> Iterator[Entry]:
        """The entry of a member of the organisation, if a manifest can say it."""
        if user.email.casefold() in self._people:
            return
        made = self._made(
            "user of the organisation",
            user.email,
            "",
            lambda: _organisation_user_entry(user, self._keys),
        )
        if made is not None:
            self._people[user.email.casefold()] = f"@{made.key}"
            yield made

    def group(self, group: Group, members: Sequence[str] | Unlisted) -> Iterator[Entry]:
        """The entry of a group, if a manifest can say it; members of the organisation stand in it by their keys."""
        if isinstance(members, Unlisted):
            self._leave_out("users of a group", group.name, group.group_hash, members.reason)
            members = ()
        people = tuple(self._people_in(group, members))
        made = self._made(
            "group",
            group.name,
            group.group_hash,
            lambda: GroupEntry(
                key=self._keys.make(group.name, "group"),
                name=group.name,
                description=group.description or "",
                members=people,
            ),
        )
        if made is not None:
            self._references[group.group_hash] = f"@{made.key}"
            yield made

    def _people_in(self, group: Group, members: Sequence[str]) -> Iterator[str]:
        """Keys where the manifest has them, so that everybody is in the organisation before they are in the group."""
        for folded, email in {email.casefold(): email for email in sorted(members)}.items():
            made = self._made(
                "user of a group",
                email,
                group.group_hash,
                partial(GroupEntry, name=group.name, members=(self._people.get(folded, email),)),
            )
            if made is not None:
                yield from made.members

    def project(self, contents: Contents) -> Iterator[Entry]:
        """The entries of a project: its own, and others for what that one has no room for."""
        project = contents.project
        hashes = dict.fromkeys(dataset.dataset_hash for dataset in project.datasets)
        wished = sorted((title, sorted(scopes)) for title, scopes in contents.api_keys)
        keys = [key for title, scopes in wished for key in self._api_key(project, title, scopes)]
        # Within its entry the API keys of a project have different titles.
        first: dict[str, APIKeyWish] = {}
        for key in keys:
            first.setdefault(key.title, key)
        made = self._made(
            "project",
            project.title,
            project.project_hash,
            lambda: ProjectEntry(
                key=self._keys.make(project.title, "project"),
                title=project.title,
                description=project.description or "",
                ontology=self._ontology_of(project),
                datasets=tuple(self._references[one] for one in hashes if one in self._references),
                users=tuple(self._users(contents)),
                api_keys=tuple(first.values()),
            ),
        )
        if made is None:
            return
        yield made
        reference = f"@{made.key}"
        others = tuple(one for one in hashes if one not in self._references)
        if others:
            # By themselves, because an account that may not attach them can still have the rest.
            yield from self._others(project, reference, others)
        for key in keys:
            if first[key.title] is not key:
                yield ProjectAPIKeyEntry(project=reference, title=key.title, scopes=key.scopes)
        yield from self._groups(contents, reference)

    def _ontology_of(self, project: Project) -> str | None:
        """Its reference, or its hash where it is not the account's own."""
        if not self._ontologies or not project.ontology_hash:
            return None
        return self._references.get(project.ontology_hash, project.ontology_hash)

    def _groups(self, contents: Contents, reference: str) -> Iterator[Entry]:
        project = contents.project
        if isinstance(contents.groups, Unlisted):
            self._leave_out("groups of a project", project.title, project.project_hash, contents.groups.reason)
            return
        in_roles: dict[tuple[bool, int], list[str]] = {}
        for group_hash, role in sorted(contents.groups.items()):
            # Those of others by themselves, because an account that may not admit them can still have the rest.
            ours = group_hash in self._references
            in_roles.setdefault((not ours, role), []).append(self._references.get(group_hash, group_hash))
        for (_, role), groups in sorted(in_roles.items()):
            made = self._made(
                "groups of a project",
                project.title,
                project.project_hash,
                partial(_groups_entry, project=reference, groups=sorted(groups), role=role),
            )
            if made is not None:
                yield made

    def _others(self, project: Project, reference: str, hashes: tuple[str, ...]) -> Iterator[Entry]:
        made = self._made(
            "datasets of a project",
            project.title,
            project.project_hash,
            lambda: ProjectDatasetsEntry(project=reference, add=hashes),
        )
        if made is not None:
            yield made

    def _api_key(self, project: Project, title: str, scopes: Iterable[str]) -> Iterator[APIKeyWish]:
        known = [scope for scope in APIKeyScope if scope in set(scopes)]
        if len(known) != len(set(scopes)):
            self._leave_out("API key", title, project.project_hash, "it has a scope that is not known here")
            return
        made = self._made("API key", title, project.project_hash, lambda: APIKeyWish(title=title, scopes=tuple(known)))
        if made is not None:
            yield made

    def _users(self, contents: Contents) -> Iterator[UserWish]:
        if isinstance(contents.users, Unlisted):
            project = contents.project
            self._leave_out("users of a project", project.title, project.project_hash, contents.users.reason)
            return
        seen: set[str] = set()
        for email, role in sorted(contents.users.items()):
            if email.casefold() in seen:
                continue
            seen.add(email.casefold())
            user = self._user(contents.project, email, role)
            if user is not None:
                yield user

    def _user(self, project: Project, email: str, role: int) -> UserWish | None:
        return self._made(
            "user", email, project.project_hash, lambda: UserWish(email=email, role=ProjectUserRole(role))
        )

    def _made(self, what: str, title: str, found_hash: str, make: Callable[[], E]) -> E | None:
        try:
            return make()
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            self._leave_out(what, title, found_hash, f"no entry can say its {where}: {first['msg']}")
        except ValueError as error:
            self._leave_out(what, title, found_hash, f"no entry can say it: {error}")
        return None

    def _leave_out(self, what: str, title: str, found_hash: str, reason: str) -> None:
        self._on_left_out(LeftOut(what=what, title=title, hash=found_hash, reason=reason))


def _organisation_user_entry(user: OrganisationUser, keys: KeyMaker) -> OrganisationUserEntry:
    role, member_type = OrganisationRole(user.role_mnemonic_name), MemberType(user.member_type)
    if role is OrganisationRole.ADMIN and member_type is not MemberType.INTERNAL:
        raise ValueError("only an internal member can be Admin of an organisation")
    return OrganisationUserEntry(
        key=keys.make(user.email, "user"), email=user.email, role=role, member_type=member_type
    )


def _groups_entry(*, project: str, groups: Sequence[str], role: int) -> ProjectGroupsEntry:
    return ProjectGroupsEntry(project=project, add=tuple(groups), role=ProjectUserRole(role))


def entry_json(entry: Entry) -> dict[str, object]:
    """*entry* as a manifest has it: roles and storages as words, and nothing that goes without saying."""
    shown: dict[str, object] = {"kind": entry.kind, **entry.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(entry, DatasetEntry) and "storage" in shown:
        shown["storage"] = _STORAGES[entry.storage]
    if isinstance(entry, ProjectEntry) and entry.users:
        shown["users"] = [{"email": user.email, "role": user.role.name.lower()} for user in entry.users]
    if isinstance(entry, OrganisationUserEntry) and "role" in shown:
        shown["role"] = entry.role.value.lower()
    if isinstance(entry, ProjectGroupsEntry) and entry.role is not None:
        shown["role"] = entry.role.name.lower()
    return shown


# ---------------------------------------------------------------------- reading


@dataclass(slots=True)
class Exported:
    """The sums of an export."""

    datasets: int = 0
    projects: int = 0
    api_keys: int = 0
    users: int = 0
    ontologies: int = 0
    groups: int = 0
    organisation_users: int = 0
    entries: int = 0
    left_out: int = 0
    unlisted: int = 0
    """Projects whose users the service does not list."""
    not_listed: list[str] = field(default_factory=list)
    """What else the service does not list, in words."""

    def note(self, entry: Entry) -> None:
        """Count *entry*."""
        self.entries += 1
        self.datasets += isinstance(entry, DatasetEntry)
        self.projects += isinstance(entry, ProjectEntry)
        self.api_keys += isinstance(entry, ProjectAPIKeyEntry)
        self.ontologies += isinstance(entry, OntologyEntry)
        self.groups += isinstance(entry, GroupEntry)
        self.organisation_users += isinstance(entry, OrganisationUserEntry)
        if isinstance(entry, ProjectEntry):
            self.api_keys += len(entry.api_keys)
            self.users += len(entry.users)

    def as_json(self) -> dict[str, object]:
        """Numbers by what they count."""
        numbers = {"entries": self.entries, "datasets": self.datasets, "projects": self.projects}
        numbers |= {"api_keys": self.api_keys, "users": self.users, "ontologies": self.ontologies}
        numbers |= {"groups": self.groups, "organisation_users": self.organisation_users}
        return {**numbers, "left_out": self.left_out}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much of an account is written down.

    Attributes:
        ontologies: Ontologies, and which of them each project has.
        users: Users of projects, the account itself among them, of groups and of the organisation.
        organisation: Users and groups of the organisation, and the groups of projects.
    """

    ontologies: bool = True
    users: bool = True
    organisation: bool = True


_EVERYTHING: Final = Scope()


async def export(
    session: Session,
    on_entry: Callable[[Entry], None],
    *,
    scope: Scope = _EVERYTHING,
    on_left_out: Callable[[LeftOut], None] = lambda _: None,
) -> Exported:
    """Write down the account of *session*; only reads are sent.

    Args:
        session: Reads.
        on_entry: Is given each entry of the manifest, in its order; what an entry refers to comes before it.
        scope: How much.
        on_left_out: Is told of each thing that is left out, and why.

    Raises:
        EncordError: The account cannot be read.
    """
    exported = Exported()

    def leave_out(left: LeftOut) -> None:
        exported.left_out += 1
        on_left_out(left)

    def note(entries: Iterable[Entry]) -> None:
        for entry in entries:
            exported.note(entry)
            on_entry(entry)

    exporter = Exporter(ontologies=scope.ontologies, on_left_out=leave_out)
    work = _Export(session, exporter, scope, exported, note, leave_out)
    await work.datasets()
    if scope.ontologies:
        await work.ontologies()
    if scope.organisation:
        await work.organisation()
    await work.projects()
    return exported


@dataclass(frozen=True, slots=True)
class _Export:
    """Reads one part of the account after the other, and hands out its entries."""

    session: Session
    exporter: Exporter
    scope: Scope
    exported: Exported
    note: Callable[[Iterable[Entry]], None]
    leave_out: Callable[[LeftOut], None]

    async def datasets(self) -> None:
        # Only REST v2 says which have a folder behind them.
        listed = await listing(self.session, ListDatasetsV2())
        backed: set[str] = set()
        if isinstance(listed, Unlisted):
            self.exported.not_listed.append("which datasets have a backing folder")
        else:
            backed = {one.dataset_uuid for one in listed if one.backing_folder_uuid}
        for owned in sorted(await self.session.execute(ListDatasets()), key=_dataset_age):
            dataset = owned.dataset
            if owned.user_role == DatasetUserRole.ADMIN:
                self.note(self.exporter.dataset(dataset, has_backing_folder=dataset.dataset_hash in backed))
            else:
                self.leave_out(_foreign("dataset", dataset.title, dataset.dataset_hash))

    async def ontologies(self) -> None:
        """Page by page, because each ontology comes with its whole structure."""
        try:
            async for page in self.session.pages(ListOntologies()):
                for ontology in page.results:
                    if ontology.user_role == OntologyUserRole.ADMIN:
                        self.note(self.exporter.ontology(ontology))
                    else:
                        self.leave_out(_foreign("ontology", ontology.title, ontology.ontology_uuid))
        except AuthenticationError:
            raise
        except RefusedError:
            self.exported.not_listed.append("ontologies, which projects name by their hashes")

    async def organisation(self) -> None:
        if self.scope.users:
            users = await listing(self.session, ListOrganisationUsers())
            if isinstance(users, Unlisted):
                self.exported.not_listed.append("users of the organisation")
                users = ()
            for user in users:
                self.note(self.exporter.organisation_user(user))
        groups = await listing(self.session, ListGroups())
        if isinstance(groups, Unlisted):
            self.exported.not_listed.append("groups")
            return
        for group, members in zip(groups, await _each(self.session, groups, self._members), strict=True):
            self.note(self.exporter.group(group, members))

    async def _members(self, group: Group) -> Sequence[str] | Unlisted:
        if not self.scope.users:
            return ()
        listed = await listing(self.session, ListGroupMembers(group_hash=group.group_hash))
        return listed if isinstance(listed, Unlisted) else [member.user_email for member in listed]

    async def projects(self) -> None:
        projects: list[ListedProject] = []
        for listed in sorted(await self.session.execute(ListProjects()), key=_project_age):
            if listed.user_role == ProjectUserRole.ADMIN:
                projects.append(listed.project)
            else:
                self.leave_out(_foreign("project", listed.project.title, listed.project.project_hash))
        for start in range(0, len(projects), _CHUNK):
            for found in await _each(self.session, projects[start : start + _CHUNK], self._contents):
                if isinstance(found, LeftOut):
                    self.leave_out(found)
                else:
                    self.exported.unlisted += isinstance(found.users, Unlisted)
                    self.note(self.exporter.project(found))

    async def _contents(self, listed: ListedProject) -> Contents | LeftOut:
        about = listed.project_hash
        try:
            project = await self.session.execute(GetProject(project_hash=about))
            keys = await self.session.execute(ListProjectAPIKeys(project_hash=about))
            members = await members_of(self.session, about) if self.scope.users else {}
            groups = await groups_of(self.session, about) if self.exported.groups else {}
        except AuthenticationError:
            raise
        except RefusedError as error:
            return LeftOut(what="project", title=listed.title, hash=about, reason=error.message)
        api_keys = [(key.title, key.scopes) for key in keys]
        return Contents(project=project, api_keys=api_keys, users=members, groups=groups)


def _dataset_age(owned: OwnedDataset) -> tuple[datetime, str]:
    return owned.dataset.created_at or _EARLIEST, owned.dataset.dataset_hash


def _project_age(owned: OwnedProject) -> tuple[datetime, str]:
    return owned.project.created_at or _EARLIEST, owned.project.project_hash


def _foreign(what: str, title: str, found_hash: str) -> LeftOut:
    return LeftOut(what=what, title=title, hash=found_hash, reason="the account is not admin of it")


async def _each(session: Session, things: Sequence[T], read: Callable[[T], Awaitable[FoundT]]) -> Sequence[FoundT]:
    """What *read* gives for each of *things*, several at a time; what comes back is in their order."""
    found: dict[int, FoundT] = {}

    async def note(numbered: tuple[int, T]) -> None:
        index, thing = numbered
        found[index] = await read(thing)

    await each(enumerate(things), note, at_once=session.settings.concurrency)
    return [found[index] for index in range(len(things))]
