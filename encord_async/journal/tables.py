"""The tables of a journal. They never hold a key or a token, and nothing here asks a database for anything."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from encord_async.journal.record import CHANGED as CHANGED_CODE
from encord_async.journal.record import State
from encord_async.journal.store import sa
from encord_async.kinds.registry import relations

__all__ = [
    "CHANGED",
    "GONE",
    "MADE",
    "META",
    "METADATA",
    "MISSING",
    "OPEN",
    "STEPS",
    "STEPS_MISSING",
    "TRAFFIC",
    "portions",
]

T = TypeVar("T")

_LOOKUP: Final = 400
"""Parameters in one query; SQLite took no more than 999 for many years."""


class _NoZeros(sa.types.TypeDecorator[str]):
    """Text for PostgreSQL, which takes any character but U+0000."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - its shape
        """As it is stored."""
        return None if value is None else value.replace("\\", "\\\\").replace("\0", "\\0")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - its shape
        """As it was."""
        return None if value is None else re.sub(r"\\(.)", lambda found: "\0" if found[1] == "0" else found[1], value)


_TEXT: Final = sa.Text().with_variant(_NoZeros(), "postgresql")
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")

METADATA: Final = sa.MetaData()

META: Final = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
"""What a journal says of itself."""

STEPS: Final = sa.Table(
    "steps",
    METADATA,
    sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("identity", sa.LargeBinary(16), nullable=False, unique=True),
    sa.Column("entry", sa.LargeBinary(16), nullable=False),
    sa.Column("place", _TEXT, nullable=False),
    sa.Column("key", _TEXT),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("title", _TEXT, nullable=False),
    sa.Column("project_hash", _TEXT, key="parent_hash"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("hash", _TEXT),
    sa.Column("name", sa.LargeBinary(16)),
    sa.Column("request", sa.String(64)),
    sa.Column("details", _TEXT, nullable=False),
    sa.Column("code", _TEXT),
    sa.Column("message", _TEXT),
    sa.Column("started_s", sa.Float, nullable=False),
    sa.Column("ended_s", sa.Float),
    sa.Column("checksum", sa.BigInteger, nullable=False),
)
"""A row a step; between its number and its checksum the fields of `Record`, in their order."""

TRAFFIC: Final = sa.Table(
    "traffic",
    METADATA,
    sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("began_s", sa.Float, nullable=False),
    sa.Column("ended_s", sa.Float, nullable=False),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("requests", "retries", "throttled", "in_flight")),
)

GONE: Final = sa.Table("gone", METADATA, sa.Column("entry", sa.LargeBinary(16), primary_key=True))
"""Entries that the manifest held once, and steps of which what they made inside things is nobody's now.

Made anew by each run that knows its manifest, so that it needs no checksum.
"""

MADE: Final = STEPS.c.name.isnot(None)
"""It makes something, and is no membership."""
CHANGED: Final = (STEPS.c.state == State.DONE.value) & (STEPS.c.code == CHANGED_CODE)
OPEN: Final = STEPS.c.state.in_((State.INTENDED.value, State.IN_DOUBT.value))
# In words: of a parameter SQLite cannot tell whether the index has all that is asked for.
_LACKS: Final = " OR ".join(
    f"kind = '{relation.takes}' OR (kind = '{relation.gives}' AND state <> 'done')"
    for relation in relations()
    if relation.in_create
)
MISSING: Final = sa.text(f"({_LACKS})")
"""Items that things may lack although they had them once; there are few."""


def _partial(name: str, column: sa.Column[str], where: sa.ColumnElement[bool] | sa.TextClause) -> sa.Index:
    # That it is partial in PostgreSQL, too, stands in the module of that.
    return sa.Index(name, column, sqlite_where=where)


# Partial, so that rows of memberships, which have no name and never stay open, cost nothing here.
_partial("steps_by_name", STEPS.c.name, MADE)
_partial("steps_open", STEPS.c.state, OPEN)
STEPS_MISSING: Final = _partial("steps_missing", STEPS.c.parent_hash, MISSING)


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """*values*, so many at once as one query takes."""
    for start in range(0, len(values), _LOOKUP):
        yield values[start : start + _LOOKUP]
