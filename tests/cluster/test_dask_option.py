"""``apply --dask``: the same words and exit codes as on one machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.cli.conftest import PROGRAM, process, process_env, write_manifest
from tests.cluster.conftest import AT_WORK, UNHURRIED_PER_S
from tests.crash.conftest import Census, EmulatorProcess, big_programme, census
from tests.postgres import PASSWORD, PostgresServer
from tests.waiting import until

pytestmark = pytest.mark.process

WORKERS = "local:1"
"""Where it does not matter how many: each is an interpreter that imports Dask."""


def test_local_workers_and_an_interrupt(emulator: EmulatorProcess, url: str, tmp_path: Path) -> None:
    """Ctrl-C, which a terminal sends to the workers too, drains them; the same command goes on to the end."""
    entries = big_programme(40)
    manifest = write_manifest(tmp_path / "m.jsonl", *entries)
    env = {"ENCORD_DOMAIN": emulator.url, "ENCORD_SSH_KEY_FILE": str(emulator.key_file)}
    command = ["apply", manifest, "--yes", "--json", "--settle-s", 1, "--journal", url, "--dask", "local:2"]
    # A new interpreter, as anybody's: its workers are started by what it is.
    first = subprocess.Popen(
        [PROGRAM, *map(str, [*command, "--max-rate", UNHURRIED_PER_S])],
        env=process_env(env),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: first.poll() is not None or emulator.get("stats")["requests"] >= AT_WORK, "the workers are at work")
    os.killpg(first.pid, signal.SIGINT)
    told, errors = first.communicate()
    assert first.returncode == 130, errors
    assert json.loads(told)["stopped_by"] == "interrupted"
    assert json.loads(told)["cancelled"] > 0
    assert "stopping: " in errors
    assert "Traceback" not in errors
    second = process(*command, env=env)
    assert second.code == 0, second.err
    assert sum(second.json[name] for name in ("created", "updated", "unchanged")) == len(entries)
    assert census(entries, emulator.get("log"), emulator.get("state")) == Census([], [])
    assert PASSWORD not in told + errors + second.out + second.err


def _command_of(pid: str) -> bytes:
    """The command line of a process; nothing of one that has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _starting(url: str, tmp_path: Path, emulator: EmulatorProcess) -> tuple["subprocess.Popen[str]", list[int]]:
    """An apply whose workers are just being started, and the processes of these."""
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "project", "title": "Never made"})
    env = {"ENCORD_DOMAIN": emulator.url, "ENCORD_SSH_KEY_FILE": str(emulator.key_file)}
    command = [PROGRAM, *map(str, ("apply", manifest, "--yes", "--journal", url, "--dask", WORKERS))]
    pipe = subprocess.PIPE
    started = subprocess.Popen(command, env=process_env(env), stdout=pipe, stderr=pipe, text=True)

    def workers() -> list[int]:
        children = Path(f"/proc/{started.pid}/task").glob("*/children")
        found = [pid for one in children for pid in one.read_text().split()]
        return [int(pid) for pid in found if b"spawn_main" in _command_of(pid)]

    until(lambda: started.poll() is not None or bool(workers()), "a worker starts")
    return started, workers()


@pytest.mark.platform("linux")
def test_an_interrupt_while_the_workers_start(emulator: EmulatorProcess, url: str, tmp_path: Path) -> None:
    """Ctrl-C is told at once, and heeded once the workers are there: no traceback, and no doubt about requests."""
    started, _ = _starting(url, tmp_path, emulator)
    started.send_signal(signal.SIGINT)
    out, errors = started.communicate()
    assert (started.returncode, out) == (130, ""), errors
    assert errors.splitlines() == [
        "stopping once the workers have started; press Ctrl-C again to stop at once",
        "error: interrupted; nothing was sent that changes anything",
    ]


@pytest.mark.platform("linux")
def test_a_worker_that_dies_as_it_starts(emulator: EmulatorProcess, url: str, tmp_path: Path) -> None:
    """It is told as that, and not as a bug: nothing was sent."""
    started, (worker, *_) = _starting(url, tmp_path, emulator)
    os.kill(worker, signal.SIGKILL)
    out, errors = started.communicate()
    assert (started.returncode, out) == (2, ""), errors
    # Before it Dask may log, with tracebacks, which of its own connections broke.
    *_, told = errors.partition(f"error: the workers of --dask {WORKERS} did not start: ")
    assert "run the same again" in told, errors
    assert "Traceback" not in told
    assert emulator.get("log") == []


def test_bad_usage(postgres: PostgresServer, tmp_path: Path) -> None:
    """A journal that is a file, none, or a cluster that cannot be is bad usage, and says what to give."""
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "project", "title": "Never made"})
    url = postgres.url("never-made")
    for extra, says in (
        (["--dask", "local:2"], "give --journal postgresql://"),
        (["--dask", "local:2", "--journal", tmp_path / "j"], "give --journal postgresql://"),
        (["--dask", "local:2", "--journal", "mysql://x/y?job=z"], "cannot be kept in mysql"),
        (["--dask", "somewhere", "--journal", url], "tcp://scheduler:8786"),
    ):
        done = process("apply", manifest, "--yes", *extra)
        assert done.code == 2, done
        assert says in done.err


def test_without_the_extra(tmp_path: Path) -> None:
    """Without Dask or the database's driver the error says which extra to install."""
    for module, extra in (("distributed", "encord-async[dask]"), ("psycopg", "encord-async[postgres]")):
        code = (
            f"import sys; sys.modules[{module!r}] = None\n"
            "from encord_async.cli.main import run\n"
            "sys.exit(run(['apply', 'm.jsonl', '--yes', '--dask', 'local:2', '--journal', 'postgresql://h/d?job=j']))"
        )
        done = warm.run([sys.executable, "-c", code], cwd=tmp_path)
        assert done.returncode == 2
        assert f"pip install '{extra}'" in done.stderr
