"""What the benchmarks of provisioning share: the job, the emulator that it is done on, and who does it.

Nothing here prints. Every emulator is a process of its own on 127.0.0.1 and starts empty.
"""

import asyncio
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks._common import SDK_PYTHON
from encord_async import EncordSession
from encord_async.protocol.catalogue import Endpoint, ProjectUserRole
from encord_async.protocol.operations.projects import AddProjectUsers, CreateProject, ListProjects
from encord_async.protocol.signing import SSHKey

ROLES: Final = ("annotator", "reviewer")
DATASETS_EACH: Final = 3
USERS_EACH: Final = 10
CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """An emulator that runs."""

    url: str
    key_file: Path
    folder: Path
    """A place for what a run writes; gone with the emulator."""
    datasets: Sequence[str]
    pid: int

    def stats(self) -> dict[str, Any]:
        """What it has counted."""
        return self._get("stats")

    def state(self) -> dict[str, Any]:
        """What it holds."""
        return self._get("state")

    def has_rest(self) -> bool:
        """Whether it serves the REST reads that the SDK makes beside the envelopes."""
        try:
            urllib.request.urlopen(f"{self.url}/v2/public/projects/none", timeout=10).close()  # noqa: S310 - our own loopback URL
        except urllib.error.HTTPError as error:
            return error.code != 404
        return True

    def _get(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_emulator/{what}", timeout=60) as reply:  # noqa: S310 - our own loopback URL
            found: dict[str, Any] = json.load(reply)
            return found


@contextmanager
def emulator(*, latency_s: float = 0.0) -> Iterator[Api]:
    """An emulator as a process of its own, with one user and a hundred datasets."""
    with tempfile.TemporaryDirectory(prefix="encord-async-bench-") as folder:
        key_file = Path(folder) / "key"
        command = [sys.executable, "-m", "encord_async.emulator", "--write-key", str(key_file)]
        process = subprocess.Popen([*command, "--latency", str(latency_s)], stdout=subprocess.PIPE, text=True)
        try:
            if process.stdout is None:
                raise AssertionError("a pipe was asked for")
            started = json.loads(process.stdout.readline())
            api = Api(url=started["url"], key_file=key_file, folder=Path(folder), datasets=(), pid=process.pid)
            hashes = tuple(dataset["dataset_hash"] for dataset in api.state()["datasets"])
            yield Api(url=api.url, key_file=key_file, folder=api.folder, datasets=hashes, pid=process.pid)
        finally:
            process.terminate()
            process.wait()


def wishes(projects: int, datasets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The job: projects with datasets that are there and users in two roles, as the SDK's script takes them."""
    for number in range(projects):
        yield {
            "title": f"Project {number}",
            "datasets": [datasets[(number * DATASETS_EACH + i) % len(datasets)] for i in range(DATASETS_EACH)],
            "users": {
                role: [f"{role}-{number}-{i}@example.com" for i in range(USERS_EACH // len(ROLES))] for role in ROLES
            },
        }


def manifest(projects: int, datasets: Sequence[str]) -> Iterator[dict[str, object]]:
    """The job as entries of a manifest."""
    for wish in wishes(projects, datasets):
        users = [{"email": email, "role": role} for role, emails in wish["users"].items() for email in emails]
        yield {"kind": "project", "title": wish["title"], "datasets": wish["datasets"], "users": users}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One doing of the job."""

    elapsed_s: float
    cpu_s: float
    requests: int
    """Requests sent, as counted by whoever can see them all."""
    by_query: dict[str, int]
    connections: int
    stood_in: int = 0
    """Requests of the SDK that were answered inside its own process, because the emulator cannot."""


def provision(api: Api, projects: int, *, journal: bool) -> Done:
    """The job by this package, in this process.

    Raises:
        AssertionError: The emulator does not hold what was asked for.
    """

    path = api.folder / "run.journal" if journal else None
    if journal:
        # Imported on first need, which is no part of the work; how long imports take is another benchmark.
        importlib.import_module("encord_async.journal.journal")

    async def run() -> float:
        async with EncordSession.from_ssh_key(api.key_file, domain=api.url, concurrency=CONCURRENCY) as session:
            began_s = time.perf_counter()
            async with session.provision(manifest(projects, api.datasets), journal=path) as run:
                async for outcome in run:
                    assert outcome.status == "created", outcome
            return time.perf_counter() - began_s

    began_cpu_s = time.process_time()
    elapsed_s = asyncio.run(run())
    return _done(api, projects, elapsed_s, time.process_time() - began_cpu_s)


def bare_loop(api: Api, projects: int) -> Done:
    """The same requests without this package: aiohttp posts what was sealed, nothing is written down or checked.

    What it takes more than the bound is the emulator's and the event loop's.
    """
    key = SSHKey.from_path(api.key_file)
    work: deque[tuple[str | None, dict[str, Any]]] = deque((None, wish) for wish in wishes(projects, api.datasets))

    async def post(client: aiohttp.ClientSession, operation: Any) -> Any:
        envelope = operation.request()
        headers = {"Authorization": key.authorization(envelope.body), "Content-Type": "application/json"}
        if envelope.query.endpoint is Endpoint.RESOURCE and envelope.query.resource_type is not None:
            headers |= {"ResourceID": envelope.resource_id or "", "ResourceType": envelope.query.resource_type.value}
        async with client.post(api.url + envelope.query.endpoint.value, data=envelope.body, headers=headers) as reply:
            told = await reply.json()
        assert told["status"] == 200, told
        return told["response"]

    async def worker(client: aiohttp.ClientSession) -> None:
        while work:
            project_hash, wish = work.popleft()
            if project_hash is None:
                hashes = tuple(wish["datasets"])
                project_hash = await post(client, CreateProject(title=wish["title"], dataset_hashes=hashes))
                work.extend((project_hash, {"role": role, "emails": wish["users"][role]}) for role in ROLES)
                continue
            role = ProjectUserRole[wish["role"].upper()]
            await post(client, AddProjectUsers(project_hash=project_hash, emails=tuple(wish["emails"]), role=role))

    async def run() -> float:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            began_s = time.perf_counter()
            await post(client, ListProjects())
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENCY):
                    group.create_task(worker(client))
            return time.perf_counter() - began_s

    began_cpu_s = time.process_time()
    elapsed_s = asyncio.run(run())
    return _done(api, projects, elapsed_s, time.process_time() - began_cpu_s)


def sdk_provision(api: Api, projects: int, *, way: str, threads: int, latency_s: float) -> Done:
    """The job by the official SDK, in a process of its own.

    Args:
        api: The emulator.
        projects: How many.
        way: ``stepwise``, ``frugal`` or ``deprecated``; see ``_sdk_provisioning.py``.
        threads: Size of the pool.
        latency_s: Of the REST reads that are answered in the SDK's process, if the emulator has none.
    """
    job = {
        "url": api.url,
        "private_key": api.key_file.read_text(),
        "way": way,
        "threads": threads,
        "stand_in_latency_s": None if api.has_rest() else latency_s,
        "projects": list(wishes(projects, api.datasets)),
    }
    asked = api.stats()["requests"]
    script = Path(__file__).with_name("_sdk_provisioning.py")
    command = [str(SDK_PYTHON), "-I", str(script)]
    told = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise RuntimeError(f"the SDK's process failed: {told.stderr[-2000:]}")
    found = json.loads(told.stdout)
    done = _done(api, projects, found["elapsed_s"], found["cpu_s"])
    assert sum(found["calls"].values()) == done.requests - asked + found["stood_in"], (found, done)
    return Done(
        elapsed_s=done.elapsed_s,
        cpu_s=done.cpu_s,
        requests=sum(found["calls"].values()),
        by_query=found["calls"],
        connections=done.connections,
        stood_in=found["stood_in"],
    )


def peak_rss_bytes() -> int:
    """The most memory that this process has had resident."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # macOS; counted in bytes there. On Linux it would begin with what the parent had before this program started.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _done(api: Api, projects: int, elapsed_s: float, cpu_s: float) -> Done:
    stats = api.stats()
    _check(api, projects)
    return Done(
        elapsed_s=elapsed_s,
        cpu_s=cpu_s,
        requests=stats["requests"],
        by_query=stats["by_query"],
        connections=stats["connections"],
    )


def _check(api: Api, projects: int) -> None:
    """A job half done is no measurement."""
    made = api.state()["projects"]
    assert len(made) == projects, f"{len(made)} projects were made, {projects} were asked for"
    for project in made:
        assert len(project["datasets"]) == DATASETS_EACH, project
        assert len(project["users"]) == USERS_EACH + 1, project
