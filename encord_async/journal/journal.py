"""The journal: what a run intends and what came of it, durable before anything is sent. It never knows its database.

One table of steps, upserted; many steps share one commit, made on a thread, with a full sync of the disk. A row
carries a checksum, so that a damaged journal is refused rather than believed. It never holds a key or a token. Beside
it a small table of traffic, for people to look at: it goes along with the commits of steps, and nothing hangs on it.

What differs between databases, locks above all, is in `sqlite` and `postgres`. What is written is in `tables` and
`rows`; `opening`, `queries`, `gone` and `writer` are what happens on the thread.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from encord_async.errors import JournalError, JournalMismatchError, UsageError
from encord_async.journal import gone, opening, queries, unsaid
from encord_async.journal.commit import Commit
from encord_async.journal.opening import Identity, Past
from encord_async.journal.record import Record, State, Told, Word, tell_soon
from encord_async.journal.store import Owner, Shard, Store, sa
from encord_async.journal.tables import CHANGED, MADE, OPEN, STEPS
from encord_async.journal.taken_off import Leftover, Said, TakenOffs
from encord_async.journal.traffic import Traffic
from encord_async.journal.writer import Writer
from encord_async.manifest.digests import Seen
from encord_async.secrecy import conceal, sealed

__all__ = ["Identity", "Journal", "Shard", "is_url"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

_CANCELLED: Final = "cancelled"
_TAKEN_OFF: Final = "taken_off"
_WANTED: Final = "keys_wanted"
_PAGE: Final = 2000
"""Records read at once where all of them are."""


class Journal:
    """A journal; ``async with`` opens, checks and locks it.

    Args:
        where: A SQLite file or the URL of a PostgreSQL database (`is_url`); made if it is not there.
        identity: Who writes. None to read only: then nothing is made, locked or changed.
        shard: The part that is to be written, of a journal that another process shares out; None for the whole.
        by_hand: Whether it is left as it is, though it be of an older version, until it is to be brought up to date.

    Raises:
        JournalBusyError: Another process writes it.
        JournalMismatchError: It belongs to another account or domain.
        JournalError: It cannot be used, and why.
    """

    @sealed
    def __init__(
        self, where: str | Path, identity: Identity | None, *, shard: Shard | None = None, by_hand: bool = False
    ) -> None:
        self._store = _store(where, shard)
        self._by_hand = by_hand
        self._identity = identity
        self._shard = shard
        self._writer = Writer(self._store, is_shard=shard is not None)
        self._thread = anyio.CapacityLimiter(1)
        self._connection: sa.Connection | None = None
        self._group: TaskGroup | None = None
        self._wake = anyio.Event()
        self._next = Commit()
        self._unwritable: str | None = "the journal is not open for writing"
        self._closing = False
        self._past = Past()
        self._may_leave = True

    async def __aenter__(self) -> Self:
        await self._on_thread(self._open)
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._commit_in_groups, name="journal")
        if self._identity is not None:
            self._unwritable = None
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        try:
            if self._group is not None:
                # Even a cancelled run writes down what it has learned.
                self._group.cancel_scope.shield = True
                await self._group.__aexit__(None, None, None)
        finally:
            with anyio.CancelScope(shield=True):
                await self._on_thread(self._close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """Where it is, as it may be shown: never with a password."""
        return self._store.name

    @property
    def stamp_key(self) -> bytes:
        """What makes the stamps of this journal its own; the same in every run."""
        return self._past.stamp_key

    @property
    def is_new(self) -> bool:
        """See `Ledger`; a shard is not, because others write as well."""
        return self._past.is_empty and self._shard is None

    def is_absent(self) -> bool:
        """Whether there surely is nothing yet where it is to be."""
        return self._store.is_absent()

    @property
    def has_made(self) -> bool:
        """See `Ledger`; as it was when the journal was opened."""
        return self._past.has_made

    @property
    def has_moved(self) -> bool:
        """See `Ledger`; of what others write, as it was when the journal was opened."""
        return self._writer.has_moved

    @property
    def may_leave(self) -> bool:
        """See `Ledger`."""
        return self._may_leave

    # ------------------------------------------------------------------ the ledger

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """See `Ledger`."""
        return await self._ask(queries.known, identities) if identities else {}

    async def words(self, identities: Sequence[bytes]) -> Mapping[bytes, Word]:
        """See `Ledger`."""
        return await self._ask(queries.words, identities) if identities else {}

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:
        """See `Ledger`."""
        # A plain future: nobody else waits for it, and an event would take twice as long.
        done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._join(records, instead_of, _settle, done)
        failure = await done
        if failure is not None:
            raise JournalError(failure)

    def post(self, record: Record, told: Told[T], about: T) -> None:
        """See `Ledger`."""
        self._join((record,), (), told, about)

    def _join(self, records: Iterable[Record], retired: Collection[bytes], told: Told[T], about: T) -> None:
        """Let *records* be in the next commit; *told* is told later of its end, which is that of *about*."""
        if self._unwritable is not None:
            tell_soon(told, about, self._unwritable)
            return
        commit = self._next
        if retired:
            commit.retire(retired)
        for record in records:
            self._may_leave |= record.is_aside
            commit.add(record, self._writer.intent(record.identity))
        commit.tell(told, about)
        if not self._wake.is_set():
            self._wake.set()

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._ask(queries.select, STEPS.c.name == name)

    async def every(self) -> AsyncIterator[Record]:
        """See `Ledger`; a page at a time."""
        after = 0
        while True:
            records, after = await self.records(most=_PAGE, after=after)
            for record in records:
                yield record
            if len(records) < _PAGE:
                return

    async def open_intents(self) -> Sequence[Record]:
        """See `Ledger`; of a shard those of its own entries."""
        records = await self._ask(queries.select, OPEN)
        entries = None if self._shard is None else self._shard.entries
        return records if entries is None else [record for record in records if record.entry in entries]

    async def seen(self) -> Seen:
        """See `Ledger`; a shard begins with nothing, for else each of many would read it all."""
        return Seen() if self._shard is not None else await self._ask(queries.seen)

    async def holders(self, found: str) -> Sequence[Record]:
        """See `Ledger`; reads everything, for what hardly ever happens."""
        return await self._ask(queries.select, MADE & (STEPS.c.hash == found))

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """See `Ledger`; also by who shares the journal out, for all who write shards."""
        await self._on_thread(self._disown, is_present)

    async def left_behind(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._ask(gone.left_behind, name) if self._may_leave else ()

    async def gone_things(self) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._ask(gone.things) if self._may_leave else ()

    async def leftovers(self, hashes: Collection[str]) -> Mapping[str, Leftover]:
        """See `Ledger`."""
        return await self._ask(gone.leftovers, list(hashes)) if hashes else {}

    async def taken_off(self, said: Said) -> TakenOffs:
        """See `Ledger`."""
        return await self._ask(unsaid.look, said)

    async def note_taken_off(self, found: TakenOffs) -> None:
        """See `Ledger`."""
        if await self.noted_taken_off() != found:
            await self._on_thread(self._say_of_itself, {_TAKEN_OFF: found.written()})

    async def noted_taken_off(self) -> TakenOffs:
        """What the last run noted that knew the whole of its manifest, see `Ledger.note_taken_off`."""
        return TakenOffs.read((await self._ask(opening.meta)).get(_TAKEN_OFF, ""))

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:
        """See `Ledger`."""
        return await self._ask(gone.contested, keys) if keys else ()

    async def detached(self, hashes: Collection[str]) -> Collection[str]:
        """See `Ledger`."""
        return await self._ask(queries.detached, list(hashes)) if hashes else ()

    async def records(self, *, most: int, after: int = 0) -> tuple[list[Record], int]:
        """A page of all records in the order in which their steps began, and where the next page starts."""
        return await self._ask(queries.page, most, after)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many steps there are, by kind and then by how they stand: all open ones are in doubt."""
        return await self._ask(queries.counts)

    async def failed(self, *, most: int) -> list[Record]:
        """The first *most* steps that failed, in the order in which they began."""
        failed = (STEPS.c.state == State.FAILED.value) & (STEPS.c.status != _CANCELLED)
        return await self._ask(queries.select, failed | CHANGED, most)

    async def cancelled(self, *, most: int) -> list[Record]:
        """The first *most* steps that a stop kept from being done, in the order in which they began."""
        cancelled = (STEPS.c.state == State.FAILED.value) & (STEPS.c.status == _CANCELLED)
        return await self._ask(queries.select, cancelled, most)

    async def state_digest(self) -> str:
        """A name for all that is written in it about steps; empty if that is nothing."""
        return await self._ask(queries.state_digest)

    async def owner(self) -> Owner | None:
        """Who writes the journal now, as far as its lock tells; None if nobody does."""
        return await self._on_thread(self._owner)

    async def share(self) -> int:
        """Let others write shards of this journal, until it is closed, and write nothing more oneself.

        Returns:
            The number by which they find that this run still goes on, see `Shard`.

        Raises:
            UsageError: It is a file, which only one process can write.
        """
        self._unwritable = "the journal is shared out"
        run = secrets.randbits(62)
        await self._on_thread(self._share, run)
        return run

    @property
    def is_cut_off(self) -> bool:
        """See `Ledger`."""
        return self._store.is_cut_off()

    async def is_alive(self) -> None:
        """Ask the database for a sign of life, and for a shard whether the run that it is a part of still goes on.

        Raises:
            JournalError: There is none: whatever lock was held may be another's by now.
        """
        # Whoever asks may have no time to wait for a server that is cut off.
        await self._ask(self._store.ask, may_abandon=True)

    async def about(self) -> Mapping[str, str]:
        """What the journal says of itself: ``schema``, ``made_s``, ``domain`` and ``account``."""
        meta = await self._ask(opening.meta)
        return {name: meta[name] for name in ("schema", "made_s", "domain", "account")}

    async def back_up(self) -> str:
        """Write all that is in it to a file that is new and only this user's, and say where that lies.

        Raises:
            JournalError: It cannot be written.
        """
        return await self._on_thread(self._back_up)

    async def put_back(self, backup: Path) -> None:
        """Let it say what it said when *backup* was written; all of it, or nothing is changed.

        Raises:
            JournalError: That is no backup of a journal of this service, or cannot be read.
            UsageError: It is a file, whose backup is put in its place by copying.
        """
        await self._on_thread(self._put_back, backup)

    async def bring_up_to_date(self) -> None:
        """Let one of an older version that was opened *by_hand* be one of today, before anything is written."""
        await self._on_thread(self._bring_up_to_date)

    async def rebind(self, account: str) -> None:
        """Let *account* go on with the journal from now on, and nobody else."""
        await self._on_thread(self._say_of_itself, {"account": account})

    async def want_keys(self) -> None:
        """Note that what is made inside things, and is secret, is wanted by somebody."""
        await self._on_thread(self._say_of_itself, {_WANTED: "1"})

    async def kept_back(self, *, unless_unwanted: bool = False) -> list[Record]:
        """What is secret of what was made, and that nobody was given; with *unless_unwanted* only if it is wanted."""
        if unless_unwanted and _WANTED not in await self._ask(opening.meta):
            return []
        return await self._ask(queries.kept_back)

    async def hand_on(self, records: Iterable[Record]) -> None:
        """Note that somebody has been given what *records* say was made, or that nobody can be any more."""
        await self.write([replace(one, details={**one.details, queries.HANDED_ON: True}) for one in records])

    async def keys_of(self, hashes: Sequence[str]) -> Mapping[str, str]:
        """The keys of the entries that made these things."""
        return await self._ask(queries.keys_of, hashes)

    def note_traffic(self, sample: Traffic) -> None:
        """Take *sample* along with the next commit, or at the latest when the journal is closed."""
        self._writer.traffic.append(sample)

    async def traffic(self) -> list[Traffic]:
        """What was sent, by all runs, in the order in which it was written down; a journal of version 1 has nothing."""
        return await self._ask(queries.traffic)

    # ------------------------------------------------------------------ committing

    async def _commit_in_groups(self) -> None:
        with anyio.CancelScope(shield=True):
            while not self._closing or self._next:
                await self._wake.wait()
                self._wake = anyio.Event()
                commit, self._next = self._next, Commit()
                if commit and self._unwritable is None:
                    try:
                        await self._on_thread(self._commit, commit)
                    except JournalError as error:
                        # After a failed sync nobody knows what the disk holds: write nothing more.
                        self._unwritable = error.message
                await commit.end(self._unwritable)
            if self._writer.traffic and self._unwritable is None:
                # The run is over, and need not fail because of it.
                with contextlib.suppress(JournalError):
                    await self._on_thread(self._commit_traffic)
        self._unwritable = self._unwritable or "the journal is closed"

    # ------------------------------------------------------------------ on the thread

    async def _on_thread(self, function: Callable[[*Args], T], *args: *Args, may_abandon: bool = False) -> T:
        try:
            return await anyio.to_thread.run_sync(function, *args, limiter=self._thread, abandon_on_cancel=may_abandon)
        except JournalError as error:
            # The frames of the database's driver hold the password.
            conceal(error)
            raise

    async def _ask(self, query: Callable[[sa.Connection, *Args], T], *args: *Args, may_abandon: bool = False) -> T:
        """What *query* finds."""
        return await self._on_thread(self._find, query, *args, may_abandon=may_abandon)

    def _find(self, query: Callable[[sa.Connection, *Args], T], *args: *Args) -> T:
        with self._reading() as connection:
            return query(connection, *args)

    def _open(self) -> None:
        ours, is_whole = self._identity, self._shard is None
        try:
            with self._translated("cannot open"):
                self._connection = self._store.open(None if ours is None else partial(opening.fill, identity=ours))
                with self._reading() as connection:
                    opening.check(connection, self.name, ours)
                    if is_whole:
                        opening.check_rows(connection, self._store)
                if ours is not None and is_whole and not self._by_hand:
                    opening.migrate(self._connected(), self._store)
                # A plan has to reckon with the same.
                self._look_back()
                if ours is not None:
                    self._store.begin_writing(self._connected())
        except BaseException:
            self._close()
            raise

    def _look_back(self) -> None:
        self._past = self._find(opening.look_back)
        # One of an older version that is only read has noted of nobody that they have gone.
        self._may_leave = self._past.is_current and not self.is_new
        self._writer.has_moved = self._past.has_moved

    def _bring_up_to_date(self) -> None:
        with self._translated("cannot write"):
            opening.migrate(self._connected(), self._store)
        self._look_back()

    def _commit(self, commit: Commit) -> None:
        with self._writing() as connection:
            self._writer.write(connection, commit)

    def _commit_traffic(self) -> None:
        """Write down what no commit of steps has taken along."""
        with self._writing() as connection:
            self._writer.write_traffic(connection)

    def _back_up(self) -> str:
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        with self._reading() as connection, self._translated("cannot write a backup of"):
            # Others may have made one in the same second.
            for name in (when, *(f"{when}-{number}" for number in range(2, 100))):
                with contextlib.suppress(FileExistsError):
                    return self._store.back_up(connection, name)
            raise FileExistsError("there are a hundred of this second")

    def _put_back(self, backup: Path) -> None:
        with self._writing() as connection:
            domain = opening.meta(connection)["domain"]
            self._store.put_back(connection, backup)
            opening.check(connection, str(backup), None)
            opening.check_rows(connection, self._store)
            found = opening.meta(connection)["domain"]
            if found != domain:
                raise JournalMismatchError(f"{backup} is of {found}, and {self.name} of {domain}")
        self._look_back()

    def _say_of_itself(self, changes: Mapping[str, str]) -> None:
        with self._writing() as connection:
            opening.change_meta(connection, self._store, **changes)

    def _disown(self, is_present: Callable[[bytes], bool]) -> None:
        with self._writing() as connection:
            gone.disown(connection, self._store, is_present, has_moved=self.has_moved)
            self._may_leave = gone.is_anything(connection)

    def _owner(self) -> Owner | None:
        with self._translated("cannot read"):
            return self._store.owner()

    def _share(self, run: int) -> None:
        with self._translated("cannot share"):
            self._store.share(self._connected(), run)

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            raise JournalError("the journal is closed")
        return self._connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._translated("cannot read"):
            connection = self._connected()
            try:
                yield connection
            finally:
                # A transaction left open keeps a server from tidying up.
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._translated("cannot write"):
            connection = self._connected()
            try:
                yield connection
                connection.commit()
                self._store.confirm()
            except sa.exc.SQLAlchemyError:
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()
                raise

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()
        self._store.close()

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        # The last is raised for bytes of a damaged file that are no text, and for a path with a zero byte.
        except (sa.exc.SQLAlchemyError, OSError, ValueError) as error:
            reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
            said = " ".join(str(reason).split())
            raise JournalError(
                f"{what} the journal {self.name}: {said}; nothing is sent that is not recorded"
            ) from error


def _settle(done: asyncio.Future[str | None], failure: str | None) -> None:
    """Let go on whoever waits for it to be *done*, if they still do."""
    if not done.done():
        done.set_result(failure)


def is_url(where: str | Path) -> bool:
    """Whether *where* names a journal in a database server, and not a file."""
    return isinstance(where, str) and "://" in where


def _store(where: str | Path, shard: Shard | None) -> Store:
    if is_url(where):
        # Imported on first need: the driver is an extra.
        from encord_async.journal.postgres import PostgresStore

        return PostgresStore(str(where), shard=shard)
    if shard is not None:
        raise UsageError(f"{where} is a file, which one process writes; several need a journal in PostgreSQL")
    from encord_async.journal.sqlite import SqliteStore

    return SqliteStore(Path(where))
