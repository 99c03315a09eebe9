"""Groups that have access to a dataset, of which the entries of datasets speak. Sends nothing but reads."""

from typing import Final

from encord_async.kinds.access import AccessRole, GroupRelation
from encord_async.kinds.dataset_users import ask_for_admin_of_dataset
from encord_async.kinds.reading import Reads
from encord_async.protocol.catalogue import DatasetUserRole
from encord_async.protocol.operations.datasets import (
    AddDatasetGroups,
    ListDatasetGroups,
    RemoveDatasetGroups,
)

__all__ = ["DATASET_GROUPS"]


class _Groups(GroupRelation):
    sort = what = thing = gives = "dataset_group"
    takes = "rm_dataset_group"
    noun = "group of a dataset"
    adds = ("dataset_groups", "group to give access to a dataset", "groups to give access to datasets")
    removes = (
        "remove_dataset_groups",
        "group to take access to a dataset from",
        "groups to take access to datasets from",
    )
    parent = "dataset"
    roles = AccessRole
    has_entries = False

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddDatasetGroups:
        return AddDatasetGroups(dataset_hash=parent_hash, group_hashes=items, role=DatasetUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveDatasetGroups:
        return RemoveDatasetGroups(dataset_hash=parent_hash, group_hashes=items)

    def listing(self, parent_hash: str) -> ListDatasetGroups:
        return ListDatasetGroups(dataset_hash=parent_hash)

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin_of_dataset(reads, parent_hash, "in one of the groups")


DATASET_GROUPS: Final = _Groups()
