"""The rules of the organisation: its members, and bearer tokens.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, Rules, moment
from encord_async.emulator.rules.access import needs_org_admin, org_member, user_of
from encord_async.emulator.store import MemberRow
from encord_async.protocol.catalogue import MemberType, OrganisationRole

__all__ = ["RULES"]


def _list_users(call: Call) -> Answer:
    org_member(call)
    return Answer(call.page(call.store.organisation.members(), _member))


def _member(member: MemberRow) -> dict[str, object]:
    return {
        "email": member.email,
        "roleMnemonicName": member.role,
        "roleUuid": member.role_uuid,
        "memberType": member.member_type,
        "createdAt": moment(member.created_us),
        "lastEditedAt": moment(member.edited_us),
    }


def _add_user(call: Call) -> Answer:
    needs_org_admin(call)
    given = call.members()
    email = given.email_of("email")
    role, kind = given.name("roleMnemonicName"), given.name("memberType")
    if role not in tuple(OrganisationRole) or kind not in tuple(MemberType):
        raise Refused("INVALID_ARGUMENTS_ERROR", "roleMnemonicName or memberType is not known")
    if role == OrganisationRole.ADMIN and kind != MemberType.INTERNAL:
        raise Refused("BAD_REQUEST", "only internal members can be Admins")
    user = call.store.user(email)
    if not call.store.organisation.enrol(user.id, role, kind, call.now_us):
        raise Refused("RESOURCE_EXISTS_ERROR", "the user is a member already")
    return Answer(None, user.hash, email)


def _remove_user(call: Call) -> Answer:
    needs_org_admin(call)
    user_id = call.store.organisation.user_id(call.on)
    if user_id is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no account has that address")
    if user_id == user_of(call).id:
        raise Refused("BAD_REQUEST", "nobody removes themselves")
    call.store.organisation.dismiss(user_id)
    return Answer(None, "", call.on)


def _token(call: Call) -> Answer:
    return Answer({"token": call.store.organisation.new_token(user_of(call).id)})


RULES: Final[Rules] = {
    "v2/organisation/users.GET": _list_users,
    "v2/organisation/users.POST": _add_user,
    "v2/organisation/users/{email}.DELETE": _remove_user,
    "v2/user/bearer-token.GET": _token,
}
