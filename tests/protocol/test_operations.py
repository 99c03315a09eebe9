import copy
import dataclasses
import inspect
import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from encord_async import operations
from encord_async.errors import EncordError, RefusedError, ReplyShapeError, UnencodableError, UsageError
from encord_async.protocol import models
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    Endpoint,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.envelope import envelope
from encord_async.protocol.operations.base import EnvelopeOperation, ListingFilter
from encord_async.protocol.operations.datasets import (
    AddDatasetUsers,
    CreateDataset,
    GetDataset,
    LinkItems,
    ListDataRows,
    ListDatasets,
    RemoveDataRows,
)
from encord_async.protocol.operations.keys import CreateProjectAPIKey, GetOrCreateProjectAPIKey, ListProjectAPIKeys
from encord_async.protocol.operations.projects import (
    AddDatasets,
    AddProjectUsers,
    CopyProject,
    CreateProject,
    GetOntology,
    GetProject,
    ListProjects,
    RemoveDatasets,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())
PYTHON_BODIES = {
    vector["id"]: vector
    for vector in VECTORS["v1"]
    if vector["body_encoding"] == "python json.dumps defaults" and vector["body"]
}
BODIES = {vector["id"]: vector["body"] for vector in [*VECTORS["v1"], *VECTORS["v1_negative"]]}
PROJECT: str = VECTORS["ids"]["project"]
DATASET_1: str = VECTORS["ids"]["dataset1"]
DATASET_2: str = VECTORS["ids"]["dataset2"]
ONTOLOGY: str = VECTORS["ids"]["ontology_or_group"]
KEY = "0-1aABCDE_aFGcdeHIfJ2KfLMgNO3PQh4RST5UV6W_X"

MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
FULL_FILTER = ListingFilter(
    edited_after=MOMENT,
    edited_before=MOMENT.replace(tzinfo=timezone(timedelta(hours=2))),
    created_after=datetime(2023, 1, 1, tzinfo=UTC),
    created_before=MOMENT,
    desc_like="%d%",
    desc_eq="D",
    title_like="V%",
    title_eq="T",
)
NAIVE_FILTER = dataclasses.replace(FULL_FILTER, created_after=datetime(2023, 1, 1))  # noqa: DTZ001 - sent naive on purpose
UNICODE_PROJECT = CreateProject(title="Prüfung 测试 😀", description='a/b "q" \\ \n', dataset_hashes=(DATASET_1,))

BY_VECTOR: dict[str, EnvelopeOperation[Any]] = {
    "create_project.v55.ontology": CreateProject(
        title="My project", description="A description", dataset_hashes=(DATASET_1,), ontology_hash=ONTOLOGY
    ),
    "create_project.unicode.py": UNICODE_PROJECT,
    "captured.create_project_min.0.1.55": CreateProject(title="My project"),
    "captured.bearer.create_project.0.1.110": CreateProject(title="My project", dataset_hashes=(DATASET_1,)),
    "create_project_api_key.all_scopes": CreateProjectAPIKey(
        project_hash=PROJECT, title=f"{PROJECT} - admin key", scopes=tuple(APIKeyScope)
    ),
    "add_users.py": AddProjectUsers(
        project_hash=PROJECT, emails=("a@example.com", "b@example.com"), role=ProjectUserRole.ANNOTATOR
    ),
    **{
        f"add_users.role{role.value}": AddProjectUsers(project_hash=PROJECT, emails=("a@example.com",), role=role)
        for role in ProjectUserRole
    },
    "get_project.v80.false": GetProject(project_hash=PROJECT),
    "create_dataset.v98": CreateDataset(title="ds"),
    "dataset_users": AddDatasetUsers(dataset_hash=DATASET_1, emails=("a@example.com",)),
    "list_projects.empty": ListProjects(),
    "list_projects.filter": ListProjects(filter=FULL_FILTER),
    "list_projects.filter.naive": ListProjects(filter=NAIVE_FILTER),
    "list_datasets.empty": ListDatasets(),
    "captured.get_datasets_filter.0.1.34": ListDatasets(filter=NAIVE_FILTER),
    "copy_project.v62": CopyProject(project_hash=PROJECT, options=(CopyOption.COLLABORATORS, CopyOption.DATASETS)),
}
NOT_OURS = {
    # Forms that newer releases of the SDK have replaced.
    "create_project.v23.py",
    "create_project.docs_js_ontology.py",
    "captured.create_project_min.0.1.23",
    "captured.create_project_unicode.0.1.23",
    "captured.create_project_ontology.0.1.43",
    "get_project.null.py",
    "create_dataset.v23",
    "create_dataset.docs.py",
    "captured.copy_project.0.1.61",
    "add_users.uid_null.py",
    "captured.apikey.add_users.0.1.110",
    # Possibilities that are not offered.
    "create_project.v55.benchmark",
    "list_datasets.v98",
    # Calls without an operation.
    "apikeymeta",
    "list_dataset_api_keys",
    "captured.get_or_create_dataset_api_key.0.1.142",
    "get_dataset.v211",
    "list_ontologies.empty",
    "create_ontology",
    "captured.create_ontology.0.1.43",
    "captured.create_ontology.0.1.104",
    "list_label_rows.v211",
    *(name for name in PYTHON_BODIES if name.startswith(("captured.list_label_rows.", "captured.dataset."))),
}


class TestBytes:
    """The bytes of each operation are those that the official SDK sends."""

    @pytest.mark.parametrize("name", BY_VECTOR)
    def test_an_operation_is_the_captured_request(self, name: str) -> None:
        """Body, path and headers' facts equal a request of the official SDK, byte for byte."""
        vector, sealed = PYTHON_BODIES[name], BY_VECTOR[name].request()
        assert sealed.body.decode() == vector["body"]
        assert sealed.digest == vector["sha256_hex"]
        assert sealed.query.endpoint == vector["endpoint"]
        assert (sealed.resource_id or "") == vector["resource_id"]
        assert (sealed.query.resource_type or "") == vector["resource_type"]

    def test_every_captured_request_is_accounted_for(self) -> None:
        """Each request is either one of our operations or known not to be."""
        assert set(BY_VECTOR) | NOT_OURS == set(PYTHON_BODIES)
        assert not set(BY_VECTOR) & NOT_OURS

    @pytest.mark.parametrize("name", PYTHON_BODIES)
    def test_the_escape_hatch_can_send_all_of_them(self, name: str) -> None:
        """Whatever the SDK sends can be sent here too, byte for byte, operation or not."""
        vector = PYTHON_BODIES[name]
        document = json.loads(vector["body"])
        made = envelope(
            document["query_type"],
            document["query_method"],
            endpoint=Endpoint(vector["endpoint"]),
            uid=document["values"]["uid"],
            payload=document["values"]["payload"],
        )
        assert made.body.decode() == vector["body"]
        assert made.query.source != "caller", "the catalogue does not know it"

    @pytest.mark.parametrize(
        ("operation", "name"),
        [
            (AddDatasets(project_hash=PROJECT, dataset_hashes=(DATASET_1, DATASET_2)), "add_datasets.js"),
            (
                CreateProjectAPIKey(
                    project_hash=PROJECT,
                    title="ci key",
                    scopes=(APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE),
                ),
                "create_project_api_key.js",
            ),
            (
                AddProjectUsers(
                    project_hash=PROJECT, emails=("a@example.com", "b@example.com"), role=ProjectUserRole.ANNOTATOR
                ),
                "add_users.js",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_an_operation_is_the_vendors_example(self, operation: EnvelopeOperation[Any], name: str) -> None:
        """The examples of the vendor's page, spaced in another way, hold the same."""
        assert json.loads(operation.request().body) == json.loads(BODIES[name])

    def test_removing_sends_the_list_as_uid(self) -> None:
        """The datasets to remove travel as ``uid``, and the payload is there and null, as the SDK sends it."""
        sealed = RemoveDatasets(project_hash=PROJECT, dataset_hashes=(DATASET_1, DATASET_2)).request()
        assert sealed.body.decode() == (
            '{"query_type": "projectdataset", "query_method": "DELETE", "values": '
            f'{{"uid": ["{DATASET_1}", "{DATASET_2}"], "payload": null}}}}'
        )
        assert sealed.resource_id == PROJECT
        theirs = json.loads(BODIES["remove_datasets.docs.js"])
        theirs["values"].setdefault("payload", None)
        assert json.loads(sealed.body) == theirs

    def test_adding_datasets_is_the_signed_example(self) -> None:
        """Adding datasets is byte for byte the body of the signed examples."""
        sealed = AddDatasets(project_hash=PROJECT, dataset_hashes=(DATASET_1, DATASET_2)).request()
        assert sealed.body.decode() == BODIES["neg.signed_raw_body"]

    @pytest.mark.parametrize(
        ("operation", "body"),
        [
            (
                ListProjectAPIKeys(project_hash=PROJECT),
                '{"query_type": "projectapikey", "query_method": "GET", '
                f'"values": {{"uid": "{PROJECT}", "payload": null}}}}',
            ),
            (
                GetOrCreateProjectAPIKey(project_hash=PROJECT),
                '{"query_type": "projectapikey", "query_method": "PUT", '
                f'"values": {{"uid": "{PROJECT}", "payload": {{}}}}}}',
            ),
            (GetOntology(project_hash=PROJECT), BODIES["get_project.v80.false"]),
            (
                GetProject(project_hash=PROJECT, include_labels_metadata=True),
                BODIES["get_project.v80.false"].replace("false", "true"),
            ),
            (
                CreateProject(title="t", workflow_template_id="w", ontology_hash="o"),
                '{"query_type": "project", "query_method": "POST", "values": {"uid": null, "payload": '
                '{"title": "t", "description": "", "dataset_hashes": [], "workflow_type": "manual", '
                '"ontology_hash": "o", "workflow_template_id": "w"}}}',
            ),
            (
                CreateDataset(
                    title="t", description="d", storage=StorageLocation.AZURE_STR, create_backing_folder=False
                ),
                '{"query_type": "dataset", "query_method": "POST", "values": {"uid": null, "payload": '
                '{"title": "t", "type": 3, "create_backing_folder": false, "description": "d"}}}',
            ),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, EnvelopeOperation) else "",
    )
    def test_other_forms(self, operation: EnvelopeOperation[Any], body: str) -> None:
        """Forms without a captured request follow the recorded order of members."""
        assert operation.request().body.decode() == body


TEXTS = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
HASHES = st.lists(TEXTS, max_size=3)
SOME_HASHES = st.lists(TEXTS, min_size=1, max_size=3)
# One zone only: moments that are equal in two zones are written in two ways, as the SDK writes them.
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
OPTIONAL = st.none() | st.text(max_size=10)
FILTERS = st.builds(
    ListingFilter,
    title_eq=OPTIONAL,
    title_like=OPTIONAL,
    desc_eq=OPTIONAL,
    desc_like=OPTIONAL,
    created_before=MOMENTS,
    created_after=MOMENTS,
    edited_before=MOMENTS,
    edited_after=MOMENTS,
)
ARGUMENTS: dict[type[EnvelopeOperation[Any]], dict[str, st.SearchStrategy[Any]]] = {
    CreateProject: {
        "title": TEXTS,
        "description": st.text(max_size=20),
        "dataset_hashes": HASHES,
        "ontology_hash": OPTIONAL,
        "workflow_template_id": OPTIONAL,
    },
    CreateProjectAPIKey: {
        "project_hash": TEXTS,
        "title": TEXTS,
        "scopes": st.lists(st.sampled_from([*APIKeyScope, "label.read"]), min_size=1, max_size=4),
    },
    ListProjectAPIKeys: {"project_hash": TEXTS},
    GetOrCreateProjectAPIKey: {"project_hash": TEXTS},
    AddDatasets: {"project_hash": TEXTS, "dataset_hashes": SOME_HASHES},
    RemoveDatasets: {"project_hash": TEXTS, "dataset_hashes": SOME_HASHES},
    AddProjectUsers: {"project_hash": TEXTS, "emails": SOME_HASHES, "role": st.sampled_from([*ProjectUserRole, 3])},
    GetProject: {"project_hash": TEXTS, "include_labels_metadata": st.booleans()},
    GetOntology: {"project_hash": TEXTS},
    CopyProject: {
        "project_hash": TEXTS,
        "title": OPTIONAL,
        "description": OPTIONAL,
        "options": st.lists(st.sampled_from([*CopyOption, "labels"]), max_size=4),
    },
    CreateDataset: {
        "title": TEXTS,
        "description": st.text(max_size=20),
        "storage": st.sampled_from([*StorageLocation, 2]),
        "create_backing_folder": st.booleans(),
    },
    GetDataset: {"dataset_hash": TEXTS},
    AddDatasetUsers: {"dataset_hash": TEXTS, "emails": SOME_HASHES, "role": st.sampled_from(DatasetUserRole)},
    ListProjects: {"filter": FILTERS},
    ListDatasets: {"filter": FILTERS},
    LinkItems: {"dataset_hash": TEXTS, "item_uuids": SOME_HASHES},
    ListDataRows: {"dataset_hash": TEXTS, "data_hashes": HASHES},
    RemoveDataRows: {"dataset_hash": TEXTS, "data_hashes": SOME_HASHES},
}
KINDS = pytest.mark.parametrize("kind", ARGUMENTS, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AddDatasets(project_hash=PROJECT, dataset_hashes=()),
        lambda: RemoveDatasets(project_hash=PROJECT, dataset_hashes=()),
        lambda: AddProjectUsers(project_hash=PROJECT, emails=(), role=ProjectUserRole.ANNOTATOR),
        lambda: AddDatasetUsers(dataset_hash=DATASET_1, emails=()),
        lambda: GetProject(project_hash=" "),
        lambda: GetOntology(project_hash=""),
        lambda: ListProjectAPIKeys(project_hash=""),
        lambda: GetOrCreateProjectAPIKey(project_hash=""),
        lambda: CopyProject(project_hash=""),
        lambda: AddDatasetUsers(dataset_hash="", emails=("a@example.com",)),
        lambda: GetDataset(dataset_hash=""),
        lambda: LinkItems(dataset_hash="d", item_uuids=()),
        lambda: ListDataRows(dataset_hash=""),
        lambda: RemoveDataRows(dataset_hash="d", data_hashes=()),
    ],
)
def test_nothing_to_do_is_refused(make: Callable[[], EnvelopeOperation[Any]]) -> None:
    """A call about no resource, or with an empty list, is refused before anything is sent."""
    with pytest.raises(UsageError, match="is empty"):
        make()


def test_every_operation_is_tested_here() -> None:
    """No operation was added without its tests."""
    found = {
        kind
        for _, kind in inspect.getmembers(operations, inspect.isclass)
        if issubclass(kind, EnvelopeOperation) and hasattr(kind, "query")
    }
    assert found == set(ARGUMENTS) == set(GOOD)


@KINDS
class TestEveryOperation:
    """What holds for every operation."""

    @given(st.data())
    def test_it_is_what_its_bytes_say(self, kind: type[EnvelopeOperation[Any]], data: st.DataObject) -> None:
        """The service reads an operation's uid and payload out of its bytes, equal ones are equal, and it stays so."""
        drawn = st.fixed_dictionaries(ARGUMENTS[kind])
        arguments = data.draw(drawn)
        as_tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
        operation, equal, other = kind(**arguments), kind(**as_tuples), kind(**data.draw(drawn))
        sealed = operation.request()
        assert sealed.body.isascii()
        assert json.loads(sealed.body) == {
            "query_type": kind.query.type,
            "query_method": kind.query.method,
            "values": json.loads(json.dumps({"uid": operation.uid(), "payload": operation.payload()})),
        }
        assert (sealed.resource_id is not None) == (kind.query.endpoint is Endpoint.RESOURCE)
        assert sealed.resource_id == operation.resource_id()
        for name, value in arguments.items():
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(operation, name, value)
            if isinstance(value, list):
                value.append("later")
        assert operation == equal
        assert hash(operation) == hash(equal)
        assert operation.request() == equal.request() == sealed
        if sealed != other.request():
            assert operation != other

    def test_its_arguments_have_names(self, kind: type[EnvelopeOperation[Any]]) -> None:
        """Arguments are given by name, so that two hashes are not mixed up."""
        with pytest.raises(TypeError):
            kind("positional")  # type: ignore[call-arg]  # the point of the test


LISTED_PROJECT = {
    "project_hash": "p",
    "title": "t",
    "description": "d",
    "created_at": "2024-01-02 03:04:05",
    "last_edited_at": "2024-01-02 03:04:05",
}
ONTOLOGY_BODY: dict[str, Any] = {"objects": [{"id": "1"}], "classifications": []}
DATA_ROW = {"data_hash": "d", "data_title": "t", "data_type": "IMAGE", "backing_item_uuid": "i", "file_link": None}
WHOLE_PROJECT = {**LISTED_PROJECT, "editor_ontology": ONTOLOGY_BODY, "ontology_hash": "o", "datasets": []}


@dataclasses.dataclass(frozen=True)
class Case:
    """An operation with an answer that it understands."""

    operation: EnvelopeOperation[Any]
    response: Any
    check: Callable[[Any], bool]


GOOD: dict[type[EnvelopeOperation[Any]], Case] = {
    CreateProject: Case(CreateProject(title="t"), PROJECT, lambda got: got == PROJECT),
    CreateProjectAPIKey: Case(
        CreateProjectAPIKey(project_hash="p", title="t", scopes=(APIKeyScope.LABEL_READ,)),
        KEY,
        lambda got: isinstance(got, SecretStr) and got.get_secret_value() == KEY,
    ),
    ListProjectAPIKeys: Case(
        ListProjectAPIKeys(project_hash="p"),
        [{"api_key": KEY, "title": "t", "scopes": '["label.read", "brand.new"]', "extra": 1}],
        lambda got: got[0].api_key.get_secret_value() == KEY and got[0].scopes == ("label.read", "brand.new"),
    ),
    GetOrCreateProjectAPIKey: Case(
        GetOrCreateProjectAPIKey(project_hash="p"),
        KEY,
        lambda got: isinstance(got, SecretStr) and got.get_secret_value() == KEY,
    ),
    AddDatasets: Case(AddDatasets(project_hash="p", dataset_hashes=("d",)), True, lambda got: got is None),
    RemoveDatasets: Case(RemoveDatasets(project_hash="p", dataset_hashes=("d",)), True, lambda got: got is None),
    AddProjectUsers: Case(
        AddProjectUsers(project_hash="p", emails=("a",), role=ProjectUserRole.REVIEWER),
        [{"user_email": "a", "user_role": 0, "project_hash": "p", "user_id": 7, "user_hash": "h"}],
        lambda got: got == (models.ProjectUser(user_email="a", user_role=ProjectUserRole.ADMIN, project_hash="p"),),
    ),
    GetProject: Case(
        GetProject(project_hash="p"),
        WHOLE_PROJECT,
        lambda got: got.created_at == MOMENT and got.editor_ontology == ONTOLOGY_BODY and got.ontology_hash == "o",
    ),
    GetOntology: Case(GetOntology(project_hash="p"), WHOLE_PROJECT, lambda got: got == ONTOLOGY_BODY),
    CopyProject: Case(CopyProject(project_hash="p"), "copy", lambda got: got == "copy"),
    CreateDataset: Case(
        CreateDataset(title="t"),
        {"title": "t", "type": 1, "dataset_hash": "d", "user_hash": "u", "backing_folder_uuid": None},
        lambda got: got.dataset_hash == "d" and got.type is StorageLocation.AWS_S3 and got.user_hash == "u",
    ),
    GetDataset: Case(
        GetDataset(dataset_hash="d"),
        {"dataset_hash": "d", "title": "t", "dataset_type": "AWS_S3", "data_rows": [], "backing_folder_uuid": None},
        lambda got: (got.dataset_hash, got.dataset_type, got.description) == ("d", "AWS_S3", ""),
    ),
    AddDatasetUsers: Case(
        AddDatasetUsers(dataset_hash="d", emails=("a",)),
        [{"user_email": "a", "user_role": 0, "dataset_hash": "d"}],
        lambda got: got[0].user_role is DatasetUserRole.ADMIN,
    ),
    ListProjects: Case(
        ListProjects(),
        [{"user_role": 0, "project": LISTED_PROJECT}, {"user_role": 42, "project": LISTED_PROJECT}],
        lambda got: [item.user_role for item in got] == [0, 42] and got[0].project.created_at == MOMENT,
    ),
    ListDatasets: Case(
        ListDatasets(),
        [{"user_role": 1, "dataset": {"dataset_hash": "d", "title": "t", "type": 9}}],
        lambda got: got[0].user_role is DatasetUserRole.USER and got[0].dataset.type == 9,
    ),
    LinkItems: Case(
        LinkItems(dataset_hash="d", item_uuids=("i",)), [DATA_ROW], lambda got: got[0].backing_item_uuid == "i"
    ),
    ListDataRows: Case(
        ListDataRows(dataset_hash="d"),
        [DATA_ROW, {"data_hash": "e"}],
        lambda got: [row.data_hash for row in got] == ["d", "e"],
    ),
    RemoveDataRows: Case(RemoveDataRows(dataset_hash="d", data_hashes=("d",)), True, lambda got: got is None),
}
CASES = pytest.mark.parametrize("case", GOOD.values(), ids=lambda case: type(case.operation).__name__)
LISTING = (
    ListProjectAPIKeys,
    AddProjectUsers,
    AddDatasetUsers,
    ListProjects,
    ListDatasets,
    LinkItems,
    ListDataRows,
)
DOING = (AddDatasets, RemoveDatasets)


def _told(operation: EnvelopeOperation[Any], response: object) -> ReplyShapeError | None:
    try:
        operation.parse(response)
    except ReplyShapeError as error:
        return error
    return None


@CASES
class TestAnswers:
    """How each operation reads what the service answers."""

    def test_a_good_answer_is_read(self, case: Case) -> None:
        """The expected answer becomes a typed value."""
        assert case.check(case.operation.parse(case.response))

    def test_another_shape_is_told(self, case: Case) -> None:
        """A success in a shape that is not understood says that it was a success, and which call it was."""
        operation = case.operation
        fine: list[Any] = ["text"] if isinstance(case.response, str) else []
        if isinstance(operation, LISTING):
            fine += [[]]
        if isinstance(operation, ListProjectAPIKeys | ListProjects | ListDatasets | LinkItems | ListDataRows):
            fine += [{}]
        if isinstance(operation, (*DOING, RemoveDataRows)):
            fine += [True, False]
        if isinstance(operation, RemoveDatasets | RemoveDataRows):
            fine += [None]
        others: list[Any] = [None, False, True, 0, 7, 1.5, "", "text", [], {}, [None], ["text"], [[]], {"a": 1}]
        for response in others:
            if any(type(response) is type(value) and response == value for value in fine):
                continue
            error = _told(operation, response)
            assert error is not None, response
            assert "the service succeeded, but" in error.message
            assert (error.applied, error.operation) == ("applied", operation.query.name)

    def test_an_answer_is_not_repeated(self, case: Case) -> None:
        """An error about an answer, and whatever it was raised from, shows nothing of the answer."""
        for response in (
            {"canary": "canary-canary"},
            [{"api_key": "canary-canary"}],
            [{"api_key": ["canary-canary"], "user_email": {"canary-canary": 1}}],
            ["canary-canary"],
            {"title": ["canary-canary"], "created_at": "canary-canary"},
        ):
            with pytest.raises(EncordError) as caught:
                case.operation.parse(response)
            assert caught.value.__context__ is None
            assert "canary-canary" not in "".join(traceback.format_exception_only(caught.value))

    def test_a_new_member_does_not_matter(self, case: Case) -> None:
        """A member that the service adds to an object one day changes nothing."""
        if isinstance(case.response, list | dict):
            more = copy.deepcopy(case.response)
            target = more[0] if isinstance(more, list) else more
            target["brand_new"] = {"a": 1}
            assert case.operation.parse(more) == case.operation.parse(case.response)


class TestDone:
    """Operations that are answered with true or false."""

    @pytest.mark.parametrize("kind", DOING)
    def test_false_is_a_refusal(self, kind: type[AddDatasets | RemoveDatasets]) -> None:
        """False means that the service did not do it."""
        operation = kind(project_hash="p", dataset_hashes=("d",))
        with pytest.raises(RefusedError, match="did not do this") as caught:
            operation.parse(False)
        assert caught.value.applied == "not_applied"
        assert caught.value.operation == operation.query.name

    def test_null_is_fine_for_a_delete_only(self) -> None:
        """The SDK takes a null answer to a DELETE for success, and to nothing else."""
        RemoveDatasets(project_hash="p", dataset_hashes=("d",)).parse(None)
        RemoveDataRows(dataset_hash="d", data_hashes=("r",)).parse(None)
        with pytest.raises(ReplyShapeError):
            AddDatasets(project_hash="p", dataset_hashes=("d",)).parse(None)


class TestListings:
    """Answers that are lists."""

    @pytest.mark.parametrize(
        "operation", [ListProjectAPIKeys(project_hash="p"), ListProjects(), ListDatasets()], ids=repr
    )
    @pytest.mark.parametrize("empty", [[], {}], ids=repr)
    def test_nothing_is_an_empty_tuple(self, operation: EnvelopeOperation[Any], empty: object) -> None:
        """An empty list, or ``{}`` as the SDK takes it, is nothing found."""
        assert operation.parse(empty) == ()

    def test_keys_are_hidden_in_a_list(self) -> None:
        """A printed list of API keys shows no key."""
        assert KEY[:12] not in repr(GOOD[ListProjectAPIKeys].operation.parse(GOOD[ListProjectAPIKeys].response))

    def test_the_place_of_what_is_wrong_is_told(self) -> None:
        """The error names the element and the member that is not as expected."""
        with pytest.raises(ReplyShapeError, match=r"but item 1\.title of its answer is missing"):
            ListProjectAPIKeys(project_hash="p").parse(
                [{"api_key": KEY, "title": "t", "scopes": []}, {"api_key": KEY, "scopes": []}]
            )

    @pytest.mark.parametrize(
        ("operation", "answer", "wrong"),
        [
            (CreateProject(title="t", dataset_hashes=()), 7, "its answer is no text"),
            (CreateProject(title="t", dataset_hashes=()), "", "its answer is empty"),
            (GetOrCreateProjectAPIKey(project_hash="p"), [KEY], "its answer is no text"),
            (GetOrCreateProjectAPIKey(project_hash="p"), "", "its answer is empty"),
            (ListProjects(), 7, "its answer is no list"),
            (ListProjects(), [KEY], "item 0 of its answer is no object"),
            (ListProjects(), [{"user_role": [KEY]}], "item 0.user_role of its answer is no number"),
            (ListProjects(), [{"user_role": 0, "project": None}], "item 0.project of its answer is no object"),
        ],
    )
    def test_what_is_wrong_is_told_in_words_of_answers(
        self, operation: EnvelopeOperation[Any], answer: object, wrong: str
    ) -> None:
        """The error speaks of the service's answer, not of our types; of what is not known yet it claims nothing."""
        with pytest.raises(ReplyShapeError) as caught:
            operation.parse(answer)
        assert caught.value.message == f"the service succeeded, but {wrong}"

    @pytest.mark.parametrize("kind", [CreateProjectAPIKey, GetOrCreateProjectAPIKey])
    def test_a_new_key_is_hidden(self, kind: type[EnvelopeOperation[Any]]) -> None:
        """A new API key does not show itself when printed."""
        assert KEY[:12] not in f"{GOOD[kind].operation.parse(KEY)!r} {GOOD[kind].operation.parse(KEY)}"


class TestOntology:
    """The ontology inside a project."""

    def test_it_may_be_json_text(self) -> None:
        """The ontology is read from an object and from a text that holds one."""
        answer = {**WHOLE_PROJECT, "editor_ontology": json.dumps(ONTOLOGY_BODY)}
        assert GetOntology(project_hash="p").parse(answer) == ONTOLOGY_BODY

    @pytest.mark.parametrize("ontology", [None, "", "text", "[]", "1", [], 5], ids=repr)
    def test_without_one(self, ontology: object) -> None:
        """A project without a readable ontology is a shape that is not understood."""
        with pytest.raises(ReplyShapeError):
            GetOntology(project_hash="p").parse({**WHOLE_PROJECT, "editor_ontology": ontology})


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
ODD_MOMENTS = st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024-02-30", 1e300, -(10**20)]
)


@st.composite
def _nearly(draw: st.DrawFn, good: Any) -> Any:
    """A good answer in which one value, at any depth, was replaced or removed."""
    if isinstance(good, list) and good and draw(st.booleans()):
        at = draw(st.integers(0, len(good) - 1))
        return [*good[:at], draw(_nearly(good[at])), *good[at + 1 :]]
    if isinstance(good, dict) and good and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(good)))
        if draw(st.integers(0, 4)) == 0:
            return {key: value for key, value in good.items() if key != name}
        return {**good, name: draw(_nearly(good[name]))}
    return draw(JSON_VALUES | ODD_MOMENTS)


def _outcome(call: Callable[[], object]) -> object:
    """The value that *call* gives, or the error of ours that it raises; anything else goes through."""
    try:
        return call()
    except EncordError as error:
        return error


@CASES
@given(st.data())
def test_any_answer_is_a_value_or_an_error_of_ours(case: Case, data: st.DataObject) -> None:
    """Whatever JSON the service answers, the caller sees a value or an `EncordError`, nothing else."""
    response = data.draw(JSON_VALUES | _nearly(case.response))
    outcome = _outcome(lambda: case.operation.parse(response))
    if isinstance(outcome, EncordError):
        assert isinstance(outcome, ReplyShapeError | RefusedError)
        assert outcome.operation == case.operation.query.name
        assert outcome.__context__ is None
        assert str(outcome)
    elif case.operation.query.type == "projectapikey":
        assert KEY not in repr(outcome)


class TestBadValues:
    """Values that cannot work are refused when the operation is made."""

    @pytest.mark.parametrize("empty", ["", " ", "\n\t"], ids=repr)
    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda text: CreateProject(title=text), "title is empty; give a text"),
            (lambda text: CreateDataset(title=text), "title is empty; give a text"),
            (
                lambda text: CreateProjectAPIKey(project_hash="p", title=text, scopes=(APIKeyScope.LABEL_READ,)),
                "title is empty; give a text",
            ),
            (
                lambda text: CreateProjectAPIKey(project_hash=text, title="t", scopes=(APIKeyScope.LABEL_READ,)),
                "project_hash is empty; give a text",
            ),
            (lambda text: CreateProject(title="t", dataset_hashes=(text,)), "a member of dataset_hashes is empty"),
            (lambda text: AddDatasets(project_hash="p", dataset_hashes=("d", text)), "a member of dataset_hashes"),
            (lambda text: RemoveDatasets(project_hash="p", dataset_hashes=(text,)), "a member of dataset_hashes"),
            (
                lambda text: AddProjectUsers(project_hash="p", emails=(text,), role=ProjectUserRole.ADMIN),
                "a member of emails is empty",
            ),
            (lambda text: AddDatasetUsers(dataset_hash="d", emails=(text,)), "a member of emails is empty"),
        ],
    )
    def test_empty_texts(self, make: Callable[[str], object], says: str, empty: str) -> None:
        """A title, a hash or an address without a visible character is refused."""
        with pytest.raises(UsageError, match=says) as caught:
            make(empty)
        assert caught.value.applied == "not_applied"

    @pytest.mark.parametrize(
        "make",
        [
            lambda text: CreateProject(title="t", dataset_hashes=text),
            lambda text: AddDatasets(project_hash="p", dataset_hashes=text),
            lambda text: RemoveDatasets(project_hash="p", dataset_hashes=text),
            lambda text: AddProjectUsers(project_hash="p", emails=text, role=ProjectUserRole.ADMIN),
            lambda text: AddDatasetUsers(dataset_hash="d", emails=text),
            lambda text: CreateProjectAPIKey(project_hash="p", title="t", scopes=text),
        ],
    )
    def test_one_text_where_a_list_belongs(self, make: Callable[[Any], object]) -> None:
        """A text is not taken for the list of its letters."""
        with pytest.raises(UsageError, match="is one text; give a list of texts"):
            make("label.read")

    def test_no_scopes(self) -> None:
        """A key that could do nothing is not made: it could not be deleted."""
        with pytest.raises(UsageError, match="scopes is empty"):
            CreateProjectAPIKey(project_hash="p", title="t", scopes=())

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (
                lambda: AddProjectUsers(project_hash="p", emails=("a",), role=9),  # type: ignore[arg-type]  # the point
                "9 is no role of a project; use one of 0 admin, 1 annotator, .* 5 viewer",
            ),
            (
                lambda: AddProjectUsers(project_hash="p", emails=("a",), role="admin"),  # type: ignore[arg-type]  # ditto
                "'admin' is no role of a project; use one of 0 admin",
            ),
            (
                lambda: AddDatasetUsers(dataset_hash="d", emails=("a",), role=2),  # type: ignore[arg-type]  # ditto
                "2 is no role of a dataset; use one of 0 admin, 1 user",
            ),
            (
                lambda: CreateDataset(title="t", storage=5),  # type: ignore[arg-type]  # ditto
                "5 is no storage location; use one of 0 cord_storage, 1 aws_s3",
            ),
            (
                lambda: CopyProject(project_hash="p", options=("all",)),  # type: ignore[arg-type]  # ditto
                "'all' is no option of a copy; use one of labels, datasets, models, collaborators",
            ),
            (
                lambda: CreateProjectAPIKey(
                    project_hash="p",
                    title="t",
                    scopes=("label.delete",),  # type: ignore[arg-type]  # ditto
                ),
                "'label.delete' is no scope of an API key; use one of label.read, label.write",
            ),
        ],
    )
    def test_unknown_choices(self, make: Callable[[], object], says: str) -> None:
        """A role, scope, option or storage that does not exist is refused, with those that do."""
        with pytest.raises(UsageError, match=says):
            make()

    def test_choices_may_be_plain_values(self) -> None:
        """Numbers and texts of the wire are taken for the choices they stand for."""
        users = AddProjectUsers(project_hash="p", emails=("a",), role=1)  # type: ignore[arg-type]  # the point
        assert users.role is ProjectUserRole.ANNOTATOR
        copied = CopyProject(project_hash="p", options=["models", "labels", "models"])  # type: ignore[arg-type]  # ditto
        assert copied.options == (CopyOption.LABELS, CopyOption.MODELS)

    def test_any_iterable_is_a_list(self) -> None:
        """Hashes may come from a generator, and are kept."""
        operation = AddDatasets(project_hash="p", dataset_hashes=(name for name in "ab"))  # type: ignore[arg-type]  # ditto
        assert operation.dataset_hashes == ("a", "b")

    @pytest.mark.parametrize(
        "operation",
        [
            CreateProject(title="\ud800"),
            CreateProject(title="t", description=float("nan")),  # type: ignore[arg-type]  # the point
            AddDatasets(project_hash="p", dataset_hashes=("\udc00",)),
            ListProjects(filter=ListingFilter(title_eq=object())),  # type: ignore[arg-type]  # ditto
        ],
        ids=["surrogate in a title", "NaN", "surrogate in a list", "object in a filter"],
    )
    def test_what_json_cannot_carry(self, operation: EnvelopeOperation[Any]) -> None:
        """A value that JSON cannot carry is refused before anything is sent."""
        with pytest.raises(UnencodableError, match="cannot be written as JSON"):
            operation.request()
