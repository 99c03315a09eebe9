"""An errand: what the service does to a thing once and takes its time for, such as a sync. The thing shows none of it.

It is started, and then asked about until it is over; in between nothing is held. So it is remembered and planned as
all that is in things; nobody compares it, and an export knows nothing of it. Once more is harmless. Sends nothing.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from encord_async.errors import EncordError
from encord_async.kinds.files import Unit
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import Step
from encord_async.kinds.stock import Stock
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.request import Request

__all__ = ["Ending", "Errand"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an errand ended: *error* if not as is wished, *units* what could not be done, *sent* if anything was sent."""

    error: EncordError | None = None
    units: Sequence[Unit] = ()
    sent: bool = True


class Errand(Relation):
    """One sort of what is done; its items say with what."""

    is_at_once = is_shown = False
    most_given: ClassVar[int | None] = 1
    has_entries = False

    @abstractmethod
    async def starting(self, stock: Stock, parent_hash: str, step: Step) -> Operation[str] | None:
        """What starts it, answered with a name to ask for it by; None if it is so already.

        Raises:
            EncordError: What it needs cannot be read.
        """

    def files_of(self, operation: Operation[str]) -> frozenset[int]:  # noqa: ARG002 - most are about none
        """The digests of the URLs of what *operation*, which starts it, would register."""
        return frozenset()

    def request(self, operation: Operation[str]) -> Request:
        """How *operation*, which starts it, is sent."""
        return operation.request()

    @abstractmethod
    def asking(self, parent_hash: str, job: str, hold_s: int) -> Operation[Any]:
        """What asks how far it is, and lets the service wait up to *hold_s* seconds for its end."""

    @abstractmethod
    def ended(self, answer: Any, step: Step) -> Ending | None:
        """How it ended, by the answer to `asking`; None if it goes on."""

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[Any]:
        raise AssertionError(f"an errand is started, and {items} not put into {parent_hash} as {role}")

    async def held(self, reads: Reads, parent_hash: str) -> Held:  # noqa: ARG002 - nothing shows it
        return {}
