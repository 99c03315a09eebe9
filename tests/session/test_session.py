"""A session signs, sends, retries and judges; the network is played by aioresponses, time by a clock of ours."""

import hashlib
import json
import platform
import random
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from importlib.metadata import version
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from yarl import URL

from encord_async import errors
from encord_async import operations as ops
from encord_async.protocol.catalogue import Effect, Endpoint, ProjectUserRole, ResourceType
from encord_async.protocol.envelope import Envelope, envelope
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import APIKey, BearerToken, Credential, SSHKey
from encord_async.session.session import Session, Statistics
from encord_async.session.settings import RetryPolicy, Settings, Timeouts
from encord_async.session.transport import AiohttpTransport, Transport
from encord_async.session.turn import Turn
from tests.virtual import SkippingClock

USER_URL = "https://api.encord.com/public/user"
RESOURCE_URL = "https://api.encord.com/public"
PROJECT = "11111111-2222-3333-4444-555555555555"
KEY = SSHKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))

CREATE = ops.CreateProject(title="Cats")
READ = ops.ListProjects()
ATTACH = ops.AddDatasets(project_hash=PROJECT, dataset_hashes=("d1",))


class Response(aiohttp.ClientResponse):
    """What aioresponses 0.7 builds, with the argument that aiohttp asks for since 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **kwargs)


@dataclass(frozen=True)
class Sent:
    """A request as it went out."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Network:
    """The service's replies in turn, and what was sent for them."""

    def __init__(self, replies: aioresponses) -> None:
        self._replies = replies
        self.sent: list[Sent] = []
        self.timeouts_s: list[float | None] = []
        """Of the requests of sessions with `transport`."""

    def transport(self, settings: Settings) -> Transport:
        """The real one, which notes how long each request may take."""
        noted = self.timeouts_s

        class Noting(AiohttpTransport):
            def request(
                self,
                method: str,
                target: str,
                headers: Mapping[str, str],
                body: bytes,
                *,
                timeout_s: float | None,
                turn: Turn | None = None,
            ) -> Coroutine[Any, Any, RawReply]:
                noted.append(timeout_s)
                return super().request(method, target, headers, body, timeout_s=timeout_s, turn=turn)

        return Noting(settings, headers={})

    def reply(
        self,
        response: object = None,
        *,
        status: int = 200,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        url: str = USER_URL,
        clock: SkippingClock | None = None,
        takes_s: float = 0.0,
    ) -> None:
        """Let the next request to *url* be answered so: an envelope with *response*, or *body* as it is."""

        def note(url: URL, **options: Any) -> None:
            self.sent.append(Sent(str(url), options["headers"], options["data"].decode().encode()))
            assert options["allow_redirects"] is False
            if clock is not None:
                clock.now_s += takes_s

        self._replies.post(
            url,
            status=status,
            body=json.dumps({"status": 200, "response": response}) if body is None else body,
            headers=dict(headers or {}),
            response_class=Response,
            callback=note,
        )

    def fail(self, error: Exception, *, url: str = USER_URL) -> None:
        """Let the next request to *url* end in an error of the network."""

        def note(url: URL, **options: Any) -> None:
            self.sent.append(Sent(str(url), options["headers"], options["data"].decode().encode()))

        self._replies.post(url, exception=error, callback=note)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network that answers what the test says and nothing else."""
    with aioresponses() as replies:
        yield Network(replies)


@pytest.fixture
def clock() -> SkippingClock:
    """A clock of the test's own."""
    return SkippingClock()


class Middle(random.Random):
    """Chance without chance: always the middle."""

    def random(self) -> float:
        """One half."""
        return 0.5


def session(
    clock: SkippingClock,
    credential: Credential = KEY,
    settings: Settings | None = None,
    transport: Callable[[Settings], Transport] | None = None,
) -> Session:
    """A session on the fake clock, with waits that are half of the longest."""
    return Session(credential, settings, clock=clock, chance=Middle(7), transport=transport)


def failure(code: str, *, payload: object = None, status: int = 400) -> str:
    """An envelope that says no."""
    return json.dumps({"status": status, "response": [code], "payload": payload})


# --- what goes out ---------------------------------------------------------------------------------------------------


async def test_body_and_signature_are_exact(network: Network, clock: SkippingClock) -> None:
    """The very bytes that were signed are posted, and the signature verifies against them."""
    network.reply("hash-1")
    async with session(clock) as opened:
        assert await opened.execute(CREATE) == "hash-1"
    [sent] = network.sent
    assert sent.url == USER_URL
    assert sent.body == CREATE.request().body
    assert sent.body.startswith(
        b'{"query_type": "project", "query_method": "POST", "values": {"uid": null, "payload": '
    )
    public_hex, signature_hex = sent.headers["Authorization"].split(":")
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
    public.verify(bytes.fromhex(signature_hex), hashlib.sha256(sent.body).digest())


async def test_user_call_has_no_resource_headers(network: Network, clock: SkippingClock) -> None:
    """A call that is about no resource names none."""
    network.reply("hash-1")
    async with session(clock) as opened:
        await opened.execute(CREATE)
    assert not {"ResourceID", "ResourceType"} & set(network.sent[0].headers)


async def test_resource_call_names_type_and_hash(network: Network, clock: SkippingClock) -> None:
    """Signed calls about a project say so in two headers, as the official SDK does."""
    network.reply(True, url=RESOURCE_URL)
    async with session(clock) as opened:
        await opened.execute(ATTACH)
    [sent] = network.sent
    assert sent.url == RESOURCE_URL
    assert (sent.headers["ResourceID"], sent.headers["ResourceType"]) == (PROJECT, "project")


async def test_api_key_goes_verbatim_and_without_type(network: Network, clock: SkippingClock) -> None:
    """A project's API key stands alone in Authorization; the service deduces the type from it."""
    network.reply(True, url=RESOURCE_URL)
    async with session(clock) as opened:
        await opened.execute(ATTACH, api_key=APIKey("0-1aAB_key"))
    [sent] = network.sent
    assert sent.headers["Authorization"] == "0-1aAB_key"
    assert sent.headers["ResourceID"] == PROJECT
    assert "ResourceType" not in sent.headers


async def test_bearer_token(network: Network, clock: SkippingClock) -> None:
    """A bearer token goes with its scheme word and with both resource headers."""
    network.reply(True, url=RESOURCE_URL)
    async with session(clock, BearerToken("t0ken")) as opened:
        await opened.execute(ATTACH)
    [sent] = network.sent
    assert sent.headers["Authorization"] == "Bearer t0ken"
    assert sent.headers["ResourceType"] == "project"


async def test_trace_id_has_the_form_that_support_expects(network: Network, clock: SkippingClock) -> None:
    """Each operation has a trace id of its own, 32 hex digits and a constant span."""
    network.reply("a")
    network.reply("b")
    async with session(clock) as opened:
        await opened.execute(CREATE)
        await opened.execute(CREATE)
    traces = [sent.headers["X-Cloud-Trace-Context"] for sent in network.sent]
    assert all(re.fullmatch(r"[0-9a-f]{32}/1;o=1", trace) for trace in traces)
    assert traces[0] != traces[1]


async def test_retry_is_the_same_request(network: Network, clock: SkippingClock) -> None:
    """A second attempt equals the first in body, signature and trace id."""
    network.reply(status=502, body="<html>")
    network.reply([])
    async with session(clock) as opened:
        assert await opened.execute(READ) == ()
    first, second = network.sent
    assert (first.body, dict(first.headers)) == (second.body, dict(second.headers))


async def test_hash_cannot_forge_headers(network: Network, clock: SkippingClock) -> None:
    """A hash with a line break in it is refused before anything is sent, and not repeated in the message."""
    async with session(clock) as opened:
        with pytest.raises(errors.UsageError, match="check it") as caught:
            await opened.execute(ops.GetProject(project_hash="x\r\nAuthorization: evil"))
    assert "evil" not in str(caught.value)
    assert network.sent == []


async def test_api_key_for_a_user_call_is_refused(network: Network, clock: SkippingClock) -> None:
    """Calls that no API key may make are not sent with one."""
    async with session(clock) as opened:
        with pytest.raises(errors.UsageError, match="not open to API keys"):
            await opened.execute(CREATE, api_key=APIKey("k"))
    assert network.sent == []


async def test_resource_call_without_a_hash_is_refused(network: Network, clock: SkippingClock) -> None:
    """An untyped call about a resource has to name it."""
    bare = envelope("labelrowmetadata", "GET", endpoint=Endpoint.RESOURCE)
    async with session(clock) as opened:
        with pytest.raises(errors.UsageError, match="give its hash"):
            await opened.send(bare)
    assert network.sent == []


async def test_untyped_call(network: Network, clock: SkippingClock) -> None:
    """`send` returns the ``response`` member as it came, whatever it is."""
    network.reply([{"label_hash": "l"}], url=RESOURCE_URL)
    call = envelope(
        "labelrowmetadata",
        "GET",
        endpoint=Endpoint.RESOURCE,
        payload={"get_signed_url": False},
        resource_type=ResourceType.PROJECT,
        resource_id=PROJECT,
    )
    async with session(clock) as opened:
        assert await opened.send(call) == [{"label_hash": "l"}]
    assert json.loads(network.sent[0].body)["values"] == {"uid": None, "payload": {"get_signed_url": False}}


async def test_untyped_call_of_unknown_effect_counts_as_create(network: Network, clock: SkippingClock) -> None:
    """What the catalogue does not know is never sent twice, unless the caller says that it may be."""
    network.reply(status=500, body="")
    network.reply(status=500, body="")
    network.reply("done")
    unknown: Envelope = envelope("brandnew", "POST", endpoint=Endpoint.USER)
    known = envelope("brandnew", "POST", endpoint=Endpoint.USER, effect=Effect.SET)
    async with session(clock) as opened:
        with pytest.raises(errors.ServiceFaultError):
            await opened.send(unknown)
        assert len(network.sent) == 1
        assert await opened.send(known) == "done"


# --- throttling and faults -------------------------------------------------------------------------------------------


async def test_throttled_with_seconds(network: Network, clock: SkippingClock) -> None:
    """A 429 that says when is waited out, a twentieth longer in the middle, and a create goes on after it."""
    network.reply(status=429, body="", headers={"Retry-After": "2"})
    network.reply("hash-1")
    async with session(clock) as opened:
        assert await opened.execute(CREATE) == "hash-1"
        assert replace(opened.statistics(), rate_per_s=None) == Statistics(requests=2, throttled=1)
    assert clock.waits == [pytest.approx(2.1)]


async def test_throttled_with_a_date(network: Network, clock: SkippingClock) -> None:
    """A date in Retry-After is understood on the session's own clock."""
    network.reply(status=429, body="", headers={"Retry-After": formatdate(clock.now_s + 10, usegmt=True)})
    network.reply("hash-1")
    async with session(clock) as opened:
        await opened.execute(CREATE)
    assert clock.waits == [pytest.approx(10.5)]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("text", ["86400", "Thu, 01 Jan 2099 00:00:00 GMT"])
async def test_service_that_asks_for_a_day_is_asked_again_soon(
    network: Network, clock: SkippingClock, text: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Five times "tomorrow" take five minutes and not five days, and the user is told once what was asked for."""
    for _ in range(5):
        network.reply(status=status, body="", headers={"Retry-After": text})
    network.reply([])
    async with session(clock) as opened:
        assert await opened.execute(READ) == ()
    assert sum(clock.waits) <= 5 * 66
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["the service asks to wait 86400 s before the next try; it is asked again after 60 s"]


async def test_throttled_in_the_envelope(network: Network, clock: SkippingClock) -> None:
    """A rate limit that comes with HTTP 200 is one all the same; the pacer may add a moment to the back-off."""
    for _ in range(3):
        network.reply(body=failure("RATE_LIMIT_ERROR"))
    network.reply("hash-1")
    async with session(clock) as opened:
        assert await opened.execute(CREATE) == "hash-1"
        assert replace(opened.statistics(), rate_per_s=None) == Statistics(requests=4, throttled=3)
    assert [wait_s for wait_s in clock.waits if wait_s > 0.1] == [0.25, 0.5, 1.0]


async def test_throttling_outlasts_the_attempts_of_the_policy(network: Network, clock: SkippingClock) -> None:
    """Fifty times 429 fail nothing, although faults may be met only twice."""
    for _ in range(50):
        network.reply(status=429, body="", headers={"Retry-After": "1"})
    network.reply(status=503, body="")
    network.reply([])
    settings = Settings(retry=RetryPolicy(max_attempts=2))
    async with session(clock, settings=settings) as opened:
        assert await opened.execute(READ) == ()
        assert replace(opened.statistics(), rate_per_s=None) == Statistics(requests=52, retries=1, throttled=50)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_read_is_retried_after_a_breakdown(network: Network, clock: SkippingClock, status: int) -> None:
    """A proxy's error page does not fail a read."""
    network.reply(status=status, body="<html>Bad Gateway</html>")
    network.reply([])
    async with session(clock) as opened:
        assert await opened.execute(READ) == ()
        assert opened.statistics() == Statistics(requests=2, retries=1)


@pytest.mark.parametrize("operation", [READ, ATTACH], ids=["read", "set"])
async def test_lost_connection_is_retried_where_it_is_harmless(
    network: Network, clock: SkippingClock, operation: ops.Operation[object]
) -> None:
    """Reads and idempotent changes survive a lost connection."""
    url = RESOURCE_URL if operation is ATTACH else USER_URL
    network.fail(aiohttp.ServerDisconnectedError(), url=url)
    network.fail(TimeoutError(), url=url)
    network.reply(True if operation is ATTACH else [], url=url)
    async with session(clock) as opened:
        await opened.execute(operation)
        assert opened.statistics() == Statistics(requests=3, retries=2)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, "<html>Bad Gateway</html>", errors.ServiceFaultError),
        (400, failure("UNKNOWN_ERROR"), errors.ServiceFaultError),
        (200, "", errors.UnreadableReplyError),
        (200, '{"status": 200, "resp', errors.UnreadableReplyError),
        (200, "<html>", errors.UnreadableReplyError),
        (200, '{"status": true, "response": "x"}', errors.UnreadableReplyError),
    ],
)
async def test_create_of_unknown_outcome_is_sent_once(
    network: Network, clock: SkippingClock, status: int, body: str, kind: type[errors.UncertainError]
) -> None:
    """A create that may have happened raises the error that says so, after exactly one request."""
    network.reply(status=status, body=body)
    async with session(clock) as opened:
        with pytest.raises(kind) as caught:
            await opened.execute(CREATE)
    assert caught.value.applied == "unknown"
    assert len(network.sent) == 1
    assert clock.waits == []


async def test_create_is_repeated_when_nothing_was_sent(network: Network, clock: SkippingClock) -> None:
    """Without a connection nothing can have happened, so even a create tries again."""
    network.fail(aiohttp.ConnectionTimeoutError())
    network.reply("hash-1")
    async with session(clock) as opened:
        assert await opened.execute(CREATE) == "hash-1"


async def test_faults_are_bounded(network: Network, clock: SkippingClock) -> None:
    """A service that stays down fails the operation after the attempts of the policy."""
    for _ in range(6):
        network.reply(status=503, body="")
    async with session(clock) as opened:
        with pytest.raises(errors.ServiceFaultError) as caught:
            await opened.execute(READ)
        assert opened.statistics() == Statistics(requests=6, retries=5)
    assert caught.value.http_status == 503
    assert clock.waits == [0.25, 0.5, 1.0, 2.0, 4.0]


async def test_outage_is_waited_out_and_then_told(network: Network, clock: SkippingClock) -> None:
    """An operation waits for a service that worked before, longer than its attempts, then has the service's error; one
    asked for later is told at once that nothing was sent."""
    network.reply([])
    for _ in range(100):
        network.reply(status=503, body="")
    settings = Settings(concurrency=1, retry=RetryPolicy(max_attempts=5, outage_s=60.0))
    async with session(clock, settings=settings) as opened:
        await opened.execute(READ)
        began_s = clock.now_s
        with pytest.raises(errors.ServiceFaultError):
            await opened.execute(READ)
        assert opened.statistics().outage
        assert 60 <= clock.now_s - began_s <= 70
        sent = len(network.sent)
        assert sent > 10
        with pytest.raises(errors.NotSentError, match="not answered for a long time"):
            await opened.execute(CREATE)
        assert len(network.sent) == sent


async def test_operations_go_on_after_an_outage(network: Network, clock: SkippingClock) -> None:
    """A read that would have failed by its attempts has its result when the service is back in time."""
    network.reply([])
    for _ in range(12):
        network.reply(status=503, body="")
    network.reply([])
    settings = Settings(concurrency=1, retry=RetryPolicy(max_attempts=5))
    async with session(clock, settings=settings) as opened:
        await opened.execute(READ)
        assert await opened.execute(READ) == ()
        assert opened.statistics() == Statistics(requests=14, retries=12)


async def test_user_rate_is_kept(network: Network, clock: SkippingClock) -> None:
    """With a rate of 2/s the second request waits half a second, and the rate is shown."""
    network.reply([])
    network.reply([])
    async with session(clock, settings=Settings(max_rate_per_s=2.0)) as opened:
        await opened.execute(READ)
        await opened.execute(READ)
        assert opened.statistics().rate_per_s == 2.0
    assert sum(clock.waits) == pytest.approx(0.5, abs=0.021)


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, failure("AUTHENTICATION_ERROR"), errors.AuthenticationError, "AUTHENTICATION_ERROR"),
        (400, failure("SSH_KEY_NOT_FOUND_ERROR"), errors.AuthenticationError, "SSH_KEY_NOT_FOUND_ERROR"),
        (401, "", errors.AuthenticationError, None),
        (403, "<html>", errors.ForbiddenError, None),
        (200, failure("AUTHORISATION_ERROR"), errors.ForbiddenError, "AUTHORISATION_ERROR"),
        (200, failure("RESOURCE_NOT_FOUND_ERROR"), errors.NotFoundError, "RESOURCE_NOT_FOUND_ERROR"),
        (200, failure("RESOURCE_EXISTS_ERROR"), errors.ExistsError, "RESOURCE_EXISTS_ERROR"),
        (400, failure("INVALID_ARGUMENTS_ERROR"), errors.InvalidArgumentsError, "INVALID_ARGUMENTS_ERROR"),
        (413, "<html>", errors.PayloadTooLargeError, None),
        (200, failure("SOMETHING_NEW"), errors.RefusedError, "SOMETHING_NEW"),
    ],
)
async def test_refusals_are_final_and_carry_their_facts(
    network: Network, clock: SkippingClock, status: int, body: str, kind: type[errors.RefusedError], code: str | None
) -> None:
    """A no of the service is not asked again; its error has code, HTTP status, trace id and the call's name."""
    network.reply(status=status, body=body)
    async with session(clock) as opened:
        with pytest.raises(kind) as caught:
            await opened.execute(CREATE)
    error = caught.value
    [sent] = network.sent
    assert type(error) is kind
    assert (error.code, error.http_status, error.operation) == (code, status, "project.POST")
    assert f"{error.trace_id}/1;o=1" == sent.headers["X-Cloud-Trace-Context"]
    assert error.trace_id is not None
    assert error.trace_id in str(error)
    assert error.applied == "not_applied"


async def test_redirect_is_not_followed(network: Network, clock: SkippingClock) -> None:
    """A redirect could carry the signature to another host; it ends the operation."""
    network.reply(status=307, body="", headers={"Location": "https://evil.example/public/user"})
    async with session(clock) as opened:
        with pytest.raises(errors.RefusedError, match="not followed"):
            await opened.execute(CREATE)
    assert len(network.sent) == 1


async def test_misshapen_success_says_that_it_was_done(network: Network, clock: SkippingClock) -> None:
    """Success in an unknown shape is an error that says "applied" and still names the request for support."""
    network.reply({"not": "a hash"})
    async with session(clock) as opened:
        with pytest.raises(errors.ReplyShapeError) as caught:
            await opened.execute(CREATE)
    error = caught.value
    assert (error.applied, error.operation) == ("applied", "project.POST")
    assert f"{error.trace_id}/1;o=1" == network.sent[0].headers["X-Cloud-Trace-Context"]


async def test_misshapen_answer_to_a_read_is_asked_for_once_more(network: Network, clock: SkippingClock) -> None:
    """It may be that to another request; one that comes again is the service's own, and a create is not repeated."""
    network.reply("another's")
    network.reply([])
    network.reply("no list")
    network.reply("no list")
    async with session(clock) as opened:
        assert await opened.execute(READ) == ()
        assert opened.statistics().retries == 1
        with pytest.raises(errors.ReplyShapeError):
            await opened.execute(READ)
    assert len(network.sent) == 4


async def test_network_error_carries_trace_and_operation(network: Network, clock: SkippingClock) -> None:
    """Errors without a reply name the call and its trace id as well."""
    network.fail(aiohttp.ServerDisconnectedError())
    async with session(clock) as opened:
        with pytest.raises(errors.NoReplyError) as caught:
            await opened.execute(CREATE)
    assert caught.value.operation == "project.POST"
    assert f"{caught.value.trace_id}/1;o=1" == network.sent[0].headers["X-Cloud-Trace-Context"]


async def test_role_of_an_old_member_is_reported(network: Network, clock: SkippingClock) -> None:
    """The result shows the role that a member holds, which is not always the one asked for."""
    member = {"user_email": "ann@example.com", "user_role": 0, "project_hash": PROJECT}
    network.reply([member], url=RESOURCE_URL)
    operation = ops.AddProjectUsers(project_hash=PROJECT, emails=("ann@example.com",), role=ProjectUserRole.REVIEWER)
    async with session(clock) as opened:
        [user] = await opened.execute(operation)
    assert user.user_role is ProjectUserRole.ADMIN


# --- deadlines -------------------------------------------------------------------------------------------------------


def limited(**timeouts: float | None) -> Settings:
    """Settings with these time-outs."""
    return Settings(timeouts=Timeouts(**timeouts))


async def test_attempt_gets_what_is_left_of_the_operation(network: Network, clock: SkippingClock) -> None:
    """An attempt may take its own time-out or what the operation has left, whichever is less."""
    network.reply(status=503, body="", clock=clock, takes_s=95.0)
    network.reply([])
    settings = limited(attempt_s=60.0, operation_s=100.0)
    async with session(clock, settings=settings, transport=network.transport) as opened:
        await opened.execute(READ)
    assert network.timeouts_s == [60.0, pytest.approx(100.0 - 95.0 - 0.25)]


async def test_no_wait_reaches_into_the_deadline(network: Network, clock: SkippingClock) -> None:
    """When the service asks for more patience than the operation has, the error comes at once."""
    network.reply(status=429, body="", headers={"Retry-After": "60"})
    async with session(clock, settings=limited(operation_s=30.0)) as opened:
        with pytest.raises(errors.ThrottledError) as caught:
            await opened.execute(CREATE)
    assert caught.value.retry_after_s == 60.0
    assert clock.waits == []


async def test_deadline_is_the_operations_and_not_the_sessions(network: Network, clock: SkippingClock) -> None:
    """Time that passed before an operation does not count against it."""
    network.reply("a", clock=clock, takes_s=25.0)
    network.reply("b", clock=clock, takes_s=25.0)
    async with session(clock, settings=limited(operation_s=30.0)) as opened:
        assert await opened.execute(CREATE) == "a"
        assert await opened.execute(CREATE) == "b"


async def test_without_a_deadline_attempts_have_their_own_timeout(network: Network, clock: SkippingClock) -> None:
    """No operation deadline leaves the attempt's, and that can be switched off as well."""
    network.reply([])
    network.reply([])
    async with session(clock, transport=network.transport) as opened:
        await opened.execute(READ)
    async with session(clock, settings=limited(attempt_s=None), transport=network.transport) as opened:
        await opened.execute(READ)
    assert network.timeouts_s == [180.0, None]


# --- opening and closing ---------------------------------------------------------------------------------------------


async def test_fixed_headers(network: Network, clock: SkippingClock) -> None:
    """Requests say what they hold and want, and who sends: product, interpreter and the caller's suffix."""
    network.reply("hash-1")
    async with session(clock, settings=Settings(user_agent_suffix="my-tool/1.2")) as opened:
        await opened.execute(CREATE)
    headers = network.sent[0].headers
    assert (headers["Content-Type"], headers["Accept"]) == ("application/json", "application/json")
    product = f"encord-async/{version('encord-async')} python/{platform.python_version()}"
    assert headers["User-Agent"] == f"{product} my-tool/1.2"


async def test_session_must_be_open(clock: SkippingClock) -> None:
    """Using a session outside of ``async with`` is explained, and leaves no slot taken."""
    closed = session(clock)
    with pytest.raises(errors.UsageError, match="async with"):
        await closed.execute(CREATE)
    assert closed.statistics() == Statistics()


async def test_session_is_opened_once(clock: SkippingClock) -> None:
    """Entering an open session again would lose its connections, and is refused."""
    async with session(clock) as opened:
        with pytest.raises(errors.UsageError, match="open already"):
            await opened.__aenter__()


async def test_session_can_be_opened_again(network: Network, clock: SkippingClock) -> None:
    """A closed session opens anew and goes on counting."""
    network.reply("a")
    network.reply("b")
    one = session(clock)
    async with one:
        await one.execute(CREATE)
    async with one:
        await one.execute(CREATE)
    assert one.statistics().requests == 2


async def test_closing_twice_is_harmless(clock: SkippingClock) -> None:
    """`aclose` inside ``async with`` does not hurt."""
    async with session(clock) as opened:
        await opened.aclose()
        await opened.aclose()


async def test_repr_and_identity_name_the_account(clock: SkippingClock) -> None:
    """A session shows where it goes, as whom, and whether it is open."""
    one = session(clock)
    assert one.identity == KEY.fingerprint
    assert repr(one) == f"<Session https://api.encord.com SSHKey({KEY.fingerprint}) closed>"
    async with one:
        assert repr(one).endswith("open>")


async def test_missing_ca_bundle_is_told_when_opening(clock: SkippingClock, tmp_path: Any) -> None:
    """A CA bundle that is not there, or holds no certificate, fails the opening by its path."""
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for path in (tmp_path / "missing.pem", junk, tmp_path):
        with pytest.raises(errors.SettingsError, match=re.escape(str(path))) as caught:
            async with session(clock, settings=Settings(ca_bundle=path)):
                pass
        assert "_ssl" not in caught.value.message
