"""``encord-async expand``: prints what a manifest becomes. Sends nothing and needs no key."""

from typing import TYPE_CHECKING

import click

from encord_async.cli.entries import entry_members, entry_text, format_for, format_option
from encord_async.cli.failures import ExitCode
from encord_async.cli.options import manifest_argument, output_options
from encord_async.cli.output import Output

if TYPE_CHECKING:
    from encord_async.manifest.variables import ManifestFile

__all__ = ["expand"]


@click.command(short_help="Print what a manifest with templates becomes.")
@manifest_argument
@format_option("jsonl")
@output_options
def expand(*, output: Output, manifest: "ManifestFile", format_: str | None) -> int:
    """Print the entries that MANIFEST becomes: includes read, defaults filled in, an entry for each row of for_each,
    and {{ expressions }} worked out. What is printed is a manifest itself, and means the same.

    A file is checked first, and nothing is printed of one that has a bad entry. '-' reads JSON lines from standard
    input, whose entries are printed as they come, up to the first bad one. With --json the entries are one object.

    \b
    Examples:
      encord-async expand programme.yaml
      encord-async expand programme.yaml --var year=2027 --format yaml
      encord-async expand programme.yaml | grep '"acme"'

    Exit codes: 0 printed, 2 the manifest is bad.
    """
    from encord_async.manifest.checker import Checker
    from encord_async.manifest.files import check_manifest, raise_for_problems, read_manifest
    from encord_async.manifest.place import PlacedEntry

    if not manifest.is_stream:
        report = check_manifest(manifest)
        raise_for_problems(report.problems, total=report.problem_count)
    checker = Checker()
    shown = []
    for item in read_manifest(manifest):
        if not isinstance(item, PlacedEntry):
            raise_for_problems([item])
            continue
        raise_for_problems(checker.add(item))
        if output.json:
            shown.append(entry_members(item.entry))
        else:
            click.echo(entry_text(item.entry, format_for("-", format_)), nl=False)
    raise_for_problems(checker.finish())
    output.result({"entries": shown})
    return ExitCode.DONE
