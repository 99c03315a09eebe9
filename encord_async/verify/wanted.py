"""What is to be in a thing, by one relation: as it is compared, and until then as it is kept, in little room. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from encord_async.kinds.fields import referenced_key
from encord_async.kinds.membership import Relation

__all__ = ["Said", "Sort", "Wanted"]

_END: Final = "\0"
"""No text of a manifest has it."""


@dataclass(slots=True)
class Wanted:
    """What is to be in a thing, by one relation.

    Attributes:
        wished: Items, with the role wanted.
        also: Other roles that are wanted for the same items.
        unmade: References to items that have no hash, with the role.
        unwanted: Items that are not to be in it.
        others: Items that entries want which are not chosen: they may be in it, or not. One that has no hash is
            there as its reference.
    """

    wished: dict[str, int | None] = field(default_factory=dict)
    also: set[tuple[str, int | None]] = field(default_factory=set)
    unmade: set[tuple[str, int | None]] = field(default_factory=set)
    unwanted: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def add(self, item: str, role: int | None) -> None:
        """*item* is to be in it, in *role*."""
        if self.wished.setdefault(item, role) != role:
            self.also.add((item, role))

    def items(self) -> Iterator[tuple[str, int | None]]:
        """Items with each role that is wanted for them."""
        yield from self.wished.items()
        yield from self.also


class Sort(StrEnum):
    """In what way entries speak of an item; see `Wanted`."""

    WISHED = "w"
    UNMADE = "m"
    UNWANTED = "u"
    OTHER = "o"


class Said:
    """What entries say of what is in a thing, in their order, as text: there may be a million such."""

    __slots__ = ("_text", "is_about")

    def __init__(self) -> None:
        self._text = bytearray()
        self.is_about = False
        """Whether anything is wished for, or is not to be there."""

    def add(self, sort: Sort, item: str, role: int | None = None) -> None:
        """Keep what an entry says of *item*."""
        head = sort.value if role is None else f"{sort.value}{role}"
        self._text += f"{head}{_END}{item}{_END}".encode()
        self.is_about = self.is_about or sort in {Sort.WISHED, Sort.UNWANTED}

    def read(self, relation: Relation, addresses: Mapping[str, str]) -> Wanted:
        """All that was said, which is of *relation*; *addresses* has those of people who are named by a key."""
        wanted = Wanted()
        parts = iter(self._text.decode().split(_END))
        for head, item in zip(parts, parts, strict=False):
            role = int(head[1:]) if len(head) > 1 else None
            match Sort(head[0]):
                case Sort.WISHED:
                    wanted.add(item, role)
                case Sort.UNMADE:
                    wanted.unmade.add((item, role))
                case Sort.UNWANTED:
                    wanted.unwanted.add(item)
                case Sort.OTHER:
                    wanted.others.add(item)
        if relation.is_of_addresses and relation.item is not None:
            people = ((referenced_key(item), item, role) for item, role in wanted.wished.items())
            wanted.wished = {item if key is None else addresses[key]: role for key, item, role in people}
            others = ((referenced_key(item), item) for item in wanted.others)
            wanted.others = {item if key is None else addresses[key] for key, item in others}
        return wanted
