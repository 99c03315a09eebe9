"""Groups that have access to a dataset, a folder or an ontology, of which the entries of these speak.

Sends nothing but reads.
"""

from collections.abc import Mapping
from typing import Final

from encord_async.kinds.access import AccessRole, GroupRelation, not_admin
from encord_async.kinds.dataset_users import ask_for_admin_of_dataset
from encord_async.kinds.membership import Held
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.protocol.catalogue import DatasetUserRole, FolderUserRole, OntologyUserRole
from encord_async.protocol.operations.datasets import AddDatasetGroups, ListDatasetGroups, RemoveDatasetGroups
from encord_async.protocol.operations.ontologies import (
    AddOntologyGroups,
    GetOntologyV2,
    ListOntologyGroups,
    RemoveOntologyGroups,
)
from encord_async.protocol.operations.storage import AddFolderGroups, GetFolder, ListFolderGroups, RemoveFolderGroups

__all__ = ["DATASET_GROUPS", "FOLDER_GROUPS", "ONTOLOGY_GROUPS"]


class _Groups(GroupRelation):
    """Groups that have access to what entries of one kind make, in one of two roles."""

    roles = AccessRole
    has_entries = False
    _whose = "in one of the groups"

    def __init_subclass__(cls, *, of: str, several: str) -> None:
        """Name all that is named after the things, which people call *of* with its article, and *several* of them."""
        kind = of.rpartition(" ")[2]
        cls.sort = cls.what = cls.thing = cls.gives = f"{kind}_group"
        cls.parent, cls.noun = kind, f"group of {of}"
        cls.adds = (f"{kind}_groups", f"group to give access to {of}", f"groups to give access to {several}")
        taken = (f"group to take access to {of} from", f"groups to take access to {several} from")
        cls.removes = (f"remove_{kind}_groups", *taken)


class _OfDataset(_Groups, of="a dataset", several="datasets"):
    takes = "rm_dataset_group"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddDatasetGroups:
        return AddDatasetGroups(dataset_hash=parent_hash, group_hashes=items, role=DatasetUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveDatasetGroups:
        return RemoveDatasetGroups(dataset_hash=parent_hash, group_hashes=items)

    def listing(self, parent_hash: str) -> ListDatasetGroups:
        return ListDatasetGroups(dataset_hash=parent_hash)

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin_of_dataset(reads, parent_hash, self._whose)


class _OfOntology(_Groups, of="an ontology", several="ontologies"):
    takes = "rm_onto_group"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddOntologyGroups:
        return AddOntologyGroups(ontology_hash=parent_hash, group_hashes=items, role=OntologyUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveOntologyGroups:
        return RemoveOntologyGroups(ontology_hash=parent_hash, group_hashes=items)

    def listing(self, parent_hash: str) -> ListOntologyGroups:
        return ListOntologyGroups(ontology_hash=parent_hash)

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        if (await reads.execute(GetOntologyV2(ontology_hash=parent_hash))).user_role != OntologyUserRole.ADMIN:
            raise not_admin(self.parent, self._whose)


_ROLES: Final[Mapping[FolderUserRole, AccessRole]] = {role: AccessRole[role.name] for role in FolderUserRole}
"""Words here, where other things have numbers. Source: SDK 0.1.211 ``orm/storage.py``."""
_WORDS: Final[Mapping[int, FolderUserRole]] = {int(number): role for role, number in _ROLES.items()}


class _OfFolder(_Groups, of="a folder", several="folders"):
    takes = "rm_folder_group"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddFolderGroups:
        return AddFolderGroups(folder_uuid=parent_hash, group_hashes=items, role=_WORDS[role or 0])

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveFolderGroups:
        return RemoveFolderGroups(folder_uuid=parent_hash, group_hashes=items)

    def listing(self, parent_hash: str) -> ListFolderGroups:
        return ListFolderGroups(folder_uuid=parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        groups = await listing(reads, self.listing(parent_hash))
        if isinstance(groups, Unlisted):
            return groups
        # A role that is not known stays a word.
        roles = ((group.group_hash, group.user_role) for group in groups)
        return {found: _ROLES[role] if isinstance(role, FolderUserRole) else None for found, role in roles}

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        if (await reads.execute(GetFolder(folder_uuid=parent_hash))).user_role != FolderUserRole.ADMIN:
            raise not_admin(self.parent, self._whose)


DATASET_GROUPS: Final = _OfDataset()
ONTOLOGY_GROUPS: Final = _OfOntology()
FOLDER_GROUPS: Final = _OfFolder()
