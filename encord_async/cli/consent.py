"""Before a run makes what cannot be undone, or retires what has gone: says what that is, and asks. It only reads."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from encord_async.cli.interrupts import run
from encord_async.cli.options import print_included, print_warnings
from encord_async.cli.output import Output, many, on_terminal
from encord_async.cli.plan import Planned, existing_journal, forecast_rows, irreversible_line, show_heading
from encord_async.cli.progress import show_reading
from encord_async.cli.question import agrees, at_the_terminal
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.manifest.variables import ManifestFile
    from encord_async.plan import Forecast

__all__ = ["agreed"]

_FRESH_S: Final = 60.0
"""What others make meanwhile is not in a listing: what is older than this could let a run make a second one of it."""


def agreed(
    output: Output,
    sessions: "Callable[[], EncordSession]",
    manifest: "ManifestFile",
    options: Mapping[str, Any],
    *,
    quiet: bool = False,
    now_s: Callable[[], float] = time.monotonic,
) -> "Forecast | None":
    """See to it that what cannot be undone is wanted; nothing of that kind needs no answer.

    Returns:
        What the run would do, for the run; None if that was seen too long ago, so that the account is read again.

    Raises:
        UsageError: It is not wanted, or there is nobody to ask.
        KeyboardInterrupt: Ctrl-C.
    """
    if manifest.is_stream:
        raise UsageError(
            "entries from standard input are provisioned as they come, so that nobody can be asked about them before; "
            "give --yes if all that they hold may be made. Nothing was sent"
        )
    planned = _looked(None if quiet else output, sessions, manifest, options)
    looked_s = now_s()
    if not planned.sums.irreversible and not planned.sums.retired:
        return planned.sums
    with at_the_terminal():
        _show(output, planned)
        if not on_terminal():
            raise UsageError(
                f"{_what(planned.sums)} Standard input is no terminal, so nobody can be asked: give --yes, "
                "or --plan FILE with a plan that was reviewed. Nothing was sent"
            )
        if not agrees("Go on?"):
            raise UsageError("you did not agree; nothing was made")
    return planned.sums if now_s() - looked_s <= _FRESH_S else None


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
    print_included(output, planned.sums.included)
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
    return " ".join(said)
