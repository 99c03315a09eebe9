"""What more workers bring: one job of creates on 1, 2 and 4 workers of a local Dask cluster, journal in PostgreSQL.

nginx answers every request alike, so that only the client, the database and the scheduler work; all of them on the
same cores, which are the ceiling here. From what each of them costs an entry it is worked out, on paper, what 100
workers with cores of their own would do, and what would break first.

    python benchmarks/scale.py [--quick]
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import psutil  # type: ignore[import-untyped]  # it has no types of its own

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._fixed_reply import IN_FLIGHT, EmptyAccount, Server, fixed_reply
from encord_async import EncordSession, SSHKey
from encord_async.cluster import SessionOptions, local_cluster, provision
from tests.conftest import TOOL_PATH
from tests.postgres import PASSWORD, PostgresServer

ROOT: Final = str(Path(__file__).resolve().parents[1])
CREATES: Final = 4000
REPEATS: Final = 3
WORKERS: Final = (1, 2, 4)
PAPER_WORKERS: Final = 100
DATABASE_CORES: Final = 16
ALONE: Final = "one process, no cluster"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job took: seconds, and seconds of CPU of each who took part."""

    elapsed_s: float
    head_s: float
    workers_s: float
    database_s: float


def cpu_s(processes: Iterable[Any]) -> float:
    """Seconds of CPU that *processes* have had, with those of their children that have ended."""
    spent_s = 0.0
    for process in processes:
        # A connection to the database may have just been closed; its process's time is its parent's then.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent_s += times.user + times.system + times.children_user + times.children_system
    return spent_s


def database(postgres: PostgresServer) -> list[Any]:
    """The processes of *postgres*."""
    head = psutil.Process(postgres.pid)
    return [head, *head.children(recursive=True)]


def empty_account(root: str) -> None:
    """On a worker: listings are answered there as of an empty account, since nginx's fixed reply is none."""
    sys.path.insert(0, root)
    mock.patch("encord_async.session.session._aiohttp_transport", EmptyAccount).start()


def entries(creates: int) -> list[dict[str, object]]:
    """Projects, each of which is one create."""
    return [{"kind": "project", "title": f"Project {number}"} for number in range(creates)]


class Bench:
    """Runs jobs and says what they cost."""

    def __init__(self, server: Server, postgres: PostgresServer) -> None:
        self._server = server
        self._postgres = postgres
        self._jobs = 0

    def _url(self) -> str:
        self._jobs += 1
        return self._postgres.url(f"job-{self._jobs}")

    def alone(self, creates: int) -> Cost:
        """One process, with the same journal."""

        async def job() -> None:
            settings = self._server.settings(in_flight=IN_FLIGHT)
            async with (
                EncordSession(SSHKey.from_path(self._server.key_file), settings, transport=EmptyAccount) as session,
                session.provision(entries(creates), journal=self._url()) as run,
            ):
                made = [outcome.status == "created" async for outcome in run]
            assert sum(made) == creates

        began_s, worker_s, database_s = time.perf_counter(), time.process_time(), cpu_s(database(self._postgres))
        asyncio.run(job())
        return Cost(
            time.perf_counter() - began_s,
            0.0,
            time.process_time() - worker_s,
            cpu_s(database(self._postgres)) - database_s,
        )

    def on_workers(self, client: Any, creates: int) -> Cost:
        """On the workers of *client*; the head and the scheduler are this process."""
        options = SessionOptions(
            settings=self._server.settings(in_flight=IN_FLIGHT), ssh_key_file=str(self._server.key_file)
        )
        url = self._url()

        async def job() -> float:
            async with provision(entries(creates), client=client, journal=url, session_options=options) as run:
                made = [outcome.status == "created" async for outcome in run]
            assert sum(made) == creates
            return run.summary.elapsed_s

        workers = [psutil.Process(worker.pid) for worker in client.cluster.workers.values()]
        head_s, workers_s, database_s = time.process_time(), cpu_s(workers), cpu_s(database(self._postgres))
        elapsed_s = asyncio.run(job())
        return Cost(
            elapsed_s,
            time.process_time() - head_s,
            cpu_s(workers) - workers_s,
            cpu_s(database(self._postgres)) - database_s,
        )


def measured(creates: int, repeats: int) -> dict[str, list[Cost]]:
    """The costs of an entry, by who did the job."""
    runs: defaultdict[str, list[Cost]] = defaultdict(list)
    programs = [shutil.which(name, path=TOOL_PATH) for name in ("initdb", "postgres")]
    if None in programs:
        raise FileNotFoundError("PostgreSQL is missing (on Debian and Ubuntu: apt-get install postgresql)")
    with fixed_reply() as servers, PostgresServer(*map(str, programs)) as postgres:
        bench = Bench(servers["https"], postgres)
        for _ in range(repeats):
            runs[ALONE].append(bench.alone(creates))
        for number in WORKERS:
            with local_cluster(number, env={"PGPASSWORD": PASSWORD}) as client:
                client.run(empty_account, ROOT)
                # Imports are no part of the work.
                bench.on_workers(client, 50 * number)
                name = f"{number} worker{'s' if number > 1 else ''}"
                for _ in range(repeats):
                    runs[name].append(bench.on_workers(client, creates))
    return {name: [_each(cost, creates) for cost in costs] for name, costs in runs.items()}


def _each(cost: Cost, creates: int) -> Cost:
    return Cost(cost.elapsed_s / creates, cost.head_s / creates, cost.workers_s / creates, cost.database_s / creates)


def _median(costs: Iterable[Cost], name: str) -> float:
    return float(statistics.median(getattr(cost, name) for cost in costs))


def paper(runs: Mapping[str, list[Cost]]) -> dict[str, float]:
    """Creates a second that each who takes part could bear, with cores of its own, from what an entry costs it."""
    costs = runs["2 workers"]
    return {
        f"{PAPER_WORKERS} workers, a core each": PAPER_WORKERS / _median(costs, "workers_s"),
        "head and scheduler, one core (Python's lock)": 1 / _median(costs, "head_s"),
        f"PostgreSQL on {DATABASE_CORES} cores": DATABASE_CORES / _median(costs, "database_s"),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few creates and one repeat: shows that it works")
    asked = parser.parse_args()
    creates, repeats = (400, 1) if asked.quick else (CREATES, REPEATS)
    runs = measured(creates, repeats)
    figures = [
        {
            "who": who,
            "creates_per_s": 1 / _median(costs, "elapsed_s"),
            "workers_cpu_us": 1e6 * _median(costs, "workers_s"),
            "database_cpu_us": 1e6 * _median(costs, "database_s"),
            "head_cpu_us": 1e6 * _median(costs, "head_s"),
        }
        for who, costs in runs.items()
    ]
    bounds = paper(runs)
    first = min(bounds, key=lambda name: bounds[name])
    report(
        "scale",
        title=f"{creates:,} creates against nginx with a fixed reply, {IN_FLIGHT} in flight, journal in PostgreSQL",
        header=("who", "creates/s", "workers' CPU µs each", "PostgreSQL's", "head's and scheduler's"),
        rows=[
            (
                figure["who"],
                *(f"{figure[name]:,.0f}" for name in list(figure)[1:]),
            )
            for figure in figures
        ],
        notes=[
            f"Workers, head, scheduler, PostgreSQL and nginx share the {psutil.cpu_count()} cores of this machine, "
            "which are the ceiling: more workers than cores bring nothing here.",
            *(f"on paper: {name}: {bound:,.0f} creates/s" for name, bound in bounds.items()),
            f"on paper, what gives way first with {PAPER_WORKERS} workers: {first}. Long before that the service "
            "has its own limit. PostgreSQL takes 100 connections as it comes; each worker and the head need one.",
        ],
        figures={"runs": figures, "paper": bounds},
        packages=("distributed", "psycopg", "sqlalchemy"),
        repeats=repeats,
        quick=asked.quick,
    )


if __name__ == "__main__":
    main()
