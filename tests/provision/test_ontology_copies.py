"""Ontologies that are copies: the other one is read when the copy is made, and never again."""

from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.errors import ManifestError
from encord_async.plan import Action, Verb
from tests.provision.conftest import Entry
from tests.provision.world import STRUCTURE, World, open_world, words

BASE: Entry = {"kind": "ontology", "key": "base", "title": "Base", "structure": STRUCTURE}
COPY: Entry = {"kind": "ontology", "key": "copy", "title": "Copy", "copy_of": "@base"}
COPIES: list[Entry] = [{**COPY, "key": "copy-2", "title": "Copy 2", "copy_of": "@copy"}, COPY, BASE]
OTHER: dict[str, Any] = {"objects": [], "classifications": []}


async def editors(world: World) -> dict[str, Any]:
    """The structure of each ontology, by its title, which no two have."""
    found = await world.session.list_ontologies()
    assert len({one.title for one in found}) == len(found)
    return {one.title: one.editor for one in found}


async def planned(world: World, manifest: list[Entry]) -> dict[object, Action]:
    """What a plan says of each entry, by its key."""
    return {manifest[action.number - 1]["key"]: action for action in await world.actions(manifest)}


async def test_copies_of_copies(tmp_path: Path) -> None:
    """Each is made after what it is a copy of, wherever that stands, and has its structure; once made it stays."""
    async with open_world() as world:
        assert [action.verb for action in (await planned(world, COPIES)).values()] == [Verb.CREATE] * 3
        outcomes = await world.run(COPIES, tmp_path / "j")
        assert set(words(outcomes).values()) == {"created"}
        assert await editors(world) == {"Base": STRUCTURE, "Copy": STRUCTURE, "Copy 2": STRUCTURE}
        base = outcomes["base"].hash or ""
        await world.session.update_ontology(base, title="Base", description="", editor=OTHER)
        requests = world.session.statistics().requests
        assert set(words(await world.run(COPIES, tmp_path / "j")).values()) == {"unchanged"}
        assert world.session.statistics().requests == requests
        report = await world.session.verify(COPIES, journal=tmp_path / "j")
        assert report.differences == 1, "only the base is otherwise"


async def test_the_copy_of_what_is_there(tmp_path: Path) -> None:
    """The other may be nobody's entry; a copy whose answer was lost is found, and not made again."""
    async with open_world() as world:
        base = await world.session.create_ontology("Base", editor=STRUCTURE)
        world.emulator.set_faults([FaultRule(query="v2/ontologies.POST", fault=Fault.DROP_AFTER_COMMIT, times=1)])
        outcomes = await world.run([{**COPY, "copy_of": base.ontology_uuid}], tmp_path / "j")
        assert words(outcomes) == {"copy": "created"}
        assert await editors(world) == {"Base": STRUCTURE, "Copy": STRUCTURE}


async def test_what_is_there_already() -> None:
    """What has the name is taken for the copy only if it is one; the plan says the same, before the other is there."""
    async with open_world() as world:
        made = await world.session.create_ontology("Copy", editor=OTHER)
        refused = (await planned(world, COPIES))["copy"]
        outcome = (await world.run(COPIES))["copy"]
        assert outcome.error is not None
        assert (refused.verb, refused.reason) == (Verb.REFUSE, outcome.error.message)
        await world.session.update_ontology(made.ontology_uuid, title="Copy", description="", editor=STRUCTURE)
        assert (await planned(world, COPIES))["copy"].verb is Verb.ADOPT
        assert words(await world.run(COPIES))["copy"] == "adopted"


async def test_a_copy_of_what_is_empty() -> None:
    """An ontology that was made without a structure has one that is empty, in the plan as well."""
    async with open_world() as world:
        await world.session.create_ontology("Copy", editor=STRUCTURE)
        manifest = [COPY, {"kind": "ontology", "key": "base", "title": "Base"}]
        assert (await planned(world, manifest))["copy"].verb is Verb.REFUSE
        assert words(await world.run(manifest)) == {"base": "created", "copy": "failed"}


async def test_another_key(tmp_path: Path) -> None:
    """A copy whose key was changed is taken over; one that is a copy of something else now is not."""
    async with open_world() as world:
        await world.run([COPY, BASE], tmp_path / "j")
        outcomes = await world.run([{**COPY, "key": "new"}, BASE], tmp_path / "j")
        assert words(outcomes)["new"] == "adopted"
        other = {"kind": "ontology", "key": "other", "title": "Other", "structure": OTHER}
        outcomes = await world.run([{**COPY, "key": "new", "copy_of": "@other"}, BASE, other], tmp_path / "j")
        assert outcomes["new"].error is not None
        assert outcomes["new"].error.code == "CHANGED"
        outcomes = await world.run([{"kind": "ontology", "key": "new", "title": "Copy"}, BASE], tmp_path / "j")
        assert outcomes["new"].error is not None
        assert outcomes["new"].error.code == "CHANGED"


async def test_a_copy_of_nothing() -> None:
    """What cannot be read fails the copy, in the plan as well."""
    async with open_world() as world:
        manifest: list[Entry] = [{**COPY, "copy_of": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeee1"}]
        assert (await planned(world, manifest))["copy"].verb is Verb.REFUSE
        assert words(await world.run(manifest)) == {"copy": "failed"}
        assert await editors(world) == {}


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (
            [{**COPY, "structure": OTHER}, BASE],
            "entry 1: structure: cannot be chosen for a copy, which has that of 'copy_of'; leave it out",
        ),
        (
            [COPY, {"kind": "dataset", "key": "base", "title": "Raw"}],
            "entry 1: copy_of: '@base' is a dataset, and 'copy_of' needs an ontology",
        ),
        (
            [COPY, {**COPY, "key": "base", "title": "Base", "copy_of": "@copy"}],
            "entry 2: copy_of: '@copy' is itself copied from this entry, if not directly",
        ),
    ],
)
async def test_what_is_no_copy(manifest: list[Entry], said: str) -> None:
    """A copy has no structure of its own, and is one of an ontology, not of itself by way of others."""
    async with open_world() as world:
        with pytest.raises(ManifestError) as caught:
            await world.run(manifest)
        assert [str(problem) for problem in caught.value.problems] == [said]
