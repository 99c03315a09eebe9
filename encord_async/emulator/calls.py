"""One call of either API, as its rule sees it: who asks, on what, with which arguments, and how far back it looks.

Pure with respect to HTTP, and without a clock: the time is part of the call. What an adapter read off the outer form
of its API stands here as values; rules do not ask which API a call came by.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from encord_async.emulator.arguments import FILTERS, Filter, Members, Refused, read_filter, read_texts
from encord_async.emulator.signatures import Bearer, Signed
from encord_async.emulator.store import KeyRow, Store, UserRow

__all__ = [
    "Answer",
    "Call",
    "Caller",
    "KeyCaller",
    "Reply",
    "Request",
    "Rule",
    "Rules",
    "Terms",
    "UserCaller",
    "caller_of",
    "moment",
    "stamp",
]

T = TypeVar("T")

_TOKEN: Final = re.compile(r"after:([0-9]{1,12})")
_BOOLEANS: Final[Mapping[str, bool]] = {"True": True, "true": True, "False": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked of requests, and how they are answered; see `EmulatorSettings`."""

    strict: bool = False
    failure_http_status: Literal[200, 400] = 200
    page_size: int = 100
    signature_window_s: float = 300.0
    job_s: float = 0.0


class Reply(NamedTuple):
    """What goes out: the HTTP status and the body, which a status of 204 has not; until when it is held back."""

    status: int
    body: bytes = b""
    hold_until_us: int = 0


@dataclass(frozen=True, slots=True)
class UserCaller:
    """A person or service account, known by key or token."""

    user: UserRow


@dataclass(frozen=True, slots=True)
class KeyCaller:
    """The holder of an API key; it acts for the user who made the key."""

    key: KeyRow
    resource_hash: str


Caller: TypeAlias = UserCaller | KeyCaller


def caller_of(store: Store, credential: Signed | Bearer) -> UserCaller:
    """Return whose key or token that is.

    Raises:
        Refused: It is registered nowhere, or more than once.
    """
    signed = isinstance(credential, Signed)
    users = store.users_of(credential.public_key if isinstance(credential, Signed) else credential.token)
    if len(users) > 1:
        raise Refused("DUPLICATE_SSH_KEY_ERROR", f"the {'key' if signed else 'token'} is registered more than once")
    if not users and signed:
        raise Refused("SSH_KEY_NOT_FOUND_ERROR", "the public key is not registered")
    if not users:
        raise Refused("AUTHENTICATION_ERROR", "the token is registered nowhere")
    return UserCaller(users[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, with everything that its rule may look at."""

    name: str
    """As in statistics, the log and fault rules, for example ``project.POST``."""
    store: Store
    caller: Caller
    on: str = ""
    """The hash (or address) of what it is on: of an envelope the ResourceID, of a path the first part that varies."""
    on_type: str = ""
    """The ResourceType of an envelope."""
    uid: object = None
    """The ``uid`` of an envelope."""
    payload: object = None
    """The payload of an envelope, or the body of a REST request."""
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    typed: bool
    """Whether lists and numbers have to be such, and not text."""
    exact: bool
    """Whether members have to be those of the SDK, in its order."""
    page_size: int
    now_us: int
    as_of_us: int
    """Listings show nothing younger; *now_us* unless a fault makes them stale."""
    job_us: int = 0
    """How long jobs take, and how long it is until data that were linked are tasks."""

    # --- payload and uid

    def members(self, *of_sdk: str) -> Members:
        """Return the payload, ready to be read. *of_sdk* are the members that the SDK sends; none: they vary."""
        members = Members(self.payload, strict=self.typed)
        if self.exact and of_sdk:
            given = list(self.payload) if isinstance(self.payload, dict) else None
            if given != [key for key in of_sdk if key in (given or ())]:
                raise Refused("INVALID_ARGUMENTS_ERROR", f"strict: payload has {', '.join(of_sdk)}, in order")
        return members

    def payload_is(self, of_sdk: object) -> None:
        """Refuse a payload with something in it; strictly, any but the empty one that the SDK sends."""
        Members(self.payload, strict=self.typed)
        if self.exact and self.payload != of_sdk:
            wanted = "null" if of_sdk is None else "an empty object"
            raise Refused("INVALID_ARGUMENTS_ERROR", f"strict: payload has to be {wanted}")

    def uid_texts(self) -> list[str]:
        """Return the ``uid`` as a list of strings."""
        return read_texts("uid", self.uid, strict=self.typed)

    def uid_text(self) -> str:
        """Return the ``uid``, which names a project."""
        if not isinstance(self.uid, str):
            raise Refused("INVALID_ARGUMENTS_ERROR", "uid has to be the project's hash")
        return self.uid

    def uid_names_resource(self) -> None:
        """Refuse a ``uid`` that is not the resource of the headers; null passes, strictly only with an API key.

        Source: SDK 0.1.110 sends null with an API key, else the hash.
        """
        null_passes = not self.exact or isinstance(self.caller, KeyCaller)
        if self.uid != self.on and not (self.uid is None and null_passes):
            raise Refused("INVALID_ARGUMENTS_ERROR", "uid has to be the ResourceID")

    def uid_is_null(self) -> None:
        """Refuse any ``uid`` but null, or one that repeats the resource, which only the strict form refuses."""
        if self.uid is not None and (self.exact or self.uid != self.on):
            raise Refused("INVALID_ARGUMENTS_ERROR", "uid has to be null")

    # --- query

    def one(self, name: str) -> str | None:
        """Return the value of a name in the query that may stand there once."""
        values = self.query.get(name, ())
        if len(values) > 1:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{name} stands in the query more than once")
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        """Return a boolean of the query, false without it."""
        text = self.one(name)
        if text is not None and text not in _BOOLEANS:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{name} has to be a boolean")
        return text is not None and _BOOLEANS[text]

    def filter(self, description: str) -> Filter:
        """Return the filter of a listing, which calls the description *description*: ``titleEq``, ``descLike``...

        Datasets say ``descriptionEq`` and ``descriptionLike``. Source: SDK 0.1.211.
        """
        raw = {}
        for meaning in sorted(FILTERS):
            field_, test = meaning.replace("desc", description).split("_")
            if (value := self.one(f"{field_}{test.capitalize()}")) is not None:
                raw[meaning] = value
        return read_filter(raw)

    def knows_only(self, *names: str) -> None:
        """Refuse a query with any other name than *names*."""
        for name in self.query:
            if name not in names:
                raise Refused("INVALID_ARGUMENTS_ERROR", f"{name} is not known in the query")

    def whole(self, name: str, least: int, most: int, default: int) -> int:
        """Return a number of the query from *least* to *most*, *default* without it."""
        text = self.one(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{name} has to be an integer from {least} to {most}")
        return int(text[:9])

    def page(self, rows: Sequence[T], shown: Callable[[T], Mapping[str, object]]) -> dict[str, object]:
        """Return the page of *rows* that the query asks for, each as *shown*, and the token of the next if any."""
        return self.page_of(lambda limit, offset: rows[offset : offset + limit], shown, self.page_size)

    def page_of(
        self, rows: Callable[[int, int], Sequence[T]], shown: Callable[[T], Mapping[str, object]], size: int
    ) -> dict[str, object]:
        """Return as `page` does, of *size* rows; *rows* finds so many from there on."""
        start = self._start()
        found = rows(size + 1, start)
        page: dict[str, object] = {"results": [shown(row) for row in found[:size]]}
        if len(found) > size:
            page["nextPageToken"] = base64.urlsafe_b64encode(f"after:{start + size}".encode()).decode()
        return page

    def _start(self) -> int:
        token = self.one("pageToken")
        if token is None:
            return 0
        try:
            found = _TOKEN.fullmatch(base64.urlsafe_b64decode(token.encode()).decode())
        except (binascii.Error, UnicodeError, ValueError):
            found = None
        if found is None:
            raise Refused("BAD_REQUEST", "the page token is none of this service")
        return int(found[1])


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call, and what its line in the log says: hash and title of what was made or changed."""

    result: object
    hash: str = ""
    title: str = ""
    hold_until_us: int = 0
    """When to ask again before answering, in the place of the caller: a poll is held until then."""


Rule: TypeAlias = Callable[[Call], Answer]
Rules: TypeAlias = Mapping[str, Rule]
"""Rules by the name of the call that they answer."""


class Request(Protocol):
    """A request as it came in, in the form of its API: an adapter."""

    @property
    def name(self) -> str:
        """The name under which it is counted and faulted, ``unknown`` if it has none."""
        ...

    @property
    def rate_limited(self) -> Reply:
        """What being limited looks like in the API's own words."""
        ...

    def call(self, store: Store, *, now_us: int, as_of_us: int) -> Call:
        """Return what it asks for, and on whose behalf.

        Raises:
            Refused: Nobody is known to have sent it, or it is not of the API's form.
        """
        ...

    def success(self, result: object) -> Reply:
        """Return the reply that carries *result*."""
        ...

    def failure(self, code: str, text: str | None) -> Reply:
        """Return the reply that refuses with *code*."""
        ...


def stamp(moment_us: int) -> str:
    """Return a time as envelope objects carry it: UTC, whole seconds. Source: SDK 0.1.90 ``orm/base_orm.py``."""
    return datetime.fromtimestamp(moment_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def moment(moment_us: int) -> str:
    """Return a time as REST objects carry it: ISO 8601, UTC, microseconds. That they are ``Z`` times is inferred."""
    whole = datetime.fromtimestamp(moment_us // 1_000_000, UTC)
    return whole.replace(microsecond=moment_us % 1_000_000, tzinfo=None).isoformat() + "Z"
