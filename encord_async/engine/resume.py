"""What earlier runs have left of an entry: results to take over, doubts to settle, changes to make or to report.

Pure: records in, a `Recall` out. It never reads the journal itself and never sends.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from encord_async.engine.making import structure_digest
from encord_async.engine.outcome import Status
from encord_async.engine.schedule import Earlier, Result, dataset_digest
from encord_async.errors import ConflictError
from encord_async.journal.record import Doubt, Record, State
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry, MakingEntry
from encord_async.kinds.fields import referenced_key
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.steps import ITSELF, Step, StepKind, attach_step

__all__ = ["HASHES", "Past", "Recall", "changed", "fits", "recall", "taken_over"]

_LASTING: Final = (
    "ontology",
    "workflow_template_id",
    "copy_options",
    "structure",
    "storage",
    "create_backing_folder",
    "scopes",
)
"""Details of a record that say what cannot be changed of what was made, title and description aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a run knows of earlier ones.

    Attributes:
        records: What is written down of the steps of some entries, by step identity.
        contested: Identities of records of API keys that others may take over, see `Ledger.contested`.
        detached: Hashes of projects that may lack a dataset which they had once.
        has_moved: Whether a key may mean another thing now than it did then.
    """

    records: Mapping[bytes, Record] = field(default_factory=dict)
    contested: Collection[bytes] = ()
    detached: Collection[str] = ()
    has_moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What is known of an entry's steps before it is planned.

    Attributes:
        steps: The entry's steps, with those that a change of the entry since an earlier run has added.
        results: Of steps that need not be done again.
        doubts: Of steps that may have happened.
        unsure: What was made, for steps of which only hashes will tell whether they are done by it: API keys, because
            the project may be another now; the project itself, because it may refer to something else now; and its
            datasets, if keys may mean others than they did, or some may have been detached.
    """

    steps: Sequence[Step]
    results: Mapping[bytes, Result] = field(default_factory=dict)
    doubts: Mapping[bytes, Doubt] = field(default_factory=dict)
    unsure: Mapping[bytes, Earlier] = field(default_factory=dict)


def recall(entry: Entry, identity: bytes, steps: Iterable[Step], past: Past, *, began_s: float) -> Recall:
    """Compare *entry* with what is written down of it; what is in a project is compared when it is known in which.

    Args:
        entry: The entry as it is now.
        identity: Its identity.
        steps: Its steps.
        past: What is written down.
        began_s: When this run began, on the monotonic clock: doubts of earlier runs settle from then on, so
            that a wall clock that was set meanwhile cannot cut the settling short.
    """
    planned = list(steps)
    results: dict[bytes, Result] = {}
    doubts: dict[bytes, Doubt] = {}
    unsure: dict[bytes, Earlier] = {}
    for step in tuple(planned):
        record = past.records.get(step.identity)
        if record is None or record.state is State.FAILED:
            continue
        if record.is_open:
            doubts[step.identity] = Doubt(record=record, since_s=began_s, over=True)
            continue
        if step.kind is StepKind.API_KEY:
            # By another name of its project it is held by nobody, until the step has it again.
            contested = not record.is_held_by(step) or record.identity in past.contested
            unsure[step.identity] = Earlier(record=record, contested=contested)
            continue
        result = taken_over(entry, step, record)
        if isinstance(entry, ProjectEntry) and step.kind is StepKind.PROJECT:
            added = _attachments(entry, identity, record, past)
            planned += added
            if added:
                earlier = _earlier(record, past)
                unsure |= {one.identity: earlier for one in added}
            if result.error is None and _refers_elsewhere(entry, record, past):
                unsure[step.identity] = Earlier(record=record)
                continue
        results[step.identity] = result
    return Recall(steps=planned, results=results, doubts=doubts, unsure=unsure)


def _attachments(entry: ProjectEntry, identity: bytes, record: Record, past: Past) -> list[Step]:
    """Steps for the datasets of *entry* that its project may lack."""
    known = _texts(record, "references")
    if past.has_moved:
        known = [reference for reference in known if referenced_key(reference) is None]
    then = frozenset(known)
    missing = [one for one in dict.fromkeys(entry.datasets) if one not in then or record.hash in past.detached]
    return [attach_step(identity, reference) for reference in missing]


def _earlier(record: Record, past: Past) -> Earlier:
    """The project of *record*, and the datasets that it had from the first."""
    held = {dataset_digest(one) for one in _texts(record, "references") if referenced_key(one) is None}
    return Earlier(record=record, held=held.union(_texts(record, "held")), detached=record.hash in past.detached)


def _texts(record: Record, name: str) -> list[str]:
    found = record.details.get(name)
    return found if isinstance(found, list) else []


def taken_over(entry: Entry, step: Step, record: Record) -> Result:
    """What a step that *record* says is done is for *entry* as it is now: unchanged, or failed if it cannot follow."""
    if step.kind not in ITSELF:
        return Result(status=Status.UNCHANGED, hash=record.project_hash)
    if isinstance(entry, MakingEntry):
        names = _changed(entry, record)
        if names:
            return changed(record, names)
    return Result(status=Status.UNCHANGED, hash=record.hash)


def changed(record: Record, names: Sequence[str]) -> Result:
    """How an entry ends whose members *names* are other than what it was made with."""
    error = ConflictError(
        f"it was made as {record.hash} with another {' and '.join(names)}, which cannot be changed over this "
        "API; change it in the web app and in the manifest, or give the entry a new key, and where title and "
        "description stay use existing='create' to make another",
        code="CHANGED",
    )
    return Result(status=Status.FAILED, hash=record.hash, error=error)


def fits(record: Record, details: Mapping[str, object]) -> bool:
    """Whether what *record*, a namesake, has made is what would be made with *details*."""
    made = record.details
    if ("copy_of" in made) != ("copy_of" in details):
        return False
    template = "template" if "template" in made else "copy_of"
    return all(made.get(name, details.get(name)) == details.get(name) for name in (*_LASTING, template))


def _changed(entry: MakingEntry, record: Record) -> list[str]:
    """Members of *entry* that are other than what was made, and cannot follow."""
    made = record.details
    pairs: dict[str, tuple[object, object]] = {
        "name" if isinstance(entry, GroupEntry) else "title": (entry.wished_title, record.title),
        "description": (entry.description, made.get("wished_description", "")),
    }
    match entry:
        case ProjectEntry():
            pairs |= {
                name: pair
                for name, pair in _references(entry, record).items()
                if not (_is_key(pair) and isinstance(made.get(HASHES[name]), str))
            }
            pairs["workflow_template_id"] = (entry.workflow_template_id, made.get("workflow_template_id") or None)
            pairs["copy_options"] = (sorted(entry.copy_options), made.get("copy_options") or [])
        case DatasetEntry():
            pairs["storage"] = (int(entry.storage), made.get("storage", int(entry.storage)))
            folder = entry.create_backing_folder
            pairs["create_backing_folder"] = (folder, made.get("create_backing_folder", folder))
        case OntologyEntry():
            pairs["structure"] = (structure_digest(entry.structure), made.get("structure"))
        case GroupEntry():
            pass
    return [name for name, (wished, was) in pairs.items() if wished != was]


HASHES: Final[Mapping[str, str]] = {"ontology": "ontology", "copy_of": "template"}
"""Under which name a record has the hash of what a project referred to."""


def _references(entry: ProjectEntry, record: Record) -> dict[str, tuple[str | None, object]]:
    """What *entry* refers to and what it referred to when its project was made; its datasets aside."""
    made = record.details
    return {
        "ontology": (entry.wanted_ontology, made.get("ontology_reference", made.get("ontology")) or None),
        "copy_of": (entry.copy_of, made.get("copy_of")),
    }


def _is_key(pair: tuple[str | None, object]) -> bool:
    """Whether a key is among two references, and neither is missing: they may mean the same."""
    texts = [reference for reference in pair if isinstance(reference, str)]
    return len(texts) == len(pair) and any(referenced_key(reference) is not None for reference in texts)


def _refers_elsewhere(entry: ProjectEntry, record: Record, past: Past) -> bool:
    """Whether *entry* may refer to something else than it did, and only hashes can tell."""
    pairs = _references(entry, record).items()
    return any(
        _is_key(pair) and (past.has_moved or pair[0] != pair[1]) and isinstance(record.details.get(HASHES[name]), str)
        for name, pair in pairs
    )
