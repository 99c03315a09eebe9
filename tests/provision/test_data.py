"""Files in a cloud, provisioned on a local Encord: registered in a folder, each once, and linked to datasets."""

import json
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule, SeedIntegration
from encord_async.errors import ManifestError
from encord_async.journal.journal import Identity, Journal
from encord_async.operations import ListDataRows, ListItems, RemoveDataRows, StartUploadJob
from encord_async.plan import Verb
from encord_async.protocol.catalogue import FileType
from encord_async.protocol.cloud_files import CloudFile
from encord_async.protocol.rest_models import StorageItem
from encord_async.verify.compare import compare
from encord_async.verify.difference import Difference
from encord_async.verify.repair import Repairs, repair
from encord_async.verify.wishes import gather
from tests.direct import now_us
from tests.provision.conftest import Entry
from tests.provision.world import World, open_world, words
from tests.waiting import PATIENCE_S, comes_true

LINK = "datasetlinkitems.POST"
START = "v2/storage/folders/{folder}/data-upload-jobs.POST"
POLL = "v2/storage/folders/{folder}/data-upload-jobs/{job}.GET"
BUCKET = SeedIntegration(uuid="00000000-0000-4000-8000-0000000000c1", title="bucket")
URLS = [f"s3://b/cat-{number}.png" for number in range(5)]
DATA: Entry = {
    "kind": "data",
    "key": "x",
    "folder": "@f",
    "integration": "bucket",
    "items": [{"url": url, "title": f"Cat {url[-5]}", "metadata": {"no": url[-5]}} for url in URLS],
    "datasets": ["@d"],
}
MANIFEST: list[Entry] = [
    DATA,
    {"kind": "dataset", "key": "d", "title": "D"},
    {"kind": "folder", "key": "f", "name": "Images"},
]


def many(number: int, **more: Any) -> list[Entry]:
    """As `MANIFEST`, of so many files."""
    items = [{"url": f"s3://b/{one}.png"} for one in range(number)]
    return [{**DATA, "items": items, **more}, *MANIFEST[1:]]


async def items_of(world: World, folder: str | None) -> list[StorageItem]:
    """What lies in a folder."""
    return list(await world.session.collect(ListItems(folder_uuid=folder or "")))


async def test_files_become_rows(tmp_path: Path) -> None:
    """Files are registered with titles and metadata and linked; the plan says so; a second run sends nothing."""
    async with open_world(integrations=[BUCKET]) as world:
        plan = {(one.verb, one.what): one for one in await world.actions(MANIFEST)}
        assert plan[Verb.ADD, "folder_data"].items == tuple(URLS)
        assert (plan[Verb.ADD, "dataset_data"].items, plan[Verb.ADD, "dataset_data"].count) == (("@f",), 5)

        outcomes = await world.run(MANIFEST, tmp_path / "j")
        assert words(outcomes) == {"f": "created", "d": "created", "x": "updated"}
        there = await items_of(world, outcomes["f"].hash)
        assert [(one.url, one.name, one.client_metadata) for one in there] == [
            (url, f"Cat {number}", {"no": str(number)}) for number, url in enumerate(URLS)
        ]
        assert {one.integration_hash for one in there} == {BUCKET.uuid}
        assert await world.linked(outcomes["d"].hash) == URLS

        requests = world.session.statistics().requests
        assert set(words(await world.run(MANIFEST, tmp_path / "j")).values()) == {"unchanged"}
        assert world.session.statistics().requests == requests


async def test_another_journal_finds_all_of_it() -> None:
    """Without the journal it is seen that all is there: the plan keeps it, and a run starts no job."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(MANIFEST)
        forecast = await world.session.plan(MANIFEST)
        assert forecast.as_json() == {
            "adopt": {"dataset": 1, "folder": 1},
            "keep": {"folder_data": 5, "dataset_data": 5},
        }
        before = world.asked(START), world.asked(LINK)
        assert words(await world.run(MANIFEST))["x"] == "unchanged"
        assert (world.asked(START), world.asked(LINK)) == before


async def test_what_is_new_in_it(tmp_path: Path) -> None:
    """Of an entry that has grown only what is missing is registered, and linked; the plan names it."""
    async with open_world(integrations=[BUCKET]) as world:
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        grown = [{**DATA, "items": [*DATA["items"], {"url": "s3://b/dog.mp4"}]}, *MANIFEST[1:]]
        actions = {(one.verb, one.what): one for one in await world.actions(grown, journal=tmp_path / "j")}
        assert actions[Verb.ADD, "folder_data"].items == ("s3://b/dog.mp4",)
        assert actions[Verb.ADD, "dataset_data"].count == 1
        assert words(await world.run(grown, tmp_path / "j"))["x"] == "updated"
        assert len(await items_of(world, outcomes["f"].hash)) == 6
        assert await world.linked(outcomes["d"].hash) == [*URLS, "s3://b/dog.mp4"]


async def test_another_title(tmp_path: Path) -> None:
    """A file that is there keeps its title, whatever its row says now: the plan says no change, and the run as well."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(MANIFEST, tmp_path / "j")
        other = [{**DATA, "items": [{**DATA["items"][0], "title": "Tom"}, *DATA["items"][1:]]}, *MANIFEST[1:]]
        assert not (await world.session.plan(other, journal=tmp_path / "j")).changes
        before = world.asked(START), world.asked(LINK)
        assert set(words(await world.run(other, tmp_path / "j")).values()) == {"unchanged"}
        assert (world.asked(START), world.asked(LINK)) == before


async def test_rows_that_no_answer_has_room_for(tmp_path: Path) -> None:
    """Where nobody can list what is in a dataset, files are linked all the same, once; verify says so."""
    manifest: list[Entry] = [{"kind": "dataset", "key": "d", "title": "Cats"}]
    for folder in range(6):
        files = [{"url": f"s3://b/{folder}-{number}.png"} for number in range(15)]
        manifest.append({"kind": "folder", "key": f"f{folder}", "name": f"F{folder}"})
        manifest.append(
            {"kind": "data", "key": f"x{folder}", "folder": f"@f{folder}", "items": files, "datasets": ["@d"]}
        )
    async with open_world(max_reply_bytes=40_000) as world:
        await world.run(manifest, tmp_path / "j")
        manifest[-1]["items"].append({"url": "s3://b/new.png"})
        manifest.append({"kind": "dataset", "key": "d", "title": "Cats", "folder": "@f0"})
        del manifest[0]
        forecast = await world.session.plan(manifest, journal=tmp_path / "j")
        assert forecast.count(Verb.REFUSE) == 0
        outcomes = await world.run(manifest, tmp_path / "j")
        assert {outcomes[name].status.value for name in ("x5", "d")} == {"updated"}, outcomes
        rows = [name for item in world.emulator.state()["items"] for name in item["datasets"]]
        assert rows == [outcomes["d"].hash] * 91
        found = list[Difference]()
        report = await world.session.verify(manifest, journal=tmp_path / "j", on_difference=found.append)
        assert (report.differences, {one.fault.value for one in found}) == (7, {"unreadable"})


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.TRUNCATE, Fault.DROP_BEFORE])
async def test_a_lost_answer_to_a_job(fault: Fault, tmp_path: Path) -> None:
    """A job whose answer was lost is settled by what is in the folder: each URL is there once, and linked once."""
    async with open_world(FaultRule(query=START, fault=fault, times=2), integrations=[BUCKET]) as world:
        outcomes = await world.run(many(1100), tmp_path / "j")
        assert words(outcomes)["x"] == "updated", outcomes["x"].error
        urls = [one.url for one in await items_of(world, outcomes["f"].hash)]
        assert (len(urls), len(set(urls))) == (1100, 1100)
        assert len(await world.linked(outcomes["d"].hash)) == 1100


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.LATE_COMMIT])
async def test_a_job_that_is_still_at_work(fault: Fault, tmp_path: Path) -> None:
    """A job whose answer was lost is not started again while it is at work: two at once would not see each other."""
    rule = FaultRule(query=START, fault=fault, times=1, seconds=0.5)
    async with open_world(rule, integrations=[BUCKET], job_s=1.0) as world:
        outcomes = await world.run(many(50), tmp_path / "j", settle_s=PATIENCE_S)
        assert words(outcomes)["x"] == "updated", outcomes["x"].error
        assert sorted(one.url or "" for one in await items_of(world, outcomes["f"].hash)) == sorted(
            f"s3://b/{number}.png" for number in range(50)
        )
        assert len(await world.linked(outcomes["d"].hash)) == 50
        assert world.asked(START) == 1


async def test_a_job_that_an_earlier_run_may_have_started(tmp_path: Path) -> None:
    """What a run that died may have sent is waited for as well, before anything is sent again."""
    rule = FaultRule(query=START, fault=Fault.DROP_AFTER_COMMIT, times=1)
    async with open_world(rule, integrations=[BUCKET], job_s=1.5) as world:
        async with world.session.provision(many(50), journal=tmp_path / "j", settle_s=PATIENCE_S) as run:
            await comes_true(lambda: world.asked(START) == 1, "the job is started")
            run.drain()
            assert {outcome.key: outcome.status.value async for outcome in run}["x"] == "cancelled"
        outcomes = await world.run(many(50), tmp_path / "j", settle_s=PATIENCE_S)
        assert words(outcomes)["x"] == "updated", outcomes["x"].error
        assert len(await items_of(world, outcomes["f"].hash)) == 50
        assert world.asked(START) == 1


async def test_one_url_of_two_entries(tmp_path: Path) -> None:
    """A URL that two entries register in one folder is there once: no two jobs are at it at once; the plan knows."""
    manifest: list[Entry] = [*MANIFEST, {**DATA, "key": "y", "items": [{"url": URLS[0]}, {"url": "s3://b/y.png"}]}]
    async with open_world(integrations=[BUCKET], job_s=0.5) as world:
        assert (await world.session.plan(manifest)).as_json()["add"] == {"folder_data": 6, "dataset_data": 6}
        outcomes = await world.run(manifest, tmp_path / "j")
        assert {words(outcomes)[key] for key in "xy"} == {"updated"}
        urls = [one.url for one in await items_of(world, outcomes["f"].hash)]
        assert sorted(map(str, urls)) == [*URLS, "s3://b/y.png"]


async def test_a_job_that_never_comes(tmp_path: Path) -> None:
    """A job that each time gets no answer, and does nothing, is tried as often as any request, and then told."""
    rule = FaultRule(query=START, fault=Fault.DROP_BEFORE)
    async with open_world(rule, integrations=[BUCKET]) as world:
        outcome = (await world.run(MANIFEST, tmp_path / "j", settle_s=0.05))["x"]
        assert outcome.status.value == "failed"
        assert world.asked(START) == world.session.settings.retry.max_attempts


async def test_a_run_that_was_stopped_goes_on_asking(tmp_path: Path) -> None:
    """A run that is stopped does not wait for its jobs, and the next one asks for those, and starts no others."""
    ahead_us = [0]
    async with open_world(integrations=[BUCKET], job_s=3600.0, now_us=lambda: now_us() + ahead_us[0]) as world:
        async with world.session.provision(many(1100), journal=tmp_path / "j") as run:
            await comes_true(lambda: world.asked(POLL) > 0 and world.asked(START) == 2, "the jobs are started")
            run.drain()
            ended = {outcome.key: outcome.status.value async for outcome in run}
        assert ended["x"] == "cancelled"
        ahead_us[0] = 3600 * 10**6
        outcomes = await world.run(many(1100), tmp_path / "j")
        assert world.asked(START) == 2
        assert len(await world.linked(outcomes["d"].hash)) == 1100


@pytest.mark.parametrize("on_error", ["skip", "fail"])
async def test_files_that_cannot_be_read(on_error: str, tmp_path: Path) -> None:
    """Each file that cannot be registered is told with its URL; with skip others are linked, else the entry fails."""
    async with open_world(integrations=[BUCKET], unreadable_urls=["*cat-3*"]) as world:
        manifest = [{**DATA, "on_error": on_error}, *MANIFEST[1:]]
        outcome = (outcomes := await world.run(manifest, tmp_path / "j"))["x"]
        assert [unit.url for unit in outcome.units] == [URLS[3]]
        assert outcome.as_json()["files_failed"] == [{"url": URLS[3], "error": "the file cannot be read"}]
        if on_error == "fail":
            assert outcome.error is not None
            assert (outcome.status.value, outcome.error.code) == ("failed", "FILES_FAILED")
            assert f"1 file could not be registered: '{URLS[3]}'" in outcome.error.message
            assert await world.linked(outcomes["d"].hash) == []
            return
        assert outcome.status.value == "updated"
        assert await world.linked(outcomes["d"].hash) == [url for url in URLS if url != URLS[3]]
        again = (await world.run(manifest, tmp_path / "j"))["x"]
        assert (again.status.value, again.units) == ("unchanged", outcome.units)


async def test_large_blocks(tmp_path: Path) -> None:
    """A block whose files take megabytes to say is sent as any other, without a warning."""
    items = [{"url": f"s3://b/{number}.png", "metadata": {"note": "x" * 3000}} for number in range(1000)]
    async with open_world(integrations=[BUCKET]) as world:
        outcomes = await world.run([{**DATA, "items": items}, *MANIFEST[1:]], tmp_path / "j")
        assert words(outcomes)["x"] == "updated", outcomes["x"].error
        there = await items_of(world, outcomes["f"].hash)
        assert len(there) == 1000
        assert there[0].client_metadata == {"note": "x" * 3000}


@pytest.mark.parametrize(("titles", "code"), [([], "NO_INTEGRATION"), (["bucket", "bucket"], "AMBIGUOUS")])
async def test_integrations_of_no_or_one_title(titles: list[str], code: str) -> None:
    """A title that no integration has, or two, is refused; the plan says the same, and no job is started."""
    async with open_world(integrations=[SeedIntegration(title=title) for title in titles]) as world:
        refused = [one for one in await world.actions(MANIFEST) if one.verb is Verb.REFUSE]
        outcome = (await world.run(MANIFEST))["x"]
        assert outcome.error is not None
        assert {one.code for one in refused if one.what == "folder_data"} == {code}
        assert (outcome.status.value, outcome.error.code) == ("failed", code)
        assert world.asked(START) == 0


async def test_a_listing_that_lags(tmp_path: Path) -> None:
    """What is registered and not listed yet is waited for, and said if it does not come; the next run links it."""
    async with open_world(integrations=[BUCKET]) as world:
        await world.run(MANIFEST[1:], tmp_path / "j")
        items = "v2/storage/folders/{folder}/items.GET"
        world.emulator.set_faults([FaultRule(query=items, fault=Fault.STALE_READ, seconds=3600)])
        outcome = (await world.run(MANIFEST, tmp_path / "j", settle_s=0.3))["x"]
        assert outcome.error is not None
        assert (outcome.status.value, outcome.error.code) == ("failed", "FILES_UNSEEN")
        world.emulator.clear_faults()
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        assert words(outcomes)["x"] == "updated"
        assert (await world.linked(outcomes["d"].hash), world.asked(START)) == (URLS, 1)


async def test_what_differs(tmp_path: Path) -> None:
    """What is missing in the folder or the dataset is told by its URL, and put there with --fix."""
    async with open_world(integrations=[BUCKET]) as world:
        outcomes = await world.run([{**DATA, "items": DATA["items"][:4]}, *MANIFEST[1:]], tmp_path / "j")
        folder = outcomes["f"].hash or ""
        file = CloudFile(type=FileType.IMAGE, url=URLS[4])
        await world.session.execute(StartUploadJob(folder_uuid=folder, items=(file,)))
        more = [{**DATA, "items": [*DATA["items"], {"url": "s3://b/dog.png"}]}, *MANIFEST[1:]]
        report = await world.session.verify(more, journal=tmp_path / "j")
        assert report.as_json() == {"missing": {"folder_data": 1, "dataset_data": 2}}


FILES = {
    "items.jsonl": "\n".join(json.dumps({"url": url, "metadata": {"é": 1}}) for url in URLS) + "\n",
    "items.csv": "url,title,type,metadata\n"
    + "".join(f'{url},"A ""cat"",\n no",image,"{{""é"": 1}}"\n' for url in URLS),
    "items.json": json.dumps(
        {
            "skip_duplicate_urls": True,
            "images": [{"objectUrl": url, "clientMetadata": {"é": 1}} for url in URLS],
        },
        ensure_ascii=False,
    ),
}


@pytest.mark.parametrize("name", FILES)
async def test_files_of_rows(name: str, tmp_path: Path) -> None:
    """Rows come from JSON lines, CSV and the vendor's upload JSON beside the manifest, and are the same."""
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    manifest = tmp_path / "m.jsonl"
    wish = {**DATA, "items_file": name}
    del wish["items"]
    manifest.write_text("\n".join(map(json.dumps, [wish, *MANIFEST[1:]])))
    async with open_world(integrations=[BUCKET]) as world:
        async with world.session.provision(manifest, journal=tmp_path / "j") as run:
            outcomes = {outcome.key: outcome async for outcome in run}
        assert outcomes["x"].status.value == "updated", outcomes["x"].error
        there = await items_of(world, outcomes["f"].hash)
        assert [(one.url, one.client_metadata) for one in there] == [(url, {"é": 1}) for url in URLS]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"url": "s3://b/1.png"}\n{"url": "s3://b/1"}\n', "row 2: the type of 's3://b/1' cannot be told"),
        ("a.jsonl", '{"url": 1}\n', "row 1: url: Input should be a valid string"),
        ("a.jsonl", "", "it has no rows"),
        ("a.csv", "uri\ns3://b/1.png\n", "the header: 'uri' is no column; did you mean 'url'?"),
        ("a.csv", "url\ns3://b/1.png,2\n", "row 1: has 2 cells, and there are 1 columns; nothing after it was read"),
        ("a.json", '{"images": [{"objectUrl": "s3://b/1.png"}', "there should be ','"),
        ("a.json", '{"images": [{"objectUrl": "s3://b/1.png"}]}\n{"images": []}', "there is more after its end"),
        ("a.json", '{"scenes": []}', "'scenes' is no list of files"),
        ("a.txt", "", "its suffix says nothing of what it holds"),
        ("../a.jsonl", "", "it lies outside the folder of the manifest"),
    ],
)
async def test_files_of_rows_that_are_none(name: str, text: str, said: str, tmp_path: Path) -> None:
    """What is wrong in a file of rows is told with the row before anything is sent."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(text)
    manifest = tmp_path / "in" / "m.jsonl"
    manifest.write_text(json.dumps({"kind": "data", "folder": "f" * 8, "items_file": name}))
    async with open_world() as world:
        with pytest.raises(ManifestError) as caught:
            async with world.session.provision(manifest):
                pass
        (problem,) = caught.value.problems
        assert "items_file: " in str(problem)
        assert said in str(problem)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"items": []}, "items: is missing; give files, or name a file of them: items_file"),
        ({"items": [{"url": "s3://b/x"}]}, "items.0: the type of 's3://b/x' cannot be told by its suffix"),
        ({"items": [{"url": "cat.png"}]}, "items.0.url: 'cat.png' is no URL"),
        ({"items": [{"url": URLS[0]}, {"url": URLS[0]}]}, "items.1.url: "),
        ({"on_error": "ignore"}, "on_error: 'ignore' is no way to treat an error; use one of skip, fail"),
        ({"folder": "@d"}, "folder: '@d' is a dataset"),
    ],
)
async def test_what_cannot_be(more: dict[str, Any], said: str) -> None:
    """What an entry cannot mean is told with its field."""
    async with open_world() as world:
        with pytest.raises(ManifestError) as caught:
            await world.run([{**DATA, **more}, *MANIFEST[1:]])
        (problem,) = caught.value.problems
        assert said in str(problem)


async def test_what_is_missing_is_put_there(tmp_path: Path) -> None:
    """With --fix what is missing is linked again, though the journal says that it was done; what is there stays."""
    async with open_world(integrations=[BUCKET]) as world:
        journal = Journal(tmp_path / "j", Identity(world.session.settings.domain, world.session.identity))
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        rows = await world.session.execute(ListDataRows(dataset_hash=outcomes["d"].hash or ""))
        await world.session.execute(
            RemoveDataRows(dataset_hash=outcomes["d"].hash or "", data_hashes=(rows[0].data_hash,))
        )
        async with Journal(tmp_path / "j", None) as opened:
            wishes = await gather(MANIFEST, opened)
        repairs = Repairs()
        report = await compare(world.session, wishes, on_files=repairs.note_files)
        assert report.as_json() == {"missing": {"dataset_data": 1}}
        repaired = await repair(world.session, repairs, inner=[], journal=journal)
        assert not repaired.unsatisfied
        assert await world.linked(outcomes["d"].hash) == URLS
        assert not (await compare(world.session, wishes)).differences
        assert world.asked(START) == 1
