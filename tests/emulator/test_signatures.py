"""Signatures, tokens and keys of the Authorization header."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from encord_async.emulator.signatures import ApiKey, Bearer, Signed, credential_of, make_key_pair, public_key_hex
from tests.emulator.conftest import ANN, VECTORS, Signer


@pytest.mark.parametrize("vector", VECTORS["v1"], ids=lambda vector: vector["id"])
def test_every_vector_is_signed_by_its_key(vector: dict[str, str]) -> None:
    """A request captured from the official SDK authenticates, whatever its body says."""
    key = VECTORS["key"]["public_key_hex"]
    assert credential_of(vector["authorization"], vector["body"].encode()) == Signed(key)


@pytest.mark.parametrize("vector", VECTORS["v1_negative"], ids=lambda vector: vector["id"])
def test_negative_vectors_prove_nothing(vector: dict[str, str]) -> None:
    """A signature over something else, or a header of other lengths, does not authenticate."""
    assert not isinstance(credential_of(vector["authorization"], vector["body"].encode()), Signed)


def test_hex_digits_may_be_upper_case() -> None:
    """Keys are compared without regard to case."""
    assert credential_of(ANN.authorization(b"{}").upper(), b"{}") == Signed(ANN.public_hex)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: " " + text,
        lambda text: text + " ",
        lambda text: text + "\n",
        lambda text: text.replace(":", "::"),
        lambda text: text.replace(":", ""),
        lambda text: text[:-2],
        lambda text: text + "00",
        lambda text: text[2:],
        lambda text: text[:-1] + "g",
    ],
)
def test_a_misshapen_signature_is_refused(spoil: object) -> None:
    """64 digits, a colon and 128 digits: nothing else is read as a signature."""
    assert callable(spoil)
    assert not isinstance(credential_of(spoil(ANN.authorization(b"{}")), b"{}"), Signed)


def test_other_credentials_are_told_apart() -> None:
    """A bearer token, an API key and nothing at all."""
    assert credential_of("Bearer abc", b"") == Bearer("abc")
    assert credential_of("0-1aABCDE_aFGcdeHI", b"") == ApiKey("0-1aABCDE_aFGcdeHI")
    assert credential_of("\\0-1aABCDE", b"") is None
    assert credential_of("", b"") is None
    assert credential_of(None, b"") is None


def test_secrets_do_not_show() -> None:
    """Neither a token nor an API key nor a private key is in what a log would print."""
    pair = make_key_pair()
    assert "sesame" not in repr([Bearer("sesame"), ApiKey("sesame")])
    assert "PRIVATE KEY" not in repr(pair)


@given(st.text(), st.binary())
def test_any_header_ends_in_a_credential_or_in_none(header: str, body: bytes) -> None:
    """Whatever is sent as Authorization, nothing breaks, and nothing random is taken for a signature."""
    assert not isinstance(credential_of(header, body), Signed)


def test_a_public_key_line_gives_the_hex_digits_of_the_key() -> None:
    """The line of a .pub file, with or without a comment, is the key in Authorization."""
    line = VECTORS["key"]["openssh_public_line"]
    assert public_key_hex(line + " ann@laptop\n") == VECTORS["key"]["public_key_hex"]


def test_lines_that_are_no_ed25519_key_are_refused_without_showing_them() -> None:
    """The message says what is wanted, never what was given."""
    other = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    for line in (other.decode(), "ssh-ed25519 AAAAbroken", "-----BEGIN OPENSSH PRIVATE KEY-----", ""):
        with pytest.raises(ValueError, match=r"Ed25519|ssh-ed25519") as caught:
            public_key_hex(line)
        assert not line or line not in str(caught.value)


def test_a_new_key_pair_belongs_together() -> None:
    """The private text opens to the public line and hex digits beside it."""
    pair = make_key_pair()
    signer = Signer.loaded(pair.private_text)
    assert (signer.public_hex, public_key_hex(pair.public_line)) == (pair.public_hex, pair.public_hex)
