"""What can be put into a thing and taken out again: a `Relation`, with a kind of step for either direction.

All of it is harmless to repeat, so many steps of one relation, thing and role go out as one request. What a relation
says of itself is here; each stands in the module of the entries that wish for it. Nothing here sends, but reads.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from encord_async.kinds.entry import Entry
from encord_async.kinds.names import Names
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.kinds.step import StepKind
from encord_async.protocol.operations.base import Operation

if TYPE_CHECKING:
    from encord_async.kinds.exporting import Pen
    from encord_async.kinds.thing import Listed

__all__ = ["ADMIN", "Held", "Membership", "Relation", "role_name"]

Held: TypeAlias = Mapping[str, int | None]
"""Who or what is in a thing, with the role there, if it has one."""

ADMIN: Final = 0
"""Whoever has this role may be the account itself, see `Relation.spared`."""
_IDENTITY_BYTES: Final = 16


class Relation(ABC):
    """One sort of what a thing has in it.

    Attributes:
        sort: What a journal knows it by.
        what: What a plan says is added or removed.
        noun, plural: What people call one item, and several.
        adds, removes: See `StepKind.deed`.
        parent: The kind of entry that makes the things it is in.
        item: The kind of entry that its items may refer to; None if they are said as they are.
        is_of_addresses: Whether its items are e-mail addresses, the same however they are written.
        gives, takes: The words of the steps that put something in and take it out; no word for what no step does.
        roles: The roles that there can be, if there are any.
        role_follows: Whether giving it once more gives it another role.
        shows_roles: Whether the answer to `adding` shows the roles that its items have then, see `roles_shown`.
        most_given: Most items in one request that gives, if that is less than a run asks for.
        most_taken: Most items in one request that takes; their hashes may travel in its address.
        refuses_absent: Whether a request that takes is refused if one of its items is not there any more.
        names: How its items are found that go by names, while the service wants identifiers; None if they need not be.
        is_single: Whether a thing has exactly one item by it, whose place another one takes (`Setting`).
        at_first: What a thing has by it that was just made.
        in_create: Whether the request that makes the thing can have some of it already, see `Thing.items`.
        phase: See `StepKind.phase`.
        is_remembered: Whether what a journal says was done need not be looked at again.
        is_at_once: Whether one request does it, after which nothing more is to be known of it.
        is_shown: Whether the service shows it; what it does not show is not compared.
        has_entries: Whether a kind of entry wishes for it in any thing, and not only in what it makes itself.
        is_content: Whether it is what people work on: what comes to a thing by it brings tasks.
        thing: What a difference calls it, as a word for programs.
    """

    sort: ClassVar[str]
    what: ClassVar[str]
    parent: ClassVar[str]
    item: ClassVar[str | None] = None
    is_of_addresses: ClassVar[bool] = False
    gives: ClassVar[str]
    takes: ClassVar[str] = ""
    noun: ClassVar[str]
    plural: ClassVar[str]
    adds: ClassVar[tuple[str, str, str] | None] = None
    removes: ClassVar[tuple[str, str, str] | None] = None
    roles: ClassVar[type[IntEnum] | None] = None
    role_follows: ClassVar[bool] = True
    shows_roles: ClassVar[bool] = False
    most_given: ClassVar[int | None] = None
    most_taken: ClassVar[int | None] = None
    refuses_absent: ClassVar[bool] = False
    names: ClassVar[Names | None] = None
    is_single: ClassVar[bool] = False
    at_first: ClassVar[Held] = MappingProxyType({})
    in_create: ClassVar[bool] = False
    phase: ClassVar[int] = 0
    is_remembered: ClassVar[bool] = True
    is_at_once: ClassVar[bool] = True
    is_shown: ClassVar[bool] = True
    has_entries: ClassVar[bool] = True
    is_content: ClassVar[bool] = False
    thing: ClassVar[str]

    def __init__(self) -> None:
        self.give = Membership(self, self.gives, takes=False)
        self.take = Membership(self, self.takes, takes=True)

    def said(self, item: str) -> str:
        """*item* as people read it."""
        return item

    def folded(self, item: str) -> str:
        """*item* as it is compared."""
        return item.casefold() if self.is_of_addresses else item

    def told_apart(self, item: str) -> str:
        """By what *item* is told from other items of its thing: where there is only one, by nothing."""
        return "" if self.is_single else self.folded(item)

    def identity(self, about: str, item: str) -> bytes:
        """What a membership is written down under: the same for whichever entry adds or removes it.

        So there is one record of it, which the last word on it overwrites: what was undone since cannot pass for done.

        Args:
            about: Hash of the thing that it is in.
            item: Hash of what comes or goes, or an address.
        """
        # Of many items of large things: in one piece, in which the length keeps the two apart.
        framed = f"{self.sort} {len(about)}:{about}{self.told_apart(item)}"
        return hashlib.blake2b(framed.encode(), digest_size=_IDENTITY_BYTES).digest()

    @property
    def lets_in(self) -> bool:
        """Whether it is about who has access to a thing, or what that works on, and can be taken back."""
        return bool(self.takes) and (self.item is not None or self.is_of_addresses)

    @abstractmethod
    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[Any]:
        """What is sent to put *items* in; where they go by names, these are identifiers."""

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> Operation[Any]:
        """What is sent to take *items* out."""
        raise AssertionError(f"no step takes {items} out of {parent_hash}")

    @abstractmethod
    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        """Read what is in the thing; that the service does not list it is a result.

        Raises:
            EncordError: The service cannot be read, or refuses to show the thing.
        """

    async def held_of(self, reads: Reads, parent_hash: str, wished: Collection[str]) -> Held | Unlisted:  # noqa: ARG002
        """What is in the thing, as far as it matters to who wishes for *wished*; see `held`."""
        return await self.held(reads, parent_hash)

    def roles_shown(self, answer: Any) -> Mapping[str, int]:
        """The roles that the answer to `adding` shows, by `folded` item."""
        raise AssertionError(f"the service does not show the role of a {self.sort}: {answer!r}")

    # ------------------------------------------------------------------ writing it down

    written_as: ClassVar[str | None] = None
    """What an export calls several of what is in a thing, if that is not `plural`."""

    def is_written(self, pen: "Pen") -> bool:  # noqa: ARG002 - some ask it
        """Whether an export reads and writes down what is in things by it."""
        return self.is_shown

    def entries(self, pen: "Pen", parent: "Listed", reference: str, held: Held) -> Iterator[Entry]:  # noqa: ARG002
        """The entries that say what is in a thing, as far as the thing's own entry does not. Pure.

        Args:
            pen: Makes them.
            parent: The thing.
            reference: What they name it by.
            held: What is in it.
        """
        return iter(())

    # ------------------------------------------------------------------ comparing it

    told_as: ClassVar[str | None] = None
    """Under which name `verify` tells how much of it was read, if it does."""

    limits_unsaid: ClassVar[bool] = True
    """Whether a thing's own entry says what is in it even if the manifest speaks of no such thing anywhere."""

    is_said_by_items: ClassVar[bool] = False
    """Whether a manifest that has entries for its items speaks of it by that."""

    role_stays: ClassVar[str | None] = None
    """Why the role of what is in it already stays, or the one item that is set, if it does."""

    extras_stay: ClassVar[str | None] = None
    """Why what is too much is told and never removed; None if it can be."""

    async def spared(self, reads: Reads, held: Held) -> Collection[str]:  # noqa: ARG002 - some need not ask
        """Those of *held* that are never too much; by default who may be the account itself, an Admin."""
        return {item for item, role in held.items() if role == ADMIN}

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:  # noqa: B027 - most need no look
        """See to it that the account does not take itself out with what no entry wishes for.

        Raises:
            ConflictError: That cannot be told.
        """


class Membership(StepKind):
    """Gives, or takes, what is in a thing."""

    def __init__(self, relation: Relation, word: str, *, takes: bool) -> None:
        self.word = word
        self.noun, self.plural = relation.noun, relation.plural
        self.deed = relation.removes if takes else relation.adds
        self.relation = relation
        self.takes = takes
        self.phase = relation.phase
        self.verb = "remove" if takes else "change" if relation.is_single else "add"

    @property
    def what(self) -> str:
        return self.relation.what

    @property
    def thing(self) -> str:
        return self.relation.thing

    def sending(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> Operation[Any]:
        """What is sent for steps of this kind about one thing."""
        if self.takes:
            return self.relation.removing(parent_hash, items)
        return self.relation.adding(parent_hash, items, role)

    def most(self, max_batch: int) -> int:
        """Most items in one request."""
        bound = self.relation.most_taken if self.takes else self.relation.most_given
        return max_batch if bound is None else min(bound, max_batch)


def role_name(role: int | None, roles: type[IntEnum] | None) -> str:
    """The word for a role, or the number if it is not known."""
    known: Sequence[IntEnum] = tuple(roles) if roles is not None else ()
    return next((one.name.lower() for one in known if one == role), str(role))
