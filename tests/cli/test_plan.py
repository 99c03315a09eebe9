"""What plan says, and that it only reads."""

import os
from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from encord_async.journal.journal import Identity, Journal
from encord_async.protocol.catalogue import QUERIES, REST_CALLS, Effect
from tests.cli.conftest import DATASETS, EXAMPLE, Api, Done, Here, process, write_manifest


def test_only_reads_are_sent(here: Here, api: Api) -> None:
    """However much apply would do, plan creates nothing and changes nothing."""
    before, asked = api.control("GET", "state"), Counter(api.by_query())
    done = here("plan", EXAMPLE, env=api.env)
    assert done.code == 0
    assert "73 things that cannot be undone would be made: 44 projects, 14 datasets, 15 API keys." in done.out
    assert api.control("GET", "state") == before
    effects = {query.name: query.effect for query in QUERIES.values()}
    effects |= {call.name: call.effect for call in REST_CALLS.values()}
    assert {effects[name] for name in Counter(api.by_query()) - asked} == {Effect.READ}


def test_the_actions_as_json(here: Here, api: Api, tmp_path: Path) -> None:
    """With --json each action is an object, counts add up, and the irreversible ones are counted."""
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {"kind": "project_users", "project": "@p", "emails": ["a@example.com", "b@example.com"], "role": "reviewer"},
        {"kind": "dataset", "key": "d", "title": "Dataset 001"},
        {
            "kind": "project",
            "key": "p",
            "title": "A plan",
            "datasets": ["@d"],
            "api_keys": [{"title": "k", "scopes": ["label.read"]}],
        },
    )
    found = here("plan", manifest, "--json", env=api.env).json
    assert found["entries"] == 3
    assert found["irreversible"] == 2
    assert found["counts"] == {
        "create": {"project": 1, "api_key": 1},
        "adopt": {"dataset": 1},
        "add": {"dataset": 1, "user": 2},
    }
    actions = [(action["number"], action["action"], action["what"]) for action in found["actions"]]
    assert actions == [
        (1, "add", "user"),
        (2, "adopt", "dataset"),
        (3, "create", "project"),
        (3, "add", "dataset"),
        (3, "create", "api_key"),
    ]
    assert found["actions"][1]["hash"] == DATASETS[0]


def test_files_that_entries_name_are_shown(here: Here, api: Api, tmp_path: Path) -> None:
    """Which file of this machine would be sent, because an entry names it, is said before it is."""
    (tmp_path / "felines.json").write_text('{"objects": [], "classifications": []}')
    entry = {"kind": "ontology", "title": "Felines", "structure_file": "felines.json"}
    manifest = write_manifest(tmp_path / "m.jsonl", entry)
    assert "Felines from the file felines.json" in here("plan", manifest, env=api.env).out
    assert here("plan", manifest, "--json", env=api.env).json["actions"][0]["file"] == "felines.json"


def test_after_apply_nothing_is_left_to_make(here: Here, api: Api, tmp_path: Path) -> None:
    """What the journal says is done is only counted, without a request; without a journal all of it is adopted."""
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {
            "kind": "project",
            "key": "p",
            "title": "Planned and done",
            "datasets": DATASETS[:2],
            "users": [{"email": "a@example.com", "role": 1}],
            "api_keys": [{"title": "k", "scopes": ["label.read"]}],
        },
    )
    assert here("apply", manifest, "--yes", "--no-progress", env=api.env).code == 0
    found = here("plan", manifest, "--json", env=api.env).json
    assert found["counts"] == {"keep": {"project": 1, "api_key": 1, "user": 1}}
    assert (found["irreversible"], found["requests"]) == (0, 0)
    assert "No changes: 1 entry is as wished." in here("plan", manifest, env=api.env).out
    found = here("plan", manifest, "--json", "--journal", str(tmp_path / "another"), env=api.env).json
    assert found["irreversible"] == 0
    assert found["counts"] == {"adopt": {"project": 1, "api_key": 1}, "keep": {"dataset": 2, "user": 1}}


def test_what_would_fail_is_told(here: Here, api: Api, tmp_path: Path) -> None:
    """An ambiguous title, a project that is not there and --existing fail each end in 1, with the reason."""
    for _ in range(2):
        assert here("project", "create", "Twins", env=api.env).code == 0
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {"kind": "project", "key": "p", "title": "Twins"},
        {"kind": "project_users", "project": "@p", "emails": ["a@example.com"], "role": 1},
        {"kind": "project_users", "project": "no-such", "emails": ["a@example.com"], "role": 1},
    )
    done = here("plan", manifest, "--json", env=api.env)
    assert done.code == 1
    reasons = [action["reason"] for action in done.json["actions"]]
    assert "several projects 'Twins' could be meant" in reasons[0]
    assert "no such project" in reasons[2]
    assert done.json["irreversible"] == 0
    assert "REFUSE" in here("plan", manifest, env=api.env).out
    existing = write_manifest(tmp_path / "e.jsonl", {"kind": "dataset", "title": "Dataset 002"})
    assert here("plan", existing, "--existing", "fail", env=api.env).code == 1
    assert here("plan", existing, "--existing", "create", "--json", env=api.env).json["irreversible"] == 1


def test_a_bad_manifest_sends_nothing(here: Here, api: Api, tmp_path: Path) -> None:
    """A bad entry ends in 2 before anything is asked of the service."""
    before = api.by_query()
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "dataset", "title": "x"}, {"kind": "dataset", "title": ""})
    done = here("plan", manifest, env=api.env)
    assert done.code == 2
    assert "title: must not be empty" in done.err
    assert api.by_query() == before


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_key_is_needed(here: Here, api: Api, verb: str) -> None:
    """Without a key the message names the variables to set, and the exit code is 2."""
    done = here(verb, EXAMPLE, "--domain", api.url)
    assert done.code == 2
    assert "ENCORD_SSH_KEY_FILE" in done.err


@pytest.mark.process
@pytest.mark.parametrize("verb", ["plan", "verify"])
def test_a_run_that_goes_on_meanwhile_is_told(here: Here, api: Api, tmp_path: Path, verb: str) -> None:
    """Whoever looks while a run writes the journal is told of it: what is under way is neither done nor in doubt."""
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "dataset", "key": "d", "title": f"Looked at by {verb}"})
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    journal = tmp_path / "m.jsonl.journal"
    alone = here(verb, manifest, env=api.env)
    assert "A run is going on" not in alone.out + alone.err

    async def look() -> Done:
        async with Journal(journal, None) as read:
            about = await read.about()
        async with Journal(journal, Identity(about["domain"], about["account"])):
            return await anyio.to_thread.run_sync(lambda: process(verb, manifest, env=api.env))

    done = anyio.run(look)
    assert done.code == 0, done.err
    assert f"A run is going on in process {os.getpid()}: " in done.out + done.err
