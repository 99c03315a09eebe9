"""A job on real workers with a real PostgreSQL: each entry once, whatever dies, and no secret in the wrong hands."""

import asyncio
import json
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from encord_async.cli.cluster import cluster
from encord_async.client import EncordSession
from encord_async.cluster import ClusterRun, FailureLimit, Options, SessionOptions, connected, provision
from encord_async.errors import (
    JournalBusyError,
    JournalError,
    ManifestError,
    UncertainError,
    UsageError,
)
from encord_async.manifest.selection import Selection
from encord_async.protocol.signing import SSHKey
from tests import warm
from tests.cluster.conftest import UNHURRIED_PER_S, WORKERS, WORKS_WITH, Entry, Job, until_whole, workers_of
from tests.crash.conftest import Census, EmulatorProcess, big_programme, census
from tests.postgres import PASSWORD, PostgresServer
from tests.thorough import times
from tests.waiting import until

KILLS = times(3, of=10)


def assert_exact(job: Job) -> None:
    """The emulator's own log says that nothing was made twice and nothing is missing."""
    assert census(job.manifest, job.emulator.get("log"), job.emulator.get("state")) == Census([], [])


async def alone(job: Job) -> tuple[set[str], int]:
    """Provision the job on one machine, on the same journal; how entries ended, and how many requests it took."""
    key = SSHKey.from_path(job.emulator.key_file)
    async with (
        EncordSession(key, job.settings) as session,
        session.provision(list(job.manifest), journal=job.journal, settle_s=1) as run,
    ):
        statuses = {outcome.status.value async for outcome in run}
    return statuses, run.summary.requests


async def test_a_job_over_four_workers(
    client: Client, emulator: EmulatorProcess, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four workers make everything once, within the cluster's bound; no secret goes to them; one can go on alone."""
    submitted: list[bytes] = []
    submit = client.submit

    def noted(function: Any, *arguments: Any, **more: Any) -> Any:
        submitted.append(pickle.dumps((function, arguments, more)))
        return submit(function, *arguments, **more)

    monkeypatch.setattr(client, "submit", noted)
    job = Job(client, emulator, url, big_programme(110))
    lived = await job.live()
    assert lived.failure is None
    assert lived.unsatisfied == []
    assert [one.number for one in sorted(lived.outcomes, key=lambda one: one.number)] == list(range(1, 121))
    assert {one.place for one in lived.outcomes} == {f"entry {number}" for number in range(1, 121)}
    assert_exact(job)
    stats = emulator.get("stats")
    # More than one worker has a share.
    assert job.concurrency // WORKERS < stats["max_in_flight"] <= job.concurrency
    assert lived.summary["requests"] == stats["requests"]
    assert await alone(job) == ({"unchanged"}, 0)
    assert len(submitted) > WORKERS
    graph = b"".join(submitted)
    secrets = [PASSWORD, *filter(None, emulator.key_file.read_text().splitlines()[1:-1])]
    assert not any(secret.encode() in graph for secret in secrets)


@pytest.mark.usefixtures("twins_pass")
async def test_goes_on_where_one_machine_was(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """What one machine has done is not done again on a cluster: the entries have the same names there."""
    manifest = big_programme(30) + [{"kind": "dataset", "title": "Twins"}] * 2
    job = Job(client, emulator, url, manifest)
    await alone(replace(job, manifest=manifest[:20] + manifest[30:]))
    before = len(emulator.get("log"))
    lived = await job.live()
    assert lived.unsatisfied == []
    assert sum(one.status.value == "unchanged" for one in lived.outcomes) == 32
    assert len(emulator.get("log")) > before
    assert_exact(job)


async def test_a_part_of_a_manifest(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """A cluster makes what is chosen and what that needs, under the numbers of the whole; the rest goes on later."""
    manifest: list[Entry] = [
        {"kind": "dataset", "key": "spare", "title": "Spare"},
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "project", "key": "cats", "title": "Cats", "datasets": ["@raw"]},
        {"kind": "project", "key": "dogs", "title": "Dogs", "datasets": ["@spare"]},
    ]
    whole = Job(client, emulator, url, manifest)
    part = replace(whole, options=replace(whole.options, selection=Selection(("cats",))))
    lived = await part.live()
    assert {(one.number, one.status.value) for one in lived.outcomes} == {(2, "created"), (3, "created")}
    lived = await whole.live()
    assert {(one.number, one.status.value) for one in lived.outcomes} == {
        (1, "created"),
        (2, "unchanged"),
        (3, "unchanged"),
        (4, "created"),
    }


async def test_what_is_protected_stays(
    client: Client, emulator: EmulatorProcess, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a team's policy protects is left alone by workers, too, who do not see the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encord-async.toml").write_text('protected_keys = ["cats", "felines"]\n')

    def manifest(role: str, shape: str) -> list[Entry]:
        structure = {"objects": [{"name": "Cat", "shape": shape}]}
        return [
            {"kind": "project", "key": "cats", "title": "Cats", "users": [{"email": "ann@example.com", "role": role}]},
            {"kind": "ontology", "key": "felines", "title": "Felines", "structure": structure},
        ]

    job = Job(client, emulator, url, manifest("annotator", "polygon"))
    assert not (await job.live()).unsatisfied
    before = emulator.get("state")
    options = replace(job.options, replace_roles=True, update_ontologies=True)
    lived = await replace(job, manifest=manifest("reviewer", "bitmask"), options=options).live()
    assert len([why for why in lived.unsatisfied if "protected_keys" in why]) == 2
    assert emulator.get("state") == before


async def test_what_is_not_chosen_does_not_count(
    client: Client, emulator: EmulatorProcess, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team's limit of what a run makes is about what is chosen, of a manifest that wishes for more."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encord-async.toml").write_text("[most]\nproject = 1\n")
    names, manifest = ("cats", "dogs"), tmp_path / "m.jsonl"
    manifest.write_text("".join(f'{{"kind": "project", "key": "{one}", "title": "{one}"}}\n' for one in names))
    job = Job(client, emulator, url, [])
    for chosen in ((), names):
        with pytest.raises(UsageError, match="the manifest wishes for 2 projects, and a run makes 1 at most"):
            await replace(job, options=replace(job.options, selection=Selection(chosen))).start(manifest).__aenter__()
    async with replace(job, options=replace(job.options, selection=Selection(("cats",)))).start(manifest) as run:
        assert [(one.key, one.status.value) async for one in run] == [("cats", "created")]


@pytest.mark.parametrize("once", [False, True])
async def test_edited_entries_take_over_what_they_were(
    client: Client, emulator: EmulatorProcess, url: str, once: bool
) -> None:
    """Given other keys, or none, entries get what they have made, on whichever worker and however they are read."""
    before: list[Entry] = [
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "project", "key": "cats", "title": "Cats", "datasets": ["@raw"]},
        {"kind": "project_api_key", "project": "@cats", "title": "ci", "scopes": ["label.read"]},
        {"kind": "project", "key": "dogs", "title": "Dogs"},
    ]
    after: list[Entry] = [
        {"kind": "project_api_key", "project": "@felines", "title": "ci", "scopes": ["label.read"]},
        {"kind": "project", "key": "felines", "title": "Cats", "datasets": ["@r"]},
        {"kind": "dataset", "key": "r", "title": "Raw"},
        {"kind": "project", "title": "Dogs", "users": [{"email": "ann@example.com", "role": "reviewer"}]},
    ]
    job = Job(client, emulator, url, before)
    await alone(job)
    log = len(emulator.get("log"))
    run = replace(job, manifest=after).start(iter(after) if once else None)
    async with run:
        outcomes = [outcome async for outcome in run]
    assert {outcome.status.value for outcome in outcomes} == {"adopted"}
    made = [line["query"] for line in emulator.get("log")[log:]]
    assert set(made) == {"projectusers.POST"}


@pytest.mark.slow  # each worker killed is a process to start anew
async def test_killed_workers(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """kill -9 of a worker, again and again in one job: another goes on with its shard, nothing is twice or missing."""
    chance, kills, cluster = random.Random(8), 0, client.cluster
    assert cluster is not None

    def kill_now_and_then(run: ClusterRun) -> None:
        nonlocal kills
        while kills < KILLS and not run._over:
            time.sleep(0.02)
            there = workers_of(client)
            at_work = [worker for worker in cluster.workers.values() if worker.worker_address in there and worker.pid]
            stats = emulator.get("stats")
            if at_work and stats["in_flight"] and stats["requests"] > 70 * (kills + 1):
                os.kill(chance.choice(at_work).pid, signal.SIGKILL)
                kills += 1

    job = Job(client, emulator, url, [], options=Options(settle_s=0.5))
    # A killer that gets little of the processor may be late for the end of a job, which then grows.
    while kills < KILLS:
        job = replace(job, manifest=big_programme(len(job.manifest) + 28 * KILLS))
        lived = await job.live(kill_now_and_then)
        assert lived.failure is None
        assert lived.unsatisfied == []
        assert_exact(job)


async def test_lost_but_alive(
    client: Client, emulator: EmulatorProcess, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is given a shard while another, which passes for lost, still has it waits, and repeats nothing."""
    submit = client.submit
    zombies: list[Any] = []

    def twice(function: Any, *arguments: Any, key: str = "", **more: Any) -> Any:
        zombies.append(submit(function, *arguments, key=f"{key}-zombie", **more))
        return submit(function, *arguments, key=f"{key}-again", **more)

    monkeypatch.setattr(client, "submit", twice)
    job = Job(client, emulator, url, big_programme(50))
    lived = await job.live()
    assert lived.failure is None
    assert lived.unsatisfied == []
    assert_exact(job)
    assert len(zombies) > 2


async def test_all_slow_down(client: Client, emulator: EmulatorProcess, url: str, tmp_path: Path) -> None:
    """Under a rate limit that nobody told, the workers together stay under it for the most part, and nothing fails."""
    (tmp_path / "limited").mkdir()
    with EmulatorProcess(tmp_path / "limited", "--latency", "0.01", "--rate-limit", "50", "--burst", "2") as limited:
        job, projects = Job(client, limited, url, []), 0
        # Workers that get little of the processor may send too slowly to meet the limit in a job, which then grows.
        while not limited.get("stats")["throttled"]:
            projects += 40
            job = replace(job, manifest=big_programme(projects))
            lived = await job.live()
            assert lived.unsatisfied == []
            assert_exact(job)
        stats = limited.get("stats")
    assert stats["throttled"] < stats["requests"] / 4
    assert lived.summary["throttled"] == stats["throttled"]


async def test_one_run_at_a_time(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """A second head, and a run on one machine, are refused while the first goes on."""
    job = Job(client, emulator, url, big_programme(20))
    async with job.start() as run:
        lived = await job.live()
        assert isinstance(lived.failure, JournalBusyError)
        with pytest.raises(JournalBusyError, match=f"process {os.getpid()} on"):
            await alone(job)
        outcomes = [outcome async for outcome in run]
    assert len(outcomes) == len(job.manifest)
    assert_exact(job)


async def test_what_fails(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """What refers to something that failed in another shard is blocked with the reason, and the rest is made."""
    manifest: list[Entry] = [{"kind": "project", "key": "bad", "title": "Bad", "datasets": ["no-such-dataset"]}]
    manifest += [
        {"kind": "project_users", "project": "@bad", "emails": [f"a{n}@example.com"], "role": 1} for n in range(20)
    ]
    manifest += [{"kind": "project", "title": f"Good {n}"} for n in range(20)]
    lived = await Job(client, emulator, url, manifest).live()
    assert lived.failure is None
    assert (lived.summary["failed"], lived.summary["blocked"], lived.summary["created"]) == (1, 20, 20)
    assert {one.blocked_by for one in lived.outcomes if one.status == "blocked"} == {"@bad"}
    failed = next(one for one in lived.outcomes if one.status == "failed")
    assert failed.number == 1


def test_dask_does_not_tell_of_a_lost_scheduler_itself(capfd: pytest.CaptureFixture[str]) -> None:
    """The command line has the run's own words for it, not a traceback of Dask's before them."""
    log = logging.getLogger("distributed.client")
    scheduler = LocalCluster(n_workers=0, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0")  # type: ignore[no-untyped-call]  # Dask has no types here
    with scheduler, cluster(scheduler.scheduler_address, "postgresql://x?job=y"):
        log.error("it is lost")
    assert "is lost" not in capfd.readouterr().err
    assert log.isEnabledFor(logging.ERROR)


def test_local_workers_are_nobody_elses(client: Client) -> None:
    """Other users of this machine cannot hand work to the scheduler and workers that are started here."""
    addresses: list[str] = [client.scheduler_info()["address"], *workers_of(client)]
    assert [address.partition("127.0.0.1")[0] for address in addresses] == ["tls://"] * (WORKERS + 1)


def test_a_broken_connection_costs_no_worker(client: Client) -> None:
    """A local worker whose connection to the scheduler breaks is started again, as one that was killed is."""

    def break_one(dask_scheduler: Any) -> str:
        address, stream = next(iter(dask_scheduler.stream_comms.items()))
        stream.abort()
        return str(address)

    broken = client.run_on_scheduler(break_one)  # type: ignore[no-untyped-call]  # Dask has no types here

    until_whole(client, without=broken)


async def test_limits_stop_all_workers(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """Too many failures end the run everywhere; what was not tried is said to be cancelled."""
    manifest: list[Entry] = [{"kind": "project", "title": f"P{n}", "datasets": ["none"]} for n in range(600)]
    options = Options(settle_s=1.0, max_failures=FailureLimit(count=20))
    lived = await Job(client, emulator, url, manifest, options=options).live()
    assert lived.summary["stopped_by"] == "max_failures"
    counts = {name: lived.summary[name] for name in ("failed", "cancelled")}
    assert sum(map(int, map(str, counts.values()))) == lived.summary["entries"]
    assert int(str(counts["failed"])) < 600


async def test_stopped_by_the_caller(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """A run that is drained ends what is under way, and the next one goes on."""
    job = Job(client, emulator, url, big_programme(120), max_rate_per_s=UNHURRIED_PER_S)
    loop = asyncio.get_running_loop()

    def stop(run: ClusterRun) -> None:
        loop.call_soon_threadsafe(run.drain, "enough")

    lived = await job.live(stop)
    assert lived.failure is None
    assert lived.summary["stopped_by"] == "enough"
    assert int(str(lived.summary["cancelled"])) > 0
    lived = await replace(job, max_rate_per_s=None).live()
    assert lived.unsatisfied == []
    assert_exact(job)


async def test_bad_manifests(client: Client, emulator: EmulatorProcess, url: str, tmp_path: Path) -> None:
    """A file with a bad entry is refused before anything is sent; with skip_invalid the good ones are made."""
    path = tmp_path / "m.jsonl"
    lines: list[Entry] = [
        {"kind": "project", "title": "Good"},
        {"kind": "nothing"},
        {"kind": "project", "title": "Too"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = Job(client, emulator, url, [])
    options = SessionOptions(settings=job.settings, ssh_key_file=str(emulator.key_file))
    with pytest.raises(ManifestError, match=r"m\.jsonl:2"):
        async with provision(path, client=client, journal=url, session_options=options):
            pass
    assert emulator.get("stats")["requests"] == 0
    run = provision(path, client=client, journal=url, session_options=options, options=Options(skip_invalid=True))
    async with run:
        found = {outcome.number: outcome.status.value async for outcome in run}
    assert found == {1: "created", 2: "failed", 3: "created"}


async def test_no_key_on_the_workers(client: Client, emulator: EmulatorProcess, url: str) -> None:
    """A worker that has no key says so before anything is sent."""
    run = provision([], client=client, journal=url, session_options=SessionOptions(ssh_key_file="/no/such/file"))
    with pytest.raises(UsageError, match="/no/such/file"):
        await run.__aenter__()


def test_needs_postgresql(client: Client, tmp_path: Path) -> None:
    """A journal in a file is refused at once."""
    with pytest.raises(JournalError, match="postgresql://"):
        provision([], client=client, journal=str(tmp_path / "j"))


@pytest.mark.slow  # a database server stops and starts under a job, and the job is run again
async def test_postgresql_restarts(
    client: Client, emulator: EmulatorProcess, url: str, postgres: PostgresServer
) -> None:
    """When the database goes, the run ends clean on every worker; when it is back, the next one goes on."""
    job = Job(client, emulator, url, big_programme(70), max_rate_per_s=UNHURRIED_PER_S)

    def restart(run: ClusterRun) -> None:
        postgres.stop()
        postgres.start()

    lived = await job.live(restart)
    assert isinstance(lived.failure, JournalError)
    assert PASSWORD not in str(lived.failure)
    lived = await replace(job, max_rate_per_s=None).live()
    assert lived.failure is None
    assert lived.unsatisfied == []
    assert_exact(job)


# --- a scheduler of its own ------------------------------------------------------------------------------------------


@dataclass
class Deployment:
    """A scheduler and two workers as processes, as somebody would start them by hand."""

    folder: Path
    processes: list[warm.Popen] = field(default_factory=list)

    def start(self) -> str:
        """Start all three, and give the address of the scheduler, which it chooses."""
        told = self.folder / f"scheduler-{len(self.processes)}.json"
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
        self._start(*scheduler, "--scheduler-file", str(told))
        until(lambda: told.exists() and told.read_text().endswith("\n}"), "the scheduler has said where it listens")
        address: str = json.loads(told.read_text())["address"]
        for _ in range(2):
            self._start("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        return address

    def _start(self, *arguments: str) -> None:
        process = warm.popen(
            [sys.executable, "-m", "dask", *arguments],
            imported=WORKS_WITH,
            env=os.environ | {"PGPASSWORD": PASSWORD},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)

    def kill(self, which: slice) -> None:
        """kill -9 of some of them; none has started others."""
        for process in self.processes[which]:
            process.kill()
            process.wait()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Gone with the test."""
    found = Deployment(tmp_path)
    yield found
    found.kill(slice(None))


async def test_scheduler_dies(deployment: Deployment, emulator: EmulatorProcess, url: str) -> None:
    """When the scheduler dies, the run ends and says so; once there is another, the same job goes on."""
    manifest = big_programme(70)
    with connected(deployment.start()) as client:
        client.wait_for_workers(2)
        job = Job(client, emulator, url, manifest, max_rate_per_s=UNHURRIED_PER_S)
        lived = await job.live(lambda _: deployment.kill(slice(1)))
    assert isinstance(lived.failure, UncertainError)
    assert "scheduler is gone" in lived.failure.message
    # What they have sent nobody has counted.
    assert int(str(lived.summary["uncounted"])) > 0
    # The workers of the dead scheduler may still be at work: the next run waits until they have noticed.
    with connected(deployment.start()) as client:
        client.wait_for_workers(2)
        job = Job(client, emulator, url, manifest)
        lived = await job.live()
    assert lived.failure is None
    assert lived.unsatisfied == []
    assert_exact(job)


def test_nobody_at_the_address() -> None:
    """An address that cannot be one is refused at once."""
    with pytest.raises(UsageError, match="no address of a scheduler"), connected("scheduler"):
        pass
