"""Where a worker without work waits. Knows nothing of what the work is."""

import anyio

from encord_async.engine.ticket import Work

__all__ = ["Seat"]


class Seat:
    """Where a worker without work waits until some is put in front of it, or it may go."""

    __slots__ = ("_event", "work")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.work: Work | None = None

    def hand(self, work: Work | None) -> None:
        """Give it work, or let it go."""
        self.work = work
        self._event.set()

    async def wait(self) -> Work | None:
        """What it is handed."""
        await self._event.wait()
        return self.work
