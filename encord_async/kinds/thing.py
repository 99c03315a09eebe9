"""What can be made: a `Thing`, of which each time a step is sent there is one more.

A kind of thing says how it is made and what is written down of that, what listing shows it, how a create whose outcome
is unknown is looked up, and what of it cannot be changed. Each stands in the module of its entries. Nothing here sends
anything but reads, and nothing keeps anything.
"""

import hashlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from encord_async.errors import an, spelt
from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.membership import Relation
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.kinds.step import Step, StepKind
from encord_async.protocol.operations.base import Creation, Operation
from encord_async.value import value

__all__ = [
    "Admission",
    "Creates",
    "DatasetAPI",
    "Draft",
    "Found",
    "InnerName",
    "InnerThing",
    "Listed",
    "Order",
    "Otherwise",
    "Sought",
    "Thing",
    "Update",
    "contents_digest",
    "grown",
    "holding",
    "item_digest",
    "looked_up",
    "own_mark",
]

_MARK_LETTERS: Final = 32


class DatasetAPI(StrEnum):
    """Over which of the service's two APIs datasets are made and listed."""

    REST = "rest"
    """As the official SDK does since 0.1.153. It cannot say where the data of a dataset lie."""
    ENVELOPE = "envelope"


@value
class Order:
    """What is to be made, with everything that its entry refers to found.

    Attributes:
        entry: What wishes for it.
        step: The step that makes it.
        title: Its title.
        description: Its description, with the stamp if there is one.
        items: Hashes of what is to be in it, of `Thing.items`.
        links: Hashes of what else its entry refers to, by the field.
        parent_hash: The thing that it is made in, if it is made in one.
        max_batch: Most items in one request.
        dataset_api: Over which API a dataset is made.
        stamp_key: Secret of the ledger, by which its marks are told from those of others.
    """

    entry: Any
    step: Step
    title: str = ""
    description: str = ""
    items: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    parent_hash: str | None = None
    max_batch: int = 1000
    dataset_api: DatasetAPI = DatasetAPI.REST
    stamp_key: bytes = b""

    def mark(self) -> str:
        """What no other entry has, nor this one under another journal."""
        return own_mark(self.step, self.stamp_key, _MARK_LETTERS)


@value
class Draft:
    """A creation, ready to be written down and sent.

    Attributes:
        operation: What is sent.
        details: What a look-up, and a later run, need to know of it; goes into the journal.
        names: What its namesakes have in common with it, its kind aside.
        taken: How many of its items go along in the request; the others are given to it afterwards.
        needs: What has to be there for the service to make it: kinds of entries, with hashes.
    """

    operation: Operation[Any]
    details: dict[str, object]
    names: tuple[str, ...]
    taken: int = 0
    needs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What a create in doubt would have made, as it was written down."""

    title: str
    parent_hash: str | None
    details: Mapping[str, object]

    @property
    def description(self) -> str:
        """The description that was sent."""
        return str(self.details.get("description") or "")


InnerName: TypeAlias = tuple[str, frozenset[str]]
"""What something inside a thing goes by there: a title, and what else tells it apart."""


class Listed(NamedTuple):
    """Something in a listing of the account; *item* is all that the listing shows of it."""

    hash: str
    title: str
    description: str | None
    is_admin: bool
    item: Any


@dataclass(frozen=True, slots=True)
class Found:
    """Something that the account holds; *mark* is that of the entry that it was made for, if it shows one.

    *more* is what else its kind remembers of a listing.
    """

    hash: str
    is_admin: bool
    mark: str | None = None
    more: object = None


class Otherwise(NamedTuple):
    """A field of which the service shows something else than is wished for.

    *is_unmade* says that what it is to refer to has no hash.
    """

    what: str
    wanted: str | None = None
    found: str | None = None
    reason: str | None = None
    is_unmade: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """What changes something that is there.

    Attributes:
        operation: What is sent.
        overwrites: In words, what is overwritten by it.
        shows: What `Thing.probe` is answered afterwards.
    """

    operation: Operation[None]
    overwrites: tuple[str, ...]
    shows: object


class Creates(StepKind):
    """Makes something each time it is sent.

    Attributes:
        lasting: Details of a record that say what cannot be changed of what was made, title and description aside.
    """

    creates = True
    is_irreversible = True
    verb = "create"
    lasting: ClassVar[tuple[str, ...]] = ()
    is_readied: ClassVar[bool] = False
    """Whether `readied` may read something: it does where a kind has its own."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.is_readied = cls.readied is not Creates.readied

    @property
    def a_noun(self) -> str:
        """`noun` with its article."""
        return an(self.noun)

    @abstractmethod
    def draft(self, order: Order) -> Draft:
        """What is sent for *order*; the same in every run."""

    async def readied(self, reads: Reads, order: Order, draft: Draft) -> Draft:  # noqa: ARG002 - most need nothing
        """*draft* with what is to be read just before it is written down and sent.

        Raises:
            EncordError: It cannot be read.
        """
        return draft

    @abstractmethod
    def hash_of(self, made: Any) -> str:
        """The hash in what the service answers to the create; of a secret, a name that reveals nothing of it."""

    def mistaken(self, made: Any, is_known: Callable[[str], bool]) -> str:  # noqa: ARG002 - most are answered with more than a text
        """What *made* is known by if it is the answer to a create of another kind, which looks no different."""
        return ""

    @abstractmethod
    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        """All that goes by exactly the name of *sought* and may be the caller's own making, by hash.

        Asked for by title alone, and compared here: a service may keep a missing description as NULL, which equals
        nothing, and its clock may be another than ours. Who makes something is its admin.

        Raises:
            EncordError: The look-up failed.
        """

    async def shows(self, reads: Reads, sought: Sought, item: Any) -> bool | None:  # noqa: ARG002 - most do
        """Whether *item*, of the name of *sought*, shows what was sent; None if it may be it all the same."""
        return True

    def is_told_by_contents(self, details: Mapping[str, object]) -> bool:  # noqa: ARG002 - most are
        """Whether what was made with *details* can be told from what a namesake with other contents has made."""
        return True

    async def fits(self, reads: Reads, sought: Sought, found_hash: str) -> bool:  # noqa: ARG002 - most hold nothing
        """Whether *found_hash* holds what was sent: namesakes with other contents are in doubt as well."""
        return True

    def made_alike(self, made: Mapping[str, object], details: Mapping[str, object]) -> bool:
        """Whether what was made with *made* is what would be made with *details*, of a namesake."""
        return all(made.get(name, details.get(name)) == details.get(name) for name in self.lasting)


class Thing(Creates):
    """Makes a thing, which has a hash, a title and a description.

    Attributes:
        items: What the create can have in it already, and by which it is given more; None if it holds nothing.
        links: Fields of the entry that refer to other things, which cannot be exchanged later: each with the names
            under which the journal has the hash and the reference.
        inner: What can be made inside of it, if anything can.
        edited_with: The option by which a run changes title, description and contents of one that is there; None if the
            API cannot.
        retired: What is set of one whose entry is gone from the manifest, where a run is asked to retire it.
        page: Where people look at it in the web app, with ``{}`` for its hash. An assumption: no documentation promises
            it; it is what the vendor's own open-source Encord Active links to.
    """

    stands_for_entry = True
    items: Relation | None = None
    links: Mapping[str, tuple[str, str]] = MappingProxyType({})
    inner: "InnerThing | None" = None
    edited_with: ClassVar[str | None] = None
    retired: ClassVar[Mapping[Relation, str]] = MappingProxyType({})
    page: ClassVar[str] = ""

    @property
    def stays(self) -> str:
        """Why what its entry says otherwise than it was made with stays, in words that follow its name."""
        if self.edited_with is None:
            return "cannot be changed over this API"
        return f"is changed only with {spelt(self.edited_with, True)}"

    @abstractmethod
    def probe(self, found_hash: str) -> Operation[Any]:
        """What reads one of them, and is refused if it is not there or not ours to see."""

    @abstractmethod
    def imagined(self, stand_in: str, items: Collection[str]) -> object:
        """What `probe` would be answered, had one been made that is called *stand_in* and holds *items*."""

    def foretold(self, stand_in: str, draft: Draft) -> object | None:  # noqa: ARG002 - most show no more
        """What `probe` would be answered of what *draft* makes, if others look for more there than `imagined` shows."""
        return None

    def references(self, entry: Any) -> Sequence[str]:  # noqa: ARG002 - most hold nothing
        """References to what the entry wishes to be in it, of `items`, each once."""
        return ()

    def linked(self, entry: Any) -> Mapping[str, str]:
        """References to what else the entry names, by the field; see `links`."""
        return {field: reference for field in self.links if (reference := getattr(entry, field)) is not None}

    def compared(self, entry: Any, details: Mapping[str, object]) -> dict[str, tuple[object, object]]:  # noqa: ARG002
        """Fields of *entry* that cannot be changed later, each as it is wished now and as it was made.

        Title, description and links are compared elsewhere.
        """
        return {}

    def update(self, order: Order, item: Any) -> "Update | None":  # noqa: ARG002 - most cannot be changed
        """What lets *item*, the answer to `probe`, be as *order* has it; None if it is so already."""
        raise AssertionError(f"the API changes no {self.noun}")

    def says_all(self, entry: Any) -> bool:  # noqa: ARG002 - most do
        """Whether *entry* itself says all that `update` sees to; else what is there and differs is not as wished."""
        return True

    # ------------------------------------------------------------------ what is there already

    @abstractmethod
    def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:
        """All that the account holds of it."""

    def is_beside(self, order: Order, found: Found) -> bool:  # noqa: ARG002 - most lie in nothing
        """Whether *found*, of the title and description of *order*, lies in what that would lie in."""
        return True

    def remembered(self, item: Any) -> object:  # noqa: ARG002 - most need nothing
        """What is kept of an item of a listing besides its names, for `suited`."""
        return None

    # ------------------------------------------------------------------ comparing it

    is_read_alone: ClassVar[bool] = False
    """Whether each is read by itself when it is compared, since it shows more than a listing does."""

    @abstractmethod
    def names_of(self, item: Any) -> tuple[str, str | None]:
        """Title and description in the answer to `probe`."""

    def compares(self, entry: Any, linked: Mapping[str, str | None]) -> object:  # noqa: ARG002 - some nothing
        """What is kept of *entry* for `differences`: not the entry, since there may be a million.

        Args:
            entry: The entry.
            linked: Hashes of what it refers to by `linked`; None for what has none yet.
        """
        return None

    def differences(self, wished: Any, item: Any) -> Iterator["Otherwise"]:  # noqa: ARG002 - as above
        """How what the service shows differs from what `compares` gave, title and description aside."""
        return iter(())

    def closes(self, entry: Any, relation: Relation) -> bool:  # noqa: ARG002 - most do
        """Whether *entry* says all that is to be in its thing by *relation*."""
        return True

    # ------------------------------------------------------------------ taking what is there for ours

    async def suited(self, reads: Reads, entry: Any, found: Sequence[Found]) -> Sequence[Found]:  # noqa: ARG002
        """Those of *found* that can be taken for what *entry* wishes.

        Raises:
            ConflictError: The account is admin of some, and none of these can.
            EncordError: One cannot be read.
        """
        return found

    async def lacking(self, reads: Reads, found_hash: str, order: Order) -> Sequence[str]:  # noqa: ARG002 - as above
        """The items that one which is taken for ours lacks.

        Raises:
            ConflictError: It is otherwise than the entry wishes, which cannot be changed.
            EncordError: It cannot be read.
        """
        return ()


class InnerThing(Creates):
    """Makes something inside a thing, which goes by no hash there but by what it is like.

    Of two alike nobody can say which is whose.

    Attributes:
        parent: The kind of entry that makes the things it is in.
    """

    is_inner = True
    parent: ClassVar[str]

    @abstractmethod
    def names(self, step: Step, parent_hash: str) -> tuple[str, ...]:
        """What namesakes of what *step* makes have in common, as in `Draft.names`."""

    @abstractmethod
    def goes_by(self, step: Step) -> InnerName:
        """What it goes by within the thing."""

    @abstractmethod
    def listing(self, parent_hash: str) -> Operation[Any]:
        """What lists those inside a thing."""

    @abstractmethod
    def wish(self, key: str | None, parent_hash: str, name: InnerName) -> Entry:
        """The entry that wishes for one that goes by *name*."""

    @abstractmethod
    async def inside(self, reads: Reads, parent_hash: str) -> Sequence[tuple[str, InnerName]]:
        """Those inside a thing: of each what `hash_of` would give, and what it goes by there.

        Raises:
            EncordError: They cannot be read.
        """


class Admission(StepKind):
    """Lets somebody in; for who is in already nothing happens, and that is no failure.

    Attributes:
        stays: Why what somebody is cannot be changed once they are in, and what to do.
    """

    stands_for_entry = True
    stays: str

    @abstractmethod
    def address(self, entry: Any) -> str:
        """Who it is."""

    @abstractmethod
    async def admitted(self, reads: Reads) -> Mapping[str, Any] | Unlisted:
        """Those who are in, by address in small letters; that the service does not list them is a result."""

    @abstractmethod
    def differences(self, entry: Any, found: Any) -> Iterator[Otherwise]:
        """How one of `admitted` differs from what *entry* wishes; None is nobody."""

    @abstractmethod
    def former(self, entry: Any, identity: bytes) -> Iterator[bytes]:
        """Identities of the steps that *entry*, with *identity*, would have if it let the same one in otherwise."""

    @abstractmethod
    def sending(self, entry: Any) -> Operation[bool]:
        """What is sent; its result is whether that is new."""


def item_digest(item_hash: str) -> str:
    """A short name for an item among those of one thing."""
    return hashlib.blake2b(item_hash.encode(), digest_size=6).hexdigest()


async def looked_up(reads: Reads, creation: Creation[Any, Any], thing: Thing) -> Mapping[str, object]:
    """All that looks as what *creation* makes, in the listing that the operation itself names."""
    found: dict[str, object] = {}
    async for page in reads.pages(creation.look_up()):
        found |= {thing.hash_of(creation.adopted(item)): item for item in page.results if creation.is_it(item)}
    return found


def holding(references: Sequence[str], wished: Sequence[str], items: Collection[str]) -> dict[str, object]:
    """What is written down of a thing that holds *items*, of those that its entry names.

    By the references a later run knows at once that nothing has to be done. Where keys are among them, which may come
    to mean something else, the digests of the items tell.

    Args:
        references: As the entry names them, each once.
        wished: The hashes that they stand for, each once.
        items: What it holds.
    """
    known: dict[str, object] = {"references": list(references)}
    held = set(items)
    if len(held) < len(wished):
        # Where two stand for one item, which ones is not kept: only the digests tell.
        alike = len(references) == len(wished)
        pairs: Iterable[tuple[str, str]] = zip(references, wished, strict=True) if alike else ()
        known["references"] = [reference for reference, item in pairs if item in held]
    if any(referenced_key(reference) is not None for reference in references):
        known["held"] = [item_digest(item) for item in wished if item in held]
    return known


def grown(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """*items* as a thing holds them after its creation, and after each request that gives it more."""
    for end in range(size, max(len(items), 1) + size, size):
        yield items[:end]


def own_mark(step: Step, key: bytes, letters: int) -> str:
    """What *step* has alone, and with *key* no other ledger gives it."""
    return hashlib.blake2b(step.identity, key=key, digest_size=letters // 2).hexdigest()


_CONTENTS_BYTES: Final = 16


def contents_digest(item_hashes: Iterable[str]) -> str:
    """A name for a set of items, to tell namesakes apart by what they hold."""
    joined = "\n".join(sorted(set(item_hashes)))
    return hashlib.blake2b(joined.encode(), digest_size=_CONTENTS_BYTES).hexdigest()
