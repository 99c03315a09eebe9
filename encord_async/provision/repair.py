"""Puts right what a comparison has found: adds what projects lack and, if asked to, removes what they have too much.

It makes no project and no dataset: those that are not there yet are made by a run of the manifest. An API key is only
made again if the journal says that it was made once; the new one is written down in the same journal before it is sent,
so that no crash makes two. Attaching, detaching, adding and removing users are harmless to repeat and leave nothing
there. Roles stay as they are, because the service offers no way to change them.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from encord_async.errors import AuthenticationError, EncordError
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.provision.crew import each
from encord_async.provision.ledger import Ledger, State, name_digest
from encord_async.provision.manifest import Entry, ProjectAPIKeyEntry, ProjectDatasetsEntry, ProjectUsersEntry
from encord_async.provision.members import remove_members
from encord_async.provision.outcome import Outcome, Status
from encord_async.provision.run import Options, Run
from encord_async.provision.steps import Namer, StepKind, steps_of
from encord_async.provision.verify import (
    APIKeyName,
    ProjectFacts,
    ProjectWishes,
    extra_datasets,
    extra_users,
    missing_api_keys,
    missing_users,
)
from encord_async.session.session import Session

if TYPE_CHECKING:
    from encord_async.provision.journal import Journal

__all__ = ["Kept", "Repaired", "Repairs", "repair"]

_MAX_KEPT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repair:
    """What one project needs."""

    project_hash: str
    attach: tuple[str, ...]
    detach: tuple[str, ...]
    users: tuple[tuple[str, ProjectUserRole], ...]
    remove: tuple[str, ...]
    api_keys: Counter[APIKeyName]


@dataclass(slots=True)
class Repairs:
    """What would put the projects right, kept as their differences come in.

    *prune* detaches datasets and removes users that a project should not have. Where the service does not list users,
    all that are wished for are added, which changes nothing for members, and none is removed.
    """

    prune: bool = False
    _projects: list[_Repair] = field(default_factory=list)

    def note(self, wishes: ProjectWishes, facts: ProjectFacts) -> None:
        """Take in a project and what was found of it."""
        # One that should be there but has no hash yet could be among those that seem too much.
        detach = extra_datasets(wishes, facts) if self.prune and not wishes.unmade else ()
        one = _Repair(
            project_hash=wishes.hash,
            attach=tuple(sorted(wishes.datasets - wishes.unwanted - facts.datasets)),
            detach=tuple(sorted(detach)),
            users=tuple(missing_users(wishes, facts)),
            remove=tuple(extra_users(wishes, facts)) if self.prune else (),
            api_keys=missing_api_keys(wishes, facts) - wishes.unmade_keys,
        )
        if one.attach or one.detach or one.users or one.remove or one.api_keys:
            self._projects.append(one)

    def __bool__(self) -> bool:
        return bool(self._projects)

    def counts(self) -> dict[str, int]:
        """How many datasets would be attached and detached, users added and removed, API keys made."""
        return {
            "attach": sum(len(one.attach) for one in self._projects),
            "detach": sum(len(one.detach) for one in self._projects),
            "users": sum(len(one.users) for one in self._projects),
            "remove_users": sum(len(one.remove) for one in self._projects),
            "api_keys": sum(one.api_keys.total() for one in self._projects),
        }

    def memberships(self) -> Iterator[Entry]:
        """Entries for datasets, and for users to add."""
        for one in self._projects:
            if one.attach or one.detach:
                yield ProjectDatasetsEntry(project=one.project_hash, add=one.attach, remove=one.detach)
            for role in ProjectUserRole:
                emails = tuple(email for email, wanted in one.users if wanted is role)
                if emails:
                    yield ProjectUsersEntry(project=one.project_hash, emails=emails, role=role)

    def removals(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Users to remove, with the hash of the project."""
        for one in self._projects:
            if one.remove:
                yield one.project_hash, one.remove

    async def api_keys(self, ledger: Ledger) -> list[Entry]:
        """Entries for API keys.

        Each has a key that is its own until *ledger* says that it was made: so a repair that was cut off goes on where
        it was, before another is begun, and one that is needed once more is not taken for done.
        """
        entries: list[Entry] = []
        for one in self._projects:
            for (title, names), number in one.api_keys.items():
                scopes = tuple(scope for scope in APIKeyScope if scope in names)
                entries += await _unmade(ledger, one.project_hash, title, scopes, number)
        return entries


async def _unmade(
    ledger: Ledger, project_hash: str, title: str, scopes: tuple[APIKeyScope, ...], number: int
) -> list[ProjectAPIKeyEntry]:
    """The first *number* of the entries for such a key that were not made yet."""
    found: list[ProjectAPIKeyEntry] = []
    digest = name_digest(StepKind.API_KEY, project_hash, title, *scopes).hex()
    for time in itertools.count(1):
        if len(found) == number:
            break
        entry = ProjectAPIKeyEntry(key=f"fix-{digest}-{time}", project=project_hash, title=title, scopes=scopes)
        (step,) = steps_of(entry, Namer().identity(entry))
        record = (await ledger.known([step.identity])).get(step.identity)
        if record is None or record.state is not State.DONE:
            found.append(entry)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Users of one project who should have been removed, and why they may be there still."""

    project_hash: str
    emails: tuple[str, ...]
    error: EncordError

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"project": self.project_hash, "emails": list(self.emails), "reason": str(self.error)}


@dataclass(slots=True)
class Repaired:
    """What became of repairs: *unsatisfied* are the first entries that did not come about, *kept* users not removed."""

    counts: Counter[Status] = field(default_factory=Counter)
    unsatisfied: list[Outcome] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        """Take in what became of an entry."""
        self.counts[outcome.status] += 1
        if not outcome.status.satisfied and len(self.unsatisfied) < _MAX_KEPT:
            self.unsatisfied.append(outcome)


async def repair(
    session: Session,
    repairs: Repairs,
    *,
    api_keys: Sequence[Entry],
    journal: "Journal | None",
    settle_s: float = 60.0,
) -> Repaired:
    """Send *repairs*.

    Args:
        session: Sends.
        repairs: What is needed.
        api_keys: What `Repairs.api_keys` gave.
        journal: Where the making of API keys is written down; not open. There is one if there are API keys to make.
        settle_s: How long an API key that was made may take to be seen, in seconds.

    Raises:
        EncordError: It cannot go on; what has been done stays done.
    """
    repaired = Repaired()
    options = Options(settle_s=settle_s)
    await _finish(Run(session, repairs.memberships(), options, journal=None), repaired)
    await _remove(session, repairs, repaired)
    if api_keys:
        await _finish(Run(session, api_keys, options, journal=journal), repaired)
    return repaired


async def _finish(run: Run, repaired: Repaired) -> None:
    async with run:
        async for outcome in run:
            repaired.note(outcome)


async def _remove(session: Session, repairs: Repairs, repaired: Repaired) -> None:
    """Remove users, several projects at a time; that the service does not remove them ends nothing."""

    async def remove(removal: tuple[str, tuple[str, ...]]) -> None:
        project_hash, emails = removal
        try:
            await remove_members(session, project_hash, emails)
        except AuthenticationError:
            raise
        except EncordError as error:
            repaired.kept.append(Kept(project_hash=project_hash, emails=emails, error=error))

    await each(list(repairs.removals()), remove, at_once=session.settings.concurrency)
