"""The kind ``project``: a project that shall exist, with all that is in it. Sends nothing."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, SecretStr, Strict

from encord_async.errors import ConflictError
from encord_async.kinds.access import admit, written_users
from encord_async.kinds.entry import Count, Entry, MakingEntry, Say, Use, uses
from encord_async.kinds.exporting import Exports, Inside, Pen, in_order_of_age
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import (
    REFERENCE,
    ROLES,
    Email,
    Hash,
    OneOf,
    Part,
    Reference,
    Role,
    Roled,
    Scopes,
    Text,
    Title,
    one_hash,
    referenced_key,
    shown,
    wrong,
)
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.project_api_key import API_KEY, ProjectAPIKeyEntry, api_key_step
from encord_async.kinds.project_datasets import DATASETS
from encord_async.kinds.project_stages import STAGES
from encord_async.kinds.project_status import STATUS, STATUSES, StatusWord
from encord_async.kinds.project_tags import TAGS
from encord_async.kinds.project_users import USERS
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import Step, each, making_step, one
from encord_async.kinds.thing import (
    DatasetAPI,
    Draft,
    InnerName,
    Listed,
    Order,
    Otherwise,
    Sought,
    Thing,
    contents_digest,
    grown,
    holding,
)
from encord_async.protocol.catalogue import APIKeyScope, CopyOption, ProjectStatus, ProjectUserRole
from encord_async.protocol.models import Project, ProjectDataset
from encord_async.protocol.operations.base import ListingFilter
from encord_async.protocol.operations.projects import (
    CopyProject,
    CreateProject,
    GetProject,
    ListProjects,
    ListProjectsV2,
)

__all__ = ["PROJECT", "APIKeyWish", "ProjectEntry", "UserWish"]


def _ontology_hash(value: str) -> str:
    if value.startswith(REFERENCE):
        raise wrong(f"{shown(value)} is a reference, which this field does not take", "call the field 'ontology'")
    return one_hash(value)


_COPY_OPTIONS: Final[Mapping[str, CopyOption]] = {option.value: option for option in CopyOption}
OntologyHash: TypeAlias = Annotated[str, Strict(), AfterValidator(_ontology_hash)]
CopyOptionWord: TypeAlias = Annotated[CopyOption, OneOf("part of a project that a copy can take along", _COPY_OPTIONS)]


class UserWish(Roled):
    """A user and the role wanted in a project."""

    noun = "a user"
    spelt = MappingProxyType({"role": ROLES})
    form = "ann@x.org=annotator;bob@x.org=reviewer"

    email: Email
    role: Role


class APIKeyWish(Part):
    """An API key wanted in a project."""

    noun = "an API key"
    no_column = "give each key a row of kind project_api_key"

    title: Title
    scopes: Scopes


class ProjectEntry(MakingEntry):
    """A project that shall exist, with its datasets, users, API keys, tags and status.

    *ontology* is a hash or a reference; *ontology_hash* is an older word, for a hash alone. *copy_of* names the project
    that it is copied from, and *copy_options* what it takes along.

    *stages* are the titles of all stages that its workflow shall have, in any order: a check that it was made with the
    right template. No call shows that before, so the entry fails once the project is there.
    """

    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"users": UserWish, "api_keys": APIKeyWish})

    counted = (
        Count("projects", "projects", exported=("projects", "project", "projects")),
        Count(
            "memberships",
            "memberships of users",
            ("users",),
            exported=("users", "user of a project", "users of projects"),
        ),
        Count("attachments", "attachments of datasets", ("datasets",)),
        Count("api_keys", "API keys", ("api_keys",), exported=("api_keys", "API key", "API keys")),
        Count("tags", "tags of projects", ("tags",)),
    )

    spelt = MappingProxyType({"status": STATUSES})

    forms = MappingProxyType(
        {
            "datasets": "@raw;@more",
            "copy_options": "datasets;models",
            "tags": "wave-1;cats",
            "stages": "Annotate;Review",
        }
    )
    example = MappingProxyType(
        {
            "key": "cats",
            "title": "Cats",
            "datasets": ["@cats-raw"],
            "users": [{"email": "ann@example.com", "role": "annotator"}],
        }
    )
    is_common = True

    kind: Literal["project"] = "project"
    title: Title
    description: Text = ""
    ontology: Reference | None = None
    ontology_hash: OntologyHash | None = None
    workflow_template_id: Hash | None = None
    copy_of: Reference | None = None
    copy_options: tuple[CopyOptionWord, ...] = ()
    datasets: tuple[Reference, ...] = ()
    users: tuple[UserWish, ...] = ()
    api_keys: tuple[APIKeyWish, ...] = ()
    tags: tuple[Title, ...] = ()
    status: StatusWord | None = None
    stages: tuple[Title, ...] = ()

    @property
    def wanted_ontology(self) -> str | None:
        """Hash or reference of the ontology, under whichever name it was given."""
        return self.ontology or self.ontology_hash

    def wished_tags(self) -> Collection[str]:
        return self.tags

    def references(self) -> Iterator[Use]:
        yield from uses("datasets", self.datasets, "dataset")
        if self.ontology is not None:
            yield Use("ontology", self.ontology, "ontology")
        if self.ontology_hash is not None:
            yield Use("ontology_hash", self.ontology_hash, "ontology")
        template = self.made_from()
        if template is not None:
            yield template

    def made_from(self) -> Use | None:
        return None if self.copy_of is None else Use("copy_of", self.copy_of, "project")

    def faults(self) -> list[Fault]:
        found = twice("datasets.{}", self.datasets)
        if len(self.users) > 1:
            found += _users_twice(self.users)
        found += twice("tags.{}", self.tags)
        if self.api_keys:
            found += twice("api_keys.{}.title", [wish.title for wish in self.api_keys])
            for index, wish in enumerate(self.api_keys):
                found += twice(f"api_keys.{index}.scopes.{{}}", wish.scopes)
        return found + _at_odds(self)

    def says(self) -> Iterator[Say]:
        # Of one without a key no other entry can speak.
        for index, user in enumerate(self.users if self.key is not None else ()):
            yield Say(f"users.{index}", f"{REFERENCE}{self.key}", user.email, user.role, ProjectUserRole)

    def irreversible(self) -> Mapping[str, int]:
        return {"project": 1, "project_api_key": len(self.api_keys)}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield making_step(identity, PROJECT, self.title)
        if self.users:
            yield from admit(identity, USERS, self.users)
        if self.api_keys:
            yield from dict.fromkeys(api_key_step(identity, None, wish.title, wish.scopes) for wish in self.api_keys)
        yield from each(identity, TAGS.give, None, self.tags)
        if self.status is not None:
            yield one(identity, STATUS.give, None, self.status.name.lower())
        if self.stages:
            yield one(identity, STAGES.give, None, STAGES.called(self.stages))


def _at_odds(entry: ProjectEntry) -> list[Fault]:
    """Fields of a project that do not go together."""
    found = []
    if entry.ontology is not None and entry.ontology_hash is not None:
        found.append(Fault("ontology_hash", "is an older word for 'ontology', which is given too", "keep 'ontology'"))
    if entry.copy_of is None:
        if entry.copy_options:
            found.append(Fault("copy_options", "says what a copy takes along, and 'copy_of' is missing"))
        return found
    reason = "cannot be chosen for a copy, which has that of 'copy_of'"
    chosen = ("ontology", "ontology_hash", "workflow_template_id")
    found += [Fault(field, reason, "leave it out") for field in chosen if getattr(entry, field) is not None]
    if not entry.description:
        reason = "is missing: a copy without one may get that of 'copy_of', and could not be told apart from others"
        found.append(Fault("description", reason, "describe the copy"))
    found += twice("copy_options.{}", entry.copy_options)
    if CopyOption.COLLABORATORS in entry.copy_options and referenced_key(entry.copy_of) is not None:
        index = entry.copy_options.index(CopyOption.COLLABORATORS)
        reason = "the users of an entry of this manifest may not be there yet when it is copied"
        found.append(Fault(f"copy_options.{index}", reason, "give the copy 'users' of its own"))
    return found


def _users_twice(users: Sequence[UserWish]) -> list[Fault]:
    first: dict[str, tuple[int, ProjectUserRole]] = {}
    found = []
    for index, user in enumerate(users):
        earlier, role = first.setdefault(user.email.casefold(), (index, user.role))
        if earlier != index:
            roles = f" as {role.name.lower()} and as {user.role.name.lower()}" if role != user.role else ""
            found.append(
                Fault(f"users.{index}.email", f"{shown(user.email)} is listed twice{roles}", f"see users.{earlier}")
            )
    return found


class _Projects(Thing, Exports):
    word = noun = "project"
    plural = "projects"
    page = "/projects/view/{}/summary"
    items = DATASETS
    links = MappingProxyType({"ontology": ("ontology", "ontology_reference"), "copy_of": ("template", "copy_of")})
    lasting = ("ontology", "workflow_template_id", "copy_options")
    inner = API_KEY
    retired = MappingProxyType({STATUS: ProjectStatus.ARCHIVED.name.lower()})
    after = ("dataset", "ontology", "group")

    def draft(self, order: Order) -> Draft:
        entry: ProjectEntry = order.entry
        names = (order.title, entry.description)
        return self._copy(order, entry, names) if entry.copy_of is not None else self._create(order, entry, names)

    def _create(self, order: Order, entry: ProjectEntry, names: tuple[str, ...]) -> Draft:
        taken, ontology = order.items[: order.max_batch], order.links.get("ontology")
        operation = CreateProject(
            title=order.title,
            description=order.description,
            dataset_hashes=taken,
            ontology_hash=ontology,
            workflow_template_id=entry.workflow_template_id,
        )
        details: dict[str, object] = {
            **holding(self.references(entry), order.items, taken),
            "contents": [contents_digest(some) for some in grown(order.items, order.max_batch)],
            "ontology": ontology,
            "ontology_reference": entry.wanted_ontology,
            "workflow_template_id": entry.workflow_template_id,
        }
        # Nothing shows whether there is a template.
        needs = (("ontology", ontology),) if ontology else ()
        return Draft(operation=operation, details=details, names=names, taken=order.max_batch, needs=needs)

    def _copy(self, order: Order, entry: ProjectEntry, names: tuple[str, ...]) -> Draft:
        template = order.links.get("copy_of")
        operation = CopyProject(
            project_hash=template or "",
            title=order.title,
            description=order.description,
            options=entry.copy_options,
        )
        details: dict[str, object] = {
            **holding(self.references(entry), order.items, ()),
            "copy_of": entry.copy_of,
            "template": template,
            "copy_options": sorted(entry.copy_options),
        }
        return Draft(operation=operation, details=details, names=names, needs=(("project", template or ""),))

    def hash_of(self, made: str) -> str:
        return made

    def mistaken(self, made: str, is_known: Callable[[str], bool]) -> str:
        return name if is_known(name := API_KEY.hash_of(SecretStr(made))) else ""

    def probe(self, found_hash: str) -> GetProject:
        return GetProject(project_hash=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> Project:
        datasets = tuple(ProjectDataset(dataset_hash=item) for item in items)
        return Project(project_hash=stand_in, title="", datasets=datasets)

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:  # noqa: ARG002 - of datasets
        async for page in reads.pages(ListProjectsV2()):
            for found in page.results:
                is_admin = found.user_role == ProjectUserRole.ADMIN
                yield Listed(found.project_hash, found.title, found.description, is_admin, found)

    is_read_alone = True

    def names_of(self, item: Project) -> tuple[str, str | None]:
        return item.title, item.description

    def compares(self, entry: ProjectEntry, linked: Mapping[str, str | None]) -> tuple[str | None, str | None]:
        """The ontology, as its hash if it has one, and as the entry names it."""
        return linked.get("ontology"), entry.wanted_ontology

    def differences(self, wished: tuple[str | None, str | None], item: Project) -> Iterator[Otherwise]:
        found_hash, reference = wished
        wanted, held = found_hash or reference, item.ontology_hash or ""
        if wanted and wanted != held:
            yield Otherwise("ontology", wanted, held, self.stays, is_unmade=found_hash is None)

    def closes(self, entry: ProjectEntry, relation: Relation) -> bool:
        """A copy may also hold what it took along."""
        if relation is TAGS or not entry.copy_of:
            return True
        taken_along = CopyOption.DATASETS if relation is DATASETS else CopyOption.COLLABORATORS
        return taken_along not in entry.copy_options

    async def lacking(self, reads: Reads, found_hash: str, order: Order) -> Sequence[str]:
        """The datasets that it lacks; refuses one that has another ontology."""
        project, wanted = await reads.execute(self.probe(found_hash)), order.links.get("ontology")
        if wanted and project.ontology_hash and project.ontology_hash != wanted:
            raise ConflictError(
                f"the project {found_hash} ({project.title!r}) is there with the ontology {project.ontology_hash}, and "
                f"{wanted} is wanted; an ontology cannot be exchanged over this API",
                code="ONTOLOGY_KEPT",
            )
        attached = {dataset.dataset_hash for dataset in project.datasets}
        return [item for item in order.items if item not in attached]

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        return {
            owned.project.project_hash: owned.project
            for owned in await reads.execute(ListProjects(filter=ListingFilter(title_eq=sought.title)))
            if owned.user_role == ProjectUserRole.ADMIN
            and owned.project.title == sought.title
            and (owned.project.description or "") == sought.description
        }

    def is_told_by_contents(self, details: Mapping[str, object]) -> bool:
        """Nobody says what a copy holds."""
        return "contents" in details

    async def fits(self, reads: Reads, sought: Sought, found_hash: str) -> bool:
        project = await reads.execute(self.probe(found_hash))
        ontology = sought.details.get("ontology")
        if ontology and project.ontology_hash != ontology:
            return False
        stages = sought.details.get("contents")
        return isinstance(stages, list) and contents_digest(item.dataset_hash for item in project.datasets) in stages

    def compared(self, entry: ProjectEntry, details: Mapping[str, object]) -> dict[str, tuple[object, object]]:
        return {
            "workflow_template_id": (entry.workflow_template_id, details.get("workflow_template_id") or None),
            "copy_options": (sorted(entry.copy_options), details.get("copy_options") or []),
        }

    def made_alike(self, made: Mapping[str, object], details: Mapping[str, object]) -> bool:
        if ("copy_of" in made) != ("copy_of" in details):
            return False
        template = "template" if "template" in made else "copy_of"
        return super().made_alike(made, details) and made.get(template) == details.get(template)

    def references(self, entry: ProjectEntry) -> Sequence[str]:
        return list(dict.fromkeys(entry.datasets)) if entry.datasets else ()

    def linked(self, entry: ProjectEntry) -> Mapping[str, str]:
        found: dict[str, str] = {}
        if (ontology := entry.wanted_ontology) is not None:
            found["ontology"] = ontology
        if entry.copy_of is not None:
            found["copy_of"] = entry.copy_of
        return found

    async def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:  # noqa: ARG002 - needs nothing of it
        dated = []
        for owned in await reads.execute(ListProjects()):
            one, is_admin = owned.project, owned.user_role == ProjectUserRole.ADMIN
            dated.append((one.created_at, Listed(one.project_hash, one.title, one.description, is_admin, one)))
        for found in in_order_of_age(dated):
            yield found

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        """Its own, and others for the datasets and API keys that that one has no room for."""
        project: Project = inside.item
        found = found._replace(title=project.title)
        keys = list(_api_keys(pen, found, inside.inner))
        # Within its entry the API keys of a project have different titles.
        first: dict[str, APIKeyWish] = {}
        for key in keys:
            first.setdefault(key.title, key)
        made = pen.entry(
            ProjectEntry,
            self,
            found,
            title=project.title,
            description=project.description or "",
            ontology=_ontology(pen, project),
            datasets=pen.split("dataset", inside.of(DATASETS))[0],
            users=tuple(written_users(pen, USERS, found, inside.of(USERS), UserWish)),
            api_keys=tuple(first.values()),
            tags=tuple(_tags(pen, found, inside.of(TAGS))),
            status=_status(pen, found, inside.of(STATUS)),
        )
        yield from made
        for own in made:
            yield from DATASETS.entries(pen, found, f"@{own.key}", inside.of(DATASETS))
            others = (key for key in keys if first[key.title] is not key)
            yield from (ProjectAPIKeyEntry(project=f"@{own.key}", title=one.title, scopes=one.scopes) for one in others)


def _ontology(pen: Pen, project: Project) -> str | None:
    """Its reference, or its hash where it is not the account's own; another account does not have that."""
    if not pen.scope.ontologies or not project.ontology_hash:
        return None
    return pen.reference("ontology", project.ontology_hash) or project.ontology_hash


def _api_keys(pen: Pen, found: Listed, names: Iterable[InnerName]) -> Iterator[APIKeyWish]:
    for title, scopes in sorted((title, sorted(scopes)) for title, scopes in names):
        known = tuple(scope for scope in APIKeyScope if scope in scopes)
        if len(known) != len(scopes):
            pen.leave_out(API_KEY.noun, title, found.hash, "it has a scope that is not known here")
            continue
        yield from pen.part(APIKeyWish, API_KEY.noun, title, found.hash, title=title, scopes=known)


def _tags(pen: Pen, found: Listed, held: Held) -> Iterator[str]:
    for name in sorted(held):
        if pen.part(ProjectEntry, TAGS.noun, name, found.hash, title=PROJECT.noun, tags=(name,)):
            yield name


def _status(pen: Pen, found: Listed, held: Held) -> ProjectStatus | None:
    """Where it stands, if it is not where a new one does."""
    for word in held.keys() - STATUS.at_first.keys():
        if word in STATUSES:
            return STATUSES[word]
        pen.leave_out(STATUS.noun, found.title, found.hash, f"no entry can say {word!r}")
    return None


PROJECT: Final = _Projects()
ProjectEntry.makes = PROJECT
