"""Writes down how steps end, and what is about to be sent. It decides nothing about what is sent, and never sends."""

from collections.abc import Collection, Sequence
from typing import Final

from encord_async.engine.making import Making
from encord_async.engine.outcome import Status
from encord_async.engine.resume import remarked
from encord_async.engine.ticket import Result, Ticket
from encord_async.engine.verdict import Ended
from encord_async.errors import EncordError, JournalError
from encord_async.journal.record import Ledger, Record, State
from encord_async.kinds.files import Unit
from encord_async.kinds.step import Step
from encord_async.protocol.request import Request
from encord_async.session.clock import Clock

__all__ = ["Scribe", "units_of"]

_UNITS: Final = "units"


class Scribe:
    """Keeps *ledger*, with the time of *clock*."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def ended(
        self,
        results: Sequence[tuple[Ticket, Result]],
        making: Making | None = None,
        *,
        instead_of: Collection[bytes] = (),
    ) -> Ended:
        """Write down how steps without an intent ended."""
        records = [self.record(ticket, result, making) for ticket, result in results]
        return await self.written(records, results, instead_of=instead_of)

    async def written(
        self,
        records: Sequence[Record],
        results: Sequence[tuple[Ticket, Result]],
        *,
        instead_of: Collection[bytes] = (),
    ) -> Ended:
        """Write down how steps ended. That it cannot be written down makes no difference to how they did."""
        try:
            await self._ledger.write(records, instead_of=instead_of)
        except JournalError as error:
            return Ended(results, failure=error)
        return Ended(results)

    async def shut(self, ticket: Ticket, intent: Record, result: Result) -> Ended:
        """Write down how a step with an *intent* ended that made nothing."""
        return await self.written([self.closed(intent, result)], [(ticket, result)])

    def taken_back(self, ticket: Ticket, intent: Record) -> Ended:
        """Have written down, for nobody who waits, that an *intent* was given up before anything was sent."""
        cancelled = Result(status=Status.CANCELLED)
        self._ledger.post(self.closed(intent, cancelled), _ignore, None)
        return Ended([(ticket, cancelled)])

    async def note(self, record: Record) -> None:
        """Write down what has to be known before something is sent; raises `JournalError`."""
        await self._ledger.write([record])

    async def compared(self, ticket: Ticket, record: Record, result: Result) -> Ended:
        """What *record* says was made is for its entry as it is now what *result* says: write that down."""
        changes = remarked(record, result)
        return await self.written(changes, [(ticket, result)]) if changes else Ended([(ticket, result)])

    async def noted(self, ticket: Ticket, record: Record, created: Result) -> Ended:
        """Write down that something is there."""
        ended = await self.written([self.closed(record, created)], [(ticket, created)])
        return ended if ended.failure is None else _unknown(ticket, created.hash or "", ended.failure)

    def told(self, ticket: Ticket, made: str, failure: str | None) -> Ended:
        """How a step ended that made something, once that is written down, or for *failure* is not."""
        if failure is not None:
            return _unknown(ticket, made, JournalError(failure))
        return Ended([(ticket, Result(status=Status.CREATED, hash=made))])

    def made(self, intent: Record, made: str) -> Record:
        """*intent* with what came of it."""
        return self.closed(intent, Result(status=Status.CREATED, hash=made))

    def intent(self, ticket: Ticket, making: Making, request: Request) -> Record:
        """What is about to be sent."""
        step, wish = ticket.step, ticket.wish
        return Record(
            identity=step.identity,
            entry=wish.identity,
            place=wish.place,
            key=wish.key,
            kind=step.kind,
            title=making.order.title,
            parent_hash=ticket.parent_hash,
            state=State.INTENDED,
            name=making.name,
            request=request.digest,
            details=making.details,
            started_s=self._clock.wall_s(),
        )

    def record(self, ticket: Ticket, result: Result, making: Making | None = None) -> Record:
        """A step without an intent, and how it ended."""
        step, wish, now_s = ticket.step, ticket.wish, self._clock.wall_s()
        return Record(
            identity=ticket.word or step.identity,
            entry=wish.identity,
            place=wish.place,
            key=wish.key,
            kind=step.kind,
            title=making.order.title if making else step.item,
            parent_hash=ticket.parent_hash,
            state=State.DONE if result.status.satisfied else State.FAILED,
            status=result.status.value,
            hash=result.hash,
            name=making.name if making else None,
            details=making.details if making else _role_details(step) | _units_details(result),
            code=result.error.code if result.error else None,
            message=result.error.message if result.error else None,
            started_s=now_s,
            ended_s=now_s,
        )

    def closed(self, record: Record, result: Result) -> Record:
        """*record* with its end."""
        state = State.DONE if result.status.satisfied else State.FAILED
        # Each by its name: `replace` takes twice as long, and this is done for each create.
        return Record(
            identity=record.identity,
            entry=record.entry,
            place=record.place,
            key=record.key,
            kind=record.kind,
            title=record.title,
            parent_hash=record.parent_hash,
            name=record.name,
            request=record.request,
            details=record.details,
            started_s=record.started_s,
            state=State.IN_DOUBT if result.status is Status.IN_DOUBT else state,
            status=result.status.value,
            hash=result.hash,
            code=result.error.code if result.error else None,
            message=result.error.message if result.error else None,
            ended_s=self._clock.wall_s(),
        )


def _unknown(ticket: Ticket, made: str, failure: EncordError) -> Ended:
    """As the ledger has it. The next run finds it; until then nobody but who reads this knows what it is."""
    unknown = Result(status=Status.IN_DOUBT, error=failure, candidates=(made,))
    return Ended([(ticket, unknown)], failure=failure)


def _ignore(about: None, failure: str | None) -> None:
    """Nobody waits for it."""


def _role_details(step: Step) -> dict[str, object]:
    """What is written down of a membership."""
    return {} if step.role is None else {"role": int(step.role)}


def _units_details(result: Result) -> dict[str, object]:
    """What is written down of files that could not be registered."""
    return {_UNITS: [list(unit) for unit in result.units]} if result.units else {}


def units_of(record: Record) -> tuple[Unit, ...]:
    """The files that could not be registered, by what is written down."""
    units = record.details.get(_UNITS)
    return tuple(Unit(str(url), str(error)) for url, error in units) if isinstance(units, list) else ()
