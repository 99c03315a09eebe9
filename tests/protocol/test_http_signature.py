import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import UsageError
from encord_async.protocol.catalogue import REST_CALLS, RestCall
from encord_async.protocol.http_signature import Signer, content_digest, signature_base
from encord_async.protocol.rest import RestRequest
from encord_async.protocol.signing import APIKey, BearerToken, SSHKey

VECTORS = json.loads((Path(__file__).parent.parent / "vectors.json").read_text(encoding="utf-8"))
KEY = SSHKey.from_text(VECTORS["key"]["openssh_private_key_pem"])
PUBLIC = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["key"]["seed_hex"])).public_key()

TARGETS = st.from_regex(r"/v2/public(/[A-Za-z0-9%._~-]{1,12}){1,4}(\?[A-Za-z0-9%=&+_.-]{1,40})?", fullmatch=True)
REQUESTS = st.builds(
    RestRequest, call=st.sampled_from(list(REST_CALLS.values())), target=TARGETS, body=st.binary(max_size=200)
)
MOMENTS = st.integers(0, 10**11)


def request_of(vector: dict[str, Any]) -> RestRequest:
    """The request of a vector."""
    call = next(call for call in REST_CALLS.values() if call.method == vector["http_method"])
    return RestRequest(call=call, target=vector["request_target"], body=vector["body"].encode())


@pytest.mark.parametrize("vector", VECTORS["v2"], ids=lambda vector: vector["id"])
def test_every_vector(vector: dict[str, Any]) -> None:
    """The headers are to the byte those of the official SDK 0.1.211, which OpenSSL has verified."""
    assert request_of(vector).authentication(KEY, created_s=vector["created"]) == {
        "Content-Digest": vector["content_digest"],
        "Signature-Input": vector["signature_input"],
        "Signature": vector["signature"],
    }
    params = vector["signature_input"].removeprefix("encord-sig=")
    base = signature_base(vector["http_method"], vector["request_target"], vector["content_digest"], params)
    assert base == vector["signature_base"]


def _base_of(request: RestRequest, headers: dict[str, str]) -> bytes:
    """What a server that knows the draft builds from a request and its headers, written anew."""
    stated = headers["Signature-Input"].removeprefix("encord-sig=")
    covered = stated[1 : stated.index(")")].split(" ")
    values = {
        '"@method"': request.call.method,
        '"@request-target"': request.target,
        '"content-digest"': headers["Content-Digest"],
    }
    return "\n".join([f"{name}: {values[name]}" for name in covered] + [f'"@signature-params": {stated}']).encode()


def _signature(headers: dict[str, str]) -> bytes:
    text = headers["Signature"]
    assert text.startswith("encord-sig=:")
    assert text.endswith(":")
    return base64.b64decode(text.removeprefix("encord-sig=:").removesuffix(":"), validate=True)


@given(request=REQUESTS, created_s=MOMENTS)
def test_a_server_can_verify_what_was_signed(request: RestRequest, created_s: int) -> None:
    """Whatever is sent and whenever: the signature verifies over the base that the headers themselves describe."""
    headers = request.authentication(KEY, created_s=created_s)
    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    assert headers["Content-Digest"] == f"sha-256=:{digest}:"
    assert f";created={created_s};" in headers["Signature-Input"]
    assert "Authorization" not in headers
    PUBLIC.verify(_signature(headers), _base_of(request, headers))


@given(request=REQUESTS, created_s=MOMENTS, what=st.sampled_from(["method", "target", "body", "created"]))
def test_a_signature_is_good_for_one_request_only(request: RestRequest, created_s: int, what: str) -> None:
    """With another method, target, body or time the signature does not verify."""
    headers = request.authentication(KEY, created_s=created_s)
    method = "PUT" if request.call.method == "POST" else "POST"
    other = {
        "method": RestRequest(
            call=RestCall(method=method, path="/x", effect=request.call.effect, source="x"),  # type: ignore[arg-type]  # one of two
            target=request.target,
            body=request.body,
        ),
        "target": RestRequest(call=request.call, target=request.target + "0", body=request.body),
        "body": RestRequest(call=request.call, target=request.target, body=request.body + b" "),
        "created": request,
    }[what]
    forged = other.authentication(KEY, created_s=created_s + (what == "created"))
    with pytest.raises(InvalidSignature):
        PUBLIC.verify(_signature(headers), _base_of(other, forged))


def test_a_request_without_a_body_has_the_digest_of_nothing() -> None:
    """GET and DELETE carry the digest of zero bytes, as the SDK sends it."""
    assert content_digest(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


def test_a_bearer_token_replaces_the_signature() -> None:
    """With a token there is one header, and none of a signature."""
    request = request_of(VECTORS["v2"][0])
    assert request.authentication(BearerToken("t0ken"), created_s=1) == {"Authorization": "Bearer t0ken"}


def test_an_api_key_is_refused() -> None:
    """The key of one project opens nothing of REST v2, and that is said before anything is sent."""
    with pytest.raises(UsageError, match="not open to API keys; use the SSH key") as caught:
        request_of(VECTORS["v2"][0]).headers(APIKey("secret-api-key"))
    assert "secret-api-key" not in str(caught.value)


def test_only_a_key_is_a_signer() -> None:
    """Tokens and API keys cannot be taken for something that signs."""
    assert isinstance(KEY, Signer)
    assert not isinstance(BearerToken("t"), Signer)
    assert not isinstance(APIKey("k"), Signer)


def test_what_is_signed_is_the_text_itself() -> None:
    """Other than with an envelope there is no digest before the signature."""
    PUBLIC.verify(KEY.sign(b"text"), b"text")
