"""Operations on storage: folders and their groups, cloud integrations, upload jobs, syncs and items.

A folder or a job that does not exist is a `ForbiddenError`, as is one that the caller may not see (source: SDK 0.1.211,
docstrings of ``get_storage_folder`` and its neighbours).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

from encord_async.errors import UsageError
from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    MAX_ITEMS_OF_JOB,
    MAX_PAGE_SIZE,
    MAX_POLL_S,
    FolderUserRole,
    ItemType,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import (
    Adapter,
    Check,
    OptionalText,
    SomeTexts,
    Text,
    Texts,
    filled,
    member,
    members_of,
    text,
)
from encord_async.protocol.cloud_files import CloudItem, data_items
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import (
    AddGroups,
    Command,
    Creation,
    PageOperation,
    RemoveGroups,
    RestOperation,
    WholeOperation,
)
from encord_async.protocol.rest import QueryValue, members

__all__ = [
    "AddFolderGroups",
    "CancelUploadJob",
    "CloudPrefix",
    "CreateFolder",
    "GetFolder",
    "GetItems",
    "ListCloudIntegrations",
    "ListFolderGroups",
    "ListFolders",
    "ListItems",
    "ListSubfolders",
    "PollCloudSync",
    "PollUploadJob",
    "RemoveFolder",
    "RemoveFolderGroups",
    "SearchFolders",
    "StartCloudSync",
    "StartUploadJob",
    "UpdateFolder",
]

_CANCELLED: Final = Adapter[rest_models.CancelledUnits](rest_models.CancelledUnits)


def _within(least: int, most: int, more: str = "") -> Check:
    """A number from *least* to *most*; the error says *more* behind them."""

    def take(value: int, name: str) -> int:
        if not least <= value <= most:
            raise UsageError(f"{name} is {value}; give {least} to {most}{more}")
        return value

    return Check(take)


def _items(items: Iterable[CloudItem], name: str) -> tuple[CloudItem, ...]:
    found = filled(tuple(items), name)
    if len(found) > MAX_ITEMS_OF_JOB:
        raise UsageError(f"{len(found)} items are more than the {MAX_ITEMS_OF_JOB} of a job; make several")
    return found


PageSize: TypeAlias = Annotated[int, _within(1, MAX_PAGE_SIZE)]
Role: TypeAlias = Annotated[FolderUserRole, member(FolderUserRole, "role of a folder")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPrefix:
    """What of a cloud a folder mirrors: all that is below *remote_url*, such as ``s3://bucket/prefix/``."""

    integration_uuid: str
    remote_url: str

    def __post_init__(self) -> None:
        text(self.integration_uuid, "integration_uuid")
        text(self.remote_url, "remote_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFolder(Creation[rest_models.StorageFolder, rest_models.StorageFolder]):
    """Create a storage folder; the caller becomes its admin. Source: SDK 0.1.211.

    Two folders may have one name. *metadata* that no other folder has make it certain which one this has made.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/storage/folders")

    name: Text
    description: str = ""
    parent_uuid: OptionalText = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    cloud: CloudPrefix | None = None

    def body(self) -> JSON:
        cloud = self.cloud
        return members(
            name=self.name,
            description=self.description or None,
            parent=self.parent_uuid,
            # A text that holds JSON here, and an object where a folder is changed.
            client_metadata=json.dumps(self.metadata) if self.metadata else None,
            cloud_synced_folder_params=None
            if cloud is None
            else members(integration_uuid=cloud.integration_uuid, remote_url=cloud.remote_url),
        )

    def look_up(self) -> "ListFolders | ListSubfolders":
        # Not searched for by name: how the service searches a text is not known.
        if self.parent_uuid is None:
            return ListFolders(dataset_synced=False)
        return ListSubfolders(folder_uuid=self.parent_uuid, dataset_synced=False)

    def is_it(self, item: rest_models.StorageFolder) -> bool:
        held = item.client_metadata or {}
        same = (item.name, item.description or "") == (self.name, self.description)
        marked = all(name in held and held[name] == value for name, value in self.metadata.items())
        return same and marked and self._mirrors(item) and item.user_role in (None, FolderUserRole.ADMIN)

    def _mirrors(self, item: rest_models.StorageFolder) -> bool:
        """Whether *item* mirrors what this one would; an older service does not say."""
        return item.remote_url is None or (self.cloud is not None and item.remote_url == self.cloud.remote_url)


# Without slots, as `PageOperation` has none: of the bases with fields only one may have them.
@dataclass(frozen=True, kw_only=True)
class _FolderFilter:
    """What listings of folders can be narrowed down by, and how many come at once."""

    item_name: ClassVar[str] = "uuid"

    search: str | None = None
    """A text to look for in names; how the service compares is not known: compare again."""
    dataset_synced: bool | None = None
    """Only those that a dataset mirrors, or only the others."""
    include_org_access: bool | None = None
    page_size: PageSize = MAX_PAGE_SIZE
    if TYPE_CHECKING:
        page_token: str | None = None

    def query(self) -> Mapping[str, QueryValue]:
        return {
            "search": self.search,
            "isRecursive": False,
            "datasetSynced": self.dataset_synced,
            "includeOrgAccess": self.include_org_access,
            # What is made meanwhile comes last, so that pages do not shift.
            "order": "createdAt",
            "desc": False,
            "pageToken": self.page_token,
            "pageSize": self.page_size,
        }


@dataclass(frozen=True, kw_only=True)
class ListFolders(_FolderFilter, PageOperation[rest_models.StorageFolder]):
    """List the storage folders at the top. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/storage/folders")


@dataclass(frozen=True, kw_only=True)
class SearchFolders(_FolderFilter, PageOperation[rest_models.StorageFolder]):
    """List storage folders wherever they are. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/storage/search/folders")


@dataclass(frozen=True, kw_only=True)
class ListSubfolders(_FolderFilter, PageOperation[rest_models.StorageFolder]):
    """List the storage folders in one, or with *is_recursive* all that are below it. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/storage/folders/{folder}/folders")

    folder_uuid: Text
    is_recursive: bool = False

    def query(self) -> Mapping[str, QueryValue]:
        return {**super().query(), "isRecursive": self.is_recursive}


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfFolder:
    """What the operations on one folder have in common."""

    folder_uuid: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class GetFolder(_OfFolder, RestOperation[rest_models.StorageFolder]):
    """Read a storage folder; `ForbiddenError` if it is not there. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/storage/folders/{folder}")
    about: ClassVar[tuple[str, str]] = ("folder_uuid", "uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFolder(_OfFolder, RestOperation[rest_models.StorageFolder]):
    """Change a storage folder; what is None stays. Source: SDK 0.1.211.

    Whether the service replaces *metadata* or adds to them is not known: give all of them.
    """

    call: ClassVar[RestCall] = rest_call("PATCH", "/storage/folders/{folder}")
    about: ClassVar[tuple[str, str]] = ("folder_uuid", "uuid")

    name: OptionalText = None
    description: str | None = None
    metadata: Mapping[str, JSON] | None = None

    def __post_init__(self) -> None:
        RestOperation.__post_init__(self)
        if self.name is None and self.description is None and self.metadata is None:
            raise UsageError("nothing of the folder is to be changed; give a name, a description or metadata")

    def body(self) -> JSON:
        return members(name=self.name, description=self.description, client_metadata=self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFolder(_OfFolder, Command):
    """Delete a storage folder. What becomes of what is in it is not known. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/storage/folders/{folder}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFolderGroups(_OfFolder, PageOperation[rest_models.FolderGroup]):
    """List the groups that have access to a storage folder. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/storage/folders/{folder}/groups")
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFolderGroups(_OfFolder, AddGroups):
    """Give groups access to a storage folder in one role. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/storage/folders/{folder}/groups")

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFolderGroups(_OfFolder, RemoveGroups):
    """Take the access to a storage folder from groups. Source: SDK 0.1.211 (the list travels in the query)."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/storage/folders/{folder}/groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCloudIntegrations(WholeOperation[rest_models.CloudIntegration]):
    """List the cloud integrations that the caller may use, those with one of *titles* if any are given.

    Titles match exactly, and need not be unique. The service answers with one page. Source: SDK 0.1.211.
    """

    call: ClassVar[RestCall] = rest_call("GET", "/cloud-integrations")
    item_name: ClassVar[str] = "integration_uuid"

    titles: Texts = ()
    include_org_access: bool = False

    def query(self) -> Mapping[str, QueryValue]:
        return {"filterIntegrationTitles": self.titles, "includeOrgAccess": self.include_org_access}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUploadJob(_OfFolder, RestOperation[models.Hash]):
    """Start to register files of a cloud in a storage folder; the result is the job's uuid. Source: SDK 0.1.211.

    A file that is in the folder already, by its URL, is passed over, so that twice leaves the folder as once would.
    But when the service looks is not known: two jobs at once may both find that it is not there. Nothing lists jobs:
    one whose uuid was lost is known by its items alone. With *ignore_errors* the job ends as done
    however many files could not be read; without, one is enough for it to end as failed.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/storage/folders/{folder}/data-upload-jobs")

    items: Annotated[tuple[CloudItem, ...], Check(_items)]
    integration_uuid: str | None = None
    ignore_errors: bool = False
    upsert_metadata: bool = False

    def body(self) -> JSON:
        return members(
            data_items=data_items(self.items, upsert_metadata=self.upsert_metadata),
            integration_hash=self.integration_uuid,
            ignore_errors=self.ignore_errors,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfJob(_OfFolder):
    job_uuid: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Poll(_OfJob):
    """Asks how far a job is; the service answers when it is over, or after *hold_s* seconds."""

    hold_s: Annotated[int, _within(0, MAX_POLL_S, " seconds, and ask again after that")] = 0

    def query(self) -> Mapping[str, QueryValue]:
        return {"timeoutSeconds": self.hold_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class PollUploadJob(_Poll, RestOperation[rest_models.UploadJob]):
    """Ask how far an upload job is, and wait up to *hold_s* seconds for its end. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/storage/folders/{folder}/data-upload-jobs/{job}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelUploadJob(_OfJob, RestOperation[int]):
    """Stop an upload job; the result is how many items will not be made. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/storage/folders/{folder}/data-upload-jobs/{job}/cancel")

    def parse(self, content: object) -> int:
        return _CANCELLED.read(content, self.call.name).units_cancelled_count


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCloudSync(_OfFolder, RestOperation[models.Hash]):
    """Start to bring a cloud-synced folder up to its bucket; the result is the job's uuid. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/storage/folders/{folder}/cloud-synced-folder-syncs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollCloudSync(_Poll, RestOperation[rest_models.CloudSync]):
    """Ask how far a sync is, and wait up to *hold_s* seconds for its end. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call(
        "GET", "/storage/folders/{folder}/cloud-linked-folder-syncs/{job}/long-polling"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListItems(_OfFolder, PageOperation[rest_models.StorageItem]):
    """List what lies directly in a storage folder, oldest first or the other way round. Source: SDK 0.1.211.

    The listing may lag behind the job that made an item. *search* is as that of `ListFolders`.
    """

    call: ClassVar[RestCall] = rest_call("GET", "/storage/folders/{folder}/items")
    item_name: ClassVar[str] = "uuid"

    search: str | None = None
    is_in_dataset: bool | None = None
    item_types: Annotated[tuple[ItemType, ...], members_of(ItemType, "type of an item")] = ()
    include_client_metadata: bool = True
    newest_first: bool = False
    page_size: PageSize = MAX_PAGE_SIZE

    def query(self) -> Mapping[str, QueryValue]:
        return {
            "search": self.search,
            "isRecursive": False,
            "isInDataset": self.is_in_dataset,
            "itemTypes": self.item_types,
            "order": "createdAt",
            "desc": self.newest_first,
            "pageToken": self.page_token,
            "pageSize": self.page_size,
            "signUrls": False,
            "includeClientMetadata": self.include_client_metadata,
            "clientMetadataAsSignedUrl": False,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GetItems(PageOperation[rest_models.StorageItem]):
    """Read storage items by their uuids, wherever they lie. Source: SDK 0.1.211.

    If one does not exist or is out of reach, the service refuses to show any (inferred from the SDK's docs).
    """

    call: ClassVar[RestCall] = rest_call("POST", "/storage/items/get-bulk")
    item_name: ClassVar[str] = "uuid"

    item_uuids: SomeTexts

    def body(self) -> JSON:
        return members(item_uuids=self.item_uuids, sign_urls=False)
