"""Ctrl-C: the first one asks work to come to an end, the second one ends it. Says so on standard error.

Listens while the work runs, and no longer; knows nothing of what the work is.
"""

import signal
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
from anyio.abc import TaskStatus

__all__ = ["Interrupts", "interruptible"]

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """How often the work was asked to stop, and how it can be asked nicely."""

    def __init__(self) -> None:
        self.count = 0
        self._ask: Callable[[], None] | None = None

    def on_first(self, ask: Callable[[], None]) -> None:
        """From now on the first signal calls *ask*; without this it ends the work at once."""
        self._ask = ask

    def note(self) -> bool:
        """Note a signal; whether the work has to end at once."""
        self.count += 1
        if self.count > 1 or self._ask is None:
            return True
        self._ask()
        return False


async def interruptible(work: Callable[[Interrupts], Awaitable[T]]) -> tuple[T | None, Interrupts]:
    """Run *work*; its result, or None if a signal ended it, with what was received."""
    interrupts = Interrupts()
    result: T | None = None
    async with anyio.create_task_group() as group:
        await group.start(_listen, interrupts, group.cancel_scope)
        result = await work(interrupts)
        group.cancel_scope.cancel()
    return result, interrupts


async def _listen(
    interrupts: Interrupts, scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(*_SIGNALS) as signals:
        task_status.started()
        async for _ in signals:
            if interrupts.note():
                scope.cancel()
                return
