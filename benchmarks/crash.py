"""kill -9, again and again, over one job: what is there twice or missing in the end, ours and a careful SDK loop's.

The service is the emulator, a process of its own on 127.0.0.1, which drops 10 % of creates after committing them, cuts
5 % of replies, answers 5 % with 502, and has a rate limit. Its own log of commits is the witness. Three parts:
our run killed; the service killed under our run, with creates applied late and listings that lag; and a loop of
catch, sleep and try again around the official SDK, killed in the same way.

    python benchmarks/crash.py [--quick] [--projects N] [--kills N]
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from encord_async import EncordSession
from encord_async.manifest.policy_file import POLICY_FILE

# Behind the installed package, which is what is measured.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._common import SDK_PYTHON, SDK_RELEASE, report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks._mortal import MortalEmulator, kill

MADE_BY: Final = {"project": "project.POST", "dataset": "v2/datasets.POST"}
CREATES: Final = (*MADE_BY.values(), "projectapikey.POST")
Rule = dict[str, object]
DROPPED: Final[list[Rule]] = [
    {"query": call, "fault": "drop_after_commit", "probability": 0.1, "seed": 1} for call in CREATES
]
FAULTS: Final[list[Rule]] = [
    *DROPPED,
    {"query": "*", "fault": "truncate", "probability": 0.05, "seed": 2},
    {"query": "*", "fault": "status", "status": 502, "probability": 0.05, "seed": 3},
]
LATE: Final[list[Rule]] = [
    {"query": call, "fault": "late_commit", "seconds": 0.4, "probability": 0.03, "seed": 4} for call in CREATES
]
LAGS: Final[list[Rule]] = [
    *LATE,
    {"query": "projectwithuserrole.GET", "fault": "stale_read", "seconds": 0.4, "probability": 0.2, "seed": 5},
    {"query": "v2/projects.GET", "fault": "stale_read", "seconds": 0.4, "probability": 0.2, "seed": 6},
]
RATE_PER_S: Final = 600
BURST: Final = 60
SETTLE_S: Final = 1.0
CONCURRENCY: Final = 8
MOST_FINAL_RUNS: Final = 20

Entry = dict[str, Any]


# --- the service ---------------------------------------------------------------------------------------------------


@contextmanager
def _emulator(faults: Sequence[Mapping[str, object]]) -> Iterator[tuple[Path, MortalEmulator]]:
    with tempfile.TemporaryDirectory(prefix="encord-async-crash-") as name:
        emulator = MortalEmulator(Path(name), faults, "--rate-limit", str(RATE_PER_S), "--burst", str(BURST))
        emulator.start()
        try:
            yield Path(name), emulator
        finally:
            emulator.kill()


# --- the job -------------------------------------------------------------------------------------------------------


def _programme(projects: int) -> list[Entry]:
    """Datasets, and projects with one of them, two users and an API key each; every tenth shares its title."""
    datasets = max(1, projects // 20)
    entries: list[Entry] = [
        {
            "kind": "project",
            "key": f"p{number}",
            "title": f"Project {number // 2 if number % 20 == 1 else number}",
            "datasets": [f"@d{number % datasets}"],
            "users": [{"email": f"{name}{number}@example.com", "role": "annotator"} for name in ("ann", "bob")],
            "api_keys": [{"title": f"key {number}", "scopes": ["label.read"]}],
        }
        for number in range(projects)
    ]
    return entries + [{"kind": "dataset", "key": f"d{n}", "title": f"Own dataset {n}"} for n in range(datasets)]


def _wished(manifest: Sequence[Entry]) -> "Counter[tuple[str, str]]":
    wished: Counter[tuple[str, str]] = Counter()
    for entry in manifest:
        wished[MADE_BY[entry["kind"]], entry["title"]] += 1
        wished.update(("projectapikey.POST", key["title"]) for key in entry.get("api_keys", ()))
        wished.update(("member", user["email"]) for user in entry.get("users", ()))
        wished.update(("attached", entry["title"]) for _ in entry.get("datasets", ()))
    return wished


def _made(emulator: MortalEmulator) -> "Counter[tuple[str, str]]":
    """What was committed, by the emulator's log, and who and what the projects hold."""
    made = Counter((line["query"], line["title"]) for line in emulator.get("log") if line["query"] in CREATES)
    for project in emulator.get("state")["projects"]:
        made.update(("member", user["email"]) for user in project["users"] if user["role"] != 0)
        made.update(("attached", project["title"]) for _ in project["datasets"])
    return made


@dataclass(slots=True, kw_only=True)
class Part:
    """What happened in one part."""

    who: str
    projects: int
    wished: int = 0
    kills: int = 0
    restarts: int = 0
    runs: int = 0
    requests: int = 0
    duplicates: int = 0
    missing: int = 0
    elapsed_s: float = 0.0
    began_s: float = field(default_factory=time.perf_counter)

    def close(self, emulator: MortalEmulator, wished: "Counter[tuple[str, str]]") -> None:
        """Hold what was *wished* for against what was made."""
        made = _made(emulator)
        self.wished = wished.total()
        self.duplicates, self.missing = (made - wished).total(), (wished - made).total()
        self.requests = emulator.requests()
        self.elapsed_s = time.perf_counter() - self.began_s

    def row(self) -> list[object]:
        """A row of the table."""
        counts = (self.projects, self.wished, self.kills, self.restarts, self.runs, self.requests)
        return [self.who, *(f"{count:,}" for count in counts), self.duplicates, self.missing, f"{self.elapsed_s:.0f} s"]

    def figures(self) -> dict[str, object]:
        """The same for the line of JSON."""
        names = ("projects", "wished", "kills", "restarts", "runs", "requests", "duplicates", "missing")
        return {name: getattr(self, name) for name in names} | {"elapsed_s": round(self.elapsed_s, 1)}


# --- ours ----------------------------------------------------------------------------------------------------------


async def _one_run(url: str, key_file: str, manifest: str) -> int:
    """Provision once, as a process of its own. Returns the exit code: 0 if every entry is satisfied."""
    session = EncordSession.from_ssh_key(key_file, domain=url, concurrency=CONCURRENCY)
    async with session, session.provision(manifest, settle_s=SETTLE_S) as run:
        unsatisfied = [outcome.as_json() async for outcome in run if not outcome.status.satisfied]
    print(json.dumps([run.summary.as_json(), unsatisfied[:3]]))
    return 1 if unsatisfied else 0


def _start(emulator: MortalEmulator, manifest: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--one-run", emulator.url, str(emulator.key_file), str(manifest)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _written(folder: Path, manifest: Sequence[Entry]) -> Path:
    path = folder / "manifest.jsonl"
    # That some share their title is what the journal has to cope with.
    (folder / POLICY_FILE).write_text("twins = true\n")
    path.write_text("".join(json.dumps(entry) + "\n" for entry in manifest))
    return path


def _finish(part: Part, emulator: MortalEmulator, manifest: Path) -> None:
    """Run until all is satisfied: what is left in doubt is only sent again by a later run."""
    for _ in range(MOST_FINAL_RUNS):
        process = _start(emulator, manifest)
        told, errors = process.communicate()
        part.runs += 1
        if process.returncode == 0:
            return
    print(
        f"{part.who}: not at its end after {MOST_FINAL_RUNS} more runs: {told[-1000:]} {errors[-1000:]}",
        file=sys.stderr,
    )


def _killed_while(
    emulator: MortalEmulator, process: "subprocess.Popen[str]", writes: int, chance: random.Random
) -> bool:
    """Kill *process* after so many writes, or at an early age now and then; False if it ended before."""
    if chance.random() < 0.1:
        time.sleep(chance.uniform(0.1, 0.8))
    else:
        until = emulator.writes() + writes
        while emulator.writes() < until and process.poll() is None:
            time.sleep(0.003)
    ended = process.poll() is not None
    kill(process)
    return not ended


def _ours_killed(projects: int, kills: int) -> Part:
    """Our run killed *kills* times, spread over the whole job."""
    part, manifest, chance = Part(who="encord-async, killed", projects=projects), _programme(projects), random.Random(1)
    wished = _wished(manifest)
    # Each project is three writes; some of them are lost and sent again.
    each = max(2, int(len(manifest) * 3 / kills))
    with _emulator(FAULTS) as (folder, emulator):
        path = _written(folder, manifest)
        while part.kills < kills:
            part.runs += 1
            if not _killed_while(emulator, _start(emulator, path), chance.randint(1, 2 * each), chance):
                break
            part.kills += 1
        _finish(part, emulator, path)
        part.close(emulator, wished)
    return part


def _service_killed(projects: int, restarts: int) -> Part:
    """The service killed *restarts* times under our run, which goes on."""
    part = Part(who="encord-async, service killed", projects=projects)
    manifest = _programme(projects)
    with _emulator([*FAULTS, *LAGS]) as (folder, emulator):
        path = _written(folder, manifest)
        process = _start(emulator, path)
        part.runs += 1
        while part.restarts < restarts and process.poll() is None:
            until = emulator.writes() + len(manifest) * 2 // restarts
            while emulator.writes() < until and process.poll() is None:
                time.sleep(0.01)
            emulator.restart()
            part.restarts += 1
        process.communicate()
        _finish(part, emulator, path)
        part.close(emulator, _wished(manifest))
    return part


# --- the peer ------------------------------------------------------------------------------------------------------


def _sdk_killed(projects: int, kills: int) -> Part:
    """The careful loop around the SDK, killed *kills* times."""
    part, chance = Part(who=f"loop around encord {SDK_RELEASE}, killed", projects=projects), random.Random(1)
    with _emulator(FAULTS) as (folder, emulator):
        dataset = emulator.get("state")["datasets"][0]["dataset_hash"]
        arguments = [emulator.url, str(emulator.key_file), str(folder / "notes"), str(projects), dataset]
        command = [str(SDK_PYTHON), "-I", str(Path(__file__).with_name("_sdk_loop.py")), *arguments]
        while True:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            part.runs += 1
            if part.kills == kills:
                _, errors = process.communicate()
                assert process.returncode == 0, errors[-2000:]
                break
            part.kills += _killed_while(emulator, process, chance.randint(1, 2 * projects // kills), chance)
        wished: Counter[tuple[str, str]] = Counter()
        for number in range(projects):
            wished.update([("project.POST", f"Project {number}"), ("attached", f"Project {number}")])
        part.close(emulator, wished)
        # A project made twice is one duplicate, whatever it holds.
        part.duplicates //= 2
        part.wished //= 2
    return part


# --- all of it -----------------------------------------------------------------------------------------------------


def main() -> int:
    """Run the parts and report; 1 if anything of ours is there twice or missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--projects", type=int, default=2000, help="of our killed run (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="of our run (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="60 projects and 6 kills")
    parser.add_argument("--one-run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_run:
        return asyncio.run(_one_run(*arguments.one_run))
    projects, kills = (60, 6) if arguments.quick else (arguments.projects, arguments.kills)
    parts = [
        _ours_killed(projects, kills),
        _service_killed(60 if arguments.quick else 600, 2 if arguments.quick else 10),
    ]
    notes = [
        f"{CONCURRENCY} in flight, {RATE_PER_S} requests/s, settling time {SETTLE_S:g} s; wishes count memberships too"
    ]
    if SDK_PYTHON.exists():
        parts.append(_sdk_killed(30 if arguments.quick else 300, 3 if arguments.quick else 30))
    else:
        notes.append(f"missing: encord {SDK_RELEASE}, {SDK_PYTHON} is not there; `make sdks` makes it")
    aims = [
        Goal(name=f"{part.who}: {what}", found=count, most=0)
        for part in parts[:2]
        for what, count in (("made twice", part.duplicates), ("missing", part.missing))
    ]
    report(
        "crash",
        title="kill -9 over one job: what is there twice, and what is missing",
        header=[
            "who",
            "projects",
            "wishes",
            "kills",
            "restarts",
            "runs",
            "requests",
            "duplicates",
            "missing",
            "elapsed",
        ],
        rows=[part.row() for part in parts],
        figures={**{part.who: part.figures() for part in parts}, "goals": as_figures(aims)},
        packages=["aiohttp", "anyio", "sqlalchemy"],
        notes=[*notes, *verdicts(aims)],
        quick=arguments.quick,
    )
    return 1 if any(part.duplicates or part.missing for part in parts[:2]) else 0


if __name__ == "__main__":
    sys.exit(main())
