"""What a run writes down about its steps, and the ledger of a run that keeps no journal.

`Record` is one step as the journal knows it; `Ledger` is what a run needs of a journal; `MemoryLedger` forgets
everything with the process. Nothing here touches a disk. No record ever holds a key or a token.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import anyio

from encord_async.errors import EncordError
from encord_async.journal.taken_off import NOTHING_TAKEN_OFF, Leftover, Said, TakenOffs
from encord_async.kinds.membership import Membership
from encord_async.kinds.step import Step, StepKind, key_wish, made_by
from encord_async.kinds.thing import InnerThing, Thing
from encord_async.manifest.digests import Seen
from encord_async.value import value

__all__ = [
    "CHANGED",
    "INNER_PARENT",
    "Doubt",
    "Ledger",
    "MemoryLedger",
    "Record",
    "State",
    "Told",
    "Word",
    "name_digest",
    "set_aside",
    "tell_soon",
]

CHANGED: Final = "CHANGED"
"""Code of something that is made, and whose entry has been changed since in what cannot follow."""
INNER_PARENT: Final = "project"
"""Under which name the details of an inner thing have the thing it is in, as its step names it."""

T = TypeVar("T")
Told: TypeAlias = Callable[[T, str | None], None]
"""Told what is written down, or why it is not."""

_WRITERS_A_TURN: Final = 4
"""So many writers go on in one turn of the event loop, as a journal lets few go on at once: all would hold it up."""


class State(StrEnum):
    """How far a step is, as written down."""

    INTENDED = "intended"
    """It may have been sent; nothing is known of its end. After a crash this means: in doubt."""
    IN_DOUBT = "in_doubt"
    """It may have happened; the settling did not find out. Looked at again by the next run."""
    DONE = "done"
    """It is done, or was so already. What was made has its hash here."""
    FAILED = "failed"
    """It did not happen, and the next run tries it again."""


@value
class Record:
    """One step as it is written down.

    Attributes:
        identity: The step's identity; of a membership what `Relation.identity` gives.
        entry: Identity of the entry that the step belongs to.
        place: Where the entry stood, for people.
        key: The entry's key, if it has one.
        kind: What the step does.
        title: Title, e-mail address or reference.
        parent_hash: The thing that the step is about, if it is about one.
        state: How far it is.
        status: How it ended, as in outcomes; empty while it has not.
        hash: Hash of what was made or adopted; for a secret a fingerprint that is none.
        name: What namesakes have in common, see `name_digest`; None for steps that create nothing.
        request: SHA-256 of the request's body, in hex: equal wishes have equal ones.
        details: What a look-up needs besides: description, scopes, datasets, what had the name before.
        code: The service's error code.
        message: Why it failed, or is in doubt.
        started_s: When it was first sent, in seconds since 1970.
        ended_s: When its result came, in seconds since 1970.
    """

    identity: bytes
    entry: bytes
    place: str = ""
    key: str | None = None
    kind: StepKind
    title: str
    parent_hash: str | None = None
    state: State
    status: str = ""
    hash: str | None = None
    name: bytes | None = None
    request: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    code: str | None = None
    message: str | None = None
    started_s: float = 0.0
    ended_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may have happened without our knowing."""
        return self.state is State.INTENDED or self.state is State.IN_DOUBT

    @property
    def is_changed(self) -> bool:
        """Whether its entry was changed since it was made, in what cannot follow: then the entry fails."""
        return self.state is State.DONE and self.code == CHANGED

    @property
    def holder(self) -> bytes:
        """What a manifest has to hold (`Roll`) so that what this made is somebody's: its entry.

        An entry may drop an inner thing, or ask for it in another one; so for such it is the very wish.
        """
        return key_wish(self.identity, self._parent) if self._names_parent else self.entry

    def is_held_by(self, step: Step) -> bool:
        """Whether *step* is the wish that this was made for, inside a thing that may go by another name now."""
        return not self._names_parent or (self.identity, self._parent) == (step.identity, step.parent)

    @property
    def parent_step(self) -> bytes | None:
        """Identity of the step that made the thing this is inside of, if it is known to be an entry's."""
        if not (isinstance(self.kind, InnerThing) and self._names_parent):
            return None
        return made_by(self.kind.parent, self.entry, self._parent)

    def has_lost(self, maker: "Record | None") -> bool:
        """Whether the thing this is inside of is another entry's now, as *maker*, of its `parent_step`, shows."""
        if maker is None or maker.state is State.FAILED:
            return True
        return not maker.is_open and maker.hash != self.parent_hash

    @property
    def token(self) -> bytes:
        """What this goes by among those who would take it over: the same before and after it is set aside."""
        return set_aside(self).identity if self.kind.is_inner and not self.is_aside else self.identity

    @property
    def is_made_thing(self) -> bool:
        """Whether it is of a thing that is there, by all that is known."""
        return isinstance(self.kind, Thing) and self.state is State.DONE and self.hash is not None

    @property
    def is_aside(self) -> bool:
        """Whether it is of no step any more, see `set_aside`."""
        return self.entry == self.identity

    @property
    def _names_parent(self) -> bool:
        return self.kind.is_inner and INNER_PARENT in self.details

    @property
    def _parent(self) -> str | None:
        parent = self.details[INNER_PARENT]
        return None if parent is None else str(parent)


class Word(NamedTuple):
    """What a ledger says of a membership: as much of its record as tells whether that is what is wished for.

    Attributes:
        kind: What the step did.
        state: How far it is.
        title: Address or reference of what was given or taken.
        role: The role that it was given.
    """

    kind: StepKind
    state: State
    title: str
    role: object

    @classmethod
    def of(cls, record: Record) -> Self:
        """What *record* says."""
        return cls(record.kind, record.state, record.title, record.details.get("role"))

    def says(self, step: Step) -> bool:
        """Whether *step*, about the same membership, is done."""
        is_it = self.state is State.DONE and self.kind is step.kind
        if is_it and isinstance(step.kind, Membership):
            relation = step.kind.relation
            is_it = relation.is_remembered and not (relation.is_single and self.title != step.item)
        return is_it and self.role == step.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What is known of a create in doubt.

    Attributes:
        record: The step as it is written down.
        since_s: When the doubt arose, on the monotonic clock; for one of an earlier run, when this run began.
        over: Whether the service cannot still be at work on it: it answered by itself, even if only that it broke
            down (see `UncertainError.is_answer`), or the process that asked is gone.
        looks: How often it was looked for.
        error: What the sending ended in, if that was in this run.
    """

    record: Record
    since_s: float
    over: bool
    looks: int = 0
    error: EncordError | None = None


def set_aside(record: Record) -> Record:
    """What takes the place of *record*, of an inner thing, when its step turns to another thing.

    It is of no entry, and so always `left_behind`: for whoever wishes for such a one there.
    """
    nobody = key_wish(record.identity, record.parent_hash)
    return replace(record, identity=nobody, entry=nobody)


def name_digest(kind: StepKind, *names: str) -> bytes:
    """Digest of what a look-up can tell things of one kind apart by: title and description, or title and scopes."""
    digest = hashlib.blake2b(kind.word.encode(), digest_size=16)
    for name in names:
        encoded = name.encode("utf-8", "replace")
        digest.update(len(encoded).to_bytes(4))
        digest.update(encoded)
    return digest.digest()


def tell_soon(told: Told[T], about: T, failure: str | None = None) -> None:
    """Tell in a later turn of the event loop."""
    asyncio.get_running_loop().call_soon(told, about, failure)


class Ledger(Protocol):
    """Where a run writes down what it is about to do and what came of it."""

    @property
    def is_new(self) -> bool:
        """Whether there is nothing in it but what this run writes."""
        ...

    @property
    def has_made(self) -> bool:
        """Whether earlier runs have made anything, or may have."""
        ...

    @property
    def has_moved(self) -> bool:
        """Whether an entry has ever taken over what another had made, so that a key may mean another thing now."""
        ...

    @property
    def is_cut_off(self) -> bool:
        """Whether it surely can be written no more, as far as that is known without asking; at hardly any cost."""
        ...

    async def is_alive(self) -> None:
        """Ask for a sign of life.

        Raises:
            JournalError: There is none: it may be another's by now.
        """
        ...

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """What earlier runs, and this one, wrote of these steps."""
        ...

    async def words(self, identities: Sequence[bytes]) -> Mapping[bytes, Word]:
        """What earlier runs, and this one, wrote of these memberships (`Relation.identity`), at less cost."""
        ...

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:
        """Write *records* down; when this returns they outlive a loss of power.

        Args:
            records: They take the place of those of the same identity.
            instead_of: Identities of records whose place they take as well, all at once: what these have made
                belongs to the new ones.

        Raises:
            JournalError: They could not be written. Nothing may be sent on their strength.
        """
        ...

    def post(self, record: Record, told: Told[T], about: T) -> None:
        """Write *record* down as `write` does, for who does not wait.

        *told* is told later that *about* is written down, or why it is not; on the loop.
        """
        ...

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """The steps that made, or may have made, something of this name."""
        ...

    def every(self) -> AsyncIterator[Record]:
        """What earlier runs wrote, in the order in which their steps began."""
        ...

    async def open_intents(self) -> Sequence[Record]:
        """All steps that may have happened without our knowing."""
        ...

    async def seen(self) -> Seen:
        """The hashes of all that was made or adopted."""
        ...

    async def holders(self, found: str) -> Sequence[Record]:
        """The steps that made or adopted what has the hash *found*: one, unless replies were mixed up."""
        ...

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """Note, for `left_behind`, what is nobody's any more.

        Args:
            is_present: Whether the manifest has this `Record.holder`.
        """
        ...

    @property
    def may_leave(self) -> bool:
        """Whether anything may be `left_behind`; else that need not be asked for each thing that is made."""
        ...

    async def left_behind(self, name: bytes) -> Sequence[Record]:
        """What was made, or may have been made, of this name and is nobody's any more; the oldest first.

        Its holder has gone; or it is inside a thing that another entry has taken over; or it was set aside.
        """
        ...

    async def gone_things(self) -> Sequence[Record]:
        """The things that were made or adopted for entries that have gone; the oldest first."""
        ...

    async def leftovers(self, hashes: Collection[str]) -> Mapping[str, Leftover]:
        """What is left in these things, as far as anything is written of it."""
        ...

    async def taken_off(self, said: Said) -> TakenOffs:
        """What entries once put somewhere and *said* does not say; read as it is now, and kept nowhere."""
        ...

    async def note_taken_off(self, found: TakenOffs) -> None:
        """Note *found*, in the place of what was noted before, for who looks at the journal alone.

        Raises:
            JournalError: It cannot be written.
        """
        ...

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:
        """Those of these records of inner things that are `left_behind`, though their steps may come to be of them."""
        ...

    async def detached(self, hashes: Collection[str]) -> Collection[str]:
        """Those of these things in which an item may be missing that was in it once."""
        ...


class MemoryLedger:
    """The ledger of a run without a journal: keeps what this run made, for its settling and for a look at the end."""

    is_new = True
    has_made = has_moved = may_leave = is_cut_off = False

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._by_name: defaultdict[bytes, list[bytes]] = defaultdict(list)
        # Gives a turn of the event loop away whenever it is taken.
        self._turnstile = anyio.Semaphore(_WRITERS_A_TURN)

    async def is_alive(self) -> None:
        """It lives as long as its run."""

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """What this run made of *identities*: there was no earlier one."""
        return {identity: self._records[identity] for identity in identities if identity in self._records}

    async def words(self, identities: Sequence[bytes]) -> Mapping[bytes, Word]:  # noqa: ARG002
        """Nothing: no membership has a name."""
        return {}

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:  # noqa: ARG002
        """Keep those that have a name, until the process ends; there are no older ones."""
        async with self._turnstile:
            for record in records:
                self._keep(record)

    def post(self, record: Record, told: Told[T], about: T) -> None:
        """See `Ledger`."""
        self._keep(record)
        tell_soon(told, about)

    def _keep(self, record: Record) -> None:
        if record.name is None:
            return
        if record.identity not in self._records:
            self._by_name[record.name].append(record.identity)
        self._records[record.identity] = record

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return [self._records[identity] for identity in self._by_name.get(name, ())]

    async def every(self) -> AsyncIterator[Record]:
        """None: there was no earlier run."""
        for record in tuple[Record, ...]():
            yield record

    async def open_intents(self) -> Sequence[Record]:
        """None, as well."""
        return ()

    async def seen(self) -> Seen:
        """Nothing: there was no earlier run."""
        return Seen()

    async def holders(self, found: str) -> Sequence[Record]:
        """See `Ledger`; reads everything, for what hardly ever happens."""
        return [record for record in self._records.values() if record.hash == found]

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """Nothing: there was no earlier run."""

    async def left_behind(self, name: bytes) -> Sequence[Record]:  # noqa: ARG002 - as above
        """Nothing, as well."""
        return ()

    async def gone_things(self) -> Sequence[Record]:
        """See `Ledger`."""
        return ()

    async def leftovers(self, hashes: Collection[str]) -> Mapping[str, Leftover]:  # noqa: ARG002 - as above
        """Nothing, as well."""
        return {}

    async def taken_off(self, said: Said) -> TakenOffs:  # noqa: ARG002 - as above
        """Nothing: there was no earlier run."""
        return NOTHING_TAKEN_OFF

    async def note_taken_off(self, found: TakenOffs) -> None:
        """See `Ledger`; nobody looks."""

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:  # noqa: ARG002 - as above
        """None, as well."""
        return ()

    async def detached(self, hashes: Collection[str]) -> Collection[str]:  # noqa: ARG002 - as above
        """None, as well."""
        return ()
