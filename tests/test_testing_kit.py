"""The testing kit: an emulator on a thread, and fixtures that work under each plugin that runs async tests."""

import asyncio
import http.client
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from encord_async import EncordSession, ProjectUserRole, Settings
from encord_async.emulator.faults import Fault, FaultRuleError
from encord_async.emulator.server import Emulator
from encord_async.testing import (
    EmulatorSettings,
    EncordEmulator,
    FaultRule,
    Seed,
    SeedDataset,
    SeedError,
    SeedOntology,
    SeedProject,
    SeedUser,
    SettingsError,
    read_settings,
)
from tests import warm
from tests.thorough import part
from tests.waiting import PATIENCE_S

pytest_plugins = ["pytester"]

CATS = SeedDataset(hash="cccccccc-0000-4000-8000-000000000001", title="Cats raw", admins=())
ZOO = SeedOntology(hash="cccccccc-0000-4000-8000-000000000002", title="Zoo", admins=(), editor_ontology={"objects": []})
LOST_REPLY = {"query": "project.POST", "fault": "drop_after_commit", "times": 1}


# --- the fixtures, in the event loop of this suite -------------------------------------------------------------------


async def test_the_session_is_open_on_the_emulator(
    encord_emulator: EncordEmulator, encord_session: EncordSession
) -> None:
    """What the session makes, the emulator shows, under the name of the kit's user."""
    project_hash = await encord_session.create_project("Cats")
    await encord_session.project(project_hash).add_users(["ann@example.com"], ProjectUserRole.REVIEWER)
    (project,) = encord_emulator.state()["projects"]
    assert (project["project_hash"], project["title"]) == (project_hash, "Cats")
    assert [user["email"] for user in project["users"]] == [encord_emulator.user_email, "ann@example.com"]


async def test_every_test_has_its_own(encord_emulator: EncordEmulator, encord_session: EncordSession) -> None:
    """Nothing of another test is there, only the hundred datasets."""
    assert encord_emulator.state()["projects"] == []
    assert len(await encord_session.list_datasets()) == 100
    assert [entry["query"] for entry in encord_emulator.log()] == []


@pytest.mark.encord_emulator(faults=[LOST_REPLY])
async def test_faults_by_marker(encord_emulator: EncordEmulator, encord_session: EncordSession) -> None:
    """A lost reply makes the client look up what it made, and there is one of it."""
    async with encord_session.provision([{"kind": "project", "title": "Cats"}], journal=None) as run:
        outcomes = [outcome async for outcome in run]
    assert [outcome.hash for outcome in outcomes] == [
        project["project_hash"] for project in encord_emulator.state()["projects"]
    ]
    (made,) = encord_emulator.log()
    assert (made["title"], made["fault"]) == ("Cats", "drop_after_commit")


async def test_faults_from_python(encord_emulator: EncordEmulator, encord_session: EncordSession) -> None:
    """Rules are dicts or FaultRule, take effect at once, and can be taken back; the statistics tell of them."""
    encord_emulator.set_faults([FaultRule(query="project.POST", fault=Fault.DROP_BEFORE, times=1), LOST_REPLY])
    assert [rule["fault"] for rule in encord_emulator.stats()["faults"]] == ["drop_before", "drop_after_commit"]
    encord_emulator.clear_faults()
    await encord_session.create_project("Cats")
    stats = encord_emulator.stats()
    assert (stats["requests"], stats["by_query"], stats["cut"]) == (1, {"project.POST": 1}, 0)


@pytest.mark.encord_emulator(faults=[{"fault": "error", "code": "UNKNOWN_ERROR"}], strict=True)
class TestMarkers:
    """Markers of a class and of a function add up."""

    @pytest.mark.encord_emulator(faults=[])
    async def test_the_closest_counts(self, encord_emulator: EncordEmulator, encord_session: EncordSession) -> None:
        """A function's marker overrides that of its class, field by field."""
        assert encord_emulator.stats()["faults"] == []
        await encord_session.list_projects()

    def test_those_around_count_too(self, encord_emulator: EncordEmulator) -> None:
        """A class's marker is enough."""
        assert [rule["fault"] for rule in encord_emulator.stats()["faults"]] == ["error"]


# --- seeds -----------------------------------------------------------------------------------------------------------


async def test_seeding_adds(encord_emulator: EncordEmulator, encord_session: EncordSession) -> None:
    """A seed goes on top of what is there, for the session that is open; what names no Admin is the kit's user's."""
    project = SeedProject(
        hash="cccccccc-0000-4000-8000-000000000003",
        title="Cats",
        admins=("Emulator@example.com", "boss@example.com"),
        datasets=(CATS.hash,),
        ontology_hash=ZOO.hash,
    )
    encord_emulator.seed(Seed(users=(), datasets=(CATS,), ontologies=(ZOO,), projects=(project,)))
    assert len(await encord_session.list_datasets()) == 101
    read = await encord_session.project(project.hash).get()
    assert [dataset.dataset_hash for dataset in read.datasets] == [CATS.hash]
    (held,) = encord_emulator.state()["projects"]
    assert [user["email"] for user in held["users"]] == [encord_emulator.user_email, "boss@example.com"]


def test_a_seed_goes_in_whole_or_not_at_all(encord_emulator: EncordEmulator) -> None:
    """What is there already is refused, with all that comes with it."""
    encord_emulator.seed(Seed(users=(), datasets=(CATS,)))
    dogs = SeedDataset(hash="cccccccc-0000-4000-8000-000000000004", title="Dogs", admins=())
    with pytest.raises(SeedError, match="there already"):
        encord_emulator.seed(Seed(users=(), datasets=(dogs, CATS)))
    assert "Dogs" not in [dataset["title"] for dataset in encord_emulator.state()["datasets"]]


def test_a_seed_names_only_what_it_brings(encord_emulator: EncordEmulator) -> None:
    """A project on a dataset from elsewhere is refused with the names of both."""
    project = SeedProject(hash=CATS.hash, title="Cats", admins=(), datasets=("nowhere",))
    with pytest.raises(SeedError, match="'Cats' names 'nowhere', which is not in this seed"):
        encord_emulator.seed(Seed(users=(), projects=(project,)))


@pytest.mark.encord_emulator(seed=Seed(users=(SeedUser(email="ann@example.com"),), datasets=(CATS,)))
async def test_a_seed_by_marker_is_all_there_is(encord_session: EncordSession) -> None:
    """The kit's user is there beside the seed's and holds the key; there are no other datasets."""
    (dataset,) = await encord_session.list_datasets()
    assert dataset.dataset.title == "Cats raw"


def test_seeds_from_files(encord_emulator: EncordEmulator, tmp_path: Path) -> None:
    """The seed files of the command do, by marker too."""
    path = tmp_path / "seed.yaml"
    path.write_text("users: [{email: ann@example.com}]\ndatasets: [{title: From a file, admins: [ann@example.com]}]\n")
    encord_emulator.seed(path)
    dataset = encord_emulator.state()["datasets"][-1]
    assert (dataset["title"], [user["email"] for user in dataset["users"]]) == ("From a file", ["ann@example.com"])
    seed = read_settings({"seed": str(path)}).seed
    assert seed is not None
    assert [entry.title for entry in seed.datasets] == ["From a file"]


# --- without the fixtures --------------------------------------------------------------------------------------------


@pytest.mark.process
def test_in_a_program_of_its_own(encord_emulator: EncordEmulator) -> None:
    """Another process finds the emulator by the variables of its environment, while the test waits."""
    command = [sys.executable, "-m", "encord_async", "project", "create", "Cats", "--json"]
    done = warm.run(command, env=encord_emulator.environ)
    (project,) = encord_emulator.state()["projects"]
    assert json.loads(done.stdout)["project_hash"] == project["project_hash"]


def test_in_a_loop_of_its_own(encord_emulator: EncordEmulator) -> None:
    """A test that is not asynchronous opens a session where its loop runs, with settings of its own."""

    async def main() -> int:
        async with encord_emulator.session(Settings(), concurrency=3) as session:
            assert session.settings.domain == encord_emulator.url
            await session.create_project("Cats")
            return session.settings.concurrency

    assert asyncio.run(main()) == 3
    assert encord_emulator.stats()["requests"] == 1


def threads() -> int:
    """How many threads emulators have; a cluster of other tests starts and ends threads as it likes."""
    return sum(thread.name == "encord emulator" for thread in threading.enumerate())


def test_its_thread_ends_with_it() -> None:
    """Leaving the block stops the thread, also with a request on its way; calls say so after that."""
    before = threads()
    with EncordEmulator(EmulatorSettings(faults=(FaultRule(query="*", fault=Fault.HANG),))) as emulator:
        with pytest.raises(RuntimeError, match="running already"):
            emulator.__enter__()
        connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"))
        connection.request("POST", "/public/user", b"{}")
        assert threads() == before + 1
    assert threads() == before
    connection.close()
    with pytest.raises(RuntimeError, match="not running; use it inside"):
        emulator.stats()


def test_it_fails_to_start_without_a_trace(encord_emulator: EncordEmulator) -> None:
    """A port in use is an error of the test, and leaves no thread behind."""
    before = threads()
    port = int(encord_emulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), EncordEmulator(EmulatorSettings(port=port)):
        pass
    assert threads() == before


def test_a_state_goes_on_where_it_was(tmp_path: Path) -> None:
    """Two emulators on one file, one after the other, are one account with one key; a seed would be passed over."""
    settings = EmulatorSettings(state=tmp_path / "state.db")
    with EncordEmulator(settings) as first:
        first.seed(Seed(users=(), datasets=(CATS,)))
        key = first.private_key
    with EncordEmulator(settings) as second:
        assert second.private_key == key
        assert second.state()["datasets"][-1]["title"] == "Cats raw"
    with EncordEmulator(settings) as third, pytest.raises(SeedError, match="there already"):
        third.seed(Seed(users=(), datasets=(CATS,)))
    with pytest.raises(SettingsError, match="seed and state"):
        EncordEmulator(EmulatorSettings(state=tmp_path / "state.db", seed=Seed(users=())))


def test_a_state_of_other_users_has_no_key_for_the_kit(tmp_path: Path) -> None:
    """A state that was made with a seed serves; whoever asks for a key hears why there is none."""
    settings = EmulatorSettings(state=tmp_path / "state.db", seed=Seed(users=(SeedUser(email="ann@example.com"),)))

    async def make_state() -> None:
        async with Emulator(settings):
            pass

    asyncio.run(make_state())
    with EncordEmulator(EmulatorSettings(state=settings.state)) as emulator:
        assert not any(emulator.state().values())
        with pytest.raises(RuntimeError, match="brought their own keys"):
            emulator.session()


# --- the marker's keywords -------------------------------------------------------------------------------------------


def test_settings_from_keywords() -> None:
    """One number is a latency; dicts are rules."""
    settings = read_settings({"latency_s": 0.5, "faults": [LOST_REPLY], "rate_limit_per_s": 10})
    assert settings.latency_s == (0.5, 0.5)
    assert [rule.fault for rule in settings.faults] == [Fault.DROP_AFTER_COMMIT]
    assert read_settings({"latency_s": (0.1, 0.2)}).latency_s == (0.1, 0.2)


def test_wrong_keywords_are_named() -> None:
    """A slip says what is known, a bad rule which one it is."""
    with pytest.raises(SettingsError, match="latency is no setting of the emulator; known are host, port"):
        read_settings({"latency": 1})
    with pytest.raises(FaultRuleError, match=r"rules\[0\].fault: has to be one of"):
        read_settings({"faults": [{"fault": "nothing"}]})
    with pytest.raises(FaultRuleError, match=r"rules\[0\]: has to be an object"):
        read_settings({"faults": LOST_REPLY})


# --- the plugin in other projects' runs ------------------------------------------------------------------------------

_OTHERS = ("cacheprovider", "hypothesispytest", "timeout", "rerunfailures")
QUIET = (*(part for name in _OTHERS for part in ("-p", f"no:{name}")), "-W", "error")
WITHOUT_ANYIO = ("-p", "no:anyio")
WITHOUT_ASYNCIO = ("-p", "no:asyncio")
ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function")

TESTS = """
    import threading
    import pytest
    import pytest_asyncio

    {backend}

    {fixture}
    async def cats(encord_session):
        return await encord_session.create_project("Cats")

    {mark}
    async def test_a_project_by_a_fixture(cats, encord_session, encord_emulator):
        project = await encord_session.project(cats).get()
        assert project.title == "Cats"
        assert encord_emulator.stats()["requests"] == 2

    class TestInAClass:
        {mark}
        @pytest.mark.encord_emulator(faults=[{{"query": "project.POST", "fault": "rate_limited", "times": 1}}])
        async def test_another(self, encord_session, encord_emulator):
            await encord_session.create_project("Dogs")
            assert encord_emulator.stats()["throttled"] == 1

    def test_no_loop_needed(encord_emulator):
        assert encord_emulator.url.startswith("http://127.0.0.1:")

    def test_nothing_is_left():
        assert threading.enumerate() == [threading.main_thread()]
"""
BACKEND = "anyio_backend = pytest.fixture(lambda: 'asyncio')"


def run_in_a_project(pytester: pytest.Pytester, source: str, arguments: Sequence[str]) -> pytest.RunResult:
    """Run pytest in a process of its own over *source*, with warnings as errors."""
    pytester.makepyfile(dedent(source))
    return pytester.runpytest_subprocess("--strict-markers", *QUIET, *arguments, timeout=PATIENCE_S)


WAYS = [
    pytest.param(
        "@pytest.mark.asyncio", "@pytest_asyncio.fixture", (*ASYNCIO, *WITHOUT_ANYIO), id="pytest-asyncio-strict"
    ),
    pytest.param("", "@pytest.fixture", (*ASYNCIO, "-o", "asyncio_mode=auto"), id="pytest-asyncio-auto"),
    pytest.param(
        "@pytest.mark.asyncio(loop_scope='session')",
        "@pytest_asyncio.fixture(loop_scope='session')",
        ASYNCIO,
        id="pytest-asyncio-one-loop",
    ),
    pytest.param("@pytest.mark.anyio", "@pytest.fixture", WITHOUT_ASYNCIO, id="anyio"),
    pytest.param("@pytest.mark.anyio", "@pytest.fixture", ASYNCIO, id="anyio-beside-pytest-asyncio"),
    pytest.param("", "@pytest.fixture", (*WITHOUT_ASYNCIO, "-o", "anyio_mode=auto"), id="anyio-auto"),
]


@pytest.mark.parametrize(("mark", "fixture", "arguments"), part(WAYS, 3))
def test_each_plugin_can_run_the_tests(
    pytester: pytest.Pytester, mark: str, fixture: str, arguments: Sequence[str]
) -> None:
    """The fixtures work the same under each way to run async tests, with their own async fixtures on top of ours."""
    anyio = mark == "@pytest.mark.anyio" or "anyio_mode=auto" in arguments
    source = TESTS.format(mark=mark, fixture=fixture, backend=BACKEND if anyio else "")
    result = run_in_a_project(pytester, source, arguments)
    result.assert_outcomes(passed=4)


def test_it_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    """A run that asks for none of the fixtures imports neither the client nor what it is made of."""
    source = """
        import sys

        def test_imports():
            assert "_encord_async_pytest" in sys.modules
            assert not {"encord_async", "aiohttp", "pydantic", "cryptography", "tenacity"} & set(sys.modules)
    """
    run_in_a_project(pytester, source, ASYNCIO).assert_outcomes(passed=1)


def test_it_says_what_to_do(pytester: pytest.Pytester) -> None:
    """Without a plugin's loop, on another loop than asyncio's, and with a slip in the marker, errors help."""
    source = """
        import pytest

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend_name", ["trio"])
        async def test_trio(anyio_backend_name, encord_session): ...

        def test_no_loop(encord_session): ...

        @pytest.mark.encord_emulator(latency=1)
        def test_slip(encord_emulator): ...

        @pytest.mark.encord_emulator(1)
        def test_position(encord_emulator): ...
    """
    result = run_in_a_project(pytester, source, WITHOUT_ASYNCIO)
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(
        [
            "*encord_session needs asyncio, and this test runs on trio*",
            "*so it needs the event loop of a plugin: pytest-asyncio, or anyio's*",
            "*latency is no setting of the emulator*",
            "*takes keywords only*",
        ]
    )


def test_it_can_be_switched_off_and_explains_itself(pytester: pytest.Pytester) -> None:
    """``--fixtures`` shows what there is, ``--markers`` the marker; ``-p no:encord_async`` takes all away."""
    shown = pytester.runpytest_subprocess("--fixtures", "--markers", *QUIET, *ASYNCIO)
    shown.stdout.fnmatch_lines(["@pytest.mark.encord_emulator(?*settings):*"])
    source = "def test_it(encord_emulator): ..."
    run_in_a_project(pytester, source, (*ASYNCIO, "-p", "no:encord_async")).assert_outcomes(errors=1)
