"""Bytes that nobody asked for: a connection that brings some is never used again, and they are nobody's answer."""

import asyncio
import contextlib
import gc
import gzip
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from encord_async import errors
from encord_async.protocol.operations.projects import CreateProject
from encord_async.session.settings import Settings
from encord_async.session.transport import AiohttpTransport, _Handler
from encord_async.session.turn import Turn
from tests.waiting import PATIENCE_S, comes_true

Script = Callable[["Peer", int], Awaitable[None]]
"""Answers a request of this number, over all connections, from 1."""


def reply(text: str) -> bytes:
    """A whole reply with *text* as its body."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


STALE = reply("stale")


@dataclass
class Peer:
    """A server that may say more than it was asked; *connections* are open or closed ones, in the order they came."""

    script: Script
    greeting: bytes = b""
    port: int = 0
    requests: int = 0
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    ended: list[asyncio.Event] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections.append(writer)
        ended = asyncio.Event()
        self.ended.append(ended)
        writer.write(self.greeting)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
                self.requests += 1
                await self.script(self, self.requests)
        ended.set()
        writer.close()

    def say(self, data: bytes, connection: int = -1) -> None:
        """Write *data* at once."""
        self.connections[connection].write(data)


@asynccontextmanager
async def talking(script: Script, *, greeting: bytes = b"") -> AsyncIterator[tuple[Peer, AiohttpTransport]]:
    """A peer on a free port, and a transport to it."""
    peer = Peer(script, greeting)
    listener = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = listener.sockets[0].getsockname()[1]
    try:
        settings = Settings(domain=f"http://127.0.0.1:{peer.port}")
        async with AiohttpTransport(settings, headers={"User-Agent": "us"}) as transport:
            yield peer, transport
    finally:
        listener.close()
        for writer in peer.connections:
            writer.close()
        await listener.wait_closed()


async def ask(transport: AiohttpTransport, method: str) -> str:
    """The body of what one request is answered."""
    target, body = ("/public/user", b'{"a": 1}') if method == "POST" else ("/v2/public/projects", b"")
    return (await transport.request(method, target, {}, body, timeout_s=10.0)).body.decode()


async def plainly(peer: Peer, number: int) -> None:
    """Answer with the number of the request."""
    peer.say(reply(str(number)))


async def test_what_waits_for_a_connection_is_asked_for_once_more() -> None:
    """A connection takes its time to be made, in which a run may lose its journal: nothing is sent on it then."""
    operation = CreateProject(title="Cats")
    asked: list[bool] = []

    async def let_pass() -> None:
        asked.append(True)
        if len(asked) > 1:
            raise errors.StoppedError("lost")

    async with talking(plainly) as (peer, transport):

        async def create() -> None:
            turn = Turn(operation.request(), operation, let_pass)
            await transport.request("POST", "/public", {}, b"{}", timeout_s=PATIENCE_S, turn=turn)

        await create()
        await create()
        assert (len(asked), peer.requests, len(peer.connections)) == (1, 2, 1)
        peer.connections[0].close()
        await peer.ended[0].wait()
        with pytest.raises(errors.StoppedError):
            await create()
        assert (len(asked), peer.requests) == (2, 2)


async def test_connections_that_are_over_keep_no_request() -> None:
    """What was sent on them is let go at once, and not when the garbage collector comes, which may be much later."""
    bodies = 20
    operation = CreateProject(title="Cats", description=200_000 * "x")

    async def for_the_last_time(peer: Peer, number: int) -> None:
        # We close it then: whether an end that comes from there is seen in time is not what is asked here.
        peer.say(reply(str(number)).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        async with talking(for_the_last_time) as (peer, transport):
            for number in range(bodies):
                turn = Turn(operation.request(), operation)
                assert turn.request.body
                await transport.request("POST", "/public", {}, turn.request.body, timeout_s=PATIENCE_S, turn=turn)
                del turn
                await asyncio.wait_for(peer.ended[number].wait(), PATIENCE_S)
            kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(peer.connections) == bodies
    assert kept < bodies * 200_000 / 2


METHODS = pytest.mark.parametrize("method", ["GET", "POST"])
EXTRA = pytest.mark.parametrize(
    "extra",
    [STALE, STALE[:30], b"HTTP/1.1 2", b"\r\n", b"x", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["reply", "half a head", "a few bytes", "line break", "rubbish", "interim"],
)


@METHODS
@EXTRA
async def test_what_comes_while_a_connection_is_idle_is_nobodys_answer(method: str, extra: bytes) -> None:
    """A proxy that repeats a reply on an idle connection loses it; the next request goes over a new one."""
    async with talking(plainly) as (peer, transport):
        assert await ask(transport, method) == "1"
        peer.say(extra)
        await asyncio.wait_for(peer.ended[0].wait(), PATIENCE_S)
        assert await ask(transport, method) == "2"
    assert len(peer.connections) == 2


@METHODS
@EXTRA
@pytest.mark.parametrize("apart", [False, True], ids=["in one packet", "after the head"])
async def test_what_follows_a_reply_ends_its_connection(method: str, extra: bytes, apart: bool) -> None:
    """A reply with anything behind it is still the answer, if it can be read, and the last on its connection."""

    async def script(peer: Peer, number: int) -> None:
        whole = reply(str(number))
        if number == 1 and apart:
            peer.say(whole[:-1])
            await asyncio.sleep(0.02)
            whole = whole[-1:]
        peer.say(whole + (extra if number == 1 else b""))

    async with talking(script) as (peer, transport):
        try:
            assert await ask(transport, method) == "1"
        except errors.UnreadableReplyError:
            assert extra == b"x"
        await asyncio.wait_for(peer.ended[0].wait(), PATIENCE_S)
        assert await ask(transport, method) == "2"
    assert len(peer.connections) == 2


WAITING = pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda writer: writer.write(STALE), id="a reply"),
        pytest.param(lambda writer: writer.write_eof(), id="the end"),
    ],
)


@WAITING
async def test_what_waits_in_the_socket_is_seen_before_a_body_is_written(
    spoil: Callable[[asyncio.StreamWriter], None],
) -> None:
    """What has arrived and was not read yet is no answer: nothing is sent then, so that a create is not in doubt."""
    async with talking(plainly) as (peer, transport):
        assert await ask(transport, "POST") == "1"
        # Done to the socket at once, and the event loop has no turn to read before the next request chooses it.
        spoil(peer.connections[0])
        with pytest.raises(errors.NotSentError, match="unasked, or closed"):
            await ask(transport, "POST")
        assert peer.requests == 1
        assert await ask(transport, "POST") == "2"


@WAITING
async def test_what_waits_in_the_socket_sends_a_read_over_another_connection(
    spoil: Callable[[asyncio.StreamWriter], None],
) -> None:
    """A request without a body is written as soon as it has a connection, so that it can still choose another."""
    async with talking(plainly) as (peer, transport):
        assert await ask(transport, "GET") == "1"
        spoil(peer.connections[0])
        assert await ask(transport, "GET") == "2"
    assert len(peer.connections) == 2


if sys.version_info < (3, 12):
    # From 3.12 on aiohttp writes in the very step in which it takes the connection, so that nothing comes between.

    async def test_what_comes_between_choosing_a_connection_and_writing_is_no_answer() -> None:
        """The request is not written then, and said to be not sent."""
        async with talking(plainly) as (peer, transport):
            assert await ask(transport, "POST") == "1"
            posting = asyncio.ensure_future(ask(transport, "POST"))
            await asyncio.sleep(0)  # It has its connection now, and writes when it has its next turn.
            peer.say(STALE)
            with pytest.raises(errors.NotSentError, match="unasked"):
                await posting
            assert peer.requests == 1
            assert await ask(transport, "POST") == "2"


async def test_new_connection_on_which_the_peer_talks_first_is_not_used() -> None:
    """A port that greets whoever comes, with a reply even, speaks another protocol."""
    async with talking(plainly, greeting=STALE) as (peer, _):
        loop = asyncio.get_running_loop()
        _, handler = await loop.create_connection(lambda: _Handler(loop), "127.0.0.1", peer.port)
        await comes_true(lambda: handler.should_close, "the greeting is there")
        with pytest.raises(aiohttp.ClientConnectionError, match="unasked"):
            handler.take()
        handler.close()
        await asyncio.wait_for(peer.ended[0].wait(), PATIENCE_S)


async def test_interim_replies_are_no_answers_and_no_offence() -> None:
    """A reply may be announced: the announcement is skipped and the connection kept."""

    async def script(peer: Peer, number: int) -> None:
        peer.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(str(number)))

    async with talking(script) as (peer, transport):
        assert [await ask(transport, "POST") for _ in range(3)] == ["1", "2", "3"]
    assert len(peer.connections) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        reply("x" * 1_000_000),
    ],
    ids=["204", "empty", "no chunk", "chunks", "large"],
)
@pytest.mark.parametrize("pieces", [1, 2])
async def test_replies_of_every_form_keep_their_connection(sent: bytes, pieces: int) -> None:
    """Whatever says where a reply ends, what ends there is not taken for something unasked."""

    async def script(peer: Peer, number: int) -> None:
        middle = len(sent) - 1 if pieces == 2 else len(sent)
        peer.say(sent[:middle])
        await asyncio.sleep(0.01)
        peer.say(sent[middle:])

    async with talking(script) as (peer, transport):
        for _ in range(3):
            await ask(transport, "POST")
    assert len(peer.connections) == 1


async def test_aiohttp_still_makes_its_connections_as_we_rely_on() -> None:
    """Ours are handlers of our own, by the one private name that is used; here it is seen when aiohttp changes it."""
    async with talking(plainly) as (_, transport):
        await ask(transport, "POST")
        connector = transport._client.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        made = connector._factory()
        assert isinstance(made, ResponseHandler)
        assert type(made) is not ResponseHandler


def packed(text: str) -> bytes:
    """A whole reply with *text*, which is a thousandth as long on the wire."""
    body = gzip.compress(text.encode())
    return f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def in_pieces(text: str) -> bytes:
    """A whole reply with *text*, each character by itself."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"1\r\n%s\r\n" % bytes([byte]) for byte in text.encode()) + b"0\r\n\r\n"


@pytest.mark.parametrize(("sent", "length"), [(packed, 3_000_000), (in_pieces, 100_000)])
async def test_what_is_held_back_comes_in_the_end(sent: Callable[[str], bytes], length: int) -> None:
    """A reply that is more than is read at once comes whole, each time, and a short one after it too."""

    async def answer(peer: Peer, number: int) -> None:
        peer.say(reply("short") if number == 3 else sent(str(number) * length))
        await peer.connections[-1].drain()

    async with talking(answer) as (peer, transport):
        assert await ask(transport, "POST") == "1" * length
        assert await ask(transport, "POST") == "2" * length
        assert await ask(transport, "POST") == "short"
    assert len(peer.connections) == 1
