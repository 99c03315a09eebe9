"""The kind ``dataset``: a dataset that shall exist. Sends nothing."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from encord_async.errors import ConflictError, spelt
from encord_async.kinds.access import (
    GroupAccess,
    UserAccess,
    access_twice,
    admit,
    written_groups,
    written_users,
)
from encord_async.kinds.access_groups import DATASET_GROUPS
from encord_async.kinds.cloud import is_uuid
from encord_async.kinds.dataset_data import DATASET_FOLDER, DATASET_ITEMS
from encord_async.kinds.dataset_users import DATASET_USERS
from encord_async.kinds.entry import Count, Entry, MakingEntry, Use, uses
from encord_async.kinds.exporting import Exports, Inside, Pen, in_order_of_age
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Flag, OneOf, Part, Reference, Text, Title, shown
from encord_async.kinds.folder import FOLDER
from encord_async.kinds.mirror_export import mirrors_of, rows_of
from encord_async.kinds.picked import Picked
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.kinds.step import Step, digest, each, making_step, part
from encord_async.kinds.thing import DatasetAPI, Draft, Found, Listed, Order, Sought, Thing, looked_up
from encord_async.protocol.catalogue import DatasetUserRole, StorageLocation
from encord_async.protocol.models import Dataset, DatasetDetails, NewDataset
from encord_async.protocol.operations.base import ListingFilter
from encord_async.protocol.operations.datasets import (
    CreateDataset,
    CreateDatasetV2,
    GetDataset,
    ListDatasets,
    ListDatasetsV2,
)
from encord_async.protocol.rest_models import CreatedDataset, ListedDataset

__all__ = ["DATASET", "DatasetEntry"]


_STORAGES: Final[Mapping[str, StorageLocation]] = {
    "cord": StorageLocation.CORD_STORAGE,
    "aws": StorageLocation.AWS_S3,
    "gcp": StorageLocation.GCP_STR,
    "azure": StorageLocation.AZURE_STR,
    "s3_compatible": StorageLocation.S3_COMPATIBLE_STR,
}
Storage: TypeAlias = Annotated[StorageLocation, OneOf("storage", _STORAGES, [*map(int, StorageLocation)])]


class DatasetEntry(MakingEntry):
    """A dataset that shall exist, with its users and groups.

    *folder* links what lies in a storage folder to it: all of it, or only *items*, each a title, a URL or a uuid. In
    titles and URLs ``*`` is any text, ``?`` any character and ``[ab]`` one of these. Without a folder, *items* are
    uuids.

    All files that the manifest registers come first, and all syncs. Each run looks into the folder anew and links what
    has come since; nothing is ever unlinked by that.
    """

    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"users": UserAccess, "groups": GroupAccess})
    counted = (
        Count("datasets", "datasets", exported=("datasets", "dataset", "datasets")),
        Count("dataset_users", "users of datasets", ("users",)),
        Count("dataset_groups", "groups of datasets", ("groups",)),
        Count("dataset_folders", "folders to link to datasets", ("folder",)),
        Count("dataset_items", "items to link to datasets, or names of such", ("items",)),
    )
    spelt = MappingProxyType({"storage": _STORAGES})
    forms = MappingProxyType({"items": "s3://bucket/a.png;s3://bucket/b.png"})

    example = MappingProxyType({"key": "cats-raw", "title": "Cats raw"})
    is_common = True

    kind: Literal["dataset"] = "dataset"
    title: Title
    description: Text = ""
    storage: Storage = StorageLocation.CORD_STORAGE
    create_backing_folder: Flag = False
    users: tuple[UserAccess, ...] = ()
    groups: tuple[GroupAccess, ...] = ()
    folder: Reference | None = None
    items: tuple[Title, ...] = ()

    def references(self) -> Iterator[Use]:
        yield from uses("groups", [wish.group for wish in self.groups], "group")
        if self.folder is not None:
            yield Use("folder", self.folder, "folder")

    def faults(self) -> list[Fault]:
        found = access_twice(self.users, self.groups) + twice("items.{}", self.items)
        for index, item in enumerate(self.items if self.folder is None else ()):
            if not is_uuid(item):
                reason = f"{shown(item)} is no uuid of an item"
                found.append(Fault(f"items.{index}", reason, "name the folder that it lies in: folder"))
        return found

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield making_step(identity, DATASET, self.title)
        yield from admit(identity, DATASET_USERS, self.users)
        yield from admit(identity, DATASET_GROUPS, self.groups)
        if self.folder is not None:
            picked = Picked(self.items)
            named = digest(part(identity, DATASET_FOLDER.gives, self.folder), picked.digest.encode())
            yield Step(named, DATASET_FOLDER.give, None, self.folder, load=picked)
        else:
            yield from each(identity, DATASET_ITEMS.give, None, [item.lower() for item in self.items])


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a dataset keeps its data, and whether it has a folder of its own; None is what a listing does not say."""

    location: StorageLocation | int | None = None
    has_folder: bool | None = None

    def serves(self, location: int, *, folder: bool) -> bool | None:
        """Whether this is as wished, a folder more than was wished for included; None if it does not say."""
        unsaid = self.location is None or (folder and self.has_folder is None)
        as_wished = self.location in {None, location} and not (folder and self.has_folder is False)
        return as_wished if not (as_wished and unsaid) else None

    def __str__(self) -> str:
        place = self.location.name if isinstance(self.location, StorageLocation) else f"{self.location}"
        return f"its data at {place}{'' if self.has_folder else ' and no backing folder'}"


class _Datasets(Thing, Exports):
    word = noun = "dataset"
    plural = "datasets"
    page = "/datasets/view/{}"
    after = ("group", "folder")
    lasting = ("storage", "create_backing_folder")

    def draft(self, order: Order) -> Draft:
        entry: DatasetEntry = order.entry
        details: dict[str, object] = {
            "storage": int(entry.storage),
            "create_backing_folder": entry.create_backing_folder,
        }
        names = (order.title, entry.description)
        # REST v2 has no word for where data lie, so that only an envelope can ask for another place than Encord's own.
        if order.dataset_api is DatasetAPI.ENVELOPE or entry.storage is not StorageLocation.CORD_STORAGE:
            envelope = CreateDataset(
                title=order.title,
                description=order.description,
                storage=entry.storage,
                create_backing_folder=entry.create_backing_folder,
            )
            return Draft(operation=envelope, details=details, names=names)
        rest = CreateDatasetV2(
            title=order.title, description=order.description, create_backing_folder=entry.create_backing_folder
        )
        return Draft(operation=rest, details=details | {"api": DatasetAPI.REST.value}, names=names)

    def hash_of(self, made: NewDataset | CreatedDataset) -> str:
        return made.dataset_hash if isinstance(made, NewDataset) else made.dataset_uuid

    def probe(self, found_hash: str) -> GetDataset:
        return GetDataset(dataset_hash=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> DatasetDetails:  # noqa: ARG002 - holds nothing
        return DatasetDetails(dataset_hash=stand_in, title="")

    def names_of(self, item: DatasetDetails) -> tuple[str, str | None]:
        return item.title, item.description

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:
        if dataset_api is DatasetAPI.ENVELOPE:
            for owned in await reads.execute(ListDatasets()):
                old, is_admin = owned.dataset, owned.user_role == DatasetUserRole.ADMIN
                yield Listed(old.dataset_hash, old.title, old.description, is_admin, old)
            return
        async for page in reads.pages(ListDatasetsV2()):
            for one in page.results:
                is_admin = one.user_role == DatasetUserRole.ADMIN
                yield Listed(one.dataset_uuid, one.title, one.description, is_admin, one)

    def remembered(self, item: Dataset | ListedDataset) -> Keeping:
        return _keeping_of(item)

    async def suited(self, reads: Reads, entry: DatasetEntry, found: Sequence[Found]) -> Sequence[Found]:
        """Those that keep their data as *entry* wishes: they cannot move over this API."""
        location, folder = int(entry.storage), entry.create_backing_folder
        ours = [(one, await self._keeping(reads, one, location, folder=folder)) for one in found if one.is_admin]
        suited = [one for one, keeping in ours if keeping.serves(location, folder=folder) is not False]
        if ours and not suited:
            other, keeping = ours[0]
            raise ConflictError(
                f"the dataset {other.hash} {entry.title!r} is there already with {keeping}, and "
                f"{Keeping(entry.storage, entry.create_backing_folder)} is wanted; state in the manifest what it has, "
                f"give this one another title or description, or use {spelt('existing', 'create')} to make another",
                code="STORAGE_KEPT",
            )
        return suited

    async def _keeping(self, reads: Reads, found: Found, location: int, *, folder: bool) -> Keeping:
        said = found.more if isinstance(found.more, Keeping) else Keeping()
        if said.serves(location, folder=folder) is None:
            return _keeping_of(await reads.execute(self.probe(found.hash)))
        return said

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        if sought.details.get("api") == DatasetAPI.REST:
            return await looked_up(reads, CreateDatasetV2(title=sought.title, description=sought.description), self)
        return {
            owned.dataset.dataset_hash: owned.dataset
            for owned in await reads.execute(ListDatasets(filter=ListingFilter(title_eq=sought.title)))
            if owned.user_role == DatasetUserRole.ADMIN
            and owned.dataset.title == sought.title
            and (owned.dataset.description or "") == sought.description
        }

    async def shows(self, reads: Reads, sought: Sought, item: Dataset | ListedDataset) -> bool | None:
        location, folder = sought.details.get("storage"), bool(sought.details.get("create_backing_folder"))
        if not isinstance(location, int):
            return True
        serves = _keeping_of(item).serves(location, folder=folder)
        if serves is None:
            found_hash = item.dataset_hash if isinstance(item, Dataset) else item.dataset_uuid
            serves = _keeping_of(await reads.execute(self.probe(found_hash))).serves(location, folder=folder)
        # What was sent over REST did not name a place, and a folder may come later.
        return serves is not False or None

    def compared(self, entry: DatasetEntry, details: Mapping[str, object]) -> dict[str, tuple[object, object]]:
        storage, folder = int(entry.storage), entry.create_backing_folder
        return {
            "storage": (storage, details.get("storage", storage)),
            "create_backing_folder": (folder, details.get("create_backing_folder", folder)),
        }

    async def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:
        # Only REST v2 says which have a folder behind them, and only the envelope API where all of them lie.
        there = await listing(reads, ListDatasetsV2())
        backed: set[str] = set()
        if isinstance(there, Unlisted):
            pen.not_listed.append("which datasets have a backing folder")
        else:
            backed = {one.dataset_uuid for one in there if one.backing_folder_uuid}
        dated = []
        for owned in await reads.execute(ListDatasets()):
            one, is_admin = owned.dataset, owned.user_role == DatasetUserRole.ADMIN
            item = one, one.dataset_hash in backed
            dated.append((one.created_at, Listed(one.dataset_hash, one.title, one.description, is_admin, item)))
        mirrors = await mirrors_of(reads, pen) if pen.scope.items else []
        for found in in_order_of_age(dated):
            rows = await rows_of(reads, pen, mirrors, found) if found.is_admin else None
            if rows is not None:
                pen.mirrored[found.hash] = rows.folder
            yield found._replace(item=(*found.item, rows))

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        dataset, has_folder, rows = found.item
        yield from pen.entry(
            DatasetEntry,
            self,
            found,
            title=found.title,
            description=found.description or "",
            storage=StorageLocation.CORD_STORAGE if dataset.type is None else dataset.type,
            create_backing_folder=has_folder,
            users=tuple(written_users(pen, DATASET_USERS, found, inside.of(DATASET_USERS), UserAccess)),
            groups=tuple(written_groups(pen, DATASET_GROUPS, found, inside.of(DATASET_GROUPS))),
            folder=None if rows is None else pen.reference(FOLDER.word, rows.folder),
            items=() if rows is None else rows.names,
        )


def _keeping_of(dataset: Dataset | ListedDataset | DatasetDetails) -> Keeping:
    """How *dataset* is kept, as far as this reply of the service says."""
    match dataset:
        case Dataset():
            return Keeping(dataset.type)
        case ListedDataset():
            is_said = "backing_folder_uuid" in dataset.model_fields_set
            return Keeping(dataset.storage_location, dataset.backing_folder_uuid is not None if is_said else None)
        case DatasetDetails():
            location = StorageLocation.__members__.get(dataset.dataset_type or "")
            return Keeping(location, dataset.backing_folder_uuid is not None)


DATASET: Final = _Datasets()
DatasetEntry.makes = DATASET
