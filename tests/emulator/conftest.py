"""A client for the emulator's tests that shares nothing with ours: cryptography signs, aiohttp posts."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from yarl import URL

from encord_async.emulator import Emulator, EmulatorSettings, Seed, SeedDataset, SeedProject, SeedUser
from tests.waiting import PATIENCE_S

VECTORS = json.loads((Path(__file__).parent.parent / "vectors.json").read_text(encoding="utf-8"))

Json: TypeAlias = Any
"""Decoded JSON; tests look into it freely."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A user's key."""

    key: Ed25519PrivateKey

    @classmethod
    def named(cls, name: str) -> "Signer":
        """The same key each time for the same *name*."""
        return cls(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))

    @classmethod
    def loaded(cls, text: str) -> "Signer":
        """The key of an OpenSSH private key text."""
        key = load_ssh_private_key(text.encode(), None)
        assert isinstance(key, Ed25519PrivateKey)
        return cls(key)

    @property
    def public_hex(self) -> str:
        """The raw public key, as in Authorization."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    @property
    def public_line(self) -> str:
        """The public key as a line of a .pub file."""
        return self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @property
    def private_text(self) -> str:
        """The private key as OpenSSH text."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()

    def authorization(self, body: bytes) -> str:
        """The header that signs *body*."""
        return f"{self.public_hex}:{self.key.sign(hashlib.sha256(body).digest()).hex()}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: HTTP status, headers, and the envelope's members."""

    http_status: int
    headers: dict[str, str]
    body: Json

    @property
    def code(self) -> str | None:
        """The error code, None for a success."""
        return None if self.body["status"] == 200 else str(self.body["response"][0])

    @property
    def result(self) -> Json:
        """What a success carries."""
        assert self.body["status"] == 200, self.body
        return self.body["response"]


class Api:
    """Posts envelopes to an emulator as one caller."""

    def __init__(self, http: aiohttp.ClientSession, url: str, credential: Signer | str) -> None:
        self.http = http
        self.url = url
        self.credential = credential

    def as_(self, credential: Signer | str) -> "Api":
        """The same emulator for another caller: a key that signs, or the text of an Authorization header."""
        return Api(self.http, self.url, credential)

    def headers(self, body: bytes, on: str | None, kind: str | None) -> dict[str, str]:
        """The headers that go with *body*."""
        credential = self.credential
        signed = isinstance(credential, Signer)
        text = credential.authorization(body) if isinstance(credential, Signer) else credential
        headers = {"Authorization": text, "Content-Type": "application/json", "Accept": "application/json"}
        if on is not None:
            headers["ResourceID"] = on
            if kind is not None and (signed or text.startswith("Bearer ")):
                headers["ResourceType"] = kind
        return headers

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Post raw bytes and read the JSON that comes back."""
        # aiohttp warns about large bodies that are bytes.
        data = body if len(body) < 1_000_000 else BytesIO(body)
        async with self.http.post(self.url + path, data=data, headers=headers) as response:
            return Reply(response.status, dict(response.headers), json.loads(await response.read()))

    async def raw(self, body: bytes, *, on: str | None = None, kind: str | None = "project") -> Reply:
        """Sign and post these very bytes."""
        path = "/public/user" if on is None else "/public"
        return await self.post(path, body, self.headers(body, on, kind))

    async def call(
        self, name: str, payload: Json = None, uid: Json = None, *, on: str | None = None, kind: str = "project"
    ) -> Reply:
        """Make the call *name* (``project.POST``), on a resource if *on* is its hash, in the bytes of the SDK."""
        return await self.raw(envelope_bytes(name, payload, uid), on=on, kind=kind)

    async def create(self, title: str = "P", datasets: list[str] | None = None, **more: Json) -> str:
        """Create a project and return its hash."""
        payload = {"title": title, "description": "", "dataset_hashes": datasets or [], **more}
        return str((await self.call("project.POST", payload)).result)


def envelope_bytes(name: str, payload: Json = None, uid: Json = None) -> bytes:
    """The bytes that the official SDK sends."""
    type_, method = name.split(".")
    values = {"uid": uid, "payload": payload}
    return json.dumps({"query_type": type_, "query_method": method, "values": values}).encode()


ROOT = "/v2/public"


def signed(signer: Signer, method: str, target: str, body: bytes, created: int | None = None) -> dict[str, str]:
    """The three headers of a signature."""
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    made = int(time.time()) if created is None else created
    params = f'("@method" "@request-target" "content-digest");created={made};keyid="{signer.public_hex}";alg="ed25519"'
    base = (
        f'"@method": {method}\n"@request-target": {target}\n"content-digest": {digest}\n"@signature-params": {params}'
    )
    return {
        "Content-Digest": digest,
        "Signature-Input": f"encord-sig={params}",
        "Signature": f"encord-sig=:{base64.b64encode(signer.key.sign(base.encode())).decode()}:",
    }


@dataclass(frozen=True, slots=True)
class RestReply:
    """HTTP status and decoded JSON, None without a body."""

    status: int
    body: Json

    @property
    def results(self) -> Json:
        """What a page carries."""
        assert self.status == 200, self.body
        return self.body["results"]


@dataclass(frozen=True, slots=True)
class Rest:
    """Sends REST requests to an emulator as one caller."""

    http: aiohttp.ClientSession
    url: str
    who: Signer | str

    def as_(self, who: Signer | str) -> "Rest":
        """The same emulator for another caller."""
        return Rest(self.http, self.url, who)

    async def __call__(self, line: str, body: Json = None, **headers: str) -> RestReply:
        """Send ``METHOD /path`` below the root; *headers* replace those that would be sent."""
        method, _, path = line.partition(" ")
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        target = ROOT + path
        sent = signed(self.who, method, target, raw) if isinstance(self.who, Signer) else {"Authorization": self.who}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        url = URL(self.url + target, encoded=True)
        async with self.http.request(method, url, data=raw or None, headers=sent) as response:
            text = await response.read()
            return RestReply(response.status, json.loads(text) if text else None)


ANN, BOB = Signer.named("ann"), Signer.named("bob")

SEED = Seed(
    users=(
        SeedUser(email="ann@example.com", public_key=ANN.public_hex, bearer_token="ann-token"),
        SeedUser(email="bob@example.com", public_key=BOB.public_hex),
    ),
    datasets=(
        SeedDataset(hash="ann-1", title="Cats", admins=("ann@example.com",)),
        SeedDataset(hash="ann-2", title="Dogs", admins=("ann@example.com",), description="about dogs"),
        SeedDataset(hash="bob-1", title="Birds", admins=("bob@example.com",), type=1),
    ),
    projects=(SeedProject(hash="seeded", title="Seeded", admins=("ann@example.com",), datasets=("ann-1",)),),
)

Start: TypeAlias = Callable[[EmulatorSettings], Awaitable[Emulator]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start emulators that stop with the test."""
    async with AsyncExitStack() as stack:

        async def enter(settings: EmulatorSettings) -> Emulator:
            return await stack.enter_async_context(Emulator(settings))

        yield enter


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that gives up before the test does."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield session


@pytest.fixture
async def emulator(start: Start) -> Emulator:
    """An emulator with Ann and Bob, who each have datasets, and a project of Ann's."""
    return await start(EmulatorSettings(seed=SEED))


@pytest.fixture
def ann(http: aiohttp.ClientSession, emulator: Emulator) -> Api:
    """Ann, who signs with her key."""
    return Api(http, emulator.url, ANN)


@pytest.fixture
def bob(http: aiohttp.ClientSession, emulator: Emulator) -> Api:
    """Bob, who signs with his key."""
    return Api(http, emulator.url, BOB)


@pytest.fixture
def rest(http: aiohttp.ClientSession, emulator: Emulator) -> Rest:
    """Ann over REST; she is the Admin of the organisation."""
    return Rest(http, emulator.url, ANN)


@pytest.fixture
def bobs(rest: Rest) -> Rest:
    """Bob over REST, a Member of it."""
    return rest.as_(BOB)
