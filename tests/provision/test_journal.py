"""The journal is durable, keeps to one writer and one account, and is refused rather than believed when damaged."""

import logging
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from encord_async.client import EncordSession
from encord_async.emulator import Emulator
from encord_async.engine.outcome import Status
from encord_async.engine.rehearsal import Overlay
from encord_async.errors import JournalBusyError, JournalError, JournalMismatchError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, State, Word, name_digest, set_aside
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_api_key import API_KEY
from encord_async.kinds.registry import step_kinds
from encord_async.session.settings import Settings
from tests import warm
from tests.provision.conftest import Service, all_of, open_session, project
from tests.thorough import stride, times

ME = Identity("https://api.encord.com", "SHA256:me")


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
        details={"description": "", "references": ["@cats"], "baseline": []},
        started_s=1_700_000_000.25,
        ended_s=1_700_000_001.5,
    )
    return replace(plain, **more)


def intended(number: int) -> Record:
    """The same before it was sent."""
    return record(number, state=State.INTENDED, status="", hash=None, ended_s=None)


async def everything(path: Path, identity: Identity | None = None) -> list[Record]:
    """All records of a journal."""
    async with Journal(path, identity) as journal:
        found, _ = await journal.records(most=1_000_000)
        return found


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal's file as somebody else would open it."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@contextmanager
def on_connect(statement: str) -> Iterator[None]:
    """Let each connection to a database begin with *statement*."""

    def tell(connection: Any, _: object) -> None:
        connection.execute(statement)

    sa.event.listen(sa.Engine, "connect", tell)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", tell)


def files(folder: Path) -> dict[str, bytes]:
    """What a folder holds."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def modes(folder: Path) -> set[int]:
    """Who may read and write what it holds."""
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


# --- keeping ----------------------------------------------------------------------------------------------------------


async def test_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every field of every record is there when the journal is opened again."""
    written = [
        record(1),
        intended(2),
        record(3, key="cäts", title="x\x00y \U0001f600 '; --", parent_hash="p", code="X", message="so it is"),
        record(
            4, state=State.FAILED, status="failed", hash=None, name=None, request=None, details={}, ended_s=0.1 + 0.2
        ),
        *(record(5 + n, kind=kind, state=State.IN_DOUBT) for n, kind in enumerate(step_kinds())),
    ]
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write(written)
    assert await everything(tmp_path / "j") == written
    assert await everything(tmp_path / "j", ME) == written


_ENDS: tuple[dict[str, Any], ...] = (
    {"state": State.DONE, "status": "created", "hash": "made", "ended_s": 1_700_000_009.5},
    {"state": State.IN_DOUBT, "status": "in_doubt", "message": "no answer \ud800", "ended_s": 1_700_000_009.5},
    {"state": State.FAILED, "status": "failed", "code": "X", "message": "refused", "ended_s": 1_700_000_009.5},
    # What else than its end may change of a step.
    {"state": State.DONE, "status": "created", "hash": "made", "details": {"references": []}},
    {"state": State.DONE, "status": "adopted", "title": "Another title", "place": "elsewhere:1"},
)


@st.composite
def words(draw: st.DrawFn) -> list[list[Record]]:
    """Groups of records that are written one after the other: what is said of a few steps, again and again."""
    said: list[list[Record]] = []
    steps = {number: intended(number) for number in range(3)}
    for _ in range(draw(st.integers(1, 5))):
        group = []
        for number in draw(st.lists(st.sampled_from(list(steps)), min_size=1, max_size=4)):
            again = draw(st.booleans())
            steps[number] = intended(number) if again else replace(steps[number], **draw(st.sampled_from(_ENDS)))
            group.append(steps[number])
        said.append(group)
    return said


@given(words())
@hypothesis_settings(max_examples=times(25, of=100))
def test_the_last_word_on_a_step_stands(said: list[list[Record]]) -> None:
    """However often a step is written, alone or with others, whole or only its end: the last word is read back."""
    last = {one.identity: one for group in said for one in group}
    expected = {
        identity: replace(one, message=one.message and one.message.encode("utf-8", "replace").decode())
        for identity, one in last.items()
    }

    async def write(path: Path) -> None:
        async with Journal(path, ME) as journal:
            for group in said:
                await journal.write(group)
            assert await journal.known(list(last)) == expected
            assert await journal.words(list(last)) == {one: Word.of(said) for one, said in expected.items()}
        assert {one.identity: one for one in await everything(path, ME)} == expected

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(write, Path(folder) / "j")


async def test_written_means_on_disk(tmp_path: Path) -> None:
    """When a write returns, a copy of the files taken at that moment, as a loss of power would leave them, has it."""
    async with Journal(tmp_path / "j", ME) as journal:
        for number in range(3):
            await journal.write([intended(number)])
            copy = tmp_path / f"copy-{number}"
            copy.mkdir()
            for name in ("j", "j-wal"):
                shutil.copy(tmp_path / name, copy / name)
            assert await everything(copy / "j") == [intended(n) for n in range(number + 1)]


async def test_syncs_the_disk(tmp_path: Path) -> None:
    """SQLite is told to sync its log at each commit, on a new journal and on an old one."""
    for _ in range(2):
        async with Journal(tmp_path / "j", ME) as journal:
            assert journal._connection is not None
            ask = journal._connection.exec_driver_sql
            assert ask("PRAGMA journal_mode").scalar() == "wal"
            assert ask("PRAGMA synchronous").scalar() == 2
            assert ask("PRAGMA fullfsync").scalar() == 1
            assert ask("PRAGMA checkpoint_fullfsync").scalar() == 1


async def test_no_listener_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening notes no listener with SQLAlchemy: its list is upset if the collector takes an engine just then.

    Standard error then has a KeyError that nobody can explain, and a test that has no part in it fails.
    """
    noted: list[tuple[object, ...]] = []
    async with Journal(tmp_path / "first", ME):
        # What SQLAlchemy needs once for all.
        pass
    monkeypatch.setattr(sa.event, "listen", lambda *arguments, **_: noted.append(arguments))
    for _ in range(2):
        async with Journal(tmp_path / "j", ME):
            pass
    async with Journal(tmp_path / "j", None):
        pass
    assert noted == []


async def test_many_share_a_commit(tmp_path: Path) -> None:
    """Five hundred writers at once cost a handful of syncs, and each waits for its own to be over."""
    commits: list[int] = []
    acknowledged = 0

    async with Journal(tmp_path / "j", ME) as journal:
        assert journal._connection is not None
        sa.event.listen(journal._connection.engine, "commit", lambda _: commits.append(acknowledged))

        async def write(number: int) -> None:
            nonlocal acknowledged
            await journal.write([intended(number)])
            acknowledged += 1

        async with anyio.create_task_group() as group:
            for number in range(500):
                group.start_soon(write, number)
        assert 1 <= len(commits) <= 5
        # Nobody went on before the commit with their row.
        assert commits[0] == 0
        assert acknowledged == 500
    assert len(await everything(tmp_path / "j")) == 500


async def test_big_commit_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """Writers that shared a commit go on a few at a time, with turns for everybody else in between."""
    turns = 0
    went_on: Counter[int] = Counter()

    async with Journal(tmp_path / "j", ME) as journal, anyio.create_task_group() as others:

        async def somebody_else() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async def write(number: int) -> None:
            await journal.write([intended(number)])
            went_on[turns] += 1

        others.start_soon(somebody_else)
        async with anyio.create_task_group() as writers:
            for number in range(200):
                writers.start_soon(write, number)
        others.cancel_scope.cancel()
    assert went_on.total() == 200
    assert max(went_on.values()) <= 20


async def test_statements_are_compiled_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a journal asks and writes comes ready-made from the journal before: SQLAlchemy tells so in its log."""
    caplog.set_level(logging.INFO, logger="sqlalchemy.engine.Engine")
    for name in ("first", "second"):
        caplog.clear()
        async with Journal(tmp_path / name, ME) as journal:
            await journal.write([intended(1), record(2)])
            await journal.write([record(1)])
            assert await journal.known([record(1).identity])
            assert len(await journal.namesakes(record(2).name or b"")) == 1
    assert "cached since" in caplog.text
    assert "generated in" not in caplog.text


async def test_last_word_wins(tmp_path: Path) -> None:
    """A later record of a step takes the place of the earlier, in one commit and over many, and keeps its order."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([intended(1), intended(2), record(1, status="adopted")])
        async with anyio.create_task_group() as group:
            group.start_soon(journal.write, [record(2, state=State.IN_DOUBT)])
            group.start_soon(journal.write, [record(2, hash="final")])
        found, _ = await journal.records(most=10)
    assert found == [record(1, status="adopted"), record(2, hash="final")]


async def test_looks_up_any_number(tmp_path: Path) -> None:
    """A thousand steps are looked up in one call, known and unknown ones mixed, and none of them twice."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(n) for n in range(0, 1000, 2)])
        found = await journal.known([n.to_bytes(16) for n in range(1000)])
        assert found == {n.to_bytes(16): record(n) for n in range(0, 1000, 2)}
        assert await journal.known([]) == {}


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 511, 512, 700])
async def test_any_number_in_one_commit(tmp_path: Path, count: int) -> None:
    """However many steps are written together, as intents and then as ends, all are there, once, in their order."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([intended(n) for n in range(count)])
        await journal.write([record(n) for n in range(count)])
    assert await everything(tmp_path / "j") == [record(n) for n in range(count)]


async def test_namesakes_and_open_intents(tmp_path: Path) -> None:
    """What may have made something of a name, and what has no end yet, is found."""
    name = name_digest(PROJECT, "Cats", "")
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1, name=name), intended(2), record(3, name=None), replace(intended(4), name=name)])
        await journal.write([record(5, state=State.IN_DOUBT), record(6, state=State.FAILED)])
        assert [one.title for one in await journal.namesakes(name)] == ["Project 1", "Project 4"]
        assert [one.title for one in await journal.open_intents()] == ["Project 2", "Project 4", "Project 5"]


async def test_pages(tmp_path: Path) -> None:
    """All records are read page by page, with writing in between."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(n) for n in range(5)])
        seen: list[Record] = []
        after = 0
        while True:
            page, after = await journal.records(most=2, after=after)
            if not page:
                break
            seen += page
            await journal.write([record(0), record(7)])
    assert [one.title for one in seen] == [f"Project {n}" for n in (0, 1, 2, 3, 4, 7)]


async def test_says_whose_it_is(tmp_path: Path) -> None:
    """A reader learns domain, account and date, and no more; the key of the stamps is the same in each run."""
    async with Journal(tmp_path / "j", ME) as journal:
        stamp_key = journal.stamp_key
        assert len(stamp_key) == 16
    async with Journal(tmp_path / "j", None) as journal:
        about = await journal.about()
    assert about.keys() == {"schema", "made_s", "domain", "account"}
    assert (about["domain"], about["account"]) == (ME.domain, ME.account)
    async with Journal(tmp_path / "j", ME) as journal:
        assert journal.stamp_key == stamp_key
    async with Journal(tmp_path / "another", ME) as journal:
        assert journal.stamp_key != stamp_key


@pytest.mark.parametrize(
    "name", ["what? 100%.jsonl#1.journal", ":memory:", "mode=memory&x", "ünïcode", "file:x?mode=ro"]
)
async def test_any_file_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means something in a URL or to SQLite is a name, absolute or not."""
    monkeypatch.chdir(tmp_path)
    async with Journal(name, ME) as journal:
        await journal.write([record(1)])
    assert set(files(tmp_path)) == {name}
    assert await everything(tmp_path / name) == [record(1)]
    assert await everything(Path(name)) == [record(1)]


async def test_text_that_is_no_text(tmp_path: Path) -> None:
    """A message of the service that no database can hold is kept as well as can be, and stops nothing."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1, message="half \ud83d of it")])
    assert [one.message for one in await everything(tmp_path / "j")] == ["half ? of it"]


async def test_leaves_one_file(tmp_path: Path) -> None:
    """After a clean end only the journal itself lies there, and it was never anybody else's to read."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
        assert modes(tmp_path) == {0o600}
    assert set(files(tmp_path)) == {"j"}


async def test_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """Writing before it is open, after it is closed, or as a reader, is an error and no endless wait."""
    journal = Journal(tmp_path / "j", ME)
    with pytest.raises(JournalError, match="not open"):
        await journal.write([record(1)])
    async with journal:
        pass
    with pytest.raises(JournalError, match="closed"):
        await journal.write([record(1)])
    with pytest.raises(JournalError, match="closed"):
        await journal.known([b"x"])
    async with Journal(tmp_path / "j", None) as reader:
        with pytest.raises(JournalError, match="not open for writing"):
            await reader.write([record(1)])
    assert await everything(tmp_path / "j") == []


async def test_cancelled_writer(tmp_path: Path) -> None:
    """A run that is cancelled in the middle of a write closes its journal cleanly, and the row is there."""
    with anyio.CancelScope() as scope:
        async with Journal(tmp_path / "j", ME) as journal, anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(journal.write, [intended(number)])
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert len(await everything(tmp_path / "j", ME)) == 10


# --- one writer -------------------------------------------------------------------------------------------------------

OTHER_PROCESS = """
import sys
import anyio
from encord_async.journal.journal import Identity, Journal

async def main():
    async with Journal(sys.argv[1], Identity("https://api.encord.com", "SHA256:me")) as journal:
        print("open", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)

anyio.run(main)
"""


@contextmanager
def another_process(path: Path) -> Iterator[warm.Popen]:
    """A process that has the journal open."""
    command = [sys.executable, "-c", OTHER_PROCESS, str(path)]
    with warm.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


@pytest.mark.process
async def test_second_process_is_refused(tmp_path: Path) -> None:
    """Two processes never write one journal; the second learns who has it, also by way of a link to the file."""
    link = tmp_path / "link"
    link.symlink_to("j")
    with another_process(tmp_path / "j") as owner:
        for path in (tmp_path / "j", link):
            with pytest.raises(JournalBusyError, match=rf"in use by process {owner.pid};"):
                await everything(path, ME)
        assert await everything(link) == []


@pytest.mark.process
async def test_dead_owner(tmp_path: Path) -> None:
    """What a killed process had locked is free, and what it left is read."""
    with another_process(tmp_path / "j") as owner:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert await everything(tmp_path / "j", ME) == []
    assert set(files(tmp_path)) == {"j"}


async def test_second_in_one_process_is_refused(tmp_path: Path) -> None:
    """Nor do two runs of one process; when the first has ended, the journal is free."""
    async with Journal(tmp_path / "j", ME) as first:
        second = Journal(tmp_path / "j", ME)
        with pytest.raises(JournalBusyError, match=rf"process {os.getpid()};"):
            await second.__aenter__()
        await first.write([record(1)])
    assert await everything(tmp_path / "j", ME) == [record(1)]


@pytest.mark.parametrize("name", ["other", "elsewhere/other"])
async def test_second_name_of_a_journal(tmp_path: Path, name: str) -> None:
    """A second process is refused whatever name it knows the journal by, and whatever else is removed meanwhile."""
    (tmp_path / "elsewhere").mkdir()
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
        (tmp_path / name).hardlink_to(tmp_path / "j")
        for path in (tmp_path / name, tmp_path / "j"):
            for more in set(files(tmp_path)) - {"j", "j-wal", "j-shm", name}:
                (tmp_path / more).unlink()
            with pytest.raises(JournalBusyError, match=rf"in use by process {os.getpid()};"):
                await everything(path, ME)


async def test_killed_by_another_name(tmp_path: Path) -> None:
    """What a killed run wrote lies beside the name that it knew; by another name the journal is refused, not taken."""
    async with Journal(tmp_path / "j", ME):
        pass
    (tmp_path / "other").hardlink_to(tmp_path / "j")
    (tmp_path / "j-wal").write_bytes(b"x" * 100)
    for identity in (ME, None):
        with pytest.raises(JournalError, match=r"other is the same file as j, and was last written by that name"):
            await everything(tmp_path / "other", identity)
    assert await everything(tmp_path / "j", ME) == []
    assert await everything(tmp_path / "other", ME) == []


async def test_names_in_other_folders(tmp_path: Path) -> None:
    """Where a part of the journal may lie out of sight it is not written; it may be read."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "j").hardlink_to(tmp_path / "j")
    with pytest.raises(JournalError, match="other names in other folders"):
        await everything(tmp_path / "j", ME)
    assert await everything(tmp_path / "j") == [record(1)]


def removed(path: Path) -> None:
    """The journal is gone."""
    path.unlink()


def replaced(path: Path) -> None:
    """A copy is in its place."""
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def moved(path: Path) -> None:
    """It has another name."""
    path.rename(path.with_name("moved"))


def log_removed(path: Path) -> None:
    """What SQLite has written last is gone."""
    path.with_name(f"{path.name}-wal").unlink()


@pytest.mark.parametrize("happens", [removed, replaced, moved, log_removed])
async def test_journal_taken_away(tmp_path: Path, happens: Callable[[Path], None]) -> None:
    """Once the journal is not where the next run will look for it, nothing passes for written down any more."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([intended(1)])
        happens(tmp_path / "j")
        with pytest.raises(JournalError, match="removed, moved or replaced"):
            await journal.is_alive()
        for _ in range(2):
            with pytest.raises(JournalError, match=r"/j, or its log, was removed, moved or replaced.*nothing more is"):
                await journal.write([record(1)])


async def test_run_whose_journal_is_taken_away(tmp_path: Path, service: Service) -> None:
    """A run whose journal is removed sends nothing after that, and says what happened."""
    manifest = [project("Cats"), project("Dogs")]
    async with open_session(service) as session, session.provision(manifest, journal=tmp_path / "j") as run:
        (tmp_path / "j").unlink()
        with pytest.raises(JournalError, match="removed, moved or replaced"):
            await all_of(run)
    assert service.of("project.POST") == []


async def test_touches_nothing_of_others(tmp_path: Path) -> None:
    """Files that happen to be called like the journal and more, and what links of such names lead to, stay."""
    (tmp_path / "precious").write_text("precious")
    others = ("j.lock", "j.new", "j.new-journal")
    for name in others:
        (tmp_path / name).symlink_to("precious")
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
    assert all((tmp_path / name).is_symlink() for name in others)
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
async def test_link_in_the_place_of_a_new_journal(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    """A new journal is not written to where somebody wants it to go."""
    (tmp_path / "precious").write_text("precious")
    plant(tmp_path / ".j.encord-async-new", tmp_path / "precious")
    with pytest.raises(JournalError, match=r"\.j\.encord-async-new is .* in the way of a new journal; remove it"):
        await everything(tmp_path / "j", ME)
    assert (tmp_path / "precious").read_text() == "precious"


READER = """
import sys
import anyio
from encord_async.journal.journal import Journal

async def main():
    for _ in range(4):
        async with Journal(sys.argv[1], None) as journal:
            found, _ = await journal.records(most=100000)
            print(len(found), flush=True)

anyio.run(main)
"""


@pytest.mark.process
async def test_reading_while_another_writes(tmp_path: Path) -> None:
    """``status`` in another process sees what is written so far, and holds nobody up."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([intended(0)])
        process = await anyio.open_process([sys.executable, "-c", READER, str(tmp_path / "j")], stderr=None)
        written = 1
        seen = b""
        async with process:
            assert process.stdout is not None
            while process.returncode is None and seen.count(b"\n") < 4:
                await journal.write([intended(written)])
                written += 1
                with anyio.move_on_after(0.001):
                    seen += await process.stdout.receive()
        counts = [int(line) for line in seen.split()]
    assert len(counts) == 4
    assert counts == sorted(counts)
    assert 1 <= counts[0] <= counts[-1] <= written
    assert len(await everything(tmp_path / "j")) == written


async def test_reader_changes_nothing(tmp_path: Path) -> None:
    """Reading what a killed process left, log and all, leaves every byte of it as it is."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
        left = tmp_path / "left"
        left.mkdir()
        for name in ("j", "j-wal"):
            shutil.copy(tmp_path / name, left / name)
    before = files(left)
    assert await everything(left / "j") == [record(1)]
    after = files(left)
    assert {name: after[name] for name in before} == before


# --- whose ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [Identity("https://api.us.encord.com", ME.account), Identity(ME.domain, "SHA256:you")]
)
async def test_of_another(tmp_path: Path, other: Identity) -> None:
    """A journal of another account or service is refused, with both named, and not changed."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
    before = files(tmp_path)
    with pytest.raises(JournalMismatchError) as caught:
        await everything(tmp_path / "j", other)
    for name in (ME.account, ME.domain, other.account, other.domain):
        assert name in str(caught.value)
    assert ("give the domain" in str(caught.value)) == (other.account == ME.account)
    assert files(tmp_path) == before


# --- no journal -------------------------------------------------------------------------------------------------------


def text_file(path: Path) -> None:
    """A manifest, given by mistake."""
    path.write_text('{"kind": "project", "title": "Cats"}\n')


def short_file(path: Path) -> None:
    """A few bytes."""
    path.write_bytes(b"SQLite")


def empty_file(path: Path) -> None:
    """A journal that was cut down to nothing."""
    path.touch()


def other_database(path: Path) -> None:
    """Somebody's database, with a table whose name we use."""
    with database(path) as connection:
        connection.execute("CREATE TABLE meta (a)")
        connection.execute("CREATE TABLE books (b)")


def similar_database(path: Path) -> None:
    """Somebody's database, with both tables, and other columns."""
    with database(path) as connection:
        connection.execute("CREATE TABLE meta (a)")
        connection.execute("CREATE TABLE steps (b)")


def empty_database(path: Path) -> None:
    """A database without a table."""
    with database(path) as connection:
        connection.execute("CREATE TABLE meta (a)")
        connection.execute("DROP TABLE meta")


def header_only(path: Path) -> None:
    """The first bytes of a database and then rubbish."""
    path.write_bytes(b"SQLite format 3\x00" + b"\x55" * 5000)


NO_JOURNALS = [
    text_file,
    short_file,
    empty_file,
    other_database,
    similar_database,
    empty_database,
    header_only,
    Path.mkdir,
    os.mkfifo,
]


@pytest.mark.parametrize("identity", [ME, None])
@pytest.mark.parametrize("make", NO_JOURNALS)
async def test_no_journal(tmp_path: Path, make: Callable[[Path], None], identity: Identity | None) -> None:
    """What is no journal is refused, named, and left as it is."""
    path = tmp_path / "j"
    make(path)
    before = files(tmp_path)
    with pytest.raises(JournalError, match="/j"):
        await everything(path, identity)
    assert files(tmp_path) == before


@pytest.mark.parametrize("path", ["missing", "missing/j", "/dev/null/j", "", "nul\x00l", "n" * 300])
async def test_no_place_for_a_journal(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader makes nothing, and a writer says where it cannot write."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JournalError):
        await everything(Path(path))
    if path != "missing":
        with pytest.raises(JournalError):
            await everything(Path(path), ME)
    assert files(tmp_path) == {}


READ_ONLY = """
import os, tempfile, anyio
from pathlib import Path
from encord_async.errors import JournalError
from encord_async.journal.journal import Identity, Journal

me = Identity("https://api.example.com", "SHA256:me")

async def opened(path, identity):
    async with Journal(path, identity) as journal:
        return list(await journal.open_intents())

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "j")
    if os.geteuid() == 0:
        # root may write everywhere; once everything is imported it needs no rights of root's any more
        with tempfile.TemporaryDirectory() as other:
            anyio.run(opened, Path(other, "j"), me)
        os.chown(folder, 65534, 65534)
        os.setuid(65534)
    assert anyio.run(opened, path, me) == []
    os.chmod(folder, 0o500)
    try:
        anyio.run(opened, path, me)
    except JournalError as error:
        print(error)
    assert anyio.run(opened, path, None) == []
    os.chmod(folder, 0o700)
"""


@pytest.mark.process
def test_read_only_folder() -> None:
    """In a folder without write permission no run starts, and a finished journal can still be read."""
    done = warm.run([sys.executable, "-c", READ_ONLY])
    assert done.returncode == 0, done.stderr
    assert "cannot write beside" in done.stdout


async def test_log_without_its_journal(tmp_path: Path) -> None:
    """If the journal is gone and its log is there, a new one would swallow or be spoilt by the log: refused."""
    (tmp_path / "j-wal").write_bytes(b"x" * 100)
    with pytest.raises(JournalError, match="j-wal is there"):
        await everything(tmp_path / "j", ME)
    assert (tmp_path / "j-wal").read_bytes() == b"x" * 100


async def test_killed_while_making_it(tmp_path: Path) -> None:
    """What a process left that was killed before its journal was whole is not in the way."""
    (tmp_path / ".j.encord-async-new").write_bytes(b"half")
    assert await everything(tmp_path / "j", ME) == []
    assert set(files(tmp_path)) == {"j"}


@pytest.mark.parametrize("identity", [ME, None])
async def test_schema_from_the_future(tmp_path: Path, identity: Identity | None) -> None:
    """A journal of a newer version is refused with the advice to upgrade, and not changed."""
    assert await everything(tmp_path / "j", ME) == []
    with database(tmp_path / "j") as connection:
        connection.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(JournalError, match=r"schema 4, known 3.*upgrade"):
        await everything(tmp_path / "j", identity)
    assert (tmp_path / "j").read_bytes() == before


# --- damage -----------------------------------------------------------------------------------------------------------

LAST = {n: record(n, state=State.IN_DOUBT) if n % 5 == 4 else record(n) for n in range(12)}
"""How the steps of the journals below end; each was intended before."""


Files: TypeAlias = Mapping[str, bytes]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A journal as a clean end leaves it."""
    return anyio.run(make_journal, tmp_path_factory.mktemp("clean"), False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A journal as a kill leaves it, with most of it in its log."""
    return anyio.run(make_journal, tmp_path_factory.mktemp("killed"), True)


async def make_journal(folder: Path, killed: bool) -> Files:
    """The files of a journal in which `LAST` was written, step by step."""
    # Small pages give small files, so that every byte of them can be tried.
    with on_connect("PRAGMA page_size = 512"):
        async with Journal(folder / "j", ME) as journal:
            for number, last in LAST.items():
                await journal.write([intended(number)])
                await journal.write([last])
            before = {name: (folder / name).read_bytes() for name in ("j", "j-wal")}
    return before if killed else {"j": (folder / "j").read_bytes()}


async def read_damaged(found: Files, identity: Identity | None = None) -> list[Record] | None:
    """The records of a journal of these files, or None if it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in found.items():
            (Path(folder) / name).write_bytes(content)
        try:
            return await everything(Path(folder) / "j", identity)
        except JournalError:
            return None


def is_earlier(found: Sequence[Record]) -> bool:
    """Whether *found* is a state in which the journal was, earlier or at its end."""
    ends = list(LAST.values())
    whole = max(0, len(found) - 1)
    return list(found[:whole]) == ends[:whole] and all(row in (ends[whole], intended(whole)) for row in found[whole:])


@pytest.mark.parametrize("identity", [ME, None])
async def test_whole(clean: Files, killed: Files, identity: Identity | None) -> None:
    """Undamaged, they say what was written."""
    for content in (clean, killed):
        assert await read_damaged(content, identity) == list(LAST.values())


@pytest.mark.slow  # opens a journal hundreds of times
async def test_cut_anywhere(clean: Files) -> None:
    """A journal cut at any byte of its last pages is refused, whether a run wants to go on or only to read."""
    whole = clean["j"]
    for length in range(len(whole) - 3 * 512, len(whole), stride(23)):
        assert await read_damaged({"j": whole[:length]}) is None, length
    for length in range(0, len(whole), stride(3) * 97):
        assert await read_damaged({"j": whole[:length]}, ME) is None, length


@pytest.mark.slow  # opens a journal hundreds of times
async def test_log_cut_anywhere(killed: Files) -> None:
    """With its log cut at any byte, a journal is in a state in which it was earlier: nothing is done that was not."""
    log = killed["j-wal"]
    seen: set[int] = set()
    for length in sorted({*range(0, len(log), stride(3) * 127), *range(len(log) - 1072, len(log), stride(23))}):
        found = await read_damaged({**killed, "j-wal": log[:length]}, ME if length % 31 == 0 else None)
        assert found is not None
        assert is_earlier(found), length
        seen.add(len(found))
    assert len(seen) == len(LAST) + 1


async def test_log_lost(killed: Files) -> None:
    """Without its log, a killed run's journal is in the state that it had before."""
    found = await read_damaged({"j": killed["j"]})
    assert found is not None
    assert is_earlier(found)


async def test_cut_with_its_log_there(killed: Files) -> None:
    """A journal cut short whose log is whole is refused, or comes back whole from the log."""
    for length in range(0, len(killed["j"]), stride(3) * 97):
        found = await read_damaged({**killed, "j": killed["j"][:length]}, ME if length % 2 else None)
        assert found is None or found == list(LAST.values()), length


@given(st.data())
@hypothesis_settings(max_examples=times(60, of=300))
def test_flipped_bits(clean: Files, killed: Files, data: st.DataObject) -> None:
    """Whatever bits flip in a journal: it is refused, or it says what was written, all of it and nothing else."""
    content = dict(data.draw(st.sampled_from([clean, killed])))
    name = data.draw(st.sampled_from(sorted(content)))
    damaged = bytearray(content[name])
    for place in data.draw(st.lists(st.integers(0, len(damaged) * 8 - 1), min_size=1, max_size=3, unique=True)):
        damaged[place // 8] ^= 1 << place % 8
    content[name] = bytes(damaged)
    found = anyio.run(read_damaged, content, data.draw(st.sampled_from([None, ME])))
    if found is not None and name == "j-wal":
        # SQLite takes a log up to the first frame whose checksum is wrong, as after a loss of power.
        assert is_earlier(found)
    elif found is not None:
        assert found == list(LAST.values())


async def test_index_that_has_lost_a_row(clean: Files) -> None:
    """A step that is there and that its index does not find is not taken for one that was never sent."""
    identity = record(5).identity
    whole = clean["j"]
    places = [n for n in range(len(whole)) if whole.startswith(identity, n)]
    assert len(places) == 2, "in its row and in the index"
    for place in places:
        damaged = whole[: place + 15] + b"\x85" + whole[place + 16 :]
        for reader in (None, ME):
            assert await read_damaged({"j": damaged}, reader) is None


@pytest.mark.parametrize("make", [other_database, empty_database])
async def test_says_what_it_is_instead(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Somebody else's database is called one."""
    make(tmp_path / "j")
    with pytest.raises(JournalError, match="a database of something else"):
        await everything(tmp_path / "j", ME)


async def test_row_that_somebody_changed(tmp_path: Path) -> None:
    """A state that was set by hand, in a file that is in order otherwise, is not believed."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([intended(1)])
    with database(tmp_path / "j") as connection:
        connection.execute("UPDATE steps SET state = 'done'")
    for identity in (None, ME):
        with pytest.raises(JournalError, match=r"is damaged .row 1.; restore it from a backup"):
            await everything(tmp_path / "j", identity)


# --- trouble while writing --------------------------------------------------------------------------------------------


async def test_full_disk_stops_the_run(tmp_path: Path, service: Service) -> None:
    """When the disk is full the run ends with that; nothing was sent that is not recorded, and the journal is whole."""
    manifest = [project(f"Project {n} {'x' * 200}") for n in range(400)]
    async with open_session(service) as session:
        identity = Identity(session.settings.domain, session.identity)
        with on_connect("PRAGMA max_page_count = 30"):
            async with session.provision(manifest, journal=tmp_path / "j", settle_s=0.0) as run:
                with pytest.raises(JournalError, match=r"full.*nothing is sent that is not recorded"):
                    await all_of(run)
        sent = {call.payload["title"] for call in service.of("project.POST")}
        assert 0 < len(sent) < 400
        recorded = await everything(tmp_path / "j", identity)
        assert sent <= {one.title for one in recorded}
        async with session.provision(manifest, journal=tmp_path / "j", settle_s=0.0) as run:
            assert all(outcome.status.satisfied for outcome in await all_of(run))
    assert sorted(one.title for one in service.projects.values()) == sorted(entry["title"] for entry in manifest)


FULL = """
import resource, sys
import anyio
from encord_async.errors import JournalError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, State, Word
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_api_key import API_KEY

async def main():
    async with Journal(sys.argv[1], Identity("https://api.encord.com", "SHA256:me")) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for number in range(10_000):
            record = Record(
                identity=number.to_bytes(16), entry=b"", kind=PROJECT, title="x" * 300, state=State.DONE
            )
            try:
                await journal.write([record])
            except JournalError:
                print(number)
                break
        try:
            await journal.write([record])
        except JournalError:
            print("refused")

anyio.run(main)
"""


@pytest.mark.process
def test_file_too_large(tmp_path: Path) -> None:
    """When the operating system takes no more bytes, that is an error, for good, and all that was taken is there."""
    done = warm.run([sys.executable, "-c", FULL, tmp_path / "j"])
    assert done.returncode == 0, done.stderr
    count, refused = done.stdout.split()
    assert refused == "refused"
    found = anyio.run(everything, tmp_path / "j", ME)
    assert [int.from_bytes(one.identity) for one in found] == list(range(int(count)))


async def test_failed_sync_is_final(tmp_path: Path) -> None:
    """After a sync that failed nothing more is written, not even by those who were in line already."""
    async with Journal(tmp_path / "j", ME) as journal:
        await journal.write([record(1)])
        assert journal._connection is not None
        fails = [True]

        def fail(_: object) -> None:
            if fails:
                fails.clear()
                raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

        sa.event.listen(journal._connection.engine, "commit", fail)
        errors: list[JournalError] = []

        async def write(number: int) -> None:
            with pytest.raises(JournalError, match="disk I/O error") as caught:
                await journal.write([record(number)])
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(write, 2)
            # Until the first is on its way to the disk, so that the others have to wait for it.
            await anyio.lowlevel.checkpoint()
            while journal._next:
                await anyio.lowlevel.checkpoint()
            for number in range(3, 6):
                group.start_soon(write, number)
        await write(6)
        assert len(errors) == len(set(map(id, errors))) == 5
        assert (await journal.known([(1).to_bytes(16)])).keys() == {(1).to_bytes(16)}
    assert await everything(tmp_path / "j", ME) == [record(1)]


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_secrets(tmp_path: Path) -> None:
    """Nothing that opens a door is in the journal or beside it: no API key, no private key, no signature."""
    wishes = [{"title": f"key {n}", "scopes": ["label.read"]} for n in range(3)]
    manifest = [project(f"Project {n}", api_keys=wishes) for n in range(4)]
    folder = tmp_path / "journal"
    folder.mkdir()
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        session = EncordSession.from_ssh_key(emulator.private_key, settings=Settings(domain=emulator.url))
        async with session:
            run = session.provision(manifest, journal=folder / "j")
            async with run:
                assert {outcome.status for outcome in await all_of(run)} == {Status.CREATED}
                during = b"".join(files(folder).values())
            secrets = [line for line in emulator.private_key.splitlines() if "-----" not in line]
            for owned in await session.list_projects():
                keys = await session.list_project_api_keys(owned.project.project_hash)
                secrets += [key.api_key.get_secret_value() for key in keys]
    assert len(secrets) >= 12 + 3
    kept = during + b"".join(files(folder).values())
    assert b"api-key:" in kept
    assert not [secret for secret in secrets if secret.encode() in kept]
    assert session.identity.encode() in kept
    for word in (b"authorization", b"bearer", b"signature", b"PRIVATE KEY"):
        assert word.lower() not in kept.lower()


async def test_what_is_left_behind_is_found_whenever_it_came_to_be(tmp_path: Path) -> None:
    """By an entry that has gone, by one that turned to another thing in this very run; and not where there is none."""
    async with Journal(path := tmp_path / "j", ME) as journal:
        name, key_name = name_digest(PROJECT, "Project"), name_digest(API_KEY, "Key")
        made = record(1, name=name)
        key = record(2, kind=API_KEY, parent_hash="hash-9", name=key_name)
        await journal.write([made, key])
        assert not await journal.left_behind(name)
        await journal.write([set_aside(key)], instead_of=[key.identity])
        assert await journal.left_behind(key_name) == [set_aside(key)]
    async with Journal(path, ME) as journal:
        await journal.disown(lambda _: True)
        assert not await journal.left_behind(name)
        await journal.disown(lambda holder: holder != made.holder)
        assert await journal.left_behind(name) == [made]


async def test_a_new_journal_is_not_asked_for_what_is_left_behind(tmp_path: Path) -> None:
    """It is asked before each create: that is a look at the database, on another thread, for each thing to be made."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        async with Journal(tmp_path / "j", ME) as journal:
            await journal.write([record(1)])
            asked.clear()
            assert not await journal.left_behind(name_digest(PROJECT, "Project"))
            assert not asked
            await journal.known([record(1).identity])
            assert asked
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


async def test_what_was_in_doubt_is_gone_for_a_plan_once_it_is_found(tmp_path: Path) -> None:
    """Of an entry that has gone, too: the run finds out what became of it first, and then retires it with the rest."""
    name = name_digest(PROJECT, "Project")
    async with Journal(path := tmp_path / "j", ME) as journal:
        await journal.write([record(1, name=name), record(2, name=name, state=State.IN_DOUBT, hash=None)])
    async with Journal(path, None) as journal:
        plan = Overlay(journal)
        await plan.disown(lambda _: False)
        assert {one.hash for one in await plan.gone_things()} == {"hash-1"}
        await plan.write([record(2, name=name)])
        assert {one.hash for one in await plan.gone_things()} == {"hash-1", "hash-2"}
        await plan.disown(lambda _: True)
        assert not await plan.gone_things()
