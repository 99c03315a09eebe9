"""Text and objects to entries, and what is wrong with those that are none, in words for those who write manifests.

Pure: values in, entries or problems out. Files are read in ``files``; nothing is sent here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from encord_async.kinds.entry import Entry
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import Part, meant, shown, sort_of
from encord_async.kinds.registry import ENTRY_MODELS, kind_of
from encord_async.kinds.strict_json import NotStrictError, strict_json
from encord_async.manifest.place import Place, Problem

__all__ = ["IN_QUOTES", "field_path", "json_value", "key_of", "read_entry", "read_json_entry"]

IN_QUOTES: Final = "put it in quotes"
"""What to do about a number where there has to be text."""

_SHORT_BYTES: Final = 4096
"""Lines shorter than this are read at a third of the cost, if there is nothing special about them."""
_APART: Final = (b" :", b"\t:", b"\r:", b"\n:")
"""Between a name and its colon there may be such."""
_MAX_PROBLEMS: Final = 100
_MAX_PATH: Final = 100
"""The longest path of a field that is shown, in characters."""


def read_entry(raw: object, place: Place) -> Entry | tuple[Problem, ...]:
    """Read an entry, or say everything that is wrong with it; raises nothing.

    Args:
        raw: An entry, which is given back as it is, or a mapping as JSON has it.
        place: Where it stands, for the problems.
    """
    if type(raw) is not dict:
        # Asked of a model, that takes as long as half of its fields.
        if isinstance(raw, Entry) and raw.kind in ENTRY_MODELS:
            return raw
        if isinstance(raw, Mapping):
            raw = dict(raw)
    if not isinstance(raw, dict):
        return (Problem(place, "", f"must be an object with a 'kind', not {sort_of(raw)}"),)
    kind = raw.get("kind")
    model = ENTRY_MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return (_kind_problem(raw, place),)
    try:
        return model.read(raw)
    except ValidationError as error:
        return _problems(error, raw, model, place)


def read_json_entry(line: bytes, place: Place) -> Entry | tuple[Problem, ...]:
    """Read an entry from one line of JSONL, or say everything that is wrong with it; raises nothing."""
    value = json_value(line)
    return (Problem(place, *value),) if isinstance(value, Fault) else read_entry(value, place)


def json_value(line: bytes) -> Any:
    """The value in one line of JSON, or the `Fault` that keeps it from being one; raises nothing."""
    try:
        value = from_json(line, allow_inf_nan=False) if len(line) < _SHORT_BYTES else None
    except ValueError:
        value = None
    if isinstance(value, dict) and _tells_all(line, _members_in(value)):
        return value
    try:
        return strict_json(line.decode().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        reason, hint = f"is not UTF-8 at byte {error.start + 1} of the line", "save the file as UTF-8"
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        reason, hint = f"is not JSON: {what} at column {error.colno}", _json_hint(line)
    except NotStrictError as error:
        return Fault(field_path((error.name,)) if error.name else "", error.reason)
    return Fault("", reason, hint)


def _tells_all(line: bytes, members: int) -> bool:
    """Whether no name is given twice in *line*, of whose objects *members* have been read."""
    # Each has a name with a colon behind it: if there are no more of these, then none was dropped for a later one.
    return line.count(b":") == members or (line.count(b'":') == members and max(map(line.find, _APART)) < 0)


def _members_in(value: Mapping[str, object] | Sequence[object]) -> int:
    """How many members all objects in *value* have."""
    number, inner = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    for one in inner:
        if type(one) is dict or type(one) is list:
            number += _members_in(one)
    return number


def _json_hint(line: bytes) -> str:
    text = line.strip()
    if text.startswith((b"#", b"//")):
        return "JSONL has no comments"
    if text.endswith((b"},", b"],")):
        return "no comma between the lines"
    if text in {b"{", b"[", b"]", b"}"} or (text.startswith(b"{") and not text.endswith(b"}")):
        return "write each entry on one line of its own"
    return ""


def _kind_problem(raw: Mapping[object, object], place: Place) -> Problem:
    key = key_of(raw)
    if "kind" in raw:
        kind = raw["kind"]
        hint = meant(kind, ENTRY_MODELS) if isinstance(kind, str) else ""
        reason = f"{shown(kind)} is no kind of entry; use one of {', '.join(ENTRY_MODELS)}"
        return Problem(place, "kind", reason, hint, key)
    fits = [kind for kind, model in ENTRY_MODELS.items() if _has_the_fields_of(model, raw)]
    guess = f"its fields are those of {fits[0]!r}" if len(fits) == 1 else f"use one of {', '.join(ENTRY_MODELS)}"
    return Problem(place, "kind", "is missing", guess, key)


def _has_the_fields_of(model: type[Entry], raw: Mapping[object, object]) -> bool:
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    return needed <= raw.keys() <= set(model.model_fields)


def key_of(raw: Mapping[object, object]) -> str | None:
    """The key of an entry that may be wrong, if it can be read."""
    key = raw.get("key")
    return key if isinstance(key, str) and key else None


def _problems(
    error: ValidationError, raw: Mapping[object, object], model: type[Entry], place: Place
) -> tuple[Problem, ...]:
    key = key_of(raw)
    # Pydantic calls a list too short if the items that it has are wrong.
    details = [one for one in error.errors(include_url=False) if one["type"] != "too_short" or not one["input"]]
    problems = [_problem(detail, model, place, key) for detail in details[:_MAX_PROBLEMS]]
    if len(details) > _MAX_PROBLEMS:
        problems.append(Problem(place, "", f"has {len(details) - _MAX_PROBLEMS} more problems", key=key))
    return tuple(problems)


def _problem(detail: ErrorDetails, model: type[Entry], place: Place, key: str | None) -> Problem:
    """One of pydantic's complaints in words for those who write manifests."""
    value, reason, hint = detail["input"], "", ""
    match detail["type"]:
        case "manifest":
            reason, hint = detail["ctx"]["reason"], detail["ctx"]["hint"]
        case "missing":
            reason = "is missing"
        case "extra_forbidden":
            reason, hint = _unknown_field(detail["loc"], model)
        case "string_type":
            reason = f"must be text, not {sort_of(value)}"
            hint = "leave it out" if value is None else IN_QUOTES if not isinstance(value, list | dict) else ""
        case "tuple_type":
            reason = f"must be a list, not {sort_of(value)}"
            hint = "leave it out" if value is None else "put it in [brackets]" if isinstance(value, str) else ""
        case "too_short":
            reason = "must not be empty"
        case "model_type":
            reason = f"must be an object with {' and '.join(_part(detail['loc'], model)[1].model_fields)}"
        case "invalid_key":
            reason = "names of fields must be text"
        case _:
            reason = detail["msg"][:1].lower() + detail["msg"][1:]
    return Problem(place, field_path(detail["loc"]), reason, hint, key)


def _part(location: Sequence[int | str], model: type[Entry]) -> tuple[str, type[Part]]:
    """What *location* is in, and its model."""
    part = model.parts.get(str(location[0])) if len(location) > 1 else None
    return (f"a {kind_of(model)} entry", model) if part is None else (part.noun, part)


def _unknown_field(location: Sequence[int | str], model: type[Entry]) -> tuple[str, str]:
    word, part = _part(location, model)
    name = str(location[-1])
    other = part.other_names.get(name.lower())
    guess = f"did you mean {other!r}?" if other in part.model_fields else meant(name, part.model_fields)
    return f"is not a field of {word}", guess or f"it has {', '.join(part.model_fields)}"


def field_path(location: Sequence[int | str]) -> str:
    """The path of a field, as problems have it."""
    path = ".".join(map(str, location))
    path = path if len(path) <= _MAX_PATH else path[:_MAX_PATH] + "..."
    return path if path.isprintable() else ascii(path)
