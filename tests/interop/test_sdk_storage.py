"""The newest official SDK, unmodified, goes from a bucket to assigned tasks on the local Encord; ours sees the same."""

from pathlib import Path
from typing import Any

import pytest

from encord_async import EncordSession
from encord_async.emulator import (
    Emulator,
    EmulatorSettings,
    Seed,
    SeedIntegration,
    SeedStage,
    SeedTemplate,
    SeedUser,
)
from encord_async.operations import (
    AssignTasks,
    CloudFile,
    CreateFolder,
    FileType,
    GetProjectV2,
    LinkItems,
    ListDataRows,
    ListFolders,
    ListItems,
    ListTasks,
    PollUploadJob,
    StartUploadJob,
    TaskStatus,
)
from encord_async.protocol.catalogue import StageType
from tests.interop.conftest import ANN, Sdk, SdkProcess, Start, only_new, said_by

SCRIPT = Path(__file__).parent / "scripts" / "sdk_storage.py"
S3, TEMPLATE = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
RAW = "s3://bucket/raw/"
SEED = Seed(
    users=(SeedUser(email=ANN.email, public_key=ANN.public_hex),),
    integrations=(
        SeedIntegration(
            uuid=S3, title="S3", objects=("s3://bucket/in/1.mp4", "s3://bucket/in/2.pdf", "s3://bucket/x.mp4")
        ),
        SeedIntegration(title="GCS"),
    ),
    workflow_templates=(
        SeedTemplate(
            id=TEMPLATE,
            title="Ours",
            stages=(
                SeedStage(title="Sort", type=StageType.AGENT),
                SeedStage(title="Draw", type=StageType.ANNOTATION),
                SeedStage(title="Look", type=StageType.REVIEW),
                SeedStage(title="End", type=StageType.DONE),
            ),
        ),
    ),
    unreadable_urls=("*broken*",),
)


@pytest.fixture(params=[False, True], ids=["tolerant", "strict"])
async def emulator(request: pytest.FixtureRequest, start: Start) -> Emulator:
    """A local Encord with a bucket and a workflow, whose tasks come two a page."""
    return await start(EmulatorSettings(seed=SEED, strict=request.param, page_size=2))


async def _run(python: Path, emulator: Emulator) -> Any:
    return await said_by(python, SCRIPT, emulator.url, TEMPLATE, given=ANN.private_text)


@only_new
async def test_the_sdk_goes_all_the_way(sdk_python: Path, emulator: Emulator) -> None:
    """Folders, registering, syncs, links, stages and tasks: all as the SDK documents them, and ours reads the same."""
    seen = await _run(sdk_python, emulator)
    folders = seen["folders"]
    assert (folders["metadata"], folders["description"]) == ({"mark": {"snake_case": None}}, "what came in")
    assert folders["top"] == ["More 0", "More 1", "More 2", "More 3", "Raw"]
    assert folders["searched"] == ["Day one"]
    assert folders["inner"] == [["Day one", "the first", {"day": 1}, folders["uuid"]]]
    assert (folders["groups"], folders["left"], folders["type"]) == ([["Loaders", "user"]], [], "generic")
    assert (folders["gone"], folders["unknown"]) == ("AuthorisationError", "AuthorisationError")

    registered = seen["registered"]
    assert registered["integrations"] == ["S3", "GCS"]
    assert registered["states"] == [["DONE", 5, 5, []], ["DONE", 0, 5, []], ["DONE", 0, 0, [[f"{RAW}broken.mp4"]]]]
    files = [(f"{number}.mp4", "video", f"{RAW}{number}.mp4") for number in range(3)]
    expected = [*files, ("A", "image", f"{RAW}a.png"), ("G", "imageGroup", f"{RAW}g0.png")]
    assert registered["items"] == [list(item) for item in expected]
    assert (registered["metadata"], registered["unlinked"]) == ([{"n": 1}], 5)

    synced = seen["synced"]
    assert (synced["is"], synced["from"], synced["status"], synced["done"]) == (True, "s3://bucket/in/", "done", 2)
    assert synced["items"] == ["s3://bucket/in/1.mp4", "s3://bucket/in/2.pdf"]
    assert synced["plain"] == "InvalidArgumentsError"

    linked = seen["linked"]
    assert (linked["linked"], linked["backed"], linked["found"]) == ([5, 0], True, ["A"])
    kinds = {"video": "video", "image": "image", "imageGroup": "img_group"}
    assert linked["rows"] == [[name, kinds[kind], url] for name, kind, url in expected]
    assert linked["left"] == ["0.mp4", "1.mp4", "A", "G"]
    assert linked["unknown"] == "AuthorisationError"
    assert (linked["read"], linked["not there"]) == (True, "AuthorisationError")

    work = seen["workflow"]
    assert work["stages"] == [["Sort", "AGENT"], ["Draw", "ANNOTATION"], ["Look", "REVIEW"], ["End", "DONE"]]
    assert work["given"] == [[title, "ASSIGNED", "bob@example.com"] for title in linked["left"]]
    assert (work["bobs"], work["released"]) == (["0.mp4", "1.mp4", "G"], [["A", None]])
    assert (work["elsewhere"], work["stranger"]) == ([0, 0], "InvalidArgumentsError")
    await _ours_sees_the_same(emulator, seen)


async def _ours_sees_the_same(emulator: Emulator, seen: Any) -> None:
    async with EncordSession.from_ssh_key(ANN.private_text, domain=emulator.url) as session:
        folders = await session.collect(ListFolders(page_size=2))
        assert [folder.name for folder in folders] == ["Raw", "More 0", "More 1", "More 2", "More 3", "Mirror", "Plain"]
        items = await session.collect(ListItems(folder_uuid=seen["folders"]["uuid"], page_size=2))
        assert sorted(item.url or "" for item in items) == sorted(row[2] for row in seen["linked"]["rows"])
        rows = await session.execute(ListDataRows(dataset_hash=seen["linked"]["hash"]))
        assert [row.data_title for row in rows] == seen["linked"]["left"]
        project = await session.execute(GetProjectV2(project_hash=seen["workflow"]["hash"]))
        assert project.workflow is not None
        draw = next(stage for stage in project.workflow.stages if stage.title == "Draw")
        tasks = await session.collect(ListTasks(project_hash=project.project_hash, stage_uuid=draw.uuid))
        assert [(task.data_title, task.status) for task in tasks] == [
            (title, TaskStatus.RELEASED if title == "A" else TaskStatus.ASSIGNED) for title in seen["linked"]["left"]
        ]


@only_new
async def test_the_sdk_reads_what_ours_made(sdk_release: str, process_of: Any, emulator: Emulator) -> None:
    """The other way round: folder, items, rows and assignments of ours, as the SDK reads them."""
    process: SdkProcess = process_of(sdk_release)
    sdk = Sdk(process=process, url=emulator.url, who={"key": ANN.private_text})
    urls = tuple(f"{RAW}{number}.png" for number in range(5))
    async with EncordSession.from_ssh_key(ANN.private_text, domain=emulator.url) as session:
        folder = await session.execute(CreateFolder(name="Ours", metadata={"encord_async": "e"}))
        files = tuple(CloudFile(type=FileType.IMAGE, url=url) for url in urls)
        job = await session.execute(StartUploadJob(folder_uuid=folder.uuid, items=files, integration_uuid=S3))
        state = await session.execute(PollUploadJob(folder_uuid=folder.uuid, job_uuid=job, hold_s=30))
        dataset = await session.create_dataset_v2("Ours", create_backing_folder=False)
        items = tuple(item.item_uuid for item in state.items_with_names)
        await session.execute(LinkItems(dataset_hash=dataset.dataset_uuid, item_uuids=items))
        project = await session.create_project(
            "Ours", dataset_hashes=[dataset.dataset_uuid], workflow_template_id=TEMPLATE
        )
        stages = (await session.execute(GetProjectV2(project_hash=project))).workflow
        assert stages is not None
        where: dict[str, Any] = {"project_hash": project, "stage_uuid": stages.stages[1].uuid}
        tasks = await session.collect(ListTasks(**where))
        await session.execute(AssignTasks(**where, assignees=tuple((task.uuid, ANN.email) for task in tasks[:3])))
    read = await sdk.call("read_storage", project, folder=folder.uuid, dataset=dataset.dataset_uuid, stage="Draw")
    assert read["folder"] == ["Ours", {"encord_async": "e"}]
    assert read["items"] == read["rows"] == list(urls)
    assert read["tasks"] == [[f"{number}.png", ANN.email if number < 3 else None] for number in range(5)]
