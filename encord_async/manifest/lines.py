"""The lines of a file, each at most so long, and what is said of a file that cannot be read on. It parses nothing."""

import codecs
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from encord_async.errors import ManifestError
from encord_async.manifest.place import Place, Problem

__all__ = [
    "MAX_LINE_BYTES",
    "Unreadable",
    "is_whole",
    "numbered_lines",
    "too_long",
    "without_blank_end",
    "without_mark",
]

MAX_LINE_BYTES: Final = 16 * 2**20
"""The longest line of a manifest."""


class Unreadable(Exception):
    """The file cannot be read on from *line*."""

    def __init__(self, line: int, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.hint = hint

    def problem(self, source: str, number: int) -> Problem:
        """The same as what is wrong with entry *number*."""
        return Problem(Place(source, self.line, number), "", self.reason, self.hint)


def numbered_lines(stream: BinaryIO, source: str) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of lines; of a line longer than `MAX_LINE_BYTES` a beginning that is longer too."""
    # A UTF-8 BOM does not count.
    most = MAX_LINE_BYTES + len(codecs.BOM_UTF8) + 1
    number = 0
    while line := stream.readline(most):
        number += 1
        yield number, without_mark(line, source) if number == 1 else line
        while len(line) == most and not line.endswith(b"\n"):
            line = stream.readline(most)


def without_mark(start: bytes, source: str) -> bytes:
    """The first bytes of a file without the mark that some editors put there.

    Raises:
        ManifestError: The mark is one of UTF-16.
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ManifestError(f"{source} is encoded in UTF-16; save it as UTF-8")
    return start.removeprefix(codecs.BOM_UTF8)


def is_whole(text: str) -> bool:
    """Whether *text* was UTF-8: what is none comes as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_blank_end(row: Sequence[str]) -> list[str]:
    """*row* without empty cells at its end: spreadsheets fill rows up to the longest one that they ever had."""
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return [*row[:end]]


def too_long() -> str:
    """What is wrong with a line that is longer than `MAX_LINE_BYTES`."""
    return f"is longer than {MAX_LINE_BYTES // 2**20} MiB"
