"""Items that people call by names, and the service by identifiers of its own. Sends nothing, and remembers nothing."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from encord_async.protocol.operations.base import Operation, PageOperation

__all__ = ["Names"]


class Names(ABC):
    """One sort of names, such as those of tags.

    A name stands for one thing, and the service refuses to give it to a second: so what nobody has is made when it is
    first needed, and an answer that was lost makes no two.

    Attributes:
        what: What a plan says is created.
    """

    what: ClassVar[str]

    @abstractmethod
    def listing(self) -> PageOperation[Any]:
        """What lists all that have such names."""

    @abstractmethod
    def making(self, name: str) -> Operation[Any]:
        """What makes one; answered as it is listed, and refused as there already if another has the name."""

    @abstractmethod
    def read(self, listed: Any) -> tuple[str, str]:
        """Name and identifier of one that is listed, or was made."""
