"""How a REST v2 request proves who sent it: HTTP message signatures, or a bearer token.

The text that gets signed is built here; the key that signs it stays in `encord_async.protocol.signing`. The time is an
argument. Nothing here sends, and no header but the signature's own is made.

Source: SDK 0.1.211 ``http/v2/request_signer.py`` (``draft-ietf-httpbis-message-signatures``). Other than with the
envelope, Ed25519 signs the text itself, the time is in it, and so equal requests have different signatures.
"""

import base64
import hashlib
from typing import Protocol, runtime_checkable

from encord_async.protocol.catalogue import (
    SIGNATURE_ALGORITHM,
    SIGNATURE_COMPONENTS,
    SIGNATURE_LABEL,
    Header,
)
from encord_async.protocol.signing import Credential

__all__ = ["Signer", "authentication", "content_digest", "signature_base", "signature_params"]


@runtime_checkable
class Signer(Protocol):
    """Holds an Ed25519 key and never shows its private half."""

    @property
    def public_key_hex(self) -> str:
        """The raw public key as 64 lower-case hex digits."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of *message*."""
        ...


def authentication(method: str, target: str, body: bytes, credential: Credential, *, created_s: int) -> dict[str, str]:
    """The headers that authenticate a request: three of a signature, or ``Authorization`` with a bearer token.

    Args:
        method: The HTTP method.
        target: Path and query exactly as they go onto the wire.
        body: What is going to be sent, to the byte.
        credential: An SSH key or a bearer token.
        created_s: Wall-clock time in whole seconds since 1970.
    """
    if not isinstance(credential, Signer):
        return {Header.AUTHORIZATION.value: credential.authorization(body)}
    digest = content_digest(body)
    params = signature_params(credential.public_key_hex, created_s=created_s)
    base = signature_base(method, target, digest, params)
    return {
        Header.CONTENT_DIGEST.value: digest,
        Header.SIGNATURE_INPUT.value: f"{SIGNATURE_LABEL}={params}",
        Header.SIGNATURE.value: f"{SIGNATURE_LABEL}={_bytes(credential.sign(base.encode('ascii')))}",
    }


def content_digest(body: bytes) -> str:
    """Value of ``Content-Digest``; a request without a body has the digest of zero bytes."""
    return f"sha-256={_bytes(hashlib.sha256(body).digest())}"


def signature_params(public_key_hex: str, *, created_s: int) -> str:
    """What ``Signature-Input`` says after its label: what is covered, when it was signed, with which key and how."""
    covered = " ".join(f'"{component}"' for component in SIGNATURE_COMPONENTS)
    return f'({covered});created={created_s};keyid="{public_key_hex}";alg="{SIGNATURE_ALGORITHM}"'


def signature_base(method: str, target: str, digest: str, params: str) -> str:
    """The text that gets signed: a line for each covered component, and one for the parameters; no line end after."""
    values = dict(zip(SIGNATURE_COMPONENTS, (method, target, digest), strict=True))
    lines = [f'"{component}": {value}' for component, value in values.items()]
    return "\n".join([*lines, f'"@signature-params": {params}'])


def _bytes(value: bytes) -> str:
    """*value* as structured fields spell bytes."""
    return f":{base64.b64encode(value).decode('ascii')}:"
