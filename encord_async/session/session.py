"""A session: signs, paces, sends and judges single operations over one connection pool.

It knows nothing of manifests, plans or journals, and keeps no state of what it did but counters.
"""

import logging
import platform
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
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
from encord_async.protocol.catalogue import Effect, Header
from encord_async.protocol.operations.base import Operation, PageOperation
from encord_async.protocol.reply import RawReply
from encord_async.protocol.request import Request
from encord_async.protocol.rest_models import Page
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
from encord_async.session.turn import LetPass, Turn

__all__ = ["Session", "Statistics"]

T = TypeVar("T")

_MOST_BARREN_PAGES: Final = 100
"""So many pages one after the other may bring nothing new: a service may look for something that is rare."""

logger = logging.getLogger("encord_async")

# Taken out of its enumeration once: to ask a member for its value takes as long as to make the header.
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
class _Call:
    """A request with everything of it that stays the same over its attempts.

    Not frozen: one is made for each operation, and to freeze it would take twice as long as all else about it.
    """

    request: Request
    operation: Operation[Any] | None
    """What reads the answer; None if only the caller can."""
    credential: Credential
    headers: dict[str, str]
    """All that are special to it but those that authenticate an attempt."""
    trace_id: str
    deadline_s: float | None
    watch: Watch[Any] | None
    stop: Stop | None
    unsure: bool = False
    """Whether an attempt may have been applied, and no later one was answered."""
    turn: Turn | None = None
    """Of the last attempt."""

    def noted(self, reply: RawReply) -> RawReply:
        """*reply*, after whoever observes has its status."""
        if self.watch is not None:
            self.watch.note(reply)
        return reply


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
        self._long_wait_told = self._was_opened = False

    async def __aenter__(self) -> Self:
        if self._transport is not None:
            raise UsageError("the session is open already; open one session and share it")
        self._transport = self._open_transport(self.settings)
        self._pacer.open()
        self._was_opened = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def check_open(self) -> None:
        """Refuse to be used before it is open, or after it was closed.

        Raises:
            UsageError: It is so.
        """
        if self._transport is None:
            raise UsageError(
                "the session is closed; make and open another"
                if self._was_opened
                else "the session is not open; use it as 'async with session', or 'await session.open()' first"
            )

    async def open(self) -> Self:
        """Open it, for where there is no block to use it in, as in a notebook; `aclose` is then yours to call.

        Examples:
            >>> async def in_a_notebook() -> EncordSession:
            ...     return await EncordSession.from_env().open()
        """
        return await self.__aenter__()

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

    @property
    def in_outage(self) -> bool:
        """Whether the service is down, as far as is known: it gave no answer to so many requests in a row."""
        return self._pacer.in_outage

    def report_in_doubt(self, kind: str) -> None:
        """Tell the observer, if there is one, that an entry of a manifest, of this kind, ended in doubt."""
        if self._watcher is not None:
            self._watcher.in_doubt(kind)

    async def execute(
        self,
        operation: Operation[T],
        *,
        api_key: APIKey | None = None,
        request: Request | None = None,
        stop: Stop | None = None,
        is_new: Callable[[T], bool] | None = None,
    ) -> T:
        """Run one operation, of the envelope API or of REST v2, and return its result.

        Args:
            operation: What to ask of the service.
            api_key: Authenticate with this key of the resource instead of the session's credential; not for REST v2.
            request: What *operation* is as a request, from a caller who has it already.
            stop: Keeps the request from leaving once it is asked to; what has left is not touched. What may have been
                done already, because an answer was lost, is brought to an end, unless the service is down.
            is_new: Whether no other request was given such an answer. If one was, replies are mixed up on the way, and
                from then on no connection is used twice.

        Raises:
            StoppedError: *stop* was asked to, and it was not done.
            NotAppliedError: It was not done.
            UncertainError: It may have been done. A create is never sent again after this.
            AppliedError: It was done, but the answer is not understood.
        """
        call = self._call(request or operation.request(), api_key, stop, operation)
        return await _watched(call, self._executed(operation, call, is_new))

    async def _executed(self, operation: Operation[T], call: _Call, is_new: Callable[[T], bool] | None) -> T:
        try:
            result = await self._understood(operation, call)
        except ExistsError as error:
            return operation.if_exists(error)
        if is_new is not None and not is_new(result) and call.turn is not None:
            call.turn.distrust()
        return result

    async def _understood(self, operation: Operation[T], call: _Call, *, again: bool = False) -> T:
        """The result; what is not understood may be the answer to another request, and is asked for once more."""
        answer = Secret(await self._deliver(call))
        try:
            return operation.parse(answer.reveal())
        except EncordError as error:
            if call.turn is not None:
                call.turn.give_up()
            # An answer that was not understood may hold keys.
            error.trace_id = call.trace_id
            conceal(error)
            again = again or self.settings.retry.max_attempts == 1 or call.request.effect is Effect.CREATE
            if again or not isinstance(error, ReplyShapeError):
                raise
        self._retries += 1
        return await self._understood(operation, call, again=True)

    async def send(self, request: Request, *, api_key: APIKey | None = None) -> object:
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
        except EncordError as error:
            failure = error
        return await self._deliver_again(call, failure)

    async def _deliver_again(self, call: _Call, first_failure: EncordError) -> object:
        # Apart, since what its functions share would cost each request that does not need them.
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
            effect=call.request.effect,
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

    def _call(
        self,
        request: Request,
        api_key: APIKey | None,
        stop: Stop | None = None,
        operation: Operation[Any] | None = None,
    ) -> _Call:
        credential: Credential = api_key or self._credential
        trace_id = f"{self._chance.getrandbits(128):032x}"
        # The first is the header by which support finds the call.
        headers = {_TRACE: f"{trace_id}/1;o=1", **request.headers(credential)}
        return _Call(
            request=request,
            operation=operation,
            credential=credential,
            headers=headers,
            trace_id=trace_id,
            deadline_s=self._deadline_s(),
            watch=None if self._watcher is None else self._watch(self._watcher, request, trace_id),
            stop=stop,
        )

    def _watch(self, watcher: Watcher[Any], request: Request, trace_id: str) -> Watch[Any]:
        return watcher.watch(
            Beginning(
                operation=request.label,
                domain=self.settings.domain,
                method=request.method,
                path_template=request.path_template,
                trace_id=trace_id,
            )
        )

    def _deadline_s(self) -> float | None:
        operation_s = self.settings.timeouts.operation_s
        return None if operation_s is None else self._clock.monotonic_s() + operation_s

    async def _attempt(self, call: _Call, *, returning: bool = False) -> object:
        """Send once and judge; every attempt passes the pacer."""
        permit = self._pacer.try_acquire() or await self._wait_for_turn(call, returning=returning)
        verdict, retry_after_s = Verdict.UNKNOWN, None
        try:
            let_pass = None
            if call.stop is not None:
                # The last moment but for a connection that has to be made: from there on it leaves, and nothing but a
                # cancelled task keeps it from its answer.
                let_pass = partial(call.stop.let_pass, is_waived=self._stop_of(call) is None)
                await let_pass()
            self.check_open()
            transport = self._transport
            assert transport is not None  # noqa: S101 - for mypy: it was looked at just now
            timeout_s = self._time_left_s(call)
            self._requests += 1
            exchange = self._exchange(call, transport, timeout_s, let_pass)
            response = await (exchange if call.watch is None else call.watch.attempt(exchange))
            verdict = Verdict.ANSWERED
            return response
        except EncordError as error:
            error.operation, error.trace_id = call.request.name, call.trace_id
            call.unsure |= isinstance(error, UncertainError)
            verdict, retry_after_s = _verdict(error), error.retry_after_s
            self._throttled += verdict is Verdict.THROTTLED
            raise
        finally:
            self._pacer.release(permit, verdict, retry_after_s=retry_after_s)

    async def _exchange(
        self, call: _Call, transport: Transport, timeout_s: float | None, let_pass: LetPass | None
    ) -> object:
        request = call.request
        turn = call.turn = Turn(request, call.operation, let_pass)
        try:
            # Signed for each attempt: the time may be in the signature, and between attempts may lie a long wait.
            created_s = int(self._clock.wall_s())
            sent = Secret({**request.authentication(call.credential, created_s=created_s), **call.headers})
            sending = transport.request(
                request.method, request.target, sent.reveal(), request.body, timeout_s=timeout_s, turn=turn
            )
            # In no variable of its own: this frame is not over when the error of the judge is concealed.
            return request.judge(
                turn.checked(call.noted(await sending)), trace_id=call.trace_id, now_s=self._clock.wall_s(), sent=sent
            )
        except Exception as error:
            # What is no answer to this may be none to the next.
            turn.give_up()
            # aiohttp's frames hold our headers, and those of the judge what the service makes of them.
            conceal(error)
            raise

    def _stop_of(self, call: _Call) -> Stop | None:
        """What may keep *call* from leaving (again)."""
        if call.unsure and call.request.effect is not Effect.READ and not self._pacer.in_outage:
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


def _watched(call: _Call, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """*work*, reported if anybody observes."""
    return work if call.watch is None else call.watch.operation(work)


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
        operation=call.request.name,
        trace_id=call.trace_id,
    )


def _too_late(call: _Call) -> DeadlineError:
    return DeadlineError(
        "the operation's time ran out before it could be sent",
        operation=call.request.name,
        trace_id=call.trace_id,
    )


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
