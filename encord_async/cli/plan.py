"""``encord-async plan``: says what apply would do. Only reads are sent, and nothing is written."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from encord_async.cli.failures import ExitCode, redacted, told, told_in
from encord_async.cli.interrupts import run
from encord_async.cli.options import (
    Service,
    concurrency_option,
    file_option,
    manifest_argument,
    output_options,
    planning_options,
    print_included,
    print_warnings,
    problem_json,
    service_options,
)
from encord_async.cli.outfile import force_option, refuse_others
from encord_async.cli.output import Output, many
from encord_async.cli.progress import show_reading
from encord_async.cli.verify import difference_row

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.engine.options import Options
    from encord_async.journal.journal import Journal
    from encord_async.journal.store import Owner
    from encord_async.journal.taken_off import TakenOff, TakenOffs
    from encord_async.manifest.selection import Selection
    from encord_async.manifest.variables import ManifestFile
    from encord_async.plan import Action, Forecast, Gone
    from encord_async.verify.difference import Difference

__all__ = [
    "Planned",
    "existing_journal",
    "forecast_rows",
    "irreversible_line",
    "loss_line",
    "plan",
    "print_gone",
    "print_taken_off",
    "read_so_far",
    "show_actions",
    "show_heading",
    "shown_journal",
]

_ENCORD: Final = "encord.com"
_MAX_ACTIONS: Final = 100_000
_MAX_GONE: Final = 20


_HELP: Final = """\
Say what 'apply' would do with MANIFEST, as a difference: create, adopt, add, remove, change, settle, or refuse
and why. Only reads are sent.

It is the run itself, rehearsed: with the same journal and the same options it decides as 'apply' does. What the
journal says is done costs no request and is only counted; --refresh looks at the account for it as well. What the
journal knows as made and the manifest no longer has is listed, and so is who or what was taken off an entry, but not
with --only or --exclude; without --retire and --prune nothing is done about it. What an earlier run left in doubt is
looked for once; 'apply' looks longer, and makes it only if it surely is not there. At most 100,000 actions are shown;
all are counted. '-' reads JSON lines from standard input.

\b
Examples:
  encord-async plan programme.jsonl
  encord-async plan programme.jsonl --existing fail --json
  encord-async plan programme.jsonl --refresh --summary
  encord-async plan programme.jsonl --only 'cats-*' --exclude cats-old
  encord-async plan programme.jsonl --out reviewed.plan

Exit codes: 0 nothing is in the way, 1 some entries would fail, 2 a bad manifest, journal or key, 4 the service does
not accept the key, 6 with --detailed-exit-code: something would change.
"""


@click.command(short_help="Say what apply would do; only reads.", help=_HELP)
@manifest_argument
@service_options
@planning_options
@click.option("--refresh", is_flag=True, help="Look at what the journal says is done, too, and show what has drifted.")
@file_option("--out", help="Keep the plan in FILE, for 'apply --plan FILE': exactly that, or nothing.")
@click.option("--summary", is_flag=True, help="Only the numbers, without the list of actions.")
@click.option("--detailed-exit-code", is_flag=True, help="End with 6 if something would change.")
@force_option
@concurrency_option
@output_options
def plan(
    *,
    output: Output,
    service: Service,
    manifest: "ManifestFile",
    journal: str | None,
    options: "Callable[[], Options]",
    refresh: bool,
    out: str | None,
    summary: bool,
    detailed_exit_code: bool,
    force: bool,
    concurrency: int,
) -> int:
    """See `_HELP`."""
    if out is not None:
        refuse_others(out, lambda head: head.startswith(b'{"format": "encord-async plan'), force=force)
    planned = Planned(existing_journal(manifest, journal))
    sessions = service.sessions(concurrency=concurrency)

    async def look() -> None:
        async with sessions() as session:
            made = functools.partial(planned.look, session, manifest, options(), refresh=refresh, out=out)
            await show_reading(output, planned.reading(session), made)

    run(look, reads=True)
    print_warnings(output, planned.sums.warnings)
    print_included(output, planned.sums.included, planned.sums.not_chosen)
    if output.json:
        output.result(planned.as_json())
    else:
        _print(output, planned, summary=summary)
    return planned.exit_code(detailed=detailed_exit_code)


def existing_journal(manifest: "ManifestFile", journal: str | None) -> str | None:
    """The journal of the run, if it is there yet."""
    from encord_async.journal.journal import is_url

    journal = journal or manifest.journal
    if journal is None or is_url(journal) or Path(journal).exists():
        return journal
    return None


@dataclass(slots=True)
class Planned:
    """A plan, and what it was made of.

    Attributes:
        journal: Where the journal is; None if there is none yet.
        domain: The service's address.
        account: A name of the account that may be shown.
        owner: Who writes the journal meanwhile, if anybody does.
        forecast: The sums.
        actions: The first of the actions.
        drift: With a look at the account: how it differs from what is done.
        read: How many things of the account were read.
        requests: How many were sent; all were reads.
        retires: Whether what the manifest no longer has is retired.
        prunes: Whether what is too much in things is taken out.
    """

    journal: str | None = None
    domain: str = ""
    account: str = ""
    owner: "Owner | None" = None
    forecast: "Forecast | None" = None
    actions: "list[Action]" = field(default_factory=list)
    drift: "list[Difference] | None" = None
    read: int = 0
    requests: int = 0
    retires: bool = False
    prunes: bool = False

    def reading(self, session: "EncordSession") -> "Callable[[], str]":
        """Says how far the look at the account is."""

        def text() -> str:
            return read_so_far(self.read, session.statistics().requests)

        return text

    def _count(self) -> None:
        self.read += 1

    async def look(
        self,
        session: "EncordSession",
        manifest: "ManifestFile",
        options: "Options",
        *,
        refresh: bool = False,
        out: str | None = None,
    ) -> None:
        """Make the plan, and keep it in the file *out* if one is given."""
        from encord_async.journal.journal import Journal
        from encord_async.saved_plan import make_plan

        self.domain, self.account = session.settings.domain, session.identity
        self.retires, self.prunes = options.retire, options.prune
        async with AsyncExitStack() as stack:
            opened: Journal | None = None
            if self.journal is not None:
                opened = await stack.enter_async_context(Journal(self.journal, None))
                self.owner = await opened.owner()
            self.forecast = await make_plan(
                session,
                manifest,
                options,
                journal=opened,
                on_action=self._keep,
                out=out,
                on_read=self._count,
            )
            if refresh and opened is not None:
                self.drift = await _drift(session, manifest, opened, options.selection)
        self.actions.sort(key=lambda action: action.number)
        self.requests = session.statistics().requests

    def _keep(self, action: "Action") -> None:
        if len(self.actions) < _MAX_ACTIONS:
            self.actions.append(action)

    @property
    def sums(self) -> "Forecast":
        """The sums; there are some once the plan is made."""
        if self.forecast is None:
            raise AssertionError("the plan is not made yet")
        return self.forecast

    def as_json(self) -> dict[str, object]:
        """What programs get."""
        shown: dict[str, object] = {
            "domain": self.domain,
            "account": self.account,
            "entries": self.sums.entries,
            "actions": [told_in(action.as_json()) for action in self.actions],
            "counts": self.sums.as_json(),
            "irreversible": self.sums.irreversible,
            "gone": [one.as_json() for one in self.sums.gone],
            "taken_off": self.sums.taken_off.as_json(),
            "included": [one.as_json() for one in self.sums.included],
            "not_chosen": self.sums.not_chosen.as_json(),
            "warnings": list(map(problem_json, self.sums.warnings)),
            "requests": self.requests,
        }
        return shown if self.drift is None else shown | {"drift": [told_in(one.as_json()) for one in self.drift]}

    def exit_code(self, *, detailed: bool) -> int:
        """See the verb."""
        from encord_async.plan import Verb

        code = ExitCode.FAILED if self.sums.count(Verb.REFUSE) else ExitCode.DONE
        if detailed and (self.sums.changes or self.drift):
            code = max(code, ExitCode.WOULD_CHANGE)
        return code


def read_so_far(things: int, requests: int) -> str:
    """How far a look at the account is; nothing before it has begun."""
    found = [(things, "thing", "things"), (requests, "request", "requests")]
    said = ", ".join(many(*one) for one in found if one[0])
    return f"reading the account: {said}" if said else ""


async def _drift(
    session: "EncordSession", manifest: "ManifestFile", journal: "Journal", selection: "Selection"
) -> "list[Difference]":
    """How the account differs from what the journal says is done."""
    from encord_async.verify.compare import compare
    from encord_async.verify.wishes import gather

    found: list[Difference] = []
    wishes = await gather(manifest, journal, selection)
    # What was never made is what the plan itself is about.
    wishes.absent.clear()
    await compare(session, wishes, journal, on_difference=found.append)
    return sorted(found, key=lambda one: (one.place.number, one.what, one.fault, one.item))


def show_heading(output: Output, planned: Planned, *, err: bool = False) -> None:
    """Say whom a plan is about: in colour where that is the real one."""
    say = output.say if err else output.line
    host = urlsplit(planned.domain).hostname or ""
    is_real = host == _ENCORD or host.endswith(f".{_ENCORD}")
    whose = " (Encord's own service)" if is_real else ""
    say(f"account  {planned.account} at {planned.domain}{whose}", bold=is_real, fg="yellow" if is_real else None)
    say(f"journal  {shown_journal(planned.journal) or 'none yet: nothing is known of earlier runs'}")
    if planned.owner is not None:
        say(f"A run is going on in {planned.owner}: what it has under way is shown as if it was in doubt.", bold=True)


def shown_journal(journal: str | None) -> str | None:
    """The path or URL of a journal as it may be printed."""
    from encord_async.journal.journal import is_url

    if journal is None or not is_url(journal):
        return journal
    from encord_async.journal.postgres import without_password

    return without_password(journal)


def print_gone(output: Output, gone: "Sequence[Gone]", *, retires: bool = False, most: int = _MAX_GONE) -> None:
    """Say what earlier runs made, and no entry has; that about which nothing is left to do is only counted."""
    from encord_async.journal.taken_off import still_working

    listed = [one for one in gone if output.verbose or not one.is_at_rest]
    most = len(listed) if output.verbose else most
    for one in listed[:most]:
        name = f" @{one.key}" if one.key else ""
        keys = f"; {still_working(one.keys)}" if one.keys and not retires else ""
        output.line(f"{_gone(one, retires=retires)}: {_nouns(one.what)[0]}{name} {one.title!r} ({one.hash}){keys}")
    if len(listed) > most:
        more = len(listed) - most
        output.line(f"... and {more:,} more {'is' if more == 1 else 'are'} gone from the manifest")
    counted = [one for one in gone if one.is_at_rest and not output.verbose]
    if counted:
        sorts = Counter(one.what for one in counted)
        things = " and ".join(many(number, *_nouns(what)) for what, number in sorts.items())
        number = sum(len(one.keys) for one in counted)
        keys = f"{many(number, 'API key of theirs goes', 'API keys of theirs go')} on working; " if number else ""
        output.line(f"{_AT_REST}: {things}; {keys}-v lists them")


_AT_REST: Final = "gone from the manifest, and by the journal nothing is left for --retire to do"


def _gone(one: "Gone", *, retires: bool) -> str:
    if one.is_at_rest and not retires:
        return _AT_REST
    return "gone from the manifest" + ("" if retires else ", and nothing is done about it without --retire")


def print_taken_off(output: Output, found: "TakenOffs | None", *, prunes: bool = False, most: int = _MAX_GONE) -> None:
    """Say what earlier runs have put into things, and no entry says any more; None before that is known.

    What is the same of many things takes one line, but with ``--verbose``.
    """
    if found is None:
        return
    alike: dict[object, list[TakenOff]] = {}
    for one in found.first:
        alike.setdefault(one if output.verbose else (one.what, one.item, one.parent, one.prospect), []).append(one)
    shown = 0
    for one, *others in list(alike.values())[: None if output.verbose else most]:
        said = "gone from the manifest" + ("" if prunes and one.can_go else f", and {one.prospect}")
        noun, plural = _nouns(one.parent or "")
        elsewhere = f" and in {many(len(others), f'other {noun}', f'other {plural}')}" if others else ""
        output.line(redacted(f"{said}: {one}{elsewhere}"))
        shown += 1 + len(others)
    if found.number > shown:
        more = found.number - shown
        output.line(f"... and {more:,} more of what is in things {'is' if more == 1 else 'are'} gone from the manifest")


def _print(output: Output, planned: Planned, *, summary: bool) -> None:
    forecast = planned.sums
    show_heading(output, planned)
    output.line()
    if planned.actions and not summary:
        show_actions(output, planned.actions)
        if len(planned.actions) == _MAX_ACTIONS:
            output.line("... and more; all are counted below")
        output.line()
    _print_drift(output, planned)
    print_gone(output, forecast.gone, retires=planned.retires)
    print_taken_off(output, forecast.taken_off, prunes=planned.prunes)
    if forecast.gone or forecast.taken_off.number:
        output.line()
    rows = forecast_rows(forecast)
    if rows:
        output.table(rows, head=["action", "what", "number"], right=[2])
        output.line()
    if forecast.changes:
        output.line(irreversible_line(forecast), bold=True)
        if forecast.rows:
            output.line(loss_line(forecast), bold=True)
    else:
        output.line(f"No changes: {many(forecast.entries, 'entry is', 'entries are')} as wished.", bold=True)


def show_actions(output: Output, actions: "Sequence[Action]", *, err: bool = False) -> None:
    """Print what would be done, one a line."""
    output.table(
        [(one.place, _LOUD.get(one.verb, one.verb), _nouns(one.what)[0], _described(one)) for one in actions],
        head=["entry", "action", "what", ""],
        colours={1: _COLOURS},
        err=err,
    )


def _print_drift(output: Output, planned: Planned) -> None:
    for one in planned.drift or ():
        # In the words of verify.
        output.line(f"drift  {' '.join(difference_row(one))}")
    if planned.drift:
        counts = Counter(one.fault for one in planned.drift)
        output.line(f"{many(counts.total(), 'difference', 'differences')}; 'encord-async verify --fix' can mend some")
        output.line()


_LOUD: Final = {"refuse": "REFUSE"}
_COLOURS: Final = {
    "create": "green",
    "adopt": "cyan",
    "add": "green",
    "remove": "yellow",
    "change": "yellow",
    "move": "cyan",
    "settle": "magenta",
    "REFUSE": "bold red",
}


def _nouns(what: str) -> tuple[str, str]:
    from encord_async.kinds.registry import nouns

    return nouns(what)


def _described(action: "Action") -> str:
    items = ", ".join(action.named[:5]) + (f" and {len(action.items) - 5:,} more" if len(action.items) > 5 else "")
    parts = [items]
    if action.role:
        parts.append(f"as {action.role}" + (f" and no more as {action.was}" if action.was else ""))
    if action.project:
        parts.append(f"in {action.title} ({action.project})" if action.title else f"in {action.project}")
    if action.overwrites:
        parts.append(f"overwriting {'; '.join(action.overwrites)}")
    if action.to:
        parts.append(f"to {action.to}, in the journal alone")
    if action.file:
        parts.append(f"from the file {action.file}")
    if action.hash:
        parts.append(f"({action.hash})")
    return " ".join(parts) + (f": {told(action.reason)}" if action.reason else "")


def forecast_rows(forecast: "Forecast") -> list[tuple[str, str, int]]:
    """Action, what, and how many, for a table."""
    return [
        (_LOUD.get(verb, verb), _nouns(what)[0], number)
        for verb, sorts in forecast.as_json().items()
        for what, number in sorts.items()
    ]


def irreversible_line(forecast: "Forecast") -> str:
    """How many things that cannot be undone would be made, and which."""
    if not forecast.irreversible:
        return "Nothing that cannot be undone would be made."
    parts = [many(number, *_nouns(what)) for what, number in forecast.irreversible_counts().items()]
    things = many(forecast.irreversible, "thing", "things")
    return f"{things} that cannot be undone would be made: {', '.join(parts)}."


def loss_line(forecast: "Forecast") -> str:
    """How much data would be removed for good."""
    rows = many(forecast.rows, "data row", "data rows")
    return f"{rows} would be removed from datasets for good, and the labels with them."
