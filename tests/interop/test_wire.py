"""What goes over the wire is the same, byte for byte and header for header, whichever client sends it.

A recorder stands before the local Encord. The signature covers the body and is deterministic, so equal headers are
proof of equal bodies, too.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import aiohttp
import pytest
from aiohttp import web

from encord_async import APIKeyScope, CopyOption, DatasetUserRole, EncordSession, ProjectUserRole, StorageLocation
from encord_async.emulator import Emulator
from encord_async.operations import (
    AddDatasets,
    AddDatasetUsers,
    AddProjectUsers,
    CopyProject,
    CreateDataset,
    CreateProject,
    CreateProjectAPIKey,
    GetProject,
    ListingFilter,
    ListProjectAPIKeys,
    ListProjects,
    Operation,
    RemoveDatasets,
)
from tests.interop.conftest import ANN, ANNS_PROJECT, CATS, DOGS, PETS, Json, Sdk, only_new, only_old

SAME_HEADERS: Final = ("Authorization", "Content-Type", "Accept", "ResourceID", "ResourceType")
TRACE: Final = re.compile(r"[0-9a-f]{32}/1;o=1")
ODD: Final = 'Größe \U0001f408 "quoted"\\\n\t\x7f</a>'
MOMENT: Final = datetime(2024, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it arrived: everything in which two clients may not differ, and what each makes up anew."""

    path: str
    body: bytes
    headers: dict[str, str]
    trace: str = field(compare=False)


class Recorder:
    """Passes requests on to an emulator and keeps them."""

    def __init__(self, http: aiohttp.ClientSession, target: str) -> None:
        self._http, self._target = http, target
        self.url = ""
        self.sent: list[Sent] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Keep a request, pass it on, hand back what came."""
        body = await request.read()
        # The SDK sends the two about the resource empty where there is none, we leave them out.
        headers = {name: request.headers.get(name, "") for name in SAME_HEADERS}
        self.sent.append(Sent(request.path, body, headers, request.headers.get("X-Cloud-Trace-Context", "")))
        passed = {name: text for name, text in headers.items() if text}
        async with self._http.post(self._target + request.path, data=body, headers=passed) as reply:
            return web.Response(status=reply.status, body=await reply.read(), content_type="application/json")

    def last(self) -> Sent:
        """The latest request."""
        return self.sent[-1]


@pytest.fixture
async def recorder(emulator: Emulator) -> AsyncIterator[Recorder]:
    """A recorder before the emulator."""
    async with aiohttp.ClientSession() as http:
        recorder = Recorder(http, emulator.url)
        runner = web.ServerRunner(web.Server(recorder.handle))
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            _, port = runner.addresses[0]
            recorder.url = f"http://127.0.0.1:{port}"
            yield recorder
        finally:
            await runner.cleanup()


@pytest.fixture
async def recorded(recorder: Recorder) -> AsyncIterator[EncordSession]:
    """Our client in Ann's hands, before the recorder."""
    async with EncordSession.from_ssh_key(ANN.private_text, domain=recorder.url) as session:
        yield session


async def _compare(
    sdk: Sdk, recorder: Recorder, session: EncordSession, call: tuple[str, str | None, Json], ours: Operation[object]
) -> None:
    name, on, arguments = call
    await sdk.at(recorder.url).call(name, on, **arguments)
    from_sdk = recorder.last()
    await session.execute(ours)
    from_us = recorder.last()
    assert from_us is not from_sdk
    assert from_us == from_sdk
    assert ours.request().body == from_sdk.body
    assert TRACE.fullmatch(from_us.trace)
    assert TRACE.fullmatch(from_sdk.trace)
    assert from_us.trace != from_sdk.trace


CREATES = [
    (
        {"project_title": "Cats", "dataset_hashes": []},
        CreateProject(title="Cats"),
    ),
    (
        {"project_title": ODD, "dataset_hashes": [CATS, DOGS], "project_description": ODD},
        CreateProject(title=ODD, dataset_hashes=(CATS, DOGS), description=ODD),
    ),
    (
        {"project_title": "Cats", "dataset_hashes": [CATS], "ontology_hash": PETS},
        CreateProject(title="Cats", dataset_hashes=(CATS,), ontology_hash=PETS),
    ),
    (
        {"project_title": "Cats", "dataset_hashes": [], "workflow_template_hash": ANNS_PROJECT},
        CreateProject(title="Cats", workflow_template_id=ANNS_PROJECT),
    ),
    (
        {
            "project_title": "Cats",
            "dataset_hashes": [DOGS],
            "ontology_hash": PETS,
            "workflow_template_hash": ANNS_PROJECT,
        },
        CreateProject(title="Cats", dataset_hashes=(DOGS,), ontology_hash=PETS, workflow_template_id=ANNS_PROJECT),
    ),
]


@pytest.mark.parametrize(("arguments", "ours"), CREATES, ids=["bare", "odd", "ontology", "template", "both"])
async def test_creating_a_project(
    sdk: Sdk, recorder: Recorder, recorded: EncordSession, arguments: Json, ours: CreateProject
) -> None:
    """A create is the same request, whatever is in it."""
    await _compare(sdk, recorder, recorded, ("create_project", None, arguments), ours)


FILTERS = [
    ({}, ListingFilter()),
    (
        {"title_eq": ODD, "title_like": "%a_", "desc_eq": "", "desc_like": "%"},
        ListingFilter(title_eq=ODD, title_like="%a_", desc_eq="", desc_like="%"),
    ),
    (
        {
            "dates": dict.fromkeys(
                ("created_before", "created_after", "edited_before", "edited_after"), MOMENT.isoformat()
            )
        },
        ListingFilter(created_before=MOMENT, created_after=MOMENT, edited_before=MOMENT, edited_after=MOMENT),
    ),
]


@pytest.mark.parametrize(("arguments", "ours"), FILTERS, ids=["all", "texts", "dates"])
async def test_listing_projects(
    sdk: Sdk, recorder: Recorder, recorded: EncordSession, arguments: Json, ours: ListingFilter
) -> None:
    """A listing with the same filters is the same request, dates to the microsecond."""
    await _compare(sdk, recorder, recorded, ("get_projects", None, arguments), ListProjects(filter=ours))


ON_PROJECT = [
    (
        "add_datasets",
        {"dataset_hashes": [DOGS, CATS]},
        AddDatasets(project_hash=ANNS_PROJECT, dataset_hashes=(DOGS, CATS)),
    ),
    (
        "remove_datasets",
        {"dataset_hashes": [DOGS, CATS]},
        RemoveDatasets(project_hash=ANNS_PROJECT, dataset_hashes=(DOGS, CATS)),
    ),
    ("get_project", {}, GetProject(project_hash=ANNS_PROJECT)),
    (
        "get_project",
        {"include_labels_metadata": True},
        GetProject(project_hash=ANNS_PROJECT, include_labels_metadata=True),
    ),
    ("copy_project", {}, CopyProject(project_hash=ANNS_PROJECT)),
    (
        "copy_project",
        {
            "copy_datasets": True,
            "copy_collaborators": True,
            "copy_models": True,
            "copy_labels": True,
            "new_title": ODD,
            "new_description": ODD,
        },
        CopyProject(project_hash=ANNS_PROJECT, title=ODD, description=ODD, options=tuple(reversed(CopyOption))),
    ),
]


@pytest.mark.parametrize(
    ("name", "arguments", "ours"), ON_PROJECT, ids=["attach", "detach", "get", "get-labels", "copy", "copy-all"]
)
async def test_work_on_a_project(
    sdk: Sdk, recorder: Recorder, recorded: EncordSession, name: str, arguments: Json, ours: Operation[object]
) -> None:
    """Attaching, detaching, reading and copying are the same requests."""
    await _compare(sdk, recorder, recorded, (name, ANNS_PROJECT, arguments), ours)


@pytest.mark.parametrize("role", [role for role in ProjectUserRole if role is not ProjectUserRole.VIEWER])
async def test_adding_users(sdk: Sdk, recorder: Recorder, recorded: EncordSession, role: ProjectUserRole) -> None:
    """Adding users is the same request in each role."""
    emails = ("x@example.com", "y+z@example.com")
    call = ("add_users", ANNS_PROJECT, {"emails": emails, "role": role.name})
    await _compare(sdk, recorder, recorded, call, AddProjectUsers(project_hash=ANNS_PROJECT, emails=emails, role=role))


@only_new
async def test_adding_viewers(sdk: Sdk, recorder: Recorder, recorded: EncordSession) -> None:
    """So it is in the role that only the newest SDK knows."""
    call = ("add_users", ANNS_PROJECT, {"emails": ["x@example.com"], "role": "VIEWER"})
    ours = AddProjectUsers(project_hash=ANNS_PROJECT, emails=("x@example.com",), role=ProjectUserRole.VIEWER)
    await _compare(sdk, recorder, recorded, call, ours)


@pytest.mark.parametrize("role", DatasetUserRole)
async def test_adding_users_to_a_dataset(
    sdk: Sdk, recorder: Recorder, recorded: EncordSession, role: DatasetUserRole
) -> None:
    """Adding users to a dataset is the same request in each role."""
    call = ("add_dataset_users", CATS, {"emails": ["x@example.com"], "role": role.name})
    ours = AddDatasetUsers(dataset_hash=CATS, emails=("x@example.com",), role=role)
    await _compare(sdk, recorder, recorded, call, ours)


@only_old
@pytest.mark.parametrize("scopes", [(APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE), tuple(APIKeyScope)])
async def test_creating_a_project_key(
    sdk: Sdk, recorder: Recorder, recorded: EncordSession, scopes: tuple[APIKeyScope, ...]
) -> None:
    """Making an API key is the same request."""
    call = ("create_project_api_key", ANNS_PROJECT, {"title": ODD, "scopes": scopes})
    await _compare(
        sdk, recorder, recorded, call, CreateProjectAPIKey(project_hash=ANNS_PROJECT, title=ODD, scopes=scopes)
    )


@only_old
async def test_listing_project_keys(sdk: Sdk, recorder: Recorder, recorded: EncordSession) -> None:
    """Listing API keys is the same request."""
    ours = ListProjectAPIKeys(project_hash=ANNS_PROJECT)
    await _compare(sdk, recorder, recorded, ("get_project_api_keys", ANNS_PROJECT, {}), ours)


@only_old
@pytest.mark.parametrize("description", ["", ODD])
async def test_creating_a_dataset(sdk: Sdk, recorder: Recorder, recorded: EncordSession, description: str) -> None:
    """Making a dataset is the same request; a description that is empty is left out."""
    call = ("create_dataset", None, {"title": ODD, "storage": "GCP", "description": description})
    ours = CreateDataset(title=ODD, storage=StorageLocation.GCP_STR, description=description)
    await _compare(sdk, recorder, recorded, call, ours)


@only_old
async def test_work_with_a_project_key(sdk: Sdk, recorder: Recorder, recorded: EncordSession) -> None:
    """With an API key it is the key and the project that go along, and no type of resource."""
    key = await sdk.call("get_or_create_project_api_key", ANNS_PROJECT)
    by_key, project = sdk.at(recorder.url).with_api_key(key), recorded.project(ANNS_PROJECT, api_key=key)

    await by_key.call("add_datasets", ANNS_PROJECT, dataset_hashes=[DOGS])
    await project.add_datasets([DOGS])
    await by_key.call("remove_datasets", ANNS_PROJECT, dataset_hashes=[DOGS])
    await project.remove_datasets([DOGS])
    await by_key.call("add_users", ANNS_PROJECT, emails=["x@example.com"], role="ANNOTATOR")
    await project.add_users(["x@example.com"], ProjectUserRole.ANNOTATOR)
    await by_key.call("get_project", ANNS_PROJECT)
    await project.get()

    # The SDK asks first, each time, what the key is for.
    sent = [request for request in recorder.sent if b"apikeymeta" not in request.body]
    assert sent[0::2] == sent[1::2]
    assert len(sent) == 8
    assert {request.headers["Authorization"] for request in sent} == {key}
    assert {(request.headers["ResourceID"], request.headers["ResourceType"]) for request in sent} == {
        (ANNS_PROJECT, "")
    }


async def test_work_with_a_bearer_token(sdk: Sdk, recorder: Recorder) -> None:
    """With a token both clients send the same, too, on either path."""
    by_token = sdk.at(recorder.url).with_token("token-of-ann")
    async with EncordSession.from_bearer_token("token-of-ann", domain=recorder.url) as session:
        await by_token.call("create_project", project_title="P", dataset_hashes=[])
        await session.create_project("P")
        await by_token.call("add_datasets", ANNS_PROJECT, dataset_hashes=[DOGS])
        await session.project(ANNS_PROJECT).add_datasets([DOGS])
    assert recorder.sent[0::2] == recorder.sent[1::2]
    assert [request.path for request in recorder.sent[0::2]] == ["/public/user", "/public"]
    assert {request.headers["Authorization"] for request in recorder.sent} == {"Bearer token-of-ann"}
