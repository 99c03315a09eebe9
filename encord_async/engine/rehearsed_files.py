"""What a rehearsal says of files: which of them would be registered, and how many items linked. Sends only reads."""

from collections import defaultdict
from collections.abc import Container
from typing import NamedTuple

import anyio.to_thread

from encord_async.engine.ticket import Lane, Ticket
from encord_async.kinds.files import Portion, URLs, identity_url, url_digest
from encord_async.kinds.filling import Filling
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.kinds.stock import Stock

__all__ = ["NEW", "Load", "Playing"]

NEW = "(new "
"""Begins the stand-ins for hashes of what would be made; no hash looks like it."""


class Load(NamedTuple):
    """How much would be done of what a step is about, and the URLs of that where they are told."""

    amount: int
    urls: tuple[str, ...] = ()


class Playing:
    """Works out what *reads* shows of files, and what would be registered before."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._stock = Stock(reads)
        self._registered: defaultdict[str, set[int]] = defaultdict(set)

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
        return Load(len(urls), urls)

    async def links(self, relation: Filling, lane: Lane, ticket: Ticket, load: Portion) -> Load:
        """How many items would be linked, those that would only be registered among them."""
        (folder,) = ticket.items
        wanted = await anyio.to_thread.run_sync(load.urls)
        there: Container[str] = ()
        if not lane.parent_hash.startswith(NEW):
            held = await relation.held(self._reads, lane.parent_hash)
            there = () if isinstance(held, Unlisted) else held
        number = 0
        if not folder.startswith(NEW):
            async for page in self._reads.pages(relation.listing(folder)):
                named = map(relation.names_of, page.results)
                number += sum(1 for found, url in named if url and wanted.meet(url) and found not in there)
        failed = sum(1 for unit in ticket.wish.units if not wanted.has_met(unit.url))
        return Load(number + wanted.unmet - failed)
