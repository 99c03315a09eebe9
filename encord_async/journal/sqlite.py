"""The journal's home in a SQLite file. It never looks at what a row says.

SQLite is used in write-ahead mode with ``synchronous=FULL``, which syncs the log at each commit. A new journal is
set up under another name and then renamed, so that a file of the journal's name always is a whole one, however early
its maker was killed. An empty one has lost what it held.
"""

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from encord_async.errors import JournalBusyError, JournalError, UsageError
from encord_async.journal.store import RESTORE, Fill, Owner
from encord_async.redaction import redacted

__all__ = ["SqliteStore"]

_HEAD: Final = b"SQLite format 3\x00"


class SqliteStore:
    """See `Store`. The lock is one on a file beside the journal; it ends with the process that holds it."""

    converts = False

    def __init__(self, path: Path) -> None:
        self.name = redacted(str(path))
        self._path = path
        self._file = path
        self._engine: sa.Engine | None = None
        self._lock: IO[str] | None = None

    def insert(self, table: sa.Table, /) -> Any:
        """See `Store`."""
        return sqlite.insert(table)

    def open(self, fill: Fill | None) -> sa.Connection:
        """See `Store`."""
        # SQLite puts its log beside the file that a link leads to, so the lock lies there as well.
        self._file = self._path.resolve()
        if fill is not None:
            self._take_lock()
            if not self._file.exists():
                self._make(fill)
        self._look_at_file()
        self._engine = self._engine_for(writing=fill is not None)
        return self._engine.connect()

    def check(self, connection: sa.Connection) -> str:
        """See `Store`."""
        verdict = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
        return "" if verdict == "ok" else verdict

    def begin_writing(self, connection: sa.Connection) -> None:
        """See `Store`."""
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def share(self, connection: sa.Connection, run: int) -> None:  # noqa: ARG002 - a file is not shared
        """See `Store`."""
        raise UsageError(f"{self.name} is a file, which one process writes; several need a journal in PostgreSQL")

    def ask(self, connection: sa.Connection) -> None:
        """See `Store`."""
        connection.execute(sa.select(1))

    def owner(self) -> Owner | None:
        """See `Store`."""
        # Without a lock file nobody writes.
        with contextlib.suppress(OSError), self._beside(".lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read().strip()
                return Owner(int(text)) if text.isdigit() else None
        return None

    def close(self) -> None:
        """See `Store`."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                self._beside(".lock").unlink()
            lock.close()

    # ------------------------------------------------------------------ the file

    def _beside(self, suffix: str) -> Path:
        return self._file.with_name(self._file.name + suffix)

    def _look_at_file(self) -> None:
        """See to it that there is a SQLite file to open."""
        if not self._file.is_file():
            raise JournalError(f"there is no journal {self.name}; check the path")
        with self._file.open("rb") as file:
            head = file.read(len(_HEAD))
        if not head:
            raise JournalError(f"{self.name} is empty, which a journal never is; {RESTORE} or delete it")
        if head != _HEAD:
            raise JournalError(f"{self.name} is no journal; give another path, it was not touched")

    def _make(self, fill: Fill) -> None:
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
        engine = _engine(str(self._beside(".new")))
        with engine.begin() as connection:
            fill(connection)
        engine.dispose()
        self._beside(".new").rename(self._file)
        _sync_directory(self._file.parent)

    def _engine_for(self, *, writing: bool) -> sa.Engine:
        if writing:
            return _engine(str(self._file))
        query = {"mode": "ro", "uri": "true"}
        if not os.access(self._file.parent, os.W_OK) and not self._beside("-wal").exists():
            # Otherwise SQLite would want to make a file beside it even for reading.
            query["immutable"] = "1"
        return _engine("file:" + quote(os.fsencode(self._file)), query)

    # ------------------------------------------------------------------ locking

    def _take_lock(self) -> None:
        if self._file.is_dir():
            raise JournalError(f"{self.name} is a folder; give the path of a file")
        while self._lock is None:
            try:
                lock = self._beside(".lock").open("a+")
            except OSError as error:
                raise JournalError(
                    f"cannot write beside {self.name}: {error.strerror}; choose another folder"
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
                    f"{self.name} is in use by process {owner}; wait for it, or give another journal"
                ) from None
            except OSError as error:
                raise JournalError(f"{self.name} cannot be locked ({error.strerror}); put it on a local disk") from None
            finally:
                if self._lock is None:
                    lock.close()
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()


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
