"""Who sent a request: signatures, tokens and API keys of ``Authorization`` headers, and OpenSSH key lines.

The emulator's only door to ``cryptography``. It never looks into a body (a signature covers bytes, not meaning), never
decides what a caller may do, and never puts a key or a token into an error.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from encord_async.protocol.catalogue import SIGNATURE_ALGORITHM, SIGNATURE_COMPONENTS, SIGNATURE_LABEL, Header

__all__ = [
    "ApiKey",
    "Bearer",
    "Credential",
    "KeyPair",
    "Signed",
    "credential_of",
    "make_key_pair",
    "public_key_hex",
    "rest_credential_of",
]

_SIGNATURE: Final = re.compile(r"([0-9A-Fa-f]{64}):([0-9A-Fa-f]{128})")
"""64 digits of a raw public key, one colon, 128 digits of a signature. Source: docs; SDK ``configs.py``."""

_API_KEY: Final = re.compile(r"[A-Za-z0-9_\-]+")
"""URL-safe characters. Source: SDK 0.1.60 ``docs/source/tutorials/projects.rst``."""

_COVERED: Final = " ".join(f'"{component}"' for component in SIGNATURE_COMPONENTS)
_SIGNATURE_INPUT: Final = re.compile(
    rf"{SIGNATURE_LABEL}=(\({re.escape(_COVERED)}\);created=([0-9]{{1,12}});"
    rf'keyid="([0-9A-Fa-f]{{64}})";alg="{SIGNATURE_ALGORITHM}")'
)
"""The one form that the official SDK writes; whether the service takes others is unknown. Source: SDK 0.1.211."""

_SIGNATURE_BYTES: Final = re.compile(rf"{SIGNATURE_LABEL}=:([A-Za-z0-9+/]{{86}}==):")

_BEARER_SCHEME: Final = "Bearer "
_TOKEN: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Signed:
    """The body was signed by this key (64 lower-case hex digits); whether anyone registered it is another question."""

    public_key: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token, not yet looked up."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of one project or dataset, not yet looked up."""

    key: str = field(repr=False)


Credential: TypeAlias = Signed | Bearer | ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A new Ed25519 key: the private half as OpenSSH text, the public half as an OpenSSH line and as hex digits."""

    private_text: str = field(repr=False)
    public_line: str
    public_hex: str


def credential_of(authorization: str | None, body: bytes) -> Credential | None:
    """Return what *authorization* proves or claims about the sender of *body*; None if it is not acceptable.

    A signature is checked here, over the SHA-256 digest of the exact bytes, before anything parses them.
    """
    if not authorization:
        return None
    if authorization.startswith(_BEARER_SCHEME):
        token = authorization.removeprefix(_BEARER_SCHEME)
        return Bearer(token) if _TOKEN.fullmatch(token) else None
    if match := _SIGNATURE.fullmatch(authorization):
        public_key = match[1].lower()
        return Signed(public_key) if _verifies(public_key, match[2], body) else None
    return ApiKey(authorization) if _API_KEY.fullmatch(authorization) else None


def rest_credential_of(
    headers: Mapping[str, str], *, method: str, target: str, body: bytes, now_s: float, window_s: float
) -> Signed | Bearer | str:
    """Return what a REST request proves or claims about its sender, or a text that says what is wrong with it.

    *target* is path and query as they came, to the byte; a signature is taken from *window_s* before to *window_s*
    after it says it was made.
    """
    signature_input = headers.get(Header.SIGNATURE_INPUT)
    if signature_input is None:
        found = credential_of(headers.get(Header.AUTHORIZATION), body)
        return found if isinstance(found, Bearer) else "neither a signature nor a bearer token"
    digest = headers.get(Header.CONTENT_DIGEST, "")
    if digest != f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:":
        return "Content-Digest is not the one of the body"
    stated = _SIGNATURE_INPUT.fullmatch(signature_input)
    signature = _SIGNATURE_BYTES.fullmatch(headers.get(Header.SIGNATURE, ""))
    if stated is None or signature is None:
        return f"Signature-Input or Signature is not of the form that {SIGNATURE_LABEL} has"
    params, created, public_key = stated[1], int(stated[2]), stated[3].lower()
    if abs(now_s - created) > window_s:
        return f"the signature was not created within {window_s:g} seconds of now"
    lines = zip(SIGNATURE_COMPONENTS, (method, target, digest), strict=True)
    base = "".join(f'"{component}": {value}\n' for component, value in lines) + f'"@signature-params": {params}'
    try:
        _loaded(public_key).verify(base64.b64decode(signature[1]), base.encode("latin-1"))
    except (InvalidSignature, UnicodeEncodeError):
        return "the signature is not one of this request"
    return Signed(public_key)


def public_key_hex(line: str) -> str:
    """Return the raw public key of an OpenSSH public-key *line* as 64 hex digits.

    Raises:
        ValueError: The line is not an OpenSSH public key, or not an Ed25519 one.
    """
    try:
        key = load_ssh_public_key(line.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not an OpenSSH public-key line such as 'ssh-ed25519 AAAA...'") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key; make one with: ssh-keygen -t ed25519")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def make_key_pair() -> KeyPair:
    """Make a new Ed25519 key, without a passphrase."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    return KeyPair(
        private_text=private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        public_line=public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        public_hex=public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
    )


@lru_cache(maxsize=4096)
def _loaded(public_key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))


def _verifies(public_key: str, signature: str, body: bytes) -> bool:
    try:
        _loaded(public_key).verify(bytes.fromhex(signature), sha256(body).digest())
    except InvalidSignature:
        return False
    return True
