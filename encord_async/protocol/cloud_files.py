"""Files in a bucket as an upload job registers them: checked when they are made, spelt as the official SDK does.

Nothing here asks whether a file is there: the service does, when the job runs. Source: SDK 0.1.211 ``orm/storage.py``;
limits: vendor's page on registering cloud data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from encord_async.errors import UsageError
from encord_async.protocol.catalogue import MAX_NAME_CHARACTERS, MAX_URL_BYTES, FileType
from encord_async.protocol.checks import assign, one_of, some, text
from encord_async.protocol.jsontext import JSON
from encord_async.redaction import quoted

__all__ = ["CloudDicomSeries", "CloudFile", "CloudImageGroup", "CloudItem", "data_items", "urls_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFile:
    """One file that is an item by itself; without *title* it is called by its URL.

    *details* are what the service would else find out by opening the file (``videoMetadata`` and the like), spelt as
    on the wire: ``{"fps": 25.0, "fileSize": 1}``.
    """

    type: FileType
    url: str
    title: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    details: Mapping[str, JSON] | None = None

    def __post_init__(self) -> None:
        assign(self, "type", one_of(FileType, self.type, "type of a file"))
        _check_url(self.url)
        if self.title is not None:
            _check_title(self.title)
        if self.details is not None and self.type not in _DETAILS:
            raise UsageError(f"a {self.type} has no details; leave them out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeveralFiles:
    urls: tuple[str, ...]
    title: str
    metadata: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assign(self, "urls", _checked_urls(self.urls))
        _check_title(self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudImageGroup(_SeveralFiles):
    """Images that are one item; *as_video* makes a sequence of them, with a video that the service writes."""

    as_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudDicomSeries(_SeveralFiles):
    """DICOM files that are one item."""


CloudItem: TypeAlias = CloudFile | CloudImageGroup | CloudDicomSeries
"""What becomes one item of a folder."""

_LISTS: Final = (
    "videos",
    "imageGroups",
    "dicomSeries",
    "images",
    "imageGroupsFromItems",
    "audio",
    "timeSeries",
    "nifti",
    "text",
    "pdf",
    "scenes",
)
"""The lists of a job in the SDK's order; all are sent, empty ones too."""

_LIST_OF: Final[Mapping[FileType, str]] = {
    FileType.VIDEO: "videos",
    FileType.IMAGE: "images",
    FileType.AUDIO: "audio",
    FileType.TIME_SERIES: "timeSeries",
    FileType.NIFTI: "nifti",
    FileType.TEXT: "text",
    FileType.PDF: "pdf",
}

_DETAILS: Final[Mapping[FileType, str]] = {
    FileType.VIDEO: "videoMetadata",
    FileType.IMAGE: "imageMetadata",
    FileType.AUDIO: "audioMetadata",
    FileType.TIME_SERIES: "settings",
    FileType.TEXT: "textMetadata",
    FileType.PDF: "pdfMetadata",
}

_DETAILS_BEFORE_TYPE: Final = (FileType.AUDIO, FileType.TIME_SERIES, FileType.PDF)
"""Of these the SDK sends the details before ``externalFileType``, of the others after it."""


def data_items(items: Sequence[CloudItem], *, upsert_metadata: bool) -> dict[str, JSON]:
    """The ``dataItems`` of an upload job: what is in the folder by its URL already is passed over.

    With *upsert_metadata* its metadata are replaced by those given here.
    """
    lists: dict[str, list[JSON]] = {name: [] for name in _LISTS}
    for item in items:
        name, spelt = _spelt(item)
        lists[name].append(spelt)
    return {**lists, "skipDuplicateUrls": True, "upsertMetadata": upsert_metadata}


def urls_of(item: CloudItem) -> tuple[str, ...]:
    """The URLs of the files that *item* is made of."""
    return (item.url,) if isinstance(item, CloudFile) else item.urls


def _spelt(item: CloudItem) -> tuple[str, JSON]:
    """The list that *item* belongs to, and how it stands there."""
    match item:
        case CloudFile():
            return _LIST_OF[item.type], _spelt_file(item)
        case CloudImageGroup():
            images: list[JSON] = [{"url": url} for url in item.urls]
            return "imageGroups", {
                "images": images,
                "title": item.title,
                "clientMetadata": item.metadata,
                "createVideo": item.as_video,
                "externalFileType": "IMG_GROUP",
            }
        case CloudDicomSeries():
            files: list[JSON] = [{"url": url} for url in item.urls]
            return "dicomSeries", {
                "dicomFiles": files,
                "title": item.title,
                "clientMetadata": item.metadata,
                "externalFileType": "DICOM",
            }


def _spelt_file(item: CloudFile) -> JSON:
    spelt: dict[str, JSON] = {"objectUrl": item.url}
    if item.title is not None:
        spelt["title"] = item.title
    spelt["clientMetadata"] = item.metadata
    details: dict[str, JSON] = {} if item.details is None else {_DETAILS[item.type]: item.details}
    kind: dict[str, JSON] = {"externalFileType": item.type.value}
    return spelt | (details | kind if item.type in _DETAILS_BEFORE_TYPE else kind | details)


def _checked_urls(urls: Sequence[str]) -> tuple[str, ...]:
    found = some(urls, "urls")
    for url in found:
        _check_url(url)
    return found


def _check_url(url: str) -> None:
    text(url, "url")
    if len(url.encode(errors="surrogatepass")) > MAX_URL_BYTES:
        raise UsageError(
            f"the URL {quoted(url[:80])}... is longer than {MAX_URL_BYTES} bytes; the service takes no such"
        )


def _check_title(title: str) -> None:
    text(title, "title")
    if len(title) > MAX_NAME_CHARACTERS:
        raise UsageError(
            f"the title {quoted(title[:80])}... is longer than {MAX_NAME_CHARACTERS} characters; give a shorter one"
        )
