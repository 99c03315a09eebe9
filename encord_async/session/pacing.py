"""Says when a request may leave: bounds how many are in flight. Never sends, retries or judges."""

import anyio

__all__ = ["Pacer"]


class Pacer:
    """The one place that every attempt of a session passes, first come first served."""

    def __init__(self, *, concurrency: int) -> None:
        self._slots = anyio.Semaphore(concurrency, max_value=concurrency, fast_acquire=True)
        self._concurrency = concurrency

    @property
    def in_flight(self) -> int:
        """Slots held now."""
        return self._concurrency - self._slots.value

    async def acquire(self) -> None:
        """Wait for a slot; a wait that is cancelled leaves no trace."""
        await self._slots.acquire()

    def release(self) -> None:
        """Give a slot back."""
        self._slots.release()
