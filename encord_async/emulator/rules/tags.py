"""The rules of tags: of the organisation, and on projects.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

from collections.abc import Callable
from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, Rules
from encord_async.emulator.rules.access import needs_org_admin, org_member, readable_project, resource
from encord_async.emulator.store import PROJECT, TagRow

__all__ = ["RULES"]


def _list(call: Call) -> Answer:
    org_member(call)
    return Answer(call.page(call.store.organisation.tags(), _shown))


def _create(call: Call) -> Answer:
    needs_org_admin(call)
    given = call.members()
    tag = call.store.organisation.add_tag(name=given.name("name"), description=given.optional_text("description") or "")
    if tag is None:
        raise Refused("RESOURCE_EXISTS_ERROR", "a tag has that name already")
    return Answer(_shown(tag), tag.hash, tag.name)


def _of_project(call: Call) -> Answer:
    project = readable_project(call)
    tags = call.store.organisation.project_tags(project.id)
    return Answer(call.page(tags, _shown))


def _put(call: Call) -> Answer:
    return _change(call, call.store.organisation.put_tag)


def _take(call: Call) -> Answer:
    return _change(call, call.store.organisation.take_tag)


def _change(call: Call, change: Callable[[int, int], None]) -> Answer:
    project = resource(call, PROJECT, call.on)
    tag = call.store.organisation.tag(call.path["tag"])
    if tag is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such tag")
    change(project.id, tag.id)
    return Answer(None, project.hash, project.title)


def _shown(tag: TagRow) -> dict[str, object]:
    return {"uuid": tag.hash, "name": tag.name}


RULES: Final[Rules] = {
    "v2/organisation/organisation-tags.GET": _list,
    "v2/organisation/organisation-tags.POST": _create,
    "v2/projects/{project}/tags.GET": _of_project,
    "v2/projects/{project}/tags/{tag}.PUT": _put,
    "v2/projects/{project}/tags/{tag}.DELETE": _take,
}
