"""Cuts a manifest, as it is read, into shards that can be provisioned side by side. Pure: it never waits or sends.

A shard is closed under references: whatever its entries refer to is in it, or is known already. What would hold up
many shards goes into one of its own, first. Entries that make things of the same name never are in two shards under
way: what became of one of them could be taken for the other's.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from encord_async.journal.record import name_digest
from encord_async.kinds.entry import Entry, MakingEntry, needed_keys
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.thing import InnerThing
from encord_async.manifest.part import Part, PartEntry

__all__ = ["Cutter", "Shard"]

_WINDOW: Final = 8
"""So many shards' worth of entries are looked at before they are cut, to see what many of them refer to."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the manifest that can be provisioned now."""

    number: int
    part: Part


@dataclass(frozen=True, slots=True)
class _Dead:
    """A key that will never have a hash, and why."""

    why: str


_Key: TypeAlias = int | str | _Dead
"""Where the entry of a key is: in the shard of this number, or made as this hash, or dead."""

_ASIDE: Final = 0
"""In place of a shard's number: the entry was read, and is in no shard yet."""


class Cutter:
    """Entries in, shards out; what became of shards in, the next shards out.

    It keeps the entries that are in no shard yet, and of each key its hash, because any later entry may refer to it.

    Args:
        most: Most entries in a shard.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._window: list[PartEntry] = []
        self._filling: list[PartEntry] = []
        self._number = 1
        self._ready: deque[Shard] = deque()
        self._keys: dict[str, _Key] = {}
        self._names: dict[bytes, int] = {}
        self._under_way: dict[int, tuple[PartEntry, ...]] = {}
        self._behind: dict[int, list[PartEntry]] = {}
        """Entries that wait for a shard to end, by its number."""
        self._wanting: dict[str, list[PartEntry]] = {}
        """Entries that wait for the entry of a key to be in a shard, or to be read at all."""
        self._all_read = False

    @property
    def held(self) -> int:
        """Entries that could be in a shard, or will be when others have ended; those that want a key aside."""
        behind = sum(map(len, self._behind.values()))
        ready = sum(len(shard.part.entries) for shard in self._ready)
        return len(self._window) + len(self._filling) + behind + ready

    def add(self, one: PartEntry) -> None:
        """Take in the next entry of the manifest."""
        key = one.placed.entry.key
        if key is not None:
            self._keys[key] = _ASIDE
        self._window.append(one)
        if len(self._window) >= _WINDOW * self._most:
            self._cut()

    def end_of_manifest(self) -> None:
        """No further entry will come: who wants a key that no entry has gets a shard all the same, and fails there."""
        self.flush()
        self._all_read = True
        for key in [key for key in self._wanting if key not in self._keys]:
            self._offer(self._wanting.pop(key))
        self._close()

    def flush(self) -> None:
        """Make shards of all that can be in one now, however small they are."""
        self._cut()
        self._close()

    def take(self) -> Shard | None:
        """The next shard, which is under way from now on; None if there is none."""
        return self._ready.popleft() if self._ready else None

    def ended(self, shard: Shard, *, made: Mapping[str, str], dead: Mapping[str, str]) -> None:
        """Take in what became of the keys of *shard*: their hashes, or why they will have none."""
        for one in self._under_way.pop(shard.number):
            key = one.placed.entry.key
            if key is not None:
                self._keys[key] = made[key] if key in made else _Dead(dead.get(key, "it did not come about"))
        self._names = {name: number for name, number in self._names.items() if number != shard.number}
        self._offer(self._behind.pop(shard.number, []))
        if self._all_read:
            self._close()

    def take_rest(self) -> list[PartEntry]:
        """Everything that is in no shard under way; for a run that is stopped."""
        rest = [*self._window, *self._filling]
        rest += [one for waiters in (*self._behind.values(), *self._wanting.values()) for one in waiters]
        for shard in self._ready:
            rest += shard.part.entries
            del self._under_way[shard.number]
        for held in (self._window, self._filling, self._behind, self._wanting, self._ready):
            held.clear()
        return sorted(rest, key=lambda one: one.number)

    # ------------------------------------------------------------------ cutting

    def _cut(self) -> None:
        """Hand what was read to shards: first what many refer to, with what that needs itself."""
        window, self._window = self._window, []
        by_key = {key: one for one in window if (key := one.placed.entry.key) is not None}
        uses = Counter(key for one in window for key in needed_keys(one.placed.entry))
        first: dict[int, PartEntry] = {}
        shared = [key for key, number in uses.items() if number > self._most // 2]
        while shared:
            one = by_key.get(shared.pop())
            if one is not None and one.number not in first:
                first[one.number] = one
                shared += needed_keys(one.placed.entry)
        if first:
            self._close()
            self._offer(first[number] for number in sorted(first))
            self._close()
        self._offer(one for one in window if one.number not in first)

    def _offer(self, entries: Iterable[PartEntry]) -> None:
        """Put each of *entries* into the shard that is being filled, or aside with what it waits for."""
        for entry in entries:
            queue = deque([entry])
            while queue:
                one = queue.popleft()
                obstacle = self._obstacle(one.placed.entry)
                if isinstance(obstacle, str):
                    self._wanting.setdefault(obstacle, []).append(one)
                elif obstacle is not None:
                    self._behind.setdefault(obstacle, []).append(one)
                else:
                    queue.extend(self._put(one))

    def _obstacle(self, entry: Entry) -> str | int | None:
        """A key that is to be read, or a shard that has to end, before *entry* can be in the one being filled."""
        for key in needed_keys(entry):
            place = self._keys.get(key)
            if place == _ASIDE or (place is None and not self._all_read):
                return key
            if isinstance(place, int) and place != self._number:
                return place
        for name in self._names_of(entry):
            number = self._names.get(name, self._number)
            if number != self._number:
                return number
        return None

    def _put(self, one: PartEntry) -> list[PartEntry]:
        """Put *one* into the shard that is being filled; who wanted its key."""
        entry = one.placed.entry
        self._filling.append(one)
        for name in self._names_of(entry):
            self._names[name] = self._number
        key = entry.key
        if key is not None:
            self._keys[key] = self._number
        if len(self._filling) >= self._most:
            self._close()
        return self._wanting.pop(key, []) if key is not None else []

    def _close(self) -> None:
        if not self._filling:
            return
        entries = tuple(sorted(self._filling, key=lambda one: one.number))
        made: dict[str, str] = {}
        dead: dict[str, str] = {}
        for key in {key for one in entries for key in needed_keys(one.placed.entry)}:
            place = self._keys.get(key)
            if isinstance(place, str):
                made[key] = place
            elif isinstance(place, _Dead):
                dead[key] = place.why
        self._under_way[self._number] = entries
        self._ready.append(Shard(self._number, Part(entries=entries, made=made, dead=dead)))
        self._filling = []
        self._number += 1

    def _names_of(self, entry: Entry) -> Iterator[bytes]:
        """What namesakes of the thing that *entry* makes have in common with it.

        A project that a shard under way is about to adopt, and that other entries name by its hash, passes for two.
        """
        for step in entry.steps(b"") if entry.creates else ():
            if isinstance(step.kind, InnerThing):
                # What it makes inside what it makes itself has no namesakes.
                if step.parent is not None:
                    place = self._keys.get(referenced_key(step.parent) or "")
                    parent = place if isinstance(place, str) else step.parent
                    yield name_digest(step.kind, *step.kind.names(step, parent))
            elif isinstance(entry, MakingEntry) and step.kind.creates:
                yield name_digest(step.kind, entry.wished_title, entry.description)
