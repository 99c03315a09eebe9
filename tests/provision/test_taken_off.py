"""What was taken off the manifest is known from the journal alone, and told until it is over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from encord_async.journal.journal import Journal
from encord_async.journal.taken_off import TakenOff, TakenOffs
from tests.cli.conftest import write_manifest
from tests.provision.conftest import Entry
from tests.provision.world import World

pytestmark = pytest.mark.usefixtures("empty_folder")

MANIFEST = Path("m.jsonl")


def cats(*emails: str, role: str = "annotator", **more: object) -> Entry:
    """A project with users."""
    users = [{"email": email, "role": role} for email in emails]
    return {"kind": "project", "key": "cats", "title": "Cats", "users": users, **more}


async def apply(world: World, *entries: Entry, prune: bool = False) -> TakenOffs:
    """Provision *entries*; what the run then says of what was taken off, and the journal after it."""
    write_manifest(MANIFEST, *entries)
    async with world.session.provision(MANIFEST, settle_s=0.2, prune=prune) as run:
        await run.results()
        found = await run.register.taken_off()
    assert await noted() == found
    return found


async def planned(world: World, *entries: Entry) -> TakenOffs:
    """What a plan says of it, which asks the service nothing for that."""
    write_manifest(MANIFEST, *entries)
    return (await world.session.plan(MANIFEST)).taken_off


async def noted() -> TakenOffs:
    """What the journal has of it."""
    async with Journal(f"{MANIFEST}.journal", None) as journal:
        return await journal.noted_taken_off()


def items(found: TakenOffs) -> list[str]:
    """Who or what was taken off."""
    assert len(found.first) == found.number
    return [one.item for one in found.first]


async def test_it_is_told_until_it_is_over(world: World) -> None:
    """One who was taken off is told by each run, until an entry says them once more or a prune has removed them."""
    await apply(world, cats("ann@x.org", "bob@x.org"))
    for _ in range(2):
        assert items(await apply(world, cats("ann@x.org"))) == ["bob@x.org"]
    assert items(await apply(world, cats("ann@x.org", "bob@x.org"))) == []
    assert items(await apply(world, cats("bob@x.org"))) == ["ann@x.org"]
    assert items(await apply(world, cats("bob@x.org"), prune=True)) == []
    assert items(await apply(world, cats("bob@x.org"))) == []


async def test_another_entry_may_say_it(world: World) -> None:
    """Whichever entry says it, in whatever order and by whichever name of the thing, it is not taken off."""
    await apply(world, {"kind": "dataset", "key": "raw", "title": "Raw"}, cats("ann@x.org", datasets=["@raw"]))
    state = world.emulator.state()
    [project] = [one for one in state["projects"] if one["title"] == "Cats"]
    [dataset] = [one for one in state["datasets"] if one["title"] == "Raw"]
    others = (
        {"kind": "project_users", "project": project["project_hash"], "emails": ["ANN@x.org"], "role": "annotator"},
        {"kind": "project_datasets", "project": "@cats", "add": [dataset["dataset_hash"]]},
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        cats(),
    )
    assert items(await planned(world, *others)) == []
    assert items(await apply(world, *others)) == []
    assert items(await apply(world, *others[2:])) == ["ann@x.org", dataset["dataset_hash"]]
    again = cats(datasets=[dataset["dataset_hash"]])
    assert items(await apply(world, others[2], again)) == ["ann@x.org"]


async def test_what_an_entry_removes_is_not_left(world: World) -> None:
    """Who is to be removed by an entry was not forgotten."""
    await apply(world, cats("ann@x.org"))
    gone = {"kind": "project_users", "project": "@cats", "remove": ["ann@x.org"]}
    assert items(await apply(world, cats(), gone)) == []
    assert items(await apply(world, cats())) == []


async def test_a_moved_key_takes_along_what_is_in_its_thing(world: World) -> None:
    """A plan before the move, and the run that makes it, know that what was said of the old key is said of the new."""
    await apply(world, cats("ann@x.org", "bob@x.org", api_keys=[{"title": "ci", "scopes": ["label.read"]}]))
    moved = cats("ann@x.org", api_keys=[{"title": "ci", "scopes": ["label.read"]}]) | {"key": "toms", "moved": "cats"}
    assert items(await planned(world, moved)) == ["bob@x.org"]
    assert items(await apply(world, moved)) == ["bob@x.org"]


async def test_a_thing_that_has_gone_is_told_by_itself(world: World) -> None:
    """What is in a project whose entry has gone is not told besides."""
    await apply(world, cats("ann@x.org", tags=["a"], api_keys=[{"title": "ci", "scopes": ["label.read"]}]))
    assert items(await apply(world, {"kind": "dataset", "key": "raw", "title": "Raw"})) == []


async def test_what_prune_does_not_take_is_told_so(world: World) -> None:
    """An Admin stays, and a tag where no entry speaks of tags any more: `can_go` says what a prune takes."""
    await apply(world, cats("ann@x.org", role="admin", tags=["a"]), cats("bob@x.org") | {"key": "b", "title": "B"})
    left = (cats(), cats() | {"key": "b", "title": "B"})
    found = await apply(world, *left)
    assert {one.item: one.can_go for one in found.first} == {"ann@x.org": False, "a": False, "bob@x.org": True}
    assert items(await apply(world, *left, prune=True)) == ["ann@x.org", "a"]


async def test_a_copy_may_have_others_in_it(world: World) -> None:
    """Of a copy that takes collaborators along nothing is too much, so no prune is promised."""
    copy: Entry = {"kind": "project", "key": "copy", "title": "Copy", "description": "of cats", "copy_of": "@cats"}
    copy["copy_options"] = ["collaborators"]
    project = cats()
    await apply(world, project)
    [made] = [one for one in world.emulator.state()["projects"] if one["title"] == "Cats"]
    copy["copy_of"] = made["project_hash"]
    await apply(world, project, copy | {"users": [{"email": "ann@x.org", "role": "annotator"}]})
    [one] = (await apply(world, project, copy)).first
    assert (one.item, one.can_go) == ("ann@x.org", False)


async def test_many_are_counted(world: World) -> None:
    """Of many the first are kept, and the number of all."""
    await apply(world, cats(*(f"u{n}@x.org" for n in range(250))))
    found = await apply(world, cats())
    assert (found.number, len(found.first)) == (250, 100)


async def test_nothing_is_said_of_a_part(world: World) -> None:
    """With a selection nothing is told, and what the journal has stays."""
    await apply(world, cats("ann@x.org", "bob@x.org"))
    found = await apply(world, cats("ann@x.org"))
    async with world.session.provision(MANIFEST, only=["cats"]) as run:
        await run.results()
        assert not (await run.register.taken_off()).number
    assert await noted() == found


async def test_a_stream_is_known_at_its_end(world: World) -> None:
    """Of a manifest that can be read once the same is told, once it is read; of one that was left early, nothing."""
    entries = [cats("ann@x.org", "bob@x.org"), {"kind": "dataset", "key": "raw", "title": "Raw"}]
    await world.session.provision(iter(entries), journal="j").results()
    async with world.session.provision(iter([cats("ann@x.org"), entries[1]]), journal="j") as run:
        await run.results()
        assert items(await run.register.taken_off()) == ["bob@x.org"]

    def broken() -> AsyncIterator[Entry]:
        async def read() -> AsyncIterator[Entry]:
            yield cats("ann@x.org", "bob@x.org")
            run.drain()

        return read()

    async with world.session.provision(broken(), journal="j") as run:
        await run.results()
    async with Journal("j", None) as journal:
        assert not await journal.gone_things()
        assert items(await journal.noted_taken_off()) == ["bob@x.org"]


def test_it_is_written_and_read() -> None:
    """What a journal keeps of it is what was told."""
    one = TakenOff(what="user", item="ann@x.org", parent="project", key="cats", title="Cats", hash="h", can_go=True)
    found = TakenOffs(number=7, first=(one,))
    assert TakenOffs.read(found.written()) == found
    assert TakenOffs.read(TakenOffs().written()) == TakenOffs()
    assert str(one) == "user ann@x.org in project @cats 'Cats' (h)"


@pytest.mark.parametrize("is_attached_later", [False, True], ids=["made with it", "attached later"])
@pytest.mark.parametrize("is_renamed_too", [False, True], ids=["project", "project renamed too"])
async def test_a_dataset_under_another_key_is_the_same(
    world: World, is_attached_later: bool, is_renamed_too: bool
) -> None:
    """Whose key is another one, without ``moved``, is adopted: nothing was taken off, to the plan and to the runs."""

    def entries(project: str, *keys: str) -> list[Entry]:
        there = [{"kind": "dataset", "key": key, "title": key[0] * 2} for key in keys]
        return [*there, cats(datasets=[f"@{key}" for key in keys]) | {"key": project}]

    project = "toms" if is_renamed_too else "cats"
    if is_attached_later:
        await apply(world, *entries("cats"))
    await apply(world, *entries("cats", "a", "b"))
    renamed = entries(project, "aa", "b")
    assert items(await planned(world, *renamed)) == []
    for _ in range(2):
        assert items(await apply(world, *renamed)) == []
    left = [*renamed[:2], cats(datasets=["@b"]) | {"key": project}]
    # The record of a project that another key took over is of what that named.
    name = "@aa" if is_renamed_too and not is_attached_later else "@a"
    assert items(await planned(world, *left)) == [name]
    assert items(await apply(world, *left)) == [name]
    assert items(await apply(world, *left, prune=True)) == []


async def test_a_key_that_means_something_else_by_now(world: World) -> None:
    """A dataset that left its key to another one is told by the key it was attached by, and by no other."""
    first: list[Entry] = [{"kind": "dataset", "key": "a", "title": "Old"}, cats()]
    await apply(world, *first)
    await apply(world, first[0], cats(datasets=["@a"]))
    there: list[Entry] = [
        {"kind": "dataset", "key": "b", "title": "Old"},
        {"kind": "dataset", "key": "a", "title": "New"},
    ]
    assert items(await apply(world, *there, cats(datasets=["@a", "@b"]))) == []
    assert items(await apply(world, *there, cats(datasets=["@a", "@b"]))) == []
