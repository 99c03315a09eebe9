"""Puts commits into the tables of a journal, on the journal's thread. It never decides when, and never commits."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

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
        self._whole, self._end = _statements(store.insert)
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
            connection.execute(self._whole, [self._row(record) for record in some])
        for ended in _slices(commit.ends.values()):
            connection.execute(self._end, [rows.end(record, intent.texts) for record, intent in ended])
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


def _upsert(statement: Any, changed: Iterable[str]) -> sa.Executable:
    """*statement*, or if the row is there, a change of the columns *changed*.

    Because it returns something, many rows go out as one statement, for which SQLite is entered once and not once a
    row: between two of them Python would hand the interpreter to the event loop's thread, and wait to get it back.
    """
    new = {name: statement.excluded[name] for name in changed}
    written: sa.Executable = statement.on_conflict_do_update(index_elements=["identity"], set_=new).returning(
        STEPS.c.seq
    )
    return written


def _statements(insert: Callable[[sa.Table], Any]) -> tuple[sa.Executable, sa.Executable]:
    """What writes whole rows, and what writes the ends of intents."""
    # Of an intent that is there, so that what stands here for the columns that may not be null is never stored.
    never: dict[str, Any] = {name: sa.literal_column("''") for name in ("entry", "place", "kind", "title", "details")}
    end = insert(STEPS).values(**never, started_s=sa.literal_column("0.0"))
    return _upsert(insert(STEPS), (*rows.COLUMNS, "checksum")), _upsert(end, (*rows.END, "checksum"))
