"""The rules of projects: create, list, read, copy, their datasets, users and API keys.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

import json
from collections.abc import Mapping
from typing import Final

from encord_async.emulator.arguments import Members, read_filter
from encord_async.emulator.envelope import Refused
from encord_async.emulator.rules import (
    ADMIN,
    Answer,
    Call,
    KeyCaller,
    Rules,
    needs_scope,
    ontology_for,
    own_datasets,
    project_for,
    readable_project,
    stamp,
    user_of,
)
from encord_async.emulator.store import KeyRow, OntologyRow, ProjectRow
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    Endpoint,
    ProjectUserRole,
    ResourceType,
    StorageLocation,
)

__all__ = ["EMPTY_ONTOLOGY", "PROJECT_RULES"]

EMPTY_ONTOLOGY: Final[Mapping[str, list[object]]] = {"objects": [], "classifications": [], "skeleton_templates": []}
"""Editor of an ontology without content. Source: SDK 0.1.115."""

_PROJECT: Final = ResourceType.PROJECT
_WORKFLOWS: Final = ("manual", "benchmark")


def _create(call: Call) -> Answer:
    user = user_of(call)
    call.uid_is_null()
    given = call.members()
    title, description = given.name("title"), given.text("description", "")
    hashes = given.texts("dataset_hashes", required=call.strict)
    sources = _sources(call, given)
    if template := given.optional_text("workflow_template_id"):
        project_for(call, template)
    dataset_ids = own_datasets(call, hashes) if hashes else []
    ontology_id = _ontology_of_new(call, given, title)
    project = call.store.add_project(
        title=title, description=description, ontology_id=ontology_id, sources=sources, now_us=call.now_us
    )
    call.store.join(_PROJECT, project.id, user.id, ADMIN, call.now_us)
    call.store.attach(project.id, dataset_ids, call.now_us)
    return Answer(project.hash, project.hash, title)


def _sources(call: Call, given: Members) -> list[str]:
    workflow = given.optional_text("workflow_type") or "manual"
    if workflow not in _WORKFLOWS:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"workflow_type is not one of {', '.join(_WORKFLOWS)}")
    sources = given.texts("source_projects", required=False)
    if (workflow == "benchmark") != bool(sources):
        raise Refused("INVALID_ARGUMENTS_ERROR", "source_projects goes with workflow_type benchmark, and only with it")
    for hash_ in sources:
        project_for(call, hash_)
    return sources


def _ontology_of_new(call: Call, given: Members, title: str) -> int:
    if hash_ := given.optional_text("ontology_hash"):
        return ontology_for(call, hash_).id
    ontology = call.store.add_ontology(title=title, description="", editor=EMPTY_ONTOLOGY, now_us=call.now_us)
    call.store.join(ResourceType.ONTOLOGY, ontology.id, user_of(call).id, ADMIN, call.now_us)
    return ontology.id


def _list(call: Call) -> Answer:
    call.uid_is_null()
    filter_ = read_filter(call.members().mapping("filter"))
    found = call.store.projects_of(user_of(call).id, filter_, call.as_of_us)
    return Answer([{"user_role": role, "project": _summary(project)} for role, project in found])


def _summary(project: ProjectRow) -> dict[str, object]:
    return {
        "project_hash": project.hash,
        "title": project.title,
        "description": project.description,
        "created_at": stamp(project.created_us),
        "last_edited_at": stamp(project.edited_us),
    }


def _get(call: Call) -> Answer:
    project = readable_project(call, call.resource_id)
    call.uid_is_null()
    given = call.members()
    with_labels = given.flag("include_labels_metadata") if given.has("include_labels_metadata") else True
    if project.created_us > call.as_of_us:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such project")
    ontology = call.store.ontology_by_id(project.ontology_id)
    return Answer(_whole(call, project, ontology) | ({"label_rows": []} if with_labels else {}))


def _whole(call: Call, project: ProjectRow, ontology: OntologyRow) -> dict[str, object]:
    return {
        **_summary(project),
        "editor_ontology": json.loads(ontology.editor),
        "ontology_hash": ontology.hash,
        "datasets": [
            {
                "dataset_hash": dataset.hash,
                "title": dataset.title,
                "description": dataset.description,
                "dataset_type": StorageLocation(dataset.type).name,
            }
            for dataset in call.store.attached(project.id, call.as_of_us)
        ],
        "source_projects": json.loads(project.sources),
        "workflow_manager_uuid": project.workflow,
    }


def _attach(call: Call) -> Answer:
    project = project_for(call, call.resource_id)
    call.uid_is_null()
    hashes = call.members().texts("dataset_hashes")
    call.store.attach(project.id, own_datasets(call, hashes), call.now_us)
    call.store.touch_project(project.id, call.now_us)
    return Answer(True, project.hash, project.title)


def _detach(call: Call) -> Answer:
    project = project_for(call, call.resource_id)
    call.members()
    call.store.detach(project.id, call.uid_texts())
    call.store.touch_project(project.id, call.now_us)
    return Answer(True, project.hash, project.title)


def _add_users(call: Call) -> Answer:
    project = project_for(call, call.resource_id)
    call.uid_names_resource()
    given = call.members()
    emails, role = given.emails("user_emails"), given.number("user_role")
    if role not in tuple(ProjectUserRole):
        raise Refused("INVALID_ARGUMENTS_ERROR", "user_role is not a role of a project (0 to 5)")
    members = []
    for email in emails:
        user = call.store.user(email)
        held = call.store.join(_PROJECT, project.id, user.id, role, call.now_us)
        members.append(
            {
                "user_email": user.email,
                "user_role": held,
                "project_hash": project.hash,
                "user_hash": user.hash,
                "user_id": user.id,
            }
        )
    return Answer(members, project.hash, project.title)


def _copy(call: Call) -> Answer:
    source = project_for(call, call.resource_id)
    call.uid_names_resource()
    given = call.members()
    options = given.members("copy_project_options", tuple(CopyOption))
    given.mapping("copy_labels_options")
    metadata = Members("", given.mapping("project_copy_metadata") or None, strict=False)
    title = metadata.optional_text("project_title") or f"Copy of {source.title}"
    project = call.store.add_project(
        title=title,
        description=metadata.optional_text("project_description") or source.description,
        ontology_id=source.ontology_id,
        sources=[],
        now_us=call.now_us,
    )
    call.store.join(_PROJECT, project.id, _acting_user(call), ADMIN, call.now_us)
    if CopyOption.COLLABORATORS in options:
        call.store.copy_members(source.id, project.id, call.now_us)
    if CopyOption.DATASETS in options:
        attached = call.store.attached(source.id, call.now_us)
        call.store.attach(project.id, [dataset.id for dataset in attached], call.now_us)
    return Answer(project.hash, project.hash, title)


def _acting_user(call: Call) -> int:
    return call.caller.key.user_id if isinstance(call.caller, KeyCaller) else call.caller.user.id


def _create_key(call: Call) -> Answer:
    project = project_for(call, _uid_text(call))
    given = call.members()
    title, scopes = given.name("title"), given.members("scopes", tuple(APIKeyScope))
    key = call.store.add_key(
        _PROJECT, project.id, title=title, scopes=scopes, user_id=user_of(call).id, now_us=call.now_us
    )
    return Answer(key.api_key, project.hash, title)


def _list_keys(call: Call) -> Answer:
    project = project_for(call, _uid_text(call))
    call.members()
    keys = call.store.keys_of(_PROJECT, project.id, call.as_of_us)
    return Answer([_key(key) for key in keys])


def _key(key: KeyRow) -> dict[str, object]:
    return {"api_key": key.api_key, "title": key.title, "scopes": json.loads(key.scopes)}


def _full_key(call: Call) -> Answer:
    project = project_for(call, _uid_text(call))
    call.members()
    every = tuple(APIKeyScope)
    for key in call.store.keys_of(_PROJECT, project.id, call.now_us):
        if set(json.loads(key.scopes)) == set(every):
            return Answer(key.api_key, project.hash, key.title)
    title = f"{project.hash} - admin key"
    key = call.store.add_key(
        _PROJECT, project.id, title=title, scopes=every, user_id=user_of(call).id, now_us=call.now_us
    )
    return Answer(key.api_key, project.hash, title)


def _uid_text(call: Call) -> str:
    if not isinstance(call.request.uid, str):
        raise Refused("INVALID_ARGUMENTS_ERROR", "uid has to be the project's hash")
    return call.request.uid


def _label_rows(call: Call) -> Answer:
    project_for(call, call.resource_id, None)
    needs_scope(call, APIKeyScope.LABEL_READ)
    call.uid_is_null()
    call.members()
    return Answer([])


PROJECT_RULES: Final[Rules] = {
    (Endpoint.USER, "project", "POST"): _create,
    (Endpoint.USER, "projectwithuserrole", "GET"): _list,
    (Endpoint.USER, "projectapikey", "POST"): _create_key,
    (Endpoint.USER, "projectapikey", "GET"): _list_keys,
    (Endpoint.USER, "projectapikey", "PUT"): _full_key,
    (Endpoint.RESOURCE, "project", "GET"): _get,
    (Endpoint.RESOURCE, "projectdataset", "POST"): _attach,
    (Endpoint.RESOURCE, "projectdataset", "DELETE"): _detach,
    (Endpoint.RESOURCE, "projectusers", "POST"): _add_users,
    (Endpoint.RESOURCE, "projectcopy", "POST"): _copy,
    (Endpoint.RESOURCE, "labelrowmetadata", "GET"): _label_rows,
}
