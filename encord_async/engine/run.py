"""A run: reads the manifest as capacity frees, keeps a fixed number of workers busy, gives each entry its outcome.

All tasks of a run live inside its ``async with`` block and end with it. There is never a task for an entry.
The schedule decides what is next; the executor sends it.
"""

import asyncio
import math
import os
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup

from encord_async.engine.account import Account
from encord_async.engine.changing import Changing, protecting
from encord_async.engine.crew import leave
from encord_async.engine.doubt import Settler
from encord_async.engine.executor import Executor
from encord_async.engine.fence import Fence
from encord_async.engine.flow import WORKERS_PER_SLOT, Flow
from encord_async.engine.intake import Intake, bad_entries, checker_for
from encord_async.engine.lanes import Expected
from encord_async.engine.making import Maker
from encord_async.engine.options import Groundwork, Options, Progress, Props
from encord_async.engine.outcome import Outcome, Status, Summary
from encord_async.engine.quota import Bounded
from encord_async.engine.recovery import recover
from encord_async.engine.review import Review
from encord_async.engine.roll import Register, Roll
from encord_async.engine.schedule import Schedule
from encord_async.engine.sending import Live
from encord_async.engine.sequel import Sequel, add_more
from encord_async.engine.silence import Silence
from encord_async.errors import EncordError, UsageError, spelt
from encord_async.journal.record import Ledger, MemoryLedger
from encord_async.journal.traffic import watch
from encord_async.manifest.checker import Passed
from encord_async.manifest.files import manifest_error
from encord_async.manifest.part import GivenNames, Part
from encord_async.manifest.place import Problem
from encord_async.manifest.policy import Policy
from encord_async.manifest.policy_file import policy_for
from encord_async.manifest.sources import (
    Item,
    Manifest,
    Source,
    manifest_file,
    open_source,
    with_variables,
)
from encord_async.manifest.variables import ManifestFile
from encord_async.session.session import Session, Statistics

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal

__all__ = ["Run"]

_CHUNK: Final = 256
_LEAST_CHUNK: Final = 32
"""So many are read at once, unless that is much of the read-ahead: each time costs a turn of a thread."""
_MOST_READY: Final = 1024
"""No more is read while so many things could be made: what lies longer than it must costs memory, and is cold then."""
_SILENT_S: Final = 0.1
"""So long a manifest that is no file may say nothing before what would be sent with what it says next goes alone."""

_LOOK_OUT_S: Final = 0.2
"""So often a run that is stopped looks whether the service has gone away: nobody waits for the end of an outage."""


_FAILURES: Final = (Status.FAILED, Status.IN_DOUBT)


class Run:
    """One manifest on its way; made by `EncordSession.provision`.

    ``async with`` starts it, ``async for`` gives the outcomes in the order in which entries end, and `results` all of
    them as a list. Leaving the block early cancels what is under way, which then counts as in doubt; what was not begun
    counts as cancelled. After the last outcome, what stopped the run before its time is raised; what the manifest's own
    iterator raises ends the run at once, and comes out of the block as it is.
    """

    def __init__(
        self,
        session: Session,
        manifest: Manifest,
        options: Options,
        *,
        journal: "Journal | None",
        props: "Props | None" = None,
        review: Review | None = None,
        groundwork: Groundwork | None = None,
        sequel: Sequel | None = None,
    ) -> None:
        if options.retire and journal is None and props is None:
            raise UsageError(f"{spelt('retire', True)} needs a journal, which says what earlier runs made")
        self._session, self._manifest, self._options = session, with_variables(manifest), options
        self._journal, self._props = journal, props
        self._ledger: Ledger = journal or (MemoryLedger() if props is None else props.ledger)
        self._settler = Settler(session, self._ledger, settle_s=options.settle_s) if props is None else props.settler
        self._schedule = _schedule(options, props)
        self._executor: Executor
        self._counts, self._removals = Counter[Status](), Counter[Status]()
        self._more = 0
        """What is to be done after the manifest."""
        self._out: deque[Outcome] = deque()
        """Outcomes that nobody has taken yet."""
        self._takers: list[asyncio.Future[None]] = []
        self._has_left = False
        self._flow: Flow
        self._least_room = min(_LEAST_CHUNK, 1 + options.lookahead // 4)
        self._room, self._alarm, self._ended = anyio.Event(), anyio.Event(), anyio.Event()
        self._ended_number = 0
        self._total: int | None = None
        self._review, self._sequel, self._follows = review, sequel, sequel is not None
        self._groundwork = groundwork or Groundwork()
        known = self._groundwork.listed
        self._account = props.account if props else Account(session, dataset_api=options.dataset_api, listed=known)
        self._register = Register(stamps=options.stamp, selection=options.selection)
        self._intake = Intake(self._schedule, self._ledger, self._register, options, fail=self._fail)
        self._all_read = self._over = False
        self._silence, self._listens = Silence(_SILENT_S), False
        self._stopped_by: str | None = None
        self._failure: EncordError | None = None
        self._group: TaskGroup | None = None
        self._reading = anyio.CancelScope()
        self._started_s, self._ended_s, self._before = 0.0, 0.0, Statistics()
        if isinstance(manifest, Part):
            self._know(manifest)

    def _know(self, part: Part) -> None:
        """Take in what became of entries that are provisioned elsewhere."""
        self._intake.namer = GivenNames(part)
        # It was checked where it was cut.
        self._intake.checker = Passed()
        self._expect(Expected.of(one.placed.entry for one in part.entries))
        for key, found in part.made.items():
            self._schedule.know(key, found)
        for key, why in part.dead.items():
            self._schedule.know(key, None, why=why)

    # ------------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise UsageError("a run can be started once; make another for another try")
        self._session.check_open()
        policy = await self._limits()
        file = manifest_file(self._manifest)
        changed = None if file is None else await self._check_file(file)
        await self._register.choose(self._manifest)
        source = open_source(self._manifest, self._intake.checker.note_empty, changed=changed)
        async with AsyncExitStack() as stack:
            if self._journal is not None:
                await stack.enter_async_context(self._journal)
            if self._review is not None:
                await self._review.check(self._manifest, self._options, self._journal)
            await self._register.open(self._ledger, self._manifest, policy)
            policy = await protecting(policy, self._ledger)
            # From here on `__aexit__` closes it.
            stack.pop_all()
        self._assemble(policy)
        self._before = self._session.statistics()
        self._started_s = self._intake.began_s = self._session.clock.monotonic_s()
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._read, source, name="manifest")
        self._group.start_soon(self._keep_time, name="timer")
        if self._journal is not None:
            self._group.start_soon(watch, self._session, self._journal.note_traffic, self._ended, name="traffic")
        self._group.start_soon(self._flow.keep_up, name="clerk")
        for number in range(WORKERS_PER_SLOT * self._session.settings.concurrency):
            self._group.start_soon(self._flow.work, name=f"worker {number}")
        return self

    def _assemble(self, policy: Policy) -> None:
        """Put together what does the work, within the limits of *policy*."""
        kept = self._journal or self._props
        sends = Live(self._session, settle_s=self._options.settle_s) if self._props is None else self._props.sends
        self._executor = Executor(
            self._session,
            Bounded(sends, policy) if policy.bounds_what_is_sent else sends,
            self._account,
            self._ledger,
            self._settler,
            existing=self._options.existing,
            maker=Maker(
                max_batch=self._options.max_batch,
                dataset_api=self._options.dataset_api,
                stamp_for=self._session.settings.domain if self._options.stamp else None,
                stamp_key=os.urandom(16) if kept is None else kept.stamp_key,
            ),
            roll=self._register.roll,
            changing=Changing(options=self._options, policy=policy, review=self._review),
            fence=Fence(self._ledger, self._session.clock, fail=self._fail),
        )
        self._flow = Flow(
            self._schedule,
            self._executor,
            self._ledger,
            self._session.clock,
            slots=self._session.settings.concurrency,
            let_go=self._let_go,
            alarm=self._ring,
            settle_up=self._settle_up,
            fail=self._fail,
        )

    async def _limits(self) -> Policy:
        """A team's limits; who has cut a part has held the entries to them."""
        if isinstance(self._manifest, Part):
            return self._manifest.policy
        policy = await anyio.to_thread.run_sync(policy_for, self._manifest)
        self._intake.checker = checker_for(self._manifest, stamps=self._options.stamp, policy=policy)
        return policy

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        group = self._group
        if group is None:
            return None
        if not self._over:
            group.cancel_scope.cancel()
        try:
            left = await leave(group, kind, error, traceback)
            if error is None and self._failure is None:
                await self._register.taken_off()
            return left
        finally:
            self._finish_clock()
            self._flow.end()
            self._left()
            self._has_left = True
            # Several end with one commit, and nobody may have taken the last of them.
            self._out.clear()
            self._arrived()
            if self._journal is not None:
                await self._journal.__aexit__(None, None, None)

    def _left(self) -> None:
        """Make the sums true of a run that was left early: what was under way may have happened, the rest has not."""
        if self._over:
            return
        self._stopped_by = self._stopped_by or "left before the end"
        self._schedule.cancel()
        self._flow.give_back()
        while outcomes := self._schedule.take_outcomes():
            for outcome in outcomes:
                self._counts_of(outcome)[outcome.status] += 1
        self._counts[Status.CANCELLED] += len(self._intake.aside)
        for counts, number in ((self._counts, self._intake.entries), (self._removals, self._more)):
            counts[Status.IN_DOUBT] += number - counts.total()
        self._counts, self._removals = +self._counts, +self._removals
        self._ended_number = self._intake.entries + self._more

    def _counts_of(self, outcome: Outcome) -> Counter[Status]:
        """Where *outcome* is counted: what comes after the manifest has a number after its last entry."""
        return self._removals if self._more and outcome.number > self._intake.position else self._counts

    def _expect(self, expected: Expected) -> None:
        """What is still to come is known, and there at once: then nothing goes alone that could go together."""
        self._schedule.expect(expected)
        self._silence = Silence(math.inf)

    async def _check_file(self, file: ManifestFile) -> Callable[[int], str | None] | None:
        """Check the whole *file* before anything is sent; by what is told that all stays as it is, see `Checked`."""
        is_first = self._ledger.is_new if self._journal is None else self._journal.is_absent()
        checked = await self._register.check_file(
            file, self._groundwork.checked, stamps=self._options.stamp, is_first=is_first
        )
        self._groundwork.check_agreed(checked)
        report = checked.report
        self._total = report.entries
        self._expect(checked.expected.copy())
        self._intake.bad = bad_entries(str(file), report, skip=self._options.skip_invalid)
        if checked.changed is not None:
            self._intake.checker = Passed(report.warnings)
        return checked.changed

    def __aiter__(self) -> Self:
        return self

    async def results(self) -> list[Outcome]:
        """Run to the end, and give all outcomes in the order of the manifest. Raises as the iteration.

        Examples:
            >>> async def those_that_failed(session: EncordSession) -> list[Outcome]:
            ...     return [one for one in await session.provision("programme.jsonl").results() if one.error]
        """
        if self._group is None:
            async with self:
                return await self.results()
        return sorted([outcome async for outcome in self], key=lambda outcome: outcome.number)

    async def __anext__(self) -> Outcome:
        if self._group is None:
            raise UsageError("the run has not begun: 'async with session.provision(...) as run', then 'async for'")
        while not self._out:
            if self._has_left:
                raise UsageError("the run is over: take its outcomes inside the 'async with' block")
            self._settle_up()
            if not self._out:
                if self._over:
                    return self._end()
                waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._takers.append(waiting)
                await waiting
        return self._out.popleft()

    def _end(self) -> NoReturn:
        read, ended = self._intake.entries + self._more, self._ended_number
        if ended != read:
            raise AssertionError(f"{read} entries were read and {ended} ended: this is a bug, please report")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        raise StopAsyncIteration

    # ------------------------------------------------------------------ for the caller

    @property
    def ledger(self) -> Ledger:
        """What is written down of it: its journal, or what it keeps in memory."""
        return self._ledger

    @property
    def summary(self) -> Summary:
        """The sums so far; final when the iteration has ended."""
        now = self._session.statistics()
        return Summary(
            entries=self._intake.entries,
            by_status=dict(self._counts),
            removals=self._more,
            removals_by_status=dict(self._removals),
            requests=now.requests - self._before.requests,
            retries=now.retries - self._before.retries,
            throttled=now.throttled - self._before.throttled,
            elapsed_s=(self._ended_s or self._session.clock.monotonic_s()) - self._started_s,
            stopped_by=self._stopped_by,
        )

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What should be known of the entries read so far, though nothing is wrong with them."""
        return (*self._intake.checker.warnings(), *(self._sequel.warnings if self._sequel is not None else ()))

    @property
    def roll(self) -> Roll:
        """The entries of the manifest that make something; of no use where no earlier run has made anything."""
        return self._register.roll

    @property
    def register(self) -> Register:
        """What is known of the manifest as a whole, once it has begun: what of it is chosen, whose keys have moved."""
        return self._register

    def progress(self) -> Progress:
        """How far the run is; cheap enough to ask ten times a second."""
        return Progress(
            entries=self._intake.entries,
            total=self._register.choice.entries or self._total,
            ended=self._counts.total() - self._counts[Status.CANCELLED],
            failed=self._failures,
            removals=self._more,
            removals_ended=self._removals.total() - self._removals[Status.CANCELLED],
            statistics=self._session.statistics(),
            elapsed_s=(self._ended_s or self._session.clock.monotonic_s()) - self._started_s,
        )

    @property
    def groundwork(self) -> Groundwork:
        """What this run has found out, for another one after it."""
        return Groundwork(checked=self._register.checked, listed=self._account.listed)

    def drain(self, reason: str = "asked to stop") -> None:
        """Read no further and start nothing new; what is under way ends, all else is cancelled."""
        if self._stopped_by is None and not self._over:
            self._stopped_by = reason
            self._schedule.cancel()
            self._executor.stop()
            self._flow.stop()
            self._reading.cancel()
            self._alarm.set()

    # ------------------------------------------------------------------ reading

    async def _read(self, source: Source) -> None:
        try:
            with self._reading:
                await self._recover()
            while self._stopped_by is None and (items := await self._some(source)):
                await self._intake.take_in(items)
                self._flow.dispatch()
                self._silence.end()
                if self._schedule.any_lying and not self._listens:
                    self._alarm.set()
                self._emit()
            await self._take_in_rest()
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()
        self._all_read = True
        if self._stopped_by is None:
            self._schedule.end_of_manifest()
            dangling = () if self._options.skip_invalid else self._intake.checker.finish()
            if dangling and self._failure is None:
                # Only known when a stream has ended: whatever is good in it is done all the same.
                self._failure = manifest_error(dangling)
        self._flow.dispatch()
        self._settle_up()

    async def _recover(self) -> None:
        """Find what earlier runs may have made, before anything fresh could be taken for it."""
        try:
            records = await self._ledger.open_intents()
            await recover(self._session, self._ledger, self._settler, records, patient=False)
            await self._executor.prepare()
        except EncordError as error:
            self._fail(error, "what an earlier run left open cannot be looked up")

    async def _some(self, source: Source) -> list[Item]:
        """The next items as room allows; none at the end, or if the run is stopped meanwhile."""
        # Only the waiting may be cut short: what was taken has to end in an outcome.
        with anyio.CancelScope() as self._reading:
            await self._wait_for_room()
            self._silence.begin(self._session.clock.monotonic_s())
            try:
                return await source.take(min(_CHUNK, self._free()))
            except EncordError as error:
                self._fail(error, "the manifest cannot be read")
        return []

    def _free(self) -> int:
        # What has ended and still waits to be sent off counts: a slow consumer must not let them pile up.
        waiting = self._schedule.parked_entries + self._schedule.lying_entries + len(self._intake.aside)
        room = self._options.lookahead - (self._intake.entries + self._more - self._ended_number - waiting)
        return min(room, _MOST_READY - self._schedule.ready_creations)

    async def _wait_for_room(self) -> None:
        # A source that never waits must not keep the workers from running.
        await anyio.lowlevel.checkpoint()
        while self._free() < self._least_room:
            self._room = anyio.Event()
            await self._room.wait()

    async def _take_in_rest(self) -> None:
        """Add the entries that were put aside, now that it is known who has gone; or, if the run is stopped, all same.

        The schedule lets what comes after a stop end at once.
        """
        rest = await self._intake.close(is_whole=self._stopped_by is None)
        for start in range(0, len(rest), _CHUNK):
            await self._intake.add_again(rest[start : start + _CHUNK])
            self._flow.dispatch()
            self._emit()

    # ------------------------------------------------------------------ working

    def _ring(self) -> None:
        self._alarm.set()

    async def _keep_time(self) -> None:
        """Wake workers when postponed work is due; a worker that is not idle will find it by itself."""
        while not self._over:
            due_s = self._schedule.next_due_s if self._flow.any_idle else None
            now_s = self._session.clock.monotonic_s()
            wait_s = math.inf if due_s is None else max(0.0, due_s - now_s)
            self._listens = self._schedule.any_lying
            if self._listens:
                wait_s = min(wait_s, self._silence.most_s)
            if self._stopped_by is not None:
                wait_s = min(wait_s, _LOOK_OUT_S)
                if self._session.in_outage:
                    self._executor.give_up()
            with anyio.move_on_after(wait_s):
                await self._alarm.wait()
            self._alarm = anyio.Event()
            self._flow.dispatch()
            if self._stopped_by is not None:
                # All that was left may have been postponed, and then no worker is about to end anything.
                self._settle_up()

    def _let_go(self, now_s: float) -> bool:
        """Let memberships go that others could still join; whether there were any."""
        is_silent = self._silence.is_over(now_s)
        if self._schedule.running >= (self._session.settings.concurrency if is_silent else 1):
            return False
        return self._schedule.let_go(stuck=is_silent or self._all_read)

    def _settle_up(self) -> None:
        """Let go of what has ended, and of everything when all has."""
        self._emit()
        if not self._room.is_set() and self._free() >= self._least_room:
            self._room.set()
        if not self._all_read or not self._schedule.idle or self._schedule.any_ended:
            return
        if self._follows and self._group is not None:
            self._follows = self._all_read = False
            self._group.start_soon(self._follow, name="sequel")
        elif not self._over:
            self._over = True
            self._failure = self._failure or self._executor.suspects.error
            self._ended.set()
            if self._schedule.open_entries:
                raise AssertionError(f"{self._schedule.open_entries} entries wait for nothing: this is a bug")
            self._finish_clock()
            self._alarm.set()
            self._flow.end()
            self._arrived()

    async def _follow(self) -> None:
        """Take in what is left to do after the manifest, if it was brought to its end."""
        if self._sequel is not None and self._stopped_by is None and self._failure is None:
            with anyio.CancelScope() as self._reading:
                try:
                    more = await self._sequel.entries(self._session, self._ledger, self._register)
                    self._more = len(more)
                    self._register.is_stale |= bool(more)
                    for number, one in enumerate(more, self._intake.position + 1):
                        add_more(self._schedule, one, number)
                    self._flow.dispatch()
                except EncordError as error:
                    self._fail(error, "what is left to do after the manifest cannot be found out")
        self._all_read = True
        self._settle_up()

    def _emit(self) -> None:
        """Put out outcomes, no more than a batch at once: who takes them slowly slows the run down."""
        while (room := self._options.max_batch - len(self._out)) > 0 and (
            outcomes := self._schedule.take_outcomes(room)
        ):
            for outcome in outcomes:
                self._counts_of(outcome)[outcome.status] += 1
                self._ended_number += 1
                self._register.note(outcome)
                self._watch(outcome.status)
                if outcome.status is Status.IN_DOUBT:
                    self._session.report_in_doubt(outcome.kind)
                self._out.append(outcome)
            self._arrived()

    def _arrived(self) -> None:
        """Wake who waits for outcomes."""
        for waiting in self._takers:
            if not waiting.done():
                waiting.set_result(None)
        self._takers.clear()

    def _watch(self, status: Status) -> None:
        if self._options.fail_fast and (status is Status.FAILED or status is Status.IN_DOUBT):
            self.drain("fail_fast")
        limit = self._options.max_failures
        if limit is not None and limit.exceeded(self._failures, self._ended_number):
            self.drain("max_failures")

    @property
    def _failures(self) -> int:
        """Entries and removals that have failed or are in doubt."""
        return sum(counts[status] for counts in (self._counts, self._removals) for status in _FAILURES)

    def _fail(self, error: EncordError, reason: str) -> None:
        if self._failure is None:
            self._failure = error
        self.drain(reason)

    def _finish_clock(self) -> None:
        self._ended_s = self._ended_s or self._session.clock.monotonic_s()


def _schedule(options: Options, props: Props | None) -> Schedule:
    return Schedule(
        max_batch=options.max_batch,
        most_lying=options.most_lying,
        most_sent=options.lookahead,
        most_whole=options.lookahead // 10,
        on_end=None if props is None else props.on_end,
    )
