"""Writing an account down on the command line, and making another of it."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from encord_async.cli.main import run
from encord_async.emulator.seed import DEFAULT_EMAIL
from encord_async.emulator.signatures import KeyPair, make_key_pair
from tests.cli.conftest import DATASETS, EXAMPLE, Api, Here, Json, started_api

EMPTY_SEED = f"users: [{{email: {DEFAULT_EMAIL}, public_key: '%s'}}]\n"
DATASET_SEED = f"datasets: [{{hash: {DATASETS[0]}, title: Was there, admins: [{DEFAULT_EMAIL}]}}]\n"


@pytest.fixture(scope="module")
def key() -> KeyPair:
    """The one user's, of either account."""
    return make_key_pair()


@contextmanager
def account(folder: Path, key: KeyPair, seed: str) -> Iterator[Api]:
    """An emulator with what *seed* says, for the holder of *key*."""
    (folder / "seed.yaml").write_text(seed % key.public_line)
    (folder / "key").touch(0o600)
    (folder / "key").write_text(key.private_text)
    with started_api(folder, seed=folder / "seed.yaml") as found:
        yield found


@pytest.fixture(scope="module")
def api(key: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An account that holds the example, whichever test of this file a worker begins with, and a dataset."""
    with account(tmp_path_factory.mktemp("api"), key, EMPTY_SEED + DATASET_SEED) as found:
        arguments = ["apply", str(EXAMPLE), "--yes", "--journal", f"{found.key_file}.journal", "--no-progress"]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in found.env.items():
                patch.setenv(name, value)
            assert run(arguments) == 0
        yield found


@pytest.fixture(scope="module")
def other(key: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Another account, which holds nothing, of the same user."""
    with account(tmp_path_factory.mktemp("other"), key, EMPTY_SEED) as found:
        yield found


def contents(api: Api) -> Counter[str]:
    """What an account holds, hashes and ontologies aside."""
    state = api.control("GET", "state")
    titles = {one["dataset_hash"]: one["title"] for one in state["datasets"]}
    shown = [f"dataset {one['title']} {one.get('description')}" for one in state["datasets"]]
    for one in state["projects"]:
        datasets = sorted(titles[hash_] for hash_ in one["datasets"])
        keys = sorted((key["title"], sorted(key["scopes"])) for key in one["api_keys"])
        users = sorted((user["email"], user["role"]) for user in one["users"])
        shown.append(f"project {one['title']} {one['description']} {datasets} {keys} {users}")
    return Counter(shown)


def lines(text: str) -> list[Json]:
    """The entries of a manifest."""
    return [json.loads(line) for line in text.splitlines()]


def test_export_and_apply_make_the_same_account(here: Here, api: Api, other: Api) -> None:
    """`export | apply -` on another account gives the same datasets, projects, users and API keys."""
    exported = here("export", "--without-ontologies", env=api.env)
    assert exported.code == 0, exported.err
    assert "44 projects" in exported.err
    assert "users of projects" in exported.err
    done = here("apply", "-", "--yes", "--json", env=other.env, stdin=exported.out)
    assert done.code == 0, done.err
    # The account itself is a user of either organisation.
    assert (done.json["created"], done.json["unchanged"]) == (len(lines(exported.out)) - 1, 1)
    assert "1 user of the organisation, 0 folders in" in exported.err
    assert contents(other) == contents(api)
    again = here("export", "--without-ontologies", env=other.env)
    assert len(lines(again.out)) == len(lines(exported.out))


def test_to_a_file(here: Here, api: Api, tmp_path: Path) -> None:
    """With -o the manifest is in the file, whole or not at all, and nothing is on standard output."""
    target = tmp_path / "account.jsonl"
    done = here("export", "-o", target, env=api.env)
    assert (done.code, done.out) == (0, "")
    assert here("validate", target).code == 0
    assert lines(here("export", env=api.env).out) == lines(target.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["account.jsonl"]


def test_a_file_is_written_as_it_is_called(here: Here, api: Api, tmp_path: Path) -> None:
    """What is called a YAML file holds YAML, and is refused anything else: it could not be read again."""
    target = tmp_path / "account.yaml"
    assert here("export", "-o", target, env=api.env).code == 0
    assert target.read_text().startswith("- kind: ")
    assert here("validate", target).code == 0
    # Before it is looked for a key.
    refused = here("export", "-o", target, "--format", "jsonl", "--force")
    assert (refused.code, "it would be read as yaml" in refused.err) == (2, True), refused.err


def test_as_json(here: Here, api: Api, tmp_path: Path) -> None:
    """--json gives the sums, and needs -o, because there is one standard output."""
    done = here("export", "--json", "-o", tmp_path / "m.jsonl", env=api.env)
    assert done.json["datasets"] == len(api.control("GET", "state")["datasets"]) > 1
    assert done.json["left_out"] == 0
    assert done.json["users_read"] is True
    done = here("export", "--without-users", "--json", "--force", "-o", tmp_path / "m.jsonl", env=api.env)
    assert (done.json["users_read"], done.json["users"]) == (False, 0)
    refused = here("export", "--json", env=api.env)
    assert refused.code == 2
    assert refused.json["error"]["type"] == "UsageError"


def test_files_are_written_when_asked_for(here: Here, api: Api, tmp_path: Path) -> None:
    """What --items would write is told without it, and counted with it."""
    target = tmp_path / "m.jsonl"
    done = here("export", "-o", target, env=api.env)
    assert "without the files of folders and which datasets they are linked to: give --items to have them" in done.err
    assert " files in" not in done.err
    asked = here("export", "--items", "--force", "-o", target, env=api.env)
    assert "0 folders, 0 files in" in asked.err
    assert "--items" not in asked.err
    told = [here("export", *more, "--json", "--force", "-o", target, env=api.env).json for more in ((), ("--items",))]
    assert [(len(one["not_asked"]), one.get("files")) for one in told] == [(1, None), (0, 0)]


def test_without_the_organisation(here: Here, api: Api) -> None:
    """Users and groups of the organisation can be left out; the users of projects are not."""
    done = here("export", "--without-organisation", env=api.env)
    kinds = {line["kind"] for line in lines(done.out)}
    assert "organisation_user" not in kinds
    assert "ontology" in kinds
    assert any("users" in line for line in lines(done.out))
    assert "mail" not in done.err
    done = here("export", "--without-users", env=api.env)
    assert "@example.com" not in done.out


def test_a_service_that_lists_no_users(here: Here, api: Api, tmp_path: Path) -> None:
    """An older service does not list users: the rest is written, and what is missing is told."""
    list_users = "v2/projects/{project}/users.GET"
    api.control("PUT", "faults", [{"query": list_users, "fault": "error", "code": "RESOURCE_NOT_FOUND_ERROR"}])
    try:
        done = here("export", "-o", tmp_path / "m.jsonl", env=api.env)
        told = here("export", "-o", tmp_path / "m.jsonl", "--force", "--json", env=api.env)
    finally:
        api.control("DELETE", "faults")
    assert done.code == 0
    assert "without the users of 44 projects: the service does not list them" in done.err
    assert (told.json["users_read"], told.json["users"], told.json["projects"]) == (False, 0, 44)


def test_a_failed_export_leaves_the_old_file(here: Here, api: Api, tmp_path: Path) -> None:
    """What cannot be read replaces nothing, and a folder that is not there is told."""
    target = tmp_path / "account.jsonl"
    target.write_text("old\n")
    api.control(
        "PUT", "faults", [{"query": "projectwithuserrole.GET", "fault": "error", "code": "AUTHENTICATION_ERROR"}]
    )
    try:
        assert here("export", "-o", target, "--force", env=api.env).code == 4
    finally:
        api.control("DELETE", "faults")
    assert target.read_text() == "old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["account.jsonl"]
    done = here("export", "-o", tmp_path / "no" / "m.jsonl", env=api.env)
    assert done.code == 2
    assert "cannot be written" in done.err
