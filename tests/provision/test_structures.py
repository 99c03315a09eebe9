"""Structures of ontologies in files of their own are read with their entry, relative to the manifest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from encord_async.manifest.entries import OntologyEntry, PlacedEntry, Problem
from encord_async.manifest.files import read_manifest
from encord_async.manifest.sources import open_source

STRUCTURE = {"objects": [{"name": "Katze \u00e4"}], "classifications": []}
ENTRY = {"kind": "ontology", "key": "o", "title": "Felines", "structure_file": "parts/felines.json"}


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes a manifest with one ontology, and the file that it names."""

    def write(content: bytes) -> Path:
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / "felines.json").write_bytes(content)
        path = tmp_path / "m.jsonl"
        path.write_text(json.dumps(ENTRY))
        return path

    return write


def problem_in(path: Path) -> str:
    """The one problem of a manifest, without the folder."""
    (problem,) = read_manifest(path)
    assert isinstance(problem, Problem)
    assert problem.key == "o"
    return str(problem).removeprefix(f"{path.parent}/")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_structure_is_that_of_the_file(manifest: Callable[[bytes], Path], mark: bytes) -> None:
    """The entry holds what is in the file, wherever the process was started."""
    (placed,) = read_manifest(manifest(mark + json.dumps(STRUCTURE, ensure_ascii=False).encode()))
    assert isinstance(placed, PlacedEntry)
    assert placed.entry == OntologyEntry(key="o", title="Felines", structure=STRUCTURE)


def test_yaml_and_csv_name_files_too(tmp_path: Path) -> None:
    """Each form of a manifest can name the file."""
    (tmp_path / "felines.json").write_text(json.dumps(STRUCTURE))
    (tmp_path / "m.csv").write_text("kind,title,structure_file\nontology,Felines,felines.json\n")
    (tmp_path / "m.yaml").write_text("- {kind: ontology, title: Felines, structure_file: felines.json}\n")
    for name in ("m.csv", "m.yaml"):
        (placed,) = read_manifest(tmp_path / name)
        assert isinstance(placed, PlacedEntry)
        assert placed.entry == OntologyEntry(title="Felines", structure=STRUCTURE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"{",
            "structure_file: 'parts/felines.json' is no structure: it is not JSON: expecting property name",
        ),
        (b"\xff", "structure_file: 'parts/felines.json' is no structure: it is not UTF-8"),
        (b"[]", "structure: must be an object with objects and classifications, not a list"),
        (b'{"objects": {}}', "structure: 'objects' in it must be a list, not an object"),
        (b'{"objects": [NaN]}', "structure: cannot be written as JSON: "),
        (b"[" * 100_000, "structure_file: 'parts/felines.json' is nested too deeply"),
    ],
)
def test_a_file_that_is_no_structure(manifest: Callable[[bytes], Path], content: bytes, said: str) -> None:
    """What is wrong with the file is said at the entry that names it."""
    assert problem_in(manifest(content)).startswith(f"m.jsonl:1: {said}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file and says why it cannot be read."""
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(ENTRY))
    reason = "structure_file: 'parts/felines.json' cannot be read: No such file or directory"
    assert problem_in(path) == f"m.jsonl:1: {reason}"


def test_one_of_file_and_structure(tmp_path: Path) -> None:
    """Two structures for one ontology are a mistake."""
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({**ENTRY, "structure": STRUCTURE}))
    assert problem_in(path) == "m.jsonl:1: structure_file: is given beside 'structure'; keep one of them"


async def test_entries_that_come_from_no_file_name_none() -> None:
    """A program reads the file itself: what it hands over waits for no disk."""
    (item,) = await open_source([ENTRY]).take(5)
    assert isinstance(item, tuple)
    assert str(item[0]) == "entry 1: structure_file: is for manifests in files; read the file, and give 'structure'"
