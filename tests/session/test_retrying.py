"""What follows a failed attempt: the table as a table, its promises as properties, and the loop on a clock of ours."""

import inspect
import math
import random
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async import errors
from encord_async.errors import EncordError, NotSentError, ThrottledError, UncertainError
from encord_async.protocol.catalogue import Effect
from encord_async.session.pacing import OutageError
from encord_async.session.retrying import Again, GiveUp, History, Step, deliver_again, next_step
from encord_async.session.settings import RetryPolicy
from tests.virtual import SkippingClock

POLICY = RetryPolicy(max_attempts=4, backoff_base_s=1.0, backoff_max_s=8.0)
READ, SET, CREATE = Effect.READ, Effect.SET, Effect.CREATE

EVERY_ERROR = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, EncordError) and kind not in (EncordError, errors.NotAppliedError)
]
"""All but the two bases that say too little to be raised."""

REPEATED: dict[type[EncordError], set[Effect]] = {
    errors.NotSentError: {READ, SET, CREATE},
    errors.ThrottledError: {READ, SET, CREATE},
    errors.UncertainError: {READ, SET},
    errors.NoReplyError: {READ, SET},
    errors.ServiceFaultError: {READ, SET},
    errors.UnreadableReplyError: {READ, SET},
}
"""The table of the design. Whatever is not in it ends the operation in every column."""


def step(
    error: EncordError,
    effect: Effect = READ,
    *,
    faults: int = 1,
    throttles: int = 0,
    chance: float = 1.0,
    remaining_s: float | None = None,
    policy: RetryPolicy = POLICY,
) -> Step:
    """`next_step` with defaults for what a test does not speak of."""
    history = History(faults=faults, throttles=throttles)
    return next_step(error, effect, history, policy, chance=chance, remaining_s=remaining_s)


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_the_table(kind: type[EncordError], effect: Effect) -> None:
    """For each error and each effect, the operation goes on exactly where the table says so."""
    again = effect in REPEATED.get(kind, set())
    assert isinstance(step(kind("x"), effect, throttles=1), Again if again else GiveUp)


@pytest.mark.parametrize(("faults", "ceiling_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (2000, 8.0)])
def test_backoff_doubles_up_to_its_ceiling(faults: int, ceiling_s: float) -> None:
    """The longest wait doubles with each fault and stops at the policy's maximum."""
    policy = RetryPolicy(max_attempts=10_000, backoff_base_s=1.0, backoff_max_s=8.0)
    assert step(NotSentError("x"), faults=faults, policy=policy) == Again(ceiling_s)
    assert step(NotSentError("x"), faults=faults, policy=policy, chance=0.25) == Again(ceiling_s / 4)


@pytest.mark.parametrize(("max_attempts", "again"), [(1, False), (2, False), (3, True)])
def test_attempts_are_capped(max_attempts: int, again: bool) -> None:
    """After *max_attempts* faults there is no further try; 1 means no retries at all."""
    policy = RetryPolicy(max_attempts=max_attempts)
    assert isinstance(step(NotSentError("x"), faults=2, policy=policy), Again) is again


@pytest.mark.parametrize("retry_after_s", [None, 0.0])
def test_throttled_without_a_hint_backs_off(retry_after_s: float | None) -> None:
    """Without a wait from the service, or with one of zero, throttled attempts spread out instead of spinning."""
    error = ThrottledError("x", retry_after_s=retry_after_s)
    waits = [step(error, faults=0, throttles=count) for count in (1, 2, 3, 4, 5)]
    assert waits == [Again(1.0), Again(2.0), Again(4.0), Again(8.0), Again(8.0)]


def test_hint_of_a_breakdown_is_a_lower_bound() -> None:
    """A 503 that says when to come back is not asked earlier, and the own back-off still holds."""
    error = errors.ServiceFaultError("x", retry_after_s=5.0)
    assert step(error, faults=1) == Again(5.0)
    assert step(error, faults=4, policy=RetryPolicy(backoff_base_s=1.0, backoff_max_s=8.0)) == Again(8.0)


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s"), [(59.0, 59.0), (60.0, 60.0), (86_400.0, 60.0), (math.inf, 60.0), (2.4e9, 60.0)]
)
def test_hint_is_heeded_as_far_as_the_policy_goes(retry_after_s: float, wait_s: float) -> None:
    """Whoever is told to come back tomorrow asks again after a minute, throttled or not."""
    throttled = step(ThrottledError("x", retry_after_s=retry_after_s), throttles=1, chance=0.0)
    assert throttled == Again(wait_s)
    assert step(make(errors.ServiceFaultError, retry_after_s)) == Again(wait_s)


@pytest.mark.parametrize("retry_after_s", [0.0, -5.0, math.nan, -math.inf])
def test_hint_that_is_no_time_is_none(retry_after_s: float) -> None:
    """A wait of no length, less or nonsense is not waited for, and the own back-off holds."""
    assert step(ThrottledError("x", retry_after_s=retry_after_s), throttles=1) == Again(1.0)
    assert step(make(NotSentError, retry_after_s)) == Again(1.0)


def test_hints_may_be_left_unheeded() -> None:
    """With a bound of 0 the own back-off is all there is."""
    policy = RetryPolicy(backoff_base_s=1.0, backoff_max_s=8.0, retry_after_max_s=0.0)
    assert step(ThrottledError("x", retry_after_s=30.0), throttles=1, policy=policy) == Again(1.0)


def make(kind: type[EncordError], retry_after_s: float | None) -> EncordError:
    """An error as the service would cause it."""
    error = kind("x")
    error.retry_after_s = retry_after_s
    return error


hints = st.none() | st.floats(0, 86_400)
any_error = st.builds(make, st.sampled_from(EVERY_ERROR), hints)
counts = st.integers(1, 3000)
chances = st.floats(0, 1)
policies = st.builds(
    lambda max_attempts, base_s, more_s: RetryPolicy(
        max_attempts=max_attempts, backoff_base_s=base_s, backoff_max_s=base_s + more_s
    ),
    st.integers(1, 50),
    st.floats(0, 100),
    st.floats(0, 1000),
)


@given(any_error, st.sampled_from(Effect), counts, counts, policies, chances, st.none() | st.floats(-10, 1000))
def test_waits_keep_their_bounds(
    error: EncordError,
    effect: Effect,
    faults: int,
    throttles: int,
    policy: RetryPolicy,
    chance: float,
    remaining_s: float | None,
) -> None:
    """No wait is negative, longer than policy and hint allow, shorter than the hint, or reaches the deadline."""
    found = next_step(
        error,
        effect,
        History(faults=faults, throttles=throttles),
        policy,
        chance=chance,
        remaining_s=remaining_s,
    )
    if isinstance(found, GiveUp):
        return
    hint_s = min(error.retry_after_s or 0.0, policy.retry_after_max_s)
    own_s = 8.0 if isinstance(error, ThrottledError) else policy.backoff_max_s
    assert max(0.0, hint_s) <= found.wait_s <= max(own_s, hint_s * 1.1)
    assert remaining_s is None or found.wait_s < remaining_s


@given(
    st.builds(make, st.sampled_from([kind for kind in EVERY_ERROR if issubclass(kind, UncertainError)]), hints),
    counts,
    policies,
    chances,
)
def test_create_of_unknown_outcome_is_never_sent_again(
    error: EncordError, faults: int, policy: RetryPolicy, chance: float
) -> None:
    """Whatever the policy, a create that may have happened is not repeated."""
    assert step(error, CREATE, faults=faults, policy=policy, chance=chance) == GiveUp()


@given(st.sampled_from(Effect), hints, st.integers(1, 10_000), counts, policies, chances)
def test_throttling_never_ends_an_operation(
    effect: Effect, hint_s: float | None, throttles: int, faults: int, policy: RetryPolicy, chance: float
) -> None:
    """However often the service turns the request away for load, it is sent again."""
    error = ThrottledError("x", retry_after_s=hint_s)
    assert isinstance(
        step(error, effect, faults=faults, throttles=throttles, policy=policy, chance=chance),
        Again,
    )


@given(st.lists(st.sampled_from([ThrottledError("x"), NotSentError("x")])))
def test_throttling_does_not_spend_the_budget_of_faults(failures: list[EncordError]) -> None:
    """Only faults count towards the cap on attempts."""
    history = History()
    for failure in failures:
        history = history.with_failure(failure)
    assert history.throttles == sum(isinstance(failure, ThrottledError) for failure in failures)
    assert history.faults == len(failures) - history.throttles


@given(any_error, st.sampled_from(Effect), chances, st.floats(0, 100))
def test_wait_that_would_reach_the_deadline_is_not_begun(
    error: EncordError, effect: Effect, chance: float, remaining_s: float
) -> None:
    """An operation does not sleep into its own deadline only to fail after it."""
    free = step(error, effect, throttles=1, chance=chance)
    bound = step(error, effect, throttles=1, chance=chance, remaining_s=remaining_s)
    assert bound == (free if isinstance(free, Again) and free.wait_s < remaining_s else GiveUp())


@dataclass
class Fair:
    """How the rest of the session fares: here well, unless the test says otherwise."""

    in_outage: bool = False
    wait_s: float | None = 0.0

    def retry_wait_s(self) -> float | None:
        """What the test says."""
        return self.wait_s


@dataclass
class Loop:
    """Runs `deliver_again` on scripted outcomes and notes what happened."""

    outcomes: Iterable[BaseException | str]
    effect: Effect = READ
    policy: RetryPolicy = POLICY
    load: Fair = field(default_factory=Fair)
    deadline_s: float | None = None
    chance: Callable[[], float] = lambda: 1.0
    clock: SkippingClock = field(default_factory=lambda: SkippingClock(1000.0))
    attempts: int = 0
    notes: list[tuple[EncordError, float]] = field(default_factory=list)

    async def run(self, first: EncordError) -> str:
        """The result after *first* and then the outcomes in turn."""
        script = iter(self.outcomes)

        async def attempt() -> str:
            self.attempts += 1
            outcome = next(script)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return await deliver_again(
            attempt,
            first,
            effect=self.effect,
            policy=self.policy,
            load=self.load,
            clock=self.clock,
            chance=self.chance,
            deadline_s=self.deadline_s,
            on_retry=lambda error, wait_s: self.notes.append((error, wait_s)),
        )


def lost() -> NotSentError:
    """A fault that every effect may repeat."""
    return NotSentError("no connection")


async def test_schedule_of_faults() -> None:
    """Waits double from try to try, each drawn by its own chance, and the first success ends them."""
    draws, failures = iter([1.0, 0.5, 0.75]), [lost(), lost(), lost()]
    loop = Loop([*failures[1:], "done"], chance=lambda: next(draws))
    assert await loop.run(failures[0]) == "done"
    assert loop.clock.waits == [1.0, 1.0, 3.0]
    assert loop.notes == list(zip(failures, loop.clock.waits, strict=True))


async def test_attempts_in_all_are_what_the_policy_says() -> None:
    """The first try counts: four attempts are one and three more; the last failure comes out as it is."""
    last = lost()
    loop = Loop([lost(), lost(), last])
    with pytest.raises(NotSentError) as caught:
        await loop.run(lost())
    assert caught.value is last
    assert loop.attempts == 3
    assert loop.clock.waits == [1.0, 2.0, 4.0]


async def test_create_of_unknown_outcome_is_not_touched_again() -> None:
    """A create that may have happened comes back at once, without a wait or a second sending."""
    loop, first = Loop([], CREATE), errors.NoReplyError("x")
    with pytest.raises(errors.NoReplyError) as caught:
        await loop.run(first)
    assert caught.value is first
    assert (loop.attempts, loop.clock.waits, loop.notes) == (0, [], [])


async def test_create_is_repeated_until_its_outcome_is_unknown() -> None:
    """A create goes on after failures that did nothing, and stops at the first that may have."""
    loop = Loop([ThrottledError("x", retry_after_s=2.0), errors.ServiceFaultError("x"), "never"], CREATE)
    with pytest.raises(errors.ServiceFaultError):
        await loop.run(lost())
    assert loop.attempts == 2
    assert loop.clock.waits == [1.0, pytest.approx(2.2)]


async def test_throttles_between_faults_cost_nothing() -> None:
    """A hundred throttled attempts leave the budget for faults whole."""
    told = [ThrottledError("x", retry_after_s=1.0) for _ in range(100)]
    loop = Loop([*told, lost(), *told, lost(), "done"], chance=lambda: 0.0)
    assert await loop.run(lost()) == "done"
    assert loop.attempts == 203
    assert sum(loop.clock.waits) == 200.0


async def test_deadline_ends_the_tries() -> None:
    """The operation fails with its last error while there is still time, not after a useless wait."""
    loop = Loop([lost(), lost(), lost()], deadline_s=1006.9)
    with pytest.raises(NotSentError):
        await loop.run(lost())
    assert loop.clock.waits == [1.0, 2.0]
    assert loop.clock.now_s < 1006.9


def test_attempts_are_not_capped_in_an_outage() -> None:
    """While the service is down for everybody, however many faults there were, the next wait is the shortest."""
    history = History(faults=1000)
    found = next_step(NotSentError("x"), READ, history, POLICY, chance=1.0, in_outage=True)
    assert found == Again(POLICY.backoff_base_s)


async def test_tries_in_an_outage_do_not_count() -> None:
    """While the service is down for everybody, an operation goes on beyond its attempts, with short waits."""
    loop = Loop([*[lost() for _ in range(50)], "done"], load=Fair(in_outage=True))
    assert await loop.run(lost()) == "done"
    assert loop.clock.waits == [1.0] * 51


async def test_create_of_unknown_outcome_is_left_alone_in_an_outage_too() -> None:
    """An outage is no licence to repeat what may have happened."""
    loop = Loop([], CREATE, load=Fair(in_outage=True))
    with pytest.raises(errors.ServiceFaultError):
        await loop.run(errors.ServiceFaultError("x"))
    assert loop.attempts == 0


async def test_budget_of_retries_makes_them_wait() -> None:
    """A fault is retried when the session's budget allows it, throttling whenever it may."""
    loop = Loop([lost(), ThrottledError("x", retry_after_s=2.0), "done"], load=Fair(wait_s=7.0))
    assert await loop.run(lost()) == "done"
    assert loop.clock.waits == [7.0, 7.0, pytest.approx(2.2)]


@pytest.mark.parametrize(
    ("load", "deadline_s"), [(Fair(wait_s=None), None), (Fair(wait_s=7.0), 1006.0), (Fair(wait_s=7.0), 1007.0)]
)
async def test_without_budget_the_fault_comes_out(load: Fair, deadline_s: float | None) -> None:
    """Where too many fail, or the wait would reach the deadline, the operation ends with its own error."""
    loop, first = Loop([], load=load, deadline_s=deadline_s), lost()
    with pytest.raises(NotSentError) as caught:
        await loop.run(first)
    assert caught.value is first
    assert loop.clock.waits == []


@pytest.mark.parametrize(
    ("earlier", "expected"), [(errors.NoReplyError("may have happened"), errors.NoReplyError), (lost(), NotSentError)]
)
async def test_outage_without_end_brings_out_what_is_known(earlier: EncordError, expected: type[EncordError]) -> None:
    """When the pacer gives up waiting, the operation ends with its doubt if it has one, or with its last failure."""
    loop = Loop([lost(), OutageError()])
    with pytest.raises(expected):
        await loop.run(earlier)


@pytest.mark.parametrize(
    "error", [errors.AuthenticationError("x"), errors.UsageError("x"), errors.ReplyShapeError("x")]
)
async def test_final_errors_end_the_tries(error: EncordError) -> None:
    """An answer, a mistake or a done deed in a later try ends the operation with just that."""
    loop = Loop([error])
    with pytest.raises(type(error)) as caught:
        await loop.run(lost())
    assert caught.value is error


@pytest.mark.parametrize(
    "last",
    [
        errors.DeadlineError("x"),
        errors.UsageError("the session is not open"),
        lost(),
        ThrottledError("x", retry_after_s=1000.0),
    ],
)
async def test_doubt_outlives_a_later_failure_to_send(last: EncordError) -> None:
    """An operation that may have happened in its first try is not called undone because a later try never left."""
    policy = RetryPolicy(max_attempts=2, retry_after_max_s=1000.0)
    loop, first = Loop([last], SET, policy=policy, deadline_s=1100.0), errors.NoReplyError("no reply")
    with pytest.raises(errors.NoReplyError) as caught:
        await loop.run(first)
    assert caught.value is first
    assert caught.value.applied == "unknown"
    assert caught.value.__cause__ is last


async def test_answer_settles_an_earlier_doubt() -> None:
    """When the service judged the same request in a later try, its answer is what counts."""
    loop = Loop([errors.ForbiddenError("x")], SET)
    with pytest.raises(errors.ForbiddenError):
        await loop.run(errors.NoReplyError("x"))


@pytest.mark.parametrize("alien", [ValueError("bug"), KeyboardInterrupt(), ZeroDivisionError()])
async def test_errors_that_are_not_ours_pass_through(alien: BaseException) -> None:
    """A bug in the caller's code is not retried and arrives as it is."""
    loop = Loop([alien])
    with pytest.raises(type(alien)) as caught:
        await loop.run(lost())
    assert caught.value is alien
    assert loop.attempts == 1


async def test_no_trace_of_the_machinery_in_the_error() -> None:
    """The error that comes out is the service's, not wrapped in the retry library's own."""
    loop = Loop([lost(), lost(), lost()])
    with pytest.raises(NotSentError) as caught:
        await loop.run(lost())
    assert "RetryError" not in "".join(traceback.format_exception(caught.value))


async def test_jitter_is_spread_over_the_whole_range() -> None:
    """Many clients that fail together do not come back together."""
    generator = random.Random(7)
    waits = []
    for _ in range(200):
        loop = Loop(["done"], chance=generator.random)
        await loop.run(lost())
        waits += loop.clock.waits
    assert min(waits) < 0.1
    assert max(waits) > 0.9
    assert 0.4 < sum(waits) / len(waits) < 0.6
