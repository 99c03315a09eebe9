"""What every rule of the emulated service needs: the call, the caller, and who may do what.

Pure with respect to HTTP, and without a clock: the time is part of the call. It reads the store and never writes it.
Where an existing resource is out of a caller's reach the code is AUTHORISATION_ERROR, where there is none
RESOURCE_NOT_FOUND_ERROR; that the real service tells these apart is inferred from the names of its codes.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias

from encord_async.emulator.arguments import Members, read_texts
from encord_async.emulator.envelope import Refused, Request
from encord_async.emulator.store import DatasetRow, KeyRow, OntologyRow, ProjectRow, Store, UserRow
from encord_async.protocol.catalogue import Endpoint, Method, ProjectUserRole, ResourceType

__all__ = [
    "ADMIN",
    "Answer",
    "Asked",
    "Call",
    "Caller",
    "KeyCaller",
    "Rule",
    "Rules",
    "UserCaller",
    "dataset_for",
    "needs_scope",
    "ontology_for",
    "own_datasets",
    "project_for",
    "readable_project",
    "stamp",
    "user_of",
]

ADMIN: Final = 0
"""Admin of a project, a dataset or an ontology alike. Source: docs; SDK 0.1.60."""

_PROJECT_READERS: Final = (ProjectUserRole.ADMIN, ProjectUserRole.TEAM_MANAGER)
"""Who may read a whole project. Source: SDK 0.1.211 ``user_client.py``, ``get_project``."""


@dataclass(frozen=True, slots=True)
class UserCaller:
    """A person or service account, known by key or token."""

    user: UserRow


@dataclass(frozen=True, slots=True)
class KeyCaller:
    """The holder of an API key; it acts for the user who made the key."""

    key: KeyRow
    resource_hash: str


Caller: TypeAlias = UserCaller | KeyCaller


class Asked(Protocol):
    """What a question of permission needs to know of a request."""

    @property
    def store(self) -> Store:
        """Where to look."""
        ...

    @property
    def caller(self) -> Caller:
        """Who asks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, with everything that its rule may look at."""

    store: Store
    caller: Caller
    resource_type: str
    resource_id: str
    request: Request
    strict: bool
    now_us: int
    as_of_us: int
    """Listings show nothing younger; *now_us* unless a fault makes them stale."""

    def members(self) -> Members:
        """Return the payload, ready to be read."""
        return Members(self.request.name, self.request.payload, strict=self.strict)

    def uid_texts(self) -> list[str]:
        """Return the ``uid`` as a list of strings."""
        return read_texts("uid", self.request.uid, strict=self.strict)

    def uid_names_resource(self) -> None:
        """Refuse a ``uid`` that is not the resource of the headers; null passes, strictly only with an API key.

        Source: SDK 0.1.110 sends null with an API key, else the hash.
        """
        uid = self.request.uid
        null_passes = not self.strict or isinstance(self.caller, KeyCaller)
        if uid != self.resource_id and not (uid is None and null_passes):
            raise Refused("INVALID_ARGUMENTS_ERROR", "uid has to be the ResourceID")

    def uid_is_null(self) -> None:
        """Refuse any ``uid`` but null, or one that repeats the resource, which only the strict form refuses."""
        uid = self.request.uid
        if uid is not None and (self.strict or uid != self.resource_id):
            raise Refused("INVALID_ARGUMENTS_ERROR", "uid has to be null")


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call, and what its line in the log says: hash and title of what was made or changed."""

    result: object
    hash: str = ""
    title: str = ""


Rule: TypeAlias = Callable[[Call], Answer]
Rules: TypeAlias = Mapping[tuple[Endpoint, str, Method], Rule]


def user_of(call: Asked) -> UserRow:
    """Return the calling user.

    Raises:
        Refused: AUTHORISATION_ERROR for an API key.
    """
    if isinstance(call.caller, KeyCaller):
        raise Refused("AUTHORISATION_ERROR", "an API key cannot do that")
    return call.caller.user


def project_for(call: Asked, hash_: str, roles: Collection[int] | None = (ADMIN,)) -> ProjectRow:
    """Return a project in which the caller holds one of *roles* (None: any role). A key of the project may always.

    Raises:
        Refused: RESOURCE_NOT_FOUND_ERROR or AUTHORISATION_ERROR.
    """
    project = call.store.project(hash_)
    if project is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such project")
    _check_role(call, ResourceType.PROJECT, project.id, roles)
    return project


def readable_project(call: Asked, hash_: str) -> ProjectRow:
    """Return a project that the caller may read as a whole."""
    return project_for(call, hash_, _PROJECT_READERS)


def dataset_for(call: Asked, hash_: str, roles: Collection[int] | None = (ADMIN,)) -> DatasetRow:
    """Return a dataset in which the caller holds one of *roles* (None: any role)."""
    dataset = call.store.dataset(hash_)
    if dataset is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such dataset")
    _check_role(call, ResourceType.DATASET, dataset.id, roles)
    return dataset


def ontology_for(call: Asked, hash_: str, roles: Collection[int] | None = None) -> OntologyRow:
    """Return an ontology in which the caller holds one of *roles* (None: any role)."""
    ontology = call.store.ontology(hash_)
    if ontology is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such ontology")
    _check_role(call, ResourceType.ONTOLOGY, ontology.id, roles)
    return ontology


def own_datasets(call: Asked, hashes: list[str]) -> list[int]:
    """Return the ids of datasets of which the caller (for a key: its maker) is Admin; all of them or none.

    Raises:
        Refused: RESOURCE_NOT_FOUND_ERROR if one does not exist, AUTHORISATION_ERROR if one is not the caller's.
    """
    user_id = call.caller.key.user_id if isinstance(call.caller, KeyCaller) else call.caller.user.id
    found = call.store.dataset_roles(hashes, user_id)
    for position, hash_ in enumerate(hashes):
        if hash_ not in found:
            raise Refused("RESOURCE_NOT_FOUND_ERROR", f"no such dataset: dataset_hashes[{position}]")
    for position, hash_ in enumerate(hashes):
        if found[hash_][1] != ADMIN:
            raise Refused("AUTHORISATION_ERROR", f"not an Admin of dataset_hashes[{position}]")
    return [found[hash_][0] for hash_ in hashes]


def needs_scope(call: Call, scope: str) -> None:
    """Refuse an API key that lacks *scope* with OPERATION_NOT_ALLOWED; users need none."""
    if isinstance(call.caller, KeyCaller) and scope not in json.loads(call.caller.key.scopes):
        raise Refused("OPERATION_NOT_ALLOWED")


def stamp(moment_us: int) -> str:
    """Return a time as envelope objects carry it: UTC, whole seconds. Source: SDK 0.1.90 ``orm/base_orm.py``."""
    return datetime.fromtimestamp(moment_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _check_role(call: Asked, kind: ResourceType, id_: int, roles: Collection[int] | None) -> None:
    caller = call.caller
    if isinstance(caller, KeyCaller):
        held = ADMIN if (caller.key.kind, caller.key.resource_id) == (kind, id_) else None
    else:
        held = call.store.role(kind, id_, caller.user.id)
    if held is None or (roles is not None and held not in roles):
        raise Refused("AUTHORISATION_ERROR")
