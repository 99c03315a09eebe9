"""The only door to the network: sends bytes, returns the reply as it came, or says what is known of the loss.

Three ends: a `RawReply`; `NotSentError`, when no byte of the request left; `NoReplyError` or
`UnreadableReplyError`, when it may have. It never judges a status, never retries and keeps aiohttp from doing so, never
follows a redirect and keeps no cookie. A connection whose peer has sent anything that was not asked for is never used
again, what had begun to come before a request was written is never its reply, and a request with a `Turn` only follows
a reply that it would not take for its own.
"""

import asyncio
import errno
import os
import select
import socket
import ssl
import urllib.request
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace
from yarl import URL

from encord_async.errors import EncordError, NoReplyError, NotSentError, SettingsError, UnreadableReplyError
from encord_async.protocol.reply import RawReply
from encord_async.secrecy import Secret, sealed
from encord_async.session.overdue import Overdue
from encord_async.session.settings import Settings, is_loopback
from encord_async.session.turn import Line, Turn

__all__ = ["AiohttpTransport", "Transport", "uses_proxy"]

_KEEP_ALIVE_S: Final = 15.0
"""Idle connections are closed by us before common proxies do it, so that a POST rarely meets a dead one."""

_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)

_NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NUMBERED_OTHERWISE: Final = (ssl.SSLError, socket.gaierror)
"""Errors of the system by their type, whose numbers are not its own."""

_PIECE_BYTES: Final = 262_144
"""Most that is written of a body at once."""
_REMEMBERED_BYTES: Final = 65_536
"""A longer reply is not kept to compare with, and so is the last on its connection."""

_TAKING: Final = ContextVar[list[Turn | None]]("_TAKING")
"""Whose turn it is: the one way to tell it to a connector, which takes it out. For timers keep their context long after
they are cancelled, and what is in it.
"""


class Transport(Protocol):
    """What a session needs of the network."""

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
        """Send one request and return the reply.

        Args:
            method: The HTTP method.
            target: Path and query as they are to go onto the wire, to the byte: a signature may cover them.
            headers: All that is special to this request.
            body: What to send; none if empty.
            timeout_s: For this sending, connection included.
            turn: Says what it may follow on a connection, and is told what it does; without it anything.

        Raises:
            SettingsError: The service shows a certificate that is not trusted, or this process may open no more files;
                nothing was sent.
            NotSentError: No byte of the request left.
            NoReplyError: It may have arrived; no reply came within *timeout_s*, or the connection was lost.
            UnreadableReplyError: A reply came that is cut short or too large.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections; requests under way end with `NoReplyError`."""
        ...


class _LostError(aiohttp.ClientError):
    """The connection was lost, under a name that aiohttp does not take as a reason to send again."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending GET, PUT and DELETE a second time by itself when a connection is lost.

    Source: aiohttp 3.14 ``client.py``, ``retry_persistent_connection``: it looks for these two errors and has no public
    switch. It would hide an attempt from the pacer and the counters, and send an old signature again. A POST it never
    sends again, and is spared the way through here.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError(_reason(error)) from error


_SENT_ONCE: Final[tuple[aiohttp.ClientMiddlewareType, ...]] = (_once,)
_NOTHING_BETWEEN: Final[tuple[aiohttp.ClientMiddlewareType, ...]] = ()


class _UnaskedError(aiohttp.ClientConnectionError):
    """The peer said something before it was asked, or is gone; nothing was sent."""

    def __init__(self) -> None:
        super().__init__("the other side sent something unasked, or closed the connection, before it was asked")


class _Peers:
    """All connections of a connector, and whether one may be used more than once."""

    def __init__(self) -> None:
        self.handlers: WeakSet[_Handler] = WeakSet()
        self.are_relied_on = True


class _Handler(ResponseHandler):
    """What reads a connection, in aiohttp's place: it knows at each byte whether something was asked.

    aiohttp hands out a kept connection whatever came on it meanwhile, and takes a whole reply that did for the answer
    to the next request (3.14: ``connector.py``, ``_get`` asks `is_connected` and not `should_close`). A proxy that
    repeats a reply would so answer one create with another's hash.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, peers: _Peers | None = None) -> None:
        super().__init__(loop)
        self._peers = peers or _Peers()
        self._peers.handlers.add(self)
        # From its making until it is first taken it may be asked something by aiohttp itself: to be a tunnel.
        self._asked = True
        self.is_fresh = True
        """Whether no reply has come on it yet."""
        self.last: Secret[RawReply] | None = None
        """The reply that came last, if it was read, and is not too long."""
        self._turn: Turn | None = None
        self._itself = Secret[Line](self)
        self._was_paused = False
        self._poll: select.poll | None = None

    def take(self, turn: Turn | None = None) -> None:
        """It is chosen for another request; nothing that comes from now on is taken, until `ask`.

        Raises:
            _UnaskedError: It cannot be used.
        """
        self._asked = False
        if self.should_close or not (self.is_fresh or self._may_follow(turn)):
            raise _UnaskedError
        if turn is not None:
            turn.line, turn.before, self.last = self._itself, self.last, None
        self._turn = turn

    def _may_follow(self, turn: Turn | None) -> bool:
        """Whether another request may be sent, behind what came last; nothing may while that is not read."""
        if turn is None or not self._peers.are_relied_on:
            return self._peers.are_relied_on
        return self.last is not None and turn.may_follow(self.last, self._turn)

    def give_up(self) -> None:
        """See `Line`."""
        self.close()

    def distrust(self) -> None:
        """See `Line`."""
        self._peers.are_relied_on = False
        for peer in self._peers.handlers:
            if not peer.is_fresh:
                # Whoever waits for a reply on it gets none.
                peer.abort()

    def ask(self) -> None:
        """A request is about to be written, in this turn of the event loop: what comes from now on is its reply.

        Raises:
            _UnaskedError: Something has come already.
        """
        if not self._is_silent():
            self._refuse()
            raise _UnaskedError
        self._asked = True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of what came last and of its request: they refer to this in turn, and would wait for the collector."""
        self.last = self._turn = None
        super().connection_lost(exc)

    def pause_reading(self) -> None:
        """Hold back what comes: nobody reads as fast."""
        self._was_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001 - aiohttp's shape
        """Go on with what was held back. aiohttp asks for it with each part that is read, where nothing ever was."""
        if self._was_paused:
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        """Take what was asked for. The last byte goes by itself: if the reply ends before it, it is one too many."""
        if not self._asked and data:
            self._refuse()
            return
        super().data_received(data[:-1])
        if not data:
            return  # Only to go on with what was held back while nobody read.
        if self._asked:
            super().data_received(data[-1:])
        else:
            self._refuse()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a reply's head. One that begins behind the end of another answers nothing."""
        if not self._asked:
            self._refuse()
            return
        super().feed_data(data, size)
        message, body = data
        if message.code >= 200 or message.code == 101:
            body.on_eof(self._answered)

    def _answered(self) -> None:
        self._asked = self.is_fresh = False

    def _refuse(self) -> None:
        """Close the connection at once, and let whoever waits for a reply on it know; what came whole stays."""
        self.abort()
        self.set_exception(_UnaskedError())

    def _is_silent(self) -> bool:
        """Whether the connection is open, and nothing waits in the socket that the event loop has not come to read."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        # After the handshake a server may send what belongs to TLS itself, such as tickets; later on it is a sign of
        # its end, or so rare that a new connection is no loss.
        if self.is_fresh and transport.get_extra_info("ssl_object") is not None:
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)


class _Body(aiohttp.Payload):
    """A request's body, which is written together with the head: just before, the connection is asked.

    A large one is written piece by piece, so that the event loop is not held up meanwhile.
    """

    handler: _Handler
    """Of the connection that was chosen."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/octet-stream")
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """It as text."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """See `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write it, unless something has come unasked."""
        self.handler.ask()
        end = len(self._value) if content_length is None else min(content_length, len(self._value))
        if end <= _PIECE_BYTES:
            await writer.write(self._value[:end])
            return
        for start in range(0, end, _PIECE_BYTES):
            await writer.write(self._value[start : min(start + _PIECE_BYTES, end)])


class _Connector(aiohttp.TCPConnector):
    """Makes and keeps connections as aiohttp does, and hands out only those on which nothing came unasked."""

    def __init__(self, *, tls: ssl.SSLContext | bool) -> None:
        # The session's own semaphore bounds what is in flight; a second bound here would make a wait for
        # a slot look like a wait for the network.
        super().__init__(limit=0, keepalive_timeout=_KEEP_ALIVE_S, ssl=tls)
        # The one private name of aiohttp that is used here (3.14 ``connector.py``, in ``BaseConnector.__init__``):
        # there is no public way to say what reads a connection. If it changes, `connect` refuses to work.
        make = partial(_Handler, loop=asyncio.get_running_loop(), peers=_Peers())
        self._factory = make  # type: ignore[assignment]  # a partial is not covariant in what it makes

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection for *req*. Until that is written nothing that comes on it is taken.

        Raises:
            _UnaskedError: A new connection brought something before anything was sent on it.
        """
        taking = _TAKING.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            handler = connection.protocol
            if not isinstance(handler, _Handler):
                raise AssertionError("this release of aiohttp makes its connections in a way that is not known here")
            turn = taking[-1]
            try:
                if handler.is_fresh and turn is not None and turn.let_pass is not None:
                    await turn.let_pass()
                handler.take(turn)
                if isinstance(req.body, _Body):
                    req.body.handler = handler
                else:
                    # Without a body aiohttp writes the head with no turn of the event loop in between.
                    handler.ask()
            except _UnaskedError:
                connection.close()
                if handler.is_fresh:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                taking.clear()
                return connection


class AiohttpTransport:
    """`Transport` over one aiohttp connection pool; must be made inside a running event loop."""

    def __init__(self, settings: Settings, *, headers: Mapping[str, str]) -> None:
        self._domain = settings.domain
        self._max_reply_bytes = settings.max_reply_bytes
        self._overdue = Overdue()
        tls, proxy = _tls(settings), _proxy(settings.domain)
        self._client = aiohttp.ClientSession(
            connector=_Connector(tls=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=settings.timeouts.connect_s),
            proxy=proxy.reveal(),
            # With trust_env aiohttp would put a password from ~/.netrc in the place of our signature, and
            # read the environment anew for each request.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """See `Transport`."""
        self._overdue.close()
        await self._client.close()

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: Turn | None = None,
    ) -> Coroutine[Any, Any, RawReply]:
        """See `Transport`."""
        # Encoded already: what yarl would tidy up is covered by the signature as it is.
        return self._send(method, URL(self._domain + target, encoded=True), headers, body, timeout_s, turn)

    async def _send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
        turn: Turn | None,
    ) -> RawReply:
        data = _Body(body) if body else None
        _TAKING.set([turn])
        try:
            with self._overdue.bound(timeout_s):
                response = await self._client.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                    middlewares=_NOTHING_BETWEEN if method == "POST" else _SENT_ONCE,
                )
                return _remembered(turn, RawReply(response.status, response.headers, await self._read(response)))
        except aiohttp.ClientHttpProxyError as error:
            failure: EncordError = NotSentError(f"no connection: the proxy answers HTTP {error.status}")
        except aiohttp.ClientResponseError:
            failure = UnreadableReplyError("the reply is not HTTP as it should be; the request may have taken effect")
        except aiohttp.ClientConnectorCertificateError as error:
            raise SettingsError(
                f"the service's certificate is not trusted: {_reason(error)}; check the domain or give a ca_bundle"
            ) from error
        except _NOT_SENT as error:
            raise _no_connection(error) from error
        except TimeoutError as error:
            raise NoReplyError("no reply in time; the request may have taken effect") from error
        except aiohttp.ClientPayloadError as error:
            raise UnreadableReplyError("the reply is cut short; the request may have taken effect") from error
        except (aiohttp.ClientError, OSError) as error:
            # Raised while a body was to be written, it comes as the cause of another.
            if isinstance(error, _UnaskedError) or isinstance(error.__cause__, _UnaskedError):
                raise NotSentError(f"no connection to send on: {_UnaskedError()}") from error
            raise NoReplyError(
                f"the connection was lost: {_reason(error)}; the request may have taken effect"
            ) from error
        except RuntimeError as error:
            if not self._client.closed:
                raise
            raise NotSentError("the session is closed") from error
        # The two errors without a raise of their own hold our headers, the credential among them, and quote the reply.
        # Raised here, ours does not have them as its cause or context.
        raise failure

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, to its end, which frees the connection for the next request; short of that it is closed."""
        content = response.content
        room = self._max_reply_bytes
        chunks: list[bytes] = []
        try:
            while not content.at_eof():
                chunk = await content.readany()
                room -= len(chunk)
                if room < 0:
                    raise UnreadableReplyError(
                        f"the reply is larger than {self._max_reply_bytes} bytes, the bound that max_reply_bytes sets; "
                        "the request may have taken effect",
                        code="REPLY_TOO_LARGE",
                    )
                chunks.append(chunk)
        finally:
            if not response.closed:
                response.close()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _remembered(turn: Turn | None, reply: RawReply) -> RawReply:
    """*reply*, after whoever comes next on the connection can know what came last."""
    line = turn.line.reveal() if turn is not None and turn.line is not None else None
    if isinstance(line, _Handler) and len(reply.body) <= _REMEMBERED_BYTES:
        line.last = Secret(reply)
    return reply


@sealed
def _tls(settings: Settings) -> ssl.SSLContext | bool:
    if settings.ca_bundle is None and settings.domain.startswith("http:"):
        # To read the system's certificates takes longer than all else about opening a session.
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_bundle)
    except OSError as error:
        why = "it holds none" if isinstance(error, ssl.SSLError) else error.strerror or _reason(error)
        raise SettingsError(f"cannot read certificates from {settings.ca_bundle}: {why}; give a PEM file") from None


@sealed
def _proxy(domain: str) -> Secret[str | None]:
    """The proxy that the environment names for *domain*; never one for this machine itself.

    Raises:
        SettingsError: It is no http(s) URL. The message does not repeat it: it may hold a password.
    """
    parts = urlsplit(domain)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return Secret(None)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return Secret(None)
    # As curl and the official SDK take it.
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        url = URL(proxy)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(
            f"the proxy that the environment names for {parts.scheme} is not an http(s) URL; "
            f"correct or unset {parts.scheme.upper()}_PROXY and ALL_PROXY"
        )
    return Secret(proxy)


def uses_proxy(domain: str) -> bool:
    """Whether a session with *domain* reaches it by a proxy that the environment names.

    Raises:
        SettingsError: What the environment names is no http(s) URL.
    """
    return _proxy(domain).reveal() is not None


def _no_connection(error: Exception) -> EncordError:
    """Why nothing was sent."""
    if _out_of_files(error):
        return SettingsError(
            "no connection: this process may open no more files; raise its limit, as by 'ulimit -n 4096', or "
            "give a lower concurrency"
        )
    if not isinstance(error, aiohttp.ClientConnectorError) or isinstance(error.os_error, _NUMBERED_OTHERWISE):
        return NotSentError(f"no connection: {_reason(error)}")
    # In aiohttp's own words it says nothing of why, and "ssl" of a connection that has none.
    number = error.os_error.errno or 0
    why = os.strerror(number) if number in errno.errorcode else _reason(error.os_error)
    return NotSentError(f"no connection to {error.host}:{error.port}: {why}")


def _out_of_files(error: Exception) -> bool:
    """Whether a connection failed here, for want of a file descriptor, and says nothing of the service."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # Whoever looks up names cannot say that it could not open a socket to ask.
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as other:
            return other.errno in _NO_FILES
    return isinstance(error, OSError) and error.errno in _NO_FILES


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
