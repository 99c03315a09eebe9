"""The HTTP edge of the emulator: bytes from sockets to the service and back, and everything that goes wrong on the way.

The only module that knows aiohttp. It decides nothing about projects or permissions; it owns no task, so an emulator
may be started and stopped by different tasks. SQLite is called straight from the event loop: a commit
takes microseconds.
"""

import asyncio
import gzip
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from random import Random
from typing import Final, Literal, TypedDict
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from encord_async.emulator import envelope, rest
from encord_async.emulator.bucket import TokenBucket
from encord_async.emulator.calls import Reply, Request
from encord_async.emulator.faults import Fault, FaultPlan, FaultRule, FaultRuleError, read_fault_rules
from encord_async.emulator.service import Service
from encord_async.protocol.catalogue import REST_ROOT, Endpoint, Header

__all__ = ["MAX_BODY_BYTES", "Edge", "Stats"]

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
"""Largest body that is read. The real service's limit is not published."""

_GZIP_FROM_BYTES: Final = 1024
_ENVELOPES: Final = tuple(Endpoint)
_CONTROL: Final = "/_emulator/"
_JSON: Final = "application/json"


class Stats(TypedDict):
    """What the emulator has seen. Requests to the control endpoints are not counted, their connections are."""

    requests: int
    by_query: dict[str, int]
    by_status: dict[str, int]
    connections: int
    max_in_flight: int
    in_flight: int
    throttled: int
    cut: int
    faults: list[dict[str, object]]


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    by_query: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    connections: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    throttled: int = 0
    cut: int = 0

    def begin(self) -> None:
        self.requests += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)


class _Cut(Exception):
    """Nothing more is said on this connection."""


class Edge:
    """One listening socket's worth of HTTP in front of a service."""

    def __init__(
        self,
        service: Service,
        *,
        latency_s: tuple[float, float],
        bucket: TokenBucket | None,
        rules: tuple[FaultRule, ...],
    ) -> None:
        """Put HTTP in front of *service*; nothing listens yet."""
        self._service = service
        self._latency_s = latency_s
        self._bucket = bucket
        self._plan = FaultPlan(rules)
        self._counts = _Counts()
        self._pauses: set[asyncio.Future[bool]] = set()
        self._late: set[asyncio.TimerHandle] = set()
        self._chance = Random(0)
        self._stopping = False
        self._http: _Server | None = None
        self._listener: asyncio.Server | None = None

    # --- life

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port.

        Raises:
            OSError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._http = _Server(self._handle, counts=self._counts, loop=loop)
        self._listener = await loop.create_server(self._http, host, port, backlog=2048)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything at once: what waits is cut, what was to be applied later never is."""
        if self._http is None or self._listener is None:
            return
        self._stopping = True
        try:
            await _accept_no_more(self._listener)
        finally:
            self._listener.close()
            for handle in self._late:
                handle.cancel()
            for pause in list(self._pauses):
                _settle(pause, "stopping")
        self._http.pre_shutdown()
        await self._http.shutdown(timeout=1.0)
        self._http.abort_all()
        await self._listener.wait_closed()
        # A transport closes its socket one turn of the loop after it was told to.
        await asyncio.sleep(0)

    # --- control

    def set_faults(self, rules: tuple[FaultRule, ...]) -> None:
        """Put *rules* in the place of those before, with fresh counts."""
        self._plan = FaultPlan(rules)

    def stats(self) -> Stats:
        """Return what was counted so far."""
        counts = self._counts
        return Stats(
            requests=counts.requests,
            by_query=dict(counts.by_query),
            by_status={str(status): number for status, number in counts.by_status.items()},
            connections=counts.connections,
            max_in_flight=counts.max_in_flight,
            in_flight=counts.in_flight,
            throttled=counts.throttled,
            cut=counts.cut,
            faults=self._plan.counts(),
        )

    # --- one request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.path
        if path in _ENVELOPES or path.startswith(f"{REST_ROOT}/"):
            return await self._counted(request, offered=path not in _ENVELOPES or request.method == "POST")
        if path.startswith(_CONTROL):
            return await self._control(request, path.removeprefix(_CONTROL))
        return _json_response({"detail": "Not Found"}, status=404)

    async def _counted(self, request: web.BaseRequest, *, offered: bool) -> web.StreamResponse:
        self._counts.begin()
        try:
            response = await self._respond(request) if offered else _not_allowed()
        except _Cut:
            self._counts.cut += 1
            if request.transport is not None and not request.transport.is_closing():
                request.transport.abort()
            return web.Response()
        finally:
            self._counts.in_flight -= 1
        self._counts.by_status[response.status] += 1
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        # The latency counts from here, so that the emulator's own work is a part of it and not an addition.
        came_s = asyncio.get_running_loop().time()
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _too_large()
        taken = self._read(request, body)
        self._counts.by_query[taken.name] += 1
        if (wait_s := self._throttle()) is not None:
            return _throttled(str(max(1, math.ceil(wait_s))))
        rule = self._plan.decide(taken.name)
        latency_s = self._latency()
        await self._pause_until(came_s + latency_s / 2)
        if rule is not None:
            if (early := await self._before(request, taken, rule)) is not None:
                return early
            came_s += rule.seconds if rule.fault is Fault.DELAY else 0.0
        status, reply, hold_until_us = self._answer(taken, rule)
        if hold_until_us:
            await self._pause((hold_until_us - time.time_ns() // 1000) / 1e6)
            status, reply, _ = self._answer(taken, rule)
        await self._pause_until(came_s + latency_s)
        if rule is not None:
            self._after(request, rule, status, reply)
        return self._reply(request, status, reply)

    def _read(self, request: web.BaseRequest, body: bytes) -> Request:
        path, terms = request.rel_url.path, self._service.terms
        if path in _ENVELOPES:
            return envelope.read(terms, Endpoint(path), request.headers, body)
        # The target as it stood on the wire: signatures cover that, and not what a parser makes of it.
        return rest.read(terms, request.method, request.raw_path, request.headers, body)

    def _throttle(self) -> float | None:
        if self._bucket is None:
            return None
        wait_s = self._bucket.take(time.monotonic())
        self._counts.throttled += wait_s is not None
        return wait_s

    def _latency(self) -> float:
        low, high = self._latency_s
        return low if low == high else self._chance.uniform(low, high)

    async def _before(self, request: web.BaseRequest, taken: Request, rule: FaultRule) -> web.StreamResponse | None:
        """Act out what *rule* does before the service sees the request; None if it is to see it."""
        match rule.fault:
            case Fault.DELAY:
                await self._pause(rule.seconds)
            case Fault.DROP_BEFORE:
                raise _Cut
            case Fault.LATE_COMMIT:
                self._apply_later(taken, rule)
                raise _Cut
            case Fault.GAVE_UP:
                self._apply_later(taken, rule)
                return _html(rule.status, None)
            case Fault.HANG:
                await self._hang(request)
                raise _Cut
            case Fault.STATUS:
                await self._pause(rule.seconds)
                return _html(rule.status, rule.retry_after)
            case Fault.RATE_LIMITED:
                self._counts.throttled += 1
                return _throttled(rule.retry_after)
            case Fault.RATE_LIMITED_ENVELOPE:
                return _bytes(*taken.rate_limited[:2])
            case Fault.ERROR:
                return _bytes(*taken.failure(rule.code, "injected")[:2])
            case Fault.DROP_AFTER_COMMIT | Fault.TRUNCATE | Fault.STALE_READ:
                pass
        return None

    def _answer(self, taken: Request, rule: FaultRule | None) -> Reply:
        stale_us = int(rule.seconds * 1e6) if rule is not None and rule.fault is Fault.STALE_READ else 0
        fault = None if rule is None else str(rule.fault)
        return self._service.answer(taken, now_us=time.time_ns() // 1000, stale_us=stale_us, fault=fault)

    def _after(self, request: web.BaseRequest, rule: FaultRule, status: int, reply: bytes) -> None:
        """Act out what *rule* does to a reply that is ready."""
        if rule.fault is Fault.DROP_AFTER_COMMIT:
            raise _Cut
        if rule.fault is Fault.TRUNCATE:
            transport = request.transport
            if transport is not None:
                head = (
                    f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {_JSON}\r\n"
                    f"Content-Length: {len(reply)}\r\n\r\n"
                )
                # A reply without a body is cut in its head.
                half = head.encode() + reply[: len(reply) // 2] if reply else head.encode()[: len(head) // 2]
                transport.write(half)
                # Closing, other than aborting, sends first what was written.
                transport.close()
            raise _Cut

    def _reply(self, request: web.BaseRequest, status: int, reply: bytes) -> web.Response:
        if len(reply) > _GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
            packed = gzip.compress(reply, compresslevel=1, mtime=0)
            return _bytes(status, packed, {"Content-Encoding": "gzip"})
        return _bytes(status, reply)

    # --- waiting

    async def _pause(self, seconds: float) -> None:
        await self._pause_until(asyncio.get_running_loop().time() + seconds)

    async def _pause_until(self, due_s: float) -> None:
        """Wait until *due_s* on the loop's clock, or raise _Cut as soon as the emulator stops."""
        loop = asyncio.get_running_loop()
        if due_s <= loop.time():
            return
        pause: asyncio.Future[bool] = loop.create_future()
        handle = loop.call_at(due_s, _settle, pause, "over")
        try:
            await self._settled(pause)
        finally:
            handle.cancel()

    async def _hang(self, request: web.BaseRequest) -> None:
        """Wait until the client has gone or the emulator stops."""
        if self._http is None or request.transport is None:
            return
        pause: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with self._http.watching(request.protocol, lambda: _settle(pause, "over")):
            await self._settled(pause)

    async def _settled(self, pause: asyncio.Future[bool]) -> None:
        if self._stopping:
            raise _Cut
        self._pauses.add(pause)
        try:
            if not await pause:
                raise _Cut
        finally:
            self._pauses.discard(pause)

    def _apply_later(self, taken: Request, rule: FaultRule) -> None:
        def apply() -> None:
            self._late.discard(handle)
            self._answer(taken, rule)

        handle = asyncio.get_running_loop().call_later(rule.seconds, apply)
        self._late.add(handle)

    # --- control endpoints

    async def _control(self, request: web.BaseRequest, what: str) -> web.StreamResponse:
        # A web page whose host's name leads here would come from this machine too, but under that name.
        if not (_is_loopback(request.remote) and _names_loopback(request.headers.getall("Host", []))):
            return _json_response({"detail": "only from this machine, by its own address"}, status=403)
        match request.method, what:
            case "GET", "stats":
                return _json_response(self.stats())
            case "GET", "state":
                return _json_response(self._service.store.state())
            case "GET", "log":
                return _json_response(self._service.store.log())
            case "GET", "faults":
                return _json_response(self._plan.counts())
            case "PUT", "faults":
                return await self._put_faults(request)
            case "DELETE", "faults":
                self.set_faults(())
                return _json_response({"rules": 0})
        return _json_response({"detail": "Not Found"}, status=404)

    async def _put_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            rules = read_fault_rules(json.loads(await request.read()))
        except FaultRuleError as error:
            return _json_response({"detail": str(error)}, status=400)
        except (ValueError, RecursionError):
            return _json_response({"detail": "the body is not JSON"}, status=400)
        self.set_faults(rules)
        return _json_response({"rules": len(rules)})


class _Server(web.Server):
    """aiohttp's low-level server, with a count of connections and word of those that are lost."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        counts: _Counts,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(handler, request_factory=self._bounded, loop=loop, access_log=None, keepalive_timeout=75.0)
        self._counts = counts
        self._watchers: dict[RequestHandler, Callable[[], None]] = {}
        self._transports: dict[RequestHandler, asyncio.Transport] = {}

    @contextmanager
    def watching(self, connection: RequestHandler, lost: Callable[[], None]) -> Iterator[None]:
        """Call *lost* when the connection ends while inside."""
        self._watchers[connection] = lost
        try:
            yield
        finally:
            del self._watchers[connection]

    def abort_all(self) -> None:
        """Close what is left, even to clients that do not read what is sent to them."""
        for transport in self._transports.values():
            transport.abort()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._counts.connections += 1
        self._transports[handler] = transport

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._transports.pop(handler, None)
        if (lost := self._watchers.get(handler)) is not None:
            lost()

    def _bounded(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY_BYTES)


async def _accept_no_more(listener: asyncio.Server) -> None:
    """Take no more connections, and let those that were taken become such as can be closed.

    That takes asyncio two turns. A connection in between would stay open, and from Python 3.12 on the server would wait
    for it for ever.
    """
    loop = asyncio.get_running_loop()
    for listening in listener.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(2):
        await asyncio.sleep(0)


def _settle(pause: "asyncio.Future[bool]", outcome: Literal["over", "stopping"]) -> None:
    if not pause.done():
        pause.set_result(outcome == "over")


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ip_address(address).is_loopback
    except ValueError:
        return False


def _names_loopback(hosts: list[str]) -> bool:
    """Whether a request says, once, that it is meant for this machine."""
    try:
        (host,) = [urlsplit(f"//{host}").hostname for host in hosts]
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _bytes(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    if status == HTTPStatus.NO_CONTENT:
        return web.Response(status=status, headers=headers)
    return web.Response(status=status, body=body, content_type=_JSON, headers=headers)


def _json_response(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return _bytes(status, json.dumps(value).encode(), headers)


def _not_allowed() -> web.StreamResponse:
    return _json_response({"detail": "Method Not Allowed"}, status=405, headers={"Allow": "POST"})


def _too_large() -> web.Response:
    response = _json_response({"detail": f"the limit of a body is {MAX_BODY_BYTES} bytes"}, status=413)
    response.force_close()
    return response


def _throttled(retry_after: str | None) -> web.Response:
    headers = {} if retry_after is None else {str(Header.RETRY_AFTER): retry_after}
    return _json_response({"message": "Too many requests"}, status=429, headers=headers)


def _html(status: int, retry_after: str | None) -> web.Response:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    page = f"<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>"
    headers = {} if retry_after is None else {str(Header.RETRY_AFTER): retry_after}
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)
