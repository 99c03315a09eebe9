"""A step: one thing that is sent for an entry, written down and finished by itself; and what steps there can be.

A step has an identity that is the same in every run of the same wish, which is how a resumed run knows it again. What
a step does is said by its kind, an object of which there is one for each: `Thing` makes something, `Membership` gives
or takes, `Admission` lets somebody in. The kinds themselves are in the modules beside this one. Nothing here sends.
"""

import functools
import hashlib
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from encord_async.kinds.fields import referenced_key
from encord_async.protocol.catalogue import APIKeyScope

if TYPE_CHECKING:
    from encord_async.kinds.files import Portion
    from encord_async.kinds.picked import Picked

__all__ = [
    "IDENTITY_BYTES",
    "PHASES",
    "Step",
    "StepKind",
    "digest",
    "each",
    "key_wish",
    "keyed",
    "made_by",
    "making_step",
    "one",
    "part",
]

IDENTITY_BYTES: Final = 16
_EMPTY: Final = hashlib.blake2b(digest_size=IDENTITY_BYTES)
"""To copy one takes half as long as to make one."""
PHASES: Final = 3
"""So many there are: makes, gives and takes; then links of what lies in folders; then tasks, which that brings."""


# No `ABC`: `isinstance`, asked several times for each step, would be slower. mypy holds subclasses to it all the same.
class StepKind:
    """What a step does.

    Attributes:
        word: What the journal, plans and reports call it; at most 16 letters, for a journal has no room for more.
        noun, plural: What people call what it is done to: one, and several.
        deed: How `verify --fix` counts what it sends of it: a name, and words for one and several; None for what is
            never sent to put something right.
        stands_for_entry: Whether it creates what an entry's key names.
        creates: Whether it makes another thing each time it is sent, so that its intent is written down first.
        is_irreversible: Whether the service offers no call that undoes it.
        is_inner: Whether it makes something inside another thing, which knows it by no hash.
        takes: Whether it takes something away.
        phase: What of a run comes first: steps of a later phase wait until the manifest is at its end and all steps of
            the earlier ones have ended, whichever entries they are of. Nothing may wait for a step of a later phase.
        verb: What a plan says it does.
    """

    word: str
    noun: str
    plural: str
    deed: tuple[str, str, str] | None = None
    stands_for_entry: bool = False
    creates: bool = False
    is_irreversible: bool = False
    is_inner: bool = False
    takes: bool = False
    phase: int = 0
    verb: str = "add"

    @property
    def what(self) -> str:
        """What it is done to, as plans have it for programs."""
        return self.word

    @property
    def thing(self) -> str:
        """The same, as differences have it."""
        return self.word

    @property
    def said(self) -> str:
        """What it does and to what, as people are told of it everywhere."""
        return f"{self.verb} {self.noun}"

    def __repr__(self) -> str:
        return f"<{self.word} steps>"


class Step(NamedTuple):
    """One thing to do for an entry.

    Attributes:
        identity: The same in every run of the same wish; nothing if that of the entry was not told.
        kind: What it does.
        parent: Reference of the thing that it is about; None for what the entry itself makes.
        item: Reference, e-mail address, or title, as the kind has it.
        role: Role wanted there, for users and groups.
        scopes: Scopes wanted, for API keys.
        load: The files that it is about, if it is about some, or which items of a folder.
        comes_last: Whether it waits for all other steps of its entry, and is not tried unless they succeed.
    """

    identity: bytes
    kind: StepKind
    parent: str | None = None
    item: str = ""
    role: IntEnum | None = None
    scopes: tuple[APIKeyScope, ...] = ()
    load: "Portion | Picked | None" = None
    comes_last: bool = False


def making_step(identity: bytes, kind: StepKind, item: str) -> Step:
    """The step that makes what an entry with *identity* wishes for."""
    return Step(identity and part(identity, kind.word), kind, item=item)


def each(
    identity: bytes, kind: StepKind, parent: str | None, items: Iterable[str], role: IntEnum | None = None
) -> list[Step]:
    """A step for each of *items*, once."""
    return [one(identity, kind, parent, item, role) for item in dict.fromkeys(items)] if items else []


def one(identity: bytes, kind: StepKind, parent: str | None, item: str, role: IntEnum | None = None) -> Step:
    """A step that gives or takes *item*."""
    if identity:
        names = (kind.word, item) if role is None else (kind.word, item, str(int(role)))
        identity = part(identity, *names)
    return Step(identity, kind, parent, item, role)


def made_by(kind: str, entry: bytes, reference: str | None) -> bytes | None:
    """Identity of the step that makes a thing; None for one that no entry makes.

    Args:
        kind: What kind of entry makes such things.
        entry: Identity of the entry that speaks of it.
        reference: The thing as a step of that entry names it; None for what the entry makes itself.
    """
    if reference is None:
        return part(entry, kind)
    key = referenced_key(reference)
    return None if key is None else part(keyed(kind, key), kind)


def key_wish(step: bytes, parent: str | None) -> bytes:
    """A name for the wish for something inside a thing: a keyed entry may ask for the same in another one.

    Args:
        step: Identity of the step that makes it.
        parent: The thing as the step names it.
    """
    return digest(step, (parent or "").encode())


def keyed(kind: str, key: str) -> bytes:
    """Identity of the entry of *kind* that has *key*."""
    return _named(_of_kind(kind), (key.encode(),))


def part(identity: bytes, *names: str) -> bytes:
    """Identity of the part of an entry that goes by *names*."""
    return digest(identity, *[name.encode() for name in names])


def digest(*parts: bytes) -> bytes:
    """A name for *parts*, in which their lengths keep ("ab", "c") and ("a", "bc") apart."""
    return _named(_EMPTY, parts)


@functools.cache
def _of_kind(kind: str) -> hashlib.blake2b:
    """What the names of all keyed entries of *kind* begin with."""
    begun = _EMPTY.copy()
    for some in (b"key", kind.encode()):
        begun.update(b"%d:%b" % (len(some), some))
    return begun


def _named(begun: hashlib.blake2b, parts: Iterable[bytes]) -> bytes:
    name = begun.copy()
    for some in parts:
        name.update(b"%d:%b" % (len(some), some))
    return name.digest()
