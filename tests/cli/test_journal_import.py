"""What is there already is written down under a key, and a manifest that says the same has nothing to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import STORES, write_manifest

Api = Any
Here = Callable[..., Any]
STRUCTURE = {"objects": [{"id": "1", "name": "Cat", "color": "#D33115", "shape": "polygon", "featureNodeHash": "a1"}]}


def programme(name: str) -> list[Any]:
    """Something of each kind that makes things, with references among them."""
    return [
        {"kind": "dataset", "key": "raw", "title": f"{name} raw", "description": "Raw", "create_backing_folder": True},
        {"kind": "dataset", "key": "away", "title": f"{name} away", "storage": "AWS"},
        {"kind": "ontology", "key": "felines", "title": f"{name} felines", "structure": STRUCTURE},
        {"kind": "group", "key": "team", "name": f"{name} team", "description": "All"},
        {
            "kind": "project",
            "key": "cats",
            "title": f"{name} cats",
            "description": "All cats",
            "datasets": ["@raw", "@away"],
            "ontology": "@felines",
        },
    ]


@pytest.fixture
def begun(api: Api, here: Here, tmp_path: Path) -> str:
    """A journal that has nothing of what is imported."""
    manifest = write_manifest(tmp_path / "begun.jsonl", {"kind": "dataset", "key": "first", "title": "Import first"})
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    return f"{manifest}.journal"


@pytest.mark.parametrize("store", STORES)
def test_imported(
    api: Api,
    here: Here,
    tmp_path: Path,
    begun: str,
    store: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Things of each kind are imported with what an export shows of them: the next plan has nothing to do."""
    monkeypatch.chdir(tmp_path)
    entries = programme(f"Imported {store}")
    made = write_manifest(tmp_path / "made.jsonl", *entries)
    assert here("apply", made, "--yes", env=api.env).code == 0
    hashes = here("outputs", f"{made}.journal").json
    begun_manifest = tmp_path / "begun.jsonl"
    if store == "postgresql":
        begun = request.getfixturevalue("postgres").url("imported")
        assert here("apply", begun_manifest, "--yes", "--journal", begun, env=api.env).code == 0
    for entry in entries:
        found = hashes[entry["key"]]["hash"]
        done = here("journal", "import", begun, entry["key"], found, "--kind", entry["kind"], "--yes", env=api.env)
        assert (done.code, f"stands for the {entry['kind']} {found}" in done.out) == (0, True), done.out + done.err
    planned = here("plan", made, "--journal", begun, env=api.env)
    assert (planned.code, "No changes" in planned.out) == (0, True), planned.out + planned.err
    again = here("apply", made, "--yes", "--journal", begun, "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 5), again.out
    assert len(api.projects(f"Imported {store} cats")) == 1
    entries[4]["title"] = f"Imported {store} dogs"
    changed = here("plan", write_manifest(made, *entries), "--journal", begun, env=api.env)
    assert "with another title" in changed.out, changed.out


def test_what_cannot_be_imported(api: Api, here: Here, tmp_path: Path, begun: str) -> None:
    """What is not there, of another kind, another entry's, or under a taken key is refused, and no backup is made."""
    found = here("project", "create", "Import refused", env=api.env).out.strip()
    first = here("outputs", begun).json["first"]["hash"]
    before = Path(begun).read_bytes()
    for arguments, said in (
        (("cats", "11111111-2222-3333-4444-555555555555", "--kind", "project"), "the account has no project"),
        (("cats", found, "--kind", "dataset"), "the account has no dataset"),
        (("cats", found, "--kind", "api_key"), "is none of project, dataset"),
        (("first", found, "--kind", "project"), "something of a key 'first' already"),
        (("cats", first, "--kind", "dataset"), "is what the entry 'first' has made"),
        (("@cats", found, "--kind", "project"), "cannot be a key"),
    ):
        done = here("journal", "import", begun, *arguments, "--yes", env=api.env)
        assert (done.code, said in done.err) == (2, True), done.err
    unasked = here("journal", "import", begun, "cats", found, "--kind", "project", env=api.env)
    assert (unasked.code, "give --yes" in unasked.err) == (2, True), unasked.err
    assert Path(begun).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if ".backup-" in path.name]
