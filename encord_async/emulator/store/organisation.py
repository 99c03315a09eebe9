"""The organisation's part of the emulator's memory: members, groups and where they have access, tags, statuses.

SQL only, on the connection of `Store`, whose transactions hold here too. It never judges who may do what. Times are
microseconds since 1970, UTC.
"""

import json
import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from encord_async.emulator.store.rows import Kind, for_each_kind
from encord_async.protocol.catalogue import MemberType, OrganisationRole, ProjectStatus

__all__ = ["MORE_GROUPS", "SCHEMA", "GroupRow", "MemberRow", "Organisation", "TagRow"]

SCHEMA: Final = """
CREATE TABLE organisation_users (
    user_id INTEGER PRIMARY KEY, role TEXT NOT NULL, member_type TEXT NOT NULL,
    created_us INTEGER NOT NULL, edited_us INTEGER NOT NULL);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, description TEXT NOT NULL,
    manager_id INTEGER NOT NULL, created_us INTEGER NOT NULL);
CREATE TABLE group_users (
    group_id INTEGER NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (group_id, user_id)) WITHOUT ROWID;
CREATE TABLE project_groups (
    project_id INTEGER NOT NULL, group_id INTEGER NOT NULL, role INTEGER NOT NULL,
    PRIMARY KEY (project_id, group_id)) WITHOUT ROWID;
CREATE TABLE tags (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL);
CREATE TABLE project_tags (
    project_id INTEGER NOT NULL, tag_id INTEGER NOT NULL, PRIMARY KEY (project_id, tag_id)) WITHOUT ROWID;
CREATE TABLE project_statuses (project_id INTEGER PRIMARY KEY, status TEXT NOT NULL);
"""

MORE_GROUPS: Final = """
CREATE TABLE dataset_groups (
    dataset_id INTEGER NOT NULL, group_id INTEGER NOT NULL, role INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, group_id)) WITHOUT ROWID;
CREATE TABLE ontology_groups (
    ontology_id INTEGER NOT NULL, group_id INTEGER NOT NULL, role INTEGER NOT NULL,
    PRIMARY KEY (ontology_id, group_id)) WITHOUT ROWID;
"""
"""What the third layout has more than the second."""


class MemberRow(NamedTuple):
    """A member of the organisation."""

    user_id: int
    email: str
    role: str
    member_type: str
    created_us: int
    edited_us: int

    @property
    def role_uuid(self) -> str:
        """The role's identifier, the same everywhere."""
        return str(uuid5(NAMESPACE_URL, f"organisation-role:{self.role}"))


class GroupRow(NamedTuple):
    """A group of users."""

    id: int
    hash: str
    name: str
    description: str
    manager_id: int
    created_us: int


class TagRow(NamedTuple):
    """A tag."""

    id: int
    hash: str
    name: str
    description: str


_MEMBER: Final = (
    "SELECT o.user_id, u.email, o.role, o.member_type, o.created_us, o.edited_us"
    " FROM organisation_users o JOIN users u ON u.id = o.user_id"
)


_GROUPS_IN: Final = for_each_kind(
    "SELECT a.role, g.* FROM GROUPS_IN a JOIN groups g ON g.id = a.group_id WHERE a.RESOURCE_ID = ? ORDER BY g.id"
)
_ADMIT: Final = for_each_kind("INSERT OR REPLACE INTO GROUPS_IN (RESOURCE_ID, group_id, role) VALUES (?, ?, ?)")
_EXPEL: Final = for_each_kind(
    "DELETE FROM GROUPS_IN WHERE RESOURCE_ID = ? AND group_id IN"
    " (SELECT g.id FROM json_each(?) j JOIN groups g ON g.hash = j.value)"
)


class Organisation:
    """Who belongs to the organisation, and its groups and tags. Made by `Store`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Work on an open connection that has the tables of `SCHEMA`."""
        self._db = db

    def enrol_first(self, now_us: int) -> None:
        """Make everybody who can sign a member: the first as Admin, the others as Members."""
        self._db.execute(
            "INSERT OR IGNORE INTO organisation_users SELECT id, CASE WHEN id = (SELECT min(user_id) FROM credentials)"
            " THEN ? ELSE ? END, ?, ?, ? FROM users WHERE id IN (SELECT user_id FROM credentials)",
            (str(OrganisationRole.ADMIN), str(OrganisationRole.MEMBER), str(MemberType.INTERNAL), now_us, now_us),
        )

    # --- members

    def member(self, user_id: int) -> MemberRow | None:
        """Return a user's membership, or None."""
        row = self._db.execute(f"{_MEMBER} WHERE o.user_id = ?", (user_id,)).fetchone()
        return None if row is None else MemberRow._make(row)

    def members(self) -> list[MemberRow]:
        """Return every membership, oldest first."""
        rows = self._db.execute(f"{_MEMBER} ORDER BY o.created_us, o.user_id")
        return [MemberRow._make(row) for row in rows]

    def enrol(self, user_id: int, role: str, member_type: str, now_us: int) -> bool:
        """Make a user a member; false if they are one already, and nothing changes."""
        values = (user_id, role, member_type, now_us, now_us)
        made = self._db.execute("INSERT OR IGNORE INTO organisation_users VALUES (?, ?, ?, ?, ?)", values)
        return made.rowcount == 1

    def dismiss(self, user_id: int) -> None:
        """End a membership, and those in groups."""
        self._db.execute("DELETE FROM organisation_users WHERE user_id = ?", (user_id,))
        self._db.execute("DELETE FROM group_users WHERE user_id = ?", (user_id,))

    def user_id(self, email: str) -> int | None:
        """Return the id of the account with that address, or None."""
        row = self._db.execute("SELECT id FROM users WHERE email = ?", (email,)).fetchone()
        return None if row is None else int(row[0])

    def new_token(self, user_id: int) -> str:
        """Return a new bearer token of a user."""
        token = secrets.token_urlsafe(48)
        self._db.execute("INSERT INTO credentials VALUES (?, ?)", (token, user_id))
        return token

    # --- groups

    def group(self, hash_: str) -> GroupRow | None:
        """Return the group with that hash, or None."""
        row = self._db.execute("SELECT * FROM groups WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else GroupRow._make(row)

    def groups(self, as_of_us: int) -> list[GroupRow]:
        """Return all groups, oldest first."""
        rows = self._db.execute("SELECT * FROM groups WHERE created_us <= ? ORDER BY id", (as_of_us,))
        return [GroupRow._make(row) for row in rows]

    def add_group(self, *, name: str, description: str, manager_id: int, now_us: int) -> GroupRow:
        """Make a group whose manager is its first member."""
        values = (str(uuid4()), name, description, manager_id, now_us)
        row_id = self._db.execute("INSERT INTO groups VALUES (NULL, ?, ?, ?, ?, ?)", values).lastrowid or 0
        self.join_group(row_id, [manager_id])
        return GroupRow(row_id, *values)

    def group_emails(self, group_id: int) -> list[str]:
        """Return who is in a group."""
        rows = self._db.execute(
            "SELECT u.email FROM group_users g JOIN users u ON u.id = g.user_id WHERE g.group_id = ? ORDER BY u.id",
            (group_id,),
        )
        return [email for (email,) in rows]

    def join_group(self, group_id: int, user_ids: Sequence[int]) -> None:
        """Put users into a group; those who are in it stay."""
        self._db.executemany(
            "INSERT OR IGNORE INTO group_users VALUES (?, ?)", [(group_id, user_id) for user_id in user_ids]
        )

    def leave_group(self, group_id: int, emails: Sequence[str]) -> None:
        """Take users out of a group; strangers are passed over."""
        self._db.execute(
            "DELETE FROM group_users WHERE group_id = ? AND user_id IN"
            " (SELECT u.id FROM json_each(?) j JOIN users u ON u.email = j.value)",
            (group_id, json.dumps(emails)),
        )

    # --- groups in projects, datasets and ontologies

    def groups_in(self, kind: Kind[Any], resource_id: int) -> list[tuple[int, GroupRow]]:
        """Return role and group for each group that has access to something."""
        rows = self._db.execute(_GROUPS_IN[kind.name], (resource_id,))
        return [(role, GroupRow._make(row)) for role, *row in rows]

    def admit_groups(self, kind: Kind[Any], resource_id: int, group_ids: Sequence[int], role: int) -> None:
        """Give groups a role in something, in the place of one that they had."""
        self._db.executemany(_ADMIT[kind.name], [(resource_id, group_id, role) for group_id in group_ids])

    def expel_groups(self, kind: Kind[Any], resource_id: int, hashes: Sequence[str]) -> None:
        """Take the access to something from groups; those that have none are passed over."""
        self._db.execute(_EXPEL[kind.name], (resource_id, json.dumps(hashes)))

    # --- tags

    def tag(self, hash_: str) -> TagRow | None:
        """Return the tag with that hash, or None."""
        row = self._db.execute("SELECT * FROM tags WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else TagRow._make(row)

    def tags(self) -> list[TagRow]:
        """Return all tags, oldest first."""
        return [TagRow._make(row) for row in self._db.execute("SELECT * FROM tags ORDER BY id")]

    def add_tag(self, *, name: str, description: str) -> TagRow | None:
        """Make a tag; None if the name is taken."""
        values = (str(uuid4()), name, description)
        made = self._db.execute("INSERT OR IGNORE INTO tags VALUES (NULL, ?, ?, ?)", values)
        return TagRow(made.lastrowid or 0, *values) if made.rowcount == 1 else None

    def project_tags(self, project_id: int) -> list[TagRow]:
        """Return the tags of a project."""
        rows = self._db.execute(
            "SELECT t.* FROM project_tags p JOIN tags t ON t.id = p.tag_id WHERE p.project_id = ? ORDER BY t.id",
            (project_id,),
        )
        return [TagRow._make(row) for row in rows]

    def put_tag(self, project_id: int, tag_id: int) -> None:
        """Put a tag on a project, once."""
        self._db.execute("INSERT OR IGNORE INTO project_tags VALUES (?, ?)", (project_id, tag_id))

    def take_tag(self, project_id: int, tag_id: int) -> None:
        """Take a tag off a project."""
        self._db.execute("DELETE FROM project_tags WHERE project_id = ? AND tag_id = ?", (project_id, tag_id))

    # --- where projects stand

    def status(self, project_id: int) -> str:
        """Return a project's status."""
        row = self._db.execute("SELECT status FROM project_statuses WHERE project_id = ?", (project_id,)).fetchone()
        return str(ProjectStatus.NOT_STARTED if row is None else row[0])

    def set_status(self, project_id: int, status: str) -> None:
        """Set a project's status."""
        self._db.execute("INSERT OR REPLACE INTO project_statuses VALUES (?, ?)", (project_id, status))
