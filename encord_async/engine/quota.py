"""How many things that cannot be unmade a run may make, by a team's policy: `Bounded` sends no create beyond that."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from encord_async.engine.making import Making
from encord_async.engine.sending import Sends
from encord_async.engine.ticket import Lane
from encord_async.errors import ConflictError, many
from encord_async.manifest.policy import Policy
from encord_async.protocol.request import Request
from encord_async.session.stop import Stop

__all__ = ["Bounded"]


class Bounded:
    """Sends as *sends* does, but no more creates than *policy* allows a run; see `Sends`."""

    def __init__(self, sends: Sends, policy: Policy) -> None:
        self._sends = sends
        self._policy = policy
        self._begun: defaultdict[str, set[bytes]] = defaultdict(set)
        """Identities of the steps that count, by what they make; one counts once, however often it is sent."""
        self.replace, self.update, self.admit = sends.replace, sends.update, sends.admit
        self.check_may_remove, self.is_set = sends.check_may_remove, sends.is_set
        self.go_on, self.saw_done = sends.go_on, sends.saw_done

    async def create(self, making: Making, request: Request, stop: Stop, is_new: Callable[[object], bool]) -> str:
        """See `Sends`; raises `ConflictError` instead for one too many."""
        kind, step = making.kind, making.order.step
        most, begun = self._policy.most.get(kind.what), self._begun[kind.what]
        if most is not None and step.identity not in begun:
            if len(begun) >= most:
                raise ConflictError(
                    f"{kind.noun} {step.item!r} is not made: a run makes {many(most, kind.noun, kind.plural)} at most; "
                    f"{self._policy.named(f'most.{kind.what}')}",
                    code="POLICY",
                )
            begun.add(step.identity)
        return await self._sends.create(making, request, stop, is_new)

    async def put(self, lane: Lane, items: tuple[str, ...], stop: Stop) -> Mapping[str, int] | None:
        """See `Sends`; raises `ConflictError` instead of taking something from what is protected."""
        why = self._policy.protection(lane.parent_hash) if lane.kind.takes else None
        if why is not None:
            raise ConflictError(f"nothing is removed from {lane.parent_hash}: {why}", code="POLICY")
        return await self._sends.put(lane, items, stop)
