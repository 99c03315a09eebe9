"""Operations on storage and workflow send what the official SDK would, to the byte.

``tests/captured.json`` is what ``tests/interop/scripts/sdk_capture.py`` printed, and `tests/interop` prints it again.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from encord_async.operations import (
    AddFolderGroups,
    AssignTasks,
    CancelUploadJob,
    CloudDicomSeries,
    CloudFile,
    CloudImageGroup,
    CloudPrefix,
    CreateFolder,
    GetFolder,
    LinkItems,
    ListCloudIntegrations,
    ListDataRows,
    ListFolderGroups,
    ListFolders,
    ListItems,
    ListSubfolders,
    ListTasks,
    Operation,
    PollCloudSync,
    PollUploadJob,
    ReleaseTasks,
    RemoveDataRows,
    RemoveFolder,
    RemoveFolderGroups,
    SearchFolders,
    SetPriorities,
    StartCloudSync,
    StartUploadJob,
    UpdateFolder,
)
from encord_async.protocol.catalogue import FileType, FolderUserRole, ItemType, TaskStatus

CAPTURED = json.loads((Path(__file__).parent.parent / "captured.json").read_text(encoding="utf-8"))
FOLDER, PARENT, ITEM, JOB, GROUP, INTEGRATION, DATASET, PROJECT, STAGE, TASK, DATA = (
    f"00000000-0000-4000-8000-{number:012d}" for number in range(11)
)
MARK: dict[str, Any] = {"encord_async": "é", "n": {"snake_case": None}}
META: dict[str, Any] = {"snake_case": None, "n": 1}
FILES = (
    CloudFile(type=FileType.PDF, url="s3://b/p.pdf", details={"fileSize": 9, "numPages": 2}),
    CloudFile(type=FileType.TEXT, url="s3://b/t.txt", details={"fileSize": 9, "mimeType": "text/plain"}),
    CloudFile(type=FileType.NIFTI, url="s3://b/n.nii"),
    CloudFile(type=FileType.TIME_SERIES, url="s3://b/t.csv"),
    CloudFile(
        type=FileType.AUDIO,
        url="s3://b/a.mp3",
        details={
            "duration": 1.5,
            "fileSize": 9,
            "mimeType": "audio/mpeg",
            "sampleRate": 8000,
            "bitDepth": 16,
            "codec": "mp3",
            "numChannels": 1,
        },
    ),
    CloudFile(
        type=FileType.IMAGE,
        url="s3://b/i.png",
        details={"mimeType": "image/png", "fileSize": 9, "height": 3, "width": 4},
    ),
    CloudDicomSeries(urls=("s3://b/1.dcm",), title="d"),
    CloudImageGroup(urls=("s3://b/1.png", "s3://b/2.png"), title="g", metadata=META, as_video=True),
    CloudFile(
        type=FileType.VIDEO,
        url="s3://b/v.mp4",
        title="v",
        metadata=META,
        details={"fps": 25.0, "duration": 1.5, "width": 4, "height": 3, "fileSize": 9, "mimeType": "video/mp4"},
    ),
    CloudFile(type=FileType.VIDEO, url="s3://b/ö.mp4"),
)

OF_CAPTURE: dict[str, Operation[Any]] = {
    "folder.create": CreateFolder(name="n"),
    "folder.create.full": CreateFolder(
        name="Größe",
        description="d",
        parent_uuid=PARENT,
        metadata=MARK,
        cloud=CloudPrefix(integration_uuid=INTEGRATION, remote_url="s3://b/p/"),
    ),
    "folder.get": GetFolder(folder_uuid=FOLDER),
    "folder.top": ListFolders(),
    "folder.top.full": ListFolders(search="n m", dataset_synced=False, include_org_access=True, page_size=100),
    "folder.search": SearchFolders(search="n", dataset_synced=False, page_size=100),
    "folder.children": ListSubfolders(folder_uuid=FOLDER, dataset_synced=False),
    "folder.below": ListSubfolders(folder_uuid=FOLDER, search="n", is_recursive=True, page_size=100),
    "folder.patch": UpdateFolder(folder_uuid=FOLDER, name="m", description="d", metadata=MARK),
    "folder.patch.name": UpdateFolder(folder_uuid=FOLDER, name="m"),
    "folder.delete": RemoveFolder(folder_uuid=FOLDER),
    "folder.groups": ListFolderGroups(folder_uuid=FOLDER),
    "folder.groups.add": AddFolderGroups(folder_uuid=FOLDER, group_hashes=(GROUP,), role=FolderUserRole.ADMIN),
    "folder.groups.remove": RemoveFolderGroups(folder_uuid=FOLDER, group_hashes=(GROUP, PARENT)),
    "integrations": ListCloudIntegrations(),
    "integrations.title": ListCloudIntegrations(titles=("a b", "c")),
    "items": ListItems(folder_uuid=FOLDER),
    "items.full": ListItems(
        folder_uuid=FOLDER,
        search="x",
        is_in_dataset=False,
        item_types=(ItemType.VIDEO, ItemType.DICOM_SERIES),
        include_client_metadata=False,
        page_size=100,
    ),
    "sync.start": StartCloudSync(folder_uuid=FOLDER),
    "sync.poll": PollCloudSync(folder_uuid=FOLDER, job_uuid=JOB, hold_s=30),
    "job.start": StartUploadJob(folder_uuid=FOLDER, items=(CloudFile(type=FileType.IMAGE, url="s3://b/i.png"),)),
    # The lists are in the SDK's order, whatever the order of what is in them.
    "job.start.full": StartUploadJob(
        folder_uuid=FOLDER, items=FILES, integration_uuid=INTEGRATION, ignore_errors=True, upsert_metadata=True
    ),
    "job.poll": PollUploadJob(folder_uuid=FOLDER, job_uuid=JOB, hold_s=30),
    "job.cancel": CancelUploadJob(folder_uuid=FOLDER, job_uuid=JOB),
    "tasks": ListTasks(project_hash=PROJECT, stage_uuid=STAGE),
    "tasks.full": ListTasks(
        project_hash=PROJECT,
        stage_uuid=STAGE,
        emails=("a@example.com", "b@example.com"),
        data_hashes=(DATA,),
        dataset_hashes=(DATASET,),
        title_contains="t u",
        statuses=(TaskStatus.NEW, TaskStatus.ASSIGNED),
    ),
    "tasks.assign": AssignTasks(
        project_hash=PROJECT, stage_uuid=STAGE, assignees=((TASK, "a@example.com"), (DATA, "b@example.com"))
    ),
    "tasks.release": ReleaseTasks(project_hash=PROJECT, stage_uuid=STAGE, task_uuids=(TASK,)),
    "tasks.priorities": SetPriorities(project_hash=PROJECT, priorities=((DATA, 0.25), (TASK, 1))),
    "link": LinkItems(dataset_hash=DATASET, item_uuids=(ITEM, FOLDER)),
    "rows": ListDataRows(dataset_hash=DATASET),
    "rows.hashes": ListDataRows(dataset_hash=DATASET, data_hashes=(DATA,)),
    "rows.remove": RemoveDataRows(dataset_hash=DATASET, data_hashes=(DATA, ITEM)),
}


def test_every_capture_has_its_operation() -> None:
    """No request of the official SDK that was captured is left out."""
    assert set(OF_CAPTURE) == set(CAPTURED)


@pytest.mark.parametrize("name", OF_CAPTURE)
def test_requests_are_those_of_the_sdk(name: str) -> None:
    """Method, path, query and body are to the byte what the official SDK 0.1.211 sends."""
    request, captured = OF_CAPTURE[name].request(), CAPTURED[name]
    assert (request.method, request.target, request.body.decode()) == (
        captured["http_method"],
        captured["request_target"],
        captured["body"],
    )
