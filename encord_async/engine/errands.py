"""Errands and fillings, carried out over a session: started once, asked about within a small budget, and ended.

What is asked about holds a connection while the service is busy, so few may be asked at once: others come later, and
most are over by then. Nothing here writes anything down but over *note*, which is called before what it says is sent.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio.to_thread

from encord_async.engine.arrivals import Arrivals
from encord_async.engine.scribe import units_of
from encord_async.engine.ticket import Lane, Ticket
from encord_async.errors import AppliedError, EncordError, ForbiddenError, NotFoundError, StoppedError, UncertainError
from encord_async.journal.record import Record
from encord_async.kinds.errand import Ending, Errand
from encord_async.kinds.files import Portion, URLs, identity_url, url_digest
from encord_async.kinds.filling import Filling
from encord_async.kinds.picked import Picked, Picking
from encord_async.kinds.registry import relations
from encord_async.kinds.stock import Stock
from encord_async.kinds.thing import Thing
from encord_async.redaction import quoted
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["JOB", "Errands", "Note", "nameless"]

Note: TypeAlias = Callable[[Mapping[str, object]], Awaitable[None]]
"""Writes down details of what is not done, so far."""

JOB: Final = "job"
"""Under which name the details have by what it is asked for; None if it may have been sent, and nobody knows."""

_SLOTS_A_POLL: Final = 8
_MOST_POLLS: Final = 4
"""At most one in eight of the slots of a session waits for the end of an errand, and no more than four."""
_HOLD_S: Final = 20
_MOST_JOBS: Final = 32
"""So many errands are under way at once."""
_AGAIN_S: Final = 0.1
_FIRST_LOOK_S: Final = 0.5
"""What may arrive is looked for after this long, then after twice as long, up to `_MOST_WAITED_S`."""
_FIRST_ASKED_S: Final = 0.1
"""Where nothing may be held, one is asked about this long after its start, then after twice as long, up to the next."""
_MOST_WAITED_S: Final = 15.0
_SHOWN: Final = 3
_REMEMBERED_EMPTY: Final = 10_000


@dataclass(slots=True)
class _Job:
    uuid: str
    asked: int = 0


@dataclass(slots=True)
class _Lost:
    """A job that may be under way and that nobody can ask about.

    Attributes:
        wanted: The URLs that it would register.
        since_s: When it was lost, or the last of them arrived, on the monotonic clock.
        error: Why the answer was lost, if that was in this run.
    """

    wanted: URLs
    since_s: float
    error: EncordError | None
    looks: int = 0


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
        self._unknown: set[str] = set()
        """Jobs that the service does not know any more."""
        self._lost: dict[bytes, _Lost] = {}
        self._files_of: defaultdict[str, dict[bytes, frozenset[int]]] = defaultdict(dict)
        """Digests of the URLs that jobs under way are about, by folder."""
        self._sends: Counter[bytes] = Counter()
        self._begun_s: dict[bytes, float] = {}
        self._fillable = {relation.parent for relation in relations() if isinstance(relation, Filling)}
        self._empty: OrderedDict[str, None] = OrderedDict()
        """Things that this run has made, in which nothing was before."""
        self._gave: set[bytes] = set()
        """That for which anything was sent."""
        self._arrivals = Arrivals()
        self._awaited: dict[bytes, URLs] = {}
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
        is_over = True
        try:
            come_again = await self._errand(relation, lane, ticket, stop, note)
            is_over = isinstance(come_again, Ending)
        finally:
            if is_over:
                self._files_of[lane.parent_hash].pop(ticket.word, None)
        return come_again

    async def _errand(self, errand: Errand, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        load = ticket.step.load
        job = self._jobs.get(ticket.word)
        if job is None and (uuid := self._left_job(ticket)) is not None:
            job = self._jobs[ticket.word] = _Job(uuid)
            if isinstance(load, Portion):
                digests = await anyio.to_thread.run_sync(lambda: frozenset(map(url_digest, load.named())))
                self._files_of[lane.parent_hash][ticket.word] = digests
        if job is not None:
            return await self._ask(errand, lane, ticket, job, stop)
        lost = self._lost.get(ticket.word)
        if lost is None and _is_left_unsure(ticket) and isinstance(load, Portion):
            # An earlier run has sent it, it may be, and died.
            there = await stop.cut(lambda: self._stock.urls(lane.parent_hash))
            items = await anyio.to_thread.run_sync(load.lacking, there)
            lost = self._lose(lane, ticket, frozenset(url_digest(identity_url(item)) for item in items), None)
        if lost is not None:
            come_again = await self._settle(lane, ticket, lost, stop)
            if come_again is not None:
                return come_again
        return await self._start(errand, lane, ticket, stop, note)

    async def _start(self, errand: Errand, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        if len(self._jobs) >= _MOST_JOBS:
            return self._now_s() + _AGAIN_S
        operation = await stop.cut(lambda: errand.starting(self._stock, lane.parent_hash, ticket.step))
        if operation is None:
            return Ending(sent=ticket.word in self._gave)
        files, others = errand.files_of(operation), self._files_of[lane.parent_hash]
        if any(not files.isdisjoint(some) for word, some in others.items() if word != ticket.word):
            # The job that is at work on the same URL could not see that this one is, nor the other way round.
            return self._now_s() + _FIRST_LOOK_S
        others[ticket.word] = files
        await note({JOB: None})
        self._gave.add(ticket.word)
        self._sends[ticket.word] += 1
        try:
            started = await self._session.execute(operation, request=errand.request(operation), stop=stop)
        except (UncertainError, AppliedError) as error:
            if not files:
                raise
            self._lose(lane, ticket, files, error)
            return self._now_s() + min(_FIRST_LOOK_S, self._settle_s)
        except StoppedError:
            await note({})
            raise
        await note({JOB: started})
        self._jobs[ticket.word] = _Job(started)
        return self._now_s() if self._hold_s else self._now_s() + _FIRST_ASKED_S

    def _left_job(self, ticket: Ticket) -> str | None:
        """The job that an earlier run has started, if it is known by what it is asked for."""
        uuid = None if ticket.last is None else ticket.last.details.get(JOB)
        return uuid if isinstance(uuid, str) and uuid not in self._unknown else None

    async def _ask(self, errand: Errand, lane: Lane, ticket: Ticket, job: _Job, stop: Stop) -> float | Ending:
        if self._polls >= self._most_polls:
            return self._now_s() + _AGAIN_S
        self._polls += 1
        try:
            asking = errand.asking(lane.parent_hash, job.uuid, self._hold_s)
            ending = errand.ended(await stop.cut(lambda: self._session.execute(asking)), ticket.step)
        except (ForbiddenError, NotFoundError) as error:
            # So the service answers of a job that is not there any more: what it did is seen in the folder.
            self._unknown.add(job.uuid)
            del self._jobs[ticket.word]
            files = self._files_of[lane.parent_hash].get(ticket.word)
            if files:
                self._lose(lane, ticket, files, error)
            return self._now_s()
        finally:
            self._polls -= 1
        if ending is not None:
            del self._jobs[ticket.word]
            if ending.error is None or ending.units:
                self._arrivals.note(lane.parent_hash, ticket.step.load, ending.units, is_ours=True)
            return ending
        job.asked += 1
        wait_s = _AGAIN_S if self._hold_s else min(_FIRST_ASKED_S * 2.0 ** min(job.asked, 20), _MOST_WAITED_S)
        return self._now_s() + wait_s

    # ------------------------------------------------------------------ jobs whose answers were lost

    def _lose(self, lane: Lane, ticket: Ticket, files: frozenset[int], error: EncordError | None) -> "_Lost":
        self._files_of[lane.parent_hash][ticket.word] = files
        lost = self._lost[ticket.word] = _Lost(URLs(files), self._now_s(), error)
        return lost

    async def _settle(self, lane: Lane, ticket: Ticket, lost: "_Lost", stop: Stop) -> float | Ending | None:
        """Look whether what may be under way arrives: its end, when to look again, or None once it surely does not."""
        folder, before = lane.parent_hash, lost.wanted.unmet
        await stop.cut(lambda: self._stock.meet_newest(folder, lost.wanted))
        now_s, left = self._now_s(), lost.wanted.unmet
        if not left:
            del self._lost[ticket.word]
            self._arrivals.note(folder, ticket.step.load, (), is_ours=True)
            return Ending()
        if left < before:
            lost.since_s = now_s
        due_s = lost.since_s + self._settle_s
        if now_s < due_s:
            lost.looks += 1
            return min(due_s, now_s + min(_FIRST_LOOK_S * 2.0 ** min(lost.looks, 20), _MOST_WAITED_S))
        del self._lost[ticket.word]
        self._stock.forget(folder)
        if lost.error is not None and self._sends[ticket.word] >= self._session.settings.retry.max_attempts:
            raise lost.error
        return None

    # ------------------------------------------------------------------ fillings

    async def _fill(self, relation: Filling, lane: Lane, ticket: Ticket, stop: Stop, note: Note) -> float | Ending:
        """Give a thing what lies in another, page by page; what is not seen there yet is waited for."""
        load = ticket.step.load
        if isinstance(load, Picked):
            return await self._pick(relation, lane, ticket, load, stop)
        if load is None:
            raise AssertionError(f"a {relation.noun} is about some files")
        wanted = await anyio.to_thread.run_sync(load.urls)
        there: Container[str] = ()
        is_first = ticket.last is None and ticket.word not in self._begun_s
        if not is_first or lane.parent_hash not in self._empty:
            there = await stop.cut(lambda: relation.there(self._session, lane.parent_hash))
        if is_first:
            await note({})
        began_s = self._begun_s.setdefault(ticket.word, self._now_s())
        async for some in self._met(relation, ticket.items[0], wanted, there, stop):
            await self._session.execute(relation.adding(lane.parent_hash, some, None), stop=stop)
            self._gave.add(ticket.word)
        failed = {unit.url for unit in ticket.wish.units if not wanted.has_met(unit.url)}
        absent = wanted.unmet - len(failed)
        if absent > 0 and self._now_s() < began_s + self._settle_s:
            return self._later(began_s)
        names = () if absent <= 0 else (url for url in load.named() if not wanted.has_met(url))
        error = _unseen(absent, ticket.step.item, next(iter(names), "")) if absent > 0 else None
        return Ending(error, sent=ticket.word in self._gave)

    async def _pick(self, relation: Filling, lane: Lane, ticket: Ticket, picked: Picked, stop: Stop) -> float | Ending:
        """Give a thing what of another one is *picked*; what was put there just now is waited for."""
        (source,) = ticket.items
        began_s = self._begun_s.setdefault(ticket.word, self._now_s())
        if ticket.word not in self._awaited:
            self._awaited[ticket.word] = await self._arrivals.urls(source, picked)
        awaited, picking = self._awaited[ticket.word], Picking(picked)
        there = await stop.cut(lambda: relation.there(self._session, lane.parent_hash))
        pages = self._session.pages(relation.listing(source))
        while (page := await stop.cut(lambda: anext(pages, None))) is not None:
            found = [relation.lying(item) for item in _results(page)]
            for item in found:
                awaited.meet(item.url or "")
            some = tuple(item.uuid for item in picking.of(found) if item.uuid not in there)
            if some:
                await self._session.execute(relation.adding(lane.parent_hash, some, None), stop=stop)
                self._gave.add(ticket.word)
        may_come = awaited.unmet or (picking.missing and self._arrivals.any_in(source))
        if may_come and self._now_s() < began_s + self._settle_s:
            return self._later(began_s)
        error: AppliedError | None = None
        unseen = self._arrivals.first_unseen
        first = await anyio.to_thread.run_sync(unseen, source, picked, awaited) if awaited.unmet else None
        if first is not None:
            error = _unseen(awaited.unmet, ticket.step.item, first)
        elif picking.missing:
            error = nameless(sorted(picking.missing), ticket.step.item)
        return Ending(error, sent=ticket.word in self._gave)

    def saw_made(self, kind: Thing, made: str) -> None:
        """Note that this run has made something: of what may be filled nobody has to look what is in it."""
        if kind.word in self._fillable:
            self._empty[made] = None
            if len(self._empty) > _REMEMBERED_EMPTY:
                self._empty.popitem(last=False)

    def saw_done(self, lane: Lane, ticket: Ticket, record: Record) -> None:
        """Note that an earlier run has done what *ticket* is about; if that was just now, it may not be seen yet."""
        is_fresh = self._session.clock.wall_s() - (record.ended_s or 0.0) < self._settle_s
        if is_fresh and isinstance(lane.kind.relation, Errand):
            self._arrivals.note(lane.parent_hash, ticket.step.load, units_of(record), is_ours=False)

    def _later(self, began_s: float) -> float:
        now_s = self._now_s()
        return now_s + max(_FIRST_ASKED_S, (now_s - began_s) / 2)

    async def _met(
        self, relation: Filling, source: str, wanted: URLs, there: Container[str], stop: Stop
    ) -> AsyncIterator[tuple[str, ...]]:
        """What lies in *source* of *wanted* and is not *there*, as much at once as a page has; each URL once."""
        pages = self._session.pages(relation.listing(source))
        while (page := await stop.cut(lambda: anext(pages, None))) is not None:
            found = [relation.lying(item) for item in _results(page)]
            some = tuple(one.uuid for one in found if one.url and wanted.meet(one.url) and one.uuid not in there)
            if some:
                yield some

    def _now_s(self) -> float:
        return self._session.clock.monotonic_s()


def _is_left_unsure(ticket: Ticket) -> bool:
    """Whether an earlier run was about to send it, and nothing is known of what came of that."""
    return ticket.last is not None and JOB in ticket.last.details and ticket.last.details[JOB] is None


def _results(page: Any) -> tuple[Any, ...]:
    return tuple(page.results)


def _unseen(absent: int, source: str, first: str) -> AppliedError:
    what = "1 of the files is" if absent == 1 else f"{absent} of the files are"
    return AppliedError(
        f"{what} not in the folder {source}, such as {first}, though registered; the next run links what is "
        "there then, and 'encord-async verify --fix' registers again",
        code="FILES_UNSEEN",
    )


def nameless(names: Sequence[str], source: str) -> AppliedError:
    """What is said where nothing in the folder *source* goes by any of *names*."""
    shown = ", ".join(map(quoted, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return AppliedError(
        f"no item of the folder {source} goes by {shown}{more}; what the others name is linked: correct 'items', or "
        "put what is missing into the folder",
        code="NO_ITEM",
    )
