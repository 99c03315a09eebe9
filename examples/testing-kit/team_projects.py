"""What this example project does: one project in Encord for each team, with its people in it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from encord_async import EncordSession


class NotAllDone(Exception):
    """Some teams have no project, or not all of their people in it."""


def entries(teams: Mapping[str, Sequence[str]]) -> Iterator[dict[str, object]]:
    """The manifest: a project for each team, with its people as annotators."""
    for team, emails in teams.items():
        users = [{"email": email, "role": "annotator"} for email in emails]
        yield {"kind": "project", "key": team, "title": f"Team {team}", "users": users}


async def set_up(session: EncordSession, teams: Mapping[str, Sequence[str]], journal: Path) -> dict[str, str]:
    """Make what is missing and return each team's project hash.

    Raises:
        NotAllDone: Says which teams, and why.
    """
    hashes, failures = {}, []
    async with session.provision(entries(teams), journal=journal) as run:
        async for outcome in run:
            if outcome.status.satisfied:
                hashes[str(outcome.key)] = str(outcome.hash)
            else:
                failures.append(f"{outcome.key}: {outcome.status} {outcome.error or ''}")
    if failures:
        raise NotAllDone("; ".join(failures))
    return hashes
