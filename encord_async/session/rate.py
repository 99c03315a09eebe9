"""Learns the service's rate limit from what becomes of requests, and says when the next one may leave.

A function of (state, event, now): the time is an argument of every event. Nothing here reads a clock, draws a number,
waits or sends, so a run can be replayed event by event.

How it learns. Until the first refusal only the number in flight grows, as in TCP's slow start. From then on requests
leave at a rate. Between two refusals of a token bucket, what it accepted *is* its limit, whatever it was offered: a cut
goes just below that. Refusals that follow each other closely are one episode, and measured together: a few of them tell
where a limit has fallen to. Then the rate climbs back to where the limit is thought to be, and feels its way above it:
the excess doubles with each stretch of successes, so that a small step finds an unchanged limit, and a few of them a
much higher one. Only requests that had to wait for the rate count: a client that is idle, or bound by what it has in
flight, proves nothing about a higher rate.

The constants were tuned on the simulation in ``tests/session/simulation.py``.
"""

import math
from collections import deque
from typing import Final, NamedTuple

from encord_async.session.noise import APART, Noise, Sign

__all__ = ["MAX_PER_S", "MIN_PER_S", "Permit", "Rate"]

MIN_PER_S: Final = 0.05
"""Slowest learnt rate: a service that refuses everything is asked every 20 s whether it still does."""
MAX_PER_S: Final = 1e6

FIRST_WINDOW: Final = 32.0
"""In flight at the start, which is the default concurrency: only who asks for more has to climb."""
WINDOW_GAIN: Final = 0.1
"""Further requests in flight for each success while nothing was refused yet."""
LATENCY_OVER: Final = 16
"""Replies that the latency is averaged over."""
LATE_S: Final = 0.02
"""So much lateness of the event loop is made up for by sending closer together."""

CUT: Final = 0.94
"""At the first cut of an episode, multiply the rate by at most this: from just above the limit to just below it."""
FIRST_CUT: Final = 0.9
"""And by at least this: what was measured may be from before the limit rose."""
FURTHER_CUT: Final = 0.97
"""At a further cut in one episode, multiply the rate by at most this."""
FLOOR: Final = 0.85
"""Never below this share of what was accepted in the episode: refusals that come at any rate must not bring it to
nothing."""
EPISODE: Final = 8
"""The last refusals of an episode, by which its further cuts are measured."""
IDLE_S: Final = 1.0
"""Who sent nothing for so long measures nothing: what was accepted meanwhile was all that was asked for."""
ENOUGH: Final = 3
"""Accepted since a refusal, for it to say anything about the limit; as many refusals in a row, with nothing accepted
between them, say that it is far below."""
EDGES: Final = 0.5
EDGES_SHARE: Final = 0.01
EDGES_ROUND_TRIPS: Final = 0.5
"""Added to what was accepted when the limit is measured, as it is better found too high than too low: half a token, a
share, and what the network may have moved across an edge of the measurement."""
DENSE: Final = 2.0
"""With more than so many in a round trip, a rate that overshot is paid for with as many refusals, and cut deeper."""
BELOW: Final = 0.97
"""Where to go on, in terms of the limit that was measured."""
BLOCKED_S: Final = 2.0
"""When nothing was accepted for so long, it is no lower limit but a locked door: once it opens, go on as before."""

CALM: Final = 25.0
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
"""With so much excess and no refusal, the limit is another one, or a burst has filled up that is to be used first: the
rate rises in a straight line then, as steeply as doubling begins, so as not to overshoot the old limit by far."""
DOUBLING: Final = 0.7
"""What each success adds to the rate to double it in a second, whatever it is (ln 2)."""
FASTEST_DOUBLING_S: Final = 0.3
DOUBLING_ROUND_TRIPS: Final = 11.0
"""Near services answer sooner, and the rate doubles in so many round trips instead of a second."""

SUSTAINED: Final = 8
SUSTAINED_ROUND_TRIPS: Final = 6.0
"""Accepted since a refusal, and in so long, for it to be known that the service takes that rate."""
TRIAL: Final = 3.0
"""Whether refusals are noise is tried at so much of the rate."""
TRIAL_WINDOW: Final = 16.0
TRIAL_ROUND_TRIPS: Final = 1.5
"""Most in flight in a trial, so many and what the rate has in so many round trips: a limit would refuse much of it."""
FADING: Final = 0.995
"""The highest rate that was accepted is believed this much less with each cut."""
SLOW_PER_S: Final = 20.0
FALLEN: Final = 0.2
"""A rate below the one is tried only where it fell to so much of the highest: such a trial lasts for seconds, in which
others who share the limit give way."""
CHECK: Final = 3.0
"""After a cut for more than noise, as many requests go at the rate as have so many refused by noise: are they?"""


class Permit(NamedTuple):
    """A request's leave to go, given back with what became of it."""

    sent_s: float
    pressed: bool
    """Whether it had to wait for the rate, so that its success says something about the rate."""


class _Mark(NamedTuple):
    """A moment, and how many had been accepted by then."""

    at_s: float
    accepted: int


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
        self._now_s = self._last_s = -math.inf
        self._settled_s: float | None = None
        self._accepted = 0
        # Successes since the last cut that say something about the rate.
        self._pressed = 0
        self._last_cut = _Mark(-math.inf, 0)
        self._episode: deque[_Mark] = deque(maxlen=EPISODE)
        self._latency_s = 0.0
        self._replies = 0
        # Refused of those that were in flight at the first refusal.
        self._refused = 0
        self._noise = Noise()
        # What was accepted in this episode at best, and of late; and the rate before the trial.
        self._best = self._high = self._doubted = 0.0
        # Up to this rate no limit refuses anything; and where there began to be more refusals than noise.
        self._clear_to = math.inf
        self._quiet = _Mark(-math.inf, 0)

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
        due_s = self._last_s + 1 / rate
        if now_s > due_s + IDLE_S and not waited:
            self._episode.clear()
            self._best = 0.0
        self._last_s = max(due_s, now_s - LATE_S)
        return Permit(now_s, waited)

    def accepted(self, permit: Permit, now_s: float) -> None:
        """The service did not turn it away for load."""
        now_s = self._forward(now_s)
        self._accepted += 1
        if self._replies < LATENCY_OVER:
            self._replies += 1
        self._latency_s += (now_s - permit.sent_s - self._latency_s) / self._replies
        if self._learnt is None:
            if self._window < self._concurrency:
                self._open(self._window + WINDOW_GAIN)
        elif permit.sent_s >= self._last_cut.at_s and self._settled_s is None:
            if self._noise.on_trial:
                self._try(permit, now_s, refused=False)
                return
            self._noise.accepted(below=self._learnt <= self._clear_to)
            if self._noise.is_quiet:
                self._quiet = _Mark(now_s, self._accepted)
            if permit.pressed:
                self._grow(self._learnt)

    def throttled(self, permit: Permit, now_s: float) -> None:
        """The service turned it away for load. One that left before the last cut tells nothing new."""
        now_s = self._forward(now_s)
        if permit.sent_s < self._last_cut.at_s:
            self._refused += 1
            return
        if self._learnt is None:
            self._begin(now_s)
            return
        if self._is_noise(permit, self._learnt, now_s):
            return
        rate, idle_s = self._learnt, now_s - self._last_cut.at_s
        accepted = self._accepted - self._last_cut.accepted
        if self._pressed >= self._calm(rate) / 2 or not self._episode:
            self._episode.clear()
            cut, top = self._first_cut(rate, now_s)
        else:
            cut, top = self._further_cut(rate, now_s)
        self._episode.append(_Mark(now_s, self._accepted))
        if accepted:
            self._known = rate
        self._cut(cut, now_s, top=top, pause_s=self._breath_s())
        if not accepted and idle_s >= BLOCKED_S:
            self._top, self._doubling = self._known, True

    def throttled_elsewhere(self, now_s: float) -> None:
        """Another client under the same limit was turned away: news, unless that happens at any rate."""
        if not self._noise.share and not self._noise.on_trial:
            self.throttled(Permit(now_s, False), now_s)

    def resume(self, now_s: float) -> None:
        """Requests may leave again after an outage: slowly at first, and soon as before."""
        now_s = self._forward(now_s)
        if self._learnt is None:
            self._open(FIRST_WINDOW)
        else:
            if self._noise.on_trial:
                self._noise.give_up()
                self._open(self._concurrency)
                self._set(self._doubted)
            self._episode.clear()
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
        self._refused = 0
        self._cut(1 / breath_s, now_s, top=math.inf, pause_s=breath_s)

    def _settle(self, now_s: float) -> float:
        accepted, elapsed_s = self._accepted - self._last_cut.accepted, now_s - self._last_cut.at_s
        self._settled_s = None
        if accepted >= APART * (self._refused + 1):
            # Hardly any were refused with that first one: the limit is no lower than what was sent, if there is any.
            per_s = self._best = _per_s(accepted, self._latency_s)
        else:
            # Half, because a part was accepted before the burst that the service allows was used up.
            per_s = 0.5 * _per_s(accepted + 1, elapsed_s)
        self._known = self._cut(per_s, now_s, top=math.inf, pause_s=0.0)
        self._doubling = True
        # This one leaves now, however slow the rate is that it leaves with.
        self._last_s = now_s - 1 / self._known
        return self._known

    def _is_noise(self, permit: Permit, rate: float, now_s: float) -> bool:
        """Whether a refusal says nothing of a limit, as far as is known or being tried."""
        noise = self._noise
        if noise.on_trial:
            return self._try(permit, now_s, refused=True)
        if not noise.exceeded(below=rate <= self._clear_to, per_s=rate):
            return True
        sign = self._sign(rate, now_s)
        fast = rate >= SLOW_PER_S or rate < FALLEN * self._high
        if not noise.suspected(sign, can_try=permit.pressed and fast):
            return False
        self._doubted = rate
        self._cut(rate * TRIAL, now_s, top=math.inf, pause_s=0.0)
        self._open(TRIAL_WINDOW + TRIAL_ROUND_TRIPS * rate * self._latency_s)
        return True

    def _try(self, permit: Permit, now_s: float, *, refused: bool) -> bool:
        """A request of a trial has come back; whether it still may be noise."""
        noise = self._noise.tried(refused=refused, due=self._doubted * (permit.sent_s - self._last_cut.at_s))
        if noise is None:
            return True
        self._open(self._concurrency)
        if noise:
            # All cuts of late were mistaken.
            self._episode.clear()
            self._cut(self._doubted * TRIAL, now_s, top=math.inf, pause_s=0.0)
            self._doubling = True
            return True
        self._set(self._doubted)
        if not refused:
            self._cut(self._doubted * FURTHER_CUT, now_s, top=self._doubted, pause_s=0.0)
        return False

    def _sign(self, rate: float, now_s: float) -> Sign:
        """What a cut at *rate* is evidence of."""
        best = self._sustained(self._last_cut, now_s)
        begins = self._pressed >= self._calm(rate)
        if not begins:
            best = max(best, self._best, self._sustained(self._episode[0], now_s) if self._episode else 0.0)
        self._best, self._high = best, max(self._high * FADING, best)
        if begins:
            return Sign.LIMIT
        return Sign.STRAY if rate * (1 - self._noise.share) < self._best else Sign.NEITHER

    def _sustained(self, since: _Mark, now_s: float) -> float:
        """What was accepted since a refusal, a second; 0 if that was too short to tell."""
        accepted, elapsed_s = self._accepted - since.accepted, now_s - since.at_s
        long_enough = elapsed_s > SUSTAINED_ROUND_TRIPS * self._latency_s and accepted >= SUSTAINED
        return accepted / elapsed_s if long_enough else 0.0

    def _first_cut(self, rate: float, now_s: float) -> tuple[float, float]:
        """Where to go on, and where the limit may be, when an episode begins."""
        measured, least = self._measured(self._last_cut, now_s), rate * FIRST_CUT
        if self._noise.share:
            # Where noise is refused too, an excess is seen late, and may be large.
            cut = min(rate * CUT, max(self._measured(self._quiet, now_s) * BELOW, rate / 2))
            return cut, cut / BELOW
        if rate > self._top * (1 + BOLD) and rate * self._latency_s > DENSE:
            # Somewhere between what was known to be accepted and what was refused: soon at either end from there.
            return min(max(math.sqrt(self._top * rate), DENSE / self._latency_s), least), least
        cut = min(rate * CUT, max(measured * BELOW, least))
        return cut, min(rate * BELOW, max(measured, cut))

    def _further_cut(self, rate: float, now_s: float) -> tuple[float, float]:
        """The same when an episode goes on."""
        # The bucket was empty at each of these refusals, so the limit is near the least of what was accepted since.
        measured = min(
            (self._measured(mark, now_s) for mark in self._episode if self._accepted - mark.accepted >= ENOUGH),
            default=rate,
        )
        first = self._episode[0]
        floor = FLOOR * _per_s(self._accepted - first.accepted + 1, now_s - first.at_s)
        cut = min(rate * FURTHER_CUT, max(measured * BELOW, floor))
        # All was refused: at half of the rate that is half as often.
        if len(self._episode) >= ENOUGH and self._episode[-ENOUGH].accepted == self._accepted:
            cut = min(cut, rate / 2)
        return cut, min(rate * BELOW, max(measured, cut))

    def _breath_s(self) -> float:
        """A pause after a cut fills the bucket a little: a cushion for requests that the network bunches."""
        return min(max(self._latency_s, LATE_S), 0.5)

    def _cut(self, per_s: float, now_s: float, *, top: float, pause_s: float) -> float:
        rate = self._set(per_s)
        # So much has to be sent for as much as the limit to be accepted.
        top /= 1 - self._noise.share
        self._top = top
        self._climb = max(RISE * rate, top - rate) / self._calm(rate)
        self._doubling = False
        self._clear_to = math.inf if top == math.inf else rate
        self._last_cut = _Mark(now_s, self._accepted)
        self._pressed = 0
        self._last_s = max(self._last_s, now_s + pause_s - 1 / rate)
        return rate

    def _set(self, per_s: float) -> float:
        self._learnt = self.per_s = min(max(per_s, MIN_PER_S), self._max_per_s)
        return self._learnt

    def _calm(self, rate: float) -> float:
        return CALM + CALM_S * rate

    def _measured(self, since: "_Mark", now_s: float) -> float:
        """The limit, from what was accepted since a refusal; rather above than below it."""
        accepted = self._accepted - since.accepted
        edges = EDGES + EDGES_SHARE * accepted + EDGES_ROUND_TRIPS * self._latency_s * (self._learnt or 0.0)
        return _per_s(accepted + edges, now_s - since.at_s)

    def _grow(self, rate: float) -> None:
        self._pressed += 1
        if self._noise.share and rate <= self._clear_to < math.inf:
            needed = min(CHECK / self._noise.share, self._calm(rate))
            if self._pressed < needed:
                return
        doubling = DOUBLING / min(max(DOUBLING_ROUND_TRIPS * self._latency_s, FASTEST_DOUBLING_S), 1.0)
        if self._doubling:
            self._doubling = rate + doubling < self._top
            self._set(min(rate + doubling, self._top))
        elif rate < self._top:
            self._set(rate + self._climb)
        else:
            excess = max(rate - self._top, STEP * rate)
            stretch = STRETCH + rate * max(STRETCH_S, STRETCH_ROUND_TRIPS * self._latency_s)
            bold = excess > BOLD * self._top
            self._set(rate + (doubling * self._top / rate if bold else min(DOUBLING * excess / stretch, doubling)))


def _per_s(number: float, elapsed_s: float) -> float:
    return number / max(elapsed_s, 1e-3)
