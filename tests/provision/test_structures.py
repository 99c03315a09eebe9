"""Structures of ontologies in files of their own are read with their entry, relative to the manifest."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from encord_async.kinds.ontology import OntologyEntry
from encord_async.manifest.files import read_manifest
from encord_async.manifest.place import PlacedEntry, Problem
from encord_async.manifest.sources import open_source

STRUCTURE = {"objects": [{"id": "1", "name": "Katze \u00e4"}], "classifications": []}
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
        (
            b'{"objects": [NaN]}',
            "structure_file: 'parts/felines.json' is no structure: it holds NaN, which JSON does not have",
        ),
        (b"[" * 100_000, "structure_file: 'parts/felines.json' is no structure: it is nested too deeply"),
        (
            b'{"objects": [], "objects": []}',
            "structure_file: 'parts/felines.json' is no structure: in it 'objects' is given twice in one object",
        ),
    ],
)
def test_a_file_that_is_no_structure(manifest: Callable[[bytes], Path], content: bytes, said: str) -> None:
    """What is wrong with the file is said at the entry that names it."""
    assert problem_in(manifest(content)).startswith(f"m.jsonl:1: {said}")


def linked(folder: Path) -> None:
    """A link out of the folder."""
    (folder / "parts").mkdir()
    (folder / "parts" / "felines.json").symlink_to(folder.parent / "secret.json")


def linked_folder(folder: Path) -> None:
    """A link out of the folder, further up."""
    (folder.parent / "secret.json").rename(folder.parent / "felines.json")
    (folder / "parts").symlink_to("..")


@pytest.mark.parametrize("link", [linked, linked_folder])
def test_a_link_out_of_the_folder(tmp_path: Path, link: Callable[[Path], None]) -> None:
    """What lies outside the manifest's folder is not read, wherever a link in it leads."""
    (tmp_path / "secret.json").write_text(json.dumps(STRUCTURE))
    folder = tmp_path / "manifest"
    folder.mkdir()
    link(folder)
    path = folder / "m.jsonl"
    path.write_text(json.dumps(ENTRY))
    assert problem_in(path).endswith("it lies outside the folder of the manifest; put a copy of it there")


@pytest.mark.parametrize("absolute", [True, False])
def test_a_name_out_of_the_folder(tmp_path: Path, absolute: bool) -> None:
    """Nor is it read by a name that leads there."""
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(STRUCTURE))
    (tmp_path / "manifest").mkdir()
    path = tmp_path / "manifest" / "m.jsonl"
    path.write_text(json.dumps(ENTRY | {"structure_file": str(secret) if absolute else "../secret.json"}))
    assert problem_in(path).endswith("it lies outside the folder of the manifest; put a copy of it there")


def test_links_within_the_folder(tmp_path: Path) -> None:
    """Links are good that stay in the folder, and so is one that leads to the folder itself."""
    (tmp_path / "real" / "parts").mkdir(parents=True)
    (tmp_path / "real" / "shared.json").write_text(json.dumps(STRUCTURE))
    (tmp_path / "real" / "parts" / "felines.json").symlink_to("../shared.json")
    (tmp_path / "real" / "m.jsonl").write_text(json.dumps(ENTRY))
    (tmp_path / "link").symlink_to("real")
    (placed,) = read_manifest(tmp_path / "link" / "m.jsonl")
    assert isinstance(placed, PlacedEntry)
    assert placed.file == "parts/felines.json"


def test_a_pipe(tmp_path: Path) -> None:
    """A pipe is refused, and not waited for."""
    (tmp_path / "parts").mkdir()
    os.mkfifo(tmp_path / "parts" / "felines.json")
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(ENTRY))
    assert problem_in(path).endswith("cannot be read: it is no plain file")


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
