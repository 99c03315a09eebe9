"""How much a run sent is kept in its journal, at the cost of no commit of its own, and in journals of old as well."""

import sqlite3
import threading
import zlib
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.client import EncordSession
from encord_async.emulator import Emulator, Fault, FaultRule
from encord_async.errors import JournalError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, State
from encord_async.journal.traffic import Meter, Traffic, watch
from encord_async.kinds.project import PROJECT
from encord_async.session.session import Statistics
from encord_async.session.settings import Settings
from tests.provision.conftest import Service, all_of, open_session, project

ME = Identity("https://api.encord.com", "me")
VERSION_1 = Path(__file__).with_name("journal-version-1.sql")
COUNTS = st.integers(0, 1000)


def sample(number: int = 1, **more: Any) -> Traffic:
    """What was sent in the while that began *number* seconds after 1970."""
    plain: dict[str, Any] = {"requests": number, "retries": 0, "throttled": 0, "in_flight": 1}
    return Traffic(began_s=float(number), ended_s=number + 1.0, **(plain | more))


def step(number: int) -> Record:
    """A project that was made."""
    identity = number.to_bytes(16)
    return Record(identity=identity, entry=identity, kind=PROJECT, title="Cats", state=State.DONE)


def sql(path: Path, statement: str) -> list[Any]:
    """What a statement finds in a database."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
    return found


def content(path: Path) -> bytes:
    """What is in a file."""
    return path.read_bytes()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal of version 1, with two steps."""
    path = tmp_path / "old"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    return path


# --- counting ---------------------------------------------------------------------------------------------------------


@given(steps=st.lists(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, st.floats(-10, 1000))))
def test_nothing_is_counted_twice_or_lost(steps: list[tuple[int, int, int, int, float]]) -> None:
    """The samples add up to what the counters say, whatever the clock does, and each begins where the last ended."""
    meter, now_s, counters, found = Meter(Statistics(), now_s=0.0), 0.0, Statistics(), list[Traffic]()
    for requests, retries, throttled, in_flight, passed_s in steps:
        now_s += passed_s
        counters = Statistics(
            requests=counters.requests + requests,
            retries=counters.retries + min(retries, requests),
            throttled=counters.throttled + min(throttled, requests),
            in_flight=in_flight,
        )
        one = meter.sample(counters, now_s=now_s)
        found += [one] if one is not None else []
    for name in ("requests", "retries", "throttled"):
        assert sum(getattr(one, name) for one in found) == getattr(counters, name)
    assert all(one.began_s <= one.ended_s for one in found)
    assert all(one.ended_s <= other.began_s for one, other in pairwise(found))


def test_samples_grow_with_the_run() -> None:
    """A run of an hour makes some thousands of samples, and each day after that at most one a minute."""
    meter, now_s, number = Meter(Statistics(), now_s=0.0), 0.0, 0
    month_s = 30 * 86400.0
    numbers = {}
    while now_s < month_s:
        now_s += meter.interval_s
        meter.sample(Statistics(), now_s=now_s)
        number += 1
        numbers[int(now_s // 3600)] = number
    assert meter.interval_s == 60.0
    assert numbers[0] < 3000
    assert numbers[9] < 4000
    assert number < 50_000


async def test_a_run_that_is_cancelled_tells_its_last_while(service: Service) -> None:
    """What was sent until a run was stopped is told."""
    told: list[Traffic] = []
    async with open_session(service) as session, anyio.create_task_group() as group:
        group.start_soon(watch, session, told.append, anyio.Event())
        await anyio.wait_all_tasks_blocked()
        await session.list_projects()
        group.cancel_scope.cancel()
    assert sum(one.requests for one in told) == 1


# --- the journal ------------------------------------------------------------------------------------------------------


async def test_samples_go_along_with_the_commits_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many samples there are, the journal is synced no more often than for its steps, and once at the end."""
    commits = 0
    begun = threading.Lock()

    class Counting(sqlite3.Connection):
        def commit(self) -> None:
            nonlocal commits
            with begun:
                commits += self.in_transaction
            super().commit()

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def counting(*args: Any, **more: Any) -> sqlite3.Connection:
        return connect(*args, **(more | {"factory": Counting}))

    async with Journal(tmp_path / "j", ME):
        pass
    monkeypatch.setattr("sqlite3.dbapi2.connect", counting)
    async with Journal(tmp_path / "j", ME) as journal:
        before = commits
        for number in range(1, 4):
            for again in range(10):
                journal.note_traffic(sample(10 * number + again))
            await journal.write([step(number)])
        assert commits - before == 3
        assert len(await journal.traffic()) == 30
        journal.note_traffic(sample(99))
    assert commits - before == 4
    async with Journal(tmp_path / "j", None) as journal:
        assert (await journal.traffic())[-1] == sample(99)


async def test_a_run_writes_down_what_it_sent(tmp_path: Path) -> None:
    """The journal of a run against a service that turns requests away adds up to what the run reports."""
    wishes = [project(f"P{number}") for number in range(40)]
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        emulator.set_faults(
            [FaultRule(query="project.POST", fault=Fault.RATE_LIMITED, after=5, times=3, retry_after="0")]
        )
        session = EncordSession.from_ssh_key(emulator.private_key, settings=Settings(domain=emulator.url))
        async with session:
            for _ in range(2):
                async with session.provision(wishes, journal=tmp_path / "j") as run:
                    await all_of(run)
                    summary = run.summary
                wishes.append(project("one more"))
            counters = session.statistics()
        async with Journal(tmp_path / "j", None) as journal:
            found = await journal.traffic()
    assert summary.requests < counters.requests
    assert counters.throttled == 3
    assert sum(one.requests for one in found) == counters.requests
    assert sum(one.throttled for one in found) == counters.throttled
    assert all(one.began_s <= one.ended_s for one in found)


# --- journals of version 1 --------------------------------------------------------------------------------------------


async def test_a_journal_of_version_1_is_brought_up_to_date_by_who_writes(old: Path) -> None:
    """Its steps are kept as they are, traffic can be added, and it is of the new version from then on."""
    async with Journal(old, None) as journal:
        before = await journal.records(most=10)
    for time in range(2):
        async with Journal(old, ME) as journal:
            assert (await journal.about())["schema"] == "3"
            assert await journal.records(most=10) == before
            assert len(await journal.open_intents()) == 1
            assert await journal.traffic() == [sample(number) for number in range(1, time + 1)]
            journal.note_traffic(sample(time + 1))
    async with Journal(old, None) as journal:
        assert await journal.traffic() == [sample(1), sample(2)]


async def test_memberships_of_old_journals_are_sent_again(old: Path) -> None:
    """Nobody knows in which role users were added, so the next run adds them again; what was detached is remembered."""
    rows = [(5, "user", "done", "p-1"), (6, "attach", "failed", "p-1"), (7, "detach", "done", "p-1")]
    with closing(sqlite3.connect(old)) as connection:
        for number, kind, state, project in rows:
            connection.execute(
                "INSERT INTO steps (seq, identity, entry, place, kind, title, project_hash, state, status, details, "
                "started_s, checksum) VALUES (?, ?, ?, '', ?, 'x', ?, ?, '', '', 1.0, ?)",
                (number, bytes([number]) * 16, bytes(16), kind, project, state, checksum(number, kind, state, project)),
            )
        connection.commit()
    async with Journal(old, ME) as journal:
        found, _ = await journal.records(most=10)
        assert [one.kind.word for one in found] == ["project", "api_key", "detach"]
        assert set(await journal.detached(["p-1", "p-2"])) == {"p-1"}
        assert (journal.has_made, journal.has_moved) == (True, False)


def checksum(number: int, kind: str, state: str, project: str) -> int:
    """That of such a row."""
    row = [bytes([number]) * 16, bytes(16), "", None, kind, "x", project, state, "", *[None] * 3, "", None, None, 1.0]
    return zlib.crc32(repr([*row, None]).encode())


async def test_who_only_reads_changes_nothing_of_version_1(old: Path) -> None:
    """A journal of version 1 can be read as it is, has no traffic, and is not changed by that."""
    before = content(old)
    async with Journal(old, None) as journal:
        assert (await journal.about())["schema"] == "1"
        assert await journal.traffic() == []
        assert (await journal.records(most=10))[0][0].title == "Cats"
    assert content(old) == before


async def test_a_migration_that_was_cut_off_begins_again(old: Path, tmp_path: Path) -> None:
    """Whoever was killed after the table was made and before the version was written has broken nothing."""
    async with Journal(tmp_path / "new", ME):
        pass
    ((table,),) = sql(tmp_path / "new", "SELECT sql FROM sqlite_master WHERE name = 'traffic'")
    sql(old, table)
    async with Journal(old, None) as journal:
        assert await journal.traffic() == []
    async with Journal(old, ME) as journal:
        journal.note_traffic(sample())
    async with Journal(old, None) as journal:
        assert await journal.traffic() == [sample()]


async def test_a_journal_of_another_account_is_not_brought_up_to_date(old: Path) -> None:
    """Who may not write a journal does not change its version either; nor is a damaged one touched."""
    before = content(old)
    with pytest.raises(JournalError, match="belongs to me"):
        async with Journal(old, Identity(ME.domain, "you")):
            pass
    assert content(old) == before
    sql(old, "UPDATE steps SET title = 'Dogs' WHERE title = 'Cats'")
    before = content(old)
    with pytest.raises(JournalError, match="damaged"):
        async with Journal(old, ME):
            pass
    assert content(old) == before


@pytest.mark.parametrize("value", ["many", b"\0", float("inf")])
async def test_a_flipped_bit_in_the_traffic_is_no_crash(tmp_path: Path, value: object) -> None:
    """Figures that no longer are figures are told as what they are, a journal that cannot be read."""
    async with Journal(tmp_path / "j", ME) as journal:
        journal.note_traffic(sample())
    with closing(sqlite3.connect(tmp_path / "j")) as connection:
        connection.execute("UPDATE traffic SET requests = ?", (value,))
        connection.commit()
    async with Journal(tmp_path / "j", None) as journal:
        with pytest.raises(JournalError, match=r"cannot read.*traffic is damaged"):
            await journal.traffic()
