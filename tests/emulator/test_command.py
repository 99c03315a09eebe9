"""The emulator as a process: its one line of output, its signals, and what survives kill -9."""

import asyncio
import json
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from encord_async.emulator.command import run, serve
from encord_async.emulator.server import EmulatorSettings
from tests import warm
from tests.emulator.conftest import ANN, Api, Signer
from tests.waiting import comes_true

pytestmark = pytest.mark.process

# -P: the package as installed, not the folder of the sources that the tests may be started in.
COMMAND = (sys.executable, "-P", "-m", "encord_async.emulator")
SEED_FILE = f"users:\n  - email: ann@example.com\n    public_key: {ANN.public_line}\n"


@dataclass(frozen=True, slots=True)
class Running:
    """The command, running."""

    process: warm.Popen
    url: str

    async def stop(self, number: int) -> tuple[int, str, str]:
        """Send a signal; return exit code and what else was written."""
        self.process.send_signal(number)
        out, err = await asyncio.to_thread(self.process.communicate)
        return self.process.returncode, out, err


@asynccontextmanager
async def started(*arguments: str | Path) -> AsyncIterator[Running]:
    """Run the command, and see that it has ended when the test does."""
    process = warm.popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        text = await asyncio.to_thread(process.stdout.readline)
        assert text, process.stderr.read()
        line = json.loads(text)
        assert set(line) == {"url", "pid"}
        assert line["pid"] == process.pid
        yield Running(process, line["url"])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_prints_one_line_and_stops_cleanly(number: int) -> None:
    """One JSON line on standard output, nothing on standard error, exit code 0."""
    async with started() as running:
        assert await running.stop(number) == (0, "", "")


async def test_everything_answered_survives_kill_9(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """After kill -9 in the midst of work, every project whose reply arrived is there, once."""
    state, key = tmp_path / "state.db", tmp_path / "key"
    answered: set[str] = set()
    async with started("--state", state, "--write-key", key) as running:
        api = Api(http, running.url, Signer.loaded(key.read_text()))

        async def keep_creating(worker: int) -> None:
            for number in range(1000):
                try:
                    answered.add(await api.create(f"P{worker}-{number}", ["00000000-0000-4000-8000-000000000001"]))
                except aiohttp.ClientConnectionError:
                    return

        async with asyncio.TaskGroup() as group:
            for worker in range(4):
                group.create_task(keep_creating(worker))
            await comes_true(lambda: len(answered) >= 40)
            running.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(running.process.communicate)
    assert len(answered) < 4000
    async with started("--state", state, "--write-key", key) as again:
        async with http.get(again.url + "/_emulator/state") as response:
            projects = (await response.json())["projects"]
        async with http.get(again.url + "/_emulator/log") as response:
            log = await response.json()
        code, _, err = await again.stop(signal.SIGTERM)
    hashes = [project["project_hash"] for project in projects]
    assert answered <= set(hashes)
    assert len(hashes) == len(set(hashes)) <= len(answered) + 4
    assert all(len(project["datasets"]) == len(project["users"]) == 1 for project in projects)
    assert [entry["hash"] for entry in log] == hashes
    assert (code, "already holds data" in err) == (0, True)


async def test_the_key_is_written_for_its_owner_only(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Mode 0600, even over a file that others could read, and overwriting is said."""
    key = tmp_path / "key"
    key.write_text("old")
    key.chmod(0o644)
    async with started("--write-key", key, "--force") as running:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert await Api(http, running.url, Signer.loaded(key.read_text())).create()
        _, _, err = await running.stop(signal.SIGTERM)
    assert "overwritten" in err
    assert "PRIVATE KEY" not in err


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
async def test_the_key_goes_through_no_link(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    """What somebody has put in the place of the key is not written, and that is said."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "precious").chmod(0o644)
    plant(tmp_path / "key", tmp_path / "precious")
    assert await serve(EmulatorSettings(), write_key=tmp_path / "key") == 2
    assert (tmp_path / "precious").read_text() == "precious"
    assert stat.S_IMODE((tmp_path / "precious").stat().st_mode) == 0o644


async def test_a_seed_is_planted_once(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """On a state that holds data the seed is not applied again, and that is said."""
    seed, state = tmp_path / "seed.yaml", tmp_path / "state.db"
    seed.write_text(SEED_FILE + "projects:\n  - {hash: p1, title: Pets, admins: [ann@example.com]}\n")
    for said in (False, True):
        async with started("--seed", seed, "--state", state) as running:
            found = await Api(http, running.url, ANN).call("projectwithuserrole.GET", {"filter": {}})
            assert [item["project"]["title"] for item in found.result] == ["Pets"]
            _, _, err = await running.stop(signal.SIGTERM)
        assert ("seed is not applied again" in err) == said


async def test_options_reach_the_emulator(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Faults from a file, the status of refusals, strictness, a rate limit and a range of latencies."""
    seed, faults = tmp_path / "seed.yaml", tmp_path / "faults.yaml"
    seed.write_text(SEED_FILE)
    faults.write_text("- {query: project.GET, fault: error, code: UNKNOWN_ERROR}\n")
    limits = ("--rate-limit", "0.001", "--burst", "2", "--latency", "0.001-0.002")
    async with started("--seed", seed, "--faults", faults, "--failure-status", "400", "--strict", *limits) as running:
        api = Api(http, running.url, ANN)
        reply = await api.call("project.GET", None, on="p")
        assert (reply.http_status, reply.code) == (400, "UNKNOWN_ERROR")
        assert (await api.raw(b'{"query_type":"project"}')).code == "INVALID_ARGUMENTS_ERROR"
        async with http.post(running.url + "/public", data=b"") as response:
            assert response.status == 429


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "192.0.2.1"), "this machine only"),
        (("--latency", "slow"), "--latency slow"),
        (("--rate-limit", "-1"), "rate_limit_per_s -1"),
        (("--burst", "5"), "burst"),
        (("--seed", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--seed", "seed.yaml", "--write-key", "key"), "--write-key"),
        (("--faults", "faults.yaml"), "faults.yaml: rules[0].fault"),
        (("--state", "."), "not a state"),
    ],
)
def test_bad_usage_ends_with_2_and_says_what(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """Nothing on standard output, the reason on standard error."""
    monkeypatch.chdir(tmp_path)
    Path("seed.yaml").write_text(SEED_FILE)
    Path("faults.yaml").write_text("- {fault: explode}\n")
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err or "cannot be opened" in err
    assert not Path("key").exists()


async def test_a_port_that_is_taken_ends_with_2() -> None:
    """The reason is on standard error."""
    async with started() as running:
        port = running.url.rpartition(":")[2]
        second = await asyncio.to_thread(warm.run, [*COMMAND, "--port", port])
    assert (second.returncode, second.stdout) == (2, "")
    assert port in second.stderr
