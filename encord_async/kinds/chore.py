"""A chore: what is in a thing is looked at, and as much is sent as it takes. What it needs may be waited for.

The service shows it, or some of it, so each run looks anew and nothing is sent for what is so already. In between
nothing is held. Sends nothing but reads.
"""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from encord_async.errors import ConflictError, EncordError
from encord_async.kinds.exporting import Pen
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.protocol.operations.base import Operation

__all__ = ["Chore", "Todo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What is left of a chore.

    Attributes:
        operations: What is to be sent for it to be so, in this order.
        is_waiting: Whether what it needs is not there yet.
        error: What is to be told of it once they are sent.
    """

    operations: Sequence[Operation[Any]] = ()
    is_waiting: bool = False
    error: EncordError | None = None


class Chore(Relation):
    """One sort of what is seen to; its items say how it shall be.

    One that needs what else a run does is of a later phase.

    Attributes:
        sends: Whether it ever sends anything; one that does not is a check.
    """

    most_given: ClassVar[int | None] = 1
    has_entries = is_at_once = False
    limits_unsaid = False
    sends: ClassVar[bool] = True

    @abstractmethod
    async def todo(self, reads: Reads, parent_hash: str, item: str, *, waited_s: float) -> Todo:
        """What is left of it, after it was waited for that long.

        Raises:
            ConflictError: It can never be so.
            EncordError: What it needs cannot be read.
        """

    def may_send_for_more(self, item: str) -> bool:  # noqa: ARG002 - most do not
        """Whether there may be more to send once there is more to work on in the thing."""
        return False

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[Any]:
        raise AssertionError(f"a chore is seen to, and {items} not put into {parent_hash} as {role}")

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:  # noqa: ARG002 - depends on what is wished
        return {}

    async def held_of(self, reads: Reads, parent_hash: str, wished: Collection[str]) -> Held | Unlisted:
        so = dict[str, int | None]()
        for item in wished:
            try:
                left = await self.todo(reads, parent_hash, item, waited_s=0.0)
            except ConflictError:
                continue
            if not left.operations and not left.is_waiting:
                so[item] = None
        return so

    def is_written(self, pen: Pen) -> bool:  # noqa: ARG002 - most are not
        return False
