"""The envelope as the server sees it: bytes to a request, results and refusals to bytes.

Pure; it never touches the store, a clock or HTTP. Written from the protocol, not from the client's encoder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from encord_async.protocol.catalogue import ENVELOPE_SUCCESS, QUERIES, Endpoint, Method

__all__ = ["FAILURE_STATUS", "Refused", "Request", "failure", "load", "name_of", "parse", "success"]

FAILURE_STATUS: Final = 400
"""The only failing ``status`` in a body that has been seen. Source: SDK ``tests/http/test_error_handling.py``."""


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)
_METHODS: Final[Mapping[str, Method]] = {"GET": "GET", "POST": "POST", "PUT": "PUT", "DELETE": "DELETE"}
_KNOWN: Final = {
    *((endpoint, type_) for endpoint, type_, _ in QUERIES),
    (Endpoint.USER, "cloudintegration"),
    (Endpoint.RESOURCE, "cloudintegration"),
}


class Refused(Exception):
    """The call is turned down with *code*; *text* goes out as the envelope's payload."""

    def __init__(self, code: str, text: str | None = None) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What an envelope asks for. Absent *uid* and *payload* are None, as null is."""

    type: str
    method: Method
    uid: object
    payload: object

    @property
    def name(self) -> str:
        """The name in statistics, the log and fault rules, for example ``project.POST``."""
        return f"{self.type}.{self.method}"


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


def name_of(endpoint: Endpoint, document: object) -> str:
    """Return the name under which a request is counted and faulted, ``unknown`` if it has none."""
    if isinstance(document, dict):
        type_, method = document.get("query_type"), document.get("query_method")
        if isinstance(type_, str) and method in _METHODS and (endpoint, type_) in _KNOWN:
            return f"{type_}.{method}"
    return "unknown"


def parse(endpoint: Endpoint, document: object, body: bytes, *, strict: bool) -> Request:
    """Turn a loaded *body* into a request.

    With *strict*, only the bytes that the official SDK would send pass: default separators of ``json.dumps``, ASCII,
    members in its order, ``uid`` and ``payload`` both present.

    Raises:
        Refused: INVALID_ARGUMENTS_ERROR for a malformed envelope or an unknown ``query_type``,
            METHOD_NOT_ALLOWED_ERROR for a method that does not exist.
    """
    if not isinstance(document, dict):
        raise Refused("INVALID_ARGUMENTS_ERROR", "the body is not a JSON object")
    type_, method, values = (document.get(key) for key in ("query_type", "query_method", "values"))
    if not isinstance(type_, str) or not isinstance(method, str):
        raise Refused("INVALID_ARGUMENTS_ERROR", "query_type and query_method have to be strings")
    if not isinstance(values, dict):
        raise Refused("INVALID_ARGUMENTS_ERROR", "values has to be an object with uid and payload")
    if (endpoint, type_) not in _KNOWN:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"query_type is not known on {endpoint}")
    if method not in _METHODS:
        raise Refused("METHOD_NOT_ALLOWED_ERROR")
    if strict:
        _check_sdk_bytes(document, values, body)
    return Request(type=type_, method=_METHODS[method], uid=values.get("uid"), payload=values.get("payload"))


def success(result: object) -> bytes:
    """Return the body of a reply that carries *result*."""
    return json.dumps({"status": ENVELOPE_SUCCESS, "response": result}).encode()


def failure(code: str, text: str | None = None) -> bytes:
    """Return the body of a reply that refuses with *code*; the code travels as a list of one. Source: SDK."""
    return json.dumps({"status": FAILURE_STATUS, "response": [code], "payload": text}).encode()


def _check_sdk_bytes(document: dict[str, object], values: dict[str, object], body: bytes) -> None:
    if list(document) != ["query_type", "query_method", "values"]:
        raise Refused("INVALID_ARGUMENTS_ERROR", "strict: members are query_type, query_method, values, in order")
    if list(values) != ["uid", "payload"]:
        raise Refused("INVALID_ARGUMENTS_ERROR", "strict: values has uid and payload, in order")
    if json.dumps(document).encode() != body:
        raise Refused("INVALID_ARGUMENTS_ERROR", "strict: the bytes are not those of Python's json.dumps")
