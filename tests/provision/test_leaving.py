"""A run that is used otherwise than it is meant, or left early: a clear error, or an end whose sums are true."""

from pathlib import Path

import pytest

from encord_async.client import EncordSession
from encord_async.engine.outcome import Status
from encord_async.errors import UsageError
from encord_async.protocol.signing import BearerToken
from encord_async.session.settings import Settings
from tests.provision.conftest import TOKEN, Service, all_of, open_session, project

TITLES = [f"P{number}" for number in range(30)]
MANIFEST = [project(title) for title in TITLES]


async def test_iterated_without_a_block(service: Service) -> None:
    """Who forgets ``async with`` is told so."""
    async with open_session(service) as session:
        with pytest.raises(UsageError, match="the run has not begun: 'async with"):
            async for _ in session.provision(MANIFEST, journal=None):
                pass
    assert service.projects == {}


@pytest.mark.parametrize("taken", [0, 1, 5])
async def test_left_early(service: Service, tmp_path: Path, taken: int) -> None:
    """Left by a break, or never iterated, it ends at once and the sums are true; the next run makes the rest."""
    async with open_session(service) as session:
        async with session.provision(MANIFEST, journal=tmp_path / "j") as run:
            for _ in range(taken):
                await anext(run)
        summary = run.summary
        assert sum(summary.by_status.values()) == summary.entries
        assert taken <= summary.count(Status.CREATED) <= len(service.projects)
        assert len(service.projects) <= summary.count(Status.CREATED) + summary.count(Status.IN_DOUBT)
        assert summary.stopped_by == "left before the end"
        with pytest.raises(UsageError, match="the run is over"):
            await anext(run)
        async with session.provision(MANIFEST, journal=tmp_path / "j", settle_s=0) as run:
            assert all(outcome.status.satisfied for outcome in await all_of(run))
    assert sorted(one.title for one in service.projects.values()) == sorted(TITLES)


@pytest.mark.parametrize("inside", [True, False])
async def test_results(service: Service, inside: bool) -> None:
    """``results`` gives all outcomes as a list in the manifest's order, inside a block or without one."""
    async with open_session(service) as session:
        run = session.provision(MANIFEST, journal=None)
        if inside:
            async with run:
                outcomes = await run.results()
        else:
            outcomes = await run.results()
    assert [outcome.number for outcome in outcomes] == list(range(1, len(MANIFEST) + 1))
    assert {outcome.status for outcome in outcomes} == {Status.CREATED}


async def test_a_session_opened_by_hand(service: Service) -> None:
    """``open`` gives the session, for where there is no block; before it and after ``aclose`` the error says which."""
    session = EncordSession(BearerToken(TOKEN), Settings(), transport=lambda _: service)
    for says in ("not open; use it as 'async with session'", "closed; make and open another"):
        with pytest.raises(UsageError, match=says):
            await session.create_project("Cats")
        with pytest.raises(UsageError, match=says):
            async with session.provision(MANIFEST, journal=None):
                pass
        if "not open" in says:
            assert await session.open() is session
            assert await session.create_project("Cats")
            await session.aclose()
    assert len(service.projects) == 1
