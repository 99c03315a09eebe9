"""Text to entries: files, streams, the checks between entries. Sends nothing."""

from encord_async.kinds.data import DataEntry
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.folder import FolderEntry
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import APIKeyWish, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.kinds.project_tasks import ProjectTasksEntry
from encord_async.kinds.project_users import ProjectUsersEntry

__all__ = [
    "APIKeyWish",
    "DataEntry",
    "DatasetEntry",
    "Entry",
    "FolderEntry",
    "GroupEntry",
    "OntologyEntry",
    "OrganisationUserEntry",
    "ProjectAPIKeyEntry",
    "ProjectDatasetsEntry",
    "ProjectEntry",
    "ProjectGroupsEntry",
    "ProjectTasksEntry",
    "ProjectUsersEntry",
    "UserWish",
]
