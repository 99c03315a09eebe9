"""``encord-async journal rebind``: lets another key go on with a journal. Sends nothing but reads."""

import heapq
import zlib
from collections import defaultdict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import click

from encord_async.cli.failures import ExitCode, told
from encord_async.cli.interrupts import run
from encord_async.cli.journal import Seen, agree, change, look, yes_option
from encord_async.cli.options import Service, journal_argument, output_options, service_options
from encord_async.cli.output import Output, many
from encord_async.errors import JournalMismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from encord_async.client import EncordSession
    from encord_async.journal.record import Record
    from encord_async.kinds.thing import Listed, Thing

__all__ = ["rebind"]

_EACH: Final = 20
"""Things of each kind that are read."""
_SHOWN: Final = 10


@dataclass(slots=True)
class _Sample:
    """Some things of each kind, whichever order they were made in, and the same ones each time."""

    kept: "defaultdict[Thing, list[tuple[int, str]]]" = field(default_factory=lambda: defaultdict(list))
    made: int = 0
    doubts: int = 0

    def add(self, record: "Record") -> None:
        """Take *record* into account."""
        from encord_async.kinds.thing import Thing

        self.doubts += record.is_open
        if not isinstance(record.kind, Thing) or record.hash is None or record.state.value != "done":
            return
        self.made += 1
        # A heap of the smallest, by what has nothing to do with when they were made.
        kept, one = self.kept[record.kind], (-zlib.crc32(record.hash.encode()), record.hash)
        if len(kept) < _EACH:
            heapq.heappush(kept, one)
        else:
            heapq.heappushpop(kept, one)

    def chosen(self) -> "list[tuple[Thing, str]]":
        """What is to be read."""
        return [(kind, found) for kind, kept in self.kept.items() for _, found in sorted(kept)]


@click.command(short_help="Let another key go on with it.")
@journal_argument
@yes_option
@service_options
@output_options
def rebind(*, output: Output, service: Service, journal: str, yes: bool) -> int:
    """Let the key of --ssh-key-file, or of the environment, go on with JOURNAL, and no other key from then on.

    It has to be a key at the same service that sees what JOURNAL says is there: up to 20 things of each kind are read
    before, and if it does not see one of them, nothing is changed. If nothing was made yet, only whether the service
    accepts the key can be seen. What is in doubt has to be settled first with the
    key that has made it, for only that key can tell whether it did.

    \b
    Example:
      encord-async journal rebind programme.jsonl.journal --ssh-key-file ~/.ssh/colleague
    """
    sessions = service.sessions()

    async def read() -> tuple[Seen, str, int]:
        seen, sample = await _look(journal)
        async with sessions() as session:
            _refuse(seen, sample, session)
            return seen, session.identity, await _check(session, sample)

    seen, account, read_ = run(read, reads=True)
    if account == seen.account:
        return _report(output, seen, account, 0, None)
    what = f"{many(read_, 'thing that it says was made is', 'things that it says were made are')} seen by {account}"
    if not read_:
        what = f"It says of nothing that it was made, so nothing could be compared. The service accepts {account}"
    agree(output, f"{what}, which will go on with the journal instead of {seen.account}.", yes=yes)
    backup = run(lambda: change(journal, seen, lambda opened: opened.rebind(account)))
    return _report(output, seen, account, read_, backup)


def _report(output: Output, seen: Seen, account: str, read: int, backup: str | None) -> int:
    output.result({"journal": seen.name, "before": seen.account, "account": account, "read": read, "backup": backup})
    if backup is None:
        output.line(f"{seen.name} is that of {account} already.")
    else:
        output.line(f"{seen.name} is that of {account} now; the backup is {backup}")
    return ExitCode.DONE


async def _look(where: str) -> tuple[Seen, _Sample]:
    from encord_async.journal.journal import Journal

    sample = _Sample()
    async with Journal(where, None) as opened:
        seen = await look(opened)
        async for record in opened.every():
            sample.add(record)
    return seen, sample


def _refuse(seen: Seen, sample: _Sample, session: "EncordSession") -> None:
    """See to it that the journal is one that another key can go on with.

    Raises:
        JournalMismatchError: It is of another service.
        UsageError: Something is in doubt.
    """
    if session.settings.domain != seen.domain:
        raise JournalMismatchError(
            f"{seen.name} belongs to {seen.account} at {seen.domain}, and this is {session.settings.domain}; "
            "give --domain with the former"
        )
    if sample.doubts and session.identity != seen.account:
        raise UsageError(
            f"{many(sample.doubts, 'step', 'steps')} in {seen.name} may have happened, which only {seen.account} can "
            "tell: 'encord-async settle' with that key first, or forget them with 'journal rm'"
        )


async def _check(session: "EncordSession", sample: _Sample) -> int:
    """See to it that *session* sees what the journal says; how many things were read.

    Raises:
        UsageError: It does not see some.
        EncordError: The service cannot be read, or does not accept the key.
    """
    from encord_async.engine.crew import each
    from encord_async.kinds.reading import OnRefusal
    from encord_async.kinds.registry import step_kinds
    from encord_async.kinds.thing import DatasetAPI, Thing

    chosen, unseen = sample.chosen(), list[str]()
    if not chosen:
        # Whoever the service does not know would own the journal from then on.
        some = next(kind for kind in step_kinds() if isinstance(kind, Thing))
        pages = cast("AsyncGenerator[Listed]", some.listed(session, DatasetAPI.REST))
        async with aclosing(pages) as listed:
            await anext(listed, None)

    async def read(one: "tuple[Thing, str]") -> None:
        kind, found = one
        with OnRefusal(lambda error: unseen.append(f"{kind.noun} {found} ({told(error.message)})")):
            await session.execute(kind.probe(found))

    await each(chosen, read, at_once=session.settings.concurrency)
    if unseen:
        shown = "; ".join(sorted(unseen)[:_SHOWN])
        raise UsageError(
            f"this key, {session.identity}, does not see {len(unseen)} of {many(len(chosen), 'thing', 'things')} that "
            f"were made: {shown}. Give its user access, or forget with 'journal rm' what is gone; nothing was changed"
        )
    return len(chosen)
