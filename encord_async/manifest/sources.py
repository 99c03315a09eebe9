"""Where entries come from: a file, an iterable or an async iterable, behind one way of taking some of them.

A source gives entries only when asked, at most as many as asked for, and never looks ahead further.
"""

import contextlib
import itertools
import os
import queue
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from anyio import RunFinishedError
from anyio.lowlevel import EventLoopToken

from encord_async.errors import EncordError, ManifestError, UsageError
from encord_async.kinds.entry import Entry
from encord_async.manifest.beside import with_file
from encord_async.manifest.files import read_manifest
from encord_async.manifest.part import Part
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.reading import read_entry
from encord_async.manifest.variables import ManifestFile

__all__ = [
    "Item",
    "Manifest",
    "Source",
    "is_read_twice",
    "manifest_file",
    "open_source",
    "read_numbered",
    "with_variables",
]

Wish: TypeAlias = "Entry | Mapping[str, object]"
Manifest: TypeAlias = "str | Path | ManifestFile | Iterable[Wish] | AsyncIterable[Wish] | Part"
Item: TypeAlias = PlacedEntry | tuple[Problem, ...]
"""An entry, or what is wrong with something that is none."""


class Source(Protocol):
    """Gives entries when asked."""

    async def take(self, most: int) -> list[Item]:
        """Between one and *most* items; none at the end."""
        ...

    async def aclose(self) -> None:
        """Let go of the file or the iterator."""
        ...


def with_variables(manifest: Manifest, variables: Mapping[str, object] | None = None) -> Manifest:
    """*manifest* with what it is read with, if it is a file or standard input: read again, it is the same then.

    Raises:
        UsageError: A variable is none, or is given for entries that come from no file.
    """
    if isinstance(manifest, str | Path | ManifestFile):
        return ManifestFile.at(manifest, variables)
    if variables:
        raise UsageError("variables are for manifests in files; fill entries in where you make them")
    return manifest


def manifest_file(manifest: Manifest) -> ManifestFile | None:
    """The file that *manifest* is, which can be read more than once; None if it is none."""
    if not isinstance(manifest, str | Path | ManifestFile):
        return None
    file = ManifestFile.at(manifest)
    return None if file.is_stream else file


def is_read_twice(manifest: Manifest) -> bool:
    """Whether *manifest* can be read more than once: a file or a sequence, and no stream."""
    if isinstance(manifest, str | Path | ManifestFile):
        return manifest_file(manifest) is not None
    return isinstance(manifest, Sequence)


def open_source(
    manifest: Manifest,
    on_empty: Callable[[Place], None] = lambda _: None,
    *,
    changed: Callable[[int], str | None] | None = None,
) -> Source:
    """A source over *manifest*.

    Args:
        manifest: What entries come from.
        on_empty: As for `read_manifest`.
        changed: Tells by the descriptor of the manifest which file is not as it was when all was checked. No entry
            comes of another.

    Raises:
        UsageError: It is nothing that entries can come from.
        ManifestError: The file cannot be read.
    """
    if isinstance(manifest, str | Path | ManifestFile):
        file = ManifestFile.at(manifest)
        return _StreamSource(file, on_empty) if file.is_stream else _FileSource(file, on_empty, changed)
    if isinstance(manifest, Part):
        return _IteratorSource(one.placed for one in manifest.entries)
    if isinstance(manifest, AsyncIterable):
        return _AsyncSource(manifest)
    if isinstance(manifest, Mapping | bytes) or not isinstance(manifest, Iterable):
        kind = type(manifest).__name__
        raise UsageError(f"a manifest cannot be a {kind}; give a path or an iterable of entries or dicts")
    entries = iter(manifest)
    return _IteratorSource(read_numbered(entries), getattr(entries, "close", lambda: None))


class _FileSource:
    def __init__(
        self,
        manifest: ManifestFile,
        on_empty: Callable[[Place], None],
        changed: Callable[[int], str | None] | None,
    ) -> None:
        self._changed = changed
        self._descriptor: int | None = None
        """Of the file, by which is told even after its last entry whether it was changed meanwhile."""
        self._items = _grouped(read_manifest(manifest, on_empty=on_empty, on_open=self._keep))

    def _keep(self, stream: BinaryIO) -> None:
        self._descriptor = os.dup(stream.fileno())

    async def take(self, most: int) -> list[Item]:
        # Reading may block: the file can be a pipe or lie on a network.
        return await anyio.to_thread.run_sync(self._some, most)

    def _some(self, most: int) -> list[Item]:
        items = list(itertools.islice(self._items, most))
        if self._changed is not None and self._descriptor is not None and (name := self._changed(self._descriptor)):
            raise ManifestError(f"{name} was changed while it was read; run it again")
        return items

    async def aclose(self) -> None:
        self._items.close()
        if self._descriptor is not None:
            os.close(self._descriptor)


class _StreamSource:
    """Standard input, which may say nothing for hours: read on a thread that nobody waits for when a run is stopped."""

    def __init__(self, manifest: ManifestFile, on_empty: Callable[[Place], None]) -> None:
        self._items = _grouped(read_manifest(manifest, on_empty=on_empty))
        self._allowed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ready: deque[Item | EncordError | None] = deque()
        self._owed = 0
        self._arrived = anyio.Event()
        self._thread: threading.Thread | None = None

    async def take(self, most: int) -> list[Item]:
        if self._thread is None:
            token = anyio.lowlevel.current_token()
            self._thread = threading.Thread(target=self._pump, args=(token,), daemon=True, name="standard input")
            self._thread.start()
        if most > self._owed:
            self._allowed.put(most - self._owed)
            self._owed = most
        while not self._ready:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        taken: list[Item] = []
        while self._ready and len(taken) < most:
            item = self._ready[0]
            if item is None or isinstance(item, EncordError):
                if taken or item is None:
                    break
                raise item
            taken.append(item)
            self._ready.popleft()
        self._owed -= len(taken)
        return taken

    def _pump(self, token: EventLoopToken) -> None:
        """Hand over items one by one as they come, never more than are allowed."""
        with contextlib.suppress(RunFinishedError):
            while True:
                for _ in range(self._allowed.get()):
                    try:
                        item: Item | EncordError | None = next(self._items, None)
                    except EncordError as error:
                        item = error
                    anyio.from_thread.run_sync(self._hand_over, item, token=token)
                    if item is None or isinstance(item, EncordError):
                        return

    def _hand_over(self, item: Item | EncordError | None) -> None:
        self._ready.append(item)
        self._arrived.set()

    async def aclose(self) -> None:
        """Nothing: the thread may be in the middle of a read, and ends with the process."""


def _grouped(items: Generator[PlacedEntry | Problem]) -> Generator[Item]:
    """One item an entry: all that is wrong with a bad one together."""
    problems: list[Problem] = []
    with contextlib.closing(items):
        for item in items:
            if problems and problems[0].place.number != item.place.number:
                yield tuple(problems)
                problems = []
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
        return entry if isinstance(entry, tuple) else with_file(PlacedEntry(place, entry), None)


def read_numbered(entries: Iterable[object]) -> Iterator[Item]:
    """What a source over *entries* will give, read beforehand."""
    return map(_Numbered().read, entries)


class _IteratorSource:
    """The entries of an iterator; *close* lets go of what it reads."""

    def __init__(self, items: Iterator[Item], close: Callable[[], object] = lambda: None) -> None:
        self._items = items
        self._close = close

    async def take(self, most: int) -> list[Item]:
        # In the caller's thread, since a generator may hold a cursor that is bound to it.
        return list(itertools.islice(self._items, most))

    async def aclose(self) -> None:
        self._close()


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
