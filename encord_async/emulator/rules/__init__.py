"""What the emulated service does, a module a noun; each answers the calls of both APIs for its noun.

The tables here say which rule answers which call. They decide nothing themselves.
"""

from typing import Final

from encord_async.emulator.calls import Rules
from encord_async.emulator.rules import (
    data_rows,
    datasets,
    groups,
    jobs,
    keys,
    members,
    ontologies,
    organisation,
    projects,
    storage,
    tags,
    workflow,
)
from encord_async.protocol.catalogue import QUERIES, REST_CALLS, Effect, Query, RestCall

__all__ = ["LISTINGS", "NAMES", "RULES", "WRITES"]

RULES: Final[Rules] = {
    **projects.RULES,
    **datasets.RULES,
    **ontologies.RULES,
    **members.RULES,
    **keys.RULES,
    **organisation.RULES,
    **groups.RULES,
    **tags.RULES,
    **storage.RULES,
    **jobs.RULES,
    **data_rows.RULES,
    **workflow.RULES,
}
"""Every call that the emulator answers, by its name, for example ``project.POST`` or ``v2/datasets.POST``."""

NAMES: Final = frozenset({*RULES, "unknown"})
"""What statistics count by; ``unknown`` is whatever has no name."""

_CALLS: Final[tuple[Query | RestCall, ...]] = (*QUERIES.values(), *REST_CALLS.values())
WRITES: Final = frozenset({"ontology.PUT", *(call.name for call in _CALLS if call.effect is not Effect.READ)})
"""The calls that change something, and so are noted in the log."""

LISTINGS: Final = frozenset(
    {
        "projectwithuserrole.GET",
        "datasetwithuserrole.GET",
        "ontologywithuserrole.GET",
        "projectapikey.GET",
        "datasetapikey.GET",
        "project.GET",
        "v2/datasets/list.GET",
        "v2/datasets/{dataset}/users.GET",
        "v2/projects.GET",
        "v2/projects/{project}.GET",
        "v2/projects/{project}/datasets.GET",
        "v2/projects/{project}/users.GET",
        "v2/ontologies.GET",
        "v2/user/current-organisation/groups.GET",
        "datarows.GET",
        "v2/storage/folders.GET",
        "v2/storage/search/folders.GET",
        "v2/storage/folders/{folder}.GET",
        "v2/storage/folders/{folder}/folders.GET",
        "v2/storage/folders/{folder}/items.GET",
        "v2/projects/{project}/workflow/stages/{stage}/tasks.GET",
    }
)
"""The calls that a stale read shows the past."""
