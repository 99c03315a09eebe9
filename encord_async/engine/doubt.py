"""Settles what is in doubt: a create that was, or may have been, sent and whose answer never came.

`decide` is the rule, as a pure function. `Settler` looks things up and asks it. Nothing here creates anything.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from encord_async.engine.account import DatasetAPI
from encord_async.engine.making import contents_digest, hash_of, key_fingerprint
from encord_async.errors import EncordError, NotFoundError
from encord_async.journal.record import Doubt, Ledger, Record
from encord_async.kinds.steps import StepKind
from encord_async.protocol.models import ProjectAPIKey
from encord_async.protocol.operations import (
    GetProject,
    ListDatasets,
    ListingFilter,
    ListProjectAPIKeys,
    ListProjects,
)
from encord_async.protocol.rest_operations import CreateDatasetV2, CreateGroup, CreateOntology, Creation
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

_CLOCKS_APART: Final = timedelta(days=1)
"""A listing is asked for what was made since the create was sent, by the service's clock, which may be another."""

_SHOWN_CANDIDATES: Final = 20

_WITNESSES: Final = 8
"""In one settling time so many projects are remembered to try listings with."""


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
    listing_is_fresh: bool = True,
) -> Verdict:
    """What becomes of a create in doubt.

    A request that got some answer is over, and what cannot be seen when the settling time has passed did not
    happen. One that got none may still be at work at the service however long one waits: it is left in doubt,
    and a later run, whose own settling time begins when it does, may send it again.

    Args:
        doubt: The create.
        candidates: What was found that it may have made and that nobody else is known to have made.
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
    if not listing_is_fresh:
        return LeaveIt("listings lag behind what was made, so that its absence proves nothing")
    if not doubt.over:
        return LeaveIt("no answer came, and it is not to be seen; run again later, or settle it by hand")
    return SendAgain()


@dataclass(frozen=True, slots=True)
class _Witness:
    """A project that was made in this run, and when its creation was known."""

    since_s: float
    title: str
    description: str
    project_hash: str


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
        self._witnesses: deque[_Witness] = deque(maxlen=2 * _WITNESSES)

    def saw_created(self, title: str, description: str, project_hash: str) -> None:
        """Remember a project that surely is there, to tell whether listings are fresh."""
        now_s = self._session.clock.monotonic_s()
        if not self._witnesses or now_s - self._witnesses[-1].since_s >= self._settle_s / _WITNESSES:
            self._witnesses.append(_Witness(now_s, title, description, project_hash))

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
        candidates = [found for found in await self.look(record) if found not in taken]
        rivals = [other for other in namesakes if other.is_open and other.request == record.request]
        unlike = [other for other in namesakes if other.is_open and other.request != record.request]
        if candidates and unlike:
            if not all(map(_is_told_by_contents, (record, *unlike))):
                why = "others of its name are in doubt as well, and nothing tells them apart"
                return LeaveIt(why, tuple(candidates[:_SHOWN_CANDIDATES]))
            candidates = [found for found in candidates if await self._fits(record, found)]
        now_s = self._session.clock.monotonic_s()
        verdict = decide(doubt, candidates, rivals=max(1, len(rivals)), now_s=now_s, settle_s=self._settle_s)
        if isinstance(verdict, SendAgain) and not await self._listing_is_fresh(doubt):
            return decide(doubt, (), rivals=1, now_s=now_s, settle_s=self._settle_s, listing_is_fresh=False)
        return verdict

    def not_seen(self, doubt: Doubt, error: EncordError) -> WaitLonger | LeaveIt:
        """What follows when the look-up itself failed: nothing was learned."""
        verdict = decide(doubt, (), rivals=1, now_s=self._session.clock.monotonic_s(), settle_s=self._settle_s)
        return verdict if isinstance(verdict, WaitLonger) else LeaveIt(f"it could not be looked up: {error.message}")

    async def look(self, record: Record) -> list[str]:
        """Hashes of all that goes by exactly the name of *record*.

        Raises:
            EncordError: The look-up failed.
        """
        description = str(record.details.get("description") or "")
        listing = ListingFilter(title_eq=record.title, desc_eq=description)
        if record.kind is StepKind.PROJECT:
            projects = [owned.project for owned in await self._session.execute(ListProjects(filter=listing))]
            return [
                project.project_hash
                for project in projects
                if project.title == record.title and (project.description or "") == description
            ]
        creation = _creation(record, description)
        if creation is not None:
            return await self._looked_up(creation, record)
        if record.kind is StepKind.DATASET:
            datasets = [owned.dataset for owned in await self._session.execute(ListDatasets(filter=listing))]
            return [
                dataset.dataset_hash
                for dataset in datasets
                if dataset.title == record.title and (dataset.description or "") == description
            ]
        try:
            keys = await self._session.execute(ListProjectAPIKeys(project_hash=record.project_hash or ""))
        except NotFoundError:
            return []
        scopes = record.details.get("scopes")
        wanted = set(scopes) if isinstance(scopes, list) else set()
        return [_fingerprint(key) for key in keys if key.title == record.title and set(key.scopes) == wanted]

    async def _looked_up(self, creation: Creation[Any, Any], record: Record) -> list[str]:
        """Hashes of all that looks as what *creation* makes, in the listing that the operation itself names."""
        since = datetime.fromtimestamp(record.started_s, UTC) - _CLOCKS_APART
        found: list[str] = []
        async for page in self._session.pages(creation.look_up(since)):
            found += [hash_of(creation.adopted(item)) for item in page.results if creation.is_it(item, since)]
        return found

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
        """Whether a listing shows a project that was made after the doubt arose, if there is one."""
        # The oldest: a younger one may be missing from a listing that is fresh enough for what is looked for.
        witness = next((one for one in self._witnesses if one.since_s >= doubt.since_s), None)
        if witness is None:
            return True
        listing = ListingFilter(title_eq=witness.title, desc_eq=witness.description)
        shown = await self._session.execute(ListProjects(filter=listing))
        return any(owned.project.project_hash == witness.project_hash for owned in shown)


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
