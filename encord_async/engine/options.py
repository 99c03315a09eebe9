"""How a manifest is provisioned, how far that is, and what a rehearsal puts in the place of what would write. Data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypedDict

from encord_async.engine.account import Account, Existing, Listed
from encord_async.engine.doubt import Settler
from encord_async.engine.roll import Checked
from encord_async.engine.sending import Sends
from encord_async.engine.ticket import Result, Ticket
from encord_async.errors import UsageError, spelt
from encord_async.journal.record import Ledger
from encord_async.kinds.thing import DatasetAPI, Thing
from encord_async.manifest.selection import NO_SELECTION, Selection
from encord_async.redaction import quoted
from encord_async.secrecy import sealed
from encord_async.session.session import Statistics

__all__ = ["CHANGES", "Changes", "FailureLimit", "Groundwork", "Options", "Progress", "Props"]

_GRACE: Final = 100
"""A share of failures says little before this many entries have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimit:
    """How many entries may fail before a run is stopped: a number, or a share of those that have ended."""

    count: int | None = None
    share: float | None = None

    @classmethod
    @sealed
    def parse(cls, text: str | int) -> Self:
        """Read ``50`` or ``5%``.

        Raises:
            UsageError: Neither.
        """
        plain = str(text).strip()
        try:
            if plain.endswith("%"):
                share = float(plain[:-1]) / 100
                if not 0 <= share <= 1:
                    raise ValueError
                return cls(share=share)
            count = int(plain)
            if count < 0:
                raise ValueError
            return cls(count=count)
        except ValueError:
            raise UsageError(
                f"{quoted(plain)} is no number of failures, nor a share up to 100%; give for example 50 or 5%"
            ) from None

    def exceeded(self, failed: int, ended: int) -> bool:
        """Whether *failed* of *ended* entries are too many."""
        if self.count is not None and failed > self.count:
            return True
        return self.share is not None and ended >= _GRACE and failed > self.share * ended


class Changes(TypedDict, total=False):
    """What a run may change of what is there already, as keywords; see `Options`."""

    replace_roles: bool
    update_ontologies: bool
    prune: bool
    retire: bool
    prune_data: bool | int


CHANGES: Final = tuple(Changes.__annotations__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a manifest is provisioned.

    Attributes:
        existing: What to do about things that are there already.
        dataset_api: Over which API datasets are made and listed; those whose data are not to lie at Encord are made
            over the envelope API in any case.
        max_batch: Most users or datasets in one request.
        settle_s: How long something that happened may take to be seen, in seconds.
        stamp: Put a short mark of the entry into descriptions, by which a look-up finds exactly its own.
        fail_fast: Stop at the first entry that fails.
        max_failures: Stop when more have failed.
        replace_roles: Take out who holds another role than wanted, and add them again, since the API cannot change a
            role; but no Admin, who may be the account itself.
        update_ontologies: Overwrite title, description and structure of ontologies that are otherwise.
        prune: Take out what the account has in things that the manifest has entries for, and no entry wants there.
        retire: Take everybody and all data out of things that an earlier run made and the manifest no longer has, and
            say of them that they are archived, where that can be said.
        prune_data: Take data rows that no entry wants, and with them their labels, out of datasets that the manifest
            has and names data for: just so many, or none; with a plan or a forecast just those that it has named. True
            counts them, which is for a plan alone.
        skip_invalid: Provision the good entries of a manifest that has bad ones.
        selection: Which entries; the rest of the manifest is read and checked, and nothing is done for it.
        lookahead: Most entries read and not finished, those aside that wait for a key no entry so far has, or for
            others to be sent with. No more is read, too, while some thousand things could be made.
        most_lying: Most users, datasets and the like that wait for others to be sent with; few bytes each.
    """

    existing: Existing = Existing.ADOPT
    dataset_api: DatasetAPI = DatasetAPI.REST
    max_batch: int = 1000
    settle_s: float = 60.0
    stamp: bool = False
    fail_fast: bool = False
    max_failures: FailureLimit | None = None
    replace_roles: bool = False
    update_ontologies: bool = False
    prune: bool = False
    retire: bool = False
    prune_data: bool | int = False
    skip_invalid: bool = False
    selection: Selection = NO_SELECTION
    lookahead: int = 10_000
    most_lying: int = 1_500_000

    @classmethod
    def chosen(cls, options: dict[str, Any]) -> Self:
        """Those that decide what is done, taken out of *options*, which say them in words; others have the default."""
        names = ("max_batch", "stamp", "skip_invalid", "selection", *CHANGES)
        return cls(
            existing=Existing(options.pop("existing")),
            dataset_api=DatasetAPI(options.pop("dataset_api")),
            **{name: options.pop(name) for name in names if name in options},
        )

    @property
    def prunes_data(self) -> bool:
        """Whether data rows are taken, be it none."""
        return self.prune_data is not False

    def edits(self, kind: Thing) -> bool:
        """Whether things of *kind* that are there are to follow their entries."""
        return kind.edited_with is not None and bool(getattr(self, kind.edited_with))

    def __post_init__(self) -> None:
        for name in ("max_batch", "lookahead", "most_lying"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")
        for name in ("prune", "retire", "prune_data"):
            if getattr(self, name) is not False and self.skip_invalid:
                raise UsageError(
                    f"{spelt(name, True)} takes what bad entries want: leave out {spelt('skip_invalid', True)}"
                )
        for name in ("retire", "prune_data"):
            if getattr(self, name) is not False and self.selection:
                # What is not chosen may take over what an earlier key of it has made, and nobody has looked.
                given = [spelt(one, text) for one in ("only", "exclude") for text in getattr(self.selection, one)]
                raise UsageError(f"{spelt(name, True)} is about the whole manifest: leave out {' and '.join(given)}")
        if self.prunes_data and (self.prune or self.retire):
            other = spelt("prune" if self.prune else "retire", True)
            raise UsageError(f"{spelt('prune_data', True)} goes by itself: run with {other} before, without it")
        if self.prune_data < 0:
            raise UsageError(f"prune_data is {self.prune_data}; give the number that the plan names")
        if not self.settle_s >= 0:
            raise UsageError(f"settle_s is {self.settle_s}; give seconds, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    entries: int
    """Entries read so far."""
    total: int | None
    """Entries of the whole manifest, if it is a file."""
    ended: int
    """Of all kinds, those aside that a stop has cancelled."""
    failed: int
    """Of entries and removals."""
    statistics: Statistics
    elapsed_s: float
    removals: int = 0
    """What is to be done after the manifest, as far as it is known; see `Summary.removals`."""
    removals_ended: int = 0
    """Those of them that have ended; as for entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groundwork:
    """What a rehearsal has found out, so that the run after it need not find it out again.

    Attributes:
        checked: The manifest's file, read through; used as long as the file is the same.
        listed: What the account held. It is for whoever hands it on to know that it is fresh enough.
        is_agreed: Whether somebody was told what the manifest would make, and has agreed to that and to nothing else.
    """

    checked: Checked | None = None
    listed: Listed = field(default_factory=dict)
    is_agreed: bool = False

    def check_agreed(self, now: Checked) -> None:
        """Hold the manifest, as it was read *now*, to what somebody has agreed to.

        Raises:
            UsageError: It has changed.
        """
        before = self.checked
        if not self.is_agreed or before is None or now is before:
            return
        if now.mark is not None or now.report != before.report:
            raise UsageError(
                "the manifest, a file that it names or its policy was changed after you were told what would be made: "
                "nothing was sent; run it again"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Props:
    """What a rehearsal puts in the place of what a run would make: nothing of it writes, or waits.

    Attributes:
        sends: Answers as the service would, and sends nothing.
        ledger: Knows what earlier runs wrote.
        settler: Looks, and remembers nothing that was only played.
        account: Knows what is there already.
        stamp_key: That of the journal.
        on_end: Told each step with what it ended in.
    """

    sends: Sends
    ledger: Ledger
    settler: Settler
    account: Account
    stamp_key: bytes
    on_end: Callable[[Ticket, Result], None]
