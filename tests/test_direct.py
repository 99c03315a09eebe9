"""The emulator without HTTP does what the emulator does: whatever goes wrong, a session hears the same of both."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from typing import TypeAlias

import anyio
import pytest

from encord_async import operations as ops
from encord_async.client import EncordSession
from encord_async.emulator import Emulator, Fault, FaultRule
from encord_async.errors import EncordError
from encord_async.protocol.signing import SSHKey
from encord_async.session.settings import RetryPolicy, Settings, Timeouts
from tests.direct import CREDENTIAL, DirectEmulator
from tests.virtual import SkippingClock
from tests.waiting import comes_true, time_passes

LISTING, CREATE = "v2/projects.GET", "project.POST"
DETAILS: dict[Fault, dict[str, object]] = {
    Fault.LATE_COMMIT: {"seconds": 3600.0},
    Fault.GAVE_UP: {"seconds": 3600.0, "status": 504},
    Fault.DELAY: {"seconds": 3600.0},
    Fault.STALE_READ: {"seconds": 3600.0},
    Fault.STATUS: {"status": 502, "retry_after": "1"},
    Fault.RATE_LIMITED: {"retry_after": "1"},
    Fault.ERROR: {"code": "AUTHORISATION_ERROR"},
}
"""What a rule says about such a fault."""
SLOW = {Fault.DELAY, Fault.HANG}
"""An answer that does not come before the session's time is over."""

ATTEMPT_S = 50.0

Seen: TypeAlias = tuple[list[object], dict[str, int], list[dict[str, object]], list[str]]


async def asked(session: EncordSession) -> list[object]:
    """What comes of a create over one API, and of listings over the other."""
    said: list[object] = []
    for operation in (ops.CreateProject(title="Cats"), ops.ListProjects(), ops.ListDatasets()):
        try:
            answer = await session.execute(operation)
        except EncordError as error:
            said.append((type(error).__name__, error.code, error.http_status))
        else:
            said.append(len(answer) if isinstance(answer, tuple) else type(answer).__name__)
    return said


def settings_for(domain: str) -> Settings:
    """Of a user who tries once."""
    return Settings(domain=domain, retry=RetryPolicy(max_attempts=1), timeouts=Timeouts(attempt_s=ATTEMPT_S))


async def wait_in_vain(emulator: Emulator | DirectEmulator) -> None:
    """Let as much time pass as an attempt has, once it has to do with an answer that does not come."""
    await comes_true(lambda: any(one["fired"] for one in emulator.stats()["faults"]), "a fault has struck")
    time_passes(ATTEMPT_S)


@asynccontextmanager
async def over_http(rules: Iterable[FaultRule]) -> AsyncIterator[tuple[Emulator, EncordSession]]:
    """The emulator, on a socket."""
    async with Emulator() as emulator:
        emulator.set_faults(tuple(rules))
        assert emulator.private_key is not None
        settings = settings_for(emulator.url)
        key = SSHKey.from_text(emulator.private_key)
        # Where there is a limit, it is waited for, which is over at once; signatures are of this day.
        async with EncordSession(key, settings, clock=SkippingClock(time.time())) as session:
            yield emulator, session


@asynccontextmanager
async def by_calls(rules: Iterable[FaultRule]) -> AsyncIterator[tuple[DirectEmulator, EncordSession]]:
    """The emulator, by calls."""
    with closing(DirectEmulator()) as emulator:
        emulator.set_faults(tuple(rules))
        settings = settings_for(emulator.url)
        session = EncordSession(CREDENTIAL, settings, transport=lambda _: emulator, clock=SkippingClock(time.time()))
        async with session:
            yield emulator, session


@pytest.mark.parametrize("query", [CREATE, LISTING, "datasetwithuserrole.GET"])
@pytest.mark.parametrize("fault", [None, *Fault])
async def test_a_session_hears_the_same(fault: Fault | None, query: str) -> None:
    """Answers and errors, what was asked, which fault struck and what was made are the same with HTTP and without."""
    rules = [] if fault is None else [FaultRule(query=query, fault=fault, times=1, **DETAILS.get(fault, {}))]  # type: ignore[arg-type]  # the details of the fault
    seen: list[Seen] = []
    for opened in (over_http, by_calls):
        async with opened(rules) as (emulator, session), anyio.create_task_group() as group:
            if fault in SLOW:
                group.start_soon(wait_in_vain, emulator)
            said = await asked(session)
            # Not every rule strikes.
            group.cancel_scope.cancel()
            stats = emulator.stats()
            made = [line["title"] for line in emulator.log()]
        seen.append((said, stats["by_query"], stats["faults"], made))
    assert seen[0] == seen[1]
