"""What is known of millions of things, under digests of them, in as little room as Python has for it. Pure.

Two things whose digests are equal are taken for one. `Digests` and `Seen` have 64 bits: of a million things that
happens once in thirty million manifests, so they are for what does no harm then, or is looked up before it is believed.
`Texts` have 96 bits: it does not happen.
"""

from array import array
from collections.abc import Hashable, Iterable
from typing import Final, Self

__all__ = ["Digests", "Seen", "Texts"]

_FIRST_SLOTS: Final = 2**10
_MASK: Final = 2**64 - 1
_HALF_MASK: Final = 2**32 - 1


class Texts:
    """Texts, each with a number: the first has 0, the next 1. About twenty bytes each, however long they are."""

    def __init__(self) -> None:
        self._firsts = array("Q")
        self._seconds = array("I")
        """The two parts of their digests, by number."""
        self._slots = array("I", bytes(4 * _FIRST_SLOTS))
        """By digest: 0 where nothing is, or a number from 1."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._firsts)

    def get(self, text: str) -> int | None:
        """The number of *text*, if it has one."""
        number = self._slots[self._slot(*_digest(text))]
        return number - 1 if number else None

    def add(self, text: str) -> int | None:
        """The number that *text* has; if none, it has the next one from now on, and None is the answer."""
        first, second = _digest(text)
        slot = self._slot(first, second)
        number = self._slots[slot]
        if number:
            return number - 1
        self._firsts.append(first)
        self._seconds.append(second)
        self._slots[slot] = number = len(self._firsts)
        if 3 * number > 2 * len(self._slots):
            self._grow()
        return None

    def _slot(self, first: int, second: int) -> int:
        """Where a digest is, or goes."""
        slots, firsts, seconds = self._slots, self._firsts, self._seconds
        mask = len(slots) - 1
        slot = first & mask
        while (number := slots[slot]) and (firsts[number - 1] != first or seconds[number - 1] != second):
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        slots = self._slots = array("I", bytes(8 * len(self._slots)))
        mask = len(slots) - 1
        for number, first in enumerate(self._firsts, 1):
            # All differ, so that they need not be compared.
            slot = first & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = number


def _digest(text: str) -> tuple[int, int]:
    """Python's own, which takes a tenth of the time of any other, of the text and of a longer one.

    The second also tells apart those of which Python's is the same because their characters are of another width.
    """
    return hash(text) & _MASK, hash(text + "\0") & _HALF_MASK


class _Table:
    """Things by their digests, in one flat table that is at most filled up to *fullness*."""

    def __init__(self, fullness: float) -> None:
        self._fullness = fullness
        self._number = 0
        self._digests = array("Q", bytes(8 * _FIRST_SLOTS))

    def __len__(self) -> int:
        """How many things are in it."""
        return self._number

    def _slot(self, digest: int) -> int:
        """Where *digest* is, or goes."""
        digests = self._digests
        mask = len(digests) - 1
        slot = digest & mask
        while (found := digests[slot]) and found != digest:
            slot = (slot + 1) & mask
        return slot

    def _take(self, slot: int, digest: int) -> None:
        """Let *digest* have an empty *slot*."""
        self._digests[slot] = digest
        self._number += 1
        if self._number > self._fullness * len(self._digests):
            self._grow()

    def _grow(self) -> None:
        before = self._digests
        self._digests = array("Q", bytes(16 * len(before)))
        for digest in before:
            if digest:
                self._digests[self._slot(digest)] = digest


def _short(thing: Hashable) -> int:
    """Python's own, see `_digest`. Nought is an empty slot."""
    return (hash(thing) & _MASK) or 1


class Seen(_Table):
    """Names, each of which is new or was there: 11 to 21 bytes each, where a set of texts would take 150."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        super().__init__(3 / 4)
        for name in names:
            self.add(name)

    def __contains__(self, name: str) -> bool:
        digest = _short(name)
        return self._digests[self._slot(digest)] == digest

    def add(self, name: str) -> bool:
        """Take *name* in; whether it is new."""
        digest = _short(name)
        slot = self._slot(digest)
        if self._digests[slot]:
            return False
        self._take(slot, digest)
        return True


class Digests(_Table):
    """A number under the digest of each thing; the first one stays.

    Args:
        sort: What `array` calls the numbers: ``B`` up to 255, ``Q`` any, ``l`` with a sign.
        most: Most that are kept; further ones are forgotten.
    """

    def __init__(self, sort: str, *, most: int | None = None) -> None:
        super().__init__(1 / 2)
        self._sort = sort
        self._most = most
        self._values = array(sort, [0]) * _FIRST_SLOTS

    @property
    def is_full(self) -> bool:
        """Whether further ones are forgotten."""
        return self._number == self._most

    def copy(self) -> Self:
        """Another one with the same in it."""
        copy = type(self)(self._sort, most=self._most)
        copy._number = self._number  # noqa: SLF001 - its own, and so are these
        copy._digests, copy._values = self._digests[:], self._values[:]  # noqa: SLF001
        return copy

    def get(self, thing: Hashable) -> int:
        """The number that *thing* has, or 0."""
        return self._values[self._slot(_short(thing))]

    def add(self, thing: Hashable, number: int) -> None:
        """Add *number* to what *thing* has."""
        before = self.put(thing, number)
        if before is not None:
            self._values[self._slot(_short(thing))] = before + number

    def put(self, thing: Hashable, value: int) -> int | None:
        """The number that *thing* has; if none, it has *value* from now on, and None is the answer."""
        digest = _short(thing)
        slot = self._slot(digest)
        if self._digests[slot]:
            return self._values[slot]
        if not self.is_full:
            self._values[slot] = value
            self._take(slot, digest)
        return None

    def _grow(self) -> None:
        digests, values = self._digests, self._values
        super()._grow()
        self._values = array(self._sort, [0]) * len(self._digests)
        for digest, value in zip(digests, values, strict=True):
            if digest:
                self._values[self._slot(digest)] = value
