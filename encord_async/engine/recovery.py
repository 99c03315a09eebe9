"""Settles everything that earlier runs have left open in a journal, entry by entry or not.

Used when a run begins, so that nothing fresh can take what an open create may have made, and by the ``settle``
command. It never creates anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from encord_async.engine.crew import each
from encord_async.engine.doubt import AdoptIt, LeaveIt, SendAgain, Settler, WaitLonger
from encord_async.engine.mixup import mixed_up
from encord_async.engine.outcome import Status
from encord_async.engine.verdict import FATAL
from encord_async.errors import EncordError, UsageError
from encord_async.journal.record import Doubt, Ledger, Record, State
from encord_async.manifest.digests import Seen
from encord_async.redaction import quoted
from encord_async.session.session import Session

__all__ = ["MADE", "NOT_MADE", "NOT_THERE", "check_decisions", "decide_by_hand", "recover"]

_SHORTEST_IDENTITY: Final = 6

MADE: Final = "made"
"""A person's word for something that was made and has no hash: an API key."""
NOT_MADE: Final = "none"
"""A person's word for a step that made nothing."""
NOT_THERE: Final = "NOT_THERE"
"""Code of a step that surely did not happen; the next run sends it."""


async def recover(
    session: Session,
    ledger: Ledger,
    settler: Settler,
    records: Iterable[Record],
    *,
    patient: bool,
    on_settled: Callable[[Record], None] | None = None,
) -> None:
    """Look for what *records* may have made, and write down what is found.

    Args:
        session: For its clock and its bound on what is in flight.
        ledger: Where results go.
        settler: Looks.
        records: Steps that are open.
        patient: Wait the settling time out and come to an end with each; otherwise look once, and leave what is
            not to be seen as it is.
        on_settled: Told each record that has a new state.

    Raises:
        EncordError: The service cannot be asked, or the ledger cannot be written.
    """
    began_s = session.clock.monotonic_s()
    by_name: defaultdict[bytes, list[Record]] = defaultdict(list)
    for record in records:
        by_name[record.name or record.identity].append(record)
    seen = await ledger.seen() if by_name else Seen()
    doubted: list[Record] = []

    async def settle_namesakes(alike: list[Record]) -> None:
        # One after the other: two must not take the same thing.
        for record in alike:
            settled = await _settle(session, settler, record, began_s, patient=patient)
            if settled is not None:
                mixed = await _mixed_up(session, ledger, seen, settled)
                await ledger.write([settled, *mixed])
                doubted.extend(mixed)
                if on_settled is not None:
                    on_settled(settled)

    await each(by_name.values(), settle_namesakes, at_once=session.settings.concurrency)
    if doubted:
        await recover(session, ledger, settler, doubted, patient=patient, on_settled=on_settled)


async def _mixed_up(session: Session, ledger: Ledger, seen: Seen, found: Record) -> list[Record]:
    """Steps that were answered with what *found* is seen to have made, put in doubt: theirs goes by other names."""
    if found.hash is None or seen.add(found.hash):
        return []
    error, details = mixed_up(found.hash), {"candidates": [found.hash]}
    return [
        _closed(
            session,
            replace(other, details={**other.details, **details}),
            State.IN_DOUBT,
            Status.IN_DOUBT,
            message=error.message,
        )
        for other in await ledger.holders(found.hash)
        if other.state is State.DONE and other.identity != found.identity
    ]


def decide_by_hand(session: Session, records: Iterable[Record], entry: str, found: str) -> Record:
    """What a person says of one open step. Sends nothing.

    Args:
        session: For its clock.
        records: The open steps.
        entry: Key or place of the entry, or the first digits of the step's identity.
        found: Hash of the project or dataset that it made; for an API key `MADE`, or the fingerprint of one of its
            candidates; `NOT_MADE` if it made nothing.

    Raises:
        UsageError: No open step, or more than one, answers to *entry*, or *found* does not fit what it makes.
    """
    record = _named(records, entry)
    if found.lower() == NOT_MADE:
        message = "it did not happen, as a person has decided; the next run sends it"
        return _closed(session, record, State.FAILED, Status.FAILED, code=NOT_THERE, message=message)
    return _closed(session, record, State.DONE, Status.CREATED, found_hash=_hash_of(record, found))


async def check_decisions(settler: Settler, ledger: Ledger, decided: Iterable[Record]) -> None:
    """See to it that each hash that a person gave is that of such a thing, and of one step only.

    A wrong hash could not be taken back: the next run would give somebody else's project its datasets and users.

    Raises:
        UsageError: One is not.
        EncordError: The service cannot be asked.
    """
    given: set[str] = set()
    for record in decided:
        if record.hash is None or record.kind.is_inner:
            continue
        taken = {other.hash for other in await ledger.namesakes(record.name or b"") if not other.is_open} | given
        what = f"{record.kind.word} {record.hash}"
        if record.hash in taken:
            raise UsageError(f"{what} is what another entry made; nothing was decided")
        if record.hash not in await settler.look(record):
            raise UsageError(f"the account has no {what} of this title and description; nothing was decided")
        given.add(record.hash)


def _hash_of(record: Record, found: str) -> str | None:
    """What the journal takes *found* for; None if nobody knows which API key it was."""
    is_made = found.lower() == MADE
    if record.kind.is_inner:
        candidates = record.details.get("candidates")
        if is_made or (isinstance(candidates, list) and found in candidates):
            return None if is_made else found
        # Not quoted: somebody may have given the key itself.
        raise UsageError(
            f"an API key has no hash; give {MADE!r} if it was made, {NOT_MADE!r} if it was not, or one of the "
            "candidates that 'encord-async status --json' lists"
        )
    if is_made:
        raise UsageError(f"which {record.kind.word} was made? give its hash instead of {quoted(found)}")
    return found


def _named(records: Iterable[Record], entry: str) -> Record:
    """The one of *records* that *entry* names: key or place of the entry, or first digits of the step's identity."""
    wanted = entry.removeprefix("@")
    fitting = [
        record
        for record in records
        if wanted in {record.key, record.place}
        or (len(wanted) >= _SHORTEST_IDENTITY and record.identity.hex().startswith(wanted.lower()))
    ]
    if not fitting:
        raise UsageError(f"nothing that is in doubt goes by {quoted(entry)}; 'encord-async status' lists what is")
    if len(fitting) > 1:
        numbers = ", ".join(record.identity.hex()[:12] for record in fitting[:10])
        raise UsageError(f"{len(fitting)} steps in doubt go by {quoted(entry)}; name one by its number: {numbers}")
    return fitting[0]


async def _settle(
    session: Session, settler: Settler, record: Record, began_s: float, *, patient: bool
) -> Record | None:
    doubt = Doubt(record=record, since_s=began_s, over=True)
    while True:
        verdict = await _look(settler, doubt)
        match verdict:
            case AdoptIt(hash=found):
                return _closed(session, record, State.DONE, Status.CREATED, found_hash=found)
            case WaitLonger(due_s=due_s) if patient:
                await session.clock.sleep(max(0.0, due_s - session.clock.monotonic_s()))
                doubt = replace(doubt, looks=doubt.looks + 1)
            case LeaveIt(why=why, candidates=candidates) if patient:
                seen = replace(record, details={**record.details, "candidates": list(candidates)})
                return _closed(session, seen, State.IN_DOUBT, Status.IN_DOUBT, message=why)
            case SendAgain() if patient:
                return _closed(
                    session,
                    record,
                    State.FAILED,
                    Status.FAILED,
                    code=NOT_THERE,
                    message="it did not happen; the next run sends it",
                )
            case _:
                return None


async def _look(settler: Settler, doubt: Doubt) -> AdoptIt | WaitLonger | SendAgain | LeaveIt:
    try:
        return await settler.settle(doubt)
    except FATAL:
        raise
    except EncordError as error:
        return settler.not_seen(doubt, error)


def _closed(
    session: Session,
    record: Record,
    state: State,
    status: Status,
    *,
    found_hash: str | None = None,
    code: str | None = None,
    message: str | None = None,
) -> Record:
    return replace(
        record,
        state=state,
        status=status.value,
        hash=found_hash,
        code=code,
        message=message,
        ended_s=session.clock.wall_s(),
    )
