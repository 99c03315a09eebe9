"""What a session tells whoever observes it: each operation, each sending of it, and what ends in doubt.

It knows no library of traces or metrics, holds no title, address of a person or secret, and never lets an observer that
fails cost an operation.
"""

import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from encord_async.protocol.reply import RawReply
from encord_async.session.clock import Clock

__all__ = ["Attempt", "Beginning", "Observer", "Watch", "Watcher"]

T = TypeVar("T")
Token = TypeVar("Token")

logger = logging.getLogger("encord_async")

_TELLING: Final = re.compile(r"(?i)date|retry-after|(?:x-)?rate-?limit[a-z-]{0,40}")
"""Names of headers that say what a service's clock and limits are. No other is shown: it may hold a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """An operation that is about to be run."""

    operation: str
    """Name of the call, for example ``project.POST``; one of few, so that it may be the label of a metric."""
    domain: str
    """See `Settings.domain`."""
    method: str
    """The HTTP method."""
    path_template: str | None
    """The path with its ``{names}`` not filled in, since e-mail addresses may stand there; None for a path that the
    caller wrote."""
    trace_id: str
    """Trace id sent with the request; Encord's support finds the call by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sending of a request, over."""

    number: int
    """Counted from 1 within the operation."""
    duration_s: float
    """From the request's leaving to the reply's end, or to the loss; no wait for a turn is in it."""
    http_status: int | None
    """Status of the reply, if one came."""
    error: BaseException | None
    """What the sending failed with; a cancellation counts."""
    reply_headers: Mapping[str, str] = field(default_factory=dict)
    """What the reply's headers say of the service's clock (``date``) and its limits; names in small letters."""


class Observer(Protocol[Token]):
    """Is told what a session does, in its event loop: whatever takes long has to be done elsewhere.

    What a method raises is logged once and otherwise ignored.
    """

    def started(self, beginning: Beginning) -> Token:
        """An operation begins; what is returned is handed back with whatever follows of it."""
        ...

    def attempted(self, token: Token, attempt: Attempt) -> None:
        """The request was sent, and this came of it."""
        ...

    def ended(self, token: Token, error: BaseException | None) -> None:
        """The operation is over; *error* is what the caller gets, a cancellation included."""
        ...

    def in_doubt(self, kind: str) -> None:
        """An entry of a manifest ended in doubt; *kind* is the entry's."""
        ...


class Watcher(Generic[Token]):
    """Stands between a session and its observer, and keeps the observer's failures away from the session."""

    def __init__(self, observer: Observer[Token], clock: Clock) -> None:
        self.clock = clock
        self.observer = observer
        self._complained = False

    def watch(self, beginning: Beginning) -> "Watch[Token]":
        """What follows one operation."""
        return Watch(self, beginning)

    def in_doubt(self, kind: str) -> None:
        """See `Observer`."""
        self.tell(lambda: self.observer.in_doubt(kind))

    def tell(self, call: Callable[[], T]) -> tuple[T] | None:
        """What *call* returns, or None if it fails."""
        try:
            return (call(),)
        except Exception as error:
            # Everything is caught: an observer may fail in any way, and no operation may be lost by it.
            if not self._complained:
                self._complained = True
                logger.warning("the observer fails, further failures are not logged: %r", error, exc_info=True)
            return None


class Watch(Generic[Token]):
    """One operation under observation."""

    __slots__ = ("_attempts", "_beginning", "_headers", "_http_status", "_token", "_watcher")

    def __init__(self, watcher: Watcher[Token], beginning: Beginning) -> None:
        self._watcher = watcher
        self._beginning = beginning
        self._token: tuple[Token] | None = None
        self._attempts = 0
        self._http_status: int | None = None
        self._headers: Mapping[str, str] = {}

    def note(self, reply: RawReply) -> None:
        """The attempt under way has its reply; nothing of it is kept but its status and headers that may be shown."""
        self._http_status = reply.http_status
        self._headers = {
            name.lower(): value for name, value in reply.headers.items() if _TELLING.fullmatch(name) is not None
        }

    async def operation(self, work: Coroutine[Any, Any, T]) -> T:
        """Await *work*, the whole operation, and report it."""
        self._token = self._watcher.tell(lambda: self._watcher.observer.started(self._beginning))
        try:
            result = await work
        except BaseException as error:
            self._report_end(error)
            raise
        self._report_end(None)
        return result

    async def attempt(self, work: Coroutine[Any, Any, T]) -> T:
        """Await *work*, one sending, and report it."""
        self._attempts += 1
        self._http_status, self._headers = None, {}
        began_s = self._watcher.clock.monotonic_s()
        try:
            result = await work
        except BaseException as error:
            self._report_attempt(began_s, error)
            raise
        self._report_attempt(began_s, None)
        return result

    def _report_attempt(self, began_s: float, error: BaseException | None) -> None:
        if self._token is None:
            return
        (token,) = self._token
        attempt = Attempt(
            number=self._attempts,
            duration_s=self._watcher.clock.monotonic_s() - began_s,
            http_status=self._http_status,
            error=error,
            reply_headers=self._headers,
        )
        self._watcher.tell(lambda: self._watcher.observer.attempted(token, attempt))

    def _report_end(self, error: BaseException | None) -> None:
        if self._token is None:
            return
        (token,) = self._token
        self._watcher.tell(lambda: self._watcher.observer.ended(token, error))
