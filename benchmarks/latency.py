"""How long one create takes through `Session.execute`, and how long through a bare aiohttp loop, one and 64 at a time.

Against nginx that answers every request alike; each operation is timed by whoever asks for it, so a wait at the gate
of the session counts.

    python benchmarks/latency.py [--quick]
"""

import argparse
import asyncio
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._fixed_reply import bare_creates, fixed_reply, session_creates
from benchmarks._goals import Goal, as_figures, verdicts

REPEATS: Final = 9
CREATES: Final = 4000
AT_A_TIME: Final = (1, 64)
WARM_UP: Final = 10
"""The first creates of each worker, which do not count, for either client."""
PERCENTILES: Final = {"p50": 1.1, "p99": 1.2}
"""The most that ours should be, in terms of the bare loop's."""
CLIENTS: Final = {"bare aiohttp loop": bare_creates, "encord-async, session.execute": session_creates}
BARE, OURS = CLIENTS


def percentile(samples: list[float], name: str) -> float:
    """Of *samples*, for example ``p99``."""
    return statistics.quantiles(samples, n=1000, method="inclusive")[int(float(name[1:]) * 10) - 1]


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few creates and two repeats: shows that it works")
    quick = parser.parse_args().quick
    repeats, creates = (2, 1500) if quick else (REPEATS, CREATES)
    found: defaultdict[tuple[int, str, str], list[float]] = defaultdict(list)
    with fixed_reply() as servers:
        for _ in range(repeats):
            for in_flight in AT_A_TIME:
                for who, client in CLIENTS.items():
                    taken: list[float] = []
                    asyncio.run(client(servers["http"], creates, in_flight=in_flight, note=taken.append))
                    # The first open connections, and the session begins with few in flight.
                    for name in PERCENTILES:
                        found[in_flight, who, name].append(percentile(taken[WARM_UP * in_flight :], name))
    rows, figures, goals = [], [], []
    for in_flight in AT_A_TIME:
        for name, most in PERCENTILES.items():
            bare, ours = found[in_flight, BARE, name], found[in_flight, OURS, name]
            times = statistics.median(mine / its for mine, its in zip(ours, bare, strict=True))
            bare_ms, ours_ms = 1e3 * statistics.median(bare), 1e3 * statistics.median(ours)
            goals.append(
                Goal(name=f"{name} at {in_flight} in flight, in terms of the bare loop", found=times, most=most)
            )
            figures.append(
                {"in_flight": in_flight, "what": name, "bare_ms": bare_ms, "ours_ms": ours_ms, "times_bare": times}
            )
            added = f"{(ours_ms - bare_ms) * 1e3:+.0f}"
            rows.append((f"{in_flight} in flight, {name}", f"{bare_ms:.3f}", f"{ours_ms:.3f}", added, f"{times:.3f}"))
    report(
        "latency",
        title=f"Milliseconds that one create takes; {creates} a repeat against nginx with a fixed reply, http",
        header=("", "bare loop ms", "encord-async ms", "added µs", "ratio"),
        rows=rows,
        notes=[
            "The ratio is the median over the repeats, each to the bare loop beside it. The first "
            f"{WARM_UP} creates of each worker do not count.",
            *verdicts(goals),
        ],
        figures={"runs": figures, "goals": as_figures(goals)},
        packages=("aiohttp", "anyio", "cryptography"),
        repeats=repeats,
        quick=quick,
    )


if __name__ == "__main__":
    main()
