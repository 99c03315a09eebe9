"""The way of all work through a run: out of the schedule, into the ledger, to the service, and back. The hot path.

What a create costs is decided here. It goes this way, and nothing on it waits for itself alone:

1. **Ready.** Whatever an entry needs is known. `Schedule` has its step in a queue.
2. **Prepared**, a few ahead for each slot (`_prepare`), without a task and without a wait: what is sent, and
   what is written down beforehand (`Executor.prepared`). For something new that is all there is to do. What has a past
   or a namesake, or has to be looked at first, is done by a worker (`Executor.do`), and comes back as a `Sending` too.
3. **Written down.** The intent goes along in the next commit of the ledger (`Ledger.post`), with all others that came
   meanwhile. Nobody waits for it: the ledger calls back, and one task goes on with all of that (`keep_up`).
4. **Sent**, by a worker that is free; only now, since before the first byte of a create leaves its intent is durable.
   This is the one wait of a create for itself, and so its one wake-up: for its answer.
5. **Written down** again, with what it made. The worker puts that into the next commit and takes the next create that
   is to be sent. Again nobody waits.
6. **Ended**, when that is durable: the schedule lets those go on who waited for it, and the entry has its
   outcome. What that makes ready is prepared in the same turn.

Between 3 and 4 lies the promise of the whole library. It is kept by there being one way for a `Sending` to a worker,
through `keep_up`. If the ledger fails, what was not sent is given up, and what was made is in doubt.

A few go on in one turn of the event loop, so that a large commit does not hold it up. There are more workers than
slots, since batches wait for the disk in them; creates take as many as there are slots. There is never a task for an
entry.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import anyio.lowlevel

from encord_async.engine.executor import Executor
from encord_async.engine.outcome import Status
from encord_async.engine.schedule import Schedule
from encord_async.engine.seat import Seat
from encord_async.engine.ticket import Creation, Result, Work
from encord_async.engine.verdict import Ended, Later, Sending, Split, Verdict
from encord_async.errors import EncordError
from encord_async.journal.record import Ledger
from encord_async.session.clock import Clock

__all__ = ["WORKERS_PER_SLOT", "Flow"]

WORKERS_PER_SLOT: Final = 4
_AHEAD_PER_SLOT: Final = 2
"""So many creates are prepared: those that come next, and those of the commit that is written meanwhile."""
_LEAST_AHEAD: Final = 4
"""The same, however few may be in flight: they share a commit."""

_A_TURN: Final = 8
"""So many are gone on with in one turn of the event loop; all that share a commit would hold it up."""

_Task: TypeAlias = Work | Sending


class Flow:
    """Moves work between *schedule*, *ledger* and *executor*.

    Args:
        schedule: Says what is ready.
        executor: Does it.
        ledger: Where creates are written down.
        clock: Has the time.
        slots: How many creates are sent at once.
        let_go: Makes more ready, if the service would have nothing to do; whether it did.
        alarm: Called when something is due later.
        settle_up: Called when work has ended.
        fail: Told what stops the run.
    """

    def __init__(
        self,
        schedule: Schedule,
        executor: Executor,
        ledger: Ledger,
        clock: Clock,
        *,
        slots: int,
        let_go: Callable[[float], bool],
        alarm: Callable[[], None],
        settle_up: Callable[[], None],
        fail: Callable[[EncordError, str], None],
    ) -> None:
        self._schedule = schedule
        self._executor = executor
        self._ledger = ledger
        self._clock = clock
        self._slots = slots
        self._most_ahead = max(_AHEAD_PER_SLOT * slots, _LEAST_AHEAD)
        self._let_go = let_go
        self._alarm = alarm
        self._settle_up = settle_up
        self._fail = fail
        self._idle: deque[Seat] = deque()
        self._tasks: deque[Creation | Sending] = deque()
        """What workers are to do next: creates that are written down, and such as have to be looked at first."""
        self._scout: Creation | None = None
        """The one for which is listed what the account holds."""
        self._aside: deque[Creation] = deque()
        """Those that wait for that, and would only wait in a worker each. They keep their order so."""
        self._unwritten: set[Sending] = set()
        """Creates whose intent is on its way to the ledger."""
        self._sending = 0
        self._back: deque[tuple[Sending, str | None]] = deque()
        """What is written down, or why it is not, and nobody has gone on with yet."""
        self._waiting: asyncio.Future[None] | None = None
        self._is_over = False

    @property
    def any_idle(self) -> bool:
        """Whether a worker has nothing to do."""
        return bool(self._idle)

    def end(self) -> None:
        """Let the workers go; nothing is left, or nothing more is to be done."""
        self._is_over = True
        self._wake()
        while self._idle:
            self._idle.popleft().hand(None)

    def stop(self) -> None:
        """Nothing more is begun: what waits for the account to be listed ends here."""
        while self._aside:
            self._cancel(self._aside.popleft())

    def give_back(self) -> None:
        """The workers are gone: what none of them has begun with ends here, and an intent of it is taken back."""
        self.stop()
        for task in (*self._tasks, *self._unwritten):
            if not isinstance(task, Sending):
                # What came of it is not known, if an earlier run has left it in doubt.
                if task.ticket.doubt is None:
                    self._cancel(task)
            elif task.made is None:
                self._finish(task, self._executor.give_back(task))
        self._tasks.clear()
        self._unwritten.clear()

    def _cancel(self, work: Creation) -> None:
        self._schedule.finish(work, [(work.ticket, Result(status=Status.CANCELLED))])

    # ------------------------------------------------------------------ tasks

    async def work(self) -> None:
        """Do what there is to do, until the end; for several tasks at once."""
        # Work has no name here: an idle worker must not keep the batch that it did last.
        while await self._do_next():
            pass

    async def _do_next(self) -> bool:
        """Bring the next piece of work to its end; False when there will be none."""
        task = await self._next()
        if task is None:
            return False
        if isinstance(task, Sending):
            try:
                verdict = await self._executor.send(task)
            finally:
                self._sending -= 1
            if verdict is task:
                self._post(task)
                return True
        else:
            verdict = await self._executor.do(task)
        await self._take_in(task, verdict)
        return True

    async def _next(self) -> _Task | None:
        if self._is_over:
            return None
        task = self._take(self._clock.monotonic_s())
        if task is not None:
            return task
        seat = Seat()
        self._idle.append(seat)
        if self._schedule.next_due_s is not None:
            self._alarm()
        return await seat.wait()

    async def _take_in(self, task: _Task, verdict: Verdict) -> None:
        if task is self._scout:
            self._scout = None
        match verdict:
            case Sending():
                self._post(verdict)
            case Ended():
                self._finish(task, verdict)
            case Split():
                self._schedule.split(verdict.batch)
            case Later():
                self._schedule.postpone(_as_work(task), verdict.due_s, otherwise=verdict.otherwise)
                self._alarm()
                # Namesakes by the thousand may be put off without a wait for anything in between.
                await anyio.lowlevel.checkpoint()
        self.dispatch()
        self._settle_up()

    async def keep_up(self) -> None:
        """Go on with what is written down, until the end."""
        while not self._is_over:
            if not self._back:
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
            for _ in range(min(len(self._back), _A_TURN)):
                sending, failure = self._back.popleft()
                self._unwritten.discard(sending)
                ended = self._executor.written(sending, failure)
                if ended is None:
                    self._tasks.append(sending)
                else:
                    self._finish(sending, ended)
            self.dispatch()
            self._settle_up()
            if self._back:
                await anyio.lowlevel.checkpoint()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # ------------------------------------------------------------------ what is next

    def dispatch(self) -> None:
        """Hand ready work to idle workers; then what may be made ready, if the service would have nothing to do."""
        now_s = self._clock.monotonic_s()
        self._prepare()
        while True:
            while self._idle and (task := self._take(now_s)) is not None:
                self._idle.popleft().hand(task)
            if not self._idle or not self._let_go(now_s):
                return

    def _take(self, now_s: float) -> _Task | None:
        """The next for a worker. What others wait for comes first: what is made goes before what is given."""
        tasks = self._tasks
        if 2 * (len(tasks) + len(self._unwritten)) <= self._most_ahead:
            self._prepare()
        if not tasks or (isinstance(tasks[0], Sending) and self._sending >= self._slots):
            # As many creates are under way as may be: what is due is not kept waiting by them.
            return self._schedule.next_but_creations(now_s)
        self._sending += isinstance(tasks[0], Sending)
        return tasks.popleft()

    def _prepare(self) -> None:
        """Have creates written down, a few ahead."""
        while len(self._tasks) + len(self._unwritten) < self._most_ahead:
            work = self._aside.popleft() if self._aside and not self._scout else self._schedule.next_creation()
            if work is None:
                return
            if self._executor.has_to_list(work.ticket):
                if self._scout is not None:
                    self._aside.append(work)
                    continue
                self._scout = work
            sending = self._executor.prepared(work.ticket)
            if sending is None:
                self._tasks.append(work)
            else:
                self._post(sending)

    # ------------------------------------------------------------------ the ledger

    def _post(self, sending: Sending) -> None:
        """Have it written down: what is to be sent, or what was made."""
        if sending.made is None:
            self._unwritten.add(sending)
        self._ledger.post(sending.note, self._written, sending)

    def _written(self, sending: Sending, failure: str | None) -> None:
        """It is, or for *failure* is not. The ledger has no time for more."""
        self._back.append((sending, failure))
        self._wake()

    def _finish(self, task: _Task, ended: Ended) -> None:
        if ended.failure is not None:
            self._fail(ended.failure, "it cannot go on")
        self._schedule.finish(_as_work(task), ended.results)


def _as_work(task: _Task) -> Work:
    """What the schedule has given out, and knows again."""
    return Creation(task.ticket) if isinstance(task, Sending) else task
