"""The rules of workflow: the tasks in a stage of a project, whose they are, and how urgent.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock. Inferred: a task
is in the first stage of annotation and stays there, as nobody labels here; it is there some time after its data were;
people have to be users of the project to be given one; of a call with one bad action nothing is done.
"""

from typing import Final
from uuid import UUID

from encord_async.emulator.arguments import Refused, read_object
from encord_async.emulator.calls import Answer, Call, Rules, moment
from encord_async.emulator.rules.access import readable_project
from encord_async.emulator.store import ANNOTATING, PROJECT, ProjectRow, StageRow, TaskFilter, TaskRow
from encord_async.protocol.catalogue import MAX_ACTIONS, StageType, TaskStatus

__all__ = ["RULES", "stages_shown"]


def stages_shown(call: Call, project: ProjectRow) -> list[dict[str, object]]:
    """Return the stages of *project* as the project shows them."""
    return [
        {
            "stageType": stage.type,
            "uuid": stage.uuid,
            "title": stage.title,
            **({"pathways": []} if stage.type == StageType.AGENT else {}),
        }
        for stage in call.store.workflows.stages(project)
    ]


def _stage(call: Call, project: ProjectRow) -> tuple[StageRow, bool]:
    """The stage of the path, and whether it is the one that tasks are in."""
    stages = call.store.workflows.stages(project)
    found = next((stage for stage in stages if stage.uuid == call.path["stage"]), None)
    if found is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such stage")
    first = next((stage for stage in stages if stage.type in ANNOTATING), None)
    return found, found is first


def _tasks(call: Call) -> Answer:
    project = readable_project(call)
    call.knows_only("pageToken", "userEmails", "dataHashes", "datasetHashes", "dataTitleContains", "statuses")
    stage, has_tasks = _stage(call, project)
    statuses = call.query.get("statuses", ())
    for one in statuses:
        if one not in tuple(TaskStatus):
            raise Refused("INVALID_ARGUMENTS_ERROR", f"statuses: {one!r} is not one of {', '.join(TaskStatus)}")
    filter_ = TaskFilter(
        call.query.get("userEmails", ()),
        call.query.get("dataHashes", ()),
        call.query.get("datasetHashes", ()),
        call.one("dataTitleContains") or "",
        statuses,
    )

    def rows(limit: int, offset: int) -> list[TaskRow]:
        if not has_tasks:
            return []
        return call.store.workflows.tasks(
            project.id, filter_, as_of_us=call.as_of_us, delay_us=call.job_us, limit=limit, offset=offset
        )

    return Answer(call.page_of(rows, lambda row: _shown(project, stage, row), call.page_size))


def _shown(project: ProjectRow, stage: StageRow, task: TaskRow) -> dict[str, object]:
    whole: dict[str, object] = {
        "uuid": _task_uuid(project, task.data_hash),
        "createdAt": moment(task.created_us),
        "updatedAt": moment(task.edited_us),
        "status": task.status,
        "dataHash": task.data_hash,
        "dataTitle": task.title,
        "labelBranchName": "main",
        "assignee": task.assignee,
    }
    if stage.type != StageType.CONSENSUS_ANNOTATION:
        return whole
    common = ("uuid", "createdAt", "updatedAt", "dataHash", "dataTitle")
    return {**{name: whole[name] for name in common}, "subtasks": [whole]}


def _task_uuid(project: ProjectRow, data_hash: str) -> str:
    """The uuid of a task, made of those of project and data, so that each leads to the other and none is kept."""
    return str(UUID(int=UUID(project.workflow).int ^ UUID(data_hash).int))


def _data_hash(project: ProjectRow, task_uuid: object) -> str:
    try:
        return _task_uuid(project, str(task_uuid))
    except ValueError:
        raise Refused("INVALID_ARGUMENTS_ERROR", "taskUuid is not a uuid") from None


_MEMBERS: Final = {"ASSIGN": ("taskUuid", "action", "assignee"), "RELEASE": ("taskUuid", "action")}
_NOT_EMULATED: Final = ("SUBMIT", "APPROVE", "REJECT", "PATHWAY_ACTION")


def _act(call: Call) -> Answer:
    project = readable_project(call)
    _, has_tasks = _stage(call, project)
    actions = call.payload
    if not isinstance(actions, list) or not 1 <= len(actions) <= MAX_ACTIONS:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"the body has to be a list of 1 to {MAX_ACTIONS} actions")
    people = {email.lower(): email for email, _ in call.store.members(PROJECT, project.id, call.now_us)}
    wanted = [_action(project, people, number, action) for number, action in enumerate(actions)]
    filter_ = TaskFilter(data_hashes=list({data_hash for data_hash, _ in wanted}))
    tasks = call.store.workflows.tasks(project.id, filter_, as_of_us=call.now_us, delay_us=call.job_us)
    there = {task.data_hash for task in tasks} if has_tasks else set()
    for data_hash, assignee in wanted:
        if data_hash not in there:
            raise Refused("RESOURCE_NOT_FOUND_ERROR", "a task is not in this stage")
        status = TaskStatus.RELEASED if assignee is None else TaskStatus.ASSIGNED
        call.store.workflows.set_task(project.id, data_hash, status=status, assignee=assignee, now_us=call.now_us)
    return Answer(None, project.hash, project.title)


def _action(project: ProjectRow, people: dict[str, str], number: int, action: object) -> tuple[str, str | None]:
    """The data hash of a task and whom it is to be given to, None for nobody."""
    where = f"action {number}"
    name = action.get("action") if isinstance(action, dict) else None
    if name in _NOT_EMULATED:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"{where}: {name} is not emulated")
    if name not in _MEMBERS:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"{where}: action has to be one of {', '.join(_MEMBERS)}")
    given = read_object(where, action, _MEMBERS[name], _MEMBERS[name])
    data_hash = _data_hash(project, given["taskUuid"])
    if name == "RELEASE":
        return data_hash, None
    person = people.get(str(given["assignee"]).lower())
    if person is None:
        raise Refused("BAD_REQUEST", f"{where}: the assignee is not a user of the project")
    return data_hash, person


def _prioritise(call: Call) -> Answer:
    project = readable_project(call)
    pairs = read_object("the body", call.payload, ("priorities",), ("priorities",))["priorities"]
    if not isinstance(pairs, list):
        raise Refused("INVALID_ARGUMENTS_ERROR", "priorities has to be a list")
    wanted = [_priority(pair) for pair in pairs]
    filter_ = TaskFilter(data_hashes=list(dict(wanted)))
    tasks = call.store.workflows.tasks(project.id, filter_, as_of_us=call.now_us) if wanted else []
    there = {task.data_hash for task in tasks}
    for data_hash, priority in wanted:
        if data_hash not in there:
            raise Refused("RESOURCE_NOT_FOUND_ERROR", "the project has no such data")
        call.store.workflows.set_priority(project.id, data_hash, priority)
    return Answer(None, project.hash, project.title)


def _priority(pair: object) -> tuple[str, float]:
    match pair:
        case [str(data_hash), int() | float() as number] if not isinstance(number, bool) and 0 <= number <= 1:
            return data_hash, float(number)
    raise Refused("INVALID_ARGUMENTS_ERROR", "a priority has to be a list of a data hash and a number from 0 to 1")


_STAGE: Final = "v2/projects/{project}/workflow/stages/{stage}"

RULES: Final[Rules] = {
    f"{_STAGE}/tasks.GET": _tasks,
    f"{_STAGE}/actions.POST": _act,
    "v2/projects/{project}/priorities.POST": _prioritise,
}
