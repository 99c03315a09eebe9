"""Does the same for each of many things, a few at a time. Starts no task for a thing, and knows nothing of the work."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from encord_async.errors import EncordError

__all__ = ["each"]

T = TypeVar("T")


async def each(things: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Await ``work(thing)`` for each of *things*, in their order, *at_once* at a time.

    Raises:
        EncordError: The first that *work* raised, as it is and in no group; what was under way is cancelled.
    """
    waiting = iter(things)
    failures: list[EncordError] = []

    async def labour() -> None:
        for thing in waiting:
            try:
                await work(thing)
            except EncordError as error:
                failures.append(error)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(labour)
    if failures:
        raise failures[0]
