"""What becomes of the records of a journal when a person changes its keys by hand. Pure; it never asks the account.

Who an entry is, and what its steps are, hangs on its kind and its key (`keyed`). So another key means other identities
for what the entry has made, and other words for it in the records of whoever refers to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from pydantic import TypeAdapter, ValidationError

from encord_async.journal.record import INNER_PARENT, Record, State, name_digest
from encord_async.kinds.entry import Entry, MakingEntry
from encord_async.kinds.fields import REFERENCE, Key
from encord_async.kinds.membership import Membership
from encord_async.kinds.namer import Namer
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.kinds.step import keyed, making_step, part
from encord_async.kinds.thing import InnerThing, Order, Thing

__all__ = ["Change", "entry_kind", "forgotten", "imported", "is_of", "key_fault", "renamed"]

_KEY: Final = TypeAdapter[str](Key)
_ADOPTED: Final = "adopted"
_ITEMS: Final = "references"
"""Under which name the details of a thing have the references to what is in it, see `holding`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be written down.

    Attributes:
        records: New records, and those that are otherwise now.
        instead_of: Identities of the records that go.
        left: Records that stay as they are, since it is not known what they would be: the next run takes over what
            they have made, or settles them.
    """

    records: list[Record] = field(default_factory=list)
    instead_of: set[bytes] = field(default_factory=set)
    left: list[Record] = field(default_factory=list)


def entry_kind(record: Record) -> str | None:
    """The kind of the entry with a key that *record* belongs to, if it is known."""
    key = record.key
    if key is None:
        return None
    return next((kind for kind in ENTRY_MODELS if keyed(kind, key) == record.entry), None)


def key_fault(key: str) -> str | None:
    """What is wrong with *key* as the key of an entry; None if nothing is."""
    try:
        _KEY.validate_python(key)
    except ValidationError as error:
        return error.errors(include_input=False, include_url=False)[0]["msg"]
    return None


def is_of(record: Record, key: str) -> bool:
    """Whether *record* is of an entry with *key*."""
    return record.key == key and not record.is_aside


def forgotten(records: Iterable[Record]) -> Change:
    """How to forget *records*."""
    return Change(instead_of={record.identity for record in records})


def imported(
    kind: Thing, key: str, entry: MakingEntry, found_hash: str, items: Sequence[str], *, now_s: float
) -> Record:
    """A record of the thing *found_hash*, as if an entry with *key* had adopted it.

    Args:
        kind: What makes such things.
        key: Of the entry.
        entry: One that says what the thing is like, with hashes for all that it refers to.
        found_hash: The thing.
        items: Hashes of what is in it, of `Thing.items`.
        now_s: The time, in seconds since 1970.
    """
    identity = keyed(entry.kind, key)
    step = making_step(identity, kind, entry.wished_title)
    order = Order(
        entry=entry,
        step=step,
        title=entry.wished_title,
        description=entry.description,
        items=tuple(items),
        links=kind.linked(entry),
    )
    draft = kind.draft(order)
    said = {"description": entry.description, "wished_description": entry.description}
    return Record(
        identity=step.identity,
        entry=identity,
        place="journal import",
        key=key,
        kind=kind,
        title=entry.wished_title,
        state=State.DONE,
        status=_ADOPTED,
        hash=found_hash,
        name=name_digest(kind, *draft.names),
        details=said | draft.details | ({} if kind.items is None else {_ITEMS: list(items)}),
        started_s=now_s,
        ended_s=now_s,
    )


def renamed(
    records: Iterable[Record], moves: Mapping[tuple[str, str], str], steps: Mapping[bytes, bytes] = MappingProxyType({})
) -> Change:
    """How to let entries have other keys, with all others that refer to them.

    Args:
        records: All of the journal, one after the other.
        moves: The key that each has from now on, which none of *records* has, by its kind and the key until now. All
            of these keys differ.
        steps: Identities of steps that go by another one from now on, where records do not tell which.
    """
    change, words = Change(), {REFERENCE + old: (kind, REFERENCE + new) for (kind, old), new in moves.items()}
    now = {keyed(kind, old): (keyed(kind, new), new) for (kind, old), new in moves.items()}
    for record in records:
        moved = record
        if record.entry in now and not record.is_aside:
            entry, key = now[record.entry]
            moved = replace(record, entry=entry, key=key)
        moved = _referring(moved, words)
        if moved is record:
            continue
        if isinstance(record.kind, InnerThing):
            inner = _inner(record, moved)
            if inner is None:
                change.left.append(record)
                continue
            moved = inner
        elif isinstance(record.kind, Thing) and moved.entry != record.entry:
            moved = replace(moved, identity=part(moved.entry, record.kind.word))
        elif moved.entry != record.entry:
            moved = replace(moved, identity=steps.get(record.identity, record.identity))
        if moved.identity != record.identity:
            change.instead_of.add(record.identity)
        change.records.append(moved)
    return change


def _referring(record: Record, words: Mapping[str, tuple[str, str]]) -> Record:
    """*record* with other *words* where its entry refers to what has moved; itself if it does not.

    Args:
        record: The record.
        words: References until now, with the kind of entry that each names, and what takes its place.
    """
    if isinstance(record.kind, Membership):
        kind, new = words.get(record.title, (None, record.title))
        return replace(record, title=new) if kind is not None and kind == record.kind.relation.item else record
    details = {name: _exchanged(value, words) for name, value in record.details.items() if name in _names(record)}
    if all(record.details[name] == value for name, value in details.items()):
        return record
    return replace(record, details={**record.details, **details})


def _names(record: Record) -> frozenset[str]:
    """Details that hold references."""
    kind = record.kind
    if isinstance(kind, Thing):
        return frozenset({_ITEMS, *(name for names in kind.links.values() for name in names)})
    return frozenset({INNER_PARENT}) if kind.is_inner else frozenset()


def _exchanged(value: object, words: Mapping[str, tuple[str, str]]) -> object:
    if isinstance(value, list):
        return [_exchanged(one, words) for one in value]
    return words[value][1] if isinstance(value, str) and value in words else value


def _inner(record: Record, moved: Record) -> Record | None:
    """*moved* under the identities that its entry and its step have now; None if they are not known."""
    if record.is_aside:
        return moved
    wish, now = _wish(record), _wish(moved)
    entry = moved.entry
    if record.key is None:
        # What an entry without a key says is what it is known by.
        if Namer().identity(wish) != record.entry:
            return None
        entry = Namer().identity(now)
    if _step(wish, record.entry) != record.identity:
        return None
    return replace(moved, entry=entry, identity=_step(now, entry))


def _step(wish: Entry, identity: bytes) -> bytes:
    return next(iter(wish.steps(identity))).identity


def _wish(record: Record) -> Entry:
    """An entry of its own for the inner thing of *record*, as far as the record tells what that is like."""
    kind = record.kind
    if not isinstance(kind, InnerThing):
        raise AssertionError(f"{kind.word} steps make nothing inside a thing")
    lasting = [record.details.get(name) for name in kind.lasting]
    others = frozenset(one for some in lasting if isinstance(some, list) for one in some)
    parent = record.details.get(INNER_PARENT) or record.parent_hash
    return kind.wish(None, str(parent), (record.title, others))
