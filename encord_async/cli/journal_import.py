"""``encord-async journal import``: writes down that what is there already is what an entry stands for. Only reads."""

import time
from typing import TYPE_CHECKING

import click

from encord_async.cli.failures import ExitCode, redacted
from encord_async.cli.interrupts import run
from encord_async.cli.journal import agree, change, check_new, key_argument, yes_option
from encord_async.cli.options import Service, journal_argument, output_options, service_options
from encord_async.cli.output import Output
from encord_async.errors import JournalMismatchError, UsageError
from encord_async.redaction import quoted

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.journal.record import Record
    from encord_async.kinds.exporting import Exports, Pen
    from encord_async.kinds.thing import Listed, Thing

__all__ = ["import_"]


@click.command("import", short_help="Write down that a key stands for what is there already.")
@journal_argument
@key_argument
@click.argument("found_hash", metavar="HASH")
@click.option("--kind", "word", required=True, metavar="KIND", help="The kind of entry that makes such a thing.")
@yes_option
@service_options
@output_options
def import_(*, output: Output, service: Service, journal: str, key: str, found_hash: str, word: str, yes: bool) -> int:
    """Write down in JOURNAL that an entry of KIND with the key KEY stands for the thing HASH, as if a run had made it.

    The thing has to be there, and the account has to be Admin of it. Its title, its description and what else an export
    shows of it are taken as what the entry said; the next 'plan' says how the manifest differs from that. What the
    service does not show, as the workflow template of a project and what it was copied from, counts as not said.

    \b
    Example:
      encord-async journal import programme.jsonl.journal cats 9c53...e1 --kind project
    """
    kind, exports = _thing(word)
    seen, sessions = check_new(journal, key), service.sessions()

    async def read() -> "Record":
        async with sessions() as session:
            if (session.settings.domain, session.identity) != (seen.domain, seen.account):
                raise JournalMismatchError(
                    f"{seen.name} belongs to {seen.account} at {seen.domain}, and this is {session.identity} at "
                    f"{session.settings.domain}; give the key it was made with, or see 'journal rebind'"
                )
            await _refuse_made(journal, found_hash)
            return await _read(session, kind, exports, key, found_hash)

    record = run(read, reads=True)
    what = f"{kind.noun} {found_hash} {quoted(record.title)}"
    agree(output, f"The key {quoted(key)} will stand for the {what}.", yes=yes)
    backup = run(lambda: change(journal, seen, lambda opened: opened.write([record])))
    said = {"key": key, "kind": word, "title": redacted(record.title), "hash": found_hash, "backup": backup}
    output.result(said)
    output.line(f"{quoted(key)} stands for the {what}; the backup is {backup}")
    return ExitCode.DONE


def _thing(word: str) -> "tuple[Thing, Exports]":
    """What entries of the kind *word* make, and how it is written down as an entry.

    Raises:
        UsageError: There is no such kind, or none that makes what has a hash.
    """
    from encord_async.kinds.exporting import Exports
    from encord_async.kinds.registry import things

    known = {kind.word: (kind, kind) for kind in things() if isinstance(kind, Exports)}
    if word not in known:
        raise UsageError(f"--kind: {quoted(word)} is none of {', '.join(known)}")
    return known[word]


async def _refuse_made(where: str, found_hash: str) -> None:
    """See to it that no other entry stands for *found_hash*.

    Raises:
        UsageError: One does.
    """
    from encord_async.journal.journal import Journal

    async with Journal(where, None) as opened:
        for other in await opened.holders(found_hash):
            raise UsageError(
                f"{quoted(found_hash)} is what the entry {quoted(other.key or other.place)} has made; "
                "see 'journal mv' and 'journal rm'"
            )


async def _read(session: "EncordSession", kind: "Thing", exports: "Exports", key: str, found_hash: str) -> "Record":
    """What is to be written down.

    Raises:
        UsageError: It is not there, not ours, or no entry can say it.
        EncordError: The service cannot be read.
    """
    from encord_async.journal.surgery import imported
    from encord_async.kinds.entry import MakingEntry
    from encord_async.kinds.exporting import Inside, LeftOut, Pen
    from encord_async.kinds.reading import Unlisted

    left_out: list[LeftOut] = []
    pen = Pen(on_left_out=left_out.append)
    found = await _listed(session, exports, pen, found_hash)
    held = {} if kind.items is None else await kind.items.held(session, found_hash)
    items = () if isinstance(held, Unlisted) else tuple(held)
    inside = Inside(item=await session.execute(kind.probe(found_hash)) if kind.is_read_alone else found.item)
    entry = next(exports.entries(pen, found, inside), None)
    if not isinstance(entry, MakingEntry):
        why = "; ".join(one.reason for one in left_out) or "it cannot be said"
        raise UsageError(f"{kind.noun} {quoted(found_hash)} cannot be what an entry makes: {why}")
    return imported(kind, key, entry, found_hash, items, now_s=time.time())


async def _listed(session: "EncordSession", exports: "Exports", pen: "Pen", found_hash: str) -> "Listed":
    """What the account lists of it.

    Raises:
        UsageError: It is not there, or not ours.
        EncordError: The service cannot be read.
    """
    async for found in exports.exported(session, pen):
        if found.hash == found_hash:
            if not found.is_admin:
                raise UsageError(f"the account is not Admin of the {exports.noun} {quoted(found_hash)}")
            return found
    raise UsageError(f"the account has no {exports.noun} {quoted(found_hash)}")
