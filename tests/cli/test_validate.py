"""Checking a manifest on the command line."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLE, Api, Here, process, write_manifest

BAD = [{"kind": "dataset", "title": ""}, {"kind": "projct", "title": "x"}, {"kind": "dataset", "title": "fine"}]


def test_a_good_manifest_is_counted(here: Here) -> None:
    """A good manifest ends in 0, with what is in it; no key and no network is needed."""
    done = here("validate", EXAMPLE)
    assert done.code == 0
    assert "projects" in done.out
    found = here("validate", EXAMPLE, "--json").json
    assert found["valid"] is True
    assert found["projects"] == 44


def test_every_bad_entry_is_listed(here: Here, tmp_path: Path) -> None:
    """Each problem is a line with file, line, field and reason, and the exit code is 2."""
    manifest = write_manifest(tmp_path / "m.jsonl", *BAD, {"kind": "project", "title": "p", "datasets": ["@no"]})
    done = here("validate", manifest)
    assert done.code == 2
    lines = done.out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{manifest}:{number}" for number in (1, 2, 4)]
    assert "title: must not be empty" in lines[0]
    assert "did you mean 'project'?" in lines[1]
    assert "'@no' refers to nothing" in lines[2]
    assert done.err.endswith("\nerror: 3 problems in 3 entries\n")


def test_what_is_wrong_in_each_row_is_said_once(here: Here, api: Api, tmp_path: Path) -> None:
    """A slip in an entry of many rows is told with its first row, and in how many more it is."""
    path = tmp_path / "m.yaml"
    path.write_text(
        "- {kind: project, for_each: [{a: 1, b: r}, {a: 2, b: s}, {a: 3, b: r}], key: 'k{{ a }}', title: '{{ c }}',\n"
        "   users: [{email: x@x.org, role: '{{ b }}'}]}\n- {kind: dataset, titel: T}\n"
    )
    done = here("validate", path)
    title = "title: names 'c', which is no variable here; known: item, a, b"
    lines = [line for line in done.out.splitlines() if "title: names" in line]
    assert lines == [f"{path}:1 row 1: {title}", f"{path}:1: {title} (in 2 more rows)"]
    assert done.err == "error: 5 problems in 4 entries\n"
    assert here("validate", path, "--json").json["problem_count"] == 5
    refused = here("plan", path, env=api.env)
    assert refused.code == 2
    assert f"{path}:1 row 1: {title} (and in 2 more rows)" in refused.err


def test_bad_entries_as_json(here: Here, tmp_path: Path) -> None:
    """With --json the problems come as objects, at most a thousand, and all are counted."""
    manifest = write_manifest(tmp_path / "m.jsonl", *[BAD[0]] * 1500)
    found = here("validate", manifest, "--json").json
    assert found["valid"] is False
    assert found["problem_count"] == 1500
    assert len(found["problems"]) == 1000
    assert found["problems"][1]["line"] == 2
    assert found["problems"][1]["field"] == "title"


@pytest.mark.process
def test_from_standard_input(here: Here) -> None:
    """`validate -` reads JSON lines from standard input."""
    good, bad = (json.dumps(entry) + "\n" for entry in (BAD[2], BAD[0]))
    assert here("validate", "-", "--json", "--stamp", stdin=good * 3).json["datasets"] == 3
    done = process("validate", "-", stdin=good + bad)
    assert done.code == 2
    assert done.out.startswith("<stdin>:2: title")


def test_a_file_that_is_not_there(here: Here, tmp_path: Path) -> None:
    """A wrong name is one message and exit code 2; with --json an object."""
    done = here("validate", tmp_path / "no.jsonl", "--json")
    assert done.code == 2
    assert "cannot be read" in done.json["error"]["message"]


def test_what_a_title_holds_is_not_obeyed_by_the_terminal(here: Here, tmp_path: Path) -> None:
    """A manifest cannot send commands to the terminal through messages about it."""
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "\x1b[2Jdataset", "title": "x"})
    assert "\x1b" not in here("validate", manifest).out
