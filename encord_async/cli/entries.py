"""Entries as the text of a manifest, for verbs that write one. Whoever reads it gets the same entries again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.options import Verb
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.kinds.entry import Entry

__all__ = ["entry_members", "entry_text", "format_for", "format_option"]

_JSONL: Final = "jsonl"
_YAML: Final = "yaml"
_READ_AS: Final = {".jsonl": _JSONL, ".ndjson": _JSONL, ".yaml": _YAML, ".yml": _YAML}
"""What the name of a manifest makes of it."""


def format_option(default: str) -> Callable[[Verb], Verb]:
    """``--format``, whose default *default* says in words."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice([_JSONL, _YAML]),
        help=f"Write JSON lines, or a YAML list.  [default: {default}]",
    )


def format_for(target: str, said: str | None) -> str:
    """The format that was *said*, or that of a file of the name *target*.

    Raises:
        UsageError: They are not the same: the file could not be read again.
    """
    named = _READ_AS.get(Path(target).suffix.lower())
    if said is not None and named not in {None, said}:
        raise UsageError(f"-o {target}: it would be read as {named}; leave out --format {said}, or give another name")
    return said or named or _JSONL


def entry_members(entry: "Entry") -> dict[str, object]:
    """*entry* as an object of JSON, in which nothing would be filled in."""
    from encord_async.manifest.template import escaped

    return {name: escaped(value) for name, value in entry.as_json().items()}


def entry_text(entry: "Entry", format_: str) -> bytes:
    """*entry* as a line of JSON, or as an item of a list in YAML."""
    members = entry_members(entry)
    if format_ == _YAML:
        import yaml

        return yaml.safe_dump([members], sort_keys=False, allow_unicode=True, width=120).encode()
    # Bytes, because a terminal's encoding has no say in what is JSON.
    return json.dumps(members, ensure_ascii=False).encode() + b"\n"
