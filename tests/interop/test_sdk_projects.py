"""What the official SDK makes, our client reads, and the other way round. All of it over the envelope API."""

from collections import Counter

import pytest

from encord_async import CopyOption, DatasetUserRole, EncordSession, ProjectUserRole
from encord_async.emulator import Emulator
from encord_async.operations import ListingFilter
from tests.interop.conftest import (
    ANN,
    ANNS_PROJECT,
    BIRDS,
    BOB,
    BOBS_PROJECT,
    CATS,
    DOGS,
    PETS,
    Json,
    Sdk,
    SdkError,
    only_new,
)


async def _datasets(session: EncordSession, project_hash: str) -> list[str]:
    return [dataset.dataset_hash for dataset in (await session.project(project_hash).get()).datasets]


def _members(emulator: Emulator, project_hash: str) -> dict[str, int]:
    (found,) = (project for project in emulator.state()["projects"] if project["project_hash"] == project_hash)
    return {user["email"]: user["role"] for user in found["users"]}


async def test_the_process_is_the_sdk_and_nothing_of_ours(sdk: Sdk, sdk_release: str) -> None:
    """What these tests talk to is the pinned release, in an environment without our package."""
    assert await sdk.call("about") == {"release": sdk_release, "ours": False}


async def test_the_sdk_creates_projects(sdk: Sdk, session: EncordSession) -> None:
    """A title, datasets, a description beyond ASCII, an ontology and a template all arrive as given."""
    bare = await sdk.call("create_project", project_title="Bare", dataset_hashes=[])
    full = await sdk.call(
        "create_project",
        project_title="Größe \U0001f408",
        dataset_hashes=[CATS, DOGS],
        project_description='a "quoted"\nline',
        ontology_hash=PETS,
        workflow_template_hash=ANNS_PROJECT,
    )
    bare_project, full_project = await session.project(bare).get(), await session.project(full).get()
    assert (bare_project.title, bare_project.description, bare_project.datasets) == ("Bare", "", ())
    assert bare_project.ontology_hash not in (None, PETS)
    assert (full_project.title, full_project.description) == ("Größe \U0001f408", 'a "quoted"\nline')
    assert [dataset.dataset_hash for dataset in full_project.datasets] == [CATS, DOGS]
    assert full_project.ontology_hash == PETS


async def test_the_sdk_creates_benchmark_projects(sdk: Sdk, session: EncordSession) -> None:
    """The workflow of a benchmark names the projects that it takes its truth from."""
    made = await sdk.call("create_project", project_title="B", dataset_hashes=[CATS], benchmark_of=[ANNS_PROJECT])
    assert (await session.project(made).get()).source_projects == (ANNS_PROJECT,)


async def test_the_sdk_lists_projects_as_we_do(sdk: Sdk, session: EncordSession) -> None:
    """`get_projects` shows what our listing shows: the caller's own projects, each with the caller's role."""
    made = await sdk.call("create_project", project_title="Listed", dataset_hashes=[], project_description="here")
    theirs = await sdk.call("get_projects")
    ours = await session.list_projects()
    assert [(item["project_hash"], item["title"], item["description"], item["user_role"]) for item in theirs] == [
        (item.project.project_hash, item.project.title, item.project.description, item.user_role) for item in ours
    ]
    assert {item["project_hash"] for item in theirs} == {ANNS_PROJECT, made}
    assert BOBS_PROJECT not in {item["project_hash"] for item in theirs}


@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ({"title_eq": "Cats 1"}, ["Cats 1"]),
        ({"title_eq": "Cats"}, []),
        ({"title_like": "Cats %"}, ["Cats 1", "Cats 2"]),
        ({"desc_eq": "second"}, ["Cats 2"]),
        ({"title_like": "%s%", "desc_like": "_irst"}, ["Cats 1"]),
        ({"dates": {"created_after": "2001-01-01T00:00:00+00:00"}, "title_like": "Cats%"}, ["Cats 1", "Cats 2"]),
        ({"dates": {"created_before": "2001-01-01T00:00:00+02:00"}}, []),
        ({"edited_after": "2001-01-01", "title_eq": "Cats 2"}, ["Cats 2"]),
        ({"dates": {"edited_before": "2001-01-01T00:00:00"}}, []),
    ],
)
async def test_the_sdk_filters_its_listing(sdk: Sdk, filters: Json, titles: list[str]) -> None:
    """Filters by title, description and date pick what they name, with and without a time zone."""
    for title, description in (("Cats 1", "first"), ("Cats 2", "second")):
        await sdk.call("create_project", project_title=title, dataset_hashes=[], project_description=description)
    assert [item["title"] for item in await sdk.call("get_projects", **filters)] == titles


async def test_the_sdk_attaches_and_detaches_datasets(sdk: Sdk, session: EncordSession) -> None:
    """Datasets come and go; doing either twice is answered with true."""
    made = await sdk.call("create_project", project_title="P", dataset_hashes=[])
    for _ in range(2):
        assert await sdk.call("add_datasets", on=made, dataset_hashes=[CATS, DOGS]) is True
    assert await _datasets(session, made) == [CATS, DOGS]
    for _ in range(2):
        assert await sdk.call("remove_datasets", on=made, dataset_hashes=[CATS]) is True
    assert await _datasets(session, made) == [DOGS]


async def test_the_sdk_adds_users(sdk: Sdk, emulator: Emulator) -> None:
    """Each role of the SDK arrives as the number it stands for; who is a member already keeps the role they have."""
    roles = ["ADMIN", "ANNOTATOR", "REVIEWER", "ANNOTATOR_REVIEWER", "TEAM_MANAGER"]
    for role in roles:
        added = await sdk.call("add_users", on=ANNS_PROJECT, emails=[f"{role.lower()}@example.com"], role=role)
        assert added == [[f"{role.lower()}@example.com", role, ANNS_PROJECT]]
    wanted = {f"{role.lower()}@example.com": int(ProjectUserRole[role]) for role in roles}
    assert _members(emulator, ANNS_PROJECT) == {ANN.email: 0, **wanted}

    again = await sdk.call("add_users", on=ANNS_PROJECT, emails=["reviewer@example.com", BOB.email], role="ANNOTATOR")
    assert again == [["reviewer@example.com", "REVIEWER", ANNS_PROJECT], [BOB.email, "ANNOTATOR", ANNS_PROJECT]]
    assert _members(emulator, ANNS_PROJECT)["reviewer@example.com"] == ProjectUserRole.REVIEWER


@only_new
async def test_the_newest_sdk_adds_viewers(sdk: Sdk, emulator: Emulator) -> None:
    """The role that only the newest release has is a role here, too."""
    await sdk.call("add_users", on=ANNS_PROJECT, emails=[BOB.email], role="VIEWER")
    assert _members(emulator, ANNS_PROJECT)[BOB.email] == ProjectUserRole.VIEWER


async def test_the_sdk_copies_projects(sdk: Sdk, session: EncordSession, emulator: Emulator) -> None:
    """A copy has what was asked for: by itself nothing, with options the datasets and the people."""
    await sdk.call("add_users", on=ANNS_PROJECT, emails=[BOB.email], role="REVIEWER")
    bare = await sdk.call("copy_project", on=ANNS_PROJECT)
    full = await sdk.call(
        "copy_project",
        on=ANNS_PROJECT,
        copy_datasets=True,
        copy_collaborators=True,
        copy_models=True,
        new_title="Copied",
        new_description="from Ann's",
    )
    assert (await _datasets(session, bare), _members(emulator, bare)) == ([], {ANN.email: 0})
    assert (await _datasets(session, full), _members(emulator, full)) == ([CATS], {ANN.email: 0, BOB.email: 2})
    copied = await session.project(full).get()
    assert (copied.title, copied.description, copied.ontology_hash) == ("Copied", "from Ann's", PETS)


async def test_the_sdk_reads_a_project_as_we_do(sdk: Sdk, session: EncordSession) -> None:
    """The low-level client's project has the fields of ours; with labels asked for there is a list of them."""
    theirs = await sdk.call("get_project", on=ANNS_PROJECT)
    ours = await session.project(ANNS_PROJECT).get()
    assert theirs["title"] == ours.title == "Ann's"
    assert theirs["ontology_hash"] == ours.ontology_hash == PETS
    assert theirs["editor_ontology"] == ours.editor_ontology
    assert ours.created_at is not None
    assert theirs["created_at"] == ours.created_at.strftime("%Y-%m-%d %H:%M:%S")
    assert theirs["datasets"] == [dataset.model_dump() for dataset in ours.datasets]
    assert "label_rows" not in theirs
    assert (await sdk.call("get_project", on=ANNS_PROJECT, include_labels_metadata=True))["label_rows"] == []


async def test_the_sdk_reads_the_rest_of_a_project(sdk: Sdk) -> None:
    """Ontology and label rows of a project are answered in a form that the SDK takes."""
    assert await sdk.call("get_project_ontology", on=ANNS_PROJECT) == {"objects": [], "classifications": []}
    assert await sdk.call("list_label_rows", on=ANNS_PROJECT) == []


async def test_the_sdk_works_on_datasets(sdk: Sdk, session: EncordSession) -> None:
    """A dataset is read, its rows are listed and users are added to it; a member keeps the role."""
    assert await sdk.call("get_dataset", on=DOGS) == {"dataset_hash": DOGS, "title": "Dogs", "storage": "AWS"}
    assert await sdk.call("list_data_rows", on=DOGS) == []
    added = await sdk.call("add_dataset_users", on=DOGS, emails=[BOB.email], role="USER")
    assert added == [[BOB.email, "USER", DOGS]]
    (kept,) = await session.add_dataset_users(DOGS, [BOB.email], DatasetUserRole.ADMIN)
    assert kept.user_role == DatasetUserRole.USER
    (kept_too,) = await sdk.call("add_dataset_users", on=DOGS, emails=[BOB.email], role="ADMIN")
    assert kept_too == [BOB.email, "USER", DOGS]


async def test_the_sdk_works_with_a_bearer_token(sdk: Sdk, session: EncordSession) -> None:
    """A token does what the key of its user does."""
    by_token = sdk.with_token("token-of-ann")
    made = await by_token.call("create_project", project_title="By token", dataset_hashes=[CATS])
    assert await by_token.call("remove_datasets", on=made, dataset_hashes=[CATS]) is True
    assert (await session.project(made).get()).datasets == ()


async def test_the_sdk_sees_what_we_make(sdk: Sdk, session: EncordSession) -> None:
    """A project of ours, its datasets and its users are there for the SDK."""
    made = await session.create_project("Ours", dataset_hashes=[CATS], description="made by us", ontology_hash=PETS)
    project = session.project(made)
    await project.add_datasets([DOGS])
    await project.add_users([BOB.email, "new@example.com"], ProjectUserRole.REVIEWER)

    (listed,) = await sdk.call("get_projects", title_eq="Ours")
    assert (listed["project_hash"], listed["description"], listed["user_role"]) == (made, "made by us", 0)
    seen = await sdk.call("get_project", on=made)
    assert [dataset["dataset_hash"] for dataset in seen["datasets"]] == [CATS, DOGS]
    assert seen["ontology_hash"] == PETS
    # The envelope API has no list of members; adding them once more tells the roles they hold.
    held = await sdk.call("add_users", on=made, emails=[BOB.email, "new@example.com"], role="ANNOTATOR")
    assert held == [[BOB.email, "REVIEWER", made], ["new@example.com", "REVIEWER", made]]
    assert [item["title"] for item in await sdk.as_(BOB).call("get_projects")] == ["Bob's", "Ours"]


async def test_the_sdk_sees_what_we_change(sdk: Sdk, session: EncordSession) -> None:
    """Detaching by us shows in the SDK, and so does a copy by us."""
    made = await sdk.call("create_project", project_title="Theirs", dataset_hashes=[CATS, DOGS])
    await session.project(made).remove_datasets([CATS])
    copy = await session.copy_project(made, title="Our copy", options=[CopyOption.DATASETS])
    for project_hash in (made, copy):
        seen = await sdk.call("get_project", on=project_hash)
        assert [dataset["dataset_hash"] for dataset in seen["datasets"]] == [DOGS]


async def test_both_clients_at_once(sdk: Sdk, session: EncordSession, emulator: Emulator) -> None:
    """Listings of one client hold what the other one made, and every request was an envelope that succeeded."""
    for number in range(3):
        await sdk.call("create_project", project_title=f"sdk {number}", dataset_hashes=[])
        await session.create_project(f"us {number}")
    made = {f"{who} {number}" for who in ("sdk", "us") for number in range(3)}
    assert {item["title"] for item in await sdk.call("get_projects")} == {"Ann's", *made}
    ours = await session.list_projects(ListingFilter(title_like="sdk %"))
    assert Counter(item.project.title[:3] for item in ours) == {"sdk": 3}
    assert emulator.stats()["by_query"] == {"project.POST": 6, "projectwithuserrole.GET": 2}


async def test_the_sdk_is_told_of_a_strangers_dataset(sdk: Sdk, session: EncordSession) -> None:
    """Of a list with one dataset of somebody else nothing is attached."""
    with pytest.raises(SdkError, match=r"^AuthorisationError: "):
        await sdk.call("add_datasets", on=ANNS_PROJECT, dataset_hashes=[DOGS, BIRDS])
    assert await _datasets(session, ANNS_PROJECT) == [CATS]
