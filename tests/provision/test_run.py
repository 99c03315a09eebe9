"""A run reads as capacity frees, ends every entry once, and leaves nothing behind however it ends."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from encord_async.client import EncordSession
from encord_async.emulator import Emulator
from encord_async.emulator.faults import Fault as FaultName
from encord_async.emulator.faults import FaultRule
from encord_async.engine.options import FailureLimit, Options
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.run import Run
from encord_async.errors import AuthenticationError, EncordError, ManifestError, UsageError
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.session.settings import Settings
from tests.provision.conftest import (
    Call,
    Entry,
    Fault,
    Project,
    Service,
    all_of,
    collect,
    members,
    open_session,
    project,
    provision,
    users,
)
from tests.waiting import PATIENCE_S


def tasks() -> set["asyncio.Task[Any]"]:
    """All tasks but the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture(autouse=True)
async def _nothing_is_left(service: Service) -> AsyncIterator[None]:
    """No test leaves a task or a request behind."""
    before = tasks()
    yield
    assert tasks() - before == set()
    assert service.in_flight == 0


@pytest.fixture
async def session(service: Service) -> AsyncIterator[EncordSession]:
    """A session with four slots on the service."""
    async with open_session(service) as session:
        yield session


def assert_sums(run: Run, outcomes: list[Outcome]) -> None:
    """Every entry that was read has one outcome, and the summary adds up to them."""
    assert sorted(outcome.number for outcome in outcomes) == list(range(1, run.summary.entries + 1))
    assert sum(run.summary.by_status.values()) == run.summary.entries == len(outcomes)


class Hold:
    """Keeps calls of one name waiting at the service until they are let go."""

    def __init__(self, service: Service, name: str) -> None:
        self._name = name
        self._waiting = anyio.Event()
        self._go = anyio.Event()
        service.pace = self._pace

    async def _pace(self, call: Call) -> None:
        if call.name == self._name:
            self._waiting.set()
            await self._go.wait()
        else:
            await checkpoint()

    async def reached(self) -> None:
        """Wait until a call is there."""
        await self._waiting.wait()

    def let_go(self) -> None:
        """Let them all go."""
        self._go.set()


# --- where entries come from -----------------------------------------------------------------------------------------


async def test_empty_manifest(service: Service) -> None:
    """A manifest without entries is done at once, without a request."""
    done = await provision(service, [])
    assert (done.outcomes, done.summary.entries, done.summary.requests) == ([], 0, 0)


async def test_entries_and_dicts_from_a_generator(service: Service) -> None:
    """Any iterable will do, of entries and of dicts; the generator is closed at the end."""
    closed = []

    def entries() -> Iterator[Any]:
        try:
            yield ProjectEntry(title="Cats", key="p")
            yield users("@p", "a@example.com")
        finally:
            closed.append(True)

    done = await provision(service, entries())
    assert done.statuses == ["created", "updated"]
    assert [outcome.place for outcome in done.outcomes] == ["entry 1", "entry 2"]
    assert closed == [True]


async def test_async_iterable(service: Service) -> None:
    """An async iterable is read as it gives entries; what it gave is under way while it waits for more."""
    first_is_made = anyio.Event()

    async def entries() -> AsyncIterator[Entry]:
        yield project("Cats")
        await first_is_made.wait()
        yield project("Dogs")

    async with open_session(service) as session, session.provision(entries(), journal=None) as run:
        assert (await anext(run)).status is Status.CREATED
        first_is_made.set()
        assert (await anext(run)).status is Status.CREATED
        with pytest.raises(StopAsyncIteration):
            await anext(run)
    assert service.titled("Cats") + service.titled("Dogs") == ["project-1", "project-2"]


async def test_file(service: Service, tmp_path: Path) -> None:
    """The entries of a file are known by their lines, and the progress knows how many there are."""
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in [project(key="p"), users("@p", "a@example.com")]))
    async with open_session(service) as session, session.provision(path, journal=None) as run:
        outcomes = await all_of(run)
    assert [outcome.place for outcome in outcomes] == [f"{path}:1", f"{path}:2"]
    progress = run.progress()
    assert (progress.entries, progress.total, progress.ended, progress.failed) == (2, 2, 2, 0)


async def test_file_with_a_bad_entry_sends_nothing(session: EncordSession, service: Service, tmp_path: Path) -> None:
    """A file is read through before anything is sent; if an entry is bad, all of them are told and nothing is sent."""
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(project()) + '\n{"kind": "projct", "title": "x"}\n' + json.dumps(users("@x", "a@b.c")))
    with pytest.raises(ManifestError) as caught:
        async with session.provision(path, journal=None):
            pass
    assert len(caught.value.problems) == 2
    assert service.calls == []


async def test_skip_invalid_file(session: EncordSession, service: Service, tmp_path: Path) -> None:
    """With ``skip_invalid`` the good entries are provisioned, and each bad one counts as one failed entry."""
    path = tmp_path / "m.jsonl"
    lines = [project(), {"kind": "project", "titel": "x", "users": 5}, users("@x", "a@b.c"), project("Dogs")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    async with session.provision(path, journal=None, skip_invalid=True) as run:
        outcomes = await all_of(run)
    assert [outcome.status.value for outcome in outcomes] == ["created", "failed", "failed", "created"]
    assert isinstance(outcomes[1].error, ManifestError)
    assert outcomes[1].place == f"{path}:2"


async def test_stream_stops_at_the_first_bad_entry(session: EncordSession, service: Service) -> None:
    """A stream cannot be checked first: it ends before the bad entry, what was begun is finished, and it is raised."""
    read = []
    closed = []

    def entries() -> Iterator[Entry]:
        try:
            for entry in [*members("p", 3), {"kind": "nonsense"}, *members("p", 3)]:
                read.append(entry)
                yield entry
        finally:
            closed.append(True)

    service.projects["p"] = Project("Cats")
    outcomes: list[Outcome] = []
    with pytest.raises(ManifestError, match="entry 4: kind: 'nonsense' is no kind of entry"):
        async with session.provision(entries(), journal=None) as run:
            await collect(run, outcomes)
    assert_sums(run, outcomes)
    assert len(outcomes) == 3
    assert {outcome.status for outcome in outcomes} <= {Status.UPDATED, Status.CANCELLED}
    assert run.summary.stopped_by == "a bad entry in the manifest"
    assert closed == [True]


async def test_skip_invalid_stream(session: EncordSession, service: Service) -> None:
    """A stream goes on after bad entries if told to."""
    manifest = [project(key="p"), {"kind": "nonsense"}, project(key="p"), users("@p", "a@example.com")]
    async with session.provision(manifest, journal=None, skip_invalid=True) as run:
        outcomes = await all_of(run)
    assert_sums(run, outcomes)
    assert [outcome.status.value for outcome in outcomes] == ["created", "failed", "failed", "updated"]
    assert "is the key of entry 1 already" in str(outcomes[2].error)


async def test_manifest_that_breaks_off(session: EncordSession, service: Service) -> None:
    """An error of the caller's own generator comes out, and the run ends."""

    def entries() -> Iterator[Entry]:
        yield project()
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError, match="the database is gone"):
        async with session.provision(entries(), journal=None) as run:
            await collect(run, [])


@pytest.mark.parametrize("manifest", [5, {"kind": "project"}, b"x"])
async def test_no_manifest(session: EncordSession, manifest: Any) -> None:
    """What entries cannot come from is refused with what can be given."""
    with pytest.raises(UsageError, match="a manifest cannot be a"):
        async with session.provision(manifest, journal=None):
            pass


# --- backpressure ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [False, True], ids=["fast consumer", "slow consumer"])
@pytest.mark.parametrize("many", [1, 3], ids=["one project", "three projects"])
async def test_manifest_is_read_only_as_capacity_frees(
    session: EncordSession, service: Service, slow: bool, many: int
) -> None:
    """Never are more entries read and not ended than the read-ahead allows and lanes that are not full hold."""
    service.projects |= {f"p{n}": Project("Cats") for n in range(many)}
    lookahead = 50
    most = 0

    def entries() -> Iterator[Entry]:
        nonlocal most
        for number in range(1000):
            most = max(most, number - run.progress().ended)
            yield users(f"p{number % many}", f"{number}@example.com")

    run = Run(session, entries(), Options(lookahead=lookahead, max_batch=7), journal=None)
    outcomes = []
    async with run:
        async for outcome in run:
            outcomes.append(outcome)
            if slow:
                for _ in range(5):
                    await checkpoint()
    assert_sums(run, outcomes)
    assert len(outcomes) == 1000
    assert 1 < most < lookahead + many * (7 - 1)


async def test_no_more_is_read_while_enough_could_be_made(session: EncordSession) -> None:
    """What is ready to be made is no more than the service takes in a while, however many may be read ahead."""
    most = 0

    def entries() -> Iterator[Entry]:
        nonlocal most
        for number in range(3000):
            most = max(most, number - run.progress().ended)
            yield project(title=f"{number}")

    async with Run(session, entries(), Options(), journal=None) as run:
        assert run.summary.entries == 0
        outcomes = await all_of(run)
    assert_sums(run, outcomes)
    assert len(outcomes) == 3000
    assert 32 < most < 2000


async def test_consumer_that_stops_taking_stops_the_run(session: EncordSession, service: Service) -> None:
    """If nobody takes the outcomes, no more is read or sent than the read-ahead, the buffer and a lane hold."""
    service.projects["p"] = Project("Cats")
    read = 0

    def entries() -> Iterator[Entry]:
        nonlocal read
        for number in range(1500):
            read = number + 1
            yield users("p", f"{number}@example.com")

    async with Run(session, entries(), Options(lookahead=50, max_batch=7), journal=None) as run:
        for _ in range(1000):
            await checkpoint()
        assert read <= 50 + 7 + 1 + (7 - 1)
        outcomes = await all_of(run)
    assert_sums(run, outcomes)
    assert len(outcomes) == 1500


async def test_entries_that_wait_for_what_is_still_to_come_do_not_stop_the_reading(
    session: EncordSession, service: Service
) -> None:
    """Many more members than the read-ahead may stand before their project, and before the dataset it waits for."""
    manifest = [
        *(users("@p", f"{n}@example.com") for n in range(60)),
        project(key="p", datasets=["@d"]),
        *(users("@p", f"{n}@example.com") for n in range(60, 200)),
        {"kind": "dataset", "key": "d", "title": "D"},
    ]
    async with Run(session, manifest, Options(lookahead=20), journal=None) as run:
        with anyio.fail_after(PATIENCE_S):
            outcomes = await all_of(run)
    assert_sums(run, outcomes)
    assert {outcome.status for outcome in outcomes} == {Status.CREATED, Status.UPDATED}


async def test_never_a_task_per_entry(session: EncordSession, service: Service) -> None:
    """Thousands of entries are worked on by a number of tasks that depends on the concurrency alone."""
    service.projects |= {f"p{n}": Project("Cats") for n in range(100)}
    most = 0

    def entries() -> Iterator[Entry]:
        nonlocal most
        for number in range(2_000):
            if number % 100 == 0:
                most = max(most, len(asyncio.all_tasks()) - before)
            yield users(f"p{number % 100}", f"{number}@example.com")

    before = len(asyncio.all_tasks())
    async with session.provision(entries(), journal=None, max_batch=50) as run:
        outcomes = await all_of(run)
    assert len(outcomes) == 2_000
    # Four workers a slot, the reader, the timer, and who goes on with what is written down.
    assert most <= 4 * session.settings.concurrency + 3
    assert service.max_in_flight <= session.settings.concurrency


async def test_finished_entries_are_let_go(session: EncordSession, service: Service) -> None:
    """A run keeps nothing of a membership that is over: entries that have ended are gone while it still goes on."""
    service.projects["p"] = Project("Cats")
    alive: list[weakref.ref[Any]] = []
    most = 0

    class Noted(dict[str, Any]):
        """A dict that can be watched."""

    def entries() -> Iterator[Entry]:
        nonlocal most
        for number in range(1500):
            entry = Noted(users("p", f"{number}@example.com"))
            alive.append(weakref.ref(entry))
            yield entry
            if number % 500 == 499:
                gc.collect()
                most = max(most, sum(one() is not None for one in alive))

    async with Run(session, entries(), Options(lookahead=100), journal=None) as run:
        assert len([outcome async for outcome in run]) == 1500
    assert most <= 101


# --- how a run ends --------------------------------------------------------------------------------------------------


async def test_leaving_early(session: EncordSession, service: Service) -> None:
    """Leaving the block ends all that is under way; nothing is sent after it."""
    hold = Hold(service, "projectusers.POST")
    service.projects["p"] = Project("Cats")
    before = tasks()
    async with session.provision([project(), *members("p", 10)], journal=None) as run:
        await anext(run)
        await hold.reached()
        assert service.in_flight == 1
    assert tasks() == before
    sent = len(service.calls)
    for _ in range(10):
        await checkpoint()
    assert (service.in_flight, len(service.calls)) == (0, sent)


async def test_leaving_without_asking_for_anything(session: EncordSession, service: Service) -> None:
    """A block that asks for no outcome ends at once, also with a manifest that never ends."""

    def entries() -> Iterator[Entry]:
        while True:
            yield users("p", "a@example.com")

    async with session.provision(entries(), journal=None):
        pass


async def test_exception_in_the_block(session: EncordSession, service: Service) -> None:
    """An exception in the block comes out as it is, and all that was under way has ended."""
    hold = Hold(service, "project.POST")

    async def run() -> None:
        async with session.provision([project()], journal=None):
            await hold.reached()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run()
    assert service.in_flight == 0


Start: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


async def cancel_task(run: Start, ready: Callable[[], Awaitable[None]]) -> None:
    """Cancel the task that runs *run* once it is *ready*."""
    task = asyncio.ensure_future(run())
    await ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_scope(run: Start, ready: Callable[[], Awaitable[None]]) -> None:
    """Cancel the scope that *run* is in once it is *ready*."""
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await ready()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("stop", [cancel_task, cancel_scope])
@pytest.mark.parametrize("held", ["project.POST", "v2/projects.GET", "projectusers.POST"])
async def test_cancelled(session: EncordSession, service: Service, stop: Any, held: str) -> None:
    """A cancelled caller leaves no task and no request, whatever was under way, and the generator is closed."""
    hold = Hold(service, held)
    service.projects["p"] = Project("Cats")
    closed = []

    def entries() -> Iterator[Entry]:
        try:
            for number in range(1_000_000):
                yield project(f"P{number}")
                yield users("p", f"{number}@example.com")
        finally:
            closed.append(True)

    async def run() -> None:
        async with Run(session, entries(), Options(lookahead=100), journal=None) as run:
            async for _ in run:
                pass

    await stop(run, hold.reached)
    assert closed == [True]
    assert service.in_flight == 0


async def test_async_generator_is_closed(session: EncordSession, service: Service) -> None:
    """An async generator that still waits for its next entry is closed when the block is left."""
    closed = []

    async def entries() -> AsyncIterator[Entry]:
        try:
            yield project()
            await anyio.sleep_forever()
        finally:
            closed.append(True)

    async with session.provision(entries(), journal=None) as run:
        await anext(run)
    assert closed == [True]


async def test_started_once(session: EncordSession) -> None:
    """A run cannot be entered again, neither while it runs nor afterwards."""
    run = session.provision([], journal=None)
    async with run:
        with pytest.raises(UsageError, match="a run can be started once"):
            await run.__aenter__()
    with pytest.raises(UsageError, match="a run can be started once"):
        await run.__aenter__()


async def test_two_runs_on_one_session(session: EncordSession, service: Service) -> None:
    """Two runs share a session, and its bound on requests in flight."""

    async def one(title: str) -> None:
        async with session.provision([project(f"{title}{n}") for n in range(20)], journal=None) as run:
            assert len(await all_of(run)) == 20

    async with anyio.create_task_group() as group:
        group.start_soon(one, "A")
        group.start_soon(one, "B")
    assert len(service.projects) == 40
    assert service.max_in_flight <= 4


# --- stopped before the end ------------------------------------------------------------------------------------------


async def test_wrong_credential_stops_at_once(service: Service) -> None:
    """If the credential is not accepted the run ends with that one error, after as many requests as were under way."""
    outcomes: list[Outcome] = []
    with pytest.raises(AuthenticationError) as caught:
        async with (
            open_session(service, token="another") as session,
            session.provision([project(f"P{n}") for n in range(10_000)], journal=None) as run,
        ):
            await collect(run, outcomes)
    assert caught.value.http_status == 401
    assert_sums(run, outcomes)
    assert {outcome.status for outcome in outcomes} == {Status.CANCELLED}
    assert len(service.calls) <= 4 * 4
    assert run.summary.stopped_by is not None


async def test_fail_fast(session: EncordSession, service: Service) -> None:
    """The first failure stops the run: what is under way ends, the rest is cancelled and reported so."""
    service.faults.append(Fault("project.POST", code="INVALID_ARGUMENTS_ERROR", touches=lambda call: "P5" in str(call)))
    outcomes: list[Outcome] = []
    manifest = [project(f"P{n}") for n in range(1000)]
    async with session.provision(manifest, journal=None, fail_fast=True) as run:
        await collect(run, outcomes)
    assert_sums(run, outcomes)
    assert run.summary.count(Status.FAILED) == 1
    assert run.summary.count(Status.CANCELLED) > 0
    assert run.summary.count(Status.CREATED) == len(service.projects) < 60
    assert run.summary.stopped_by == "fail_fast"


async def test_fail_fast_with_the_last_entry(session: EncordSession, service: Service) -> None:
    """A failure with others already read and queued loses none of them."""
    service.faults.append(Fault("projectusers.POST", code="RESOURCE_NOT_FOUND_ERROR"))
    manifest = [users(f"p{n}", "a@example.com") for n in range(50)]
    outcomes: list[Outcome] = []
    async with session.provision(manifest, journal=None, fail_fast=True) as run:
        await collect(run, outcomes)
    assert_sums(run, outcomes)
    assert len(outcomes) == 50


@pytest.mark.parametrize(("limit", "most"), [(3, 60), ("3", 60), ("10%", 200)])
async def test_max_failures(session: EncordSession, service: Service, limit: int | str, most: int) -> None:
    """More failures than allowed, by number or by share, stop the run."""
    manifest = [users(f"p{n}", "a@example.com") for n in range(2000)]
    outcomes: list[Outcome] = []
    async with session.provision(manifest, journal=None, max_failures=limit) as run:
        await collect(run, outcomes)
    assert_sums(run, outcomes)
    assert 4 <= run.summary.count(Status.FAILED) < most
    assert run.summary.stopped_by == "max_failures"


async def test_tolerated_failures_do_not_stop(session: EncordSession, service: Service) -> None:
    """As many failures as allowed are allowed."""
    manifest = [*(users(f"p{n}", "a@example.com") for n in range(3)), project()]
    async with session.provision(manifest, journal=None, max_failures=3) as run:
        outcomes = await all_of(run)
    assert (run.summary.count(Status.FAILED), run.summary.stopped_by) == (3, None)
    assert outcomes[3].status is Status.CREATED


async def test_drain(session: EncordSession, service: Service) -> None:
    """Asked to stop, a run reads no further and sends nothing more, not even what waits for a slot; what was sent ends
    as the service says."""
    hold = Hold(service, "project.POST")
    outcomes: list[Outcome] = []
    async with session.provision([project(f"P{n}") for n in range(100)], journal=None) as run:
        await hold.reached()
        for _ in range(50):
            await checkpoint()
        run.drain("interrupted")
        run.drain("once more")
        hold.let_go()
        await collect(run, outcomes)
    assert_sums(run, outcomes)
    assert run.summary.count(Status.CREATED) == len(service.projects)
    assert run.summary.count(Status.CREATED) + run.summary.count(Status.CANCELLED) == len(outcomes) == 100
    assert len(service.projects) == session.settings.concurrency
    assert run.summary.stopped_by == "interrupted"


@pytest.mark.parametrize("after", [0, 1, 10, 60])
async def test_drain_at_any_moment_with_a_slow_consumer(session: EncordSession, service: Service, after: int) -> None:
    """A run that is asked to stop while its consumer lags behind still reports every entry that it has read."""
    service.projects |= {f"p{n}": Project("Cats") for n in range(5)}
    manifest = (users(f"p{n % 5}", f"{n}@example.com") for n in range(1000))
    outcomes: list[Outcome] = []
    async with Run(session, manifest, Options(lookahead=40, max_batch=3), journal=None) as run:
        async for outcome in run:
            outcomes.append(outcome)
            await checkpoint()
            if len(outcomes) > after:
                run.drain()
    assert_sums(run, outcomes)
    assert after < len(outcomes) < 200


async def test_drain_while_the_manifest_waits(session: EncordSession, service: Service) -> None:
    """A manifest that has nothing to give for now does not keep a run from stopping."""

    async def entries() -> AsyncIterator[Entry]:
        yield project()
        await anyio.sleep_forever()

    outcomes: list[Outcome] = []
    async with session.provision(entries(), journal=None) as run:
        outcomes.append(await anext(run))
        run.drain()
        await collect(run, outcomes)
    assert_sums(run, outcomes)


async def test_drain_before_anything_and_after_all(session: EncordSession, service: Service) -> None:
    """Stopping before the first entry is read sends nothing; stopping a run that is over changes nothing."""
    async with session.provision([project()], journal=None) as run:
        run.drain()
        assert await all_of(run) == []
        run.drain("again")
    assert (service.calls, run.summary.stopped_by) == ([], "asked to stop")
    async with session.provision([project()], journal=None) as run:
        await all_of(run)
        run.drain()
    assert run.summary.stopped_by is None


async def test_journal_is_kept_when_the_run_is_stopped(
    session: EncordSession, service: Service, tmp_path: Path
) -> None:
    """With a journal, too, a run that is stopped while it reads accounts for every entry it has read."""
    service.faults.append(Fault("project.POST", code="INVALID_ARGUMENTS_ERROR"))
    manifest = [project(f"P{n}") for n in range(600)]
    outcomes: list[Outcome] = []
    async with session.provision(manifest, journal=tmp_path / "run.db", fail_fast=True) as run:
        await collect(run, outcomes)
    assert_sums(run, outcomes)


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "x", "-1", "101%", "-1%", "5%%", "1.5"])
def test_failure_limit_refuses(text: str) -> None:
    """What is no number of failures is refused with an example."""
    with pytest.raises(UsageError, match="give for example 50 or 5%"):
        FailureLimit.parse(text)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 100))
def test_failure_limit(failed: int, more: int, limit: int) -> None:
    """A number is exceeded by one more; a share counts only when enough entries have ended."""
    ended = failed + more
    assert FailureLimit.parse(limit).exceeded(failed, ended) == (failed > limit)
    share = FailureLimit.parse(f"{limit}%").exceeded(failed, ended)
    assert share == (ended >= 100 and failed > limit / 100 * ended)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"existing": "maybe"}, "use adopt, create or fail"), ({"max_batch": 0}, "max_batch is 0; give 1 or more")],
)
async def test_options_that_cannot_work(session: EncordSession, options: dict[str, Any], message: str) -> None:
    """Options are refused before anything happens."""
    with pytest.raises(UsageError, match=message):
        session.provision([], journal=None, **options)


# --- against the emulator --------------------------------------------------------------------------------------------


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A local service over HTTP."""
    async with Emulator() as emulator:
        yield emulator


def connect(emulator: Emulator, **settings: Any) -> EncordSession:
    """A session that signs, over a real connection."""
    assert emulator.private_key is not None
    return EncordSession.from_ssh_key(emulator.private_key, settings=Settings(domain=emulator.url, **settings))


def programme(number: int) -> list[Entry]:
    """Projects with three datasets and ten users in two roles, in entries of all kinds, references both ways."""
    entries: list[Entry] = []
    for n in range(number):
        entries += [
            users(f"@p{n}", *(f"a{m}@example.com" for m in range(6))),
            project(f"P{n}", key=f"p{n}", datasets=[f"@d{n}", *(f"00000000-0000-4000-8000-{m:012d}" for m in (1, 2))]),
            {"kind": "dataset", "key": f"d{n}", "title": f"D{n}"},
            users(f"@p{n}", *(f"r{m}@example.com" for m in range(4)), role="reviewer"),
            {"kind": "project_api_key", "project": f"@p{n}", "title": "ci", "scopes": ["label.read"]},
        ]
    return entries


async def test_whole_programme_over_http(emulator: Emulator) -> None:
    """A programme of 20 projects over real connections: everything is there, once, in as few requests as can be."""
    async with connect(emulator) as session, session.provision(programme(20), journal=None) as run:
        outcomes = await all_of(run)
    assert_sums(run, outcomes)
    assert {outcome.status for outcome in outcomes} == {Status.CREATED, Status.UPDATED}
    projects = emulator.state()["projects"]
    assert len(projects) == 20
    for made in projects:
        assert len(made["datasets"]) == 3
        assert len(made["users"]) == 11
        assert len(made["api_keys"]) == 1
    by_query = emulator.stats()["by_query"]
    assert by_query["project.POST"] == by_query["v2/datasets.POST"] == by_query["projectapikey.POST"] == 20
    assert by_query["projectusers.POST"] == 40
    assert by_query["v2/projects.GET"] == by_query["v2/datasets/list.GET"] == 1


async def test_second_run_adopts_over_http(emulator: Emulator) -> None:
    """The same manifest again changes nothing: what can be adopted is, and nobody is added twice."""
    for expected in (Status.CREATED, Status.ADOPTED):
        async with connect(emulator) as session, session.provision(programme(3), journal=None) as run:
            outcomes = await all_of(run)
        assert {outcome.status for outcome in outcomes} == {expected, Status.UPDATED}
    assert len(emulator.state()["projects"]) == 3


async def test_lost_answers_over_http(emulator: Emulator) -> None:
    """Connections that are cut after the work was done make nothing twice."""
    emulator.set_faults([FaultRule(query="project.POST", fault=FaultName.DROP_AFTER_COMMIT, times=3)])
    async with connect(emulator) as session, session.provision(programme(5), journal=None, settle_s=PATIENCE_S) as run:
        outcomes = await all_of(run)
    assert_sums(run, outcomes)
    assert {outcome.status for outcome in outcomes} == {Status.CREATED, Status.UPDATED}
    assert sorted(made["title"] for made in emulator.state()["projects"]) == [f"P{n}" for n in range(5)]


async def test_leaving_early_over_http(emulator: Emulator) -> None:
    """Leaving the block cuts what is under way at the service, too."""
    emulator.set_faults([FaultRule(query="project.POST", fault=FaultName.HANG)])
    async with connect(emulator) as session:
        before = tasks()
        async with session.provision([project()], journal=None):
            while not emulator.stats()["by_query"].get("project.POST"):
                await checkpoint()
        assert {task for task in tasks() - before if "worker" in task.get_name()} == set()


async def test_unknown_key_over_http(emulator: Emulator) -> None:
    """A key that the service does not know ends the run with one error."""
    async with Emulator() as other:
        stranger = connect(other)
    async with EncordSession(stranger._credential, Settings(domain=emulator.url)) as session:
        with pytest.raises(EncordError) as caught:
            async with session.provision([project(f"P{n}") for n in range(500)], journal=None) as run:
                await collect(run, [])
    assert isinstance(caught.value, AuthenticationError)
    assert "the public key is not registered" in caught.value.message


async def test_idle_workers_let_go_of_what_they_did(service: Service) -> None:
    """Entries that have ended are gone while the run goes on, whichever workers did them."""
    for n in range(16):
        service.projects[f"p{n}"] = Project(f"Cats {n}")
    alive: list[weakref.ref[Any]] = []
    most = 0

    def entries() -> Iterator[ProjectUsersEntry]:
        nonlocal most
        for number in range(1600):
            entry = ProjectUsersEntry(
                project=f"p{number // 200}", emails=(f"{number}@example.com",), role=ProjectUserRole.ANNOTATOR
            )
            alive.append(weakref.ref(entry))
            yield entry
            if number % 200 == 199:
                gc.collect()
                most = max(most, sum(one() is not None for one in alive))

    async with open_session(service) as session, Run(session, entries(), Options(lookahead=200), journal=None) as run:
        assert len([outcome async for outcome in run]) == 1600
    assert most <= 450
