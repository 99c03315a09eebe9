"""A kind that no release knows, with endpoints of its own, is planned, provisioned, verified and exported like others.

All of it is defined here: shelves with books and a colour, and entries that put books on any shelf. The service is the
emulator's own, with a library beside it.
"""

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs

import pytest
from pydantic import BaseModel

from encord_async.client import EncordSession
from encord_async.journal.journal import Identity, Journal
from encord_async.kinds.entry import Count, Entry, MakingEntry, Use
from encord_async.kinds.exporting import Exports, Inside, Pen
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Reference, Text, Title
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.kinds.registry import registered
from encord_async.kinds.setting import Setting
from encord_async.kinds.step import Step, each, making_step, one
from encord_async.kinds.thing import DatasetAPI, Draft, Listed, Order, Sought, Thing, looked_up
from encord_async.plan import Action
from encord_async.protocol.catalogue import REST_ROOT, Effect, RestCall
from encord_async.protocol.checks import Adapter
from encord_async.protocol.operations.base import Command, Creation, PageOperation, RestOperation
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import BearerToken
from encord_async.verify.compare import compare
from encord_async.verify.difference import Difference
from encord_async.verify.repair import Repairs, repair
from encord_async.verify.wishes import gather
from tests.crash.conftest import Death, Life, MortalJournal, MortalTransport, Program, Service
from tests.direct import TOKEN
from tests.thorough import stride

# ---------------------------------------------------------------------- the service


@dataclass
class Shelf:
    """A shelf as the service keeps it."""

    title: str
    description: str
    books: dict[str, None] = field(default_factory=dict)
    colour: str = "brown"


class Library(Service):
    """The emulated service, with shelves; twice made is two."""

    def __init__(self) -> None:
        super().__init__()
        self.shelves: dict[str, Shelf] = {}
        self.sent: Counter[str] = Counter()

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, stale_us: int = 0
    ) -> RawReply:
        """Do what is asked of a shelf; all else as ever."""
        path, _, query = target.partition("?")
        root, *parts = path.removeprefix(f"{REST_ROOT}/").split("/")
        if root != "shelves":
            return super().answer(method, target, headers, body, stale_us=stale_us)
        if method != "GET":
            self.sent[f"{method} {'/'.join(['shelves', *parts[1:]])}"] += 1
        known = not parts or parts[0] in self.shelves
        found = self._do(method, parts, json.loads(body or "{}"), parse_qs(query)) if known else None
        if not known:
            return RawReply(404, {}, b'{"message": "no such shelf"}')
        return RawReply(204, {}, b"") if found is None else RawReply(200, {}, json.dumps(found).encode())

    def _do(self, method: str, parts: list[str], given: Any, query: Mapping[str, list[str]]) -> object:
        match method, parts:
            case "POST", []:
                self.shelves[f"shelf-{len(self.shelves)}"] = Shelf(given["title"], given["description"])
                return self._shown(f"shelf-{len(self.shelves) - 1}")
            case "GET", []:
                return {"results": [self._shown(uuid) for uuid in self.shelves]}
            case "GET", [uuid]:
                return self._shown(uuid)
            case "GET", [uuid, "books"]:
                return {"results": [{"name": name} for name in self.shelves[uuid].books]}
            case "POST", [uuid, "books"]:
                self.shelves[uuid].books |= dict.fromkeys(given["books"])
            case "DELETE", [uuid, "books"]:
                for name in query["book"]:
                    self.shelves[uuid].books.pop(name, None)
            case "PUT", [uuid, "colour"]:
                self.shelves[uuid].colour = given["colour"]
        return None

    def _shown(self, uuid: str) -> dict[str, str]:
        shelf = self.shelves[uuid]
        return {"uuid": uuid, "title": shelf.title, "description": shelf.description, "colour": shelf.colour}

    def holds(self) -> dict[str, tuple[set[str], str]]:
        """Books and colour of each shelf, by its title, which no two have."""
        assert len({shelf.title for shelf in self.shelves.values()}) == len(self.shelves)
        return {shelf.title: (set(shelf.books), shelf.colour) for shelf in self.shelves.values()}


# ---------------------------------------------------------------------- operations


class ShownShelf(BaseModel):
    """A shelf as the service shows it."""

    uuid: str
    title: str
    description: str
    colour: str


class ShownBook(BaseModel):
    """A book as the service shows it."""

    name: str


def call(method: Any, path: str, effect: Effect) -> RestCall:
    """A call that no catalogue knows."""
    return RestCall(method=method, path=path, effect=effect, source="invented")


SHELF = Adapter[ShownShelf](ShownShelf)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListShelves(PageOperation[ShownShelf]):
    """List all shelves."""

    call: ClassVar[RestCall] = call("GET", "/shelves", Effect.READ)
    item_name: ClassVar[str] = "uuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeShelf(Creation[ShownShelf, ShownShelf]):
    """Make a shelf."""

    call: ClassVar[RestCall] = call("POST", "/shelves", Effect.CREATE)

    title: str
    description: str

    def body(self) -> Mapping[str, Any]:
        """Its names."""
        return {"title": self.title, "description": self.description}

    def parse(self, content: object) -> ShownShelf:
        """The shelf."""
        return SHELF.read(content, self.call.name)

    def look_up(self) -> ListShelves:
        """Where it would be."""
        return ListShelves()

    def is_it(self, item: ShownShelf) -> bool:
        """Told by both names."""
        return (item.title, item.description) == (self.title, self.description)

    def adopted(self, item: ShownShelf) -> ShownShelf:
        """As it is listed."""
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class OfShelf:
    """What is asked of one shelf."""

    shelf: str

    def path(self) -> Mapping[str, str]:
        """Which."""
        return {"shelf": self.shelf}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadShelf(OfShelf, RestOperation[ShownShelf]):
    """Read a shelf."""

    call: ClassVar[RestCall] = call("GET", "/shelves/{shelf}", Effect.READ)

    def parse(self, content: object) -> ShownShelf:
        """The shelf."""
        return SHELF.read(content, self.call.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBooks(OfShelf, PageOperation[ShownBook]):
    """List the books of a shelf."""

    call: ClassVar[RestCall] = call("GET", "/shelves/{shelf}/books", Effect.READ)
    item_name: ClassVar[str] = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddBooks(OfShelf, Command):
    """Put books on a shelf."""

    call: ClassVar[RestCall] = call("POST", "/shelves/{shelf}/books", Effect.SET)

    books: tuple[str, ...]

    def body(self) -> Mapping[str, Any]:
        """Which."""
        return {"books": self.books}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBooks(OfShelf, Command):
    """Take books off a shelf."""

    call: ClassVar[RestCall] = call("DELETE", "/shelves/{shelf}/books", Effect.SET)

    books: tuple[str, ...]

    def query(self) -> Mapping[str, Any]:
        """Which."""
        return {"book": self.books}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint(OfShelf, Command):
    """Give a shelf another colour."""

    call: ClassVar[RestCall] = call("PUT", "/shelves/{shelf}/colour", Effect.SET)

    colour: str

    def body(self) -> Mapping[str, Any]:
        """Which."""
        return {"colour": self.colour}


# ---------------------------------------------------------------------- the kinds


class Books(Relation):
    """Books on a shelf."""

    sort = what = thing = gives = noun = "book"
    plural = "books"
    takes = "remove_book"
    adds = ("books", "book to put", "books to put")
    removes = ("remove_books", "book to take", "books to take")
    parent = "shelf"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddBooks:
        """Put them on it."""
        return AddBooks(shelf=parent_hash, books=items)

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveBooks:
        """Take them off."""
        return RemoveBooks(shelf=parent_hash, books=items)

    def probe(self, parent_hash: str) -> ReadShelf:
        """The shelf."""
        return ReadShelf(shelf=parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        """All that are on it."""
        books = await listing(reads, ListBooks(shelf=parent_hash))
        return books if isinstance(books, Unlisted) else {book.name: None for book in books}


class Colour(Setting):
    """The colour of a shelf."""

    sort = what = thing = gives = noun = "colour"
    plural = "colours"
    adds = ("colours", "colour to paint", "colours to paint")
    parent = "shelf"
    at_first = MappingProxyType({"brown": None})

    def setting(self, parent_hash: str, value: str) -> Paint:
        """Paint it."""
        return Paint(shelf=parent_hash, colour=value)

    def probe(self, parent_hash: str) -> ReadShelf:
        """The shelf."""
        return ReadShelf(shelf=parent_hash)

    async def value(self, reads: Reads, parent_hash: str) -> str | Unlisted | None:
        """As it is shown."""
        return (await reads.execute(self.probe(parent_hash))).colour


BOOKS, COLOUR = Books(), Colour()


class ShelfEntry(MakingEntry):
    """A shelf that shall exist."""

    counted = (Count("shelves", "shelves", exported=("shelves", "shelf", "shelves")),)

    kind: Literal["shelf"] = "shelf"
    title: Title
    description: Text = ""
    books: tuple[Title, ...] = ()
    colour: Title | None = None

    @property
    def wished_title(self) -> str:
        """Its title."""
        return self.title

    def faults(self) -> list[Fault]:
        """A book stands on it once."""
        return twice("books.{}", self.books)

    def steps(self, identity: bytes) -> Iterator[Step]:
        """It, its books, its colour."""
        yield making_step(identity, SHELVES, self.title)
        yield from each(identity, BOOKS.give, None, self.books)
        if self.colour is not None:
            yield one(identity, COLOUR.give, None, self.colour)


class Shelves(Thing, Exports):
    """Makes shelves."""

    word = noun = "shelf"
    plural = "shelves"

    def draft(self, order: Order) -> Draft:
        """By its names."""
        operation = MakeShelf(title=order.title, description=order.description)
        return Draft(operation=operation, details={}, names=(order.title, order.entry.description))

    def hash_of(self, made: ShownShelf) -> str:
        """What the service calls it."""
        return made.uuid

    def probe(self, found_hash: str) -> ReadShelf:
        """Read it."""
        return ReadShelf(shelf=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> ShownShelf:
        """One that is not there yet."""
        return ShownShelf(uuid=stand_in, title="", description="", colour="brown")

    def names_of(self, item: ShownShelf) -> tuple[str, str | None]:
        """As it is shown."""
        return item.title, item.description

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:
        """All of them."""
        async for page in reads.pages(ListShelves()):
            for shelf in page.results:
                yield Listed(shelf.uuid, shelf.title, shelf.description, is_admin=True, item=shelf)

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        """In the listing."""
        return await looked_up(reads, MakeShelf(title=sought.title, description=sought.description), self)

    def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:
        """All of them."""
        return self.listed(reads, DatasetAPI.REST)

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        """One each; a colour that all have goes without saying."""
        colour = next(iter(inside.of(COLOUR).keys() - COLOUR.at_first.keys()), None)
        named = {"title": found.title, "description": found.description or "", "colour": colour}
        books = tuple(inside.of(BOOKS))
        yield from pen.entry(ShelfEntry, self, found, books=books, **named)


SHELVES = Shelves()
ShelfEntry.makes = SHELVES


class ShelfBooksEntry(Entry):
    """Books to put on a shelf, and to take off it."""

    is_harmless_twice = True

    kind: Literal["shelf_books"] = "shelf_books"
    shelf: Reference
    add: tuple[Title, ...] = ()
    remove: tuple[Title, ...] = ()

    def references(self) -> Iterator[Use]:
        """The shelf."""
        yield Use("shelf", self.shelf, "shelf")

    def steps(self, identity: bytes) -> Iterator[Step]:
        """What comes, and what goes."""
        yield from each(identity, BOOKS.give, self.shelf, self.add)
        yield from each(identity, BOOKS.take, self.shelf, self.remove)


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    """There are two more kinds."""
    with ExitStack() as stack:
        stack.enter_context(registered(ShelfEntry, SHELVES, BOOKS.give, BOOKS.take, COLOUR.give))
        stack.enter_context(registered(ShelfBooksEntry))
        yield


# ---------------------------------------------------------------------- the tests

MANIFEST: list[dict[str, Any]] = [
    {"kind": "shelf_books", "shelf": "@poems", "add": ["Sappho"], "remove": ["Homer"]},
    {"kind": "shelf", "key": "poems", "title": "Poems", "books": ["Rilke", "Celan"], "colour": "red"},
    {"kind": "shelf", "title": "Empty"},
    {"kind": "project", "title": "Cats", "tags": ["books"]},
]
WISHED = {"Poems": ({"Rilke", "Celan", "Sappho"}, "red"), "Empty": (set[str](), "brown")}
SENT = {"POST shelves": 2, "PUT shelves/colour": 1}


@pytest.fixture
def library() -> Iterator[Library]:
    """A library without a shelf."""
    made = Library()
    yield made
    made.close()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The manifest as a file."""
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, MANIFEST)))
    return path


def program(library: Library, journal: Path, entries: list[dict[str, Any]] | None = None) -> Program:
    """The manifest, as somebody runs it."""
    wishes = MANIFEST if entries is None else entries
    return Program(manifest=wishes, service=library, journal=lambda death: MortalJournal(journal, death))


async def lived(library: Library, journal: Path, death: Death | None = None) -> Life:
    """Run it."""
    return await program(library, journal).live(death)


def open_session(library: Library) -> EncordSession:
    """A session with the library."""
    settings = program(library, Path()).settings
    return EncordSession(BearerToken(TOKEN), settings, transport=lambda _: MortalTransport(library, Death()))


async def planned(library: Library, manifest: Path, journal: Path) -> set[tuple[str, str, tuple[str, ...]]]:
    """What a run would do."""
    actions: list[Action] = []
    async with open_session(library) as session:
        await session.plan(manifest, journal=journal, on_action=actions.append)
    return {(action.verb.value, action.what, action.items) for action in actions}


async def verified(library: Library, manifest: Path, journal: Path) -> tuple[list[Difference], Repairs]:
    """How the library differs from the manifest, and what would put it right."""
    found, repairs = list[Difference](), Repairs(prune=True)
    async with open_session(library) as session:
        async with Journal(journal, None) as opened:
            wishes = await gather(manifest, opened)
        await compare(session, wishes, on_difference=found.append, on_thing=repairs.note)
    return found, repairs


async def test_it_is_validated(library: Library, manifest: Path) -> None:
    """Its faults are found, its references followed, what cannot be unmade is counted."""
    spoilt = manifest.with_name("spoilt.jsonl")
    spoilt.write_text('{"kind": "shelf", "title": "A", "books": ["b", "b"]}\n{"kind": "shelf_books", "shelf": "@c"}')
    async with open_session(library) as session:
        good = await session.validate(manifest)
        assert (good.problem_count, good.irreversible["shelf"]) == (0, 2)
        bad = await session.validate(spoilt)
    assert [problem.field for problem in bad.problems] == ["books.1", "shelf"]


async def test_it_is_planned_provisioned_and_then_done(library: Library, manifest: Path, tmp_path: Path) -> None:
    """The plan names each thing, book and colour; the run makes them; a second one sends nothing, nor would it."""
    journal = tmp_path / "j"
    assert await planned(library, manifest, journal) == {
        ("create", "shelf", ("Poems",)),
        ("create", "shelf", ("Empty",)),
        ("add", "book", ("Rilke", "Celan")),
        ("add", "book", ("Sappho",)),
        ("change", "colour", ("red",)),
        ("create", "project", ("Cats",)),
        ("add", "tag", ("books",)),
        ("create", "tag", ("books",)),
    }
    assert library.sent == {}
    (await lived(library, journal)).assert_all_satisfied(len(MANIFEST))
    assert library.holds() == WISHED
    assert library.sent.items() >= SENT.items()

    sent = library.sent.copy()
    assert await planned(library, manifest, journal) == set()
    assert (await lived(library, journal)).statuses == {"unchanged": len(MANIFEST)}
    assert library.sent == sent


async def test_without_a_journal_it_is_adopted(library: Library, tmp_path: Path) -> None:
    """What is there is taken for what is wished, and made by nobody again."""
    await lived(library, tmp_path / "one")
    life = await lived(library, tmp_path / "two")
    life.assert_all_satisfied(len(MANIFEST))
    assert life.statuses["adopted"] == 3
    assert library.sent.items() >= SENT.items()
    assert library.holds() == WISHED


# Each of a hundred runs dies at another point.
@pytest.mark.slow
async def test_wherever_it_is_killed_it_is_resumed(tmp_path: Path) -> None:
    """A run that died at any point is followed by one that ends with one of everything."""
    for at in itertools.count(1, stride(5)):
        library, journal = Library(), tmp_path / str(at)
        try:
            life = await lived(library, journal, Death(at))
            (await lived(library, journal)).assert_all_satisfied(len(MANIFEST))
            assert library.holds() == WISHED
            assert library.sent["POST shelves"] == 2
        finally:
            library.close()
        if not life.died:
            break
    assert at > 30


async def test_it_is_verified_and_put_right(library: Library, manifest: Path, tmp_path: Path) -> None:
    """What is missing, too much and different is told, put right and written down."""
    journal = tmp_path / "j"
    await lived(library, journal)
    assert (await verified(library, manifest, journal))[0] == []
    poems = next(shelf for shelf in library.shelves.values() if shelf.title == "Poems")
    poems.books = {"Rilke": None, "Homer": None, "Dante": None}
    poems.colour = "blue"
    found, repairs = await verified(library, manifest, journal)
    assert {(one.fault.value, one.what, one.item, one.found) for one in found} == {
        ("missing", "book", "Celan", None),
        ("missing", "book", "Sappho", None),
        ("extra", "book", "Homer", None),
        ("extra", "book", "Dante", None),
        ("different", "colour", "Poems", "blue"),
    }
    async with open_session(library) as session:
        owner = Identity(session.settings.domain, session.identity)
        repaired = await repair(session, repairs, inner=(), journal=Journal(journal, owner))
    assert (repaired.unsatisfied, repaired.kept) == ([], [])
    assert library.holds() == WISHED
    assert (await verified(library, manifest, journal))[0] == []
    assert await planned(library, manifest, journal) == set()


async def test_it_is_exported(library: Library, tmp_path: Path) -> None:
    """An account with shelves is written down as entries that make the same ones elsewhere."""
    await lived(library, tmp_path / "one")
    entries: list[dict[str, Any]] = []
    async with open_session(library) as session:
        sums = await session.export(lambda entry: entries.append(entry.as_json()))
    assert sums.numbers["shelves"] == 2
    shelves = [entry for entry in entries if entry["kind"] == "shelf"]
    (empty,) = [entry for entry in shelves if entry["key"] == "empty"]
    (poems,) = [entry for entry in shelves if entry["key"] == "poems"]
    assert empty == {"kind": "shelf", "key": "empty", "title": "Empty"}
    assert (poems["title"], sorted(poems["books"]), poems["colour"]) == ("Poems", ["Celan", "Rilke", "Sappho"], "red")
    other = Library()
    try:
        (await program(other, tmp_path / "two", shelves).live()).assert_all_satisfied(2)
        assert other.holds() == library.holds()
    finally:
        other.close()
