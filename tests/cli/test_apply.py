"""Provisioning on the command line: exit codes, JSON, outcomes, questions."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from encord_async.emulator import default_seed
from tests import warm
from tests.cli.conftest import (
    DATASETS,
    EXAMPLE,
    Api,
    Done,
    Here,
    Json,
    Start,
    Terminal,
    process,
    process_env,
    write_manifest,
)
from tests.cli.test_project import new_key
from tests.waiting import until

DATASET = {"kind": "dataset", "title": "D"}
SUMS = ["created", "adopted", "updated", "unchanged", "failed", "blocked", "in_doubt", "cancelled"]


def project(title: str, key: str = "p", **more: Json) -> Json:
    """A project entry."""
    return {"kind": "project", "key": key, "title": title, **more}


def member(project_hash: str, email: str = "ann@example.com", role: object = "annotator") -> Json:
    """A membership entry."""
    return {"kind": "project_users", "project": project_hash, "emails": [email], "role": role}


@pytest.mark.process
def test_the_example(here: Here, start_api: Start, tmp_path: Path) -> None:
    """The whole example is provisioned, and the summary says so; a second time nothing is sent."""
    api = start_api()
    manifest = tmp_path / "programme.jsonl"
    manifest.write_bytes(EXAMPLE.read_bytes())
    done = process("apply", manifest, "--yes", env=api.env)
    assert done.code == 0, done.err
    assert "created  62" in done.out
    assert "updated  55" in done.out
    assert done.err.splitlines()[-1].startswith("117 of 117 entries, 0 failed")
    assert len(api.control("GET", "state")["projects"]) == 44
    assert "verify" not in done.out
    again = here("apply", manifest, "--yes", env=api.env)
    assert "unchanged  117" in again.out
    last = "What earlier runs have done was taken from the journal, and not looked at: "
    assert again.out.splitlines()[-1] == f"{last}'encord-async verify {manifest}' does that."
    assert len(api.control("GET", "state")["projects"]) == 44


def test_what_is_taken_is_no_entry(here: Here, api: Api, tmp_path: Path) -> None:
    """Who is taken out at the end is told beside the entries; only what was not looked at is said not to be."""
    name, users = tmp_path / "m.jsonl", [{"email": email, "role": "annotator"} for email in ("a@x.org", "b@x.org")]
    drawing = {"kind": "ontology", "key": "o", "title": "Felines"}
    manifest = write_manifest(name, project("Cats", users=users), drawing)
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    write_manifest(name, project("Cats", users=users[:1]), drawing)
    done = here("apply", manifest, "--prune", "--yes", env=api.env)
    assert done.out.splitlines()[0].startswith("2 entries and 1 removal in ")
    assert "\nremovals done  1\n" in done.out
    assert "and only what is too much was looked for: 'encord-async verify" in done.out
    assert "not looked at" not in done.out
    write_manifest(name, project("Cats", users=[]), drawing)
    taken = here("apply", manifest, "--prune", "--yes", "--json", env=api.env).json
    assert (taken["entries"], taken["unchanged"], taken["updated"], taken["removals"]) == (2, 2, 0, {"updated": 1})
    assert "removals" not in here("apply", manifest, "--prune", "--yes", "--json", env=api.env).json

    alone = here("apply", manifest, "--update-ontologies", "--only", "o", "--yes", env=api.env)
    assert "unchanged  1" in alone.out
    assert "not looked at" not in alone.out
    both = here("apply", manifest, "--update-ontologies", "--yes", env=api.env)
    assert "Apart from ontology, what earlier runs have done was taken from the journal, and not looked at" in both.out


@pytest.mark.parametrize(
    ("options", "call"), [((), "v2/datasets.POST"), (("--dataset-api", "envelope"), "dataset.POST")]
)
def test_the_api_for_datasets(
    here: Here, start_api: Start, tmp_path: Path, options: tuple[str, ...], call: str
) -> None:
    """Datasets are made over REST v2, or over the envelope API if that is asked for; plan lists them there as well."""
    api = start_api()
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "dataset", "title": "Raw"})
    assert "create  dataset  Raw" in here("plan", manifest, *options, env=api.env).out
    done = here("apply", manifest, "--yes", *options, env=api.env)
    assert done.code == 0, done.err
    listing = {"v2/datasets.POST": "v2/datasets/list.GET", "dataset.POST": "datasetwithuserrole.GET"}[call]
    assert api.by_query() == {call: 1, listing: 2}


def test_more_than_projects(here: Here, start_api: Start, tmp_path: Path) -> None:
    """Ontologies, groups, members of the organisation and copies are counted, previewed and provisioned."""
    api = start_api()
    (tmp_path / "felines.json").write_text('{"objects": [], "classifications": []}')
    manifest = write_manifest(
        tmp_path / "m.jsonl",
        {"kind": "ontology", "key": "felines", "title": "Felines", "structure_file": "felines.json"},
        {"kind": "project", "key": "cats", "title": "Cats", "ontology": "@felines"},
        {"kind": "project", "title": "Copy", "description": "a copy", "copy_of": "@cats"},
        {"kind": "organisation_user", "key": "ann", "email": "ann@example.com"},
        {"kind": "group", "key": "g", "name": "Annotators", "members": ["@ann"]},
        {"kind": "project_groups", "project": "@cats", "add": ["@g"], "role": "annotator"},
        {"kind": "project_users", "project": "@cats", "remove": ["eve@example.com"]},
    )
    counted = here("validate", manifest, "--json").json
    assert (counted["ontologies"], counted["groups"], counted["organisation_users"], counted["removals"]) == (
        1,
        1,
        1,
        1,
    )
    plan = here("plan", manifest, env=api.env).out
    assert "3 things that cannot be undone would be made: 2 projects, 1 ontology." in plan
    done = here("apply", manifest, "--yes", "--json", env=api.env)
    assert (done.code, done.json["created"], done.json["updated"]) == (0, 4, 3), done.err
    assert {project["title"] for project in api.control("GET", "state")["projects"]} >= {"Cats", "Copy"}
    assert here("apply", manifest, "--yes", "--json", env=api.env).json["unchanged"] == 7
    status = here("status", f"{manifest}.journal", "--json").json
    assert status["steps"]["group_member"] == {"updated": 1}


def test_json_is_pure_and_adds_up(here: Here, api: Api, tmp_path: Path) -> None:
    """With --json standard output is one object whose sums add up, and standard error is silent."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Pure"), member("@p"), member("no-such"))
    done = here("apply", manifest, "--yes", "--json", env=api.env)
    assert done.code == 1
    assert done.err == ""
    assert sum(done.json[name] for name in SUMS) == done.json["entries"] == 3
    assert {"requests", "retries", "throttled", "elapsed_s"} <= set(done.json)
    (failure,) = done.json["first_failures"]
    assert failure["error"]["code"] == "RESOURCE_NOT_FOUND_ERROR"


def test_json_spells_options_as_they_are_given(here: Here, api: Api, tmp_path: Path) -> None:
    """Failures and refusals name options as on the command line in JSON too; a title that looks like one stays."""
    title = 'existing="create"'
    for _ in range(2):
        assert here("project", "create", title, env=api.env).code == 0
    manifest = write_manifest(tmp_path / "m.jsonl", project(title))
    outcomes = tmp_path / "outcomes.jsonl"
    planned = here("plan", manifest, "--json", env=api.env).json["actions"][0]
    done = here("apply", manifest, "--yes", "--json", "--outcomes", outcomes, env=api.env)
    (failure,) = done.json["first_failures"]
    assert failure == json.loads(outcomes.read_text())
    assert planned["items"] == [title]
    for message in (planned["reason"], failure["error"]["message"]):
        assert message.endswith("or use --existing create to make another")


def test_first_failures_are_shown(here: Here, api: Api, tmp_path: Path) -> None:
    """The first ten failures are shown with place, reason and hint, and the rest is counted."""
    manifest = write_manifest(tmp_path / "m.jsonl", *(member(f"no-such-{number}") for number in range(14)))
    done = here("apply", manifest, "--yes", "--no-progress", env=api.env)
    assert done.code == 1
    assert done.err.count(": project_users: failed") == 10
    assert done.err.count("hint: ") == 10
    assert "... and 4 more; --outcomes FILE writes them all" in done.err


def test_blocked_entries(here: Here, api: Api, tmp_path: Path) -> None:
    """What an entry needs failed: it is blocked, which is told after the failure itself."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Blocked", datasets=["no-such"]), member("@p"))
    done = here("apply", manifest, "--yes", "--no-progress", env=api.env)
    assert done.code == 1
    first, second = [line for line in done.err.splitlines() if line.startswith(str(tmp_path))]
    assert first.endswith("project @p: failed")
    assert second.endswith("project_users: blocked")


def test_the_way_out_of_doubt(here: Here, api: Api, tmp_path: Path) -> None:
    """What is in doubt is said once, with what to do: with a journal there is a command for it."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Lost"), member("@p"))
    shown = {}
    for name, source in {"with": manifest, "without": "-"}.items():
        api.control("PUT", "faults", [{"query": "project.POST", "fault": "drop_before", "times": 1}])
        with manifest.open() as stdin, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", stdin)
            done = here("apply", source, "--yes", "--settle-s", 0, "--no-progress", env=api.env)
        api.control("DELETE", "faults")
        assert done.code == 3
        shown[name] = done.err
        assert "not tried: @p in doubt: no answer of the service came" in done.err
        assert "in doubt: in doubt" not in done.err
        assert done.err.count("hint: ") == 1
    assert f"'encord-async settle {manifest}.journal'" in shown["with"]
    assert "look in the account before you run this again" in shown["without"]


def replaced(journal: Path) -> None:
    """A copy of it is in its place."""
    copy = journal.with_name("copy")
    shutil.copy(journal, copy)
    copy.replace(journal)


@pytest.mark.parametrize("happens", [Path.unlink, replaced])
def test_the_way_out_of_doubt_without_the_journal(
    here: Here, start_api: Start, tmp_path: Path, happens: Callable[[Path], object]
) -> None:
    """Whose journal was taken away or replaced is not told to run the same again: that would make keys twice."""
    api, journal = start_api(), tmp_path / "j"
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "drop_before"}])
    read, write = os.pipe()

    def feed() -> None:
        with os.fdopen(write, "w") as stream:
            print(json.dumps(project("Lost")), file=stream, flush=True)
            until(lambda: api.by_query().get("project.POST"), "the first create has arrived")
            happens(journal)
            print(json.dumps(project("Later", key="q")), file=stream)

    with os.fdopen(read) as stdin, pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr("sys.stdin", stdin)
        fed = pool.submit(feed)
        done = here("apply", "-", "--journal", journal, "--yes", "--settle-s", 0, "--no-progress", env=api.env)
        fed.result()
    assert done.code == 3
    assert "in doubt" in done.err
    assert f"hint: put {journal} right first" in done.err
    assert "'encord-async settle" not in done.err
    assert api.projects("Later") == []


def test_outcomes(here: Here, api: Api, tmp_path: Path) -> None:
    """--outcomes writes one line an entry, in the place of what an earlier run wrote."""
    outcomes = tmp_path / "outcomes.jsonl"
    outcomes.write_text('{"number": 9, "place": "x", "kind": "project", "key": null, "status": "created"}\n')
    manifest = write_manifest(tmp_path / "m.jsonl", project("Recorded"), member("@p"), member("no-such"))
    outcomes.rename(tmp_path / "precious")
    outcomes.symlink_to("precious")
    refused = here("apply", manifest, "--yes", "--outcomes", outcomes, env=api.env)
    assert (refused.code, "it is a link" in refused.err) == (2, True)
    (tmp_path / "other.journal").write_bytes(b"SQLite format 3\x00 and so on")
    refused = here("apply", manifest, "--yes", "--outcomes", tmp_path / "other.journal", env=api.env)
    assert (refused.code, "is a journal or another database" in refused.err) == (2, True)
    outcomes.unlink()
    (tmp_path / "precious").rename(outcomes)
    assert here("apply", manifest, "--yes", "--outcomes", outcomes, "--json", env=api.env).code == 1
    lines = [json.loads(line) for line in outcomes.read_text().splitlines()]
    found = {line["number"]: line["status"] for line in lines}
    assert found == {1: "created", 2: "updated", 3: "failed"}
    assert all(line["place"] == f"{manifest}:{line['number']}" for line in lines)


@pytest.mark.parametrize("name", ["no-such-folder/x", "m.jsonl", "x\0y"])
def test_outcomes_that_cannot_be_written(here: Here, api: Api, tmp_path: Path, name: str) -> None:
    """A wrong name for the outcomes, that of the manifest above all, shows before anything is sent."""
    before = api.by_query()
    manifest = write_manifest(tmp_path / "m.jsonl", project("Unrecorded"))
    done = here("apply", manifest, "--yes", "--outcomes", tmp_path / name, env=api.env)
    assert done.code == 2
    assert "--outcomes" in done.err
    assert json.loads(manifest.read_text())["title"] == "Unrecorded"
    assert api.by_query() == before


@pytest.mark.platform("linux")
def test_a_full_disk(here: Here, api: Api, tmp_path: Path) -> None:
    """When the outcomes cannot be written any more the run comes to an end, and says why."""
    manifest = write_manifest(tmp_path / "m.jsonl", *(project(f"Full {one}", f"p{one}") for one in range(2000)))
    done = here("apply", manifest, "--yes", "--outcomes", "/dev/full", "--json", env=api.env)
    assert done.code >= 1
    assert "No space left" in done.err
    assert sum(done.json[name] for name in SUMS) == done.json["entries"]


@pytest.mark.process
@pytest.mark.platform("linux")
def test_a_full_disk_under_the_journal(here: Here, api: Api, tmp_path: Path) -> None:
    """When the journal cannot be written any more, exit code and sums say that something was sent, and what is so."""
    titles = [f"Journal {one}" for one in range(400)]
    manifest = write_manifest(tmp_path / "m.jsonl", *(project(one, one) for one in titles))
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
from encord_async.__main__ import main
main()
"""
    limited = [sys.executable, "-c", code, "apply", "--yes", manifest, "--json", "--concurrency=4"]
    done = warm.run(limited, env=process_env(api.env))
    found = json.loads(done.stdout)
    assert found["error"]["type"] == "JournalError"
    assert done.returncode == (3 if found["in_doubt"] else 1)
    assert sum(found[name] for name in SUMS) == found["entries"]
    there = {one["title"] for one in api.control("GET", "state")["projects"]} & set(titles)
    assert 0 < len(there) == found["created"] + found["in_doubt"] < 400
    again = here("apply", manifest, "--yes", "--json", "--settle-s", "0", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, len(there))
    assert all(len(api.projects(title)) == 1 for title in titles[:3] + titles[-3:])


def test_a_bad_manifest_sends_nothing(here: Here, api: Api, tmp_path: Path) -> None:
    """A bad entry anywhere: every problem is listed, nothing is sent, exit code 2."""
    before = api.by_query()
    manifest = write_manifest(tmp_path / "m.jsonl", project("Never"), {"kind": "dataset", "title": 5}, member("@q"))
    done = here("apply", manifest, "--yes", env=api.env)
    assert done.code == 2
    assert "m.jsonl:2: title" in done.err
    assert "m.jsonl:3: project" in done.err
    listed = here("apply", manifest, "--yes", "--json", env=api.env).json
    assert [problem["line"] for problem in listed["problems"]] == [2, 3]
    assert api.by_query() == before


def test_skip_invalid(here: Here, api: Api, tmp_path: Path) -> None:
    """With --skip-invalid the good entries are provisioned, the bad ones failed, and the exit code is 1."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Skipped to"), {"kind": "dataset", "title": 5})
    done = here("apply", manifest, "--yes", "--skip-invalid", "--json", env=api.env)
    assert done.code == 1
    assert (done.json["created"], done.json["failed"]) == (1, 1)
    assert len(api.projects("Skipped to")) == 1


def from_stdin(run: Here, api: Api, *entries: Json, options: tuple[str, ...] = ()) -> Done:
    """Apply what comes from standard input."""
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    return run("apply", "-", "--yes", "--json", *options, env=api.env, stdin=text)


@pytest.mark.process
def test_from_standard_input(api: Api) -> None:
    """`apply -` provisions JSON lines as they come."""
    done = from_stdin(process, api, member("@p"), project("From a stream"))
    assert done.code == 0
    assert [user["email"] for user in api.projects("From a stream")[0]["users"]][1:] == ["ann@example.com"]


def test_a_bad_entry_in_a_stream(here: Here, api: Api) -> None:
    """The first bad entry of a stream stops the run; the sums are printed, with what was wrong."""
    done = from_stdin(here, api, project("Before"), {"kind": "dataset", "title": ""}, project("After", "q"))
    assert done.code == 2
    assert done.json["error"]["type"] == "ManifestError"
    assert done.json["entries"] == sum(done.json[name] for name in SUMS)
    assert not api.projects("After")


def test_nothing_from_standard_input(here: Here, api: Api) -> None:
    """An empty stream is a mistake, not a success."""
    done = from_stdin(here, api)
    assert done.code == 2
    assert "<stdin> holds no entries" in done.json["error"]["message"]


def test_fail_fast(here: Here, api: Api, tmp_path: Path) -> None:
    """--fail-fast stops at the first failure: exit code 5, the rest is cancelled."""
    others = (project(f"Fast {number}", f"p{number}") for number in range(200))
    manifest = write_manifest(tmp_path / "m.jsonl", project("Not made", datasets=["no-such"]), *others)
    done = here("apply", manifest, "--yes", "--fail-fast", "--concurrency", "1", "--json", env=api.env)
    assert done.code == 5
    assert done.json["failed"] == 1
    assert done.json["cancelled"] > 0
    assert done.json["stopped_by"] == "fail_fast"


@pytest.mark.parametrize(("limit", "code"), [("2", 5), ("3", 1), ("50%", 1)])
def test_max_failures(here: Here, api: Api, tmp_path: Path, limit: str, code: int) -> None:
    """--max-failures stops when more have failed than it says."""
    manifest = write_manifest(tmp_path / "m.jsonl", *(member(f"no-such-{number}") for number in range(3)))
    options = ["--max-failures", limit, "--concurrency", "1", "--no-progress"]
    done = here("apply", manifest, "--yes", *options, env=api.env)
    assert done.code == code
    assert ("stopped before the end: --max-failures" in done.err) is (code == 5)


@pytest.mark.parametrize("options", [["--max-failures", "x"], ["--max-failures", "101%"], ["--existing", "x"]])
def test_options_that_cannot_work(here: Here, api: Api, options: list[str]) -> None:
    """A bad value of an option ends in 2."""
    assert here("apply", EXAMPLE, "--yes", *options, env=api.env).code == 2


def test_a_key_that_is_not_registered(here: Here, api: Api, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A key that is not accepted ends the run with one message and exit code 4, not one message an entry."""
    manifest = write_manifest(tmp_path / "m.jsonl", *(project(f"Unknown {one}", f"p{one}") for one in range(40)))
    key = new_key(tmp_path, require_tool)
    done = here("apply", manifest, "--yes", "--ssh-key-file", key, "--json", env=api.env)
    assert done.code == 4
    assert done.err.count("error:") == 1
    assert done.json["cancelled"] == 40
    assert done.json["error"]["type"] == "AuthenticationError"


def test_existing(here: Here, api: Api, tmp_path: Path) -> None:
    """--existing decides what becomes of a title that is there: ours, a failure, or another one."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("There"))
    counts = []
    for number, existing in enumerate(["adopt", "adopt", "fail", "create"]):
        options = ["--existing", existing, "--journal", tmp_path / f"{number}.journal", "--json"]
        counts.append(here("apply", manifest, "--yes", *options, env=api.env).json)
    assert [found["created"] for found in counts] == [1, 0, 0, 1]
    assert [found["adopted"] for found in counts] == [0, 1, 0, 0]
    assert [found["failed"] for found in counts] == [0, 0, 1, 0]
    assert len(api.projects("There")) == 2


def test_the_journal_may_lie_elsewhere(here: Here, api: Api, tmp_path: Path) -> None:
    """--journal names the journal; without it, it lies beside the manifest."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Written down"))
    named = tmp_path / "named.journal"
    assert here("apply", manifest, "--yes", "--journal", named, "--json", env=api.env).code == 0
    assert named.exists()
    assert not (tmp_path / "m.jsonl.journal").exists()
    assert here("apply", manifest, "--yes", "--json", env=api.env).json["adopted"] == 1
    assert (tmp_path / "m.jsonl.journal").exists()


def test_the_log(here: Here, api: Api, tmp_path: Path) -> None:
    """With -v each outcome is a line of the log; with --log-format json an object."""
    manifest = write_manifest(
        tmp_path / "m.jsonl", project("Logged", api_keys=[{"title": "k", "scopes": ["label.read"]}])
    )
    done = here("apply", manifest, "--yes", "-v", "--log-format", "json", "--json", env=api.env)
    messages = [json.loads(line)["message"] for line in done.err.splitlines()]
    (line,) = [message for message in messages if message.startswith("created project @p")]
    assert api.projects("Logged")[0]["project_hash"] in line


def test_without_a_terminal(here: Here, api: Api, tmp_path: Path) -> None:
    """In a job nobody can be asked: without --yes or a plan nothing is sent that cannot be undone; the rest goes on."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Unasked"))
    done = here("apply", manifest, env=api.env)
    assert done.code == 2
    assert "1 thing that cannot be undone would be made: 1 project." in done.err
    assert "give --yes, or --plan FILE" in done.err
    assert api.url in done.err
    assert not api.projects("Unasked")
    assert here("plan", manifest, "--out", tmp_path / "plan", env=api.env).code == 0
    assert here("apply", manifest, "--plan", tmp_path / "plan", env=api.env).code == 0
    (made,) = api.projects("Unasked")
    undoable = write_manifest(tmp_path / "users.jsonl", member(made["project_hash"]))
    assert here("apply", undoable, env=api.env).code == 0


def test_a_stream_needs_a_yes(here: Here, api: Api, tmp_path: Path) -> None:
    """What is provisioned as it comes cannot be shown before: without --yes it is not begun."""
    done = here("apply", "-", env=api.env, stdin=json.dumps(project("Streamed")) + "\n")
    assert (done.code, api.projects("Streamed")) == (2, [])
    assert "give --yes" in done.err


@pytest.mark.process
def test_a_person_is_asked_wherever_the_log_goes(api: Api, tmp_path: Path) -> None:
    """With standard error in a file whoever sits at the terminal is asked all the same, and there."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Asked with a log"))
    with Terminal("apply", manifest, env=api.env, stderr=tmp_path / "log") as terminal:
        assert "1 project" in terminal.read_until("Go on? [y/N]:")
        terminal.type("n\n")
        assert terminal.end().code == 2
    assert not api.projects("Asked with a log")
    assert "Go on?" not in (tmp_path / "log").read_text()


@pytest.mark.process
def test_the_account_is_read_once(start_api: Start, tmp_path: Path) -> None:
    """What was listed for the question is not listed again for the run; how much that was is shown meanwhile."""
    api = start_api()
    manifest = write_manifest(tmp_path / "m.jsonl", project("Once", datasets=DATASETS[:1]), {**DATASET, "title": "New"})
    with Terminal("apply", manifest, env=api.env) as terminal:
        shown = terminal.read_until("Go on? [y/N]:")
        before = api.by_query()
        terminal.type("y\n")
        assert terminal.end().code == 0
    assert "reading the account: " in shown
    after = api.by_query()
    listings = [query for query in after if query.endswith(("/list.GET", "withuserrole.GET"))]
    assert {query: after[query] for query in listings} == dict.fromkeys(listings, 1)
    assert after.items() >= before.items()


@pytest.mark.process
@pytest.mark.parametrize("answer", ["y", "n", "\x03"])
def test_a_person_is_asked(api: Api, tmp_path: Path, answer: str) -> None:
    """On a terminal what cannot be undone is counted and asked for first; a no, or Ctrl-C, makes nothing."""
    title = f"Asked {answer!r}"
    keys = [{"title": "k", "scopes": ["label.read"]}]
    manifest = write_manifest(tmp_path / "m.jsonl", project(title, api_keys=keys, datasets=DATASETS[:1]))
    with Terminal("apply", manifest, env=api.env) as terminal:
        shown = terminal.read_until("Go on? [y/N]:")
        assert "2 things that cannot be undone would be made: 1 project, 1 API key." in shown
        assert not api.projects(title)
        terminal.type(answer if answer == "\x03" else f"{answer}\n")
        done = terminal.end()
    assert done.code == {"y": 0, "n": 2, "\x03": 130}[answer]
    assert len(api.projects(title)) == (1 if answer == "y" else 0)
    assert ("nothing was made" in done.out) is (answer == "n")
    assert ("interrupted; nothing was sent that changes anything" in done.out) is (answer == "\x03")
    assert f" at {api.url}" in shown


@pytest.mark.process
def test_nothing_to_ask(api: Api, tmp_path: Path) -> None:
    """On a terminal nobody is asked when nothing irreversible is about to happen, or with --yes."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Not asked"))
    with Terminal("apply", manifest, "--yes", env=api.env) as terminal:
        assert terminal.end().code == 0
    with Terminal("apply", manifest, env=api.env) as terminal:
        done = terminal.end()
    assert done.code == 0
    assert "Go on?" not in done.out


@pytest.mark.process
def test_colours(api: Api, tmp_path: Path) -> None:
    """A terminal gets colours and a bar, unless NO_COLOR or --no-color says otherwise."""
    manifest = write_manifest(tmp_path / "m.jsonl", member("no-such"))
    runs = {"plain": ([], {}), "option": (["--no-color"], {}), "variable": ([], {"NO_COLOR": "1"})}
    coloured = {}
    for name, (options, env) in runs.items():
        with Terminal("project", "get", "no-such", *options, env=api.env | env) as terminal:
            coloured[name] = "\x1b[31m" in terminal.end().out
    assert coloured == {"plain": True, "option": False, "variable": False}
    with Terminal("apply", manifest, env=api.env) as terminal:
        done = terminal.end()
    assert done.code == 1
    hides_the_cursor = "\x1b[?25l"
    assert hides_the_cursor in done.out
    assert "1 entry in " in done.out


@pytest.mark.process
def test_the_bar_is_red_only_when_something_fails(start_api: Start, tmp_path: Path) -> None:
    """The bar is green while all is well, from the first to the last, and red once an entry has failed."""
    api = start_api()
    slow = {"query": "project.POST", "fault": "delay", "seconds": 0.5, "after": 3}
    api.control("PUT", "faults", [slow])
    entries = [project(f"Coloured {number}", f"k{number}") for number in range(6)]
    colours = {}
    for name, manifest in {"well": entries, "failed": [member("no-such"), project("Late")]}.items():
        path = write_manifest(tmp_path / f"{name}.jsonl", *manifest)
        with Terminal("apply", path, "--yes", env=api.env) as terminal:
            colours[name] = set(re.findall("\x1b\\[([0-9;]+)m[━╸]", terminal.end().out))
    rail, green, red = "90", "32", "31"
    assert colours["well"] <= {rail, green}
    assert green in colours["well"]
    assert red in colours["failed"]


def test_the_passphrase_is_asked_for(api: Api, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """On a terminal the passphrase of a key is asked for, and not shown."""
    key = new_key(tmp_path, require_tool, passphrase="open sesame")
    public = key.with_suffix(".pub").read_text().strip()
    assert public.startswith("ssh-ed25519 ")
    with Terminal("project", "get", "x", "--ssh-key-file", key, env=api.env) as terminal:
        terminal.read_until("Passphrase of the key:")
        terminal.type("open sesame\n")
        done = terminal.end()
    assert done.code == 4
    assert "sesame" not in done.out


def test_max_rate(api: Api, here: Here, tmp_path: Path) -> None:
    """``--max-rate`` spreads the requests: so many leave in a second and no more."""
    manifest = tmp_path / "paced.jsonl"
    manifest.write_text("".join(f'{{"kind": "project", "title": "Paced {number}"}}\n' for number in range(12)))
    done = here("apply", manifest, "--yes", "--json", "--max-rate", 40, env=api.env)
    assert done.code == 0, done.err
    assert done.json["elapsed_s"] >= (done.json["requests"] - 2) / 40


def test_apply_status_and_report_agree(here: Here, api: Api, tmp_path: Path) -> None:
    """An entry that cannot follow its change has failed for apply, status and report, until it is changed back."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Before the change"), project("Beside it", "q"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    journal = f"{manifest}.journal"
    for title, failed in (("After the change", 1), ("After the change", 1), ("Before the change", 0)):
        write_manifest(manifest, project(title), project("Beside it", "q"))
        assert here("apply", manifest, "--yes", "--json", env=api.env).json["failed"] == failed
        status = here("status", journal, "--json")
        assert (status.code, len(status.json["failed"])) == (failed, failed)
        assert status.json["steps"]["project"].get("failed", 0) == failed
        assert here("report", journal, "--json").json["sums"]["failed"] == failed


def test_files_that_could_not_be_registered(start_api: Start, here: Here, tmp_path: Path) -> None:
    """An entry that goes on without some files is satisfied, and the end of the run counts and names these."""
    given, pair = default_seed()
    api = start_api(seed=replace(given, unreadable_urls=("*broken*",)))
    api.key_file.write_text(pair.private_text)
    api.key_file.chmod(0o600)
    entries = [
        {"kind": "folder", "key": "f", "name": "Files"},
        {
            "kind": "data",
            "folder": "@f",
            "items": [{"url": "s3://b/ok.png"}, {"url": "s3://b/broken.png"}],
            "on_error": "skip",
        },
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    done = here("apply", tmp_path / "m.jsonl", "--yes", env=api.env)
    assert done.code == 0
    assert "1 file could not be registered:\n    s3://b/broken.png: the file cannot be read\n" in done.err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--max-failures", "5x", "'5x' is no number of failures"),
        ("--concurrency", "many", "'many' is not a valid whole number"),
        ("--concurrency", "0", "0 is not in the range x>=1"),
        ("--timeout", "long", "'long' is not a valid number"),
    ],
)
def test_a_number_that_is_none(here: Here, option: str, value: str, says: str) -> None:
    """It is told by the name of its option, before anything else is looked for."""
    done = here("apply", EXAMPLE, option, value)
    assert done.code == 2
    assert f"Invalid value for '{option}': {says}" in done.err


def test_an_empty_journal(api: Api, here: Here, tmp_path: Path) -> None:
    """What a script's unset variable gives as the journal is refused: the run does not take another one for it."""
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "project", "title": "Never made"})
    for verb in (("plan",), ("apply", "--yes"), ("verify",)):
        done = here(*verb, manifest, "--journal", "", env=api.env)
        assert (done.code, "Invalid value for '--journal': it is empty; give " in done.err) == (2, True), done.err
    assert [one.name for one in tmp_path.iterdir()] == ["m.jsonl"]
