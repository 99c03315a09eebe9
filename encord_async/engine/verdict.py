"""How far a piece of work has come: to its end, halves of it, a later time, a request. Data, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from encord_async.engine.making import Making
from encord_async.engine.ticket import Batch, Result, Ticket
from encord_async.errors import AuthenticationError, EncordError, JournalError, SettingsError
from encord_async.journal.record import Record
from encord_async.protocol.request import Request

__all__ = ["FATAL", "Ended", "Later", "Sending", "Split", "Verdict"]

FATAL: Final = (AuthenticationError, SettingsError, JournalError)
"""No other work fares better: the credential is not accepted, the service not reached, or the ledger not written."""


class Ended(NamedTuple):
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


@dataclass(slots=True, eq=False)
class Sending:
    """A create: to be written down, then sent; and once it is answered to be written down again.

    Attributes:
        ticket: The step.
        making: What is made.
        request: What is sent.
        intent: What has to be written down before that.
        note: What is to be written down next: the intent, or how it ended.
        sent_s: When it was sent, on the monotonic clock.
        is_new: Whether nothing else is known to have been answered so, as it was when the answer came.
        mistaken: What the answer is known by that came to a create of another kind before; see `Creates.mistaken`.
        made: The hash that the service answered with, once it has.
    """

    ticket: Ticket
    making: Making
    request: Request
    intent: Record
    note: Record
    sent_s: float = 0.0
    is_new: bool = False
    mistaken: str = ""
    made: str | None = None


Verdict: TypeAlias = Ended | Split | Later | Sending
