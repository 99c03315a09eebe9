"""The kind ``project_datasets``: datasets to attach to a project and to detach from it. Sends nothing."""

from collections.abc import Collection, Iterator
from types import MappingProxyType
from typing import Final, Literal

from encord_async.kinds.entry import Count, Entry, InProjectEntry, Use, uses
from encord_async.kinds.exporting import Pen
from encord_async.kinds.faults import Fault, in_both, twice
from encord_async.kinds.fields import Reference
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads, Unlisted
from encord_async.kinds.step import Step, each
from encord_async.kinds.thing import Listed
from encord_async.protocol.operations.projects import AddDatasets, GetProject, RemoveDatasets

__all__ = ["DATASETS", "ProjectDatasetsEntry"]


class ProjectDatasetsEntry(InProjectEntry):
    """Datasets to attach to and detach from a project."""

    is_harmless_twice = True

    counted = (
        Count("attachments", "attachments of datasets", ("add",)),
        Count("detachments", "detachments of datasets", ("remove",)),
    )

    forms = MappingProxyType({"add": "@raw;@more", "remove": "@raw;@more"})
    example = MappingProxyType({"project": "@cats", "add": ["@cats-raw"]})

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

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield from each(identity, DATASETS.give, self.project, self.add)
        yield from each(identity, DATASETS.take, self.project, self.remove)


class _Datasets(Relation):
    sort = "dataset"
    what = "dataset"
    noun = "dataset"
    plural = "datasets"
    adds = ("attach", "dataset to attach", "datasets to attach")
    removes = ("detach", "dataset to detach", "datasets to detach")
    parent = "project"
    item = "dataset"
    is_content = True
    gives = "attach"
    takes = "detach"
    in_create = True
    thing = "attachment"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddDatasets:  # noqa: ARG002
        return AddDatasets(project_hash=parent_hash, dataset_hashes=items)

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveDatasets:
        return RemoveDatasets(project_hash=parent_hash, dataset_hashes=items)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        project = await reads.execute(GetProject(project_hash=parent_hash))
        return {dataset.dataset_hash: None for dataset in project.datasets}

    def entries(self, pen: Pen, parent: Listed, reference: str, held: Held) -> Iterator[Entry]:
        """Those of others by themselves, because an account that may not attach them can still have the rest."""
        _, others = pen.split(self.item, held)
        if others:
            what = f"{self.plural} of a {self.parent}"
            yield from pen.part(ProjectDatasetsEntry, what, parent.title, parent.hash, project=reference, add=others)

    async def spared(self, reads: Reads, held: Held) -> Collection[str]:  # noqa: ARG002 - none has a role
        return ()


DATASETS: Final = _Datasets()
