import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Api = Any
Here = Callable[..., Any]

DROPPED = [{"query": "project.POST", "fault": "drop_before", "times": 1}]
COMMITTED = [
    {"query": "project.POST", "fault": "drop_after_commit", "times": 1},
    {"query": "projectwithuserrole.GET", "fault": "status", "status": 502},
]


@pytest.fixture
def left_in_doubt(api: Api, here: Here, tmp_path: Path) -> Callable[[str, list[dict[str, object]]], Path]:
    """Provision one project of a title while the service loses the create; the journal is left with a doubt."""

    def make(title: str, faults: list[dict[str, object]]) -> Path:
        manifest = tmp_path / "one.jsonl"
        manifest.write_text(json.dumps({"kind": "project", "key": "one", "title": title}) + "\n")
        api.control("PUT", "faults", faults)
        try:
            done = here("apply", manifest, "--yes", "--settle-s", 0, "--json", env=api.env)
        finally:
            api.control("DELETE", "faults")
        assert done.code == 3, done.err
        return manifest.with_name("one.jsonl.journal")

    return make


def test_status_of_a_finished_run(api: Api, here: Here, tmp_path: Path) -> None:
    """Status counts the steps by kind and how they ended, and says whose journal it is."""
    manifest = tmp_path / "two.jsonl"
    manifest.write_text(
        '{"kind": "project", "key": "p", "title": "Status one", '
        '"users": [{"email": "ann@example.com", "role": "annotator"}]}\n'
        '{"kind": "project_users", "project": "@p", "emails": ["bob@example.com"], "role": "reviewer"}\n'
    )
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    done = here("status", f"{manifest}.journal", "--json")
    assert done.code == 0
    assert done.json["domain"] == api.url
    assert done.json["running_pid"] is None
    assert done.json["steps"] == {"project": {"created": 1}, "user": {"updated": 2}}
    assert done.json["in_doubt"] == done.json["failed"] == []
    assert "created" in here("status", f"{manifest}.journal").out


def test_status_lists_what_failed(api: Api, here: Here, tmp_path: Path) -> None:
    """A step that failed is shown with its place and reason, and the exit code is 1."""
    manifest = tmp_path / "bad.jsonl"
    manifest.write_text('{"kind": "project_users", "project": "nowhere", "emails": ["a@example.com"], "role": 1}\n')
    assert here("apply", manifest, "--yes", env=api.env).code == 1
    done = here("status", f"{manifest}.journal")
    assert done.code == 1
    assert f"{manifest}:1" in done.out
    assert "no such resource" in done.out


def test_status_of_no_journal(here: Here, tmp_path: Path) -> None:
    """A journal that is not there is an error of usage, and none is made."""
    done = here("status", tmp_path / "no.journal")
    assert done.code == 2
    assert "there is no journal" in done.err
    assert list(tmp_path.iterdir()) == []


def test_settle_finds_what_did_not_happen(
    api: Api, here: Here, left_in_doubt: Callable[[str, list[dict[str, object]]], Path]
) -> None:
    """A create that never arrived is found not to have happened, and the next apply makes it, once."""
    journal = left_in_doubt("Settle absent", DROPPED)
    status = here("status", journal, "--json")
    assert status.code == 3
    assert [step["key"] for step in status.json["in_doubt"]] == ["one"]
    assert api.projects("Settle absent") == []
    done = here("settle", journal, "--settle-s", 0, "--json", env=api.env)
    assert done.code == 0, done.err
    assert [(step["state"], step["code"]) for step in done.json["settled"]] == [("failed", "NOT_THERE")]
    assert api.projects("Settle absent") == []
    assert here("apply", journal.with_suffix(""), "--yes", env=api.env).code == 0
    assert len(api.projects("Settle absent")) == 1


def test_settle_finds_what_happened(
    api: Api, here: Here, left_in_doubt: Callable[[str, list[dict[str, object]]], Path]
) -> None:
    """A create that was applied although its answer was lost is taken over, and never made again."""
    journal = left_in_doubt("Settle there", COMMITTED)
    done = here("settle", journal, env=api.env)
    assert done.code == 0, done.err
    assert "1 was made after all" in done.out
    again = here("apply", journal.with_suffix(""), "--yes", "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 1)
    assert len(api.projects("Settle there")) == 1


def test_a_person_decides(api: Api, here: Here, left_in_doubt: Callable[[str, list[dict[str, object]]], Path]) -> None:
    """``--as`` takes a person's word for which of those of its title an entry made; the next apply makes no other."""
    journal = left_in_doubt("Settle by hand", DROPPED)
    made = here("project", "create", "Settle by hand", env=api.env).out.strip()
    done = here("settle", journal, "--as", made, "one", "--json", env=api.env)
    assert done.code == 0, done.err
    assert done.json["settled"][0]["hash"] == made
    again = here("apply", journal.with_suffix(""), "--yes", "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 1)
    assert len(api.projects("Settle by hand")) == 1


def test_candidates_are_named(
    api: Api, here: Here, left_in_doubt: Callable[[str, list[dict[str, object]]], Path]
) -> None:
    """What could be one of several things stays in doubt, and ``settle`` and ``status`` name their title and hashes."""
    title = "Settle several"
    journal = left_in_doubt(title, DROPPED)
    made = {here("project", "create", title, env=api.env).out.strip() for _ in range(2)}
    for done in (here("settle", journal, env=api.env), here("status", journal)):
        assert done.code == 3, done.err
        line, candidates = done.out.splitlines()[-2:]
        assert line.endswith(f"2 projects '{title}' could be what this entry made")
        assert set(candidates.removeprefix("    it may be one of ").split(", ")) == made


@pytest.mark.parametrize(
    ("kind", "query"),
    [("project", "project.POST"), ("dataset", "v2/datasets.POST"), ("ontology", "v2/ontologies.POST")],
)
def test_a_person_names_what_is_not_there(api: Api, here: Here, tmp_path: Path, kind: str, query: str) -> None:
    """A hash that is not that of such a thing of that title is refused: it could not be taken back."""
    manifest = tmp_path / "one.jsonl"
    manifest.write_text(json.dumps({"kind": kind, "key": "one", "title": f"Settle no {kind}"}) + "\n")
    api.control("PUT", "faults", [{"query": query, "fault": "drop_before", "times": 1}])
    try:
        assert here("apply", manifest, "--yes", "--settle-s", 0, env=api.env).code == 3
    finally:
        api.control("DELETE", "faults")
    journal = f"{manifest}.journal"
    other = here("project", "create", "Settle another", env=api.env).out.strip()
    for wrong in ("11111111-2222-3333-4444-555555555555", other):
        done = here("settle", journal, "--as", wrong, "one", env=api.env)
        assert done.code == 2
        assert f"the account has no {kind} {wrong} of this title and description; nothing was decided" in done.err
    assert here("status", journal).code == 3


@pytest.mark.usefixtures("twins_pass")
def test_a_person_names_what_another_entry_made(api: Api, here: Here, tmp_path: Path) -> None:
    """Two entries of one title cannot be said to have made the same project, neither at once nor one by one."""
    manifest = tmp_path / "twins.jsonl"
    twins = [{"kind": "project", "key": key, "title": "Settle twins"} for key in ("one", "two", "three")]
    manifest.write_text("".join(json.dumps(twin) + "\n" for twin in twins))
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "drop_before", "times": 3}])
    try:
        assert here("apply", manifest, "--yes", "--settle-s", 0, env=api.env).code == 3
    finally:
        api.control("DELETE", "faults")
    journal = f"{manifest}.journal"
    made = here("project", "create", "Settle twins", env=api.env).out.strip()
    at_once = here("settle", journal, "--as", made, "one", "--as", made, "two", env=api.env)
    assert (at_once.code, len(here("status", journal, "--json").json["in_doubt"])) == (2, 3)
    assert here("settle", journal, "--as", made, "one", env=api.env).code == 3
    later = here("settle", journal, "--as", made, "two", env=api.env)
    assert later.code == 2
    assert f"project {made} is what another entry made; nothing was decided" in later.err


def test_a_person_decides_about_an_api_key(api: Api, here: Here, tmp_path: Path) -> None:
    """An API key has no hash: ``--as made`` takes it for made, and the next apply makes no other."""
    manifest = tmp_path / "key.jsonl"
    keys = [{"title": "ci", "scopes": ["label.read"]}]
    manifest.write_text(json.dumps({"kind": "project", "key": "one", "title": "Settle a key", "api_keys": keys}) + "\n")
    api.control("PUT", "faults", [{"query": "projectapikey.POST", "fault": "drop_before", "times": 1}])
    try:
        assert here("apply", manifest, "--yes", "--settle-s", 0, env=api.env).code == 3
    finally:
        api.control("DELETE", "faults")
    refused = here("settle", f"{manifest}.journal", "--as", "a-secret-key", "one", env=api.env)
    assert refused.code == 2
    assert "a-secret-key" not in refused.err
    done = here("settle", f"{manifest}.journal", "--as", "made", "one", env=api.env)
    assert (done.code, done.out.splitlines()[0]) == (0, "1 was made after all and taken over; 0 did not happen.")
    again = here("apply", manifest, "--yes", "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 1)
    assert api.projects("Settle a key")[0]["api_keys"] == []


def test_a_person_names_nothing(
    api: Api, here: Here, left_in_doubt: Callable[[str, list[dict[str, object]]], Path]
) -> None:
    """A name that no open step goes by is refused, and nothing changes."""
    journal = left_in_doubt("Settle nothing", DROPPED)
    done = here("settle", journal, "--as", "none", "two", env=api.env)
    assert done.code == 2
    assert "status" in done.err
    assert here("status", journal).code == 3


def test_settle_with_another_key(here: Here, start_api: Callable[..., Api], api: Api, tmp_path: Path) -> None:
    """A journal of another account or service is refused, and says whose it is."""
    manifest = tmp_path / "own.jsonl"
    manifest.write_text('{"kind": "dataset", "title": "Own"}\n')
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    other = start_api()
    done = here("settle", f"{manifest}.journal", env=other.env)
    assert done.code == 2
    assert api.url in done.err
