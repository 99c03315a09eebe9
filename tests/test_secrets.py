"""Canaries: a private key, a token, an API key and a proxy's password go through every path, and none sings.

Everything that a person or a log might see is searched: errors with their causes and tracebacks, the local variables of
every frame on the way, log records at the most talkative level, and the ``repr`` of whatever is public.
"""

import asyncio
import base64
import copy
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from encord_async import (
    APIKey,
    APIKeyScope,
    BearerToken,
    EncordError,
    EncordSession,
    NoReplyError,
    ProjectUserRole,
    RetryPolicy,
    Settings,
    SettingsError,
    SSHKey,
    Timeouts,
)
from encord_async.journal.journal import Identity, Journal
from encord_async.operations import AddProjectUsers, CreateProject, ListProjectsV2
from encord_async.raw import Endpoint, envelope
from encord_async.session.transport import AiohttpTransport
from tests.waiting import PATIENCE_S, time_passes

SEED = bytes(range(100, 132))
PRIVATE = Ed25519PrivateKey.from_private_bytes(SEED)
PASSPHRASE = "canary-passphrase"
KEY_TEXT = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
LOCKED_TEXT = PRIVATE.private_bytes(
    Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(PASSPHRASE.encode())
).decode()
TOKEN = "canary-bearer-token-0123456789"
API_KEY = "canary-api-key-0123456789"
NEW_KEY = "canary-key-that-the-service-made"
PROXY_PASSWORD = "canary-proxy-password"
TITLE = "canary title of a project"
EMAIL = "canary@example.com"

CANARIES = (
    TOKEN,
    API_KEY,
    NEW_KEY,
    PASSPHRASE,
    PROXY_PASSWORD,
    base64.b64encode(f"user:{PROXY_PASSWORD}".encode()).decode(),
    SEED.hex(),
    base64.b64encode(SEED).decode()[:20],
    repr(SEED),
    *(line for text in (KEY_TEXT, LOCKED_TEXT) for line in text.splitlines()[1:-1]),
)


def assert_silent(*texts: str) -> None:
    """No canary in any of them."""
    for text in texts:
        found = [canary for canary in CANARIES if canary in text]
        assert not found, f"{found} in {text[:2000]}"


def everything_about(error: BaseException) -> list[str]:
    """All that an error shows, with the errors that hang on it and what reporters of errors find in their frames."""
    shown = words_of(error)
    for one in chain_of(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            # The test's own frames are those of a caller who has the secret in his hand.
            if frame.f_code.co_filename != __file__ or frame.f_code.co_name == "careless":
                shown += [text for value in frame.f_locals.values() for text in seen_in(value)]
    return shown


def words_of(error: BaseException) -> list[str]:
    """All that an error and those that hang on it say."""
    shown = ["".join(traceback.format_exception(error))]
    for one in chain_of(error):
        shown += [str(one), repr(one), repr(one.args), repr(vars(one)), str(getattr(one, "filename", ""))]
    return shown


def chain_of(error: BaseException) -> list[BaseException]:
    """An error and all that hang on it, suppressed or not."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and all(one is not other for other in found):
            found.append(one)
            todo += [one.__cause__, one.__context__]
    return found


def seen_in(value: object, depth: int = 3) -> Iterator[str]:
    """What is seen of a local variable: its repr, what a collection holds, and what hangs on an object of ours."""
    yield repr(value)
    if depth == 0:
        return
    inner: list[object] = []
    if isinstance(value, Mapping):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inner = [*value]
    elif type(value).__module__.startswith("encord_async"):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        inner = [getattr(value, name, None) for name in slots] + list(getattr(value, "__dict__", {}).values())
    for one in inner:
        yield from seen_in(one, depth - 1)


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything logged during the test at any level, by us and by those we use; searched in the end."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    yield caplog
    for record in caplog.records:
        assert_silent(record.getMessage(), repr(record.args), repr(record.exc_info))
        assert TITLE not in record.getMessage()
        assert EMAIL not in record.getMessage()


# --- a service that repeats what it hears ---------------------------------------------------------------------------


@dataclass
class Parrot:
    """Answers each request with the next reply, in which ``{secret}`` is what the request was authorised with.

    ``{SECRET}`` is the same in capitals, ``{u}`` with each letter as an escape that the envelope's JSON escapes once
    more, ``{wrapped}`` in lines of twenty characters, and ``{half}`` the first half of it.
    """

    replies: list[bytes] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    silent: bool = False
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one reply, and the connection is closed."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        await reader.readexactly(int(fields.get(b"Content-Length", b"0")))
        proofs = (fields[name] for name in (b"Authorization", b"Proxy-Authorization", b"Signature") if name in fields)
        secret = next(proofs, b"").removeprefix(b"Bearer ").removeprefix(b"sig1=")
        # The half before the colon is the public key, which a session may show.
        self.heard.append(secret.decode().partition(":")[2] or secret.decode())
        if self.silent:
            time_passes(PATIENCE_S)
            try:
                await reader.read()
            finally:
                writer.close()
            return
        reply = self.replies.pop(0) if self.replies else b""
        for name, spelt in (
            (b"{secret}", secret),
            (b"{SECRET}", secret.upper()),
            (b"{u}", b"".join(b"\\\\u%04x" % char for char in secret)),
            (b"{wrapped}", b" ".join(secret[at : at + 20] for at in range(0, len(secret), 20))),
            (b"{half}", secret[: len(secret) // 2]),
        ):
            reply = reply.replace(name, spelt)
        writer.write(reply)
        writer.close()

    def assert_unheard(self, *texts: str) -> None:
        """None of *texts* holds 16 characters in a row of what a request was authorised with, in whatever case."""
        pieces = {secret[at : at + 16].lower() for secret in self.heard for at in range(len(secret) - 15)}
        for text in texts:
            low = text.lower()
            found = [piece for piece in pieces if piece in low]
            assert not found, f"{found[:3]} in {text[:2000]}"


@asynccontextmanager
async def parrot(*replies: bytes) -> AsyncIterator[Parrot]:
    """The service on a free port of this machine."""
    bird = Parrot(list(replies))
    listener = await asyncio.start_server(bird.serve, "127.0.0.1", 0)
    bird.port = listener.sockets[0].getsockname()[1]
    try:
        yield bird
    finally:
        listener.close()
        for task in list(bird.tasks):
            task.cancel()
        await asyncio.gather(*bird.tasks, return_exceptions=True)
        await listener.wait_closed()


def reply(body: str | dict[str, object], status: int = 200, *headers: str) -> bytes:
    """An HTTP reply that ends with its connection."""
    text = body if isinstance(body, str) else json.dumps(body)
    return "\r\n".join([f"HTTP/1.1 {status} Status", *headers, "Connection: close", "", text]).encode()


def failure(code: str, payload: str, status: int = 400) -> dict[str, object]:
    """An envelope that says no."""
    return {"status": status, "response": [code], "payload": payload}


ECHO = "no good: {secret}"
FAILING = [
    reply(failure("AUTHENTICATION_ERROR", ECHO)),
    reply(failure("AUTHORISATION_ERROR", ECHO)),
    reply(failure("RESOURCE_NOT_FOUND_ERROR", ECHO)),
    reply(failure("RESOURCE_EXISTS_ERROR", ECHO)),
    reply(failure("INVALID_ARGUMENTS_ERROR", ECHO)),
    reply(failure("UNKNOWN_ERROR", ECHO)),
    reply(failure("{secret}", ECHO)),
    reply(failure("INVALID_ARGUMENTS_ERROR", "no good: {SECRET}")),
    reply('{"status": 400, "response": ["INVALID_ARGUMENTS_ERROR"], "payload": "no good: {u}"}'),
    reply(failure("INVALID_ARGUMENTS_ERROR", "no good: {wrapped}")),
    reply(failure("INVALID_ARGUMENTS_ERROR", "no good: {half}")),
    reply({"status": 400, "response": ["A", "B"], "payload": ECHO}),
    reply({"message": ECHO}, 401),
    reply({"detail": ECHO}, 422),
    reply(ECHO, 403),
    reply(ECHO, 413),
    reply(ECHO, 500, "X-Echo: {secret}"),
    reply(ECHO, 503, "Retry-After: {secret}"),
    reply(ECHO, 307, "Location: https://example.invalid/{secret}"),
    reply(ECHO),
    reply(""),
    reply({"status": 200, "response": {"{secret}": "{secret}"}}),
    reply({"status": 200, "response": ["{secret}"]}),
    b"HTTP/1.1 200 {secret}\r\n{secret}\r\n\r\n",
    b"{secret}\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: {secret}\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{secret}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n{secret}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n",
    b"HTTP/1.1 200 OK\r\nX-" + b"{secret}" * 1000 + b"\r\n\r\n",
    b"",
]


def settings(port: int) -> Settings:
    """One attempt, so that each reply is judged by itself."""
    return Settings(
        domain=f"http://127.0.0.1:{port}",
        retry=RetryPolicy(max_attempts=1),
        timeouts=Timeouts(attempt_s=10.0),
    )


Call = Callable[[EncordSession], Awaitable[object]]

CALLS: dict[str, tuple[Callable[[Settings], EncordSession], Call]] = {
    "ssh": (
        lambda wanted: EncordSession.from_ssh_key(LOCKED_TEXT, passphrase=PASSPHRASE, settings=wanted),
        lambda s: s.create_project(TITLE),
    ),
    "bearer": (
        lambda wanted: EncordSession.from_bearer_token(TOKEN, settings=wanted),
        lambda s: s.list_project_api_keys("p"),
    ),
    "api-key": (
        lambda wanted: EncordSession.from_bearer_token(TOKEN, settings=wanted),
        lambda s: s.project("p", api_key=API_KEY).add_users([EMAIL], ProjectUserRole.ADMIN),
    ),
    "rest": (
        lambda wanted: EncordSession.from_ssh_key(LOCKED_TEXT, passphrase=PASSPHRASE, settings=wanted),
        lambda s: s.execute(ListProjectsV2()),
    ),
    "untyped": (
        lambda wanted: EncordSession.from_bearer_token(TOKEN, settings=wanted),
        lambda s: s.send(envelope("x", "POST", endpoint=Endpoint.USER, payload={"title": TITLE})),
    ),
}


@pytest.mark.parametrize("name", list(CALLS))
async def test_failures_do_not_repeat_the_credential(name: str) -> None:
    """A service that throws the credential back in every part of a reply does not get it into error or log."""
    make, call = CALLS[name]
    failures: list[EncordError] = []
    async with parrot(*FAILING) as bird, make(settings(bird.port)) as session:
        for _ in FAILING:
            try:
                await call(session)
            except EncordError as error:
                failures.append(error)
        assert bird.replies == []
        assert_silent(repr(session), repr(session.settings), repr(session.statistics()), repr(vars(session)))
    assert len(failures) >= len(FAILING) - 2
    for failed in failures:
        shown = everything_about(failed)
        assert_silent(*shown)
        bird.assert_unheard(*shown)
        assert all(TITLE not in text and EMAIL not in text for text in words_of(failed))


@pytest.mark.parametrize("name", ["bearer", "api-key"])
async def test_retries_do_not_log_the_credential(name: str, logs: pytest.LogCaptureFixture) -> None:
    """What is logged of a retry is the reason, without what the service quoted in it."""
    make, call = CALLS[name]
    replies = [
        reply(failure("RATE_LIMIT_ERROR", ECHO)),
        reply({"message": ECHO}, 429, "Retry-After: 0"),
        reply({"message": ECHO}, 502),
        reply({"status": 200, "response": []}),
    ]
    async with parrot(*replies) as bird:
        patient = Settings(
            domain=f"http://127.0.0.1:{bird.port}",
            retry=RetryPolicy(backoff_base_s=0.0, backoff_max_s=0.0),
        )
        async with make(patient) as session:
            await call(session)
            assert session.statistics().requests == 4
    messages = [record.getMessage() for record in logs.records if record.name == "encord_async"]
    assert len(messages) == 3
    assert all("[secret]" in message for message in messages)


async def test_lost_connections_do_not_show_the_credential() -> None:
    """No connection, no reply and a closed session say nothing either."""
    async with parrot() as bird:
        port = bird.port
    for make, call in CALLS.values():
        session = make(settings(port))
        async with session:
            with pytest.raises(EncordError) as refused:
                await call(session)
        with pytest.raises(EncordError) as closed:
            await call(session)
        assert_silent(*everything_about(refused.value), *everything_about(closed.value))


@pytest.mark.parametrize("name", list(CALLS))
async def test_a_reply_that_does_not_come_leaves_nothing(name: str) -> None:
    """The frames that waited for it held the credential, and are not to be seen."""
    make, call = CALLS[name]
    async with parrot() as bird:
        bird.silent = True
        impatient = replace(settings(bird.port), timeouts=Timeouts(attempt_s=PATIENCE_S))
        async with make(impatient) as session:
            with pytest.raises(NoReplyError) as caught:
                await call(session)
    assert bird.heard
    assert_silent(*everything_about(caught.value))
    bird.assert_unheard(*everything_about(caught.value))


async def test_a_bug_below_leaves_nothing() -> None:
    """An error that nobody foresaw keeps its lines, so that it can be found, and no local variables."""

    def careless(_: object, __: object, headers: Mapping[str, str], *___: object, **____: object) -> object:
        at_hand = dict(headers)
        raise RuntimeError(f"{len(at_hand)} headers")

    session = EncordSession.from_bearer_token(TOKEN)
    async with session:
        assert session._transport is not None
        await session._transport.aclose()
        session._transport.request = careless  # type: ignore[assignment,method-assign]
        with pytest.raises(RuntimeError) as caught:
            await session.create_project(TITLE)
    assert "careless" in "".join(traceback.format_exception(caught.value))
    assert_silent(*everything_about(caught.value))


async def test_proxy_password_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy that refuses, nor one that is not there, nor one that is misspelt gives its password away."""
    for name in ("https_proxy", "no_proxy", "all_proxy", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    wanted = Settings(domain="https://api.encord.example", retry=RetryPolicy(max_attempts=1))
    async with parrot(reply(ECHO, 407, "X-Echo: {secret}"), b"{secret}\r\n\r\n", b"") as bird:
        port = bird.port
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PROXY_PASSWORD}@127.0.0.1:{port}")
        async with EncordSession.from_bearer_token(TOKEN, settings=wanted) as session:
            for _ in range(3):
                with pytest.raises(EncordError) as caught:
                    await session.create_project(TITLE)
                assert_silent(*everything_about(caught.value), repr(session))
    async with EncordSession.from_bearer_token(TOKEN, settings=wanted) as session:
        with pytest.raises(EncordError) as caught:
            await session.create_project(TITLE)
        assert_silent(*everything_about(caught.value))
    for proxy in (f"socks5://user:{PROXY_PASSWORD}@127.0.0.1:{port}", f"http://user:{PROXY_PASSWORD}@127.0.0.1:x"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        session = EncordSession.from_bearer_token(TOKEN, settings=wanted)
        with pytest.raises(SettingsError) as misspelt:
            await session.__aenter__()
        assert_silent(*everything_about(misspelt.value))


# --- successes and values -------------------------------------------------------------------------------------------


async def test_keys_that_the_service_makes_do_not_show() -> None:
    """A key that was asked for can be had by asking its value, and in no other way."""
    listed = [{"api_key": NEW_KEY, "title": "ci", "scopes": ["label.read"]}]
    replies = [reply({"status": 200, "response": answer}) for answer in (NEW_KEY, NEW_KEY, listed)]
    async with (
        parrot(*replies) as bird,
        EncordSession.from_bearer_token(TOKEN, settings=settings(bird.port)) as session,
    ):
        created = await session.create_project_api_key("p", "ci", [APIKeyScope.LABEL_READ])
        found = await session.get_or_create_project_api_key("p")
        keys = await session.list_project_api_keys("p")
    assert created.get_secret_value() == found.get_secret_value() == keys[0].api_key.get_secret_value() == NEW_KEY
    assert_silent(f"{created} {created!r} {found!r} {keys!r} {keys[0]}", keys[0].model_dump_json())


@pytest.mark.parametrize(
    "listed", [[{"api_key": NEW_KEY, "title": 1, "scopes": []}], [{"api_key": {"x": NEW_KEY}}], NEW_KEY]
)
async def test_keys_in_a_misshapen_answer_do_not_show(listed: object) -> None:
    """An answer that is not understood may hold keys, and is not quoted."""
    async with (
        parrot(reply({"status": 200, "response": listed})) as bird,
        EncordSession.from_bearer_token(TOKEN, settings=settings(bird.port)) as session,
    ):
        with pytest.raises(EncordError) as caught:
            await session.list_project_api_keys("p")
    assert_silent(*everything_about(caught.value))


def test_values_do_not_show_their_secret() -> None:
    """Credentials, sessions, handles and envelopes can be printed."""
    key, token, api_key = SSHKey.from_text(KEY_TEXT), BearerToken(TOKEN), APIKey(API_KEY)
    session = EncordSession(token)
    handle = session.project("p", api_key=API_KEY)
    for value in (key, token, api_key, session, session.settings, handle, session.identity, key.identity):
        assert_silent(repr(value), str(value), f"{value}")
    sealed = CreateProject(title=TITLE).request()
    assert TITLE not in repr(sealed)


@pytest.mark.parametrize("credential", [SSHKey(PRIVATE), BearerToken(TOKEN), APIKey(API_KEY)])
def test_credentials_cannot_be_copied_out(credential: object) -> None:
    """Pickling or copying a credential would carry the secret along, and fails without showing it."""
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            attempt(credential)
        assert_silent(*everything_about(caught.value))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SSHKey.from_text(LOCKED_TEXT),
        lambda: SSHKey.from_text(LOCKED_TEXT, passphrase=PASSPHRASE + "x"),
        lambda: SSHKey.from_text(KEY_TEXT[:200]),
        lambda: SSHKey.from_text(KEY_TEXT.replace("b3BlbnNzaC1rZXk", "x3BlbnNzaC1rZXk")),
        lambda: EncordSession.from_ssh_key("".join(KEY_TEXT.splitlines()[1:-1])),
        lambda: EncordSession.from_env(environ={"ENCORD_SSH_KEY_FILE": KEY_TEXT}),
        lambda: EncordSession.from_env(environ={"ENCORD_SSH_KEY_FILE": KEY_TEXT.replace("\n", "\\n")}),
        lambda: EncordSession.from_bearer_token(KEY_TEXT),
        lambda: EncordSession.from_bearer_token(f"{TOKEN} {TOKEN}"),
        lambda: EncordSession(BearerToken(TOKEN)).project("p", api_key=f"{API_KEY}\r\nX: y"),
        lambda: EncordSession.from_ssh_key(LOCKED_TEXT, passphrase=PASSPHRASE, domain="http://api.encord.com"),
        lambda: EncordSession.from_ssh_key(
            KEY_TEXT, passphrase=PASSPHRASE, domain=f"https://user:{PROXY_PASSWORD}@api.encord.com"
        ),
        lambda: EncordSession.from_bearer_token(TOKEN, concurrency=0),
        lambda: EncordSession.from_env(environ={"ENCORD_SSH_KEY": KEY_TEXT, "ENCORD_DOMAIN": "nowhere"}),
        lambda: EncordSession.from_env(
            environ={"ENCORD_SSH_KEY": LOCKED_TEXT, "ENCORD_SSH_KEY_PASSPHRASE": PASSPHRASE + "x"}
        ),
    ],
)
def test_mistaken_credentials_are_not_shown(make: Callable[[], object]) -> None:
    """A secret in the wrong place or form is refused without being repeated."""
    with pytest.raises(EncordError) as caught:
        make()
    assert_silent(*everything_about(caught.value))


def leads_nowhere(text: str) -> list[str]:
    """What is said of *text* where a path, a word or a URL belongs; frames are left out: it is in the caller's."""

    async def run() -> list[str]:
        said: list[str] = []
        session = EncordSession.from_bearer_token(TOKEN)

        async def provision(**arguments: Any) -> None:
            async with session.provision(**{"manifest": [], "journal": None, **arguments}):
                pass

        def role() -> object:
            return AddProjectUsers(project_hash="p", emails=("a@b.example",), role=cast("ProjectUserRole", text))

        async def transport() -> None:
            AiohttpTransport(Settings(ca_bundle=Path(text)), headers={})

        async def journal() -> None:
            async with Journal(text, Identity("https://api.encord.com", "me")):
                pass

        async def entry() -> None:
            async with session.provision([{"kind": text}, {"kind": "project", text: text}], journal=None) as run:
                [outcome async for outcome in run]

        for attempt in (
            lambda: Settings(domain=text),
            lambda: Settings(domain=f"https://{text}"),
            role,
            transport,
            journal,
            entry,
            lambda: provision(manifest=text),
            lambda: provision(existing=text),
            lambda: provision(dataset_api=text),
            lambda: provision(max_failures=text),
        ):
            with pytest.raises(EncordError) as caught:
                await cast("Awaitable[object]", attempt())
            said += words_of(caught.value)
        return said

    return asyncio.run(run())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\\n"),
        lambda text: " ".join(text.split()),
        lambda text: text[40:],
        lambda text: text[:200],
        lambda text: text.splitlines()[2],
        lambda text: "".join(text.splitlines()[1:-1]),
    ],
    ids=["whole", "escaped", "one line", "no beginning", "no end", "a line of it", "no frame"],
)
def test_a_key_where_something_else_belongs_is_not_quoted(
    spoil: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a key or a piece of one is given for by mistake, no error and no error behind it repeats it."""
    monkeypatch.chdir(tmp_path)
    base64_text = "".join(KEY_TEXT.splitlines()[1:-1])
    pieces = {base64_text[at : at + 20] for at in range(len(base64_text) - 19)}
    for said in leads_nowhere(spoil(KEY_TEXT)):
        plain = said.replace("\\n", "").replace("\n", "")
        assert not [piece for piece in pieces if piece in plain], said


async def test_an_unreadable_journal_shows_no_password() -> None:
    """A server that cannot be reached leaves nothing of the password behind in its driver's frames."""
    url = f"postgresql://user:{PROXY_PASSWORD}@127.0.0.1:1/db?job=canary"
    with pytest.raises(EncordError) as caught:
        async with Journal(url, Identity("https://api.encord.com", "me")):
            pass
    assert_silent(*everything_about(caught.value))


@pytest.mark.parametrize("password", ["canary@proxy-tail", "can/ary@proxy-tail", "canary@proxy/tail", "@proxy-tail"])
def test_a_password_with_an_at_sign_is_refused_unseen(password: str) -> None:
    """What follows the first '@' of a password is no host, is not shown as one, and how to write it is said."""
    with pytest.raises(EncordError, match="%40") as caught:
        Journal(f"postgresql://user:{password}@127.0.0.1/db?job=canary", None)
    assert all("proxy" not in text and "tail" not in text for text in everything_about(caught.value))
