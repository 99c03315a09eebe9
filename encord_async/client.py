"""The front door: `EncordSession`, with a method for each call of the service and one for whole manifests.

Only names and defaults live here; the work is done in ``session/`` and ``engine/``.
"""

import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import anyio
import anyio.to_thread
from pydantic import SecretStr

from encord_async.errors import KeyFormatError, UsageError
from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    MemberType,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.operations import datasets, keys, ontologies, organisation, projects
from encord_async.protocol.operations.base import ListingFilter, Operation, PageOperation
from encord_async.protocol.signing import APIKey, BearerToken, SSHKey
from encord_async.redaction import quoted
from encord_async.secrecy import Secret, SecretText, sealed, wrapped
from encord_async.session.observer import Observer
from encord_async.session.session import Session
from encord_async.session.settings import Settings

if TYPE_CHECKING:
    from encord_async.engine.account import DatasetAPI, Existing
    from encord_async.engine.run import Options, Run
    from encord_async.export import Exported, LeftOut
    from encord_async.journal.journal import Journal
    from encord_async.kinds.entry import Entry
    from encord_async.manifest.files import CheckReport
    from encord_async.manifest.sources import Manifest
    from encord_async.plan import Action, Forecast
    from encord_async.verify.difference import Difference
    from encord_async.verify.projects import Report

__all__ = ["EncordSession", "ProjectHandle"]

T = TypeVar("T")
OptionT = TypeVar("OptionT", bound=StrEnum)

ENV_KEY_FILE: Final = "ENCORD_SSH_KEY_FILE"
ENV_KEY: Final = "ENCORD_SSH_KEY"
ENV_PASSPHRASE: Final = "ENCORD_SSH_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable, no passphrase
ENV_DOMAIN: Final = "ENCORD_DOMAIN"
ENV_CA_BUNDLE: Final = "REQUESTS_CA_BUNDLE"


class EncordSession(Session):
    """A session with the Encord API; use it as ``async with`` and share it between tasks.

    >>> async def main() -> str:
    ...     async with EncordSession.from_ssh_key("~/.ssh/encord") as session:
    ...         return await session.create_project("Cats")
    """

    @classmethod
    @sealed
    def from_ssh_key(
        cls,
        key: SecretText | Path | SSHKey,
        *,
        passphrase: SecretText | None = None,
        settings: Settings | None = None,
        domain: str | None = None,
        concurrency: int | None = None,
        observer: Observer[Any] | None = None,
    ) -> Self:
        """A session that signs with an OpenSSH Ed25519 private key.

        Args:
            key: Path of the key file, or the text of the key; texts and passphrases may also be pydantic's `SecretStr`.
            passphrase: For a key that has one.
            settings: All settings; *domain* and *concurrency* override their fields.
            domain: See `Settings.domain`.
            concurrency: See `Settings.concurrency`.
            observer: Is told of each operation and each sending, for traces and metrics; see `encord_async.otel`.

        Raises:
            KeyFormatError: The key cannot be used.
            SettingsError: A setting cannot work.
        """
        if not isinstance(key, SSHKey):
            text = str(key) if isinstance(key, Path) else wrapped(key).reveal()
            load = SSHKey.from_text if _is_key_text(text) else SSHKey.from_path
            key = load(text, passphrase=passphrase)
        return cls(key, _with(settings, domain, concurrency), observer=observer)

    @classmethod
    @sealed
    def from_bearer_token(
        cls,
        token: SecretText,
        *,
        settings: Settings | None = None,
        domain: str | None = None,
        concurrency: int | None = None,
        observer: Observer[Any] | None = None,
    ) -> Self:
        """A session that authenticates with a bearer token. Arguments and errors as `from_ssh_key`."""
        return cls(BearerToken(token), _with(settings, domain, concurrency), observer=observer)

    @classmethod
    @sealed
    def from_env(
        cls,
        *,
        settings: Settings | None = None,
        domain: str | None = None,
        concurrency: int | None = None,
        environ: Mapping[str, str] | None = None,
        observer: Observer[Any] | None = None,
    ) -> Self:
        """A session from the variables that users of Encord's SDK have set.

        ``ENCORD_SSH_KEY_FILE`` is looked at first, then ``ENCORD_SSH_KEY``; ``ENCORD_DOMAIN`` applies unless
        *domain* is given. Ours are ``ENCORD_SSH_KEY_PASSPHRASE`` and, as the SDK since 0.1.211,
        ``REQUESTS_CA_BUNDLE``.

        Raises:
            KeyFormatError: Neither variable is set, or the key cannot be used.
            SettingsError: A setting cannot work.
        """
        env = os.environ if environ is None else environ
        key = key_from_env(env)
        settings = settings or Settings()
        if settings.ca_bundle is None and env.get(ENV_CA_BUNDLE):
            settings = replace(settings, ca_bundle=Path(env[ENV_CA_BUNDLE]))
        return cls(key, _with(settings, domain or env.get(ENV_DOMAIN) or None, concurrency), observer=observer)

    @sealed
    def project(self, project_hash: str, *, api_key: SecretText | None = None) -> "ProjectHandle":
        """A handle on one project; sends nothing.

        Calls of the handle are signed with the session's key, or authenticated with *api_key* if given.
        """
        return ProjectHandle(self, project_hash, None if api_key is None else APIKey(api_key))

    @sealed
    def provision(
        self,
        manifest: "Manifest",
        *,
        journal: str | Path | None = "beside",
        existing: "Existing | str" = "adopt",
        dataset_api: "DatasetAPI | str" = "rest",
        max_batch: int = 1000,
        settle_s: float = 60.0,
        stamp: bool = False,
        fail_fast: bool = False,
        max_failures: int | str | None = None,
        skip_invalid: bool = False,
        plan: str | Path | None = None,
    ) -> "Run":
        """Provision every entry of *manifest*, in parallel, each exactly once.

        >>> async def main(session: EncordSession) -> None:
        ...     async with session.provision("programme.jsonl", journal="run.db") as run:
        ...         async for outcome in run:
        ...             print(outcome.place, outcome.status)
        ...     print(run.summary.as_json())

        Args:
            manifest: Path of a manifest, ``-`` for JSON lines on standard input, or any iterable or async iterable
                of entries or dicts. It is read only as capacity frees.
            journal: Path of the journal that makes the run safe to kill and to run again, or its URL, as
                ``postgresql://user@host/database?job=NAME``. By default it lies beside the manifest's file, named
                after it with ``.journal`` added; entries that come from no file need it given. None does without: what
                is in doubt when the process dies stays so.
            existing: What to do about things that are there already: ``adopt``, ``create`` or ``fail``.
            dataset_api: Over which API datasets are made and listed: ``rest``, or ``envelope`` as the official SDK did
                before 0.1.153. A dataset whose data do not lie at Encord is made over the envelope API in any case,
                because only that can say so.
            max_batch: Most users or datasets in one request.
            settle_s: How long something that happened may take to be seen in listings, in seconds: that long a create
                in doubt is looked for.
            stamp: Put a short mark of the entry into the descriptions of what is made, so that look-ups are exact
                even if others make things of the same title. What shows the mark of another entry is then not adopted;
                of an entry that the manifest does not hold, it makes the entry fail, for a person to decide.
            fail_fast: Stop at the first entry that fails.
            max_failures: Stop when more than this many have failed, or this share of them, as ``"5%"``; a share
                counts once 100 have ended.
            skip_invalid: Provision the good entries of a manifest that has bad ones.
            plan: Path of a plan that `plan` wrote: the run does what that says and nothing else. Entering it raises
                `UsageError` where manifest, journal, account, domain or options are not those of the plan; an entry
                that would do something else since the account has changed fails with the code ``NOT_PLANNED``.

        Raises:
            UsageError: An argument cannot work. Entering the run raises `ManifestError` for a bad file; the end of
                the iteration raises what stopped the run early.
        """
        # Imported on first need: a quarter of the time that the import of everything takes, and of no use to whoever
        # makes single calls.
        from encord_async.engine.run import FailureLimit, Run

        options = replace(
            _planning(existing, dataset_api, max_batch=max_batch, stamp=stamp, skip_invalid=skip_invalid),
            settle_s=settle_s,
            fail_fast=fail_fast,
            max_failures=None if max_failures is None else FailureLimit.parse(max_failures),
        )
        review = None
        if plan is not None:
            from encord_async.saved_plan import SavedPlan

            review = SavedPlan.read(plan)
            review.check_account(self.settings.domain, self.identity)
        return Run(self, manifest, options, journal=self._journal(manifest, journal), review=review)

    async def validate(self, manifest: str | Path) -> "CheckReport":
        """Check the manifest at a path without the network: all that is wrong with it, and how many entries it has.

        >>> async def is_good(session: EncordSession) -> bool:
        ...     report = await session.validate("programme.jsonl")
        ...     for problem in report.problems:
        ...         print(problem)
        ...     return not report.problem_count

        Raises:
            ManifestError: The file cannot be read or holds no entry.
        """
        from encord_async.manifest.files import check_manifest

        return await anyio.to_thread.run_sync(check_manifest, manifest)

    async def plan(
        self,
        manifest: "Manifest",
        *,
        journal: str | Path | None = "beside",
        existing: "Existing | str" = "adopt",
        dataset_api: "DatasetAPI | str" = "rest",
        max_batch: int = 1000,
        stamp: bool = False,
        skip_invalid: bool = False,
        out: str | Path | None = None,
        on_action: "Callable[[Action], None]" = lambda _: None,
    ) -> "Forecast":
        """Say what `provision` would do with the same arguments: it is that run, rehearsed. Only reads are sent.

        >>> async def show(session: EncordSession) -> None:
        ...     actions: list[Action] = []
        ...     forecast = await session.plan("programme.jsonl", on_action=actions.append)
        ...     print(forecast.irreversible, forecast.as_json(), actions)

        Args:
            manifest: As for `provision`.
            journal: As for `provision`; one that is not there yet is not made.
            existing: As for `provision`.
            dataset_api: As for `provision`.
            max_batch: As for `provision`.
            stamp: As for `provision`.
            skip_invalid: As for `provision`.
            out: Path of a file to keep the plan in, for ``provision(plan=...)``.
            on_action: Is given each action as entries end, in no particular order. What stays as it is, is only
                counted.

        Returns:
            The sums.

        Raises:
            ManifestError: There is a bad entry.
            JournalError: The journal cannot be read; `JournalMismatchError` if it is another account's.
            EncordError: The account cannot be read.
        """
        from encord_async.saved_plan import make_plan

        options = _planning(existing, dataset_api, max_batch=max_batch, stamp=stamp, skip_invalid=skip_invalid)
        async with self._read_journal(manifest, journal) as opened:
            return await make_plan(self, manifest, options, journal=opened, on_action=on_action, out=out)

    async def verify(
        self,
        manifest: "Manifest",
        *,
        journal: str | Path | None = "beside",
        on_difference: "Callable[[Difference], None]" = lambda _: None,
    ) -> "Report":
        """Read back what *manifest* is about, and hand out each difference. Only reads are sent.

        Args:
            manifest: As for `provision`.
            journal: That of the run, which says what the entries were made as. Without one only what the manifest
                names by its hash can be found.
            on_difference: Is given each difference as it is found, in no particular order.

        Returns:
            The sums.

        Raises:
            ManifestError: There is a bad entry.
            JournalError: The journal cannot be read.
            EncordError: The account cannot be read.
        """
        from encord_async.journal.record import MemoryLedger
        from encord_async.verify.projects import compare, gather

        async with self._read_journal(manifest, journal) as opened:
            wishes = await gather(manifest, opened or MemoryLedger())
        return await compare(self, wishes, on_difference=on_difference)

    async def export(
        self,
        on_entry: "Callable[[Entry], None]",
        *,
        ontologies: bool = True,
        users: bool = True,
        organisation: bool = True,
        on_left_out: "Callable[[LeftOut], None]" = lambda _: None,
    ) -> "Exported":
        """Write the account down as entries of a manifest. Only reads are sent.

        Args:
            on_entry: Is given each entry, in the manifest's order.
            ontologies: Ontologies, and which of them each project has.
            users: Users of projects, of groups and of the organisation.
            organisation: Users and groups of the organisation, and the groups of projects.
            on_left_out: Is told of each thing that is left out, and why.

        Returns:
            The sums.

        Raises:
            EncordError: The account cannot be read.
        """
        from encord_async.export import Scope, export

        scope = Scope(ontologies=ontologies, users=users, organisation=organisation)
        return await export(self, on_entry, scope=scope, on_left_out=on_left_out)

    @contextlib.asynccontextmanager
    async def _read_journal(self, manifest: "Manifest", journal: str | Path | None) -> "AsyncGenerator[Journal | None]":
        """The journal of a run, opened to read only; None if there is none yet."""
        if journal == "beside" and (not isinstance(manifest, str | Path) or str(manifest) == "-"):
            journal = None
        where = self._where(manifest, journal)
        if where is None:
            yield None
            return
        from encord_async.journal.journal import Journal, is_url

        if not is_url(where) and not await anyio.Path(where).exists():
            yield None
            return
        async with Journal(where, None) as opened:
            yield opened

    def _journal(self, manifest: "Manifest", journal: str | Path | None) -> "Journal | None":
        where = self._where(manifest, journal)
        if where is None:
            return None
        # Imported on first need: SQLAlchemy is an extra, and takes longer to import than all the rest.
        from encord_async.journal.journal import Identity, Journal

        return Journal(where, Identity(self.settings.domain, self.identity))

    @staticmethod
    def _where(manifest: "Manifest", journal: str | Path | None) -> str | Path | None:
        if journal != "beside":
            return journal
        if not isinstance(manifest, str | Path) or str(manifest) == "-":
            raise UsageError(
                "entries that come from no file have no place beside it for a journal; "
                "give journal=PATH to be able to run again after a kill, or journal=None to do without"
            )
        return f"{manifest}.journal"

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
                dataset_hashes=_all_of(dataset_hashes, "dataset_hashes"),
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
                project_hash=project_hash, title=title, description=description, options=_all_of(options, "options")
            )
        )

    async def create_project_api_key(self, project_hash: str, title: str, scopes: Iterable[APIKeyScope]) -> SecretStr:
        """Create an API key of a project and return it. Raises as `execute`."""
        return await self.execute(
            keys.CreateProjectAPIKey(project_hash=project_hash, title=title, scopes=_all_of(scopes, "scopes"))
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
            datasets.AddDatasetUsers(dataset_hash=dataset_hash, emails=_all_of(emails, "emails"), role=role)
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
            tags_anyof=_all_of(tags_anyof, "tags_anyof"),
        )
        return await self.collect(listing)

    async def list_dataset_users(self, dataset_hash: str) -> tuple[rest_models.DatasetMember, ...]:
        """Who has access to a dataset, and in which role. Raises as `execute`."""
        return await self.collect(datasets.ListDatasetUsers(dataset_hash=dataset_hash))

    async def remove_dataset_users(self, dataset_hash: str, emails: Iterable[str]) -> None:
        """Take the access to a dataset from users; those who have none are ignored. Raises as `execute`."""
        await self.execute(datasets.RemoveDatasetUsers(dataset_hash=dataset_hash, emails=_all_of(emails, "emails")))

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
        return await self.execute(organisation.AddGroupMembers(group_hash=group_hash, emails=_all_of(emails, "emails")))

    async def remove_group_members(self, group_hash: str, emails: Iterable[str]) -> None:
        """Take users out of a group; those who are not in it are ignored. Raises as `execute`."""
        await self.execute(organisation.RemoveGroupMembers(group_hash=group_hash, emails=_all_of(emails, "emails")))

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
            project_hash=self.project_hash, dataset_hashes=_all_of(dataset_hashes, "dataset_hashes")
        )
        await self._execute(operation)

    async def remove_datasets(self, dataset_hashes: Iterable[str]) -> None:
        """Detach datasets. Raises as `Session.execute`."""
        operation = projects.RemoveDatasets(
            project_hash=self.project_hash, dataset_hashes=_all_of(dataset_hashes, "dataset_hashes")
        )
        await self._execute(operation)

    async def add_users(self, emails: Iterable[str], role: ProjectUserRole) -> tuple[models.ProjectUser, ...]:
        """Add users in one role. A member already there keeps the old role, and the result shows it.

        Raises as `Session.execute`.
        """
        operation = projects.AddProjectUsers(
            project_hash=self.project_hash, emails=_all_of(emails, "emails"), role=role
        )
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
        await self._execute(
            projects.RemoveProjectUsers(project_hash=self.project_hash, emails=_all_of(emails, "emails"))
        )

    async def list_groups(self) -> tuple[rest_models.ProjectGroup, ...]:
        """The groups that have access to the project. Raises as `Session.execute`."""
        return await self._collect(projects.ListProjectGroups(project_hash=self.project_hash))

    async def add_groups(self, group_hashes: Iterable[str], role: ProjectUserRole) -> None:
        """Give groups access in one role. Raises as `Session.execute`."""
        hashes = _all_of(group_hashes, "group_hashes")
        await self._execute(projects.AddProjectGroups(project_hash=self.project_hash, group_hashes=hashes, role=role))

    async def remove_groups(self, group_hashes: Iterable[str]) -> None:
        """Take the access from groups. Raises as `Session.execute`."""
        hashes = _all_of(group_hashes, "group_hashes")
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


@sealed
def key_from_env(env: Mapping[str, str], *, passphrase: Secret[str] | None = None) -> SSHKey:
    """The SSH key that *env* names; *passphrase* takes the place of the one there.

    Raises:
        KeyFormatError: Neither variable is set, one is empty, or the key cannot be used.
    """
    for name, load in ((ENV_KEY_FILE, SSHKey.from_path), (ENV_KEY, SSHKey.from_text)):
        if name not in env:
            continue
        if not env[name].strip():
            raise KeyFormatError(f"{name} is set but empty; unset it or give a key")
        if name == ENV_KEY_FILE and _is_key_text(env[name]):
            raise KeyFormatError(f"{name} holds the text of a key, not a path; set {ENV_KEY} to it instead")
        try:
            return load(env[name], passphrase=passphrase or env.get(ENV_PASSPHRASE))
        except KeyFormatError as error:
            raise KeyFormatError(f"{name}: {error.message}") from None
    raise KeyFormatError(f"no key: set {ENV_KEY_FILE} to the path of an OpenSSH private key, or {ENV_KEY} to its text")


def _is_key_text(text: str) -> bool:
    """Whether *text* is meant to be a key and not the path of one."""
    return not text.strip() or any(mark in text for mark in ("-----", "\n", "\\n"))


def _all_of(values: Iterable[T], name: str) -> tuple[T, ...]:
    """*values* as operations hold them; Python would take a single text for a list of its letters."""
    if isinstance(values, str):
        raise UsageError(f"{name} is one text; give a list of texts")
    return tuple(values)


def _planning(
    existing: "Existing | str", dataset_api: "DatasetAPI | str", *, max_batch: int, stamp: bool, skip_invalid: bool
) -> "Options":
    """The options that decide what a run does."""
    from encord_async.engine.account import DatasetAPI, Existing
    from encord_async.engine.run import Options

    return Options(
        existing=_one_of(Existing, existing, "existing"),
        dataset_api=_one_of(DatasetAPI, dataset_api, "dataset_api"),
        max_batch=max_batch,
        stamp=stamp,
        skip_invalid=skip_invalid,
    )


def _one_of(options: type[OptionT], value: OptionT | str, name: str) -> OptionT:
    try:
        return options(value)
    except ValueError:
        *others, last = options
        raise UsageError(f"{name} is {quoted(value)}; use {', '.join(others)} or {last}") from None


def _with(settings: Settings | None, domain: str | None, concurrency: int | None) -> Settings:
    settings = settings or Settings()
    return replace(
        settings,
        domain=settings.domain if domain is None else domain,
        concurrency=settings.concurrency if concurrency is None else concurrency,
    )
