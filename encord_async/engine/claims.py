"""Who may take what: what entries that have gone left behind, and what is there of a name and is nobody's.

It reads the ledger and the account, and chooses. It changes nothing, and sends nothing but reads.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from encord_async.engine.account import Account, Existing
from encord_async.engine.making import Maker, Making
from encord_async.engine.roll import Roll
from encord_async.engine.ticket import Ticket
from encord_async.errors import ConflictError, spelt
from encord_async.journal.record import Ledger, Record
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.reading import Reads
from encord_async.kinds.thing import Creates, Found, InnerName, InnerThing, Thing

__all__ = ["Claims", "baseline"]


@dataclass(slots=True, kw_only=True)
class Claims:
    """Says of what is there whose it is.

    Attributes:
        account: Knows what was there when the run began to ask.
        ledger: Knows what belongs to whom.
        maker: Says which marks are whose.
        existing: What to do about what is there already.
        roll: The entries that the manifest holds, as far as it is known.
        domain: The service.
        heirs: Which steps have taken over, or are taking over, what others may: by its `Record.token`.
    """

    account: Account
    ledger: Ledger
    maker: Maker
    existing: Existing
    roll: Roll
    domain: str
    heirs: dict[bytes, bytes] = field(default_factory=dict)

    def may_take(self, record: Record, step: bytes) -> bool:
        """Whether *record* is the step's, or nobody's."""
        return self.heirs.get(record.token, step) == step

    async def left_behind(self, making: Making) -> list[Record]:
        """What nobody has any more of that name."""
        left = await self.ledger.left_behind(making.name)
        return [other for other in left if other.token not in self.heirs]

    async def to_take_over(self, ticket: Ticket, making: Making, reads: Reads) -> Record | None:
        """What an entry that has gone made, or may have made, if it is what is wished for.

        However the entry was edited, it would be the same thing made twice.
        """
        fitting = [one for one in await self.left_behind(making) if making.kind.made_alike(one.details, making.details)]
        inner = await _inner_of(making.kind, fitting, reads) if len(fitting) > 1 else {}
        # Others may have taken some meanwhile.
        fitting = [other for other in fitting if other.token not in self.heirs]
        if not fitting:
            return None
        return min(fitting, key=partial(_unlikeness, ticket, making, inner, self.roll))

    async def namesakes(self, ticket: Ticket, making: Making, reads: Reads) -> Sequence[Found]:
        """All that is there and has the name."""
        if isinstance(making.kind, InnerThing):
            wanted = making.kind.goes_by(ticket.step)
            there = await making.kind.inside(reads, ticket.parent_hash or "")
            return [Found(name, is_admin=True) for name, goes_by in there if goes_by == wanted]
        entry = ticket.wish.entry
        if not (isinstance(making.kind, Thing) and isinstance(entry, MakingEntry)):
            raise AssertionError(f"no listing shows what {making.kind.word} steps make")
        alike = await self.account.namesakes(making.kind, making.order.title, entry.description)
        return [found for found in alike if making.kind.is_beside(making.order, found)]

    async def free(self, ticket: Ticket, making: Making, there: Sequence[Found], reads: Reads) -> Sequence[Found]:
        """Those of *there* that no other entry has made, may have made or adopted, and that are as wished.

        Raises:
            ConflictError: Nothing that could be meant is as wished.
            EncordError: Something cannot be read.
        """
        free = await self._nobodys(ticket, making, there)
        if not isinstance(making.kind, Thing):
            return free
        if self.maker.mark(ticket) is not None:
            free = self._of_mark(ticket, making, free)
        entry = ticket.wish.entry
        if self.existing is Existing.ADOPT and isinstance(entry, MakingEntry):
            return await making.kind.suited(reads, entry, free)
        return free

    async def _nobodys(self, ticket: Ticket, making: Making, there: Sequence[Found]) -> list[Found]:
        if not there:
            return []
        left = {other.identity for other in await self.left_behind(making)}
        namesakes = [other for other in await self.ledger.namesakes(making.name) if other.identity not in left]
        known = {other.hash for other in namesakes}
        free = [found for found in self.account.unclaimed(there) if found.hash not in known]
        for other in namesakes:
            if other.is_open and other.identity != ticket.step.identity:
                # What was not there before the other was sent may be what it has made.
                before = baseline(other)
                free = [found for found in free if found.hash in before]
        return free

    def _of_mark(self, ticket: Ticket, making: Making, free: Sequence[Found]) -> list[Found]:
        """Those of *free* that show the mark of the entry; if none does, those without a mark.

        Raises:
            ConflictError: All that could be meant shows marks of entries that nobody knows.
        """
        ours = [found for found in free if self.maker.is_ours(ticket, found.mark)]
        if ours:
            exactly = [found for found in ours if found.mark == self.maker.mark(ticket)]
            return exactly or ours
        plain = [found for found in free if found.mark is None]
        strange = [
            one.hash for one in free if one.is_admin and one.mark and not self.roll.has_mark(one.mark, self.domain)
        ]
        if strange and not plain and self.existing is Existing.ADOPT:
            raise ConflictError(
                f"{making.order.title!r} is there with the stamp of another entry: {', '.join(strange[:10])}; if it is "
                "the one that is meant, give the entry the key again that it had then, or leave it out and refer to "
                f"that hash; use {spelt('existing', 'create')} to make another",
                code="OTHER_STAMP",
            )
        return plain


async def _inner_of(kind: Creates, things: Iterable[Record], reads: Reads) -> Mapping[str, Collection[InnerName]]:
    """What is inside each of these things, as far as they are known to be there."""
    found: dict[str, Collection[InnerName]] = {}
    if isinstance(kind, Thing) and kind.inner is not None:
        for thing in things:
            if thing.hash is not None:
                found[thing.hash] = {name for _, name in await kind.inner.inside(reads, thing.hash)}
    return found


def _unlikeness(
    ticket: Ticket, making: Making, inner: Mapping[str, Collection[InnerName]], roll: Roll, other: Record
) -> tuple[object, ...]:
    """How little what *other*, which has gone, made is like what *ticket* wishes for; the least is taken over.

    What is inside comes first, for it cannot be unmade: what the entry does not wish for would be nobody's. Of inner
    things those come last that their steps may be about again.
    """
    steps = ticket.wish.entry.steps(ticket.wish.identity)
    wished = {step.kind.goes_by(step) for step in steps if isinstance(step.kind, InnerThing)}
    there = set(inner.get(other.hash or "", ()))
    differs = other.details.get("references") != making.details.get("references")
    return other.is_open, other.identity in roll, len(there - wished), -len(there & wished), differs


def baseline(record: Record) -> list[str]:
    """What had the name before *record* was sent."""
    before = record.details.get("baseline")
    return before if isinstance(before, list) else []
