"""Storage and workflow over the front door, against the local Encord: what survives a lost answer, and what is told."""

from collections.abc import AsyncIterator

import pytest

from encord_async import EncordSession, ForbiddenError, NoReplyError, UncertainError
from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule, Seed, SeedUser, default_seed
from encord_async.operations import (
    AssignTasks,
    CancelUploadJob,
    CloudFile,
    CreateFolder,
    FileType,
    GetFolder,
    GetProjectV2,
    JobStatus,
    LinkItems,
    ListDataRows,
    ListItems,
    ListTasks,
    PollUploadJob,
    ReleaseTasks,
    RemoveDataRows,
    RemoveFolder,
    SetPriorities,
    StartUploadJob,
    TaskStatus,
    UpdateFolder,
)

ME = "emulator@example.com"
NOWHERE = "00000000-0000-4000-8000-0000000000ff"
URLS = tuple(f"s3://bucket/{number}.png" for number in range(25))
FILES = tuple(CloudFile(type=FileType.IMAGE, url=url) for url in URLS)
JOBS = "v2/storage/folders/{folder}/data-upload-jobs.POST"


def _seed() -> tuple[Seed, str]:
    seed, pair = default_seed()
    return Seed(users=(SeedUser(email=ME, public_key=seed.users[0].public_key),), unreadable_urls=("*broken*",)), (
        pair.private_text
    )


SEEDED = _seed()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A local Encord with one user and files that cannot be read, strict and with small pages."""
    seed, _ = SEEDED
    async with Emulator(EmulatorSettings(strict=True, page_size=10, seed=seed)) as started:
        yield started


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[EncordSession]:
    """That user."""
    async with EncordSession.from_ssh_key(SEEDED[1], domain=emulator.url) as opened:
        yield opened


@pytest.fixture
async def folder(session: EncordSession) -> str:
    """A folder's uuid."""
    return (await session.execute(CreateFolder(name="Raw"))).uuid


async def _urls(session: EncordSession, folder: str) -> list[str | None]:
    return [item.url for item in await session.collect(ListItems(folder_uuid=folder, page_size=10))]


async def test_a_job_whose_answer_is_lost_is_sent_again(
    session: EncordSession, emulator: Emulator, folder: str
) -> None:
    """The uuid of the first is gone for good, and each URL is there once, in the order given."""
    emulator.set_faults([FaultRule(query=JOBS, fault=Fault.DROP_AFTER_COMMIT, times=1)])
    job = await session.execute(StartUploadJob(folder_uuid=folder, items=FILES))
    state = await session.execute(PollUploadJob(folder_uuid=folder, job_uuid=job))
    assert (state.status, state.units_done_count, state.items_with_names) == (JobStatus.DONE, 25, ())
    assert emulator.stats()["by_query"][JOBS] == 2
    assert await _urls(session, folder) == list(URLS)


async def test_a_folder_whose_answer_is_lost_is_found_by_its_mark(session: EncordSession, emulator: Emulator) -> None:
    """A create is not sent again: its look-up finds the one of several of that name that it made."""
    for mark in ({}, {"encord_async": "other"}):
        await session.execute(CreateFolder(name="Same", metadata=mark))
    operation = CreateFolder(name="Same", metadata={"encord_async": "mine"})
    emulator.set_faults([FaultRule(query="v2/storage/folders.POST", fault=Fault.DROP_AFTER_COMMIT)])
    with pytest.raises(NoReplyError) as caught:
        await session.execute(operation)
    assert isinstance(caught.value, UncertainError)
    found = [item for item in await session.collect(operation.look_up()) if operation.is_it(item)]
    assert [operation.adopted(item).uuid for item in found] == [emulator.log()[-1]["hash"]]
    assert len(emulator.state()["folders"]) == 3


async def test_what_is_not_there_is_forbidden(session: EncordSession, folder: str) -> None:
    """A folder or a job that does not exist looks like one that is out of reach."""
    for operation in (
        GetFolder(folder_uuid=NOWHERE),
        UpdateFolder(folder_uuid=NOWHERE, name="n"),
        RemoveFolder(folder_uuid=NOWHERE),
        ListItems(folder_uuid=NOWHERE),
        PollUploadJob(folder_uuid=folder, job_uuid=NOWHERE),
    ):
        with pytest.raises(ForbiddenError):
            await session.execute(operation)


async def test_files_that_cannot_be_read_are_told(session: EncordSession, folder: str) -> None:
    """A job that ignores errors is done all the same; the URLs that failed are in its state, and their number."""
    broken = CloudFile(type=FileType.VIDEO, url="s3://bucket/broken.mp4")
    start = StartUploadJob(folder_uuid=folder, items=(broken, *FILES[:2]), ignore_errors=True)
    state = await session.execute(PollUploadJob(folder_uuid=folder, job_uuid=await session.execute(start)))
    assert (state.status, state.units_error_count, state.units_done_count) == (JobStatus.DONE, 1, 2)
    assert [error.object_urls for error in state.unit_errors] == [(broken.url,)]


async def test_a_job_is_cancelled() -> None:
    """What it had not come to is not made."""
    seed, key = SEEDED
    async with (
        Emulator(EmulatorSettings(seed=seed, job_s=3600)) as emulator,
        EncordSession.from_ssh_key(key, domain=emulator.url) as session,
    ):
        folder = (await session.execute(CreateFolder(name="Raw"))).uuid
        job = await session.execute(StartUploadJob(folder_uuid=folder, items=FILES))
        poll = PollUploadJob(folder_uuid=folder, job_uuid=job)
        assert not (await session.execute(poll)).is_over
        assert await session.execute(CancelUploadJob(folder_uuid=folder, job_uuid=job)) == 25
        assert (await session.execute(poll)).status is JobStatus.CANCELLED
        assert await _urls(session, folder) == []


async def test_from_items_to_tasks(session: EncordSession, emulator: Emulator, folder: str) -> None:
    """Link twice, with lost answers: a row each; tasks over several pages, given, taken back and made urgent."""
    await session.execute(StartUploadJob(folder_uuid=folder, items=FILES))
    items = await session.collect(ListItems(folder_uuid=folder))
    dataset = (await session.create_dataset_v2("Raw", create_backing_folder=False)).dataset_uuid
    emulator.set_faults([FaultRule(query="datasetlinkitems.POST", fault=Fault.DROP_AFTER_COMMIT, times=1)])
    for _ in range(2):
        await session.execute(LinkItems(dataset_hash=dataset, item_uuids=tuple(item.uuid for item in items)))
    rows = await session.execute(ListDataRows(dataset_hash=dataset))
    assert sorted(row.backing_item_uuid or "" for row in rows) == sorted(item.uuid for item in items)
    await session.execute(RemoveDataRows(dataset_hash=dataset, data_hashes=(rows[0].data_hash,)))

    project = await session.create_project("P", dataset_hashes=[dataset])
    workflow = (await session.execute(GetProjectV2(project_hash=project))).workflow
    assert workflow is not None
    stage = workflow.stages[0].uuid
    tasks = await session.collect(ListTasks(project_hash=project, stage_uuid=stage))
    assert [task.data_hash for task in tasks] == [row.data_hash for row in rows[1:]]
    pairs = tuple((task.uuid, ME) for task in tasks[:3])
    await session.execute(AssignTasks(project_hash=project, stage_uuid=stage, assignees=pairs))
    await session.execute(ReleaseTasks(project_hash=project, stage_uuid=stage, task_uuids=(tasks[0].uuid,)))
    await session.execute(SetPriorities(project_hash=project, priorities=((tasks[1].data_hash, 0.5),)))
    mine = await session.collect(ListTasks(project_hash=project, stage_uuid=stage, emails=(ME,)))
    assert [(task.uuid, task.status) for task in mine] == [(task.uuid, TaskStatus.ASSIGNED) for task in tasks[1:3]]
    assert [task["priority"] for task in emulator.state()["tasks"]][:3] == [None, 0.5, None]
