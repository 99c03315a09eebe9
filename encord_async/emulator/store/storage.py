"""Storage in the emulator's memory: folders and who may use them, cloud integrations, jobs, items and data rows.

SQL only, on the connection of `Store`, whose transactions hold here too. It never judges who may do what. Times are
microseconds since 1970, UTC. A job is written down once, whole: each item says from when on it is there, so that what
there is follows from the time alone, through any restart.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import uuid4

from encord_async.emulator.store.organisation import GroupRow

__all__ = [
    "SCHEMA",
    "DataRow",
    "Finding",
    "FolderRow",
    "IntegrationRow",
    "ItemRow",
    "JobRow",
    "NewItem",
    "Storage",
    "UnitError",
]

SCHEMA: Final = """
CREATE TABLE folders (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, parent_id INTEGER, name TEXT NOT NULL, description TEXT NOT NULL,
    metadata TEXT, owner_id INTEGER NOT NULL, dataset_id INTEGER, integration TEXT, remote_url TEXT,
    created_us INTEGER NOT NULL, edited_us INTEGER NOT NULL);
CREATE INDEX folders_parent ON folders (parent_id);
CREATE INDEX folders_owner ON folders (owner_id);
INSERT INTO folders SELECT NULL, d.backing_folder, NULL, d.title, '', NULL, coalesce(u.id, 0), d.id, NULL, NULL,
    d.created_us, d.edited_us FROM datasets d LEFT JOIN users u ON u.hash = d.user_hash WHERE d.backing_folder NOT NULL;
CREATE TABLE folder_groups (
    folder_id INTEGER NOT NULL, group_id INTEGER NOT NULL, role TEXT NOT NULL,
    PRIMARY KEY (folder_id, group_id)) WITHOUT ROWID;
CREATE TABLE integrations (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, title TEXT NOT NULL, objects TEXT NOT NULL);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, folder_id INTEGER NOT NULL, is_sync INTEGER NOT NULL,
    created_us INTEGER NOT NULL, due_us INTEGER NOT NULL, units INTEGER NOT NULL, errors TEXT NOT NULL,
    ignore_errors INTEGER NOT NULL, file_name TEXT, cancelled_us INTEGER);
CREATE TABLE items (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, folder_id INTEGER NOT NULL, job_id INTEGER NOT NULL,
    type TEXT NOT NULL, name TEXT NOT NULL, metadata TEXT NOT NULL, url TEXT, integration TEXT,
    owner_id INTEGER NOT NULL, created_us INTEGER NOT NULL, edited_us INTEGER NOT NULL);
CREATE INDEX items_folder ON items (folder_id, created_us, id);
CREATE INDEX items_url ON items (folder_id, url);
CREATE INDEX items_job ON items (job_id);
CREATE TABLE data_rows (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, dataset_id INTEGER NOT NULL, item_id INTEGER NOT NULL,
    created_us INTEGER NOT NULL);
CREATE INDEX data_rows_dataset ON data_rows (dataset_id, item_id);
CREATE INDEX data_rows_item ON data_rows (item_id);
"""


class FolderRow(NamedTuple):
    """A folder; *metadata* is JSON text, *dataset_id* the dataset that mirrors it."""

    id: int
    hash: str
    parent_id: int | None
    name: str
    description: str
    metadata: str | None
    owner_id: int
    dataset_id: int | None
    integration: str | None
    remote_url: str | None
    created_us: int
    edited_us: int


class IntegrationRow(NamedTuple):
    """A cloud integration; *objects* is a JSON list of the URLs that it reaches."""

    id: int
    hash: str
    title: str
    objects: str


class JobRow(NamedTuple):
    """An upload job or a sync; *errors* is a JSON list of what failed, each with its place among the units."""

    id: int
    hash: str
    folder_id: int
    is_sync: int
    created_us: int
    due_us: int
    units: int
    errors: str
    ignore_errors: int
    file_name: str | None
    cancelled_us: int | None


class ItemRow(NamedTuple):
    """An item; it is there from *created_us* on."""

    id: int
    hash: str
    folder_id: int
    job_id: int
    type: str
    name: str
    metadata: str
    url: str | None
    integration: str | None
    owner_id: int
    created_us: int
    edited_us: int


class DataRow(NamedTuple):
    """An item in a dataset."""

    hash: str
    item: ItemRow
    created_us: int


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item that a job makes; *url* is its first file's."""

    type: str
    name: str
    metadata: str
    url: str


@dataclass(frozen=True, slots=True)
class UnitError:
    """What failed, and its place among the units of its job."""

    place: int
    urls: Sequence[str]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a listing of folders or items is to show; *search* is a part of the name, in any case."""

    search: str | None = None
    desc: bool = False
    by_name: bool = True
    synced: bool | None = None
    in_dataset: bool | None = None
    types: Sequence[str] = ()
    as_of_us: int
    limit: int
    offset: int

    def order(self, of: str) -> str:
        """The SQL that orders rows of the table called *of*."""
        way = "DESC" if self.desc else "ASC"
        return f" ORDER BY {of}.{'name' if self.by_name else 'created_us'} {way}, {of}.id {way} LIMIT ? OFFSET ?"


_FOUND_BY: Final = "(? IS NULL OR instr(lower({of}.name), lower(?)) > 0)"
_MINE: Final = (
    "WITH RECURSIVE mine(id, role) AS ("
    " SELECT id, 'admin' FROM folders WHERE owner_id = :user"
    " UNION SELECT a.folder_id, a.role FROM folder_groups a JOIN group_users g ON g.group_id = a.group_id"
    " WHERE g.user_id = :user"
    " UNION SELECT f.id, m.role FROM folders f JOIN mine m ON f.parent_id = m.id)"
)
_UP: Final = (
    "WITH RECURSIVE up(id, level) AS (SELECT :id, 0"
    " UNION SELECT f.parent_id, u.level + 1 FROM folders f JOIN up u ON f.id = u.id WHERE f.parent_id NOT NULL)"
)
_DOWN: Final = (
    "WITH RECURSIVE down(id) AS (SELECT :id UNION SELECT f.id FROM folders f JOIN down d ON f.parent_id = d.id)"
)


class Storage:
    """Folders, jobs, items and data rows. Made by `Store`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Work on an open connection that has the tables of `SCHEMA`."""
        self._db = db

    # --- folders

    def folder(self, hash_: str) -> FolderRow | None:
        """Return the folder with that hash, or None."""
        row = self._db.execute("SELECT * FROM folders WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else FolderRow._make(row)

    def add_folder(
        self,
        *,
        name: str,
        owner_id: int,
        now_us: int,
        hash_: str | None = None,
        description: str = "",
        parent_id: int | None = None,
        metadata: str | None = None,
        dataset_id: int | None = None,
        cloud: tuple[str, str] | None = None,
    ) -> FolderRow:
        """Make a folder; *cloud* is the hash of an integration and the URL that it mirrors."""
        integration, url = cloud or (None, None)
        values = (
            hash_ or str(uuid4()), parent_id, name, description, metadata, owner_id, dataset_id, integration, url,
            now_us, now_us,
        )  # fmt: skip
        marks = ", ?" * len(values)
        return FolderRow(self._db.execute(f"INSERT INTO folders VALUES (NULL{marks})", values).lastrowid or 0, *values)

    def save_folder(self, folder: FolderRow) -> None:
        """Replace what a folder says."""
        self._db.execute(
            "UPDATE folders SET name = ?, description = ?, metadata = ?, edited_us = ? WHERE id = ?",
            (folder.name, folder.description, folder.metadata, folder.edited_us, folder.id),
        )

    def remove_folder(self, id_: int) -> None:
        """Remove a folder, all below it, their items and the items' data rows."""
        given = {"id": id_}
        self._db.execute(
            f"{_DOWN} DELETE FROM data_rows WHERE item_id IN"
            " (SELECT i.id FROM items i JOIN down d ON i.folder_id = d.id)",
            given,
        )
        for table in ("items", "jobs", "folder_groups"):
            self._db.execute(f"{_DOWN} DELETE FROM {table} WHERE folder_id IN (SELECT id FROM down)", given)
        self._db.execute(f"{_DOWN} DELETE FROM folders WHERE id IN (SELECT id FROM down)", given)

    def folder_role(self, folder_id: int, user_id: int) -> str | None:
        """Return the best role of a user in a folder: an owner's, a group's, or one held in a folder above it."""
        row = self._db.execute(
            f"{_UP} SELECT min(role) FROM ("
            " SELECT 'admin' AS role FROM folders f JOIN up u ON f.id = u.id WHERE f.owner_id = :user"
            " UNION ALL SELECT a.role FROM folder_groups a JOIN up u ON a.folder_id = u.id"
            " JOIN group_users g ON g.group_id = a.group_id WHERE g.user_id = :user)",
            {"id": folder_id, "user": user_id},
        ).fetchone()
        return None if row[0] is None else str(row[0])

    def path_to_root(self, folder_id: int) -> list[FolderRow]:
        """Return a folder and those that it is in, the innermost first."""
        rows = self._db.execute(
            f"{_UP} SELECT f.* FROM folders f JOIN up u ON f.id = u.id ORDER BY u.level", {"id": folder_id}
        )
        return [FolderRow._make(row) for row in rows]

    def folders(
        self, user_id: int, found: Finding, *, under: int | None, top: bool, below: bool, everything: bool = False
    ) -> list[tuple[str, FolderRow]]:
        """Return a user's role and folder: at the *top*, in *under* or, with *below*, all below it, or anywhere.

        With *everything* also those that are not the user's; an Admin of the organisation is admin of them.
        """
        given: dict[str, Any] = {"user": user_id, "search": found.search, "as_of": found.as_of_us, "under": under}
        terms = [_FOUND_BY.replace("?", ":search").format(of="f"), "f.created_us <= :as_of"]
        if found.synced is not None:
            terms.append(f"f.dataset_id IS {'NOT ' if found.synced else ''}NULL")
        if top:
            terms.append("f.parent_id IS NULL")
        elif under is not None:
            inner = f"f.id IN ({_DOWN.replace(':id', ':under')} SELECT id FROM down) AND f.id != :under"
            terms.append(inner if below else "f.parent_id = :under")
        mine = "" if everything else _MINE
        role, source = (
            ("'admin'", "folders f") if everything else ("min(m.role)", "mine m JOIN folders f ON f.id = m.id")
        )
        order = found.order("f").replace("LIMIT ? OFFSET ?", "LIMIT :limit OFFSET :offset")
        rows = self._db.execute(
            f"{mine} SELECT {role}, f.* FROM {source} WHERE {' AND '.join(terms)} GROUP BY f.id{order}",
            {**given, "limit": found.limit, "offset": found.offset},
        )
        return [(role, FolderRow._make(row)) for role, *row in rows]

    def folder_groups(self, folder_id: int) -> list[tuple[str, GroupRow]]:
        """Return role and group for each group that has access to a folder."""
        rows = self._db.execute(
            "SELECT a.role, g.* FROM folder_groups a JOIN groups g ON g.id = a.group_id WHERE a.folder_id = ?"
            " ORDER BY g.id",
            (folder_id,),
        )
        return [(role, GroupRow._make(row)) for role, *row in rows]

    def admit_groups(self, folder_id: int, group_ids: Sequence[int], role: str) -> None:
        """Give groups a role in a folder, in the place of one that they had."""
        self._db.executemany(
            "INSERT OR REPLACE INTO folder_groups VALUES (?, ?, ?)",
            [(folder_id, group_id, role) for group_id in group_ids],
        )

    def expel_groups(self, folder_id: int, hashes: Sequence[str]) -> None:
        """Take the access to a folder from groups; those that have none are passed over."""
        self._db.execute(
            "DELETE FROM folder_groups WHERE folder_id = ? AND group_id IN"
            " (SELECT g.id FROM json_each(?) j JOIN groups g ON g.hash = j.value)",
            (folder_id, json.dumps(hashes)),
        )

    # --- integrations

    def add_integration(self, *, hash_: str, title: str, objects: Sequence[str]) -> None:
        """Make a way into a cloud in which there are *objects*."""
        self._db.execute("INSERT INTO integrations VALUES (NULL, ?, ?, ?)", (hash_, title, json.dumps(objects)))

    def integrations(self) -> list[IntegrationRow]:
        """Return all integrations, oldest first."""
        return [IntegrationRow._make(row) for row in self._db.execute("SELECT * FROM integrations ORDER BY id")]

    def integration(self, hash_: str) -> IntegrationRow | None:
        """Return the integration with that hash, or None."""
        row = self._db.execute("SELECT * FROM integrations WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else IntegrationRow._make(row)

    # --- jobs

    def job(self, hash_: str, folder_id: int) -> JobRow | None:
        """Return a job of a folder, or None."""
        row = self._db.execute("SELECT * FROM jobs WHERE hash = ? AND folder_id = ?", (hash_, folder_id)).fetchone()
        return None if row is None else JobRow._make(row)

    def add_job(
        self,
        folder_id: int,
        *,
        is_sync: bool,
        units: int,
        errors: Sequence[UnitError],
        ignore_errors: bool,
        file_name: str | None,
        now_us: int,
        span_us: int,
    ) -> JobRow:
        """Write down a job of so many *units*, which takes *span_us*."""
        told = [
            {"place": one.place, "urls": list(one.urls), "text": one.text, "subtask": str(uuid4())} for one in errors
        ]
        values = (
            str(uuid4()), folder_id, int(is_sync), now_us, now_us + span_us, units, json.dumps(told),
            int(ignore_errors), file_name, None,
        )  # fmt: skip
        marks = ", ?" * len(values)
        return JobRow(self._db.execute(f"INSERT INTO jobs VALUES (NULL{marks})", values).lastrowid or 0, *values)

    def cancel_job(self, job: JobRow, now_us: int) -> None:
        """End a job at *now_us*: what would have been made later is not."""
        self._db.execute("UPDATE jobs SET cancelled_us = ? WHERE id = ?", (now_us, job.id))
        self._db.execute(
            "DELETE FROM data_rows WHERE created_us > ? AND item_id IN (SELECT id FROM items WHERE job_id = ?)",
            (now_us, job.id),
        )
        self._db.execute("DELETE FROM items WHERE job_id = ? AND created_us > ?", (job.id, now_us))

    # --- items

    def known_urls(self, folder_id: int, urls: Sequence[str], now_us: int) -> set[str]:
        """Return those of *urls* that are in a folder."""
        rows = self._db.execute(
            "SELECT j.value FROM json_each(?) j CROSS JOIN items i"
            " ON i.folder_id = ? AND i.url = j.value AND i.created_us <= ?",
            (json.dumps(urls), folder_id, now_us),
        )
        return {url for (url,) in rows}

    def add_item(self, job: JobRow, folder: FolderRow, new: NewItem, *, integration: str | None, at_us: int) -> None:
        """Make an item, there from *at_us* on, and its row in the dataset that mirrors the folder, if one does."""
        made = self._db.execute(
            "INSERT INTO items VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(uuid4()), folder.id, job.id, new.type, new.name, new.metadata, new.url, integration,
                folder.owner_id, at_us, at_us,
            ),
        )  # fmt: skip
        if folder.dataset_id is not None:
            self.link(folder.dataset_id, made.lastrowid or 0, at_us)

    def set_metadata(self, folder_id: int, url: str, metadata: str, now_us: int) -> None:
        """Replace the metadata of the items with that URL."""
        self._db.execute(
            "UPDATE items SET metadata = ?, edited_us = ? WHERE folder_id = ? AND url = ?",
            (metadata, now_us, folder_id, url),
        )

    def item(self, hash_: str, now_us: int) -> ItemRow | None:
        """Return the item with that hash, or None."""
        row = self._db.execute("SELECT * FROM items WHERE hash = ? AND created_us <= ?", (hash_, now_us)).fetchone()
        return None if row is None else ItemRow._make(row)

    def items_of_job(self, job_id: int, now_us: int) -> list[ItemRow]:
        """Return what a job has made so far."""
        rows = self._db.execute(
            "SELECT * FROM items WHERE job_id = ? AND created_us <= ? ORDER BY id", (job_id, now_us)
        )
        return [ItemRow._make(row) for row in rows]

    def items(self, folder_id: int, found: Finding) -> list[ItemRow]:
        """Return what lies directly in a folder."""
        terms = ["i.folder_id = ?", "i.created_us <= ?", _FOUND_BY.format(of="i")]
        given: list[Any] = [folder_id, found.as_of_us, found.search, found.search]
        if found.in_dataset is not None:
            terms.append(
                f"{'' if found.in_dataset else 'NOT '}EXISTS (SELECT 1 FROM data_rows r WHERE r.item_id = i.id)"
            )
        if found.types:
            terms.append(f"i.type IN ({', '.join('?' * len(found.types))})")
            given += found.types
        query = f"SELECT i.* FROM items i WHERE {' AND '.join(terms)}{found.order('i')}"
        return [ItemRow._make(row) for row in self._db.execute(query, [*given, found.limit, found.offset])]

    def links_of(self, item_id: int) -> int:
        """Return how many data rows show an item."""
        return int(self._db.execute("SELECT count(*) FROM data_rows WHERE item_id = ?", (item_id,)).fetchone()[0])

    # --- data rows

    def link(self, dataset_id: int, item_id: int, now_us: int) -> str:
        """Make a data row of an item."""
        hash_ = str(uuid4())
        self._db.execute("INSERT INTO data_rows VALUES (NULL, ?, ?, ?, ?)", (hash_, dataset_id, item_id, now_us))
        return hash_

    def is_linked(self, dataset_id: int, item_id: int) -> bool:
        """Say whether a dataset has an item."""
        query = "SELECT 1 FROM data_rows WHERE dataset_id = ? AND item_id = ? LIMIT 1"
        return self._db.execute(query, (dataset_id, item_id)).fetchone() is not None

    def data_rows(self, dataset_id: int, as_of_us: int) -> list[DataRow]:
        """Return the data rows of a dataset, oldest first."""
        rows = self._db.execute(
            "SELECT r.hash, r.created_us, i.* FROM data_rows r JOIN items i ON i.id = r.item_id"
            " WHERE r.dataset_id = ? AND r.created_us <= ? ORDER BY r.id",
            (dataset_id, as_of_us),
        )
        return [DataRow(hash_, ItemRow._make(item), created_us) for hash_, created_us, *item in rows]

    def remove_data_rows(self, dataset_id: int, hashes: Sequence[str]) -> int:
        """Take rows out of a dataset, and return how many there were of them."""
        return self._db.execute(
            "DELETE FROM data_rows WHERE dataset_id = ? AND hash IN (SELECT value FROM json_each(?))",
            (dataset_id, json.dumps(hashes)),
        ).rowcount
