"""What the service answers, as frozen models: strict in what is used here, tolerant of the rest.

Members that are not named here are ignored; roles and scopes that are not known are kept as the number or
text that came. Nothing here sends or decides.

Source: SDK 0.1.90 to 0.1.211 ``orm/*.py`` and docstrings, per model below.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import from_json

from encord_async.protocol.catalogue import (
    APIKeyScope,
    DatasetUserRole,
    ProjectUserRole,
    StorageLocation,
)

__all__ = [
    "DataRow",
    "Dataset",
    "DatasetDetails",
    "DatasetUser",
    "Many",
    "NewDataset",
    "OrNumber",
    "OrText",
    "OwnedDataset",
    "OwnedProject",
    "Project",
    "ProjectAPIKey",
    "ProjectDataset",
    "ProjectUser",
]

T = TypeVar("T")

_MAX_LISTED: Final = 100_000
"""Most items of one list: those of an account come without pages. In the longest reply accepted by default that is
168 bytes for each, and a dataset with its hash, title and two dates takes 250."""


def _utc(moment: datetime) -> datetime:
    """The service writes ``YYYY-MM-DD HH:MM:SS`` without a zone; the SDK takes it for UTC."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # an offset can lead out of the years 1 to 9999
        raise ValueError(str(error)) from None


def listed(value: object) -> object:
    """Decode *value* if it is JSON text: the service has sent lists so (SDK 0.1.145 takes both forms)."""
    if isinstance(value, str):
        try:
            return from_json(value, allow_inf_nan=False)
        except (TypeError, ValueError):  # the first for half a surrogate pair
            return value
    return value


Many: TypeAlias = Annotated[tuple[T, ...], Field(fail_fast=True, max_length=_MAX_LISTED)]
"""A list of the service's. The first bad item ends the reading: to collect what is wrong with each of a million would
take gigabytes."""
Hash: TypeAlias = Annotated[str, Field(min_length=1)]
Key: TypeAlias = Annotated[SecretStr, Field(min_length=1)]
Moment: TypeAlias = Annotated[datetime, AfterValidator(_utc)]
OrText: TypeAlias = Annotated[T | str, Field(union_mode="left_to_right")]
"""One that is known here, or what the service has by now beside those."""
OrNumber: TypeAlias = Annotated[T | int, Field(union_mode="left_to_right")]
"""As `OrText`."""
Scopes: TypeAlias = Annotated[Many[OrText[APIKeyScope]], BeforeValidator(listed)]


class _Reply(BaseModel):
    # What reads a reply is built when the first comes: most processes read few kinds of them.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class ProjectAPIKey(_Reply):
    """An API key of a project. Source: SDK ``orm/project_api_key.py``."""

    api_key: SecretStr
    title: str
    scopes: Scopes


class ProjectUser(_Reply):
    """A member of a project with the role actually held. Source: SDK ``utilities/project_user.py``."""

    user_email: str
    user_role: OrNumber[ProjectUserRole]
    project_hash: Hash


class DatasetUser(_Reply):
    """A member of a dataset with the role actually held. Source: SDK 0.1.60 ``dataset.py``."""

    user_email: str
    user_role: OrNumber[DatasetUserRole]
    dataset_hash: Hash


class ProjectDataset(_Reply):
    """A dataset as a project lists it."""

    dataset_hash: Hash
    title: str = ""
    description: str | None = None
    dataset_type: str | None = None


class ListedProject(_Reply):
    """A project as listings show it."""

    project_hash: Hash
    title: str
    description: str | None = ""
    created_at: Moment | None = None
    last_edited_at: Moment | None = None


class Project(ListedProject):
    """A project. Source: SDK 0.1.211 ``orm/project.py``.

    *label_rows* is empty unless the labels' metadata was asked for.
    """

    ontology_hash: str | None = None
    editor_ontology: dict[str, Any] | str | None = None
    datasets: Many[ProjectDataset] = ()
    label_rows: Many[dict[str, Any]] | None = None
    source_projects: Many[str] | None = None
    workflow_manager_uuid: str | None = None


class OwnedProject(_Reply):
    """A project of the account with the caller's own role in it."""

    user_role: OrNumber[ProjectUserRole]
    project: ListedProject


class Dataset(_Reply):
    """A dataset as listings show it."""

    dataset_hash: Hash
    title: str
    description: str | None = ""
    type: OrNumber[StorageLocation] | None = None
    created_at: Moment | None = None
    last_edited_at: Moment | None = None


class OwnedDataset(_Reply):
    """A dataset of the account with the caller's own role in it."""

    user_role: OrNumber[DatasetUserRole]
    dataset: Dataset


class NewDataset(_Reply):
    """What creating a dataset answers. Source: SDK 0.1.98 ``orm/dataset.py``."""

    dataset_hash: Hash
    title: str
    type: OrNumber[StorageLocation]
    user_hash: str | None = None
    backing_folder_uuid: str | None = None


class DataRow(_Reply):
    """A piece of data in a dataset. Source: SDK 0.1.211 ``orm/dataset.py``."""

    data_hash: Hash
    data_title: str = ""
    data_type: str | None = None
    backing_item_uuid: str | None = None
    """The item of a storage folder that it shows; by this a link is known."""
    file_link: str | None = None
    created_at: Moment | None = None


class DatasetDetails(_Reply):
    """A dataset as its own call shows it. Source: SDK 0.1.211 ``orm/dataset.py``."""

    dataset_hash: Hash
    title: str
    description: str | None = ""
    dataset_type: str | None = None
    backing_folder_uuid: str | None = None
