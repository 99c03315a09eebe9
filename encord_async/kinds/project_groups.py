"""The kind ``project_groups``: groups to give access to a project, and to take it from. Sends nothing."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, Literal

from encord_async.kinds.access import GroupRelation
from encord_async.kinds.entry import Count, Entry, InProjectEntry, Use, uses
from encord_async.kinds.exporting import Pen
from encord_async.kinds.faults import Fault, half, in_both, twice
from encord_async.kinds.fields import ROLES, Reference, Role
from encord_async.kinds.membership import Held
from encord_async.kinds.project_users import ask_for_admin
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import Step, each
from encord_async.kinds.thing import Listed
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.operations.projects import (
    AddProjectGroups,
    ListProjectGroups,
    RemoveProjectGroups,
)

__all__ = ["GROUPS", "ProjectGroupsEntry"]


class ProjectGroupsEntry(InProjectEntry):
    """Groups of the organisation to give access to a project in one role, and groups to take it from."""

    is_harmless_twice = True

    counted = (Count("group_changes", "changes of groups' access", ("add", "remove")),)

    spelt = MappingProxyType({"role": ROLES})

    forms = MappingProxyType({"add": "@team;@leads", "remove": "@team;@leads"})
    example = MappingProxyType({"project": "@cats", "add": ["@annotators"], "role": "annotator"})

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

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield from each(identity, GROUPS.give, self.project, self.add, self.role)
        yield from each(identity, GROUPS.take, self.project, self.remove)


class _Groups(GroupRelation):
    sort = "group"
    what = "group"
    noun = "group"
    adds = ("groups", "group to give access", "groups to give access")
    removes = ("remove_groups", "group to take access from", "groups to take access from")
    parent = "project"
    gives = "add_group"
    takes = "remove_group"
    roles = ProjectUserRole
    thing = "project_group"
    is_said_by_items = True

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddProjectGroups:
        return AddProjectGroups(project_hash=parent_hash, group_hashes=items, role=ProjectUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveProjectGroups:
        return RemoveProjectGroups(project_hash=parent_hash, group_hashes=items)

    def listing(self, parent_hash: str) -> ListProjectGroups:
        return ListProjectGroups(project_hash=parent_hash)

    def entries(self, pen: Pen, parent: Listed, reference: str, held: Held) -> Iterator[Entry]:
        """Those of others by themselves, because an account that may not admit them can still have the rest."""
        in_roles: dict[tuple[bool, int], list[str]] = {}
        for group_hash, role in sorted(held.items()):
            ours = pen.reference(self.item, group_hash)
            in_roles.setdefault((ours is None, role or 0), []).append(ours or group_hash)
        what = f"{self.plural} of a {self.parent}"
        for (_, role), groups in sorted(in_roles.items()):
            fields = {"project": reference, "add": tuple(sorted(groups)), "role": role}
            yield from pen.part(ProjectGroupsEntry, what, parent.title, parent.hash, **fields)

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin(reads, parent_hash, "in one of the groups")


GROUPS: Final = _Groups()
