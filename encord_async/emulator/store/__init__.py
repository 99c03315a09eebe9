"""The emulator's memory: one SQLite file (or none, in memory), and all the SQL there is. The door is `Store`."""

from encord_async.emulator.store.organisation import GroupRow, MemberRow, TagRow
from encord_async.emulator.store.rows import (
    ADMIN,
    DATASET,
    ONTOLOGY,
    PROJECT,
    DatasetRow,
    KeyRow,
    Kind,
    OntologyRow,
    ProjectRow,
    Row,
    UserRow,
)
from encord_async.emulator.store.state import ProjectState, State
from encord_async.emulator.store.store import LogEntry, StateError, Store

__all__ = [
    "ADMIN",
    "DATASET",
    "ONTOLOGY",
    "PROJECT",
    "DatasetRow",
    "GroupRow",
    "KeyRow",
    "Kind",
    "LogEntry",
    "MemberRow",
    "OntologyRow",
    "ProjectRow",
    "ProjectState",
    "Row",
    "State",
    "StateError",
    "Store",
    "TagRow",
    "UserRow",
]
