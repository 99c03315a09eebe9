"""Writes down the files of folders, and which datasets they are linked to, as entries of the kind ``data``.

Sends nothing but reads. Files are read page by page, and an entry has so many at most that neither memory nor a line of
a manifest holds all of a large folder. Kept are sixteen bytes for each link, and a digest for each URL of one folder.
"""

import heapq
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, NamedTuple

from encord_async.kinds.cloud import titles_of_integrations
from encord_async.kinds.data import DataEntry
from encord_async.kinds.data_rows import parts_of_rows
from encord_async.kinds.dataset import DATASET
from encord_async.kinds.entry import Entry
from encord_async.kinds.exporting import Exports, Inside, Pen, Scope
from encord_async.kinds.files import DataItem, type_of, url_digest
from encord_async.kinds.folder import FOLDER
from encord_async.kinds.reading import Once, OnRefusal, Reads
from encord_async.kinds.thing import DatasetAPI, Listed
from encord_async.protocol.catalogue import FileType, ItemType
from encord_async.protocol.operations.storage import ListItems
from encord_async.protocol.rest_models import StorageItem

__all__ = ["DATA", "MOST_FILES"]

MOST_FILES: Final = 20_000
"""Most files that are kept, and that an entry has: a run lists a folder once for each entry that links its files."""
_MOST_CHARACTERS: Final = 2 * 2**20
"""Most that these may have as text: a line of a manifest has at most 16 MiB."""
_ROWS: Final = "data rows of a dataset"

_TYPES: Final[Mapping[str, FileType]] = {
    ItemType.VIDEO: FileType.VIDEO,
    ItemType.IMAGE: FileType.IMAGE,
    ItemType.AUDIO: FileType.AUDIO,
    ItemType.TIME_SERIES: FileType.TIME_SERIES,
    ItemType.NIFTI: FileType.NIFTI,
    ItemType.TEXT: FileType.TEXT,
    ItemType.PDF: FileType.PDF,
}
"""As what an item was registered that is one file."""


class _How(NamedTuple):
    """What the files of an entry have in common."""

    integration: str | None
    datasets: tuple[str, ...]


class _Lot(NamedTuple):
    """The files of an entry."""

    folder: str
    how: _How
    files: tuple[DataItem, ...]


class _Links:
    """Which items are in which dataset, by the numbers of these; notes which of the links were met."""

    def __init__(self, linked: Collection[Collection[int]]) -> None:
        """Of each dataset the digests of its items."""
        self._digests, self._datasets = array("Q"), array("Q")
        sorts = [zip(sorted(some), repeat(number)) for number, some in enumerate(linked)]
        for digest, number in heapq.merge(*sorts):
            self._digests.append(digest)
            self._datasets.append(number)
        self._met = bytearray(len(self._digests))

    def meet(self, item_uuid: str, only: Collection[int] | None = None) -> Iterator[int]:
        """The datasets that have an item; of those in *only* if that is given."""
        digest = url_digest(item_uuid)
        index = bisect_left(self._digests, digest)
        while index < len(self._digests) and self._digests[index] == digest:
            if only is None or self._datasets[index] in only:
                self._met[index] = 1
                yield self._datasets[index]
            index += 1

    def met(self, dataset: int) -> int:
        """How many links of a dataset were met."""
        return sum(met for met, number in zip(self._met, self._datasets, strict=True) if number == dataset)


class _Data(Exports):
    word = "data"
    noun = "file of a folder"
    plural = "files of folders"
    after = ("folder", "dataset")
    unasked = "the files of folders and which datasets they are linked to: give --items to have them"

    def is_in(self, scope: Scope) -> bool:
        return scope.items

    async def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:
        listed = [one async for one in DATASET.listed(reads, DatasetAPI.ENVELOPE)]
        named = [(pen.reference(DATASET.word, one.hash), one) for one in listed]
        datasets = sorted(
            ((reference, one) for reference, one in named if reference is not None), key=lambda one: one[0]
        )
        rows, linked = list[int](), list[Collection[int]]()
        for _, dataset in datasets:
            found = await _rows(reads, pen, dataset)
            rows.append(len(found))
            linked.append(array("Q", {url_digest(uuid) for uuid in found if uuid is not None}))
        links = _Links(linked)
        linked.clear()
        references, once = [reference for reference, _ in datasets], Once(reads)
        folders = [one async for one in FOLDER.listed(reads, DatasetAPI.REST)] if pen.has(FOLDER.word) else []
        for folder in folders:
            if folder.item.remote_url:
                having = {
                    number for number, (_, one) in enumerate(datasets) if pen.mirrored.get(one.hash) == folder.hash
                }
                await _meet(once, pen, folder, links, having)
                continue
            async for lot in _lots(once, pen, folder, links, references):
                yield folder._replace(item=lot)
        for number, (_, dataset) in enumerate(datasets):
            absent = rows[number] - links.met(number)
            if absent:
                reason = f"{absent} of {rows[number]} show no file that is written down as one of a folder"
                pen.leave_out(_ROWS, dataset.title, dataset.hash, reason)

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:  # noqa: ARG002 - holds nothing
        lot: _Lot = found.item
        yield from pen.part(
            DataEntry,
            self.plural,
            found.title,
            found.hash,
            folder=lot.folder,
            integration=lot.how.integration,
            items=lot.files,
            datasets=lot.how.datasets,
        )


async def _rows(reads: Reads, pen: Pen, dataset: Listed) -> list[str | None]:
    """The items that the data rows of a dataset show."""
    found: list[str | None] = []
    with OnRefusal(lambda error: pen.leave_out(_ROWS, dataset.title, dataset.hash, error.message), or_too_large=True):
        async for rows in parts_of_rows(reads, dataset.hash):
            found += [row.backing_item_uuid for row in rows]
        return found
    return []


@dataclass(slots=True)
class _Kept:
    """Files that were read and are not written yet, by what they have in common."""

    files: defaultdict[_How, list[DataItem]] = field(default_factory=lambda: defaultdict(list))
    number: int = 0
    characters: int = 0

    def add(self, how: _How, made: DataItem) -> None:
        self.files[how].append(made)
        self.number += 1
        self.characters += len(made.model_dump_json())

    @property
    def is_full(self) -> bool:
        return self.number >= MOST_FILES or self.characters >= _MOST_CHARACTERS


async def _lots(reads: Reads, pen: Pen, folder: Listed, links: _Links, datasets: list[str]) -> AsyncIterator[_Lot]:
    """The files of a folder, those together that have the same integration and datasets."""
    reference = pen.reference(FOLDER.word, folder.hash)
    if reference is None:
        return
    kept, urls = _Kept(), set[int]()
    with OnRefusal(lambda error: pen.leave_out(DATA.plural, folder.title, folder.hash, error.message)):
        async for page in reads.pages(ListItems(folder_uuid=folder.hash)):
            is_private = any(item.integration_hash for item in page.results)
            titles = await titles_of_integrations(reads) if is_private else {}
            for item in page.results:
                made = _file(pen, item, urls)
                if made is None:
                    continue
                integration = titles.get(item.integration_hash or "", item.integration_hash)
                kept.add(_How(integration, tuple(datasets[number] for number in links.meet(item.uuid))), made)
                if kept.is_full:
                    for how, files in kept.files.items():
                        yield _Lot(reference, how, tuple(files))
                    kept = _Kept()
    for how, files in kept.files.items():
        yield _Lot(reference, how, tuple(files))


async def _meet(reads: Reads, pen: Pen, folder: Listed, links: _Links, datasets: Collection[int]) -> None:
    """Note what of a folder that mirrors a bucket is in *datasets*, whose entries say so; a sync brings its files."""
    if not datasets:
        return
    with OnRefusal(lambda error: pen.leave_out(DATA.plural, folder.title, folder.hash, error.message)):
        async for page in reads.pages(ListItems(folder_uuid=folder.hash, include_client_metadata=False)):
            for item in page.results:
                for _ in links.meet(item.uuid, datasets):
                    pass


def _file(pen: Pen, item: StorageItem, urls: set[int]) -> DataItem | None:
    """What an entry says of an item of a folder; None if none can, which is told. Its URL is added to *urls*."""
    kind = _TYPES.get(item.item_type)
    reason = None
    if item.url is None:
        reason = "the service does not say where it was registered from"
    elif item.is_tombstone:
        reason = "it is gone from its bucket"
    elif kind is None:
        reason = f"no entry can say what an item of the type {item.item_type} is made of"
    elif url_digest(item.url) in urls:
        reason = "the folder has another file of the same URL"
    if item.url is None or reason is not None:
        pen.leave_out(DATA.noun, item.name, item.uuid, reason or "")
        return None
    urls.add(url_digest(item.url))
    made = pen.part(
        DataItem,
        DATA.noun,
        item.name,
        item.uuid,
        url=item.url,
        type=None if kind is None or type_of(item.url) is kind else kind.name.lower(),
        title=item.name,
        metadata=item.client_metadata or {},
    )
    return next(iter(made), None)


DATA: Final = _Data()
