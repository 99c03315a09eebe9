"""The kind ``project_tasks``: whose the tasks in a stage of a project are, and how urgent. Sends nothing but reads.

Who has a task keeps it, unless a rule says that they are to have none. A run first does all else, and then waits until
all data of the project have tasks: the service makes these some time after data were linked.
"""

import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.errors import AppliedError, AuthenticationError, ConflictError, EncordError, RefusedError
from encord_async.kinds.chore import Chore, Todo
from encord_async.kinds.data_rows import parts_of_rows
from encord_async.kinds.entry import Count, Entry, InProjectEntry
from encord_async.kinds.exporting import Pen
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Email, Part, Title, shown, wrong
from encord_async.kinds.membership import Held
from encord_async.kinds.project_stages import stages_of
from encord_async.kinds.reading import OnRefusal, Reads, Unlisted
from encord_async.kinds.step import Step, one
from encord_async.kinds.task_rules import Assign, Strategy, TaskRule, deal, written_rules
from encord_async.kinds.thing import Listed
from encord_async.protocol.catalogue import MAX_ACTIONS, StageType
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.operations.projects import GetProject
from encord_async.protocol.operations.workflow import AssignTasks, ListTasks, ReleaseTasks, SetPriorities
from encord_async.protocol.rest_models import Stage, Task

__all__ = ["PRIORITY", "TASKS", "ProjectTasksEntry"]

_WAIT_S: Final = 600
_LONGEST_WAIT_S: Final = 7 * 24 * 3600
_OF_PEOPLE: Final = (StageType.ANNOTATION, StageType.REVIEW, StageType.CONSENSUS_REVIEW)
"""Stages whose tasks are somebody's."""
_ROUTERS: Final = (StageType.USER_ROUTER, StageType.PERCENTAGE_ROUTER)
"""Stages that tasks pass and are not in."""


def _number(value: object, *, most: float, what: str) -> float:
    if isinstance(value, str):
        # The cell of a table.
        try:
            value = float(value)
        except ValueError:
            raise wrong(f"{shown(value)} is no {what}; give a number from 0 to {most}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise wrong(f"{shown(value)} is no {what}; give a number from 0 to {most}")
    return float(value)


Priority: TypeAlias = Annotated[
    float,
    BeforeValidator(partial(_number, most=1, what="priority")),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1, "description": "A number from 0 to 1."}),
]
Seconds: TypeAlias = Annotated[
    float,
    BeforeValidator(partial(_number, most=_LONGEST_WAIT_S, what="time to wait, in seconds")),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": _LONGEST_WAIT_S, "description": "A number of seconds."}),
]


class ProjectTasksEntry(InProjectEntry):
    """Whose the tasks in a stage of a project are: *assign* gives those that nobody has to people.

    Who has a task keeps it. *release* names people who shall have none there: theirs are given to others by *assign*,
    or to nobody. *priority* is set for all data that have a task in the stage, once.

    All else that the run does comes first. Then it waits until all data of the project have tasks, *wait_s* seconds at
    most; with 0 it takes the tasks that are there. Have one entry for each stage: two that give away the same tasks
    do so in any order.
    """

    is_harmless_twice = True
    is_looked_at = True
    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"assign": TaskRule})
    counted = (Count("task_stages", "stages whose tasks are given to people"),)
    forms = MappingProxyType({"release": "ann@x.org;bob@x.org"})
    example = MappingProxyType({"project": "@cats", "stage": "Annotate", "assign": ["ann@example.com"]})

    kind: Literal["project_tasks"] = "project_tasks"
    stage: Title
    assign: Assign = ()
    release: tuple[Email, ...] = ()
    priority: Priority | None = None
    wait_s: Seconds = _WAIT_S

    def faults(self) -> list[Fault]:
        found = twice("release.{}", [email.casefold() for email in self.release])
        leavers = {email.casefold() for email in self.release}
        for index, rule in enumerate(self.assign):
            found += twice(f"assign.{index}.emails.{{}}", [email.casefold() for email in rule.emails])
            for place, email in enumerate(rule.emails):
                if email.casefold() in leavers:
                    reason = f"{shown(email)} is to have no tasks, as 'release' says"
                    found.append(Fault(f"assign.{index}.emails.{place}", reason, "leave it out of one of them"))
            if not rule.titles and index + 1 < len(self.assign):
                reason = "is about all tasks, so no rule after it counts"
                found.append(Fault(f"assign.{index}", reason, "let it be the last, or give it 'titles'"))
        if not self.assign and not self.release and self.priority is None:
            found.append(Fault("assign", "is missing: the entry wishes for nothing", "or use 'release' or 'priority'"))
        return found

    def steps(self, identity: bytes) -> Iterator[Step]:
        wish: dict[str, object] = {"stage": self.stage}
        patience = {} if self.wait_s == _WAIT_S else {"wait_s": self.wait_s}
        if self.priority is not None:
            yield one(identity, PRIORITY.give, self.project, _item(wish | {"priority": self.priority} | patience))
        if self.assign or self.release:
            rules = [rule.as_json() for rule in self.assign]
            said = {name: value for name, value in (("assign", rules), ("release", list(self.release))) if value}
            yield one(identity, TASKS.give, self.project, _item(wish | said | patience))


class _Wish(Part):
    """What an item says."""

    noun = "a wish for tasks"

    stage: Title
    assign: Assign = ()
    release: tuple[Email, ...] = ()
    priority: Priority | None = None
    wait_s: Seconds = _WAIT_S


def _item(wish: Mapping[str, object]) -> str:
    return json.dumps(wish, ensure_ascii=False)


def _wish(item: str) -> _Wish:
    return _Wish.model_validate_json(item)


class _There(NamedTuple):
    """The tasks in a stage, and how many data rows of the project have no task anywhere; None if nobody knows."""

    stage: Stage
    tasks: Sequence[Task]
    rows: int | None
    without: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing more is to be expected."""
        return bool(self.tasks) if self.rows is None else self.rows > 0 and self.without == 0


class _OfStage(Chore):
    """What is seen to of the tasks in a stage."""

    parent = "project"
    phase = 2

    async def todo(self, reads: Reads, parent_hash: str, item: str, *, waited_s: float) -> Todo:
        wish = _wish(item)
        counts = self.needs_all(wish) and wish.wait_s > 0
        there = await _there(reads, parent_hash, wish.stage, counts=counts)
        if counts and not there.is_whole and waited_s < wish.wait_s:
            return Todo(is_waiting=True)
        operations = await self.needed(reads, parent_hash, wish, there)
        if not counts or there.is_whole:
            return Todo(operations=operations)
        return Todo(operations=operations, error=_gave_up(there, wish.wait_s, is_done=bool(operations)))

    def needs_all(self, wish: _Wish) -> bool:  # noqa: ARG002 - most do
        """Whether it is waited until all data have tasks."""
        return True

    @abstractmethod
    async def needed(self, reads: Reads, parent_hash: str, wish: _Wish, there: _There) -> Sequence[Operation[None]]:
        """What is to be sent."""


async def _there(reads: Reads, project_hash: str, title: str, *, counts: bool) -> _There:
    """Read what is in a stage and, if *counts*, whether more is to be expected.

    Raises:
        ConflictError: The project has no such stage, or tasks in it are nobody's.
        EncordError: It cannot be read.
    """
    stages = await stages_of(reads, project_hash)
    alike = [stage for stage in stages if stage.title == title]
    if len(alike) != 1:
        has = ", ".join(stage.title for stage in stages) or "none"
        raise ConflictError(
            f"the project {project_hash} has {len(alike) or 'no'} stage{'s' if alike else ''} {title!r}; its stages "
            f"are: {has}",
            code="NO_STAGE",
        )
    (stage,) = alike
    if isinstance(stage.stage_type, StageType) and stage.stage_type not in _OF_PEOPLE:
        raise ConflictError(
            f"tasks in the stage {title!r}, which is of the type {stage.stage_type}, are given to nobody; name one for "
            "annotation or review",
            code="NO_STAGE",
        )
    tasks = await reads.collect(ListTasks(project_hash=project_hash, stage_uuid=stage.uuid))
    rows = await _rows(reads, project_hash) if counts else None
    if not rows:
        return _There(stage, tasks, None if rows is None else 0, 0)
    without = set(rows).difference(task.data_hash for task in tasks)
    for other in stages:
        if not without:
            break
        if other.uuid != stage.uuid and other.stage_type not in _ROUTERS:
            elsewhere = await reads.collect(ListTasks(project_hash=project_hash, stage_uuid=other.uuid))
            without.difference_update(task.data_hash for task in elsewhere)
    return _There(stage, tasks, len(rows), len(without))


async def _rows(reads: Reads, project_hash: str) -> Mapping[str, str] | None:
    """The data of a project, with their datasets; None if the account may not see them all."""
    rows: dict[str, str] = {}
    with OnRefusal(lambda _: None):
        for dataset in (await reads.execute(GetProject(project_hash=project_hash))).datasets:
            async for found in parts_of_rows(reads, dataset.dataset_hash):
                rows |= {row.data_hash: dataset.dataset_hash for row in found}
        return rows
    return None


def _gave_up(there: _There, wait_s: float, *, is_done: bool) -> EncordError:
    after = f"after {wait_s:g} s; the next run goes on"
    if not there.rows:
        what = "the project has no task in the stage" if there.rows is None else "the project has no data"
        return ConflictError(f"{what} {after}: attach a dataset, and link data to it", code="NO_TASKS")
    message = f"{there.without} of {there.rows} data rows of the project have no task in any stage {after}"
    if is_done:
        return AppliedError(f"{message}; the others were done", code="TASKS_MISSING")
    return ConflictError(message, code="TASKS_MISSING")


class _Tasks(_OfStage):
    sort = what = thing = gives = "tasks"
    noun = "assignment of tasks"
    plural = "assignments of tasks"
    adds = ("tasks", "assignment of tasks to make", "assignments of tasks to make")
    is_remembered = False
    written_as = "tasks"

    def said(self, item: str) -> str:
        wish = _wish(item)
        parts = [_said(rule) for rule in wish.assign]
        parts += [f"none to {', '.join(wish.release)}"] if wish.release else []
        return f"{wish.stage}: {'; '.join(parts)}"

    def needs_all(self, wish: _Wish) -> bool:
        return bool(wish.assign)

    def may_send_for_more(self, item: str) -> bool:
        return bool(_wish(item).assign)

    async def needed(self, reads: Reads, parent_hash: str, wish: _Wish, there: _There) -> Sequence[Operation[None]]:
        datasets: Mapping[str, str] = {}
        if any(rule.strategy is Strategy.BY_DATASET for rule in wish.assign):
            datasets = {task: dataset async for task, dataset in _datasets(reads, parent_hash, there.stage)}
        dealt = deal(there.tasks, wish.assign, wish.release, datasets.get)
        where = {"project_hash": parent_hash, "stage_uuid": there.stage.uuid}
        return [
            *(ReleaseTasks(**where, task_uuids=tuple(some)) for some in _blocks(dealt.released)),
            *(AssignTasks(**where, assignees=tuple(some)) for some in _blocks(list(dealt.given.items()))),
        ]

    def is_written(self, pen: Pen) -> bool:
        return pen.scope.tasks

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        """Wishes that say whose the tasks are, for each stage in which any is somebody's."""
        found: dict[str, None] = {}
        try:
            for stage in await stages_of(reads, parent_hash):
                if stage.stage_type in _OF_PEOPLE:
                    tasks = await reads.collect(ListTasks(project_hash=parent_hash, stage_uuid=stage.uuid))
                    written = written_rules(tasks)
                    rules = [rule.as_json() for rule in written.rules]
                    if rules or written.unsaid:
                        found[_item({"stage": stage.title, "assign": rules, _UNSAID: written.unsaid})] = None
        except AuthenticationError:
            raise
        except RefusedError as error:
            return Unlisted(str(error))
        return found

    def entries(self, pen: Pen, parent: Listed, reference: str, held: Held) -> Iterator[Entry]:
        for item in held:
            wish = json.loads(item)
            if number := wish.pop(_UNSAID):
                tasks = "1 task has" if number == 1 else f"{number} tasks have"
                reason = f"{tasks} the title of another one that is not the same person's, and rules go by titles"
                pen.leave_out(self.noun, f"{parent.title}: {wish['stage']}", parent.hash, reason)
            if wish["assign"]:
                yield from pen.part(ProjectTasksEntry, self.noun, wish["stage"], parent.hash, project=reference, **wish)


_UNSAID: Final = "unsaid"
"""Under which name a wish that is written down has how many tasks it cannot say whose they are."""


def _said(rule: TaskRule) -> str:
    of = f"{', '.join(rule.titles)} " if rule.titles else ""
    how = f" {rule.strategy.value.replace('_', ' ')}" if len(rule.emails) > 1 else ""
    return f"{of}to {', '.join(rule.emails)}{how}"


async def _datasets(reads: Reads, project_hash: str, stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """The data of tasks in *stage*, with their datasets."""
    for dataset in (await reads.execute(GetProject(project_hash=project_hash))).datasets:
        about = dataset.dataset_hash
        listing = ListTasks(project_hash=project_hash, stage_uuid=stage.uuid, dataset_hashes=(about,))
        for task in await reads.collect(listing):
            yield task.data_hash, about


class _Priorities(_OfStage):
    sort = what = thing = gives = noun = "priority"
    plural = "priorities"
    is_single = True
    # No call reads it back.
    is_shown = False

    def said(self, item: str) -> str:
        wish = _wish(item)
        return f"{wish.stage}: {wish.priority:g}"

    def identity(self, about: str, item: str) -> bytes:
        """Of each stage there is one."""
        return super().identity(_item({"project": about, "stage": _wish(item).stage}), item)

    async def needed(self, reads: Reads, parent_hash: str, wish: _Wish, there: _There) -> Sequence[Operation[None]]:  # noqa: ARG002
        pairs = [(data_hash, wish.priority or 0.0) for data_hash in dict.fromkeys(one.data_hash for one in there.tasks)]
        return [SetPriorities(project_hash=parent_hash, priorities=tuple(some)) for some in _blocks(pairs)]


def _blocks(some: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (some[start : start + MAX_ACTIONS] for start in range(0, len(some), MAX_ACTIONS))


TASKS: Final = _Tasks()
PRIORITY: Final = _Priorities()
