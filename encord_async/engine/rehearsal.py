"""A session in which a run rehearses: what reads is sent, what would change something is answered as the service would.

This is how `plan` says exactly what a run would do: it is the run, with this in the place of the session and of what it
sends, and a ledger that forgets. Nothing that changes anything ever leaves here, and nothing is written down.

What the service would answer is worked out from what it shows of a thing and of what is in it, read once on first need.
What it does not show (whether the account may change a thing that is not its own) is taken to go well.
"""

import contextlib
import dataclasses
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import anyio

from encord_async.engine.account import Account
from encord_async.engine.doubt import Settler
from encord_async.engine.errands import Note
from encord_async.engine.making import Making
from encord_async.engine.rehearsed_files import NEW, Load, Playing
from encord_async.engine.ticket import Lane, Ticket
from encord_async.errors import EncordError, ForbiddenError, NotFoundError, RefusedError
from encord_async.journal.record import Ledger, MemoryLedger, Record, State, Told, Word, tell_soon
from encord_async.journal.taken_off import Renamed, Said, TakenOffs
from encord_async.kinds.chore import Chore
from encord_async.kinds.entry import Entry
from encord_async.kinds.errand import Ending
from encord_async.kinds.membership import Membership, Relation
from encord_async.kinds.names import Names
from encord_async.kinds.reading import Unlisted, unless_refused
from encord_async.kinds.registry import maker_of, probe_of
from encord_async.kinds.thing import Admission, DatasetAPI, Thing, Update
from encord_async.protocol.catalogue import Effect
from encord_async.protocol.operations.base import Operation, PageOperation
from encord_async.protocol.request import Request
from encord_async.protocol.rest_models import Page
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["Audience", "Change", "Overlay", "Rehearsal", "is_new"]

T = TypeVar("T")

Change: TypeAlias = tuple[Membership, str, str]
"""A membership that would change: the kind of step, the thing, and who or what."""


class Rehearsal:
    """Takes the place of *session*, and of what sends (`Sends`), for a run; see the module."""

    def __init__(self, session: Session, *, dataset_api: DatasetAPI, on_read: Callable[[], None]) -> None:
        self._session = session
        self.settings, self.clock, self.identity = session.settings, session.clock, session.identity
        self.check_open, self.statistics = session.check_open, session.statistics
        self.account = Account(self, dataset_api=dataset_api, on_read=on_read)
        self._numbers = itertools.count(1)
        self._lock = anyio.Lock()
        self._made: dict[str, Thing] = {}
        """What would be made, by its stand-in."""
        self._foretold: dict[str, object] = {}
        """What reading it would show, of some."""
        self._held: dict[tuple[Relation, str], dict[str, int | None]] = {}
        """What is in things, as far as somebody asked, with what the rehearsal has changed; by `Relation.folded`."""
        self._named: dict[Names, set[str]] = {}
        self._new_names: set[tuple[Names, str]] = set()
        """Names that would be made, of which nobody has asked yet."""
        self._admitted: dict[Admission, set[str] | None] = {}
        self._there: dict[Thing, frozenset[str] | None] = {}
        self._seen: dict[Operation[Any], object] = {}
        self._changes: set[Change] = set()
        """What would really change; a membership that is so already does not."""
        self._replaced: dict[Change, int | None] = {}
        """Roles that were replaced, of which nobody has asked yet."""
        self._updated: dict[str, Update] = {}
        """How things were changed, by their hashes, of which nobody has asked yet."""
        self._grown: set[str] = set()
        """Things that would have more to work on in them."""
        self._files = Playing(self)
        self._loads: dict[bytes, Load] = {}
        """What would become of the files of steps, of which nobody has asked yet."""
        self._shown: dict[Operation[Any], object] = {}
        """What reading them would show, of things that were changed."""
        self.failure: EncordError | None = None
        """Why the service could not be read, if it could not: then what follows from it says nothing."""

    def take(self, change: Change) -> bool:
        """Whether *change* has been made since it was last asked about: of two that wish for it one makes it."""
        is_made = change in self._changes
        self._changes.discard(change)
        return is_made

    def take_role(self, change: Change) -> int | None:
        """The role that *change* has replaced, if it has and nobody has asked about that before."""
        return self._replaced.pop(change, None)

    def take_update(self, found: str | None) -> Update | None:
        """How the thing with the hash *found* was changed, if it was and nobody has asked about that before."""
        return self._updated.pop(found or "", None)

    def take_load(self, step: bytes) -> Load | None:
        """What would become of the files of *step*, if it is about some and nobody has asked before."""
        return self._loads.pop(step, None)

    def take_name(self, names: Names, name: str) -> bool:
        """Whether *name* would be made, and nobody has asked about that before."""
        is_new = (names, name) in self._new_names
        self._new_names.discard((names, name))
        return is_new

    # ------------------------------------------------------------------ what a run needs of a session

    @property
    def is_free(self) -> bool:
        return self._session.is_free

    @property
    def in_outage(self) -> bool:
        return self._session.in_outage

    def report_in_doubt(self, kind: str) -> None:
        """Nothing: a rehearsal leaves nothing in doubt."""

    async def execute(self, operation: Operation[T], **how: Any) -> T:
        """Send *operation*, which reads; what would only be made is imagined."""
        if operation.effect is not Effect.READ:
            raise AssertionError(f"{type(operation).__name__} would change something")
        imagined = self._shown.get(operation) if self._shown else None
        imagined = self._imagined(operation) if imagined is None else imagined
        if imagined is not None:
            return cast("T", imagined)
        with self._reading():
            return await self._session.execute(operation, **how)

    async def pages(self, listing: PageOperation[T]) -> AsyncIterator[Page[T]]:
        with self._reading():
            async for page in self._session.pages(listing):
                yield page

    async def collect(self, listing: PageOperation[T]) -> tuple[T, ...]:
        with self._reading():
            return await self._session.collect(listing)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Note what keeps the service from being read; that it refuses to show something is an answer.

        So is one that is too large: who asks may ask for less.
        """
        try:
            yield
        except RefusedError:
            raise
        except EncordError as error:
            if error.code != "REPLY_TOO_LARGE":
                self.failure = self.failure or error
            raise

    # ------------------------------------------------------------------ answers

    def _imagined(self, operation: Operation[Any]) -> object | None:
        """What the service would answer about a thing that would only be made; None if it is there."""
        fields = (getattr(operation, field.name) for field in dataclasses.fields(cast("Any", operation)))
        about = next((value for value in fields if isinstance(value, str) and is_new(value)), None)
        if about is None:
            return None
        made = self._made[about]
        if made.inner is not None and operation == made.inner.listing(about):
            return ()
        if operation != made.probe(about):
            raise AssertionError(f"nobody can say what {type(operation).__name__} answers about {about}")
        if about in self._foretold:
            return self._foretold[about]
        held = {} if made.items is None else self._held.get((made.items, about), {})
        return made.imagined(about, held)

    # ------------------------------------------------------------------ what a run sends

    async def create(
        self,
        making: Making,
        request: Request,  # noqa: ARG002 - nothing leaves
        stop: Stop,  # noqa: ARG002 - as above
        is_new: Callable[[object], bool],  # noqa: ARG002 - as above
    ) -> str:
        """See `Sends`."""
        kind, draft = making.kind, making.draft
        items = kind.items if isinstance(kind, Thing) else None
        if items is not None:
            await self._see(items.item, making.order.items[: draft.taken])
        for needed, found_hash in draft.needs:
            maker = maker_of(needed)
            if isinstance(maker, Thing) and not found_hash.startswith(NEW):
                await self._look(maker.probe(found_hash))
        stand_in = f"{NEW}{next(self._numbers)})"
        if isinstance(kind, Thing):
            self._made[stand_in] = kind
            foretold = kind.foretold(stand_in, draft)
            if foretold is not None:
                self._foretold[stand_in] = foretold
        if items is not None:
            self._give(items.give, stand_in, making.order.items[: draft.taken], None)
        return stand_in

    async def put(self, lane: Lane, items: tuple[str, ...], stop: Stop) -> Mapping[str, int] | None:  # noqa: ARG002
        relation, about = lane.kind.relation, lane.parent_hash
        await self._read_held(relation, about)
        if lane.kind.takes:
            held = self._held[relation, about]
            for item in items:
                if relation.folded(item) in held:
                    del held[relation.folded(item)]
                    self._changes.add((lane.kind, about, item))
            return None
        await self._see(relation.item, items)
        if relation.names is not None:
            await self._name(relation.names, items)
        return self._give(lane.kind, about, items, None if lane.role is None else int(lane.role))

    async def replace(
        self,
        lane: Lane,
        items: tuple[str, ...],
        stop: Stop,  # noqa: ARG002 - nothing leaves
        give_up: Stop,  # noqa: ARG002 - as above
    ) -> Mapping[str, int]:
        """See `Sends`."""
        relation, about = lane.kind.relation, lane.parent_hash
        held = self._held[relation, about]
        shown = {relation.folded(item): int(lane.role or 0) for item in items}
        self._replaced |= {(lane.kind, about, item): held[relation.folded(item)] for item in items}
        held.update(shown)
        return shown

    async def update(self, kind: Thing, found: str, update: Update, stop: Stop) -> None:  # noqa: ARG002 - as above
        self._updated[found] = update
        self._shown[kind.probe(found)] = update.shows

    async def check_may_remove(self, relation: Relation, about: str) -> None:
        """See `Sends`; whoever makes a thing is its Admin."""
        if not is_new(about):
            await relation.check_may_remove(self, about)

    async def go_on(self, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:  # noqa: ARG002
        relation, load = lane.kind.relation, ticket.step.load
        if isinstance(relation, Chore):
            return await self._see_to(relation, lane, ticket.step.item)
        if load is None:
            await self.put(lane, (ticket.items or (ticket.step.item,)), stop)
            self._files.fills(lane.parent_hash)
            return Ending()
        found = await self._files.play(relation, lane, ticket, load)
        self._loads[ticket.step.identity] = found
        if relation.is_content and (found.amount or found.is_open):
            self._grown.add(lane.parent_hash)
        return Ending(sent=bool(found.amount) or found.is_open)

    def saw_done(self, lane: Lane, ticket: Ticket, record: Record) -> None:
        """See `Sends`; nothing waits here."""

    async def _see_to(self, chore: Chore, lane: Lane, item: str) -> Ending:
        """What is waited for is taken to come, and nobody can look at what is not there yet."""
        about, sends = lane.parent_hash, chore.sends
        if not is_new(about):
            todo = await chore.todo(self, about, item, waited_s=0.0)
            sends = todo.is_waiting or bool(todo.operations)
            sends = sends or (chore.may_send_for_more(item) and await self._has_grown(chore.parent, about))
        if sends:
            self._changes.add((lane.kind, about, item))
        return Ending(sent=sends)

    async def _has_grown(self, kind: str, about: str) -> bool:
        """Whether there would be more to work on in a thing, or in what it has in it."""
        maker = maker_of(kind)
        if not self._grown or not isinstance(maker, Thing) or maker.items is None:
            return False
        await self._read_held(maker.items, about)
        return about in self._grown or not self._grown.isdisjoint(self._held[maker.items, about])

    async def is_set(self, lane: Lane, value: str) -> bool:
        await self._read_held(lane.kind.relation, lane.parent_hash)
        return value in self._held[lane.kind.relation, lane.parent_hash]

    async def admit(self, kind: Admission, entry: Entry, stop: Stop) -> bool:  # noqa: ARG002 - as above
        known = await self._known(kind)
        if known is None:
            return True
        address = kind.address(entry).casefold()
        is_new = address not in known
        known.add(address)
        return is_new

    # ------------------------------------------------------------------ what is held

    def _give(self, kind: Membership, about: str, items: Iterable[str], role: int | None) -> Mapping[str, int] | None:
        """Put *items* in; the roles that they have then, where the service would show them."""
        relation, shown = kind.relation, dict[str, int]()
        held = self._held.setdefault((relation, about), {})
        for item in items:
            folded = relation.folded(item)
            if folded not in held or (relation.role_follows and held[folded] != role):
                self._changes.add((kind, about, item))
                if relation.is_content and not is_new(item):
                    self._grown.add(about)
                if relation.is_single:
                    held.clear()
                held[folded] = role
            had = held[folded]
            if had is not None:
                shown[folded] = had
        return shown if relation.shows_roles else None

    async def _read_held(self, relation: Relation, about: str) -> None:
        """Read what is in a thing; raises as the service does where it is not there, or not to be seen."""
        if (relation, about) in self._held or is_new(about):
            self._held.setdefault((relation, about), dict(relation.at_first))
            return
        await self._look(probe_of(relation, about))
        found = await relation.held(self, about)
        listed = {} if isinstance(found, Unlisted) else found
        # Somebody else may have read it meanwhile, and changed it.
        self._held.setdefault((relation, about), {relation.folded(item): role for item, role in listed.items()})

    async def _name(self, names: Names, items: Iterable[str]) -> None:
        """Make those of *items* that nobody has."""
        async with self._lock:
            if names not in self._named:
                self._named[names] = {names.read(one)[0] for one in await self.collect(names.listing())}
        known = self._named[names]
        self._new_names.update((names, item) for item in items if item not in known)
        known.update(items)

    async def _look(self, operation: Operation[Any]) -> None:
        """Read something, unless it was there before."""
        if operation not in self._seen:
            self._seen[operation] = await self.execute(operation)

    async def _see(self, word: str | None, items: Sequence[str]) -> None:
        """Refuse as the service does what refers to a thing, or to somebody, not there."""
        kind = None if word is None else maker_of(word)
        if isinstance(kind, Admission):
            known = await self._known(kind)
            if known is not None and not known.issuperset(item.casefold() for item in items):
                raise ForbiddenError("not everybody is a member of the organisation")
        elif isinstance(kind, Thing):
            real = [one for one in items if not is_new(one)]
            if not real:
                return
            if kind not in self._there:
                listed = await unless_refused(self.account.hashes(kind))
                self._there[kind] = None if isinstance(listed, Unlisted) else listed
            known_hashes = self._there[kind]
            for one in real:
                if known_hashes is not None and one not in known_hashes:
                    raise NotFoundError(f"no such {kind.noun}: {one!r}", code="RESOURCE_NOT_FOUND_ERROR")

    async def _known(self, kind: Admission) -> set[str] | None:
        """Addresses of everybody who is in; None if the service does not list them."""
        async with self._lock:
            if kind not in self._admitted:
                found = await kind.admitted(self)
                self._admitted[kind] = None if isinstance(found, Unlisted) else set(found)
        return self._admitted[kind]


def is_new(found: str | None) -> bool:
    """Whether this stands for something that would only be made."""
    return found is not None and found.startswith(NEW)


class Overlay:
    """A ledger that reads another one, if there is one, and keeps what is written for itself.

    Of memberships only what takes back is kept: what gives is as the rehearsed service has it.

    Attributes:
        open: Identities of the steps that the other has left open.
    """

    def __init__(self, under: Ledger | None) -> None:
        self._under = under = under or MemoryLedger()
        # Nothing is written here by an earlier run.
        self.every, self.seen, self.detached = under.every, under.seen, under.detached
        self.leftovers = under.leftovers
        self._own: dict[bytes, Record] = {}
        self._by_name: defaultdict[bytes, dict[bytes, Record]] = defaultdict(dict)
        self._moved: set[bytes] = set()
        """Identities of records whose place others have taken."""
        self._is_present: Callable[[bytes], bool] = lambda _: True
        self._is_told = False
        """Whether it is known who has gone."""
        self.is_new, self.has_made, self.has_moved = under.is_new, under.has_made, under.has_moved
        self.open: frozenset[bytes] = frozenset()

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        under = await self._under.known(identities)
        found = {one: record for one, record in under.items() if one not in self._moved}
        return found | {one: self._own[one] for one in identities if one in self._own}

    async def words(self, identities: Sequence[bytes]) -> Mapping[bytes, Word]:
        under = await self._under.words(identities)
        found = {one: word for one, word in under.items() if one not in self._moved}
        return found | {one: Word.of(self._own[one]) for one in identities if one in self._own}

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:
        """See `Ledger`."""
        await anyio.lowlevel.checkpoint()
        self._keep(records, instead_of)

    def post(self, record: Record, told: Told[T], about: T) -> None:
        """See `Ledger`."""
        self._keep((record,), ())
        tell_soon(told, about)

    def _keep(self, records: Iterable[Record], instead_of: Collection[bytes]) -> None:
        """Keep what can matter to what is still to be played."""
        inherits = not self.open.isdisjoint(instead_of)
        # Later on it says nothing of what earlier runs have left.
        self.has_moved = self.has_moved or (bool(instead_of) and not self._is_told)
        self._let_go(instead_of)
        for record in records:
            identity = record.identity
            self.open |= {identity} if inherits else set()
            takes = record.state is not State.DONE or record.kind.takes
            lets_in = isinstance(record.kind, Admission)
            if record.name is not None or takes or lets_in or identity in self.open or identity in self._own:
                self._own[identity] = record
            if record.name is not None:
                self._by_name[record.name][identity] = record

    def _let_go(self, identities: Collection[bytes]) -> None:
        self._moved.update(identities)
        self.open = self.open.difference(identities)
        for identity in identities:
            own = self._own.pop(identity, None)
            if own is not None and own.name is not None:
                del self._by_name[own.name][identity]

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        under = await self._under.namesakes(name)
        return [*self._untouched(under), *self._by_name.get(name, {}).values()]

    async def holders(self, found: str) -> Sequence[Record]:
        own = [record for record in self._own.values() if record.hash == found]
        return [*self._untouched(await self._under.holders(found)), *own]

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """See `Ledger`; kept in mind, and written nowhere."""
        self._is_present, self._is_told = is_present, True

    may_leave = True
    is_cut_off = False

    async def is_alive(self) -> None:
        """See `Ledger`; nothing leaves on its strength."""

    async def left_behind(self, name: bytes) -> Sequence[Record]:
        alike = [record for record in await self.namesakes(name) if record.state is not State.FAILED]
        lost = await self._lost(alike) if self.has_moved else set()
        return [one for one in alike if one.is_aside or one.identity in lost or not self._is_present(one.holder)]

    async def gone_things(self) -> Sequence[Record]:
        """See `Ledger`; what was in doubt, and was found as it was played, is among them."""
        if not self.has_made:
            # Nobody has said who is present.
            return ()
        made = [one async for one in self.every() if one.is_made_thing]
        known = (*self._untouched(made), *self._own.values())
        return [one for one in known if one.is_made_thing and not self._is_present(one.holder)]

    async def taken_off(self, said: Said) -> TakenOffs:
        """See `Ledger`; who takes over here what another key has made is the one that is spoken of."""
        before = (await self._under.known(list(self._moved))).values() if self._moved else ()
        now = {one.hash: one.key for one in self._own.values() if one.is_made_thing and one.key is not None}
        keys = {(one.kind.thing, one.key): now[one.hash] for one in before if one.key is not None and one.hash in now}
        return await self._under.taken_off(Renamed(said, keys))

    async def note_taken_off(self, found: TakenOffs) -> None:
        """See `Ledger`; nothing is written."""

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:
        return await self._lost(list((await self.known(keys)).values()))

    async def _lost(self, keys: Sequence[Record]) -> set[bytes]:
        """Which of these were made inside things that other entries have taken over in earlier runs."""
        made = {key.identity: key.parent_step for key in keys}
        makers = await self.known([maker for maker in made.values() if maker is not None])
        return {key.identity for key in keys if (maker := made[key.identity]) and key.has_lost(makers.get(maker))}

    async def open_intents(self) -> Sequence[Record]:
        records = await self._under.open_intents()
        self.open = frozenset(record.identity for record in records)
        return records

    def _untouched(self, records: Iterable[Record]) -> list[Record]:
        return [one for one in records if one.identity not in self._own and one.identity not in self._moved]


class Audience(Settler):
    """Looks what became of what is in doubt; what is only played proves nothing about listings."""

    def saw_created(self, record: Record, made: str, *, sent_s: float) -> None:
        """Nothing was created."""
