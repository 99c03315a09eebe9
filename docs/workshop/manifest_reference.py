"""The reference of the manifest, made from the models of the kinds. Pure text."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from encord_async.kinds.entry import Entry
from encord_async.kinds.registry import ENTRY_MODELS

TEXTS: Mapping[str, str] = {
    "title": "Cats",
    "name": "Cats",
    "description": "Made for 2026",
    "email": "ann@example.com",
    "key": "cats",
    "structure_file": "felines.json",
    "items_file": "items.csv",
    "integration": "my bucket",
    "workflow_template_id": "9f1c0f52-0a4b-4f0e-8f7e-2b7a4c1d9e10",
}
"""What an example says in a field of text; elsewhere it says *text*."""

OBJECTS: Mapping[str, Mapping[str, Any]] = {
    "structure": {
        "objects": [{"name": "Cat", "shape": "bounding_box", "attributes": {"Fur": ["Black", "White"]}}],
        "classifications": {"Scene": ["Day", "Night"]},
    },
    "metadata": {"site": {"no": 7}},
    "cloud": {"integration": "bucket", "url": "s3://bucket/prefix/"},
}
"""And in fields that hold an object."""

SAID: Mapping[str, str] = {
    "email": "an e-mail address",
    "emails": "a list of e-mail addresses",
    "key": "the name by which other entries refer to this one, as `@key`",
    "ontology_hash": "a hash; an older word for `ontology`",
    "workflow_template_id": "the UUID of a workflow template",
    "items_file": "a file of `items` in the manifest's folder: JSON lines, CSV, or the JSON of Encord's own upload",
    "integration": "the title of a cloud integration, or its UUID",
    "assign": "addresses, or `emails`, `strategy` (`round_robin`, `by_dataset`) and `titles`, or a list of these rules",
    "release": "a list of e-mail addresses",
    "structure_file": "a JSON file in the folder of the manifest, which holds the `structure`",
}
"""Better words than a schema has."""


def page() -> str:
    """One section a kind: what it is, its fields, and an entry with every field in the three forms."""
    parts = [
        "# The manifest by kind",
        "Made from the code, so each kind and each field that the program takes is here. "
        "[The manifest](../concepts/manifest.md) says how entries refer to each other, and what the words mean.",
        " · ".join(f"[`{kind}`](#{kind})" for kind in ENTRY_MODELS),
        *(section(kind, model) for kind, model in ENTRY_MODELS.items()),
    ]
    return "\n\n".join(parts) + "\n"


def section(kind: str, model: type[Entry]) -> str:
    """All about one kind."""
    about = (model.__doc__ or "").strip()
    paragraphs = [" ".join(line.strip() for line in part.splitlines()) for part in about.split("\n\n")]
    shown = list(examples(model))
    return "\n\n".join(
        [
            f"## `{kind}` {{ #{kind} }}",
            *paragraphs,
            table(model),
            tab("JSON lines", "jsonl", "\n".join(json.dumps(entry) for entry in shown)),
            tab("YAML", "yaml", as_yaml(shown)),
            tab("Table (CSV, Excel)", "csv", as_table(model, shown)),
        ]
    )


def tab(title: str, language: str, text: str) -> str:
    """A block that shares its place with its neighbours."""
    lines = [f"```{language}", *text.splitlines(), "```"]
    return f'=== "{title}"\n\n' + "\n".join(f"    {line}".rstrip() for line in lines)


def table(model: type[Entry]) -> str:
    """The fields, with what may stand there."""
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})
    lines = ["| field | what may stand there | unless it is said |", "| --- | --- | --- |"]
    for name in schema["properties"]:
        if name != "kind":
            field = schema["properties"][name]
            lines.append(f"| `{name}` | {SAID.get(name) or words(field, parts)} | {unsaid(model, name)} |")
    return "\n".join(lines)


def words(field: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """What a field takes, in words."""
    if "$ref" in field:
        inner = parts[field["$ref"].rpartition("/")[2]]
        return ", ".join(
            f"`{name}` ({SAID.get(name) or words(one, parts)})" for name, one in inner.get("properties", {}).items()
        )
    if "enum" in field:
        numbers = [one for one in field["enum"] if not isinstance(one, str)]
        # Some words are read in capitals, or without their underscores, too.
        known = {
            str(one).lower().replace("_", ""): str(one).lower()
            for one in reversed(field["enum"])
            if isinstance(one, str)
        }
        spelt = ", ".join(f"`{one}`" for one in reversed(known.values()))
        return f"{spelt}; or {numbers[0]} to {numbers[-1]}" if numbers else spelt
    if "anyOf" in field:
        return " or ".join(words(one, parts) for one in field["anyOf"] if one.get("type") != "null")
    if field.get("type") == "array":
        inner = field.get("items", {})
        return f"a list of {'objects: ' if '$ref' in inner else ''}{words(inner, parts)}"
    if "description" in field:
        said = str(field["description"])
        return f"{said[0].lower()}{said[1:].rstrip('.')}"
    named = {"string": "text", "boolean": "`true` or `false`", "integer": "a whole number", "number": "a number"}
    return named.get(str(field.get("type")), "an object")


def unsaid(model: type[Entry], name: str) -> str:
    """What a field is when an entry does not have it."""
    field = model.model_fields[name]
    if field.is_required():
        return "**required**"
    default = field.get_default()
    if default in (None, "", ()):
        return "nothing"
    spelt = model.spelt.get(name, {})
    said = next((word for word, one in spelt.items() if one == default), default)
    return f"`{str(said).lower() if isinstance(said, bool) else said}`"


# --- an entry with every field ---------------------------------------------------------------------------------------


def examples(model: type[Entry]) -> Iterator[dict[str, Any]]:
    """Entries that have, together, every field: as many as it takes, since some fields do not go together."""
    left = [name for name in model.model_fields if name not in {"kind", *model.example}]
    start: dict[str, Any] = {"kind": model.model_fields["kind"].default, **model.example}
    while True:
        start = beginning(model, start, left)
        entry = start
        for name in left:
            entry = with_field(model, entry, name)
        yield {name: entry[name] for name in ("kind", *model.model_fields) if name in entry}
        later = [name for name in left if name not in entry]
        if not later or later == left:
            return
        left = later


def beginning(model: type[Entry], start: dict[str, Any], left: list[str]) -> dict[str, Any]:
    """*start*, or it without the field that keeps the first of *left* from being said."""
    without = ({name: start[name] for name in start if name != other} for other in model.example)
    return next((one for one in (start, *without) if not left or left[0] in with_field(model, one, left[0])), start)


def with_field(model: type[Entry], entry: dict[str, Any], name: str) -> dict[str, Any]:
    """*entry* with the field *name*, and with another that it takes for this; as it is if the program takes neither."""
    alone = entry | {name: sample(model, name)}
    helped = (alone | {other: sample(model, other)} for other in model.model_fields if other not in {"kind", *alone})
    return next((one for one in (alone, *helped) if is_good(model, one)), entry)


def is_good(model: type[Entry], entry: Mapping[str, Any]) -> bool:
    """Whether the program would take it."""
    try:
        return not model.read(dict(entry)).faults()
    except ValidationError:
        return False


def sample(model: type[Entry], name: str) -> Any:
    """A value for a field."""
    part = model.parts.get(name)
    form = part.form if part is not None else model.forms.get(name, "")
    if form:
        cells = form.split(";")
        return [part.in_cell(cell) if part is not None else cell for cell in cells]
    if name in OBJECTS:
        return OBJECTS[name]
    schema = model.model_json_schema()
    return sampled(name, schema["properties"][name], schema.get("$defs", {}))


def sampled(name: str, field: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """A value for a field with this schema."""
    chosen = next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), field)
    if "$ref" in chosen:
        inner = parts[chosen["$ref"].rpartition("/")[2]].get("properties", {})
        return {each: sampled(each, one, parts) for each, one in inner.items()}
    if "enum" in chosen:
        return chosen["enum"][0]
    match chosen.get("type"):
        case "array":
            return [sampled(name, chosen.get("items", {}), parts)]
        case "boolean":
            return True
        case "integer" | "number":
            return 1
        case "string":
            return TEXTS.get(name, f"@{name}" if "@" in str(chosen.get("description", "")) else "text")
    raise AssertionError(f"no example of {name}")


class Plain(yaml.SafeDumper):
    """Writes equal lists twice, where PyYAML would write an anchor."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's shape
        """No value is written as a reference to another."""
        return True


def as_yaml(shown: list[dict[str, Any]]) -> str:
    """The same entries as a list in YAML."""
    return str(yaml.dump(shown, Dumper=Plain, sort_keys=False, allow_unicode=True, width=100)).strip()


def as_table(model: type[Entry], shown: list[dict[str, Any]]) -> str:
    """The same entries as a table; what a cell cannot say is left out."""
    columns = [name for name in dict.fromkeys(name for entry in shown for name in entry) if has_column(model, name)]
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(columns)
    for entry in shown:
        if all(entry[name] is not None for name in entry):
            out.writerow([cell(entry.get(name, "")) for name in columns])
    return text.getvalue().strip()


def has_column(model: type[Entry], name: str) -> bool:
    """Whether a table can have it."""
    part = model.parts.get(name)
    return not (part is not None and part.no_column) and not (model.beside is not None and name == model.beside[1])


def cell(value: Any) -> str:
    """What a cell says."""
    if isinstance(value, list):
        return ";".join("=".join(map(str, one.values())) if isinstance(one, dict) else str(one) for one in value)
    if isinstance(value, dict):
        return "=".join(value.values()) if value == OBJECTS["cloud"] else json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
