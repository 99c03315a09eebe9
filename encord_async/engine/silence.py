"""How long a manifest has said nothing. Pure: it is told the time."""

import math

__all__ = ["Silence"]


class Silence:
    """Tells whether whoever is asked for entries has said nothing for *most_s*; for good if that is infinite."""

    def __init__(self, most_s: float) -> None:
        self.most_s = most_s
        self._since_s = math.inf

    def begin(self, now_s: float) -> None:
        """It is asked."""
        self._since_s = now_s

    def end(self) -> None:
        """It has answered."""
        self._since_s = math.inf

    def is_over(self, now_s: float) -> bool:
        """Whether it has."""
        return now_s >= self._since_s + self.most_s
