"""Tables to entries: CSV as spreadsheets and people write it, and sheets of Excel. It never holds more than a row.

What separates columns is seen in the header alone: it is never guessed from cells, which may hold lists.
"""

import csv
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, TypeAlias

from encord_async.manifest.cells import Columns
from encord_async.manifest.excel import excel_rows
from encord_async.manifest.lines import MAX_LINE_BYTES, Unreadable, numbered_lines, too_long, without_blank_end
from encord_async.manifest.place import Place, PlacedEntry, Problem

__all__ = ["csv_rows", "read_csv", "read_excel"]

_DELIMITERS: Final = ",;\t"
_QUOTED: Final = re.compile('"[^"]*"')
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)
"""How Excel may begin a file, to say what separates its columns."""

Row: TypeAlias = tuple[int, list[str]]
"""The line where it begins, and its cells without blanks at their ends."""
Item: TypeAlias = PlacedEntry | Problem


# ---------------------------------------------------------------------- rows of cells


def csv_rows(stream: BinaryIO, source: str) -> Iterator[Row]:
    """Rows of CSV that are not blank, the header first; by quotes a row may be spread over several lines.

    Raises:
        Unreadable: What comes next is not CSV.
        ManifestError: It is encoded in UTF-16.
    """
    lines = _text(stream, source)
    before, header, delimiter = 0, "", None
    for header in lines:
        said = _SEPARATOR_LINE.fullmatch(header)
        delimiter = said[1] if said and delimiter is None else delimiter
        if header.strip() and not said:
            break
        before += 1
    rows = csv.reader(
        itertools.chain([header], lines),
        delimiter=delimiter or _delimiter(header),
        strict=True,
        skipinitialspace=True,
    )
    while True:
        line = before + rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error).partition(" - ")[0]
            raise Unreadable(line, f"is not CSV: {reason}; nothing after it was read", _csv_hint(error)) from error
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield line, cells


def _text(stream: BinaryIO, source: str) -> Iterator[str]:
    for line, data in numbered_lines(stream, source):
        if len(data) > MAX_LINE_BYTES:
            raise Unreadable(line, too_long(), "use JSONL")
        # What is no UTF-8 is found again in its cell, so that the problem can name the field.
        yield data.decode(errors="surrogateescape")


def _delimiter(header: str) -> str:
    """What separates columns. `csv.Sniffer` takes what a list in a cell is separated by for that, or finds nothing."""
    outside = _QUOTED.sub("", header)
    return max(_DELIMITERS, key=outside.count)


def _csv_hint(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "its lines end as nobody ends them any more: save it anew as CSV"
    return "use JSONL for long lists" if "field limit" in str(error) else "is a quote not closed, or not doubled?"


# ---------------------------------------------------------------------- entries


def read_csv(stream: BinaryIO, source: str) -> Iterator[Item]:
    """The rows of a table of CSV as entries."""
    return _read(csv_rows(stream, source), source)


def read_excel(stream: BinaryIO, source: str) -> Iterator[Item]:
    """The rows of an Excel sheet as entries."""
    return _read(excel_rows(stream, source), source)


def _read(rows: Iterator[Row], source: str) -> Iterator[Item]:
    columns: Columns | None = None
    number = 0
    try:
        for line, row in rows:
            if columns is None:
                columns = Columns(without_blank_end(row))
                problems = columns.problems(Place(source, line, 0))
                yield from problems
                if problems:
                    # Leaving out a column would make things that nobody asked for.
                    return
            else:
                number += 1
                place = Place(source, line, number)
                entry = columns.entry(without_blank_end(row), place)
                if isinstance(entry, tuple):
                    yield from entry
                else:
                    yield PlacedEntry(place, entry)
    except Unreadable as fault:
        yield fault.problem(source, number + 1)
