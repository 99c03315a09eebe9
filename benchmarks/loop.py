"""How long the event loop is held up at full rate: with the journal on, without it, and with nothing to do.

A ticker asks to be woken each millisecond and notes how late it is, while `provision` creates projects as fast as it
can against nginx that answers every request alike. The idle loop shows what the machine itself takes.

The longest stalls are Python's garbage collector going through what all imports of the process left. ``encord-async
apply`` takes that out of its sight with ``gc.freeze()`` and has it look less often; a library must not, so both are
measured.

    python benchmarks/loop.py [--quick]
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._collector import AS_APPLY, collector
from benchmarks._common import report
from benchmarks._fixed_reply import IN_FLIGHT, Server, bare_creates, fixed_reply, provision_creates
from benchmarks._goals import Goal, as_figures, verdicts

REPEATS: Final = 7
CREATES: Final = 5000
TICK_S: Final = 0.001
MOST_MS: Final = 20.0

JOURNAL: Final = "provision, journal on"
APPLY: Final = JOURNAL + AS_APPLY
NO_JOURNAL: Final = "provision, no journal"
BARE: Final = "bare aiohttp loop"
IDLE: Final = "nothing to do"

Work = Callable[[Server], Awaitable[None]]


async def lateness_s(work: Awaitable[None]) -> list[float]:
    """How late each tick came while *work* was done."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            began_s = time.perf_counter()
            await asyncio.sleep(TICK_S)
            late.append(max(0.0, time.perf_counter() - began_s - TICK_S))

    async with asyncio.TaskGroup() as group:
        ticker = group.create_task(tick())
        await work
        ticker.cancel()
    return late


async def _rest(_: Server, seconds: float) -> None:
    await asyncio.sleep(seconds)


def _figures(who: str, runs: list[list[float]]) -> dict[str, object]:
    cuts = [statistics.quantiles(late, n=1000, method="inclusive") for late in runs]
    return {
        "who": who,
        "ticks": sum(len(late) for late in runs),
        "p50_ms": 1e3 * statistics.median(cut[499] for cut in cuts),
        "p99_ms": 1e3 * statistics.median(cut[989] for cut in cuts),
        "p999_ms": 1e3 * statistics.median(cut[998] for cut in cuts),
        "longest_ms": 1e3 * statistics.median(max(late) for late in runs),
        "longest_of_all_ms": 1e3 * max(max(late) for late in runs),
    }


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few creates and two repeats: shows that it works")
    quick = parser.parse_args().quick
    repeats, creates = (2, 1000) if quick else (REPEATS, CREATES)
    contenders: dict[str, Work] = {
        APPLY: partial(provision_creates, creates=creates),
        JOURNAL: partial(provision_creates, creates=creates),
        NO_JOURNAL: partial(provision_creates, creates=creates, journal=False),
        BARE: partial(bare_creates, creates=creates),
        IDLE: partial(_rest, seconds=1.0),
    }
    runs: defaultdict[str, list[list[float]]] = defaultdict(list)
    with fixed_reply() as servers:
        # What is imported on first need holds the loop up once, and is no part of the rate.
        asyncio.run(provision_creates(servers["http"], 100))
        for _ in range(repeats):
            for who, work in contenders.items():
                with collector(as_apply=who == APPLY):
                    runs[who].append(asyncio.run(_measured(work, servers["http"])))
    figures = [_figures(who, found) for who, found in runs.items()]
    goals = [
        Goal(name=f"p99.9 in ms, {figure['who']}", found=found_ms, most=MOST_MS)
        for figure in figures
        if figure["who"] in {APPLY, JOURNAL} and isinstance(found_ms := figure["p999_ms"], float)
    ]
    report(
        "loop",
        title=f"How late the event loop wakes a ticker, ms; {creates} creates a repeat, {IN_FLIGHT} in flight",
        header=("while", "ticks", "p50", "p99", "p99.9", "longest", "longest of all"),
        rows=[
            (str(figure["who"]), f"{figure['ticks']:,}", *(f"{figure[name]:.2f}" for name in list(figure)[2:]))
            for figure in figures
        ],
        notes=["Percentiles and longest are medians over the repeats.", *verdicts(goals)],
        figures={"runs": figures, "goals": as_figures(goals)},
        packages=("aiohttp", "anyio", "sqlalchemy"),
        repeats=repeats,
        quick=quick,
    )


async def _measured(work: Work, server: Server) -> list[float]:
    return await lateness_s(work(server))


if __name__ == "__main__":
    main()
