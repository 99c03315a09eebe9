"""How much of a rate limit that it does not know a client uses, and how much of what it sends is refused.

Two services on 127.0.0.1, each a process of its own: nginx with ``limit_req`` (HTML 429 without ``Retry-After``), and
the emulator with its token bucket (429 with ``Retry-After``). Beside this package: a bare aiohttp loop with tenacity's
random exponential back-off, and the official SDK in threads. Accepted and refused are as the service counts them.
Each repeat begins with a full bucket and a client that knows nothing; all repeats take three quarters of an hour.

    python benchmarks/goodput.py [--quick] [--repeats N]
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import anyio
import tenacity
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import SDK_PYTHON, SDK_RELEASE, report
from benchmarks._goals import Goal, as_figures, verdicts
from encord_async import EncordError, EncordSession, RefusedError, Settings, SSHKey
from encord_async.operations import AddDatasets

LIMIT_PER_S: Final = 200
BURST: Final = 20
IN_FLIGHT: Final = 64
REPEATS: Final = 5
MAIN_S: Final = 60.0
QUICK_S: Final = 10.0
GOODPUT: Final = 0.97
REFUSED: Final = 0.02
CHANGES: Final = (1.0, 0.5, 1.0)
"""The limit in each third of a run in which it changes, in terms of the first."""

_CALL: Final = AddDatasets(project_hash="11111111-2222-3333-4444-555555555555", dataset_hashes=("d1",)).request()
"""A change that may be repeated: nginx drops connections when its limit is changed."""

_NGINX: Final = """
daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    log_format status "$status"; access_log off; keepalive_requests 1000000;
    limit_req_zone $server_name zone=all:1m rate={rate}r/s;
    upstream answers {{ server unix:{folder}/answers.sock; keepalive 64; }}
    server {{
        listen unix:{folder}/answers.sock;
        default_type application/json;
        location / {{ return 200 '{{"status": 200, "response": "$request_id"}}'; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name all;
        access_log {folder}/access.log status;
        location / {{
            limit_req zone=all burst={burst} nodelay; limit_req_status 429;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://answers;
        }}
    }}
}}
"""


class Service(Protocol):
    """A service with a rate limit."""

    url: str
    key_file: Path

    def counts(self) -> tuple[int, int]:
        """Requests accepted and refused since it started."""
        ...


@dataclass
class Nginx:
    """nginx as a reverse proxy with ``limit_req``."""

    url: str
    key_file: Path
    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def counts(self) -> tuple[int, int]:
        """See `Service`."""
        found = Counter((self.folder / "access.log").read_text().split())
        return found["200"], found["429"]

    def set_limit(self, per_s: float) -> None:
        """Change the limit."""
        text = _NGINX.format(folder=self.folder, rate=round(per_s), port=self.port, burst=BURST)
        (self.folder / "nginx.conf").write_text(text)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)


@dataclass
class Emulated:
    """The emulator with its bucket; its limit stays as it is."""

    url: str
    key_file: Path

    def counts(self) -> tuple[int, int]:
        """See `Service`."""
        with urllib.request.urlopen(f"{self.url}/_emulator/stats", timeout=60) as reply:  # noqa: S310 - our own loopback URL
            by_status: dict[str, int] = json.load(reply)["by_status"]
        refused = by_status.get("429", 0)
        return sum(by_status.values()) - refused, refused


@contextmanager
def nginx() -> Iterator[Nginx]:
    """nginx with the first limit, once it answers."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise FileNotFoundError("nginx")
    # nginx's workers may run as another user.
    with tempfile.TemporaryDirectory(prefix="encord-async-bench-") as name, socket.socket() as probe:
        folder = Path(name)
        folder.chmod(0o755)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        key = Ed25519PrivateKey.generate()
        key_file = folder / "key"
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        service = Nginx(f"http://127.0.0.1:{port}", key_file, folder, port)
        service.set_limit(LIMIT_PER_S)
        command = [program, "-e", str(folder / "start.log"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        service.process = subprocess.Popen(command)
        try:
            _wait_for(port)
            yield service
        finally:
            service.process.terminate()
            service.process.wait()


@contextmanager
def emulator(*options: str) -> Iterator[Emulated]:
    """The emulator with further *options*."""
    with tempfile.TemporaryDirectory(prefix="encord-async-bench-") as folder:
        key_file = Path(folder) / "key"
        command = [sys.executable, "-m", "encord_async.emulator", "--write-key", str(key_file), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield Emulated(json.loads(process.stdout.readline())["url"], key_file)
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("nginx does not listen after 5 s; see its error.log")


# --- clients ---------------------------------------------------------------------------------------------------------

Client = Callable[[Service, float], Awaitable[list[Counter[str]]]]
"""Works for so many seconds; what it came to, for each client of its own."""


async def ours(service: Service, seconds: float, *, in_flight: int = IN_FLIGHT) -> list[Counter[str]]:
    """One session of this package."""
    return [await _session(service, seconds, in_flight=in_flight)]


async def two_of_ours(service: Service, seconds: float) -> list[Counter[str]]:
    """Two sessions that know nothing of each other."""
    return list(await asyncio.gather(_session(service, seconds), _session(service, seconds)))


async def _session(service: Service, seconds: float, *, in_flight: int = IN_FLIGHT) -> Counter[str]:
    settings = Settings(domain=service.url, concurrency=in_flight)
    async with EncordSession.from_ssh_key(service.key_file, settings=settings) as session:

        async def call() -> bool:
            try:
                await session.send(_CALL)
            except RefusedError:
                # The emulator has no such project, and says so: that is an answer.
                return True
            except EncordError:
                return False
            return True

        return await _busy(call, seconds, in_flight=in_flight)


async def bare_loop(service: Service, seconds: float, *, in_flight: int = IN_FLIGHT) -> list[Counter[str]]:
    """Aiohttp, and tenacity's random exponential back-off without an end."""
    key = SSHKey.from_path(service.key_file)
    headers = {
        "Authorization": key.authorization(_CALL.body),
        "Content-Type": "application/json",
        "ResourceID": _CALL.resource_id or "",
        "ResourceType": "project",
    }
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:

        @tenacity.retry(
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
            retry=tenacity.retry_if_exception_type((aiohttp.ClientError, OSError)),
        )
        async def call() -> bool:
            async with client.post(service.url + _CALL.query.endpoint.value, data=_CALL.body, headers=headers) as reply:
                await reply.read()
                if reply.status == 429:
                    reply.raise_for_status()
            return True

        return [await _busy(call, seconds, in_flight=in_flight)]


async def sdk_threads(service: Service, seconds: float) -> list[Counter[str]]:
    """The official SDK's creates, in threads."""
    script = Path(__file__).with_name("_sdk_goodput.py")
    arguments = [service.url, str(service.key_file), str(seconds), str(IN_FLIGHT)]
    done = await anyio.run_process([str(SDK_PYTHON), "-I", str(script), *arguments])
    return [Counter(json.loads(done.stdout))]


async def _busy(call: Callable[[], Awaitable[bool]], seconds: float, *, in_flight: int) -> Counter[str]:
    """Keep so many calls under way; how they ended."""
    counts: Counter[str] = Counter()

    async def work() -> None:
        while True:
            counts["done" if await call() else "failed"] += 1

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for _ in range(in_flight):
                group.start_soon(work)
    return counts


# --- scenarios -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run came to."""

    goodput: float
    refused: float
    done: int
    failed: int
    shares: tuple[float, ...]


Run = Callable[[float], Awaitable[Found]]
"""One run of one client before one service, for so many seconds."""


async def measure(service: Service, client: Client, seconds: float) -> Found:
    """One client before one service."""
    # The bucket is full again after the client before.
    await asyncio.sleep(1)
    before = service.counts()
    counts = await client(service, seconds)
    return _found(service, before, LIMIT_PER_S * seconds + BURST, counts)


async def measure_changes(service: Nginx, client: Client, seconds: float) -> Found:
    """The same while the limit changes with each third of the time."""
    await asyncio.sleep(1)
    before = service.counts()
    service.set_limit(LIMIT_PER_S)

    async def change() -> None:
        for factor in CHANGES[1:]:
            await asyncio.sleep(seconds / len(CHANGES))
            service.set_limit(LIMIT_PER_S * factor)

    counts, _ = await asyncio.gather(client(service, seconds), change())
    service.set_limit(LIMIT_PER_S)
    offered = sum(LIMIT_PER_S * factor * seconds / len(CHANGES) for factor in CHANGES) + BURST
    return _found(service, before, offered, counts)


async def measure_emulator(client: Client, seconds: float) -> Found:
    """One client before an emulator of its own."""
    with emulator("--rate-limit", str(LIMIT_PER_S), "--burst", str(BURST)) as service:
        return await measure(service, client, seconds)


def _found(service: Service, before: tuple[int, int], offered: float, counts: list[Counter[str]]) -> Found:
    # The last log lines are written when their replies have gone.
    time.sleep(0.2)
    accepted, refused = (now - then for now, then in zip(service.counts(), before, strict=True))
    done = [count["done"] for count in counts]
    return Found(
        goodput=accepted / offered,
        refused=refused / max(1, accepted + refused),
        done=sum(done),
        failed=sum(count["failed"] for count in counts),
        shares=tuple(part / max(1, sum(done)) for part in done),
    )


OURS: Final = "encord-async"
BARE: Final = "aiohttp + tenacity"
SDK: Final = f"official SDK {SDK_RELEASE}"


def contenders(service: Nginx | None) -> dict[str, Run]:
    """Everybody who is there, by service and client."""
    clients: dict[str, Client] = {OURS: ours, BARE: bare_loop}
    if SDK_PYTHON.exists():
        clients[SDK] = sdk_threads
    runs: dict[str, Run] = {}
    if service is not None:
        runs |= {f"nginx limit_req: {who}": partial(measure, service, client) for who, client in clients.items()}
        runs[f"nginx limit_req: {OURS}, two clients"] = partial(measure, service, two_of_ours)
        runs |= {
            f"nginx, limit halves and doubles: {who}": partial(measure_changes, service, clients[who])
            for who in (OURS, BARE)
        }
    return runs | {f"emulator's bucket: {who}": partial(measure_emulator, client) for who, client in clients.items()}


async def repeated(service: Nginx | None, repeats: int, seconds: float) -> dict[str, list[Found]]:
    """Each run so many times, all of them in turn."""
    found: defaultdict[str, list[Found]] = defaultdict(list)
    for _ in range(repeats):
        for who, run in contenders(service).items():
            found[who].append(await run(seconds))
    return found


def goals(found: Mapping[str, Sequence[Found]]) -> list[Goal]:
    """What was asked of this package, with what was found."""
    aims = []
    for who, runs in found.items():
        if OURS not in who:
            continue
        goodput = statistics.median(run.goodput for run in runs)
        refused = statistics.median(run.refused for run in runs)
        failed = sum(run.failed for run in runs)
        aims += [
            Goal(name=f"{who}: accepted / limit", found=goodput, least=GOODPUT),
            Goal(name=f"{who}: share refused", found=refused, most=REFUSED),
            Goal(name=f"{who}: failed", found=failed, most=0),
        ]
    return aims


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help=f"one repeat of {QUICK_S:g} s: shows that it works")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"of {MAIN_S:g} s each (default {REPEATS})")
    asked = parser.parse_args()
    repeats, seconds = (1, QUICK_S) if asked.quick else (asked.repeats, MAIN_S)
    notes = [] if SDK_PYTHON.exists() else [f"missing: {SDK} ({SDK_PYTHON}); make sdks makes it"]
    try:
        with nginx() as service:
            found = asyncio.run(repeated(service, repeats, seconds))
    except FileNotFoundError:
        notes.append("missing: nginx (on Debian and Ubuntu: apt-get install nginx-light)")
        found = asyncio.run(repeated(None, repeats, seconds))
    aims = goals(found)
    report(
        "goodput",
        title=(
            f"Accepted requests in terms of a limit of {LIMIT_PER_S}/s (burst {BURST}) unknown to the client, "
            f"{IN_FLIGHT} in flight, {seconds:g} s"
        ),
        header=("service, client", "goodput", "range", "refused", "done", "failed", "shares"),
        rows=[
            (
                who,
                f"{statistics.median(run.goodput for run in runs):.3f}",
                f"{min(run.goodput for run in runs):.3f} to {max(run.goodput for run in runs):.3f}",
                f"{statistics.median(run.refused for run in runs):.2%}",
                f"{statistics.median(run.done for run in runs):,.0f}",
                f"{sum(run.failed for run in runs):,}",
                _shares(runs),
            )
            for who, runs in found.items()
        ],
        figures={
            "runs": [
                {
                    "who": who,
                    "goodput": [round(run.goodput, 4) for run in runs],
                    "refused": [round(run.refused, 4) for run in runs],
                    "done": [run.done for run in runs],
                    "failed": [run.failed for run in runs],
                    "shares": [[round(share, 3) for share in run.shares] for run in runs],
                }
                for who, runs in found.items()
            ],
            "goals": as_figures(aims),
        },
        packages=("aiohttp", "tenacity"),
        repeats=repeats,
        notes=["Failed: in all repeats together.", *notes, *verdicts(aims)],
        quick=asked.quick,
    )


def _shares(runs: Sequence[Found]) -> str:
    """How clients that share the limit share it: the least and the most that one of them had."""
    shares = [share for run in runs for share in run.shares]
    return f"{min(shares):.0%} to {max(shares):.0%}" if len(runs[0].shares) > 1 else ""


if __name__ == "__main__":
    main()
