"""How the work, and what may be in flight, is shared out among the workers of a cluster. Pure; it asks nobody."""

import math
from dataclasses import replace
from typing import Final

from encord_async.session.settings import Settings

__all__ = ["QUIET_S", "Desertion", "shard_size", "share_of"]

QUIET_S: Final = 10.0
"""So long a cluster may have nobody before that is worth a word."""
_MOST_IN_SHARD: Final = 1000
_LEAST_IN_SHARD: Final = 50
_IN_SHARD_OF_STREAM: Final = 250
"""A stream may end soon, and all of it be in the shard of one worker, or never."""
_SHARDS_PER_SLOT: Final = 4
"""Enough that a slow shard at the end keeps few waiting."""


def shard_size(entries: int | None, slots: int) -> int:
    """Most entries in a shard, for a manifest of *entries*, if that is known, on *slots* threads of workers."""
    if entries is None:
        return _IN_SHARD_OF_STREAM
    return min(max(math.ceil(entries / (slots * _SHARDS_PER_SLOT)), _LEAST_IN_SHARD), _MOST_IN_SHARD)


def share_of(settings: Settings, *, slots: int, given: int) -> Settings | None:
    """The share of one more shard in what the whole cluster may have in flight and send in a second.

    Args:
        settings: Those of the whole cluster.
        slots: Threads that the workers have now.
        given: What shards under way may have in flight.

    Returns:
        None if nothing is left; whatever workers come and go, the shares never add up to more than the whole.
    """
    concurrency = min(max(1, settings.concurrency // max(1, slots)), settings.concurrency - given)
    if concurrency < 1:
        return None
    rate = settings.max_rate_per_s
    part = None if rate is None else rate * concurrency / settings.concurrency
    return replace(settings, concurrency=concurrency, max_rate_per_s=part)


class Desertion:
    """Whether it is time to say that the cluster has nobody left; said once for each time that it happens."""

    def __init__(self) -> None:
        self._since_s = math.inf
        self._told = False

    def is_news(self, workers: int, now_s: float) -> bool:
        """Note how many *workers* there are now, and answer."""
        if workers:
            self._since_s, self._told = math.inf, False
            return False
        self._since_s = min(self._since_s, now_s)
        news = not self._told and now_s - self._since_s >= QUIET_S
        self._told |= news
        return news
