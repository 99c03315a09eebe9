"""Two manifests in one account that share keys, titles and descriptions, run at the same time: each gets its own."""

import random
from collections import Counter
from typing import Final

import pytest

from encord_async.engine.account import Existing
from encord_async.engine.options import Options
from tests.crash.conftest import ME, SETTLE_S, Disk, Entry, Fate, Job, World, of_numbers
from tests.thorough import times

OWNERS: Final = ("ann@example.com", "bob@example.com")


def manifest_of(owner: str) -> list[Entry]:
    """What *owner* wishes for; only the users and API keys tell whose it is."""
    users, key = [{"email": owner, "role": "admin"}], {"title": owner, "scopes": ["label.read"]}
    cats = {"kind": "project", "title": "Cats", "description": "shared", "users": users, "api_keys": [key]}
    birds = {"kind": "project", "key": "birds", "title": "Birds", "datasets": ["@raw"], "users": users}
    return [
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {**cats, "key": "cats", "datasets": ["@raw"]},
        {**cats, "key": "more-cats"},
        birds,
        {"kind": "project_api_key", "project": "@birds", "title": owner, "scopes": ["label.read"]},
    ]


@pytest.mark.parametrize("seed", range(times(10, of=25)))
def test_neither_takes_the_others(seed: int) -> None:
    """With marks, faults and deaths on both sides, each run ends with projects and datasets of its own."""
    chance, world = random.Random(seed), World()
    options = Options(settle_s=SETTLE_S, stamp=True, existing=Existing.CREATE)
    jobs = [Job(manifest=manifest_of(owner), disk=Disk(owner.encode()), options=options) for owner in OWNERS]
    for _ in range(3):
        fates = {chance.randrange(40): chance.choice([*Fate]) for _ in range(4)}
        dying_at = [chance.choice([None, chance.randint(1, 80)]) for _ in jobs]
        world.live_together(jobs, fates=of_numbers(fates), dying_at=dying_at)
    for life in world.live_together(jobs, dying_at=[None, None]):
        life.assert_all_satisfied(5)
    _assert_each_has_its_own(world)
    world.close()


def _assert_each_has_its_own(world: World) -> None:
    state = world.service.state()
    ours = [project for project in state["projects"] if project["title"] != "Dogs"]
    assert Counter(project["title"] for project in ours) == {"Cats": 4, "Birds": 2}
    assert Counter(dataset["title"] for dataset in state["datasets"]) == {"Old": 1, "Raw": 2}
    datasets: dict[str, set[str]] = {}
    for project in ours:
        (owner,) = {user["email"] for user in project["users"]} - {ME}
        assert [key["title"] for key in project["api_keys"]] == [owner]
        datasets.setdefault(owner, set()).update(project["datasets"])
    first, second = (datasets[owner] for owner in OWNERS)
    assert len(first) == len(second) == 1
    assert first != second
