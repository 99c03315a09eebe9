"""REST requests over real sockets on this machine: what is on the wire, and that nothing is sent a second time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from encord_async import errors
from encord_async.session.settings import Settings
from encord_async.session.transport import AiohttpTransport
from tests.waiting import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
NONE = b"HTTP/1.1 204 No Content\r\n\r\n"
METHODS = ["GET", "PUT", "DELETE", "POST"]


@dataclass
class Server:
    """Answers with the next bytes and closes on an empty answer; keeps the requests."""

    answers: list[bytes]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                self.requests.append(head + body)
                answer = self.answers.pop(0) if self.answers else b""
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(*answers: bytes) -> AsyncIterator[tuple[Server, AiohttpTransport]]:
    """A server on a free port, and a transport for it."""
    server = Server(list(answers))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        async with AiohttpTransport(Settings(domain=server.url), headers={"User-Agent": "us"}) as transport:
            yield server, transport
    finally:
        listener.close()
        await listener.wait_closed()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", [b"", b'{"a": 1}'])
async def test_a_connection_that_closes_sees_exactly_one_request(method: str, body: bytes) -> None:
    """aiohttp would send GET, PUT and DELETE again by itself; each attempt is ours to count and to sign."""
    async with running() as (server, transport):
        with pytest.raises(errors.NoReplyError, match="connection was lost: Server disconnected"):
            await transport.request(method, "/v2/public/x", {}, body, timeout_s=PATIENCE_S)
    assert (len(server.requests), server.connections) == (1, 1)


@pytest.mark.parametrize("method", METHODS)
async def test_a_kept_connection_that_closes_sees_exactly_one_request(method: str) -> None:
    """The same on a connection that has served a request before, which is where aiohttp's own retry is meant for."""
    async with running(OK) as (server, transport):
        await transport.request("GET", "/v2/public/first", {}, b"", timeout_s=PATIENCE_S)
        with pytest.raises(errors.NoReplyError):
            await transport.request(method, "/v2/public/second", {}, b"", timeout_s=PATIENCE_S)
    assert [request.split(b" ")[1] for request in server.requests] == [b"/v2/public/first", b"/v2/public/second"]


@pytest.mark.parametrize(
    "target",
    [
        "/v2/public/organisation/users/new%2Bx%40example.com",
        "/v2/public/projects?titleLike=V%25&createdAfter=2024-01-02T03%3A04%3A05%2B02%3A00&a=b+c&a=%7E",
        "/v2/public/datasets/list?includeOrgAccess=False",
        "/v2/public/x?pageToken=a%3D%3D",
    ],
)
async def test_the_target_goes_out_to_the_byte(target: str) -> None:
    """What was signed is what is on the wire: no percent sign is tidied up on the way."""
    async with running(OK) as (server, transport):
        reply = await transport.request("GET", target, {"Signature": "encord-sig=:x:"}, b"", timeout_s=PATIENCE_S)
    assert (reply.http_status, reply.body) == (200, b"{}")
    head = server.requests[0].decode()
    assert head.startswith(f"GET {target} HTTP/1.1\r\n")
    assert "\r\nSignature: encord-sig=:x:\r\n" in head


async def test_a_body_goes_out_and_no_body_does_not() -> None:
    """A request with nothing to say has no body; HTTP 204 comes back as such."""
    async with running(NONE, NONE, NONE) as (server, transport):
        for method, body in (("PUT", b'{"status": "paused"}'), ("PUT", b""), ("DELETE", b"")):
            reply = await transport.request(method, "/v2/public/x", {}, body, timeout_s=PATIENCE_S)
            assert (reply.http_status, reply.body) == (204, b"")
    assert server.requests[0].endswith(b'\r\n\r\n{"status": "paused"}')
    assert server.requests[1].endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" in server.requests[1]
    assert server.connections == 1


async def test_no_connection_is_not_sent() -> None:
    """Where nobody listens, nothing was sent: a create may be tried again."""
    async with running() as (server, transport):
        pass
    async with AiohttpTransport(Settings(domain=server.url), headers={}) as transport:
        with pytest.raises(errors.NotSentError):
            await transport.request("GET", "/v2/public/x", {}, b"", timeout_s=PATIENCE_S)


async def test_redirects_are_not_followed() -> None:
    """A redirect comes back as it is; a signature is not carried to another address."""
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with running(moved, OK) as (server, transport):
        assert (await transport.request("GET", "/v2/public/x", {}, b"", timeout_s=PATIENCE_S)).http_status == 307
    assert len(server.requests) == 1
