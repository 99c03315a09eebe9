"""What will be in one commit of a journal, and who waits for it. It never writes anything itself."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio.lowlevel

from encord_async.journal.record import Record, Told

__all__ = ["Commit", "Intent"]

T = TypeVar("T")

_TOLD_AT_ONCE: Final = 8
"""So many writers are told in one turn of the event loop when their commit is done; all together would hold it up."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent as it was written: its end changes a few of its columns."""

    record: Record
    texts: list[str]
    """What the checksum is made of."""

    def is_ended_by(self, record: Record) -> bool:
        """Whether *record* says nothing else but how this ended."""
        ours = self.record
        return (
            record.details is ours.details
            and record.title == ours.title
            and record.parent_hash == ours.parent_hash
            and record.request == ours.request
            and record.name == ours.name
            and record.place == ours.place
            and record.started_s == ours.started_s
        )


class Commit:
    """Records that will share one commit, and who waits for it. The last word on a step wins."""

    __slots__ = ("_told", "ends", "retired", "whole")

    def __init__(self) -> None:
        self.retired: set[bytes] = set()
        self.whole: dict[bytes, Record] = {}
        self.ends: dict[bytes, tuple[Record, Intent]] = {}
        self._told: deque[tuple[Told[Any], object]] = deque()

    def __bool__(self) -> bool:
        return bool(self.whole or self.ends or self.retired or self._told)

    def add(self, record: Record, intent: Intent | None) -> None:
        """Take *record* in; *intent* is what stands written of its step, if it is one."""
        identity = record.identity
        if intent is not None and identity not in self.whole and intent.is_ended_by(record):
            self.ends[identity] = record, intent
        else:
            self.ends.pop(identity, None)
            self.whole[identity] = record

    def retire(self, identities: Iterable[bytes]) -> None:
        """Let go of the records of *identities*, written or not."""
        for identity in identities:
            self.retired.add(identity)
            self.ends.pop(identity, None)
            self.whole.pop(identity, None)

    def tell(self, told: Told[T], about: T) -> None:
        """Have one more writer told of its end."""
        self._told.append((told, about))

    async def end(self, failure: str | None) -> None:
        """Tell the writers, a few at a time, that it is done, or why it is not.

        Nothing is kept meanwhile of who was told. A commit's worth of what is over would be let go of at once else,
        after as much was begun anew: each time so much more is alive, Python's collector walks through all of it.
        """
        self.whole.clear()
        self.ends.clear()
        while self._told:
            for _ in range(min(len(self._told), _TOLD_AT_ONCE)):
                told, about = self._told.popleft()
                told(about, failure)
            del about
            await anyio.lowlevel.checkpoint()
