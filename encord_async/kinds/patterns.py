"""Names that texts go by, patterns among them: many are looked up, and only patterns tried one by one. Pure."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["Patterns"]

_WILD: Final = frozenset("*?[")


class Patterns:
    """Names in which ``*`` is any text, ``?`` any character and ``[ab]`` one of these.

    One that stands there as it is counts whatever is in it.
    """

    __slots__ = ("_known", "_wild")

    def __init__(self, names: Iterable[str]) -> None:
        self._known = frozenset(names)
        self._wild = tuple(name for name in self._known if not _WILD.isdisjoint(name))

    def of(self, text: str | None) -> Iterator[str]:
        """Those that *text* goes by, in no particular order; none if there is none."""
        if text is None:
            return
        if text in self._known:
            yield text
        for name in self._wild:
            if name != text and fnmatchcase(text, name):
                yield name

    def suit(self, text: str) -> bool:
        """Whether *text* goes by any."""
        return any(True for _ in self.of(text))
