"""The rate limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.emulator.bucket import TokenBucket


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 1), min_size=1, max_size=200),
)
def test_no_span_of_time_sees_more_than_burst_plus_rate(rate: float, burst: int, gaps: list[float]) -> None:
    """However calls arrive, those let through since any moment are at most burst + rate * time."""
    bucket = TokenBucket(rate_per_s=rate, burst=burst)
    now, passed = 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now) is None:
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - start) + 1e-6


@given(st.floats(0.1, 1000), st.integers(1, 5))
def test_waiting_as_told_is_enough(rate: float, burst: int) -> None:
    """A call that waits as long as it was told gets through."""
    bucket = TokenBucket(rate_per_s=rate, burst=burst)
    assert [bucket.take(0.0) for _ in range(burst)] == [None] * burst
    wait = bucket.take(0.0)
    assert wait is not None
    assert bucket.take(wait * 1.000001) is None


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_a_bucket_that_never_lets_through_is_refused(rate: float, burst: int) -> None:
    """A rate or a burst of nothing is a mistake, not a limit."""
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(rate_per_s=rate, burst=burst)
