"""Tasks of a stage are given to people, on a local Encord: once, evenly, and never away from who was given one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule, SeedStage, SeedTemplate
from encord_async.errors import ManifestError
from encord_async.journal.journal import Identity, Journal
from encord_async.kinds.exporting import LeftOut
from encord_async.kinds.project_tasks import TASKS
from encord_async.operations import (
    AssignTasks,
    CloudFile,
    CreateFolder,
    FileType,
    LinkItems,
    ListItems,
    ListTasks,
    PollUploadJob,
    ReleaseTasks,
    StartUploadJob,
)
from encord_async.plan import Verb
from encord_async.protocol.catalogue import StageType
from encord_async.protocol.operations.projects import GetProjectV2
from encord_async.verify.compare import compare
from encord_async.verify.difference import Difference
from encord_async.verify.repair import Repairs, repair
from encord_async.verify.wishes import gather
from tests.provision.conftest import Entry
from tests.provision.world import World, open_world, words

SHORT = SeedTemplate(
    title="Short",
    stages=(
        SeedStage(title="Annotate", type=StageType.ANNOTATION),
        SeedStage(title="Review", type=StageType.REVIEW),
        SeedStage(title="Router", type=StageType.USER_ROUTER),
        SeedStage(title="Complete", type=StageType.DONE),
    ),
)
ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
LISTING = "v2/projects/{project}/workflow/stages/{stage}/tasks.GET"
ACTIONS = "v2/projects/{project}/workflow/stages/{stage}/actions.POST"
PRIORITIES = "v2/projects/{project}/priorities.POST"


def project(*datasets: str) -> Entry:
    """A project with three people, and these datasets."""
    users = [{"email": email, "role": "annotator"} for email in (ANN, BOB, EVE)]
    return {
        "kind": "project",
        "key": "p",
        "title": "P",
        "workflow_template_id": SHORT.id,
        "datasets": list(datasets),
        "users": users,
    }


def tasks(**fields: Any) -> Entry:
    """The entry for its tasks."""
    return {"kind": "project_tasks", "project": "@p", "stage": "Annotate", **fields}


async def dataset(world: World, number: int, title: str = "Raw") -> str:
    """A dataset with as many files, known by their numbers."""
    execute = world.session.execute
    folder = (await execute(CreateFolder(name=title))).uuid
    files = tuple(CloudFile(type=FileType.IMAGE, url=f"s3://b/{title}-{one:04}.png") for one in range(number))
    for start in range(0, number, 1000):
        job = await execute(StartUploadJob(folder_uuid=folder, items=files[start : start + 1000]))
        await execute(PollUploadJob(folder_uuid=folder, job_uuid=job, hold_s=30))
    made = (await world.session.create_dataset_v2(title, create_backing_folder=False)).dataset_uuid
    items = await world.session.collect(ListItems(folder_uuid=folder))
    if items:
        await execute(LinkItems(dataset_hash=made, item_uuids=tuple(item.uuid for item in items)))
    return made


async def stage_of(world: World, project_hash: str, title: str = "Annotate") -> dict[str, Any]:
    """What an operation on a stage is about."""
    workflow = (await world.session.execute(GetProjectV2(project_hash=project_hash))).workflow
    assert workflow is not None
    (stage,) = [stage for stage in workflow.stages if stage.title == title]
    return {"project_hash": project_hash, "stage_uuid": stage.uuid}


async def holders(world: World, project_hash: str) -> dict[str, str | None]:
    """Who has each task, by its title."""
    found = await world.session.collect(ListTasks(**await stage_of(world, project_hash)))
    return {task.data_title: task.assignee for task in found}


def sent(world: World) -> int:
    """How many calls changed tasks."""
    counts = world.emulator.stats()["by_query"]
    return counts.get(ACTIONS, 0) + counts.get(PRIORITIES, 0)


async def test_once_and_evenly(tmp_path: Path) -> None:
    """Each task that nobody has is given away, in blocks of a thousand; a second run sends nothing, nor plans to."""
    async with open_world(templates=[SHORT]) as world:
        raw = await dataset(world, 1200)
        manifest = [tasks(assign={"emails": [ANN, BOB, EVE]}), project(raw)]
        assert (await world.session.plan(manifest)).count(Verb.ADD, "tasks") == 1
        assert sent(world) == 0
        outcomes = await world.run(manifest, tmp_path / "j")
        assert words(outcomes) == {"p": "created", "project_tasks": "updated"}
        there = await holders(world, outcomes["p"].hash or "")
        assert Counter(there.values()) == {ANN: 400, BOB: 400, EVE: 400}
        assert [there[name] for name in sorted(there)[:4]] == [ANN, BOB, EVE, ANN]
        assert sent(world) == 2

        for journal in (tmp_path / "j", None):
            assert {action.verb for action in await world.actions(manifest, journal=journal)} <= {Verb.ADOPT}
            assert words(await world.run(manifest, journal))["project_tasks"] == "unchanged"
        assert sent(world) == 2
        assert not (await world.session.verify(manifest, journal=tmp_path / "j")).differences


async def test_more_data_and_other_people(tmp_path: Path) -> None:
    """What was given to somebody on purpose is theirs; tasks that came later go to who has the fewest."""
    async with open_world(templates=[SHORT]) as world:
        raw, more = await dataset(world, 4), await dataset(world, 6, "More")
        manifest = [project(raw), tasks(assign={"emails": [ANN, BOB]})]
        found = (await world.run(manifest, tmp_path / "j"))["p"].hash or ""
        where = await stage_of(world, found)
        first = (await world.session.collect(ListTasks(**where)))[0]
        assert first.assignee == ANN
        await world.session.execute(AssignTasks(**where, assignees=((first.uuid, EVE),)))
        assert words(await world.run(manifest, tmp_path / "j"))["project_tasks"] == "unchanged"

        manifest[0] = project(raw, more)
        assert not await world.actions([{**manifest[1], "project": found}])
        assert words(await world.run(manifest, tmp_path / "j"))["project_tasks"] == "updated"
        there = await holders(world, found)
        assert there[first.data_title] == EVE
        assert Counter(there.values()) == {EVE: 1, ANN: 5, BOB: 4}


async def test_rules(tmp_path: Path) -> None:
    """By titles, by dataset, and all to one; people who leave; a table says it with addresses."""
    async with open_world(templates=[SHORT]) as world:
        raw, more = await dataset(world, 3), await dataset(world, 3, "More")
        by_dataset = {"emails": [BOB, EVE], "strategy": "by_dataset"}
        rules = [{"emails": [ANN], "titles": ["*-0000*"]}, by_dataset]
        manifest = [project(raw, more), tasks(assign=rules)]
        outcomes = await world.run(manifest, tmp_path / "j")
        found = outcomes["p"].hash or ""
        listed = await world.session.collect(ListTasks(**await stage_of(world, found)))
        assert Counter(task.assignee for task in listed) == {ANN: 2, BOB: 2, EVE: 2}
        for one in (raw, more):
            of_one = ListTasks(**await stage_of(world, found), dataset_hashes=(one,))
            assert len({task.assignee for task in await world.session.collect(of_one)}) == 2

        leaving = [tasks(project=found, assign=[{"emails": [EVE], "titles": ["*-0001*"]}], release=[BOB, ANN])]
        (action,) = await world.actions(leaving)
        assert (action.verb, action.items) == (
            Verb.ADD,
            (f"Annotate: *-0001* to {EVE}; none to {BOB}, {ANN}",),
        )
        assert words(await world.run(leaving)) == {"project_tasks": "updated"}
        after = await world.session.collect(ListTasks(**await stage_of(world, found)))
        assert Counter(task.assignee for task in after) == {EVE: 3, None: 3}
        assert words(await world.run(leaving)) == {"project_tasks": "unchanged"}

        table = tmp_path / "tasks.csv"
        table.write_text(f"kind,project,stage,assign,priority\nproject_tasks,{found},Annotate,{ANN};{BOB},0.5\n")
        async with world.session.provision(table, journal=None) as run:
            assert [outcome.status.value async for outcome in run] == ["updated"]
        after = await world.session.collect(ListTasks(**await stage_of(world, found)))
        assert Counter(task.assignee for task in after) == {EVE: 3, ANN: 2, BOB: 1}
        assert {task["priority"] for task in world.emulator.state()["tasks"]} == {0.5}


async def test_priorities_are_remembered(tmp_path: Path) -> None:
    """Nobody shows them, so they are set once, and again when they are to be others."""
    async with open_world(templates=[SHORT]) as world:
        raw = await dataset(world, 3)
        for priority, calls in ((0.5, 1), (0.5, 1), (0.75, 2), (0.5, 3)):
            manifest = [project(raw), tasks(priority=priority)]
            count = (await world.session.plan(manifest, journal=tmp_path / "j")).count(Verb.CHANGE, "priority")
            before = sent(world)
            outcome = words(await world.run(manifest, tmp_path / "j"))["project_tasks"]
            assert (sent(world), count, outcome) == (
                calls,
                calls - before,
                "updated" if calls > before else "unchanged",
            )
            assert {task["priority"] for task in world.emulator.state()["tasks"]} == {priority}
        assert not (await world.session.verify(manifest, journal=tmp_path / "j")).differences


async def test_tasks_are_waited_for(tmp_path: Path) -> None:
    """They come some time after their data: none is given away before all are there."""
    async with open_world(templates=[SHORT], job_s=0.4) as world:
        raw = await dataset(world, 5)
        outcomes = await world.run([tasks(assign=[ANN, BOB]), project(raw)], tmp_path / "j")
        assert words(outcomes) == {"p": "created", "project_tasks": "updated"}
        assert Counter((await holders(world, outcomes["p"].hash or "")).values()) == {ANN: 3, BOB: 2}
        assert sent(world) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (0, "the project has no data after 0.2 s; the next run goes on: attach a dataset, and link data to it"),
        (3, "3 of 3 data rows of the project have no task in any stage after 0.2 s; the next run goes on"),
    ],
)
async def test_tasks_that_do_not_come(data: int, said: str) -> None:
    """The wait has an end, and a word; a plan says what would be done once they are there."""
    async with open_world(templates=[SHORT]) as world:
        manifest = [tasks(assign=[ANN], wait_s=0.2), project(await dataset(world, data))]
        world.emulator.set_faults([FaultRule(query=LISTING, fault=Fault.STALE_READ, seconds=3600)])
        assert (await world.session.plan(manifest)).count(Verb.ADD, "tasks") == 1
        outcome = (await world.run(manifest))["project_tasks"]
        assert outcome.error is not None
        assert (outcome.status.value, outcome.error.message) == ("failed", said)
        # Who does not wait takes what is there.
        assert words(await world.run([{**manifest[0], "wait_s": 0}, manifest[1]]))["project_tasks"] == "unchanged"


async def test_waiting_holds_nothing(tmp_path: Path) -> None:
    """With one connection all else is made while tasks are waited for, and a stop ends the wait."""
    async with open_world(templates=[SHORT], concurrency=1) as world:
        manifest = [project(), tasks(assign=[ANN]), *({"kind": "dataset", "title": f"D{n}"} for n in range(5))]
        async with world.session.provision(manifest, journal=tmp_path / "j") as run:
            found = list[str]()
            async for outcome in run:
                found.append(outcome.status.value)
                if len(found) == 6:
                    run.drain()
        assert found == [*["created"] * 6, "cancelled"]


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.DROP_BEFORE, Fault.TRUNCATE])
async def test_lost_answers(fault: Fault, tmp_path: Path) -> None:
    """What was answered and got lost is sent again, which changes nothing."""
    async with open_world(templates=[SHORT]) as world:
        raw = await dataset(world, 7)
        world.emulator.set_faults([FaultRule(query=ACTIONS, fault=fault, times=2)])
        outcomes = await world.run([project(raw), tasks(assign=[ANN, BOB])], tmp_path / "j")
        assert words(outcomes)["project_tasks"] == "updated"
        assert Counter((await holders(world, outcomes["p"].hash or "")).values()) == {ANN: 4, BOB: 3}


async def test_half_of_it(tmp_path: Path) -> None:
    """A run that died between two blocks is followed by one that gives away the rest, as the first would have."""
    async with open_world(templates=[SHORT]) as world:
        raw = await dataset(world, 1500)
        manifest = [project(raw), tasks(assign=[ANN, BOB])]
        found = (await world.run(manifest[:1], tmp_path / "j"))["p"].hash or ""
        where = await stage_of(world, found)
        there = sorted(await world.session.collect(ListTasks(**where)), key=lambda task: task.data_title)
        dealt = zip((task.uuid for task in there[:1000]), [ANN, BOB] * 500, strict=True)
        await world.session.execute(AssignTasks(**where, assignees=tuple(dealt)))
        assert words(await world.run(manifest, tmp_path / "j"))["project_tasks"] == "updated"
        assert [who for _, who in sorted((await holders(world, found)).items())] == [ANN, BOB] * 750
        assert sent(world) == 2


async def test_what_is_missing_is_put_right(tmp_path: Path) -> None:
    """Verify tells of tasks that nobody has, and gives them away if asked to."""
    async with open_world(templates=[SHORT]) as world:
        raw = await dataset(world, 2)
        manifest = [project(raw), tasks(assign=[ANN])]
        made = (await world.run([project(raw)], tmp_path / "j"))["p"].hash or ""
        found, repairs = list[Difference](), Repairs()
        async with Journal(tmp_path / "j", None) as journal:
            wishes = await gather(manifest, journal)
        await compare(world.session, wishes, on_difference=found.append, on_thing=repairs.note)
        assert [(one.fault.value, one.what, one.item) for one in found] == [("missing", "tasks", f"Annotate: to {ANN}")]
        assert {kind.deed: number for kind, number in repairs.counts().items()} == {TASKS.give.deed: 1}
        owner = Identity(world.session.settings.domain, world.session.identity)
        repaired = await repair(world.session, repairs, inner=(), journal=Journal(tmp_path / "j", owner))
        assert (repaired.unsatisfied, repaired.kept) == ([], [])
        assert set((await holders(world, made)).values()) == {ANN}
        assert not (await world.session.verify(manifest, journal=tmp_path / "j")).differences


@pytest.mark.parametrize("way", ["files", "attach"])
async def test_the_plan_knows_of_tasks_to_come(way: str, tmp_path: Path) -> None:
    """What would be linked, or attached, brings tasks, and the plan says that these are given away; else it keeps."""
    folder: Entry = {"kind": "folder", "key": "f", "name": "F"}
    raw: Entry = {"kind": "dataset", "key": "d", "title": "D"}
    data: Entry = {"kind": "data", "folder": "@f", "datasets": ["@d"], "items": [{"url": "s3://b/1.png"}]}
    async with open_world(templates=[SHORT]) as world:
        manifest = [folder, raw, data, project("@d"), tasks(assign=[EVE])]
        await world.run(manifest, tmp_path / "j")
        assert not (await world.session.plan(manifest, journal=tmp_path / "j")).changes
        if way == "files":
            data["items"].append({"url": "s3://b/2.png"})
        else:
            manifest[3] = project("@d", await dataset(world, 1))
        forecast = await world.session.plan(manifest, journal=tmp_path / "j")
        assert forecast.count(Verb.ADD, "tasks") == 1
        outcomes = await world.run(manifest, tmp_path / "j")
        assert outcomes["project_tasks"].status.value == "updated"
        assert set((await holders(world, outcomes["p"].hash or "")).values()) == {EVE}
        assert not (await world.session.plan(manifest, journal=tmp_path / "j")).changes


async def test_the_export_gives_the_same() -> None:
    """With tasks, an export has rules by titles that give each to who has it, also by odd titles."""
    async with open_world(templates=[SHORT]) as world, open_world(templates=[SHORT]) as other:
        rules = [{"emails": [EVE], "titles": ["*-0001.png", "*-0003.png"]}, {"emails": [ANN, BOB], "titles": ["*2*"]}]
        made = await world.run([project(await dataset(world, 4, "R[a*w]")), tasks(assign=rules)])
        there = await holders(world, made["p"].hash or "")
        assert Counter(there.values()) == {EVE: 2, ANN: 1, None: 1}
        found = list[Entry]()
        await world.session.export(lambda one: found.append(one.as_json()), tasks=True)
        (written,) = [one for one in found if one["kind"] == "project_tasks"]
        plain = list[Entry]()
        await world.session.export(lambda one: plain.append(one.as_json()))
        assert [one for one in found if one is not written] == plain
        assert written["project"] in {f"@{one['key']}" for one in plain if one["kind"] == "project"}
        again = await other.run([project(await dataset(other, 4, "R[a*w]")), {**written, "project": "@p"}])
        assert await holders(other, again["p"].hash or "") == there


async def test_the_export_of_tasks_of_one_title() -> None:
    """Rules go by titles: a task that nobody has is not given to who has another one of its title, and that is told."""
    async with open_world(templates=[SHORT]) as world:
        datasets = [await dataset(world, 1), await dataset(world, 2)]
        made = (await world.run([project(*datasets), tasks(assign=[EVE])]))["p"].hash or ""
        stage = await stage_of(world, made)
        there = await world.session.collect(ListTasks(**stage))
        first = next(one for one in there if one.data_title == "Raw-0000.png")
        await world.session.execute(ReleaseTasks(**stage, task_uuids=(first.uuid,)))
        found, left = list[Entry](), list[LeftOut]()
        await world.session.export(lambda one: found.append(one.as_json()), tasks=True, on_left_out=left.append)
        [written] = [one for one in found if one["kind"] == "project_tasks"]
        assert written["assign"] == [{"emails": [EVE], "titles": ["Raw-0001.png"]}]
        assert [one.reason for one in left] == [
            "2 tasks have the title of another one that is not the same person's, and rules go by titles"
        ]


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"stage": "Label"}, "NO_STAGE", "has no stage 'Label'; its stages are: Annotate, Review, Router, Complete"),
        ({"stage": "Complete"}, "NO_STAGE", "of the type DONE, are given to nobody"),
    ],
)
async def test_stages_that_are_not(fields: Entry, code: str, said: str) -> None:
    """Of a project that is there the plan says it as the run does."""
    async with open_world(templates=[SHORT]) as world:
        await world.run([project()])
        manifest = [project(), tasks(**{"assign": [ANN], **fields})]
        outcome = (await world.run(manifest))["project_tasks"]
        (refused,) = [action for action in await world.actions(manifest) if action.verb is Verb.REFUSE]
        assert outcome.error is not None
        assert outcome.error.code == code
        assert said in outcome.error.message
        assert refused.reason == outcome.error.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "assign: is missing: the entry wishes for nothing; or use 'release' or 'priority'"),
        ({"assign": [ANN], "release": ["ANN@example.com"]}, "assign.0.emails.0: 'ann@example.com' is to have no tasks"),
        (
            {"assign": [{"emails": [ANN]}, {"emails": [BOB]}]},
            "assign.0: is about all tasks, so no rule after it counts",
        ),
        ({"assign": {"emails": [ANN, ANN]}}, "assign.0.emails.1: "),
        ({"assign": {"emails": [ANN], "strategy": "by_datset"}}, "'by_datset' is no strategy"),
        ({"priority": 2}, "priority: 2 is no priority; give a number from 0 to 1"),
        ({"priority": "urgent"}, "priority: 'urgent' is no priority; give a number from 0 to 1"),
        ({"assign": [ANN], "wait_s": -1}, "wait_s: -1 is no time to wait, in seconds; give a number from 0 to 604800"),
    ],
)
async def test_what_cannot_be(fields: Entry, said: str) -> None:
    """A bad entry names the place and what to do, and sends nothing."""
    async with open_world() as world:
        with pytest.raises(ManifestError) as refused:
            await world.run([project(), tasks(**fields)])
        assert said in str(refused.value)
