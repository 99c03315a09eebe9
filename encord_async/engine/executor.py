"""Brings one piece of work to its end over a session: looks, writes down, sends, settles, says how each step ended.

It decides nothing about the order of work. The rule it keeps: before the first byte of anything that creates is
sent, the intent is in the ledger, and a create whose outcome is unknown is looked for before it is sent again.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

import anyio

from encord_async.engine.account import Account, Adopt, Existing, Found, differs, match
from encord_async.engine.doubt import AdoptIt, LeaveIt, Settler, WaitLonger
from encord_async.engine.making import Maker, Making, hash_of, key_fingerprint
from encord_async.engine.members import MAX_GROUPS_REMOVED
from encord_async.engine.outcome import RoleKept, Status
from encord_async.engine.resume import HASHES, changed, fits
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
    ServiceFaultError,
    SettingsError,
    ThrottledError,
    UncertainError,
    UnreadableReplyError,
)
from encord_async.journal.record import Doubt, Ledger, Record, State
from encord_async.kinds.steps import MEMBERSHIPS, Step, StepKind, membership
from encord_async.manifest.entries import (
    MakingEntry,
    OntologyEntry,
    OrganisationUserEntry,
    ProjectEntry,
)
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.envelope import Envelope
from encord_async.protocol.models import ProjectUser
from encord_async.protocol.operations import (
    AddDatasets,
    AddProjectUsers,
    GetProject,
    ListProjectAPIKeys,
    Operation,
    RemoveDatasets,
)
from encord_async.protocol.rest import RestRequest
from encord_async.protocol.rest_operations import (
    AddGroupMembers,
    AddOrganisationUser,
    AddProjectGroups,
    GetGroup,
    GetOntologyV2,
    RemoveProjectGroups,
    RemoveProjectUsers,
    RestOperation,
)
from encord_async.session.session import Session, sealed

T = TypeVar("T")

__all__ = ["Ended", "Executor", "Later", "Split", "Verdict"]

_REMEMBERED_FRESH: Final = 100_000
_NAMESAKE_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """A result for each step of the work."""

    results: Sequence[tuple[Ticket, Result]]


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


class _StoppedError(Exception):
    """The run was stopped before a request had left. It never leaves the executor."""


class Executor:
    """Does work over *session*.

    Args:
        session: Sends.
        account: Knows what is there already.
        ledger: Where intents and results are written down.
        settler: Finds out about creates in doubt.
        existing: What to do about what is there already.
        maker: Says what is sent for what is to be made.
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
    ) -> None:
        self._session = session
        self._account = account
        self._ledger = ledger
        self._settler = settler
        self._existing = existing
        self._maker = maker
        self._roll = roll
        self._remembers = remembers
        self._memberships: set[StepKind] = set()
        """Which kinds of them were to be sent so far."""
        self._heirs: set[bytes] = set()
        """Steps of entries that have gone, and whose results others take over or have taken over."""
        self._fresh: OrderedDict[str, None] = OrderedDict()
        self._sending: Counter[bytes] = Counter()
        self._doubtful: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._settling: set[bytes] = set()
        self._unsent: set[anyio.CancelScope] = set()
        self._stopped = False

    async def do(self, work: Work) -> Verdict:
        """Bring *work* to its end, or as far as it gets now.

        Raises:
            AuthenticationError: The credential is not accepted; no other work will fare better.
            SettingsError: The service cannot be talked to as configured.
            JournalError: The ledger cannot be written; nothing more may be sent.
        """
        if not isinstance(work, Batch):
            return await self._do(work)
        done, left = await self._remembered(work)
        if not left:
            return Ended(done)
        verdict = await self._do(replace(work, tickets=left))
        if isinstance(verdict, Ended):
            return Ended([*done, *verdict.results])
        # The halves will find again what is done already.
        return Split(work)

    async def _do(self, work: Work) -> Verdict:
        try:
            return await self._batch(work) if isinstance(work, Batch) else await self._create(work.ticket)
        except (AuthenticationError, SettingsError, JournalError):
            raise
        except _StoppedError:
            return Ended([(ticket, Result(status=Status.CANCELLED)) for ticket in tickets_of(work)])
        except EncordError as error:
            failed = Result(status=Status.FAILED, error=error)
            return await self._ended([(ticket, failed) for ticket in tickets_of(work)])

    def stop(self) -> None:
        """Let what has left come to its end, and nothing else leave."""
        self._stopped = True
        for scope in tuple(self._unsent):
            scope.cancel()

    async def _ask(
        self, operation: Operation[T] | RestOperation[T], request: Envelope | RestRequest | None = None
    ) -> T:
        """Send *operation*, unless the run is stopped before the request has left; *request* if it is sealed already.

        Raises:
            _StoppedError: It was; nothing has left.
        """
        if self._stopped:
            raise _StoppedError
        if self._session.is_free:
            # There is no wait that a stop would have to cut short.
            return await self._session.execute(operation, request=request)
        with anyio.CancelScope() as scope:
            self._unsent.add(scope)
            try:
                return await self._session.execute(
                    operation, request=request, on_send=lambda: self._unsent.discard(scope)
                )
            finally:
                self._unsent.discard(scope)
        raise _StoppedError

    def abandoned(self, work: Work, error: EncordError) -> list[tuple[Ticket, Result]]:
        """How the steps of *work* end after `do` has raised *error*."""
        results: list[tuple[Ticket, Result]] = []
        for ticket in tickets_of(work):
            if ticket.doubt is not None or (isinstance(error, JournalError) and ticket.sends):
                # What could not be written down may have been made all the same.
                results.append((ticket, Result(status=Status.IN_DOUBT, error=error)))
            elif isinstance(error, JournalError):
                results.append((ticket, Result(status=Status.FAILED, error=error)))
            else:
                results.append((ticket, Result(status=Status.CANCELLED)))
        return results

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
        await self._ledger.write(records, instead_of=instead_of)
        return Ended(results)

    def _intent(self, ticket: Ticket, making: Making, request: Envelope | RestRequest) -> Record:
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
        if ticket.step.kind is StepKind.ORGANISATION_USER:
            return await self._admit(ticket)
        if ticket.doubt is not None:
            return await self._settle(ticket, ticket.doubt)
        making = self._maker.making(ticket)
        if ticket.made is not None:
            return Ended([(ticket, _compared(ticket.made, making))])
        if making.name in self._doubtful:
            # Until it is known what became of a namesake, a second one would make it impossible to tell.
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        taken_over = await self._take_over(ticket, making)
        if taken_over is not None:
            return taken_over
        there = await self._there(ticket, making)
        if isinstance(there, Result):
            left = [other.identity for other in await self._left_behind(making) if other.hash == there.hash]
            return await self._ended([(ticket, there)], making, instead_of=left)
        if there:
            making.details["baseline"] = there
        if making.name in self._doubtful:
            # It came into doubt while this one looked around, and its look-up may be under way.
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        return await self._make(ticket, making)

    async def _admit(self, ticket: Ticket) -> Ended:
        """Make somebody a member of the organisation; for who is one already nothing happens."""
        entry = ticket.wish.entry
        if not isinstance(entry, OrganisationUserEntry):
            raise AssertionError(f"a {entry.kind} entry admits nobody")
        operation = AddOrganisationUser(email=entry.email, role=entry.role, member_type=entry.member_type)
        status = Status.UPDATED if await self._ask(operation) else Status.UNCHANGED
        return await self._ended([(ticket, Result(status=status, hash=entry.email))])

    def _later(self, wait_s: float, otherwise: Result) -> Later:
        return Later(self._session.clock.monotonic_s() + wait_s, otherwise)

    async def _make(self, ticket: Ticket, making: Making) -> Verdict:
        """Write the intent down, send, write down what came of it."""
        request = sealed(making.operation)
        record = self._intent(ticket, making, request)
        ticket.sends += 1
        self._sending[making.name] += 1
        try:
            await self._ledger.write([record])
            try:
                made = await self._ask(making.operation, request)
            except _StoppedError:
                # Not a byte has left: the next run may send it without looking.
                await self._ledger.write([self._closed(record, Result(status=Status.CANCELLED))])
                raise
            except NotAppliedError as error:
                failed = Result(status=Status.FAILED, error=error)
                await self._ledger.write([self._closed(record, failed)])
                if isinstance(error, AuthenticationError | SettingsError):
                    raise
                return Ended([(ticket, failed)])
            except EncordError as error:
                doubt = Doubt(
                    record=record,
                    since_s=self._session.clock.monotonic_s(),
                    over=isinstance(error, ServiceFaultError | UnreadableReplyError),
                    error=error,
                )
                self._doubt(ticket, doubt)
            else:
                return await self._made(ticket, record, hash_of(made), making.taken)
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
        """Something was made: write that down, then give a project the datasets that its create had no room for."""
        result = Result(status=Status.CREATED, hash=made)
        await self._ledger.write([self._closed(record, result)])
        if record.kind is not StepKind.PROJECT:
            return Ended([(ticket, result)])
        self._fresh[made] = None
        if len(self._fresh) > _REMEMBERED_FRESH:
            self._fresh.popitem(last=False)
        self._settler.saw_created(record.title, str(record.details.get("description") or ""), made)
        rest = ticket.items[taken:]
        if rest:
            try:
                await self._attach(made, rest)
            except (AuthenticationError, SettingsError):
                raise
            except EncordError as error:
                return Ended([(ticket, Result(status=Status.FAILED, hash=made, error=error))])
            whole = replace(record, details={**record.details, "references": _references(ticket)})
            await self._ledger.write([self._closed(whole, result)])
        return Ended([(ticket, result)])

    async def _attach(self, project_hash: str, dataset_hashes: Sequence[str]) -> None:
        for some in _chunks(dataset_hashes, self._maker.max_batch):
            await self._ask(AddDatasets(project_hash=project_hash, dataset_hashes=some))

    # ------------------------------------------------------------------ what entries that have gone left behind

    async def _left_behind(self, making: Making) -> list[Record]:
        """What nobody has any more of that name."""
        left = await self._ledger.left_behind(making.name)
        return [other for other in left if other.identity not in self._heirs]

    async def _take_over(self, ticket: Ticket, making: Making) -> Verdict | None:
        """Take over what an entry that has gone made, or may have made, if it is what is wished for; None if not.

        However the entry was edited, it would be the same thing made twice.
        """
        fitting = [other for other in await self._left_behind(making) if fits(other, making.details)]
        if not fitting:
            return None
        # The one that holds the same datasets rather than another, and the oldest of those.
        references = making.details.get("references")
        old = min(fitting, key=lambda other: (other.is_open, other.details.get("references") != references))
        self._heirs.add(old.identity)
        try:
            if old.is_open:
                return await self._take_over_doubt(ticket, old)
            result = Result(status=Status.ADOPTED, hash=old.hash)
            if old.kind is StepKind.PROJECT and old.hash is not None:
                await self._complete(old.hash, ticket)
            return await self._ended([(ticket, result)], making, instead_of=[old.identity])
        except EncordError:
            # Nothing was written down: it is still there to be taken over.
            self._heirs.discard(old.identity)
            raise

    async def _take_over_doubt(self, ticket: Ticket, old: Record) -> Verdict:
        step, wish = ticket.step, ticket.wish
        moved = replace(old, identity=step.identity, entry=wish.identity, place=wish.place, key=wish.entry.key)
        await self._ledger.write([moved], instead_of=[old.identity])
        return await self._settle(ticket, Doubt(record=moved, since_s=self._session.clock.monotonic_s(), over=True))

    # ------------------------------------------------------------------ what is there already

    async def _there(self, ticket: Ticket, making: Making) -> Result | list[str]:
        """A result if something that is there is taken as ours; else the hashes of what has the name already."""
        step, entry = ticket.step, ticket.wish.entry
        if step.kind is StepKind.API_KEY:
            return await self._key_there(ticket, making)
        if not isinstance(entry, MakingEntry):
            raise AssertionError(f"a {entry.kind} entry makes nothing")
        namesakes = await self._account.namesakes(step.kind, making.title, entry.description)
        decision = match(step.kind, making.title, await self._free(ticket, making, namesakes), self._existing)
        if not isinstance(decision, Adopt):
            return [found.hash for found in namesakes]
        self._account.claim(decision.hash)
        if isinstance(entry, ProjectEntry):
            await self._complete(decision.hash, ticket)
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

    async def _complete(self, adopted: str, ticket: Ticket) -> None:
        """Give an adopted project the datasets that it lacks."""
        project, wanted = await self._ask(GetProject(project_hash=adopted)), ticket.ontology_hash
        if wanted and project.ontology_hash and project.ontology_hash != wanted:
            raise ConflictError(
                f"the project {adopted} is there with the ontology {project.ontology_hash}, and {wanted} "
                "is wanted; an ontology cannot be exchanged over this API",
                code="ONTOLOGY_KEPT",
            )
        attached = {dataset.dataset_hash for dataset in project.datasets}
        await self._attach(adopted, [item for item in ticket.items if item not in attached])

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
        self._account.claim(free[0].hash)
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
                ended = await self._made(ticket, doubt.record, verdict.hash, self._maker.making(ticket).taken)
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
        making = self._maker.making(ticket)
        before = _baseline(doubt.record)
        if before:
            making.details["baseline"] = before
        return await self._make(ticket, making)

    async def _looked(self, doubt: Doubt) -> AdoptIt | WaitLonger | LeaveIt | None:
        """Look once; a look that fails is tried again until the settling time is over."""
        try:
            verdict = await self._settler.settle(doubt)
        except (AuthenticationError, SettingsError, JournalError):
            raise
        except EncordError as error:
            return self._settler.not_seen(doubt, error)
        return verdict if isinstance(verdict, AdoptIt | WaitLonger | LeaveIt) else None

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
            is_done = ticket.made is not None if word is None else self._remembers and _says(word, ticket.step)
            if is_done:
                done.append((ticket, Result(status=Status.UNCHANGED, hash=ticket.project_hash)))
                continue
            left.append(ticket)
            undoes = word is not None and word.state is State.DONE
            if undoes or (word is None and ticket.step.kind is StepKind.DETACH):
                undone.append(self._record(ticket, Result(status=Status.CANCELLED)))
        if undone and not self._stopped:
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
                for some in _chunks(items, MAX_GROUPS_REMOVED):
                    await self._ask(RemoveProjectGroups(project_hash=about, group_hashes=some))
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


def _references(ticket: Ticket) -> list[str]:
    entry = ticket.wish.entry
    return list(dict.fromkeys(entry.datasets)) if isinstance(entry, ProjectEntry) else []


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
