"""Reads who and which groups have access to a project, and takes it from them; giving it is the business of a run.

All are calls of REST v2, which older servers lack, and which may be forbidden: then nobody knows, and that is no
failure. `listing` says so for any listing of REST v2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from encord_async.errors import AuthenticationError, ConflictError, RefusedError
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.operations.base import PageOperation
from encord_async.protocol.operations.projects import (
    GetProjectV2,
    ListProjectGroups,
    ListProjectUsers,
    RemoveProjectGroups,
    RemoveProjectUsers,
)
from encord_async.session.session import Session

__all__ = [
    "MAX_GROUPS_REMOVED",
    "Groups",
    "Members",
    "Unlisted",
    "groups_of",
    "listing",
    "members_of",
    "remove_groups",
    "remove_members",
]

T = TypeVar("T")

Members: TypeAlias = Mapping[str, int]
"""The role of each user of a project, by e-mail address."""

Groups: TypeAlias = Mapping[str, int]
"""The role that each group gives in a project, by its hash."""

_MAX_REMOVED: Final = 1000
"""Most users in one request; see `Options.max_batch`."""
MAX_GROUPS_REMOVED: Final = 100
"""Most groups in one request: their hashes travel in its address, and servers refuse long ones."""


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The service does not list something, for this *reason*."""

    reason: str


async def listing(session: Session, operation: PageOperation[T]) -> tuple[T, ...] | Unlisted:
    """Read all pages of a listing.

    Raises:
        EncordError: The service cannot be read; that it offers no such listing, or refuses it, is a result.
    """
    try:
        return await session.collect(operation)
    except AuthenticationError:
        raise
    except RefusedError as error:
        return Unlisted(str(error))


async def members_of(session: Session, project_hash: str) -> Members | Unlisted:
    """Read the users of a project. Raises as `listing`."""
    listed = await listing(session, ListProjectUsers(project_hash=project_hash))
    return listed if isinstance(listed, Unlisted) else {member.user_email: member.user_role for member in listed}


async def groups_of(session: Session, project_hash: str) -> Groups | Unlisted:
    """Read the groups of a project. Raises as `listing`."""
    listed = await listing(session, ListProjectGroups(project_hash=project_hash))
    return listed if isinstance(listed, Unlisted) else {group.group_hash: group.user_role for group in listed}


async def remove_members(session: Session, project_hash: str, emails: Sequence[str]) -> None:
    """Take users who are no Admins out of a project.

    Whose account the session's is, the service does not say; but if the account is Admin, none of them can be it.

    Raises:
        ConflictError: The account is not Admin of the project, so that one of *emails* could be its own; nothing was
            removed.
        EncordError: The service refuses, or cannot be reached; some may have been removed.
    """
    await _ask_for_admin(session, project_hash, "one of the users")
    for start in range(0, len(emails), _MAX_REMOVED):
        await session.execute(
            RemoveProjectUsers(project_hash=project_hash, emails=tuple(emails[start : start + _MAX_REMOVED]))
        )


async def remove_groups(session: Session, project_hash: str, group_hashes: Sequence[str]) -> None:
    """Take groups that do not make their members Admins off a project; an account that is Admin keeps its access.

    Raises:
        ConflictError: The account is not Admin of the project, so that one of the groups could be what lets it in;
            nothing was removed.
        EncordError: The service refuses, or cannot be reached; some may have been removed.
    """
    await _ask_for_admin(session, project_hash, "in one of the groups")
    for start in range(0, len(group_hashes), MAX_GROUPS_REMOVED):
        some = tuple(group_hashes[start : start + MAX_GROUPS_REMOVED])
        await session.execute(RemoveProjectGroups(project_hash=project_hash, group_hashes=some))


async def _ask_for_admin(session: Session, project_hash: str, could_be: str) -> None:
    project = await session.execute(GetProjectV2(project_hash=project_hash))
    if project.user_role != ProjectUserRole.ADMIN:
        raise ConflictError(
            f"the account is not Admin of the project, and could itself be {could_be}; remove them in Encord's app"
        )
