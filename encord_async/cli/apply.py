"""``encord-async apply``: provisions a manifest, shows how far it is, and says what became of it.

What is sent, and when, is decided below the session; here are the question before, the words during and after.
"""

import functools
import gc
import logging
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import click

from encord_async.cli.api_keys import MadeKeys
from encord_async.cli.cluster import begin_on, cluster
from encord_async.cli.consent import consent
from encord_async.cli.failures import ExitCode, as_json, exit_code, hint, redacted, told, told_in
from encord_async.cli.interrupts import Interrupts, interruptible, listening, nothing_sent
from encord_async.cli.keys_sink import sink
from encord_async.cli.options import (
    Finite,
    Service,
    Whole,
    changing_options,
    concurrency_option,
    dataset_api_option,
    existing_option,
    file_option,
    manifest_argument,
    max_batch_option,
    max_failures_option,
    output_options,
    print_included,
    print_warnings,
    problem_json,
    report,
    report_interrupt,
    run_journal_option,
    selection_options,
    service_options,
    skip_invalid_option,
    stamp_option,
)
from encord_async.cli.outcomes import Recorder
from encord_async.cli.outfile import force_option
from encord_async.cli.output import Output, many
from encord_async.cli.plan import existing_journal, print_gone, print_taken_off, shown_journal
from encord_async.cli.progress import show_bar, show_lines
from encord_async.errors import EncordError, JournalError, UsageError

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.cluster import ClusterRun
    from encord_async.engine.outcome import Outcome, Status, Summary
    from encord_async.engine.roll import Register
    from encord_async.engine.run import Run
    from encord_async.journal.taken_off import TakenOffs
    from encord_async.kinds.files import Unit
    from encord_async.manifest.place import Problem
    from encord_async.manifest.selection import Selection
    from encord_async.manifest.variables import ManifestFile
    from encord_async.plan import Gone

__all__ = ["Ending", "apply", "begin_here", "print_ending", "provision"]

_SHOWN_FAILURES: Final = 10
_SHOWN_GONE: Final = 10
_NOT_SEEN: Final = ("not looked at", "does that")
_REASONS: Final = {"fail_fast": "--fail-fast", "max_failures": "--max-failures"}

logger = logging.getLogger("encord_async.cli")


_HELP: Final = """\
Provision MANIFEST: each entry exactly once, in parallel, in as few requests as the API allows.

The whole manifest is checked first. If an entry is bad, nothing is sent (see --skip-invalid). You are asked before
anything is made that cannot be undone. If standard input is no terminal, nobody can be asked: give --yes or a
reviewed --plan, or nothing is sent. '-' reads JSON lines from standard input. These are provisioned as they come,
which needs --yes, and the first bad entry stops the run.

The journal makes a run safe to kill: the same command goes on where it was. For a manifest from standard input,
name a journal, or there is none.

With --dask the bounds --concurrency and --max-rate are those of the whole cluster. The workers take the key from
--ssh-key-file or the environment, and the password of the database from PGPASSWORD or ~/.pgpass, each its own.

Projects and API keys cannot be deleted through the API. What is there already under the same title and
description is adopted, see --existing and 'encord-async plan'.

Progress goes to standard error: a bar on a terminal, otherwise a line every five seconds. The first Ctrl-C lets the
requests under way end and starts no others; the second stops at once.

\b
Examples:
  encord-async apply programme.jsonl
  encord-async apply programme.jsonl --plan reviewed.plan
  encord-async apply programme.jsonl --only 'cats-*' --only tag=wave-2
  encord-async apply programme.jsonl --yes --outcomes outcomes.jsonl --max-failures 5%
  generate-programme | encord-async apply - --yes --json
  encord-async apply programme.jsonl --journal 'postgresql://me@db/encord?job=programme' --dask local:4

\b
Exit codes, of several that apply the highest:
  0 all entries are satisfied                     4 the service does not accept the key
  1 some failed, or were not tried                5 stopped by --fail-fast or --max-failures
  2 bad usage or bad manifest, nothing sent     130 interrupted
  3 some are in doubt: they may have happened
"""


@click.command(short_help="Provision a manifest.", help=_HELP)
@manifest_argument
@service_options
@run_journal_option
@click.option(
    "--dask",
    metavar="ADDRESS|local:N",
    help="Provision on a Dask cluster: the address of its scheduler, as tcp://scheduler:8786, or N processes here. "
    "Needs a journal in PostgreSQL.",
)
@concurrency_option
@click.option(
    "--max-rate",
    "max_rate_per_s",
    type=Finite(min=0, min_open=True),
    metavar="R",
    help="Most requests a second.  [default: as many as the service takes, which is found out]",
)
@existing_option
@dataset_api_option
@max_batch_option
@click.option(
    "--settle-s",
    type=Finite(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look for a create that got no answer, before it is sent again or left in doubt.",
)
@stamp_option
@selection_options
@file_option("--plan", "reviewed", help="Do exactly what 'plan --out FILE' has kept, or nothing; asks no question.")
@click.option("--yes", is_flag=True, help="Do not ask before making what cannot be undone.")
@click.option(
    "--yes-prune-data",
    "yes_rows",
    type=Whole(min=0),
    metavar="N",
    help="With --prune-data: remove exactly N data rows, as 'plan' names the number, or stop before anything is sent.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first entry that fails.")
@max_failures_option
@skip_invalid_option
@changing_options
@file_option("--outcomes", help="Write what became of each entry to FILE, as JSON lines.")
@file_option(
    "--api-keys",
    "keys_file",
    help="Add the API keys that this run makes to FILE, as JSON lines, and those of earlier ones with its journal that "
    "no file or command was given yet; nobody else may read it.",
)
@click.option(
    "--api-keys-to",
    "keys_command",
    metavar="COMMAND",
    help="The same to the standard input of COMMAND, as 'vault-write --path encord': a program with its arguments, "
    "without a shell. If it does not end with 0, that is told.",
)
@force_option
@click.option("--no-progress", is_flag=True, help="Do not show progress.")
@output_options
def apply(
    *,
    output: Output,
    service: Service,
    manifest: "ManifestFile",
    yes: bool,
    yes_rows: int | None,
    outcomes: str | None,
    journal: str | None,
    dask: str | None,
    reviewed: str | None,
    keys_file: str | None,
    keys_command: str | None,
    selection: "Selection",
    **options: Any,
) -> int:
    """See `_HELP`."""
    no_progress, force = options.pop("no_progress"), options.pop("force")
    options["journal"] = journal or manifest.journal
    options |= {"only": selection.only, "exclude": selection.exclude}
    bounds = {name: options.pop(name) for name in ("concurrency", "max_rate_per_s")}
    if dask is not None:
        _check_can_be_shared(reviewed, options)
    if reviewed is not None:
        options["plan"] = reviewed
    sessions = functools.cache(functools.partial(service.sessions, **bounds))
    consent(output, sessions, manifest, options, quiet=no_progress, yes=yes, rows=yes_rows)
    ending = _ending(manifest, journal, options)
    with ExitStack() as until_the_last_word:
        made = MadeKeys(sink(keys_file, keys_command), manifest, journal, sessions, settle_s=options["settle_s"])
        keys = until_the_last_word.enter_context(made)
        with Recorder(outcomes, str(manifest), force=force) as recorder, ExitStack() as stack:
            if dask is None:
                begin: Begin = functools.partial(begin_here, sessions()(), manifest, options)
            else:
                with nothing_sent():
                    client = stack.enter_context(cluster(dask, options["journal"]))
                begin = functools.partial(begin_on, client, service, service.settings(**bounds), manifest, options)

            async def work(interrupts: Interrupts) -> None:
                bar = None if no_progress or output.json else output
                await provision(
                    keys.noting(begin), ending, on_outcome=recorder.write, interrupts=interrupts, progress=bar
                )

            interrupts = until_the_last_word.enter_context(listening())
            anyio.run(interruptible, work, interrupts)
        interrupts.count += keys.hand_on(output)
        return _finish(output, ending, [recorder.error, keys.error], interrupted=interrupts.count > 0)


def _ending(manifest: "ManifestFile", journal: str | None, options: Mapping[str, Any]) -> "Ending":
    """What is known of the end of a run before it begins."""
    looks, is_reviewed = _verify(manifest, journal) if existing_journal(manifest, journal) else None, "plan" in options
    return Ending(
        journal=shown_journal(options["journal"]),
        looks=looks,
        looked_at=frozenset() if is_reviewed else _followed(options),
        is_reviewed=is_reviewed,
        prunes=options["prune"],
        retires=options["retire"],
    )


def _followed(options: Mapping[str, Any]) -> frozenset[str]:
    """Kinds of entries of which a run looks at what is there, as always or because that is to follow them."""
    from encord_async.kinds.registry import ENTRY_MODELS
    from encord_async.kinds.thing import Thing

    always = frozenset(kind for kind, model in ENTRY_MODELS.items() if model.is_looked_at)
    makers = ((kind, model.makes) for kind, model in ENTRY_MODELS.items())
    edited = (kind for kind, one in makers if isinstance(one, Thing) and options.get(one.edited_with or ""))
    return always.union(edited)


def _check_can_be_shared(reviewed: str | None, options: Mapping[str, Any]) -> None:
    """Raises `UsageError` for what a run on a cluster cannot do."""
    if reviewed is not None:
        raise UsageError("--plan is for a run on one machine; leave out --dask")
    if options["prune"] or options["retire"] or options["prune_data"]:
        raise UsageError(
            "--prune, --retire and --prune-data are for a run on one machine: run once more without --dask"
        )


@dataclass(slots=True)
class Ending:
    """How a run ended.

    Attributes:
        journal: Where it is written down.
        summary: The sums, if it got that far.
        failure: What stopped it, or kept it from starting.
        failed: The first entries that failed or are in doubt.
        blocked: The first whose needs failed.
        looks: The command that looks at what was taken from the journal, if there was one.
        looked_at: Kinds of entries of which the run looks at what is there, whatever the journal says.
        is_reviewed: Whether it is held to a plan, and so looks at nothing that this keeps.
        unseen: How many entries of other kinds are unchanged.
        seen: Those of the kinds that are looked at of which entries are unchanged.
        prunes: Whether it looks for what is too much, once the manifest is at its end.
        wrong: How many have failed, are in doubt or blocked, and have an outcome that says so.
        warnings: What should be known of the manifest, though nothing is wrong with it.
        register: What is known of the manifest as a whole.
        gone: What earlier runs made, and no entry has.
        taken_off: What earlier runs have put into things, and no entry says any more.
        retires: Whether that is put to rest.
        files_failed: How many files could not be registered.
        units: The first of them.
    """

    journal: str | None = None
    summary: "Summary | None" = None
    failure: EncordError | None = None
    failed: "list[Outcome]" = field(default_factory=list)
    blocked: "list[Outcome]" = field(default_factory=list)
    looks: str | None = None
    looked_at: frozenset[str] = frozenset()
    is_reviewed: bool = False
    unseen: int = 0
    seen: set[str] = field(default_factory=set)
    prunes: bool = False
    wrong: int = 0
    warnings: "tuple[Problem, ...]" = ()
    register: "Register | None" = None
    gone: "Sequence[Gone]" = ()
    taken_off: "TakenOffs | None" = None
    retires: bool = False
    files_failed: int = 0
    units: "list[Unit]" = field(default_factory=list)

    def note(self, outcome: "Outcome") -> None:
        """Count *outcome*; if it went wrong and is one of the first keep it, and its files that went wrong."""
        if outcome.status.value == "unchanged" and outcome.kind in self.looked_at:
            self.seen.add(outcome.kind)
        elif outcome.status.value == "unchanged":
            self.unseen += 1
        self.files_failed += len(outcome.units)
        self.units += outcome.units[: _SHOWN_FAILURES - len(self.units)]
        kept = {"failed": self.failed, "in_doubt": self.failed, "blocked": self.blocked}.get(outcome.status.value)
        if kept is None:
            return
        self.wrong += 1
        if len(kept) < _SHOWN_FAILURES:
            kept.append(outcome)

    @property
    def shown(self) -> "list[Outcome]":
        """The first that went wrong; those that are only blocked come last."""
        return (self.failed + self.blocked)[:_SHOWN_FAILURES]


AnyRun: TypeAlias = "Run | ClusterRun"
Begin: TypeAlias = Callable[[AsyncExitStack], "Awaitable[AnyRun]"]
"""Begins a run that ends with the stack."""


async def begin_here(
    session: "EncordSession", manifest: "str | ManifestFile", options: Mapping[str, Any], stack: AsyncExitStack
) -> "AnyRun":
    """Begin to provision *manifest* over *session*, which is opened here; *options* as `EncordSession.provision`."""
    await stack.enter_async_context(session)
    return await stack.enter_async_context(session.provision(manifest, **options))


async def provision(
    begin: Begin,
    ending: Ending,
    *,
    on_outcome: "Callable[[Outcome], str | None]",
    interrupts: Interrupts,
    progress: Output | None,
) -> None:
    """Run what *begin* begins, and fill in *ending*, whatever ends the run.

    Args:
        begin: Begins the run.
        ending: Is filled in.
        on_outcome: Is given each outcome; if it answers with a reason, the run drains.
        interrupts: Where to say how the run drains.
        progress: Where to show how far it is.
    """
    try:
        async with AsyncExitStack() as stack:
            run = await begin(stack)
            # What is loaded by now, the journal's library included, lives as long as the process: to go through it
            # again and again would stall the event loop.
            gc.freeze()
            interrupts.on_first(lambda: _drain(run))
            try:
                await _consume(run, ending, on_outcome, progress)
                if ending.failure is None:
                    ending.gone, ending.taken_off = await _gone(run.register), await run.register.taken_off()
            finally:
                ending.summary, ending.warnings = _complete(run.summary), run.warnings
                ending.register = run.register
    except EncordError as error:
        # The manifest or an option is bad: the run has not begun. Or its stream cannot be read any more.
        ending.failure = error


async def _gone(register: "Register") -> "Sequence[Gone]":
    if not (records := await register.gone()):
        return ()
    from encord_async.plan import Gone

    return Gone.all_of(records, await register.leftovers(records))


async def _consume(
    run: "AnyRun", ending: Ending, on_outcome: "Callable[[Outcome], str | None]", progress: Output | None
) -> None:
    async with anyio.create_task_group() as group:
        if progress is not None:
            show = show_bar if sys.stderr.isatty() else show_lines
            group.start_soon(show, progress, run.progress)
        try:
            async for outcome in run:
                logger.debug("%s", _Line(outcome))
                ending.note(outcome)
                reason = on_outcome(outcome)
                if reason is not None:
                    run.drain(reason)
        except EncordError as error:
            ending.failure = error
        group.cancel_scope.cancel()


def _drain(run: "AnyRun") -> None:
    run.drain("interrupted")
    under_way = run.progress().statistics.in_flight
    requests = "request" if under_way == 1 else "requests"
    sys.stderr.write(f"stopping: {under_way} {requests} under way; press Ctrl-C again to stop at once\n")
    sys.stderr.flush()


def _complete(summary: "Summary") -> "Summary":
    """*summary*, with entries and removals that were cut off half-way counted as in doubt: they may have happened."""
    from encord_async.engine.outcome import Status

    def whole(number: int, counts: "Mapping[Status, int]") -> "Mapping[Status, int]":
        cut_off = number - sum(counts.values())
        return {**counts, Status.IN_DOUBT: counts.get(Status.IN_DOUBT, 0) + cut_off} if cut_off else counts

    entries = whole(summary.entries, summary.by_status)
    removals = whole(summary.removals, summary.removals_by_status)
    return replace(summary, by_status=entries, removals_by_status=removals)


@dataclass(frozen=True, slots=True)
class _Line:
    """An outcome as a line of the log, made only if somebody reads it."""

    outcome: "Outcome"

    def __str__(self) -> str:
        one = self.outcome
        parts = [one.status.value, one.kind, f"@{one.key}" if one.key else "", one.hash or "", one.place]
        return " ".join(part for part in parts if part) + (f": {one.error}" if one.error is not None else "")


def _finish(output: Output, ending: Ending, unwritten: Sequence[str | None], *, interrupted: bool) -> int:
    """Say how it ended, and return the exit code."""
    code = exit_code(ending.summary, ending.failure, interrupted=interrupted)
    write_errors = [error for error in unwritten if error is not None]
    if write_errors:
        code = max(code, ExitCode.FAILED)
    if ending.summary is None:
        if ending.failure is not None:
            report(output, ending.failure)
        else:
            report_interrupt(output, sent=False)
        return code
    if output.json:
        shown = ending.summary.as_json()
        if ending.warnings:
            shown["warnings"] = list(map(problem_json, ending.warnings))
        if ending.register is not None:
            shown |= ending.register.as_json()
        if ending.gone:
            shown["gone"] = [one.as_json() for one in ending.gone]
        if ending.taken_off is not None and ending.taken_off.number:
            shown["taken_off"] = ending.taken_off.as_json()
        if ending.files_failed:
            shown["files_failed"] = ending.files_failed
        if ending.shown:
            shown["first_failures"] = [told_in(outcome.as_json()) for outcome in ending.shown]
        output.result(shown if ending.failure is None else {**shown, "error": as_json(ending.failure)})
    print_ending(output, ending)
    for error in write_errors:
        output.error(error)
    return code


def print_ending(output: Output, ending: Ending) -> None:
    """The sums as a table, the first entries that went wrong, and what stopped the run."""
    summary = ending.summary
    if summary is None:
        return
    rows = [(word, summary.by_status[status]) for status, word in _words() if summary.by_status.get(status)]
    taken = summary.removals_by_status
    rows += [(f"removals {word}", taken[status]) for status, word in _removal_words() if taken.get(status)]
    removals = f" and {many(summary.removals, 'removal', 'removals')}" if summary.removals else ""
    least = "at least " if summary.uncounted else ""
    output.line(
        f"{many(summary.entries, 'entry', 'entries')}{removals} in {summary.elapsed_s:.2f} s: {least}"
        f"{many(summary.requests, 'request', 'requests')}, {many(summary.retries, 'retry', 'retries')}, "
        f"{summary.throttled:,} throttled",
        bold=True,
    )
    output.table(rows, right=[1])
    print_warnings(output, ending.warnings)
    if ending.register is not None:
        print_included(output, ending.register.choice.included, ending.register.choice.not_chosen)
        for one in ending.register.moved:
            output.say(redacted(str(one)))
    if ending.files_failed and not output.json:
        output.say(f"{many(ending.files_failed, 'file', 'files')} could not be registered:")
        for unit in ending.units:
            output.say(f"    {told(unit.url)}: {told(unit.error)}")
        if ending.files_failed > len(ending.units):
            output.say(f"... and {ending.files_failed - len(ending.units):,} more; --outcomes FILE writes them all")
    if not output.json:
        _print_failures(output, ending, summary)
        print_gone(output, ending.gone, retires=ending.retires, most=_SHOWN_GONE)
        print_taken_off(output, ending.taken_off, prunes=ending.prunes, most=_SHOWN_GONE)
    if ending.unseen:
        _print_unseen(output, ending, summary)
    if ending.failure is not None:
        report(replace(output, json=False), ending.failure)
    elif summary.stopped_by is not None:
        output.say(f"stopped before the end: {_REASONS.get(summary.stopped_by, summary.stopped_by)}", bold=True)
        if ending.journal is not None:
            output.say("hint: to go on run the same command again; what is done is not done twice")


def _print_unseen(output: Output, ending: Ending, summary: "Summary") -> None:
    """Say what was not looked at."""
    if ending.is_reviewed:
        output.line(
            "What the plan keeps was not looked at: files and tasks that have come since are for another plan, "
            "'encord-async plan'."
        )
    elif ending.looks is not None:
        is_pruned = ending.prunes and ending.failure is None and summary.stopped_by is None
        seen, rest = ("only what is too much was looked for", "looks at it all") if is_pruned else _NOT_SEEN
        what = f"Apart from {' and '.join(sorted(ending.seen))}, what" if ending.seen else "What"
        output.line(f"{what} earlier runs have done was taken from the journal, and {seen}: '{ending.looks}' {rest}.")


def _print_failures(output: Output, ending: Ending, summary: "Summary") -> None:
    from encord_async.engine.outcome import Status

    for outcome in ending.shown:
        name = f" @{outcome.key}" if outcome.key else ""
        output.say(f"{outcome.place}: {outcome.kind}{name}: {outcome.status.replace('_', ' ')}")
        if outcome.error is not None:
            output.say(f"    {told(str(outcome.error))}")
            # What is in doubt has a hint of its own, below.
            if hint(outcome.error) and outcome.status.value != "in_doubt":
                output.say(f"    hint: {hint(outcome.error)}")
        if outcome.candidates:
            output.say(f"    it may be one of {', '.join(outcome.candidates)}")
    more = ending.wrong - len(ending.shown)
    if more > 0:
        output.say(f"... and {more:,} more; --outcomes FILE writes them all")
    if Status.IN_DOUBT in {**summary.by_status, **summary.removals_by_status}:
        output.say(f"hint: {_way_out(ending.journal, ending.failure)}")


def _verify(manifest: "ManifestFile", journal: str | None) -> str:
    """The command that looks at the account; it takes no entries from standard input."""
    given = [] if journal is None else ["--journal", shown_journal(journal) or ""]
    return shlex.join(["encord-async", "verify", str(manifest), *given])


def _way_out(journal: str | None, failure: EncordError | None) -> str:
    """What to do about what is in doubt."""
    if journal is None:
        return "what is in doubt may be there: look in the account before you run this again, and give it a --journal"
    if isinstance(failure, JournalError):
        # Without it a run makes again what it cannot find by its title: keys, above all.
        return (
            f"put {journal} right first, see the error; the next run then finds out about what is in doubt. "
            "If it is lost, look in the account before you run this again"
        )
    again = "run the same again, or"
    return f"to find out about what is in doubt {again} 'encord-async settle {journal}'; 'status' lists it"


def _words() -> "list[tuple[Status, str]]":
    from encord_async.engine.outcome import Status

    return [
        (Status.CREATED, "created"),
        (Status.ADOPTED, "adopted"),
        (Status.UPDATED, "updated"),
        (Status.UNCHANGED, "unchanged"),
        (Status.FAILED, "failed"),
        (Status.BLOCKED, "blocked: what they need failed"),
        (Status.IN_DOUBT, "in doubt: may have happened"),
        (Status.CANCELLED, "cancelled: not finished"),
    ]


def _removal_words() -> "list[tuple[Status, str]]":
    from encord_async.engine.outcome import Status

    done = [(Status.UPDATED, "done"), (Status.UNCHANGED, "done before")]
    return done + [pair for pair in _words() if not pair[0].satisfied]
