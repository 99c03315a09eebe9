"""The kind ``project``: a project that shall exist, with its datasets, users and API keys. Sends nothing."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Strict, WithJsonSchema

from encord_async.kinds.entry import MakingEntry, Use, uses
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import (
    REFERENCE,
    Email,
    Hash,
    Part,
    Reference,
    Role,
    Scopes,
    Text,
    Title,
    one_hash,
    one_word,
    referenced_key,
    shown,
    wrong,
)
from encord_async.kinds.steps import Step, StepKind, api_key_step, makes_project, step_in_role
from encord_async.protocol.catalogue import CopyOption, ProjectUserRole

__all__ = ["APIKeyWish", "ProjectEntry", "UserWish"]


def _copy_option(value: object) -> object:
    return one_word(value, what="part of a project that a copy can take along", words=_COPY_OPTIONS)


def _ontology_hash(value: str) -> str:
    if value.startswith(REFERENCE):
        raise wrong(f"{shown(value)} is a reference, which this field does not take", "call the field 'ontology'")
    return one_hash(value)


_COPY_OPTIONS: Final[Mapping[str, CopyOption]] = {option.value: option for option in CopyOption}
OntologyHash: TypeAlias = Annotated[str, Strict(), AfterValidator(_ontology_hash)]
CopyOptionWord: TypeAlias = Annotated[
    CopyOption, BeforeValidator(_copy_option), WithJsonSchema({"enum": list(_COPY_OPTIONS)})
]


class UserWish(Part):
    """A user and the role wanted in a project."""

    noun = "a user"

    email: Email
    role: Role


class APIKeyWish(Part):
    """An API key wanted in a project."""

    noun = "an API key"

    title: Title
    scopes: Scopes


class ProjectEntry(MakingEntry):
    """A project that shall exist, with its datasets, users and API keys.

    *ontology* is a hash or a reference; *ontology_hash* is an older word, for a hash alone. *copy_of* names the project
    that it is copied from, and *copy_options* what it takes along.
    """

    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"users": UserWish, "api_keys": APIKeyWish})

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

    @property
    def wanted_ontology(self) -> str | None:
        """Hash or reference of the ontology, under whichever name it was given."""
        return self.ontology or self.ontology_hash

    @property
    def wished_title(self) -> str:
        return self.title

    def references(self) -> Iterator[Use]:
        yield from uses("datasets", self.datasets, "dataset")
        if self.ontology is not None:
            yield Use("ontology", self.ontology, "ontology")
        template = self.made_from()
        if template is not None:
            yield template

    def made_from(self) -> Use | None:
        return None if self.copy_of is None else Use("copy_of", self.copy_of, "project")

    def faults(self) -> list[Fault]:
        found = twice("datasets.{}", self.datasets)
        found += _users_twice(self.users)
        found += twice("api_keys.{}.title", [wish.title for wish in self.api_keys])
        for index, wish in enumerate(self.api_keys):
            found += twice(f"api_keys.{index}.scopes.{{}}", wish.scopes)
        return found + _at_odds(self)

    def contents(self) -> Mapping[str, int]:
        return {
            "projects": 1,
            "memberships": len(self.users),
            "attachments": len(self.datasets),
            "api_keys": len(self.api_keys),
        }

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield Step(identity=makes_project(identity), kind=StepKind.PROJECT, item=self.title)
        for user in dict.fromkeys(self.users):
            yield step_in_role(identity, StepKind.USER, None, user.email, user.role)
        yield from dict.fromkeys(api_key_step(identity, None, wish.title, wish.scopes) for wish in self.api_keys)


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
