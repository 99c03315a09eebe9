"""The kind ``project_users``: users to add to a project, and to remove from it. Sends nothing."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, Literal

from encord_async.errors import spelt
from encord_async.kinds.access import UserRelation, not_admin
from encord_async.kinds.entry import Count, InProjectEntry, Say
from encord_async.kinds.faults import Fault, half, in_both, twice
from encord_async.kinds.fields import ROLES, Email, Role
from encord_async.kinds.membership import Held
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.kinds.step import Step, each
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.operations.projects import (
    AddProjectUsers,
    GetProjectV2,
    ListProjectUsers,
    RemoveProjectUsers,
)

__all__ = ["USERS", "ProjectUsersEntry", "ask_for_admin"]


class ProjectUsersEntry(InProjectEntry):
    """Users to add to a project in one role, and users to remove from it."""

    is_harmless_twice = True

    counted = (
        Count("memberships", "memberships of users", ("emails",)),
        Count("removals", "removals of users", ("remove",)),
    )

    spelt = MappingProxyType({"role": ROLES})

    forms = MappingProxyType({"emails": "ann@x.org;bob@x.org", "remove": "ann@x.org;bob@x.org"})
    example = MappingProxyType({"project": "@cats", "emails": ["rob@example.com"], "role": "reviewer"})
    is_common = True

    kind: Literal["project_users"] = "project_users"
    emails: tuple[Email, ...] = ()
    role: Role | None = None
    remove: tuple[Email, ...] = ()

    def faults(self) -> list[Fault]:
        found = []
        if len(self.emails) + len(self.remove) > 1:
            emails = [email.casefold() for email in self.emails]
            removed = [email.casefold() for email in self.remove]
            found = twice("emails.{}", emails) + twice("remove.{}", removed) + in_both("emails", emails, removed)
        return found + half("emails", self.emails, self.role, self.remove)

    def says(self) -> Iterator[Say]:
        for index, email in enumerate(self.emails):
            yield Say(f"emails.{index}", self.project, email, self.role, ProjectUserRole)
        for index, email in enumerate(self.remove):
            yield Say(f"remove.{index}", self.project, email, None, ProjectUserRole)

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield from each(identity, USERS.give, self.project, self.emails, self.role)
        yield from each(identity, USERS.take, self.project, self.remove)


class _Users(UserRelation):
    sort = what = thing = gives = noun = "user"
    adds = ("users", "user to add", "users to add")
    removes = ("remove_users", "user to remove", "users to remove")
    parent = "project"
    takes = "remove_user"
    roles = ProjectUserRole
    role_stays = (
        "this API cannot change the role of a member; change it in Encord's app, "
        f"or use {spelt('replace_roles', True)} to remove and add them"
    )
    told_as = "users"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddProjectUsers:
        return AddProjectUsers(project_hash=parent_hash, emails=items, role=ProjectUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveProjectUsers:
        return RemoveProjectUsers(project_hash=parent_hash, emails=items)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        users = await listing(reads, ListProjectUsers(project_hash=parent_hash))
        return users if isinstance(users, Unlisted) else {user.user_email: user.user_role for user in users}

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin(reads, parent_hash, "one of the users")


USERS: Final = _Users()


async def ask_for_admin(reads: Reads, project_hash: str, could_be: str) -> None:
    """See to it that the account is Admin of a project: then who is none there cannot be the account itself.

    Raises:
        ConflictError: It is not.
        EncordError: The project cannot be read.
    """
    project = await reads.execute(GetProjectV2(project_hash=project_hash))
    if project.user_role != ProjectUserRole.ADMIN:
        raise not_admin("project", could_be)
