"""Keys that have changed in the manifest (``moved``): their records get the new ones, before anything else is done.

It does what `journal mv` does, and nothing where that has been done already.
"""

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from encord_async.journal.record import Ledger, Record, State
from encord_async.journal.surgery import Change, renamed
from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import REFERENCE, shown
from encord_async.kinds.membership import Membership
from encord_async.kinds.step import keyed
from encord_async.kinds.thing import Admission
from encord_async.manifest.files import raise_for_problems
from encord_async.manifest.place import PlacedEntry, Problem

__all__ = ["Moved", "carry_out"]

_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry whose records have got its new key; *hash* is that of what it has made, if that has one."""

    number: int
    place: str
    kind: str
    old: str
    new: str
    hash: str | None

    def __str__(self) -> str:
        kind = self.kind.replace("_", " ")
        return f"{self.place}: {kind} {REFERENCE}{self.new}: takes the place of {REFERENCE}{self.old} in the journal"

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"place": self.place, "kind": self.kind, "from": self.old, "key": self.new, "hash": self.hash}


async def carry_out(ledger: Ledger, entries: Sequence[PlacedEntry]) -> tuple[Moved, ...]:
    """Give the records of *entries*, which all say from which key they have moved, their keys of today.

    Returns:
        Those for which there was anything to do.

    Raises:
        ManifestError: The journal has something of both keys of one, or it is in doubt whether that was made; then
            nothing is written.
        JournalError: The journal cannot be read or written.
    """
    moved, steps, problems = list[Moved](), dict[bytes, bytes](), list[Problem]()
    async for placed, old, new, now in _known(ledger, entries):
        if old.state is State.FAILED and new is not None:
            continue
        problem = _fault(placed, old, new)
        if problem is not None:
            problems.append(problem)
            continue
        entry, place = placed.entry, placed.place
        moved.append(Moved(place.number, str(place), entry.kind, entry.moved or "", entry.key or "", old.hash))
        steps[old.identity] = now
    raise_for_problems(problems)
    if moved:
        change = await _change(ledger, {(one.kind, one.old): one.new for one in moved}, steps)
        await ledger.write(change.records, instead_of=change.instead_of)
    return tuple(moved)


async def _change(ledger: Ledger, moves: Mapping[tuple[str, str], str], steps: Mapping[bytes, bytes]) -> Change:
    """What is to be written; of the journal no more than a part is kept at once."""
    change, some = Change(), list[Record]()

    def take() -> None:
        found = renamed(some, moves, steps)
        change.records.extend(found.records)
        change.instead_of.update(found.instead_of)
        some.clear()

    async for record in ledger.every():
        some.append(record)
        if len(some) == _CHUNK:
            take()
    take()
    return change


async def _known(
    ledger: Ledger, entries: Sequence[PlacedEntry]
) -> AsyncIterator[tuple[PlacedEntry, Record, Record | None, bytes]]:
    """Entries of whose old key something is written down: of that, of the new one, and the step of the new one."""
    for start in range(0, len(entries), _CHUNK):
        steps = [(placed, *both) for placed in entries[start : start + _CHUNK] for both in _steps(placed.entry)]
        records = await ledger.known([one for _, *both in steps for one in both])
        for placed, old, new in steps:
            if old in records:
                yield placed, records[old], records.get(new), new


def _steps(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    """Identities of what *entry* makes first, as it had its old key and as it is; nothing if it only gives and takes.

    Of who is let in the role is a part of them: each is told that the entry may have had before.
    """
    before, today = (keyed(entry.kind, key or "") for key in (entry.moved, entry.key))
    both = zip(entry.steps(before), entry.steps(today), strict=True)
    for then, now in itertools.islice((two for two in both if not isinstance(two[0].kind, Membership)), 1):
        yield then.identity, now.identity
        if isinstance(then.kind, Admission):
            yield from zip(then.kind.former(entry, before), then.kind.former(entry, today), strict=True)


def _fault(placed: PlacedEntry, old: Record, new: Record | None) -> Problem | None:
    """Why the records of *old* cannot get the key of *new*; None if they can."""
    was, is_now = shown(placed.entry.moved), shown(placed.entry.key)
    if old.is_open or (new is not None and new.is_open):
        reason = f"it is in doubt what came of {was if old.is_open else is_now}"
        return Problem(placed.place, "moved", reason, "see that with 'encord-async settle' first", placed.entry.key)
    if new is not None and new.state is not State.FAILED:
        reason = f"the journal has something of both {was} and {is_now}"
        return Problem(
            placed.place, "moved", reason, "forget one of them with 'encord-async journal rm'", placed.entry.key
        )
    return None
