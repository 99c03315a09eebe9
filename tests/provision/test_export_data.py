"""Files of folders and their links are written down, and make the same on another local Encord."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encord_async.cli.entries import entry_text
from encord_async.emulator import Fault, FaultRule, SeedIntegration
from encord_async.errors import AuthenticationError, UnreadableReplyError
from encord_async.export import Scope
from encord_async.kinds import data_export
from encord_async.operations import LinkItems, ListDataRows, ListItems, PollUploadJob, SearchFolders, StartUploadJob
from encord_async.plan import Verb
from encord_async.protocol.catalogue import FileType, JobStatus
from encord_async.protocol.cloud_files import CloudDicomSeries, CloudFile
from encord_async.protocol.jsontext import JSON
from tests.provision.conftest import Entry
from tests.provision.test_export_organisation import exported
from tests.provision.world import World, open_world, words

ITEMS = Scope(items=True)
BUCKET = SeedIntegration(title="bucket")
PRIVATE: Entry = {"kind": "data", "folder": "@top", "integration": "bucket"}
ACCOUNT: list[Entry] = [
    {"kind": "folder", "key": "top", "name": "Images"},
    {"kind": "folder", "key": "sub", "name": "More", "parent": "@top"},
    {"kind": "folder", "key": "empty", "name": "Empty"},
    {"kind": "dataset", "key": "d", "title": "D"},
    {"kind": "dataset", "key": "e", "title": "E"},
    {
        **PRIVATE,
        "key": "both",
        "items": [{"url": "s3://b/1.png", "title": "Eins", "metadata": {"site": {"no": 7}}}, {"url": "s3://b/2.png"}],
        "datasets": ["@d", "@e"],
    },
    {**PRIVATE, "key": "one", "items": [{"url": "s3://b/3.png"}], "datasets": ["@e"]},
    {**PRIVATE, "key": "none", "items": [{"url": "s3://b/4", "type": "video"}]},
    {**PRIVATE, "key": "public", "integration": None, "items": [{"url": "https://a.example.com/1.pdf"}]},
    {
        "kind": "data",
        "key": "more",
        "folder": "@sub",
        "items": [{"url": "https://a.example.com/1.pdf"}],
        "datasets": ["@d"],
    },
]


async def contents(world: World) -> Counter[str]:
    """All files of an account and all rows of its datasets, by names."""
    found = Counter[str]()
    for folder in await world.session.collect(SearchFolders()):
        for item in await world.session.collect(ListItems(folder_uuid=folder.uuid)):
            shown = item.item_type, item.client_metadata, item.integration_hash is not None
            found[f"{folder.name}: {item.url} {item.name} {shown}"] += 1
    for one in world.emulator.state()["datasets"]:
        for row in await world.session.execute(ListDataRows(dataset_hash=one["dataset_hash"])):
            found[f"{one['title']}: {row.file_link} {row.data_title}"] += 1
    return found


async def register(world: World, job: StartUploadJob) -> dict[str, str]:
    """Put files into a folder; the uuids of what it has then, by names."""
    uuid = await world.session.execute(job)
    done = await world.session.execute(PollUploadJob(folder_uuid=job.folder_uuid, job_uuid=uuid, hold_s=20))
    assert done.status is JobStatus.DONE
    return {item.name: item.uuid for item in await world.session.collect(ListItems(folder_uuid=job.folder_uuid))}


async def test_the_export_makes_the_same_files_and_links() -> None:
    """Exported with files and provisioned elsewhere, folders have the same files and datasets the same rows."""
    elsewhere = SeedIntegration(title="bucket")
    async with open_world(integrations=[BUCKET]) as one, open_world(integrations=[elsewhere]) as other:
        made = await one.run(ACCOUNT)
        assert all(outcome.status.satisfied for outcome in made.values()), words(made)
        written, left, sums = await exported(one, ITEMS)
        assert (left, sums.unasked, sums.as_json()["files"]) == ([], {}, 6)
        outcomes = await other.run(written)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert await contents(other) == await contents(one)
        assert len(await contents(one)) == 6 + 6
        again, _, _ = await exported(other, ITEMS)
        assert sorted(map(str, again)) == sorted(map(str, written))
        assert {verb for verb, _ in (await one.session.plan(written)).counts} == {Verb.ADOPT, Verb.KEEP}


class StartAgain(StartUploadJob):
    """Registers what is in the folder once more, as old scripts do."""

    def body(self) -> JSON:
        """As that of the other, with the word to register it all the same."""
        body: Any = StartUploadJob.body(self)
        return {**body, "dataItems": {**body["dataItems"], "skipDuplicateUrls": False}}


async def test_what_no_entry_can_say() -> None:
    """Series, files of one URL, synced folders and rows of no folder are told; the manifest has all the others."""
    synced: Entry = {"kind": "folder", "key": "s", "name": "Synced", "sync": True}
    synced["cloud"] = {"integration": "bucket", "url": "s3://b/in/"}
    bucket = SeedIntegration(title="bucket", objects=("s3://b/in/1.png",))
    async with open_world(integrations=[bucket]) as world:
        made = await world.run([*ACCOUNT, synced])
        folder = made["empty"].hash or ""
        series = CloudDicomSeries(urls=("s3://b/1.dcm", "s3://b/2.dcm"), title="Series")
        file = CloudFile(type=FileType.TIME_SERIES, url="s3://b/a.png", title="A")
        items = await register(world, StartUploadJob(folder_uuid=folder, items=(series, file)))
        items |= await register(world, StartAgain(folder_uuid=folder, items=(replace(file, title="B"),)))
        for name in ("A", "B"):
            await world.session.execute(LinkItems(dataset_hash=made["d"].hash or "", item_uuids=(items[name],)))
        written, left, sums = await exported(world, ITEMS)
        told = {(one.title, one.reason) for one in left}
        assert told == {
            ("Series", "no entry can say what an item of the type dicomSeries is made of"),
            ("B", "the folder has another file of the same URL"),
            ("D", "1 of 5 show no file that is written down as one of a folder"),
        }
        (found,) = [one for one in written if one.get("folder") == "@empty"]
        assert found["items"] == [{"url": "s3://b/a.png", "type": "time_series", "title": "A"}]
        assert found["datasets"] == ["@d"]
        assert sums.as_json()["files"] == 7


async def test_links_of_folders_that_mirror_a_bucket() -> None:
    """The folder is written with its sync; a dataset names it, or what it has of it, and one of two folders."""
    objects = tuple(f"s3://b/{place}/{number}[x].png" for place in ("in", "on") for number in range(3))
    bucket = SeedIntegration(title="bucket", objects=objects)
    clouds = {key: {"integration": "bucket", "url": f"s3://b/{key}/"} for key in ("in", "on")}
    account: list[Entry] = [
        *ACCOUNT,
        *({"kind": "folder", "key": key, "name": key, "cloud": clouds[key], "sync": True} for key in clouds),
        {"kind": "dataset", "key": "all", "title": "All", "folder": "@in"},
        {"kind": "dataset", "key": "some", "title": "Some", "folder": "@in", "items": ["[12]*"]},
        {"kind": "dataset", "key": "two", "title": "Two", "folder": "@on"},
    ]
    async with open_world(integrations=[bucket]) as one, open_world(integrations=[bucket]) as other:
        made = await one.run(account)
        assert all(outcome.status.satisfied for outcome in made.values()), words(made)
        written, left, _ = await exported(one, ITEMS)
        assert left == []
        outcomes = await other.run(written)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert await contents(other) == await contents(one)
        assert {entry["title"]: entry.get("items") for entry in written if entry.get("folder") == "@in"} == {
            "All": None,
            "Some": [f"s3://b/in/{number}[[]x].png" for number in (1, 2)],
        }

        item = (await one.session.collect(ListItems(folder_uuid=made["in"].hash or "")))[0]
        await one.session.execute(LinkItems(dataset_hash=made["two"].hash or "", item_uuids=(item.uuid,)))
        _, left, _ = await exported(one, ITEMS)
        assert {(told.title, told.reason) for told in left} == {
            ("Two", "1 are of in, and an entry names one folder that mirrors a bucket"),
            ("Two", "1 of 4 show no file that is written down as one of a folder"),
        }


async def test_large_folders_are_several_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is much as text an entry has some: its line can be read, and together they make the same folder."""
    monkeypatch.setattr(data_export, "_MOST_CHARACTERS", 200_000)
    items = [{"url": f"s3://b/{number}.png", "metadata": {"text": "x" * 900}} for number in range(250)]
    async with open_world(integrations=[BUCKET]) as one, open_world(integrations=[BUCKET]) as other:
        await one.run([*ACCOUNT, {**PRIVATE, "key": "x", "folder": "@empty", "items": items, "datasets": ["@d"]}])
        lines = list[bytes]()
        await one.session.export(lambda entry: lines.append(entry_text(entry, "jsonl")), items=True)
        target = tmp_path / "account.jsonl"
        target.write_bytes(b"".join(lines))
        written = [json.loads(line) for line in lines]
        first, second = [len(entry["items"]) for entry in written if entry.get("folder") == "@empty"]
        assert (first > second, first + second) == (True, 250)
        async with other.session.provision(target, settle_s=0.2) as run:
            assert all([outcome.status.satisfied async for outcome in run])
        assert await contents(other) == await contents(one)


@pytest.mark.parametrize(("query", "title"), [("v2/storage/folders/{folder}/items.GET", "More"), ("datarows.GET", "D")])
async def test_what_is_refused(query: str, title: str) -> None:
    """A folder or a dataset that the service does not show is told, and the others are written down."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(ACCOUNT)
        world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code="RESOURCE_NOT_FOUND_ERROR")])
        written, left, sums = await exported(world, ITEMS)
        assert title in {one.title for one in left}
        assert sums.as_json()["files"] == (0 if "folder" in query else 6)
        assert "dataset" in {entry["kind"] for entry in written}
        world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code="AUTHENTICATION_ERROR")])
        with pytest.raises(AuthenticationError):
            await exported(world, ITEMS)


@pytest.mark.parametrize("query", ["v2/storage/folders/{folder}/items.GET", "v2/storage/search/folders.GET"])
async def test_what_is_refused_of_a_mirror(query: str) -> None:
    """Whichever listing of a folder that mirrors a bucket is refused, or of all folders: that is told, not the end."""
    bucket = SeedIntegration(title="bucket", objects=tuple(f"s3://b/in/{number}.png" for number in range(3)))
    cloud = {"integration": "bucket", "url": "s3://b/in/"}
    account: list[Entry] = [
        {"kind": "folder", "key": "in", "name": "in", "cloud": cloud, "sync": True},
        {"kind": "dataset", "key": "some", "title": "Some", "folder": "@in", "items": ["[12]*"]},
    ]
    async with open_world(integrations=[bucket]) as world:
        await world.run(account)
        whole, _, _ = await exported(world, ITEMS)
        for let_by in range(3 if "items" in query else 1):
            rule = FaultRule(query=query, fault=Fault.ERROR, code="AUTHORISATION_ERROR", after=let_by)
            world.emulator.set_faults([rule])
            written, left, sums = await exported(world, ITEMS)
            assert len(written) >= len(whole) - 1
            assert left or sums.not_listed, let_by


async def test_rows_that_are_too_many_for_an_answer() -> None:
    """Rows that no answer has room for, made within seconds, are told, and files and other links are written."""
    folders: list[Entry] = [{"kind": "folder", "key": f"f{no}", "name": f"F{no}"} for no in range(6)]
    data = [
        {**PRIVATE, "key": f"x{no}", "folder": f"@f{no}", "items": items, "datasets": ["@d"]}
        for no in range(6)
        for items in [[{"url": f"s3://b/{no}/{one}.png"} for one in range(100)]]
    ]
    async with open_world(integrations=[BUCKET], max_reply_bytes=150_000) as world:
        await world.run([*ACCOUNT, *folders, *data])
        written, left, sums = await exported(world, ITEMS)
        assert sums.as_json()["files"] == 6 + 600
        assert {one["datasets"][0] for one in written if one["kind"] == "data" and "datasets" in one} == {"@e"}
        ((what, title, reason),) = [(one.what, one.title, one.reason) for one in left]
        assert (what, title) == ("data rows of a dataset", "D")
        assert reason.startswith("the reply is larger than 150000 bytes")


async def test_an_answer_that_is_cut_short_ends_it() -> None:
    """What may be read another time is not left out: the export fails."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(ACCOUNT)
        world.emulator.set_faults([FaultRule(query="datarows.GET", fault=Fault.TRUNCATE)])
        with pytest.raises(UnreadableReplyError):
            await exported(world, ITEMS)


async def test_a_part_has_its_files() -> None:
    """Of a folder that is chosen the files are, with the datasets that they are linked to; those of others are not."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(ACCOUNT)
        found = list[Entry]()
        sums = await world.session.export(lambda one: found.append(one.as_json()), items=True, only="more")
        assert [one["folder"] for one in found if one["kind"] == "data"] == ["@more"]
        assert {one.key for one in sums.included} == {"images", "d"}


async def test_files_are_asked_for() -> None:
    """Without being asked for no file is read, and that is told of an account that has a folder or a dataset."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(ACCOUNT)
        before = world.emulator.stats()["by_query"].get("datarows.GET", 0)
        written, left, sums = await exported(world)
        assert world.emulator.stats()["by_query"].get("datarows.GET", 0) == before
        assert left == []
        assert "data" not in {entry["kind"] for entry in written}
        assert "--items" in sums.unasked["data"]
