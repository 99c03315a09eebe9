"""The rules of projects, asked over a socket."""

import re
from datetime import UTC, datetime

import pytest

from encord_async.emulator import Emulator
from encord_async.protocol.catalogue import APIKeyScope
from tests.emulator.conftest import BOB, Api, Json

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


async def _project(api: Api, hash_: str) -> Json:
    return (await api.call("project.GET", {"include_labels_metadata": False}, on=hash_)).result


async def _datasets_of(api: Api, hash_: str) -> list[str]:
    return [dataset["dataset_hash"] for dataset in (await _project(api, hash_))["datasets"]]


async def test_a_created_project_can_be_read_back(ann: Api) -> None:
    """Title, description and datasets are those of the create call; the ontology is a new empty one."""
    hash_ = await ann.create("Pets", ["ann-2", "ann-1"], description="of Ann", workflow_type="manual")
    assert UUID.fullmatch(hash_)
    found = await _project(ann, hash_)
    assert set(found) == {
        "project_hash", "title", "description", "created_at", "last_edited_at", "editor_ontology",
        "ontology_hash", "datasets", "source_projects", "workflow_manager_uuid",
    }  # fmt: skip
    assert (found["project_hash"], found["title"], found["description"]) == (hash_, "Pets", "of Ann")
    assert STAMP.fullmatch(found["created_at"])
    assert found["editor_ontology"] == {"objects": [], "classifications": [], "skeleton_templates": []}
    assert {"dataset_hash": "ann-2", "title": "Dogs", "description": "about dogs", "dataset_type": "CORD_STORAGE"} in (
        found["datasets"]
    )
    assert (await ann.call("project.GET", None, on=hash_)).result["label_rows"] == []


async def test_two_projects_may_have_one_title(ann: Api) -> None:
    """A create repeated makes a second project: nothing in this API prevents duplicates."""
    assert await ann.create("Same") != await ann.create("Same")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"dataset_hashes": ["ann-1", "nowhere"]}, "RESOURCE_NOT_FOUND_ERROR"),
        ({"dataset_hashes": ["ann-1", "bob-1"]}, "AUTHORISATION_ERROR"),
        ({"ontology_hash": "nowhere"}, "RESOURCE_NOT_FOUND_ERROR"),
        ({"workflow_template_id": "nowhere"}, "RESOURCE_NOT_FOUND_ERROR"),
        ({"workflow_type": "automatic"}, "INVALID_ARGUMENTS_ERROR"),
        ({"workflow_type": "benchmark"}, "INVALID_ARGUMENTS_ERROR"),
        ({"source_projects": ["seeded"]}, "INVALID_ARGUMENTS_ERROR"),
        ({"title": " "}, "INVALID_ARGUMENTS_ERROR"),
        ({"title": 7}, "INVALID_ARGUMENTS_ERROR"),
        ({"description": 7}, "INVALID_ARGUMENTS_ERROR"),
        ({"dataset_hashes": "ann-1"}, "INVALID_ARGUMENTS_ERROR"),
        ({"dataset_hashes": [1]}, "INVALID_ARGUMENTS_ERROR"),
        ({"dataset_hashes": {}}, "INVALID_ARGUMENTS_ERROR"),
    ],
)
async def test_a_refused_create_leaves_nothing(ann: Api, emulator: Emulator, change: Json, code: str) -> None:
    """One bad argument, and there is no project, no ontology and no line in the log."""
    before = emulator.state()
    payload = {"title": "P", "description": "", "dataset_hashes": [], **change}
    assert (await ann.call("project.POST", payload)).code == code
    assert emulator.state() == before
    assert emulator.log() == []
    assert (await ann.call("ontologywithuserrole.GET", {"filter": {"title_eq": "P"}})).result == []


async def test_benchmark_projects_and_templates_name_projects_of_the_caller(ann: Api, bob: Api) -> None:
    """Sources and templates have to be projects in which the caller is an Admin."""
    made = await ann.create(workflow_type="benchmark", source_projects=["seeded"])
    assert (await _project(ann, made))["source_projects"] == ["seeded"]
    assert await ann.create(workflow_template_id="seeded")
    payload = {"title": "P", "description": "", "dataset_hashes": [], "workflow_template_id": "seeded"}
    assert (await bob.call("project.POST", payload)).code == "AUTHORISATION_ERROR"


async def test_datasets_are_attached_and_detached_any_number_of_times(ann: Api) -> None:
    """Attaching the attached and detaching the absent is true and changes nothing."""
    hash_ = await ann.create(datasets=["ann-1"])
    for _ in range(2):
        assert (await ann.call("projectdataset.POST", {"dataset_hashes": ["ann-1", "ann-2"]}, on=hash_)).result is True
        assert sorted(await _datasets_of(ann, hash_)) == ["ann-1", "ann-2"]
    for _ in range(2):
        assert (await ann.call("projectdataset.DELETE", None, ["ann-1", "nowhere"], on=hash_)).result is True
        assert await _datasets_of(ann, hash_) == ["ann-2"]


@pytest.mark.parametrize(
    ("hashes", "code"),
    [(["ann-2", "nowhere"], "RESOURCE_NOT_FOUND_ERROR"), (["ann-2", "bob-1"], "AUTHORISATION_ERROR")],
)
async def test_one_bad_dataset_attaches_none(ann: Api, hashes: list[str], code: str) -> None:
    """A list is taken as a whole or not at all."""
    assert (await ann.call("projectdataset.POST", {"dataset_hashes": hashes}, on="seeded")).code == code
    assert await _datasets_of(ann, "seeded") == ["ann-1"]


async def test_adding_a_member_again_keeps_the_role(ann: Api) -> None:
    """The reply shows the role that is held, which may not be the one asked for."""
    add = {"user_emails": ["new@example.com", "NEW@example.com", "bob@example.com"], "user_role": 2}
    first = (await ann.call("projectusers.POST", add, "seeded", on="seeded")).result
    assert [member["user_role"] for member in first] == [2, 2, 2]
    assert set(first[0]) == {"user_email", "user_role", "project_hash", "user_hash", "user_id"}
    again = {"user_emails": ["ann@example.com", "new@example.com"], "user_role": 1}
    second = (await ann.call("projectusers.POST", again, "seeded", on="seeded")).result
    assert [(member["user_email"], member["user_role"]) for member in second] == [
        ("ann@example.com", 0),
        ("new@example.com", 2),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"user_emails": [], "user_role": 1},
        {"user_emails": ["a@example.com", "nobody"], "user_role": 1},
        {"user_emails": ["a@example.com"], "user_role": 6},
        {"user_emails": ["a@example.com"], "user_role": -1},
        {"user_emails": ["a@example.com"], "user_role": True},
        {"user_emails": ["a@example.com"], "user_role": "one"},
        {"user_emails": ["a@example.com"]},
        {"user_role": 1},
        ["a@example.com"],
    ],
)
async def test_bad_users_add_nobody(ann: Api, emulator: Emulator, payload: Json) -> None:
    """An empty list, a bad address or a role that is none adds no one."""
    assert (await ann.call("projectusers.POST", payload, "seeded", on="seeded")).code == "INVALID_ARGUMENTS_ERROR"
    assert len(emulator.state()["projects"][0]["users"]) == 1


async def test_roles_decide_who_may_do_what(ann: Api, bob: Api) -> None:
    """Strangers see nothing, team managers read, annotators belong but neither read it whole nor change it."""
    add = {"user_emails": ["bob@example.com"], "user_role": 4}
    calls: list[tuple[str, Json, Json]] = [
        ("project.GET", None, None),
        ("projectdataset.POST", {"dataset_hashes": ["bob-1"]}, None),
        ("projectdataset.DELETE", None, ["ann-1"]),
        ("projectusers.POST", add, "seeded"),
    ]
    for name, payload, uid in calls:
        assert (await bob.call(name, payload, uid, on="seeded")).code == "AUTHORISATION_ERROR"
        assert (await bob.call(name, payload, uid, on="nowhere")).code == "RESOURCE_NOT_FOUND_ERROR"
    assert (await bob.call("projectapikey.GET", None, "seeded")).code == "AUTHORISATION_ERROR"
    await ann.call("projectusers.POST", add, "seeded", on="seeded")
    codes = [(await bob.call(name, payload, uid, on="seeded")).code for name, payload, uid in calls]
    assert codes == [None, *["AUTHORISATION_ERROR"] * 3]
    annotated = await ann.create("Annotated")
    await ann.call("projectusers.POST", {**add, "user_role": 1}, annotated, on=annotated)
    assert (await bob.call("project.GET", None, on=annotated)).code == "AUTHORISATION_ERROR"
    assert (await bob.call("labelrowmetadata.GET", {}, on=annotated)).result == []


async def test_api_keys_are_made_listed_and_used(ann: Api) -> None:
    """A key attaches, detaches, adds users and reads; label rows need the scope."""
    made = await ann.call("projectapikey.POST", {"title": "ci", "scopes": ["label.write"]}, "seeded")
    key = ann.as_(made.result)
    listed = (await ann.call("projectapikey.GET", None, "seeded")).result
    assert listed == [{"api_key": made.result, "title": "ci", "scopes": ["label.write"]}]
    assert (await key.call("projectdataset.POST", {"dataset_hashes": ["ann-2"]}, on="seeded")).result is True
    assert (await key.call("projectdataset.DELETE", None, ["ann-1"], on="seeded")).result is True
    add = {"user_emails": ["new@example.com"], "user_role": 1}
    assert (await key.call("projectusers.POST", add, on="seeded")).result[0]["user_role"] == 1
    assert await _datasets_of(key, "seeded") == ["ann-2"]
    meta = {"title": "ci", "resource_type": "project"}
    assert (await key.call("apikeymeta.GET", None, on="seeded")).result == meta
    assert (await key.call("labelrowmetadata.GET", {}, on="seeded")).code == "OPERATION_NOT_ALLOWED"


async def test_an_api_key_opens_its_project_only(ann: Api) -> None:
    """Neither another project, nor anything of the user, nor a dataset its maker does not own."""
    made = await ann.call("projectapikey.POST", {"title": "ci", "scopes": ["label.read"]}, "seeded")
    key = ann.as_(made.result)
    other = await ann.create()
    assert (await key.call("project.GET", None, on=other)).code == "AUTHORISATION_ERROR"
    assert (await key.call("apikeymeta.GET", None, on=other)).code == "AUTHORISATION_ERROR"
    assert (await key.call("projectwithuserrole.GET", {"filter": {}})).code == "AUTHENTICATION_ERROR"
    assert (await key.call("projectdataset.POST", {"dataset_hashes": ["bob-1"]}, on="seeded")).code == (
        "AUTHORISATION_ERROR"
    )
    assert (await key.call("labelrowmetadata.GET", {}, on="seeded")).result == []
    assert (await ann.as_("no-such-key").call("project.GET", None, on="seeded")).code == "AUTHENTICATION_ERROR"


@pytest.mark.parametrize(
    "payload",
    [{"title": "ci", "scopes": ["label.burn"]}, {"title": "", "scopes": []}, {"title": "ci"}, {"scopes": []}, None],
)
async def test_bad_api_keys_are_refused(ann: Api, payload: Json) -> None:
    """Unknown scopes and missing titles make no key."""
    assert (await ann.call("projectapikey.POST", payload, "seeded")).code == "INVALID_ARGUMENTS_ERROR"
    assert (await ann.call("projectapikey.GET", None, "seeded")).result == []


async def test_the_full_key_is_made_once(ann: Api) -> None:
    """Get-or-create gives the same key with every scope each time."""
    keys = {(await ann.call("projectapikey.PUT", {}, "seeded")).result for _ in range(3)}
    listed = (await ann.call("projectapikey.GET", None, "seeded")).result
    assert [key["api_key"] for key in listed] == list(keys)
    assert set(listed[0]["scopes"]) == set(APIKeyScope)


async def test_a_copy_takes_along_what_is_asked_for(ann: Api, emulator: Emulator) -> None:
    """Datasets and collaborators if named, a new title if given, and the copier is Admin."""
    await ann.call("projectusers.POST", {"user_emails": ["c@example.com"], "user_role": 3}, "seeded", on="seeded")
    options = {"copy_labels_options": {}, "project_copy_metadata": {"project_title": "Copy"}}
    both = {"copy_project_options": ["datasets", "collaborators"], **options}
    whole = (await ann.call("projectcopy.POST", both, "seeded", on="seeded")).result
    bare = (await ann.call("projectcopy.POST", {"copy_project_options": []}, "seeded", on="seeded")).result
    projects = {project["project_hash"]: project for project in emulator.state()["projects"]}
    assert projects[whole]["title"] == "Copy"
    assert projects[whole]["datasets"] == ["ann-1"]
    assert {(user["email"], user["role"]) for user in projects[whole]["users"]} == {
        ("ann@example.com", 0),
        ("c@example.com", 3),
    }
    assert (projects[bare]["title"], projects[bare]["datasets"]) == ("Copy of Seeded", [])
    assert len(projects[bare]["users"]) == 1


async def _titles(api: Api, **filter_: str) -> list[str]:
    found = (await api.call("projectwithuserrole.GET", {"filter": filter_})).result
    return [item["project"]["title"] for item in found]


async def test_listings_show_exactly_what_old_sdks_can_parse(ann: Api) -> None:
    """A member more or less in an item is a TypeError in the official SDK."""
    (item,) = (await ann.call("projectwithuserrole.GET", {"filter": {}})).result
    assert set(item) == {"user_role", "project"}
    assert set(item["project"]) == {"project_hash", "title", "description", "created_at", "last_edited_at"}


async def test_filters_of_titles_and_descriptions(ann: Api) -> None:
    """Exact is exact; like knows % and _, and case counts."""
    await ann.create("Alpha", description="first one")
    await ann.create("Alp", description="second one")
    assert await _titles(ann, title_eq="Alp") == ["Alp"]
    assert await _titles(ann, title_like="Al%") == ["Alpha", "Alp"]
    assert await _titles(ann, title_like="al%") == []
    assert await _titles(ann, title_like="Alp_a") == ["Alpha"]
    assert await _titles(ann, desc_eq="first one") == ["Alpha"]
    assert await _titles(ann, desc_like="%one", title_like="%ha") == ["Alpha"]
    assert await _titles(ann, title_eq="Al%") == []


async def test_filters_of_dates(ann: Api) -> None:
    """Offsets are honoured, dates without a zone are UTC, and the bounds themselves are outside."""
    await ann.create("Now")
    past, future = "2001-02-03T04:05:06", "2101-02-03T04:05:06.789+02:00"
    for kind in ("created", "edited"):
        assert await _titles(ann, **{f"{kind}_after": past}) == ["Seeded", "Now"]
        assert await _titles(ann, **{f"{kind}_before": past}) == []
        assert await _titles(ann, **{f"{kind}_before": future}) == ["Seeded", "Now"]
        assert await _titles(ann, **{f"{kind}_after": future}) == []
        assert await _titles(ann, **{f"{kind}_after": "2001-02-03T04:05:06Z"}) == ["Seeded", "Now"]


@pytest.mark.parametrize("value", ["yesterday", "", 5, "2001-13-01"])
async def test_bad_dates_have_their_own_code(ann: Api, value: Json) -> None:
    """The code tells a bad date from other bad arguments."""
    reply = await ann.call("projectwithuserrole.GET", {"filter": {"created_after": value}})
    assert reply.code == "INVALID_DATE_FORMAT_ERROR"


async def test_bad_filters_are_refused(ann: Api) -> None:
    """A misspelt filter must not silently show everything."""
    bad: list[Json] = [{"title": "P"}, {"title_eq": 7}, [], "x"]
    for filter_ in bad:
        reply = await ann.call("projectwithuserrole.GET", {"filter": filter_})
        assert reply.code == "INVALID_ARGUMENTS_ERROR"


async def test_users_see_what_they_are_members_of(ann: Api, bob: Api) -> None:
    """A listing shows one's own roles, and nothing of others."""
    assert await _titles(bob) == []
    await ann.call("projectusers.POST", {"user_emails": ["bob@example.com"], "user_role": 2}, "seeded", on="seeded")
    (item,) = (await ann.as_(BOB).call("projectwithuserrole.GET", {"filter": {}})).result
    assert item["user_role"] == 2


async def test_created_after_tells_two_creates_within_a_second_apart(ann: Api, emulator: Emulator) -> None:
    """Times are kept to the microsecond, though replies show seconds."""
    await ann.create("First")
    (entry,) = emulator.log()
    await ann.create("Second")
    moment = datetime.fromtimestamp(entry["at"], UTC).isoformat()
    assert await _titles(ann, created_after=moment) == ["Second"]
