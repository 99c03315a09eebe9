"""Chance plays the network, the service's lags and the deaths: at most one of each, and what is done is there.

Each step is a process that lives, or dies, with a run of the whole manifest. Plan, executor and settling are the real
ones; the journal is a dict that survives, the service the emulator's own, and time passes only when all wait.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from encord_async.engine.options import Options
from encord_async.journal.record import State
from encord_async.kinds.dataset import DATASET
from encord_async.kinds.project import PROJECT
from tests.crash.conftest import LAG_S, ME, SETTLE_S, Disk, Entry, Fate, Job, Life, World, of_numbers
from tests.thorough import times

# Hypothesis lives through many lives of client and service.
pytestmark = pytest.mark.slow

USERS = st.lists(st.sampled_from(["ann@example.com", "bob@example.com"]), unique=True, max_size=2)
KEYS = st.lists(st.sampled_from(["ci", "export"]), unique=True, max_size=2)
FATES = st.dictionaries(st.integers(0, 15), st.sampled_from(Fate), max_size=6)
DEATHS = st.none() | st.integers(1, 80)


class Lives(RuleBasedStateMachine):
    """A manifest that grows, run again and again by processes that may die."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.disk = Disk()
        self.manifest: list[Entry] = []

    def teardown(self) -> None:
        """In the end there is exactly what the manifest says."""
        if self.manifest and sys.exception() is None:
            self._live({}, None)
            self.world.pass_time(LAG_S)
            self._live({}, None).assert_all_satisfied(len(self.manifest))
            self._assert_exact()
        self.world.close()

    # ------------------------------------------------------------------ what happens

    @initialize(stamp=st.booleans(), lookahead=st.sampled_from([1, 10_000]))
    def begin(self, *, stamp: bool, lookahead: int) -> None:
        """Choose how the manifest is run."""
        self.options = Options(settle_s=SETTLE_S, stamp=stamp, lookahead=lookahead)

    @rule(title=st.sampled_from(["Raw", "Night"]))
    def wish_for_a_dataset(self, title: str) -> None:
        """Add a dataset to the manifest; others may have its title."""
        self.manifest.append({"kind": "dataset", "key": f"d{len(self.manifest)}", "title": title})

    @rule(title=st.sampled_from(["Cats", "Dogs"]), users=USERS, keys=KEYS, data=st.data())
    def wish_for_a_project(self, title: str, users: list[str], keys: list[str], data: st.DataObject) -> None:
        """Add a project; others may have its title, and one of the titles is there already."""
        datasets = [f"@{key}" for key in self._keys("dataset")]
        held = data.draw(st.lists(st.sampled_from(datasets), unique=True)) if datasets else []
        self.manifest.append(
            {
                "kind": "project",
                "key": f"p{len(self.manifest)}",
                "title": title,
                "datasets": held,
                "users": [{"email": email, "role": "annotator"} for email in users],
                "api_keys": [{"title": name, "scopes": ["label.read"]} for name in keys],
            }
        )

    @precondition(lambda self: self._keys("project"))
    @rule(data=st.data())
    def wish_for_a_key(self, data: st.DataObject) -> None:
        """Add an API key of some project; it may be wished for twice."""
        of = data.draw(st.sampled_from(self._keys("project")))
        entry = {"kind": "project_api_key", "project": f"@{of}", "title": "ci", "scopes": ["label.read"]}
        self.manifest.append(entry)

    @precondition(lambda self: self.manifest)
    @rule(fates=FATES, dies_at=DEATHS)
    def live(self, fates: dict[int, Fate], dies_at: int | None) -> None:
        """Run the manifest as it is now."""
        life = self._live(fates, dies_at)
        event(f"died {life.died}")
        if not life.died:
            assert life.summary.entries == sum(life.summary.by_status.values()) == len(self.manifest)

    @rule(seconds=st.sampled_from([1.0, 100.0]))
    def pause(self, seconds: float) -> None:
        """Let time pass between runs."""
        self.world.pass_time(seconds)

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def at_most_one_of_each(self) -> None:
        """Nothing is there more often than it is wished for, or was there before."""
        state = self.world.service.state()
        wished = Counter((entry["kind"], entry["title"]) for entry in self.manifest)
        there = Counter(("project", project["title"]) for project in state["projects"])
        there += Counter(("dataset", dataset["title"]) for dataset in state["datasets"])
        before = Counter([("project", "Dogs"), ("dataset", "Old")])
        at_most = Counter(wished | before)
        assert there <= at_most, f"{there} of {at_most}"
        keys = Counter(key["title"] for project in state["projects"] for key in project["api_keys"])
        assert keys <= self._wished_keys(self.manifest)

    @invariant()
    def done_means_there(self) -> None:
        """What is written down as done is there, and belongs to one entry only."""
        state = self.world.service.state()
        there = {project["project_hash"] for project in state["projects"]}
        there |= {dataset["dataset_hash"] for dataset in state["datasets"]}
        made = [
            record.hash or ""
            for record in self.disk.records.values()
            if record.state is State.DONE and record.kind in {PROJECT, DATASET}
        ]
        assert there.issuperset(made)
        assert len(set(made)) == len(made)

    # ------------------------------------------------------------------ how

    def _live(self, fates: dict[int, Fate], dies_at: int | None) -> Life:
        job = Job(manifest=self.manifest, disk=self.disk, options=self.options)
        life = self.world.live(job, fates=of_numbers(fates), dies_at=dies_at)
        note(f"{'died' if life.died else 'ended'}: {dict(life.statuses)}")
        return life

    def _keys(self, kind: str) -> list[str]:
        return [entry["key"] for entry in self.manifest if entry["kind"] == kind]

    @staticmethod
    def _wished_keys(entries: Iterable[Entry]) -> Counter[str]:
        wishes = Counter(key["title"] for entry in entries for key in entry.get("api_keys", ()))
        return wishes + Counter(entry["title"] for entry in entries if entry["kind"] == "project_api_key")

    def _assert_exact(self) -> None:
        """Every entry has a project or dataset of its own, which holds what is wished for, and nothing is left over."""
        state = self.world.service.state()
        hashes = {
            record.key: record.hash or "" for record in self.disk.records.values() if record.kind in {PROJECT, DATASET}
        }
        projects = {project["project_hash"]: project for project in state["projects"]}
        assert projects.keys() - {"p-dogs"} == {hashes[key] for key in self._keys("project")} - {"p-dogs"}
        datasets = {dataset["dataset_hash"] for dataset in state["datasets"]}
        assert datasets - {"d-old"} == {hashes[key] for key in self._keys("dataset")}
        for entry in self.manifest:
            if entry["kind"] == "project":
                self._assert_project(entry, projects[hashes[entry["key"]]], hashes)

    def _assert_project(self, entry: Entry, project: Mapping[str, Any], hashes: Mapping[str | None, str]) -> None:
        wished = {hashes[reference[1:]] for reference in entry["datasets"]}
        assert set(project["datasets"]) - {"d-old"} == wished
        users = {user["email"] for user in project["users"]} - {ME}
        assert users == {user["email"] for user in entry["users"]}
        own = [one for one in self.manifest if one is entry or one.get("project") == f"@{entry['key']}"]
        assert Counter(key["title"] for key in project["api_keys"]) == self._wished_keys(own)


Lives.TestCase.settings = settings(max_examples=times(40, of=200), stateful_step_count=10)
TestLives = Lives.TestCase
