"""Peak memory of a run over a long generated manifest: a million memberships against a hundred thousand.

Each run is a process of its own against an emulator of its own over loopback. What is measured is the peak of
resident memory of the process that provisions, with Python and all imports in it.

    python benchmarks/memory.py [--quick]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks._provisioning import CONCURRENCY, emulator, peak_rss_bytes
from encord_async import EncordSession

PROJECTS: Final = 1000
LONG, SHORT = 1_000_000, 100_000
MAX_RATIO: Final = 1.1
MAX_BYTES: Final = 200_000_000
SLOW_PAUSE_S: Final = 0.05
SLOW_EVERY: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is varied."""

    name: str
    failing: bool = False
    slow: bool = False
    journal: bool = False


CASES: Final = (
    Case(name="no journal"),
    Case(name="journal", journal=True),
    Case(name="slow consumer", slow=True),
    Case(name="every entry fails", failing=True),
    Case(name="every entry fails, journal", failing=True, journal=True),
)


class Entries:
    """The manifest: projects, each followed by its memberships, one an entry; made as it is asked for."""

    def __init__(self, memberships: int, *, failing: bool) -> None:
        self._each = memberships // PROJECTS
        self._failing = failing
        self.given = 0

    def __iter__(self) -> Iterator[dict[str, object]]:
        for number in range(PROJECTS):
            project = f"nowhere-{number}" if self._failing else f"@project-{number}"
            if not self._failing:
                self.given += 1
                yield {"kind": "project", "key": f"project-{number}", "title": f"Project {number}"}
            for user in range(self._each):
                self.given += 1
                yield {
                    "kind": "project_users",
                    "project": project,
                    "emails": [f"annotator-{user}@example.com"],
                    "role": "annotator",
                }


async def provision(case: Case, memberships: int, url: str, folder: Path) -> dict[str, Any]:
    """Run one case in this process and say what it took."""
    imported_bytes = peak_rss_bytes()
    entries = Entries(memberships, failing=case.failing)
    counts: Counter[str] = Counter()
    ended = most_ahead = 0
    async with EncordSession.from_ssh_key(folder / "key", domain=url, concurrency=CONCURRENCY) as session:
        began_s = time.perf_counter()
        async with session.provision(entries, journal=folder / "run.journal" if case.journal else None) as run:
            async for outcome in run:
                ended += 1
                counts[outcome.status.value] += 1
                most_ahead = max(most_ahead, entries.given - ended)
                if case.slow and ended % SLOW_EVERY == 0:
                    await asyncio.sleep(SLOW_PAUSE_S)
        elapsed_s = time.perf_counter() - began_s
    expected = {"failed": memberships} if case.failing else {"created": PROJECTS, "updated": memberships}
    assert counts == expected, counts
    return {
        "peak_bytes": peak_rss_bytes(),
        "imported_bytes": imported_bytes,
        "elapsed_s": elapsed_s,
        "cpu_s": time.process_time(),
        "requests": run.summary.requests,
        "most_ahead": most_ahead,
    }


def measure(case: Case, memberships: int) -> dict[str, Any]:
    """Run one case in a process of its own."""
    with emulator() as api:
        command = [sys.executable, __file__, "--child", case.name, str(memberships), api.url, str(api.folder)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def main() -> None:
    """Measure every case at both lengths and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the lengths: shows that it works, no figures")
    parser.add_argument("--child", nargs=4, metavar=("CASE", "MEMBERSHIPS", "URL", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, memberships, url, folder = arguments.child
        case = next(case for case in CASES if case.name == name)
        print(json.dumps(asyncio.run(provision(case, int(memberships), url, Path(folder)))))
        return
    short, long = (SHORT // 10, LONG // 10) if arguments.quick else (SHORT, LONG)
    rows, goals, figures = [], [], []
    for case in CASES:
        at_short, at_long = measure(case, short), measure(case, long)
        ratio = at_long["peak_bytes"] / at_short["peak_bytes"]
        figures.append({"case": case.name, "short": at_short, "long": at_long, "ratio": ratio})
        goals.append(Goal(name=f"{case.name}: peak, long / short", found=ratio, most=MAX_RATIO))
        peak_mb = at_long["peak_bytes"] / 1e6
        goals.append(Goal(name=f"{case.name}: peak of the long one, MB", found=peak_mb, most=MAX_BYTES / 1e6))
        for memberships, found in ((short, at_short), (long, at_long)):
            rows.append(_row(case, memberships, found, ratio if memberships == long else None))
    report(
        "memory",
        title=f"Peak resident memory, {PROJECTS:,} projects and that many memberships, one an entry",
        header=("case", "memberships", "peak MB", "ratio", "at start MB", "s", "entries/s", "requests", "read ahead"),
        rows=rows,
        notes=verdicts(goals),
        figures={"runs": figures, "goals": as_figures(goals)},
        packages=("aiohttp", "anyio", "pydantic", "sqlalchemy"),
        quick=arguments.quick,
    )


def _row(case: Case, memberships: int, found: dict[str, Any], ratio: float | None) -> tuple[str, ...]:
    return (
        case.name,
        f"{memberships:,}",
        f"{found['peak_bytes'] / 1e6:.1f}",
        "" if ratio is None else f"{ratio:.3f}",
        f"{found['imported_bytes'] / 1e6:.1f}",
        f"{found['elapsed_s']:.1f}",
        f"{memberships / found['elapsed_s']:,.0f}",
        f"{found['requests']:,}",
        f"{found['most_ahead']:,}",
    )


if __name__ == "__main__":
    main()
