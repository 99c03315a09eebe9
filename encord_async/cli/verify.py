"""``encord-async verify``: reads back what a manifest wants and says what differs; ``--fix`` adds what is missing."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from encord_async.cli.failures import ExitCode, redacted, told, told_in
from encord_async.cli.interrupts import nothing_sent, run
from encord_async.cli.options import (
    Service,
    concurrency_option,
    file_option,
    manifest_argument,
    output_options,
    print_included,
    selection_options,
    service_options,
)
from encord_async.cli.output import Output, many, on_terminal
from encord_async.cli.question import agrees, at_the_terminal
from encord_async.errors import JournalMismatchError, UsageError

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.journal.record import Ledger
    from encord_async.journal.store import Owner
    from encord_async.kinds.entry import Entry
    from encord_async.kinds.step import StepKind
    from encord_async.manifest.selection import Selection
    from encord_async.manifest.variables import ManifestFile
    from encord_async.verify.compare import Report
    from encord_async.verify.difference import Difference
    from encord_async.verify.repair import Kept, Repaired, Repairs
    from encord_async.verify.wishes import Wishes

__all__ = ["difference_row", "verify"]

_MAX_DIFFERENCES: Final = 100_000
_SHOWN_FAILURES: Final = 10


_HELP: Final = """\
Read back what MANIFEST wants, and report each difference. Only reads are sent. Checked are

\b
- things that are missing: projects, datasets, ontologies, groups, API keys, users of the organisation;
- what they are: titles, descriptions, structures, ontologies, tags, status;
- who and what is in them: datasets, users and groups that are missing or too much, and other roles.

The journal says what each entry was made as; an entry that it does not know is reported as missing. What the
manifest names by its hash, and users of the organisation, need no journal.

A project has too much only if MANIFEST has an entry for the project itself. Groups are too much only if MANIFEST
has an entry about any group. The same holds for users and groups of datasets, groups of ontologies, and tags.
Admins whom the manifest does not name are no difference: whoever made a project is one, and so is the account. Nor
are Admins of the organisation in a group. What the service does not list is not checked, and that is said.

--fix attaches datasets, adds users, groups and tags, gives groups the role wanted, sets the status, registers and links
files, and creates API
keys again that were made once and are gone. Users whom it adds to the organisation get an account and a mail if they
have none. You are asked first; without a terminal, API keys are created again only with --yes. --fix changes no user's
role, since this API cannot, and creates no project, dataset, ontology or group: 'encord-async apply' does.

--prune also removes what is too much, but nobody from a group or the organisation. Unless an entry removes it by name,
an Admin stays, and so does everything in a thing of which the account is not Admin. So it never removes the account
itself. Nor does it remove data rows, whose labels would be lost: 'encord-async apply --prune-data' does.

\b
Examples:
  encord-async verify programme.jsonl
  encord-async verify programme.jsonl --journal run.db --json
  encord-async verify programme.jsonl --only 'cats-*'
  encord-async verify programme.jsonl --fix --prune --yes

Exit codes: 0 no difference (with --fix: none is left), 1 there are differences, 2 a bad manifest, journal or key,
3 with --fix: it is in doubt whether an API key was made, 4 the service does not accept the key.
"""


@click.command(short_help="Read everything back and report differences.", help=_HELP)
@manifest_argument
@service_options
@file_option("--journal", metavar="PATH|URL", help="Where the run was written down.  [default: MANIFEST.journal]")
@selection_options
@concurrency_option
@click.option("--fix", is_flag=True, help="Add what is missing, then read back again.")
@click.option(
    "--prune",
    is_flag=True,
    help="With --fix: detach datasets and remove users, groups and tags that should not be there.",
)
@click.option("--prune-data", is_flag=True, hidden=True)
@click.option("--yes", is_flag=True, help="With --fix: do not ask first.")
@output_options
def verify(
    *,
    output: Output,
    service: Service,
    manifest: "ManifestFile",
    journal: str | None,
    selection: "Selection",
    concurrency: int,
    fix: bool,
    prune: bool,
    prune_data: bool,
    yes: bool,
) -> int:
    """See `_HELP`."""
    if prune_data:
        raise UsageError(
            "'verify' removes no data rows, whose labels would be lost: 'encord-async apply --prune-data' does, and "
            "wants their number; 'encord-async plan --prune-data' names them"
        )
    if (prune or yes) and not fix:
        raise UsageError(f"{'--prune' if prune else '--yes'} is for --fix; give both, or neither")
    source = _Source(manifest, _journal_path(output, manifest, journal), selection)
    sessions = service.sessions(concurrency=concurrency)

    async def look() -> _Verified:
        async with sessions() as session:
            return await _look(session, source, fix=fix, prune=prune)

    verified = run(look, reads=True)
    if verified.owner is not None:
        output.say(f"A run is going on in {verified.owner}: what it has not finished is not as wished yet.", bold=True)
    if fix and verified.repairs and (yes or _may_mend(output, verified)):

        async def mend() -> None:
            async with sessions() as session:
                await _mend(session, source, verified)

        run(mend)
    print_included(output, verified.wishes.included, verified.wishes.not_chosen)
    _print(output, verified)
    return _exit_code(verified)


@dataclass(frozen=True, slots=True)
class _Source:
    manifest: "ManifestFile"
    journal: str | None
    selection: "Selection"


def _journal_path(output: Output, manifest: "ManifestFile", journal: str | None) -> str | None:
    if journal is not None:
        return journal
    beside = manifest.journal
    if beside is not None and Path(beside).exists():
        return beside
    missing = f"there is no {beside}" if beside is not None else "no --journal is given"
    output.say(f"{missing}: what the entries were made as is not known; only what they name by its hash can be found")
    return None


@dataclass(slots=True)
class _Verified:
    """What was found, and what came of mending it."""

    wishes: "Wishes"
    report: "Report"
    repairs: "Repairs"
    differences: "list[Difference]" = field(default_factory=list)
    inner: "list[Entry]" = field(default_factory=list)
    repaired: "Repaired | None" = None
    requests: int = 0
    owner: "Owner | None" = None
    """Who writes the journal meanwhile, if anybody does."""


async def _look(session: "EncordSession", source: _Source, *, fix: bool, prune: bool) -> _Verified:
    from encord_async.journal.journal import Journal
    from encord_async.journal.record import MemoryLedger
    from encord_async.verify.compare import Report
    from encord_async.verify.repair import Repairs
    from encord_async.verify.wishes import gather

    ledger: Ledger = MemoryLedger()
    owner: Owner | None = None
    async with AsyncExitStack() as stack:
        if source.journal is not None:
            ledger = journal = await stack.enter_async_context(Journal(source.journal, None))
            owner = await journal.owner()
            domain = (await journal.about())["domain"]
            if domain != session.settings.domain:
                raise JournalMismatchError(
                    f"{journal.name} is of {domain}, and this is {session.settings.domain}; "
                    "give --domain as it was, or another journal"
                )
        wishes = await gather(source.manifest, ledger, source.selection)
        verified = _Verified(wishes, Report(), Repairs(prune=prune), owner=owner)
        await _compare(session, verified, ledger, fix=fix)
        verified.inner = await verified.repairs.inner(ledger)
        return verified


async def _compare(session: "EncordSession", verified: _Verified, ledger: "Ledger", *, fix: bool) -> None:
    """Compare, and leave what was found in *verified*."""
    from encord_async.verify.compare import compare

    verified.differences.clear()

    def keep(difference: "Difference") -> None:
        if len(verified.differences) < _MAX_DIFFERENCES:
            verified.differences.append(difference)

    repairs, noted = verified.repairs, dict[str, Any]()
    if fix:
        noted = {"on_thing": repairs.note, "on_lacking": repairs.note_lacking, "on_files": repairs.note_files}
    verified.report = await compare(session, verified.wishes, ledger, on_difference=keep, **noted)
    verified.differences.sort(key=lambda one: (one.place.number, one.what, one.fault, one.item))
    verified.requests += session.statistics().requests


async def _mend(session: "EncordSession", source: _Source, verified: _Verified) -> None:
    """Send the repairs, and compare again."""
    from encord_async.journal.journal import Identity, Journal
    from encord_async.journal.record import MemoryLedger
    from encord_async.verify.repair import repair

    journal = None
    if source.journal is not None:
        journal = Journal(source.journal, Identity(session.settings.domain, session.identity))
    verified.repaired = await repair(session, verified.repairs, inner=verified.inner, journal=journal)
    async with AsyncExitStack() as stack:
        ledger: Ledger = MemoryLedger()
        if source.journal is not None:
            ledger = await stack.enter_async_context(Journal(source.journal, None))
        await _compare(session, verified, ledger, fix=False)


def _may_mend(output: Output, verified: _Verified) -> bool:
    """Show what would be changed, and ask; without a terminal only what can be undone may be done."""
    counts = verified.repairs.counts()
    if not on_terminal():
        if any(kind.is_irreversible and number for kind, number in counts.items()):
            raise UsageError(
                f"--fix would do what cannot be undone: {', '.join(_repair_lines(counts))}. Standard input is no "
                "terminal, so nobody can be asked: give --yes. Nothing was sent"
            )
        return True
    with at_the_terminal(), nothing_sent():
        for line in _repair_lines(counts):
            output.say(line)
        return agrees("Go on?")


def _repair_lines(counts: "Mapping[StepKind, int]") -> list[str]:
    return [many(number, *kind.deed[1:]) for kind, number in counts.items() if kind.deed is not None and number]


def _exit_code(verified: _Verified) -> ExitCode:
    from encord_async.engine.outcome import Status

    codes = {ExitCode.FAILED if verified.report.differences else ExitCode.DONE}
    if verified.repaired is not None:
        if verified.repaired.unsatisfied or verified.repaired.kept:
            codes.add(ExitCode.FAILED)
        if verified.repaired.counts[Status.IN_DOUBT]:
            codes.add(ExitCode.IN_DOUBT)
    return max(codes)


def _print(output: Output, verified: _Verified) -> None:
    if output.json:
        output.result(_json(verified))
        return
    rows = [difference_row(one) for one in verified.differences]
    if rows:
        output.table(rows, head=["entry", "", "what", ""])
        output.line()
    if verified.report.differences > len(rows):
        output.line(f"... and {verified.report.differences - len(rows):,} more")
        output.line()
    report, repaired = verified.report, verified.repaired
    if repaired is not None:
        _print_repaired(output, verified.repairs.counts(), repaired)
    read = f"{_read_back(report)} read back"
    left = " left" if repaired is not None else ""
    failed = 0 if repaired is None else len(repaired.unsatisfied) + len(repaired.kept)
    more = f", and {many(failed, 'repair', 'repairs')} that did not come about" if failed else ""
    output.line(f"{read}: {many(report.differences, 'difference', 'differences')}{left}{more}.", bold=True)
    for note in _notes(verified).values():
        output.line(note)


def _print_repaired(output: Output, counts: "Mapping[StepKind, int]", repaired: "Repaired") -> None:
    for line in _repair_lines(counts):
        output.line(f"sent: {line}")
    for outcome in repaired.unsatisfied[:_SHOWN_FAILURES]:
        why = f": {told(str(outcome.error))}" if outcome.error is not None else ""
        output.line(f"not put right: {outcome.kind} of {outcome.hash}: {outcome.status.replace('_', ' ')}{why}")
        for other in outcome.role_kept[:_SHOWN_FAILURES]:
            output.line(f"    {other.email} is {other.held}, and {other.wanted} is wanted")
    for kept in repaired.kept[:_SHOWN_FAILURES]:
        output.line(f"not put right: {_kept(kept)}: {told(str(kept.error))}")
    more = sum(max(0, len(failed) - _SHOWN_FAILURES) for failed in (repaired.unsatisfied, repaired.kept))
    if more:
        output.line(f"... and {more:,} more; --json lists them")
    output.line()


def _kept(kept: "Kept") -> str:
    kind = kept.deed.kind
    number = many(len(kept.deed.items), kind.noun, kind.plural)
    return f"{number} of {kept.deed.parent_hash} not removed" if kind.takes else f"{number} not added"


def _notes(verified: _Verified) -> dict[str, str]:
    """What is to be said of what could not be checked, by what it is."""
    report = verified.report
    sent = verified.repairs.counts() if verified.repaired is not None else {}
    given = {kind.what for kind, number in sent.items() if number and not kind.takes}
    notes = {}
    for what, number in report.unlisted.items():
        why = redacted(report.unlisted_reasons[what])
        notes[what] = f"{_subject(what, number)} not checked, since the service does not list them: {why}."
        if what in given:
            notes[what] += " Those of the manifest were added, which changes nothing for members; nobody was removed."
    return notes


def _read_back(report: "Report") -> str:
    """What was read, in words: things, with what is told of those in them."""
    from encord_async.kinds.registry import relations_of, things

    found = []
    for kind in things():
        if report.read[kind.word]:
            told = [one for one in relations_of(kind.word) if one.told_as and report.members[one.thing]]
            inside = [many(report.members[one.thing], one.noun, one.plural) for one in told]
            found.append(
                many(report.read[kind.word], kind.noun, kind.plural) + "".join(f" with {one}" for one in inside)
            )
    return " and ".join(found) or "nothing"


def _subject(what: str, number: int) -> str:
    """What could not be checked, and its verb."""
    from encord_async.kinds.registry import maker_of, nouns, relation_of

    relation = relation_of(what)
    if relation is None:
        return f"{many(number, *nouns(what))} {'was' if number == 1 else 'were'}"
    parent = maker_of(relation.parent)
    return f"{relation.plural.capitalize()} of {many(number, parent.noun, parent.plural)} were"


def _json(verified: _Verified) -> dict[str, object]:
    from encord_async.kinds.registry import relations, step_kinds, things

    report, notes = verified.report, _notes(verified)
    shown: dict[str, object] = {
        "entries": verified.wishes.entries,
        "included": [one.as_json() for one in verified.wishes.included],
        "not_chosen": verified.wishes.not_chosen.as_json(),
        **{kind.plural: report.read[kind.word] for kind in things()},
        "differences": [told_in(difference.as_json()) for difference in verified.differences],
        "counts": report.as_json(),
        "difference_count": report.differences,
        **{
            relation.told_as: {
                "wished": verified.wishes.count(relation.thing),
                "read": report.members[relation.thing],
                "checked": relation.thing not in notes,
                "note": notes.get(relation.thing, ""),
            }
            for relation in relations()
            if relation.told_as
        },
        "not_checked": list(notes.values()),
        "requests": verified.requests,
    }
    if verified.repaired is not None:
        failed = [told_in(outcome.as_json()) for outcome in verified.repaired.unsatisfied]
        kept = {
            takes: [told_in(one.as_json()) for one in verified.repaired.kept if one.deed.kind.takes is takes]
            for takes in (True, False)
        }
        sent = verified.repairs.counts()
        counts = {kind.deed[0]: sent[kind] for kind in step_kinds() if kind.deed is not None}
        shown["fixed"] = {**counts, "failed": failed, "not_removed": kept[True], "not_added": kept[False]}
    return shown


_WORDS: Final = {"missing": "missing", "extra": "too much", "different": "different", "unreadable": "unreadable"}


def difference_row(difference: "Difference") -> tuple[str, str, str, str]:
    """Where it is wished for, in what way and what differs, and how, for a table."""
    from encord_async.kinds.registry import nouns

    return str(difference.place), _WORDS[difference.fault], nouns(difference.what)[0], _described(difference)


def _described(difference: "Difference") -> str:
    about = f" in {difference.hash_title}" if difference.hash_title is not None else ""
    text = difference.named + about + (f" ({difference.hash})" if difference.hash else "")
    if difference.wanted is not None:
        text += f": wanted {difference.wanted!r}"
    if difference.found is not None:
        text += f", found {difference.found!r}"
    return text + (f": {told(difference.reason)}" if difference.reason else "")
