"""The journal: what a run intends and what came of it, durable before anything is sent. It never knows its database.

One table of steps, upserted; many steps share one commit, made on a thread, with a full sync of the disk. A row
carries a checksum, so that a damaged journal is refused rather than believed. It never holds a key or a token.

What differs between databases, locks above all, is in ``journal_sqlite`` and ``journal_postgres``.
"""

import contextlib
import json
import os
import re
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from encord_async.errors import JournalError, JournalMismatchError, MissingExtraError, UsageError
from encord_async.provision.journal_store import RESTORE, Owner, Shard, Store
from encord_async.provision.ledger import Record, State
from encord_async.provision.steps import StepKind

try:
    import sqlalchemy as sa
except ImportError as error:
    raise MissingExtraError("the journal needs SQLAlchemy: pip install 'encord-async[journal]'") from error

__all__ = ["Identity", "Journal", "Shard", "is_url"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

SCHEMA_VERSION: Final = 1
_LOOKUP: Final = 400
"""Parameters in one query; SQLite took no more than 999 for many years."""


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
_COLUMNS: Final = tuple(column.name for column in _CONTENT)
_KINDS: Final = {kind.value: kind for kind in StepKind}
_STATES: Final = {state.value: state for state in State}
_TABLES: Final = frozenset(_METADATA.tables)

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
        self.failure: str | None = None


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

    def __init__(self, where: str | Path, identity: Identity | None, *, shard: Shard | None = None) -> None:
        self._store = _store(where, shard)
        self._identity = identity
        self._shard = shard
        self._upsert = _upsert(self._store.insert)
        self._thread = anyio.CapacityLimiter(1)
        self._connection: sa.Connection | None = None
        self._group: TaskGroup | None = None
        self._wake = anyio.Event()
        self._next = _Commit()
        self._unwritable: str | None = "the journal is not open for writing"
        self._closing = False
        self._stamp_key = b""

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
        commit.rows.extend(_row(record) for record in records)
        self._wake.set()
        await commit.done.wait()
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

    async def records(self, *, most: int, after: int = 0) -> tuple[list[Record], int]:
        """A page of all records in the order in which their steps began, and where the next page starts."""
        return await self._on_thread(self._page, most, after)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many steps there are, by kind and then by how they ended; open ones by their state."""
        return await self._on_thread(self._counts)

    async def failed(self, *, most: int) -> list[Record]:
        """The first *most* steps that failed, in the order in which they began."""
        return await self._on_thread(self._first, _STEPS.c.state == State.FAILED.value, most)

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
        await anyio.to_thread.run_sync(self._ask, limiter=self._thread, abandon_on_cancel=True)

    async def about(self) -> Mapping[str, str]:
        """What the journal says of itself: ``schema``, ``made_s``, ``domain`` and ``account``."""
        meta = await self._on_thread(self._meta)
        return {name: meta[name] for name in ("schema", "made_s", "domain", "account")}

    # ------------------------------------------------------------------ committing

    async def _commit_in_groups(self) -> None:
        with anyio.CancelScope(shield=True):
            while not self._closing or self._next.rows:
                await self._wake.wait()
                self._wake = anyio.Event()
                commit, self._next = self._next, _Commit()
                if commit.rows and self._unwritable is None:
                    try:
                        await self._on_thread(self._commit, commit.rows)
                    except JournalError as error:
                        # After a failed sync nobody knows what the disk holds: write nothing more.
                        self._unwritable = error.message
                commit.failure = self._unwritable
                commit.done.set()
        self._unwritable = self._unwritable or "the journal is closed"

    def _commit(self, rows: list[dict[str, object]]) -> None:
        # The last word on a step wins, and one statement may not touch a row twice.
        latest = list({row["identity"]: row for row in rows}.values())
        with self._translated("cannot write"):
            connection = self._connected()
            try:
                connection.execute(self._upsert, latest)
                connection.commit()
            except sa.exc.SQLAlchemyError:
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()
                raise

    # ------------------------------------------------------------------ on the thread

    async def _on_thread(self, function: Callable[[*Args], T], *args: *Args) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._thread)

    def _open(self) -> None:
        writes = self._identity is not None
        try:
            with self._translated("cannot open"):
                self._connection = self._store.open(self._fill if writes else None)
                self._check_kind()
                self._check_identity()
                if self._shard is None:
                    self._check_rows()
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

    def _check_rows(self) -> None:
        """Read everything once: a flipped bit must not pass for something done."""
        wanted = _CONVERTED if self._store.converts else _UNCONVERTED
        with self._reading() as connection:
            found = self._store.check(connection)
            if found:
                raise JournalError(f"{self.name} is damaged ({found}); {RESTORE}")
            with connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
                for seq, checksum, *content in rows:
                    if _checksum(content) != checksum:
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

    def _page(self, most: int, after: int) -> tuple[list[Record], int]:
        with self._reading() as connection:
            wanted = sa.select(_STEPS.c.seq, *_CONTENT).where(_STEPS.c.seq > after).order_by(_STEPS.c.seq).limit(most)
            rows = connection.execute(wanted).all()
            return [_record(row[1:]) for row in rows], rows[-1].seq if rows else after

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
        from encord_async.provision.journal_postgres import PostgresStore

        return PostgresStore(str(where), shard=shard)
    if shard is not None:
        raise UsageError(f"{where} is a file, which one process writes; several need a journal in PostgreSQL")
    from encord_async.provision.journal_sqlite import SqliteStore

    return SqliteStore(Path(where))


def _row(record: Record) -> dict[str, object]:
    content = [
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
        # The service's own words can hold what no database takes as text.
        None if record.message is None else record.message.encode("utf-8", "replace").decode(),
        record.started_s,
        record.ended_s,
    ]
    row: dict[str, object] = dict(zip(_COLUMNS, content, strict=True))
    row["checksum"] = _checksum(content)
    return row


def _checksum(content: list[Any]) -> int:
    return zlib.crc32(repr(content).encode())


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


# As they are stored: to convert what a flipped bit has made a value of another type would be an error, or worse.
_UNCONVERTED: Final = sa.select(
    *(sa.type_coerce(column, sa.types.NullType()) for column in (_STEPS.c.seq, _STEPS.c.checksum, *_CONTENT))
)
_CONVERTED: Final = sa.select(_STEPS.c.seq, _STEPS.c.checksum, *_CONTENT)
_BY_IDENTITY: Final = sa.select(*_CONTENT).where(_STEPS.c.identity.in_(sa.bindparam("identities", expanding=True)))


def _upsert(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(_STEPS)
    changed = {name: statement.excluded[name] for name in (*_COLUMNS, "checksum") if name != "identity"}
    # Because it returns something, many rows go out as one statement, for which SQLite is entered once and not once a
    # row: between two of them Python would hand the interpreter to the event loop's thread, and wait to get it back.
    return statement.on_conflict_do_update(index_elements=["identity"], set_=changed).returning(_STEPS.c.seq)
