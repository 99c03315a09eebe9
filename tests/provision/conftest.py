"""What the tests of provisioning share: an Encord in memory that answers envelopes, sessions on it, and wishes."""

import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

import pytest
from anyio.lowlevel import checkpoint

from encord_async.client import EncordSession
from encord_async.engine.outcome import Outcome, Summary
from encord_async.engine.run import Run
from encord_async.engine.ticket import Ticket, Wish
from encord_async.errors import EncordError
from encord_async.manifest.sources import Manifest
from encord_async.protocol.catalogue import REST_ROOT, ProjectUserRole, StorageLocation
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import BearerToken
from encord_async.session.clock import Clock
from encord_async.session.settings import Settings, Timeouts
from encord_async.session.transport import Transport
from tests.virtual import InstantClock

if TYPE_CHECKING:
    from tests.provision.world import World

TOKEN = "the-token"
ADMIN = "me@example.com"

REST_STATUSES = {
    "AUTHENTICATION_ERROR": 401,
    "AUTHORISATION_ERROR": 403,
    "RESOURCE_NOT_FOUND_ERROR": 404,
    "RESOURCE_EXISTS_ERROR": 409,
    "INVALID_ARGUMENTS_ERROR": 422,
}
"""What becomes of a code where there is no envelope."""

Json: TypeAlias = Any
"""Decoded JSON; tests look into it freely."""


Entry: TypeAlias = dict[str, Any]
"""An entry of a manifest as JSON has it."""


def project(title: str = "Cats", **more: Any) -> Entry:
    """A project that shall exist."""
    return {"kind": "project", "title": title, **more}


def dataset(title: str = "Cats raw", **more: Any) -> Entry:
    """A dataset that shall exist."""
    return {"kind": "dataset", "title": title, **more}


def users(of: str, *emails: str, role: str = "annotator") -> Entry:
    """Users to add to the project *of*."""
    return {"kind": "project_users", "project": of, "emails": emails, "role": role}


def attach(of: str, *hashes: str) -> Entry:
    """Datasets to attach to the project *of*."""
    return {"kind": "project_datasets", "project": of, "add": hashes}


def members(of: str, number: int) -> list[Entry]:
    """An entry for each of *number* annotators."""
    return [users(of, f"{n}@example.com") for n in range(number)]


class Refusal(Exception):
    """The service says no with a code."""

    def __init__(self, code: str, said: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.said = said


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the service read it."""

    name: str
    resource: str
    uid: Json
    payload: Json

    @property
    def items(self) -> tuple[str, ...]:
        """The list that the call is about: addresses or datasets."""
        if self.name == "projectdataset.DELETE":
            return tuple(self.uid)
        return tuple(self.payload.get("user_emails") or self.payload.get("dataset_hashes") or ())


@dataclass(slots=True)
class Project:
    """A project of the model."""

    title: str
    description: str = ""
    role: int = 0
    ontology: str = "ontology"
    datasets: list[str] = field(default_factory=list)
    users: dict[str, int] = field(default_factory=dict)
    keys: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class Dataset:
    """A dataset of the model; *is_said* is whether listings say where its data lie."""

    title: str
    description: str = ""
    role: int = 0
    type: int = 0
    folder: str | None = None
    is_said: bool = True


@dataclass(slots=True)
class Fault:
    """What goes wrong with calls of one name: a code before or an error of the network after the work is done."""

    name: str
    code: str | None = None
    error: Callable[[], EncordError] | None = None
    applies: bool = False
    left: int = 1
    touches: Callable[[Call], bool] = lambda _: True


class Service:
    """An Encord in memory; a `Transport` that needs no network.

    It holds what was made, refuses as the real one does (all of a list or nothing of it), and notes every call.
    """

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        self.datasets: dict[str, Dataset] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.refused_emails: set[str] = set()
        self.in_flight = self.max_in_flight = 0
        self.pace: Callable[[Call], Awaitable[None]] | None = None
        self._numbers: Counter[str] = Counter()

    # ------------------------------------------------------------------ for tests

    @property
    def names(self) -> Counter[str]:
        """How often each call came."""
        return Counter(call.name for call in self.calls)

    def of(self, name: str) -> list[Call]:
        """The calls of one name."""
        return [call for call in self.calls if call.name == name]

    def titled(self, title: str) -> list[str]:
        """Hashes of the projects of this title."""
        return [hash_ for hash_, project in self.projects.items() if project.title == title]

    def has_datasets(self, *hashes: str) -> None:
        """Let these datasets be there."""
        for hash_ in hashes:
            self.datasets[hash_] = Dataset(hash_)

    # ------------------------------------------------------------------ Transport

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """Answer a request of either API."""
        is_rest = target.startswith(REST_ROOT)
        call = _rest_call(method, target, body) if is_rest else _envelope_call(headers, body)
        self.calls.append(call)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await (checkpoint() if self.pace is None else self.pace(call))
            return (self._plain_reply if is_rest else self._reply)(call, headers)
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        """Nothing to close, and nothing may be under way."""
        assert self.in_flight == 0

    def _reply(self, call: Call, headers: Mapping[str, str]) -> RawReply:
        try:
            answer = self._answered(call, headers)
        except Refusal as refusal:
            return _envelope({"status": 400, "response": [refusal.code], "payload": refusal.said})
        return _envelope({"status": 200, "response": answer})

    def _plain_reply(self, call: Call, headers: Mapping[str, str]) -> RawReply:
        try:
            answer = self._answered(call, headers)
        except Refusal as refusal:
            return RawReply(REST_STATUSES[refusal.code], {}, json.dumps({"message": refusal.said}).encode())
        return RawReply(200, {}, json.dumps(answer).encode())

    def _answered(self, call: Call, headers: Mapping[str, str]) -> Json:
        """What the rules answer, unless a fault comes before or after it."""
        fault = next((one for one in self.faults if one.left and one.name == call.name and one.touches(call)), None)
        if fault is not None:
            fault.left -= 1
        if headers["Authorization"] != f"Bearer {TOKEN}":
            raise Refusal("AUTHENTICATION_ERROR")
        if fault is not None and fault.code is not None:
            raise Refusal(fault.code)
        answer = self._answer(call) if fault is None or fault.applies else None
        if fault is not None and fault.error is not None:
            raise fault.error()
        return answer

    # ------------------------------------------------------------------ rules

    def _answer(self, call: Call) -> Json:
        match call.name:
            case "project.POST":
                return self._create_project(call.payload)
            case "dataset.POST":
                hash_ = self._new("dataset")
                self.datasets[hash_] = Dataset(
                    call.payload["title"], call.payload.get("description", ""), type=call.payload["type"]
                )
                return {"dataset_hash": hash_, "title": call.payload["title"], "type": call.payload["type"]}
            case "v2/datasets.POST":
                hash_ = self._new("dataset")
                self.datasets[hash_] = Dataset(call.payload["title"], call.payload.get("description", ""))
                return {"datasetUuid": hash_}
            case "v2/projects.GET":
                return {
                    "results": [
                        {"projectHash": hash_, "userRole": project.role, **_names(project)}
                        for hash_, project in self.projects.items()
                    ]
                }
            case "v2/datasets/list.GET":
                return {
                    "result": [
                        {"datasetUuid": hash_, "userRole": ["admin", "user"][dataset.role], **_names(dataset)}
                        | (
                            {"storageLocation": dataset.type, "backingFolderUuid": dataset.folder}
                            if dataset.is_said
                            else {}
                        )
                        for hash_, dataset in self.datasets.items()
                    ]
                }
            case "projectwithuserrole.GET":
                return [
                    {"user_role": project.role, "project": {"project_hash": hash_, **_names(project)}}
                    for hash_, project in self.projects.items()
                ]
            case "datasetwithuserrole.GET":
                return [
                    {
                        "user_role": dataset.role,
                        "dataset": {"dataset_hash": hash_, "type": dataset.type, **_names(dataset)},
                    }
                    for hash_, dataset in self.datasets.items()
                ]
            case "projectapikey.POST":
                self._project(call.uid).keys.append((call.payload["title"], tuple(call.payload["scopes"])))
                return self._new("api-key")
            case "projectapikey.GET":
                keys = self._project(call.uid).keys
                return [{"api_key": "secret", "title": title, "scopes": scopes} for title, scopes in keys]
            case "dataset.GET":
                return self._dataset(call)
            case _:
                return self._on_project(call)

    def _dataset(self, call: Call) -> Json:
        dataset = self.datasets[call.resource]
        kept = {"dataset_type": StorageLocation(dataset.type).name, "backing_folder_uuid": dataset.folder}
        return {"dataset_hash": call.resource, "data_rows": [], **kept, **_names(dataset)}

    def _on_project(self, call: Call) -> Json:
        project = self._project(call.resource)
        match call.name:
            case "project.GET":
                datasets = [
                    {"dataset_hash": hash_, **_names(self.datasets.get(hash_, Dataset(hash_)))}
                    for hash_ in project.datasets
                ]
                names = {"project_hash": call.resource, **_names(project)}
                return {**names, "ontology_hash": project.ontology, "datasets": datasets}
            case "projectdataset.POST":
                self._attach(project, call.items)
                return True
            case "projectdataset.DELETE":
                project.datasets = [hash_ for hash_ in project.datasets if hash_ not in call.items]
                return True
            case "projectusers.POST":
                return self._add_users(call, project)
        raise Refusal("METHOD_NOT_ALLOWED_ERROR")

    def _create_project(self, payload: Json) -> str:
        project = Project(payload["title"], payload["description"], ontology=payload.get("ontology_hash") or "ontology")
        self._attach(project, payload["dataset_hashes"])
        project.users[ADMIN] = 0
        hash_ = self._new("project")
        self.projects[hash_] = project
        return hash_

    def _add_users(self, call: Call, project: Project) -> Json:
        if self.refused_emails.intersection(call.items):
            raise Refusal("INVALID_ARGUMENTS_ERROR", "an address is not accepted")
        role = call.payload["user_role"]
        return [
            {"user_email": email, "user_role": project.users.setdefault(email, role), "project_hash": call.resource}
            for email in call.items
        ]

    def _attach(self, project: Project, hashes: Iterable[str]) -> None:
        self._all_there(hashes)
        project.datasets += [hash_ for hash_ in hashes if hash_ not in project.datasets]

    def _all_there(self, hashes: Iterable[str]) -> None:
        if not set(hashes) <= self.datasets.keys():
            raise Refusal("RESOURCE_NOT_FOUND_ERROR", "no such dataset")

    def _project(self, hash_: str) -> Project:
        if hash_ not in self.projects:
            raise Refusal("RESOURCE_NOT_FOUND_ERROR", "no such project")
        if self.projects[hash_].role != ProjectUserRole.ADMIN:
            raise Refusal("AUTHORISATION_ERROR")
        return self.projects[hash_]

    def _new(self, what: str) -> str:
        self._numbers[what] += 1
        return f"{what}-{self._numbers[what]}"


def _names(thing: Project | Dataset) -> dict[str, str]:
    return {"title": thing.title, "description": thing.description}


def _envelope_call(headers: Mapping[str, str], body: bytes) -> Call:
    document = json.loads(body)
    values = document["values"]
    name = f"{document['query_type']}.{document['query_method']}"
    return Call(name, headers.get("ResourceID", ""), values["uid"], values["payload"])


def _rest_call(method: str, target: str, body: bytes) -> Call:
    path, _, query = target.removeprefix(REST_ROOT).partition("?")
    return Call(f"v2{path}.{method}", "", parse_qs(query), json.loads(body) if body else {})


def _envelope(document: Json) -> RawReply:
    return RawReply(200, {}, json.dumps(document).encode())


@pytest.fixture
def living() -> Callable[[], list[Wish | Ticket]]:
    """What a schedule has made since the test began, and somebody still holds; a test that failed may hold some."""

    def found() -> list[Wish | Ticket]:
        gc.collect()
        return [one for one in gc.get_objects() if isinstance(one, Wish | Ticket)]

    before = found()
    return lambda: [one for one in found() if not any(one is other for other in before)]


@asynccontextmanager
async def open_session(
    service: Transport,
    *,
    concurrency: int = 4,
    token: str = TOKEN,
    operation_s: float | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[EncordSession]:
    """A real session whose network is *service*."""
    settings = Settings(concurrency=concurrency, timeouts=Timeouts(operation_s=operation_s))
    session = EncordSession(BearerToken(token), settings, transport=lambda _: service, clock=clock or InstantClock())
    async with session:
        yield session


async def all_of(run: Run) -> list[Outcome]:
    """All outcomes of a run, in the manifest's order."""
    return sorted([outcome async for outcome in run], key=lambda outcome: outcome.number)


async def collect(run: Run, outcomes: list[Outcome]) -> None:
    """Add each outcome to *outcomes* as it comes, so that those before an error are seen too."""
    async for outcome in run:
        outcomes.append(outcome)  # noqa: PERF401 - a comprehension would lose them with the error


@dataclass(frozen=True, slots=True)
class Done:
    """A run that is over."""

    outcomes: list[Outcome]
    summary: Summary

    @property
    def statuses(self) -> list[str]:
        """How each entry ended, in the manifest's order."""
        return [outcome.status.value for outcome in self.outcomes]


async def provision(service: Service, manifest: Manifest, *, concurrency: int = 4, **options: Any) -> Done:
    """Provision *manifest* on *service* to its end, as a user would; no waits for what may still come."""
    async with open_session(service, concurrency=concurrency) as session:
        async with session.provision(manifest, journal=None, **({"settle_s": 0.0} | options)) as run:
            outcomes = await all_of(run)
        assert [outcome.number for outcome in outcomes] == list(range(1, run.summary.entries + 1))
        assert run.summary.by_status == Counter(outcome.status for outcome in outcomes)
        return Done(outcomes, run.summary)


@pytest.fixture
def service() -> Service:
    """An empty account."""
    return Service()


@pytest.fixture
async def world() -> AsyncIterator["World"]:
    """A new account of the emulator."""
    from tests.provision.world import open_world

    async with open_world() as opened:
        yield opened
