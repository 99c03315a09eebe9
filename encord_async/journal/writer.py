"""Puts commits into the tables of a journal, on the journal's thread. It never decides when, and never commits."""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar, cast

from encord_async.journal import gone, opening, rows
from encord_async.journal.commit import Commit, Intent
from encord_async.journal.record import Record, State
from encord_async.journal.store import Store, sa
from encord_async.journal.tables import STEPS, TRAFFIC, portions
from encord_async.journal.traffic import Traffic

__all__ = ["Writer"]

T = TypeVar("T")

_MAX_ROWS: Final = 256
"""Rows made and handed to the database at once: thousands of members of a refused batch may share one commit."""


class Writer:
    """Writes commits, and remembers the intents among them until they end.

    Args:
        store: Whose words the statements are in.
        is_shard: Whether others write shards of the same journal.
    """

    def __init__(self, store: Store, *, is_shard: bool) -> None:
        self._store = store
        self._is_shard = is_shard
        self._whole, self._end = _upserts(store.insert)
        self._intents: dict[bytes, Intent] = {}
        self.traffic: deque[Traffic] = deque()
        """What goes along with the next commit."""
        self.has_moved = False
        """See `Ledger`."""

    def intent(self, identity: bytes) -> Intent | None:
        """The intent of a step, as it was written, for the one who ends it."""
        return self._intents.pop(identity, None)

    def write(self, connection: sa.Connection, commit: Commit) -> None:
        """Put all of *commit* into the tables."""
        self._retire(connection, list(commit.retired))
        if self.has_moved:
            gone.reclaim(connection, commit.whole.values())
        for some in _slices(self._in_order(commit.whole)):
            self._whole.write(connection, [self._row(record) for record in some])
        for ended in _slices(commit.ends.values()):
            self._end.write(connection, [rows.end(record, intent.texts) for record, intent in ended])
        self.write_traffic(connection)

    def write_traffic(self, connection: sa.Connection) -> None:
        """Put what traffic there is into its table."""
        # Emptied one by one, since more may be added meanwhile.
        samples = [self.traffic.popleft().as_json() for _ in range(len(self.traffic))]
        if samples:
            connection.execute(sa.insert(TRAFFIC), samples)

    def _in_order(self, records: Mapping[bytes, Record]) -> Collection[Record]:
        """*records* in an order in which no two processes lock one another out: a membership may be in two shards."""
        return [records[identity] for identity in sorted(records)] if self._is_shard else records.values()

    def _retire(self, connection: sa.Connection, identities: list[bytes]) -> None:
        """Let go of records whose place others take."""
        for some in portions(identities):
            connection.execute(sa.delete(STEPS).where(STEPS.c.identity.in_(some)))
        if identities and not self.has_moved:
            opening.change_meta(connection, self._store, moved="1")
            self.has_moved = True

    def _row(self, record: Record) -> rows.Row:
        texts, row = rows.row(record)
        if record.state is State.INTENDED:
            self._intents[record.identity] = Intent(record, texts)
        return row


def _slices(records: Collection[T]) -> Iterator[list[T]]:
    """*records* in the portions in which they are handed to the database.

    Their sizes are powers of two. Rows that go out as one statement are a statement of their own for each number of
    them: SQLite's driver keeps over a hundred prepared, large ones take 300 kB each, and a new size is compiled anew.
    """
    left, missing = iter(records), len(records)
    while missing:
        size = min(_MAX_ROWS, 1 << (missing.bit_length() - 1))
        missing -= size
        yield list(islice(left, size))


class _Upsert:
    """Writes rows, or if they are there, their columns *changed*: many rows as one statement.

    The database is entered once for it and not once a row: between two of them Python would hand the interpreter to the
    event loop's thread, and wait to get it back. And the words come from SQLAlchemy once, the rows without it: what it
    does for each value would take longer than the database does.

    Args:
        statement: The insert of one row.
        given: Names of the columns that rows have, in the order of the table.
        changed: Those that are written where the row is there.
    """

    def __init__(self, statement: Any, given: Sequence[str], changed: Iterable[str]) -> None:
        new = {name: statement.excluded[name] for name in changed}
        self._statement = statement.on_conflict_do_update(index_elements=["identity"], set_=new).inline()
        self._given = given
        self._texts: dict[int, str] = {}
        """For each number of rows."""
        self._processors: list[tuple[int, Callable[[Any], Any]]] = []
        """What the database's dialect does with values, by the place of their column."""

    def write(self, connection: sa.Connection, written: Sequence[rows.Row]) -> None:
        text = self._texts.get(len(written)) or self._text(connection.dialect, len(written))
        values = list(itertools.chain.from_iterable(written))
        for place, processor in self._processors:
            values[place :: len(self._given)] = map(processor, values[place :: len(self._given)])
        connection.exec_driver_sql(text, tuple(values))

    def _text(self, dialect: sa.Dialect, number: int) -> str:
        by_place = cast("Any", type(dialect))(paramstyle="qmark" if dialect.paramstyle == "qmark" else "format")
        compiled = self._statement.compile(dialect=by_place, column_keys=self._given)
        head, values, rest = str(compiled).partition(" VALUES ")
        row, conflict, tail = rest.partition(" ON CONFLICT ")
        types = [STEPS.c[name].type.dialect_impl(dialect) for name in self._given]
        found = [(place, of.bind_processor(dialect)) for place, of in enumerate(types)]
        self._processors = [(place, processor) for place, processor in found if processor is not None]
        text = self._texts[number] = head + values + ", ".join([row] * number) + conflict + tail
        return text


@functools.cache
def _upserts(insert: Callable[[sa.Table], Any]) -> tuple[_Upsert, _Upsert]:
    """What writes whole rows, and what writes the ends of intents; for all journals of one kind of database."""
    # Of an intent that is there, so that what stands here for the columns that may not be null is never stored.
    never: dict[str, Any] = {name: sa.literal_column("''") for name in ("entry", "place", "kind", "title", "details")}
    end = insert(STEPS).values(**never, started_s=sa.literal_column("0.0"))
    whole, ended = (*rows.COLUMNS, "checksum"), (*rows.END, "checksum")
    return _Upsert(insert(STEPS), whole, whole), _Upsert(end, ("identity", *ended), ended)
