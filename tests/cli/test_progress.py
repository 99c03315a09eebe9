"""How far it is, in words."""

import io
import sys
from dataclasses import replace

import anyio
import pytest

from encord_async.cli.output import Output
from encord_async.cli.plan import read_so_far
from encord_async.cli.progress import Meter, describe, show_bar, show_lines, show_reading
from encord_async.engine.options import Progress
from encord_async.session.session import Statistics
from tests import virtual


def at(ended: int, elapsed_s: float, *, total: int | None = 100, throttled: int = 0) -> Progress:
    """A run after *elapsed_s*."""
    statistics = Statistics(requests=ended, in_flight=3, throttled=throttled)
    return Progress(entries=ended, total=total, ended=ended, failed=2, statistics=statistics, elapsed_s=elapsed_s)


def test_the_line() -> None:
    """The line says what is done, failed, in flight, how fast, what was throttled and how long it will take."""
    shown = describe(at(40, 10, throttled=7), 2.0)
    assert shown == "40 of 100 entries, 2 failed, 3 in flight, 2/s, 7 throttled, 30 s left"


def test_the_line_of_removals() -> None:
    """What is taken at the end is told beside the entries, and is a part of what is left to do."""
    shown = describe(replace(at(100, 10), removals=40, removals_ended=10), 2.0)
    assert shown == "100 of 100 entries, 10 of 40 removals, 2 failed, 3 in flight, 2/s, 15 s left"
    meter = Meter()
    meter.per_s(at(100, 10))
    assert meter.per_s(replace(at(100, 12), removals=40, removals_ended=10)) == 5


def test_the_line_fits() -> None:
    """On a narrow terminal the line says less, and first of all what is done, what failed and how long it takes."""
    assert describe(at(40, 10, throttled=7), 2.0, room=60) == "40 of 100 entries, 2 failed, 3 in flight, 2/s, 30 s left"
    assert describe(at(40, 10, throttled=7), 2.0, room=45) == "40 of 100 entries, 2 failed, 2/s, 30 s left"
    assert describe(at(40, 10, throttled=7), 2.0, room=10) == "40 of 100 entries, 2 failed, 30 s left"


def test_the_line_of_a_stream() -> None:
    """Of a manifest whose length nobody knows, no time is promised."""
    assert describe(at(1, 10, total=None), 2.0) == "1 entry, 2 failed, 3 in flight, 2/s"


@pytest.mark.parametrize(
    ("per_s", "left"), [(100.0, "1 s left"), (1.0, "1 min 40 s left"), (0.01, "2 h 46 min left"), (0.0, "0/s")]
)
def test_time_left(per_s: float, left: str) -> None:
    """Time left is given in two units at most, and not at all while nothing moves."""
    assert describe(at(0, 10), per_s).endswith(left)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A run that slowed down shows its rate of now, not that of its beginning."""
    meter = Meter()
    for second in range(20):
        meter.per_s(at(second * 100, second))
    rates = [meter.per_s(at(2000 + second, 20 + second)) for second in range(15)]
    assert rates[-1] == pytest.approx(1.0)


async def test_the_last_line_is_always_written(capsys: pytest.CaptureFixture[str]) -> None:
    """However short the run, its log says once how far it came."""
    async with anyio.create_task_group() as group:
        group.start_soon(show_lines, Output(), lambda: at(100, 2.0))
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "100 of 100 entries, 2 failed, 3 in flight, 50/s\n"


async def test_the_bar_takes_messages_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged while the bar is shown is not overwritten by it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    async with anyio.create_task_group() as group:
        group.start_soon(show_bar, Output(colour=False), lambda: at(40, 10))
        await anyio.wait_all_tasks_blocked()
        sys.stderr.write("a line of the log\n")
        group.cancel_scope.cancel()
    assert "a line of the log\n" in terminal.getvalue()
    assert "40 of 100 entries" in terminal.getvalue()
    assert sys.stderr is terminal


def test_nothing_is_said_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything was read there is no line; then it says what there is, and no zeros."""
    looks = iter([(0, 0), (0, 3), (1, 3), (0, 0)])

    async def look() -> None:
        await show_reading(Output(), lambda: read_so_far(*next(looks)), lambda: anyio.sleep(17))

    virtual.run(look)
    assert capsys.readouterr().err.splitlines() == [
        "reading the account: 3 requests",
        "reading the account: 1 thing, 3 requests",
    ]
