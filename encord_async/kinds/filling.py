"""A filling: a thing is given much of what lies in another one, found page by page, such as the files of a folder.

How much that is nobody knows before. It is harmless to repeat. Sends nothing but reads.
"""

from abc import abstractmethod
from collections.abc import Container
from typing import Any, ClassVar

from encord_async.errors import UnreadableReplyError
from encord_async.kinds.membership import Relation
from encord_async.kinds.picked import Lying
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.protocol.operations.base import PageOperation

__all__ = ["Filling"]


class Filling(Relation):
    """One sort of it; its item is what it is filled from. Its steps say with what: files by their URLs, or `Picked`."""

    is_at_once = is_shown = False
    most_given: ClassVar[int | None] = 1
    has_entries = False

    @abstractmethod
    def listing(self, source_hash: str) -> PageOperation[Any]:
        """What lists all that lies in the other one."""

    @abstractmethod
    def lying(self, item: Any) -> Lying:
        """An item of the listing."""

    async def there(self, reads: Reads, parent_hash: str) -> Container[str]:
        """What is in the thing; nothing if nobody can tell, since what is given once more changes nothing.

        Raises:
            EncordError: It cannot be read, for another reason than that no answer has room for it.
        """
        try:
            held = await self.held(reads, parent_hash)
        except UnreadableReplyError as error:
            if error.code != "REPLY_TOO_LARGE":
                raise
            return ()
        return () if isinstance(held, Unlisted) else held
