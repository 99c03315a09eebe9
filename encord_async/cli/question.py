"""Asks a person on the terminal for a yes or a number. Takes no yes for granted; never asks where nobody sits."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Final

import click

from encord_async.cli.interrupts import listening

__all__ = ["agrees", "at_the_terminal", "types"]

_TERMINAL: Final = "/dev/tty"
_YES: Final = frozenset({"y", "yes"})


def agrees(question: str) -> bool:
    """Whether the answer to *question* is yes; anything else is a no, the end of the input too.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    return _answer(f"{question} [y/N]: ").casefold() in _YES


def types(number: int, question: str) -> bool:
    """Whether the answer to *question* is just this number, in digits; anything else is a no.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    return _answer(f"{question}: ") == str(number)


def _answer(question: str) -> str:
    with listening(), _signals() as signals:
        click.echo(question, nl=False, err=True)
        if signals in select.select([sys.stdin, signals], [], [])[0]:
            # What is said next begins a line of its own.
            click.echo(err=True)
            raise KeyboardInterrupt
    return sys.stdin.readline().strip()


@contextmanager
def at_the_terminal() -> Iterator[None]:
    """What is said on standard error meanwhile is for whoever sits at standard input, wherever the former goes."""
    with ExitStack() as stack:
        if sys.stdin is not None and sys.stdin.isatty() and not sys.stderr.isatty():
            # There may be no such file, as for a process that has no terminal of its own.
            with suppress(OSError):
                stack.enter_context(redirect_stderr(stack.enter_context(Path(_TERMINAL).open("w", buffering=1))))
        yield


@contextmanager
def _signals() -> Iterator[int]:
    """A file descriptor that can be read once a signal has come.

    Python notes a signal and acts on it between two instructions of its own. One that comes between the last of these
    and the system's call to read, or whose exception a destructor swallows, would wait for the next key.
    """
    reads, writes = os.pipe()
    try:
        os.set_blocking(writes, False)
        before = signal.set_wakeup_fd(writes)
        try:
            yield reads
        finally:
            signal.set_wakeup_fd(before)
    finally:
        os.close(reads)
        os.close(writes)
