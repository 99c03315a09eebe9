"""The API keys that a run made go to one file or command, for whoever runs it, and are never lost in silence."""

import json
import shlex
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import STORES, Terminal, process, write_manifest

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


@pytest.mark.parametrize("store", STORES)
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


@pytest.mark.platform("linux")  # a device that is always full
def test_a_full_disk(api: Api, here: Here, tmp_path: Path) -> None:
    """What cannot be written is told with the command that shows it, and the exit code is not that of success."""
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys full", "one"))
    done = here("apply", manifest, "--yes", "--api-keys", "/dev/full", env=api.env)
    assert done.code == 1
    project_hash = api.projects("Keys full")[0]["project_hash"]
    assert "No API key is lost by that" in done.err
    assert f"list-api-keys --show-keys PROJECT_HASH' shows them, for {project_hash}" in done.err
    assert here("project", "list-api-keys", project_hash, "--show-keys", env=api.env).code == 0


def test_half_a_line_spoils_no_other(api: Api, here: Here, tmp_path: Path) -> None:
    """A file whose last line was cut off, as by a kill, gets the next keys in lines of their own."""
    keys = tmp_path / "keys.jsonl"
    keys.write_text('{"project_hash": "cut of')
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys after half a line", "one"))
    assert here("apply", manifest, "--yes", "--api-keys", keys, env=api.env).code == 0
    half, *found = keys.read_text().splitlines()
    assert half == '{"project_hash": "cut of'
    assert sorted(json.loads(line)["title"] for line in found) == ["one", "own"]


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


READER = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read()); print('taken')"


def command(*arguments: object) -> str:
    """A command line that runs a little program."""
    return shlex.join([sys.executable, "-c", *map(str, arguments)])


@pytest.mark.process
def test_a_command(api: Api, here: Here, tmp_path: Path) -> None:
    """A command gets each key as a line on its standard input, and nobody else does; what it says is not our output."""
    target = tmp_path / "a vault"
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys piped", "one"))
    apply = ("apply", manifest, "--yes", "--verbose", "--json", "--api-keys-to", command(READER, target))
    done = here(*apply, env=api.env)
    assert (done.code, done.json["created"]) == (0, 2), done.err
    assert f"2 API keys handed to {sys.executable}" in done.err
    found = lines(target)
    assert sorted((one["title"], one["key"], one["project_key"]) for one in found) == [
        ("one", "cats", "cats"),
        ("own", "ci", "cats"),
    ]
    secrets = [one["api_key"] for one in found]
    others = [path.read_bytes() for path in tmp_path.iterdir() if path != target and path.is_file()]
    assert not any(secret in done.out + done.err for secret in secrets)
    assert not any(secret.encode() in other for other in others for secret in secrets)
    target.unlink()
    again = here(*apply, env=api.env)
    # Nobody is started for nothing.
    assert (again.code, "0 API keys handed to" in again.err, target.exists()) == (0, True, False)


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.stdin.read(); sys.exit(3)", "ended with exit code 3"),
        ("import sys; sys.exit(4)", "ended with exit code 4"),
    ],
)
def test_a_command_that_fails(api: Api, here: Here, tmp_path: Path, program: str, said: str) -> None:
    """That a command has failed is told, with where the keys can be had; nothing is said of how many it took."""
    name = f"Keys {said}"
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme(name, "one"))
    done = here("apply", manifest, "--yes", "--api-keys-to", command(program), env=api.env)
    assert done.code == 1
    assert said in done.err
    assert "0 API keys handed to" in done.err
    assert f"shows them, for {api.projects(name)[0]['project_hash']}" in done.err
    assert "2 entries in" in done.out


def test_commands_that_are_refused(api: Api, here: Here, tmp_path: Path) -> None:
    """What is no command, and a file beside a command, is refused before anything is made."""
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys to nobody", "one"))
    for given, said in (
        (("--api-keys-to", "no-such-program --secret"), "there is no such command"),
        (("--api-keys-to", "cat 'open"), "No closing quotation"),
        (("--api-keys-to", " "), "it is empty"),
        (("--api-keys-to", "cat", "--api-keys", tmp_path / "keys"), "give one of them"),
    ):
        done = here("apply", manifest, "--yes", *given, env=api.env)
        assert (done.code, said in done.err) == (2, True), done.err
        assert "--secret" not in done.err
    assert api.projects("Keys to nobody") == []


@pytest.mark.process
def test_a_command_that_never_ends(api: Api, here: Here, tmp_path: Path) -> None:
    """Ctrl-C ends a command that takes for ever; the run's sums are told all the same, and that keys were made."""
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Keys for ever", "one"))
    forever = command("import time; print('at work', flush=True); time.sleep(1e6)")
    with Terminal("apply", manifest, "--yes", "--no-progress", "--api-keys-to", forever, env=api.env) as terminal:
        terminal.read_until("at work")
        terminal.type("\x03")
        done = terminal.end()
    assert done.code == 130, done.out
    assert "2 entries in" in done.out
    assert "not all that was made was taken: it was interrupted. No API key is lost by that" in done.out
    assert "nothing was sent" not in done.out


@pytest.mark.process
@pytest.mark.parametrize("store", STORES)
def test_a_run_that_is_killed_before_it_hands_them_on(
    api: Api, here: Here, tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    """What a killed run has made and nobody got is told by status and by any run, and handed on once by the next."""
    keys, manifest = tmp_path / "keys.jsonl", write_manifest(tmp_path / "m.jsonl", *programme(f"Killed {store}", "one"))
    where = f"{manifest}.journal" if store == "file" else request.getfixturevalue("postgres").url("killed")
    apply = ("apply", manifest, "--yes", "--journal", where)
    killer = command("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    assert process(*apply, "--api-keys-to", killer, env=api.env).code == -signal.SIGKILL
    left = (
        "2 API keys that were made are with nobody yet: 'apply' with --api-keys or --api-keys-to hands on what is left"
    )
    assert left in here("status", where).out
    assert left in here(*apply, env=api.env).err
    done = here(*apply, "--api-keys", keys, env=api.env)
    assert (done.code, f"2 API keys written to {keys}" in done.err) == (0, True), done.err
    assert sorted(one["title"] for one in lines(keys)) == ["one", "own"]
    assert "with nobody" not in here("status", where).out
    assert "0 API keys" in here(*apply, "--api-keys", keys, env=api.env).err
    assert len(lines(keys)) == 2


@pytest.mark.platform("linux")  # a device that is always full
def test_a_line_is_written_once(api: Api, here: Here, tmp_path: Path) -> None:
    """A run that was killed after it wrote, and before it noted that, has written what the next one does not again."""
    manifest, keys = write_manifest(tmp_path / "m.jsonl", *programme("Twice", "one")), tmp_path / "keys.jsonl"
    apply = ("apply", manifest, "--yes", "--api-keys")
    assert here(*apply, "/dev/full", env=api.env).code == 1
    before = tmp_path / "before.journal"
    before.write_bytes(Path(f"{manifest}.journal").read_bytes())
    assert here(*apply, keys, env=api.env).code == 0
    found = lines(keys)
    Path(f"{manifest}.journal").write_bytes(before.read_bytes())
    assert here(*apply, keys, env=api.env).code == 0
    assert lines(keys) == found
    assert len(found) == 2


@pytest.mark.parametrize("are_taken", [False, True])
def test_entries_get_other_keys(api: Api, here: Here, tmp_path: Path, are_taken: bool) -> None:
    """What nobody got is handed on too if entries have other keys by then; what somebody got is not once more."""
    name, keys = f"Renamed {are_taken}", tmp_path / "keys.jsonl"
    manifest = write_manifest(tmp_path / "m.jsonl", *programme(name, "one"))
    apply = ("apply", manifest, "--yes")
    assert here(*apply, *(("--api-keys", keys) if are_taken else ()), env=api.env).code == 0
    project, own = programme(name, "one")
    write_manifest(manifest, project | {"key": "dogs"}, own | {"key": "cd", "project": "@dogs"})
    assert here(*apply, "--api-keys", keys, env=api.env).code == 0
    assert sorted(one["title"] for one in lines(keys)) == ["one", "own"]
    assert {one["project_key"] for one in lines(keys)} == {"cats" if are_taken else "dogs"}


def test_a_key_that_is_not_listed_yet(api: Api, here: Here, tmp_path: Path) -> None:
    """A listing that lags behind loses no key: the next run looks again, and what is gone for good is told as that."""
    manifest, keys = write_manifest(tmp_path / "m.jsonl", *programme("Lagging", "one")), tmp_path / "keys.jsonl"
    apply = ("apply", manifest, "--yes", "--api-keys", keys)
    stale = {"query": "projectapikey*.GET", "fault": "stale_read", "seconds": 3600}
    api.control("PUT", "faults", [stale])
    done = here(*apply, env=api.env)
    assert (done.code, lines(keys)) == (1, []), done.err
    assert "the service does not list 2 API keys yet: 'one' in " in done.err
    api.control("DELETE", "faults")
    assert (here(*apply, env=api.env).code, len(lines(keys))) == (0, 2)
    write_manifest(tmp_path / "m.jsonl", *programme("Lagging", "one", "two"))
    api.control("PUT", "faults", [stale])
    done = here(*apply, "--settle-s", "0", env=api.env)
    assert "the service does not list 1 API key any more, so nobody can be given 'two' in " in done.err
    api.control("DELETE", "faults")
    assert (here(*apply, env=api.env).code, len(lines(keys))) == (0, 2)
