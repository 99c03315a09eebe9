"""Folders, jobs, items, links and tasks of the emulator, asked over REST by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from encord_async.emulator import (
    Emulator,
    EmulatorSettings,
    Fault,
    FaultRule,
    Seed,
    SeedDataset,
    SeedFolder,
    SeedIntegration,
    SeedProject,
    SeedStage,
    SeedTemplate,
    SeedUser,
)
from encord_async.emulator.rules.jobs import RULES as JOB_RULES
from encord_async.protocol.catalogue import StageType
from tests.emulator.conftest import ANN, BOB, Api, Json, Rest, RestReply, Start
from tests.waiting import comes_true

S3 = "00000000-0000-4000-8000-000000000001"
NOWHERE = "00000000-0000-4000-8000-0000000000ff"
SEED = Seed(
    users=(
        SeedUser(email="ann@example.com", public_key=ANN.public_hex),
        SeedUser(email="bob@example.com", public_key=BOB.public_hex),
    ),
    datasets=(SeedDataset(hash="d", title="Cats", admins=("ann@example.com",)),),
    projects=(SeedProject(hash="p", title="P", admins=("ann@example.com",), datasets=("d",)),),
    folders=(SeedFolder(hash="f", title="Raw", admins=("ann@example.com",)),),
    integrations=(
        SeedIntegration(
            uuid=S3, title="S3", objects=("s3://b/in/1.mp4", "s3://b/in/2.png", "s3://b/in/3.what", "s3://b/x.mp4")
        ),
        SeedIntegration(title="GCS"),
    ),
    workflow_templates=(
        SeedTemplate(
            id="w",
            title="Ours",
            stages=(
                SeedStage(title="Sort", type=StageType.AGENT),
                SeedStage(title="Draw", type=StageType.ANNOTATION),
                SeedStage(title="Look", type=StageType.REVIEW),
                SeedStage(title="End", type=StageType.DONE),
            ),
        ),
    ),
    tags=("q1",),
    unreadable_urls=("*broken*",),
)
SPAN_S = 600.0
"""So long that no test sees the end of a job, but by another way."""


@pytest.fixture
async def emulator(start: Start) -> Emulator:
    """An emulator with a folder, a dataset in a project, and what is set up in the web application."""
    return await start(EmulatorSettings(seed=SEED))


@pytest.fixture
def rest(http: aiohttp.ClientSession, emulator: Emulator) -> Rest:
    """Ann, who owns the folder."""
    return Rest(http, emulator.url, ANN)


def files(*urls: str, **more: Json) -> Json:
    """The body of a job that registers images."""
    lists = ["videos", "imageGroups", "dicomSeries", "images", "imageGroupsFromItems", "audio", "timeSeries", "nifti"]
    images = [{"objectUrl": url, "clientMetadata": {}, "externalFileType": "IMAGE"} for url in urls]
    items: dict[str, Json] = {name: [] for name in [*lists, "text", "pdf", "scenes"]} | {"images": images}
    flags: dict[str, Json] = {"skipDuplicateUrls": True, "upsertMetadata": False}
    for name in tuple(more):
        if name in flags or name in items:
            (flags if name in flags else items)[name] = more.pop(name)
    return {"dataItems": {**items, **flags}, "ignoreErrors": False, **more}


async def registered(rest: Rest, *urls: str, folder: str = "f", **more: Json) -> Json:
    """The state of a job that registered images."""
    job = (await rest(f"POST /storage/folders/{folder}/data-upload-jobs", files(*urls, **more))).body
    return (await rest(f"GET /storage/folders/{folder}/data-upload-jobs/{job}?timeoutSeconds=0")).body


async def urls_in(rest: Rest, folder: str = "f") -> list[str]:
    """The URLs of a folder's items, oldest first."""
    return [item["url"] for item in (await rest(f"GET /storage/folders/{folder}/items?order=createdAt")).results]


async def linked(ann: Api, rest: Rest, *urls: str) -> Json:
    """The rows of items that were registered and linked."""
    state = await registered(rest, *urls)
    uuids = [item["itemUuid"] for item in state["itemsWithNames"]]
    payload = {"item_uuids": uuids, "duplicates_behavior": "SKIP"}
    return (await ann.call("datasetlinkitems.POST", payload, "d", on="d", kind="dataset")).result


class TestFolders:
    """Folders, who may use them, and their listings."""

    async def test_a_folder_is_made_read_changed_and_removed(self, rest: Rest) -> None:
        """Metadata are a text where a folder is made, an object where it is changed, and a text when read."""
        body = {"name": "In", "parent": "f", "clientMetadata": '{"mark": 1}', "description": "d"}
        made = (await rest("POST /storage/folders", body)).body
        assert (made["name"], made["parent"], json.loads(made["clientMetadata"])) == ("In", "f", {"mark": 1})
        assert [one["uuid"] for one in made["pathToRoot"]] == [made["uuid"], "f"]
        assert (made["userRole"], made["owner"], made["syncedDatasetHash"]) == ("admin", "ann@example.com", None)
        place = f"/storage/folders/{made['uuid']}"
        changed = (await rest(f"PATCH {place}", {"name": "Out", "clientMetadata": {"other": None}})).body
        assert (changed["name"], changed["description"], changed["clientMetadata"]) == ("Out", "d", '{"other": null}')
        assert (await rest(f"GET {place}")).body == changed
        assert (await rest(f"DELETE {place}")).status == 204
        assert (await rest(f"GET {place}")).status == 403

    async def test_two_of_one_name_are_two(self, rest: Rest, emulator: Emulator) -> None:
        """A create is not made harmless by a name."""
        for _ in range(2):
            assert (await rest("POST /storage/folders", {"name": "Raw"})).status == 200
        assert [folder["name"] for folder in emulator.state()["folders"]] == ["Raw"] * 3

    async def test_what_is_out_of_reach_is_as_if_not_there(self, rest: Rest) -> None:
        """Both are HTTP 403, for whatever is asked."""
        bobs = rest.as_(BOB)
        for line in ("GET {}", "GET {}/folders", "GET {}/items", "GET {}/groups", "DELETE {}"):
            for who, folder in ((bobs, "f"), (rest, NOWHERE)):
                assert (await who(line.format(f"/storage/folders/{folder}"))).status == 403
        assert (await bobs("POST /storage/folders", {"name": "n", "parent": "f"})).status == 403
        assert (await bobs("POST /storage/folders/f/data-upload-jobs", files("s3://b/1"))).status == 403
        assert (await rest("GET /storage/folders/f/data-upload-jobs/none?timeoutSeconds=0")).status == 403

    async def test_listings_of_folders(self, rest: Rest) -> None:
        """The top, a folder, all below it, everywhere; by a part of the name, in order, page by page."""

        async def create(name: str, parent: str | None) -> str:
            body = {"name": name, **({} if parent is None else {"parent": parent})}
            return str((await rest("POST /storage/folders", body)).body["uuid"])

        inner = await create("b inner", "f")
        await create("c Deep", inner)
        await create("a top", None)

        async def names(path: str) -> list[str]:
            return [folder["name"] for folder in (await rest(f"GET /storage/{path}")).results]

        assert await names("folders?isRecursive=False&order=createdAt&desc=False") == ["Raw", "a top"]
        assert await names("folders?order=name&desc=True") == ["a top", "Raw"]
        assert await names("folders/f/folders?isRecursive=False") == ["b inner"]
        assert await names("folders/f/folders?isRecursive=True") == ["b inner", "c Deep"]
        assert await names("search/folders?search=DEE&isRecursive=False") == ["c Deep"]
        assert await names("search/folders?organisationTagNamesAllof=q1") == []
        first = (await rest("GET /storage/search/folders?order=createdAt&pageSize=3")).body
        assert [folder["name"] for folder in first["results"]] == ["Raw", "b inner", "c Deep"]
        second = (
            await rest(f"GET /storage/search/folders?order=createdAt&pageSize=3&pageToken={first['nextPageToken']}")
        ).body
        assert ([folder["name"] for folder in second["results"]], "nextPageToken" in second) == (["a top"], False)

    async def test_a_group_gives_a_role_below_too(self, rest: Rest, emulator: Emulator) -> None:
        """The role is a word; a user of a folder reads it and what is in it, and changes nothing."""
        bobs = rest.as_(BOB)
        group = (await rest("POST /organisation/groups", {"name": "g", "description": ""})).body["groupHash"]
        inner = (await rest("POST /storage/folders", {"name": "inner", "parent": "f"})).body["uuid"]
        assert (await bobs("GET /storage/folders")).results == []
        await rest(f"POST /organisation/groups/{group}/users", {"userEmails": ["bob@example.com"]})
        for role, status in (("user", 403), ("admin", 200)):
            admitted = await rest("POST /storage/folders/f/groups", {"groupHashList": [group], "userRole": role})
            assert admitted.status == 204
            assert [
                (one["name"], one["userRole"]) for one in (await rest("GET /storage/folders/f/groups")).results
            ] == [("g", role)]
            assert (await bobs(f"GET /storage/folders/{inner}")).body["userRole"] == role
            assert (await bobs("PATCH /storage/folders/f", {"name": "Raw"})).status == status
        assert emulator.state()["folders"][0]["groups"] == [{"group_hash": group, "role": "admin"}]
        assert (await rest(f"DELETE /storage/folders/f/groups?groupHashList={group}")).status == 204
        assert (await bobs(f"GET /storage/folders/{inner}")).status == 403

    async def test_the_folder_that_a_dataset_mirrors(self, rest: Rest, ann: Api) -> None:
        """It is listed, can be left out of a listing, and what is registered in it is in the dataset."""
        body = {"title": "D", "createBackingFolder": True, "legacyCall": False}
        dataset = (await rest("POST /datasets", body)).body
        mirror = dataset["backingFolderUuid"]
        assert [one["uuid"] for one in (await rest("GET /storage/folders?datasetSynced=True")).results] == [mirror]
        assert [one["uuid"] for one in (await rest("GET /storage/folders?datasetSynced=False")).results] == ["f"]
        assert (await rest(f"GET /storage/folders/{mirror}")).body["syncedDatasetHash"] == dataset["datasetUuid"]
        assert (await rest(f"DELETE /storage/folders/{mirror}")).status == 400
        await registered(rest, "s3://b/1.png", folder=mirror)
        rows = await ann.call("datarows.GET", {}, on=dataset["datasetUuid"], kind="dataset")
        assert [row["file_link"] for row in rows.result] == ["s3://b/1.png"]

    async def test_everything_of_the_organisation(self, rest: Rest) -> None:
        """Only its Admins may ask for folders that are not theirs."""
        await rest.as_(BOB)("POST /storage/folders", {"name": "Bob's"})
        found = (await rest("GET /storage/folders?includeOrgAccess=True&order=createdAt")).results
        assert [folder["name"] for folder in found] == ["Raw", "Bob's"]
        assert (await rest.as_(BOB)("GET /storage/folders?includeOrgAccess=True")).status == 403

    async def test_a_removed_folder_takes_all_with_it(self, rest: Rest, ann: Api, emulator: Emulator) -> None:
        """Folders below, items and their rows; nothing else."""
        inner = (await rest("POST /storage/folders", {"name": "inner", "parent": "f"})).body["uuid"]
        await registered(rest, "s3://b/2.png", folder=inner)
        await linked(ann, rest, "s3://b/1.png")
        other = (await rest("POST /storage/folders", {"name": "other"})).body["uuid"]
        await registered(rest, "s3://b/1.png", folder=other)
        assert (await rest("DELETE /storage/folders/f")).status == 204
        state = emulator.state()
        assert [folder["uuid"] for folder in state["folders"]] == [other]
        assert [item["folder"] for item in state["items"]] == [other]
        assert state["tasks"] == []


class TestIntegrations:
    """Ways into clouds."""

    async def test_they_are_found_by_title_and_uuid(self, rest: Rest) -> None:
        """Both filters are exact, and joined by *and*."""

        async def titles(query: str) -> list[str]:
            return [one["title"] for one in (await rest(f"GET /cloud-integrations{query}")).body["result"]]

        assert await titles("?includeOrgAccess=False") == ["S3", "GCS"]
        assert await titles("?filterIntegrationTitles=S3&filterIntegrationTitles=X&includeOrgAccess=False") == ["S3"]
        assert await titles(f"?filterIntegrationTitles=GCS&filterIntegrationUuids={S3}&includeOrgAccess=False") == []

    async def test_a_synced_folder_is_brought_up_to_its_bucket(self, rest: Rest) -> None:
        """Only what is below its place and of a kind that is known comes in, once; the state is in small letters."""
        cloud = {"integrationUuid": S3, "remoteUrl": "s3://b/in/"}
        folder = (await rest("POST /storage/folders", {"name": "c", "cloudSyncedFolderParams": cloud})).body
        assert (folder["folderType"], folder["integrationHash"], folder["remoteUrl"]) == (
            "cloudLinked",
            S3,
            "s3://b/in/",
        )
        place = f"/storage/folders/{folder['uuid']}"
        for _ in range(2):
            job = (await rest(f"POST {place}/cloud-synced-folder-syncs")).body
            state = (await rest(f"GET {place}/cloud-linked-folder-syncs/{job}/long-polling?timeoutSeconds=9")).body
            assert (state["status"], state["uploadJobsUnitsDone"]) == ("done", 2)
        assert await urls_in(rest, folder["uuid"]) == ["s3://b/in/1.mp4", "s3://b/in/2.png"]
        assert (await rest("POST /storage/folders/f/cloud-synced-folder-syncs")).status == 400

    async def test_nothing_is_read_through_what_is_not_there(self, rest: Rest) -> None:
        """An integration has to be one of the organisation's."""
        cloud = {"integrationUuid": NOWHERE, "remoteUrl": "s3://b/"}
        assert (await rest("POST /storage/folders", {"name": "c", "cloudSyncedFolderParams": cloud})).status == 404
        assert (
            await rest("POST /storage/folders/f/data-upload-jobs", files("u", integrationHash=NOWHERE))
        ).status == 404


class TestJobs:
    """Registering files of a cloud."""

    async def test_a_job_makes_items(self, rest: Rest, emulator: Emulator) -> None:
        """One of each kind, named by its title or its URL, and the job names what it made."""
        meta = {"a": None}
        frames = [{"url": "s3://b/1"}, {"url": "s3://b/2"}]
        body = files(
            "s3://b/i%20.png",
            videos=[{"objectUrl": "s3://b/v", "title": "V", "clientMetadata": meta, "externalFileType": "VIDEO"}],
            imageGroups=[{"images": frames, "title": "G", "createVideo": False, "externalFileType": "IMG_GROUP"}],
            dicomSeries=[{"dicomFiles": [{"url": "s3://b/d"}], "title": "D", "externalFileType": "DICOM"}],
            pdf=[{"objectUrl": "s3://b/p", "externalFileType": "PDF", "pdfMetadata": {"fileSize": 1, "numPages": 2}}],
            integrationHash=S3,
        )
        job = (await rest("POST /storage/folders/f/data-upload-jobs", body)).body
        state = (await rest(f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds=0")).body
        names = ["V", "G", "D", "i .png", "p"]
        assert (state["status"], state["unitsDoneCount"]) == ("DONE", 5)
        assert [item["name"] for item in state["itemsWithNames"]] == names
        items = (await rest("GET /storage/folders/f/items?order=createdAt")).results
        assert [item["itemType"] for item in items] == ["video", "imageGroup", "dicomSeries", "image", "pdf"]
        assert {item["integrationHash"] for item in items} == {S3}
        assert (items[0]["clientMetadata"], items[0]["storageLocation"], items[0]["signedUrl"]) == (
            '{"a": null}',
            "s3",
            None,
        )
        assert [item["name"] for item in emulator.state()["items"]] == names

    async def test_the_vendors_own_file_is_taken_too(self, rest: Rest) -> None:
        """With its own names, and frames in members of their own, in their order."""
        upload = {
            "videos": [{"objectUrl": "s3://b/v.mp4", "title": "V"}],
            "image_groups": [
                {"title": "G", "createVideo": True, "objectUrl_10": "s3://b/10", "objectUrl_9": "s3://b/9"}
            ],
            "skip_duplicate_urls": True,
        }
        for made in (2, 0):
            body = {"externalFiles": upload, "ignoreErrors": False, "fileName": "up.json"}
            job = (await rest("POST /storage/folders/f/data-upload-jobs", body)).body
            state = (await rest(f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds=0")).body
            assert (len(state["itemsWithNames"]), state["fileName"]) == (made, "up.json")
        items = (await rest("GET /storage/folders/f/items?order=createdAt")).results
        assert [(item["itemType"], item["url"]) for item in items] == [
            ("video", "s3://b/v.mp4"),
            ("imageSequence", "s3://b/9"),
        ]

    async def test_what_is_there_is_passed_over_and_not_named(self, rest: Rest) -> None:
        """With the flag a folder is a set of URLs; the answer has only what is new. Without it there are two."""
        assert len((await registered(rest, "s3://b/1", "s3://b/1", "s3://b/2"))["itemsWithNames"]) == 2
        again = await registered(rest, "s3://b/2", "s3://b/3")
        assert ([item["name"] for item in again["itemsWithNames"]], again["unitsDoneCount"]) == (["3"], 2)
        await registered(rest, "s3://b/3", skipDuplicateUrls=False)
        assert await urls_in(rest) == ["s3://b/1", "s3://b/2", "s3://b/3", "s3://b/3"]

    async def test_metadata_of_what_is_there_can_be_replaced(self, rest: Rest) -> None:
        """Only if it is asked for."""
        image = {"objectUrl": "s3://b/1", "clientMetadata": {"n": 1}, "externalFileType": "IMAGE"}
        await registered(rest, "s3://b/1")
        for upserts, expected in ((False, {}), (True, {"n": 1})):
            await registered(rest, images=[image], upsertMetadata=upserts)
            (item,) = (await rest("GET /storage/folders/f/items")).results
            assert json.loads(item["clientMetadata"]) == expected
        (item,) = (await rest("GET /storage/folders/f/items?includeClientMetadata=False")).results
        assert item["clientMetadata"] == ""

    async def test_files_that_cannot_be_read(self, rest: Rest) -> None:
        """One is enough for the job to fail; if errors are to be ignored, only their number tells."""
        for ignores, status in ((False, "ERROR"), (True, "DONE")):
            state = await registered(rest, f"s3://b/{status}", "s3://b/broken.png", ignoreErrors=ignores)
            assert (state["status"], state["unitsDoneCount"], state["unitsErrorCount"]) == (status, 1, 1)
            (error,) = state["unitErrors"]
            assert (error["objectUrls"], len(state["errors"])) == (["s3://b/broken.png"], 1)
        assert await urls_in(rest) == ["s3://b/ERROR", "s3://b/DONE"]

    async def test_a_poll_is_held_until_the_job_is_over(self, start: Start, http: aiohttp.ClientSession) -> None:
        """The answer comes when there is something to say, without another question."""
        emulator = await start(EmulatorSettings(seed=SEED, job_s=0.05))
        rest = Rest(http, emulator.url, ANN)
        job = (await rest("POST /storage/folders/f/data-upload-jobs", files("s3://b/1"))).body
        state = (await rest(f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds=604800")).body
        assert (state["status"], len(state["itemsWithNames"])) == ("DONE", 1)
        assert emulator.stats()["by_query"]["v2/storage/folders/{folder}/data-upload-jobs/{job}.GET"] == 1

    async def test_a_held_poll_ends_with_the_emulator(self, http: aiohttp.ClientSession) -> None:
        """Nobody waits for a service that is gone."""

        async def poll(rest: Rest, job: str) -> None:
            with pytest.raises(aiohttp.ClientError):
                await rest(f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds=60")

        async with (
            anyio.create_task_group() as tasks,
            Emulator(EmulatorSettings(seed=SEED, job_s=SPAN_S)) as emulator,
        ):
            rest = Rest(http, emulator.url, ANN)
            job = (await rest("POST /storage/folders/f/data-upload-jobs", files("s3://b/1"))).body
            tasks.start_soon(poll, rest, job)
            await comes_true(lambda: emulator.stats()["in_flight"] == 1)

    async def test_a_cancelled_job_makes_no_more(self, start: Start, http: aiohttp.ClientSession) -> None:
        """What is still to be made is not, and can be registered again; the job says how much that was."""
        emulator = await start(EmulatorSettings(seed=SEED, job_s=SPAN_S))
        rest = Rest(http, emulator.url, ANN)
        place = "/storage/folders/f/data-upload-jobs"
        job = (await rest(f"POST {place}", files("s3://b/1", "s3://b/2"))).body
        pending = (await rest(f"GET {place}/{job}?timeoutSeconds=0")).body
        assert (pending["status"], pending["unitsPendingCount"], await urls_in(rest)) == ("PENDING", 2, [])
        # What a job is still at is not registered by another one.
        assert (await registered(rest, "s3://b/1"))["unitsPendingCount"] == 1
        assert (await rest(f"POST {place}/{job}/cancel")).body == {"unitsCancelledCount": 2}
        assert (await rest(f"POST {place}/{job}/cancel")).body == {"unitsCancelledCount": 0}
        state = (await rest(f"GET {place}/{job}?timeoutSeconds=0")).body
        assert (state["status"], state["unitsCancelledCount"]) == ("CANCELLED", 2)

    async def test_a_job_goes_on_after_a_restart(self, tmp_path: Path, http: aiohttp.ClientSession) -> None:
        """A job is the service's and not the process's: its uuid is good for the next one."""
        settings = EmulatorSettings(seed=SEED, state=tmp_path / "state", job_s=0.2)
        async with Emulator(settings) as emulator:
            job = (
                await Rest(http, emulator.url, ANN)("POST /storage/folders/f/data-upload-jobs", files("s3://b/1"))
            ).body
        async with Emulator(settings) as emulator:
            rest = Rest(http, emulator.url, ANN)
            state = (await rest(f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds=60")).body
            assert (state["status"], await urls_in(rest)) == ("DONE", ["s3://b/1"])

    async def test_a_reply_that_is_lost_leaves_its_items(self, rest: Rest, emulator: Emulator) -> None:
        """The uuid is gone, what the job made is there, and the same once more adds nothing."""
        emulator.set_faults([FaultRule(query="v2/*/data-upload-jobs.POST", fault=Fault.DROP_AFTER_COMMIT, times=1)])
        body = files("s3://b/1", "s3://b/2")
        with pytest.raises(aiohttp.ClientError):
            await rest("POST /storage/folders/f/data-upload-jobs", body)
        assert await urls_in(rest) == ["s3://b/1", "s3://b/2"]
        assert (await registered(rest, "s3://b/1", "s3://b/2"))["itemsWithNames"] == []

    async def test_listings_can_lag(self, rest: Rest, emulator: Emulator) -> None:
        """A stale read shows neither the new folder nor the new item."""
        await registered(rest, "s3://b/1")
        await rest("POST /storage/folders", {"name": "new"})
        emulator.set_faults([FaultRule(query="v2/storage/*", fault=Fault.STALE_READ, seconds=3600)])
        assert await urls_in(rest) == []
        assert (await rest("GET /storage/folders")).results == []

    async def test_listings_of_items(self, rest: Rest, ann: Api) -> None:
        """By a part of the name, by kind, by whether they are in a dataset, page by page."""
        await linked(ann, rest, "s3://b/a1.png")
        await registered(rest, "s3://b/b2.png", "s3://b/b3.png")

        async def names(query: str) -> list[str]:
            return [item["name"] for item in (await rest(f"GET /storage/folders/f/items?{query}")).results]

        assert await names("search=B&order=name&desc=True") == ["b3.png", "b2.png"]
        assert await names("isInDataset=True") == ["a1.png"]
        assert await names("isInDataset=False") == ["b2.png", "b3.png"]
        assert await names("itemTypes=video&itemTypes=pdf") == []
        first = (await rest("GET /storage/folders/f/items?pageSize=2")).body
        assert len(first["results"]) == 2
        assert await names(f"pageSize=2&pageToken={first['nextPageToken']}") == ["b3.png"]


IMAGE = {"objectUrl": "u", "externalFileType": "IMAGE"}
BAD_JOBS: list[tuple[Json, str]] = [
    ({"ignoreErrors": False}, "either dataItems or externalFiles"),
    ({**files("u"), "externalFiles": {}}, "either dataItems or externalFiles"),
    ({**files("u"), "more": 1}, "unknown member: 'more'"),
    ({"dataItems": files("u")["dataItems"]}, "ignoreErrors of the body is missing"),
    (files(), "1 to 500000 items"),
    (files(films=[]) | {"dataItems": {**files("u")["dataItems"], "films": []}}, "unknown member"),
    (files("u", skipDuplicateUrls="True"), "skipDuplicateUrls has to be a boolean"),
    (files("u", ignoreErrors=1), "ignoreErrors has to be a boolean"),
    (files("u", integrationHash=1), "integrationHash has to be a string"),
    (files(images={}), "images has to be a list"),
    (files(images=["u"]), "images[0] has to be an object"),
    (files(images=[{**IMAGE, "more": 1}]), "images[0] has an unknown member"),
    (files(images=[{"externalFileType": "IMAGE"}]), "objectUrl of images[0] is missing"),
    (files(images=[{**IMAGE, "objectUrl": " "}]), "an URL of images[0]"),
    (files(images=[{**IMAGE, "objectUrl": "u" * 16385}]), "longer than 16384 bytes"),
    (files(images=[{**IMAGE, "title": "t" * 301}]), "longer than 300 characters"),
    (files(images=[{**IMAGE, "title": 1}]), "title has to be a string"),
    (files(images=[{**IMAGE, "clientMetadata": "{}"}]), "clientMetadata of images[0] has to be an object"),
    (files(images=[{**IMAGE, "externalFileType": "VIDEO"}]), "externalFileType of images[0] has to be IMAGE"),
    (files(images=[{**IMAGE, "imageMetadata": {"height": 1}}]), "is missing"),
    (
        files(images=[{**IMAGE, "imageMetadata": {"mimeType": "m", "fileSize": "1", "height": 1, "width": 1}}]),
        "fileSize of imageMetadata of images[0] is of another type",
    ),
    (files(imageGroups=[{"images": [], "externalFileType": "IMG_GROUP"}]), "imageGroups[0] has no files"),
    (files(imageGroups=[{"images": [{"url": "u"}], "externalFileType": "DICOM"}]), "has to be IMG_GROUP"),
    (files(scenes=[{}]), "scenes are not emulated"),
    ({"externalFiles": [], "ignoreErrors": False}, "externalFiles has to be an object"),
    ({"externalFiles": {"films": []}, "ignoreErrors": False}, "unknown member"),
    ({"externalFiles": {"image_groups": [{"title": "t"}]}, "ignoreErrors": False}, "image_groups[0] has no files"),
]
BAD_REQUESTS: list[tuple[str, Json, str]] = [
    *(("POST /storage/folders/f/data-upload-jobs", body, says) for body, says in BAD_JOBS),
    ("POST /storage/folders", {"name": ""}, "name has to be"),
    ("POST /storage/folders", {"name": "n", "title": "n"}, "unknown member: 'title'"),
    ("POST /storage/folders", [], "the body has to be an object"),
    ("POST /storage/folders", {"name": "n", "clientMetadata": {}}, "clientMetadata has to be a string"),
    ("POST /storage/folders", {"name": "n", "clientMetadata": "[]"}, "holds a JSON object"),
    ("POST /storage/folders", {"name": "n", "cloudSyncedFolderParams": {"remoteUrl": "u"}}, "integrationUuid"),
    ("PATCH /storage/folders/f", {"parent": None}, "unknown member"),
    ("PATCH /storage/folders/f", {"clientMetadata": "{}"}, "clientMetadata has to be an object"),
    ("GET /storage/folders?pageSize=0", None, "pageSize has to be an integer from 1 to 1000"),
    ("GET /storage/folders/f/items?pageSize=1001", None, "pageSize has to be an integer"),
    ("GET /storage/folders?isRecursive=True", None, "isRecursive has to be False here"),
    ("GET /storage/folders?order=size", None, "order has to be name or createdAt"),
    ("GET /storage/folders?desc=1", None, "desc has to be a boolean"),
    ("GET /storage/folders?titleEq=n", None, "titleEq is not known in the query"),
    ("GET /storage/folders/f/items?itemTypes=VIDEO", None, "itemTypes: 'VIDEO' is not one of"),
    ("POST /storage/folders/f/groups", {"groupHashList": [], "userRole": 0}, "userRole has to be a string"),
    ("POST /storage/folders/f/groups", {"groupHashList": [], "userRole": "boss"}, "userRole has to be one of"),
    ("DELETE /storage/folders/f/groups", None, "groupHashList is missing"),
    ("POST /projects/p/priorities", {"priorities": [["d", 2]]}, "a number from 0 to 1"),
    ("POST /projects/p/priorities", {"priorities": "d"}, "priorities has to be a list"),
]


@pytest.mark.parametrize(("line", "body", "says"), BAD_REQUESTS)
async def test_what_the_protocol_does_not_know_is_refused(
    rest: Rest, emulator: Emulator, line: str, body: Json, says: str
) -> None:
    """Unknown members, other types and what is beyond a limit: nothing of it is done."""
    before = emulator.state()
    reply: RestReply = await rest(line, body)
    assert (reply.status, says in reply.body["message"]) == (422, True), reply.body
    assert emulator.state() == before


class TestLinks:
    """Items in datasets."""

    async def test_an_item_is_linked_once(self, rest: Rest, ann: Api, emulator: Emulator) -> None:
        """Three ways to go about what is linked already."""
        (row,) = await linked(ann, rest, "s3://b/1.png")
        assert (row["data_title"], row["data_type"], row["storage_location"]) == ("1.png", "IMAGE", 1)
        uuid = row["backing_item_uuid"]

        async def link(behaviour: str) -> Any:
            payload = {"item_uuids": [uuid], "duplicates_behavior": behaviour}
            return await ann.call("datasetlinkitems.POST", payload, "d", on="d", kind="dataset")

        assert (await link("SKIP")).result == []
        assert (await link("FAIL")).code == "RESOURCE_EXISTS_ERROR"
        assert len((await link("DUPLICATE")).result) == 1
        assert (await link("TWICE")).code == "INVALID_ARGUMENTS_ERROR"
        assert emulator.state()["items"][0]["datasets"] == ["d", "d"]

    async def test_nothing_unknown_is_linked(self, rest: Rest, ann: Api, bob: Api) -> None:
        """One item that is not there, and none is linked; nor by those who may not see it."""
        (row,) = await linked(ann, rest, "s3://b/1.png")
        payload = {"item_uuids": [row["backing_item_uuid"], NOWHERE], "duplicates_behavior": "DUPLICATE"}
        reply = await ann.call("datasetlinkitems.POST", payload, "d", on="d", kind="dataset")
        assert reply.code == "AUTHORISATION_ERROR"
        rows = (await ann.call("datarows.GET", {}, on="d", kind="dataset")).result
        assert [one["data_hash"] for one in rows] == [row["data_hash"]]
        made = (await bob.call("dataset.POST", {"title": "B", "type": 0, "create_backing_folder": False})).result
        bobs = made["dataset_hash"]
        payload = {"item_uuids": [row["backing_item_uuid"]], "duplicates_behavior": "SKIP"}
        reply = await bob.call("datasetlinkitems.POST", payload, bobs, on=bobs, kind="dataset")
        assert reply.code == "AUTHORISATION_ERROR"

    async def test_rows_are_found_and_removed(self, rest: Rest, ann: Api, emulator: Emulator) -> None:
        """By title, hash and type; the item stays when its row goes."""
        rows = await linked(ann, rest, "s3://b/a.png", "s3://b/b.png")

        async def titles(**given: Json) -> list[str]:
            return [row["data_title"] for row in (await ann.call("datarows.GET", given, on="d", kind="dataset")).result]

        assert await titles() == ["a.png", "b.png"]
        assert await titles(title_eq="a.png") == await titles(title_like="a%") == ["a.png"]
        assert await titles(data_hashes=[rows[1]["data_hash"]]) == ["b.png"]
        assert await titles(data_types=["VIDEO"]) == []
        gone = await ann.call("video.DELETE", None, [rows[0]["data_hash"]], on="d", kind="dataset")
        assert gone.result is True
        assert await titles() == ["b.png"]
        assert len(emulator.state()["items"]) == 2
        again = await ann.call("video.DELETE", None, [rows[0]["data_hash"]], on="d", kind="dataset")
        assert again.code == "RESOURCE_NOT_FOUND_ERROR"

    async def test_a_dataset_has_its_rows_if_asked(self, rest: Rest, ann: Api) -> None:
        """They have always come with it, unless asked not to."""
        await linked(ann, rest, "s3://b/a.png")
        for settings, count in ((None, 1), ({"fetch_rows": True}, 1), ({"fetch_rows": False}, 0)):
            payload = None if settings is None else {"dataset_access_settings": settings}
            dataset = (await ann.call("dataset.GET", payload, on="d", kind="dataset")).result
            assert len(dataset["data_rows"]) == count


async def stages_of(rest: Rest, project: str = "p") -> dict[str, str]:
    """The uuids of a project's stages by title."""
    stages = (await rest(f"GET /projects/{project}")).body["workflow"]["stages"]
    return {stage["title"]: stage["uuid"] for stage in stages}


class TestWorkflow:
    """Stages and tasks."""

    async def test_stages_are_those_of_the_template(self, rest: Rest, ann: Api) -> None:
        """Titles are the template's, uuids the project's own; a copy, or a project as a template, has the same."""
        one, two = [await ann.create(workflow_template_id="w") for _ in range(2)]
        three = await ann.create(workflow_template_id=one)
        copied = (
            await ann.call(
                "projectcopy.POST",
                {"copy_project_options": [], "copy_labels_options": {}, "project_copy_metadata": {}},
                one,
                on=one,
            )
        ).result
        found = [await stages_of(rest, project) for project in (one, two, three, copied)]
        assert [list(stages) for stages in found] == [["Sort", "Draw", "Look", "End"]] * 4
        assert len({uuid for stages in found for uuid in stages.values()}) == 16
        assert list(await stages_of(rest)) == ["Annotate 1", "Review 1", "Complete"]
        whole = (await rest(f"GET /projects/{one}")).body["workflow"]["stages"]
        assert [stage.get("pathways") for stage in whole] == [[], None, None, None]
        assert (
            await ann.call(
                "project.POST", {"title": "P", "description": "", "dataset_hashes": [], "workflow_template_id": "x"}
            )
        ).code == "RESOURCE_NOT_FOUND_ERROR"

    async def test_each_row_is_a_task(self, rest: Rest, ann: Api, emulator: Emulator) -> None:
        """In the first stage of annotation, and nowhere else; linked or attached first is the same."""
        await linked(ann, rest, "s3://b/a.png", "s3://b/b.png")
        later = await ann.create(datasets=["d"], workflow_template_id="w")
        for project, first, others in (("p", "Annotate 1", 2), (later, "Draw", 3)):
            stages = await stages_of(rest, project)
            place = f"GET /projects/{project}/workflow/stages"
            tasks = (await rest(f"{place}/{stages.pop(first)}/tasks")).results
            assert [(task["dataTitle"], task["status"], task["assignee"]) for task in tasks] == [
                ("a.png", "NEW", None),
                ("b.png", "NEW", None),
            ]
            assert [(await rest(f"{place}/{uuid}/tasks")).results for uuid in stages.values()] == [[]] * others
        assert [project["tasks"] for project in emulator.state()["projects"]] == [2, 2]

    async def test_tasks_are_given_and_taken(self, rest: Rest, ann: Api, emulator: Emulator) -> None:
        """A body is a list; twice is once; tasks are found by whose they are."""
        await linked(ann, rest, "s3://b/a.png", "s3://b/b.png", "s3://b/c.png")
        stage = f"/projects/p/workflow/stages/{(await stages_of(rest))['Annotate 1']}"
        uuids = [task["uuid"] for task in (await rest(f"GET {stage}/tasks")).results]
        assign = [{"taskUuid": uuid, "action": "ASSIGN", "assignee": "Ann@example.com"} for uuid in uuids[:2]]
        for _ in range(2):
            assert (await rest(f"POST {stage}/actions", assign)).status == 204
        release = [{"taskUuid": uuids[0], "action": "RELEASE"}]
        assert (await rest(f"POST {stage}/actions", release)).status == 204

        async def titles(query: str) -> list[str]:
            return [task["dataTitle"] for task in (await rest(f"GET {stage}/tasks?{query}")).results]

        assert await titles("userEmails=ann%40example.com") == ["b.png"]
        assert await titles("statuses=RELEASED&statuses=NEW") == ["a.png", "c.png"]
        assert await titles("dataTitleContains=C.") == ["c.png"]
        assert await titles("datasetHashes=other") == []
        assert [(task["title"], task["status"], task["assignee"]) for task in emulator.state()["tasks"]] == [
            ("a.png", "RELEASED", None),
            ("b.png", "ASSIGNED", "ann@example.com"),
            ("c.png", "NEW", None),
        ]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            (lambda _: [], 422),
            (lambda task: task, 422),
            (lambda task: [task, {**task, "more": 1}], 422),
            (lambda task: [task, {**task, "action": "SUBMIT"}], 422),
            (lambda task: [task, {**task, "action": "FLY"}], 422),
            (lambda task: [task, {"taskUuid": task["taskUuid"], "action": "ASSIGN"}], 422),
            (lambda task: [task, {**task, "taskUuid": "no uuid"}], 422),
            (lambda task: [task, {**task, "taskUuid": NOWHERE}], 404),
            (lambda task: [task, {**task, "assignee": "stranger@example.com"}], 400),
            (lambda task: [task] * 1001, 422),
        ],
    )
    async def test_with_one_bad_action_nothing_is_done(
        self, rest: Rest, ann: Api, emulator: Emulator, change: Callable[[Json], Json], status: int
    ) -> None:
        """A call is done whole or not at all."""
        await linked(ann, rest, "s3://b/a.png")
        stage = f"/projects/p/workflow/stages/{(await stages_of(rest))['Annotate 1']}"
        (task,) = (await rest(f"GET {stage}/tasks")).results
        action = {"taskUuid": task["uuid"], "action": "ASSIGN", "assignee": "ann@example.com"}
        assert (await rest(f"POST {stage}/actions", change(action))).status == status
        assert emulator.state()["tasks"][0]["assignee"] is None

    async def test_tasks_are_in_their_stage_alone(self, rest: Rest, ann: Api) -> None:
        """Neither is one found elsewhere, nor in a stage that is not there."""
        await linked(ann, rest, "s3://b/a.png")
        stages = await stages_of(rest)
        place = "/projects/p/workflow/stages"
        (task,) = (await rest(f"GET {place}/{stages['Annotate 1']}/tasks")).results
        release = [{"taskUuid": task["uuid"], "action": "RELEASE"}]
        assert (await rest(f"POST {place}/{stages['Review 1']}/actions", release)).status == 404
        assert (await rest(f"POST {place}/{NOWHERE}/actions", release)).status == 404
        assert (await rest.as_(BOB)(f"GET {place}/{stages['Annotate 1']}/tasks")).status == 403

    async def test_priorities_are_kept(self, rest: Rest, ann: Api, emulator: Emulator) -> None:
        """They leave whose a task is as it was."""
        (row,) = await linked(ann, rest, "s3://b/a.png")
        assert (await rest("POST /projects/p/priorities", {"priorities": [[row["data_hash"], 1]]})).status == 204
        assert (await rest("POST /projects/p/priorities", {"priorities": [[NOWHERE, 1]]})).status == 404
        (task,) = emulator.state()["tasks"]
        assert (task["priority"], task["status"]) == (1.0, "NEW")

    async def test_tasks_come_later(self, start: Start, http: aiohttp.ClientSession) -> None:
        """A task is not there as soon as its data are: whoever assigns has to wait and read."""
        emulator = await start(EmulatorSettings(seed=SEED, job_s=SPAN_S))
        rest = Rest(http, emulator.url, ANN)
        body = {"title": "D", "createBackingFolder": True, "legacyCall": False}
        assert (await rest("POST /datasets", body)).status == 200
        stage = f"/projects/p/workflow/stages/{(await stages_of(rest))['Annotate 1']}"
        await registered(rest, "s3://b/1")
        assert (await rest(f"GET {stage}/tasks")).results == []


async def test_seeded_tags_are_there(rest: Rest) -> None:
    """Tags of a seed are those of the organisation."""
    assert [tag["name"] for tag in (await rest("GET /organisation/organisation-tags")).results] == ["q1"]


def test_every_job_has_a_rule() -> None:
    """Both spellings of a sync are answered."""
    assert len(JOB_RULES) == 5
