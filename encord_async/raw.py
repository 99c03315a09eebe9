"""The untyped door, for calls without a class: an envelope or a REST request for `EncordSession.send`. Names alone."""

from encord_async.protocol.catalogue import (
    Effect,
    Endpoint,
    ResourceType,
)
from encord_async.protocol.envelope import (
    Envelope,
    envelope,
)
from encord_async.protocol.rest import (
    RestRequest,
    rest_request,
)

__all__ = [
    "Effect",
    "Endpoint",
    "Envelope",
    "ResourceType",
    "RestRequest",
    "envelope",
    "rest_request",
]
