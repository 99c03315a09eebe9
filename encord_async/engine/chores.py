"""Chores, seen to over a session: after all else that the run sends, since that may bring what they need.

What else is under way is known to who sends it, and told here. Nothing here writes anything down.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from encord_async.engine.ticket import Lane
from encord_async.kinds.chore import Chore
from encord_async.kinds.errand import Ending
from encord_async.kinds.reading import Reads
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["Chores"]

_FIRST_S: Final = 0.1
"""One is looked at again after this long, then after twice as long, and so on up to the next."""
_MOST_WAITED_S: Final = 15.0
_MOST_PUT_OFF_S: Final = 2.0
"""The same while all else comes first: no look costs a request then."""


@dataclass(frozen=True, slots=True)
class _Watch:
    """Since when a chore is waited for, how often it was looked at, and how much else had been sent by then."""

    since_s: float | None = None
    looks: int = 0
    sent: int = -1


class Chores:
    """What is seen to over *session*."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent = self._busy = 0
        self._started: set[bytes] = set()
        """Errands that the service is busy with."""
        self._watched: dict[tuple[Lane, str], _Watch] = {}

    @contextmanager
    def after(self, errand: bytes | None = None) -> Iterator[None]:
        """Let chores wait for what is sent meanwhile and, if it is for an *errand*, for its end: see `ended`."""
        self._sent += 1
        self._busy += 1
        if errand is not None:
            self._started.add(errand)
        try:
            yield
        except BaseException:
            self.ended(errand)
            raise
        finally:
            self._busy -= 1

    def ended(self, errand: bytes | None) -> None:
        """No longer wait for *errand*."""
        self._started.discard(errand or b"")

    async def see_to(self, reads: Reads, chore: Chore, lane: Lane, item: str, stop: Stop) -> float | Ending:
        """Look what is left, and send it; when to come again, on the monotonic clock, or how it ended.

        Raises:
            EncordError: It cannot be done.
        """
        about, now_s = (lane, item), self._session.clock.monotonic_s()
        watch = self._watched.pop(about, _Watch())
        if chore.waits and watch.since_s is None and (self._busy or self._started or watch.sent != self._sent):
            # How long all else takes is nothing to it.
            self._watched[about] = replace(watch, looks=watch.looks + 1, sent=self._sent)
            return now_s + _pause_s(watch.looks, _MOST_PUT_OFF_S)
        since_s, looks = (now_s, 0) if watch.since_s is None else (watch.since_s, watch.looks)
        todo = await chore.todo(reads, lane.parent_hash, item, waited_s=now_s - since_s)
        if todo.is_waiting:
            self._watched[about] = _Watch(since_s, looks + 1)
            return self._session.clock.monotonic_s() + _pause_s(looks, _MOST_WAITED_S)
        for operation in todo.operations:
            await self._session.execute(operation, stop=stop)
        return Ending(error=todo.error, sent=bool(todo.operations))


def _pause_s(looks: int, most_s: float) -> float:
    return min(_FIRST_S * 2.0 ** min(looks, 20), most_s)
