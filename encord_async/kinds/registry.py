"""The kinds of entries there are, in the order in which people are told of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.kinds.project_users import ProjectUsersEntry

__all__ = ["ENTRY_MODELS", "kind_of", "registered"]

_KINDS: Final[tuple[type[Entry], ...]] = (
    DatasetEntry,
    ProjectEntry,
    ProjectDatasetsEntry,
    ProjectUsersEntry,
    ProjectAPIKeyEntry,
    ProjectGroupsEntry,
    OntologyEntry,
    GroupEntry,
    OrganisationUserEntry,
)


def kind_of(model: type[Entry]) -> str:
    """The kind of the entries that *model* describes."""
    kind: str = model.model_fields["kind"].default
    return kind


_models: Final[dict[str, type[Entry]]] = {kind_of(model): model for model in _KINDS}

ENTRY_MODELS: Final[Mapping[str, type[Entry]]] = MappingProxyType(_models)
"""The model of each kind of entry."""


@contextmanager
def registered(model: type[Entry]) -> Iterator[None]:
    """Know *model* as one more kind meanwhile: what is told of kinds must not hang on which there are."""
    _models[kind_of(model)] = model
    try:
        yield
    finally:
        del _models[kind_of(model)]
