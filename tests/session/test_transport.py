"""The transport over real sockets on this machine: what it keeps, what it bounds and what it says of a loss."""

import asyncio
import datetime as dt
import gzip
import ipaddress
import json
import os
import resource
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from encord_async import errors
from encord_async.protocol.catalogue import Endpoint
from encord_async.protocol.reply import judge
from encord_async.session.settings import Settings, Timeouts
from encord_async.session.transport import AiohttpTransport
from tests.waiting import PATIENCE_S, comes_true, time_passes

BODY = b'{"query_type": "project"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
SECRET = "canary-token-in-authorization"

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; false closes the connection."""


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have proxies of their own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@dataclass
class Server:
    """A server that speaks bytes; counts its connections, and those that are over, and keeps the requests."""

    answer: Answer
    port: int = 0
    connections: int = 0
    ended: int = 0
    requests: list[bytes] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests and answer them until one of both sides ends."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                self.requests.append(head + body)
                if not await self.answer(head, reader, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def stop(self) -> None:
        """End whatever still serves."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on a free port."""
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await listener.wait_closed()


def saying(*chunks: bytes, keep: bool = False) -> Answer:
    """Answer each request with these bytes, then close unless *keep*."""

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        return keep

    return answer


async def hang(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Never answer; wait for the other side to give up."""
    await reader.read()
    return False


@asynccontextmanager
async def transport_to(
    url: str,
    *,
    max_reply_bytes: int = 1_000_000,
    connect_s: float = PATIENCE_S,
    ca_bundle: Path | None = None,
) -> AsyncIterator[AiohttpTransport]:
    """A transport to *url*, closed afterwards."""
    settings = Settings(
        domain=url,
        max_reply_bytes=max_reply_bytes,
        timeouts=Timeouts(connect_s=connect_s, attempt_s=PATIENCE_S),
        ca_bundle=ca_bundle,
    )
    async with AiohttpTransport(settings, headers={"User-Agent": "test/1"}) as transport:
        yield transport


async def post(transport: AiohttpTransport, *, timeout_s: float | None = PATIENCE_S) -> tuple[int, bytes]:
    """Post the test's body; status and body of the reply."""
    headers = {"Authorization": SECRET}
    reply = await transport.request("POST", Endpoint.USER.value, headers, BODY, timeout_s=timeout_s)
    return reply.http_status, reply.body


# --- the happy path --------------------------------------------------------------------------------------------------


async def test_posts_the_bytes_to_the_path() -> None:
    """Path, headers and body arrive as they were given."""
    async with serving(saying(OK, keep=True)) as server, transport_to(server.url) as transport:
        assert await post(transport) == (200, b"{}")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /public/user HTTP/1.1\r\n")
    assert f"\r\nAuthorization: {SECRET}".encode() in head
    assert b"\r\nUser-Agent: test/1" in head
    assert body == BODY


async def test_error_status_is_returned_and_not_judged() -> None:
    """An HTTP error is a reply like any other here, with its headers."""
    reply = b"HTTP/1.1 503 Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    async with serving(saying(reply, keep=True)) as server, transport_to(server.url) as transport:
        found = await transport.request("POST", Endpoint.RESOURCE.value, {}, BODY, timeout_s=None)
    assert (found.http_status, found.body, found.headers["retry-after"]) == (503, b"busy", "7")


async def test_sequential_requests_share_one_connection() -> None:
    """Twenty posts in a row need one handshake."""
    async with serving(saying(OK, keep=True)) as server, transport_to(server.url) as transport:
        for _ in range(20):
            await post(transport)
    assert (server.connections, len(server.requests)) == (1, 20)


async def test_concurrent_requests_reuse_their_connections() -> None:
    """Many posts by few workers open no more connections than there are workers."""
    async with serving(saying(OK, keep=True)) as server, transport_to(server.url) as transport:

        async def worker() -> None:
            for _ in range(10):
                await post(transport)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(worker)
    assert len(server.requests) == 80
    assert server.connections <= 8


async def test_cookies_are_not_kept() -> None:
    """What a server wants to be remembered is forgotten."""
    reply = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=me; Path=/\r\n\r\n", 1)
    async with serving(saying(reply, keep=True)) as server, transport_to(server.url) as transport:
        await post(transport)
        await post(transport)
    assert all(b"cookie" not in request.lower() for request in server.requests)


async def test_redirect_is_returned_and_not_followed() -> None:
    """A redirect is handed back; nothing goes where it points."""
    async with serving(saying(OK, keep=True)) as other:
        reply = b"HTTP/1.1 307 Moved\r\nLocation: " + other.url.encode() + b"/x\r\nContent-Length: 0\r\n\r\n"
        async with serving(saying(reply, keep=True)) as server, transport_to(server.url) as transport:
            assert await post(transport) == (307, b"")
    assert (len(server.requests), other.connections) == (1, 0)


@asynccontextmanager
async def app_serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A real web server; its URL."""
    app = web.Application()
    app.router.add_post("/public/user", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_gzip_is_unpacked() -> None:
    """Compressed replies are asked for and read."""
    text = '{"status": 200, "response": "' + "x" * 5000 + '"}'

    async def handler(request: web.Request) -> web.Response:
        assert "gzip" in request.headers["Accept-Encoding"]
        response = web.Response(text=text)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with app_serving(handler) as url, transport_to(url) as transport:
        assert await post(transport) == (200, text.encode())


# --- losses ----------------------------------------------------------------------------------------------------------


async def test_refused_connection_is_not_sent() -> None:
    """Nobody listens: surely nothing was done."""
    async with serving(saying(OK)) as server:
        url = server.url
    async with transport_to(url) as transport:
        with pytest.raises(errors.NotSentError, match="no connection") as caught:
            await post(transport)
    assert caught.value.message == f"no connection to {url.removeprefix('http://')}: Connection refused"
    assert caught.value.applied == "not_applied"


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
async def test_no_room_for_a_connection_is_no_silence_of_the_service(host: str) -> None:
    """When this process may open no more files that is said, with the remedy, and nobody waits for the service."""
    async with serving(saying(OK)) as server:
        url = server.url if host == "127.0.0.1" else f"https://{host}"
        async with transport_to(url) as transport:
            lowest = os.dup(0)
            os.close(lowest)
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
            try:
                with pytest.raises(errors.SettingsError, match=r"open no more files.*ulimit -n.*lower concurrency"):
                    await post(transport)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert server.requests == []


async def test_unknown_host_is_not_sent() -> None:
    """A host name that leads nowhere: surely nothing was done."""
    async with transport_to("https://nowhere.invalid") as transport:
        with pytest.raises(errors.NotSentError, match=r"nowhere\.invalid"):
            await post(transport)


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        ((), errors.NoReplyError),
        ((b"HTTP/1.1 200 OK\r\nContent-Ty",), errors.NoReplyError),
        ((OK[:-1],), errors.UnreadableReplyError),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",), errors.UnreadableReplyError),
        ((b"SSH-2.0-OpenSSH_9.9\r\n\r\n",), errors.UnreadableReplyError),
        ((b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",), errors.UnreadableReplyError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",), errors.UnreadableReplyError),
    ],
    ids=["nothing", "in the headers", "in the body", "in a chunk", "not HTTP", "long header", "bad length"],
)
async def test_cut_reply_is_uncertain(chunks: tuple[bytes, ...], kind: type[errors.UncertainError]) -> None:
    """A connection cut after the request, wherever in the reply, leaves open what was done, and is not retried here."""
    async with serving(saying(*chunks)) as server, transport_to(server.url) as transport:
        with pytest.raises(kind) as caught:
            await post(transport)
    assert type(caught.value) is kind
    assert caught.value.applied == "unknown"
    assert len(server.requests) == 1


async def test_nothing_is_sent_twice_over_a_dead_kept_connection() -> None:
    """A kept connection that dies under a new request loses it; the HTTP library does not quietly send again."""
    seen = 0

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        nonlocal seen
        seen += 1
        if seen == 1:
            writer.write(OK)
        return seen == 1

    async with serving(answer) as server, transport_to(server.url) as transport:
        await post(transport)
        with pytest.raises(errors.NoReplyError):
            await post(transport)
    assert (len(server.requests), server.connections) == (2, 1)


def packed(data: bytes) -> bytes:
    """A reply that says of *data* that it is gzip."""
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def test_wrong_gzip_is_unreadable() -> None:
    """A reply that cannot be unpacked is one that came and cannot be read."""
    async with serving(saying(packed(b"no gzip at all"), keep=True)) as server, transport_to(server.url) as transport:
        with pytest.raises(errors.UnreadableReplyError):
            await post(transport)


async def test_cut_gzip_is_never_taken_for_a_whole_envelope() -> None:
    """aiohttp hands out what it could unpack; cut JSON is no envelope, so it ends as unreadable all the same."""
    data = gzip.compress(json.dumps({"status": 200, "response": "hash" * 500}).encode())
    async with serving(saying(packed(data[:-20]), keep=True)) as server, transport_to(server.url) as transport:
        reply = await transport.request("POST", Endpoint.USER.value, {}, BODY, timeout_s=PATIENCE_S)
    with pytest.raises(errors.UnreadableReplyError):
        judge(reply, operation="project.POST", now_s=0.0)


async def overdue(server: Server, transport: AiohttpTransport) -> None:
    """Post, and let the time of the attempt be over once the request is at *server*."""
    async with anyio.create_task_group() as group:
        group.start_soon(post_in_vain, transport)
        await comes_true(lambda: server.requests)
        time_passes(PATIENCE_S)


async def post_in_vain(transport: AiohttpTransport, timeout_s: float = PATIENCE_S) -> None:
    """Post what is not answered in time."""
    with pytest.raises(errors.NoReplyError, match="in time"):
        await post(transport, timeout_s=timeout_s)


async def test_silent_server_runs_out_of_the_attempts_time() -> None:
    """No reply in the time of the attempt leaves open what was done."""
    async with serving(hang) as server, transport_to(server.url) as transport:
        await overdue(server, transport)
    assert len(server.requests) == 1


async def test_slow_body_runs_out_of_the_attempts_time() -> None:
    """The time of the attempt covers the reply's body."""

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK[:-1])
        return await hang(head, reader, writer)

    async with serving(answer) as server, transport_to(server.url) as transport:
        await overdue(server, transport)


async def test_each_of_many_requests_ends_in_its_own_time() -> None:
    """Requests that may take longer or less than those before them all end when they should, in that order."""
    ended: list[float] = []

    async def one(timeout_s: float) -> None:
        await post_in_vain(transport, timeout_s)
        ended.append(timeout_s)

    async with (
        serving(hang) as server,
        transport_to(server.url) as transport,
        anyio.create_task_group() as group,
    ):
        for timeout_s in (4000, 6000, 2000, 8000):
            group.start_soon(one, timeout_s)
        await comes_true(lambda: len(server.requests) == 4)
        for number in range(1, 5):
            time_passes(2000)
            await comes_true(lambda: len(ended) >= number)  # noqa: B023 - it is over when the number changes
            assert ended == [2000, 4000, 6000, 8000][:number]


async def test_reply_in_time_is_not_ended_by_the_time_of_another() -> None:
    """What ended in time leaves nothing behind that could end what the same task does next."""
    async with serving(saying(OK, keep=True)) as server, transport_to(server.url) as transport:
        await post(transport)
        time_passes(PATIENCE_S)
        await asyncio.sleep(0)
        assert await post(transport) == (200, b"{}")
        await asyncio.sleep(0)


@pytest.mark.parametrize("timeout_s", [None, PATIENCE_S])
async def test_cancellation_by_the_caller_is_no_time_out(timeout_s: float | None) -> None:
    """Whoever cancels a request meets the cancellation, and not an error of ours."""
    arrived = asyncio.Event()

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        return await hang(head, reader, writer)

    async with serving(answer) as server, transport_to(server.url) as transport:
        task = asyncio.ensure_future(post(transport, timeout_s=timeout_s))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancellation_in_the_moment_of_the_time_out_is_kept() -> None:
    """A task that is cancelled when its request's time is just over ends as cancelled."""
    async with serving(hang) as server, transport_to(server.url) as transport:
        task = asyncio.ensure_future(post(transport))
        await comes_true(lambda: server.requests)
        time_passes(PATIENCE_S)
        while not task.cancelling():  # noqa: ASYNC110 - nobody tells when the time is over
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def cannot_post(transport: AiohttpTransport) -> None:
    """Post what cannot be sent."""
    with pytest.raises(errors.NotSentError):
        await post(transport, timeout_s=2 * PATIENCE_S)


async def test_handshake_that_hangs_is_not_sent() -> None:
    """Running out of the time for a connection, TLS included, means that nothing was sent."""
    async with serving(hang) as server:
        url = server.url.replace("http://", "https://")
        async with transport_to(url) as transport, anyio.create_task_group() as group:
            group.start_soon(cannot_post, transport)
            await comes_true(lambda: server.connections)
            time_passes(PATIENCE_S)
    assert server.requests == []


async def test_closed_transport_sends_nothing() -> None:
    """Posting through a closed transport is known not to have been sent."""
    async with serving(saying(OK, keep=True)) as server:
        async with transport_to(server.url) as transport:
            pass
        with pytest.raises(errors.NotSentError, match="closed"):
            await post(transport)
    assert server.connections == 0


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_reply_of_exactly_the_limit_is_read() -> None:
    """The bound is the longest reply accepted, not the shortest refused."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with (
        serving(saying(head + b"x" * 1000, keep=True)) as server,
        transport_to(server.url, max_reply_bytes=1000) as transport,
    ):
        assert await post(transport) == (200, b"x" * 1000)


async def test_oversized_reply_is_not_read_to_its_end() -> None:
    """A reply beyond the bound is dropped with its connection; the next request gets a fresh one."""
    written = 0

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000
        return True

    async with serving(answer) as server, transport_to(server.url, max_reply_bytes=100_000) as transport:
        for _ in range(2):
            with pytest.raises(errors.UnreadableReplyError, match="larger than 100000 bytes"):
                await post(transport)
    assert server.connections == 2
    assert written < 50_000_000


async def test_gzip_bomb_is_bounded_in_memory() -> None:
    """A small reply that unpacks to a hundred megabytes costs a few at most."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1_000_000)
    bomb = b"".join(packer.compress(zeros) for _ in range(100)) + packer.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    assert len(bomb) < 200_000
    async with (
        serving(saying(head.encode() + bomb, keep=True)) as server,
        transport_to(server.url, max_reply_bytes=1_000_000) as transport,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(errors.UnreadableReplyError, match="larger than 1000000 bytes"):
                await post(transport)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 10_000_000


# --- TLS -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1 and api.encord.example."""

    path: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A server's certificate that no machine trusts by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "encord test")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("api.encord.example")]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return Certificate(path, context)


async def test_untrusted_certificate_is_a_setting_to_correct(certificate: Certificate) -> None:
    """A certificate nobody vouches for ends in a message that names the remedy; nothing is sent."""
    async with serving(saying(OK, keep=True), tls=certificate.context) as server:
        url = server.url.replace("http://", "https://")
        async with transport_to(url) as transport:
            with pytest.raises(errors.SettingsError, match=r"not trusted.*ca_bundle"):
                await post(transport)
    assert server.requests == []


async def test_ca_bundle_is_trusted(certificate: Certificate) -> None:
    """With the CA bundle that vouches for it, the same server is spoken to."""
    async with serving(saying(OK, keep=True), tls=certificate.context) as server:
        url = server.url.replace("http://", "https://")
        async with transport_to(url, ca_bundle=certificate.path) as transport:
            assert await post(transport) == (200, b"{}")
    assert len(server.requests) == 1


async def test_connections_under_tls_are_kept(certificate: Certificate) -> None:
    """What TLS itself sends beside replies, as a server's tickets, is nothing unasked."""
    async with (
        serving(saying(OK, keep=True), certificate.context) as server,
        transport_to(f"https://127.0.0.1:{server.port}", ca_bundle=certificate.path) as transport,
    ):
        for _ in range(20):
            await post(transport)
    assert (server.connections, len(server.requests)) == (1, 20)


@pytest.mark.parametrize("after_s", [0.0, 0.02], ids=["in one packet", "while idle"])
async def test_connection_under_tls_that_brings_a_reply_too_many_is_not_used_again(
    certificate: Certificate, after_s: float
) -> None:
    """TLS keeps others out, and not the service's own proxy from repeating itself."""
    first = True

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        nonlocal first
        writer.write(OK)
        if first:
            await asyncio.sleep(after_s)
            writer.write(OK.replace(b"{}", b"no"))
        first = False
        return True

    async with (
        serving(answer, certificate.context) as server,
        transport_to(f"https://127.0.0.1:{server.port}", ca_bundle=certificate.path) as transport,
    ):
        assert await post(transport) == (200, b"{}")
        await comes_true(lambda: server.ended == 1)
        assert await post(transport) == (200, b"{}")
    assert server.connections == 2


async def test_certificate_of_another_host_is_not_accepted(certificate: Certificate) -> None:
    """A trusted certificate counts only for the host that it names."""
    async with serving(saying(OK, keep=True), tls=certificate.context) as server:
        url = f"https://localhost:{server.port}"
        async with transport_to(url, ca_bundle=certificate.path) as transport:
            with pytest.raises(errors.SettingsError, match="not trusted"):
                await post(transport)
    assert server.requests == []


# --- proxies ---------------------------------------------------------------------------------------------------------


def tunnel_to(port: int) -> Answer:
    """A proxy that answers every CONNECT with a tunnel to one port of this machine."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with anyio.create_task_group() as group:
            group.start_soon(pump, reader, forth)
            group.start_soon(pump, back, writer)
        return False

    return answer


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
async def test_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A proxy sees a CONNECT to the service and nothing of the request; its refusal means not sent."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with serving(saying(refusal)) as proxy:
        monkeypatch.setenv(variable, f"http://us%40er:s3cret@127.0.0.1:{proxy.port}")
        async with transport_to("https://api.encord.example") as transport:
            with pytest.raises(errors.NotSentError, match="the proxy answers HTTP 403") as caught:
                await post(transport)
    [request] = proxy.requests
    assert request.startswith(b"CONNECT api.encord.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNAZXI6czNjcmV0" in request
    assert SECRET.encode() not in request
    assert caught.value.__context__ is None


async def test_request_goes_through_the_tunnel(monkeypatch: pytest.MonkeyPatch, certificate: Certificate) -> None:
    """Through a proxy's tunnel TLS is checked and the request arrives. A proxy without a scheme is an HTTP one."""
    async with (
        serving(saying(OK, keep=True), tls=certificate.context) as server,
        serving(tunnel_to(server.port)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        async with transport_to("https://api.encord.example", ca_bundle=certificate.path) as transport:
            assert await post(transport) == (200, b"{}")
            assert await post(transport) == (200, b"{}")
    assert [len(server.requests), len(proxy.requests)] == [2, 1]
    assert SECRET.encode() in server.requests[0]


async def test_loopback_is_never_proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Talking to this machine leaves proxies out, whatever the environment says."""
    async with serving(saying(OK)) as proxy, serving(saying(OK, keep=True)) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with transport_to(server.url) as transport:
            assert await post(transport) == (200, b"{}")
    assert proxy.connections == 0


async def test_no_proxy_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that the environment exempts are spoken to directly."""
    async with serving(saying(OK)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", ".invalid")
        async with transport_to("https://api.encord.invalid") as transport:
            with pytest.raises(errors.NotSentError):
                await post(transport)
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "proxy",
    ["socks5://u:s3cret@127.0.0.1:1080", "http://u:s3cret@[broken", "http://u:s3cret@127.0.0.1:99999", "http://"],
)
async def test_unusable_proxy_is_told_when_opening(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy that cannot be used fails the opening, and its password stays out of the message."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(errors.SettingsError, match="HTTPS_PROXY") as caught:
        async with transport_to("https://api.encord.example"):
            pass
    assert "s3cret" not in str(caught.value)


async def test_netrc_does_not_replace_the_signature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A password in ~/.netrc for the host is not sent in the place of the signature."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with serving(saying(OK, keep=True)) as server, transport_to(server.url) as transport:
        await post(transport)
    assert f"Authorization: {SECRET}".encode() in server.requests[0]


async def test_errors_do_not_quote_a_reply_that_is_no_http() -> None:
    """A server that echoes our headers in broken HTTP does not get them into our error or what hangs on it."""
    echo = f"HTTP/1.1 200 OK\r\n{SECRET} without a colon\r\n\r\n".encode()
    async with serving(saying(echo)) as server, transport_to(server.url) as transport:
        with pytest.raises(errors.UnreadableReplyError) as caught:
            await post(transport)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
