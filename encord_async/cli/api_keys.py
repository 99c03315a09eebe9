"""``apply --api-keys`` and ``--api-keys-to``: the API keys that a run made, a line of JSON each, to a file or command.

The service lists them, so they are read back when the run is over, and are in no other place on the way. The journal,
which has a name for each that reveals nothing of it, tells which those of this run are.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from encord_async.cli.failures import told
from encord_async.cli.interrupts import run
from encord_async.cli.keys_sink import Sink
from encord_async.cli.output import Output, many
from encord_async.cli.plan import existing_journal
from encord_async.errors import EncordError, JournalError, UsageError
from encord_async.secrecy import sealed

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.journal.record import Record
    from encord_async.kinds.thing import InnerThing
    from encord_async.manifest.variables import ManifestFile

__all__ = ["MadeKeys"]

_SHOWN: Final = 3


class MadeKeys:
    """Hands on what the run made, if anybody is to get it. What is not taken is told, with where it can be had.

    Args:
        sink: Who gets it; None for nobody.
        manifest: What is provisioned.
        journal: The journal that was asked for; None for the one beside the manifest.
        sessions: Makes sessions.
    """

    def __init__(
        self,
        sink: Sink | None,
        manifest: "ManifestFile",
        journal: str | None,
        sessions: "Callable[[], Callable[[], EncordSession]]",
    ) -> None:
        self.error: str | None = None
        self.handed_on = 0
        self._sink = sink
        self._manifest = manifest
        self._journal = journal
        self._sessions = sessions
        self._stack = ExitStack()
        self._before: frozenset[str] = frozenset()
        self._left: set[str] = set()
        """Things of whose keys it is not known that all were taken."""

    def __enter__(self) -> Self:
        """See whether the keys can be taken, and what earlier runs have made, before anything is sent.

        Raises:
            UsageError: They cannot, or there will be no journal.
        """
        if self._sink is None:
            return self
        if self._journal is None and self._manifest.is_stream:
            raise UsageError(
                f"{self._sink.name}: what a run made is known from its journal, which this one lacks; add --journal"
            )
        # Of one that cannot be read the run itself says what is wrong; a new one in a database is not there yet.
        with suppress(JournalError):
            self._before = frozenset(record.hash or "" for record in self._made()[0])
        self._stack.enter_context(self._sink)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hand_on(self, output: Output) -> bool:
        """Hand on what the run made, now that it is over, and say how many there are; whether it was interrupted."""
        sink, is_interrupted = self._sink, False
        if sink is None:
            return False
        try:
            there, names = self._made()
            made = [record for record in there if record.hash not in self._before]
            if made:
                run(lambda: self._hand_on(sink, made, names), reads=True)
        except EncordError as error:
            self._fail(sink, told(error.message))
        except KeyboardInterrupt:
            # The run has sent something, and its sums are still to be told.
            is_interrupted = True
            self._fail(sink, "it was interrupted")
        else:
            if self._left:
                self._fail(sink, "the service does not list them any more")
        output.say(f"{many(self.handed_on, 'API key', 'API keys')} {sink.done}")
        return is_interrupted

    def _fail(self, sink: Sink, reason: str) -> None:
        where = ", ".join(sorted(self._left)[:_SHOWN]) or "PROJECT_HASH"
        self.error = (
            f"{sink.name}: not all that this run made was taken: {reason}. No API key is lost by that: "
            f"'encord-async project list-api-keys --show-keys PROJECT_HASH' shows them, for {where}"
        )

    def _made(self) -> "tuple[list[Record], dict[str, str]]":
        """What the journal says was made inside things, and is there; and the keys of things, by their hashes."""
        from encord_async.journal.journal import Journal

        where, found, names = existing_journal(self._manifest, self._journal), list["Record"](), dict[str, str]()

        async def read(where: str) -> None:
            async with Journal(where, None) as journal:
                async for record in journal.every():
                    if record.hash is None:
                        continue
                    if record.kind.is_inner and record.status == "created":
                        found.append(record)
                    elif record.kind.stands_for_entry and record.key is not None:
                        names[record.hash] = record.key

        if where is not None:
            run(lambda: read(where), reads=True)
        return found, names

    async def _hand_on(self, sink: Sink, made: "Sequence[Record]", names: Mapping[str, str]) -> None:
        from encord_async.engine.crew import each
        from encord_async.kinds.thing import InnerThing

        inside: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        for record in made:
            inside[record.parent_hash or ""][record.hash or ""] = record
        self._left, taken = set(inside), dict[str, int]()
        async with self._sessions()() as session, sink.taking() as put:

            async def put_those_of(parent: str) -> None:
                kind, keys = next(iter(inside[parent].values())).kind, inside[parent]
                if isinstance(kind, InnerThing):
                    listed = await session.execute(kind.listing(parent))
                    lines = _lines(kind, parent, names.get(parent), keys, listed)
                    await put(lines)
                    taken[parent] = len(lines)
                    if sink.keeps_each:
                        self._note(parent, taken.pop(parent), len(keys))

            await each(inside, put_those_of, at_once=session.settings.concurrency)
        for parent, number in taken.items():
            self._note(parent, number, len(inside[parent]))

    def _note(self, parent: str, number: int, wanted: int) -> None:
        """The sink has taken *number* of the *wanted* keys in *parent*."""
        self.handed_on += number
        if number == wanted:
            self._left.discard(parent)


@sealed
def _lines(
    kind: "InnerThing", parent: str, parent_key: str | None, made: "Mapping[str, Record]", listed: Iterable[Any]
) -> list[bytes]:
    """A line for each of *listed* that was *made*."""
    lines = []
    for one in listed:
        record = made.get(kind.hash_of(one.api_key))
        if record is not None:
            names = {"project_hash": parent, "project_key": parent_key, "key": record.key, "title": record.title}
            lines.append(json.dumps(names | {"api_key": one.api_key.get_secret_value()}).encode() + b"\n")
    return lines
