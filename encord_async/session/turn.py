"""A request's turn on a connection: which reply it may follow there, and whether what came is the one before once more.

Nothing in a reply says which request it answers, so a proxy that repeats one when the next request has left shifts all
that follow. Therefore a request never follows a reply that it would take for its own: the first that is repeated is
seen to be so, and is the last on its connection. Pure but for `Line`, which a transport gives; nothing here sends.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from encord_async.errors import EncordError, ReplyShapeError, UnreadableReplyError
from encord_async.protocol.catalogue import Effect
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.reply import NOTHING_SENT, RawReply
from encord_async.protocol.request import Request
from encord_async.secrecy import Secret

__all__ = ["LetPass", "Line", "Turn"]

LetPass: TypeAlias = Callable[[], Awaitable[None]]
"""Raises what keeps a request from leaving."""


class Line(Protocol):
    """The connection that a request goes over."""

    def give_up(self) -> None:
        """Never use it again."""
        ...

    def distrust(self) -> None:
        """Give up each connection of the transport that has answered before, and use the others once."""
        ...


@dataclass(slots=True)
class Turn:
    """The turn of *request*, which is *operation* unless only its caller can read the answer.

    Attributes:
        let_pass: Asked once more where a connection had to be made, which takes its time.
        line: The connection, once there is one; what has come on it may hold keys.
        before: The reply that was the last on it, if there was one; so may that.
        is_answered: Whether the service said yes.
    """

    request: Request
    operation: Operation[Any] | None = None
    let_pass: LetPass | None = None
    line: Secret[Line] | None = field(default=None, repr=False)
    before: Secret[RawReply] | None = field(default=None, repr=False)
    is_answered: bool = False

    def may_follow(self, last: Secret[RawReply], turn: "Turn | None" = None) -> bool:
        """Whether *last*, were it repeated, would be seen not to be the answer; *turn* is that of its request."""
        if (
            turn is not None
            and turn.is_answered
            and type(turn.request) is type(self.request)
            and self._makes_what_has_a_name
        ):
            # As one create after the other: read once already, and in the same way.
            return True
        try:
            content = self.request.judge(last.reveal(), trace_id="", now_s=0.0, sent=NOTHING_SENT)
        except UnreadableReplyError:
            return True
        except EncordError:
            # No answers whatever is asked.
            return False
        if self.operation is None:
            return False
        if self._makes_what_has_a_name:
            return True
        try:
            self.operation.parse(content)
        except ReplyShapeError:
            return True
        except EncordError:
            pass
        return False

    @property
    def _makes_what_has_a_name(self) -> bool:
        """Whether the answer is a name that nothing else was answered with."""
        return self.operation is not None and self.request.effect is Effect.CREATE

    def checked(self, reply: RawReply) -> RawReply:
        """*reply*, the answer unless it is judged to be none: the turn is given up then.

        Raises:
            UnreadableReplyError: It is the one before once more; that one would not have been an answer.
        """
        if self.before is not None and reply.body == self.before.reveal().body:
            raise UnreadableReplyError(
                "the reply to the request before came once more: replies are mixed up on the way; "
                "the request may have taken effect",
                operation=self.request.name,
            )
        self.is_answered = True
        return reply

    def give_up(self) -> None:
        """The reply does not fit: it is the last on its connection."""
        self.is_answered = False
        if self.line is not None:
            self.line.reveal().give_up()

    def distrust(self) -> None:
        """The reply is that to a request on another connection, it may be: no connection is relied on any more."""
        if self.line is not None:
            self.line.reveal().distrust()
