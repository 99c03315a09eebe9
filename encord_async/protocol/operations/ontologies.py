"""Operations on ontologies. The one that a project uses is read in `encord_async.protocol.operations.projects`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from encord_async.protocol import rest_models
from encord_async.protocol.catalogue import (
    OntologyUserRole,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import Text, member
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import (
    NO_FILTER,
    AddGroups,
    Command,
    Creation,
    ListingFilter,
    PageOperation,
    RemoveGroups,
    RestOperation,
    filter_query,
    is_ours,
)
from encord_async.protocol.rest import QueryValue, members

__all__ = [
    "AddOntologyGroups",
    "CreateOntology",
    "GetOntologyV2",
    "ListOntologies",
    "ListOntologyGroups",
    "RemoveOntologyGroups",
    "UpdateOntology",
]


_EMPTY_EDITOR: Final[Mapping[str, JSON]] = {"objects": [], "classifications": [], "skeleton_templates": []}
"""An ontology without content. Source: SDK 0.1.115."""
Role: TypeAlias = Annotated[OntologyUserRole, member(OntologyUserRole, "role of an ontology")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOntology(Creation[rest_models.Ontology, rest_models.Ontology]):
    """Create an ontology; *editor* is its structure as the service keeps it. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/ontologies")

    title: Text
    description: str = ""
    editor: Mapping[str, Any] | None = None

    @property
    def content(self) -> Mapping[str, Any]:
        """The structure that it gets."""
        return _EMPTY_EDITOR if self.editor is None else self.editor

    def body(self) -> Mapping[str, JSON]:
        return members(title=self.title, description=self.description, editor=self.content)

    def look_up(self) -> "ListOntologies":
        return ListOntologies(filter=ListingFilter(title_eq=self.title))

    def is_it(self, item: rest_models.Ontology) -> bool:
        same = item.title == self.title and (item.description or "") == self.description
        return same and is_ours(item.user_role)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOntologies(PageOperation[rest_models.Ontology]):
    """List the caller's ontologies, their structures included. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/ontologies")
    item_name: ClassVar[str] = "ontology_uuid"

    filter: ListingFilter = NO_FILTER
    include_org_access: bool = False

    def query(self) -> Mapping[str, QueryValue]:
        return {
            **filter_query(self.filter, "desc"),
            "includeOrgAccess": self.include_org_access,
            "pageToken": self.page_token,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfOntology:
    """What the operations on one ontology have in common."""

    ontology_hash: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOntologyV2(_OfOntology, RestOperation[rest_models.Ontology]):
    """Read an ontology by its own hash. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/ontologies/{ontology}")
    about: ClassVar[tuple[str, str]] = ("ontology_hash", "ontology_uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOntology(_OfOntology, Command):
    """Replace title, description and structure of an ontology. Source: SDK 0.1.153 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("PUT", "/ontologies/{ontology}")

    title: Text
    description: str
    editor: Mapping[str, Any]

    def body(self) -> Mapping[str, JSON]:
        return members(title=self.title, description=self.description, editor=self.editor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOntologyGroups(_OfOntology, PageOperation[rest_models.OntologyGroup]):
    """List the groups that have access to an ontology. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/ontologies/{ontology}/groups")
    item_name: ClassVar[str] = "group_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOntologyGroups(_OfOntology, AddGroups):
    """Give groups access to an ontology in one role. Source: SDK 0.1.114 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("POST", "/ontologies/{ontology}/groups")

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOntologyGroups(_OfOntology, RemoveGroups):
    """Take the access to an ontology from groups. Source: SDK 0.1.114 to 0.1.211 (the list travels in the query)."""

    call: ClassVar[RestCall] = rest_call("DELETE", "/ontologies/{ontology}/groups")
