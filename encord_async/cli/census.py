"""What a manifest holds, in numbers. Pure; reads no file."""

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from encord_async.kinds.entry import Entry

__all__ = ["COUNTED", "contents"]

COUNTED: Final = {
    "entries": "entries",
    "datasets": "datasets",
    "projects": "projects",
    "memberships": "memberships of users",
    "attachments": "attachments of datasets",
    "detachments": "detachments of datasets",
    "api_keys": "API keys",
    "ontologies": "ontologies",
    "groups": "groups",
    "organisation_users": "organisation users",
    "removals": "removals of users",
    "group_changes": "changes of groups' access",
}
"""What is counted, with words for people."""


def contents(entry: "Entry") -> Counter[str]:
    """The numbers of one entry, under the names of `COUNTED`."""
    return Counter(entries=1, **entry.contents())
