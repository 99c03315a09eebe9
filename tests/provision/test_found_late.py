"""What a create in doubt becomes when it is looked for by a run that is other than the one that sent it."""

from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault
from encord_async.engine.outcome import Status
from encord_async.errors import ConflictError
from encord_async.protocol.catalogue import APIKeyScope
from tests.provision.conftest import Dataset, Service, dataset, project, provision
from tests.provision.test_doubt import LISTING, World, open_world, rule
from tests.waiting import PATIENCE_S

DATASETS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1, 6)]
UNSEEN = rule(Fault.STALE_READ, LISTING, seconds=3600)
"""The look with which a run begins does not show it; a later one does."""


async def in_doubt(world: World, journal: Path, fault: Fault, **entry: Any) -> None:
    """Let a run leave the project *entry* in doubt, and the next one not see it at once."""
    world.emulator.set_faults([rule(fault), rule(Fault.STALE_READ, LISTING, seconds=3600, times=None)])
    (outcome,) = await world.run([project(key="c", **entry)], journal, settle_s=0.0, max_batch=2)
    assert outcome.status is Status.IN_DOUBT
    world.emulator.set_faults([UNSEEN])


@pytest.mark.parametrize("max_batch", [1, 3, 1000])
async def test_batches_of_another_size(max_batch: int, tmp_path: Path) -> None:
    """A project that was sent with a part of its datasets has all of them in the end, however large batches are now."""
    async with open_world() as world:
        await in_doubt(world, tmp_path / "j", Fault.DROP_AFTER_COMMIT, datasets=DATASETS)
        wish = project(key="c", datasets=DATASETS)
        (outcome,) = await world.run([wish], tmp_path / "j", settle_s=PATIENCE_S, max_batch=max_batch)
        assert (outcome.status, world.sent()) == (Status.CREATED, 1)
        ((_, contents),) = world.contents().items()
        assert sorted(contents) == DATASETS
        requests = world.emulator.stats()["requests"]
        (outcome,) = await world.run([wish], tmp_path / "j")
        assert (outcome.status, world.emulator.stats()["requests"]) == (Status.UNCHANGED, requests)


async def test_datasets_that_came_to_the_entry_since(tmp_path: Path) -> None:
    """So has one whose entry names more datasets than when it was sent."""
    async with open_world() as world:
        await in_doubt(world, tmp_path / "j", Fault.DROP_AFTER_COMMIT, datasets=DATASETS[:1])
        (outcome,) = await world.run([project(key="c", datasets=DATASETS[:3])], tmp_path / "j", settle_s=PATIENCE_S)
        assert outcome.status is Status.CREATED
        assert world.contents() == {outcome.hash: DATASETS[:3]}


async def test_title_that_was_changed_since(tmp_path: Path) -> None:
    """What is found late under its old title is not what the entry wants now, and it says so, in every run."""
    async with open_world() as world:
        await in_doubt(world, tmp_path / "j", Fault.DROP_AFTER_COMMIT, title="Cats")
        for _ in range(2):
            (outcome,) = await world.run([project("Dogs", key="c")], tmp_path / "j", settle_s=PATIENCE_S)
            assert outcome.status is Status.FAILED
            assert isinstance(outcome.error, ConflictError)
            assert outcome.error.code == "CHANGED"
        assert world.made() == {"Cats": 1}


@pytest.mark.parametrize("existing", ["adopt", "fail"])
async def test_new_title_that_is_there_already(existing: str, tmp_path: Path) -> None:
    """An entry whose create did not happen, and that has a new title since, is judged anew under that title."""
    async with open_world() as world:
        async with world.session() as session:
            there = await session.create_project("Dogs")
        await in_doubt(world, tmp_path / "j", Fault.DROP_BEFORE, title="Cats")
        (outcome,) = await world.run([project("Dogs", key="c")], tmp_path / "j", settle_s=0.0, existing=existing)
        assert (outcome.status, outcome.hash) == {
            "adopt": (Status.ADOPTED, there),
            "fail": (Status.FAILED, None),
        }[existing]
        assert world.made() == {"Dogs": 1}


async def test_keys_of_a_project_that_was_found_late(tmp_path: Path) -> None:
    """With a journal from before the end of a run: a project that is looked up has keys that are looked at as well."""
    async with open_world() as world:
        await in_doubt(world, tmp_path / "j", Fault.DROP_BEFORE)
        async with world.session() as session:
            made = await session.create_project("Cats")
            await session.create_project_api_key(made, "ci", [APIKeyScope.LABEL_READ])
        key = {"kind": "project_api_key", "project": "@c", "title": "ci", "scopes": ["label.read"]}
        outcomes = await world.run([project(key="c"), key], tmp_path / "j", settle_s=PATIENCE_S)
        assert [outcome.status for outcome in outcomes] == [Status.CREATED, Status.ADOPTED]
        assert outcomes[0].hash == made
        assert world.made("projectapikey.POST") == {"ci": 1}


# --- where a dataset keeps its data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["rest", "envelope"])
@pytest.mark.parametrize("is_said", [True, False])
@pytest.mark.parametrize(
    ("there", "wish", "status"),
    [
        ({"type": 0}, {"storage": "aws"}, "failed"),
        ({"type": 1}, {}, "failed"),
        ({"type": 0}, {"create_backing_folder": True}, "failed"),
        ({"type": 1}, {"storage": "aws"}, "adopted"),
        ({"type": 0, "folder": "f"}, {"create_backing_folder": True}, "adopted"),
        ({"type": 0, "folder": "f"}, {}, "adopted"),
    ],
)
async def test_a_dataset_kept_elsewhere_is_not_adopted(
    service: Service, there: dict[str, Any], wish: dict[str, Any], status: str, is_said: bool, api: str
) -> None:
    """What keeps its data elsewhere than the entry asks, or lacks the folder it asks for, is an error that says so."""
    service.datasets["d"] = Dataset("Raw", is_said=is_said, **there)
    done = await provision(service, [dataset("Raw", **wish)], dataset_api=api)
    assert done.statuses == [status]
    if status == "failed":
        error = done.outcomes[0].error
        assert isinstance(error, ConflictError)
        assert error.code == "STORAGE_KEPT"
    assert list(service.datasets) == ["d"]


@pytest.mark.usefixtures("twins_pass")
async def test_the_namesake_that_is_kept_as_wished_is_adopted(service: Service) -> None:
    """Of two datasets of a title the one that keeps its data as asked is meant."""
    service.datasets |= {"cord": Dataset("Raw"), "aws": Dataset("Raw", type=1)}
    done = await provision(service, [dataset("Raw", storage="aws"), dataset("Raw")])
    assert [outcome.hash for outcome in done.outcomes] == ["aws", "cord"]
    assert service.names["dataset.GET"] == 0
