"""What entries once put somewhere and no entry of the manifest says any more: it is there still, as far as is known.

That is users, datasets, groups and tags in things, API keys that were made in one, and users of the organisation. Here
is how it is told; `unsaid` finds it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Protocol, Self

from encord_async.kinds.fields import REFERENCE
from encord_async.kinds.membership import Relation
from encord_async.kinds.registry import nouns

__all__ = ["NOTHING_LEFT", "NOTHING_TAKEN_OFF", "Leftover", "Renamed", "Said", "TakenOff", "TakenOffs", "still_working"]

_NAMED: Final = 5
"""API keys of one thing that are named."""


class Said(Protocol):
    """What a manifest says, by the names that its entries use."""

    def __contains__(self, holder: object) -> bool:
        """Whether it has this `Record.holder`."""
        ...

    def says(self, sort: str, about: str, item: str) -> bool:
        """Whether it has *item* (`Relation.told_apart`) in *about* by the relation *sort*, or takes it out."""
        ...

    def speaks_of(self, relation: Relation) -> bool:
        """Whether it says anything of that sort, so that what it does not say of it is too much."""
        ...

    def is_open(self, sort: str, about: str) -> bool:
        """Whether its entry for *about* lets others be in there."""
        ...

    def key_now(self, kind: str, key: str) -> str:
        """The key that the entry of *kind* with *key* has got, if that has moved."""
        ...


class Renamed:
    """What *said* says, where things have got other *keys* besides, by kind and the key before."""

    def __init__(self, said: Said, keys: Mapping[tuple[str, str], str]) -> None:
        self.says, self.speaks_of, self.is_open = said.says, said.speaks_of, said.is_open
        self._said, self._keys = said, keys

    def __contains__(self, holder: object) -> bool:
        return holder in self._said

    def key_now(self, kind: str, key: str) -> str:
        """See `Said`."""
        return self._keys.get((kind, key)) or self._said.key_now(kind, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOff:
    """Something that no entry says any more.

    Attributes:
        what: What it is, as plans have it for programs.
        item: Who, or which: an address, a reference as the entry had it, or a title.
        parent: The kind of the thing it is in; None for a user of the organisation, as the next three.
        key: Key of the entry of that.
        title: Its title, if the journal knows it.
        hash: Its hash.
        can_go: Whether a run with ``prune`` takes it out.
        stays: Why it does not, if a team's policy says so.
    """

    what: str
    item: str
    parent: str | None = None
    key: str | None = None
    title: str | None = None
    hash: str | None = None
    can_go: bool = False
    stays: str | None = None

    def kept(self, protection: Callable[[str], str | None]) -> Self:
        """It as *protection* lets it be, which says of a key or hash why nothing is taken from what has it."""
        found = [why for name in (self.key, self.hash) if (why := protection(name or "")) is not None]
        return replace(self, can_go=False, stays=found[0]) if found else self

    @property
    def prospect(self) -> str:
        """What becomes of it in a run without ``prune``, in words that follow "gone from the manifest, and"."""
        if self.can_go:
            return "nothing is done about it without --prune"
        return "it stays" + ("" if self.stays is None else f" ({self.stays})")

    def __str__(self) -> str:
        """What it is and where, as it is told."""
        what = f"{nouns(self.what)[0]} {self.item}"
        if self.parent is None:
            return what
        named = (f"{REFERENCE}{self.key}" if self.key else "", "" if self.title is None else repr(self.title))
        return " ".join((what, "in", nouns(self.parent)[0], *filter(None, named), f"({self.hash})"))

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOffs:
    """How many there are, and the first of them."""

    number: int = 0
    first: tuple[TakenOff, ...] = ()

    def kept(self, protection: Callable[[str], str | None]) -> Self:
        """See `TakenOff.kept`."""
        return replace(self, first=tuple(one.kept(protection) for one in self.first))

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"number": self.number, "first": [one.as_json() for one in self.first]}

    def written(self) -> str:
        """As a journal keeps it."""
        return json.dumps(self.as_json()) if self.number else ""

    @classmethod
    def read(cls, text: str) -> Self:
        """What `written` gave; nothing of nothing."""
        if not text:
            return cls()
        found = json.loads(text)
        return cls(number=found["number"], first=tuple(TakenOff(**one) for one in found["first"]))


NOTHING_TAKEN_OFF: Final = TakenOffs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What is left in a thing whose entry has gone, as far as the journal says.

    Attributes:
        is_at_rest: Whether a run that retires has nothing to take off it any more, nor to set of it.
        keys: Titles of the API keys that were made in it, and go on working.
    """

    is_at_rest: bool = False
    keys: tuple[str, ...] = ()


def still_working(titles: Sequence[str]) -> str:
    """That the API keys of a thing with these *titles* are not touched by what is done about that."""
    named = ", ".join(map(repr, titles[:_NAMED])) + (f" and {len(titles) - _NAMED:,} more" * (len(titles) > _NAMED))
    return f"its API key {named} goes on working" if len(titles) == 1 else f"its API keys {named} go on working"


NOTHING_LEFT: Final = Leftover()
"""Nothing is written of it."""
