"""The emulator as an object: settings, starting, and stopping at once."""

import asyncio
import contextlib
import socket
import sqlite3
import stat
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule, SettingsError, StateError
from tests.emulator.conftest import ANN, SEED, Api, Json, Signer
from tests.waiting import PATIENCE_S, comes_true

CREATE = {"title": "P", "description": "", "dataset_hashes": []}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "host 0.0.0.0"),  # noqa: S104 - it is refused
        ({"host": "example.com"}, "host example.com"),
        ({"port": 70_000}, "port 70000"),
        ({"latency_s": (0.2, 0.1)}, "latency_s 0.2-0.1"),
        ({"latency_s": (float("nan"), 1.0)}, "latency_s"),
        ({"rate_limit_per_s": 0.0}, "rate_limit_per_s 0"),
        ({"burst": 3}, "burst"),
        ({"rate_limit_per_s": 1.0, "burst": 0}, "burst 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Json, message: str) -> None:
    """The message names the setting and the value."""
    with pytest.raises(SettingsError, match=message):
        EmulatorSettings(**settings)


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_at_the_end(turns: int, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever connects just as it stops is hung up on, and holds up nothing, however far the connection has got."""
    async with asyncio.timeout(PATIENCE_S):
        async with Emulator() as emulator:
            late = socket.create_connection(("127.0.0.1", urlsplit(emulator.url).port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with late, contextlib.suppress(ConnectionResetError):
            late.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(late, 1) == b""
    assert caplog.messages == []


async def test_leaving_is_quick_whatever_is_under_way(http: aiohttp.ClientSession) -> None:
    """Hung, waiting and idle connections do not hold up the end."""
    hang = FaultRule(query="project.POST", fault=Fault.HANG)
    async with Emulator(EmulatorSettings(seed=SEED, faults=(hang,), latency_s=(0.0, 0.0))) as emulator:
        api = Api(http, emulator.url, ANN)
        await api.call("project.GET", None, on="seeded")
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_swallowed(api)) for _ in range(3)]
            await comes_true(lambda: emulator.stats()["in_flight"] == 3)
            started = asyncio.get_running_loop().time()
            await emulator.__aexit__(None, None, None)
            took = asyncio.get_running_loop().time() - started
        assert [call.result() for call in calls] == ["lost"] * 3
    # The web server of its own accord would give them a minute.
    assert took < 30


async def _swallowed(api: Api) -> str:
    try:
        await api.call("project.POST", CREATE)
    except aiohttp.ClientConnectionError:
        return "lost"
    return "answered"


async def test_an_emulator_may_be_stopped_by_another_task_than_started_it() -> None:
    """Fixtures of test frameworks do that."""
    emulator = Emulator()
    await asyncio.create_task(emulator.__aenter__())
    await asyncio.create_task(emulator.__aexit__(None, None, None))


async def test_without_a_seed_the_emulator_hands_out_its_users_key(http: aiohttp.ClientSession) -> None:
    """The key opens a hundred datasets."""
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        assert emulator.user_email == "emulator@example.com"
        api = Api(http, emulator.url, Signer.loaded(emulator.private_key))
        assert len((await api.call("datasetwithuserrole.GET", {"filter": {}})).result) == 100


def test_an_emulator_that_is_not_running_says_so() -> None:
    """The message shows how to use it."""
    with pytest.raises(RuntimeError, match="async with"):
        Emulator().stats()
    with pytest.raises(RuntimeError, match="async with"):
        Emulator().state()


def _modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_state_outlives_the_emulator(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """A second emulator on the file has the projects, the log and the same key of the first."""
    settings = EmulatorSettings(state=tmp_path / "state.db")
    async with Emulator(settings) as first:
        key = first.private_key
        assert key is not None
        assert not first.found_state
        assert _modes(tmp_path) == {0o600}
        hash_ = await Api(http, first.url, Signer.loaded(key)).create("Kept")
        log = first.log()
    async with Emulator(settings) as second:
        assert second.found_state
        assert (second.private_key, second.log()) == (key, log)
        reply = await Api(http, second.url, Signer.loaded(key)).call("project.GET", None, on=hash_)
        assert reply.result["title"] == "Kept"


async def test_files_that_are_no_state_are_refused_untouched(tmp_path: Path) -> None:
    """Neither a text file, nor a folder, nor the state of a later emulator is written over."""
    text, later = tmp_path / "notes.txt", tmp_path / "later.db"
    text.write_text("my notes, long enough to be no empty database " * 30)
    before = text.read_bytes()
    connection = sqlite3.connect(later)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path in (text, later, tmp_path):
        with pytest.raises(StateError, match=path.name):
            async with Emulator(EmulatorSettings(state=path)):
                raise AssertionError("it started")
    assert text.read_bytes() == before
