"""Operations on projects, their datasets, users, groups and tags.

REST v2 knows no call that creates a project, attaches datasets or adds users to a project; those are envelopes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from encord_async.errors import ReplyShapeError
from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    CopyOption,
    ProjectStatus,
    ProjectUserRole,
    Query,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import Check, SomeTexts, Text, Texts, member, one_of
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import (
    NO_FILTER,
    AddGroups,
    Command,
    EnvelopeCommand,
    EnvelopeListing,
    EnvelopeOperation,
    ListingFilter,
    PageOperation,
    RemoveGroups,
    RemoveUsers,
    RestOperation,
    filter_query,
    resource_call,
    user_call,
)
from encord_async.protocol.rest import QueryValue, members

__all__ = [
    "AddDatasets",
    "AddProjectGroups",
    "AddProjectTag",
    "AddProjectUsers",
    "CopyProject",
    "CreateProject",
    "GetOntology",
    "GetProject",
    "GetProjectV2",
    "ListProjectDatasets",
    "ListProjectGroups",
    "ListProjectTags",
    "ListProjectUsers",
    "ListProjects",
    "ListProjectsV2",
    "RemoveDatasets",
    "RemoveProjectGroups",
    "RemoveProjectTag",
    "RemoveProjectUsers",
    "SetProjectStatus",
]


def _in_order(options: Iterable[CopyOption], _: str) -> tuple[CopyOption, ...]:
    wanted = {one_of(CopyOption, option, "option of a copy") for option in options}
    return tuple(option for option in CopyOption if option in wanted)


Role: TypeAlias = Annotated[ProjectUserRole, member(ProjectUserRole, "role of a project")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProject(EnvelopeOperation[models.Hash]):
    """Create a project; the result is its hash, and the caller becomes its admin.

    Source: docs; SDK 0.1.211. Without *ontology_hash* the service makes a new empty ontology; without
    *workflow_template_id* it uses its default workflow.
    """

    query: ClassVar[Query] = user_call("project", "POST")

    title: Text
    description: str = ""
    dataset_hashes: Texts = ()
    ontology_hash: str | None = None
    workflow_template_id: str | None = None

    def payload(self) -> JSON:
        payload: dict[str, JSON] = {
            "title": self.title,
            "description": self.description,
            "dataset_hashes": self.dataset_hashes,
            "workflow_type": "manual",
        }
        if self.ontology_hash:
            payload["ontology_hash"] = self.ontology_hash
        if self.workflow_template_id:
            payload["workflow_template_id"] = self.workflow_template_id
        return payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjects(EnvelopeListing[models.OwnedProject]):
    """List the caller's projects; one answer, without pages. Source: SDK 0.1.29 to 0.1.211."""

    query: ClassVar[Query] = user_call("projectwithuserrole", "GET")

    filter: ListingFilter = NO_FILTER

    def payload(self) -> JSON:
        return {"filter": self.filter.payload()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectsV2(PageOperation[rest_models.ProjectDetails]):
    """List the caller's projects, with their ontologies. Source: SDK 0.1.155 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects")
    item_name: ClassVar[str] = "project_hash"

    filter: ListingFilter = NO_FILTER
    include_org_access: bool = False
    tags_anyof: Texts = ()

    def query(self) -> Mapping[str, QueryValue]:
        return {
            **filter_query(self.filter, "desc"),
            "includeOrgAccess": self.include_org_access,
            "tagsAnyof": self.tags_anyof,
            "pageToken": self.page_token,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfProject:
    """What the operations on one project have in common, over either API."""

    project_hash: Text

    def resource_id(self) -> str:
        return self.project_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProject(_OfProject, EnvelopeOperation[models.Project]):
    """Read a project. With the labels' metadata the answer grows with the project. Source: docs; SDK."""

    query: ClassVar[Query] = resource_call("project", "GET")
    about: ClassVar[tuple[str, str]] = ("project_hash", "project_hash")

    include_labels_metadata: bool = False

    def payload(self) -> JSON:
        return {"include_labels_metadata": self.include_labels_metadata}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProject(_OfProject, EnvelopeOperation[models.Hash]):
    """Copy a project; the result is the hash of the copy. Source: SDK 0.1.61 and newer.

    *options* says what goes along. Label rows are copied whole: the finer selection of the SDK is not offered.
    """

    query: ClassVar[Query] = resource_call("projectcopy", "POST")

    title: str | None = None
    description: str | None = None
    options: Annotated[tuple[CopyOption, ...], Check(_in_order)] = ()

    def uid(self) -> JSON:
        return self.project_hash

    def payload(self) -> JSON:
        return {
            "copy_project_options": [option.value for option in self.options],
            "copy_labels_options": {
                "datasets_to_data_hashes_map": {},
                "accepted_label_hashes": None,
                "accepted_label_statuses": None,
                "create_new_dataset": None,
            },
            "project_copy_metadata": {
                "project_title": self.title,
                "project_description": self.description,
                "dataset_title": None,
                "dataset_description": None,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProjectV2(_OfProject, RestOperation[rest_models.ProjectDetails]):
    """Read a project, without its datasets and label rows. Source: SDK 0.1.118 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}")
    about: ClassVar[tuple[str, str]] = ("project_hash", "project_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProjectStatus(_OfProject, Command):
    """Say where a project stands. Source: SDK 0.1.163 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("PUT", "/projects/{project}/status")

    status: Annotated[ProjectStatus, member(ProjectStatus, "status of a project")]

    def body(self) -> Mapping[str, JSON]:
        return members(status=self.status.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDatasets(_OfProject, EnvelopeCommand):
    """Attach datasets to a project. The caller must be admin of each and of the project. Source: docs."""

    query: ClassVar[Query] = resource_call("projectdataset", "POST")

    dataset_hashes: SomeTexts

    def payload(self) -> JSON:
        return {"dataset_hashes": self.dataset_hashes}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDatasets(_OfProject, EnvelopeCommand):
    """Detach datasets from a project. Project admins only. Source: docs; SDK (the list travels as ``uid``)."""

    query: ClassVar[Query] = resource_call("projectdataset", "DELETE")

    dataset_hashes: SomeTexts

    def uid(self) -> JSON:
        return self.dataset_hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectDatasets(_OfProject, PageOperation[rest_models.ProjectPart]):
    """List the datasets of a project. Source: SDK 0.1.118 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/datasets")
    item_name: ClassVar[str] = "dataset_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProjectUsers(_OfProject, EnvelopeOperation[models.Many[models.ProjectUser]]):
    """Add users to a project in one role; the result shows the role that each actually holds.

    Someone who is a member already keeps the old role (source: SDK 0.1.160 ``project.py``).
    """

    query: ClassVar[Query] = resource_call("projectusers", "POST")
    about: ClassVar[tuple[str, str]] = ("project_hash", "project_hash")

    emails: SomeTexts
    role: Role

    def uid(self) -> JSON:
        return self.project_hash

    def payload(self) -> JSON:
        return {"user_emails": self.emails, "user_role": int(self.role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectUsers(_OfProject, PageOperation[rest_models.ProjectMember]):
    """List the users of a project with the roles they hold. Source: SDK 0.1.168 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/users")
    item_name: ClassVar[str] = "user_email"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProjectUsers(_OfProject, RemoveUsers):
    """Remove users from a project; those who are not in it are ignored. Source: SDK 0.1.211.

    To remove an Admin, the caller has to be Admin of the organisation.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/projects/{project}/users/bulk-delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectGroups(_OfProject, PageOperation[rest_models.ProjectGroup]):
    """List the groups that have access to a project. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/groups")
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProjectGroups(_OfProject, AddGroups):
    """Give groups access to a project in one role. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/projects/{project}/groups")

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProjectGroups(_OfProject, RemoveGroups):
    """Take the access to a project from groups. Source: SDK 0.1.114 to 0.1.211 (the list travels in the query)."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/projects/{project}/groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectTags(_OfProject, PageOperation[rest_models.Tag]):
    """List the tags of a project. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/tags")
    item_name: ClassVar[str] = "uuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class _TagOfProject(_OfProject):
    tag_uuid: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProjectTag(_TagOfProject, Command):
    """Put a tag of the organisation on a project; nothing happens if it has it. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("PUT", "/projects/{project}/tags/{tag}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProjectTag(_TagOfProject, Command):
    """Take a tag off a project; the tag stays. Nothing happens if it is absent. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/projects/{project}/tags/{tag}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOntology(_OfProject, EnvelopeOperation[Mapping[str, Any]]):
    """Read the ontology that a project's editor uses. Source: docs (``editor_ontology`` of the project)."""

    query: ClassVar[Query] = resource_call("project", "GET")

    def payload(self) -> JSON:
        return {"include_labels_metadata": False}

    def parse(self, content: object) -> Mapping[str, Any]:
        project = GetProject(project_hash=self.project_hash).parse(content)
        ontology = models.listed(project.editor_ontology)
        if isinstance(ontology, dict):
            return ontology
        raise ReplyShapeError("the project came without an editor_ontology", operation=self.query.name)
