"""The names of all that was made, in a few bytes each: answers whether one was there before. Pure; it forgets nothing.

It keeps digests of 64 bits in one flat table, 11 to 21 bytes a name, where a set of texts would take 150. That two of
a million names have one digest happens once in 30 million runs; who asks looks the name up before believing it.
"""

from array import array
from collections.abc import Iterable
from typing import Final

__all__ = ["Seen"]

_MASK: Final = 2**64 - 1


class Seen:
    """Names, each of which is new or was there."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._digests = array("Q", bytes(8 * 64))
        self._count = 0
        for name in names:
            self.add(name)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: str) -> bool:
        digest = _digest(name)
        return self._digests[self._place(digest)] == digest

    def add(self, name: str) -> bool:
        """Take *name* in; whether it is new."""
        if not self._put(_digest(name)):
            return False
        self._count += 1
        if 4 * self._count > 3 * len(self._digests):
            self._grow()
        return True

    def _place(self, digest: int) -> int:
        """Where *digest* stands, or would."""
        digests = self._digests
        last = len(digests) - 1
        place = digest & last
        while digests[place] and digests[place] != digest:
            place = (place + 1) & last
        return place

    def _put(self, digest: int) -> bool:
        place = self._place(digest)
        if self._digests[place]:
            return False
        self._digests[place] = digest
        return True

    def _grow(self) -> None:
        before = self._digests
        self._digests = array("Q", bytes(16 * len(before)))
        for digest in before:
            if digest:
                self._put(digest)


def _digest(name: str) -> int:
    # Python's own: any other takes ten times as long. Zero marks an empty place.
    return (hash(name) & _MASK) or 1
