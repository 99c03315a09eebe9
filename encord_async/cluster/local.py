"""Opens clusters: one on this machine alone, which never listens but on loopback, or one that is there already."""

import asyncio
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, Final

import dask
from distributed import Client, LocalCluster, Nanny, SpecCluster, Status
from tornado.ioloop import PeriodicCallback

from encord_async.errors import UsageError
from encord_async.redaction import quoted
from encord_async.secrecy import Secret

__all__ = ["connected", "local_cluster"]

_ADDRESS: Final = re.compile(r"(?:[a-z]+://)?[^\s:/]+:[0-9]{1,5}|[a-z]+://\S+")
_CONNECT_S: Final = 10
_ALLOWED_FAILURES: Final = 10
"""A shard that was on so many workers that died is given up; each try of it goes on where the last was."""
_UNWATCHED: Final = {"distributed": {"worker": {"profile": {"enabled": False}}}}
"""Configuration of workers that do not look at their own stacks a hundred times a second.

Python 3.11 may lock itself up in that look for ever (github.com/python/cpython/issues/106883), and the head would wait.
"""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at *address*, closed with the block.

    Raises:
        UsageError: Nobody answers there.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{quoted(address)} is no address of a scheduler; give for example tcp://scheduler:8786, or local:4"
        )
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]  # Dask has no types here
    except OSError as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        yield client


class _Keeper(Nanny):
    """Starts its worker again, too, when that has ended because its connection to the scheduler broke.

    Dask takes such a worker for one that was sent home. Here scheduler and nanny are one process, and with Python
    3.13.5 and OpenSSL 3.5 a connection breaks in one start of five all the same: the end of another TLS connection is
    reported on it.

    A worker's process does not log how it ends: where its nanny's word to stop is late, Dask closes the queue that a
    thread of it is reading, and calls that an unexpected death, with a traceback. The nanny tells of real ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config = dask.config.merge(self.config, _UNWATCHED)
        # It has set its own level by now: this is the one that it hands to the process.
        self.silence_logs = logging.CRITICAL

    def close_gracefully(self, reason: str = "nanny-close-gracefully") -> None:
        if reason != "worker-handle-scheduler-connection-broken":
            super().close_gracefully(reason)


class _KeptCluster(LocalCluster):
    """Has the workers that it was asked for, whatever became of one: Dask's own may go on with fewer, or with none."""

    async def _start(self) -> None:
        # Ctrl-C, which a terminal sends to all, is for the head alone: it lets the workers end what is under way. Their
        # processes take this over from the thread that starts them, the first ones and those of workers that died.
        # What multiprocessing starts beside them once would end it in this thread.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.periodic_callbacks["replace"] = PeriodicCallback(self._replace, 1000)
        await super()._start()  # type: ignore[no-untyped-call]  # Dask has no types here

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not what SpecCluster adds: to give up, for good, a worker that is not back after 15 seconds. On a busy machine
        # that is one whose process is still starting.
        super(SpecCluster, self)._update_worker_status(op, msg)  # type: ignore[no-untyped-call]  # as above

    async def _replace(self) -> None:
        """Open new ones in the place of those that ended: a nanny does so when its worker fails to start again."""
        ended = [name for name, nanny in self.workers.items() if nanny.status in {Status.closed, Status.failed}]
        if not ended or self.status != Status.running:
            return
        for name in ended:
            del self.workers[name]
        # What fails is logged by the nanny, and tried again the next time.
        await asyncio.gather(self._correct_state(), return_exceptions=True)  # type: ignore[no-untyped-call]  # as above


@contextmanager
def local_cluster(workers: int, *, env: dict[str, str] | None = None) -> Iterator[Client]:
    """So many worker processes with one thread each, ended with the block; *env* is added to their environment.

    Raises:
        UsageError: One of the processes did not start, or was ended as it started.
    """
    # The password of a database may be in it.
    surroundings = Secret(env or {})
    del env
    try:
        cluster = _KeptCluster(  # type: ignore[no-untyped-call]  # Dask has no types here
            n_workers=workers,
            threads_per_worker=1,
            worker_class=_Keeper,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # With keys of its own: whoever reaches a scheduler can run anything as its user, and others may be here.
            security=True,
            env=surroundings.reveal(),
            scheduler_kwargs={"allowed_failures": _ALLOWED_FAILURES},
        )
    except (RuntimeError, OSError) as error:
        # Dask has closed what of it had started.
        why = error.__cause__ or error
        raise UsageError(f"the workers of --dask local:{workers} did not start: {why}; run the same again") from None
    with cluster, Client(cluster, set_as_default=False) as client:  # type: ignore[no-untyped-call]  # as above
        yield client
