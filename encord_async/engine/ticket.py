"""What travels through a schedule: wishes and their tickets in, work out, results in. Data, and nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from encord_async.engine.outcome import Outcome, RoleKept, Status, worst
from encord_async.errors import EncordError
from encord_async.journal.record import Doubt, Record
from encord_async.kinds.entry import Entry
from encord_async.kinds.files import Unit
from encord_async.kinds.membership import Membership
from encord_async.kinds.step import Step
from encord_async.kinds.thing import item_digest
from encord_async.value import value

__all__ = [
    "Batch",
    "Creation",
    "Earlier",
    "Lane",
    "Result",
    "Target",
    "Ticket",
    "Wish",
    "Work",
    "tickets_of",
]


@value
class Result:
    """How one step ended."""

    status: Status
    hash: str | None = None
    error: EncordError | None = None
    blocked_by: str | None = None
    role_kept: RoleKept | None = None
    units: tuple[Unit, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def usable_hash(self) -> str | None:
        """Hash that others may build on: of what is there, even if not in all as wished."""
        return None if self.status is Status.IN_DOUBT else self.hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier run has made, of which only hashes will tell whether a step is done by it.

    Attributes:
        record: It; the thing that the step is about, or what the step made inside of one.
        held: The items that the thing had from the first, see `item_digest`.
        detached: Whether one of them may have been taken out since.
        contested: Whether another step may take over what was made.
    """

    record: Record
    held: Collection[str] = ()
    detached: bool = False
    contested: bool = False

    def held_item(self, item_hash: str) -> bool:
        """Whether the thing had this one from the first."""
        return item_digest(item_hash) in self.held


@dataclass(slots=True, eq=False)
class Target:
    """What a key stands for and has no hash yet."""

    label: str
    declared: bool = False
    dead: bool = False
    """Whether it did not come about."""
    near: bool = False
    """Whether nothing that is still to be read stands between it and its hash."""


@dataclass(slots=True, eq=False)
class Wish:
    """An entry that is not finished, with what became of its steps so far."""

    number: int
    place: str
    kind: str
    key: str | None
    identity: bytes
    target: Target
    """What later steps of this entry, and entries that refer to it, wait for."""
    said: Entry | None
    """The entry itself; None if it makes nothing and has lain in a lane meanwhile, which keeps no entries."""
    open_steps: int = 0
    lying: int = 0
    """How many of these lie in lanes that may not go yet."""
    far: int = 0
    """Unresolved references to entries not yet read."""
    status: Status | None = None
    hash: str | None = None
    error: EncordError | None = None
    blocked_by: str | None = None
    role_kept: tuple[RoleKept, ...] = ()
    candidates: tuple[str, ...] = ()
    units: tuple[Unit, ...] = ()
    """Files that could not be registered."""
    later: "tuple[Ticket, ...]" = ()
    """Those of its steps that wait for the others to end."""
    file: str | None = None
    """The file that a part of the entry was read from, as the manifest names it."""

    @property
    def entry(self) -> Entry:
        """The entry, which is there as long as anything is to be made for it."""
        if self.said is None:
            raise AssertionError(f"the entry at {self.place} was let go of")
        return self.said

    def note(self, result: Result) -> None:
        """Take over what a step of it ended in; the worst step says how the entry ended."""
        before = self.status
        self.status = result.status if before is None else worst(before, result.status)
        if result.error is not None and (self.error is None or self.status is not before):
            self.error = result.error
        self.blocked_by = self.blocked_by or result.blocked_by
        self.candidates = self.candidates or result.candidates
        self.units += result.units
        if result.role_kept is not None:
            self.role_kept += (result.role_kept,)

    def outcome(self) -> Outcome:
        """What is said of the entry when its last step has ended."""
        status = self.status or Status.UNCHANGED
        return Outcome(
            number=self.number,
            place=self.place,
            kind=self.kind,
            key=self.key,
            status=status,
            hash=self.hash,
            error=None if status.satisfied else self.error,
            blocked_by=self.blocked_by if status is Status.BLOCKED else None,
            role_kept=self.role_kept,
            candidates=self.candidates,
            units=self.units,
        )


@dataclass(slots=True, eq=False)
class Ticket:
    """A step on its way through the schedule, with what its references turned out to be.

    *parent_hash* is the thing that it is about, if it is about another than it makes. *items* are what is to be in what
    it makes, or what it gives or takes; empty where the step itself says it all. *links* are the hashes of what else
    its entry refers to, by the field.
    """

    step: Step
    wish: Wish
    missing: int = 0
    parent_hash: str | None = None
    items: tuple[str, ...] = ()
    links: Mapping[str, str] | None = None
    doubt: Doubt | None = None
    made: Earlier | None = None
    """What an earlier run has made, if only hashes will tell whether the step is done by it."""
    sends: int = 0
    word: bytes = b""
    """What a membership is written down under, once that is known."""
    last: Record | None = None
    """The last word of the ledger on it, if that is not that it is done."""
    in_lane: bool = False
    """Whether it has come into its lane."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What requests of one kind about one thing have in common."""

    kind: Membership
    parent_hash: str
    role: IntEnum | None = None


class Creation(NamedTuple):
    """Work: make one thing."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Batch:
    """Work: one request for several steps of a lane. *probed* when the thing itself was found in order."""

    lane: Lane
    tickets: tuple[Ticket, ...]
    probed: bool = False


Work: TypeAlias = Creation | Batch


def tickets_of(work: Work) -> tuple[Ticket, ...]:
    """The steps that *work* is to bring to an end."""
    return work.tickets if isinstance(work, Batch) else (work.ticket,)
