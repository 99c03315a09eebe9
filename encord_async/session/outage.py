"""Tells an outage of the service from single faults, says when to ask whether it is over, and bounds retries.

Functions of (state, event, now), as `rate`: no clock, no chance, no I/O. It never decides what becomes of an operation.
"""

from typing import Final

__all__ = ["Outage", "RetryBudget"]

FIRST_INTERVAL_S: Final = 0.5
LONGEST_INTERVAL_S: Final = 5.0
"""Between two probes. Short enough to be back at work within 10 s of the service's return."""
PROBE_PATIENCE_S: Final = 10.0
"""A probe that has no answer by then is not waited for before the next; a dead network swallows answers for minutes."""
LONGEST_HINT_S: Final = 60.0
"""A ``Retry-After`` of a service that is down puts off the next probe by no more than this."""

STALE_S: Final = 60.0
"""Whoever asks again after such a silence may wait as long as at the beginning: nobody knows how long it lasted."""


class Outage:
    """Whether the service is down: so many faults in a row, without a word from it in between.

    Args:
        threshold: So many; None never sees an outage. A service that never answered anything cannot have one:
            whoever gave a wrong address is told so by the first operations that fail.
    """

    def __init__(self, *, threshold: int | None) -> None:
        self._threshold = threshold
        self.ever_answered = False
        self._faults = 0
        self._interval_s = FIRST_INTERVAL_S
        self._last_fault_s = 0.0
        self.since_s: float | None = None
        """When it began, on the clock of the events; None when there is none."""
        self.probe_s = 0.0
        """Earliest time for the next probe."""

    def answered(self, sent_s: float) -> bool:
        """The service answered a request sent at *sent_s*; True if this ends an outage."""
        self.ever_answered = True
        if self.since_s is None:
            self._faults = 0
            return False
        if sent_s < self.since_s:
            return False
        self.since_s, self._faults = None, 0
        return True

    def faulted(self, sent_s: float, now_s: float, *, chance: float, retry_after_s: float | None) -> bool:
        """A request sent at *sent_s* met a fault; True if this begins an outage.

        Args:
            sent_s: When it left.
            now_s: The time.
            chance: A number from 0 to 1, so that many clients do not ask at once.
            retry_after_s: When the service wants to be asked again.
        """
        self._faults += 1
        self._last_fault_s = now_s
        enough = self._threshold is not None and self._faults >= self._threshold
        begins = enough and self.ever_answered and self.since_s is None
        if begins:
            self.since_s, self._interval_s = now_s, FIRST_INTERVAL_S
        elif self.since_s is None or sent_s < self.since_s:
            return False
        else:
            self._interval_s = min(2 * self._interval_s, LONGEST_INTERVAL_S)
        hint_s = min(retry_after_s or 0.0, LONGEST_HINT_S)
        self.probe_s = now_s + max(self._interval_s * (0.5 + chance / 2), hint_s)
        return begins

    def probed(self, now_s: float) -> None:
        """A probe leaves."""
        if self.since_s is not None and now_s - self._last_fault_s > STALE_S:
            self.since_s, self._interval_s = now_s, FIRST_INTERVAL_S
        self.probe_s = now_s + PROBE_PATIENCE_S


class RetryBudget:
    """Keeps retries of faults under a tenth of the requests when many fail, as gRPC's clients do.

    A retry spends one token. A success earns a tenth of one, a second earns one, and *capacity* is the most there is.
    """

    PER_SUCCESS: Final = 0.1
    PER_S: Final = 1.0

    def __init__(self, *, capacity: float) -> None:
        self._capacity = self._tokens = capacity
        self._last_s: float | None = None

    def succeeded(self) -> None:
        """A request was answered."""
        if self._tokens < self._capacity:
            self._tokens = min(self._capacity, self._tokens + self.PER_SUCCESS)

    def spend(self, now_s: float, *, patience_s: float) -> float | None:
        """Take a token, on credit if need be.

        Returns:
            The seconds until it is paid for; None, and nothing is taken, if those are more than *patience_s*.
        """
        if self._last_s is not None:
            self._tokens = min(self._capacity, self._tokens + max(0.0, now_s - self._last_s) * self.PER_S)
        self._last_s = now_s
        wait_s = max(0.0, (1 - self._tokens) / self.PER_S)
        if wait_s > patience_s:
            return None
        self._tokens -= 1
        return wait_s
