"""What a journal is asked: each a function of a connection, on the journal's thread. None of them writes."""

from collections.abc import Sequence
from typing import Final

from encord_async.journal.opening import meta
from encord_async.journal.record import Record, State, Word
from encord_async.journal.rows import CONTENT, WORD, record, sample, word
from encord_async.journal.store import sa
from encord_async.journal.tables import CHANGED, MADE, MISSING, OPEN, STEPS, TRAFFIC, portions
from encord_async.journal.traffic import Traffic
from encord_async.kinds.registry import step_kinds
from encord_async.manifest.digests import Seen

__all__ = [
    "HANDED_ON",
    "counts",
    "detached",
    "kept_back",
    "keys_of",
    "known",
    "page",
    "seen",
    "select",
    "state_digest",
    "traffic",
    "words",
]

HANDED_ON: Final = "handed_on"
"""Under which name the details of what is secret say that somebody was given it, or that it was lost."""

_AMONG: Final = STEPS.c.identity.in_(sa.bindparam("identities", expanding=True))
_BY_IDENTITY: Final = sa.select(*CONTENT).where(_AMONG)
_WORDS: Final = sa.select(STEPS.c.identity, *WORD).where(_AMONG)


def known(connection: sa.Connection, identities: Sequence[bytes]) -> dict[bytes, Record]:
    """The records of *identities*, those that there are."""
    found: dict[bytes, Record] = {}
    for some in portions(identities):
        for row in connection.execute(_BY_IDENTITY, {"identities": some}):
            one = record(row)
            found[one.identity] = one
    return found


def words(connection: sa.Connection, identities: Sequence[bytes]) -> dict[bytes, Word]:
    """What is said of the memberships *identities*, as far as something is."""
    found: dict[bytes, Word] = {}
    for some in portions(identities):
        for identity, *said in connection.execute(_WORDS, {"identities": some}):
            found[identity] = word(*said)
    return found


def select(connection: sa.Connection, condition: sa.ColumnElement[bool], most: int | None = None) -> list[Record]:
    """The records that satisfy *condition*, or the first *most* of them, in the order in which their steps began."""
    wanted = sa.select(*CONTENT).where(condition).order_by(STEPS.c.seq).limit(most)
    return [record(row) for row in connection.execute(wanted)]


def page(connection: sa.Connection, most: int, after: int) -> tuple[list[Record], int]:
    """The *most* records behind the place *after*, and the place of the last of them."""
    wanted = sa.select(STEPS.c.seq, *CONTENT).where(STEPS.c.seq > after).order_by(STEPS.c.seq).limit(most)
    rows = connection.execute(wanted).all()
    return [record(row[1:]) for row in rows], rows[-1].seq if rows else after


def seen(connection: sa.Connection) -> Seen:
    """The hashes of all that was made or adopted."""
    wanted = sa.select(STEPS.c.hash).where(MADE & STEPS.c.hash.isnot(None))
    with connection.execute(wanted, execution_options={"yield_per": 1000}) as rows:
        return Seen(row.hash for row in rows)


def kept_back(connection: sa.Connection) -> list[Record]:
    """What was made inside things and is secret, and that nobody has been given yet, see `HANDED_ON`."""
    inner = [kind.word for kind in step_kinds() if kind.is_inner]
    is_there = (STEPS.c.state == State.DONE.value) & (STEPS.c.status == "created") & STEPS.c.hash.isnot(None)
    made = select(connection, STEPS.c.kind.in_(inner) & is_there)
    return [record for record in made if HANDED_ON not in record.details]


def keys_of(connection: sa.Connection, hashes: Sequence[str]) -> dict[str, str]:
    """The keys of the entries of these things, by their hashes; reads everything once."""
    wanted, among = sa.select(STEPS.c.hash, STEPS.c.key).where(MADE, STEPS.c.key.isnot(None)), frozenset(hashes)
    return {found: key for found, key in connection.execute(wanted) if found in among}


def counts(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """How many steps there are, by kind and then by how they stand: all open ones are in doubt."""
    ended = sa.case((OPEN, "in_doubt"), (CHANGED, "failed"), else_=STEPS.c.status).label("ended")
    wanted = sa.select(STEPS.c.kind, ended, sa.func.count()).group_by(STEPS.c.kind, ended).order_by("kind", "ended")
    found: dict[str, dict[str, int]] = {}
    for kind, status, number in connection.execute(wanted):
        found.setdefault(kind, {})[status] = number
    return found


def detached(connection: sa.Connection, hashes: Sequence[str]) -> set[str]:
    """Those of these projects in which a dataset may be missing that was attached once."""
    found: set[str] = set()
    for some in portions(hashes):
        wanted = sa.select(STEPS.c.parent_hash).where(STEPS.c.parent_hash.in_(some), MISSING).distinct()
        found.update(connection.execute(wanted).scalars())
    return found


def state_digest(connection: sa.Connection) -> str:
    """A name for all that is written about steps; empty if that is nothing."""
    sums = sa.select(sa.func.count(), sa.func.max(STEPS.c.seq), sa.func.sum(STEPS.c.checksum))
    count, last, checksums = connection.execute(sums).one()
    return f"{count}-{last}-{checksums}" if count else ""


def traffic(connection: sa.Connection) -> list[Traffic]:
    """All samples in the order in which they were written down."""
    # The first version had no table for them.
    if meta(connection)["schema"] == "1":
        return []
    columns = [column for column in TRAFFIC.columns if column.name != "seq"]
    rows = connection.execute(sa.select(*columns).order_by(TRAFFIC.c.seq))
    return [sample(row) for row in rows.mappings()]
