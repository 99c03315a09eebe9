"""Judges a reply: its status, headers and body become a value or one error of the tree.

Pure: the time is an argument, needed only for a ``Retry-After`` that is a date. Whatever bytes arrive, the
outcome is a value or an `EncordError`, never another exception.

The rule (source: SDK 0.1.211 ``http/querier.py``, ``http/error_utils.py``): the integer ``status`` in the body
decides, whatever the HTTP status; a failure carries its code in a list of exactly one text; only a body
that is no envelope is judged by its HTTP status.
"""

import email.utils
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from http import HTTPStatus
from typing import Final, TypeAlias

from pydantic_core import from_json

from encord_async import errors
from encord_async.protocol.catalogue import CODES, ENVELOPE_SUCCESS, CodeFact, CodeMeaning, Header
from encord_async.redaction import masked
from encord_async.secrecy import Secret

__all__ = [
    "BY_NUMBER",
    "NOTHING_SENT",
    "Context",
    "RawReply",
    "StatusTable",
    "content_of",
    "context_of",
    "judge",
    "plain_error",
    "retry_after_s",
    "unreadable",
    "what_is_wrong",
]

NOTHING_SENT: Final[Secret[Mapping[str, str]]] = Secret({})

_SHOWN_CHARACTERS: Final = 300
_MAX_PARTS: Final = 500_000
"""Most lists and objects in a reply. An empty object takes three bytes on the wire, next to none of them packed, and 70
in memory; a listing of 50,000 datasets has 50,000, and an ontology's structure one for each 50 bytes."""
_PROOFS: Final = (Header.AUTHORIZATION.value, Header.SIGNATURE.value)
"""Headers of a request by which it is accepted: what they say, no error repeats."""
_RETRY_AFTER_MAX_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as it came: HTTP status, headers (names in any case), body after content decoding."""

    http_status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an error says of the reply and the request that it is about.

    *is_answer* is whether the service itself has answered, and not a proxy in its place.
    """

    operation: str
    trace_id: str | None
    http_status: int
    retry_after_s: float | None
    sent: Secret[Mapping[str, str]]
    is_answer: bool

    def shown(self, text: str) -> str:
        """*text* fit for a message: one line, bounded, without what authorised the request."""
        proofs = (self.sent.reveal().get(name, "").removeprefix("Bearer ") for name in _PROOFS)
        text = masked(text[:2000], proofs)
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


def judge(
    reply: RawReply,
    *,
    operation: str,
    trace_id: str | None = None,
    now_s: float,
    sent: Secret[Mapping[str, str]] = NOTHING_SENT,
) -> object:
    """Return the ``response`` member of a successful reply.

    Args:
        reply: What came.
        operation: Name of the call, for the error.
        trace_id: Trace id of the request, for the error.
        now_s: Wall-clock time in seconds since 1970.
        sent: Headers of the request: an error does not repeat what authorised it, even if the service does.

    Raises:
        RefusedError: The service will not do it; `ThrottledError` and others by meaning.
        ServiceFaultError: The service broke down and may have acted.
        UnreadableReplyError: No envelope, and nothing in the HTTP status to go by.
    """
    try:
        document: object = content_of(reply.body) if reply.body else None
    except ValueError:
        document = None
    body_status = document.get("status") if isinstance(document, dict) else None
    # What is read from JSON is of no class derived from int but bool.
    is_envelope = type(body_status) is int
    if body_status == ENVELOPE_SUCCESS and is_envelope and isinstance(document, dict):
        return document.get("response")
    context = context_of(
        reply,
        operation=operation,
        trace_id=trace_id,
        now_s=now_s,
        sent=sent,
        is_readable=is_envelope and isinstance(document, dict) and _code(document) is not None,
    )
    if is_envelope and isinstance(document, dict):
        raise _envelope_error(document, context)
    why = what_is_wrong(reply.body, otherwise="it is not an envelope")
    raise plain_error(document, context, BY_NUMBER) or unreadable(why, context)


def content_of(body: bytes) -> object:
    """*body* as JSON.

    Raises:
        ValueError: It is none, or nested more deeply (200 levels) or in more parts than any answer.
    """
    if _is_overfull(body):
        raise ValueError
    return from_json(body, allow_inf_nan=False)


def what_is_wrong(body: bytes, *, otherwise: str) -> str:
    """Why a body is no answer, for people."""
    if _is_overfull(body):
        return f"it holds more than {_MAX_PARTS} lists and objects"
    return otherwise if body else "it is empty"


def _is_overfull(body: bytes) -> bool:
    """Whether it would take far more memory than its length says. Counts what stands in texts as well."""
    return len(body) > _MAX_PARTS and body.count(b"{") + body.count(b"[") > _MAX_PARTS


def context_of(
    reply: RawReply,
    *,
    operation: str,
    trace_id: str | None,
    now_s: float,
    sent: Secret[Mapping[str, str]],
    is_readable: bool,
) -> Context:
    """Gather what an error about *reply* is to say.

    The arguments are those of `judge`, and whether the body is what the service writes when it answers an error.
    """
    return Context(
        operation=operation,
        trace_id=trace_id,
        http_status=reply.http_status,
        retry_after_s=retry_after_s(reply.headers, now_s=now_s),
        sent=sent,
        is_answer=is_readable and reply.http_status not in _OF_PROXIES,
    )


def retry_after_s(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """The wait in seconds that ``Retry-After`` asks for, from whole or decimal seconds or an HTTP date.

    None without the header or if it is not understood. Never negative, at most a day.
    """
    wanted = Header.RETRY_AFTER.lower()
    text = next((value.strip() for name, value in headers.items() if name.lower() == wanted), "")
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        seconds = float(text)
    else:
        try:
            moment = email.utils.parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX_S) if math.isfinite(seconds) else None


def _envelope_error(document: Mapping[str, object], context: Context) -> errors.EncordError:
    status = document["status"]
    payload = document.get("payload")
    said = context.shown(payload) if isinstance(payload, str) else ""
    plain_code = _code(document)
    if plain_code is not None:
        code = context.shown(plain_code)
        fact = CODES.get(code)
        if fact is None and isinstance(status, int) and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            fact = CodeFact(CodeMeaning.UNCLEAR, "", "the service broke down")
        if context.http_status in _BEFORE_THE_HANDLER and (fact is None or fact.meaning is CodeMeaning.UNCLEAR):
            return _by_number(context.http_status, said, context)
        fact = fact or CodeFact(CodeMeaning.REFUSED, "", "the service refused")
        return _build(_CLASSES[fact.meaning], f"{fact.text}: {said}" if said else fact.text, code, context)
    if context.http_status >= HTTPStatus.BAD_REQUEST:
        return _by_number(context.http_status, said, context)
    if isinstance(status, int) and HTTPStatus.BAD_REQUEST <= status < 600:
        return _by_number(status, said, context)
    return unreadable("its envelope holds neither success nor an error code", context)


def _code(document: Mapping[str, object]) -> str | None:
    """The error code of an envelope; None if it is none that the service would write."""
    response = document.get("response")
    if isinstance(response, list) and len(response) == 1 and isinstance(response[0], str):
        return response[0]
    return None


_OF_PROXIES: Final = frozenset({202, 408, 460, 499, 502, 503, 504, *range(520, 531), 598, 599})
"""HTTP statuses of proxies that have put a request off, or wait for the service no longer, whatever their body looks
like: the service may still be at work. Sources: RFC 9110; AWS load balancers (460), nginx (499), Cloudflare (520 to
530), proxies' time-outs (598, 599)."""

_BEFORE_THE_HANDLER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
"""HTTP statuses that the SDK (0.1.211) heeds even with an envelope: the call was turned away before it was handled."""

_CLASSES: Final[dict[CodeMeaning, type[errors.EncordError]]] = {
    CodeMeaning.UNAUTHENTICATED: errors.AuthenticationError,
    CodeMeaning.FORBIDDEN: errors.ForbiddenError,
    CodeMeaning.NOT_FOUND: errors.NotFoundError,
    CodeMeaning.EXISTS: errors.ExistsError,
    CodeMeaning.INVALID: errors.InvalidArgumentsError,
    CodeMeaning.THROTTLED: errors.ThrottledError,
    CodeMeaning.REFUSED: errors.RefusedError,
    CodeMeaning.UNCLEAR: errors.ServiceFaultError,
}

StatusTable: TypeAlias = Mapping[int, tuple[type[errors.EncordError], str]]

BY_NUMBER: Final[StatusTable] = {
    400: (errors.InvalidArgumentsError, "the service does not accept the request"),
    401: (errors.AuthenticationError, "the credential is not accepted"),
    403: (errors.ForbiddenError, "access is refused"),
    404: (errors.NotFoundError, "nothing answers there; check the domain"),
    405: (errors.InvalidArgumentsError, "the method is not offered"),
    407: (errors.RefusedError, "a proxy wants a user and a password; give them with its address in HTTPS_PROXY"),
    408: (errors.ServiceFaultError, "the service gave up waiting for the request"),
    460: (errors.ServiceFaultError, "a proxy gave the request up"),
    499: (errors.ServiceFaultError, "a proxy gave the request up"),
    413: (errors.PayloadTooLargeError, "the request is larger than the service takes; use smaller lists"),
    422: (errors.InvalidArgumentsError, "the service does not accept the request"),
    429: (errors.ThrottledError, "too many requests"),
}
"""What an HTTP status means in front of the envelope API; 5xx is a fault in every case."""


def plain_error(document: object, context: Context, table: StatusTable) -> errors.EncordError | None:
    """The error that the HTTP status alone means, if it is one: a proxy's page, a framework's ``detail``, or REST."""
    if context.http_status >= HTTPStatus.BAD_REQUEST:
        return _by_number(context.http_status, context.shown(_detail(document)), context, table)
    if context.http_status >= HTTPStatus.MULTIPLE_CHOICES:
        return _build(
            errors.RefusedError,
            "the service redirects, and redirects are not followed; check the domain",
            None,
            context,
        )
    return None


def _by_number(status: int, said: str, context: Context, table: "StatusTable | None" = None) -> errors.EncordError:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind: type[errors.EncordError] = errors.ServiceFaultError
        text = "the service, or a proxy before it, broke down"
    else:
        kind, text = (table or BY_NUMBER).get(status, (errors.RefusedError, "the service refused"))
    return _build(kind, f"{text}: {said}" if said else text, None, context)


def _detail(document: object) -> str:
    """The text of ``message`` or ``detail``, as frameworks and REST v2 send it; of a list its texts."""
    if not isinstance(document, dict):
        return ""
    found = document.get("message") or document.get("detail") or ""
    if isinstance(found, list):
        # Of a framework's list only the texts: its members quote what was sent.
        texts = [item.get("msg") for item in found if isinstance(item, dict)]
        return "; ".join(text for text in texts if isinstance(text, str))
    return found if isinstance(found, str) else ""


def unreadable(why: str, context: Context) -> errors.EncordError:
    """The error for an answer that says neither yes nor no."""
    return _build(
        errors.UnreadableReplyError,
        f"the reply cannot be understood: {why}; the request may have taken effect",
        None,
        context,
    )


def _build(kind: type[errors.EncordError], message: str, code: str | None, context: Context) -> errors.EncordError:
    error = kind(
        message,
        code=code,
        http_status=context.http_status,
        retry_after_s=context.retry_after_s,
        trace_id=context.trace_id,
        operation=context.operation,
    )
    if isinstance(error, errors.UncertainError):
        error.is_answer = context.is_answer
    return error
