"""An outage is told from single faults, asked about rarely, and over with the first answer; retries have a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.session.outage import FIRST_INTERVAL_S, LONGEST_INTERVAL_S, PROBE_PATIENCE_S, Outage, RetryBudget


def down(*, threshold: int = 3, now_s: float = 100.0) -> Outage:
    """An outage that has just begun."""
    outage = Outage(threshold=threshold)
    outage.answered(0.0)
    for _ in range(threshold):
        outage.faulted(1.0, now_s, chance=1.0, retry_after_s=None)
    assert outage.since_s == now_s
    return outage


def test_begins_with_so_many_faults_in_a_row() -> None:
    """An answer in between starts the count anew; the fault that begins it says so, and no later one does."""
    outage = Outage(threshold=3)
    outage.answered(0.0)
    begins = []
    for what in ("fault", "fault", "answer", "fault", "fault", "fault", "fault"):
        if what == "answer":
            assert not outage.answered(0.0)
        else:
            begins.append(outage.faulted(1.0, 2.0, chance=0.0, retry_after_s=None))
    assert begins == [False, False, False, False, True, False]


def test_needs_a_service_that_was_there() -> None:
    """A wrong address is no outage, and neither is anything with the threshold off."""
    never, off = Outage(threshold=3), Outage(threshold=None)
    off.answered(0.0)
    for outage in (never, off):
        for _ in range(1000):
            assert not outage.faulted(1.0, 2.0, chance=0.0, retry_after_s=None)
        assert outage.since_s is None


def test_probes_grow_apart_and_stay_near_enough() -> None:
    """Each failed probe doubles the wait for the next, up to the longest."""
    outage, now_s, waits = down(), 100.0, []
    for _ in range(6):
        waits.append(outage.probe_s - now_s)
        now_s = outage.probe_s
        outage.probed(now_s)
        outage.faulted(now_s, now_s, chance=1.0, retry_after_s=None)
    assert waits == pytest.approx([FIRST_INTERVAL_S, 1.0, 2.0, 4.0, LONGEST_INTERVAL_S, LONGEST_INTERVAL_S])


def test_faults_from_before_change_nothing() -> None:
    """What was under way when it began fails too; that does not put the next probe off."""
    outage = down()
    due_s = outage.probe_s
    for _ in range(50):
        outage.faulted(99.0, 101.0, chance=1.0, retry_after_s=None)
    assert outage.probe_s == due_s


def test_only_a_probe_ends_it() -> None:
    """A late answer to an old request does not; the answer to one sent since does."""
    outage = down()
    assert not outage.answered(50.0)
    assert outage.since_s is not None
    assert outage.answered(101.0)
    assert outage.since_s is None


def test_hint_of_the_service_is_kept_within_reason() -> None:
    """A 503 that says when to come back puts the next probe off, but not by hours."""
    outage = down()
    outage.faulted(100.5, 101.0, chance=0.0, retry_after_s=20.0)
    assert outage.probe_s == 121.0
    outage.faulted(121.0, 122.0, chance=0.0, retry_after_s=86_400.0)
    assert outage.probe_s == 182.0


def test_unanswered_probe_does_not_hold_up_the_next() -> None:
    """A network that swallows everything is asked again before the time-out of a request."""
    outage = down()
    outage.probed(105.0)
    assert outage.probe_s == 105.0 + PROBE_PATIENCE_S


def test_after_a_silence_it_begins_anew() -> None:
    """A session that was left alone for hours after an outage does not take it for one that lasted for hours."""
    outage = down(now_s=100.0)
    outage.probed(130.0)
    outage.faulted(130.0, 131.0, chance=1.0, retry_after_s=None)
    assert outage.since_s == 100.0
    outage.probed(10_000.0)
    assert outage.since_s == 10_000.0
    assert outage.answered(10_000.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30), st.floats(0, 1)), max_size=100))
def test_probes_never_come_too_close_or_too_late(script: list[tuple[bool, float, float]]) -> None:
    """Whatever fails and answers, the next probe is at least a moment and at most a few seconds away."""
    outage, now_s = down(), 100.0
    for answers, pause_s, chance in script:
        now_s = max(now_s + pause_s, outage.probe_s)
        if answers:
            outage.answered(now_s)
            continue
        outage.faulted(now_s, now_s, chance=chance, retry_after_s=None)
        if outage.since_s is not None:
            # Both are times of day: what lies between them is known as far as floats tell them apart.
            away_s = outage.probe_s - now_s
            assert FIRST_INTERVAL_S / 2 - 1e-9 <= away_s <= LONGEST_INTERVAL_S + 1e-9


def test_first_retries_cost_no_time() -> None:
    """A handful of faults is retried as the back-off says, without waiting for the budget."""
    budget = RetryBudget(capacity=5)
    assert [budget.spend(0.0, patience_s=0.0) for _ in range(6)] == [0.0] * 5 + [None]


def test_credit_is_given_as_far_as_patience_goes() -> None:
    """Further retries wait for their token; one that would wait too long is refused and charged nothing."""
    budget = RetryBudget(capacity=1)
    assert [budget.spend(0.0, patience_s=2.0) for _ in range(5)] == [0.0, 1.0, 2.0, None, None]
    assert budget.spend(1.0, patience_s=2.0) == 2.0


def test_successes_pay_for_retries() -> None:
    """Each pays for a tenth of one, up to the capacity."""
    budget = RetryBudget(capacity=2)
    assert [budget.spend(0.0, patience_s=0.0) for _ in range(3)] == [0.0, 0.0, None]
    for successes, retries in ((9, 0), (2, 1), (1000, 2)):
        for _ in range(successes):
            budget.succeeded()
        assert sum(budget.spend(0.0, patience_s=0.0) == 0.0 for _ in range(3)) == retries


@given(st.lists(st.sampled_from(["success", "fault"]), max_size=2000), st.floats(0.001, 0.1))
def test_retries_stay_under_a_tenth(script: list[str], gap_s: float) -> None:
    """Retries that leave at once are no more than the capacity, a tenth of the successes, and one a second."""
    budget, now_s, retries, successes = RetryBudget(capacity=20), 0.0, 0, 0
    for what in script:
        now_s += gap_s
        if what == "success":
            budget.succeeded()
            successes += 1
        else:
            retries += budget.spend(now_s, patience_s=0.0) is not None
    assert retries <= 20 + 0.1 * successes + now_s + 1e-6
