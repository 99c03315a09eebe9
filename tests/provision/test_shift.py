"""A proxy shifts the replies of a connection by one: nobody is told what another's request was answered, over TCP."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from encord_async import errors
from encord_async.client import EncordSession
from encord_async.emulator import Emulator, Fault, FaultRule
from encord_async.engine.outcome import Outcome
from encord_async.journal.journal import Journal
from encord_async.protocol.catalogue import APIKeyScope
from encord_async.protocol.operations.datasets import CreateDatasetV2
from encord_async.protocol.operations.keys import CreateProjectAPIKey, ListProjectAPIKeys
from encord_async.protocol.operations.projects import AddDatasets, CreateProject, GetProject, ListProjects
from encord_async.protocol.signing import SSHKey
from encord_async.session.settings import RetryPolicy, Settings
from tests.provision.conftest import Entry
from tests.soak.proxy import Fate, Message, Proxy

Judge = Callable[[str, int], Fate]
"""What becomes of a request of this call, given how many of it came before."""

_TYPE: Final = re.compile(rb'"query_type": "(\w+)", "query_method": "(\w+)"')


def call_of(request: Message) -> str:
    """As the emulator counts it, but for the numbers in paths."""
    envelope = _TYPE.search(request.body)
    if envelope is not None:
        return f"{envelope[1].decode()}.{envelope[2].decode()}"
    method, target, _ = request.head.decode().split(" ", 2)
    return f"{target.partition('?')[0].removeprefix('/v2/public/')}.{method}"


class Shifting(Proxy):
    """A proxy whose fates are told by a function."""

    def __init__(self, upstream_port: int, judge: Judge) -> None:
        super().__init__(upstream_port, seed=1, trouble=0.0)
        self.judge = judge
        self.calls: list[str] = []

    def _draw(self, request: Message) -> Fate:
        super()._draw(request)
        call = call_of(request)
        fate = self.judge(call, self.calls.count(call))
        self.calls.append(call)
        return fate


@asynccontextmanager
async def behind(judge: Judge, *, concurrency: int = 1) -> AsyncIterator[tuple[Emulator, Shifting, EncordSession]]:
    """A new account behind a proxy."""
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        with Shifting(int(emulator.url.rpartition(":")[2]), judge) as proxy:
            settings = Settings(domain=proxy.url, concurrency=concurrency, retry=RetryPolicy(backoff_base_s=0.001))
            async with EncordSession(SSHKey.from_text(emulator.private_key), settings) as session:
                yield emulator, proxy, session


def always(call: str, fate: Fate, *numbers: int) -> Judge:
    """The requests of *call* with these numbers, or all, have that fate."""
    return lambda other, number: fate if other == call and (not numbers or number in numbers) else Fate.PASSED


async def outcomes_of(session: EncordSession, manifest: list[Entry], journal: Path) -> list[Outcome]:
    """How the entries end, in the manifest's order."""
    async with session.provision(manifest, journal=journal, settle_s=2.0) as run:
        found = [outcome async for outcome in run]
    return sorted(found, key=lambda outcome: outcome.number)


def titles(emulator: Emulator) -> dict[str, str]:
    """What was made in the account, by hash."""
    return {line["hash"]: line["title"] for line in emulator.log() if line["title"].startswith("T")}


def with_user(n: int) -> Entry:
    """A project with somebody of its own."""
    wished = [{"email": f"a{n}@example.com", "role": "annotator"}]
    return {"kind": "project", "key": f"k{n}", "title": f"T{n}", "users": wished}


def users_of(emulator: Emulator) -> dict[str, set[str]]:
    """Who was added to which project, by its title."""
    return {
        project["title"]: {user["email"] for user in project["users"]} - {"emulator@example.com"}
        for project in emulator.state()["projects"]
    }


KINDS: dict[str, tuple[str, Callable[[int], Entry]]] = {
    "project": ("project.POST", lambda n: {"kind": "project", "key": f"k{n}", "title": f"T{n}"}),
    "dataset": ("datasets.POST", lambda n: {"kind": "dataset", "key": f"k{n}", "title": f"T{n}"}),
    "dataset elsewhere": (
        "dataset.POST",
        lambda n: {"kind": "dataset", "key": f"k{n}", "title": f"T{n}", "storage": "aws"},
    ),
    "ontology": ("ontologies.POST", lambda n: {"kind": "ontology", "key": f"k{n}", "title": f"T{n}"}),
    "group": ("organisation/groups.POST", lambda n: {"kind": "group", "key": f"k{n}", "name": f"T{n}"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_each_entry_gets_what_it_has_made(kind: str, concurrency: int, tmp_path: Path) -> None:
    """A connection that is shifted answers no further create: each entry has its own, and there is one of each."""
    call, entry = KINDS[kind]
    async with behind(always(call, Fate.SHIFTED, 1, 4), concurrency=concurrency) as (emulator, proxy, session):
        outcomes = await outcomes_of(session, [entry(n) for n in range(8)], tmp_path / "j")
        there = titles(emulator)
    assert [outcome.status.value for outcome in outcomes] == ["created"] * 8
    assert [there[outcome.hash or ""] for outcome in outcomes] == [f"T{n}" for n in range(8)]
    assert len(there) == 8
    assert proxy.calls.count(call) == 8


def refused(n: int) -> Entry:
    """A project that cannot be made."""
    return {"kind": "project", "title": f"T{n}", "datasets": ["00000000-0000-0000-0000-000000000000"]}


async def test_refusal_of_another_is_not_believed(tmp_path: Path) -> None:
    """What was made is not reported as refused, for then the next run would make it a second time."""
    manifest = [refused(0), {"kind": "project", "title": "T1"}, {"kind": "project", "title": "T2"}]
    async with behind(always("project.POST", Fate.SHIFTED)) as (emulator, _, session):
        first = await outcomes_of(session, manifest, tmp_path / "j")
        again = await outcomes_of(session, manifest, tmp_path / "j")
        there = titles(emulator)
    assert [outcome.status.value for outcome in first] == ["failed", "created", "created"]
    assert [outcome.status.value for outcome in again] == ["failed", "unchanged", "unchanged"]
    assert [there[outcome.hash or ""] for outcome in again[1:]] == ["T1", "T2"]
    assert len(there) == 2


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.RATE_LIMITED_ENVELOPE])
async def test_too_many_requests_are_said_to_one_only(fault: Fault, tmp_path: Path) -> None:
    """A create is sent again after "too many requests"; said to another, it would be made twice."""
    manifest: list[Entry] = [{"kind": "project", "title": f"T{n}"} for n in range(4)]
    async with behind(always("project.POST", Fate.SHIFTED, 0)) as (emulator, _, session):
        emulator.set_faults([FaultRule(query="project.POST", fault=fault, times=1)])
        outcomes = await outcomes_of(session, manifest, tmp_path / "j")
        assert sorted(titles(emulator).values()) == ["T0", "T1", "T2", "T3"]
    assert [outcome.status.value for outcome in outcomes] == ["created"] * 4


async def test_no_api_key_is_taken_for_a_project(tmp_path: Path) -> None:
    """Both are answered with a text: no key gets into the journal, and each project has its one."""
    keys = [{"title": "ci", "scopes": ["label.read"]}]
    manifest: list[Entry] = [{"kind": "project", "key": f"k{n}", "title": f"T{n}", "api_keys": keys} for n in range(4)]
    journal = tmp_path / "j"
    async with behind(lambda call, _: Fate.SHIFTED if call.endswith(".POST") else Fate.PASSED) as (
        emulator,
        _,
        session,
    ):
        outcomes = await outcomes_of(session, manifest, journal)
        there, projects = titles(emulator), emulator.state()["projects"]
    assert [outcome.status.value for outcome in outcomes] == ["created"] * 4
    assert [there[outcome.hash or ""] for outcome in outcomes] == [f"T{n}" for n in range(4)]
    assert [len(project["api_keys"]) for project in projects] == [1] * 4
    async with Journal(journal, None) as opened:
        records, _ = await opened.records(most=100)
    assert len({record.hash for record in records}) == 8
    assert {record.hash for record in records if record.kind.word == "project"} == set(there)


async def test_users_get_into_no_other_project(tmp_path: Path) -> None:
    """Whichever reply comes twice, whoever is wished for in a project gets into that one."""
    manifest: list[Entry] = []
    for n in range(6):
        manifest.append(with_user(n))
        manifest.append(
            {"kind": "project_users", "project": f"@k{n}", "emails": [f"b{n}@example.com"], "role": "reviewer"}
        )
    async with behind(lambda _, number: Fate.SHIFTED if number % 2 else Fate.PASSED, concurrency=4) as (
        emulator,
        _,
        session,
    ):
        outcomes = await outcomes_of(session, manifest, tmp_path / "j")
        users = users_of(emulator)
    assert [outcome.status.value for outcome in outcomes] == ["created", "updated"] * 6
    assert users == {f"T{n}": {f"a{n}@example.com", f"b{n}@example.com"} for n in range(6)}


async def test_reads_are_answered_for_what_they_ask() -> None:
    """A listing or a project is never another's: what could be is asked for over another connection, or again."""
    async with behind(always("", Fate.PASSED)) as (_, proxy, session):
        first, second = [await session.execute(CreateProject(title=f"T{n}")) for n in range(2)]
        await session.execute(CreateProjectAPIKey(project_hash=first, title="ci", scopes=(APIKeyScope.LABEL_READ,)))
        proxy.judge = lambda _, __: Fate.SHIFTED
        for _ in range(2):
            keys = [await session.execute(ListProjectAPIKeys(project_hash=one)) for one in (first, second)]
            assert [[key.title for key in some] for some in keys] == [["ci"], []]
            projects = [await session.execute(GetProject(project_hash=one)) for one in (first, second, first)]
            assert [project.title for project in projects] == ["T0", "T1", "T0"]
            assert len(await session.execute(ListProjects())) == 2


async def test_refusal_is_said_of_the_membership_that_was_refused() -> None:
    """An addition that was done is not said to be refused, nor the other way round."""
    async with behind(always("projectdataset.POST", Fate.SHIFTED)) as (_, _, session):
        project = await session.execute(CreateProject(title="T"))
        dataset = (await session.execute(CreateDatasetV2(title="T"))).dataset_uuid
        for _ in range(3):
            await session.execute(AddDatasets(project_hash=project, dataset_hashes=(dataset,)))
            with pytest.raises(errors.NotFoundError):
                await session.execute(AddDatasets(project_hash=project, dataset_hashes=("no such",)))


async def test_create_without_a_run_is_not_told_anothers_hash() -> None:
    """Whoever creates by single calls is told that it may have happened, and the next is answered for itself."""
    async with behind(always("project.POST", Fate.SHIFTED, 0)) as (emulator, _, session):
        first = await session.execute(CreateProject(title="T0"))
        with pytest.raises(errors.UncertainError, match="once more"):
            await session.execute(CreateProject(title="T1"))
        third = await session.execute(CreateProject(title="T2"))
        assert (titles(emulator)[first], titles(emulator)[third]) == ("T0", "T2")


async def test_raw_answers_are_never_anothers() -> None:
    """What only the caller can read may be anything; so no reply that came before can be taken for it."""
    async with behind(always("project.POST", Fate.SHIFTED)) as (_, _, session):
        requests = [CreateProject(title=f"T{n}").request() for n in range(4)]
        made = [await session.send(request) for request in requests]
        listed = {owned.project.title: owned.project.project_hash for owned in await session.execute(ListProjects())}
    assert made == [listed[f"T{n}"] for n in range(4)]


async def test_run_that_is_left_in_the_shift_is_looked_up_by_the_next(tmp_path: Path) -> None:
    """Whoever stops a run when replies have begun to be shifted has everything once after the next."""
    manifest = [with_user(n) for n in range(12)]
    async with behind(always("project.POST", Fate.SHIFTED), concurrency=2) as (emulator, proxy, session):
        for stops_after in range(1, 4):
            async with session.provision(manifest, journal=tmp_path / "j", settle_s=2.0) as run:
                for _ in range(stops_after):
                    await anext(run)
        proxy.judge = lambda _, __: Fate.PASSED
        outcomes = await outcomes_of(session, manifest, tmp_path / "j")
        there, users = titles(emulator), users_of(emulator)
    assert [there[outcome.hash or ""] for outcome in outcomes] == [f"T{n}" for n in range(12)]
    assert len(there) == 12
    assert users == {f"T{n}": {f"a{n}@example.com"} for n in range(12)}


async def test_answer_that_another_create_had_ends_all_trust(tmp_path: Path) -> None:
    """Crossed between connections, the next reply of the one is shifted: then no connection answers twice."""
    manifest = [with_user(n) for n in range(24)]
    crossed = always("project.POST", Fate.CROSSED, 9)
    async with behind(crossed, concurrency=4) as (emulator, proxy, session):
        outcomes = await outcomes_of(session, manifest, tmp_path / "j")
        there, users = titles(emulator), users_of(emulator)
    assert "projectwithuserrole.GET" in proxy.calls
    assert [outcome.status.value for outcome in outcomes] == ["created"] * 24
    assert [there[outcome.hash or ""] for outcome in outcomes] == [f"T{n}" for n in range(24)]
    assert users == {f"T{n}": {f"a{n}@example.com"} for n in range(24)}
