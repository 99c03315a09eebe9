"""Files beside a journal that hold what it said before somebody changed it by hand. Nobody else may read them."""

import contextlib
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from encord_async.errors import JournalError
from encord_async.journal.store import sa
from encord_async.journal.tables import METADATA

__all__ = ["new_file", "read_lines", "write_lines"]

_AT_ONCE: Final = 500


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """A descriptor of a new file *path*, which is on the disk once the block has ended well, and is not there else.

    Raises:
        OSError: There is one, or it cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
        os.fsync(descriptor)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def write_lines(connection: sa.Connection, descriptor: int) -> None:
    """Write each row of each table as a JSON object with the name of its table; bytes are in hex."""
    with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as file:
        there = sa.inspect(connection).get_table_names()
        # One of an older version has not all of them.
        for table in (one for one in METADATA.sorted_tables if one.name in there):
            with connection.execute(sa.select(table), execution_options={"yield_per": 1000}) as rows:
                for row in rows.mappings():
                    values = {name: one.hex() if isinstance(one, bytes) else one for name, one in row.items()}
                    file.write(json.dumps({"table": table.name, **values}) + "\n")


def read_lines(connection: sa.Connection, lines: Iterable[str], name: str) -> None:
    """Let the tables hold what `write_lines` has written as *lines*, and nothing else; *name* is that of their file.

    Raises:
        JournalError: Some of them was not written by that.
    """
    for table in reversed(METADATA.sorted_tables):
        connection.execute(sa.delete(table))
    numbered = enumerate(lines, 1)
    while some := list(itertools.islice(numbered, _AT_ONCE)):
        rows = defaultdict[str, list[dict[str, Any]]](list)
        for number, line in some:
            try:
                values = json.loads(line)
                table = METADATA.tables[values.pop("table")]
                rows[table.name].append({one.key: _value(one, values[one.name]) for one in table.columns})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise JournalError(f"{name} is no backup of a journal, or is damaged (line {number})") from error
        for of, values in rows.items():
            connection.execute(sa.insert(METADATA.tables[of]), values)


def _value(column: sa.Column[Any], value: Any) -> Any:
    return bytes.fromhex(value) if isinstance(column.type, sa.LargeBinary) and value is not None else value
