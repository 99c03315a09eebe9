"""What was put into folders just now, which their listings may not show yet. Kept are files by reference, not as text.

Nothing here sends; what the files are is read when somebody asks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import anyio.to_thread

from encord_async.kinds.files import Portion, Unit, URLs, expected, url_digest
from encord_async.kinds.picked import Picked

__all__ = ["Arrivals"]


class _Some(NamedTuple):
    """Files that were registered, those of *failed* aside; *is_ours* what this run has seen to."""

    files: Portion
    failed: frozenset[str]
    is_ours: bool

    def named(self, picked: Picked) -> Iterator[str]:
        """The URLs of those that are *picked*."""
        lying = filter(picked.takes, map(expected, self.files.items()))
        return (one.name for one in lying if one.name not in self.failed)


class Arrivals:
    """What arrived in folders during this run, and just before it."""

    def __init__(self) -> None:
        self._some: defaultdict[str, list[_Some]] = defaultdict(list)
        self._any: set[str] = set()

    def note(self, folder: str, load: Portion | Picked | None, units: Sequence[Unit], *, is_ours: bool) -> None:
        """The files of *load* were put into *folder*, but for *units*; of a sync nobody knows which files."""
        self._any.add(folder)
        if isinstance(load, Portion):
            self._some[folder].append(_Some(load, frozenset(unit.url for unit in units), is_ours))

    def any_in(self, folder: str) -> bool:
        """Whether anything was put into *folder*."""
        return folder in self._any

    async def urls(self, folder: str, picked: Picked) -> URLs:
        """The URLs of what was put into *folder* and is *picked*, as far as they are known."""
        some = list(self._some.get(folder, ()))
        return await anyio.to_thread.run_sync(
            lambda: URLs(url_digest(url) for one in some for url in one.named(picked))
        )

    def first_unseen(self, folder: str, picked: Picked, awaited: URLs) -> str | None:
        """One that this run has put there, is *picked* and was not met, if there is any; may read from a disk."""
        ours = (one for one in self._some.get(folder, ()) if one.is_ours)
        return next((url for one in ours for url in one.named(picked) if not awaited.has_met(url)), None)
