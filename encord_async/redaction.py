"""Takes out of a text what nobody may read: private keys, tokens, passwords in URLs, what a request was signed with.

Every error of ours passes its message through `redacted`, so that no place that words one has to think of it. Pure; it
never raises, and it would rather hide too much than too little.
"""

import re
import string
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["HIDDEN", "HIDDEN_KEY", "masked", "quoted", "redacted"]

HIDDEN: Final = "[secret]"
HIDDEN_KEY: Final = "[private key]"

_QUOTED_CHARACTERS: Final = 60
_SHORTEST: Final = 10
"""No text that is shorter holds both a secret and what shows that it is one."""
_READ_CHARACTERS: Final = 10_000
"""So much of a value is looked at: what is quoted of it lies far before."""
_TELLING_CHARACTERS: Final = 12
"""So many characters in a row of a secret are never shown."""

_BASE64: Final = string.ascii_letters + string.digits + "+/="
# All repetitions are bounded, or of what cannot be read in two ways: a text of any length takes a time in proportion.
_KEY_BEGIN: Final = re.compile(
    r"(?:-{0,5}\s?BEGIN [A-Z0-9 ]{0,30})?PRIVATE KEY"
    r"(?:.{0,20000}?-\s?END [A-Z0-9 ]{0,30}PRIVATE KEY[A-Z ]{0,9}-*|[^'\"]*)",
    re.DOTALL,
)
"""An armoured key; one whose end is missing goes to the end of what is quoted."""
_KEY_END: Final = re.compile(r"-{4,5}\s?END [A-Z0-9 ]{0,30}-{0,5}")
_KEY_LINES: Final = re.compile(
    r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{8,}={0,2}"
    r"(?:(?:\\[nr]|[\r\n])+[A-Za-z0-9+/=]+|[ \t]+[A-Za-z0-9+/]{16,}={0,2})*"
)
"""Base64 as it stands between the armour, with its line breaks, be they spelt out or made blanks."""
_KEY_MAGIC: Final = "b3BlbnNzaC1rZX"
_KEY_CHARACTERS: Final = 44
"""Base64 of so many characters may be a piece of a key. A fingerprint is shorter: 43 characters."""

_PATH_PART_CHARACTERS: Final = 9
"""Most on average between the slashes of what is shown as a path. Every 64th character of a key is one: of pieces of
60, one in 70 has four, and one in 20,000 has seven."""

_URL_USER: Final = r"([A-Za-z][A-Za-z0-9+.-]{0,30}:\\?/\\?/[^\s/:?#\[]{0,200})"

_RULES: Final[tuple[tuple[str, re.Pattern[str], str], ...]] = (
    # What each is looked for by, since most texts hold nothing: in small letters.
    ("private key", _KEY_BEGIN, HIDDEN_KEY),
    ("putty-user-key-file", re.compile("PuTTY-User-Key-File.*", re.DOTALL), HIDDEN_KEY),
    # Words about bearer tokens have no digits, and are short.
    ("bearer", re.compile(r"(?i)\b(bearer\s{1,9})(?=[^\s0-9]{0,99}[0-9]|\S{24})[\w.~+/%=-]{8,}"), rf"\1{HIDDEN}"),
    ("eyj", re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"), HIDDEN),
    # user:password@ to the last "@" of the word: a password may hold one, and a slash.
    ("@", re.compile(rf"{_URL_USER}:(?!\[)\S{{1,500}}@"), rf"\1:{HIDDEN}@"),
    # One that is cut short or has blanks: what follows the colon is no port.
    (
        ":",
        re.compile(rf"{_URL_USER}:(?=[^\s\[])(?![0-9]{{1,5}}(?:[^\w@%]|$))(?:[^\n]{{0,500}}@|[^\s'\"]+)"),
        rf"\1:{HIDDEN}",
    ),
    ("@", re.compile(r"(?i)(https?:\\?/\\?/)[^\s/@:?#\[]{1,500}@"), rf"\1{HIDDEN}@"),
    (
        "=",
        re.compile(
            r"(?i)((?:password|passwd|passphrase|pwd|client_secret|api_?key|token)=)"
            r"(?!\[)(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)
_SIGNATURE: Final = re.compile(r"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{64}:)?[0-9a-fA-F]{128}(?![0-9a-fA-F])")
"""What signs an envelope, and its second half alone."""

_ESCAPES: Final = re.compile(r"\\+u(?:00)?([0-9a-fA-F]{2})|%([0-9a-fA-F]{2})|\\+(.)|(\s+)|.", re.DOTALL)


def redacted(text: str) -> str:
    """*text* without private keys, bearer tokens, signatures, and passwords in URLs or beside their names."""
    if len(text) < _SHORTEST:
        return text
    for sign, pattern, hidden in _RULES:
        if sign in text.lower():
            text = pattern.sub(hidden, text)
    *heads, last = _KEY_END.split(text) if "END " in text else [text]
    # What the armour's end belongs to stands before it, in lines or with their breaks spelt out.
    text = "".join(head.rstrip(_BASE64 + string.whitespace + "\\") + " " + HIDDEN_KEY for head in heads) + last
    return _KEY_LINES.sub(_key_lines, _SIGNATURE.sub(HIDDEN, text))


def quoted(value: object) -> str:
    """A value for a message, as ``repr`` spells it: redacted, on one line, and short."""
    text = redacted((value if isinstance(value, str) else repr(value))[:_READ_CHARACTERS])
    short = text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "..."
    return repr(short) if isinstance(value, str) else short


def masked(text: str, secrets: Iterable[str]) -> str:
    """*text* without *secrets*, however much of them it holds and however it spells them.

    A piece of one is found in another case, with escapes of JSON or a URL in it, and with blanks and line breaks.
    """
    known_secrets = [secret for secret in secrets if secret]
    for secret in known_secrets:
        text = text.replace(secret, HIDDEN)
    spelt, places = _plain(text)
    hidden: set[int] = set()
    for secret in known_secrets:
        known, _ = _plain(secret)
        length = min(len(known), _TELLING_CHARACTERS)
        pieces = {known[at : at + length] for at in range(len(known) - length + 1)} if length else set()
        for at in range(len(spelt) - length + 1):
            if spelt[at : at + length] in pieces:
                hidden.update(range(at, at + length))
    if not hidden:
        return text
    return _without(text, [places[index] for index in sorted(hidden)])


def _key_lines(found: re.Match[str]) -> str:
    """`HIDDEN_KEY`, unless it is a path, a digest or a long word."""
    text = found[0]
    if _KEY_MAGIC in text:
        return HIDDEN_KEY
    tests: tuple[Callable[[str], bool], ...] = (str.isupper, str.islower, str.isdigit)
    mixed = all(any(map(test, text)) for test in tests)
    long = len(text) - text.count("\\") >= _KEY_CHARACTERS
    return HIDDEN_KEY if long and mixed and text.count("/") <= len(text) / _PATH_PART_CHARACTERS else text


def _plain(text: str) -> tuple[str, list[tuple[int, int]]]:
    """*text* in small letters with its escapes undone and without blanks, and where each of its characters was."""
    spelt: list[str] = []
    places: list[tuple[int, int]] = []
    for one in _ESCAPES.finditer(text):
        number = one[1] or one[2]
        char = chr(int(number, 16)) if number else one[3] or one[0]
        if char.isspace() or not char.isprintable() or (one[3] in {"n", "r", "t"}):
            continue
        spelt.append(char.lower()[:1])
        places.append(one.span())
    return "".join(spelt), places


def _without(text: str, places: list[tuple[int, int]]) -> str:
    """*text* with `HIDDEN` instead of what lies at *places*, which are in order; what is between them may be blanks."""
    parts: list[str] = []
    end = 0
    for start, stop in places:
        if not parts or text[end:start].strip():
            parts += [text[end:start], HIDDEN]
        end = stop
    return "".join(parts) + text[end:]
