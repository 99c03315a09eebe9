"""Decides whether a failed attempt is made again, and drives the tries that follow the first.

`next_step` is the table at the heart of this library, as a pure function; `deliver_again` lets tenacity drive
the loop. Exactly this layer retries, no other. A create whose outcome is unknown is never sent again here:
whoever asked for it must look first whether it is there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

import tenacity

from encord_async.errors import (
    EncordError,
    NotAppliedError,
    NotSentError,
    RefusedError,
    ThrottledError,
    UncertainError,
)
from encord_async.protocol.catalogue import Effect
from encord_async.session.clock import Clock
from encord_async.session.pacing import OutageError
from encord_async.session.settings import RetryPolicy

__all__ = ["Again", "GiveUp", "History", "Load", "deliver_again", "next_step"]

T = TypeVar("T")

_THROTTLED_MAX_WAIT_S: Final = 8.0
"""Longest own wait after a throttled attempt without a hint: throttling is common, and passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What an operation has met so far, the failure that is being judged included."""

    faults: int = 0
    throttles: int = 0

    def with_failure(self, error: EncordError) -> "History":
        """This history and one more failed attempt."""
        if isinstance(error, ThrottledError):
            return replace(self, throttles=self.throttles + 1)
        return replace(self, faults=self.faults + 1)


@dataclass(frozen=True, slots=True)
class Again:
    """Send the same bytes once more after *wait_s* seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Let the caller have the error."""


Step: TypeAlias = Again | GiveUp


def next_step(
    error: EncordError,
    effect: Effect,
    history: History,
    policy: RetryPolicy,
    *,
    chance: float,
    remaining_s: float | None = None,
    in_outage: bool = False,
) -> Step:
    """What follows a failed attempt.

    =====================  =====  =====  ==================
    what happened          read   set    create
    =====================  =====  =====  ==================
    not sent               again  again  again
    throttled              again  again  again, when told
    outcome unknown        again  again  give up: look first
    refused                give up in every column
    =====================  =====  =====  ==================

    Args:
        error: Why the attempt failed.
        effect: What doing the operation twice would do.
        history: All failures of this operation, *error* included.
        policy: Bounds for faults, and for the wait that the service asks for; how often it throttles has no bound.
        chance: A number from 0 to 1 drawn evenly, for the jitter.
        remaining_s: Seconds to the operation's deadline.
        in_outage: The service is down for everybody: then the pacer says when to try, and no try counts.
    """
    hint_s = _heeded_s(error.retry_after_s, policy)
    if isinstance(error, ThrottledError):
        wait_s = _full_jitter(history.throttles, policy.backoff_base_s, _THROTTLED_MAX_WAIT_S, chance)
        # "After 0 seconds" is no hint: throttling is not bounded by the policy, and this would be a busy loop.
        if hint_s:
            # Spread over a tenth more, so that all who were told the same do not come back at once.
            wait_s = hint_s * (1 + chance / 10)
    elif _may_be_repeated(error, effect) and (in_outage or history.faults < policy.max_attempts):
        wait_s = _full_jitter(1 if in_outage else history.faults, policy.backoff_base_s, policy.backoff_max_s, chance)
        wait_s = max(wait_s, hint_s)
    else:
        return GiveUp()
    if remaining_s is not None and wait_s >= remaining_s:
        return GiveUp()
    return Again(wait_s)


def _heeded_s(retry_after_s: float | None, policy: RetryPolicy) -> float:
    """The wait that the service asked for as far as the policy goes along with it; 0 if it asked for none."""
    if retry_after_s is None or not retry_after_s > 0:
        return 0.0
    return min(retry_after_s, policy.retry_after_max_s)


def _may_be_repeated(error: EncordError, effect: Effect) -> bool:
    if isinstance(error, NotSentError):
        return True
    # The answer to another try would be as large.
    return isinstance(error, UncertainError) and effect is not Effect.CREATE and error.code != "REPLY_TOO_LARGE"


def _full_jitter(failures: int, base_s: float, max_s: float, chance: float) -> float:
    ceiling_s = min(max_s, base_s * 2.0 ** min(failures - 1, 60))
    return float(ceiling_s * chance)


class Load(Protocol):
    """What the tries have to know of the session as a whole; the pacer knows it."""

    @property
    def in_outage(self) -> bool:
        """Whether the service is down for everybody."""
        ...

    def retry_wait_s(self) -> float | None:
        """Seconds to wait before a fault may be retried, so that retries stay few; None for not at all."""
        ...


@dataclass(slots=True)
class _Tries(Generic[T]):
    """The tries of one operation, and what they have shown so far; the arguments are those of `deliver_again`."""

    attempt: Callable[[], Awaitable[T]]
    latest: EncordError
    """The last failure; at first that of the try before these, which `one` still has to raise."""
    effect: Effect
    policy: RetryPolicy
    load: Load
    clock: Clock
    chance: Callable[[], float]
    deadline_s: float | None
    on_retry: Callable[[EncordError, float], None]
    doubts: list[UncertainError] = field(default_factory=list)
    history: History = field(default_factory=History)
    step: Step | None = None
    """What follows the last failure; None before the first was judged."""

    async def one(self) -> T:
        """Make a try; the first was made already."""
        if self.step is None:
            raise self.latest
        return await self.attempt()

    def wait_s(self, _: object) -> float:
        """Seconds before the next."""
        return self.step.wait_s if isinstance(self.step, Again) else 0.0

    def judge(self, error: BaseException) -> bool:
        """Whether there is to be another try after *error*."""
        if not isinstance(error, EncordError):
            return False
        self.latest = error
        if not self.load.in_outage:
            self.history = self.history.with_failure(error)
        if isinstance(error, UncertainError):
            self.doubts.append(error)
        self.step = step = self._decided(error)
        if isinstance(step, Again):
            self.on_retry(error, step.wait_s)
        return isinstance(step, Again)

    def _decided(self, error: EncordError) -> Step:
        remaining_s = None if self.deadline_s is None else self.deadline_s - self.clock.monotonic_s()
        step = next_step(
            error,
            self.effect,
            self.history,
            self.policy,
            chance=self.chance(),
            remaining_s=remaining_s,
            in_outage=self.load.in_outage,
        )
        if isinstance(step, Again) and not isinstance(error, ThrottledError):
            return _afforded(step, self.load.retry_wait_s(), remaining_s)
        return step


async def deliver_again(
    attempt: Callable[[], Awaitable[T]],
    first_failure: EncordError,
    *,
    effect: Effect,
    policy: RetryPolicy,
    load: Load,
    clock: Clock,
    chance: Callable[[], float],
    deadline_s: float | None = None,
    on_retry: Callable[[EncordError, float], None],
) -> T:
    """Make the tries that follow a failed first one; the happy path never comes here.

    Args:
        attempt: Sends the request once.
        first_failure: What the first try ended in.
        effect: What doing the operation twice would do.
        policy: Bounds for faults.
        load: How the session as a whole fares.
        clock: Where waits come from.
        chance: Draws a number from 0 to 1.
        deadline_s: The operation's deadline on the clock's monotonic scale.
        on_retry: Told each failure that is followed by another try, and the wait in seconds before it.

    Raises:
        UncertainError: An earlier try may have taken effect, and no later one had the service's answer.
        EncordError: Otherwise the last failure, as it came.
    """
    tries = _Tries(attempt, first_failure, effect, policy, load, clock, chance, deadline_s, on_retry)
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(tries.judge), wait=tries.wait_s, sleep=clock.sleep, reraise=True
    )
    try:
        return await retrying(tries.one)
    except NotAppliedError as last:
        # Of this try it is true that the service did not act. Of the operation it need not be.
        if not tries.doubts or _is_answer(last):
            raise
        raise tries.doubts[-1] from last
    except OutageError:
        raise (tries.doubts[-1] if tries.doubts else tries.latest) from None


def _afforded(step: Again, wait_s: float | None, remaining_s: float | None) -> Step:
    """*step*, with the wait for the budget of retries in it."""
    if wait_s is None:
        return GiveUp()
    wait_s = max(wait_s, step.wait_s)
    return GiveUp() if remaining_s is not None and wait_s >= remaining_s else Again(wait_s)


def _is_answer(error: NotAppliedError) -> bool:
    """Whether the service judged the request itself, and not only its own load."""
    return isinstance(error, RefusedError) and not isinstance(error, ThrottledError)
