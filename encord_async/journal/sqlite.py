"""The journal's home in a SQLite file. It never looks at what a row says.

SQLite is used in write-ahead mode with ``synchronous=FULL``, which syncs the log at each commit. A new journal is
set up under another name and then renamed, so that a file of the journal's name always is a whole one, however early
its maker was killed. An empty one has lost what it held. It is locked from its first byte on, see `lock`, and whoever
writes it looks after each commit whether it still lies where the next run will look for it.
"""

import contextlib
import functools
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from encord_async.errors import JournalBusyError, JournalError, UsageError
from encord_async.journal.backup import new_file
from encord_async.journal.lock import holder, lock
from encord_async.journal.store import RESTORE, Fill, Owner
from encord_async.plainfile import NoPlainFileError, open_plain
from encord_async.redaction import redacted

__all__ = ["SqliteStore"]

_HEAD: Final = b"SQLite format 3\x00"
_COMPILED: Final[dict[Any, Any]] = {}
"""Statements in SQLite's words. All journals ask and write the same few, and each of them costs as much as a commit."""


class SqliteStore:
    """See `Store`."""

    converts = False

    def __init__(self, path: Path) -> None:
        self.name = redacted(str(path))
        self._path = path
        self._file = path
        self._engine: sa.Engine | None = None
        self._descriptor: int | None = None
        """Of the journal. Closed last: to close any descriptor of a file lets go of the locks that SQLite has on it."""
        self._writes = False
        self._log: os.stat_result | None = None
        """Which file SQLite's log is; the same until the journal is closed."""

    insert = staticmethod(sqlite.insert)

    def is_absent(self) -> bool:
        # As far as one may look: who may not is told so when it is opened.
        return not os.path.exists(self._path)  # noqa: PTH110 - that of a Path raises

    def open(self, fill: Fill | None) -> sa.Connection:
        # SQLite puts its log beside the file that a link leads to.
        self._file = Path(os.path.realpath(self._path))
        self._writes = fill is not None
        self._descriptor = self._open_to_read() if fill is None else self._open_to_write(fill)
        self._look_at_content(self._descriptor)
        self._look_at_names(self._descriptor)
        self._engine = self._engine_for(writing=self._writes)
        return self._engine.connect()

    def check(self, connection: sa.Connection) -> str:
        verdict = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
        return "" if verdict == "ok" else verdict

    def begin_writing(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        # SQLite makes the log when it first looks into the file.
        connection.exec_driver_sql("PRAGMA schema_version").all()
        self._log = _at(self._beside("-wal"))

    def confirm(self) -> None:
        file, log = os.fstat(self._held()), _at(self._beside("-wal"))
        if not (_is_same(_at(self._file), file) and _is_same(log, self._log)):
            raise JournalError(
                f"{self.name}, or its log, was removed, moved or replaced while it was being written: nothing more is "
                "sent; look in the account for what was made last before you run this again"
            )

    def back_up(self, connection: sa.Connection, when: str) -> str:
        """See `Store`: a journal by itself, which can be put in the place of this one."""
        path = self._beside(f".backup-{when}")
        with new_file(path):
            engine = _engine(str(path))
            try:
                with engine.connect() as copy:
                    _driver(connection).backup(_driver(copy))
                    # Without it, whoever looks into the copy would leave a log beside it.
                    copy.exec_driver_sql("PRAGMA journal_mode=DELETE")
            finally:
                engine.dispose()
        return redacted(str(path))

    def put_back(self, connection: sa.Connection, backup: Path) -> None:  # noqa: ARG002 - it is a journal itself
        if not backup.exists():
            raise UsageError(f"there is no {backup}; a backup stands beside the journal, as {self.name}.backup-TIME")
        raise UsageError(f"a backup of a file is a journal itself: copy {backup} over {self.name}")

    def share(self, connection: sa.Connection, run: int) -> None:  # noqa: ARG002 - a file is not shared
        raise UsageError(f"{self.name} is a file, which one process writes; several need a journal in PostgreSQL")

    def is_cut_off(self) -> bool:
        # Its lock is this process's, whatever happens to the file.
        return False

    def ask(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(1))
        if self._writes:
            self.confirm()

    def owner(self) -> Owner | None:
        if self._writes:
            return Owner(os.getpid())
        with contextlib.suppress(OSError):
            pid = holder(self._held())
            return None if pid is None else Owner(pid)
        return None

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    # ------------------------------------------------------------------ the file

    def _beside(self, suffix: str) -> Path:
        return self._file.with_name(self._file.name + suffix)

    def _held(self) -> int:
        if self._descriptor is None:
            raise JournalError("the journal is closed")
        return self._descriptor

    def _open_to_read(self) -> int:
        try:
            return open_plain(self._file, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, NoPlainFileError):
            raise JournalError(f"there is no journal {self.name}; check the path") from None

    def _open_to_write(self, fill: Fill) -> int:
        """A descriptor of the journal, locked; one that is not there is made."""
        while True:
            try:
                descriptor = open_plain(self._file, os.O_RDWR)
            except FileNotFoundError:
                return self._make(fill)
            except NoPlainFileError:
                raise JournalError(f"{self.name} is no file; give the path of one") from None
            except OSError as error:
                raise JournalError(f"cannot write {self.name}: {error.strerror}; choose another path") from None
            self._lock(descriptor)
            if _is_same(_at(self._file), os.fstat(descriptor)):
                return descriptor
            # Whoever had it may have put another in its place between these two calls.
            os.close(descriptor)

    def _look_at_content(self, descriptor: int) -> None:
        """See to it that there is a SQLite file to open."""
        if self._writes and not os.access(self._file.parent, os.W_OK):
            raise JournalError(f"cannot write beside {self.name}, as SQLite has to; choose another folder")
        head = os.pread(descriptor, len(_HEAD), 0)
        if not head:
            raise JournalError(f"{self.name} is empty, which a journal never is; {RESTORE} or delete it")
        if head != _HEAD:
            raise JournalError(f"{self.name} is no journal; give another path, it was not touched")

    def _look_at_names(self, descriptor: int) -> None:
        """See to it that the last one who wrote the journal knew it by this name.

        SQLite keeps its log beside the name that it is given: by another one, what a killed process has written there
        last would not be found, and all of it would be made again.
        """
        ours = os.fstat(descriptor)
        if ours.st_nlink == 1:
            return
        seen = [path for path in self._file.parent.iterdir() if _is_same(_at(path), ours)]
        for path in seen:
            log = _at(path.with_name(f"{path.name}-wal"))
            if path != self._file and log is not None and log.st_size:
                raise JournalError(
                    f"{self.name} is the same file as {path.name}, and was last written by that name, beside which "
                    "a part of it lies; give that one"
                )
        if self._writes and len(seen) < ours.st_nlink:
            raise JournalError(
                f"{self.name} has other names in other folders (hard links), by one of which it may have been written "
                "last; give a copy of its own, or remove the other names"
            )

    def _make(self, fill: Fill) -> int:
        """Set up a new journal; its descriptor, locked."""
        new = self._file.with_name(f".{self._file.name}.encord-async-new")
        try:
            descriptor = open_plain(new, os.O_RDWR | os.O_CREAT)
        except NoPlainFileError:
            raise JournalError(f"{new} is no file, and in the way of a new journal; remove it") from None
        except OSError as error:
            raise JournalError(f"cannot write beside {self.name}: {error.strerror}; choose another folder") from None
        self._lock(descriptor)
        # Else somebody who was faster has given it the journal's name.
        if _is_same(_at(new), os.fstat(descriptor)):
            try:
                if _at(self._file) is None:
                    self._fill(fill, new, descriptor)
                    new.rename(self._file)
                    _sync_directory(self._file.parent)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            new.unlink()
        os.close(descriptor)
        return self._open_to_write(fill)

    def _fill(self, fill: Fill, new: Path, descriptor: int) -> None:
        log = _at(self._beside("-wal"))
        # A reader leaves an empty one behind.
        if log is not None and log.st_size:
            raise JournalError(
                f"{self._beside('-wal')} is there and its journal is not: put the journal back, or delete the log if "
                "it is not wanted"
            )
        left = os.fstat(descriptor)
        if left.st_nlink != 1 or left.st_uid != os.geteuid():
            raise JournalError(f"{new} is somebody else's, and in the way of a new journal; remove it")
        # What a process left that was killed in the middle of this.
        os.ftruncate(descriptor, 0)
        engine = _engine(str(new))
        with engine.connect() as connection:
            # Nothing is to be rolled back: who is killed leaves what the next one empties.
            connection.exec_driver_sql("PRAGMA journal_mode=MEMORY")
            fill(connection)
            connection.commit()
        engine.dispose()

    def _engine_for(self, *, writing: bool) -> sa.Engine:
        if writing:
            return _engine(str(self._file))
        query = "mode=ro"
        if not os.access(self._file.parent, os.W_OK) and not self._beside("-wal").exists():
            # Otherwise SQLite would want to make a file beside it even for reading.
            query += "&immutable=1"
        return _engine(f"file:{quote(os.fsencode(self._file))}?{query}", is_uri=True)

    def _lock(self, descriptor: int) -> None:
        """Lock it, or close it."""
        try:
            lock(descriptor)
        except BlockingIOError:
            owner = holder(descriptor) or "unknown"
            os.close(descriptor)
            raise JournalBusyError(
                f"{self.name} is in use by process {owner}; wait for it, or give another journal"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{self.name} cannot be locked ({error.strerror}); put it on a local disk") from None


def _driver(connection: sa.Connection) -> Any:
    """SQLite's own connection."""
    return connection.connection.driver_connection


@functools.cache
def _dialect() -> sa.Dialect:
    """What SQLAlchemy knows of SQLite. One for all journals: what is compiled for one is not for another."""
    engine = sa.create_engine("sqlite://")
    # It learns what this SQLite can do.
    engine.connect().close()
    engine.dispose()
    return engine.dialect


def _engine(database: str, *, is_uri: bool = False) -> sa.Engine:
    dialect = _dialect()
    pool = sa.StaticPool(lambda: _connected(dialect, database, is_uri=is_uri), dialect=dialect)
    kept = {"compiled_cache": _COMPILED}
    return sa.Engine(pool, dialect, sa.URL.create("sqlite"), hide_parameters=True, execution_options=kept)


def _connected(dialect: sa.Dialect, database: str, *, is_uri: bool) -> Any:
    """A connection that confirms only what is on the disk.

    No listener of an event does that: SQLAlchemy forgets one wrongly, and says so on standard error, if the collector
    takes an engine while it notes the listener of the next.
    """
    connection = dialect.connect(database, timeout=10.0, check_same_thread=False, uri=is_uri)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        # macOS only flushes its disk's own cache when asked for this.
        connection.execute("PRAGMA fullfsync=ON")
        connection.execute("PRAGMA checkpoint_fullfsync=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _sync_directory(folder: Path) -> None:
    """Make the journal's own directory entry outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _at(path: Path) -> os.stat_result | None:
    """What lies at *path*, if something does."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _is_same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Whether both are one file; nothing is the same as nothing."""
    if one is None or other is None:
        return one is other
    return os.path.samestat(one, other)
