"""Workflows in the emulator's memory: templates, the stages of projects, and what was done with tasks.

SQL only, on the connection of `Store`, whose transactions hold here too. It never judges who may do what. A task is not
kept: there is one for each data row of an attached dataset, and only what was done with it is written down.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from encord_async.emulator.store.rows import ProjectRow
from encord_async.protocol.catalogue import StageType, TaskStatus

__all__ = ["ANNOTATING", "SCHEMA", "StageRow", "TaskFilter", "TaskRow", "Workflows"]

SCHEMA: Final = """
CREATE TABLE workflow_templates (id TEXT PRIMARY KEY, title TEXT NOT NULL, stages TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE project_templates (project_id INTEGER PRIMARY KEY, template_id TEXT NOT NULL);
CREATE TABLE tasks (
    project_id INTEGER NOT NULL, data_hash TEXT NOT NULL, status TEXT, assignee TEXT, priority REAL, edited_us INTEGER,
    PRIMARY KEY (project_id, data_hash)) WITHOUT ROWID;
"""

ANNOTATING: Final = (StageType.ANNOTATION, StageType.CONSENSUS_ANNOTATION)
"""The stages in which people make labels; new tasks are in the first of them."""

_DEFAULT: Final = (
    ("Annotate 1", StageType.ANNOTATION),
    ("Review 1", StageType.REVIEW),
    ("Complete", StageType.DONE),
)
"""The stages of a project without a template; inferred."""


class StageRow(NamedTuple):
    """A stage of a project."""

    uuid: str
    title: str
    type: str


class TaskRow(NamedTuple):
    """A task: a data row of an attached dataset, and what was done with it."""

    data_hash: str
    title: str
    dataset_hash: str
    status: str
    assignee: str | None
    priority: float | None
    created_us: int
    edited_us: int


class TaskFilter(NamedTuple):
    """Which tasks to show; an empty list shows all."""

    emails: Sequence[str] = ()
    data_hashes: Sequence[str] = ()
    dataset_hashes: Sequence[str] = ()
    title_contains: str = ""
    statuses: Sequence[str] = ()


class Workflows:
    """Templates, stages and tasks. Made by `Store`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Work on an open connection that has the tables of `SCHEMA`."""
        self._db = db

    def add_template(self, id_: str, title: str, stages: Sequence[tuple[str, str]]) -> None:
        """Make a template; *stages* are titles and types."""
        self._db.execute("INSERT INTO workflow_templates VALUES (?, ?, ?)", (id_, title, json.dumps(stages)))

    def has_template(self, id_: str) -> bool:
        """Say whether there is a template with that id."""
        return self._db.execute("SELECT 1 FROM workflow_templates WHERE id = ?", (id_,)).fetchone() is not None

    def set_template(self, project_id: int, template_id: str) -> None:
        """Give a new project the stages of a template."""
        self._db.execute("INSERT OR REPLACE INTO project_templates VALUES (?, ?)", (project_id, template_id))

    def copy_template(self, source_id: int, target_id: int) -> None:
        """Give a new project the stages of another one."""
        self._db.execute(
            "INSERT OR REPLACE INTO project_templates SELECT ?, template_id FROM project_templates"
            " WHERE project_id = ?",
            (target_id, source_id),
        )

    def stages(self, project: ProjectRow) -> list[StageRow]:
        """Return the stages of a project in their order; their uuids are its own."""
        row = self._db.execute(
            "SELECT t.stages FROM project_templates p JOIN workflow_templates t ON t.id = p.template_id"
            " WHERE p.project_id = ?",
            (project.id,),
        ).fetchone()
        stages = _DEFAULT if row is None else json.loads(row[0])
        return [
            StageRow(str(uuid5(UUID(project.workflow), f"stage {number}")), title, str(type_))
            for number, (title, type_) in enumerate(stages)
        ]

    def tasks(
        self,
        project_id: int,
        filter_: TaskFilter,
        *,
        as_of_us: int,
        delay_us: int = 0,
        limit: int = -1,
        offset: int = 0,
    ) -> list[TaskRow]:
        """Return the tasks of a project, oldest first: those whose data were in it *delay_us* before *as_of_us*."""
        terms = ["pd.project_id = ?", "max(r.created_us, pd.since_us) + ? <= ?"]
        given: list[Any] = [project_id, delay_us, as_of_us]
        for column, values in (
            ("t.assignee COLLATE NOCASE", filter_.emails),
            ("r.hash", filter_.data_hashes),
            ("d.hash", filter_.dataset_hashes),
            (f"coalesce(t.status, '{TaskStatus.NEW}')", filter_.statuses),
        ):
            if values:
                terms.append(f"{column} IN ({', '.join('?' * len(values))})")
                given += values
        if filter_.title_contains:
            terms.append("instr(lower(i.name), lower(?)) > 0")
            given.append(filter_.title_contains)
        rows = self._db.execute(
            f"SELECT r.hash, i.name, d.hash, coalesce(t.status, '{TaskStatus.NEW}'), t.assignee, t.priority,"
            " max(r.created_us, pd.since_us), coalesce(t.edited_us, r.created_us)"
            " FROM project_datasets pd JOIN datasets d ON d.id = pd.dataset_id"
            " JOIN data_rows r ON r.dataset_id = pd.dataset_id JOIN items i ON i.id = r.item_id"
            " LEFT JOIN tasks t ON t.project_id = pd.project_id AND t.data_hash = r.hash"
            f" WHERE {' AND '.join(terms)} ORDER BY r.id LIMIT ? OFFSET ?",
            [*given, limit, offset],
        )
        return [TaskRow._make(row) for row in rows]

    def set_task(self, project_id: int, data_hash: str, *, status: str, assignee: str | None, now_us: int) -> None:
        """Write down whose a task is."""
        self._db.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, NULL, ?) ON CONFLICT (project_id, data_hash)"
            " DO UPDATE SET status = excluded.status, assignee = excluded.assignee, edited_us = excluded.edited_us",
            (project_id, data_hash, status, assignee, now_us),
        )

    def set_priority(self, project_id: int, data_hash: str, priority: float) -> None:
        """Write down how urgent a task is."""
        self._db.execute(
            "INSERT INTO tasks VALUES (?, ?, NULL, NULL, ?, NULL) ON CONFLICT (project_id, data_hash)"
            " DO UPDATE SET priority = excluded.priority",
            (project_id, data_hash, priority),
        )
