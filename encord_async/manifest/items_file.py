"""Files of rows beside a manifest, each a file in a cloud: JSON lines, CSV, or the JSON of Encord's own upload.

Read once when the manifest is, which notes where each block begins, and then block by block: never held as a whole. A
file that has changed in between is told. It never writes.
"""

import csv
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from pydantic import ValidationError

from encord_async.errors import SettingsError
from encord_async.kinds.fields import meant, shown, sort_of
from encord_async.kinds.files import BLOCK_ITEMS, Block, DataItem, block_of
from encord_async.kinds.strict_json import strict_json
from encord_async.kinds.uploads import UPLOAD_FLAGS, UPLOAD_LISTS, uploaded
from encord_async.plainfile import open_plain
from encord_async.protocol.cloud_files import CloudFile, CloudItem

__all__ = ["ItemsFile", "read_items_file"]

_CHUNK: Final = 1 << 16
_MOST_OF_A_ROW: Final = 16 * 2**20


class _Row(NamedTuple):
    """A row, where it begins, and the list that it is in."""

    offset: int
    sort: str
    item: CloudItem


@dataclass(frozen=True, slots=True)
class ItemsFile:
    """A file of rows that was read through once; see `Files`."""

    path: Path
    blocks: tuple[Block, ...]

    def read(self, block: Block) -> tuple[CloudItem, ...]:
        """See `Files`."""
        try:
            with os.fdopen(open_plain(self.path, os.O_RDONLY), "rb") as stream:
                rows = _reader(self.path)(stream, block.offset, block.sort)
                items = tuple(row.item for row in itertools.islice(rows, block.size))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self.path} cannot be read any more: {error}") from None
        if block_of(block.first, items).digest != block.digest:
            raise SettingsError(f"{self.path} has been changed since it was checked; begin again")
        return items


def read_items_file(path: Path) -> ItemsFile:
    """Read the file at *path* through.

    Raises:
        OSError: It cannot be opened.
        ValueError: It holds something else, in words that name the row.
    """
    blocks: list[Block] = []
    number = 0
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as stream:
        rows = _numbered(_reader(path)(stream, 0, ""))
        for sort, some in itertools.groupby(rows, key=lambda row: row.sort):
            while block := list(itertools.islice(some, BLOCK_ITEMS)):
                items = [row.item for row in block]
                blocks.append(block_of(number + 1, items, offset=block[0].offset, sort=sort))
                number += len(block)
    if not blocks:
        raise ValueError("it has no rows")
    return ItemsFile(path, tuple(blocks))


class _HeaderError(ValueError):
    """What is wrong is no row."""


def _numbered(rows: Iterator[_Row]) -> Iterator[_Row]:
    number = 1
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except _HeaderError:
            raise
        except ValueError as error:
            raise ValueError(f"row {number}: {error}; nothing after it was read") from None
        yield row
        number += 1


_Reader: TypeAlias = Callable[[BinaryIO, int, str], Iterator[_Row]]


def _reader(path: Path) -> _Reader:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"its suffix says nothing of what it holds; use one of {', '.join(_READERS)}")
    return reader


def _item(raw: object) -> CloudFile:
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be an object with a 'url', not {sort_of(raw)}")
    try:
        return DataItem.model_validate(raw).cloud_file()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = {"missing": "is missing", "extra_forbidden": f"is not a field; use {', '.join(DataItem.model_fields)}"}
        raise ValueError(f"{where}: {what.get(first['type'], first['msg'])}" if where else first["msg"]) from None


# ---------------------------------------------------------------------- lines


def _json_lines(stream: BinaryIO, offset: int, sort: str) -> Iterator[_Row]:
    for at, line in _lines(stream, offset):
        if line.strip():
            yield _Row(at, sort, _item(_json(line)))


def _json(text: bytes) -> object:
    try:
        return strict_json(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from None


def _lines(stream: BinaryIO, offset: int) -> Iterator[tuple[int, bytes]]:
    stream.seek(offset)
    while line := stream.readline(_MOST_OF_A_ROW):
        yield offset, line
        offset += len(line)


def _csv(stream: BinaryIO, offset: int, sort: str) -> Iterator[_Row]:
    header = stream.readline(_MOST_OF_A_ROW)
    if not header:
        return
    text = header.decode("utf-8-sig", "replace")
    delimiter = max(",;\t", key=text.count)
    try:
        names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter))]
    except csv.Error as error:
        raise ValueError(f"is not CSV: {error}") from None
    unknown = [name for name in names if name not in DataItem.model_fields]
    if unknown or "url" not in names:
        what = f"{shown(unknown[0])} is no column" if unknown else "the column 'url' is missing"
        guess = meant(unknown[0], DataItem.model_fields) if unknown else ""
        raise _HeaderError(f"the header: {what}; {guess or 'use some of ' + ', '.join(DataItem.model_fields)}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _HeaderError(f"the header: {shown(twice)} is the name of two columns")
    places = _Places(_lines(stream, max(offset, len(header))))
    rows = csv.reader(places, delimiter=delimiter, strict=True)
    while True:
        places.first = _NONE
        try:
            cells = [cell.strip() for cell in next(rows)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"is not CSV: {error}") from None
        if len(cells) > len(names):
            raise ValueError(f"has {len(cells)} cells, and there are {len(names)} columns")
        if any(cells):
            said = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
            yield _Row(places.first, sort, _item(said))


_NONE: Final = -1


class _Places(Iterator[str]):
    """Lines as text, of which it is known where the first since it was forgotten begins."""

    def __init__(self, lines: Iterator[tuple[int, bytes]]) -> None:
        self._lines = lines
        self.first = _NONE

    def __next__(self) -> str:
        at, line = next(self._lines)
        self.first = at if self.first == _NONE else self.first
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None


# ---------------------------------------------------------------------- the JSON of Encord's own upload


def _upload(stream: BinaryIO, offset: int, sort: str) -> Iterator[_Row]:
    """Rows of the JSON that Encord's own upload takes. Source: vendor's page on registering cloud data."""
    scanner = _Scanner(stream, offset)
    if sort:
        yield from _list(scanner, sort)
        return
    scanner.take("{")
    while scanner.peek() != "}":
        name = scanner.value()[1]
        scanner.take(":")
        if name in UPLOAD_LISTS:
            scanner.take("[")
            if scanner.peek() != "]":
                yield from _list(scanner, str(name))
            scanner.take("]")
        elif name in UPLOAD_FLAGS:
            scanner.value()
        else:
            known = ", ".join(UPLOAD_LISTS)
            raise ValueError(f"{shown(name)} is no list of files that can be registered; use {known}")
        if scanner.peek() != "}":
            scanner.take(",")
    scanner.take("}")
    scanner.end()


def _list(scanner: "_Scanner", sort: str) -> Iterator[_Row]:
    """The rows of a list, to its end; the scanner is before a value."""
    while True:
        at, raw = scanner.value()
        yield _Row(at, sort, uploaded(raw, sort))
        if scanner.peek() == "]":
            return
        scanner.take(",")


class _Scanner:
    """JSON, value by value, from *offset* on. In it each character is a byte: a value is read again as UTF-8."""

    def __init__(self, stream: BinaryIO, offset: int) -> None:
        stream.seek(offset)
        self._stream = stream
        self._text, self._at, self._before = "", 0, offset
        self._decoder = json.JSONDecoder()
        if offset == 0 and self.peek() == "\xef":
            self._at += 3

    def _more(self) -> bool:
        chunk = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._before += self._at
        self._text, self._at = self._text[self._at :] + chunk.decode("latin-1"), 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is not blank; nothing at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\r\n":
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        """Pass over *wanted*."""
        if self.peek() != wanted:
            raise ValueError(f"is not JSON: there should be {wanted!r} at byte {self._before + self._at}")
        self._at += 1

    def end(self) -> None:
        """See to it that nothing follows."""
        if self.peek():
            raise ValueError(f"is not JSON: there is more after its end, at byte {self._before + self._at}")

    def value(self) -> tuple[int, object]:
        """The next value, and where it begins."""
        self.peek()
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                why = f"is not JSON: {error.msg} at byte {self._before + error.pos}"
            except RecursionError:
                raise ValueError("is nested too deeply") from None
            except ValueError:
                # The one that is left, as in `strict_json`.
                raise ValueError("holds a number with too many digits") from None
            else:
                # A number or a word may go on behind what was read so far.
                if end < len(self._text) or not self._more():
                    break
                continue
            if len(self._text) - self._at > _MOST_OF_A_ROW or not self._more():
                raise ValueError(why)
        begin = self._before + self._at
        text = self._text[self._at : end]
        self._at = end
        return begin, _json(text.encode("latin-1"))


_READERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".tsv": _csv, ".json": _upload}
)
