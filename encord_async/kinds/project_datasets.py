"""The kind ``project_datasets``: datasets to attach to a project and to detach from it. Sends nothing."""

from collections.abc import Iterator, Mapping
from typing import Literal

from encord_async.kinds.entry import InProjectEntry, Use, uses
from encord_async.kinds.faults import Fault, in_both, twice
from encord_async.kinds.fields import Reference
from encord_async.kinds.steps import Step, StepKind, step_each

__all__ = ["ProjectDatasetsEntry"]


class ProjectDatasetsEntry(InProjectEntry):
    """Datasets to attach to and detach from a project."""

    is_harmless_twice = True

    kind: Literal["project_datasets"] = "project_datasets"
    add: tuple[Reference, ...] = ()
    remove: tuple[Reference, ...] = ()

    def references(self) -> Iterator[Use]:
        yield from super().references()
        yield from uses("add", self.add, "dataset")
        yield from uses("remove", self.remove, "dataset")

    def faults(self) -> list[Fault]:
        found = twice("add.{}", self.add) + twice("remove.{}", self.remove)
        return found + in_both("add", self.add, self.remove)

    def contents(self) -> Mapping[str, int]:
        return {"attachments": len(self.add), "detachments": len(self.remove)}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield from step_each(identity, StepKind.ATTACH, self.project, self.add)
        yield from step_each(identity, StepKind.DETACH, self.project, self.remove)
