"""The rate is learnt from events alone: what it does at each of them, and what holds whatever they are."""

import math
import random
from collections.abc import Iterable
from typing import Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.session.rate import MAX_PER_S, MIN_PER_S, Permit, Rate

Happening: TypeAlias = tuple[Literal["accepted", "throttled", "resume"], float, float]
"""What became of a request, the time since the last such thing, and how long that request was under way."""

happenings: st.SearchStrategy[list[Happening]] = st.lists(
    st.tuples(
        st.sampled_from(["accepted", "throttled", "resume"]), st.floats(0, 100, width=32), st.floats(0, 5, width=32)
    ),
    max_size=80,
)


def leave(rate: Rate, now_s: float) -> Permit:
    """A request that leaves now; it was held back by the rate if it could not have left before."""
    return rate.sent(now_s, waited=rate.next_s() >= now_s - 1e-9)


def play(rate: Rate, script: Iterable[Happening], now_s: float = 0.0) -> float:
    """Feed *script* to *rate*, each request sent when it may be; the time after it."""
    for what, pause_s, takes_s in script:
        now_s = max(now_s + pause_s, rate.next_s())
        permit = leave(rate, now_s)
        now_s += takes_s
        if what == "accepted":
            rate.accepted(permit, now_s)
        elif what == "throttled":
            rate.throttled(permit, now_s)
        else:
            rate.resume(now_s)
    return now_s


def learnt(per_s: float, now_s: float = 100.0, *, concurrency: int = 64) -> Rate:
    """A rate that has settled at about *per_s*, everything under way answered."""
    rate = Rate(max_per_s=per_s, concurrency=concurrency)
    rate.throttled(leave(rate, now_s - 1), now_s - 0.9)
    for number in range(round(per_s * 30)):
        at_s = now_s + number / per_s
        rate.accepted(leave(rate, at_s), at_s + 0.05)
    return rate


def refusals_of_bucket(rate: Rate, requests: int, now_s: float, *, limit_per_s: float, burst: float) -> int:
    """Send so many *requests*, each as soon as it may, to a near token bucket that is empty; how many it turns away."""
    level, refusals = 0.0, 0
    for _ in range(requests):
        sent_s = max(now_s, rate.next_s())
        level, now_s = min(burst, level + (sent_s - now_s) * limit_per_s), sent_s
        permit = leave(rate, sent_s)
        if level >= 1:
            level -= 1
            rate.accepted(permit, sent_s)
        else:
            refusals += 1
            rate.throttled(permit, sent_s)
    return refusals


# --- what it does ----------------------------------------------------------------------------------------------------


def test_without_a_refusal_there_is_no_rate() -> None:
    """Successes alone never slow a client down."""
    rate = Rate(concurrency=8)
    play(rate, [("accepted", 0.0, 0.1)] * 1000)
    assert rate.per_s is None
    assert rate.next_s() == -math.inf
    assert rate.window == 8


def test_many_in_flight_are_climbed_to() -> None:
    """A thousand requests do not leave in one moment: each success lets a few more go."""
    rate = Rate(concurrency=1024)
    assert rate.window == 32
    play(rate, [("accepted", 0.0, 0.1)] * 100)
    assert rate.window == 42
    play(rate, [("accepted", 0.0, 0.1)] * 10_000)
    assert rate.window == 1024


def test_first_refusal_is_followed_by_a_pause_and_a_measured_rate() -> None:
    """After the first refusal nothing leaves for about a round trip, and then no faster than was accepted."""
    rate = Rate(concurrency=32)
    permits = [leave(rate, 0.0) for _ in range(32)]
    rate.accepted(permits[0], 0.1)
    rate.throttled(permits[1], 0.1)
    assert rate.next_s() == pytest.approx(0.2)
    for permit in permits[2:22]:
        rate.accepted(permit, 0.15)
    for permit in permits[22:]:
        rate.throttled(permit, 0.15)
    leave(rate, 0.2)
    assert rate.per_s == pytest.approx(0.5 * 21 / 0.1)


def test_one_episode_is_one_cut() -> None:
    """However many requests of the same moment are refused, the rate steps back once."""
    rate = learnt(100.0)
    permits = [leave(rate, 200.0 + number / 100) for number in range(50)]
    rate.throttled(permits[0], 200.5)
    after = rate.per_s
    assert after is not None
    assert 80 <= after <= 95
    for permit in permits[1:]:
        rate.throttled(permit, 200.6)
    assert rate.per_s == after


def test_refusals_after_the_cut_go_on_to_what_is_accepted() -> None:
    """When the limit has halved, a few rounds of refusals bring the rate there."""
    rate = learnt(100.0)
    refusals_of_bucket(rate, 300, 200.0, limit_per_s=50, burst=1)
    assert rate.per_s == pytest.approx(50, rel=0.12)


def test_slow_limit_that_halves_costs_few_refusals() -> None:
    """At 5/s little is accepted between two refusals, and still a handful of them tells where the limit went."""
    rate = learnt(5.0)
    # The last look above the limit was not long ago, and its refusal is none of the change's.
    rate.throttled(leave(rate, 300.0), 300.05)
    now_s = play(rate, [("accepted", 0.0, 0.0)] * 15, 300.05)
    refusals = refusals_of_bucket(rate, 60, now_s, limit_per_s=2.5, burst=2)
    assert rate.per_s == pytest.approx(2.5, rel=0.1)
    assert refusals <= 9


def test_idleness_is_not_taken_for_a_low_limit() -> None:
    """Who asks for little has little accepted: a refusal now and then slows it down by a step, not to what it asked."""
    rate = learnt(100.0)
    for minute in range(5):
        now_s = 200.0 + 60 * minute
        rate.accepted(leave(rate, now_s), now_s + 0.1)
        rate.throttled(leave(rate, now_s + 0.2), now_s + 0.3)
    assert rate.per_s is not None
    assert rate.per_s > 40


def test_success_brings_the_rate_back_and_above() -> None:
    """With nothing refused any more, a saturated client soon goes faster than before the cut."""
    rate = Rate(concurrency=64)
    now_s = play(rate, [("throttled", 0.0, 0.1)])
    now_s = play(rate, [("accepted", 0.0, 0.0)] * 200, now_s)
    now_s = play(rate, [("throttled", 0.0, 0.0)], now_s)
    before = rate.per_s
    play(rate, [("accepted", 0.0, 0.0)] * 2000, now_s)
    assert before is not None
    assert rate.per_s is not None
    assert rate.per_s > 2 * before


def test_idle_client_proves_nothing() -> None:
    """Requests that did not have to wait for the rate never raise it, however many succeed."""
    rate = learnt(100.0)
    rate.throttled(leave(rate, 200.0), 200.1)
    before = rate.per_s
    now_s = 201.0
    for _ in range(5000):
        rate.accepted(leave(rate, now_s), now_s + 0.05)
        now_s += 0.1
    assert rate.per_s == before


def test_lateness_is_made_up_for_within_bounds() -> None:
    """An event loop that was late for a moment does not lose its share; one that slept for long gets no burst."""
    rate = learnt(1000.0)
    now_s = 500.0
    for _ in range(100):
        leave(rate, now_s)
    assert now_s - 0.021 + 0.1 <= rate.next_s() <= now_s + 0.1


def test_resumes_slowly_and_soon_as_before() -> None:
    """After an outage it starts at a quarter, and is where it was some two seconds later, not above."""
    rate = learnt(100.0)
    now_s = 300.0
    before = rate.per_s
    assert before is not None
    rate.resume(now_s)
    assert rate.per_s == pytest.approx(before / 4)
    end_s = now_s + 3
    while (now_s := rate.next_s()) < end_s:
        rate.accepted(leave(rate, now_s), now_s)
    assert rate.per_s == pytest.approx(before, rel=0.01)


def test_resumes_where_nothing_was_learnt() -> None:
    """An outage of a service without a limit leaves it without one; the number in flight climbs again."""
    rate = Rate(concurrency=1024)
    play(rate, [("accepted", 0.0, 0.1)] * 10_000)
    rate.resume(10_000.0)
    assert rate.per_s is None
    assert rate.window == 32


def test_locked_door_is_no_lower_limit() -> None:
    """After a minute in which everything was refused, the old rate is back within seconds of the first success."""
    rate = learnt(100.0)
    now_s = play(rate, [("throttled", 0.0, 0.1)] * 40, 200.0)
    assert rate.per_s is not None
    assert rate.per_s < 1
    end_s = now_s + 40
    while (now_s := rate.next_s()) < end_s:
        rate.accepted(leave(rate, now_s), now_s)
    assert rate.per_s > 50


def noisy(rate: Rate, requests: int, now_s: float, *, limit_per_s: float = math.inf) -> float:
    """Send so many *requests*, one in twenty of them refused, and all that are above the limit; the time after it."""
    chance, level = random.Random(1), 1.0
    for _ in range(requests):
        sent_s = max(now_s + 1e-3, rate.next_s())
        level, now_s = min(5.0, level + (sent_s - now_s) * limit_per_s), sent_s
        permit = leave(rate, sent_s)
        if chance.random() < 0.05 or level < 1:
            rate.throttled(permit, sent_s)
        else:
            level -= 1
            rate.accepted(permit, sent_s)
    return now_s


def test_refusals_at_any_rate_do_not_hold_it_up() -> None:
    """Where one request in twenty is refused whatever the rate, it goes as fast as it can after a few hundred."""
    rate = Rate(concurrency=64)
    noisy(rate, 1500, 0.0)
    assert rate.per_s is not None
    assert rate.per_s > 500


def test_limit_that_appears_under_noise_is_obeyed() -> None:
    """When a limit falls to a hundredth where requests are refused at random as well, a few dozen refusals tell."""
    rate = Rate(concurrency=64)
    now_s = noisy(rate, 1500, 0.0)
    noisy(rate, 60, now_s, limit_per_s=10.0)
    assert rate.per_s is not None
    assert rate.per_s < 30


def test_outage_ends_a_trial() -> None:
    """Whether refusals are noise is not tried across an outage: it goes on slowly, with as many in flight as before."""
    rate, now_s = Rate(concurrency=64), 0.0
    while rate.window == 64 or rate.per_s is None:
        now_s = play(rate, [("accepted", 0.0, 0.0)] * 15, now_s)
        now_s = play(rate, [("throttled", 0.0, 0.0)], now_s)
    before = rate.per_s
    rate.resume(now_s)
    assert rate.window == 64
    assert rate.per_s < before / 10


# --- what always holds -----------------------------------------------------------------------------------------------


@given(happenings, st.none() | st.floats(0.01, 1e4), st.integers(1, 2000))
def test_rate_is_always_a_rate(script: list[Happening], max_per_s: float | None, concurrency: int) -> None:
    """Finite, above 0, within its bounds and never above the user's own limit."""
    rate = Rate(max_per_s=max_per_s, concurrency=concurrency)
    now_s = 0.0
    for happening in script:
        now_s = play(rate, [happening], now_s)
        assert 1 <= rate.window <= concurrency
        if rate.per_s is not None:
            assert min(MIN_PER_S, max_per_s or math.inf) <= rate.per_s <= min(MAX_PER_S, max_per_s or math.inf)


@given(happenings, st.floats(0.1, 1000))
def test_user_limit_is_kept_over_any_time(script: list[Happening], max_per_s: float) -> None:
    """In no stretch of time do more requests leave than the limit allows, lateness aside."""
    rate = Rate(max_per_s=max_per_s, concurrency=8)
    sent: list[float] = []
    now_s = 0.0
    for what, pause_s, takes_s in script:
        now_s = max(now_s, rate.next_s())
        sent.append(now_s)
        now_s = play(rate, [(what, 0.0, takes_s)], now_s) + pause_s
    for first, start_s in enumerate(sent):
        for last in range(first, len(sent)):
            allowed = 1 + max_per_s * (sent[last] - start_s + 0.02)
            assert last - first + 1 <= allowed * (1 + 1e-9) + 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(1, 1000))
def test_refusals_of_one_moment_cut_once(delays_s: list[float], per_s: float) -> None:
    """Of requests that left before a cut, no refusal cuts again, in whatever order they come."""
    rate = learnt(per_s)
    permits = [leave(rate, 10_000.0) for _ in delays_s]
    rate.throttled(permits[0], 10_001.0)
    after = rate.per_s
    for permit, delay_s in zip(permits[1:], delays_s[1:], strict=True):
        rate.throttled(permit, 10_001.0 + delay_s)
    assert rate.per_s == after


@given(happenings, st.floats(0, 1e6))
def test_clock_that_steps_back_breaks_nothing(script: list[Happening], step_s: float) -> None:
    """Time only goes forward here: after a step back requests are no more than one turn further away than before."""
    rate = Rate(concurrency=8)
    now_s = play(rate, [("accepted", 0.0, 0.0), *script])
    due_s = rate.next_s()
    permit = leave(rate, now_s - step_s)
    assert permit.sent_s == now_s
    if rate.per_s is not None:
        assert rate.next_s() <= max(due_s, now_s) + 1 / rate.per_s + 1e-6


@given(happenings)
def test_replay_gives_the_same(script: list[Happening]) -> None:
    """The same events at the same times end in the same rate: nothing else goes into it."""
    one, two = Rate(concurrency=64), Rate(concurrency=64)
    assert play(one, script) == play(two, script)
    assert (one.per_s, one.next_s(), one.window) == (two.per_s, two.next_s(), two.window)


def test_permits_are_values() -> None:
    """A permit says when it was given and whether the rate held it back."""
    rate = learnt(10.0)
    assert rate.sent(500.0, waited=True) == Permit(500.0, True)
    assert rate.sent(505.0, waited=False) == Permit(505.0, False)
