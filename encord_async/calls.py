"""A session with a method for each call of the service that is about no project alone; see `ProjectHandle` for those.

Only names and defaults live here; `Session` sends them, and what a call means is in ``protocol/operations/``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr

from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    MemberType,
    OrganisationRole,
    StorageLocation,
)
from encord_async.protocol.checks import texts
from encord_async.protocol.operations import datasets, keys, ontologies, organisation, projects
from encord_async.protocol.operations.base import ListingFilter
from encord_async.session.session import Session

__all__ = ["Calls"]


class Calls(Session):
    """What `EncordSession` can ask the service, one call a method."""

    async def create_project(
        self,
        title: str,
        *,
        dataset_hashes: Iterable[str] = (),
        description: str = "",
        ontology_hash: str | None = None,
        workflow_template_id: str | None = None,
    ) -> str:
        """Create a project and return its hash. It cannot be deleted over the API. Raises as `execute`."""
        return await self.execute(
            projects.CreateProject(
                title=title,
                description=description,
                dataset_hashes=texts(dataset_hashes, "dataset_hashes"),
                ontology_hash=ontology_hash,
                workflow_template_id=workflow_template_id,
            )
        )

    async def copy_project(
        self,
        project_hash: str,
        *,
        title: str | None = None,
        description: str | None = None,
        options: Iterable[CopyOption] = (),
    ) -> str:
        """Copy a project with what *options* name and return the hash of the copy. Raises as `execute`."""
        return await self.execute(
            projects.CopyProject(
                project_hash=project_hash, title=title, description=description, options=texts(options, "options")
            )
        )

    async def create_project_api_key(self, project_hash: str, title: str, scopes: Iterable[APIKeyScope]) -> SecretStr:
        """Create an API key of a project and return it. Raises as `execute`."""
        return await self.execute(
            keys.CreateProjectAPIKey(project_hash=project_hash, title=title, scopes=texts(scopes, "scopes"))
        )

    async def list_project_api_keys(self, project_hash: str) -> tuple[models.ProjectAPIKey, ...]:
        """All API keys of a project, the keys themselves as `SecretStr`. Raises as `execute`."""
        return await self.execute(keys.ListProjectAPIKeys(project_hash=project_hash))

    async def get_or_create_project_api_key(self, project_hash: str) -> SecretStr:
        """The project's key with all scopes, made if it is not there. Raises as `execute`."""
        return await self.execute(keys.GetOrCreateProjectAPIKey(project_hash=project_hash))

    async def create_dataset(
        self,
        title: str,
        *,
        description: str = "",
        storage: StorageLocation = StorageLocation.CORD_STORAGE,
        create_backing_folder: bool = True,
    ) -> models.NewDataset:
        """Create a dataset. Raises as `execute`."""
        return await self.execute(
            datasets.CreateDataset(
                title=title,
                description=description,
                storage=storage,
                create_backing_folder=create_backing_folder,
            )
        )

    async def add_dataset_users(
        self, dataset_hash: str, emails: Iterable[str], role: DatasetUserRole = DatasetUserRole.USER
    ) -> tuple[models.DatasetUser, ...]:
        """Add users to a dataset; the result shows the role each holds. Raises as `execute`."""
        return await self.execute(
            datasets.AddDatasetUsers(dataset_hash=dataset_hash, emails=texts(emails, "emails"), role=role)
        )

    async def list_projects(self, filter: ListingFilter | None = None) -> tuple[models.OwnedProject, ...]:  # noqa: A002 - the API's own word
        """The caller's projects. Raises as `execute`."""
        return await self.execute(projects.ListProjects(filter=filter or ListingFilter()))

    async def list_datasets(self, filter: ListingFilter | None = None) -> tuple[models.OwnedDataset, ...]:  # noqa: A002 - the API's own word
        """The caller's datasets. Raises as `execute`."""
        return await self.execute(datasets.ListDatasets(filter=filter or ListingFilter()))

    async def get_dataset(self, dataset_hash: str) -> models.DatasetDetails:
        """Read a dataset, without its data rows. Raises as `execute`."""
        return await self.execute(datasets.GetDataset(dataset_hash=dataset_hash))

    async def create_dataset_v2(
        self, title: str, *, description: str = "", create_backing_folder: bool = True
    ) -> rest_models.CreatedDataset:
        """Create a dataset over REST v2, which does not ask where its data lie. Raises as `execute`."""
        operation = datasets.CreateDatasetV2(
            title=title, description=description, create_backing_folder=create_backing_folder
        )
        return await self.execute(operation)

    async def list_datasets_v2(
        self,
        filter: ListingFilter | None = None,  # noqa: A002 - the API's own word
        *,
        include_org_access: bool = False,
    ) -> tuple[rest_models.ListedDataset, ...]:
        """The caller's datasets; for an Admin of the organisation all of them, if asked. Raises as `execute`."""
        listing = datasets.ListDatasetsV2(filter=filter or ListingFilter(), include_org_access=include_org_access)
        return await self.collect(listing)

    async def list_projects_v2(
        self,
        filter: ListingFilter | None = None,  # noqa: A002 - the API's own word
        *,
        include_org_access: bool = False,
        tags_anyof: Iterable[str] = (),
    ) -> tuple[rest_models.ProjectDetails, ...]:
        """The caller's projects with their ontologies, page after page; see `pages` for few at a time.

        Args:
            filter: What the projects are to look like.
            include_org_access: For an Admin of the organisation: all of its projects.
            tags_anyof: Names of tags, of which a project has at least one.

        Raises as `execute`.
        """
        listing = projects.ListProjectsV2(
            filter=filter or ListingFilter(),
            include_org_access=include_org_access,
            tags_anyof=texts(tags_anyof, "tags_anyof"),
        )
        return await self.collect(listing)

    async def list_dataset_users(self, dataset_hash: str) -> tuple[rest_models.DatasetMember, ...]:
        """Who has access to a dataset, and in which role. Raises as `execute`."""
        return await self.collect(datasets.ListDatasetUsers(dataset_hash=dataset_hash))

    async def remove_dataset_users(self, dataset_hash: str, emails: Iterable[str]) -> None:
        """Take the access to a dataset from users; those who have none are ignored. Raises as `execute`."""
        await self.execute(datasets.RemoveDatasetUsers(dataset_hash=dataset_hash, emails=texts(emails, "emails")))

    async def create_ontology(
        self, title: str, *, description: str = "", editor: Mapping[str, Any] | None = None
    ) -> rest_models.Ontology:
        """Create an ontology with the structure *editor*, or an empty one. Raises as `execute`."""
        return await self.execute(ontologies.CreateOntology(title=title, description=description, editor=editor))

    async def get_ontology(self, ontology_hash: str) -> rest_models.Ontology:
        """Read an ontology by its own hash. Raises as `execute`."""
        return await self.execute(ontologies.GetOntologyV2(ontology_hash=ontology_hash))

    async def update_ontology(
        self, ontology_hash: str, *, title: str, description: str, editor: Mapping[str, Any]
    ) -> None:
        """Replace title, description and structure of an ontology. Raises as `execute`."""
        operation = ontologies.UpdateOntology(
            ontology_hash=ontology_hash, title=title, description=description, editor=editor
        )
        await self.execute(operation)

    async def list_ontologies(
        self,
        filter: ListingFilter | None = None,  # noqa: A002 - the API's own word
        *,
        include_org_access: bool = False,
    ) -> tuple[rest_models.Ontology, ...]:
        """The caller's ontologies with their structures. Raises as `execute`."""
        listing = ontologies.ListOntologies(filter=filter or ListingFilter(), include_org_access=include_org_access)
        return await self.collect(listing)

    async def create_group(self, name: str, *, description: str = "") -> rest_models.Group:
        """Create a group of users; the caller manages it. Raises as `execute`."""
        return await self.execute(organisation.CreateGroup(name=name, description=description))

    async def get_group(self, group_hash: str) -> rest_models.Group:
        """Read a group. Raises as `execute`."""
        return await self.execute(organisation.GetGroup(group_hash=group_hash))

    async def list_groups(self) -> tuple[rest_models.Group, ...]:
        """The groups of the caller's organisation. Raises as `execute`."""
        return await self.collect(organisation.ListGroups())

    async def list_group_members(self, group_hash: str) -> tuple[rest_models.GroupMember, ...]:
        """Who is in a group. Raises as `execute`."""
        return await self.collect(organisation.ListGroupMembers(group_hash=group_hash))

    async def add_group_members(self, group_hash: str, emails: Iterable[str]) -> tuple[rest_models.GroupMember, ...]:
        """Put members of the organisation into a group; the result is everybody in it. Raises as `execute`."""
        return await self.execute(organisation.AddGroupMembers(group_hash=group_hash, emails=texts(emails, "emails")))

    async def remove_group_members(self, group_hash: str, emails: Iterable[str]) -> None:
        """Take users out of a group; those who are not in it are ignored. Raises as `execute`."""
        await self.execute(organisation.RemoveGroupMembers(group_hash=group_hash, emails=texts(emails, "emails")))

    async def list_organisation_users(self) -> tuple[rest_models.OrganisationUser, ...]:
        """The members of the organisation, as far as the caller may see them. Raises as `execute`."""
        return await self.collect(organisation.ListOrganisationUsers())

    async def add_organisation_user(
        self,
        email: str,
        role: OrganisationRole = OrganisationRole.MEMBER,
        *,
        member_type: MemberType = MemberType.INTERNAL,
    ) -> bool:
        """Make somebody a member of the organisation; false if they are one already, in whatever role.

        Somebody without an account gets one, and a mail. Raises as `execute`.
        """
        return await self.execute(organisation.AddOrganisationUser(email=email, role=role, member_type=member_type))

    async def remove_organisation_user(self, email: str) -> None:
        """End somebody's membership of the organisation. Raises as `execute`."""
        await self.execute(organisation.RemoveOrganisationUser(email=email))

    async def create_tag(self, name: str, *, description: str | None = None) -> rest_models.Tag:
        """Create a tag of the organisation; `ExistsError` if the name is taken. Raises as `execute`."""
        return await self.execute(organisation.CreateTag(name=name, description=description))

    async def list_tags(self) -> tuple[rest_models.Tag, ...]:
        """The tags of the organisation. Raises as `execute`."""
        return await self.collect(organisation.ListTags())

    async def get_bearer_token(self) -> SecretStr:
        """A bearer token of the caller, for `from_bearer_token`. How long it lasts is unknown. Raises as `execute`."""
        return await self.execute(keys.GetBearerToken())
