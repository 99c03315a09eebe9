"""The kind ``ontology``: an ontology that shall exist. Sends nothing, reads no file."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.errors import UnencodableError
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.fields import Text, Title, sort_of, wrong
from encord_async.kinds.steps import Step, StepKind, part_of
from encord_async.protocol.jsontext import json_bytes

__all__ = ["OntologyEntry"]


def _structure(value: object) -> object:
    if not isinstance(value, dict):
        raise wrong(f"must be an object with objects and classifications, not {sort_of(value)}")
    for part in ("objects", "classifications"):
        if not isinstance(value.get(part, []), list):
            raise wrong(f"{part!r} in it must be a list, not {sort_of(value[part])}")
    try:
        json_bytes(value, "structure", "")
    except UnencodableError as error:
        raise wrong(error.message.removeprefix("the structure ")) from None
    return value


Structure: TypeAlias = Annotated[
    dict[str, Any],
    BeforeValidator(_structure),
    WithJsonSchema({"type": "object", "description": "The ontology's structure as the service keeps it."}),
]


class OntologyEntry(MakingEntry):
    """An ontology that shall exist; its structure may lie in a file beside the manifest."""

    kind: Literal["ontology"] = "ontology"
    title: Title
    description: Text = ""
    structure: Structure | None = None
    structure_file: Title | None = None

    @property
    def wished_title(self) -> str:
        return self.title

    def contents(self) -> Mapping[str, int]:
        return {"ontologies": 1}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield Step(identity=part_of(identity, "ontology"), kind=StepKind.ONTOLOGY, item=self.title)
