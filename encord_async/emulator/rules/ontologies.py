"""The rules of ontologies: create, list, read, save.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

import json
from collections.abc import Mapping
from typing import Final

from encord_async.emulator.arguments import Refused, read_filter
from encord_async.emulator.calls import Answer, Call, Rules, moment, stamp
from encord_async.emulator.rules.access import listed, resource, user_of
from encord_async.emulator.store import ADMIN, ONTOLOGY, PROJECT, OntologyRow
from encord_async.protocol.catalogue import ResourceType

__all__ = ["EMPTY_ONTOLOGY", "RULES", "add_ontology"]

EMPTY_ONTOLOGY: Final[Mapping[str, list[object]]] = {"objects": [], "classifications": [], "skeleton_templates": []}
"""Editor of an ontology without content. Source: SDK 0.1.115."""


def add_ontology(call: Call, *, title: str, description: str, editor: Mapping[str, object]) -> OntologyRow:
    """Make an ontology whose Admin is the caller."""
    return call.store.add_ontology(
        title=title, description=description, editor=editor, admins=[user_of(call).id], now_us=call.now_us
    )


def _create(call: Call) -> Answer:
    user_of(call)
    call.uid_is_null()
    given = call.members("title", "description", "editor")
    title, description, editor = given.name("title"), given.text("description", ""), given.mapping("editor")
    ontology = add_ontology(call, title=title, description=description, editor=editor)
    return Answer(_shown(ontology), ontology.hash, title)


def _create_over_rest(call: Call) -> Answer:
    title, description, editor = _rest_members(call)
    ontology = add_ontology(call, title=title, description=description, editor=editor)
    return Answer(_shown_over_rest(ontology, ADMIN), ontology.hash, title)


def _rest_members(call: Call) -> tuple[str, str, Mapping[str, object]]:
    given = call.members()
    if not given.has("editor"):
        raise Refused("INVALID_ARGUMENTS_ERROR", "editor is missing")
    return given.name("title"), given.text("description"), given.mapping("editor")


def _list(call: Call) -> Answer:
    call.uid_is_null()
    user = user_of(call)
    found = listed(call, ONTOLOGY, read_filter(call.members("filter").mapping("filter")))
    return Answer([{"user_role": role, "user_email": user.email, "ontology": _shown(one)} for role, one in found])


def _list_over_rest(call: Call) -> Answer:
    found = listed(call, ONTOLOGY, call.filter("desc"))
    return Answer(call.page(found, lambda item: _shown_over_rest(item[1], item[0])))


def _get(call: Call) -> Answer:
    call.payload_is(None)
    return Answer(_shown(_named(call, None)))


def _get_over_rest(call: Call) -> Answer:
    ontology = call.store.named(ONTOLOGY, call.on)
    if ontology is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such ontology")
    user = user_of(call)
    role = call.store.role(ONTOLOGY, ontology.id, user.id)
    if role is None and not call.store.uses_ontology(user.id, ontology.id):
        raise Refused("AUTHORISATION_ERROR")
    return Answer(_shown_over_rest(ontology, role))


def _save(call: Call) -> Answer:
    ontology = _named(call, (ADMIN,))
    given = call.members()
    title, description, editor = given.name("title"), given.text("description", ""), given.mapping("editor")
    call.store.save_ontology(ontology.id, title=title, description=description, editor=editor, now_us=call.now_us)
    return Answer(True, ontology.hash, title)


def _save_over_rest(call: Call) -> Answer:
    ontology = resource(call, ONTOLOGY, call.on)
    title, description, editor = _rest_members(call)
    call.store.save_ontology(ontology.id, title=title, description=description, editor=editor, now_us=call.now_us)
    return Answer(None, ontology.hash, title)


def _named(call: Call, roles: tuple[int, ...] | None) -> OntologyRow:
    if call.on_type == ResourceType.PROJECT:
        # SDK 0.1.98 to 0.1.152 asks for a project's ontology with the project in the headers.
        project = resource(call, PROJECT, call.on, roles)
        ontology = call.store.ontology_by_id(project.ontology_id)
        if call.uid not in (ontology.hash, None):
            raise Refused("AUTHORISATION_ERROR")
        return ontology
    call.uid_names_resource()
    return resource(call, ONTOLOGY, call.on, roles)


def _shown(ontology: OntologyRow) -> dict[str, object]:
    return {
        "title": ontology.title,
        "description": ontology.description,
        "ontology_hash": ontology.hash,
        "editor": json.loads(ontology.editor),
        "created_at": stamp(ontology.created_us),
        "last_edited_at": stamp(ontology.edited_us),
    }


def _shown_over_rest(ontology: OntologyRow, role: int | None) -> dict[str, object]:
    return {
        "ontologyUuid": ontology.hash,
        "title": ontology.title,
        "description": ontology.description,
        "editor": json.loads(ontology.editor),
        "createdAt": moment(ontology.created_us),
        "lastEditedAt": moment(ontology.edited_us),
        "userRole": role,
    }


RULES: Final[Rules] = {
    "ontology.POST": _create,
    "ontologywithuserrole.GET": _list,
    "ontology.GET": _get,
    "ontology.PUT": _save,
    "v2/ontologies.POST": _create_over_rest,
    "v2/ontologies.GET": _list_over_rest,
    "v2/ontologies/{ontology}.GET": _get_over_rest,
    "v2/ontologies/{ontology}.PUT": _save_over_rest,
}
