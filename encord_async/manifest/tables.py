"""Tables to entries: CSV as spreadsheets and people write it, and sheets of Excel. It never holds more than a row.

What separates columns is seen in the header alone: it is never guessed from cells, which may hold lists.
"""

import csv
import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import Part, meant
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.excel import excel_rows
from encord_async.manifest.lines import MAX_LINE_BYTES, Unreadable, numbered_lines, too_long
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.reading import read_entry

__all__ = ["ListColumn", "csv_rows", "known_columns", "list_columns", "read_csv", "read_excel"]

_DELIMITERS: Final = MappingProxyType({",": "commas", ";": "semicolons", "\t": "tabs"})
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
            raise Unreadable(line, f"is not CSV: {error}; nothing after it was read", _csv_hint(error)) from error
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
    return "use JSONL for long lists" if "field limit" in str(error) else "is a quote not closed, or not doubled?"


# ---------------------------------------------------------------------- what columns may hold

_PROSE: Final = frozenset({"title", "description", "name"})
_NO_COLUMNS: Final = MappingProxyType(
    {"api_keys": "give each key a row of kind project_api_key", "structure": "name a file: structure_file"}
)
_EXAMPLES: Final = MappingProxyType(
    {
        "datasets": "@raw;@more",
        "add": "@raw;@more",
        "users": "ann@x.org=annotator;bob@x.org=reviewer",
        "emails": "ann@x.org;bob@x.org",
        "members": "ann@x.org;@bob",
        "scopes": "label.read;label.write",
        "copy_options": "datasets;collaborators",
    }
)


class ListColumn(NamedTuple):
    """How a cell that holds a list is written: an example, and the names of both halves if its items are pairs."""

    example: str
    pair: tuple[str, str] | None = None


def known_columns() -> tuple[str, ...]:
    """All fields of all kinds, those aside that no cell can hold."""
    fields = dict.fromkeys(name for model in ENTRY_MODELS.values() for name in model.model_fields)
    return tuple(name for name in fields if name not in _NO_COLUMNS)


def list_columns() -> Mapping[str, ListColumn]:
    """The columns whose cells hold lists, from the models of the kinds."""
    found: dict[str, ListColumn] = {}
    for model in ENTRY_MODELS.values():
        for name, field in model.model_fields.items():
            if name in known_columns() and _is_list(field.annotation):
                part = model.parts.get(name)
                pair = None if part is None else _pair(part)
                plain = "a;b" if pair is None else "a={1};b={1}".format(*pair)
                found.setdefault(name, ListColumn(_EXAMPLES.get(name, plain), pair))
    return found


def _is_list(annotation: object) -> bool:
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType, typing.Annotated}:
        return any(map(_is_list, typing.get_args(annotation)))
    return origin is tuple


def _pair(part: type[Part]) -> tuple[str, str] | None:
    match list(part.model_fields):
        case [first, second]:
            return first, second
    return None


# ---------------------------------------------------------------------- entries


def read_csv(stream: BinaryIO, source: str) -> Iterator[Item]:
    """The rows of a table of CSV as entries."""
    return _read(csv_rows(stream, source), source)


def read_excel(stream: BinaryIO, source: str) -> Iterator[Item]:
    """The rows of an Excel sheet as entries."""
    return _read(excel_rows(stream, source), source)


def _read(rows: Iterator[Row], source: str) -> Iterator[Item]:
    table: _Table | None = None
    number = 0
    try:
        for line, row in rows:
            if table is None:
                table = _Table(_without_blank_end(row))
                problems = table.problems(Place(source, line, 0))
                yield from problems
                if problems:
                    # Leaving out a column would make things that nobody asked for.
                    return
            else:
                number += 1
                place = Place(source, line, number)
                entry = table.read(_without_blank_end(row), place)
                if isinstance(entry, tuple):
                    yield from entry
                else:
                    yield PlacedEntry(place, entry)
    except Unreadable as fault:
        yield fault.problem(source, number + 1)


def _without_blank_end(row: list[str]) -> list[str]:
    """Spreadsheets fill rows up to the longest one that they ever had."""
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return row[:end]


class _Table:
    """Knows the columns, and what their cells may hold."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._lists = list_columns()

    def problems(self, place: Place) -> list[Problem]:
        """What is wrong with the header."""
        problems = []
        fields = known_columns()
        for position, name in enumerate(self._columns):
            if name in self._columns[:position]:
                problems.append(Problem(place, _column(name, position), "is the name of two columns"))
            elif name in _NO_COLUMNS:
                problems.append(Problem(place, name, "is not a column", _NO_COLUMNS[name]))
            elif name not in fields:
                hint = meant(name, fields) or f"use some of {', '.join(fields)}"
                problems.append(Problem(place, _column(name, position), "is not a column", hint))
        if "kind" not in self._columns:
            problems.append(
                Problem(place, "kind", "is missing", "the first line names the columns, and one has to be 'kind'")
            )
        return problems

    def read(self, row: Sequence[str], place: Place) -> Entry | tuple[Problem, ...]:
        """The entry of a row."""
        if len(row) > len(self._columns):
            reason = f"has {len(row)} cells, and there are {len(self._columns)} columns"
            return (Problem(place, "", reason, f"put cells in quotes that hold {' or '.join(_DELIMITERS.values())}"),)
        entry: dict[str, object] = {}
        for name, cell in zip(self._columns, row, strict=False):
            if not cell.isascii() and not _is_whole(cell):
                return (Problem(place, name, "is not UTF-8", "save the file as UTF-8"),)
            if cell:
                entry[name] = self._value(name, cell)
        read = read_entry(entry, place)
        return tuple(map(self._with_form, read)) if isinstance(read, tuple) else read

    def _value(self, name: str, cell: str) -> object:
        column = self._lists.get(name)
        if column is None:
            return cell
        items = _split(cell)
        return items if column.pair is None else [_halves(item, *column.pair) for item in items]

    def _with_form(self, problem: Problem) -> Problem:
        """*problem* with the form in which the cell is written, if it is one of a list."""
        column = self._lists.get(problem.field.partition(".")[0])
        if column is None or problem.field.partition(".")[0] not in self._columns:
            return problem
        form = f"write the cell as {column.example}"
        return replace(problem, hint=f"{problem.hint}; {form}" if problem.hint else form)


def _column(name: str, position: int) -> str:
    return name if name and name.isprintable() and len(name) <= 60 else f"column {position + 1}"


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(cell: str) -> list[str]:
    # A key may hold blanks; whoever writes semicolons can name it.
    parts = cell.split(";") if ";" in cell else cell.split()
    return [part.strip() for part in parts if part.strip()]


def _halves(text: str, first: str, second: str) -> dict[str, str]:
    left, equals, right = text.rpartition("=")
    return {first: left.strip(), second: right.strip()} if equals else {first: text}
