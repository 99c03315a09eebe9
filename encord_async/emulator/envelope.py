"""The envelope API's outer form: bytes and headers to a call, results and refusals to bytes.

An adapter: it knows neither rules nor HTTP. Written from the protocol, not from the client's encoder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from encord_async.emulator.arguments import Refused, load
from encord_async.emulator.calls import Call, Caller, KeyCaller, Reply, Terms, caller_of
from encord_async.emulator.signatures import ApiKey, credential_of
from encord_async.emulator.store import Store
from encord_async.protocol.catalogue import ENVELOPE_SUCCESS, QUERIES, Endpoint, Header, Method, ResourceType

__all__ = ["EnvelopeRequest", "Said", "name_of", "parse", "read"]

_FAILURE_STATUS: Final = 400
"""The only failing ``status`` in a body that has been seen. Source: SDK ``tests/http/test_error_handling.py``."""

_METHODS: Final[Mapping[str, Method]] = {"GET": "GET", "POST": "POST", "PUT": "PUT", "DELETE": "DELETE"}
_OFFERED: Final = {
    *((endpoint, f"{type_}.{method}") for endpoint, type_, method in QUERIES),
    (Endpoint.USER, "cloudintegration.GET"),
    (Endpoint.RESOURCE, "cloudintegration.GET"),
    (Endpoint.RESOURCE, "ontology.PUT"),
}
_KNOWN: Final = {(endpoint, name.partition(".")[0]) for endpoint, name in _OFFERED}

_RESOURCES: Final[Mapping[str, ResourceType]] = {
    **{item.name: item.resource_type for item in QUERIES.values() if item.resource_type is not None},
    "ontology.PUT": ResourceType.ONTOLOGY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an envelope says. Absent *uid* and *payload* are None, as null is."""

    type: str
    method: Method
    uid: object
    payload: object

    @property
    def name(self) -> str:
        """The name in statistics, the log and fault rules, for example ``project.POST``."""
        return f"{self.type}.{self.method}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeRequest:
    """One envelope as it came in: the exact bytes, what they say if they are JSON, and the headers that count."""

    terms: Terms
    endpoint: Endpoint
    body: bytes
    document: object
    authorization: str | None
    resource_id: str
    resource_type: str

    @property
    def name(self) -> str:
        """See `Request`."""
        return name_of(self.endpoint, self.document)

    @property
    def rate_limited(self) -> Reply:
        """See `Request`."""
        return Reply(200, self.failure("RATE_LIMIT_ERROR", "too many requests").body)

    def success(self, result: object) -> Reply:
        """See `Request`."""
        return Reply(200, json.dumps({"status": ENVELOPE_SUCCESS, "response": result}).encode())

    def failure(self, code: str, text: str | None) -> Reply:
        """See `Request`. The code travels as a list of one. Source: SDK."""
        body = {"status": _FAILURE_STATUS, "response": [code], "payload": text}
        return Reply(self.terms.failure_http_status, json.dumps(body).encode())

    def call(self, store: Store, *, now_us: int, as_of_us: int) -> Call:
        """See `Request`."""
        strict = self.terms.strict
        caller = self._caller(store)
        said = parse(self.endpoint, self.document, self.body, strict=strict)
        if (self.endpoint, said.name) not in _OFFERED:
            raise Refused("METHOD_NOT_ALLOWED_ERROR")
        self._check_headers(caller, said)
        return Call(
            name=said.name,
            store=store,
            caller=caller,
            on=self.resource_id,
            on_type=self.resource_type,
            uid=said.uid,
            payload=said.payload,
            typed=strict,
            exact=strict,
            page_size=self.terms.page_size,
            now_us=now_us,
            as_of_us=as_of_us,
        )

    def _caller(self, store: Store) -> Caller:
        credential = credential_of(self.authorization, self.body)
        if credential is None:
            raise Refused("AUTHENTICATION_ERROR")
        if not isinstance(credential, ApiKey):
            return caller_of(store, credential)
        if self.endpoint is Endpoint.RESOURCE and (found := store.key(credential.key)):
            return KeyCaller(*found)
        raise Refused("AUTHENTICATION_ERROR")

    def _check_headers(self, caller: Caller, said: Said) -> None:
        strict = self.terms.strict
        if self.endpoint is Endpoint.USER:
            if strict and (self.resource_id or self.resource_type):
                raise Refused("INVALID_ARGUMENTS_ERROR", "strict: ResourceID and ResourceType are empty here")
            return
        if not (self.resource_id.isascii() and self.resource_id.isprintable()):
            raise Refused("INVALID_ARGUMENTS_ERROR", "the ResourceID header is not text")
        if not self.resource_id:
            raise Refused("INVALID_ARGUMENTS_ERROR", "the ResourceID header is missing")
        if isinstance(caller, KeyCaller):
            if strict and self.resource_type:
                raise Refused("INVALID_ARGUMENTS_ERROR", "strict: ResourceType is not sent with an API key")
            if self.resource_id != caller.resource_hash:
                raise Refused("AUTHORISATION_ERROR", "the API key is not one of that resource")
            return
        wanted = _RESOURCES.get(said.name)
        accepted = {wanted} if said.type != "ontology" else {ResourceType.ONTOLOGY, ResourceType.PROJECT}
        if wanted is not None and self.resource_type not in accepted:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"the ResourceType header has to be {wanted}")


def read(terms: Terms, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> EnvelopeRequest:
    """Return what was posted to *endpoint*."""
    return EnvelopeRequest(
        terms=terms,
        endpoint=endpoint,
        body=body,
        document=load(body),
        authorization=headers.get(Header.AUTHORIZATION),
        resource_id=headers.get(Header.RESOURCE_ID, ""),
        resource_type=headers.get(Header.RESOURCE_TYPE, ""),
    )


def name_of(endpoint: Endpoint, document: object) -> str:
    """Return the name under which a request is counted and faulted, ``unknown`` if it has none."""
    if isinstance(document, dict):
        type_, method = document.get("query_type"), document.get("query_method")
        if isinstance(type_, str) and method in _METHODS and (endpoint, type_) in _KNOWN:
            return f"{type_}.{method}"
    return "unknown"


def parse(endpoint: Endpoint, document: object, body: bytes, *, strict: bool) -> Said:
    """Return what a loaded *body* says.

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
    return Said(type=type_, method=_METHODS[method], uid=values.get("uid"), payload=values.get("payload"))


def _check_sdk_bytes(document: dict[str, object], values: dict[str, object], body: bytes) -> None:
    if list(document) != ["query_type", "query_method", "values"]:
        raise Refused("INVALID_ARGUMENTS_ERROR", "strict: members are query_type, query_method, values, in order")
    if list(values) != ["uid", "payload"]:
        raise Refused("INVALID_ARGUMENTS_ERROR", "strict: values has uid and payload, in order")
    if json.dumps(document).encode() != body:
        raise Refused("INVALID_ARGUMENTS_ERROR", "strict: the bytes are not those of Python's json.dumps")
