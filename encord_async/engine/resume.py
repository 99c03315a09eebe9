"""What earlier runs have left of an entry: results to take over, doubts to settle, changes to make or to report.

Pure: records in, a `Recall` out. It never reads the journal itself and never sends.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from encord_async.engine.outcome import Status
from encord_async.engine.ticket import Earlier, Result, Ticket
from encord_async.errors import ConflictError, spelt
from encord_async.journal.record import CHANGED, INNER_PARENT, Doubt, Record, State
from encord_async.kinds.entry import Entry, MakingEntry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.step import Step, one
from encord_async.kinds.thing import Admission, Thing, item_digest

__all__ = [
    "Past",
    "Recall",
    "changed",
    "edited",
    "exchanged",
    "inherited",
    "is_unsure",
    "recall",
    "remarked",
    "taken_over",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a run knows of earlier ones.

    Attributes:
        records: What is written down of the steps of some entries, by step identity.
        contested: Identities of records of inner things that others may take over, see `Ledger.contested`.
        detached: Hashes of things that may lack an item which they had once.
        has_moved: Whether a key may mean another thing now than it did then.
    """

    records: Mapping[bytes, Record] = field(default_factory=dict)
    contested: Collection[bytes] = ()
    detached: Collection[str] = ()
    has_moved: bool = False


_NOTHING: Final[Mapping[bytes, Any]] = MappingProxyType({})


class Recall(NamedTuple):
    """What is known of an entry's steps before it is planned.

    Attributes:
        steps: The entry's steps, with those that a change of the entry since an earlier run has added.
        results: Of steps that need not be done again.
        doubts: Of steps that may have happened.
        unsure: What was made, for steps of which only hashes will tell whether they are done by it: inner things,
            because they may be wished for in another thing now; a thing itself, because it may refer to something else
            now, or be called by now what its entry calls it; and its items, if keys may mean others than they did, or
            some may have been taken out. And somebody who was let in, for an entry that wishes for it otherwise now.
        changes: Records that are to say that their entry was changed in what cannot follow, or was changed back.
    """

    steps: Sequence[Step]
    results: Mapping[bytes, Result] = _NOTHING
    doubts: Mapping[bytes, Doubt] = _NOTHING
    unsure: Mapping[bytes, Earlier] = _NOTHING
    changes: Sequence[Record] = ()


def recall(
    entry: Entry,
    identity: bytes,
    steps: Sequence[Step],
    past: Past,
    *,
    began_s: float,
    edits: Callable[[Thing], bool] = lambda _: False,
) -> Recall:
    """Compare *entry* with what is written down of it; what is in a thing is compared when it is known in which.

    Args:
        entry: The entry as it is now.
        identity: Its identity.
        steps, past: Its steps, and what is written down.
        began_s: When this run began, on the monotonic clock: doubts of earlier runs settle from then on, so
            that a wall clock that was set meanwhile cannot cut the settling short.
        edits: Whether things of a kind that are there are to follow their entries.
    """
    if not past.records:
        return Recall(steps=steps)
    planned = list(steps)
    results: dict[bytes, Result] = {}
    doubts: dict[bytes, Doubt] = {}
    unsure, changes = dict[bytes, Earlier](), list[Record]()
    for step in steps:
        record = past.records.get(step.identity)
        if record is None or record.state is State.FAILED:
            unsure |= _former(step, entry, identity, past)
            continue
        if record.is_open:
            doubts[step.identity] = Doubt(record=record, since_s=began_s, over=True)
            continue
        if step.kind.is_inner:
            # By another name of its thing it is held by nobody, until the step has it again.
            contested = not record.is_held_by(step) or record.identity in past.contested
            unsure[step.identity] = Earlier(record=record, contested=contested)
            continue
        if isinstance(step.kind, Thing):
            added = _additions(step.kind, entry, identity, record, past)
            planned += added
            if added:
                earlier = _earlier(record, past)
                unsure |= {addition.identity: earlier for addition in added}
            if edits(step.kind) or _has_to_be_seen(step.kind, entry, record, past):
                unsure[step.identity] = Earlier(record=record)
                continue
        results[step.identity] = result = taken_over(entry, step, record)
        changes += remarked(record, result)
    return Recall(steps=planned, results=results, doubts=doubts, unsure=unsure, changes=tuple(changes))


def _former(step: Step, entry: Entry, identity: bytes, past: Past) -> dict[bytes, Earlier]:
    """What is written down of *entry* as it was when it let the same one in as something else, for *step*."""
    former = step.kind.former(entry, identity) if isinstance(step.kind, Admission) else ()
    records = [record for one in former if (record := past.records.get(one)) and record.state is State.DONE]
    return {step.identity: Earlier(record=records[0])} if records else {}


def _additions(kind: Thing, entry: Entry, identity: bytes, record: Record, past: Past) -> list[Step]:
    """Steps for the items of *entry* that its thing may lack."""
    if kind.items is None:
        return []
    known = _texts(record, "references")
    if past.has_moved:
        known = [reference for reference in known if referenced_key(reference) is None]
    then = frozenset(known)
    references = kind.references(entry)
    missing = [reference for reference in references if reference not in then or record.hash in past.detached]
    return [one(identity, kind.items.give, None, reference) for reference in missing]


def _earlier(record: Record, past: Past) -> Earlier:
    """The thing of *record*, and the items that it had from the first."""
    held = {item_digest(item) for item in _texts(record, "references") if referenced_key(item) is None}
    return Earlier(record=record, held=held.union(_texts(record, "held")), detached=record.hash in past.detached)


def _texts(record: Record, name: str) -> list[str]:
    found = record.details.get(name)
    return found if isinstance(found, list) else []


def taken_over(entry: Entry, step: Step, record: Record) -> Result:
    """What a step that *record* says is done is for *entry* as it is now: unchanged, or failed if it cannot follow."""
    if not step.kind.stands_for_entry:
        return Result(status=Status.UNCHANGED, hash=record.parent_hash)
    if isinstance(step.kind, Thing) and isinstance(entry, MakingEntry):
        names = edited(step.kind, entry, record)
        if names:
            return changed(record, names)
    return Result(status=Status.UNCHANGED, hash=record.hash)


_EDITED_BY_HAND: Final = frozenset({"title", "name", "description"})
"""What people can change of anything in the app."""


def is_unsure(kind: Thing, record: Record) -> bool:
    """Whether what *record* says was made may have been changed since, for what its entry was meanwhile."""
    return kind.edited_with is not None and record.is_changed


def _has_to_be_seen(kind: Thing, entry: Entry, record: Record, past: Past) -> bool:
    names = edited(kind, entry, record) if isinstance(entry, MakingEntry) else []
    if names:
        # Somebody may have changed it to that in the app. What it refers to nobody can exchange there.
        return record.hash is not None and kind.links.keys().isdisjoint(names) and _are_shown(kind, entry, names)
    return is_unsure(kind, record) or _refers_elsewhere(kind, entry, record, past)


def _are_shown(kind: Thing, entry: Entry, names: Sequence[str]) -> bool:
    """Whether what is there shows how it stands with the fields *names* of *entry*."""
    return kind.edited_with is not None or {entry.title_field, "description"}.issuperset(names)


def changed(record: Record, names: Sequence[str]) -> Result:
    """How an entry ends whose members *names* are other than what it was made with."""
    why = record.kind.stays if isinstance(record.kind, Thing) else ""
    can_be_edited = isinstance(record.kind, Thing) and record.kind.edited_with is not None
    # Nobody can exchange there what a thing was made with.
    follows = can_be_edited or _EDITED_BY_HAND.issuperset(names)
    way = "change it in Encord's app and in the manifest" if follows else "put back in the manifest what it was"
    error = ConflictError(
        f"it was made as {record.hash} ({record.title!r}) with another {' and '.join(names)}, which {why}; {way}, or "
        "give the entry a new key, and where title and description stay use "
        f"{spelt('existing', 'create')} to make another",
        code=CHANGED,
    )
    return Result(status=Status.FAILED, hash=record.hash, error=error)


def remarked(record: Record, result: Result) -> list[Record]:
    """What is to be written of something that was made, if it is not written yet: that its entry ends in *result*."""
    error = result.error if result.error is not None and result.error.code == CHANGED else None
    if record.state is not State.DONE or record.is_changed == (error is not None):
        return []
    if error is None:
        return [replace(record, code=None, message=None)]
    return [replace(record, code=error.code, message=error.message)]


def exchanged(kind: Thing, made: Record, details: Mapping[str, object]) -> list[str]:
    """Fields of which a thing made as *made* refers to something else than one with *details* would."""
    return [field for field, (of, _) in kind.links.items() if details.get(of) != made.details.get(of)]


def edited(kind: Thing, entry: MakingEntry, record: Record) -> list[str]:
    """Fields of *entry* that are other than what was made, and cannot follow."""
    made = record.details
    pairs: dict[str, tuple[object, object]] = {
        # Earlier runs left blanks at their ends as they were.
        entry.title_field: (entry.wished_title, record.title.strip()),
        "description": (entry.description.strip(), str(made.get("wished_description", "")).strip()),
        **{
            name: pair
            for name, pair in _references(kind, entry, record).items()
            if not (_is_key(pair) and isinstance(made.get(kind.links[name][0]), str))
        },
        **kind.compared(entry, made),
    }
    return [name for name, (wished, was) in pairs.items() if wished != was]


def _references(kind: Thing, entry: Entry, record: Record) -> dict[str, tuple[str | None, object]]:
    """What *entry* refers to and what it referred to when its thing was made; its items aside."""
    now, made = kind.linked(entry), record.details
    return {field: (now.get(field), made.get(by, made.get(of)) or None) for field, (of, by) in kind.links.items()}


def _is_key(pair: tuple[str | None, object]) -> bool:
    """Whether a key is among two references, and neither is missing: they may mean the same."""
    texts = [reference for reference in pair if isinstance(reference, str)]
    return len(texts) == len(pair) and any(referenced_key(reference) is not None for reference in texts)


def _refers_elsewhere(kind: Thing, entry: Entry, record: Record, past: Past) -> bool:
    """Whether *entry* may refer to something else than it did, and only hashes can tell."""
    return any(
        _is_key(pair)
        and (past.has_moved or pair[0] != pair[1])
        and isinstance(record.details.get(kind.links[name][0]), str)
        for name, pair in _references(kind, entry, record).items()
    )


def inherited(record: Record, ticket: Ticket) -> Record:
    """*record* of what has been left behind, for the step of *ticket*, which takes it over as it stands written."""
    step, wish = ticket.step, ticket.wish
    parent = {INNER_PARENT: step.parent} if step.kind.is_inner else {}
    details = {**record.details, **parent}
    return replace(record, identity=step.identity, entry=wish.identity, place=wish.place, key=wish.key, details=details)
