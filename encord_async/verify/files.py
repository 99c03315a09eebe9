"""Compares files with what entries want of them: which are not registered, which are not linked. Sends only reads.

Each folder is listed for each entry of it, page by page; of what is wished for the digests are kept, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import anyio.to_thread

from encord_async.engine.crew import each
from encord_async.kinds.entry import Entry
from encord_async.kinds.files import Portion, URLs
from encord_async.kinds.filling import Filling
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.picked import Picked, Picking
from encord_async.kinds.reading import OnRefusal, Unlisted
from encord_async.kinds.stock import Stock
from encord_async.manifest.place import Place
from encord_async.session.session import Session
from encord_async.verify.difference import Difference, Fault

__all__ = ["FileWish", "compare_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWish:
    """Files that an entry wants in a thing; *source* is the folder that they lie in, where that is another thing.

    *load* says which: files by their URLs, or items that are there.
    """

    place: Place
    entry: Entry
    relation: Relation
    hash: str
    source: str | None
    load: Portion | Picked

    @property
    def label(self) -> str:
        """What people know them by, where they are about no folder."""
        return self.source or (self.load.blocks[0].label if isinstance(self.load, Portion) else "")


async def compare_files(
    session: Session,
    wishes: list[FileWish],
    *,
    note: Callable[[Difference], None],
    on_lacking: Callable[[FileWish], None],
) -> None:
    """Find what each of *wishes* lacks.

    Args:
        session: Reads.
        wishes: What is wanted.
        note: Is given each difference.
        on_lacking: Is given each wish of which something is missing.

    Raises:
        EncordError: The service cannot be read, for another reason than that it refuses to show something.
    """
    stock = Stock(session)

    async def look(wish: FileWish) -> None:
        unread = Difference(wish.place, Fault.UNREADABLE, wish.relation.thing, wish.label, wish.hash)
        with OnRefusal(lambda error: note(replace(unread, reason=error.message)), or_too_large=True):
            found = await _lacking(session, stock, wish)
            for url in found:
                note(Difference(wish.place, Fault.MISSING, wish.relation.thing, url, wish.hash))
            if found:
                on_lacking(wish)

    await each(wishes, look, at_once=session.settings.concurrency)


async def _lacking(session: Session, stock: Stock, wish: FileWish) -> list[str]:
    """The URLs that are not where they should be."""
    relation, load = wish.relation, wish.load
    if isinstance(load, Picked):
        return await _unpicked(session, wish, load)
    if not isinstance(relation, Filling) or wish.source is None:
        there = await stock.urls(wish.hash)
        return await anyio.to_thread.run_sync(lambda: [url for url in load.named() if not there.has(url)])
    rows = await _rows(session, relation, wish)
    wanted: URLs = await anyio.to_thread.run_sync(load.urls)
    async for page in session.pages(relation.listing(wish.source)):
        for found in map(relation.lying, page.results):
            if found.url is not None and found.uuid in rows:
                wanted.meet(found.url)
    return await anyio.to_thread.run_sync(lambda: [url for url in load.named() if not wanted.has_met(url)])


async def _unpicked(session: Session, wish: FileWish, picked: Picked) -> list[str]:
    """The items of a folder that are not linked, by what they are known by, and names that no item goes by."""
    relation, picking, found = wish.relation, Picking(picked), list[str]()
    if not isinstance(relation, Filling) or wish.source is None:
        raise AssertionError(f"a {relation.noun} is no filling")
    rows = await _rows(session, relation, wish)
    async for page in session.pages(relation.listing(wish.source)):
        found += [one.name for one in picking.of(map(relation.lying, page.results)) if one.uuid not in rows]
    return [*found, *sorted(picking.missing)]


async def _rows(session: Session, relation: Filling, wish: FileWish) -> Held:
    """What is in the thing."""
    held = await relation.held(session, wish.hash)
    return {} if isinstance(held, Unlisted) else held
