"""What earlier runs left open is settled before anything new is made, and never by making anything."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from encord_async.client import EncordSession
from encord_async.emulator import Emulator, Fault, FaultRule
from encord_async.engine.doubt import Settler
from encord_async.engine.outcome import Status
from encord_async.engine.recovery import NOT_THERE, decide_by_hand, recover
from encord_async.errors import AuthenticationError, JournalError, UsageError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, State, name_digest
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_api_key import API_KEY
from encord_async.kinds.thing import contents_digest
from encord_async.protocol.signing import BearerToken, SSHKey
from encord_async.session.clock import Clock, SystemClock
from encord_async.session.settings import RetryPolicy, Settings
from tests.provision.conftest import all_of, project
from tests.waiting import PATIENCE_S

SETTLE_S = 0.2


def wish(number: int = 1, title: str = "Cats", **more: Any) -> Record:
    """A project that an earlier run has sent, or meant to send."""
    plain = Record(
        identity=number.to_bytes(16),
        entry=b"entry",
        kind=PROJECT,
        title=title,
        state=State.INTENDED,
        name=name_digest(PROJECT, title, ""),
        request=title,
        details={"description": "", "contents": [contents_digest(())]},
    )
    return replace(plain, **more)


@dataclass(frozen=True, slots=True)
class Bench:
    """A journal and an emulator."""

    emulator: Emulator
    session: EncordSession
    journal: Journal

    async def recover(self, records: Iterable[Record], *, patient: bool = True) -> dict[bytes, Record]:
        """Write *records* down, recover, and give what was told of them."""
        told: dict[bytes, Record] = {}

        def tell(record: Record) -> None:
            assert record.identity not in told
            told[record.identity] = record

        await self.journal.write(records)
        creates = self.emulator.stats()["by_query"].get("project.POST", 0)
        settler = Settler(self.session, self.journal, settle_s=SETTLE_S)
        opened = await self.journal.open_intents()
        await recover(self.session, self.journal, settler, opened, patient=patient, on_settled=tell)
        assert await self.journal.known(list(told)) == told
        assert self.emulator.stats()["by_query"].get("project.POST", 0) == creates
        return told


@asynccontextmanager
async def open_bench(tmp_path: Path, *, clock: Clock | None = None) -> AsyncIterator[Bench]:
    """A journal and an emulator, both new."""
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        settings = Settings(domain=emulator.url, retry=RetryPolicy(max_attempts=1))
        session = EncordSession(SSHKey.from_text(emulator.private_key), settings, clock=clock or SystemClock())
        async with session, Journal(tmp_path / "j", Identity(emulator.url, session.identity)) as journal:
            yield Bench(emulator, session, journal)


async def test_finds_what_was_made(tmp_path: Path) -> None:
    """What a killed run has made is found and written down as made, whether one waits for it or not."""
    async with open_bench(tmp_path) as bench:
        made = [await bench.session.create_project(title) for title in ("Cats", "Dogs")]
        for patient, number, title in ((True, 1, "Cats"), (False, 2, "Dogs")):
            (record,) = (await bench.recover([wish(number, title)], patient=patient)).values()
            assert (record.state, record.status, record.hash) == (State.DONE, Status.CREATED, made[number - 1])
            assert record.ended_s is not None


async def test_one_look_decides_nothing_else(tmp_path: Path) -> None:
    """When a run begins it looks once: what is not to be seen, or not certain, stays as it is."""
    async with open_bench(tmp_path) as bench:
        for _ in range(2):
            await bench.session.create_project("Dogs")
        open_ones = [wish(1), wish(2, "Dogs"), wish(3, "Birds", state=State.IN_DOUBT, message="in doubt")]
        assert await bench.recover(open_ones, patient=False) == {}
        assert await bench.journal.open_intents() == open_ones


async def test_waits_before_it_says_no(tmp_path: Path) -> None:
    """What is not there when the settling time has passed did not happen; the next run may send it."""
    async with open_bench(tmp_path) as bench:
        began_s = anyio.current_time()
        (record,) = (await bench.recover([wish()])).values()
        assert anyio.current_time() - began_s >= SETTLE_S
        assert (record.state, record.status, record.code) == (State.FAILED, Status.FAILED, NOT_THERE)
        assert await bench.journal.open_intents() == []


async def test_what_comes_late(tmp_path: Path) -> None:
    """What appears within the settling time is found."""
    async with open_bench(tmp_path) as bench:
        late = FaultRule(query="project.POST", fault=Fault.LATE_COMMIT, seconds=SETTLE_S / 2)
        bench.emulator.set_faults([late])
        with pytest.raises(Exception, match="may have"):
            await bench.session.create_project("Cats")
        (record,) = (await bench.recover([wish()])).values()
        assert record.state is State.DONE


async def test_left_to_a_person(tmp_path: Path) -> None:
    """If several could be meant it stays in doubt, and the journal says so."""
    async with open_bench(tmp_path) as bench:
        for _ in range(2):
            await bench.session.create_project("Cats")
        (record,) = (await bench.recover([wish()])).values()
        assert (record.state, record.status) == (State.IN_DOUBT, Status.IN_DOUBT)
        assert record.message == "2 projects 'Cats' could be what this entry made"


async def test_namesakes_do_not_share(tmp_path: Path) -> None:
    """Three equal wishes and two projects: each project is taken once, and one wish has none."""
    async with open_bench(tmp_path) as bench:
        made = {await bench.session.create_project("Cats") for _ in range(2)}
        records = await bench.recover([wish(n) for n in range(3)])
        assert {record.hash for record in records.values()} == {*made, None}
        assert sorted(record.state.value for record in records.values()) == ["done", "done", "failed"]


class TogetherClock(SystemClock):
    """Its time stands still until so many wait for it to pass."""

    def __init__(self, number: int) -> None:
        self._missing = number
        self._all_wait = anyio.Event()

    def monotonic_s(self) -> float:
        """When all wait, a long time has passed."""
        return PATIENCE_S if self._all_wait.is_set() else 0.0

    async def sleep(self, seconds: float) -> None:
        """Wait for the others."""
        self._missing -= 1
        if self._missing == 0:
            self._all_wait.set()
        await self._all_wait.wait()


async def test_many_at_once(tmp_path: Path) -> None:
    """A hundred open steps wait out the same settling time, as many as may be in flight, not one after the other."""
    async with open_bench(tmp_path, clock=TogetherClock(Settings().concurrency)) as bench:
        made = {f"Project {n}": await bench.session.create_project(f"Project {n}") for n in range(0, 100, 2)}
        with anyio.fail_after(PATIENCE_S):
            records = await bench.recover([wish(n, f"Project {n}") for n in range(100)])
        assert {record.title: record.hash for record in records.values() if record.state is State.DONE} == made
        assert sum(record.state is State.FAILED for record in records.values()) == 50


async def test_service_that_is_down(tmp_path: Path) -> None:
    """If it cannot be looked up, it stays in doubt and says why; nothing is called absent."""
    async with open_bench(tmp_path) as bench:
        bench.emulator.set_faults([FaultRule(query="*", fault=Fault.STATUS, status=503)])
        (record,) = (await bench.recover([wish()])).values()
        assert record.state is State.IN_DOUBT
        assert record.message is not None
        assert record.message.startswith("it could not be looked up: ")


async def test_key_that_is_not_accepted(tmp_path: Path) -> None:
    """With a key that opens nothing, nothing is settled, and the error says so."""
    async with open_bench(tmp_path) as bench:
        bench.emulator.set_faults([FaultRule(query="*", fault=Fault.ERROR, code="AUTHENTICATION_ERROR")])
        with pytest.raises(AuthenticationError):
            await bench.recover([wish()])
        assert await bench.journal.open_intents() == [wish()]


async def test_journal_that_cannot_be_written(tmp_path: Path) -> None:
    """If a result cannot be written down, that is the error."""
    async with open_bench(tmp_path) as bench:
        await bench.session.create_project("Cats")
        await bench.journal.write([wish()])
        bench.journal._unwritable = "the disk is full"
        settler = Settler(bench.session, bench.journal, settle_s=SETTLE_S)
        with pytest.raises(JournalError, match="the disk is full"):
            await recover(bench.session, bench.journal, settler, [wish()], patient=True)


async def test_nothing_is_open(tmp_path: Path) -> None:
    """Nothing to settle costs no request."""
    async with open_bench(tmp_path) as bench:
        assert await bench.recover([]) == {}
        assert bench.emulator.stats()["requests"] == 0


@pytest.mark.usefixtures("twins_pass")
async def test_run_begins_with_it(tmp_path: Path) -> None:
    """A run first finds what an earlier one has left; an entry of the same title gets it if nobody has it any more."""
    async with open_bench(tmp_path) as bench:
        made = await bench.session.create_project("Cats")
        identity = Identity(bench.emulator.url, bench.session.identity)
        async with Journal(tmp_path / "k", identity) as journal:
            await journal.write([wish()])
        manifest = [project("Cats"), project("Cats", key="another")]
        async with bench.session.provision(manifest, journal=tmp_path / "k", settle_s=SETTLE_S) as run:
            outcomes = await all_of(run)
        assert sorted(outcome.status.value for outcome in outcomes) == ["adopted", "created"]
        assert made in {outcome.hash for outcome in outcomes}
        async with Journal(tmp_path / "k", None) as journal:
            assert await journal.known([wish().identity]) == {}


async def test_run_that_cannot_begin(tmp_path: Path) -> None:
    """If what is open cannot be asked for, the run ends with that error and makes nothing."""
    async with open_bench(tmp_path) as bench:
        identity = Identity(bench.emulator.url, bench.session.identity)
        async with Journal(tmp_path / "k", identity) as journal:
            await journal.write([wish()])
        bench.emulator.set_faults([FaultRule(query="*", fault=Fault.ERROR, code="AUTHENTICATION_ERROR")])
        async with bench.session.provision([project("Cats")], journal=tmp_path / "k", settle_s=SETTLE_S) as run:
            with pytest.raises(AuthenticationError):
                await all_of(run)
        assert bench.emulator.stats()["by_query"].keys() == {"projectwithuserrole.GET"}


def api_key(*candidates: str) -> Record:
    """An API key whose answer never came."""
    details = {"candidates": list(candidates)}
    return wish(kind=API_KEY, title="ci", key="ci", state=State.IN_DOUBT, details=details)


@pytest.mark.parametrize(("said", "found_hash"), [("made", None), ("MADE", None), ("api-key:2", "api-key:2")])
def test_a_person_says_that_a_key_was_made(said: str, found_hash: str | None) -> None:
    """An API key has no hash: a person says that it was made, or which of the candidates it is."""
    decided = decide_by_hand(EncordSession(BearerToken("token")), [api_key("api-key:1", "api-key:2")], "ci", said)
    assert (decided.state, decided.status, decided.hash) == (State.DONE, Status.CREATED, found_hash)


@pytest.mark.parametrize("record", [wish(key="ci"), api_key()], ids=["project", "API key"])
def test_a_person_says_that_nothing_was_made(record: Record) -> None:
    """Whatever a step was to make, the next run sends it once a person has said that it did not happen."""
    decided = decide_by_hand(EncordSession(BearerToken("token")), [record], "ci", "none")
    assert (decided.state, decided.code, decided.hash) == (State.FAILED, NOT_THERE, None)


@pytest.mark.parametrize("said", ["the-secret-key", "api-key:2"])
def test_what_is_no_word_for_a_key(said: str) -> None:
    """Another word is refused and not repeated: it may be the key itself, and the journal would hold it."""
    with pytest.raises(UsageError, match="has no hash") as caught:
        decide_by_hand(EncordSession(BearerToken("token")), [api_key("api-key:1")], "ci", said)
    assert said not in str(caught.value)


def test_which_project_was_made() -> None:
    """That a project was made does not say which."""
    with pytest.raises(UsageError, match="give its hash"):
        decide_by_hand(EncordSession(BearerToken("token")), [wish(key="ci")], "ci", "made")
