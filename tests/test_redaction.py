"""What is taken out of a message, and what is left in it."""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import NotFoundError
from encord_async.manifest.place import Place, Problem
from encord_async.redaction import HIDDEN, HIDDEN_KEY, masked, quoted, redacted


def key_with(check: bytes) -> str:
    """A key in OpenSSH's format, which has four bytes at random in it, twice: *check* in their place."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    first, *lines, last = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode().splitlines()
    raw = base64.b64decode("".join(lines))
    at = raw.rindex(b"\0\0\0\x0bssh-ed25519") - 2 * len(check)
    text = base64.b64encode(raw[:at] + 2 * check + raw[at + 2 * len(check) :]).decode()
    return "\n".join([first, *(text[start : start + 70] for start in range(0, len(text), 70)), last, ""])


# As it came once: four slashes in sixty characters, which passed for a path.
KEY = key_with(b"\x3f\xfe\xf1\x79")
BASE64 = "".join(KEY.splitlines()[1:-1])
SIGNED = "ab" * 32 + ":" + "0c" * 64
TOKEN = "canary-token/0123456789+x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:p@ss@host/db?job=x", f"at postgresql://me:{HIDDEN}@host/db?job=x"),
        ("at postgresql://me:p/a@s%40s@host:5432/db", f"at postgresql://me:{HIDDEN}@host:5432/db"),
        ("at postgresql://me@azure:pw@host/db", f"at postgresql://me@azure:{HIDDEN}@host/db"),
        ("'postgresql://me:a long passw", f"'postgresql://me:{HIDDEN} long passw"),
        ("'postgresql://me:12345678", f"'postgresql://me:{HIDDEN}"),
        (r"https:\/\/me:pw@host", rf"https:\/\/me:{HIDDEN}@host"),
        ("https://token@host/x", f"https://{HIDDEN}@host/x"),
        ("?sslpassword=abc&x=1", f"?sslpassword={HIDDEN}&x=1"),
        ("password='a b' host=h", f"password={HIDDEN} host=h"),
        ("Bearer abc-12345", f"Bearer {HIDDEN}"),
        ("sent eyJhbGciOiJIUzI1NiJ9.e30.c2ln on", f"sent {HIDDEN} on"),
        (f"no: {SIGNED}", f"no: {HIDDEN}"),
        (f"no: {SIGNED[65:].upper()}", f"no: {HIDDEN}"),
    ],
)
def test_secrets_are_taken_out(text: str, shown: str) -> None:
    """Passwords, tokens and signatures go, the words around them stay, and once more changes nothing."""
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "give postgresql://user@host/database?job=NAME",
        "nobody answers at http://127.0.0.1:8080, or tcp://scheduler:8786; see https://host:443/x",
        "http://[::1]:8080/v2/public/users/ann@example.com",
        "cannot connect to http://host: refused",
        "this needs a bearer token, or bearer authentication",
        "the account is bearer:0123456789abcdef",
        "the account is SHA256:uNiVztksCsDhcc0u9e8BgrJXVGJOHV2mlXRkWuMy4tU",
        "/home/User1/projects/encord/manifests/customers/2026/programme cannot be read",
        "trace 0123456789abcdef0123456789abcdef, digest " + "0f" * 32,
        "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1 is no hash",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Addresses, fingerprints, paths, traces and hashes are what a message is for."""
    assert redacted(text) == text


@pytest.mark.parametrize("spell", [str, repr, lambda text: f"x {text!r} y", lambda text: " ".join(text.split())])
@pytest.mark.parametrize("length", [60, 100, 250, len(KEY)])
def test_no_piece_of_a_key_is_left(spell: Callable[[str], str], length: int) -> None:
    """Wherever a key was cut, no twenty characters of it are left."""
    pieces = {BASE64[at : at + 20] for at in range(len(BASE64) - 19)}
    for start in range(0, len(KEY) - length + 1, 7):
        said = redacted(spell(KEY[start : start + length])).replace("\\n", "").replace("\n", "").replace(" ", "")
        assert not [piece for piece in pieces if piece in said], said


def test_a_value_is_quoted_short_and_on_one_line() -> None:
    """A value in a message has bounds and no line of its own."""
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted("x" * 10**6)) < 70
    assert quoted(7) == "7"
    assert quoted(KEY).startswith(f"'{HIDDEN_KEY}")


@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.upper,
        lambda text: text.replace("/", "\\/"),
        lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
        lambda text: text.replace("/", "%2F").replace("+", "%2b"),
        "\n".join,
        lambda text: text[:14],
        lambda text: text[-14:],
    ],
)
def test_what_was_sent_is_masked_however_it_is_spelt(spell: Callable[[str], str]) -> None:
    """A service that echoes a token in capitals, in escapes, in lines or in half does not get it into a message."""
    assert masked(f"key ({spell(TOKEN)}) is unknown", [TOKEN]) == f"key ({HIDDEN}) is unknown"


@given(before=st.text(), secret=st.text(min_size=1, max_size=40), after=st.text())
def test_a_secret_never_survives(before: str, secret: str, after: str) -> None:
    """Whatever stands around it; the mark that is put in its place is not a part of it."""
    text = masked(before + secret + after, [secret])
    assert secret not in text.replace(HIDDEN, "\0") or secret == "\0"


def test_errors_and_problems_are_redacted_when_they_are_made() -> None:
    """No place that words an error has to think of it."""
    error = NotFoundError(f"nothing at https://me:{TOKEN}@host")
    assert TOKEN not in f"{error} {error!r} {error.args} {vars(error)}"
    problem = Problem(Place("m.jsonl", 1, 1), KEY, f"{KEY} is wrong", hint=KEY)
    assert BASE64[:20] not in f"{problem} {problem!r}"
