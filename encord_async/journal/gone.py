"""What entries made that the manifest no longer has, or that another has taken over. It never looks at the account."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from encord_async.journal.record import Record, State
from encord_async.journal.rows import BRIEF, CONTENT, brief, record
from encord_async.journal.store import Store, sa
from encord_async.journal.tables import GONE, MADE, STEPS, portions
from encord_async.journal.taken_off import Leftover
from encord_async.kinds.membership import ADMIN, Membership, Relation
from encord_async.kinds.registry import step_kind, step_kinds
from encord_async.kinds.step import StepKind
from encord_async.kinds.thing import InnerThing, Thing, item_digest

__all__ = ["contested", "disown", "is_anything", "left_behind", "leftovers", "reclaim", "things"]

_PAGE: Final = 1000
_THINGS: Final = (
    sa.select(*CONTENT)
    .join(GONE, GONE.c.entry == STEPS.c.entry)
    .where(
        STEPS.c.kind.in_([kind.word for kind in step_kinds() if isinstance(kind, Thing)]),
        STEPS.c.state == State.DONE.value,
        STEPS.c.hash.isnot(None),
    )
    .order_by(STEPS.c.seq)
)
"""Rows looked at at once where all of them are."""
_BRIEFLY: Final = sa.select(*BRIEF).where(STEPS.c.identity.in_(sa.bindparam("identities", expanding=True)))
_IS_ASIDE: Final = STEPS.c.entry == STEPS.c.identity
"""See `set_aside`."""
_NOBODYS: Final = sa.or_(
    sa.select(GONE.c.entry).where(GONE.c.entry.in_([STEPS.c.entry, STEPS.c.identity])).exists(), _IS_ASIDE
)
# Made once: to put it together anew costs more than to ask it, and it is asked for each thing that is to be made.
_LEFT_BEHIND: Final = (
    sa.select(*CONTENT)
    .where(STEPS.c.name == sa.bindparam("name"), STEPS.c.state != State.FAILED.value, _NOBODYS)
    .order_by(STEPS.c.seq)
)


def disown(connection: sa.Connection, store: Store, is_present: Callable[[bytes], bool], *, has_moved: bool) -> None:
    """See `Ledger`; *has_moved* says whether an entry has ever taken over what another had made."""
    connection.execute(sa.delete(GONE))
    note = store.insert(GONE).on_conflict_do_nothing()
    is_inner = STEPS.c.kind.in_([kind.word for kind in step_kinds() if kind.is_inner])
    for rows in _pages(connection, (STEPS.c.entry,), sa.not_(is_inner)):
        _note(connection, note, {row.entry for row in rows if not is_present(row.entry)})
    for rows in _pages(connection, (STEPS.c.kind, *BRIEF), is_inner):
        inner = [brief(step_kind(row.kind), row[2:]) for row in rows]
        nobodys = {one.identity for one in inner if not is_present(one.holder)}
        _note(connection, note, nobodys | (_lost(connection, inner) if has_moved else set()))


def left_behind(connection: sa.Connection, name: bytes) -> list[Record]:
    """See `Ledger`."""
    return [record(row) for row in connection.execute(_LEFT_BEHIND, {"name": name})]


def things(connection: sa.Connection) -> list[Record]:
    """See `Ledger.gone_things`."""
    return [record(row) for row in connection.execute(_THINGS)]


def leftovers(connection: sa.Connection, hashes: Sequence[str]) -> dict[str, Leftover]:
    """See `Ledger`."""
    found: dict[str, Leftover] = {}
    columns = [STEPS.c[name] for name in ("kind", "hash", "parent_hash", "title", "details")]
    for some in portions(hashes):
        is_about = sa.or_(sa.and_(MADE, STEPS.c.hash.in_(some)), STEPS.c.parent_hash.in_(some))
        wanted = sa.select(*columns).where(is_about, STEPS.c.state == State.DONE.value).order_by(STEPS.c.seq)
        about = defaultdict[str, _Remains](_Remains)
        for kind, own, parent, title, details in connection.execute(wanted):
            about[own if parent is None else parent].add(step_kind(kind), title, json.loads(details or "{}"))
        found |= {one: about[one].left() for one in some if one in about}
    return found


@dataclass(slots=True)
class _Remains:
    """What is written as done of one thing, and in it."""

    kind: Thing | None = None
    with_it: set[str] = field(default_factory=set)
    """What it was made with, by `item_digest`."""
    taken: set[str] = field(default_factory=set)
    is_open: bool = False
    """Whether somebody or something was let in, and not taken out since: the last word on each is all there is."""
    settings: dict[Relation, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def add(self, kind: StepKind, title: str, details: Mapping[str, Any]) -> None:
        if isinstance(kind, Thing):
            self.kind = kind
            if kind.items is not None and kind.items.lets_in:
                self.with_it |= set(details.get("held") or map(item_digest, details.get("references") or ()))
        elif isinstance(kind, InnerThing):
            self.keys.append(title)
        elif isinstance(kind, Membership):
            relation = kind.relation
            if kind.takes:
                self.taken.add(item_digest(title))
            elif relation.is_single:
                self.settings[relation] = title
            elif relation.lets_in and relation.extras_stay is None and details.get("role") != ADMIN:
                self.is_open = True

    def left(self) -> Leftover:
        retired = {} if self.kind is None else self.kind.retired
        is_set = all(self.settings.get(relation) == value for relation, value in retired.items())
        is_empty = not self.is_open and self.with_it <= self.taken
        return Leftover(is_at_rest=self.kind is not None and is_set and is_empty, keys=tuple(self.keys))


def is_anything(connection: sa.Connection) -> bool:
    """Whether anything at all is `left_behind`, of whatever name."""
    of_the_gone, aside = sa.select(GONE.c.entry).limit(1), sa.select(STEPS.c.seq).where(_IS_ASIDE).limit(1)
    return any(connection.execute(found).first() is not None for found in (of_the_gone, aside))


def contested(connection: sa.Connection, keys: Sequence[bytes]) -> set[bytes]:
    """See `Ledger`."""
    found: set[bytes] = set()
    for some in portions(keys):
        found.update(connection.execute(sa.select(GONE.c.entry).where(GONE.c.entry.in_(some))).scalars())
    return found


def reclaim(connection: sa.Connection, records: Iterable[Record]) -> None:
    """See to it that what steps make inside things from now on is not `left_behind`, as what they made before was."""
    for some in portions([one.identity for one in records if one.kind.is_inner]):
        connection.execute(sa.delete(GONE).where(GONE.c.entry.in_(some)))


def _pages(
    connection: sa.Connection, columns: Sequence[sa.ColumnElement[Any]], condition: sa.ColumnElement[bool]
) -> Iterator[Sequence[Any]]:
    """Pages of all rows that made something and satisfy *condition*: their place and *columns*."""
    wanted = sa.select(STEPS.c.seq, *columns).where(MADE, condition).order_by(STEPS.c.seq)
    after = 0
    while rows := connection.execute(wanted.where(STEPS.c.seq > after).limit(_PAGE)).all():
        yield rows
        after = rows[-1].seq


def _note(connection: sa.Connection, note: sa.Executable, gone: Collection[bytes]) -> None:
    if gone:
        connection.execute(note, [{"entry": one} for one in gone])


def _lost(connection: sa.Connection, inner: Sequence[Record]) -> set[bytes]:
    """Which of these were made inside things that other entries have taken over since."""
    made = {one.identity: one.parent_step for one in inner}
    makers: dict[bytes, Record] = {}
    for some in portions([maker for maker in set(made.values()) if maker is not None]):
        rows = connection.execute(_BRIEFLY, {"identities": some})
        makers |= {row.identity: brief(None, row) for row in rows}
    return {one.identity for one in inner if (maker := made[one.identity]) and one.has_lost(makers.get(maker))}
