"""Tells refusals at random, which come at any rate, from those of a limit, which end below it.

A function of events, as `rate`, which asks it about each refusal, and cuts only when there are more than the noise.

How it judges. While no noise is known, each refusal is one too many. Once some share of the requests is known to be
refused at random, refusals and successes are added up in a cumulative sum test (Page, 1954), which says when that share
is exceeded. How it learns. A limit refuses nothing below it. When refusals go on at rates below what was accepted just
before, either the limit falls and falls, or there is none: that is tried at a lower rate still. If as large a share of
the requests is refused there, it is noise. Of noise it is only ever believed that it has become less: more has to be
proven anew.

Who shares a limit with others has refusals that hardly depend on its own rate, too. So a trial begins only once the
rate has fallen far below what the service took, which neither others nor a limit that changes bring about
(`rate.FALLEN`), and only where it would soon prove something. Noise that brings about no such fall passes for a limit.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Noise", "Sign"]

SUSPICION: Final = 9
"""So much evidence leads to a trial: a limit that falls is mostly found with less."""
NOT_SOON: Final = -3
"""Where the evidence begins again when a trial showed no noise."""
TRIAL: Final = 4
"""Refusals that prove it in a trial."""
TRIAL_S: Final = 20.0
"""In so long that proof is expected, or there is no trial: under a limit it would only cost."""
TRIAL_LEAST: Final = 0.75
TRIAL_MOST: Final = 12.0
"""So many refusals were due when these have come: if fewer, more was refused than can be noise, if more, less."""
UNSEEN: Final = 2
"""Added to the refusals seen, as it is better to think the noise too large at first: it is lowered soon."""
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
        self.evidence = 0
        """That refusals of late are noise; none if not above 0."""
        self.on_trial = False
        """It is being tried, at a lower rate, whether refusals go on."""
        self._proven = self._suspected = 0.0
        # The test: its sum, what a refusal adds to that, and what a success takes.
        self._sum = 0.0
        self._gain, self._loss = math.inf, 0.0
        # Since the evidence began, in the trial, since there were too many, and below the limit of late.
        self._seen, self._tried, self._since, self._late = _Count(), _Count(), _Count(), _Count()

    @property
    def is_quiet(self) -> bool:
        """Whether noise is known, and no more than that was refused of late."""
        return self.share > 0 and self._sum == 0

    def accepted(self, *, below: bool) -> None:
        """A request was accepted; *below* what is sure to be below any limit."""
        self._since.judged += 1
        if self.on_trial:
            self._tried.judged += 1
            if self._tried.judged * self._suspected > TRIAL_MOST:
                self.give_up()
        elif self.evidence > 0:
            self._seen.judged += 1
        if self.share:
            self._sum = max(0.0, self._sum - self._loss)
            if below and not self.on_trial:
                self._lower(refused=0)

    def exceeded(self, *, below: bool, per_s: float) -> bool:
        """A request was refused, at a rate of *per_s*; whether there are too many for noise."""
        self._since.judged += 1
        self._since.refused += 1
        if self.evidence > 0:
            self._seen.judged += 1
            self._seen.refused += 1
        if self.share:
            self._sum += self._gain
            if below:
                self._lower(refused=1)
            if self._sum < math.log1p(FALSE_ALARM_S * per_s):
                return False
            self._late = _Count(PRIOR / self.share, PRIOR)
        self._sum = 0.0
        return True

    def suspected(self, sign: Sign, *, fallen: bool, per_s: float) -> bool:
        """There were too many; whether that may well be noise by now, and a trial at *per_s* begins.

        Only where the rate has *fallen* as it does for no limit, and where noise would soon be proven.
        """
        apart = self._since.judged >= APART * self._since.refused
        self._since = _Count()
        if sign is Sign.STRAY:
            if not apart:
                return False
            if self.evidence == 0:
                self._seen = _Count()
        self.evidence = min(max(min(self.evidence, 0), self.evidence + sign.value), SUSPICION)
        if self.evidence < SUSPICION or not fallen:
            return False
        suspected = self._seen.refused / self._seen.judged
        if suspected * per_s * TRIAL_S < TRIAL:
            return False
        self.on_trial, self._tried, self._suspected = True, _Count(), suspected
        return True

    def tried(self) -> bool | None:
        """A request of the trial was refused; whether that makes it noise, None if that is not seen yet."""
        self._tried.judged += 1
        self._tried.refused += 1
        if self._tried.refused < TRIAL:
            return None
        if self._tried.judged * self._suspected < TRIAL_LEAST:
            self.give_up()
            return False
        self.on_trial, self.evidence, self._since = False, 0, _Count()
        refused = self._seen.refused + self._tried.refused + UNSEEN
        self._late = _Count(self._seen.judged + self._tried.judged, refused)
        self._proven = self._late.refused / self._late.judged
        self._know(self._proven)
        return True

    def give_up(self) -> None:
        """The trial showed no noise."""
        self.on_trial, self.evidence, self._since = False, NOT_SOON, _Count()

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
