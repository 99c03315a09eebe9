"""A part of a manifest that was read, checked and named elsewhere, to be provisioned here. It reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from encord_async.kinds.entry import Entry
from encord_async.manifest.place import PlacedEntry
from encord_async.manifest.policy import NO_POLICY, Policy

__all__ = ["GivenNames", "Part", "PartEntry"]


@dataclass(frozen=True, slots=True)
class PartEntry:
    """An entry with its place, its position in the whole manifest, and its identity there."""

    placed: PlacedEntry
    number: int
    identity: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Entries that refer only to one another and to what is known already.

    Attributes:
        entries: The entries, in the manifest's order.
        made: Hashes of entries of other parts, by key.
        dead: Why entries of other parts will have no hash, by key.
        policy: What of a team's limits holds while it is provisioned; the others were seen to where it was read.
    """

    entries: tuple[PartEntry, ...]
    made: Mapping[str, str] = field(default_factory=dict)
    dead: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = NO_POLICY


class GivenNames:
    """In place of a `Namer`: the identities that the entries have in the whole manifest."""

    def __init__(self, part: Part) -> None:
        self._entries = iter(part.entries)

    def can_wait(self, entry: Entry) -> bool:  # noqa: ARG002 - its shape
        """Whether *entry* has the same identity whenever it is asked for; here they come in their order."""
        return False

    def identity(self, entry: Entry) -> bytes:
        """Identity of *entry*, which is the next of the part."""
        following = next(self._entries)
        if following.placed.entry is not entry:
            raise AssertionError("the entries of a part come in another order")
        return following.identity
