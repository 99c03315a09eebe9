"""The official SDK, in two releases, each a process in an environment of its own, and a local Encord for them."""

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from encord_async import EncordSession
from encord_async.emulator import (
    Emulator,
    EmulatorSettings,
    Seed,
    SeedDataset,
    SeedOntology,
    SeedProject,
    SeedUser,
)
from tests.waiting import PATIENCE_S

OLD: Final = "0.1.145"
NEW: Final = "0.1.211"
RELEASES = {NEW: "ENCORD_SDK_NEW_PYTHON", OLD: "ENCORD_SDK_OLD_PYTHON"}
SCRIPT = Path(__file__).parent / "scripts" / "sdk_process.py"

only_old = pytest.mark.parametrize("sdk_release", [OLD], indirect=True)
"""For what newer releases dropped or moved to REST."""
only_new = pytest.mark.parametrize("sdk_release", [NEW], indirect=True)

Json: TypeAlias = Any
"""Decoded JSON; tests look into it freely."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the local Encord and their key."""

    email: str

    @property
    def key(self) -> Ed25519PrivateKey:
        """The same key each time for the same address."""
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.email.encode()).digest())

    @property
    def private_text(self) -> str:
        """The private key as OpenSSH text."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()

    @property
    def public_hex(self) -> str:
        """The raw public key in hex."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


ANN, BOB, TWIN, STRANGER = (Person(f"{name}@example.com") for name in ("ann", "bob", "twin", "stranger"))

# A seed's hashes are of the service's form: the SDK turns some of them into UUIDs.
CATS, DOGS, BIRDS = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
PETS = "00000000-0000-4000-8000-000000000010"
ANNS_PROJECT, BOBS_PROJECT = (f"00000000-0000-4000-8000-00000000002{number}" for number in (1, 2))
UNKNOWN = "00000000-0000-4000-8000-0000000000ff"

SEED = Seed(
    users=(
        SeedUser(email=ANN.email, public_key=ANN.public_hex, bearer_token="token-of-ann"),
        SeedUser(email=BOB.email, public_key=BOB.public_hex),
        # One key, two users: the service refuses it.
        SeedUser(email=TWIN.email, public_key=TWIN.public_hex),
        SeedUser(email="other-twin@example.com", public_key=TWIN.public_hex),
    ),
    datasets=(
        SeedDataset(hash=CATS, title="Cats", admins=(ANN.email,)),
        SeedDataset(hash=DOGS, title="Dogs", admins=(ANN.email,), type=1),
        SeedDataset(hash=BIRDS, title="Birds", admins=(BOB.email,)),
    ),
    ontologies=(
        SeedOntology(
            hash=PETS, title="Pets", admins=(ANN.email,), editor_ontology={"objects": [], "classifications": []}
        ),
    ),
    projects=(
        SeedProject(hash=ANNS_PROJECT, title="Ann's", admins=(ANN.email,), datasets=(CATS,), ontology_hash=PETS),
        SeedProject(hash=BOBS_PROJECT, title="Bob's", admins=(BOB.email,)),
    ),
)


class SdkError(Exception):
    """What the SDK raised, as ``CLASS: text``."""


class SdkProcess:
    """One release of the SDK, running."""

    def __init__(self, python: Path, *, log: Path) -> None:
        """Start it; what it says to people goes to *log*."""
        self._log = log
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [python, "-I", SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                # Neither proxies nor settings of whoever runs the tests.
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )

    def ask(self, question: Json) -> Json:
        """Make the SDK do one thing; blocks until it has."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            process.wait(timeout=PATIENCE_S)
            raise AssertionError(f"the SDK's process died: {self._log.read_text(errors='replace')[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        try:
            self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """The SDK as one caller of one Encord."""

    process: SdkProcess
    url: str
    who: dict[str, str] = field(repr=False)

    def as_(self, person: Person) -> "Sdk":
        """The same, signing with another key."""
        return replace(self, who={"key": person.private_text})

    def with_token(self, token: str) -> "Sdk":
        """The same with a bearer token."""
        return replace(self, who={"token": token})

    def with_api_key(self, api_key: str) -> "Sdk":
        """The same with the API key of a project or dataset."""
        return replace(self, who={"api_key": api_key})

    def at(self, url: str) -> "Sdk":
        """The same caller elsewhere."""
        return replace(self, url=url)

    async def call(self, name: str, on: str | None = None, **arguments: Json) -> Json:
        """Make one call of ``scripts/sdk_process.py``, about the resource *on* if it is about one.

        Raises:
            SdkError: The SDK raised.
        """
        question = {"domain": self.url, "who": self.who, "call": name, "on": on, "arguments": arguments}
        answer = await asyncio.to_thread(self.process.ask, question)
        if "raised" in answer:
            raise SdkError(f"{answer['raised']}: {answer['text']}")
        return answer["result"]


async def said_by(python: Path, script: Path, *arguments: str, given: str) -> Any:
    """What *script* prints as JSON, run by *python* with the SDK alone and *given* on its standard input."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-I", script, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def _python_of(release: str) -> Path:
    path = os.environ.get(RELEASES[release])
    if not path:
        pytest.skip(f"needs the SDK's environment: {RELEASES[release]} is not set, `make test` sets it")
    # Not resolved: the link is what makes it the environment's interpreter.
    return Path(path).absolute()


@pytest.fixture(params=sorted(RELEASES))
def sdk_release(request: pytest.FixtureRequest) -> str:
    """The releases of the official SDK that we are held against, one after the other."""
    return str(request.param)


@pytest.fixture
def sdk_python(sdk_release: str) -> Path:
    """The interpreter that has *sdk_release* and not our package."""
    return _python_of(sdk_release)


@pytest.fixture(scope="session")
def process_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], SdkProcess]]:
    """Give the process of a release; each is started once, because importing the SDK takes a second."""
    running: dict[str, SdkProcess] = {}

    def find(release: str) -> SdkProcess:
        if release not in running:
            running[release] = SdkProcess(_python_of(release), log=tmp_path_factory.mktemp("sdk") / "stderr")
        return running[release]

    yield find
    for process in running.values():
        process.close()


Start: TypeAlias = Callable[[EmulatorSettings], Awaitable[Emulator]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start emulators that stop with the test."""
    async with AsyncExitStack() as stack:

        async def enter(settings: EmulatorSettings) -> Emulator:
            return await stack.enter_async_context(Emulator(settings))

        yield enter


@pytest.fixture(params=[False, True], ids=["tolerant", "strict"])
async def emulator(request: pytest.FixtureRequest, start: Start) -> Emulator:
    """A local Encord with Ann and Bob, as tolerant as it gets and then strict."""
    return await start(EmulatorSettings(seed=SEED, strict=request.param))


@pytest.fixture
def sdk(sdk_release: str, process_of: Callable[[str], SdkProcess], emulator: Emulator) -> Sdk:
    """The official SDK in Ann's hands."""
    return Sdk(process=process_of(sdk_release), url=emulator.url, who={"key": ANN.private_text})


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[EncordSession]:
    """Our client in Ann's hands."""
    async with EncordSession.from_ssh_key(ANN.private_text, domain=emulator.url) as session:
        yield session
