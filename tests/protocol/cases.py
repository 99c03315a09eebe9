"""What a test of an operation over REST is made of, and the cases of storage and workflow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encord_async import operations as rest
from encord_async.protocol.catalogue import FileType, FolderUserRole, ItemType, JobStatus, TaskStatus
from encord_async.protocol.operations.base import RestOperation


@dataclass(frozen=True)
class Case:
    """An operation, how it goes out, and what it reads from an answer."""

    operation: RestOperation[Any]
    line: str
    body: Mapping[str, Any] | Sequence[Any] | None
    answer: object
    reads: Callable[[Any], bool]


NONE: Callable[[Any], bool] = lambda got: got is None  # noqa: E731 - one of many of its kind
STAMPS = {"createdAt": "2024-01-02T03:04:05Z", "lastEditedAt": "2024-01-02 03:04:05"}


def page(*results: object) -> dict[str, object]:
    """A page of *results* that leads on."""
    return {"results": list(results), "nextPageToken": "more"}


FOLDER_REPLY: dict[str, Any] = {
    "uuid": "f",
    "parent": None,
    "name": "n",
    "description": "",
    "clientMetadata": '{"encord_async": "m", "n": 1}',
    "owner": "a@example.com",
    **STAMPS,
    "userRole": "admin",
    "syncedDatasetHash": None,
    "pathToRoot": [],
    "folderType": "brandNew",
}
ITEM_REPLY = {
    "uuid": "i",
    "parent": "f",
    "itemType": "video",
    "name": "v.mp4",
    "clientMetadata": "",
    "owner": "a@example.com",
    **STAMPS,
    "backedDataUnitsCount": 0,
    "storageLocation": "s3",
    "integrationHash": None,
    "url": "s3://b/v.mp4",
}
TASK_REPLY = {
    "uuid": "t",
    "status": "ASSIGNED",
    "dataHash": "d",
    "dataTitle": "v.mp4",
    "labelBranchName": "main",
    "assignee": "a@example.com",
}
JOB_REPLY = {
    "status": "ERROR",
    "itemsWithNames": [{"itemUuid": "i", "name": "v.mp4"}],
    "errors": ["one failed"],
    "unitsPendingCount": 0,
    "unitsDoneCount": 1,
    "unitsErrorCount": 1,
    "unitsCancelledCount": 0,
    "unitErrors": [{"objectUrls": ["s3://b/x"], "error": "gone", "subtaskUuid": "s", "actionDescription": "read"}],
}
SYNC_REPLY = {"status": "pending", "uploadJobsUnitsDone": 3, "scanPagesProcessingDone": 1}
BELOW = "isRecursive=False&order=createdAt&desc=False&pageSize=1000"
STAGE: dict[str, Any] = {"project_hash": "p", "stage_uuid": "s"}

STORAGE_CASES = (
    Case(
        rest.CreateFolder(name="n", parent_uuid="f", metadata={"é": 1}),
        "POST /storage/folders",
        {"name": "n", "parent": "f", "clientMetadata": '{"\\u00e9": 1}'},
        FOLDER_REPLY,
        lambda got: (
            (got.uuid, got.client_metadata, got.user_role, got.folder_type)
            == ("f", {"encord_async": "m", "n": 1}, FolderUserRole.ADMIN, "brandNew")
        ),
    ),
    Case(
        rest.ListFolders(),
        f"GET /storage/folders?{BELOW}",
        None,
        page(FOLDER_REPLY, {**FOLDER_REPLY, "clientMetadata": "[]", "userRole": "brandNew"}),
        lambda got: [(one.client_metadata or {}).get("n") for one in got.results] == [1, None],
    ),
    Case(
        rest.SearchFolders(search="n"),
        f"GET /storage/search/folders?search=n&{BELOW}",
        None,
        page(FOLDER_REPLY),
        lambda got: got.results[0].name == "n",
    ),
    Case(
        rest.ListSubfolders(folder_uuid="a b", is_recursive=True),
        "GET /storage/folders/a%20b/folders?isRecursive=True&order=createdAt&desc=False&pageSize=1000",
        None,
        page(FOLDER_REPLY),
        lambda got: got.results[0].parent is None,
    ),
    Case(
        rest.GetFolder(folder_uuid="F"), "GET /storage/folders/F", None, FOLDER_REPLY, lambda got: got.description == ""
    ),
    Case(
        rest.UpdateFolder(folder_uuid="f", metadata={"x": None}),
        "PATCH /storage/folders/f",
        {"clientMetadata": {"x": None}},
        FOLDER_REPLY,
        lambda got: got.uuid == "f",
    ),
    Case(rest.RemoveFolder(folder_uuid="f"), "DELETE /storage/folders/f", None, None, NONE),
    Case(
        rest.ListFolderGroups(folder_uuid="f"),
        "GET /storage/folders/f/groups",
        None,
        page({"groupHash": "g", "name": "n", "description": "", "userRole": "user", "isSameOrganisation": True}),
        lambda got: got.results[0].user_role is FolderUserRole.USER,
    ),
    Case(
        rest.AddFolderGroups(folder_uuid="f", group_hashes=("g",), role=FolderUserRole.USER),
        "POST /storage/folders/f/groups",
        {"groupHashList": ["g"], "userRole": "user"},
        None,
        NONE,
    ),
    Case(
        rest.RemoveFolderGroups(folder_uuid="f", group_hashes=("g", "h")),
        "DELETE /storage/folders/f/groups?groupHashList=g&groupHashList=h",
        None,
        None,
        NONE,
    ),
    Case(
        rest.ListCloudIntegrations(titles=("S 3",)),
        "GET /cloud-integrations?filterIntegrationTitles=S+3&includeOrgAccess=False",
        None,
        {"result": [{"integrationUuid": "c", "title": "S 3"}]},
        lambda got: (got.results[0].integration_uuid, got.next_page_token) == ("c", None),
    ),
    Case(
        rest.StartUploadJob(folder_uuid="f", items=(rest.CloudFile(type=FileType.NIFTI, url="s3://b/n"),)),
        "POST /storage/folders/f/data-upload-jobs",
        {
            "dataItems": {
                "videos": [],
                "imageGroups": [],
                "dicomSeries": [],
                "images": [],
                "imageGroupsFromItems": [],
                "audio": [],
                "timeSeries": [],
                "nifti": [{"objectUrl": "s3://b/n", "clientMetadata": {}, "externalFileType": "NIFTI"}],
                "text": [],
                "pdf": [],
                "scenes": [],
                "skipDuplicateUrls": True,
                "upsertMetadata": False,
            },
            "ignoreErrors": False,
        },
        "job",
        lambda got: got == "job",
    ),
    Case(
        rest.PollUploadJob(folder_uuid="f", job_uuid="j"),
        "GET /storage/folders/f/data-upload-jobs/j?timeoutSeconds=0",
        None,
        JOB_REPLY,
        lambda got: (
            (got.status, got.is_over, got.items_with_names[0].item_uuid, got.unit_errors[0].object_urls)
            == (JobStatus.ERROR, True, "i", ("s3://b/x",))
        ),
    ),
    Case(
        rest.CancelUploadJob(folder_uuid="f", job_uuid="j"),
        "POST /storage/folders/f/data-upload-jobs/j/cancel",
        None,
        {"unitsCancelledCount": 3},
        lambda got: got == 3,
    ),
    Case(
        rest.StartCloudSync(folder_uuid="f"),
        "POST /storage/folders/f/cloud-synced-folder-syncs",
        None,
        "job",
        lambda got: got == "job",
    ),
    Case(
        rest.PollCloudSync(folder_uuid="f", job_uuid="j", hold_s=60),
        "GET /storage/folders/f/cloud-linked-folder-syncs/j/long-polling?timeoutSeconds=60",
        None,
        SYNC_REPLY,
        lambda got: (got.status, got.is_over, got.upload_jobs_units_done) == (JobStatus.PENDING, False, 3),
    ),
    Case(
        rest.ListItems(folder_uuid="f", item_types=(ItemType.VIDEO,)),
        "GET /storage/folders/f/items?isRecursive=False&itemTypes=video&order=createdAt&desc=False&pageSize=1000"
        "&signUrls=False&includeClientMetadata=True&clientMetadataAsSignedUrl=False",
        None,
        page(ITEM_REPLY),
        lambda got: (got.results[0].url, got.results[0].client_metadata) == ("s3://b/v.mp4", None),
    ),
    Case(
        rest.GetItems(item_uuids=("i", "j")),
        "POST /storage/items/get-bulk",
        {"itemUuids": ["i", "j"], "signUrls": False},
        page(ITEM_REPLY),
        lambda got: [item.url for item in got.results] == ["s3://b/v.mp4"],
    ),
    Case(
        rest.ListTasks(**STAGE, statuses=(TaskStatus.NEW,)),
        "GET /projects/p/workflow/stages/s/tasks?statuses=NEW",
        None,
        page(TASK_REPLY, {"uuid": "t", "dataHash": "d", "subtasks": [TASK_REPLY]}),
        lambda got: (
            (got.results[0].assignee, got.results[1].status, got.results[1].subtasks[0].status)
            == ("a@example.com", None, TaskStatus.ASSIGNED)
        ),
    ),
    Case(
        rest.AssignTasks(**STAGE, assignees=(("t", "a@example.com"),)),
        "POST /projects/p/workflow/stages/s/actions",
        [{"taskUuid": "t", "action": "ASSIGN", "assignee": "a@example.com"}],
        None,
        NONE,
    ),
    Case(
        rest.ReleaseTasks(**STAGE, task_uuids=("t",)),
        "POST /projects/p/workflow/stages/s/actions",
        [{"taskUuid": "t", "action": "RELEASE"}],
        None,
        NONE,
    ),
    Case(
        rest.SetPriorities(project_hash="p", priorities=(("d", 0.5),)),
        "POST /projects/p/priorities",
        {"priorities": [["d", 0.5]]},
        None,
        NONE,
    ),
)

FILE = rest.CloudFile(type=FileType.IMAGE, url="ü" * 8192, title="t" * 300)
"""Both are as long as they may be."""
BAD_VALUES: list[tuple[Callable[[], object], str]] = [
    (lambda: rest.CreateFolder(name=" "), "name is empty"),
    (lambda: rest.CreateFolder(name="n", parent_uuid=""), "parent_uuid is empty"),
    (lambda: rest.CloudPrefix(integration_uuid="i", remote_url=""), "remote_url is empty"),
    (lambda: rest.CloudPrefix(integration_uuid="", remote_url="u"), "integration_uuid is empty"),
    (lambda: rest.GetFolder(folder_uuid=""), "folder_uuid is empty"),
    (lambda: rest.ListSubfolders(folder_uuid=""), "folder_uuid is empty"),
    (lambda: rest.ListFolders(page_size=0), "page_size is 0; give 1 to 1000"),
    (lambda: rest.ListSubfolders(folder_uuid="f", page_size=1001), "page_size is 1001"),
    (lambda: rest.ListItems(folder_uuid="f", page_size=1001), "page_size is 1001"),
    (lambda: rest.ListItems(folder_uuid="f", item_types=("film",)), "'film' is no type of an item"),  # type: ignore[arg-type]  # the point
    (lambda: rest.GetItems(item_uuids=()), "item_uuids is empty"),
    (lambda: rest.UpdateFolder(folder_uuid="f", name=""), "name is empty"),
    (lambda: rest.UpdateFolder(folder_uuid="f"), "nothing of the folder is to be changed"),
    (
        lambda: rest.AddFolderGroups(folder_uuid="f", group_hashes=("g",), role=0),  # type: ignore[arg-type]  # the point
        "0 is no role of a folder; use one of user, admin",
    ),
    (lambda: rest.RemoveFolderGroups(folder_uuid="f", group_hashes=()), "group_hashes is empty; there would be"),
    (lambda: rest.ListCloudIntegrations(titles="S3"), "titles is one text"),  # type: ignore[arg-type]  # the point
    (lambda: rest.StartUploadJob(folder_uuid="f", items=()), "items is empty"),
    (lambda: rest.StartUploadJob(folder_uuid="f", items=(FILE,) * 500_001), "500001 items are more than the 500000"),
    (lambda: rest.StartUploadJob(folder_uuid="", items=(FILE,)), "folder_uuid is empty"),
    (lambda: rest.PollUploadJob(folder_uuid="f", job_uuid=""), "job_uuid is empty"),
    (lambda: rest.PollUploadJob(folder_uuid="f", job_uuid="j", hold_s=61), "hold_s is 61; give 0 to 60"),
    (lambda: rest.PollCloudSync(folder_uuid="f", job_uuid="j", hold_s=-1), "hold_s is -1"),
    (lambda: rest.CloudFile(type="FILM", url="u"), "'FILM' is no type of a file"),  # type: ignore[arg-type]  # the point
    (lambda: rest.CloudFile(type=FileType.IMAGE, url=" "), "url is empty"),
    (lambda: rest.CloudFile(type=FileType.IMAGE, url="ü" * 8193), "is longer than 16384 bytes"),
    (lambda: rest.CloudFile(type=FileType.IMAGE, url="u", title="t" * 301), "is longer than 300 characters"),
    (lambda: rest.CloudFile(type=FileType.NIFTI, url="u", details={}), "a NIFTI has no details"),
    (lambda: rest.CloudImageGroup(urls=(), title="t"), "urls is empty"),
    (lambda: rest.CloudImageGroup(urls=("u",), title=""), "title is empty"),
    (lambda: rest.CloudDicomSeries(urls=("u", "ü" * 8193), title="t"), "is longer than 16384 bytes"),
    (lambda: rest.ListTasks(project_hash="", stage_uuid="s"), "project_hash is empty"),
    (lambda: rest.ListTasks(project_hash="p", stage_uuid=""), "stage_uuid is empty"),
    (lambda: rest.ListTasks(**STAGE, statuses=("DONE",)), "'DONE' is no status of a task"),  # type: ignore[arg-type]  # the point
    (lambda: rest.AssignTasks(**STAGE, assignees=()), "assignees is empty"),
    (lambda: rest.AssignTasks(**STAGE, assignees=(("t", ""),)), "an assignee is empty"),
    (
        lambda: rest.AssignTasks(**STAGE, assignees=(("t", "a"),) * 1001),
        "assignees has 1001 members; a call takes 1000",
    ),
    (lambda: rest.ReleaseTasks(**STAGE, task_uuids=()), "task_uuids is empty"),
    (lambda: rest.ReleaseTasks(**STAGE, task_uuids=("t",) * 1001), "task_uuids has 1001 members"),
    (lambda: rest.SetPriorities(project_hash="p", priorities=()), "priorities is empty"),
    (lambda: rest.SetPriorities(project_hash="p", priorities=(("d", 1.5),)), "1.5 is no priority; give a number from"),
    (lambda: rest.SetPriorities(project_hash="p", priorities=(("d", float("nan")),)), "nan is no priority"),
]
