"""The standard streams of a command, made whole before it does anything. Knows no verb, and needs nothing installed.

A descriptor that is closed would be given to the next file or socket that is opened, and what is meant for people would
go into the journal. A disk that is full under a log must not end the work that is logged.
"""

import io
import os
import sys
from typing import Any

__all__ = ["Unfailing", "mend"]


class Unfailing(io.FileIO):
    """A stream that takes all that is written, and remembers why it could not be passed on.

    Args:
        number: Its descriptor.
        ends_with_its_reader: Raise `BrokenPipeError` all the same: nobody reads what is still to come.
    """

    def __init__(self, number: int, *, ends_with_its_reader: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._ends_with_its_reader = ends_with_its_reader
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write *data*, or as much of it as can be."""
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError as error:
            if self._ends_with_its_reader and isinstance(error, BrokenPipeError):
                raise
            self.error = error
            return size
        # None means that it would have to wait, as a pipe may that others have set up so.
        return size if written is None else written


def mend() -> Unfailing:
    """Open descriptors that are closed on nothing, and put streams that never fail in place of Python's own.

    Returns:
        What stands under standard output.
    """
    for number in range(3):
        _open_if_closed(number)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
    out = Unfailing(1, ends_with_its_reader=True)
    sys.stdout = _text(out, sys.stdout, errors="strict", by_line=out.isatty())
    sys.stderr = _text(Unfailing(2, ends_with_its_reader=False), sys.stderr, errors="backslashreplace", by_line=True)
    return out


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        # The lowest that is free is taken, and that is this one: those below are open.
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _text(raw: io.FileIO, before: Any, *, errors: str, by_line: bool) -> io.TextIOWrapper:
    if before is not None:
        before.flush()
    encoding = "utf-8" if before is None else before.encoding
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=by_line)
