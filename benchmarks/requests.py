"""Requests that a project costs, with 3 datasets and 10 users in 2 roles: 500 of them, ours and the official SDK's.

And what 60,000 memberships of 600 projects cost, one an entry, in whichever order they stand in the file.

Counted by the emulator. What the SDK reads over REST, which the emulator may not serve, is counted in the SDK's own
process instead, and the table says so.

    python benchmarks/requests.py [--quick]
"""

import argparse
import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import SDK_PYTHON, SDK_RELEASE, report
from benchmarks._goals import Goal, as_figures, verdicts
from benchmarks._provisioning import (
    CONCURRENCY,
    DATASETS_EACH,
    USERS_EACH,
    Api,
    Done,
    emulator,
    provision,
    sdk_provision,
)
from encord_async import EncordSession

PROJECTS: Final = 500
MOST_PER_PROJECT: Final = 3.0
MOST_OF_FEWEST: Final = 1.1
ORDERED_PROJECTS, PEOPLE = 600, 100
ORDERS: Final = ("by project", "by person", "shuffled", "projects last")
SDK_WAYS: Final = {
    "stepwise": "create_project, get_project, add_datasets, add_users twice",
    "frugal": "the same with the datasets in create_project",
    "deprecated": "the same with get_project_client, deprecated since 0.1.98",
}


def main() -> None:
    """Count and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 projects instead of 500")
    quick = parser.parse_args().quick
    projects = 20 if quick else PROJECTS
    runs: dict[str, Done] = {}
    for journal in (False, True):
        with emulator() as api:
            runs[f"encord-async, {'with' if journal else 'without'} a journal"] = provision(
                api, projects, journal=journal
            )
    with emulator() as api:
        half = provision(api, projects // 2, journal=False)
    ours = runs["encord-async, without a journal"]
    slope = (ours.requests - half.requests) / (projects - projects // 2)
    missing = []
    if SDK_PYTHON.exists():
        for way, meaning in SDK_WAYS.items():
            with emulator() as api:
                runs[f"encord {SDK_RELEASE}: {meaning}"] = sdk_provision(
                    api, projects, way=way, threads=CONCURRENCY, latency_s=0.0
                )
    else:
        missing.append(f"encord {SDK_RELEASE}: {SDK_PYTHON} is not there; `make sdks` makes it")
    goals = [Goal(name="requests for one more project", found=slope, most=MOST_PER_PROJECT)]
    of_order = {order: ordered(order, *((20, 30) if quick else (ORDERED_PROJECTS, PEOPLE))) for order in ORDERS}
    goals += [
        Goal(name=f"one membership an entry, {order}: requests / fewest", found=found, most=MOST_OF_FEWEST)
        for order, found in of_order.items()
    ]
    report(
        "requests",
        title=f"{projects} projects, each with {DATASETS_EACH} datasets and {USERS_EACH} users in 2 roles",
        header=("who", "requests", "a project", "of them not on the emulator", "connections", "which"),
        rows=[_row(who, done, projects) for who, done in runs.items()],
        notes=[
            "Once a run, whatever its length, the account's projects are listed to adopt what is there: "
            f"{ours.requests - slope * projects:.0f} request on top ({ours.requests / projects:.3f} a project).",
            *missing,
            *verdicts(goals),
        ],
        figures={
            "runs": [
                {"who": who, "requests": done.requests, "stood_in": done.stood_in, "by_query": done.by_query}
                for who, done in runs.items()
            ],
            "goals": as_figures(goals),
        },
        repeats=1,
        quick=quick,
    )


def ordered(order: str, projects: int, people: int) -> float:
    """How many times the fewest requests it takes to put all of *people* into all of *projects*.

    The fewest are a listing, and for each project the one that makes it and one for its people.
    """
    pairs = [(project, person) for person in range(people) for project in range(projects)]
    if order == "by project":
        pairs.sort()
    elif order == "shuffled":
        random.Random(1).shuffle(pairs)
    entries: list[dict[str, object]] = [
        {"kind": "project_users", "project": f"@p{project}", "emails": [f"{person}@example.com"], "role": "reviewer"}
        for project, person in pairs
    ]
    made: list[dict[str, object]] = [
        {"kind": "project", "key": f"p{project}", "title": f"Project {project}"} for project in range(projects)
    ]
    entries = [*made, *entries] if order != "projects last" else [*entries, *made]

    async def run(api: Api, manifest: Path) -> None:
        async with (
            EncordSession.from_ssh_key(api.key_file, domain=api.url, concurrency=CONCURRENCY) as session,
            session.provision(manifest, journal=None) as run,
        ):
            ended = [outcome async for outcome in run]
        assert len(ended) == len(entries)
        assert not any(outcome.error for outcome in ended)

    with emulator() as api:
        manifest = api.folder / "manifest.jsonl"
        manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        asyncio.run(run(api, manifest))
        requests = api.stats()["requests"]
    return float(requests) / (1 + 2 * projects)


def _row(who: str, done: Done, projects: int) -> tuple[str, ...]:
    which = ", ".join(f"{count} {name}" for name, count in sorted(done.by_query.items()))
    return (
        who,
        f"{done.requests:,}",
        f"{done.requests / projects:.3f}",
        f"{done.stood_in:,}",
        f"{done.connections:,}",
        which,
    )


if __name__ == "__main__":
    main()
