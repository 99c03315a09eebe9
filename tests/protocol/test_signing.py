import base64
import copy
import hashlib
import json
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import EncordError, KeyFormatError, SettingsError
from encord_async.protocol.signing import APIKey, BearerToken, Credential, SSHKey

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())
PEM: str = VECTORS["key"]["openssh_private_key_pem"]
ENCRYPTED_PEM: str = VECTORS["key"]["encrypted_openssh_private_key_pem"]
PASSPHRASE: str = VECTORS["key"]["encrypted_passphrase"]
FINGERPRINT: str = VECTORS["key"]["fingerprint_sha256"]
PUBLIC_HEX: str = VECTORS["key"]["public_key_hex"]
SEED_HEX: str = VECTORS["key"]["seed_hex"]
BASE64 = "".join(PEM.strip().splitlines()[1:-1])

CANARY_LENGTH = 12


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and everything it was raised from or while, suppressed or not."""
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        yield from _chain(error.__context__)


def assert_keeps_secret(error: BaseException, *secrets: str) -> None:
    """No 12 characters in a row of the base64 or hex in *secrets* can be found anywhere around *error*."""
    runs = [run for secret in secrets for run in re.findall(r"[A-Za-z0-9+/=_-]{12,}", secret)]
    pieces = {run[i : i + CANARY_LENGTH] for run in runs for i in range(len(run) - CANARY_LENGTH + 1)}
    assert pieces, "there is nothing to look for"
    for one in _chain(error):
        shown = [str(one), repr(one), repr(one.args), repr(vars(one)), *traceback.format_exception_only(one)]
        text = "\n".join(shown)
        found = [piece for piece in pieces if piece in text]
        assert not found, f"{type(one).__name__} shows the key"


def _private(key: Any, form: PrivateFormat, protection: KeySerializationEncryption | None = None) -> str:
    pem: bytes = key.private_bytes(Encoding.PEM, form, protection or NoEncryption())
    return pem.decode()


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    """An RSA key; slow to make, so made once."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def key() -> SSHKey:
    """The key of the test vectors."""
    return SSHKey.from_text(PEM)


class TestVectors:
    """Signatures that the official SDK and OpenSSL agree on."""

    @pytest.mark.parametrize("vector", VECTORS["v1"], ids=lambda vector: vector["id"])
    def test_the_header_is_that_of_the_sdk(self, key: SSHKey, vector: dict[str, Any]) -> None:
        """For each captured body the header is, character by character, the one of the official SDK."""
        body = vector["body"].encode()
        assert hashlib.sha256(body).hexdigest() == vector["sha256_hex"]
        assert key.authorization(body) == vector["authorization"]

    @pytest.mark.parametrize("vector", VECTORS["v1_negative"], ids=lambda vector: vector["id"])
    def test_a_wrong_header_is_never_made(self, key: SSHKey, vector: dict[str, Any]) -> None:
        """The headers of known mistakes do not verify, and we do not make them."""
        body = vector["body"].encode()
        assert not _verifies(vector["authorization"], body)
        assert _verifies(key.authorization(body), body)
        assert key.authorization(body) != vector["authorization"]

    def test_there_are_as_many_as_were_recorded(self) -> None:
        """No vector got lost."""
        assert (len(VECTORS["v1"]), len(VECTORS["v1_negative"])) == (65, 7)

    def test_the_key_is_recognised(self, key: SSHKey) -> None:
        """Fingerprint and public key are those that ``ssh-keygen`` prints."""
        assert key.fingerprint == key.identity == FINGERPRINT
        assert key.public_key_hex == PUBLIC_HEX


def _verifies(header: str, body: bytes) -> bool:
    """An independent reading of the header, as a server does it."""
    match = re.fullmatch(r"([0-9a-f]{64}):([0-9a-f]{128})", header)
    if match is None:
        return False
    public, signature = (bytes.fromhex(part) for part in match.groups())
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, hashlib.sha256(body).digest())
    except InvalidSignature:
        return False
    return True


@given(seed=st.binary(min_size=32, max_size=32), body=st.binary(max_size=200))
def test_any_body_gets_a_header_that_verifies(seed: bytes, body: bytes) -> None:
    """Whatever key and body, the header is 193 lower-case characters and verifies over these bytes only."""
    header = SSHKey(Ed25519PrivateKey.from_private_bytes(seed)).authorization(body)
    assert len(header) == 193
    assert header == header.lower()
    assert _verifies(header, body)
    assert not _verifies(header, body + b" ")


ONE_LINE = " ".join(PEM.split("\n")).strip()
TOLERATED: dict[str, Callable[[str], str]] = {
    "as it is": lambda pem: pem,
    "without the last line end": str.rstrip,
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "old Mac line ends": lambda pem: pem.replace("\n", "\r"),
    "blanks around": lambda pem: f" \n\t{pem}\n\n  ",
    "blanks at line ends": lambda pem: pem.replace("\n", "  \n"),
    "indented": lambda pem: "\n".join("    " + line for line in pem.splitlines()),
    "blank lines": lambda pem: pem.replace("\n", "\n\n"),
    "one line with spaces": lambda pem: " ".join(pem.split("\n")).strip(),
    "one line without spaces": lambda pem: pem.replace("\n", ""),
    "double quotes": lambda pem: f'"{pem}"',
    "single quotes": lambda pem: f"'{pem}'",
    "literal \\n": lambda pem: pem.replace("\n", "\\n"),
    "literal \\r\\n": lambda pem: pem.replace("\n", "\\r\\n"),
    "literal \\n in quotes": lambda pem: '"' + pem.replace("\n", "\\n") + '"',
    "byte order mark": lambda pem: "\ufeff" + pem,
    "a comment before": lambda pem: "# our key\n" + pem,
    "a comment after": lambda pem: pem + "\n# end\n",
}


class TestToleratedForms:
    """Forms in which keys are found in files and environment variables."""

    @pytest.mark.parametrize("form", TOLERATED)
    def test_a_key_is_read(self, form: str) -> None:
        """However its lines were mangled on the way, a whole key is read."""
        assert SSHKey.from_text(TOLERATED[form](PEM)).fingerprint == FINGERPRINT

    @pytest.mark.parametrize("form", TOLERATED)
    def test_a_key_with_a_passphrase_is_read(self, form: str) -> None:
        """The same goes for a key with a passphrase."""
        key = SSHKey.from_text(TOLERATED[form](ENCRYPTED_PEM), passphrase=PASSPHRASE)
        assert key.fingerprint == FINGERPRINT

    @pytest.mark.parametrize("form", [form for form in TOLERATED if form != "byte order mark"])
    def test_a_key_is_read_from_a_file(self, form: str, tmp_path: Path) -> None:
        """The same goes for a file."""
        file = tmp_path / "key"
        file.write_bytes(TOLERATED[form](PEM).encode())
        assert SSHKey.from_path(file).fingerprint == FINGERPRINT
        assert SSHKey.from_path(str(file)).fingerprint == FINGERPRINT

    def test_home_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """``~/.ssh/encord`` is a path under the home directory."""
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "encord").write_text(PEM)
        assert SSHKey.from_path("~/encord").fingerprint == FINGERPRINT
        assert SSHKey.from_path(Path("~/encord")).fingerprint == FINGERPRINT

    def test_a_new_key_is_read(self) -> None:
        """A key that was made just now works like the one of the vectors."""
        pair = Ed25519PrivateKey.generate()
        public = pair.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        assert SSHKey.from_text(_private(pair, PrivateFormat.OpenSSH)).public_key_hex == public.hex()


class TestPassphrase:
    """Keys with a passphrase, which OpenSSH encrypts by way of bcrypt."""

    def test_the_right_one_opens_the_key(self, tmp_path: Path) -> None:
        """A key with a passphrase is read from text and file."""
        file = tmp_path / "key"
        file.write_text(ENCRYPTED_PEM)
        assert SSHKey.from_path(file, passphrase=PASSPHRASE).fingerprint == FINGERPRINT

    def test_any_text_is_a_passphrase(self) -> None:
        """A passphrase is not only ASCII."""
        pair = Ed25519PrivateKey.generate()
        text = _private(pair, PrivateFormat.OpenSSH, BestAvailableEncryption("Пароль 密码".encode()))
        SSHKey.from_text(text, passphrase="Пароль 密码")

    @pytest.mark.parametrize("passphrase", ["Correct horse", " correct horse", "x" * 100, "\ud800 canary"])
    def test_a_wrong_one_is_told(self, passphrase: str) -> None:
        """A wrong passphrase is called so, and is shown nowhere."""
        with pytest.raises(KeyFormatError, match="wrong passphrase; check the passphrase") as caught:
            SSHKey.from_text(ENCRYPTED_PEM, passphrase=passphrase)
        assert all(passphrase not in f"{one} {one!r} {one.args!r}" for one in _chain(caught.value))
        assert all("canary" not in f"{one!r} {one.args!r}" for one in _chain(caught.value))
        assert_keeps_secret(caught.value, ENCRYPTED_PEM)

    @pytest.mark.parametrize("passphrase", [None, ""])
    def test_a_missing_one_is_asked_for(self, passphrase: str | None) -> None:
        """Without a passphrase the message asks for one; an empty one is none."""
        with pytest.raises(KeyFormatError, match="is encrypted; give its passphrase") as caught:
            SSHKey.from_text(ENCRYPTED_PEM, passphrase=passphrase)
        assert_keeps_secret(caught.value, ENCRYPTED_PEM)

    def test_a_superfluous_one_is_ignored(self) -> None:
        """A passphrase for a key that has none does no harm: it may be set for another key."""
        assert SSHKey.from_text(PEM, passphrase="whatever").fingerprint == FINGERPRINT


SSH2_PUBLIC = f"""---- BEGIN SSH2 PUBLIC KEY ----
Comment: "canary"
{VECTORS["key"]["openssh_public_line"].split()[1]}
---- END SSH2 PUBLIC KEY ----
"""
CERTIFICATE = f"-----BEGIN CERTIFICATE-----\n{BASE64}\n-----END CERTIFICATE-----\n"
PUTTY = f"""PuTTY-User-Key-File-3: ssh-ed25519
Encryption: none
Comment: canary
Public-Lines: 2
{BASE64[:64]}
{BASE64[64:100]}
Private-Lines: 1
{BASE64[100:150]}
Private-MAC: 0123456789abcdef0123456789abcdef
"""


@dataclass(frozen=True)
class Refused:
    """A text that is no key for us."""

    text: str
    says: str


REFUSED: dict[str, Refused] = {
    "empty": Refused("", "is empty"),
    "blank": Refused(" \r\n\t ", "is empty"),
    "quotes only": Refused("''", "is empty"),
    "a literal line end only": Refused("\\n", "is empty"),
    "public key line": Refused(VECTORS["key"]["openssh_public_line"], "public key; the private half"),
    "RSA public key line": Refused("ssh-rsa " + BASE64, "public key; the private half"),
    "ECDSA public key line": Refused("ecdsa-sha2-nistp256 " + BASE64 + " me@host", "public key; the private half"),
    "security key's line": Refused("sk-ssh-ed25519@openssh.com " + BASE64, "public key; the private half"),
    "SSH2 public key": Refused(SSH2_PUBLIC, "public key; the private half"),
    "PEM public key": Refused(
        f"-----BEGIN PUBLIC KEY-----\n{BASE64}\n-----END PUBLIC KEY-----", "public key; the private half"
    ),
    "certificate": Refused(CERTIFICATE, "a certificate"),
    "PuTTY": Refused(PUTTY, "PuTTY key; export it as an OpenSSH key"),
    "base64 without its frame": Refused(BASE64, "first line is missing"),
    "some text": Refused("canary canary canary", "first line is missing"),
    "first line missing": Refused("\n".join(PEM.splitlines()[1:]), "first line is missing"),
    "last line missing": Refused("\n".join(PEM.strip().splitlines()[:-1]), "cut short; copy the whole file"),
    "last line cut": Refused(PEM.strip()[:-3], "cut short; copy the whole file"),
    "first line cut": Refused(PEM.replace("-----BEGIN", "----BEGIN"), "cut short; copy the whole file"),
    "markers swapped": Refused("\n".join(reversed(PEM.strip().splitlines())), "cut short; copy the whole file"),
    "a line missing": Refused("\n".join(PEM.splitlines()[:2] + PEM.splitlines()[3:]), "damaged|not supported"),
    "nothing between the markers": Refused("\n".join(PEM.splitlines()[::5]), "cannot be read|cut short"),
    "a character missing": Refused(PEM.replace(BASE64[:20], BASE64[:19]), "damaged"),
    "another text in the frame": Refused(PEM.replace(BASE64[:15], "AAAAAAAAAAAAAAA"), "damaged"),
}


class TestRefusedForms:
    """Everything that is no Ed25519 private key in OpenSSH format."""

    @pytest.mark.parametrize("form", REFUSED)
    def test_the_message_says_what_it_is(self, form: str) -> None:
        """The error says what was found instead of a key and shows none of it."""
        with pytest.raises(KeyFormatError, match=REFUSED[form].says) as caught:
            SSHKey.from_text(REFUSED[form].text)
        assert caught.value.applied == "not_applied"
        assert_keeps_secret(caught.value, PEM, SEED_HEX)

    @pytest.mark.parametrize("form", REFUSED)
    def test_a_file_is_named(self, form: str, tmp_path: Path) -> None:
        """If the text came from a file, the message names the file and still shows nothing of it."""
        file = tmp_path / "key"
        file.write_text(REFUSED[form].text)
        with pytest.raises(KeyFormatError, match=re.escape(str(file))) as caught:
            SSHKey.from_path(file)
        assert_keeps_secret(caught.value, PEM, SEED_HEX)

    @pytest.mark.parametrize("passphrase", [None, "x"])
    def test_rsa_is_refused_by_name(self, rsa_key: rsa.RSAPrivateKey, passphrase: str | None) -> None:
        """An RSA key in OpenSSH format is well-formed and still no use; the message says why and what to do."""
        text = _private(rsa_key, PrivateFormat.OpenSSH)
        with pytest.raises(KeyFormatError, match=r"is RSA, .* Ed25519 only; .*ssh-keygen -t ed25519") as caught:
            SSHKey.from_text(text, passphrase=passphrase)
        assert_keeps_secret(caught.value, text)

    def test_ecdsa_is_refused_by_name(self) -> None:
        """The same goes for ECDSA."""
        text = _private(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.OpenSSH)
        with pytest.raises(KeyFormatError, match=r"is EC, .* Ed25519 only") as caught:
            SSHKey.from_text(text)
        assert_keeps_secret(caught.value, text)

    @pytest.mark.parametrize(
        ("form", "protection", "says"),
        [
            (PrivateFormat.PKCS8, NoEncryption(), r"a PKCS#8 private key"),
            (PrivateFormat.PKCS8, BestAvailableEncryption(b"x"), r"an encrypted PKCS#8 private key"),
        ],
    )
    def test_pkcs8_is_refused_by_name(
        self, form: PrivateFormat, protection: KeySerializationEncryption, says: str
    ) -> None:
        """An Ed25519 key in another format than OpenSSH's is named by its format."""
        text = _private(Ed25519PrivateKey.generate(), form, protection)
        with pytest.raises(KeyFormatError, match=says) as caught:
            SSHKey.from_text(text, passphrase="x")
        assert_keeps_secret(caught.value, text)

    def test_old_pem_keys_are_refused_by_name(self, rsa_key: rsa.RSAPrivateKey) -> None:
        """The PEM formats of old OpenSSH are named too."""
        for pair, says in ((rsa_key, "an RSA key"), (ec.generate_private_key(ec.SECP256R1()), "an ECDSA key")):
            text = _private(pair, PrivateFormat.TraditionalOpenSSL)
            with pytest.raises(KeyFormatError, match=says) as caught:
                SSHKey.from_text(text)
            assert_keeps_secret(caught.value, text)

    def test_an_unknown_cipher_is_told(self) -> None:
        """A key whose cipher nobody here knows is not called damaged."""
        blob = base64.b64decode("".join(ENCRYPTED_PEM.strip().splitlines()[1:-1]))
        text = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----".format(
            base64.b64encode(blob.replace(b"aes256-ctr", b"xes256-ctr")).decode()
        )
        with pytest.raises(KeyFormatError, match="cipher that is not supported") as caught:
            SSHKey.from_text(text, passphrase=PASSPHRASE)
        assert_keeps_secret(caught.value, text)


def _outcome(call: Callable[[], object]) -> object:
    """The value that *call* gives, or the error of ours that it raises; anything else goes through."""
    try:
        return call()
    except EncordError as error:
        return error


@given(st.data())
def test_damage_is_a_key_format_error_and_nothing_else(data: st.DataObject) -> None:
    """Whatever bytes of a key were changed, cut or added, the caller sees one kind of error and no key."""
    blob = bytearray(base64.b64decode(BASE64))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    frame = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----"
    outcome = _outcome(lambda: SSHKey.from_text(frame.format(base64.b64encode(blob).decode())))
    if isinstance(outcome, SSHKey):
        assert _verifies(outcome.authorization(b"x"), b"x")
    else:
        assert isinstance(outcome, KeyFormatError)
        assert_keeps_secret(outcome, BASE64)
        # The errors of the library that reads keys quote bytes of the key.
        assert outcome.__context__ is None


@given(st.text(max_size=80), st.none() | st.text(max_size=8))
def test_any_text_is_a_key_or_a_key_format_error(text: str, passphrase: str | None) -> None:
    """Text that has nothing to do with keys is refused without a traceback of somebody else's."""
    for tried in (text, PEM[:60] + text, PEM[:100] + text + PEM[100:]):
        outcome = _outcome(partial(SSHKey.from_text, tried, passphrase=passphrase))
        assert isinstance(outcome, SSHKey | KeyFormatError)
        if isinstance(outcome, KeyFormatError):
            assert_keeps_secret(outcome, BASE64)


class TestFiles:
    """Paths that lead to no key."""

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """The message names the path that was tried."""
        with pytest.raises(KeyFormatError, match=r"cannot read the key file .*nothing: No such file .*check the path"):
            SSHKey.from_path(tmp_path / "nothing")

    def test_a_file_without_end(self) -> None:
        """What is larger than any key is read no further than that."""
        with pytest.raises(KeyFormatError, match="/dev/zero is larger than any key"):
            SSHKey.from_path("/dev/zero")

    def test_a_directory(self, tmp_path: Path) -> None:
        """A directory is named as one."""
        with pytest.raises(KeyFormatError, match=r"cannot read the key file .*: Is a directory; check the path"):
            SSHKey.from_path(tmp_path)

    def test_a_path_through_a_file(self, tmp_path: Path) -> None:
        """Any other reason of the operating system is passed on in its words."""
        (tmp_path / "file").touch()
        with pytest.raises(KeyFormatError, match="Not a directory; check the path"):
            SSHKey.from_path(tmp_path / "file" / "key")

    def test_a_home_that_does_not_exist(self) -> None:
        """``~somebody/key`` without such a user is a key error too."""
        with pytest.raises(KeyFormatError, match=r"cannot read the key file ~nobody-of-that-name/key: .*home"):
            SSHKey.from_path("~nobody-of-that-name/key")

    def test_a_path_with_a_nul(self) -> None:
        """A path that no file can have is a key error too."""
        with pytest.raises(KeyFormatError, match="null byte; check the path"):
            SSHKey.from_path("a\0b")

    @pytest.mark.parametrize("noise", [b"\xff\xfe", b"# caf\xe9\n", "# Schlüssel\n".encode(), b"\x80" * 100])
    def test_bytes_that_are_no_text(self, tmp_path: Path, noise: bytes) -> None:
        """A file that is not ASCII is refused, and the key that it may hold is not shown."""
        file = tmp_path / "key"
        file.write_bytes(noise + PEM.encode())
        with pytest.raises(KeyFormatError, match="is not a text file; give an OpenSSH private key") as caught:
            SSHKey.from_path(file)
        assert_keeps_secret(caught.value, PEM)

    @pytest.mark.parametrize("form", [*TOLERATED, *(form for form in REFUSED if len(REFUSED[form].text) > 100)])
    def test_a_key_where_its_path_belongs(self, form: str) -> None:
        """Whoever puts the key's text where its path belongs does not find it in the message."""
        text = TOLERATED[form](PEM) if form in TOLERATED else REFUSED[form].text
        with pytest.raises(KeyFormatError) as caught:
            SSHKey.from_path(text)
        if form not in {"RSA public key line", "ECDSA public key line", "security key's line"}:
            assert "give the path of the file" in caught.value.message
        assert_keeps_secret(caught.value, PEM)


class TestCache:
    """Equal bodies have equal headers, so they are remembered, within bounds."""

    def test_a_remembered_header_is_the_right_one(self) -> None:
        """Asked again, before and after being forgotten, a body has the same header as with a fresh key."""
        key, bodies = SSHKey.from_text(PEM), [b"%d" % number for number in range(1300)]
        first = {body: key.authorization(body) for body in bodies}
        for body in (*bodies[:20], *bodies[-20:]):
            assert key.authorization(body) == first[body] == SSHKey.from_text(PEM).authorization(body)
        assert len(set(first.values())) == len(bodies)

    def test_it_does_not_grow_for_ever(self) -> None:
        """A run of any length keeps about a thousand headers."""
        key = SSHKey.from_text(PEM)
        for number in range(1100):
            key.authorization(b"%d" % number)
        assert key._cached.cache_info().currsize == 1024

    def test_what_is_used_stays(self) -> None:
        """The body of *get project*, which is the same for every project, is signed once."""
        key = SSHKey.from_text(PEM)
        for body in (b"again and again", *(b"%d" % number for number in range(1023)), b"again and again", b"one more"):
            key.authorization(body)
        assert key._cached.cache_info().hits == 1
        key.authorization(b"again and again")
        assert key._cached.cache_info().hits == 2
        key.authorization(b"0")
        assert key._cached.cache_info().hits == 2

    def test_large_bodies_are_not_kept(self) -> None:
        """Memory is bounded in bytes too: a body of some kilobytes is signed anew."""
        key = SSHKey.from_text(PEM)
        for size in (4096, 4096, 4097, 4097):
            key.authorization(b"x" * size)
        assert (key._cached.cache_info().currsize, key._cached.cache_info().hits) == (1, 1)


TOKEN = "0-1aABCDE_aFGcdeHIfJ2KfLMgNO3PQh4RST5UV6W_X"


def _credentials() -> list[Credential]:
    return [SSHKey.from_text(PEM), BearerToken(TOKEN), APIKey(TOKEN)]


@pytest.mark.parametrize("credential", _credentials(), ids=lambda credential: type(credential).__name__)
class TestEveryCredential:
    """What holds for a key, a token and an API key alike."""

    def test_shows_no_secret(self, credential: Credential) -> None:
        """In logs and debuggers a credential is its identity and nothing else."""
        shown = f"{credential} {credential!r} {credential.identity} {[credential]}"
        assert repr(credential) == f"{type(credential).__name__}({credential.identity})"
        for secret in (TOKEN, SEED_HEX, BASE64):
            pieces = {secret[i : i + CANARY_LENGTH] for i in range(len(secret) - CANARY_LENGTH + 1)}
            assert not any(piece in shown for piece in pieces)

    @pytest.mark.parametrize(
        "leave", [pickle.dumps, copy.copy, copy.deepcopy, lambda credential: copy.deepcopy({"a": [credential]})]
    )
    def test_does_not_leave_the_process(self, credential: Credential, leave: Callable[[object], object]) -> None:
        """Pickling and copying are refused, so a secret does not reach a disk or a worker by accident."""
        with pytest.raises(TypeError, match="holds a secret and cannot be pickled or copied") as caught:
            leave(credential)
        assert_keeps_secret(caught.value, TOKEN, BASE64)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_no_pickle_protocol_works(self, credential: Credential, protocol: int) -> None:
        """No version of pickle gets around that."""
        with pytest.raises(TypeError):
            pickle.dumps(credential, protocol)

    def test_has_no_dict_to_dump(self, credential: Credential) -> None:
        """A dump of an object's attributes finds none."""
        assert not hasattr(credential, "__dict__")

    def test_gives_a_header_that_can_be_sent(self, credential: Credential) -> None:
        """The header is one line of printable ASCII without blanks at its ends, the same each time."""
        header = credential.authorization(b"body")
        assert re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", header)
        assert credential.authorization(b"body") == header


def test_the_forms_of_the_headers() -> None:
    """A token goes with its scheme word, an API key without, whatever the body."""
    assert BearerToken(TOKEN).authorization(b"x") == BearerToken(TOKEN).authorization(b"y") == f"Bearer {TOKEN}"
    assert APIKey(TOKEN).authorization(b"x") == APIKey(TOKEN).authorization(b"y") == TOKEN
    assert APIKey(f" {TOKEN}\n").authorization(b"") == TOKEN


def test_identities_tell_accounts_apart() -> None:
    """Two credentials have one identity only if they are the same."""
    assert BearerToken("a").identity == BearerToken("a ").identity
    names = {BearerToken("a").identity, BearerToken("b").identity, APIKey("a").identity, APIKey("b").identity}
    assert len(names) == 4


def test_identities_stay_what_they_are() -> None:
    """Journals say whose they are by them: in another release they may not be spelt otherwise."""
    assert BearerToken("a").identity == "bearer:ca978112ca1bbdca"
    assert APIKey("a").identity == "api-key:ca978112ca1bbdca"


UNSAFE = {
    "empty": ("", "is empty"),
    "blank": (" \n", "is empty"),
    "inner blank": (f"{TOKEN} {TOKEN}", "cannot carry"),
    "header injection": (f"{TOKEN}\r\nX-Evil: 1", "cannot carry"),
    "line end": (f"{TOKEN}\n{TOKEN}", "cannot carry"),
    "tab": (f"{TOKEN}\t{TOKEN}", "cannot carry"),
    "NUL": (f"{TOKEN}\0x", "cannot carry"),
    "DEL": (f"{TOKEN}\x7fx", "cannot carry"),
    "not ASCII": (f"{TOKEN}é", "cannot carry"),
    "surrogate": (f"{TOKEN}\ud800", "cannot carry"),
    "private key": (PEM, "a private key is never sent, it signs"),
    "private key on one line": (ONE_LINE, "a private key is never sent, it signs"),
    "PKCS#8 key": (f"-----BEGIN PRIVATE KEY-----{BASE64}", "a private key is never sent, it signs"),
    "private key without its frame": (BASE64, "a private key is never sent, it signs"),
}


@pytest.mark.parametrize("kind", [BearerToken, APIKey])
@pytest.mark.parametrize("case", UNSAFE)
def test_what_a_header_cannot_carry_is_refused(kind: type[BearerToken | APIKey], case: str) -> None:
    """A secret that would break the request, or must never be sent, is refused at once and not shown."""
    secret, says = UNSAFE[case]
    with pytest.raises(SettingsError, match=says) as caught:
        kind(secret)
    assert_keeps_secret(caught.value, TOKEN, PEM)


@given(st.text(max_size=40))
def test_any_secret_is_sendable_or_refused(secret: str) -> None:
    """Whatever text is given as a token: its header can be sent, or the token is refused."""
    outcome = _outcome(lambda: BearerToken(secret).authorization(b""))
    if not isinstance(outcome, SettingsError):
        assert isinstance(outcome, str)
        assert re.fullmatch(r"Bearer [\x21-\x7e]+", outcome)


def test_the_canary_sings() -> None:
    """The check for leaks finds a leak, even in an error that was suppressed."""
    leak = KeyFormatError("bad key")
    leak.__context__ = ValueError(b"x" + PEM.encode())
    leak.__suppress_context__ = True
    with pytest.raises(AssertionError, match="ValueError shows the key"):
        assert_keeps_secret(leak, PEM)
