"""Items of storage folders that are linked to a dataset, of which they become data rows. Sends nothing but reads.

Files that an entry registers are linked by their URLs; of a folder, all that lies in it or what goes by certain names;
and single items by their uuids.
"""

from collections.abc import Collection
from typing import Final

from encord_async.kinds.data_rows import parts_of_rows
from encord_async.kinds.exporting import Pen
from encord_async.kinds.filling import Filling
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.picked import Lying
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.protocol.operations.datasets import LinkItems
from encord_async.protocol.operations.storage import ListItems
from encord_async.protocol.rest_models import StorageItem

__all__ = ["DATASET_DATA", "DATASET_FOLDER", "DATASET_ITEMS"]


class _Rows(Relation):
    what = thing = "dataset_data"
    noun = "data row of a dataset"
    plural = "data rows of datasets"
    parent = "dataset"
    is_content = True

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> LinkItems:  # noqa: ARG002
        return LinkItems(dataset_hash=parent_hash, item_uuids=items)

    async def held(self, reads: Reads, parent_hash: str) -> Held:
        found: dict[str, None] = {}
        async for rows in parts_of_rows(reads, parent_hash):
            found |= {row.backing_item_uuid: None for row in rows if row.backing_item_uuid is not None}
        return found


class _Links(_Rows, Filling):
    sort = gives = "dataset_data"
    adds = ("dataset_data", "folder to link to a dataset", "folders to link to datasets")
    item = "folder"

    def listing(self, source_hash: str) -> ListItems:
        return ListItems(folder_uuid=source_hash, include_client_metadata=False)

    def lying(self, item: StorageItem) -> Lying:
        return Lying(item.uuid, item.url, item.name, bool(item.is_tombstone))


class _OfFolder(_Links):
    """What lies in a folder may come from anywhere, so each run looks anew, after all that could put it there."""

    sort = gives = "dataset_folder"
    phase = 1
    is_remembered = False


class _Items(_Rows):
    sort = gives = "dataset_items"
    adds = ("dataset_items", "item to link to a dataset", "items to link to datasets")
    has_entries = False
    limits_unsaid = False

    async def held_of(self, reads: Reads, parent_hash: str, wished: Collection[str]) -> Held | Unlisted:
        rows = await self.held(reads, parent_hash) if wished else {}
        return {item: None for item in wished if item in rows}

    def is_written(self, pen: Pen) -> bool:  # noqa: ARG002 - entries of files say it
        return False


DATASET_DATA: Final = _Links()
DATASET_FOLDER: Final = _OfFolder()
DATASET_ITEMS: Final = _Items()
