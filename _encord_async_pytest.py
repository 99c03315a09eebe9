"""The pytest plugin, beside the package: pytest loads it in every run, and importing the package takes half a second.

Nothing can be imported from a package without its ``__init__``, here all of the client: time that every run would lose,
with the fixtures or without, and lines that pytest-cov would begin to measure too late. So it is a module of its own,
as Hypothesis has one (``_hypothesis_pytestplugin``), and imports nothing of ours before a test asks for a fixture. It
has the fixtures ``encord_emulator`` and ``encord_session``, and the former's marker; what they give, and how to use
them, says ``encord_async.testing``.
"""

import types
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import pytest

if TYPE_CHECKING:
    from encord_async import EncordSession
    from encord_async.testing import EncordEmulator

_LoopScope: TypeAlias = Literal["function", "class", "module", "package", "session"]

_MARKER: Final = (
    "encord_emulator(**settings): fields of encord_async.emulator.EmulatorSettings for the fixture encord_emulator, "
    "such as faults=[...], latency_s=0.05, rate_limit_per_s=100, seed=..."
)
_NO_LOOP: Final = (
    "the fixture encord_session is an open session, so it needs the event loop of a plugin: pytest-asyncio, or anyio's "
    "with @pytest.mark.anyio. Without one, use the fixture encord_emulator and open its session() where your loop runs."
)
_NO_ASYNCIO: Final = (
    "the fixture encord_session needs asyncio, and this test runs on {backend}; let your own fixture anyio_backend "
    "return 'asyncio'."
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known and, where pytest-asyncio is in use, the fixtures that run in its loops."""
    config.addinivalue_line("markers", _MARKER)
    if config.pluginmanager.has_plugin("asyncio"):
        config.pluginmanager.register(_fixtures_for_pytest_asyncio(), "encord_async_for_pytest_asyncio")


@pytest.fixture
def encord_emulator(request: pytest.FixtureRequest) -> "Iterator[EncordEmulator]":
    """A local Encord of the test's own, as the markers ``encord_emulator`` want it."""
    from encord_async.testing import EncordEmulator, read_settings

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("encord_emulator"))):
        if marker.args:
            pytest.fail("the marker encord_emulator takes keywords only, such as latency_s=0.05", pytrace=False)
        options |= marker.kwargs
    with EncordEmulator(read_settings(options)) as emulator:
        yield emulator


@pytest.fixture
def encord_session(request: pytest.FixtureRequest) -> "EncordSession":
    """An open session on the test's ``encord_emulator``, in the event loop in which the test runs."""
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend_name")
        if backend != "asyncio":
            pytest.fail(_NO_ASYNCIO.format(backend=backend), pytrace=False)
        name = "_encord_session_for_anyio"
    elif request.config.pluginmanager.has_plugin("asyncio"):
        name = f"_encord_session_in_{_loop_scope(request)}_loop"
    else:
        pytest.fail(_NO_LOOP, pytrace=False)
    session: EncordSession = request.getfixturevalue(name)
    return session


@pytest.fixture
async def _encord_session_for_anyio(encord_emulator: "EncordEmulator") -> "AsyncIterator[EncordSession]":
    """The session of a test that anyio's plugin runs; only such tests may ask for it."""
    async with encord_emulator.session() as session:
        yield session


def _fixtures_for_pytest_asyncio() -> types.ModuleType:
    """A plugin with one fixture for each loop in which pytest-asyncio may run a test."""
    plugin = types.ModuleType("encord_async_for_pytest_asyncio")
    for scope in get_args(_LoopScope):
        setattr(plugin, f"_encord_session_in_{scope}_loop", _session_in_loop(scope))
    return plugin


def _session_in_loop(scope: _LoopScope) -> object:
    import pytest_asyncio

    @pytest_asyncio.fixture(loop_scope=scope, name=f"_encord_session_in_{scope}_loop")
    async def open_session(encord_emulator: "EncordEmulator") -> "AsyncIterator[EncordSession]":
        async with encord_emulator.session() as session:
            yield session

    return open_session


def _loop_scope(request: pytest.FixtureRequest) -> _LoopScope:
    """The scope of the loop in which pytest-asyncio runs the test, by its marker or else its configuration."""
    marker = request.node.get_closest_marker("asyncio")
    named = None if marker is None else marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")
    scope: _LoopScope = named or request.config.getini("asyncio_default_test_loop_scope") or "function"
    return scope
