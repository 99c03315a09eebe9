"""A run that is stopped says of every entry what is true, and the next run makes the rest and nothing twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from encord_async.client import EncordSession
from encord_async.engine.outcome import Outcome, Status
from encord_async.protocol.catalogue import Endpoint
from encord_async.protocol.reply import RawReply
from tests.provision.conftest import (
    Call,
    Entry,
    Fault,
    Service,
    all_of,
    open_session,
    project,
)

PROJECTS = 24


class Prompt(Service):
    """Does its work when a request comes in, and answers some turns of the event loop later."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 2
        self.as_it_answers: Callable[[int], None] = lambda _: None

    async def post(
        self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes, *, timeout_s: float | None
    ) -> RawReply:
        """Answer an envelope; whoever hangs up meanwhile does not undo anything."""
        number = len(self.calls)
        reply = await super().post(endpoint, headers, body, timeout_s=timeout_s)
        for _ in range(self.turns):
            await checkpoint()
        self.as_it_answers(number)
        return reply

    async def at_once(self, call: Call) -> None:
        """No turn of the event loop before the work is done."""


@pytest.fixture
def service() -> Prompt:
    """An empty account at a service that does not ask whether anybody still waits."""
    service = Prompt()
    service.pace = service.at_once
    return service


@pytest.fixture
async def session(service: Service) -> AsyncIterator[EncordSession]:
    """A session with four slots on the service."""
    async with open_session(service) as session:
        yield session


def twice(service: Service) -> dict[str, int]:
    """The titles that the account holds more than once."""
    titles = Counter(project.title for project in service.projects.values())
    return {title: number for title, number in titles.items() if number > 1}


def in_turns(turns: int, action: Callable[[], object]) -> None:
    """Do it after so many turns of the event loop, before what is made ready from now on."""
    loop = asyncio.get_running_loop()
    loop.call_soon(action if turns == 0 else lambda: in_turns(turns - 1, action))


# --- a stop and a request that leaves meet ----------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(4))
@pytest.mark.parametrize("answer", [1, 5, 9, PROJECTS - 6])
async def test_what_has_left_is_never_called_cancelled(
    session: EncordSession, service: Prompt, tmp_path: Path, answer: int, moment: int
) -> None:
    """Stopped just as an answer makes room for a request that waits, a run cancels only what the service never got."""
    manifest = [project(f"P{n}") for n in range(PROJECTS)]
    async with session.provision(manifest, journal=tmp_path / "j", existing="create") as run:

        def stop(number: int) -> None:
            if number == answer:
                in_turns(moment, run.drain)

        service.as_it_answers = stop
        outcomes = await all_of(run)
    there = {one.title for one in service.projects.values()}
    cancelled = {f"P{one.number - 1}" for one in outcomes if one.status is Status.CANCELLED}
    assert cancelled
    assert not cancelled & there
    async with session.provision(manifest, journal=tmp_path / "j", existing="create") as run:
        assert all(outcome.status.satisfied for outcome in await all_of(run))
    assert twice(service) == {}
