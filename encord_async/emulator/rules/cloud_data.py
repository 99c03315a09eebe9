"""The body of an upload job, read into units: what one item is made of. Both forms that the SDK sends.

Pure. As strict as the protocol: members that it does not know are refused. Source: SDK 0.1.211 ``orm/storage.py``; the
second form, the vendor's own upload file: docs. Items made of other items, and scenes, are not emulated.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote

from encord_async.emulator.arguments import Refused, read_object
from encord_async.protocol.catalogue import (
    MAX_ITEMS_OF_JOB,
    MAX_NAME_CHARACTERS,
    MAX_URL_BYTES,
    FileType,
    ItemType,
)

__all__ = ["Unit", "Upload", "kind_of", "name_of", "read_upload"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What becomes one item."""

    type: str
    urls: Sequence[str]
    name: str
    metadata: str


@dataclass(frozen=True, slots=True)
class Upload:
    """What a job is to register, and how."""

    units: Sequence[Unit]
    skips: bool
    upserts: bool
    ignore_errors: bool
    integration: str | None
    file_name: str | None


class _Single(NamedTuple):
    """A list of files that are items by themselves: what they are registered as, become, and may say of themselves."""

    file: FileType
    item: ItemType
    details: str = ""
    members: Mapping[str, type | tuple[type, ...]] = {}


_NUMBER: Final = (int, float)
_IMAGE: Final = {"mimeType": str, "fileSize": int, "height": int, "width": int}
_SINGLES: Final[Mapping[str, _Single]] = {
    "videos": _Single(
        FileType.VIDEO,
        ItemType.VIDEO,
        "videoMetadata",
        {"fps": _NUMBER, "duration": _NUMBER, "width": int, "height": int, "fileSize": int, "mimeType": str},
    ),
    "images": _Single(FileType.IMAGE, ItemType.IMAGE, "imageMetadata", _IMAGE),
    "audio": _Single(
        FileType.AUDIO,
        ItemType.AUDIO,
        "audioMetadata",
        {
            "duration": _NUMBER,
            "fileSize": int,
            "mimeType": str,
            "sampleRate": int,
            "bitDepth": int,
            "codec": str,
            "numChannels": int,
        },
    ),
    "timeSeries": _Single(FileType.TIME_SERIES, ItemType.TIME_SERIES, "settings"),
    "nifti": _Single(FileType.NIFTI, ItemType.NIFTI),
    "text": _Single(FileType.TEXT, ItemType.TEXT, "textMetadata", {"fileSize": int, "mimeType": str}),
    "pdf": _Single(FileType.PDF, ItemType.PDF, "pdfMetadata", {"fileSize": int, "numPages": int}),
}
_NOT_EMULATED: Final = ("imageGroupsFromItems", "scenes")
_FLAGS: Final = ("skipDuplicateUrls", "upsertMetadata")
_LISTS: Final = ("videos", "imageGroups", "dicomSeries", "images", "imageGroupsFromItems", "audio", "timeSeries",
                 "nifti", "text", "pdf", "scenes")  # fmt: skip
_OF_FILE: Final[Mapping[str, str]] = {
    "videos": "videos",
    "images": "images",
    "audio": "audio",
    "text": "text",
    "pdfs": "pdf",
    "nifti": "nifti",
    "image_groups": "imageGroups",
    "dicom_series": "dicomSeries",
}
"""The lists of the vendor's upload file, by the names that they have here."""
_FRAME: Final = re.compile(r"objectUrl_[0-9]+")

_KINDS: Final[Mapping[str, ItemType]] = {
    **dict.fromkeys(("mp4", "mov", "avi", "mkv", "webm"), ItemType.VIDEO),
    **dict.fromkeys(("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"), ItemType.IMAGE),
    **dict.fromkeys(("mp3", "wav", "flac", "m4a", "ogg"), ItemType.AUDIO),
    **dict.fromkeys(("txt", "json", "html", "xml", "md"), ItemType.TEXT),
    "pdf": ItemType.PDF,
    "nii": ItemType.NIFTI,
    "dcm": ItemType.DICOM_FILE,
}


def kind_of(url: str) -> ItemType | None:
    """What a sync makes of an object, by its ending; None passes it over. Which endings count is inferred."""
    return _KINDS.get(url.rpartition(".")[2].lower())


def name_of(url: str) -> str:
    """The name of an item without a title. That it is the last part of the path is inferred."""
    return unquote(url.partition("?")[0].rstrip("/").rpartition("/")[2])[:MAX_NAME_CHARACTERS] or url


def read_upload(body: object) -> Upload:
    """Return what the body of a job says.

    Raises:
        Refused: INVALID_ARGUMENTS_ERROR.
    """
    given = read_object(
        "the body",
        body,
        ("dataItems", "externalFiles", "integrationHash", "ignoreErrors", "fileName"),
        ("ignoreErrors",),
    )
    if ("dataItems" in given) == ("externalFiles" in given):
        raise _bad("the body has to have either dataItems or externalFiles")
    units, flags = _of_items(given["dataItems"]) if "dataItems" in given else _of_file(given["externalFiles"])
    if not units or len(units) > MAX_ITEMS_OF_JOB:
        raise _bad(f"there have to be 1 to {MAX_ITEMS_OF_JOB} items")
    integration = _text(given, "integrationHash")
    if integration is not None and any(len(unit.urls) > 1 and not unit.name for unit in units):
        raise _bad("title of a group is missing; with an integration it is needed")
    return Upload(
        units=units,
        skips=flags["skipDuplicateUrls"],
        upserts=flags["upsertMetadata"],
        ignore_errors=_flag(given, "ignoreErrors"),
        integration=integration,
        file_name=_text(given, "fileName"),
    )


def _of_items(value: object) -> tuple[list[Unit], dict[str, bool]]:
    given = read_object("dataItems", value, (*_LISTS, *_FLAGS), _FLAGS)
    units: list[Unit] = []
    for name in _LISTS:
        entries = _list(given, name)
        if entries and name in _NOT_EMULATED:
            raise _bad(f"{name} are not emulated")
        for number, entry in enumerate(entries):
            units.append(_item(name, f"{name}[{number}]", entry))
    return units, {name: _flag(given, name) for name in _FLAGS}


def _item(name: str, where: str, entry: object) -> Unit:
    if name == "imageGroups":
        return _group(where, entry, "images", "IMG_GROUP")
    if name == "dicomSeries":
        return _group(where, entry, "dicomFiles", "DICOM")
    single = _SINGLES[name]
    known = ("objectUrl", "title", "clientMetadata", "externalFileType", *filter(None, [single.details]))
    given = read_object(where, entry, known, ("objectUrl", "externalFileType"))
    if given["externalFileType"] != single.file:
        raise _bad(f"externalFileType of {where} has to be {single.file}")
    if single.members and given.get(single.details) is not None:
        _check_details(f"{single.details} of {where}", given[single.details], single.members)
    return _unit(where, single.item, [given["objectUrl"]], given)


def _group(where: str, entry: object, frames: str, file: str) -> Unit:
    known = (frames, "title", "clientMetadata", "externalFileType", *(["createVideo"] if frames == "images" else []))
    given = read_object(where, entry, known, (frames, "externalFileType"))
    if given["externalFileType"] != file:
        raise _bad(f"externalFileType of {where} has to be {file}")
    urls = []
    for number, frame in enumerate(_list(given, frames)):
        details = "imageMetadata" if frames == "images" else "dicomMetadata"
        urls.append(read_object(f"{frames}[{number}] of {where}", frame, ("url", "title", details), ("url",))["url"])
    return _unit(where, _grouped(frames, as_video=_flag(given, "createVideo")), urls, given)


def _grouped(frames: str, *, as_video: bool) -> ItemType:
    if frames == "dicomFiles":
        return ItemType.DICOM_SERIES
    return ItemType.IMAGE_SEQUENCE if as_video else ItemType.IMAGE_GROUP


def _of_file(value: object) -> tuple[list[Unit], dict[str, bool]]:
    if not isinstance(value, dict):
        raise _bad("externalFiles has to be an object")
    # Public code spells the flags both ways.
    spelt = {"skip_duplicate_urls": "skipDuplicateUrls", "upsert_metadata": "upsertMetadata"}
    given: dict[str, object] = {spelt.get(str(name), str(name)): entry for name, entry in value.items()}
    read_object("externalFiles", given, (*_OF_FILE, "scenes", *_FLAGS))
    if given.get("scenes"):
        raise _bad("scenes are not emulated")
    units: list[Unit] = []
    for name, inner in _OF_FILE.items():
        for number, entry in enumerate(_list(given, name)):
            where = f"{name}[{number}]"
            units.append(_single_of_file(where, inner, entry) if inner in _SINGLES else _frames(where, inner, entry))
    return units, {name: _flag(given, name) for name in _FLAGS}


def _single_of_file(where: str, name: str, entry: object) -> Unit:
    single = _SINGLES[name]
    given = read_object(where, entry, ("objectUrl", "title", "clientMetadata", single.details), ("objectUrl",))
    return _unit(where, single.item, [given["objectUrl"]], given)


def _frames(where: str, name: str, entry: object) -> Unit:
    """An item whose frames stand in members of their own: ``objectUrl_0``, ``objectUrl_1``..."""
    if not isinstance(entry, dict):
        raise _bad(f"{where} has to be an object")
    urls = {key: url for key, url in entry.items() if _FRAME.fullmatch(key)}
    rest = {key: one for key, one in entry.items() if key not in urls}
    read_object(where, rest, ("title", "clientMetadata", "createVideo"))
    ordered = [urls[key] for key in sorted(urls, key=lambda key: int(key.rpartition("_")[2]))]
    kind = _grouped("images" if name == "imageGroups" else "dicomFiles", as_video=_flag(rest, "createVideo"))
    return _unit(where, kind, ordered, rest)


def _unit(where: str, kind: ItemType, urls: Sequence[object], given: Mapping[str, object]) -> Unit:
    found = []
    for url in urls:
        if not isinstance(url, str) or not url.strip():
            raise _bad(f"an URL of {where} has to be a string that is not empty")
        if len(url.encode()) > MAX_URL_BYTES:
            raise _bad(f"an URL of {where} is longer than {MAX_URL_BYTES} bytes")
        found.append(url)
    if not found:
        raise _bad(f"{where} has no files")
    title = _text(given, "title")
    if title is not None and len(title) > MAX_NAME_CHARACTERS:
        raise _bad(f"title of {where} is longer than {MAX_NAME_CHARACTERS} characters")
    metadata = given.get("clientMetadata", {})
    if not isinstance(metadata, dict):
        raise _bad(f"clientMetadata of {where} has to be an object")
    name = title or (name_of(found[0]) if len(found) == 1 and kind not in _GROUPS else "")
    return Unit(str(kind), found, name, json.dumps(metadata))


_GROUPS: Final = (ItemType.IMAGE_GROUP, ItemType.IMAGE_SEQUENCE, ItemType.DICOM_SERIES)


def _check_details(where: str, value: object, members: Mapping[str, type | tuple[type, ...]]) -> None:
    given = read_object(where, value, tuple(members), tuple(members))
    for name, kind in members.items():
        if isinstance(given[name], bool) or not isinstance(given[name], kind):
            raise _bad(f"{name} of {where} is of another type")


def _list(given: Mapping[str, object], name: str) -> Sequence[object]:
    value = given.get(name, [])
    if not isinstance(value, list):
        raise _bad(f"{name} has to be a list")
    return value


def _flag(given: Mapping[str, object], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise _bad(f"{name} has to be a boolean")
    return value


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise _bad(f"{name} has to be a string")
    return value


def _bad(text: str) -> Refused:
    return Refused("INVALID_ARGUMENTS_ERROR", text)
