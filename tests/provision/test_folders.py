"""Storage folders, provisioned on a local Encord: a create as others, known again by its mark, and not irreversible."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule, SeedIntegration
from encord_async.errors import ManifestError
from encord_async.kinds.exporting import Inside, Pen
from encord_async.kinds.folder import FOLDER
from encord_async.operations import CreateFolder, ListFolderGroups, ListItems, SearchFolders, UpdateFolder
from encord_async.plan import Action, Verb
from encord_async.protocol.catalogue import FolderUserRole
from encord_async.protocol.rest_models import StorageFolder
from tests.provision.conftest import Entry
from tests.provision.test_export_organisation import exported
from tests.provision.world import World, open_world, words
from tests.waiting import comes_true

CREATE = "v2/storage/folders.POST"
TEAM: Entry = {"kind": "group", "key": "team", "name": "Team"}
TOP: Entry = {"kind": "folder", "key": "top", "name": "Images", "groups": [{"group": "@team", "role": "user"}]}
SUB: Entry = {
    "kind": "folder",
    "key": "sub",
    "name": "North",
    "description": "of the north",
    "parent": "@top",
    "metadata": {"site": {"no": 7}},
}
TREE: list[Entry] = [SUB, TOP, {**SUB, "key": "sub-sub", "name": "Images", "parent": "@sub", "metadata": {}}, TEAM]


async def folders(world: World) -> dict[str, StorageFolder]:
    """All that there are, by the names of what they lie in and their own, of which no two have the same."""
    found = {one.uuid: one for one in await world.session.collect(SearchFolders())}

    def path(one: StorageFolder) -> str:
        return one.name if one.parent is None else f"{path(found[one.parent])}/{one.name}"

    named = {path(one): one for one in found.values()}
    assert len(named) == len(found)
    return named


async def planned(world: World, manifest: list[Entry], **options: Any) -> dict[object, Action]:
    """What a plan says of each entry, by its key."""
    return {manifest[action.number - 1]["key"]: action for action in await world.actions(manifest, **options)}


async def test_a_tree(tmp_path: Path) -> None:
    """Folders in folders, in any order, with groups and metadata; none is irreversible, and a second run is idle."""
    async with open_world() as world:
        forecast = await world.session.plan(TREE)
        assert not forecast.irreversible
        outcomes = await world.run(TREE, tmp_path / "j")
        assert set(words(outcomes).values()) == {"created"}
        there = await folders(world)
        assert list(there) == ["Images", "Images/North", "Images/North/Images"]
        assert {one.uuid for one in there.values()} == {outcomes[key].hash for key in ("top", "sub", "sub-sub")}
        north = there["Images/North"]
        assert north.description == "of the north"
        assert {**(north.client_metadata or {}), "encord_async": ""} == {"site": {"no": 7}, "encord_async": ""}
        (group,) = await world.session.collect(ListFolderGroups(folder_uuid=there["Images"].uuid))
        assert (group.group_hash, group.user_role) == (outcomes["team"].hash, FolderUserRole.USER)

        requests = world.session.statistics().requests
        assert set(words(await world.run(TREE, tmp_path / "j")).values()) == {"unchanged"}
        assert world.session.statistics().requests == requests
        assert not (await world.session.verify(TREE, journal=tmp_path / "j")).differences


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.TRUNCATE])
async def test_a_lost_answer(fault: Fault, tmp_path: Path) -> None:
    """A folder whose answer was lost is found by its mark, also beside one of its name that others made meanwhile."""
    async with open_world(FaultRule(query=CREATE, fault=fault, times=3)) as world:
        outcomes = await world.run(TREE, tmp_path / "j")
        assert set(words(outcomes).values()) == {"created"}
        assert len(await folders(world)) == 3


async def test_only_the_mark_tells(tmp_path: Path) -> None:
    """While one is in doubt a colleague makes one of its name: it is not taken for ours, and ours is made, once."""
    async with open_world(FaultRule(query=CREATE, fault=Fault.DROP_BEFORE, times=1)) as world:
        wish: Entry = {"kind": "folder", "key": "f", "name": "Images"}
        assert words(await world.run([wish], tmp_path / "j", settle_s=0.0)) == {"f": "in_doubt"}
        other = await world.session.execute(CreateFolder(name="Images", metadata={"encord_async": "another"}))
        outcomes = await world.run([wish], tmp_path / "j", settle_s=0.0, existing="create")
        assert words(outcomes) == {"f": "created"}
        assert outcomes["f"].hash != other.uuid


async def test_a_mark_that_is_gone(tmp_path: Path) -> None:
    """One of its name without any mark may be ours whose metadata somebody has replaced: a person decides."""
    async with open_world(FaultRule(query=CREATE, fault=Fault.DROP_AFTER_COMMIT, times=1)) as world:
        wish: Entry = {"kind": "folder", "key": "f", "name": "Images"}
        world.emulator.set_faults(
            [
                FaultRule(query=CREATE, fault=Fault.DROP_AFTER_COMMIT, times=1),
                FaultRule(query="v2/storage/*.GET", fault=Fault.STALE_READ, seconds=3600),
            ]
        )
        assert words(await world.run([wish], tmp_path / "j", settle_s=0.0)) == {"f": "in_doubt"}
        world.emulator.clear_faults()
        made = (await folders(world))["Images"]
        await world.session.execute(UpdateFolder(folder_uuid=made.uuid, metadata={"site": 1}))
        outcomes = await world.run([wish], tmp_path / "j", settle_s=0.0)
        assert (outcomes["f"].status.value, outcomes["f"].candidates) == ("in_doubt", (made.uuid,))


async def test_names_in_other_folders() -> None:
    """What is there is adopted where it lies, and one of the same name elsewhere is left alone; the plan says so."""
    async with open_world() as world:
        top = await world.session.execute(CreateFolder(name="Images"))
        await world.session.execute(CreateFolder(name="North", parent_uuid=top.uuid, description="of the north"))
        manifest = [
            {"kind": "folder", "key": "top", "name": "Images"},
            {**SUB, "metadata": {}},
            {**SUB, "key": "here", "parent": None, "metadata": {}},
            {**SUB, "key": "there", "parent": "@here", "metadata": {}},
        ]
        verbs = {key: action.verb for key, action in (await planned(world, manifest)).items()}
        assert verbs == {"top": Verb.ADOPT, "sub": Verb.ADOPT, "here": Verb.CREATE, "there": Verb.CREATE}
        outcomes = await world.run(manifest)
        assert words(outcomes) == {"top": "adopted", "sub": "adopted", "here": "created", "there": "created"}
        assert list(await folders(world)) == ["Images", "Images/North", "North", "North/North"]


async def test_one_with_other_metadata() -> None:
    """A namesake that lacks what is to be kept with it is refused, in the plan as well; it may have more."""
    async with open_world() as world:
        made = await world.session.execute(CreateFolder(name="Images", metadata={"site": 1}))
        wish: Entry = {"kind": "folder", "key": "f", "name": "Images", "metadata": {"site": 2}}
        refused = (await planned(world, [wish]))["f"]
        outcome = (await world.run([wish]))["f"]
        assert outcome.error is not None
        assert (refused.verb, refused.reason) == (Verb.REFUSE, outcome.error.message)
        assert outcome.error.code == "FOLDER_KEPT"
        await world.session.execute(UpdateFolder(folder_uuid=made.uuid, metadata={"site": 2, "more": 3}))
        assert words(await world.run([wish])) == {"f": "adopted"}


async def test_another_key(tmp_path: Path) -> None:
    """Keys that were changed make nothing again, folders within folders included; another place is a change."""
    async with open_world() as world:
        await world.run(TREE, tmp_path / "j")
        renamed = [{**SUB, "key": "new", "parent": "@newer"}, {**TOP, "key": "newer"}, TEAM]
        # The manifest as a stream: who has gone is known at its end only.
        async with world.session.provision(iter(renamed), journal=tmp_path / "j") as run:
            outcomes = {outcome.key: outcome.status.value async for outcome in run}
        assert outcomes == {"new": "adopted", "newer": "adopted", "team": "unchanged"}
        assert len(await folders(world)) == 3
        outcomes_ = await world.run([{**SUB, "key": "new", "parent": None}, TEAM], tmp_path / "j")
        assert outcomes_["new"].error is not None
        assert outcomes_["new"].error.code == "CHANGED"


async def test_who_has_gone_is_known_at_the_end(tmp_path: Path) -> None:
    """In a stream, a folder with another key waits until all is read: what an entry that has gone made is its own."""
    async with open_world() as world:
        await world.run(TREE, tmp_path / "j")

        async def stream() -> AsyncIterator[Entry]:
            for entry in (TEAM, TOP, {**SUB, "key": "new"}):
                yield entry
            for number in range(3):
                yield {"kind": "dataset", "key": f"d{number}", "title": f"D{number}"}
                await comes_true(lambda: f"D{number}" in [line["title"] for line in world.emulator.log()])  # noqa: B023 - at once

        async with world.session.provision(stream(), journal=tmp_path / "j", existing="create") as run:
            outcomes = {outcome.key: outcome.status.value async for outcome in run}
        assert outcomes["new"] == "adopted"
        assert len(await folders(world)) == 3


async def test_what_differs(tmp_path: Path) -> None:
    """What differs is told; another role of a group is given, and what a run does not change is left to people."""
    async with open_world() as world:
        outcomes = await world.run(TREE, tmp_path / "j")
        top, sub = outcomes["top"].hash or "", outcomes["sub"].hash or ""
        await world.session.execute(UpdateFolder(folder_uuid=sub, metadata={"site": 1}, name="South"))
        manifest = [{**one, "groups": [{"group": "@team", "role": "admin"}]} if one is TOP else one for one in TREE]
        report = await world.session.verify(manifest, journal=tmp_path / "j")
        assert report.as_json() == {"different": {"metadata": 1, "role": 1, "title": 1}}
        (group,) = await world.session.collect(ListFolderGroups(folder_uuid=top))
        assert group.user_role == FolderUserRole.USER
        assert words(await world.run(manifest, tmp_path / "j"))["top"] == "updated"
        (group,) = await world.session.collect(ListFolderGroups(folder_uuid=top))
        assert group.user_role == FolderUserRole.ADMIN


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (
            [SUB, {**TOP, "parent": "@sub"}, TEAM],
            "entry 2: parent: '@sub' lies in this entry itself, if not directly",
        ),
        (
            [SUB, TOP, TEAM, {**SUB, "key": "twin"}],
            "entry 4: name: 'North' is the title of a folder with the same description at entry 1; give them other "
            "titles or descriptions, or use --stamp; a key does not tell them apart on the server",
        ),
        (
            [SUB, {"kind": "dataset", "key": "top", "title": "Raw"}],
            "entry 1: parent: '@top' is a dataset, and 'parent'",
        ),
    ],
)
async def test_what_cannot_be(manifest: list[Entry], said: str) -> None:
    """Folders cannot lie in each other, two of one name in one folder are twins, and only folders hold some."""
    async with open_world() as world:
        with pytest.raises(ManifestError) as caught:
            await world.run(manifest)
        (problem,) = caught.value.problems
        assert str(problem).startswith(said)


# ---------------------------------------------------------------------- of clouds

BUCKET = SeedIntegration(uuid="00000000-0000-4000-8000-0000000000c1", title="bucket")
SYNCED: Entry = {
    "kind": "folder",
    "key": "f",
    "name": "Synced",
    "cloud": {"integration": "bucket", "url": "s3://b/in/"},
}


@pytest.mark.parametrize("named", ["bucket", BUCKET.uuid])
async def test_what_mirrors_a_bucket(named: str, tmp_path: Path) -> None:
    """The integration goes by its title or its uuid; a lost answer is found; another place is a difference."""
    wish: Entry = {**SYNCED, "cloud": {"integration": named, "url": "s3://b/in/"}}
    lost = FaultRule(query=CREATE, fault=Fault.DROP_AFTER_COMMIT, times=1)
    async with open_world(lost, integrations=[BUCKET, SeedIntegration(title="other")]) as world:
        assert (await planned(world, [wish]))["f"].verb is Verb.CREATE
        assert words(await world.run([wish], tmp_path / "j")) == {"f": "created"}
        (folder,) = (await folders(world)).values()
        assert (folder.integration_hash, folder.remote_url) == (BUCKET.uuid, "s3://b/in/")
        assert not (await world.session.verify([wish], journal=tmp_path / "j")).differences
        assert words(await world.run([wish])) == {"f": "adopted"}
        by_uuid = {**wish, "cloud": {"integration": BUCKET.uuid, "url": "s3://b/in/"}}
        assert words(await world.run([by_uuid], tmp_path / "j")) == {"f": "unchanged"}
        other = {**wish, "cloud": {"integration": named, "url": "s3://b/out/"}}
        assert (await world.session.verify([other], journal=tmp_path / "j")).as_json() == {"different": {"cloud": 1}}
        outcome = (await world.run([other]))["f"]
        assert outcome.error is not None
        assert outcome.error.message.startswith(f"the folder {folder.uuid} ('Synced') is there with other cloud")


@pytest.mark.parametrize(
    ("titles", "code", "said"),
    [
        (
            [],
            "NO_INTEGRATION",
            "the account may use no cloud integration 'bucket'; integrations are made in",
        ),
        (["bucket", "bucket"], "AMBIGUOUS", "several cloud integrations go by 'bucket': "),
    ],
)
async def test_integrations_of_no_or_one_title(titles: list[str], code: str, said: str) -> None:
    """A title that no integration has, or two, is refused; the plan says the same, and nothing is sent."""
    async with open_world(integrations=[SeedIntegration(title=title) for title in titles]) as world:
        refused = (await planned(world, [SYNCED]))["f"]
        outcome = (await world.run([SYNCED]))["f"]
        assert outcome.error is not None
        assert (outcome.error.code, refused.verb, refused.reason) == (code, Verb.REFUSE, outcome.error.message)
        assert outcome.error.message.startswith(said)
        assert not await folders(world)


FULL = SeedIntegration(title="bucket", objects=("s3://b/in/1.png", "s3://b/in/2.mp4", "s3://b/out/3.png"))
SYNC: Entry = {**SYNCED, "sync": True}
START = "v2/storage/folders/{folder}/cloud-synced-folder-syncs.POST"


async def test_a_sync_is_waited_for(tmp_path: Path) -> None:
    """A folder is brought up to its bucket when it is there, once; the entry ends when all files are registered."""
    async with open_world(integrations=[FULL], job_s=0.5) as world:
        forecast = await world.session.plan([SYNC])
        assert (forecast.count(Verb.CREATE, "folder"), forecast.count(Verb.ADD, "folder_sync")) == (1, 1)
        outcomes = await world.run([SYNC], tmp_path / "j")
        assert words(outcomes) == {"f": "created"}
        items = await world.session.collect(ListItems(folder_uuid=outcomes["f"].hash or ""))
        assert [item.url for item in items] == ["s3://b/in/1.png", "s3://b/in/2.mp4"]

        requests = world.session.statistics().requests
        assert words(await world.run([SYNC], tmp_path / "j")) == {"f": "unchanged"}
        assert world.session.statistics().requests == requests
        assert not (await world.session.verify([SYNC], journal=tmp_path / "j")).differences
        # Without the journal nobody knows that it was done, and once more is harmless.
        assert (await world.session.plan([SYNC])).count(Verb.ADD, "folder_sync") == 1
        assert words(await world.run([SYNC])) == {"f": "adopted"}
        assert world.emulator.stats()["by_query"][START] == 2


async def test_a_sync_that_fails(tmp_path: Path) -> None:
    """Files that cannot be registered fail the entry with their number; the next run syncs again, and makes nothing."""
    async with open_world(integrations=[FULL], unreadable_urls=["*2.mp4"]) as world:
        outcome = (await world.run([SYNC], tmp_path / "j"))["f"]
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.applied) == ("SYNC_FAILED", "applied")
        assert "1 files are there, and 1 could not be registered" in outcome.error.message
        assert words(await world.run([SYNC], tmp_path / "j")) == {"f": "failed"}
        assert world.emulator.stats()["by_query"][START] == 2
        assert len(await folders(world)) == 1


async def test_a_sync_needs_a_bucket() -> None:
    """Only what mirrors something can be brought up to it."""
    async with open_world() as world:
        with pytest.raises(ManifestError, match="sync: is for a folder that mirrors a bucket, and 'cloud' is missing"):
            await world.run([{**TOP, "sync": True}, TEAM])


async def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    """A run that is stopped does not wait for a sync, and its next run starts another."""
    async with open_world(integrations=[FULL], job_s=3600.0) as world:
        async with world.session.provision([SYNC], journal=tmp_path / "j") as run:
            await comes_true(lambda: world.emulator.stats()["by_query"].get(START) == 1, "the sync is started")
            run.drain()
            assert [outcome.status.value async for outcome in run] == ["cancelled"]
        (folder,) = (await folders(world)).values()
        assert folder.remote_url == "s3://b/in/"


# ---------------------------------------------------------------------- written down


async def test_the_export_makes_the_same_folders() -> None:
    """An export has each folder after the one it lies in, and makes them elsewhere, integrations by their titles."""
    elsewhere = SeedIntegration(title="bucket")
    manifest = [*TREE, {**SYNCED, "parent": "@sub-sub"}]
    async with open_world(integrations=[BUCKET]) as one, open_world(integrations=[elsewhere]) as other:
        await one.run(manifest)
        await one.session.create_dataset("Raw", create_backing_folder=True)
        written, left, sums = await exported(one)
        assert (left, sums.not_listed, sums.numbers["folders"]) == ([], [], 4)
        assert [entry for entry in written if entry["kind"] == "folder"] == [
            {**TOP, "key": "images"},
            {**SUB, "key": "north", "parent": "@images"},
            {"kind": "folder", "key": "images-2", "name": "Images", "parent": "@north", "description": "of the north"},
            {**SYNCED, "key": "synced", "parent": "@images-2"},
        ]
        outcomes = await other.run(written)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        there = await folders(other)
        assert [path for path in there if path != "Raw"] == list(await folders(one))[:4]
        assert there["Images/North/Images/Synced"].integration_hash == elsewhere.uuid
        assert {verb for verb, _ in (await one.session.plan(written)).counts} == {Verb.ADOPT, Verb.KEEP}


async def test_one_that_others_own(tmp_path: Path) -> None:
    """What lies in a folder that the account does not show names it by its hash."""
    async with open_world() as world:
        outcomes = await world.run(TREE, tmp_path / "j")
        top = outcomes["top"].hash or ""
        pen = Pen()
        listed = [one async for one in FOLDER.exported(world.session, pen) if one.hash != top]
        made = [entry.as_json() for one in listed for entry in FOLDER.entries(pen, one, Inside(item=one.item))]
        assert [entry["parent"] for entry in made] == [top, "@north"]
