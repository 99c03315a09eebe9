"""A session: signs, paces, sends and judges single operations over one connection pool.

It knows nothing of manifests, plans or journals, and keeps no state of what it did but counters.
"""

import logging
import platform
import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Self, TypeVar

import anyio

from encord_async.errors import (
    AppliedError,
    DeadlineError,
    EncordError,
    NotSentError,
    RefusedError,
    ThrottledError,
    UncertainError,
    UsageError,
)
from encord_async.protocol.catalogue import Endpoint, Header
from encord_async.protocol.envelope import Envelope, seal
from encord_async.protocol.operations import Operation
from encord_async.protocol.reply import judge
from encord_async.protocol.signing import APIKey, Credential
from encord_async.session.clock import Clock, SystemClock
from encord_async.session.pacing import OutageError, Pacer, Verdict
from encord_async.session.rate import Permit
from encord_async.session.retrying import deliver_again
from encord_async.session.settings import Settings
from encord_async.session.transport import AiohttpTransport, Transport

__all__ = ["Session", "Statistics"]

T = TypeVar("T")

logger = logging.getLogger("encord_async")


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


@dataclass(frozen=True, slots=True)
class _Call:
    """An envelope with everything of it that stays the same over its attempts."""

    envelope: Envelope
    headers: dict[str, str]
    secrets: tuple[str, ...]
    trace_id: str
    deadline_s: float | None


class Session:
    """Runs operations; use it as ``async with``.

    Args:
        credential: What to authenticate with.
        settings: Everything else.
        transport: Makes the transport when the session is opened; tests put a network of their own here.
        clock: Where time comes from.
        chance: Draws numbers from 0 to 1 for jitter and trace ids.
    """

    def __init__(
        self,
        credential: Credential,
        settings: Settings | None = None,
        *,
        transport: Callable[[Settings], Transport] | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._credential = credential
        self._open_transport = transport or _aiohttp_transport
        self._clock: Clock = clock or SystemClock()
        self._chance = chance or random.Random()
        self._pacer = Pacer(
            concurrency=self.settings.concurrency,
            max_rate_per_s=self.settings.max_rate_per_s,
            outage_s=self.settings.retry.outage_s,
            clock=self._clock,
            chance=self._chance.random,
        )
        self._transport: Transport | None = None
        self._requests = self._retries = self._throttled = 0

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

    async def execute(self, operation: Operation[T], *, api_key: APIKey | None = None) -> T:
        """Run one operation and return its result.

        Args:
            operation: What to ask of the service.
            api_key: Authenticate with this key of the resource instead of the session's credential.

        Raises:
            NotAppliedError: It was not done.
            UncertainError: It may have been done. A create is never sent again after this.
            AppliedError: It was done, but the answer is not understood.
        """
        call = self._prepared(seal(operation), api_key)
        response = await self._deliver(call)
        try:
            return operation.parse(response)
        except EncordError as error:
            error.trace_id = call.trace_id
            raise

    async def send(self, envelope: Envelope, *, api_key: APIKey | None = None) -> object:
        """Send one envelope, with retries as its effect allows, and return the ``response`` of the reply.

        The untyped way for calls without an operation class; see `encord_async.envelope`. Raises as `execute`.
        """
        return await self._deliver(self._prepared(envelope, api_key))

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
            logger.debug("again in %.2f s: %s", wait_s, error)

        return await deliver_again(
            lambda: self._attempt(call, returning=turned_away),
            first_failure,
            effect=call.envelope.query.effect,
            policy=self.settings.retry,
            load=self._pacer,
            clock=self._clock,
            chance=self._chance.random,
            deadline_s=call.deadline_s,
            on_retry=note,
        )

    def _prepared(self, envelope: Envelope, api_key: APIKey | None) -> _Call:
        credential: Credential = api_key or self._credential
        query = envelope.query
        headers: dict[str, str] = {Header.AUTHORIZATION.value: credential.authorization(envelope.body)}
        if query.endpoint is Endpoint.RESOURCE:
            if not envelope.resource_id:
                raise UsageError(f"{query.name} is about a resource; give its hash", operation=query.name)
            headers[Header.RESOURCE_ID.value] = _header_value(envelope.resource_id, query.name)
            if not isinstance(credential, APIKey) and query.resource_type is not None:
                headers[Header.RESOURCE_TYPE.value] = query.resource_type.value
        elif isinstance(credential, APIKey):
            raise UsageError(f"{query.name} is not open to API keys; use the SSH key of a user", operation=query.name)
        trace_id = f"{self._chance.getrandbits(128):032x}"
        headers[Header.TRACE.value] = f"{trace_id}/1;o=1"
        operation_s = self.settings.timeouts.operation_s
        deadline_s = None if operation_s is None else self._clock.monotonic_s() + operation_s
        return _Call(envelope, headers, credential.secrets, trace_id, deadline_s)

    async def _attempt(self, call: _Call, *, returning: bool = False) -> object:
        """Send once and judge; every attempt passes the pacer."""
        permit = self._pacer.try_acquire() or await self._wait_for_turn(call, returning=returning)
        verdict, retry_after_s = Verdict.UNKNOWN, None
        try:
            transport = self._transport
            if transport is None:
                raise UsageError("the session is not open; use it inside 'async with'")
            timeout_s = self._time_left_s(call)
            self._requests += 1
            reply = await transport.post(
                call.envelope.query.endpoint, call.headers, call.envelope.body, timeout_s=timeout_s
            )
            response = judge(
                reply,
                operation=call.envelope.query.name,
                trace_id=call.trace_id,
                now_s=self._clock.wall_s(),
                secrets=call.secrets,
            )
            verdict = Verdict.ANSWERED
            return response
        except EncordError as error:
            error.operation, error.trace_id = call.envelope.query.name, call.trace_id
            verdict, retry_after_s = _verdict(error), error.retry_after_s
            self._throttled += verdict is Verdict.THROTTLED
            raise
        finally:
            self._pacer.release(permit, verdict, retry_after_s=retry_after_s)

    async def _wait_for_turn(self, call: _Call, *, returning: bool) -> Permit:
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
        operation=call.envelope.query.name,
        trace_id=call.trace_id,
    )


def _too_late(call: _Call) -> DeadlineError:
    return DeadlineError(
        "the operation's time ran out before it could be sent",
        operation=call.envelope.query.name,
        trace_id=call.trace_id,
    )


def _header_value(text: str, operation: str) -> str:
    """*text* if a header can carry it; line breaks would forge further headers."""
    if not text.isascii() or not text.isprintable():
        raise UsageError("the resource's hash holds characters that no hash has; check it", operation=operation)
    return text


def _aiohttp_transport(settings: Settings) -> Transport:
    product = f"encord-async/{version('encord-async')} python/{platform.python_version()}"
    agent = f"{product} {settings.user_agent_suffix}".strip()
    return AiohttpTransport(
        settings,
        headers={"Content-Type": "application/json", "Accept": "application/json", "User-Agent": agent},
    )
