"""What a manifest holds, in numbers. Pure; reads no file."""

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encord_async.kinds.entry import Entry

__all__ = ["contents", "counted"]


def counted() -> dict[str, str]:
    """What is counted, with words for people."""
    from encord_async.kinds import registry

    return {"entries": "entries", **registry.counted()}


def contents(entry: "Entry") -> Counter[str]:
    """The numbers of one entry, under the names of `counted`."""
    return Counter(entries=1, **entry.contents())
