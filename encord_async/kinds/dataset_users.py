"""Users of a dataset, of whom the entries of datasets speak. Sends nothing but reads."""

from typing import Final

from encord_async.errors import spelt
from encord_async.kinds.access import AccessRole, UserRelation, not_admin
from encord_async.kinds.membership import Held
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.protocol.catalogue import DatasetUserRole
from encord_async.protocol.operations.base import ListingFilter
from encord_async.protocol.operations.datasets import (
    AddDatasetUsers,
    GetDataset,
    ListDatasetsV2,
    ListDatasetUsers,
    RemoveDatasetUsers,
)

__all__ = ["DATASET_USERS", "ask_for_admin_of_dataset"]


class _Users(UserRelation):
    sort = what = thing = gives = "dataset_user"
    takes = "rm_dataset_user"
    noun = "user of a dataset"
    adds = ("dataset_users", "user to add to a dataset", "users to add to datasets")
    removes = ("remove_dataset_users", "user to remove from a dataset", "users to remove from datasets")
    parent = "dataset"
    roles = AccessRole
    role_stays = (
        "this API cannot change the role of a user of a dataset; change it in Encord's app, "
        f"or use {spelt('replace_roles', True)} to remove and add them"
    )
    has_entries = False
    limits_unsaid = False

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddDatasetUsers:
        return AddDatasetUsers(dataset_hash=parent_hash, emails=items, role=DatasetUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveDatasetUsers:
        return RemoveDatasetUsers(dataset_hash=parent_hash, emails=items)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        users = await listing(reads, ListDatasetUsers(dataset_hash=parent_hash))
        if isinstance(users, Unlisted):
            return users
        # A role that is not known may come as a word.
        return {user.user_email: user.user_role if isinstance(user.user_role, int) else None for user in users}

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin_of_dataset(reads, parent_hash, "one of the users")


DATASET_USERS: Final = _Users()


async def ask_for_admin_of_dataset(reads: Reads, dataset_hash: str, could_be: str) -> None:
    """See to it that the account is Admin of a dataset: then who is none there cannot be the account itself.

    Raises:
        ConflictError: It is not.
        EncordError: The dataset cannot be read.
    """
    title = (await reads.execute(GetDataset(dataset_hash=dataset_hash))).title
    listed = await reads.collect(ListDatasetsV2(filter=ListingFilter(title_eq=title)))
    roles = [one.user_role for one in listed if one.dataset_uuid == dataset_hash]
    if DatasetUserRole.ADMIN not in roles:
        raise not_admin("dataset", could_be)
