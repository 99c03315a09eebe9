"""The journal in PostgreSQL: keeps what it was told, has one writer, and believes no connection but its first."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from anyio.abc import TaskStatus
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from encord_async.engine.outcome import Status
from encord_async.errors import JournalBusyError, JournalError, JournalMismatchError, UsageError
from encord_async.journal.journal import Identity, Journal, Shard
from encord_async.journal.record import Record, State, name_digest
from encord_async.kinds.project import PROJECT
from tests import warm
from tests.postgres import PASSWORD, PostgresServer
from tests.provision.conftest import Call, Service, all_of, open_session
from tests.waiting import PATIENCE_S, comes_true

ME = Identity("https://api.encord.com", "SHA256:me")
_JOBS = itertools.count()

Url: TypeAlias = str


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[Url]:
    """A journal that is not there yet."""
    job = f"test-{next(_JOBS)}"
    yield postgres.url(job)
    postgres.drop(job)


def record(number: int, **more: Any) -> Record:
    """The record of a project that was made."""
    plain = Record(
        identity=number.to_bytes(16),
        entry=b"entry".ljust(16),
        place=f"programme.jsonl:{number}",
        kind=PROJECT,
        title=f"Project {number}",
        state=State.DONE,
        status="created",
        hash=f"hash-{number}",
        name=name_digest(PROJECT, f"Project {number}", ""),
        request="ab" * 32,
        details={"description": "", "baseline": []},
        started_s=1_700_000_000.25,
        ended_s=1_700_000_001.1,
    )
    return replace(plain, **more)


async def everything(url: Url, identity: Identity | None = None) -> list[Record]:
    """All records of a journal."""
    async with Journal(url, identity) as journal:
        found, _ = await journal.records(most=1_000_000)
        return found


# --- keeping ----------------------------------------------------------------------------------------------------------


async def test_comes_back_as_it_was(url: Url) -> None:
    """What was written is what the next run reads, in the order in which steps began, and so many at a time."""
    written = [record(n) for n in range(3000)]
    async with Journal(url, ME) as journal:
        await journal.write(written)
        await journal.write([record(7, state=State.FAILED, hash=None)])
        assert set(await journal.known([record(n).identity for n in range(3000)])) == {one.identity for one in written}
        assert await journal.namesakes(record(9).name or b"") == [record(9)]
        assert await journal.open_intents() == []
        assert await journal.counts() == {"project": {"created": 3000}}
    written[7] = record(7, state=State.FAILED, hash=None)
    assert await everything(url) == await everything(url, ME) == written


@hypothesis_settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=5, max_size=20))
def test_any_text(postgres: PostgresServer, titles: Sequence[str]) -> None:
    """A title may hold what PostgreSQL itself does not take as text."""
    written = [record(n, title=title, message=title + "\0\\0\\") for n, title in enumerate(titles)]

    async def through() -> list[Record]:
        async with Journal(postgres.url("texts"), ME) as journal:
            await journal.write(written)
        return await everything(postgres.url("texts"), ME)

    postgres.drop("texts")
    assert anyio.run(through) == written


async def test_never_less_than_the_disk(postgres: PostgresServer, url: Url) -> None:
    """A commit waits for the server's disk, whatever the server's own setting says."""
    with postgres.connected() as other:
        other.execute("ALTER ROLE encord SET synchronous_commit = off")
        try:
            async with Journal(url, ME) as journal:
                assert journal._connection is not None
                assert journal._connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        finally:
            other.execute("ALTER ROLE encord RESET synchronous_commit")


async def test_damage_is_refused(postgres: PostgresServer, url: Url) -> None:
    """A row that does not fit its checksum is not believed."""
    async with Journal(url, ME) as journal:
        await journal.write([record(1), record(2)])
        name = journal.name
    with postgres.connected() as other:
        schema = "encord_async_" + url.partition("job=")[2]
        other.execute(f'SET search_path TO "{schema}"')
        other.execute("UPDATE steps SET hash = 'another' WHERE seq = 2")
    with pytest.raises(JournalError, match="is damaged \\(row 2\\)") as caught:
        await everything(url)
    assert name in caught.value.message


async def test_indexes_hold_what_is_looked_for(postgres: PostgresServer, url: Url) -> None:
    """Rows of memberships, of which there may be a million, are in none that a look-up by name or state takes."""
    async with Journal(url, ME):
        pass
    schema = "encord_async_" + url.partition("job=")[2]
    with postgres.connected() as other:
        rows = other.execute("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s", [schema]).fetchall()
    partial = {name for name, made_by in rows if " WHERE " in made_by}
    assert partial == {"steps_by_name", "steps_open", "steps_missing"}


# --- whose it is ------------------------------------------------------------------------------------------------------


async def test_jobs_do_not_meet(postgres: PostgresServer, url: Url) -> None:
    """Two jobs in one database know nothing of each other, and run at the same time."""
    other = url + "-other"
    async with Journal(url, ME) as one, Journal(other, replace(ME, account="SHA256:other")) as two:
        await one.write([record(1)])
        await two.write([record(2)])
    assert await everything(url) == [record(1)]
    assert await everything(other) == [record(2)]
    postgres.drop(other.partition("job=")[2])


async def test_another_account(url: Url) -> None:
    """The journal of another account is refused, and so is one that is not there if only to be read."""
    with pytest.raises(JournalError, match="there is no journal postgresql://encord@127"):
        await everything(url)
    await everything(url, ME)
    with pytest.raises(JournalMismatchError):
        await everything(url, replace(ME, account="SHA256:other"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda url: url.partition("?")[0], "names no job"),
        (lambda url: url + "/..", "is no name of a job"),
        (lambda url: url.replace("postgresql", "mysql"), "cannot be kept in mysql"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:x"), "cannot be read"),
        (lambda url: url.replace(PASSWORD, PASSWORD + "2"), "cannot open"),
        (lambda url: url.replace("127.0.0.1", "127.0.0.1:1,x"), "cannot"),
        (lambda url: url.replace("/postgres?", "/nothing?"), "does not exist"),
    ],
)
async def test_bad_urls(url: Url, change: Callable[[Url], Url], says: str) -> None:
    """A URL that cannot work is refused with what to do, and no password shows."""
    with pytest.raises(JournalError, match=says) as caught:
        await everything(change(url), ME)
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error) + repr(error)
        error = error.__cause__


async def test_password_shows_nowhere(url: Url) -> None:
    """Neither name nor repr nor errors of a journal hold the password."""
    async with Journal(url, ME) as journal:
        assert journal.name == url.replace(f":{PASSWORD}", "")
        assert PASSWORD not in repr(journal) + repr(vars(journal)) + repr(vars(journal._store))


# --- one writer -------------------------------------------------------------------------------------------------------

OTHER_PROCESS = """
import sys, anyio
from encord_async.journal.journal import Identity, Journal
async def main():
    async with Journal(sys.argv[1], Identity("https://api.encord.com", "SHA256:me")):
        print("open", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


@contextlib.contextmanager
def another_process(url: Url) -> Iterator[warm.Popen]:
    """A process that has the journal open; it is killed at the end, if not before."""
    process = warm.popen([sys.executable, "-c", OTHER_PROCESS, url], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_second_writer(url: Url) -> None:
    """Who writes already is named to a second writer; a reader is not kept away; a dead one keeps nobody away."""
    with another_process(url) as process:
        with pytest.raises(JournalBusyError, match=f"in use by process {process.pid} on ") as caught:
            await everything(url, ME)
        assert PASSWORD not in str(caught.value)
        async with Journal(url, None) as reader:
            owner = await reader.owner()
            assert owner is not None
            assert owner.pid == process.pid
    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                assert await everything(url, ME) == []
                break
            except JournalBusyError:
                await anyio.sleep(0.05)
    async with Journal(url, None) as reader:
        assert await reader.owner() is None


async def test_lost_connection_is_not_replaced(postgres: PostgresServer, url: Url) -> None:
    """Who has lost its connection has lost its lock, and neither reads nor writes from then on."""
    async with Journal(url, ME) as journal:
        await journal.write([record(1)])
        with postgres.connected() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'encord-async %'"
            )
        with pytest.raises(JournalError, match="cannot read"):
            await journal.is_alive()
        with pytest.raises(JournalError, match="the connection to the server was lost"):
            await journal.known([record(1).identity])
        with pytest.raises(JournalError):
            await journal.write([record(2)])
        with pytest.raises(JournalError):
            await journal.write([record(3)])
    assert await everything(url, ME) == [record(1)]


async def test_server_restarts_under_a_run(postgres: PostgresServer, url: Url) -> None:
    """When the server goes, the run ends with an error and nothing unrecorded; when it is back, a run goes on."""
    wishes = [{"kind": "project", "title": f"Project {n}"} for n in range(200)]
    service = Service()

    async def stop_at_fifty(_: Call) -> None:
        if len(service.projects) == 50:
            service.pace = None
            await anyio.to_thread.run_sync(postgres.stop)

    service.pace = stop_at_fifty
    async with open_session(service) as session:
        async with session.provision(wishes, journal=url, settle_s=0.1) as run:
            with pytest.raises(JournalError, match="nothing is sent that is not recorded"):
                await all_of(run)
        assert run.summary.by_status.keys() <= {Status.CREATED, Status.IN_DOUBT, Status.CANCELLED}
        await anyio.to_thread.run_sync(postgres.start)
        assert len(service.projects) < len(wishes)
        async with session.provision(wishes, journal=url, settle_s=0.1) as run:
            done = await all_of(run)
    assert {outcome.status.satisfied for outcome in done} == {True}
    assert sorted(one.title for one in service.projects.values()) == sorted(str(wish["title"]) for wish in wishes)


# --- shards -----------------------------------------------------------------------------------------------------------


async def test_shards_write_side_by_side(url: Url) -> None:
    """Whoever shares a journal out writes no more; each shard has one writer, and together they fill one journal."""
    async with Journal(url, ME) as whole:
        run = await whole.share()
        with pytest.raises(JournalError, match="shared out"):
            await whole.write([record(1)])
        one, two = (Journal(url, ME, shard=Shard(run=run, name=name)) for name in ("1", "2"))
        async with one, two:
            await one.write([record(1)])
            await two.write([record(2)])
            assert (await one.known([record(2).identity])).keys() == {record(2).identity}
    assert await everything(url, ME) == [record(1), record(2)]


async def test_successor_waits(postgres: PostgresServer, url: Url) -> None:
    """Whoever is given a shard that another still writes waits until that one is gone."""
    async with Journal(url, ME) as whole:
        shard = Shard(run=await whole.share(), name="1")
        order: list[str] = []

        async def succeed() -> None:
            async with Journal(url, ME, shard=shard) as successor:
                order.append("successor")
                await successor.write([record(2)])

        async with anyio.create_task_group() as group, Journal(url, ME, shard=shard) as zombie:
            group.start_soon(succeed)
            await comes_true(lambda: postgres.sessions() == 3, "the successor asks for its shard")
            await zombie.write([record(1)])
            order.append("zombie")
        assert order == ["zombie", "successor"]


async def test_no_shard_of_a_run_that_is_over(url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a run whose head is gone is not begun; one that is begun keeps the next run waiting."""
    monkeypatch.setattr("encord_async.journal.postgres._PARTS_WAIT_S", 0.3)
    gone, is_gone = anyio.Event(), anyio.Event()

    async def head(*, task_status: TaskStatus[Shard]) -> None:
        async with Journal(url, ME) as whole:
            task_status.started(Shard(run=await whole.share(), name="1"))
            await gone.wait()
        is_gone.set()

    async with anyio.create_task_group() as group:
        shard = await group.start(head)
        async with Journal(url, ME, shard=shard):
            gone.set()
            await is_gone.wait()
            with pytest.raises(JournalBusyError, match=f"process {os.getpid()} on"):
                await everything(url, ME)
    with pytest.raises(JournalError, match="is over"):
        await Journal(url, ME, shard=shard).__aenter__()
    await everything(url, ME)


async def test_files_have_no_shards(tmp_path: Path) -> None:
    """A journal in a file is not shared out, and says what would be."""
    with pytest.raises(UsageError, match="PostgreSQL"):
        Journal(tmp_path / "j", ME, shard=Shard(run=1, name="1"))
    async with Journal(tmp_path / "j", ME) as journal:
        with pytest.raises(UsageError, match="PostgreSQL"):
            await journal.share()
