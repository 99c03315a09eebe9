"""What an emulator starts with: read from a seed file, made up if there is none, and written into an empty store.

It never touches a store that already holds data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from encord_async.emulator.projects import EMPTY_ONTOLOGY
from encord_async.emulator.rules import ADMIN
from encord_async.emulator.store import Store, UserRow
from encord_async.emulator.verify import KeyPair, make_key_pair, public_key_hex
from encord_async.protocol.catalogue import ResourceType, StorageLocation

__all__ = [
    "DEFAULT_EMAIL",
    "Seed",
    "SeedDataset",
    "SeedError",
    "SeedOntology",
    "SeedProject",
    "SeedUser",
    "default_seed",
    "plant",
    "read_seed",
    "read_yaml",
]

DEFAULT_EMAIL: Final = "emulator@example.com"
"""The user of an emulator without a seed."""

_DEFAULT_DATASETS: Final = 100


class SeedError(Exception):
    """A seed or rule file that cannot be used; the message names the file and the path of the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedUser:
    """A user, with the public key (64 hex digits) and the bearer token that prove it is them, if any."""

    email: str
    public_key: str | None = None
    bearer_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDataset:
    """A dataset and its Admins' e-mail addresses."""

    hash: str
    title: str
    admins: tuple[str, ...]
    description: str = ""
    type: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedOntology:
    """An ontology and its Admins' e-mail addresses."""

    hash: str
    title: str
    admins: tuple[str, ...]
    editor_ontology: Mapping[str, object]
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedProject:
    """A project, its Admins' e-mail addresses and the hashes of what it uses; a new ontology if none is named."""

    hash: str
    title: str
    admins: tuple[str, ...]
    datasets: tuple[str, ...] = ()
    description: str = ""
    ontology_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """All that an emulator starts with."""

    users: tuple[SeedUser, ...]
    datasets: tuple[SeedDataset, ...] = ()
    ontologies: tuple[SeedOntology, ...] = ()
    projects: tuple[SeedProject, ...] = ()


def default_seed() -> tuple[Seed, KeyPair]:
    """Return one user with a new key, Admin of a hundred datasets whose hashes are the same each time."""
    pair = make_key_pair()
    datasets = tuple(
        SeedDataset(
            hash=f"00000000-0000-4000-8000-{number:012d}",
            title=f"Dataset {number:03d}",
            admins=(DEFAULT_EMAIL,),
        )
        for number in range(1, _DEFAULT_DATASETS + 1)
    )
    return Seed(users=(SeedUser(email=DEFAULT_EMAIL, public_key=pair.public_hex),), datasets=datasets), pair


def plant(store: Store, seed: Seed, *, now_us: int) -> None:
    """Write *seed* into an empty *store*, in one transaction of the caller's."""
    users = {}
    for entry in seed.users:
        user = users[entry.email.lower()] = store.user(entry.email)
        for secret in (entry.public_key, entry.bearer_token):
            if secret is not None:
                store.register(user, secret)
    store.organisation.enrol_first(now_us)
    first = users[seed.users[0].email.lower()]
    datasets = {}
    for dataset in seed.datasets:
        admins = [users[email.lower()] for email in dataset.admins]
        row = store.add_dataset(
            title=dataset.title,
            description=dataset.description,
            type_=dataset.type,
            creator=admins[0] if admins else first,
            backing_folder=False,
            now_us=now_us,
            hash_=dataset.hash,
        )
        datasets[dataset.hash] = row.id
        _admit(store, ResourceType.DATASET, row.id, admins, now_us)
    ontologies = _plant_ontologies(store, seed, users, now_us)
    for project in seed.projects:
        _plant_project(store, project, users, datasets, ontologies, now_us)


def _plant_ontologies(store: Store, seed: Seed, users: Mapping[str, UserRow], now_us: int) -> dict[str, int]:
    ids = {}
    for ontology in seed.ontologies:
        ids[ontology.hash] = store.add_ontology(
            title=ontology.title,
            description=ontology.description,
            editor=dict(ontology.editor_ontology),
            now_us=now_us,
            hash_=ontology.hash,
        ).id
        admins = [users[email.lower()] for email in ontology.admins]
        _admit(store, ResourceType.ONTOLOGY, ids[ontology.hash], admins, now_us)
    return ids


def _plant_project(
    store: Store,
    project: SeedProject,
    users: Mapping[str, UserRow],
    datasets: Mapping[str, int],
    ontologies: Mapping[str, int],
    now_us: int,
) -> None:
    admins = [users[email.lower()] for email in project.admins]
    if project.ontology_hash is None:
        made = store.add_ontology(title=project.title, description="", editor=EMPTY_ONTOLOGY, now_us=now_us)
        _admit(store, ResourceType.ONTOLOGY, made.id, admins, now_us)
        ontology_id = made.id
    else:
        ontology_id = ontologies[project.ontology_hash]
    row = store.add_project(
        title=project.title,
        description=project.description,
        ontology_id=ontology_id,
        sources=[],
        now_us=now_us,
        hash_=project.hash,
    )
    _admit(store, ResourceType.PROJECT, row.id, admins, now_us)
    store.attach(row.id, [datasets[hash_] for hash_ in project.datasets], now_us)


def _admit(store: Store, kind: ResourceType, id_: int, admins: list[UserRow], now_us: int) -> None:
    for user in admins:
        store.join(kind, id_, user.id, ADMIN, now_us)


def read_yaml(path: Path) -> object:
    """Return what the YAML (or JSON) file *path* says.

    Raises:
        SeedError: The file cannot be read, is not YAML, or PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise SeedError(f"{path}: reading it needs PyYAML; install it with: pip install 'encord-async[cli]'") from error
    try:
        value: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise SeedError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    return value


def read_seed(path: Path) -> Seed:
    """Return the seed of the file *path*.

    Raises:
        SeedError: Names the file, the path of the field, and what it has to be.
    """
    root = _Node(f"{path}", read_yaml(path)).fields("users", "datasets", "ontologies", "projects")
    users = tuple(_read_user(node) for node in root.items("users"))
    if not users:
        raise SeedError(f"{path}: users: has to name at least one user")
    emails = frozenset(user.email.lower() for user in users)
    seed = Seed(
        users=users,
        datasets=tuple(_read_dataset(node, emails) for node in root.items("datasets")),
        ontologies=tuple(_read_ontology(node, emails) for node in root.items("ontologies")),
        projects=tuple(_read_project(node, emails) for node in root.items("projects")),
    )
    _check_hashes(path, seed)
    return seed


def _read_user(node: "_Node") -> SeedUser:
    node.fields("email", "public_key", "bearer_token")
    line = node.text("public_key", "")
    try:
        public_key = public_key_hex(line) if line else None
    except ValueError as error:
        raise node.error("public_key", str(error)) from error
    return SeedUser(email=node.text("email"), public_key=public_key, bearer_token=node.text("bearer_token", "") or None)


def _read_dataset(node: "_Node", emails: frozenset[str]) -> SeedDataset:
    node.fields("hash", "title", "admins", "description", "type")
    type_ = node.get("type", 0)
    if isinstance(type_, bool) or not isinstance(type_, int) or type_ not in tuple(StorageLocation):
        raise node.error("type", "has to be a storage location, 0 to 4")
    return SeedDataset(
        hash=node.hash(),
        title=node.text("title"),
        admins=node.known("admins", emails, "users"),
        description=node.text("description", ""),
        type=type_,
    )


def _read_ontology(node: "_Node", emails: frozenset[str]) -> SeedOntology:
    node.fields("hash", "title", "admins", "description", "editor_ontology")
    editor = node.get("editor_ontology", dict(EMPTY_ONTOLOGY))
    if not isinstance(editor, dict):
        raise node.error("editor_ontology", "has to be an object")
    return SeedOntology(
        hash=node.hash(),
        title=node.text("title"),
        admins=node.known("admins", emails, "users"),
        description=node.text("description", ""),
        editor_ontology=editor,
    )


def _read_project(node: "_Node", emails: frozenset[str]) -> SeedProject:
    node.fields("hash", "title", "admins", "description", "datasets", "ontology_hash")
    return SeedProject(
        hash=node.hash(),
        title=node.text("title"),
        admins=node.known("admins", emails, "users"),
        datasets=node.texts("datasets"),
        description=node.text("description", ""),
        ontology_hash=node.text("ontology_hash", "") or None,
    )


def _check_hashes(path: Path, seed: Seed) -> None:
    known = {
        name: _unique(path, name, [entry.hash for entry in entries])
        for name, entries in (
            ("datasets", seed.datasets),
            ("ontologies", seed.ontologies),
            ("projects", seed.projects),
        )
    }
    for index, project in enumerate(seed.projects):
        for position, hash_ in enumerate(project.datasets):
            if hash_ not in known["datasets"]:
                raise SeedError(f"{path}: projects[{index}].datasets[{position}]: {hash_!r} is none of datasets")
        if project.ontology_hash is not None and project.ontology_hash not in known["ontologies"]:
            raise SeedError(f"{path}: projects[{index}].ontology_hash: {project.ontology_hash!r} is none of ontologies")


def _unique(path: Path, name: str, hashes: list[str]) -> frozenset[str]:
    seen: set[str] = set()
    for index, hash_ in enumerate(hashes):
        if hash_ in seen:
            raise SeedError(f"{path}: {name}[{index}].hash: {hash_!r} is there twice")
        seen.add(hash_)
    return frozenset(seen)


class _Node:
    """One object of a seed file, which knows where it stands."""

    def __init__(self, where: str, raw: object) -> None:
        self._where = where
        if not isinstance(raw, dict):
            raise SeedError(f"{where}: has to be an object")
        self._raw: Mapping[object, object] = raw

    def error(self, field: str, text: str) -> SeedError:
        joint = "." if self._where.endswith("]") else ": "
        return SeedError(f"{self._where}{joint}{field}: {text}")

    def fields(self, *known: str) -> "_Node":
        for key in self._raw:
            if key not in known:
                raise self.error(str(key), f"is not known here; known are {', '.join(known)}")
        return self

    def get(self, field: str, default: object) -> object:
        value = self._raw.get(field)
        return default if value is None else value

    def text(self, field: str, default: str | None = None) -> str:
        value = self.get(field, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.error(field, "is missing" if value is None else "has to be a string that is not empty")
        return value

    def hash(self) -> str:
        return self.text("hash", "") or str(uuid4())

    def items(self, field: str) -> "Iterator[_Node]":
        joint = "." if self._where.endswith("]") else ": "
        for index, item in enumerate(self._list(field)):
            yield _Node(f"{self._where}{joint}{field}[{index}]", item)

    def texts(self, field: str) -> tuple[str, ...]:
        values = []
        for index, value in enumerate(self._list(field)):
            if not isinstance(value, str):
                raise self.error(f"{field}[{index}]", "has to be a string")
            values.append(value)
        return tuple(values)

    def known(self, field: str, names: frozenset[str], of: str) -> tuple[str, ...]:
        values = self.texts(field)
        for index, value in enumerate(values):
            if value.lower() not in names:
                raise self.error(f"{field}[{index}]", f"{value!r} is none of {of}")
        return values

    def _list(self, field: str) -> list[object]:
        value = self.get(field, [])
        if not isinstance(value, list):
            raise self.error(field, "has to be a list")
        return value
