"""Tasks in groups: the same for each of many things, a few at a time, and how a group ends. Never what the work is."""

import itertools
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from encord_async.errors import EncordError

__all__ = ["each", "leave"]

T = TypeVar("T")


async def each(things: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Await ``work(thing)`` for each of *things*, in their order, *at_once* at a time.

    Raises:
        EncordError: The first that *work* raised, as it is and in no group; what was under way is cancelled.
    """
    waiting = iter(things)
    failures: list[EncordError] = []

    async def labour(first: T) -> None:
        for thing in itertools.chain((first,), waiting):
            try:
                await work(thing)
            except EncordError as error:
                failures.append(error)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        # No more tasks than things: what nobody waits for should cost nothing.
        for thing in itertools.islice(waiting, at_once):
            group.start_soon(labour, thing)
    if failures:
        raise failures[0]


async def leave(
    group: TaskGroup, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
) -> bool | None:
    """End *group* as ``__aexit__`` does, but raise an error of the caller, or of one task, as it is and in no group."""
    try:
        if error is None or isinstance(error, anyio.get_cancelled_exc_class()):
            return await group.__aexit__(kind, error, traceback)
        # Given to the group, the caller's own error would come out inside an ExceptionGroup.
        await group.__aexit__(None, None, None)
        return None
    except BaseExceptionGroup as raised:
        # What the manifest's own iterator raised, for one.
        if len(raised.exceptions) > 1:
            raise
        raise raised.exceptions[0] from None
