"""Public calls as users write them, with the types they get; checked by mypy, never run."""

from pathlib import Path
from typing import assert_type

from pydantic import SecretStr

from encord_async import (
    APIKey,
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    EncordError,
    EncordSession,
    OrganisationRole,
    Outcome,
    Progress,
    ProjectHandle,
    ProjectStatus,
    ProjectUserRole,
    RetryPolicy,
    Run,
    Settings,
    SSHKey,
    Statistics,
    Status,
    StorageLocation,
    Summary,
    Timeouts,
)
from encord_async.operations import GetProject, ListingFilter, ListProjects, ListProjectUsers, Operation
from encord_async.protocol import models, rest_models
from encord_async.raw import Effect, Endpoint, Envelope, ResourceType, envelope, rest_request


def sessions() -> None:
    assert_type(EncordSession.from_ssh_key("~/.ssh/encord", concurrency=32), EncordSession)
    assert_type(
        EncordSession.from_ssh_key(Path("key"), passphrase="x", domain="https://api.us.encord.com"), EncordSession
    )
    assert_type(EncordSession.from_ssh_key(SSHKey.from_path("key")), EncordSession)
    assert_type(EncordSession.from_bearer_token("token", settings=Settings()), EncordSession)
    assert_type(EncordSession.from_env(environ={}), EncordSession)
    assert_type(EncordSession(APIKey("key"), Settings(ca_bundle=Path("ca.pem"))), EncordSession)
    Settings(
        concurrency=8,
        timeouts=Timeouts(connect_s=5, attempt_s=None, operation_s=60.0),
        retry=RetryPolicy(max_attempts=3, backoff_base_s=0.1, backoff_max_s=1),
        user_agent_suffix="my-tool/1.2",
    )


async def runs(session: EncordSession) -> None:
    async with session.provision("programme.jsonl") as run:
        assert_type(run, Run)
        async for outcome in run:
            assert_type(outcome, Outcome)
            assert_type(outcome.status, Status)
            assert_type(run.progress(), Progress)
        assert_type(run.summary, Summary)


async def user_calls(session: EncordSession) -> None:
    assert_type(await session.create_project("Cats", dataset_hashes=["d"], description="", ontology_hash=None), str)
    assert_type(await session.create_project("Cats", dataset_hashes={"d"}, workflow_template_id="w"), str)
    assert_type(await session.copy_project("p", title="Copy", options=[CopyOption.DATASETS]), str)
    assert_type(await session.create_project_api_key("p", "ci", [APIKeyScope.LABEL_READ]), SecretStr)
    assert_type(await session.list_project_api_keys("p"), tuple[models.ProjectAPIKey, ...])
    assert_type(await session.get_or_create_project_api_key("p"), SecretStr)
    assert_type(await session.create_dataset("Raw", storage=StorageLocation.AWS_S3), models.NewDataset)
    assert_type(
        await session.add_dataset_users("d", ["a@example.com"], DatasetUserRole.ADMIN), tuple[models.DatasetUser, ...]
    )
    assert_type(await session.list_projects(ListingFilter(title_eq="Cats")), tuple[models.OwnedProject, ...])
    assert_type(await session.list_datasets(), tuple[models.OwnedDataset, ...])


async def project_calls(session: EncordSession, key: SecretStr) -> None:
    project = session.project("p")
    assert_type(project, ProjectHandle)
    assert_type(session.project("p", api_key=key), ProjectHandle)
    assert_type(session.project("p", api_key="key"), ProjectHandle)
    await project.add_datasets(["d"])
    await project.remove_datasets(("d",))
    assert_type(await project.add_users(["a@example.com"], ProjectUserRole.REVIEWER), tuple[models.ProjectUser, ...])
    info = await project.get(include_labels_metadata=True)
    assert_type(info, models.Project)
    assert_type(info.datasets, tuple[models.ProjectDataset, ...])
    (await project.get_ontology())["objects"]


async def operations(session: EncordSession, key: APIKey) -> None:
    assert_type(await session.execute(ListProjects()), tuple[models.OwnedProject, ...])
    assert_type(await session.execute(GetProject(project_hash="p"), api_key=key), models.Project)
    any_operation: Operation[object] = GetProject(project_hash="p")
    assert_type(await session.execute(any_operation), object)
    call = envelope(
        "labelrowmetadata",
        "GET",
        endpoint=Endpoint.RESOURCE,
        payload={"filter": None, "ids": ["a", 1, 2.5, True]},
        resource_type=ResourceType.PROJECT,
        resource_id="p",
        effect=Effect.READ,
    )
    assert_type(call, Envelope)
    assert_type(await session.send(call), object)


async def rest(session: EncordSession) -> None:
    assert_type(await session.create_dataset_v2("Raw"), rest_models.CreatedDataset)
    assert_type(await session.get_dataset("d"), models.DatasetDetails)
    assert_type(await session.list_projects_v2(tags_anyof=["q3"]), tuple[rest_models.ProjectDetails, ...])
    assert_type(await session.create_ontology("Pets", editor={"objects": []}), rest_models.Ontology)
    assert_type(await session.add_organisation_user("a@example.com", OrganisationRole.MEMBER), bool)
    assert_type(await session.get_bearer_token(), SecretStr)
    project = session.project("p")
    assert_type(await project.list_users(), tuple[rest_models.ProjectMember, ...])
    await project.set_status(ProjectStatus.PAUSED)
    listing = ListProjectUsers(project_hash="p")
    assert_type(await session.execute(listing), rest_models.Page[rest_models.ProjectMember])
    assert_type(await session.collect(listing), tuple[rest_models.ProjectMember, ...])
    async for page in session.pages(listing):
        assert_type(page.results, tuple[rest_models.ProjectMember, ...])
    assert_type(await session.send(rest_request("GET", "/projects/p/branches", query={"limit": 3})), object)


async def facts(session: EncordSession) -> None:
    async with session as opened:
        assert_type(opened, EncordSession)
        statistics = opened.statistics()
        assert_type(statistics, Statistics)
        assert_type(statistics.in_flight, int)
        assert_type(opened.identity, str)
        await opened.aclose()


def failures(error: EncordError) -> None:
    assert_type(error.code, str | None)
    assert_type(error.http_status, int | None)
    assert_type(error.retry_after_s, float | None)
    assert_type(error.trace_id, str | None)
    if error.applied == "unknown":
        assert_type(error.message, str)


async def mistakes(session: EncordSession) -> None:
    await session.create_project()  # type: ignore[call-arg]  # a title is needed
    await session.create_project("Cats", ["d"])  # type: ignore[call-arg]  # options are keyword-only
    await session.project("p").add_users(["a@example.com"], "reviewer")  # type: ignore[arg-type]  # a role is no text
    session.project("p", "key")  # type: ignore[call-arg]  # so that a key is never taken for something else
    RetryPolicy(3)  # type: ignore[call-arg]  # fields are keyword-only
