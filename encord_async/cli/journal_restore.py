"""``encord-async journal restore``: puts a backup of a journal in PostgreSQL back. Nothing is sent."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from encord_async.cli.failures import ExitCode
from encord_async.cli.interrupts import run
from encord_async.cli.journal import agree, change, look, yes_option
from encord_async.cli.options import file_names, journal_argument, output_options
from encord_async.cli.output import Output

if TYPE_CHECKING:
    from encord_async.cli.journal import Seen

__all__ = ["restore"]


@click.command(short_help="Put a backup of a journal in PostgreSQL back.")
@journal_argument
@click.argument("backup", metavar="BACKUP", shell_complete=file_names)
@yes_option
@output_options
def restore(*, output: Output, journal: str, backup: str, yes: bool) -> int:
    """Let JOURNAL, in PostgreSQL, say what it said when BACKUP was written; what it says now is backed up first.

    It knows nothing then of what was made since, which runs may make again: tell it of that with 'journal import'.
    A backup of a file is a journal itself: copy it over.

    \b
    Example:
      encord-async journal restore 'postgresql://me@db/encord?job=cats' encord_async_cats.backup-20261126T055013Z.jsonl
    """
    from encord_async.journal.journal import Journal

    async def read() -> "Seen":
        async with Journal(journal, None) as opened:
            return await look(opened)

    seen = run(read, reads=True)
    since = "nothing of what was made since, which runs may make again unless 'journal import' tells it of that"
    agree(output, f"{seen.name} will say what it said when {backup} was written, and {since}.", yes=yes)
    kept = run(lambda: change(journal, seen, lambda opened: opened.put_back(Path(backup))))
    output.result({"journal": seen.name, "restored": backup, "backup": kept})
    output.line(f"{seen.name} says what {backup} says; the backup of what it said is {kept}")
    return ExitCode.DONE
