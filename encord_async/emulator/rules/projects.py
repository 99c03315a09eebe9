"""The rules of projects: create, list, read, copy, their datasets and their status.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

import json
from typing import Final

from encord_async.emulator.arguments import Members, Refused, read_filter
from encord_async.emulator.calls import Answer, Call, Rules, moment, stamp
from encord_async.emulator.rules.access import (
    acting_user_id,
    listed,
    needs_scope,
    own_datasets,
    readable_project,
    resource,
    user_of,
)
from encord_async.emulator.rules.ontologies import EMPTY_ONTOLOGY, add_ontology
from encord_async.emulator.rules.workflow import stages_shown
from encord_async.emulator.store import ONTOLOGY, PROJECT, OntologyRow, ProjectRow
from encord_async.protocol.catalogue import APIKeyScope, CopyOption, ProjectStatus, StorageLocation

__all__ = ["RULES"]

_WORKFLOWS: Final = ("manual", "benchmark")
_SDK_CREATES: Final = (
    "title",
    "description",
    "dataset_hashes",
    "workflow_type",
    "source_projects",
    "ontology_hash",
    "workflow_template_id",
)
"""Members of the payload, in the SDK's order. Source: SDK captures, all releases."""


def _create(call: Call) -> Answer:
    user = user_of(call)
    call.uid_is_null()
    given = call.members(*_SDK_CREATES)
    title, description = given.name("title"), given.text("description", "")
    hashes = given.texts("dataset_hashes", required=call.typed)
    sources = _sources(call, given)
    template = given.optional_text("workflow_template_id")
    like = _project_as_template(call, template)
    dataset_ids = own_datasets(call, hashes) if hashes else []
    ontology_id = _ontology_of_new(call, given, title)
    project = call.store.add_project(
        title=title,
        description=description,
        ontology_id=ontology_id,
        admins=[user.id],
        sources=sources,
        now_us=call.now_us,
    )
    call.store.attach(project.id, dataset_ids, call.now_us)
    if like is not None:
        call.store.workflows.copy_template(like.id, project.id)
    elif template:
        call.store.workflows.set_template(project.id, template)
    return Answer(project.hash, project.hash, title)


def _project_as_template(call: Call, template: str | None) -> ProjectRow | None:
    """The project that stands for a template; None for a template of the seed, or none at all."""
    if not template or call.store.workflows.has_template(template):
        return None
    return resource(call, PROJECT, template)


def _sources(call: Call, given: Members) -> list[str]:
    workflow = given.optional_text("workflow_type") or "manual"
    if workflow not in _WORKFLOWS:
        raise Refused("INVALID_ARGUMENTS_ERROR", f"workflow_type is not one of {', '.join(_WORKFLOWS)}")
    sources = given.texts("source_projects", required=False)
    if (workflow == "benchmark") != bool(sources):
        raise Refused("INVALID_ARGUMENTS_ERROR", "source_projects goes with workflow_type benchmark, and only with it")
    for hash_ in sources:
        resource(call, PROJECT, hash_)
    return sources


def _ontology_of_new(call: Call, given: Members, title: str) -> int:
    if hash_ := given.optional_text("ontology_hash"):
        return resource(call, ONTOLOGY, hash_, None).id
    return add_ontology(call, title=title, description="", editor=EMPTY_ONTOLOGY).id


def _list(call: Call) -> Answer:
    call.uid_is_null()
    found = listed(call, PROJECT, read_filter(call.members("filter").mapping("filter")))
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
    project = readable_project(call)
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
    project = resource(call, PROJECT, call.on)
    call.uid_is_null()
    hashes = call.members("dataset_hashes").texts("dataset_hashes")
    call.store.attach(project.id, own_datasets(call, hashes), call.now_us)
    call.store.touch_project(project.id, call.now_us)
    return Answer(True, project.hash, project.title)


def _detach(call: Call) -> Answer:
    project = resource(call, PROJECT, call.on)
    call.payload_is(None)
    call.store.detach(project.id, call.uid_texts())
    call.store.touch_project(project.id, call.now_us)
    return Answer(True, project.hash, project.title)


def _copy(call: Call) -> Answer:
    source = resource(call, PROJECT, call.on)
    call.uid_names_resource()
    given = call.members("copy_project_options", "copy_labels_options", "project_copy_metadata")
    options = given.members("copy_project_options", tuple(CopyOption))
    given.mapping("copy_labels_options")
    metadata = Members(given.mapping("project_copy_metadata") or None, strict=False)
    title = metadata.optional_text("project_title") or f"Copy of {source.title}"
    project = call.store.add_project(
        title=title,
        description=metadata.optional_text("project_description") or source.description,
        ontology_id=source.ontology_id,
        admins=[acting_user_id(call)],
        now_us=call.now_us,
    )
    call.store.workflows.copy_template(source.id, project.id)
    if CopyOption.COLLABORATORS in options:
        call.store.copy_members(source.id, project.id, call.now_us)
    if CopyOption.DATASETS in options:
        attached = call.store.attached(source.id, call.now_us)
        call.store.attach(project.id, [dataset.id for dataset in attached], call.now_us)
    return Answer(project.hash, project.hash, title)


def _label_rows(call: Call) -> Answer:
    resource(call, PROJECT, call.on, None)
    needs_scope(call, APIKeyScope.LABEL_READ)
    call.uid_is_null()
    call.members()
    return Answer([])


def _list_over_rest(call: Call) -> Answer:
    filter_ = call.filter("desc")
    tags = set(call.query.get("tagsAnyof", ()))
    found = listed(call, PROJECT, filter_)
    if tags:
        carried = call.store.organisation.project_tags
        found = [(role, row) for role, row in found if tags.intersection(tag.name for tag in carried(row.id))]
    return Answer(call.page(found, lambda item: _shown_over_rest(call, item[1], item[0])))


def _get_over_rest(call: Call) -> Answer:
    project = readable_project(call)
    if project.created_us > call.as_of_us:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such project")
    return Answer(_shown_over_rest(call, project, call.store.role(PROJECT, project.id, user_of(call).id)))


def _shown_over_rest(call: Call, project: ProjectRow, role: int | None) -> dict[str, object]:
    ontology = call.store.ontology_by_id(project.ontology_id)
    members = call.store.members(PROJECT, project.id, call.now_us)
    return {
        "projectHash": project.hash,
        "projectType": "workflow",
        "status": call.store.organisation.status(project.id),
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
        "workflow": {"stages": stages_shown(call, project)},
    }


def _set_status(call: Call) -> Answer:
    project = resource(call, PROJECT, call.on)
    status = call.members().name("status")
    if status not in tuple(ProjectStatus):
        raise Refused("INVALID_ARGUMENTS_ERROR", f"status is not one of {', '.join(ProjectStatus)}")
    call.store.organisation.set_status(project.id, status)
    call.store.touch_project(project.id, call.now_us)
    return Answer(None, project.hash, project.title)


def _datasets(call: Call) -> Answer:
    project = readable_project(call)
    rows = call.store.attached(project.id, call.as_of_us)
    return Answer(
        call.page(rows, lambda row: {"datasetHash": row.hash, "title": row.title, "description": row.description})
    )


RULES: Final[Rules] = {
    "project.POST": _create,
    "projectwithuserrole.GET": _list,
    "project.GET": _get,
    "projectdataset.POST": _attach,
    "projectdataset.DELETE": _detach,
    "projectcopy.POST": _copy,
    "labelrowmetadata.GET": _label_rows,
    "v2/projects.GET": _list_over_rest,
    "v2/projects/{project}.GET": _get_over_rest,
    "v2/projects/{project}/status.PUT": _set_status,
    "v2/projects/{project}/datasets.GET": _datasets,
}
