"""Signals: the first one asks work to come to an end, the second one ends it. Says so on standard error.

Ctrl-C is one, a wish of the system to end another, a terminal that is gone the third.

From when it begins to listen until the last word is said a signal is noted, and raises nothing: an exception out of
nowhere would cut off what ends the work, or its words. It knows nothing of what the work is.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio

__all__ = ["InterruptedUnsent", "Interrupts", "held_off", "interruptible", "listening", "nothing_sent", "run"]

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedUnsent(KeyboardInterrupt):
    """Ctrl-C, and nothing was sent but reads."""


@contextmanager
def nothing_sent() -> Iterator[None]:
    """What is interrupted in here has sent nothing but reads, and whoever hears of it is told so."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedUnsent from None


class Interrupts:
    """How often the work was asked to stop, and how it can be asked nicely."""

    def __init__(self) -> None:
        self.count = 0
        self._heeded = 0
        self._ask: Callable[[], None] | None = None
        self._wake: Callable[[], object] | None = None

    def on_first(self, ask: Callable[[], None]) -> None:
        """From now on the first signal calls *ask*; without this it ends the work at once."""
        self._ask = ask

    def note(self) -> None:
        """Note a signal. This is called between any two instructions: all else is left to the event loop."""
        self.count += 1
        if self._wake is not None:
            self._wake()

    @contextmanager
    def ending(self, scope: anyio.CancelScope) -> Iterator[None]:
        """While this lasts, signals are heeded: *scope* is what ends the work."""
        loop = asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(self._heed, scope)
        try:
            self._heed(scope)
            yield
        finally:
            self._wake = None

    def _heed(self, scope: anyio.CancelScope) -> None:
        while self._heeded < self.count:
            self._heeded += 1
            if self._heeded > 1 or self._ask is None:
                scope.cancel()
            else:
                self._ask()


@contextmanager
def held_off(told: str) -> Iterator[None]:
    """Let a signal wait for the end of the block, in which nothing is sent; *told* says so. The second does not wait.

    For what is left in pieces when an exception comes out of nowhere.

    Raises:
        InterruptedUnsent: There was one.
    """
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise InterruptedUnsent
        sys.stderr.write(f"{told}\n")
        sys.stderr.flush()

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        _give_back(before)
    if count:
        raise InterruptedUnsent


@contextmanager
def listening() -> Iterator[Interrupts]:
    """Note signals, from here to the end of the block."""
    interrupts = Interrupts()
    before = {number: signal.signal(number, lambda *_: interrupts.note()) for number in _SIGNALS}
    try:
        yield interrupts
    finally:
        _give_back(before)


def _give_back(before: Mapping[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        # None is one that something else than Python has set, and that Python cannot give back.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


async def interruptible(work: Callable[[Interrupts], Awaitable[T]], interrupts: Interrupts) -> T | None:
    """Run *work*; its result, or None if a signal ended it."""
    with anyio.CancelScope() as scope, interrupts.ending(scope):
        return await work(interrupts)
    return None


def run(work: Callable[[], Awaitable[T]], *, reads: bool = False) -> T:
    """Run *work*, which the first signal ends, in an event loop of its own.

    Args:
        work: What to do.
        reads: Whether it does nothing but read.

    Raises:
        KeyboardInterrupt: A signal ended it, and in good order: nothing of it is left. An `InterruptedUnsent` if it
            *reads*.
    """
    done: list[T] = []

    async def noted(_: Interrupts) -> None:
        done.append(await work())

    with listening() as interrupts:
        anyio.run(interruptible, noted, interrupts)
    if not done:
        raise InterruptedUnsent if reads else KeyboardInterrupt
    return done[0]
