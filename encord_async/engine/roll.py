"""The roll of a manifest: which entries it holds that make something, what each wishes for inside a thing, and what of
users, datasets and the like the manifest says.

It keeps eight bytes of each, and no entry.

By it is told what an entry has left behind that is in the manifest no more. Files and sequences are read for it before
anything is sent; of what can be read only once it is complete at the end.
"""

import functools
import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread

from encord_async.engine.account import ENTRY_MARK, entry_mark
from encord_async.engine.lanes import Expected
from encord_async.engine.moves import Moved, carry_out
from encord_async.engine.outcome import Outcome, Status
from encord_async.journal.record import Ledger, Record, State, name_digest
from encord_async.journal.taken_off import NOTHING_TAKEN_OFF, Leftover, TakenOffs
from encord_async.kinds.entry import Entry, MakingEntry
from encord_async.kinds.fields import REFERENCE
from encord_async.kinds.membership import Membership, Relation
from encord_async.kinds.namer import Namer
from encord_async.kinds.registry import ENTRY_MODELS, relations_of
from encord_async.kinds.step import Step, key_wish, made_by
from encord_async.kinds.thing import Admission, InnerThing, Thing
from encord_async.manifest.excel import sheet_of
from encord_async.manifest.files import CheckReport, check_manifest
from encord_async.manifest.part import Part
from encord_async.manifest.place import PlacedEntry
from encord_async.manifest.policy import NO_POLICY, Policy
from encord_async.manifest.policy_file import policy_for
from encord_async.manifest.selection import EVERYTHING, NO_SELECTION, Selection, choose
from encord_async.manifest.sources import Manifest, read_numbered
from encord_async.manifest.variables import ManifestFile

__all__ = ["Checked", "Register", "Roll"]

_HEAD: Final = 8
_MASK: Final = 2**64 - 1
_RECENT: Final = 4096
_LONGEST: Final = 2**18
_OPEN: Final = "\0"
"""No item: that others may be there."""
_MOST_BESIDE: Final = 1_000
"""Files beside a manifest that are looked at, each time some entries are read, for whether they were changed."""
_A_TURN: Final = 100
"""Entries that are read in one turn of the event loop."""


class Heads:
    """Numbers of eight bytes, of any number."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[array[int]] = []
        """The longest first, each at most half as long as the one before it, unless that is as long as any."""

    def add(self, head: int) -> None:
        """Take in *head*."""
        self._recent.add(head)
        if len(self._recent) >= _RECENT:
            self._sort()

    def __contains__(self, head: int) -> bool:
        if head in self._recent:
            return True
        for part in self._sorted:
            place = bisect_left(part, head)
            if place < len(part) and part[place] == head:
                return True
        return False

    def __iter__(self) -> Iterator[int]:
        return (head for part in (*self._sorted, self._recent) for head in part)

    def _sort(self) -> None:
        part = array("Q", sorted(self._recent))
        self._recent.clear()
        # What is sorted is a list meanwhile, of five times the size.
        while self._sorted and len(self._sorted[-1]) < min(2 * len(part), _LONGEST):
            part = array("Q", sorted(self._sorted.pop() + part))
        self._sorted.append(part)


class Roll:
    """Names of all that may hold what was made (`Record.holder`), and steps of inner things; of any number.

    And what entries say of users, datasets and the like, by the names that they use; see `Said`.
    """

    def __init__(self) -> None:
        self._makers, self._said = Heads(), Heads()
        self._sorts: set[str] = set()
        self._moves: dict[tuple[str, str], str] = {}

    def add(self, entry: Entry, identity: bytes, steps: Sequence[Step] | None = None) -> None:
        """Take in *entry*.

        Args:
            entry: The entry.
            identity: Its identity; nothing of one that makes nothing.
            steps: Its steps, under any identity, if they are at hand.
        """
        steps = list(entry.steps(b"")) if steps is None else steps
        self._say(entry, identity, steps)
        if not entry.creates:
            return
        self._makers.add(_head(identity))
        if any(step.kind.is_inner for step in steps):
            for step in (one for one in entry.steps(identity) if one.kind.is_inner):
                self._makers.add(_head(step.identity))
                self._makers.add(_head(key_wish(step.identity, step.parent)))

    def _say(self, entry: Entry, identity: bytes, steps: Sequence[Step]) -> None:
        own = identity.hex() if entry.key is None else REFERENCE + entry.key
        if entry.moved is not None and entry.key is not None:
            self._moves[entry.kind, entry.moved] = entry.key
        for step in steps:
            kind = step.kind
            if isinstance(kind, Membership):
                relation = kind.relation
                self._sorts.add(relation.sort)
                self._said.add(_name(relation.sort, step.parent or own, relation.told_apart(step.item)))
            elif isinstance(kind, Admission):
                self._said.add(_name(kind.word, "", step.item.casefold()))
        making = entry.makes
        if isinstance(making, Thing) and isinstance(entry, MakingEntry):
            self._sorts.add(making.word)
            if making.items is not None:
                for reference in making.references(entry):
                    self._said.add(_name(making.items.sort, own, reference))
            for relation in _taken_from(making.word):
                if not making.closes(entry, relation):
                    self._said.add(_name(relation.sort, own, _OPEN))

    def __contains__(self, holder: object) -> bool:
        return isinstance(holder, bytes) and _head(holder) in self._makers

    def says(self, sort: str, about: str, item: str) -> bool:
        """See `Said`."""
        return _name(sort, about, item) in self._said

    def speaks_of(self, relation: Relation) -> bool:
        """See `Said`."""
        return relation.sort in self._sorts or (relation.is_said_by_items and relation.item in self._sorts)

    def is_open(self, sort: str, about: str) -> bool:
        """See `Said`."""
        return _name(sort, about, _OPEN) in self._said

    def key_now(self, kind: str, key: str) -> str:
        """See `Said`."""
        return self._moves.get((kind, key), key)

    def has_mark(self, mark: str, domain: str) -> bool:
        """Whether *mark* is that of one of them at *domain*; looks at all."""
        return any(entry_mark(domain, head.to_bytes(_HEAD)) == mark[:ENTRY_MARK] for head in self._makers)


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was read through.

    Attributes:
        mark: By which it is told whether the file is still the same; None if nobody can, or too many others belong to
            it.
        beside: The other files that belong to it, as they were.
        policy: That it was held to.
        stamps: Whether marks were to tell twins apart, so that none was looked for.
        report: What is wrong with it, and how many entries it has.
        roll: Of these; None where none was called, see `Register.check_file`.
        expected: What these wish for.
        moves: Those that had another key.
    """

    mark: tuple[object, ...] | None
    beside: Mapping[Path, tuple[int, ...] | None]
    policy: Policy
    stamps: bool
    report: CheckReport
    roll: Roll | None
    expected: Expected
    moves: Sequence[PlacedEntry] = ()

    @property
    def changed(self) -> Callable[[int], str | None] | None:
        """Names what is otherwise than when it was read: the file, which has a descriptor now, or one that belongs to
        it. None: nobody can tell.
        """
        mark = self.mark
        if mark is None:
            return None
        return lambda descriptor: str(mark[0]) if mark[-1] != _state(os.fstat(descriptor)) else self.changed_beside()

    def changed_beside(self) -> str | None:
        """The first file that belongs to it and is otherwise now."""
        return next((str(path) for path, state in self.beside.items() if _state_at(path) != state), None)

    def is_for(self, mark: tuple[object, ...] | None, policy: Policy, *, stamps: bool, rolled: bool) -> bool:
        """Whether a file that has this *mark* now need not be read again; *rolled*: to call its roll, if it was not."""
        wanted = mark, policy, stamps
        if mark is None or (self.mark, self.policy, self.stamps) != wanted or (rolled and self.roll is None):
            return False
        return not self.changed_beside()


class Register:
    """The roll of the manifest of one run, and what hangs on it.

    Args:
        stamps: Whether it has to be known whose marks are whose, even if no earlier run has made anything.
        selection: Which entries are asked for. The roll is that of all: who is not chosen has not gone.

    Attributes:
        choice: Which of them the run is about.
        moved: Those whose records have got another key, as they say.
        unmade: How many entries that make something have ended without having it.
        unsatisfied: How many entries have ended otherwise than well.
    """

    def __init__(self, *, stamps: bool, selection: Selection = NO_SELECTION) -> None:
        self.roll = Roll()
        self.choice = EVERYTHING
        self.moved: tuple[Moved, ...] = ()
        self.unmade = 0
        self.unsatisfied = 0
        self._moves: Sequence[PlacedEntry] = ()
        self._selection = selection
        self._ledger: Ledger
        self._policy = NO_POLICY
        self._stamps = stamps
        self._is_complete = False
        self._taken_off = NOTHING_TAKEN_OFF
        self.is_stale = False
        """Whether this run has taken something out, or over, so that what was found as it began may be so no more."""
        self.checked: Checked | None = None
        self._file: ManifestFile | None = None
        self.is_open = False
        """Whether the roll is called while the manifest is read."""

    def as_json(self) -> dict[str, object]:
        """What programs are told of it: members that say something."""
        included, moved = [one.as_json() for one in self.choice.included], [one.as_json() for one in self.moved]
        told: dict[str, object] = {name: found for name, found in (("included", included), ("moved", moved)) if found}
        return told | ({"not_chosen": self.choice.not_chosen.as_json()} if self.choice.not_chosen.number else {})

    async def choose(self, manifest: Manifest) -> None:
        """Find out which entries the run is about; raises as `selection.choose`. Who has cut a part has found out."""
        if not isinstance(manifest, Part):
            self.choice = await choose(manifest, self._selection)

    async def check_file(
        self, file: ManifestFile, before: Checked | None = None, *, stamps: bool, is_first: bool = False
    ) -> Checked:
        """Read a file once before the run; see `check_manifest`. Nothing is read if it is as it was *before*.

        Args:
            file: The file.
            before: What an earlier look at it has found.
            stamps: As `check_manifest` has it.
            is_first: No earlier run can have left anything behind: then no roll is called, if not for the stamps' sake.
        """
        self._file, mark, rolled = file, _file_mark(file), self._stamps or not is_first
        policy = await anyio.to_thread.run_sync(policy_for, file)
        if before is None or not before.is_for(mark, policy, stamps=stamps, rolled=rolled):
            call = _Call(self.roll if rolled else None)
            check = functools.partial(
                check_manifest, file, stamps=stamps, on_entry=call.add, on_beside=call.note_beside
            )
            report = await anyio.to_thread.run_sync(check)
            same = mark if len(call.beside) <= _MOST_BESIDE else None
            before = Checked(same, call.beside, policy, stamps, report, call.roll, call.expected, call.moves)
        self.checked, self.roll, self._moves = before, before.roll or self.roll, before.moves
        self._is_complete = True
        return before

    def is_as_it_was(self, entries: int) -> bool:
        """Whether what was read before the run is still that, and has *entries*, as far as can be told.

        How many of them are chosen was not counted then.
        """
        if self.checked is None or self._file is None:
            return True
        if self.checked.mark is not None and self.checked.mark != _file_mark(self._file):
            return False
        is_same = not self.checked.changed_beside()
        return is_same and (bool(self.choice.selection) or self.checked.report.entries == entries)

    async def open(self, ledger: Ledger, manifest: Manifest, policy: Policy = NO_POLICY) -> None:
        """Find out who has gone of those that *ledger* knows, or that it can only be told when *manifest* was read.

        What has moved gets its new key there first. What *policy* protects is told as what stays.

        Raises:
            ManifestError: Something cannot, see `moves.carry_out`.
            JournalError: The journal cannot be read or written.
        """
        self._ledger, self._policy = ledger, policy
        if ledger.is_new and not self._stamps:
            self.roll = Roll()
            return
        if self._file is not None and self.checked is not None and self.checked.roll is None:
            # Another run began and ended since the journal was seen not to be there.
            await self.check_file(self._file, stamps=self.checked.stamps)
        if isinstance(manifest, Part):
            # Who has cut it has found out.
            for one in manifest.entries:
                self.roll.add(one.placed.entry, one.identity)
            return
        if isinstance(manifest, Sequence) and not isinstance(manifest, str):
            call = _Call(self.roll)
            await call.add_all(manifest)
            self._is_complete, self._moves = True, call.moves
        self.moved = await carry_out(ledger, self._moves)
        self.is_open = not self._is_complete
        # Of a roll that is not complete: nobody has gone, as far as is known.
        await ledger.disown(self.roll.__contains__ if self._is_complete else lambda _: True)
        if self._is_complete:
            await self._look()

    def add(self, entry: Entry, identity: bytes, steps: Sequence[Step] | None = None) -> None:
        """Take in the next entry, as it is read; as `Roll.add`."""
        if self.is_open:
            self.roll.add(entry, identity, steps)

    async def has_to_wait(self, entry: Entry, identity: bytes, records: Mapping[bytes, Record]) -> bool:
        """Whether *entry* may get what others have left behind, if it turns out at the end that these are gone.

        Args:
            entry: The entry.
            identity: Its identity.
            records: What is written down of its steps.
        """
        if not (self.is_open and self._ledger.has_made):
            return False
        async for name in _names(self._ledger, entry, identity, records):
            for other in await self._ledger.namesakes(name):
                if other.state is not State.FAILED and other.holder not in self.roll:
                    return True
        return False

    def note(self, outcome: Outcome) -> None:
        """Take in how an entry ended: what has nothing yet may want what another key has left behind."""
        self.unsatisfied += not outcome.status.satisfied
        self.is_stale |= outcome.status is Status.ADOPTED
        if outcome.hash is None and not outcome.status.satisfied:
            self.unmade += issubclass(ENTRY_MODELS.get(outcome.kind, Entry), MakingEntry)

    async def close(self, *, is_whole: bool = True) -> None:
        """Note who has gone, now that all has been read; nothing if that is known, or not all *is_whole*."""
        if self.is_open:
            self.is_open = False
            if not is_whole:
                # Who was not read has not gone.
                return
            await self._ledger.disown(self.roll.__contains__)
            self._is_complete = True
            await self._look()

    async def _look(self) -> None:
        """See what no entry says any more, and write that down; nothing is said of a part, or beside bad entries."""
        if self.choice.selection or (self.checked is not None and self.checked.report.problem_count):
            return
        self._taken_off = (await self._ledger.taken_off(self.roll)).kept(self._policy.protection)
        await self._ledger.note_taken_off(self._taken_off)

    async def taken_off(self) -> TakenOffs:
        """What earlier runs have put somewhere, and no entry says any more; see `journal.taken_off`."""
        if self.is_stale and self._taken_off.number:
            self.is_stale = False
            await self._look()
        return self._taken_off

    async def gone(self) -> Sequence[Record]:
        """The things that were made for entries which have gone, and that no entry has.

        Of a part of the manifest nothing is said: who is not chosen may take over what an earlier key of it has made.
        """
        if self.choice.selection:
            return ()
        return [one for one in await self._ledger.gone_things() if not await self._is_anybodys(one)]

    async def leftovers(self, gone: Sequence[Record]) -> Mapping[str, Leftover]:
        """What is left in the things that *gone* have made, as far as anything is written of it."""
        return await self._ledger.leftovers([one.hash for one in gone if one.hash is not None])

    async def _is_anybodys(self, record: Record) -> bool:
        others = await self._ledger.holders(record.hash or "")
        return any(one.is_made_thing and one.holder in self.roll for one in others)


class _Call:
    """Puts the entries of a manifest on a roll, if there is one, as a run will name them."""

    def __init__(self, roll: Roll | None) -> None:
        self.roll = roll
        self._namer = Namer()
        self.moves: list[PlacedEntry] = []
        self.beside: dict[Path, tuple[int, ...] | None] = {}
        """The other files that belong to it, as they were before they were read; of too many only the first."""
        self.expected = Expected()

    def add(self, placed: PlacedEntry) -> None:
        entry, steps = placed.entry, list(placed.entry.steps(b""))
        self.expected.add_steps(steps, entry.key)
        if entry.moved is not None:
            self.moves.append(placed)
        if self.roll is not None:
            self.roll.add(entry, self._namer.identity(entry) if entry.creates else b"", steps)

    def note_beside(self, path: Path) -> None:
        """The file at *path* belongs to it: variables, entries, rows, or a part of one."""
        if len(self.beside) <= _MOST_BESIDE and path not in self.beside:
            self.beside[path] = _state_at(path)

    async def add_all(self, manifest: Sequence[object]) -> None:
        for number, item in enumerate(read_numbered(manifest)):
            if isinstance(item, PlacedEntry):
                self.add(item)
            if number % _A_TURN == 0:
                await anyio.lowlevel.checkpoint()


def _file_mark(file: ManifestFile) -> tuple[object, ...] | None:
    """What changes when a plain file is written, or another is put in its place."""
    try:
        found = sheet_of(file)[0].stat()
    except (OSError, ValueError):
        # Whoever reads it will say what is wrong.
        return None
    return (str(file), repr(file.variables), _state(found)) if stat.S_ISREG(found.st_mode) else None


def _state_at(path: Path) -> tuple[int, ...] | None:
    """The state of the file at *path*, wherever links lead; None if there is none."""
    try:
        return _state(path.stat())
    except (OSError, ValueError):
        return None


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


async def _names(
    ledger: Ledger, entry: Entry, identity: bytes, records: Mapping[bytes, Record]
) -> AsyncIterator[bytes]:
    """Names of what *entry* would make, as far as they can be known before its references have hashes."""
    for step in entry.steps(identity):
        record = records.get(step.identity)
        known = None if record is None or record.state is State.FAILED else record
        if isinstance(step.kind, InnerThing):
            parent_hash = await _parent_hash(ledger, step, step.kind, identity, records)
            if parent_hash is not None and (known is None or known.parent_hash != parent_hash):
                yield name_digest(step.kind, *step.kind.names(step, parent_hash))
        elif known is None and isinstance(step.kind, Thing) and isinstance(entry, MakingEntry):
            lies_in = entry.lies_in
            within = None if lies_in is None else await _hash_of(ledger, entry.kind, lies_in)
            if lies_in is None or within is not None:
                yield name_digest(step.kind, *entry.names(within))


async def _parent_hash(
    ledger: Ledger, step: Step, kind: InnerThing, identity: bytes, records: Mapping[bytes, Record]
) -> str | None:
    """The thing that *step* makes something in, if it was made by an earlier run.

    One that was not has nothing of an earlier run in it, unless it waits itself until all is read.
    """
    maker = made_by(kind.parent, identity, step.parent)
    if maker is None:
        return step.parent
    known = (records if step.parent is None else await ledger.known([maker])).get(maker)
    return None if known is None else known.hash


async def _hash_of(ledger: Ledger, kind: str, reference: str) -> str | None:
    """The thing of *kind* that *reference* stands for; None if no earlier run has made it: so nothing lies in it."""
    maker = made_by(kind, b"", reference)
    if maker is None:
        return reference
    known = (await ledger.known([maker])).get(maker)
    return None if known is None else known.hash


@functools.cache
def _taken_from(kind: str) -> tuple[Relation, ...]:
    """Relations by which something can be taken out of things of *kind*."""
    return tuple(relation for relation in relations_of(kind) if relation.takes and relation.is_shown)


def _name(sort: str, about: str, item: str) -> int:
    return hash((sort, about, item)) & _MASK


def _head(identity: bytes) -> int:
    return int.from_bytes(identity[:_HEAD])
