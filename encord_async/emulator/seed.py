"""What an emulator starts with: read from a seed file, made up if there is none, and written into an empty store.

It never touches a store that already holds data. The classes are the models of a seed file, too: what a program makes
of them is taken as it is, what a file says is checked against their types.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Final, TypeAlias, TypeVar
from uuid import uuid4

from pydantic import AfterValidator, Field, TypeAdapter

from encord_async.emulator.checking import ENTRY, UNKNOWN, Text, Texts, Title, has_to_be, read, without
from encord_async.emulator.rules.jobs import UNREADABLE
from encord_async.emulator.rules.ontologies import EMPTY_ONTOLOGY
from encord_async.emulator.signatures import KeyPair, make_key_pair, public_key_hex
from encord_async.emulator.store import Store, UserRow
from encord_async.protocol.catalogue import StageType, StorageLocation

__all__ = [
    "DEFAULT_EMAIL",
    "Seed",
    "SeedDataset",
    "SeedError",
    "SeedFolder",
    "SeedIntegration",
    "SeedOntology",
    "SeedProject",
    "SeedStage",
    "SeedTemplate",
    "SeedUser",
    "complete",
    "default_seed",
    "plant",
    "read_seed",
    "read_yaml",
    "stand_ins",
]

DEFAULT_EMAIL: Final = "emulator@example.com"
"""The user of an emulator without a seed."""

_DEFAULT_DATASETS: Final = 100


OwnedT = TypeVar("OwnedT", "SeedDataset", "SeedOntology", "SeedProject", "SeedFolder")


_Owned: TypeAlias = "SeedDataset | SeedOntology | SeedProject | SeedFolder"
"""What has Admins."""


class SeedError(Exception):
    """A seed or rule file that cannot be used; the message names the file and the path of the field."""


_GIVEN: Final = without(None, "")


def _new_hash() -> str:
    return str(uuid4())


_Key = Annotated[str, Field(strict=True), has_to_be("a string"), AfterValidator(public_key_hex)]
_Type = Annotated[int, Field(strict=True, ge=0, le=max(StorageLocation)), has_to_be("a storage location, 0 to 4")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedUser:
    """A user, with the public key (64 hex digits) and the bearer token that prove it is them, if any.

    In a file the key is an OpenSSH line.
    """

    __pydantic_config__ = ENTRY
    email: Title
    public_key: _Key | None = None
    bearer_token: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDataset:
    """A dataset and its Admins' e-mail addresses."""

    __pydantic_config__ = ENTRY
    hash: Text = field(default_factory=_new_hash)
    title: Title
    admins: Texts = ()
    description: Text = ""
    type: _Type = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedOntology:
    """An ontology and its Admins' e-mail addresses."""

    __pydantic_config__ = ENTRY
    hash: Text = field(default_factory=_new_hash)
    title: Title
    admins: Texts = ()
    editor_ontology: Annotated[Mapping[str, object], has_to_be("an object")] = field(
        default_factory=lambda: dict(EMPTY_ONTOLOGY)
    )
    description: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedProject:
    """A project, its Admins' e-mail addresses and the hashes of what it uses; a new ontology if none is named."""

    __pydantic_config__ = ENTRY
    hash: Text = field(default_factory=_new_hash)
    title: Title
    admins: Texts = ()
    datasets: Texts = ()
    description: Text = ""
    ontology_hash: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFolder:
    """A storage folder at the top; it belongs to the first of *admins*."""

    __pydantic_config__ = ENTRY
    hash: Text = field(default_factory=_new_hash)
    title: Title
    admins: Texts = ()
    description: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedIntegration:
    """A cloud integration, and the URLs of what a sync finds through it."""

    __pydantic_config__ = ENTRY
    uuid: Text = field(default_factory=_new_hash)
    title: Title
    objects: Texts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedStage:
    """A stage of a workflow."""

    __pydantic_config__ = ENTRY
    title: Title
    type: Annotated[StageType, has_to_be(f"one of {', '.join(StageType)}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTemplate:
    """A workflow for new projects, which name it by its id."""

    __pydantic_config__ = ENTRY
    id: Text = field(default_factory=_new_hash)
    title: Title
    stages: tuple[Annotated[SeedStage, _GIVEN], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """All that an emulator starts with; *tags* are names.

    *unreadable_urls* are patterns in which ``*`` is any text: an upload job fails for each file whose URL fits one.
    """

    __pydantic_config__ = ENTRY
    users: tuple[Annotated[SeedUser, _GIVEN], ...] = ()
    datasets: tuple[Annotated[SeedDataset, _GIVEN], ...] = ()
    ontologies: tuple[Annotated[SeedOntology, _GIVEN], ...] = ()
    projects: tuple[Annotated[SeedProject, _GIVEN], ...] = ()
    folders: tuple[Annotated[SeedFolder, _GIVEN], ...] = ()
    integrations: tuple[Annotated[SeedIntegration, _GIVEN], ...] = ()
    workflow_templates: tuple[Annotated[SeedTemplate, _GIVEN], ...] = ()
    tags: tuple[Title, ...] = ()
    unreadable_urls: Texts = ()


_SORTS: Final = {
    "users": SeedUser,
    "datasets": SeedDataset,
    "ontologies": SeedOntology,
    "projects": SeedProject,
    "folders": SeedFolder,
    "integrations": SeedIntegration,
    "workflow_templates": SeedTemplate,
}


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


def stand_ins(seed: Seed, there: Iterable[tuple[str, str]]) -> Seed:
    """*seed* with what a manifest takes to be there already, and nothing else; its first user is Admin of all that.

    Args:
        seed: Whose users are taken.
        there: The kind of entry that makes such a thing, and its hash, which becomes its title, too.
    """
    hashes: dict[str, list[str]] = {}
    for kind, hash_ in there:
        hashes.setdefault(kind, []).append(hash_)
    admins = (seed.users[0].email,)
    return replace(
        seed,
        datasets=tuple(SeedDataset(hash=one, title=one, admins=admins) for one in hashes.get("dataset", ())),
        ontologies=tuple(SeedOntology(hash=one, title=one, admins=admins) for one in hashes.get("ontology", ())),
        projects=tuple(SeedProject(hash=one, title=one, admins=admins) for one in hashes.get("project", ())),
    )


def complete(seed: Seed, *, public_key: str | None = None) -> Seed:
    """*seed* with `DEFAULT_EMAIL` first, Admins for whatever has none, and every Admin a user.

    Raises:
        SeedError: A project names a dataset or an ontology that is not in the seed.
    """
    hashes = {entry.hash for entry in seed.datasets} | {entry.hash for entry in seed.ontologies}
    for project in seed.projects:
        for named in (*project.datasets, *filter(None, [project.ontology_hash])):
            if named not in hashes:
                raise SeedError(f"project {project.title!r} names {named!r}, which is not in this seed; add it there")
    datasets, ontologies = _administered(seed.datasets), _administered(seed.ontologies)
    projects, folders = _administered(seed.projects), _administered(seed.folders)
    users = {DEFAULT_EMAIL: SeedUser(email=DEFAULT_EMAIL, public_key=public_key)}
    owned: tuple[_Owned, ...] = (*datasets, *ontologies, *projects, *folders)
    for entry in owned:
        users |= {email.lower(): SeedUser(email=email) for email in entry.admins if email.lower() not in users}
    # A user may be there twice: planting takes equal addresses for one user, and registers what each entry brings.
    return replace(
        seed,
        users=(*users.values(), *seed.users),
        datasets=datasets,
        ontologies=ontologies,
        projects=projects,
        folders=folders,
    )


def _administered(entries: tuple[OwnedT, ...]) -> tuple[OwnedT, ...]:
    return tuple(replace(entry, admins=entry.admins or (DEFAULT_EMAIL,)) for entry in entries)


def plant(store: Store, seed: Seed, *, now_us: int) -> None:
    """Write *seed* into an empty *store*, in one transaction of the caller's."""
    users = {}
    for entry in seed.users:
        user = users[entry.email.lower()] = store.user(entry.email)
        for secret in (entry.public_key, entry.bearer_token):
            if secret is not None:
                store.register(user, secret)
    store.organisation.enrol_first(now_us)

    def admins(entry: _Owned) -> list[UserRow]:
        return [users[email.lower()] for email in entry.admins]

    datasets: dict[str, int] = {}
    for dataset in seed.datasets:
        datasets[dataset.hash] = store.add_dataset(
            title=dataset.title,
            description=dataset.description,
            type_=dataset.type,
            creator=(*admins(dataset), users[seed.users[0].email.lower()])[0],
            backing_folder=False,
            admins=[user.id for user in admins(dataset)],
            now_us=now_us,
            hash_=dataset.hash,
        ).id
    ontologies = {entry.hash: _plant_ontology(store, entry, admins(entry), now_us) for entry in seed.ontologies}
    for project in seed.projects:
        if project.ontology_hash is None:
            ontology_id = _plant_ontology(store, SeedOntology(title=project.title), admins(project), now_us)
        else:
            ontology_id = ontologies[project.ontology_hash]
        row = store.add_project(
            title=project.title,
            description=project.description,
            ontology_id=ontology_id,
            admins=[user.id for user in admins(project)],
            now_us=now_us,
            hash_=project.hash,
        )
        store.attach(row.id, [datasets[hash_] for hash_ in project.datasets], now_us)
    for folder in seed.folders:
        store.storage.add_folder(
            name=folder.title,
            description=folder.description,
            owner_id=(*admins(folder), users[seed.users[0].email.lower()])[0].id,
            now_us=now_us,
            hash_=folder.hash,
        )
    _plant_workspace(store, seed)


def _plant_workspace(store: Store, seed: Seed) -> None:
    """Write what belongs to nobody: what is set up in the web application, and what goes wrong."""
    for integration in seed.integrations:
        store.storage.add_integration(hash_=integration.uuid, title=integration.title, objects=integration.objects)
    for template in seed.workflow_templates:
        stages = [(stage.title, str(stage.type)) for stage in template.stages]
        store.workflows.add_template(template.id, template.title, stages)
    for name in seed.tags:
        store.organisation.add_tag(name=name, description="")
    before = json.loads(store.meta(UNREADABLE) or "[]")
    store.set_meta(UNREADABLE, json.dumps([*before, *seed.unreadable_urls]))


def _plant_ontology(store: Store, ontology: SeedOntology, admins: Sequence[UserRow], now_us: int) -> int:
    return store.add_ontology(
        title=ontology.title,
        description=ontology.description,
        editor=dict(ontology.editor_ontology),
        admins=[user.id for user in admins],
        now_us=now_us,
        hash_=ontology.hash,
    ).id


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

    def mistake(place: str, text: str) -> SeedError:
        if text == UNKNOWN:
            sort = _SORTS.get(place.partition("[")[0], Seed)
            text += f"; known are {', '.join(one.name for one in fields(sort))}"
        return SeedError(": ".join(filter(None, (str(path), place, text))))

    seed = read(_FILE, read_yaml(path), mistake)
    if not seed.users:
        raise mistake("users", "has to name at least one user")
    for place, text in _contradictions(seed):
        raise mistake(place, text)
    return seed


_FILE: Final = TypeAdapter(Annotated[Seed, _GIVEN])


def _contradictions(seed: Seed) -> Iterator[tuple[str, str]]:
    """Where and how entries do not fit together."""
    emails = {user.email.lower() for user in seed.users}
    known: dict[str, set[str]] = {}
    sorts: dict[str, Sequence[_Owned]] = {
        "datasets": seed.datasets,
        "ontologies": seed.ontologies,
        "projects": seed.projects,
        "folders": seed.folders,
    }
    for sort, entries in sorts.items():
        hashes = known[sort] = set()
        for index, entry in enumerate(entries):
            for position, email in enumerate(entry.admins):
                if email.lower() not in emails:
                    yield f"{sort}[{index}].admins[{position}]", f"{email!r} is none of users"
            if entry.hash in hashes:
                yield f"{sort}[{index}].hash", f"{entry.hash!r} is there twice"
            hashes.add(entry.hash)
    for index, project in enumerate(seed.projects):
        for position, hash_ in enumerate(project.datasets):
            if hash_ not in known["datasets"]:
                yield f"projects[{index}].datasets[{position}]", f"{hash_!r} is none of datasets"
        if project.ontology_hash is not None and project.ontology_hash not in known["ontologies"]:
            yield f"projects[{index}].ontology_hash", f"{project.ontology_hash!r} is none of ontologies"
    yield from _repetitions(seed)


def _repetitions(seed: Seed) -> Iterator[tuple[str, str]]:
    """Where something that belongs to nobody is there twice."""
    names: dict[str, tuple[str, Sequence[str]]] = {
        "integrations": (".uuid", [one.uuid for one in seed.integrations]),
        "workflow_templates": (".id", [one.id for one in seed.workflow_templates]),
        "tags": ("", seed.tags),
    }
    for sort, (name, values) in names.items():
        for index, value in enumerate(values):
            if value in values[:index]:
                yield f"{sort}[{index}]{name}", f"{value!r} is there twice"
