"""Brings batches to their end: memberships of one thing and role, sent as one request, remembered one by one.

All of it is harmless to repeat. What a request is refused for as a whole is split until the culprit stands alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from encord_async.engine.changing import RoleChanger, Roles, role_error
from encord_async.engine.outcome import RoleKept, Status
from encord_async.engine.scribe import Scribe, units_of
from encord_async.engine.sending import Looks, Sends
from encord_async.engine.ticket import Batch, Result, Ticket
from encord_async.engine.verdict import Later, Split, Verdict
from encord_async.errors import (
    AuthenticationError,
    EncordError,
    ExistsError,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    ReplyShapeError,
    ThrottledError,
)
from encord_async.journal.record import Ledger, Record, State, Word
from encord_async.kinds.chore import Chore
from encord_async.kinds.errand import Ending, Errand
from encord_async.kinds.files import files_word
from encord_async.kinds.filling import Filling
from encord_async.kinds.membership import Membership, role_name
from encord_async.kinds.registry import probe_of
from encord_async.session.stop import Stop

__all__ = ["Batches"]


class Batches:
    """Sends memberships.

    Args:
        sends: Sends them.
        looks: Looks at things that are refused.
        ledger: Has the last word on each.
        scribe: Writes there.
        roles: Changes roles.
        stop: Ends what has not left.
    """

    def __init__(
        self,
        sends: Sends,
        looks: Looks,
        ledger: Ledger,
        scribe: Scribe,
        *,
        roles: RoleChanger,
        stop: Stop,
    ) -> None:
        self._sends = sends
        self._looks = looks
        self._ledger = ledger
        self._scribe = scribe
        self._roles = roles
        self._stop = stop
        self._sent: set[Membership] = set()
        """Which kinds of them were to be sent so far."""

    async def remembered(self, batch: Batch) -> tuple[list[tuple[Ticket, Result]], tuple[Ticket, ...]]:
        """What of *batch* is as it is wished, by the last word on it, and what is left.

        Raises:
            JournalError: The ledger cannot be read.
        """
        words = await self._words(batch)
        done: list[tuple[Ticket, Result]] = []
        left: list[Ticket] = []
        for ticket in batch.tickets:
            word = words.get(ticket.word)
            # An item that is in its thing from the first has no word until it is taken out.
            heeds = ticket.wish.said is None or ticket.wish.said.heeds_journal
            was_held = ticket.made is not None and ticket.made.held_item(*ticket.items)
            is_done = was_held if word is None else heeds and Word.of(word).says(ticket.step)
            if is_done:
                units = () if word is None else units_of(word)
                if word is not None and ticket.step.load is not None:
                    self._sends.saw_done(batch.lane, ticket, word)
                done.append((ticket, Result(status=Status.UNCHANGED, hash=ticket.parent_hash, units=units)))
                continue
            ticket.last = word
            left.append(ticket)
        return done, tuple(left)

    async def forget(self, batch: Batch) -> None:
        """Forget what is written down and *batch*, which is about to be sent, undoes.

        It may be undone although no result was ever written down. So it is with items that a thing was made with, which
        have no word of their own; a word that one is being taken out tells that.

        Raises:
            JournalError: The ledger cannot be written.
        """
        undone: list[Record] = []
        for ticket in batch.tickets:
            undoes = ticket.last is not None and ticket.last.state is State.DONE
            if undoes or (ticket.last is None and batch.lane.kind.takes and batch.lane.kind.relation.in_create):
                undone.append(self._scribe.record(ticket, Result(status=Status.CANCELLED)))
        if undone and not self._stop.was_asked:
            await self._ledger.write(undone)

    async def _words(self, batch: Batch) -> Mapping[bytes, Record]:
        """The last words on the memberships of *batch*."""
        kind = batch.lane.kind
        for ticket in batch.tickets:
            ticket.word = kind.relation.identity(batch.lane.parent_hash, _goes_by(ticket))
        self._sent.add(kind)
        alike = [one for one in self._sent if one.relation.sort == kind.relation.sort]
        if self._ledger.is_new and len(alike) == 1:
            # Nobody can have said anything else.
            return {}
        return await self._ledger.known([ticket.word for ticket in batch.tickets])

    async def send(self, batch: Batch) -> Verdict:
        """Send *batch*, or a part of what it takes.

        Raises:
            EncordError: It is refused, or cannot be sent.
        """
        items = tuple(dict.fromkeys(_item(ticket) for ticket in batch.tickets))
        if isinstance(batch.lane.kind.relation, Errand | Filling | Chore):
            return await self._go_on(batch)
        if batch.lane.kind.relation.is_single and await self._sends.is_set(batch.lane, *items):
            return await self._scribe.ended([(one, Result(status=Status.UNCHANGED)) for one in batch.tickets])
        try:
            roles = await self._sends.put(batch.lane, items, self._stop)
        except (AuthenticationError, ThrottledError):
            raise
        except RefusedError as error:
            if await self._are_gone(batch, items, error):
                return await self._scribe.ended([(one, Result(status=Status.UPDATED)) for one in batch.tickets])
            if isinstance(error, ExistsError) and len(items) == 1:
                return await self._scribe.ended([(one, Result(status=Status.UNCHANGED)) for one in batch.tickets])
            if len(items) > 1 and (batch.probed or await self._is_in_order(batch, error)):
                return Split(batch)
            raise
        if roles is not None:
            changed = await self._roles.changed(batch, roles)
            return await self._scribe.ended(list(_role_results(batch, changed)))
        return await self._scribe.ended([(ticket, Result(status=Status.UPDATED)) for ticket in batch.tickets])

    async def _are_gone(self, batch: Batch, items: tuple[str, ...], error: RefusedError) -> bool:
        """Whether what was to be taken is not there any more, as after an answer that was lost."""
        relation = batch.lane.kind.relation
        if not (batch.lane.kind.takes and relation.refuses_absent and isinstance(error, NotFoundError)):
            return False
        return not await relation.held_of(self._looks, batch.lane.parent_hash, items)

    async def _go_on(self, batch: Batch) -> Verdict:
        """Go on with what takes its time."""
        (ticket,) = batch.tickets
        ending = await self._sends.go_on(batch.lane, ticket, self._stop, partial(self._note, ticket))
        if not isinstance(ending, Ending):
            return Later(ending, Result(status=Status.CANCELLED))
        status = Status.FAILED if ending.error is not None else Status.UPDATED if ending.sent else Status.UNCHANGED
        result = Result(status=status, error=ending.error, units=tuple(ending.units))
        return await self._scribe.ended([(ticket, result)])

    async def _note(self, ticket: Ticket, details: Mapping[str, object]) -> None:
        """Write down *details* of what is not done, so far."""
        record = self._scribe.record(ticket, Result(status=Status.CANCELLED))
        await self._ledger.write([replace(record, details={**record.details, **details})])

    async def _is_in_order(self, batch: Batch, error: RefusedError) -> bool:
        """Whether the culprit is among the items: one read spares the splitting if it is what they are added to."""
        if not isinstance(error, NotFoundError | ForbiddenError):
            return True
        try:
            await self._looks.execute(probe_of(batch.lane.kind.relation, batch.lane.parent_hash))
        except (NotFoundError, ForbiddenError):
            return False
        return True


def _item(ticket: Ticket) -> str:
    return ticket.items[0] if ticket.items else ticket.step.item


def _goes_by(ticket: Ticket) -> str:
    """What is written down of a membership goes by this."""
    load = ticket.step.load
    return _item(ticket) if load is None else files_word(ticket.items, load.digest)


def _role_results(batch: Batch, roles: Roles) -> Iterator[tuple[Ticket, Result]]:
    """Compare the role that each holds with the one wanted: who is there already may keep the old one."""
    relation = batch.lane.kind.relation
    for ticket in batch.tickets:
        name = relation.folded(ticket.step.item)
        role = roles.held.get(name)
        if name in roles.lost:
            yield ticket, Result(status=Status.FAILED, error=roles.lost[name])
        elif role is None:
            error: EncordError = ReplyShapeError(f"the service succeeded, but does not list {ticket.step.item}")
            yield ticket, Result(status=Status.FAILED, error=error)
        elif role != ticket.step.role:
            wanted, held = (role_name(one, relation.roles) for one in (ticket.step.role, role))
            kept = RoleKept(email=ticket.step.item, wanted=wanted, held=held)
            stays = role_error(kept, roles.stays.get(name, ""))
            yield ticket, Result(status=Status.FAILED, error=stays, role_kept=kept)
        else:
            yield ticket, Result(status=Status.UPDATED)
