"""What the account holds already, and whether an entry is taken for something of it.

`match` decides, purely. `Account` lists projects, datasets, ontologies and groups once a run, on first need, and keeps
of each its hash under a digest of title and description. It never changes anything.
"""

import copy
import hashlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

import anyio

from encord_async.errors import ConflictError, EncordError
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.steps import StepKind
from encord_async.protocol.catalogue import DatasetUserRole, OntologyUserRole, ProjectUserRole, StorageLocation
from encord_async.protocol.models import Dataset, DatasetDetails
from encord_async.protocol.operations.datasets import GetDataset, ListDatasets, ListDatasetsV2
from encord_async.protocol.operations.ontologies import ListOntologies
from encord_async.protocol.operations.organisation import ListGroups
from encord_async.protocol.operations.projects import ListProjectsV2
from encord_async.protocol.rest_models import ListedDataset
from encord_async.session.session import Session

__all__ = [
    "ENTRY_MARK",
    "Account",
    "Adopt",
    "Create",
    "DatasetAPI",
    "Existing",
    "Found",
    "Keeping",
    "differs",
    "entry_mark",
    "keeping_of",
    "match",
    "stamped",
]


ENTRY_MARK: Final = 8
"""So many letters of a mark are those of its entry, and the rest those of the journal."""
_STAMP: Final = re.compile(r" ?\[encord-async ([0-9a-f]{12})\]$")


class Existing(StrEnum):
    """What to do about something that is there already under the same title and description."""

    ADOPT = "adopt"
    """Take it as ours if there is exactly one of which we are admin."""
    CREATE = "create"
    """Make another one."""
    FAIL = "fail"
    """Let the entry fail."""


class DatasetAPI(StrEnum):
    """Over which of the service's two APIs datasets are made and listed."""

    REST = "rest"
    """As the official SDK does since 0.1.153. It cannot say where the data of a dataset lie."""
    ENVELOPE = "envelope"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a dataset keeps its data, and whether it has a folder of its own; None is what a listing does not say."""

    location: StorageLocation | int | None = None
    has_folder: bool | None = None

    def serves(self, location: int, *, folder: bool) -> bool | None:
        """Whether this is as wished, a folder more than was wished for included; None if it does not say."""
        unsaid = self.location is None or (folder and self.has_folder is None)
        as_wished = self.location in {None, location} and not (folder and self.has_folder is False)
        return as_wished if not (as_wished and unsaid) else None

    def __str__(self) -> str:
        place = self.location.name if isinstance(self.location, StorageLocation) else f"{self.location}"
        return f"its data at {place}{'' if self.has_folder else ' and no backing folder'}"


@dataclass(frozen=True, slots=True)
class Found:
    """Something that the account holds; *mark* is that of the entry that it was made for, if it shows one.

    *keeping* is of datasets only.
    """

    hash: str
    is_admin: bool
    mark: str | None = None
    keeping: Keeping | None = None


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take this one as ours."""

    hash: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make a new one."""


Match: TypeAlias = Adopt | Create


def match(what: StepKind, title: str, found: Iterable[Found], existing: Existing) -> Match:
    """Decide what an entry with these namesakes becomes.

    Raises:
        ConflictError: Several could be meant, or *existing* says to fail; the message lists their hashes.
    """
    candidates = list(found)
    if existing is Existing.CREATE or not candidates:
        return Create()
    listed = ", ".join(candidate.hash for candidate in candidates[:10])
    if existing is Existing.FAIL:
        article = "an" if what is StepKind.ONTOLOGY else "a"
        raise ConflictError(f"{article} {what.value} {title!r} is there already: {listed}", code="EXISTS")
    ours = [candidate for candidate in candidates if candidate.is_admin]
    if not ours:
        return Create()
    if len(ours) > 1:
        listed = ", ".join(candidate.hash for candidate in ours[:10])
        plural = "ontologies" if what is StepKind.ONTOLOGY else f"{what.value}s"
        raise ConflictError(
            f"several {plural} {title!r} could be meant: {listed}; "
            "refer to one by its hash, or use existing='create' to make another",
            code="AMBIGUOUS",
        )
    return Adopt(ours[0].hash)


class Account:
    """What the account held when it was first asked for, each sort of thing for itself."""

    def __init__(self, session: Session, *, dataset_api: DatasetAPI = DatasetAPI.REST) -> None:
        self._session = session
        self._dataset_api = dataset_api
        self._lock = anyio.Lock()
        self._index: dict[StepKind, dict[bytes, list[Found]]] = {}
        self._failures: dict[StepKind, EncordError] = {}
        self._claimed: set[str] = set()

    async def namesakes(self, what: StepKind, title: str, description: str) -> list[Found]:
        """What went by exactly this title and description when the account was listed, stamps aside.

        Raises:
            EncordError: The account cannot be listed. It was tried as often as anything is, and is not tried again for
                each entry that asks.
        """
        if what not in self._index:
            async with self._lock:
                if what not in self._index:
                    self._index[what] = await self._listed_once(what)
        return self._index[what].get(_digest(title, description), [])

    async def find(self, what: StepKind, title: str, description: str) -> list[Found]:
        """`namesakes` that no entry of this run has adopted."""
        return self.unclaimed(await self.namesakes(what, title, description))

    def unclaimed(self, found: Iterable[Found]) -> list[Found]:
        """Those of *found* that no entry of this run has adopted."""
        return [one for one in found if one.hash not in self._claimed]

    def claim(self, found_hash: str) -> None:
        """Keep *found_hash* from being adopted by another entry."""
        self._claimed.add(found_hash)

    async def suited(self, entry: MakingEntry, found: Iterable[Found]) -> list[Found]:
        """Those of *found* that are kept as *entry* wishes, if it is a dataset: its data cannot move over this API.

        Raises:
            ConflictError: The account is admin of some, and none of these is.
            EncordError: A dataset cannot be read.
        """
        if not isinstance(entry, DatasetEntry):
            return list(found)
        wished = int(entry.storage), entry.create_backing_folder
        ours = [(one, await self._keeping(one, wished[0], folder=wished[1])) for one in found if one.is_admin]
        suited = [one for one, keeping in ours if keeping.serves(wished[0], folder=wished[1]) is not False]
        if ours and not suited:
            other, keeping = ours[0]
            raise ConflictError(
                f"the dataset {other.hash} {entry.title!r} is there already with {keeping}, and "
                f"{Keeping(entry.storage, entry.create_backing_folder)} is wanted; state in the manifest what it has, "
                "give this one another title or description, or use existing='create' to make another",
                code="STORAGE_KEPT",
            )
        return suited

    async def _keeping(self, found: Found, location: int, *, folder: bool) -> Keeping:
        said = found.keeping or Keeping()
        if said.serves(location, folder=folder) is None:
            return keeping_of(await self._session.execute(GetDataset(dataset_hash=found.hash)))
        return said

    async def _listed_once(self, what: StepKind) -> dict[bytes, list[Found]]:
        failure = self._failures.get(what)
        if failure is None:
            try:
                return await self._listed(what)
            except EncordError as error:
                failure = self._failures[what] = copy.copy(error)
                plural = "ontologies" if what is StepKind.ONTOLOGY else f"{what.value}s"
                failure.message = f"the {plural} of the account cannot be listed: {error.message}"
        # A copy: one error that is raised again and again would gather all their tracebacks.
        raise copy.copy(failure)

    async def _listed(self, what: StepKind) -> dict[bytes, list[Found]]:
        index: defaultdict[bytes, list[Found]] = defaultdict(list)
        shown: set[str] = set()
        async for listed in self._listing(what):
            if listed.hash not in shown:
                shown.add(listed.hash)
                found = Found(listed.hash, listed.is_admin, _mark(listed.description), listed.keeping)
                index[_digest(listed.title, listed.description)].append(found)
        return dict(index)

    def _listing(self, what: StepKind) -> AsyncIterator["_Listed"]:
        match what:
            case StepKind.PROJECT:
                return self._projects()
            case StepKind.DATASET:
                return self._datasets()
            case StepKind.ONTOLOGY:
                return self._ontologies()
            case StepKind.GROUP:
                return self._groups()
        raise AssertionError(f"nothing lists what a step of kind {what} makes")

    async def _projects(self) -> AsyncIterator["_Listed"]:
        async for page in self._session.pages(ListProjectsV2()):
            for one in page.results:
                yield _Listed(one.project_hash, one.title, one.description, one.user_role == ProjectUserRole.ADMIN)

    async def _datasets(self) -> AsyncIterator["_Listed"]:
        if self._dataset_api is DatasetAPI.ENVELOPE:
            for owned in await self._session.execute(ListDatasets()):
                old, is_admin = owned.dataset, owned.user_role == DatasetUserRole.ADMIN
                yield _Listed(old.dataset_hash, old.title, old.description, is_admin, keeping_of(old))
            return
        async for page in self._session.pages(ListDatasetsV2()):
            for one in page.results:
                is_admin = one.user_role == DatasetUserRole.ADMIN
                yield _Listed(one.dataset_uuid, one.title, one.description, is_admin, keeping_of(one))

    async def _ontologies(self) -> AsyncIterator["_Listed"]:
        async for page in self._session.pages(ListOntologies()):
            for one in page.results:
                yield _Listed(one.ontology_uuid, one.title, one.description, one.user_role == OntologyUserRole.ADMIN)

    async def _groups(self) -> AsyncIterator["_Listed"]:
        async for page in self._session.pages(ListGroups()):
            for one in page.results:
                # Who manages a group is not listed; whoever does not, is refused when it comes to its members.
                yield _Listed(one.group_hash, one.name, one.description, is_admin=True)


class _Listed(NamedTuple):
    """Something in a listing."""

    hash: str
    title: str
    description: str | None
    is_admin: bool
    keeping: Keeping | None = None


def keeping_of(dataset: Dataset | ListedDataset | DatasetDetails) -> Keeping:
    """How *dataset* is kept, as far as this reply of the service says."""
    match dataset:
        case Dataset():
            return Keeping(dataset.type)
        case ListedDataset():
            is_said = "backing_folder_uuid" in dataset.model_fields_set
            return Keeping(dataset.storage_location, dataset.backing_folder_uuid is not None if is_said else None)
        case DatasetDetails():
            location = StorageLocation.__members__.get(dataset.dataset_type or "")
            return Keeping(location, dataset.backing_folder_uuid is not None)


def differs(structure: Mapping[str, object], editor: Mapping[str, object]) -> bool:
    """Whether the ontology *editor* lacks something of *structure*; what it has besides does not count."""
    return any(editor.get(part) != wished for part, wished in structure.items())


def stamped(description: str, mark: str) -> str:
    """*description* with a short mark of the entry, by which a look-up finds exactly its own."""
    return f"{description} [encord-async {mark}]".lstrip()


def entry_mark(domain: str, identity: bytes) -> str:
    """The part of a mark that is the same whichever journal knows the entry.

    Args:
        domain: The service.
        identity: Identity of the entry, or its first eight bytes.
    """
    key = hashlib.blake2b(domain.encode(), digest_size=16).digest()
    return hashlib.blake2b(identity[:8], key=key, digest_size=ENTRY_MARK // 2).hexdigest()


def _mark(description: str | None) -> str | None:
    found = _STAMP.search(description or "")
    return None if found is None else found.group(1)


def _digest(title: str, description: str | None) -> bytes:
    plain = _STAMP.sub("", description or "")
    joined = f"{len(title)}:{title}{plain}"
    return hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=16).digest()
