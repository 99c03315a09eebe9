"""What entries once put somewhere and no entry of the manifest says any more: it is there still, as far as is known.

That is users, datasets, groups and tags in things, API keys that were made in one, and users of the organisation. Here
is how it is told; `unsaid` finds it.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final, Protocol, Self

from encord_async.kinds.fields import REFERENCE
from encord_async.kinds.membership import Relation
from encord_async.kinds.registry import nouns

__all__ = ["NOTHING_TAKEN_OFF", "Said", "TakenOff", "TakenOffs"]


class Said(Protocol):
    """What a manifest says, by the names that its entries use."""

    def __contains__(self, holder: object) -> bool:
        """Whether it has this `Record.holder`."""
        ...

    def says(self, sort: str, about: str, item: str) -> bool:
        """Whether it has *item* in *about* by the relation *sort*, or takes it out."""
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
    """

    what: str
    item: str
    parent: str | None = None
    key: str | None = None
    title: str | None = None
    hash: str | None = None
    can_go: bool = False

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
