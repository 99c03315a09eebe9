"""A loss: what is taken out of a thing for good, since all that hangs on it goes with it. Sends nothing but reads.

No entry says it, and nothing shown in a thing asks for it: a run does it only for whoever names the number. Whether
something is to be taken is judged by what it shows, read by itself: a listing of all there is may lag behind.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from encord_async.kinds.membership import Relation
from encord_async.kinds.picked import Lying
from encord_async.kinds.reading import Reads

__all__ = ["MOST_READ", "Loss", "Piece", "Seat"]

MOST_READ: Final = 1000


class Seat(NamedTuple):
    """What could be taken: the item of the relation that it is, and the uuid of what it shows, if that is known."""

    item: str
    shows: str | None


class Piece(NamedTuple):
    """What a seat shows, as it is by itself, and the folder that it lies in, if that is said."""

    lying: Lying
    folder: str | None


class Loss(Relation):
    """One sort of it.

    Attributes:
        fills: Relations by which entries want something in the thing.
    """

    gives = ""
    is_shown = False
    has_entries = False
    limits_unsaid = False
    fills: ClassVar[tuple[Relation, ...]]

    @abstractmethod
    def seats(self, reads: Reads, parent_hash: str) -> AsyncIterator[Sequence[Seat]]:
        """All that could be taken, each once.

        Raises:
            EncordError: It cannot be listed.
        """

    @abstractmethod
    async def pieces(self, reads: Reads, uuids: Sequence[str]) -> Mapping[str, Piece]:
        """What these are, by their uuids in small letters; those that the service does not show are not in it.

        No more than `MOST_READ` are asked for at once.

        Raises:
            EncordError: They cannot be read.
        """

    @abstractmethod
    async def why_left(self, reads: Reads, parent_hash: str) -> str | None:
        """Why nothing is taken out of the thing; None if something may be.

        Raises:
            EncordError: It cannot be read.
        """
