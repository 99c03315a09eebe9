"""Where API keys go that a run made: a file for its owner alone, or the standard input of a command.

A key is in the lines that are put here, and in nothing that is said of them.
"""

import contextlib
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeAlias

import anyio
from anyio.abc import Process

from encord_async.cli.outfile import opened, refuse_others, writing
from encord_async.errors import UsageError
from encord_async.plainfile import open_plain
from encord_async.secrecy import sealed

__all__ = ["KeysCommand", "KeysFile", "Put", "Sink", "sink"]

_BEGIN: Final = b'{"project_hash": '
_STDERR: Final = 2
"""What a command says is for people: standard output may be one object of JSON."""

Put: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""Takes lines, several at a time and in any order."""


class KeysFile:
    """Adds lines to a file of mode 0600, which is never emptied.

    Args:
        path: The file.

    Attributes:
        name: What it is called in messages: the option, and what was given.
        done: What is said of keys that it has taken.
        keeps_each: Whether what was put is taken even if `taking` does not end well.
    """

    keeps_each = True

    def __init__(self, path: str) -> None:
        self.name, self.done = f"--api-keys {path}", f"written to {path}"
        self._path = path
        self._file: BinaryIO
        self._begin = b""
        self._there: frozenset[bytes] = frozenset()

    def __enter__(self) -> Self:
        """Find out, before anything is sent, whether it can take any.

        Raises:
            UsageError: It cannot.
        """
        with writing(f"{self.name}:"):
            refuse_others(self._path, lambda head: head.startswith(_BEGIN), force=False)
            self._file = opened(self._path)
            self._there, self._begin = _lines_of(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[Put]:
        """Where lines are put; when it ends well they are all taken.

        Raises:
            UsageError: They are not, or nobody knows.
        """
        yield self._put

    @sealed
    async def _put(self, lines: Sequence[bytes]) -> None:
        """Write *lines* down, and wait until they lie on the disk.

        Raises:
            UsageError: They cannot be written; what the file had before, it still has.
        """
        # A run that was killed may have written some, and not have noted that.
        new = [line for line in lines if _digest(line) not in self._there]
        if not new:
            return
        descriptor, left = self._file.fileno(), self._begin + b"".join(new)
        before = os.fstat(descriptor)
        is_file = stat.S_ISREG(before.st_mode)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            if is_file:
                os.fsync(descriptor)
        except OSError as error:
            # What is half there would spoil the next line.
            if is_file:
                os.ftruncate(descriptor, before.st_size)
            raise UsageError(f"it cannot be written ({error.strerror})") from None
        self._begin = b""


def _lines_of(path: str) -> tuple[frozenset[bytes], bytes]:
    """Digests of the whole lines of a file, and what the next has to begin with: a kill may have left half a line."""
    found, last = set[bytes](), b"\n"
    try:
        with os.fdopen(open_plain(Path(path), os.O_RDONLY), "rb") as file:
            for line in file:
                last = line[-1:]
                found.add(_digest(line))
    except (OSError, ValueError):
        # What cannot be read may still be written, as a pipe.
        return frozenset(), b""
    return frozenset(found), b"" if last == b"\n" else b"\n"


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


class KeysCommand:
    """Hands lines to a command, which is started once there are some, without a shell.

    Args:
        command: The command with its arguments, as a shell has them.
    """

    keeps_each = False

    def __init__(self, command: str) -> None:
        self._command = command
        self._arguments: list[str] = []
        self._one_at_a_time = anyio.Lock()

    @property
    def name(self) -> str:
        """See `KeysFile`; arguments may be secret."""
        return f"--api-keys-to {self._arguments[0] if self._arguments else 'COMMAND'}"

    @property
    def done(self) -> str:
        """See `KeysFile`."""
        return f"handed to {self._arguments[0]}"

    def __enter__(self) -> Self:
        try:
            self._arguments = shlex.split(self._command)
        except ValueError as error:
            raise UsageError(f"{self.name}: is no command: {error}") from None
        if not self._arguments:
            raise UsageError(f"{self.name}: is no command: it is empty")
        if shutil.which(self._arguments[0]) is None:
            raise UsageError(f"{self.name}: there is no such command; give a program, its arguments behind it")
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[Put]:
        """See `KeysFile`."""
        try:
            process = await anyio.open_process(self._arguments, stdin=subprocess.PIPE, stdout=_STDERR, stderr=_STDERR)
        except (OSError, ValueError) as error:
            raise UsageError(f"it cannot be started ({getattr(error, 'strerror', None) or error})") from None
        async with process:

            @sealed
            async def put(lines: Sequence[bytes]) -> None:
                async with self._one_at_a_time:
                    await _feed(process, b"".join(lines))

            yield put
            await _end(process)


@sealed
async def _feed(process: Process, lines: bytes) -> None:
    if process.stdin is None:
        raise AssertionError("the command has no standard input")
    try:
        await process.stdin.send(lines)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        code = await process.wait()
        raise UsageError(f"it ended with exit code {code} before it had read all of them") from None


async def _end(process: Process) -> None:
    """Let the command come to its end, which says whether it has taken what it was given."""
    if process.stdin is not None:
        with contextlib.suppress(anyio.BrokenResourceError, OSError):
            await process.stdin.aclose()
    code = await process.wait()
    if code:
        raise UsageError(f"it ended with exit code {code}")


Sink: TypeAlias = KeysFile | KeysCommand
"""Takes lines with keys in them."""


def sink(keys_file: str | None, keys_command: str | None) -> Sink | None:
    """Who gets the API keys.

    Raises:
        UsageError: Two are asked for.
    """
    if keys_file is not None and keys_command is not None:
        raise UsageError("--api-keys and --api-keys-to say two things; give one of them")
    if keys_command is not None:
        return KeysCommand(keys_command)
    return None if keys_file is None else KeysFile(keys_file)
