"""How much a run sent, as the journal keeps it: samples that say what went out in a while. Never anything of a request.

Samples are short at first and grow with the run, so that a run of any length makes a few thousand of them, each finer
than what a chart of the whole run shows.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import anyio

from encord_async.session.session import Session, Statistics

__all__ = ["Meter", "Traffic", "watch"]

_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 60.0
_SHARE: Final = 500
"""Into so many samples the time since the beginning would be cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What was sent in a while.

    Attributes:
        began_s: When the while began, in seconds since 1970.
        ended_s: When it ended.
        requests: Requests sent, retries included.
        retries: Those of them that were sent again after a fault.
        throttled: Requests that the service turned away for load.
        in_flight: Requests under way when it ended.
    """

    began_s: float
    ended_s: float
    requests: int
    retries: int
    throttled: int
    in_flight: int

    def as_json(self) -> dict[str, float | int]:
        """A JSON object."""
        return asdict(self)


class Meter:
    """Makes samples of a session's counters. Pure: it is told the time, and what the counters say.

    Args:
        counters: What they say now.
        now_s: The time, in seconds since 1970.
    """

    def __init__(self, counters: Statistics, *, now_s: float) -> None:
        self._counters = counters
        self._first_s = self._last_s = now_s

    @property
    def interval_s(self) -> float:
        """When the next sample should be taken, in seconds from the last."""
        return min(_LONGEST_S, max(_SHORTEST_S, (self._last_s - self._first_s) / _SHARE))

    def sample(self, counters: Statistics, *, now_s: float) -> Traffic | None:
        """What was sent since the last sample; None if nothing was, and nothing is under way."""
        before, self._counters = self._counters, counters
        # A clock that was set back must not put an end before its beginning.
        began_s, self._last_s = self._last_s, max(self._last_s, now_s)
        sample = Traffic(
            began_s=began_s,
            ended_s=self._last_s,
            requests=counters.requests - before.requests,
            retries=counters.retries - before.retries,
            throttled=counters.throttled - before.throttled,
            in_flight=counters.in_flight,
        )
        return sample if sample.requests or sample.throttled or sample.in_flight else None


async def watch(session: Session, on_sample: Callable[[Traffic], None], over: anyio.Event) -> None:
    """Tell *on_sample* what *session* sends, until *over*; the last while is told even if this is cancelled."""
    meter = Meter(session.statistics(), now_s=session.clock.wall_s())

    def tell() -> None:
        sample = meter.sample(session.statistics(), now_s=session.clock.wall_s())
        if sample is not None:
            on_sample(sample)

    try:
        while not over.is_set():
            with anyio.move_on_after(meter.interval_s):
                await over.wait()
            tell()
    finally:
        tell()
