"""A stop keeps what waits from leaving, and leaves alone what may have been done already."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from encord_async import operations as ops
from encord_async.client import EncordSession
from encord_async.errors import EncordError, NoReplyError, NotSentError, StoppedError, ThrottledError
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.signing import BearerToken
from encord_async.session.clock import SystemClock
from encord_async.session.settings import Settings
from encord_async.session.stop import Stop
from tests.provision.conftest import TOKEN, Fault, Project, Service
from tests.waiting import PATIENCE_S

CREATE = ops.CreateProject(title="Cats")
READ = ops.GetProject(project_hash="p")
SET = ops.AddProjectUsers(project_hash="p", emails=("a@example.com",), role=ProjectUserRole.ANNOTATOR)


class Waits(SystemClock):
    """A clock whose sleeps end when the test says so."""

    def __init__(self) -> None:
        self.asleep = anyio.Event()
        self.wake = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep until woken."""
        self.asleep.set()
        await self.wake.wait()


@pytest.fixture
def service() -> Service:
    """An account with the project *p*."""
    service = Service()
    service.projects["p"] = Project("P")
    return service


async def stopped_between_attempts(
    service: Service, operation: Any, *, faults: int = 0, is_lost: bool = False
) -> EncordError | None:
    """What *operation* ends in if it is stopped while it waits to be sent again; *faults* others have failed before.

    With *is_lost* it is not stopped, but the guard lets nothing pass any more.
    """
    clock, error = Waits(), None

    async def guard() -> bool:
        return not (is_lost and clock.asleep.is_set())

    stop = Stop(guard)

    async def ask() -> None:
        await clock.asleep.wait()
        if not is_lost:
            stop.ask()
        for _ in range(10):
            await checkpoint()
        clock.wake.set()

    settings = Settings(concurrency=1)
    async with EncordSession(BearerToken(TOKEN), settings, transport=lambda _: service, clock=clock) as session:
        await session.execute(ops.ListProjects())
        for _ in range(faults):
            with pytest.raises(NoReplyError):
                await session.execute(ops.CreateProject(title="Dogs"))
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                try:
                    await session.execute(operation, stop=stop)
                except EncordError as raised:
                    error = raised
    return error


@pytest.mark.parametrize(
    ("operation", "name", "error"),
    [
        (CREATE, "project.POST", lambda: ThrottledError("slower")),
        (CREATE, "project.POST", lambda: NotSentError("no connection")),
        (SET, "projectusers.POST", lambda: ThrottledError("slower")),
    ],
    ids=["refused create", "unsent create", "refused set"],
)
async def test_what_surely_did_nothing_is_not_sent_again(
    service: Service, operation: Any, name: str, error: Callable[[], EncordError]
) -> None:
    """A request whose last attempt did nothing is stopped while it waits for the next one: nothing was done."""
    service.faults.append(Fault(name, error=error))
    assert isinstance(await stopped_between_attempts(service, operation), StoppedError)
    assert service.names[name] == 1


async def test_what_may_have_been_done_comes_to_its_end(service: Service) -> None:
    """A change whose answer was lost is sent again though the run was stopped, so that it is known how it ended."""
    service.faults.append(Fault("projectusers.POST", error=lambda: NoReplyError("lost"), applies=True))
    assert await stopped_between_attempts(service, SET) is None
    assert service.names["projectusers.POST"] == 2


async def test_nothing_passes_the_guard(service: Service) -> None:
    """A change whose answer was lost is not sent again on a journal that is another's by now."""
    service.faults.append(Fault("projectusers.POST", error=lambda: NoReplyError("lost"), applies=True))
    assert isinstance(await stopped_between_attempts(service, SET, is_lost=True), NoReplyError)
    assert service.names["projectusers.POST"] == 1


async def test_a_look_is_not_tried_again(service: Service) -> None:
    """A read whose answer was lost changes nothing: it is not sent again, and ends in what it met."""
    service.faults.append(Fault("project.GET", error=lambda: NoReplyError("lost")))
    assert isinstance(await stopped_between_attempts(service, READ), NoReplyError)
    assert service.names["project.GET"] == 1


async def test_nobody_waits_for_a_service_that_is_down(service: Service) -> None:
    """In an outage a stop ends also the wait of a change whose answer was lost; it is said that it may be done."""
    service.faults.append(Fault("project.POST", error=lambda: NoReplyError("lost"), left=2))
    service.faults.append(Fault("projectusers.POST", error=lambda: NoReplyError("lost"), left=9))
    assert isinstance(await stopped_between_attempts(service, SET, faults=2), NoReplyError)
    assert service.names["projectusers.POST"] == 1


async def test_a_stop_that_was_asked_before(service: Service) -> None:
    """What is given a stop that was asked already is not sent, though there is room for it."""
    stop = Stop()
    stop.ask()
    async with EncordSession(BearerToken(TOKEN), transport=lambda _: service) as session:
        with pytest.raises(StoppedError):
            await session.execute(CREATE, stop=stop)
        assert session.statistics().in_flight == 0
        await session.execute(CREATE)
    assert service.names == {"project.POST": 1}
