"""What a journal says can be looked into and changed by hand; the account stays as it is."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.cli.conftest import Applied, Terminal, write_manifest
from tests.postgres import PASSWORD, PostgresServer

Api = Any
Here = Any
Json = Any


def programme(name: str, *, cats: str = "cats", raw: str = "raw") -> list[Json]:
    """A manifest in which much refers to a project and a dataset, by keys that are given."""
    return [
        {"kind": "dataset", "key": raw, "title": f"{name} raw"},
        {"kind": "ontology", "key": "felines", "title": f"{name} felines"},
        {
            "kind": "project",
            "key": cats,
            "title": f"{name} cats",
            "datasets": [f"@{raw}"],
            "ontology": "@felines",
            "users": [{"email": "ann@example.com", "role": "annotator"}],
            "api_keys": [{"title": "inside", "scopes": ["label.write", "label.read"]}],
            "tags": [f"{name}-tag"],
        },
        {"kind": "project", "key": "copy", "title": f"{name} copy", "description": "A copy", "copy_of": f"@{cats}"},
        {"kind": "project_api_key", "key": "ci", "project": f"@{cats}", "title": "ci", "scopes": ["label.read"]},
        {"kind": "project_api_key", "project": f"@{cats}", "title": "keyless", "scopes": ["label.read"]},
        {"kind": "project_users", "project": f"@{cats}", "emails": ["bob@example.com"], "role": "reviewer"},
        {"kind": "project_datasets", "key": "more", "project": "@copy", "add": [f"@{raw}"]},
    ]


def plan(api: Api, here: Here, manifest: Path, journal: str) -> Json:
    """What the next apply would do."""
    done = here("plan", manifest, "--journal", journal, "--json", env=api.env)
    assert done.code == 0, done.err
    return done.json


def backups(folder: Path) -> list[Path]:
    """The backups there."""
    return sorted(path for path in folder.iterdir() if ".backup-" in path.name)


def test_list_and_show(api: Api, here: Here, applied: Applied, store: str) -> None:
    """The keys are listed with what they made, and all of a key is shown, without a password of the journal."""
    _, journal = applied(f"Listed {store}", *programme(f"Listed {store}"))
    done = here("journal", "list", journal, "--json")
    assert done.code == 0, done.err
    found = {one["key"]: one for one in done.json["entries"]}
    assert set(found) == {"raw", "felines", "cats", "copy", "ci", "more"}
    assert (found["cats"]["kind"], found["cats"]["title"]) == ("project", f"Listed {store} cats")
    assert found["cats"]["hash"] == api.projects(f"Listed {store} cats")[0]["project_hash"]
    assert found["ci"]["kind"] == "project_api_key"
    shown = here("journal", "show", journal, "cats", "--json")
    assert {one["kind"] for one in shown.json["steps"]} >= {"project", "user", "api_key"}
    texts = [done, shown, here("journal", "list", journal), here("journal", "show", journal, "cats")]
    assert f"Listed {store} cats" in texts[2].out
    assert f"Listed {store} cats" in texts[3].out
    assert not any(PASSWORD in text.out + text.err for text in texts)
    missing = here("journal", "show", journal, "dogs")
    assert (missing.code, "nothing of a key 'dogs'" in missing.err) == (2, True)


def test_a_renamed_key(api: Api, here: Here, applied: Applied, store: str, tmp_path: Path) -> None:
    """A key that has another name in manifest and journal changes nothing, whoever refers to it."""
    manifest, journal = applied(f"Moved {store}", *programme(f"Moved {store}"))
    first = api.control("GET", "state")
    for old, new in (("cats", "big-cats"), ("raw", "big-raw")):
        done = here("journal", "mv", journal, old, new, "--yes", "--json")
        assert (done.code, done.json.get("left")) == (0, 0), done.out + done.err
    write_manifest(manifest, *programme(f"Moved {store}", cats="big-cats", raw="big-raw"))
    planned = here("plan", manifest, "--journal", journal, env=api.env)
    assert planned.code == 0, planned.err
    assert "No changes" in planned.out, planned.out
    again = here("apply", manifest, "--yes", "--journal", journal, "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 8), again.json
    assert api.control("GET", "state")["projects"] == first["projects"]
    assert here("verify", manifest, "--journal", journal, env=api.env).code == 0
    assert len(backups(tmp_path)) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in backups(tmp_path))


def test_a_key_that_has_moved_in_the_manifest(api: Api, here: Here, applied: Applied, store: str) -> None:
    """With `moved` no hand is needed: plan names the move, apply carries it out and says so, and that is all."""
    manifest, journal = applied(f"Review {store}", *programme(f"Review {store}"))
    first = api.control("GET", "state")
    entries = programme(f"Review {store}", cats="big-cats", raw="big-raw")
    former = {"big-cats": "cats", "big-raw": "raw"}
    moved = [one | ({"moved": former[one["key"]]} if one.get("key") in former else {}) for one in entries]
    write_manifest(manifest, *moved)
    planned = here("plan", manifest, "--journal", journal, env=api.env)
    assert planned.code == 0, planned.err
    assert "to @big-cats, in the journal alone" in planned.out
    detailed = here("plan", manifest, "--journal", journal, "--detailed-exit-code", "--json", env=api.env)
    assert (detailed.code, detailed.json["counts"]["move"]) == (6, {"dataset": 1, "project": 1})
    again = here("apply", manifest, "--journal", journal, "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 8), again.json
    assert [one["key"] for one in again.json["moved"]] == [one["key"] for one in moved if "moved" in one]
    assert "@big-cats: takes the place of @cats in the journal" in again.err
    assert api.control("GET", "state")["projects"] == first["projects"]
    assert "No changes" in here("plan", manifest, "--journal", journal, env=api.env).out


def test_the_old_key_is_free(api: Api, here: Here, applied: Applied, store: str) -> None:
    """After a rename another entry may have the old key, and makes something of its own."""
    manifest, journal = applied(f"Freed {store}", *programme(f"Freed {store}"))
    assert here("journal", "mv", journal, "cats", "old-cats", "--yes").code == 0
    other = {"kind": "project", "key": "cats", "title": f"Freed {store} other cats"}
    write_manifest(manifest, *programme(f"Freed {store}", cats="old-cats"), other)
    again = here("apply", manifest, "--yes", "--journal", journal, "--json", env=api.env)
    assert (again.code, again.json["created"], again.json["unchanged"]) == (0, 1, 8), again.json
    assert len(api.projects(f"Freed {store} cats")) == len(api.projects(f"Freed {store} other cats")) == 1


def test_a_forgotten_key(api: Api, here: Here, applied: Applied, store: str, tmp_path: Path) -> None:
    """What a forgotten key has made is adopted by the next apply, API keys in it too, and nothing is made twice."""
    manifest, journal = applied(f"Gone {store}", *programme(f"Gone {store}"))
    first = api.control("GET", "state")["projects"]
    done = here("journal", "rm", journal, "cats", "--yes")
    assert (done.code, "the next 'apply' adopts what is there" in done.out) == (0, True), done.err
    assert len(backups(tmp_path)) == 1
    assert here("journal", "show", journal, "cats").code == 2
    again = here("apply", manifest, "--yes", "--journal", journal, "--json", env=api.env)
    assert (again.code, again.json["created"]) == (0, 0), again.json
    assert api.control("GET", "state")["projects"] == first
    assert "No changes" in here("plan", manifest, "--journal", journal, env=api.env).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mv", "cats", "raw"), "something of a key 'raw' already"),
        (("mv", "dogs", "wolves"), "nothing of a key 'dogs'"),
        (("mv", "cats", "@cats"), "must not begin with '@'"),
        (("mv", "cats", " "), "cannot be a key"),
        (("rm", "dogs"), "nothing of a key 'dogs'"),
        (("rm", "cats", None), "give --yes"),
        (("mv", "cats", "lions", None), "give --yes"),
    ],
)
def test_what_is_refused(api: Api, here: Here, tmp_path: Path, arguments: tuple[str | None, ...], said: str) -> None:
    """Keys that are not there, are taken or cannot be any, and a yes that nobody gave, change nothing."""
    manifest = write_manifest(tmp_path / "one.jsonl", *programme("Refused"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    before = Path(f"{manifest}.journal").read_bytes()
    verb, *keys = arguments
    more = [key for key in keys if key is not None] + ([] if None in keys else ["--yes"])
    done = here("journal", verb, f"{manifest}.journal", *more)
    assert (done.code, said in done.err) == (2, True), done.err
    assert Path(f"{manifest}.journal").read_bytes() == before
    assert backups(tmp_path) == []


def test_no_journal_is_made(here: Here, tmp_path: Path) -> None:
    """A journal that is not there is said to be missing by every verb."""
    for arguments in (("list",), ("show", "a"), ("mv", "a", "b"), ("rm", "a")):
        verb, *keys = arguments
        done = here("journal", verb, tmp_path / "no.journal", *keys)
        assert (done.code, "there is no journal" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_doubt_is_not_renamed(api: Api, here: Here, tmp_path: Path) -> None:
    """A create that may have happened has to be settled before its key can be another; it can be forgotten."""
    manifest = write_manifest(tmp_path / "one.jsonl", {"kind": "dataset", "key": "one", "title": "Journal doubt"})
    api.control("PUT", "faults", [{"query": "v2/datasets.POST", "fault": "drop_before", "times": 1}])
    try:
        assert here("apply", manifest, "--yes", "--settle-s", 0, env=api.env).code == 3
    finally:
        api.control("DELETE", "faults")
    done = here("journal", "mv", f"{manifest}.journal", "one", "two", "--yes")
    assert (done.code, "encord-async settle" in done.err) == (2, True)
    assert here("journal", "rm", f"{manifest}.journal", "one", "--yes").code == 0
    assert here("status", f"{manifest}.journal").code == 0


def test_a_backup_is_a_journal(api: Api, here: Here, tmp_path: Path) -> None:
    """The backup of a file is put in its place by copying it, and all is as before."""
    manifest = write_manifest(tmp_path / "one.jsonl", *programme("Restored"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    journal = f"{manifest}.journal"
    before = here("journal", "show", journal, "cats", "--json").json["steps"]
    assert here("journal", "rm", journal, "cats", "--yes").code == 0
    (backup,) = backups(tmp_path)
    restore = ("journal", "restore", journal)
    assert f"copy {backup} over {journal}" in here(*restore, backup, "--yes").err
    assert f"there is no {backup}x" in here(*restore, f"{backup}x", "--yes").err
    assert here("journal", "show", backup, "cats", "--json").json["steps"] == before
    shutil.copy(backup, journal)
    assert "No changes" in here("plan", manifest, env=api.env).out


def test_a_backup_of_a_database(
    postgres: PostgresServer, api: Api, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup of a journal in PostgreSQL has each of its rows as a line of JSON, for this user only."""
    monkeypatch.chdir(tmp_path)
    manifest = write_manifest(tmp_path / "one.jsonl", *programme("Dumped"))
    url = postgres.url("dumped")
    assert here("apply", manifest, "--yes", "--journal", url, env=api.env).code == 0
    steps = sum(one["steps"] for one in here("journal", "list", url, "--json").json["entries"])
    keyless = here("journal", "list", url, "--json").json["steps_without_key"]
    assert here("journal", "rm", url, "ci", "--yes").code == 0
    (backup,) = backups(tmp_path)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    rows = [json.loads(line) for line in backup.read_text().splitlines()]
    assert len([row for row in rows if row["table"] == "steps"]) == steps + keyless
    assert {row["name"] for row in rows if row["table"] == "meta"} >= {"account", "domain", "checksum"}
    assert PASSWORD not in backup.read_text()


@pytest.mark.process
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_it_asks(api: Api, here: Here, tmp_path: Path, answer: str, code: int) -> None:
    """On a terminal it says what will be done, and does it for a yes only."""
    manifest = write_manifest(tmp_path / "one.jsonl", {"kind": "dataset", "key": "one", "title": f"Asked {answer}"})
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    with Terminal("journal", "mv", f"{manifest}.journal", "one", "two", env=api.env) as terminal:
        terminal.read_until("Go on? [y/N]: ")
        terminal.type(f"{answer}\n")
        done = terminal.end()
    assert done.code == code, done.out
    assert "dataset 'one' will be 'two' in the journal." in done.out
    assert here("journal", "show", f"{manifest}.journal", "two").code == code


@pytest.mark.process
def test_a_journal_in_use(api: Api, here: Here, tmp_path: Path) -> None:
    """A journal that a run is writing is not changed, and no backup is made."""
    manifest = write_manifest(tmp_path / "one.jsonl", {"kind": "dataset", "key": "one", "title": "Busy"})
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    journal = f"{manifest}.journal"
    program = (
        "import sys, os; from encord_async.journal.lock import lock\n"
        "lock(os.open(sys.argv[1], os.O_RDWR)); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, journal]
    with warm.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        done = here("journal", "rm", journal, "one", "--yes")
        other.communicate()
    assert (done.code, "is in use by process" in done.err) == (2, True), done.err
    assert backups(tmp_path) == []


def test_a_renamed_key_with_a_stamp(api: Api, here: Here, tmp_path: Path) -> None:
    """The stamp in a description is still that of the old key, and the entry is known by the journal all the same."""
    manifest = write_manifest(tmp_path / "one.jsonl", *programme("Stamped"))
    assert here("apply", manifest, "--yes", "--stamp", env=api.env).code == 0
    assert here("journal", "mv", f"{manifest}.journal", "cats", "lions", "--yes").code == 0
    write_manifest(manifest, *programme("Stamped", cats="lions"))
    planned = here("plan", manifest, "--stamp", env=api.env)
    assert "No changes" in planned.out, planned.out + planned.err
    assert here("verify", manifest, env=api.env).code == 0


def test_a_keyless_entry_that_refers_to_it(api: Api, here: Here, tmp_path: Path) -> None:
    """An entry without a key is another one once it refers to the new key, and adopts what it has made."""
    keyless = {"kind": "project", "title": "Keyless dogs", "datasets": ["@raw"]}
    manifest = write_manifest(tmp_path / "one.jsonl", *programme("Keyless"), keyless)
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    assert here("journal", "mv", f"{manifest}.journal", "raw", "rare", "--yes").code == 0
    write_manifest(manifest, *programme("Keyless", raw="rare"), keyless | {"datasets": ["@rare"]})
    again = here("apply", manifest, "--yes", "--json", env=api.env)
    assert (again.code, again.json["created"], again.json["adopted"]) == (0, 0, 1), again.json
    assert len(api.projects("Keyless dogs")) == 1
