"""The rules of datasets, and of cloud integrations, of which there are none.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

from typing import Final

from encord_async.emulator.arguments import Members, Refused, read_filter
from encord_async.emulator.calls import Answer, Call, Rules, moment, stamp
from encord_async.emulator.rules.access import listed, resource, user_of
from encord_async.emulator.rules.data_rows import rows_shown, wants_rows
from encord_async.emulator.store import DATASET, DatasetRow
from encord_async.protocol.catalogue import DatasetUserRole, StorageLocation

__all__ = ["RULES"]


def _create(call: Call) -> Answer:
    user = user_of(call)
    call.uid_is_null()
    given = call.members("title", "type", "create_backing_folder", "description")
    title, type_ = given.name("title"), given.number("type")
    if type_ not in tuple(StorageLocation):
        raise Refused("INVALID_ARGUMENTS_ERROR", "type is not a storage location (0 to 4)")
    dataset = _made(call, given, type_, "create_backing_folder")
    reply: dict[str, object] = {
        "title": title,
        "type": type_,
        "dataset_hash": dataset.hash,
        "user_hash": user.hash,
    }
    # Parsers from before 0.1.98 know nothing of backing folders and do not ask for one.
    if given.has("create_backing_folder"):
        reply["backing_folder_uuid"] = dataset.backing_folder
    return Answer(reply, dataset.hash, title)


def _create_over_rest(call: Call) -> Answer:
    given = call.members()
    title = given.name("title")
    for needed in ("createBackingFolder", "legacyCall"):
        if not given.has(needed):
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{needed} is missing")
        given.flag(needed)
    dataset = _made(call, given, StorageLocation.CORD_STORAGE, "createBackingFolder")
    folder = {"backingFolderUuid": dataset.backing_folder} if dataset.backing_folder else {}
    return Answer({"datasetUuid": dataset.hash, **folder}, dataset.hash, title)


def _made(call: Call, given: Members, type_: int, folder: str) -> DatasetRow:
    user = user_of(call)
    return call.store.add_dataset(
        title=given.name("title"),
        description=given.optional_text("description") or "",
        type_=type_,
        creator=user,
        backing_folder=given.flag(folder),
        admins=[user.id],
        now_us=call.now_us,
    )


def _list(call: Call) -> Answer:
    call.uid_is_null()
    given = call.members("filter", "enable_storage_api")
    with_folder = given.flag("enable_storage_api")
    found = listed(call, DATASET, read_filter(given.mapping("filter")))
    return Answer(
        [{"user_role": role, "dataset": _summary(dataset, with_folder=with_folder)} for role, dataset in found]
    )


def _summary(dataset: DatasetRow, *, with_folder: bool) -> dict[str, object]:
    summary: dict[str, object] = {
        "dataset_hash": dataset.hash,
        "user_hash": dataset.user_hash,
        "title": dataset.title,
        "description": dataset.description,
        "type": dataset.type,
        "created_at": stamp(dataset.created_us),
        "last_edited_at": stamp(dataset.edited_us),
    }
    # Old parsers spread the object over a dataclass: a member too many is a TypeError there.
    return summary | ({"backing_folder_uuid": dataset.backing_folder} if with_folder else {})


def _list_over_rest(call: Call) -> Answer:
    found = listed(call, DATASET, call.filter("description"))
    return Answer({"result": [_shown_over_rest(dataset, role) for role, dataset in found]})


def _shown_over_rest(dataset: DatasetRow, role: int | None) -> dict[str, object]:
    return {
        "datasetUuid": dataset.hash,
        "title": dataset.title,
        "description": dataset.description,
        "createdAt": moment(dataset.created_us),
        "lastEditedAt": moment(dataset.edited_us),
        "userRole": None if role is None else DatasetUserRole(role).name.lower(),
        "storageLocation": dataset.type,
        "backingFolderUuid": dataset.backing_folder,
    }


def _get(call: Call) -> Answer:
    dataset = resource(call, DATASET, call.on, None)
    call.uid_is_null()
    return Answer(
        {
            "title": dataset.title,
            "description": dataset.description,
            "dataset_hash": dataset.hash,
            "dataset_type": StorageLocation(dataset.type).name,
            "data_rows": rows_shown(call, dataset) if wants_rows(call) else [],
            "backing_folder_uuid": dataset.backing_folder,
        }
    )


def _cloud_integrations(call: Call) -> Answer:
    call.members()
    return Answer([])


RULES: Final[Rules] = {
    "dataset.POST": _create,
    "datasetwithuserrole.GET": _list,
    "dataset.GET": _get,
    "cloudintegration.GET": _cloud_integrations,
    "v2/datasets.POST": _create_over_rest,
    "v2/datasets/list.GET": _list_over_rest,
}
