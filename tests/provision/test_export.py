"""An account is written down as a manifest that makes the same account again."""

import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import AuthenticationError, ReplyShapeError
from encord_async.export import Exported, KeyMaker, LeftOut, Scope, export, written
from encord_async.kinds.dataset import DATASET, DatasetEntry
from encord_async.kinds.entry import Count, Entry
from encord_async.kinds.exporting import Exports, Inside, Pen
from encord_async.kinds.fields import Title
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import PROJECT, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import DATASETS, ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.kinds.project_users import USERS, ProjectUsersEntry
from encord_async.kinds.reading import Reads
from encord_async.kinds.registry import registered
from encord_async.kinds.step import Step, making_step
from encord_async.kinds.thing import Listed
from encord_async.manifest.checker import Checker
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.manifest.reading import read_json_entry
from encord_async.protocol import models
from encord_async.protocol.catalogue import APIKeyScope, OrganisationRole, ProjectUserRole, StorageLocation
from tests.provision.conftest import ADMIN, Dataset, Fault, Project, Service, open_session, provision
from tests.provision.listing import DATASET_USERS, LIST, READ, TAGS, ListingService

READS = {
    "v2/storage/search/folders.GET",
    "projectwithuserrole.GET",
    "datasetwithuserrole.GET",
    "project.GET",
    "projectapikey.GET",
    LIST,
    READ,
    TAGS,
    DATASET_USERS,
    "v2/datasets/list.GET",
    "v2/ontologies.GET",
    "v2/organisation/users.GET",
    "v2/user/current-organisation/groups.GET",
}


async def exported(service: Service, *, ontologies: bool = True) -> tuple[list[Entry], list[LeftOut], Exported]:
    """The manifest of an account, what it leaves out, and the sums; only reads may be sent."""
    entries, left, before = list[Entry](), list[LeftOut](), service.names
    async with open_session(service) as session:
        sums = await export(session, entries.append, scope=Scope(ontologies=ontologies), on_left_out=left.append)
    assert (service.names - before).keys() <= READS
    assert sums.entries == len(entries)
    assert sums.left_out == len(left)
    return entries, left, sums


def contents(service: Service) -> Counter[str]:
    """What an account holds, hashes aside."""
    titles = {hash_: (one.title, one.description) for hash_, one in service.datasets.items()}
    shown = [f"dataset {names}" for names in titles.values()]
    for one in service.projects.values():
        datasets = sorted(titles[hash_] for hash_ in one.datasets)
        users = sorted(one.users.items())
        shown.append(f"project {one.title} {one.description} {datasets} {sorted(one.keys)} {users}")
    return Counter(shown)


def filled() -> Service:
    """An account with namesakes, keys of one title, and an empty project."""
    service = ListingService()
    service.datasets = {f"d{n}": Dataset(title) for n, title in enumerate(["Raw", "Raw", "Straße (Nacht)", "猫", "!"])}
    service.datasets["d5"] = Dataset("Raw", "other")
    ci = ("ci", ("label.read", "label.write"))
    service.projects = {
        "p1": Project("Cats", "wild", datasets=["d0", "d2"], keys=[ci, ("ci", ("label.read",)), ci]),
        "p2": Project("Cats", datasets=["d1", "d5"], keys=[("export", ("label.read",))]),
        "p3": Project("Raw"),
    }
    return service


@pytest.mark.usefixtures("twins_pass")
async def test_the_manifest_makes_the_same_account() -> None:
    """What is exported of one account and provisioned on another gives the same account, users with roles included."""
    one, other = filled(), Service()
    for number, project in enumerate(one.projects.values()):
        project.users = {ADMIN: 0, **{f"{role}@example.com": role for role in range(number, 6)}}
    entries, left, _ = await exported(one, ontologies=False)
    assert left == []
    done = await provision(other, entries)
    assert set(done.statuses) == {"created"}
    assert contents(other) == contents(one)


async def test_what_the_entries_look_like() -> None:
    """Datasets come first, keys are made of titles, and whatever goes without saying is not said."""
    entries, _, sums = await exported(filled())
    assert [entry.as_json() for entry in entries] == [
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "dataset", "key": "raw-2", "title": "Raw"},
        {"kind": "dataset", "key": "strasse-nacht", "title": "Straße (Nacht)"},
        {"kind": "dataset", "key": "猫", "title": "猫"},
        {"kind": "dataset", "key": "dataset", "title": "!"},
        {"kind": "dataset", "key": "raw-3", "title": "Raw", "description": "other"},
        {
            "kind": "project",
            "key": "cats",
            "title": "Cats",
            "description": "wild",
            "ontology": "ontology",
            "datasets": ["@raw", "@strasse-nacht"],
            "api_keys": [{"title": "ci", "scopes": ["label.read"]}],
        },
        {"kind": "project_api_key", "project": "@cats", "title": "ci", "scopes": ["label.read", "label.write"]},
        {"kind": "project_api_key", "project": "@cats", "title": "ci", "scopes": ["label.read", "label.write"]},
        {
            "kind": "project",
            "key": "cats-2",
            "title": "Cats",
            "ontology": "ontology",
            "datasets": ["@raw-2", "@raw-3"],
            "api_keys": [{"title": "export", "scopes": ["label.read"]}],
        },
        {"kind": "project", "key": "raw-4", "title": "Raw", "ontology": "ontology"},
    ]
    assert sums.as_json() == {
        "entries": 11,
        "datasets": 6,
        "projects": 3,
        "api_keys": 4,
        "users": 0,
        "ontologies": 0,
        "groups": 0,
        "organisation_users": 0,
        "folders": 0,
        "left_out": 0,
    }


async def test_without_ontologies() -> None:
    """The ontology, which only the account itself has, can be left out."""
    entries, _, _ = await exported(filled(), ontologies=False)
    assert not any("ontology" in json.dumps(entry.as_json()) for entry in entries)


@pytest.mark.usefixtures("twins_pass")
async def test_only_what_the_account_is_admin_of() -> None:
    """Others' things are left out; a dataset of theirs in a project of ours stands in an entry of its own."""
    service = filled()
    service.datasets["d2"].role = 1
    service.projects["p2"].role = ProjectUserRole.TEAM_MANAGER
    entries, left, _ = await exported(service)
    assert [(one.what, one.hash) for one in left] == [("dataset", "d2"), ("project", "p2")]
    assert {"kind": "project_datasets", "project": "@cats", "add": ["d2"]} in [entry.as_json() for entry in entries]
    done = await provision(Service(), [entry for entry in entries if isinstance(entry, DatasetEntry | ProjectEntry)])
    assert set(done.statuses) == {"created"}


async def test_users_are_written_down() -> None:
    """Users of all pages are written down with their roles as words; what no manifest can say is left out."""
    service = filled()
    service.projects["p1"].users = {"bob@example.com": 2, "Ann@example.com": 0, "no address": 1, "eve@example.com": 99}
    entries, left, sums = await exported(service)
    (cats,) = [shown for entry in entries if (shown := entry.as_json()).get("key") == "cats"]
    assert cats["users"] == [
        {"email": "Ann@example.com", "role": "admin"},
        {"email": "bob@example.com", "role": "reviewer"},
    ]
    assert sorted(one.title for one in left) == ["eve@example.com", "no address"]
    assert (sums.numbers["users"], sums.unlisted) == (2, {})


async def test_without_users() -> None:
    """Who is in a project can be left out, and then nobody asks."""
    service = filled()
    service.projects["p1"].users = {"bob@example.com": 2}
    entries: list[Entry] = []
    async with open_session(service) as session:
        sums = await export(session, entries.append, scope=Scope(users=False))
    assert not any("users" in entry.as_json() for entry in entries)
    assert (sums.numbers["users"], sums.unlisted, service.names[LIST]) == (0, {}, 0)


async def test_a_service_that_lists_no_users() -> None:
    """A project whose users the service does not list is written down without them, and that is told."""
    service = filled()
    service.faults.append(Fault(LIST, code="RESOURCE_NOT_FOUND_ERROR"))
    entries, left, sums = await exported(service)
    assert sum(isinstance(entry, ProjectEntry) for entry in entries) == 3
    assert [one.what for one in left] == ["users of a project"]
    assert sums.unlisted == {("users", "project", "projects"): 1}


async def test_a_project_that_is_gone_meanwhile() -> None:
    """A project that cannot be read is left out with the reason; what is not understood ends the export."""
    service = filled()
    service.faults.append(Fault("project.GET", code="RESOURCE_NOT_FOUND_ERROR"))
    entries, left, _ = await exported(service)
    assert len(left) == 1
    assert sum(isinstance(entry, ProjectEntry) for entry in entries) == 2
    service.faults.append(Fault("project.GET", error=lambda: ReplyShapeError("what is that?")))
    with pytest.raises(ReplyShapeError):
        await exported(service)
    service.faults.append(Fault("projectapikey.GET", code="AUTHENTICATION_ERROR"))
    with pytest.raises(AuthenticationError):
        await exported(service)


async def test_projects_are_read_several_at_a_time() -> None:
    """Reads overlap, as far as the session allows, and the order is kept all the same."""
    service = ListingService()
    service.projects = {f"p{number:03}": Project(f"P {number}") for number in range(300)}
    entries, _, _ = await exported(service)
    assert [getattr(entry, "key", None) for entry in entries] == [f"p-{number}" for number in range(300)]
    assert service.max_in_flight == 4


async def test_an_api_key_is_not_written() -> None:
    """The key itself, which the service shows, is nowhere in the manifest."""
    entries, left, _ = await exported(filled())
    assert "secret" not in json.dumps([entry.as_json() for entry in entries]) + repr(left)


SAID: list[Entry] = [
    *(DatasetEntry(title="Raw", storage=storage) for storage in StorageLocation),
    *(ProjectEntry(title="P", users=(UserWish(email="a@b.cc", role=role),)) for role in ProjectUserRole),
    *(ProjectUsersEntry(project="p", emails=("a@b.cc",), role=role) for role in ProjectUserRole),
    *(ProjectGroupsEntry(project="p", add=("g",), role=role) for role in ProjectUserRole),
    *(OrganisationUserEntry(email="a@b.cc", role=role) for role in OrganisationRole),
]


@pytest.mark.parametrize("entry", SAID, ids=str)
def test_each_word_can_be_read_again(entry: Entry) -> None:
    """Storages and roles are written as words, which a manifest knows."""
    shown = entry.as_json()
    assert read_json_entry(json.dumps(shown).encode(), Place("m", 1, 1)) == entry
    assert not re.search(r'"(role|storage)": (\d|"[A-Z])', json.dumps(shown))


class ShelfEntry(Entry):
    """A shelf that shall exist."""

    counted = (Count("shelves", "shelves", exported=("shelves", "shelf", "shelves")),)

    kind: Literal["shelf"] = "shelf"
    title: Title

    def steps(self, identity: bytes) -> Iterator[Step]:
        """One."""
        yield making_step(identity, SHELF, self.title)


class _Shelves(Exports):
    word = noun = "shelf"
    plural = "shelves"
    caution = "shelves are heavy"

    async def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:
        """Two of ours, and one that is not."""
        for title, is_admin in (("Top", True), ("Top", True), ("Theirs", False)):
            yield Listed(title.lower(), title, None, is_admin, None)

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        """Its own."""
        yield from pen.entry(ShelfEntry, self, found, title=found.title)


SHELF = _Shelves()
ShelfEntry.makes = SHELF


async def test_a_kind_that_is_new() -> None:
    """A kind that the registry knows is written down and added up, without a word about it anywhere else."""
    with registered(ShelfEntry, SHELF):
        entries, left, sums = await exported(Service())
    assert [entry.as_json() for entry in entries] == [
        {"kind": "shelf", "key": "top", "title": "Top"},
        {"kind": "shelf", "key": "top-2", "title": "Top"},
    ]
    assert [(one.what, one.hash) for one in left] == [("shelf", "theirs")]
    assert (sums.numbers["shelves"], sums.cautions) == (2, ["shelves are heavy"])


# ---------------------------------------------------------------------- the pure part

TITLES = st.text(st.sampled_from("Aab é猫-_ 2!@\n"), max_size=6) | st.text(max_size=4)
SCOPES = st.lists(st.sampled_from([*APIKeyScope, "novel.scope"]), max_size=3)
API_KEYS = st.lists(st.tuples(TITLES, SCOPES), max_size=3)
STORED = st.one_of(st.none(), st.integers(0, 5))


@st.composite
def accounts(draw: st.DrawFn) -> tuple[list[models.Dataset], list[Inside]]:
    """Datasets, and projects that use some of them and some that are not there."""
    datasets = [
        models.Dataset.model_validate({"dataset_hash": f"d{n}", "title": title, "description": text, "type": stored})
        for n, (title, text, stored) in enumerate(draw(st.lists(st.tuples(TITLES, TITLES, STORED), max_size=6)))
    ]
    projects = []
    for number in range(draw(st.integers(0, 4))):
        attached = {f"d{n}": None for n in draw(st.lists(st.integers(0, 7), unique=True, max_size=5))}
        project = {"project_hash": f"p{number}", "title": draw(TITLES), "description": draw(TITLES)}
        users = draw(st.dictionaries(st.sampled_from(["a@b.cc", "A@b.cc", "x", "c@d.ee"]), st.integers(0, 6)))
        keys = [(title, frozenset(map(str, scopes))) for title, scopes in draw(API_KEYS)]
        held: dict[Relation, Held] = {DATASETS: attached, USERS: users}
        projects.append(Inside(item=models.Project.model_validate(project), held=held, inner=keys))
    return datasets, projects


def of_dataset(pen: Pen, one: models.Dataset) -> Iterator[Entry]:
    """The entry of a dataset."""
    listed = Listed(one.dataset_hash, one.title, one.description, is_admin=True, item=(one, False, None))
    return written(pen, DATASET, listed, Inside())


def of_project(pen: Pen, one: Inside) -> Iterator[Entry]:
    """The entries of a project."""
    listed = Listed(one.item.project_hash, one.item.title, one.item.description, is_admin=True, item=None)
    return written(pen, PROJECT, listed, one)


def all_of(datasets: Iterable[models.Dataset], projects: Iterable[Inside]) -> tuple[list[Entry], list[LeftOut]]:
    """The entries of an account."""
    left: list[LeftOut] = []
    pen = Pen(on_left_out=left.append)
    entries = [entry for one in datasets for entry in of_dataset(pen, one)]
    entries += [entry for one in projects for entry in of_project(pen, one)]
    return entries, left


@given(account=accounts())
def test_each_manifest_is_a_good_one(account: tuple[list[models.Dataset], list[Inside]]) -> None:
    """Whatever an account holds, each line can be read again, nothing is wrong between entries, nothing is lost."""
    entries, left = all_of(*account)
    # Namesakes need marks of their entries to be provisioned elsewhere.
    checker = Checker(stamps=True)
    for number, entry in enumerate(entries, 1):
        place = Place("m", number, number)
        assert read_json_entry(json.dumps(entry.as_json(), ensure_ascii=False).encode(), place) == entry
        assert checker.add(PlacedEntry(place, entry)) == ()
    assert checker.finish() == ()
    told = {(one.what, one.hash) for one in left}
    made = sum(isinstance(entry, DatasetEntry | ProjectEntry) for entry in entries)
    assert made + len({one for one in told if one[0] in {"dataset", "project"}}) == len(account[0]) + len(account[1])


@given(account=accounts())
def test_each_project_is_written_down_whole(account: tuple[list[models.Dataset], list[Inside]]) -> None:
    """The entries of a project name each dataset of it once, and each API key as often as it is there."""
    datasets, projects = account
    entries, left = all_of(datasets, projects)
    hashes = {f"@{key}": one.dataset_hash for one in datasets for key in _keys_of(one, entries, datasets)}
    for one in projects:
        found = _of(entries, projects, one)
        if found is None:
            continue
        reference, references, keys = found
        named = [hashes.get(item, item) for item in references]
        assert sorted(named) == sorted(one.of(DATASETS))
        lost = sum(left_out.what == "API key" and left_out.hash == one.item.project_hash for left_out in left)
        assert len(keys) + lost == len(one.inner)
        assert Counter(keys) <= Counter((title.strip(), scopes) for title, scopes in one.inner), reference


def _keys_of(one: models.Dataset, entries: Sequence[Entry], datasets: Sequence[models.Dataset]) -> list[str]:
    """The key of a dataset, if it is written down: they come in the order of the account."""
    made = iter([entry for entry in entries if isinstance(entry, DatasetEntry)])
    expected = [other for other in datasets if _can_be_said(other)]
    keys = {other.dataset_hash: next(made).key or "" for other in expected}
    return [keys[one.dataset_hash]] if one.dataset_hash in keys else []


def _can_be_said(one: models.Dataset) -> bool:
    return next(of_dataset(Pen(), one), None) is not None


def _of(
    entries: Sequence[Entry], projects: Sequence[Inside], one: Inside
) -> tuple[str, list[str], list[tuple[str, frozenset[str]]]] | None:
    """Reference, datasets and API keys that the entries give a project."""
    expected = [other for other in projects if next(of_project(Pen(), other), None) is not None]
    made = [entry for entry in entries if isinstance(entry, ProjectEntry)]
    assert len(made) == len(expected)
    own = next((entry for entry, other in zip(made, expected, strict=True) if other is one), None)
    if own is None:
        return None
    reference = f"@{own.key}"
    datasets, keys = list(own.datasets), [(wish.title, frozenset[str](wish.scopes)) for wish in own.api_keys]
    for entry in entries:
        if isinstance(entry, ProjectDatasetsEntry) and entry.project == reference:
            datasets += entry.add
        if isinstance(entry, ProjectAPIKeyEntry) and entry.project == reference:
            keys.append((entry.title, frozenset[str](entry.scopes)))
    return reference, datasets, keys


@given(account=accounts(), seed=st.integers())
def test_the_order_of_keys_and_users_does_not_matter(
    account: tuple[list[models.Dataset], list[Inside]], seed: int
) -> None:
    """However the service orders API keys and users, the manifest is the same."""
    datasets, projects = account
    chance = random.Random(seed)

    def shuffled(one: Inside) -> Inside:
        keys, users = list(one.inner), list(one.of(USERS).items())
        chance.shuffle(keys)
        chance.shuffle(users)
        return replace(one, inner=keys, held={**one.held, USERS: dict(users)})

    assert all_of(datasets, map(shuffled, projects))[0] == all_of(datasets, projects)[0]


@given(titles=st.lists(TITLES))
def test_keys_are_unique_and_stay(titles: list[str]) -> None:
    """No two keys are the same, and what comes later changes none that was given before."""
    maker, shorter = KeyMaker(), KeyMaker()
    keys = [maker.make(title, "dataset") for title in titles]
    assert len(set(keys)) == len(keys)
    assert [shorter.make(title, "dataset") for title in titles[:-1]] == keys[:-1]
    for key in keys:
        DatasetEntry(key=key, title="x")


def test_a_title_that_is_like_a_numbered_key() -> None:
    """A number that a title brings along is passed over."""
    maker = KeyMaker()
    assert [maker.make(title, "project") for title in ("Cats 2", "Cats", "Cats", "Cats 2")] == [
        "cats-2",
        "cats",
        "cats-3",
        "cats-2-2",
    ]


def test_many_of_one_title() -> None:
    """Ten thousand things of one title cost no more than as many of different ones."""
    maker = KeyMaker()
    keys: list[Any] = [maker.make("Cats", "project") for _ in range(10_000)]
    assert (keys[0], keys[1], keys[-1]) == ("cats", "cats-2", "cats-10000")
