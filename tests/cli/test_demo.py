"""The demo, as a newcomer runs it, and how it tells a wrong result from a right one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from encord_async.cli.demo import differences, wanted_state
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.protocol.catalogue import ProjectUserRole
from tests.cli.conftest import EXAMPLE, Here, Json, process, write_manifest


@pytest.mark.process
def test_the_demo_ends_well() -> None:
    """`encord-async demo` provisions what comes with the package and says that the API holds exactly that."""
    done = process("demo")
    assert done.code == 0, done.err
    assert "117 entries in " in done.out
    assert "The API holds" in done.out or "the API holds exactly what the manifest says" in done.out
    assert "44 projects, 14 datasets, 273 memberships" in done.out
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
    assert found["connections"] <= 32


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
    """A manifest that asks for two roles of one user cannot be satisfied, and the demo says so."""
    users = [{"kind": "project_users", "project": "@p", "emails": ["ann@example.com"], "role": role} for role in (1, 2)]
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "project", "key": "p", "title": "P"}, *users)
    done = here("demo", manifest)
    assert done.code == 1
    assert "a role cannot be changed" in done.err


@pytest.mark.parametrize("name", ["-", "no.jsonl"])
def test_a_manifest_that_cannot_be_read(here: Here, name: str) -> None:
    """The demo needs a file."""
    assert here("demo", name).code == 2


ENTRIES: list[Entry] = [
    DatasetEntry(key="d", title="D"),
    ProjectEntry(key="p", title="P", datasets=("@d",)),
    ProjectUsersEntry(project="@p", emails=("ann@example.com",), role=ProjectUserRole.REVIEWER),
    ProjectDatasetsEntry(project="@p", add=("x",)),
]
HASHES = {1: "hash-d", 2: "hash-p"}
OWNER: Json = {"email": "me@example.com", "role": 0}


def held() -> Json:
    """What ENTRIES ask for."""
    project = {
        "project_hash": "hash-p",
        "title": "P",
        "description": "",
        "datasets": ["hash-d", "x"],
        "users": [OWNER, {"email": "ann@example.com", "role": 2}],
        "api_keys": [],
    }
    datasets = [
        {"dataset_hash": "hash-d", "title": "D", "description": "", "type": 0, "users": [OWNER]},
        {"dataset_hash": "x", "title": "x", "description": "", "type": 0, "users": [OWNER]},
    ]
    return {"projects": [project], "datasets": datasets}


def found(state: Json) -> list[str]:
    """The differences."""
    return list(differences(wanted_state(ENTRIES, HASHES), state, owner="me@example.com"))


def test_no_difference() -> None:
    """An API that holds what was asked for differs in nothing."""
    assert found(held()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state["projects"][0]["users"].pop(), "users: "),
        (lambda state: state["projects"][0]["users"][1].update(role=1), "users: "),
        (lambda state: state["projects"][0]["datasets"].pop(), "datasets: "),
        (lambda state: state["projects"][0].update(title="Q"), "title: "),
        (lambda state: state["projects"][0].update(description="Q"), "description: "),
        (lambda state: state["projects"][0]["api_keys"].append({"title": "k", "scopes": []}), "API keys: "),
        (lambda state: state["projects"].clear(), "project hash-p is missing"),
        (lambda state: state["projects"].append({**state["projects"][0], "project_hash": "q"}), "nobody asked"),
        (lambda state: state["datasets"].pop(0), "dataset hash-d is missing"),
        (lambda state: state["datasets"][0].update(title="E"), "is called 'E'"),
    ],
)
def test_each_difference_is_found(change: Callable[[Json], object], told: str) -> None:
    """A lost member, another role, a lost or strange dataset, project or key, another title: each is told."""
    state = held()
    change(state)
    (difference,) = found(state)
    assert told in difference
