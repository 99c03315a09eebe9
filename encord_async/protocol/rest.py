"""One call of REST v2 as what goes onto the wire: method, path with query, body.

`seal_rest` is for operations, `rest_request` for calls that have no operation class. Equal calls give equal bytes; what
changes from attempt to attempt is only the signature, which holds the time. Nothing here sends, waits or reads a clock.

Source: SDK 0.1.211 ``http/v2/api_client.py``, ``orm/base_dto``: names in camelCase, members that are null left out,
``json.dumps`` with its default separators; queries as ``urllib.parse.urlencode`` writes them, booleans as ``True`` and
``False``, lists as repeated names, times in ISO 8601 with ``Z`` for UTC.
"""

import hashlib
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

from encord_async.errors import UnencodableError, UsageError
from encord_async.protocol.catalogue import REST_CALLS, REST_ROOT, Effect, RestCall, RestMethod
from encord_async.protocol.http_signature import authentication
from encord_async.protocol.jsontext import JSON, json_bytes
from encord_async.protocol.reply import RawReply
from encord_async.protocol.rest_reply import judge_rest
from encord_async.protocol.signing import APIKey, Credential
from encord_async.redaction import quoted
from encord_async.secrecy import Secret

__all__ = ["QueryValue", "RestRequest", "camel", "members", "rest_request", "seal_rest"]

QueryValue: TypeAlias = "str | bool | int | datetime | Sequence[str] | None"
"""What a query can hold; None leaves the name out."""

_PLAIN_PATH: Final = re.compile(r"(/[A-Za-z0-9._~%@-]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One request, complete but for its signature.

    Target and body are kept out of ``repr``: titles and e-mail addresses do not belong in logs.
    """

    call: RestCall
    target: str = field(repr=False)
    """Path and query exactly as they go onto the wire; the signature covers them so."""
    body: bytes = field(default=b"", repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 in hex of method, target and body: the name of the request in a journal."""
        head = f"{self.call.method} {self.target}\n".encode("ascii")
        return hashlib.sha256(head + self.body).hexdigest()

    @property
    def name(self) -> str:
        """See `Request`."""
        return self.call.name

    @property
    def label(self) -> str:
        """See `Request`: in a path that the caller wrote may stand anything, and each would be a name of its own."""
        return f"v2.{self.call.method}" if self.path_template is None else self.call.name

    @property
    def effect(self) -> Effect:
        """See `Request`."""
        return self.call.effect

    @property
    def method(self) -> RestMethod:
        """See `Request`."""
        return self.call.method

    @property
    def path_template(self) -> str | None:
        """See `Request`."""
        return REST_ROOT + self.call.path if (self.call.method, self.call.path) in REST_CALLS else None

    def headers(self, credential: Credential) -> dict[str, str]:
        """See `Request`: none. REST v2 never took API keys (source: SDK 0.1.120)."""
        if isinstance(credential, APIKey):
            raise UsageError(
                f"{self.name} is not open to API keys; use the SSH key of a user or a bearer token", operation=self.name
            )
        return {}

    def authentication(self, credential: Credential, *, created_s: int) -> dict[str, str]:
        """See `Request`."""
        return authentication(self.method, self.target, self.body, credential, created_s=created_s)

    def judge(self, reply: RawReply, *, trace_id: str, now_s: float, sent: Secret[Mapping[str, str]]) -> object:
        """See `Request`."""
        return judge_rest(reply, operation=self.name, trace_id=trace_id, now_s=now_s, sent=sent)


def seal_rest(
    call: RestCall,
    *,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, QueryValue] | None = None,
    body: JSON = None,
) -> RestRequest:
    """Encode *call*.

    Args:
        call: A call of the catalogue.
        path: A value for each name in the path.
        query: Names and values behind the ``?``, in order; see `members` for their spelling.
        body: The JSON value to send, an object but for a few calls; None sends no body.

    Raises:
        UnencodableError: A value cannot be written as UTF-8 or JSON.
        UsageError: A name of the path has no value, or an empty one.
    """
    return RestRequest(call=call, target=_target(call, path or {}, query or {}), body=_body(call, body))


def rest_request(
    method: RestMethod,
    path: str,
    *,
    query: Mapping[str, QueryValue] | None = None,
    body: JSON = None,
    effect: Effect | None = None,
) -> RestRequest:
    """Make a request for a call that has no operation class, for `EncordSession.send`.

    Args:
        method: The HTTP method.
        path: What follows ``/v2/public``, percent-encoded, for example ``/projects/HASH/branches``. Errors and logs
            name the call by it.
        query: Names in camelCase and values.
        body: The JSON value to send.
        effect: What repeating the call does. Without it a GET counts as a read, and everything else as a create:
            it is never sent twice on its own.

    Raises:
        UnencodableError: A value cannot be written as UTF-8 or JSON.
        UsageError: The path cannot be one.
    """
    if not _PLAIN_PATH.fullmatch(path):
        raise UsageError(f"{quoted(path)} is no path below {REST_ROOT}; give one such as /projects, percent-encoded")
    call = REST_CALLS.get((method, path)) or RestCall(
        method=method,
        path=path,
        effect=effect or (Effect.READ if method == "GET" else Effect.CREATE),
        source="caller",
    )
    call = call if effect is None else RestCall(method=method, path=path, effect=effect, source=call.source)
    return RestRequest(call=call, target=REST_ROOT + path + _query(call, query or {}), body=_body(call, body))


def members(**values: JSON) -> dict[str, JSON]:
    """*values* as a body spells them: names in camelCase, without those that are None.

    Only the names given here are respelt: what stands inside a value is the caller's.

    Examples:
        >>> members(title="Cats", create_backing_folder=True, description=None)
        {'title': 'Cats', 'createBackingFolder': True}
    """
    return {camel(name): value for name, value in values.items() if value is not None}


def camel(name: str) -> str:
    """*name*, in snake_case, in camelCase.

    Examples:
        >>> camel("tags_anyof"), camel("next_page_token")
        ('tagsAnyof', 'nextPageToken')
    """
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _target(call: RestCall, path: Mapping[str, str], query: Mapping[str, QueryValue]) -> str:
    filled = call.path
    for _, name, _, _ in string.Formatter().parse(call.path):
        if name is None:
            continue
        value = path.get(name, "")
        # Dots alone would name the folder itself or the one above: another call.
        if not value.strip(" ."):
            raise UsageError(f"{name} is empty; give its hash", operation=call.name)
        filled = filled.replace(f"{{{name}}}", quote(_encodable(value, call), safe=""))
    return REST_ROOT + filled + _query(call, query)


def _query(call: RestCall, query: Mapping[str, QueryValue]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if value is None:
            continue
        values = [value] if isinstance(value, str | bool | int | datetime) else value
        texts = [_moment(one) if isinstance(one, datetime) else str(one) for one in values]
        pairs.extend((name, _encodable(text, call)) for text in texts)
    return f"?{urlencode(pairs)}" if pairs else ""


def _moment(value: datetime) -> str:
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _body(call: RestCall, body: JSON) -> bytes:
    return b"" if body is None else json_bytes(body, "body", call.name)


def _encodable(text: str, call: RestCall) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnencodableError(
            "a text holds half of a surrogate pair, which no address can carry", operation=call.name
        ) from None
    return text
