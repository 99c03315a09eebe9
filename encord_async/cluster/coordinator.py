"""The head of a run on a cluster: reads the manifest once, submits shards, and gives each entry its outcome.

It sends nothing to the service and writes nothing into the journal; it holds the journal's lock, so that there is one
head. Dask retries the shards of workers that died, and decides where they run.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from encord_async.cluster.scheduler import Scheduler
from encord_async.cluster.shards import Cutter, Shard
from encord_async.cluster.shares import Desertion, shard_size, share_of
from encord_async.cluster.worker import Report, SessionOptions, Task
from encord_async.engine.changing import protecting
from encord_async.engine.crew import leave
from encord_async.engine.intake import bad_entries, checker_for, problems_of
from encord_async.engine.options import Groundwork, Options, Progress
from encord_async.engine.outcome import Outcome, Status, Summary
from encord_async.engine.roll import Register
from encord_async.engine.schedule import why_dead
from encord_async.errors import EncordError, JournalError, UncertainError, UsageError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.journal import Shard as JournalShard
from encord_async.journal.postgres import without_password
from encord_async.journal.record import Ledger
from encord_async.kinds.membership import Membership
from encord_async.kinds.namer import Namer
from encord_async.kinds.registry import nouns
from encord_async.manifest.checker import Checker, Passed
from encord_async.manifest.files import manifest_error, read_manifest
from encord_async.manifest.part import Part, PartEntry
from encord_async.manifest.place import PlacedEntry, Problem
from encord_async.manifest.policy import NO_POLICY
from encord_async.manifest.policy_file import policy_for
from encord_async.manifest.sources import Item, Manifest, manifest_file, open_source, with_variables
from encord_async.manifest.variables import ManifestFile
from encord_async.secrecy import Secret, sealed
from encord_async.session.session import Statistics
from encord_async.session.settings import Settings

logger = logging.getLogger("encord_async")

__all__ = ["ClusterRun"]

_CHUNK: Final = 256
_PULSE_S: Final = 1.0
_LEAVE_S: Final = 5.0
_BEATS_PER_SIGN_OF_LIFE: Final = 5
_HELD_SHARDS: Final = 24
"""Reading rests when so many shards' worth of entries are cut or wait for others."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A shard on the cluster, with its share of the bounds."""

    shard: Shard
    share: Settings
    future: Any
    ended: anyio.Event


class ClusterRun:
    """One manifest on its way through a cluster; made by `provision`.

    ``async with`` starts it, ``async for`` gives the outcomes as shards end. Leaving the block early stops the workers.
    After the last outcome, what stopped the run before its time is raised.
    """

    @sealed
    def __init__(
        self,
        manifest: Manifest,
        *,
        client: Any,
        session_options: SessionOptions,
        journal: str,
        options: Options,
        groundwork: Groundwork | None = None,
    ) -> None:
        if options.prune or options.retire or options.prunes_data:
            raise UsageError("a run on a cluster neither prunes nor retires: run once more on one machine")
        self._manifest = with_variables(manifest)
        self._scheduler = Scheduler(client)
        self._session_options = session_options
        self._options, self._groundwork = options, groundwork or Groundwork()
        self._where = Secret(journal)
        self._shown_to_workers = without_password(journal)
        self._journal: Journal
        self._number = 0
        self._cutter: Cutter
        self._most_held = 0
        self._slots = 1
        self._desertion = Desertion()
        self._under_way: dict[int, _UnderWay] = {}
        self._reporting = 0
        self._submitting = anyio.Lock()
        self._namer = Namer()
        self._checker: Checker | Passed = Checker(stamps=options.stamp)
        self._changed: Callable[[int], str | None] | None = None
        self._policy = NO_POLICY
        self._bad: Mapping[int, tuple[Problem, ...]] = {}
        self._register = Register(stamps=False, selection=options.selection)
        self._aside: list[PartEntry] = []
        """Entries that wait until it is known who has gone."""
        self._total: int | None = None
        self._position = self._entries = 0
        self._counts: Counter[Status] = Counter()
        self._sums = Summary()
        self._all_read = self._over = False
        self._room = anyio.Event()
        self._stop = anyio.Event()
        self._stopped_by: str | None = None
        self._failure: EncordError | None = None
        self._group: TaskGroup | None = None
        self._looking_around = anyio.CancelScope()
        self._send: MemoryObjectSendStream[Outcome]
        self._receive: MemoryObjectReceiveStream[Outcome]
        self._started_s = self._ended_s = 0.0

    # ------------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise UsageError("a run can be started once; make another for another try")
        self._started_s = anyio.current_time()
        self._policy = await anyio.to_thread.run_sync(policy_for, self._manifest)
        self._checker = checker_for(self._manifest, stamps=self._options.stamp, policy=self._policy)
        file = manifest_file(self._manifest)
        if file is not None:
            await self._check_file(file)
        elif self._policy.most:
            raise UsageError(f"a run on a cluster needs its manifest in a file: {self._policy.named('most')}")
        await self._register.choose(self._manifest)
        if file is not None and self._policy.most:
            self._refuse_more(await anyio.to_thread.run_sync(self._wished, file))
        account = await self._scheduler.introduced(self._session_options)
        await self._look_at_cluster()
        known = len(self._manifest) if isinstance(self._manifest, Sized) else None
        size = shard_size(known if self._total is None else self._total, self._slots)
        self._cutter, self._most_held = Cutter(most=size), _HELD_SHARDS * size
        async with AsyncExitStack() as stack:
            identity = Identity(self._session_options.settings.domain, account)
            self._journal = await stack.enter_async_context(Journal(self._where.reveal(), identity))
            await self._register.open(self._journal, self._manifest)
            self._policy = await protecting(self._policy, self._journal)
            self._number = await self._journal.share()
            await self._scheduler.begin(self._number)
            self._send, self._receive = anyio.create_memory_object_stream[Outcome](_CHUNK)
            self._group = await anyio.create_task_group().__aenter__()
            self._group.start_soon(self._work, name="manifest")
            self._group.start_soon(self._look_around, name="pulse")
            stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        group = self._group
        if group is None:
            return None
        if not self._over:
            group.cancel_scope.cancel()
        try:
            return await leave(group, kind, error, traceback)
        finally:
            self._ended_s = self._ended_s or anyio.current_time()
            self._send.close()
            self._receive.close()
            with anyio.move_on_after(_LEAVE_S, shield=True):
                await self._scheduler.leave([one.future for one in self._under_way.values()])
            await self._journal.__aexit__(None, None, None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            return self._end()

    def _end(self) -> NoReturn:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        ended = sum(self._counts.values())
        if ended != self._entries:
            raise AssertionError(f"{self._entries} entries were read and {ended} ended: this is a bug, please report")
        raise StopAsyncIteration

    # ------------------------------------------------------------------ for the caller

    @property
    def summary(self) -> Summary:
        """The sums so far, of shards that have ended; final when the iteration has."""
        return replace(
            self._sums,
            entries=self._entries,
            by_status=dict(self._counts),
            elapsed_s=(self._ended_s or anyio.current_time()) - self._started_s,
            stopped_by=self._stopped_by,
        )

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What should be known of the entries read so far, though nothing is wrong with them."""
        return self._checker.warnings()

    @property
    def ledger(self) -> Ledger:
        """What is written down of it: the journal that it shares out."""
        return self._journal

    @property
    def register(self) -> Register:
        """What is known of the manifest as a whole, once it has begun: what of it is chosen, whose keys have moved."""
        return self._register

    def progress(self) -> Progress:
        """How far the run is, as far as shards have ended; *in_flight* is what may be at most."""
        sums = self.summary
        return Progress(
            entries=sums.entries,
            total=self._register.choice.entries or self._total,
            ended=sum(self._counts.values()) - self._counts[Status.CANCELLED],
            failed=self._failed,
            statistics=Statistics(
                requests=sums.requests, retries=sums.retries, throttled=sums.throttled, in_flight=self._given
            ),
            elapsed_s=sums.elapsed_s,
        )

    def drain(self, reason: str = "asked to stop") -> None:
        """Read no further and submit nothing new; what is under way on the workers ends, all else is cancelled."""
        if self._stopped_by is None and not self._over:
            self._stopped_by = reason
            self._stop.set()
            self._room.set()

    @property
    def _failed(self) -> int:
        return self._counts[Status.FAILED] + self._counts[Status.IN_DOUBT]

    @property
    def _given(self) -> int:
        """What shards under way may have in flight."""
        return sum(one.share.concurrency for one in self._under_way.values())

    # ------------------------------------------------------------------ the cluster

    async def _look_at_cluster(self) -> None:
        try:
            threads = await self._scheduler.threads()
        except UncertainError as error:
            self._fail(error, "the scheduler is gone")
            return
        # A cluster that grows with its work has nobody yet.
        self._slots = max(1, sum(threads.values()))
        if self._desertion.is_news(len(threads), anyio.current_time()):
            logger.warning("the cluster has no worker any more; waiting for one, until you stop the run")

    async def _look_around(self) -> None:
        with self._looking_around:
            async with anyio.create_task_group() as group:
                group.start_soon(self._pulse)
                group.start_soon(self._tell_to_stop)

    async def _tell_to_stop(self) -> None:
        await self._stop.wait()
        await self._scheduler.tell_to_stop()
        await self._cancel_rest()
        await self._advance()

    async def _cancel_rest(self) -> None:
        rest = [Outcome.cancelled(one.number, one.placed) for one in self._cutter.take_rest()]
        with self._reports():
            await self._emit(rest)

    async def _pulse(self) -> None:
        """Look at what nobody tells: who joined the cluster, whether the lock is still ours, how long reading rests."""
        beats = 0
        while not self._over:
            await anyio.sleep(_PULSE_S)
            beats += 1
            if beats % _BEATS_PER_SIGN_OF_LIFE == 0:
                try:
                    await self._journal.is_alive()
                except JournalError as error:
                    self._fail(error, "the journal is lost")
            await self._look_at_cluster()
            if self._scheduler.is_gone:
                for one in self._under_way.values():
                    one.ended.set()
            if self._stopped_by is None and len(self._under_way) < self._slots:
                self._cutter.flush()
            await self._advance()

    # ------------------------------------------------------------------ reading

    async def _check_file(self, file: ManifestFile) -> None:
        checked = await self._register.check_file(file, self._groundwork.checked, stamps=self._options.stamp)
        self._groundwork.check_agreed(checked)
        report, self._changed = checked.report, checked.changed
        self._total = report.entries
        if self._changed is not None:
            self._checker = Passed(report.warnings)
        self._bad = bad_entries(str(file), report, skip=self._options.skip_invalid)

    def _wished(self, file: ManifestFile) -> Mapping[str, int]:
        """How many things that cannot be undone the chosen entries of *file* wish for, by the kind of their entries."""
        checked = self._register.checked
        if checked is not None and not self._register.choice.selection:
            return checked.report.irreversible
        wished: Counter[str] = Counter()
        for item in read_manifest(file):
            if isinstance(item, PlacedEntry) and item.place.number not in self._bad and self._register.choice.has(item):
                wished.update(item.entry.irreversible())
        return wished

    def _refuse_more(self, wished: Mapping[str, int]) -> None:
        """Refuse chosen entries that wish for more than a run may make: workers do not know of one another.

        Raises:
            UsageError: It does.
        """
        chosen = "what is chosen of " if self._register.choice.selection else ""
        for what, most in self._policy.most.items():
            # What is made inside a project is named with it where it is an entry.
            number = wished.get(what, 0) + wished.get(f"project_{what}", 0)
            if number > most:
                raise UsageError(
                    f"{chosen}the manifest wishes for {number} {nouns(what)[1]}, and a run makes {most} at most; "
                    f"{self._policy.named(f'most.{what}')}; on one machine only what is made anew counts"
                )

    async def _work(self) -> None:
        if await self._journal.open_intents():
            # Before anything fresh could be taken for what an earlier run may have made.
            await self._submit(Shard(0, Part(entries=())))
            while self._under_way:
                self._room = anyio.Event()
                await self._room.wait()
        await self._read()
        await self._take_in_rest()
        self._all_read = True
        if self._stopped_by is None:
            self._cutter.end_of_manifest()
            dangling = () if self._options.skip_invalid else self._checker.finish()
            if dangling:
                # Only known when a stream has ended: whatever is good in it is done all the same.
                self._failure = self._failure or manifest_error(dangling)
        else:
            await self._cancel_rest()
        await self._advance()

    async def _read(self) -> None:
        source = open_source(self._manifest, self._checker.note_empty, changed=self._changed)
        try:
            while self._stopped_by is None and (items := await source.take(_CHUNK)):
                await self._take_in(items)
                await self._advance()
                await self._wait_for_room()
        except EncordError as error:
            self._fail(error, "the manifest cannot be read")
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()

    async def _wait_for_room(self) -> None:
        while self._stopped_by is None and self._cutter.held > self._most_held:
            self._room = anyio.Event()
            await self._room.wait()

    async def _take_in(self, items: Iterable[Item]) -> None:
        """Hand *items* to be cut, up to the first bad one if that stops the run."""
        for item in items:
            bad, is_chosen = problems_of(item, self._checker, self._bad), self._register.choice.has(item)
            self._position += 1
            if not bad and isinstance(item, PlacedEntry):
                one = PartEntry(item, self._position, self._namer.identity(item.entry))
                self._register.add(item.entry, one.identity)
                if not is_chosen:
                    continue
                self._entries += 1
                if await self._has_to_wait(one):
                    self._aside.append(one)
                else:
                    self._cutter.add(one)
            elif self._options.skip_invalid and bad[0].place.number > 0:
                if is_chosen:
                    self._entries += 1
                    placed = item if isinstance(item, PlacedEntry) else None
                    await self._emit([Outcome.refused(self._position, placed, bad)])
            else:
                self._fail(manifest_error(bad), "a bad entry in the manifest")
                return
        late = () if self._options.skip_invalid else self._checker.take_late()
        if late:
            self._fail(manifest_error(late), "a bad entry in the manifest")

    async def _has_to_wait(self, one: PartEntry) -> bool:
        if not self._register.is_open:
            return False
        entry, identity = one.placed.entry, one.identity
        own = [step.identity for step in entry.steps(identity) if not isinstance(step.kind, Membership)]
        return await self._register.has_to_wait(entry, identity, await self._journal.known(own))

    async def _take_in_rest(self) -> None:
        """Hand over the entries that were put aside, now that it is known who has gone."""
        rest, self._aside = self._aside, []
        try:
            await self._register.close(is_whole=self._stopped_by is None)
        except EncordError as error:
            self._fail(error, "the journal cannot be written")
        for one in rest:
            self._cutter.add(one)

    # ------------------------------------------------------------------ shards

    async def _advance(self) -> None:
        """Submit what can be, and end the run when nothing is left."""
        async with self._submitting:
            while self._stopped_by is None and len(self._under_way) < self._slots:
                share = share_of(self._session_options.settings, slots=self._slots, given=self._given)
                shard = None if share is None else self._cutter.take()
                if shard is None:
                    break
                await self._submit(shard)
                self._room.set()
            if self._all_read and not (self._under_way or self._reporting or self._cutter.held or self._over):
                self._over = True
                self._ended_s = anyio.current_time()
                self._send.close()
                self._looking_around.cancel()

    async def _submit(self, shard: Shard) -> None:
        share = share_of(self._session_options.settings, slots=self._slots, given=self._given)
        if share is None or self._group is None:
            raise AssertionError("a shard was submitted that has no share")
        future = await self._scheduler.submit(self._task(shard, share), shard.number)
        one = self._under_way[shard.number] = _UnderWay(shard, share, future, anyio.Event())
        self._group.start_soon(self._collect, one, name=f"shard {shard.number}")

    def _task(self, shard: Shard, share: Settings) -> Task:
        identities = frozenset(one.identity for one in shard.part.entries)
        return Task(
            # Workers do not see the file.
            part=replace(shard.part, policy=self._policy.protecting),
            session=replace(self._session_options, settings=share),
            options=replace(self._options, max_failures=None),
            journal=self._shown_to_workers,
            shard=JournalShard(run=self._number, name=str(shard.number), entries=identities or None),
            signals=self._scheduler.signals,
        )

    async def _collect(self, one: _UnderWay) -> None:
        self._scheduler.tell(one.future, one.ended)
        await one.ended.wait()
        report = await self._scheduler.reported(one.future, one.shard.number)
        with self._reports():
            del self._under_way[one.shard.number]
            self._room.set()
            self._add_up(report)
            if one.shard.number:
                made, dead = _became(report)
                self._cutter.ended(one.shard, made=made, dead=dead)
            if report.failure is not None:
                self._fail(report.failure, "it cannot go on")
            # The cluster goes on while the caller looks at the outcomes.
            await self._advance()
            await self._emit(report.outcomes)
        if self._stopped_by is not None:
            await self._cancel_rest()
        await self._advance()

    @contextmanager
    def _reports(self) -> Iterator[None]:
        """While outcomes are on their way to the caller the run is not over."""
        self._reporting += 1
        try:
            yield
        finally:
            self._reporting -= 1

    def _add_up(self, report: Report) -> None:
        one, sums = report.summary, self._sums
        self._sums = replace(
            sums,
            requests=sums.requests + one.requests,
            retries=sums.retries + one.retries,
            throttled=sums.throttled + one.throttled,
            uncounted=sums.uncounted + one.uncounted,
        )
        if one.stopped_by == "fail_fast":
            self.drain("fail_fast")

    async def _emit(self, outcomes: Iterable[Outcome]) -> None:
        limit = self._options.max_failures
        for outcome in outcomes:
            self._counts[outcome.status] += 1
            if limit is not None and limit.exceeded(self._failed, sum(self._counts.values())):
                self.drain("max_failures")
            await self._send.send(outcome)

    def _fail(self, error: EncordError, reason: str) -> None:
        if self._failure is None:
            self._failure = error
        self.drain(reason)


def _became(report: Report) -> tuple[dict[str, str], dict[str, str]]:
    """The hashes of the keys of a shard, and why others have none."""
    made: dict[str, str] = {}
    dead: dict[str, str] = {}
    for outcome in report.outcomes:
        if outcome.key is not None and outcome.hash is not None:
            made[outcome.key] = outcome.hash
        elif outcome.key is not None:
            dead[outcome.key] = why_dead(outcome)
    return made, dead
