"""What the tests of the cluster share: workers that are processes, an emulator that is one, and PostgreSQL."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from distributed import Client

from encord_async.cluster import ClusterRun, Options, SessionOptions, local_cluster, provision
from encord_async.engine.outcome import Outcome
from encord_async.errors import EncordError
from encord_async.session.settings import RetryPolicy, Settings
from tests.crash.conftest import EmulatorProcess
from tests.postgres import PASSWORD, PostgresServer

Entry: TypeAlias = dict[str, Any]

WORKERS = 4
_JOBS = itertools.count()


@pytest.fixture(scope="module")
def cluster_client(postgres: PostgresServer) -> Iterator[Client]:
    """Four workers, whose environment has the password of the database."""
    with local_cluster(WORKERS, env={"PGPASSWORD": PASSWORD}) as found:
        yield found


@pytest.fixture
def client(cluster_client: Client) -> Client:
    """The cluster with all its workers: those that the test before killed have been started again."""
    cluster_client.wait_for_workers(WORKERS, timeout=60)
    return cluster_client


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """A journal that is not there yet."""
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
    options: Options = field(default_factory=lambda: Options(settle_s=1.0))

    @property
    def settings(self) -> Settings:
        """For whoever provisions it."""
        retry = RetryPolicy(max_attempts=3, backoff_base_s=0.01, backoff_max_s=0.1, outage_s=5)
        return Settings(domain=self.emulator.url, concurrency=self.concurrency, retry=retry)

    def start(self, entries: Iterable[Entry] | None = None) -> ClusterRun:
        """A run that has not begun, of *entries* or the manifest."""
        return provision(
            list(self.manifest) if entries is None else entries,
            client=self.client,
            journal=self.journal,
            session_options=SessionOptions(settings=self.settings, ssh_key_file=str(self.emulator.key_file)),
            options=self.options,
        )

    async def live(self, meanwhile: Callable[[ClusterRun], Any] | None = None) -> Lived:
        """Run it to its end, whatever that is."""
        lived = Lived()
        run = self.start()
        try:
            async with run:
                if meanwhile is not None:
                    meanwhile(run)
                async for outcome in run:
                    lived.outcomes.append(outcome)
        except EncordError as error:
            lived.failure = error
        lived.summary = run.summary.as_json()
        return lived
