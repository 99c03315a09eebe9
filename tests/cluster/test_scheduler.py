"""What the head of a run makes of a scheduler whose connection breaks, before anything was sent."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version
from typing import Any

import pytest

from encord_async.cluster.scheduler import Scheduler
from encord_async.cluster.worker import Introduction, SessionOptions
from encord_async.errors import UsageError
from encord_async.session.settings import Settings

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
