"""Lets somebody in; says of who is in already, and whose entry was edited since, whether that is what it wishes for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import anyio

from encord_async.engine.outcome import Status
from encord_async.engine.scribe import Scribe
from encord_async.engine.sending import Looks, Sends
from encord_async.engine.ticket import Result, Ticket
from encord_async.engine.verdict import Ended
from encord_async.errors import ConflictError
from encord_async.journal.record import CHANGED
from encord_async.kinds.reading import Unlisted
from encord_async.kinds.thing import Admission
from encord_async.session.stop import Stop

__all__ = ["Admitter"]

_NOT_SEEN: Final = "whether it has changed there cannot be seen, since the service does not list its users"


class Admitter:
    """Lets people in.

    Args:
        sends: Sends what lets them in.
        looks: Reads who is in.
        scribe: Writes down what became of them.
        stop: Ends what has not left.
    """

    def __init__(self, sends: Sends, looks: Looks, scribe: Scribe, *, stop: Stop) -> None:
        self._sends = sends
        self._looks = looks
        self._scribe = scribe
        self._stop = stop
        self._lock = anyio.Lock()
        self._admitted: dict[Admission, Mapping[str, object] | Unlisted] = {}

    async def compared(self, ticket: Ticket, kind: Admission) -> Ended | None:
        """What somebody is for an entry that let them in as something else once; None if they are to be let in (again).

        Raises:
            EncordError: Who is in cannot be read.
        """
        if ticket.made is None:
            return None
        entry, made = ticket.wish.entry, ticket.made.record
        address = kind.address(entry)
        admitted = await self._who_is_in(kind)
        if isinstance(admitted, Unlisted):
            why = f"{_NOT_SEEN}; {kind.stays}"
        else:
            found = admitted.get(address.casefold())
            if found is None:
                return None
            others = [f"{one.what} {one.found} and not {one.wanted}" for one in kind.differences(entry, found)]
            if not others:
                same = Result(status=Status.UNCHANGED, hash=address)
                return await self._scribe.ended([(ticket, same)], instead_of={made.identity})
            why = f"{address} has the {' and the '.join(others)}; {kind.stays}"
        error = ConflictError(f"it was another when it was applied: {why}", code=CHANGED)
        # They are in all the same, and what let them in is written down there.
        note = replace(made, code=CHANGED, message=error.message)
        failed = Result(status=Status.FAILED, hash=address, error=error)
        return await self._scribe.written([note], [(ticket, failed)])

    async def _who_is_in(self, kind: Admission) -> Mapping[str, object] | Unlisted:
        """As of the first time that it is asked."""
        async with self._lock:
            if kind not in self._admitted:
                self._admitted[kind] = await kind.admitted(self._looks)
        return self._admitted[kind]

    async def admit(self, ticket: Ticket, kind: Admission) -> Ended:
        """Let somebody in; for who is in already nothing happens.

        Raises:
            EncordError: It is refused, or nobody knows what came of it.
        """
        is_new = await self._sends.admit(kind, ticket.wish.entry, self._stop)
        result = Result(status=Status.UPDATED if is_new else Status.UNCHANGED, hash=ticket.step.item)
        former = () if ticket.made is None else {ticket.made.record.identity}
        return await self._scribe.ended([(ticket, result)], instead_of=former)
