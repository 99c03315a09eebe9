"""Asks a person on the terminal for a yes or a no. Takes no yes for granted; never asks where nobody sits."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

__all__ = ["agrees"]

_YES: Final = frozenset({"y", "yes"})


def agrees(question: str) -> bool:
    """Whether the answer to *question* is yes; anything else is a no, the end of the input too.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    with _signals() as signals:
        click.echo(f"{question} [y/N]: ", nl=False, err=True)
        if signals in select.select([sys.stdin, signals], [], [])[0]:
            # What is said next begins a line of its own.
            click.echo(err=True)
            raise KeyboardInterrupt
    return sys.stdin.readline().strip().casefold() in _YES


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
