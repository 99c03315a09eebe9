"""What a run sends that changes something: creates, memberships, admissions. Sends each once, and writes nothing down.

A rehearsal puts something else in the place of `Live`, which answers as the service would.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from encord_async.engine.chores import Chores
from encord_async.engine.errands import Errands, Note
from encord_async.engine.making import Making
from encord_async.engine.names import Directory
from encord_async.engine.ticket import Lane, Ticket
from encord_async.journal.record import Record
from encord_async.kinds.chore import Chore
from encord_async.kinds.entry import Entry
from encord_async.kinds.errand import Ending
from encord_async.kinds.membership import Relation
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.kinds.thing import Admission, Thing, Update
from encord_async.protocol.operations.base import Operation, PageOperation
from encord_async.protocol.request import Request
from encord_async.protocol.rest_models import Page
from encord_async.session.clock import Clock
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["Live", "Looks", "Sends"]

T = TypeVar("T")


class Sends(Protocol):
    """Sends what changes something, unless *stop* is asked before it has left.

    All raise `StoppedError` then, and `EncordError` as `Session.execute`.
    """

    async def create(self, making: Making, request: Request, stop: Stop, is_new: Callable[[object], bool]) -> str:
        """Make something; its hash. *is_new* says of an answer whether it can be that of what was made just now."""
        ...

    async def put(self, lane: Lane, items: tuple[str, ...], stop: Stop) -> Mapping[str, int] | None:
        """Give or take *items*; the roles that they have then, if the answer shows them (`Relation.roles_shown`)."""
        ...

    async def replace(self, lane: Lane, items: tuple[str, ...], stop: Stop, give_up: Stop) -> Mapping[str, int]:
        """Take *items* out and add them again; the roles that they have then.

        Once they are being taken out only *give_up* keeps them from being added, not *stop*.
        """
        ...

    async def update(self, kind: Thing, found: str, update: Update, stop: Stop) -> None:
        """Change the thing with the hash *found*."""
        ...

    async def check_may_remove(self, relation: Relation, about: str) -> None:
        """See `Relation.check_may_remove`; a read."""
        ...

    async def go_on(self, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        """Go on with an `Errand`, `Filling` or `Chore`; when to come again, on the monotonic clock, or how it ended."""
        ...

    def saw_done(self, lane: Lane, ticket: Ticket, record: Record) -> None:
        """Note that an earlier run has done what *ticket* is about, as *record* says: it may not be seen yet."""
        ...

    async def is_set(self, lane: Lane, value: str) -> bool:
        """Whether *value* is what a thing has already, of what it has one of; a read."""
        ...

    async def admit(self, kind: Admission, entry: Entry, stop: Stop) -> bool:
        """Let somebody in; whether that is new."""
        ...


class Live(Sends):
    """Sends over *session*."""

    def __init__(self, session: Session, *, settle_s: float) -> None:
        self._session = session
        self._directory = Directory(session)
        self._errands = Errands(session, settle_s=settle_s)
        self._chores = Chores(session)

    async def create(self, making: Making, request: Request, stop: Stop, is_new: Callable[[object], bool]) -> str:
        kind = making.kind
        made = kind.hash_of(
            await self._session.execute(making.draft.operation, request=request, stop=stop, is_new=is_new)
        )
        if isinstance(kind, Thing):
            self._errands.saw_made(kind, made)
        return made

    async def put(self, lane: Lane, items: tuple[str, ...], stop: Stop) -> Mapping[str, int] | None:
        relation = lane.kind.relation
        if relation.names is not None:
            if lane.kind.takes:
                items = await self._directory.find(relation.names, items)
            else:
                items = await self._directory.get(relation.names, items, stop)
            if not items:
                return None
        answer = await self._session.execute(lane.kind.sending(lane.parent_hash, items, lane.role), stop=stop)
        return relation.roles_shown(answer) if relation.shows_roles and not lane.kind.takes else None

    async def replace(self, lane: Lane, items: tuple[str, ...], stop: Stop, give_up: Stop) -> Mapping[str, int]:
        await self.put(replace(lane, kind=lane.kind.relation.take), items, stop)
        return await self.put(lane, items, give_up) or {}

    async def update(self, kind: Thing, found: str, update: Update, stop: Stop) -> None:  # noqa: ARG002 - as sent
        await self._session.execute(update.operation, stop=stop)

    async def check_may_remove(self, relation: Relation, about: str) -> None:
        await relation.check_may_remove(self._session, about)

    async def go_on(self, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        relation = lane.kind.relation
        if isinstance(relation, Chore):
            return await self._chores.see_to(Looks(self._session, stop), relation, lane, ticket.step.item, stop)
        return await self._errands.go_on(lane, ticket, stop, note)

    def saw_done(self, lane: Lane, ticket: Ticket, record: Record) -> None:
        """See `Sends`."""
        self._errands.saw_done(lane, ticket, record)

    async def is_set(self, lane: Lane, value: str) -> bool:
        found = await lane.kind.relation.held(self._session, lane.parent_hash)
        return not isinstance(found, Unlisted) and value in found

    async def admit(self, kind: Admission, entry: Entry, stop: Stop) -> bool:
        return await self._session.execute(kind.sending(entry), stop=stop)


class Looks(Reads):
    """The reads of *session*, which end when *stop* is asked: they change nothing."""

    def __init__(self, session: Session, stop: Stop) -> None:
        self._session = session
        self._stop = stop

    @property
    def clock(self) -> Clock:
        return self._session.clock

    async def execute(self, operation: Operation[T], /) -> T:
        return await self._session.execute(operation, stop=self._stop)

    async def pages(self, listing: PageOperation[T], /) -> AsyncIterator[Page[T]]:
        pages = self._session.pages(listing)
        while (page := await self._stop.cut(lambda: anext(pages, None))) is not None:
            yield page

    async def collect(self, listing: PageOperation[T], /) -> tuple[T, ...]:
        return await self._stop.cut(lambda: self._session.collect(listing))
