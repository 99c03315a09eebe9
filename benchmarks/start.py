"""How long ``import encord_async`` and ``encord-async --help`` take, beside ``import aiohttp``.

Each in a new process, byte code compiled. An import is timed inside the process; the command from outside, with the
start of Python.

    python benchmarks/start.py [--quick]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts

REPEATS: Final = 15
MOST_TIMES: Final = 2.5
MOST_MS: Final = 400.0

AIOHTTP: Final = "import aiohttp"
OURS: Final = "import encord_async"
HELP: Final = "encord-async --help"
PYTHON: Final = "python -c pass"

_TIMED: Final = "import time; began_s = time.perf_counter(); import {0}; print(time.perf_counter() - began_s)"


def import_s(module: str) -> float:
    """Seconds that the import takes in a new process."""
    command = [sys.executable, "-c", _TIMED.format(module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def process_s(arguments: list[str]) -> float:
    """Seconds that Python takes with *arguments*, from start to end."""
    began_s = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began_s


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two repeats: shows that it works")
    quick = parser.parse_args().quick
    repeats = 2 if quick else REPEATS
    contenders: dict[str, Callable[[], float]] = {
        PYTHON: partial(process_s, ["-c", "pass"]),
        AIOHTTP: partial(import_s, "aiohttp"),
        OURS: partial(import_s, "encord_async"),
        HELP: partial(process_s, ["-m", "encord_async", "--help"]),
    }
    wall: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, list[float]] = defaultdict(list)
    for repeat in range(repeats + 1):
        for who, measure in contenders.items():
            began_s = _cpu_s()
            taken_s = measure()
            # The first round compiles and fills the caches of the disk.
            if repeat:
                wall[who].append(taken_s)
                cpu[who].append(_cpu_s() - began_s)
    figures = {
        who: {
            "ms": 1e3 * statistics.median(taken),
            "least_ms": 1e3 * min(taken),
            "most_ms": 1e3 * max(taken),
            "process_cpu_ms": 1e3 * statistics.median(cpu[who]),
        }
        for who, taken in wall.items()
    }
    times = statistics.median(ours / its for ours, its in zip(wall[OURS], wall[AIOHTTP], strict=True))
    goals = [
        Goal(name=f"{OURS} / {AIOHTTP}", found=times, most=MOST_TIMES),
        Goal(name=f"{OURS}, ms", found=figures[OURS]["ms"], most=MOST_MS),
        Goal(name=f"{HELP}, ms", found=figures[HELP]["ms"], most=MOST_MS),
    ]
    report(
        "start",
        title="Milliseconds until it is there",
        header=("what", "ms", "range", "CPU ms of the process"),
        rows=[
            (
                who,
                f"{figure['ms']:.0f}",
                f"{figure['least_ms']:.0f} to {figure['most_ms']:.0f}",
                f"{figure['process_cpu_ms']:.0f}",
            )
            for who, figure in figures.items()
        ],
        notes=verdicts(goals),
        figures={"runs": [{"what": who, **figure} for who, figure in figures.items()], "goals": as_figures(goals)},
        packages=("aiohttp", "click", "pydantic"),
        repeats=repeats,
        quick=quick,
    )


if __name__ == "__main__":
    main()
