"""A proxy gives one create the answer of another: no two entries have one hash, and nobody gets another's users."""

import json
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from encord_async.client import EncordSession
from encord_async.emulator import Emulator, Fault, FaultRule
from encord_async.engine.doubt import Settler
from encord_async.engine.outcome import Outcome
from encord_async.engine.recovery import recover
from encord_async.engine.run import Run
from encord_async.errors import UncertainError
from encord_async.journal.journal import Identity, Journal
from encord_async.kinds.project_api_key import API_KEY
from encord_async.manifest.digests import Seen
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import SSHKey
from encord_async.session.settings import RetryPolicy, Settings
from encord_async.session.transport import AiohttpTransport
from encord_async.session.turn import Turn
from tests.provision.conftest import Entry

Swap = Callable[[list[RawReply]], RawReply]
"""The reply that a create gets, given those to all creates of its kind so far; the last is its own."""


def the_one_before(replies: list[RawReply]) -> RawReply:
    """Repeat, at every second create."""
    return replies[-2] if len(replies) % 2 == 0 else replies[-1]


class Proxy:
    """A `Transport` that mixes up the replies to creates."""

    def __init__(self, real: AiohttpTransport, swap: Swap) -> None:
        self._real = real
        self._swap = swap
        self._replies: dict[str, list[RawReply]] = {}

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: Turn | None = None,
    ) -> RawReply:
        """A request of either API."""
        reply = await self._real.request(method, target, headers, body, timeout_s=timeout_s, turn=turn)
        for kind in (b"projectapikey", b"projectcopy", b"project", b"dataset"):
            if body.startswith(b'{"query_type": "%s", "query_method": "POST"' % kind):
                return self._mixed(kind.decode(), reply)
        if method == "POST" and target.endswith(("/datasets", "/ontologies", "/organisation/groups")):
            return self._mixed(target, reply)
        return reply

    async def aclose(self) -> None:
        """Close the real one."""
        await self._real.aclose()

    def _mixed(self, kind: str, reply: RawReply) -> RawReply:
        replies = self._replies.setdefault(kind, [])
        replies.append(reply)
        return self._swap(replies)


@asynccontextmanager
async def behind(swap: Swap, *, concurrency: int = 1) -> AsyncIterator[tuple[Emulator, EncordSession]]:
    """A new account behind a proxy."""
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        settings = Settings(domain=emulator.url, concurrency=concurrency, retry=RetryPolicy(backoff_base_s=0.01))
        key = SSHKey.from_text(emulator.private_key)
        headers = {"Content-Type": "application/json"}
        async with EncordSession(
            key, settings, transport=lambda settings: Proxy(AiohttpTransport(settings, headers=headers), swap)
        ) as session:
            yield emulator, session


async def outcomes_of(session: EncordSession, manifest: list[Entry], journal: Path | None = None) -> list[Outcome]:
    """How the entries end, in the manifest's order."""
    async with session.provision(manifest, journal=journal, settle_s=0.0, existing="create") as run:
        found: list[Outcome] = []
        try:
            async for outcome in run:
                found.append(outcome)  # noqa: PERF401 - those before an error count
        except UncertainError as error:
            assert "reported as made are in doubt" in error.message  # noqa: PT017 - not every run ends so
    return sorted(found, key=lambda outcome: outcome.number)


MANIFESTS: dict[str, Callable[[int], Entry]] = {
    "project": lambda n: {"kind": "project", "key": f"k{n}", "title": f"T{n}"},
    "dataset": lambda n: {"kind": "dataset", "key": f"k{n}", "title": f"T{n}"},
    "dataset elsewhere": lambda n: {"kind": "dataset", "key": f"k{n}", "title": f"T{n}", "storage": "aws"},
    "ontology": lambda n: {"kind": "ontology", "key": f"k{n}", "title": f"T{n}"},
    "group": lambda n: {"kind": "group", "key": f"k{n}", "name": f"T{n}"},
}


def titles(emulator: Emulator) -> dict[str, str]:
    """What was made in the account, by hash, its own ontologies of projects aside."""
    return {line["hash"]: line["title"] for line in emulator.log() if line["title"].startswith("T")}


@pytest.mark.parametrize("entry", MANIFESTS.values(), ids=MANIFESTS.keys())
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_each_entry_gets_what_it_has_made(
    entry: Callable[[int], Entry], concurrency: int, tmp_path: Path
) -> None:
    """A create that got another's answer is looked up: what is said to be made is so, once, and under its own title."""
    async with behind(the_one_before, concurrency=concurrency) as (emulator, session):
        outcomes = await outcomes_of(session, [entry(n) for n in range(8)], tmp_path / "j")
        there = titles(emulator)
    assert [outcome.status.value for outcome in outcomes] == ["created"] * 8
    assert [there[outcome.hash or ""] for outcome in outcomes] == [f"T{n}" for n in range(8)]
    assert len(there) == 8


def holding(folder: Path, text: str) -> list[str]:
    """The files of *folder* in which *text* stands."""
    return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]


Replies = dict[str, list[RawReply]]


@asynccontextmanager
async def mixing(
    told: Callable[[str, Replies, RawReply], RawReply],
) -> AsyncIterator[tuple[EncordSession, Emulator, Replies]]:
    """A session whose creates get what *told* says: of their kind, all replies by kind so far, and their own."""
    replies = defaultdict[str, list[RawReply]](list)

    class Mixing(Proxy):
        def _mixed(self, kind: str, reply: RawReply) -> RawReply:
            replies[kind].append(reply)
            return told(kind, replies, reply)

    async with Emulator() as emulator:
        assert emulator.private_key is not None
        settings = Settings(domain=emulator.url, concurrency=1, retry=RetryPolicy(backoff_base_s=0.01))
        headers = {"Content-Type": "application/json"}
        async with EncordSession(
            SSHKey.from_text(emulator.private_key),
            settings,
            transport=lambda settings: Mixing(AiohttpTransport(settings, headers=headers), the_one_before),
        ) as session:
            yield session, emulator, replies


WITH_KEY: Entry = {
    "kind": "project",
    "key": "k0",
    "title": "T0",
    "api_keys": [{"title": "ci", "scopes": ["label.read"]}],
}


async def test_a_key_is_never_taken_for_a_hash(tmp_path: Path) -> None:
    """A project whose create is answered with an API key is looked up; the key is written down and told nowhere."""

    def told(kind: str, replies: Replies, reply: RawReply) -> RawReply:
        return replies["projectapikey"][-1] if kind == "project" and replies["projectapikey"] else reply

    async with mixing(told) as (session, emulator, replies):
        await outcomes_of(session, [WITH_KEY], tmp_path / "j")
        outcomes = await outcomes_of(
            session, [WITH_KEY, {"kind": "project", "key": "k1", "title": "T1"}], tmp_path / "j"
        )
        there = titles(emulator)
    (key,) = {json.loads(reply.body)["response"] for reply in replies["projectapikey"]}
    assert [there.get(outcome.hash or "") for outcome in outcomes] == ["T0", "T1"]
    assert not holding(tmp_path, key)
    assert key not in repr(outcomes)


async def test_a_hash_is_never_taken_for_a_key(tmp_path: Path) -> None:
    """An API key whose create is answered with another project's hash is looked up, and written down as what it is."""

    def told(kind: str, replies: Replies, reply: RawReply) -> RawReply:
        return replies["project"][0] if kind == "projectapikey" else reply

    async with mixing(told) as (session, emulator, replies):
        outcomes = await outcomes_of(
            session, [{"kind": "project", "key": "k1", "title": "T1"}, WITH_KEY], tmp_path / "j"
        )
        assert sorted(len(project["api_keys"]) for project in emulator.state()["projects"]) == [0, 1]
    async with Journal(tmp_path / "j", None) as journal:
        records, _ = await journal.records(most=100)
    assert [outcome.status.value for outcome in outcomes] == ["created", "created"]
    (key,) = (SecretStr(json.loads(reply.body)["response"]) for reply in replies["projectapikey"])
    assert [record.hash for record in records if record.kind.word == API_KEY.word] == [API_KEY.hash_of(key)]


def users_of(emulator: Emulator) -> dict[str, set[str]]:
    """Who was added to which project, by its title."""
    return {
        project["title"]: {user["email"] for user in project["users"]} - {"emulator@example.com"}
        for project in emulator.state()["projects"]
    }


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_no_user_gets_into_anothers_project(concurrency: int, tmp_path: Path) -> None:
    """Users of an entry itself and of entries that refer to it go to its own project, or to none."""
    manifest: list[Entry] = []
    for n in range(6):
        wished = [{"email": f"a{n}@example.com", "role": "annotator"}]
        manifest.append({"kind": "project", "key": f"k{n}", "title": f"T{n}", "users": wished})
        manifest.append(
            {"kind": "project_users", "project": f"@k{n}", "emails": [f"b{n}@example.com"], "role": "reviewer"}
        )
    async with behind(the_one_before, concurrency=concurrency) as (emulator, session):
        outcomes = await outcomes_of(session, manifest, tmp_path / "j")
        assert [outcome.status.value for outcome in outcomes] == ["created", "updated"] * 6
        assert users_of(emulator) == {f"T{n}": {f"a{n}@example.com", f"b{n}@example.com"} for n in range(6)}


async def test_api_keys_are_told_by_their_fingerprints(tmp_path: Path) -> None:
    """Of two keys that came with one answer each entry knows its own, and each project has one."""
    manifest = [
        {"kind": "project", "key": f"k{n}", "title": f"T{n}", "api_keys": [{"title": "ci", "scopes": ["label.read"]}]}
        for n in range(4)
    ]

    async with behind(the_one_before) as (emulator, session):
        outcomes = await outcomes_of(session, manifest, tmp_path / "j")
        assert [outcome.status.value for outcome in outcomes] == ["created"] * 4
        assert [len(project["api_keys"]) for project in emulator.state()["projects"]] == [1] * 4
    async with Journal(tmp_path / "j", None) as journal:
        records, _ = await journal.records(most=100)
    fingerprints = [record.hash for record in records if record.kind.word == "api_key"]
    assert len(set(fingerprints)) == 4


async def test_answer_of_an_earlier_run_is_nobodys(tmp_path: Path) -> None:
    """A create answered with what the journal has for another is looked up; so is the other, which stays as it was."""
    entries: list[Entry] = [{"kind": "project", "key": f"k{n}", "title": f"T{n}"} for n in range(2)]
    kept: list[RawReply] = []

    def the_very_first(replies: list[RawReply]) -> RawReply:
        kept.append(replies[-1])
        return kept[0]

    async with behind(the_very_first) as (emulator, session):
        before = await outcomes_of(session, entries[:1], tmp_path / "j")
        after = await outcomes_of(session, entries, tmp_path / "j")
        there = titles(emulator)
    assert after[0].hash == before[0].hash
    assert [outcome.status.value for outcome in after] == ["unchanged", "created"]
    assert [there[outcome.hash or ""] for outcome in after] == ["T0", "T1"]


NOTHING = RawReply(200, {}, b"[]")
"""The answer to something else, which is none to a create."""


class Crossing(Proxy):
    """Gives the first project the second's answer, and the second its own when the first has been told as made.

    If it *loses*, the second gets none.
    """

    def __init__(self, real: AiohttpTransport, *, loses: bool = False) -> None:
        super().__init__(real, lambda replies: replies[-1])
        self.loses = loses
        self.both_made = anyio.Event()
        self.first_is_told = anyio.Event()
        self.second = RawReply(0, {}, b"")

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: Turn | None = None,
    ) -> RawReply:
        """An envelope."""
        reply = await super().request(method, target, headers, body, timeout_s=timeout_s, turn=turn)
        if not body.startswith(b'{"query_type": "project", "query_method": "POST"') or self.both_made.is_set():
            return reply
        if b'"T0"' in body:
            await self.both_made.wait()
            return self.second
        self.second = reply
        self.both_made.set()
        await self.first_is_told.wait()
        return NOTHING if self.loses else reply


@pytest.mark.parametrize("loses", [False, True])
async def test_entry_told_as_made_with_anothers_hash_is_in_doubt_then(tmp_path: Path, loses: bool) -> None:
    """Nothing more is built on it, the run says so at its end, and the next run finds what it has made."""
    projects: list[Entry] = [{"kind": "project", "key": f"k{n}", "title": f"T{n}"} for n in range(2)]
    late: Entry = {"kind": "project_users", "project": "@k0", "emails": ["a0@example.com"], "role": "reviewer"}
    both_ended = anyio.Event()
    statuses: dict[str, str] = {}

    async def entries() -> AsyncIterator[Entry]:
        for entry in projects:
            yield entry
        await both_ended.wait()
        yield late

    async def watch(run: Run, proxy: Crossing) -> None:
        async for outcome in run:
            statuses[outcome.key or outcome.kind] = outcome.status.value
            proxy.first_is_told.set()
            if {"k0", "k1"} <= statuses.keys():
                both_ended.set()

    async with Emulator() as emulator:
        assert emulator.private_key is not None
        key, settings = SSHKey.from_text(emulator.private_key), Settings(domain=emulator.url, concurrency=4)
        proxy = Crossing(AiohttpTransport(settings, headers={"Content-Type": "application/json"}), loses=loses)
        async with EncordSession(key, settings, transport=lambda _: proxy) as session:
            async with session.provision(entries(), journal=tmp_path / "j", settle_s=0.0, existing="create") as run:
                with pytest.raises(UncertainError, match="1 of the entries that were reported as made are in doubt"):
                    await watch(run, proxy)
            assert statuses == {"k0": "created", "k1": "created", "project_users": "blocked"}
            assert users_of(emulator) == {"T0": set(), "T1": set()}
            again = await outcomes_of(session, [*projects, late], tmp_path / "j")
            there = titles(emulator)
        assert [there[outcome.hash or ""] for outcome in again] == ["T0", "T1", "T0"]
        assert all(outcome.status.satisfied for outcome in again)
        assert users_of(emulator) == {"T0": {"a0@example.com"}, "T1": set()}


@pytest.mark.parametrize("tidies", [False, True])
async def test_what_a_later_run_finds_is_no_others(tmp_path: Path, tidies: bool) -> None:
    """So it is when only a later run, or `settle`, finds what it was that another entry was told to have made."""
    projects: list[Entry] = [{"kind": "project", "key": f"k{n}", "title": f"T{n}"} for n in range(2)]
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        key = SSHKey.from_text(emulator.private_key)
        settings = Settings(domain=emulator.url, concurrency=4, retry=RetryPolicy(backoff_base_s=0.001))
        transport = AiohttpTransport(settings, headers={"Content-Type": "application/json"})
        proxy = Crossing(transport, loses=True)
        unseen = FaultRule(query="projectwithuserrole.GET", fault=Fault.ERROR, code="AUTHORISATION_ERROR")
        emulator.set_faults([unseen])
        async with EncordSession(key, settings, transport=lambda _: proxy) as session:
            async with session.provision(projects, journal=tmp_path / "j", settle_s=0.0, existing="create") as run:
                async for outcome in run:
                    proxy.first_is_told.set()
                    assert outcome.status.value == ("in_doubt" if outcome.key == "k1" else "created")
            emulator.set_faults([])
            if tidies:
                async with Journal(tmp_path / "j", Identity(emulator.url, session.identity)) as journal:
                    settler = Settler(session, journal, settle_s=0.0)
                    await recover(session, journal, settler, await journal.open_intents(), patient=True)
            again = await outcomes_of(session, projects, tmp_path / "j")
            there = titles(emulator)
    assert [there[outcome.hash or ""] for outcome in again] == ["T0", "T1"]
    assert all(outcome.status.satisfied for outcome in again)
    assert len(there) == 2


# --- the names of all that was made ----------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=3)))
def test_seen_is_a_set(names: list[str]) -> None:
    """Each name is new once."""
    seen, model = Seen(), set[str]()
    for name in names:
        assert seen.add(name) is (name not in model)
        model.add(name)
    assert len(seen) == len(model)


def test_seen_takes_a_few_bytes_a_name() -> None:
    """A million creates must not take a hundred megabytes to be told apart."""
    tracemalloc.start()
    try:
        seen = Seen(f"aaaaaaaa-bbbb-cccc-dddd-{n:012d}" for n in range(5_000))
        bytes_now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == 5_000
    assert not seen.add("aaaaaaaa-bbbb-cccc-dddd-000000000007")
    assert bytes_now / 5_000 < 24
