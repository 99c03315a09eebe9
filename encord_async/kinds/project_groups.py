"""The kind ``project_groups``: groups to give access to a project, and to take it from. Sends nothing."""

from collections.abc import Iterator, Mapping
from typing import Literal

from encord_async.kinds.entry import InProjectEntry, Use, uses
from encord_async.kinds.faults import Fault, half, in_both, twice
from encord_async.kinds.fields import Reference, Role
from encord_async.kinds.steps import Step, StepKind, step_each

__all__ = ["ProjectGroupsEntry"]


class ProjectGroupsEntry(InProjectEntry):
    """Groups of the organisation to give access to a project in one role, and groups to take it from."""

    is_harmless_twice = True

    kind: Literal["project_groups"] = "project_groups"
    add: tuple[Reference, ...] = ()
    role: Role | None = None
    remove: tuple[Reference, ...] = ()

    def references(self) -> Iterator[Use]:
        yield from super().references()
        yield from uses("add", self.add, "group")
        yield from uses("remove", self.remove, "group")

    def faults(self) -> list[Fault]:
        found = twice("add.{}", self.add) + twice("remove.{}", self.remove)
        found += in_both("add", self.add, self.remove)
        return found + half("add", self.add, self.role, self.remove)

    def contents(self) -> Mapping[str, int]:
        return {"group_changes": len(self.add) + len(self.remove)}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield from step_each(identity, StepKind.ADD_GROUP, self.project, self.add, self.role)
        yield from step_each(identity, StepKind.REMOVE_GROUP, self.project, self.remove)
