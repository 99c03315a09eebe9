"""What a rehearsal says of files: which of them would be registered, and how many items linked. Sends only reads."""

from collections import defaultdict
from collections.abc import Container, Sequence
from typing import NamedTuple

import anyio.to_thread

from encord_async.engine.errands import nameless
from encord_async.engine.ticket import Lane, Ticket
from encord_async.kinds.files import Portion, URLs, expected, identity_url, url_digest
from encord_async.kinds.filling import Filling
from encord_async.kinds.membership import Relation
from encord_async.kinds.picked import Picked, Picking
from encord_async.kinds.reading import Reads
from encord_async.kinds.stock import Stock

__all__ = ["NEW", "Load", "Playing"]

NEW = "(new "
"""Begins the stand-ins for hashes of what would be made; no hash looks like it."""


class Load(NamedTuple):
    """How much would be done of what a step is about, and the URLs of that where they are told.

    *is_open* is whether more may come that nobody can count: what a sync will find. *there* is how much is so already.
    """

    amount: int
    urls: tuple[str, ...] = ()
    is_open: bool = False
    there: int | None = None


class Playing:
    """Works out what *reads* shows of files, and what would be registered before."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._stock = Stock(reads)
        self._registered: defaultdict[str, set[int]] = defaultdict(set)
        self._loads: defaultdict[str, list[Portion]] = defaultdict(list)
        """What would be registered in folders, by reference."""
        self._given: defaultdict[tuple[str, str], list[URLs]] = defaultdict(list)
        """What entries of files would link to things, by these and the folder."""
        self._filled: set[str] = set()

    def fills(self, folder: str) -> None:
        """Note that something would be put into *folder* of which nobody knows what it is."""
        self._filled.add(folder)

    async def play(self, relation: Relation, lane: Lane, ticket: Ticket, load: Portion | Picked) -> Load:
        """What would become of a step that is about files."""
        if isinstance(load, Picked):
            if not isinstance(relation, Filling):
                raise AssertionError(f"a {relation.noun} is no filling")
            return await self._picks(relation, lane, ticket, load)
        if isinstance(relation, Filling):
            return await self.links(relation, lane, ticket, load)
        return await self.registers(lane, load)

    async def registers(self, lane: Lane, load: Portion) -> Load:
        """The files of *load* that would be registered."""
        folder = lane.parent_hash
        there = URLs() if folder.startswith(NEW) else await self._stock.urls(folder)
        items = await anyio.to_thread.run_sync(load.lacking, there)
        before, named = self._registered[folder], tuple(map(identity_url, items))
        if load.integration is not None and any(url_digest(url) not in before for url in named):
            await self._stock.integration(load.integration)
        # Nobody else has a turn between this look and the note of it: a URL is counted for one entry.
        urls = tuple(url for url in named if url_digest(url) not in before)
        before.update(map(url_digest, urls))
        if urls:
            self._loads[folder].append(load)
        return Load(len(urls), urls)

    async def links(self, relation: Filling, lane: Lane, ticket: Ticket, load: Portion) -> Load:
        """How many items would be linked, those that would only be registered among them."""
        (folder,) = ticket.items
        wanted = await anyio.to_thread.run_sync(load.urls)
        there = await self._held(relation, lane)
        # Those that others link are theirs: none is linked twice.
        before = tuple(self._given[lane.parent_hash, folder])
        self._given[lane.parent_hash, folder].append(wanted)
        number = 0
        if not folder.startswith(NEW):
            async for page in self._reads.pages(relation.listing(folder)):
                found = [one for one in map(relation.lying, page.results) if one.url and wanted.meet(one.url)]
                number += sum(1 for one in found if one.uuid not in there and not _is_among(one.url, before))
        failed = {unit.url for unit in ticket.wish.units}
        return Load(number + await anyio.to_thread.run_sync(_unmet, load, wanted, failed, before))

    async def _picks(self, relation: Filling, lane: Lane, ticket: Ticket, picked: Picked) -> Load:
        """How many items of a folder would be linked, with those that would be put there before.

        Those that entries of files would link are there by then.

        Raises:
            EncordError: Something that is named is not there, and nobody would put anything there.
        """
        (folder,) = ticket.items
        there = await self._held(relation, lane)
        number = linked = 0
        picking = Picking(picked)
        if not folder.startswith(NEW):
            async for page in self._reads.pages(relation.listing(folder)):
                for one in picking.of(map(relation.lying, page.results)):
                    is_there = one.uuid in there or _is_among(one.url, self._given[lane.parent_hash, folder])
                    linked += is_there
                    number += not is_there
        coming, given = await anyio.to_thread.run_sync(self._coming, lane.parent_hash, folder, picking)
        is_open = folder in self._filled
        if picking.missing and not is_open:
            raise nameless(sorted(picking.missing), ticket.step.item)
        return Load(number + coming, is_open=is_open, there=linked + given)

    def _coming(self, about: str, folder: str, picking: Picking) -> tuple[int, int]:
        """How many of those that would be registered are picked, and how many of them others would link to *about*."""
        left = set(self._registered[folder])
        number = given = 0
        for load in self._loads[folder]:
            for item in load.items():
                url = identity_url(item)
                if url_digest(url) not in left:
                    continue
                left.discard(url_digest(url))
                for one in picking.of([expected(item)]):
                    is_given = _is_among(one.url, self._given[about, folder])
                    given += is_given
                    number += not is_given
        return number, given

    async def _held(self, relation: Filling, lane: Lane) -> Container[str]:
        if lane.parent_hash.startswith(NEW):
            return ()
        return await relation.there(self._reads, lane.parent_hash)


def _is_among(url: str | None, given: Sequence[URLs]) -> bool:
    return url is not None and any(urls.has(url) for urls in given)


def _unmet(load: Portion, wanted: URLs, failed: Container[str], given: Sequence[URLs]) -> int:
    """How many of *wanted* are not there yet and would be, but for those *given* by others; may read from a disk."""
    unmet = (url for url in load.named() if not wanted.has_met(url)) if wanted.unmet else ()
    return len({url_digest(url) for url in unmet if url not in failed and not _is_among(url, given)})
