"""The kinds of entries there are, in the order in which people are told of them."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from encord_async.kinds.access_groups import DATASET_GROUPS, FOLDER_GROUPS, ONTOLOGY_GROUPS
from encord_async.kinds.data import DataEntry
from encord_async.kinds.data_export import DATA
from encord_async.kinds.dataset import DATASET, DatasetEntry
from encord_async.kinds.dataset_data import DATASET_DATA, DATASET_FOLDER, DATASET_ITEMS
from encord_async.kinds.dataset_rows import DATASET_ROWS
from encord_async.kinds.dataset_users import DATASET_USERS
from encord_async.kinds.entry import Entry
from encord_async.kinds.exporting import Exports
from encord_async.kinds.folder import FOLDER, FolderEntry
from encord_async.kinds.folder_data import FOLDER_DATA
from encord_async.kinds.folder_sync import FOLDER_SYNC
from encord_async.kinds.group import GROUP, MEMBERS, GroupEntry
from encord_async.kinds.membership import Membership, Relation
from encord_async.kinds.ontology import ONTOLOGY, OntologyEntry
from encord_async.kinds.organisation_user import ORGANISATION_USER, OrganisationUserEntry
from encord_async.kinds.project import PROJECT, ProjectEntry
from encord_async.kinds.project_api_key import API_KEY, ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import DATASETS, ProjectDatasetsEntry
from encord_async.kinds.project_groups import GROUPS, ProjectGroupsEntry
from encord_async.kinds.project_stages import STAGES
from encord_async.kinds.project_status import STATUS
from encord_async.kinds.project_tags import TAGS
from encord_async.kinds.project_tasks import PRIORITY, TASKS, ProjectTasksEntry
from encord_async.kinds.project_users import USERS, ProjectUsersEntry
from encord_async.kinds.step import StepKind
from encord_async.kinds.thing import InnerThing, Thing
from encord_async.protocol.operations.base import Operation

__all__ = [
    "ENTRY_MODELS",
    "counted",
    "exported",
    "kind_of",
    "maker_of",
    "nouns",
    "parent_of",
    "probe_of",
    "registered",
    "relation_of",
    "relations",
    "relations_of",
    "step_kind",
    "step_kinds",
    "summed",
    "things",
]

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
    FolderEntry,
    DataEntry,
    ProjectTasksEntry,
)


_STEP_KINDS: Final[tuple[StepKind, ...]] = (
    PROJECT,
    DATASET,
    ONTOLOGY,
    API_KEY,
    DATASETS.give,
    DATASETS.take,
    USERS.give,
    USERS.take,
    GROUP,
    MEMBERS.give,
    GROUPS.give,
    GROUPS.take,
    ORGANISATION_USER,
    DATASET_USERS.give,
    DATASET_USERS.take,
    DATASET_GROUPS.give,
    DATASET_GROUPS.take,
    ONTOLOGY_GROUPS.give,
    ONTOLOGY_GROUPS.take,
    TAGS.give,
    TAGS.take,
    STATUS.give,
    STAGES.give,
    PRIORITY.give,
    TASKS.give,
    FOLDER,
    FOLDER_GROUPS.give,
    FOLDER_GROUPS.take,
    FOLDER_SYNC.give,
    FOLDER_DATA.give,
    DATASET_DATA.give,
    DATASET_FOLDER.give,
    DATASET_ITEMS.give,
    DATASET_ROWS.take,
)
"""In the order in which reports have them."""


def kind_of(model: type[Entry]) -> str:
    """The kind of the entries that *model* describes."""
    kind: str = model.model_fields["kind"].default
    return kind


_models: Final[dict[str, type[Entry]]] = {kind_of(model): model for model in _KINDS}
_step_kinds: Final[dict[str, StepKind]] = {kind.word: kind for kind in _STEP_KINDS}

ENTRY_MODELS: Final[Mapping[str, type[Entry]]] = MappingProxyType(_models)
"""The model of each kind of entry."""


def counted() -> dict[str, str]:
    """Words for all that entries can hold, by the names of `Entry.contents`."""
    return {count.name: count.words for model in ENTRY_MODELS.values() for count in model.counted}


def step_kinds() -> tuple[StepKind, ...]:
    """All that steps can do, in the order in which people are told of them."""
    return tuple(_step_kinds.values())


def step_kind(word: str) -> StepKind:
    """The one that a journal has by *word*.

    Raises:
        KeyError: There is none.
    """
    return _step_kinds[word]


def maker_of(kind: str) -> StepKind:
    """The step that creates what the key of an entry of *kind* names."""
    maker = ENTRY_MODELS[kind].makes
    if maker is None:
        raise AssertionError(f"the key of a {kind} entry stands for nothing")
    return maker


def probe_of(relation: Relation, parent_hash: str) -> Operation[Any]:
    """What reads a thing that *relation* is about, and is refused if it is not there or not ours to see."""
    maker = maker_of(relation.parent)
    if not isinstance(maker, Thing):
        raise AssertionError(f"what has {relation.plural} has no hash")
    return maker.probe(parent_hash)


def things() -> tuple[Thing, ...]:
    """All that can be made and has a hash."""
    return tuple(kind for kind in _step_kinds.values() if isinstance(kind, Thing))


def summed() -> dict[str, tuple[str, str, str]]:
    """What an export adds up, by the names of `Entry.contents`: its name there, and words for one and for several."""
    counts = (count for model in ENTRY_MODELS.values() for count in model.counted)
    return {count.name: count.exported for count in counts if count.exported is not None}


def exported() -> tuple[Exports, ...]:
    """All of which an account can be written down, each after what its entries may refer to."""
    placed: dict[str, Exports] = {}

    def place(kind: StepKind) -> None:
        if isinstance(kind, Exports) and kind.word not in placed:
            for before in kind.after:
                place(maker_of(before))
            placed[kind.word] = kind

    # No one step makes what lies in folders and is linked.
    for kind in (*step_kinds(), DATA):
        place(kind)
    return tuple(placed.values())


def nouns(what: str) -> tuple[str, str]:
    """What people call what goes by *what* in plans and differences: one, and several; fields go by their names."""
    for kind in _step_kinds.values():
        if what in {kind.what, kind.thing}:
            return kind.noun, kind.plural
    return what.replace("_", " "), what.replace("_", " ")


def relation_of(thing: str) -> Relation | None:
    """The relation whose differences go by *thing*."""
    return next((relation for relation in relations() if relation.thing == thing), None)


def parent_of(kind: StepKind) -> StepKind | None:
    """What makes the thing that steps of *kind* are about, if they are about one."""
    match kind:
        case Membership(relation=relation):
            return maker_of(relation.parent)
        case InnerThing(parent=parent):
            return maker_of(parent)
    return None


@functools.cache
def relations() -> tuple[Relation, ...]:
    """All sorts of what things can have in them."""
    found = (kind.relation for kind in _step_kinds.values() if isinstance(kind, Membership))
    return tuple(dict.fromkeys(found))


def relations_of(kind: str) -> tuple[Relation, ...]:
    """What the things of entries of *kind* can have in them."""
    return tuple(relation for relation in relations() if relation.parent == kind)


@contextmanager
def registered(model: type[Entry], *steps: StepKind) -> Iterator[None]:
    """Know *model* as one more kind meanwhile: what is told of kinds must not hang on which there are."""
    _models[kind_of(model)] = model
    _step_kinds.update({kind.word: kind for kind in steps})
    relations.cache_clear()
    try:
        yield
    finally:
        relations.cache_clear()
        del _models[kind_of(model)]
        for kind in steps:
            del _step_kinds[kind.word]
