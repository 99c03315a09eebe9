"""What plan announces is what apply does, action by action, whatever account, journal, options and edits there are.

The witness is the service's own state and log before and after. Manifests and edits are those of the soak.
"""

import copy
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from encord_async.client import EncordSession
from encord_async.engine.account import Existing
from encord_async.engine.options import Options
from encord_async.journal.journal import Journal
from encord_async.plan import Action, Forecast, Verb, plan
from encord_async.protocol.signing import BearerToken
from encord_async.verify.compare import compare
from encord_async.verify.difference import Fault
from encord_async.verify.surplus import surplus
from encord_async.verify.wishes import gather
from tests import memory
from tests.crash.conftest import ME, Death, Life, MortalJournal, MortalTransport, Program, Service
from tests.direct import TOKEN
from tests.soak.wishes import Entry, Wishes
from tests.thorough import times

OPTIONS = st.builds(
    Options,
    existing=st.sampled_from(Existing),
    stamp=st.booleans(),
    max_batch=st.sampled_from([1, 2, 1000]),
    settle_s=st.just(0.005),
    replace_roles=st.booleans(),
    update_ontologies=st.booleans(),
    prune=st.booleans(),
    retire=st.booleans(),
)
PASTS = ["no", "done", "killed", "another"]
"""Runs before: none, one that ended, one that was killed, one with another journal."""
Pairs: TypeAlias = set[tuple[str, str]]
"""What is in what: a user, dataset, group or tag in a project, a user or group in a dataset, a user in a group."""


@pytest.fixture(autouse=True)
def _twins_pass(twins_pass: None) -> None:
    """Namesakes are the hard part, and earlier releases let them into one manifest."""


@dataclass(frozen=True)
class Account:
    """An account, and a folder for journals."""

    service: Service
    folder: Path

    def program(self, manifest: Sequence[Entry], journal: str, options: Options) -> Program:
        """*manifest* as somebody runs it."""
        return Program(
            manifest=list(manifest),
            service=self.service,
            journal=lambda death: MortalJournal(self.folder / journal, death),
            options=options,
        )

    async def apply(
        self, manifest: Sequence[Entry], journal: str, options: Options, dies_at: int | None = None
    ) -> Life:
        """Run it, or a part of it."""
        return await self.program(manifest, journal, options).live(Death(dies_at))

    async def plan(self, manifest: Sequence[Entry], journal: str, options: Options) -> tuple[Forecast, list[Action]]:
        """What a run would do."""
        actions: list[Action] = []
        path = self.folder / journal
        async with self._session(manifest, journal, options) as session, AsyncExitStack() as stack:
            opened = await stack.enter_async_context(Journal(path, None)) if path.exists() else None
            more = surplus(manifest, options)
            forecast = await plan(session, manifest, options, journal=opened, on_action=actions.append, sequel=more)
        return forecast, actions

    async def extras(self, manifest: Sequence[Entry], journal: str, options: Options) -> int:
        """How much verify finds that should not be there."""
        async with self._session(manifest, journal, options) as session, Journal(self.folder / journal, None) as opened:
            report = await compare(session, await gather(manifest, opened))
        return sum(number for (fault, _), number in report.counts.items() if fault is Fault.EXTRA)

    def _session(self, manifest: Sequence[Entry], journal: str, options: Options) -> EncordSession:
        transport = MortalTransport(self.service, Death())
        settings_ = self.program(manifest, journal, options).settings
        return EncordSession(BearerToken(TOKEN), settings_, transport=lambda _: transport)


def pairs(service: Service) -> dict[str, Pairs]:
    """Who and what is in which thing, but for whoever made it."""
    state = service.state()
    projects = [(one["project_hash"], one) for one in state["projects"]]
    datasets = [(one["dataset_hash"], one) for one in state["datasets"]]
    ontologies = [(one["ontology_hash"], one) for one in state["ontologies"]]
    held = {
        "user": {(found, user["email"]) for found, one in projects for user in one["users"]},
        "dataset": {(found, dataset) for found, one in projects for dataset in one["datasets"]},
        "tag": {(found, tag) for found, one in projects for tag in one["tags"]},
        "group_member": {(one["group_hash"], user) for one in state["groups"] for user in one["users"]},
        "dataset_user": {(found, user["email"]) for found, one in datasets for user in one["users"]},
        "dataset_group": {(found, group["group_hash"]) for found, one in datasets for group in one["groups"]},
        "folder_data": {(one["folder"], one["url"] or "") for one in state["items"]},
        "dataset_data": {(found, one["uuid"]) for one in state["items"] for found in one["datasets"]},
        "ontology_group": {(found, group["group_hash"]) for found, one in ontologies for group in one["groups"]},
    }
    return {what: {pair for pair in there if pair[1] != ME} for what, there in held.items()}


def roles(service: Service) -> dict[tuple[str, str, str], int]:
    """The role of each user of each thing."""
    state = service.state()
    things = [("user", one["project_hash"], one["users"]) for one in state["projects"]]
    things += [("dataset_user", one["dataset_hash"], one["users"]) for one in state["datasets"]]
    return {(what, found, user["email"]): user["role"] for what, found, users in things for user in users}


def statuses(service: Service) -> dict[str, str]:
    """Where each project stands."""
    return {one["project_hash"]: one["status"] for one in service.state()["projects"]}


MAKES = {
    "project.POST": "project",
    "v2/datasets.POST": "dataset",
    "v2/ontologies.POST": "ontology",
    "v2/organisation/groups.POST": "group",
    "v2/storage/folders.POST": "folder",
    "projectapikey.POST": "api_key",
    "v2/organisation/organisation-tags.POST": "tag",
}


# Many examples of three runs each, two thousand where it is thorough. Most manifests are small: what a plan has to
# get right is between two or three entries, and many examples meet more of it than large ones.
@pytest.mark.slow
@pytest.mark.parametrize("past", PASTS)
@settings(max_examples=times(25, of=500), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 10**9), OPTIONS, st.integers(0, 4), st.sampled_from([3, 3, 3, 12]), st.data())
async def test_plan_is_apply(
    past: str, seed: int, options: Options, edits: int, most: int, data: st.DataObject
) -> None:
    """Each thing that plan says is made, added, removed, adopted, kept or refused is, and nothing else is."""
    wishes = Wishes(random.Random(seed))
    wishes.begin(least=1, most=most)
    wishes.drop_idle_tasks()
    service = Service()
    try:
        with tempfile.TemporaryDirectory(dir=memory.root()) as name:
            account = Account(service, Path(name))
            if past != "no":
                dies_at = data.draw(st.integers(1, 60)) if past == "killed" else None
                journal = "other.db" if past == "another" else "run.db"
                await account.apply(wishes.entries, journal, replace(options, existing=Existing.ADOPT), dies_at)
            for _ in range(edits):
                note(wishes.edit())
            wishes.drop_idle_tasks()
            manifest = promoted(wishes.entries) if data.draw(st.booleans()) else wishes.entries
            manifest = redrawn(manifest) if data.draw(st.booleans()) else manifest
            await _hold_plan_against_apply(account, manifest, options)
    finally:
        service.close()


async def _hold_plan_against_apply(account: Account, manifest: Sequence[Entry], options: Options) -> None:
    note(f"{manifest} {options}")
    service = account.service
    before, stood, logged = pairs(service), statuses(service), len(service.store.log())
    held, drawn = roles(service), ontologies(service)
    forecast, actions = await account.plan(manifest, "run.db", options)
    assert (pairs(service), len(service.store.log())) == (before, logged), "plan changed something"
    said = "\n".join(str(action.as_json()) for action in actions)
    life = await account.apply(manifest, "run.db", options)
    note(f"{said}\n{[(one.number, one.kind, one.status.value, str(one.error)) for one in life.outcomes]}")
    made = Counter(
        (MAKES[line["query"]], line["title"]) for line in service.store.log()[logged:] if line["query"] in MAKES
    )
    assert announced(actions) <= made <= announced(actions) + possible(actions)
    after = pairs(service)
    for what, there in after.items():
        added, removed = len(there - before[what]), len(before[what] - there)
        assert (added, removed) == (forecast.count(Verb.ADD, what), forecast.count(Verb.REMOVE, what)), what
    changed = Counter(one[0] for one, role in roles(service).items() if role != held.get(one, role))
    for what in ("user", "dataset_user"):
        assert changed[what] == forecast.count(Verb.CHANGE, what), what
    redone = [found for found, one in ontologies(service).items() if one != drawn.get(found, one)]
    assert len(redone) == forecast.count(Verb.CHANGE, "ontology")
    moved = [found for found, status in statuses(service).items() if status != stood.get(found, "notStarted")]
    assert len(moved) == forecast.count(Verb.CHANGE, "status")
    refused = {action.number for action in actions if action.verb is Verb.REFUSE}
    assert refused == {one.number for one in life.outcomes if one.status.value in {"failed", "blocked"}}
    adopted = Counter(action.hash for action in actions if action.verb is Verb.ADOPT and action.hash)
    assert adopted <= Counter(one.hash for one in life.outcomes)
    if options.prune and all(one.status.satisfied for one in life.outcomes):
        assert await account.extras(manifest, "run.db", options) == 0
    if not forecast.changes:
        # A membership that is so, and of which nothing is written down, is sent: what that changed, no reply says.
        assert {one.status.value for one in life.outcomes} <= {"unchanged", "updated"}


PROMOTIONS = {"annotator": "reviewer", "reviewer": "annotator_reviewer", "annotator_reviewer": "annotator"}
PROMOTIONS |= {"admin": "user", "user": "admin"}


def promoted(manifest: Sequence[Entry]) -> list[Entry]:
    """*manifest* with another role for everybody."""
    entries = copy.deepcopy(list(manifest))
    for entry in entries:
        for one in (entry, *entry.get("users", ())):
            if entry["kind"] in {"project_users", "project", "dataset"} and one.get("role") in PROMOTIONS:
                one["role"] = PROMOTIONS[one["role"]]
    return entries


def ontologies(service: Service) -> dict[str, tuple[str, str, str]]:
    """Title, description and structure of each."""
    state = service.state()["ontologies"]
    return {one["ontology_hash"]: (one["title"], one["description"], str(one["editor"])) for one in state}


def redrawn(manifest: Sequence[Entry]) -> list[Entry]:
    """*manifest* with other ontologies."""
    entries = copy.deepcopy(list(manifest))
    for number, entry in enumerate(entries):
        if entry["kind"] == "ontology":
            entry["structure"] = {"objects": [{"name": f"Cat {number}", "shape": "polygon"}], "classifications": []}
            entry["description"] = f"{entry.get('description', '')} redrawn"[: 80 * (number % 2)]
    return entries


def announced(actions: Sequence[Action]) -> Counter[Any]:
    """What would be made, by kind and title."""
    return _titles(
        action
        for action in actions
        if action.verb is Verb.CREATE
        or (action.verb is Verb.SETTLE and action.hash is None and action.what != "api_key")
    )


def possible(actions: Sequence[Action]) -> Counter[Any]:
    """API keys in doubt: of those nobody says whether they are there, for they have no hash to be shown."""
    return _titles(action for action in actions if action.verb is Verb.SETTLE and action.what == "api_key")


def _titles(actions: Iterable[Action]) -> Counter[Any]:
    return Counter((action.what, item) for action in actions for item in action.items)
