"""Finds what entries once put somewhere and no entry of the manifest says any more; see `taken_off`.

The journal and the manifest tell it, without a look at the account. Rows are read one after the other, and only what is
shown is kept. What is in a thing that has itself gone from the manifest is not told besides (see `gone`).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, Final, NamedTuple

from encord_async.journal.record import Record, State
from encord_async.journal.rows import BRIEF, brief
from encord_async.journal.store import sa
from encord_async.journal.tables import MADE, STEPS, portions
from encord_async.journal.taken_off import Said, TakenOff, TakenOffs
from encord_async.kinds.fields import REFERENCE, referenced_key
from encord_async.kinds.membership import ADMIN, Membership, Relation
from encord_async.kinds.registry import step_kind, step_kinds
from encord_async.kinds.setting import Setting
from encord_async.kinds.step import StepKind
from encord_async.kinds.thing import Admission, InnerThing, Thing, item_digest

__all__ = ["look"]

_SHOWN: Final = 100
_AT_ONCE: Final = 400


class _Candidate(NamedTuple):
    """What the words of the manifest do not say; it may say it in others."""

    kind: StepKind
    item: str
    told: TakenOff
    abouts: tuple[str, ...] = ()
    """All that the thing may be called."""
    mark: bytes | str = b""
    """What tells the item even if its key means something else by now: the identity of its own record, or where it went
    along with its thing, its `item_digest`; empty if nothing does.
    """
    has_record: bool = True


def look(connection: sa.Connection, said: Said) -> TakenOffs:
    """All that is written down as done and that *said* does not say."""
    number, first = 0, list[TakenOff]()
    others = _Others(connection, said)
    candidates = chain(_given(connection, said), _made_with(connection, said))
    while some := list(islice(candidates, _AT_ONCE)):
        left = [one for one in some if not others.say(one)]
        for one in _still_there(connection, left, others):
            number += 1
            if len(first) < _SHOWN:
                first.append(one.told)
    return TakenOffs(number=number, first=tuple(first))


# ---------------------------------------------------------------------- what is written down by itself

_THING: Final = STEPS.alias("thing")
_THING_KINDS: Final = [kind.word for kind in step_kinds() if isinstance(kind, Thing)]


def _lasts(kind: StepKind) -> bool:
    """Whether what a step of *kind* did is there until somebody takes it away, and can be seen."""
    if isinstance(kind, Membership):
        relation = kind.relation
        is_told = isinstance(relation, Setting) or not relation.is_single
        return not kind.takes and relation.is_shown and relation.is_remembered and is_told
    return isinstance(kind, InnerThing | Admission)


def _given(connection: sa.Connection, said: Said) -> Iterator[_Candidate]:
    """What has a record of its own."""
    is_made = sa.and_(_THING.c.kind.in_(_THING_KINDS), _THING.c.name.isnot(None))
    is_of_thing = sa.and_(_THING.c.hash == STEPS.c.parent_hash, is_made)
    wanted = (
        sa.select(
            *(STEPS.c[name] for name in ("identity", "kind", "title")),
            *(_THING.c[name].label(f"thing_{name}") for name in ("key", "kind", "entry", "title")),
            *(STEPS.c[name] for name in ("entry", "parent_hash", "state", "details")),
        )
        .select_from(STEPS.outerjoin(_THING, is_of_thing))
        .where(STEPS.c.kind.in_([kind.word for kind in step_kinds() if _lasts(kind)]))
        .where(STEPS.c.state == State.DONE.value)
        .order_by(STEPS.c.seq)
    )
    with connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
        for alike in _unsaid(rows, said):
            yield from _of_row(said, alike)


def _unsaid(rows: Iterable[Any], said: Said) -> Iterator[Sequence[Any]]:
    """Rows of one record each, but for those that are said by the key of their thing, as nearly all of many are."""
    plain = {kind.word: kind.relation for kind in step_kinds() if isinstance(kind, Membership) and not kind.takes}
    now, is_said, alike = b"", True, list[Any]()
    for row in rows:
        # By their places: a name takes three times as long.
        identity, kind, title, key = row[:4]
        if identity != now:
            if not is_said:
                yield alike
            now, is_said, alike = identity, False, []
        relation = plain.get(kind)
        if relation is not None and key is not None:
            is_said = is_said or said.says(relation.sort, REFERENCE + key, relation.told_apart(title))
        alike.append(row)
    if not is_said:
        yield alike


def _of_row(said: Said, rows: Sequence[Any]) -> Iterator[_Candidate]:
    """What one record says, of which *rows* has as many as the journal has makers of its thing."""
    row = rows[0]
    kind, makers = step_kind(row.kind), [one for one in rows if one.thing_entry is not None]
    if isinstance(kind, Admission):
        if not said.says(kind.word, "", row.title.casefold()):
            yield _Candidate(kind, row.title, TakenOff(what=kind.thing, item=row.title))
        return
    present = [one for one in makers if one.thing_entry in said or _has_moved(said, one.thing_kind, one.thing_key)]
    if makers and not present:
        # That the thing has gone is told by itself.
        return
    maker = present[0] if present else None
    abouts = (row.parent_hash, *(_own_name(said, one.thing_kind, one.thing_key, one.thing_entry) for one in present))
    where = {
        "parent": _parent(kind),
        "key": None if maker is None else maker.thing_key,
        "title": None if maker is None else maker.thing_title,
        "hash": row.parent_hash,
    }
    if isinstance(kind, InnerThing):
        record = brief(kind, (row.identity, row.entry, row.parent_hash, row.state, None, row.details))
        moved = maker is not None and _has_moved(said, maker.thing_kind, maker.thing_key)
        if not moved and (record.is_aside or record.holder not in said):
            yield _Candidate(kind, row.title, TakenOff(what=kind.word, item=repr(row.title), **where))
    elif isinstance(kind, Membership):
        relation = kind.relation
        item = relation.told_apart(row.title)
        if row.title in relation.at_first:
            # As it would be had nobody ever said anything.
            return
        if any(said.says(relation.sort, about, item) for about in abouts):
            return
        is_admin = relation.roles is not None and json.loads(row.details or "{}").get("role") == ADMIN
        can_go = not is_admin and maker is not None and _can_go(said, relation, abouts)
        told = TakenOff(what=kind.what, item=relation.said(row.title), can_go=can_go, **where)
        yield _Candidate(kind, row.title, told, abouts, row.identity)


def _can_go(said: Said, relation: Relation, abouts: Iterable[str]) -> bool:
    """Whether ``prune`` takes what is too much in a thing that an entry makes."""
    is_limited = relation.limits_unsaid or said.speaks_of(relation)
    can_be_taken = bool(relation.takes) and relation.extras_stay is None
    return can_be_taken and is_limited and not any(said.is_open(relation.sort, about) for about in abouts)


def _parent(kind: StepKind) -> str | None:
    if isinstance(kind, Membership):
        return kind.relation.parent
    return kind.parent if isinstance(kind, InnerThing) else None


def _has_moved(said: Said, kind: str, key: str | None) -> bool:
    return key is not None and said.key_now(kind, key) != key


def _own_name(said: Said, kind: str, key: str | None, entry: bytes) -> str:
    """What an entry that makes something is called by its own steps, and by others if it has a key."""
    return entry.hex() if key is None else REFERENCE + said.key_now(kind, key)


# ---------------------------------------------------------------------- what things were made with


def _made_with(connection: sa.Connection, said: Said) -> Iterator[_Candidate]:
    """Items that went along as a thing was made, which have no record of their own."""
    having = {kind.word: kind for kind in step_kinds() if isinstance(kind, Thing) and kind.items is not None}
    wanted = sa.select(*BRIEF, STEPS.c.kind, STEPS.c.key, STEPS.c.title).where(
        STEPS.c.kind.in_(list(having)), STEPS.c.state == State.DONE.value, STEPS.c.hash.isnot(None), MADE
    )
    with connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
        for row in rows:
            kind = having[row.kind]
            if kind.items is None or not (row.entry in said or _has_moved(said, kind.word, row.key)):
                continue
            record = brief(kind, row[: len(BRIEF)])
            abouts = (record.hash or "", _own_name(said, kind.word, row.key, row.entry))
            can_go = _can_go(said, kind.items, abouts)
            where = {"parent": kind.word, "key": row.key, "title": row.title, "hash": record.hash}
            for reference, digest in _references(record):
                if not any(said.says(kind.items.sort, about, reference) for about in abouts):
                    told = TakenOff(what=kind.items.give.what, item=reference, can_go=can_go, **where)
                    yield _Candidate(kind.items.give, reference, told, abouts, digest, has_record=False)


def _references(record: Record) -> Iterator[tuple[str, str]]:
    """What its entry named, each with the `item_digest` of what that stood for, if it is known; see `holding`."""
    details: Mapping[str, Any] = record.details
    found, held = details.get("references") or [], details.get("held") or []
    # Where two stood for one, which is which is not known.
    return zip(found, held if len(held) == len(found) else repeat(""), strict=False)


# ---------------------------------------------------------------------- looking twice


class _Others:
    """Other words for the same: a hash for a key, the address of somebody. Read once, and only if they are needed."""

    def __init__(self, connection: sa.Connection, said: Said) -> None:
        self._connection = connection
        self._said = said
        self._words: Mapping[tuple[str, str], Sequence[str]] | None = None
        self._hashes = defaultdict[str, list[str]](list)
        """All that is known of a kind."""
        self._meant: dict[tuple[str, str], str] = {}
        """What a key was found to have stood for."""
        self._marked: tuple[tuple[Relation, str | None], Mapping[bytes | str, str]] | None = None

    def say(self, one: _Candidate) -> bool:
        """Whether the manifest says it in other words."""
        if not isinstance(one.kind, Membership):
            return False
        relation = one.kind.relation
        items = [relation.folded(item) for item in self.all_of(one)]
        return any(self._said.says(relation.sort, about, item) for about in one.abouts for item in items)

    def all_of(self, one: _Candidate) -> Sequence[str]:
        """What else the item of *one* goes by; its entry may have got another key since, and be known by its hash."""
        if not isinstance(one.kind, Membership) or one.kind.relation.item is None:
            return ()
        kind, words = one.kind.relation.item, self.of(one.kind.relation.item, one.item)
        meant = self._stood_for(one.kind.relation, kind, one, words)
        return words if meant is None else (*words, meant, *self.of(kind, meant))

    def _stood_for(self, relation: Relation, kind: str, one: _Candidate, words: Sequence[str]) -> str | None:
        """The hash that the key stood for which *one* was said by; None if it stands for it still, or nobody knows."""
        if not one.mark or referenced_key(one.item) is None:
            return None
        about, is_record = one.told.hash or "", isinstance(one.mark, bytes)

        def mark(found: str) -> bytes | str:
            return relation.identity(about, found) if is_record else item_digest(found)

        if any(mark(word) == one.mark for word in words):
            return None
        meant = self._meant.get((kind, one.item))
        if meant is None or mark(meant) != one.mark:
            place = (relation, about if is_record else None)
            if self._marked is None or self._marked[0] != place:
                self._marked = (place, {mark(found): found for found in self._hashes[kind]})
            meant = self._marked[1].get(one.mark)
            if meant is not None:
                self._meant[kind, one.item] = meant
        return meant

    def of(self, kind: str, item: str) -> Sequence[str]:
        """What else *item* goes by, which an entry of *kind* makes, or names."""
        if self._words is None:
            self._words = self._read()
        return self._words.get((kind, item.casefold() if "@" in item[1:] else item), ())

    def _read(self) -> Mapping[tuple[str, str], Sequence[str]]:
        named = {kind.relation.item for kind in step_kinds() if isinstance(kind, Membership)}
        makers = {kind.word: kind for kind in step_kinds() if kind.thing in named and kind.stands_for_entry}
        wanted = sa.select(*(STEPS.c[name] for name in ("kind", "key", "hash", "title"))).where(
            STEPS.c.kind.in_(list(makers)), STEPS.c.state == State.DONE.value, STEPS.c.key.isnot(None)
        )
        words = defaultdict[tuple[str, str], list[str]](list)
        for row in self._connection.execute(wanted):
            kind = makers[row.kind]
            itself = row.title.casefold() if isinstance(kind, Admission) else row.hash
            now = REFERENCE + self._said.key_now(kind.thing, row.key)
            words[kind.thing, itself].append(now)
            words[kind.thing, REFERENCE + row.key] += [itself, now]
            self._hashes[kind.thing].append(itself)
        return words


def _still_there(connection: sa.Connection, some: Sequence[_Candidate], others: _Others) -> Iterator[_Candidate]:
    """Those of *some* of which nothing else is written: what was made with a thing may have a record of its own since,
    because it was taken out, or put in once more.
    """
    wanted = {identity for one in some for identity in _identities(one, others)}
    found = set[bytes]()
    for identities in portions(list(wanted)):
        known = sa.select(STEPS.c.identity).where(STEPS.c.identity.in_(identities), STEPS.c.state == State.DONE.value)
        found.update(connection.execute(known).scalars())
    return (one for one in some if found.isdisjoint(_identities(one, others)))


def _identities(one: _Candidate, others: _Others) -> list[bytes]:
    """What a journal may have something under that has no record by itself."""
    if one.has_record or not isinstance(one.kind, Membership) or one.told.hash is None:
        return []
    return [one.kind.relation.identity(one.told.hash, item) for item in (one.item, *others.all_of(one))]
