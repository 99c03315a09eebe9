"""The stages of a project, which its entry can name: a check that it has the right workflow. Sends nothing but reads.

The API lists no templates and changes no workflow, so a wrong one can only be told, once the project is there.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from encord_async.errors import ConflictError
from encord_async.kinds.chore import Chore, Todo
from encord_async.kinds.membership import Held
from encord_async.kinds.reading import Reads, Unlisted, unless_refused
from encord_async.protocol.operations.projects import GetProjectV2
from encord_async.protocol.rest_models import Stage

__all__ = ["STAGES", "stages_of"]


async def stages_of(reads: Reads, project_hash: str) -> Sequence[Stage]:
    """The stages of a project; none if it has no workflow.

    Raises:
        EncordError: It cannot be read.
    """
    workflow = (await reads.execute(GetProjectV2(project_hash=project_hash))).workflow
    return () if workflow is None else workflow.stages


class _Stages(Chore):
    sort = what = thing = gives = "stages"
    noun = plural = "stages"
    parent = "project"
    is_single = True
    sends = False
    role_stays = "no call changes a workflow, and no project can be deleted; make one with the right template"

    def called(self, titles: Sequence[str]) -> str:
        """What stands for these titles; their order says nothing, for a workflow is no line."""
        return json.dumps(titles, ensure_ascii=False)

    def said(self, item: str) -> str:
        return ", ".join(json.loads(item))

    async def todo(self, reads: Reads, parent_hash: str, item: str, *, waited_s: float) -> Todo:  # noqa: ARG002 - a look
        found = [stage.title for stage in await stages_of(reads, parent_hash)]
        if _are(item, found):
            return Todo()
        there = ", ".join(found) or "none"
        raise ConflictError(
            f"the project {parent_hash} is there with other stages than its entry says: {there}, and not "
            f"{self.said(item)}; {self.role_stays}, or correct 'stages'",
            code="OTHER_STAGES",
        )

    async def held_of(self, reads: Reads, parent_hash: str, wished: Collection[str]) -> Held | Unlisted:
        if not wished:
            return {}
        stages = await unless_refused(stages_of(reads, parent_hash))
        if isinstance(stages, Unlisted):
            return stages
        found = [stage.title for stage in stages]
        return {item if _are(item, found) else self.called(found): None for item in wished}


def _are(item: str, found: Sequence[str]) -> bool:
    return Counter(json.loads(item)) == Counter(found)


STAGES: Final = _Stages()
