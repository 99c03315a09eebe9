"""Brings one piece of work to its end over a session: looks, writes down, sends, settles, says how each step ended.

It decides nothing about the order of work. The rule it keeps: before the first byte of anything that creates is
sent, the intent is in the ledger, and a create whose outcome is unknown is looked for before it is sent again.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from encord_async.engine.account import Account, Adopt, Existing, match
from encord_async.engine.admitting import Admitter
from encord_async.engine.batches import Batches
from encord_async.engine.changing import Changing, RoleChanger
from encord_async.engine.claims import Claims, baseline
from encord_async.engine.contents import Contents, items_of, whole
from encord_async.engine.doubt import AdoptIt, LeaveIt, Settler, WaitLonger, left_error
from encord_async.engine.fence import Fence
from encord_async.engine.making import Maker, Making, readied
from encord_async.engine.mixup import Standing, Suspects, mixed_up
from encord_async.engine.outcome import Status
from encord_async.engine.resume import inherited, taken_over
from encord_async.engine.review import planned_refusal, refusal
from encord_async.engine.roll import Roll
from encord_async.engine.scribe import Scribe
from encord_async.engine.sending import Looks, Sends
from encord_async.engine.ticket import Batch, Result, Ticket, Work
from encord_async.engine.updating import Updater
from encord_async.engine.verdict import FATAL, Ended, Later, Sending, Split, Verdict
from encord_async.errors import EncordError, JournalError, NotAppliedError, StoppedError, UncertainError
from encord_async.journal.record import INNER_PARENT, Doubt, Ledger, Record, State, set_aside
from encord_async.kinds.chore import Chore
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.membership import Membership
from encord_async.kinds.thing import Admission, Thing
from encord_async.manifest.digests import Seen
from encord_async.session.session import Session
from encord_async.session.stop import Stop

__all__ = ["Executor"]

_REMEMBERED_FRESH: Final = 100_000
_NAMESAKE_WAIT_S: Final = 0.1


class Executor:
    """Does work over *session*.

    Args:
        session: Reads, and has the clock.
        sends: Sends what changes something.
        account: Knows what is there already.
        ledger: Where intents and results are written down.
        settler: Finds out about creates in doubt.
        existing: What to do about what is there already.
        maker: Says what is sent for what is to be made.
        changing: What may be changed of what is there.
        roll: The entries that the manifest holds, as far as it is known.
        fence: Keeps what would be sent if *ledger* is lost.
    """

    def __init__(
        self,
        session: Session,
        sends: Sends,
        account: Account,
        ledger: Ledger,
        settler: Settler,
        *,
        existing: Existing,
        maker: Maker,
        roll: Roll,
        changing: Changing,
        fence: Fence,
    ) -> None:
        self._session = session
        self._sends = sends
        self._account = account
        self._ledger = ledger
        self._settler = settler
        self._existing = existing
        self._maker = maker
        self._review = changing.review
        self._stop, self._give_up = Stop(fence.holds), Stop()
        self._looks = Looks(session, self._stop)
        self._scribe = Scribe(ledger, session.clock)
        self._claims = Claims(
            account=account, ledger=ledger, maker=maker, existing=existing, roll=roll, domain=session.settings.domain
        )
        roles = RoleChanger(sends, self._looks, changing, stop=self._stop, give_up=self._give_up)
        self._batches = Batches(sends, self._looks, ledger, self._scribe, roles=roles, stop=self._stop)
        self._admitter = Admitter(sends, self._looks, self._scribe, stop=self._stop)
        self._updater = Updater(sends, self._looks, account, self._scribe, changing, stop=self._stop)
        self._contents = Contents(sends, self._scribe, self._updater, max_batch=maker.max_batch, stop=self._stop)
        self._fresh: OrderedDict[str, None] = OrderedDict()
        self._sending: Counter[bytes] = Counter()
        self._doubtful: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._settling: set[bytes] = set()
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
            return await self._tried((work.ticket,), self._create(work.ticket))
        try:
            done, left = await self._batches.remembered(work)
            others, left = self._planned(left)
            done += others
            if not left:
                return Ended(done)
            await self._batches.forget(replace(work, tickets=left))
        except JournalError as error:
            return _unsent(work.tickets, error)
        verdict = await self._tried(left, self._batch(replace(work, tickets=left)))
        if isinstance(verdict, Ended):
            return verdict._replace(results=[*done, *verdict.results])
        # The halves, or the next try, will find again what is done already.
        return Split(work) if isinstance(verdict, Split) else verdict

    async def send(self, sending: Sending) -> Verdict:
        """Send what is written down, or go on with what is made; itself if that is to be written down now."""
        work = self._send(sending) if sending.made is None else self._completed(sending, sending.made)
        return await self._tried((sending.ticket,), work)

    async def _tried(self, tickets: Sequence[Ticket], work: Awaitable[Verdict]) -> Verdict:
        try:
            return await work
        except FATAL as error:
            return Ended(_abandoned(tickets, error), failure=error)
        except StoppedError:
            return Ended([(ticket, Result(status=Status.CANCELLED)) for ticket in tickets])
        except EncordError as error:
            failed = Result(status=Status.FAILED, error=error)
            return await self._scribe.ended([(ticket, failed) for ticket in tickets])

    def _planned(self, tickets: tuple[Ticket, ...]) -> tuple[list[tuple[Ticket, Result]], tuple[Ticket, ...]]:
        """How memberships end that are not in the plan that was reviewed, if one was, and the others."""
        if self._review is None:
            return [], tickets
        others: list[tuple[Ticket, Result]] = []
        left: list[Ticket] = []
        for ticket in tickets:
            verbs = ticket.step.kind.verb, "change"
            if _only_looks(ticket) or any(self._review.allows(ticket.step.identity, verb) for verb in verbs):
                left.append(ticket)
            elif self._review.knows(ticket.step.identity):
                refused = planned_refusal(ticket.step)
                others.append((ticket, Result(status=Status.FAILED, error=refused)))
            else:
                # It was so already when that was reviewed.
                others.append((ticket, Result(status=Status.UNCHANGED, hash=ticket.parent_hash)))
        return others, tuple(left)

    def _see_plan(self, ticket: Ticket, verb: str, found: str | None = None) -> None:
        """See to it that what is to be done is in the plan that was reviewed, if one was.

        Raises:
            ConflictError: It is not.
        """
        if self._review is not None and not self._review.allows(ticket.step.identity, verb, found):
            raise refusal(self._review, ticket.step, f"the run would {verb} {found or 'it'}")

    def stop(self) -> None:
        """Let what has left come to its end, and nothing else leave. What is in doubt is still looked for, once."""
        self._stop.ask()

    def give_up(self) -> None:
        """After `stop`: what is in doubt stays so."""
        self._give_up.ask()

    # ------------------------------------------------------------------ creations

    async def _create(self, ticket: Ticket) -> Verdict:
        if ticket.step.kind.is_inner:
            kept = await self._kept(ticket)
            if kept is not None:
                return kept
        standing = self.suspects.standing(ticket)
        if standing is not Standing.SOUND and ticket.doubt is None:
            return self._held([ticket], standing)
        if isinstance(ticket.step.kind, Admission):
            return await self._admit(ticket, ticket.step.kind)
        if ticket.doubt is not None:
            return await self._settle(ticket, ticket.doubt)
        return await self._anew(ticket)

    async def _kept(self, ticket: Ticket) -> Ended | None:
        """What an earlier run has made inside a thing, if that is the one the step is about, and it is not taken over.

        One that was made, or may have been made, in another thing is set aside for who wishes for it there.
        """
        record = ticket.doubt.record if ticket.doubt else ticket.made.record if ticket.made else None
        if record is None:
            return None
        is_free = self._claims.may_take(record, ticket.step.identity)
        if is_free and record.parent_hash == ticket.parent_hash:
            self._claims.heirs[record.token] = ticket.step.identity
            if ticket.doubt is not None:
                return None
            kept = replace(record, details={**record.details, INNER_PARENT: ticket.step.parent})
            unchanged = Result(status=Status.UNCHANGED, hash=ticket.parent_hash)
            return await self._scribe.written([kept], [(ticket, unchanged)])
        ticket.made = ticket.doubt = None
        if is_free:
            await self._ledger.write([set_aside(record)], instead_of=[record.identity])
        return None

    async def _anew(self, ticket: Ticket, never: Record | None = None) -> Verdict:
        """Make what *ticket* wishes now, unless it is there; *never* is what was sent for it and did not happen."""
        making = self._maker.making(ticket)
        if ticket.made is not None:
            return await self._updater.compared(ticket, ticket.made.record, making)
        if making.name in self._doubtful:
            # Until it is known what became of a namesake, a second one would make it impossible to tell.
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        taken_over = await self._take_over(ticket, making)
        if taken_over is not None:
            return taken_over
        there = await self._there(ticket, making)
        if isinstance(there, Result):
            left = [one.identity for one in await self._claims.left_behind(making) if one.hash == there.hash]
            return await self._scribe.ended([(ticket, there)], whole(making), instead_of=left)
        before = baseline(never) if never is not None and never.name == making.name else ()
        if there or before:
            making.details["baseline"] = list(dict.fromkeys((*before, *there)))
        making = await readied(making, self._looks)
        if making.name in self._doubtful:
            # It came into doubt while this one looked around, and its look-up may be under way.
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        self._see_plan(ticket, "create")
        return self._ready(ticket, making)

    async def _admit(self, ticket: Ticket, kind: Admission) -> Ended:
        """Let somebody in, unless an earlier run has."""
        ended = await self._admitter.compared(ticket, kind)
        if ended is not None:
            return ended
        self._see_plan(ticket, "add")
        return await self._admitter.admit(ticket, kind)

    def _later(self, wait_s: float, otherwise: Result) -> Later:
        return Later(self._session.clock.monotonic_s() + wait_s, otherwise)

    def has_to_list(self, ticket: Ticket) -> bool:
        """Whether what the account holds has to be listed for *ticket*, which all others of its kind need as well."""
        kind, has_past = ticket.step.kind, ticket.doubt is not None or ticket.made is not None
        return isinstance(kind, Thing) and not has_past and not self._account.is_listed(kind)

    def prepared(self, ticket: Ticket) -> Sending | None:
        """What is to be sent for *ticket*, if that is known without a look at anything; None if it has to be done.

        So it is with a thing that is new, in an account that has none of its name: with most of what is ever made.
        """
        kind, entry = ticket.step.kind, ticket.wish.said
        if not (isinstance(kind, Thing) and isinstance(entry, MakingEntry)) or kind.is_readied:
            return None
        if ticket.doubt or ticket.made or self._ledger.may_leave or self._review or self.suspects:
            return None
        try:
            making = self._maker.making(ticket)
            title = making.order.title
            if making.name in self._doubtful or not self._account.has_none(kind, title, entry.description):
                return None
            return self._ready(ticket, making)
        except EncordError:
            # Whoever does it meets it again, and says so.
            return None

    def _ready(self, ticket: Ticket, making: Making) -> Sending:
        request = making.draft.operation.request()
        intent = self._scribe.intent(ticket, making, request)
        ticket.sends += 1
        self._sending[making.name] += 1
        return Sending(ticket, making, request, intent, note=intent)

    def give_back(self, sending: Sending) -> Ended:
        """How *sending* ends that was never sent; that is written down too, and nobody waits for it."""
        return self._scribe.taken_back(sending.ticket, sending.intent)

    def written(self, sending: Sending, failure: str | None) -> Ended | None:
        """Take note that `Sending.note` is written down, or why it is not; the end, or None if it is to be done."""
        made, ticket = sending.made, sending.ticket
        if failure is None and (made is None or made in self._twice):
            return None
        if made is None:
            ended = _unsent((ticket,), JournalError(failure or ""))
        else:
            ended = self._scribe.told(ticket, made, failure)
            if ended.failure is None and self._keeps(sending, made):
                return None
            del self._arriving[made]
            self._settler.saw_created(sending.intent, made, sent_s=sending.sent_s)
        _less(self._sending, sending.making.name)
        return ended

    def _keeps(self, sending: Sending, made: str) -> bool:
        """Whether there are items that the create of *made* had no room for.

        Only what was answered is a thing that is fresh. One that was looked up may have lain there for days, and hold
        anything.
        """
        making = sending.making
        if not isinstance(making.kind, Thing) or making.kind.items is None:
            return False
        self._fresh[made] = None
        if len(self._fresh) > _REMEMBERED_FRESH:
            self._fresh.popitem(last=False)
        return len(sending.ticket.items) > making.draft.taken

    async def _send(self, sending: Sending) -> Verdict:
        """Send what is written down; if it is answered, say what is to be written down of that."""
        ticket, record, making = sending.ticket, sending.intent, sending.making
        sending.sent_s = self._session.clock.monotonic_s()
        try:
            try:
                made = await self._sends.create(making, sending.request, self._stop, partial(self._is_new, sending))
            except StoppedError:
                # It was not sent: the next run may send it without looking.
                return await self._scribe.shut(ticket, record, Result(status=Status.CANCELLED))
            except NotAppliedError as error:
                ended = await self._scribe.shut(ticket, record, Result(status=Status.FAILED, error=error))
                return ended._replace(failure=error) if isinstance(error, FATAL) else ended
            except EncordError as error:
                doubt = Doubt(
                    record=record,
                    since_s=self._session.clock.monotonic_s(),
                    over=isinstance(error, UncertainError) and error.is_answer,
                    error=error,
                )
                self._doubt(ticket, doubt)
            else:
                # What was new as the answer came is so still, in the same turn of the event loop.
                is_own = sending.is_new or not (sending.mistaken or made in baseline(record))
                if is_own and (self._seen.add(made) or not await self._is_anothers(record, made)):
                    self._arriving[made] = record.identity
                    sending.made, sending.note = made, self._scribe.made(record, made)
                    return sending
                doubt = await self._mixed_up(ticket, record, sending.mistaken or made)
        finally:
            if sending.made is None:
                _less(self._sending, making.name)
        return await self._settle(ticket, doubt)

    async def _completed(self, sending: Sending, made: str) -> Verdict:
        """Give what is made and written down the items that its create had no room for, if no other was answered so."""
        ticket, record, making = sending.ticket, sending.intent, sending.making
        try:
            try:
                if made not in self._twice:
                    created = Result(status=Status.CREATED, hash=made)
                    rest = ticket.items[making.draft.taken :]
                    ended = await self._contents.filled(ticket, record, created, making, rest)
            finally:
                del self._arriving[made]
            if made not in self._twice:
                self._settler.saw_created(record, made, sent_s=sending.sent_s)
                return ended
            doubt = await self._mixed_up(ticket, record, made)
        finally:
            _less(self._sending, making.name)
        return await self._settle(ticket, doubt)

    async def _found(self, ticket: Ticket, record: Record, made: str) -> Ended:
        """What was in doubt is there: write that down, then see what it is for the entry as it is now.

        It was sent by another run, it may be: for an entry that was edited since, or in batches of another size.
        """
        created = Result(status=Status.CREATED, hash=made)
        ended = await self._scribe.noted(ticket, record, created)
        if ended.failure is not None:
            return ended
        now = taken_over(ticket.wish.entry, ticket.step, found := self._scribe.closed(record, created))
        if now.status is Status.FAILED:
            return await self._scribe.compared(ticket, found, now)
        if ticket.items:
            return await self._contents.filled(ticket, record, created, self._maker.making(ticket), None)
        return ended

    # ------------------------------------------------------------------ what entries that have gone left behind

    async def _take_over(self, ticket: Ticket, making: Making) -> Verdict | None:
        """Take over what an entry that has gone made, or may have made, if it is what is wished for; None if not."""
        old = await self._claims.to_take_over(ticket, making, self._looks)
        if old is None:
            return None
        self._see_plan(ticket, "adopt", old.hash)
        heirs = self._claims.heirs
        heirs[old.token] = ticket.step.identity
        try:
            if old.is_open:
                return await self._take_over_doubt(ticket, old)
            result, replaced = Result(status=Status.ADOPTED, hash=old.hash), {old.identity, old.token}
            if making.kind.is_inner:
                # As it stands written: whether anybody was given it goes along.
                return await self._scribe.written([inherited(old, ticket)], [(ticket, result)], instead_of=replaced)
            if items_of(making) is not None and old.hash is not None:
                await self._contents.fill(making, old.hash)
            return await self._scribe.ended([(ticket, result)], whole(making), instead_of=replaced)
        except EncordError:
            # Nothing was written down: it is still there to be taken over.
            del heirs[old.token]
            raise

    async def _take_over_doubt(self, ticket: Ticket, old: Record) -> Verdict:
        moved = inherited(old, ticket)
        await self._ledger.write([moved], instead_of={old.identity, old.token})
        return await self._settle(ticket, Doubt(record=moved, since_s=self._session.clock.monotonic_s(), over=True))

    # ------------------------------------------------------------------ what is there already

    async def _there(self, ticket: Ticket, making: Making) -> Result | list[str]:
        """A result if something that is there is taken as ours; else the hashes of what has the name already."""
        if making.kind.is_inner and ticket.parent_hash in self._fresh:
            return []
        # An account may be large and its service down: a stop ends the look, too, which changes nothing.
        namesakes = await self._stop.cut(lambda: self._claims.namesakes(ticket, making, self._looks))
        free = await self._claims.free(ticket, making, namesakes, self._looks)
        decision = match(making.kind, making.order.title, free, self._existing)
        if not isinstance(decision, Adopt):
            return [found.hash for found in namesakes]
        self._see_plan(ticket, "adopt", decision.hash)
        self._account.claim(decision.hash)
        self._seen.add(decision.hash)
        await self._contents.fill(making, decision.hash)
        return Result(status=Status.ADOPTED, hash=decision.hash)

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
            verdict = await self._give_up.cut(lambda: self._looked(doubt))
            if isinstance(verdict, AdoptIt):
                if not self._seen.add(verdict.hash):
                    # It goes by this name: whoever else was answered with it has made something else.
                    await self._is_anothers(doubt.record, verdict.hash)
                ended = await self._found(ticket, doubt.record, verdict.hash)
                self._no_doubt(ticket)
                return ended
        except StoppedError:
            return Ended([(ticket, in_doubt)])
        finally:
            self._settling.discard(name)
        if isinstance(verdict, WaitLonger):
            self._doubt(ticket, replace(doubt, looks=doubt.looks + 1))
            return Later(verdict.due_s, in_doubt)
        if isinstance(verdict, LeaveIt):
            left = replace(in_doubt, error=left_error(doubt, verdict), candidates=verdict.candidates)
            details = {**doubt.record.details, "candidates": list(verdict.candidates)}
            await self._ledger.write([self._scribe.closed(replace(doubt.record, details=details), left)])
            self._no_doubt(ticket)
            return Ended([(ticket, left)])
        self._no_doubt(ticket)
        if ticket.sends >= self._session.settings.retry.max_attempts and doubt.error is not None:
            failed = Result(status=Status.FAILED, error=doubt.error)
            await self._ledger.write([self._scribe.closed(doubt.record, failed)])
            return Ended([(ticket, failed)])
        return await self._anew(ticket, doubt.record)

    async def _looked(self, doubt: Doubt) -> AdoptIt | WaitLonger | LeaveIt | None:
        """Look once; a look that fails is tried again until the settling time is over."""
        try:
            verdict = await self._settler.settle(doubt)
        except FATAL:
            raise
        except EncordError as error:
            return self._settler.not_seen(doubt, error)
        return verdict if isinstance(verdict, AdoptIt | WaitLonger | LeaveIt) else None

    # ------------------------------------------------------------------ replies that were mixed up

    def _is_new(self, sending: Sending, answer: object) -> bool:
        """Whether no other create was given such an answer, and what that says was made was not there before."""
        made = (kind := sending.making.kind).hash_of(answer)
        sending.mistaken = kind.mistaken(answer, self._seen.__contains__)
        sending.is_new = not (sending.mistaken or made in self._seen or made in baseline(sending.intent))
        return sending.is_new

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
        doubtful = Result(status=Status.IN_DOUBT, error=mixed_up(made))
        suspect = replace(other, details={**other.details, "candidates": [made]})
        await self._ledger.write([self._scribe.closed(suspect, doubtful)])
        try:
            fits = made in await self._settler.look(other)
        except FATAL:
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
        await self._ledger.write([self._scribe.closed(record, Result(status=Status.IN_DOUBT, error=error))])
        return doubt

    def _held(self, tickets: Sequence[Ticket], standing: Standing) -> Verdict:
        """What becomes of steps that build on what may be another's."""
        if standing is Standing.UNDER_REVIEW:
            return self._later(_NAMESAKE_WAIT_S, Result(status=Status.CANCELLED))
        return Ended([(ticket, self.suspects.result(ticket)) for ticket in tickets])

    # ------------------------------------------------------------------ batches

    async def _batch(self, batch: Batch) -> Verdict:
        standings = {self.suspects.standing(ticket) for ticket in batch.tickets}
        if len(standings) > 1:
            return Split(batch)
        if Standing.SOUND not in standings:
            return self._held(batch.tickets, *standings)
        return await self._batches.send(batch)


def _unsent(tickets: Iterable[Ticket], error: JournalError) -> Ended:
    """How steps end of which nothing has left, because the ledger is lost."""
    return Ended([(ticket, Result(status=Status.CANCELLED)) for ticket in tickets], failure=error)


def _abandoned(tickets: Iterable[Ticket], error: EncordError) -> list[tuple[Ticket, Result]]:
    """How steps end that *error* has kept from being sent, or from being looked for."""
    return [(ticket, _abandoned_step(ticket, error)) for ticket in tickets]


def _abandoned_step(ticket: Ticket, error: EncordError) -> Result:
    if ticket.doubt is not None:
        return Result(status=Status.IN_DOUBT, error=error)
    if isinstance(error, JournalError):
        return Result(status=Status.FAILED, error=error)
    return Result(status=Status.CANCELLED)


def _only_looks(ticket: Ticket) -> bool:
    kind = ticket.step.kind
    return isinstance(kind, Membership) and isinstance(kind.relation, Chore) and not kind.relation.sends


def _less(counter: Counter[bytes], name: bytes) -> None:
    """Count one down, and forget names that are at zero."""
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]
