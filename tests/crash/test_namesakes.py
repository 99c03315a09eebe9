"""Entries that share title, description and, for keys, scopes, while much goes wrong: each ends with one of its own."""

import random
from typing import Final

import pytest

from encord_async.engine.options import Options
from encord_async.journal.record import State
from tests.crash.conftest import SETTLE_S, Entry, Fate, Job, World, of_numbers
from tests.thorough import times

# Three runs of each job fail and die by chance, and many jobs are tried.
pytestmark = pytest.mark.slow

KEY: Final = {"title": "ci", "scopes": ["label.read"]}
MANIFEST: Final[list[Entry]] = [
    *({"kind": "dataset", "key": f"d{number}", "title": "Raw"} for number in range(4)),
    *({"kind": "project", "key": f"p{number}", "title": "Cats", "datasets": [f"@d{number}"]} for number in range(3)),
    *({"kind": "project", "key": f"e{number}", "title": "Cats"} for number in range(3)),
    *({"kind": "project_api_key", "project": "@p0", **KEY} for _ in range(3)),
]


@pytest.mark.parametrize("seed", range(times(20, of=60)))
def test_many_of_one_name(seed: int) -> None:
    """Whatever becomes of a third of the requests of three runs, the fourth leaves one of each and no more."""
    chance, world = random.Random(seed), World()
    job = Job(manifest=MANIFEST, options=Options(settle_s=SETTLE_S, lookahead=chance.choice([1, 10_000])))
    for _ in range(3):
        fates = {number: chance.choice([*Fate]) for number in range(60) if chance.random() < 0.3}
        world.live(job, fates=of_numbers(fates), dies_at=chance.choice([None, chance.randint(1, 150)]))
        _assert_each_has_its_own(job)
    world.live(job).assert_all_satisfied(len(MANIFEST))
    _assert_each_has_its_own(job)
    assert world.service.made() == {
        ("v2/datasets.POST", "Raw"): 4,
        ("project.POST", "Cats"): 6,
        ("projectapikey.POST", "ci"): 3,
    }
    cats = [project for project in world.service.state()["projects"] if project["title"] == "Cats"]
    assert sorted(len(project["datasets"]) for project in cats) == [0, 0, 0, 1, 1, 1]
    assert len({dataset for project in cats for dataset in project["datasets"]}) == 3
    world.close()


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.BROKEN, Fate.UNSENT, Fate.BROKEN_BUT_APPLIED_LATE])
@pytest.mark.parametrize("number", range(8))
def test_a_look_up_while_a_namesake_sets_out(number: int, fate: Fate) -> None:
    """What a namesake is just making is not taken for the result of a create in doubt."""
    # The listing for the project comes between those for the datasets, which thereby set out at different times.
    raw, world = {"kind": "dataset", "title": "Raw"}, World()
    job = Job(manifest=[raw, {"kind": "project", "title": "Dogs"}, raw, raw])
    for fates in ({number: fate}, {}):
        world.live(job, fates=of_numbers(fates))
        _assert_each_has_its_own(job)
    assert world.service.made() == {("v2/datasets.POST", "Raw"): 3}
    world.close()


def _assert_each_has_its_own(job: Job) -> None:
    done = [record for record in job.disk.records.values() if record.state is State.DONE and record.kind.creates]
    assert len({record.hash for record in done}) == len(done)
