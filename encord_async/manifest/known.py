"""Keys of a manifest and places in it, a few bytes each: there may be millions. Pure; keeps no entry."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from encord_async.manifest.digests import Texts
from encord_async.manifest.place import Place

__all__ = ["MOST_NAMES", "Keys", "OpenReferences", "Places", "Waiting"]

MOST_NAMES: Final = 50_000
"""So many keys are kept as they are written."""
_NO_ROW: Final = -1
_NO_LINE: Final = 0
_A_REFERENCE: Final = 4
"""Numbers that are kept of a reference which waits."""


class Places:
    """Places, each under the number that it was given, in the order of a manifest: eight bytes each.

    What many places one after another have in common is kept once: the source, and where the rows of an entry begin.
    """

    def __init__(self) -> None:
        self._numbers = array("I")
        self._lines = array("I")
        self._sources: list[str] = []
        self._source, self._before_rows = "", _NO_ROW
        """Of the last place: its source, and the number of the entry before the first of its rows."""
        self._runs = array("I")
        """Which place is the first with another source, or the first of other rows."""
        self._run_sources = array("I")
        self._run_rows = array("q")

    def add(self, place: Place) -> int:
        """Keep *place*, once if it comes twice in a row; its number here."""
        source, line, number, row = place
        line = line or _NO_LINE
        before_rows = _NO_ROW if row is None else number - row
        numbers = self._numbers
        if before_rows != self._before_rows or source != self._source or not numbers:
            if source != self._source or not self._sources:
                self._sources.append(source)
            self._source, self._before_rows = source, before_rows
            self._runs.append(len(numbers))
            self._run_sources.append(len(self._sources) - 1)
            self._run_rows.append(before_rows)
        elif numbers[-1] == number and self._lines[-1] == line:
            return len(numbers) - 1
        numbers.append(number)
        self._lines.append(line)
        return len(numbers) - 1

    def __len__(self) -> int:
        """How many there are."""
        return len(self._numbers)

    def __getitem__(self, index: int) -> Place:
        run = bisect_right(self._runs, index) - 1
        number, line, before_rows = self._numbers[index], self._lines[index], self._run_rows[run]
        source = self._sources[self._run_sources[run]]
        return Place(source, line or None, number, None if before_rows == _NO_ROW else number - before_rows)


class Keys:
    """Keys that have passed by, with the kind and the place of the entry that each is of, and what that is copied from.

    The first `MOST_NAMES` are kept as they are, of more only digests: see `Texts`.

    Args:
        places: Has the places.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._names: dict[str, int] | None = {}
        """Of the first keys, as long as there are no more: the number of each."""
        self._texts = Texts()
        self._at = array("I")
        """Which of the places is that of each."""
        self._kinds = array("B")
        self._words: list[str] = []
        """Of the kinds, and the number of each of these."""
        self._numbers: dict[str, int] = {}
        self._origins = array("I")
        """By the number of a key: 0, or which of the templates it is copied from, from 1. As long as it has to be."""
        self._templates: dict[str, int] = {}
        self._template_names: list[str] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._at)

    def kind(self, key: str) -> str | None:
        """The kind of the entry that has *key*, if one has."""
        number = self._number(key)
        return None if number is None else self._words[self._kinds[number]]

    def place(self, key: str) -> Place | None:
        """The place of the entry that has *key*, if one has."""
        number = self._number(key)
        return None if number is None else self._places[self._at[number]]

    def add(self, key: str, kind: str, place: Place) -> Place | None:
        """The place of the entry that has *key*. If none has, that at *place* has it now, and the answer is None."""
        number = self._texts.add(key) if self._names is None else self._names.setdefault(key, len(self._at))
        if number is not None and number < len(self._at):
            return self._places[self._at[number]]
        if kind not in self._numbers:
            self._numbers[kind] = len(self._words)
            self._words.append(kind)
        self._at.append(self._places.add(place))
        self._kinds.append(self._numbers[kind])
        if self._names is not None and len(self._names) > MOST_NAMES:
            for name in self._names:
                self._texts.add(name)
            self._names = None
        return None

    def of_kind(self, kind: str) -> Iterator[str]:
        """The keys of entries of *kind*, as they are written; none if there are too many for that."""
        for name, number in (self._names or {}).items():
            if self._words[self._kinds[number]] == kind:
                yield name

    # ------------------------------------------------------------------ copies

    def closes_circle(self, key: str, template: str) -> bool:
        """Take in that what *key* names is copied from what *template* names; whether it would be its own template.

        That is then not taken in.
        """
        # Only what is copied by an entry before can close a circle: long chains are not walked for each of their links.
        link: str | None = template if key in self._templates else None
        while link is not None and link != key:
            link = self._origin(link)
        number = self._number(key)
        if link is None and number is not None:
            if template not in self._templates:
                self._template_names.append(template)
                self._templates[template] = len(self._template_names)
            self._origins.frombytes(bytes(self._origins.itemsize * (len(self._at) - len(self._origins))))
            self._origins[number] = self._templates[template]
        return link is not None

    def _origin(self, key: str) -> str | None:
        number = self._number(key)
        origin = 0 if number is None or number >= len(self._origins) else self._origins[number]
        return self._template_names[origin - 1] if origin else None

    def _number(self, key: str) -> int | None:
        return self._texts.get(key) if self._names is None else self._names.get(key)


class Waiting(NamedTuple):
    """Where a reference stands, in which field, and which kind it has to name."""

    place: Place
    field: str
    kind: str


class OpenReferences:
    """References that wait for what they name, sixteen bytes each."""

    def __init__(self) -> None:
        self._waiting: dict[str, array[int]] = {}
        """By what they name: of each reference number, line and row, and where to find the rest."""
        self._told: dict[tuple[str, str, str], int] = {}
        """What many have in common, source, field and kind, in the order of their numbers."""
        self._common: list[tuple[str, str, str]] = []

    def __len__(self) -> int:
        """How many names are waited for."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def number(self, name: str) -> int:
        """How many wait for *name*."""
        return len(self._waiting.get(name, ())) // _A_REFERENCE

    def add(self, name: str, waiting: Waiting) -> None:
        """Keep one that waits for *name*."""
        place, field, kind = waiting
        common = (place.source, field, kind)
        told = self._told.get(common)
        if told is None:
            told = self._told[common] = len(self._common)
            self._common.append(common)
        waits = self._waiting.setdefault(name, array("I"))
        waits.extend((place.number, place.line or _NO_LINE, place.row or 0, told))

    def of(self, name: str) -> Iterator[Waiting]:
        """Those that wait for *name*, in their order."""
        waits = iter(self._waiting.get(name, ()))
        for number, line, row, told in zip(waits, waits, waits, waits, strict=True):
            source, field, kind = self._common[told]
            yield Waiting(Place(source, line or None, number, row or None), field, kind)

    def take(self, name: str) -> list[Waiting]:
        """The same, of which none waits any longer."""
        if name not in self._waiting:
            return []
        taken = list(self.of(name))
        del self._waiting[name]
        return taken
