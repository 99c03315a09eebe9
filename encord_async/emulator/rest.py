"""REST v2 of the emulated service: which call it is, who sent it, which rule answers, and the status that goes out.

Pure with respect to HTTP libraries. Order of checks: path, method, credential, body, permission, arguments. What was
changed is committed before it is told.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote

from encord_async.emulator.envelope import Refused, load
from encord_async.emulator.rest_call import RestAsk, RestRule
from encord_async.emulator.rest_organisation import ORGANISATION_RULES
from encord_async.emulator.rest_resources import RESOURCE_RULES
from encord_async.emulator.rules import UserCaller
from encord_async.emulator.signatures import RestHeaders, Signed, rest_credential_of
from encord_async.emulator.store import Store
from encord_async.protocol.catalogue import REST_CALLS, REST_ROOT, Effect, RestCall

__all__ = ["REST_LISTINGS", "REST_NAMES", "RestMessage", "RestReply", "RestService", "refusal"]

_RULES: Final[Mapping[tuple[str, str], RestRule]] = {**RESOURCE_RULES, **ORGANISATION_RULES}

REST_NAMES: Final = frozenset(call.name for call in REST_CALLS.values())
"""Every REST call that the emulator answers, for example ``v2/datasets.POST``."""

REST_LISTINGS: Final = frozenset(
    call.name
    for call in REST_CALLS.values()
    if call.path
    in {
        "/datasets/list",
        "/datasets/{dataset}/users",
        "/projects",
        "/projects/{project}",
        "/projects/{project}/datasets",
        "/projects/{project}/users",
        "/ontologies",
        "/user/current-organisation/groups",
    }
    and call.effect is Effect.READ
)
"""The REST calls that a stale read shows the past."""

_STATUSES: Final[Mapping[str, HTTPStatus]] = {
    "BAD_REQUEST": HTTPStatus.BAD_REQUEST,
    "INVALID_ARGUMENTS_ERROR": HTTPStatus.UNPROCESSABLE_ENTITY,
    "INVALID_DATE_FORMAT_ERROR": HTTPStatus.UNPROCESSABLE_ENTITY,
    "AUTHENTICATION_ERROR": HTTPStatus.UNAUTHORIZED,
    "SSH_KEY_NOT_FOUND_ERROR": HTTPStatus.UNAUTHORIZED,
    "DUPLICATE_SSH_KEY_ERROR": HTTPStatus.UNAUTHORIZED,
    "AUTHORISATION_ERROR": HTTPStatus.FORBIDDEN,
    "OPERATION_NOT_ALLOWED": HTTPStatus.FORBIDDEN,
    "RESOURCE_NOT_FOUND_ERROR": HTTPStatus.NOT_FOUND,
    "METHOD_NOT_ALLOWED_ERROR": HTTPStatus.METHOD_NOT_ALLOWED,
    "RESOURCE_EXISTS_ERROR": HTTPStatus.CONFLICT,
    "RATE_LIMIT_ERROR": HTTPStatus.TOO_MANY_REQUESTS,
    "UNKNOWN_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The HTTP status that a code becomes. Source: SDK 0.1.211 ``http/v2/error_utils.py``; 422 is inferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestMessage:
    """One request as it came in: the exact bytes of target and body, and the headers that count."""

    method: str
    target: str
    body: bytes
    headers: RestHeaders

    @property
    def name(self) -> str:
        """The name under which the request is counted and faulted, ``unknown`` if it has none."""
        call, _ = _route(self.method, self.target)
        return "unknown" if call is None else call.name


@dataclass(frozen=True, slots=True)
class RestReply:
    """What goes out; a status of 204 has no body."""

    status: int
    body: bytes = b""


def refusal(code: str, text: str | None) -> RestReply:
    """Return the reply that *code* of the envelope API becomes here; a code that is not known becomes 400."""
    status = _STATUSES.get(code, HTTPStatus.BAD_REQUEST)
    return RestReply(status, json.dumps({"message": text or status.phrase}).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class RestService:
    """Answers REST requests out of *store*. With *strict*, only bodies in the bytes of the official SDK."""

    store: Store
    strict: bool
    page_size: int
    signature_window_s: float

    def answer(self, message: RestMessage, *, now_us: int, stale_us: int = 0, fault: str | None = None) -> RestReply:
        """Return the reply; whatever was changed is committed, and noted in the log together with *fault*."""
        try:
            result = self._answer(message, now_us=now_us, stale_us=stale_us, fault=fault)
        except Refused as refused:
            return refusal(refused.code, refused.text)
        except RecursionError:
            return refusal("INVALID_ARGUMENTS_ERROR", "nested too deeply")
        return RestReply(HTTPStatus.NO_CONTENT) if result is None else RestReply(HTTPStatus.OK, _json(result))

    def _answer(self, message: RestMessage, *, now_us: int, stale_us: int, fault: str | None) -> object:
        call, path = _route(message.method, message.target)
        if call is None:
            raise Refused("METHOD_NOT_ALLOWED_ERROR" if _path_is_known(message.target) else "RESOURCE_NOT_FOUND_ERROR")
        caller = self._caller(message, now_us / 1e6)
        ask = RestAsk(
            store=self.store,
            caller=caller,
            path=path,
            query=_query(message.target),
            document=self._document(message),
            page_size=self.page_size,
            now_us=now_us,
            as_of_us=now_us - stale_us,
        )
        rule = _RULES[call.method, call.path]
        with self.store.transaction():
            answer = rule(ask)
            if call.effect is not Effect.READ:
                self.store.note(query=call.name, hash_=answer.hash, title=answer.title, fault=fault, now_us=now_us)
        return answer.result

    def _caller(self, message: RestMessage, now_s: float) -> UserCaller:
        found = rest_credential_of(
            message.headers,
            method=message.method,
            target=message.target,
            body=message.body,
            now_s=now_s,
            window_s=self.signature_window_s,
        )
        if isinstance(found, str):
            raise Refused("AUTHENTICATION_ERROR", found)
        users = self.store.users_of(found.public_key if isinstance(found, Signed) else found.token)
        if len(users) != 1:
            what = "key" if isinstance(found, Signed) else "token"
            raise Refused(
                "AUTHENTICATION_ERROR", f"the {what} is registered {'more than once' if users else 'nowhere'}"
            )
        return UserCaller(users[0])

    def _document(self, message: RestMessage) -> object:
        if not message.body:
            return None
        document = load(message.body)
        if document is None:
            raise Refused("INVALID_ARGUMENTS_ERROR", "the body is not JSON in UTF-8")
        if self.strict and json.dumps(document).encode() != message.body:
            raise Refused("INVALID_ARGUMENTS_ERROR", "strict: the bytes are not those of Python's json.dumps")
        return document


def _json(result: object) -> bytes:
    return json.dumps(result, separators=(",", ":")).encode()


def _segments(target: str) -> list[str]:
    """The parts of the path below the root, still percent-encoded."""
    return target.partition("?")[0].removeprefix(REST_ROOT).split("/")[1:]


def _fits(pattern: str, segments: list[str]) -> bool:
    parts = pattern.split("/")[1:]
    return len(parts) == len(segments) and all(
        part == segment or (part.startswith("{") and segment != "")
        for part, segment in zip(parts, segments, strict=True)
    )


def _route(method: str, target: str) -> tuple[RestCall | None, Mapping[str, str]]:
    segments = _segments(target)
    for call in REST_CALLS.values():
        if call.method == method and _fits(call.path, segments):
            pairs = zip(call.path.split("/")[1:], segments, strict=True)
            return call, {part[1:-1]: unquote(segment) for part, segment in pairs if part.startswith("{")}
    return None, {}


def _path_is_known(target: str) -> bool:
    segments = _segments(target)
    return any(_fits(call.path, segments) for call in REST_CALLS.values())


def _query(target: str) -> Mapping[str, list[str]]:
    try:
        return parse_qs(target.partition("?")[2], keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refused("INVALID_ARGUMENTS_ERROR", "the query is not UTF-8") from None
