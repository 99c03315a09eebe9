"""Says when a request may leave: the one gate that every attempt of a session passes, first come first served.

Three bounds meet here: how many are in flight, the user's own rate, and what the service shows (`rate`, `outage`).
Never sends, retries or judges. There is no task of its own: the first of those who wait looks after the time, and hands
that on when it goes.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import anyio

from encord_async.session.clock import Clock
from encord_async.session.outage import Outage, RetryBudget
from encord_async.session.rate import Permit, Rate

__all__ = ["OutageError", "Pacer", "Verdict"]

logger = logging.getLogger("encord_async")

_SOON_S: Final = 1e-6
"""Less than a clock can tell apart."""
_WAKE_GAIN_S: Final = 0.01
"""A wait is cut short when the time to go has moved nearer by this much."""
_RETRIES_AT_ONCE: Final = 100.0


class Verdict(Enum):
    """What became of a request, as far as the gate has to know."""

    ANSWERED = "answered"
    """The service judged it, whatever it said."""
    THROTTLED = "throttled"
    """It was turned away for load."""
    FAULT = "fault"
    """No answer, or one that says that the service broke down."""
    UNKNOWN = "unknown"
    """It was not sent, or given up by us."""


_ANSWERED, _THROTTLED, _FAULT, _UNKNOWN = Verdict
"""To find a member by its name takes Python 3.11 as long as a look at the clock."""


class OutageError(Exception):
    """The service has been down for so long that waiting on makes no sense. It never leaves the session."""


@dataclass(slots=True, eq=False)
class _Waiter:
    turn: asyncio.Future[None]
    """Done when it has a permit, or has to look at the clock itself."""
    permit: Permit | None = None
    """Given to it by whoever made room; it is no longer in its queue then."""
    waited: bool = False
    """Whether it was the rate that held it back."""


class Pacer:
    """The gate.

    Args:
        concurrency: Most requests in flight.
        max_rate_per_s: Most requests a second; None leaves it to what the service shows.
        outage_s: How long to wait for a service that is down; with 0 no outage is ever seen.
        clock: Where time comes from.
        chance: Draws a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        max_rate_per_s: float | None = None,
        outage_s: float,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._rate = Rate(max_per_s=max_rate_per_s, concurrency=concurrency)
        # Few requests at a time have to wait longer for as many faults.
        self._outage = Outage(threshold=min(max(concurrency, 3), 10) if outage_s > 0 else None)
        self._budget = RetryBudget(capacity=_RETRIES_AT_ONCE)
        self._outage_s = outage_s
        self._clock = clock
        self._chance = chance
        self._fresh: deque[_Waiter] = deque()
        self._returned: deque[_Waiter] = deque()
        self._in_flight = 0
        self._nap: anyio.CancelScope | None = None
        self._nap_ends_s = math.inf
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Requests that have left and not come back."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests at the gate."""
        return len(self._fresh) + len(self._returned)

    @property
    def rate_per_s(self) -> float | None:
        """The rate in force, learnt or given; None when there is none."""
        return self._rate.per_s

    @property
    def in_outage(self) -> bool:
        """Whether the service is taken to be down."""
        return self._outage.since_s is not None

    @property
    def is_free(self) -> bool:
        """Whether the next may leave at once: nobody waits, there is a slot, and slots are the only bound."""
        return not self.waiting and self._free_slots() > 0

    def open(self) -> None:
        """Let requests pass by the rules; the state of a new gate."""
        self._closed = False

    def close(self) -> None:
        """Let everybody pass at once, to find that the session is closed."""
        self._closed = True
        self._wake()

    def try_acquire(self) -> Permit | None:
        """A permit, if one is to be had without waiting."""
        if self._fresh or self._returned or self._delay_s() > 0:
            return None
        return self._leave(waited=False)

    async def acquire(self, *, returning: bool = False) -> Permit:
        """Wait for a permit; a wait that is cancelled leaves no trace.

        Args:
            returning: The request was turned away for load, and goes before those who were not sent yet.

        Raises:
            OutageError: The service has been down for *outage_s*.
        """
        permit = self.try_acquire()
        if permit is not None:
            return permit
        waiter, queue = _Waiter(_future()), self._returned if returning else self._fresh
        queue.append(waiter)
        try:
            await self._turn(waiter)
            return waiter.permit or self._leave(waited=waiter.waited)
        except BaseException:
            if waiter.permit is not None:
                self.release(waiter.permit, _UNKNOWN)
            raise
        finally:
            if waiter.permit is None:
                queue.remove(waiter)
                self._hand_on(waiter)

    def release(self, permit: Permit, verdict: Verdict, *, retry_after_s: float | None = None) -> None:
        """A request has come back; *retry_after_s* is the wait that the service asked for."""
        self._in_flight -= 1
        if verdict is not _UNKNOWN and not self._closed:
            now_s = self._clock.monotonic_s()
            if verdict is _FAULT:
                self._note_fault(permit, now_s, retry_after_s)
            else:
                self._note_answer(permit, now_s, verdict)
        if self._fresh or self._returned:
            self._wake()

    def throttled_elsewhere(self) -> None:
        """Another client under the same limit was turned away for load: slow down as if it had been this one."""
        self._rate.throttled_elsewhere(self._clock.monotonic_s())

    def retry_wait_s(self) -> float | None:
        """Seconds to wait before a fault may be retried, so that retries stay few; None for not at all.

        In an outage nothing is charged: then only probes leave. A service that never answered is not waited for.
        """
        if self.in_outage:
            return 0.0
        patience_s = self._outage_s if self._outage.ever_answered else 0.0
        return self._budget.spend(self._clock.monotonic_s(), patience_s=patience_s)

    def _note_fault(self, permit: Permit, now_s: float, retry_after_s: float | None) -> None:
        if self._outage.faulted(permit.sent_s, now_s, chance=self._chance(), retry_after_s=retry_after_s):
            logger.warning(
                "the service does not answer; waiting up to %.0f s for it, and asking now and then", self._outage_s
            )

    def _note_answer(self, permit: Permit, now_s: float, verdict: Verdict) -> None:
        if self._outage.answered(permit.sent_s):
            self._rate.resume(now_s)
            logger.info("the service answers again; going on")
        if verdict is _THROTTLED:
            self._rate.throttled(permit, now_s)
        else:
            self._budget.succeeded()
            self._rate.accepted(permit, now_s)

    def _hand_on(self, waiter: _Waiter) -> None:
        """Have the next look at the clock. If there is a slot for it, what held *waiter* back held it back too."""
        following = self._front()
        if following is not None:
            following.waited |= waiter.waited and self._in_flight < self._rate.window
            self._wake()

    def _leave(self, *, waited: bool) -> Permit:
        self._in_flight += 1
        now_s = self._clock.monotonic_s()
        if self._closed:
            return Permit(now_s, pressed=False)
        if self._outage.since_s is not None:
            self._outage.probed(now_s)
        return self._rate.sent(now_s, waited=waited)

    def _delay_s(self) -> float:
        """Seconds until the next may leave; infinite while there is no slot."""
        if self._closed:
            return 0.0
        if self._in_flight >= self._rate.window:
            return math.inf
        if self._outage.since_s is not None:
            return self._outage.probe_s - self._clock.monotonic_s()
        if self._rate.per_s is None:
            return 0.0
        return self._rate.next_s() - self._clock.monotonic_s()

    def _patience_s(self) -> float:
        """Seconds until those who wait for the end of an outage give up."""
        if self._outage.since_s is None:
            return math.inf
        return self._outage.since_s + self._outage_s - self._clock.monotonic_s()

    def _front(self) -> _Waiter | None:
        if self._returned:
            return self._returned[0]
        return self._fresh[0] if self._fresh else None

    def _wake(self) -> None:
        """Let those go who may, or have the first look at the clock again if it may go sooner than it thinks."""
        first = self._front()
        if first is None:
            return
        if self._nap is not None:
            if self._clock.monotonic_s() + self._delay_s() < self._nap_ends_s - _WAKE_GAIN_S:
                self._nap.cancel()
        elif self._free_slots() > 0:
            self._fill_slots()
        elif self._delay_s() < math.inf and not first.turn.done():
            first.turn.set_result(None)

    def _fill_slots(self) -> None:
        """Hand a permit to as many as there are slots for: nobody has to be woken to find that it may not go."""
        while self._free_slots() > 0 and (waiter := self._front()) is not None:
            if waiter.turn.done():
                # It is about to go, by itself or as its task is cancelled, and sees to the others then.
                return
            (self._returned or self._fresh).popleft()
            waiter.permit = self._leave(waited=False)
            waiter.turn.set_result(None)

    def _free_slots(self) -> int:
        """How many may leave now; 0 unless slots are the only bound."""
        if self._rate.per_s is not None or self.in_outage or self._closed:
            return 0
        return self._rate.window - self._in_flight

    async def _turn(self, waiter: _Waiter) -> None:
        """Return when *waiter* has a permit, or is the first and may leave."""
        while waiter.permit is None:
            delay_s = self._delay_s()
            if self._front() is not waiter or delay_s == math.inf:
                await waiter.turn
                waiter.turn = _future()
                continue
            if delay_s <= _SOON_S:
                return
            waiter.waited = not self.in_outage
            patience_s = self._patience_s()
            if patience_s > 0 and not await self._slept(min(delay_s, patience_s)):
                continue
            if patience_s <= delay_s:
                raise OutageError
            if self._in_flight < self._rate.window:
                return

    async def _slept(self, seconds: float) -> bool:
        """Sleep; whether that was for the whole time, and with nobody new in front.

        If so, the time has come whatever the clock says: it may be a hair behind.
        """
        self._nap_ends_s = self._clock.monotonic_s() + seconds
        undisturbed = False
        with anyio.CancelScope() as nap:
            self._nap = nap
            try:
                await self._clock.sleep(seconds)
            finally:
                # Somebody who came to the front meanwhile has a nap of his own.
                undisturbed = self._nap is nap
                if undisturbed:
                    self._nap = None
        return undisturbed and not nap.cancelled_caught


def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()
