"""The rules of datasets and ontologies, and of what hangs on neither: key metadata and cloud integrations.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

import json
from typing import Final

from encord_async.emulator.arguments import read_filter
from encord_async.emulator.envelope import Refused
from encord_async.emulator.rules import (
    ADMIN,
    Answer,
    Call,
    KeyCaller,
    Rules,
    dataset_for,
    needs_scope,
    ontology_for,
    project_for,
    stamp,
    user_of,
)
from encord_async.emulator.store import DatasetRow, KeyRow, OntologyRow
from encord_async.protocol.catalogue import (
    DatasetScope,
    DatasetUserRole,
    Endpoint,
    ResourceType,
    StorageLocation,
)

__all__ = ["DATASET_RULES"]

_DATASET: Final = ResourceType.DATASET
_ONTOLOGY: Final = ResourceType.ONTOLOGY


def _create(call: Call) -> Answer:
    user = user_of(call)
    call.uid_is_null()
    given = call.members()
    title, type_ = given.name("title"), given.number("type")
    if type_ not in tuple(StorageLocation):
        raise Refused("INVALID_ARGUMENTS_ERROR", "type is not a storage location (0 to 4)")
    dataset = call.store.add_dataset(
        title=title,
        description=given.optional_text("description") or "",
        type_=type_,
        creator=user,
        backing_folder=given.flag("create_backing_folder"),
        now_us=call.now_us,
    )
    call.store.join(_DATASET, dataset.id, user.id, ADMIN, call.now_us)
    reply: dict[str, object] = {
        "title": title,
        "type": type_,
        "dataset_hash": dataset.hash,
        "user_hash": user.hash,
    }
    # Parsers from before 0.1.98 know nothing of backing folders and do not ask for one.
    if given.has("create_backing_folder"):
        reply["backing_folder_uuid"] = dataset.backing_folder
    return Answer(reply, dataset.hash, title)


def _list(call: Call) -> Answer:
    call.uid_is_null()
    given = call.members()
    with_folder = given.flag("enable_storage_api")
    found = call.store.datasets_of(user_of(call).id, read_filter(given.mapping("filter")), call.as_of_us)
    return Answer(
        [{"user_role": role, "dataset": _summary(dataset, with_folder=with_folder)} for role, dataset in found]
    )


def _summary(dataset: DatasetRow, *, with_folder: bool) -> dict[str, object]:
    summary: dict[str, object] = {
        "dataset_hash": dataset.hash,
        "user_hash": dataset.user_hash,
        "title": dataset.title,
        "description": dataset.description,
        "type": dataset.type,
        "created_at": stamp(dataset.created_us),
        "last_edited_at": stamp(dataset.edited_us),
    }
    # Old parsers spread the object over a dataclass: a member too many is a TypeError there.
    return summary | ({"backing_folder_uuid": dataset.backing_folder} if with_folder else {})


def _get(call: Call) -> Answer:
    dataset = dataset_for(call, call.resource_id, None)
    call.uid_is_null()
    call.members()
    return Answer(
        {
            "title": dataset.title,
            "description": dataset.description,
            "dataset_hash": dataset.hash,
            "dataset_type": StorageLocation(dataset.type).name,
            "data_rows": [],
            "backing_folder_uuid": dataset.backing_folder,
        }
    )


def _data_rows(call: Call) -> Answer:
    dataset_for(call, call.resource_id, None)
    needs_scope(call, DatasetScope.READ)
    call.uid_is_null()
    call.members()
    return Answer([])


def _add_users(call: Call) -> Answer:
    dataset = dataset_for(call, call.resource_id)
    call.uid_names_resource()
    given = call.members()
    emails, role = given.emails("user_emails"), given.number("user_role")
    if role not in tuple(DatasetUserRole):
        raise Refused("INVALID_ARGUMENTS_ERROR", "user_role is not a role of a dataset (0 or 1)")
    members = []
    for email in emails:
        user = call.store.user(email)
        held = call.store.join(_DATASET, dataset.id, user.id, role, call.now_us)
        members.append({"user_email": user.email, "user_role": held, "dataset_hash": dataset.hash})
    return Answer(members, dataset.hash, dataset.title)


def _create_key(call: Call) -> Answer:
    call.uid_is_null()
    given = call.members()
    dataset = dataset_for(call, given.name("dataset_hash"))
    title, scopes = given.name("title"), given.members("scopes", tuple(DatasetScope))
    key = call.store.add_key(
        _DATASET, dataset.id, title=title, scopes=scopes, user_id=user_of(call).id, now_us=call.now_us
    )
    return Answer(_key(key, dataset), dataset.hash, title)


def _list_keys(call: Call) -> Answer:
    call.uid_is_null()
    dataset = dataset_for(call, call.members().name("dataset_hash"))
    return Answer([_key(key, dataset) for key in call.store.keys_of(_DATASET, dataset.id, call.as_of_us)])


def _full_key(call: Call) -> Answer:
    call.uid_is_null()
    dataset = dataset_for(call, call.members().name("dataset_hash"))
    every = tuple(DatasetScope)
    for key in call.store.keys_of(_DATASET, dataset.id, call.now_us):
        if set(json.loads(key.scopes)) == set(every):
            return Answer(_key(key, dataset), dataset.hash, key.title)
    title = f"{dataset.hash} - admin key"
    key = call.store.add_key(
        _DATASET, dataset.id, title=title, scopes=every, user_id=user_of(call).id, now_us=call.now_us
    )
    return Answer(_key(key, dataset), dataset.hash, title)


def _key(key: KeyRow, dataset: DatasetRow) -> dict[str, object]:
    return {
        "resource_hash": dataset.hash,
        "api_key": key.api_key,
        "title": key.title,
        "key_hash": key.key_hash,
        "scopes": json.loads(key.scopes),
    }


def _create_ontology(call: Call) -> Answer:
    user = user_of(call)
    call.uid_is_null()
    given = call.members()
    title = given.name("title")
    ontology = call.store.add_ontology(
        title=title,
        description=given.text("description", ""),
        editor=dict(given.mapping("editor")),
        now_us=call.now_us,
    )
    call.store.join(_ONTOLOGY, ontology.id, user.id, ADMIN, call.now_us)
    return Answer(_ontology(ontology), ontology.hash, title)


def _list_ontologies(call: Call) -> Answer:
    call.uid_is_null()
    user = user_of(call)
    found = call.store.ontologies_of(user.id, read_filter(call.members().mapping("filter")), call.as_of_us)
    return Answer(
        [{"user_role": role, "user_email": user.email, "ontology": _ontology(ontology)} for role, ontology in found]
    )


def _get_ontology(call: Call) -> Answer:
    call.members()
    return Answer(_ontology(_ontology_named(call, None)))


def _save_ontology(call: Call) -> Answer:
    ontology = _ontology_named(call, (ADMIN,))
    given = call.members()
    title, editor = given.name("title"), dict(given.mapping("editor"))
    description = given.text("description", "")
    call.store.save_ontology(ontology.id, title=title, description=description, editor=editor, now_us=call.now_us)
    return Answer(True, ontology.hash, title)


def _ontology_named(call: Call, roles: tuple[int, ...] | None) -> OntologyRow:
    uid = call.request.uid
    if call.resource_type == ResourceType.PROJECT:
        # SDK 0.1.98 to 0.1.152 asks for a project's ontology with the project in the headers.
        project = project_for(call, call.resource_id, None if roles is None else (ADMIN,))
        ontology = call.store.ontology_by_id(project.ontology_id)
        if uid not in (ontology.hash, None):
            raise Refused("AUTHORISATION_ERROR")
        return ontology
    call.uid_names_resource()
    return ontology_for(call, call.resource_id, roles)


def _ontology(ontology: OntologyRow) -> dict[str, object]:
    return {
        "title": ontology.title,
        "description": ontology.description,
        "ontology_hash": ontology.hash,
        "editor": json.loads(ontology.editor),
        "created_at": stamp(ontology.created_us),
        "last_edited_at": stamp(ontology.edited_us),
    }


def _key_metadata(call: Call) -> Answer:
    call.uid_is_null()
    call.members()
    if not isinstance(call.caller, KeyCaller):
        raise Refused("INVALID_ARGUMENTS_ERROR", "apikeymeta is asked with an API key")
    return Answer({"title": call.caller.key.title, "resource_type": call.caller.key.kind})


def _cloud_integrations(call: Call) -> Answer:
    call.members()
    return Answer([])


DATASET_RULES: Final[Rules] = {
    (Endpoint.USER, "dataset", "POST"): _create,
    (Endpoint.USER, "datasetwithuserrole", "GET"): _list,
    (Endpoint.USER, "datasetapikey", "POST"): _create_key,
    (Endpoint.USER, "datasetapikey", "GET"): _list_keys,
    (Endpoint.USER, "datasetapikey", "PUT"): _full_key,
    (Endpoint.USER, "ontology", "POST"): _create_ontology,
    (Endpoint.USER, "ontologywithuserrole", "GET"): _list_ontologies,
    (Endpoint.USER, "cloudintegration", "GET"): _cloud_integrations,
    (Endpoint.RESOURCE, "cloudintegration", "GET"): _cloud_integrations,
    (Endpoint.RESOURCE, "dataset", "GET"): _get,
    (Endpoint.RESOURCE, "datasetusers", "POST"): _add_users,
    (Endpoint.RESOURCE, "datarows", "GET"): _data_rows,
    (Endpoint.RESOURCE, "ontology", "GET"): _get_ontology,
    (Endpoint.RESOURCE, "ontology", "PUT"): _save_ontology,
    (Endpoint.RESOURCE, "apikeymeta", "GET"): _key_metadata,
}
