"""The official SDK on its way from a bucket to assigned tasks; run by its interpreter, without our package.

Reads the private key from standard input, takes the domain as argument, prints what it saw as JSON.
"""

import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above
from encord.exceptions import EncordException  # type: ignore[import-not-found] # see above
from encord.orm import storage as orm  # type: ignore[import-not-found] # see above
from encord.orm.dataset import StorageLocation  # type: ignore[import-not-found] # see above
from encord.storage import StorageUserRole  # type: ignore[import-not-found] # see above

SCHEME = "s3://bucket/raw/"


def raised(call: Callable[..., Any], *arguments: object, **named: object) -> str | None:
    """Name of what *call* raises."""
    try:
        made = call(*arguments, **named)
        if hasattr(made, "__next__"):
            list(made)
    except EncordException as error:
        return type(error).__name__
    return None


def folders(client: Any) -> Any:
    """Make, list, change, remove."""
    raw = client.create_storage_folder("Raw", "what came in", {"mark": {"snake_case": None}})
    inner = raw.create_subfolder("Day 1")
    for number in range(4):
        client.create_storage_folder(f"More {number}")
    inner.update(name="Day one", description="the first", client_metadata={"day": 1})
    group = client.create_group("Loaders", "")
    raw.add_group(group.group_hash, StorageUserRole.USER)
    groups = [(one.name, one.user_role.value) for one in raw.list_groups()]
    raw.remove_group(group.group_hash)
    gone = client.create_storage_folder("Gone")
    gone.delete()
    return {
        "uuid": str(raw.uuid),
        "metadata": raw.client_metadata,
        "description": client.get_storage_folder(raw.uuid).description,
        "top": [one.name for one in client.list_storage_folders(page_size=2)],
        "searched": [one.name for one in client.find_storage_folders(search="day", page_size=1)],
        "inner": [
            (one.name, one.description, one.client_metadata, str(one.parent_uuid)) for one in raw.list_subfolders()
        ],
        "groups": groups,
        "left": [one.name for one in raw.list_groups()],
        "type": raw.folder_type.value,
        "gone": raised(client.get_storage_folder, gone.uuid),
        "unknown": raised(client.get_storage_folder, UUID(int=1)),
    }


def registered(client: Any, uuid: str) -> Any:
    """Register twice, in both forms; wait for each; list what is there."""
    folder = client.get_storage_folder(uuid)
    (integration,) = client.get_cloud_integrations(filter_integration_titles=["S3"])
    items = orm.DataUploadItems(
        videos=[orm.DataUploadVideo(object_url=f"{SCHEME}{number}.mp4") for number in range(3)],
        images=[orm.DataUploadImage(object_url=f"{SCHEME}a.png", title="A", client_metadata={"n": 1})],
        image_groups=[
            orm.DataUploadImageGroup(
                images=[orm.DataUploadImageGroupImage(url=f"{SCHEME}g{number}.png") for number in range(2)], title="G"
            )
        ],
        skip_duplicate_urls=True,
    )
    states = []
    for files, ignores in (
        (items, False),
        (items, False),
        ({"videos": [{"objectUrl": f"{SCHEME}broken.mp4"}], "skip_duplicate_urls": True}, True),
    ):
        job = folder.add_private_data_to_folder_start(integration.id, files, ignore_errors=ignores)
        states.append(folder.add_private_data_to_folder_get_result(job))
    return {
        "integrations": [one.title for one in client.get_cloud_integrations()],
        "states": [
            (
                state.status.value,
                len(state.items_with_names),
                state.units_done_count,
                [error.object_urls for error in state.unit_errors],
            )
            for state in states
        ],
        "items": [(item.name, item.item_type.value, item.url) for item in folder.list_items(page_size=2)],
        "metadata": [item.client_metadata for item in folder.list_items(search="A") if item.name == "A"],
        "unlinked": len(list(folder.list_items(is_in_dataset=False))),
    }


def synced(client: Any) -> Any:
    """A folder that mirrors a bucket."""
    (integration,) = client.get_cloud_integrations(filter_integration_titles=["S3"])
    cloud = orm.CloudSyncedFolderParams(integration_uuid=UUID(integration.id), remote_url="s3://bucket/in/")
    folder = client.create_storage_folder("Mirror", cloud_synced_folder_params=cloud)
    job = folder.sync_private_data_with_cloud_synced_folder_start()
    state = folder.sync_private_data_with_cloud_synced_folder_get_result(job)
    plain = client.create_storage_folder("Plain")
    return {
        "is": folder.is_cloud_synced,
        "from": folder.remote_url,
        "status": state.status.value,
        "done": state.upload_jobs_units_done,
        "items": [item.url for item in folder.list_items()],
        "plain": raised(plain.sync_private_data_with_cloud_synced_folder_start),
    }


def linked(client: Any, uuid: str) -> Any:
    """Items to rows, once."""
    items = list(client.get_storage_folder(uuid).list_items())
    made = client.create_dataset("Raw", StorageLocation.CORD_STORAGE, create_backing_folder=False)
    dataset = client.get_dataset(made.dataset_hash)
    rows = [dataset.link_items([item.uuid for item in items]) for _ in range(2)]
    listed = dataset.list_data_rows()
    dataset.delete_data([row.uid for row in listed if row.title == "2.mp4"])
    return {
        "hash": made.dataset_hash,
        "linked": [len(one) for one in rows],
        "rows": [(row.title, row.data_type.value, row.file_link) for row in listed],
        "backed": sorted(str(row.backing_item_uuid) for row in listed) == sorted(str(item.uuid) for item in items),
        "left": [row.title for row in dataset.list_data_rows()],
        "found": [row.title for row in dataset.list_data_rows(title_eq="A")],
        "unknown": raised(dataset.link_items, [UUID(int=1)]),
        "read": [one.url for one in client.get_storage_items([item.uuid for item in items])]
        == [item.url for item in items],
        "not there": raised(client.get_storage_items, [items[0].uuid, UUID(int=1)]),
    }


def workflow(client: Any, dataset: str, template: str) -> Any:
    """Stages and tasks; assign and release, alone and in bundles."""
    hash_ = client.create_project("Work", [dataset], workflow_template_hash=template)
    project = client.get_project(hash_)
    project.add_users(["bob@example.com"], 1)
    stage = project.workflow.get_stage(name="Draw")
    with project.create_bundle() as bundle:
        for task in stage.get_tasks():
            task.assign("bob@example.com", bundle=bundle)
    given = [(task.data_title, task.status.value, task.assignee) for task in stage.get_tasks()]
    next(iter(stage.get_tasks(data_title="A"))).release()
    return {
        "hash": hash_,
        "stages": [(one.title, one.stage_type.value) for one in project.workflow.stages],
        "given": given,
        "bobs": [task.data_title for task in stage.get_tasks(assignee="bob@example.com")],
        "released": [(task.data_title, task.assignee) for task in stage.get_tasks(status=given_status("RELEASED"))],
        "elsewhere": [len(list(project.workflow.get_stage(name=name).get_tasks())) for name in ("Look", "End")],
        "stranger": raised(next(iter(stage.get_tasks())).assign, "stranger@example.com"),
    }


def given_status(name: str) -> Any:
    """A status of a task as the SDK has it."""
    from encord.workflow.stages.annotation import (  # type: ignore[import-not-found] # see above
        AnnotationTaskStatus,
    )

    return AnnotationTaskStatus[name]


def main() -> None:
    """Do everything once."""
    client = EncordUserClient.create_with_ssh_private_key(sys.stdin.read(), domain=sys.argv[1])
    seen: dict[str, Any] = {"folders": folders(client)}
    uuid = seen["folders"]["uuid"]
    seen["registered"] = registered(client, uuid)
    seen["synced"] = synced(client)
    seen["linked"] = linked(client, uuid)
    seen["workflow"] = workflow(client, seen["linked"]["hash"], sys.argv[2])
    sys.stdout.write(json.dumps(seen))


main()
