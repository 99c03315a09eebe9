"""The emulator's memory: one SQLite file (or none, in memory), and the SQL of what has members and keys.

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
from typing import Any, Final, TypedDict
from uuid import uuid4

from encord_async.emulator.arguments import Filter
from encord_async.emulator.store.organisation import MORE_GROUPS, Organisation
from encord_async.emulator.store.organisation import SCHEMA as _ORGANISATION_SCHEMA
from encord_async.emulator.store.rows import (
    ADMIN,
    DATASET,
    ONTOLOGY,
    PROJECT,
    SCHEMA,
    DatasetRow,
    KeyRow,
    Kind,
    OntologyRow,
    ProjectRow,
    Row,
    UserRow,
    for_each_kind,
)
from encord_async.emulator.store.state import State, read_state
from encord_async.emulator.store.storage import SCHEMA as _STORAGE_SCHEMA
from encord_async.emulator.store.storage import Storage
from encord_async.emulator.store.workflow import SCHEMA as _WORKFLOW_SCHEMA
from encord_async.emulator.store.workflow import Workflows

__all__ = ["LogEntry", "StateError", "Store"]

_VERSION: Final = 4
"""2 added the organisation, 3 groups in datasets and ontologies, 4 storage and workflow."""
_LAYOUTS: Final = (SCHEMA, _ORGANISATION_SCHEMA, MORE_GROUPS, _STORAGE_SCHEMA + _WORKFLOW_SCHEMA)
"""What each version added."""
_ORGANISATION_SINCE: Final = 2


_ADD: Final = for_each_kind("INSERT INTO RESOURCES VALUES ")
_NAMED: Final = for_each_kind("SELECT * FROM RESOURCES WHERE hash = ?")
_ROLE: Final = for_each_kind("SELECT role FROM MEMBERS WHERE user_id = ? AND RESOURCE_ID = ?")
_JOIN: Final = for_each_kind("INSERT OR IGNORE INTO MEMBERS (user_id, RESOURCE_ID, role, since_us) VALUES (?, ?, ?, ?)")
# SQLite takes the tables of a CROSS JOIN in the order written: each begins with the one that leaves fewer rows.
_LIST_BY_TITLE: Final = for_each_kind(
    "SELECT m.role, r.* FROM RESOURCES r CROSS JOIN MEMBERS m ON m.RESOURCE_ID = r.id WHERE "
)
_LIST_BY_USER: Final = for_each_kind(
    "SELECT m.role, r.* FROM MEMBERS m CROSS JOIN RESOURCES r ON m.RESOURCE_ID = r.id WHERE "
)

_LIST_ALL: Final = for_each_kind(
    "SELECT m.role, r.* FROM RESOURCES r LEFT JOIN MEMBERS m ON m.RESOURCE_ID = r.id AND m.user_id = ? WHERE "
)
_LEAVE: Final = for_each_kind(
    "DELETE FROM MEMBERS WHERE RESOURCE_ID = ? AND user_id IN"
    " (SELECT u.id FROM json_each(?) j JOIN users u ON u.email = j.value)"
)
_MEMBERS: Final = for_each_kind(
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
            self.storage = Storage(self._db)
            self.workflows = Workflows(self._db)
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
        return read_state(self._db, self.organisation, self.workflows, now_us=time.time_ns() // 1000)

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

    def email(self, user_id: int) -> str:
        """Return a user's e-mail address, an empty text for nobody."""
        row = self._db.execute("SELECT email FROM users WHERE id = ?", (user_id,)).fetchone()
        return "" if row is None else str(row[0])

    # --- membership

    def role(self, kind: Kind[Any], resource_id: int, user_id: int) -> int | None:
        """Return the role that a user holds, or None."""
        row = self._db.execute(_ROLE[kind.name], (user_id, resource_id)).fetchone()
        return None if row is None else int(row[0])

    def join(self, kind: Kind[Any], resource_id: int, user_id: int, role: int, now_us: int) -> int:
        """Make a user a member and return the role held, which for an existing member is the old one."""
        made = self._db.execute(_JOIN[kind.name], (user_id, resource_id, role, now_us)).rowcount
        held = None if made else self.role(kind, resource_id, user_id)
        return role if held is None else held

    def members(self, kind: Kind[Any], resource_id: int, as_of_us: int) -> list[tuple[str, int]]:
        """Return e-mail address and role of each member, in the order of joining."""
        return [(email, role) for email, role in self._db.execute(_MEMBERS[kind.name], (resource_id, as_of_us))]

    def leave(self, kind: Kind[Any], resource_id: int, emails: Sequence[str]) -> None:
        """End memberships; strangers are passed over."""
        self._db.execute(_LEAVE[kind.name], (resource_id, json.dumps(emails)))

    # --- resources of any kind

    def named(self, kind: Kind[Row], hash_: str) -> Row | None:
        """Return the resource with that hash, or None."""
        row = self._db.execute(_NAMED[kind.name], (hash_,)).fetchone()
        return None if row is None else kind.row._make(row)

    def hash_of(self, kind: Kind[Any], id_: int) -> str:
        """Return the hash of a resource that is there."""
        return str(self._db.execute(f"SELECT hash FROM {kind.table} WHERE id = ?", (id_,)).fetchone()[0])

    def listed(
        self, kind: Kind[Row], user_id: int, filter_: Filter, as_of_us: int, *, everything: bool = False
    ) -> list[tuple[int | None, Row]]:
        """Return role and row of each resource of which a user is a member; of each there is, with *everything*."""
        terms: list[str] = ["m.user_id = ?", "m.since_us <= ?"]
        start = (_LIST_BY_USER if filter_.title_eq is None else _LIST_BY_TITLE)[kind.name]
        if everything:
            start, terms = _LIST_ALL[kind.name], ["r.created_us <= ?"]
        given: dict[str, object] = {
            term: value for key, term in self._filter_terms.items() if (value := getattr(filter_, key)) is not None
        }
        where = " AND ".join([*terms, *given])
        rows = self._db.execute(f"{start}{where} ORDER BY r.id {self._order}", [user_id, as_of_us, *given.values()])
        return [(row[0], kind.row._make(row[1:])) for row in rows]

    # --- datasets

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
        admins: Sequence[int],
        now_us: int,
        hash_: str | None = None,
    ) -> DatasetRow:
        """Make a dataset, and the folder that it mirrors if it has one; *admins* are ids of users."""
        folder = _new_hash() if backing_folder else None
        values = (hash_ or _new_hash(), title, description, type_, creator.hash, folder)
        dataset = self._add(DATASET, values, admins, now_us)
        if folder is not None:
            self.storage.add_folder(name=title, owner_id=creator.id, now_us=now_us, hash_=folder, dataset_id=dataset.id)
        return dataset

    # --- ontologies

    def ontology_by_id(self, id_: int) -> OntologyRow:
        """Return the ontology of a project."""
        return OntologyRow._make(self._db.execute("SELECT * FROM ontologies WHERE id = ?", (id_,)).fetchone())

    def add_ontology(
        self,
        *,
        title: str,
        description: str,
        editor: object,
        admins: Sequence[int],
        now_us: int,
        hash_: str | None = None,
    ) -> OntologyRow:
        """Make an ontology; *admins* are ids of users."""
        return self._add(ONTOLOGY, (hash_ or _new_hash(), title, description, json.dumps(editor)), admins, now_us)

    def save_ontology(self, id_: int, *, title: str, description: str, editor: object, now_us: int) -> None:
        """Replace what an ontology says."""
        self._db.execute(
            "UPDATE ontologies SET title = ?, description = ?, editor = ?, edited_us = ? WHERE id = ?",
            (title, description, json.dumps(editor), now_us, id_),
        )

    # --- projects

    def add_project(
        self,
        *,
        title: str,
        description: str,
        ontology_id: int,
        admins: Sequence[int],
        now_us: int,
        sources: Sequence[str] = (),
        hash_: str | None = None,
    ) -> ProjectRow:
        """Make a project without datasets; *admins* are ids of users."""
        values = (hash_ or _new_hash(), title, description, ontology_id, _new_hash(), json.dumps(sources))
        return self._add(PROJECT, values, admins, now_us)

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
        kind: Kind[Any],
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
            str(kind.name),
            resource_id,
            title,
            json.dumps(scopes),
            user_id,
            _new_hash(),
            now_us,
        )
        made = self._db.execute("INSERT INTO api_keys VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        return KeyRow(made.lastrowid or 0, *values)

    def key(self, api_key: str) -> tuple[KeyRow, str] | None:
        """Return an API key and the hash of what it opens, or None."""
        row = self._db.execute(
            "SELECT k.*, coalesce(p.hash, d.hash) FROM api_keys k"
            " LEFT JOIN projects p ON k.kind = 'project' AND p.id = k.resource_id"
            " LEFT JOIN datasets d ON k.kind = 'dataset' AND d.id = k.resource_id WHERE k.api_key = ?",
            (api_key,),
        ).fetchone()
        return None if row is None else (KeyRow._make(row[:-1]), row[-1])

    def keys_of(self, kind: Kind[Any], resource_id: int, as_of_us: int) -> list[KeyRow]:
        """Return the API keys of a project or dataset, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM api_keys WHERE kind = ? AND resource_id = ? AND created_us <= ? ORDER BY id",
            (str(kind.name), resource_id, as_of_us),
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
            wanted = "".join(_LAYOUTS[version:])
            self._db.executescript(f"BEGIN; {wanted} PRAGMA user_version = {_VERSION};")
            if version < _ORGANISATION_SINCE:
                # Whoever could sign before there was an organisation belongs to it. In a new file that is nobody.
                Organisation(self._db).enrol_first(time.time_ns() // 1000)
            execute("COMMIT")

    def _add(self, kind: Kind[Row], values: Sequence[object], admins: Sequence[int], now_us: int) -> Row:
        """Write a row, whose last two columns say when it was made and edited, and who its Admins are."""
        row: tuple[object, ...] = (*values, now_us, now_us)
        made = self._db.execute(_ADD[kind.name] + f"(NULL{', ?' * len(row)})", row)
        id_ = made.lastrowid or 0
        for user_id in admins:
            self.join(kind, id_, user_id, ADMIN, now_us)
        return kind.row._make((id_, *row))


def _new_hash() -> str:
    return str(uuid4())
