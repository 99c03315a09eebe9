"""How long importing the session and ``encord-async --help`` take, beside ``import aiohttp``; and a large ``apply``.

Each in a new process, byte code compiled. An import is timed inside the process; a command from outside, with the
start of Python. Of ``apply`` it is the time until the service has the first create, all entries checked before it; the
emulator is a process of its own.

    python benchmarks/start.py [--quick]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks._provisioning import emulator

REPEATS: Final = 15
MOST_TIMES: Final = 2.5
MOST_MS: Final = 400.0
ENTRIES: Final = 100_000
APPLIES: Final = 5
MOST_TO_CREATE_MS: Final = 5000.0
LOOK_EVERY_S: Final = 0.01

AIOHTTP: Final = "import aiohttp"
OURS: Final = "from encord_async import EncordSession"
HELP: Final = "encord-async --help"
PYTHON: Final = "python -c pass"
APPLY: Final = "encord-async apply, {:,} entries, to the first create"

_TIMED: Final = "import time; began_s = time.perf_counter(); {0}; print(time.perf_counter() - began_s)"


def import_s(statement: str) -> float:
    """Seconds that an import takes in a new process."""
    command = [sys.executable, "-c", _TIMED.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def process_s(arguments: list[str]) -> float:
    """Seconds that Python takes with *arguments*, from start to end."""
    began_s = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began_s


def first_create_s(entries: int) -> float:
    """Seconds from the start of ``apply`` until the service has been asked for the first of so many projects."""
    with emulator() as api:
        manifest = api.folder / "programme.jsonl"
        with manifest.open("w") as lines:
            for number in range(entries):
                lines.write(json.dumps({"kind": "project", "key": f"p{number}", "title": f"Project {number}"}) + "\n")
        environment = {**os.environ, "ENCORD_DOMAIN": api.url, "ENCORD_SSH_KEY_FILE": str(api.key_file)}
        command = [sys.executable, "-m", "encord_async", "apply", str(manifest), "--yes", "--no-progress"]
        before, began_s = api.stats()["requests"], time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                # One request lists what is there already; the others are creates.
                while api.stats()["requests"] < before + 2:
                    if process.poll() is not None:
                        raise RuntimeError(f"apply ended with {process.returncode} before anything was made")
                    time.sleep(LOOK_EVERY_S)
                return time.perf_counter() - began_s
            finally:
                process.kill()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two repeats, 1,000 entries: shows that it works")
    quick = parser.parse_args().quick
    repeats, applies, entries = (2, 1, 1_000) if quick else (REPEATS, APPLIES, ENTRIES)
    contenders: dict[str, Callable[[], float]] = {
        PYTHON: partial(process_s, ["-c", "pass"]),
        AIOHTTP: partial(import_s, AIOHTTP),
        OURS: partial(import_s, OURS),
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
    apply = APPLY.format(entries)
    wall[apply] = [first_create_s(entries) for _ in range(applies)]
    figures: dict[str, dict[str, Any]] = {
        who: {
            "ms": 1e3 * statistics.median(taken),
            "least_ms": 1e3 * min(taken),
            "most_ms": 1e3 * max(taken),
            # That of the emulator would be in it.
            "process_cpu_ms": 1e3 * statistics.median(cpu[who]) if who in contenders else None,
        }
        for who, taken in wall.items()
    }
    times = statistics.median(ours / its for ours, its in zip(wall[OURS], wall[AIOHTTP], strict=True))
    goals = [
        Goal(name=f"{OURS} / {AIOHTTP}", found=times, most=MOST_TIMES),
        Goal(name=f"{OURS}, ms", found=figures[OURS]["ms"], most=MOST_MS),
        Goal(name=f"{HELP}, ms", found=figures[HELP]["ms"], most=MOST_MS),
        Goal(name=f"{apply}, ms", found=figures[apply]["ms"], most=MOST_TO_CREATE_MS),
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
                "" if figure["process_cpu_ms"] is None else f"{figure['process_cpu_ms']:.0f}",
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
