"""Entries are taken apart into steps whose identity is the same in every run."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.group import GroupEntry
from encord_async.kinds.namer import Namer
from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.organisation_user import OrganisationUserEntry
from encord_async.kinds.project import PROJECT, APIKeyWish, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import API_KEY, ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import DATASETS, ProjectDatasetsEntry
from encord_async.kinds.project_groups import ProjectGroupsEntry
from encord_async.kinds.project_users import USERS, ProjectUsersEntry
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.kinds.step import Step
from encord_async.manifest.place import Place
from encord_async.manifest.reading import read_entry
from encord_async.protocol.catalogue import APIKeyScope, OrganisationRole, ProjectUserRole

keys = st.none() | st.sampled_from(["k1", "k2", "k3"])
titles = st.sampled_from(["Cats", "Dogs", "Cats "])
emails = st.sampled_from(["ann@example.com", "bob@example.com", "Ann@example.com"])
references = st.sampled_from(["@k1", "@k2", "hash-1"])
roles = st.sampled_from(ProjectUserRole)
scopes = st.lists(st.sampled_from(APIKeyScope), min_size=1, unique=True).map(tuple)

users = st.lists(st.builds(UserWish, email=emails, role=roles), max_size=4).map(tuple)
api_keys = st.lists(st.builds(APIKeyWish, title=titles, scopes=scopes), max_size=3).map(tuple)
some_references = st.lists(references, max_size=3).map(tuple)

entries: st.SearchStrategy[Entry] = st.one_of(
    st.builds(DatasetEntry, key=keys, title=titles, description=st.sampled_from(["", "x"])),
    st.builds(ProjectEntry, key=keys, title=titles, datasets=some_references, users=users, api_keys=api_keys),
    st.builds(ProjectDatasetsEntry, key=keys, project=references, add=some_references, remove=some_references),
    st.builds(
        ProjectUsersEntry,
        key=keys,
        project=references,
        emails=st.lists(emails, min_size=1, max_size=3).map(tuple),
        role=roles,
        remove=st.lists(emails, max_size=2).map(tuple),
    ),
    st.builds(ProjectAPIKeyEntry, key=keys, project=references, title=titles, scopes=scopes),
    st.builds(
        ProjectGroupsEntry, key=keys, project=references, add=some_references, role=roles, remove=some_references
    ),
    st.builds(OntologyEntry, key=keys, title=titles, structure=st.sampled_from([None, {}, {"objects": [1]}])),
    st.builds(GroupEntry, key=keys, name=titles, members=st.lists(emails, max_size=3).map(tuple)),
    st.builds(OrganisationUserEntry, key=keys, email=emails, role=st.sampled_from(OrganisationRole)),
)


def identities(manifest: Sequence[Entry]) -> list[bytes]:
    """The identities of the entries of a whole manifest."""
    namer = Namer()
    return [namer.identity(entry) for entry in manifest]


def steps(entry: Entry) -> list[Step]:
    """The steps of a single entry."""
    return list(entry.steps(Namer().identity(entry)))


@given(st.lists(entries, max_size=8))
def test_identities_are_the_same_in_every_run(manifest: list[Entry]) -> None:
    """A run of the same manifest, read anew, finds its entries and steps under the same names."""
    again = [type(entry).model_validate_json(entry.model_dump_json()) for entry in manifest]
    assert identities(manifest) == identities(again)
    for one, other, identity in zip(manifest, again, identities(manifest), strict=True):
        assert list(one.steps(identity)) == list(other.steps(identity))


@given(st.lists(entries, max_size=8))
def test_things_that_are_created_are_told_apart(manifest: list[Entry]) -> None:
    """Two entries that each create something never have a step in common, unless they share a kind and a key."""
    found: dict[bytes, int] = {}
    names: set[tuple[str, str]] = set()
    for number, (entry, identity) in enumerate(zip(manifest, identities(manifest), strict=True)):
        if entry.key is not None:
            if (entry.kind, entry.key) in names:
                continue
            names.add((entry.kind, entry.key))
        for step in entry.steps(identity):
            if step.kind.creates:
                assert found.setdefault(step.identity, number) == number


@given(entries)
def test_steps_of_an_entry_differ(entry: Entry) -> None:
    """What an entry lists twice is one step, and no two steps of it have the same identity."""
    found = [step.identity for step in steps(entry)]
    assert len(found) == len(set(found))


@given(entries)
def test_what_is_made_comes_first(entry: Entry) -> None:
    """What the key of an entry stands for is its first step, since the others need it."""
    kinds = [step.kind for step in steps(entry)]
    assert not any(kind.stands_for_entry for kind in kinds[1:])
    assert entry.names_something == any(kind.stands_for_entry for kind in kinds[:1])


@given(entries, entries)
def test_identity_is_by_content_without_a_key(one: Entry, other: Entry) -> None:
    """Two single entries without a key are the same wish exactly if they are equal."""
    one, other = one.model_copy(update={"key": None}), other.model_copy(update={"key": None})
    assert (identities([one]) == identities([other])) == (one == other)


def test_a_field_that_a_later_release_adds_changes_no_identity() -> None:
    """An entry without a key is known again by a release whose manifest can say more, as long as it does not."""

    class LaterEntry(DatasetEntry):
        colour: str = "white"

    plain, black = DatasetEntry(title="Cats"), LaterEntry(title="Cats", colour="black")
    assert identities([LaterEntry(title="Cats")]) == identities([plain]) != identities([black])


WRITTEN_DOWN: list[tuple[dict[str, Any], str, list[str]]] = [
    (
        {"kind": "dataset", "title": "Raw", "description": "all", "storage": "aws", "create_backing_folder": True},
        "a1e5a35db799e7a1c72ebb8068a07d38",
        ["c5de367ddf7d0399dbcef36b2aa0cba3"],
    ),
    (
        {
            "kind": "project",
            "title": "Cats",
            "description": "d",
            "ontology": "@felines",
            "ontology_hash": "o1",
            "workflow_template_id": "w1",
            "copy_of": "@dogs",
            "copy_options": ["datasets", "models"],
            "datasets": ["@raw", "d1"],
            "users": [{"email": "ann@example.com", "role": "reviewer"}],
            "api_keys": [{"title": "ci", "scopes": ["label.write", "label.read"]}],
        },
        "3a11edf2f18ecae6531e0d81431db0f7",
        ["031efff328ddb492144e9648d31fe7c9", "50256e07bedafc7fd13d367e2fc89c5c", "53553e03782565092469da731e4bf7b4"],
    ),
    (
        {"kind": "project_datasets", "project": "@cats", "add": ["@raw", "d1"], "remove": ["d2"]},
        "4d9eb7e91b43f549dc0af718f2fd0df2",
        ["c18a47539e4680df604c1af868fa42e8", "612280fcc027a8010c7697ab8dd1736b", "c22a44392ccd164dd3f6dd02e6afbba2"],
    ),
    (
        {
            "kind": "project_users",
            "project": "@cats",
            "emails": ["ann@example.com"],
            "role": "annotator",
            "remove": ["bob@example.com"],
        },
        "388580d0a36c781e21e76db7cfdebfe0",
        ["93a2f9f9ebcaaec0f1bb7e115eb96e6c", "000701e2e4131d824a34eeb6a674b0b9"],
    ),
    (
        {"kind": "project_api_key", "project": "@cats", "title": "export", "scopes": ["label.write", "label.read"]},
        "1dbf02ed25f680274766486f52370b4c",
        ["c7989d08f0aa454956de9f20368371f0"],
    ),
    (
        {"kind": "project_groups", "project": "p1", "add": ["@team"], "role": "admin", "remove": ["g2"]},
        "57d972a53c8bcd53475865833cc9cb34",
        ["8b8ce097a99b0651c64d2ecaa803fbea", "2878b856331398c26f5ec08d8a59a6bb"],
    ),
    (
        {
            "kind": "ontology",
            "title": "Felines",
            "description": "d",
            "structure": {"objects": [{"id": "1"}], "classifications": []},
            "structure_file": "f.json",
        },
        "c8b56f361ca7ae9547386a9ced607153",
        ["c27b46e982bebef8177ccdc3a6d4ff8c"],
    ),
    (
        {"kind": "group", "name": "Team", "description": "d", "members": ["ann@example.com", "@bob"]},
        "5ce67b29acb40d2ee7baadc5ea26f9e4",
        ["6296f95ed13ebc818cf621134165b69c", "a7131e5df5cbda49fd74dd6e2eaebbed", "7328930d206bde712385d750b3880391"],
    ),
    (
        {"kind": "organisation_user", "email": "bob@example.com", "role": "admin", "member_type": "external"},
        "ccb858cb94407d5b4a7e05c2f4f9e36c",
        ["ea1b74c14e6f8ab164f6ce8c1a02f6bc"],
    ),
    (
        {
            "kind": "folder",
            "name": "Images",
            "description": "d",
            "parent": "@top",
            "metadata": {"site": "north"},
            "groups": [{"group": "@team", "role": "user"}],
            "cloud": {"integration": "bucket", "url": "s3://bucket/prefix/"},
        },
        "44fa10109c8c1d28d3f47a988e6b702b",
        ["271b3fa0c28ad0f58885805887e273a7", "a9c48173949281312aa9024d1a67c282"],
    ),
    (
        {
            "kind": "data",
            "folder": "@images",
            "integration": "bucket",
            "items": [{"url": "s3://bucket/a.png", "type": "image", "title": "A", "metadata": {"site": 1}}],
            "datasets": ["@raw"],
            "on_error": "skip",
        },
        "f69f377f63280128e7b71f6810df95bf",
        ["12d8dbfa8b1413d1da86c5ff2528fd14", "d44f25961d2f292e7bba53a3ef1e5f4a"],
    ),
    (
        {
            "kind": "project_tasks",
            "project": "@cats",
            "stage": "Annotate",
            "assign": {"emails": ["ann@example.com", "bob@example.com"]},
            "release": ["eve@example.com"],
            "priority": 0.5,
        },
        "d1d54cdc8a2668719182c6d8cd50b145",
        ["dadd3aeae9f007cb442023e3cdd5f0cd", "b4f1700c5e89047d253b09bfd99faeba"],
    ),
]
"""Entries without a key, and under which names journals have them and their steps."""


def test_names_in_journals_are_pinned_for_every_kind() -> None:
    """No kind is left out of those whose names in journals are held fast."""
    assert [raw["kind"] for raw, *_ in WRITTEN_DOWN] == list(ENTRY_MODELS)


@pytest.mark.parametrize(("raw", "identity", "parts"), WRITTEN_DOWN, ids=[raw["kind"] for raw, *_ in WRITTEN_DOWN])
def test_journals_of_earlier_releases_are_understood(raw: dict[str, Any], identity: str, parts: list[str]) -> None:
    """An entry and its steps have the names that earlier releases wrote down, or all of it would be made again."""
    entry = read_entry(raw, Place("m.jsonl", 1, 1))
    assert isinstance(entry, ENTRY_MODELS[raw["kind"]])
    assert Namer().identity(entry).hex() == identity
    assert [step.identity.hex() for step in steps(entry)] == parts


def test_a_key_stands_for_its_entry_whatever_its_content() -> None:
    """Correcting the title of a keyed entry leaves it the same wish; another kind under that key does not."""
    cats, dogs = DatasetEntry(key="k", title="Cats"), DatasetEntry(key="k", title="Dogs")
    assert identities([cats]) == identities([dogs])
    assert identities([cats]) != identities([ProjectEntry(key="k", title="Cats")])
    assert identities([cats]) != identities([DatasetEntry(key="j", title="Cats")])


def test_repeated_creations_are_counted_and_memberships_are_not() -> None:
    """Three datasets of one title are three wishes; one membership wished for three times is one."""
    assert len(set(identities([DatasetEntry(title="Cats")] * 3))) == 3
    member = ProjectUsersEntry(project="p", emails=("ann@example.com",), role=ProjectUserRole.REVIEWER)
    assert len(set(identities([member] * 3))) == 1


def test_inserting_an_entry_leaves_the_others_their_names() -> None:
    """Entries added to a manifest between two runs do not rename what was there, as long as they differ from it."""
    cats, dogs = DatasetEntry(title="Cats"), ProjectEntry(title="Dogs")
    assert identities([cats, dogs]) == identities([cats, ProjectEntry(title="Birds"), dogs])[::2]


def test_steps_of_a_project() -> None:
    """A project is made first, then come its users and keys, each with what it needs."""
    entry = ProjectEntry(
        title="Cats",
        datasets=("@raw",),
        users=(UserWish(email="ann@example.com", role=ProjectUserRole.REVIEWER),) * 2,
        api_keys=(APIKeyWish(title="ci", scopes=(APIKeyScope.LABEL_WRITE, APIKeyScope.LABEL_READ)),),
    )
    project, user, api_key = steps(entry)
    assert (project.kind, project.item) == (PROJECT, "Cats")
    assert (user.kind, user.parent, user.item) == (USERS.give, None, "ann@example.com")
    assert user.role is ProjectUserRole.REVIEWER
    assert (api_key.kind, api_key.item) == (API_KEY, "ci")
    assert set(api_key.scopes) == {APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE}


def test_order_of_scopes_does_not_matter() -> None:
    """A key with the same scopes in another order is the same key."""
    both = (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE)
    one, other = (
        list(ProjectAPIKeyEntry(project="p", title="ci", scopes=order).steps(b"same")) for order in (both, both[::-1])
    )
    assert one == other


def test_attaching_and_detaching_differ() -> None:
    """Adding and removing the same dataset are two steps with two names."""
    added, removed = steps(ProjectDatasetsEntry(project="p", add=("d",), remove=("d",)))
    assert (added.kind, removed.kind) == (DATASETS.give, DATASETS.take)
    assert added.identity != removed.identity


@pytest.mark.parametrize("entry", [ProjectDatasetsEntry(project="p")], ids=["no datasets"])
def test_an_entry_may_ask_for_nothing(entry: Entry) -> None:
    """An entry that lists nothing has no steps."""
    assert steps(entry) == []


def test_keys_that_differ_in_the_order_of_scopes_are_one_step() -> None:
    """A project that lists one API key twice, with its scopes in another order, wants one key."""
    both = (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE)
    wishes = tuple(APIKeyWish(title="ci", scopes=order) for order in (both, both[::-1]))
    assert [step.kind for step in steps(ProjectEntry(title="P", api_keys=wishes))] == [
        PROJECT,
        API_KEY,
    ]


def test_names_do_not_run_together() -> None:
    """Kind and key are kept apart, so that no two of them give one name."""
    project = ProjectEntry(key="_usersX", title="P")
    member = ProjectUsersEntry(key="X", project="p", emails=("a@example.com",), role=ProjectUserRole.ADMIN)
    assert identities([project]) != identities([member])
