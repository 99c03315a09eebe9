"""Data rows that no entry wants, taken out of datasets with their labels: as many as were agreed to, or none."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.errors import ConflictError, EncordError, UnreadableReplyError, UsageError
from encord_async.kinds.data_rows import parts_of_rows
from encord_async.operations import (
    CreateFolder,
    LinkItems,
    ListDataRows,
    ListItems,
    RemoveDataRows,
    StartUploadJob,
)
from encord_async.plan import Action, Forecast, Verb
from encord_async.protocol.catalogue import FileType
from encord_async.protocol.cloud_files import CloudFile
from tests.direct import DirectEmulator, now_us
from tests.provision.conftest import Entry
from tests.provision.world import World, open_world
from tests.waiting import comes_true

URLS = [f"s3://b/cat-{number}.png" for number in range(5)]
FOLDER: Entry = {"kind": "folder", "key": "f", "name": "Images"}
DATASET: Entry = {"kind": "dataset", "key": "d", "title": "D"}
REMOVE = "video.DELETE"
ITEMS_GET = "v2/storage/folders/{folder}/items.GET"
BULK = "v2/storage/items/get-bulk.POST"


def of_files(urls: Sequence[str], **more: Any) -> list[Entry]:
    """A dataset with these files."""
    items = [{"url": url} for url in urls]
    return [{"kind": "data", "key": "x", "folder": "@f", "items": items, "datasets": ["@d"], **more}, DATASET, FOLDER]


def _dataset(world: World) -> str:
    """The hash of the dataset."""
    [found] = [str(one["dataset_hash"]) for one in world.emulator.state()["datasets"] if one["title"] == "D"]
    return found


class Place:
    """A manifest with its journal."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.path, self.journal = world, folder / "m.jsonl", folder / "j"

    def write(self, *entries: Entry) -> None:
        """Put *entries* in the manifest."""
        self.path.write_text("\n".join(map(json.dumps, entries)))

    async def run(self, *entries: Entry, **options: Any) -> Any:
        """Write and provision them; the run, whose end is raised."""
        if entries:
            self.write(*entries)
        run = self.world.session.provision(self.path, journal=self.journal, **({"settle_s": 0.2} | options))
        await run.results()
        return run

    async def number(self, *entries: Entry) -> tuple[int, list[Action]]:
        """How many rows the plan names, and what it removes."""
        if entries:
            self.write(*entries)
        actions: list[Action] = []
        forecast = await self.world.session.plan(
            self.path, journal=self.journal, prune_data=True, on_action=actions.append
        )
        return forecast.rows, [one for one in actions if one.verb is Verb.REMOVE]

    async def linked(self) -> list[str]:
        """The URLs of what is in the dataset."""
        return await self.world.linked(_dataset(self.world))

    def asked(self, query: str = REMOVE) -> int:
        """How often the service was asked *query*."""
        return self.world.asked(query)


async def test_rows_that_no_entry_wants_go(tmp_path: Path) -> None:
    """The plan names the rows and their number; the run removes these, last; who wants one again gets it again."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        rows, removed = await place.number(*of_files([*URLS[:3], "s3://b/new.png"]))
        assert rows == 2
        [action] = removed
        assert (action.what, action.count) == ("data_rows", 2)
        assert [item.partition(" (")[0] for item in action.items] == ["cat-3.png", "cat-4.png"]
        run = await place.run(prune_data=2)
        assert (run.summary.removals, run.summary.as_json()["removals"]) == (1, {"updated": 1})
        assert await place.linked() == [*URLS[:3], "s3://b/new.png"]
        assert await place.number() == (0, [])
        await place.run(*of_files(URLS))
        assert await place.linked() == [*URLS, "s3://b/new.png"]


async def test_nothing_else_removes_rows(tmp_path: Path) -> None:
    """Pruning and retiring take away what can be given back; rows stay, and so do their labels."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        await place.run(*of_files(URLS[:3]), prune=True, retire=True)
        assert (place.asked(), await place.linked()) == (0, URLS)
        await place.run(FOLDER, prune=True, retire=True)
        assert (place.asked(), await place.linked()) == (0, URLS)


async def test_a_file_that_is_named_twice_is_there(tmp_path: Path) -> None:
    """What an item's uuid names and a file's URL as well is there, and so keeps nothing else from going."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        [folder] = [one["uuid"] for one in world.emulator.state()["folders"]]
        items = await world.session.collect(ListItems(folder_uuid=folder))
        [uuid] = [one.uuid for one in items if one.url == URLS[0]]
        data, dataset, images = of_files(URLS[:3])
        await place.run(data, {**dataset, "items": [uuid]}, images)
        assert (await place.number())[0] == 2


async def test_another_number_removes_nothing(tmp_path: Path) -> None:
    """If it is another number than was agreed to, nothing is removed, and the rest is done."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        for number in (0, 1, 3):
            with pytest.raises(ConflictError, match="2 data rows would be removed now") as raised:
                await place.run(*of_files([*URLS[:3], "s3://b/new.png"]), prune_data=number)
            assert raised.value.code == "ROWS_DIFFER"
        assert (place.asked(), len(await place.linked())) == (0, 6)


async def planned(world: World, folder: Path, *, kept: int) -> tuple[Place, Path, Forecast]:
    """A dataset of `URLS` whose manifest now has so many of them, and a plan that takes out the rest, in a file."""
    place, out = Place(world, folder), folder / "p"
    await place.run(*of_files(URLS))
    place.write(*of_files(URLS[:kept]))
    return place, out, await world.session.plan(place.path, journal=place.journal, prune_data=True, out=out)


async def test_a_saved_plan_holds_the_number(tmp_path: Path) -> None:
    """A reviewed plan removes what it names; not with another number, nor if another row came meanwhile."""
    async with open_world() as world:
        place, out, _ = await planned(world, tmp_path, kept=3)
        with pytest.raises(UsageError, match="the plan removes 2 data rows, and 3 were agreed to"):
            await place.run(plan=out, prune_data=3)
        with pytest.raises(
            UsageError, match="the plan was made with prune_data=True, and this run is with prune_data=False"
        ):
            await place.run(plan=out)
        await _link_foreign(world, "s3://c/foreign.png")
        with pytest.raises(ConflictError, match="3 data rows would be removed now"):
            await place.run(plan=out, prune_data=True)
        assert place.asked() == 0
        await world.session.plan(place.path, journal=place.journal, prune_data=True, out=out)
        await place.run(plan=out, prune_data=True)
        assert await place.linked() == URLS[:3]


@pytest.mark.parametrize("how", ["plan", "forecast"])
async def test_other_rows_are_not_removed(tmp_path: Path, how: str) -> None:
    """As many rows as were named, but others: none is removed, neither by a plan in a file nor by one in hand."""
    async with open_world() as world:
        place, out, forecast = await planned(world, tmp_path, kept=3)
        given: dict[str, Any] = {"prune_data": True, "plan": out}
        if how == "forecast":
            given = {"prune_data": forecast.rows, "forecast": forecast}
        await _remove(world, URLS[4])
        await _link_foreign(world, "s3://c/foreign.png")
        with pytest.raises(ConflictError, match="other data rows would be removed now") as raised:
            await place.run(**given)
        assert (raised.value.code, place.asked()) == ("ROWS_DIFFER", 1)
        assert await place.linked() == [*URLS[:4], "s3://c/foreign.png"]


async def test_a_row_with_another_title_is_the_same(tmp_path: Path) -> None:
    """A row whose title was changed since the plan was made is the one that the plan names."""
    async with open_world() as world:
        place, out, _ = await planned(world, tmp_path, kept=4)
        assert isinstance(world.emulator, DirectEmulator)
        database = world.emulator.store.storage._db
        # No call of ours renames an item.
        database.execute("UPDATE items SET name = 'Tom' WHERE url = ?", (URLS[4],))
        run = await place.run(plan=out, prune_data=True)
        assert run.summary.as_json()["removals"] == {"updated": 1}
        assert await place.linked() == URLS[:4]


@pytest.mark.parametrize("name", ["prod", "hash"])
async def test_what_is_protected_stays(tmp_path: Path, name: str) -> None:
    """Nothing is taken out of what a policy protects by its hash, in any case, or of what a protected project has."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        project = {"kind": "project", "key": "prod", "title": "Prod", "datasets": ["@d"]}
        await place.run(*of_files(URLS), project)
        said = "it is in Prod: it is protected"
        if name == "hash":
            name = _dataset(world).upper()
            said = "it is protected"
        (tmp_path / "encord-async.toml").write_text(f'protected_keys = ["{name}"]')
        place.write(*of_files(URLS[:3]), project)
        forecast = await world.session.plan(place.path, journal=place.journal, prune_data=True)
        assert forecast.rows == 0
        assert f"{said}; see protected_keys" in str(forecast.warnings[-1])


async def _remove(world: World, url: str) -> None:
    """Take a file out of the dataset, as somebody else does."""
    rows = await world.session.execute(ListDataRows(dataset_hash=_dataset(world)))
    [found] = [row.data_hash for row in rows if row.file_link == url]
    await world.session.execute(RemoveDataRows(dataset_hash=_dataset(world), data_hashes=(found,)))


async def _link_foreign(world: World, url: str) -> None:
    """Put a file of a folder that no manifest has into the dataset."""
    session = world.session
    folder = await session.execute(CreateFolder(name="Foreign"))
    file = CloudFile(type=FileType.IMAGE, url=url)
    await session.execute(StartUploadJob(folder_uuid=folder.uuid, items=(file,)))
    [item] = await session.collect(ListItems(folder_uuid=folder.uuid))
    await session.execute(LinkItems(dataset_hash=_dataset(world), item_uuids=(item.uuid,)))


async def test_what_another_entry_wants_stays(tmp_path: Path) -> None:
    """Rows stay that any entry wants, by files, folder, names or uuid; a dataset without data is left alone."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        first, *rest = of_files(URLS)
        await place.run(first, *rest)
        folder = world.emulator.state()["folders"][0]["uuid"]
        uuids = {one.url: one.uuid for one in await world.session.collect(ListItems(folder_uuid=folder))}
        second = {**first, "key": "y", "items": first["items"][3:]}
        assert (await place.number({**first, "items": first["items"][:3]}, second, *rest))[0] == 0
        assert (await place.number({**first, "items": first["items"][:3]}, {**DATASET, "folder": "@f"}, FOLDER))[0] == 0
        named = {**DATASET, "folder": "@f", "items": ["cat-[01].png"]}
        assert (await place.number({**first, "items": first["items"][1:3]}, named, FOLDER))[0] == 2
        single = {**DATASET, "items": [uuids[URLS[4]].upper()]}
        assert (await place.number({**first, "items": first["items"][:3]}, single, FOLDER))[0] == 1
        assert (await place.number(DATASET, FOLDER))[0] == 0
        await place.run({**first, "items": first["items"][:3]}, single, FOLDER, prune_data=1)
        assert await place.linked() == [*URLS[:3], URLS[4]]


async def test_a_listing_that_lags_removes_nothing(tmp_path: Path) -> None:
    """What a folder does not list yet keeps its row: each item is read by itself."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        entries = [{**DATASET, "folder": "@f"}, {**of_files(URLS)[0], "datasets": []}, FOLDER]
        await place.run(*entries)
        world.emulator.set_faults([FaultRule(query=ITEMS_GET, fault=Fault.STALE_READ, seconds=3600)])
        rows, _ = await place.number()
        assert rows == 0
        await place.run(prune_data=0)
        assert place.asked(BULK) == 2
        assert await place.linked() == URLS


async def test_items_that_cannot_be_read_stay(tmp_path: Path) -> None:
    """A dataset with an item that cannot be read is left alone, and it is said."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        world.emulator.set_faults([FaultRule(query=BULK, fault=Fault.ERROR, code="AUTHORISATION_ERROR")])
        place.write(*of_files(URLS[:3]))
        forecast = await world.session.plan(place.path, journal=place.journal, prune_data=True)
        assert (forecast.rows, "no data is taken out of D" in str(forecast.warnings[-1])) == (0, True)
        with pytest.raises(ConflictError, match="0 data rows would be removed now"):
            await place.run(prune_data=2)
        assert len(await place.linked()) == 5


async def test_a_file_that_is_missing_keeps_all(tmp_path: Path) -> None:
    """A dataset that lacks a file which an entry wants is left alone: what is there could be that file."""
    async with open_world(unreadable_urls=["*new*"]) as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        await place.run(*of_files([*URLS[:3], "s3://b/new.png"], on_error="skip"))
        forecast = await world.session.plan(place.path, journal=place.journal, prune_data=True)
        assert forecast.rows == 0
        assert "1 of the files that entries want in it is not there" in str(forecast.warnings[-1])
        await place.run(prune_data=0)
        assert len(await place.linked()) == 5


async def test_an_entry_that_fails_keeps_all(tmp_path: Path) -> None:
    """Nothing is removed if any entry did not come about, and it is said."""
    async with open_world(unreadable_urls=["*new*"]) as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        run = await place.run(*of_files([*URLS[:3], "s3://b/new.png"]), prune_data=2)
        assert "1 entry has not come about; mend that first" in str(run.warnings[-1])
        assert (place.asked(), len(await place.linked())) == (0, 5)


async def test_rows_that_need_several_answers(tmp_path: Path) -> None:
    """A dataset whose rows one answer has no room for is planned and pruned as any other."""
    days_ago = [0]
    async with open_world(max_reply_bytes=20_000, now_us=lambda: now_us() - days_ago[0] * _DAY_US) as world:
        place, session = Place(world, tmp_path), world.session
        for number, days_ago[0] in enumerate((400, 100, 20, 3, 0), 1):
            await place.run(*_of_folders(min(number, 4)))
        with pytest.raises(UnreadableReplyError):
            await place.linked()
        assert (await place.number(*_of_folders(4, lacks=2)))[0] == 2
        run = await place.run(prune_data=2)
        assert run.summary.as_json()["removals"] == {"updated": 1}
        assert sum([len(rows) async for rows in parts_of_rows(session, _dataset(world))]) == 38


_DAY_US = 86_400 * 10**6


def _of_folders(number: int, *, lacks: int = 0) -> list[Entry]:
    """A dataset with ten files of each of so many folders; the first *lacks* some."""
    made = [DATASET]
    for one in range(number):
        files = [{"url": f"s3://b/{one}-{file}.png"} for file in range(0 if one else lacks, 10)]
        made.append({"kind": "folder", "key": f"f{one}", "name": f"F{one}"})
        made.append({"kind": "data", "folder": f"@f{one}", "items": files, "datasets": ["@d"]})
    return made


async def test_one_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    """A run that dies after some rows are gone leaves the rest to the next one, whose plan names just these."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        world.emulator.set_faults([FaultRule(query=REMOVE, fault=Fault.ERROR, code="AUTHORISATION_ERROR", after=1)])
        run = await place.run(*of_files(URLS[:2]), prune_data=3, max_batch=1)
        assert run.summary.as_json()["removals"] == {"failed": 1}
        world.emulator.clear_faults()
        left = len(await place.linked()) - 2
        assert 0 < left < 3
        assert (await place.number())[0] == left
        with pytest.raises(ConflictError):
            await place.run(prune_data=3)
        await place.run(prune_data=left)
        assert await place.linked() == URLS[:2]


async def test_one_cut_off_in_the_middle_goes_on(tmp_path: Path) -> None:
    """A run that is cut off while it removes rows, one of which is gone, leaves the rest to the next one."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        world.emulator.set_faults([FaultRule(query=REMOVE, fault=Fault.HANG, after=1)])
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await place.run(*of_files(URLS[:2]), prune_data=3, max_batch=1)

            group.start_soon(run)
            await comes_true(lambda: place.asked() > 1, "the second removal")
            group.cancel_scope.cancel()
        world.emulator.clear_faults()
        assert await place.linked() not in (URLS, URLS[:2])
        left, _ = await place.number()
        await place.run(prune_data=left)
        assert await place.linked() == URLS[:2]


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.DROP_BEFORE])
async def test_an_answer_that_was_lost(tmp_path: Path, fault: Fault) -> None:
    """Rows that are gone when the request is sent again count as removed."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        world.emulator.set_faults([FaultRule(query=REMOVE, fault=fault, times=1)])
        run = await place.run(*of_files(URLS[:2]), prune_data=3)
        assert run.summary.as_json()["removals"] == {"updated": 1}
        assert await place.linked() == URLS[:2]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"only": "x"}, "prune_data=True is about the whole manifest"),
        ({"exclude": "x"}, "is about the whole manifest"),
        ({"skip_invalid": True}, "leave out skip_invalid=True"),
        ({"prune": True}, "prune_data=True goes by itself"),
        ({"retire": True}, "prune_data=True goes by itself"),
    ],
)
async def test_what_it_does_not_go_with(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    """It is about the whole manifest, with good entries alone, and goes by itself."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        with pytest.raises(UsageError, match=match):
            await place.run(*of_files(URLS), prune_data=1, **options)


async def test_a_run_needs_the_number(tmp_path: Path) -> None:
    """True is for a plan; a run is given the number; and the manifest can be read twice."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        with pytest.raises(UsageError, match="give the number that the plan names"):
            await place.run(*of_files(URLS), prune_data=True)
        with pytest.raises(UsageError, match="give the number that the plan names"):
            await place.run(*of_files(URLS), prune_data=-1)
        with pytest.raises(UsageError, match="reads the manifest a second time"):
            world.session.provision(iter(of_files(URLS)), journal=None, prune_data=1)


async def test_a_manifest_that_changes_meanwhile(tmp_path: Path) -> None:
    """Who changes the manifest while it is provisioned loses nothing."""
    async with open_world() as world:
        place = Place(world, tmp_path)
        await place.run(*of_files(URLS))
        async with world.session.provision(place.path, journal=place.journal, prune_data=2) as run:
            place.write(*of_files(URLS[:3]))
            with pytest.raises(EncordError, match="was changed while it was read"):
                async for _ in run:
                    pass
        assert len(await place.linked()) == 5
