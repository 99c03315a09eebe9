"""Files in a cloud that an entry wishes for: what a row says of one, and blocks of them, of an upload job each.

Pure, but that blocks of a file beside a manifest are read when they are needed (`Files.read`). Sends nothing.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from encord_async.errors import UsageError
from encord_async.kinds.fields import OneOf, Part, Title, shown, wrong
from encord_async.kinds.metadata import Metadata
from encord_async.kinds.picked import Lying
from encord_async.protocol.catalogue import FileType
from encord_async.protocol.cloud_files import CloudFile, CloudItem, urls_of

__all__ = [
    "BLOCK_ITEMS",
    "FILE_TYPES",
    "Block",
    "DataItem",
    "Files",
    "ListedFiles",
    "Portion",
    "URLs",
    "Unit",
    "block_of",
    "expected",
    "files_word",
    "identity_url",
    "type_of",
    "url_digest",
]

BLOCK_ITEMS: Final = 1000
"""Most items that one upload job registers."""
_DIGEST_BYTES: Final = 16

FILE_TYPES: Final[Mapping[str, FileType]] = MappingProxyType({kind.name.lower(): kind for kind in FileType})
"""The words for types of files."""

_SUFFIXES: Final[Mapping[str, FileType]] = {
    **dict.fromkeys(("mp4", "mov", "avi", "mkv", "webm", "m4v", "mpg", "mpeg"), FileType.VIDEO),
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "avif", "heic"), FileType.IMAGE),
    **dict.fromkeys(("mp3", "wav", "flac", "ogg", "m4a", "aac", "eac3"), FileType.AUDIO),
    **dict.fromkeys(("nii", "nii.gz"), FileType.NIFTI),
    **dict.fromkeys(("txt", "html", "htm", "md", "json", "xml", "csv"), FileType.TEXT),
    "pdf": FileType.PDF,
}


def type_of(url: str) -> FileType | None:
    """The type that the suffix of the path says, or of all of *url*: names in buckets may hold ``?`` and ``#``."""
    for text in (url.partition("?")[0].partition("#")[0], url):
        parts = text.rpartition("/")[2].lower().split(".")
        found = _SUFFIXES.get(".".join(parts[-2:])) or _SUFFIXES.get(parts[-1])
        if len(parts) > 1 and found is not None:
            return found
    return None


def _url(value: str) -> str:
    if not value.isprintable() or "://" not in value:
        raise wrong(f"{shown(value)} is no URL", "write it as s3://bucket/cat.png or https://...")
    return value


URL: TypeAlias = Annotated[Title, AfterValidator(_url)]
TypeWord: TypeAlias = Annotated[FileType, OneOf("type of a file", FILE_TYPES)]


class DataItem(Part):
    """A file in a cloud, which becomes an item of a folder; its type goes without saying if its suffix tells it."""

    noun = "a file"
    other_names: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"name": "title", "objecturl": "url", "clientmetadata": "metadata"}
    )
    spelt = MappingProxyType({"type": FILE_TYPES})
    form = "s3://bucket/a.png;s3://bucket/b.png"

    url: URL
    type: TypeWord | None = None
    title: Title | None = None
    metadata: Metadata = Field(default={})

    @classmethod
    def in_cell(cls, text: str) -> object:
        return {"url": text}

    @model_validator(mode="after")
    def _can_be_registered(self) -> "DataItem":
        try:
            self.cloud_file()
        except UsageError as error:
            raise wrong(error.message) from None
        return self

    def cloud_file(self) -> CloudFile:
        """It as an upload job has it.

        Raises:
            UsageError: Its type is not known, or the service takes no such.
        """
        kind = self.type or type_of(self.url)
        if kind is None:
            raise UsageError(
                f"the type of {shown(self.url)} cannot be told by its suffix; say it: {', '.join(FILE_TYPES)}"
            )
        return CloudFile(type=kind, url=self.url, title=self.title, metadata=self.metadata)


class Unit(NamedTuple):
    """A file that could not be registered, and why."""

    url: str
    error: str


# ---------------------------------------------------------------------- blocks


class Block(NamedTuple):
    """Some files that follow each other: those of one upload job.

    *digest* is a name for what they are. *offset* and *sort* say where a file beside the manifest has them.
    """

    first: int
    size: int
    digest: bytes
    offset: int = 0
    sort: str = ""

    @property
    def label(self) -> str:
        """The rows, counted from 1."""
        return f"{self.first}-{self.first + self.size - 1}"


class Files(Protocol):
    """Files in blocks; what they are is read when it is needed."""

    @property
    def blocks(self) -> Sequence[Block]:
        """All of them, in their order."""
        ...

    def read(self, block: Block) -> tuple[CloudItem, ...]:
        """The files of a block; may read from a disk.

        Raises:
            SettingsError: They are not there any more, or others.
        """
        ...


@dataclass(frozen=True, slots=True)
class ListedFiles:
    """Files that an entry names itself."""

    items: tuple[CloudItem, ...]

    @property
    def blocks(self) -> Sequence[Block]:
        """See `Files`."""
        starts = range(0, len(self.items), BLOCK_ITEMS)
        return tuple(block_of(start + 1, self.items[start : start + BLOCK_ITEMS]) for start in starts)

    def read(self, block: Block) -> tuple[CloudItem, ...]:
        """See `Files`."""
        return self.items[block.first - 1 : block.first - 1 + block.size]


def block_of(first: int, items: Sequence[CloudItem], *, offset: int = 0, sort: str = "") -> Block:
    """The block that *items* are, of which the first is the row *first*."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for item in items:
        digest.update(repr(item).encode("utf-8", "surrogatepass"))
    return Block(first, len(items), digest.digest(), offset, sort)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What a step is about: some blocks of an entry's files, and how they are to be registered."""

    files: Files
    blocks: Sequence[Block]
    integration: str | None = None
    skips_errors: bool = False

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(block.size for block in self.blocks)

    @property
    def digest(self) -> str:
        """A name for what the files are."""
        return hashlib.blake2b(b"".join(block.digest for block in self.blocks), digest_size=_DIGEST_BYTES).hexdigest()

    def items(self) -> Iterator[CloudItem]:
        """The files; may read from a disk."""
        for block in self.blocks:
            yield from self.files.read(block)

    def named(self) -> Iterator[str]:
        """The URLs that they are known by; may read from a disk."""
        return (identity_url(item) for item in self.items())

    def urls(self) -> "URLs":
        """The URLs of all of them; may read from a disk."""
        return URLs(map(url_digest, self.named()))

    def lacking(self, there: "URLs") -> tuple[CloudItem, ...]:
        """Those of the files that are not *there*; may read from a disk."""
        return tuple(item for item in self.items() if url_digest(identity_url(item)) not in there)


def expected(item: CloudItem) -> Lying:
    """What will lie in a folder once *item* is registered: without a title it gets the name of its file."""
    url = identity_url(item)
    return Lying("", url, item.title or url.rpartition("/")[2])


def identity_url(item: CloudItem) -> str:
    """The URL by which an item is known: that of its first file."""
    return urls_of(item)[0]


def files_word(sources: Iterable[str], digest: str) -> str:
    """What files of *sources* go by as the item of a relation: by what they are, whichever entry names them."""
    return " ".join((*sources, digest))


def url_digest(url: str) -> int:
    """A short name for a URL: among a million, two have the same with a chance of one in thirty million."""
    return int.from_bytes(hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).digest())


class URLs:
    """A set of URLs by their digests, in eight bytes each; notes which of them were met."""

    def __init__(self, digests: Iterable[int] = ()) -> None:
        self._digests = array("Q", sorted(set(digests)))
        self._met = bytearray(len(self._digests))

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, digest: int) -> bool:
        return self._index(digest) is not None

    def has(self, url: str) -> bool:
        """Whether *url* is in it."""
        return url_digest(url) in self

    def meet(self, url: str) -> bool:
        """Whether *url* is in it, and was not met before."""
        index = self._index(url_digest(url))
        if index is None or self._met[index]:
            return False
        self._met[index] = 1
        return True

    def has_met(self, url: str) -> bool:
        """Whether *url* is in it and was met."""
        index = self._index(url_digest(url))
        return index is not None and bool(self._met[index])

    @property
    def unmet(self) -> int:
        """How many were not met."""
        return self._met.count(0)

    def _index(self, digest: int) -> int | None:
        index = bisect_left(self._digests, digest)
        return index if index < len(self._digests) and self._digests[index] == digest else None
