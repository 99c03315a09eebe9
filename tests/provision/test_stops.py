"""A run that is stopped says of every entry what is true, and the next run makes the rest and nothing twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from encord_async.client import EncordSession
from encord_async.engine.account import Existing
from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.run import Run
from encord_async.errors import AuthenticationError, JournalError, NoReplyError, StoppedError
from encord_async.journal.commit import Commit
from encord_async.journal.journal import Identity, Journal
from encord_async.protocol.reply import RawReply
from tests.provision.conftest import (
    Call,
    Entry,
    Fault,
    Project,
    Service,
    all_of,
    collect,
    open_session,
    project,
    users,
)
from tests.waiting import PATIENCE_S, comes_true

PROJECTS = 24


class Prompt(Service):
    """Does its work when a request comes in, and answers some turns of the event loop later."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 2
        self.as_it_answers: Callable[[int], None] = lambda _: None

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
        """Answer; whoever hangs up meanwhile does not undo anything."""
        number = len(self.calls)
        reply = await super().request(method, target, headers, body, timeout_s=timeout_s, turn=turn)
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


def is_bad(call: Call) -> bool:
    """Whether a create is that of the entry that the service refuses."""
    return bool(call.payload.get("title") == "bad")


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


async def test_nobody_waits_for_a_listing(session: EncordSession, service: Prompt) -> None:
    """A run that is stopped while it lists the account does not wait for that, however long it takes."""

    async def hang(call: Call) -> None:
        run.drain()
        await anyio.sleep_forever()

    service.pace = hang
    async with session.provision([project("Cats"), project("Dogs")], journal=None) as run:
        with anyio.fail_after(PATIENCE_S):
            outcomes = await all_of(run)
    assert {one.status for one in outcomes} == {Status.CANCELLED}
    assert service.projects == {}


async def leave(run: Run, moment: Callable[[], bool]) -> None:
    """Leave the block of a run as soon as it is that moment, and a while has passed."""
    with anyio.CancelScope() as scope:
        async with run, anyio.create_task_group() as group:
            group.start_soon(all_of, run)
            await comes_true(moment)
            for _ in range(20):
                await checkpoint()
            scope.cancel()


async def test_a_run_that_is_left_doubts_only_what_has_left(
    session: EncordSession, service: Prompt, tmp_path: Path
) -> None:
    """Creates that were written down ahead and never sent are cancelled, and the next run does not look for them."""

    async def hang(call: Call) -> None:
        if call.name == "project.POST":
            await anyio.sleep_forever()

    service.pace = hang
    manifest = [project(f"P{n}") for n in range(PROJECTS)]
    run = session.provision(manifest, journal=tmp_path / "j")
    await leave(run, lambda: len(service.of("project.POST")) == 4)
    assert run.summary.by_status == {Status.IN_DOUBT: 4, Status.CANCELLED: PROJECTS - 4}
    async with Journal(tmp_path / "j", None) as journal:
        assert sorted(record.title for record in await journal.open_intents()) == ["P0", "P1", "P2", "P3"]
    service.pace = service.at_once
    async with session.provision(manifest, journal=tmp_path / "j", settle_s=0) as again:
        assert {one.status for one in await all_of(again)} == {Status.CREATED}
    assert twice(service) == {}


async def test_a_run_that_is_left_while_it_lists_doubts_nothing(
    session: EncordSession, service: Prompt, tmp_path: Path
) -> None:
    """What waits for the account to be listed was never sent, however much that is."""

    async def hang(_: Call) -> None:
        await anyio.sleep_forever()

    service.pace = hang
    run = session.provision([project(f"P{n}") for n in range(PROJECTS)], journal=tmp_path / "j")
    await leave(run, lambda: bool(service.calls))
    assert run.summary.by_status == {Status.IN_DOUBT: 1, Status.CANCELLED: PROJECTS - 1}


async def test_a_run_that_is_stopped_while_it_lists_writes_nothing_down(
    session: EncordSession, service: Prompt, tmp_path: Path
) -> None:
    """What waits for the account to be listed ends at once, and leaves nothing behind in the journal."""

    async def stop(_: Call) -> None:
        run.drain()

    service.pace = stop
    async with session.provision([project(f"P{n}") for n in range(PROJECTS)], journal=tmp_path / "j") as run:
        outcomes = await all_of(run)
    assert {one.status for one in outcomes} == {Status.CANCELLED}
    async with Journal(tmp_path / "j", None) as journal:
        assert await journal.counts() == {}


# --- projects with more datasets than one request takes ---------------------------------------------------------------

DATASETS = [f"d{n}" for n in range(7)]


@pytest.mark.parametrize("envelopes", range(4))
async def test_a_project_made_without_all_its_datasets(
    session: EncordSession, service: Prompt, tmp_path: Path, envelopes: int
) -> None:
    """Stopped while datasets are attached, a project counts as not finished, is named, and gets the rest next time."""
    service.has_datasets(*DATASETS)
    entries = [project("Cats", key="p", datasets=DATASETS)]
    async with session.provision(entries, journal=tmp_path / "j", max_batch=2) as run:

        def stop(_: int) -> None:
            if service.names["project.POST"] and service.names["projectdataset.POST"] == envelopes:
                run.drain()

        service.as_it_answers = stop
        (outcome,) = await all_of(run)
    attached = min(7, 2 + 2 * envelopes)
    assert len(service.projects["project-1"].datasets) == attached
    assert outcome.hash == "project-1"
    if attached == len(DATASETS):
        assert outcome.status is Status.CREATED
    else:
        assert outcome.status is Status.CANCELLED
        assert isinstance(outcome.error, StoppedError)
        assert f"{7 - attached} of its datasets" in outcome.error.message
    service.calls.clear()
    async with session.provision(entries, journal=tmp_path / "j") as run:
        (outcome,) = await all_of(run)
    assert outcome.status is (Status.UNCHANGED if attached == 7 else Status.UPDATED)
    assert service.projects["project-1"].datasets == DATASETS
    assert [call.items for call in service.calls] == [tuple(DATASETS[attached:])][: attached < 7]


async def test_a_key_refused_while_datasets_are_attached(
    session: EncordSession, service: Prompt, tmp_path: Path
) -> None:
    """A project that was made is not called cancelled because its further datasets met a key that is not accepted."""
    service.has_datasets(*DATASETS)
    service.faults.append(Fault("projectdataset.POST", code="AUTHENTICATION_ERROR"))
    entries = [project("Cats", datasets=DATASETS)]
    outcomes: list[Outcome] = []
    async with session.provision(entries, journal=tmp_path / "j", max_batch=5) as run:
        with pytest.raises(AuthenticationError):
            await collect(run, outcomes)
    assert [(one.status, one.hash) for one in outcomes] == [(Status.FAILED, "project-1")]
    async with session.provision(entries, journal=tmp_path / "j") as run:
        assert [one.status for one in await all_of(run)] == [Status.UPDATED]
    assert service.projects["project-1"].datasets == DATASETS


# --- a disk that is full ----------------------------------------------------------------------------------------------


class FullDisk(Journal):
    """A journal whose disk is full once something is true."""

    def __init__(self, path: Path, session: EncordSession, is_full: Callable[[], bool]) -> None:
        super().__init__(path, Identity(session.settings.domain, session.identity))
        self._is_full = is_full

    def _commit(self, commit: Commit) -> None:
        if self._is_full():
            raise JournalError("the disk is full")
        super()._commit(commit)


async def outcomes_when_full(
    session: EncordSession, journal: Journal, entries: list[Entry], **options: Any
) -> list[Outcome]:
    """What a run ends in whose journal cannot be written any more."""
    outcomes: list[Outcome] = []
    async with Run(session, entries, Options(existing=Existing.CREATE, **options), journal=journal) as run:
        with pytest.raises(JournalError, match="full"):
            await collect(run, outcomes)
        assert sum(run.summary.by_status.values()) == run.summary.entries == len(outcomes)
    return sorted(outcomes, key=lambda outcome: outcome.number)


async def test_a_full_disk_before_anything_is_sent(session: EncordSession, service: Prompt, tmp_path: Path) -> None:
    """What could not be written down beforehand was not sent, and is not called in doubt."""
    journal = FullDisk(tmp_path / "j", session, lambda: True)
    outcomes = await outcomes_when_full(session, journal, [project(f"P{n}") for n in range(8)])
    assert {one.status for one in outcomes} <= {Status.FAILED, Status.CANCELLED}
    assert service.projects == {}


async def test_a_full_disk_after_something_was_made(session: EncordSession, service: Prompt, tmp_path: Path) -> None:
    """What was made and could not be written down is in doubt, by its hash; what the service refused has failed."""
    service.faults.append(Fault("project.POST", code="INVALID_ARGUMENTS_ERROR", touches=is_bad))
    service.turns = 9

    async def until_all_have_left(call: Call) -> None:
        while call.name == "project.POST" and service.names[call.name] < 4:
            await checkpoint()

    service.pace = until_all_have_left
    journal = FullDisk(tmp_path / "j", session, lambda: service.names["project.POST"] >= 4)
    titles = ["Cats", "bad", "Dogs", "Owls", "Pigs", "Yaks"]
    outcomes = await outcomes_when_full(session, journal, [project(title) for title in titles])
    made = {one.title: hash_ for hash_, one in service.projects.items()}
    assert {"Cats", "Dogs", "Owls"} <= made.keys()
    for title, one in zip(titles, outcomes, strict=True):
        if title in made:
            assert (one.status, one.candidates) == (Status.IN_DOUBT, (made[title],))
        else:
            assert one.status in {Status.FAILED, Status.CANCELLED}


async def test_a_full_disk_after_members_were_added(session: EncordSession, service: Prompt, tmp_path: Path) -> None:
    """Members that were added and could not be written down count as what they are."""
    service.projects["p"] = Project("P")
    journal = FullDisk(tmp_path / "j", session, lambda: bool(service.calls))
    outcomes = await outcomes_when_full(session, journal, [users("p", "a@example.com", "b@example.com")])
    assert [one.status for one in outcomes] == [Status.UPDATED]
    assert len(service.projects["p"].users) == 2


async def test_a_full_disk_while_datasets_are_attached(session: EncordSession, service: Prompt, tmp_path: Path) -> None:
    """A project that has all its datasets is created, though the last of them could not be written down."""
    service.has_datasets(*DATASETS)
    journal = FullDisk(tmp_path / "j", session, lambda: service.names["projectdataset.POST"] >= 1)
    outcomes = await outcomes_when_full(session, journal, [project("Cats", datasets=DATASETS)], max_batch=5)
    assert [(one.status, one.hash) for one in outcomes] == [(Status.CREATED, "project-1")]
    assert service.projects["project-1"].datasets == DATASETS


# --- a service that is gone -------------------------------------------------------------------------------------------


async def test_nobody_waits_for_an_outage_to_end(session: EncordSession, service: Prompt, tmp_path: Path) -> None:
    """Stopped while the service is down, a run ends though what it has in doubt cannot be looked for; that stays so."""

    async def down(call: Call) -> None:
        if call.name == "project.POST" or service.names["project.POST"]:
            await checkpoint()
            raise NoReplyError("the connection broke")

    service.pace = down
    async with session.provision([project("Cats"), project("Dogs")], journal=tmp_path / "j") as run:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    while not session.in_outage:
                        await checkpoint()
                    run.drain()

                group.start_soon(stop)
                outcomes = await all_of(run)
    assert Status.IN_DOUBT in {one.status for one in outcomes}
    assert {one.status for one in outcomes} <= {Status.IN_DOUBT, Status.CANCELLED}
    service.pace = service.at_once
    async with session.provision([project("Cats"), project("Dogs")], journal=tmp_path / "j", settle_s=0) as run:
        outcomes = await all_of(run)
    assert twice(service) == {}
