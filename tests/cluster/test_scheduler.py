"""What the head of a run makes of a scheduler whose connection breaks, and what it leaves behind in Dask's thread."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version
from typing import Any

import anyio
import pytest

from encord_async.cluster.scheduler import Scheduler
from encord_async.cluster.worker import Introduction, SessionOptions
from encord_async.errors import UsageError
from encord_async.session.settings import Settings
from tests.waiting import PATIENCE_S

OPTIONS = SessionOptions(settings=Settings())


class Losing:
    """In the place of Dask's client: the first *lost* of its futures are taken along by a connection that breaks."""

    asynchronous = False
    status = "running"

    def __init__(self, lost: int) -> None:
        self._lost = lost
        self.asked = itertools.count(1)

    def submit(self, function: Callable[..., Any], *args: Any, pure: bool) -> "Future[Introduction]":
        """A future that has ended."""
        future: Future[Introduction] = Future()
        if next(self.asked) <= self._lost:
            future.cancel()
        else:
            future.set_result(Introduction(account="me", version=version("encord-async")))
        return future


async def test_a_worker_is_asked_again_where_the_connection_broke() -> None:
    """Dask opens another one, and nothing was sent yet."""
    assert await Scheduler(Losing(2)).introduced(OPTIONS) == "me"


async def test_a_connection_that_always_breaks_is_told() -> None:
    """It is not asked for ever."""
    client = Losing(1000)
    with pytest.raises(UsageError, match="a worker cannot take part: CancelledError"):
        await Scheduler(client).introduced(OPTIONS)
    assert next(client.asked) == 4


def test_a_run_that_was_left_holds_up_no_other() -> None:
    """Dask tells of the shards of all runs on one thread: on a loop that stops just then nobody would take the word."""
    future: Future[None] = Future()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        Scheduler(Losing(0)).tell(future, anyio.Event())

    loop.run_until_complete(begin())
    telling = threading.Thread(target=future.set_result, args=(None,), daemon=True)
    telling.start()
    telling.join(PATIENCE_S)
    loop.close()
    assert not telling.is_alive()


async def test_the_end_of_a_shard_is_told_across_threads() -> None:
    """As soon as the event loop has a turn."""
    future: Future[None] = Future()
    ended = anyio.Event()
    Scheduler(Losing(0)).tell(future, ended)
    threading.Thread(target=future.set_result, args=(None,)).start()
    await ended.wait()
