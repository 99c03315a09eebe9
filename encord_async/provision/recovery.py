"""Settles everything that earlier runs have left open in a journal, entry by entry or not.

Used when a run begins, so that nothing fresh can take what an open create may have made, and by the ``settle``
command. It never creates anything.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import anyio

from encord_async.errors import AuthenticationError, EncordError, JournalError, SettingsError, UsageError
from encord_async.provision.ledger import Doubt, Ledger, Record, State
from encord_async.provision.outcome import Status
from encord_async.provision.settle import AdoptIt, LeaveIt, SendAgain, Settler, WaitLonger
from encord_async.session.session import Session

__all__ = ["NOT_THERE", "decide_by_hand", "recover"]

_SHORTEST_IDENTITY: Final = 6

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
    # Namesakes one after the other: two must not take the same thing.
    groups = deque(by_name.values())

    failures: list[EncordError] = []

    async def work() -> None:
        try:
            while groups:
                for record in groups.popleft():
                    settled = await _settle(session, settler, record, began_s, patient=patient)
                    if settled is not None:
                        await ledger.write([settled])
                        if on_settled is not None:
                            on_settled(settled)
        except EncordError as error:
            # Let go through the group, it would come out inside an ExceptionGroup.
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(min(len(groups), session.settings.concurrency)):
            group.start_soon(work)
    if failures:
        raise failures[0]


def decide_by_hand(session: Session, records: Iterable[Record], entry: str, found: str) -> Record:
    """What a person says of one open step: *found* is what it made, or ``none`` if it made nothing.

    Args:
        session: For its clock.
        records: The open steps.
        entry: Key or place of the entry, or the first digits of the step's identity.
        found: Hash of a project or dataset; for an API key any word but ``none``.

    Raises:
        UsageError: No open step, or more than one, answers to *entry*.
    """
    wanted = entry.removeprefix("@")
    fitting = [
        record
        for record in records
        if wanted in {record.key, record.place}
        or (len(wanted) >= _SHORTEST_IDENTITY and record.identity.hex().startswith(wanted.lower()))
    ]
    if not fitting:
        raise UsageError(f"nothing that is in doubt goes by {entry!r}; 'encord-async status' lists what is")
    if len(fitting) > 1:
        numbers = ", ".join(record.identity.hex()[:12] for record in fitting[:10])
        raise UsageError(f"{len(fitting)} steps in doubt go by {entry!r}; name one by its number: {numbers}")
    if found.lower() == "none":
        return _closed(
            session,
            fitting[0],
            State.FAILED,
            Status.FAILED,
            code=NOT_THERE,
            message="it did not happen, as a person has decided; the next run sends it",
        )
    return _closed(session, fitting[0], State.DONE, Status.CREATED, found_hash=found)


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
                return _closed(session, seen, State.IN_DOUBT, Status.IN_DOUBT, message=f"in doubt: {why}")
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
    except (AuthenticationError, SettingsError, JournalError):
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
