"""Ctrl-C: the first drains, the second stops."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import click
import pytest

from encord_async.cli.interrupts import Interrupts, interruptible, listening, run
from encord_async.cli.options import output_options
from encord_async.cli.output import Output
from tests import warm
from tests.cli.conftest import PROGRAM, Api, Json, Start, Terminal, process_env, write_manifest
from tests.cli.conftest import process as run_to_the_end
from tests.cli.test_apply import SUMS, project
from tests.waiting import until

PROJECTS = 60
UNDER_WAY_S = 2.0
"""How long requests stay under way: a busy machine has to look, send a signal and hear it meanwhile."""


@contextmanager
def running(api: Api, *arguments: object) -> Iterator[warm.Popen]:
    """A run as a process, which is killed if it is left behind."""
    command = [PROGRAM, "apply", "--yes", *arguments, "--concurrency", "4", "--json"]
    with warm.popen(command, **warm.PIPES, env=process_env(api.env)) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_requests(api: Api) -> None:
    """Return once four requests are under way."""
    until(lambda: api.control("GET", "stats")["in_flight"] >= 4, "4 requests under way")


@pytest.fixture
def manifest(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Projects whose titles are this test's own."""
    titles = (f"{request.node.name} {number}" for number in range(PROJECTS))
    return write_manifest(tmp_path / "m.jsonl", *(project(title, title) for title in titles))


def made(api: Api, request: pytest.FixtureRequest) -> int:
    """How many of the test's projects there are."""
    projects = api.control("GET", "state")["projects"]
    return sum(one["title"].startswith(f"{request.node.name} ") for one in projects)


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["int", "term", "hup"])
def test_the_first_one_drains(api: Api, manifest: Path, request: pytest.FixtureRequest, number: signal.Signals) -> None:
    """What is under way ends and is counted, nothing else is started, and the exit code is 130."""
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "delay", "seconds": UNDER_WAY_S}])
    with running(api, manifest) as process:
        wait_for_requests(api)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 130
    found: Json = json.loads(out)
    assert err.splitlines()[0].startswith("stopping: 4 requests under way; press Ctrl-C again")
    assert 4 <= found["created"] == made(api, request) < PROJECTS
    assert found["created"] + found["cancelled"] == PROJECTS
    assert found["stopped_by"] == "interrupted"
    status = run_to_the_end("status", f"{manifest}.journal").out.splitlines()
    assert any(line.endswith("cancelled: not finished; the next apply goes on with them:") for line in status)


@pytest.mark.process
@pytest.mark.parametrize("more", [0, 3])
def test_the_second_one_stops(api: Api, manifest: Path, more: int) -> None:
    """A second Ctrl-C ends the run at once; what was under way is in doubt, and the sums still add up. More of them do
    no more."""
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "hang"}])
    with running(api, manifest) as process:
        wait_for_requests(api)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("stopping: 4 requests under way")
        for _ in range(1 + more):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        out, _ = process.communicate()
    api.control("DELETE", "faults")
    assert process.returncode == 130
    found: Json = json.loads(out)
    assert found["in_doubt"] >= 4
    assert sum(found[name] for name in SUMS) == found["entries"] == PROJECTS


@pytest.mark.process
def test_it_goes_on_where_it_was(api: Api, manifest: Path, request: pytest.FixtureRequest) -> None:
    """The same command after an interrupted run makes the rest, and nothing twice."""
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "delay", "seconds": UNDER_WAY_S}])
    with running(api, manifest) as process:
        wait_for_requests(api)
        process.send_signal(signal.SIGINT)
        process.communicate()
    api.control("DELETE", "faults")
    with running(api, manifest) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    found: Json = json.loads(out)
    assert sum(found[name] for name in SUMS) == found["entries"] == PROJECTS
    assert made(api, request) == PROJECTS


@pytest.mark.process
def test_in_an_outage_nothing_is_waited_for(start_api: Start, tmp_path: Path) -> None:
    """Ctrl-C at the terminal while the service is down ends the run, which else waits; the next one makes the rest."""
    api = start_api()
    manifest = write_manifest(tmp_path / "m.jsonl", *(project(f"Down {number}", f"k{number}") for number in range(60)))
    api.control("PUT", "faults", [{"fault": "status", "status": 503, "after": 10}])
    with Terminal("apply", manifest, "--yes", env=api.env) as terminal:
        terminal.read_until("9 of 60 entries, 0 failed, 0 in flight")
        terminal.type("\x03")
        done = terminal.end()
    assert done.code == 130
    assert "stopping: " in done.out
    assert "hint: to go on run the same command again" in done.out
    api.control("DELETE", "faults")
    assert run_to_the_end("apply", manifest, "--yes", "--settle-s", 0, env=api.env).code == 0
    assert len(api.control("GET", "state")["projects"]) == 60


def press(times: int = 1) -> None:
    """Press Ctrl-C."""
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)


def test_any_number_of_them_ends_in_good_order() -> None:
    """However often and however late it is pressed, it raises nothing: all that ends the work, and its words, come."""
    said = []

    async def work(interrupts: Interrupts) -> None:
        interrupts.on_first(lambda: said.append("drains"))
        try:
            press()
            await anyio.sleep(0.01)
            said.append("drained")
            press()
            await anyio.sleep_forever()
        finally:
            press(2)
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            press()
            said.append("ended")

    before = signal.getsignal(signal.SIGINT)
    with listening() as interrupts:
        anyio.run(interruptible, work, interrupts)
        press()
        said.append("last word")
    assert said == ["drains", "drained", "ended", "last word"]
    assert interrupts.count == 6
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_comes_before_the_work() -> None:
    """What was asked for before the work began is heeded: it does not begin."""
    with listening() as interrupts:
        press()
        assert anyio.run(interruptible, lambda _: anyio.sleep_forever(), interrupts) is None


def test_one_that_comes_when_all_is_done() -> None:
    """Work that is through has its result, though somebody has just asked it to stop."""

    async def work() -> int:
        press()
        return 7

    assert run(work) == 7


def _pressed(*, output: Output) -> int:
    async def work() -> None:
        try:
            press()
            await anyio.sleep_forever()
        finally:
            press()

    try:
        run(work)
    finally:
        output.result({"first": True}) if output.verbose else None
    return 0


@pytest.mark.parametrize("options", [[], ["--verbose"]])
def test_one_object_and_no_more(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    """With --json a command that is interrupted prints exactly one object, also if it was about to print another."""
    command = click.command()(output_options(_pressed))
    assert command.main(["--json", *options], standalone_mode=False) == 130
    found = json.loads(capsys.readouterr().out)
    assert found.get("first") if options else found["error"]["type"] == "Interrupted"


@pytest.mark.process
def test_during_a_single_operation(api: Api) -> None:
    """Ctrl-C during one operation ends it with 130, and says that it may have happened."""
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "hang"}])
    command = [PROGRAM, "project", "create", "Interrupted", "--json"]
    before = api.control("GET", "stats")["in_flight"]
    with warm.popen(command, **warm.PIPES, env=process_env(api.env)) as process:
        until(lambda: api.control("GET", "stats")["in_flight"] > before, "the request is under way")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    api.control("DELETE", "faults")
    assert process.returncode == 130
    assert "may have taken effect" in json.loads(out)["error"]["message"]
    assert "Traceback" not in err
