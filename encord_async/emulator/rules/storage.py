"""The rules of storage: folders, who may use them, cloud integrations, and what lies in folders.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock. What the SDK
does not send in a body or a query is refused. A folder that is not there answers as one that is out of reach.
Inferred: a right in a folder holds in those below it; names of folders need not be unique; metadata in a change replace
those before; a folder is removed with what is in it; *search* is a part of a name, in any case.
"""

import json
from collections.abc import Mapping
from typing import Final

from encord_async.emulator.arguments import Refused, read_object
from encord_async.emulator.calls import Answer, Call, Rules, moment
from encord_async.emulator.rules.access import is_org_admin, needs_org_admin, org_member, user_of
from encord_async.emulator.store import DATASET, Finding, FolderRow, GroupRow, ItemRow
from encord_async.protocol.catalogue import MAX_PAGE_SIZE, FolderUserRole, ItemType

__all__ = ["RULES", "folder_of"]

_LISTED_BY: Final = ("search", "isRecursive", "order", "desc", "pageToken", "pageSize")
_FOLDERS_BY: Final = (*_LISTED_BY, "datasetSynced", "includeOrgAccess", "organisationTagNamesAllof")
_ITEMS_BY: Final = (
    *_LISTED_BY,
    "isInDataset",
    "itemTypes",
    "signUrls",
    "includeClientMetadata",
    "clientMetadataAsSignedUrl",
)
_SDK_PAGE: Final = 100
_NO_FOLDER: Final = "the folder does not exist, or you have no access to it"


def folder_of(call: Call, *, admin: bool = False) -> FolderRow:
    """Return the folder that the call is on, if the caller may use it, or with *admin* change it.

    Raises:
        Refused: AUTHORISATION_ERROR, whether it is out of reach or not there at all.
    """
    return _reached(call, call.path["folder"], admin=admin)


def _reached(call: Call, hash_: str, *, admin: bool) -> FolderRow:
    folder = call.store.storage.folder(hash_)
    if folder is None:
        raise Refused("AUTHORISATION_ERROR", _NO_FOLDER)
    role = _role(call, folder)
    if role is None:
        raise Refused("AUTHORISATION_ERROR", _NO_FOLDER)
    if admin and role != FolderUserRole.ADMIN:
        raise Refused("AUTHORISATION_ERROR", "not an admin of the folder")
    return folder


def _role(call: Call, folder: FolderRow) -> str | None:
    """The caller's role; an Admin of the organisation is one of its folders, too (inferred)."""
    held = call.store.storage.folder_role(folder.id, user_of(call).id)
    return str(FolderUserRole.ADMIN) if held is None and is_org_admin(call) else held


# --- folders


def _create(call: Call) -> Answer:
    user = user_of(call)
    known = ("name", "description", "parent", "clientMetadata", "cloudSyncedFolderParams")
    read_object("the body", call.payload, known)
    given = call.members()
    name, parent = given.name("name"), given.optional_text("parent")
    folder = call.store.storage.add_folder(
        name=name,
        description=given.optional_text("description") or "",
        parent_id=None if parent is None else _reached(call, parent, admin=True).id,
        metadata=_metadata_text(given.optional_text("clientMetadata")),
        owner_id=user.id,
        cloud=_cloud(call, given.mapping("cloudSyncedFolderParams")),
        now_us=call.now_us,
    )
    return Answer(_shown(call, str(FolderUserRole.ADMIN), folder), folder.hash, name)


def _metadata_text(text: str | None) -> str | None:
    """Metadata as a create has them: a text that holds a JSON object."""
    if text is None:
        return None
    try:
        value: object = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused("INVALID_ARGUMENTS_ERROR", "clientMetadata has to be a string that holds a JSON object")
    return json.dumps(value)


def _cloud(call: Call, given: Mapping[str, object]) -> tuple[str, str] | None:
    if not given:
        return None
    names = ("integrationUuid", "remoteUrl")
    read_object("cloudSyncedFolderParams", given, names, names)
    integration, url = given["integrationUuid"], given["remoteUrl"]
    if not isinstance(integration, str) or not isinstance(url, str) or not url.strip():
        raise Refused("INVALID_ARGUMENTS_ERROR", "integrationUuid and remoteUrl have to be strings")
    if call.store.storage.integration(integration) is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such integration")
    return integration, url


def _get(call: Call) -> Answer:
    folder = folder_of(call)
    if folder.created_us > call.as_of_us:
        raise Refused("AUTHORISATION_ERROR", _NO_FOLDER)
    return Answer(_shown(call, _role(call, folder), folder))


def _change(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    read_object("the body", call.payload, ("name", "description", "clientMetadata"))
    given = call.members()
    if given.has("name"):
        folder = folder._replace(name=given.name("name"))
    if given.has("description"):
        folder = folder._replace(description=given.text("description"))
    if given.has("clientMetadata"):
        # An object here, and not a text. Whether it is merged or replaces is not known.
        folder = folder._replace(metadata=json.dumps(given.mapping("clientMetadata")))
    folder = folder._replace(edited_us=call.now_us)
    call.store.storage.save_folder(folder)
    return Answer(_shown(call, str(FolderUserRole.ADMIN), folder), folder.hash, folder.name)


def _remove(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    if folder.dataset_id is not None:
        raise Refused("BAD_REQUEST", "a dataset mirrors the folder")
    call.store.storage.remove_folder(folder.id)
    return Answer(None, folder.hash, folder.name)


def _top(call: Call) -> Answer:
    if call.flag("isRecursive"):
        raise Refused("INVALID_ARGUMENTS_ERROR", "isRecursive has to be False here")
    return _folders(call, None, top=True)


def _anywhere(call: Call) -> Answer:
    return _folders(call, None)


def _inside(call: Call) -> Answer:
    return _folders(call, folder_of(call).id)


def _folders(call: Call, under: int | None, *, top: bool = False) -> Answer:
    call.knows_only(*_FOLDERS_BY)
    everything = call.flag("includeOrgAccess")
    if everything:
        needs_org_admin(call)
    synced = call.flag("datasetSynced") if call.one("datasetSynced") is not None else None
    storage, user_id, below = call.store.storage, user_of(call).id, call.flag("isRecursive")
    # No call puts a tag on a folder, so that none has all of any.
    nothing = bool(call.query.get("organisationTagNamesAllof"))

    def rows(limit: int, offset: int) -> list[tuple[str, FolderRow]]:
        found = _finding(call, limit, offset, synced=synced)
        return (
            [] if nothing else storage.folders(user_id, found, under=under, top=top, below=below, everything=everything)
        )

    return Answer(call.page_of(rows, lambda row: _shown(call, *row), _size(call)))


def _size(call: Call) -> int:
    return call.whole("pageSize", 1, MAX_PAGE_SIZE, _SDK_PAGE)


def _finding(call: Call, limit: int, offset: int, *, synced: bool | None = None) -> Finding:
    order = call.one("order") or "name"
    if order not in ("name", "createdAt"):
        raise Refused("INVALID_ARGUMENTS_ERROR", "order has to be name or createdAt")
    return Finding(
        search=call.one("search"),
        desc=call.flag("desc"),
        by_name=order == "name",
        synced=synced,
        as_of_us=call.as_of_us,
        limit=limit,
        offset=offset,
    )


def _shown(call: Call, role: str | None, folder: FolderRow) -> dict[str, object]:
    store = call.store
    path = store.storage.path_to_root(folder.id)
    above = path[1] if len(path) > 1 else None
    hashes = {one.id: one.hash for one in path}
    return {
        "uuid": folder.hash,
        "parent": None if above is None else above.hash,
        "name": folder.name,
        "description": folder.description,
        "clientMetadata": folder.metadata,
        "owner": store.email(folder.owner_id),
        "createdAt": moment(folder.created_us),
        "lastEditedAt": moment(folder.edited_us),
        "userRole": role,
        "syncedDatasetHash": _mirror(call, folder),
        "pathToRoot": [
            {
                "uuid": one.hash,
                "parentUuid": None if one.parent_id is None else hashes.get(one.parent_id),
                "name": one.name,
                "syncedDatasetHash": _mirror(call, one),
            }
            for one in path
        ],
        "folderType": "generic" if folder.remote_url is None else "cloudLinked",
        "integrationHash": folder.integration,
        "remoteUrl": folder.remote_url,
    }


def _mirror(call: Call, folder: FolderRow) -> str | None:
    return None if folder.dataset_id is None else call.store.hash_of(DATASET, folder.dataset_id)


# --- their groups


def _groups(call: Call) -> Answer:
    rows = call.store.storage.folder_groups(folder_of(call).id)
    return Answer(call.page(rows, _group_shown))


def _group_shown(item: tuple[str, GroupRow]) -> dict[str, object]:
    role, group = item
    return {
        "groupHash": group.hash,
        "name": group.name,
        "description": group.description,
        "createdAt": moment(group.created_us),
        "isSameOrganisation": True,
        "userRole": role,
    }


def _admit(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    read_object("the body", call.payload, ("groupHashList", "userRole"))
    given = call.members()
    hashes, role = given.texts("groupHashList"), given.text("userRole")
    if role not in tuple(FolderUserRole):
        raise Refused("INVALID_ARGUMENTS_ERROR", f"userRole has to be one of {', '.join(FolderUserRole)}")
    groups = [call.store.organisation.group(hash_) for hash_ in hashes]
    known = [group.id for group in groups if group is not None]
    if not hashes or len(known) != len(hashes):
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such group")
    call.store.storage.admit_groups(folder.id, known, role)
    return Answer(None, folder.hash, folder.name)


def _expel(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    call.knows_only("groupHashList")
    hashes = call.query.get("groupHashList", ())
    if not hashes:
        raise Refused("INVALID_ARGUMENTS_ERROR", "groupHashList is missing")
    call.store.storage.expel_groups(folder.id, hashes)
    return Answer(None, folder.hash, folder.name)


# --- integrations


def _integrations(call: Call) -> Answer:
    org_member(call)
    call.knows_only("filterIntegrationUuids", "filterIntegrationTitles", "includeOrgAccess")
    hashes, titles = call.query.get("filterIntegrationUuids"), call.query.get("filterIntegrationTitles")
    if call.flag("includeOrgAccess"):
        needs_org_admin(call)
    return Answer(
        {
            "result": [
                {"integrationUuid": one.hash, "title": one.title}
                for one in call.store.storage.integrations()
                if (not hashes or one.hash in hashes) and (not titles or one.title in titles)
            ]
        }
    )


# --- items


def _items(call: Call) -> Answer:
    folder = folder_of(call)
    call.knows_only(*_ITEMS_BY)
    if call.flag("isRecursive"):
        raise Refused("INVALID_ARGUMENTS_ERROR", "isRecursive is not emulated for items")
    types = call.query.get("itemTypes", ())
    for one in types:
        if one not in tuple(ItemType):
            raise Refused("INVALID_ARGUMENTS_ERROR", f"itemTypes: {one!r} is not one of {', '.join(ItemType)}")
    wanted = call.one("isInDataset")
    in_dataset = call.flag("isInDataset") if wanted is not None else None
    with_metadata = call.one("includeClientMetadata") is None or call.flag("includeClientMetadata")
    for name in ("signUrls", "clientMetadataAsSignedUrl"):
        call.flag(name)
    size, base = _size(call), _finding(call, 0, 0)

    def rows(limit: int, offset: int) -> list[ItemRow]:
        found = Finding(
            search=base.search,
            desc=base.desc,
            by_name=base.by_name,
            in_dataset=in_dataset,
            types=types,
            as_of_us=call.as_of_us,
            limit=limit,
            offset=offset,
        )
        return call.store.storage.items(folder.id, found)

    owner = call.store.email(folder.owner_id)
    return Answer(
        call.page_of(rows, lambda row: _item_shown(call, folder, owner, row, with_metadata=with_metadata), size)
    )


def _items_by_hash(call: Call) -> Answer:
    """Items by themselves: other than a listing, this never lags (inferred)."""
    storage = call.store.storage
    items = [storage.item(hash_, call.now_us) for hash_ in call.members("itemUuids", "signUrls").texts("itemUuids")]
    found = [item for item in items if item is not None]
    folders = {id_: storage.path_to_root(id_)[0] for id_ in {item.folder_id for item in found}}
    if len(found) != len(items) or any(_role(call, folder) is None for folder in folders.values()):
        raise Refused("AUTHORISATION_ERROR", "an item does not exist, or you have no access to it")
    shown = [
        _item_shown(call, folder, call.store.email(folder.owner_id), item, with_metadata=True)
        for item in found
        for folder in (folders[item.folder_id],)
    ]
    return Answer({"results": shown, "nextPageToken": None})


_PLACES: Final = (("s3://", "s3"), ("gs://", "gcp"))
_UNKNOWN: Final = (
    "signedUrl", "fileSize", "mimeType", "duration", "fps", "height", "width", "dicomInstanceUid", "dicomStudyUid",
    "dicomSeriesUid", "frameCount", "audioSampleRate", "audioBitDepth", "audioCodec", "audioNumChannels",
)  # fmt: skip
"""What an item says of a file that nobody has opened."""


def _item_shown(call: Call, folder: FolderRow, owner: str, item: ItemRow, *, with_metadata: bool) -> dict[str, object]:
    place = next((name for start, name in _PLACES if (item.url or "").startswith(start)), "directAccess")
    return {
        "uuid": item.hash,
        "parent": folder.hash,
        "itemType": item.type,
        "name": item.name,
        "description": "",
        "clientMetadata": item.metadata if with_metadata else "",
        "owner": owner,
        "createdAt": moment(item.created_us),
        "lastEditedAt": moment(item.edited_us),
        "isTombstone": False,
        "isPlaceholder": False,
        "backedDataUnitsCount": call.store.storage.links_of(item.id),
        "storageLocation": place,
        "integrationHash": item.integration,
        "url": item.url,
        **dict.fromkeys(_UNKNOWN),
    }


_FOLDER: Final = "v2/storage/folders/{folder}"

RULES: Final[Rules] = {
    "v2/storage/folders.POST": _create,
    "v2/storage/folders.GET": _top,
    "v2/storage/search/folders.GET": _anywhere,
    f"{_FOLDER}.GET": _get,
    f"{_FOLDER}.PATCH": _change,
    f"{_FOLDER}.DELETE": _remove,
    f"{_FOLDER}/folders.GET": _inside,
    f"{_FOLDER}/groups.GET": _groups,
    f"{_FOLDER}/groups.POST": _admit,
    f"{_FOLDER}/groups.DELETE": _expel,
    f"{_FOLDER}/items.GET": _items,
    "v2/storage/items/get-bulk.POST": _items_by_hash,
    "v2/cloud-integrations.GET": _integrations,
}
