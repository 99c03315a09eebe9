"""The methods of a session and of a project's handle that go over REST v2, against the local Encord."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr

from encord_async import (
    DatasetUserRole,
    EncordSession,
    ExistsError,
    ForbiddenError,
    MemberType,
    NoReplyError,
    NotFoundError,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    UsageError,
)
from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule
from encord_async.operations import CreateDatasetV2, ListingFilter

FIRST = "00000000-0000-4000-8000-000000000001"
ME = "emulator@example.com"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A local Encord with one user and a hundred datasets, strict and with small pages."""
    async with Emulator(EmulatorSettings(strict=True, page_size=3)) as started:
        yield started


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[EncordSession]:
    """That user."""
    async with EncordSession.from_ssh_key(emulator.private_key or "", domain=emulator.url) as opened:
        yield opened


async def test_datasets(session: EncordSession) -> None:
    """A dataset is made over REST, read over the envelope, listed over REST, and its users are removed."""
    made = await session.create_dataset_v2("Raw", description="All", create_backing_folder=False)
    assert made.backing_folder_uuid is None
    whole = await session.get_dataset(made.dataset_uuid)
    assert (whole.title, whole.description, whole.dataset_type) == ("Raw", "All", "CORD_STORAGE")
    (listed,) = await session.list_datasets_v2(ListingFilter(desc_eq="All"))
    assert (listed.dataset_uuid, listed.user_role) == (made.dataset_uuid, DatasetUserRole.ADMIN)
    assert len(await session.list_datasets_v2(include_org_access=True)) == 101
    await session.add_dataset_users(made.dataset_uuid, ["ann@example.com", "bob@example.com"])
    await session.remove_dataset_users(made.dataset_uuid, ["ann@example.com", "nobody@example.com"])
    users = await session.list_dataset_users(made.dataset_uuid)
    assert [user.user_email for user in users] == [ME, "bob@example.com"]


async def test_a_project(session: EncordSession) -> None:
    """What the envelope made and filled is read, moved on and emptied over REST, over several pages."""
    hashes = [FIRST[:-1] + str(number) for number in range(1, 8)]
    project = session.project(await session.create_project("Cats", dataset_hashes=hashes))
    emails = [f"u{number}@example.com" for number in range(7)]
    await project.add_users(emails, ProjectUserRole.REVIEWER)
    assert [part.dataset_hash for part in await project.list_datasets()] == hashes
    members = await project.list_users()
    assert [member.user_email for member in members] == [ME, *emails]
    assert {member.user_role for member in members[1:]} == {ProjectUserRole.REVIEWER}
    await project.remove_users(emails[1:])
    assert [member.user_email for member in await project.list_users()] == [ME, emails[0]]
    await project.set_status(ProjectStatus.IN_PROGRESS)
    details = await project.details()
    assert (details.status, details.user_role) == (ProjectStatus.IN_PROGRESS, ProjectUserRole.ADMIN)
    assert (await project.get()).ontology_hash == details.ontology_hash


async def test_projects_over_many_pages(session: EncordSession) -> None:
    """All projects come back once and in order, whatever the size of a page; a filter and a tag narrow them."""
    hashes = [await session.create_project(f"P{number}") for number in range(7)]
    assert [project.project_hash for project in await session.list_projects_v2()] == hashes
    (found,) = await session.list_projects_v2(ListingFilter(title_eq="P3"))
    assert found.project_hash == hashes[3]
    tag = await session.create_tag("q1", description="first quarter")
    await session.project(hashes[5]).add_tag(tag.uuid)
    (found,) = await session.list_projects_v2(tags_anyof=["q0", "q1"])
    assert found.project_hash == hashes[5]
    assert await session.project(hashes[5]).list_tags() == (tag,)
    assert await session.list_tags() == (tag,)
    with pytest.raises(ExistsError):
        await session.create_tag("q1")
    await session.project(hashes[5]).remove_tag(tag.uuid)
    assert await session.project(hashes[5]).list_tags() == ()


async def test_ontologies(session: EncordSession) -> None:
    """An ontology is made with a structure or without, read, replaced and used by a project."""
    empty = await session.create_ontology("Empty")
    assert empty.editor == {"objects": [], "classifications": [], "skeleton_templates": []}
    made = await session.create_ontology("Pets", description="d", editor={"objects": [{"id": "1"}]})
    assert (await session.get_ontology(made.ontology_uuid)).editor == {"objects": [{"id": "1"}]}
    await session.update_ontology(made.ontology_uuid, title="Animals", description="", editor={"objects": []})
    (found,) = await session.list_ontologies(ListingFilter(title_like="A%"))
    assert (found.ontology_uuid, found.title) == (made.ontology_uuid, "Animals")
    project = session.project(await session.create_project("Cats", ontology_hash=made.ontology_uuid))
    assert await project.get_ontology() == {"objects": []}
    with pytest.raises(NotFoundError, match="no such ontology"):
        await session.get_ontology("nowhere")


async def test_groups_and_the_organisation(session: EncordSession) -> None:
    """Somebody is made a member once, put into a group, which is put on a project and taken off again."""
    assert await session.add_organisation_user("ann+x@example.com") is True
    assert await session.add_organisation_user("ann+x@example.com", OrganisationRole.TASKER) is False
    assert await session.add_organisation_user("eve@example.com", member_type=MemberType.EXTERNAL) is True
    users = await session.list_organisation_users()
    assert [(user.email, user.role_mnemonic_name) for user in users] == [
        (ME, OrganisationRole.ADMIN),
        ("ann+x@example.com", OrganisationRole.MEMBER),
        ("eve@example.com", OrganisationRole.MEMBER),
    ]
    group = await session.create_group("Reviewers", description="all")
    assert await session.get_group(group.group_hash) == group
    assert await session.list_groups() == (group,)
    added = await session.add_group_members(group.group_hash, ["ann+x@example.com"])
    assert [member.user_email for member in added] == [ME, "ann+x@example.com"]
    with pytest.raises(ForbiddenError):
        await session.add_group_members(group.group_hash, ["stranger@example.com"])
    await session.remove_group_members(group.group_hash, [ME])
    assert [member.user_email for member in await session.list_group_members(group.group_hash)] == ["ann+x@example.com"]
    project = session.project(await session.create_project("Cats"))
    await project.add_groups([group.group_hash], ProjectUserRole.REVIEWER)
    (on_it,) = await project.list_groups()
    assert (on_it.group_hash, on_it.user_role) == (group.group_hash, ProjectUserRole.REVIEWER)
    await project.remove_groups([group.group_hash])
    assert await project.list_groups() == ()
    await session.remove_organisation_user("ann+x@example.com")
    assert await session.list_group_members(group.group_hash) == ()


async def test_a_bearer_token_opens_both_apis(session: EncordSession, emulator: Emulator) -> None:
    """A token that was asked for makes a session of its own; it is never shown."""
    token = await session.get_bearer_token()
    assert isinstance(token, SecretStr)
    assert token.get_secret_value() not in repr(token)
    async with EncordSession.from_bearer_token(token.get_secret_value(), domain=emulator.url) as other:
        project_hash = await other.create_project("Cats")
        assert (await other.project(project_hash).details()).title == "Cats"


async def test_a_project_with_an_api_key_has_no_rest(session: EncordSession) -> None:
    """What goes over REST says so before anything is sent, and the rest of the handle works."""
    project = session.project("p", api_key="some-key")
    before = session.statistics().requests
    for call in (project.details, project.list_users, project.list_groups):
        with pytest.raises(UsageError, match="not open to API keys"):
            await call()
    assert session.statistics().requests == before


async def test_one_text_is_no_list(session: EncordSession) -> None:
    """A single address is not taken for the list of its letters."""
    project = session.project("p")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: project.remove_users(ME),
        lambda: project.remove_groups("g"),
        lambda: session.remove_dataset_users("d", ME),
        lambda: session.add_group_members("g", ME),
        lambda: session.list_projects_v2(tags_anyof="q1"),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="is one text"):
            await call()


async def test_a_create_whose_answer_is_lost_is_found_and_not_made_twice(
    session: EncordSession, emulator: Emulator
) -> None:
    """The error says that it may have happened; the operation's own look-up finds the one that was made."""
    emulator.set_faults([FaultRule(query="v2/datasets.POST", fault=Fault.DROP_AFTER_COMMIT, times=1)])
    operation = CreateDatasetV2(title="Raw")
    with pytest.raises(NoReplyError) as caught:
        await session.execute(operation)
    assert caught.value.applied == "unknown"
    found = [item for item in await session.collect(operation.look_up()) if operation.is_it(item)]
    assert [line["hash"] for line in emulator.log()] == [operation.adopted(item).dataset_uuid for item in found]


async def test_reads_and_sets_survive_lost_answers(session: EncordSession, emulator: Emulator) -> None:
    """A listing and a removal whose answers are lost are asked for again, once each, and counted."""
    project = session.project(await session.create_project("Cats"))
    await project.add_users(["ann@example.com"], ProjectUserRole.REVIEWER)
    before = emulator.stats()["requests"], session.statistics().requests
    emulator.set_faults(
        [
            FaultRule(query="v2/projects/{project}/users.GET", fault=Fault.DROP_AFTER_COMMIT, times=1),
            FaultRule(query="v2/projects/{project}/users/bulk-delete.POST", fault=Fault.TRUNCATE, times=1),
        ]
    )
    assert len(await project.list_users()) == 2
    await project.remove_users(["ann@example.com"])
    assert len(await project.list_users()) == 1
    assert emulator.stats()["requests"] - before[0] == session.statistics().requests - before[1] == 5
