"""The JSON Schema of a manifest, made from the models of the kinds. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Union

from pydantic import Field, TypeAdapter

from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.expansion import FOR_EACH

__all__ = ["manifest_schema"]

_ASIDE: Final = ("default", "description")
_PLAIN_TEXT: Final = {"type", "minLength", *_ASIDE}
_EXPRESSION: Final = {"type": "string", "pattern": r"\{[{%]", "description": "Jinja's {{ expression }}: a variable."}
_ROWS: Final = {
    "description": "An entry for each row: a table beside this file, a list, or all combinations.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array"},
        {
            "type": "object",
            "properties": {"matrix": {"anyOf": [{"type": "object"}, _EXPRESSION]}},
            "required": ["matrix"],
            "additionalProperties": False,
        },
    ],
}
_FILE: Final = {"type": "string", "minLength": 1}
_PREAMBLE: Final = {
    "vars": {
        "type": ["object", "null"],
        "propertyNames": {"pattern": r"^[^\W\d]\w*$"},
        "description": "Variables, for {{ name }}; --var, --var-file and ENCORD_VAR_name count before them.",
    },
    "defaults": {
        "anyOf": [{"$ref": "#/$defs/defaults"}, {"type": "null"}],
        "description": "Fields that entries of a kind have unless they say otherwise.",
    },
    "include": {
        "anyOf": [_FILE, {"type": "array", "items": _FILE}, {"type": "null"}],
        "description": "Other manifests, relative to this one, whose entries come first.",
    },
}


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a manifest, for editors.

    It is that of a line of JSONL, of the list in YAML, and of the mapping with ``vars``, ``defaults`` and ``entries``.
    """
    # Of as many types as there are kinds, of which a type checker knows nothing.
    one_of: Any = Union[tuple(ENTRY_MODELS.values())]  # noqa: UP007
    made = TypeAdapter(Annotated[one_of, Field(discriminator="kind")]).json_schema()
    definitions: dict[str, Any] = _untitled(made["$defs"])
    needs = {kind: _opened(definitions[model.__name__]) for kind, model in ENTRY_MODELS.items()}
    for definition in definitions.values():
        _fill_in(definition)
    refs = {kind: f"#/$defs/{model.__name__}" for kind, model in ENTRY_MODELS.items()}
    definitions |= {
        FOR_EACH: _ROWS,
        "expression": _EXPRESSION,
        "entry": {"oneOf": [{"$ref": refs[kind], "required": needs[kind]} for kind in refs]},
        "entry_with_defaults": {"oneOf": [{"$ref": ref} for ref in refs.values()]},
        "defaults": _defaults(definitions),
        "manifest": _manifest(),
    }
    of_all = [{"$ref": "#/$defs/entry"}, _list_of("entry"), {"$ref": "#/$defs/manifest"}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": definitions, "anyOf": of_all}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}


def _manifest() -> dict[str, Any]:
    with_defaults = {"properties": {"entries": _list_of("entry_with_defaults") | {"type": ["array", "null"]}}}
    without = {"properties": {"entries": _list_of("entry") | {"type": ["array", "null"]}}}
    return {
        "type": "object",
        "properties": {**_PREAMBLE, "entries": True},
        "additionalProperties": False,
        "minProperties": 1,
        # An included file may say what entries here leave out.
        "if": {"anyOf": [{"required": ["defaults"]}, {"required": ["include"]}]},
        "then": with_defaults,
        "else": without,
    }


def _defaults(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """What may be said of all entries of each kind: anything but the kind."""
    kinds = {}
    for kind, model in ENTRY_MODELS.items():
        name = model.__name__
        fields = {
            field: {"$ref": f"#/$defs/{name}/properties/{field}"}
            for field in definitions[name]["properties"]
            if field not in {"kind", FOR_EACH}
        }
        kinds[kind] = {"type": "object", "properties": fields, "additionalProperties": False}
    return {"type": "object", "properties": kinds, "additionalProperties": False}


def _opened(definition: dict[str, Any]) -> list[str]:
    """Let the schema of an entry leave out what defaults may have, and have rows; what it needs without defaults."""
    fields = definition["properties"]
    # Python fills it in; a file has to say it.
    del fields["kind"]["default"]
    needed = ["kind", *definition.get("required", ())]
    definition["required"] = ["kind"]
    for name, field in fields.items():
        if name not in needed:
            # That takes a default away.
            fields[name] = _or(field, {"type": "null"})
    fields[FOR_EACH] = {"$ref": f"#/$defs/{FOR_EACH}"}
    return needed


def _fill_in(definition: dict[str, Any]) -> None:
    """Let an expression stand for each field."""
    fields = definition.get("properties", {})
    for name, field in fields.items():
        if name not in {"kind", FOR_EACH}:
            fields[name] = _or_expression(field)


def _or_expression(field: dict[str, Any]) -> dict[str, Any]:
    """*field*, for which an expression may stand, and for each item of it, where these are not text anyway."""
    if field.get("type") == "string" and field.keys() <= _PLAIN_TEXT:
        return field
    if "anyOf" in field:
        field = field | {"anyOf": [_with_items(choice) for choice in field["anyOf"]]}
    return _or(_with_items(field), {"$ref": "#/$defs/expression"})


def _with_items(field: dict[str, Any]) -> dict[str, Any]:
    return field | {"items": _or_expression(field["items"])} if field.get("items") else field


def _or(field: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    aside = {name: value for name, value in field.items() if name in _ASIDE}
    rest = {name: value for name, value in field.items() if name not in _ASIDE}
    choices = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
    return aside | {"anyOf": choices if other in choices else [*choices, other]}


def _untitled(schema: Any) -> Any:
    """The schema without the titles that are made from the names of fields and classes."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A field called "title" has an object there.
    return {name: _untitled(item) for name, item in schema.items() if name != "title" or not isinstance(item, str)}
