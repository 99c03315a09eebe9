"""The journal: what a run intends and what came of it, durable before anything is sent. The only door to SQL.

One table of steps, upserted; many steps share one commit, made on a thread, with a full sync of the disk. A row
carries a checksum, so that a damaged journal is refused rather than believed. It never holds a key or a token.

SQLite is used in write-ahead mode with ``synchronous=FULL``, which syncs the log at each commit.
"""

import contextlib
import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from encord_async.errors import JournalBusyError, JournalError, JournalMismatchError, MissingExtraError
from encord_async.provision.ledger import Record, State
from encord_async.provision.steps import StepKind

try:
    import sqlalchemy as sa
    from sqlalchemy.dialects import sqlite
except ImportError as error:
    raise MissingExtraError("the journal needs SQLAlchemy: pip install 'encord-async[journal]'") from error

__all__ = ["Identity", "Journal"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

SCHEMA_VERSION: Final = 1
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
_COLUMNS: Final = tuple(column.name for column in _STEPS.columns if column.name not in {"seq", "checksum"})

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


class _Commit:
    """Rows that will share one commit, and who waits for it."""

    __slots__ = ("done", "failure", "rows")

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.done = anyio.Event()
        self.failure: JournalError | None = None


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
        self._identity = identity
        self._thread = anyio.CapacityLimiter(1)
        self._engine: sa.Engine | None = None
        self._connection: sa.Connection | None = None
        self._lock: IO[str] | None = None
        self._group: TaskGroup | None = None
        self._wake = anyio.Event()
        self._next = _Commit()
        self._broken: JournalError | None = None
        self._closing = False
        self._stamp_key = ""

    async def __aenter__(self) -> Self:
        await self._on_thread(self._open)
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._commit_in_groups, name="journal")
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
        return bytes.fromhex(self._stamp_key)

    # ------------------------------------------------------------------ the ledger

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """See `Ledger`."""
        if not identities:
            return {}
        return await self._on_thread(self._known, identities)

    async def write(self, records: Iterable[Record]) -> None:
        """See `Ledger`."""
        if self._broken is not None:
            raise self._broken
        commit = self._next
        commit.rows.extend(_row(record) for record in records)
        self._wake.set()
        await commit.done.wait()
        if commit.failure is not None:
            raise commit.failure

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._on_thread(self._select, _STEPS.c.name == name)

    async def open_intents(self) -> Sequence[Record]:
        """See `Ledger`."""
        return await self._on_thread(self._select, _STEPS.c.state.in_(_OPEN))

    async def records(self, *, most: int, after: int = 0) -> tuple[list[Record], int]:
        """A page of all records in the order in which their steps began, and where the next page starts."""
        return await self._on_thread(self._page, most, after)

    async def about(self) -> Mapping[str, str]:
        """What the journal says of itself: domain, account, when it was made."""
        return await self._on_thread(self._meta)

    # ------------------------------------------------------------------ committing

    async def _commit_in_groups(self) -> None:
        with anyio.CancelScope(shield=True):
            while not self._closing or self._next.rows:
                await self._wake.wait()
                self._wake = anyio.Event()
                commit, self._next = self._next, _Commit()
                if commit.rows:
                    try:
                        await self._on_thread(self._commit, commit.rows)
                    except JournalError as error:
                        # After a failed sync nobody knows what the disk holds: write nothing more.
                        self._broken = commit.failure = error
                commit.done.set()
        self._broken = self._broken or JournalError("the journal is closed")

    def _commit(self, rows: list[dict[str, object]]) -> None:
        with self._translated("cannot write"):
            connection = self._connected()
            # The last word on a step wins, and one statement may not touch a row twice.
            latest = list({row["identity"]: row for row in rows}.values())
            connection.execute(_UPSERT, latest)
            connection.commit()

    # ------------------------------------------------------------------ on the thread

    async def _on_thread(self, function: Callable[[*Args], T], *args: *Args) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._thread)

    def _open(self) -> None:
        if self._identity is None:
            if not self.path.is_file():
                raise JournalError(f"there is no journal {self.path}; check the path")
        else:
            self._take_lock()
        try:
            with self._translated("cannot open"):
                self._connect()
                self._check_version()
                self._check_rows()
                self._check_identity()
        except BaseException:
            self._close()
            raise

    def _connect(self) -> None:
        fresh = not self.path.exists()
        if not fresh and self.path.stat().st_size and self.path.read_bytes()[:15] != b"SQLite format 3":
            raise JournalError(f"{self.path} is no journal; give another path, it was not touched")
        self._engine = sa.create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": 10.0, "check_same_thread": False},
            poolclass=sa.StaticPool,
        )
        sa.event.listen(self._engine, "connect", _configure)
        self._connection = self._engine.connect()
        if self._identity is not None:
            _METADATA.create_all(self._connection)
            self._connection.commit()
        if fresh:
            _sync_directory(self.path.parent)

    def _check_version(self) -> None:
        connection = self._connected()
        if not sa.inspect(connection).has_table("meta"):
            raise JournalError(f"{self.path} is a database of something else, no journal; give another path")
        found = self._meta().get("schema")
        if found is None and self._identity is not None:
            self._put_meta(schema=str(SCHEMA_VERSION), made_s=str(time.time()))
        elif found is None or not found.isdigit():
            raise JournalError(f"{self.path} does not say which version it is; it is damaged or no journal")
        elif int(found) > SCHEMA_VERSION:
            raise JournalError(
                f"{self.path} was written by a newer encord-async (schema {found}, known {SCHEMA_VERSION}); upgrade"
            )

    def _check_rows(self) -> None:
        """Read everything once: a flipped bit must not pass for something done."""
        connection = self._connected()
        verdict = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if verdict != "ok":
            raise JournalError(f"{self.path} is damaged ({verdict}); restore it from a backup")
        rows = connection.execution_options(stream_results=True, yield_per=1000).execute(sa.select(_STEPS))
        for row in rows:
            if _checksum(row._mapping) != row.checksum:  # noqa: SLF001 - public name in SQLAlchemy's documentation
                raise JournalError(f"{self.path} is damaged (row {row.seq}); restore it from a backup")
        connection.commit()

    def _check_identity(self) -> None:
        if self._identity is None:
            return
        meta = self._meta()
        if "domain" not in meta:
            self._stamp_key = os.urandom(16).hex()
            self._put_meta(domain=self._identity.domain, account=self._identity.account, stamp_key=self._stamp_key)
            return
        self._stamp_key = meta["stamp_key"]
        if (meta["domain"], meta["account"]) != (self._identity.domain, self._identity.account):
            raise JournalMismatchError(
                f"{self.path} belongs to {meta['account']} at {meta['domain']}, and this is {self._identity.account} "
                f"at {self._identity.domain}; give another journal, or the key it was made with"
            )

    def _meta(self) -> dict[str, str]:
        return {row.name: row.value for row in self._connected().execute(sa.select(_META))}

    def _put_meta(self, **values: str) -> None:
        connection = self._connected()
        connection.execute(sa.insert(_META), [{"name": name, "value": value} for name, value in values.items()])
        connection.commit()

    def _known(self, identities: Sequence[bytes]) -> dict[bytes, Record]:
        found: dict[bytes, Record] = {}
        with self._translated("cannot read"):
            for start in range(0, len(identities), _LOOKUP):
                some = identities[start : start + _LOOKUP]
                for record in self._select(_STEPS.c.identity.in_(some)):
                    found[record.identity] = record
        return found

    def _select(self, condition: sa.ColumnElement[bool]) -> list[Record]:
        with self._translated("cannot read"):
            rows = self._connected().execute(sa.select(_STEPS).where(condition).order_by(_STEPS.c.seq))
            return [_record(row) for row in rows]

    def _page(self, most: int, after: int) -> tuple[list[Record], int]:
        with self._translated("cannot read"):
            wanted = sa.select(_STEPS).where(_STEPS.c.seq > after).order_by(_STEPS.c.seq).limit(most)
            rows = self._connected().execute(wanted).all()
            return [_record(row) for row in rows], rows[-1].seq if rows else after

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
            lock.close()

    # ------------------------------------------------------------------ locking

    def _take_lock(self) -> None:
        """Lock a file beside the journal; the lock ends with the process that holds it, however it ends."""
        beside = self.path.with_name(self.path.name + ".lock")
        try:
            lock = beside.open("a+")
        except OSError as error:
            raise JournalError(f"cannot write beside {self.path}: {error.strerror}; choose another folder") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise JournalBusyError(
                f"{self.path} is in use by process {owner}; wait for it, or give another journal"
            ) from None
        except OSError as error:
            lock.close()
            raise JournalError(f"{self.path} cannot be locked ({error.strerror}); put it on a local disk") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or type(error).__name__
            raise JournalError(
                f"{what} the journal {self.path}: {reason}; nothing is sent that is not recorded"
            ) from error
        except OSError as error:
            raise JournalError(f"{what} the journal {self.path}: {error.strerror or error}") from error


def _looks_like_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
    return not head or head == b"SQLite format 3\x00"


def _configure(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
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


def _row(record: Record) -> dict[str, object]:
    row: dict[str, object] = {
        "identity": record.identity,
        "entry": record.entry,
        "place": record.place,
        "key": record.key,
        "kind": record.kind.value,
        "title": record.title,
        "project_hash": record.project_hash,
        "state": record.state.value,
        "status": record.status,
        "hash": record.hash,
        "name": record.name,
        "request": record.request,
        "details": json.dumps(record.details) if record.details else "",
        "code": record.code,
        "message": record.message,
        "started_s": record.started_s,
        "ended_s": record.ended_s,
    }
    row["checksum"] = _checksum(row)
    return row


def _checksum(row: Mapping[Any, Any]) -> int:
    return zlib.crc32(repr([row[name] for name in _COLUMNS]).encode())


def _record(row: Any) -> Record:
    return Record(
        identity=row.identity,
        entry=row.entry,
        place=row.place,
        key=row.key,
        kind=StepKind(row.kind),
        title=row.title,
        project_hash=row.project_hash,
        state=State(row.state),
        status=row.status,
        hash=row.hash,
        name=row.name,
        request=row.request,
        details=json.loads(row.details) if row.details else {},
        code=row.code,
        message=row.message,
        started_s=row.started_s,
        ended_s=row.ended_s,
    )


def _upsert() -> Any:
    statement = sqlite.insert(_STEPS)
    changed = {name: statement.excluded[name] for name in (*_COLUMNS, "checksum") if name != "identity"}
    return statement.on_conflict_do_update(index_elements=["identity"], set_=changed)


_UPSERT: Final = _upsert()
