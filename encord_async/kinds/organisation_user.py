"""The kind ``organisation_user``: somebody who shall be a member of the organisation. Sends nothing."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.kinds.entry import Entry
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import Email, one_word
from encord_async.kinds.steps import Step, StepKind, part_of
from encord_async.protocol.catalogue import MemberType, OrganisationRole

__all__ = ["OrganisationUserEntry"]


def _organisation_role(value: object) -> object:
    return one_word(value, what="role in an organisation", words=_ORGANISATION_ROLES)


def _member_type(value: object) -> object:
    return one_word(value, what="type of member", words=_MEMBER_TYPES)


_ORGANISATION_ROLES: Final[Mapping[str, OrganisationRole]] = {role.name.lower(): role for role in OrganisationRole}
_MEMBER_TYPES: Final[Mapping[str, MemberType]] = {one.value: one for one in MemberType}
OrganisationRoleWord: TypeAlias = Annotated[
    OrganisationRole,
    BeforeValidator(_organisation_role),
    WithJsonSchema({"enum": [*_ORGANISATION_ROLES, *OrganisationRole]}),
]
MemberTypeWord: TypeAlias = Annotated[
    MemberType, BeforeValidator(_member_type), WithJsonSchema({"enum": list(_MEMBER_TYPES)})
]


class OrganisationUserEntry(Entry):
    """Somebody who shall be a member of the organisation; who has no account gets one, and a mail."""

    names_something = True
    is_harmless_twice = True

    kind: Literal["organisation_user"] = "organisation_user"
    email: Email
    role: OrganisationRoleWord = OrganisationRole.MEMBER
    member_type: MemberTypeWord = MemberType.INTERNAL

    def faults(self) -> list[Fault]:
        if self.role is not OrganisationRole.ADMIN or self.member_type is MemberType.INTERNAL:
            return []
        reason = "only an internal member can be admin of an organisation"
        return [Fault("member_type", reason, "use another role or type")]

    def contents(self) -> Mapping[str, int]:
        return {"organisation_users": 1}

    def steps(self, identity: bytes) -> Iterator[Step]:
        kind, names = StepKind.ORGANISATION_USER, (self.email, self.role.value, self.member_type.value)
        yield Step(identity=part_of(identity, kind.value, *names), kind=kind, item=self.email)
