"""Settles what is in doubt: a create that was, or may have been, sent and whose answer never came.

`decide` is the rule, as a pure function. `Settler` looks things up and asks it. Nothing here creates anything.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from encord_async.errors import EncordError, UncertainError
from encord_async.journal.record import Doubt, Ledger, Record
from encord_async.kinds.thing import Creates, Sought
from encord_async.redaction import quoted
from encord_async.session.session import Session

__all__ = [
    "AdoptIt",
    "LeaveIt",
    "SendAgain",
    "Settler",
    "Verdict",
    "WaitLonger",
    "decide",
    "left_error",
]

_FIRST_LOOK_S: Final = 0.5
"""Looks follow the first after this long, then twice as long, and so on until the settling time is over."""

_SHOWN_CANDIDATES: Final = 20

_WITNESSES: Final = 8
"""In one settling time so many things of a kind are remembered to try listings with."""


@dataclass(frozen=True, slots=True)
class AdoptIt:
    """It happened: this is it."""

    hash: str


@dataclass(frozen=True, slots=True)
class WaitLonger:
    """It is not to be seen, but may still come; look again then."""

    due_s: float


@dataclass(frozen=True, slots=True)
class SendAgain:
    """It surely did not happen."""


@dataclass(frozen=True, slots=True)
class LeaveIt:
    """Nobody but a person can tell."""

    why: str
    candidates: tuple[str, ...] = ()


Verdict: TypeAlias = AdoptIt | WaitLonger | SendAgain | LeaveIt


def decide(
    doubt: Doubt,
    candidates: Sequence[str],
    *,
    rivals: int,
    now_s: float,
    settle_s: float,
    unlike: Sequence[str] = (),
    listing_is_fresh: bool = True,
) -> Verdict:
    """What becomes of a create in doubt.

    A request that the service itself answered is over, and what cannot be seen when the settling time has passed did
    not happen. One that got no answer, or only a proxy's, may still be at work at the service however long one waits:
    it is left in doubt, and a later run, whose own settling time begins when it does, may send it again.

    Args:
        doubt: The create.
        candidates: What was found that it may have made and that nobody else is known to have made.
        unlike: What goes by its name as well, but does not show what was sent; nobody can tell what became of it since.
        rivals: How many creates in doubt of exactly this wish there are, itself included. Any of their results
            serves any of them.
        now_s: Time on the monotonic clock.
        settle_s: How long something that happened may take to be seen.
        listing_is_fresh: Whether listings show what was made after the doubt arose.
    """
    if 0 < len(candidates) <= rivals:
        return AdoptIt(candidates[0])
    title = quoted(doubt.record.title)
    if candidates:
        why = f"{len(candidates)} {doubt.record.kind.plural} {title} could be what this entry made"
        return LeaveIt(why, tuple(candidates[:_SHOWN_CANDIDATES]))
    settled_s = doubt.since_s + settle_s
    if now_s < settled_s:
        return WaitLonger(min(settled_s, now_s + _FIRST_LOOK_S * 2.0 ** min(doubt.looks, 20)))
    if unlike:
        return LeaveIt(
            f"something called {title} is there, but not as it was sent, so that nobody can tell whether this is it",
            tuple(unlike[:_SHOWN_CANDIDATES]),
        )
    if not listing_is_fresh:
        return LeaveIt("listings lag behind what was made, so that its absence proves nothing")
    if not doubt.over:
        return LeaveIt("no answer of the service came, and it is not to be seen; run again later, or settle it by hand")
    return SendAgain()


@dataclass(frozen=True, slots=True)
class _Witness:
    """Something that this run has made for certain, and a moment before which it cannot have been there."""

    since_s: float
    record: Record
    hash: str


class Settler:
    """Looks up what creates in doubt may have made.

    Args:
        session: Reads.
        ledger: Knows what belongs to whom.
        settle_s: How long something that happened may take to be seen, in seconds.
    """

    def __init__(self, session: Session, ledger: Ledger, *, settle_s: float) -> None:
        self._session = session
        self._ledger = ledger
        self._settle_s = settle_s
        self._witnesses: defaultdict[object, deque[_Witness]] = defaultdict(lambda: deque(maxlen=2 * _WITNESSES))

    def saw_created(self, record: Record, made: str, *, sent_s: float) -> None:
        """Remember something that surely is there, to tell whether listings are fresh.

        Args:
            record: How it was made.
            made: Its hash.
            sent_s: When its creation was sent, on the monotonic clock. What came into doubt before that moment has to
                be shown by any listing that shows this.
        """
        witnesses = self._witnesses[_listing(record)]
        if not witnesses or sent_s - witnesses[-1].since_s >= self._settle_s / _WITNESSES:
            witnesses.append(_Witness(sent_s, record, made))

    async def settle(self, doubt: Doubt) -> Verdict:
        """Look once and decide. The caller sees to it that no namesake is being created meanwhile.

        Raises:
            EncordError: The look-up failed.
        """
        record = doubt.record
        kind, sought = _maker_of(record), _sought(record)
        # Namesakes of another description can be told apart, as stamps see to it.
        description, alike = record.details.get("description"), await self._ledger.namesakes(record.name or b"")
        namesakes = [other for other in alike if other.details.get("description") == description]
        taken = {other.hash for other in namesakes if other.hash is not None and not other.is_open}
        baseline = record.details.get("baseline")
        if isinstance(baseline, list):
            taken |= set(baseline)
        named = {found: item for found, item in (await self._named(record)).items() if found not in taken}
        rivals = [other for other in namesakes if other.is_open and other.request == record.request]
        unlike = [other for other in namesakes if other.is_open and other.request != record.request]
        if named and unlike:
            if not all(_maker_of(one).is_told_by_contents(one.details) for one in (record, *unlike)):
                why = "others of its name are in doubt as well, and nothing tells them apart"
                return LeaveIt(why, tuple(named)[:_SHOWN_CANDIDATES])
            named = {found: item for found, item in named.items() if await kind.fits(self._session, sought, found)}
        shows = {found: await kind.shows(self._session, sought, item) for found, item in named.items()}
        candidates, others = ([found for found, it in shows.items() if it is wanted] for wanted in (True, None))
        now_s = self._session.clock.monotonic_s()
        verdict = decide(
            doubt, candidates, rivals=max(1, len(rivals)), now_s=now_s, settle_s=self._settle_s, unlike=others
        )
        if isinstance(verdict, SendAgain) and not await self._listing_is_fresh(doubt):
            return decide(doubt, (), rivals=1, now_s=now_s, settle_s=self._settle_s, listing_is_fresh=False)
        return verdict

    def not_seen(self, doubt: Doubt, error: EncordError) -> WaitLonger | LeaveIt:
        """What follows when the look-up itself failed: nothing was learned."""
        verdict = decide(doubt, (), rivals=1, now_s=self._session.clock.monotonic_s(), settle_s=self._settle_s)
        return verdict if isinstance(verdict, WaitLonger) else LeaveIt(f"it could not be looked up: {error.message}")

    async def look(self, record: Record) -> list[str]:
        """Hashes of all that goes by exactly the name of *record* and may be the caller's own making.

        Raises:
            EncordError: The look-up failed.
        """
        return list(await self._named(record))

    async def _named(self, record: Record) -> Mapping[str, object]:
        """What `look` finds, by hash: a listing whose pages shift may show one thing twice."""
        return await _maker_of(record).look_up(self._session, _sought(record))

    async def _listing_is_fresh(self, doubt: Doubt) -> bool:
        """Whether a listing shows what was made after the doubt arose, if there is anything."""
        same = self._witnesses.get(_listing(doubt.record), ())
        others = (one for witnesses in self._witnesses.values() for one in witnesses)
        # The oldest: a younger one may be missing from a listing that is fresh enough for what is looked for.
        # If there is none of its own listing, one of another: they are views of one account.
        witness = next((one for one in (*same, *others) if one.since_s >= doubt.since_s), None)
        return witness is None or witness.hash in await self.look(witness.record)


def _listing(record: Record) -> object:
    """In which listing *record* would be seen."""
    return record.kind, record.details.get("api")


def _maker_of(record: Record) -> Creates:
    if not isinstance(record.kind, Creates):
        raise AssertionError(f"{record.kind.word} steps make nothing")
    return record.kind


def _sought(record: Record) -> Sought:
    return Sought(title=record.title, parent_hash=record.parent_hash, details=record.details)


def left_error(doubt: Doubt, verdict: LeaveIt) -> UncertainError:
    """How a step ends that is left in doubt."""
    error = UncertainError(verdict.why)
    if doubt.error is not None:
        error.code, error.http_status, error.trace_id = (
            doubt.error.code,
            doubt.error.http_status,
            doubt.error.trace_id,
        )
    return error
