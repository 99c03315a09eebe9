"""Where a command's words go: results to standard output, everything else to standard error.

With ``json`` exactly one object goes to standard output. Decides nothing and knows no verb.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import click

from encord_async.errors import many

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "many", "on_terminal", "plain"]

_HASH: Final = re.compile(r"\(?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\S?")
_PIPE_WIDTH = 500
"""Columns of a table that goes to a file or another program, which would not want its lines broken."""


def plain(text: str) -> str:
    """*text* as one line with nothing in it that a terminal would obey.

    All that is printed or logged for people passes through here: a title or hash must not look like a line of ours.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def on_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a command speaks.

    Attributes:
        json: One JSON object on standard output, and nothing else there.
        colour: Whether colour may be used where a terminal shows it.
        verbose: Whether details are wanted, tracebacks of bugs among them.
    """

    json: bool = False
    colour: bool = True
    verbose: bool = False
    _given: list[Mapping[str, object]] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, *, json: bool, no_color: bool, verbose: bool) -> "Output":
        """From the options; ``NO_COLOR`` in the environment counts too (no-color.org)."""
        return cls(json=json, colour=not (no_color or os.environ.get("NO_COLOR")), verbose=verbose)

    def result(self, value: Mapping[str, object]) -> None:
        """With ``json`` print the one object; whatever goes wrong after it does not become a second one."""
        if self.json and not self._given:
            self._given.append(value)
            click.echo(json.dumps(value))

    def line(self, text: str = "", *, bold: bool = False, fg: str | None = None) -> None:
        """Print a line for people on standard output; nothing with ``json``."""
        if not self.json:
            click.echo(_styled(text, bold=bold, fg=fg), color=self._color)

    def say(self, text: str, *, bold: bool = False, fg: str | None = None) -> None:
        """Print a line on standard error."""
        click.echo(_styled(text, bold=bold, fg=fg), err=True, color=self._color)

    def error(self, message: str, hint: str = "") -> None:
        """Print an error on standard error."""
        click.echo(click.style("error:", fg="red", bold=True) + f" {plain(message)}", err=True, color=self._color)
        if hint:
            click.echo(click.style("hint:", bold=True) + f" {plain(hint)}", err=True, color=self._color)

    def warning(self, message: str) -> None:
        """Print a warning on standard error; nothing with ``json``, which has a place for them."""
        if self.json:
            return
        click.echo(click.style("warning:", fg="yellow", bold=True) + f" {plain(message)}", err=True, color=self._color)

    def table(
        self,
        rows: Iterable[Sequence[object]],
        *,
        head: Sequence[str] = (),
        right: Iterable[int] = (),
        colours: Mapping[int, Mapping[str, str]] | None = None,
        err: bool = False,
    ) -> None:
        """Print a table on standard output; nothing with ``json``.

        Args:
            rows: The cells.
            head: Titles of the columns.
            right: Columns of numbers.
            colours: For a column, the style of a row by what its cell says.
            err: On standard error, whether with ``json`` or without.
        """
        if self.json and not err:
            return
        from rich.table import Table
        from rich.text import Text

        numbers = frozenset(right)
        table = Table(box=None, show_header=bool(head), header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        shown = [[plain(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row] for row in rows]
        width = max([len(head), *map(len, shown)], default=0)
        console = self.console(err=err)
        widths = [max((len(row[index]) for row in shown if index < len(row)), default=0) for index in range(width)]
        is_narrow = sum(widths) + 2 * width > console.width
        for index in range(width):
            title = head[index] if index < len(head) else ""
            # A hash in two pieces can neither be read nor be copied.
            hashes = [len(found) for row in shown if index < len(row) for found in _HASH.findall(row[index])]
            side: Literal["left", "right"] = "right" if index in numbers else "left"
            table.add_column(
                title, justify=side, overflow="fold", width=max(hashes, default=None) if is_narrow else None
            )
        for row in shown:
            styles = [style[row[index]] for index, style in (colours or {}).items() if row[index] in style]
            table.add_row(*map(Text, row), style=styles[0] if styles else None)
        with console.capture() as captured:
            console.print(table)
        # rich fills the last column up with blanks.
        click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), err=err, color=self._color)

    def console(self, *, err: bool = False) -> "Console":
        """A rich console on standard output, or on standard error."""
        from rich.console import Console

        stream = sys.stderr if err else sys.stdout
        return Console(
            file=stream,
            width=None if stream.isatty() else _PIPE_WIDTH,
            color_system="auto" if self.colour else None,
            markup=False,
            highlight=False,
            emoji=False,
        )

    @property
    def _color(self) -> bool | None:
        return None if self.colour else False


def _styled(text: str, *, bold: bool, fg: str | None) -> str:
    return click.style(plain(text), bold=bold, fg=fg) if bold or fg else plain(text)
