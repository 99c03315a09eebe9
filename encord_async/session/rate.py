"""Learns the service's rate limit from what becomes of requests, and says when the next one may leave.

A function of (state, event, now): the time is an argument of every event. Nothing here reads a clock, draws a number,
waits or sends, so a run can be replayed event by event.

How it learns. Until the first refusal only the number in flight grows, as in TCP's slow start. From then on requests
leave at a rate. Between two refusals of a token bucket, what it accepted *is* its limit, whatever it was offered: a cut
goes just below that. Then the rate climbs back to where the limit is thought to be, and feels its way above it: the
excess doubles with each stretch of successes, so that a small step finds an unchanged limit, and a few of them a
much higher one. Only requests that had to wait for the rate count: a client that is idle, or bound by what it has in
flight, proves nothing about a higher rate. The constants were tuned on the
simulation in ``tests/session/simulation.py``.
"""

import math
from typing import Final, NamedTuple

__all__ = ["MAX_PER_S", "MIN_PER_S", "Permit", "Rate"]

MIN_PER_S: Final = 0.05
"""Slowest learnt rate: a service that refuses everything is asked every 20 s whether it still does."""
MAX_PER_S: Final = 1e6

FIRST_WINDOW: Final = 32.0
"""In flight at the start, which is the default concurrency: only who asks for more has to climb."""
WINDOW_GAIN: Final = 0.2
"""Further requests in flight for each success while nothing was refused yet."""
LATENCY_OVER: Final = 16
"""Replies that the latency is averaged over."""
LATE_S: Final = 0.02
"""So much lateness of the event loop is made up for by sending closer together."""

CUT: Final = 0.94
"""The first cut of an episode takes at least the rest: from just above the limit to just below it."""
ROUND_CUT: Final = 0.03
"""The least that a further cut in one episode takes; each takes so much more than the one before it."""
FLOOR: Final = 0.9
"""Such steps end here, in terms of what was accepted: refusals that come at any rate must not bring it to nothing."""
BELOW: Final = 0.97
"""Where to go on, in terms of the limit that was measured."""
BLOCKED_S: Final = 2.0
"""When nothing was accepted for so long, it is no lower limit but a locked door: once it opens, go on as before."""

CALM: Final = 30.0
CALM_S: Final = 1.8
"""Successes from a cut until the rate is back where the limit is thought to be: so many, and so many seconds' worth."""
RISE: Final = 0.03
"""The least that it climbs in that time."""
STEP: Final = 0.005
"""First step above."""
STRETCH: Final = 8.0
STRETCH_S: Final = 0.4
STRETCH_ROUND_TRIPS: Final = 4.0
"""Successes in which the excess doubles: so many, and so many seconds' worth, for a refusal to come back in between."""
BOLD: Final = 0.1
"""With so much excess and no refusal, the limit is another one, and the rate doubles as fast as it may."""
DOUBLING: Final = 0.7
"""What each success adds to the rate to double it in a second, whatever it is (ln 2)."""
FASTEST_DOUBLING_S: Final = 0.3
DOUBLING_ROUND_TRIPS: Final = 11.0
"""Near services answer sooner, and the rate doubles in so many round trips instead of a second."""


class Permit(NamedTuple):
    """A request's leave to go, given back with what became of it."""

    sent_s: float
    pressed: bool
    """Whether it had to wait for the rate, so that its success says something about the rate."""


class Rate:
    """One rate limit, as far as it is known.

    Args:
        max_per_s: The user's own limit; None for none.
        concurrency: Most requests in flight.
    """

    def __init__(self, *, max_per_s: float | None = None, concurrency: int) -> None:
        self._max_per_s = MAX_PER_S if max_per_s is None else min(max_per_s, MAX_PER_S)
        self._concurrency = float(concurrency)
        # Read for every request, and changed seldom: not worked out when they are asked for.
        self.per_s: float | None = None if max_per_s is None else self._max_per_s
        """The rate in force, learnt or given; None when there is none."""
        self.window = 0
        """Most requests in flight now."""
        self._open(FIRST_WINDOW)
        self._learnt: float | None = None
        # Where the limit is thought to be, how to get there, and what it was when last something was accepted.
        self._top = math.inf
        self._climb = 0.0
        self._doubling = False
        self._known = 0.0
        self._now_s = self._last_s = self._cut_s = -math.inf
        self._settled_s: float | None = None
        # Since the last cut.
        self._accepted = self._pressed = 0
        self._rounds = 0
        # Since the episode began.
        self._episode_s = -math.inf
        self._episode_accepted = 0
        self._latency_s = 0.0
        self._replies = 0

    def next_s(self) -> float:
        """The earliest time for the next request."""
        rate = self.per_s
        return -math.inf if rate is None else self._last_s + 1 / rate

    def sent(self, now_s: float, *, waited: bool) -> Permit:
        """A request leaves; *waited* says that it would have left sooner but for the rate."""
        now_s = self._forward(now_s)
        rate = self.per_s
        if rate is None:
            return Permit(now_s, True)
        if self._settled_s is not None and now_s >= self._settled_s:
            rate = self._settle(now_s)
        self._last_s = max(self._last_s + 1 / rate, now_s - LATE_S)
        return Permit(now_s, waited)

    def accepted(self, permit: Permit, now_s: float) -> None:
        """The service did not turn it away for load."""
        now_s = self._forward(now_s)
        self._accepted += 1
        self._episode_accepted += 1
        if self._replies < LATENCY_OVER:
            self._replies += 1
        self._latency_s += (now_s - permit.sent_s - self._latency_s) / self._replies
        if self._learnt is None:
            if self._window < self._concurrency:
                self._open(self._window + WINDOW_GAIN)
        elif permit.pressed and permit.sent_s >= self._cut_s and self._settled_s is None:
            self._grow(self._learnt)

    def throttled(self, permit: Permit, now_s: float) -> None:
        """The service turned it away for load. One that left before the last cut tells nothing new."""
        now_s = self._forward(now_s)
        if permit.sent_s < self._cut_s:
            return
        if self._learnt is None:
            self._begin(now_s)
            return
        rate, accepted, elapsed_s = self._learnt, self._accepted, now_s - self._cut_s
        measured = _measured(accepted, elapsed_s)
        if self._pressed < self._calm(rate) / 2:
            self._rounds += 1
            floor = FLOOR * _measured(self._episode_accepted, now_s - self._episode_s)
            least = min(max(rate * (1 - ROUND_CUT * self._rounds), floor), rate * (1 - ROUND_CUT))
            cut = min(least, max(measured * BELOW, rate / 2))
        else:
            self._rounds = 0
            self._episode_s, self._episode_accepted = now_s, 0
            cut = min(rate * CUT, max(measured * BELOW, rate * 0.85))
        if accepted:
            self._known = rate
        self._cut(cut, now_s, top=min(rate * BELOW, max(measured, cut)), pause_s=self._breath_s())
        if not accepted and elapsed_s >= BLOCKED_S:
            self._top, self._doubling = self._known, True

    def resume(self, now_s: float) -> None:
        """Requests may leave again after an outage: slowly at first, and soon as before."""
        now_s = self._forward(now_s)
        if self._learnt is None:
            self._open(FIRST_WINDOW)
        else:
            self._cut(self._learnt / 4, now_s, top=self._learnt, pause_s=0.0)
            self._doubling = True

    def _forward(self, now_s: float) -> float:
        """Time as far as it has come: a clock that steps back takes nothing with it."""
        self._now_s = max(self._now_s, now_s)
        return self._now_s

    def _open(self, window: float) -> None:
        self._window = min(self._concurrency, window)
        self.window = int(self._window)

    def _begin(self, now_s: float) -> None:
        """First refusal ever: let what is in flight come back, and see how much of it is accepted."""
        breath_s = self._breath_s()
        self._open(self._concurrency)
        self._settled_s = now_s + breath_s
        self._cut(1 / breath_s, now_s, top=math.inf, pause_s=breath_s)

    def _settle(self, now_s: float) -> float:
        elapsed_s = max(now_s - self._cut_s, 1e-3)
        # Half, because a part was accepted before the burst that the service allows was used up.
        self._settled_s = None
        self._episode_s, self._episode_accepted = now_s, 0
        self._known = self._cut(0.5 * (self._accepted + 1) / elapsed_s, now_s, top=math.inf, pause_s=0.0)
        self._doubling = True
        # This one leaves now, however slow the rate is that it leaves with.
        self._last_s = now_s - 1 / self._known
        return self._known

    def _breath_s(self) -> float:
        """A pause after a cut fills the bucket a little: a cushion for requests that the network bunches."""
        return min(max(self._latency_s, LATE_S), 0.5)

    def _cut(self, per_s: float, now_s: float, *, top: float, pause_s: float) -> float:
        rate = self._set(per_s)
        self._top = top
        self._climb = max(RISE * rate, min(top, rate / CUT) - rate) / self._calm(rate)
        self._doubling = False
        self._cut_s = now_s
        self._accepted = self._pressed = 0
        self._last_s = max(self._last_s, now_s + pause_s - 1 / rate)
        return rate

    def _set(self, per_s: float) -> float:
        self._learnt = self.per_s = min(max(per_s, MIN_PER_S), self._max_per_s)
        return self._learnt

    def _calm(self, rate: float) -> float:
        return CALM + CALM_S * rate

    def _grow(self, rate: float) -> None:
        self._pressed += 1
        doubling = DOUBLING / min(max(DOUBLING_ROUND_TRIPS * self._latency_s, FASTEST_DOUBLING_S), 1.0)
        if self._doubling:
            self._doubling = rate + doubling < self._top
            self._set(min(rate + doubling, self._top))
        elif rate < self._top:
            self._set(rate + self._climb)
        else:
            excess = max(rate - self._top, STEP * rate)
            stretch = STRETCH + rate * max(STRETCH_S, STRETCH_ROUND_TRIPS * self._latency_s)
            self._set(rate + (doubling if excess > BOLD * self._top else min(DOUBLING * excess / stretch, doubling)))


def _measured(accepted: int, elapsed_s: float) -> float:
    """The rate of what was accepted, with an allowance for replies that cross the edges of the measurement."""
    return (accepted + 1 + 0.5 * math.sqrt(accepted)) / max(elapsed_s, 1e-3)
