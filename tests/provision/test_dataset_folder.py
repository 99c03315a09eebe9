"""Datasets that get what lies in a folder, all of it or some, after all that the run puts there."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule, SeedIntegration
from encord_async.errors import ManifestError
from encord_async.journal.journal import Identity, Journal
from encord_async.kinds.picked import Lying, Picked
from encord_async.operations import ListDataRows, ListItems, RemoveDataRows, StartUploadJob
from encord_async.plan import Verb
from encord_async.protocol.catalogue import FileType
from encord_async.protocol.cloud_files import CloudFile
from encord_async.verify.compare import compare
from encord_async.verify.repair import Repairs, repair
from encord_async.verify.wishes import gather
from tests.direct import now_us
from tests.provision.conftest import Entry
from tests.provision.world import open_world, words
from tests.waiting import PATIENCE_S

URLS = [f"s3://b/{place}-{number}.png" for place in ("north", "south") for number in range(3)]
OBJECTS = tuple(f"s3://b/synced/{number}.png" for number in range(4))
BUCKET = SeedIntegration(uuid="00000000-0000-4000-8000-0000000000c1", title="bucket", objects=OBJECTS)
ITEMS_GET = "v2/storage/folders/{folder}/items.GET"
LINK = "datasetlinkitems.POST"
DATA: Entry = {"kind": "data", "key": "x", "folder": "@f", "items": [{"url": url} for url in URLS]}
FOLDER: Entry = {"kind": "folder", "key": "f", "name": "Images"}
DATASET: Entry = {"kind": "dataset", "key": "d", "title": "D", "folder": "@f"}
MANIFEST: list[Entry] = [DATASET, DATA, FOLDER]


def picking(*names: str) -> list[Entry]:
    """As `MANIFEST`, with some of the folder's items."""
    return [{**DATASET, "items": list(names)}, *MANIFEST[1:]]


async def test_all_of_a_folder(tmp_path: Path) -> None:
    """All that the manifest puts there first is linked; the plan says how much; a second run sends nothing."""
    async with open_world(job_s=0.3) as world:
        (action,) = [one for one in await world.actions(MANIFEST) if one.what == "dataset_data"]
        assert (action.verb, action.items, action.count) == (Verb.ADD, ("all of @f",), 6)

        outcomes = await world.run(MANIFEST, tmp_path / "j")
        assert words(outcomes) == {"f": "created", "d": "created", "x": "updated"}
        assert await world.linked(outcomes["d"].hash) == URLS

        before = world.asked(LINK)
        assert set(words(await world.run(MANIFEST, tmp_path / "j")).values()) == {"unchanged"}
        assert world.asked(LINK) == before
        forecast = await world.session.plan(MANIFEST, journal=tmp_path / "j")
        assert forecast.as_json() == {"keep": {"dataset": 1, "folder": 1, "folder_data": 6, "dataset_data": 6}}


@pytest.mark.parametrize("names", [(), ("north*",)])
async def test_entries_of_files_link_it_too(names: tuple[str, ...], tmp_path: Path) -> None:
    """What entries of files link to the same dataset is linked once, and the plan counts it once, new or there."""
    link = {**DATA, "datasets": ["@d"]}
    async with open_world() as world:
        manifest = [*picking(*names)[:1], link, FOLDER]
        assert [one.count for one in await world.actions(manifest) if one.what == "dataset_data"] == [6]
        assert words(await world.run([DATA, FOLDER], tmp_path / "j"))["x"] == "updated"
        await world.run([{**DATASET, "folder": None}], tmp_path / "d")
        found = [one for one in await world.actions(manifest) if one.what == "dataset_data"]
        assert [(one.verb, one.count) for one in found] == [(Verb.ADD, 6)]
        outcomes = await world.run(manifest, tmp_path / "j")
        assert words(outcomes) == {"f": "unchanged", "d": "adopted", "x": "updated"}
        assert await world.linked(outcomes["d"].hash) == URLS
        assert world.asked(LINK) == 1


async def test_what_comes_later(tmp_path: Path) -> None:
    """What others have put there since is linked by the next run, and told by the plan and by verify before."""
    async with open_world() as world:
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        file = CloudFile(type=FileType.IMAGE, url="s3://b/new.png")
        await world.session.execute(StartUploadJob(folder_uuid=outcomes["f"].hash or "", items=(file,)))
        (action,) = await world.actions(MANIFEST, journal=tmp_path / "j")
        assert (action.verb, action.count) == (Verb.ADD, 1)
        report = await world.session.verify(MANIFEST, journal=tmp_path / "j")
        assert report.as_json() == {"missing": {"dataset_data": 1}}
        assert words(await world.run(MANIFEST, tmp_path / "j"))["d"] == "updated"
        assert await world.linked(outcomes["d"].hash) == sorted([*URLS, "s3://b/new.png"])


async def test_a_slow_entry_is_waited_for(tmp_path: Path) -> None:
    """What a later entry of a stream puts into the folder is linked, however long it takes to come."""
    async with open_world(FaultRule(query="v2/storage/folders.POST", fault=Fault.DROP_AFTER_COMMIT, times=1)) as world:

        async def stream() -> Any:
            yield DATASET
            yield FOLDER
            # The folder is in doubt meanwhile: nothing is sent, and nothing is under way.
            yield DATA

        async with world.session.provision(stream(), journal=tmp_path / "j", settle_s=1.0) as run:
            outcomes = {one.key: one async for one in run}
        assert {one.status.value for one in outcomes.values()} == {"created", "updated"}
        assert await world.linked(outcomes["d"].hash) == URLS


async def test_tasks_come_after_links(tmp_path: Path) -> None:
    """Tasks are given away once the data of folders are linked, too."""
    tasks: list[Entry] = [
        {"kind": "project_tasks", "project": "@p", "stage": "Annotate 1", "assign": ["ann@example.com"]},
        {
            "kind": "project",
            "key": "p",
            "title": "P",
            "datasets": ["@d", "@e"],
            "users": [{"email": "ann@example.com", "role": "annotator"}],
        },
        {"kind": "dataset", "key": "e", "title": "E"},
        {**DATA, "key": "y", "datasets": ["@e"], "items": [{"url": "s3://b/first.png"}]},
    ]
    async with open_world(job_s=0.2) as world:
        outcomes = await world.run([*tasks, *MANIFEST], tmp_path / "j", settle_s=PATIENCE_S)
        assert words(outcomes)["project_tasks"] == "updated", outcomes["project_tasks"].error
        given = [task for task in world.emulator.state()["tasks"] if task["assignee"] == "ann@example.com"]
        assert len(given) == 8


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("north-*",), URLS[:3]),
        ((URLS[0], "south-1.png"), [URLS[0], URLS[4]]),
        (("s3://b/s*",), URLS[3:]),
        (("north-[02].png",), [URLS[0], URLS[2]]),
    ],
)
async def test_some_of_a_folder(names: tuple[str, ...], found: list[str], tmp_path: Path) -> None:
    """Items are named by title or URL, or by patterns of these, and only they are linked; the plan counts them."""
    async with open_world() as world:
        (action,) = [one for one in await world.actions(picking(*names)) if one.what == "dataset_data"]
        assert (action.items, action.count) == ((f"{', '.join(names)} of @f",), len(found))
        outcomes = await world.run(picking(*names), tmp_path / "j")
        assert words(outcomes)["d"] == "created", outcomes["d"].error
        assert await world.linked(outcomes["d"].hash) == found
        assert not (await world.session.verify(picking(*names), journal=tmp_path / "j")).differences


async def test_items_by_their_uuid(tmp_path: Path) -> None:
    """Items are named by uuid, without a folder as well; of one that does not exist the others are linked."""
    async with open_world() as world:
        outcomes = await world.run([DATA, FOLDER], tmp_path / "j")
        items = await world.session.collect(ListItems(folder_uuid=outcomes["f"].hash or ""))
        wish: Entry = {"kind": "dataset", "key": "d", "title": "D", "items": [items[0].uuid, items[1].uuid.upper()]}
        plan = [one for one in await world.actions([wish]) if one.what == "dataset_data"]
        assert [(one.verb, one.count) for one in plan] == [(Verb.ADD, 2)]
        made = await world.run([wish], tmp_path / "k")
        assert await world.linked(made["d"].hash) == URLS[:2]
        assert words(await world.run([wish], tmp_path / "k")) == {"d": "unchanged"}
        rows = await world.session.execute(ListDataRows(dataset_hash=made["d"].hash or ""))
        gone = RemoveDataRows(dataset_hash=made["d"].hash or "", data_hashes=(rows[0].data_hash,))
        await world.session.execute(gone)
        report = await world.session.verify([wish], journal=tmp_path / "k")
        assert report.as_json() == {"missing": {"dataset_data": 1}}

        absent = "00000000-0000-4000-8000-00000000dead"
        more = {**wish, "items": [*wish["items"], absent, items[2].uuid]}
        failed = (await world.run([more], tmp_path / "k"))["d"]
        assert (failed.status.value, failed.error is None) == ("failed", False)
        assert URLS[2] in await world.linked(made["d"].hash)


async def test_a_name_that_no_item_has(tmp_path: Path) -> None:
    """A name that no item has is told, by the plan as well, and the others are linked."""
    async with open_world() as world:
        manifest = picking("north-*", "nrth-1.png")
        refused = [one for one in await world.actions(manifest) if one.verb is Verb.REFUSE]
        assert [one.code for one in refused] == ["NO_ITEM"]
        outcomes = await world.run(manifest, tmp_path / "j")
        error = outcomes["d"].error
        assert error is not None
        assert (error.code, "'nrth-1.png'" in error.message) == ("NO_ITEM", True)
        assert await world.linked(outcomes["d"].hash) == URLS[:3]


async def test_a_listing_that_lags(tmp_path: Path) -> None:
    """What the run has put there and is not listed yet is waited for, and told if it does not come."""
    async with open_world() as world:
        await world.run(MANIFEST[2:], tmp_path / "j")
        world.emulator.set_faults([FaultRule(query=ITEMS_GET, fault=Fault.STALE_READ, seconds=1)])
        outcomes = await world.run(MANIFEST, tmp_path / "j", settle_s=20.0)
        assert words(outcomes)["d"] == "created", outcomes["d"].error
        assert await world.linked(outcomes["d"].hash) == URLS

    async with open_world() as world:
        await world.run(MANIFEST[2:], tmp_path / "k")
        world.emulator.set_faults([FaultRule(query=ITEMS_GET, fault=Fault.STALE_READ, seconds=3600)])
        outcome = (await world.run(MANIFEST, tmp_path / "k", settle_s=0.3))["d"]
        assert outcome.error is not None
        assert outcome.error.code == "FILES_UNSEEN"
        world.emulator.clear_faults()
        outcomes = await world.run(MANIFEST, tmp_path / "k")
        assert await world.linked(outcomes["d"].hash) == URLS


async def test_what_lags_and_is_not_meant(tmp_path: Path) -> None:
    """Files that the folder does not list yet are no matter of a dataset that does not mean them."""
    ago_us = [3600 * 10**6]
    async with open_world(now_us=lambda: now_us() - ago_us[0]) as world:
        await world.run([{**DATA, "items": DATA["items"][:3]}, FOLDER], tmp_path / "j")
        ago_us[0] = 0
        world.emulator.set_faults([FaultRule(query=ITEMS_GET, fault=Fault.STALE_READ, seconds=1800)])
        outcomes = await world.run(picking("north*"), tmp_path / "j")
        assert words(outcomes) == {"f": "unchanged", "d": "created", "x": "updated"}
        assert await world.linked(outcomes["d"].hash) == URLS[:3]


def test_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item is looked up among many names; only patterns are held against it one by one."""
    held: list[str] = []

    def matches(text: str, pattern: str) -> bool:
        held.append(pattern)
        return fnmatchcase(text, pattern)

    monkeypatch.setattr("encord_async.kinds.patterns.fnmatchcase", matches)
    picked = Picked((*(f"cat-{number}.png" for number in range(1000)), "dog-*", "[x].png"))
    titles = ["cat-999.png", "cat-1000.png", "dog-1", "[x].png", "x.png"]
    assert [picked.takes(Lying("u", None, title)) for title in titles] == [True, False, True, True, True]
    assert set(held) == {"dog-*", "[x].png"}


async def test_a_folder_that_is_synced(tmp_path: Path) -> None:
    """What a sync brings is linked after it; the plan says that nobody can count it yet."""
    cloud = {"integration": "bucket", "url": "s3://b/synced/"}
    manifest: list[Entry] = [DATASET, {**FOLDER, "cloud": cloud, "sync": True}]
    async with open_world(integrations=[BUCKET], job_s=0.3) as world:
        (action,) = [one for one in await world.actions(manifest) if one.what == "dataset_data"]
        assert (action.verb, action.items, action.count) == (
            Verb.ADD,
            ("all of @f, and more once it is synced",),
            0,
        )
        out = tmp_path / "plan"
        path = tmp_path / "m.jsonl"
        path.write_text("\n".join(map(json.dumps, manifest)))
        await world.session.plan(path, out=out)
        async with world.session.provision(path, plan=out, journal=tmp_path / "j") as run:
            outcomes = {one.key: one async for one in run}
        assert await world.linked(outcomes["d"].hash) == list(OBJECTS)


async def test_what_is_missing_is_put_there(tmp_path: Path) -> None:
    """With --fix what is missing of a folder is linked again."""
    async with open_world() as world:
        journal = Journal(tmp_path / "j", Identity(world.session.settings.domain, world.session.identity))
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        dataset = outcomes["d"].hash or ""
        rows = await world.session.execute(ListDataRows(dataset_hash=dataset))
        await world.session.execute(RemoveDataRows(dataset_hash=dataset, data_hashes=(rows[0].data_hash,)))
        async with Journal(tmp_path / "j", None) as opened:
            wishes = await gather(MANIFEST, opened)
        repairs = Repairs()
        report = await compare(world.session, wishes, on_files=repairs.note_files)
        assert report.as_json() == {"missing": {"dataset_data": 1}}
        assert not (await repair(world.session, repairs, inner=[], journal=journal)).unsatisfied
        assert await world.linked(dataset) == URLS


async def test_it_is_taken_off(tmp_path: Path) -> None:
    """An entry that no longer names the folder unlinks nothing."""
    async with open_world() as world:
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        without = [{"kind": "dataset", "key": "d", "title": "D"}, *MANIFEST[1:]]
        assert set(words(await world.run(without, tmp_path / "j", prune=True)).values()) == {"unchanged"}
        assert await world.linked(outcomes["d"].hash) == URLS


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"folder": None, "items": ["cat.png"]}, "items.0: 'cat.png' is no uuid of an item; name the folder"),
        ({"items": ["a", "a"]}, "items.1: "),
        ({"folder": "@x"}, "folder: '@x' is a data"),
    ],
)
async def test_what_cannot_be(more: Entry, said: str) -> None:
    """What an entry cannot mean is told with its field."""
    async with open_world() as world:
        with pytest.raises(ManifestError) as caught:
            await world.run([{**DATASET, **more}, *MANIFEST[1:]])
        (problem,) = caught.value.problems
        assert said in str(problem)
