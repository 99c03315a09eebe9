"""A session with REST v2: signs each attempt anew, retries by the one table, follows pages. The network is a fake."""

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from encord_async import errors
from encord_async import operations as rest
from encord_async.protocol.catalogue import Effect
from encord_async.protocol.reply import RawReply
from encord_async.protocol.rest import rest_request
from encord_async.protocol.signing import APIKey, BearerToken, Credential, SSHKey
from encord_async.session.session import Session
from encord_async.session.settings import RetryPolicy, Settings, Timeouts
from tests.virtual import SkippingClock

KEY = SSHKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
READ = rest.GetProjectV2(project_hash="p")
SET = rest.RemoveProjectUsers(project_hash="p", emails=("a@example.com",))
CREATE = rest.CreateDatasetV2(title="Cats")
USERS = rest.ListProjectUsers(project_hash="p")
PROJECT = {"projectHash": "p", "title": "Cats"}


@dataclass(frozen=True)
class Sent:
    """A request as the transport was given it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float | None


@dataclass
class Network:
    """Gives the replies in turn."""

    replies: list[RawReply | errors.EncordError] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def reply(self, content: object = None, *, status: int = 200, **headers: str) -> "Network":
        """Let the next request be answered so."""
        body = b"" if status == 204 else json.dumps(content).encode()
        self.replies.append(RawReply(status, {name.replace("_", "-"): text for name, text in headers.items()}, body))
        return self

    def fail(self, error: errors.EncordError) -> "Network":
        """Let the next request end so."""
        self.replies.append(error)
        return self

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
        """Note the request and answer it."""
        self.sent.append(Sent(method, target, headers, body, timeout_s))
        reply = self.replies.pop(0)
        if isinstance(reply, errors.EncordError):
            raise reply
        return reply

    async def aclose(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def network() -> Network:
    """The network of the test."""
    return Network()


@pytest.fixture
def clock() -> SkippingClock:
    """The time of the test."""
    return SkippingClock(1_700_000_000.75)


@asynccontextmanager
async def opened(
    network: Network, clock: SkippingClock, credential: Credential = KEY, **settings: Any
) -> AsyncIterator[Session]:
    """A session on that network."""
    made = Settings(retry=RetryPolicy(max_attempts=3), **settings)
    session = Session(credential, made, transport=lambda _: network, clock=clock, chance=random.Random(1))
    async with session:
        yield session


async def test_a_request_carries_its_signature_and_a_trace(network: Network, clock: SkippingClock) -> None:
    """Method, target and body are the operation's, the signature is of this second, and no Authorization is sent."""
    network.reply({"datasetUuid": "d"})
    async with opened(network, clock) as session:
        assert (await session.execute(CREATE)).dataset_uuid == "d"
    (sent,) = network.sent
    request = CREATE.request()
    assert (sent.method, sent.target, sent.body) == ("POST", request.target, request.body)
    trace = sent.headers["X-Cloud-Trace-Context"]
    expected = request.authentication(KEY, created_s=1_700_000_000) | {"X-Cloud-Trace-Context": trace}
    assert sent.headers == expected
    assert sent.timeout_s == Timeouts().attempt_s


async def test_a_bearer_token_is_sent_as_such(network: Network, clock: SkippingClock) -> None:
    """A session with a token signs nothing."""
    network.reply(PROJECT)
    async with opened(network, clock, BearerToken("t0ken")) as session:
        await session.execute(READ)
    assert network.sent[0].headers["Authorization"] == "Bearer t0ken"
    assert "Signature" not in network.sent[0].headers


@pytest.mark.parametrize("of_session", [False, True])
async def test_api_keys_are_refused_before_anything_is_sent(
    network: Network, clock: SkippingClock, of_session: bool
) -> None:
    """REST v2 never took the key of a project, neither as a session's credential nor for one call."""
    key = APIKey("project-key")
    async with opened(network, clock, key if of_session else KEY) as session:
        with pytest.raises(errors.UsageError, match="not open to API keys"):
            await session.execute(READ, api_key=None if of_session else key)
        with pytest.raises(errors.UsageError, match="not open to API keys"):
            await session.collect(USERS, api_key=None if of_session else key)
    assert network.sent == []
    assert session.statistics().requests == 0


async def test_each_attempt_is_signed_anew(network: Network, clock: SkippingClock) -> None:
    """After a wait the signature is of the new time; body and trace are those of before."""
    network.reply(status=429, Retry_After="50").reply(status=503, Retry_After="5").reply(PROJECT)
    async with opened(network, clock) as session:
        assert (await session.execute(READ)).title == "Cats"
        assert (session.statistics().requests, session.statistics().retries, session.statistics().throttled) == (
            3,
            1,
            1,
        )
    created = [int(sent.headers["Signature-Input"].partition("created=")[2].partition(";")[0]) for sent in network.sent]
    assert created[0] == 1_700_000_000
    assert created[1] >= created[0] + 50
    assert created[2] >= created[1] + 5
    assert len({sent.headers["X-Cloud-Trace-Context"] for sent in network.sent}) == 1


@pytest.mark.parametrize(
    ("operation", "failure", "attempts"),
    [
        (READ, errors.NoReplyError("lost"), 3),
        (SET, errors.NoReplyError("lost"), 3),
        (CREATE, errors.NoReplyError("lost"), 1),
        (CREATE, errors.UnreadableReplyError("cut"), 1),
        (CREATE, errors.NotSentError("no connection"), 3),
    ],
)
async def test_faults_are_retried_by_the_one_table(
    network: Network,
    clock: SkippingClock,
    operation: rest.RestOperation[Any],
    failure: errors.EncordError,
    attempts: int,
) -> None:
    """Reads and sets are sent again; a create only if it surely did not leave."""
    for _ in range(3):
        network.fail(failure)
    async with opened(network, clock) as session:
        with pytest.raises(type(failure)) as caught:
            await session.execute(operation)
    assert len(network.sent) == attempts
    assert caught.value.operation == operation.call.name


async def test_a_server_error_leaves_a_create_in_doubt(network: Network, clock: SkippingClock) -> None:
    """A dataset may have been made by a request that ended in HTTP 502: it is not sent again, and said so."""
    network.reply(status=502)
    async with opened(network, clock) as session:
        with pytest.raises(errors.ServiceFaultError) as caught:
            await session.execute(CREATE)
    assert caught.value.applied == "unknown"
    assert len(network.sent) == 1


@pytest.mark.parametrize("status", [204, 200])
async def test_success_without_content(network: Network, clock: SkippingClock, status: int) -> None:
    """HTTP 204, and 200 with null, are as good for what has no result."""
    network.reply(status=status)
    async with opened(network, clock) as session:
        await session.execute(SET)


async def test_a_shape_that_is_not_understood_names_the_trace(network: Network, clock: SkippingClock) -> None:
    """An answer of another shape says that it was done, and under which trace support finds it."""
    network.reply({"other": 1})
    async with opened(network, clock) as session:
        with pytest.raises(errors.ReplyShapeError) as caught:
            await session.execute(CREATE)
    assert caught.value.trace_id is not None
    assert network.sent[0].headers["X-Cloud-Trace-Context"].startswith(caught.value.trace_id)


async def test_being_there_already_can_be_a_success(network: Network, clock: SkippingClock) -> None:
    """HTTP 409 for a member of the organisation is no failure; for a tag's name it is."""
    network.reply({"message": "member"}, status=409).reply({"message": "taken"}, status=409).reply()
    async with opened(network, clock) as session:
        assert await session.execute(rest.AddOrganisationUser(email="a@example.com")) is False
        with pytest.raises(errors.ExistsError, match="taken"):
            await session.execute(rest.CreateTag(name="q1"))
        assert await session.execute(rest.AddOrganisationUser(email="b@example.com")) is True


def _page(*emails: str, token: str | None = None) -> dict[str, object]:
    found: dict[str, object] = {"results": [{"userEmail": email, "userRole": 1} for email in emails]}
    return found | ({} if token is None else {"nextPageToken": token})


async def test_pages_are_followed_to_the_end(network: Network, clock: SkippingClock) -> None:
    """All users of all pages come back in order, each page asked for once; an empty page is not the end."""
    network.reply(_page("a", "b", token="1")).reply(_page(token="2")).reply(_page("c"))
    async with opened(network, clock) as session:
        users = await session.collect(USERS)
    assert [user.user_email for user in users] == ["a", "b", "c"]
    root = "/v2/public/projects/p/users"
    assert [sent.target for sent in network.sent] == [root, f"{root}?pageToken=1", f"{root}?pageToken=2"]


async def test_pages_are_asked_for_as_they_are_needed(network: Network, clock: SkippingClock) -> None:
    """Who stops at the first page has sent one request, and the session goes on."""
    network.reply(_page("a", token="1")).reply(PROJECT)
    async with opened(network, clock) as session:
        async for page in session.pages(USERS):
            assert page.results[0].user_email == "a"
            break
        await session.execute(READ)
    assert len(network.sent) == 2


async def test_a_page_that_fails_is_tried_again_by_itself(network: Network, clock: SkippingClock) -> None:
    """A fault on the second page does not begin the listing anew."""
    network.reply(_page("a", token="1")).fail(errors.NoReplyError("lost")).reply(_page("b"))
    async with opened(network, clock) as session:
        assert len(await session.collect(USERS)) == 2
    assert [sent.target.partition("?")[2] for sent in network.sent] == ["", "pageToken=1", "pageToken=1"]


async def test_a_page_that_shifts_shows_a_thing_once(network: Network, clock: SkippingClock) -> None:
    """What was pushed onto the next page by something new, and what stands twice on one, is one thing."""
    network.reply(_page("a", "a", "b", token="1")).reply(_page("b", "c"))
    async with opened(network, clock) as session:
        users = await session.collect(USERS)
    assert [user.user_email for user in users] == ["a", "b", "c"]


async def test_pages_that_lead_in_a_circle_are_an_error(network: Network, clock: SkippingClock) -> None:
    """A page that leads back to an earlier one ends the listing, however long the circle."""
    for number in range(1, 9):
        network.reply(_page(str(number), token=str(number % 4 + 1)))
    async with opened(network, clock) as session:
        with pytest.raises(errors.ReplyShapeError, match="does not end"):
            await session.collect(USERS)
    assert len(network.sent) == 5


async def test_pages_without_end_are_an_error(network: Network, clock: SkippingClock) -> None:
    """Ever new tokens for ever the same are not followed for ever."""
    for number in range(200):
        network.reply(_page("a", token=str(number)))
    async with opened(network, clock) as session:
        with pytest.raises(errors.ReplyShapeError, match="does not end"):
            await session.collect(USERS)


async def test_a_page_that_leads_to_itself_is_an_error(network: Network, clock: SkippingClock) -> None:
    """A service that never ends its listing does not keep us for ever."""
    network.reply(_page("a", token="1")).reply(_page("a", token="1"))
    async with opened(network, clock) as session:
        with pytest.raises(errors.ReplyShapeError, match="does not end"):
            await session.collect(USERS)


@pytest.mark.parametrize(("content", "status"), [({"x": 1}, 200), (None, 204)])
async def test_calls_without_an_operation(network: Network, clock: SkippingClock, content: object, status: int) -> None:
    """The untyped way sends what is given and returns what came."""
    network.reply(content, status=status)
    async with opened(network, clock) as session:
        request = rest_request("POST", "/storage/folders", body={"name": "f"})
        assert await session.send(request) == content
    assert (network.sent[0].method, network.sent[0].target) == ("POST", "/v2/public/storage/folders")


@pytest.mark.parametrize(("effect", "attempts"), [(None, 1), (Effect.SET, 2)])
async def test_an_untyped_call_is_repeated_only_if_the_caller_says_so(
    network: Network, clock: SkippingClock, effect: Effect | None, attempts: int
) -> None:
    """What nobody vouches for is never sent twice."""
    network.fail(errors.NoReplyError("lost")).reply({})
    async with opened(network, clock) as session:
        sending = session.send(rest_request("POST", "/storage/folders", effect=effect))
        if effect is None:
            with pytest.raises(errors.NoReplyError):
                await sending
        else:
            await sending
    assert len(network.sent) == attempts


@pytest.mark.parametrize("attempt", [READ, CREATE], ids=["read", "create"])
async def test_a_deadline_bounds_all_attempts(
    network: Network, clock: SkippingClock, attempt: rest.RestOperation[Any]
) -> None:
    """A wait that the service asks for and that is longer than the operation may last is not begun."""
    network.reply(status=429, Retry_After="100")
    async with opened(network, clock, timeouts=Timeouts(operation_s=50)) as session:
        with pytest.raises(errors.ThrottledError):
            await session.execute(attempt)
    assert network.sent[0].timeout_s == 50
