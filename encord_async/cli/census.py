"""What a manifest holds, in numbers. Pure; reads no file."""

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from encord_async.manifest.entries import Entry

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
    found = Counter({"entries": 1})
    match entry.kind:
        case "dataset":
            found["datasets"] = 1
        case "project":
            found["projects"] = 1
            found["memberships"] = len(entry.users)
            found["attachments"] = len(entry.datasets)
            found["api_keys"] = len(entry.api_keys)
        case "project_users":
            found["memberships"], found["removals"] = len(entry.emails), len(entry.remove)
        case "project_datasets":
            found["attachments"], found["detachments"] = len(entry.add), len(entry.remove)
        case "project_api_key":
            found["api_keys"] = 1
        case "project_groups":
            found["group_changes"] = len(entry.add) + len(entry.remove)
        case "ontology":
            found["ontologies"] = 1
        case "group":
            found["groups"] = 1
        case "organisation_user":
            found["organisation_users"] = 1
    return found
