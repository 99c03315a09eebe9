"""Kinds of entries are known by their registry: one that is invented here is read and checked like the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import encord_async.manifest
from encord_async.kinds.entry import Entry, Use, needed_keys, uses
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Reference, Title
from encord_async.kinds.group import GROUP
from encord_async.kinds.namer import Namer
from encord_async.kinds.registry import ENTRY_MODELS, registered
from encord_async.kinds.step import Step, part
from encord_async.manifest.files import CheckReport, check_manifest
from encord_async.manifest.place import Place
from encord_async.manifest.reading import read_entry
from encord_async.manifest.schema import manifest_schema

PLACE = Place("m.jsonl", 1, 1)


class ShelfEntry(Entry):
    """A shelf for datasets."""

    names_something = True

    kind: Literal["shelf"] = "shelf"
    title: Title
    like: Reference | None = None
    datasets: tuple[Reference, ...] = ()

    def references(self) -> Iterator[Use]:
        """Its datasets, and the shelf that it is like."""
        yield from uses("datasets", self.datasets, "dataset")
        if self.like is not None:
            yield Use("like", self.like, "shelf")

    def made_from(self) -> Use | None:
        """The shelf that it is like."""
        return None if self.like is None else Use("like", self.like, "shelf")

    def faults(self) -> list[Fault]:
        """A dataset lies in it once."""
        return twice("datasets.{}", self.datasets)

    def steps(self, identity: bytes) -> Iterator[Step]:
        """One."""
        yield Step(identity=part(identity, "shelf"), kind=GROUP, item=self.title)


@pytest.fixture
def shelf() -> Iterator[None]:
    """There is one more kind."""
    with registered(ShelfEntry):
        yield


def checked(path: Path, *lines: str) -> CheckReport:
    """What is said of a manifest."""
    path.write_text("\n".join(lines))
    return check_manifest(path)


def told(path: Path, *lines: str) -> list[str]:
    """What is wrong with a manifest."""
    return [str(problem).removeprefix(f"{path}:") for problem in checked(path, *lines).problems]


def test_a_kind_is_known_while_it_is_registered() -> None:
    """An entry of a kind that is not registered is refused, as JSON and as an object."""
    raw = {"kind": "shelf", "title": "Cats"}
    for wish in (raw, ShelfEntry(title="Cats")):
        with registered(ShelfEntry):
            assert read_entry(wish, PLACE) == ShelfEntry(title="Cats")
        assert isinstance(read_entry(wish, PLACE), tuple)
    assert "shelf" not in ENTRY_MODELS


@pytest.mark.usefixtures("shelf")
def test_one_more_kind_is_checked(tmp_path: Path) -> None:
    """Its references, circles among them, and what is wrong within it are told like those of any other kind."""
    path = tmp_path / "m.jsonl"
    assert told(
        path,
        '{"kind": "dataset", "key": "raw", "title": "Raw"}',
        '{"kind": "shelf", "key": "a", "title": "A", "like": "@b", "datasets": ["@raw", "@raw", "@b", "@c"]}',
        '{"kind": "shelf", "key": "b", "title": "B", "like": "@a"}',
        '{"kind": "project", "title": "P", "datasets": ["@a"]}',
        '{"kind": "shelf", "name": "C"}',
    ) == [
        "2: datasets.1: '@raw' is listed twice; see datasets.0",
        "2: datasets.2: '@b' is a shelf, and 'datasets' needs a dataset",
        "2: datasets.3: '@c' refers to nothing: no entry has this key",
        "3: like: '@a' is itself copied from this entry, if not directly",
        "4: datasets.0: '@a' is a shelf, and 'datasets' needs a dataset",
        "5: title: is missing",
        "5: name: is not a field of a shelf entry; did you mean 'title'?",
    ]


@pytest.mark.usefixtures("shelf")
def test_one_more_kind_in_a_table(tmp_path: Path) -> None:
    """Its fields are columns."""
    assert checked(tmp_path / "m.csv", "kind,key,title,like", "shelf,a,A,", "shelf,,B,@a").problem_count == 0


@pytest.mark.usefixtures("shelf")
def test_one_more_kind_in_the_schema() -> None:
    """Editors are told of it."""
    schema = manifest_schema()
    assert {"$ref": "#/$defs/ShelfEntry", "required": ["kind", "title"]} in schema["$defs"]["entry"]["oneOf"]
    assert "shelf" in schema["$defs"]["defaults"]["properties"]


@pytest.mark.usefixtures("shelf")
def test_one_more_kind_has_identities() -> None:
    """Its entries are known again, and what they need is known."""
    entry = ShelfEntry(title="Cats", like="@a", datasets=("@raw", "d1"))
    namer = Namer()
    assert Namer().identity(entry) == namer.identity(entry) != namer.identity(entry)
    assert list(needed_keys(entry)) == ["raw", "a"]


def test_every_entry_has_its_public_place() -> None:
    """The classes of all kinds can be imported from `encord_async.manifest`."""
    for model in ENTRY_MODELS.values():
        assert getattr(encord_async.manifest, model.__name__) is model
        assert model.__name__ in encord_async.manifest.__all__
