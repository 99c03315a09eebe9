"""A token bucket, which is how a proxy limits the rate of calls.

Pure: the time is an argument, and it never sleeps.
"""

from dataclasses import dataclass, field

__all__ = ["TokenBucket"]


@dataclass(slots=True, kw_only=True)
class TokenBucket:
    """Lets *rate_per_s* calls a second through, and *burst* at once when it is full, as it is at the start."""

    rate_per_s: float
    burst: int
    _tokens: float = field(init=False)
    _last_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Fill the bucket.

        Raises:
            ValueError: A rate or burst that would never let anything through.
        """
        if self.rate_per_s <= 0 or self.burst < 1:
            raise ValueError(f"rate_per_s {self.rate_per_s} and burst {self.burst} have to be above 0")
        self._tokens = float(self.burst)

    def take(self, now_s: float) -> float | None:
        """Take one token at *now_s* (any steady clock): None if there was one, else the seconds until there is."""
        if self._last_s is not None:
            gained = max(0.0, now_s - self._last_s) * self.rate_per_s
            self._tokens = min(float(self.burst), self._tokens + gained)
        self._last_s = now_s
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return None
        return (1.0 - self._tokens) / self.rate_per_s
