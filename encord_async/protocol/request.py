"""What a session sends, whatever the API: one request, complete but for what authenticates it.

`encord_async.protocol.envelope.Envelope` and `encord_async.protocol.rest.RestRequest` are the two there are. They know
how their API is authenticated and how it answers; nothing here signs by itself, sends, waits or reads a clock.
"""

from collections.abc import Mapping
from typing import Protocol

from encord_async.protocol.catalogue import Effect
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import Credential
from encord_async.secrecy import Secret

__all__ = ["Request"]


class Request(Protocol):
    """One request; equal requests have equal bytes."""

    @property
    def name(self) -> str:
        """The name of its call in errors and logs."""
        ...

    @property
    def label(self) -> str:
        """The name of its call where there may be but few of them: in metrics."""
        ...

    @property
    def effect(self) -> Effect:
        """What sending it twice would do."""
        ...

    @property
    def method(self) -> str:
        """The HTTP method."""
        ...

    @property
    def target(self) -> str:
        """Path and query exactly as they go onto the wire; a signature may cover them so."""
        ...

    @property
    def path_template(self) -> str | None:
        """The path with its ``{names}`` not filled in; None for one that the caller wrote."""
        ...

    @property
    def body(self) -> bytes:
        """What is sent; none if empty."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 in hex: the name of the request in a journal."""
        ...

    def headers(self, credential: Credential) -> dict[str, str]:
        """The headers special to it that are the same in each attempt; none that authenticates.

        Raises:
            UsageError: It is not open to such a credential, or not complete.
        """
        ...

    def authentication(self, credential: Credential, *, created_s: int) -> dict[str, str]:
        """The headers that authenticate one attempt.

        Args:
            credential: One that `headers` has taken.
            created_s: Wall-clock time in whole seconds since 1970. REST v2 takes a signature for a limited time only
                (how long is unknown), so that each attempt needs one of its own.
        """
        ...

    def judge(self, reply: RawReply, *, trace_id: str, now_s: float, sent: Secret[Mapping[str, str]]) -> object:
        """What a successful reply carries: an envelope's ``response``, or the JSON value of REST v2, None for none.

        Args:
            reply: What came.
            trace_id: Trace id of the request, for the error.
            now_s: Wall-clock time in seconds since 1970.
            sent: Headers of the request: an error does not repeat what authorised it, even if the service does.

        Raises:
            RefusedError: The service will not do it; `ThrottledError` and others by meaning.
            ServiceFaultError: The service broke down and may have acted.
            UnreadableReplyError: Nothing to go by.
        """
        ...
