"""The emulator without HTTP: a session's requests reach its rules by a call, and faults are raised, not acted out.

Nothing is signed, packed or sent, so a test of what is made of answers has them for less. What HTTP does to a request
is for the tests of `session/`, `emulator/` and `cli/`, which have sockets.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

import anyio
import anyio.lowlevel

from encord_async.emulator import FaultRule, Seed, default_seed, envelope, rest
from encord_async.emulator.calls import Reply, Request, Terms
from encord_async.emulator.faults import Fault, FaultPlan
from encord_async.emulator.seed import plant
from encord_async.emulator.service import Service
from encord_async.emulator.store import LogEntry, State, Store
from encord_async.errors import NoReplyError, UnreadableReplyError
from encord_async.protocol.catalogue import REST_ROOT, Endpoint
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import BearerToken

__all__ = ["CREDENTIAL", "URL", "DirectEmulator", "read_request"]

TOKEN = "the-token"
CREDENTIAL = BearerToken(TOKEN)
"""Of the first user of the seed."""
URL = "http://127.0.0.1:1"
"""A domain for settings; nothing is sent there."""


def now_us() -> int:
    """The time of day."""
    return time.time_ns() // 1000


def read_request(terms: Terms, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """A request of either API, as the service understands it."""
    if target.startswith(REST_ROOT):
        return rest.read(terms, method, target, headers, body)
    return envelope.read(terms, Endpoint(target), headers, body)


class Stats(TypedDict):
    """What is counted where there are no connections."""

    requests: int
    by_query: dict[str, int]
    faults: list[dict[str, object]]


class DirectEmulator:
    """A local Encord, and the transport of sessions with it; what there is outlives them.

    Args:
        seed: What there is first; None: what an emulator without a seed starts with.
        max_reply_bytes: What sessions take at most.
    """

    url = URL

    def __init__(
        self,
        seed: Seed | None = None,
        *,
        terms: Terms | None = None,
        max_reply_bytes: int = 2**24,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self.store = Store(None)
        self._rules = Service(store=self.store, terms=terms or Terms())
        self._max_reply_bytes = max_reply_bytes
        self._now_us = now_us
        self._plan = FaultPlan()
        self._by_query: Counter[str] = Counter()
        self._late: set[asyncio.TimerHandle] = set()
        first = seed or default_seed()[0]
        user = replace(first.users[0], bearer_token=TOKEN)
        plant(self.store, replace(first, users=(user, *first.users[1:])), now_us=now_us())

    # ------------------------------------------------------------------ as `Emulator` has it

    def close(self) -> None:
        """Forget everything; what was to be applied later never is."""
        for handle in self._late:
            handle.cancel()
        self.store.close()

    def set_faults(self, rules: Sequence[FaultRule]) -> None:
        """Put *rules* in the place of those before."""
        self._plan = FaultPlan(rules)

    def clear_faults(self) -> None:
        """Let everything go right again."""
        self._plan = FaultPlan()

    def state(self) -> State:
        """All that there is."""
        return self.store.state()

    def log(self) -> list[LogEntry]:
        """Every committed change, oldest first."""
        return self.store.log()

    def stats(self) -> Stats:
        """What was asked so far."""
        return {"requests": self._by_query.total(), "by_query": dict(self._by_query), "faults": self._plan.counts()}

    # ------------------------------------------------------------------ Transport

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """See `Transport`."""
        request = read_request(self._rules.terms, method, target, headers, body)
        try:
            with anyio.fail_after(timeout_s):
                reply = await self._replied(request)
        except TimeoutError as error:
            raise NoReplyError("no reply in time; the request may have taken effect") from error
        if len(reply.body) > self._max_reply_bytes:
            raise UnreadableReplyError(
                f"the reply is larger than {self._max_reply_bytes} bytes; the request may have taken effect",
                code="REPLY_TOO_LARGE",
            )
        return reply

    async def aclose(self) -> None:
        """See `Transport`."""

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, stale_us: int = 0
    ) -> RawReply:
        """Do at once what a request asks for; no fault strikes it."""
        request = read_request(self._rules.terms, method, target, headers, body)
        return _raw(self._rules.answer(request, now_us=self._now_us(), stale_us=stale_us))

    async def _replied(self, request: Request) -> RawReply:
        self._by_query[request.name] += 1
        rule = self._plan.decide(request.name)
        await anyio.lowlevel.checkpoint()
        if rule is not None and (early := await self._before(request, rule)) is not None:
            return early
        reply = self._answer(request, rule)
        if reply.hold_until_us:
            await anyio.sleep((reply.hold_until_us - self._now_us()) / 1e6)
            reply = self._answer(request, rule)
        await anyio.lowlevel.checkpoint()
        if rule is not None and rule.fault is Fault.DROP_AFTER_COMMIT:
            raise NoReplyError("the connection was lost; the request may have taken effect")
        if rule is not None and rule.fault is Fault.TRUNCATE:
            raise UnreadableReplyError("the reply is cut short; the request may have taken effect")
        return RawReply(reply.status, {}, reply.body)

    async def _before(self, request: Request, rule: FaultRule) -> RawReply | None:
        """What *rule* does before the service sees the request; None if it is to see it."""
        match rule.fault:
            case Fault.DELAY:
                # It goes on though nobody may wait for it any more.
                return _raw(await self._apply_later(request, rule))
            case Fault.DROP_BEFORE:
                raise NoReplyError("the connection was lost; the request may have taken effect")
            case Fault.LATE_COMMIT:
                self._apply_later(request, rule)
                raise NoReplyError("the connection was lost; the request may have taken effect")
            case Fault.GAVE_UP:
                self._apply_later(request, rule)
                return _html(rule)
            case Fault.HANG:
                await anyio.sleep_forever()
            case Fault.STATUS:
                await anyio.sleep(rule.seconds)
                return _html(rule)
            case Fault.RATE_LIMITED:
                return RawReply(429, {} if rule.retry_after is None else {"Retry-After": rule.retry_after}, b"")
            case Fault.RATE_LIMITED_ENVELOPE:
                return _raw(request.rate_limited)
            case Fault.ERROR:
                return _raw(request.failure(rule.code, "injected"))
            case Fault.DROP_AFTER_COMMIT | Fault.TRUNCATE | Fault.STALE_READ:
                pass
        return None

    def _answer(self, request: Request, rule: FaultRule | None = None) -> Reply:
        """What the rules say to a request."""
        stale_us = int(rule.seconds * 1e6) if rule is not None and rule.fault is Fault.STALE_READ else 0
        fault = None if rule is None else str(rule.fault)
        return self._rules.answer(request, now_us=self._now_us(), stale_us=stale_us, fault=fault)

    def _apply_later(self, request: Request, rule: FaultRule) -> "asyncio.Future[Reply]":
        loop = asyncio.get_running_loop()
        replied: asyncio.Future[Reply] = loop.create_future()

        def apply() -> None:
            self._late.discard(handle)
            reply = self._answer(request, rule)
            if not replied.done():
                replied.set_result(reply)

        handle = loop.call_later(rule.seconds, apply)
        self._late.add(handle)
        return replied


def _raw(reply: Reply) -> RawReply:
    return RawReply(reply.status, {}, reply.body)


def _html(rule: FaultRule) -> RawReply:
    headers = {} if rule.retry_after is None else {"Retry-After": rule.retry_after}
    return RawReply(rule.status, headers, b"<html>no</html>")
