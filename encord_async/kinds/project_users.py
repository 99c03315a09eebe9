"""The kind ``project_users``: users to add to a project, and to remove from it. Sends nothing."""

from collections.abc import Iterator, Mapping
from typing import Literal

from encord_async.kinds.entry import InProjectEntry
from encord_async.kinds.faults import Fault, half, in_both, twice
from encord_async.kinds.fields import Email, Role
from encord_async.kinds.steps import Step, StepKind, step_each

__all__ = ["ProjectUsersEntry"]


class ProjectUsersEntry(InProjectEntry):
    """Users to add to a project in one role, and users to remove from it."""

    is_harmless_twice = True

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

    def contents(self) -> Mapping[str, int]:
        return {"memberships": len(self.emails), "removals": len(self.remove)}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield from step_each(identity, StepKind.USER, self.project, self.emails, self.role)
        yield from step_each(identity, StepKind.REMOVE_USER, self.project, self.remove)
