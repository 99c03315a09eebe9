"""Answers to creates that were mixed up on the way: which entries must not be built on, since two got one hash.

From the wire nobody can tell that an answer is that to another create. But no two things have one hash: when a second
create is answered with it, neither is known to have made it. Pure: records and tickets in, verdicts out; it never looks
anything up and never sends.
"""

from collections.abc import Iterator
from enum import Enum

from encord_async.engine.outcome import Status
from encord_async.engine.ticket import Result, Ticket
from encord_async.errors import BlockedError, UncertainError, UnreadableReplyError
from encord_async.journal.record import Record
from encord_async.kinds.fields import referenced_key

__all__ = ["Standing", "Suspects", "mixed_up"]


class Standing(Enum):
    """Whether what an entry has made can be built on."""

    SOUND = "sound"
    UNDER_REVIEW = "under review"
    """It is being looked up right now."""
    SUSPECT = "suspect"


class Suspects:
    """Entries whose hash another create was answered with as well."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Standing] = {}
        self._keys: dict[str, Standing] = {}

    def note(self, record: Record, standing: Standing) -> None:
        """What is known now of the entry that *record* is a step of; what is inside a thing is built on by nothing."""
        if not record.kind.stands_for_entry:
            return
        self._entries[record.entry] = standing
        if record.key is not None:
            self._keys[record.key] = standing

    def __bool__(self) -> bool:
        """Whether there are any, or were."""
        return bool(self._entries)

    @property
    def error(self) -> UncertainError | None:
        """What is to be said of entries that were reported as made before they became suspect; None without any."""
        number = sum(standing is Standing.SUSPECT for standing in self._entries.values())
        if not number:
            return None
        return UncertainError(
            f"{number} of the entries that were reported as made are in doubt: another create was answered with the "
            "same hash; look with 'encord-async status', and run again to settle them"
        )

    def standing(self, ticket: Ticket) -> Standing:
        """Whether everything that *ticket* is about and builds on is sound."""
        if not self._entries:
            return Standing.SOUND
        found = {self._entries.get(ticket.wish.identity)} | {self._keys.get(key) for key in _keys_of(ticket)}
        for standing in (Standing.SUSPECT, Standing.UNDER_REVIEW):
            if standing in found:
                return standing
        return Standing.SOUND

    def result(self, ticket: Ticket) -> Result:
        """How a step ends that would build on what may be another's."""
        if self._entries.get(ticket.wish.identity) is Standing.SUSPECT:
            why = "another create was answered with the same hash, and it is not known which of them has made it"
            return Result(status=Status.IN_DOUBT, error=UncertainError(why))
        reference = next(f"@{key}" for key in _keys_of(ticket) if self._keys.get(key) is Standing.SUSPECT)
        why = f"not tried: {reference} is in doubt, since another create was answered with the same hash"
        return Result(status=Status.BLOCKED, blocked_by=reference, error=BlockedError(why))


def mixed_up(found: str) -> UnreadableReplyError:
    """What is said of a create that was answered with a hash which is not, or not surely, of its making."""
    return UnreadableReplyError(
        f"the answer names {found}, as the answer to another create did: replies are mixed up on the way; "
        "the request may have taken effect"
    )


def _keys_of(ticket: Ticket) -> Iterator[str]:
    step, entry = ticket.step, ticket.wish.said
    others = [] if entry is None else [use.reference for use in entry.references()]
    for reference in (step.parent, step.item, *others):
        key = referenced_key(reference) if reference else None
        if key is not None:
            yield key
