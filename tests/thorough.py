"""How much the tests do of what is many: a part of it at each run, the whole by `make thorough`.

Thorough is a profile of Hypothesis, since that is what pytest hands on to its workers. Ask when a module of tests is
loaded, or later: conftest.py registers the profile.
"""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")

PROFILE = "thorough"


def is_thorough() -> bool:
    """Whether all is to be done that a test could do."""
    return settings.get_current_profile_name() == PROFILE


def stride(usual: int) -> int:
    """1 if every point is to be visited, else *usual*: take a prime, so that what has a rhythm is met at each beat."""
    return 1 if is_thorough() else usual


def times(usual: int, *, of: int) -> int:
    """*of* if all is to be done, else *usual*."""
    return of if is_thorough() else usual


def part(of: Sequence[T], usual: int) -> Sequence[T]:
    """Every *usual*-th of a family, or all of it."""
    return of[:: stride(usual)]
