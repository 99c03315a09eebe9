"""What became of an entry, and of a whole run. Frozen values; nothing here decides or waits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final, Self

from encord_async.errors import EncordError
from encord_async.kinds.files import Unit
from encord_async.manifest.files import manifest_error
from encord_async.manifest.place import PlacedEntry, Problem

__all__ = ["Outcome", "RoleKept", "Status", "Summary", "worst"]


class Status(StrEnum):
    """How an entry, or a step of it, ended. Listed from the worst to the best."""

    IN_DOUBT = "in_doubt"
    """It may have happened, and nobody could find out."""
    FAILED = "failed"
    """It was refused, or cannot be."""
    BLOCKED = "blocked"
    """Not tried, because something it needs did not come about."""
    CANCELLED = "cancelled"
    """Not tried, or not to its end, because the run was stopped; with a hash if it was made."""
    CREATED = "created"
    """It was made."""
    ADOPTED = "adopted"
    """It was there already, and is taken as ours."""
    UPDATED = "updated"
    """Something was added to it, taken from it or set."""
    UNCHANGED = "unchanged"
    """It was so already; nothing was sent for it but reads."""

    @property
    def satisfied(self) -> bool:
        """Whether the account now holds what was wished for."""
        return self in _SATISFIED


_SATISFIED: Final = frozenset({Status.CREATED, Status.ADOPTED, Status.UPDATED, Status.UNCHANGED})
_RANK: Final = {status: rank for rank, status in enumerate(Status)}


def worst(one: Status, other: Status) -> Status:
    """The one of two that says more about an entry: what went wrong first, then what was made."""
    return one if _RANK[one] <= _RANK[other] else other


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKept:
    """A user who was a member already, in another role than wanted; this API cannot change it."""

    email: str
    wanted: str
    held: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one entry; each entry of a run ends in exactly one.

    Attributes:
        number: Position of the entry in the manifest, from 1.
        place: Where it stands, for people.
        kind: The entry's kind.
        key: The entry's key, if it has one.
        status: How it ended.
        hash: Hash of what the entry made, adopted or is about, if known; of an organisation user the address.
        error: Why it is not satisfied.
        blocked_by: For a blocked entry, the reference that did not come about.
        role_kept: Members who hold another role than wanted.
        candidates: For an entry in doubt, hashes of what it may have made.
        units: Files that could not be registered, and why.
    """

    number: int
    place: str
    kind: str
    key: str | None
    status: Status
    hash: str | None = None
    error: EncordError | None = None
    blocked_by: str | None = None
    role_kept: tuple[RoleKept, ...] = ()
    candidates: tuple[str, ...] = ()
    units: tuple[Unit, ...] = ()

    @classmethod
    def cancelled(cls, number: int, placed: PlacedEntry) -> Self:
        """That of an entry which a run that was stopped did not come to."""
        entry = placed.entry
        return cls(number=number, place=str(placed.place), kind=entry.kind, key=entry.key, status=Status.CANCELLED)

    @classmethod
    def refused(cls, number: int, placed: PlacedEntry | None, problems: Sequence[Problem]) -> Self:
        """That of a bad entry, which is left out; one that could not be read is of no kind."""
        return cls(
            number=number,
            place=str(problems[0].place),
            kind="invalid" if placed is None else placed.entry.kind,
            key=None if placed is None else placed.entry.key,
            status=Status.FAILED,
            error=manifest_error(problems),
        )

    def as_json(self) -> dict[str, object]:
        """A JSON object with the members that say something."""
        shown: dict[str, object] = {
            "number": self.number,
            "place": self.place,
            "kind": self.kind,
            "key": self.key,
            "status": self.status.value,
        }
        if self.hash is not None:
            shown["hash"] = self.hash
        if self.error is not None:
            names = ("message", "code", "http_status", "trace_id", "applied")
            facts = {name: getattr(self.error, name) for name in names}
            shown["error"] = {"type": type(self.error).__name__, **facts}
        if self.blocked_by is not None:
            shown["blocked_by"] = self.blocked_by
        if self.role_kept:
            shown["role_kept"] = list(map(asdict, self.role_kept))
        if self.candidates:
            shown["candidates"] = list(self.candidates)
        if self.units:
            shown["files_failed"] = [unit._asdict() for unit in self.units]
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The sums of a run; the counts by status add up to *entries*, and those of removals to *removals*."""

    entries: int = 0
    by_status: Mapping[Status, int] = field(default_factory=dict)
    removals: int = 0
    """What `prune` and `retire` did after the manifest. Each has an outcome: all that is taken of one sort from one
    thing, or that it is said to be archived."""
    removals_by_status: Mapping[Status, int] = field(default_factory=dict)
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    uncounted: int = 0
    """Shards that a cluster lost: what they sent nobody has counted, and the three sums above are the least."""
    elapsed_s: float = 0.0
    stopped_by: str | None = None
    """Why the run ended before the manifest did, if so."""

    def count(self, status: Status) -> int:
        """Entries that ended in *status*."""
        return self.by_status.get(status, 0)

    def as_json(self) -> dict[str, object]:
        """The object that ``apply --json`` prints."""
        shown: dict[str, object] = {"entries": self.entries}
        wrong = (Status.FAILED, Status.BLOCKED, Status.IN_DOUBT, Status.CANCELLED)
        for status in (Status.CREATED, Status.ADOPTED, Status.UPDATED, Status.UNCHANGED, *wrong):
            shown[status.value] = self.count(status)
        shown |= {
            "requests": self.requests,
            "retries": self.retries,
            "throttled": self.throttled,
            "elapsed_s": round(self.elapsed_s, 3),
        }
        if self.removals:
            shown["removals"] = {status.value: number for status, number in self.removals_by_status.items() if number}
        if self.uncounted:
            shown["uncounted"] = self.uncounted
        if self.stopped_by is not None:
            shown["stopped_by"] = self.stopped_by
        return shown
