"""Command lines, run here or as processes of their own, against an emulator on a thread of its own."""

import http.client
import json
import os
import pty
import select
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal

from encord_async.cli.main import run
from encord_async.emulator import Emulator
from encord_async.testing import read_settings
from tests import warm
from tests.waiting import PATIENCE_S

Json: TypeAlias = Any
"""Decoded JSON; tests look into it freely."""

PROGRAM = warm.PROGRAM
EXAMPLE = Path(__file__).parents[2] / "examples" / "annotation-programme.jsonl"
DATASETS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1, 101)]
"""What an emulator without a seed starts with."""


STORES = ["file", pytest.param("postgresql", marks=pytest.mark.process)]
"""Where a journal may lie; a test that goes through both asks for the server by itself."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        """The one object on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Api:
    """An emulator."""

    url: str
    key_file: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of somebody who uses it."""
        return {"ENCORD_DOMAIN": self.url, "ENCORD_SSH_KEY_FILE": str(self.key_file)}

    def control(self, method: str, name: str, body: Json = None) -> Json:
        """Ask ``/_emulator/NAME``."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_S)
        try:
            connection.request(method, f"/_emulator/{name}", None if body is None else json.dumps(body))
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status < 300, text
            return json.loads(text) if text else None
        finally:
            connection.close()

    def by_query(self) -> dict[str, int]:
        """Requests so far, by query."""
        found: dict[str, int] = self.control("GET", "stats")["by_query"]
        return found

    def projects(self, title: str) -> list[Json]:
        """The projects of that title."""
        return [project for project in self.control("GET", "state")["projects"] if project["title"] == title]


@contextmanager
def started_api(folder: Path, **settings: Any) -> Iterator[Api]:
    """An emulator on a thread of this process, ended with the block; a seed has to bring the file ``key``."""
    key_file = folder / "key"
    emulator = Emulator(read_settings(settings))
    with start_blocking_portal(name="emulator") as portal, portal.wrap_async_context_manager(emulator):
        # Its database belongs to that thread.
        private_key = portal.call(lambda: emulator.private_key)
        if private_key is not None:
            key_file.touch(0o600)
            key_file.write_text(private_key)
        yield Api(emulator.url, key_file)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An emulator that the tests of a file share; each uses titles of its own."""
    with started_api(tmp_path_factory.mktemp("api")) as found:
        yield found


Start: TypeAlias = Callable[..., Api]


@pytest.fixture
def start_api(tmp_path: Path) -> Iterator[Start]:
    """Start emulators with settings of the test's own."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Api:
            folder = tmp_path / "api"
            folder.mkdir()
            return stack.enter_context(started_api(folder, **settings))

        yield start


Here: TypeAlias = Callable[..., Done]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Run a command line in this process."""

    def call(*arguments: object, env: dict[str, str] | None = None, stdin: str | None = None) -> Done:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile("w+") as file:
            if stdin is not None:
                file.write(stdin)
                file.seek(0)
                patch.setattr(sys, "stdin", file)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            try:
                code = run([str(argument) for argument in arguments])
            except SystemExit as end:
                # What completes for a shell ends by itself.
                code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


def process_env(env: dict[str, str]) -> dict[str, str]:
    """The environment of this process with *env* added."""
    return os.environ | env


def process(*arguments: object, env: dict[str, str] | None = None, stdin: str = "") -> Done:
    """Run a command line as a process of its own."""
    done = warm.run([PROGRAM, *arguments], stdin=stdin, env=process_env(env or {}))
    return Done(done.returncode, done.stdout, done.stderr)


class Terminal:
    """A command line on a terminal of its own, which a test reads and types into."""

    def __init__(self, *arguments: object, env: dict[str, str], stderr: Path | None = None) -> None:
        self._master, slave = pty.openpty()
        self._text = ""
        with nullcontext(slave) if stderr is None else stderr.open("w") as log:
            self._process = warm.popen(
                [PROGRAM, *arguments],
                on_terminal=True,
                stdin=slave,
                stdout=slave,
                stderr=log,
                env=process_env({"TERM": "xterm", "COLUMNS": "120", **env}),
            )
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
        os.close(self._slave)

    def read_until(self, text: str) -> str:
        """All that was shown, once *text* is there."""
        while text not in self._text:
            self._text += os.read(self._master, 4096).decode(errors="replace")
        return self._text

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def _is_readable(self) -> bool:
        return bool(select.select([self._master], [], [], 0.05)[0])

    def end(self) -> Done:
        """Wait for the end."""
        over = False
        # Our own hold on the other side keeps what was written last from getting lost.
        while self._is_readable() or not over:
            over = self._process.poll() is not None
            if self._is_readable():
                self._text += os.read(self._master, 4096).decode(errors="replace")
        return Done(self._process.wait(), self._text, "")


def write_manifest(path: Path, *entries: Json) -> Path:
    """A JSONL manifest of *entries*."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


Applied: TypeAlias = Callable[..., tuple[Path, str]]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """Where journals are kept."""
    found: str = request.param
    return found


@pytest.fixture
def applied(
    api: Api, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, store: str
) -> Applied:
    """Provision entries; the manifest, and the journal, in a file or in PostgreSQL."""
    monkeypatch.chdir(tmp_path)

    def apply(name: str, *entries: Json) -> tuple[Path, str]:
        manifest = write_manifest(tmp_path / "programme.jsonl", *entries)
        where = f"{manifest}.journal"
        if store == "postgresql":
            where = request.getfixturevalue("postgres").url(name.lower().replace(" ", "-"))
        done = here("apply", manifest, "--yes", "--journal", where, env=api.env)
        assert done.code == 0, done.out + done.err
        return manifest, where

    return apply
