"""The kind ``dataset``: a dataset that shall exist. Sends nothing."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.fields import Flag, Text, Title, number_or_word
from encord_async.kinds.steps import Step, StepKind, part_of
from encord_async.protocol.catalogue import StorageLocation

__all__ = ["DatasetEntry"]


def _storage(value: object) -> object:
    return number_or_word(value, what="storage", words=_STORAGES)


_STORAGES: Final[Mapping[str, StorageLocation]] = {
    "cord": StorageLocation.CORD_STORAGE,
    "aws": StorageLocation.AWS_S3,
    "gcp": StorageLocation.GCP_STR,
    "azure": StorageLocation.AZURE_STR,
    "s3_compatible": StorageLocation.S3_COMPATIBLE_STR,
}
Storage: TypeAlias = Annotated[
    StorageLocation, BeforeValidator(_storage), WithJsonSchema({"enum": [*_STORAGES, *map(int, StorageLocation)]})
]


class DatasetEntry(MakingEntry):
    """A dataset that shall exist."""

    kind: Literal["dataset"] = "dataset"
    title: Title
    description: Text = ""
    storage: Storage = StorageLocation.CORD_STORAGE
    create_backing_folder: Flag = False

    @property
    def wished_title(self) -> str:
        return self.title

    def contents(self) -> Mapping[str, int]:
        return {"datasets": 1}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield Step(identity=part_of(identity, "dataset"), kind=StepKind.DATASET, item=self.title)
