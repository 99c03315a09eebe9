"""What kinds need of a session to look at an account: reads, and the word for what the service does not list.

Nothing here, and nothing that is given one of these, changes anything.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from encord_async.errors import AuthenticationError, EncordError, RefusedError, UnreadableReplyError
from encord_async.protocol.operations.base import Operation, PageOperation
from encord_async.protocol.rest_models import Page
from encord_async.session.clock import Clock

__all__ = ["OnRefusal", "Once", "Reads", "Unlisted", "listing", "unless_refused"]

T = TypeVar("T")


class Reads(Protocol):
    """A session, as far as it reads."""

    @property
    def clock(self) -> Clock:
        """See `Session.clock`."""
        ...

    async def execute(self, operation: Operation[T], /) -> T:
        """See `Session.execute`."""
        ...

    def pages(self, listing: PageOperation[T], /) -> AsyncIterator[Page[T]]:
        """See `Session.pages`."""
        ...

    async def collect(self, listing: PageOperation[T], /) -> tuple[T, ...]:
        """See `Session.collect`."""
        ...


class Once:
    """Reads each thing once while it lasts, for what several look at."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._answers: dict[Operation[Any], object] = {}
        self.pages, self.clock = reads.pages, reads.clock

    async def execute(self, operation: Operation[T], /) -> T:
        """See `Reads`."""
        if operation not in self._answers:
            self._answers[operation] = await self._reads.execute(operation)
        return cast("T", self._answers[operation])

    async def collect(self, listing: PageOperation[T], /) -> tuple[T, ...]:
        """See `Reads`."""
        if listing not in self._answers:
            self._answers[listing] = await self._reads.collect(listing)
        return cast("tuple[T, ...]", self._answers[listing])


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The service does not list something, for this *reason*."""

    reason: str


async def listing(reads: Reads, operation: PageOperation[T]) -> tuple[T, ...] | Unlisted:
    """Read all pages of a listing, see `unless_refused`."""
    return await unless_refused(reads.collect(operation))


async def unless_refused(reading: Awaitable[T]) -> T | Unlisted:
    """What *reading* gives.

    Raises:
        EncordError: The service cannot be read; that it offers no such thing, or refuses it, is a result.
    """
    try:
        return await reading
    except AuthenticationError:
        raise
    except RefusedError as error:
        return Unlisted(str(error))


class OnRefusal:
    """Ends a block where the service refuses something, and tells *then* why; that it refuses the key goes on.

    Args:
        then: Is told.
        or_too_large: A reply that is too large to be read counts as well.
    """

    def __init__(self, then: Callable[[EncordError], object], *, or_too_large: bool = False) -> None:
        self._then, self._or_too_large = then, or_too_large

    def __enter__(self) -> None:
        """Nothing is open yet."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        is_met = isinstance(error, RefusedError) and not isinstance(error, AuthenticationError)
        if isinstance(error, UnreadableReplyError):
            is_met = self._or_too_large and error.code == "REPLY_TOO_LARGE"
        if is_met and isinstance(error, EncordError):
            self._then(error)
        return is_met
