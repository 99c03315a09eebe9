"""What entries say of clouds: an integration of the organisation, by its title or uuid, and where its files lie.

Sends nothing but reads.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.errors import ConflictError
from encord_async.kinds.fields import Part, Title, meant, sort_of, wrong
from encord_async.kinds.reading import Reads
from encord_async.protocol.operations.storage import ListCloudIntegrations

__all__ = ["Cloud", "CloudPlace", "found_integration", "is_uuid", "titles_of_integrations"]

_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MEMBERS: Final = ("integration", "url")


class CloudPlace(Part):
    """An integration, and what of its bucket: all that is below *url*, such as ``s3://bucket/prefix/``."""

    noun = "a cloud"

    integration: Title
    url: Title


def _cloud(value: object) -> object:
    if isinstance(value, str):
        # The cell of a table.
        integration, _, url = value.partition("=")
        value = {"integration": integration, "url": url}
    if isinstance(value, CloudPlace):
        return value
    if not isinstance(value, Mapping):
        raise wrong(f"must be an object with integration and url, not {sort_of(value)}")
    for name in value:
        if name not in _MEMBERS:
            raise wrong(f"{name!r} is not a part of a cloud", meant(str(name), _MEMBERS) or "it has integration, url")
    for name in _MEMBERS:
        if not (isinstance(value.get(name), str) and value[name].strip()):
            raise wrong(f"{name!r} is missing", "write {integration: bucket, url: s3://bucket/prefix/}")
    return value


Cloud: TypeAlias = Annotated[
    CloudPlace,
    BeforeValidator(_cloud),
    WithJsonSchema(
        {
            "type": "object",
            "description": "{integration, url}: what of a bucket it mirrors.",
            "properties": {name: {"type": "string", "minLength": 1} for name in _MEMBERS},
            "required": list(_MEMBERS),
            "additionalProperties": False,
        }
    ),
]


def is_uuid(text: str) -> bool:
    """Whether *text* has the form of a uuid."""
    return _UUID.fullmatch(text) is not None


async def found_integration(reads: Reads, named: str) -> str:
    """The uuid of the integration that goes by the title *named*, or is that uuid.

    Raises:
        ConflictError: There is none of that title, or more than one.
        EncordError: They cannot be listed.
    """
    if is_uuid(named):
        return named
    found = [one.integration_uuid for one in await reads.collect(ListCloudIntegrations(titles=(named,)))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConflictError(
            f"the account may use no cloud integration {named!r}; integrations are made in Encord's app",
            code="NO_INTEGRATION",
        )
    raise ConflictError(
        f"several cloud integrations go by {named!r}: {', '.join(found[:10])}; give the uuid of one",
        code="AMBIGUOUS",
    )


async def titles_of_integrations(reads: Reads) -> Mapping[str, str]:
    """Titles of integrations that no other has, by uuid."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for one in await reads.collect(ListCloudIntegrations()):
        found[one.title].append(one.integration_uuid)
    return {uuids[0]: title for title, uuids in found.items() if len(uuids) == 1}
