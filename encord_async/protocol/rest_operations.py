"""Everything that can be asked of REST v2, as frozen typed values.

An operation knows its call in the catalogue, what fills its path, query and body, and how to read the answer. It
never sends, signs or retries. Bad values are refused when the operation is made, before anything is sent. A listing
is a `PageOperation`: it asks for one page, and says which operation asks for the next.

Source: SDK 0.1.211, per operation below. REST v2 knows no call that creates a project, attaches datasets or adds users
to a project; those are envelopes, in `encord_async.protocol.operations`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, cast

from pydantic import SecretStr

from encord_async.errors import ExistsError, ReplyShapeError, UsageError
from encord_async.protocol import rest_models as models
from encord_async.protocol.catalogue import (
    MemberType,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import Adapter, assign, one_of, some, text, texts
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations import ListingFilter
from encord_async.protocol.rest import QueryValue, RestRequest, camel, members, seal_rest
from encord_async.protocol.rest_models import Page

__all__ = [
    "AddGroupMembers",
    "AddOrganisationUser",
    "AddProjectGroups",
    "AddProjectTag",
    "CreateDatasetV2",
    "CreateGroup",
    "CreateOntology",
    "CreateTag",
    "Creation",
    "GetBearerToken",
    "GetGroup",
    "GetOntologyV2",
    "GetProjectV2",
    "ListDatasetUsers",
    "ListDatasetsV2",
    "ListGroupMembers",
    "ListGroups",
    "ListOntologies",
    "ListOrganisationUsers",
    "ListProjectDatasets",
    "ListProjectGroups",
    "ListProjectTags",
    "ListProjectUsers",
    "ListProjectsV2",
    "ListTags",
    "PageOperation",
    "RemoveDatasetUsers",
    "RemoveGroupMembers",
    "RemoveOrganisationUser",
    "RemoveProjectGroups",
    "RemoveProjectTag",
    "RemoveProjectUsers",
    "RestOperation",
    "SetProjectStatus",
    "UpdateOntology",
]

T_co = TypeVar("T_co", covariant=True)
ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")

_EMPTY_EDITOR: Final[Mapping[str, JSON]] = {"objects": [], "classifications": [], "skeleton_templates": []}
"""An ontology without content. Source: SDK 0.1.115."""


class RestOperation(ABC, Generic[T_co]):
    """One thing asked of REST v2; *T* is the type of its result."""

    __slots__ = ()

    call: ClassVar[RestCall]

    def path(self) -> Mapping[str, str]:
        """A value for each name in the call's path."""
        return {}

    def query(self) -> Mapping[str, QueryValue]:
        """Names in camelCase and values of the query, in the SDK's order; None leaves one out."""
        return {}

    def body(self) -> Mapping[str, JSON] | None:
        """The JSON object to send, in the SDK's order; None sends no body."""
        return None

    def request(self) -> RestRequest:
        """The operation as it goes onto the wire, but for its signature.

        Raises:
            UnencodableError: A value cannot be written as UTF-8 or JSON.
        """
        return seal_rest(self.call, path=self.path(), query=self.query(), body=self.body())

    @abstractmethod
    def parse(self, content: object) -> T_co:
        """Read the JSON value of a successful reply, None for one without content.

        Raises:
            ReplyShapeError: The service succeeded but its answer is not understood.
        """

    def if_exists(self, error: ExistsError) -> T_co:
        """The result when the service answers that it is there already; raises *error* where that is no success."""
        raise error


# Without slots: a listing of a project's parts has two bases with fields, and only one of two may have slots.
@dataclass(frozen=True, kw_only=True)
class PageOperation(RestOperation[Page[ItemT]], Generic[ItemT]):
    """One page of a listing; the first without *page_token*."""

    reader: ClassVar[Adapter[Any]]
    item_name: ClassVar[str]
    """The member by which an item is known: two of one name are one thing, shown twice."""

    page_token: str | None = None

    def query(self) -> Mapping[str, QueryValue]:
        return {"pageToken": self.page_token}

    def parse(self, content: object) -> Page[ItemT]:
        return cast("Page[ItemT]", self.reader.read(content, self.call.name))

    def after(self, page: Page[ItemT]) -> Self | None:
        """The operation that asks for what follows *page*, None if it was the last.

        Raises:
            ReplyShapeError: The page leads to itself.
        """
        token = page.next_page_token
        if not token:
            return None
        if token == self.page_token:
            raise ReplyShapeError("the listing does not end: a page leads to itself", operation=self.call.name)
        return replace(self, page_token=token)

    def unlike(self, shown: set[object], page: Page[ItemT]) -> Page[ItemT]:
        """*page* without what is among *shown*; the names of what it has are added to them."""
        fresh = {name: item for item in page.results if (name := getattr(item, self.item_name)) not in shown}
        shown.update(fresh)
        return page if len(fresh) == len(page.results) else page.model_copy(update={"results": tuple(fresh.values())})


class Creation(RestOperation[MadeT], Generic[MadeT, ItemT]):
    """An operation that makes something, and knows how to find out whether it did."""

    __slots__ = ()

    @abstractmethod
    def look_up(self) -> PageOperation[ItemT]:
        """The listing in which the thing would be, as far as the service can narrow it down for sure.

        Asked for neither by description nor by time: a service may keep a missing description as NULL, and its clock
        may be another.
        """

    @abstractmethod
    def is_it(self, item: ItemT) -> bool:
        """Whether *item* of that listing has the names that this operation gives, and is the caller's own."""

    @abstractmethod
    def adopted(self, item: ItemT) -> MadeT:
        """What the operation would have answered, had it made *item*."""


def _pages_of(item: object) -> Adapter[Any]:
    return Adapter(Page[item])  # type: ignore[valid-type]  # pydantic takes types at run time


def _one(model: type[MadeT]) -> Adapter[MadeT]:
    return Adapter(model)


_CREATED_DATASET: Final = _one(models.CreatedDataset)
_LISTED_DATASETS: Final = _one(models.ListedDatasets)
_PROJECT: Final = _one(models.ProjectDetails)
_ONTOLOGY: Final = _one(models.Ontology)
_GROUP: Final = _one(models.Group)
_TAG: Final = _one(models.Tag)
_TOKEN: Final = _one(models.BearerTokenReply)
_GROUP_MEMBERS: Final = _pages_of(models.GroupMember)


def _filters(filter_: ListingFilter, description: str) -> dict[str, QueryValue]:
    """*filter_* as a query; datasets and the rest do not agree on how to spell the description."""
    names = {"desc_eq": f"{description}_eq", "desc_like": f"{description}_like"}
    return {
        camel(names.get(name, name)): getattr(filter_, name)
        for name in ListingFilter.__dataclass_fields__
        if getattr(filter_, name) is not None
    }


_NO_FILTER: Final = ListingFilter()
_ADMIN: Final = 0
"""Admin of a project, a dataset or an ontology alike."""


def _is_ours(role: int | str | None) -> bool:
    """Whether *role* is what the maker of a thing holds in it; a listing may leave it out."""
    return role is None or role == _ADMIN


# ------------------------------------------------------------------ datasets


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDatasetV2(Creation[models.CreatedDataset, models.ListedDataset]):
    """Create a dataset. Where its data lie is not asked. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/datasets")

    title: str
    description: str = ""
    create_backing_folder: bool = True

    def __post_init__(self) -> None:
        text(self.title, "title")

    def body(self) -> Mapping[str, JSON]:
        return members(
            title=self.title,
            description=self.description or None,
            create_backing_folder=self.create_backing_folder,
            legacy_call=False,
        )

    def parse(self, content: object) -> models.CreatedDataset:
        return _CREATED_DATASET.read(content, self.call.name)

    def look_up(self) -> "ListDatasetsV2":
        return ListDatasetsV2(filter=ListingFilter(title_eq=self.title))

    def is_it(self, item: models.ListedDataset) -> bool:
        same = item.title == self.title and (item.description or "") == self.description
        return same and _is_ours(item.user_role)

    def adopted(self, item: models.ListedDataset) -> models.CreatedDataset:
        return models.CreatedDataset(dataset_uuid=item.dataset_uuid, backing_folder_uuid=item.backing_folder_uuid)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasetsV2(PageOperation[models.ListedDataset]):
    """List the caller's datasets; the service answers with one page. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/datasets/list")
    item_name: ClassVar[str] = "dataset_uuid"

    filter: ListingFilter = _NO_FILTER
    include_org_access: bool = False

    def query(self) -> Mapping[str, QueryValue]:
        return {**_filters(self.filter, "description"), "includeOrgAccess": self.include_org_access}

    def parse(self, content: object) -> Page[models.ListedDataset]:
        # The one listing whose member is called result. Source: SDK 0.1.211 orm/dataset.py.
        # Made without being checked again: without further pages there may be more on it than a page has elsewhere.
        found = _LISTED_DATASETS.read(content, self.call.name).result
        return Page[models.ListedDataset].model_construct(results=found, next_page_token=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasetUsers(PageOperation[models.DatasetMember]):
    """List who has access to a dataset. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/datasets/{dataset}/users")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.DatasetMember)
    item_name: ClassVar[str] = "user_email"

    dataset_hash: str

    def __post_init__(self) -> None:
        text(self.dataset_hash, "dataset_hash")

    def path(self) -> Mapping[str, str]:
        return {"dataset": self.dataset_hash}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDatasetUsers(RestOperation[None]):
    """Take the access to a dataset from users; those who have none are ignored. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/datasets/{dataset}/users/bulk-delete")

    dataset_hash: str
    emails: tuple[str, ...]

    def __post_init__(self) -> None:
        text(self.dataset_hash, "dataset_hash")
        assign(self, "emails", some(self.emails, "emails"))

    def path(self) -> Mapping[str, str]:
        return {"dataset": self.dataset_hash}

    def body(self) -> Mapping[str, JSON]:
        return members(user_emails=self.emails)

    def parse(self, content: object) -> None:
        return None


# ------------------------------------------------------------------ projects


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectsV2(PageOperation[models.ProjectDetails]):
    """List the caller's projects, with their ontologies. Source: SDK 0.1.155 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.ProjectDetails)
    item_name: ClassVar[str] = "project_hash"

    filter: ListingFilter = _NO_FILTER
    include_org_access: bool = False
    tags_anyof: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assign(self, "tags_anyof", texts(self.tags_anyof, "tags_anyof"))

    def query(self) -> Mapping[str, QueryValue]:
        return {
            **_filters(self.filter, "desc"),
            "includeOrgAccess": self.include_org_access,
            "tagsAnyof": self.tags_anyof,
            "pageToken": self.page_token,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfProject:
    """What the operations on one project have in common."""

    project_hash: str

    def __post_init__(self) -> None:
        text(self.project_hash, "project_hash")

    def path(self) -> Mapping[str, str]:
        return {"project": self.project_hash}


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProjectV2(_OfProject, RestOperation[models.ProjectDetails]):
    """Read a project, without its datasets and label rows. Source: SDK 0.1.118 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}")

    def parse(self, content: object) -> models.ProjectDetails:
        return _PROJECT.read(content, self.call.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProjectStatus(_OfProject, RestOperation[None]):
    """Say where a project stands. Source: SDK 0.1.163 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("PUT", "/projects/{project}/status")

    status: ProjectStatus

    def __post_init__(self) -> None:
        _OfProject.__post_init__(self)
        assign(self, "status", one_of(ProjectStatus, self.status, "status of a project"))

    def body(self) -> Mapping[str, JSON]:
        return members(status=self.status.value)

    def parse(self, content: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectDatasets(_OfProject, PageOperation[models.ProjectPart]):
    """List the datasets of a project. Source: SDK 0.1.118 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/datasets")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.ProjectPart)
    item_name: ClassVar[str] = "dataset_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectUsers(_OfProject, PageOperation[models.ProjectMember]):
    """List the users of a project with the roles they hold. Source: SDK 0.1.168 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/users")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.ProjectMember)
    item_name: ClassVar[str] = "user_email"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProjectUsers(_OfProject, RestOperation[None]):
    """Remove users from a project; those who are not in it are ignored. Source: SDK 0.1.211.

    To remove an Admin, the caller has to be Admin of the organisation.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/projects/{project}/users/bulk-delete")

    emails: tuple[str, ...]

    def __post_init__(self) -> None:
        _OfProject.__post_init__(self)
        assign(self, "emails", some(self.emails, "emails"))

    def body(self) -> Mapping[str, JSON]:
        return members(user_emails=self.emails)

    def parse(self, content: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectGroups(_OfProject, PageOperation[models.ProjectGroup]):
    """List the groups that have access to a project. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/groups")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.ProjectGroup)
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProjectGroups(_OfProject, RestOperation[None]):
    """Give groups access to a project in one role. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/projects/{project}/groups")

    group_hashes: tuple[str, ...]
    role: ProjectUserRole

    def __post_init__(self) -> None:
        _OfProject.__post_init__(self)
        assign(self, "group_hashes", some(self.group_hashes, "group_hashes"))
        assign(self, "role", one_of(ProjectUserRole, self.role, "role of a project"))

    def body(self) -> Mapping[str, JSON]:
        return members(group_hash_list=self.group_hashes, user_role=int(self.role))

    def parse(self, content: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProjectGroups(_OfProject, RestOperation[None]):
    """Take the access to a project from groups. Source: SDK 0.1.114 to 0.1.211 (the list travels in the query)."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/projects/{project}/groups")

    group_hashes: tuple[str, ...]

    def __post_init__(self) -> None:
        _OfProject.__post_init__(self)
        assign(self, "group_hashes", some(self.group_hashes, "group_hashes"))

    def query(self) -> Mapping[str, QueryValue]:
        return {"groupHashList": self.group_hashes}

    def parse(self, content: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectTags(_OfProject, PageOperation[models.Tag]):
    """List the tags of a project. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/projects/{project}/tags")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.Tag)
    item_name: ClassVar[str] = "uuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class _TagOfProject(_OfProject):
    tag_uuid: str

    def __post_init__(self) -> None:
        _OfProject.__post_init__(self)
        text(self.tag_uuid, "tag_uuid")

    def path(self) -> Mapping[str, str]:
        return {"project": self.project_hash, "tag": self.tag_uuid}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProjectTag(_TagOfProject, RestOperation[None]):
    """Put a tag of the organisation on a project; nothing happens if it has it. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("PUT", "/projects/{project}/tags/{tag}")

    def parse(self, content: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveProjectTag(_TagOfProject, RestOperation[None]):
    """Take a tag off a project; the tag stays. Nothing happens if it has it not. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/projects/{project}/tags/{tag}")

    def parse(self, content: object) -> None:
        return None


# ------------------------------------------------------------------ ontologies


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOntology(Creation[models.Ontology, models.Ontology]):
    """Create an ontology; *editor* is its structure as the service keeps it. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/ontologies")

    title: str
    description: str = ""
    editor: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        text(self.title, "title")

    def body(self) -> Mapping[str, JSON]:
        editor = _EMPTY_EDITOR if self.editor is None else self.editor
        return members(title=self.title, description=self.description, editor=editor)

    def parse(self, content: object) -> models.Ontology:
        return _ONTOLOGY.read(content, self.call.name)

    def look_up(self) -> "ListOntologies":
        return ListOntologies(filter=ListingFilter(title_eq=self.title))

    def is_it(self, item: models.Ontology) -> bool:
        same = item.title == self.title and (item.description or "") == self.description
        return same and _is_ours(item.user_role)

    def adopted(self, item: models.Ontology) -> models.Ontology:
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOntologies(PageOperation[models.Ontology]):
    """List the caller's ontologies, their structures included. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/ontologies")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.Ontology)
    item_name: ClassVar[str] = "ontology_uuid"

    filter: ListingFilter = _NO_FILTER
    include_org_access: bool = False

    def query(self) -> Mapping[str, QueryValue]:
        return {
            **_filters(self.filter, "desc"),
            "includeOrgAccess": self.include_org_access,
            "pageToken": self.page_token,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOntologyV2(RestOperation[models.Ontology]):
    """Read an ontology by its own hash. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/ontologies/{ontology}")

    ontology_hash: str

    def __post_init__(self) -> None:
        text(self.ontology_hash, "ontology_hash")

    def path(self) -> Mapping[str, str]:
        return {"ontology": self.ontology_hash}

    def parse(self, content: object) -> models.Ontology:
        return _ONTOLOGY.read(content, self.call.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOntology(RestOperation[None]):
    """Replace title, description and structure of an ontology. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("PUT", "/ontologies/{ontology}")

    ontology_hash: str
    title: str
    description: str
    editor: Mapping[str, Any]

    def __post_init__(self) -> None:
        text(self.ontology_hash, "ontology_hash")
        text(self.title, "title")

    def path(self) -> Mapping[str, str]:
        return {"ontology": self.ontology_hash}

    def body(self) -> Mapping[str, JSON]:
        return members(title=self.title, description=self.description, editor=self.editor)

    def parse(self, content: object) -> None:
        return None


# ------------------------------------------------------------------ groups


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGroup(Creation[models.Group, models.Group]):
    """Create a group; the caller becomes a manager of it. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/groups")

    name: str
    description: str = ""

    def __post_init__(self) -> None:
        text(self.name, "name")

    def body(self) -> Mapping[str, JSON]:
        return members(name=self.name, description=self.description)

    def parse(self, content: object) -> models.Group:
        return _GROUP.read(content, self.call.name)

    def look_up(self) -> "ListGroups":
        return ListGroups()

    def is_it(self, item: models.Group) -> bool:
        return item.name == self.name and (item.description or "") == self.description

    def adopted(self, item: models.Group) -> models.Group:
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class ListGroups(PageOperation[models.Group]):
    """List the groups of the caller's organisation. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/user/current-organisation/groups")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.Group)
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfGroup:
    """What the operations on one group have in common."""

    group_hash: str

    def __post_init__(self) -> None:
        text(self.group_hash, "group_hash")

    def path(self) -> Mapping[str, str]:
        return {"group": self.group_hash}


@dataclass(frozen=True, slots=True, kw_only=True)
class GetGroup(_OfGroup, RestOperation[models.Group]):
    """Read a group. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/groups/{group}")

    def parse(self, content: object) -> models.Group:
        return _GROUP.read(content, self.call.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListGroupMembers(_OfGroup, PageOperation[models.GroupMember]):
    """List the users in a group. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/groups/{group}/users")
    reader: ClassVar[Adapter[Any]] = _GROUP_MEMBERS
    item_name: ClassVar[str] = "user_email"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddGroupMembers(_OfGroup, RestOperation[tuple[models.GroupMember, ...]]):
    """Put users into a group; the result is everybody in it then. Source: SDK 0.1.211.

    All have to be members of the organisation, else nobody is added and the service refuses.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/groups/{group}/users")

    emails: tuple[str, ...]

    def __post_init__(self) -> None:
        _OfGroup.__post_init__(self)
        assign(self, "emails", some(self.emails, "emails"))

    def body(self) -> Mapping[str, JSON]:
        return members(user_emails=self.emails)

    def parse(self, content: object) -> tuple[models.GroupMember, ...]:
        return cast("Page[models.GroupMember]", _GROUP_MEMBERS.read(content, self.call.name)).results


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveGroupMembers(_OfGroup, RestOperation[None]):
    """Take users out of a group; those who are not in it are ignored. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/groups/{group}/users/bulk-delete")

    emails: tuple[str, ...]

    def __post_init__(self) -> None:
        _OfGroup.__post_init__(self)
        assign(self, "emails", some(self.emails, "emails"))

    def body(self) -> Mapping[str, JSON]:
        return members(user_emails=self.emails)

    def parse(self, content: object) -> None:
        return None


# ------------------------------------------------------------------ the organisation


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOrganisationUsers(PageOperation[models.OrganisationUser]):
    """List the members of the organisation, as far as the caller may see them. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/users")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.OrganisationUser)
    item_name: ClassVar[str] = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOrganisationUser(RestOperation[bool]):
    """Make somebody a member of the organisation; the result says whether that is new. Source: SDK 0.1.211.

    Somebody without an account gets one, and a mail. The role of somebody who is a member already stays as it is. After
    a lost answer and another try the result is false for somebody whom the first try had added.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/users")

    email: str
    role: OrganisationRole = OrganisationRole.MEMBER
    member_type: MemberType = MemberType.INTERNAL

    def __post_init__(self) -> None:
        text(self.email, "email")
        assign(self, "role", one_of(OrganisationRole, self.role, "role in the organisation"))
        assign(self, "member_type", one_of(MemberType, self.member_type, "type of member"))
        if self.role is OrganisationRole.ADMIN and self.member_type is not MemberType.INTERNAL:
            raise UsageError("only an internal member can be Admin of the organisation; use another role or type")

    def body(self) -> Mapping[str, JSON]:
        return members(email=self.email, role_mnemonic_name=self.role.value, member_type=self.member_type.value)

    def parse(self, content: object) -> bool:
        return True

    def if_exists(self, error: ExistsError) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOrganisationUser(RestOperation[None]):
    """End somebody's membership of the organisation; `NotFoundError` without an account. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/organisation/users/{email}")

    email: str

    def __post_init__(self) -> None:
        text(self.email, "email")

    def path(self) -> Mapping[str, str]:
        return {"email": self.email}

    def parse(self, content: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTags(PageOperation[models.Tag]):
    """List the tags of the organisation. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/organisation-tags")
    reader: ClassVar[Adapter[Any]] = _pages_of(models.Tag)
    item_name: ClassVar[str] = "uuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTag(Creation[models.Tag, models.Tag]):
    """Create a tag of the organisation; its name has to be new. Organisation Admins only. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/organisation-tags")

    name: str
    description: str | None = None

    def __post_init__(self) -> None:
        text(self.name, "name")

    def body(self) -> Mapping[str, JSON]:
        return members(name=self.name, description=self.description)

    def parse(self, content: object) -> models.Tag:
        return _TAG.read(content, self.call.name)

    def look_up(self) -> ListTags:
        return ListTags()

    def is_it(self, item: models.Tag) -> bool:
        return item.name == self.name

    def adopted(self, item: models.Tag) -> models.Tag:
        return item


@dataclass(frozen=True, slots=True)
class GetBearerToken(RestOperation[SecretStr]):
    """Ask for a bearer token of the caller. How long it lasts is unknown. Source: SDK 0.1.145 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/user/bearer-token")

    def parse(self, content: object) -> SecretStr:
        return _TOKEN.read(content, self.call.name).token
