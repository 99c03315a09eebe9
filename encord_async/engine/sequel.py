"""What a run does once its manifest is at its end. It sends nothing itself.

What is done then is worked out above, by whoever compares an account with a manifest; the run carries it out as it does
all else, so that a rehearsal says it, the journal has it, and a stop or a death in between costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from encord_async.engine.roll import Register
from encord_async.engine.schedule import Schedule
from encord_async.journal.record import Ledger
from encord_async.manifest.place import PlacedEntry, Problem
from encord_async.session.session import Session

__all__ = ["More", "Sequel", "add_more"]


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
