"""How far a piece of work has come: to its end, to halves of it, or to a later time. Data, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from encord_async.engine.ticket import Batch, Result, Ticket
from encord_async.errors import EncordError

__all__ = ["Ended", "Later", "Split", "Verdict"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A result for each step of the work, and the error because of which nothing more may be sent, if there is one."""

    results: Sequence[tuple[Ticket, Result]]
    failure: EncordError | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """The batch was refused as a whole; its halves have to be tried."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Later:
    """To be taken up again at *due_s* on the monotonic clock; *otherwise* is its end if the run is stopped before."""

    due_s: float
    otherwise: Result


Verdict: TypeAlias = Ended | Split | Later
