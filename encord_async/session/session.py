"""A session: signs, paces, sends and judges single operations over one connection pool.

It knows nothing of manifests, plans or journals, and keeps no state of what it did but counters.
"""

import logging
import platform
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio

from encord_async.errors import (
    AppliedError,
    DeadlineError,
    EncordError,
    ExistsError,
    NotSentError,
    RefusedError,
    ReplyShapeError,
    ThrottledError,
    UncertainError,
    UsageError,
)
from encord_async.protocol.catalogue import REST_CALLS, REST_ROOT, Effect, Endpoint, Header, RestCall
from encord_async.protocol.envelope import Envelope, seal
from encord_async.protocol.http_signature import authentication
from encord_async.protocol.operations import Operation
from encord_async.protocol.reply import NOTHING_SENT, RawReply, judge
from encord_async.protocol.rest import RestRequest
from encord_async.protocol.rest_models import Page
from encord_async.protocol.rest_operations import PageOperation, RestOperation
from encord_async.protocol.rest_reply import judge_rest
from encord_async.protocol.signing import APIKey, Credential
from encord_async.secrecy import Secret, conceal
from encord_async.session.clock import Clock, SystemClock
from encord_async.session.observer import Beginning, Observer, Watch, Watcher
from encord_async.session.pacing import OutageError, Pacer, Verdict
from encord_async.session.rate import Permit
from encord_async.session.retrying import deliver_again
from encord_async.session.settings import Settings
from encord_async.session.stop import Stop
from encord_async.session.transport import AiohttpTransport, Transport

__all__ = ["Session", "Statistics", "sealed"]

T = TypeVar("T")

_MOST_BARREN_PAGES: Final = 100
"""So many pages one after the other may bring nothing new: a service may look for something that is rare."""

logger = logging.getLogger("encord_async")

# Taken out of their enumeration once: to ask a member for its value takes as long as to make the header.
_AUTHORIZATION: Final = Header.AUTHORIZATION.value
_TRACE: Final = Header.TRACE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counters of a session since it was opened."""

    requests: int = 0
    """Requests sent, retries included."""
    retries: int = 0
    """Requests sent again after a fault."""
    throttled: int = 0
    """Requests that the service turned away for load."""
    in_flight: int = 0
    """Requests under way now."""
    rate_per_s: float | None = None
    """The rate that requests leave at, found or set; None while there is no bound."""
    outage: bool = False
    """Whether the service is taken to be down, and only asked now and then whether it is back."""


@dataclass(slots=True, kw_only=True)
class _Call(ABC):
    """A request with everything of it that stays the same over its attempts.

    Not frozen: one is made for each operation, and to freeze it would take twice as long as all else about it.
    """

    name: str
    effect: Effect
    trace_id: str
    deadline_s: float | None
    watch: Watch[Any] | None
    stop: Stop | None = None
    unsure: bool = False
    """Whether an attempt may have been applied, and no later one was answered."""

    @abstractmethod
    def send(self, transport: Transport, *, now_s: float, timeout_s: float | None) -> Coroutine[Any, Any, RawReply]:
        """Make one attempt; *now_s* is the wall-clock time."""

    def noted(self, reply: RawReply) -> RawReply:
        """*reply*, after whoever observes has its status."""
        if self.watch is not None:
            self.watch.http_status = reply.http_status
        return reply

    @abstractmethod
    def judge(self, reply: RawReply, *, now_s: float) -> object:
        """What the service answered, or the error that it means."""


@dataclass(slots=True, kw_only=True)
class _EnvelopeCall(_Call):
    envelope: Envelope
    headers: Secret[Mapping[str, str]]

    def send(self, transport: Transport, *, now_s: float, timeout_s: float | None) -> Coroutine[Any, Any, RawReply]:  # noqa: ARG002 - an envelope's signature holds no time
        envelope = self.envelope
        return transport.post(envelope.query.endpoint, self.headers.reveal(), envelope.body, timeout_s=timeout_s)

    def judge(self, reply: RawReply, *, now_s: float) -> object:
        return judge(reply, operation=self.name, trace_id=self.trace_id, now_s=now_s, sent=self.headers)


@dataclass(slots=True, kw_only=True)
class _RestCall(_Call):
    request: RestRequest
    credential: Credential
    headers: Secret[Mapping[str, str]] = NOTHING_SENT
    """Those of the latest attempt."""

    def send(self, transport: Transport, *, now_s: float, timeout_s: float | None) -> Coroutine[Any, Any, RawReply]:
        # Signed for each attempt: the time is in the signature, and between attempts may lie a long wait.
        headers = authentication(self.request, self.credential, created_s=int(now_s))
        headers[_TRACE] = _trace(self.trace_id)
        self.headers = Secret(headers)
        request = self.request
        return transport.request(request.call.method, request.target, headers, request.body, timeout_s=timeout_s)

    def judge(self, reply: RawReply, *, now_s: float) -> object:
        return judge_rest(reply, operation=self.name, trace_id=self.trace_id, now_s=now_s, sent=self.headers)


@dataclass(frozen=True, slots=True)
class _StoppableClock:
    """The session's clock as the retries of one call see it: they wait no longer when it may not leave any more."""

    clock: Clock
    stop: Callable[[], Stop | None]

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()

    def wall_s(self) -> float:
        return self.clock.wall_s()

    async def sleep(self, seconds: float) -> None:
        stop = self.stop()
        await (self.clock.sleep(seconds) if stop is None else stop.cut(lambda: self.clock.sleep(seconds)))


class Session:
    """Runs operations; use it as ``async with``.

    Args:
        credential: What to authenticate with.
        settings: Everything else.
        transport: Makes the transport when the session is opened; tests put a network of their own here.
        clock: Where time comes from.
        chance: Draws numbers from 0 to 1 for jitter and trace ids.
        observer: Is told of each operation and each sending; see `encord_async.otel`.
    """

    def __init__(
        self,
        credential: Credential,
        settings: Settings | None = None,
        *,
        transport: Callable[[Settings], Transport] | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        observer: Observer[Any] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._credential = credential
        self._open_transport = transport or _aiohttp_transport
        self._clock: Clock = clock or SystemClock()
        self._chance = chance or random.Random()
        self._watcher = None if observer is None else Watcher(observer, self._clock)
        self._pacer = Pacer(
            concurrency=self.settings.concurrency,
            max_rate_per_s=self.settings.max_rate_per_s,
            outage_s=self.settings.retry.outage_s,
            clock=self._clock,
            chance=self._chance.random,
        )
        self._transport: Transport | None = None
        self._requests = self._retries = self._throttled = 0
        self._long_wait_told = False

    async def __aenter__(self) -> Self:
        if self._transport is not None:
            raise UsageError("the session is open already; open one session and share it")
        self._transport = self._open_transport(self.settings)
        self._pacer.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Operations under way end with an error that says what is known of them."""
        transport, self._transport = self._transport, None
        self._pacer.close()
        if transport is not None:
            # A close that is cancelled half way would leave sockets to the garbage collector.
            with anyio.CancelScope(shield=True):
                await transport.aclose()

    def __repr__(self) -> str:
        state = "open" if self._transport is not None else "closed"
        return f"<{type(self).__name__} {self.settings.domain} {self._credential!r} {state}>"

    @property
    def identity(self) -> str:
        """A name of the account that may be shown and stored: for an SSH key its fingerprint."""
        return self._credential.identity

    @property
    def clock(self) -> Clock:
        """Where this session's time comes from."""
        return self._clock

    @property
    def is_free(self) -> bool:
        """Whether a request would leave at once, with no wait for its turn."""
        return self._pacer.is_free

    def statistics(self) -> Statistics:
        """The counters as they are now."""
        return Statistics(
            requests=self._requests,
            retries=self._retries,
            throttled=self._throttled,
            in_flight=self._pacer.in_flight,
            rate_per_s=self._pacer.rate_per_s,
            outage=self._pacer.in_outage,
        )

    def throttled_elsewhere(self) -> None:
        """Slow down: another client of the same account was turned away for load."""
        self._pacer.throttled_elsewhere()

    def report_in_doubt(self, kind: str) -> None:
        """Tell the observer, if there is one, that an entry of a manifest, of this kind, ended in doubt."""
        if self._watcher is not None:
            self._watcher.in_doubt(kind)

    async def execute(
        self,
        operation: Operation[T] | RestOperation[T],
        *,
        api_key: APIKey | None = None,
        request: Envelope | RestRequest | None = None,
        stop: Stop | None = None,
    ) -> T:
        """Run one operation, of the envelope API or of REST v2, and return its result.

        Args:
            operation: What to ask of the service.
            api_key: Authenticate with this key of the resource instead of the session's credential; not for REST v2.
            request: What `sealed` makes of *operation*, from a caller who has it already.
            stop: Keeps the request from leaving once it is asked to; what has left is not touched. What may have been
                done already, because an answer was lost, is brought to an end, unless the service is down.

        Raises:
            StoppedError: *stop* was asked to, and it was not done.
            NotAppliedError: It was not done.
            UncertainError: It may have been done. A create is never sent again after this.
            AppliedError: It was done, but the answer is not understood.
        """
        call = self._call(request or sealed(operation), api_key)
        call.stop = stop
        return await _watched(call, self._executed(operation, call))

    async def _executed(self, operation: Operation[T] | RestOperation[T], call: _Call) -> T:
        try:
            answer = Secret(await self._deliver(call))
        except ExistsError as error:
            if isinstance(operation, RestOperation):
                return operation.if_exists(error)
            raise
        try:
            return operation.parse(answer.reveal())
        except EncordError as error:
            # An answer that was not understood may hold keys.
            error.trace_id = call.trace_id
            conceal(error)
            raise

    async def send(self, request: Envelope | RestRequest, *, api_key: APIKey | None = None) -> object:
        """Send one request, with retries as its effect allows, and return what the reply carries.

        That is the ``response`` of an envelope, or the JSON value of a REST reply, None if it has no content. The
        untyped way for calls without an operation class; see `encord_async.raw.envelope` and
        `encord_async.raw.rest_request`. Raises as `execute`.
        """
        call = self._call(request, api_key)
        return await _watched(call, self._deliver(call))

    async def pages(self, listing: PageOperation[T], *, api_key: APIKey | None = None) -> AsyncIterator[Page[T]]:
        """Each page of a listing from *listing* on, asked for as the iteration comes to it. Raises as `execute`.

        What a page shows that an earlier one has shown is left out of it: pages shift when something is made meanwhile.
        The iteration owns no task and no connection: it may be left at any page.

        Raises:
            ReplyShapeError: The listing does not end: its pages lead in a circle, or to ever more pages of nothing new.
        """
        shown: set[object] = set()
        turned: set[str | None] = set()
        barren = 0
        following: PageOperation[T] | None = listing
        while following is not None:
            turned.add(following.page_token)
            page = await self.execute(following, api_key=api_key)
            fresh = following.unlike(shown, page)
            barren = 0 if fresh.results else barren + 1
            following = following.after(page)
            if following is not None and (following.page_token in turned or barren > _MOST_BARREN_PAGES):
                raise ReplyShapeError(
                    "the listing does not end: its pages bring nothing new", operation=listing.call.name
                )
            yield fresh

    async def collect(self, listing: PageOperation[T], *, api_key: APIKey | None = None) -> tuple[T, ...]:
        """Everything on all pages of a listing from *listing* on. Raises as `execute`."""
        found: list[T] = []
        async for page in self.pages(listing, api_key=api_key):
            found.extend(page.results)
        return tuple(found)

    async def _deliver(self, call: _Call) -> object:
        """The ``response`` of the reply, after as many attempts as it takes."""
        try:
            return await self._attempt(call)
        except OutageError:
            raise _down(call) from None
        except EncordError as failure:
            first_failure = failure
        turned_away = isinstance(first_failure, ThrottledError)

        def note(error: EncordError, wait_s: float) -> None:
            nonlocal turned_away
            turned_away = isinstance(error, ThrottledError)
            self._retries += not turned_away
            self._tell_long_wait(error.retry_after_s)
            logger.debug("again in %.2f s: %s", wait_s, error)

        return await deliver_again(
            lambda: self._attempt(call, returning=turned_away),
            first_failure,
            effect=call.effect,
            policy=self.settings.retry,
            load=self._pacer,
            clock=_StoppableClock(self._clock, lambda: self._stop_of(call)),
            chance=self._chance.random,
            deadline_s=call.deadline_s,
            on_retry=note,
        )

    def _tell_long_wait(self, asked_s: float | None) -> None:
        """Say once that the service wants to be left alone for longer than it is."""
        most_s = self.settings.retry.retry_after_max_s
        if asked_s is not None and asked_s > most_s and not self._long_wait_told:
            self._long_wait_told = True
            logger.warning(
                "the service asks to wait %.0f s before the next try; it is asked again after %.0f s", asked_s, most_s
            )

    def _call(self, request: Envelope | RestRequest, api_key: APIKey | None) -> _Call:
        if isinstance(request, RestRequest):
            return self._prepared_rest(request, api_key)
        return self._prepared(request, api_key)

    def _prepared(self, envelope: Envelope, api_key: APIKey | None) -> _Call:
        credential: Credential = api_key or self._credential
        query, trace_id = envelope.query, self._new_trace_id()
        headers = {_TRACE: _trace(trace_id)}
        if query.endpoint is Endpoint.RESOURCE:
            if not envelope.resource_id:
                raise UsageError(f"{query.name} is about a resource; give its hash", operation=query.name)
            headers[Header.RESOURCE_ID.value] = _header_value(envelope.resource_id, query.name)
            if not isinstance(credential, APIKey) and query.resource_type is not None:
                headers[Header.RESOURCE_TYPE.value] = query.resource_type.value
        elif isinstance(credential, APIKey):
            raise UsageError(f"{query.name} is not open to API keys; use the SSH key of a user", operation=query.name)
        return _EnvelopeCall(
            name=query.name,
            effect=query.effect,
            trace_id=trace_id,
            deadline_s=self._deadline_s(),
            watch=self._watch(query.name, "POST", query.endpoint.value, trace_id),
            envelope=envelope,
            headers=Secret({_AUTHORIZATION: credential.authorization(envelope.body), **headers}),
        )

    def _prepared_rest(self, request: RestRequest, api_key: APIKey | None) -> _Call:
        credential: Credential = api_key or self._credential
        if isinstance(credential, APIKey):
            raise UsageError(
                f"{request.call.name} is not open to API keys; use the SSH key of a user or a bearer token",
                operation=request.call.name,
            )
        trace_id = self._new_trace_id()
        return _RestCall(
            name=request.call.name,
            effect=request.call.effect,
            trace_id=trace_id,
            deadline_s=self._deadline_s(),
            watch=self._watch_rest(request.call, trace_id),
            request=request,
            credential=credential,
        )

    def _watch(self, operation: str, method: str, path_template: str | None, trace_id: str) -> Watch[Any] | None:
        if self._watcher is None:
            return None
        return self._watcher.watch(
            Beginning(
                operation=operation,
                domain=self.settings.domain,
                method=method,
                path_template=path_template,
                trace_id=trace_id,
            )
        )

    def _watch_rest(self, call: RestCall, trace_id: str) -> Watch[Any] | None:
        if self._watcher is None:
            return None
        if (call.method, call.path) in REST_CALLS:
            return self._watch(call.name, call.method, REST_ROOT + call.path, trace_id)
        # In a path that the caller wrote may stand anything, and each would be a name of its own.
        return self._watch(f"v2.{call.method}", call.method, None, trace_id)

    def _new_trace_id(self) -> str:
        return f"{self._chance.getrandbits(128):032x}"

    def _deadline_s(self) -> float | None:
        operation_s = self.settings.timeouts.operation_s
        return None if operation_s is None else self._clock.monotonic_s() + operation_s

    async def _attempt(self, call: _Call, *, returning: bool = False) -> object:
        """Send once and judge; every attempt passes the pacer."""
        permit = self._pacer.try_acquire() or await self._wait_for_turn(call, returning=returning)
        verdict, retry_after_s = Verdict.UNKNOWN, None
        try:
            transport = self._transport
            if transport is None:
                raise UsageError("the session is not open; use it inside 'async with'")
            timeout_s = self._time_left_s(call)
            stop = self._stop_of(call)
            if stop is not None:
                # The last moment: from here on it leaves, and nothing but a cancelled task keeps it from its answer.
                stop.check()
            self._requests += 1
            exchange = self._exchange(call, transport, timeout_s)
            response = await (exchange if call.watch is None else call.watch.attempt(exchange))
            verdict = Verdict.ANSWERED
            return response
        except EncordError as error:
            error.operation, error.trace_id = call.name, call.trace_id
            call.unsure |= isinstance(error, UncertainError)
            verdict, retry_after_s = _verdict(error), error.retry_after_s
            self._throttled += verdict is Verdict.THROTTLED
            raise
        finally:
            self._pacer.release(permit, verdict, retry_after_s=retry_after_s)

    async def _exchange(self, call: _Call, transport: Transport, timeout_s: float | None) -> object:
        try:
            sending = call.send(transport, now_s=self._clock.wall_s(), timeout_s=timeout_s)
            return call.judge(call.noted(await sending), now_s=self._clock.wall_s())
        except Exception as error:
            # aiohttp's frames hold our headers, and those of the judge what the service makes of them.
            conceal(error)
            raise

    def _stop_of(self, call: _Call) -> Stop | None:
        """What may keep *call* from leaving (again)."""
        if call.unsure and call.effect is not Effect.READ and not self._pacer.in_outage:
            # It may have been done: one more answer says so for sure, and is not far.
            return None
        return call.stop

    async def _wait_for_turn(self, call: _Call, *, returning: bool) -> Permit:
        stop = self._stop_of(call)
        if stop is None:
            return await self._wait_till_deadline(call, returning=returning)
        return await stop.cut(lambda: self._wait_till_deadline(call, returning=returning))

    async def _wait_till_deadline(self, call: _Call, *, returning: bool) -> Permit:
        if call.deadline_s is None:
            return await self._pacer.acquire(returning=returning)
        with anyio.move_on_after(call.deadline_s - self._clock.monotonic_s()):
            return await self._pacer.acquire(returning=returning)
        raise _too_late(call)

    def _time_left_s(self, call: _Call) -> float | None:
        attempt_s = self.settings.timeouts.attempt_s
        if call.deadline_s is None:
            return attempt_s
        left_s = call.deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise _too_late(call)
        return left_s if attempt_s is None else min(attempt_s, left_s)


def sealed(operation: Operation[Any] | RestOperation[Any]) -> Envelope | RestRequest:
    """*operation* as it goes onto the wire, but for its signature; equal operations give equal requests.

    Raises:
        UnencodableError: A value cannot be written as UTF-8 or JSON.
    """
    return operation.request() if isinstance(operation, RestOperation) else seal(operation)


def _watched(call: _Call, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """*work*, reported if anybody observes."""
    return work if call.watch is None else call.watch.operation(work)


def _trace(trace_id: str) -> str:
    """Value of the header by which support finds the call."""
    return f"{trace_id}/1;o=1"


def _verdict(error: EncordError) -> Verdict:
    """What an attempt's failure says of the service's state."""
    if isinstance(error, ThrottledError):
        return Verdict.THROTTLED
    if isinstance(error, NotSentError | UncertainError):
        return Verdict.FAULT
    return Verdict.ANSWERED if isinstance(error, RefusedError | AppliedError) else Verdict.UNKNOWN


def _down(call: _Call) -> NotSentError:
    return NotSentError(
        "the service has not answered for a long time; nothing was sent, try again when it is back",
        operation=call.name,
        trace_id=call.trace_id,
    )


def _too_late(call: _Call) -> DeadlineError:
    return DeadlineError(
        "the operation's time ran out before it could be sent",
        operation=call.name,
        trace_id=call.trace_id,
    )


def _header_value(text: str, operation: str) -> str:
    """*text* if a header can carry it; line breaks would forge further headers."""
    if not text.isascii() or not text.isprintable():
        raise UsageError("the resource's hash holds characters that no hash has; check it", operation=operation)
    return text


@cache
def _product() -> str:
    """Ours and Python's release; looked up once, as that reads and parses a file."""
    return f"encord-async/{version('encord-async')} python/{platform.python_version()}"


def _aiohttp_transport(settings: Settings) -> Transport:
    agent = f"{_product()} {settings.user_agent_suffix}".strip()
    return AiohttpTransport(
        settings,
        headers={"Content-Type": "application/json", "Accept": "application/json", "User-Agent": agent},
    )
