"""Errands and fillings, carried out over a session: started once, asked about within a small budget, and ended.

What is asked about holds a connection while the service is busy, so few may be asked at once: others come later, and
most are over by then. Nothing here writes anything down but over *note*, which is called before what it says is sent.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Container
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio.to_thread

from encord_async.engine.ticket import Lane, Ticket
from encord_async.errors import AppliedError, ForbiddenError, NotFoundError
from encord_async.kinds.errand import Ending, Errand
from encord_async.kinds.files import URLs
from encord_async.kinds.filling import Filling
from encord_async.kinds.reading import Unlisted
from encord_async.kinds.stock import Stock
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["JOB", "Errands", "Note"]

Note: TypeAlias = Callable[[str | None], Awaitable[None]]
"""Writes down that something is about to be sent, or by what it is asked for since then."""

JOB: Final = "job"
"""Under which name the details of a record have that."""

_SLOTS_A_POLL: Final = 8
_MOST_POLLS: Final = 4
"""At most one in eight of the slots of a session waits for the end of an errand, and no more than four."""
_HOLD_S: Final = 20
_MOST_JOBS: Final = 32
"""So many errands are under way at once."""
_AGAIN_S: Final = 0.1
_FIRST_ASKED_S: Final = 0.1
"""Where nothing may be held, one is asked about this long after its start, then after twice as long, up to the next."""
_MOST_WAITED_S: Final = 15.0


@dataclass(slots=True)
class _Job:
    uuid: str
    asked: int = 0


class Errands:
    """What is under way over *session*; what was made may take *settle_s* seconds to be seen."""

    def __init__(self, session: Session, *, settle_s: float) -> None:
        slots = session.settings.concurrency
        self._session = session
        self._settle_s = settle_s
        self._most_polls = max(1, min(_MOST_POLLS, slots // _SLOTS_A_POLL))
        self._hold_s = _HOLD_S if slots >= _SLOTS_A_POLL else 0
        self._stock = Stock(session)
        self._jobs: dict[bytes, _Job] = {}
        self._lost: set[str] = set()
        """Jobs that the service does not know any more."""
        self._begun_s: dict[bytes, float] = {}
        self._polls = 0

    async def go_on(self, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        """Start what *ticket* is about, or ask how far it is; when to come again, on the monotonic clock, or its end.

        Raises:
            EncordError: It cannot be started, or asked about.
        """
        relation = lane.kind.relation
        if isinstance(relation, Filling):
            return await self._fill(relation, lane, ticket, stop, note)
        if not isinstance(relation, Errand):
            raise AssertionError(f"a {relation.noun} is done at once")
        job = self._jobs.get(ticket.word) or self._taken_up(ticket)
        if job is not None:
            return await self._ask(relation, lane, ticket, job, stop)
        if len(self._jobs) >= _MOST_JOBS:
            return self._now_s() + _AGAIN_S
        operation = await stop.cut(lambda: relation.starting(self._stock, lane.parent_hash, ticket.step))
        if operation is None:
            return Ending(sent=False)
        await note(None)
        started = await self._session.execute(operation, stop=stop)
        await note(started)
        self._jobs[ticket.word] = _Job(started)
        return self._now_s() if self._hold_s else self._now_s() + _FIRST_ASKED_S

    def _taken_up(self, ticket: Ticket) -> _Job | None:
        """The job that an earlier run has started, if it is known by what it is asked for."""
        uuid = None if ticket.last is None else ticket.last.details.get(JOB)
        if not isinstance(uuid, str) or uuid in self._lost:
            return None
        job = self._jobs[ticket.word] = _Job(uuid)
        return job

    async def _ask(self, errand: Errand, lane: Lane, ticket: Ticket, job: _Job, stop: Stop) -> float | Ending:
        if self._polls >= self._most_polls:
            return self._now_s() + _AGAIN_S
        self._polls += 1
        try:
            asking = errand.asking(lane.parent_hash, job.uuid, self._hold_s)
            ending = errand.ended(await stop.cut(lambda: self._session.execute(asking)), ticket.step)
        except (ForbiddenError, NotFoundError):
            # So the service answers of a job that is not there any more: what it did is seen in the folder.
            self._lost.add(job.uuid)
            del self._jobs[ticket.word]
            return self._now_s()
        finally:
            self._polls -= 1
        if ending is not None:
            del self._jobs[ticket.word]
            return ending
        job.asked += 1
        wait_s = _AGAIN_S if self._hold_s else min(_FIRST_ASKED_S * 2.0 ** min(job.asked, 20), _MOST_WAITED_S)
        return self._now_s() + wait_s

    # ------------------------------------------------------------------ fillings

    async def _fill(self, relation: Filling, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        """Give a thing what lies in another, page by page; what is not seen there yet is waited for."""
        load = ticket.step.load
        if load is None:
            raise AssertionError(f"a {relation.noun} is about some files")
        wanted = await anyio.to_thread.run_sync(load.urls)
        there: Container[str] = ()
        if ticket.last is not None or ticket.word in self._begun_s:
            held = await stop.cut(lambda: relation.held(self._session, lane.parent_hash))
            there = () if isinstance(held, Unlisted) else held
        else:
            await note(None)
        began_s = self._begun_s.setdefault(ticket.word, self._now_s())
        sent = False
        async for some in self._met(relation, ticket.items[0], wanted, there, stop):
            await self._session.execute(relation.adding(lane.parent_hash, some, None), stop=stop)
            sent = True
        failed = {unit.url for unit in ticket.wish.units if not wanted.has_met(unit.url)}
        absent = wanted.unmet - len(failed)
        if absent <= 0:
            return Ending(sent=sent)
        now_s = self._now_s()
        if now_s < began_s + self._settle_s:
            return now_s + max(_FIRST_ASKED_S, (now_s - began_s) / 2)
        return Ending(_unseen(absent, ticket, wanted), sent=sent)

    async def _met(
        self, relation: Filling, source: str, wanted: URLs, there: Container[str], stop: Stop
    ) -> AsyncIterator[tuple[str, ...]]:
        """What lies in *source* of *wanted* and is not *there*, as much at once as a page has; each URL once."""
        pages = self._session.pages(relation.listing(source))
        while (page := await stop.cut(lambda: anext(pages, None))) is not None:
            named: list[tuple[str, str | None]] = [relation.names_of(item) for item in _results(page)]
            some = tuple(found for found, url in named if url is not None and wanted.meet(url) and found not in there)
            if some:
                yield some

    def _now_s(self) -> float:
        return self._session.clock.monotonic_s()


def _results(page: Any) -> tuple[Any, ...]:
    return tuple(page.results)


def _unseen(absent: int, ticket: Ticket, wanted: URLs) -> AppliedError:
    load = ticket.step.load
    names = () if load is None else (url for url in load.named() if not wanted.has_met(url))
    first = next(iter(names), "")
    what = "1 of the files is" if absent == 1 else f"{absent} of the files are"
    return AppliedError(
        f"{what} not in the folder {ticket.items[0]}, such as {first}, though registered; the next run links what is "
        "there then, and 'encord-async verify --fix' registers again",
        code="FILES_UNSEEN",
    )
