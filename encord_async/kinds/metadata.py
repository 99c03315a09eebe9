"""Metadata as entries say them: an object of any sort, kept with a folder or a file. Sends nothing."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.errors import UnencodableError
from encord_async.kinds.fields import shown, sort_of, wrong
from encord_async.kinds.strict_json import NotStrictError, strict_json
from encord_async.protocol.jsontext import json_bytes

__all__ = ["MARK", "Metadata"]

MARK: Final = "encord_async"
"""The member of a folder's metadata that says who made it."""


def _metadata(value: object) -> object:
    if isinstance(value, str):
        # The cell of a table.
        try:
            value = strict_json(value)
        except NotStrictError as error:
            raise wrong(str(error)) from None
        except ValueError:
            raise wrong(f"{shown(value)} is no JSON object", 'write it as {"site": "north"}') from None
    if not isinstance(value, dict):
        raise wrong(f"must be an object, not {sort_of(value)}")
    if MARK in value:
        raise wrong(f"{MARK!r} in it is what a run writes there itself", "give it another name")
    try:
        json_bytes(value, "metadata", "")
    except UnencodableError as error:
        raise wrong(error.message.removeprefix("the metadata ")) from None
    return value


Metadata: TypeAlias = Annotated[
    dict[str, Any],
    BeforeValidator(_metadata),
    WithJsonSchema({"type": "object", "description": "What is kept with it, as an object of any sort."}),
]
