"""The API keys that a run made are written to one file, for whoever runs it, and are never lost in silence."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import write_manifest

Api = Any
Here = Callable[..., Any]


def programme(name: str, *titles: str) -> list[Any]:
    """A project with API keys of its own, and one that another entry wishes for."""
    keys = [{"title": title, "scopes": ["label.read"]} for title in titles]
    return [
        {"kind": "project", "key": "cats", "title": name, "api_keys": keys},
        {"kind": "project_api_key", "key": "ci", "project": "@cats", "title": "own", "scopes": ["label.write"]},
    ]


def lines(path: Path) -> list[Any]:
    """What is in the file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("store", ["file", "postgresql"])
def test_what_a_run_made(api: Api, here: Here, tmp_path: Path, store: str, request: pytest.FixtureRequest) -> None:
    """Each key is in the file once, and works, and is in no other place; the next run adds only what it makes."""
    name, keys = f"Keys {store}", tmp_path / "keys.jsonl"
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme(name, "one"))
    where = f"{manifest}.journal" if store == "file" else request.getfixturevalue("postgres").url("keys")
    apply = ("apply", manifest, "--yes", "--journal", where, "--api-keys", keys)
    done = here(*apply, "--verbose", env=api.env)
    assert (done.code, f"2 API keys written to {keys}" in done.err) == (0, True), done.err
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    found = lines(keys)
    project_hash = api.projects(name)[0]["project_hash"]
    assert {(one["project_hash"], one["project_key"]) for one in found} == {(project_hash, "cats")}
    assert sorted((one["title"], one["key"]) for one in found) == [("one", "cats"), ("own", "ci")]
    shown = here("project", "get", project_hash, "--use-api-key", env=api.env | {"ENCORD_API_KEY": found[0]["api_key"]})
    assert shown.code == 0, shown.err
    secrets = [one["api_key"] for one in found]
    others = [path.read_bytes() for path in tmp_path.iterdir() if path != keys and path.is_file()]
    said = done.out + done.err
    assert not any(secret in said or any(secret.encode() in other for other in others) for secret in secrets)
    write_manifest(manifest, *programme(name, "one", "two"))
    assert here(*apply, env=api.env).code == 0
    assert lines(keys)[:2] == found
    assert [one["title"] for one in lines(keys)[2:]] == ["two"]
    again = here(*apply, env=api.env)
    assert (again.code, "0 API keys written" in again.err, len(lines(keys))) == (0, True, 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk(api: Api, here: Here, tmp_path: Path) -> None:
    """What cannot be written is told with the command that shows it, and the exit code is not that of success."""
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys full", "one"))
    done = here("apply", manifest, "--yes", "--api-keys", "/dev/full", env=api.env)
    assert done.code == 1
    project_hash = api.projects("Keys full")[0]["project_hash"]
    assert "No API key is lost by that" in done.err
    assert f"list-api-keys --show-keys PROJECT_HASH' shows them, for {project_hash}" in done.err
    assert here("project", "list-api-keys", project_hash, "--show-keys", env=api.env).code == 0


def test_files_that_are_refused(api: Api, here: Here, tmp_path: Path) -> None:
    """A file of something else, a link, and a folder that is not there are refused before anything is made."""
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys refused", "one"))
    other, link = tmp_path / "notes.txt", tmp_path / "link"
    other.write_text("notes\n")
    link.symlink_to(tmp_path / "elsewhere")
    for path in (other, manifest, link, tmp_path / "nowhere" / "keys"):
        done = here("apply", manifest, "--yes", "--api-keys", path, env=api.env)
        assert done.code == 2, done.err
    assert other.read_text() == "notes\n"
    assert api.projects("Keys refused") == []
