"""What every kind of entry says of itself: what it refers to, what is wrong within it, and its steps. Pure."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import FormerKey, Key, Part, Reference, Text, referenced_key
from encord_async.kinds.step import Step, StepKind

if TYPE_CHECKING:
    from encord_async.kinds.files import Files

__all__ = ["Count", "Entry", "InProjectEntry", "MakingEntry", "Say", "TitledEntry", "Use", "needed_keys", "uses"]


class Use(NamedTuple):
    """Where a hash or a reference stands in an entry, and the kind of entry that a reference there has to name."""

    field: str
    reference: str
    kind: str


class Say(NamedTuple):
    """What an entry says of a user in a thing: the role, of *roles*, or None for nobody's: the user is to be removed.

    *about* is the reference by which other entries may speak of the same thing.
    """

    field: str
    about: str
    email: str
    role: IntEnum | None
    roles: type[IntEnum]


class Count(NamedTuple):
    """A number of what an entry holds: how many items are in the fields *of*, or one if it names none.

    *name* is for programs and *words* for people, *exported* its name in an export that adds it up, with words for one
    and several.
    """

    name: str
    words: str
    of: tuple[str, ...] = ()
    exported: tuple[str, str, str] | None = None

    def number(self, entry: "Entry") -> int:
        """How many there are."""
        said = [getattr(entry, field) for field in self.of]
        return sum(len(one) if isinstance(one, tuple) else one is not None for one in said) if self.of else 1


class Entry(Part):
    """A line of a manifest. Each kind has a model of its own, with ``kind`` as its constant.

    The order of fields is part of the identity of entries without a key, and so of journals: new ones come last.
    """

    names_something: ClassVar[bool] = False
    """Whether its key names something that others may refer to."""
    is_harmless_twice: ClassVar[bool] = False
    """Whether two of the same content are one wish."""
    heeds_journal: ClassVar[bool] = True
    """Whether a membership of which the journal has the last word is not sent again."""
    is_looked_at: ClassVar[bool] = False
    """Whether each run reads what the service shows of all that it says, whatever the journal says."""
    creates: ClassVar[bool] = False
    """Whether any of its steps creates something."""
    makes: ClassVar[StepKind | None] = None
    """The step that creates what its key names."""
    title_field: ClassVar[str | None] = None
    """The field that has the title of what it makes, if that has one."""
    beside: ClassVar[tuple[str, str] | None] = None
    """A field that names a file of JSON beside the manifest, and the one whose value that file holds."""
    rows_beside: ClassVar[str | None] = None
    """A field that names a file of rows beside the manifest, which is read as they are needed."""
    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({})
    """Its fields that are lists of objects, and the model of these."""

    forms: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """How a cell of a table says several of a field that is a list."""
    example: ClassVar[Mapping[str, object]] = MappingProxyType({})
    """Fields of one with which a manifest may begin."""
    is_common: ClassVar[bool] = False
    """Whether most manifests have some."""

    kind: str
    key: Key | None = None
    moved: FormerKey | None = None

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Self:
        """The entry that *raw* describes; raises as pydantic does."""
        return cls.__pydantic_validator__.validate_python(raw)  # type: ignore[no-any-return]  # pydantic's is untyped

    @property
    def was_trimmed(self) -> bool:
        """Whether its title had blanks at its ends where it was read."""
        return False

    def with_rows(self, files: "Files") -> Self:
        """The entry with *files*, which the file of `rows_beside` holds."""
        raise AssertionError(f"a {self.kind} entry names no file of rows: {files}")

    def rows_digest(self) -> str:
        """A name for what the file of `rows_beside` holds: nothing if it names none."""
        return ""

    def says(self) -> Iterable[Say]:
        """What it says of users who can have one role only."""
        return ()

    def takes_from(self) -> str | None:
        """Hash or reference of the thing that it takes something from, if it does."""
        return None

    def about(self) -> str | None:
        """Hash or reference of the thing that all of it is about, if that is another entry's or nobody's."""
        return None

    def wished_tags(self) -> Collection[str]:
        """Tags that what it makes is to have."""
        return ()

    def references(self) -> Iterable[Use]:
        """What it refers to."""
        return ()

    def made_from(self) -> Use | None:
        """The one of its references that it is copied from, or lies in: entries may not be that in circles."""
        return None

    circle: ClassVar[str] = "is itself copied from this entry, if not directly"
    """What is said of the reference that closes such a circle."""

    def faults(self) -> list[Fault]:
        """What stands twice in it, is missing, or does not go together."""
        return []

    counted: ClassVar[tuple[Count, ...]] = ()
    """What it holds in numbers, which `validate` adds up."""

    def contents(self) -> Mapping[str, int]:
        """The numbers of `counted`, by their names."""
        return {count.name: count.number(self) for count in self.counted}

    def as_json(self) -> dict[str, object]:
        shown = {"kind": self.kind, **super().as_json()}
        return shown | {name: [one.as_json() for one in getattr(self, name)] for name in self.parts if name in shown}

    def irreversible(self) -> Mapping[str, int]:
        """How many things it makes that cannot be unmade, by the kind of entry that makes such things."""
        return {self.kind: 1} if self.makes is not None and self.makes.is_irreversible else {}

    @abstractmethod
    def steps(self, identity: bytes) -> Iterator[Step]:
        """What is to be done for it; what its key names comes first.

        Args:
            identity: Its identity.
        """


class TitledEntry(Entry):
    """An entry with a title, which is taken without the blanks at its ends."""

    title_field: ClassVar[str] = "title"
    """The field that has its title."""

    # No private attribute of pydantic's: to make and to ask for one takes longer than to read an entry.
    __slots__ = ("_was_trimmed",)

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Self:
        entry = super().read(raw)
        object.__setattr__(entry, "_was_trimmed", raw.get(cls.title_field) != getattr(entry, cls.title_field))
        return entry

    @property
    def was_trimmed(self) -> bool:
        return getattr(self, "_was_trimmed", False)


class MakingEntry(TitledEntry):
    """An entry that makes a thing of its own."""

    names_something = True
    creates = True

    if TYPE_CHECKING:
        # Each kind declares it after its title, where the identities of journals have it.
        description: Text = ""

    @property
    def wished_title(self) -> str:
        """What it calls the thing."""
        title: str = getattr(self, self.title_field)
        return title

    @property
    def lies_in(self) -> str | None:
        """Reference to the thing of the same kind that it lies in: only those in there are its namesakes."""
        return None

    def names(self, lies_in_hash: str | None = None) -> tuple[str, ...]:
        """What its namesakes have in common with it, where what it lies in has this hash."""
        return (self.wished_title, self.description, *(() if lies_in_hash is None else (lies_in_hash,)))


class InProjectEntry(Entry):
    """An entry about what a project has, which another entry has made, or nobody."""

    project: Reference

    def takes_from(self) -> str | None:
        return self.project if getattr(self, "remove", ()) else None

    def about(self) -> str | None:
        return self.project

    def references(self) -> Iterable[Use]:
        """The project, to begin with."""
        return (Use("project", self.project, "project"),)


def uses(field: str, references: Sequence[str], kind: str) -> Iterator[Use]:
    """Each of *references*, which stand in the list *field*."""
    for index, reference in enumerate(references):
        yield Use(f"{field}.{index}", reference, kind)


def needed_keys(entry: Entry) -> Iterator[str]:
    """The keys of other entries that *entry* refers to."""
    for use in entry.references():
        key = referenced_key(use.reference)
        if key is not None:
            yield key
