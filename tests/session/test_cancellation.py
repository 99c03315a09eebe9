"""Whatever stops an operation, where it stands: no slot, task, connection or warning stays, and the session goes on."""

import asyncio
import gc
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from encord_async import errors
from encord_async import operations as ops
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import SSHKey
from encord_async.session.clock import SystemClock
from encord_async.session.pacing import Verdict
from encord_async.session.session import Session
from encord_async.session.settings import Settings, Timeouts
from tests.virtual import InstantClock
from tests.waiting import PATIENCE_S, time_passes

KEY = SSHKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
CREATE = ops.CreateProject(title="Cats")
ATTACH = ops.AddDatasets(project_hash="p1", dataset_hashes=("d1",))
READ = ops.ListProjects()


@dataclass
class Server:
    """A service whose next answers are a switch: ``ok``, ``hang``, ``throttle`` or ``down``."""

    mode: str = "ok"
    port: int = 0
    open_connections: int = 0
    requests: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer as the mode says until the other side goes."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self._count(connections=1)
        try:
            while True:
                await self._receive(reader)
                self._count(requests=1)
                if self.mode == "hang":
                    await reader.read()
                    return
                writer.write(self._reply())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._count(connections=-1)
            writer.close()

    async def seen(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds, looking whenever something happens here."""
        with anyio.fail_after(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def has_requests(self, number: int) -> bool:
        """Whether so many have arrived."""
        return self.requests == number

    def _count(self, *, connections: int = 0, requests: int = 0) -> None:
        self.open_connections += connections
        self.requests += requests
        self.changed.set()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))

    def _reply(self) -> bytes:
        if self.mode == "throttle":
            return b"HTTP/1.1 429 Slow\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n"
        if self.mode == "down":
            return b"HTTP/1.1 503 Down\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n"
        body = b'{"status": 200, "response": []}'
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """The service on a free port of this machine."""
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        await listener.wait_closed()


class NotingClock(SystemClock):
    """The machine's clock; says when somebody sleeps."""

    def __init__(self) -> None:
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep really; the test cancels it."""
        self.asleep.set()
        await super().sleep(seconds)


@dataclass
class Scene:
    """A session before its service."""

    server: Server
    clock: NotingClock
    session: Session

    def unfinished(self) -> set[asyncio.Task[object]]:
        """Tasks that are neither the test's nor the server's."""
        return asyncio.all_tasks() - self.server.tasks - {asyncio.current_task()}

    async def assert_clean(self) -> None:
        """Nothing is held, runs or is left to the garbage collector, and no connection is stuck in a dead request."""
        assert self.session.statistics().in_flight == 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gc.collect()
        assert caught == []
        with anyio.fail_after(PATIENCE_S):
            while self.unfinished():
                await checkpoint()

    async def assert_usable(self) -> None:
        """More operations than there are slots go through."""
        self.server.mode = "ok"
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(self.session.execute, READ)
        await self.assert_clean()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A session with two slots, open; everything is closed and checked in the end."""
    async with serving() as server:
        clock = NotingClock()
        settings = Settings(domain=f"http://127.0.0.1:{server.port}", concurrency=2)
        async with Session(KEY, settings, clock=clock) as session:
            scene = Scene(server, clock, session)
            yield scene
        await scene.assert_clean()
        await server.seen(lambda: server.open_connections == 0)


async def cancel_task(start: Coroutine[object, object, object], ready: Callable[[], Awaitable[None]]) -> None:
    """Run as a task and cancel that."""
    task = asyncio.ensure_future(start)
    await ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_scope(start: Coroutine[object, object, object], ready: Callable[[], Awaitable[None]]) -> None:
    """Run in a task group and cancel its scope."""

    async def run() -> None:
        await start

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await ready()
        group.cancel_scope.cancel()


async def time_out(start: Coroutine[object, object, object], ready: Callable[[], Awaitable[None]]) -> None:
    """Run under a time-out that strikes once the operation is where it should be."""

    async def run() -> None:
        with pytest.raises(TimeoutError):  # noqa: PT012 - the time-out is a block of its own
            with anyio.fail_after(1000) as scope:
                group.start_soon(strike, scope)
                await start

    async def strike(scope: anyio.CancelScope) -> None:
        await ready()
        scope.deadline = anyio.current_time()

    async with anyio.create_task_group() as group:
        group.start_soon(run)


Stop = Callable[[Coroutine[object, object, object], Callable[[], Awaitable[None]]], Awaitable[None]]
stops = pytest.mark.parametrize("stop", [cancel_task, cancel_scope, time_out])


@stops
async def test_stopped_while_waiting_for_the_reply(scene: Scene, stop: Stop) -> None:
    """The request's connection is given up with it: its late reply cannot be taken for the next one's."""
    scene.server.mode = "hang"
    await stop(scene.session.execute(CREATE), lambda: scene.server.seen(lambda: scene.server.requests == 1))
    await scene.server.seen(lambda: scene.server.open_connections == 0)
    await scene.assert_clean()
    await scene.assert_usable()


@stops
async def test_stopped_while_waiting_for_a_slot(scene: Scene, stop: Stop) -> None:
    """Giving up in the queue sends nothing and disturbs neither those in flight nor those behind."""
    scene.server.mode = "hang"
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(scene.session.execute, READ)
        await scene.server.seen(lambda: scene.server.requests == 2)
        await stop(scene.session.execute(CREATE), anyio.wait_all_tasks_blocked)
        assert scene.session.statistics().in_flight == 2
        assert scene.server.requests == 2
        group.cancel_scope.cancel()
    await scene.assert_clean()
    await scene.assert_usable()


@pytest.mark.parametrize("mode", ["throttle", "down"])
@stops
async def test_stopped_while_backing_off(scene: Scene, stop: Stop, mode: str) -> None:
    """A wait before the next try ends at once, and holds no slot while it lasts."""
    scene.server.mode = mode

    async def asleep() -> None:
        await scene.clock.asleep.wait()
        assert scene.session.statistics().in_flight == 0

    await stop(scene.session.execute(READ), asleep)
    assert scene.server.requests == 1
    await scene.assert_clean()
    await scene.assert_usable()


@stops
async def test_stopped_while_connecting(stop: Stop) -> None:
    """An operation stopped in the TLS handshake leaves no half-open connection."""
    greeted, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await reader.read()
        writer.close()
        gone.set()

    async def wait_for_greeting() -> None:
        await greeted.wait()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with Session(KEY, Settings(domain=f"https://127.0.0.1:{port}", concurrency=1)) as session:
        await stop(session.execute(CREATE), wait_for_greeting)
        assert session.statistics().in_flight == 0
        with anyio.fail_after(PATIENCE_S):
            await gone.wait()
    listener.close()
    await listener.wait_closed()
    gc.collect()


@stops
async def test_stopped_again_and_again(scene: Scene, stop: Stop) -> None:
    """Slots do not leak one by one either."""
    scene.server.mode = "hang"
    for number in range(1, 8):
        arrived = partial(scene.server.seen, partial(scene.server.has_requests, number))
        await stop(scene.session.execute(CREATE), arrived)
    await scene.assert_usable()


async def test_group_with_a_failure_in_it(scene: Scene) -> None:
    """One task's error cancels its neighbours in all states at once, and leaves nothing of them."""
    scene.server.mode = "hang"

    async def fail() -> None:
        await scene.server.seen(lambda: scene.server.requests == 2)
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(scene.session.execute, CREATE)
            group.start_soon(fail)
    await scene.assert_clean()
    await scene.assert_usable()


LONG = 2 * PATIENCE_S


@pytest.mark.parametrize("timeouts", [Timeouts(attempt_s=LONG), Timeouts(operation_s=LONG)])
async def test_own_timeouts_leave_nothing(timeouts: Timeouts) -> None:
    """The session's own time-outs give slot and connection back as a cancellation does."""
    async with serving() as server:
        server.mode = "hang"
        settings = Settings(domain=f"http://127.0.0.1:{server.port}", concurrency=1, timeouts=timeouts)
        async with Session(KEY, settings) as session, anyio.create_task_group() as group:

            async def time_out() -> None:
                with pytest.raises(errors.NoReplyError):
                    await session.execute(CREATE)

            group.start_soon(time_out)
            await server.seen(lambda: server.requests == 1)
            time_passes(LONG)
            await server.seen(lambda: server.open_connections == 0)
            assert session.statistics().in_flight == 0


async def test_deadline_in_the_queue() -> None:
    """An operation whose time runs out while it waits for a slot was not sent, and says so."""
    async with serving() as server:
        domain = f"http://127.0.0.1:{server.port}"
        settings = Settings(domain=domain, concurrency=1, timeouts=Timeouts(operation_s=LONG))
        async with Session(KEY, settings) as session:
            permit = await session._pacer.acquire()
            waiting = asyncio.ensure_future(session.execute(CREATE))
            await anyio.wait_all_tasks_blocked()
            time_passes(LONG)
            with pytest.raises(errors.DeadlineError) as caught:
                await waiting
            session._pacer.release(permit, Verdict.UNKNOWN)
            assert session.statistics().in_flight == 0
    assert caught.value.applied == "not_applied"
    assert caught.value.trace_id is not None
    assert server.requests == 0


# --- closing under way -----------------------------------------------------------------------------------------------


async def outcome(operation: Awaitable[object]) -> object:
    """The result, or the error."""
    try:
        return await operation
    except errors.EncordError as error:
        return error


async def test_closed_with_operations_in_every_state(scene: Scene) -> None:
    """After a close, what was sent is in doubt, what was not sent is known not to have been, and nothing hangs."""
    scene.server.mode = "hang"
    session = scene.session
    tasks = [asyncio.ensure_future(outcome(session.execute(CREATE))) for _ in range(5)]
    await scene.server.seen(lambda: scene.server.requests == 2)
    await session.aclose()
    with anyio.fail_after(PATIENCE_S):
        found = await asyncio.gather(*tasks)
    assert Counter(map(type, found)) == {errors.NoReplyError: 2, errors.UsageError: 3}
    assert scene.server.requests == 2
    await scene.assert_clean()


async def test_closed_under_an_idempotent_change() -> None:
    """A change that was on its way when the session closed is in doubt, although it might have been tried again."""
    async with serving() as server:
        server.mode = "hang"
        async with Session(KEY, Settings(domain=f"http://127.0.0.1:{server.port}"), clock=InstantClock()) as session:
            task = asyncio.ensure_future(outcome(session.execute(ATTACH)))
            await server.seen(lambda: server.requests == 1)
            await session.aclose()
            error = await task
        assert isinstance(error, errors.NoReplyError)
        assert error.applied == "unknown"
        assert session.statistics().in_flight == 0


async def test_close_that_is_cancelled_still_closes(scene: Scene) -> None:
    """Leaving ``async with`` in a cancelled scope closes the connections all the same."""
    await scene.session.execute(READ)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await scene.session.aclose()
    await scene.server.seen(lambda: scene.server.open_connections == 0)
    await scene.assert_clean()


@dataclass
class SlowToClose:
    """A network whose connections take a turn of the event loop to close."""

    closed: bool = False

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """Nobody sends anything."""
        raise AssertionError("a request was sent")

    async def aclose(self) -> None:
        """Close in two steps, of which a cancellation could prevent the second."""
        await checkpoint()
        self.closed = True


async def test_close_is_not_left_half_done() -> None:
    """A time-out around the session does not cut its closing short."""
    network = SlowToClose()
    with anyio.CancelScope() as scope:
        async with Session(KEY, transport=lambda _: network):
            scope.cancel()
    assert network.closed


async def test_concurrency_bounds_what_the_service_sees(scene: Scene) -> None:
    """However many operations are asked for, no more than the setting are with the service, and no fewer."""
    scene.server.mode = "hang"
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(scene.session.execute, READ)
        await scene.server.seen(lambda: scene.server.requests == 2)
        await anyio.wait_all_tasks_blocked()
        assert scene.session.statistics().in_flight == 2
        assert scene.server.requests == 2
        group.cancel_scope.cancel()
    await scene.assert_usable()
