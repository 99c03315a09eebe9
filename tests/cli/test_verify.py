"""Reading back on the command line, and putting right."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import DATASETS, Api, Here, Json, Start, Terminal, write_manifest

LIST_USERS = "v2/projects/{project}/users.GET"
KEY = {"title": "ci", "scopes": ["label.read"]}


def programme(title: str) -> list[Json]:
    """A project with a dataset of its own, one that is there, a user and an API key."""
    return [
        {"kind": "dataset", "key": "raw", "title": f"{title} raw"},
        {
            "kind": "project",
            "key": "p",
            "title": title,
            "datasets": ["@raw", DATASETS[0]],
            "users": [{"email": "ann@example.com", "role": "annotator"}],
            "api_keys": [KEY],
        },
    ]


@pytest.fixture
def applied(here: Here, api: Api, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A manifest that has been provisioned; its project has the name of the test."""
    manifest = write_manifest(tmp_path / "m.jsonl", *programme(request.node.name))
    done = here("apply", manifest, "--yes", "--no-progress", env=api.env)
    assert done.code == 0, done.err
    return manifest


def spoil(here: Here, api: Api, title: str) -> str:
    """Let the project lose a dataset and gain another; its hash."""
    (project,) = api.projects(title)
    found: str = project["project_hash"]
    assert here("project", "remove-datasets", found, DATASETS[0], env=api.env).code == 0
    assert here("project", "add-datasets", found, DATASETS[7], env=api.env).code == 0
    return found


def test_nothing_differs(here: Here, api: Api, applied: Path) -> None:
    """Right after apply verify ends in 0, users included, and changes nothing."""
    before = api.control("GET", "state")
    done = here("verify", applied, env=api.env)
    assert done.code == 0
    assert "1 project with 2 users and 1 dataset read back: 0 differences." in done.out
    assert "not checked" not in done.out
    assert api.control("GET", "state") == before


def test_differences_as_table_and_json(here: Here, api: Api, applied: Path) -> None:
    """Each difference is a line, or an object with --json, and the exit code is 1."""
    found = spoil(here, api, "test_differences_as_table_and_json")
    done = here("verify", applied, env=api.env)
    assert done.code == 1
    lines = [line.split() for line in done.out.splitlines()]
    inside = ["in", "test_differences_as_table_and_json", f"({found})"]
    assert [f"{applied}:2", "missing", "dataset", DATASETS[0], *inside] in lines
    assert [f"{applied}:2", "too", "much", "dataset", DATASETS[7], *inside] in lines
    told = here("verify", applied, "--json", env=api.env)
    assert told.code == 1
    assert told.json["differences"] == [
        {
            "place": f"{applied}:2",
            "difference": fault,
            "what": "attachment",
            "item": item,
            "hash": found,
            "hash_title": "test_differences_as_table_and_json",
        }
        for fault, item in (("extra", DATASETS[7]), ("missing", DATASETS[0]))
    ]
    assert told.json["counts"] == {"missing": {"attachment": 1}, "extra": {"attachment": 1}}
    assert told.json["users"] == {"wished": 1, "read": 2, "checked": True, "note": ""}
    assert "fixed" not in told.json


def test_titles_beside_hashes(here: Here, api: Api, tmp_path: Path) -> None:
    """Datasets and groups that the manifest has entries for are told by title and hash, and nothing more is asked."""
    title = "test_titles_beside_hashes"
    wishes: list[Json] = [
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "group", "key": "g", "name": "Annotators"},
        {"kind": "project", "key": "p", "title": title},
        {"kind": "project_groups", "project": "@p", "add": ["@g"], "role": "annotator"},
    ]
    manifest = write_manifest(tmp_path / "m.jsonl", *wishes)
    outcomes = tmp_path / "outcomes"
    assert here("apply", manifest, "--yes", "--outcomes", outcomes, env=api.env).code == 0
    made = {told["number"]: told["hash"] for told in map(json.loads, outcomes.read_text().splitlines())}
    raw, group, project = made[1], made[2], made[3]
    before = here("verify", manifest, "--json", env=api.env).json["requests"]
    wishes[2]["datasets"] = ["@raw"]
    wishes[3]["role"] = "reviewer"
    write_manifest(manifest, *wishes)
    done = here("verify", manifest, env=api.env)
    rows = [" ".join(line.split()) for line in done.out.splitlines()]
    told = f"in {title} ({project})"
    assert f"{manifest}:3 missing dataset Raw ({raw}) {told}" in rows
    role = "wanted 'reviewer', found 'annotator'"
    assert f"{manifest}:3 different role Annotators ({group}) {told}: {role}" in rows
    assert here("verify", manifest, "--json", env=api.env).json["requests"] == before
    assert f"missing dataset Raw ({raw})" in here("plan", manifest, "--refresh", env=api.env).out


def test_fix_adds_and_prune_detaches(here: Here, api: Api, applied: Path) -> None:
    """--fix adds what is missing and leaves what is too much; with --prune that goes too."""
    title = "test_fix_adds_and_prune_detaches"
    spoil(here, api, title)
    done = here("verify", applied, "--fix", env=api.env)
    assert done.code == 1
    assert "sent: 1 dataset to attach" in done.out
    assert "1 difference left." in done.out
    assert {*DATASETS[:1], DATASETS[7]} < set(api.projects(title)[0]["datasets"])
    done = here("verify", applied, "--fix", "--prune", "--yes", "--json", env=api.env)
    assert done.code == 0
    assert done.json["differences"] == []
    assert done.json["fixed"] == {
        "attach": 0,
        "detach": 1,
        "users": 0,
        "remove_users": 0,
        "groups": 0,
        "remove_groups": 0,
        "organisation_users": 0,
        **dict.fromkeys(("dataset_users", "dataset_groups", "ontology_groups", "tags", "statuses"), 0),
        **dict.fromkeys(("remove_dataset_users", "remove_dataset_groups", "remove_ontology_groups", "remove_tags"), 0),
        **dict.fromkeys(("folder_groups", "remove_folder_groups", "folder_data", "dataset_data"), 0),
        **dict.fromkeys(("dataset_items", "remove_data_rows", "tasks"), 0),
        "group_members": 0,
        "api_keys": 0,
        "failed": [],
        "not_removed": [],
        "not_added": [],
    }
    assert DATASETS[7] not in api.projects(title)[0]["datasets"]
    assert here("verify", applied, env=api.env).code == 0


def test_a_role_that_stays(here: Here, api: Api, applied: Path) -> None:
    """A member who holds another role than wanted is a difference, which --fix cannot change, and says so."""
    entries = programme("test_a_role_that_stays")
    entries[1]["users"][0]["role"] = "reviewer"
    write_manifest(applied, *entries)
    before = api.by_query()
    done = here("verify", applied, "--fix", env=api.env)
    assert done.code == 1
    assert "wanted 'reviewer', found 'annotator': this API cannot change the role of a member" in done.out
    assert "1 difference." in done.out
    assert api.by_query()["projectusers.POST"] == before["projectusers.POST"]


def test_users_missing_and_too_many(here: Here, api: Api, applied: Path) -> None:
    """--fix adds who is missing; with --prune others are removed, but nobody who could be the account itself."""
    title = "test_users_missing_and_too_many"
    entries = programme(title)
    entries[1]["users"].append({"email": "bob@example.com", "role": "viewer"})
    write_manifest(applied, *entries)
    found = api.projects(title)[0]["project_hash"]
    assert here("project", "add-users", found, "--role", "reviewer", "eve@example.com", env=api.env).code == 0
    done = here("verify", applied, "--fix", "--json", env=api.env)
    assert done.code == 1
    assert done.json["fixed"]["users"] == 1
    assert done.json["counts"] == {"extra": {"user": 1}}
    done = here("verify", applied, "--fix", "--prune", env=api.env)
    assert done.code == 0
    assert "sent: 1 user to remove" in done.out
    users = {user["email"]: user["role"] for user in api.projects(title)[0]["users"]}
    assert {email: role for email, role in users.items() if role != 0} == {"ann@example.com": 1, "bob@example.com": 5}
    assert len(users) == 3


def test_a_service_that_lists_no_users(here: Here, api: Api, applied: Path) -> None:
    """An older service has no such listing: that is said, and is no difference; --fix adds whom the manifest names."""
    api.control("PUT", "faults", [{"query": LIST_USERS, "fault": "error", "code": "METHOD_NOT_ALLOWED_ERROR"}])
    try:
        done = here("verify", applied, env=api.env)
        assert done.code == 0
        assert "Users of 1 project were not checked, since the service does not list them: the method" in done.out
        fixed = here("verify", applied, "--fix", env=api.env)
    finally:
        api.control("DELETE", "faults")
    assert fixed.code == 0
    assert "which changes nothing for members" in fixed.out


def test_a_removal_that_is_refused(here: Here, api: Api, applied: Path) -> None:
    """Users whom the service does not remove are told with the reason, and the exit code is 1."""
    found = api.projects("test_a_removal_that_is_refused")[0]["project_hash"]
    assert here("project", "add-users", found, "--role", "reviewer", "eve@example.com", env=api.env).code == 0
    rule = {"query": "v2/projects/{project}/users/bulk-delete.POST", "fault": "error", "code": "AUTHORISATION_ERROR"}
    api.control("PUT", "faults", [rule])
    try:
        done = here("verify", applied, "--fix", "--prune", env=api.env)
    finally:
        api.control("DELETE", "faults")
    assert done.code == 1
    assert f"not put right: 1 user of {found} not removed: access is refused" in done.out
    assert "1 difference left, and 1 repair that did not come about." in done.out


@pytest.mark.process
def test_fix_asks_on_a_terminal(here: Here, api: Api, applied: Path) -> None:
    """On a terminal --fix shows what it would send; without a yes nothing is sent, and the differences are told."""
    title = "test_fix_asks_on_a_terminal"
    spoil(here, api, title)
    before = api.control("GET", "state")
    with Terminal("verify", applied, "--fix", env=api.env) as terminal:
        assert "1 dataset to attach" in terminal.read_until("Go on?")
        terminal.type("n\n")
        done = terminal.end()
    assert done.code == 1
    assert "2 differences" in done.out
    assert api.control("GET", "state") == before


def test_api_keys_are_made_again_only_with_a_yes(here: Here, start_api: Start, tmp_path: Path) -> None:
    """Without a terminal and without --yes --fix makes no API key, sends nothing, and says what is needed."""
    api = start_api(state=tmp_path / "state.db")
    manifest = write_manifest(tmp_path / "m.jsonl", *programme("test_api_keys_are_made_again"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    # As somebody does in the web app; no API takes a key away.
    with closing(sqlite3.connect(tmp_path / "state.db")) as state:
        state.execute("DELETE FROM api_keys WHERE title = 'ci'")
        state.commit()
    before = api.control("GET", "state")
    done = here("verify", manifest, "--fix", env=api.env)
    assert done.code == 2
    assert "--fix would do what cannot be undone: 1 API key to make, which cannot be undone." in done.err
    assert "give --yes. Nothing was sent" in done.err
    assert api.control("GET", "state") == before
    assert here("verify", manifest, "--fix", "--yes", env=api.env).code == 0


def test_without_a_journal(here: Here, api: Api, tmp_path: Path) -> None:
    """Where no journal lies beside the manifest, that is said, and what would stand in it is missing."""
    manifest = write_manifest(tmp_path / "m.jsonl", *programme("Never applied"))
    done = here("verify", manifest, env=api.env)
    assert done.code == 1
    assert f"there is no {manifest}.journal" in done.err
    assert "nothing read back: 2 differences." in done.out
    assert here("verify", manifest, "--fix", "--yes", env=api.env).code == 1
    assert api.projects("Never applied") == []


@pytest.mark.parametrize(
    "arguments", [["--prune"], ["--yes"], ["--journal", "nowhere.db"], ["--domain", "http://127.0.0.1:9"]]
)
def test_what_cannot_be_meant(here: Here, api: Api, applied: Path, arguments: list[str]) -> None:
    """Options that make no sense alone, a journal that is not there, and another region's journal are refused."""
    done = here("verify", applied, *arguments, env=api.env)
    assert done.code == 2
    assert done.out == ""


def test_data_rows_are_not_removed(here: Here, api: Api, applied: Path) -> None:
    """Whoever would have data rows removed is told what does that."""
    refused = here("verify", applied, "--fix", "--prune", "--prune-data", "--yes", env=api.env)
    assert (refused.code, "'encord-async apply --prune-data' does" in refused.err) == (2, True), refused.err


def test_a_bad_manifest(here: Here, api: Api, tmp_path: Path) -> None:
    """A bad manifest is told as everywhere."""
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "project"})
    done = here("verify", manifest, env=api.env)
    assert done.code == 2
    assert "title" in done.err


def test_the_organisation(here: Here, api: Api, tmp_path: Path) -> None:
    """Groups and users of the organisation are told, put right, and not checked where they are not listed."""
    entries: list[Json] = [
        {"kind": "ontology", "key": "things", "title": "Things"},
        {"kind": "organisation_user", "key": "zoe", "email": "zoe@example.com", "role": "tasker"},
        {"kind": "group", "key": "g", "name": "Annotators", "members": ["@zoe"]},
        {"kind": "project", "key": "grouped", "title": "Grouped", "ontology": "@things"},
        {"kind": "project_groups", "project": "@grouped", "add": ["@g"], "role": "annotator"},
    ]
    manifest = write_manifest(tmp_path / "m.jsonl", *entries)
    assert here("apply", manifest, "--yes", "--no-progress", env=api.env).code == 0
    assert here("verify", manifest, env=api.env).code == 0
    entries[1]["email"] = "max@example.com"
    entries[4]["role"] = "reviewer"
    write_manifest(manifest, *entries)
    done = here("verify", manifest, env=api.env)
    assert done.code == 1
    rows = [" ".join(line.split()) for line in done.out.splitlines()]
    assert any("missing user of the organisation max@example.com: wanted 'tasker'" in row for row in rows), rows
    assert any("too much member of a group zoe@example.com" in row for row in rows)
    done = here("verify", manifest, "--fix", env=api.env)
    assert done.code == 1
    for line in ("1 group to give access", "1 user to add to the organisation", "1 user to add to a group"):
        assert f"sent: {line}" in done.out
    assert "1 difference left" in done.out
    rules = [
        {"query": query, "fault": "error", "code": "METHOD_NOT_ALLOWED_ERROR"}
        for query in ("v2/organisation/users.GET", "v2/projects/{project}/groups.GET", "v2/ontologies.GET")
    ]
    api.control("PUT", "faults", rules)
    try:
        done = here("verify", manifest, "--json", env=api.env)
    finally:
        api.control("DELETE", "faults")
    assert [note.partition(" not checked")[0] for note in done.json["not_checked"]] == [
        "1 ontology was",
        "1 user of the organisation was",
        "Groups of 1 project were",
    ]
    assert done.json["users"]["checked"]
    assert done.code == 0


def test_access_tags_and_status(here: Here, api: Api, tmp_path: Path) -> None:
    """Plan, apply, verify and --fix --prune on the command line say and do what tags, status and access are about."""
    title = "test_access_tags_and_status"
    groups = [{"group": "@a", "role": "user"}]
    wishes: list[Json] = [
        {"kind": "group", "key": "a", "name": title},
        {"kind": "dataset", "key": "d", "title": title, "groups": groups},
        {"kind": "project", "key": "p", "title": title, "tags": ["odd", "even"], "status": "in_review"},
    ]
    manifest = write_manifest(tmp_path / "m.jsonl", *wishes)
    planned = here("plan", manifest, env=api.env)
    assert planned.code == 0
    lines = [line.split()[1:] for line in planned.out.splitlines() if line.startswith(str(manifest))]
    assert ["change", "status", "in_review", "in", "@p"] in lines
    assert ["create", "tag", "odd,", "even"] in lines
    assert ["add", "tag", "odd,", "even", "in", "@p"] in lines
    assert ["add", "group", "of", "a", "dataset", "@a", "as", "user", "in", "@d"] in lines
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    assert here("plan", manifest, "--detailed-exit-code", env=api.env).code == 0
    assert here("verify", manifest, env=api.env).code == 0

    wishes[1]["groups"] = [{"group": "@a", "role": "admin"}]
    wishes[2] |= {"tags": ["even"], "status": "paused"}
    write_manifest(manifest, *wishes)
    planned = here("plan", manifest, "--json", "--detailed-exit-code", env=api.env)
    assert (planned.code, planned.json["counts"]["change"]) == (6, {"status": 1})
    done = here("verify", manifest, "--fix", "--prune", env=api.env)
    assert done.code == 0, done.out
    assert "sent: 1 status of a project to set" in done.out
    assert "sent: 1 tag to take off a project" in done.out
    (project,) = api.projects(title)
    assert (project["tags"], project["status"]) == (["even"], "paused")
    assert here("plan", manifest, "--detailed-exit-code", env=api.env).code == 0
