"""What the benchmarks of pure client cost share: nginx that gives one reply, and clients that create projects.

The reply is fixed but for the hash in it, since no two things have one. nginx is a process of its own on 127.0.0.1,
with one worker, and answers every request alike over http and https, so that what is measured is the client. Nothing
here prints.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from benchmarks._common import SDK_PYTHON
from encord_async import EncordSession, Settings, SSHKey
from encord_async.operations import CreateProject
from encord_async.protocol.reply import RawReply
from encord_async.session.transport import AiohttpTransport
from encord_async.session.turn import Turn

__all__ = [
    "IN_FLIGHT",
    "EmptyAccount",
    "Server",
    "bare_creates",
    "careful_creates",
    "fixed_reply",
    "httpx_creates",
    "provision_creates",
    "sdk_creates",
    "session_creates",
]

IN_FLIGHT: Final = 64

_NGINX: Final = """
daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    access_log off; keepalive_requests 10000000; keepalive_timeout 300s; default_type application/json;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/cert.key;
        location / {{ return 200 '{{"status": 200, "response": "$request_id"}}'; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One way to reach the fixed reply."""

    url: str
    key_file: Path
    ca_bundle: Path
    folder: Path
    """A place for what a run writes; gone with the server."""

    def settings(self, *, in_flight: int) -> Settings:
        """Of a session with it."""
        return Settings(domain=self.url, concurrency=in_flight, ca_bundle=self.ca_bundle)

    def tls(self) -> ssl.SSLContext:
        """For clients other than ours."""
        return ssl.create_default_context(cafile=self.ca_bundle)


@contextmanager
def fixed_reply() -> Iterator[dict[str, Server]]:
    """The server by scheme, once it answers.

    Raises:
        FileNotFoundError: nginx or openssl is not installed.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise FileNotFoundError("nginx is missing (on Debian and Ubuntu: apt-get install nginx-light)")
    # nginx's workers may run as another user.
    with tempfile.TemporaryDirectory(prefix="encord-async-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        port, tls_port = _free_ports()
        key = Ed25519PrivateKey.generate()
        (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        _write_certificate(folder)
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, tls_port=tls_port))
        command = [program, "-e", str(folder / "start.log"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        process = subprocess.Popen(command)
        try:
            _wait_for(tls_port)
            yield {
                scheme: Server(
                    url=f"{scheme}://127.0.0.1:{number}",
                    key_file=folder / "key",
                    ca_bundle=folder / "cert.pem",
                    folder=folder,
                )
                for scheme, number in (("http", port), ("https", tls_port))
            }
        finally:
            process.terminate()
            process.wait()


def _write_certificate(folder: Path) -> None:
    """A P-256 certificate that signs itself: the cheapest handshake, which favours who makes many."""
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "cert.key"), "-out", str(folder / "cert.pem")]
    openssl = shutil.which("openssl")
    if openssl is None:
        raise FileNotFoundError("openssl is missing")
    subprocess.run([openssl, *command, *names, *files], check=True, capture_output=True)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("nginx does not listen after 5 s; see its error.log")


# --- the clients: each creates so many projects and hands the seconds that each took to `note`, if it is given ---

Note = Callable[[float], None]


async def session_creates(
    server: Server, creates: int, *, in_flight: int = IN_FLIGHT, tasks: int | None = None, note: Note | None = None
) -> None:
    """`Session.execute` from so many tasks, by default as many as may be in flight."""
    settings = server.settings(in_flight=in_flight)
    async with EncordSession.from_ssh_key(server.key_file, settings=settings) as session:

        async def create(number: int) -> None:
            await session.execute(CreateProject(title=f"Project {number}"))

        await _in_parallel(create, creates, tasks or in_flight, note)


class EmptyAccount:
    """A transport that says itself that the account holds nothing: nginx's fixed reply is no listing."""

    def __init__(self, settings: Settings) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._wire = AiohttpTransport(settings, headers=headers)

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: Turn | None = None,
    ) -> RawReply:
        """See `Transport`."""
        if b'"query_method": "GET"' in body:
            return RawReply(200, {"Content-Type": "application/json"}, b'{"status": 200, "response": []}')
        if method == "GET":
            return RawReply(200, {"Content-Type": "application/json"}, b'{"results": []}')
        return await self._wire.request(method, target, headers, body, timeout_s=timeout_s, turn=turn)

    async def aclose(self) -> None:
        """See `Transport`."""
        await self._wire.aclose()


async def provision_creates(server: Server, creates: int, *, journal: bool = True) -> None:
    """`EncordSession.provision`, of projects in an account that is empty."""
    path = server.folder / f"{time.monotonic_ns()}.journal" if journal else None
    entries = ({"kind": "project", "title": f"Project {number}"} for number in range(creates))
    settings = server.settings(in_flight=IN_FLIGHT)
    made = 0
    async with (
        EncordSession(SSHKey.from_path(server.key_file), settings, transport=EmptyAccount) as session,
        session.provision(entries, journal=path) as run,
    ):
        async for outcome in run:
            made += outcome.status == "created"
    assert made == creates, f"{made} of {creates} were made"


async def bare_creates(server: Server, creates: int, *, in_flight: int = IN_FLIGHT, note: Note | None = None) -> None:
    """The loop that one would write: aiohttp, the same bodies, signed; the hash is read from the reply."""
    sign = _signer(server.key_file)
    url = f"{server.url}/public/user"
    tls = server.tls()
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:

        async def create(number: int) -> None:
            body = _body(number)
            headers = {"Authorization": sign(body), "Content-Type": "application/json", "Accept": "application/json"}
            async with client.post(url, data=body, headers=headers) as reply:
                _hash(await reply.read())

        await _in_parallel(create, creates, in_flight, note)


async def careful_creates(server: Server, creates: int) -> None:
    """The loop of who has to know afterwards what was sent: a row, with a full sync, before and after each create."""
    sign = _signer(server.key_file)
    url = f"{server.url}/public/user"
    connector = aiohttp.TCPConnector(limit=0, ssl=server.tls())
    with contextlib.closing(sqlite3.connect(server.folder / f"{time.monotonic_ns()}.db")) as rows:
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=FULL")
        rows.execute("CREATE TABLE creates (number INTEGER PRIMARY KEY, title TEXT, hash TEXT)")
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:

            async def create(number: int) -> None:
                body = _body(number)
                rows.execute("INSERT INTO creates VALUES (?, ?, NULL)", (number, f"Project {number}"))
                rows.commit()
                headers = {"Authorization": sign(body), "Content-Type": "application/json"}
                async with client.post(url, data=body, headers=headers) as reply:
                    made = _hash(await reply.read())
                rows.execute("UPDATE creates SET hash = ? WHERE number = ?", (made, number))
                rows.commit()

            await _in_parallel(create, creates, IN_FLIGHT, None)
        (found,) = rows.execute("SELECT count(hash) FROM creates").fetchone()
    assert found == creates, f"{found} of {creates} were made"


async def httpx_creates(server: Server, creates: int) -> None:
    """The same loop around httpx."""
    sign = _signer(server.key_file)
    url = f"{server.url}/public/user"
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(verify=server.tls(), limits=limits, trust_env=False, timeout=60) as client:

        async def create(number: int) -> None:
            body = _body(number)
            headers = {"Authorization": sign(body), "Content-Type": "application/json"}
            _hash((await client.post(url, content=body, headers=headers)).content)

        await _in_parallel(create, creates, IN_FLIGHT, None)


def sdk_creates(server: Server, creates: int) -> tuple[float, float]:
    """The official SDK in as many threads, in a process of its own; seconds and seconds of CPU."""
    script = Path(__file__).with_name("_sdk_overhead.py")
    command = [str(SDK_PYTHON), "-I", str(script), server.url, str(server.key_file), str(creates), str(IN_FLIGHT)]
    env = os.environ | {"REQUESTS_CA_BUNDLE": str(server.ca_bundle)}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if told.returncode != 0:
        raise RuntimeError(f"the SDK's process failed: {told.stderr[-2000:]}")
    found = json.loads(told.stdout)
    return found["elapsed_s"], found["cpu_s"]


async def _in_parallel(
    create: Callable[[int], Awaitable[None]], creates: int, in_flight: int, note: Note | None
) -> None:
    numbers = iter(range(creates))

    async def work() -> None:
        for number in numbers:
            began_s = time.perf_counter()
            await create(number)
            if note is not None:
                note(time.perf_counter() - began_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())


def _body(number: int) -> bytes:
    payload = {"title": f"Project {number}", "description": "", "dataset_hashes": [], "workflow_type": "manual"}
    query = {"query_type": "project", "query_method": "POST", "values": {"uid": None, "payload": payload}}
    return json.dumps(query).encode()


def _hash(reply: bytes) -> str:
    told: dict[str, Any] = json.loads(reply)
    assert told["status"] == 200, told
    return str(told["response"])


def _signer(key_file: Path) -> Callable[[bytes], str]:
    key = load_ssh_private_key(key_file.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    prefix = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex() + ":"
    # Both clients send the same bytes, or the comparison is none.
    assert _body(7) == CreateProject(title="Project 7").request().body, CreateProject(title="Project 7").request().body
    return lambda body: prefix + key.sign(hashlib.sha256(body).digest()).hex()
