"""What `--only` and `--exclude` say on the command line."""

from pathlib import Path

import pytest

from tests.cli.conftest import Api, Here, write_manifest


def programme(folder: Path) -> Path:
    """A manifest of two projects, each with a dataset, and the users of one."""
    return write_manifest(
        folder / "m.jsonl",
        {"kind": "dataset", "key": "raw", "title": "Chosen raw"},
        {"kind": "dataset", "key": "spare", "title": "Chosen spare"},
        {"kind": "project", "key": "cats", "title": "Chosen cats", "datasets": ["@raw"], "tags": ["wave-1"]},
        {"kind": "project", "key": "dogs", "title": "Chosen dogs", "datasets": ["@spare"]},
        {"kind": "project_users", "project": "@cats", "emails": ["ann@example.com"], "role": "annotator"},
    )


def test_plan_apply_and_verify_of_a_part(here: Here, api: Api, tmp_path: Path) -> None:
    """The three are about the same entries, and each tells what is included, and why."""
    manifest = programme(tmp_path)
    told = f"{manifest}:1: dataset @raw: included because @cats refers to it"
    done = here("plan", manifest, "--only", "tag=wave-1", env=api.env)
    assert (done.code, told in done.err) == (0, True)
    assert "Chosen dogs" not in done.out
    included = [{"place": f"{manifest}:1", "kind": "dataset", "key": "raw", "needed_by": "@cats"}]
    assert here("plan", manifest, "--only", "cats", "--json", env=api.env).json["included"] == included
    done = here("apply", manifest, "--only", "cats", "--yes", "--no-progress", "--json", env=api.env)
    assert done.json["entries"] == 3
    assert done.json["included"] == included
    assert api.projects("Chosen cats")
    assert not api.projects("Chosen dogs")
    done = here("verify", manifest, "--only", "cats", "--json", env=api.env)
    assert (done.code, done.json["entries"], done.json["included"]) == (0, 3, included)
    assert here("verify", manifest, env=api.env).code == 1
    done = here("plan", manifest, "--exclude", "cats", env=api.env)
    assert "Chosen dogs" in done.out
    assert "gone from the manifest" not in done.out


def test_what_is_included_and_what_is_not_take_a_line_each(here: Here, api: Api, tmp_path: Path) -> None:
    """Many entries that are included are counted, and listed with -v; those whose own key fits nothing are told."""
    raw = [{"kind": "dataset", "key": f"raw-{number}", "title": f"Raw {number}"} for number in range(5)]
    cats = {"kind": "project", "key": "cats", "title": "Lined", "datasets": [f"@raw-{number}" for number in range(5)]}
    users = {"kind": "project_users", "project": "@cats", "emails": ["ann@example.com"], "role": "annotator"}
    keyed = [users | {"key": f"{name}-crew"} for name in ("red", "blue", "green", "grey")]
    manifest = write_manifest(tmp_path / "m.jsonl", *raw, cats, users, *keyed)
    included = (
        "5 entries are included because others refer to them: dataset @raw-0 (by @cats), dataset @raw-1 (by @cats), "
        "dataset @raw-2 (by @cats) and 2 more; -v lists them"
    )
    left = (
        "4 entries about what is chosen are not chosen, for their keys fit no --only: project users @red-crew, "
        "project users @blue-crew, project users @green-crew and 1 more"
    )
    for verb in (["plan"], ["apply", "--yes", "--no-progress"], ["verify"]):
        done = here(verb[0], manifest, "--only", "ca*", *verb[1:], env=api.env)
        assert [line for line in done.err.splitlines() if "cluded" in line or "chosen" in line] == [included, left]
    told = here("plan", manifest, "--only", "ca*", "--json", env=api.env).json["not_chosen"]
    assert told == {"number": 4, "first": [f"project users @{name}-crew" for name in ("red", "blue", "green")]}
    verbose = here("plan", manifest, "--only", "ca*", "-v", env=api.env)
    assert verbose.err.count("included because @cats refers to it") == 5
    one = here("plan", manifest, "--only", "ca*", "--only", "red*", "--only", "*e*-crew", env=api.env)
    assert "not chosen" not in one.err
    one = here("plan", manifest, "--only", "ca*", "--only", "*e*-crew", "--exclude", "grey*", env=api.env)
    assert "not chosen" not in one.err


def test_apply_asks_about_what_is_chosen(here: Here, api: Api, tmp_path: Path) -> None:
    """What cannot be undone is counted of the chosen entries, and what is included is told before the question."""
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {"kind": "dataset", "key": "raw", "title": "Asked raw"},
        {"kind": "project", "key": "cats", "title": "Asked cats", "datasets": ["@raw"]},
        {"kind": "project", "key": "dogs", "title": "Asked dogs"},
    )
    done = here("apply", manifest, "--only", "cats", env=api.env)
    assert done.code == 2
    assert "included because @cats refers to it" in done.err
    assert "2 things that cannot be undone would be made" in done.err


@pytest.mark.parametrize("verb", ["plan", "apply", "verify"])
def test_words_that_fit_nothing(here: Here, api: Api, tmp_path: Path, verb: str) -> None:
    """A slip of the pen is bad usage, answered with the keys near it; nothing is sent."""
    before = api.by_query()
    manifest = programme(tmp_path)
    for option in ("--only", "--exclude"):
        done = here(verb, manifest, option, "cast", env=api.env)
        assert done.code == 2
        assert f"{option} cast fits no entry of the manifest; near it are 'cats'" in done.err
    done = here(verb, manifest, "--exclude", "raw", env=api.env)
    assert done.code == 2
    assert f"--exclude raw leaves out @raw ({manifest}:1), and @cats ({manifest}:3) refers to it" in done.err
    assert api.by_query() == before


def test_export_of_a_part(here: Here, api: Api, tmp_path: Path) -> None:
    """An export of one tag says what it includes; a word that fits nothing leaves the file as it was."""
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {"kind": "dataset", "key": "raw", "title": "Exported raw"},
        {"kind": "project", "key": "one", "title": "Exported", "datasets": ["@raw"], "tags": ["out"]},
    )
    assert here("apply", manifest, "--yes", "--no-progress", env=api.env).code == 0
    target = tmp_path / "out.jsonl"
    done = here("export", "--only", "tag=out", "--without-ontologies", "-o", target, env=api.env)
    assert done.code == 0
    assert [line.partition(",")[0] for line in target.read_text().splitlines()] == [
        '{"kind": "dataset"',
        '{"kind": "project"',
    ]
    assert "dataset @exported-raw: included because @exported refers to it" in done.err
    before = target.read_bytes()
    done = here("export", "--only", "exporte", "-o", target, "--force", env=api.env)
    assert done.code == 2
    assert "near it are 'exported'" in done.err
    assert target.read_bytes() == before
