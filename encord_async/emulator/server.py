"""An emulator as a Python object: settings in, a URL and a key out.

Runs in the event loop of whoever enters it, starts no thread and owns no task. It never prints; the command does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from encord_async.emulator.bucket import TokenBucket
from encord_async.emulator.calls import Terms
from encord_async.emulator.faults import FaultRule
from encord_async.emulator.http import Edge, Stats
from encord_async.emulator.seed import DEFAULT_EMAIL, Seed, default_seed, plant
from encord_async.emulator.service import Service
from encord_async.emulator.store import LogEntry, State, Store

__all__ = ["Emulator", "EmulatorSettings", "SettingsError"]

_USER_EMAIL, _PRIVATE_KEY = "user_email", "private_key"


class SettingsError(ValueError):
    """Settings with which no emulator can start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """How to start an emulator.

    *host* has to be a loopback address; *port* 0 takes a free one; *state* None keeps all in memory; *seed* None makes
    one user and a hundred datasets. *latency_s* is the shortest and longest time a request takes, half of it before
    the work is done and half after. *burst* defaults to one second's worth of *rate_limit_per_s*. *page_size* is how
    much of a REST listing comes at once, *signature_window_s* how far from now a REST signature may have been created.
    With *null_descriptions* filters find no description where there is none, as if it were NULL; with *newest_first*
    listings begin with what was made last, so that their pages shift while things are made. *job_s* is how long upload
    jobs and syncs take, and how long it is until data that were linked are tasks.
    """

    host: str = "127.0.0.1"
    port: int = 0
    state: Path | None = None
    seed: Seed | None = None
    latency_s: tuple[float, float] = (0.0, 0.0)
    rate_limit_per_s: float | None = None
    burst: int | None = None
    faults: tuple[FaultRule, ...] = ()
    strict: bool = False
    failure_http_status: Literal[200, 400] = 200
    page_size: int = 100
    null_descriptions: bool = False
    newest_first: bool = False
    signature_window_s: float = 300.0
    job_s: float = 0.0

    def __post_init__(self) -> None:
        """Check what can be checked without starting.

        Raises:
            SettingsError: Says which setting, its value, and what it has to be.
        """
        if not _is_loopback(self.host):
            raise SettingsError(f"host {self.host}: the emulator listens on this machine only; use 127.0.0.1")
        if not 0 <= self.port <= 65_535:
            raise SettingsError(f"port {self.port}: has to be from 0 to 65535")
        low, high = self.latency_s
        if not 0 <= low <= high <= 3600:
            raise SettingsError(f"latency_s {low:g}-{high:g}: has to be seconds from 0 on, the smaller first")
        if self.rate_limit_per_s is not None and self.rate_limit_per_s <= 0:
            raise SettingsError(f"rate_limit_per_s {self.rate_limit_per_s:g}: has to be above 0")
        if self.burst is not None and self.burst < 1:
            raise SettingsError(f"burst {self.burst}: has to be 1 or more")
        if self.page_size < 1:
            raise SettingsError(f"page_size {self.page_size}: has to be 1 or more")
        if not self.signature_window_s > 0:
            raise SettingsError(f"signature_window_s {self.signature_window_s:g}: has to be above 0")
        if not 0 <= self.job_s <= 86_400:
            raise SettingsError(f"job_s {self.job_s:g}: has to be seconds from 0 to 86400")
        if self.burst is not None and self.rate_limit_per_s is None:
            raise SettingsError("burst: means nothing without a rate limit")


class Emulator:
    """A local Encord, up while inside ``async with``."""

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        """Prepare an emulator; nothing is opened before it is entered."""
        self._settings = settings or EmulatorSettings()
        self._store: Store | None = None
        self._edge: Edge | None = None
        self._url = ""
        self._found_state = False

    async def __aenter__(self) -> Self:
        """Open the state, seed it if it is empty, and listen.

        Raises:
            StateError: The state file cannot be used.
            OSError: The port cannot be listened on.
        """
        settings = self._settings
        self._store = store = Store(
            settings.state, null_descriptions=settings.null_descriptions, newest_first=settings.newest_first
        )
        try:
            self._found_state = store.meta("seeded") is not None
            if not self._found_state:
                self._plant(store)
            self._edge = Edge(
                Service(
                    store=store,
                    terms=Terms(
                        strict=settings.strict,
                        failure_http_status=settings.failure_http_status,
                        page_size=settings.page_size,
                        signature_window_s=settings.signature_window_s,
                        job_s=settings.job_s,
                    ),
                ),
                latency_s=settings.latency_s,
                bucket=_bucket(settings),
                rules=settings.faults,
            )
            port = await self._edge.start(settings.host, settings.port)
        except BaseException:
            store.close()
            raise
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once: cut what is in flight, forget what was to be applied later, close the state."""
        try:
            await self._running.stop()
        finally:
            self._opened.close()

    @property
    def url(self) -> str:
        """The domain to give to a client, without a slash at the end."""
        return self._url

    @property
    def private_key(self) -> str | None:
        """OpenSSH text of the default user's private key; None if a seed brought the users."""
        return self._opened.meta(_PRIVATE_KEY)

    @property
    def user_email(self) -> str:
        """E-mail address of the default user, or of the seed's first."""
        return self._opened.meta(_USER_EMAIL) or DEFAULT_EMAIL

    @property
    def found_state(self) -> bool:
        """Whether the state file held data already, so that no seed was applied."""
        return self._found_state

    def set_faults(self, rules: Sequence[FaultRule]) -> None:
        """Put *rules* in the place of those before; their counts and seeds start afresh."""
        self._running.set_faults(tuple(rules))

    def clear_faults(self) -> None:
        """Let everything go right again."""
        self._running.set_faults(())

    def stats(self) -> Stats:
        """Return what ``GET /_emulator/stats`` returns."""
        return self._running.stats()

    def state(self) -> State:
        """Return what ``GET /_emulator/state`` returns."""
        return self._opened.state()

    def log(self) -> list[LogEntry]:
        """Return what ``GET /_emulator/log`` returns: every committed change, oldest first."""
        return self._opened.log()

    @property
    def _running(self) -> Edge:
        if self._edge is None:
            raise RuntimeError("the emulator is not running; use it inside: async with Emulator() as emulator")
        return self._edge

    @property
    def _opened(self) -> Store:
        if self._store is None:
            raise RuntimeError("the emulator is not running; use it inside: async with Emulator() as emulator")
        return self._store

    def _plant(self, store: Store) -> None:
        seed, pair = (self._settings.seed, None) if self._settings.seed is not None else default_seed()
        with store.transaction():
            plant(store, seed, now_us=time.time_ns() // 1000)
            store.set_meta("seeded", "1")
            store.set_meta(_USER_EMAIL, seed.users[0].email)
            if pair is not None:
                # Kept so that a restart on the same state can hand the key out again; it opens nothing but this state.
                store.set_meta(_PRIVATE_KEY, pair.private_text)


def _bucket(settings: EmulatorSettings) -> TokenBucket | None:
    rate = settings.rate_limit_per_s
    if rate is None:
        return None
    return TokenBucket(rate_per_s=rate, burst=settings.burst or max(1, ceil(rate)))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
