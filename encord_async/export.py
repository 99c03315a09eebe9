"""Writes an account down as a manifest: what it is admin of, with all that is in it, and who is in its organisation.

Only reads are sent, and the API keys themselves, which the service shows, go nowhere. Each kind says how its things are
listed and what their entries are (`Exports`). Kept in memory are listings that have no pages, and the key of each
thing; what is read one by one is read some hundreds at a time. Files are read page by page.

What is exported is what the account is admin of, for nobody else could make it again. The order is that in which
things were made, so that what comes later changes nothing about the keys of its kind that were given before. A manifest
cannot say which workflow a project was made with, because the service does not show it, and what a project was copied
from does not matter any more.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from encord_async.engine.crew import each
from encord_async.errors import AuthenticationError, RefusedError
from encord_async.kinds.entry import Entry
from encord_async.kinds.exporting import Exports, Inside, KeyMaker, LeftOut, Pen, Scope
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Once, Unlisted
from encord_async.kinds.registry import exported, relations_of, summed
from encord_async.kinds.thing import Listed, Thing
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.manifest.selection import NO_SELECTION, NONE_LEFT, Included, NotChosen, Selection, sift
from encord_async.session.session import Session

__all__ = ["Exported", "KeyMaker", "LeftOut", "Scope", "export", "written"]

T = TypeVar("T")
FoundT = TypeVar("FoundT")

_CHUNK: Final = 256


@dataclass(slots=True)
class Exported:
    """The sums of an export.

    Attributes:
        entries: How many were written.
        numbers: What they hold, by the names of `export --json`.
        left_out: How many things no entry says.
        unlisted: Of how many things the service does not list what is in them: by what that is, and words for one such
            thing and for several.
        not_listed: What else it does not list, in words.
        unasked: What the scope leaves out of what the account may have: words for it, by the names of `Entry.contents`.
        cautions: What to know before the manifest is applied elsewhere.
        included: What those entries that are chosen need, and nobody has chosen.
        not_chosen: What is about those entries, and is not chosen with them.
    """

    entries: int = 0
    numbers: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    unlisted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    not_listed: list[str] = field(default_factory=list)
    unasked: dict[str, str] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)
    included: tuple[Included, ...] = ()
    not_chosen: NotChosen = NONE_LEFT

    def as_json(self) -> dict[str, object]:
        """Numbers by what they count; none of what the scope leaves out, of which nobody knows how much there is."""
        numbers = {name: self.numbers[name] for one, (name, _, _) in summed().items() if one not in self.unasked}
        return {"entries": self.entries, **numbers, "left_out": self.left_out}


_EVERYTHING: Final = Scope()


async def export(
    session: Session,
    on_entry: Callable[[Entry], None],
    *,
    scope: Scope = _EVERYTHING,
    selection: Selection = NO_SELECTION,
    on_left_out: Callable[[LeftOut], None] = lambda _: None,
) -> Exported:
    """Write down the account of *session*; only reads are sent.

    Args:
        session: Reads.
        on_entry: Is given each entry of the manifest, in its order; what an entry refers to comes before it.
        scope: How much.
        selection: Which of the entries, by the keys that they get. What others need is known at the end, so all of them
            are kept until then.
        on_left_out: Is told of each thing that is left out, and why.

    Raises:
        EncordError: The account cannot be read.
        UsageError: The selection cannot be made, see `Sieve.finish`.
    """
    sums, names = Exported(), {one: names[0] for one, names in summed().items()}
    kept = list[tuple[Exports, Entry]]()

    def note(kind: Exports, entry: Entry) -> None:
        sums.entries += 1
        if kind.caution and kind.caution not in sums.cautions:
            sums.cautions.append(kind.caution)
        sums.numbers.update({names[one]: number for one, number in entry.contents().items() if one in names})
        on_entry(entry)

    def leave_out(left: LeftOut) -> None:
        sums.left_out += 1
        on_left_out(left)

    work = _Export(
        session,
        Pen(scope=scope, on_left_out=leave_out),
        sums,
        (lambda kind, entry: kept.append((kind, entry))) if selection else note,
    )
    for kind in exported():
        await work.write(kind)
    if selection:
        sums.included, sums.not_chosen = _choose(kept, selection, note)
    sums.not_listed = work.pen.not_listed
    return sums


def _choose(
    kept: Sequence[tuple[Exports, Entry]], selection: Selection, note: Callable[[Exports, Entry], None]
) -> tuple[tuple[Included, ...], NotChosen]:
    """Hand those of *kept* to *note* that are chosen; which of them are only needed, and what is not chosen."""
    placed = [PlacedEntry(Place("the account", None, number), one) for number, (_, one) in enumerate(kept, 1)]
    choice = sift(placed, selection)
    for (kind, _), one in zip(kept, placed, strict=True):
        if choice.has(one):
            note(kind, one.entry)
    return choice.included, choice.not_chosen


def written(pen: Pen, kind: Exports, found: Listed, inside: Inside) -> Iterator[Entry]:
    """The entries of one thing: its own, and others for what that one has no room for. Pure."""
    own: Entry | None = None
    for entry in kind.entries(pen, found, inside):
        own = own or entry
        yield entry
    if own is None:
        return
    for relation, held in inside.held.items():
        if not isinstance(kind, Thing) or relation is not kind.items:
            yield from relation.entries(pen, found, f"@{own.key}", held)


@dataclass(frozen=True, slots=True)
class _Export:
    """Reads one kind of thing after the other, and hands out its entries."""

    session: Session
    pen: Pen
    sums: Exported
    on_entry: Callable[[Exports, Entry], None]

    async def write(self, kind: Exports) -> None:
        """Write down all of *kind* if it is in scope; what has to be looked into is looked into several at a time."""
        if not kind.is_in(self.pen.scope):
            if kind.unasked is not None and any(map(self.pen.has, kind.after)):
                self.sums.unasked[kind.word] = kind.unasked
            return
        relations = [relation for relation in relations_of(kind.word) if relation.is_written(self.pen)]
        chunk = list[Listed]()
        async for found in self._admin_of(kind):
            if not isinstance(kind, Thing) or not (kind.is_read_alone or kind.inner or relations):
                self._note(kind, found, Inside(item=found.item))
                continue
            chunk.append(found)
            if len(chunk) == _CHUNK:
                await self._read(kind, relations, chunk)
                chunk.clear()
        if isinstance(kind, Thing):
            await self._read(kind, relations, chunk)

    async def _admin_of(self, kind: Exports) -> AsyncIterator[Listed]:
        try:
            async for found in kind.exported(self.session, self.pen):
                if found.is_admin:
                    yield found
                else:
                    self.pen.leave_out(kind.noun, found.title, found.hash, "the account is not admin of it")
        except AuthenticationError:
            raise
        except RefusedError:
            if kind.unlisted is None:
                raise
            self.pen.not_listed.append(kind.unlisted)

    def _note(self, kind: Exports, found: Listed, inside: Inside) -> None:
        for entry in written(self.pen, kind, found, inside):
            self.on_entry(kind, entry)

    async def _read(self, kind: Thing, relations: Sequence[Relation], chunk: Sequence[Listed]) -> None:
        async def look_into(found: Listed) -> Inside | RefusedError:
            return await self._inside(kind, relations, found)

        for found, inside in zip(chunk, await _each(self.session, chunk, look_into), strict=True):
            if isinstance(inside, RefusedError):
                self.pen.leave_out(kind.noun, found.title, found.hash, inside.message)
            elif isinstance(kind, Exports):
                self._note(kind, found, inside)

    async def _inside(self, kind: Thing, relations: Sequence[Relation], found: Listed) -> Inside | RefusedError:
        once, held = Once(self.session), dict[Relation, Held]()
        try:
            item = await once.execute(kind.probe(found.hash)) if kind.is_read_alone else found.item
            inner = [] if kind.inner is None else [name for _, name in await kind.inner.inside(once, found.hash)]
            for relation in relations:
                there = await relation.held(once, found.hash)
                if not isinstance(there, Unlisted):
                    held[relation] = there
                    continue
                what = relation.written_as or relation.plural
                self.sums.unlisted[what, kind.noun, kind.plural] += 1
                self.pen.leave_out(f"{what} of {kind.a_noun}", found.title, found.hash, there.reason)
        except AuthenticationError:
            raise
        except RefusedError as error:
            return error
        return Inside(item=item, held=held, inner=inner)


async def _each(session: Session, things: Sequence[T], read: Callable[[T], Awaitable[FoundT]]) -> Sequence[FoundT]:
    """What *read* gives for each of *things*, several at a time; what comes back is in their order."""
    found: dict[int, FoundT] = {}

    async def note(numbered: tuple[int, T]) -> None:
        index, thing = numbered
        found[index] = await read(thing)

    await each(enumerate(things), note, at_once=session.settings.concurrency)
    return [found[index] for index in range(len(things))]
