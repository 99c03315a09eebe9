"""The REST rules of the organisation: groups, their members, users, tags and bearer tokens.

None knows HTTP, opens a transaction or reads a clock.
"""

from collections.abc import Mapping
from typing import Final

from encord_async.emulator.envelope import Refused
from encord_async.emulator.organisation import GroupRow, MemberRow
from encord_async.emulator.rest_call import RestAsk, RestRule, group_shown, moment
from encord_async.emulator.rules import Answer
from encord_async.protocol.catalogue import MemberType, OrganisationRole

__all__ = ["ORGANISATION_RULES"]


# --- groups


def _create_group(ask: RestAsk) -> Answer:
    if ask.needs_membership().role not in (OrganisationRole.ADMIN, OrganisationRole.MEMBER):
        raise Refused("AUTHORISATION_ERROR", "the role in the organisation does not allow to make groups")
    given = ask.members("name", "description")
    group = ask.store.organisation.add_group(
        name=given.name("name"),
        description=given.optional_text("description") or "",
        manager_id=ask.user.id,
        now_us=ask.now_us,
    )
    return Answer(group_shown(group), group.hash, group.name)


def _list_groups(ask: RestAsk) -> Answer:
    ask.needs_membership()
    return Answer(ask.page(ask.store.organisation.groups(ask.as_of_us), group_shown))


def _get_group(ask: RestAsk) -> Answer:
    return Answer(group_shown(_group_named(ask)))


def _group_named(ask: RestAsk) -> GroupRow:
    ask.needs_membership()
    group = ask.store.organisation.group(ask.path["group"])
    if group is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such group")
    return group


def _managed_group(ask: RestAsk) -> GroupRow:
    group = _group_named(ask)
    if group.manager_id != ask.user.id and not ask.org_admin():
        raise Refused("AUTHORISATION_ERROR", "not a manager of the group")
    return group


def _group_users(ask: RestAsk) -> Answer:
    return Answer(ask.page(ask.store.organisation.group_emails(_group_named(ask).id), _in_group))


def _in_group(email: str) -> dict[str, object]:
    return {"userEmail": email}


def _add_group_users(ask: RestAsk) -> Answer:
    group = _managed_group(ask)
    organisation = ask.store.organisation
    ids = [organisation.user_id(email) for email in ask.members("userEmails").emails("userEmails")]
    members = [id_ for id_ in ids if id_ is not None and organisation.member(id_) is not None]
    if len(members) != len(ids):
        raise Refused("AUTHORISATION_ERROR", "not everybody is a member of the organisation; nobody was added")
    organisation.join_group(group.id, members)
    return Answer(
        {"results": [_in_group(email) for email in organisation.group_emails(group.id)]}, group.hash, group.name
    )


def _remove_group_users(ask: RestAsk) -> Answer:
    group = _managed_group(ask)
    ask.store.organisation.leave_group(group.id, ask.members("userEmails").emails("userEmails"))
    return Answer(None, group.hash, group.name)


# --- users


def _list_users(ask: RestAsk) -> Answer:
    ask.needs_membership()
    return Answer(ask.page(ask.store.organisation.members(), _member))


def _member(member: MemberRow) -> dict[str, object]:
    return {
        "email": member.email,
        "roleMnemonicName": member.role,
        "roleUuid": member.role_uuid,
        "memberType": member.member_type,
        "createdAt": moment(member.created_us),
        "lastEditedAt": moment(member.edited_us),
    }


def _add_user(ask: RestAsk) -> Answer:
    ask.needs_org_admin()
    given = ask.members("email", "roleMnemonicName", "memberType")
    email = given.email_of("email")
    role, kind = given.name("roleMnemonicName"), given.name("memberType")
    if role not in tuple(OrganisationRole) or kind not in tuple(MemberType):
        raise Refused("INVALID_ARGUMENTS_ERROR", "roleMnemonicName or memberType is not known")
    if role == OrganisationRole.ADMIN and kind != MemberType.INTERNAL:
        raise Refused("BAD_REQUEST", "only internal members can be Admins")
    user = ask.store.user(email)
    if not ask.store.organisation.enrol(user.id, role, kind, ask.now_us):
        raise Refused("RESOURCE_EXISTS_ERROR", "the user is a member already")
    return Answer(None, user.hash, email)


def _remove_user(ask: RestAsk) -> Answer:
    ask.needs_org_admin()
    user_id = ask.store.organisation.user_id(ask.path["email"])
    if user_id is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no account has that address")
    if user_id == ask.user.id:
        raise Refused("BAD_REQUEST", "nobody removes themselves")
    ask.store.organisation.dismiss(user_id)
    return Answer(None, "", ask.path["email"])


def _token(ask: RestAsk) -> Answer:
    return Answer({"token": ask.store.organisation.new_token(ask.user.id)})


# --- tags


def _list_tags(ask: RestAsk) -> Answer:
    ask.needs_membership()
    return Answer(ask.page(ask.store.organisation.tags(), lambda tag: {"uuid": tag.hash, "name": tag.name}))


def _create_tag(ask: RestAsk) -> Answer:
    ask.needs_org_admin()
    given = ask.members("name", "description")
    tag = ask.store.organisation.add_tag(name=given.name("name"), description=given.optional_text("description") or "")
    if tag is None:
        raise Refused("RESOURCE_EXISTS_ERROR", "a tag has that name already")
    return Answer({"uuid": tag.hash, "name": tag.name}, tag.hash, tag.name)


ORGANISATION_RULES: Final[Mapping[tuple[str, str], RestRule]] = {
    ("GET", "/user/bearer-token"): _token,
    ("GET", "/user/current-organisation/groups"): _list_groups,
    ("POST", "/organisation/groups"): _create_group,
    ("GET", "/organisation/groups/{group}"): _get_group,
    ("GET", "/organisation/groups/{group}/users"): _group_users,
    ("POST", "/organisation/groups/{group}/users"): _add_group_users,
    ("POST", "/organisation/groups/{group}/users/bulk-delete"): _remove_group_users,
    ("GET", "/organisation/users"): _list_users,
    ("POST", "/organisation/users"): _add_user,
    ("DELETE", "/organisation/users/{email}"): _remove_user,
    ("GET", "/organisation/organisation-tags"): _list_tags,
    ("POST", "/organisation/organisation-tags"): _create_tag,
}
