"""REST v2's outer form: path, query, body and signature to a call, results and refusals to HTTP statuses and JSON.

An adapter: it knows neither rules nor HTTP libraries. Order of checks: path, method, credential, body.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote

from encord_async.emulator.arguments import Refused, load
from encord_async.emulator.calls import Call, Caller, Reply, Terms, caller_of
from encord_async.emulator.signatures import rest_credential_of
from encord_async.emulator.store import Store
from encord_async.protocol.catalogue import REST_CALLS, REST_ROOT, RestCall

__all__ = ["RestRequest", "read"]

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
class RestRequest:
    """One request as it came in, the target to the byte; *route* is the call that it is, None if there is no such."""

    terms: Terms
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    route: RestCall | None
    path: Mapping[str, str]

    @property
    def name(self) -> str:
        """See `Request`."""
        return "unknown" if self.route is None else self.route.name

    @property
    def rate_limited(self) -> Reply:
        """See `Request`."""
        return self.failure("RATE_LIMIT_ERROR", "too many requests")

    def success(self, result: object) -> Reply:
        """See `Request`."""
        if result is None:
            return Reply(HTTPStatus.NO_CONTENT)
        return Reply(HTTPStatus.OK, json.dumps(result, separators=(",", ":")).encode())

    def failure(self, code: str, text: str | None) -> Reply:
        """See `Request`. A code that is not known becomes 400."""
        status = _STATUSES.get(code, HTTPStatus.BAD_REQUEST)
        return Reply(status, json.dumps({"message": text or status.phrase}).encode())

    def call(self, store: Store, *, now_us: int, as_of_us: int) -> Call:
        """See `Request`."""
        if self.route is None:
            raise Refused("METHOD_NOT_ALLOWED_ERROR" if _path_is_known(self.target) else "RESOURCE_NOT_FOUND_ERROR")
        return Call(
            name=self.route.name,
            store=store,
            caller=self._caller(store, now_us / 1e6),
            on=next(iter(self.path.values()), ""),
            payload=self._document(),
            path=self.path,
            query=_query(self.target),
            # Bodies come from typed clients; members that nobody knows are passed over, as frameworks do.
            typed=True,
            exact=False,
            page_size=self.terms.page_size,
            now_us=now_us,
            as_of_us=as_of_us,
            job_us=int(self.terms.job_s * 1e6),
        )

    def _caller(self, store: Store, now_s: float) -> Caller:
        found = rest_credential_of(
            self.headers,
            method=self.method,
            target=self.target,
            body=self.body,
            now_s=now_s,
            window_s=self.terms.signature_window_s,
        )
        if isinstance(found, str):
            raise Refused("AUTHENTICATION_ERROR", found)
        return caller_of(store, found)

    def _document(self) -> object:
        if not self.body:
            return None
        document = load(self.body)
        if document is None:
            raise Refused("INVALID_ARGUMENTS_ERROR", "the body is not JSON in UTF-8")
        if self.terms.strict and json.dumps(document).encode() != self.body:
            raise Refused("INVALID_ARGUMENTS_ERROR", "strict: the bytes are not those of Python's json.dumps")
        return document


def read(terms: Terms, method: str, target: str, headers: Mapping[str, str], body: bytes) -> RestRequest:
    """Return what was sent; *target* is path and query as they stood on the wire, which signatures cover."""
    route, path = _route(method, target)
    return RestRequest(terms=terms, method=method, target=target, headers=headers, body=body, route=route, path=path)


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
