"""An entry that was edited, and whose thing was changed to the same in the app: a run looks before it fails."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.journal.journal import Journal
from encord_async.plan import Action, Verb
from tests.cli.conftest import write_manifest
from tests.direct import DirectEmulator
from tests.provision.conftest import Entry
from tests.provision.world import STRUCTURE, World

pytestmark = pytest.mark.usefixtures("empty_folder")

NAMED: Final = [
    pytest.param("project", "title", "projects", id="project"),
    pytest.param("dataset", "title", "datasets", id="dataset"),
    pytest.param("ontology", "title", "ontologies", id="ontology"),
    pytest.param("group", "name", "groups", id="group"),
    pytest.param("folder", "name", "folders", id="folder"),
]
READS: Final = {"project": "project.GET", "dataset": "dataset.GET"}
MANIFEST: Final = Path("m.jsonl")


def one(kind: str, field: str, title: str, description: str = "") -> Entry:
    """An entry of *kind*."""
    return {"kind": kind, "key": "it", field: title, "description": description}


def change_in_app(world: World, table: str, **values: str) -> None:
    """Let all rows of *table* have *values*, as people do in the app."""
    assert isinstance(world.emulator, DirectEmulator)
    store = world.emulator.store
    with store.transaction():
        for name, value in values.items():
            store._db.execute(f"UPDATE {table} SET {name} = ?", (value,))  # noqa: S608 - names of this file


async def plan(world: World) -> list[Action]:
    """What a run would do."""
    found: list[Action] = []
    await world.session.plan(MANIFEST, on_action=found.append)
    return found


async def apply(world: World, **options: Any) -> list[tuple[str, str | None]]:
    """How each entry ends, and what is said of those that fail."""
    outcomes = await world.session.provision(MANIFEST, settle_s=0.2, **options).results()
    return [(outcome.status.value, outcome.error.message if outcome.error else None) for outcome in outcomes]


async def failed() -> list[str | None]:
    """What the journal says is wrong."""
    async with Journal(f"{MANIFEST}.journal", None) as journal:
        return [record.code for record in await journal.failed(most=10)]


@pytest.mark.parametrize("stamp", [False, True])
@pytest.mark.parametrize(("kind", "field", "table"), NAMED)
async def test_what_was_changed_in_both_places(world: World, kind: str, field: str, table: str, *, stamp: bool) -> None:
    """It fails until the account has what the manifest wants; then it is unchanged, and is not looked at again."""
    write_manifest(MANIFEST, one(kind, field, "Cats", "All"))
    await apply(world, stamp=stamp)
    write_manifest(MANIFEST, one(kind, field, "Felines", "Some"))
    [refused] = await plan(world)
    [(status, why)] = await apply(world)
    assert (refused.verb, refused.reason, status) == (Verb.REFUSE, why, "failed")
    assert f"with another {field} and description" in (why or "")
    assert await failed() == ["CHANGED"]
    change_in_app(world, table, **{field: "Felines"})
    [refused] = await plan(world)
    [(status, why)] = await apply(world)
    assert (refused.verb, refused.reason, status) == (Verb.REFUSE, why, "failed")
    assert "with another description" in (why or "")
    change_in_app(world, table, description="Some")
    assert await plan(world) == []
    assert await apply(world) == [("unchanged", None)]
    assert await failed() == []
    assert (await world.session.verify(MANIFEST)).differences == 0
    before = world.emulator.stats()["requests"]
    assert await plan(world) == []
    assert await apply(world) == [("unchanged", None)]
    assert world.emulator.stats()["requests"] == before


async def test_a_structure_that_was_drawn_in_the_app(world: World) -> None:
    """So it is with the structure of an ontology, without `update_ontologies`."""
    write_manifest(MANIFEST, one("ontology", "title", "Cats") | {"structure": {"objects": [], "classifications": []}})
    await apply(world)
    write_manifest(MANIFEST, one("ontology", "title", "Cats") | {"structure": STRUCTURE})
    assert [status for status, _ in await apply(world)] == ["failed"]
    change_in_app(world, "ontologies", editor=json.dumps(STRUCTURE))
    assert await plan(world) == []
    assert await apply(world) == [("unchanged", None)]
    assert await failed() == []
    before = world.emulator.stats()["requests"]
    assert await apply(world) == [("unchanged", None)]
    assert world.emulator.stats()["requests"] == before


@pytest.mark.parametrize(("kind", "query"), READS.items())
@pytest.mark.parametrize(("code", "says"), [("AUTHORISATION_ERROR", "with another title"), ("GENERAL_ERROR", "")])
async def test_what_cannot_be_read_is_not_forgotten(world: World, kind: str, query: str, code: str, says: str) -> None:
    """The entry fails then, and the thing is still known to be its own: a later run finds it, and makes no other."""
    table = f"{kind}s"
    write_manifest(MANIFEST, one(kind, "title", "Cats"))
    await apply(world)
    number = len(cast("Mapping[str, Any]", world.emulator.state())[table])
    write_manifest(MANIFEST, one(kind, "title", "Felines"))
    world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code=code)])
    [(status, why)] = await apply(world)
    assert status == "failed"
    assert says in (why or "")
    world.emulator.set_faults([])
    change_in_app(world, table, title="Felines")
    assert await apply(world) == [("unchanged", None)]
    assert len(cast("Mapping[str, Any]", world.emulator.state())[table]) == number
