"""Starts programs out of an interpreter that has imported them already, since imports are most of what a start costs.

What is forked there is a process as any other, with streams, a terminal, an environment and a folder of its own; it is
killed, stopped and waited for. Only its interpreter is not new. A test of what hangs on that (options of Python, the
variables that Python reads, a package that is missing) starts it with `subprocess`. So are all started by `make
thorough`, and on systems other than Linux, where not every library bears a fork.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = ["PIPES", "PROGRAM", "Popen", "popen", "run"]

PROGRAM: Final = str(Path(sys.executable).with_name("encord-async"))
"""The command line."""
_ON_TERMINAL: Final = """
import os, signal, sys
# A test run in the background may have been started with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.SIG_DFL)
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in range(3):
    if os.isatty(number):
        os.dup2(terminal, number)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A program that makes a terminal its own and becomes another: the first that the leader of a session opens."""

Popen: TypeAlias = "subprocess.Popen[str]"
PIPES: Final[Mapping[str, Any]] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
"""Options of `popen`: all its streams are written and read by whoever starts it."""

_STATUS: Final = struct.Struct("i")
_MOST_BYTES: Final = 1_000_000
_MOST_DESCRIPTORS: Final = 1024


# --------------------------------------------------------------------------------------------------------- for tests


def popen(
    command: Sequence[object], *, on_terminal: bool = False, imported: Sequence[str] = (), **options: Any
) -> Popen:
    """`subprocess.Popen` for a command of Python or of ours, as text.

    Args:
        command: ``PROGRAM ...``, or ``python`` with ``-m MODULE``, ``-c CODE`` or the path of a program.
        on_terminal: The terminal among its streams becomes its own, as if it had been started by hand there.
        imported: Modules that it imports beside those of our commands.
        options: Of `subprocess.Popen`: *stdin*, *stdout*, *stderr*, *env*, *cwd*.
    """
    # Here, because this file is a program too, which has no use for it.
    from tests.thorough import is_thorough

    words = [str(word) for word in command]
    options |= {"text": True, "start_new_session": on_terminal}
    if sys.platform == "linux" and not is_thorough():
        return _Forked(words, _warm_interpreter(*imported), **options)
    if on_terminal:
        terminal = next(one for one in map(options.get, ("stdin", "stdout")) if isinstance(one, int) and one > 2)
        words = [sys.executable, "-S", "-c", _ON_TERMINAL, os.ttyname(terminal), *words]
    return subprocess.Popen(words, **options)


def run(command: Sequence[object], *, stdin: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, given *stdin*; what it wrote."""
    with popen(command, **PIPES, **options) as process:
        try:
            out, err = process.communicate(stdin)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class _Forked(subprocess.Popen[str]):
    """A process that is no child of this one, but of the warm interpreter, which tells how it ended."""

    def __init__(self, words: Sequence[str], warm: "_WarmInterpreter", **options: Any) -> None:
        self._warm = warm
        super().__init__(words, **options)

    def _execute_child(self, *arguments: Any) -> None:
        names = inspect.signature(super()._execute_child).parameters  # type: ignore[misc]  # a private method
        given = dict(zip(names, arguments, strict=True))
        env = os.environ if given["env"] is None else given["env"]
        sys.audit("subprocess.Popen", given["args"][0], given["args"], given["cwd"], env)
        request = {
            "words": given["args"],
            "env": dict(env),
            "cwd": os.fspath(given["cwd"] or Path.cwd()),
            "leads_session": given["start_new_session"],
        }
        streams = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        try:
            self.pid, self._ended = self._warm.start(
                request, [number if one == -1 else one for number, one in enumerate(streams)]
            )
            self._child_created = True
        finally:
            # Those that are the child's; a file or descriptor that was given stays with who gave it.
            for name, other in (("p2cread", "p2cwrite"), ("c2pwrite", "c2pread"), ("errwrite", "errread")):
                if given[name] != -1 and given[other] != -1:
                    os.close(given[name])

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._wait(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._ended, select.POLLIN)
            if not waiting.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            (self.returncode,) = _STATUS.unpack(os.read(self._ended, _STATUS.size))
            os.close(self._ended)
        return self.returncode


class _WarmInterpreter:
    """The process that forks, as this one sees it."""

    def __init__(self, imported: Sequence[str]) -> None:
        self._door, its_door = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_door:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(its_door.fileno()), *imported],
                pass_fds=[its_door.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self.close)

    def start(self, request: object, streams: Sequence[int]) -> tuple[int, int]:
        """The new process, and where its exit code can be read once it has ended."""
        ended, to_tell = os.pipe()
        try:
            socket.send_fds(self._door, [json.dumps(request).encode()], [*streams, to_tell])
            return _STATUS.unpack(self._door.recv(_STATUS.size))[0], ended
        except BaseException:
            os.close(ended)
            raise
        finally:
            os.close(to_tell)

    def close(self) -> None:
        """Let it end, which it does when nobody can ask it any more."""
        self._door.close()
        self._process.wait()


@functools.cache
def _warm_interpreter(*imported: str) -> _WarmInterpreter:
    return _WarmInterpreter(imported)


# ----------------------------------------------------------------------------------------------- the warm interpreter


def _import(more: Sequence[str]) -> None:
    """Import what the commands import; what they import only now and then they import themselves."""
    import encord_async.cli.main
    import encord_async.emulator.command
    import encord_async.emulator.http
    import encord_async.journal.sqlite  # noqa: F401 - for those that are forked

    for name in more:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _next_child(door: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the child alone, with what it was asked for. Ends if nobody can ask."""
    ends: dict[int, int] = {}
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([door.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, _MOST_BYTES)
            _tell(ends)
        if door.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(door, _MOST_BYTES, 4)
        if not message:
            os._exit(0)
        child = os.fork()
        if child == 0:
            _take_streams(descriptors[:3])
            return dict(json.loads(message))
        *streams, ends[child] = descriptors
        for one in streams:
            os.close(one)
        door.send(_STATUS.pack(child))


def _tell(ends: dict[int, int]) -> None:
    """Write down how those have ended who have."""
    with contextlib.suppress(ChildProcessError):
        while ends and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            end = ends.pop(ended[0])
            # Nobody may be left who wants to know.
            with contextlib.suppress(BrokenPipeError):
                os.write(end, _STATUS.pack(os.waitstatus_to_exitcode(ended[1])))
            os.close(end)


def _take_streams(descriptors: Sequence[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(3, _MOST_DESCRIPTORS)
    # As Python does when it starts; open as long as the process lives.
    text = functools.partial(open, encoding="utf-8", closefd=False)
    sys.stdin = text(0)
    sys.stdout = text(1, "w")
    sys.stderr = text(2, "w", errors="backslashreplace", buffering=1)


def _become(request: dict[str, Any]) -> None:
    """Take on what a process has from the one that starts it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["leads_session"]:
        os.setsid()
        if terminal := [number for number in range(3) if os.isatty(number)]:
            fcntl.ioctl(terminal[0], termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()


def _execute(words: list[str]) -> None:
    """Do what Python does with a command line."""
    program, *words = words
    if program == PROGRAM:
        sys.argv, sys.path[0] = [program, *words], str(Path(program).parent)
        from encord_async.__main__ import main

        main()
        return
    while words[0] in {"-P", "-W", "-u"}:
        option = words.pop(0)
        if option == "-W":
            warnings.simplefilter(words.pop(0))  # type: ignore[arg-type]  # "error", and the like
        elif option == "-u":
            raw = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115 - as long as the process lives
            sys.stdout = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    match words:
        case ["-m", module, *arguments]:
            sys.argv, sys.path[0] = [module, *arguments], str(Path.cwd())
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *arguments]:
            sys.argv, sys.path[0] = ["-c", *arguments], ""
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as python -c does
        case [path, *arguments]:
            sys.argv, sys.path[0] = [path, *arguments], str(Path(path).resolve().parent)
            runpy.run_path(path, run_name="__main__")


def _main() -> None:
    door = socket.socket(fileno=int(sys.argv[1]))
    _import(sys.argv[2:])
    request = _next_child(door)
    door.detach()
    _become(request)
    _execute(request["words"])


if __name__ == "__main__":
    _main()
