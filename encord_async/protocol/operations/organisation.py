"""Operations on the organisation: its members, groups and tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from encord_async.errors import ExistsError, UsageError
from encord_async.protocol import rest_models
from encord_async.protocol.catalogue import (
    MemberType,
    OrganisationRole,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import Adapter, SomeTexts, Text, member
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import Command, Creation, PageOperation, RemoveUsers, RestOperation
from encord_async.protocol.rest import members
from encord_async.protocol.rest_models import Page

__all__ = [
    "AddGroupMembers",
    "AddOrganisationUser",
    "CreateGroup",
    "CreateTag",
    "GetGroup",
    "ListGroupMembers",
    "ListGroups",
    "ListOrganisationUsers",
    "ListTags",
    "RemoveGroupMembers",
    "RemoveOrganisationUser",
]

_GROUP_MEMBERS: Final = Adapter[Page[rest_models.GroupMember]](Page[rest_models.GroupMember])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOrganisationUsers(PageOperation[rest_models.OrganisationUser]):
    """List the members of the organisation, as far as the caller may see them. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/users")
    item_name: ClassVar[str] = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOrganisationUser(RestOperation[bool]):
    """Make somebody a member of the organisation; the result says whether that is new. Source: SDK 0.1.211.

    Somebody without an account gets one, and a mail. The role of somebody who is a member already stays as it is. After
    a lost answer and another try the result is false for somebody whom the first try had added.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/users")

    email: Text
    role: Annotated[OrganisationRole, member(OrganisationRole, "role in the organisation")] = OrganisationRole.MEMBER
    member_type: Annotated[MemberType, member(MemberType, "type of member")] = MemberType.INTERNAL

    def __post_init__(self) -> None:
        RestOperation.__post_init__(self)
        if self.role is OrganisationRole.ADMIN and self.member_type is not MemberType.INTERNAL:
            raise UsageError("only an internal member can be Admin of the organisation; use another role or type")

    def body(self) -> Mapping[str, JSON]:
        return members(email=self.email, role_mnemonic_name=self.role.value, member_type=self.member_type.value)

    def parse(self, content: object) -> bool:
        return True

    def if_exists(self, error: ExistsError) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOrganisationUser(Command):
    """End somebody's membership of the organisation; `NotFoundError` without an account. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/organisation/users/{email}")

    email: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGroup(Creation[rest_models.Group, rest_models.Group]):
    """Create a group; the caller becomes a manager of it. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/groups")

    name: Text
    description: str = ""

    def body(self) -> Mapping[str, JSON]:
        return members(name=self.name, description=self.description)

    def look_up(self) -> "ListGroups":
        return ListGroups()

    def is_it(self, item: rest_models.Group) -> bool:
        return item.name == self.name and (item.description or "") == self.description


@dataclass(frozen=True, slots=True, kw_only=True)
class ListGroups(PageOperation[rest_models.Group]):
    """List the groups of the caller's organisation. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/user/current-organisation/groups")
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfGroup:
    """What the operations on one group have in common."""

    group_hash: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class GetGroup(_OfGroup, RestOperation[rest_models.Group]):
    """Read a group. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/groups/{group}")
    about: ClassVar[tuple[str, str]] = ("group_hash", "group_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListGroupMembers(_OfGroup, PageOperation[rest_models.GroupMember]):
    """List the users in a group. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/groups/{group}/users")
    item_name: ClassVar[str] = "user_email"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddGroupMembers(_OfGroup, RestOperation[tuple[rest_models.GroupMember, ...]]):
    """Put users into a group; the result is everybody in it then. Source: SDK 0.1.211.

    All have to be members of the organisation, else nobody is added and the service refuses.
    """

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/groups/{group}/users")

    emails: SomeTexts

    def body(self) -> Mapping[str, JSON]:
        return members(user_emails=self.emails)

    def parse(self, content: object) -> tuple[rest_models.GroupMember, ...]:
        return _GROUP_MEMBERS.read(content, self.call.name).results


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveGroupMembers(_OfGroup, RemoveUsers):
    """Take users out of a group; those who are not in it are ignored. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/groups/{group}/users/bulk-delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTag(Creation[rest_models.Tag, rest_models.Tag]):
    """Create a tag of the organisation; its name has to be new. Organisation Admins only. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/organisation/organisation-tags")

    name: Text
    description: str | None = None

    def body(self) -> Mapping[str, JSON]:
        return members(name=self.name, description=self.description)

    def look_up(self) -> "ListTags":
        return ListTags()

    def is_it(self, item: rest_models.Tag) -> bool:
        return item.name == self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTags(PageOperation[rest_models.Tag]):
    """List the tags of the organisation. Source: SDK 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/organisation/organisation-tags")
    item_name: ClassVar[str] = "uuid"
