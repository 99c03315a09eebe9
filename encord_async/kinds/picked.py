"""Which items of a storage folder are meant: all of them, or those that go by certain names. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from encord_async.kinds.patterns import Patterns

__all__ = ["Lying", "Picked", "Picking"]

_DIGEST_BYTES: Final = 16
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Lying:
    """An item of a folder: its uuid, its URL if the service says it, its title, and whether its file is gone."""

    uuid: str
    url: str | None
    title: str
    is_gone: bool = False

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.url or self.title


@dataclass(frozen=True, slots=True)
class Picked:
    """Some items of a folder, or all that lie in it if there are no *names*.

    A name is a title, a URL, which has ``://`` in it, or a uuid. In titles and URLs ``*`` is any text, ``?`` any
    character and ``[ab]`` one of these; a name that stands there as it is counts whatever is in it.
    """

    names: tuple[str, ...] = ()
    _uuids: frozenset[str] = field(init=False, repr=False, compare=False)
    _urls: Patterns = field(init=False, repr=False, compare=False)
    _titles: Patterns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_uuids", frozenset(self.names))
        object.__setattr__(self, "_urls", Patterns(name for name in self.names if "://" in name))
        object.__setattr__(self, "_titles", Patterns(name for name in self.names if "://" not in name))

    @property
    def digest(self) -> str:
        """A name for what is meant."""
        framed = "".join(f"{len(name)}:{name}" for name in self.names)
        return hashlib.blake2b(framed.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()

    def said(self, folder: str) -> str:
        """It as people read it, of *folder*."""
        if not self.names:
            return f"all of {folder}"
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        return f"{', '.join(self.names[:_SHOWN])}{more} of {folder}"

    def takes(self, item: Lying) -> bool:
        """Whether *item* is meant; what is gone from its bucket never is."""
        return not item.is_gone and (not self.names or any(True for _ in self.names_of(item)))

    def may_take(self, item: Lying) -> bool:
        """Whether *item* is meant, or could be: one that says no URL may be any that goes by one."""
        return self.takes(item) or (item.url is None and any("://" in name for name in self.names))

    def names_of(self, item: Lying) -> Iterator[str]:
        """Those of the names that *item* goes by."""
        if item.uuid in self._uuids:
            yield item.uuid
        yield from self._urls.of(item.url)
        yield from self._titles.of(item.title)


class Picking:
    """Which items of a folder are meant, as it is gone through.

    Attributes:
        missing: The names that no item has gone by so far.
    """

    def __init__(self, picked: Picked) -> None:
        self._picked = picked
        self.missing = set(picked.names)

    def of(self, found: Iterable[Lying]) -> Collection[Lying]:
        """Those of *found* that are meant."""
        taken: list[Lying] = []
        for one in found:
            names = list(self._picked.names_of(one))
            self.missing.difference_update(names)
            if not one.is_gone and (names or not self._picked.names):
                taken.append(one)
        return taken
