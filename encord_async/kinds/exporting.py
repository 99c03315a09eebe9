"""What kinds need to write an account down: a `Pen` makes entries of what was read, and says what no entry can say.

Pure, but for the reads of `Exports.exported`; a kind that can be exported is an `Exports` besides what else it is.
"""

import re
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, TypeVar

from pydantic import ValidationError

from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import Part
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import StepKind
from encord_async.kinds.thing import InnerName, Listed

__all__ = ["Exports", "Inside", "KeyMaker", "LeftOut", "Pen", "Scope", "in_order_of_age"]

EntryT = TypeVar("EntryT", bound=Entry)
PartT = TypeVar("PartT", bound=Part)

_LONGEST_KEY: Final = 60
_NO_WORD: Final = re.compile(r"[\W_]+")
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much of an account is written down.

    Attributes:
        ontologies: Ontologies, and which of them each project has.
        users: Users of projects, the account itself among them, of groups and of the organisation.
        organisation: Users and groups of the organisation, and the groups of projects.
        tasks: Whose the tasks of projects are, by the titles of their data.
        items: The files of folders, and which datasets they are linked to.
    """

    ontologies: bool = True
    users: bool = True
    organisation: bool = True
    tasks: bool = False
    items: bool = False


_EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that the manifest does not hold, and why."""

    what: str
    title: str
    hash: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """A JSON object."""
        return {"what": self.what, "title": self.title, "hash": self.hash, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What is in a thing, as far as it is written down and the service lists it.

    Attributes:
        item: All that the service shows of the thing itself.
        held: What is in it, by relation.
        inner: What was made inside of it.
    """

    item: Any = None
    held: Mapping[Relation, Held] = field(default_factory=dict)
    inner: Sequence[InnerName] = ()

    def of(self, relation: Relation) -> Held:
        """What is in it by *relation*."""
        return self.held.get(relation, {})


class KeyMaker:
    """Makes keys of titles: words joined by hyphens, with a number where another has the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: Counter[str] = Counter()

    def make(self, title: str, otherwise: str) -> str:
        """A key that was not given before; *otherwise* stands in for a title without a letter or digit."""
        words = _NO_WORD.sub("-", title.casefold()).strip("-")[:_LONGEST_KEY].strip("-")
        base = words or otherwise
        key = base
        while key in self._taken:
            # From 2 on: the first has no number.
            self._next[base] = max(2, self._next[base] + 1)
            key = f"{base}-{self._next[base]}"
        self._taken.add(key)
        return key


class Pen:
    """Makes entries and parts of them, in the order in which it is asked; remembers the key of each thing.

    Args:
        scope: How much is written down.
        on_left_out: Is told what no entry can say.
    """

    def __init__(self, *, scope: Scope = _EVERYTHING, on_left_out: Callable[[LeftOut], None] = lambda _: None) -> None:
        self.scope = scope
        self.not_listed: list[str] = []
        """What the service does not list, in words."""
        self.mirrored: dict[str, str] = {}
        """Hashes of datasets whose entries name a folder that mirrors a bucket, and of that folder."""
        self._on_left_out = on_left_out
        self._keys = KeyMaker()
        self._references: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def entry(
        self,
        model: type[EntryT],
        kind: StepKind,
        found: Listed,
        /,
        *,
        otherwise: str | None = None,
        about: str | None = None,
        **fields: object,
    ) -> tuple[EntryT, ...]:
        """The entry of something that others may refer to, with a key made of its title; nothing if none can say it.

        Args:
            model: The model of its entries.
            kind: What makes such things.
            found: What the account holds.
            otherwise: The key of what has no word in its title, if that is not the word of *kind*.
            about: What it is known by to `reference`, if that is not its hash.
            fields: Of the entry.
        """
        key = self._keys.make(found.title, otherwise or kind.word)
        made = self.part(model, kind.noun, found.title, found.hash, key=key, **fields)
        for entry in made:
            self._references[entry.kind][found.hash if about is None else about] = f"@{key}"
        return made

    def part(
        self, model: type[PartT], what: str, title: str, found_hash: str, /, **fields: object
    ) -> tuple[PartT, ...]:
        """Something in an entry, or an entry without a key; nothing if none can say it, which is told."""
        try:
            made = model.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            self.leave_out(what, title, found_hash, f"no entry can say its {where}: {first['msg']}")
            return ()
        wrong = made.faults() if isinstance(made, Entry) else ()
        if wrong:
            self.leave_out(what, title, found_hash, f"no entry can say it: {wrong[0].reason}")
            return ()
        return (made,)

    def leave_out(self, what: str, title: str, found_hash: str, reason: str) -> None:
        """Tell that something is not written down."""
        self._on_left_out(LeftOut(what=what, title=title, hash=found_hash, reason=reason))

    def has(self, kind: str) -> bool:
        """Whether any entry of *kind* was written down."""
        return bool(self._references.get(kind))

    def reference(self, kind: str, about: str) -> str | None:
        """The reference to what an entry of *kind* was written down for; None if there is none."""
        return self._references[kind].get(about)

    def split(self, kind: str, abouts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """References to those of *abouts* that were written down, and the others, which are not the account's own."""
        ours, others = list[str](), list[str]()
        for about in dict.fromkeys(abouts):
            reference = self.reference(kind, about)
            if reference is None:
                others.append(about)
            else:
                ours.append(reference)
        return tuple(ours), tuple(others)


class Exports(StepKind):
    """A kind of step of whose makings, or of whom it lets in, an account can be written down.

    Attributes:
        after: Kinds of entries that its own may refer to, which are therefore written first.
        unlisted: What people are told if the service does not list them; None if there is no export without.
        caution: What people are told who apply such entries elsewhere.
        unasked: What people are told of an account that has some if the scope leaves them out; None if nothing.
    """

    after: ClassVar[Collection[str]] = ()
    unlisted: ClassVar[str | None] = None
    caution: ClassVar[str] = ""
    unasked: ClassVar[str | None] = None

    def is_in(self, scope: Scope) -> bool:  # noqa: ARG002 - most are
        """Whether it is written down."""
        return True

    @abstractmethod
    def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:
        """All that the account holds, in the order in which it was made as far as the service shows that.

        Raises:
            EncordError: It cannot be read.
        """

    @abstractmethod
    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        """The entries of one of them, its own first; none if no entry can say it. Pure."""


def in_order_of_age(dated: Iterable[tuple[datetime | None, Listed]]) -> list[Listed]:
    """The oldest first."""
    return [found for _, found in sorted(dated, key=lambda one: (one[0] or _EARLIEST, one[1].hash))]
