"""The session's clock: every wait and every reading of time goes through it, so that tests can own time.

Never used for anything random, and never read inside ``protocol/``.
"""

import time
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where time comes from."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that only goes forward; for durations and deadlines."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970; for dates that the service sends and for the journal."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""
        ...


class SystemClock:
    """The machine's clocks and the event loop's timer."""

    # They are read eight times for each request, and a call in between takes as long as the clock.
    monotonic_s = staticmethod(time.monotonic)
    wall_s = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await anyio.sleep(seconds)
