"""Operations on the tasks of a project: list, assign, release, and the order in which they are worked on.

The stages are a part of the project, see `GetProjectV2`. Nothing here moves a task from stage to stage, and no call
makes a workflow: its template is named when a project is created.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from encord_async.errors import UsageError
from encord_async.protocol import rest_models
from encord_async.protocol.catalogue import MAX_ACTIONS, RestCall, TaskStatus, rest_call
from encord_async.protocol.checks import Check, Text, Texts, filled, members_of, some, text
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import Command, PageOperation
from encord_async.protocol.rest import QueryValue, members

__all__ = ["AssignTasks", "ListTasks", "ReleaseTasks", "SetPriorities"]

_ACTIONS = rest_call("POST", "/projects/{project}/workflow/stages/{stage}/actions")


def _actions(found: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if len(found) > MAX_ACTIONS:
        raise UsageError(f"{what} has {len(found)} members; a call takes {MAX_ACTIONS}, make several")
    return filled(found, what)


def _assignees(pairs: Iterable[tuple[str, str]], name: str) -> tuple[tuple[str, str], ...]:
    found = tuple((text(task, "a task's uuid"), text(email, "an assignee")) for task, email in pairs)
    return _actions(found, name)


def _priorities(pairs: Iterable[tuple[str, float]], name: str) -> tuple[tuple[str, float], ...]:
    found = tuple((text(data, "a data hash"), float(number)) for data, number in pairs)
    for _, number in found:
        if not 0.0 <= number <= 1.0:
            raise UsageError(f"{number} is no priority; give a number from 0.0 to 1.0")
    return filled(found, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfStage:
    """What the operations on one stage have in common."""

    project_hash: Text
    stage_uuid: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasks(_OfStage, PageOperation[rest_models.Task]):
    """List the tasks that are in a stage; all filters are joined by *and*. Source: SDK 0.1.211.

    A task is there some time after its dataset was attached and its data linked, not at once. Filters by person and by
    status are for stages of annotation and review.
    """

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/workflow/stages/{stage}/tasks")
    item_name: ClassVar[str] = "uuid"

    emails: Texts = ()
    data_hashes: Texts = ()
    dataset_hashes: Texts = ()
    title_contains: str | None = None
    statuses: Annotated[tuple[TaskStatus, ...], members_of(TaskStatus, "status of a task")] = ()

    def query(self) -> Mapping[str, QueryValue]:
        return {
            "pageToken": self.page_token,
            "userEmails": self.emails,
            "dataHashes": self.data_hashes,
            "datasetHashes": self.dataset_hashes,
            "dataTitleContains": self.title_contains,
            "statuses": self.statuses,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTasks(_OfStage, Command):
    """Give tasks of one stage to people, in the place of whoever had them. Source: SDK 0.1.211.

    *assignees* are pairs of a task's uuid and an e-mail address, 1000 at most. That people have to be users of the
    project is inferred; what becomes of the others if one pair is bad is not known.
    """

    call: ClassVar[RestCall] = _ACTIONS

    assignees: Annotated[tuple[tuple[str, str], ...], Check(_assignees)]

    def body(self) -> JSON:
        return [members(task_uuid=task, action="ASSIGN", assignee=email) for task, email in self.assignees]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTasks(_OfStage, Command):
    """Take tasks of one stage from whoever has them, 1000 at most. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = _ACTIONS

    task_uuids: Annotated[tuple[str, ...], Check(lambda found, name: _actions(some(found, name), name))]

    def body(self) -> JSON:
        return [members(task_uuid=task, action="RELEASE") for task in self.task_uuids]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPriorities(Command):
    """Say how urgent data of a project are, from 0.0 to 1.0. Source: SDK 0.1.211; no call reads it back.

    *priorities* are pairs of a data hash and a number.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/projects/{project}/priorities")

    project_hash: Text
    priorities: Annotated[tuple[tuple[str, float], ...], Check(_priorities)]

    def body(self) -> JSON:
        return members(priorities=self.priorities)
