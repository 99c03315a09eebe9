"""How far a run is, on standard error: a bar on a terminal, else a line now and then.

Nothing here goes to standard output.
"""

import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

import anyio

from encord_async.cli.output import Output, many
from encord_async.errors import EncordError

if TYPE_CHECKING:
    from encord_async.engine.options import Progress

__all__ = ["Meter", "describe", "show_bar", "show_lines", "show_reading"]

_WINDOW_S: Final = 10.0
_WELL: Final = "green"
"""Rich's own bar is red from the first."""
_BAR_EVERY_S: Final = 0.2
_LINE_EVERY_S: Final = 5.0


class Meter:
    """Entries and removals per second over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def per_s(self, progress: "Progress") -> float:
        """The rate, given where the run is now."""
        done = _done(progress)
        self._seen.append((progress.elapsed_s, done))
        while len(self._seen) > 2 and self._seen[1][0] <= progress.elapsed_s - _WINDOW_S:
            self._seen.popleft()
        then_s, ended = self._seen[0]
        if progress.elapsed_s > then_s:
            return (done - ended) / (progress.elapsed_s - then_s)
        return done / progress.elapsed_s if progress.elapsed_s > 0 else 0.0


def describe(progress: "Progress", per_s: float, *, room: int | None = None) -> str:
    """One line: done and total, removals, failed, in flight, rate, throttled, time left; as far as there is *room*."""
    done = many(progress.ended, "entry", "entries")
    if progress.total is not None:
        done = f"{progress.ended:,} of {many(progress.total, 'entry', 'entries')}"
    if progress.removals:
        done += f", {progress.removals_ended:,} of {many(progress.removals, 'removal', 'removals')}"
    in_flight = f"{progress.statistics.in_flight:,} in flight"
    throttled = f"{progress.statistics.throttled:,} throttled" if progress.statistics.throttled else ""
    left = ""
    total = _total(progress)
    if total is not None and per_s > 0 and _done(progress) < total:
        left = f"{_span((total - _done(progress)) / per_s)} left"
    parts = [done, f"{progress.failed:,} failed", in_flight, f"{per_s:,.0f}/s", throttled, left]
    for least in (throttled, in_flight, f"{per_s:,.0f}/s"):
        if room is not None and len(_joined(parts)) > room:
            parts.remove(least)
    return _joined(parts)


def _done(progress: "Progress") -> int:
    return progress.ended + progress.removals_ended


def _total(progress: "Progress") -> int | None:
    return None if progress.total is None else progress.total + progress.removals


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)


def _span(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


async def show_bar(output: Output, look: "Callable[[], Progress]") -> None:
    """Keep a bar up to date until cancelled; what else is written to standard error goes above it."""
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    meter = Meter()
    console = output.console(err=True)
    rail = BarColumn(bar_width=min(24, console.width // 5), finished_style=_WELL)
    columns = (rail, TextColumn("{task.description}", markup=False))
    # Without a thread of its own: it is refreshed here.
    bar = Bar(*columns, console=console, auto_refresh=False, transient=True)
    task = bar.add_task("")
    with bar:
        while True:
            progress = look()
            room = console.width - min(24, console.width // 5) - 1
            text = describe(progress, meter.per_s(progress), room=room)
            rail.complete_style = "red" if progress.failed else _WELL
            bar.update(task, total=_total(progress), completed=_done(progress), description=text, refresh=True)
            await anyio.sleep(_BAR_EVERY_S)


async def show_lines(output: Output, look: "Callable[[], Progress]", *, every_s: float = _LINE_EVERY_S) -> None:
    """Write a line every few seconds until cancelled, and one at the end."""
    meter = Meter()
    meter.per_s(look())
    try:
        while True:
            await anyio.sleep(every_s)
            progress = look()
            output.say(describe(progress, meter.per_s(progress)))
    finally:
        progress = look()
        output.say(describe(progress, progress.ended / progress.elapsed_s if progress.elapsed_s else 0.0))


async def show_reading(output: Output | None, look: Callable[[], str], work: Callable[[], Awaitable[None]]) -> None:
    """Do *work*, and show meanwhile what *look* says of it, if anything: all the time on a terminal, else now and then.

    Raises:
        EncordError: As *work*.
    """
    failure: EncordError | None = None
    async with anyio.create_task_group() as group:
        if output is not None and not output.json:
            group.start_soon(_show_text if sys.stderr.isatty() else _say_text, output, look)
        try:
            await work()
        except EncordError as error:
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _show_text(output: Output, look: Callable[[], str]) -> None:
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn

    text = TextColumn("{task.description}", markup=False)
    bar = Bar(text, console=output.console(err=True), auto_refresh=False, transient=True)
    task = bar.add_task("")
    with bar:
        try:
            while True:
                bar.update(task, description=look(), refresh=True)
                await anyio.sleep(_BAR_EVERY_S)
        finally:
            # However short it was.
            bar.update(task, description=look(), refresh=True)


async def _say_text(output: Output, look: Callable[[], str]) -> None:
    while True:
        await anyio.sleep(_LINE_EVERY_S)
        text = look()
        if text:
            output.say(text)
