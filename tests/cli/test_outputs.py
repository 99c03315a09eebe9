"""What a run made is printed for other programs, by key, and nothing of an API key."""

import csv
import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import write_manifest
from tests.postgres import PostgresServer

Api = Any
Here = Any


@pytest.fixture
def journal(api: Api, here: Here, tmp_path: Path) -> str:
    """The journal of a run with two keys, an API key among what it made, and an entry without one."""
    manifest = write_manifest(
        tmp_path / "programme.jsonl",
        {"kind": "dataset", "key": "cats-raw", "title": "Outputs raw"},
        {
            "kind": "project",
            "key": "2cats",
            "title": "=Outputs, 'cats'",
            "datasets": ["@cats-raw"],
            "api_keys": [{"title": "ci", "scopes": ["label.read"]}],
        },
        {"kind": "project_api_key", "key": "ci", "project": "@2cats", "title": "own", "scopes": ["label.read"]},
        {"kind": "dataset", "title": "Outputs without a key"},
        {"kind": "project_users", "key": "bad", "project": "nowhere", "emails": ["a@example.com"], "role": 1},
    )
    assert here("apply", manifest, "--yes", env=api.env).code == 1
    return f"{manifest}.journal"


def test_outputs_as_json(here: Here, journal: str) -> None:
    """Each key that stands for something has its kind, title and hash; API keys are in none of the forms."""
    done = here("outputs", journal)
    assert done.code == 0, done.err
    assert done.json == here("outputs", journal, "--json").json
    assert {key: (one["kind"], one["title"]) for key, one in done.json.items()} == {
        "cats-raw": ("dataset", "Outputs raw"),
        "2cats": ("project", "=Outputs, 'cats'"),
    }
    assert all(len(one["hash"]) == 36 for one in done.json.values())
    assert "api-key" not in done.out + here("outputs", journal, "--format", "csv").out


def test_outputs_as_csv(here: Here, journal: str) -> None:
    """The table is read back as CSV, and a spreadsheet takes no cell of it for a formula."""
    rows = list(csv.DictReader(io.StringIO(here("outputs", journal, "--format", "csv").out)))
    hashes = {key: one["hash"] for key, one in here("outputs", journal).json.items()}
    assert {row["key"]: row["hash"] for row in rows} == hashes
    assert rows[1]["title"] == "'=Outputs, 'cats'"


@pytest.mark.process
def test_outputs_for_a_shell(here: Here, journal: str, tmp_path: Path) -> None:
    """A shell that reads the lines has the hashes in variables of the keys in capital letters."""
    lines = here("outputs", journal, "--format", "dotenv").out
    (tmp_path / ".env").write_text(lines)
    shell = ["sh", "-c", '. ./.env; echo "$CATS_RAW $_2CATS"']
    said = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    hashes = here("outputs", journal).json
    assert said == [hashes["cats-raw"]["hash"], hashes["2cats"]["hash"]]


def test_two_keys_of_one_name(api: Api, here: Here, tmp_path: Path) -> None:
    """Keys that would be one variable are an error that names both, and nothing is printed; JSON tells them apart."""
    manifest = write_manifest(
        tmp_path / "two.jsonl",
        {"kind": "dataset", "key": "cats-raw", "title": "Outputs one"},
        {"kind": "dataset", "key": "cats.raw", "title": "Outputs two"},
    )
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    done = here("outputs", f"{manifest}.journal", "--format", "dotenv")
    assert (done.code, done.out) == (2, "")
    assert "dataset 'cats-raw' and dataset 'cats.raw' would both be 'CATS_RAW'" in done.err
    assert set(here("outputs", f"{manifest}.journal").json) == {"cats-raw", "cats.raw"}


def test_outputs_of_nothing(here: Here, journal: str, tmp_path: Path) -> None:
    """A journal that is not there, and two forms at once, are bad usage; no journal is made."""
    assert here("outputs", tmp_path / "no.journal").code == 2
    assert not (tmp_path / "no.journal").exists()
    assert here("outputs", journal, "--json", "--format", "csv").code == 2


def test_outputs_of_postgresql(postgres: PostgresServer, api: Api, here: Here, tmp_path: Path) -> None:
    """A journal in PostgreSQL has the same."""
    manifest = write_manifest(tmp_path / "one.jsonl", {"kind": "dataset", "key": "one", "title": "Outputs there"})
    url = postgres.url("outputs")
    assert here("apply", manifest, "--yes", "--journal", url, env=api.env).code == 0
    assert here("outputs", url).json["one"]["title"] == "Outputs there"
