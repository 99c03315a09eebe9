"""The scheduler of a cluster, as the head of a run deals with it. It decides nothing, and may be gone at any moment.

What is asked of it is waited for on threads, since Dask's client blocks.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import anyio
import anyio.to_thread

from encord_async.cluster.shares import QUIET_S
from encord_async.cluster.worker import Introduction, Report, SessionOptions, Signals, Task, introduce, provision_shard
from encord_async.engine.outcome import Summary
from encord_async.errors import EncordError, UncertainError, UsageError

__all__ = ["Scheduler"]

logger = logging.getLogger("encord_async")

_GONE: Final = "the scheduler is gone"
_ASKED: Final = 3
"""How often a worker is asked who it is, where the answer is lost with the connection."""
_AGAIN: Final = "what was under way may have happened, and running again finds out"


class Scheduler:
    """Where shards are submitted, and workers are told what concerns all of them.

    Args:
        client: Dask's, an ordinary one.

    Raises:
        UsageError: It is an asynchronous one.
    """

    def __init__(self, client: Any) -> None:
        if client.asynchronous:
            raise UsageError("the client of the cluster is an asynchronous one; give an ordinary distributed.Client")
        self._client = client
        self.signals: Signals
        """Of the run, once that has begun."""

    @property
    def is_gone(self) -> bool:
        """Whether it cannot be reached any more."""
        return bool(self._client.status != "running")

    async def introduced(self, options: SessionOptions) -> str:
        """The account that the workers' key stands for.

        Raises:
            UsageError: A worker cannot take part.
            EncordError: Its key cannot be used.
        """
        asked = 1
        while True:
            future = self._client.submit(introduce, options, pure=False)
            try:
                found = await self._first_answer(future)
                break
            except EncordError:
                raise
            except Exception as error:
                # The connection to the scheduler broke: Dask opens another, and nothing was sent yet.
                if isinstance(error, concurrent.futures.CancelledError) and asked < _ASKED:
                    asked += 1
                    continue
                # Whatever a worker cannot do with it, nothing was sent yet.
                raise UsageError(f"a worker cannot take part: {type(error).__name__}: {error}") from error
        if found.version != version("encord-async"):
            raise UsageError(f"a worker has encord-async {found.version}, and this is {version('encord-async')}")
        return found.account

    async def begin(self, run: int) -> None:
        """Leave there what the workers of *run* have in common."""
        self.signals = Signals(f"encord-async-{run:x}")
        await self._in_thread(partial(self.signals.throttled(self._client).set, ""))

    async def threads(self) -> Mapping[str, int]:
        """The workers, each with its number of threads.

        Raises:
            UncertainError: The scheduler is gone.
        """
        try:
            threads: Mapping[str, int] = await self._in_thread(self._client.nthreads)
        except OSError as error:
            raise UncertainError(f"{_GONE}: {error}; {_AGAIN}") from error
        return threads

    async def submit(self, task: Task, number: int) -> Any:
        """The future of the shard with this *number*."""
        key = f"{self.signals.run}-{number}"
        return await self._in_thread(partial(self._client.submit, provision_shard, task, key=key, pure=False))

    def tell(self, future: Any, ended: anyio.Event) -> None:
        """Have *ended* set once *future* has ended, or is lost."""
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _tell(loop, ended))

    async def reported(self, future: Any, number: int) -> Report:
        """What became of the shard with this *number*, whose *future* has ended, or else been lost."""
        why = _GONE
        with suppress(OSError):
            if future.status == "finished":
                report: Report = await self._in_thread(partial(_fetched, future))
                return report
            if future.status == "error":
                error = await self._in_thread(future.exception)
                why = f"shard {number} was lost on the cluster: {type(error).__name__}: {error}"
        return Report(outcomes=(), summary=Summary(uncounted=1), failure=UncertainError(f"{why}; {_AGAIN}"))

    async def tell_to_stop(self) -> None:
        """Let the workers start nothing new."""
        # Who does not hear of it has lost the run's lock, and sees that.
        with suppress(OSError):
            await self._in_thread(self.signals.stop(self._client).set)

    async def leave(self, futures: Sequence[Any]) -> None:
        """Leave nothing of the run there, if it can still be reached; those who work at *futures* are to stop."""
        if self.is_gone:
            return
        stop = self.signals.stop(self._client)
        with suppress(OSError):
            if futures:
                await self._in_thread(stop.set)
                await self._in_thread(partial(self._client.cancel, futures))
            else:
                await self._in_thread(stop.clear)
                await self._in_thread(self.signals.throttled(self._client).delete)

    async def _first_answer(self, future: Any) -> Introduction:
        answer: Introduction
        with anyio.move_on_after(QUIET_S):
            answer = await self._in_thread(future.result)
            return answer
        # A cluster that grows with its work may take minutes to have somebody.
        logger.warning("no worker of the cluster has answered yet; waiting for one")
        answer = await self._in_thread(future.result)
        return answer

    async def _in_thread(self, function: Any) -> Any:
        # The client waits for its scheduler, which may be gone.
        return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


def _tell(loop: asyncio.AbstractEventLoop, ended: anyio.Event) -> None:
    """Set *ended*, from a thread of Dask's, of which there is one for all futures of a process.

    It does not wait until that is done. On a loop that ends just now it never is, and no run would hear of a shard
    again.
    """
    # The loop is closed: nobody waits any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(ended.set)


def _fetched(future: Any) -> Any:
    """The result of a future that has ended, unless the scheduler has just taken it along."""
    try:
        return future.result()
    except (asyncio.CancelledError, concurrent.futures.CancelledError):
        # Let through, it would pass for a cancellation of our own task.
        raise ConnectionError(_GONE) from None
