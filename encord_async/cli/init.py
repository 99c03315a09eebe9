"""``encord-async init``: writes a manifest to begin with. Sends nothing, and writes over nothing unless told to."""

from pathlib import Path
from typing import Final

import click

from encord_async.cli.failures import ExitCode
from encord_async.cli.options import file_names, output_options
from encord_async.cli.outfile import refuse_others, whole, writing
from encord_async.cli.output import Output
from encord_async.errors import UsageError

__all__ = ["init"]

_YAML: Final = (".yaml", ".yml")


@click.command(short_help="Write a manifest to begin with.")
@click.argument("path", metavar="[FILE]", required=False, shell_complete=file_names)
@click.option("--csv", "as_csv", is_flag=True, help="A table, for spreadsheets, and not YAML.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@output_options
def init(*, output: Output, path: str | None, as_csv: bool, force: bool) -> int:
    """Write a manifest to begin with to FILE, by default programme.yaml: entries of the common kinds, and as comments
    those of all others, with every field there is. With --csv, or a FILE that ends in .csv, it is a table.

    \b
    Examples:
      encord-async init
      encord-async init teams.csv
      encord-async validate programme.yaml

    Exit codes: 0 it is written, 2 there is such a file already, or it cannot be written.
    """
    from encord_async.manifest.starter import starter_csv, starter_yaml

    target = path or f"programme{'.csv' if as_csv else _YAML[0]}"
    suffix = Path(target).suffix.lower()
    if suffix not in ((".csv",) if as_csv else (".csv", *_YAML)):
        raise UsageError(f"{target}: give a file that ends in {'.csv' if as_csv else '.yaml or .csv'}")
    text = starter_csv() if suffix == ".csv" else starter_yaml()
    # Nobody could tell a starter from what was made of it.
    refuse_others(target, lambda _: False, force=force)
    with writing(target), whole(target) as file:
        file.write(text.encode())
    output.result({"written": target})
    output.line(f"{target} is written; edit it, then: encord-async validate {target}")
    return ExitCode.DONE
