"""An errand: what the service does to a thing once and takes its time for, such as a sync. The thing shows none of it.

It is started, and then asked about until it is over; in between nothing is held. So it is remembered and planned as
all that is in things; nobody compares it, and an export knows nothing of it. Once more is harmless. Sends nothing.
"""

from abc import abstractmethod
from typing import Any, ClassVar

from encord_async.kinds.exporting import Pen
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads
from encord_async.protocol.operations.base import Operation

__all__ = ["Errand"]


class Errand(Relation):
    """One sort of what is done; its items say with what."""

    is_shown = False
    most_given: ClassVar[int | None] = 1
    has_entries = False

    @abstractmethod
    def starting(self, parent_hash: str, item: str) -> Operation[str]:
        """What starts it, answered with a name to ask for it by."""

    @abstractmethod
    def asking(self, parent_hash: str, job: str) -> Operation[Any]:
        """What asks how far it is, and does not wait for it."""

    @abstractmethod
    def is_over(self, answer: Any) -> bool:
        """Whether the answer to `asking` says that it is done.

        Raises:
            AppliedError: It is over, and was not done, or not all of it.
        """

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[Any]:  # noqa: ARG002
        (item,) = items
        return self.starting(parent_hash, item)

    async def held(self, reads: Reads, parent_hash: str) -> Held:  # noqa: ARG002 - nothing shows it
        return {}

    def is_written(self, pen: Pen) -> bool:  # noqa: ARG002 - nothing shows it
        return False
