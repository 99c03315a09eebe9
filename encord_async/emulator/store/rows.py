"""The tables of projects, datasets, ontologies and their users and keys, their rows, and the kinds of resources.

Data only; the organisation's tables are in `encord_async.emulator.store.organisation`.
"""

from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from encord_async.protocol.catalogue import ResourceType

__all__ = [
    "ADMIN",
    "DATASET",
    "ONTOLOGY",
    "PROJECT",
    "SCHEMA",
    "DatasetRow",
    "KeyRow",
    "Kind",
    "OntologyRow",
    "ProjectRow",
    "Row",
    "UserRow",
    "for_each_kind",
]

SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE users (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, email TEXT NOT NULL COLLATE NOCASE UNIQUE);
CREATE TABLE credentials (secret TEXT NOT NULL, user_id INTEGER NOT NULL);
CREATE INDEX credentials_secret ON credentials (secret);
CREATE TABLE datasets (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, title TEXT NOT NULL, description TEXT NOT NULL,
    type INTEGER NOT NULL, user_hash TEXT NOT NULL, backing_folder TEXT,
    created_us INTEGER NOT NULL, edited_us INTEGER NOT NULL);
CREATE INDEX datasets_title ON datasets (title);
CREATE TABLE dataset_users (
    user_id INTEGER NOT NULL, dataset_id INTEGER NOT NULL, role INTEGER NOT NULL, since_us INTEGER NOT NULL,
    PRIMARY KEY (user_id, dataset_id)) WITHOUT ROWID;
CREATE INDEX dataset_users_dataset ON dataset_users (dataset_id);
CREATE TABLE ontologies (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, title TEXT NOT NULL, description TEXT NOT NULL,
    editor TEXT NOT NULL, created_us INTEGER NOT NULL, edited_us INTEGER NOT NULL);
CREATE TABLE ontology_users (
    user_id INTEGER NOT NULL, ontology_id INTEGER NOT NULL, role INTEGER NOT NULL, since_us INTEGER NOT NULL,
    PRIMARY KEY (user_id, ontology_id)) WITHOUT ROWID;
CREATE TABLE projects (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, title TEXT NOT NULL, description TEXT NOT NULL,
    ontology_id INTEGER NOT NULL, workflow TEXT NOT NULL, sources TEXT NOT NULL,
    created_us INTEGER NOT NULL, edited_us INTEGER NOT NULL);
CREATE INDEX projects_title ON projects (title);
CREATE TABLE project_users (
    user_id INTEGER NOT NULL, project_id INTEGER NOT NULL, role INTEGER NOT NULL, since_us INTEGER NOT NULL,
    PRIMARY KEY (user_id, project_id)) WITHOUT ROWID;
CREATE INDEX project_users_project ON project_users (project_id);
CREATE TABLE project_datasets (
    project_id INTEGER NOT NULL, dataset_id INTEGER NOT NULL, since_us INTEGER NOT NULL,
    PRIMARY KEY (project_id, dataset_id)) WITHOUT ROWID;
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY, api_key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, resource_id INTEGER NOT NULL,
    title TEXT NOT NULL, scopes TEXT NOT NULL, user_id INTEGER NOT NULL, key_hash TEXT NOT NULL,
    created_us INTEGER NOT NULL);
CREATE INDEX api_keys_resource ON api_keys (kind, resource_id);
CREATE TABLE log (
    seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, query TEXT NOT NULL, hash TEXT NOT NULL, title TEXT NOT NULL,
    fault TEXT);
"""


class UserRow(NamedTuple):
    """A user of the organisation."""

    id: int
    hash: str
    email: str


class DatasetRow(NamedTuple):
    """A dataset."""

    id: int
    hash: str
    title: str
    description: str
    type: int
    user_hash: str
    backing_folder: str | None
    created_us: int
    edited_us: int


class OntologyRow(NamedTuple):
    """An ontology; *editor* is JSON text."""

    id: int
    hash: str
    title: str
    description: str
    editor: str
    created_us: int
    edited_us: int


class ProjectRow(NamedTuple):
    """A project; *sources* is a JSON list of project hashes."""

    id: int
    hash: str
    title: str
    description: str
    ontology_id: int
    workflow: str
    sources: str
    created_us: int
    edited_us: int


class KeyRow(NamedTuple):
    """An API key of a project or a dataset; *scopes* is a JSON list."""

    id: int
    api_key: str
    kind: str
    resource_id: int
    title: str
    scopes: str
    user_id: int
    key_hash: str
    created_us: int


Row = TypeVar("Row", DatasetRow, OntologyRow, ProjectRow)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Row]):
    """A kind of resource that has members: its name on the wire, its rows, and where they and the members are kept."""

    name: ResourceType
    row: type[Row]
    table: str
    members: str
    column: str


ADMIN: Final = 0
"""Admin of a project, a dataset or an ontology alike. Source: docs; SDK 0.1.60."""

PROJECT: Final = Kind(ResourceType.PROJECT, ProjectRow, "projects", "project_users", "project_id")
DATASET: Final = Kind(ResourceType.DATASET, DatasetRow, "datasets", "dataset_users", "dataset_id")
ONTOLOGY: Final = Kind(ResourceType.ONTOLOGY, OntologyRow, "ontologies", "ontology_users", "ontology_id")


def for_each_kind(template: str) -> dict[ResourceType, str]:
    """Return *template* for each kind of resource: its names for RESOURCES, MEMBERS, GROUPS_IN and RESOURCE_ID."""
    return {
        kind.name: template.replace("RESOURCE_ID", kind.column)
        .replace("RESOURCES", kind.table)
        .replace("MEMBERS", kind.members)
        .replace("GROUPS_IN", f"{kind.name}_groups")
        for kind in (PROJECT, DATASET, ONTOLOGY)
    }
