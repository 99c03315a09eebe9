"""The rules of who is in a project or a dataset: add, list, remove.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

from collections.abc import Sequence
from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, Rules
from encord_async.emulator.rules.access import is_org_admin, readable_project, resource
from encord_async.emulator.store import ADMIN, DATASET, PROJECT, Kind, Row, UserRow
from encord_async.protocol.catalogue import DatasetUserRole, ProjectUserRole

__all__ = ["RULES"]


def _add_to_project(call: Call) -> Answer:
    project, held = _added(call, PROJECT, tuple(ProjectUserRole))
    members = [
        {
            "user_email": user.email,
            "user_role": role,
            "project_hash": project.hash,
            "user_hash": user.hash,
            "user_id": user.id,
        }
        for user, role in held
    ]
    return Answer(members, project.hash, project.title)


def _add_to_dataset(call: Call) -> Answer:
    dataset, held = _added(call, DATASET, tuple(DatasetUserRole))
    members = [{"user_email": user.email, "user_role": role, "dataset_hash": dataset.hash} for user, role in held]
    return Answer(members, dataset.hash, dataset.title)


def _added(call: Call, kind: Kind[Row], roles: Sequence[int]) -> tuple[Row, list[tuple[UserRow, int]]]:
    """Return what the users were added to, and each with the role held, which for a member is the old one."""
    to = resource(call, kind, call.on)
    call.uid_names_resource()
    given = call.members("user_emails", "user_role")
    emails, role = given.emails("user_emails"), given.number("user_role")
    if role not in roles:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"user_role is not a role of a {kind.name} (0 to {max(roles)})")
    users = [call.store.user(email) for email in emails]
    return to, [(user, call.store.join(kind, to.id, user.id, role, call.now_us)) for user in users]


def _list_of_project(call: Call) -> Answer:
    rows = call.store.members(PROJECT, readable_project(call).id, call.as_of_us)
    return Answer(call.page(rows, lambda row: {"userEmail": row[0], "userRole": row[1]}))


def _list_of_dataset(call: Call) -> Answer:
    dataset = resource(call, DATASET, call.on)
    rows = call.store.members(DATASET, dataset.id, call.as_of_us)
    return Answer(call.page(rows, lambda row: {"datasetUuid": dataset.hash, "userEmail": row[0], "userRole": row[1]}))


def _remove_from_project(call: Call) -> Answer:
    project = resource(call, PROJECT, call.on)
    emails = call.members().emails("userEmails")
    wanted = {email.lower() for email in emails}
    held = call.store.members(PROJECT, project.id, call.now_us)
    admins = {email.lower() for email, role in held if role == ADMIN}
    if wanted & admins and not is_org_admin(call):
        raise Refused("AUTHORISATION_ERROR", "only an Admin of the organisation removes an Admin of a project")
    call.store.leave(PROJECT, project.id, emails)
    call.store.touch_project(project.id, call.now_us)
    return Answer(None, project.hash, project.title)


def _remove_from_dataset(call: Call) -> Answer:
    dataset = resource(call, DATASET, call.on)
    call.store.leave(DATASET, dataset.id, call.members().emails("userEmails"))
    return Answer(None, dataset.hash, dataset.title)


RULES: Final[Rules] = {
    "projectusers.POST": _add_to_project,
    "datasetusers.POST": _add_to_dataset,
    "v2/projects/{project}/users.GET": _list_of_project,
    "v2/projects/{project}/users/bulk-delete.POST": _remove_from_project,
    "v2/datasets/{dataset}/users.GET": _list_of_dataset,
    "v2/datasets/{dataset}/users/bulk-delete.POST": _remove_from_dataset,
}
