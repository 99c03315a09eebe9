"""Credentials: an Ed25519 key that signs request bodies, a bearer token, or the API key of a project.

Each credential turns a body into the value of the ``Authorization`` header. None of them shows its secret in
``repr``, in an error or when pickled, and nothing here reads the environment, sends, or waits.

Source of the signature: docs (Node sample) and SDK 0.1.211 ``configs.py``, which agree:
``hex(raw public key) + ":" + hex(Ed25519-sign(SHA-256(body)))``, lower case. No time stamp, no nonce: equal
bodies have equal headers, which is why they can be cached.
"""

import base64
import hashlib
import re
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from encord_async.errors import KeyFormatError, SettingsError
from encord_async.secrecy import Opaque, Secret, SecretText, sealed, wrapped

__all__ = ["APIKey", "BearerToken", "Credential", "SSHKey"]

_CACHED_HEADERS: Final = 1024
_CACHED_BODY_MAX_BYTES: Final = 4096

_MAX_KEY_FILE_BYTES: Final = 64 * 1024
"""A key takes half a kilobyte, and there may be text around it."""

_BEGIN: Final = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END: Final = "-----END OPENSSH PRIVATE KEY-----"
_MAGIC: Final = "b3BlbnNzaC1rZXktdjE"
"""How the base64 of every OpenSSH private key begins (``openssh-key-v1``)."""
_CONVERT: Final = "make one with 'ssh-keygen -t ed25519' and register its public half with Encord"


class Credential(Protocol):
    """What a session authenticates with."""

    @property
    def identity(self) -> str:
        """A name of the account that may be shown and stored; never the secret."""
        ...

    def authorization(self, body: bytes) -> str:
        """Value of the ``Authorization`` header for *body*."""
        ...


class SSHKey(Opaque):
    """An Ed25519 private key in OpenSSH format, as Encord registers them for users and service accounts."""

    __slots__ = ("_cached", "_header", "_key", "_prefix", "fingerprint")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + raw
        self._key = key
        self._prefix = raw.hex() + ":"
        # No methods of this object: it would only be freed by the garbage collector then.
        self._header = partial(_header, self._prefix, key)
        self._cached = lru_cache(maxsize=_CACHED_HEADERS)(self._header)
        self.fingerprint: str = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        """As ``ssh-keygen -l`` prints it."""

    @classmethod
    @sealed
    def from_text(cls, text: SecretText, *, passphrase: SecretText | None = None) -> Self:
        """Read a key from its text.

        CRLF, surrounding blanks, a key on one line with spaces and ``\\n`` written as two characters (all
        seen in environment variables) are accepted. A passphrase for a key that has none is ignored.

        Raises:
            KeyFormatError: Not an Ed25519 private key in OpenSSH format, or the passphrase does not fit.
        """
        password = "" if passphrase is None else wrapped(passphrase).reveal()
        return cls(_loaded(_normalised(wrapped(text).reveal()), password))

    @classmethod
    @sealed
    def from_path(cls, path: str | Path, *, passphrase: SecretText | None = None) -> Self:
        """Read a key from a file; ``~`` is expanded.

        Raises:
            KeyFormatError: No such file, not readable, empty, or not a key as `from_text` takes it.
        """
        if _holds_key(str(path)):
            raise KeyFormatError("the path of the key file is a key's text; give the path of the file it is in")
        try:
            file = Path(path).expanduser()
            with file.open("rb") as stream:
                content = stream.read(_MAX_KEY_FILE_BYTES + 1)
        except OSError as error:
            raise KeyFormatError(f"cannot read the key file {path}: {error.strerror}; check the path") from None
        except (RuntimeError, ValueError) as error:  # no such home directory; a NUL in the path
            raise KeyFormatError(f"cannot read the key file {path}: {error}; check the path") from None
        if len(content) > _MAX_KEY_FILE_BYTES:
            raise KeyFormatError(f"{file} is larger than any key; give an OpenSSH private key")
        # Not left to decode(): its error holds all it was given.
        if not content.isascii():
            raise KeyFormatError(f"{file} is not a text file; give an OpenSSH private key")
        try:
            return cls.from_text(content.decode("ascii"), passphrase=passphrase)
        except KeyFormatError as error:
            raise KeyFormatError(f"{file}: {error.message}") from None

    @property
    def identity(self) -> str:
        """The fingerprint of the public key."""
        return self.fingerprint

    @property
    def public_key_hex(self) -> str:
        """The raw 32-byte public key as 64 lower-case hex digits."""
        return self._prefix[:-1]

    def authorization(self, body: bytes) -> str:
        """``<public key>:<signature of SHA-256(body)>``, both in hex; 193 characters."""
        return self._cached(body) if len(body) <= _CACHED_BODY_MAX_BYTES else self._header(body)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of *message* itself, as REST v2 wants it."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SSHKey({self.fingerprint})"


def _header(prefix: str, key: Ed25519PrivateKey, body: bytes) -> str:
    return prefix + key.sign(hashlib.sha256(body).digest()).hex()


class BearerToken(Opaque):
    """A bearer token. Source: SDK 0.1.110 and newer (``BearerConfig``); its lifetime is unknown."""

    __slots__ = ("_token",)

    @sealed
    def __init__(self, token: SecretText) -> None:
        self._token = Secret(_header_safe(wrapped(token).reveal(), "bearer token"))

    @property
    def identity(self) -> str:
        """A short digest of the token."""
        return f"bearer:{hashlib.sha256(self._token.reveal().encode()).hexdigest()[:16]}"

    def authorization(self, body: bytes) -> str:  # noqa: ARG002 - one shape for all credentials
        """``Bearer <token>``, whatever the body."""
        return f"Bearer {self._token.reveal()}"

    def __repr__(self) -> str:
        return f"BearerToken({self.identity})"


class APIKey(Opaque):
    """The API key of one project or dataset. Source: docs; dropped from the SDK in 0.1.147.

    Whether the service still honours such keys is unknown.
    """

    __slots__ = ("_key",)

    @sealed
    def __init__(self, key: SecretText) -> None:
        self._key = Secret(_header_safe(wrapped(key).reveal(), "API key"))

    @property
    def identity(self) -> str:
        """A short digest of the key."""
        return f"api-key:{hashlib.sha256(self._key.reveal().encode()).hexdigest()[:16]}"

    def authorization(self, body: bytes) -> str:  # noqa: ARG002 - one shape for all credentials
        """The key as it is, without a scheme word, whatever the body."""
        return self._key.reveal()

    def __repr__(self) -> str:
        return f"APIKey({self.identity})"


def _header_safe(secret: str, what: str) -> str:
    stripped = secret.strip()
    if not stripped:
        raise SettingsError(f"the {what} is empty; give the text that Encord showed")
    if "PRIVATE KEY" in stripped or _MAGIC in stripped:
        raise SettingsError(f"the {what} is a private key; a private key is never sent, it signs")
    if not re.fullmatch(r"[\x21-\x7e]+", stripped):
        raise SettingsError(f"the {what} holds blanks or characters that a header cannot carry")
    return stripped


_NOT_A_KEY: Final = (
    ("BEGIN OPENSSH PRIVATE KEY", ""),
    ("BEGIN PRIVATE KEY", "a PKCS#8 private key"),
    ("BEGIN ENCRYPTED PRIVATE KEY", "an encrypted PKCS#8 private key"),
    ("BEGIN RSA PRIVATE KEY", "an RSA key in PEM format"),
    ("BEGIN EC PRIVATE KEY", "an ECDSA key in PEM format"),
    ("BEGIN DSA PRIVATE KEY", "a DSA key in PEM format"),
    ("BEGIN PUBLIC KEY", "a public key; the private half is needed"),
    ("BEGIN SSH2 PUBLIC KEY", "a public key; the private half is needed"),
    ("BEGIN CERTIFICATE", "a certificate"),
    ("PuTTY-User-Key-File", "a PuTTY key; export it as an OpenSSH key"),
)


def _holds_key(text: str) -> bool:
    return "\n" in text or _MAGIC in text or any(marker in text for marker, _ in _NOT_A_KEY)


def _loaded(pem: bytes, passphrase: str) -> Ed25519PrivateKey:
    """The key in *pem*; an empty *passphrase* is none."""
    try:
        key = load_ssh_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError:
        if passphrase:
            return _loaded(pem, "")
        raise KeyFormatError("the private key is encrypted; give its passphrase") from None
    except UnsupportedAlgorithm:
        raise KeyFormatError(f"the private key is of a type or cipher that is not supported; {_CONVERT}") from None
    except ValueError:
        hint = "check the passphrase" if passphrase else "copy the whole file again"
        raise KeyFormatError(f"the OpenSSH private key cannot be read: damaged or wrong passphrase; {hint}") from None
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.strip("_").removesuffix("PrivateKey")
        raise KeyFormatError(f"the private key is {kind}, and Encord takes Ed25519 only; {_CONVERT}")
    return key


def _normalised(text: str) -> bytes:
    """The key as OpenSSH writes it: markers on lines of their own, base64 without blanks."""
    plain = text.replace("\\n", "\n").replace("\\r", "").lstrip("\ufeff").strip().strip("'\"").strip()
    if not plain:
        raise KeyFormatError("the private key is empty; give the text of an OpenSSH Ed25519 private key")
    if re.match(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ ", plain):
        raise KeyFormatError(f"this is a public key; the private half is needed; {_CONVERT}")
    for marker, what in _NOT_A_KEY:
        if marker in plain:
            if what:
                raise KeyFormatError(f"this is {what}, and Encord takes OpenSSH Ed25519 keys only; {_CONVERT}")
            break
    else:
        raise KeyFormatError(f"this is no OpenSSH private key: its first line is missing; {_CONVERT}")
    begin, end = plain.find(_BEGIN), plain.find(_END)
    if begin < 0 or end < begin:
        raise KeyFormatError("the OpenSSH private key is cut short; copy the whole file")
    content = "".join(plain[begin + len(_BEGIN) : end].split())
    return f"{_BEGIN}\n{content}\n{_END}\n".encode("utf-8", "replace")
