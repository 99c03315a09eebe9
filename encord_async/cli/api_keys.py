"""``apply --api-keys`` and ``--api-keys-to``: the API keys that were made, a line of JSON each, to a file or command.

The service lists them, so they are read back when the run is over, and are in no other place on the way. The journal,
which has a name for each that reveals nothing of it, tells which were made and that nobody has been given yet: those of
a run that was killed are handed on by the next one.
"""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from encord_async.cli.failures import told
from encord_async.cli.interrupts import run
from encord_async.cli.keys_sink import Sink
from encord_async.cli.output import Output, many
from encord_async.cli.plan import existing_journal
from encord_async.errors import EncordError, JournalError, UsageError
from encord_async.secrecy import sealed

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.journal.journal import Journal
    from encord_async.journal.record import Ledger, Record
    from encord_async.kinds.thing import InnerThing
    from encord_async.manifest.variables import ManifestFile


class _HasLedger(Protocol):
    @property
    def ledger(self) -> "Ledger": ...


R = TypeVar("R", bound=_HasLedger)

__all__ = ["MadeKeys", "left_line"]

_SHOWN: Final = 3


class MadeKeys:
    """Hands on what was made, if anybody is to get it. What is not taken is told, with where it can be had.

    Args:
        sink: Who gets it; None for nobody.
        manifest: What is provisioned.
        journal: The journal that was asked for; None for the one beside the manifest.
        sessions: Makes sessions.
        settle_s: How long what was made may take to be seen, in seconds.
    """

    def __init__(
        self,
        sink: Sink | None,
        manifest: "ManifestFile",
        journal: str | None,
        sessions: "Callable[[], Callable[[], EncordSession]]",
        *,
        settle_s: float,
    ) -> None:
        self.error: str | None = None
        self.handed_on = 0
        self._sink = sink
        self._manifest = manifest
        self._journal = journal
        self._sessions = sessions
        self._settle_s = settle_s
        self._stack = ExitStack()
        self._lost: list[str] = []
        """What the service does not list any more."""
        self._unseen: list[str] = []
        """What it does not list yet."""
        self._left: set[str] = set()
        """Things of whose keys it is not known that all were taken."""

    def __enter__(self) -> Self:
        """See whether the keys can be taken, before anything is sent.

        Raises:
            UsageError: They cannot, or there will be no journal.
        """
        if self._sink is None:
            return self
        if self._journal is None and self._manifest.is_stream:
            raise UsageError(
                f"{self._sink.name}: what a run made is known from its journal, which this one lacks; add --journal"
            )
        self._stack.enter_context(self._sink)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def noting(self, begin: "Callable[[AsyncExitStack], Awaitable[R]]") -> "Callable[[AsyncExitStack], Awaitable[R]]":
        """*begin*, that also notes in the journal of what it begins that somebody waits for keys: it may be killed."""

        async def begun(stack: AsyncExitStack) -> "R":
            from encord_async.journal.journal import Journal

            one = await begin(stack)
            if self._sink is not None and isinstance(one.ledger, Journal):
                await one.ledger.want_keys()
            return one

        return begun

    def hand_on(self, output: Output) -> bool:
        """Hand on what was made, now that the run is over, and say how many there are; whether it was interrupted."""
        sink, is_interrupted = self._sink, False
        if sink is None:
            self._tell_of_those_left(output)
            return False
        try:
            run(lambda: self._hand_on(sink), reads=True)
        except EncordError as error:
            self._fail(sink, told(error.message))
        except KeyboardInterrupt:
            # The run has sent something, and its sums are still to be told.
            is_interrupted = True
            self._fail(sink, "it was interrupted")
        else:
            if self._lost:
                self._tell_of_the_lost(sink)
            elif self._unseen:
                unseen = many(len(self._unseen), "API key", "API keys")
                self.error = (
                    f"{sink.name}: the service does not list {unseen} yet: {_first(self._unseen)}. "
                    "No API key is lost by that: the next run with it looks again"
                )
        output.say(f"{many(self.handed_on, 'API key', 'API keys')} {sink.done}")
        return is_interrupted

    def _fail(self, sink: Sink, reason: str) -> None:
        where = ", ".join(sorted(self._left)[:_SHOWN]) or "PROJECT_HASH"
        self.error = (
            f"{sink.name}: not all that was made was taken: {reason}. No API key is lost by that: the next run with it "
            f"tries again, and 'encord-async project list-api-keys --show-keys PROJECT_HASH' shows them, for {where}"
        )

    def _tell_of_the_lost(self, sink: Sink) -> None:
        lost = many(len(self._lost), "API key", "API keys")
        self.error = (
            f"{sink.name}: the service does not list {lost} any more, so nobody can be given "
            f"{_first(self._lost)}. To have another, give its entry another title"
        )

    def _tell_of_those_left(self, output: Output) -> None:
        """Say what a run that was to hand it on has not, and this one was not asked to."""
        from encord_async.journal.journal import Journal

        where, left = existing_journal(self._manifest, self._journal), 0

        async def look(where: str) -> None:
            nonlocal left
            async with Journal(where, None) as journal:
                left = len(await journal.kept_back(unless_unwanted=True))

        if where is None:
            return
        # Of one that cannot be read the run itself has said what is wrong; and its sums are not cut off by Ctrl-C.
        with suppress(JournalError, KeyboardInterrupt):
            run(lambda: look(where), reads=True)
        if left:
            output.say(left_line(left))

    async def _hand_on(self, sink: Sink) -> None:
        from encord_async.journal.journal import Identity, Journal

        where, session = existing_journal(self._manifest, self._journal), self._sessions()()
        if where is None:
            return
        async with Journal(where, None) as looked:
            if not await looked.kept_back():
                return
        async with session, Journal(where, Identity(session.settings.domain, session.identity)) as journal:
            await self._hand_on_from(journal, session, sink)

    async def _hand_on_from(self, journal: "Journal", session: "EncordSession", sink: Sink) -> None:
        from encord_async.engine.crew import each
        from encord_async.kinds.thing import InnerThing

        inside: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        for record in await journal.kept_back():
            inside[record.parent_hash or ""][record.hash or ""] = record
        names = await journal.keys_of(list(inside))
        self._left, taken = set(inside), dict[str, set[str]]()
        async with sink.taking() as put:

            async def put_those_of(parent: str) -> None:
                keys = inside[parent]
                kind = next(iter(keys.values())).kind
                if isinstance(kind, InnerThing):
                    lines = _lines(kind, parent, names.get(parent), keys, await session.execute(kind.listing(parent)))
                    await put(list(lines.values()))
                    taken[parent] = set(lines)
                    if sink.keeps_each:
                        await self._note(journal, parent, keys, taken.pop(parent), now_s=session.clock.wall_s())

            await each(inside, put_those_of, at_once=session.settings.concurrency)
        for parent, hashes in taken.items():
            await self._note(journal, parent, inside[parent], hashes, now_s=session.clock.wall_s())

    async def _note(
        self, journal: "Journal", parent: str, keys: "Mapping[str, Record]", taken: set[str], *, now_s: float
    ) -> None:
        """The sink has *taken* those of *keys* in *parent* that are listed.

        The others nobody can be given any more, unless they are so new that a listing may lack them still.
        """
        unseen: list[Record] = []
        done: list[Record] = []
        for found, one in keys.items():
            is_new = now_s < (one.ended_s or 0.0) + self._settle_s
            (unseen if found not in taken and is_new else done).append(one)
        await journal.hand_on(done)
        self.handed_on += len(taken)
        self._lost += [f"{one.title!r} in {parent}" for one in done if (one.hash or "") not in taken]
        self._unseen += [f"{one.title!r} in {parent}" for one in unseen]
        self._left.discard(parent)


def _first(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN:,} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}"


def left_line(number: int) -> str:
    """What is said of API keys that nobody has been given."""
    keys = many(number, "API key that was made is", "API keys that were made are")
    return f"{keys} with nobody yet: 'apply' with --api-keys or --api-keys-to hands on what is left"


@sealed
def _lines(
    kind: "InnerThing", parent: str, parent_key: str | None, made: "Mapping[str, Record]", listed: Iterable[Any]
) -> dict[str, bytes]:
    """A line for each of *listed* that was *made*, by its name in the journal."""
    lines = {}
    for one in listed:
        found = kind.hash_of(one.api_key)
        record = made.get(found)
        if record is not None:
            names = {"project_hash": parent, "project_key": parent_key, "key": record.key, "title": record.title}
            lines[found] = json.dumps(names | {"api_key": one.api_key.get_secret_value()}).encode() + b"\n"
    return lines
