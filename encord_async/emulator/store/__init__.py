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
from encord_async.emulator.store.storage import (
    DataRow,
    Finding,
    FolderRow,
    ItemRow,
    JobRow,
    NewItem,
    UnitError,
)
from encord_async.emulator.store.store import LogEntry, StateError, Store
from encord_async.emulator.store.workflow import ANNOTATING, StageRow, TaskFilter, TaskRow

__all__ = [
    "ADMIN",
    "ANNOTATING",
    "DATASET",
    "ONTOLOGY",
    "PROJECT",
    "DataRow",
    "DatasetRow",
    "Finding",
    "FolderRow",
    "GroupRow",
    "ItemRow",
    "JobRow",
    "KeyRow",
    "Kind",
    "LogEntry",
    "MemberRow",
    "NewItem",
    "OntologyRow",
    "ProjectRow",
    "ProjectState",
    "Row",
    "StageRow",
    "State",
    "StateError",
    "Store",
    "TagRow",
    "TaskFilter",
    "TaskRow",
    "UnitError",
    "UserRow",
]
