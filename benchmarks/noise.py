"""What is accepted of a client where a service refuses requests at random, in terms of one that never slows down.

Two emulators on 127.0.0.1 without a limit, each a process of its own, refuse the same share of their requests. Before
one of them is this package, before the other a bare aiohttp loop with tenacity's random exponential back-off, which is
no pacing; both at the same time, so that a busy machine takes from both. The refusals name no time to wait, as that
is kept to by one of the two only. All shares take three minutes.

    python benchmarks/noise.py [--quick]
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks.goodput import bare_loop, emulator, ours

SHARES: Final = (0.005, 0.02, 0.1)
IN_FLIGHT: Final = 16
LATENCY_S: Final = 0.1
MAIN_S: Final = 60.0
QUICK_S: Final = 5.0
LEAST: Final = 0.9


async def accepted(share: float, seconds: float) -> tuple[int, int]:
    """Requests accepted of this package, and of the bare loop beside it."""
    with tempfile.TemporaryDirectory(prefix="encord-async-bench-") as folder:
        faults = Path(folder) / "faults.json"
        faults.write_text(json.dumps([{"query": "*", "fault": "status", "status": 429, "probability": share}]))
        options = ("--latency", str(LATENCY_S), "--faults", str(faults))
        with emulator(*options) as one, emulator(*options) as other:
            await asyncio.gather(
                ours(one, seconds, in_flight=IN_FLIGHT), bare_loop(other, seconds, in_flight=IN_FLIGHT)
            )
            return one.counts()[0], other.counts()[0]


def main() -> None:
    """Measure each share and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_S:g} s each: shows that it works")
    quick: bool = parser.parse_args().quick
    seconds = QUICK_S if quick else MAIN_S
    found = {share: asyncio.run(accepted(share, seconds)) for share in SHARES}
    aims = [
        Goal(name=f"{share:.1%} refused at random: accepted / accepted without pacing", found=mine / bare, least=LEAST)
        for share, (mine, bare) in found.items()
    ]
    report(
        "noise",
        title=f"Accepted where requests are refused at random, {IN_FLIGHT} in flight, {LATENCY_S:g} s, {seconds:g} s",
        header=("refused at random", "encord-async", "bare loop", "ratio"),
        rows=[(f"{share:.1%}", mine, bare, f"{mine / bare:.3f}") for share, (mine, bare) in found.items()],
        figures={
            "accepted": [{"share": share, "ours": mine, "bare_loop": bare} for share, (mine, bare) in found.items()],
            "goals": as_figures(aims),
        },
        packages=("aiohttp", "tenacity"),
        notes=verdicts(aims),
        quick=quick,
    )


if __name__ == "__main__":
    main()
