"""Chores, seen to over a session: looked at again and again until what they need is there.

Nothing here writes anything down.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Watch:
    """Since when a chore is waited for, and how often it was looked at."""

    since_s: float
    looks: int = 0


class Chores:
    """What is seen to over *session*."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watched: dict[tuple[Lane, str], _Watch] = {}

    async def see_to(self, reads: Reads, chore: Chore, lane: Lane, item: str, stop: Stop) -> float | Ending:
        """Look what is left, and send it; when to come again, on the monotonic clock, or how it ended.

        Raises:
            EncordError: It cannot be done.
        """
        about, now_s = (lane, item), self._session.clock.monotonic_s()
        watch = self._watched.pop(about, _Watch(now_s))
        todo = await chore.todo(reads, lane.parent_hash, item, waited_s=now_s - watch.since_s)
        if todo.is_waiting:
            self._watched[about] = _Watch(watch.since_s, watch.looks + 1)
            return self._session.clock.monotonic_s() + min(_FIRST_S * 2.0 ** min(watch.looks, 20), _MOST_WAITED_S)
        for operation in todo.operations:
            await self._session.execute(operation, stop=stop)
        return Ending(error=todo.error, sent=bool(todo.operations))
