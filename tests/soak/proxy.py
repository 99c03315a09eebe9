"""A proxy that does to requests and replies what networks and gateways do: delays, cuts, repeats, gives up too early.

What becomes of each request is drawn from a seed. It never changes what a reply says, and never makes up a success.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

LATE_S: Final = 0.3
"""How much later something may be applied than its sender has given up, unless a proxy is told otherwise."""


class Fate(StrEnum):
    """What becomes of a request."""

    PASSED = "passed"
    DELAYED = "delayed"
    """Both ways take a while, so that requests overtake each other."""
    CUT_BEFORE = "cut before"
    """The connection is cut; the service never hears of it."""
    CUT_AFTER = "cut after"
    """Applied, and the connection is cut before the reply."""
    TRUNCATED = "truncated"
    """Applied; half of the reply arrives."""
    LATE = "late"
    """The connection is cut at once; the request is applied a while later."""
    GATEWAY_LATE = "gateway late"
    """A gateway gives up at once, with a status of its own; the request is applied a while later."""
    GATEWAY_AFTER = "gateway after"
    """Applied, and a gateway answers in the place of the service."""
    GATEWAY = "gateway"
    """A gateway answers; the service never hears of it."""
    TURNED_AWAY = "turned away"
    """429, not applied."""
    TURNED_AWAY_TWICE = "turned away twice"
    """429, not applied; it comes once more in the place of the reply to the next request on that connection."""
    REPEATED = "repeated"
    """The reply comes twice in one piece."""
    STRAY = "stray"
    """The reply comes once more when nobody has asked for anything."""
    SHIFTED = "shifted"
    """The reply comes once more when the next request has left on that connection, and so in the place of its own."""
    CROSSED = "crossed"
    """The last reply that was none to a read comes in the place of the own, which comes when the next has left."""


_GATEWAY_STATUSES: Final = (202, 408, 502, 503, 504, 524)
MET: Final[Mapping[Fate, float]] = {
    Fate.DELAYED: 4,
    Fate.CUT_BEFORE: 1,
    Fate.CUT_AFTER: 2,
    Fate.TRUNCATED: 1,
    Fate.LATE: 1,
    Fate.GATEWAY_LATE: 1,
    Fate.GATEWAY_AFTER: 1,
    Fate.GATEWAY: 1,
    Fate.TURNED_AWAY: 1,
    Fate.TURNED_AWAY_TWICE: 2,
    Fate.REPEATED: 2,
    Fate.STRAY: 2,
    Fate.SHIFTED: 3,
}
"""What requests meet, and how often. Of replies that are crossed nobody can always tell: they have their own tests."""

SORTS: Final[Sequence[Collection[Fate]]] = (
    {Fate.DELAYED},
    {Fate.LATE, Fate.GATEWAY_LATE},
    {Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.TRUNCATED, Fate.GATEWAY, Fate.GATEWAY_AFTER},
    {Fate.REPEATED, Fate.STRAY, Fate.SHIFTED, Fate.TURNED_AWAY_TWICE},
)
"""What networks do that do one sort of thing, and much of it: what hangs on it is met more often than in a mixture."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a reply, whole."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """As it is on the wire."""
        return self.head + self.body


class Proxy:
    """Listens on loopback, on a thread of its own, while inside ``with``.

    Args:
        upstream_port: Where the service listens.
        seed: What becomes of the requests.
        trouble: The share of requests that do not simply pass.
        fates: What these may meet; without it anything.
    """

    def __init__(self, upstream_port: int, *, seed: int, trouble: float, fates: Collection[Fate] = ()) -> None:
        self.fates: Counter[Fate] = Counter()
        self.requests = 0
        self.trouble = trouble
        self.late_s = LATE_S
        self._weights = {fate: weight for fate, weight in MET.items() if fate in (fates or MET)}
        self._upstream_port = upstream_port
        self._chance = random.Random(seed)
        self._watchers: list[tuple[int, Callable[[], None]]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._late: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._owed: dict[asyncio.StreamWriter, bytes] = {}
        """What comes on a connection when the next request has left."""
        self._latest = b""
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The domain to give to a client."""
        return f"http://127.0.0.1:{self.port}"

    def after(self, requests: int, action: Callable[[], None]) -> None:
        """Call *action*, on the proxy's thread, when so many more requests have come."""
        self._loop.call_soon_threadsafe(lambda: self._watchers.append((self.requests + requests, action)))

    def forget(self) -> None:
        """Call nothing of what `after` was given any more."""
        self._loop.call_soon_threadsafe(self._watchers.clear)

    def settle(self) -> None:
        """Wait until everything that is late has been applied."""
        self._call(self._until_applied())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._until_applied()
        for task in self._handlers:
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _until_applied(self) -> None:
        await asyncio.gather(*self._late, return_exceptions=True)

    # ------------------------------------------------------------------ a connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while (request := await _read(reader)) is not None:
                await self._pay(writer)
                if not await self._treat(request, self._draw(request), writer):
                    break
        except OSError:
            # The client has gone; so has what it was to be told.
            pass
        finally:
            self._handlers.discard(task)
            self._owed.pop(writer, None)
            writer.close()

    async def _pay(self, writer: asyncio.StreamWriter) -> None:
        """Let what is owed come, and then give its reader the time to send another request."""
        owed = self._owed.pop(writer, b"")
        if owed:
            await _put(writer, owed)
            await asyncio.sleep(self._chance.uniform(0, 0.03))

    def _draw(self, request: Message) -> Fate:
        """What becomes of *request*."""
        self.requests += 1
        due = [action for at, action in self._watchers if at <= self.requests]
        self._watchers = [one for one in self._watchers if one[0] > self.requests]
        for action in due:
            action()
        fate = Fate.PASSED
        if self._chance.random() < self.trouble:
            (fate,) = self._chance.choices(list(self._weights), list(self._weights.values()))
        self.fates[fate] += 1
        return fate

    async def _treat(self, request: Message, fate: Fate, writer: asyncio.StreamWriter) -> bool:
        """Let *fate* happen; whether the connection goes on."""
        match fate:
            case Fate.CUT_BEFORE:
                return False
            case Fate.LATE | Fate.GATEWAY_LATE:
                self._apply_late(request)
            case Fate.CUT_AFTER:
                await self._ask(request)
                return False
            case Fate.GATEWAY_AFTER:
                await self._ask(request)
            case Fate.DELAYED:
                await asyncio.sleep(self._chance.uniform(0, 0.05))
        if fate is Fate.LATE:
            return False
        if fate in {Fate.GATEWAY, Fate.GATEWAY_LATE, Fate.GATEWAY_AFTER}:
            return await _put(writer, _gateway(self._chance.choice(_GATEWAY_STATUSES)))
        if fate in {Fate.TURNED_AWAY, Fate.TURNED_AWAY_TWICE}:
            if fate is Fate.TURNED_AWAY_TWICE:
                self._owed[writer] = _gateway(429)
            return await _put(writer, _gateway(429))
        return await self._reply(request, fate, writer)

    async def _reply(self, request: Message, fate: Fate, writer: asyncio.StreamWriter) -> bool:
        reply = await self._ask(request)
        if fate is Fate.DELAYED:
            await asyncio.sleep(self._chance.uniform(0, 0.05))
        if fate is Fate.TRUNCATED:
            await _put(writer, reply.raw[: len(reply.raw) // 2])
            return False
        if fate is Fate.CROSSED:
            self._owed[writer] = reply.raw
            return await _put(writer, self._latest)
        if b'"GET"' not in request.body and not request.head.startswith(b"GET"):
            self._latest = reply.raw
        await _put(writer, reply.raw * 2 if fate is Fate.REPEATED else reply.raw)
        if fate is Fate.SHIFTED:
            self._owed[writer] = reply.raw
        if fate is Fate.STRAY:
            await asyncio.sleep(self._chance.uniform(0, 0.01))
            await _put(writer, reply.raw)
        return True

    def _apply_late(self, request: Message) -> None:
        async def apply() -> None:
            await asyncio.sleep(self._chance.uniform(0, self.late_s))
            await self._ask(request)

        task = self._loop.create_task(apply())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _ask(self, request: Message) -> Message:
        """The service's own reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        try:
            await _put(writer, request.raw)
            reply = await _read(reader)
        finally:
            writer.close()
        if reply is None:
            raise ConnectionResetError("the service has gone")
        return reply


async def _put(writer: asyncio.StreamWriter, raw: bytes) -> bool:
    writer.write(raw)
    await writer.drain()
    return True


async def _read(reader: asyncio.StreamReader) -> Message | None:
    """The next whole message with a Content-Length, or None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return Message(head, await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None


def _gateway(status: int) -> bytes:
    body = f"<html><body>{status}, said by a gateway</body></html>".encode()
    head = f"HTTP/1.1 {status} Gateway\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body
