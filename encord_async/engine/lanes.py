"""Lanes: where memberships of one thing and role wait to be sent together. Pure: tickets in, batches out.

How many requests a manifest takes hangs on when a lane may go, and that is decided here and nowhere else:

- when it is full: one request takes no more;
- when it is complete: nothing more can come for it. What comes is known beforehand of a manifest that was read through
  (`Expected`); of a stream, only once it has ended;
- when so many lie here that memory asks for it: the fullest lanes then (`most_lying`);
- when the schedule says that nothing else can be done (`let_all_go`);
- and now and then before that, so that the first outcomes are not long in coming (`let_one_go`): so seldom that they
  are a twentieth of all requests at most.

Of many entries, one of which all lies in one lane that may not go is kept as a few bytes, not as objects: there may be
a million.
"""

import marshal
import struct
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Self

from encord_async.engine.ticket import Batch, Lane, Target, Ticket, Wish
from encord_async.kinds.entry import Entry
from encord_async.kinds.membership import Membership
from encord_async.kinds.step import IDENTITY_BYTES, Step, one
from encord_async.manifest.digests import Digests

__all__ = ["Expected", "Lanes"]

_SPARE: Final = 40
"""One in so many requests, those that are sure to come among them, may go before its lane is full or complete."""
_OBJECT: Final = 10
"""A step that is kept as objects takes as much room as so many kept as bytes."""
_HEAD: Final = struct.Struct(f"<?HI{IDENTITY_BYTES}s")
"""Before an entry that is kept as bytes: whether only the name of its one item follows, how many bytes do, its number,
its identity."""
_MOST_TOLD: Final = 2**16 - 1


class Expected:
    """How many steps are still to come for each lane, by what entries say of it: the thing as they name it."""

    def __init__(self) -> None:
        self._steps = Digests("i")

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """What *entries* wish for."""
        expected = cls()
        for entry in entries:
            expected.add(entry)
        return expected

    def __len__(self) -> int:
        """How many lanes anything came for."""
        return len(self._steps)

    def add(self, entry: Entry) -> None:
        """Expect what *entry* wishes for."""
        self.add_steps(entry.steps(b""), entry.key)

    def add_steps(self, steps: Iterable[Step], key: str | None) -> None:
        """Expect *steps* of an entry with *key*."""
        for step in steps:
            name = _name_of(step, key)
            if name is not None:
                self.add_to(name, 1)

    def add_to(self, name: int, number: int) -> None:
        """Expect *number* steps more for the lane that has this name."""
        self._steps.add(name, number)

    def more(self, name: int) -> bool:
        """Whether anything is still to come for the lane that has this name."""
        return self._steps.get(name) > 0

    def copy(self) -> Self:
        """Another one, for another run."""
        copy = type(self)()
        copy._steps = self._steps.copy()  # noqa: SLF001 - its own
        return copy


def _name_of(step: Step, key: str | None) -> int | None:
    """The name of the lane that *step* of an entry with *key* comes into; None if no other entry can name it.

    What an entry without a key makes is such: its steps come all at once.
    """
    if not isinstance(step.kind, Membership):
        return None
    about = step.parent or (None if key is None else f"@{key}")
    if about is None:
        return None
    return hash((step.kind.word, about, step.role))


class _Waiting:
    """What waits in one lane.

    Attributes:
        tickets: Steps, as objects.
        packed: Entries, as bytes, each behind its length.
        packed_steps, packed_entries: How many there are.
        origin: What entries have in common that are packed here: kind, thing as they name it, beginning of place.
        names: By which the lane goes in what is expected.
        run: How many at the end of *tickets* are of the same wish.
    """

    __slots__ = ("names", "origin", "packed", "packed_entries", "packed_steps", "run", "tickets")

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.packed = bytearray()
        self.packed_steps = self.packed_entries = self.run = 0
        self.origin: tuple[str, str | None, str] | None = None
        self.names: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.tickets) + self.packed_steps

    @property
    def weight(self) -> int:
        return _OBJECT * len(self.tickets) + self.packed_steps

    def add(self, ticket: Ticket) -> None:
        is_of_last = self.run > 0 and self.tickets[-1].wish is ticket.wish
        self.run = self.run + 1 if is_of_last else 1
        self.tickets.append(ticket)

    def pack_last(self) -> None:
        """Keep the last wish as bytes, if all that it is can be told from them."""
        tickets = self.tickets[-self.run :]
        wish, first = tickets[0].wish, tickets[0]
        source, _, line = wish.place.rpartition(":")
        # Most often lines are numbered as entries are.
        place = None if line == str(wish.number) else wish.place
        origin = (wish.kind, first.step.parent, source if place is None else "")
        if self.origin not in {None, origin} or not _is_plain(wish, tickets):
            return
        items = [part for one in tickets for part in (one.step.item, one.items[0] if one.items else None)]
        is_bare = (place, wish.key, *items[1:]) == (None, None, None)
        told = first.step.item.encode(errors="surrogatepass") if is_bare else marshal.dumps((place, wish.key, *items))
        if len(told) > _MOST_TOLD:
            return
        self.origin = origin
        self.packed += _HEAD.pack(is_bare, len(told), wish.number, wish.identity)
        self.packed += told
        del self.tickets[-self.run :]
        self.packed_steps += self.run
        self.packed_entries += 1
        self.run = 0

    def unpack_first(self, lane: Lane) -> None:
        """Make objects of the first entry that is kept as bytes."""
        is_bare, length, number, identity = _HEAD.unpack_from(self.packed)
        end = _HEAD.size + length
        told = self.packed[_HEAD.size : end]
        # Our own bytes, which have not left this process.
        place, key, *items = (None, None, told.decode(errors="surrogatepass"), None) if is_bare else marshal.loads(told)  # noqa: S302
        del self.packed[:end]
        if self.origin is None:
            raise AssertionError("nothing was packed")
        kind, parent, source = self.origin
        wish = Wish(
            number=number,
            place=f"{source}:{number}" if place is None else place,
            kind=kind,
            key=key,
            identity=identity,
            target=Target("", declared=True, near=True),
            said=None,
            open_steps=len(items) // 2,
        )
        for item, found in zip(items[::2], items[1::2], strict=True):
            step = one(identity, lane.kind, parent, item, lane.role)
            hashes = () if found is None else (found,)
            self.tickets.append(Ticket(step, wish, parent_hash=lane.parent_hash, items=hashes, in_lane=True))
        self.packed_steps -= wish.open_steps
        self.packed_entries -= 1
        self.run = 0


def _is_plain(wish: Wish, tickets: Iterable[Ticket]) -> bool:
    """Whether *wish* is nothing but these steps about something that another has made, of which nothing is known."""
    is_ours = wish.said is not None and wish.said.heeds_journal
    is_new = is_ours and (wish.status, wish.hash, wish.file, wish.far) == (None, None, None, 0)
    return (
        is_new
        and not wish.later
        and len(wish.identity) == IDENTITY_BYTES
        and all(
            one.step.parent is not None and one.step.load is None and one.made is None and one.doubt is None
            for one in tickets
        )
    )


class Lanes:
    """All lanes of a run.

    Args:
        max_batch: Most steps in one envelope.
        most_lying: Most steps that may lie here and not go.
        most_whole: So many of them are kept as objects before any is kept as bytes, which takes time and saves room.
    """

    def __init__(self, *, max_batch: int, most_lying: int, most_whole: int) -> None:
        self._max_batch = max_batch
        self._most_lying = most_lying
        self._whole_weight = min(_OBJECT * most_whole, most_lying // 2)
        self._expected: Expected | None = None
        self._lying: dict[Lane, _Waiting] = {}
        self._ready: OrderedDict[Lane, _Waiting] = OrderedDict()
        self._by_name: dict[int, Lane] = {}
        self._weight = 0
        self._sent = self._spared = 0
        self.entries = 0
        """Entries that wait for nothing but lanes, or a phase, that may not go yet."""

    def __len__(self) -> int:
        """How many lanes have anything in them."""
        return len(self._lying) + len(self._ready)

    @property
    def any_lying(self) -> bool:
        """Whether there are lanes that may not go yet."""
        return bool(self._lying)

    def expect(self, expected: Expected) -> None:
        """Take in what will come; what lies here by then stays until something else lets it go."""
        self._expected = expected

    def close(self, waiting: Iterable[Ticket]) -> None:
        """The manifest has ended: nothing will come but what is *waiting* for something to be made."""
        expected = self._expected = Expected()
        for ticket in waiting:
            name = _name_of(ticket.step, ticket.wish.key)
            if name is not None:
                expected.add_to(name, 1)
        for lane in [lane for lane, lying in self._lying.items() if self._is_complete(lying)]:
            self._let_go(lane)

    # ------------------------------------------------------------------ in

    def add(self, ticket: Ticket, lane: Lane) -> None:
        """Put *ticket* where it belongs, now that it is known what it is about."""
        ticket.in_lane = True
        name = self._count_down(ticket.step, ticket.wish.key)
        waiting = self._ready.get(lane)
        if waiting is None:
            waiting = self._lying.get(lane)
        if waiting is None:
            waiting = self._lying[lane] = _Waiting()
        if name is not None and name not in waiting.names:
            # Others may call the thing by its hash.
            by_hash = hash((lane.kind.word, lane.parent_hash, lane.role))
            waiting.names = tuple({*waiting.names, name, by_hash})
        waiting.add(ticket)
        if lane not in self._lying:
            return
        for known in waiting.names:
            self._by_name[known] = lane
        self._weight += _OBJECT
        self.lie(ticket.wish)
        if waiting.steps >= lane.kind.most(self._max_batch) or self._is_complete(waiting):
            self._let_go(lane)
            return
        if self._weight > self._whole_weight and waiting.run == ticket.wish.open_steps:
            self._weight -= waiting.weight
            waiting.pack_last()
            self._weight += waiting.weight
        if self._weight > self._most_lying:
            self._make_room()

    def forgo(self, step: Step, key: str | None) -> None:
        """Note that *step*, of an entry with *key*, will not come into any lane."""
        name = self._count_down(step, key)
        lane = None if name is None else self._by_name.get(name)
        if lane is not None and self._is_complete(self._lying[lane]):
            self._let_go(lane)

    def ended(self, wish: Wish) -> None:
        """Note that a step of *wish* has ended that lay nowhere."""
        if 0 < wish.lying == wish.open_steps:
            self.entries += 1

    def _count_down(self, step: Step, key: str | None) -> int | None:
        name = _name_of(step, key)
        if name is not None and self._expected is not None:
            self._expected.add_to(name, -1)
        return name

    def _is_complete(self, waiting: _Waiting) -> bool:
        if not waiting.names:
            return True
        return self._expected is not None and not any(map(self._expected.more, waiting.names))

    # ------------------------------------------------------------------ out

    def pop(self) -> Batch | None:
        """The next request, if any lane may go: they take turns."""
        if not self._ready:
            return None
        lane, waiting = self._ready.popitem(last=False)
        most = lane.kind.most(self._max_batch)
        while waiting.packed_steps and len(waiting.tickets) < most:
            waiting.unpack_first(lane)
        tickets = tuple(waiting.tickets[:most])
        del waiting.tickets[:most]
        waiting.run = 0
        if waiting.steps:
            self._put_back(lane, waiting, most)
        self._sent += 1
        return Batch(lane, tickets)

    def _put_back(self, lane: Lane, waiting: _Waiting, most: int) -> None:
        """What is left of a lane may go on going, or lies again."""
        if waiting.steps >= most or self._is_complete(waiting):
            self._ready[lane] = waiting
            return
        self._lying[lane] = waiting
        for name in waiting.names:
            self._by_name[name] = lane
        self._weight += waiting.weight
        self.entries += waiting.packed_entries
        for ticket in waiting.tickets:
            self.lie(ticket.wish)

    def let_all_go(self) -> None:
        """Let every lane go as it is: nothing else can be done."""
        for lane in list(self._lying):
            self._let_go(lane)

    def let_one_go(self) -> bool:
        """Let the lane go that has waited longest, if few have gone so; whether it did."""
        floor = len(self) if self._expected is None else len(self._expected)
        if not self._lying or _SPARE * (self._spared + 1) > self._sent + floor:
            return False
        self._spared += 1
        self._let_go(next(iter(self._lying)))
        return True

    def _make_room(self) -> None:
        """Let the fullest lanes go, until half of the room is free."""
        for lane in sorted(self._lying, key=lambda lane: self._lying[lane].steps, reverse=True):
            if self._weight <= self._most_lying // 2:
                return
            self._let_go(lane)

    def _let_go(self, lane: Lane) -> None:
        waiting = self._lying.pop(lane)
        for name in waiting.names:
            self._by_name.pop(name, None)
        self._weight -= waiting.weight
        self.entries -= waiting.packed_entries
        for ticket in waiting.tickets:
            self.rise(ticket.wish)
        self._ready[lane] = waiting

    def lie(self, wish: Wish) -> None:
        """Note that a step of *wish* may not go yet."""
        wish.lying += 1
        if wish.lying == wish.open_steps:
            self.entries += 1

    def rise(self, wish: Wish) -> None:
        """Note that it may."""
        if wish.lying == wish.open_steps:
            self.entries -= 1
        wish.lying -= 1
