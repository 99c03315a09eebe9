"""One call as the bytes that go onto the wire, and where they go.

`seal` turns an operation into an `Envelope`; equal operations give equal bytes, so a retry is byte for byte
the first attempt and a signature can be used again. Nothing here signs, sends, waits or reads a clock.

Source: SDK 0.1.211 ``http/request.py``: ``json.dumps`` with its default separators and ASCII escapes, members
in the order ``query_type``, ``query_method``, ``values``, always with both ``uid`` and ``payload``.
"""

import hashlib
from dataclasses import dataclass, field

from encord_async.protocol.catalogue import QUERIES, Effect, Endpoint, Method, Query, ResourceType
from encord_async.protocol.jsontext import JSON, json_bytes
from encord_async.protocol.operations import Operation

__all__ = ["Envelope", "envelope", "seal"]


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


def seal(operation: Operation[object]) -> Envelope:
    """Encode *operation*.

    Raises:
        UnencodableError: A value is not JSON: NaN, a lone surrogate, an object of some other type.
    """
    return _encode(operation.query, operation.uid(), operation.payload(), operation.resource_id())


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
    return _encode(query, uid, payload, resource_id)


def _encode(query: Query, uid: JSON, payload: JSON, resource_id: str | None) -> Envelope:
    document: dict[str, JSON] = {
        "query_type": query.type,
        "query_method": query.method,
        "values": {"uid": uid, "payload": payload},
    }
    return Envelope(query, json_bytes(document, "payload", query.name), resource_id)
