"""What this package costs a create: against nginx that answers every request alike, so that only the client works.

Beside `Session.execute`, from as many tasks as may be in flight and from many more, and `provision` with its journal:
a bare aiohttp loop that signs and posts the same bodies, and the loop that one would write who has to know afterwards
what was sent, with a row in SQLite before and after each create; httpx, and the official SDK with as many threads. Over
http and https, and ours on uvloop too.

    python benchmarks/overhead.py [--quick] [--profile]
"""

import argparse
import asyncio
import cProfile
import importlib
import pstats
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._collector import AS_APPLY, collector
from benchmarks._common import SDK_PYTHON, SDK_RELEASE, report
from benchmarks._fixed_reply import (
    IN_FLIGHT,
    Server,
    bare_creates,
    careful_creates,
    fixed_reply,
    httpx_creates,
    provision_creates,
    sdk_creates,
    session_creates,
)
from benchmarks._goals import Goal, as_figures, verdicts

REPEATS: Final = 5
CREATES: Final = 5000
"""A repeat of the quick clients."""
SLOW_CREATES: Final = 600
"""A repeat of the slow ones, which take as long for them."""

BARE: Final = "bare aiohttp loop"
CAREFUL: Final = "aiohttp loop, a row before and after"
SESSION: Final = "encord-async, session.execute"
CROWD: Final = "encord-async, session.execute, 1,000 tasks"
PROVISION: Final = "encord-async, provision, journal"
WITHOUT: Final = "encord-async, provision, no journal"
HTTPX: Final = "httpx loop"
SDK: Final = f"official SDK {SDK_RELEASE}, {IN_FLIGHT} threads"
UVLOOP: Final = ", uvloop"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a create took."""

    elapsed_s: float
    cpu_s: float


Client = Callable[[Server], Cost]
Creates = Callable[[Server, int], Coroutine[object, object, None]]


def in_process(creates: int, client: Creates, *, fast: bool, as_apply: bool = False) -> Client:
    """A client that runs in this process, on a new event loop each time: uvloop's if *fast*."""

    def run(server: Server) -> Cost:
        loop_factory = uvloop.new_event_loop if fast else None
        with collector(as_apply=as_apply), asyncio.Runner(loop_factory=loop_factory) as runner:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            runner.run(client(server, creates))
            return Cost((time.perf_counter() - began_s) / creates, (time.process_time() - began_cpu_s) / creates)

    return run


def in_threads(creates: int) -> Client:
    """The SDK, in its own process."""

    def run(server: Server) -> Cost:
        elapsed_s, cpu_s = sdk_creates(server, creates)
        return Cost(elapsed_s / creates, cpu_s / creates)

    return run


def clients(*, quick: bool) -> dict[str, Client]:
    """Everybody who is there."""
    many, few = (500, 100) if quick else (CREATES, SLOW_CREATES)
    quick_ones: dict[str, Creates] = {BARE: bare_creates, SESSION: session_creates, PROVISION: provision_creates}
    found = {who: in_process(many, client, fast=False) for who, client in quick_ones.items()}
    found[CAREFUL] = in_process(many, careful_creates, fast=False)
    found[CROWD] = in_process(many, partial(session_creates, tasks=1000), fast=False)
    found[PROVISION + AS_APPLY] = in_process(many, provision_creates, fast=False, as_apply=True)
    found[WITHOUT] = in_process(many, partial(provision_creates, journal=False), fast=False)
    found |= {who + UVLOOP: in_process(many, client, fast=True) for who, client in quick_ones.items()}
    found[HTTPX] = in_process(few, httpx_creates, fast=False)
    if SDK_PYTHON.exists():
        found[SDK] = in_threads(few)
    return found


Runs = dict[tuple[str, str], list[Cost]]


def ratio(runs: Runs, scheme: str, who: str, to: str) -> float:
    """How many times the creates per second of *to*, repeat by repeat; the median, as a busy machine hits both."""
    pairs = zip(runs[scheme, who], runs[scheme, to], strict=True)
    return statistics.median(other.elapsed_s / one.elapsed_s for one, other in pairs)


def cpu_ratio(runs: Runs, scheme: str, who: str, to: str) -> float:
    """How many times the creates per second of CPU of *to*."""
    pairs = zip(runs[scheme, who], runs[scheme, to], strict=True)
    return statistics.median(other.cpu_s / one.cpu_s for one, other in pairs)


def goals(runs: Runs) -> list[Goal]:
    """What was asked for, with what was found."""
    found = []
    for scheme in ("http", "https"):
        for who, least in ((SESSION, 0.95), (PROVISION, 0.85), (PROVISION + UVLOOP, 1.0)):
            found.append(Goal(name=f"{scheme}: {who} / {BARE}", found=ratio(runs, scheme, who, BARE), least=least))
        careful = ratio(runs, scheme, PROVISION, CAREFUL)
        found.append(Goal(name=f"{scheme}: {PROVISION} / {CAREFUL}", found=careful, least=1.0))
        cost = ratio(runs, scheme, PROVISION, WITHOUT)
        found.append(Goal(name=f"{scheme}: {PROVISION} / {WITHOUT}", found=cost, least=0.85))
    if ("https", SDK) in runs:
        found += [
            Goal(name=f"https: {who} / {SDK}", found=ratio(runs, "https", who, SDK), least=12.0)
            for who in (SESSION, PROVISION)
        ]
    return found


def figures(runs: Runs) -> list[dict[str, object]]:
    """The medians."""
    return [
        {
            "scheme": scheme,
            "who": who,
            "creates_per_s": 1 / statistics.median(cost.elapsed_s for cost in costs),
            "least_per_s": 1 / max(cost.elapsed_s for cost in costs),
            "most_per_s": 1 / min(cost.elapsed_s for cost in costs),
            "cpu_us": 1e6 * statistics.median(cost.cpu_s for cost in costs),
            "of_bare_loop": ratio(runs, scheme, who, BARE),
            "of_bare_loop_per_cpu": cpu_ratio(runs, scheme, who, BARE),
        }
        for (scheme, who), costs in runs.items()
    ]


def profile(server: Server, creates: int) -> None:
    """Print where the time of a provision and of the bare loop goes."""
    for name, client in ((SESSION, session_creates), (PROVISION, provision_creates), (BARE, bare_creates)):
        profiler = cProfile.Profile()
        with asyncio.Runner() as runner:
            profiler.enable()
            runner.run(client(server, creates))
            profiler.disable()
        print(f"== {name}, {creates} creates; the profiler's own cost is in these figures")
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(35)


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few creates and two repeats: shows that it works")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    asked = parser.parse_args()
    # Imported on first need, which is no part of the work; how long imports take is another benchmark.
    importlib.import_module("encord_async.journal.journal")
    repeats = 2 if asked.quick else REPEATS
    contenders = clients(quick=asked.quick)
    runs: defaultdict[tuple[str, str], list[Cost]] = defaultdict(list)
    with fixed_reply() as servers:
        if asked.profile:
            profile(servers["http"], CREATES)
            return
        for _ in range(repeats):
            for scheme, server in servers.items():
                for who, client in contenders.items():
                    runs[scheme, who].append(client(server))
    rows, aims = figures(runs), goals(runs)
    header = ("client", "creates/s", "range", "CPU µs each", "of bare", "of bare per CPU s")
    report(
        "overhead",
        title=f"Creates against nginx with a fixed reply, {IN_FLIGHT} in flight",
        header=header,
        rows=[_row(figure) for figure in rows],
        notes=[
            f"Ratios are to the bare loop on the standard event loop of the same repeat. nginx runs beside the client "
            f"on the same cores. {HTTPX} and the SDK: {SLOW_CREATES} creates a repeat, the others {CREATES}.",
            *([] if SDK_PYTHON.exists() else [f"missing: {SDK} ({SDK_PYTHON}); make sdks makes it"]),
            *verdicts(aims),
        ],
        figures={"runs": rows, "goals": as_figures(aims)},
        packages=("aiohttp", "anyio", "cryptography", "httpx", "pydantic", "sqlalchemy", "uvloop"),
        repeats=repeats,
        quick=asked.quick,
    )


def _row(figure: dict[str, object]) -> tuple[str, ...]:
    return (
        f"{figure['scheme']}: {figure['who']}",
        f"{figure['creates_per_s']:,.0f}",
        f"{figure['least_per_s']:,.0f} to {figure['most_per_s']:,.0f}",
        f"{figure['cpu_us']:,.0f}",
        f"{figure['of_bare_loop']:.3f}",
        f"{figure['of_bare_loop_per_cpu']:.3f}",
    )


if __name__ == "__main__":
    main()
