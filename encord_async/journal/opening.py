"""What is done to a journal when it is opened: it is set up, looked through, or brought up to date.

What it says of itself is in the table ``meta``, under a checksum. Nothing here adds a step.
"""

import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from encord_async.errors import JournalError, JournalMismatchError
from encord_async.journal.record import State
from encord_async.journal.rows import CONTENT
from encord_async.journal.store import RESTORE, Store, sa
from encord_async.journal.tables import GONE, MADE, META, METADATA, STEPS, STEPS_MISSING, TRAFFIC
from encord_async.kinds.registry import relations

__all__ = [
    "Identity",
    "Past",
    "change_meta",
    "check",
    "check_owner",
    "check_rows",
    "fill",
    "look_back",
    "meta",
    "migrate",
]

_SCHEMA_VERSION: Final = 3
"""1 had no table of traffic. Before 3, memberships were written down for each entry that asked for them."""
_TABLES: Final = frozenset({META.name, STEPS.name})
"""Those of every version."""
_CONVERTED: Final = (STEPS.c.seq, STEPS.c.checksum, *CONTENT)
# As they are stored: to convert what a flipped bit has made a value of another type would be an error, or worse.
_UNCONVERTED: Final = tuple(sa.type_coerce(column, sa.types.NullType()) for column in _CONVERTED)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose journal it is: the service's domain and the account's name there."""

    domain: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a run has to reckon with; see `Ledger`."""

    stamp_key: bytes = b""
    is_current: bool = True
    """Whether it has all tables that one of today has."""
    is_empty: bool = False
    has_made: bool = False
    has_moved: bool = False


def fill(connection: sa.Connection, identity: Identity) -> None:
    """Set up a new journal of *identity*."""
    said = {
        "schema": str(_SCHEMA_VERSION),
        "made_s": str(time.time()),
        "domain": identity.domain,
        "account": identity.account,
        "stamp_key": os.urandom(16).hex(),
    }
    said["checksum"] = _checksum(said)
    # Nothing lies there yet, so nothing is asked.
    METADATA.create_all(connection, checkfirst=False)
    connection.execute(sa.insert(META), [{"name": name, "value": value} for name, value in said.items()])


def meta(connection: sa.Connection) -> dict[str, str]:
    """What the journal says of itself."""
    return {row.name: row.value for row in connection.execute(sa.select(META))}


def change_meta(connection: sa.Connection, store: Store, **changes: str) -> None:
    """Have the journal say *changes* of itself."""
    said = meta(connection) | changes
    said.pop("checksum", None)
    said["checksum"] = _checksum(said)
    for name in (*changes, "checksum"):
        insert = store.insert(META).values({"name": name, "value": said[name]})
        connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": said[name]}))


def check(connection: sa.Connection, name: str, ours: Identity | None) -> None:
    """See who made the journal *name* and whose it is, before anything of it is changed.

    Raises:
        JournalError: It is none, is damaged, or of a newer version.
        JournalMismatchError: It is another's.
    """
    if not set(sa.inspect(connection).get_table_names()) >= _TABLES:
        raise JournalError(f"{name} is a database of something else, no journal; give another path")
    said = meta(connection)
    # Not a text, if a bit has flipped.
    schema = str(said.get("schema"))
    if schema.isdigit() and int(schema) > _SCHEMA_VERSION:
        raise JournalError(
            f"{name} was written by a newer encord-async (schema {schema}, known {_SCHEMA_VERSION}); upgrade"
        )
    if said.pop("checksum", None) != _checksum(said):
        raise JournalError(f"{name} is damaged (it does not say whose it is); {RESTORE}")
    if ours is not None:
        check_owner(name, said, ours)


def check_owner(name: str, said: Mapping[str, str], ours: Identity) -> None:
    """See whose the journal *name* is, by what it says of itself.

    Raises:
        JournalMismatchError: It is another's.
    """
    if said["account"] != ours.account:
        raise JournalMismatchError(
            f"{name} belongs to {said['account']} at {said['domain']}, and this is {ours.account} "
            f"at {ours.domain}; give another journal, or the key it was made with"
        )
    if said["domain"] != ours.domain:
        raise JournalMismatchError(
            f"{name} belongs to {ours.account} at {said['domain']}, and this is the same at {ours.domain}; give the "
            "domain of the journal, or another journal if that is another service"
        )


def check_rows(connection: sa.Connection, store: Store) -> None:
    """Read everything once: a flipped bit must not pass for something done.

    Raises:
        JournalError: It is damaged.
    """
    found = store.check(connection)
    if found:
        raise JournalError(f"{store.name} is damaged ({found}); {RESTORE}")
    wanted = sa.select(*(_CONVERTED if store.converts else _UNCONVERTED))
    with connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
        for seq, checksum, *content in rows:
            # A list's own repr is what the checksum of its texts is made of, in one step.
            if zlib.crc32(repr(content).encode()) != checksum:
                raise JournalError(f"{store.name} is damaged (row {seq}); {RESTORE}")


def migrate(connection: sa.Connection, store: Store) -> None:
    """Bring a journal of an older version up to date; one that was killed in the middle of this begins again."""
    if meta(connection)["schema"] == str(_SCHEMA_VERSION):
        return
    TRAFFIC.create(connection, checkfirst=True)
    GONE.create(connection, checkfirst=True)
    STEPS_MISSING.create(connection, checkfirst=True)
    # Nobody knows of what role they were, or what a key stood for: they are sent again, which does no harm. Those
    # that took an item away stay, because a thing that has seen one is looked at more closely.
    words = [word for relation in relations() for word in (relation.gives, relation.takes) if word]
    takes_items = STEPS.c.kind.in_([relation.takes for relation in relations() if relation.in_create])
    taken = sa.and_(takes_items, STEPS.c.state == State.DONE.value)
    old = sa.and_(STEPS.c.kind.in_(words), sa.not_(taken))
    connection.execute(sa.delete(STEPS).where(old))
    change_meta(connection, store, schema=str(_SCHEMA_VERSION))
    connection.commit()


def look_back(connection: sa.Connection) -> Past:
    """See what a run has to reckon with."""
    said = meta(connection)
    any_step = sa.select(STEPS.c.seq).limit(1)
    return Past(
        stamp_key=bytes.fromhex(said["stamp_key"]),
        is_current=said["schema"] == str(_SCHEMA_VERSION),
        is_empty=connection.execute(any_step).first() is None,
        has_made=connection.execute(any_step.where(MADE)).first() is not None,
        has_moved="moved" in said,
    )


def _checksum(said: Mapping[str, str]) -> str:
    return str(zlib.crc32(repr(sorted(map(repr, said.items()))).encode()))
