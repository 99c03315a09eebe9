"""``encord-async journal ...``: looks into a journal, and changes by hand what it says. It changes nothing else.

Each verb that changes something asks first, writes a backup, and holds the journal's lock while it does both.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.failures import ExitCode, redacted, told
from encord_async.cli.interrupts import run
from encord_async.cli.options import journal_argument, output_options
from encord_async.cli.output import Output, many, on_terminal
from encord_async.cli.question import agrees, at_the_terminal
from encord_async.cli.status import record_json
from encord_async.errors import UsageError
from encord_async.redaction import quoted

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal
    from encord_async.journal.record import Record

__all__ = ["Seen", "agree", "change", "check_new", "journal", "key_argument", "look", "yes_option"]

yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask.")
key_argument: Final = click.argument("key", metavar="KEY")


@click.group(short_help="Look into a journal, and change by hand what it says.")
def journal() -> None:
    """Look into a journal, and change by hand what it says. Nothing is changed in the account.

    What changes something asks first; without a terminal, --yes is needed. It writes a backup: JOURNAL.backup-TIME
    beside a file, which can be put in its place; of a journal in PostgreSQL JSON lines, in the folder where you are,
    which 'journal restore' puts back.
    A journal that a run is writing is left alone.

    \b
    Examples:
      encord-async journal list programme.jsonl.journal
      encord-async journal mv programme.jsonl.journal cats felines
      encord-async journal rm programme.jsonl.journal cats --yes
      encord-async journal import programme.jsonl.journal cats 9c53...e1 --kind project
      encord-async journal rebind programme.jsonl.journal --ssh-key-file ~/.ssh/colleague

    \b
    Exit codes: 0 done, 1 the service refused, 2 bad usage, no usable journal or no such key, nothing changed,
    4 the service does not accept the key, 130 interrupted.
    """


@dataclass(frozen=True, slots=True)
class Seen:
    """What a journal said when somebody was asked about it."""

    name: str
    domain: str
    account: str
    digest: str


async def look(opened: "Journal") -> Seen:
    """What *opened* says now."""
    about = await opened.about()
    return Seen(opened.name, about["domain"], about["account"], await opened.state_digest())


def agree(output: Output, deed: str, *, yes: bool) -> None:
    """See to it that *deed* is wanted.

    Raises:
        UsageError: It is not, or there is nobody to ask.
    """
    if yes:
        return
    with at_the_terminal():
        output.say(redacted(deed), bold=True)
        if not on_terminal():
            raise UsageError("standard input is no terminal, so nobody can be asked: give --yes. Nothing was changed")
        if not agrees("Go on?"):
            raise UsageError("you did not agree; nothing was changed")


async def change(where: str, seen: Seen, work: Callable[["Journal"], Awaitable[None]]) -> str:
    """Let *work* change the journal, which still has to say what was *seen*; where the backup is.

    Raises:
        UsageError: It says something else by now.
    """
    from encord_async.journal.journal import Identity, Journal

    async with Journal(where, Identity(seen.domain, seen.account), by_hand=True) as opened:
        if await look(opened) != seen:
            raise UsageError(f"{opened.name} has changed while you were asked; nothing was changed by this, try again")
        backup = await opened.back_up()
        await opened.bring_up_to_date()
        await work(opened)
    return backup


# ---------------------------------------------------------------------- looking


@dataclass(slots=True, kw_only=True)
class _Entry:
    """An entry with a key, as its records show it."""

    kind: str
    key: str
    title: str = ""
    hash: str | None = None
    state: str = ""
    steps: int = 0


@dataclass(slots=True)
class _Entries:
    """Adds records up by entry."""

    by_identity: dict[bytes, _Entry] = field(default_factory=dict)
    keyless: int = 0

    def add(self, record: "Record") -> None:
        from encord_async.journal.surgery import entry_kind

        kind = entry_kind(record)
        if kind is None or record.key is None:
            self.keyless += 1
            return
        entry = self.by_identity.setdefault(record.entry, _Entry(kind=kind, key=record.key))
        entry.steps += 1
        if record.kind.stands_for_entry or not entry.state:
            entry.title, entry.hash, entry.state = redacted(record.title), record.hash, record.state.value


@journal.command("list", short_help="List the keys.")
@journal_argument
@output_options
def list_(*, output: Output, journal: str) -> int:
    """List the keys in JOURNAL: of which kind each is, what it has made, and how many steps are written down of it."""
    from encord_async.journal.journal import Journal

    async def read() -> tuple[str, _Entries]:
        entries = _Entries()
        async with Journal(journal, None) as opened:
            async for record in opened.every():
                entries.add(record)
            return opened.name, entries

    name, entries = run(read, reads=True)
    found = list(entries.by_identity.values())
    output.result({"journal": name, "entries": list(map(asdict, found)), "steps_without_key": entries.keyless})
    rows = [
        (one.kind.replace("_", " "), one.key, one.title, one.hash or "", one.state.replace("_", " "), one.steps)
        for one in found
    ]
    output.table(rows, head=["kind", "key", "title", "hash", "state", "steps"], right=[5])
    if entries.keyless:
        output.line(f"{many(entries.keyless, 'step is', 'steps are')} of entries without a key.")
    return ExitCode.DONE


@journal.command(short_help="Show all that is written down of a key.")
@journal_argument
@key_argument
@output_options
def show(*, output: Output, journal: str, key: str) -> int:
    """Show all that JOURNAL has written down of the entry with KEY, step by step."""
    seen, found = _looked(journal, key)
    output.result({"journal": seen.name, "steps": [record_json(one) for one in found]})
    for record in found:
        what = f"{record.kind.said} {redacted(record.title)!r}"
        made = f"  {record.hash}" if record.hash else ""
        inside = f" in {record.parent_hash}" if record.parent_hash else ""
        ended = record.status or record.state.value
        why = f": {told(record.message)}" if record.message else ""
        output.line(
            f"{record.identity.hex()[:12]}  {record.place}  {what}{inside}{made}  {ended.replace('_', ' ')}{why}"
        )
    return ExitCode.DONE


def _looked(where: str, key: str) -> "tuple[Seen, list[Record]]":
    """What the journal says, and the records of *key*.

    Raises:
        UsageError: There are none.
    """
    seen, found = find(where, key)
    if not found:
        raise UsageError(f"{seen.name} has nothing of a key {quoted(key)}; 'journal list' shows its keys")
    return seen, found


def find(where: str, key: str) -> "tuple[Seen, list[Record]]":
    """What the journal says, and the records of *key*, if there are any."""
    from encord_async.journal.journal import Journal
    from encord_async.journal.surgery import is_of

    async def read() -> "tuple[Seen, list[Record]]":
        async with Journal(where, None) as opened:
            return await look(opened), [record async for record in opened.every() if is_of(record, key)]

    return run(read, reads=True)


# ---------------------------------------------------------------------- changing


@journal.command(short_help="Give what one key has made to another.")
@journal_argument
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@yes_option
@output_options
def mv(*, output: Output, journal: str, old: str, new: str, yes: bool) -> int:
    """Give all that the entry with the key OLD has made to the key NEW, as when it has a new key in the manifest.

    So rename the key in the manifest, with the references to it, and then here: the next 'plan' says that there is
    nothing to do. What refers to OLD from here on refers to NEW. An entry without a key that refers to it is another
    one by that: what it has made is taken over by the next 'apply' where title and description are the same.
    What is in doubt has to be settled first.

    \b
    Example:
      encord-async journal mv programme.jsonl.journal cats felines
    """
    from encord_async.journal.surgery import renamed

    seen, found = _looked(journal, old)
    kind = _kind_to_move(found, old)
    check_new(journal, new)
    agree(output, f"{kind.replace('_', ' ')} {quoted(old)} will be {quoted(new)} in the journal.", yes=yes)
    moved: list[int] = []

    async def work(opened: "Journal") -> None:
        known = renamed([record async for record in opened.every()], {(kind, old): new})
        await opened.write(known.records, instead_of=known.instead_of)
        moved.extend((len(known.records), len(known.left)))

    backup = run(lambda: change(journal, seen, work))
    output.result({"moved": moved[0], "left": moved[1], "backup": backup})
    output.line(f"{many(moved[0], 'step was', 'steps were')} rewritten; the backup is {backup}")
    if moved[1]:
        output.line(
            f"{many(moved[1], 'step was', 'steps were')} left as they are; the next 'apply' takes care of them."
        )
    return ExitCode.DONE


def _kind_to_move(found: "list[Record]", key: str) -> str:
    """The kind of the entry that *found* are of.

    Raises:
        UsageError: It cannot be told, or something of it is in doubt.
    """
    from encord_async.journal.surgery import entry_kind

    kinds = sorted({kind for record in found if (kind := entry_kind(record)) is not None})
    if len(kinds) != 1:
        raise UsageError(f"the key {quoted(key)} was that of several kinds: {', '.join(kinds)}; forget it with 'rm'")
    doubts = sum(record.is_open for record in found)
    if doubts:
        raise UsageError(
            f"{many(doubts, 'step', 'steps')} of {quoted(key)} may have happened: see what came of that with "
            "'encord-async settle' first"
        )
    if any(record.kind.stands_for_entry and not record.kind.creates for record in found):
        raise UsageError(
            f"{quoted(key)} has made nothing that is known by its key: rename it in the manifest, and 'apply' again"
        )
    return kinds[0]


def check_new(where: str, key: str) -> Seen:
    """See to it that *key* can be the key of an entry, and is none yet; what the journal says.

    Raises:
        UsageError: It cannot, or is.
    """
    from encord_async.journal.surgery import key_fault

    fault = key_fault(key)
    if fault is not None:
        raise UsageError(f"{quoted(key)} cannot be a key: it {fault}")
    seen, found = find(where, key)
    if found:
        raise UsageError(f"{seen.name} has something of a key {quoted(key)} already; forget it with 'journal rm' first")
    return seen


@journal.command(short_help="Forget what a key has made.")
@journal_argument
@key_argument
@yes_option
@output_options
def rm(*, output: Output, journal: str, key: str, yes: bool) -> int:
    """Forget all that JOURNAL has written down of the entry with KEY. Nothing is taken away in the account.

    If the manifest still has the entry, the next 'apply' adopts what is there under its title and description, or
    makes it if nothing is. Of what may have happened nothing is known afterwards.

    \b
    Example:
      encord-async journal rm programme.jsonl.journal cats
    """
    from encord_async.journal.surgery import forgotten

    seen, found = _looked(journal, key)
    doubts = sum(record.is_open for record in found)
    note = f" {many(doubts, 'of them', 'of them')} may have happened; 'settle' would find out." if doubts else ""
    steps = many(len(found), "step", "steps")
    agree(output, f"{steps} of {quoted(key)} will be forgotten.{note}", yes=yes)
    known = forgotten(found)
    backup = run(lambda: change(journal, seen, lambda opened: opened.write((), instead_of=known.instead_of)))
    output.result({"forgotten": len(found), "backup": backup})
    output.line(f"{steps} of {quoted(key)} forgotten; the backup is {backup}")
    output.line(
        "If it is in the manifest, the next 'apply' adopts what is there of its title and description, or makes it."
    )
    return ExitCode.DONE
