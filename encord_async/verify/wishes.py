"""What a manifest wants of an account, added up by thing, with hashes for keys. Sends nothing.

Kept are, of each thing that an entry makes, its hash, title and description, and what its kind compares; of what is in
things, items and roles; for each key that is referred to its hash; and what the journal does not know. Entries and
records are not kept.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import anyio
import anyio.to_thread

from encord_async.engine.rehearsal import Overlay
from encord_async.engine.roll import Register
from encord_async.journal.record import Ledger, Record, State
from encord_async.kinds.entry import Entry, MakingEntry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.files import Portion
from encord_async.kinds.membership import Membership, Relation
from encord_async.kinds.namer import Namer
from encord_async.kinds.picked import Picked
from encord_async.kinds.registry import maker_of, relations, relations_of
from encord_async.kinds.step import Step, made_by
from encord_async.kinds.thing import Admission, InnerName, InnerThing, Thing
from encord_async.manifest.checker import Checker, Passed
from encord_async.manifest.files import raise_for_problems
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.policy import Policy
from encord_async.manifest.policy_file import policy_for
from encord_async.manifest.selection import NO_SELECTION, NONE_LEFT, Included, NotChosen, Selection
from encord_async.manifest.sources import Manifest, manifest_file, open_source, with_variables
from encord_async.verify.difference import NOT_PROVISIONED, Difference, Fault
from encord_async.verify.files import FileWish
from encord_async.verify.wanted import Said, Sort, Wanted

__all__ = ["AdmissionWish", "ThingWish", "Wishes", "gather"]

_CHUNK = 256
_Named: TypeAlias = tuple[str, str]
"""A kind of entry, and a key."""


@dataclass(slots=True)
class ThingWish:
    """What all entries of a manifest together want of one thing.

    Attributes:
        kind: What makes such things.
        hash: Its hash.
        place: Where its entry stands, or the first that is about it.
        title: What people call it, or its hash.
        description: As its own entry has it; None if the manifest has none: then it says nothing of what is not to be.
        seen: What its kind compares besides, see `Thing.compares`.
        closed: Relations by which it holds nothing else than what is wished for.
        said: What entries say of what is in it, as long as nobody looks at it.
        wanted: What is to be in it, once it is `opened`.
        inner: How many inner things of each name it is to have.
        unmade_inner: How many of them have not been made, as far as the journal says.
        stays: Why nothing is taken from it, if a team's policy says so.
        has_gone: Whether no entry has it any more: then only what is in it is compared.
    """

    kind: Thing
    hash: str
    place: Place
    title: str
    description: str | None = None
    seen: object = None
    closed: frozenset[Relation] = frozenset()
    said: dict[Relation, Said] = field(default_factory=dict)
    wanted: dict[Relation, Wanted] = field(default_factory=dict)
    inner: Counter[InnerName] = field(default_factory=Counter)
    unmade_inner: Counter[InnerName] = field(default_factory=Counter)
    stays: str | None = None
    has_gone: bool = False

    @property
    def has_entry(self) -> bool:
        """Whether the manifest has an entry for the thing itself."""
        return self.description is not None

    def of(self, relation: Relation) -> Wanted:
        """What is to be in it by *relation*."""
        return self.wanted.setdefault(relation, Wanted())

    def say(self, relation: Relation, sort: Sort, item: str, role: int | None = None) -> None:
        """Keep what an entry says of *item*."""
        self.said.setdefault(relation, Said()).add(sort, item, role)

    def is_about(self, relation: Relation) -> bool:
        """Whether any item is wished for by *relation*, or is not to be there."""
        said, wanted = self.said.get(relation), self.wanted.get(relation)
        return (said is not None and said.is_about) or (wanted is not None and bool(wanted.wished or wanted.unwanted))

    def opened(self, addresses: Mapping[str, str]) -> "ThingWish":
        """The same, to be compared: what was said of what is in it is read; for *addresses* see `Said.read`."""
        read = {relation: said.read(relation, addresses) for relation, said in self.said.items()}
        return replace(self, said={}, wanted={**self.wanted, **read})


@dataclass(frozen=True, slots=True)
class AdmissionWish:
    """Somebody who is to be let in."""

    kind: Admission
    place: Place
    entry: Entry


@dataclass(slots=True)
class Wishes:
    """What a manifest wants, with hashes for keys.

    Attributes:
        entries: How many entries it has.
        things: By hash. Each is `opened` to be compared, and let go of then: there is more in all than one may hold.
        addresses: Those of people who are let in by an entry, by its key.
        admissions: By address in small letters.
        spoken_of: Relations that the manifest says anything about: a manifest that does not limits nobody's.
        files: Files that are to be in things, each block and each link by itself.
        absent: What has no hash, and so cannot be looked for; nothing is said of what is in such a thing.
        included: What those entries that are chosen need, and nobody has chosen.
        not_chosen: What is about those entries, and is not chosen with them.
    """

    entries: int = 0
    things: dict[str, ThingWish] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    admissions: dict[str, AdmissionWish] = field(default_factory=dict)
    spoken_of: set[Relation] = field(default_factory=set)
    absent: list[Difference] = field(default_factory=list)
    files: list[FileWish] = field(default_factory=list)
    included: tuple[Included, ...] = ()
    not_chosen: NotChosen = NONE_LEFT

    def count(self, relation_word: str) -> int:
        """How many memberships are wished for by relations whose differences go by *relation_word*."""
        return sum(
            len(said.read(relation, self.addresses).wished)
            for thing in self.things.values()
            for relation, said in thing.said.items()
            if relation.thing == relation_word
        )


async def gather(manifest: Manifest, ledger: Ledger, selection: Selection = NO_SELECTION) -> Wishes:
    """Add up what *manifest* wants, and find in *ledger* what its entries became. Sends nothing.

    Args:
        manifest: As for a run.
        ledger: The journal of the run, or a `MemoryLedger` to do without: then only hashes are known.
        selection: Which entries. What the others want is not too much in a thing, and not missed in it either.

    Raises:
        ManifestError: There is a bad entry.
        JournalError: The journal cannot be read.
        UsageError: The selection cannot be made, see `selection.choose`.
    """
    manifest = with_variables(manifest)
    file, register = manifest_file(manifest), Register(stamps=False, selection=selection)
    # Whether twins were told apart by stamps is for the run to know.
    checker, changed = Checker(stamps=True), None
    if file is not None:
        checked = await register.check_file(file, stamps=True, is_first=ledger.is_new)
        raise_for_problems(checked.report.problems, total=checked.report.problem_count)
        changed = checked.changed
    policy = await anyio.to_thread.run_sync(policy_for, manifest)
    await register.choose(manifest)
    # As a run would have it before it does anything else; nothing is written.
    ledger = Overlay(ledger)
    await register.open(ledger, manifest)
    gatherer, problems = _Gatherer(ledger, policy, register), list[Problem]()
    # Of a file that is still what it was when it was checked nothing is to be said again.
    add = checker.add if changed is None else Passed().add
    source = open_source(manifest, changed=changed)
    try:
        while items := await source.take(_CHUNK):
            for item in items:
                problems += add(item) if isinstance(item, PlacedEntry) else item
            raise_for_problems(problems)
            await gatherer.take([item for item in items if isinstance(item, PlacedEntry)])
    finally:
        with anyio.CancelScope(shield=True):
            await source.aclose()
    raise_for_problems(checker.finish())
    return gatherer.finish()


class _Gatherer:
    """Adds entries to wishes."""

    def __init__(self, ledger: Ledger, policy: Policy, register: Register) -> None:
        self._ledger = ledger
        self._policy = policy
        self._choice = register.choice
        self._chosen: set[str] = set()
        """Things that a chosen entry is about."""
        self._namer = Namer()
        self._hashes: dict[_Named, str | None] = {}
        self._is_chosen = True
        """Whether the entry at hand is."""
        self.wishes = Wishes(included=register.choice.included, not_chosen=register.choice.not_chosen)

    async def take(self, entries: Sequence[PlacedEntry]) -> None:
        """Add *entries*, the next in the manifest's order."""
        steps = [list(one.entry.steps(self._namer.identity(one.entry))) for one in entries]
        keys = {named for one in entries for named in _named(one.entry)} - self._hashes.keys()
        makers = {named: made_by(maker_of(named[0]).word, b"", f"@{named[1]}") or b"" for named in keys}
        identities = [step.identity for some in steps for step in some if step.kind.creates]
        records = await self._ledger.known(list(dict.fromkeys([*identities, *makers.values()])))
        self._hashes |= {named: _hash_in(records.get(identity)) for named, identity in makers.items()}
        for one, some in zip(entries, steps, strict=True):
            self._is_chosen = self._choice.has(one)
            self.wishes.entries += self._is_chosen
            self._add(one.place, one.entry, some, records)

    def finish(self) -> Wishes:
        """The wishes, now that all entries are in."""
        if self._choice.selection:
            self.wishes.things = {one: wish for one, wish in self.wishes.things.items() if one in self._chosen}
        return self.wishes

    def _add(self, place: Place, entry: Entry, steps: Sequence[Step], records: Mapping[bytes, Record]) -> None:
        first = steps[0].kind if steps else None
        if isinstance(first, Admission):
            self._admit(first, place, entry)
            return
        about: str | None = None
        if isinstance(first, Thing) and isinstance(entry, MakingEntry):
            record = records.get(steps[0].identity)
            about = _hash_in(record)
            if about is None:
                if self._is_chosen:
                    self.wishes.absent.append(_absent(place, first, entry, record))
                return
            self._wish_for(first, about, place, entry)
            self.wishes.spoken_of |= {
                relation for relation in relations() if relation.item == first.word and relation.is_said_by_items
            }
        for step in steps:
            if step.load is not None:
                self._add_files(place, entry, step, step.load, about)
                continue
            self._add_step(place, step, about, records)

    def _add_files(self, place: Place, entry: Entry, step: Step, load: Portion | Picked, own: str | None) -> None:
        """Note files; those of a thing that is not there are not looked for, which is told of the thing."""
        kind = step.kind
        if not isinstance(kind, Membership) or not self._is_chosen:
            return
        relation = kind.relation
        about = own if step.parent is None else self._resolved(relation.parent, step.parent)
        source = None if relation.item is None else self._resolved(relation.item, step.item)
        if about is not None and (relation.item is None or source is not None):
            wish = FileWish(place=place, entry=entry, relation=relation, hash=about, source=source, load=load)
            self.wishes.files.append(wish)

    def _admit(self, kind: Admission, place: Place, entry: Entry) -> None:
        address = kind.address(entry)
        if entry.key is not None:
            self.wishes.addresses[entry.key] = address
        if self._is_chosen:
            self.wishes.admissions.setdefault(address.casefold(), AdmissionWish(kind, place, entry))

    def _wish_for(self, kind: Thing, about: str, place: Place, entry: MakingEntry) -> None:
        wish = self._thing(kind, about, place)
        wish.place, wish.title, wish.description = place, entry.wished_title, entry.description
        wish.stays = wish.stays or self._policy.protection(entry.key or "")
        kinds = {use.field: use.kind for use in entry.references()}
        linked = {name: self._resolved(kinds.get(name, name), one) for name, one in kind.linked(entry).items()}
        wish.seen = kind.compares(entry, linked)
        wish.closed = frozenset(relation for relation in relations_of(kind.word) if kind.closes(entry, relation))
        if kind.items is not None:
            for reference in kind.references(entry):
                self._add_item(wish, kind.items, reference, None)

    def _thing(self, kind: Thing, about: str, place: Place) -> ThingWish:
        wish = self.wishes.things.get(about)
        if wish is None:
            wish = self.wishes.things[about] = ThingWish(kind, about, place, about)
            wish.stays = self._policy.protection(about)
        if self._is_chosen:
            self._chosen.add(about)
        return wish

    def _add_step(self, place: Place, step: Step, own: str | None, records: Mapping[bytes, Record]) -> None:
        kind = step.kind
        if not isinstance(kind, Membership | InnerThing):
            return
        parent = kind.relation.parent if isinstance(kind, Membership) else kind.parent
        about = own if step.parent is None else self._resolved(parent, step.parent)
        maker = maker_of(parent)
        if about is None or not isinstance(maker, Thing):
            return
        wish = self._thing(maker, about, place)
        if isinstance(kind, InnerThing):
            if not self._is_chosen:
                return
            name = kind.goes_by(step)
            wish.inner[name] += 1
            record = records.get(step.identity)
            is_made = record is not None and record.state is State.DONE and record.parent_hash == about
            wish.unmade_inner[name] += not is_made
        elif kind.takes:
            self.wishes.spoken_of.add(kind.relation)
            if self._is_chosen:
                wish.say(kind.relation, Sort.UNWANTED, self._item(kind.relation, step.item) or step.item)
        else:
            self.wishes.spoken_of.add(kind.relation)
            self._add_item(wish, kind.relation, step.item, None if step.role is None else int(step.role))

    def _add_item(self, wish: ThingWish, relation: Relation, reference: str, role: int | None) -> None:
        item = self._item(relation, reference)
        if not self._is_chosen:
            wish.say(relation, Sort.OTHER, reference if item is None else item)
        elif item is None:
            wish.say(relation, Sort.UNMADE, reference, role)
        else:
            wish.say(relation, Sort.WISHED, item, role)

    def _item(self, relation: Relation, reference: str) -> str | None:
        """What *reference* stands for, as far as it can be known by now."""
        if relation.item is None or relation.is_of_addresses:
            return reference
        return self._resolved(relation.item, reference)

    def _resolved(self, kind: str, reference: str) -> str | None:
        key = referenced_key(reference)
        return reference if key is None else self._hashes[kind, key]


def _named(entry: Entry) -> Iterator[_Named]:
    """The keys that *entry* refers to, and what they name; but for people, who have no hash."""
    for use in entry.references():
        key = referenced_key(use.reference)
        if key is not None and isinstance(maker_of(use.kind), Thing):
            yield use.kind, key


def _hash_in(record: Record | None) -> str | None:
    return None if record is None or record.hash is None or record.is_open else sys.intern(record.hash)


def _absent(place: Place, kind: Thing, entry: MakingEntry, record: Record | None) -> Difference:
    reason = NOT_PROVISIONED
    if record is not None and record.is_open:
        reason = "it is in doubt whether it was made; run 'encord-async settle' or 'encord-async apply'"
    elif record is not None:
        reason = f"it could not be made: {record.message or record.code or 'nobody knows why'}"
    return Difference(place=place, fault=Fault.MISSING, what=kind.word, item=entry.wished_title, reason=reason)
