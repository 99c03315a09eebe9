"""The way of creates through a run: nothing is sent that is not durable, and what is made waits for nobody."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio

from encord_async.engine.options import Options
from encord_async.engine.outcome import Status
from encord_async.engine.run import Run
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, State, Told
from tests.provision.conftest import Service, all_of, open_session, project
from tests.waiting import comes_true

T = TypeVar("T")


class Held(Journal):
    """A journal that is written as ever, and tells nobody before it is let go."""

    def __init__(self, path: Path, identity: Identity) -> None:
        super().__init__(path, identity)
        self.held: list[tuple[State, Callable[[], None]]] = []

    def post(self, record: Record, told: Told[T], about: T) -> None:
        """See `Ledger`."""
        super().post(record, self._hold, (record.state, partial(told, about)))

    def _hold(self, held: tuple[State, Callable[[str | None], None]], failure: str | None) -> None:
        state, tell = held
        self.held.append((state, partial(tell, failure)))

    def let_go(self) -> list[State]:
        """Tell what is written down; as what that was."""
        held, self.held = self.held, []
        for _, tell in held:
            tell()
        return [state for state, _ in held]


async def test_nothing_is_sent_before_its_intent_is_durable(service: Service, tmp_path: Path) -> None:
    """Intents of many share a commit. No create leaves before that is told, and no entry ends before its end is."""
    wishes = [project(f"P{number}") for number in range(6)]
    async with open_session(service, concurrency=4) as session:
        journal = Held(tmp_path / "j", Identity(session.settings.domain, session.identity))
        async with Run(session, wishes, Options(), journal=journal) as run, anyio.create_task_group() as group:
            outcomes = []

            async def take() -> None:
                outcomes.extend(await all_of(run))

            group.start_soon(take)
            await comes_true(lambda: len(journal.held) == len(wishes))
            assert not service.of("project.POST")
            assert journal.let_go() == [State.INTENDED] * len(wishes)
            await comes_true(lambda: len(journal.held) == len(wishes))
            assert len(service.of("project.POST")) == len(wishes)
            assert run.progress().ended == 0
            assert journal.let_go() == [State.DONE] * len(wishes)
    assert [outcome.status for outcome in outcomes] == [Status.CREATED] * len(wishes)


async def test_things_are_made_in_the_order_of_the_manifest(service: Service) -> None:
    """Those that wait for the account to be listed go before those that come after them."""
    titles = [f"P{number}" for number in range(20)]
    async with (
        open_session(service, concurrency=1) as session,
        session.provision([project(title) for title in titles], journal=None) as run,
    ):
        await all_of(run)
    made = [call.payload["title"] for call in service.of("project.POST") if isinstance(call.payload, dict)]
    assert made == titles
