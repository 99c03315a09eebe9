"""The front door: sessions from keys, tokens and the environment, and one method for each call of the service."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from encord_async import (
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    EncordSession,
    KeyFormatError,
    ProjectUserRole,
    Settings,
    SettingsError,
    SSHKey,
    StorageLocation,
    UsageError,
)
from encord_async.operations import ListingFilter
from encord_async.protocol.catalogue import Endpoint
from encord_async.protocol.reply import RawReply

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
FINGERPRINT = "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"
"""Of `PRIVATE`, as ``ssh-keygen -l`` prints it."""


def key_text(key: Ed25519PrivateKey = PRIVATE, passphrase: str | None = None) -> str:
    """The text of an OpenSSH private key."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption).decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the private key."""
    path = tmp_path / "key"
    path.write_text(key_text())
    return path


# --- keys ------------------------------------------------------------------------------------------------------------


def test_key_by_path(key_file: Path) -> None:
    """The path of a key file does, as text or as a path."""
    assert EncordSession.from_ssh_key(key_file).identity == FINGERPRINT
    assert EncordSession.from_ssh_key(str(key_file)).identity == FINGERPRINT


def test_key_by_path_from_home(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``~`` in the path is the home directory."""
    monkeypatch.setenv("HOME", str(key_file.parent))
    assert EncordSession.from_ssh_key("~/key").identity == FINGERPRINT
    assert EncordSession.from_env(environ={"ENCORD_SSH_KEY_FILE": "~/key"}).identity == FINGERPRINT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " ").strip(),
        lambda text: text.replace("\n", "\\n"),
        lambda text: f"  \n{text}\n\n",
    ],
)
def test_key_by_text(spoil: Callable[[str], str]) -> None:
    """The text of a key does as well, as it comes out of files and environment variables."""
    assert EncordSession.from_ssh_key(spoil(key_text())).identity == FINGERPRINT


def test_key_that_is_loaded_already() -> None:
    """A key object is taken as it is."""
    assert EncordSession.from_ssh_key(SSHKey(PRIVATE)).identity == FINGERPRINT


def test_key_with_passphrase(tmp_path: Path) -> None:
    """A protected key opens with its passphrase, and says what is missing without it."""
    text = key_text(passphrase="correct horse")
    path = tmp_path / "protected"
    path.write_text(text)
    assert EncordSession.from_ssh_key(text, passphrase="correct horse").identity == FINGERPRINT
    assert EncordSession.from_ssh_key(path, passphrase="correct horse").identity == FINGERPRINT
    with pytest.raises(KeyFormatError, match="passphrase"):
        EncordSession.from_ssh_key(text)


def mistaken() -> Iterator[tuple[str, str]]:
    """Texts of a key that something is wrong with, by name."""
    text = key_text()
    lines = text.splitlines()
    body = "".join(lines[1:-1])
    yield "body only", body
    yield "first line of the body", lines[1]
    yield "without its first line", "\n".join(lines[1:])
    yield "without its last line", "\n".join(lines[:-1])
    yield "cut short", text[:150]
    yield "one line without markers", " ".join(lines[1:-1])
    yield "PKCS#8", PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(("name", "text"), list(mistaken()), ids=[name for name, _ in mistaken()])
def test_mistaken_key_text_is_not_shown(name: str, text: str) -> None:
    """Whatever part of a key is given, and wherever, the error does not repeat any of it."""
    attempts: list[Callable[[], EncordSession]] = [
        lambda: EncordSession.from_ssh_key(text),
        lambda: EncordSession.from_env(environ={"ENCORD_SSH_KEY": text}),
        lambda: EncordSession.from_env(environ={"ENCORD_SSH_KEY_FILE": text}),
    ]
    for attempt in attempts:
        with pytest.raises(KeyFormatError) as caught:
            attempt()
        shown = f"{caught.value} {caught.value!r}"
        assert not any(line[:20] in shown for line in text.splitlines() if "-----" not in line)


def test_key_text_in_the_variable_for_a_path() -> None:
    """The commonest mix-up is named with its remedy."""
    with pytest.raises(KeyFormatError, match="set ENCORD_SSH_KEY to it instead"):
        EncordSession.from_env(environ={"ENCORD_SSH_KEY_FILE": key_text()})


@pytest.mark.parametrize("key", ["", "  ", "\n"])
def test_empty_key(key: str) -> None:
    """An empty key is called empty, not a missing file."""
    with pytest.raises(KeyFormatError, match="empty"):
        EncordSession.from_ssh_key(key)


def test_missing_key_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(KeyFormatError, match=r"nothing-here.*check the path"):
        EncordSession.from_ssh_key(tmp_path / "nothing-here")


# --- environment -----------------------------------------------------------------------------------------------------


def test_environment_file_comes_first(key_file: Path) -> None:
    """With both variables set, the file is the one that counts."""
    env = {"ENCORD_SSH_KEY_FILE": str(key_file), "ENCORD_SSH_KEY": key_text(OTHER)}
    assert EncordSession.from_env(environ=env).identity == FINGERPRINT
    del env["ENCORD_SSH_KEY_FILE"]
    assert EncordSession.from_env(environ=env).identity != FINGERPRINT


def test_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the process's own environment is read."""
    monkeypatch.setenv("ENCORD_SSH_KEY", key_text())
    monkeypatch.setenv("ENCORD_DOMAIN", "https://api.us.encord.com/")
    session = EncordSession.from_env()
    assert (session.identity, session.settings.domain) == (FINGERPRINT, "https://api.us.encord.com")


@pytest.mark.parametrize("variable", ["ENCORD_SSH_KEY_FILE", "ENCORD_SSH_KEY"])
@pytest.mark.parametrize("value", ["", "  "])
def test_empty_variable_is_an_error(variable: str, value: str) -> None:
    """A variable that is set to nothing is a mistake somewhere, not a missing variable."""
    with pytest.raises(KeyFormatError, match=f"{variable} is set but empty"):
        EncordSession.from_env(environ={variable: value})


def test_no_variable_names_both() -> None:
    """Without a key the message says how to give one."""
    with pytest.raises(KeyFormatError, match=r"set ENCORD_SSH_KEY_FILE .* or ENCORD_SSH_KEY"):
        EncordSession.from_env(environ={})


@pytest.mark.parametrize("variable", ["ENCORD_SSH_KEY_FILE", "ENCORD_SSH_KEY"])
def test_unusable_key_names_its_variable(variable: str) -> None:
    """An error about a key says which variable it came from."""
    with pytest.raises(KeyFormatError, match=f"^{variable}: "):
        EncordSession.from_env(environ={variable: "nonsense"})


def test_passphrase_variable() -> None:
    """A protected key from the environment opens with the passphrase from there."""
    env = {"ENCORD_SSH_KEY": key_text(passphrase="correct horse"), "ENCORD_SSH_KEY_PASSPHRASE": "correct horse"}
    assert EncordSession.from_env(environ=env).identity == FINGERPRINT
    with pytest.raises(KeyFormatError, match="give its passphrase"):
        EncordSession.from_env(environ={**env, "ENCORD_SSH_KEY_PASSPHRASE": ""})


def test_domain_of_the_environment_gives_way_to_the_argument() -> None:
    """An explicit domain wins over the variable, the variable over the settings."""
    env = {"ENCORD_SSH_KEY": key_text(), "ENCORD_DOMAIN": "https://env.example"}
    settings = Settings(domain="https://settings.example")

    def domain(environ: Mapping[str, str], **options: Any) -> str:
        return EncordSession.from_env(environ=environ, **options).settings.domain

    assert domain(env, settings=settings, domain="https://argument.example") == "https://argument.example"
    assert domain(env, settings=settings) == "https://env.example"
    assert domain({**env, "ENCORD_DOMAIN": ""}, settings=settings) == "https://settings.example"
    with pytest.raises(SettingsError, match="plain http"):
        domain({**env, "ENCORD_DOMAIN": "http://env.example"})


def test_ca_bundle_of_the_environment_gives_way_to_the_settings() -> None:
    """The bundle that other tools use is used here, unless the settings name one."""
    env = {"ENCORD_SSH_KEY": key_text(), "REQUESTS_CA_BUNDLE": "/etc/own.pem"}
    assert EncordSession.from_env(environ=env).settings.ca_bundle == Path("/etc/own.pem")
    settings = Settings(ca_bundle=Path("/etc/other.pem"))
    assert EncordSession.from_env(environ=env, settings=settings).settings.ca_bundle == Path("/etc/other.pem")
    assert EncordSession.from_env(environ={**env, "REQUESTS_CA_BUNDLE": ""}).settings.ca_bundle is None


def test_arguments_override_single_settings() -> None:
    """Domain and concurrency can be given beside settings, and leave the rest of them alone."""
    settings = Settings(concurrency=5, max_reply_bytes=7)
    session = EncordSession.from_ssh_key(
        key_text(), settings=settings, domain="https://api.us.encord.com", concurrency=9
    )
    assert session.settings == Settings(domain="https://api.us.encord.com", concurrency=9, max_reply_bytes=7)
    assert EncordSession.from_bearer_token("t", settings=settings).settings is not None
    with pytest.raises(SettingsError, match="concurrency is 0"):
        EncordSession.from_bearer_token("t", concurrency=0)


def test_bearer_token_is_checked_early() -> None:
    """A token that no header can carry, or that is a private key, is refused when it is given."""
    for token in ("", "two words", "line\nbreak"):
        with pytest.raises(SettingsError, match="bearer token"):
            EncordSession.from_bearer_token(token)
    with pytest.raises(SettingsError, match="a private key is never sent"):
        EncordSession.from_bearer_token(key_text())


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass
class Wire:
    """A network that answers each request with the same response and keeps what it was sent."""

    response: object = None
    target: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)

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
        """Note the request; succeed."""
        self.target, self.headers, self.document = target, headers, json.loads(body)
        return RawReply(200, {}, json.dumps({"status": 200, "response": self.response}).encode())

    async def aclose(self) -> None:
        """There is nothing to close."""

    def sent(self) -> tuple[str, str, object, object]:
        """Type, method, uid and payload of the last request."""
        document = self.document
        values = document["values"]
        return document["query_type"], document["query_method"], values["uid"], values["payload"]


@pytest.fixture
def wire() -> Wire:
    """The network of the test."""
    return Wire()


@pytest.fixture
async def session(wire: Wire) -> AsyncIterator[EncordSession]:
    """A session on that network."""
    async with EncordSession(SSHKey(PRIVATE), transport=lambda _: wire) as opened:
        yield opened


P, D = "project-1", "dataset-1"
KEYS = [{"api_key": "s3cret", "title": "ci", "scopes": ["label.read"]}]
NEW_DATASET = {"dataset_hash": D, "title": "Raw", "type": 1}
Call = Callable[[EncordSession], Awaitable[object]]

USER_CALLS: list[tuple[Call, object, tuple[str, str, object, object]]] = [
    (
        lambda s: s.create_project("Cats"),
        "h",
        (
            "project",
            "POST",
            None,
            {"title": "Cats", "description": "", "dataset_hashes": [], "workflow_type": "manual"},
        ),
    ),
    (
        lambda s: s.create_project(
            "Cats",
            dataset_hashes=(hash_ for hash_ in (D, "d2")),
            description="All",
            ontology_hash="o",
            workflow_template_id="w",
        ),
        "h",
        (
            "project",
            "POST",
            None,
            {
                "title": "Cats",
                "description": "All",
                "dataset_hashes": [D, "d2"],
                "workflow_type": "manual",
                "ontology_hash": "o",
                "workflow_template_id": "w",
            },
        ),
    ),
    (
        lambda s: s.create_project_api_key(P, "ci", [APIKeyScope.LABEL_READ]),
        "key",
        ("projectapikey", "POST", P, {"title": "ci", "scopes": ["label.read"]}),
    ),
    (lambda s: s.list_project_api_keys(P), KEYS, ("projectapikey", "GET", P, None)),
    (lambda s: s.get_or_create_project_api_key(P), "key", ("projectapikey", "PUT", P, {})),
    (
        lambda s: s.create_dataset(
            "Raw", description="All", storage=StorageLocation.AWS_S3, create_backing_folder=False
        ),
        NEW_DATASET,
        (
            "dataset",
            "POST",
            None,
            {"title": "Raw", "type": 1, "create_backing_folder": False, "description": "All"},
        ),
    ),
    (
        lambda s: s.list_projects(),
        [],
        ("projectwithuserrole", "GET", None, {"filter": {}}),
    ),
    (
        lambda s: s.list_projects(ListingFilter(title_eq="Cats", created_after=datetime(2026, 1, 2, tzinfo=UTC))),
        [],
        (
            "projectwithuserrole",
            "GET",
            None,
            {"filter": {"title_eq": "Cats", "created_after": "2026-01-02T00:00:00+00:00"}},
        ),
    ),
    (
        lambda s: s.list_datasets(ListingFilter(title_like="C%")),
        [],
        ("datasetwithuserrole", "GET", None, {"filter": {"title_like": "C%"}}),
    ),
]


@pytest.mark.parametrize(("call", "response", "expected"), USER_CALLS)
async def test_user_calls(
    session: EncordSession, wire: Wire, call: Call, response: object, expected: tuple[object, ...]
) -> None:
    """Each method of a session sends its own query with what it was given."""
    wire.response = response
    await call(session)
    assert wire.sent() == expected
    assert wire.target == Endpoint.USER


PROJECT_CALLS: list[tuple[Call, object, tuple[str, str, object, object]]] = [
    (
        lambda s: s.project(P).add_datasets(iter([D])),
        True,
        ("projectdataset", "POST", None, {"dataset_hashes": [D]}),
    ),
    (lambda s: s.project(P).remove_datasets([D]), True, ("projectdataset", "DELETE", [D], None)),
    (
        lambda s: s.project(P).add_users(["a@example.com"], ProjectUserRole.ANNOTATOR),
        [],
        ("projectusers", "POST", P, {"user_emails": ["a@example.com"], "user_role": 1}),
    ),
    (
        lambda s: s.project(P).get(),
        {"project_hash": P, "title": "Cats"},
        ("project", "GET", None, {"include_labels_metadata": False}),
    ),
    (
        lambda s: s.project(P).get(include_labels_metadata=True),
        {"project_hash": P, "title": "Cats"},
        ("project", "GET", None, {"include_labels_metadata": True}),
    ),
    (
        lambda s: s.project(P).get_ontology(),
        {"project_hash": P, "title": "Cats", "editor_ontology": {"objects": []}},
        ("project", "GET", None, {"include_labels_metadata": False}),
    ),
]


@pytest.mark.parametrize(("call", "response", "expected"), PROJECT_CALLS)
async def test_project_calls(
    session: EncordSession, wire: Wire, call: Call, response: object, expected: tuple[object, ...]
) -> None:
    """Each method of a project's handle sends its own query about that project."""
    wire.response = response
    await call(session)
    assert wire.sent() == expected
    assert wire.target == Endpoint.RESOURCE
    assert (wire.headers["ResourceID"], wire.headers["ResourceType"]) == (P, "project")
    assert len(wire.headers["Authorization"]) == 193


async def test_copy_project(session: EncordSession, wire: Wire) -> None:
    """A copy names its source as the resource, takes the options in their fixed order and gives the new hash."""
    wire.response = "copy-1"
    found = await session.copy_project(
        P, title="Copy", description="Of it", options=[CopyOption.COLLABORATORS, CopyOption.DATASETS]
    )
    assert found == "copy-1"
    name, method, uid, payload = wire.sent()
    assert (name, method, uid, wire.headers["ResourceID"]) == ("projectcopy", "POST", P, P)
    assert isinstance(payload, dict)
    assert payload["copy_project_options"] == ["datasets", "collaborators"]
    assert payload["project_copy_metadata"]["project_title"] == "Copy"
    assert payload["project_copy_metadata"]["project_description"] == "Of it"


async def test_add_dataset_users(session: EncordSession, wire: Wire) -> None:
    """Users of a dataset are added under the dataset's own resource type."""
    wire.response = [{"user_email": "a@example.com", "user_role": 0, "dataset_hash": D}]
    [user] = await session.add_dataset_users(D, ["a@example.com"], DatasetUserRole.ADMIN)
    assert user.user_role is DatasetUserRole.ADMIN
    assert wire.sent() == ("datasetusers", "POST", D, {"user_emails": ["a@example.com"], "user_role": 0})
    assert (wire.headers["ResourceID"], wire.headers["ResourceType"]) == (D, "dataset")


@pytest.mark.parametrize("api_key", ["project-key", SecretStr("project-key")])
@pytest.mark.parametrize(("call", "response", "expected"), PROJECT_CALLS)
async def test_project_calls_with_an_api_key(
    session: EncordSession,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
    response: object,
    expected: tuple[object, ...],
    api_key: str | SecretStr,
) -> None:
    """A handle with an API key sends all its calls with that, and the session's own calls stay signed."""
    wire.response = response
    handle = session.project(P, api_key=api_key)
    with monkeypatch.context() as patch:
        patch.setattr(session, "project", lambda _: handle)
        await call(session)
    assert wire.sent() == expected
    assert wire.headers["Authorization"] == "project-key"
    assert "ResourceType" not in wire.headers
    wire.response = []
    await session.list_projects()
    assert len(wire.headers["Authorization"]) == 193


async def test_api_keys_come_as_secrets(session: EncordSession, wire: Wire) -> None:
    """Keys that the service hands out do not print themselves."""
    wire.response = "s3cret"
    created = await session.create_project_api_key(P, "ci", [APIKeyScope.LABEL_READ])
    wire.response = KEYS
    [listed] = await session.list_project_api_keys(P)
    assert created.get_secret_value() == listed.api_key.get_secret_value() == "s3cret"
    assert "s3cret" not in f"{created} {created!r} {listed} {listed!r}"


async def test_one_text_for_a_list_is_refused(session: EncordSession, wire: Wire) -> None:
    """A text where a list of texts belongs is a mistake, not a list of letters."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: session.create_project("Cats", dataset_hashes="d1"),
        lambda: session.project(P).add_datasets("d1"),
        lambda: session.project(P).remove_datasets("d1"),
        lambda: session.project(P).add_users("a@example.com", ProjectUserRole.ADMIN),
        lambda: session.add_dataset_users(D, "a@example.com"),
        lambda: session.create_project_api_key(P, "ci", "label.read"),  # type: ignore[arg-type]  # the mistake
    ]
    for call in calls:
        with pytest.raises(UsageError, match="give a list"):
            await call()
    assert wire.target == ""


def test_handle_shows_its_project_only() -> None:
    """A handle names its project and keeps its key to itself."""
    session = EncordSession(SSHKey(PRIVATE))
    handle = session.project(P, api_key="s3cret")
    assert repr(handle) == "<ProjectHandle project-1>"
    assert handle.project_hash == P
    with pytest.raises(SettingsError, match="API key is empty"):
        session.project(P, api_key="")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"existing": "perhaps"}, "use adopt, create or fail"),
        ({"max_batch": 0}, "max_batch is 0"),
        ({"max_failures": "many"}, "for example 50 or 5%"),
    ],
)
def test_provision_checks_its_arguments(options: dict[str, Any], says: str) -> None:
    """An option that cannot work is refused before anything is read or sent."""
    session = EncordSession(SSHKey(PRIVATE))
    with pytest.raises(UsageError, match=says):
        session.provision([], **options)
