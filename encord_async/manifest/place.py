"""Where entries stand, and what is said of those that are wrong. Values alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from encord_async.kinds.entry import Entry
from encord_async.kinds.faults import Fault
from encord_async.redaction import redacted

__all__ = ["PARTS", "Place", "PlacedEntry", "Problem", "Raw", "place_said"]

PARTS: Final = ("vars", "defaults", "include")
"""What a manifest may say of all its entries, in its preamble."""


class Raw(NamedTuple):
    """What a manifest holds at a *line*: an entry before anything is made of it, or one of its `PARTS`.

    *is_plain* is said of one in which no text can be a template: whoever has its bytes knows that at less cost.
    """

    line: int
    value: object
    faults: Sequence[Fault] = ()
    part: str = ""
    is_plain: bool = False


class Place(NamedTuple):
    """Where an entry stands.

    *source* is the file as the user named it, ``<stdin>`` or ``<iterable>``; *line* counts from 1 and is None where
    there are no lines; *number* is the entry's position, from 1 (0 in a preamble and in the header of a table). *row*
    is the row of its ``for_each`` that the entry was made for, from 1, if it has one.
    """

    source: str
    line: int | None
    number: int
    row: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            # What is about no entry has its source alone.
            return f"entry {self.number}" if self.number else self.source
        return f"{self.source}:{self.line}" if self.row is None else f"{self.source}:{self.line} row {self.row}"


_SAID: Final = re.compile(r"(?P<source>.+):(?P<line>\d+)(?: row (?P<row>\d+))?|entry (?P<number>\d+)", re.DOTALL)


def place_said(said: str) -> Place:
    """The place that is written as *said*: it is written so again."""
    found = _SAID.fullmatch(said)
    if found is None:
        return Place(said, None, 0)
    if found["number"] is not None:
        return Place("<iterable>", None, int(found["number"]))
    return Place(found["source"], int(found["line"]), 0, None if found["row"] is None else int(found["row"]))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an entry.

    *field* is the path of the field (``users.0.role``), empty if it is the entry as a whole. *hint* says what was
    probably meant. *key* is the key of the bad entry where it could be read, so that references to it can be judged.
    """

    place: Place
    field: str
    reason: str
    hint: str = ""
    key: str | None = None

    def __post_init__(self) -> None:
        for name in ("field", "reason", "hint"):
            object.__setattr__(self, name, redacted(getattr(self, name)))

    @property
    def of_all_rows(self) -> "Problem | None":
        """What it is for all rows of an entry that have it; None if it is about no row."""
        of_all = self.place._replace(number=0, row=None)
        return None if self.place.row is None else replace(self, place=of_all, key=None)

    @property
    def said(self) -> str:
        """It without its place."""
        said = f"{self.field}: {self.reason}" if self.field else self.reason
        return f"{said}; {self.hint}" if self.hint else said

    def __str__(self) -> str:
        return f"{self.place}: {self.said}"


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry and where it stands; *file* is what it names for a part of it, if it does, and was read."""

    place: Place
    entry: Entry
    file: str | None = None
