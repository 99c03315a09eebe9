"""What is said and done before anything is made that cannot be undone."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest

from encord_async.cli.consent import agreed
from encord_async.cli.options import Service
from encord_async.cli.output import Output
from encord_async.cli.plan import Planned, show_heading
from encord_async.errors import UsageError
from encord_async.manifest.variables import ManifestFile
from tests.cli.conftest import Api, Here, Start, write_manifest
from tests.cli.test_apply import project
from tests.cli.test_question import a_person

OPTIONS = {
    "journal": "beside",
    "existing": "adopt",
    "dataset_api": "rest",
    "max_batch": 1000,
    "stamp": False,
    "skip_invalid": False,
}


def clock(*times: float) -> Callable[[], float]:
    """A clock that shows these, and goes on showing the last."""
    ticks: Iterator[float] = chain(times, repeat(times[-1]))
    return lambda: next(ticks)


@pytest.mark.parametrize(("waited_s", "is_kept"), [(59.0, True), (61.0, False)])
def test_an_old_listing_is_read_again(
    start_api: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited_s: float, *, is_kept: bool
) -> None:
    """Whoever thinks longer than a minute about the answer gets a run that looks at the account again."""
    api: Api = start_api()
    manifest = write_manifest(tmp_path / "m.jsonl", project("Slow"))
    sessions = Service(domain=api.url, ssh_key_file=str(api.key_file)).sessions()
    with a_person(monkeypatch) as person:
        typing = person.will(lambda: person.type("y\n"))
        found = agreed(Output(), sessions, ManifestFile(str(manifest)), OPTIONS, quiet=True, now_s=clock(0.0, waited_s))
        typing.join()
    assert bool(found.groundwork.listed) is is_kept


@pytest.mark.parametrize(("changed", "code"), [("m.jsonl", 2), ("rows.csv", 2), (None, 0)])
def test_what_nobody_was_told_is_not_made(
    here: Here, start_api: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str | None, code: int
) -> None:
    """What is added to the manifest, or to a table of it, while a person thinks about the answer is not made."""
    api = start_api()
    (tmp_path / "rows.csv").write_text("n\n1\n")
    entry = {"kind": "project", "for_each": "rows.csv", "key": "p{{ n }}", "title": "P {{ n }}"}
    manifest = write_manifest(tmp_path / "m.jsonl", entry)
    more = {"m.jsonl": json.dumps(project("More")) + "\n", "rows.csv": "2\n"}

    def edit_and_agree() -> None:
        if changed is not None:
            with (tmp_path / changed).open("a") as file:
                file.write(more[changed])
        person.type("y\n")

    with a_person(monkeypatch) as person:
        typing = person.will(edit_and_agree)
        ended = here("apply", manifest, "--no-progress", env=api.env)
        typing.join()
    assert ended.code == code
    assert len(api.control("GET", "state")["projects"]) == (code == 0)


@pytest.mark.parametrize(
    ("domain", "is_real"),
    [
        ("https://api.encord.com", True),
        ("https://api.us.encord.com", True),
        ("http://127.0.0.1:9999", False),
        ("https://api.encord.com.example.org", False),
        ("https://notencord.com", False),
    ],
)
def test_encords_own_service_is_named(capsys: pytest.CaptureFixture[str], domain: str, *, is_real: bool) -> None:
    """The plan begins with account and domain, and says so where it is Encord's own service."""
    show_heading(Output(), Planned(domain=domain, account="me"))
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"account  me at {domain}" + (" (Encord's own service)" if is_real else "")


def test_a_password_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The journal's URL is named without its password."""
    show_heading(Output(), Planned(journal="postgresql://me:canary@db/encord?job=x", account="me"))
    assert "canary" not in capsys.readouterr().out


def test_who_retires_is_asked(here: Here, api: Api, tmp_path: Path) -> None:
    """What is gone from the manifest is named by plan, and retired only if somebody says yes to just that."""
    manifest = write_manifest(tmp_path / "m.jsonl", project("Gone", "gone"), project("Stays", "stays"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    write_manifest(manifest, project("Stays", "stays"))
    planned = here("plan", manifest, env=api.env)
    assert "gone from the manifest, and nothing is done about it without --retire: project @gone 'Gone'" in planned.out
    shown = here("plan", manifest, "--retire", env=api.env)
    assert re.search(r"m\.jsonl:1 +change +status +archived in Gone \([0-9a-f-]{36}\)", shown.out)
    asked = here("apply", manifest, "--retire", env=api.env)
    assert asked.code == 2
    assert "1 thing that is gone from the manifest would be retired: their users, groups and data are" in asked.err
    assert api.projects("Gone")[0]["status"] == "notStarted"
    assert here("apply", manifest, "--retire", "--yes", env=api.env).code == 0
    assert api.projects("Gone")[0]["status"] == "archived"
    assert here("apply", manifest, "--retire", env=api.env).code == 0


def cats(*names: str) -> list[dict[str, object]]:
    """A dataset with files of these names."""
    items = [{"url": f"https://cats.example.com/{name}.png"} for name in names]
    return [
        {"kind": "folder", "key": "files", "name": "Cats"},
        {"kind": "dataset", "key": "cats", "title": "Cats"},
        {"kind": "data", "folder": "@files", "items": items, "datasets": ["@cats"]},
    ]


def test_rows_are_removed_only_by_their_number(here: Here, start_api: Start, tmp_path: Path) -> None:
    """The plan names the number; neither --yes nor another one sends anything; the number removes the rows."""
    api = start_api()
    manifest = write_manifest(tmp_path / "m.jsonl", *cats("a", "b", "c"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    write_manifest(manifest, *cats("a", "new"))
    planned = here("plan", manifest, "--prune-data", env=api.env)
    assert "2 data rows would be removed from datasets for good, and the labels with them." in planned.out
    assert "b.png (" in planned.out
    before = api.control("GET", "log")
    for given, said in (
        (("--prune-data", "--yes"), "nobody can be asked: give --yes-prune-data 2, or --plan FILE"),
        (("--prune-data", "--yes", "--yes-prune-data", "3"), "--yes-prune-data is 3, and 2 data rows would be removed"),
        (("--yes", "--yes-prune-data", "2"), "--yes-prune-data is for --prune-data"),
        (("--prune-data", "--yes", "--only", "cats"), "--prune-data is about the whole manifest"),
        (("--prune-data", "--yes", "--prune"), "--prune-data goes by itself: run with --prune before"),
        (("--prune-data", "--yes", "--skip-invalid"), "--prune-data takes what bad entries want"),
    ):
        refused = here("apply", manifest, *given, env=api.env)
        assert (refused.code, said in refused.err) == (2, True), refused.err
    assert api.control("GET", "log") == before
    done = here("apply", manifest, "--prune-data", "--yes-prune-data", "2", env=api.env)
    assert (done.code, "3 entries and 1 removal" in done.out) == (0, True), done.out + done.err
    again = here("apply", manifest, "--prune-data", env=api.env)
    assert (again.code, "removal" in again.out) == (0, False)


def test_a_reviewed_plan_removes_its_rows(here: Here, start_api: Start, tmp_path: Path) -> None:
    """A plan in a file holds which rows go, and asks no question."""
    api = start_api()
    manifest, out = write_manifest(tmp_path / "m.jsonl", *cats("a", "b")), str(tmp_path / "p")
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    write_manifest(manifest, *cats("a"))
    assert here("plan", manifest, "--prune-data", "--out", out, env=api.env).code == 0
    other = here("apply", manifest, "--prune-data", "--plan", out, "--yes-prune-data", "2", env=api.env)
    assert (other.code, "the plan removes 1 data row, and 2 were agreed to" in other.err) == (2, True), other.err
    assert here("apply", manifest, "--prune-data", "--plan", out, env=api.env).code == 0


def test_what_a_plan_keeps_is_not_looked_at(here: Here, start_api: Start, tmp_path: Path) -> None:
    """Files that come into a folder after a plan was made that has none to link are not linked by it; that is said."""
    api = start_api()
    folder, dataset, data = cats("a")
    manifest, out = tmp_path / "m.jsonl", tmp_path / "p"
    write_manifest(manifest, folder, dataset | {"folder": "@files"}, data | {"datasets": []})
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    assert here("plan", manifest, "--out", out, env=api.env).code == 0
    others = write_manifest(tmp_path / "others.jsonl", folder, cats("b")[2] | {"datasets": []})
    assert here("apply", others, "--yes", env=api.env).code == 0
    done = here("apply", manifest, "--plan", out, env=api.env)
    assert (done.code, "What the plan keeps was not looked at: files" in done.out) == (0, True), done.out + done.err
    assert [len(item["datasets"]) for item in api.control("GET", "state")["items"]] == [1, 0]
    assert "Apart from" not in done.out
    assert "updated    1" in here("apply", manifest, "--yes", env=api.env).out


def test_who_types_the_number_agrees(
    here: Here, start_api: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the number is asked for; another one sends nothing."""
    api = start_api()
    manifest = write_manifest(tmp_path / "m.jsonl", *cats("a", "b", "c"))
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    write_manifest(manifest, *cats("a"))
    options = OPTIONS | {"journal": f"{manifest}.journal", "prune_data": True}
    sessions = Service(domain=api.url, ssh_key_file=str(api.key_file)).sessions()
    before = api.control("GET", "log")
    for keys, agrees in (("2", True), ("y", False), ("3", False)):
        with a_person(monkeypatch) as person:
            typing = person.will(partial(person.type, f"{keys}\n"), b"type the number: ")
            with nullcontext() if agrees else pytest.raises(UsageError, match="that is not 2; nothing was removed"):
                seen = clock(0.0, 61.0)
                found = agreed(
                    Output(), sessions, ManifestFile(str(manifest)), options, quiet=True, yes=True, now_s=seen
                )
                # Which rows they are is kept, however long it takes to answer.
                assert (found.rows, found.rows_digest is not None) == (2, True)
            typing.join()
        assert b"remove  data row  b.png (" in person.shown
        assert b"To remove 2 data rows for good, type the number: " in person.shown
    assert api.control("GET", "log") == before
