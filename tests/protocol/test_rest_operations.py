import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from encord_async import operations as rest
from encord_async.errors import ExistsError, ReplyShapeError, UsageError
from encord_async.protocol.catalogue import (
    REST_CALLS,
    DatasetUserRole,
    Effect,
    MemberType,
    OntologyUserRole,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.operations.base import Creation, ListingFilter, PageOperation, RestOperation
from encord_async.protocol.rest_models import Page
from tests.protocol.cases import BAD_VALUES, FOLDER_REPLY, NONE, STAMPS, STORAGE_CASES, Case, page

VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parent.parent / "vectors.json").read_text(encoding="utf-8"))["v2"]
}
PROJECT = "11111111-2222-3333-4444-555555555555"
GROUP = ONTOLOGY = "99999999-8888-7777-6666-555555555555"
EMPTY: dict[str, Any] = {"objects": [], "classifications": [], "skeleton_templates": []}
MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
FULL_FILTER = ListingFilter(
    title_eq="T",
    title_like="V%",
    desc_eq="D",
    desc_like="%d%",
    created_before=MOMENT,
    created_after=datetime(2023, 1, 1, tzinfo=UTC),
    edited_before=datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
    edited_after=MOMENT,
)

OF_VECTOR: dict[str, RestOperation[Any]] = {
    "v2.create_dataset": rest.CreateDatasetV2(title="ds"),
    "v2.create_dataset.desc": rest.CreateDatasetV2(title="ds", description="about"),
    "v2.list_datasets": rest.ListDatasetsV2(),
    "v2.list_datasets.filter": rest.ListDatasetsV2(filter=FULL_FILTER),
    "v2.remove_project_users": rest.RemoveProjectUsers(project_hash=PROJECT, emails=("a@example.com",)),
    "v2.list_project_datasets": rest.ListProjectDatasets(project_hash=PROJECT),
    "v2.add_project_groups": rest.AddProjectGroups(
        project_hash=PROJECT, group_hashes=(GROUP,), role=ProjectUserRole.REVIEWER
    ),
    "v2.remove_project_groups": rest.RemoveProjectGroups(project_hash=PROJECT, group_hashes=(GROUP, PROJECT)),
    "v2.set_project_status": rest.SetProjectStatus(project_hash=PROJECT, status=ProjectStatus.IN_PROGRESS),
    "v2.get_ontology": rest.GetOntologyV2(ontology_hash=ONTOLOGY),
    "v2.create_ontology": rest.CreateOntology(title="Onto", description="desc"),
    "v2.update_ontology": rest.UpdateOntology(ontology_hash=ONTOLOGY, title="Onto", description="desc", editor=EMPTY),
    "v2.list_groups": rest.ListGroups(),
    "v2.create_group": rest.CreateGroup(name="g", description="d"),
    "v2.list_org_users": rest.ListOrganisationUsers(),
    "v2.add_org_user": rest.AddOrganisationUser(email="new+x@example.com"),
    "v2.remove_org_user": rest.RemoveOrganisationUser(email="new+x@example.com"),
    "v2.bearer_token": rest.GetBearerToken(),
}


def test_every_vector_has_its_operation() -> None:
    """No request of the official SDK that is on record is left out."""
    assert set(OF_VECTOR) == set(VECTORS)


@pytest.mark.parametrize("name", OF_VECTOR)
def test_requests_are_those_of_the_sdk(name: str) -> None:
    """Method, path, query and body are to the byte what the official SDK 0.1.211 sends."""
    request, vector = OF_VECTOR[name].request(), VECTORS[name]
    assert (request.call.method, request.target, request.body.decode()) == (
        vector["http_method"],
        vector["request_target"],
        vector["body"],
    )


LISTED = {"datasetUuid": "d", "title": "t", "description": "", **STAMPS, "userRole": "user", "storageLocation": 1}
DETAILS = {
    "projectHash": "p",
    "projectType": "workflow",
    "status": "inReview",
    "title": "t",
    "description": "",
    **STAMPS,
    "creatorEmail": "a@example.com",
    "ontologyHash": "o",
    "editorOntology": EMPTY,
    "userRole": 4,
    "workflow": {"stages": []},
}
ONTOLOGY_REPLY = {"ontologyUuid": "o", "title": "t", "description": "", "editor": EMPTY, **STAMPS, "userRole": 0}
GROUP_REPLY = {"groupHash": "g", "name": "n", "description": "", "createdAt": "2024-01-02T03:04:05+00:00"}
MEMBER = {"email": "a", "roleMnemonicName": "ADMIN", "roleUuid": "u", "memberType": "internal", **STAMPS}


CASES = (
    Case(
        rest.CreateDatasetV2(title="t", create_backing_folder=False),
        "POST /datasets",
        {"title": "t", "createBackingFolder": False, "legacyCall": False},
        {"datasetUuid": "d", "backingFolderUuid": "f", "more": 1},
        lambda got: (got.dataset_uuid, got.backing_folder_uuid) == ("d", "f"),
    ),
    Case(
        rest.ListDatasetsV2(include_org_access=True),
        "GET /datasets/list?includeOrgAccess=True",
        None,
        {"result": [LISTED, {**LISTED, "userRole": None, "storageLocation": None}]},
        lambda got: (
            [item.user_role for item in got.results] == [DatasetUserRole.USER, None]
            and got.results[0].storage_location is StorageLocation.AWS_S3
            and got.next_page_token is None
        ),
    ),
    Case(
        rest.ListDatasetUsers(dataset_hash="d"),
        "GET /datasets/d/users",
        None,
        page({"datasetUuid": "d", "userEmail": "a", "userRole": 0}, {"userEmail": "b", "userRole": "new"}),
        lambda got: [member.user_role for member in got.results] == [DatasetUserRole.ADMIN, "new"],
    ),
    Case(
        rest.RemoveDatasetUsers(dataset_hash="d", emails=("a", "b")),
        "POST /datasets/d/users/bulk-delete",
        {"userEmails": ["a", "b"]},
        None,
        NONE,
    ),
    Case(
        rest.ListProjectsV2(filter=ListingFilter(desc_like="%x"), tags_anyof=("q1", "q2"), page_token="n"),
        "GET /projects?descLike=%25x&includeOrgAccess=False&tagsAnyof=q1&tagsAnyof=q2&pageToken=n",
        None,
        page(DETAILS, {**DETAILS, "status": "somethingNew", "userRole": 42}),
        lambda got: (
            [item.status for item in got.results] == [ProjectStatus.IN_REVIEW, "somethingNew"]
            and [item.user_role for item in got.results] == [ProjectUserRole.TEAM_MANAGER, 42]
            and got.results[0].created_at == got.results[0].last_edited_at == MOMENT
        ),
    ),
    Case(
        rest.GetProjectV2(project_hash="p"),
        "GET /projects/p",
        None,
        DETAILS,
        lambda got: (got.project_hash, got.editor_ontology) == ("p", EMPTY),
    ),
    Case(
        rest.SetProjectStatus(project_hash="p", status=ProjectStatus.ARCHIVED),
        "PUT /projects/p/status",
        {"status": "archived"},
        None,
        NONE,
    ),
    Case(
        rest.ListProjectDatasets(project_hash="p"),
        "GET /projects/p/datasets",
        None,
        page({"datasetHash": "d", "title": "t", "description": None}),
        lambda got: got.results[0].dataset_hash == "d",
    ),
    Case(
        rest.ListProjectUsers(project_hash="p", page_token="a=b"),
        "GET /projects/p/users?pageToken=a%3Db",
        None,
        page({"userEmail": "a", "userRole": 1}),
        lambda got: got.results[0].user_role is ProjectUserRole.ANNOTATOR and got.next_page_token == "more",
    ),
    Case(
        rest.RemoveProjectUsers(project_hash="p", emails=["a"]),  # type: ignore[arg-type]  # lists are taken, too
        "POST /projects/p/users/bulk-delete",
        {"userEmails": ["a"]},
        {},
        NONE,
    ),
    Case(
        rest.ListProjectGroups(project_hash="p"),
        "GET /projects/p/groups",
        None,
        page({**GROUP_REPLY, "isSameOrganisation": True, "userRole": 2}),
        lambda got: got.results[0].group_hash == "g" and got.results[0].user_role is ProjectUserRole.REVIEWER,
    ),
    Case(
        rest.AddProjectGroups(project_hash="p", group_hashes=("g",), role=2),  # type: ignore[arg-type]  # numbers are taken
        "POST /projects/p/groups",
        {"groupHashList": ["g"], "userRole": 2},
        None,
        NONE,
    ),
    Case(
        rest.RemoveProjectGroups(project_hash="p", group_hashes=("g", "h")),
        "DELETE /projects/p/groups?groupHashList=g&groupHashList=h",
        None,
        None,
        NONE,
    ),
    Case(
        rest.ListDatasetGroups(dataset_hash="d"),
        "GET /datasets/d/groups",
        None,
        page({**GROUP_REPLY, "isSameOrganisation": True, "userRole": 1}),
        lambda got: got.results[0].group_hash == "g" and got.results[0].user_role is DatasetUserRole.USER,
    ),
    Case(
        rest.AddDatasetGroups(dataset_hash="d", group_hashes=("g",), role=DatasetUserRole.USER),
        "POST /datasets/d/groups",
        {"groupHashList": ["g"], "userRole": 1},
        None,
        NONE,
    ),
    Case(
        rest.RemoveDatasetGroups(dataset_hash="d", group_hashes=("g", "h")),
        "DELETE /datasets/d/groups?groupHashList=g&groupHashList=h",
        None,
        None,
        NONE,
    ),
    Case(
        rest.ListOntologyGroups(ontology_hash="o"),
        "GET /ontologies/o/groups",
        None,
        page({**GROUP_REPLY, "isSameOrganisation": True, "userRole": 1}),
        lambda got: got.results[0].group_hash == "g" and got.results[0].user_role is OntologyUserRole.USER,
    ),
    Case(
        rest.AddOntologyGroups(ontology_hash="o", group_hashes=("g",), role=OntologyUserRole.USER),
        "POST /ontologies/o/groups",
        {"groupHashList": ["g"], "userRole": 1},
        None,
        NONE,
    ),
    Case(
        rest.RemoveOntologyGroups(ontology_hash="o", group_hashes=("g", "h")),
        "DELETE /ontologies/o/groups?groupHashList=g&groupHashList=h",
        None,
        None,
        NONE,
    ),
    Case(
        rest.ListProjectTags(project_hash="p"),
        "GET /projects/p/tags",
        None,
        page({"uuid": "t", "name": "q1"}),
        lambda got: got.results[0].name == "q1",
    ),
    Case(rest.AddProjectTag(project_hash="p", tag_uuid="t"), "PUT /projects/p/tags/t", None, None, NONE),
    Case(rest.RemoveProjectTag(project_hash="p", tag_uuid="t"), "DELETE /projects/p/tags/t", None, None, NONE),
    Case(
        rest.CreateOntology(title="t", editor={"objects": [{"some_name": None}]}),
        "POST /ontologies",
        {"title": "t", "description": "", "editor": {"objects": [{"some_name": None}]}},
        ONTOLOGY_REPLY,
        lambda got: got.user_role is OntologyUserRole.ADMIN and got.editor == EMPTY,
    ),
    Case(
        rest.ListOntologies(filter=ListingFilter(title_eq="t")),
        "GET /ontologies?titleEq=t&includeOrgAccess=False",
        None,
        page(ONTOLOGY_REPLY, {**ONTOLOGY_REPLY, "userRole": None}),
        lambda got: got.results[1].user_role is None,
    ),
    Case(
        rest.GetOntologyV2(ontology_hash="o"), "GET /ontologies/o", None, ONTOLOGY_REPLY, lambda got: got.title == "t"
    ),
    Case(
        rest.UpdateOntology(ontology_hash="o", title="t", description="", editor={}),
        "PUT /ontologies/o",
        {"title": "t", "description": "", "editor": {}},
        None,
        NONE,
    ),
    Case(
        rest.CreateGroup(name="n"),
        "POST /organisation/groups",
        {"name": "n", "description": ""},
        GROUP_REPLY,
        lambda got: (got.group_hash, got.created_at) == ("g", MOMENT),
    ),
    Case(
        rest.ListGroups(page_token="n"),
        "GET /user/current-organisation/groups?pageToken=n",
        None,
        page(GROUP_REPLY),
        lambda got: got.results[0].name == "n",
    ),
    Case(rest.GetGroup(group_hash="g"), "GET /organisation/groups/g", None, GROUP_REPLY, lambda got: got.name == "n"),
    Case(
        rest.ListGroupMembers(group_hash="g"),
        "GET /organisation/groups/g/users",
        None,
        page({"user_email": "a"}),
        lambda got: got.results[0].user_email == "a",
    ),
    Case(
        rest.AddGroupMembers(group_hash="g", emails=("a",)),
        "POST /organisation/groups/g/users",
        {"userEmails": ["a"]},
        {"results": [{"userEmail": "b"}, {"userEmail": "a"}]},
        lambda got: [member.user_email for member in got] == ["b", "a"],
    ),
    Case(
        rest.RemoveGroupMembers(group_hash="g", emails=("a",)),
        "POST /organisation/groups/g/users/bulk-delete",
        {"userEmails": ["a"]},
        None,
        NONE,
    ),
    Case(
        rest.ListOrganisationUsers(),
        "GET /organisation/users",
        None,
        page(MEMBER, {**MEMBER, "roleMnemonicName": "NEW", "memberType": "new"}),
        lambda got: (
            [item.role_mnemonic_name for item in got.results] == [OrganisationRole.ADMIN, "NEW"]
            and [item.member_type for item in got.results] == [MemberType.INTERNAL, "new"]
        ),
    ),
    Case(
        rest.AddOrganisationUser(email="a", role=OrganisationRole.TASKER, member_type=MemberType.EXTERNAL),
        "POST /organisation/users",
        {"email": "a", "roleMnemonicName": "TASKER", "memberType": "external"},
        None,
        lambda got: got is True,
    ),
    Case(rest.RemoveOrganisationUser(email="a/b@e.com"), "DELETE /organisation/users/a%2Fb%40e.com", None, None, NONE),
    Case(
        rest.ListTags(),
        "GET /organisation/organisation-tags",
        None,
        {"results": [{"uuid": "t", "name": "q1"}], "nextPageToken": None},
        lambda got: got.results[0].uuid == "t" and got.next_page_token is None,
    ),
    Case(
        rest.CreateTag(name="q1"),
        "POST /organisation/organisation-tags",
        {"name": "q1"},
        {"uuid": "t", "name": "q1"},
        lambda got: got.uuid == "t",
    ),
    Case(
        rest.GetBearerToken(),
        "GET /user/bearer-token",
        None,
        {"token": "s3cret"},
        lambda got: isinstance(got, SecretStr) and got.get_secret_value() == "s3cret" and "s3cret" not in repr(got),
    ),
    *STORAGE_CASES,
)
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.operation).__name__)
KINDS: list[type[RestOperation[Any]]] = [
    kind
    for _, kind in inspect.getmembers(rest, inspect.isclass)
    if issubclass(kind, RestOperation) and hasattr(kind, "call")
]


def test_every_operation_is_tested_here() -> None:
    """No operation and no call of the catalogue is left out."""
    assert {type(case.operation) for case in CASES} == set(KINDS)
    assert {case.operation.call for case in CASES} == set(REST_CALLS.values())


@EACH
def test_each_operation_goes_out_as_it_should(case: Case) -> None:
    """Method, path, query and body are those of its call, and nothing that was not given is sent."""
    request = case.operation.request()
    assert f"{request.call.method} {request.target}" == case.line.replace(" ", " /v2/public", 1)
    assert (json.loads(request.body) if request.body else None) == case.body


@EACH
def test_each_operation_reads_its_answer(case: Case) -> None:
    """What the service answers is read into the types promised; names and numbers that are new are kept."""
    assert case.reads(case.operation.parse(case.answer))


def _snake(value: object) -> object:
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in key): item
            if key.startswith("editor")
            else _snake(item)
            for key, item in value.items()
        }
    return [_snake(item) for item in value] if isinstance(value, list) else value


@EACH
def test_answers_in_snake_case_are_read_as_well(case: Case) -> None:
    """The official SDK takes both spellings, so do we."""
    assert case.reads(case.operation.parse(_snake(case.answer)))


@EACH
def test_what_is_not_understood_is_no_success_for_nothing(case: Case) -> None:
    """An answer of another shape is an error that says it was done; where none is needed, any will do."""
    needs_none = isinstance(case.operation, rest.AddOrganisationUser) or case.reads is NONE
    texts = [] if isinstance(case.answer, str) and not needs_none else ["text"]
    others: list[Any] = [[], {}, {"results": None}, {"results": [{}]}, {"result": 1}]
    for answer in (None, True, 3, *texts, *others):
        if needs_none:
            assert case.reads(case.operation.parse(answer)), answer
        else:
            assert _is_told(case.operation, answer), answer


def _is_told(operation: RestOperation[Any], answer: object) -> bool:
    try:
        operation.parse(answer)
    except ReplyShapeError as error:
        return "the service succeeded, but" in error.message
    return False


def test_an_error_about_a_token_does_not_hold_it() -> None:
    """Whatever came in the place of a token is not repeated."""
    with pytest.raises(ReplyShapeError) as caught:
        rest.GetBearerToken().parse({"token": ["s3cret"]})
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: rest.CreateDatasetV2(title=" "), "title is empty"),
        (lambda: rest.CreateOntology(title=""), "title is empty"),
        (lambda: rest.UpdateOntology(ontology_hash="o", title="", description="", editor={}), "title is empty"),
        (lambda: rest.CreateGroup(name=""), "name is empty"),
        (lambda: rest.CreateTag(name=""), "name is empty"),
        (lambda: rest.GetProjectV2(project_hash=""), "project_hash is empty"),
        (lambda: rest.ListProjectUsers(project_hash=""), "project_hash is empty"),
        (lambda: rest.ListDatasetUsers(dataset_hash=""), "dataset_hash is empty"),
        (lambda: rest.GetOntologyV2(ontology_hash=""), "ontology_hash is empty"),
        (lambda: rest.GetGroup(group_hash=""), "group_hash is empty"),
        (lambda: rest.AddProjectTag(project_hash="p", tag_uuid=""), "tag_uuid is empty"),
        (lambda: rest.RemoveOrganisationUser(email=""), "email is empty"),
        (lambda: rest.AddOrganisationUser(email=""), "email is empty"),
        (lambda: rest.RemoveProjectUsers(project_hash="p", emails=()), "emails is empty; there would be nothing"),
        (lambda: rest.RemoveDatasetUsers(dataset_hash="d", emails=()), "emails is empty; there would be nothing"),
        (lambda: rest.AddGroupMembers(group_hash="g", emails=()), "emails is empty; there would be nothing"),
        (lambda: rest.RemoveGroupMembers(group_hash="g", emails=("",)), "a member of emails is empty"),
        (
            lambda: rest.AddProjectGroups(project_hash="p", group_hashes="g", role=ProjectUserRole.ADMIN),  # type: ignore[arg-type]  # the point
            "group_hashes is one text; give a list",
        ),
        (lambda: rest.RemoveProjectGroups(project_hash="p", group_hashes=()), "group_hashes is empty; there would be"),
        (lambda: rest.RemoveDatasetGroups(dataset_hash="d", group_hashes=()), "group_hashes is empty; there would be"),
        (lambda: rest.RemoveOntologyGroups(ontology_hash="", group_hashes=("g",)), "ontology_hash is empty"),
        (
            lambda: rest.AddDatasetGroups(dataset_hash="d", group_hashes=("g",), role=2),  # type: ignore[arg-type]  # the point
            "2 is no role of a dataset",
        ),
        (
            lambda: rest.AddOntologyGroups(ontology_hash="o", group_hashes=("g",), role=2),  # type: ignore[arg-type]  # the point
            "2 is no role of an ontology",
        ),
        (
            lambda: rest.AddProjectGroups(project_hash="p", group_hashes=("g",), role=9),  # type: ignore[arg-type]  # the point
            "9 is no role of a project",
        ),
        (
            lambda: rest.SetProjectStatus(project_hash="p", status="done"),  # type: ignore[arg-type]  # the point
            "'done' is no status of a project; use one of notStarted, inProgress",
        ),
        (
            lambda: rest.AddOrganisationUser(email="a", role="BOSS"),  # type: ignore[arg-type]  # the point
            "'BOSS' is no role in the organisation; use one of ADMIN, MEMBER, TASKER",
        ),
        (
            lambda: rest.AddOrganisationUser(email="a", role=OrganisationRole.ADMIN, member_type=MemberType.EXTERNAL),
            "only an internal member can be Admin",
        ),
        (lambda: rest.ListProjectsV2(tags_anyof="q1"), "tags_anyof is one text"),  # type: ignore[arg-type]  # the point
        *BAD_VALUES,
    ],
)
def test_bad_values_are_refused_when_the_operation_is_made(make: Callable[[], object], says: str) -> None:
    """What cannot work is said before anything is sent."""
    with pytest.raises(UsageError, match=says):
        make()


class TestPages:
    """Listings that come in parts."""

    @pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if issubclass(kind, PageOperation)], ids=lambda kind: kind.__name__
    )
    def test_each_listing_knows_what_follows(self, kind: type[PageOperation[Any]]) -> None:
        """The next page is the same question with the token; the last page has none."""
        first = next(case.operation for case in CASES if type(case.operation) is kind)
        assert isinstance(first, PageOperation)
        second = first.after(Page[Any](results=(), next_page_token="t 2"))
        assert second is not None
        assert type(second) is kind
        assert second.page_token == "t 2"
        assert second.path() == first.path()
        assert first.after(Page[Any](results=())) is None
        assert first.after(Page[Any](results=(), next_page_token="")) is None
        if kind not in (rest.ListDatasetsV2, rest.ListCloudIntegrations):  # which have no pages
            assert "pageToken=t+2" in second.request().target

    def test_a_listing_that_leads_to_itself_ends(self) -> None:
        """A service that hands out the same page for ever is not followed for ever."""
        listing = rest.ListGroups(page_token="t")
        with pytest.raises(ReplyShapeError, match="the listing does not end"):
            listing.after(Page[Any](results=(), next_page_token="t"))


CREATIONS: list[tuple[Creation[Any, Any], Any]] = [
    (rest.CreateDatasetV2(title="t"), {**LISTED, "userRole": "admin"}),
    (rest.CreateOntology(title="t"), ONTOLOGY_REPLY),
    (rest.CreateGroup(name="n"), GROUP_REPLY),
    (rest.CreateTag(name="n"), {"uuid": "x", "name": "n"}),
    (rest.CreateFolder(name="n", metadata={"encord_async": "m"}), FOLDER_REPLY),
]


def test_everything_that_creates_can_be_looked_up() -> None:
    """Each operation with the effect of a create knows how to find out whether it happened, and no other claims to."""
    creating = {kind for kind in KINDS if kind.call.effect is Effect.CREATE}
    assert creating == {type(operation) for operation, _ in CREATIONS}
    assert creating == {kind for kind in KINDS if issubclass(kind, Creation)}


@pytest.mark.parametrize(("operation", "item"), CREATIONS, ids=lambda value: type(value).__name__)
def test_a_creation_recognises_what_it_made(operation: Creation[Any, Any], item: Any) -> None:
    """Same title and description, and ours: found; else not. What it takes as its own answer is of the same type."""
    listing = operation.look_up()
    wrapped = {"result": [item]} if isinstance(listing, rest.ListDatasetsV2) else page(item)
    (found,) = listing.parse(wrapped).results
    made = operation.adopted(found)
    direct = operation.parse(item)
    assert type(made) is type(direct)
    assert operation.is_it(found)
    names = {"title": "other", "name": "other"}
    assert not operation.is_it(found.model_copy(update=names))
    if not isinstance(operation, rest.CreateTag):  # a tag's name is enough
        assert not operation.is_it(found.model_copy(update={"description": "other"}))
    if "user_role" in type(found).model_fields:
        assert operation.is_it(found.model_copy(update={"user_role": None}))
        assert not operation.is_it(found.model_copy(update={"user_role": 1}))


def test_a_folder_is_known_by_its_mark_and_its_parent() -> None:
    """A folder of the same name without our mark is another's, and is looked for where it would be."""
    operation = rest.CreateFolder(name="n", metadata={"encord_async": "m"})
    found = operation.parse(FOLDER_REPLY)
    assert operation.is_it(found.model_copy(update={"client_metadata": {"encord_async": "m", "more": 1}}))
    for other in (None, {}, {"encord_async": None}, {"encord_async": "x"}):
        assert not operation.is_it(found.model_copy(update={"client_metadata": other}))
    assert (
        operation.look_up().request().target.startswith("/v2/public/storage/folders?isRecursive=False&datasetSynced=F")
    )
    inner = rest.CreateFolder(name="n", parent_uuid="f").look_up()
    assert inner.request().target.startswith("/v2/public/storage/folders/f/folders?isRecursive=False&datasetSynced=F")
    assert "search" not in inner.request().target


def test_a_folder_that_mirrors_another_place_is_another() -> None:
    """A cloud-synced folder is known by its place, too, where the service says it."""
    cloud = rest.CloudPrefix(integration_uuid="i", remote_url="s3://b/")
    synced, plain = rest.CreateFolder(name="n", cloud=cloud), rest.CreateFolder(name="n")
    found = plain.parse(FOLDER_REPLY)
    assert synced.is_it(found)
    assert synced.is_it(found.model_copy(update={"remote_url": "s3://b/"}))
    assert not synced.is_it(found.model_copy(update={"remote_url": "s3://c/"}))
    assert not plain.is_it(found.model_copy(update={"remote_url": "s3://b/"}))


def test_a_look_up_is_as_narrow_as_is_certain() -> None:
    """Datasets and ontologies are looked for by their exact title, and by nothing that is seen in two ways."""
    for operation in (rest.CreateDatasetV2(title="T&C"), rest.CreateOntology(title="T&C")):
        query = operation.look_up().request().target.partition("?")[2]
        assert query == "titleEq=T%26C&includeOrgAccess=False"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, PageOperation)])
def test_every_listing_knows_its_items_by_a_name(kind: type[PageOperation[Any]]) -> None:
    """Pages may show a thing twice, and of each listing it is known what makes two items one thing."""
    (listing,) = [base for base in kind.__orig_bases__ if issubclass(get_origin(base) or object, PageOperation)]  # type: ignore[attr-defined]  # of every generic class
    (item,) = get_args(listing)
    assert item.model_fields[kind.item_name].is_required()


def test_a_member_already_is_a_success() -> None:
    """Adding somebody who is in the organisation is fine, and told apart; any other conflict stays one."""
    error = ExistsError("it is there already")
    assert rest.AddOrganisationUser(email="a").if_exists(error) is False
    with pytest.raises(ExistsError):
        rest.CreateTag(name="n").if_exists(error)


@given(st.builds(ListingFilter, title_eq=st.none() | st.text(min_size=1), desc_eq=st.none() | st.just("d")))
def test_filters_are_spelt_as_each_listing_wants(filter_: ListingFilter) -> None:
    """Datasets call the description by its whole name, projects and ontologies do not."""
    datasets = rest.ListDatasetsV2(filter=filter_).query()
    others = rest.ListProjectsV2(filter=filter_).query(), rest.ListOntologies(filter=filter_).query()
    for query in (datasets, *others):
        assert query.get("titleEq") == filter_.title_eq
    assert datasets.get("descriptionEq") == filter_.desc_eq
    assert all(query.get("descEq") == filter_.desc_eq for query in others)
