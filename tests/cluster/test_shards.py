"""A manifest cut into shards loses no entry and doubles none, and no shard lacks what its entries refer to."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from encord_async.cluster.shards import Cutter, Shard
from encord_async.cluster.shares import Desertion, shard_size, share_of
from encord_async.kinds.entry import Entry, MakingEntry, needed_keys
from encord_async.kinds.namer import Namer
from encord_async.manifest.part import PartEntry
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.manifest.reading import read_entry
from encord_async.session.settings import Settings

MOST = 6


def placed(raw: Iterable[dict[str, Any]]) -> list[PartEntry]:
    """Entries as the coordinator names them."""
    namer = Namer()
    found: list[PartEntry] = []
    for number, one in enumerate(raw, start=1):
        entry = read_entry(one, Place("m", number, number))
        assert not isinstance(entry, tuple), entry
        found.append(PartEntry(PlacedEntry(Place("m", number, number), entry), number, namer.identity(entry)))
    return found


@st.composite
def manifests(draw: st.DrawFn) -> list[PartEntry]:
    """Datasets, projects and what refers to them, in any order, with namesakes, and references to nothing."""
    datasets, projects = draw(st.integers(0, 8)), draw(st.integers(0, 12))
    titles = st.sampled_from(["A", "B", "C", "D"])
    dataset_keys = [f"d{n}" for n in range(datasets)]
    project_keys = [f"p{n}" for n in range(projects)]
    to_dataset = st.sampled_from([f"@{key}" for key in dataset_keys] + ["hash", "@nothing"])
    to_project = st.sampled_from([f"@{key}" for key in project_keys] + ["hash", "@nothing"])
    raw: list[dict[str, Any]] = [{"kind": "dataset", "key": key, "title": draw(titles)} for key in dataset_keys]
    raw += [{"kind": "ontology", "key": f"o{n}", "title": draw(titles)} for n in range(2)]
    raw += [{"kind": "organisation_user", "key": "u0", "email": "u@example.com"}]
    raw += [{"kind": "group", "key": "g0", "name": "G", "members": draw(st.sampled_from([[], ["@u0"]]))}]
    for key in project_keys:
        references = draw(st.lists(to_dataset, max_size=3, unique=True))
        wish = {"kind": "project", "key": key, "title": draw(titles), "datasets": references}
        raw.append(wish | draw(st.sampled_from([{}, {"ontology": "@o0"}, {"ontology": "@o1"}])))
    for _ in range(draw(st.integers(0, 40))):
        project = draw(to_project)
        kind = draw(st.sampled_from(["users", "key", "attach", "groups"]))
        if kind == "users":
            raw.append({"kind": "project_users", "project": project, "emails": ["a@example.com"], "role": 1})
        elif kind == "key":
            raw.append({"kind": "project_api_key", "project": project, "title": "k", "scopes": ["label.read"]})
        elif kind == "groups":
            raw.append({"kind": "project_groups", "project": project, "add": ["@g0"], "role": 1})
        else:
            raw.append({"kind": "project_datasets", "project": project, "add": [draw(to_dataset)]})
    return placed(draw(st.permutations(raw)))


@dataclass
class Cluster:
    """Provisions shards in any order, as many at a time as it likes, and looks at each."""

    cutter: Cutter
    chance: random.Random
    under_way: list[Shard] = field(default_factory=list)
    ended: list[Shard] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)

    def submit(self) -> None:
        """Take on what is ready."""
        while len(self.under_way) < 4 and (shard := self.cutter.take()) is not None:
            self.look_at(shard)
            self.under_way.append(shard)

    def look_at(self, shard: Shard) -> None:
        """What holds of every shard."""
        entries = shard.part.entries
        assert 0 < len(entries) <= MOST
        assert [one.number for one in entries] == sorted(one.number for one in entries)
        inside = {one.placed.entry.key for one in entries}
        for one in entries:
            for key in needed_keys(one.placed.entry):
                known = (key in inside) + (key in shard.part.made) + (key in shard.part.dead)
                assert known == (0 if key == "nothing" else 1)
        assert all(self.hashes[key] == found for key, found in shard.part.made.items())
        assert shard.part.dead.keys() <= self.dead.keys()
        ours = {name for one in entries for name in names(one.placed.entry)}
        for other in self.under_way:
            assert not ours & {name for one in other.part.entries for name in names(one.placed.entry)}

    def end_one(self) -> None:
        """One shard ends, and some of what it was to make did not come about."""
        shard = self.under_way.pop(self.chance.randrange(len(self.under_way)))
        keys = [key for one in shard.part.entries if (key := one.placed.entry.key) is not None]
        made = {key: f"hash-{key}" for key in keys if self.chance.random() < 0.8}
        dead = {key: "failed" for key in keys if key not in made}
        self.hashes |= made
        self.dead |= dead
        self.cutter.ended(shard, made=made, dead=dead)
        self.ended.append(shard)


def names(entry: Entry) -> list[tuple[str, str]]:
    """What namesakes of an entry have in common with it."""
    return [(entry.kind, entry.wished_title)] if isinstance(entry, MakingEntry) else []


@given(manifests(), st.integers(0, 2**32))
def test_every_entry_once(entries: Sequence[PartEntry], seed: int) -> None:
    """Each entry is in one shard, with what it refers to there or known, and namesakes are never under way at once."""
    cluster = Cluster(Cutter(most=MOST), random.Random(seed))
    for one in entries:
        cluster.cutter.add(one)
        if cluster.chance.random() < 0.1:
            cluster.cutter.flush()
        cluster.submit()
        if cluster.under_way and cluster.chance.random() < 0.2:
            cluster.end_one()
    cluster.cutter.end_of_manifest()
    cluster.submit()
    while cluster.under_way:
        cluster.end_one()
        cluster.submit()
    assert cluster.cutter.held == 0
    seen = Counter(one.number for shard in cluster.ended for one in shard.part.entries)
    assert seen == Counter(one.number for one in entries)


@given(manifests(), st.integers(0, 2**32))
def test_what_is_stopped_is_given_back(entries: Sequence[PartEntry], seed: int) -> None:
    """When a run is stopped, every entry is either under way or given back."""
    cluster = Cluster(Cutter(most=MOST), random.Random(seed))
    for one in entries[: cluster.chance.randint(0, len(entries))]:
        cluster.cutter.add(one)
        cluster.submit()
    rest = cluster.cutter.take_rest()
    seen = [one.number for shard in cluster.under_way for one in shard.part.entries] + [one.number for one in rest]
    assert sorted(seen) == list(range(1, len(seen) + 1))
    assert cluster.cutter.held == 0
    while cluster.under_way:
        cluster.end_one()
        assert cluster.cutter.take() is None


def test_what_many_need_is_made_first() -> None:
    """A dataset that everything refers to goes alone into the first shard, and nothing then waits for another shard."""
    raw: list[dict[str, Any]] = [{"kind": "project", "title": f"P{n}", "datasets": ["@d"]} for n in range(30)]
    raw.insert(9, {"kind": "dataset", "key": "d", "title": "Shared"})
    cutter = Cutter(most=MOST)
    for one in placed(raw):
        cutter.add(one)
    cutter.end_of_manifest()
    first = cutter.take()
    assert first is not None
    assert [one.number for one in first.part.entries] == [10]
    assert cutter.take() is None
    cutter.ended(first, made={"d": "hash"}, dead={})
    sizes = []
    while (shard := cutter.take()) is not None:
        assert shard.part.made == {"d": "hash"}
        sizes.append(len(shard.part.entries))
    assert sizes == [6, 6, 6, 6, 6]


def test_neighbours_stay_together() -> None:
    """Projects that are followed by what belongs to them are cut between them, and all shards can go at once."""
    raw: list[dict[str, Any]] = []
    for n in range(12):
        raw.append({"kind": "project", "key": f"p{n}", "title": f"P{n}"})
        raw.append({"kind": "project_users", "project": f"@p{n}", "emails": ["a@example.com"], "role": 1})
    cutter = Cutter(most=MOST)
    for one in placed(raw):
        cutter.add(one)
    cutter.end_of_manifest()
    numbers = []
    while (shard := cutter.take()) is not None:
        numbers.append([one.number for one in shard.part.entries])
    assert numbers == [list(range(start, start + 6)) for start in (1, 7, 13, 19)]


@given(st.integers(1, 64), st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60), st.floats(0.1, 1000))
def test_shares_never_exceed_the_whole(concurrency: int, events: Sequence[tuple[int, bool]], rate: float) -> None:
    """However many workers come and go, what shards under way may do together is no more than was asked for."""
    whole = Settings(concurrency=concurrency, max_rate_per_s=rate)
    under_way: list[Settings] = []
    for slots, ends in events:
        if ends and under_way:
            under_way.pop(0)
        while len(under_way) < slots:
            share = share_of(whole, slots=slots, given=sum(one.concurrency for one in under_way))
            if share is None:
                break
            under_way.append(share)
        assert sum(one.concurrency for one in under_way) <= concurrency
        assert sum(one.max_rate_per_s or 0 for one in under_way) <= rate * 1.000001
        assert under_way or not slots


def test_size_of_shards() -> None:
    """A small manifest is spread over the workers, a large or endless one is cut into pieces of a thousand."""
    assert [shard_size(entries, 4) for entries in (10, 3200, 10**6, None)] == [50, 200, 1000, 250]


def test_a_deserted_cluster_is_told_of_once() -> None:
    """A worker that is being restarted is no news, a cluster that stays empty is, and so it is the next time."""
    desertion = Desertion()
    seen = [(0, 4), (5, 0), (14, 0), (15, 0), (16, 0), (99, 0), (100, 2), (101, 0), (110, 0), (111, 0), (112, 0)]
    assert [now_s for now_s, workers in seen if desertion.is_news(workers, now_s)] == [15, 111]
