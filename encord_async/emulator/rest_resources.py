"""The REST rules of datasets, projects and ontologies.

They show and change what the envelope rules show and change. None knows HTTP, opens a transaction or reads a clock.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

from encord_async.emulator.envelope import Refused
from encord_async.emulator.organisation import GroupRow
from encord_async.emulator.rest_call import RestAsk, RestRule, group_shown, moment
from encord_async.emulator.rules import ADMIN, Answer, dataset_for, ontology_for, project_for, readable_project
from encord_async.emulator.store import DatasetRow, OntologyRow, ProjectRow
from encord_async.protocol.catalogue import (
    DatasetUserRole,
    ProjectStatus,
    ProjectUserRole,
    ResourceType,
    StorageLocation,
)

__all__ = ["RESOURCE_RULES"]

_DATASET: Final = ResourceType.DATASET
_PROJECT: Final = ResourceType.PROJECT
_ONTOLOGY: Final = ResourceType.ONTOLOGY


# --- datasets


def _create_dataset(ask: RestAsk) -> Answer:
    given = ask.members("title", "description", "createBackingFolder", "legacyCall")
    title = given.name("title")
    for needed in ("createBackingFolder", "legacyCall"):
        if not given.has(needed):
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{needed} is missing")
        given.flag(needed)
    dataset = ask.store.add_dataset(
        title=title,
        description=given.optional_text("description") or "",
        type_=StorageLocation.CORD_STORAGE,
        creator=ask.user,
        backing_folder=given.flag("createBackingFolder"),
        now_us=ask.now_us,
    )
    ask.store.join(_DATASET, dataset.id, ask.user.id, ADMIN, ask.now_us)
    folder = {"backingFolderUuid": dataset.backing_folder} if dataset.backing_folder else {}
    return Answer({"datasetUuid": dataset.hash, **folder}, dataset.hash, title)


def _list_datasets(ask: RestAsk) -> Answer:
    filter_ = ask.filter("description")
    if ask.flag("includeOrgAccess") and ask.org_admin():
        every = ask.store.everything(_DATASET, ask.user.id, filter_, ask.as_of_us)
        found = [(role, DatasetRow._make(row)) for role, row in every]
    else:
        found = [*ask.store.datasets_of(ask.user.id, filter_, ask.as_of_us)]
    return Answer({"result": [_dataset(dataset, role) for role, dataset in found]})


def _dataset(dataset: DatasetRow, role: int | None) -> dict[str, object]:
    return {
        "datasetUuid": dataset.hash,
        "title": dataset.title,
        "description": dataset.description,
        "createdAt": moment(dataset.created_us),
        "lastEditedAt": moment(dataset.edited_us),
        "userRole": None if role is None else DatasetUserRole(role).name.lower(),
        "storageLocation": dataset.type,
        "backingFolderUuid": dataset.backing_folder,
    }


def _dataset_users(ask: RestAsk) -> Answer:
    dataset = dataset_for(ask, ask.path["dataset"])
    rows = ask.store.members(_DATASET, dataset.id, ask.as_of_us)
    return Answer(ask.page(rows, lambda row: {"datasetUuid": dataset.hash, "userEmail": row[0], "userRole": row[1]}))


def _remove_dataset_users(ask: RestAsk) -> Answer:
    dataset = dataset_for(ask, ask.path["dataset"])
    ask.store.leave(_DATASET, dataset.id, ask.members("userEmails").emails("userEmails"))
    return Answer(None, dataset.hash, dataset.title)


# --- projects


def _list_projects(ask: RestAsk) -> Answer:
    filter_ = ask.filter("desc")
    tags = set(ask.query.get("tagsAnyof", ()))
    if ask.flag("includeOrgAccess") and ask.org_admin():
        every = ask.store.everything(_PROJECT, ask.user.id, filter_, ask.as_of_us)
        found = [(role, ProjectRow._make(row)) for role, row in every]
    else:
        found = [*ask.store.projects_of(ask.user.id, filter_, ask.as_of_us)]
    if tags:
        carried = ask.store.organisation.project_tags
        found = [(role, row) for role, row in found if tags.intersection(tag.name for tag in carried(row.id))]
    return Answer(ask.page(found, lambda item: _project(ask, item[1], item[0])))


def _get_project(ask: RestAsk) -> Answer:
    project = readable_project(ask, ask.path["project"])
    if project.created_us > ask.as_of_us:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such project")
    return Answer(_project(ask, project, ask.store.role(_PROJECT, project.id, ask.user.id)))


def _project(ask: RestAsk, project: ProjectRow, role: int | None) -> dict[str, object]:
    ontology = ask.store.ontology_by_id(project.ontology_id)
    members = ask.store.members(_PROJECT, project.id, ask.now_us)
    return {
        "projectHash": project.hash,
        "projectType": "workflow",
        "status": ask.store.organisation.status(project.id),
        "title": project.title,
        "description": project.description,
        "createdAt": moment(project.created_us),
        "creatorEmail": members[0][0] if members else "",
        "lastEditedAt": moment(project.edited_us),
        "ontologyHash": ontology.hash,
        "editorOntology": json.loads(ontology.editor),
        "userRole": role,
        "sourceProjects": json.loads(project.sources),
        "workflowManagerUuid": project.workflow,
        "workflow": {"stages": []},
    }


def _set_status(ask: RestAsk) -> Answer:
    project = project_for(ask, ask.path["project"])
    status = ask.members("status").name("status")
    if status not in tuple(ProjectStatus):
        raise Refused("INVALID_ARGUMENTS_ERROR", f"status is not one of {', '.join(ProjectStatus)}")
    ask.store.organisation.set_status(project.id, status)
    ask.store.touch_project(project.id, ask.now_us)
    return Answer(None, project.hash, project.title)


def _project_datasets(ask: RestAsk) -> Answer:
    project = readable_project(ask, ask.path["project"])
    rows = ask.store.attached(project.id, ask.as_of_us)
    return Answer(
        ask.page(rows, lambda row: {"datasetHash": row.hash, "title": row.title, "description": row.description})
    )


def _project_users(ask: RestAsk) -> Answer:
    project = readable_project(ask, ask.path["project"])
    rows = ask.store.members(_PROJECT, project.id, ask.as_of_us)
    return Answer(ask.page(rows, lambda row: {"userEmail": row[0], "userRole": row[1]}))


def _remove_project_users(ask: RestAsk) -> Answer:
    project = project_for(ask, ask.path["project"])
    emails = ask.members("userEmails").emails("userEmails")
    wanted = {email.lower() for email in emails}
    held = ask.store.members(_PROJECT, project.id, ask.now_us)
    admins = {email.lower() for email, role in held if role == ADMIN}
    if wanted & admins and not ask.org_admin():
        raise Refused("AUTHORISATION_ERROR", "only an Admin of the organisation removes an Admin of a project")
    ask.store.leave(_PROJECT, project.id, emails)
    ask.store.touch_project(project.id, ask.now_us)
    return Answer(None, project.hash, project.title)


def _project_groups(ask: RestAsk) -> Answer:
    project = readable_project(ask, ask.path["project"])
    return Answer(ask.page(ask.store.organisation.project_groups(project.id), _project_group))


def _project_group(item: tuple[int, GroupRow]) -> dict[str, object]:
    role, group = item
    return {**group_shown(group), "isSameOrganisation": True, "userRole": role}


def _add_project_groups(ask: RestAsk) -> Answer:
    project = project_for(ask, ask.path["project"])
    given = ask.members("groupHashList", "userRole")
    hashes, role = given.texts("groupHashList"), given.number("userRole")
    if role not in tuple(ProjectUserRole):
        raise Refused("INVALID_ARGUMENTS_ERROR", "userRole is not a role of a project (0 to 5)")
    groups = [ask.store.organisation.group(hash_) for hash_ in hashes]
    known = [group.id for group in groups if group is not None]
    if not hashes or len(known) != len(hashes):
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such group")
    ask.store.organisation.admit_groups(project.id, known, role)
    return Answer(None, project.hash, project.title)


def _remove_project_groups(ask: RestAsk) -> Answer:
    project = project_for(ask, ask.path["project"])
    hashes = ask.query.get("groupHashList", ())
    if not hashes:
        raise Refused("INVALID_ARGUMENTS_ERROR", "groupHashList is missing")
    ask.store.organisation.expel_groups(project.id, hashes)
    return Answer(None, project.hash, project.title)


def _project_tags(ask: RestAsk) -> Answer:
    project = readable_project(ask, ask.path["project"])
    tags = ask.store.organisation.project_tags(project.id)
    return Answer(ask.page(tags, lambda tag: {"uuid": tag.hash, "name": tag.name}))


def _put_tag(ask: RestAsk) -> Answer:
    return _change_tag(ask, ask.store.organisation.put_tag)


def _take_tag(ask: RestAsk) -> Answer:
    return _change_tag(ask, ask.store.organisation.take_tag)


def _change_tag(ask: RestAsk, change: Callable[[int, int], None]) -> Answer:
    project = project_for(ask, ask.path["project"])
    tag = ask.store.organisation.tag(ask.path["tag"])
    if tag is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such tag")
    change(project.id, tag.id)
    return Answer(None, project.hash, project.title)


# --- ontologies


def _create_ontology(ask: RestAsk) -> Answer:
    title, description, editor = _ontology_members(ask)
    ontology = ask.store.add_ontology(title=title, description=description, editor=editor, now_us=ask.now_us)
    ask.store.join(_ONTOLOGY, ontology.id, ask.user.id, ADMIN, ask.now_us)
    return Answer(_ontology(ontology, ADMIN), ontology.hash, title)


def _ontology_members(ask: RestAsk) -> tuple[str, str, dict[str, object]]:
    given = ask.members("title", "description", "editor")
    if not given.has("editor"):
        raise Refused("INVALID_ARGUMENTS_ERROR", "editor is missing")
    return given.name("title"), given.text("description"), dict(given.mapping("editor"))


def _list_ontologies(ask: RestAsk) -> Answer:
    filter_ = ask.filter("desc")
    if ask.flag("includeOrgAccess") and ask.org_admin():
        every = ask.store.everything(_ONTOLOGY, ask.user.id, filter_, ask.as_of_us)
        found = [(role, OntologyRow._make(row)) for role, row in every]
    else:
        found = [*ask.store.ontologies_of(ask.user.id, filter_, ask.as_of_us)]
    return Answer(ask.page(found, lambda item: _ontology(item[1], item[0])))


def _get_ontology(ask: RestAsk) -> Answer:
    ontology = ask.store.ontology(ask.path["ontology"])
    if ontology is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such ontology")
    role = ask.store.role(_ONTOLOGY, ontology.id, ask.user.id)
    if role is None and not ask.store.uses_ontology(ask.user.id, ontology.id):
        raise Refused("AUTHORISATION_ERROR")
    return Answer(_ontology(ontology, role))


def _save_ontology(ask: RestAsk) -> Answer:
    ontology = ontology_for(ask, ask.path["ontology"], (ADMIN,))
    title, description, editor = _ontology_members(ask)
    ask.store.save_ontology(ontology.id, title=title, description=description, editor=editor, now_us=ask.now_us)
    return Answer(None, ontology.hash, title)


def _ontology(ontology: OntologyRow, role: int | None) -> dict[str, object]:
    return {
        "ontologyUuid": ontology.hash,
        "title": ontology.title,
        "description": ontology.description,
        "editor": json.loads(ontology.editor),
        "createdAt": moment(ontology.created_us),
        "lastEditedAt": moment(ontology.edited_us),
        "userRole": role,
    }


RESOURCE_RULES: Final[Mapping[tuple[str, str], RestRule]] = {
    ("POST", "/datasets"): _create_dataset,
    ("GET", "/datasets/list"): _list_datasets,
    ("GET", "/datasets/{dataset}/users"): _dataset_users,
    ("POST", "/datasets/{dataset}/users/bulk-delete"): _remove_dataset_users,
    ("GET", "/projects"): _list_projects,
    ("GET", "/projects/{project}"): _get_project,
    ("PUT", "/projects/{project}/status"): _set_status,
    ("GET", "/projects/{project}/datasets"): _project_datasets,
    ("GET", "/projects/{project}/users"): _project_users,
    ("POST", "/projects/{project}/users/bulk-delete"): _remove_project_users,
    ("GET", "/projects/{project}/groups"): _project_groups,
    ("POST", "/projects/{project}/groups"): _add_project_groups,
    ("DELETE", "/projects/{project}/groups"): _remove_project_groups,
    ("GET", "/projects/{project}/tags"): _project_tags,
    ("PUT", "/projects/{project}/tags/{tag}"): _put_tag,
    ("DELETE", "/projects/{project}/tags/{tag}"): _take_tag,
    ("POST", "/ontologies"): _create_ontology,
    ("GET", "/ontologies"): _list_ontologies,
    ("GET", "/ontologies/{ontology}"): _get_ontology,
    ("PUT", "/ontologies/{ontology}"): _save_ontology,
}
