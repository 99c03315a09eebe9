"""Which entries of a manifest are chosen, by keys, patterns and tags, with what they need. It sends nothing.

An entry is chosen by what it says, never by where it stands, so a manifest that changes between two readings does not
let another one through. Kept are keys and what refers to what, and no entry.
"""

import difflib
import fnmatch
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple, Self

import anyio.lowlevel
import anyio.to_thread

from encord_async.errors import UsageError, spelt
from encord_async.kinds.entry import Entry, needed_keys
from encord_async.kinds.fields import REFERENCE, referenced_key, shown
from encord_async.kinds.registry import nouns
from encord_async.manifest.files import read_manifest
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.manifest.sources import Item, Manifest, is_read_twice, manifest_file, read_numbered
from encord_async.manifest.variables import ManifestFile

__all__ = [
    "EVERYTHING",
    "NONE_LEFT",
    "NO_SELECTION",
    "Choice",
    "Included",
    "NotChosen",
    "Selection",
    "Sieve",
    "choose",
    "sift",
]

_TAG: Final = "tag="
_MAX_GUESSES: Final = 50_000
"""How many keys are looked at, at most, to guess what a pattern meant."""
_NEAR: Final = 3
_SHOWN: Final = 100
"""Characters of a pattern in a message."""
_SOME: Final = 256


class _Pattern(NamedTuple):
    """One of the words of a selection; *option* is where it was given, *text* as it was."""

    option: str
    text: str
    word: str
    is_tag: bool
    like: re.Pattern[str]

    def __str__(self) -> str:
        return spelt(self.option, self.text[:_SHOWN])

    def fits(self, key: str) -> bool:
        """Whether an entry with *key* is meant."""
        return not self.is_tag and (key == self.word or self.like.fullmatch(key) is not None)

    def fits_tag(self, entry: Entry) -> bool:
        """Whether *entry* is meant by a tag of its own."""
        return self.is_tag and any(
            tag == self.word or self.like.fullmatch(tag) is not None for tag in entry.wished_tags()
        )


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        only: Keys, patterns of keys (``*``, ``?``, ``[a-z]``) or ``tag=NAME``; empty for all.
        exclude: The same for what is left out of that.

    Raises:
        UsageError: One is empty, or cannot be printed.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("only", "exclude"):
            for text in getattr(self, name):
                if not text.removeprefix(REFERENCE).removeprefix(_TAG).strip() or not text.isprintable():
                    raise UsageError(f"{name} names nothing; give a key, a pattern of keys, or {_TAG}NAME")

    @classmethod
    def of(cls, only: str | Iterable[str], exclude: str | Iterable[str]) -> Self:
        """One of several texts, or of a single one each."""
        return cls(*((some,) if isinstance(some, str) else tuple(some) for some in (only, exclude)))

    def __bool__(self) -> bool:
        return bool(self.only or self.exclude)

    @cached_property
    def patterns(self) -> tuple[tuple[_Pattern, ...], tuple[_Pattern, ...]]:
        """Those that choose, and those that leave out."""
        chosen, left_out = (tuple(_pattern(name, text) for text in getattr(self, name)) for name in ("only", "exclude"))
        return chosen, left_out


NO_SELECTION: Final = Selection()


@dataclass(frozen=True, slots=True)
class Included:
    """An entry that nobody has chosen, and the place of one that was and needs it, with its key if it has one."""

    place: Place
    kind: str
    key: str
    needed_by: Place
    by_key: str | None

    @property
    def named(self) -> str:
        """What it is."""
        return _named(self.kind, self.key)

    @property
    def because(self) -> str:
        """What needs it."""
        return str(self.needed_by) if self.by_key is None else f"{REFERENCE}{self.by_key}"

    def __str__(self) -> str:
        return f"{self.place}: {self.named}: included because {self.because} refers to it"

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"place": str(self.place), "kind": self.kind, "key": self.key, "needed_by": self.because}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotChosen:
    """Entries that are about what is chosen, and are not chosen, since they have keys of their own, which nobody names.

    Attributes:
        number: How many there are.
        first: What the first of them are.
    """

    number: int = 0
    first: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"number": self.number, "first": list(self.first)}


NONE_LEFT: Final = NotChosen()


@dataclass(frozen=True, slots=True)
class Choice:
    """Which entries are chosen.

    Attributes:
        selection: By what.
        keys: Of those that are, or, where all are that nobody excludes, of those that are not.
        about: References of the things of which entries without a key are chosen, or are not.
        included: What the chosen need, and nobody has chosen.
        entries: How many are chosen.
        not_chosen: What is about the chosen, and is not chosen with them.
    """

    selection: Selection = NO_SELECTION
    keys: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    included: tuple[Included, ...] = ()
    entries: int = 0
    not_chosen: NotChosen = NONE_LEFT

    def has(self, item: Item) -> bool:
        """Whether an entry is chosen; of one that could not be read only its key can tell."""
        if not self.selection:
            return True
        if isinstance(item, PlacedEntry):
            return self._has(item.entry)
        keys = [problem.key for problem in item if problem.key is not None]
        return self._has_key(keys[0]) if keys else not self.selection.only

    def _has(self, entry: Entry) -> bool:
        about, is_kept = entry.about(), bool(self.selection.only)
        if entry.key is not None:
            return (entry.key in self.keys) is is_kept
        if about is not None:
            return (about in self.about) is is_kept
        chosen, left_out = (_fitting(some, entry, None) for some in self.selection.patterns)
        return not left_out and (bool(chosen) or not is_kept)

    def _has_key(self, key: str) -> bool:
        chosen, left_out = self.selection.patterns
        wished = not chosen or any(one.fits(key) for one in chosen)
        return wished and not any(one.fits(key) for one in left_out)


EVERYTHING: Final = Choice()


@dataclass(slots=True)
class _Node:
    """What is kept of an entry with a key, or of all those without one that are about one thing."""

    place: Place
    kind: str
    key: str | None
    is_wished: bool
    excluded_by: _Pattern | None = None
    needs: dict[str, Place] = field(default_factory=dict)
    """Keys that it refers to, with the place that does."""
    number: int = 1
    about: str | None = None
    """Key of the entry that one with a key of its own is about."""

    @property
    def is_chosen(self) -> bool:
        """Whether it is chosen, and not only needed."""
        return self.is_wished and self.excluded_by is None


class Sieve:
    """Finds out which entries are chosen, of all that pass by.

    Args:
        selection: What is asked for.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._unused = {one: None for some in selection.patterns for one in some}
        self._keyed: dict[str, _Node] = {}
        self._about: dict[str, _Node] = {}
        self._others = _Node(Place("", None, 0), "", None, is_wished=True, number=0)
        """All those that are chosen by themselves: they have no key, and are about nothing else."""

    def add(self, placed: PlacedEntry) -> None:
        """Take the next entry."""
        entry, place = placed.entry, placed.place
        about = entry.about()
        is_wished, excluded_by = self._meant(entry, about if entry.key is None else None)
        if entry.key is not None:
            node = _Node(place, entry.kind, entry.key, is_wished, excluded_by, about=referenced_key(about or ""))
            # Of two with one key the checker says what is wrong.
            self._keyed.setdefault(entry.key, node)
        elif about is not None:
            node = self._about.get(about) or _Node(place, entry.kind, None, is_wished, excluded_by, number=0)
            self._about[about] = node
            node.number += 1
        else:
            node = self._others
            if not is_wished or excluded_by is not None:
                return
            node.number += 1
        for key in needed_keys(entry):
            node.needs.setdefault(key, place)

    def finish(self) -> Choice:
        """What is chosen.

        Raises:
            UsageError: A pattern fits nothing, nothing is left, or what is left needs something that is excluded.
        """
        if self._unused:
            raise UsageError(self._nothing_like(next(iter(self._unused))))
        for about, node in self._about.items():
            # They go with what they are about.
            whose = self._keyed.get(referenced_key(about) or "")
            if whose is not None:
                node.is_wished, node.excluded_by = whose.is_wished, whose.excluded_by
        chosen = [one for one in self._nodes() if one.is_chosen]
        included = self._included(chosen)
        number = sum(one.number for one in chosen) + len(included)
        if not number:
            raise UsageError("nothing is left of the manifest: all that is chosen is excluded as well")
        return self._choice(included, number)

    def _choice(self, included: list[Included], number: int) -> Choice:
        is_kept = bool(self._selection.only)
        more = {one.key for one in included}
        keys = frozenset(key for key, one in self._keyed.items() if (one.is_chosen or key in more) is is_kept)
        about = frozenset(key for key, one in self._about.items() if one.is_chosen is is_kept)
        return Choice(self._selection, keys, about, tuple(included), number, self._not_chosen(more))

    def _not_chosen(self, included: Collection[str]) -> NotChosen:
        """Those that are about the chosen and would go with them if they had no key."""
        number, first = 0, list[str]()
        for key, one in self._keyed.items():
            whose = None if one.is_wished or key in included else self._keyed.get(one.about or "")
            if whose is not None and whose.is_chosen:
                number += 1
                if len(first) < _NEAR:
                    first.append(_named(one.kind, key))
        return NotChosen(number=number, first=tuple(first))

    def _meant(self, entry: Entry, about: str | None) -> tuple[bool, _Pattern | None]:
        """Whether *entry* is meant by what chooses, and by what it is left out."""
        chosen, left_out = (_fitting(some, entry, about) for some in self._selection.patterns)
        for one in (*chosen, *left_out):
            self._unused.pop(one, None)
        return bool(chosen) or not self._selection.only, left_out[0] if left_out else None

    def _nodes(self) -> Iterator[_Node]:
        yield from self._keyed.values()
        yield from self._about.values()
        yield self._others

    def _included(self, chosen: Iterable[_Node]) -> list[Included]:
        """What the chosen need, and what that needs, in the order of the manifest.

        Raises:
            UsageError: Some of it is excluded.
        """
        waiting, found = deque(chosen), dict[str, Included]()
        while waiting:
            node = waiting.popleft()
            for key, place in node.needs.items():
                needed = self._keyed.get(key)
                # The checker says what is wrong with references to nothing.
                if needed is None or needed.is_chosen or key in found:
                    continue
                if needed.excluded_by is not None:
                    raise UsageError(_needs_excluded(needed, needed.excluded_by, node.key, place))
                found[key] = Included(needed.place, needed.kind, key, place, node.key)
                waiting.append(needed)
        return sorted(found.values(), key=lambda one: one.place.number)

    def _nothing_like(self, pattern: _Pattern) -> str:
        """What is said of a *pattern* that fits nothing."""
        said = f"{pattern} fits no entry of the manifest"
        if pattern.is_tag:
            return f"{said}: none has the tag {shown(pattern.word)}"
        if len(self._keyed) > _MAX_GUESSES:
            return said
        keys = list(self._keyed)
        spelling = {key.casefold(): key for key in keys}
        near = [spelling[one] for one in difflib.get_close_matches(pattern.word.casefold()[:100], spelling, n=_NEAR)]
        if near:
            return f"{said}; near it are {', '.join(map(shown, near))}"
        if keys:
            return f"{said}; its keys are {', '.join(map(shown, keys[:_NEAR]))}{' and others' * (len(keys) > _NEAR)}"
        return f"{said}: no entry has a key"


def _named(kind: str, key: str) -> str:
    return f"{nouns(kind)[0]} {REFERENCE}{key}"


def _pattern(option: str, text: str) -> _Pattern:
    # Keys do not begin so: it is how they are referred to.
    word = text.removeprefix(REFERENCE)
    is_tag = word.startswith(_TAG)
    word = word.removeprefix(_TAG)
    return _Pattern(option, text, word, is_tag, re.compile(fnmatch.translate(word)))


def _fitting(patterns: Iterable[_Pattern], entry: Entry, about: str | None) -> list[_Pattern]:
    """Those of *patterns* that mean *entry*, or what it is *about*."""
    key = entry.key if about is None else about.removeprefix(REFERENCE)
    return [one for one in patterns if (key is not None and one.fits(key)) or one.fits_tag(entry)]


def _needs_excluded(needed: _Node, by: _Pattern, by_key: str | None, place: Place) -> str:
    name = str(place) if by_key is None else f"{REFERENCE}{by_key} ({place})"
    return (
        f"{by} leaves out {REFERENCE}{needed.key} ({needed.place}), and {name} refers to it; exclude that as well, "
        "or neither"
    )


def sift(items: Iterable[Item], selection: Selection) -> Choice:
    """What is chosen of *items*; raises as `Sieve.finish`."""
    sieve = Sieve(selection)
    for item in items:
        if isinstance(item, PlacedEntry):
            sieve.add(item)
    return sieve.finish()


async def choose(manifest: Manifest, selection: Selection) -> Choice:
    """Read *manifest* once, and find out what of it is chosen.

    Raises:
        UsageError: See `Sieve.finish`; or it is a stream, which cannot be read again afterwards.
        ManifestError: The file cannot be read.
    """
    if not selection:
        return EVERYTHING
    file = manifest_file(manifest)
    if file is not None:
        return await anyio.to_thread.run_sync(_in_file, file, selection)
    if not isinstance(manifest, Iterable) or not is_read_twice(manifest):
        raise UsageError(
            "what is chosen is known when all of the manifest has been read, and a stream is read only once; "
            "give a file or a list"
        )
    sieve = Sieve(selection)
    for number, item in enumerate(read_numbered(manifest)):
        if isinstance(item, PlacedEntry):
            sieve.add(item)
        if number % _SOME == 0:
            await anyio.lowlevel.checkpoint()
    return sieve.finish()


def _in_file(file: ManifestFile, selection: Selection) -> Choice:
    # One entry a place, whether it is read or only what is wrong with it.
    return sift((one if isinstance(one, PlacedEntry) else (one,) for one in read_manifest(file)), selection)
