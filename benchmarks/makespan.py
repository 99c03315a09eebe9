"""How long 500 projects take against the least that latency and concurrency allow: max(chain, requests / concurrency).

The emulator is a process of its own and takes 50 ms a request; 32 requests are in flight at most. Beside this
package: the same requests by a bare aiohttp loop, which shows what the emulator and the event loop take more than the
bound, and the official SDK with as many threads.

    python benchmarks/makespan.py [--quick]
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import SDK_PYTHON, SDK_RELEASE, report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks._provisioning import (
    CONCURRENCY,
    Api,
    Done,
    bare_loop,
    emulator,
    provision,
    sdk_provision,
)
from encord_async import EncordSession, NotFoundError

PROJECTS: Final = 500
LATENCY_S: Final = 0.05
LONGEST_CHAIN: Final = 3
"""List what is there, create a project, add its users."""
MAX_RATIO: Final = 1.05
REPEATS: Final = 5
SDK_REPEATS: Final = 2
LATENCY_SAMPLES: Final = 21

BARE: Final = "bare aiohttp loop"
OURS: Final = ("encord-async, no journal", "encord-async, journal")


def bound_s(requests: int, latency_s: float) -> float:
    """The least time in which so many requests can be made."""
    return latency_s * max(LONGEST_CHAIN, requests / CONCURRENCY)


def delivered_latency_s() -> float:
    """What one request really takes when nothing else is under way: timers and sockets take their part."""

    async def sample(api: Api) -> float:
        taken: list[float] = []
        async with EncordSession.from_ssh_key(api.key_file, domain=api.url, concurrency=1) as session:
            for _ in range(LATENCY_SAMPLES):
                began_s = time.perf_counter()
                try:
                    await session.project("nowhere").get()
                except NotFoundError:
                    taken.append(time.perf_counter() - began_s)
        return statistics.median(taken)

    with emulator(latency_s=LATENCY_S) as api:
        return asyncio.run(sample(api))


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100 projects and one repeat: shows that it works")
    quick = parser.parse_args().quick
    projects, repeats, sdk_repeats = (100, 1, 1) if quick else (PROJECTS, REPEATS, SDK_REPEATS)
    contenders: dict[str, Callable[[Api], Done]] = {
        OURS[0]: partial(provision, projects=projects, journal=False),
        OURS[1]: partial(provision, projects=projects, journal=True),
        BARE: partial(bare_loop, projects=projects),
    }
    missing = []
    if SDK_PYTHON.exists():
        for way in ("stepwise", "frugal"):
            contenders[f"encord {SDK_RELEASE}, {CONCURRENCY} threads, {way}"] = partial(
                sdk_provision, projects=projects, way=way, threads=CONCURRENCY, latency_s=LATENCY_S
            )
    else:
        missing.append(f"encord {SDK_RELEASE}: {SDK_PYTHON} is not there; `make sdks` makes it")
    latency_s = delivered_latency_s()
    runs: defaultdict[str, list[Done]] = defaultdict(list)
    for repeat in range(repeats):
        for who, do in contenders.items():
            if who.startswith("encord ") and repeat >= sdk_repeats:
                continue
            with emulator(latency_s=LATENCY_S) as api:
                runs[who].append(do(api))
    figures = [_figures(who, done, latency_s) for who, done in runs.items()]
    ratios = {figure["who"]: figure for figure in figures}
    for figure in figures:
        figure["times_bare_loop"] = figure["median_s"] / ratios[BARE]["median_s"]
    goals = [Goal(name=f"{who}: median / bound", found=ratios[who]["times_bound"], most=MAX_RATIO) for who in OURS]
    report(
        "makespan",
        title=f"{projects} projects with 3 datasets and 10 users in 2 roles, {LATENCY_S * 1e3:.0f} ms, "
        f"{CONCURRENCY} in flight",
        header=(
            "who",
            "repeats",
            "median s",
            "range s",
            "requests",
            "bound s",
            "/ bound",
            "/ real bound",
            "/ bare loop",
            "CPU s",
        ),
        rows=[_row(figure) for figure in figures],
        notes=[
            f"One request alone takes {latency_s * 1e3:.1f} ms, not {LATENCY_S * 1e3:.0f}: the emulator's timers and "
            "both event loops round up. The real bound is the one with that latency.",
            *missing,
            *verdicts(goals),
        ],
        figures={"runs": figures, "goals": as_figures(goals)},
        packages=("aiohttp", "anyio", "pydantic", "sqlalchemy"),
        repeats=repeats,
        quick=quick,
    )


def _figures(who: str, done: list[Done], latency_s: float) -> dict[str, Any]:
    elapsed_s = [one.elapsed_s for one in done]
    median_s, requests = statistics.median(elapsed_s), done[0].requests
    return {
        "who": who,
        "repeats": len(done),
        "median_s": median_s,
        "min_s": min(elapsed_s),
        "max_s": max(elapsed_s),
        "requests": requests,
        "stood_in": done[0].stood_in,
        "bound_s": bound_s(requests, LATENCY_S),
        "times_bound": median_s / bound_s(requests, LATENCY_S),
        "times_bound_at_real_latency": median_s / bound_s(requests, latency_s),
        "cpu_s": statistics.median(one.cpu_s for one in done),
    }


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    return (
        figure["who"],
        f"{figure['repeats']}",
        f"{figure['median_s']:.3f}",
        f"{figure['min_s']:.3f} to {figure['max_s']:.3f}",
        f"{figure['requests']:,}",
        f"{figure['bound_s']:.3f}",
        f"{figure['times_bound']:.3f}",
        f"{figure['times_bound_at_real_latency']:.3f}",
        f"{figure['times_bare_loop']:.3f}",
        f"{figure['cpu_s']:.2f}",
    )


if __name__ == "__main__":
    main()
