"""Gives entries their identity, by which a later run, and the journal, know them again. Pure."""

from collections import defaultdict

from encord_async.kinds.entry import Entry
from encord_async.kinds.step import digest, keyed

__all__ = ["Namer"]


class Namer:
    """Gives entries their identity: by key, or by content and occurrence if they have none.

    Only entries that create something count their occurrences: the same membership wished for twice is one wish.
    Remembers eight bytes an entry without a key that creates something, nothing of any other.
    """

    def __init__(self) -> None:
        self._occurrences: defaultdict[int, int] = defaultdict(int)

    def can_wait(self, entry: Entry) -> bool:
        """Whether *entry* has the same identity whenever it is asked for."""
        return entry.key is None and entry.is_harmless_twice

    def identity(self, entry: Entry) -> bytes:
        """Identity of *entry*, which is the next in the manifest's order."""
        if entry.key is not None:
            return keyed(entry.kind, entry.key)
        # Without what is left at its default: a field that a later release adds changes nobody's identity.
        said = entry.model_dump_json(exclude_defaults=True)
        content = digest(b"content", entry.kind.encode(), said.encode())
        if entry.is_harmless_twice:
            return content
        seen = int.from_bytes(content[:8])
        occurrence = self._occurrences[seen]
        self._occurrences[seen] += 1
        return digest(content, str(occurrence).encode())
