"""Sees to it that nothing leaves on the strength of a ledger that may be another's by now. It never reads or writes it.

An intent says that it was durable once, and not that nobody has looked for it since: whoever comes after a run that has
lost its lock does, and makes what is not there. A run loses it while it has no turn to notice: its machine sleeps, or
its container is paused, and meanwhile the database gives up its connection.
"""

from collections.abc import Callable
from typing import Final

import anyio

from encord_async.errors import EncordError, JournalError
from encord_async.journal.record import Ledger
from encord_async.session.clock import Clock

__all__ = ["Fence"]

_PROOF_S: Final = 5.0
"""So long a sign of life is good for: far less than it takes a database to give up a client of which it hears nothing,
and its lock to another (see `journal.postgres`). A connection that it closes is seen at once."""


class Fence:
    """Asks *ledger*, before something leaves, whether it still is this run's; *fail* is told if it is not."""

    def __init__(self, ledger: Ledger, clock: Clock, *, fail: Callable[[EncordError, str], None]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._fail = fail
        self._asking = anyio.Lock()
        self._asked_s = self._asked_wall_s = float("-inf")
        """When the last sign of life was asked for: on the monotonic clock, and on the wall's. One of them stands still
        while some machines sleep, and the other can be set."""

    async def holds(self) -> bool:
        """Whether there is a sign of life of late; else *fail* was told that there is none."""
        if self._is_proven():
            return True
        async with self._asking:
            # Another may have asked meanwhile.
            if self._is_proven():
                return True
            asked_s, asked_wall_s = self._clock.monotonic_s(), self._clock.wall_s()
            try:
                await self._ledger.is_alive()
            except JournalError as error:
                self._fail(error, "the journal is lost")
                return False
            self._asked_s, self._asked_wall_s = asked_s, asked_wall_s
            return True

    def _is_proven(self) -> bool:
        if self._ledger.is_cut_off:
            return False
        clock = self._clock
        return clock.monotonic_s() - self._asked_s < _PROOF_S and abs(clock.wall_s() - self._asked_wall_s) < _PROOF_S
