"""Brings one piece of work to its end over a session: looks, writes down, sends, settles, says how each step ended.

It decides nothing about the order of work. The rule it keeps: before the first byte of anything that creates is
sent, the intent is in the ledger, and a create whose outcome is unknown is looked for before it is sent again.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from encord_async.engine.account import Account, Adopt, Existing, Found, differs, match
from encord_async.engine.doubt import AdoptIt, LeaveIt, Settler, WaitLonger
from encord_async.engine.making import Maker, Making, hash_of, holding, key_fingerprint
from encord_async.engine.mixup import Standing, Suspects, mixed_up
from encord_async.engine.outcome import RoleKept, Status
from encord_async.engine.resume import HASHES, changed, fits, taken_over
from encord_async.engine.review import Review, refusal
from encord_async.engine.roll import Roll
from encord_async.engine.schedule import Batch, Result, Ticket, Work, tickets_of
from encord_async.errors import (
    AuthenticationError,
    ConflictError,
    EncordError,
    ExistsError,
    ForbiddenError,
    JournalError,
    NotAppliedError,
    NotFoundError,
    RefusedError,
    ReplyShapeError,
    SettingsError,
    StoppedError,
    ThrottledError,
    UncertainError,
)
from encord_async.journal.record import Doubt, Ledger, Record, State, set_aside
from encord_async.journal.seen import Seen
from encord_async.kinds.steps import MEMBERSHIPS, TAKING, Step, StepKind, api_key_steps, membership
from encord_async.manifest.entries import (
    MakingEntry,
    OntologyEntry,
    OrganisationUserEntry,
    ProjectEntry,
)
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.protocol.models import ProjectUser
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.ontologies import GetOntologyV2
from encord_async.protocol.operations.organisation import AddGroupMembers, AddOrganisationUser, GetGroup
from encord_async.protocol.operations.projects import (
    AddDatasets,
    AddProjectGroups,
    AddProjectUsers,
    GetProject,
    RemoveDatasets,
    RemoveProjectGroups,
    RemoveProjectUsers,
)
from encord_async.protocol.request import Request
from encord_async.session.session import Session
from encord_async.session.stop import Stop

T = TypeVar("T")

__all__ = ["Ended", "Executor", "Later", "Split", "Verdict"]

_REMEMBERED_FRESH: Final = 100_000
_NAMESAKE_WAIT_S: Final = 0.1
_FATAL: Final = (AuthenticationError, SettingsError, JournalError)
"""No other work fares better: the credential is not accepted, the service not reached, or the ledger not written."""


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
_KeyWish: TypeAlias = tuple[str, frozenset[APIKeyScope | str]]
"""Title and scopes of an API key."""


class Executor:
    """Does work over *session*.

    Args:
        session: Sends.
        account: Knows what is there already.
        ledger: Where intents and results are written down.
        settler: Finds out about creates in doubt.
        existing: What to do about what is there already.
        maker: Says what is sent for what is to be made.
        review: What may be done at all, if that was reviewed beforehand.
        roll: The entries that the manifest holds, as far as it is known.
        remembers: Whether a membership of which the ledger has the last word is not sent again.
    """

    def __init__(
        self,
        session: Session,
        account: Account,
        ledger: Ledger,
        settler: Settler,
        *,
        existing: Existing,
        maker: Maker,
        roll: Roll,
        remembers: bool = True,
        review: Review | None = None,
    ) -> None:
        self._session = session
        self._account = account
        self._ledger = ledger
        self._settler = settler
        self._existing = existing
        self._maker = maker
        self._roll = roll
        self._remembers = remembers
        self._review = review
        self._memberships: set[StepKind] = set()
        """Which kinds of them were to be sent so far."""
        self._heirs: dict[bytes, bytes] = {}
        """Which steps have taken over, or are taking over, what others may: by its `Record.token`."""
        self._fresh: OrderedDict[str, None] = OrderedDict()
        self._sending: Counter[bytes] = Counter()
        self._doubtful: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._settling: set[bytes] = set()
        self._stop = Stop()
        self._seen = Seen()
        self._arriving: dict[str, bytes] = {}
        """Hashes that are being written down, and for which step."""
        self._twice: set[str] = set()
        """Hashes that two creates were answered with."""
        self.suspects = Suspects()

    async def prepare(self) -> None:
        """Learn which hashes are known; to be called before there is any work.

        Raises:
            JournalError: The ledger cannot be read.
        """
        self._seen = await self._ledger.seen()

    async def do(self, work: Work) -> Verdict:
        """Bring *work* to its end, or as far as it gets now."""
        if not isinstance(work, Batch):
            return await self._done(work)
        try:
            done, left = await self._remembered(work)
        except JournalError as error:
            return Ended(_abandoned(work, error), failure=error)
        others, left = self._planned(left)
        done += others
        if not left:
            return Ended(done)
        verdict = await self._done(replace(work, tickets=left))
        if isinstance(verdict, Ended):
            return replace(verdict, results=[*done, *verdict.results])
        # The halves, or the next try, will find again what is done already.
        return Split(work) if isinstance(verdict, Split) else verdict

    async def _done(self, work: Work) -> Verdict:
        try:
            return await self._tried(work)
        except _FATAL as error:
            return Ended(_abandoned(work, error), failure=error)
        except StoppedError:
            return Ended([(ticket, Result(status=Status.CANCELLED)) for ticket in tickets_of(work)])

    async def _tried(self, work: Work) -> Verdict:
        try:
            return await self._batch(work) if isinstance(work, Batch) else await self._create(work.ticket)
        except (StoppedError, *_FATAL):
            raise
        except EncordError as error:
            failed = Result(status=Status.FAILED, error=error)
            return await self._ended([(ticket, failed) for ticket in tickets_of(work)])

    def _planned(self, tickets: tuple[Ticket, ...]) -> tuple[list[tuple[Ticket, Result]], tuple[Ticket, ...]]:
        """How memberships end that are not in the plan that was reviewed, if one was, and the others."""
        if self._review is None:
            return [], tickets
        others: list[tuple[Ticket, Result]] = []
        left: list[Ticket] = []
        for ticket in tickets:
            if self._review.allows(ticket.step.identity, "remove" if ticket.step.kind in TAKING else "add"):
                left.append(ticket)
            elif self._review.knows(ticket.step.identity):
                refused = refusal(ticket, "it was to be refused")
                others.append((ticket, Result(status=Status.FAILED, error=refused)))
            else:
                # It was so already when that was reviewed.
                others.append((ticket, Result(status=Status.UNCHANGED, hash=ticket.project_hash)))
        return others, tuple(left)

    def _see_plan(self, ticket: Ticket, verb: str, found: str | None = None) -> None:
        """See to it that what is to be done is in the plan that was reviewed, if one was.

        Raises:
            ConflictError: It is not.
        """
        if self._review is not None and not self._review.allows(ticket.step.identity, verb, found):
            raise refusal(ticket, f"the run would {verb} {found or 'it'}")

    def stop(self) -> None:
        """Let what has left come to its end, and nothing else leave."""
        self._stop.ask()

    async def _ask(self, operation: Operation[T]) -> T:
        """Send *operation*, unless the run is stopped before it has left."""
        return await self._session.execute(operation, stop=self._stop)

    # ------------------------------------------------------------------ writing down

    async def _ended(
        self,
        results: Sequence[tuple[Ticket, Result]],
        making: Making | None = None,
        *,
        instead_of: Collection[bytes] = (),
    ) -> Ended:
        """Write down how steps without an intent ended."""
        records = [self._record(ticket, result, making) for ticket, result in results]
        return await self._written(records, results, instead_of=instead_of)

    async def _written(
        self,
        records: Sequence[Record],
        results: Sequence[tuple[Ticket, Result]],
        *,
        instead_of: Collection[bytes] = (),
    ) -> Ended:
        """Write down how steps ended. That it cannot be written down makes no difference to how they did."""
        try:
            await self._ledger.write(records, instead_of=instead_of)
        except JournalError as error:
            return Ended(results, failure=error)
        return Ended(results)

    def _intent(self, ticket: Ticket, making: Making, request: Request) -> Record:
        """What is about to be sent."""
        step, wish = ticket.step, ticket.wish
        return Record(
            identity=step.identity,
            entry=wish.identity,
            place=wish.place,
            key=wish.entry.key,
            kind=step.kind,
            title=making.title,
            project_hash=ticket.project_hash,
            state=State.INTENDED,
            name=making.name,
            request=request.digest,
            details=making.details,
            started_s=self._session.clock.wall_s(),
        )

    def _record(self, ticket: Ticket, result: Result, making: Making | None = None) -> Record:
        """A step without an intent, and how it ended."""
        step, wish, now_s = ticket.step, ticket.wish, self._session.clock.wall_s()
        return Record(
            identity=ticket.word or step.identity,
            entry=wish.identity,
            place=wish.place,
            key=wish.entry.key,
            kind=step.kind,
            title=making.title if making else step.item,
            project_hash=ticket.project_hash,
            state=State.DONE if result.status.satisfied else State.FAILED,
            status=result.status.value,
            hash=result.hash,
            name=making.name if making else None,
            details=making.details if making else _role(step),
            code=result.error.code if result.error else None,
            message=result.error.message if result.error else None,
            started_s=now_s,
            ended_s=now_s,
        )

    # ------------------------------------------------------------------ creations

    async def _create(self, ticket: Ticket) -> Verdict:
        if ticket.step.kind is StepKind.API_KEY:
            kept = await self._kept(ticket)
            if kept is not None:
                return kept
        standing = self.suspects.standing(ticket)
        if standing is not Standing.SOUND and ticket.doubt is None:
            return self._held([ticket], standing)
        if ticket.step.kind is StepKind.ORGANISATION_USER:
            return await self._admit(ticket)
        if ticket.doubt is not None:
            return await self._settle(ticket, ticket.doubt)
        return await self._anew(ticket)

    async def _kept(self, ticket: Ticket) -> Ended | None:
        """The API key that an earlier run has made, if it is of the project that the step is about, and not taken over.

        One that was made, or may have been made, in another project is set aside for who wishes for it there.
        """
        record = ticket.doubt.record if ticket.doubt else ticket.made.record if ticket.made else None
        if record is None:
            return None
        is_free = self._heirs.get(record.token, ticket.step.identity) == ticket.step.identity
        if is_free and record.project_hash == ticket.project_hash:
            self._heirs[record.token] = ticket.step.identity
            if ticket.doubt is not None:
                return None
            kept = replace(record, details={**record.details, "project": ticket.step.project})
            return await self._written([kept], [(ticket, Result(status=Status.UNCHANGED, hash=ticket.project_hash))])
        ticket.made = ticket.doubt = None
        if is_free:
            await self._ledger.write([set_aside(record)], instead_of=[record.identity])
        return None

    async def _anew(self, ticket: Ticket, never: Record | None = None) -> Verdict:
        """Make what *ticket* wishes now, unless it is there; *never* is what was sent for it and did not happen."""
        making = self._maker.making(ticket)
        if ticket.made is not None:
            return Ended([(ticket, _compared(ticket.made.record, making))])
        if making.name in self._doubtful:
            # Until it is known what became of a namesake, a second one would make it impossible to tell.
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        taken_over = await self._take_over(ticket, making)
        if taken_over is not None:
            return taken_over
        there = await self._there(ticket, making)
        if isinstance(there, Result):
            left = [other.identity for other in await self._left_behind(making) if other.hash == there.hash]
            return await self._ended([(ticket, there)], _whole(making, ticket), instead_of=left)
        before = _baseline(never) if never is not None and never.name == making.name else ()
        if there or before:
            making.details["baseline"] = list(dict.fromkeys((*before, *there)))
        if making.name in self._doubtful:
            # It came into doubt while this one looked around, and its look-up may be under way.
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        return await self._make(ticket, making)

    async def _admit(self, ticket: Ticket) -> Ended:
        """Make somebody a member of the organisation; for who is one already nothing happens."""
        entry = ticket.wish.entry
        if not isinstance(entry, OrganisationUserEntry):
            raise AssertionError(f"a {entry.kind} entry admits nobody")
        self._see_plan(ticket, "add")
        operation = AddOrganisationUser(email=entry.email, role=entry.role, member_type=entry.member_type)
        status = Status.UPDATED if await self._ask(operation) else Status.UNCHANGED
        return await self._ended([(ticket, Result(status=status, hash=entry.email))])

    def _later(self, wait_s: float, otherwise: Result) -> Later:
        return Later(self._session.clock.monotonic_s() + wait_s, otherwise)

    async def _make(self, ticket: Ticket, making: Making) -> Verdict:
        """Write the intent down, send, write down what came of it."""
        self._see_plan(ticket, "create")
        request = making.operation.request()
        record = self._intent(ticket, making, request)
        ticket.sends += 1
        sent_s = self._session.clock.monotonic_s()
        self._sending[making.name] += 1
        try:
            await self._ledger.write([record])
            try:
                made = await self._session.execute(
                    making.operation, request=request, stop=self._stop, is_new=partial(self._is_new, record)
                )
            except StoppedError:
                # It was not sent: the next run may send it without looking.
                cancelled = Result(status=Status.CANCELLED)
                return await self._written([self._closed(record, cancelled)], [(ticket, cancelled)])
            except NotAppliedError as error:
                failed = Result(status=Status.FAILED, error=error)
                ended = await self._written([self._closed(record, failed)], [(ticket, failed)])
                return replace(ended, failure=error) if isinstance(error, _FATAL) else ended
            except EncordError as error:
                doubt = Doubt(
                    record=record,
                    since_s=self._session.clock.monotonic_s(),
                    over=isinstance(error, UncertainError) and error.is_answer,
                    error=error,
                )
                self._doubt(ticket, doubt)
            else:
                alone = await self._made_alone(ticket, record, hash_of(made), making.taken)
                if alone is not None:
                    self._settler.saw_created(record, hash_of(made), sent_s=sent_s)
                    return alone
                doubt = await self._mixed_up(ticket, record, hash_of(made))
        finally:
            _less(self._sending, making.name)
        return await self._settle(ticket, doubt)

    def _closed(self, record: Record, result: Result) -> Record:
        """*record* with its end."""
        state = State.DONE if result.status.satisfied else State.FAILED
        return replace(
            record,
            state=State.IN_DOUBT if result.status is Status.IN_DOUBT else state,
            status=result.status.value,
            hash=result.hash,
            code=result.error.code if result.error else None,
            message=result.error.message if result.error else None,
            ended_s=self._session.clock.wall_s(),
        )

    async def _made(self, ticket: Ticket, record: Record, made: str, taken: int) -> Ended:
        """The service said what it made: write that down, then give a project what its create had no room for.

        Only this makes a project fresh. One that was looked up may have lain there for days, and hold anything.
        """
        created = Result(status=Status.CREATED, hash=made)
        ended = await self._noted(ticket, record, created)
        if ended.failure is not None or record.kind is not StepKind.PROJECT:
            return ended
        self._fresh[made] = None
        if len(self._fresh) > _REMEMBERED_FRESH:
            self._fresh.popitem(last=False)
        rest = ticket.items[taken:]
        return await self._filled(ticket, record, created, rest) if rest else ended

    async def _found(self, ticket: Ticket, record: Record, made: str) -> Ended:
        """What was in doubt is there: write that down, then see what it is for the entry as it is now.

        It was sent by another run, it may be: for an entry that was edited since, or in batches of another size.
        """
        created = Result(status=Status.CREATED, hash=made)
        ended = await self._noted(ticket, record, created)
        if ended.failure is not None:
            return ended
        now = taken_over(ticket.wish.entry, ticket.step, self._closed(record, created))
        if now.status is Status.FAILED:
            return Ended([(ticket, now)])
        if record.kind is StepKind.PROJECT and ticket.items:
            return await self._filled(ticket, record, created, None)
        return ended

    async def _noted(self, ticket: Ticket, record: Record, created: Result) -> Ended:
        """Write down that something is there."""
        ended = await self._written([self._closed(record, created)], [(ticket, created)])
        if ended.failure is None:
            return ended
        # As the ledger has it. The next run finds it; until then nobody but who reads this knows what it is.
        unknown = Result(status=Status.IN_DOUBT, error=ended.failure, candidates=(created.hash or "",))
        return Ended([(ticket, unknown)], failure=ended.failure)

    async def _filled(self, ticket: Ticket, record: Record, created: Result, rest: Sequence[str] | None) -> Ended:
        """Give a project the datasets *rest*, or if that is None what it lacks, and write down which ones it got."""
        made, result, failure = created.hash or "", created, None
        lacking = set(ticket.items)
        try:
            if rest is None:
                rest = await self._lacking(made, ticket)
            lacking = set(rest)
            for some in _chunks(rest, self._maker.max_batch):
                await self._ask(AddDatasets(project_hash=made, dataset_hashes=some))
                lacking.difference_update(some)
        except StoppedError:
            why = f"the run was stopped before {len(lacking)} of its datasets were attached; the next run attaches them"
            result = replace(created, status=Status.CANCELLED, error=StoppedError(why))
        except EncordError as error:
            result = replace(created, status=Status.FAILED, error=error)
            failure = error if isinstance(error, _FATAL) else None
        held = [item for item in ticket.items if item not in lacking]
        known = replace(record, details={**record.details, **holding(ticket, held)})
        ended = await self._written([self._closed(known, created)], [(ticket, result)])
        return ended if failure is None else replace(ended, failure=failure)

    async def _attach(self, project_hash: str, dataset_hashes: Sequence[str]) -> None:
        for some in _chunks(dataset_hashes, self._maker.max_batch):
            await self._ask(AddDatasets(project_hash=project_hash, dataset_hashes=some))

    # ------------------------------------------------------------------ what entries that have gone left behind

    async def _left_behind(self, making: Making) -> list[Record]:
        """What nobody has any more of that name."""
        left = await self._ledger.left_behind(making.name)
        return [other for other in left if other.token not in self._heirs]

    async def _take_over(self, ticket: Ticket, making: Making) -> Verdict | None:
        """Take over what an entry that has gone made, or may have made, if it is what is wished for; None if not.

        However the entry was edited, it would be the same thing made twice.
        """
        fitting = [other for other in await self._left_behind(making) if fits(other, making.details)]
        keys = await self._keys_in(fitting) if ticket.step.kind is StepKind.PROJECT and len(fitting) > 1 else {}
        # Others may have taken some meanwhile.
        fitting = [other for other in fitting if other.token not in self._heirs]
        if not fitting:
            return None
        old = min(fitting, key=partial(_unlikeness, ticket, making, keys, self._roll))
        self._see_plan(ticket, "adopt", old.hash)
        self._heirs[old.token] = ticket.step.identity
        try:
            if old.is_open:
                return await self._take_over_doubt(ticket, old)
            result = Result(status=Status.ADOPTED, hash=old.hash)
            if old.kind is StepKind.PROJECT and old.hash is not None:
                await self._attach(old.hash, await self._lacking(old.hash, ticket))
            return await self._ended([(ticket, result)], _whole(making, ticket), instead_of={old.identity, old.token})
        except EncordError:
            # Nothing was written down: it is still there to be taken over.
            del self._heirs[old.token]
            raise

    async def _keys_in(self, projects: Iterable[Record]) -> Mapping[str, Collection[_KeyWish]]:
        """The API keys of each of these projects, as far as they are known to be there."""
        found: dict[str, Collection[_KeyWish]] = {}
        for project in projects:
            if project.hash is not None:
                keys = await self._ask(ListProjectAPIKeys(project_hash=project.hash))
                found[project.hash] = {(key.title, frozenset(key.scopes)) for key in keys}
        return found

    async def _take_over_doubt(self, ticket: Ticket, old: Record) -> Verdict:
        step, wish = ticket.step, ticket.wish
        moved = replace(old, identity=step.identity, entry=wish.identity, place=wish.place, key=wish.entry.key)
        if step.kind is StepKind.API_KEY:
            moved = replace(moved, details={**old.details, "project": step.project})
        await self._ledger.write([moved], instead_of={old.identity, old.token})
        return await self._settle(ticket, Doubt(record=moved, since_s=self._session.clock.monotonic_s(), over=True))

    # ------------------------------------------------------------------ what is there already

    async def _there(self, ticket: Ticket, making: Making) -> Result | list[str]:
        """A result if something that is there is taken as ours; else the hashes of what has the name already."""
        step, entry = ticket.step, ticket.wish.entry
        if step.kind is StepKind.API_KEY:
            return await self._key_there(ticket, making)
        if not isinstance(entry, MakingEntry):
            raise AssertionError(f"a {entry.kind} entry makes nothing")
        # An account may be large and its service down: a stop ends the look, too, which changes nothing.
        named = step.kind, making.title, entry.description
        namesakes = await self._stop.cut(lambda: self._account.namesakes(*named))
        free = await self._free(ticket, making, namesakes)
        if self._existing is Existing.ADOPT:
            free = await self._account.suited(entry, free)
        decision = match(step.kind, making.title, free, self._existing)
        if not isinstance(decision, Adopt):
            return [found.hash for found in namesakes]
        self._see_plan(ticket, "adopt", decision.hash)
        self._account.claim(decision.hash)
        self._seen.add(decision.hash)
        if isinstance(entry, ProjectEntry):
            await self._attach(decision.hash, await self._lacking(decision.hash, ticket))
        elif isinstance(entry, OntologyEntry) and entry.structure is not None:
            await self._compare(decision.hash, entry.structure)
        return Result(status=Status.ADOPTED, hash=decision.hash)

    async def _free(self, ticket: Ticket, making: Making, there: Sequence[Found]) -> list[Found]:
        """Those of *there* that no other entry has made, may have made or adopted."""
        if not there:
            return []
        left = {other.identity for other in await self._left_behind(making)}
        namesakes = [other for other in await self._ledger.namesakes(making.name) if other.identity not in left]
        known = {other.hash for other in namesakes}
        free = [found for found in self._account.unclaimed(there) if found.hash not in known]
        for other in namesakes:
            if other.is_open and other.identity != ticket.step.identity:
                # What was not there before the other was sent may be what it has made.
                before = _baseline(other)
                free = [found for found in free if found.hash in before]
        return free if self._maker.mark(ticket) is None else self._of_mark(ticket, making, free)

    def _of_mark(self, ticket: Ticket, making: Making, free: Sequence[Found]) -> list[Found]:
        """Those of *free* that show the mark of the entry; if none does, those without a mark.

        Raises:
            ConflictError: All that could be meant shows marks of entries that nobody knows.
        """
        ours = [found for found in free if self._maker.is_ours(ticket, found.mark)]
        if ours:
            exactly = [found for found in ours if found.mark == self._maker.mark(ticket)]
            return exactly or ours
        plain = [found for found in free if found.mark is None]
        strange = [found.hash for found in free if found.is_admin and self._is_strange(found.mark)]
        if strange and not plain and self._existing is Existing.ADOPT:
            raise ConflictError(
                f"{making.title!r} is there with the stamp of another entry: {', '.join(strange[:10])}; if it is the "
                "one that is meant, give the entry the key again that it had then, or leave it out and refer to that "
                "hash; use existing='create' to make another",
                code="OTHER_STAMP",
            )
        return plain

    def _is_strange(self, mark: str | None) -> bool:
        """Whether *mark* is that of no entry of the manifest."""
        domain = self._session.settings.domain
        return mark is not None and not self._roll.has_mark(mark, domain)

    async def _lacking(self, adopted: str, ticket: Ticket) -> list[str]:
        """The datasets that a project which is there lacks."""
        project, wanted = await self._ask(GetProject(project_hash=adopted)), ticket.ontology_hash
        if wanted and project.ontology_hash and project.ontology_hash != wanted:
            raise ConflictError(
                f"the project {adopted} is there with the ontology {project.ontology_hash}, and {wanted} "
                "is wanted; an ontology cannot be exchanged over this API",
                code="ONTOLOGY_KEPT",
            )
        attached = {dataset.dataset_hash for dataset in project.datasets}
        return [item for item in ticket.items if item not in attached]

    async def _compare(self, adopted: str, structure: Mapping[str, object]) -> None:
        """Refuse an ontology that is there with another structure."""
        if differs(structure, (await self._ask(GetOntologyV2(ontology_hash=adopted))).editor):
            raise ConflictError(
                f"the ontology {adopted} is there with another structure; give this one another title or description, "
                "or use existing='create' to make another",
                code="STRUCTURE_KEPT",
            )

    async def _key_there(self, ticket: Ticket, making: Making) -> Result | list[str]:
        step, project_hash = ticket.step, ticket.project_hash or ""
        if project_hash in self._fresh:
            return []
        wanted = set(step.scopes)
        keys = await self._ask(ListProjectAPIKeys(project_hash=project_hash))
        there = [
            Found(key_fingerprint(key.api_key.get_secret_value()), is_admin=True)
            for key in keys
            if key.title == step.item and set(key.scopes) == wanted
        ]
        free = await self._free(ticket, making, there)
        if not free or self._existing is Existing.CREATE:
            return [found.hash for found in there]
        if self._existing is Existing.FAIL:
            raise ConflictError(f"an API key {step.item!r} with these scopes is there already", code="EXISTS")
        self._see_plan(ticket, "adopt", free[0].hash)
        self._account.claim(free[0].hash)
        self._seen.add(free[0].hash)
        return Result(status=Status.ADOPTED, hash=free[0].hash)

    # ------------------------------------------------------------------ doubts

    def _doubt(self, ticket: Ticket, doubt: Doubt) -> None:
        if doubt.record.name is not None:
            self._doubtful[doubt.record.name].add(ticket.step.identity)
        ticket.doubt = doubt

    def _no_doubt(self, ticket: Ticket) -> None:
        doubt, ticket.doubt = ticket.doubt, None
        if doubt is not None and doubt.record.name is not None:
            doubtful = self._doubtful[doubt.record.name]
            doubtful.discard(ticket.step.identity)
            if not doubtful:
                del self._doubtful[doubt.record.name]

    async def _settle(self, ticket: Ticket, doubt: Doubt) -> Verdict:
        name = doubt.record.name or b""
        self._doubt(ticket, doubt)
        in_doubt = Result(status=Status.IN_DOUBT, error=doubt.error)
        if self._sending[name] or name in self._settling:
            # The answer on its way to a namesake may be the very thing that a look-up would show.
            return self._later(_NAMESAKE_WAIT_S, in_doubt)
        self._settling.add(name)
        try:
            verdict = await self._looked(doubt)
            if isinstance(verdict, AdoptIt):
                if not self._seen.add(verdict.hash):
                    # It goes by this name: whoever else was answered with it has made something else.
                    await self._is_anothers(doubt.record, verdict.hash)
                ended = await self._found(ticket, doubt.record, verdict.hash)
                self._no_doubt(ticket)
                return ended
        finally:
            self._settling.discard(name)
        if isinstance(verdict, WaitLonger):
            self._doubt(ticket, replace(doubt, looks=doubt.looks + 1))
            return Later(verdict.due_s, in_doubt)
        if isinstance(verdict, LeaveIt):
            left = replace(in_doubt, error=_left_error(doubt, verdict), candidates=verdict.candidates)
            details = {**doubt.record.details, "candidates": list(verdict.candidates)}
            await self._ledger.write([self._closed(replace(doubt.record, details=details), left)])
            self._no_doubt(ticket)
            return Ended([(ticket, left)])
        self._no_doubt(ticket)
        if ticket.sends >= self._session.settings.retry.max_attempts and doubt.error is not None:
            failed = Result(status=Status.FAILED, error=doubt.error)
            await self._ledger.write([self._closed(doubt.record, failed)])
            return Ended([(ticket, failed)])
        return await self._anew(ticket, doubt.record)

    async def _looked(self, doubt: Doubt) -> AdoptIt | WaitLonger | LeaveIt | None:
        """Look once; a look that fails is tried again until the settling time is over."""
        try:
            verdict = await self._settler.settle(doubt)
        except _FATAL:
            raise
        except EncordError as error:
            return self._settler.not_seen(doubt, error)
        return verdict if isinstance(verdict, AdoptIt | WaitLonger | LeaveIt) else None

    # ------------------------------------------------------------------ replies that were mixed up

    def _is_new(self, record: Record, made: object) -> bool:
        """Whether no other create was answered with *made*, and it was not there before."""
        return hash_of(made) not in self._seen and hash_of(made) not in _baseline(record)

    async def _made_alone(self, ticket: Ticket, record: Record, made: str, taken: int) -> Ended | None:
        """`_made`; None if *made* was there before, or another create was or is meanwhile answered with it."""
        if made in _baseline(record) or (not self._seen.add(made) and await self._is_anothers(record, made)):
            return None
        self._arriving[made] = record.identity
        try:
            ended = await self._made(ticket, record, made, taken)
        finally:
            del self._arriving[made]
        return None if made in self._twice else ended

    async def _is_anothers(self, record: Record, made: str) -> bool:
        """Whether another step has got *made*: then it is not known to be of either, and the other is looked up."""
        arriving = self._arriving.get(made)
        if arriving is not None:
            # Before anything is awaited: that one looks at its end whether it has stayed alone.
            self._twice.add(made)
        known = {arriving, record.identity}
        others = [
            other
            for other in await self._ledger.holders(made)
            if other.state is State.DONE and other.identity not in known
        ]
        if others:
            self._twice.add(made)
        for other in others:
            await self._look_again(other, made)
        return made in self._twice

    async def _look_again(self, other: Record, made: str) -> None:
        """Put in doubt that *other* has got *made*, until it is seen to go by the other's name."""
        self._fresh.pop(made, None)
        self.suspects.note(other, Standing.UNDER_REVIEW)
        details = {**other.details, "candidates": [made]}
        doubtful = Result(status=Status.IN_DOUBT, error=mixed_up(made))
        await self._ledger.write([self._closed(replace(other, details=details), doubtful)])
        try:
            fits = made in await self._settler.look(other)
        except _FATAL:
            raise
        except EncordError:
            fits = False
        if fits:
            await self._ledger.write([other])
        self.suspects.note(other, Standing.SOUND if fits else Standing.SUSPECT)

    async def _mixed_up(self, ticket: Ticket, record: Record, made: str) -> Doubt:
        """Write down that the answer is not to be relied on. What was sent may still be on its way to the service."""
        error = mixed_up(made)
        doubt = Doubt(record=record, since_s=self._session.clock.monotonic_s(), over=False, error=error)
        self._doubt(ticket, doubt)
        await self._ledger.write([self._closed(record, Result(status=Status.IN_DOUBT, error=error))])
        return doubt

    def _held(self, tickets: Sequence[Ticket], standing: Standing) -> Verdict:
        """What becomes of steps that build on what may be another's."""
        if standing is Standing.UNDER_REVIEW:
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        return Ended([(ticket, self.suspects.result(ticket)) for ticket in tickets])

    # ------------------------------------------------------------------ batches

    async def _remembered(self, batch: Batch) -> tuple[list[tuple[Ticket, Result]], tuple[Ticket, ...]]:
        """What of *batch* is as it is wished, by the last word on it, and what is left to be sent.

        Before something is sent that undoes what is written down, that is forgotten: it may be undone although no
        result was ever written down. So it is with datasets that a project was made with, which have no word of their
        own; a word that one is being detached tells that.
        """
        words = await self._words(batch)
        done: list[tuple[Ticket, Result]] = []
        left: list[Ticket] = []
        undone: list[Record] = []
        for ticket in batch.tickets:
            word = words.get(ticket.word)
            # A dataset that is in its project from the first has no word until it is detached.
            is_done = _was_held(ticket) if word is None else self._remembers and _says(word, ticket.step)
            if is_done:
                done.append((ticket, Result(status=Status.UNCHANGED, hash=ticket.project_hash)))
                continue
            left.append(ticket)
            undoes = word is not None and word.state is State.DONE
            if undoes or (word is None and ticket.step.kind is StepKind.DETACH):
                undone.append(self._record(ticket, Result(status=Status.CANCELLED)))
        if undone and not self._stop.was_asked:
            await self._ledger.write(undone)
        return done, tuple(left)

    async def _words(self, batch: Batch) -> Mapping[bytes, Record]:
        """The last words on the memberships of *batch*."""
        kind = batch.lane.kind
        for ticket in batch.tickets:
            ticket.word = membership(kind, batch.lane.project_hash, _item(ticket))
        self._memberships.add(kind)
        alike = [one for one in self._memberships if MEMBERSHIPS[one] == MEMBERSHIPS[kind]]
        if self._ledger.is_new and len(alike) == 1:
            # Nobody can have said anything else.
            return {}
        return await self._ledger.known([ticket.word for ticket in batch.tickets])

    async def _batch(self, batch: Batch) -> Verdict:
        standings = {self.suspects.standing(ticket) for ticket in batch.tickets}
        if len(standings) > 1:
            return Split(batch)
        if Standing.SOUND not in standings:
            return self._held(batch.tickets, *standings)
        items = tuple(dict.fromkeys(_item(ticket) for ticket in batch.tickets))
        try:
            users = await self._send(batch, items)
        except (AuthenticationError, ThrottledError):
            raise
        except RefusedError as error:
            if isinstance(error, ExistsError) and len(items) == 1:
                return await self._ended([(ticket, Result(status=Status.UNCHANGED)) for ticket in batch.tickets])
            if len(items) > 1 and (batch.probed or await self._project_is_in_order(batch, error)):
                return Split(batch)
            raise
        if batch.lane.kind is StepKind.USER:
            return await self._ended(list(_user_results(batch, users)))
        return await self._ended([(ticket, Result(status=Status.UPDATED)) for ticket in batch.tickets])

    async def _send(self, batch: Batch, items: tuple[str, ...]) -> Iterable[ProjectUser]:
        lane, about = batch.lane, batch.lane.project_hash
        role = lane.role if lane.role is not None else ProjectUserRole.ANNOTATOR
        match lane.kind:
            case StepKind.USER:
                return await self._ask(AddProjectUsers(project_hash=about, emails=items, role=role))
            case StepKind.ATTACH:
                await self._ask(AddDatasets(project_hash=about, dataset_hashes=items))
            case StepKind.DETACH:
                await self._ask(RemoveDatasets(project_hash=about, dataset_hashes=items))
            case StepKind.REMOVE_USER:
                await self._ask(RemoveProjectUsers(project_hash=about, emails=items))
            case StepKind.ADD_GROUP:
                await self._ask(AddProjectGroups(project_hash=about, group_hashes=items, role=role))
            case StepKind.REMOVE_GROUP:
                await self._ask(RemoveProjectGroups(project_hash=about, group_hashes=items))
            case StepKind.GROUP_MEMBER:
                await self._ask(AddGroupMembers(group_hash=about, emails=items))
            case _:
                raise AssertionError(f"{lane.kind} steps are not sent together")
        return ()

    async def _project_is_in_order(self, batch: Batch, error: RefusedError) -> bool:
        """Whether the culprit is among the items: one read spares the splitting if it is what they are added to."""
        if not isinstance(error, NotFoundError | ForbiddenError):
            return True
        about = batch.lane.project_hash
        try:
            if batch.lane.kind is StepKind.GROUP_MEMBER:
                await self._ask(GetGroup(group_hash=about))
            else:
                await self._ask(GetProject(project_hash=about))
        except (NotFoundError, ForbiddenError):
            return False
        return True


def _role(step: Step) -> dict[str, object]:
    """What is written down of a membership."""
    return {} if step.role is None else {"role": int(step.role)}


def _says(word: Record, step: Step) -> bool:
    """Whether *word* is that *step* is done."""
    return word.state is State.DONE and word.kind is step.kind and word.details.get("role") == _role(step).get("role")


def _compared(made: Record, making: Making) -> Result:
    """Whether a project refers to what it did when it was made."""
    names = [name for name, of in HASHES.items() if making.details.get(of) != made.details.get(of)]
    return changed(made, names) if names else Result(status=Status.UNCHANGED, hash=made.hash)


def _abandoned(work: Work, error: EncordError) -> list[tuple[Ticket, Result]]:
    """How the steps of *work* end that *error* has kept from being sent, or from being looked for."""
    return [(ticket, _abandoned_step(ticket, error)) for ticket in tickets_of(work)]


def _abandoned_step(ticket: Ticket, error: EncordError) -> Result:
    if ticket.doubt is not None:
        return Result(status=Status.IN_DOUBT, error=error)
    if isinstance(error, JournalError):
        return Result(status=Status.FAILED, error=error)
    return Result(status=Status.CANCELLED)


def _was_held(ticket: Ticket) -> bool:
    """Whether it is a dataset that its project had from the first."""
    return ticket.made is not None and ticket.made.held_dataset(*ticket.items)


def _whole(making: Making, ticket: Ticket) -> Making:
    """*making* as it is written down of what is there, which has got all that it lacked."""
    if ticket.step.kind is not StepKind.PROJECT:
        return making
    return replace(making, details={**making.details, **holding(ticket, ticket.items)})


def _unlikeness(
    ticket: Ticket, making: Making, keys: Mapping[str, Collection[_KeyWish]], roll: Roll, other: Record
) -> tuple[object, ...]:
    """How little what *other*, which has gone, made is like what *ticket* wishes for; the least is taken over.

    API keys come first, for they cannot be unmade: one that the entry does not wish for would be nobody's. Of API keys
    those come last that their steps may be about again.
    """
    steps = api_key_steps(ticket.wish.entry, ticket.wish.identity)
    wished: set[_KeyWish] = {(step.item, frozenset(step.scopes)) for step in steps}
    there = set(keys.get(other.hash or "", ()))
    differs = other.details.get("references") != making.details.get("references")
    return other.is_open, other.identity in roll, len(there - wished), -len(there & wished), differs


def _baseline(record: Record) -> list[str]:
    """What had the name before *record* was sent."""
    before = record.details.get("baseline")
    return before if isinstance(before, list) else []


def _less(counter: Counter[bytes], name: bytes) -> None:
    """Count one down, and forget names that are at zero."""
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]


def _left_error(doubt: Doubt, verdict: LeaveIt) -> UncertainError:
    error = UncertainError(verdict.why)
    if doubt.error is not None:
        error.code, error.http_status, error.trace_id = (
            doubt.error.code,
            doubt.error.http_status,
            doubt.error.trace_id,
        )
    return error


def _item(ticket: Ticket) -> str:
    return ticket.items[0] if ticket.items else ticket.step.item


def _user_results(batch: Batch, users: Iterable[ProjectUser]) -> Iterator[tuple[Ticket, Result]]:
    """Compare the role that each user holds with the one wanted: a member already there keeps the old role."""
    held = {user.user_email.casefold(): user.user_role for user in users}
    for ticket in batch.tickets:
        email, wanted = ticket.step.item, ticket.step.role
        role = held.get(email.casefold())
        if role is None:
            error: EncordError = ReplyShapeError(f"the service succeeded, but does not list {email}")
            yield ticket, Result(status=Status.FAILED, error=error)
        elif role != wanted:
            kept = RoleKept(email=email, wanted=_role_name(wanted), held=_role_name(role))
            error = ConflictError(
                f"{email} is {kept.held} there already and {kept.wanted} is wanted; "
                "a role cannot be changed over this API: change it in the web app",
                code="ROLE_KEPT",
            )
            yield ticket, Result(status=Status.FAILED, error=error, role_kept=kept)
        else:
            yield ticket, Result(status=Status.UPDATED)


def _role_name(role: ProjectUserRole | int | None) -> str:
    return role.name.lower() if isinstance(role, ProjectUserRole) else str(role)


def _chunks(items: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
