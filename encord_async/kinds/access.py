"""Who has access to a dataset, an ontology or a folder, as their entries say it, and what relations to groups share.

Sends nothing but reads.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from encord_async.errors import ConflictError
from encord_async.kinds.exporting import Pen
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Email, OneOf, Reference, Roled
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.kinds.step import Step, one
from encord_async.kinds.thing import Listed
from encord_async.protocol.models import DatasetUser, ProjectUser
from encord_async.protocol.operations.base import PageOperation

__all__ = [
    "AccessRole",
    "GroupAccess",
    "GroupRelation",
    "UserAccess",
    "UserRelation",
    "access_twice",
    "admit",
    "not_admin",
    "written_groups",
    "written_users",
]


RoledT = TypeVar("RoledT", bound=Roled)


class AccessRole(IntEnum):
    """Role in a dataset, an ontology or a folder, which have the same two. Source: SDK 0.1.211."""

    ADMIN = 0
    USER = 1


_ROLES: Final[Mapping[str, AccessRole]] = {role.name.lower(): role for role in AccessRole}
AccessRoleWord: TypeAlias = Annotated[AccessRole, OneOf("role", _ROLES, [*map(int, AccessRole)])]


class UserAccess(Roled):
    """A user and the role wanted in a dataset."""

    noun = "a user"
    spelt = MappingProxyType({"role": _ROLES})
    form = "ann@x.org=user;bob@x.org=admin"

    email: Email
    role: AccessRoleWord


class GroupAccess(Roled):
    """A group of the organisation and the role wanted in a dataset, an ontology or a folder."""

    noun = "a group"
    spelt = MappingProxyType({"role": _ROLES})
    form = "@team=user;@leads=admin"

    group: Reference
    role: AccessRoleWord


def access_twice(users: Sequence[UserAccess], groups: Sequence[GroupAccess]) -> list[Fault]:
    """Who is named twice."""
    found = twice("users.{}.email", [user.email.casefold() for user in users])
    return found + twice("groups.{}.group", [wish.group for wish in groups])


def admit(identity: bytes, relation: Relation, wishes: Iterable[Roled]) -> Iterator[Step]:
    """The steps that give users or groups access to what an entry makes."""
    for wish in dict.fromkeys(wishes):
        yield one(identity, relation.give, None, *wish.said)


class GroupRelation(Relation):
    """Groups that have access to a thing."""

    plural = "groups"
    item = "group"
    # Their hashes travel in the request's address, and servers refuse long ones.
    most_taken = 100
    limits_unsaid = False

    @abstractmethod
    def listing(self, parent_hash: str) -> PageOperation[Any]:
        """What lists those that have."""

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        groups = await listing(reads, self.listing(parent_hash))
        return groups if isinstance(groups, Unlisted) else {group.group_hash: group.user_role for group in groups}

    def is_written(self, pen: Pen) -> bool:
        return pen.has("group")


class UserRelation(Relation):
    """Users of a thing, who keep the role that they have: what adds them shows it."""

    plural = "users"
    is_of_addresses = True
    role_follows = False
    shows_roles = True

    def roles_shown(self, answer: Sequence[ProjectUser | DatasetUser]) -> Mapping[str, int]:
        return {user.user_email.casefold(): user.user_role for user in answer}

    def is_written(self, pen: Pen) -> bool:
        return pen.scope.users


def not_admin(noun: str, could_be: str) -> ConflictError:
    """Why nobody is taken out of a thing of which the account is not Admin: it could take out itself."""
    return ConflictError(
        f"the account is not Admin of the {noun}, and could itself be {could_be}; remove them in Encord's app"
    )


def written_users(pen: Pen, relation: Relation, found: Listed, held: Held, model: type[RoledT]) -> Iterator[RoledT]:
    """What an export writes of users."""
    alone = {relation.folded(address): (address, role) for address, role in sorted(held.items(), reverse=True)}
    for address, role in sorted(alone.values()):
        yield from pen.part(model, relation.noun, address, found.hash, email=address, role=role)


def written_groups(pen: Pen, relation: Relation, found: Listed, held: Held) -> Iterator[GroupAccess]:
    """What an export writes of groups; those that it does not write down itself stand there by their hashes."""
    for group_hash, role in sorted(held.items()):
        reference = pen.reference("group", group_hash) or group_hash
        yield from pen.part(GroupAccess, relation.noun, reference, found.hash, group=reference, role=role)
