"""Nothing leaves on a journal that has become another's while its run had no turn to notice."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from encord_async.engine.fence import Fence
from encord_async.engine.outcome import Status
from encord_async.errors import EncordError, JournalError
from encord_async.journal.journal import Journal
from encord_async.journal.record import MemoryLedger
from encord_async.protocol.reply import RawReply
from encord_async.session.transport import Transport
from tests.postgres import PostgresServer
from tests.provision.conftest import Service, all_of, open_session, project
from tests.virtual import InstantClock, SkippingClock
from tests.waiting import PATIENCE_S

SLOTS = 4
WISHES = [project(f"Project {number}") for number in range(6 * SLOTS)]


class Sleeping(Transport):
    """A network on which a slot's worth of creates is answered only when the machine wakes up again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._creates = 0
        self.fell_asleep, self.wakes_up = anyio.Event(), anyio.Event()

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes, **rest: Any) -> RawReply:
        """See `Transport`."""
        reply = await self._service.request(method, target, headers, body, **rest)
        if b'"POST"' in body:
            self._creates += 1
            if self._creates == SLOTS:
                self.fell_asleep.set()
            await self.wakes_up.wait()
        return reply

    async def aclose(self) -> None:
        """See `Transport`."""


class Bedside(InstantClock):
    """The machine's clock, which is put forward by what was slept through."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def wall_s(self) -> float:
        """So late it is; the monotonic clock stands still meanwhile, as some do."""
        return super().wall_s() + self.slept_s


async def made_while_asleep(journal: str | Path, lose: Callable[[], object], *, slept_s: float) -> list[str]:
    """The titles of all that was made: a run sleeps, *lose* takes its journal away, another run makes all of it."""
    service, clock = Service(), Bedside()
    sleeping = Sleeping(service)
    async with (
        open_session(service) as other,
        open_session(sleeping, concurrency=SLOTS, clock=clock) as session,
        anyio.create_task_group() as group,
    ):

        async def provision() -> None:
            with pytest.raises(JournalError, match=r"nothing (more )?is sent"):
                async with session.provision(WISHES, journal=journal, settle_s=0.1) as run:
                    await all_of(run)
            # What was made could not be written down, and nothing was wrong with the rest.
            in_doubt, cancelled = run.summary.count(Status.IN_DOUBT), run.summary.count(Status.CANCELLED)
            assert (in_doubt, cancelled) == (SLOTS, len(WISHES) - SLOTS)

        group.start_soon(provision)
        await sleeping.fell_asleep.wait()
        await written_down(journal, 3 * SLOTS)
        await anyio.to_thread.run_sync(lose)
        async with other.provision(WISHES, journal=journal, settle_s=0.1) as run:
            assert {outcome.status.satisfied for outcome in await all_of(run)} == {True}
        clock.slept_s = slept_s
        sleeping.wakes_up.set()
    return sorted(one.title for one in service.projects.values())


async def written_down(journal: str | Path, number: int) -> None:
    """Wait until so many intents are: those that are sent, and those that are to be sent next."""
    with anyio.fail_after(PATIENCE_S):
        async with Journal(journal, None) as reader:
            while True:
                if len(await reader.open_intents()) >= number:
                    return
                await anyio.sleep(0.01)


async def test_connection_to_the_database_was_lost(postgres: PostgresServer) -> None:
    """A server that does not hear of a machine lets go of its lock: what was to be sent next is made by another run."""

    def lose() -> None:
        with postgres.connected() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'encord-async %'"
            )

    try:
        made = await made_while_asleep(postgres.url("fence"), lose, slept_s=0.0)
    finally:
        postgres.drop("fence")
    assert made == sorted(str(wish["title"]) for wish in WISHES)


async def test_file_was_put_aside(tmp_path: Path) -> None:
    """The same where a run was taken for dead, and a copy of its journal took the place of it."""
    journal = tmp_path / "j"

    def lose() -> None:
        aside = tmp_path / "aside"
        aside.mkdir()
        for path in (journal, journal.with_name("j-wal")):
            shutil.copy(path, aside)
            path.unlink()
        for path in aside.iterdir():
            path.rename(tmp_path / path.name)

    assert await made_while_asleep(journal, lose, slept_s=600.0) == sorted(str(wish["title"]) for wish in WISHES)


class Questioned(MemoryLedger):
    """A ledger that counts how often it is asked for a sign of life, and gives none once it *is_lost*."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_lost = False

    async def is_alive(self) -> None:
        """See `Ledger`."""
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if self.is_lost:
            raise JournalError("lost")


async def test_a_sign_of_life_is_good_for_a_while() -> None:
    """However many things leave, the ledger is asked once in a while, and by one of them for all."""
    ledger, clock = Questioned(), SkippingClock()
    fence = Fence(ledger, clock, fail=lambda *_: pytest.fail("it lives"))
    for expected in (1, 1, 2):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(fence.holds)
        assert ledger.asked == expected
        clock.now_s += 3.0


@pytest.mark.parametrize("jump_s", [-600.0, 600.0])
async def test_either_clock_tells_that_time_has_passed(jump_s: float) -> None:
    """A clock that stands still while a machine sleeps, and one that is set back, do not make a proof of an old one."""
    ledger, clock = Questioned(), Bedside()
    fence = Fence(ledger, clock, fail=lambda *_: pytest.fail("it lives"))
    await fence.holds()
    clock.slept_s = jump_s
    await fence.holds()
    assert ledger.asked == 2


async def test_what_is_cut_off_is_asked_at_once() -> None:
    """A connection that is seen to be closed makes the last sign of life an old one, and the run is told."""
    ledger, failures = Questioned(), list[tuple[EncordError, str]]()
    fence = Fence(ledger, SkippingClock(), fail=lambda *failure: failures.append(failure))
    await fence.holds()
    ledger.is_cut_off = ledger.is_lost = True
    await fence.holds()
    assert [(str(error), why) for error, why in failures] == [("lost", "the journal is lost")]
