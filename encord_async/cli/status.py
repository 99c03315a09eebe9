"""``encord-async status``: what a journal says of a run. Sends nothing, needs no key, changes nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.api_keys import left_line
from encord_async.cli.failures import ExitCode, told
from encord_async.cli.interrupts import run
from encord_async.cli.options import journal_argument, output_options
from encord_async.cli.output import Output, many
from encord_async.cli.plan import print_gone, print_taken_off

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal
    from encord_async.journal.record import Record
    from encord_async.plan import Gone

__all__ = ["open_lines", "record_json", "status"]

_SHOWN: Final = 20
_MAX_IN_JSON: Final = 1000


@click.command(short_help="Say what a run did, is doing, or left in doubt.")
@journal_argument
@output_options
def status(*, output: Output, journal: str) -> int:
    """Say what the run of JOURNAL did, is doing, or left in doubt.

    Steps are counted, not entries as by 'apply': a project with two users and a key is four steps. What is in doubt may
    have happened: 'encord-async settle JOURNAL' finds out, and the next 'apply' does so too. Entries that a stop kept
    from being begun have left nothing in the journal.

    \b
    Examples:
      encord-async status programme.jsonl.journal
      encord-async status programme.jsonl.journal --json

    Exit codes: 0 all is done, 1 some failed or were cancelled, 2 no usable journal, 3 some are in doubt.
    """
    from encord_async.journal.journal import Journal

    async def look() -> int:
        async with Journal(journal, None) as opened:
            return await _report(output, opened)

    return run(look, reads=True)


async def _report(output: Output, journal: "Journal") -> int:
    from encord_async.kinds.registry import step_kind

    about, counts = await journal.about(), await journal.counts()
    open_steps, failed = list(await journal.open_intents()), await journal.failed(most=_MAX_IN_JSON)
    cancelled = await journal.cancelled(most=_MAX_IN_JSON)
    owner, gone, taken_off = await journal.owner(), await _gone(journal), await journal.noted_taken_off()
    kept_back = await journal.kept_back(unless_unwanted=True)
    if output.json:
        output.result(
            {
                "journal": journal.name,
                "domain": about.get("domain"),
                "account": about.get("account"),
                "running_pid": None if owner is None else owner.pid,
                "steps": {kind: dict(by_status) for kind, by_status in counts.items()},
                "in_doubt": [record_json(record) for record in open_steps[:_MAX_IN_JSON]],
                "failed": [record_json(record) for record in failed],
                "cancelled": [record_json(record) for record in cancelled],
                "gone": [one.as_json() for one in gone[:_MAX_IN_JSON]],
                "taken_off": taken_off.as_json(),
                "api_keys_with_nobody": len(kept_back),
            }
        )
    else:
        output.line(f"{journal.name}: {about.get('account')} at {about.get('domain')}")
        if owner is not None:
            output.line(f"A run is going on in {owner}.", bold=True)
        rows = [
            (step_kind(kind).said, words.replace("_", " "), number)
            for kind, by_status in counts.items()
            for words, number in by_status.items()
        ]
        output.table(rows, head=["step", "status", "number"], right=[2])
        _list(output, "has failed", "have failed", "; the next apply tries again", failed)
        _list(output, "is", "are", " cancelled: not finished; the next apply goes on with them", cancelled)
        if kept_back:
            output.line()
            output.line(left_line(len(kept_back)))
        if gone or taken_off.number:
            output.line()
            print_gone(output, gone, most=_SHOWN)
            print_taken_off(output, taken_off, most=_SHOWN)
        doubt = " in doubt: may have happened" if owner is None else " under way, or in doubt"
        _list(output, "is", "are", doubt, open_steps)
    if open_steps:
        return ExitCode.IN_DOUBT
    return ExitCode.FAILED if failed or cancelled else ExitCode.DONE


async def _gone(journal: "Journal") -> "list[Gone]":
    """What was gone from the manifest of the last run."""
    from encord_async.plan import Gone

    records = await journal.gone_things()
    return Gone.all_of(records, await journal.leftovers([one.hash for one in records if one.hash is not None]))


def _list(output: Output, one: str, several: str, what: str, records: "Sequence[Record]") -> None:
    if not records:
        return
    output.line()
    output.line(f"{many(len(records), f'step {one}', f'steps {several}')}{what}:", bold=True)
    for line in open_lines(records[:_SHOWN]):
        output.line(line)
    if len(records) > _SHOWN:
        output.line(f"  and {len(records) - _SHOWN} more; --json lists them")


def open_lines(records: "Sequence[Record]") -> list[str]:
    """A line for each of *records*: where it stands, what it is, its number for ``settle --as``, and why.

    One in doubt has another line, with what it may have made, if that is known.
    """
    lines: list[str] = []
    for record in records:
        named = f" @{record.key}" if record.key else ""
        why = record.message
        what = f"{record.place}{named}  {record.kind.said} {record.title!r}"
        lines.append(f"  {record.identity.hex()[:12]}  {what}" + (f": {told(why)}" if why else ""))
        candidates = record.details.get("candidates")
        if record.is_open and isinstance(candidates, list) and candidates:
            lines.append(f"    it may be one of {', '.join(map(str, candidates))}")
    return lines


def record_json(record: "Record") -> dict[str, object]:
    """*record* as JSON."""
    return {
        "id": record.identity.hex(),
        "place": record.place,
        "key": record.key,
        "kind": record.kind.word,
        "title": record.title,
        "project_hash": record.parent_hash,
        "state": record.state.value,
        "status": record.status,
        "hash": record.hash,
        "code": record.code,
        "message": None if record.message is None else told(record.message),
        "candidates": record.details.get("candidates", []),
    }
