"""Puts right what a comparison has found: adds what projects lack and, if asked to, removes what they have too much.

It makes no project, dataset, ontology or group: those that are not there yet are made by a run of the manifest. An API
key is only made again if the journal says that it was made once; the new one is written down in the same journal before
it is sent, so that no crash makes two. Memberships are written down there as well, so that no run takes for done what
was undone here. Attaching, detaching, adding and removing users and groups are harmless to
repeat and leave nothing there. A group that is added gets the role wanted; roles of users stay as they are, because the
service offers no way to change them. Nobody is taken out of a group or out of the organisation.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from encord_async.engine.crew import each
from encord_async.engine.members import remove_groups, remove_members
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.run import Options, Run
from encord_async.errors import AuthenticationError, EncordError, JournalError
from encord_async.journal.record import Ledger, MemoryLedger, Record, State, name_digest
from encord_async.kinds.entry import Entry
from encord_async.kinds.namer import Namer
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.kinds.steps import StepKind, membership
from encord_async.manifest.part import Part, PartEntry
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.protocol.operations.organisation import AddGroupMembers
from encord_async.session.session import Session
from encord_async.verify.organisation import Lacking, LackingMembers, OrganisationUserWish
from encord_async.verify.projects import (
    APIKeyName,
    ProjectFacts,
    ProjectWishes,
    extra_datasets,
    extra_groups,
    extra_users,
    groups_to_remove,
    missing_api_keys,
    missing_groups,
    missing_users,
    users_to_remove,
)

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal

__all__ = ["Deed", "Kept", "Repaired", "Repairs", "repair"]

_MAX_KEPT: Final = 1000
_MAX_MEMBERS: Final = 1000
"""Most users in one request; see `Options.max_batch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repair:
    """What one project needs. *expel* and *withdraw* are users and groups that an entry removes, by its own word."""

    project_hash: str
    attach: tuple[str, ...]
    detach: tuple[str, ...]
    users: tuple[tuple[str, ProjectUserRole], ...]
    expel: tuple[str, ...]
    remove: tuple[str, ...]
    groups: tuple[tuple[str, ProjectUserRole], ...]
    withdraw: tuple[str, ...]
    remove_groups: tuple[str, ...]
    api_keys: Counter[APIKeyName]

    def __bool__(self) -> bool:
        users, groups = self.users or self.expel or self.remove, self.groups or self.withdraw or self.remove_groups
        return bool(self.attach or self.detach or users or groups or self.api_keys)


@dataclass(slots=True)
class Repairs:
    """What would put the account right, kept as the differences come in.

    *prune* detaches datasets and removes users and groups that a project should not have. Where the service does not
    list those of a project, or the members of a group, all that are wished for are added, which changes nothing for
    those who are in it, and none is removed.
    """

    prune: bool = False
    _projects: list[_Repair] = field(default_factory=list)
    _colleagues: list[OrganisationUserWish] = field(default_factory=list)
    _members: list[LackingMembers] = field(default_factory=list)

    def note(self, wishes: ProjectWishes, facts: ProjectFacts) -> None:
        """Take in a project and what was found of it."""
        # One that should be there but has no hash yet could be among those that seem too much.
        detach = extra_datasets(wishes, facts) if self.prune and not wishes.unmade else ()
        spare_groups = extra_groups(wishes, facts) if self.prune and not wishes.unmade_groups else ()
        one = _Repair(
            project_hash=wishes.hash,
            attach=tuple(sorted(wishes.datasets - wishes.unwanted - facts.datasets)),
            detach=tuple(sorted(detach)),
            users=tuple(missing_users(wishes, facts)),
            expel=tuple(users_to_remove(wishes, facts)) if self.prune else (),
            remove=tuple(extra_users(wishes, facts)) if self.prune else (),
            groups=tuple(missing_groups(wishes, facts)),
            withdraw=tuple(groups_to_remove(wishes, facts)) if self.prune else (),
            remove_groups=tuple(spare_groups),
            api_keys=missing_api_keys(wishes, facts) - wishes.unmade_keys,
        )
        if one:
            self._projects.append(one)

    def note_lacking(self, lacking: Lacking) -> None:
        """Take in whoever the organisation or a group lacks."""
        if isinstance(lacking, LackingMembers):
            self._members.append(lacking)
        else:
            self._colleagues.append(lacking)

    def __bool__(self) -> bool:
        return bool(self._projects or self._colleagues or self._members)

    def counts(self) -> dict[str, int]:
        """How many datasets would be attached and detached, users and groups added and removed, API keys made."""
        return {
            "attach": sum(len(one.attach) for one in self._projects),
            "detach": sum(len(one.detach) for one in self._projects),
            "users": sum(len(one.users) for one in self._projects),
            "remove_users": sum(len(one.remove) + len(one.expel) for one in self._projects),
            "groups": sum(len(one.groups) for one in self._projects),
            "remove_groups": sum(len(one.remove_groups) + len(one.withdraw) for one in self._projects),
            "organisation_users": len(self._colleagues),
            "group_members": sum(len(one.emails) for one in self._members),
            "api_keys": sum(one.api_keys.total() for one in self._projects),
        }

    def memberships(self) -> Iterator[Entry]:
        """Entries for datasets, for users and groups, and for members of the organisation."""
        for wish in self._colleagues:
            yield OrganisationUserEntry(email=wish.email, role=wish.role, member_type=wish.member_type)
        for one in self._projects:
            if one.attach or one.detach:
                yield ProjectDatasetsEntry(project=one.project_hash, add=one.attach, remove=one.detach)
            yield from _access(one)

    def calls(self) -> Iterator["_Call"]:
        """What no entry can say."""
        for one in self._projects:
            if one.remove:
                yield _Call(Deed.REMOVE_USERS, one.project_hash, one.remove)
            if one.remove_groups:
                yield _Call(Deed.REMOVE_GROUPS, one.project_hash, one.remove_groups)
        for group in self._members:
            yield _Call(Deed.ADD_MEMBERS, group.group_hash, group.emails)

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


def _access(one: _Repair) -> Iterator[Entry]:
    for role in ProjectUserRole:
        emails = tuple(email for email, wanted in one.users if wanted is role)
        if emails:
            yield ProjectUsersEntry(project=one.project_hash, emails=emails, role=role)
        groups = tuple(group for group, wanted in one.groups if wanted is role)
        if groups:
            yield ProjectGroupsEntry(project=one.project_hash, add=groups, role=role)
    if one.expel:
        yield ProjectUsersEntry(project=one.project_hash, remove=one.expel)
    if one.withdraw:
        yield ProjectGroupsEntry(project=one.project_hash, remove=one.withdraw)


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
        (step,) = entry.steps(Namer().identity(entry))
        record = (await ledger.known([step.identity])).get(step.identity)
        if record is None or record.state is not State.DONE:
            found.append(entry)
    return found


class Deed(StrEnum):
    """What is done by a call of its own, because no entry can say it."""

    REMOVE_USERS = "remove_users"
    REMOVE_GROUPS = "remove_groups"
    ADD_MEMBERS = "add_members"


@dataclass(frozen=True, slots=True)
class _Call:
    """A deed to *items*, users or groups, of the project or group with *of*."""

    deed: Deed
    of: str
    items: tuple[str, ...]

    def words(self, state: State, status: Status, now_s: float) -> Iterator[Record]:
        """What is written down of it, for the runs to come."""
        kind = _STEPS[self.deed]
        for item in self.items:
            yield Record(
                identity=membership(kind, self.of, item),
                entry=_NO_ENTRY,
                kind=kind,
                title=item,
                project_hash=self.of,
                state=state,
                status=status.value,
                started_s=now_s,
                ended_s=now_s,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Users or groups of one project that should have been removed, or users who should be in a group, and why not.

    The service may have done it all the same, or for some of them.
    """

    deed: Deed
    of: str
    items: tuple[str, ...]
    error: EncordError

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        where = "group" if self.deed is Deed.ADD_MEMBERS else "project"
        what = "groups" if self.deed is Deed.REMOVE_GROUPS else "emails"
        return {where: self.of, what: list(self.items), "reason": str(self.error)}


@dataclass(slots=True)
class Repaired:
    """What became of repairs: *unsatisfied* are the first entries that did not come about, *kept* the rest."""

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
        journal: Where it is written down; not open. There is one if there are API keys to make.
        settle_s: How long an API key that was made may take to be seen, in seconds.

    Raises:
        EncordError: It cannot go on; what has been done stays done.
    """
    repaired = Repaired()
    entries = [*repairs.memberships(), *api_keys]
    # What the journal says is known to be otherwise.
    run = Run(session, _part(entries), Options(settle_s=settle_s), journal=journal, remembers=False)
    async with run:
        async for outcome in run:
            repaired.note(outcome)
        await _call(session, repairs.calls(), repaired, journal or MemoryLedger())
    return repaired


def _part(entries: Iterable[Entry]) -> Part:
    """*entries* as a part of a manifest: those that it lacks have not gone."""
    namer = Namer()
    return Part(
        entries=tuple(
            PartEntry(PlacedEntry(Place("<repair>", None, number), entry), number, namer.identity(entry))
            for number, entry in enumerate(entries, 1)
        )
    )


async def _call(session: Session, calls: Iterable[_Call], repaired: Repaired, ledger: Ledger) -> None:
    """Send *calls*, several at a time; that the service refuses one of them ends nothing."""

    async def send(call: _Call) -> None:
        now_s = session.clock.wall_s()
        # First, because it may be done and never written down.
        await ledger.write(call.words(State.FAILED, Status.CANCELLED, now_s))
        try:
            await _DEEDS[call.deed](session, call.of, call.items)
        except (AuthenticationError, JournalError):
            raise
        except EncordError as error:
            repaired.kept.append(Kept(deed=call.deed, of=call.of, items=call.items, error=error))
        else:
            await ledger.write(call.words(State.DONE, Status.UPDATED, now_s))

    await each(list(calls), send, at_once=session.settings.concurrency)


async def _add_members(session: Session, group_hash: str, emails: Sequence[str]) -> None:
    for start in range(0, len(emails), _MAX_MEMBERS):
        some = tuple(emails[start : start + _MAX_MEMBERS])
        await session.execute(AddGroupMembers(group_hash=group_hash, emails=some))


_DEEDS: Final[Mapping[Deed, Callable[[Session, str, Sequence[str]], Awaitable[None]]]] = {
    Deed.REMOVE_USERS: remove_members,
    Deed.REMOVE_GROUPS: remove_groups,
    Deed.ADD_MEMBERS: _add_members,
}

_STEPS: Final[Mapping[Deed, StepKind]] = {
    Deed.REMOVE_USERS: StepKind.REMOVE_USER,
    Deed.REMOVE_GROUPS: StepKind.REMOVE_GROUP,
    Deed.ADD_MEMBERS: StepKind.GROUP_MEMBER,
}
_NO_ENTRY: Final = bytes(16)
