"""A million memberships of a thousand projects, a project after the other in turn, by the command line.

From a file of one entry a membership: `apply`, the same once more, when all is done, `plan`, and `verify`. Each is a
process of its own against one emulator over loopback; its peak of resident memory is that of all that it has imported
too, and its time goes from start to end.

    python benchmarks/million.py [--quick]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks._provisioning import Api, emulator

PROJECTS: Final = 1_000
MEMBERSHIPS: Final = 1_000_000
MOST_A_REQUEST: Final = 1_000
MOST_BYTES: Final = 200_000_000
MOST_OF_FEWEST: Final = 1.1
MOST_AGAIN_S: Final = 25.0
_KIB: Final = 1 if sys.platform == "darwin" else 1024
"""What the system counts peaks in, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one command took."""

    name: str
    elapsed_s: float
    cpu_s: float
    peak_bytes: int
    requests: int


def write(manifest: Path, projects: int, memberships: int) -> None:
    """The file: projects first, then a person in each of them, then the next person."""
    with manifest.open("w") as lines:
        for number in range(projects):
            entry: dict[str, object] = {"kind": "project", "key": f"p{number}", "title": f"Project {number}"}
            lines.write(json.dumps(entry) + "\n")
        for number in range(memberships):
            person, project = divmod(number, projects)
            entry = {"kind": "project_users", "project": f"@p{project}", "emails": [f"person{person}@example.com"]}
            lines.write(json.dumps({**entry, "role": "annotator"}) + "\n")


def run(api: Api, name: str, arguments: list[str]) -> Took:
    """Run one command to its end, which has to be a good one."""
    environment = {**os.environ, "ENCORD_DOMAIN": api.url, "ENCORD_SSH_KEY_FILE": str(api.key_file)}
    before, began_s = api.stats()["requests"], time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "encord_async", *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    return Took(
        name=name,
        elapsed_s=time.perf_counter() - began_s,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_bytes=used.ru_maxrss * _KIB,
        requests=api.stats()["requests"] - before,
    )


def main() -> None:
    """Run all four and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a hundredth of it: shows that it works, no figures")
    quick = parser.parse_args().quick
    projects, memberships = (PROJECTS // 10, MEMBERSHIPS // 100) if quick else (PROJECTS, MEMBERSHIPS)
    with emulator() as api:
        manifest = api.folder / "programme.jsonl"
        write(manifest, projects, memberships)
        file, apply = str(manifest), ["apply", "--yes", "--no-progress"]
        first = run(api, "apply", [*apply, file])
        again = run(api, "apply once more", [*apply, file])
        others = [run(api, name, [name, file]) for name in ("plan", "verify")]
    took = [first, again, *others]
    # One to list what is there, one a project, and so many for its people.
    fewest = 1 + projects * (1 + -(-memberships // projects // MOST_A_REQUEST))
    goals = [
        Goal(name="requests of apply / the fewest", found=first.requests / fewest, most=MOST_OF_FEWEST),
        *(Goal(name=f"{one.name}: peak MB", found=one.peak_bytes / 1e6, most=MOST_BYTES / 1e6) for one in took),
        Goal(name=f"{again.name}: s", found=again.elapsed_s, most=MOST_AGAIN_S),
    ]
    report(
        "million",
        title=f"{memberships:,} memberships of {projects:,} projects, one an entry, a project after the other in turn",
        header=("command", "s", "CPU s", "peak MB", "requests"),
        rows=[
            (
                one.name,
                f"{one.elapsed_s:.1f}",
                f"{one.cpu_s:.1f}",
                f"{one.peak_bytes / 1e6:.0f}",
                f"{one.requests:,}",
            )
            for one in took
        ],
        notes=[f"the fewest requests are {fewest:,}", *verdicts(goals)],
        figures={
            "runs": [
                {
                    "command": one.name,
                    "elapsed_s": one.elapsed_s,
                    "cpu_s": one.cpu_s,
                    "peak_bytes": one.peak_bytes,
                    "requests": one.requests,
                }
                for one in took
            ],
            "goals": as_figures(goals),
        },
        packages=("aiohttp", "anyio", "pydantic", "sqlalchemy"),
        quick=quick,
    )


if __name__ == "__main__":
    main()
