"""Before a run makes what cannot be undone, retires what has gone, or removes data: says what that is, and asks.

It only reads.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from encord_async.cli.interrupts import nothing_sent, run
from encord_async.cli.options import print_included, print_warnings
from encord_async.cli.output import Output, many, on_terminal
from encord_async.cli.plan import (
    Planned,
    existing_journal,
    forecast_rows,
    irreversible_line,
    loss_line,
    show_actions,
    show_heading,
)
from encord_async.cli.progress import show_reading
from encord_async.cli.question import agrees, at_the_terminal, types
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.manifest.variables import ManifestFile
    from encord_async.plan import Forecast

__all__ = ["agreed", "consent"]

_FRESH_S: Final = 60.0
"""What others make meanwhile is not in a listing: what is older than this could let a run make a second one of it."""


def agreed(
    output: Output,
    sessions: "Callable[[], EncordSession]",
    manifest: "ManifestFile",
    options: Mapping[str, Any],
    *,
    quiet: bool = False,
    yes: bool = False,
    rows: int | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> "Forecast":
    """See to it that what cannot be undone is wanted; nothing of that kind needs no answer.

    What the run would do is handed back for it, without what was read of the account if that was too long ago. The run
    is held to the manifest as it was read.

    Args:
        output: Where the plan is shown.
        sessions: Make one that reads.
        manifest: What is to be provisioned.
        options: As for the run.
        quiet: Without progress.
        yes: All is wanted that cannot be undone, but for data that are removed.
        rows: So many data rows may be removed, if nobody is to be asked about that.
        now_s: Says the time.

    Raises:
        UsageError: It is not wanted, or there is nobody to ask.
        KeyboardInterrupt: Ctrl-C.
    """
    if manifest.is_stream:
        raise UsageError("--prune-data reads the manifest twice: give a file. Nothing was sent" if yes else _NO_STREAM)
    planned = _looked(None if quiet else output, sessions, manifest, options)
    looked_s, sums = now_s(), planned.sums
    if rows is not None and rows != sums.rows:
        raise UsageError(
            f"--yes-prune-data is {rows}, and {many(sums.rows, 'data row', 'data rows')} would be removed; see "
            "'encord-async plan --prune-data'. Nothing was sent"
        )
    is_asked, is_counted = not yes and bool(sums.irreversible or sums.retired), rows is None and sums.rows > 0
    if is_asked or is_counted:
        with at_the_terminal():
            _show(output, planned)
            _ask(sums, yes_needed=is_asked, number_needed=is_counted)
    is_fresh = now_s() - looked_s <= _FRESH_S
    groundwork = replace(sums.groundwork, is_agreed=True, listed=sums.groundwork.listed if is_fresh else {})
    return replace(sums, groundwork=groundwork)


_NO_STREAM: Final = (
    "entries from standard input are provisioned as they come, so that nobody can be asked about them before; "
    "give --yes if all that they hold may be made. Nothing was sent"
)


def _ask(sums: "Forecast", *, yes_needed: bool, number_needed: bool) -> None:
    if not on_terminal():
        ways = ["--yes"] * yes_needed + [f"--yes-prune-data {sums.rows}"] * number_needed
        raise UsageError(
            f"{_what(sums)} Standard input is no terminal, so nobody can be asked: give {' and '.join(ways)}, "
            "or --plan FILE with a plan that was reviewed. Nothing was sent"
        )
    if yes_needed and not agrees("Go on?"):
        raise UsageError("you did not agree; nothing was made")
    rows = many(sums.rows, "data row", "data rows")
    if number_needed and not types(sums.rows, f"To remove {rows} for good, type the number"):
        raise UsageError(f"that is not {sums.rows:,}; nothing was removed, and nothing was made")


def _looked(
    output: Output | None, sessions: "Callable[[], EncordSession]", manifest: "ManifestFile", options: Mapping[str, Any]
) -> Planned:
    from encord_async.engine.options import Options
    from encord_async.manifest.selection import Selection

    planned = Planned(existing_journal(manifest, options["journal"]))
    selection = Selection.of(options.get("only", ()), options.get("exclude", ()))
    chosen = Options.chosen({**options, "selection": selection})

    async def look() -> None:
        async with sessions() as session:
            await show_reading(output, planned.reading(session), lambda: planned.look(session, manifest, chosen))

    run(look, reads=True)
    return planned


def _show(output: Output, planned: Planned) -> None:
    show_heading(output, planned, err=True)
    print_warnings(output, planned.sums.warnings)
    print_included(output, planned.sums.included, planned.sums.not_chosen)
    removed = [one for one in planned.actions if one.verb.value == "remove"]
    if planned.sums.rows and removed:
        show_actions(output, removed, err=True)
        output.say("")
    output.table(forecast_rows(planned.sums), head=["action", "what", "number"], right=[2], err=True)
    output.say(_what(planned.sums), bold=True)


def _what(forecast: "Forecast") -> str:
    """What is asked about."""
    said = [irreversible_line(forecast)] if forecast.irreversible else []
    if forecast.retired:
        gone = many(forecast.retired, "thing that is", "things that are")
        said.append(
            f"{gone} gone from the manifest would be retired: their users, groups and data are taken off, and their "
            "status, if they have one, is set to archived."
        )
    said += [loss_line(forecast)] if forecast.rows else []
    return " ".join(said)


def consent(
    output: Output,
    sessions: "Callable[[], Callable[[], EncordSession]]",
    manifest: "ManifestFile",
    options: dict[str, Any],
    *,
    quiet: bool,
    yes: bool,
    rows: int | None,
) -> None:
    """See to it that all is wanted that *yes* does not cover (`agreed`); *options* get what is known of it then.

    It has a session made only if it is needed.

    Raises:
        UsageError: It is not wanted, or *rows* were given and nobody has asked to remove any.
    """
    removes, is_reviewed = options["prune_data"], "plan" in options
    if rows is not None and not removes:
        raise UsageError("--yes-prune-data is for --prune-data; give both, or neither")
    if not is_reviewed and (removes or not yes):
        with nothing_sent():
            options["forecast"] = forecast = agreed(
                output, sessions(), manifest, options, quiet=quiet, yes=yes, rows=rows
            )
        rows = forecast.rows
    if removes and rows is not None:
        options["prune_data"] = rows
