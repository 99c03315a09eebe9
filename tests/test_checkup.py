"""The check-up: the local API is as assumed in all that it checks, and each check notices when it is not."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from encord_async.checkup import reads, writes
from encord_async.checkup.chart import Chart, Finding, Headers, Read, Verdict
from encord_async.checkup.report import CHECKS, CheckUp, check_up, region
from encord_async.client import EncordSession
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import SSHKey
from encord_async.session.clock import SystemClock
from encord_async.session.settings import Settings
from encord_async.session.transport import AiohttpTransport
from encord_async.session.turn import Turn
from encord_async.testing import (
    QUICK_SETTINGS,
    EmulatorSettings,
    EncordEmulator,
    Seed,
    SeedDataset,
    SeedProject,
    SeedUser,
)
from tests.waiting import free_port

AS_ASSUMED, OTHERWISE, NOT_TOLD = Verdict.AS_ASSUMED, Verdict.OTHERWISE, Verdict.NOT_TOLD

SEED = Seed(
    users=(SeedUser(email="other@example.com"),),
    datasets=(SeedDataset(title="Secret streets"), SeedDataset(title="Secret towns")),
    projects=(SeedProject(title="Secret cats"), SeedProject(title="Secret dogs")),
)

NEEDS_WRITE = {"read after write", "attached twice", "added twice", "keys of one title"}


class Jumping(SystemClock):
    """Does not wait: the time that it would have taken has passed at once. May be another than the service's."""

    def __init__(self, off_s: float = 0.0) -> None:
        self._slept_s = 0.0
        self._off_s = off_s

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return super().monotonic_s() + self._slept_s

    def wall_s(self) -> float:
        """See `Clock`."""
        return super().wall_s() + self._off_s

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self._slept_s += seconds
        await super().sleep(0)


@pytest.fixture
def emulator() -> Iterator[EncordEmulator]:
    """A local Encord with two datasets and two projects, on pages of one."""
    with EncordEmulator(EmulatorSettings(seed=SEED, page_size=1)) as found:
        yield found


Spoil: TypeAlias = Callable[[str, RawReply], RawReply]


class SpoiltTransport(AiohttpTransport):
    """Something on the way that changes replies, as a proxy might."""

    def __init__(self, settings: Settings, spoil: Spoil) -> None:
        super().__init__(settings, headers={"Content-Type": "application/json"})
        self._spoil = spoil

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
        """See `Transport`."""
        return self._spoil(target, await super().request(method, target, headers, body, timeout_s=timeout_s, turn=turn))


async def checked(
    emulator: EncordEmulator,
    *,
    write: bool = False,
    off_s: float = 0.0,
    domain: str | None = None,
    spoil: Spoil = lambda _, reply: reply,
) -> CheckUp:
    """What the check-up finds."""
    clock = Jumping(off_s)
    headers = Headers(clock)
    session = EncordSession(
        SSHKey.from_text(emulator.private_key),
        replace(QUICK_SETTINGS, domain=domain or emulator.url),
        transport=lambda settings: SpoiltTransport(settings, spoil),
        clock=clock,
        observer=headers,
    )
    async with session:
        return await check_up(Chart(session=session, headers=headers, writes=write))


def by_name(found: CheckUp) -> dict[str, Finding]:
    """Findings by the names of their checks."""
    return {finding.name: finding for finding in found.findings}


def named(found: CheckUp, verdict: Verdict) -> set[str]:
    """The checks that ended so."""
    return {finding.name for finding in found.findings if finding.verdict is verdict}


# --- the local API ----------------------------------------------------------------------------------------------------


async def test_the_local_api_is_as_assumed_as_far_as_reading_tells(emulator: EncordEmulator) -> None:
    """What the local API does is what is assumed of the real one; what reading cannot tell is not claimed."""
    before = emulator.log()
    found = await checked(emulator)
    assert named(found, OTHERWISE) == set()
    assert named(found, NOT_TOLD) == {*NEEDS_WRITE, "API keys honoured", "rate limit"}
    assert found.account == emulator.user_email
    assert emulator.log() == before


async def test_the_local_api_is_as_assumed_when_written_to(emulator: EncordEmulator) -> None:
    """With leave to write nothing but the rate limit stays untold, and one marked project is what it takes."""
    before = len(emulator.state()["projects"])
    found = await checked(emulator, write=True)
    assert named(found, OTHERWISE) == set()
    assert named(found, NOT_TOLD) == {"rate limit"}
    (made,) = [one for one in emulator.state()["projects"] if one["title"].startswith("encord-async doctor 2")]
    assert (len(emulator.state()["projects"]), found.made and found.made.hash) == (before + 1, made["project_hash"])


async def test_an_empty_account_is_not_claimed_to_show_anything() -> None:
    """Where nothing is there, nothing is compared, filtered or attached, and that is said."""
    with EncordEmulator(EmulatorSettings(seed=Seed())) as emulator:
        reading, writing = await checked(emulator), await checked(emulator, write=True)
    for name in (
        "same projects",
        "same datasets",
        "pages",
        "projects by title",
        "datasets by title",
        "users",
        "API keys",
    ):
        assert by_name(reading)[name].verdict is NOT_TOLD
    assert by_name(writing)["attached twice"].verdict is NOT_TOLD
    assert "skipped" in by_name(writing)["attached twice"].seen
    assert by_name(writing)["added twice"].verdict is AS_ASSUMED


async def test_an_account_with_datasets_alone_shows_whose_it_is() -> None:
    """Whose key it is can be told by datasets, where the account has no project."""
    with EncordEmulator(EmulatorSettings(seed=replace(SEED, projects=()))) as emulator:
        found = await checked(emulator)
    assert found.account == "emulator@example.com"
    assert by_name(found)["users"].verdict is AS_ASSUMED


# --- spoilt -----------------------------------------------------------------------------------------------------------

LISTED = {
    "projects, envelope": "projectwithuserrole.GET",
    "datasets, envelope": "datasetwithuserrole.GET",
    "projects, v2": "v2/projects.GET",
    "datasets, v2": "v2/datasets/list.GET",
    "ontologies, v2": "v2/ontologies.GET",
    "groups, v2": "v2/user/current-organisation/groups.GET",
    "users of the organisation, v2": "v2/organisation/users.GET",
    "tags, v2": "v2/organisation/organisation-tags.GET",
}

SPOILT: dict[str, dict[str, Any]] = {
    **{name: {"query": query, "fault": "error", "code": "UNKNOWN_QUERY_ERROR"} for name, query in LISTED.items()},
    "key": {"query": "projectwithuserrole.GET", "fault": "error", "code": "AUTHENTICATION_ERROR"},
    "same projects": {"query": "projectwithuserrole.GET", "fault": "stale_read", "seconds": 86_400},
    "same datasets": {"query": "v2/datasets/list.GET", "fault": "stale_read", "seconds": 86_400},
    "projects by title": {"query": "projectwithuserrole.GET", "fault": "stale_read", "seconds": 86_400, "after": 2},
    "datasets by title": {"query": "v2/datasets/list.GET", "fault": "stale_read", "seconds": 86_400, "after": 1},
    "unknown hash": {"query": "project.GET", "fault": "error", "code": "INVALID_ARGUMENTS_ERROR", "times": 1},
    "read after write": {"query": "v2/projects.GET", "fault": "stale_read", "seconds": 86_400, "after": 2},
    "attached twice": {
        "query": "projectdataset.POST",
        "fault": "error",
        "code": "RESOURCE_EXISTS_ERROR",
        "after": 1,
    },
    "added twice": {"query": "projectusers.POST", "fault": "error", "code": "RESOURCE_EXISTS_ERROR", "after": 1},
    "keys of one title": {
        "query": "projectapikey.POST",
        "fault": "error",
        "code": "RESOURCE_EXISTS_ERROR",
        "after": 1,
    },
    "users": {"query": "v2/projects/{project}/users.GET", "fault": "error", "code": "RESOURCE_NOT_FOUND_ERROR"},
    "API keys": {"query": "projectapikey.GET", "fault": "error", "code": "RESOURCE_NOT_FOUND_ERROR"},
    "API keys honoured": {"query": "project.GET", "fault": "error", "code": "AUTHENTICATION_ERROR", "after": 1},
    "rate limit": {"query": "v2/ontologies.GET", "fault": "rate_limited", "times": 1, "retry_after": 0},
}


@pytest.mark.parametrize("name", SPOILT)
async def test_each_check_notices_a_service_that_does_otherwise(emulator: EncordEmulator, name: str) -> None:
    """A service that does not do what a check is about gets that verdict."""
    emulator.set_faults([SPOILT[name]])
    finding = by_name(await checked(emulator, write=True))[name]
    assert finding.verdict is OTHERWISE, finding


def another_clock(_: str, reply: RawReply) -> RawReply:
    """A proxy stamps replies with a time of its own."""
    return replace(reply, headers={"Date": "Thu, 01 Jan 1970 00:01:40 GMT"})


def a_limit(_: str, reply: RawReply) -> RawReply:
    """Replies name a limit."""
    return replace(reply, headers={"X-RateLimit-Limit": "100"})


def an_unknown_role(target: str, reply: RawReply) -> RawReply:
    """The caller holds a role in each project that nobody knows."""
    if "/public/projects?" not in target:
        return reply
    return replace(reply, body=re.sub(rb'"userRole": ?0', b'"userRole": 77', reply.body))


class TheSamePageAgain:
    """The second page of a listing shows what the first has shown."""

    def __init__(self) -> None:
        self._first: Any = None

    def __call__(self, target: str, reply: RawReply) -> RawReply:
        """A reply as it arrives."""
        if "/public/ontologies" not in target:
            return reply
        page = json.loads(reply.body)
        self._first = self._first or page
        return replace(reply, body=json.dumps(page | {"results": self._first["results"]}).encode())


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("clock", another_clock),
        ("rate limit", a_limit),
        ("known values", an_unknown_role),
        ("pages", TheSamePageAgain()),
    ],
)
async def test_each_check_notices_replies_that_say_otherwise(emulator: EncordEmulator, name: str, spoil: Spoil) -> None:
    """What replies say of clock, limits, roles and pages is held against what is assumed, and nothing else suffers."""
    found = await checked(emulator, write=True, spoil=spoil)
    assert named(found, OTHERWISE) == {name}


async def test_a_clock_that_is_wrong_is_noticed(emulator: EncordEmulator) -> None:
    """It is said by how much a clock is ahead, though the service refuses what is signed with its time."""
    found = await checked(emulator, off_s=3600)
    assert by_name(found)["clock"].verdict is OTHERWISE
    assert by_name(found)["clock"].seen == "this machine's is 3600 s ahead"
    assert by_name(found)["projects, v2"].verdict is OTHERWISE
    assert not found.key_refused


async def test_after_a_refused_key_nothing_more_is_asked(emulator: EncordEmulator) -> None:
    """Where the key is not accepted one request is enough, and nothing but the clock is told."""
    emulator.set_faults([SPOILT["key"]])
    found = await checked(emulator, write=True)
    assert found.key_refused
    assert named(found, OTHERWISE) == {"key"}
    assert by_name(found)["key"].seen == "AuthenticationError, AUTHENTICATION_ERROR, HTTP 200"
    assert named(found, AS_ASSUMED) == {"clock"}
    assert found.statistics.requests == 1


async def test_where_nobody_answers_nothing_is_claimed(
    emulator: EncordEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy that is down each check says that the service does not answer; that there is one is said."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", f"http://somebody:a-password@127.0.0.1:{free_port()}")
    found = await checked(emulator, write=True, domain="https://encord.invalid")
    assert named(found, OTHERWISE) == {"key"}
    assert named(found, AS_ASSUMED) == set()
    assert (found.proxy, found.certificates.whose, found.key_refused) == (True, "of the system", False)
    assert not [word for word in ("encord.invalid", "a-password", "somebody") if word in str(found.as_json())]


async def test_what_was_made_and_not_answered_is_said_to_be_in_doubt(emulator: EncordEmulator) -> None:
    """A project that may have been made is not made again, and the check-up ends in doubt."""
    emulator.set_faults([{"query": "project.POST", "fault": "drop_after_commit", "times": 1}])
    found = await checked(emulator, write=True)
    assert (found.in_doubt, found.made) == (True, None)
    assert len(emulator.state()["projects"]) == 3
    assert {by_name(found)[name].verdict for name in NEEDS_WRITE - {"read after write"}} == {NOT_TOLD}


async def test_what_the_user_may_not_see_is_not_otherwise(emulator: EncordEmulator) -> None:
    """A listing that is for Admins of the organisation alone says nothing of the service."""
    emulator.set_faults([{"query": LISTED["tags, v2"], "fault": "error", "code": "AUTHORISATION_ERROR"}])
    found = await checked(emulator)
    assert by_name(found)["tags, v2"].verdict is NOT_TOLD
    assert found.is_all_well


# --- what may be sent in an issue -------------------------------------------------------------------------------------


async def test_the_json_names_nobody_and_nothing(emulator: EncordEmulator) -> None:
    """No title, address, hash, key or fingerprint is in it, whatever the service says in its errors."""
    emulator.set_faults([{"query": LISTED["tags, v2"], "fault": "error", "code": "UNKNOWN_ERROR"}])
    found = await checked(emulator, write=True)
    text = str(found.as_json())
    state = emulator.state()
    names = {emulator.user_email, "example.com", "Secret", emulator.url, found.identity, emulator.private_key}
    names |= {project["project_hash"] for project in state["projects"]}
    assert [name for name in names if name in text] == []
    assert found.as_json()["service"] == "this machine"
    assert len(str(found.as_json()["account"])) == 12


def test_only_vendors_and_this_machine_are_named() -> None:
    """An installation of somebody's own is not named in what is sent."""
    assert region("https://api.encord.com") == "Encord's default region"
    assert region("https://api.us.encord.com") == "Encord's US region"
    assert region("https://encord.company.example") is None


def test_every_check_that_can_be_otherwise_is_spoilt_here() -> None:
    """A check that nothing can spoil would claim more than it sees."""
    by_replies = {"pages", "known values", "clock"}
    assert {check.name for check in CHECKS} == set(SPOILT) | by_replies


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("envelope", "v2", "is_whole", "verdict"),
    [
        (["a", "b"], ["b", "a"], True, AS_ASSUMED),
        (["a", "b"], ["a"], False, AS_ASSUMED),
        (["a", "b"], ["a"], True, OTHERWISE),
        (["a"], ["a", "b"], False, OTHERWISE),
        ([], [], True, NOT_TOLD),
    ],
)
def test_listings_agree(envelope: Sequence[str], v2: Sequence[str], *, is_whole: bool, verdict: Verdict) -> None:
    """What one API lists the other does, as far as both were read."""
    assert reads.agreement(envelope, v2, is_whole=is_whole).verdict is verdict


@pytest.mark.parametrize(("pages", "twice", "verdict"), [(1, 0, NOT_TOLD), (2, 0, AS_ASSUMED), (2, 1, OTHERWISE)])
def test_pages_show_a_thing_once(pages: int, twice: int, verdict: Verdict) -> None:
    """A thing on two pages is noticed; one page says nothing of several."""
    assert reads.paging([Read(items=("a", "b"), pages=pages, is_whole=True, twice=twice)]).verdict is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([("1", "Cats")], AS_ASSUMED),
        ([("1", "Cats"), ("2", "Cats")], AS_ASSUMED),
        ([("2", "Cats")], OTHERWISE),
        ([("1", "Cats"), ("2", "Cats and dogs")], OTHERWISE),
    ],
)
def test_a_filter_finds_the_title_and_no_other(found: Sequence[tuple[str, str]], verdict: Verdict) -> None:
    """What is missing is noticed, and what has another title."""
    assert reads.titled("Cats", "1", found).verdict is verdict


def test_unknown_values_are_counted_and_not_shown() -> None:
    """A role that is not known is otherwise; the value itself, which may be any text, is not repeated."""
    known = ("user_role", ProjectUserRole.ADMIN)
    assert reads.values([known, ("status", None)]).verdict is AS_ASSUMED
    assert reads.values([]).verdict is NOT_TOLD
    found = reads.values([known, ("status", "Secret"), ("status", "Secret")])
    assert (found.verdict, dict(found.figures)) == (OTHERWISE, {"status": 2})
    assert "Secret" not in found.text


@pytest.mark.parametrize(
    ("off_s", "verdict"),
    [(None, NOT_TOLD), (0.4, AS_ASSUMED), (-29.0, AS_ASSUMED), (31.0, OTHERWISE), (-31.0, OTHERWISE)],
)
def test_clocks(off_s: float | None, verdict: Verdict) -> None:
    """Either clock may be ahead; no time at all says nothing."""
    assert reads.clocks(off_s).verdict is verdict


def test_the_clock_is_read_off_the_quickest_reply() -> None:
    """A reply that was long on its way says less than one that was not; what is no date is passed over."""
    date = "Thu, 01 Jan 1970 00:01:40 GMT"
    assert reads.clock_off_s([(130.0, date), (101.5, date), (500.0, "soon")]) == 1.0
    assert reads.clock_off_s([(0.0, "soon")]) is None


@pytest.mark.parametrize(
    ("headers", "throttled", "verdict", "shown"),
    [
        ({}, 0, NOT_TOLD, {"requests": 9}),
        ({}, 2, OTHERWISE, {"throttled": 2}),
        ({"x-ratelimit-limit": "100;w=60"}, 0, OTHERWISE, {"x-ratelimit-limit": "100;w=60"}),
        ({"ratelimit": "limit=5, remaining=4, reset=1"}, 0, OTHERWISE, {"ratelimit": "limit=5, remaining=4, reset=1"}),
        ({"ratelimit-policy": "acme=5"}, 0, OTHERWISE, {}),
    ],
)
def test_limits(headers: Mapping[str, str], throttled: int, verdict: Verdict, shown: Mapping[str, object]) -> None:
    """A limit in headers is shown in its numbers, and no name that may stand there."""
    found = reads.limits(headers, requests=9, throttled=throttled)
    assert (found.verdict, dict(found.figures)) == (verdict, shown)


def test_whose_key_it_is() -> None:
    """The user of the key is Admin of all that the account is Admin of; several may be."""
    assert reads.own_addresses([["a", "b"], ["b"]]) == {"b"}
    assert reads.own_addresses([["a", "b"], ["b", "a"]]) == {"a", "b"}
    assert reads.own_addresses([]) == set()


def test_how_soon() -> None:
    """What only one of the listings shows in time is otherwise, with what the other took."""
    assert writes.soon({"envelope": 0.0, "v2": 1.5}, 2).verdict is AS_ASSUMED
    found = writes.soon({"v2": 1.5}, 2)
    assert (found.verdict, dict(found.figures)) == (OTHERWISE, {"v2_s": 1.5})


@pytest.mark.parametrize(("number", "verdict"), [(0, NOT_TOLD), (1, AS_ASSUMED), (2, OTHERWISE)])
def test_what_was_given_twice_is_there_once(number: int, verdict: Verdict) -> None:
    """A second time that is accepted changes nothing; what is listed twice is otherwise."""
    assert writes.once(number, "the dataset").verdict is verdict


@pytest.mark.parametrize(
    ("number", "is_same", "verdict"), [(2, False, AS_ASSUMED), (1, False, NOT_TOLD), (1, True, OTHERWISE)]
)
def test_keys_of_one_title(number: int, *, is_same: bool, verdict: Verdict) -> None:
    """One key that is given twice is otherwise; two that are not listed yet tell nothing."""
    assert writes.side_by_side(number, is_same=is_same).verdict is verdict
