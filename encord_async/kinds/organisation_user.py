"""The kind ``organisation_user``: somebody who shall be a member of the organisation. Sends nothing."""

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from encord_async.kinds.entry import Count, Entry
from encord_async.kinds.exporting import Exports, Inside, Pen, Scope
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import Email, OneOf
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.kinds.step import Step, part
from encord_async.kinds.thing import Admission, Listed, Otherwise
from encord_async.protocol.catalogue import MemberType, OrganisationRole
from encord_async.protocol.operations.organisation import AddOrganisationUser, ListOrganisationUsers
from encord_async.protocol.rest_models import OrganisationUser

__all__ = ["ORGANISATION_USER", "OrganisationUserEntry"]


_ORGANISATION_ROLES: Final[Mapping[str, OrganisationRole]] = {role.name.lower(): role for role in OrganisationRole}
_MEMBER_TYPES: Final[Mapping[str, MemberType]] = {one.value: one for one in MemberType}
OrganisationRoleWord: TypeAlias = Annotated[
    OrganisationRole, OneOf("role in an organisation", _ORGANISATION_ROLES, [*OrganisationRole])
]
MemberTypeWord: TypeAlias = Annotated[MemberType, OneOf("type of member", _MEMBER_TYPES)]


class OrganisationUserEntry(Entry):
    """Somebody who shall be a member of the organisation; who has no account gets one, and a mail."""

    names_something = True
    is_harmless_twice = True

    counted = (
        Count(
            "organisation_users",
            "organisation users",
            exported=("organisation_users", "user of the organisation", "users of the organisation"),
        ),
    )
    spelt = MappingProxyType({"role": _ORGANISATION_ROLES})

    example = MappingProxyType({"key": "rob", "email": "rob@example.com"})

    kind: Literal["organisation_user"] = "organisation_user"
    email: Email
    role: OrganisationRoleWord = OrganisationRole.MEMBER
    member_type: MemberTypeWord = MemberType.INTERNAL

    def faults(self) -> list[Fault]:
        if self.role is not OrganisationRole.ADMIN or self.member_type is MemberType.INTERNAL:
            return []
        reason = "only an internal member can be admin of an organisation"
        return [Fault("member_type", reason, "use another role or type")]

    def steps(self, identity: bytes) -> Iterator[Step]:
        kind = ORGANISATION_USER
        step = kind.step(identity, self.email, self.role, self.member_type)
        yield Step(identity=step, kind=kind, item=self.email)


class _Admissions(Admission, Exports):
    # A journal has room for 16 letters.
    word = "org_user"
    noun = "user of the organisation"
    plural = "users of the organisation"
    deed = ("organisation_users", "user to add to the organisation", "users to add to the organisation")
    unlisted = "users of the organisation"
    stays = "this API cannot change it for a member of the organisation; change it in Encord's app"
    caution = "'apply' elsewhere adds the users of the organisation to that one; who has no account gets a mail"

    def sending(self, entry: OrganisationUserEntry) -> AddOrganisationUser:
        return AddOrganisationUser(email=entry.email, role=entry.role, member_type=entry.member_type)

    def step(self, identity: bytes, email: str, role: OrganisationRole, member_type: MemberType) -> bytes:
        """Identity of the step of an entry with *identity* that lets somebody in so."""
        return part(identity, self.word, email, role.value, member_type.value)

    def former(self, entry: OrganisationUserEntry, identity: bytes) -> Iterator[bytes]:
        for role, member_type in itertools.product(OrganisationRole, MemberType):
            if (role, member_type) != (entry.role, entry.member_type):
                yield self.step(identity, entry.email, role, member_type)

    @property
    def thing(self) -> str:
        return "organisation_user"

    def address(self, entry: OrganisationUserEntry) -> str:
        return entry.email

    async def admitted(self, reads: Reads) -> Mapping[str, OrganisationUser] | Unlisted:
        users = await listing(reads, ListOrganisationUsers())
        return users if isinstance(users, Unlisted) else {user.email.casefold(): user for user in users}

    def differences(self, entry: OrganisationUserEntry, found: OrganisationUser | None) -> Iterator[Otherwise]:
        wanted, kind = entry.role.value.lower(), entry.member_type.value
        if found is None:
            yield Otherwise(self.thing, wanted)
            return
        held = str(found.role_mnemonic_name).lower()
        if held != wanted:
            yield Otherwise("role", wanted, held, self.stays)
        if found.member_type != kind:
            yield Otherwise("member_type", kind, str(found.member_type), self.stays)

    def is_in(self, scope: Scope) -> bool:
        return scope.organisation and scope.users

    async def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:  # noqa: ARG002 - needs nothing of it
        for user in await reads.collect(ListOrganisationUsers()):
            yield Listed("", user.email, None, is_admin=True, item=user)

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:  # noqa: ARG002 - holds nothing
        user: OrganisationUser = found.item
        about = user.email.casefold()
        if pen.reference(self.thing, about) is not None:
            return
        yield from pen.entry(
            OrganisationUserEntry,
            self,
            found,
            otherwise="user",
            about=about,
            email=user.email,
            role=user.role_mnemonic_name,
            member_type=user.member_type,
        )


ORGANISATION_USER: Final = _Admissions()
OrganisationUserEntry.makes = ORGANISATION_USER
