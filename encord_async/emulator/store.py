"""The emulator's memory: one SQLite file (or none, in memory), and all the SQL there is but the organisation's.

It never judges who may do what, and never knows HTTP. What a caller is told has been committed before: the journal mode
(WAL, ``synchronous=NORMAL``) keeps every commit through ``kill -9`` of the process, though not through a power cut.
Times are microseconds since 1970, UTC.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypedDict
from uuid import uuid4

from encord_async.emulator.arguments import Filter
from encord_async.emulator.organisation import SCHEMA as _ORGANISATION_SCHEMA
from encord_async.emulator.organisation import Organisation
from encord_async.protocol.catalogue import ResourceType

__all__ = [
    "DatasetRow",
    "DatasetState",
    "KeyRow",
    "KeyState",
    "LogEntry",
    "OntologyRow",
    "ProjectRow",
    "ProjectState",
    "State",
    "StateError",
    "Store",
    "UserRow",
    "UserState",
]

_VERSION: Final = 2
"""2 added the organisation."""

_SCHEMA: Final = """
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

_OF_KIND: Final = {
    ResourceType.PROJECT: ("projects", "project_users", "project_id"),
    ResourceType.DATASET: ("datasets", "dataset_users", "dataset_id"),
    ResourceType.ONTOLOGY: ("ontologies", "ontology_users", "ontology_id"),
}


def _for_each_kind(template: str) -> dict[ResourceType, str]:
    """Return *template* for each kind of resource: its names for RESOURCES, MEMBERS and RESOURCE_ID."""
    return {
        kind: template.replace("RESOURCE_ID", column).replace("RESOURCES", table).replace("MEMBERS", members)
        for kind, (table, members, column) in _OF_KIND.items()
    }


_ROLE: Final = _for_each_kind("SELECT role FROM MEMBERS WHERE user_id = ? AND RESOURCE_ID = ?")
_JOIN: Final = _for_each_kind(
    "INSERT OR IGNORE INTO MEMBERS (user_id, RESOURCE_ID, role, since_us) VALUES (?, ?, ?, ?)"
)
_ALL_MEMBERS: Final = _for_each_kind(
    "SELECT m.RESOURCE_ID, u.email, m.role FROM MEMBERS m JOIN users u ON u.id = m.user_id"
    " ORDER BY m.RESOURCE_ID, m.since_us, u.id"
)
# SQLite takes the tables of a CROSS JOIN in the order written: each begins with the one that leaves fewer rows.
_LIST_BY_TITLE: Final = _for_each_kind(
    "SELECT m.role, r.* FROM RESOURCES r CROSS JOIN MEMBERS m ON m.RESOURCE_ID = r.id WHERE "
)
_LIST_BY_USER: Final = _for_each_kind(
    "SELECT m.role, r.* FROM MEMBERS m CROSS JOIN RESOURCES r ON m.RESOURCE_ID = r.id WHERE "
)

_LIST_ALL: Final = _for_each_kind(
    "SELECT m.role, r.* FROM RESOURCES r LEFT JOIN MEMBERS m ON m.RESOURCE_ID = r.id AND m.user_id = ? WHERE "
)
_LEAVE: Final = _for_each_kind(
    "DELETE FROM MEMBERS WHERE RESOURCE_ID = ? AND user_id IN"
    " (SELECT u.id FROM json_each(?) j JOIN users u ON u.email = j.value)"
)
_MEMBERS: Final = _for_each_kind(
    "SELECT u.email, m.role FROM MEMBERS m JOIN users u ON u.id = m.user_id"
    " WHERE m.RESOURCE_ID = ? AND m.since_us <= ? ORDER BY m.since_us, u.id"
)

_FILTER_TERMS: Final = {
    "title_eq": "r.title = ?",
    "title_like": "r.title LIKE ?",
    "desc_eq": "r.description = ?",
    "desc_like": "r.description LIKE ?",
    "created_before": "r.created_us < ?",
    "created_after": "r.created_us > ?",
    "edited_before": "r.edited_us < ?",
    "edited_after": "r.edited_us > ?",
}


_NULL_TERMS: Final = {
    "desc_eq": "NULLIF(r.description, '') = ?",
    "desc_like": "NULLIF(r.description, '') LIKE ?",
}
"""Equal to NULL is nothing, in SQL."""


class StateError(Exception):
    """The file given as state cannot be used as such."""


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


class UserState(TypedDict):
    """A member, as ``GET /_emulator/state`` shows it."""

    email: str
    role: int


class KeyState(TypedDict):
    """An API key without the key, as ``GET /_emulator/state`` shows it."""

    title: str
    scopes: list[str]


class AccessState(TypedDict):
    """A group with its role in a project, as ``GET /_emulator/state`` shows it."""

    group_hash: str
    role: int


class ProjectState(TypedDict):
    """A project, as ``GET /_emulator/state`` shows it."""

    project_hash: str
    title: str
    description: str
    datasets: list[str]
    users: list[UserState]
    api_keys: list[KeyState]
    ontology_hash: str
    groups: list[AccessState]


class DatasetState(TypedDict):
    """A dataset, as ``GET /_emulator/state`` shows it."""

    dataset_hash: str
    title: str
    description: str
    type: int
    users: list[UserState]
    backing_folder: bool


class OntologyState(TypedDict):
    """An ontology, as ``GET /_emulator/state`` shows it."""

    ontology_hash: str
    title: str
    description: str
    editor: dict[str, object]


class GroupState(TypedDict):
    """A group, as ``GET /_emulator/state`` shows it; *users* are e-mail addresses."""

    group_hash: str
    name: str
    description: str
    users: list[str]


class OrganisationUserState(TypedDict):
    """A member of the organisation, as ``GET /_emulator/state`` shows it."""

    email: str
    role: str
    member_type: str


class State(TypedDict):
    """All that the emulator holds, secrets left out."""

    projects: list[ProjectState]
    datasets: list[DatasetState]
    ontologies: list[OntologyState]
    groups: list[GroupState]
    organisation_users: list[OrganisationUserState]


class LogEntry(TypedDict):
    """One committed change, in the order of commits. *at* is seconds since 1970."""

    seq: int
    at: float
    query: str
    hash: str
    title: str
    fault: str | None


class Store:
    """Everything the emulator knows. Not for use from several threads."""

    def __init__(self, path: Path | None, *, null_descriptions: bool = False, newest_first: bool = False) -> None:
        """Open or make the file *path*; None keeps all in memory.

        With *null_descriptions*, filters find no description where there is none, as if it were NULL; with
        *newest_first*, listings begin with what was made last.

        Raises:
            StateError: The file is not an emulator's state, or cannot be opened.
        """
        try:
            if path is not None:
                # API keys are in it, so it is its owner's only.
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, cached_statements=256)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: cannot be opened as the emulator's state ({error})") from error
        try:
            self._prepare()
            self._filter_terms = _FILTER_TERMS | (_NULL_TERMS if null_descriptions else {})
            self._order = "DESC" if newest_first else "ASC"
            self.organisation = Organisation(self._db)
        except (sqlite3.Error, StateError) as error:
            self._db.close()
            raise StateError(f"{path}: not a state of this emulator ({error}); name a new file") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside together, or nothing of it if an error leaves."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- what was done

    def note(self, *, query: str, hash_: str, title: str, fault: str | None, now_us: int) -> None:
        """Write a line of the log; it is committed with the change that it tells of."""
        self._db.execute(
            "INSERT INTO log (at_us, query, hash, title, fault) VALUES (?, ?, ?, ?, ?)",
            (now_us, query, hash_, title, fault),
        )

    def log(self) -> list[LogEntry]:
        """Return every committed change, oldest first."""
        rows = self._db.execute("SELECT seq, at_us, query, hash, title, fault FROM log ORDER BY seq")
        return [
            LogEntry(seq=seq, at=at_us / 1e6, query=query, hash=hash_, title=title, fault=fault)
            for seq, at_us, query, hash_, title, fault in rows
        ]

    def state(self) -> State:
        """Return everything in the order in which it was created."""
        return State(
            projects=self._project_states(),
            datasets=self._dataset_states(),
            ontologies=self._ontology_states(),
            groups=self._group_states(),
            organisation_users=[
                OrganisationUserState(email=one.email, role=one.role, member_type=one.member_type)
                for one in self.organisation.members()
            ],
        )

    def meta(self, key: str) -> str | None:
        """Return a note about the state itself."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep a note about the state itself."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- users

    def users_of(self, secret: str) -> list[UserRow]:
        """Return whom a public key (hex) or bearer token belongs to; twice the same user if registered twice."""
        rows = self._db.execute(
            "SELECT u.id, u.hash, u.email FROM credentials c JOIN users u ON u.id = c.user_id WHERE c.secret = ?",
            (secret,),
        )
        return [UserRow._make(row) for row in rows]

    def register(self, user: UserRow, secret: str) -> None:
        """Let the holder of *secret*, a public key (hex) or bearer token, act as *user*."""
        self._db.execute("INSERT INTO credentials VALUES (?, ?)", (secret, user.id))

    def user(self, email: str) -> UserRow:
        """Return the user with that e-mail address (case does not count), a new one if there was none."""
        query = "SELECT id, hash, email FROM users WHERE email = ?"
        row = self._db.execute(query, (email,)).fetchone()
        if row is None:
            self._db.execute("INSERT INTO users (hash, email) VALUES (?, ?)", (_new_hash(), email))
            row = self._db.execute(query, (email,)).fetchone()
        return UserRow._make(row)

    # --- membership

    def role(self, kind: ResourceType, resource_id: int, user_id: int) -> int | None:
        """Return the role that a user holds, or None."""
        row = self._db.execute(_ROLE[kind], (user_id, resource_id)).fetchone()
        return None if row is None else int(row[0])

    def join(self, kind: ResourceType, resource_id: int, user_id: int, role: int, now_us: int) -> int:
        """Make a user a member and return the role held, which for an existing member is the old one."""
        made = self._db.execute(_JOIN[kind], (user_id, resource_id, role, now_us)).rowcount
        held = None if made else self.role(kind, resource_id, user_id)
        return role if held is None else held

    def members(self, kind: ResourceType, resource_id: int, as_of_us: int) -> list[tuple[str, int]]:
        """Return e-mail address and role of each member, in the order of joining."""
        return [(email, role) for email, role in self._db.execute(_MEMBERS[kind], (resource_id, as_of_us))]

    def leave(self, kind: ResourceType, resource_id: int, emails: Sequence[str]) -> None:
        """End memberships; strangers are passed over."""
        self._db.execute(_LEAVE[kind], (resource_id, json.dumps(emails)))

    def everything(
        self, kind: ResourceType, user_id: int, filter_: Filter, as_of_us: int
    ) -> list[tuple[int | None, Sequence[object]]]:
        """Return the user's role, if any, and the row of each resource of a kind there is."""
        terms, values = ["r.created_us <= ?"], [user_id, as_of_us]
        return [(role, row) for role, *row in self._filtered(_LIST_ALL[kind], terms, values, filter_)]

    # --- datasets

    def dataset(self, hash_: str) -> DatasetRow | None:
        """Return the dataset with that hash, or None."""
        row = self._db.execute("SELECT * FROM datasets WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else DatasetRow._make(row)

    def dataset_roles(self, hashes: Sequence[str], user_id: int) -> dict[str, tuple[int, int | None]]:
        """Return id and the user's role, by hash, of those datasets that exist."""
        rows = self._db.execute(
            "SELECT d.hash, d.id, du.role FROM json_each(?) j CROSS JOIN datasets d ON d.hash = j.value"
            " LEFT JOIN dataset_users du ON du.user_id = ? AND du.dataset_id = d.id",
            (json.dumps(hashes), user_id),
        )
        return {hash_: (id_, role) for hash_, id_, role in rows}

    def add_dataset(
        self,
        *,
        title: str,
        description: str,
        type_: int,
        creator: UserRow,
        backing_folder: bool,
        now_us: int,
        hash_: str | None = None,
    ) -> DatasetRow:
        """Make a dataset without members."""
        values = (
            hash_ or _new_hash(),
            title,
            description,
            type_,
            creator.hash,
            _new_hash() if backing_folder else None,
            now_us,
            now_us,
        )
        row_id = self._insert("INSERT INTO datasets VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        return DatasetRow(row_id, *values)

    def datasets_of(self, user_id: int, filter_: Filter, as_of_us: int) -> list[tuple[int, DatasetRow]]:
        """Return role and dataset for each that a user is a member of."""
        found = self._list(ResourceType.DATASET, user_id, filter_, as_of_us)
        return [(role, DatasetRow._make(row)) for role, row in found]

    # --- ontologies

    def ontology(self, hash_: str) -> OntologyRow | None:
        """Return the ontology with that hash, or None."""
        row = self._db.execute("SELECT * FROM ontologies WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else OntologyRow._make(row)

    def ontology_by_id(self, id_: int) -> OntologyRow:
        """Return the ontology of a project."""
        return OntologyRow._make(self._db.execute("SELECT * FROM ontologies WHERE id = ?", (id_,)).fetchone())

    def add_ontology(
        self, *, title: str, description: str, editor: object, now_us: int, hash_: str | None = None
    ) -> OntologyRow:
        """Make an ontology without members."""
        values = (hash_ or _new_hash(), title, description, json.dumps(editor), now_us, now_us)
        row_id = self._insert("INSERT INTO ontologies VALUES (NULL, ?, ?, ?, ?, ?, ?)", values)
        return OntologyRow(row_id, *values)

    def save_ontology(self, id_: int, *, title: str, description: str, editor: object, now_us: int) -> None:
        """Replace what an ontology says."""
        self._db.execute(
            "UPDATE ontologies SET title = ?, description = ?, editor = ?, edited_us = ? WHERE id = ?",
            (title, description, json.dumps(editor), now_us, id_),
        )

    def ontologies_of(self, user_id: int, filter_: Filter, as_of_us: int) -> list[tuple[int, OntologyRow]]:
        """Return role and ontology for each that a user is a member of."""
        found = self._list(ResourceType.ONTOLOGY, user_id, filter_, as_of_us)
        return [(role, OntologyRow._make(row)) for role, row in found]

    # --- projects

    def project(self, hash_: str) -> ProjectRow | None:
        """Return the project with that hash, or None."""
        row = self._db.execute("SELECT * FROM projects WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else ProjectRow._make(row)

    def add_project(
        self,
        *,
        title: str,
        description: str,
        ontology_id: int,
        sources: Sequence[str],
        now_us: int,
        hash_: str | None = None,
    ) -> ProjectRow:
        """Make a project without members and datasets."""
        values = (
            hash_ or _new_hash(),
            title,
            description,
            ontology_id,
            _new_hash(),
            json.dumps(sources),
            now_us,
            now_us,
        )
        row_id = self._insert("INSERT INTO projects VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        return ProjectRow(row_id, *values)

    def projects_of(self, user_id: int, filter_: Filter, as_of_us: int) -> list[tuple[int, ProjectRow]]:
        """Return role and project for each that a user is a member of."""
        found = self._list(ResourceType.PROJECT, user_id, filter_, as_of_us)
        return [(role, ProjectRow._make(row)) for role, row in found]

    def uses_ontology(self, user_id: int, ontology_id: int) -> bool:
        """Say whether a user is a member of a project with that ontology."""
        row = self._db.execute(
            "SELECT 1 FROM project_users m JOIN projects p ON p.id = m.project_id"
            " WHERE m.user_id = ? AND p.ontology_id = ? LIMIT 1",
            (user_id, ontology_id),
        ).fetchone()
        return row is not None

    def attach(self, project_id: int, dataset_ids: Sequence[int], now_us: int) -> None:
        """Attach datasets; those attached already stay as they are."""
        self._db.executemany(
            "INSERT OR IGNORE INTO project_datasets VALUES (?, ?, ?)",
            [(project_id, dataset_id, now_us) for dataset_id in dataset_ids],
        )

    def detach(self, project_id: int, hashes: Sequence[str]) -> None:
        """Detach datasets; those not attached are passed over."""
        self._db.execute(
            "DELETE FROM project_datasets WHERE project_id = ? AND dataset_id IN"
            " (SELECT d.id FROM json_each(?) j JOIN datasets d ON d.hash = j.value)",
            (project_id, json.dumps(hashes)),
        )

    def touch_project(self, project_id: int, now_us: int) -> None:
        """Move the time of the last edit."""
        self._db.execute("UPDATE projects SET edited_us = ? WHERE id = ?", (now_us, project_id))

    def attached(self, project_id: int, as_of_us: int) -> list[DatasetRow]:
        """Return the datasets of a project in the order of attaching."""
        rows = self._db.execute(
            "SELECT d.* FROM project_datasets pd JOIN datasets d ON d.id = pd.dataset_id"
            " WHERE pd.project_id = ? AND pd.since_us <= ? ORDER BY pd.since_us, d.id",
            (project_id, as_of_us),
        )
        return [DatasetRow._make(row) for row in rows]

    def copy_members(self, source_id: int, target_id: int, now_us: int) -> None:
        """Give a project the members of another one."""
        self._db.execute(
            "INSERT OR IGNORE INTO project_users SELECT user_id, ?, role, ? FROM project_users WHERE project_id = ?",
            (target_id, now_us, source_id),
        )

    # --- API keys

    def add_key(
        self,
        kind: ResourceType,
        resource_id: int,
        *,
        title: str,
        scopes: Sequence[str],
        user_id: int,
        now_us: int,
    ) -> KeyRow:
        """Make an API key."""
        values = (
            secrets.token_urlsafe(32),
            str(kind),
            resource_id,
            title,
            json.dumps(scopes),
            user_id,
            _new_hash(),
            now_us,
        )
        row_id = self._insert("INSERT INTO api_keys VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        return KeyRow(row_id, *values)

    def key(self, api_key: str) -> tuple[KeyRow, str] | None:
        """Return an API key and the hash of what it opens, or None."""
        row = self._db.execute(
            "SELECT k.*, coalesce(p.hash, d.hash) FROM api_keys k"
            " LEFT JOIN projects p ON k.kind = 'project' AND p.id = k.resource_id"
            " LEFT JOIN datasets d ON k.kind = 'dataset' AND d.id = k.resource_id WHERE k.api_key = ?",
            (api_key,),
        ).fetchone()
        return None if row is None else (KeyRow._make(row[:-1]), row[-1])

    def keys_of(self, kind: ResourceType, resource_id: int, as_of_us: int) -> list[KeyRow]:
        """Return the API keys of a project or dataset, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM api_keys WHERE kind = ? AND resource_id = ? AND created_us <= ? ORDER BY id",
            (str(kind), resource_id, as_of_us),
        )
        return [KeyRow._make(row) for row in rows]

    # --- inside

    def _prepare(self) -> None:
        execute = self._db.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA wal_autocheckpoint = 4000")
        execute("PRAGMA cache_size = -65536")
        # LIKE tells case apart, as in the databases that such services run on; and it can use the index.
        execute("PRAGMA case_sensitive_like = ON")
        (version,) = execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= _VERSION:
            raise StateError(f"its layout is {version}, this emulator writes {_VERSION}")
        if version < _VERSION:
            wanted = _ORGANISATION_SCHEMA if version else _SCHEMA + _ORGANISATION_SCHEMA
            self._db.executescript(f"BEGIN; {wanted} PRAGMA user_version = {_VERSION};")
            # Whoever could sign before there was an organisation belongs to it. In a new file that is nobody.
            Organisation(self._db).enrol_first(time.time_ns() // 1000)
            execute("COMMIT")

    def _insert(self, statement: str, values: Sequence[object]) -> int:
        row_id = self._db.execute(statement, tuple(values)).lastrowid
        if row_id is None:
            raise StateError("an INSERT left no row")
        return row_id

    def _project_states(self) -> list[ProjectState]:
        users = self._users_by(ResourceType.PROJECT)
        attached: dict[int, list[str]] = {}
        for project_id, hash_ in self._db.execute(
            "SELECT pd.project_id, d.hash FROM project_datasets pd JOIN datasets d ON d.id = pd.dataset_id"
            " ORDER BY pd.project_id, pd.since_us, d.id"
        ):
            attached.setdefault(project_id, []).append(hash_)
        keys: dict[int, list[KeyState]] = {}
        for project_id, title, scopes in self._db.execute(
            "SELECT resource_id, title, scopes FROM api_keys WHERE kind = 'project' ORDER BY id"
        ):
            keys.setdefault(project_id, []).append(KeyState(title=title, scopes=json.loads(scopes)))
        groups: dict[int, list[AccessState]] = {}
        for project_id, group_hash, role in self._db.execute(
            "SELECT p.project_id, g.hash, p.role FROM project_groups p JOIN groups g ON g.id = p.group_id"
            " ORDER BY p.project_id, g.id"
        ):
            groups.setdefault(project_id, []).append(AccessState(group_hash=group_hash, role=role))
        return [
            ProjectState(
                project_hash=hash_,
                title=title,
                description=description,
                datasets=attached.get(id_, []),
                users=users.get(id_, []),
                api_keys=keys.get(id_, []),
                ontology_hash=ontology_hash,
                groups=groups.get(id_, []),
            )
            for id_, hash_, title, description, ontology_hash in self._db.execute(
                "SELECT p.id, p.hash, p.title, p.description, o.hash FROM projects p"
                " JOIN ontologies o ON o.id = p.ontology_id ORDER BY p.id"
            )
        ]

    def _dataset_states(self) -> list[DatasetState]:
        users = self._users_by(ResourceType.DATASET)
        return [
            DatasetState(
                dataset_hash=hash_,
                title=title,
                description=description,
                type=type_,
                users=users.get(id_, []),
                backing_folder=bool(folder),
            )
            for id_, hash_, title, description, type_, folder in self._db.execute(
                "SELECT id, hash, title, description, type, backing_folder FROM datasets ORDER BY id"
            )
        ]

    def _ontology_states(self) -> list[OntologyState]:
        rows = self._db.execute("SELECT hash, title, description, editor FROM ontologies ORDER BY id")
        return [
            OntologyState(ontology_hash=hash_, title=title, description=description, editor=json.loads(editor))
            for hash_, title, description, editor in rows
        ]

    def _group_states(self) -> list[GroupState]:
        rows = self._db.execute("SELECT id, hash, name, description FROM groups ORDER BY id").fetchall()
        return [
            GroupState(group_hash=hash_, name=name, description=description, users=self.organisation.group_emails(id_))
            for id_, hash_, name, description in rows
        ]

    def _users_by(self, kind: ResourceType) -> dict[int, list[UserState]]:
        found: dict[int, list[UserState]] = {}
        for resource_id, email, role in self._db.execute(_ALL_MEMBERS[kind]):
            found.setdefault(resource_id, []).append(UserState(email=email, role=role))
        return found

    def _list(
        self, kind: ResourceType, user_id: int, filter_: Filter, as_of_us: int
    ) -> Iterator[tuple[int, Sequence[object]]]:
        terms, values = ["m.user_id = ?", "m.since_us <= ?"], [user_id, as_of_us]
        start = _LIST_BY_USER[kind] if filter_.title_eq is None else _LIST_BY_TITLE[kind]
        for role, *row in self._filtered(start, terms, values, filter_):
            yield role, row

    def _filtered(
        self, start: str, terms: Sequence[str], values: Sequence[object], filter_: Filter
    ) -> Iterator[tuple[Any, ...]]:
        given = {
            term: value for key, term in self._filter_terms.items() if (value := getattr(filter_, key)) is not None
        }
        where = " AND ".join([*terms, *given])
        yield from self._db.execute(f"{start}{where} ORDER BY r.id {self._order}", [*values, *given.values()])


def _new_hash() -> str:
    return str(uuid4())
