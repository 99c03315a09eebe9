"""A difference between an account and a manifest, in one shape for everything. Pure: it looks nothing up.

`missing`, `extra` and `different` make them, and `names` those of a thing's title and description.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from encord_async.engine.account import stamped
from encord_async.manifest.place import Place

__all__ = [
    "NOT_PROVISIONED",
    "Difference",
    "Fault",
    "NamedWish",
    "different",
    "extra",
    "missing",
    "names",
]

_MARK_BYTES: Final = 12
NOT_PROVISIONED: Final = "the journal does not say that it was made; run 'encord-async apply'"


class Fault(StrEnum):
    """In what way the account differs from the manifest."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    """The service did not let us look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as the manifest wants it.

    Attributes:
        place: Where the entry stands that wants it, or the first that is about its thing.
        fault: In what way it differs.
        what: What differs: a kind of thing, a relation (`Relation.thing`), or a field.
        item: Title or name; hash of what is in a thing; e-mail address.
        hash: Hash of what it is about, if it has one.
        wanted: What the manifest says, if it is one text.
        found: What the service says, if it is one text.
        reason: Why, as far as that is known.
        item_title: Title of *item*, where that is the hash of something that the manifest has an entry for.
        hash_title: Title of what has *hash*, where that is not *item* itself, and the manifest has an entry for it.
    """

    place: Place
    fault: Fault
    what: str
    item: str
    hash: str | None = None
    wanted: str | None = None
    found: str | None = None
    reason: str | None = None
    item_title: str | None = None
    hash_title: str | None = None

    @property
    def named(self) -> str:
        """*item* for people, with its title if it is a hash."""
        return self.item if self.item_title is None else f"{self.item_title} ({self.item})"

    def as_json(self) -> dict[str, str]:
        """A JSON object with the members that say something."""
        shown = {"place": str(self.place), "difference": self.fault.value, "what": self.what, "item": self.item}
        more = {"hash": self.hash, "wanted": self.wanted, "found": self.found, "reason": self.reason}
        more |= {"item_title": self.item_title, "hash_title": self.hash_title}
        return shown | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True, slots=True)
class NamedWish:
    """A thing as its entry describes it, and why it stays as it is (`Thing.stays`)."""

    place: Place
    title: str
    description: str
    stays: str


def names(wish: NamedWish, found_hash: str, title: str, description: str | None) -> Iterator[Difference]:
    """How title and description of a thing differ from what is wanted; blanks at their ends are nothing."""
    if wish.title != title.strip():
        yield different(wish.place, "title", wish.title, found_hash, wish.title, title, reason=wish.stays)
    held, wanted = (description or "").strip(), wish.description.strip()
    # The stamp of a run, which stands between "[encord-async " and the bracket at the end.
    if held not in {wanted, stamped(wanted, held[-_MARK_BYTES - 1 : -1])}:
        told = wish.title, found_hash, wish.description, held
        yield different(wish.place, "description", *told, reason=wish.stays)


def missing(
    place: Place,
    what: str,
    item: str,
    found_hash: str | None,
    reason: str | None = None,
    *,
    wanted: str | None = None,
) -> Difference:
    """That *item* is not there."""
    return Difference(
        place=place, fault=Fault.MISSING, what=what, item=item, hash=found_hash, wanted=wanted, reason=reason
    )


def extra(
    place: Place, what: str, item: str, found_hash: str, *, found: str | None = None, reason: str | None = None
) -> Difference:
    """That *item* should not be there."""
    return Difference(place=place, fault=Fault.EXTRA, what=what, item=item, hash=found_hash, found=found, reason=reason)


def different(
    place: Place,
    what: str,
    item: str,
    found_hash: str | None,
    wanted: str | None,
    found: str | None,
    *,
    reason: str | None = None,
) -> Difference:
    """That *item* is there, but otherwise."""
    return Difference(
        place=place,
        fault=Fault.DIFFERENT,
        what=what,
        item=item,
        hash=found_hash,
        wanted=wanted,
        found=found,
        reason=reason,
    )
