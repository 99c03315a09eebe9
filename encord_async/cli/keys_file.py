"""``apply --api-keys``: the API keys that a run made, a line of JSON each, in a file that only this user can read.

The service lists them, so they are read back when the run is over, and are in no other place on the way. The journal,
which has a name for each that reveals nothing of it, tells which those of this run are.
"""

import json
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from encord_async.cli.failures import told
from encord_async.cli.interrupts import run
from encord_async.cli.outfile import opened, refuse_others
from encord_async.cli.output import Output, many
from encord_async.cli.plan import existing_journal
from encord_async.errors import EncordError, JournalError, UsageError
from encord_async.secrecy import sealed

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.journal.record import Record
    from encord_async.kinds.thing import InnerThing
    from encord_async.manifest.variables import ManifestFile

__all__ = ["KeysFile"]

_SHOWN: Final = 3
_BEGIN: Final = b'{"project_hash": '


class KeysFile:
    """Writes what the run made, if a file is given. What it cannot write is told, with where it can be had.

    Args:
        path: The file, which is never emptied; None for none.
        manifest: What is provisioned.
        journal: The journal that was asked for; None for the one beside the manifest.
        sessions: Makes sessions.
    """

    def __init__(
        self,
        path: str | None,
        manifest: "ManifestFile",
        journal: str | None,
        sessions: "Callable[[], Callable[[], EncordSession]]",
    ) -> None:
        self.error: str | None = None
        self.written = 0
        self._path = path
        self._manifest = manifest
        self._journal = journal
        self._sessions = sessions
        self._file: BinaryIO | None = None
        self._before: frozenset[str] = frozenset()
        self._unwritten: set[str] = set()

    def __enter__(self) -> Self:
        """Open the file, and see what earlier runs have made, before anything is sent.

        Raises:
            UsageError: It cannot be written, or there will be no journal.
        """
        if self._path is None:
            return self
        if self._journal is None and self._manifest.is_stream:
            raise UsageError(
                "--api-keys: what a run made is known from its journal, which this one lacks; add --journal"
            )
        # Of one that cannot be read the run itself says what is wrong; a new one in a database is not there yet.
        with suppress(JournalError):
            self._before = frozenset(record.hash or "" for record in self._made()[0])
        try:
            refuse_others(self._path, lambda head: head.startswith(_BEGIN), force=False)
            self._file = opened(self._path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"--api-keys {self._path}: cannot be written: {reason}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, output: Output) -> None:
        """Write what the run made, now that it is over, and say how many there are."""
        if self._file is None:
            return
        try:
            there, names = self._made()
            made = [record for record in there if record.hash not in self._before]
            if made:
                run(lambda: self._write(made, names), reads=True)
        except EncordError as error:
            self._fail(told(error.message))
        else:
            if self._unwritten:
                self._fail("the service does not list them any more")

        output.say(f"{many(self.written, 'API key', 'API keys')} written to {self._path}")

    def _fail(self, reason: str) -> None:
        where = ", ".join(sorted(self._unwritten)[:_SHOWN]) or "PROJECT_HASH"
        self.error = (
            f"--api-keys {self._path}: not all that this run made is in it: {reason}. No API key is lost by that: "
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

    async def _write(self, made: "Sequence[Record]", names: Mapping[str, str]) -> None:
        from encord_async.engine.crew import each
        from encord_async.kinds.thing import InnerThing

        inside: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        for record in made:
            inside[record.parent_hash or ""][record.hash or ""] = record
        self._unwritten = set(inside)
        async with self._sessions()() as session:

            async def write_those_of(parent: str) -> None:
                kind, keys = next(iter(inside[parent].values())).kind, inside[parent]
                if isinstance(kind, InnerThing):
                    listed = await session.execute(kind.listing(parent))
                    number = self._put(_lines(kind, parent, names.get(parent), keys, listed))
                    self.written += number
                    if number == len(keys):
                        self._unwritten.discard(parent)

            await each(inside, write_those_of, at_once=session.settings.concurrency)

    @sealed
    def _put(self, lines: Sequence[bytes]) -> int:
        """Write *lines* down, and wait until they lie on the disk; how many there are.

        Raises:
            UsageError: They cannot be written; what the file had before, it still has.
        """
        if self._file is None:
            return 0
        descriptor, left = self._file.fileno(), b"".join(lines)
        before = os.fstat(descriptor)
        is_file = stat.S_ISREG(before.st_mode)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            if is_file:
                os.fsync(descriptor)
        except OSError as error:
            # What is half there would spoil the next line.
            if is_file:
                os.ftruncate(descriptor, before.st_size)
            raise UsageError(f"it cannot be written ({error.strerror})") from None
        return len(lines)


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
