"""One project of a session, with a method for each call that is about it. Names and defaults; nothing is done here."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import ProjectStatus, ProjectUserRole
from encord_async.protocol.checks import texts
from encord_async.protocol.operations import projects
from encord_async.protocol.operations.base import Operation, PageOperation
from encord_async.protocol.signing import APIKey
from encord_async.session.session import Session

__all__ = ["ProjectHandle"]

T = TypeVar("T")


class ProjectHandle:
    """One project of a session; made by `EncordSession.project`."""

    __slots__ = ("_api_key", "_session", "project_hash")

    def __init__(self, session: Session, project_hash: str, api_key: APIKey | None) -> None:
        self._session = session
        self._api_key = api_key
        self.project_hash = project_hash

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.project_hash}>"

    async def add_datasets(self, dataset_hashes: Iterable[str]) -> None:
        """Attach datasets; the caller must be admin of each. Raises as `Session.execute`."""
        operation = projects.AddDatasets(
            project_hash=self.project_hash, dataset_hashes=texts(dataset_hashes, "dataset_hashes")
        )
        await self._execute(operation)

    async def remove_datasets(self, dataset_hashes: Iterable[str]) -> None:
        """Detach datasets. Raises as `Session.execute`."""
        operation = projects.RemoveDatasets(
            project_hash=self.project_hash, dataset_hashes=texts(dataset_hashes, "dataset_hashes")
        )
        await self._execute(operation)

    async def add_users(self, emails: Iterable[str], role: ProjectUserRole) -> tuple[models.ProjectUser, ...]:
        """Add users in one role. A member already there keeps the old role, and the result shows it.

        Raises as `Session.execute`.
        """
        operation = projects.AddProjectUsers(project_hash=self.project_hash, emails=texts(emails, "emails"), role=role)
        return await self._execute(operation)

    async def get(self, *, include_labels_metadata: bool = False) -> models.Project:
        """Read the project. Raises as `Session.execute`."""
        operation = projects.GetProject(project_hash=self.project_hash, include_labels_metadata=include_labels_metadata)
        return await self._execute(operation)

    async def get_ontology(self) -> Mapping[str, Any]:
        """Read the ontology of the project's editor. Raises as `Session.execute`."""
        return await self._execute(projects.GetOntology(project_hash=self.project_hash))

    async def details(self) -> rest_models.ProjectDetails:
        """Read the project over REST v2: its status and the caller's role, no datasets. Raises as `Session.execute`."""
        return await self._execute(projects.GetProjectV2(project_hash=self.project_hash))

    async def set_status(self, status: ProjectStatus) -> None:
        """Say where the project stands. Raises as `Session.execute`."""
        await self._execute(projects.SetProjectStatus(project_hash=self.project_hash, status=status))

    async def list_datasets(self) -> tuple[rest_models.ProjectPart, ...]:
        """The datasets of the project. Raises as `Session.execute`."""
        return await self._collect(projects.ListProjectDatasets(project_hash=self.project_hash))

    async def list_users(self) -> tuple[rest_models.ProjectMember, ...]:
        """The users of the project with the roles they hold. Raises as `Session.execute`."""
        return await self._collect(projects.ListProjectUsers(project_hash=self.project_hash))

    async def remove_users(self, emails: Iterable[str]) -> None:
        """Remove users; those who are not in the project are ignored. Raises as `Session.execute`."""
        await self._execute(projects.RemoveProjectUsers(project_hash=self.project_hash, emails=texts(emails, "emails")))

    async def list_groups(self) -> tuple[rest_models.ProjectGroup, ...]:
        """The groups that have access to the project. Raises as `Session.execute`."""
        return await self._collect(projects.ListProjectGroups(project_hash=self.project_hash))

    async def add_groups(self, group_hashes: Iterable[str], role: ProjectUserRole) -> None:
        """Give groups access in one role. Raises as `Session.execute`."""
        hashes = texts(group_hashes, "group_hashes")
        await self._execute(projects.AddProjectGroups(project_hash=self.project_hash, group_hashes=hashes, role=role))

    async def remove_groups(self, group_hashes: Iterable[str]) -> None:
        """Take the access from groups. Raises as `Session.execute`."""
        hashes = texts(group_hashes, "group_hashes")
        await self._execute(projects.RemoveProjectGroups(project_hash=self.project_hash, group_hashes=hashes))

    async def list_tags(self) -> tuple[rest_models.Tag, ...]:
        """The tags of the project. Raises as `Session.execute`."""
        return await self._collect(projects.ListProjectTags(project_hash=self.project_hash))

    async def add_tag(self, tag_uuid: str) -> None:
        """Put a tag of the organisation on the project. Raises as `Session.execute`."""
        await self._execute(projects.AddProjectTag(project_hash=self.project_hash, tag_uuid=tag_uuid))

    async def remove_tag(self, tag_uuid: str) -> None:
        """Take a tag off the project. Raises as `Session.execute`."""
        await self._execute(projects.RemoveProjectTag(project_hash=self.project_hash, tag_uuid=tag_uuid))

    async def _execute(self, operation: Operation[T]) -> T:
        return await self._session.execute(operation, api_key=self._api_key)

    async def _collect(self, listing: PageOperation[T]) -> tuple[T, ...]:
        return await self._session.collect(listing, api_key=self._api_key)
