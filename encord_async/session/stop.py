"""A wish that nothing more may leave: it ends waits for a turn, and never touches what has left and may change things.

Who wishes and why is not known here. That a request is sent and that it is stopped cannot happen at once: all that a
stop can cut short is a wait before the sending, which is over when that begins, or a look, which changes nothing.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from encord_async.errors import StoppedError

__all__ = ["Stop"]

T = TypeVar("T")


class Stop:
    """Given to operations (`Session.execute`), it ends those that wait for their turn once it is asked to.

    Args:
        guard: Says before anything leaves whether it may.
    """

    def __init__(self, guard: Callable[[], Awaitable[bool]] | None = None) -> None:
        self._guard = guard
        self._asked = False
        self._waits: set[anyio.CancelScope] = set()

    @property
    def was_asked(self) -> bool:
        """Whether nothing may leave any more."""
        return self._asked

    def ask(self) -> None:
        """From now on nothing that was given this may leave."""
        self._asked = True
        for wait in tuple(self._waits):
            wait.cancel()

    def check(self) -> None:
        """Raise if it was asked.

        Raises:
            StoppedError: It was.
        """
        if self._asked:
            raise StoppedError("the run was stopped before this was sent")

    async def let_pass(self, *, is_waived: bool = False) -> None:
        """Return if something may leave now, in this turn of the event loop.

        Args:
            is_waived: Only the guard keeps it, and not that the stop was asked.

        Raises:
            StoppedError: It may not.
        """
        if self._guard is not None and not await self._guard():
            raise StoppedError("the journal was lost before this was sent")
        if not is_waived:
            self.check()

    async def cut(self, wait: Callable[[], Awaitable[T]]) -> T:
        """What *wait* gives, which sends nothing, or only what reads.

        Raises:
            StoppedError: It was asked before that.
        """
        self.check()
        with anyio.CancelScope() as scope:
            self._waits.add(scope)
            try:
                return await wait()
            finally:
                self._waits.discard(scope)
        self.check()
        raise AssertionError("nobody else knows this scope")
