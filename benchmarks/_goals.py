"""A figure, what was asked of it, and whether that was met. It measures nothing and prints nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Goal", "as_figures", "verdicts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure with a bound: the least or the most that it should be; exactly one of them is given."""

    name: str
    found: float
    least: float | None = None
    most: float | None = None

    @property
    def verdict(self) -> str:
        """Met, or missed and by how much in terms of the bound."""
        if self.least is not None:
            bound, met, asked = self.least, self.found >= self.least, f"at least {self.least:g}"
        else:
            assert self.most is not None
            bound, met, asked = self.most, self.found <= self.most, f"at most {self.most:g}"
        by = f"{abs(self.found / bound - 1):.1%}" if bound else f"{self.found:g}"
        outcome = "met" if met else f"MISSED by {by}"
        return f"goal {outcome}: {self.name}: {self.found:.3g}, {asked}"


def verdicts(goals: Sequence[Goal]) -> list[str]:
    """A line for each of *goals*."""
    return [goal.verdict for goal in goals]


def as_figures(goals: Sequence[Goal]) -> list[dict[str, object]]:
    """*goals* as they are kept."""
    return [{"name": goal.name, "found": goal.found, "least": goal.least, "most": goal.most} for goal in goals]
