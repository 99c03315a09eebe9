"""What REST v2 answers, as frozen models: members in camelCase or snake_case, as the official SDK takes them.

Strict in what is used here, tolerant of the rest: members that are not named here are ignored; roles, statuses and
kinds that are not known are kept as the number or text that came. Nothing here sends or decides.

Source: SDK 0.1.211 ``orm/*.py``, ``utilities/*.py``, per model below.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from encord_async.protocol.catalogue import (
    DatasetUserRole,
    FolderUserRole,
    ItemType,
    JobStatus,
    MemberType,
    OntologyUserRole,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    StageType,
    StorageLocation,
    TaskStatus,
)
from encord_async.protocol.models import Hash, Key, Many, Moment, OrNumber, OrText, listed

__all__ = [
    "BearerTokenReply",
    "CancelledUnits",
    "CloudIntegration",
    "CloudSync",
    "CreatedDataset",
    "DatasetGroup",
    "DatasetMember",
    "FolderGroup",
    "Group",
    "GroupMember",
    "ListedDataset",
    "NewItem",
    "Ontology",
    "OntologyGroup",
    "OrganisationUser",
    "Page",
    "ProjectDetails",
    "ProjectGroup",
    "ProjectMember",
    "ProjectPart",
    "Stage",
    "StorageFolder",
    "StorageItem",
    "Tag",
    "Task",
    "UnitError",
    "UploadJob",
    "Whole",
    "Workflow",
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


def _in_capitals(value: object) -> object:
    """Uploads spell how far they are in capitals, syncs do not. Source: SDK 0.1.211 ``orm/storage.py``."""
    return value.upper() if isinstance(value, str) else value


def _metadata(value: object) -> object:
    """The object in a JSON text; None for a text that holds none, such as the empty one of a listing without them."""
    if not isinstance(value, str):
        return value
    found = listed(value)
    return found if isinstance(found, dict) else None


DatasetRole: TypeAlias = Annotated[
    DatasetUserRole | int | str, Field(union_mode="left_to_right"), BeforeValidator(_dataset_role)
]
StatusOfJob: TypeAlias = Annotated[JobStatus | str, Field(union_mode="left_to_right"), BeforeValidator(_in_capitals)]
Metadata: TypeAlias = Annotated[dict[str, Any] | None, BeforeValidator(_metadata)]
"""Free-form metadata of the customer's, which come as JSON text. Source: SDK 0.1.211 ``orm/storage.py``."""


class _Reply(BaseModel):
    # What reads a reply is built when the first comes: most processes read few kinds of them.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        defer_build=True,
    )


class Page(_Reply, Generic[T]):
    """A part of a listing, and the token that leads to the next one. Source: SDK ``http/v2/payloads.py``."""

    results: Annotated[tuple[T, ...], Field(fail_fast=True, max_length=_MAX_PAGE)]
    next_page_token: str | None = None


class Whole(_Reply, Generic[T]):
    """A listing that has no pages."""

    result: Many[T]


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
    storage_location: OrNumber[StorageLocation] | None = None
    backing_folder_uuid: str | None = None


class DatasetMember(_Reply):
    """A user of a dataset."""

    user_email: str
    user_role: DatasetRole
    dataset_uuid: str | None = None


class Stage(_Reply):
    """A stage of a project's workflow. Source: SDK 0.1.211 ``orm/workflow.py``."""

    uuid: Hash
    title: str
    stage_type: OrText[StageType]


class Workflow(_Reply):
    """What tasks of a project go through."""

    stages: Many[Stage] = ()


class ProjectDetails(_Reply):
    """A project. Source: SDK ``orm/project.py``, ``ProjectDTO``."""

    project_hash: Hash
    title: str
    description: str | None = ""
    project_type: str | None = None
    status: OrText[ProjectStatus] | None = None
    created_at: Moment | None = None
    last_edited_at: Moment | None = None
    creator_email: str | None = None
    ontology_hash: str | None = None
    editor_ontology: dict[str, Any] | None = None
    user_role: OrNumber[ProjectUserRole] | None = None
    source_projects: Many[str] | None = None
    workflow_manager_uuid: str | None = None
    workflow: Workflow | None = None


class ProjectPart(_Reply):
    """A dataset as a project lists it."""

    dataset_hash: Hash
    title: str = ""
    description: str | None = None


class ProjectMember(_Reply):
    """A user of a project."""

    user_email: str
    user_role: OrNumber[ProjectUserRole]


class Group(_Reply):
    """A group of users of the organisation. Source: SDK ``orm/group.py``."""

    group_hash: Hash
    name: str
    description: str | None = ""
    created_at: Moment | None = None


class _GroupWithAccess(Group):
    is_same_organisation: bool | None = None


class ProjectGroup(_GroupWithAccess):
    """A group that has access to a project, and the role it gives."""

    user_role: OrNumber[ProjectUserRole]


class DatasetGroup(_GroupWithAccess):
    """A group that has access to a dataset, and the role it gives."""

    user_role: DatasetRole


class OntologyGroup(_GroupWithAccess):
    """A group that has access to an ontology, and the role it gives."""

    user_role: OrNumber[OntologyUserRole]


class GroupMember(_Reply):
    """A user in a group."""

    user_email: str


class OrganisationUser(_Reply):
    """A member of the organisation. Source: SDK ``orm/organisation_user.py``."""

    email: str
    role_mnemonic_name: OrText[OrganisationRole]
    role_uuid: str | None = None
    member_type: OrText[MemberType]
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
    user_role: OrNumber[OntologyUserRole] | None = None


class Tag(_Reply):
    """A tag of the organisation; projects carry them. Source: SDK ``orm/project.py``."""

    uuid: Hash
    name: str


class StorageFolder(_Reply):
    """A storage folder with the caller's role in it. Source: SDK 0.1.211 ``orm/storage.py``."""

    uuid: Hash
    parent: str | None = None
    """The folder that it is in; None for one at the top."""
    name: str
    description: str | None = ""
    client_metadata: Metadata = None
    owner: str | None = None
    created_at: Moment | None = None
    last_edited_at: Moment | None = None
    user_role: OrText[FolderUserRole] | None = None
    synced_dataset_hash: str | None = None
    """The dataset that mirrors it."""
    folder_type: str | None = None
    integration_hash: str | None = None
    remote_url: str | None = None


class FolderGroup(_GroupWithAccess):
    """A group that has access to a storage folder, and the role it gives."""

    user_role: OrText[FolderUserRole]


class CloudIntegration(_Reply):
    """A way of the organisation into a cloud's buckets. Source: SDK 0.1.211 ``orm/cloud_integration.py``."""

    integration_uuid: Hash
    title: str


class StorageItem(_Reply):
    """What lies in a storage folder. Source: SDK 0.1.211 ``orm/storage.py``."""

    uuid: Hash
    parent: str | None = None
    item_type: OrText[ItemType]
    name: str
    description: str | None = ""
    client_metadata: Metadata = None
    created_at: Moment | None = None
    last_edited_at: Moment | None = None
    is_tombstone: bool | None = None
    """Gone from the bucket, and kept here because it is in use."""
    integration_hash: str | None = None
    url: str | None = None
    """Where it was registered from: by this an item is known, as names are not unique."""


class NewItem(_Reply):
    """An item that an upload job added."""

    item_uuid: Hash
    name: str


class UnitError(_Reply):
    """What became of files that an upload job could not register."""

    object_urls: Many[str] = ()
    error: str = ""


class _Job(_Reply):
    status: StatusOfJob

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status is not JobStatus.PENDING


class UploadJob(_Job):
    """How far an upload job is. Source: SDK 0.1.211 ``orm/storage.py``.

    One that was told to ignore errors ends as done whatever happened: only *units_error_count* says how many failed.
    """

    items_with_names: Many[NewItem] = ()
    """What this job added: what was there already is not among it."""
    errors: Many[str] = ()
    units_pending_count: int = 0
    units_done_count: int = 0
    units_error_count: int = 0
    units_cancelled_count: int = 0
    unit_errors: Many[UnitError] = ()


class CancelledUnits(_Reply):
    """What cancelling an upload job answers."""

    units_cancelled_count: int


class CloudSync(_Job):
    """How far the sync of a folder with its bucket is. Source: SDK 0.1.211 ``orm/storage.py``."""

    upload_jobs_units_pending: int = 0
    upload_jobs_units_done: int = 0
    upload_jobs_units_error: int = 0
    upload_jobs_units_cancelled: int = 0


class Task(_Reply):
    """A task in a stage of a workflow. Source: SDK 0.1.211 ``workflow/stages/*.py``.

    One in a final stage has neither status nor assignee, one with consensus has them in its *subtasks*.
    """

    uuid: Hash
    status: OrText[TaskStatus] | None = None
    data_hash: Hash
    data_title: str = ""
    assignee: str | None = None
    subtasks: "Many[Task]" = ()
    created_at: Moment | None = None
    updated_at: Moment | None = None


class BearerTokenReply(_Reply):
    """A bearer token of the caller. Source: SDK ``orm/bearer_request.py``."""

    token: Key
