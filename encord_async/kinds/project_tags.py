"""Tags of a project, of which the entries of projects speak by name. Sends nothing but reads."""

from typing import Final

from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.names import Names
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.protocol.operations.organisation import CreateTag, ListTags
from encord_async.protocol.operations.projects import AddProjectTag, ListProjectTags, RemoveProjectTag
from encord_async.protocol.rest_models import Tag

__all__ = ["TAGS"]


class _TagNames(Names):
    what = "tag"

    def listing(self) -> ListTags:
        return ListTags()

    def making(self, name: str) -> CreateTag:
        return CreateTag(name=name)

    def read(self, listed: Tag) -> tuple[str, str]:
        return listed.name, listed.uuid


class _Tags(Relation):
    sort = what = thing = gives = noun = "tag"
    takes = "remove_tag"
    plural = "tags"
    adds = ("tags", "tag to put on a project", "tags to put on projects")
    removes = ("remove_tags", "tag to take off a project", "tags to take off projects")
    parent = "project"
    most_given = most_taken = 1
    names = _TagNames()
    has_entries = False
    limits_unsaid = False

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddProjectTag:  # noqa: ARG002
        return AddProjectTag(project_hash=parent_hash, tag_uuid=items[0])

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveProjectTag:
        return RemoveProjectTag(project_hash=parent_hash, tag_uuid=items[0])

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        tags = await listing(reads, ListProjectTags(project_hash=parent_hash))
        return tags if isinstance(tags, Unlisted) else {tag.name: None for tag in tags}


TAGS: Final = _Tags()
