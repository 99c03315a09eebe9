"""``encord-async outputs``: what the entries of a journal have made, by their keys, for other programs.

Sends nothing, needs no key, changes nothing. Nothing of an API key is in it, not even a name for one.
"""

import csv
import io
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.failures import ExitCode, redacted
from encord_async.cli.interrupts import run
from encord_async.cli.options import journal_argument, output_options
from encord_async.cli.output import Output
from encord_async.cli.report import cell
from encord_async.errors import UsageError
from encord_async.redaction import quoted

if TYPE_CHECKING:
    from encord_async.journal.record import Record

__all__ = ["outputs"]

_COLUMNS: Final = ("kind", "key", "title", "hash")
_NO_WORD: Final = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What an entry with a key has made or adopted."""

    kind: str
    key: str
    title: str
    hash: str

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {quoted(self.key)}"


@click.command(short_help="Print what a run made, by key, for other programs.")
@journal_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "dotenv"]),
    default="json",
    show_default=True,
    help="One JSON object, a table, or lines NAME=HASH as shells and .env files have them.",
)
@output_options
def outputs(*, output: Output, journal: str, form: str) -> int:
    """Print what the entries with a key in JOURNAL have made or adopted: kind, key, title and hash.

    The JSON object has a member for each key. Names for 'dotenv' are the keys in capital letters, with '_' for every
    character that is no English letter or digit. Two entries of one name are an error. What an entry made is printed
    even if the entry is no longer in the manifest, until 'encord-async journal rm' forgets it. API keys are never
    printed.

    \b
    Examples:
      encord-async outputs programme.jsonl.journal | jq -r .cats.hash
      encord-async outputs programme.jsonl.journal --format csv > hashes.csv
      encord-async outputs programme.jsonl.journal --format dotenv > .env

    Exit codes: 0 printed, 2 no usable journal, or two of one name.
    """
    from encord_async.journal.journal import Journal

    if output.json and form != "json":
        raise UsageError(f"--json and --format {form} exclude each other; leave one out")

    async def look() -> list[_Made]:
        async with Journal(journal, None) as opened:
            return [made async for record in opened.every() if (made := _made(record)) is not None]

    found = run(look, reads=True)
    if form == "csv":
        click.echo(_table(found), nl=False)
    elif form == "dotenv":
        named = _by_name(found, _variable, "the environment")
        click.echo("".join(f"{name}={shlex.quote(made.hash)}\n" for name, made in named.items()), nl=False)
    else:
        named = _by_name(found, lambda key: key, "JSON")
        click.echo(
            json.dumps({key: {"kind": one.kind, "title": one.title, "hash": one.hash} for key, one in named.items()})
        )
    return ExitCode.DONE


def _made(record: "Record") -> _Made | None:
    """What *record* says is there; None for what has no key, is not there, or is no thing of its entry's own."""
    if not record.kind.stands_for_entry or record.state.value != "done":
        return None
    if record.key is None or record.hash is None:
        return None
    # A secret may stand where something else belongs.
    key, title = redacted(record.key), redacted(record.title)
    return _Made(kind=record.kind.word, key=key, title=title, hash=record.hash)


def _by_name(found: list[_Made], name_of: Callable[[str], str], where: str) -> Mapping[str, _Made]:
    """*found* by what they are called there.

    Raises:
        UsageError: Two are called the same.
    """
    named: dict[str, _Made] = {}
    for made in found:
        name = name_of(made.key)
        other = named.setdefault(name, made)
        if other is not made:
            raise UsageError(
                f"{other} and {made} would both be {quoted(name)} in {where}; give one of them another key, "
                "or take --format csv"
            )
    return named


def _variable(key: str) -> str:
    """*key* as the name of a variable."""
    name = _NO_WORD.sub("_", key.upper())
    return f"_{name}" if name[:1].isdigit() else name


def _table(found: list[_Made]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([cell(getattr(made, column)) for column in _COLUMNS] for made in found)
    return text.getvalue()
