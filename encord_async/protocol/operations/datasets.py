"""Operations on datasets and their users."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, TypeAlias

from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    DatasetUserRole,
    Query,
    RestCall,
    StorageLocation,
    rest_call,
)
from encord_async.protocol.checks import SomeTexts, Text, Texts, member
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import (
    NO_FILTER,
    AddGroups,
    Creation,
    EnvelopeCommand,
    EnvelopeListing,
    EnvelopeOperation,
    ListingFilter,
    PageOperation,
    RemoveGroups,
    RemoveUsers,
    WholeOperation,
    filter_query,
    is_ours,
    resource_call,
    user_call,
)
from encord_async.protocol.rest import QueryValue, members

__all__ = [
    "AddDatasetGroups",
    "AddDatasetUsers",
    "CreateDataset",
    "CreateDatasetV2",
    "GetDataset",
    "LinkItems",
    "ListDataRows",
    "ListDatasetGroups",
    "ListDatasetUsers",
    "ListDatasets",
    "ListDatasetsV2",
    "RemoveDataRows",
    "RemoveDatasetGroups",
    "RemoveDatasetUsers",
]

Role: TypeAlias = Annotated[DatasetUserRole, member(DatasetUserRole, "role of a dataset")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDataset(EnvelopeOperation[models.NewDataset]):
    """Create a dataset over the envelope API. Source: vendor's datasets page; SDK 0.1.98 to 0.1.152."""

    query: ClassVar[Query] = user_call("dataset", "POST")

    title: Text
    description: str = ""
    storage: Annotated[StorageLocation, member(StorageLocation, "storage location")] = StorageLocation.CORD_STORAGE
    create_backing_folder: bool = True

    def payload(self) -> JSON:
        payload: dict[str, JSON] = {
            "title": self.title,
            "type": int(self.storage),
            "create_backing_folder": self.create_backing_folder,
        }
        if self.description:
            payload["description"] = self.description
        return payload


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDatasetV2(Creation[rest_models.CreatedDataset, rest_models.ListedDataset]):
    """Create a dataset. Where its data lie is not asked. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/datasets")

    title: Text
    description: str = ""
    create_backing_folder: bool = True

    def body(self) -> Mapping[str, JSON]:
        return members(
            title=self.title,
            description=self.description or None,
            create_backing_folder=self.create_backing_folder,
            legacy_call=False,
        )

    def look_up(self) -> "ListDatasetsV2":
        return ListDatasetsV2(filter=ListingFilter(title_eq=self.title))

    def is_it(self, item: rest_models.ListedDataset) -> bool:
        same = item.title == self.title and (item.description or "") == self.description
        return same and is_ours(item.user_role)

    def adopted(self, item: rest_models.ListedDataset) -> rest_models.CreatedDataset:
        return rest_models.CreatedDataset(dataset_uuid=item.dataset_uuid, backing_folder_uuid=item.backing_folder_uuid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfDataset:
    """What the operations on one dataset have in common, over either API."""

    dataset_hash: Text

    def resource_id(self) -> str:
        return self.dataset_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDataset(_OfDataset, EnvelopeOperation[models.DatasetDetails]):
    """Read a dataset, without its data rows. Source: SDK 0.1.211; REST v2 has no call for it."""

    query: ClassVar[Query] = resource_call("dataset", "GET")
    about: ClassVar[tuple[str, str]] = ("dataset_hash", "dataset_hash")

    def payload(self) -> JSON:
        return {"dataset_access_settings": {"fetch_client_metadata": False, "fetch_rows": False}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasets(EnvelopeListing[models.OwnedDataset]):
    """List the caller's datasets; one answer, without pages. Source: SDK 0.1.29 to 0.1.152."""

    query: ClassVar[Query] = user_call("datasetwithuserrole", "GET")

    filter: ListingFilter = NO_FILTER

    def payload(self) -> JSON:
        return {"filter": self.filter.payload()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasetsV2(WholeOperation[rest_models.ListedDataset]):
    """List the caller's datasets; the service answers with one page. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/datasets/list")
    item_name: ClassVar[str] = "dataset_uuid"

    filter: ListingFilter = NO_FILTER
    include_org_access: bool = False

    def query(self) -> Mapping[str, QueryValue]:
        return {**filter_query(self.filter, "description"), "includeOrgAccess": self.include_org_access}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDatasetUsers(_OfDataset, EnvelopeOperation[models.Many[models.DatasetUser]]):
    """Add users to a dataset in one role. Source: SDK 0.1.58 and newer."""

    query: ClassVar[Query] = resource_call("datasetusers", "POST")
    about: ClassVar[tuple[str, str]] = ("dataset_hash", "dataset_hash")

    emails: SomeTexts
    role: Role = DatasetUserRole.USER

    def uid(self) -> JSON:
        return self.dataset_hash

    def payload(self) -> JSON:
        return {"user_emails": self.emails, "user_role": int(self.role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkItems(_OfDataset, EnvelopeListing[models.DataRow]):
    """Make data rows of a dataset out of items of storage folders. Source: SDK 0.1.211.

    Items that are linked already are passed over (``SKIP``); whether the answer has their rows is not known.
    """

    query: ClassVar[Query] = resource_call("datasetlinkitems", "POST")

    item_uuids: SomeTexts

    def uid(self) -> JSON:
        return self.dataset_hash

    def payload(self) -> JSON:
        return {"item_uuids": self.item_uuids, "duplicates_behavior": "SKIP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDataRows(_OfDataset, EnvelopeListing[models.DataRow]):
    """List the data rows of a dataset, those of *data_hashes* if any are given; one answer, without pages.

    *created_before* and *created_after* exclude the moment itself. Source: SDK 0.1.70 to 0.1.211.
    """

    query: ClassVar[Query] = resource_call("datarows", "GET")

    data_hashes: Texts = ()
    created_before: datetime | None = None
    created_after: datetime | None = None

    def payload(self) -> JSON:
        return {
            "title_eq": None,
            "title_like": None,
            "created_before": None if self.created_before is None else self.created_before.isoformat(),
            "created_after": None if self.created_after is None else self.created_after.isoformat(),
            "data_types": None,
            "dataset_access_settings": {"fetch_client_metadata": False, "fetch_rows": True},
            "data_hashes": self.data_hashes or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDataRows(_OfDataset, EnvelopeCommand):
    """Take data rows out of a dataset. **Their labels are lost**, and files on Encord's own storage, too.

    Source: SDK 0.1.211 (the list travels as ``uid``); docs.
    """

    query: ClassVar[Query] = resource_call("video", "DELETE")

    data_hashes: SomeTexts

    def uid(self) -> JSON:
        return self.data_hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasetUsers(_OfDataset, PageOperation[rest_models.DatasetMember]):
    """List who has access to a dataset. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/datasets/{dataset}/users")
    item_name: ClassVar[str] = "user_email"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDatasetUsers(_OfDataset, RemoveUsers):
    """Take the access to a dataset from users; those who have none are ignored. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/datasets/{dataset}/users/bulk-delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasetGroups(_OfDataset, PageOperation[rest_models.DatasetGroup]):
    """List the groups that have access to a dataset. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/datasets/{dataset}/groups")
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDatasetGroups(_OfDataset, AddGroups):
    """Give groups access to a dataset in one role. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/datasets/{dataset}/groups")

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDatasetGroups(_OfDataset, RemoveGroups):
    """Take the access to a dataset from groups. Source: SDK 0.1.114 to 0.1.211 (the list travels in the query)."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/datasets/{dataset}/groups")
