"""Items of a storage folder that are linked to a dataset, of which they become data rows. Sends nothing but reads."""

from typing import Final

from encord_async.kinds.filling import Filling
from encord_async.kinds.membership import Held
from encord_async.kinds.reading import Reads
from encord_async.protocol.operations.datasets import GetDataset, LinkItems, ListDataRows
from encord_async.protocol.operations.storage import ListItems
from encord_async.protocol.rest_models import StorageItem

__all__ = ["DATASET_DATA"]


class _Links(Filling):
    sort = what = thing = gives = "dataset_data"
    noun = thing_noun = "data row of a dataset"
    plural = "data rows of datasets"
    adds = ("dataset_data", "folder to link to a dataset", "folders to link to datasets")
    parent = "dataset"
    item = "folder"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> LinkItems:  # noqa: ARG002
        return LinkItems(dataset_hash=parent_hash, item_uuids=items)

    def listing(self, source_hash: str) -> ListItems:
        return ListItems(folder_uuid=source_hash, include_client_metadata=False)

    def names_of(self, item: StorageItem) -> tuple[str, str | None]:
        return item.uuid, item.url

    def probe(self, parent_hash: str) -> GetDataset:
        return GetDataset(dataset_hash=parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held:
        rows = await reads.execute(ListDataRows(dataset_hash=parent_hash))
        return {row.backing_item_uuid: None for row in rows if row.backing_item_uuid is not None}


DATASET_DATA: Final = _Links()
