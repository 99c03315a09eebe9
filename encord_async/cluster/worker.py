"""What runs on a worker of the cluster: the ordinary engine, for one shard. It decides nothing about other shards.

The key, and the password of the database, are the worker's own, from its environment or a file there: what comes with a
task is plain data without secrets. Only a worker whose connection to the journal lives goes on sending.
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from distributed import Client, Event, Variable, get_client

from encord_async.client import EncordSession
from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome, Summary
from encord_async.engine.run import Run
from encord_async.errors import EncordError, JournalError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.journal import Shard as JournalShard
from encord_async.manifest.part import Part
from encord_async.session.environment import key_from_env
from encord_async.session.settings import Settings

__all__ = ["Introduction", "Report", "SessionOptions", "Signals", "Task", "introduce", "provision_shard"]

T = TypeVar("T")

_LOOK_EVERY_S: Final = 0.5
"""How soon a worker notices that another was throttled, or that the run is to stop."""
_SIGN_OF_LIFE_S: Final = 5.0
_SIGN_PATIENCE_S: Final = 15.0
"""Both together are less than it takes the database to give up a connection, and its lock to another worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How each worker opens its session: plain data, without a secret.

    Attributes:
        settings: As for a session on one machine; *concurrency* and *max_rate_per_s* are those of the whole cluster.
        ssh_key_file: Path of the key's file on the workers. None takes it from their environment, as
            `EncordSession.from_env` does. A passphrase is in ``ENCORD_SSH_KEY_PASSPHRASE`` there.
    """

    settings: Settings = field(default_factory=Settings)
    ssh_key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who a worker is."""

    account: str
    version: str


@dataclass(frozen=True, slots=True)
class Signals:
    """What the workers of a run and its head have in common at the scheduler, by names that hold the run's."""

    run: str

    def stop(self, client: Client) -> Event:
        """Set when the run is to come to an end."""
        return Event(f"{self.run}-stop", client=client)  # type: ignore[no-untyped-call]  # Dask has no types here

    def throttled(self, client: Client) -> Variable:
        """Changes when the service has turned somebody away for load."""
        return Variable(f"{self.run}-throttled", client=client)  # type: ignore[no-untyped-call]  # as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A shard, and all that a worker has to know to provision it; no secret is in it.

    The settings in *session* are the worker's share of those of the whole cluster.
    """

    part: Part
    session: SessionOptions
    options: Options
    journal: str
    shard: JournalShard
    signals: Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a shard; *failure* is what ended it early."""

    outcomes: tuple[Outcome, ...]
    summary: Summary
    failure: EncordError | None = None


def introduce(options: SessionOptions) -> Introduction:
    """Read the key as for a shard, and say whose it is.

    Raises:
        KeyFormatError: There is none, or it cannot be used.
    """
    return Introduction(key_from_env(os.environ, path=options.ssh_key_file).identity, version("encord-async"))


def provision_shard(task: Task) -> Report:
    """Provision the entries of *task*; whatever goes wrong with the run is in the report."""
    try:
        return anyio.run(_provision, task, get_client())
    except EncordError as error:
        # The run has not begun.
        return Report(outcomes=tuple(_cancelled(task, ())), summary=Summary(), failure=error)


async def _provision(task: Task, client: Client) -> Report:
    settings = task.session.settings
    session = EncordSession(key_from_env(os.environ, path=task.session.ssh_key_file), settings)
    journal = Journal(task.journal, Identity(settings.domain, session.identity), shard=task.shard)
    # What holds of the whole manifest was checked when it was cut.
    run = Run(session, task.part, replace(task.options, skip_invalid=True), journal=journal)
    outcomes: list[Outcome] = []
    failure: EncordError | None = None
    async with session, run:
        watch = _Watch(task, session, journal, run, client)
        async with anyio.create_task_group() as group:
            group.start_soon(watch.signs_of_life, group.cancel_scope)
            group.start_soon(watch.signals)
            try:
                async for outcome in run:
                    number = task.part.entries[outcome.number - 1].number
                    outcomes.append(replace(outcome, number=number))
            except EncordError as error:
                failure = error
            group.cancel_scope.cancel()
    if watch.failure is None:
        # Else those without an outcome were cut off half-way.
        outcomes += _cancelled(task, outcomes)
    return Report(outcomes=tuple(outcomes), summary=run.summary, failure=watch.failure or failure)


class _Watch:
    """Looks, while a shard is provisioned, at what the rest of the cluster has to say."""

    def __init__(self, task: Task, session: EncordSession, journal: Journal, run: Run, client: Client) -> None:
        self.failure: EncordError | None = None
        self._session = session
        self._journal = journal
        self._run = run
        self._stop = task.signals.stop(client)
        self._variable = task.signals.throttled(client)
        self._throttled = 0
        self._heard: object = None
        """None until it was listened to for the first time: what was said before that is long over."""

    async def signs_of_life(self, scope: anyio.CancelScope) -> None:
        """Stop sending at once when the journal's lock may be another's, or the run has lost its head."""
        while self.failure is None:
            await anyio.sleep(_SIGN_OF_LIFE_S)
            try:
                with anyio.fail_after(_SIGN_PATIENCE_S):
                    await self._journal.is_alive()
            except TimeoutError:
                self.failure = JournalError(f"{self._journal.name} does not answer; nothing more was sent")
            except JournalError as error:
                self.failure = error
        scope.cancel()

    async def signals(self) -> None:
        """Stop when the run is to stop, and slow down when another was throttled."""
        try:
            while not await _in_thread(self._stop.is_set):
                await self._tell_throttling()
                await anyio.sleep(_LOOK_EVERY_S)
            self._run.drain("the run was stopped")
        except OSError:
            self._run.drain("the scheduler is gone")

    async def _tell_throttling(self) -> None:
        throttled = self._session.statistics().throttled
        if throttled > self._throttled:
            self._throttled = throttled
            self._heard = os.urandom(8).hex()
            await _in_thread(functools.partial(self._variable.set, self._heard))
            return
        said = await _in_thread(self._variable.get)
        news = self._heard is not None and said != self._heard
        self._heard = said
        if news:
            self._session.throttled_elsewhere()


async def _in_thread(function: Callable[[], T]) -> T:
    # A scheduler that is gone lets its callers wait; the run has better things to do.
    return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


def _cancelled(task: Task, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Outcomes for the entries of *task* that a run which was stopped did not come to."""
    ended = {outcome.number for outcome in outcomes}
    return (Outcome.cancelled(one.number, one.placed) for one in task.part.entries if one.number not in ended)
