"""Entries as the text of a manifest, for verbs that write one. Whoever reads it gets the same entries again."""

import json
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from encord_async.kinds.entry import Entry

__all__ = ["entry_members", "entry_text", "format_option"]

format_option: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "yaml"]),
    default="jsonl",
    show_default=True,
    help="Write JSON lines, or a YAML list.",
)


def entry_members(entry: "Entry") -> dict[str, object]:
    """*entry* as an object of JSON, in which nothing would be filled in."""
    from encord_async.manifest.template import escaped

    return {name: escaped(value) for name, value in entry.as_json().items()}


def entry_text(entry: "Entry", format_: str) -> bytes:
    """*entry* as a line of JSON, or as an item of a list in YAML."""
    members = entry_members(entry)
    if format_ == "yaml":
        import yaml

        return yaml.safe_dump([members], sort_keys=False, allow_unicode=True, width=120).encode()
    # Bytes, because a terminal's encoding has no say in what is JSON.
    return json.dumps(members, ensure_ascii=False).encode() + b"\n"
