"""The journal's home in a PostgreSQL database, in a schema of its own. It never looks at what a row says.

Locks are advisory ones of the very session by which the journal is written: who has lost its connection has lost its
lock and can write nothing, and a dead process holds none. A lost connection is never opened again.

Four locks, always taken in this order, so that no two processes ever write the same thing:

- *whole*: one process may write the whole journal, or be the one that shares it out;
- *parts*: shared by all who write shards. Whoever takes *whole* waits until nobody is left from an earlier run;
- *run*: the mark of the one that shares it out. Who writes a shard looks, with *parts* in hand, that it still is held;
- *shard*: one process writes a shard. Its successor waits until its connection is gone.
"""

import contextlib
import hashlib
import os
import platform
import re
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from encord_async.errors import JournalBusyError, JournalError, MissingExtraError
from encord_async.journal.backup import new_file, read_lines, write_lines
from encord_async.journal.store import Fill, Owner, Shard
from encord_async.journal.tables import METADATA, STEPS
from encord_async.plainfile import open_plain
from encord_async.redaction import quoted
from encord_async.secrecy import Secret, sealed

try:
    import psycopg
except ImportError as error:
    raise MissingExtraError("a journal in PostgreSQL needs psycopg: pip install 'encord-async[postgres]'") from error

__all__ = ["PostgresStore", "password_of", "without_password"]

# Said here and not beside the tables, which a journal in SQLite loads as well: it would load this dialect, too.
for index in STEPS.indexes:
    index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]

_JOB: Final = re.compile("[a-z0-9][a-z0-9_-]{0,39}")
_POLL_S: Final = 0.1
_WHOLE_WAIT_S: Final = 1.0
"""So long a server may take to see that a process was killed."""
_PARTS_WAIT_S: Final = 60.0
"""So long the processes of an earlier run, which has lost its head, may take to notice."""
_SHARD_WAIT_S: Final = 600.0
"""So long a process that was given up for lost may go on with a shard."""

_SESSION: Final = {
    # A server that forgets idle sessions would end a run that waits for the service.
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "0",
    # The server finds within a minute that a machine is gone, and lets go of its locks.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_CONNECT: Final = {
    "connect_timeout": "10",
    # The client finds sooner than the server that it is cut off.
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}


class PostgresStore:
    """See `Store`.

    Args:
        url: ``postgresql://user@host/database?job=NAME``; what else stands behind the ``?`` is for libpq, which also
            knows ``PGPASSWORD`` and ``~/.pgpass``.
        shard: The part that is to be written; None for the whole.

    Raises:
        JournalError: It is no such URL.
    """

    converts = True

    @sealed
    def __init__(self, url: str, *, shard: Shard | None = None) -> None:
        parsed, job = _parsed(url)
        self.name = sa.URL.create(
            "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database, {"job": job}
        ).render_as_string()
        self._schema = f"encord_async_{job}"
        self._shard = shard
        self._connected = False
        self._driver: Any = None
        """The driver's own connection, once there is one."""
        self._hung_up = select.poll()
        """Tells that the server has closed it."""
        self._engine = sa.create_engine(parsed, poolclass=sa.StaticPool, hide_parameters=True, use_native_hstore=False)
        sa.event.listen(self._engine, "do_connect", self._refuse_another)
        sa.event.listen(self._engine, "connect", self._configure)

    insert = staticmethod(postgresql.insert)

    def is_absent(self) -> bool:
        # The database would have to be asked.
        return False

    def open(self, fill: Fill | None) -> sa.Connection:
        connection = self._engine.connect()
        try:
            if fill is not None:
                self._refuse_unsafe(connection)
                if self._shard is None:
                    self._lock_whole(connection)
                else:
                    self._lock_shard(connection, self._shard)
            self._see_to_schema(connection, fill)
            connection.commit()
        except BaseException:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()
            raise
        return connection

    def check(self, connection: sa.Connection) -> str:  # noqa: ARG002 - a server looks after its pages itself
        return ""

    def begin_writing(self, connection: sa.Connection) -> None:
        """See `Store`."""

    def confirm(self) -> None:
        """See `Store`. A server does not lose a table that a transaction of this connection has just written to."""

    def back_up(self, connection: sa.Connection, when: str) -> str:
        """See `Store`: JSON lines, in the folder in which this process runs, since a database has nothing beside it."""
        path = Path(f"{self._schema}.backup-{when}.jsonl")
        with new_file(path) as descriptor:
            write_lines(connection, descriptor)
        return str(path)

    def put_back(self, connection: sa.Connection, backup: Path) -> None:
        """See `Store`."""
        with os.fdopen(open_plain(backup, os.O_RDONLY), encoding="utf-8") as file:
            read_lines(connection, file, str(backup))
        for table in METADATA.sorted_tables:
            if "seq" in table.c:
                # What is written next comes behind the rows that were put back.
                last = sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0) + 1).scalar_subquery()
                counter = sa.func.pg_get_serial_sequence(table.name, "seq")
                connection.execute(sa.select(sa.func.setval(counter, last, False)))

    def share(self, connection: sa.Connection, run: int) -> None:
        if not self._try(connection, "pg_try_advisory_lock", f"run {run}"):
            raise JournalBusyError(f"{self.name}: another run has the number {run}; run again")
        connection.execute(sa.select(sa.func.pg_advisory_unlock(self._key("parts"))))
        connection.commit()

    def is_cut_off(self) -> bool:
        return self._driver is not None and (self._driver.closed or bool(self._hung_up.poll(0)))

    def ask(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(1))
        if self._shard is not None:
            self._see_head(connection, self._shard)

    def owner(self) -> Owner | None:
        with self._engine.connect() as connection:
            return self._owner(connection, "whole")

    def close(self) -> None:
        if self._connected:
            # A server takes its time to see that a connection was closed, and whoever comes next would meet the locks.
            with contextlib.suppress(sa.exc.SQLAlchemyError), self._engine.connect() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_unlock_all()))
        self._engine.dispose()

    # ------------------------------------------------------------------ the connection

    def _refuse_another(self, *_: object) -> None:
        """What a new connection would write is guarded by no lock, and what the old one wrote may not be there."""
        if self._connected:
            raise psycopg.OperationalError("the connection to the server was lost")
        self._connected = True

    def _configure(self, connection: Any, _: object) -> None:
        self._driver = connection
        # Where the system knows no such event, an end that nobody asked for may come as another, or not be seen here.
        self._hung_up.register(connection.fileno(), getattr(select, "POLLRDHUP", 0))
        settings = _SESSION | {"search_path": f'"{self._schema}"', "application_name": _application()}
        with connection.cursor() as cursor:
            for name, value in settings.items():
                # An older server does not know all of them.
                cursor.execute("SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s", [value, name])
            # Never less than the server's own disk; a server that also waits for its replicas goes on doing so.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
            )
        connection.commit()

    def _refuse_unsafe(self, connection: sa.Connection) -> None:
        if connection.exec_driver_sql("SHOW fsync").scalar() == "off":
            raise JournalError(f"{self.name}: the server runs with fsync=off and may forget what it has confirmed")

    def _see_to_schema(self, connection: sa.Connection, fill: Fill | None) -> None:
        """See to it that there is a schema with something in it; all of a new one is made at once."""
        there = connection.execute(
            sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": self._schema}
        ).first()
        if there is not None:
            return
        if fill is None or self._shard is not None:
            raise JournalError(f"there is no journal {self.name}; check the name of the job and of the database")
        connection.execute(sa.schema.CreateSchema(self._schema))
        fill(connection)

    # ------------------------------------------------------------------ locking

    def _lock_whole(self, connection: sa.Connection) -> None:
        if not self._wait(connection, "pg_try_advisory_lock", "whole", _WHOLE_WAIT_S):
            raise self._busy(self._owner(connection, "whole"))
        if not self._wait(connection, "pg_try_advisory_lock", "parts", _PARTS_WAIT_S):
            raise self._busy(self._owner(connection, "parts"))

    def _lock_shard(self, connection: sa.Connection, shard: Shard) -> None:
        if not self._wait(connection, "pg_try_advisory_lock_shared", "parts", _PARTS_WAIT_S):
            raise self._busy(self._owner(connection, "parts"))
        # From here on no other run can begin, so that who had not lost its head now has it for good.
        self._see_head(connection, shard)
        if not self._wait(connection, "pg_try_advisory_lock", f"shard {shard.name}", _SHARD_WAIT_S):
            raise self._busy(self._owner(connection, f"shard {shard.name}"))

    def _see_head(self, connection: sa.Connection, shard: Shard) -> None:
        lock = f"run {shard.run}"
        if self._try(connection, "pg_try_advisory_lock_shared", lock):
            connection.execute(sa.select(sa.func.pg_advisory_unlock_shared(self._key(lock))))
            connection.commit()
            raise JournalError(f"{self.name}: the run that this is a part of is over")

    def _busy(self, owner: Owner | None) -> JournalBusyError:
        return JournalBusyError(
            f"{self.name} is in use by {owner or 'an unknown process'}; wait for it, or give another job"
        )

    def _wait(self, connection: sa.Connection, function: str, lock: str, most_s: float) -> bool:
        until_s = time.monotonic() + most_s
        while not self._try(connection, function, lock):
            if time.monotonic() >= until_s:
                return False
            time.sleep(_POLL_S)
        return True

    def _try(self, connection: sa.Connection, function: str, lock: str) -> bool:
        took = connection.execute(sa.select(getattr(sa.func, function)(self._key(lock)))).scalar()
        # The lock is the session's and stays; a transaction left open would keep the server from tidying up.
        connection.commit()
        return bool(took)

    def _key(self, lock: str) -> int:
        """The number of a lock, within the database."""
        digest = hashlib.blake2b(f"{self._schema} {lock}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, signed=True)

    def _owner(self, connection: sa.Connection, lock: str) -> Owner | None:
        """Who holds *lock*; None if nobody does, or nobody that this user may see."""
        number = self._key(lock) % 2**64
        found = connection.execute(_HOLDER, {"high": number >> 32, "low": number % 2**32}).scalar()
        connection.commit()
        said = re.fullmatch(r"encord-async (\d+)@(.*)", found or "")
        return None if said is None else Owner(int(said[1]), said[2])


_HOLDER: Final = sa.text(
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = :high AND objid = :low "
    "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND pid <> pg_backend_pid() LIMIT 1"
)


def _application() -> str:
    # The server keeps 63 bytes.
    return f"encord-async {os.getpid()}@{platform.node()}".encode("ascii", "replace").decode()[:63]


@sealed
def _parsed(url: str) -> tuple[sa.URL, str]:
    """What to connect to, and the name of the job."""
    example = "give postgresql://user@host/database?job=NAME"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Its words may hold the URL, and that a password.
        raise JournalError(f"the journal's URL cannot be read; {example}") from None
    if parsed.drivername != "postgresql":
        raise JournalError(f"a journal cannot be kept in {parsed.drivername}; {example}")
    if "@" in f"{parsed.host}{parsed.database}":
        # The rest of a password: what follows its first "@" was taken for host and database.
        raise JournalError("the journal's URL has a password with '@' in it; write that as %40")
    job = parsed.query.get("job")
    if not isinstance(job, str):
        raise JournalError(
            f"the journal's URL names no job; {example}, with one name for each manifest, so that they do not meet"
        )
    if not _JOB.fullmatch(job):
        raise JournalError(f"{quoted(job)} is no name of a job; use up to 40 small letters, digits, '_' and '-'")
    rest = dict(_rest(parsed))
    return parsed.set(drivername="postgresql+psycopg", query={**_CONNECT, "client_encoding": "utf8", **rest}), job


@sealed
def password_of(url: str) -> Secret[str] | None:
    """The password in *url*, for a process that is to have it in its environment."""
    password = _parsed(url)[0].password
    return None if password is None else Secret(password)


@sealed
def without_password(url: str) -> str:
    """*url* as it may go to other machines, which have the password from their own surroundings.

    Raises:
        JournalError: It is no URL of a journal in PostgreSQL.
    """
    _parsed(url)
    parsed = sa.make_url(url)
    query = {name: value for name, value in parsed.query.items() if "password" not in name}
    bare = sa.URL.create("postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database, query)
    return bare.render_as_string()


def _rest(parsed: sa.URL) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in parsed.query.items() if name != "job")
