"""The demo, as a newcomer runs it."""

from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLE, Here, process, write_manifest


@pytest.mark.process
def test_the_demo_ends_well() -> None:
    """`encord-async demo` provisions what comes with the package and says that the API holds exactly that."""
    done = process("demo")
    assert done.code == 0, done.err
    assert "117 entries in " in done.out
    assert "The API holds" in done.out or "the API holds exactly what the manifest says" in done.out
    assert "14 datasets, 44 projects, 273 memberships" in done.out.partition("Read back: ")[2]
    assert "\x1b" not in done.out


def test_the_demo_as_json(here: Here) -> None:
    """With --json the demo is one object: sums, requests by query, connections, and whether it is exact."""
    done = here("demo", EXAMPLE, "--json")
    found = done.json
    assert done.code == 0
    assert found["exact"] is True
    assert found["summary"]["created"] == 58 + 4
    assert found["requests_by_query"]["project.POST"] == 44
    assert sum(found["requests_by_query"].values()) == found["summary"]["requests"]
    assert 1 < found["max_in_flight"] <= 32
    # Kept alive: a few are given up and made anew, as after an answer that says nothing but yes.
    assert found["connections"] < found["summary"]["requests"] / 2


def test_a_manifest_of_ones_own(here: Here, tmp_path: Path) -> None:
    """A manifest may name hashes: the demo's API has what it takes to be there already."""
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {"kind": "project", "key": "p", "title": "P", "datasets": ["d-1"], "ontology_hash": "o-1"},
        {"kind": "project_datasets", "project": "old", "add": ["d-2"]},
        {"kind": "project_users", "project": "old", "emails": ["ANN@example.com"], "role": 2},
    )
    done = here("demo", manifest, "--json")
    assert done.code == 0, done.out
    assert done.json["exact"] is True
    assert list(tmp_path.iterdir()) == [manifest]


def test_a_role_that_cannot_be_changed(here: Here, tmp_path: Path) -> None:
    """A manifest that asks for a smaller role of who makes the project cannot be satisfied, and the demo says so."""
    users = {"kind": "project_users", "project": "@p", "emails": ["emulator@example.com"], "role": 1}
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "project", "key": "p", "title": "P"}, users)
    done = here("demo", manifest)
    assert done.code == 1
    assert "cannot change the role of a member" in done.err
    assert "the API holds something else than the manifest says: 1 difference" in done.err
    assert "different: role emulator@example.com" in done.err
    told = here("demo", manifest, "--json")
    assert (told.code, told.json["exact"], len(told.json["differences"])) == (1, False, 1)


@pytest.mark.parametrize("name", ["-", "no.jsonl"])
def test_a_manifest_that_cannot_be_read(here: Here, name: str) -> None:
    """The demo needs a file."""
    assert here("demo", name).code == 2
