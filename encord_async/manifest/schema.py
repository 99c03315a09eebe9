"""The JSON Schema of a manifest, made from the models of the kinds. Pure."""

from typing import Annotated, Any, Union

from pydantic import Field, TypeAdapter

from encord_async.kinds.registry import ENTRY_MODELS

__all__ = ["manifest_schema"]


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one entry, for editors: a line of JSONL, an item of the list in YAML."""
    # Of as many types as there are kinds, of which a type checker knows nothing.
    one_of: Any = Union[tuple(ENTRY_MODELS.values())]  # noqa: UP007
    schema = TypeAdapter(Annotated[one_of, Field(discriminator="kind")]).json_schema()
    # A word of OpenAPI; editors go by the constant in each branch.
    del schema["discriminator"]
    for definition in schema["$defs"].values():
        fields = definition["properties"]
        if "kind" in fields:
            # Python fills it in; a file has to say it.
            del fields["kind"]["default"]
            definition["required"] = ["kind", *definition.get("required", ())]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_untitled(schema)}


def _untitled(schema: Any) -> Any:
    """The schema without the titles that are made from the names of fields and classes."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A field called "title" has an object there.
    return {name: _untitled(item) for name, item in schema.items() if name != "title" or not isinstance(item, str)}
