"""Gives things the items that they lack: what a create had no room for, or what is taken for ours and lacks some."""

from collections.abc import Sequence
from dataclasses import replace

from encord_async.engine.making import Making, held_of
from encord_async.engine.outcome import Status
from encord_async.engine.scribe import Scribe
from encord_async.engine.sending import Sends
from encord_async.engine.ticket import Lane, Result, Ticket
from encord_async.engine.updating import Updater
from encord_async.engine.verdict import FATAL, Ended
from encord_async.errors import EncordError, StoppedError
from encord_async.journal.record import Record
from encord_async.kinds.membership import Relation
from encord_async.kinds.thing import Thing
from encord_async.session.stop import Stop

__all__ = ["Contents", "items_of", "whole"]


class Contents:
    """Fills things.

    Args:
        sends: Sends what gives them items.
        scribe: Writes down which they got.
        updater: Says what one that is taken for ours lacks.
        max_batch: Most items in one request.
        stop: Ends what has not left.
    """

    def __init__(self, sends: Sends, scribe: Scribe, updater: Updater, *, max_batch: int, stop: Stop) -> None:
        self._sends = sends
        self._scribe = scribe
        self._updater = updater
        self._max_batch = max_batch
        self._stop = stop

    async def filled(
        self, ticket: Ticket, record: Record, created: Result, making: Making, rest: Sequence[str] | None
    ) -> Ended:
        """Give a thing the items *rest*, or if that is None what it lacks, and write down which ones it got."""
        made, result, failure = created.hash or "", created, None
        lacking = set(ticket.items)
        try:
            if rest is None:
                rest = await self._updater.lacking(making, made)
            lacking = set(rest)
            for some in self._chunks(rest):
                await self._sends.put(_lane_of(making, made), some, self._stop)
                lacking.difference_update(some)
        except StoppedError:
            what = items.plural if (items := items_of(making)) is not None else "items"
            why = f"the run was stopped before {len(lacking)} of its {what} were added; the next run adds them"
            result = replace(created, status=Status.CANCELLED, error=StoppedError(why))
        except EncordError as error:
            result = replace(created, status=Status.FAILED, error=error)
            failure = error if isinstance(error, FATAL) else None
        held = [item for item in ticket.items if item not in lacking]
        known = replace(record, details={**record.details, **held_of(making, held)})
        ended = await self._scribe.written([self._scribe.closed(known, created)], [(ticket, result)])
        return ended if failure is None else ended._replace(failure=failure)

    async def fill(self, making: Making, found: str) -> None:
        """Give something that is taken for ours the items that it lacks."""
        for some in self._chunks(await self._updater.lacking(making, found)):
            await self._sends.put(_lane_of(making, found), some, self._stop)

    def _chunks(self, items: Sequence[str]) -> list[tuple[str, ...]]:
        size = self._max_batch
        return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def items_of(making: Making) -> Relation | None:
    """What things of its kind can hold from the first."""
    return making.kind.items if isinstance(making.kind, Thing) else None


def whole(making: Making) -> Making:
    """*making* as it is written down of what is there, which has got all that it lacked."""
    return replace(making, details={**making.details, **held_of(making, making.order.items)})


def _lane_of(making: Making, made: str) -> Lane:
    """How a thing that is there is given its items."""
    items = items_of(making)
    if items is None:
        raise AssertionError(f"{making.kind.word} steps make nothing that holds anything")
    return Lane(items.give, made)
