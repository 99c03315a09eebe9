"""What the official SDK would send for storage and workflow, to the byte: run by its interpreter, without our package.

Nothing is sent: an adapter takes each request, keeps it and answers from a shelf. Takes the private key from standard
input, prints a JSON object of requests by name.
"""

import json
import sys
from typing import Any
from uuid import UUID

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above
from encord.orm import storage as orm  # type: ignore[import-not-found] # see above
from encord.storage import StorageFolder, StorageItemType, StorageUserRole  # type: ignore[import-not-found] # see above
from requests import Response  # type: ignore[import-untyped,unused-ignore] # see above
from requests.adapters import HTTPAdapter  # type: ignore[import-untyped,unused-ignore] # see above

FOLDER, PARENT, ITEM, JOB, GROUP, INTEGRATION, DATASET, PROJECT, STAGE, TASK, DATA = (
    f"00000000-0000-4000-8000-{number:012d}" for number in range(11)
)
MOMENT = "2024-01-02T03:04:05Z"
FOLDER_REPLY: dict[str, Any] = {
    "uuid": FOLDER,
    "parent": None,
    "name": "n",
    "description": "",
    "clientMetadata": None,
    "owner": "a@example.com",
    "createdAt": MOMENT,
    "lastEditedAt": MOMENT,
    "userRole": "admin",
    "syncedDatasetHash": None,
    "pathToRoot": [],
}
TASK_REPLY = {
    "uuid": TASK,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "status": "NEW",
    "dataHash": DATA,
    "dataTitle": "t",
    "labelBranchName": "main",
    "assignee": None,
}
JOB_REPLY = {
    "status": "DONE",
    "itemsWithNames": [],
    "errors": [],
    "unitsPendingCount": 0,
    "unitsDoneCount": 0,
    "unitsErrorCount": 0,
    "unitsCancelledCount": 0,
    "unitErrors": [],
}
SYNC_REPLY: dict[str, Any] = {
    "status": "done",
    **{f"scanPagesProcessing{state}": 0 for state in ("Pending", "Done", "Error", "Cancelled")},
    **{f"uploadJobs{state}": 0 for state in ("Pending", "Done", "Error")},
    **{f"uploadJobsUnits{state}": 0 for state in ("Pending", "Done", "Error", "Cancelled")},
}
PROJECT_REPLY = {
    # Of the project and of its ontology, which the SDK reads next.
    "projectHash": PROJECT,
    "ontologyUuid": GROUP,
    "editor": {"objects": [], "classifications": []},
    "projectType": "workflow",
    "status": "inProgress",
    "title": "t",
    "description": "",
    "createdAt": MOMENT,
    "lastEditedAt": MOMENT,
    "creatorEmail": "a@example.com",
    "ontologyHash": GROUP,
    "editorOntology": {"objects": [], "classifications": []},
    "userRole": 0,
    "workflowManagerUuid": STAGE,
    "workflow": {"stages": [{"stageType": "ANNOTATION", "uuid": STAGE, "title": "Annotate 1"}]},
}
DATASET_REPLY: dict[str, Any] = {
    "title": "t",
    "description": "",
    "dataset_hash": DATASET,
    "dataset_type": "CORD_STORAGE",
    "data_rows": [],
    "backing_folder_uuid": None,
}


class Shelf(HTTPAdapter):  # type: ignore[misc] # see above
    """Takes requests, and answers with what was put on it."""

    sent: list[dict[str, str]] = []  # noqa: RUF012 - the SDK makes one adapter a request; they share this
    answer: Any = None

    def send(self, request: Any, **_: Any) -> Any:
        """Keep *request*; answer."""
        body = request.body or b""
        kept = {
            "http_method": request.method,
            "request_target": request.path_url,
            "body": body.decode() if isinstance(body, bytes) else body,
        }
        Shelf.sent.append(kept)
        response = Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/json"
        response._content = json.dumps(Shelf.answer).encode()
        return response


def captured(answer: Any, call: Any) -> dict[str, str]:
    """The request that *call* makes when it is answered with *answer*."""
    Shelf.answer = answer
    before = len(Shelf.sent)
    made = call()
    if hasattr(made, "__next__"):
        list(made)
    (sent,) = Shelf.sent[before:]
    return sent


def page(*results: Any) -> dict[str, Any]:
    """The only page of *results*."""
    return {"results": list(results)}


def storage(client: Any) -> dict[str, Any]:
    """Folders, integrations, jobs, syncs and items."""
    Shelf.answer = FOLDER_REPLY
    folder = client.get_storage_folder(FOLDER)
    inner = StorageFolder(client._api_client, orm.StorageFolder.from_dict(FOLDER_REPLY))
    synced = orm.CloudSyncedFolderParams(integration_uuid=UUID(INTEGRATION), remote_url="s3://b/p/")
    mark = {"encord_async": "é", "n": {"snake_case": None}}
    # The order in which we ask; the SDK's own is by name.
    oldest = {"order": orm.FoldersSortBy.CREATED_AT}
    create, top, all_ = client.create_storage_folder, client.list_storage_folders, client.find_storage_folders
    asks: dict[str, Any] = {
        "folder.create": (FOLDER_REPLY, lambda: create("n")),
        "folder.create.full": (
            FOLDER_REPLY,
            lambda: create("Größe", "d", mark, PARENT, cloud_synced_folder_params=synced),
        ),
        "folder.get": (FOLDER_REPLY, lambda: client.get_storage_folder(FOLDER)),
        "folder.top": (page(), lambda: top(page_size=1000, **oldest)),
        "folder.top.full": (
            page(),
            lambda: top(search="n m", dataset_synced=False, org_access=True, **oldest),
        ),
        "folder.search": (page(), lambda: all_(search="n", dataset_synced=False, **oldest)),
        "folder.children": (page(), lambda: folder.list_subfolders(dataset_synced=False, page_size=1000, **oldest)),
        "folder.below": (page(), lambda: folder.find_subfolders(search="n", **oldest)),
        "folder.patch": (FOLDER_REPLY, lambda: folder.update(name="m", description="d", client_metadata=mark)),
        "folder.patch.name": (FOLDER_REPLY, lambda: inner.update(name="m")),
        "folder.delete": (None, inner.delete),
        "folder.groups": (page(), inner.list_groups),
        "folder.groups.add": (None, lambda: inner.add_group([UUID(GROUP)], StorageUserRole.ADMIN)),
        "folder.groups.remove": (None, lambda: inner.remove_group([UUID(GROUP), UUID(PARENT)])),
        "integrations": ({"result": []}, client.get_cloud_integrations),
        "integrations.title": (
            {"result": []},
            lambda: client.get_cloud_integrations(filter_integration_titles=["a b", "c"]),
        ),
        "items": (page(), lambda: inner.list_items(page_size=1000, **oldest)),
        "items.full": (
            page(),
            lambda: inner.list_items(
                search="x",
                is_in_dataset=False,
                item_types=[StorageItemType.VIDEO, StorageItemType.DICOM_SERIES],
                include_client_metadata=False,
                **oldest,
            ),
        ),
        "sync.start": (JOB, inner.sync_private_data_with_cloud_synced_folder_start),
        "sync.poll": (
            SYNC_REPLY,
            lambda: inner.sync_private_data_with_cloud_synced_folder_get_result(UUID(JOB), timeout_seconds=30),
        ),
    }
    return {name: captured(answer, call) for name, (answer, call) in asks.items()}


def everything() -> Any:
    """One item of each kind."""
    meta = {"snake_case": None, "n": 1}
    return orm.DataUploadItems(
        videos=[
            orm.DataUploadVideo(
                object_url="s3://b/v.mp4",
                title="v",
                client_metadata=meta,
                video_metadata=orm.CustomerProvidedVideoMetadata(
                    fps=25, duration=1.5, width=4, height=3, file_size=9, mime_type="video/mp4"
                ),
            ),
            orm.DataUploadVideo(object_url="s3://b/ö.mp4"),
        ],
        image_groups=[
            orm.DataUploadImageGroup(
                images=[
                    orm.DataUploadImageGroupImage(url="s3://b/1.png"),
                    orm.DataUploadImageGroupImage(url="s3://b/2.png"),
                ],
                title="g",
                client_metadata=meta,
                create_video=True,
            )
        ],
        dicom_series=[
            orm.DataUploadDicomSeries(
                dicom_files=[orm.DataUploadDicomSeriesDicomFile(url="s3://b/1.dcm", title=None)], title="d"
            )
        ],
        images=[
            orm.DataUploadImage(
                object_url="s3://b/i.png",
                image_metadata=orm.CustomerProvidedImageMetadata(mime_type="image/png", file_size=9, height=3, width=4),
            )
        ],
        audio=[
            orm.DataUploadAudio(
                object_url="s3://b/a.mp3",
                audio_metadata=orm.CustomerProvidedAudioMetadata(
                    duration=1.5,
                    file_size=9,
                    mime_type="audio/mpeg",
                    sample_rate=8000,
                    bit_depth=16,
                    codec="mp3",
                    num_channels=1,
                ),
            )
        ],
        time_series=[orm.DataUploadTimeSeries(object_url="s3://b/t.csv")],
        nifti=[orm.DataUploadNifti(object_url="s3://b/n.nii")],
        text=[
            orm.DataUploadText(
                object_url="s3://b/t.txt",
                text_metadata=orm.CustomerProvidedTextMetadata(file_size=9, mime_type="text/plain"),
            )
        ],
        pdf=[
            orm.DataUploadPDF(
                object_url="s3://b/p.pdf", pdf_metadata=orm.CustomerProvidedPdfMetadata(file_size=9, num_pages=2)
            )
        ],
        skip_duplicate_urls=True,
        upsert_metadata=True,
    )


def jobs(client: Any) -> dict[str, Any]:
    """Upload jobs."""
    inner = StorageFolder(client._api_client, orm.StorageFolder.from_dict(FOLDER_REPLY))
    one = orm.DataUploadItems(images=[orm.DataUploadImage(object_url="s3://b/i.png")], skip_duplicate_urls=True)
    asks = {
        "job.start": (JOB, lambda: inner.add_private_data_to_folder_start(None, one)),
        "job.start.full": (
            JOB,
            lambda: inner.add_private_data_to_folder_start(INTEGRATION, everything(), ignore_errors=True),
        ),
        "job.poll": (JOB_REPLY, lambda: inner._add_data_to_folder_get_result(UUID(JOB), timeout_seconds=30)),
        "job.cancel": ({"unitsCancelledCount": 0}, lambda: inner.add_data_to_folder_job_cancel(UUID(JOB))),
    }
    return {name: captured(answer, call) for name, (answer, call) in asks.items()}


def workflow(client: Any) -> dict[str, Any]:
    """Stages, tasks and what is done with them."""
    Shelf.answer = PROJECT_REPLY
    project = client.get_project(PROJECT)
    stage = project.workflow.stages[0]
    Shelf.answer = page(TASK_REPLY, {**TASK_REPLY, "uuid": DATA})
    one, two = stage.get_tasks()

    def assign() -> None:
        with project.create_bundle() as bundle:
            one.assign("a@example.com", bundle=bundle)
            two.assign("b@example.com", bundle=bundle)

    asks = {
        "tasks": (page(), stage.get_tasks),
        "tasks.full": (
            page(),
            lambda: stage.get_tasks(
                assignee=["a@example.com", "b@example.com"],
                data_hash=[DATA],
                dataset_hash=[DATASET],
                data_title="t u",
                status=[one.status, type(one.status).ASSIGNED],
            ),
        ),
        "tasks.assign": (None, assign),
        "tasks.release": (None, one.release),
        "tasks.priorities": (None, lambda: project._client.workflow_set_priority([(DATA, 0.25), (TASK, 1.0)])),
    }
    return {name: captured(answer, call) for name, (answer, call) in asks.items()}


def envelopes(client: Any) -> dict[str, Any]:
    """Links and data rows, which go over the envelope."""
    Shelf.answer = {"status": 200, "response": DATASET_REPLY}
    dataset = client.get_dataset(DATASET)
    asks: dict[str, Any] = {
        "link": lambda: dataset.link_items([UUID(ITEM), UUID(FOLDER)]),
        "rows": dataset.list_data_rows,
        "rows.remove": lambda: dataset.delete_data([DATA, ITEM]),
        "rows.hashes": lambda: dataset.list_data_rows(data_hashes=[DATA]),
    }
    return {name: captured({"status": 200, "response": []}, call) for name, call in asks.items()}


def main() -> None:
    """Capture everything once."""
    HTTPAdapter.send = Shelf.send
    client = EncordUserClient.create_with_ssh_private_key(sys.stdin.read(), domain="https://api.encord.com")
    found = {**storage(client), **jobs(client), **workflow(client), **envelopes(client)}
    sys.stdout.write(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


main()
