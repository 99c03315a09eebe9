"""The kind ``data``: files in a cloud that shall be registered in a folder, and linked to datasets. Sends nothing."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import PrivateAttr

from encord_async.kinds.dataset_data import DATASET_DATA
from encord_async.kinds.entry import Count, Entry, Use, uses
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import OneOf, Part, Reference, Title
from encord_async.kinds.files import DataItem, Files, ListedFiles, Portion
from encord_async.kinds.folder_data import FOLDER_DATA
from encord_async.kinds.step import Step, digest, part

__all__ = ["DataEntry", "OnError"]


class OnError(StrEnum):
    """What a file that cannot be registered means for its entry."""

    SKIP = "skip"
    FAIL = "fail"


_WORDS: Final[Mapping[str, OnError]] = MappingProxyType({one.value: one for one in OnError})
OnErrorWord: TypeAlias = Annotated[OnError, OneOf("way to treat an error", _WORDS)]


class DataEntry(Entry):
    """Files in a cloud that shall be registered in a folder, and linked to datasets, of which they become data rows.

    The files are *items*, or those of *items_file*: JSON lines, CSV, or a JSON file as Encord's own upload takes it.
    """

    is_harmless_twice = True
    rows_beside = "items_file"
    other_names: ClassVar[Mapping[str, str]] = MappingProxyType({"file": "items_file", "dataset": "datasets"})
    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"items": DataItem})
    counted = (Count("data", "files to register", exported=("files", "file", "files")),)
    spelt = MappingProxyType({"on_error": _WORDS})
    forms = MappingProxyType({"datasets": "@raw;@more"})
    example = MappingProxyType(
        {"folder": "@images", "integration": "my bucket", "items": [{"url": "s3://bucket/cat-1.png"}]}
    )

    kind: Literal["data"] = "data"
    folder: Reference
    integration: Title | None = None
    items: tuple[DataItem, ...] = ()
    items_file: Title | None = None
    datasets: tuple[Reference, ...] = ()
    on_error: OnErrorWord = OnError.FAIL

    _files: Files | None = PrivateAttr(default=None)

    def with_rows(self, files: Files) -> Self:
        made = self.model_copy()
        made._files = files  # noqa: SLF001 - its own
        return made

    def files(self) -> Files:
        """The files."""
        if self._files is not None:
            return self._files
        return ListedFiles(tuple(item.cloud_file() for item in self.items))

    def rows_digest(self) -> str:
        return "" if self._files is None else Portion(files=self._files, blocks=tuple(self._files.blocks)).digest

    def about(self) -> str:
        return self.folder

    def references(self) -> Iterator[Use]:
        yield Use("folder", self.folder, "folder")
        yield from uses("datasets", self.datasets, "dataset")

    def faults(self) -> list[Fault]:
        found = twice("items.{}.url", [item.url for item in self.items]) + twice("datasets.{}", self.datasets)
        if self.items and self.items_file is not None:
            found.append(Fault("items_file", "is given beside 'items'", "keep one of them"))
        if not self.items and self.items_file is None:
            found.append(Fault("items", "is missing", "give files, or name a file of them: items_file"))
        return found

    def contents(self) -> Mapping[str, int]:
        return {"data": sum(block.size for block in self.files().blocks)}

    def steps(self, identity: bytes) -> Iterator[Step]:
        files, skips = self.files(), self.on_error is OnError.SKIP
        blocks = tuple(files.blocks)
        for block in blocks:
            portion = Portion(files=files, blocks=(block,), integration=self.integration, skips_errors=skips)
            yield Step(
                identity=digest(part(identity, FOLDER_DATA.gives), block.digest),
                kind=FOLDER_DATA.give,
                parent=self.folder,
                item=block.label,
                load=portion,
            )
        whole = Portion(files=files, blocks=blocks, skips_errors=skips)
        for dataset in dict.fromkeys(self.datasets) if blocks else ():
            yield Step(
                identity=digest(part(identity, DATASET_DATA.gives, dataset), whole.digest.encode()),
                kind=DATASET_DATA.give,
                parent=dataset,
                item=self.folder,
                load=whole,
                comes_last=True,
            )
