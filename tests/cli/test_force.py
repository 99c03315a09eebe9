"""What lies there already is written over only by the command that has written it, or with --force."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from encord_async.protocol.signing import SSHKey
from tests import warm
from tests.cli.conftest import Api, Here, write_manifest
from tests.cli.test_apply import project

WRITERS = {
    "report": ["report", "{journal}", "-o"],
    "csv": ["report", "{journal}", "--csv"],
    "traffic": ["report", "{journal}", "--traffic-csv"],
    "export": ["export", "-o"],
    "plan": ["plan", "{manifest}", "--out"],
    "outcomes": ["apply", "{manifest}", "--yes", "--no-progress", "--outcomes"],
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_others_have_written_stays(here: Here, api: Api, tmp_path: Path, name: str) -> None:
    """A file of the user's own is refused, and replaced with --force; what the command wrote it writes again."""
    manifest = write_manifest(tmp_path / "m.jsonl", project(f"Written by {name}"))
    assert here("apply", manifest, "--yes", "--no-progress", env=api.env).code == 0
    places = {"manifest": str(manifest), "journal": f"{manifest}.journal"}
    command = [part.format(**places) for part in WRITERS[name]]
    target = tmp_path / "target"
    target.write_text('{"kind": "project", "title": "Precious"}\n')
    target.chmod(0o644)
    refused = here(*command, target, env=api.env)
    assert refused.code == 2
    assert "--force" in refused.err
    assert "Precious" in target.read_text()
    assert here(*command, target, "--force", env=api.env).code == 0
    assert "Precious" not in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    again = here(*command, target, env=api.env)
    assert again.code == (2 if name == "export" else 0), again.err


def written_key(path: Path, *options: str) -> tuple[int, str]:
    """How an emulator ends that writes its key to *path*, and is asked to end as soon as it serves."""
    command = [sys.executable, "-m", "encord_async.emulator", "--write-key", path, *options]
    with warm.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        _, err = process.communicate()
    return process.returncode, err


@pytest.mark.process
def test_a_key_that_opens_something_stays(tmp_path: Path) -> None:
    """The emulator writes its key over that of another emulator, and over no other key unless it is told to."""
    key = tmp_path / "key"
    assert written_key(key)[0] == 0
    first = key.read_text()
    SSHKey.from_path(key)
    assert written_key(key)[0] == 0
    assert key.read_text() != first
    real = first.partition("#")[0]
    key.write_text(real)
    code, said = written_key(key)
    assert (code, key.read_text()) == (2, real)
    assert "--force" in said
    assert written_key(key, "--force")[0] == 0
    assert key.read_text() != real
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
