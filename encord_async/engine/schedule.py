"""The schedule: is told what happens and answers what is ready now. Synchronous and pure, without clock or I/O.

Entries come in with their steps, work goes out, results come in, outcomes go out. It never sends and never waits.
What it keeps: the entries that are not finished, and for each finished entry with a key its hash or its failure,
because any later entry may refer to it. Finished entries without a key leave nothing behind.
"""

import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from encord_async.engine.lanes import Expected, Lanes
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.ticket import (
    Batch,
    Creation,
    Earlier,
    Lane,
    Result,
    Target,
    Ticket,
    Wish,
    Work,
    tickets_of,
)
from encord_async.errors import BlockedError, ManifestError
from encord_async.journal.record import Doubt
from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.membership import Membership
from encord_async.kinds.step import PHASES, Step
from encord_async.kinds.thing import Thing

__all__ = ["Schedule", "why_dead"]


@dataclass(frozen=True, slots=True)
class _Dead:
    """A key that will never have a hash, and why."""

    why: str


_Named: TypeAlias = Target | _Dead | str

_OWN: Final = "what the same entry makes"
_A_TURN: Final = 1000
"""So many steps of lanes end at once when a run is stopped."""


class Schedule:
    """Entries in, work out; results in, outcomes out.

    Args:
        max_batch: Most steps in one envelope.
        most_lying: Most memberships that may wait for others to be sent with.
        most_whole: Most of them that are kept as objects and not as bytes.
        most_sent: Most of them under way; a request more is not begun then.
        on_end: Told each step with what it ended in.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        most_lying: int = 1_500_000,
        most_whole: int = 5_000,
        most_sent: int = 10_000,
        on_end: Callable[[Ticket, Result], None] | None = None,
    ) -> None:
        self._most_sent = most_sent
        self._on_end = on_end
        self._named: dict[str, _Named] = {}
        self._waiters: defaultdict[Target, list[Ticket]] = defaultdict(list)
        """Who waits for what has no hash yet; of most things nobody does."""
        self._creations: deque[Creation] = deque()
        self._split: deque[Batch] = deque()
        self._lanes = Lanes(max_batch=max_batch, most_lying=most_lying, most_whole=most_whole)
        self._postponed: list[tuple[float, int, Work, Result]] = []
        self._sequence = itertools.count()
        self._open = 0
        self._open_steps = [0] * PHASES
        """By their phase."""
        self._held: list[list[tuple[Ticket, Lane]]] = [[] for _ in range(PHASES)]
        """What could go and waits for its phase."""
        self._is_whole = False
        """Whether no further entry will come."""
        self._running = self._sent = self._parked = 0
        self._outcomes: deque[Outcome] = deque()
        self._cancelled = False

    # ------------------------------------------------------------------ what is known

    @property
    def open_entries(self) -> int:
        """Entries that have no outcome yet."""
        return self._open

    @property
    def parked_entries(self) -> int:
        """Open entries that wait, themselves or through others, for a key which no entry so far has."""
        return self._parked

    @property
    def lying_entries(self) -> int:
        """Open entries that wait for nothing but others to be sent with, or for their phase."""
        return self._lanes.entries

    @property
    def any_lying(self) -> bool:
        """Whether anything does."""
        return self._lanes.any_lying

    @property
    def ready_creations(self) -> int:
        """How many things could be made now."""
        return len(self._creations)

    @property
    def running(self) -> int:
        """How much work is under way."""
        return self._running

    @property
    def idle(self) -> bool:
        """Whether no work is under way, ready or postponed, and nothing lies in a lane."""
        return not any((self._running, self._creations, self._split, self._lanes, self._postponed, *self._held))

    @property
    def any_ended(self) -> bool:
        """Whether there are outcomes that nobody has taken."""
        return bool(self._outcomes)

    @property
    def next_due_s(self) -> float | None:
        """When the first postponed work is due."""
        return self._postponed[0][0] if self._postponed else None

    def take_outcomes(self, most: int | None = None) -> list[Outcome]:
        """The outcomes since the last call, *most* of them, in the order in which entries ended; of many, a part."""
        while self._cancelled and len(self._outcomes) < _A_TURN and (batch := self._lanes.pop()) is not None:
            for ticket in batch.tickets:
                self._end(ticket, Result(status=Status.CANCELLED))
        number = len(self._outcomes) if most is None else min(most, len(self._outcomes))
        return [self._outcomes.popleft() for _ in range(number)]

    def know(self, key: str, found: str | None, *, why: str = "") -> None:
        """Take in what became of an entry that is provisioned elsewhere: its hash, or *why* it will have none."""
        self._named[key] = _Dead(why) if found is None else found

    def expect(self, expected: Expected) -> None:
        """Take in beforehand what the manifest wishes for; see `Lanes`."""
        self._lanes.expect(expected)

    def report(self, outcome: Outcome) -> None:
        """Pass on the outcome of an entry that never comes in, because it is a bad one."""
        self._outcomes.append(outcome)

    # ------------------------------------------------------------------ entries

    def add(
        self,
        entry: Entry,
        steps: Iterable[Step],
        *,
        number: int,
        place: str,
        identity: bytes,
        known: Mapping[bytes, Result] | None = None,
        doubts: Mapping[bytes, Doubt] | None = None,
        file: str | None = None,
        unsure: Mapping[bytes, Earlier] | None = None,
    ) -> None:
        """Take in the next entry.

        Args:
            entry: The entry.
            steps: Its steps, as `steps_of` gives them.
            number, place: Its position in the manifest, and where it stands, for people.
            identity: Its identity.
            known: Results of steps that an earlier run has finished, by step identity.
            doubts: Steps that an earlier run has left in doubt, by step identity.
            file: The file that a part of it was read from, for people.
            unsure: What an earlier run has made for steps that may be done by it, by step identity.

        Raises:
            ManifestError: Another entry has the same key.
        """
        target = self._declare(entry)
        wish = Wish(number, place, entry.kind, entry.key, identity, target, said=entry, file=file)
        self._open += 1
        tickets: list[Ticket] = []
        for step in steps:
            tickets.append(Ticket(step, wish, doubt=doubts.get(step.identity) if doubts else None))
            self._open_steps[step.kind.phase] += 1
        wish.open_steps = len(tickets)
        if not tickets:
            self._close(wish)
        for ticket in tickets:
            ticket.made = unsure.get(ticket.step.identity) if unsure else None
            result = known.get(ticket.step.identity) if known else None
            if result is not None:
                self._end(ticket, result)
            elif ticket.step.comes_last:
                wish.later += (ticket,)
            else:
                self._enter(ticket)
        self._let_last_go(wish)
        if wish.far == 0:
            self._come_near(target)

    def _let_last_go(self, wish: Wish) -> None:
        """Let those of the steps of *wish* go on that wait for all others, if these have ended."""
        if not wish.later or wish.open_steps > len(wish.later):
            return
        later, wish.later = wish.later, ()
        is_satisfied = wish.status is None or wish.status.satisfied
        for ticket in later:
            if is_satisfied or self._cancelled:
                self._enter(ticket)
            else:
                self._end(ticket, _blocked(ticket.step.parent or _OWN, "was not tried, since the entry failed before"))

    def named(self, step: Step) -> tuple[str, str] | None:
        """The thing that *step*, which gives or takes, is about and its item; None while one of them has no hash."""
        found = self._hash_of(step.parent)
        if found is None or not isinstance(step.kind, Membership) or step.kind.relation.item is None:
            return None if found is None else (found, step.item)
        item = self._hash_of(step.item)
        return None if item is None else (found, item)

    def _hash_of(self, reference: str | None) -> str | None:
        key = None if reference is None else referenced_key(reference)
        if key is None:
            return reference
        found = self._named.get(key)
        return found if isinstance(found, str) else None

    def add_done(
        self, entry: Entry, steps: Iterable[Step], *, about: str, number: int, place: str, file: str | None = None
    ) -> None:
        """Take in the next entry, if it gives and takes alone, and an earlier run has done all of that.

        It ends at once, as an outcome: there may be a million. Arguments as for `add`, and

        Args:
            about: The hash of what it is about.
        """
        for step in steps:
            self._lanes.forgo(step, entry.key)
            if self._on_end is not None and (names := self.named(step)) is not None:
                wish = Wish(number, place, entry.kind, entry.key, b"", Target(_OWN), said=entry, file=file)
                ticket = Ticket(step, wish, parent_hash=names[0], items=(names[1],))
                self._on_end(ticket, Result(status=Status.UNCHANGED, hash=names[0]))
        done = Status.UNCHANGED
        ended = Outcome(number=number, place=place, kind=entry.kind, key=entry.key, status=done, hash=about)
        self._outcomes.append(ended)

    def pass_over(self, steps: Iterable[Step], key: str | None) -> None:
        """Note that an entry with *key*, which was expected, is not to be done."""
        for step in steps:
            self._lanes.forgo(step, key)

    def _declare(self, entry: Entry) -> Target:
        if entry.key is None or not entry.names_something:
            return Target(_OWN, declared=True)
        named = self._named.get(entry.key)
        if named is None:
            named = self._named[entry.key] = Target(f"@{entry.key}")
        if not isinstance(named, Target) or named.declared:
            raise ManifestError(f"two entries have the key {entry.key!r}; give each its own")
        named.declared = True
        return named

    def _come_near(self, first: Target) -> None:
        """Note that *first* waits for nothing that is still to be read, and who does not either because of that."""
        targets = [first]
        for target in targets:
            if target.near:
                continue
            target.near = True
            for ticket in self._waiters.get(target, ()):
                wish = ticket.wish
                if wish.target is target:
                    continue
                wish.far -= 1
                if wish.far == 0:
                    self._parked -= 1
                    targets.append(wish.target)

    def _enter(self, ticket: Ticket) -> None:
        """Queue *ticket*, or let it wait for what it needs."""
        if self._cancelled:
            self._end(ticket, Result(status=Status.CANCELLED))
            return
        waits: list[Target] = []
        for reference in self._needs(ticket):
            found = self._lookup(reference, ticket)
            if isinstance(found, _Dead):
                self._end(ticket, _blocked(reference or _OWN, found.why))
                return
            if isinstance(found, Target):
                waits.append(found)
        for target in waits:
            self._waiters[target].append(ticket)
            if not target.near and target is not ticket.wish.target:
                if ticket.wish.far == 0:
                    self._parked += 1
                ticket.wish.far += 1
        ticket.missing = len(waits)
        if not waits:
            self._ready(ticket)

    def _needs(self, ticket: Ticket) -> list[str | None]:
        """References that must have a hash first; None stands for what the entry itself makes."""
        step = ticket.step
        match step.kind:
            case Membership(relation=relation):
                return [step.parent, step.item] if relation.item is not None else [step.parent]
            case Thing():
                items = step.kind.references(ticket.wish.entry) if ticket.made is None else ()
                return [*items, *step.kind.linked(ticket.wish.entry).values()]
        return [step.parent] if step.kind.is_inner else []

    def _lookup(self, reference: str | None, ticket: Ticket) -> _Named:
        """What *reference* stands for: a hash or address, something to wait for, or something that will not come."""
        if reference is None:
            wish = ticket.wish
            if wish.hash is not None:
                return wish.hash
            # Not by its status: a step with a reference to something that failed may have ended before the first one.
            return _Dead("it did not come about") if wish.target.dead else wish.target
        key = referenced_key(reference)
        if key is None:
            return reference
        return self._named.setdefault(key, Target(reference))

    def _ready(self, ticket: Ticket) -> None:
        if self._cancelled:
            self._end(ticket, Result(status=Status.CANCELLED))
            return
        step, kind = ticket.step, ticket.step.kind
        if isinstance(kind, Membership):
            ticket.parent_hash = self._hash(step.parent, ticket)
            if kind.relation.item is not None:
                ticket.items = (self._hash(step.item, ticket),)
        elif isinstance(kind, Thing):
            entry = ticket.wish.entry
            if ticket.made is None:
                ticket.items = tuple(dict.fromkeys(self._hashes(kind.references(entry), ticket)))
            links = kind.linked(entry)
            ticket.links = dict(zip(links, self._hashes(links.values(), ticket), strict=True))
        elif kind.is_inner:
            ticket.parent_hash = self._hash(step.parent, ticket)
        if _is_done(ticket):
            self._end(ticket, Result(status=Status.UNCHANGED, hash=ticket.parent_hash))
        elif isinstance(kind, Membership):
            lane = Lane(kind, ticket.parent_hash or "", step.role)
            if kind.phase and not self._has_come(kind.phase):
                self._held[kind.phase].append((ticket, lane))
                self._lanes.lie(ticket.wish)
            else:
                self._lanes.add(ticket, lane)
        else:
            self._creations.append(Creation(ticket))

    def _has_come(self, phase: int) -> bool:
        return self._is_whole and not any(self._open_steps[:phase])

    def _let_phases_come(self) -> None:
        """Let those go that have waited for their phase, if it has come."""
        for phase, held in enumerate(self._held):
            if held and self._has_come(phase):
                self._held[phase] = []
                for ticket, lane in held:
                    self._lanes.rise(ticket.wish)
                    self._lanes.add(ticket, lane)

    def _hashes(self, references: Collection[str], ticket: Ticket) -> Sequence[str]:
        return [self._hash(one, ticket) for one in references] if references else ()

    def _hash(self, reference: str | None, ticket: Ticket) -> str:
        found = self._lookup(reference, ticket)
        if not isinstance(found, str):
            raise AssertionError(f"{reference} has no hash yet")
        return found

    # ------------------------------------------------------------------ work

    def next(self, now_s: float) -> Work | None:
        """The next piece of work, or None if nothing is ready.

        What others wait for comes first: postponed work that is due, creations, halves of refused batches, and
        then the lanes that may go.
        """
        work = self._pop(now_s)
        if work is not None:
            self._begin(work)
        return work

    def next_creation(self) -> Creation | None:
        """The next thing to be made, or None if none is ready."""
        self._running += bool(self._creations)
        return self._creations.popleft() if self._creations else None

    def next_but_creations(self, now_s: float) -> Work | None:
        """The same as `next`, but nothing while there are creations that are not postponed."""
        is_due = self._postponed and self._postponed[0][0] <= now_s
        return self.next(now_s) if is_due or not self._creations else None

    def _begin(self, work: Work) -> None:
        self._running += 1
        if isinstance(work, Batch):
            self._sent += len(work.tickets)

    def _leave(self, work: Work) -> None:
        """*work* is not under way any more."""
        self._running -= 1
        if isinstance(work, Batch):
            self._sent -= len(work.tickets)

    def _pop(self, now_s: float) -> Work | None:
        if self._cancelled:
            return None
        if self._postponed and self._postponed[0][0] <= now_s:
            return heapq.heappop(self._postponed)[2]
        if self._creations:
            return self._creations.popleft()
        if self._split:
            return self._split.popleft()
        # Those of a lane become objects when it is sent: there may be a million that all could go now.
        return self._lanes.pop() if self._sent < self._most_sent else None

    def let_go(self, *, stuck: bool) -> bool:
        """Let lanes go that may not yet, now that nothing is ready; whether there were any.

        Args:
            stuck: All of them, since nothing else can be done. Otherwise one, now and then.
        """
        if not self._lanes.any_lying:
            return False
        if not stuck:
            return self._lanes.let_one_go()
        self._lanes.let_all_go()
        return True

    def finish(self, work: Work, results: Iterable[tuple[Ticket, Result]]) -> None:
        """Take in what *work* ended in: a result for each of its tickets."""
        self._leave(work)
        tickets = {id(ticket) for ticket in tickets_of(work)}
        for ticket, result in results:
            tickets.remove(id(ticket))
            self._end(ticket, result)
        if tickets:
            raise AssertionError(f"{len(tickets)} steps were left without a result")

    def split(self, batch: Batch) -> None:
        """Put a refused batch back as two halves, so that the culprit will stand alone."""
        self._leave(batch)
        if self._cancelled:
            for ticket in batch.tickets:
                self._end(ticket, Result(status=Status.CANCELLED))
            return
        middle = len(batch.tickets) // 2
        for half in (batch.tickets[:middle], batch.tickets[middle:]):
            self._split.append(Batch(batch.lane, half, probed=True))

    def postpone(self, work: Work, due_s: float, *, otherwise: Result) -> None:
        """Put *work* back until *due_s*; if the run is cancelled before that, its steps end in *otherwise*."""
        self._leave(work)
        if self._cancelled:
            for ticket in tickets_of(work):
                self._end(ticket, otherwise)
            return
        heapq.heappush(self._postponed, (due_s, next(self._sequence), work, otherwise))

    # ------------------------------------------------------------------ ends

    def end_of_manifest(self) -> None:
        """No further entry will come: who waits for a key that no entry has is told so."""
        orphans = [named for named in self._named.values() if isinstance(named, Target) and not named.declared]
        for target in orphans:
            target.declared = True
            error = ManifestError(f"refers to {target.label}, and no entry has that key; add it or give a hash")
            for ticket in self._release(target):
                self._end(ticket, Result(status=Status.FAILED, error=error))
        self._lanes.close(self._waiting())
        self._is_whole = True
        self._let_phases_come()

    def _waiting(self) -> Iterable[Ticket]:
        """Who waits for what has a key, each once."""
        keyed = [waiters for target, waiters in self._waiters.items() if target.label != _OWN]
        return {id(ticket): ticket for waiters in keyed for ticket in waiters}.values()

    def cancel(self) -> None:
        """End every step that is not under way, now and from now on, with `Status.CANCELLED`."""
        self._cancelled = True
        ends = [(ticket, otherwise) for _, _, work, otherwise in self._postponed for ticket in tickets_of(work)]
        self._postponed.clear()
        queued = [creation.ticket for creation in self._creations]
        queued += [ticket for batch in self._split for ticket in batch.tickets]
        for ticket in (ticket for held in self._held for ticket, _ in held):
            self._lanes.rise(ticket.wish)
            queued.append(ticket)
        self._held = [[] for _ in range(PHASES)]
        self._creations.clear()
        self._split.clear()
        # There may be a million in lanes: they end as outcomes are taken.
        self._lanes.close(())
        for named in self._named.values():
            if isinstance(named, Target) and not named.declared:
                queued += self._release(named)
        ends += [(ticket, Result(status=Status.CANCELLED)) for ticket in queued]
        for ticket, result in ends:
            self._end(ticket, result)

    def _end(self, first: Ticket, first_result: Result) -> None:
        """Note a result and all that follows from it; a chain of any length, without recursion."""
        ends = [(first, first_result)]
        for ticket, result in ends:
            wish = ticket.wish
            if ticket.missing < 0:
                continue
            ticket.missing = -1
            self._open_steps[ticket.step.kind.phase] -= 1
            wish.note(result)
            if self._on_end is not None:
                self._on_end(ticket, result)
            if ticket.step.kind.stands_for_entry:
                ends.extend(self._resolve(wish, result))
            elif wish.hash is None:
                wish.hash = ticket.parent_hash or result.hash
            if not ticket.in_lane and not self._cancelled:
                self._lanes.forgo(ticket.step, wish.key)
            wish.open_steps -= 1
            if wish.open_steps == 0:
                self._close(wish)
            else:
                self._lanes.ended(wish)
                self._let_last_go(wish)
        if self._is_whole and not self._cancelled and not self._open_steps[0]:
            self._let_phases_come()

    def _resolve(self, wish: Wish, result: Result) -> list[tuple[Ticket, Result]]:
        """Let those go on who waited for *wish*, or say with what they end."""
        target, key = wish.target, wish.key
        found = wish.hash = result.usable_hash
        if key is not None:
            self._named[key] = found if found is not None else _Dead(why_dead(result))
        if found is None:
            target.dead = True
            follows = _blocked(target.label, why_dead(result))
            if result.status is Status.CANCELLED:
                follows = Result(status=Status.CANCELLED)
            return [(ticket, follows) for ticket in self._release(target)]
        for ticket in self._release(target):
            ticket.missing -= 1
            if ticket.missing == 0:
                self._ready(ticket)
        return []

    def _release(self, target: Target) -> list[Ticket]:
        """The open tickets that waited for *target*."""
        waiters = self._waiters.pop(target, ())
        return [ticket for ticket in waiters if ticket.missing > 0] if waiters else []

    def _close(self, wish: Wish) -> None:
        if wish.far > 0:
            wish.far = 0
            self._parked -= 1
        self._open -= 1
        self._outcomes.append(wish.outcome())


def _is_done(ticket: Ticket) -> bool:
    """Whether an earlier run has done this very step, now that it is known what it is about."""
    made = ticket.made
    if made is None:
        return False
    kind = ticket.step.kind
    if kind.is_inner:
        return made.record.parent_hash == ticket.parent_hash and not made.contested
    return isinstance(kind, Membership) and not made.detached and made.held_item(*ticket.items)


def _blocked(reference: str, why: str) -> Result:
    return Result(status=Status.BLOCKED, blocked_by=reference, error=BlockedError(f"not tried: {reference} {why}"))


def why_dead(result: Result | Outcome) -> str:
    """What is said of a key that never gets a hash."""
    if result.error is not None and result.status is not Status.BLOCKED:
        return f"{result.status.value.replace('_', ' ')}: {result.error.message}"
    if result.blocked_by is not None:
        return f"blocked by {result.blocked_by}"
    return result.status.value.replace("_", " ")
