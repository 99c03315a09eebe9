"""What a run may change of what is there already, and how a role is changed. It does nothing that was not asked for.

The API cannot change the role that a member holds: who holds another one is taken out and added again. Both can be
repeated and undone, so nothing is written down in between: the next run finds nobody there, and adds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from encord_async.engine.options import Options
from encord_async.engine.outcome import RoleKept
from encord_async.engine.review import Review
from encord_async.engine.sending import Looks, Sends
from encord_async.engine.ticket import Batch, Ticket
from encord_async.errors import AuthenticationError, ConflictError, EncordError, SettingsError, StoppedError
from encord_async.journal.record import Ledger
from encord_async.kinds.membership import Relation
from encord_async.kinds.thing import Thing
from encord_async.manifest.policy import NO_POLICY, Policy
from encord_async.session.stop import Stop

__all__ = ["Changing", "RoleChanger", "Roles", "protecting", "role_error"]

_ENDS_ALL: Final = (AuthenticationError, SettingsError, StoppedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """What may be changed of what is there.

    Attributes:
        options: What the run is asked for.
        policy: A team's limits.
        review: What may be done at all, if that was reviewed beforehand.
    """

    options: Options
    policy: Policy = NO_POLICY
    review: Review | None = None

    def edits(self, kind: Thing) -> bool:
        """Whether things of *kind* are to follow their entries."""
        return self.options.edits(kind)


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles that members of one thing hold, by `Relation.folded` item.

    Attributes:
        held: Role of each.
        stays: Why the old role stays, for those who hold another than wanted.
        lost: What kept those from being added again who were taken out.
    """

    held: Mapping[str, int]
    stays: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, EncordError] = field(default_factory=dict)


class RoleChanger:
    """Gives members the role that is wanted.

    Args:
        sends: Takes out and adds.
        looks: Reads.
        changing: What may be changed.
        stop: Ends what has not left.
        give_up: Ends what waits for an outage to end, once the run is stopped.
    """

    def __init__(self, sends: Sends, looks: Looks, changing: Changing, *, stop: Stop, give_up: Stop) -> None:
        self._sends = sends
        self._looks = looks
        self._changing = changing
        self._stop = stop
        self._give_up = give_up

    async def changed(self, batch: Batch, held: Mapping[str, int]) -> Roles:
        """What members hold once all that may be changed was, of those of *batch* who hold *held*.

        Raises:
            EncordError: It cannot be found out whether somebody may be taken out, or nobody could be.
        """
        relation = batch.lane.kind.relation
        others = {relation.folded(one.step.item): one for one in batch.tickets if _is_other(one, held, relation)}
        if not others:
            return Roles(held)
        if not self._changing.options.replace_roles:
            return Roles(
                held, {name: self._protection(one) or relation.role_stays or "" for name, one in others.items()}
            )
        stays = {name: why for name, one in others.items() if (why := await self._why(one, held[name], relation))}
        going = {name: one for name, one in others.items() if name not in stays}
        try:
            if going:
                await self._sends.check_may_remove(relation, batch.lane.parent_hash)
        except ConflictError as error:
            return Roles(held, stays | dict.fromkeys(going, error.message))
        new, lost = dict(held), dict[str, EncordError]()
        for some in _portions(going.values(), relation.take.most(len(batch.tickets))):
            try:
                new |= await self._sends.replace(batch.lane, some, self._stop, self._give_up)
            except _ENDS_ALL:
                raise
            except EncordError as error:
                lost |= {relation.folded(item): _lost(error) for item in some}
        return Roles(new, stays, lost)

    async def _why(self, ticket: Ticket, held: int, relation: Relation) -> str | None:
        """Why the role of somebody stays, who holds *held*; None if it may be changed."""
        step = ticket.step
        if await relation.spared(self._looks, {step.item: held}):
            return "whoever is Admin there may be the account itself, and stays; change it in Encord's app"
        if (why := self._protection(ticket)) is not None:
            return why
        review = self._changing.review
        if review is not None and not review.allows(step.identity, "change"):
            return "that their role is changed is not in the plan; make a new one"
        return None

    def _protection(self, ticket: Ticket) -> str | None:
        """Why a team's policy lets no role in the thing of *ticket* be replaced; None if it does."""
        names = (ticket.parent_hash, ticket.step.parent or ticket.wish.key)
        found = (self._changing.policy.protection(name or "") for name in names)
        return next((why for why in found if why is not None), None)


async def protecting(policy: Policy, ledger: Ledger) -> Policy:
    """*policy*, that knows what is protected by its hash as well, which an entry may name it by.

    Raises:
        JournalError: The journal cannot be read.
    """
    if policy.protected_hashes is not None or not policy.protected:
        return policy
    made = [one async for one in ledger.every() if isinstance(one.kind, Thing) and policy.protects(one.key or "")]
    return replace(policy, protected_hashes=frozenset(one.hash.lower() for one in made if one.hash))


def role_error(kept: RoleKept, why: str) -> ConflictError:
    """What is said of somebody whose old role stays."""
    return ConflictError(
        f"{kept.email} is {kept.held} there already and {kept.wanted} is wanted; {why}", code="ROLE_KEPT"
    )


def _lost(error: EncordError) -> EncordError:
    what = "the role was to be replaced, and whoever has it may be out by now; the next run adds them"
    return ConflictError(f"{error.message}; {what}", code=error.code)


def _is_other(ticket: Ticket, held: Mapping[str, int], relation: Relation) -> bool:
    role = held.get(relation.folded(ticket.step.item))
    return role is not None and role != ticket.step.role


def _portions(tickets: Iterable[Ticket], size: int) -> list[tuple[str, ...]]:
    items = [one.step.item for one in tickets]
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
