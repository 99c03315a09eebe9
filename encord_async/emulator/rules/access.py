"""Who may do what: every rule's questions of permission.

It reads the store and never writes it. Where an existing resource is out of a caller's reach the code is
AUTHORISATION_ERROR, where there is none RESOURCE_NOT_FOUND_ERROR; that the real service tells these apart is inferred
from the names of its codes.
"""

import json
from collections.abc import Collection
from typing import Final

from encord_async.emulator.arguments import Filter, Refused
from encord_async.emulator.calls import Call, KeyCaller
from encord_async.emulator.store import ADMIN, PROJECT, Kind, MemberRow, ProjectRow, Row, UserRow
from encord_async.protocol.catalogue import OrganisationRole, ProjectUserRole

__all__ = [
    "acting_user_id",
    "is_org_admin",
    "listed",
    "needs_org_admin",
    "needs_scope",
    "org_member",
    "own_datasets",
    "readable_project",
    "resource",
    "user_of",
]

_PROJECT_READERS: Final = (ProjectUserRole.ADMIN, ProjectUserRole.TEAM_MANAGER)
"""Who may read a whole project. Source: SDK 0.1.211 ``user_client.py``, ``get_project``."""


def user_of(call: Call) -> UserRow:
    """Return the calling user.

    Raises:
        Refused: AUTHORISATION_ERROR for an API key.
    """
    if isinstance(call.caller, KeyCaller):
        raise Refused("AUTHORISATION_ERROR", "an API key cannot do that")
    return call.caller.user


def acting_user_id(call: Call) -> int:
    """Return the id of the calling user, or of the one who made the calling key."""
    return call.caller.key.user_id if isinstance(call.caller, KeyCaller) else call.caller.user.id


def resource(call: Call, kind: Kind[Row], hash_: str, roles: Collection[int] | None = (ADMIN,)) -> Row:
    """Return a resource in which the caller holds one of *roles* (None: any role). A key of the resource may always.

    Raises:
        Refused: RESOURCE_NOT_FOUND_ERROR or AUTHORISATION_ERROR.
    """
    found = call.store.named(kind, hash_)
    if found is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", f"no such {kind.name}")
    caller = call.caller
    if isinstance(caller, KeyCaller):
        held = ADMIN if (caller.key.kind, caller.key.resource_id) == (kind.name, found.id) else None
    else:
        held = call.store.role(kind, found.id, caller.user.id)
    if held is None or (roles is not None and held not in roles):
        raise Refused("AUTHORISATION_ERROR")
    return found


def readable_project(call: Call) -> ProjectRow:
    """Return the project that the call is on, if the caller may read it as a whole."""
    return resource(call, PROJECT, call.on, _PROJECT_READERS)


def listed(call: Call, kind: Kind[Row], filter_: Filter) -> list[tuple[int | None, Row]]:
    """Return role and row of what the caller is a member of; for Admins of the organisation who ask so, of all."""
    everything = call.flag("includeOrgAccess") and is_org_admin(call)
    return call.store.listed(kind, user_of(call).id, filter_, call.as_of_us, everything=everything)


def own_datasets(call: Call, hashes: list[str]) -> list[int]:
    """Return the ids of datasets of which the caller (for a key: its maker) is Admin; all of them or none.

    Raises:
        Refused: RESOURCE_NOT_FOUND_ERROR if one does not exist, AUTHORISATION_ERROR if one is not the caller's.
    """
    found = call.store.dataset_roles(hashes, acting_user_id(call))
    for hash_ in hashes:
        if hash_ not in found:
            raise Refused("RESOURCE_NOT_FOUND_ERROR", f"no such dataset: {hash_!r}")
    for hash_ in hashes:
        if found[hash_][1] != ADMIN:
            raise Refused("AUTHORISATION_ERROR", f"not an Admin of the dataset {hash_!r}")
    return [found[hash_][0] for hash_ in hashes]


def needs_scope(call: Call, scope: str) -> None:
    """Refuse an API key that lacks *scope* with OPERATION_NOT_ALLOWED; users need none."""
    if isinstance(call.caller, KeyCaller) and scope not in json.loads(call.caller.key.scopes):
        raise Refused("OPERATION_NOT_ALLOWED")


# --- the organisation


def org_member(call: Call) -> MemberRow:
    """Return the caller's membership of the organisation.

    Raises:
        Refused: AUTHORISATION_ERROR without one.
    """
    membership = call.store.organisation.member(user_of(call).id)
    if membership is None:
        raise Refused("AUTHORISATION_ERROR", "not a member of the organisation")
    return membership


def is_org_admin(call: Call) -> bool:
    """Say whether the caller is Admin of the organisation."""
    membership = call.store.organisation.member(user_of(call).id)
    return membership is not None and membership.role == OrganisationRole.ADMIN


def needs_org_admin(call: Call) -> None:
    """Refuse everybody but Admins of the organisation."""
    if not is_org_admin(call):
        raise Refused("AUTHORISATION_ERROR", "not an Admin of the organisation")
