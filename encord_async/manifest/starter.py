"""A manifest to begin with, made from the models of the kinds, so that it shows what there is. Pure text.

Entries that touch the organisation, or few people need, stand in it as comments.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from encord_async.kinds.entry import Entry
from encord_async.kinds.registry import ENTRY_MODELS

__all__ = ["starter_csv", "starter_yaml"]

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
    blocks = [_block(kind, "") for kind, model in ENTRY_MODELS.items() if model.is_common]
    blocks += [_block(kind, "# ") for kind, model in ENTRY_MODELS.items() if not model.is_common]
    return "\n".join([_HEAD, *blocks])


def starter_csv() -> str:
    """The same entries as a table, with the columns that they need."""
    rows = [{"kind": kind, **model.example} for kind, model in ENTRY_MODELS.items() if model.is_common]
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow(_cell(row.get(name, "")) for name in columns)
    return text.getvalue()


def _cell(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ";".join("=".join(item.values()) if isinstance(item, dict) else item for item in value)


def _block(kind: str, mark: str) -> str:
    """An entry of *kind* with comments around it, as a comment itself if *mark* makes it one."""
    model = ENTRY_MODELS[kind]
    about = (model.__doc__ or "").strip().partition("\n")[0]
    example = model.example
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
