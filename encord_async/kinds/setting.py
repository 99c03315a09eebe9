"""What a thing has exactly one of, such as a status: a relation in which one item takes the place of the other.

So it is sent, remembered, planned and compared as all that is in things. Sends nothing but reads.
"""

from abc import abstractmethod
from typing import Any, ClassVar

from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.protocol.operations.base import Operation

__all__ = ["Setting"]


class Setting(Relation):
    """One sort of what is set; its items are values, as manifests have them. `at_first` is what nobody has set."""

    is_single = True
    most_given: ClassVar[int | None] = 1
    has_entries = False

    @abstractmethod
    def setting(self, parent_hash: str, value: str) -> Operation[Any]:
        """What is sent to set *value*."""

    @abstractmethod
    async def value(self, reads: Reads, parent_hash: str) -> str | Unlisted | None:
        """Read what is set; None if nothing is."""

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[Any]:  # noqa: ARG002
        (value,) = items
        return self.setting(parent_hash, value)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        found = await self.value(reads, parent_hash)
        return found if isinstance(found, Unlisted) else {} if found is None else {found: None}
