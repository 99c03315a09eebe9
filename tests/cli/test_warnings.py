"""What should be known of a good manifest is said by every verb that reads one, in the same words."""

from pathlib import Path

import pytest

from encord_async.client import EncordSession
from tests.cli.conftest import Api, Here, write_manifest

WARNING = "is missing in 2 entries that make something (lines 1, 2)"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two entries that make something and have no key."""
    return write_manifest(tmp_path / "m.jsonl", *({"kind": "dataset", "title": title} for title in ("A", "B")))


VERBS = {"validate": (), "plan": (), "apply": ("--yes",)}


@pytest.mark.parametrize("verb", VERBS)
def test_a_warning_is_said_and_stops_nothing(here: Here, api: Api, manifest: Path, verb: str) -> None:
    """Validate, plan and apply say it on standard error, and with --json among the warnings; the exit code is 0."""
    done = here(verb, manifest, *VERBS[verb], env=api.env)
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line.startswith("warning: ")] == [
        f"warning: {manifest}:1: key: {WARNING}; give each a key: without one, an entry with another title is another "
        "entry, and makes something new"
    ]
    [warning] = here(verb, manifest, "--json", *VERBS[verb], env=api.env).json["warnings"]
    assert (warning["line"], warning["field"], warning["reason"]) == (1, "key", WARNING)


def test_rows_are_named_by_their_numbers(here: Here, tmp_path: Path) -> None:
    """What is to be known of rows of one entry names them, and not one line again and again."""
    path = tmp_path / "m.yaml"
    path.write_text("- {kind: dataset, for_each: [a, b, c], key: '{{ item }}', title: ' Blank {{ item }}'}\n")
    assert "(lines 1 row 1, 1 row 2, 1 row 3)" in here("validate", path).err


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("rows", ["[]", "{matrix: {a: [1], b: []}}", "t.csv", "'{{ nobody }}'"])
def test_a_for_each_without_rows_is_told(here: Here, api: Api, tmp_path: Path, verb: str, rows: str) -> None:
    """An entry that no row is there for makes nothing, and every verb says so and where it stands."""
    (tmp_path / "t.csv").write_text("a,b\n\n")
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "vars: {nobody: []}\nentries:\n"
        f"- {{kind: dataset, for_each: {rows}, key: '{{{{ a }}}}', title: T}}\n- {{kind: dataset, key: d, title: D}}\n"
    )
    done = here(verb, manifest, *VERBS[verb], env=api.env)
    assert done.code == 0
    told = f"warning: {manifest}:3: for_each: has no rows, so the entry makes nothing; "
    assert [line for line in done.err.splitlines() if line.startswith(told)]
    # A second one is told together with it.
    with manifest.open("a") as more:
        more.write(f"- {{kind: project, for_each: {rows}, key: 'p{{{{ a }}}}', title: T}}\n")
    [warning] = here(verb, manifest, "--json", *VERBS[verb], env=api.env).json["warnings"]
    assert warning["reason"] == "2 entries have a for_each without rows, and make nothing (lines 3, 5)"


async def test_a_warning_reaches_python(api: Api, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check, the plan and the run have it, and so has a run of entries that come from no file."""
    for name, value in api.env.items():
        monkeypatch.setenv(name, value)
    async with EncordSession.from_env() as session:
        said = [(await session.validate(manifest)).warnings, (await session.plan(manifest)).warnings]
        async with session.provision(manifest) as run:
            assert [outcome.error async for outcome in run] == [None, None]
        said.append(run.warnings)
        async with session.provision([{"kind": "dataset", "title": "C"}], journal=None) as run:
            assert [outcome.error async for outcome in run] == [None]
        assert "is missing, and the entry makes something" in str(run.warnings[0])
    assert [warning.reason for warnings in said for warning in warnings] == [WARNING] * 3


def test_twins_need_stamps_everywhere(here: Here, api: Api, tmp_path: Path) -> None:
    """Validate, plan and apply refuse them with the same words and exit code 2, and take them with --stamp."""
    twins = [{"kind": "project", "key": key, "title": "Twin"} for key in ("a", "b")]
    manifest = write_manifest(tmp_path / "m.jsonl", *twins)
    for verb, more in VERBS.items():
        done = here(verb, manifest, *more, env=api.env)
        assert done.code == 2
        assert "is the title of a project with the same description at" in done.out + done.err
        assert here(verb, manifest, "--stamp", *more, env=api.env).code == 0
