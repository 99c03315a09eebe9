"""Small numbers under digests, in as little room as Python has for it: about twenty bytes each. Pure.

Two things whose digests are equal are taken for one; of a million that happens once in thirty million manifests.
"""

from array import array
from collections.abc import Hashable
from typing import Final, Self

__all__ = ["Digests"]

_FIRST_SLOTS: Final = 2**10
_MASK: Final = 2**64 - 1


class Digests:
    """A number under the digest of each thing; the first one stays.

    Args:
        sort: What `array` calls the numbers: ``B`` up to 255, ``Q`` any, ``l`` with a sign.
        most: Most that are kept; further ones are forgotten.
    """

    def __init__(self, sort: str, *, most: int | None = None) -> None:
        self._sort = sort
        self._most = most
        self._number = 0
        self._digests = array("Q", bytes(8 * _FIRST_SLOTS))
        self._values = array(sort, [0]) * _FIRST_SLOTS

    @property
    def is_full(self) -> bool:
        """Whether further ones are forgotten."""
        return self._number == self._most

    def __len__(self) -> int:
        """How many things have one."""
        return self._number

    def copy(self) -> Self:
        """Another one with the same in it."""
        copy = type(self)(self._sort, most=self._most)
        copy._number = self._number  # noqa: SLF001 - its own, and so are these
        copy._digests, copy._values = self._digests[:], self._values[:]  # noqa: SLF001
        return copy

    def get(self, thing: Hashable) -> int:
        """The number that *thing* has, or 0."""
        return self._values[self._slot((hash(thing) & _MASK) or 1)]

    def add(self, thing: Hashable, number: int) -> None:
        """Add *number* to what *thing* has."""
        slot = self._slot((hash(thing) & _MASK) or 1)
        if self._digests[slot]:
            self._values[slot] += number
        else:
            self.put(thing, number)

    def put(self, thing: Hashable, value: int) -> int | None:
        """The number that *thing* has; if none, it has *value* from now on, and None is the answer."""
        # Nought is an empty slot.
        digest = (hash(thing) & _MASK) or 1
        slot = self._slot(digest)
        if self._digests[slot]:
            return self._values[slot]
        if not self.is_full:
            self._digests[slot], self._values[slot] = digest, value
            self._number += 1
            if 2 * self._number > len(self._digests):
                self._grow()
        return None

    def _slot(self, digest: int) -> int:
        """Where *digest* is, or goes."""
        digests = self._digests
        mask = len(digests) - 1
        slot = digest & mask
        while (found := digests[slot]) and found != digest:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        digests, values = self._digests, self._values
        self._digests = array("Q", bytes(16 * len(digests)))
        self._values = array(self._sort, [0]) * (2 * len(digests))
        for digest, value in zip(digests, values, strict=True):
            if digest:
                slot = self._slot(digest)
                self._digests[slot], self._values[slot] = digest, value
