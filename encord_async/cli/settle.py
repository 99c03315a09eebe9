"""``encord-async settle``: finds out what became of what a journal has in doubt, without provisioning anything."""

from typing import Any, Final

import click

from encord_async.cli.failures import ExitCode
from encord_async.cli.interrupts import run
from encord_async.cli.options import Finite, Service, journal_argument, output_options, service_options
from encord_async.cli.output import Output, many
from encord_async.cli.status import open_lines, record_json

__all__ = ["settle"]

_SHOWN: Final = 50


@click.command(short_help="Find out what became of what is in doubt.")
@journal_argument
@click.option(
    "--as",
    "decisions",
    nargs=2,
    multiple=True,
    metavar="HASH ENTRY",
    help="Decide by hand: ENTRY (its key, its place, or the number that 'status' shows) made HASH; "
    "'none' if it made nothing, 'made' for an API key, which has no hash.",
)
@click.option(
    "--settle-s",
    type=Finite(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long something that happened may take to be seen.",
)
@service_options
@output_options
def settle(
    *, output: Output, service: Service, journal: str, decisions: tuple[tuple[str, str], ...], settle_s: float
) -> int:
    """Find out what became of the creates that JOURNAL has in doubt. Creates nothing.

    What is found is taken as made; what is not to be seen when the settling time is over did not happen, and the next
    'apply' sends it. What several things could have come of stays in doubt: look at the candidates in Encord's app and
    decide with --as: what you name has to be there under its name. With --as nothing else is settled.

    \b
    Examples:
      encord-async settle programme.jsonl.journal
      encord-async settle programme.jsonl.journal --as 9c53...e1 cats
      encord-async settle programme.jsonl.journal --as none programme.jsonl:17
      encord-async settle programme.jsonl.journal --as made 3f0c9a2b11d4

    Exit codes: 0 nothing is in doubt any more, 2 bad usage, 3 some are still in doubt, 4 not authenticated.
    """
    from encord_async.engine.doubt import Settler
    from encord_async.engine.recovery import check_decisions, decide_by_hand, recover
    from encord_async.journal.journal import Identity, Journal

    async def work() -> int:
        async with service.sessions()() as session:
            owner = Identity(session.settings.domain, session.identity)
            # To write would be to make one where there is none.
            async with Journal(journal, None):
                pass
            async with Journal(journal, owner) as ledger:
                settled: list[Any] = []
                records = list(await ledger.open_intents())
                settler = Settler(session, ledger, settle_s=settle_s)
                if decisions:
                    chosen = [decide_by_hand(session, records, entry, found) for found, entry in decisions]
                    await check_decisions(settler, ledger, chosen)
                    await ledger.write(chosen)
                    settled += chosen
                else:
                    await recover(session, ledger, settler, records, patient=True, on_settled=settled.append)
                return _report(output, settled, list(await ledger.open_intents()))

    return run(work)


def _report(output: Output, settled: list[Any], left: list[Any]) -> int:
    output.result({"settled": list(map(record_json, settled)), "in_doubt": list(map(record_json, left))})
    made = [record for record in settled if record.state.value == "done"]
    absent = [record for record in settled if record.state.value == "failed"]
    output.line(f"{many(len(made), 'was', 'were')} made after all and taken over; {len(absent)} did not happen.")
    if left:
        output.line(f"{many(len(left), 'step is', 'steps are')} still in doubt:", bold=True)
        for line in open_lines(left[:_SHOWN]):
            output.line(line)
        return ExitCode.IN_DOUBT
    output.line("Nothing is in doubt.")
    return ExitCode.DONE
