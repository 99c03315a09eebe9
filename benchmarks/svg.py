"""The plots of the README, made from ``results/*.json``: who creates how fast, and what a limit costs whom.

It measures nothing; `make bench` runs it last. It keeps ``results/*.svg``, the same bytes for the same results.

    python benchmarks/svg.py
"""

import importlib
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import RESULTS

OURS: Final = "#1f6feb"
OTHERS: Final = "#8b949e"
INCHES: Final = 9.0
INCHES_A_BAR: Final = 0.35


@dataclass(frozen=True, slots=True)
class Bar:
    """One client and its figure."""

    who: str
    value: float
    shown: str

    @property
    def color(self) -> str:
        """Ours stand out."""
        return OURS if "encord-async" in self.who else OTHERS


@dataclass(frozen=True, slots=True)
class Plot:
    """A row of bars under one title."""

    title: str
    unit: str
    bars: Sequence[Bar]


def overhead(result: dict[str, Any]) -> Plot:
    """Creates a second over https."""
    runs = [run for run in result["figures"]["runs"] if run["scheme"] == "https"]
    runs.sort(key=lambda run: float(run["creates_per_s"]))
    bars = [Bar(run["who"], run["creates_per_s"], f"{run['creates_per_s']:,.0f}") for run in runs]
    return Plot("Creates a second over https, nginx with a fixed reply, 64 in flight", "creates / s", bars)


def goodput(result: dict[str, Any]) -> Plot:
    """What of the requests was refused."""
    runs = result["figures"]["runs"]
    shares = [(run["who"], statistics.median(run["refused"]), statistics.median(run["goodput"])) for run in runs]
    bars = [
        Bar(who, 100 * refused, f"{refused:.1%} refused, {used:.0%} of the limit")
        for who, refused, used in reversed(shares)
    ]
    return Plot("A limit of 200 requests/s that nobody told the client", "% of requests refused", bars)


PLOTS: Final[dict[str, Callable[[dict[str, Any]], Plot]]] = {"overhead": overhead, "goodput": goodput}


def draw(plot: Plot, path: Path, pyplot: Any) -> None:
    """Write *plot* as SVG."""
    figure, axes = pyplot.subplots(figsize=(INCHES, 1.2 + INCHES_A_BAR * len(plot.bars)), layout="constrained")
    drawn = axes.barh(
        [bar.who for bar in plot.bars],
        [bar.value for bar in plot.bars],
        color=[bar.color for bar in plot.bars],
    )
    axes.bar_label(drawn, labels=[bar.shown for bar in plot.bars], padding=4, fontsize=8)
    axes.set_title(plot.title, loc="left", fontsize=10)
    axes.set_xlabel(plot.unit)
    axes.margins(x=0.6)  # room for the labels
    axes.spines[["top", "right"]].set_visible(False)
    # Without the date, so that unchanged results leave the file as it is.
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Draw what there are results for."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        print("no plots: matplotlib is missing; pip install matplotlib, and run this file again")
        return
    matplotlib.use("svg")
    # Ids are drawn at random otherwise, and texts written as shapes.
    matplotlib.rcParams.update({"svg.hashsalt": "encord-async", "svg.fonttype": "none"})
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    for name, plot in PLOTS.items():
        source, target = RESULTS / f"{name}.json", RESULTS / f"{name}.svg"
        if not source.exists():
            print(f"no plot of {name}: there are no results; python benchmarks/{name}.py makes them")
            continue
        draw(plot(json.loads(source.read_text(encoding="utf-8"))), target, pyplot)
        print(f"{target.relative_to(RESULTS.parents[1])}, from {source.name}")


if __name__ == "__main__":
    main()
