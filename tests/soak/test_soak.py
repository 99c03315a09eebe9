"""Some scenarios of the soak with the command line as it is installed; `make soak` plays many more."""

import pytest

from tests.soak.soak import soak
from tests.thorough import part, times

# Dozens of runs, most of them through a network that makes trouble.
pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(1800)]

SCENARIOS = times(1, of=8)


@pytest.mark.parametrize("first", part([1, 101, 201], 2))
def test_nothing_is_twice_missing_or_false(first: int) -> None:
    """Whatever edits, stops and networks do, nothing is made twice, nothing said is false, and nothing is missing."""
    for seed in range(first, first + SCENARIOS):
        if soak([seed]).faults:
            # What meets what in time is not drawn. `make soak` counts every fault; here one has to show again.
            assert soak([seed, seed]).faults == []
