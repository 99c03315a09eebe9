"""What a run does once its manifest is at its end, and what the manifest no longer has. It sends nothing itself.

What is done then is worked out above, by whoever compares an account with a manifest; the run carries it out as it does
all else, so that a rehearsal says it, the journal has it, and a stop or a death in between costs nothing.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from encord_async.engine.roll import Register, Roll
from encord_async.engine.schedule import Schedule
from encord_async.journal.record import Ledger, Record, State
from encord_async.kinds.thing import Thing
from encord_async.manifest.place import PlacedEntry, Problem
from encord_async.session.session import Session

__all__ = ["More", "Sequel", "add_more", "gone"]

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class More:
    """An entry that no manifest has, and its identity, the same in every run."""

    placed: PlacedEntry
    identity: bytes


class Sequel(Protocol):
    """What is done after a manifest."""

    @property
    def warnings(self) -> Sequence[Problem]:
        """What is not done of it, and why."""
        ...

    async def entries(self, session: Session, ledger: Ledger, register: Register) -> Sequence[More]:
        """What is left to do, now that all entries, which are on the roll of *register*, have ended.

        Raises:
            EncordError: It cannot be found out.
        """
        ...


def add_more(schedule: Schedule, one: More, number: int) -> None:
    """Take *one* in as the entry with *number*."""
    entry, identity = one.placed.entry, one.identity
    schedule.add(entry, entry.steps(identity), number=number, place=str(one.placed.place), identity=identity)


async def gone(ledger: Ledger, roll: Roll) -> AsyncIterator[Record]:
    """The things that *ledger* knows as made, and that no entry on *roll* has."""
    if not ledger.has_made:
        # The roll was not called: all that is written down is of this run.
        return
    after, last = 0, -1
    while after != last:
        last = after
        records, after = await ledger.records(most=_PAGE, after=after)
        for record in records:
            if _is_made(record) and record.holder not in roll and not await _is_anothers(record, ledger, roll):
                yield record


async def _is_anothers(record: Record, ledger: Ledger, roll: Roll) -> bool:
    return any(_is_made(other) and other.holder in roll for other in await ledger.holders(record.hash or ""))


def _is_made(record: Record) -> bool:
    return isinstance(record.kind, Thing) and record.state is State.DONE and record.hash is not None
