"""What things have in them that no entry wants, and that is lost once it is taken: found, counted, held to that.

A run takes it last, and only if it is exactly as much as somebody has agreed to. Each piece is read by itself before; a
thing of which not all is known that entries want there is left alone, and it is said why.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio.to_thread

from encord_async.engine.options import Options
from encord_async.engine.rehearsal import is_new
from encord_async.engine.roll import Register
from encord_async.engine.sequel import More
from encord_async.errors import (
    AuthenticationError,
    ConflictError,
    RefusedError,
    UnreadableReplyError,
    UsageError,
    many,
    spelt,
)
from encord_async.journal.record import Ledger, Record, State
from encord_async.kinds.files import Portion, URLs, files_word
from encord_async.kinds.filling import Filling
from encord_async.kinds.loss import MOST_READ, Loss, Piece, Seat
from encord_async.kinds.membership import Membership
from encord_async.kinds.picked import Picked
from encord_async.kinds.registry import relations
from encord_async.kinds.step import digest
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.selection import NO_SELECTION, Selection
from encord_async.manifest.sources import Manifest
from encord_async.session.session import Session
from encord_async.verify.files import FileWish
from encord_async.verify.repair import Deed, repair_entry
from encord_async.verify.wishes import ThingWish, Wishes, gather

__all__ = ["NOWHERE", "Losses", "Taking"]

NOWHERE: Final = Place("<account>", None, 0)
_DIFFER: Final = "ROWS_DIFFER"
_NONE_REMOVED: Final = (
    "none is removed, and all else is done; make a new plan, which names the number and what is left alone"
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What entries want in one thing.

    Attributes:
        urls: The URLs of files, and the wish that they are of.
        picked: The folders in which some, or all, is meant.
        uuids: Single items.
        words: What a ledger has each of these wishes by, once it is carried out.
    """

    urls: Sequence[tuple[FileWish, URLs]]
    picked: Sequence[tuple[str, Picked]]
    uuids: Collection[str]
    words: Mapping[bytes, FileWish | None]

    def has(self, piece: Piece) -> bool:
        """Whether any of them wants *piece*; notes the URLs that were met."""
        url, folder = piece.lying.url, (piece.folder or "").lower()
        if url is not None:
            for _, urls in self.urls:
                urls.meet(url)
        # What says no URL could be any of the files.
        is_file = any(url is None or urls.has_met(url) for _, urls in self.urls)
        is_picked = any(source == folder and picked.may_take(piece.lying) for source, picked in self.picked)
        return is_file or is_picked or piece.lying.uuid.lower() in self.uuids


class Taking:
    """Finds what is taken once a manifest is provisioned; see `Sequel`.

    Attributes:
        warnings: What is left as it is, and why.
        retired: How many things something is taken from that the manifest no longer has.
        titles: What people call the things that something is taken from, and what is taken, by their hashes.
        rows: How much is taken that is lost with it.
        rows_digest: A name for what that is; None if nobody asks which.
    """

    retired = 0
    rows = 0
    rows_digest: str | None = None

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.warnings: list[Problem] = []
        self.titles: dict[str, str] = {}

    async def _wanted(self, ledger: Ledger, register: Register, selection: Selection = NO_SELECTION) -> Wishes:
        """What the manifest wants, which has to be what was provisioned."""
        wishes = await gather(self._manifest, ledger, selection)
        if not await anyio.to_thread.run_sync(register.is_as_it_was, wishes.entries):
            raise UsageError("the manifest was changed while it was provisioned: nothing is taken; run it again")
        return wishes

    def _warn(self, place: Place, what: str, why: str) -> None:
        self.warnings.append(Problem(place, "", what, why))


class Losses(Taking):
    """Finds what is lost once it is taken; nothing is retired.

    Args:
        manifest: What is wanted.
        options: How much was agreed to.
        named: Which that was, as `rows_digest` of who has named it; None if nobody knows.
        is_reviewed: Whether the run is held to a plan.
    """

    def __init__(self, manifest: Manifest, options: Options, *, named: str | None, is_reviewed: bool) -> None:
        super().__init__(manifest)
        self._agreed, self._named = options.prune_data, named
        self._counts_only = options.prune_data is True
        # A run that is held to a plan writes down no more than that; and only what the plan names is taken.
        self._is_foreseen = is_reviewed or self._counts_only
        self.rows_digest = _digest(())

    async def entries(self, session: Session, ledger: Ledger, register: Register) -> Sequence[More]:
        """See `Sequel`."""
        wishes = await self._wanted(ledger, register)
        if register.unsatisfied or wishes.absent:
            number = register.unsatisfied or len(wishes.absent)
            who = many(number, "entry has", "entries have")
            self._warn(NOWHERE, "no data is taken out of anything", f"{who} not come about; mend that first")
            return []
        found: list[More] = []
        keeps: dict[tuple[Loss, str], Collection[bytes]] = {}
        named: list[str] = []
        for relation in (one for one in relations() if isinstance(one, Loss)):
            _spare(relation, wishes)
            for wish in wishes.things.values():
                if wish.kind.word == relation.parent and wish.has_entry and not is_new(wish.hash):
                    items, words = await self._taken(session, ledger, relation, wish, wishes)
                    if items:
                        found.append(_more(relation, wish, items))
                        keeps[relation, wish.hash] = words
                        self.titles[wish.hash] = wish.title
                        named += (f"{wish.hash} {relation.folded(item)}" for item in items)
        self.rows, self.rows_digest = len(named), await anyio.to_thread.run_sync(_digest, named)
        self._check()
        if found and not self._counts_only:
            await _forget(ledger, keeps)
        return found

    def _check(self) -> None:
        if self._counts_only:
            return
        if self.rows != self._agreed:
            agreed = f"and {spelt('prune_data', self._agreed)} was agreed to"
            number = many(self.rows, "data row", "data rows")
            raise ConflictError(f"{number} would be removed now, {agreed}: {_NONE_REMOVED}", code=_DIFFER)
        if self._named not in {None, self.rows_digest}:
            others = "other data rows would be removed now than were named, though as many"
            raise ConflictError(f"{others}: {_NONE_REMOVED}", code=_DIFFER)

    async def _taken(
        self, session: Session, ledger: Ledger, relation: Loss, wish: ThingWish, wishes: Wishes
    ) -> tuple[Sequence[str], Collection[bytes]]:
        """What is taken out of one thing, and what a ledger has by now of what stays."""
        # An entry may have the hash of a thing in whatever case.
        files = [
            one for one in wishes.files if one.relation in relation.fills and one.hash.lower() == wish.hash.lower()
        ]
        wanted = await _wanted(relation, wish, files, wishes.addresses)
        if not wanted.words:
            return [], ()
        if wish.stays is not None:
            return self._left(wish, wish.stays)
        known = await ledger.known(list(wanted.words))
        done = {one for one, record in known.items() if record.state is State.DONE}
        if not self._is_foreseen and done != wanted.words.keys():
            return self._left(wish, "what entries want in it is not what this run has put there; run again")
        try:
            why = await relation.why_left(session, wish.hash)
            if why is not None:
                return self._left(wish, why)
            items = [seat.item async for seat in self._unwanted(session, relation, wish, wanted)]
        except AuthenticationError:
            raise
        except RefusedError as error:
            return self._left(wish, error.message)
        except UnreadableReplyError as error:
            if error.code != "REPLY_TOO_LARGE":
                raise
            return self._left(wish, error.message)
        except _UnknownError as error:
            return self._left(wish, str(error))
        certain = [urls for one, urls in wanted.urls if _word(one) in done]
        missing = sum(urls.unmet for urls in certain)
        if missing and items:
            files_are = many(
                missing, "of the files that entries want in it is", "of the files that entries want in it are"
            )
            return self._left(wish, f"{files_are} not there, and could be what seems too much; 'verify' names them")
        return items, wanted.words

    async def _unwanted(
        self, session: Session, relation: Loss, wish: ThingWish, wanted: _Wanted
    ) -> AsyncIterator[Seat]:
        unknown = 0
        async for seats in relation.seats(session, wish.hash):
            for start in range(0, len(seats), MOST_READ):
                some = seats[start : start + MOST_READ]
                uuids = list(dict.fromkeys(seat.shows for seat in some if seat.shows is not None))
                pieces = await relation.pieces(session, uuids) if uuids else {}
                for seat in some:
                    piece = None if seat.shows is None else pieces.get(seat.shows.lower())
                    if seat.shows is None:
                        unknown += 1
                    elif piece is None or piece.folder is None:
                        raise _UnknownError("the service does not say where all lies that is in it")
                    elif not wanted.has(piece):
                        yield seat
        if unknown:
            what = many(unknown, "data row shows no item of a folder", "data rows show no item of a folder")
            self._warn(wish.place, f"some of {wish.title} stays", what)

    def _left(self, wish: ThingWish, why: str) -> tuple[Sequence[str], Collection[bytes]]:
        self._warn(wish.place, f"no data is taken out of {wish.title}", why)
        return [], ()


class _UnknownError(Exception):
    """It cannot be told of everything in a thing what it is."""


async def _wanted(relation: Loss, wish: ThingWish, files: Sequence[FileWish], addresses: Mapping[str, str]) -> _Wanted:
    urls: list[tuple[FileWish, URLs]] = []
    picked: list[tuple[str, Picked]] = []
    for one in files:
        if isinstance(one.load, Portion):
            urls.append((one, await anyio.to_thread.run_sync(one.load.urls)))
        else:
            picked.append(((one.source or "").lower(), one.load))
    opened = wish.opened(addresses).wanted
    single = {
        (fill, item)
        for fill in relation.fills
        if not isinstance(fill, Filling) and fill in opened
        for item in opened[fill].wished
    }
    words: dict[bytes, FileWish | None] = {_word(one): one for one in files}
    words |= {fill.identity(wish.hash, item): None for fill, item in single}
    return _Wanted(urls, picked, {item.lower() for _, item in single}, words)


def _spare(relation: Loss, wishes: Wishes) -> None:
    """Note that nothing is taken out of what something has that is protected: it would lose what hangs on that."""
    why: dict[str, str] = {}
    for having in (wish for wish in wishes.things.values() if wish.stays is not None):
        for inside, wanted in having.opened(wishes.addresses).wanted.items():
            held = wanted.wished if inside.item == relation.parent else ()
            why |= {item.lower(): f"it is in {having.title}: {having.stays}" for item in held}
    for wish in wishes.things.values():
        if wish.kind.word == relation.parent:
            wish.stays = wish.stays or why.get(wish.hash.lower())


def _digest(named: Iterable[str]) -> str:
    """A name for what is taken, in whatever order."""
    digest = hashlib.blake2b(digest_size=16)
    for one in sorted(named):
        digest.update(f"{one}\n".encode())
    return digest.hexdigest()


def _word(wish: FileWish) -> bytes:
    """What a ledger has it by that these files are in the thing."""
    return wish.relation.identity(wish.hash, files_word([] if wish.source is None else [wish.source], wish.load.digest))


async def _forget(ledger: Ledger, keeps: Mapping[tuple[Loss, str], Collection[bytes]]) -> None:
    """Forget what was put into things out of which something is taken, but for what *keeps* has for them.

    An entry that wants it once more would else be told that it was done.
    """
    undone: list[Record] = []
    async for record in ledger.every():
        kind = record.kind
        if record.state is State.DONE and isinstance(kind, Membership) and not kind.takes:
            kept = [
                words
                for (relation, parent_hash), words in keeps.items()
                if kind.relation in relation.fills and (record.parent_hash or "").lower() == parent_hash.lower()
            ]
            if any(record.identity not in words for words in kept):
                undone.append(replace(record, state=State.FAILED, status="cancelled"))
    if undone:
        await ledger.write(undone)


def _more(relation: Loss, wish: ThingWish, items: Sequence[str]) -> More:
    deed = Deed(kind=relation.take, parent_hash=wish.hash, items=tuple((item, None) for item in items))
    entry = repair_entry(deed).model_copy(update={"kind": f"{relation.parent}_{relation.what}"})
    return More(PlacedEntry(wish.place, entry), digest(b"losses", wish.hash.encode()))
