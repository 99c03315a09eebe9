"""What earlier runs have left of an entry: results to take over, doubts to settle, changes to make or to report.

Pure: records in, a `Recall` out. It never reads the journal itself and never sends.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from encord_async.engine.making import structure_digest, title_of
from encord_async.engine.outcome import Status
from encord_async.engine.schedule import Result
from encord_async.errors import ConflictError
from encord_async.journal.record import Doubt, Record, State
from encord_async.kinds.steps import ITSELF, Step, StepKind, attach_step
from encord_async.manifest.entries import DatasetEntry, Entry, GroupEntry, MakingEntry, OntologyEntry, ProjectEntry

__all__ = ["Recall", "added_steps", "recall", "taken_over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What is known of an entry's steps before it is planned.

    Attributes:
        steps: The entry's steps, with those that a change of the entry since an earlier run has added.
        results: Of steps that need not be done again.
        doubts: Of steps that may have happened.
    """

    steps: Sequence[Step]
    results: Mapping[bytes, Result] = field(default_factory=dict)
    doubts: Mapping[bytes, Doubt] = field(default_factory=dict)


def added_steps(
    entry: Entry, identity: bytes, steps: Iterable[Step], records: Mapping[bytes, Record]
) -> Iterator[Step]:
    """Steps for the datasets that *entry* has gained since its project was made.

    The arguments are those of `recall`; what is written down of these steps has to be among its records.
    """
    if not isinstance(entry, ProjectEntry):
        return
    for step in steps:
        record = records.get(step.identity)
        if step.kind is not StepKind.PROJECT or record is None or record.state is not State.DONE:
            continue
        known = record.details.get("references")
        then = set(known) if isinstance(known, list) else set()
        for reference in dict.fromkeys(entry.datasets):
            if reference not in then:
                yield attach_step(identity, reference)


def recall(
    entry: Entry, identity: bytes, steps: Iterable[Step], records: Mapping[bytes, Record], *, began_s: float
) -> Recall:
    """Compare *entry* with what is written down of it.

    Args:
        entry: The entry as it is now.
        identity: Its identity.
        steps: Its steps.
        records: What is written down, by step identity.
        began_s: When this run began, on the monotonic clock: doubts of earlier runs settle from then on, so
            that a wall clock that was set meanwhile cannot cut the settling short.
    """
    planned = list(steps)
    planned += list(added_steps(entry, identity, planned, records))
    results: dict[bytes, Result] = {}
    doubts: dict[bytes, Doubt] = {}
    for step in planned:
        record = records.get(step.identity)
        if record is None or record.state is State.FAILED:
            continue
        if record.is_open:
            doubts[step.identity] = Doubt(record=record, since_s=began_s, over=True)
            continue
        results[step.identity] = taken_over(entry, step, record)
    return Recall(steps=planned, results=results, doubts=doubts)


def taken_over(entry: Entry, step: Step, record: Record) -> Result:
    """What a step that *record* says is done is for *entry* as it is now: unchanged, or failed if it cannot follow."""
    if step.kind not in ITSELF:
        return Result(status=Status.UNCHANGED, hash=record.project_hash)
    found = record.hash
    if isinstance(entry, MakingEntry):
        changed = _changed(entry, record)
        if changed:
            error = ConflictError(
                f"it was made as {found} with another {' and '.join(changed)}, which cannot be changed over this "
                "API; change it in the web app and in the manifest, or give the entry a new key",
                code="CHANGED",
            )
            return Result(status=Status.FAILED, hash=found, error=error)
    return Result(status=Status.UNCHANGED, hash=found)


def _changed(entry: MakingEntry, record: Record) -> list[str]:
    """Members of *entry* that are other than what was made, and cannot follow."""
    made = record.details
    pairs: dict[str, tuple[object, object]] = {
        "name" if isinstance(entry, GroupEntry) else "title": (title_of(entry), record.title),
        "description": (entry.description, made.get("wished_description", "")),
    }
    match entry:
        case ProjectEntry():
            pairs["ontology"] = (entry.wanted_ontology, made.get("ontology_reference", made.get("ontology")) or None)
            pairs["workflow_template_id"] = (entry.workflow_template_id, made.get("workflow_template_id") or None)
            pairs["copy_of"] = (entry.copy_of, made.get("copy_of"))
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
