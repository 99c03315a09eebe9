"""Where entries come from: a file, an iterable or an async iterable, behind one way of taking some of them.

A source gives entries only when asked, at most as many as asked for, and never looks ahead further.
"""

import contextlib
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import anyio.to_thread

from encord_async.errors import UsageError
from encord_async.provision.manifest import Entry, Place, PlacedEntry, Problem, read_entry
from encord_async.provision.manifest_files import read_manifest

__all__ = ["Item", "Manifest", "Source", "open_source"]

Wish: TypeAlias = "Entry | Mapping[str, object]"
Manifest: TypeAlias = "str | Path | Iterable[Wish] | AsyncIterable[Wish]"
Item: TypeAlias = "PlacedEntry | tuple[Problem, ...]"
"""An entry, or what is wrong with something that is none."""


class Source(Protocol):
    """Gives entries when asked."""

    async def take(self, most: int) -> list[Item]:
        """Between one and *most* items; none at the end."""
        ...

    async def aclose(self) -> None:
        """Let go of the file or the iterator."""
        ...


def open_source(manifest: Manifest) -> Source:
    """A source over *manifest*.

    Raises:
        UsageError: It is nothing that entries can come from.
        ManifestError: The file cannot be read.
    """
    if isinstance(manifest, str | Path):
        return _FileSource(manifest)
    if isinstance(manifest, AsyncIterable):
        return _AsyncSource(manifest)
    if isinstance(manifest, Mapping | bytes) or not isinstance(manifest, Iterable):
        kind = type(manifest).__name__
        raise UsageError(f"a manifest cannot be a {kind}; give a path or an iterable of entries or dicts")
    return _IterableSource(manifest)


class _FileSource:
    def __init__(self, path: str | Path) -> None:
        self._items = _grouped(read_manifest(path))

    async def take(self, most: int) -> list[Item]:
        # Reading may block: the file can be a pipe or lie on a network.
        return await anyio.to_thread.run_sync(self._some, most)

    def _some(self, most: int) -> list[Item]:
        return list(itertools.islice(self._items, most))

    async def aclose(self) -> None:
        self._items.close()


def _grouped(items: Generator[PlacedEntry | Problem]) -> Generator[Item]:
    """One item an entry: all that is wrong with a bad one together."""
    with contextlib.closing(items):
        for _, group in itertools.groupby(items, key=lambda item: item.place.number):
            problems: list[Problem] = []
            for item in group:
                if isinstance(item, Problem):
                    problems.append(item)
                else:
                    yield item
            if problems:
                yield tuple(problems)


class _Numbered:
    """Gives places to entries that come from no file."""

    def __init__(self) -> None:
        self._number = 0

    def read(self, raw: object) -> Item:
        self._number += 1
        place = Place(source="<iterable>", line=None, number=self._number)
        entry = read_entry(raw, place)
        return entry if isinstance(entry, tuple) else PlacedEntry(place, entry)


class _IterableSource(_Numbered):
    def __init__(self, entries: Iterable[Wish]) -> None:
        super().__init__()
        self._entries: Iterator[Wish] = iter(entries)

    async def take(self, most: int) -> list[Item]:
        # In the caller's thread, since a generator may hold a cursor that is bound to it.
        return [self.read(raw) for raw in itertools.islice(self._entries, most)]

    async def aclose(self) -> None:
        close = getattr(self._entries, "close", None)
        if close is not None:
            close()


class _AsyncSource(_Numbered):
    def __init__(self, entries: AsyncIterable[Wish]) -> None:
        super().__init__()
        self._entries: AsyncIterator[Wish] = aiter(entries)

    async def take(self, most: int) -> list[Item]:  # noqa: ARG002 - waiting for more would delay the one at hand
        try:
            return [self.read(await anext(self._entries))]
        except StopAsyncIteration:
            return []

    async def aclose(self) -> None:
        close = getattr(self._entries, "aclose", None)
        if close is not None:
            await close()
