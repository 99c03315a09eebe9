"""Reads who the users of a project are, and takes users out of it; adding them is the business of a run.

Both are calls of REST v2, which servers older than SDK 0.1.168 lack, and which may be forbidden: then nobody knows the
users, and that is no failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from encord_async.errors import AuthenticationError, ConflictError, RefusedError
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.protocol.rest_operations import GetProjectV2, ListProjectUsers, RemoveProjectUsers
from encord_async.session.session import Session

__all__ = ["Members", "Unlisted", "members_of", "remove_members"]

Members: TypeAlias = Mapping[str, int]
"""The role of each user of a project, by e-mail address."""

_MAX_REMOVED: Final = 1000
"""Most users in one request; see `Options.max_batch`."""


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The service does not list the users of a project, for this *reason*."""

    reason: str


async def members_of(session: Session, project_hash: str) -> Members | Unlisted:
    """Read the users of a project.

    Raises:
        EncordError: The service cannot be read; that it offers no such listing, or refuses it, is a result.
    """
    try:
        listed = await session.collect(ListProjectUsers(project_hash=project_hash))
    except AuthenticationError:
        raise
    except RefusedError as error:
        return Unlisted(str(error))
    return {member.user_email: member.user_role for member in listed}


async def remove_members(session: Session, project_hash: str, emails: Sequence[str]) -> None:
    """Take users who are no Admins out of a project.

    Whose account the session's is, the service does not say; but if the account is Admin, none of them can be it.

    Raises:
        ConflictError: The account is not Admin of the project, so that one of *emails* could be its own; nothing was
            removed.
        EncordError: The service refuses, or cannot be reached; some may have been removed.
    """
    project = await session.execute(GetProjectV2(project_hash=project_hash))
    if project.user_role != ProjectUserRole.ADMIN:
        raise ConflictError(
            "the account is not Admin of the project, and could itself be one of the users; remove them in Encord's app"
        )
    for start in range(0, len(emails), _MAX_REMOVED):
        await session.execute(
            RemoveProjectUsers(project_hash=project_hash, emails=tuple(emails[start : start + _MAX_REMOVED]))
        )
