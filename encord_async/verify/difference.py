"""A difference between an account and a manifest, in one shape for everything. Pure: it looks nothing up."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from encord_async.manifest.place import Place

__all__ = ["NOT_PROVISIONED", "Difference", "Fault"]

NOT_PROVISIONED: Final = "the journal does not say that it was made; run 'encord-async apply'"


class Fault(StrEnum):
    """In what way the account differs from the manifest."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    """The service did not let us look."""


@dataclass(frozen=True, slots=True)
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
