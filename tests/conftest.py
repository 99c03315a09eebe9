"""What every test shares: a clean environment, tools that may be missing, and the rule that CI skips nothing."""

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from encord_async.manifest.policy_file import POLICY_FILE
from tests import memory
from tests.postgres import PostgresServer
from tests.thorough import PROFILE

REQUIRE_ALL_TOOLS = "ENCORD_ASYNC_REQUIRE_ALL_TOOLS"
# Debian keeps servers where an ordinary user's PATH does not look.
_SERVERS = ["/usr/local/sbin", "/usr/sbin", "/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
_SDKS = {"ENCORD_SDK_NEW_PYTHON", "ENCORD_SDK_OLD_PYTHON"}
"""They name the interpreters that have the SDK, in a release each."""
TOOL_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SERVERS])

# A loaded machine is slow now and then; slowness is what the time-out is for. What CI adds (no chance) is kept.
settings.register_profile(
    "house", settings.get_profile(settings.get_current_profile_name()), deadline=None, max_examples=30
)
# A first answer; what is rare is left to `make test`.
settings.register_profile("quick", settings.get_profile("house"), max_examples=20)
# Where time is no matter: all that there is, instead of a part of it (`tests/thorough.py`).
settings.register_profile(PROFILE, settings.get_profile("house"), max_examples=500)
settings.load_profile("house")


# What a test needs is told by its fixtures; a file that starts processes itself says so in `pytestmark`.
MARKS_OF_FIXTURES = {
    "chromium": ["browser"],
    "clusters": ["cluster"],
    "deployment": ["cluster"],
    "postgres": ["process"],
    "pytester": ["process"],
    "require_tool": ["process"],
    "sdk_release": ["interop"],
}
IMPLY_PROCESS = {"browser", "cluster", "interop"}
NOT_OURS = {"browser", "cluster"}
"""What leans on connections that others make, and that break by themselves now and then: Dask's over TLS, for one (see
`encord_async/cluster/local.py`). Such a test is run once more before it fails, and the summary says why."""


def pytest_configure() -> None:
    """Give each test its folder in memory, where there is room, unless somebody has said where; and end in order.

    Whoever stops the tests with SIGTERM, as a CI does whose time is over, must not leave servers and clusters behind.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if (root := memory.root()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", root)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, since a test waits a fifth of its time; four at most, since each worker has
    servers, browsers and a cluster of its own."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs beyond this process, so that it can be left out."""
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        marks = {mark for name in fixtures for mark in MARKS_OF_FIXTURES.get(name, ())}
        needs = marks | {mark.name for mark in item.iter_markers()}
        marks |= {"process"} if IMPLY_PROCESS & needs else set()
        for mark in sorted(marks):
            item.add_marker(mark)
        if "cluster" in needs:
            # What the test before has broken is mended first, which may take as long as a test.
            item.add_marker(pytest.mark.timeout(600))
        if NOT_OURS & needs:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each test that was run once more how it failed at first, which pytest-rerunfailures keeps to itself."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed at first: {report.nodeid}")
        terminalreporter.line(report.longreprtext)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Hide what is there to stay, modules and tests, from the garbage collector: it would look through it each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


_without_process: list[str] = []
"""The test that runs now, if it has no mark that says that it starts processes."""


def _watch_for_processes(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and _without_process:
        raise AssertionError(f"{_without_process[0]} starts {arguments[0]!s}; mark it, or its file, with `process`")


sys.addaudithook(_watch_for_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that starts a process and is not marked so fails, so that ``-m "not process"`` is to be relied on."""
    if item.get_closest_marker("process") is None:
        _without_process.append(item.nodeid)
    try:
        return (yield)
    finally:
        _without_process.clear()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked for another platform."""
    marker = item.get_closest_marker("platform")
    if marker is not None and marker.args != (sys.platform,):
        pytest.skip(f"runs on {marker.args[0]} only")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where every tool has to be there, a test that skips for want of one fails."""
    report = yield
    if _is_forbidden_skip(report) and item.get_closest_marker("platform") is None:
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_ALL_TOOLS} is set, but the test was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    if _is_forbidden_skip(report):
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_ALL_TOOLS} is set, but the file was skipped: {report.longrepr}"
    return report


def _is_forbidden_skip(report: pytest.TestReport | pytest.CollectReport) -> bool:
    # An expected failure is reported as skipped, with the attribute wasxfail.
    return bool(os.environ.get(REQUIRE_ALL_TOOLS)) and report.skipped and not hasattr(report, "wasxfail")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user() -> Iterator[None]:
    """Keep the ENCORD_* settings of whoever runs the tests out of them, and colours and widths too."""
    kept = {REQUIRE_ALL_TOOLS, *_SDKS}
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("ENCORD_") and name not in kept:
                patch.delenv(name)
        for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "REQUESTS_CA_BUNDLE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _in_an_empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run all tests where no policy of a team's lies: each run looks for one here and above, and would read ours."""
    for name in _SDKS & os.environ.keys():
        # `make test` names them as they lie beside the Makefile. Not resolved: the link makes them what they are.
        os.environ[name] = str(Path(os.environ[name]).absolute())
    with chdir(tmp_path_factory.mktemp("empty")):
        yield


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Give the path of a program; skip the test if it is not installed (on CI that is a failure)."""

    def find(name: str) -> str:
        path = shutil.which(name, path=TOOL_PATH)
        if path is None:
            pytest.skip(f"needs the program {name}, which is not installed")
        return path

    return find


@pytest.fixture(scope="session")
def postgres(require_tool: Callable[[str], str]) -> Iterator[PostgresServer]:
    """A PostgreSQL server of the tests' own, on loopback."""
    with PostgresServer(require_tool("initdb"), require_tool("postgres")) as server:
        yield server


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def twins_pass(empty_folder: Path) -> None:
    """Manifests in this folder, or in none, may hold twins: the engine holds what it promises for them too."""
    (empty_folder / POLICY_FILE).write_text("twins = true\n")


@pytest.fixture
def nothing_blocks() -> Iterator[None]:
    """Fail the test if our code makes a blocking call inside the event loop. Ask for it by ``usefixtures``."""
    with blockbuster_ctx(scanned_modules=["encord_async"]):
        yield
