"""The rules of data rows: items of storage folders in a dataset. Link, list, remove.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock. Inferred: a link
needs an Admin of the dataset who may use the items' folders; the answer to one has the new rows alone.
"""

import json
import re
from typing import Final

from encord_async.emulator.arguments import Filter, Members, Refused, read_filter
from encord_async.emulator.calls import Answer, Call, Rules, stamp
from encord_async.emulator.rules.access import acting_user_id, needs_scope, resource
from encord_async.emulator.store import DATASET, DataRow, DatasetRow, ItemRow
from encord_async.protocol.catalogue import DatasetScope, ItemType, StorageLocation

__all__ = ["RULES", "rows_shown", "wants_rows"]

_BEHAVIOURS: Final = ("SKIP", "FAIL", "DUPLICATE")
_TYPES: Final = {
    ItemType.IMAGE_GROUP: "IMG_GROUP",
    ItemType.IMAGE_SEQUENCE: "VIDEO",
    ItemType.DICOM_SERIES: "DICOM",
    ItemType.DICOM_FILE: "DICOM",
    ItemType.TIME_SERIES: "TIME_SERIES",
    ItemType.TEXT: "PLAIN_TEXT",
}
"""The type of a row by that of its item, where it is not the item's in capitals. Source: SDK 0.1.211 ``constants``."""
_FILTERS: Final = ("title_eq", "title_like", "created_before", "created_after")


def wants_rows(call: Call) -> bool:
    """Say whether a dataset is to be shown with its rows: they have always come, unless asked not to."""
    settings = call.members().mapping("dataset_access_settings")
    return settings.get("fetch_rows", True) is not False


def rows_shown(call: Call, dataset: DatasetRow) -> list[dict[str, object]]:
    """Return the rows of *dataset* as the envelope API shows them."""
    return [_shown(row) for row in call.store.storage.data_rows(dataset.id, call.as_of_us)]


def _list(call: Call) -> Answer:
    dataset = resource(call, DATASET, call.on, None)
    needs_scope(call, DatasetScope.READ)
    call.uid_is_null()
    given = call.members(*_FILTERS, "data_types", "dataset_access_settings", "data_hashes")
    payload = call.payload if isinstance(call.payload, dict) else {}
    filter_ = read_filter({name: payload.get(name) for name in _FILTERS})
    types, hashes = given.texts("data_types", required=False), given.texts("data_hashes", required=False)
    rows = call.store.storage.data_rows(dataset.id, call.as_of_us)
    return Answer(
        [
            _shown(row)
            for row in rows
            if _fits(row, filter_) and (not types or _type(row.item) in types) and (not hashes or row.hash in hashes)
        ]
    )


def _fits(row: DataRow, filter_: Filter) -> bool:
    like = filter_.title_like
    pattern = None if like is None else "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in like)
    return (
        (filter_.title_eq is None or row.item.name == filter_.title_eq)
        and (pattern is None or re.fullmatch(pattern, row.item.name, re.DOTALL) is not None)
        and (filter_.created_before is None or row.created_us < filter_.created_before)
        and (filter_.created_after is None or row.created_us > filter_.created_after)
    )


def _link(call: Call) -> Answer:
    dataset = resource(call, DATASET, call.on)
    call.uid_names_resource()
    given = call.members("item_uuids", "duplicates_behavior")
    hashes, behaviour = given.texts("item_uuids"), given.text("duplicates_behavior")
    _check_behaviour(given, behaviour)
    storage, user_id = call.store.storage, acting_user_id(call)
    items = [storage.item(hash_, call.now_us) for hash_ in hashes]
    found = [item for item in items if item is not None]
    reached = {id_: storage.folder_role(id_, user_id) for id_ in {item.folder_id for item in found}}
    if len(found) != len(hashes) or None in reached.values():
        raise Refused("AUTHORISATION_ERROR", "an item does not exist, or you have no access to it")
    linked = {item.id for item in found if storage.is_linked(dataset.id, item.id)}
    if behaviour == "FAIL" and linked:
        # The code is inferred.
        raise Refused("RESOURCE_EXISTS_ERROR", "an item is in the dataset already")
    new = [item for item in found if behaviour == "DUPLICATE" or item.id not in linked]
    rows = [DataRow(storage.link(dataset.id, item.id, call.now_us), item, call.now_us) for item in new]
    return Answer([_shown(row) for row in rows], dataset.hash, dataset.title)


def _check_behaviour(given: Members, behaviour: str) -> None:
    if not given.texts("item_uuids"):
        raise Refused("INVALID_ARGUMENTS_ERROR", "item_uuids is empty")
    if behaviour not in _BEHAVIOURS:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"duplicates_behavior is not one of {', '.join(_BEHAVIOURS)}")


def _remove(call: Call) -> Answer:
    dataset = resource(call, DATASET, call.on)
    call.payload_is(None)
    hashes = call.uid_texts()
    if not hashes:
        raise Refused("INVALID_ARGUMENTS_ERROR", "uid is empty")
    if call.store.storage.remove_data_rows(dataset.id, hashes) != len(hashes):
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such data in the dataset")
    return Answer(True, dataset.hash, dataset.title)


def _type(item: ItemRow) -> str:
    return _TYPES.get(ItemType(item.type), item.type.upper())


def _place(url: str) -> StorageLocation:
    if url.startswith("s3://"):
        return StorageLocation.AWS_S3
    return StorageLocation.GCP_STR if url.startswith("gs://") else StorageLocation.CORD_STORAGE


def _shown(row: DataRow) -> dict[str, object]:
    item = row.item
    return {
        "data_hash": row.hash,
        "data_title": item.name,
        "data_type": _type(item),
        "created_at": stamp(row.created_us),
        "last_edited_at": stamp(row.created_us),
        "width": None,
        "height": None,
        "file_link": item.url,
        "file_size": None,
        "file_type": None,
        "storage_location": int(_place(item.url or "")),
        "frames_per_second": None,
        "duration": None,
        "client_metadata": json.loads(item.metadata),
        "signed_url": None,
        "is_optimised_image_group": False,
        "images_data": None,
        "backing_item_uuid": item.hash,
    }


RULES: Final[Rules] = {"datasetlinkitems.POST": _link, "datarows.GET": _list, "video.DELETE": _remove}
