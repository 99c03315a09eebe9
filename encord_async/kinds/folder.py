"""The kind ``folder``: a storage folder that shall exist, at the top or in another one. Sends nothing.

A folder can be deleted, unlike most. Two may have one name: each that is made carries a mark in its metadata, by which
it is known again when the answer was lost.
"""

import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from encord_async.errors import ConflictError, spelt
from encord_async.kinds.access import GroupAccess, access_twice, admit, written_groups
from encord_async.kinds.access_groups import FOLDER_GROUPS
from encord_async.kinds.cloud import Cloud, CloudPlace, found_integration, titles_of_integrations
from encord_async.kinds.entry import Count, Entry, MakingEntry, Use, uses
from encord_async.kinds.exporting import Exports, Inside, Pen, in_order_of_age
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import Flag, Part, Reference, Text, Title
from encord_async.kinds.folder_sync import FOLDER_SYNC
from encord_async.kinds.metadata import MARK, Metadata
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import Step, making_step, one
from encord_async.kinds.thing import DatasetAPI, Draft, Found, Listed, Order, Otherwise, Sought, Thing, looked_up
from encord_async.protocol.catalogue import FolderUserRole
from encord_async.protocol.operations.storage import CloudPrefix, CreateFolder, GetFolder, SearchFolders
from encord_async.protocol.rest_models import StorageFolder

__all__ = ["FOLDER", "FolderEntry"]

_TOP: Final = "the top"


class FolderEntry(MakingEntry):
    """A storage folder that shall exist, at the top or in another one; it may mirror a part of a bucket.

    With *sync* it is brought up to its bucket once, when it is there, and that is waited for.
    """

    title_field = "name"
    other_names: ClassVar[Mapping[str, str]] = MappingProxyType({"title": "name", "folder": "parent"})
    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"groups": GroupAccess})
    counted = (
        Count("folders", "folders", exported=("folders", "folder", "folders")),
        Count("folder_groups", "groups of folders", ("groups",)),
    )
    circle = "lies in this entry itself, if not directly"

    example = MappingProxyType({"key": "images", "name": "Images"})

    kind: Literal["folder"] = "folder"
    name: Title
    description: Text = ""
    parent: Reference | None = None
    metadata: Metadata = Field(default={})
    groups: tuple[GroupAccess, ...] = ()
    cloud: Cloud | None = None
    sync: Flag = False

    @property
    def lies_in(self) -> str | None:
        return self.parent

    def references(self) -> Iterator[Use]:
        parent = self.made_from()
        if parent is not None:
            yield parent
        yield from uses("groups", [wish.group for wish in self.groups], "group")

    def made_from(self) -> Use | None:
        return None if self.parent is None else Use("parent", self.parent, "folder")

    def faults(self) -> list[Fault]:
        found = access_twice((), self.groups)
        if self.sync and self.cloud is None:
            found.append(Fault("sync", "is for a folder that mirrors a bucket, and 'cloud' is missing"))
        return found

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield making_step(identity, FOLDER, self.name)
        yield from admit(identity, FOLDER_GROUPS, self.groups)
        if self.sync and self.cloud is not None:
            yield one(identity, FOLDER_SYNC.give, None, self.cloud.url)


class _Folders(Thing, Exports):
    word = noun = "folder"
    plural = "folders"
    is_irreversible = False
    links = MappingProxyType({"parent": ("parent", "parent_reference")})
    lasting = ("parent", "metadata", "cloud")
    after = ("group",)
    unlisted = "storage folders"

    @property
    def stays(self) -> str:
        return "is not changed by a run; change it in Encord's app, and then in the manifest"

    def draft(self, order: Order) -> Draft:
        entry: FolderEntry = order.entry
        parent = order.links.get("parent")
        operation = CreateFolder(
            name=order.title,
            description=order.description,
            parent_uuid=parent,
            metadata={**entry.metadata, MARK: order.mark()},
        )
        details: dict[str, object] = {
            "parent": parent,
            "parent_reference": entry.parent,
            "metadata": entry.metadata,
            "cloud": _said(entry.cloud),
            "mark": order.mark(),
        }
        return Draft(
            operation=operation,
            details=details,
            names=entry.names(parent),
            needs=() if parent is None else ((self.word, parent),),
        )

    async def readied(self, reads: Reads, order: Order, draft: Draft) -> Draft:
        """The integration goes by its title, and the service wants its uuid."""
        cloud, operation = order.entry.cloud, draft.operation
        if cloud is None or not isinstance(operation, CreateFolder):
            return draft
        integration = await found_integration(reads, cloud.integration)
        prefix = CloudPrefix(integration_uuid=integration, remote_url=cloud.url)
        details = {**draft.details, "integration": integration}
        return replace(draft, operation=replace(operation, cloud=prefix), details=details)

    def hash_of(self, made: StorageFolder) -> str:
        return made.uuid

    def probe(self, found_hash: str) -> GetFolder:
        return GetFolder(folder_uuid=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> StorageFolder:  # noqa: ARG002 - shows no items
        return StorageFolder(uuid=stand_in, name="")

    def names_of(self, item: StorageFolder) -> tuple[str, str | None]:
        return item.name, item.description

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:  # noqa: ARG002 - of datasets
        # Not those that came with a dataset, which mirror it.
        async for page in reads.pages(SearchFolders(dataset_synced=False)):
            for item in page.results:
                is_admin = item.user_role == FolderUserRole.ADMIN
                yield Listed(item.uuid, item.name, item.description, is_admin, item)

    def remembered(self, item: StorageFolder) -> str | None:
        return item.parent

    def is_beside(self, order: Order, found: Found) -> bool:
        return found.more == order.links.get("parent")

    async def lacking(self, reads: Reads, found_hash: str, order: Order) -> Sequence[str]:
        entry: FolderEntry = order.entry
        if not entry.metadata and entry.cloud is None:
            return ()
        there = await reads.execute(self.probe(found_hash))
        names = [otherwise.what for otherwise in _otherwise(entry.metadata, _said(entry.cloud), there)]
        if names:
            raise ConflictError(
                f"the folder {found_hash} ({order.title!r}) is there with other {' and '.join(names)}; give this one "
                f"another name or description, or use {spelt('existing', 'create')} to make another",
                code="FOLDER_KEPT",
            )
        return ()

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        parent, cloud = sought.details.get("parent"), sought.details.get("cloud")
        prefix = None
        if isinstance(cloud, str):
            prefix = CloudPrefix(integration_uuid=str(sought.details.get("integration")), remote_url=cloud)
        creation = CreateFolder(
            name=sought.title,
            description=sought.description,
            parent_uuid=parent if isinstance(parent, str) else None,
            cloud=prefix,
        )
        return await looked_up(reads, creation, self)

    async def shows(self, reads: Reads, sought: Sought, item: StorageFolder) -> bool | None:  # noqa: ARG002 - listed
        """By its mark; one that shows none may have had it, and lost it since."""
        mark = (item.client_metadata or {}).get(MARK)
        return None if mark is None else mark == sought.details.get("mark")

    def compared(self, entry: FolderEntry, details: Mapping[str, object]) -> dict[str, tuple[object, object]]:
        return {
            "metadata": (entry.metadata, details.get("metadata") or {}),
            "cloud": (_said(entry.cloud), details.get("cloud")),
        }

    def compares(self, entry: FolderEntry, linked: Mapping[str, str | None]) -> tuple[object, ...]:
        """The folder it is to be in, as its hash if it has one and as the entry names it; metadata; cloud."""
        return linked.get("parent"), entry.parent, entry.metadata, _said(entry.cloud)

    def differences(self, wished: tuple[Any, ...], item: StorageFolder) -> Iterator[Otherwise]:
        parent, reference, metadata, cloud = wished
        if parent != item.parent or (reference is not None and parent is None):
            reason = "a run moves no folder; move it in Encord's app"
            is_unmade = reference is not None and parent is None
            yield Otherwise("parent", parent or reference or _TOP, item.parent or _TOP, reason, is_unmade=is_unmade)
        yield from _otherwise(metadata, cloud, item)

    async def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:  # noqa: ARG002 - needs nothing of it
        """Each after the one that it lies in."""
        dated = [(listed.item.created_at, listed) async for listed in self.listed(reads, DatasetAPI.REST)]
        parents = {listed.hash: listed.item.parent for _, listed in dated}
        titles: Mapping[str, str] = {}
        if any(listed.item.remote_url for _, listed in dated):
            titles = await titles_of_integrations(reads)
        for found in sorted(in_order_of_age(dated), key=lambda one: _depth(one.hash, parents)):
            item: StorageFolder = found.item
            integration = titles.get(item.integration_hash or "")
            yield (
                found
                if integration is None
                else found._replace(item=item.model_copy(update={"integration_hash": integration}))
            )

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        item: StorageFolder = found.item
        cloud = {"integration": item.integration_hash, "url": item.remote_url} if item.remote_url else None
        yield from pen.entry(
            FolderEntry,
            self,
            found,
            name=found.title,
            description=found.description or "",
            # One that the account does not show goes by its hash, which another account does not have.
            parent=None if item.parent is None else pen.reference(self.word, item.parent) or item.parent,
            metadata={name: value for name, value in (item.client_metadata or {}).items() if name != MARK},
            groups=tuple(written_groups(pen, FOLDER_GROUPS, found, inside.of(FOLDER_GROUPS))),
            cloud=cloud,
            # Whoever wants the files wants those, too, that a sync brings.
            sync=cloud is not None and pen.scope.items,
        )


def _said(cloud: CloudPlace | None) -> str | None:
    """What of *cloud* journals have, and is compared: an integration goes by its title or by its uuid."""
    return None if cloud is None else cloud.url


def _otherwise(metadata: Mapping[str, Any], cloud: str | None, item: StorageFolder) -> Iterator[Otherwise]:
    """How *item* differs from what was to be kept with it; what else is kept there may be anything."""
    reason = "a run does not change it; change it in Encord's app"
    held = item.client_metadata or {}
    other = [name for name, value in metadata.items() if name not in held or held[name] != value]
    if other:
        there = {name: held[name] for name in other if name in held}
        wanted = {name: metadata[name] for name in other}
        yield Otherwise("metadata", json.dumps(wanted), json.dumps(there), reason)
    # Older services do not say what a folder mirrors.
    if cloud is not None and "remote_url" in item.model_fields_set and item.remote_url != cloud:
        yield Otherwise("cloud", cloud, item.remote_url or "none", reason)


def _depth(found: str, parents: Mapping[str, str | None]) -> int:
    """In how many folders that are listed it lies."""
    depth, parent = 0, parents.get(found)
    while parent is not None and depth < len(parents):
        depth, parent = depth + 1, parents.get(parent)
    return depth


FOLDER: Final = _Folders()
FolderEntry.makes = FOLDER
