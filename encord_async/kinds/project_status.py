"""The status of a project, of which the entries of projects speak. Sends nothing but reads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from encord_async.kinds.fields import OneOf
from encord_async.kinds.reading import Reads, Unlisted, unless_refused
from encord_async.kinds.setting import Setting
from encord_async.protocol.catalogue import ProjectStatus
from encord_async.protocol.operations.projects import GetProjectV2, SetProjectStatus

__all__ = ["STATUS", "STATUSES", "StatusWord"]


STATUSES: Final[Mapping[str, ProjectStatus]] = {status.name.lower(): status for status in ProjectStatus}
"""The words for where a project stands."""
StatusWord: TypeAlias = Annotated[ProjectStatus, OneOf("status of a project", STATUSES, [*ProjectStatus])]
"""The API's own spelling is taken, too."""


class _Status(Setting):
    sort = what = thing = gives = noun = "status"
    plural = "statuses"
    adds = ("statuses", "status of a project to set", "statuses of projects to set")
    parent = "project"
    # That a new one has it is documented nowhere: it is inferred from its name.
    at_first = MappingProxyType({ProjectStatus.NOT_STARTED.name.lower(): None})

    def setting(self, parent_hash: str, value: str) -> SetProjectStatus:
        return SetProjectStatus(project_hash=parent_hash, status=STATUSES[value])

    async def value(self, reads: Reads, parent_hash: str) -> str | Unlisted | None:
        project = await unless_refused(reads.execute(GetProjectV2(project_hash=parent_hash)))
        if isinstance(project, Unlisted):
            return project
        found = project.status
        return found.name.lower() if isinstance(found, ProjectStatus) else found


STATUS: Final = _Status()
