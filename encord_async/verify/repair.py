"""Puts right what a comparison has found: gives things what they lack and, if asked to, takes what is too much.

It makes nothing that a run of the manifest makes. Something inside a thing is only made again if the journal says that
it was made once; the new one is written down in the same journal before it is sent, so that no crash makes two. All
else is harmless to repeat, and is written down as well, so that no run takes for done what was undone here. Roles stay
as they are where the service offers no way to change them, and what may be the account itself stays where it is.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from pydantic import PrivateAttr

from encord_async.engine.crew import each
from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.run import Run
from encord_async.errors import AuthenticationError, EncordError
from encord_async.journal.record import Ledger, State, name_digest
from encord_async.kinds.entry import Entry
from encord_async.kinds.membership import Membership, Relation
from encord_async.kinds.namer import Namer
from encord_async.kinds.registry import step_kind
from encord_async.kinds.step import Step, StepKind, one, part
from encord_async.kinds.thing import InnerName, InnerThing
from encord_async.manifest.part import Part, PartEntry
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.session.session import Session
from encord_async.verify.compare import Facts, extras, lacking, missing_inner, unwanted
from encord_async.verify.files import FileWish
from encord_async.verify.wishes import AdmissionWish, ThingWish

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal

__all__ = ["Deed", "Kept", "Repaired", "Repairs", "allowed", "repair", "repair_entry"]

_MAX_KEPT: Final = 1000

Item: TypeAlias = tuple[str, int | None]
"""Who or what, with the role if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is given to, or taken from, one thing; *is_pruned* is what no entry speaks of."""

    kind: Membership
    parent_hash: str
    items: tuple[Item, ...]
    is_pruned: bool = False

    @property
    def is_told_alone(self) -> bool:
        """Whether no entry could say it, so that it is told by itself what was not done of it."""
        return self.is_pruned or not self.kind.relation.has_entries


class RepairEntry(Entry):
    """Stands in a run for a deed. No manifest has one."""

    kind: str = "repair"
    parent: str
    word: str
    items: tuple[Item, ...]
    is_harmless_twice: ClassVar[bool] = True
    # What the journal says is known to be otherwise.
    heeds_journal: ClassVar[bool] = False

    def steps(self, identity: bytes) -> Iterator[Step]:
        kind = step_kind(self.word)
        roles = kind.relation.roles if isinstance(kind, Membership) else None
        for item, role in self.items:
            wanted = None if role is None or roles is None else roles(role)
            # A reviewed plan knows the step by its identity, whatever is said to people of what is in it.
            folded = kind.relation.folded(item) if isinstance(kind, Membership) else item
            yield one(identity, kind, self.parent, folded, wanted)._replace(item=item)


class RepairFilesEntry(Entry):
    """Stands in a run for files that are missing, of one entry. No manifest has one."""

    kind: str = "repair_files"
    is_harmless_twice: ClassVar[bool] = True
    heeds_journal: ClassVar[bool] = False
    _wishes: tuple[FileWish, ...] = PrivateAttr(default=())

    def steps(self, identity: bytes) -> Iterator[Step]:
        for number, wish in enumerate(self._wishes):
            yield Step(
                identity=part(identity, wish.relation.gives, str(number), wish.hash),
                kind=wish.relation.give,
                parent=wish.hash,
                item=wish.label,
                load=wish.load,
                comes_last=wish.source is not None,
            )


@dataclass(slots=True)
class Repairs:
    """What would put the account right, kept as the differences come in.

    *prune* takes away what things should not have. Where the service does not list what is in a thing, all that is
    wished for is given, which changes nothing for what is in it, and none is taken.
    """

    prune: bool = False
    _deeds: list[Deed] = field(default_factory=list)
    _admissions: list[AdmissionWish] = field(default_factory=list)
    _inner: list[tuple[InnerThing, str, Counter[InnerName]]] = field(default_factory=list)
    _files: list[FileWish] = field(default_factory=list)

    def note(self, wish: ThingWish, facts: Facts) -> None:
        """Take in a thing and what was found in it."""
        for relation in facts.held:
            self._note(relation.give, wish, lacking(wish, facts, relation))
            if self.prune and relation.takes and relation.extras_stay is None and wish.stays is None:
                self._note(relation.take, wish, [(item, None) for item in unwanted(wish, facts, relation)])
                # One that should be there but has no hash yet could be among those that seem too much.
                if not wish.of(relation).unmade:
                    spare = [(item, None) for item in extras(wish, facts, relation)]
                    self._note(relation.take, wish, spare, is_pruned=True)
        inner = wish.kind.inner
        needed = missing_inner(wish, facts) - wish.unmade_inner
        if inner is not None and needed:
            self._inner.append((inner, wish.hash, needed))

    def _note(self, kind: Membership, wish: ThingWish, items: Sequence[Item], *, is_pruned: bool = False) -> None:
        if items and kind.deed is not None:
            self._deeds.append(Deed(kind=kind, parent_hash=wish.hash, items=tuple(items), is_pruned=is_pruned))

    def note_lacking(self, wish: AdmissionWish) -> None:
        """Take in somebody who is not let in yet."""
        self._admissions.append(wish)

    def note_files(self, wish: FileWish) -> None:
        """Take in files of which some are missing."""
        self._files.append(wish)

    def __bool__(self) -> bool:
        return bool(self._deeds or self._admissions or self._inner or self._files)

    def counts(self) -> Counter[StepKind]:
        """How many steps of each kind would be sent."""
        counts: Counter[StepKind] = Counter()
        for deed in self._deeds:
            counts[deed.kind] += len(deed.items)
        for wish in self._admissions:
            counts[wish.kind] += 1
        for file in self._files:
            counts[file.relation.give] += 1
        for kind, _, needed in self._inner:
            counts[kind] += needed.total()
        return counts

    def deeds(self) -> Sequence[Deed]:
        """What is given and taken."""
        return tuple(self._deeds)

    def files(self) -> Iterator[Entry]:
        """An entry for the files of each entry of which some are missing: what is there is passed over."""
        found: defaultdict[int, list[FileWish]] = defaultdict(list)
        for wish in self._files:
            found[id(wish.entry)].append(wish)
        for wishes in found.values():
            made = RepairFilesEntry()
            made._wishes = tuple(wishes)  # noqa: SLF001 - its own
            yield made

    def admissions(self) -> Iterator[Entry]:
        """The entries of those who are let in."""
        for wish in self._admissions:
            yield wish.entry.model_copy(update={"key": None})

    async def inner(self, ledger: Ledger) -> list[Entry]:
        """Entries for what is made inside things.

        Each has a key that is its own until *ledger* says that it was made: so a repair that was cut off goes on where
        it was, before another is begun, and one that is needed once more is not taken for done.
        """
        entries: list[Entry] = []
        for kind, parent_hash, needed in self._inner:
            for name, number in needed.items():
                entries += await _unmade(ledger, kind, parent_hash, name, number)
        return entries


async def _unmade(ledger: Ledger, kind: InnerThing, parent_hash: str, name: InnerName, number: int) -> list[Entry]:
    """The first *number* of the entries for such a thing that were not made yet."""
    found: list[Entry] = []
    (step,) = kind.wish(None, parent_hash, name).steps(b"")
    names = name_digest(kind, *kind.names(step, parent_hash)).hex()
    for time in itertools.count(1):
        if len(found) == number:
            break
        entry = kind.wish(f"fix-{names}-{time}", parent_hash, name)
        (step,) = entry.steps(Namer().identity(entry))
        record = (await ledger.known([step.identity])).get(step.identity)
        if record is None or record.state is not State.DONE:
            found.append(entry)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What should have been given or taken though no entry could say it, and why it was not, or not all of it."""

    deed: Deed
    error: EncordError

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        relation = self.deed.kind.relation
        what = "emails" if relation.is_of_addresses else relation.plural
        items = [item for item, _ in self.deed.items]
        return {relation.parent: self.deed.parent_hash, what: items, "reason": str(self.error)}


@dataclass(slots=True)
class Repaired:
    """What became of repairs: *unsatisfied* are the first entries that did not come about, *kept* the rest."""

    counts: Counter[Status] = field(default_factory=Counter)
    unsatisfied: list[Outcome] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        """Take in what became of an entry."""
        self.counts[outcome.status] += 1
        if not outcome.status.satisfied and len(self.unsatisfied) < _MAX_KEPT:
            self.unsatisfied.append(outcome)


async def repair(
    session: Session,
    repairs: Repairs,
    *,
    inner: Sequence[Entry],
    journal: "Journal | None",
    settle_s: float = 60.0,
) -> Repaired:
    """Send *repairs*.

    Args:
        session: Sends.
        repairs: What is needed.
        inner: What `Repairs.inner` gave.
        journal: Where it is written down; not open. There is one if there is anything to make.
        settle_s: How long something that was made may take to be seen, in seconds.

    Raises:
        EncordError: It cannot go on; what has been done stays done.
    """
    repaired = Repaired()
    deeds, repaired.kept = await allowed(session, repairs.deeds())
    standing = {number: deed for number, deed in enumerate(deeds, 1) if deed.is_told_alone}
    entries = [*map(repair_entry, deeds), *repairs.admissions(), *inner, *repairs.files()]
    run = Run(session, _part(entries), Options(settle_s=settle_s), journal=journal)
    async with run:
        async for outcome in run:
            deed = standing.get(outcome.number)
            if deed is not None and outcome.status is Status.FAILED and outcome.error is not None:
                repaired.kept.append(Kept(deed=deed, error=outcome.error))
            else:
                repaired.note(outcome)
    return repaired


async def allowed(session: Session, deeds: Sequence[Deed]) -> tuple[list[Deed], list[Kept]]:
    """Those of *deeds* by which the account does not take itself out, and why not the others."""
    kept: list[Kept] = []
    refused: set[tuple[Relation, str]] = set()
    pruned = {(deed.kind.relation, deed.parent_hash) for deed in deeds if deed.is_pruned}

    async def ask(about: tuple[Relation, str]) -> None:
        relation, parent_hash = about
        try:
            await relation.check_may_remove(session, parent_hash)
        except AuthenticationError:
            raise
        except EncordError as error:
            refused.add(about)
            kept.extend(
                Kept(deed=deed, error=error)
                for deed in deeds
                if deed.is_pruned and (deed.kind.relation, deed.parent_hash) == about
            )

    await each(sorted(pruned, key=str), ask, at_once=session.settings.concurrency)
    may = [deed for deed in deeds if not (deed.is_pruned and (deed.kind.relation, deed.parent_hash) in refused)]
    return may, kept


def repair_entry(deed: Deed) -> RepairEntry:
    """What stands for *deed* in a run."""
    relation = deed.kind.relation
    kind = f"{relation.parent}_{relation.plural}"
    return RepairEntry(kind=kind, parent=deed.parent_hash, word=deed.kind.word, items=deed.items)


def _part(entries: Iterable[Entry]) -> Part:
    """*entries* as a part of a manifest: those that it lacks have not gone."""
    namer = Namer()
    return Part(
        entries=tuple(
            PartEntry(PlacedEntry(Place("<repair>", None, number), entry), number, namer.identity(entry))
            for number, entry in enumerate(entries, 1)
        )
    )
