"""What REST v2 answers, as frozen models: members in camelCase or snake_case, as the official SDK takes them.

Strict in what is used here, tolerant of the rest: members that are not named here are ignored; roles, statuses and
kinds that are not known are kept as the number or text that came. Nothing here sends or decides.

Source: SDK 0.1.211 ``orm/*.py``, ``utilities/*.py``, per model below.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from encord_async.protocol.catalogue import (
    DatasetUserRole,
    MemberType,
    OntologyUserRole,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.models import Hash, Many, Moment

__all__ = [
    "BearerTokenReply",
    "CreatedDataset",
    "DatasetGroup",
    "DatasetMember",
    "Group",
    "GroupMember",
    "ListedDataset",
    "ListedDatasets",
    "Ontology",
    "OntologyGroup",
    "OrganisationUser",
    "Page",
    "ProjectDetails",
    "ProjectGroup",
    "ProjectMember",
    "ProjectPart",
    "Tag",
]

T = TypeVar("T")

_MAX_PAGE: Final = 10_000
"""Most items of a page; the longest that the SDK can ask for has 1000. Source: SDK 0.1.211 ``storage.py``."""

_DATASET_ROLES: Final[Mapping[object, DatasetUserRole]] = {
    "admin": DatasetUserRole.ADMIN,
    "user": DatasetUserRole.USER,
}


def _dataset_role(value: object) -> object:
    """The listing of datasets spells roles as words, their users' listing as numbers. Source: SDK 0.1.211."""
    return _DATASET_ROLES.get(value, value) if isinstance(value, str) else value


ProjectRole: TypeAlias = Annotated[ProjectUserRole | int, Field(union_mode="left_to_right")]
DatasetRole: TypeAlias = Annotated[
    DatasetUserRole | int | str, Field(union_mode="left_to_right"), BeforeValidator(_dataset_role)
]
OntologyRole: TypeAlias = Annotated[OntologyUserRole | int, Field(union_mode="left_to_right")]
Status: TypeAlias = Annotated[ProjectStatus | str, Field(union_mode="left_to_right")]
Storage: TypeAlias = Annotated[StorageLocation | int, Field(union_mode="left_to_right")]
RoleName: TypeAlias = Annotated[OrganisationRole | str, Field(union_mode="left_to_right")]
Kind: TypeAlias = Annotated[MemberType | str, Field(union_mode="left_to_right")]


class _Reply(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_alias=True, validate_by_name=True
    )


class Page(_Reply, Generic[T]):
    """A part of a listing, and the token that leads to the next one. Source: SDK ``http/v2/payloads.py``."""

    results: Annotated[tuple[T, ...], Field(fail_fast=True, max_length=_MAX_PAGE)]
    next_page_token: str | None = None


class CreatedDataset(_Reply):
    """What creating a dataset answers. Source: SDK ``orm/dataset.py``."""

    dataset_uuid: Hash
    backing_folder_uuid: str | None = None


class ListedDataset(_Reply):
    """A dataset with the caller's role in it, None if only the organisation gives access."""

    dataset_uuid: Hash
    title: str
    description: str | None = ""
    created_at: Moment | None = None
    last_edited_at: Moment | None = None
    user_role: DatasetRole | None = None
    storage_location: Storage | None = None
    backing_folder_uuid: str | None = None


class ListedDatasets(_Reply):
    """The listing of datasets, which has no pages."""

    result: Many[ListedDataset]


class DatasetMember(_Reply):
    """A user of a dataset."""

    user_email: str
    user_role: DatasetRole
    dataset_uuid: str | None = None


class ProjectDetails(_Reply):
    """A project. Source: SDK ``orm/project.py``, ``ProjectDTO``."""

    project_hash: Hash
    title: str
    description: str | None = ""
    project_type: str | None = None
    status: Status | None = None
    created_at: Moment | None = None
    last_edited_at: Moment | None = None
    creator_email: str | None = None
    ontology_hash: str | None = None
    editor_ontology: dict[str, Any] | None = None
    user_role: ProjectRole | None = None
    source_projects: Many[str] | None = None
    workflow_manager_uuid: str | None = None
    workflow: dict[str, Any] | None = None


class ProjectPart(_Reply):
    """A dataset as a project lists it."""

    dataset_hash: Hash
    title: str = ""
    description: str | None = None


class ProjectMember(_Reply):
    """A user of a project."""

    user_email: str
    user_role: ProjectRole


class Group(_Reply):
    """A group of users of the organisation. Source: SDK ``orm/group.py``."""

    group_hash: Hash
    name: str
    description: str | None = ""
    created_at: Moment | None = None


class ProjectGroup(Group):
    """A group that has access to a project, and the role it gives."""

    user_role: ProjectRole
    is_same_organisation: bool | None = None


class DatasetGroup(Group):
    """A group that has access to a dataset, and the role it gives."""

    user_role: DatasetRole
    is_same_organisation: bool | None = None


class OntologyGroup(Group):
    """A group that has access to an ontology, and the role it gives."""

    user_role: OntologyRole
    is_same_organisation: bool | None = None


class GroupMember(_Reply):
    """A user in a group."""

    user_email: str


class OrganisationUser(_Reply):
    """A member of the organisation. Source: SDK ``orm/organisation_user.py``."""

    email: str
    role_mnemonic_name: RoleName
    role_uuid: str | None = None
    member_type: Kind
    created_at: Moment | None = None
    last_edited_at: Moment | None = None


class Ontology(_Reply):
    """An ontology with the caller's role in it. Source: SDK ``utilities/ontology_user.py``."""

    ontology_uuid: Hash
    title: str
    description: str | None = ""
    editor: dict[str, Any]
    created_at: Moment | None = None
    last_edited_at: Moment | None = None
    user_role: OntologyRole | None = None


class Tag(_Reply):
    """A tag of the organisation; projects carry them. Source: SDK ``orm/project.py``."""

    uuid: Hash
    name: str


class BearerTokenReply(_Reply):
    """A bearer token of the caller. Source: SDK ``orm/bearer_request.py``."""

    token: SecretStr = Field(min_length=1)
