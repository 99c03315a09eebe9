"""Creates that are applied late and listings that lag: the settling time covers them, past it nothing is guessed."""

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from tests.crash.conftest import LAG_S, SETTLE_S, Entry, Fate, Fates, Job, Life, World

TOO_LATE_S: Final = 3 * SETTLE_S
LISTINGS: Final = frozenset(
    {"v2/projects.GET", "projectwithuserrole.GET", "v2/datasets/list.GET", "projectapikey.GET", "project.GET"}
)

CATS: Final[Entry] = {"kind": "project", "key": "cats", "title": "Cats"}
KEY: Final[Entry] = {"kind": "project_api_key", "project": "@cats", "title": "ci", "scopes": ["label.read"]}
RAW: Final[Entry] = {"kind": "dataset", "key": "raw", "title": "Raw"}
MANIFESTS: Final[dict[str, Sequence[Entry]]] = {
    "project.POST": [CATS],
    "v2/datasets.POST": [RAW],
    "projectapikey.POST": [CATS, KEY],
}
LATE_FATES: Final = (Fate.APPLIED_LATE, Fate.BROKEN_BUT_APPLIED_LATE)


@pytest.fixture
def world() -> Iterator[World]:
    """Where what is late comes within the settling time."""
    made = World(lag_s=LAG_S)
    yield made
    made.close()


@pytest.fixture
def slow_world() -> Iterator[World]:
    """Where what is late comes when the settling time has long passed."""
    made = World(lag_s=TOO_LATE_S)
    yield made
    made.close()


@pytest.mark.parametrize("fate", LATE_FATES)
@pytest.mark.parametrize("call", MANIFESTS)
def test_late_within_the_settling_time(world: World, call: str, fate: Fate) -> None:
    """A create that is applied after its connection was lost is waited for and taken as made, in the same run."""
    job = Job(manifest=MANIFESTS[call])
    life = world.live(job, fates=lambda _, name: fate if name == call else None)
    life.assert_all_satisfied(len(job.manifest))
    assert world.calls.count(call) == 1
    assert set(world.service.made().values()) == {1}


@pytest.mark.parametrize("call", MANIFESTS)
def test_late_beyond_the_settling_time(slow_world: World, call: str) -> None:
    """A create without an answer that is not to be seen stays in doubt, is not sent again, and is found later."""
    job = Job(manifest=MANIFESTS[call])
    life = slow_world.live(job, fates=lambda _, name: Fate.APPLIED_LATE if name == call else None)
    assert life.statuses["in_doubt"] == 1
    assert slow_world.calls.count(call) == 1
    slow_world.pass_time(TOO_LATE_S)
    slow_world.live(job).assert_all_satisfied(len(job.manifest))
    assert call not in slow_world.calls
    assert set(slow_world.service.made().values()) == {1}


def test_lagging_listings_within_the_settling_time(world: World) -> None:
    """Where every listing lags and every reply to a create is cut, one run still makes one of each."""
    manifest = [RAW, {**CATS, "datasets": ["@raw"]}, KEY, {**CATS, "key": "cats-2"}, KEY]
    life = world.live(Job(manifest=manifest), fates=_cut_and_stale(""))
    life.assert_all_satisfied(len(manifest))
    assert world.service.made() == {
        ("v2/datasets.POST", "Raw"): 1,
        ("project.POST", "Cats"): 2,
        ("projectapikey.POST", "ci"): 2,
    }


def test_lagging_listings_beyond_the_settling_time(slow_world: World) -> None:
    """Where listings show less than the settling time promises, and that can be known, nothing is sent again."""
    # Made one after the other, so that the later ones show that listings lag.
    others: list[Entry] = [{"kind": "project", "key": f"p{n}", "title": f"P{n}"} for n in range(200)]
    job = Job(manifest=[CATS, *others])
    life: Life = slow_world.live(job, fates=_cut_and_stale("first"))
    assert life.statuses == {"created": 200, "in_doubt": 1}
    assert slow_world.calls.count("project.POST") == 201
    slow_world.pass_time(TOO_LATE_S)
    slow_world.live(job).assert_all_satisfied(len(job.manifest))
    assert set(slow_world.service.made().values()) == {1}


def _cut_and_stale(which: str) -> Fates:
    """Listings lag, and replies to creates are cut: to the *first* one, or to all."""
    seen: list[str] = []

    def fate(_: int, name: str) -> Fate | None:
        if name in LISTINGS:
            return Fate.STALE
        seen.append(name)
        return Fate.APPLIED_AND_CUT if name.endswith(".POST") and (not which or len(seen) == 1) else None

    return fate
