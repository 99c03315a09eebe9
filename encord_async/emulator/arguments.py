"""JSON that came in, read into values: members of a payload or body, and filters.

Pure. It never supplies a meaning that the protocol does not name: what cannot be read is refused.
The tolerant form takes what the vendor's page shows (lists as JSON text, numbers as digit text, members left out);
the strict one only what the official SDK sends.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["FILTERS", "Filter", "Members", "Refused", "load", "read_filter", "read_object", "read_texts"]

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


class Refused(Exception):
    """The call is turned down with *code*; *text* goes out with it."""

    def __init__(self, code: str, text: str | None = None) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


def load(body: bytes) -> object:
    """Return the JSON value of *body*, or None if it is not JSON in UTF-8 (NaN and half surrogate pairs are not)."""
    try:
        value: object = _DECODER.decode(body.decode())
        if b"\\u" in body:
            # Half a surrogate pair is no text: it cannot be stored, nor be sent back.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries a listing is to show. Times are microseconds since 1970, UTC; *before* and *after* exclude."""

    title_eq: str | None = None
    title_like: str | None = None
    desc_eq: str | None = None
    desc_like: str | None = None
    created_before: int | None = None
    created_after: int | None = None
    edited_before: int | None = None
    edited_after: int | None = None


FILTERS: Final = frozenset(field.name for field in fields(Filter))


class Members:
    """The payload of one call, read member by member."""

    __slots__ = ("_strict", "_values")

    def __init__(self, payload: object, *, strict: bool) -> None:
        """Take the *payload* of a call; *strict* takes lists and numbers as such only.

        Raises:
            Refused: INVALID_ARGUMENTS_ERROR if it is neither null nor an object.
        """
        if payload is not None and not isinstance(payload, dict):
            raise Refused("INVALID_ARGUMENTS_ERROR", "payload has to be an object or null")
        self._strict = strict
        self._values: Mapping[str, object] = payload or {}

    def has(self, key: str) -> bool:
        """Say whether the member was given at all, null included."""
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; *default* stands in for a missing or null member, except in the strict form."""
        value = self._values.get(key)
        if value is None and default is not None and not self._strict:
            return default
        if not isinstance(value, str):
            raise _bad(key, "a string")
        return value

    def name(self, key: str) -> str:
        """Return a string that is more than white space."""
        value = self.text(key)
        if not value.strip():
            raise _bad(key, "a string that is not empty")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None for a missing, null or empty member."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise _bad(key, "a string")
        return value or None

    def flag(self, key: str) -> bool:
        """Return a boolean, false if the member is missing or null."""
        value = self._values.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise _bad(key, "a boolean")
        return value

    def number(self, key: str) -> int:
        """Return an integer; the tolerant form takes digits in a string."""
        value = self._values.get(key)
        if isinstance(value, str) and not self._strict and _DIGITS.fullmatch(value):
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _bad(key, "an integer")
        return value

    def mapping(self, key: str) -> Mapping[str, object]:
        """Return an object, empty if the member is missing or null."""
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _bad(key, "an object")
        return value

    def texts(self, key: str, *, required: bool = True) -> list[str]:
        """Return a list of strings without repetition; the tolerant form takes it as JSON text, too."""
        value = self._values.get(key)
        if value is None and not required:
            return []
        return read_texts(key, value, strict=self._strict)

    def emails(self, key: str) -> list[str]:
        """Return a list of at least one e-mail address."""
        emails = self.texts(key)
        if not emails:
            raise _bad(key, "a list of at least one e-mail address")
        for position, email in enumerate(emails):
            if not _EMAIL.fullmatch(email):
                raise Refused("INVALID_ARGUMENTS_ERROR", f"{key}[{position}] is not an e-mail address")
        return emails

    def email_of(self, key: str) -> str:
        """Return one e-mail address."""
        email = self.text(key)
        if not _EMAIL.fullmatch(email):
            raise _bad(key, "an e-mail address")
        return email

    def members(self, key: str, known: Sequence[str], *, required: bool = True) -> list[str]:
        """Return a list of strings out of *known*."""
        chosen = self.texts(key, required=required)
        for position, item in enumerate(chosen):
            if item not in known:
                raise Refused("INVALID_ARGUMENTS_ERROR", f"{key}[{position}] is not one of {', '.join(known)}")
        return chosen


def read_texts(key: str, value: object, *, strict: bool) -> list[str]:
    """Return *value*, the member *key*, as a list of strings without repetition, in the order given.

    Raises:
        Refused: INVALID_ARGUMENTS_ERROR.
    """
    if isinstance(value, str) and not strict:
        value = load(value.encode())
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _bad(key, "a list of strings" if strict else "a list of strings, or one as JSON text")
    return list(dict.fromkeys(value))


def read_object(what: str, value: object, known: Sequence[str], needed: Sequence[str] = ()) -> Mapping[str, object]:
    """Return *value* as an object that has no members but *known*, and all that are *needed*.

    Raises:
        Refused: INVALID_ARGUMENTS_ERROR, which calls it *what*.
    """
    if not isinstance(value, dict):
        raise _bad(what, "an object")
    for key in value:
        if key not in known:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{what} has an unknown member: {key!r}")
    for key in needed:
        if key not in value:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{key} of {what} is missing")
    return value


def read_filter(raw: Mapping[str, object]) -> Filter:
    """Return the filter of a listing; null means no restriction.

    Raises:
        Refused: INVALID_DATE_FORMAT_ERROR for a date that is not ISO 8601, else INVALID_ARGUMENTS_ERROR.
    """
    if not FILTERS.issuperset(raw):
        raise Refused("INVALID_ARGUMENTS_ERROR", "filter has an unknown member")
    given = {key: value for key, value in raw.items() if value is not None}
    values: dict[str, Any] = {
        key: (_filter_text if key.startswith(("title", "desc")) else _filter_date)(key, value)
        for key, value in given.items()
    }
    return Filter(**values)


def _to_us(moment: datetime) -> int:
    """Return *moment* in microseconds since 1970; one without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _filter_text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise _bad(f"filter.{key}", "a string")
    return value


def _filter_date(_: str, value: object) -> int:
    if not isinstance(value, str):
        raise Refused("INVALID_DATE_FORMAT_ERROR")
    try:
        return _to_us(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise Refused("INVALID_DATE_FORMAT_ERROR") from None


def _bad(key: str, wanted: str) -> Refused:
    return Refused("INVALID_ARGUMENTS_ERROR", f"{key} has to be {wanted}")
