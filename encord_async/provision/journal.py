"""The journal: what a run intends and what came of it, durable before anything is sent. The only door to SQL.

One table of steps, upserted; many steps share one commit, made on a thread, with a full sync of the disk. A row
carries a checksum, so that a damaged journal is refused rather than believed. It never holds a key or a token. Beside
it a small table of traffic, for people to look at: it goes along with the commits of steps, and nothing hangs on it.

SQLite is used in write-ahead mode with ``synchronous=FULL``, which syncs the log at each commit. A new journal is
set up under another name and then renamed, so that a file of the journal's name always is a whole one, however early
its maker was killed. An empty one has lost what it held.
"""

import contextlib
import fcntl
import json
import math
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeAlias, TypeVar, TypeVarTuple
from urllib.parse import quote

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from encord_async.errors import JournalBusyError, JournalError, JournalMismatchError, MissingExtraError
from encord_async.provision.ledger import Record, State
from encord_async.provision.steps import StepKind
from encord_async.provision.traffic import Traffic

try:
    import sqlalchemy as sa
    from sqlalchemy.dialects import sqlite
except ImportError as error:
    raise MissingExtraError("the journal needs SQLAlchemy: pip install 'encord-async[journal]'") from error

__all__ = ["Identity", "Journal"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

SCHEMA_VERSION: Final = 2
"""1 had no table of traffic."""
_ROWS: Final = 250
"""Rows made and handed to the database at once: thousands of members of a refused batch may share one commit."""
_LOOKUP: Final = 400
"""Parameters in one query; SQLite took no more than 999 for many years."""

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
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("project_hash", sa.Text),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("hash", sa.Text),
    sa.Column("name", sa.LargeBinary(16)),
    sa.Column("request", sa.String(64)),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("message", sa.Text),
    sa.Column("started_s", sa.Float, nullable=False),
    sa.Column("ended_s", sa.Float),
    sa.Column("checksum", sa.BigInteger, nullable=False),
)
_CONTENT: Final = tuple(column for column in _STEPS.columns if column.name not in {"seq", "checksum"})
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

    __slots__ = ("done", "ends", "failure", "whole")

    def __init__(self) -> None:
        self.whole: dict[bytes, Record] = {}
        self.ends: dict[bytes, tuple[Record, _Intent]] = {}
        self.done = anyio.Event()
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


class Journal:
    """A journal in a SQLite file; ``async with`` opens, checks and locks it.

    Args:
        path: The file; made if it is not there.
        identity: Who writes. None to read only: then nothing is made, locked or changed.

    Raises:
        JournalBusyError: Another process writes it.
        JournalMismatchError: It belongs to another account or domain.
        JournalError: It cannot be used, and why.
    """

    def __init__(self, path: str | Path, identity: Identity | None) -> None:
        self.path = Path(path)
        self._file = self.path
        self._identity = identity
        self._thread = anyio.CapacityLimiter(1)
        self._engine: sa.Engine | None = None
        self._connection: sa.Connection | None = None
        self._lock: IO[str] | None = None
        self._group: TaskGroup | None = None
        self._wake = anyio.Event()
        self._next = _Commit()
        self._intents: dict[bytes, _Intent] = {}
        self._unwritable: str | None = "the journal is not open for writing"
        self._closing = False
        self._stamp_key = b""
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

    @property
    def stamp_key(self) -> bytes:
        """What makes the stamps of this journal its own; the same in every run."""
        return self._stamp_key

    # ------------------------------------------------------------------ the ledger

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """See `Ledger`."""
        if not identities:
            return {}
        return await self._on_thread(self._known, identities)

    async def write(self, records: Iterable[Record]) -> None:
        """See `Ledger`."""
        if self._unwritable is not None:
            raise JournalError(self._unwritable)
        commit = self._next
        for record in records:
            commit.add(record, self._intents.pop(record.identity, None))
        self._wake.set()
        await commit.done.wait()
        if commit.failure is not None:
            raise JournalError(commit.failure)

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._on_thread(self._select, _STEPS.c.name == name)

    async def open_intents(self) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._on_thread(self._select, _STEPS.c.state.in_(_OPEN))

    async def records(self, *, most: int, after: int = 0) -> tuple[list[Record], int]:
        """A page of all records in the order in which their steps began, and where the next page starts."""
        return await self._on_thread(self._page, most, after)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many steps there are, by kind and then by how they ended; open ones by their state."""
        return await self._on_thread(self._counts)

    async def failed(self, *, most: int) -> list[Record]:
        """The first *most* steps that failed, in the order in which they began."""
        return await self._on_thread(self._first, _STEPS.c.state == State.FAILED.value, most)

    def owner(self) -> int | None:
        """Process that writes the journal now, as far as its lock tells; None if nobody does."""
        # Without a lock file nobody writes.
        with contextlib.suppress(OSError), self._beside(".lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read().strip()
                return int(text) if text.isdigit() else None
        return None

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
                commit.done.set()
            if self._traffic and self._unwritable is None:
                await self._on_thread(self._commit_traffic)
        self._unwritable = self._unwritable or "the journal is closed"

    def _commit(self, commit: _Commit) -> None:
        with self._translated("cannot write"):
            connection = self._connected()
            try:
                for some in _slices(commit.whole.values()):
                    connection.execute(_WRITE, [self._row(record) for record in some])
                for ended in _slices(commit.ends.values()):
                    connection.execute(_WRITE_END, [_end(record, intent.texts) for record, intent in ended])
                self._insert_traffic(connection)
                connection.commit()
            except sa.exc.SQLAlchemyError:
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()
                raise

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

    async def _on_thread(self, function: Callable[[*Args], T], *args: *Args) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._thread)

    def _open(self) -> None:
        try:
            with self._translated("cannot open"):
                # SQLite puts its log beside the file that a link leads to, so the lock lies there as well.
                self._file = self.path.resolve()
                if self._identity is not None:
                    self._take_lock()
                self._look_at_file()
                self._connect()
                self._check_kind()
                self._check_identity()
                self._check_rows()
                if self._identity is not None:
                    self._migrate()
                    self._connected().exec_driver_sql("PRAGMA journal_mode=WAL")
        except BaseException:
            self._close()
            raise

    def _look_at_file(self) -> None:
        """See to it that there is a SQLite file to open."""
        if self._identity is not None and not self._file.exists():
            self._make(self._identity)
        if not self._file.is_file():
            raise JournalError(f"there is no journal {self.path}; check the path")
        with self._file.open("rb") as file:
            head = file.read(16)
        if not head:
            raise JournalError(f"{self.path} is empty, which a journal never is; restore it from a backup or delete it")
        if head != b"SQLite format 3\x00":
            raise JournalError(f"{self.path} is no journal; give another path, it was not touched")

    def _make(self, identity: Identity) -> None:
        """Set up a new journal."""
        log = self._beside("-wal")
        # A reader leaves an empty one behind.
        if log.exists() and log.stat().st_size:
            raise JournalError(
                f"{log} is there and its journal is not: put the journal back, or delete the log if it is not wanted"
            )
        # What a process left that was killed in the middle of this.
        for suffix in ("", "-journal"):
            self._beside(".new" + suffix).unlink(missing_ok=True)
        meta = {
            "schema": str(SCHEMA_VERSION),
            "made_s": str(time.time()),
            "domain": identity.domain,
            "account": identity.account,
            "stamp_key": os.urandom(16).hex(),
        }
        meta["checksum"] = _meta_checksum(meta)
        engine = _engine(str(self._beside(".new")))
        with engine.begin() as connection:
            _METADATA.create_all(connection)
            connection.execute(sa.insert(_META), [{"name": name, "value": value} for name, value in meta.items()])
        engine.dispose()
        self._beside(".new").rename(self._file)
        _sync_directory(self._file.parent)

    def _beside(self, suffix: str) -> Path:
        return self._file.with_name(self._file.name + suffix)

    def _connect(self) -> None:
        if self._identity is not None:
            self._engine = _engine(str(self._file))
        else:
            query = {"mode": "ro", "uri": "true"}
            if not os.access(self._file.parent, os.W_OK) and not self._beside("-wal").exists():
                # Otherwise SQLite would want to make a file beside it even for reading.
                query["immutable"] = "1"
            self._engine = _engine("file:" + quote(os.fsencode(self._file)), query)
        self._connection = self._engine.connect()

    def _check_kind(self) -> None:
        """Look who made the file, before anything of it is changed."""
        connection = self._connected()
        if not set(sa.inspect(connection).get_table_names()) >= _TABLES:
            raise JournalError(f"{self.path} is a database of something else, no journal; give another path")
        meta = self._meta()
        # Not a text, if a bit has flipped.
        schema = str(meta.get("schema"))
        if schema.isdigit() and int(schema) > SCHEMA_VERSION:
            raise JournalError(
                f"{self.path} was written by a newer encord-async (schema {schema}, known {SCHEMA_VERSION}); upgrade"
            )
        if meta.pop("checksum", None) != _meta_checksum(meta):
            raise JournalError(f"{self.path} is damaged (it does not say whose it is); restore it from a backup")

    def _migrate(self) -> None:
        """Bring a journal of an older version up to date; one that was killed in the middle of this begins again."""
        meta = self._meta()
        if meta["schema"] == str(SCHEMA_VERSION):
            return
        connection = self._connected()
        _TRAFFIC.create(connection, checkfirst=True)
        meta["schema"] = str(SCHEMA_VERSION)
        del meta["checksum"]
        meta["checksum"] = _meta_checksum(meta)
        for name in ("schema", "checksum"):
            connection.execute(sa.update(_META).where(_META.c.name == name).values(value=meta[name]))
        connection.commit()

    def _check_rows(self) -> None:
        """Read everything once: a flipped bit must not pass for something done."""
        connection = self._connected()
        verdict = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if verdict != "ok":
            raise JournalError(f"{self.path} is damaged ({verdict}); restore it from a backup")
        for row in connection.execute(_UNCONVERTED, execution_options={"yield_per": 1000}):
            seq, checksum, *content = row
            if _checksum(map(repr, content)) != checksum:
                raise JournalError(f"{self.path} is damaged (row {seq}); restore it from a backup")
        connection.commit()

    def _check_identity(self) -> None:
        meta = self._meta()
        self._stamp_key = bytes.fromhex(meta["stamp_key"])
        ours = self._identity
        if ours is not None and (meta["domain"], meta["account"]) != (ours.domain, ours.account):
            raise JournalMismatchError(
                f"{self.path} belongs to {meta['account']} at {meta['domain']}, and this is {ours.account} "
                f"at {ours.domain}; give another journal, or the key it was made with"
            )

    def _meta(self) -> dict[str, str]:
        with self._translated("cannot read"):
            return {row.name: row.value for row in self._connected().execute(sa.select(_META))}

    def _known(self, identities: Sequence[bytes]) -> dict[bytes, Record]:
        found: dict[bytes, Record] = {}
        with self._translated("cannot read"):
            for start in range(0, len(identities), _LOOKUP):
                some = identities[start : start + _LOOKUP]
                for row in self._connected().execute(_BY_IDENTITY, {"identities": some}):
                    record = _record(row)
                    found[record.identity] = record
        return found

    def _counts(self) -> dict[str, dict[str, int]]:
        ended = sa.case((_STEPS.c.state.in_(_OPEN), _STEPS.c.state), else_=_STEPS.c.status).label("ended")
        wanted = (
            sa.select(_STEPS.c.kind, ended, sa.func.count()).group_by(_STEPS.c.kind, ended).order_by("kind", "ended")
        )
        counts: dict[str, dict[str, int]] = {}
        with self._translated("cannot read"):
            for kind, status, number in self._connected().execute(wanted):
                counts.setdefault(kind, {})[status] = number
        return counts

    def _first(self, condition: sa.ColumnElement[bool], most: int) -> list[Record]:
        with self._translated("cannot read"):
            wanted = sa.select(*_CONTENT).where(condition).order_by(_STEPS.c.seq).limit(most)
            return [_record(row) for row in self._connected().execute(wanted)]

    def _select(self, condition: sa.ColumnElement[bool]) -> list[Record]:
        with self._translated("cannot read"):
            rows = self._connected().execute(sa.select(*_CONTENT).where(condition).order_by(_STEPS.c.seq))
            return [_record(row) for row in rows]

    def _page(self, most: int, after: int) -> tuple[list[Record], int]:
        with self._translated("cannot read"):
            wanted = sa.select(_STEPS.c.seq, *_CONTENT).where(_STEPS.c.seq > after).order_by(_STEPS.c.seq).limit(most)
            rows = self._connected().execute(wanted).all()
            return [_record(row[1:]) for row in rows], rows[-1].seq if rows else after

    def _read_traffic(self) -> list[Traffic]:
        if self._meta()["schema"] == "1":
            return []
        columns = [column for column in _TRAFFIC.columns if column.name != "seq"]
        with self._translated("cannot read"):
            rows = self._connected().execute(sa.select(*columns).order_by(_TRAFFIC.c.seq))
            return [_sample(row) for row in rows.mappings()]

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            raise JournalError("the journal is closed")
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        engine, self._engine = self._engine, None
        if connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()
        if engine is not None:
            engine.dispose()
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                self._beside(".lock").unlink()
            lock.close()

    # ------------------------------------------------------------------ locking

    def _take_lock(self) -> None:
        """Lock a file beside the journal; the lock ends with the process that holds it, however it ends."""
        if self._file.is_dir():
            raise JournalError(f"{self.path} is a folder; give the path of a file")
        while self._lock is None:
            try:
                lock = self._beside(".lock").open("a+")
            except OSError as error:
                raise JournalError(
                    f"cannot write beside {self.path}: {error.strerror}; choose another folder"
                ) from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have removed the file between these two calls, and then a lock on it means nothing.
                if _is_at(self._beside(".lock"), lock):
                    self._lock = lock
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                raise JournalBusyError(
                    f"{self.path} is in use by process {owner}; wait for it, or give another journal"
                ) from None
            except OSError as error:
                raise JournalError(f"{self.path} cannot be locked ({error.strerror}); put it on a local disk") from None
            finally:
                if self._lock is None:
                    lock.close()
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        # The last is raised for bytes of a damaged file that are no text, and for a path with a zero byte.
        except (sa.exc.SQLAlchemyError, OSError, ValueError) as error:
            reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
            raise JournalError(
                f"{what} the journal {self.path}: {reason}; nothing is sent that is not recorded"
            ) from error


def _engine(database: str, query: Mapping[str, str] | None = None) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=database, query=query or {}),
        connect_args={"timeout": 10.0, "check_same_thread": False},
        poolclass=sa.StaticPool,
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", _configure)
    return engine


def _configure(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    # macOS only flushes its disk's own cache when asked for this.
    cursor.execute("PRAGMA fullfsync=ON")
    cursor.execute("PRAGMA checkpoint_fullfsync=ON")
    cursor.close()


def _sync_directory(folder: Path) -> None:
    """Make the journal's own directory entry outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether *path* still leads to the open *file*."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _slices(records: Iterable[T]) -> Iterator[list[T]]:
    """*records* in the portions in which they are handed to the database."""
    left = iter(records)
    while some := list(islice(left, _ROWS)):
        yield some


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


def _sample(row: Mapping[Any, Any]) -> Traffic:
    # There is no checksum here: a flipped bit may have made a text or a nothing of a number.
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in row.values()):
        raise ValueError("its table of traffic is damaged")
    return Traffic(**row)


# As they are stored: to convert what a flipped bit has made a value of another type would be an error, or worse.
_UNCONVERTED: Final = sa.select(
    *(sa.type_coerce(column, sa.types.NullType()) for column in (_STEPS.c.seq, _STEPS.c.checksum, *_CONTENT))
)
_BY_IDENTITY: Final = sa.select(*_CONTENT).where(_STEPS.c.identity.in_(sa.bindparam("identities", expanding=True)))


def _upsert(statement: sqlite.Insert, changed: Iterable[str]) -> sa.Executable:
    """*statement*, or if the row is there, a change of the columns *changed*.

    Because it returns something, many rows go out as one statement, for which SQLite is entered once and not once a
    row: between two of them Python would hand the interpreter to the event loop's thread, and wait to get it back.
    """
    new = {name: statement.excluded[name] for name in changed}
    return statement.on_conflict_do_update(index_elements=["identity"], set_=new).returning(_STEPS.c.seq)


_INSERT: Final = sqlite.insert(_STEPS)
_WRITE: Final = _upsert(_INSERT, (*_COLUMNS, "checksum"))

# Of an intent that is there, so that what stands here for the columns that may not be null is never stored.
_NEVER: Final[dict[str, Any]] = {
    name: sa.literal_column("''") for name in ("entry", "place", "kind", "title", "details")
}
_WRITE_END: Final = _upsert(_INSERT.values(**_NEVER, started_s=sa.literal_column("0.0")), (*_END, "checksum"))
