"""Where a worker without work waits. Knows nothing of what the work is."""

import asyncio

from encord_async.engine.ticket import Work
from encord_async.engine.verdict import Sending

__all__ = ["Seat"]


class Seat:
    """Where a worker without work waits until some is put in front of it, or it may go."""

    __slots__ = ("_handed", "work")

    def __init__(self) -> None:
        self._handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.work: Work | Sending | None = None

    def hand(self, work: Work | Sending | None) -> None:
        """Give it work, or let it go."""
        self.work = work
        if not self._handed.done():
            self._handed.set_result(None)

    async def wait(self) -> Work | Sending | None:
        """What it is handed."""
        await self._handed
        return self.work
