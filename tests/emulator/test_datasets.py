"""The rules of datasets and ontologies, asked over a socket."""

import aiohttp
import pytest

from encord_async.emulator import Emulator, EmulatorSettings, Seed, SeedDataset, SeedProject, SeedUser
from tests.emulator.conftest import ANN, Api, Json, Start

INFO = {"dataset_hash", "user_hash", "title", "description", "type", "created_at", "last_edited_at"}


@pytest.mark.parametrize(
    ("payload", "members"),
    [
        ({"title": "ds", "type": 0}, set()),
        ({"title": "ds", "type": 4, "create_backing_folder": True}, {"backing_folder_uuid"}),
        ({"title": "ds", "type": 2, "create_backing_folder": False, "description": "x"}, {"backing_folder_uuid"}),
    ],
)
async def test_each_era_creates_a_dataset_and_can_read_the_reply(ann: Api, payload: Json, members: set[str]) -> None:
    """The backing folder is in the reply only for those who know of it."""
    made = (await ann.call("dataset.POST", payload)).result
    assert set(made) == {"title", "type", "dataset_hash", "user_hash"} | members
    assert (made["title"], made["type"]) == ("ds", payload["type"])
    assert bool(made.get("backing_folder_uuid")) == payload.get("create_backing_folder", False)
    assert await ann.create(datasets=[made["dataset_hash"]])


@pytest.mark.parametrize(
    "payload", [{"title": "ds"}, {"title": "ds", "type": 5}, {"title": "", "type": 0}, {"type": 0}]
)
async def test_bad_datasets_are_not_created(ann: Api, emulator: Emulator, payload: Json) -> None:
    """A missing title or a storage that does not exist makes no dataset."""
    assert (await ann.call("dataset.POST", payload)).code == "INVALID_ARGUMENTS_ERROR"
    assert len(emulator.state()["datasets"]) == 3


async def test_listings_show_exactly_what_the_caller_can_parse(ann: Api) -> None:
    """Old SDKs break on a member too many, so the backing folder comes on request only."""
    plain = (await ann.call("datasetwithuserrole.GET", {"filter": {"title_like": "C%"}})).result
    assert [(item["user_role"], item["dataset"]["title"], set(item["dataset"])) for item in plain] == [
        (0, "Cats", INFO)
    ]
    rich = (await ann.call("datasetwithuserrole.GET", {"filter": {}, "enable_storage_api": True})).result
    assert [set(item["dataset"]) for item in rich] == [INFO | {"backing_folder_uuid"}] * 2


async def test_a_dataset_is_read_by_its_members(ann: Api, bob: Api) -> None:
    """Any member reads it; others do not."""
    settings = {"dataset_access_settings": {"fetch_client_metadata": False}, "fetch_rows": False}
    found = (await bob.call("dataset.GET", settings, on="bob-1", kind="dataset")).result
    assert (found["dataset_type"], found["data_rows"], found["title"]) == ("AWS_S3", [], "Birds")
    assert (await ann.call("dataset.GET", settings, on="bob-1", kind="dataset")).code == "AUTHORISATION_ERROR"
    assert (await ann.call("dataset.GET", settings, on="none", kind="dataset")).code == "RESOURCE_NOT_FOUND_ERROR"
    add = {"user_emails": ["ann@example.com", "bob@example.com"], "user_role": 1}
    roles = (await bob.call("datasetusers.POST", add, "bob-1", on="bob-1", kind="dataset")).result
    assert roles == [
        {"user_email": "ann@example.com", "user_role": 1, "dataset_hash": "bob-1"},
        {"user_email": "bob@example.com", "user_role": 0, "dataset_hash": "bob-1"},
    ]
    assert (await ann.call("dataset.GET", settings, on="bob-1", kind="dataset")).result["title"] == "Birds"
    assert (await ann.call("datarows.GET", {}, on="bob-1", kind="dataset")).result == []
    assert (await ann.call("datasetusers.POST", add, "bob-1", on="bob-1", kind="dataset")).code == (
        "AUTHORISATION_ERROR"
    )
    bad = {**add, "user_role": 2}
    assert (await bob.call("datasetusers.POST", bad, "bob-1", on="bob-1", kind="dataset")).code == (
        "INVALID_ARGUMENTS_ERROR"
    )


async def test_dataset_api_keys(ann: Api, bob: Api) -> None:
    """Made, listed, got or created, and used; only by an Admin of the dataset."""
    payload = {"dataset_hash": "ann-1", "title": "t", "scopes": ["dataset.write"]}
    made = (await ann.call("datasetapikey.POST", payload)).result
    assert set(made) == {"resource_hash", "api_key", "title", "key_hash", "scopes"}
    full = (await ann.call("datasetapikey.PUT", {"dataset_hash": "ann-1"})).result
    assert (await ann.call("datasetapikey.PUT", {"dataset_hash": "ann-1"})).result == full
    assert (await ann.call("datasetapikey.GET", {"dataset_hash": "ann-1"})).result == [made, full]
    assert (await bob.call("datasetapikey.GET", {"dataset_hash": "ann-1"})).code == "AUTHORISATION_ERROR"
    key = ann.as_(made["api_key"])
    assert (await key.call("dataset.GET", None, on="ann-1")).result["title"] == "Cats"
    assert (await key.call("apikeymeta.GET", None, on="ann-1")).result == {"title": "t", "resource_type": "dataset"}
    assert (await key.call("datarows.GET", {}, on="ann-1")).code == "OPERATION_NOT_ALLOWED"


async def test_ontologies_are_made_read_saved_and_used(ann: Api, bob: Api) -> None:
    """An ontology given to a new project is the project's; who is no member cannot use it."""
    editor: Json = {"objects": [], "classifications": [], "skeleton_templates": []}
    made = (await ann.call("ontology.POST", {"title": "Animals", "description": "", "editor": editor})).result
    hash_ = made["ontology_hash"]
    assert set(made) == {"title", "description", "ontology_hash", "editor", "created_at", "last_edited_at"}
    changed = {"title": "Beasts", "description": "d", "editor": {"objects": [1]}}
    assert (await ann.call("ontology.PUT", changed, hash_, on=hash_, kind="ontology")).result
    read = (await ann.call("ontology.GET", None, hash_, on=hash_, kind="ontology")).result
    assert (read["title"], read["editor"]) == ("Beasts", {"objects": [1]})
    project = await ann.create(ontology_hash=hash_)
    assert (await ann.call("ontology.GET", None, hash_, on=project)).result == read
    assert (await ann.call("ontology.GET", None, "another", on=project)).code == "AUTHORISATION_ERROR"
    (item,) = (await ann.call("ontologywithuserrole.GET", {"filter": {"title_eq": "Beasts"}})).result
    assert item == {"user_role": 0, "user_email": "ann@example.com", "ontology": read}
    payload = {"title": "P", "description": "", "dataset_hashes": [], "ontology_hash": hash_}
    assert (await bob.call("project.POST", payload)).code == "AUTHORISATION_ERROR"
    assert (await bob.call("ontology.GET", None, hash_, on=hash_, kind="ontology")).code == "AUTHORISATION_ERROR"
    assert (await bob.call("ontology.GET", None, "none", on="none", kind="ontology")).code == (
        "RESOURCE_NOT_FOUND_ERROR"
    )


async def test_there_are_no_cloud_integrations(ann: Api) -> None:
    """The call is answered, with nothing."""
    assert (await ann.call("cloudintegration.GET")).result == []


async def test_a_dataset_key_opens_no_project_of_the_same_hash(start: Start, http: aiohttp.ClientSession) -> None:
    """A key is of one resource of one kind."""
    seed = Seed(
        users=(SeedUser(email="ann@example.com", public_key=ANN.public_hex),),
        datasets=(SeedDataset(hash="same", title="D", admins=("ann@example.com",)),),
        projects=(SeedProject(hash="same", title="P", admins=("ann@example.com",)),),
    )
    api = Api(http, (await start(EmulatorSettings(seed=seed))).url, ANN)
    key = api.as_((await api.call("datasetapikey.PUT", {"dataset_hash": "same"})).result["api_key"])
    assert (await key.call("dataset.GET", None, on="same")).code is None
    assert (await key.call("project.GET", None, on="same")).code == "AUTHORISATION_ERROR"
