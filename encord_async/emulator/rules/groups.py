"""The rules of groups: of the organisation, their members, and their roles in projects, datasets and ontologies.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

from collections.abc import Sequence
from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, Rules, moment
from encord_async.emulator.rules.access import is_org_admin, org_member, readable_project, resource, user_of
from encord_async.emulator.store import DATASET, ONTOLOGY, PROJECT, GroupRow, Kind, Row
from encord_async.protocol.catalogue import DatasetUserRole, OntologyUserRole, OrganisationRole, ProjectUserRole

__all__ = ["RULES"]


def _create(call: Call) -> Answer:
    if org_member(call).role not in (OrganisationRole.ADMIN, OrganisationRole.MEMBER):
        raise Refused("AUTHORISATION_ERROR", "the role in the organisation does not allow to make groups")
    given = call.members()
    group = call.store.organisation.add_group(
        name=given.name("name"),
        description=given.optional_text("description") or "",
        manager_id=user_of(call).id,
        now_us=call.now_us,
    )
    return Answer(_shown(group), group.hash, group.name)


def _list(call: Call) -> Answer:
    org_member(call)
    return Answer(call.page(call.store.organisation.groups(call.as_of_us), _shown))


def _get(call: Call) -> Answer:
    return Answer(_shown(_named(call)))


def _named(call: Call) -> GroupRow:
    org_member(call)
    group = call.store.organisation.group(call.on)
    if group is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such group")
    return group


def _managed(call: Call) -> GroupRow:
    group = _named(call)
    if group.manager_id != user_of(call).id and not is_org_admin(call):
        raise Refused("AUTHORISATION_ERROR", "not a manager of the group")
    return group


def _users(call: Call) -> Answer:
    return Answer(call.page(call.store.organisation.group_emails(_named(call).id), _in_group))


def _in_group(email: str) -> dict[str, object]:
    return {"userEmail": email}


def _add_users(call: Call) -> Answer:
    group = _managed(call)
    organisation = call.store.organisation
    ids = [organisation.user_id(email) for email in call.members().emails("userEmails")]
    members = [id_ for id_ in ids if id_ is not None and organisation.member(id_) is not None]
    if len(members) != len(ids):
        raise Refused("AUTHORISATION_ERROR", "not everybody is a member of the organisation; nobody was added")
    organisation.join_group(group.id, members)
    return Answer(
        {"results": [_in_group(email) for email in organisation.group_emails(group.id)]}, group.hash, group.name
    )


def _remove_users(call: Call) -> Answer:
    group = _managed(call)
    call.store.organisation.leave_group(group.id, call.members().emails("userEmails"))
    return Answer(None, group.hash, group.name)


def _in(call: Call, kind: Kind[Row]) -> Answer:
    # Who may read a whole project may list its groups. Of datasets and ontologies nobody says who may: it is inferred.
    on = readable_project(call) if kind.name is PROJECT.name else resource(call, kind, call.on)
    return Answer(call.page(call.store.organisation.groups_in(kind, on.id), _with_role))


def _with_role(item: tuple[int, GroupRow]) -> dict[str, object]:
    role, group = item
    return {**_shown(group), "isSameOrganisation": True, "userRole": role}


def _admit(call: Call, kind: Kind[Row], roles: Sequence[int]) -> Answer:
    on = resource(call, kind, call.on)
    given = call.members()
    hashes, role = given.texts("groupHashList"), given.number("userRole")
    if role not in roles:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"userRole is not a role of a {kind.name} (0 to {max(roles)})")
    groups = [call.store.organisation.group(hash_) for hash_ in hashes]
    known = [group.id for group in groups if group is not None]
    if not hashes or len(known) != len(hashes):
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such group")
    call.store.organisation.admit_groups(kind, on.id, known, role)
    return Answer(None, on.hash, on.title)


def _expel(call: Call, kind: Kind[Row]) -> Answer:
    on = resource(call, kind, call.on)
    hashes = call.query.get("groupHashList", ())
    if not hashes:
        raise Refused("INVALID_ARGUMENTS_ERROR", "groupHashList is missing")
    call.store.organisation.expel_groups(kind, on.id, hashes)
    return Answer(None, on.hash, on.title)


def _shown(group: GroupRow) -> dict[str, object]:
    return {
        "groupHash": group.hash,
        "name": group.name,
        "description": group.description,
        "createdAt": moment(group.created_us),
    }


RULES: Final[Rules] = {
    "v2/user/current-organisation/groups.GET": _list,
    "v2/organisation/groups.POST": _create,
    "v2/organisation/groups/{group}.GET": _get,
    "v2/organisation/groups/{group}/users.GET": _users,
    "v2/organisation/groups/{group}/users.POST": _add_users,
    "v2/organisation/groups/{group}/users/bulk-delete.POST": _remove_users,
    "v2/projects/{project}/groups.GET": lambda call: _in(call, PROJECT),
    "v2/projects/{project}/groups.POST": lambda call: _admit(call, PROJECT, tuple(ProjectUserRole)),
    "v2/projects/{project}/groups.DELETE": lambda call: _expel(call, PROJECT),
    "v2/datasets/{dataset}/groups.GET": lambda call: _in(call, DATASET),
    "v2/datasets/{dataset}/groups.POST": lambda call: _admit(call, DATASET, tuple(DatasetUserRole)),
    "v2/datasets/{dataset}/groups.DELETE": lambda call: _expel(call, DATASET),
    "v2/ontologies/{ontology}/groups.GET": lambda call: _in(call, ONTOLOGY),
    "v2/ontologies/{ontology}/groups.POST": lambda call: _admit(call, ONTOLOGY, tuple(OntologyUserRole)),
    "v2/ontologies/{ontology}/groups.DELETE": lambda call: _expel(call, ONTOLOGY),
}
