"""Tells refusals at random, which come at any rate, from those of a limit, which end below it.

A function of events, as `rate`, which asks it about each refusal, and cuts only when there are more than the noise.

How it judges. While no noise is known, each refusal is one too many. Once some share of the requests is known to be
refused at random, refusals and successes are added up in a cumulative sum test (Page, 1954), which says when that share
is exceeded. How it learns. A bucket that has just refused is empty: who sends faster then is refused again at once, and
has no more accepted than before. So when refusals go on at rates below what was accepted just before, some requests go
much faster for a moment. If more of them are accepted than a limit would let through, and hardly more refused than
until then, it is noise. If many are refused, it is a limit, and the next trial takes twice the evidence.

Of noise it is only ever believed that it has become less: more has to be proven anew. When there is more than the
noise soon after the proof, it was none: who shares a limit may have pushed others aside for a moment.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Noise", "Sign"]

SUSPICION: Final = 8
"""So much evidence leads to a trial."""
DENIED: Final = -24
DENIED_MOST: Final = -48
"""Where the evidence begins again when a trial showed a limit; twice as far back each time, up to here:
each such trial costs a dozen refusals."""
TRIAL: Final = 160
"""Requests whose outcome makes up a trial, at most."""
SURPLUS: Final = 16
"""Accepted in it beyond what a limit could let through: that is noise."""
DENSE: Final = 3
DENSE_SHARE: Final = 0.2
"""Refused in it beyond twice what was until then, or beyond this share: that is a limit. So many in a row may be."""
HELD: Final = 2
"""Refusals that noise has to account for before it is believed for good."""
UNSEEN: Final = 2
"""Added to the refusals seen, with a standard deviation of them: it is better to think the noise too large at first, as
it is lowered soon, and never raised."""
APART: Final = 5
"""Requests for each refusal, for these to be evidence: where more is refused, a limit fell, or all is overloaded."""
EXCESS: Final = 0.01
"""A limit is expected to add at least so much to the share that is refused, or as much again."""
FALSE_ALARM_S: Final = 20.0
"""About so seldom noise alone is taken for more than noise."""
RECENT: Final = 20.0
"""The share falls with what is seen below the limit: so many refusals of late."""
PRIOR: Final = 5.0
"""As many does it count for after a cut: what was refused above the limit is forgotten."""
LEAST: Final = 0.002
"""A smaller share does no harm, and is not told from none."""


class Sign(Enum):
    """What it says of noise that there were too many refusals."""

    LIMIT = -1
    """Before these there had been none for long, while the rate rose."""
    NEITHER = 0
    STRAY = 3
    """The rate was below what had been accepted just before."""


@dataclass(slots=True)
class _Count:
    """Requests whose outcome is known, and how many of them were refused."""

    judged: float = 0.0
    refused: float = 0.0


class Noise:
    """The share of requests that is refused whatever the rate."""

    def __init__(self) -> None:
        self.share = 0.0
        """What is known to be refused at random."""
        self.on_trial = False
        """It is being tried, at a higher rate, whether there is a limit."""
        # That refusals of late are noise; none if not above 0. Where that begins after a limit was shown.
        self._evidence = self._denied = 0
        self._proven = 0.0
        # The test: its sum, what a refusal adds to that, and what a success takes.
        self._sum = 0.0
        self._gain, self._loss = math.inf, 0.0
        self._in_a_row = 0
        # Since the evidence began, in the trial, since there were too many, and below the limit of late.
        self._seen, self._tried, self._since, self._late = _Count(), _Count(), _Count(), _Count()
        # Requests since the proof.
        self._held = 0

    @property
    def is_quiet(self) -> bool:
        """Whether noise is known, and no more than that was refused of late."""
        return self.share > 0 and self._sum == 0

    def accepted(self, *, below: bool) -> None:
        """A request was accepted; *below* what is sure to be below any limit."""
        self._since.judged += 1
        if self._evidence > 0:
            self._seen.judged += 1
        if self.share:
            self._held += 1
            self._in_a_row = 0
            self._sum = max(0.0, self._sum - self._loss)
            if below:
                self._lower(refused=0)

    def exceeded(self, *, below: bool, per_s: float) -> bool:
        """A request was refused, at a rate of *per_s*; whether there are too many for noise."""
        self._since.judged += 1
        self._since.refused += 1
        if self._evidence > 0:
            self._seen.judged += 1
            self._seen.refused += 1
        if self.share:
            self._sum += self._gain
            if below:
                self._lower(refused=1)
            self._in_a_row += 1
            # Where nearly all is refused, a few in a row tell sooner than the sum.
            in_a_row = -self._in_a_row * math.log(self.share) if self._in_a_row >= DENSE else 0.0
            if max(self._sum, in_a_row) < math.log1p(FALSE_ALARM_S * per_s):
                return False
            self._in_a_row = 0
            if self._held * self.share < HELD:
                self._deny()
            else:
                self._late = _Count(PRIOR / self.share, PRIOR)
        self._sum = 0.0
        return True

    def suspected(self, sign: Sign, *, can_try: bool) -> bool:
        """There were too many; whether that may well be noise by now, and a trial begins if there can be one."""
        apart = self._since.judged >= APART * self._since.refused
        self._since = _Count()
        if sign is Sign.STRAY:
            if not apart:
                return False
            if self._evidence == 0:
                self._seen = _Count()
        self._evidence = min(max(min(self._evidence, 0), self._evidence + sign.value), SUSPICION)
        self.on_trial = self._evidence == SUSPICION and can_try
        self._tried = _Count()
        return self.on_trial

    def tried(self, *, refused: bool, due: float) -> bool | None:
        """A request of the trial has come back, sent when a limit would have let *due* through; is it noise?

        None if that is not seen yet.
        """
        tried, seen = self._tried, self._seen
        tried.judged += 1
        tried.refused += refused
        suspected = (seen.refused + UNSEEN) / max(seen.judged, 1)
        if tried.judged - tried.refused >= due + SURPLUS:
            self._prove()
            return True
        if tried.refused >= DENSE + tried.judged * min(2 * suspected, DENSE_SHARE):
            self._deny()
            return False
        if tried.judged < TRIAL:
            return None
        self.give_up()
        return False

    def give_up(self) -> None:
        """The trial showed nothing."""
        self.on_trial, self._evidence, self._since = False, 0, _Count()

    def _prove(self) -> None:
        self.give_up()
        self._held = 0
        refused = self._seen.refused + self._tried.refused
        refused += UNSEEN + math.sqrt(refused)
        self._late = _Count(self._seen.judged + self._tried.judged, refused)
        self._proven = self._late.refused / self._late.judged
        self._know(self._proven)

    def _deny(self) -> None:
        """There is a limit, and if there is noise as well, it takes more to show."""
        self.give_up()
        self._know(0.0)
        self._evidence = self._denied = max(min(2 * self._denied, DENIED), DENIED_MOST)

    def _lower(self, *, refused: int) -> None:
        """The share may be lower than it was: a limit would only add to it."""
        late = self._late
        late.judged += 1
        late.refused += refused
        if late.refused > RECENT:
            late.judged *= RECENT / late.refused
            late.refused = RECENT
        self._know(min(self._proven, late.refused / late.judged))

    def _know(self, share: float) -> None:
        if share < LEAST:
            self.share, self._gain, self._loss = 0.0, math.inf, 0.0
            return
        more = share + max(EXCESS, share)
        self.share, self._gain, self._loss = share, math.log(more / share), math.log((1 - share) / (1 - more))
