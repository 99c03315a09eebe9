"""How many things that cannot be unmade a run may make, by a team's policy: `Bounded` sends no create beyond that."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from encord_async.engine.errands import Note
from encord_async.engine.making import Making
from encord_async.engine.sending import Sends
from encord_async.engine.ticket import Lane, Ticket
from encord_async.errors import ConflictError
from encord_async.journal.record import Record
from encord_async.kinds.entry import Entry
from encord_async.kinds.errand import Ending
from encord_async.kinds.membership import Relation
from encord_async.kinds.thing import Admission, Thing, Update
from encord_async.manifest.policy import Policy
from encord_async.protocol.request import Request
from encord_async.session.stop import Stop

__all__ = ["Bounded"]


class Bounded:
    """Sends as *sends* does, but no more creates than *policy* allows a run; see `Sends`."""

    def __init__(self, sends: Sends, policy: Policy) -> None:
        self._sends = sends
        self._policy = policy
        self._begun: defaultdict[str, set[bytes]] = defaultdict(set)
        """Identities of the steps that count, by what they make; one counts once, however often it is sent."""

    async def create(self, making: Making, request: Request, stop: Stop, is_new: Callable[[str], bool]) -> str:
        """See `Sends`; raises `ConflictError` instead for one too many."""
        kind, step = making.kind, making.order.step
        most, begun = self._policy.most.get(kind.what), self._begun[kind.what]
        if most is not None and step.identity not in begun:
            if len(begun) >= most:
                raise ConflictError(
                    f"{kind.noun} {step.item!r} is not made: a run makes {most} {kind.plural} at most; "
                    f"{self._policy.named(f'most.{kind.what}')}",
                    code="POLICY",
                )
            begun.add(step.identity)
        return await self._sends.create(making, request, stop, is_new)

    async def put(self, lane: Lane, items: tuple[str, ...], stop: Stop) -> Mapping[str, int] | None:
        """See `Sends`; raises `ConflictError` instead of taking something from what is protected."""
        why = self._policy.protection(lane.parent_hash) if lane.kind.takes else None
        if why is not None:
            raise ConflictError(f"nothing is removed from {lane.parent_hash}: {why}", code="POLICY")
        return await self._sends.put(lane, items, stop)

    async def replace(self, lane: Lane, items: tuple[str, ...], stop: Stop, give_up: Stop) -> Mapping[str, int]:
        """See `Sends`."""
        return await self._sends.replace(lane, items, stop, give_up)

    async def update(self, kind: Thing, found: str, update: Update, stop: Stop) -> None:
        """See `Sends`."""
        await self._sends.update(kind, found, update, stop)

    async def check_may_remove(self, relation: Relation, about: str) -> None:
        """See `Sends`."""
        await self._sends.check_may_remove(relation, about)

    async def go_on(self, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        """See `Sends`."""
        return await self._sends.go_on(lane, ticket, stop, note)

    def saw_done(self, lane: Lane, ticket: Ticket, record: Record) -> None:
        """See `Sends`."""
        self._sends.saw_done(lane, ticket, record)

    async def is_set(self, lane: Lane, value: str) -> bool:
        """See `Sends`."""
        return await self._sends.is_set(lane, value)

    async def admit(self, kind: Admission, entry: Entry, stop: Stop) -> bool:
        """See `Sends`."""
        return await self._sends.admit(kind, entry, stop)
