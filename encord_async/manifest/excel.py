"""Rows of a sheet of Excel, one at a time. The door of openpyxl; it calculates nothing, and never writes a file.

Of a formula there is what Excel made of it last. The texts of a file are kept apart from its sheets, and are held.
"""

import datetime as dt
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any, BinaryIO, Final
from xml.etree.ElementTree import ParseError

from encord_async.errors import MissingExtraError
from encord_async.kinds.fields import meant, shown
from encord_async.manifest.lines import Unreadable

__all__ = ["EXCEL", "excel_rows", "sheet_of"]

EXCEL: Final = ".xlsx"
MAX_EXCEL_BYTES: Final = 256 * 2**20
"""The largest part of an Excel file, unpacked, but for its sheets, which are read row by row."""
MAX_ROW_BYTES: Final = 16 * 2**20
"""The largest row of a sheet, unpacked."""

_BLOCK_BYTES: Final = 2**16
_ROW_BEGINS: Final = re.compile(rb"<(?:[\w.-]{1,16}:)?row[\s/>]")
_TAIL_BYTES: Final = 24
"""More than the beginning of a row has, less than a row that holds anything."""

_PREFIX: Final = rb"(?:[\w.-]{1,16}:)?"
_UNKNOWN: Final = re.compile(
    rb"<%(p)sc\s(?![^>]{0,200}\bt=.str)[^>]{0,200}\br=.([A-Z]{1,3}(\d{1,7})).[^>]*>\s*"
    rb"<%(p)sf(?:\s[^>]*)?(?:/>|>[^<]*</%(p)sf>)\s*(?:<%(p)sv\s*/>|<%(p)sv>\s*</%(p)sv>)?\s*</%(p)sc>" % {b"p": _PREFIX}
)
"""A cell with a formula and no value; of a text that is empty Excel says that it is one."""
_MERGED: Final = re.compile(rb"<%smergeCell\s[^>]{0,200}\bref=.([A-Z]{1,3}(\d{1,7}):[A-Z]{1,3}\d{1,7})" % _PREFIX)
_LONGEST_CELL: Final = 2**15
"""More than a cell has with the longest formula that Excel takes."""

_MAX_ROWS: Final = 2**20
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    ParseError,
    EOFError,
    NotImplementedError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What openpyxl raises on files that are not what it takes them for."""


def sheet_of(manifest: str | PathLike[str]) -> tuple[Path, str | None]:
    """The file of *manifest*, and the sheet that is named behind it: ``teams.xlsx#Sheet``."""
    text = str(manifest)
    # A sheet may have the mark in its name.
    end = text.lower().find(f"{EXCEL}#")
    if end < 0:
        return Path(manifest), None
    end += len(EXCEL)
    return Path(text[:end]), text[end + 1 :]


def excel_rows(stream: BinaryIO, source: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers and cells of rows that are not blank, of the sheet that *source* names, or of the first.

    Raises:
        Unreadable: It is no Excel file, has no such sheet, or a cell of it is an error.
        MissingExtraError: openpyxl is not installed.
    """
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise MissingExtraError("Excel manifests need openpyxl: pip install 'encord-async[xlsx]'") from error
    # It has no types.
    load: Any = openpyxl.load_workbook
    line = 1
    try:
        _refuse_bombs(stream)
        book = load(stream, read_only=True, data_only=True, keep_links=False)
        sheet = _sheet(book.worksheets, sheet_of(source)[1])
        # Some programs write a wrong extent into their files.
        sheet.reset_dimensions()
        # There is no other way to its part of the file.
        hidden = _first_hidden(stream, sheet._worksheet_path)  # noqa: SLF001
        for line, row in enumerate(sheet.iter_rows(max_row=_MAX_ROWS), 1):
            if hidden is not None and line >= hidden.line:
                raise hidden
            cells = [_text(cell, line) for cell in row]
            if any(cells):
                yield line, cells
    except (*_BROKEN, InvalidFileException) as error:
        what = str(error) or type(error).__name__
        reason = f"cannot be read as an Excel file: {what}; nothing after it was read"
        raise Unreadable(line, reason, "save it anew, or as CSV") from error


def _refuse_bombs(stream: BinaryIO) -> None:
    """See to it that there is room for what openpyxl holds at once: of sheets a row, of all else the whole part."""
    with zipfile.ZipFile(stream) as parts:
        for part in parts.infolist():
            # No more is unpacked of a part than it says that it has.
            if not part.filename.startswith("xl/worksheets/"):
                if part.file_size > MAX_EXCEL_BYTES:
                    most = f"{MAX_EXCEL_BYTES // 2**20} MiB"
                    raise Unreadable(1, f"holds the part {shown(part.filename)} of more than {most}", "use CSV")
            elif part.file_size > MAX_ROW_BYTES:
                with parts.open(part) as sheet:
                    _refuse_long_rows(sheet)


def _refuse_long_rows(sheet: IO[bytes]) -> None:
    """See to it that no row of *sheet*, nor what stands before or behind them, is longer than may be held at once."""
    text, offset, last, line = b"", 0, 0, 1
    while block := sheet.read(_BLOCK_BYTES):
        # The end of the block before it: the beginning of a row may lie across the two.
        tail = text[-_TAIL_BYTES:]
        offset += len(text) - len(tail)
        text = tail + block
        places = [offset + begin.start() for begin in _ROW_BEGINS.finditer(text)]
        for place in (*places, offset + len(text)):
            if place - last > MAX_ROW_BYTES:
                reason = f"holds a row of more than {MAX_ROW_BYTES // 2**20} MiB, unpacked; nothing of it was read"
                raise Unreadable(line, reason, "make its cells shorter, or use CSV")
            if place > last and place != offset + len(text):
                last, line = place, line + 1


def _first_hidden(stream: BinaryIO, part: str) -> Unreadable | None:
    """What is wrong with the first row that has cells which people see filled, and which are empty in the file."""
    found: dict[int, Unreadable] = {}
    with zipfile.ZipFile(stream) as parts, parts.open(part) as sheet:
        text = b""
        while block := sheet.read(_BLOCK_BYTES):
            text = text[-_LONGEST_CELL:] + block
            for one in (_UNKNOWN.search(text), *_MERGED.finditer(text)):
                if one is not None:
                    line = int(one[2])
                    found.setdefault(line, _hidden(line, one[1].decode()))
            if len(found) > 1:
                found = {min(found): found[min(found)]}
    return next(iter(found.values()), None)


def _hidden(line: int, where: str) -> Unreadable:
    if ":" in where:
        reason, hint = f"merges the cells {where}, of which only the first holds anything", "unmerge and fill them"
    else:
        reason = f"holds a formula in {where} that no program has calculated"
        hint = "open the file in Excel and save it, or write the value"
    return Unreadable(line, f"{reason}; nothing after it was read", hint)


def _sheet(sheets: Sequence[Any], wanted: str | None) -> Any:
    if wanted is None:
        return sheets[0]
    found = next((sheet for sheet in sheets if sheet.title == wanted), None)
    if found is None:
        names = [sheet.title for sheet in sheets]
        hint = meant(wanted, names) or f"it has {', '.join(map(shown, names))}"
        raise Unreadable(1, f"has no sheet {shown(wanted)}", hint)
    return found


def _text(cell: Any, line: int) -> str:
    """The text of a cell, as CSV has it."""
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        raise Unreadable(line, f"holds the error {shown(value)}; nothing after it was read", "mend the formula")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return str(value).strip()
