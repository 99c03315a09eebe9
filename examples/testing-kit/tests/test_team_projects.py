"""Tests against a local Encord: each has an account of its own, and makes things go wrong as it likes."""

from pathlib import Path

import pytest

from encord_async import EncordSession
from encord_async.testing import EncordEmulator, Seed, SeedProject
from team_projects import NotAllDone, set_up

TEAMS = {"cats": ["ann@example.com", "bob@example.com"], "dogs": ["cem@example.com"]}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where runs write down how far they are."""
    return tmp_path / "journal"


async def test_each_team_has_its_project(
    encord_emulator: EncordEmulator, encord_session: EncordSession, journal: Path
) -> None:
    """Projects have the teams' names, and the people are in them beside the one who made them."""
    hashes = await set_up(encord_session, TEAMS, journal)
    projects = {project["project_hash"]: project for project in encord_emulator.state()["projects"]}
    assert set(hashes.values()) == set(projects)
    cats = projects[hashes["cats"]]
    assert cats["title"] == "Team cats"
    assert [user["email"] for user in cats["users"]] == [encord_emulator.user_email, *TEAMS["cats"]]


async def test_what_is_there_is_taken(
    encord_emulator: EncordEmulator, encord_session: EncordSession, journal: Path
) -> None:
    """A project that somebody made by hand is used, not made again."""
    by_hand = SeedProject(hash="11111111-2222-4333-8444-555555555555", title="Team cats", admins=())
    encord_emulator.seed(Seed(users=(), projects=(by_hand,)))
    hashes = await set_up(encord_session, TEAMS, journal)
    assert hashes["cats"] == by_hand.hash
    assert len(encord_emulator.state()["projects"]) == 2


@pytest.mark.encord_emulator(
    faults=[
        {"query": "project.POST", "fault": "drop_after_commit", "times": 1},
        {"query": "projectusers.POST", "fault": "rate_limited", "retry_after": 0, "times": 3},
    ]
)
async def test_a_bad_day(encord_emulator: EncordEmulator, encord_session: EncordSession, journal: Path) -> None:
    """A reply that is lost and a service that is busy change nothing about the result."""
    await set_up(encord_session, TEAMS, journal)
    assert sorted(project["title"] for project in encord_emulator.state()["projects"]) == ["Team cats", "Team dogs"]
    assert encord_emulator.stats()["throttled"] == 3


async def test_a_refusal_is_told_of(
    encord_emulator: EncordEmulator, encord_session: EncordSession, journal: Path
) -> None:
    """The error names the team whose project was refused."""
    encord_emulator.set_faults([{"query": "project.POST", "fault": "error", "code": "AUTHORISATION_ERROR", "times": 1}])
    with pytest.raises(NotAllDone, match=r"(cats|dogs): failed"):
        await set_up(encord_session, TEAMS, journal)
