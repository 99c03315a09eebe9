"""Lets what is there follow its entry, where the API can change it and the run is asked to. What it changes is set.

Where it may not change anything it looks whether somebody else has: an entry that was edited fails only if the account
is otherwise.

It looks first, and sends only where something is otherwise. So it can be done again after a death. Before it sends it
writes down that the thing is changed: an entry that is edited back before a later run is not taken for done by what was
made of it once. What is written afterwards says that the thing was made as its entry is now.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from encord_async.engine.account import Account, plain, restamped
from encord_async.engine.changing import Changing
from encord_async.engine.making import Making
from encord_async.engine.outcome import Status
from encord_async.engine.resume import changed, edited, exchanged, is_unsure
from encord_async.engine.review import refusal
from encord_async.engine.scribe import Scribe
from encord_async.engine.sending import Looks, Sends
from encord_async.engine.ticket import Result, Ticket
from encord_async.engine.verdict import FATAL, Ended
from encord_async.errors import (
    ConflictError,
    EncordError,
    RefusedError,
    StoppedError,
)
from encord_async.journal.record import CHANGED, Record
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.thing import Order, Thing, Update
from encord_async.session.stop import Stop

__all__ = ["Updater"]

_NOT_ITS_FAULT: Final = (*FATAL, StoppedError)
_CALLED: Final = ("description", "wished_description")
_UNDER_WAY: Final = "it was to be changed, and whether it was is not known yet; run the same again"
_NOT_TOLD: Final = (
    "{} is otherwise than its entry, which was another meanwhile: it may have been changed for that, and {}"
)


class Updater:
    """Changes things.

    Args:
        sends: Sends what changes them.
        looks: Reads them.
        account: Is told whose they are.
        scribe: Writes down what became of them.
        changing: What may be changed.
        stop: Ends what has not left.
    """

    def __init__(
        self, sends: Sends, looks: Looks, account: Account, scribe: Scribe, changing: Changing, *, stop: Stop
    ) -> None:
        self._sends = sends
        self._looks = looks
        self._account = account
        self._scribe = scribe
        self._changing = changing
        self._stop = stop

    async def compared(self, ticket: Ticket, made: Record, making: Making) -> Ended:
        """What a thing that an earlier run made as *made* is for its entry as it is now.

        Raises:
            EncordError: It cannot be read or changed.
        """
        kind, found = making.kind, made.hash
        names = exchanged(kind, made, making.details) if isinstance(kind, Thing) else []
        if names:
            return await self._scribe.compared(ticket, made, changed(made, names))
        if found is None or not isinstance(kind, Thing):
            return await self._scribe.compared(ticket, made, Result(status=Status.UNCHANGED, hash=found))
        if not self._changing.edits(kind) and (names := _edited(kind, ticket, made)):
            return await self._looked_at(ticket, made, making, kind, names)
        if not (self._changing.edits(kind) or is_unsure(kind, made)):
            return await self._scribe.compared(ticket, made, Result(status=Status.UNCHANGED, hash=found))
        # By its old name others must not take it for theirs.
        self._account.claim(found)
        try:
            is_new = await self._update(kind, making, found, made)
        except _NOT_ITS_FAULT:
            raise
        except EncordError as error:
            return await self._failed(ticket, made, error)
        result = Result(status=Status.UPDATED if is_new else Status.UNCHANGED, hash=found)
        details = {**made.details, **making.details}
        now = replace(made, title=making.order.title, name=making.name, details=details, code=None, message=None)
        if now == made and not is_new:
            return Ended([(ticket, result)])
        return await self._scribe.written([now], [(ticket, result)])

    async def _looked_at(
        self, ticket: Ticket, made: Record, making: Making, kind: Thing, names: Sequence[str]
    ) -> Ended:
        """What a thing is of which the entry says *names* otherwise than it was made with, and may not change them.

        Whoever changed the entry may have changed the thing as well.
        """
        try:
            item = await self._looks.execute(kind.probe(made.hash or ""))
        except _NOT_ITS_FAULT:
            raise
        except RefusedError:
            # It shows nothing, so what is known of it is what it was made with.
            return await self._scribe.compared(ticket, made, changed(made, names))
        except EncordError as error:
            return await self._failed(ticket, made, error)
        others = _otherwise(kind, making.order, names, item)
        if others:
            return await self._scribe.compared(ticket, made, changed(made, others))
        said = making.details if kind.edited_with is not None else {one: making.details[one] for one in _CALLED}
        details = {**made.details, **said}
        now = replace(made, title=making.order.title, name=making.name, details=details, code=None, message=None)
        return await self._scribe.written([now], [(ticket, Result(status=Status.UNCHANGED, hash=made.hash))])

    async def _failed(self, ticket: Ticket, made: Record, error: EncordError) -> Ended:
        """How it ends if *error* keeps it from being compared: it is there all the same, and must not be forgotten."""
        failed = Result(status=Status.FAILED, hash=made.hash, error=error)
        note = replace(made, code=CHANGED, message=error.message)
        return await self._scribe.written([note], [(ticket, failed)])

    async def lacking(self, making: Making, found: str) -> Sequence[str]:
        """The items that something which is there lacks, and is taken for ours.

        Raises:
            ConflictError: It is otherwise than the entry wishes, and may not be changed.
            EncordError: It cannot be read or changed.
        """
        kind = making.kind
        if not isinstance(kind, Thing):
            return ()
        if not (self._changing.edits(kind) and kind.says_all(making.order.entry)):
            return await kind.lacking(self._looks, found, making.order)
        await self._update(kind, making, found, None)
        return ()

    async def _update(self, kind: Thing, making: Making, found: str, made: Record | None) -> bool:
        """Let the thing with the hash *found* be as *making* has it; whether that changes anything.

        *made* is what is written down of it, if anything is.
        """
        item = await self._looks.execute(kind.probe(found))
        order = making.order
        update = _update(kind, order, item)
        if update is None:
            return False
        if not self._changing.edits(kind):
            raise ConflictError(_NOT_TOLD.format(found, kind.stays), code=CHANGED)
        for name in (found, order.entry.key or ""):
            if (why := self._changing.policy.protection(name)) is not None:
                raise ConflictError(f"it is not changed: {why}", code="POLICY")
        review, identity = self._changing.review, order.step.identity
        if review is not None and not (review.allows(identity, "change") or review.allows(identity, "adopt", found)):
            raise refusal(review, order.step, f"the run would change {found}")
        if made is not None:
            await self._scribe.note(replace(made, code=CHANGED, message=_UNDER_WAY))
        await self._sends.update(kind, found, update, self._stop)
        return True


def _update(kind: Thing, order: Order, item: object) -> Update | None:
    """What lets *item* be as *order* has it, with the mark that it shows; None if it is so already."""
    return kind.update(replace(order, description=restamped(order.entry.description, kind.names_of(item)[1])), item)


def _edited(kind: Thing, ticket: Ticket, made: Record) -> list[str]:
    entry = ticket.wish.entry
    return edited(kind, entry, made) if isinstance(entry, MakingEntry) else []


def _otherwise(kind: Thing, order: Order, names: Sequence[str], item: object) -> list[str]:
    """Those of *names* that *item*, the answer to `Thing.probe`, shows otherwise than *order* has them."""
    entry, (title, description) = order.entry, kind.names_of(item)
    same = {
        entry.title_field: title.strip() == order.title.strip(),
        "description": plain(description) == entry.description.strip(),
    }
    is_more = any(name not in same for name in names)
    is_same = is_more and kind.says_all(entry) and _update(kind, order, item) is None
    return [name for name in names if not same.get(name, is_same)]
