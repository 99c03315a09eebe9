"""Entries on their way from the manifest into the schedule, and what is written down of them. It sends nothing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.resume import Past, recall
from encord_async.engine.schedule import Schedule
from encord_async.journal.record import Ledger, Record
from encord_async.kinds.membership import Membership
from encord_async.kinds.step import Step
from encord_async.kinds.thing import Thing
from encord_async.manifest.checker import Checker
from encord_async.manifest.files import CheckReport, manifest_error, raise_for_problems
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.policy import Policy
from encord_async.manifest.sources import Item, Manifest, is_read_twice

__all__ = ["Taken", "bad_entries", "checker_for", "past_of", "problems_of", "take_in"]


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry on its way into the schedule, or what is wrong with one that never gets there."""

    number: int
    placed: PlacedEntry | None
    identity: bytes
    steps: list[Step]
    problems: tuple[Problem, ...]


def bad_entries(path: str | Path, report: CheckReport, *, skip: bool) -> dict[int, tuple[Problem, ...]]:
    """What is wrong with each bad entry of a file that was checked, as far as that was kept.

    Raises:
        ManifestError: There is one, and such are not to be skipped.
    """
    if not skip:
        raise_for_problems(report.problems, total=report.problem_count)
    bad: dict[int, tuple[Problem, ...]] = {
        number: (Problem(Place(str(path), None, number), "", "is a bad entry"),) for number in report.bad
    }
    return bad | {problem.place.number: (problem,) for problem in report.problems}


def checker_for(manifest: Manifest, *, stamps: bool, policy: Policy) -> Checker:
    """A checker of what a run reads of *manifest*, where *policy* holds."""
    return Checker(stamps=stamps, policy=policy, is_stream=not is_read_twice(manifest))


def problems_of(item: Item, checker: Checker, bad: Mapping[int, tuple[Problem, ...]]) -> tuple[Problem, ...]:
    """What is wrong with the next item of a manifest, by itself or beside others.

    Args:
        item: The item.
        checker: Has seen those before it.
        bad: What was seen when the whole manifest was checked, by `Place.number`: some is only seen then.
    """
    if isinstance(item, tuple):
        for problem in item:
            checker.refuse(problem)
        return item
    return checker.add(item) or bad.get(item.place.number, ())


async def past_of(ledger: Ledger, taken: Iterable[Taken]) -> Past:
    """What is written down of these entries; of their memberships it is asked when they are sent."""
    steps = [step for one in taken for step in one.steps if not isinstance(step.kind, Membership)]
    records = await ledger.known([step.identity for step in steps])
    made = {record.hash for record in records.values() if record.kind.stands_for_entry and record.hash}
    has_moved = ledger.has_moved
    keys = [record.identity for record in records.values() if record.kind.is_inner and has_moved]
    return Past(
        records=records,
        contested=await ledger.contested(keys),
        detached=await ledger.detached(made),
        has_moved=has_moved,
    )


def take_in(
    schedule: Schedule, one: Taken, past: Past, *, began_s: float, edits: Callable[[Thing], bool]
) -> list[Record]:
    """Schedule an entry, or report it at once if it is a bad one; what is to be written of how it was changed."""
    if one.problems:
        schedule.report(_bad(one))
    elif one.placed is not None:
        known = recall(one.placed.entry, one.identity, one.steps, past, began_s=began_s, edits=edits)
        schedule.add(
            one.placed.entry,
            known.steps,
            number=one.number,
            place=str(one.placed.place),
            identity=one.identity,
            known=known.results,
            doubts=known.doubts,
            file=one.placed.file,
            unsure=known.unsure,
        )
        return known.changes
    return []


def _bad(one: Taken) -> Outcome:
    entry = one.placed.entry if one.placed is not None else None
    return Outcome(
        number=one.number,
        place=str(one.problems[0].place),
        kind=entry.kind if entry is not None else "invalid",
        key=entry.key if entry is not None else None,
        status=Status.FAILED,
        error=manifest_error(one.problems),
    )
