"""The journal: what a run intends and what came of it, durable before anything is sent. It never knows its database.

One table of steps, upserted; many steps share one commit, made on a thread, with a full sync of the disk. A row
carries a checksum, so that a damaged journal is refused rather than believed. It never holds a key or a token. Beside
it a small table of traffic, for people to look at: it goes along with the commits of steps, and nothing hangs on it.

What differs between databases, locks above all, is in ``journal_sqlite`` and ``journal_postgres``.
"""

import contextlib
import json
import math
import os
import re
import secrets
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar, TypeVarTuple

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup

from encord_async.errors import JournalError, JournalMismatchError, MissingExtraError, UsageError
from encord_async.journal.record import Record, State
from encord_async.journal.seen import Seen
from encord_async.journal.store import RESTORE, Owner, Shard, Store
from encord_async.journal.traffic import Traffic
from encord_async.kinds.steps import MEMBERSHIPS, StepKind
from encord_async.secrecy import conceal, sealed

try:
    import sqlalchemy as sa
except ImportError as error:
    raise MissingExtraError("the journal needs SQLAlchemy: pip install 'encord-async[journal]'") from error

__all__ = ["Identity", "Journal", "Shard", "is_url"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

SCHEMA_VERSION: Final = 3
"""1 had no table of traffic. Before 3, memberships were written down for each entry that asked for them."""
_MAX_ROWS: Final = 256
"""Rows made and handed to the database at once: thousands of members of a refused batch may share one commit."""
_LOOKUP: Final = 400
"""Parameters in one query; SQLite took no more than 999 for many years."""
_PAGE: Final = 1000
"""Rows looked at at once where all of them are."""
_WOKEN_AT_ONCE: Final = 4
"""So many writers go on in one turn of the event loop when their commit is done; all together would hold it up."""


class _NoZeros(sa.types.TypeDecorator[str]):
    """Text for PostgreSQL, which takes any character but U+0000."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - its shape
        """As it is stored."""
        return None if value is None else value.replace("\\", "\\\\").replace("\0", "\\0")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - its shape
        """As it was."""
        return None if value is None else re.sub(r"\\(.)", lambda found: "\0" if found[1] == "0" else found[1], value)


_TEXT: Final = sa.Text().with_variant(_NoZeros(), "postgresql")

_METADATA: Final = sa.MetaData()

_META: Final = sa.Table(
    "meta",
    _METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

_STEPS: Final = sa.Table(
    "steps",
    _METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("identity", sa.LargeBinary(16), nullable=False, unique=True),
    sa.Column("entry", sa.LargeBinary(16), nullable=False),
    sa.Column("place", _TEXT, nullable=False),
    sa.Column("key", _TEXT),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("title", _TEXT, nullable=False),
    sa.Column("project_hash", _TEXT),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("hash", _TEXT),
    sa.Column("name", sa.LargeBinary(16)),
    sa.Column("request", sa.String(64)),
    sa.Column("details", _TEXT, nullable=False),
    sa.Column("code", _TEXT),
    sa.Column("message", _TEXT),
    sa.Column("started_s", sa.Float, nullable=False),
    sa.Column("ended_s", sa.Float),
    sa.Column("checksum", sa.BigInteger, nullable=False),
)
_CONTENT: Final = tuple(column for column in _STEPS.columns if column.name not in {"seq", "checksum"})
_BRIEF: Final = tuple(_STEPS.c[name] for name in ("identity", "entry", "project_hash", "state", "hash", "details"))
"""The columns that say whose something is."""
_COLUMNS: Final = tuple(column.name for column in _CONTENT)
_END: Final = ("state", "status", "hash", "code", "message", "ended_s")
"""The columns that are not known before a request is sent."""
_END_PLACES: Final = tuple(_COLUMNS.index(name) for name in _END)
_KINDS: Final = {kind.value: kind for kind in StepKind}
_STATES: Final = {state.value: state for state in State}
_TABLES: Final = frozenset({_META.name, _STEPS.name})
"""Those of every version."""

_TRAFFIC: Final = sa.Table(
    "traffic",
    _METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("began_s", sa.Float, nullable=False),
    sa.Column("ended_s", sa.Float, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("retries", sa.Integer, nullable=False),
    sa.Column("throttled", sa.Integer, nullable=False),
    sa.Column("in_flight", sa.Integer, nullable=False),
)

_GONE: Final = sa.Table("gone", _METADATA, sa.Column("entry", sa.LargeBinary(16), primary_key=True))
"""Entries that the manifest held once, and steps whose API keys are nobody's now.

Made anew by each run that knows its manifest, so that it needs no checksum.
"""

# Partial, so that rows of memberships, which have no name and never stay open, cost nothing here.
sa.Index(
    "steps_by_name",
    _STEPS.c.name,
    sqlite_where=_STEPS.c.name.isnot(None),
    postgresql_where=_STEPS.c.name.isnot(None),
)
_OPEN: Final = (State.INTENDED.value, State.IN_DOUBT.value)
sa.Index(
    "steps_open",
    _STEPS.c.state,
    sqlite_where=_STEPS.c.state.in_(_OPEN),
    postgresql_where=_STEPS.c.state.in_(_OPEN),
)
# In words: of a parameter SQLite cannot tell whether the index has all that is asked for.
_MISSING: Final = sa.text("(kind = 'detach' OR (kind = 'attach' AND state <> 'done'))")
_STEPS_MISSING: Final = sa.Index(
    "steps_missing", _STEPS.c.project_hash, sqlite_where=_MISSING, postgresql_where=_MISSING
)
"""Datasets that projects may lack although they had them once; there are few."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose journal it is: the service's domain and the account's name there."""

    domain: str
    account: str


_Row: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Intent:
    """An intent as it was written: its end changes a few of its columns."""

    record: Record
    texts: list[str]
    """What the checksum is made of."""


class _Commit:
    """Records that will share one commit, and who waits for it. The last word on a step wins."""

    __slots__ = ("_waiting", "done", "ends", "failure", "retired", "whole")

    def __init__(self) -> None:
        self.retired: set[bytes] = set()
        self.whole: dict[bytes, Record] = {}
        self.ends: dict[bytes, tuple[Record, _Intent]] = {}
        self.done: list[anyio.Event] = []
        """Set one after the other once it is over."""
        self._waiting = 0
        self.failure: str | None = None

    def __bool__(self) -> bool:
        return bool(self.whole or self.ends)

    def add(self, record: Record, intent: _Intent | None) -> None:
        identity = record.identity
        if intent is not None and identity not in self.whole and _is_end_of(record, intent.record):
            self.ends[identity] = record, intent
        else:
            self.ends.pop(identity, None)
            self.whole[identity] = record

    def retire(self, identities: Iterable[bytes]) -> None:
        for identity in identities:
            self.retired.add(identity)
            self.ends.pop(identity, None)
            self.whole.pop(identity, None)

    def join(self) -> anyio.Event:
        """What one more writer has to wait for."""
        if self._waiting % _WOKEN_AT_ONCE == 0:
            self.done.append(anyio.Event())
        self._waiting += 1
        return self.done[-1]


class Journal:
    """A journal; ``async with`` opens, checks and locks it.

    Args:
        where: A SQLite file or the URL of a PostgreSQL database (`is_url`); made if it is not there.
        identity: Who writes. None to read only: then nothing is made, locked or changed.
        shard: The part that is to be written, of a journal that another process shares out; None for the whole.

    Raises:
        JournalBusyError: Another process writes it.
        JournalMismatchError: It belongs to another account or domain.
        JournalError: It cannot be used, and why.
    """

    @sealed
    def __init__(self, where: str | Path, identity: Identity | None, *, shard: Shard | None = None) -> None:
        self._store = _store(where, shard)
        self._identity = identity
        self._shard = shard
        self._write, self._write_end = _writes(self._store.insert)
        self._thread = anyio.CapacityLimiter(1)
        self._connection: sa.Connection | None = None
        self._group: TaskGroup | None = None
        self._wake = anyio.Event()
        self._next = _Commit()
        self._intents: dict[bytes, _Intent] = {}
        self._unwritable: str | None = "the journal is not open for writing"
        self._closing = False
        self._stamp_key = b""
        self._is_new = self._has_made = self._has_moved = False
        self._traffic: deque[Traffic] = deque()

    async def __aenter__(self) -> Self:
        await self._on_thread(self._open)
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._commit_in_groups, name="journal")
        if self._identity is not None:
            self._unwritable = None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
        return self._stamp_key

    @property
    def is_new(self) -> bool:
        """See `Ledger`; a shard is not, because others write as well."""
        return self._is_new

    @property
    def has_made(self) -> bool:
        """See `Ledger`; as it was when the journal was opened."""
        return self._has_made

    @property
    def has_moved(self) -> bool:
        """See `Ledger`; as it was when the journal was opened."""
        return self._has_moved

    # ------------------------------------------------------------------ the ledger

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """See `Ledger`."""
        if not identities:
            return {}
        return await self._on_thread(self._known, identities)

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:
        """See `Ledger`."""
        if self._unwritable is not None:
            raise JournalError(self._unwritable)
        commit = self._next
        commit.retire(instead_of)
        for record in records:
            commit.add(record, self._intents.pop(record.identity, None))
        done = commit.join()
        self._wake.set()
        await done.wait()
        if commit.failure is not None:
            raise JournalError(commit.failure)

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._on_thread(self._select, _STEPS.c.name == name)

    async def open_intents(self) -> Sequence[Record]:
        """See `Ledger`; of a shard those of its own entries."""
        records = await self._on_thread(self._select, _STEPS.c.state.in_(_OPEN))
        entries = None if self._shard is None else self._shard.entries
        return records if entries is None else [record for record in records if record.entry in entries]

    async def seen(self) -> Seen:
        """See `Ledger`; a shard begins with nothing, for else each of many would read it all."""
        return Seen() if self._shard is not None else await self._on_thread(self._seen)

    async def holders(self, found: str) -> Sequence[Record]:
        """See `Ledger`; reads everything, for what hardly ever happens."""
        return await self._on_thread(self._select, _STEPS.c.name.isnot(None) & (_STEPS.c.hash == found))

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """See `Ledger`; also by who shares the journal out, for all who write shards."""
        await self._on_thread(self._disown, is_present)

    async def left_behind(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        gone = sa.select(_GONE.c.entry).where(_GONE.c.entry.in_([_STEPS.c.entry, _STEPS.c.identity])).exists()
        # See `set_aside`.
        nobodys = sa.or_(gone, _STEPS.c.entry == _STEPS.c.identity)
        made = _STEPS.c.state != State.FAILED.value
        return await self._on_thread(self._select, sa.and_(_STEPS.c.name == name, made, nobodys))

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:
        """See `Ledger`."""
        return await self._on_thread(self._contested, keys) if keys else ()

    async def detached(self, project_hashes: Collection[str]) -> Collection[str]:
        """See `Ledger`."""
        if not project_hashes:
            return ()
        return await self._on_thread(self._detached, list(project_hashes))

    async def records(self, *, most: int, after: int = 0) -> tuple[list[Record], int]:
        """A page of all records in the order in which their steps began, and where the next page starts."""
        return await self._on_thread(self._page, most, after)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many steps there are, by kind and then by how they ended; open ones by their state."""
        return await self._on_thread(self._counts)

    async def failed(self, *, most: int) -> list[Record]:
        """The first *most* steps that failed, in the order in which they began."""
        return await self._on_thread(self._first, _STEPS.c.state == State.FAILED.value, most)

    async def state_digest(self) -> str:
        """A name for all that is written in it about steps; empty if that is nothing."""
        return await self._on_thread(self._state_digest)

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

    async def is_alive(self) -> None:
        """Ask the database for a sign of life, and for a shard whether the run that it is a part of still goes on.

        Raises:
            JournalError: There is none: whatever lock was held may be another's by now.
        """
        # Whoever asks may have no time to wait for a server that is cut off.
        await self._on_thread(self._ask, may_abandon=True)

    async def about(self) -> Mapping[str, str]:
        """What the journal says of itself: ``schema``, ``made_s``, ``domain`` and ``account``."""
        meta = await self._on_thread(self._meta)
        return {name: meta[name] for name in ("schema", "made_s", "domain", "account")}

    def note_traffic(self, sample: Traffic) -> None:
        """Take *sample* along with the next commit, or at the latest when the journal is closed."""
        self._traffic.append(sample)

    async def traffic(self) -> list[Traffic]:
        """What was sent, by all runs, in the order in which it was written down; a journal of version 1 has nothing."""
        return await self._on_thread(self._read_traffic)

    # ------------------------------------------------------------------ committing

    async def _commit_in_groups(self) -> None:
        with anyio.CancelScope(shield=True):
            while not self._closing or self._next:
                await self._wake.wait()
                self._wake = anyio.Event()
                commit, self._next = self._next, _Commit()
                if commit and self._unwritable is None:
                    try:
                        await self._on_thread(self._commit, commit)
                    except JournalError as error:
                        # After a failed sync nobody knows what the disk holds: write nothing more.
                        self._unwritable = error.message
                commit.failure = self._unwritable
                for done in commit.done:
                    done.set()
                    await anyio.lowlevel.checkpoint()
            if self._traffic and self._unwritable is None:
                await self._on_thread(self._commit_traffic)
        self._unwritable = self._unwritable or "the journal is closed"

    def _commit(self, commit: _Commit) -> None:
        with self._translated("cannot write"):
            connection = self._connected()
            try:
                self._retire(connection, list(commit.retired))
                self._reclaim(connection, commit.whole.values())
                for some in _slices(self._in_order(commit.whole)):
                    connection.execute(self._write, [self._row(record) for record in some])
                for ended in _slices(commit.ends.values()):
                    connection.execute(self._write_end, [_end(record, intent.texts) for record, intent in ended])
                self._insert_traffic(connection)
                connection.commit()
                self._store.confirm()
            except sa.exc.SQLAlchemyError:
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()
                raise

    def _in_order(self, records: Mapping[bytes, Record]) -> Collection[Record]:
        """*records* in an order in which no two processes lock one another out: a membership may be in two shards."""
        return records.values() if self._shard is None else [records[identity] for identity in sorted(records)]

    def _retire(self, connection: sa.Connection, identities: Sequence[bytes]) -> None:
        """Let go of records whose place others take."""
        for start in range(0, len(identities), _LOOKUP):
            some = identities[start : start + _LOOKUP]
            connection.execute(sa.delete(_STEPS).where(_STEPS.c.identity.in_(some)))
        if identities and not self._has_moved:
            self._change_meta(connection, moved="1")
            self._has_moved = True

    def _reclaim(self, connection: sa.Connection, records: Iterable[Record]) -> None:
        """See to it that what steps of API keys make from now on is not `left_behind`, as what they made before was."""
        keys = [record.identity for record in records if record.kind is StepKind.API_KEY] if self._has_moved else []
        for start in range(0, len(keys), _LOOKUP):
            connection.execute(sa.delete(_GONE).where(_GONE.c.entry.in_(keys[start : start + _LOOKUP])))

    def _row(self, record: Record) -> _Row:
        texts, row = _row(record)
        if record.state is State.INTENDED:
            self._intents[record.identity] = _Intent(record, texts)
        return row

    def _insert_traffic(self, connection: sa.Connection) -> None:
        # Emptied one by one, since more may be added meanwhile.
        rows = [self._traffic.popleft().as_json() for _ in range(len(self._traffic))]
        if rows:
            connection.execute(sa.insert(_TRAFFIC), rows)

    def _commit_traffic(self) -> None:
        """Write down what no commit of steps has taken along; the run is over, and need not fail because of it."""
        with contextlib.suppress(JournalError), self._translated("cannot write"):
            connection = self._connected()
            self._insert_traffic(connection)
            connection.commit()

    # ------------------------------------------------------------------ on the thread

    async def _on_thread(self, function: Callable[[*Args], T], *args: *Args, may_abandon: bool = False) -> T:
        try:
            return await anyio.to_thread.run_sync(function, *args, limiter=self._thread, abandon_on_cancel=may_abandon)
        except JournalError as error:
            # The frames of the database's driver hold the password.
            conceal(error)
            raise

    def _open(self) -> None:
        writes = self._identity is not None
        try:
            with self._translated("cannot open"):
                self._connection = self._store.open(self._fill if writes else None)
                self._check_kind()
                self._check_identity()
                if self._shard is None:
                    self._check_rows()
                if writes and self._shard is None:
                    self._migrate()
                # A plan has to reckon with the same.
                self._look_back()
                if writes:
                    self._store.begin_writing(self._connected())
        except BaseException:
            self._close()
            raise

    def _fill(self, connection: sa.Connection) -> None:
        """Set up a new journal."""
        identity = self._identity
        if identity is None:
            raise AssertionError("who only reads makes nothing")
        meta = {
            "schema": str(SCHEMA_VERSION),
            "made_s": str(time.time()),
            "domain": identity.domain,
            "account": identity.account,
            "stamp_key": os.urandom(16).hex(),
        }
        meta["checksum"] = _meta_checksum(meta)
        _METADATA.create_all(connection)
        connection.execute(sa.insert(_META), [{"name": name, "value": value} for name, value in meta.items()])

    def _check_kind(self) -> None:
        """Look who made the file, before anything of it is changed."""
        with self._reading() as connection:
            tables = set(sa.inspect(connection).get_table_names())
        if not tables >= _TABLES:
            raise JournalError(f"{self.name} is a database of something else, no journal; give another path")
        meta = self._meta()
        # Not a text, if a bit has flipped.
        schema = str(meta.get("schema"))
        if schema.isdigit() and int(schema) > SCHEMA_VERSION:
            raise JournalError(
                f"{self.name} was written by a newer encord-async (schema {schema}, known {SCHEMA_VERSION}); upgrade"
            )
        if meta.pop("checksum", None) != _meta_checksum(meta):
            raise JournalError(f"{self.name} is damaged (it does not say whose it is); {RESTORE}")

    def _migrate(self) -> None:
        """Bring a journal of an older version up to date; one that was killed in the middle of this begins again."""
        meta = self._meta()
        if meta["schema"] == str(SCHEMA_VERSION):
            return
        connection = self._connected()
        _TRAFFIC.create(connection, checkfirst=True)
        _GONE.create(connection, checkfirst=True)
        _STEPS_MISSING.create(connection, checkfirst=True)
        # Nobody knows of what role they were, or what a key stood for: they are sent again, which does no harm. Those
        # that took a dataset away stay, because a project that has seen one is looked at more closely.
        taken = sa.and_(_STEPS.c.kind == StepKind.DETACH.value, _STEPS.c.state == State.DONE.value)
        old = sa.and_(_STEPS.c.kind.in_([kind.value for kind in MEMBERSHIPS]), sa.not_(taken))
        connection.execute(sa.delete(_STEPS).where(old))
        self._change_meta(connection, schema=str(SCHEMA_VERSION))
        connection.commit()

    def _change_meta(self, connection: sa.Connection, **changes: str) -> None:
        meta = {row.name: row.value for row in connection.execute(sa.select(_META))} | changes
        meta.pop("checksum", None)
        meta["checksum"] = _meta_checksum(meta)
        for name in (*changes, "checksum"):
            row = {"name": name, "value": meta[name]}
            insert = self._store.insert(_META).values(row)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": meta[name]}))

    def _look_back(self) -> None:
        """See what a run has to reckon with."""
        self._has_moved = "moved" in self._meta()
        with self._reading() as connection:
            made = connection.execute(sa.select(_STEPS.c.seq).where(_STEPS.c.name.isnot(None)).limit(1))
            self._has_made = made.first() is not None
            any_step = connection.execute(sa.select(_STEPS.c.seq).limit(1)).first()
        self._is_new = any_step is None and self._shard is None

    def _check_rows(self) -> None:
        """Read everything once: a flipped bit must not pass for something done."""
        wanted = _CONVERTED if self._store.converts else _UNCONVERTED
        with self._reading() as connection:
            found = self._store.check(connection)
            if found:
                raise JournalError(f"{self.name} is damaged ({found}); {RESTORE}")
            with connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
                for seq, checksum, *content in rows:
                    # A list's own repr is what the checksum of its texts is made of, in one step.
                    if zlib.crc32(repr(content).encode()) != checksum:
                        raise JournalError(f"{self.name} is damaged (row {seq}); {RESTORE}")

    def _check_identity(self) -> None:
        meta = self._meta()
        self._stamp_key = bytes.fromhex(meta["stamp_key"])
        ours = self._identity
        if ours is not None and (meta["domain"], meta["account"]) != (ours.domain, ours.account):
            raise JournalMismatchError(
                f"{self.name} belongs to {meta['account']} at {meta['domain']}, and this is {ours.account} "
                f"at {ours.domain}; give another journal, or the key it was made with"
            )

    def _meta(self) -> dict[str, str]:
        with self._reading() as connection:
            return {row.name: row.value for row in connection.execute(sa.select(_META))}

    def _known(self, identities: Sequence[bytes]) -> dict[bytes, Record]:
        found: dict[bytes, Record] = {}
        with self._reading() as connection:
            for start in range(0, len(identities), _LOOKUP):
                some = identities[start : start + _LOOKUP]
                for row in connection.execute(_BY_IDENTITY, {"identities": some}):
                    record = _record(row)
                    found[record.identity] = record
        return found

    def _seen(self) -> Seen:
        wanted = sa.select(_STEPS.c.hash).where(_STEPS.c.name.isnot(None) & _STEPS.c.hash.isnot(None))
        with self._reading() as connection, connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
            return Seen(row.hash for row in rows)

    def _counts(self) -> dict[str, dict[str, int]]:
        ended = sa.case((_STEPS.c.state.in_(_OPEN), _STEPS.c.state), else_=_STEPS.c.status).label("ended")
        wanted = (
            sa.select(_STEPS.c.kind, ended, sa.func.count()).group_by(_STEPS.c.kind, ended).order_by("kind", "ended")
        )
        counts: dict[str, dict[str, int]] = {}
        with self._reading() as connection:
            for kind, status, number in connection.execute(wanted):
                counts.setdefault(kind, {})[status] = number
        return counts

    def _first(self, condition: sa.ColumnElement[bool], most: int) -> list[Record]:
        with self._reading() as connection:
            wanted = sa.select(*_CONTENT).where(condition).order_by(_STEPS.c.seq).limit(most)
            return [_record(row) for row in connection.execute(wanted)]

    def _select(self, condition: sa.ColumnElement[bool]) -> list[Record]:
        with self._reading() as connection:
            rows = connection.execute(sa.select(*_CONTENT).where(condition).order_by(_STEPS.c.seq))
            return [_record(row) for row in rows]

    def _disown(self, is_present: Callable[[bytes], bool]) -> None:
        with self._translated("cannot write"):
            connection = self._connected()
            connection.execute(sa.delete(_GONE))
            note = self._store.insert(_GONE).on_conflict_do_nothing()
            is_key = _STEPS.c.kind == StepKind.API_KEY.value
            for rows in _named(connection, (_STEPS.c.entry,), sa.not_(is_key)):
                _note_gone(connection, note, {row.entry for row in rows if not is_present(row.entry)})
            for rows in _named(connection, _BRIEF, is_key):
                keys = [_brief(StepKind.API_KEY, *row[1:]) for row in rows]
                gone = {key.identity for key in keys if not is_present(key.holder)}
                _note_gone(connection, note, gone | self._lost(connection, keys))
            connection.commit()

    def _lost(self, connection: sa.Connection, keys: Sequence[Record]) -> set[bytes]:
        """Which of these API keys are of projects that other entries have taken over since."""
        if not self._has_moved:
            return set()
        made = {key.identity: key.project_step for key in keys}
        wanted = [maker for maker in set(made.values()) if maker is not None]
        makers: dict[bytes, Record] = {}
        for start in range(0, len(wanted), _LOOKUP):
            some = {"identities": wanted[start : start + _LOOKUP]}
            makers |= {row.identity: _brief(StepKind.PROJECT, *row) for row in connection.execute(_BRIEFLY, some)}
        return {key.identity for key in keys if (maker := made[key.identity]) and key.has_lost(makers.get(maker))}

    def _contested(self, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        with self._reading() as connection:
            for start in range(0, len(keys), _LOOKUP):
                some = _GONE.c.entry.in_(keys[start : start + _LOOKUP])
                found.update(connection.execute(sa.select(_GONE.c.entry).where(some)).scalars())
        return found

    def _detached(self, project_hashes: Sequence[str]) -> set[str]:
        found: set[str] = set()
        with self._reading() as connection:
            for start in range(0, len(project_hashes), _LOOKUP):
                some = project_hashes[start : start + _LOOKUP]
                wanted = sa.select(_STEPS.c.project_hash).where(_STEPS.c.project_hash.in_(some), _MISSING).distinct()
                found.update(connection.execute(wanted).scalars())
        return found

    def _state_digest(self) -> str:
        sums = sa.select(sa.func.count(), sa.func.max(_STEPS.c.seq), sa.func.sum(_STEPS.c.checksum))
        with self._reading() as connection:
            count, last, checksums = connection.execute(sums).one()
        return f"{count}-{last}-{checksums}" if count else ""

    def _page(self, most: int, after: int) -> tuple[list[Record], int]:
        with self._reading() as connection:
            wanted = sa.select(_STEPS.c.seq, *_CONTENT).where(_STEPS.c.seq > after).order_by(_STEPS.c.seq).limit(most)
            rows = connection.execute(wanted).all()
            return [_record(row[1:]) for row in rows], rows[-1].seq if rows else after

    def _read_traffic(self) -> list[Traffic]:
        if self._meta()["schema"] == "1":
            return []
        columns = [column for column in _TRAFFIC.columns if column.name != "seq"]
        with self._reading() as connection:
            rows = connection.execute(sa.select(*columns).order_by(_TRAFFIC.c.seq))
            return [_sample(row) for row in rows.mappings()]

    def _owner(self) -> Owner | None:
        with self._translated("cannot read"):
            return self._store.owner()

    def _share(self, run: int) -> None:
        with self._translated("cannot share"):
            self._store.share(self._connected(), run)

    def _ask(self) -> None:
        with self._reading() as connection:
            self._store.ask(connection)

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


def _slices(records: Collection[T]) -> Iterator[list[T]]:
    """*records* in the portions in which they are handed to the database.

    Their sizes are powers of two. Rows that go out as one statement are a statement of their own for each number of
    them: SQLite's driver keeps over a hundred prepared, large ones take 300 kB each, and a new size is compiled anew.
    """
    left, missing = iter(records), len(records)
    while missing:
        size = min(_MAX_ROWS, 1 << (missing.bit_length() - 1))
        missing -= size
        yield list(islice(left, size))


def _named(
    connection: sa.Connection, columns: Sequence[sa.ColumnElement[Any]], condition: sa.ColumnElement[bool]
) -> Iterator[Sequence[Any]]:
    """Pages of all rows that made something and satisfy *condition*: their place and *columns*."""
    wanted = sa.select(_STEPS.c.seq, *columns).where(_STEPS.c.name.isnot(None), condition).order_by(_STEPS.c.seq)
    after = 0
    while rows := connection.execute(wanted.where(_STEPS.c.seq > after).limit(_PAGE)).all():
        yield rows
        after = rows[-1].seq


def _note_gone(connection: sa.Connection, note: sa.Executable, gone: Collection[bytes]) -> None:
    if gone:
        connection.execute(note, [{"entry": one} for one in gone])


def _row(record: Record) -> tuple[list[str], _Row]:
    """What the checksum of a row is made of, and the row."""
    content = (
        record.identity,
        record.entry,
        record.place,
        record.key,
        record.kind.value,
        record.title,
        record.project_hash,
        record.state.value,
        record.status,
        record.hash,
        record.name,
        record.request,
        json.dumps(record.details) if record.details else "",
        record.code,
        _storable(record.message),
        record.started_s,
        record.ended_s,
    )
    texts = list(map(repr, content))
    row: _Row = dict(zip(_COLUMNS, content, strict=True))
    row["checksum"] = _checksum(texts)
    return texts, row


def _is_end_of(record: Record, intent: Record) -> bool:
    """Whether *record* says nothing else than *intent* but how it ended."""
    return (
        record.details is intent.details
        and record.title == intent.title
        and record.project_hash == intent.project_hash
        and record.request == intent.request
        and record.name == intent.name
        and record.place == intent.place
        and record.started_s == intent.started_s
    )


def _end(record: Record, texts: Sequence[str]) -> _Row:
    """What ends an intent whose checksum was made of *texts*."""
    end = (
        record.state.value,
        record.status,
        record.hash,
        record.code,
        _storable(record.message),
        record.ended_s,
    )
    whole = list(texts)
    for place, value in zip(_END_PLACES, end, strict=True):
        whole[place] = repr(value)
    row: _Row = dict(zip(_END, end, strict=True))
    row["identity"] = record.identity
    row["checksum"] = _checksum(whole)
    return row


def _storable(message: str | None) -> str | None:
    """The service's own words can hold what no database takes as text."""
    return None if message is None else message.encode("utf-8", "replace").decode()


def _checksum(texts: Iterable[str]) -> int:
    return zlib.crc32(f"[{', '.join(texts)}]".encode())


def _meta_checksum(meta: Mapping[str, str]) -> str:
    return str(zlib.crc32(repr(sorted(map(repr, meta.items()))).encode()))


def _record(row: Any) -> Record:
    identity, entry, place, key, kind, title, project_hash, state, status, hash_, name, request, details, *rest = row
    code, message, started_s, ended_s = rest
    return Record(
        identity=identity,
        entry=entry,
        place=place,
        key=key,
        kind=_KINDS[kind],
        title=title,
        project_hash=project_hash,
        state=_STATES[state],
        status=status,
        hash=hash_,
        name=name,
        request=request,
        details=json.loads(details) if details else {},
        code=code,
        message=message,
        started_s=started_s,
        ended_s=ended_s,
    )


def _brief(
    kind: StepKind, identity: bytes, entry: bytes, project_hash: str | None, state: str, hash_: str | None, details: str
) -> Record:
    """A record of *kind* with what `_BRIEF` has of it."""
    return Record(
        identity=identity,
        entry=entry,
        kind=kind,
        title="",
        project_hash=project_hash,
        state=_STATES[state],
        hash=hash_,
        details=json.loads(details) if details else {},
    )


def _sample(row: Mapping[Any, Any]) -> Traffic:
    # There is no checksum here: a flipped bit may have made a text or a nothing of a number.
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in row.values()):
        raise ValueError("its table of traffic is damaged")
    return Traffic(**row)


# As they are stored: to convert what a flipped bit has made a value of another type would be an error, or worse.
_UNCONVERTED: Final = sa.select(
    *(sa.type_coerce(column, sa.types.NullType()) for column in (_STEPS.c.seq, _STEPS.c.checksum, *_CONTENT))
)
_CONVERTED: Final = sa.select(_STEPS.c.seq, _STEPS.c.checksum, *_CONTENT)
_AMONG: Final = _STEPS.c.identity.in_(sa.bindparam("identities", expanding=True))
_BY_IDENTITY: Final = sa.select(*_CONTENT).where(_AMONG)
_BRIEFLY: Final = sa.select(*_BRIEF).where(_AMONG)


def _upsert(statement: Any, changed: Iterable[str]) -> sa.Executable:
    """*statement*, or if the row is there, a change of the columns *changed*.

    Because it returns something, many rows go out as one statement, for which SQLite is entered once and not once a
    row: between two of them Python would hand the interpreter to the event loop's thread, and wait to get it back.
    """
    new = {name: statement.excluded[name] for name in changed}
    written: sa.Executable = statement.on_conflict_do_update(index_elements=["identity"], set_=new).returning(
        _STEPS.c.seq
    )
    return written


def _writes(insert: Callable[[sa.Table], Any]) -> tuple[sa.Executable, sa.Executable]:
    """What writes whole rows, and what writes the ends of intents."""
    # Of an intent that is there, so that what stands here for the columns that may not be null is never stored.
    never: dict[str, Any] = {name: sa.literal_column("''") for name in ("entry", "place", "kind", "title", "details")}
    end = insert(_STEPS).values(**never, started_s=sa.literal_column("0.0"))
    return _upsert(insert(_STEPS), (*_COLUMNS, "checksum")), _upsert(end, (*_END, "checksum"))
