"""All that the emulator holds, as ``GET /_emulator/state`` shows it: secrets left out, in the order of creation.

SQL that reads. It never changes anything.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from encord_async.emulator.store.organisation import Organisation
from encord_async.emulator.store.rows import DATASET, ONTOLOGY, PROJECT, Kind, for_each_kind
from encord_async.emulator.store.workflow import TaskFilter, Workflows

__all__ = [
    "DatasetState",
    "FolderState",
    "ItemState",
    "KeyState",
    "ProjectState",
    "State",
    "TaskState",
    "UserState",
    "read_state",
]


class UserState(TypedDict):
    """A member, as ``GET /_emulator/state`` shows it."""

    email: str
    role: int


class KeyState(TypedDict):
    """An API key without the key, as ``GET /_emulator/state`` shows it."""

    title: str
    scopes: list[str]


class AccessState(TypedDict):
    """A group with its role in a project, dataset or ontology, as ``GET /_emulator/state`` shows it."""

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
    tags: list[str]
    status: str
    tasks: int


class DatasetState(TypedDict):
    """A dataset, as ``GET /_emulator/state`` shows it."""

    dataset_hash: str
    title: str
    description: str
    type: int
    users: list[UserState]
    backing_folder: bool
    groups: list[AccessState]


class OntologyState(TypedDict):
    """An ontology, as ``GET /_emulator/state`` shows it."""

    ontology_hash: str
    title: str
    description: str
    editor: dict[str, object]
    groups: list[AccessState]


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


class FolderAccessState(TypedDict):
    """A group with its role in a folder, as ``GET /_emulator/state`` shows it."""

    group_hash: str
    role: str


class FolderState(TypedDict):
    """A storage folder, as ``GET /_emulator/state`` shows it; *dataset* is the one that mirrors it."""

    uuid: str
    parent: str | None
    name: str
    description: str
    client_metadata: dict[str, object] | None
    groups: list[FolderAccessState]
    dataset: str | None
    integration: str | None
    remote_url: str | None


class ItemState(TypedDict):
    """An item of a folder and the datasets that have it, as ``GET /_emulator/state`` shows it."""

    uuid: str
    folder: str
    type: str
    name: str
    url: str | None
    client_metadata: dict[str, object]
    datasets: list[str]


class TaskState(TypedDict):
    """A task, as ``GET /_emulator/state`` shows it."""

    project_hash: str
    dataset_hash: str
    data_hash: str
    title: str
    status: str
    assignee: str | None
    priority: float | None


class State(TypedDict):
    """All that the emulator holds, secrets left out."""

    projects: list[ProjectState]
    datasets: list[DatasetState]
    ontologies: list[OntologyState]
    groups: list[GroupState]
    organisation_users: list[OrganisationUserState]
    tags: list[str]
    folders: list[FolderState]
    items: list[ItemState]
    tasks: list[TaskState]


_ALL_MEMBERS: Final = for_each_kind(
    "SELECT m.RESOURCE_ID, u.email, m.role FROM MEMBERS m JOIN users u ON u.id = m.user_id"
    " ORDER BY m.RESOURCE_ID, m.since_us, u.id"
)


_ALL_GROUPS: Final = for_each_kind(
    "SELECT a.RESOURCE_ID, g.hash, a.role FROM GROUPS_IN a JOIN groups g ON g.id = a.group_id"
    " ORDER BY a.RESOURCE_ID, g.id"
)


def read_state(db: sqlite3.Connection, organisation: Organisation, workflows: Workflows, *, now_us: int) -> State:
    """Return everything in the order in which it was created; what running jobs are still to make is not there."""
    tasks = _task_states(db, workflows, now_us)
    return State(
        projects=_project_states(db, organisation, Counter(task["project_hash"] for task in tasks)),
        datasets=_dataset_states(db),
        ontologies=_ontology_states(db),
        groups=_group_states(db, organisation),
        organisation_users=[
            OrganisationUserState(email=one.email, role=one.role, member_type=one.member_type)
            for one in organisation.members()
        ],
        tags=[tag.name for tag in organisation.tags()],
        folders=_folder_states(db),
        items=_item_states(db, now_us),
        tasks=tasks,
    )


def _project_states(db: sqlite3.Connection, organisation: Organisation, tasks: Mapping[str, int]) -> list[ProjectState]:
    users = _users_by(db, PROJECT)
    attached: dict[int, list[str]] = {}
    for project_id, hash_ in db.execute(
        "SELECT pd.project_id, d.hash FROM project_datasets pd JOIN datasets d ON d.id = pd.dataset_id"
        " ORDER BY pd.project_id, pd.since_us, d.id"
    ):
        attached.setdefault(project_id, []).append(hash_)
    keys: dict[int, list[KeyState]] = {}
    for project_id, title, scopes in db.execute(
        "SELECT resource_id, title, scopes FROM api_keys WHERE kind = 'project' ORDER BY id"
    ):
        keys.setdefault(project_id, []).append(KeyState(title=title, scopes=json.loads(scopes)))
    groups = _groups_by(db, PROJECT)
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
            tags=[tag.name for tag in organisation.project_tags(id_)],
            status=organisation.status(id_),
            tasks=tasks[hash_],
        )
        for id_, hash_, title, description, ontology_hash in db.execute(
            "SELECT p.id, p.hash, p.title, p.description, o.hash FROM projects p"
            " JOIN ontologies o ON o.id = p.ontology_id ORDER BY p.id"
        )
    ]


def _dataset_states(db: sqlite3.Connection) -> list[DatasetState]:
    users, groups = _users_by(db, DATASET), _groups_by(db, DATASET)
    return [
        DatasetState(
            dataset_hash=hash_,
            title=title,
            description=description,
            type=type_,
            users=users.get(id_, []),
            backing_folder=bool(folder),
            groups=groups.get(id_, []),
        )
        for id_, hash_, title, description, type_, folder in db.execute(
            "SELECT id, hash, title, description, type, backing_folder FROM datasets ORDER BY id"
        )
    ]


def _ontology_states(db: sqlite3.Connection) -> list[OntologyState]:
    groups = _groups_by(db, ONTOLOGY)
    rows = db.execute("SELECT id, hash, title, description, editor FROM ontologies ORDER BY id")
    return [
        OntologyState(
            ontology_hash=hash_,
            title=title,
            description=description,
            editor=json.loads(editor),
            groups=groups.get(id_, []),
        )
        for id_, hash_, title, description, editor in rows
    ]


def _group_states(db: sqlite3.Connection, organisation: Organisation) -> list[GroupState]:
    rows = db.execute("SELECT id, hash, name, description FROM groups ORDER BY id").fetchall()
    return [
        GroupState(group_hash=hash_, name=name, description=description, users=organisation.group_emails(id_))
        for id_, hash_, name, description in rows
    ]


def _folder_states(db: sqlite3.Connection) -> list[FolderState]:
    groups: dict[int, list[FolderAccessState]] = {}
    for folder_id, group_hash, role in db.execute(
        "SELECT a.folder_id, g.hash, a.role FROM folder_groups a JOIN groups g ON g.id = a.group_id"
        " ORDER BY a.folder_id, g.id"
    ):
        groups.setdefault(folder_id, []).append(FolderAccessState(group_hash=group_hash, role=role))
    return [
        FolderState(
            uuid=hash_,
            parent=parent,
            name=name,
            description=description,
            client_metadata=None if metadata is None else json.loads(metadata),
            groups=groups.get(id_, []),
            dataset=dataset,
            integration=integration,
            remote_url=remote_url,
        )
        for id_, hash_, parent, name, description, metadata, dataset, integration, remote_url in db.execute(
            "SELECT f.id, f.hash, p.hash, f.name, f.description, f.metadata, d.hash, f.integration, f.remote_url"
            " FROM folders f LEFT JOIN folders p ON p.id = f.parent_id LEFT JOIN datasets d ON d.id = f.dataset_id"
            " ORDER BY f.id"
        )
    ]


def _item_states(db: sqlite3.Connection, now_us: int) -> list[ItemState]:
    datasets: dict[int, list[str]] = {}
    for item_id, hash_ in db.execute(
        "SELECT r.item_id, d.hash FROM data_rows r JOIN datasets d ON d.id = r.dataset_id ORDER BY r.id"
    ):
        datasets.setdefault(item_id, []).append(hash_)
    rows = db.execute(
        "SELECT i.id, i.hash, f.hash, i.type, i.name, i.url, i.metadata FROM items i"
        " JOIN folders f ON f.id = i.folder_id WHERE i.created_us <= ? ORDER BY i.id",
        (now_us,),
    )
    return [
        ItemState(
            uuid=hash_,
            folder=folder,
            type=type_,
            name=name,
            url=url,
            client_metadata=json.loads(metadata),
            datasets=datasets.get(id_, []),
        )
        for id_, hash_, folder, type_, name, url, metadata in rows
    ]


def _task_states(db: sqlite3.Connection, workflows: Workflows, now_us: int) -> list[TaskState]:
    if db.execute("SELECT 1 FROM data_rows LIMIT 1").fetchone() is None:
        return []
    return [
        TaskState(
            project_hash=project_hash,
            dataset_hash=task.dataset_hash,
            data_hash=task.data_hash,
            title=task.title,
            status=task.status,
            assignee=task.assignee,
            priority=task.priority,
        )
        for id_, project_hash in db.execute("SELECT id, hash FROM projects ORDER BY id").fetchall()
        for task in workflows.tasks(id_, TaskFilter(), as_of_us=now_us)
    ]


def _users_by(db: sqlite3.Connection, kind: Kind[Any]) -> dict[int, list[UserState]]:
    found: dict[int, list[UserState]] = {}
    for resource_id, email, role in db.execute(_ALL_MEMBERS[kind.name]):
        found.setdefault(resource_id, []).append(UserState(email=email, role=role))
    return found


def _groups_by(db: sqlite3.Connection, kind: Kind[Any]) -> dict[int, list[AccessState]]:
    found: dict[int, list[AccessState]] = {}
    for resource_id, group_hash, role in db.execute(_ALL_GROUPS[kind.name]):
        found.setdefault(resource_id, []).append(AccessState(group_hash=group_hash, role=role))
    return found
