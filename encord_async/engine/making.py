"""What is sent for a step that makes something, and what is written down of it beforehand.

Pure: a ticket in, a `Making` out; the same ticket gives the same in every run. Nothing here sends, looks or waits.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from encord_async.engine.account import ENTRY_MARK, DatasetAPI, entry_mark, stamped
from encord_async.engine.schedule import Ticket, dataset_digest
from encord_async.journal.record import name_digest
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.steps import Step, StepKind
from encord_async.protocol.catalogue import StorageLocation
from encord_async.protocol.models import NewDataset
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.operations.datasets import CreateDataset, CreateDatasetV2
from encord_async.protocol.operations.keys import CreateProjectAPIKey
from encord_async.protocol.operations.ontologies import CreateOntology
from encord_async.protocol.operations.organisation import CreateGroup
from encord_async.protocol.operations.projects import CopyProject, CreateProject
from encord_async.protocol.rest_models import CreatedDataset, Group, Ontology

__all__ = [
    "Maker",
    "Making",
    "api_key_name",
    "contents_digest",
    "hash_of",
    "holding",
    "key_fingerprint",
    "structure_digest",
]

_JOURNAL_MARK: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A creation, ready to be written down and sent.

    Attributes:
        operation: What is sent.
        title: The thing's title.
        description: Its description, with the stamp if there is one.
        name: What namesakes have in common.
        details: What a look-up needs besides; goes into the ledger.
        taken: How many of a project's datasets go along in the request; the others are attached afterwards.
    """

    operation: Operation[Any]
    title: str
    description: str
    name: bytes
    details: dict[str, object]
    taken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Says what is sent for a ticket.

    Attributes:
        max_batch: Most datasets in one request.
        dataset_api: Over which API datasets are made.
        stamp_for: The domain that stamps are made for; None puts no stamp into descriptions.
        stamp_key: Secret of the ledger, by which its stamps are told from those of others for the same entries.
    """

    max_batch: int
    dataset_api: DatasetAPI
    stamp_for: str | None = None
    stamp_key: bytes = b""

    def making(self, ticket: Ticket) -> Making:
        """What is sent for *ticket*."""
        step, entry = ticket.step, ticket.wish.entry
        if step.kind is StepKind.API_KEY:
            return _api_key(ticket)
        if not isinstance(entry, MakingEntry):
            raise AssertionError(f"a {entry.kind} entry makes nothing")
        title = entry.wished_title
        mark = self.mark(ticket)
        description = entry.description if mark is None else stamped(entry.description, mark)
        details: dict[str, object] = {"description": description, "wished_description": entry.description}
        operation: Operation[Any]
        more: dict[str, object] = {}
        match entry:
            case DatasetEntry():
                operation, more = self._dataset(entry, description)
            case ProjectEntry() if entry.copy_of is not None:
                operation, more = _copy(ticket, entry, description)
            case ProjectEntry():
                operation, more = self._project(ticket, entry, description)
            case OntologyEntry():
                operation = CreateOntology(title=title, description=description, editor=entry.structure)
                more = {
                    "structure": structure_digest(entry.structure),
                    "structure_parts": sorted(entry.structure or ()),
                }
            case GroupEntry():
                operation = CreateGroup(name=title, description=description)
            case _:
                raise AssertionError(f"nothing is known of how a {entry.kind} is made")
        return Making(
            operation=operation,
            title=title,
            description=description,
            # Without the mark: what one entry has adopted without a mark, another must not adopt.
            name=name_digest(step.kind, title, entry.description),
            details=details | more,
            taken=self.max_batch if isinstance(operation, CreateProject) else 0,
        )

    def mark(self, ticket: Ticket) -> str | None:
        """The mark of the entry, if marks are wanted.

        Its first part is known again when the journal is gone, its second tells what two journals make at once.
        """
        if self.stamp_for is None:
            return None
        return entry_mark(self.stamp_for, ticket.wish.identity) + self._secret(ticket, _JOURNAL_MARK)

    def is_ours(self, ticket: Ticket, mark: str | None) -> bool:
        """Whether *mark* is one that the entry was made with, if only under another journal."""
        own = self.mark(ticket)
        if own is None or mark is None:
            return False
        # Once all of it was the journal's.
        return mark[:ENTRY_MARK] == own[:ENTRY_MARK] or mark == self._secret(ticket, len(own))

    def _secret(self, ticket: Ticket, letters: int) -> str:
        return hashlib.blake2b(ticket.step.identity, key=self.stamp_key, digest_size=letters // 2).hexdigest()

    def _dataset(self, entry: DatasetEntry, description: str) -> tuple[Operation[Any], dict[str, object]]:
        details: dict[str, object] = {
            "storage": int(entry.storage),
            "create_backing_folder": entry.create_backing_folder,
        }
        # REST v2 has no word for where data lie, so that only an envelope can ask for another place than Encord's own.
        if self.dataset_api is DatasetAPI.ENVELOPE or entry.storage is not StorageLocation.CORD_STORAGE:
            envelope = CreateDataset(
                title=entry.title,
                description=description,
                storage=entry.storage,
                create_backing_folder=entry.create_backing_folder,
            )
            return envelope, details
        rest = CreateDatasetV2(
            title=entry.title, description=description, create_backing_folder=entry.create_backing_folder
        )
        return rest, details | {"api": DatasetAPI.REST.value}

    def _project(
        self, ticket: Ticket, entry: ProjectEntry, description: str
    ) -> tuple[Operation[Any], dict[str, object]]:
        operation = CreateProject(
            title=entry.title,
            description=description,
            dataset_hashes=ticket.items[: self.max_batch],
            ontology_hash=ticket.ontology_hash,
            workflow_template_id=entry.workflow_template_id,
        )
        return operation, {
            **holding(ticket, ticket.items[: self.max_batch]),
            "contents": [contents_digest(some) for some in _grown(ticket.items, self.max_batch)],
            "ontology": ticket.ontology_hash,
            "ontology_reference": entry.wanted_ontology,
            "workflow_template_id": entry.workflow_template_id,
        }


def _copy(ticket: Ticket, entry: ProjectEntry, description: str) -> tuple[Operation[Any], dict[str, object]]:
    operation = CopyProject(
        project_hash=ticket.template_hash or "",
        title=entry.title,
        description=description,
        options=entry.copy_options,
    )
    return operation, {
        **holding(ticket, ()),
        "copy_of": entry.copy_of,
        "template": ticket.template_hash,
        "copy_options": sorted(entry.copy_options),
    }


def _api_key(ticket: Ticket) -> Making:
    step, project_hash = ticket.step, ticket.project_hash or ""
    scopes = [scope.value for scope in step.scopes]
    return Making(
        operation=CreateProjectAPIKey(project_hash=project_hash, title=step.item, scopes=step.scopes),
        title=step.item,
        description="",
        name=api_key_name(project_hash, step),
        details={"scopes": scopes, "project": step.project},
    )


def api_key_name(project_hash: str, step: Step) -> bytes:
    """What namesakes of the API key that *step* makes have in common."""
    return name_digest(step.kind, project_hash, step.item, *(scope.value for scope in step.scopes))


def _grown(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """*items* as a project holds them after its creation, and after each envelope that attaches more."""
    for end in range(size, max(len(items), 1) + size, size):
        yield items[:end]


def holding(ticket: Ticket, items: Collection[str]) -> dict[str, object]:
    """What is written down of a project that holds *items*, of the datasets that its entry names.

    By the references a later run knows at once that nothing has to be done. Where keys are among them, which may come
    to mean something else, the digests of the datasets tell.
    """
    entry = ticket.wish.entry
    references = list(dict.fromkeys(entry.datasets)) if isinstance(entry, ProjectEntry) else []
    known: dict[str, object] = {"references": references}
    held = set(items)
    if len(held) < len(ticket.items):
        # Where two stand for one dataset, which ones is not kept: only the digests tell.
        alike = len(references) == len(ticket.items)
        pairs = zip(references, ticket.items, strict=True) if alike else ()
        known["references"] = [reference for reference, item in pairs if item in held]
    if any(referenced_key(reference) is not None for reference in references):
        known["held"] = [dataset_digest(item) for item in ticket.items if item in held]
    return known


def contents_digest(dataset_hashes: Iterable[str]) -> str:
    """A name for a set of datasets, to tell namesakes apart by what they hold."""
    joined = "\n".join(sorted(set(dataset_hashes)))
    return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()


def structure_digest(structure: Mapping[str, Any] | None) -> str | None:
    """A name for an ontology's structure, however its members are ordered; None for none."""
    if structure is None:
        return None
    return hashlib.blake2b(json.dumps(structure, sort_keys=True).encode(), digest_size=16).hexdigest()


def key_fingerprint(api_key: str) -> str:
    """A name for an API key that reveals nothing of it."""
    return "api-key:" + hashlib.sha256(api_key.encode()).hexdigest()[:32]


def hash_of(made: object) -> str:
    """The name by which what was made is known again; for an API key one that is no secret."""
    match made:
        case NewDataset():
            return made.dataset_hash
        case CreatedDataset():
            return made.dataset_uuid
        case Ontology():
            return made.ontology_uuid
        case Group():
            return made.group_hash
        case SecretStr():
            return key_fingerprint(made.get_secret_value())
        case str():
            return made
    raise AssertionError(f"nothing is made as {type(made).__name__}")
