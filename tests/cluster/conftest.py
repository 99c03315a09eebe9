"""What the tests of the cluster share: workers that are processes, an emulator that is one, and PostgreSQL."""

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeAlias, cast

import anyio
import anyio.to_thread
import dask
import pytest
from distributed import Client
from distributed.utils import get_mp_context

from encord_async.cluster import ClusterRun, Options, SessionOptions, local_cluster, provision
from encord_async.engine.outcome import Outcome
from encord_async.errors import EncordError
from encord_async.session.settings import RetryPolicy, Settings
from tests.crash.conftest import EmulatorProcess
from tests.postgres import PASSWORD, PostgresServer
from tests.thorough import is_thorough
from tests.waiting import PATIENCE_S, until

Entry: TypeAlias = dict[str, Any]

WORKERS = 4
AT_WORK = 40
"""Requests after which a job is well under way, and far from its end."""
UNHURRIED_PER_S = 40.0
"""Requests in a second, for a job that must not be over before something is done to it."""
_MENDING_S = 100
"""How long a cluster may take to recover from a test; a new one is there sooner."""
_ANSWER_S = 20
"""How long a scheduler may take to say where its workers are."""
_MOST_KEPT = 20
"""Connections to a scheduler that Dask may keep for the next question: one that broke is no answer, nor are several."""
_JOBS = itertools.count()
WORKS_WITH = ("distributed", "encord_async.cluster.worker", "encord_async.journal.postgres")
"""What a worker has imported once it is at work, which is most of what its start costs."""


class Clusters:
    """One cluster for many tests, each of which finds it whole; a new one where a test left it past mending."""

    def __init__(self) -> None:
        self._opened = contextlib.ExitStack()
        self._client: Client | None = None

    def whole(self) -> Client:
        """A client of a cluster whose workers are all there and have nothing to do, whatever was done to it before."""
        if self._client is not None:
            try:
                until_whole(self._client, patience_s=_MENDING_S)
                _all_answer(self._client)
            except (OSError, RuntimeError):
                self.close()
        if self._client is None:
            self._opened.enter_context(_quickly_started())
            # The workers' environment has the password of the database.
            self._client = self._opened.enter_context(local_cluster(WORKERS, env={"PGPASSWORD": PASSWORD}))
            until_whole(self._client)
        return self._client

    def close(self) -> None:
        """End it, as far as it can be ended."""
        self._client = None
        with contextlib.suppress(OSError, RuntimeError):
            self._opened.close()


@contextlib.contextmanager
def _quickly_started() -> Iterator[None]:
    """Fork workers out of a process that has imported what they need, as `tests/warm.py` does with programs.

    Those of the command line are started as anybody's, in `test_dask_option.py`. There is one to fork from, which the
    soak uses too: it starts here, since Dask's thread would hand its blocked Ctrl-C to all of them.
    """
    if sys.platform != "linux" or is_thorough():
        yield
        return
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        # Dask's own list of what is imported there is set once, by whoever asks first.
        get_mp_context()  # type: ignore[no-untyped-call]  # Dask has no types here
        multiprocessing.set_forkserver_preload(list(WORKS_WITH))
        forkserver.ensure_running()
        yield


def _all_answer(client: Client) -> None:
    """Return once each worker has done something: one may still be at what the scheduler has forgotten.

    Raises:
        TimeoutError: One does not, for longer than a shard takes to end that has lost its run.
    """
    asked = {address: client.submit(os.getpid, workers=[address], pure=False) for address in workers_of(client)}

    def is_over() -> bool:
        # One whose connection breaks meanwhile comes back with another address: of the old one an answer never comes.
        there = workers_of(client)
        return all(one.status == "finished" or address not in there for address, one in asked.items())

    until(is_over, "each worker has answered", patience_s=_MENDING_S)
    until_whole(client, patience_s=_MENDING_S)


def workers_of(client: Client) -> list[str]:
    """The addresses of the workers that are there."""
    # Not `scheduler_info`, which may return what the client asks for now and then by itself, without any workers.
    broken: OSError | None = None
    for _ in range(_MOST_KEPT):
        try:
            found: list[str] = client.run_on_scheduler(_addresses)  # type: ignore[no-untyped-call]  # Dask has no types here
        except OSError as error:
            broken = error
        else:
            return found
    raise OSError("no connection to the scheduler lasts for one question") from broken


def _addresses(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.workers)


def until_whole(client: Client, *, without: str = "", patience_s: float = PATIENCE_S) -> None:
    """Return once all workers are there and idle, and the one at the address *without* is not among them."""

    def is_whole() -> bool:
        try:
            there = workers_of(client)
            busy = any(client.processing().values())  # type: ignore[no-untyped-call]  # Dask has no types here
        except OSError:
            return False
        return len(there) == WORKERS and without not in there and not busy

    until(is_whole, f"{WORKERS} idle workers", patience_s=patience_s)


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """Started when the first test wants it."""
    found = Clusters()
    yield found
    found.close()


@pytest.fixture
def client(clusters: Clusters) -> Client:
    """The cluster with all its workers: those that the test before killed have been started again."""
    return clusters.whole()


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """A journal that is not there yet, in a server that answers even if the test before failed while it had ended."""
    postgres.start()
    job = f"cluster-{next(_JOBS)}"
    yield postgres.url(job)
    postgres.drop(job)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatorProcess]:
    """An Encord that takes some time for each request, as the real one."""
    with EmulatorProcess(tmp_path, "--latency", "0.01-0.03") as found:
        yield found


@dataclass
class Lived:
    """What came of a run."""

    outcomes: list[Outcome] = field(default_factory=list)
    summary: Mapping[str, object] = field(default_factory=dict)
    failure: EncordError | None = None

    @property
    def unsatisfied(self) -> list[str]:
        """Entries that are not as wished, for a message."""
        return [f"{one.place} {one.status}: {one.error}" for one in self.outcomes if not one.status.satisfied]


@dataclass(frozen=True)
class Job:
    """A manifest, and everything that is needed to run it."""

    client: Client
    emulator: EmulatorProcess
    journal: str
    manifest: Sequence[Entry]
    concurrency: int = 16
    max_rate_per_s: float | None = None
    options: Options = field(default_factory=lambda: Options(settle_s=1.0))

    @property
    def settings(self) -> Settings:
        """For whoever provisions it."""
        retry = RetryPolicy(max_attempts=3, backoff_base_s=0.01, backoff_max_s=0.1, outage_s=5)
        return Settings(
            domain=self.emulator.url, concurrency=self.concurrency, max_rate_per_s=self.max_rate_per_s, retry=retry
        )

    def start(self, entries: Iterable[Entry] | Path | None = None) -> ClusterRun:
        """A run that has not begun, of *entries* or the manifest."""
        return provision(
            list(self.manifest) if entries is None else entries,
            client=self.client,
            journal=self.journal,
            session_options=SessionOptions(settings=self.settings, ssh_key_file=str(self.emulator.key_file)),
            options=self.options,
        )

    async def live(self, meanwhile: Callable[[ClusterRun], None] | None = None) -> Lived:
        """Run it to its end, whatever that is; *meanwhile* is done in a thread, once the workers are at work."""
        lived = Lived()
        run, left = self.start(), threading.Event()
        with ThreadPoolExecutor() as pool:
            done: list[Future[None]] = []
            try:
                async with run:
                    if meanwhile is not None:
                        done.append(pool.submit(self._once_at_work, meanwhile, run, left))
                    with anyio.move_on_after(PATIENCE_S) as waiting:
                        async for outcome in run:
                            lived.outcomes.append(outcome)
                    if waiting.cancelled_caught:
                        tasks, where = _where_tasks_are(), await self._where_workers_are()
                        raise AssertionError(f"no end: {run.progress()}, {list(run._under_way)}, {tasks}, {where}")
            except EncordError as error:
                lived.failure = error
            finally:
                left.set()
        for one in done:
            one.result()
        lived.summary = run.summary.as_json()
        return lived

    async def _where_workers_are(self) -> object:
        """Who is at what, and where in the code, as far as they answer."""
        answers: list[object] = []
        for ask in (self.client.processing, self.client.call_stack):
            with anyio.move_on_after(_ANSWER_S):
                answers.append(await anyio.to_thread.run_sync(ask, abandon_on_cancel=True))
        return answers

    def _once_at_work(self, act: Callable[[ClusterRun], None], run: ClusterRun, left: threading.Event) -> None:
        until(
            lambda: run._over or left.is_set() or self.emulator.get("stats")["requests"] >= AT_WORK,
            f"{AT_WORK} requests",
        )
        if not left.is_set():
            assert not run._over, "the run was over before anything could be done to it"
            act(run)


def _where_tasks_are() -> list[str]:
    """The tasks of this event loop, each with the lines that wait for one another."""
    found = []
    for task in asyncio.all_tasks():
        lines, waits = [task.get_name()], cast("Any", task.get_coro())
        while getattr(waits, "cr_frame", None) is not None:
            lines.append(f"{waits.cr_code.co_qualname}:{waits.cr_frame.f_lineno}")
            waits = waits.cr_await
        found.append(" > ".join(lines))
    return found
