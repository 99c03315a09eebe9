"""A manifest to begin with, made from the models of the kinds, so that it shows what there is. Pure text.

Entries that touch the organisation, or few people need, stand in it as comments.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from encord_async.kinds.entry import Entry
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.tables import list_columns

__all__ = ["starter_csv", "starter_yaml"]

_BEGUN: Final = ("dataset", "project", "project_users")
"""Kinds that a starter has entries of; those of the others are comments."""

_EXAMPLES: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "dataset": {"key": "cats-raw", "title": "Cats raw"},
        "project": {
            "key": "cats",
            "title": "Cats",
            "datasets": ["@cats-raw"],
            "users": [{"email": "ann@example.com", "role": "annotator"}],
        },
        "project_datasets": {"project": "@cats", "add": ["@cats-raw"]},
        "project_users": {"project": "@cats", "emails": ["rob@example.com"], "role": "reviewer"},
        "project_api_key": {"key": "cats-ci", "project": "@cats", "title": "ci", "scopes": ["label.read"]},
        "project_groups": {"project": "@cats", "add": ["@annotators"], "role": "annotator"},
        "ontology": {"key": "felines", "title": "Felines"},
        "group": {"key": "annotators", "name": "Annotators", "members": ["rob@example.com"]},
        "organisation_user": {"key": "rob", "email": "rob@example.com"},
    }
)
_HEAD: Final = """\
# A manifest: a list of what shall be there. Check it:  encord-async validate FILE
# See what would be done (only reads):                  encord-async plan FILE
# Do it; run again, it goes on where it was:            encord-async apply FILE
#
# 'key' names an entry, and "@key" refers to it, from anywhere; without the @ it is the hash (a UUID) of something that
# is on the server already. Give each entry a key: by it a later run knows it again, whatever else you change.
# Datasets, projects, ontologies and API keys cannot be deleted over Encord's API.
"""
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*( [A-Za-z0-9._-]+)*")
_NOT_TEXT: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


def starter_yaml() -> str:
    """A manifest in YAML with an entry of each common kind; what else can be said stands in comments."""
    first = [kind for kind in _BEGUN if kind in ENTRY_MODELS]
    rest = [kind for kind in ENTRY_MODELS if kind not in first]
    blocks = [_block(kind, "") for kind in first] + [_block(kind, "# ") for kind in rest]
    return "\n".join([_HEAD, *blocks])


def starter_csv() -> str:
    """The same entries as a table, with the columns that they need."""
    rows = [{"kind": kind, **_EXAMPLES[kind]} for kind in _BEGUN if kind in ENTRY_MODELS]
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow(_cell(name, row.get(name, "")) for name in columns)
    return text.getvalue()


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    column = list_columns()[name]
    if column.pair is not None:
        return ";".join("=".join(str(item[half]) for half in column.pair) for item in value)
    return ";".join(value)


def _block(kind: str, mark: str) -> str:
    """An entry of *kind* with comments around it, as a comment itself if *mark* makes it one."""
    model = ENTRY_MODELS[kind]
    about = (model.__doc__ or "").strip().partition("\n")[0]
    example = _EXAMPLES.get(kind, {})
    lines = [f"# {about}", f"{mark}- kind: {kind}"]
    lines += [f"{mark}  {name}: {_value(value)}" for name, value in example.items()]
    lines += [f"{mark}  # {more}" for more in _further(model, example)]
    return "\n".join(lines) + "\n"


def _further(model: type[Entry], shown: Mapping[str, object]) -> Iterator[str]:
    """The fields of *model* that are not among *shown*, each with what can be said there."""
    schema = model.model_json_schema()
    for name in model.model_fields:
        if name != "kind" and name not in shown:
            yield f"{name}: {_hint(schema['properties'][name], schema.get('$defs', {}))}".rstrip()


def _hint(field: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """What a field may say, in short, from its JSON Schema."""
    chosen = next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), field)
    if "enum" in chosen:
        # Some words are read in capitals too.
        return " or ".join(dict.fromkeys(word.lower() for word in chosen["enum"] if isinstance(word, str)))
    if "$ref" in chosen:
        inner = parts[chosen["$ref"].rpartition("/")[2]].get("properties", {})
        return f"{{{', '.join(inner)}}}"
    if chosen.get("type") == "array":
        return f"[{_hint(chosen.get('items', {}), parts)}]"
    if "description" in chosen:
        return str(chosen["description"]).rstrip(".")
    return {"string": "text", "boolean": "true or false", "object": "an object", "integer": "a number"}.get(
        str(chosen.get("type")), ""
    )


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(part)}" for name, part in value.items()) + "}"
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return str(value) if plain else json.dumps(value)
