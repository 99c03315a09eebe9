"""The rules of storage and workflow, of which there are none yet: every call is refused."""

from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, Rules
from encord_async.protocol.catalogue import REST_CALLS

__all__ = ["RULES"]


def _not_yet(call: Call) -> Answer:
    raise Refused("METHOD_NOT_ALLOWED_ERROR", f"{call.name} is not emulated")


_PARTS: Final = (
    "v2/storage/",
    "v2/cloud-integrations",
    "v2/projects/{project}/workflow",
    "v2/projects/{project}/prior",
)

RULES: Final[Rules] = {
    "datasetlinkitems.POST": _not_yet,
    "video.DELETE": _not_yet,
    **{call.name: _not_yet for call in REST_CALLS.values() if call.name.startswith(_PARTS)},
}
