"""Asking for a yes or a no on the terminal."""

import os
import pty
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from encord_async.cli.question import agrees, types


class Person:
    """Sits at the terminal; acts once the question is there."""

    def __init__(self, terminal: int, screen: int) -> None:
        self._terminal = terminal
        self._screen = screen
        self.shown = b""

    def will(self, act: Callable[[], None], question: bytes = b"[y/N]: ") -> threading.Thread:
        """Do *act* once the *question* has been asked."""

        def watch() -> None:
            while question not in self.shown:
                self.shown += os.read(self._screen, 100)
            act()

        thread = threading.Thread(target=watch)
        thread.start()
        return thread

    def type(self, keys: str) -> None:
        """Press *keys*."""
        os.write(self._terminal, keys.encode())


@contextmanager
def a_person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A person at a terminal that is this process's standard input."""
    master, slave = pty.openpty()
    reads, writes = os.pipe()
    with os.fdopen(slave) as stdin, os.fdopen(writes, "w", buffering=1) as stderr:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stderr", stderr)
        yield Person(master, reads)
    os.close(master)
    os.close(reads)


@pytest.mark.parametrize(
    ("keys", "agreed"), [("y\n", True), ("YES \n", True), ("n\n", False), ("\n", False), ("yo\n", False), ("\4", False)]
)
def test_only_a_yes_is_one(monkeypatch: pytest.MonkeyPatch, keys: str, *, agreed: bool) -> None:
    """A yes is one; a no, an empty line, anything else and the end of the input are not."""
    with a_person(monkeypatch) as person:
        typing = person.will(lambda: person.type(keys))
        assert agrees("Go on?") is agreed
        typing.join()
    assert person.shown == b"Go on? [y/N]: "


@pytest.mark.parametrize(
    ("keys", "agreed"), [("12\n", True), (" 12 \n", True), ("y\n", False), ("1\n", False), ("\n", False), ("\4", False)]
)
def test_only_the_number_is_it(monkeypatch: pytest.MonkeyPatch, keys: str, *, agreed: bool) -> None:
    """Who is asked for a number agrees with just that, and with no yes."""
    with a_person(monkeypatch) as person:
        typing = person.will(lambda: person.type(keys), b"number: ")
        assert types(12, "Type the number") is agreed
        typing.join()
    assert person.shown == b"Type the number: "


def test_ctrl_c_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the question even if the exception for it got lost, as in a destructor."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with a_person(monkeypatch) as person:
            pressing = person.will(lambda: os.kill(os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                agrees("Go on?")
            pressing.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.set_wakeup_fd(-1) == -1
