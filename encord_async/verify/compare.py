"""Compares an account with what a manifest wants of it: what its things lack, have too much, have otherwise.

Everything is read back from the service, a fixed number of things at a time, and each difference is handed out as it is
found. Only reads are sent; what can be put right is the business of ``repair``. What the service answers is not kept.

Not compared, because the service does not show it: the workflow that a project was made with, the project that it was
copied from, and where a dataset keeps its data. What the service does not list is counted, and is no difference.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from encord_async.engine.account import stamped
from encord_async.engine.crew import each
from encord_async.errors import AuthenticationError, NotFoundError, RefusedError
from encord_async.journal.record import Ledger, MemoryLedger
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.membership import Held, Relation, role_name
from encord_async.kinds.reading import Once, OnRefusal, Unlisted
from encord_async.kinds.registry import relation_of, relations_of
from encord_async.kinds.thing import Admission, DatasetAPI, InnerName, Thing
from encord_async.session.session import Session
from encord_async.verify.difference import NOT_PROVISIONED, Difference, Fault
from encord_async.verify.files import FileWish, compare_files
from encord_async.verify.reasons import explained
from encord_async.verify.wanted import Wanted
from encord_async.verify.wishes import AdmissionWish, ThingWish, Wishes

__all__ = ["Facts", "Report", "compare", "examine", "extras", "lacking", "missing_inner", "unwanted"]

Note: TypeAlias = Callable[[Difference], None]
_MARK_BYTES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the service shows of what is in a thing, as far as the wishes are about it.

    Attributes:
        held: What is in it, by relation.
        spared: Those of it that are never too much.
        inner: How many inner things of each name it has.
    """

    held: Mapping[Relation, Held | Unlisted]
    spared: Mapping[Relation, Collection[str]]
    inner: Counter[InnerName] = field(default_factory=Counter)


@dataclass(slots=True)
class Report:
    """The sums of a comparison.

    Attributes:
        read: How many things of each kind were looked for.
        members: How many items of each relation were read.
        unlisted: How many things could not be compared, by what the service does not list.
        unlisted_reasons: Why, of the first of each.
        counts: Differences by the way of differing and what differs.
    """

    read: Counter[str] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    unlisted_reasons: dict[str, str] = field(default_factory=dict)
    counts: Counter[tuple[Fault, str]] = field(default_factory=Counter)

    @property
    def differences(self) -> int:
        """How many there are."""
        return self.counts.total()

    def not_listed(self, what: str, number: int, why: Unlisted) -> None:
        """Note that the service does not list *number* of *what*."""
        self.unlisted[what] += number
        self.unlisted_reasons.setdefault(what, why.reason)

    def as_json(self) -> dict[str, dict[str, int]]:
        """Numbers by way of differing and thing."""
        shown: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (fault, what), number in sorted(self.counts.items()):
            shown[fault.value][what] = number
        return dict(shown)


async def compare(
    session: Session,
    wishes: Wishes,
    ledger: Ledger | None = None,
    *,
    on_difference: Note = lambda _: None,
    on_thing: Callable[[ThingWish, Facts], None] = lambda _wish, _facts: None,
    on_lacking: Callable[[AdmissionWish], None] = lambda _: None,
    on_files: Callable[[FileWish], None] = lambda _: None,
) -> Report:
    """Read back what *wishes* is about, at most as much at once as the session allows; only reads are sent.

    Args:
        session: Reads.
        wishes: What is wanted.
        ledger: Tells what is too much because an entry said it once; None tells nothing.
        on_difference: Is given each difference as it is found, in no particular order.
        on_thing: Is given each thing of which could be read what is in it.
        on_lacking: Is given whoever is not let in yet.
        on_files: Is given the files of which some are missing.

    Raises:
        EncordError: The service cannot be read, for another reason than that it refuses to show something.
    """
    comparison = _Comparison(session, wishes, ledger or MemoryLedger(), on_difference)
    for difference in wishes.absent:
        comparison.note(difference)
    there = await comparison.things()
    await comparison.admissions(on_lacking)

    async def look_inside(kept: ThingWish) -> None:
        wish = kept.opened(wishes.addresses)
        facts = await comparison.inside(wish)
        if facts is not None:
            on_thing(wish, facts)

    await each(there, look_inside, at_once=session.settings.concurrency)
    await compare_files(session, wishes.files, note=comparison.note, on_lacking=on_files)
    return comparison.report


class _Comparison:
    def __init__(self, session: Session, wishes: Wishes, ledger: Ledger, on_difference: Note) -> None:
        self._session = session
        self._wishes = wishes
        self._ledger = ledger
        self._on_difference = on_difference
        self._shared = Once(session)
        """For what is the same whichever thing asks."""
        self._titles: dict[str, str | None] = {}
        """What the journal calls what no entry has, by hash."""
        self.report = Report()

    def note(self, difference: Difference) -> None:
        """Count *difference*, and hand it out."""
        self.report.counts[difference.fault, difference.what] += 1
        self._on_difference(difference)

    # ------------------------------------------------------------------ people, and things as listings show them

    async def admissions(self, on_lacking: Callable[[AdmissionWish], None]) -> None:
        """Compare who is let in."""
        by_kind: defaultdict[Admission, dict[str, AdmissionWish]] = defaultdict(dict)
        for address, wish in self._wishes.admissions.items():
            by_kind[wish.kind][address] = wish
        for kind, wanted in by_kind.items():
            there = await kind.admitted(self._shared)
            if isinstance(there, Unlisted):
                self.report.not_listed(kind.thing, len(wanted), there)
                continue
            for address, wish in wanted.items():
                found = there.get(address)
                for other in kind.differences(wish.entry, found):
                    fault = Fault.MISSING if found is None else Fault.DIFFERENT
                    said = other.what, kind.address(wish.entry), None, other.wanted, other.found, other.reason
                    self.note(Difference(wish.place, fault, *said))
                if found is None:
                    on_lacking(wish)

    async def things(self) -> list[ThingWish]:
        """Compare things as listings show them; those of which has to be read what is in them."""
        inside: list[ThingWish] = []
        listed: defaultdict[Thing, dict[str, ThingWish]] = defaultdict(dict)
        for wish in self._wishes.things.values():
            if wish.has_entry and not wish.kind.is_read_alone:
                listed[wish.kind][wish.hash] = wish
            else:
                inside.append(wish)
        for kind, wanted in listed.items():
            self.report.read[kind.word] += len(wanted)
            inside += await self._listed(kind, wanted)
        return inside

    async def _listed(self, kind: Thing, wanted: Mapping[str, ThingWish]) -> Sequence[ThingWish]:
        """Those of *wanted* that are there and may hold something."""
        seen: dict[str, ThingWish] = {}
        found: list[Difference] = []
        with OnRefusal(lambda error: self.report.not_listed(kind.word, len(wanted), Unlisted(str(error)))):
            async for one in kind.listed(self._session, DatasetAPI.ENVELOPE):
                wish = wanted.get(one.hash)
                if wish is not None and one.hash not in seen:
                    seen[one.hash] = wish
                    found += _own_differences(wish, one.title, one.description, one.item)
            for hash_ in sorted(wanted.keys() - seen.keys()):
                found.append(_of_thing(wanted[hash_], Fault.MISSING, f"the account has no such {kind.word} any more"))
            for difference in found:
                self.note(difference)
            return [wish for wish in seen.values() if self._relations(wish)]
        return ()

    # ------------------------------------------------------------------ what is in a thing

    def _relations(self, wish: ThingWish) -> list[Relation]:
        """The relations that the wishes for a thing are about; that it holds nothing else is one, too."""
        shown = (relation for relation in relations_of(wish.kind.word) if relation.is_shown)
        return [relation for relation in shown if self._is_about(wish, relation)]

    def _is_about(self, wish: ThingWish, relation: Relation) -> bool:
        if wish.is_about(relation):
            return True
        limits = relation.limits_unsaid or relation in self._wishes.spoken_of
        return wish.has_entry and limits and not relation.is_single

    async def inside(self, wish: ThingWish) -> Facts | None:
        """Compare what is in a thing; None if it cannot be read."""
        once = Once(self._session)
        if not wish.has_entry or wish.kind.is_read_alone:
            self.report.read[wish.kind.word] += 1
        try:
            facts = await self._read(wish, once)
        except AuthenticationError:
            raise
        except NotFoundError as error:
            self.note(_of_thing(wish, Fault.MISSING, error.message))
            return None
        except RefusedError as error:
            self.note(_of_thing(wish, Fault.UNREADABLE, error.message))
            return None
        for difference in await explained(self._ledger, self._wishes, list(examine(wish, facts))):
            within = wish.title if wish.has_entry and difference.item != wish.title else None
            self.note(replace(difference, item_title=await self._title(difference), hash_title=within))
        return facts

    async def _title(self, difference: Difference) -> str | None:
        """The title that manifest or journal have for the hash of what differs."""
        item, relation = difference.item, relation_of(difference.what)
        wish = self._wishes.things.get(item)
        if wish is not None and wish.has_entry:
            return wish.title
        if relation is None or relation.item is None or relation.is_of_addresses:
            return None
        if item not in self._titles:
            made = await self._ledger.holders(item)
            self._titles[item] = made[0].title if made else None
        return self._titles[item]

    async def _read(self, wish: ThingWish, once: Once) -> Facts:
        if wish.kind.is_read_alone:
            item = await once.execute(wish.kind.probe(wish.hash))
            title, description = wish.kind.names_of(item)
            if wish.has_entry:
                for difference in _own_differences(wish, title, description, item):
                    self.note(difference)
        inner = wish.kind.inner
        counts: Counter[InnerName] = Counter()
        if inner is not None and wish.inner:
            counts.update(name for _, name in await inner.inside(once, wish.hash))
        held, spared = dict[Relation, Held | Unlisted](), dict[Relation, Collection[str]]()
        for relation in self._relations(wish):
            wanted = wish.wanted.get(relation) or Wanted()
            found = held[relation] = await relation.held_of(once, wish.hash, wanted.wished)
            if isinstance(found, Unlisted):
                self.report.not_listed(relation.thing, 1, found)
                continue
            self.report.members[relation.thing] += len(found)
            spared[relation] = await relation.spared(self._shared, found)
        return Facts(held=held, spared=spared, inner=counts)


def _own_differences(wish: ThingWish, title: str, description: str | None, item: Any) -> Iterator[Difference]:
    """How a thing itself differs from what is wanted."""
    if wish.has_gone:
        return
    edit = wish.stays if wish.kind.edited_with is not None else None
    about, stays = (wish.title, wish.hash), edit or wish.kind.stays
    if wish.title != title.strip():
        yield Difference(wish.place, Fault.DIFFERENT, "title", *about, wish.title, title, stays)
    # Blanks at the ends are nothing.
    said = wish.description or ""
    held, wanted = (description or "").strip(), said.strip()
    # The stamp of a run, which stands between "[encord-async " and the bracket at the end.
    if held not in {wanted, stamped(wanted, held[-_MARK_BYTES - 1 : -1])}:
        yield Difference(wish.place, Fault.DIFFERENT, "description", *about, said, held, stays)
    for other in wish.kind.differences(wish.seen, item):
        reason = NOT_PROVISIONED if other.is_unmade else edit or other.reason
        yield Difference(wish.place, Fault.DIFFERENT, other.what, *about, other.wanted, other.found, reason)


def _of_thing(wish: ThingWish, fault: Fault, reason: str) -> Difference:
    """A difference of a thing as a whole."""
    return Difference(wish.place, fault, wish.kind.word, wish.title, wish.hash, reason=reason)


# ---------------------------------------------------------------------- the difference, pure


def examine(wish: ThingWish, facts: Facts) -> Iterator[Difference]:
    """The differences between what is wanted in a thing and what is there."""
    about = [relation for relation in relations_of(wish.kind.word) if relation in facts.held or relation in wish.wanted]
    for relation in about:
        yield from _relation_differences(wish, facts, relation)
    yield from _inner_differences(wish, facts)


def _relation_differences(wish: ThingWish, facts: Facts, relation: Relation) -> Iterator[Difference]:
    for reference, role in sorted(wish.of(relation).unmade, key=str):
        about = relation.thing, reference, wish.hash
        yield Difference(wish.place, Fault.MISSING, *about, _word(relation, role), reason=NOT_PROVISIONED)
    held = facts.held.get(relation)
    if held is None or isinstance(held, Unlisted):
        return
    roles = {relation.folded(item): role for item, role in held.items()}
    for item, role in lacking(wish, facts, relation, roles_too=True):
        has = roles.get(relation.folded(item))
        wanted, reason = _word(relation, role), wish.stays or relation.role_stays
        if relation.is_single and held:
            there = ", ".join(map(relation.said, held))
            named = wish.title, wish.hash, relation.said(item), there
            yield Difference(wish.place, Fault.DIFFERENT, relation.thing, *named, reason)
        elif relation.folded(item) not in roles:
            yield Difference(wish.place, Fault.MISSING, relation.thing, relation.said(item), wish.hash, wanted)
        else:
            yield Difference(wish.place, Fault.DIFFERENT, "role", item, wish.hash, wanted, _word(relation, has), reason)
    for item in (*extras(wish, facts, relation), *unwanted(wish, facts, relation)):
        found, reason = _word(relation, held[item]), relation.extras_stay or wish.stays
        yield Difference(wish.place, Fault.EXTRA, relation.thing, item, wish.hash, None, found, reason)


def _word(relation: Relation, role: int | None) -> str | None:
    return None if role is None else role_name(role, relation.roles)


def lacking(
    wish: ThingWish, facts: Facts, relation: Relation, *, roles_too: bool = False
) -> list[tuple[str, int | None]]:
    """Items that are wished for and not there, with the role wanted, in a stable order; all if nobody knows.

    Those that are there with another role are among them where giving it once more changes it, or with *roles_too*.
    """
    wanted = wish.wanted.get(relation)
    if wanted is None:
        return []
    held = {relation.folded(item): role for item, role in _listed(facts, relation).items()}
    never = {relation.folded(item) for item in wanted.unwanted}
    minds_roles = roles_too or relation.role_follows
    found = [(item, role, relation.folded(item)) for item, role in wanted.items()]
    return sorted(
        (
            (item, role)
            for item, role, folded in found
            if folded not in never and (folded not in held or (minds_roles and held[folded] != role))
        ),
        key=lambda one: (one[0], -1 if one[1] is None else one[1]),
    )


def unwanted(wish: ThingWish, facts: Facts, relation: Relation) -> list[str]:
    """Items that are there although an entry takes them out, in a stable order."""
    wanted = wish.wanted.get(relation) or Wanted()
    never = {relation.folded(item) for item in wanted.unwanted}
    return sorted(item for item in _listed(facts, relation) if relation.folded(item) in never)


def extras(wish: ThingWish, facts: Facts, relation: Relation) -> list[str]:
    """Items that should not be there though no entry takes them out, in a stable order; none where a thing is open.

    A thing is open to others where a manifest has no entry for it: that only says what is to be in it. Who may be the
    account itself is never among them (`Relation.spared`).
    """
    if relation not in wish.closed or relation.is_single:
        return []
    wanted = wish.wanted.get(relation) or Wanted()
    if any(referenced_key(item) is not None for item in wanted.others):
        # It could be any of them.
        return []
    known = {relation.folded(item) for item in (*wanted.wished, *wanted.unwanted, *wanted.others)}
    spared = facts.spared.get(relation, ())
    return sorted(
        item for item in _listed(facts, relation) if relation.folded(item) not in known and item not in spared
    )


def missing_inner(wish: ThingWish, facts: Facts) -> Counter[InnerName]:
    """How many inner things of each name are missing."""
    return wish.inner - facts.inner


def _listed(facts: Facts, relation: Relation) -> Held:
    held = facts.held.get(relation)
    return {} if held is None or isinstance(held, Unlisted) else held


def _inner_differences(wish: ThingWish, facts: Facts) -> Iterator[Difference]:
    kind = wish.kind.inner
    if kind is None:
        return
    needed = sorted((title, sorted(more), number) for (title, more), number in missing_inner(wish, facts).items())
    for title, more, number in needed:
        others = [" ".join(sorted(other)) for name, other in facts.inner if name == title and sorted(other) != more]
        unmade = wish.unmade_inner[title, frozenset(more)]
        for index in range(number):
            reason = NOT_PROVISIONED if index < unmade else None
            said = " ".join(more), "; ".join(sorted(others)) or None, reason
            yield Difference(wish.place, Fault.MISSING, kind.word, title, wish.hash, *said)
