"""What a run of a manifest would do: the run itself, rehearsed. Reads the account and the journal, changes nothing.

`plan` is the run with a session that only reads (`engine.rehearsal`) and a ledger that forgets, so that it decides as
the run does, for the same reasons, in the same words. Actions are handed out as entries end and are not kept.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeAlias, cast

from encord_async.engine.moves import Moved
from encord_async.engine.options import Groundwork, Options, Props
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.rehearsal import Audience, Overlay, Rehearsal, is_new
from encord_async.engine.rehearsed_files import Load
from encord_async.engine.run import Run
from encord_async.engine.sequel import Sequel
from encord_async.engine.ticket import Result, Ticket, Wish
from encord_async.errors import ManifestError
from encord_async.journal.record import Record
from encord_async.journal.taken_off import NOTHING_LEFT, NOTHING_TAKEN_OFF, Leftover, TakenOffs
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.files import Portion
from encord_async.kinds.membership import Membership, role_name
from encord_async.kinds.picked import Picked
from encord_async.kinds.registry import step_kinds
from encord_async.kinds.thing import Admission, Thing
from encord_async.manifest.place import Problem
from encord_async.manifest.selection import NONE_LEFT, Included, NotChosen
from encord_async.manifest.sources import Manifest
from encord_async.session.session import Session

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal

__all__ = ["Action", "Decided", "Forecast", "Gone", "Verb", "plan"]


class Verb(StrEnum):
    """What would be done."""

    CREATE = "create"
    """Make it."""
    ADOPT = "adopt"
    """Take what is there already as ours."""
    ADD = "add"
    """Give to a project, a group or the organisation."""
    REMOVE = "remove"
    """Take from a project."""
    CHANGE = "change"
    """Set to another value, as the status of a project or the role of a user."""
    SETTLE = "settle"
    """An earlier run left it in doubt: it is looked for first, and made only if it surely is not there."""
    MOVE = "move"
    """Give to another key what one has made: in the journal alone."""
    KEEP = "keep"
    """It is so already. Counted, and not handed out as an action."""
    REFUSE = "refuse"
    """The entry would fail, or what it needs would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that would be done for an entry.

    Attributes:
        number: Position of the entry in the manifest, from 1.
        place: Where it stands, for people.
        verb: What would be done.
        what: To what.
        items: Titles, references or e-mail addresses.
        project: The project or group it would be done in, as the manifest names it.
        hash: Hash of what is there already.
        role: The role, for users and groups.
        was: The role that it takes the place of.
        overwrites: What of something that is there would be overwritten, in words.
        file: The file that a part of it was read from, as the manifest names it.
        to: The key that takes over what the one in *items* has made.
        code: Why it is refused, as a word for programs, where there is one.
        reason: Why it is refused, as the run would say it.
        amount: How many things that are, where *items* does not name each.
        title: The title of what *project* is the hash of, where that is known.
        item_titles: The titles of those of *items* that are hashes, where any is known; nothing of the others.
    """

    number: int
    place: str
    verb: Verb
    what: str
    items: tuple[str, ...]
    project: str | None = None
    hash: str | None = None
    role: str | None = None
    was: str | None = None
    overwrites: tuple[str, ...] = ()
    file: str | None = None
    to: str | None = None
    code: str | None = None
    reason: str | None = None
    amount: int | None = None
    title: str | None = None
    item_titles: tuple[str | None, ...] = ()

    @property
    def count(self) -> int:
        """How many things it is done to."""
        return len(self.items) if self.amount is None else self.amount

    def titled(self, titles: Mapping[str, str]) -> Self:
        """It with the titles of what it is done in and to, as far as they are among *titles*, which are by hash."""
        found = tuple(map(titles.get, self.items))
        item_titles = found if any(one is not None for one in found) else ()
        return replace(self, title=titles.get(self.project or ""), item_titles=item_titles)

    @property
    def named(self) -> tuple[str, ...]:
        """*items* for people, with their titles where they are hashes."""
        if not self.item_titles:
            return self.items
        both = zip(self.items, self.item_titles, strict=True)
        return tuple(item if title is None else f"{title} ({item})" for item, title in both)

    def as_json(self) -> dict[str, object]:
        """A JSON object with the members that say something."""
        shown = {one.name: getattr(self, one.name) for one in fields(self)}
        shown = {"action" if name == "verb" else name: said for name, said in shown.items() if said not in {None, ()}}
        return {name: list(said) if isinstance(said, tuple) else said for name, said in shown.items()}


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of one step, in short; *found* is the hash of what would be adopted."""

    verb: Verb
    found: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Something that the journal knows as made, and the manifest no longer wishes for.

    Attributes:
        what: What it is, as plans have it for programs.
        title: Its title.
        key: Key of the entry that it was made for, if that had one.
        hash: Its hash.
        is_at_rest: Whether a run that retires has nothing left to do about it, as far as the journal says.
        keys: Titles of the API keys that were made in it, and go on working whatever is done about it.
    """

    what: str
    title: str
    key: str | None
    hash: str
    is_at_rest: bool = False
    keys: tuple[str, ...] = ()

    @classmethod
    def all_of(cls, records: Sequence[Record], leftovers: Mapping[str, Leftover]) -> list[Self]:
        """What *records* say was made, with what is left in it."""
        left = [leftovers.get(record.hash or "", NOTHING_LEFT) for record in records]
        return [
            cls(
                what=record.kind.what,
                title=record.title,
                key=record.key,
                hash=record.hash or "",
                is_at_rest=one.is_at_rest,
                keys=one.keys,
            )
            for record, one in zip(records, left, strict=True)
        ]

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return asdict(self)


@dataclass(slots=True)
class Forecast:
    """The sums of a plan.

    Attributes:
        entries: How many entries the manifest has.
        counts: How many things of which sort would be made, adopted and so on.
        gone: What the manifest no longer wishes for; of a part of the manifest nothing is said of that.
        taken_off: What was put into things, and no entry says any more; as well.
        retired: From how many things of that something would be taken.
        rows: How many data rows would be removed, with their labels; see `Options.prune_data`.
        rows_digest: A name for which these are; None if that was not asked for.
        included: What those that are chosen need, and nobody has chosen.
        not_chosen: What is about those that are chosen, and is not chosen with them.
        warnings: What should be known of the entries, though nothing is wrong with them.
        groundwork: What the run need not find out again.
    """

    entries: int = 0
    counts: Counter[tuple[Verb, str]] = field(default_factory=Counter)
    gone: list[Gone] = field(default_factory=list)
    taken_off: TakenOffs = NOTHING_TAKEN_OFF
    retired: int = 0
    rows: int = 0
    rows_digest: str | None = field(default=None, repr=False)
    included: tuple[Included, ...] = ()
    not_chosen: NotChosen = NONE_LEFT
    warnings: tuple[Problem, ...] = ()
    groundwork: Groundwork = field(default_factory=Groundwork, repr=False, compare=False)

    def count(self, verb: Verb, what: str | None = None) -> int:
        """How often *verb* would be done, to *what* or to anything."""
        return sum(number for (one, sort), number in self.counts.items() if one is verb and what in {None, sort})

    def irreversible_counts(self) -> dict[str, int]:
        """How many things of which sort would be made that this API cannot unmake; of those in doubt, may be."""
        sorts = [kind.what for kind in step_kinds() if kind.is_irreversible]
        made = {what: self.counts[Verb.CREATE, what] + self.counts[Verb.SETTLE, what] for what in sorts}
        return {what: number for what, number in made.items() if number}

    @property
    def irreversible(self) -> int:
        """How many of these there are."""
        return sum(self.irreversible_counts().values())

    @property
    def changes(self) -> bool:
        """Whether anything would change, or fail to."""
        return any(number for (verb, _), number in self.counts.items() if verb is not Verb.KEEP)

    def as_json(self) -> dict[str, dict[str, int]]:
        """Numbers by verb and sort of thing."""
        shown: dict[str, dict[str, int]] = {}
        sorts_of_things = dict.fromkeys((*(kind.what for kind in step_kinds()), _BAD_ENTRY))
        for verb in Verb:
            sorts = {what: self.counts[verb, what] for what in sorts_of_things if self.counts[verb, what]}
            if sorts:
                shown[verb.value] = sorts
        return shown


async def plan(
    session: Session,
    manifest: Manifest,
    options: Options | None = None,
    *,
    journal: "Journal | None" = None,
    on_action: Callable[[Action], None] = lambda _: None,
    on_step: Callable[[bytes, Decided], None] = lambda _identity, _decided: None,
    on_read: Callable[[], None] = lambda: None,
    sequel: Sequel | None = None,
) -> Forecast:
    """Find out what a run would do; only reads are sent.

    Args:
        session: Reads.
        manifest: As for a run.
        options: As for the run.
        journal: That of the run, opened to read only; None for one that is not there yet.
        on_action: Is given each action as entries end, in no particular order.
        on_step: Is given the identity of each step that does not stay as it is, and what becomes of it.
        on_read: Is told of each thing of the account that is read.
        sequel: What the run does after the manifest.

    Raises:
        ManifestError: There is a bad entry; a file is checked before anything is sent.
        JournalMismatchError: The journal belongs to another account or domain.
        EncordError: The account or the journal cannot be read.
    """
    await _check_owner(session, journal)
    # A look-up that finds nothing now ends the doubt: the run would wait, and then look again.
    options = replace(options or Options(), settle_s=0.0, fail_fast=False, max_failures=None)
    rehearsal = Rehearsal(session, dataset_api=options.dataset_api, on_read=on_read)
    ledger = Overlay(journal)
    plotter = _Plotter(rehearsal, ledger, on_step)
    played = cast("Session", rehearsal)
    props = _props(rehearsal, ledger, plotter, journal)
    run = Run(played, manifest, options, journal=None, props=props, sequel=sequel)
    forecast = Forecast()
    async with run:
        _hand_out(map(_of_move, run.register.moved), forecast, on_action)
        async for outcome in run:
            _hand_out(plotter.actions(outcome), forecast, on_action)
            if rehearsal.failure is not None:
                raise rehearsal.failure
    forecast.entries, forecast.warnings, forecast.groundwork = run.summary.entries, run.warnings, run.groundwork
    forecast.included, forecast.not_chosen = run.register.choice.included, run.register.choice.not_chosen
    gone = await run.register.gone()
    forecast.gone = Gone.all_of(gone, await run.register.leftovers(gone))
    forecast.taken_off = await run.register.taken_off()
    return forecast


def _props(rehearsal: Rehearsal, ledger: Overlay, plotter: "_Plotter", journal: "Journal | None") -> Props:
    return Props(
        sends=rehearsal,
        ledger=ledger,
        settler=Audience(cast("Session", rehearsal), ledger, settle_s=0.0),
        account=rehearsal.account,
        stamp_key=os.urandom(16) if journal is None else journal.stamp_key,
        on_end=plotter.note,
    )


async def _check_owner(session: Session, journal: "Journal | None") -> None:
    """Refuse the journal of another account, as the run would."""
    from encord_async.journal.opening import Identity, check_owner

    if journal is not None:
        check_owner(journal.name, await journal.about(), Identity(session.settings.domain, session.identity))


def _of_move(one: Moved) -> Action:
    return Action(
        number=one.number,
        place=one.place,
        verb=Verb.MOVE,
        what=one.kind,
        items=(f"@{one.old}",),
        hash=one.hash,
        to=f"@{one.new}",
    )


def _of_bad_entry(outcome: Outcome, error: ManifestError) -> Action:
    """What is said of an entry that is bad, and skipped: the run ends it as failed."""
    reasons = [one.said for one in error.problems if isinstance(one, Problem)]
    return Action(
        number=outcome.number,
        place=outcome.place,
        verb=Verb.REFUSE,
        what=_BAD_ENTRY,
        items=(outcome.kind if outcome.key is None else f"{outcome.kind} @{outcome.key}",),
        reason="; ".join(reasons),
    )


def _hand_out(actions: Iterable[Action], forecast: Forecast, on_action: Callable[[Action], None]) -> None:
    for action in actions:
        forecast.counts[action.verb, action.what] += action.count
        if action.verb is not Verb.KEEP:
            on_action(action)


def _together(actions: Iterable[Action]) -> Iterator[Action]:
    """*actions*, those that differ in nothing but their items as one."""
    alike: dict[Action, list[str]] = {}
    for action in actions:
        alike.setdefault(replace(action, items=()), []).extend(action.items)
    return (replace(action, items=tuple(items)) for action, items in alike.items())


_Ended: TypeAlias = tuple[Ticket, Result]


class _Ending(NamedTuple):
    """How a step ended, what that is in a plan, the role that it takes the place of, and what it overwrites."""

    ticket: Ticket
    result: Result
    verb: Verb
    was: str | None = None
    overwrites: tuple[str, ...] = ()


class _Plotter:
    """Notes how steps end in a rehearsal, and says as actions what that means."""

    def __init__(self, rehearsal: Rehearsal, ledger: Overlay, on_step: Callable[[bytes, Decided], None]) -> None:
        self._rehearsal = rehearsal
        self._ledger = ledger
        self._on_step = on_step
        self._ended: defaultdict[int, list[_Ended]] = defaultdict(list)

    def note(self, ticket: Ticket, result: Result) -> None:
        """A step has ended."""
        self._ended[ticket.wish.number].append((ticket, result))

    def actions(self, outcome: Outcome) -> Iterator[Action]:
        """What all that has ended of an entry means: alike things together, in the order of its steps."""
        if isinstance(outcome.error, ManifestError):
            # It is skipped, and none of its steps is tried.
            yield _of_bad_entry(outcome, outcome.error)
        ended = [self._ending(ticket, result) for ticket, result in _in_order(self._ended.pop(outcome.number, []))]
        for ticket, result, verb, *_ in ended:
            if verb is not Verb.KEEP:
                found = result.hash if verb is Verb.ADOPT else None
                self._on_step(ticket.step.identity, Decided(verb, found))
        refused = next((one for one in ended if one[0].step.kind.stands_for_entry and one[1].usable_hash is None), None)
        if refused is not None and refused[1].status in _REFUSED:
            # All else that the entry wants is refused for the same reason.
            ended = [refused]
        said = [action for one in ended if one.ticket.step.load is None for action in self._of_step(one)]
        # Most often there is one, and it need not be taken apart.
        yield from said if len(said) == 1 else _together(said)
        for one in ended:
            if one.ticket.step.load is not None:
                # There may be a million of them.
                yield self._of_files(one, one.ticket.step.load)

    def _of_files(self, ending: _Ending, load: Portion | Picked) -> Action:
        """What becomes of the files that a step is about: all of them, or those that are not as wished."""
        (action,) = self._of_step(ending)
        found = self._rehearsal.take_load(ending.ticket.step.identity)
        if isinstance(load, Picked):
            return _of_picked(action, load, found)
        if ending.verb is not Verb.ADD or found is None:
            return replace(action, amount=load.count)
        return replace(action, items=found.urls or action.items, amount=None if found.urls else found.amount)

    def _of_step(self, ending: _Ending) -> Iterator[Action]:
        ticket, result, verb, was, overwrites = ending
        step, wish, kind = ticket.step, ticket.wish, ticket.step.kind
        # A thing may be made, and one of the items that are put in afterwards be refused.
        refused = result.status in _REFUSED and not is_new(result.hash)
        action = Action(
            number=wish.number,
            place=wish.place,
            verb=verb,
            what=kind.what,
            items=(kind.relation.said(step.item) if isinstance(kind, Membership) else step.item,),
            project=None if kind.stands_for_entry else step.parent or _named(wish),
            hash=result.hash if kind.stands_for_entry and not is_new(result.hash) else None,
            role=None if step.role is None else step.role.name.lower(),
            was=was,
            overwrites=overwrites if verb is Verb.CHANGE else (),
            file=wish.file if kind.stands_for_entry else None,
            code=result.error.code if refused and result.error is not None else None,
            reason=result.error.message if refused and result.error is not None else None,
        )
        yield action
        if overwrites and verb is not Verb.CHANGE:
            # Something else than is wished for is taken for ours, and changed.
            yield replace(action, verb=Verb.CHANGE, overwrites=overwrites)
        names = kind.relation.names if isinstance(kind, Membership) else None
        if names is not None and self._rehearsal.take_name(names, step.item):
            yield Action(number=wish.number, place=wish.place, verb=Verb.CREATE, what=names.what, items=(step.item,))
        if isinstance(kind, Thing) and kind.items is not None and not refused and result.hash:
            yield from self._put_in(ticket, kind, kind.items.give, result)

    def _ending(self, ticket: Ticket, result: Result) -> _Ending:
        kind, verb = ticket.step.kind, self._verb(ticket, result)
        if isinstance(kind, Membership):
            role = self._rehearsal.take_role((kind, ticket.parent_hash or "", _item(ticket)))
            if role is not None:
                return _Ending(ticket, result, Verb.CHANGE, role_name(role, kind.relation.roles))
        update = self._rehearsal.take_update(result.hash) if isinstance(kind, Thing) else None
        if update is not None:
            return _Ending(ticket, result, Verb.CHANGE if verb is Verb.KEEP else verb, None, update.overwrites)
        return _Ending(ticket, result, verb)

    def _verb(self, ticket: Ticket, result: Result) -> Verb:
        step = ticket.step
        if result.status in _REFUSED and not is_new(result.hash):
            return Verb.REFUSE
        if step.identity in self._ledger.open:
            return Verb.SETTLE
        match result.status:
            case Status.CREATED | Status.FAILED:
                return Verb.CREATE
            case Status.ADOPTED:
                return Verb.ADOPT
            case Status.UPDATED if isinstance(step.kind, Admission) or step.load is not None or self._changes(ticket):
                return Verb(step.kind.verb)
        return Verb.KEEP

    def _changes(self, ticket: Ticket) -> bool:
        kind = ticket.step.kind
        return isinstance(kind, Membership) and self._rehearsal.take((kind, ticket.parent_hash or "", _item(ticket)))

    def _put_in(self, ticket: Ticket, kind: Thing, give: Membership, result: Result) -> Iterator[Action]:
        """The items that go along with a thing, or that an adopted one is given."""
        error = result.error
        references = kind.references(ticket.wish.entry)
        # Two references may stand for one item.
        shown = references if len(references) == len(ticket.items) else ticket.items
        for reference, item in zip(shown, ticket.items, strict=True):
            changes = self._rehearsal.take((give, result.hash or "", item))
            yield Action(
                number=ticket.wish.number,
                place=ticket.wish.place,
                verb=Verb.ADD if changes else Verb.KEEP if error is None else Verb.REFUSE,
                what=give.what,
                items=(reference,),
                project=_named(ticket.wish),
                code=None if changes or error is None else error.code,
                reason=None if changes or error is None else error.message,
            )


def _of_picked(action: Action, picked: Picked, found: Load | None) -> Action:
    """*action* about items of a folder, with how many these are as far as that is known."""
    (folder,) = action.items
    if found is None:
        return replace(action, items=(picked.said(folder),))
    more = ", and more once it is synced" if found.is_open else ""
    amount = found.there if action.verb is Verb.KEEP else found.amount
    return replace(action, items=(picked.said(folder) + more,), amount=amount)


_BAD_ENTRY: Final = "entry"
_REFUSED: Final = frozenset({Status.FAILED, Status.BLOCKED})


def _in_order(ended: list[_Ended]) -> list[_Ended]:
    """What has ended of an entry, in any order, in that in which the entry has its sorts of steps."""
    if len({ticket.step.kind for ticket, _ in ended}) < 2:
        return ended
    said = ended[0][0].wish.said
    sorts = step_kinds() if said is None else [step.kind for step in said.steps(b"")]
    places = {kind.word: place for place, kind in reversed(list(enumerate(sorts)))}
    return sorted(ended, key=lambda one: places.get(one[0].step.kind.word, 0))


def _item(ticket: Ticket) -> str:
    return ticket.items[0] if ticket.items else ticket.step.item


def _named(wish: Wish) -> str:
    """How the thing that an entry makes is called where it stands in an action."""
    if wish.key is not None:
        return f"@{wish.key}"
    return wish.said.wished_title if isinstance(wish.said, MakingEntry) else ""
