"""Data rows of a dataset that are taken out of it for good, with their labels. Sends nothing but reads.

Source: SDK 0.1.211 and docs. Of data on Encord's own storage the file goes as well.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Final

from encord_async.kinds.data_rows import parts_of_rows
from encord_async.kinds.dataset_data import DATASET_DATA, DATASET_FOLDER, DATASET_ITEMS
from encord_async.kinds.loss import Loss, Piece, Seat
from encord_async.kinds.membership import Held
from encord_async.kinds.picked import Lying
from encord_async.kinds.reading import Reads
from encord_async.protocol.models import DataRow
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.operations.datasets import GetDataset, ListDataRows, RemoveDataRows
from encord_async.protocol.operations.storage import GetItems

__all__ = ["DATASET_ROWS"]


class _Rows(Loss):
    """Its items are the hash of a row, and after a blank its title, which is for people."""

    sort = what = thing = "data_rows"
    takes = "rm_data_row"
    noun = "data row"
    plural = "data rows"
    removes = ("remove_data_rows", "data row to remove with its labels", "data rows to remove with their labels")
    parent = "dataset"
    most_taken = 1000
    refuses_absent = True
    fills = (DATASET_DATA, DATASET_FOLDER, DATASET_ITEMS)

    def said(self, item: str) -> str:
        found, _, title = item.partition(" ")
        return f"{title} ({found})" if title else found

    def folded(self, item: str) -> str:
        return item.partition(" ")[0]

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[None]:
        raise AssertionError(f"no step puts {items} back into {parent_hash} as {role}")

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveDataRows:
        return RemoveDataRows(dataset_hash=parent_hash, data_hashes=tuple(map(self.folded, items)))

    async def held(self, reads: Reads, parent_hash: str) -> Held:
        found: dict[str, int | None] = {}
        async for rows in parts_of_rows(reads, parent_hash):
            found |= {row.data_hash: None for row in rows}
        return found

    async def held_of(self, reads: Reads, parent_hash: str, wished: Collection[str]) -> Held:
        hashes = tuple(map(self.folded, wished))
        rows = await reads.execute(ListDataRows(dataset_hash=parent_hash, data_hashes=hashes))
        return {row.data_hash: None for row in rows}

    async def seats(self, reads: Reads, parent_hash: str) -> AsyncIterator[Sequence[Seat]]:
        async for rows in parts_of_rows(reads, parent_hash):
            yield [Seat(_item(row), row.backing_item_uuid) for row in rows]

    async def pieces(self, reads: Reads, uuids: Sequence[str]) -> Mapping[str, Piece]:
        # What is gone from its bucket may come back, with its labels: here it counts as there.
        return {
            item.uuid.lower(): Piece(Lying(item.uuid, item.url, item.name), item.parent)
            for item in await reads.collect(GetItems(item_uuids=tuple(uuids)))
        }

    async def why_left(self, reads: Reads, parent_hash: str) -> str | None:
        details = await reads.execute(GetDataset(dataset_hash=parent_hash))
        if details.backing_folder_uuid is not None:
            return "it has a folder of its own, and what lies there is in it without anybody's wish"
        return None


def _item(row: DataRow) -> str:
    title = " ".join(row.data_title.split())
    return f"{row.data_hash} {title}" if title else row.data_hash


DATASET_ROWS: Final = _Rows()
