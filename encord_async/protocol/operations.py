"""Everything that can be asked of the service, as frozen typed values.

An operation knows its names on the wire, its payload in the member order of the official SDK, and how to read
the answer. It never sends, signs or retries. Bad values are refused when the operation is made, before
anything is sent.

There is no operation that deletes a project or an API key: the service offers none (source: docs).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import SecretStr

from encord_async.errors import RefusedError, ReplyShapeError, UsageError
from encord_async.protocol import models
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    Endpoint,
    Method,
    ProjectUserRole,
    Query,
    StorageLocation,
    query,
)
from encord_async.protocol.checks import Adapter as _Adapter
from encord_async.protocol.checks import assign as _set
from encord_async.protocol.checks import one_of as _one_of
from encord_async.protocol.checks import some as _some
from encord_async.protocol.checks import text as _text
from encord_async.protocol.checks import texts as _texts
from encord_async.protocol.jsontext import JSON

__all__ = [
    "AddDatasetUsers",
    "AddDatasets",
    "AddProjectUsers",
    "CopyProject",
    "CreateDataset",
    "CreateProject",
    "CreateProjectAPIKey",
    "GetDataset",
    "GetOntology",
    "GetOrCreateProjectAPIKey",
    "GetProject",
    "ListDatasets",
    "ListProjectAPIKeys",
    "ListProjects",
    "ListingFilter",
    "Operation",
    "RemoveDatasets",
]

T_co = TypeVar("T_co", covariant=True)


class Operation(ABC, Generic[T_co]):
    """One thing asked of the service; *T* is the type of its result."""

    __slots__ = ()

    query: ClassVar[Query]

    def uid(self) -> JSON:
        """The envelope's ``uid``."""
        return None

    def payload(self) -> JSON:
        """The envelope's ``payload``."""
        return None

    def resource_id(self) -> str | None:
        """The ``ResourceID`` header on `Endpoint.RESOURCE`."""
        return None

    @abstractmethod
    def parse(self, response: object) -> T_co:
        """Read the ``response`` member of a successful reply.

        Raises:
            ReplyShapeError: The service succeeded but its answer is not understood.
            RefusedError: The service answered ``false`` to a call whose answer is yes or no.
        """


def _user(type_: str, method: Method) -> Query:
    return query(Endpoint.USER, type_, method)


def _resource(type_: str, method: Method) -> Query:
    return query(Endpoint.RESOURCE, type_, method)


_API_KEYS: Final = _Adapter[tuple[models.ProjectAPIKey, ...]](models.Many[models.ProjectAPIKey])
_PROJECT_USERS: Final = _Adapter[tuple[models.ProjectUser, ...]](models.Many[models.ProjectUser])
_DATASET_USERS: Final = _Adapter[tuple[models.DatasetUser, ...]](models.Many[models.DatasetUser])
_PROJECT: Final = _Adapter[models.Project](models.Project)
_PROJECTS: Final = _Adapter[tuple[models.OwnedProject, ...]](models.Many[models.OwnedProject])
_DATASETS: Final = _Adapter[tuple[models.OwnedDataset, ...]](models.Many[models.OwnedDataset])
_NEW_DATASET: Final = _Adapter[models.NewDataset](models.NewDataset)
_DATASET: Final = _Adapter[models.DatasetDetails](models.DatasetDetails)


def _read_hash(response: object, name: str) -> str:
    if isinstance(response, str) and response:
        return response
    raise ReplyShapeError("the service succeeded, but its answer is no hash", operation=name)


def _read_done(response: object, name: str) -> None:
    if response is False:
        raise RefusedError("the service answered that it did not do this", operation=name)
    if response is not True:
        raise ReplyShapeError("the service succeeded, but its answer is not true or false", operation=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProject(Operation[str]):
    """Create a project; the result is its hash, and the caller becomes its admin.

    Source: docs; SDK 0.1.211. Without *ontology_hash* the service makes a new empty ontology; without
    *workflow_template_id* it uses its default workflow.
    """

    query: ClassVar[Query] = _user("project", "POST")

    title: str
    description: str = ""
    dataset_hashes: tuple[str, ...] = ()
    ontology_hash: str | None = None
    workflow_template_id: str | None = None

    def __post_init__(self) -> None:
        _text(self.title, "title")
        _set(self, "dataset_hashes", _texts(self.dataset_hashes, "dataset_hashes"))

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

    def parse(self, response: object) -> str:
        return _read_hash(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProjectAPIKey(Operation[SecretStr]):
    """Create an API key of a project; the result is the key. Project admins only. Source: docs."""

    query: ClassVar[Query] = _user("projectapikey", "POST")

    project_hash: str
    title: str
    scopes: tuple[APIKeyScope, ...]

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")
        _text(self.title, "title")
        scopes = tuple(_one_of(APIKeyScope, scope, "scope of an API key") for scope in _texts(self.scopes, "scopes"))
        if not scopes:
            raise UsageError("scopes is empty; an API key without a scope cannot do anything")
        _set(self, "scopes", scopes)

    def uid(self) -> JSON:
        return self.project_hash

    def payload(self) -> JSON:
        return {"title": self.title, "scopes": [scope.value for scope in self.scopes]}

    def parse(self, response: object) -> SecretStr:
        return SecretStr(_read_hash(response, self.query.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectAPIKeys(Operation[tuple[models.ProjectAPIKey, ...]]):
    """List the API keys of a project, the keys themselves included. Source: docs."""

    query: ClassVar[Query] = _user("projectapikey", "GET")

    project_hash: str

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")

    def uid(self) -> JSON:
        return self.project_hash

    def parse(self, response: object) -> tuple[models.ProjectAPIKey, ...]:
        return _API_KEYS.read(_empty_list(response), self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOrCreateProjectAPIKey(Operation[SecretStr]):
    """The project's key with all scopes, made if it is not there. Source: SDK 0.1.27 to 0.1.141."""

    query: ClassVar[Query] = _user("projectapikey", "PUT")

    project_hash: str

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")

    def uid(self) -> JSON:
        return self.project_hash

    def payload(self) -> JSON:
        return {}

    def parse(self, response: object) -> SecretStr:
        return SecretStr(_read_hash(response, self.query.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDatasets(Operation[None]):
    """Attach datasets to a project. The caller must be admin of each and of the project. Source: docs."""

    query: ClassVar[Query] = _resource("projectdataset", "POST")

    project_hash: str
    dataset_hashes: tuple[str, ...]

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")
        _set(self, "dataset_hashes", _some(self.dataset_hashes, "dataset_hashes"))

    def payload(self) -> JSON:
        return {"dataset_hashes": self.dataset_hashes}

    def resource_id(self) -> str:
        return self.project_hash

    def parse(self, response: object) -> None:
        return _read_done(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDatasets(Operation[None]):
    """Detach datasets from a project. Project admins only. Source: docs; SDK (the list travels as ``uid``)."""

    query: ClassVar[Query] = _resource("projectdataset", "DELETE")

    project_hash: str
    dataset_hashes: tuple[str, ...]

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")
        _set(self, "dataset_hashes", _some(self.dataset_hashes, "dataset_hashes"))

    def uid(self) -> JSON:
        return self.dataset_hashes

    def resource_id(self) -> str:
        return self.project_hash

    def parse(self, response: object) -> None:
        # The SDK takes a null answer to a DELETE for success.
        return None if response is None else _read_done(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProjectUsers(Operation[tuple[models.ProjectUser, ...]]):
    """Add users to a project in one role; the result shows the role that each actually holds.

    Someone who is a member already keeps the old role (source: SDK 0.1.160 ``project.py``).
    """

    query: ClassVar[Query] = _resource("projectusers", "POST")

    project_hash: str
    emails: tuple[str, ...]
    role: ProjectUserRole

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")
        _set(self, "emails", _some(self.emails, "emails"))
        _set(self, "role", _one_of(ProjectUserRole, self.role, "role of a project"))

    def uid(self) -> JSON:
        return self.project_hash

    def payload(self) -> JSON:
        return {"user_emails": self.emails, "user_role": int(self.role)}

    def resource_id(self) -> str:
        return self.project_hash

    def parse(self, response: object) -> tuple[models.ProjectUser, ...]:
        return _PROJECT_USERS.read(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProject(Operation[models.Project]):
    """Read a project. With the labels' metadata the answer grows with the project. Source: docs; SDK."""

    query: ClassVar[Query] = _resource("project", "GET")

    project_hash: str
    include_labels_metadata: bool = False

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")

    def payload(self) -> JSON:
        return {"include_labels_metadata": self.include_labels_metadata}

    def resource_id(self) -> str:
        return self.project_hash

    def parse(self, response: object) -> models.Project:
        return _PROJECT.read(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOntology(Operation[Mapping[str, Any]]):
    """Read the ontology that a project's editor uses. Source: docs (``editor_ontology`` of the project)."""

    query: ClassVar[Query] = _resource("project", "GET")

    project_hash: str

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")

    def payload(self) -> JSON:
        return {"include_labels_metadata": False}

    def resource_id(self) -> str:
        return self.project_hash

    def parse(self, response: object) -> Mapping[str, Any]:
        ontology = models.listed(_PROJECT.read(response, self.query.name).editor_ontology)
        if isinstance(ontology, dict):
            return ontology
        raise ReplyShapeError("the project came without an editor_ontology", operation=self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProject(Operation[str]):
    """Copy a project; the result is the hash of the copy. Source: SDK 0.1.61 and newer.

    *options* says what goes along. Label rows are copied whole: the finer selection of the SDK is not offered.
    """

    query: ClassVar[Query] = _resource("projectcopy", "POST")

    project_hash: str
    title: str | None = None
    description: str | None = None
    options: tuple[CopyOption, ...] = ()

    def __post_init__(self) -> None:
        _text(self.project_hash, "project_hash")
        wanted = {_one_of(CopyOption, option, "option of a copy") for option in self.options}
        _set(self, "options", tuple(option for option in CopyOption if option in wanted))

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

    def resource_id(self) -> str:
        return self.project_hash

    def parse(self, response: object) -> str:
        return _read_hash(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDataset(Operation[models.NewDataset]):
    """Create a dataset over the envelope API. Source: vendor's datasets page; SDK 0.1.98 to 0.1.152."""

    query: ClassVar[Query] = _user("dataset", "POST")

    title: str
    description: str = ""
    storage: StorageLocation = StorageLocation.CORD_STORAGE
    create_backing_folder: bool = True

    def __post_init__(self) -> None:
        _text(self.title, "title")
        _set(self, "storage", _one_of(StorageLocation, self.storage, "storage location"))

    def payload(self) -> JSON:
        payload: dict[str, JSON] = {
            "title": self.title,
            "type": int(self.storage),
            "create_backing_folder": self.create_backing_folder,
        }
        if self.description:
            payload["description"] = self.description
        return payload

    def parse(self, response: object) -> models.NewDataset:
        return _NEW_DATASET.read(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDataset(Operation[models.DatasetDetails]):
    """Read a dataset, without its data rows. Source: SDK 0.1.211; REST v2 has no call for it."""

    query: ClassVar[Query] = _resource("dataset", "GET")

    dataset_hash: str

    def __post_init__(self) -> None:
        _text(self.dataset_hash, "dataset_hash")

    def payload(self) -> JSON:
        return {"dataset_access_settings": {"fetch_client_metadata": False, "fetch_rows": False}}

    def resource_id(self) -> str:
        return self.dataset_hash

    def parse(self, response: object) -> models.DatasetDetails:
        return _DATASET.read(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDatasetUsers(Operation[tuple[models.DatasetUser, ...]]):
    """Add users to a dataset in one role. Source: SDK 0.1.58 and newer."""

    query: ClassVar[Query] = _resource("datasetusers", "POST")

    dataset_hash: str
    emails: tuple[str, ...]
    role: DatasetUserRole = DatasetUserRole.USER

    def __post_init__(self) -> None:
        _text(self.dataset_hash, "dataset_hash")
        _set(self, "emails", _some(self.emails, "emails"))
        _set(self, "role", _one_of(DatasetUserRole, self.role, "role of a dataset"))

    def uid(self) -> JSON:
        return self.dataset_hash

    def payload(self) -> JSON:
        return {"user_emails": self.emails, "user_role": int(self.role)}

    def resource_id(self) -> str:
        return self.dataset_hash

    def parse(self, response: object) -> tuple[models.DatasetUser, ...]:
        return _DATASET_USERS.read(response, self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingFilter:
    """Filters of the listings, all optional and joined by *and*. Source: SDK 0.1.29 and newer.

    ``_like`` takes SQL patterns (``%``, ``_``); *before* and *after* exclude the moment itself.
    """

    title_eq: str | None = None
    title_like: str | None = None
    desc_eq: str | None = None
    desc_like: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    edited_before: datetime | None = None
    edited_after: datetime | None = None

    def payload(self) -> dict[str, JSON]:
        """The filters that are set, in the SDK's order, dates in ISO 8601."""
        return {
            field.name: value.isoformat() if isinstance(value, datetime) else value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }


_NO_FILTER: Final = ListingFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjects(Operation[tuple[models.OwnedProject, ...]]):
    """List the caller's projects; one answer, without pages. Source: SDK 0.1.29 to 0.1.211."""

    query: ClassVar[Query] = _user("projectwithuserrole", "GET")

    filter: ListingFilter = _NO_FILTER

    def payload(self) -> JSON:
        return {"filter": self.filter.payload()}

    def parse(self, response: object) -> tuple[models.OwnedProject, ...]:
        return _PROJECTS.read(_empty_list(response), self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasets(Operation[tuple[models.OwnedDataset, ...]]):
    """List the caller's datasets; one answer, without pages. Source: SDK 0.1.29 to 0.1.152."""

    query: ClassVar[Query] = _user("datasetwithuserrole", "GET")

    filter: ListingFilter = _NO_FILTER

    def payload(self) -> JSON:
        return {"filter": self.filter.payload()}

    def parse(self, response: object) -> tuple[models.OwnedDataset, ...]:
        return _DATASETS.read(_empty_list(response), self.query.name)


def _empty_list(response: object) -> object:
    """The SDK takes ``{}`` for an empty list."""
    return () if response == {} else response
