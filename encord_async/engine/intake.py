"""Entries on their way from the manifest into the schedule, and what is written down of them. It sends nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome
from encord_async.engine.resume import Past, recall
from encord_async.engine.roll import Register
from encord_async.engine.schedule import Schedule
from encord_async.errors import EncordError
from encord_async.journal.record import Ledger, Record, Word
from encord_async.kinds.membership import Membership
from encord_async.kinds.namer import Namer
from encord_async.kinds.step import Step
from encord_async.kinds.thing import Admission
from encord_async.manifest.checker import Checker, Passed
from encord_async.manifest.files import CheckReport, manifest_error, raise_for_problems
from encord_async.manifest.part import GivenNames
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.policy import Policy
from encord_async.manifest.sources import Item, Manifest, is_read_twice

__all__ = ["Intake", "Taken", "bad_entries", "checker_for", "problems_of"]

_Said: TypeAlias = tuple[Step, tuple[str, str], bytes]
"""A step that gives or takes, what it is about and its item, and what a ledger has that membership under."""


class Taken(NamedTuple):
    """An entry on its way into the schedule, or what is wrong with one that never gets there.

    Without an identity, which its steps lack then, too, while nobody needs to know it: most entries of a manifest that
    is done already are gone before.
    """

    number: int
    placed: PlacedEntry | None
    identity: bytes
    steps: list[Step]
    problems: tuple[Problem, ...]


class Intake:
    """Takes what a manifest holds into the schedule: checked, named, and compared with what is written down of it.

    Args:
        schedule: Where entries go.
        ledger: What is written down of them.
        register: Tells which have to wait until all is read.
        options: Of the run.
        fail: Is told what stops the run.

    Attributes:
        entries: How many were taken in.
        position: How many the manifest has, as far as it was read.
        aside: Those that wait until it is known who has gone.
        checker: Tells what is wrong between them.
        namer: Gives them their identity.
        bad: What is known to be wrong with entries that come, by their number.
        began_s: When the run began, on the monotonic clock.
    """

    def __init__(
        self,
        schedule: Schedule,
        ledger: Ledger,
        register: Register,
        options: Options,
        *,
        fail: Callable[[EncordError, str], None],
    ) -> None:
        self._schedule = schedule
        self._ledger = ledger
        self._register = register
        self._options = options
        self._fail = fail
        self.checker: Checker | Passed = Checker(stamps=options.stamp)
        self.namer: Namer | GivenNames = Namer()
        self.entries = self.position = 0
        self.aside: list[Taken] = []
        self.bad: Mapping[int, tuple[Problem, ...]] = {}
        self.began_s = 0.0

    async def take_in(self, items: Iterable[Item]) -> None:
        """Add *items* to the schedule, up to the first bad one if that stops the run."""
        taken: list[Taken] = []
        bad: tuple[Problem, ...] = ()
        for item in items:
            bad = problems_of(item, self.checker, self.bad)
            self.position += 1
            if not bad and isinstance(item, PlacedEntry):
                one = self._good(item)
            elif self._options.skip_invalid and bad[0].place.number > 0:
                one = Taken(self.position, item if isinstance(item, PlacedEntry) else None, b"", [], bad)
                bad = ()
            else:
                break
            if self._register.choice.has(item):
                taken.append(one)
            elif isinstance(item, PlacedEntry):
                self._schedule.pass_over(one.steps, item.entry.key)
        if not await self._add_all(taken):
            return
        bad += () if self._options.skip_invalid else self.checker.take_late()
        if bad:
            self._fail(manifest_error(bad), "a bad entry in the manifest")

    def _good(self, placed: PlacedEntry) -> Taken:
        entry, position = placed.entry, self.position
        if not self._ledger.is_new and self.namer.can_wait(entry):
            steps = list(entry.steps(b""))
            if all(map(_is_plain, steps)):
                self._register.add(entry, b"", steps)
                return Taken(position, placed, b"", steps, ())
        identity = self.namer.identity(entry)
        self._register.add(entry, identity)
        return Taken(position, placed, identity, list(entry.steps(identity)), ())

    def _identified(self, one: Taken) -> Taken:
        if one.identity or one.placed is None or one.problems:
            return one
        identity = self.namer.identity(one.placed.entry)
        return one._replace(identity=identity, steps=list(one.placed.entry.steps(identity)))

    async def close(self, *, is_whole: bool) -> list[Taken]:
        """Nothing more comes, if *is_whole* because all was read: what was put aside, for `add_again`."""
        rest, self.aside = self.aside, []
        try:
            await self._register.close(is_whole=is_whole)
        except EncordError as error:
            self._fail(error, "the journal cannot be written")
        return rest

    async def add_again(self, taken: Sequence[Taken]) -> None:
        """Add what was put aside; it was counted, and has to end in an outcome whatever the journal says."""
        await self._add_all(taken, again=True)

    async def _has_to_wait(self, one: Taken, past: Past) -> bool:
        if one.placed is None or one.problems:
            return False
        return await self._register.has_to_wait(one.placed.entry, one.identity, past.records)

    async def _add_all(self, taken: Sequence[Taken], *, again: bool = False) -> bool:
        """Schedule entries, but for those put aside; whether the journal could be asked about them.

        Those taken in *again* have been counted, and have to end in an outcome whatever the journal says.
        """
        past, waiting, changes = Past(), set[int](), list[Record]()
        try:
            past = await _past_of(self._ledger, taken)
            if self._register.is_open:
                waiting = {one.number for one in taken if await self._has_to_wait(one, past)}
        except EncordError as error:
            self._fail(error, "the journal cannot be read")
            if not again:
                return False
        if not again:
            self.entries += len(taken)
        asked: list[tuple[Taken, list[_Said]]] = []
        for one in taken:
            if one.number in waiting:
                self.aside.append(one)
            elif not self._ledger.is_new and (said := self._said(one)):
                asked.append((one, said))
            else:
                changes += self._take_in(one, past)
        for one in await self._not_done(asked):
            changes += self._take_in(one, past)
        try:
            if changes:
                await self._ledger.write(changes)
        except EncordError as error:
            self._fail(error, "the journal cannot be written")
        return True

    def _said(self, one: Taken) -> list[_Said]:
        """What *one* says, if that is of memberships alone and it is known of which; else nothing."""
        if one.placed is None or one.problems or not one.placed.entry.heeds_journal:
            return []
        found: list[_Said] = []
        for step in one.steps:
            # All steps of one without an identity are known to be plain.
            if not isinstance(step.kind, Membership) or (one.identity and not _is_plain(step)):
                return []
            names = self._schedule.named(step)
            if names is None:
                return []
            found.append((step, names, step.kind.relation.identity(*names)))
        return found

    async def _not_done(self, asked: Sequence[tuple[Taken, list[_Said]]]) -> list[Taken]:
        """Let those end of which the ledger says that all is done; the others are left."""
        if not asked:
            return []
        try:
            words = await self._ledger.words([identity for _, said in asked for *_, identity in said])
        except EncordError as error:
            self._fail(error, "the journal cannot be read")
            words = {}
        left: list[Taken] = []
        for one, said in asked:
            placed = one.placed
            if placed is None or not all(_is_done(step, words.get(identity)) for step, _, identity in said):
                left.append(one)
                continue
            _, (about, _), _ = said[0]
            self._schedule.add_done(
                placed.entry, one.steps, about=about, number=one.number, place=str(placed.place), file=placed.file
            )
        return left

    def _take_in(self, taken: Taken, past: Past) -> Sequence[Record]:
        """Schedule an entry, or report it at once if it is a bad one; what is to be written of how it was changed."""
        one = self._identified(taken)
        if one.problems:
            self._schedule.report(Outcome.refused(one.number, one.placed, one.problems))
        elif one.placed is not None:
            entry = one.placed.entry
            known = recall(entry, one.identity, one.steps, past, began_s=self.began_s, edits=self._options.edits)
            self._schedule.add(
                entry,
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
        return ()


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


def problems_of(item: Item, checker: Checker | Passed, bad: Mapping[int, tuple[Problem, ...]]) -> tuple[Problem, ...]:
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


async def _past_of(ledger: Ledger, taken: Sequence[Taken]) -> Past:
    """What is written down of these entries; of their memberships it is asked when they are sent."""
    steps = [step for one in taken for step in one.steps if not isinstance(step.kind, Membership)]
    former = [] if ledger.is_new else [step for one in taken for step in _former(one)]
    records = await ledger.known([*(step.identity for step in steps), *former])
    made = {record.hash for record in records.values() if record.kind.stands_for_entry and record.hash}
    has_moved = ledger.has_moved
    keys = [record.identity for record in records.values() if record.kind.is_inner and has_moved]
    return Past(
        records=records,
        contested=await ledger.contested(keys),
        detached=await ledger.detached(made),
        has_moved=has_moved,
    )


def _former(one: Taken) -> Iterator[bytes]:
    """Identities of the steps that *one* had if it let somebody in otherwise."""
    for step in one.steps:
        if isinstance(step.kind, Admission) and one.placed is not None and one.placed.entry.key is not None:
            yield from step.kind.former(one.placed.entry, one.identity)


def _is_plain(step: Step) -> bool:
    """Whether *step* gives or takes, and nothing is known of it once it is done but that."""
    is_at_once = isinstance(step.kind, Membership) and step.kind.relation.is_at_once
    return is_at_once and step.load is None and not step.comes_last


def _is_done(step: Step, word: Word | None) -> bool:
    return word is not None and word.says(step)
