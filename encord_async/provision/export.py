"""Writes an account down as a manifest: datasets, projects with datasets, users and API keys (title and scopes).

`export` reads, and `Exporter`, which is pure, makes entries of what was read. Only reads are sent, and the API keys
themselves, which the service shows, go nowhere. Kept in memory are the listings of the account and, for each dataset,
its key; projects are read some hundreds at a time.

What is exported is what the account is admin of, for nobody else could make it again. The order is that in which things
were made, so that what comes later changes nothing about the keys that were given before. A manifest cannot say which
workflow a project was made with, because the service does not show it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from pydantic import ValidationError

from encord_async.errors import AuthenticationError, RefusedError
from encord_async.protocol.catalogue import APIKeyScope, DatasetUserRole, ProjectUserRole, StorageLocation
from encord_async.protocol.models import Dataset, ListedProject, OwnedDataset, OwnedProject, Project
from encord_async.protocol.operations import GetProject, ListDatasets, ListProjectAPIKeys, ListProjects
from encord_async.provision.crew import each
from encord_async.provision.manifest import (
    APIKeyWish,
    DatasetEntry,
    Entry,
    ProjectAPIKeyEntry,
    ProjectDatasetsEntry,
    ProjectEntry,
    UserWish,
)
from encord_async.provision.members import Members, Unlisted, members_of
from encord_async.session.session import Session

__all__ = ["Contents", "Exported", "Exporter", "KeyMaker", "LeftOut", "entry_json", "export"]

E = TypeVar("E")

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
    """A project as the service shows it: its API keys as title and scopes, its users if it lists them."""

    project: Project
    api_keys: Sequence[tuple[str, Sequence[str]]] = ()
    users: Members | Unlisted = field(default_factory=dict)


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

    def dataset(self, dataset: Dataset) -> Iterator[Entry]:
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
            ),
        )
        if made is not None:
            self._references[dataset.dataset_hash] = f"@{made.key}"
            yield made

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
                ontology_hash=project.ontology_hash or None if self._ontologies else None,
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


def entry_json(entry: Entry) -> dict[str, object]:
    """*entry* as a manifest has it: roles and storages as words, and nothing that goes without saying."""
    shown: dict[str, object] = {"kind": entry.kind, **entry.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(entry, DatasetEntry) and "storage" in shown:
        shown["storage"] = _STORAGES[entry.storage]
    if isinstance(entry, ProjectEntry) and entry.users:
        shown["users"] = [{"email": user.email, "role": user.role.name.lower()} for user in entry.users]
    return shown


# ---------------------------------------------------------------------- reading


@dataclass(slots=True)
class Exported:
    """The sums of an export."""

    datasets: int = 0
    projects: int = 0
    api_keys: int = 0
    users: int = 0
    entries: int = 0
    left_out: int = 0
    unlisted: int = 0
    """Projects whose users the service does not list."""

    def note(self, entry: Entry) -> None:
        """Count *entry*."""
        self.entries += 1
        self.datasets += isinstance(entry, DatasetEntry)
        self.projects += isinstance(entry, ProjectEntry)
        self.api_keys += isinstance(entry, ProjectAPIKeyEntry)
        if isinstance(entry, ProjectEntry):
            self.api_keys += len(entry.api_keys)
            self.users += len(entry.users)

    def as_json(self) -> dict[str, object]:
        """Numbers by what they count."""
        numbers = {"entries": self.entries, "datasets": self.datasets, "projects": self.projects}
        return {**numbers, "api_keys": self.api_keys, "users": self.users, "left_out": self.left_out}


async def export(
    session: Session,
    on_entry: Callable[[Entry], None],
    *,
    ontologies: bool = True,
    users: bool = True,
    on_left_out: Callable[[LeftOut], None] = lambda _: None,
) -> Exported:
    """Write down the account of *session*; only reads are sent.

    Args:
        session: Reads.
        on_entry: Is given each entry of the manifest, in its order; what an entry refers to comes before it.
        ontologies: Write down the ontology of each project. Another account does not have it.
        users: Write down the users of each project, the account itself among them.
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

    exporter = Exporter(ontologies=ontologies, on_left_out=leave_out)
    for owned in sorted(await session.execute(ListDatasets()), key=_dataset_age):
        if owned.user_role == DatasetUserRole.ADMIN:
            note(exporter.dataset(owned.dataset))
        else:
            leave_out(_foreign("dataset", owned.dataset.title, owned.dataset.dataset_hash))
    projects: list[ListedProject] = []
    for listed in sorted(await session.execute(ListProjects()), key=_project_age):
        if listed.user_role == ProjectUserRole.ADMIN:
            projects.append(listed.project)
        else:
            leave_out(_foreign("project", listed.project.title, listed.project.project_hash))
    for start in range(0, len(projects), _CHUNK):
        for found in await _read(session, projects[start : start + _CHUNK], users=users):
            if isinstance(found, LeftOut):
                leave_out(found)
            else:
                exported.unlisted += isinstance(found.users, Unlisted)
                note(exporter.project(found))
    return exported


def _dataset_age(owned: OwnedDataset) -> tuple[datetime, str]:
    return owned.dataset.created_at or _EARLIEST, owned.dataset.dataset_hash


def _project_age(owned: OwnedProject) -> tuple[datetime, str]:
    return owned.project.created_at or _EARLIEST, owned.project.project_hash


def _foreign(what: str, title: str, found_hash: str) -> LeftOut:
    return LeftOut(what=what, title=title, hash=found_hash, reason="the account is not admin of it")


async def _read(session: Session, listed: Sequence[ListedProject], *, users: bool) -> Sequence[Contents | LeftOut]:
    """Read *listed*, several at a time; what comes back is in their order."""
    found: dict[int, Contents | LeftOut] = {}

    async def read(numbered: tuple[int, ListedProject]) -> None:
        index, project = numbered
        found[index] = await _contents(session, project, users=users)

    await each(enumerate(listed), read, at_once=session.settings.concurrency)
    return [found[index] for index in range(len(listed))]


async def _contents(session: Session, listed: ListedProject, *, users: bool) -> Contents | LeftOut:
    try:
        project = await session.execute(GetProject(project_hash=listed.project_hash))
        keys = await session.execute(ListProjectAPIKeys(project_hash=listed.project_hash))
        members = await members_of(session, listed.project_hash) if users else {}
    except AuthenticationError:
        raise
    except RefusedError as error:
        return LeftOut(what="project", title=listed.title, hash=listed.project_hash, reason=error.message)
    return Contents(project=project, api_keys=[(key.title, key.scopes) for key in keys], users=members)
