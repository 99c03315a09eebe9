"""A PostgreSQL server of the tests' own: in a temporary folder, on loopback, gone with the tests."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests import memory
from tests.waiting import PATIENCE_S, free_port, until

USER = "encord"
PASSWORD = "a-password-that-shows-nowhere"


class PostgresServer:
    """``with`` makes and starts it; it can be stopped and started again under its clients."""

    def __init__(self, initdb: str, postgres: str) -> None:
        self._initdb, self._postgres = initdb, postgres
        self._folder = Path(tempfile.mkdtemp(prefix="encord-async-pg-", dir=memory.root()))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.port: int = free_port()

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self._process is not None
        return self._process.pid

    def url(self, job: str = "cats", *, password: str = PASSWORD) -> str:
        """The URL of a journal in it."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/postgres?job={job}"

    def __enter__(self) -> Self:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        self._data.mkdir(mode=0o700)
        as_user = _ordinary_user()
        if as_user:
            for path in (self._folder, self._data, password):
                shutil.chown(path, as_user["user"], as_user["group"])
        command = [self._initdb, "-D", str(self._data), "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256"]
        command += ["--no-sync", "--locale=C", "--encoding=UTF8"]
        try:
            subprocess.run(command, check=True, capture_output=True, cwd="/", **as_user)
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [self._postgres, "-D", str(self._data), "-p", str(self.port)]
        for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=50"):
            command += ["-c", setting]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **_ordinary_user())
        until(self._answers, "PostgreSQL answers")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with self.connected():
                return True
        except psycopg.OperationalError:
            return False

    def stop(self) -> None:
        """End it and every connection to it, as an administrator would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)
            self._process = None

    @contextlib.contextmanager
    def connected(self) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
        """A connection of somebody else's; each statement is committed."""
        connection = psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        )
        try:
            yield connection
        finally:
            connection.close()

    def sessions(self) -> int:
        """How many connections journals have."""
        with self.connected() as connection:
            question = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'encord-async %'"
            row = connection.execute(question).fetchone()
        assert row is not None
        return int(row[0])

    def drop(self, job: str) -> None:
        """Forget a journal."""
        with self.connected() as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "encord_async_{job}" CASCADE')


def _ordinary_user() -> Mapping[str, Any]:
    """How to start what refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
