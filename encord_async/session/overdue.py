"""Time-outs of many waits with one timer for all of them. It knows nothing of what is awaited."""

import asyncio
import math
from types import TracebackType
from typing import cast

__all__ = ["Bound", "Overdue"]


class Overdue:
    """Ends what takes longer than it may, with one timer for all: one for each request is 6 % of a request's cost."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: set[Bound] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = math.inf

    def bound(self, timeout_s: float | None) -> "Bound":
        """For ``with``: what is awaited within ends with `TimeoutError` after *timeout_s*; None is no bound."""
        return Bound(self, math.inf if timeout_s is None else self._loop.time() + timeout_s)

    def close(self) -> None:
        """Let go of the timer. Nothing is ended any more."""
        self._under_way.clear()
        self._set_timer(math.inf)

    def add(self, bound: "Bound") -> None:
        """Watch over *bound*."""
        self._under_way.add(bound)
        if bound.due_s < self._rings_s:
            self._set_timer(bound.due_s)

    def discard(self, bound: "Bound") -> None:
        """*bound* is over. The timer stays as it is: in the usual case it would only be set to the next in line."""
        self._under_way.discard(bound)

    def _set_timer(self, rings_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = rings_s
        self._timer = None if rings_s == math.inf else self._loop.call_at(rings_s, self._ring)

    def _ring(self) -> None:
        now_s = self._loop.time()
        for bound in [bound for bound in self._under_way if bound.due_s <= now_s]:
            self._under_way.discard(bound)
            bound.expire()
        self._set_timer(min((bound.due_s for bound in self._under_way), default=math.inf))


class Bound:
    """One wait under `Overdue`. A cancellation that comes from outside stays one, as with `asyncio.timeout`."""

    __slots__ = ("_cancelling", "_expired", "_overdue", "_task", "due_s")

    def __init__(self, overdue: Overdue, due_s: float) -> None:
        self.due_s = due_s
        self._overdue = overdue
        self._expired = False

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._cancelling = self._task.cancelling()
        self._overdue.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._overdue.discard(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """The time is over."""
        self._expired = True
        self._task.cancel()
