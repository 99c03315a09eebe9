"""Standard streams that are closed or full do not reach the work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Api, Done, Here, process_env, write_manifest
from tests.cli.test_apply import SUMS, project
from tests.waiting import PATIENCE_S

# Streams are those of a process.
pytestmark = pytest.mark.process

PROJECTS = 20


def redirected(redirection: str, *arguments: object, api: Api) -> Done:
    """Run a command line with its streams as a shell would put them."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", PROGRAM, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=process_env(api.env), timeout=PATIENCE_S, check=False, stdin=None
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def manifest(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Projects whose titles are this test's own."""
    titles = (f"{request.node.name} {number}" for number in range(PROJECTS))
    return write_manifest(tmp_path / "m.jsonl", *(project(title, title) for title in titles))


@pytest.mark.platform("linux")
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_nobody_reads_the_log(here: Here, api: Api, manifest: Path, redirection: str) -> None:
    """A run whose standard error is closed or full makes everything, says so, and leaves a sound journal."""
    done = redirected(redirection, "apply", manifest, "--yes", "--json", "--verbose", api=api)
    assert done.code == 0
    assert done.json["created"] == sum(done.json[name] for name in SUMS) == PROJECTS
    assert json.loads(here("status", f"{manifest}.journal", "--json").out)["steps"]


@pytest.mark.platform("linux")
@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">&- 2>&- <&-", 0), (">/dev/full", 1)])
def test_nobody_reads_the_result(here: Here, api: Api, manifest: Path, redirection: str, code: int) -> None:
    """A run whose standard output is closed or full makes everything; that the result is lost is said, if it can be."""
    done = redirected(redirection, "apply", manifest, "--yes", "--no-progress", api=api)
    assert (done.code, done.out) == (code, "")
    assert ("standard output cannot be written: No space left" in done.err) is bool(code)
    assert "Traceback" not in done.err
    again = here("apply", manifest, "--yes", "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, PROJECTS)


def test_a_descriptor_is_not_given_away() -> None:
    """What is opened next does not get the number of a standard stream that was closed."""
    code = """
import os, sys
sys.path.pop(0)
from encord_async.cli.streams import mend
mend()
number = os.open(os.devnull, os.O_RDONLY)
assert number > 2
print("x", flush=True); print("y", file=sys.stderr); assert sys.stdin.read() == ""
os._exit(7)
"""
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, check=False).returncode == 7
