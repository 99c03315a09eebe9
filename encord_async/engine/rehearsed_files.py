"""What a rehearsal says of files: which of them would be registered, and how many items linked. Sends only reads."""

from collections import defaultdict
from collections.abc import Container
from typing import NamedTuple

import anyio.to_thread

from encord_async.engine.errands import nameless
from encord_async.engine.ticket import Lane, Ticket
from encord_async.kinds.files import Portion, URLs, expected, identity_url, url_digest
from encord_async.kinds.filling import Filling
from encord_async.kinds.membership import Relation
from encord_async.kinds.picked import Lying, Picked, Picking
from encord_async.kinds.reading import Reads, Unlisted
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
        self._given: defaultdict[str, list[URLs]] = defaultdict(list)
        """What entries of files would link to things."""
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
        before = self._registered[folder]
        urls = tuple(url for url in map(identity_url, items) if url_digest(url) not in before)
        if urls and load.integration is not None:
            await self._stock.integration(load.integration)
        before.update(map(url_digest, urls))
        if urls:
            self._loads[folder].append(load)
        return Load(len(urls), urls)

    async def links(self, relation: Filling, lane: Lane, ticket: Ticket, load: Portion) -> Load:
        """How many items would be linked, those that would only be registered among them."""
        (folder,) = ticket.items
        wanted = await anyio.to_thread.run_sync(load.urls)
        self._given[lane.parent_hash].append(wanted)
        there = await self._held(relation, lane)
        number = 0
        if not folder.startswith(NEW):
            async for page in self._reads.pages(relation.listing(folder)):
                found = map(relation.lying, page.results)
                number += sum(1 for one in found if one.url and wanted.meet(one.url) and one.uuid not in there)
        failed = sum(1 for unit in ticket.wish.units if not wanted.has_met(unit.url))
        return Load(number + wanted.unmet - failed)

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
                    is_there = one.uuid in there or self._is_given(lane.parent_hash, one)
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
                    is_given = self._is_given(about, one)
                    given += is_given
                    number += not is_given
        return number, given

    def _is_given(self, about: str, one: Lying) -> bool:
        return one.url is not None and any(urls.has(one.url) for urls in self._given.get(about, ()))

    async def _held(self, relation: Filling, lane: Lane) -> Container[str]:
        if lane.parent_hash.startswith(NEW):
            return ()
        held = await relation.held(self._reads, lane.parent_hash)
        return () if isinstance(held, Unlisted) else held
