"""Rows of the JSON that Encord's own upload takes. Pure. Source: vendor's page on registering cloud data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from encord_async.errors import UsageError
from encord_async.kinds.fields import shown, sort_of
from encord_async.protocol.catalogue import FileType
from encord_async.protocol.cloud_files import CloudDicomSeries, CloudFile, CloudImageGroup, CloudItem

__all__ = ["UPLOAD_FLAGS", "UPLOAD_LISTS", "uploaded"]

_FILE_LISTS: Final[Mapping[str, tuple[FileType, str]]] = MappingProxyType(
    {
        "videos": (FileType.VIDEO, "videoMetadata"),
        "images": (FileType.IMAGE, "imageMetadata"),
        "audio": (FileType.AUDIO, "audioMetadata"),
        "text": (FileType.TEXT, "textMetadata"),
        "pdfs": (FileType.PDF, "pdfMetadata"),
        "nifti": (FileType.NIFTI, ""),
    }
)
_GROUPS: Final = ("image_groups", "dicom_series")
UPLOAD_FLAGS: Final = ("skip_duplicate_urls", "skipDuplicateUrls", "upsert_metadata", "upsertMetadata")
UPLOAD_LISTS: Final = (*_FILE_LISTS, *_GROUPS)
"""The lists of files in it."""
_FRAME: Final = "objectUrl_"


def uploaded(raw: object, sort: str) -> CloudItem:
    """The files that *raw* is, of the list *sort*.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"must be an object, not {sort_of(raw)}")
    try:
        if sort in _GROUPS:
            return _group(raw, sort)
        kind, details = _FILE_LISTS[sort]
        known = {"objectUrl", "title", "clientMetadata", details}
        unknown = [name for name in raw if name not in known]
        if unknown:
            raise ValueError(f"{shown(unknown[0])} is not known of {sort}")
        return CloudFile(
            type=kind,
            url=raw.get("objectUrl", ""),
            title=raw.get("title"),
            metadata=raw.get("clientMetadata") or {},
            details=raw.get(details) if details else None,
        )
    except UsageError as error:
        raise ValueError(error.message) from None


def _group(raw: dict[str, Any], sort: str) -> CloudItem:
    numbers = sorted(
        int(name[len(_FRAME) :]) for name in raw if name.startswith(_FRAME) and name[len(_FRAME) :].isdigit()
    )
    urls = tuple(raw[f"{_FRAME}{number}"] for number in numbers)
    title, metadata = raw.get("title", ""), raw.get("clientMetadata") or {}
    if sort == "dicom_series":
        return CloudDicomSeries(urls=urls, title=title, metadata=metadata)
    return CloudImageGroup(urls=urls, title=title, metadata=metadata, as_video=bool(raw.get("createVideo")))
