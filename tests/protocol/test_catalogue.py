import ast
import inspect
import sys
from enum import Enum
from pathlib import Path

import pytest

from encord_async import operations
from encord_async.protocol import catalogue
from encord_async.protocol.catalogue import (
    CODES,
    QUERIES,
    REST_CALLS,
    CodeMeaning,
    Effect,
    Endpoint,
    Query,
    ResourceType,
    RestCall,
    query,
    rest_call,
)
from encord_async.protocol.operations.base import EnvelopeOperation

ALL_QUERIES = list(QUERIES.values())
WIRE_ENUMS = [
    catalogue.APIKeyScope,
    catalogue.CopyOption,
    catalogue.DatasetScope,
    catalogue.DatasetUserRole,
    catalogue.Endpoint,
    catalogue.FileType,
    catalogue.FolderUserRole,
    catalogue.Header,
    catalogue.ItemType,
    catalogue.JobStatus,
    catalogue.MemberType,
    catalogue.OntologyUserRole,
    catalogue.OrganisationRole,
    catalogue.ProjectStatus,
    catalogue.ProjectUserRole,
    catalogue.ResourceType,
    catalogue.StageType,
    catalogue.StorageLocation,
    catalogue.TaskStatus,
]
OPERATIONS: list[type[EnvelopeOperation[object]]] = [
    found
    for _, found in inspect.getmembers(operations, inspect.isclass)
    if issubclass(found, EnvelopeOperation) and hasattr(found, "query")
]


@pytest.mark.parametrize("item", ALL_QUERIES, ids=lambda item: f"{item.endpoint}-{item.name}")
class TestEachQuery:
    """Every call in the catalogue."""

    def test_has_a_source(self, item: Query) -> None:
        """Nobody has to ask where a fact about a call comes from."""
        assert item.source.strip()

    def test_stands_under_its_own_names(self, item: Query) -> None:
        """Looking a call up by its names on the wire gives that call."""
        assert query(item.endpoint, item.type, item.method) is item
        assert item.name == f"{item.type}.{item.method}"

    def test_has_a_resource_type_where_one_is_sent(self, item: Query) -> None:
        """Calls on ``/public`` name the type of their resource, calls on ``/public/user`` have none."""
        assert (item.resource_type is not None) == (item.endpoint is Endpoint.RESOURCE)

    def test_only_reads_are_reads(self, item: Query) -> None:
        """A GET changes nothing and only a GET is repeated as a read."""
        assert (item.effect is Effect.READ) == (item.method == "GET")

    def test_can_be_hashed_and_not_changed(self, item: Query) -> None:
        """A fact is the same for everybody who holds it."""
        assert hash(item) == hash(query(item.endpoint, item.type, item.method))
        with pytest.raises(AttributeError):
            item.effect = Effect.READ  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("call", REST_CALLS.values(), ids=lambda call: call.name)
class TestEachRestCall:
    """Every REST call in the catalogue."""

    def test_has_a_source(self, call: RestCall) -> None:
        """Nobody has to ask where a fact about a call comes from."""
        assert call.source.strip()

    def test_stands_under_its_own_names(self, call: RestCall) -> None:
        """Looking a call up by method and path gives that call, and its name says both."""
        assert rest_call(call.method, call.path) is call
        assert call.name == f"v2{call.path}.{call.method}"

    def test_only_reads_are_reads(self, call: RestCall) -> None:
        """Only a GET is repeated as a read, but for one call that names too much for an address."""
        assert (call.effect is Effect.READ) == (call.method == "GET" or call.name == "v2/storage/items/get-bulk.POST")


def test_which_rest_calls_are_never_repeated_blindly() -> None:
    """What would be there twice, or what would be refused the second time, is a create."""
    assert {call.name for call in REST_CALLS.values() if call.effect is Effect.CREATE} == {
        "v2/datasets.POST",
        "v2/ontologies.POST",
        "v2/organisation/groups.POST",
        "v2/organisation/organisation-tags.POST",
        "v2/storage/folders.POST",
    }


def test_an_unknown_rest_call_is_a_key_error() -> None:
    """REST v2 creates no project, and the catalogue does not make up that it does."""
    with pytest.raises(KeyError):
        rest_call("POST", "/projects")


def test_what_twice_would_make_two_is_a_create() -> None:
    """What cannot be undone over this API is never counted as harmless to repeat."""
    creates = {(item.endpoint, item.name) for item in ALL_QUERIES if item.effect is Effect.CREATE}
    assert creates == {
        (Endpoint.USER, "project.POST"),
        (Endpoint.USER, "projectapikey.POST"),
        (Endpoint.USER, "dataset.POST"),
        (Endpoint.USER, "datasetapikey.POST"),
        (Endpoint.USER, "ontology.POST"),
        (Endpoint.RESOURCE, "projectcopy.POST"),
    }


def test_nothing_deletes_a_project_or_a_key() -> None:
    """No call and no operation deletes a project or an API key; datasets are only detached, their rows removed."""
    deletes = [item.name for item in ALL_QUERIES if item.method == "DELETE"]
    assert deletes == ["projectdataset.DELETE", "video.DELETE"]
    deleting = {kind.__name__ for kind in OPERATIONS if kind.query.method == "DELETE"}
    assert deleting == {"RemoveDatasets", "RemoveDataRows"}
    names = " ".join([*operations.__all__, *(kind.__name__ for kind in OPERATIONS)])
    assert "delete" not in names.lower()


def test_every_operation_is_in_the_catalogue() -> None:
    """An operation never sends names that the catalogue does not know."""
    assert OPERATIONS
    for kind in OPERATIONS:
        assert kind.query in ALL_QUERIES


def test_an_unknown_call_is_a_key_error() -> None:
    """A call that is not in the catalogue is not made up."""
    with pytest.raises(KeyError):
        query(Endpoint.USER, "project", "DELETE")


def test_the_same_type_means_different_calls_on_the_two_endpoints() -> None:
    """Creating a dataset and reading one have one name on the wire and two endpoints."""
    assert query(Endpoint.USER, "dataset", "POST").effect is Effect.CREATE
    assert query(Endpoint.RESOURCE, "dataset", "GET").resource_type is ResourceType.DATASET


@pytest.mark.parametrize("code", CODES)
def test_each_code_says_what_it_means_and_since_when(code: str) -> None:
    """Every error code has a text for a person and the SDK release that first knew it."""
    fact = CODES[code]
    assert fact.text.strip()
    assert all(part.isdigit() for part in fact.since.split("."))
    assert fact.meaning in CodeMeaning
    assert code == code.strip().upper()


def test_the_codes_are_those_of_the_sdk() -> None:
    """Every error code that any release of the SDK maps, or has a constant for, is known here."""
    assert set(CODES) == {
        "ANSWER_DICTIONARY_ERROR",
        "AUTHENTICATION_ERROR",
        "AUTHORISATION_ERROR",
        "CORRUPTED_LABEL_ERROR",
        "DETECTION_RANGE_INVALID_ERROR",
        "DUPLICATE_SSH_KEY_ERROR",
        "FEATURE_DOES_NOT_EXIST_ERROR",
        "FILE_SIZE_NOT_SUPPORTED_ERROR",
        "FILE_TYPE_NOT_SUPPORTED_ERROR",
        "INVALID_ARGUMENTS_ERROR",
        "INVALID_DATE_FORMAT_ERROR",
        "METHOD_NOT_ALLOWED_ERROR",
        "MODEL_FEATURES_INCONSISTENT_ERROR",
        "MODEL_WEIGHTS_INCONSISTENT_ERROR",
        "MULTI_LABEL_LIMIT_ERROR",
        "MUST_SET_DETECTION_RANGE_ERROR",
        "OPERATION_NOT_ALLOWED",
        "RATE_LIMIT_ERROR",
        "RESOURCE_EXISTS_ERROR",
        "RESOURCE_NOT_FOUND_ERROR",
        "SSH_KEY_NOT_FOUND_ERROR",
        "UNKNOWN_ERROR",
        "UPLOAD_OPERATION_NOT_SUPPORTED_ERROR",
        "WRONG_PROJECT_TYPE_ERROR",
    }


@pytest.mark.parametrize("kind", WIRE_ENUMS)
def test_each_set_of_wire_values_has_a_source(kind: type[Enum]) -> None:
    """The docstring of each set of values says where they were found."""
    assert "Source: " in (kind.__doc__ or "")


def test_roles_and_places_have_the_numbers_of_the_wire() -> None:
    """A role's number is what the service stores; a slip here would give people the wrong rights."""
    assert {role.name: int(role) for role in catalogue.ProjectUserRole} == {
        "ADMIN": 0,
        "ANNOTATOR": 1,
        "REVIEWER": 2,
        "ANNOTATOR_REVIEWER": 3,
        "TEAM_MANAGER": 4,
        "VIEWER": 5,
    }
    assert {role.name: int(role) for role in catalogue.DatasetUserRole} == {"ADMIN": 0, "USER": 1}
    assert [int(place) for place in catalogue.StorageLocation] == [0, 1, 2, 3, 4]


def test_the_scopes_are_in_the_sdks_order() -> None:
    """The scopes of a key, in the order in which the SDK writes all of them."""
    assert [scope.value for scope in catalogue.APIKeyScope] == [
        "label.read",
        "label.write",
        "model.inference",
        "model.train",
        "label_logs.read",
        "algo.library",
    ]


def test_the_domains_are_https() -> None:
    """No default sends anything in the clear."""
    assert catalogue.DEFAULT_DOMAIN == "https://api.encord.com"
    assert catalogue.US_DOMAIN == "https://api.us.encord.com"


def test_the_catalogue_imports_the_standard_library_only() -> None:
    """The catalogue is data: it can be shared with the emulator without sharing the client's logic."""
    tree = ast.parse(Path(catalogue.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
