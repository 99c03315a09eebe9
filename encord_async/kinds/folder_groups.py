"""Groups that have access to a storage folder, of which the entries of folders speak. Sends nothing but reads."""

from collections.abc import Mapping
from typing import Final

from encord_async.kinds.access import AccessRole, GroupRelation, not_admin
from encord_async.kinds.membership import Held
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.protocol.catalogue import FolderUserRole
from encord_async.protocol.operations.storage import AddFolderGroups, GetFolder, ListFolderGroups, RemoveFolderGroups

__all__ = ["FOLDER_GROUPS"]

_ROLES: Final[Mapping[FolderUserRole, AccessRole]] = {role: AccessRole[role.name] for role in FolderUserRole}
"""Words here, where other things have numbers. Source: SDK 0.1.211 ``orm/storage.py``."""
_WORDS: Final[Mapping[int, FolderUserRole]] = {int(number): role for role, number in _ROLES.items()}


class _Groups(GroupRelation):
    sort = what = thing = gives = "folder_group"
    takes = "rm_folder_group"
    noun = "group of a folder"
    adds = ("folder_groups", "group to give access to a folder", "groups to give access to folders")
    removes = (
        "remove_folder_groups",
        "group to take access to a folder from",
        "groups to take access to folders from",
    )
    parent = "folder"
    roles = AccessRole
    has_entries = False

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
            raise not_admin("folder", "in one of the groups")


FOLDER_GROUPS: Final = _Groups()
