"""What a journal asks of the database that holds it, the same of each. It never opens one.

All but the two databases take SQLAlchemy from here, so that one place says which extra is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from encord_async.errors import MissingExtraError

try:
    import sqlalchemy as sa
except ImportError as error:
    raise MissingExtraError("the journal needs SQLAlchemy: pip install 'encord-async[journal]'") from error

__all__ = ["RESTORE", "Fill", "Owner", "Shard", "Store", "sa"]

RESTORE: Final = "restore it from a backup"

Fill: TypeAlias = Callable[[sa.Connection], None]
"""Makes the tables of a new journal and says in it whose it is."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who writes a journal now."""

    pid: int
    host: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.host else f"process {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of a journal that one process writes while others write other parts.

    Attributes:
        run: Number of the run that the parts belong to, as `Journal.share` gave it.
        name: The same for whoever is given this part; no two of them write at once.
        entries: Identities of its entries; None for one that settles what earlier runs have left open.
    """

    run: int
    name: str
    entries: frozenset[bytes] | None = None


class Store(Protocol):
    """One journal in one kind of database. All but the names may block."""

    name: str
    """Where the journal is, as it may be shown: never with a password."""
    converts: bool
    """Whether a value read is surely of its column's type, or may be what a flipped bit has made of it."""

    def is_absent(self) -> bool:
        """Whether there surely is nothing yet where it is to be, as far as that can be told without connecting."""
        ...

    def insert(self, table: sa.Table, /) -> Any:
        """The database's own ``INSERT``, the one that can update instead."""
        ...

    def open(self, fill: Fill | None) -> sa.Connection:
        """Lock the journal, make it with *fill* if it is not there, and connect; None only reads, and locks nothing.

        Raises:
            JournalBusyError: Another process writes it.
            JournalError: There is none, or it cannot be one.
        """
        ...

    def check(self, connection: sa.Connection) -> str:
        """What the database itself finds damaged, in its words; empty if nothing."""
        ...

    def begin_writing(self, connection: sa.Connection) -> None:
        """Prepare what surely is a journal of ours for being written."""
        ...

    def confirm(self) -> None:
        """See to it that what was committed lies where the next run will look for it.

        Raises:
            JournalError: It does not.
        """
        ...

    def back_up(self, connection: sa.Connection, when: str) -> str:
        """Write all that is in it to a new file that only this user can read; where that lies.

        Args:
            connection: To the journal, which nobody else writes meanwhile.
            when: What tells this backup from others.

        Raises:
            OSError: It cannot be written.
        """
        ...

    def put_back(self, connection: sa.Connection, backup: Path) -> None:
        """Let it say what *backup* says, which `back_up` has written, within the transaction under way.

        Raises:
            JournalError: The file is no such backup.
            UsageError: A backup is put in the place of this one otherwise.
            OSError: It cannot be read.
        """
        ...

    def share(self, connection: sa.Connection, run: int) -> None:
        """Let shards of *run* be written, and nothing else by others, for as long as this one stays open."""
        ...

    def is_cut_off(self) -> bool:
        """Whether what writes it surely is lost, as far as the system knows that by itself; never blocks."""
        ...

    def ask(self, connection: sa.Connection) -> None:
        """Ask for a sign of life.

        Raises:
            JournalError: The run that a shard is a part of is over, or it lies elsewhere, see `confirm`.
        """
        ...

    def owner(self) -> Owner | None:
        """Who writes it now, as far as the lock tells."""
        ...

    def close(self) -> None:
        """Let go of everything; never raises for the database's sake."""
        ...
