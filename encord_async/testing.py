"""The testing kit: a local Encord on a thread of its own, for tests of whatever talks to Encord.

Installing encord-async brings a pytest plugin with two fixtures; nothing has to be imported or configured.

``encord_emulator``
    An `EncordEmulator` of the test's own, with a hundred datasets and one user; gone when the test ends. It is no part
    of the test's event loop, so tests need not be asynchronous and may use any client, in any process.
``encord_session``
    An open `EncordSession` on it, in the test's event loop. pytest-asyncio (auto and strict mode, each loop scope) and
    anyio's plugin (backend asyncio) both do. With neither, open one yourself: ``async with encord_emulator.session()``.

The marker ``encord_emulator`` takes the fields of `EmulatorSettings` as keywords. Markers of a function, its class and
its module add up; for the same field the closest counts.

    @pytest.mark.encord_emulator(faults=[{"query": "project.POST", "fault": "drop_after_commit", "times": 1}])
    async def test_nothing_is_made_twice(encord_emulator: EncordEmulator, encord_session: EncordSession) -> None:
        async with encord_session.provision([{"kind": "project", "key": "cats", "title": "Cats"}], journal=None) as run:
            outcomes = [outcome async for outcome in run]
        assert len(encord_emulator.state()["projects"]) == 1

The session waits less long than it would for the real service, so that tests of faults are quick: `QUICK_SETTINGS`.
Without pytest, use `EncordEmulator` in a ``with`` block. It never listens anywhere but on this machine, and knows
nothing of pytest; the fixtures are in the module ``_encord_async_pytest``.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from encord_async.client import EncordSession
from encord_async.emulator.faults import FaultRule, read_fault_rules
from encord_async.emulator.seed import (
    DEFAULT_EMAIL,
    Seed,
    SeedDataset,
    SeedError,
    SeedFolder,
    SeedIntegration,
    SeedOntology,
    SeedProject,
    SeedStage,
    SeedTemplate,
    SeedUser,
    complete,
    plant,
    read_seed,
)
from encord_async.emulator.server import Emulator, EmulatorSettings, SettingsError
from encord_async.emulator.signatures import make_key_pair
from encord_async.session.environment import ENV_DOMAIN, ENV_KEY
from encord_async.session.settings import RetryPolicy, Settings, Timeouts

if TYPE_CHECKING:
    from encord_async.emulator.http import Stats
    from encord_async.emulator.store import LogEntry, State

__all__ = [
    "QUICK_SETTINGS",
    "EmulatorSettings",
    "EncordEmulator",
    "FaultRule",
    "Seed",
    "SeedDataset",
    "SeedError",
    "SeedFolder",
    "SeedIntegration",
    "SeedOntology",
    "SeedProject",
    "SeedStage",
    "SeedTemplate",
    "SeedUser",
    "SettingsError",
    "read_settings",
]

QUICK_SETTINGS: Final = Settings(
    timeouts=Timeouts(connect_s=5.0, attempt_s=10.0),
    retry=RetryPolicy(backoff_base_s=0.01, backoff_max_s=0.1, outage_s=1.0),
)
"""As the defaults, but with short waits; the domain is replaced by the emulator's."""


class EncordEmulator:
    """A local Encord, up while inside ``with``; call it from any thread and from inside or outside an event loop."""

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        """Prepare an emulator; nothing is started before it is entered.

        Raises:
            SettingsError: Both a seed and a state are given: a state that holds data would not take the seed.
        """
        settings = settings or EmulatorSettings()
        self._private_key: str | None = None
        if settings.seed is not None:
            if settings.state is not None:
                raise SettingsError("seed and state: give one of them, or the state first and call seed() after that")
            pair = make_key_pair()
            self._private_key = pair.private_text
            settings = replace(settings, seed=complete(settings.seed, public_key=pair.public_hex))
        self._emulator = _Seedable(settings)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        """Start the thread and the emulator in it.

        Raises:
            StateError: The state file cannot be used.
            OSError: The port cannot be listened on.
        """
        if self._portal is not None:
            raise RuntimeError("the emulator is running already; make another for another account")
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio", name="encord emulator"))
            stack.enter_context(portal.wrap_async_context_manager(self._emulator))
            self._stack = stack.pop_all()
        self._portal = portal
        return self

    def __exit__(self, *_: object) -> None:
        """Stop at once, cut what is in flight, and wait for the thread to end."""
        self._portal = None
        self._stack.close()

    @property
    def url(self) -> str:
        """The domain to give to a client, without a slash at the end."""
        return self._emulator.url

    @property
    def private_key(self) -> str:
        """OpenSSH text of the private key of `user_email`."""
        if self._private_key is None:
            self._private_key = self._running.call(lambda: self._emulator.private_key)
        if self._private_key is None:
            raise RuntimeError("this state was made with a seed, whose users brought their own keys")
        return self._private_key

    @property
    def user_email(self) -> str:
        """E-mail address of the user whose key `private_key` is; seeds may name it, too."""
        return DEFAULT_EMAIL

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which `EncordSession.from_env` and our command find the emulator.

        Encord's own SDK takes the key from there as well, but the domain only as an argument: ``domain=url``.
        """
        return {ENV_DOMAIN: self.url, ENV_KEY: self.private_key}

    def session(self, settings: Settings | None = None, *, concurrency: int | None = None) -> EncordSession:
        """A session on this emulator, to be opened by ``async with``.

        Args:
            settings: Everything but the domain; None is `QUICK_SETTINGS`.
            concurrency: See `Settings.concurrency`.
        """
        return EncordSession.from_ssh_key(
            self.private_key, settings=settings or QUICK_SETTINGS, domain=self.url, concurrency=concurrency
        )

    def seed(self, seed: Seed | str | Path) -> None:
        """Add what *seed* says, or the YAML file at that path, to what is there.

        Whatever names no Admin gets `user_email` as such, and Admins who are no users yet become users.

        Raises:
            SeedError: The file cannot be used, something of that hash is there already, or a project names something
                that does not come with it.
        """
        completed = complete(seed if isinstance(seed, Seed) else read_seed(Path(seed)))
        self._running.call(self._emulator.add, completed)

    def set_faults(self, rules: Iterable[FaultRule | Mapping[str, object]]) -> None:
        """Put *rules* in the place of those before; their counts and seeds start afresh.

        Examples:
            >>> def make_trouble(encord_emulator: EncordEmulator) -> None:
            ...     encord_emulator.set_faults([{"query": "project.POST", "fault": "drop_before", "times": 2}])

        Raises:
            FaultRuleError: Names the rule, the field and what it has to be.
        """
        self._running.call(self._emulator.set_faults, _rules(rules))

    def clear_faults(self) -> None:
        """Let everything go right again."""
        self._running.call(self._emulator.clear_faults)

    def stats(self) -> "Stats":
        """What was asked so far: ``requests``, ``by_query``, ``by_status``, ``connections``, ``max_in_flight``..."""
        return self._running.call(self._emulator.stats)

    def state(self) -> "State":
        """What the account holds: ``projects`` and ``datasets`` with their users, secrets left out."""
        return self._running.call(self._emulator.state)

    def log(self) -> "list[LogEntry]":
        """Every committed change, oldest first."""
        return self._running.call(self._emulator.log)

    @property
    def _running(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("the emulator is not running; use it inside: with EncordEmulator() as emulator")
        return self._portal


class _Seedable(Emulator):
    """An emulator that takes more seeds while it runs."""

    def add(self, seed: Seed) -> None:
        store = self._opened
        try:
            with store.transaction():
                plant(store, seed, now_us=time.time_ns() // 1000)
        except sqlite3.IntegrityError as error:
            raise SeedError("something with a hash of this seed is there already; give it another hash") from error


def read_settings(options: Mapping[str, Any]) -> EmulatorSettings:
    """Settings from the keywords of the marker ``encord_emulator``.

    Beyond what `EmulatorSettings` takes: *faults* may be dicts, *seed* the path of a file, *latency_s* one number.

    Raises:
        SettingsError: There is no such setting, or its value cannot work.
        FaultRuleError, SeedError: A fault rule or the seed cannot be used.
    """
    known = [field.name for field in fields(EmulatorSettings)]
    for name in options:
        if name not in known:
            raise SettingsError(f"{name} is no setting of the emulator; known are {', '.join(known)}")
    values = dict(options)
    if "faults" in values:
        values["faults"] = _rules(values["faults"])
    if isinstance(values.get("seed"), str | Path):
        values["seed"] = read_seed(Path(values["seed"]))
    if isinstance(values.get("latency_s"), int | float):
        values["latency_s"] = (values["latency_s"], values["latency_s"])
    return EmulatorSettings(**values)


def _rules(rules: Iterable[FaultRule | Mapping[str, object]]) -> tuple[FaultRule, ...]:
    """Rules, those given as dicts checked; a message counts the dicts among them from 0."""
    given: list[object] = list(rules)
    raw = [dict(rule) if isinstance(rule, Mapping) else rule for rule in given if not isinstance(rule, FaultRule)]
    read = iter(read_fault_rules(raw))
    return tuple(rule if isinstance(rule, FaultRule) else next(read) for rule in given)
