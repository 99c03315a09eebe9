"""Settles what is in doubt: a create that was, or may have been, sent and whose answer never came.

`decide` is the rule, as a pure function. `Settler` looks things up and asks it. Nothing here creates anything.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from encord_async.engine.account import DatasetAPI, keeping_of
from encord_async.engine.making import contents_digest, hash_of, key_fingerprint, structure_digest
from encord_async.errors import EncordError, NotFoundError
from encord_async.journal.record import Doubt, Ledger, Record
from encord_async.kinds.steps import StepKind
from encord_async.protocol.catalogue import DatasetUserRole, ProjectUserRole
from encord_async.protocol.models import Dataset, ProjectAPIKey
from encord_async.protocol.operations.base import Creation, ListingFilter
from encord_async.protocol.operations.datasets import CreateDatasetV2, GetDataset, ListDatasets
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.ontologies import CreateOntology
from encord_async.protocol.operations.organisation import CreateGroup
from encord_async.protocol.operations.projects import GetProject, ListProjects, ListProjectsV2
from encord_async.protocol.rest_models import ListedDataset, Ontology
from encord_async.session.session import Session

__all__ = [
    "AdoptIt",
    "LeaveIt",
    "SendAgain",
    "Settler",
    "Verdict",
    "WaitLonger",
    "decide",
]

_FIRST_LOOK_S: Final = 0.5
"""Looks follow the first after this long, then twice as long, and so on until the settling time is over."""

_SHOWN_CANDIDATES: Final = 20

_WITNESSES: Final = 8
"""In one settling time so many things of a kind are remembered to try listings with."""


@dataclass(frozen=True, slots=True)
class AdoptIt:
    """It happened: this is it."""

    hash: str


@dataclass(frozen=True, slots=True)
class WaitLonger:
    """It is not to be seen, but may still come; look again then."""

    due_s: float


@dataclass(frozen=True, slots=True)
class SendAgain:
    """It surely did not happen."""


@dataclass(frozen=True, slots=True)
class LeaveIt:
    """Nobody but a person can tell."""

    why: str
    candidates: tuple[str, ...] = ()


Verdict: TypeAlias = AdoptIt | WaitLonger | SendAgain | LeaveIt


def decide(
    doubt: Doubt,
    candidates: Sequence[str],
    *,
    rivals: int,
    now_s: float,
    settle_s: float,
    unlike: Sequence[str] = (),
    listing_is_fresh: bool = True,
) -> Verdict:
    """What becomes of a create in doubt.

    A request that the service itself answered is over, and what cannot be seen when the settling time has passed did
    not happen. One that got no answer, or only a proxy's, may still be at work at the service however long one waits:
    it is left in doubt, and a later run, whose own settling time begins when it does, may send it again.

    Args:
        doubt: The create.
        candidates: What was found that it may have made and that nobody else is known to have made.
        unlike: What goes by its name as well, but does not show what was sent; nobody can tell what became of it since.
        rivals: How many creates in doubt of exactly this wish there are, itself included. Any of their results
            serves any of them.
        now_s: Time on the monotonic clock.
        settle_s: How long something that happened may take to be seen.
        listing_is_fresh: Whether listings show what was made after the doubt arose.
    """
    if 0 < len(candidates) <= rivals:
        return AdoptIt(candidates[0])
    if candidates:
        return LeaveIt(f"{len(candidates)} things could be what this entry made", tuple(candidates[:_SHOWN_CANDIDATES]))
    settled_s = doubt.since_s + settle_s
    if now_s < settled_s:
        return WaitLonger(min(settled_s, now_s + _FIRST_LOOK_S * 2.0 ** min(doubt.looks, 20)))
    if unlike:
        return LeaveIt(
            "something of its name is there, but not as it was sent, so that nobody can tell whether this is it",
            tuple(unlike[:_SHOWN_CANDIDATES]),
        )
    if not listing_is_fresh:
        return LeaveIt("listings lag behind what was made, so that its absence proves nothing")
    if not doubt.over:
        return LeaveIt("no answer of the service came, and it is not to be seen; run again later, or settle it by hand")
    return SendAgain()


@dataclass(frozen=True, slots=True)
class _Witness:
    """Something that this run has made for certain, and a moment before which it cannot have been there."""

    since_s: float
    record: Record
    hash: str


class Settler:
    """Looks up what creates in doubt may have made.

    Args:
        session: Reads.
        ledger: Knows what belongs to whom.
        settle_s: How long something that happened may take to be seen, in seconds.
    """

    def __init__(self, session: Session, ledger: Ledger, *, settle_s: float) -> None:
        self._session = session
        self._ledger = ledger
        self._settle_s = settle_s
        self._witnesses: defaultdict[object, deque[_Witness]] = defaultdict(lambda: deque(maxlen=2 * _WITNESSES))

    def saw_created(self, record: Record, made: str, *, sent_s: float) -> None:
        """Remember something that surely is there, to tell whether listings are fresh.

        Args:
            record: How it was made.
            made: Its hash.
            sent_s: When its creation was sent, on the monotonic clock. What came into doubt before that moment has to
                be shown by any listing that shows this.
        """
        witnesses = self._witnesses[_listing(record)]
        if not witnesses or sent_s - witnesses[-1].since_s >= self._settle_s / _WITNESSES:
            witnesses.append(_Witness(sent_s, record, made))

    async def settle(self, doubt: Doubt) -> Verdict:
        """Look once and decide. The caller sees to it that no namesake is being created meanwhile.

        Raises:
            EncordError: The look-up failed.
        """
        record = doubt.record
        namesakes = [other for other in await self._ledger.namesakes(record.name or b"") if _is_alike(other, record)]
        taken = {other.hash for other in namesakes if other.hash is not None and not other.is_open}
        baseline = record.details.get("baseline")
        if isinstance(baseline, list):
            taken |= set(baseline)
        named = {found: item for found, item in (await self._named(record)).items() if found not in taken}
        rivals = [other for other in namesakes if other.is_open and other.request == record.request]
        unlike = [other for other in namesakes if other.is_open and other.request != record.request]
        if named and unlike:
            if not all(map(_is_told_by_contents, (record, *unlike))):
                why = "others of its name are in doubt as well, and nothing tells them apart"
                return LeaveIt(why, tuple(named)[:_SHOWN_CANDIDATES])
            named = {found: item for found, item in named.items() if await self._fits(record, found)}
        shows = {found: await self._shows(record, item) for found, item in named.items()}
        candidates, others = ([found for found, it in shows.items() if it is wanted] for wanted in (True, None))
        now_s = self._session.clock.monotonic_s()
        verdict = decide(
            doubt, candidates, rivals=max(1, len(rivals)), now_s=now_s, settle_s=self._settle_s, unlike=others
        )
        if isinstance(verdict, SendAgain) and not await self._listing_is_fresh(doubt):
            return decide(doubt, (), rivals=1, now_s=now_s, settle_s=self._settle_s, listing_is_fresh=False)
        return verdict

    def not_seen(self, doubt: Doubt, error: EncordError) -> WaitLonger | LeaveIt:
        """What follows when the look-up itself failed: nothing was learned."""
        verdict = decide(doubt, (), rivals=1, now_s=self._session.clock.monotonic_s(), settle_s=self._settle_s)
        return verdict if isinstance(verdict, WaitLonger) else LeaveIt(f"it could not be looked up: {error.message}")

    async def look(self, record: Record) -> list[str]:
        """Hashes of all that goes by exactly the name of *record* and may be the caller's own making.

        Raises:
            EncordError: The look-up failed.
        """
        return list(await self._named(record))

    async def _named(self, record: Record) -> Mapping[str, object]:
        """What `look` finds, by hash: a listing whose pages shift may show one thing twice.

        Asked for by title alone, and compared here: a service may keep a missing description as NULL, which equals
        nothing, and its clock may be another than ours. Who makes something is its admin.
        """
        description = str(record.details.get("description") or "")
        listing = ListingFilter(title_eq=record.title)
        if record.kind is StepKind.PROJECT:
            return {
                owned.project.project_hash: owned.project
                for owned in await self._session.execute(ListProjects(filter=listing))
                if owned.user_role == ProjectUserRole.ADMIN
                and owned.project.title == record.title
                and (owned.project.description or "") == description
            }
        creation = _creation(record, description)
        if creation is not None:
            return await self._looked_up(creation)
        if record.kind is StepKind.DATASET:
            return {
                owned.dataset.dataset_hash: owned.dataset
                for owned in await self._session.execute(ListDatasets(filter=listing))
                if owned.user_role == DatasetUserRole.ADMIN
                and owned.dataset.title == record.title
                and (owned.dataset.description or "") == description
            }
        return await self._keys(record)

    async def _keys(self, record: Record) -> Mapping[str, object]:
        try:
            keys = await self._session.execute(ListProjectAPIKeys(project_hash=record.project_hash or ""))
        except NotFoundError:
            return {}
        scopes = record.details.get("scopes")
        wanted = set(scopes) if isinstance(scopes, list) else set()
        return {_fingerprint(key): key for key in keys if key.title == record.title and set(key.scopes) == wanted}

    async def _looked_up(self, creation: Creation[Any, Any]) -> Mapping[str, object]:
        """All that looks as what *creation* makes, in the listing that the operation itself names."""
        found: dict[str, object] = {}
        async for page in self._session.pages(creation.look_up()):
            found |= {hash_of(creation.adopted(item)): item for item in page.results if creation.is_it(item)}
        return found

    async def _shows(self, record: Record, item: object) -> bool | None:
        """Whether *item*, of the name of *record*, shows what was sent; None if it may be it all the same."""
        match item:
            case Dataset() | ListedDataset():
                return await self._is_kept_so(record, item)
            case Ontology():
                return await self._is_structured_so(record, item)
        return True

    async def _is_kept_so(self, record: Record, dataset: Dataset | ListedDataset) -> bool | None:
        location, folder = record.details.get("storage"), bool(record.details.get("create_backing_folder"))
        if not isinstance(location, int):
            return True
        serves = keeping_of(dataset).serves(location, folder=folder)
        if serves is None:
            dataset_hash = dataset.dataset_hash if isinstance(dataset, Dataset) else dataset.dataset_uuid
            details = await self._session.execute(GetDataset(dataset_hash=dataset_hash))
            serves = keeping_of(details).serves(location, folder=folder)
        # What was sent over REST did not name a place, and a folder may come later.
        return serves is not False or None

    async def _is_structured_so(self, record: Record, ontology: Ontology) -> bool | None:
        """A project without an ontology gets one of its own title, and empty: that is not what an entry has made."""
        sent, parts = record.details.get("structure"), record.details.get("structure_parts")
        is_empty = not any(ontology.editor.values())
        if sent is None:
            same = is_empty
        elif isinstance(parts, list):
            same = structure_digest({part: ontology.editor.get(part) for part in parts}) == sent
        else:
            # Written down by a release that did not note the parts.
            same = not is_empty
        if not is_empty:
            # In which form the service keeps a structure, nobody says.
            return same or None
        if not same:
            return False
        async for page in self._session.pages(ListProjectsV2(filter=ListingFilter(title_eq=record.title))):
            if any(project.ontology_hash == ontology.ontology_uuid for project in page.results):
                return None
        return True

    async def _fits(self, record: Record, candidate: str) -> bool:
        """Whether *candidate* holds what was sent: namesakes with other contents are in doubt as well."""
        if record.kind is not StepKind.PROJECT:
            return True
        project = await self._session.execute(GetProject(project_hash=candidate))
        ontology = record.details.get("ontology")
        if ontology and project.ontology_hash != ontology:
            return False
        stages = record.details.get("contents")
        return isinstance(stages, list) and contents_digest(item.dataset_hash for item in project.datasets) in stages

    async def _listing_is_fresh(self, doubt: Doubt) -> bool:
        """Whether a listing shows what was made after the doubt arose, if there is anything."""
        same = self._witnesses.get(_listing(doubt.record), ())
        others = (one for witnesses in self._witnesses.values() for one in witnesses)
        # The oldest: a younger one may be missing from a listing that is fresh enough for what is looked for.
        # If there is none of its own listing, one of another: they are views of one account.
        witness = next((one for one in (*same, *others) if one.since_s >= doubt.since_s), None)
        return witness is None or witness.hash in await self.look(witness.record)


def _listing(record: Record) -> object:
    """In which listing *record* would be seen."""
    return record.kind, record.details.get("api")


def _creation(record: Record, description: str) -> Creation[Any, Any] | None:
    """What *record* sent over REST v2, as far as its look-up needs it; None if it went in an envelope."""
    if record.kind is StepKind.ONTOLOGY:
        return CreateOntology(title=record.title, description=description)
    if record.kind is StepKind.GROUP:
        return CreateGroup(name=record.title, description=description)
    if record.details.get("api") == DatasetAPI.REST:
        return CreateDatasetV2(title=record.title, description=description)
    return None


def _is_told_by_contents(record: Record) -> bool:
    """Whether what *record* made can be told from what a namesake with other contents has made.

    Nobody says what a copy holds, or in which form the service keeps an ontology.
    """
    if record.kind is StepKind.ONTOLOGY:
        return False
    return record.kind is not StepKind.PROJECT or "contents" in record.details


def _is_alike(one: Record, other: Record) -> bool:
    """Whether namesakes cannot be told apart by their descriptions; stamps can tell them."""
    return one.details.get("description") == other.details.get("description")


def _fingerprint(key: ProjectAPIKey) -> str:
    return key_fingerprint(key.api_key.get_secret_value())
