"""One call of the envelope API as the bytes that go onto the wire, and where they go.

`seal` is for operations, `envelope` for calls that have no operation class. Equal calls give equal bytes, so a retry is
byte for byte the first attempt and a signature can be used again. Nothing here sends, waits or reads a clock.

Source: SDK 0.1.211 ``http/request.py``: ``json.dumps`` with its default separators and ASCII escapes, members
in the order ``query_type``, ``query_method``, ``values``, always with both ``uid`` and ``payload``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from encord_async.errors import UsageError
from encord_async.protocol.catalogue import QUERIES, Effect, Endpoint, Header, Method, Query, ResourceType
from encord_async.protocol.jsontext import JSON, json_bytes
from encord_async.protocol.reply import RawReply, judge
from encord_async.protocol.signing import APIKey, Credential
from encord_async.secrecy import Secret

__all__ = ["Envelope", "envelope", "seal"]

# Taken out of its enumeration once: to ask a member for its value takes as long as to make the header.
_AUTHORIZATION: Final = Header.AUTHORIZATION.value


@dataclass(frozen=True, slots=True)
class Envelope:
    """The body of one request and the facts its headers are made of.

    The body is kept out of ``repr``: titles and e-mail addresses do not belong in logs.
    """

    query: Query
    body: bytes = field(repr=False)
    resource_id: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the body in hex: what gets signed, and the name of the request in the journal."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def name(self) -> str:
        """See `Request`."""
        return self.query.name

    @property
    def label(self) -> str:
        """See `Request`."""
        return self.query.name

    @property
    def effect(self) -> Effect:
        """See `Request`."""
        return self.query.effect

    @property
    def method(self) -> str:
        """The HTTP method, which is not the envelope's."""
        return "POST"

    @property
    def target(self) -> str:
        """The path of the endpoint."""
        return self.query.endpoint.value

    @property
    def path_template(self) -> str:
        """See `Request`; an endpoint has no names to fill in."""
        return self.query.endpoint.value

    def headers(self, credential: Credential) -> dict[str, str]:
        """See `Request`: the resource that the call is about."""
        query = self.query
        if query.endpoint is not Endpoint.RESOURCE:
            if isinstance(credential, APIKey):
                raise UsageError(
                    f"{query.name} is not open to API keys; use the SSH key of a user", operation=query.name
                )
            return {}
        if not self.resource_id:
            raise UsageError(f"{query.name} is about a resource; give its hash", operation=query.name)
        if not self.resource_id.isascii() or not self.resource_id.isprintable():
            # Line breaks would forge further headers.
            raise UsageError("the resource's hash holds characters that no hash has; check it", operation=query.name)
        headers = {Header.RESOURCE_ID.value: self.resource_id}
        if not isinstance(credential, APIKey) and query.resource_type is not None:
            headers[Header.RESOURCE_TYPE.value] = query.resource_type.value
        return headers

    def authentication(self, credential: Credential, *, created_s: int) -> dict[str, str]:  # noqa: ARG002 - there is no time in it
        """See `Request`; the same in each attempt."""
        return {_AUTHORIZATION: credential.authorization(self.body)}

    def judge(self, reply: RawReply, *, trace_id: str, now_s: float, sent: Secret[Mapping[str, str]]) -> object:
        """See `Request`."""
        return judge(reply, operation=self.name, trace_id=trace_id, now_s=now_s, sent=sent)


def seal(query: Query, *, uid: JSON = None, payload: JSON = None, resource_id: str | None = None) -> Envelope:
    """Encode a call of *query*.

    Args:
        query: A call of the catalogue.
        uid: The envelope's ``uid``.
        payload: The envelope's ``payload``.
        resource_id: Hash of the resource the call is about.

    Raises:
        UnencodableError: A value is not JSON: NaN, a lone surrogate, an object of some other type.
    """
    document: dict[str, JSON] = {
        "query_type": query.type,
        "query_method": query.method,
        "values": {"uid": uid, "payload": payload},
    }
    return Envelope(query, json_bytes(document, "payload", query.name), resource_id)


def envelope(
    query_type: str,
    method: Method,
    *,
    endpoint: Endpoint,
    uid: JSON = None,
    payload: JSON = None,
    resource_type: ResourceType | None = None,
    resource_id: str | None = None,
    effect: Effect | None = None,
) -> Envelope:
    """Make an envelope for a call that has no operation class, for `EncordSession.send`.

    Args:
        query_type: As on the wire, for example ``labelrowmetadata``.
        method: The envelope's ``query_method``.
        endpoint: `Endpoint.USER` or `Endpoint.RESOURCE`.
        uid: The envelope's ``uid``.
        payload: The envelope's ``payload``.
        resource_type: Type of the resource the call is about; only on `Endpoint.RESOURCE`.
        resource_id: Hash of that resource.
        effect: What repeating the call does. Without it the catalogue is asked, and a call that the
            catalogue does not know counts as a create: it is never sent twice on its own.

    Raises:
        UnencodableError: A value is not JSON.
    """
    known = QUERIES.get((endpoint, query_type, method))
    query = Query(
        type=query_type,
        method=method,
        endpoint=endpoint,
        resource_type=resource_type if resource_type or known is None else known.resource_type,
        effect=effect or (known.effect if known else Effect.CREATE),
        source=known.source if known else "caller",
    )
    return seal(query, uid=uid, payload=payload, resource_id=resource_id)
