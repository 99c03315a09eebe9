"""Time that tests own: an event loop whose time jumps, and the session's clock by it, or one that passes by sleeping.

A run of minutes takes as long as its arithmetic. Whatever the loop measures jumps with it: time-outs, sleeps, delays.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio
import anyio.lowlevel

from encord_async.session.clock import SystemClock
from tests.waiting import PATIENCE_S

T = TypeVar("T")

WALL_S: Final = 1_700_000_000.0
"""A day of some year."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only, and at once, when there is nothing to do but wait."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds."""
        return self.now_s


class _Jumping(selectors.DefaultSelector):
    """Waits for what comes from outside, from a thread say, only if nothing is due by itself."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Skip the wait."""
        if timeout is None:
            found = super().select(PATIENCE_S)
            if not found:
                raise AssertionError("everything waits, and for nothing")
            return found
        self._loop.now_s += max(0.0, timeout)
        return super().select(0)


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* in virtual time."""

    async def wrapped() -> T:
        return await main()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(wrapped())


class LoopClock:
    """The session's clock, set to the running loop's time, which was 0 at `WALL_S`."""

    def monotonic_s(self) -> float:
        """Seconds of the loop."""
        return asyncio.get_running_loop().time()

    def wall_s(self) -> float:
        """The same, as a date."""
        return WALL_S + self.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        """Let the loop's time pass."""
        await anyio.sleep(seconds)


@dataclass
class SkippingClock:
    """Time that passes only by sleeping, and at once; notes each wait."""

    now_s: float = WALL_S
    waits: list[float] = field(default_factory=list)

    def monotonic_s(self) -> float:
        """So late it is."""
        return self.now_s

    def wall_s(self) -> float:
        """The same."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Pass at once, and let others run."""
        self.waits.append(seconds)
        self.now_s += seconds
        await anyio.lowlevel.checkpoint()


class InstantClock(SystemClock):
    """The machine's clock, with waits that are over at once."""

    async def sleep(self, seconds: float) -> None:
        """Let others run, no more."""
        await anyio.lowlevel.checkpoint()
