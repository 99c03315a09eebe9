"""What the account holds already, and whether an entry is taken for something of it.

`match` decides, purely. `Account` lists each kind of thing once a run, on first need, and keeps of each its hash under
a digest of title and description. It never changes anything.
"""

import copy
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import anyio

from encord_async.errors import ConflictError, EncordError, spelt
from encord_async.kinds.reading import Reads
from encord_async.kinds.thing import Creates, DatasetAPI, Found, Thing

__all__ = [
    "ENTRY_MARK",
    "Account",
    "Adopt",
    "Create",
    "Existing",
    "Listed",
    "entry_mark",
    "match",
    "restamped",
    "stamped",
]


ENTRY_MARK: Final = 8
"""So many letters of a mark are those of its entry, and the rest those of the journal."""
_STAMP: Final = re.compile(r" ?\[encord-async ([0-9a-f]{12})\]$")


class Existing(StrEnum):
    """What to do about something that is there already under the same title and description."""

    ADOPT = "adopt"
    """Take it as ours if there is exactly one of which we are admin."""
    CREATE = "create"
    """Make another one."""
    FAIL = "fail"
    """Let the entry fail."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take this one as ours."""

    hash: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make a new one."""


Match: TypeAlias = Adopt | Create

Listed: TypeAlias = Mapping[Thing, Mapping[bytes, Sequence[Found]]]
"""Of each kind that was listed, all there was, under a digest of title and description."""


def match(what: Creates, title: str, found: Iterable[Found], existing: Existing) -> Match:
    """Decide what an entry with these namesakes becomes.

    Raises:
        ConflictError: Several could be meant, or *existing* says to fail; the message lists their hashes.
    """
    candidates = list(found)
    if existing is Existing.CREATE or not candidates:
        return Create()
    listed = ", ".join(candidate.hash for candidate in candidates[:10])
    if existing is Existing.FAIL:
        raise ConflictError(f"{what.a_noun} {title!r} is there already: {listed}", code="EXISTS")
    ours = [candidate for candidate in candidates if candidate.is_admin]
    if not ours:
        return Create()
    if len(ours) > 1 and not what.is_inner:
        listed = ", ".join(candidate.hash for candidate in ours[:10])
        raise ConflictError(
            f"several {what.plural} {title!r} could be meant: {listed}; "
            f"refer to one by its hash, or use {spelt('existing', 'create')} to make another",
            code="AMBIGUOUS",
        )
    return Adopt(ours[0].hash)


class Account:
    """What the account held when it was first asked for, each kind of thing for itself.

    Args:
        reads: Reads.
        dataset_api: Over which API datasets are listed.
        listed: What was listed already, and is not asked for again.
        on_read: Is told of each thing that is read.
    """

    def __init__(
        self,
        reads: Reads,
        *,
        dataset_api: DatasetAPI = DatasetAPI.REST,
        listed: Listed | None = None,
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        self._reads = reads
        self._dataset_api = dataset_api
        self._on_read = on_read
        self._lock = anyio.Lock()
        self._index = dict(listed or {})
        self._failures: dict[Thing, EncordError] = {}
        self._claimed: set[str] = set()

    async def namesakes(self, what: Thing, title: str, description: str) -> Sequence[Found]:
        """What went by this title and description when the account was listed, stamps and blanks at the ends aside.

        Raises:
            EncordError: The account cannot be listed. It was tried as often as anything is, and is not tried again for
                each entry that asks.
        """
        return (await self._all(what)).get(_digest(title, description), [])

    def is_listed(self, what: Thing) -> bool:
        """Whether it is known what the account holds of this kind."""
        return what in self._index

    def has_none(self, what: Thing, title: str, description: str) -> bool:
        """Whether things of this kind were listed already, and none went by this title and description."""
        index = self._index.get(what)
        return index is not None and not (index and _digest(title, description) in index)

    async def hashes(self, what: Thing) -> frozenset[str]:
        """Of all that was there when the account was listed. Raises as `namesakes`."""
        return frozenset(found.hash for alike in (await self._all(what)).values() for found in alike)

    @property
    def listed(self) -> Listed:
        """What was listed so far, without who has claimed what of it."""
        return dict(self._index)

    async def _all(self, what: Thing) -> Mapping[bytes, Sequence[Found]]:
        if what not in self._index:
            async with self._lock:
                if what not in self._index:
                    self._index[what] = await self._listed_once(what)
        return self._index[what]

    def unclaimed(self, found: Iterable[Found]) -> list[Found]:
        """Those of *found* that no entry of this run has adopted."""
        return [one for one in found if one.hash not in self._claimed]

    def claim(self, found_hash: str) -> None:
        """Keep *found_hash* from being adopted by another entry."""
        self._claimed.add(found_hash)

    async def _listed_once(self, what: Thing) -> dict[bytes, list[Found]]:
        failure = self._failures.get(what)
        if failure is None:
            try:
                return await self._listed(what)
            except EncordError as error:
                failure = self._failures[what] = copy.copy(error)
                failure.message = f"the {what.plural} of the account cannot be listed: {error.message}"
        # A copy: one error that is raised again and again would gather all their tracebacks.
        raise copy.copy(failure)

    async def _listed(self, what: Thing) -> dict[bytes, list[Found]]:
        index: defaultdict[bytes, list[Found]] = defaultdict(list)
        shown: set[str] = set()
        async for listed in what.listed(self._reads, self._dataset_api):
            if listed.hash not in shown:
                shown.add(listed.hash)
                self._on_read()
                found = Found(listed.hash, listed.is_admin, _mark(listed.description), what.remembered(listed.item))
                index[_digest(listed.title, listed.description)].append(found)
        return dict(index)


def plain(description: str | None) -> str:
    """*description* without a mark, and without blanks at its ends."""
    return _STAMP.sub("", description or "").strip()


def stamped(description: str, mark: str) -> str:
    """*description* with a short mark of the entry, by which a look-up finds exactly its own."""
    return f"{description} [encord-async {mark}]".lstrip()


def restamped(description: str, held: str | None) -> str:
    """*description* with the mark that *held*, the description of what is there, shows, if it shows one."""
    mark = _mark(held)
    return description if mark is None else stamped(description, mark)


def entry_mark(domain: str, identity: bytes) -> str:
    """The part of a mark that is the same whichever journal knows the entry.

    Args:
        domain: The service.
        identity: Identity of the entry, or its first eight bytes.
    """
    key = hashlib.blake2b(domain.encode(), digest_size=16).digest()
    return hashlib.blake2b(identity[:8], key=key, digest_size=ENTRY_MARK // 2).hexdigest()


def _mark(description: str | None) -> str | None:
    found = _STAMP.search(description or "")
    return None if found is None else found.group(1)


def _digest(title: str, description: str | None) -> bytes:
    # Blanks at the ends nobody sees, and entries have none: what was made with some is found all the same.
    title = title.strip()
    joined = f"{len(title)}:{title}{plain(description)}"
    return hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=16).digest()
