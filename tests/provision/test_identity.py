"""What an entry has made is its own, or is taken over, whatever becomes of the entry; what was undone is done again."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.emulator import Fault as Cause
from encord_async.emulator import FaultRule
from encord_async.engine.account import Existing, entry_mark
from encord_async.engine.outcome import Outcome
from encord_async.engine.roll import Register, Roll
from encord_async.errors import NoReplyError
from encord_async.journal.journal import Identity, Journal
from encord_async.kinds.namer import Namer
from encord_async.kinds.project import ProjectEntry
from encord_async.manifest.variables import ManifestFile
from tests.provision.conftest import (
    Entry,
    Fault,
    Service,
    all_of,
    attach,
    dataset,
    open_session,
    project,
    users,
)
from tests.provision.listing import ListingService
from tests.provision.world import ME, STRUCTURE, open_world, words

ANN = {"email": "ann@example.com", "role": "reviewer"}
BOB = {"email": "bob@example.com", "role": "annotator"}
KEY = {"title": "ci", "scopes": ["label.read"]}
READ = {"kind": "project_api_key", "project": "@cats", "title": "export", "scopes": ["label.read"]}


@pytest.fixture
def service() -> Service:
    """An account that lists and removes users."""
    return ListingService()


async def run(service: Service, manifest: Any, journal: Path | None, **options: Any) -> list[Outcome]:
    """One run of *manifest*, to its end; waits for nothing."""
    wanted = {"settle_s": 0.0} | options
    async with open_session(service) as session, session.provision(manifest, journal=journal, **wanted) as provisioning:
        return await all_of(provisioning)


def said(outcomes: Sequence[Outcome]) -> list[str]:
    """How they ended."""
    return [outcome.status.value for outcome in outcomes]


async def stream(manifest: Sequence[Entry]) -> AsyncIterator[Entry]:
    """*manifest* as something that can be read once."""
    for entry in manifest:
        yield entry


# --- an entry that is edited ------------------------------------------------------------------------------------------

EDITS: dict[str, tuple[Entry, Entry]] = {
    "a user more": (project(users=[ANN]), project(users=[ANN, BOB])),
    "another order": (project(users=[ANN, BOB]), project(users=[BOB, ANN])),
    "a key given": (project(users=[ANN], api_keys=[KEY]), project(users=[ANN], api_keys=[KEY], key="cats")),
    "a key renamed": (project(key="cats", datasets=["d1"]), project(key="felines", datasets=["d1", "d2"])),
    "a key taken": (project(key="cats"), project()),
    "a dataset": (dataset("Raw", key="raw"), dataset("Raw")),
}


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("edit", EDITS)
async def test_an_edited_entry_takes_over_what_it_was(service: Service, tmp_path: Path, edit: str, once: bool) -> None:
    """Whatever becomes of an entry, of a title and description the same thing is meant, and it is made once."""
    service.has_datasets("d1", "d2")
    before, after = EDITS[edit]
    (first,) = await run(service, [before], tmp_path / "j")
    made = len(service.projects) + len(service.datasets)
    later = [project("Other"), after]
    second = (await run(service, stream(later) if once else later, tmp_path / "j"))[1]
    assert (second.hash, second.status.value) == (first.hash, "adopted")
    assert len(service.projects) + len(service.datasets) == made + 1
    assert sum(len(one.keys) for one in service.projects.values()) == len(before.get("api_keys", ()))
    for one in service.projects.values():
        if one.title == "Cats":
            assert set(after.get("datasets", ())) <= set(one.datasets)
            assert {user["email"] for user in after.get("users", ())} <= one.users.keys()
    service.calls.clear()
    assert set(said(await run(service, later, tmp_path / "j"))) == {"unchanged"}
    assert service.calls == []


@pytest.mark.parametrize("existing", ["adopt", "create", "fail"])
@pytest.mark.usefixtures("twins_pass")
async def test_who_comes_back_gets_another(service: Service, tmp_path: Path, existing: str) -> None:
    """What was taken over belongs to the entry that took it: the old one, back again, gets a thing of its own."""
    old, new = project(key="old"), project(key="new")
    (first,) = await run(service, [old], tmp_path / "j", existing=existing)
    (second,) = await run(service, [new], tmp_path / "j", existing=existing)
    assert first.hash == second.hash
    mine, other = await run(service, [new, old], tmp_path / "j", existing="create")
    assert (mine.status.value, mine.hash) == ("unchanged", first.hash)
    assert (other.status.value, other.hash == first.hash) == ("created", False)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.usefixtures("twins_pass")
async def test_entries_that_stay_keep_theirs(service: Service, tmp_path: Path, once: bool) -> None:
    """One more of the same title takes nothing from those that are there, before or behind it in the manifest."""
    first = await run(service, [project(key="a"), project(key="b")], tmp_path / "j", existing="create")
    manifest = [project(key="c"), project(key="a"), project(key="b")]
    second = await run(service, stream(manifest) if once else manifest, tmp_path / "j")
    assert said(second) == ["created", "unchanged", "unchanged"]
    assert [one.hash for one in second[1:]] == [one.hash for one in first]
    assert len(service.projects) == 3


@pytest.mark.usefixtures("twins_pass")
async def test_a_manifest_in_a_file(service: Service, tmp_path: Path) -> None:
    """A file is read through before anything is sent, so that nobody has to wait."""
    path = tmp_path / "m.jsonl"
    path.write_text('{"kind": "project", "title": "Cats", "key": "a"}\n')
    await run(service, path, tmp_path / "j")
    path.write_text('{"kind": "project", "title": "Cats", "key": "b"}\n{"kind": "project", "title": "Cats"}\n')
    outcomes = await run(service, path, tmp_path / "j")
    assert sorted(said(outcomes)) == ["adopted", "created"]
    assert len(service.projects) == 2


async def test_a_journal_that_came_to_be_while_the_file_was_checked(service: Service, tmp_path: Path) -> None:
    """A file is read through without a roll if there was no journal; who has gone is known all the same if there is."""
    path = tmp_path / "m.jsonl"
    path.write_text('{"kind": "project", "title": "Cats", "key": "cats"}\n')
    async with open_session(service) as session:
        journal = Journal(tmp_path / "j", Identity(session.settings.domain, session.identity))
        register = Register(stamps=False)
        assert journal.is_absent()
        checked = await register.check_file(ManifestFile.at(path), stamps=False, is_first=True)
        assert checked.roll is None
        await run(service, [project("Cats", key="cats"), project("Dogs", key="dogs")], tmp_path / "j")
        assert not journal.is_absent()
        async with journal:
            await register.open(journal, path)
            assert [one.title for one in await register.gone()] == ["Dogs"]


async def test_what_was_checked_without_a_roll_is_read_again_for_one(tmp_path: Path) -> None:
    """What a look at a file has found without a roll is enough for a run without one, and for no other."""
    path = tmp_path / "m.jsonl"
    file = ManifestFile.at(path)
    path.write_text('{"kind": "project", "title": "Cats", "key": "cats"}\n')
    looked = await Register(stamps=False).check_file(file, stamps=False, is_first=True)
    assert await Register(stamps=False).check_file(file, looked, stamps=False, is_first=True) is looked
    again = await Register(stamps=False).check_file(file, looked, stamps=False)
    assert again.roll is not None
    assert await Register(stamps=False).check_file(file, again, stamps=False, is_first=True) is again
    assert (await Register(stamps=True).check_file(file, looked, stamps=False, is_first=True)).roll is not None


@pytest.mark.parametrize("once", [False, True])
async def test_an_api_key_of_its_own_entry(service: Service, tmp_path: Path, once: bool) -> None:
    """So it is for an API key: a new key of its entry, and one of the project's, make no other."""
    before = [project(key="cats"), READ]
    await run(service, before, tmp_path / "j", existing="create")
    after = [project(key="cats"), {**READ, "key": "k"}]
    outcomes = await run(service, stream(after) if once else after, tmp_path / "j", existing="create")
    assert said(outcomes) == ["unchanged", "adopted"]
    renamed = [project(key="felines"), {**READ, "project": "@felines"}]
    outcomes = await run(service, stream(renamed) if once else renamed, tmp_path / "j", existing="create")
    assert said(outcomes) == ["adopted", "adopted"]
    (only,) = service.projects.values()
    assert len(only.keys) == 1


async def test_what_is_in_doubt_is_taken_over_too(service: Service, tmp_path: Path) -> None:
    """An entry that is edited while what it made is in doubt goes on with that doubt."""
    service.faults += [
        Fault("project.POST", error=lambda: NoReplyError("cut"), applies=True),
        Fault("projectwithuserrole.GET", code="AUTHORISATION_ERROR", left=99),
    ]
    (outcome,) = await run(service, [project(key="a")], tmp_path / "j")
    assert outcome.status.value == "in_doubt"
    (outcome,) = await run(service, [project(key="b")], tmp_path / "j", existing="create")
    assert outcome.status.value == "in_doubt"
    service.faults.clear()
    (outcome,) = await run(service, [project(key="b")], tmp_path / "j", existing="create")
    assert outcome.hash == "project-1"
    assert len(service.projects) == 1


async def test_every_kind_beyond_projects(tmp_path: Path) -> None:
    """Ontologies and groups are taken over as well, and a project keeps its ontology whatever that is called."""
    before: list[Entry] = [
        {"kind": "ontology", "key": "felines", "title": "Felines", "structure": STRUCTURE},
        {"kind": "group", "key": "annotators", "name": "Annotators"},
        {"kind": "project", "key": "cats", "title": "Cats", "ontology": "@felines"},
        {"kind": "project", "key": "copy", "title": "More", "description": "a copy", "copy_of": "@cats"},
    ]
    renamed: list[Entry] = [
        {"kind": "ontology", "key": "o", "title": "Felines", "structure": STRUCTURE},
        {"kind": "group", "name": "Annotators", "members": [ME]},
        {"kind": "project", "key": "cats", "title": "Cats", "ontology": "@o"},
        {"kind": "project", "key": "copy", "title": "More", "description": "a copy", "copy_of": "@cats"},
    ]
    async with open_world() as world:
        await world.run(before, tmp_path / "j")
        outcomes = await world.run(renamed, tmp_path / "j")
        assert words(outcomes) == {"o": "adopted", "group": "adopted", "cats": "unchanged", "copy": "unchanged"}
        renamed[2:] = [
            {"kind": "project", "key": "k", "title": "Cats", "ontology": "@o"},
            {"kind": "project", "key": "copy", "title": "More", "description": "a copy", "copy_of": "@k"},
        ]
        outcomes = await world.run(renamed, tmp_path / "j")
        assert words(outcomes) == {"o": "unchanged", "group": "unchanged", "k": "adopted", "copy": "unchanged"}
        made = world.made()
        assert {name: len(titles) for name, titles in made.items()} == {
            "v2/ontologies.POST": 1,
            "v2/organisation/groups.POST": 1,
            "project.POST": 1,
            "projectcopy.POST": 1,
        }


async def test_a_key_that_means_another_thing_now(service: Service, tmp_path: Path) -> None:
    """When a freed key is given to another dataset, a project that names it gets that one as well."""
    await run(service, [dataset("A", key="raw"), project(key="cats", datasets=["@raw"])], tmp_path / "j")
    await run(service, [dataset("A", key="old"), project(key="cats", datasets=["@old"])], tmp_path / "j")
    outcomes = await run(
        service,
        [dataset("A", key="old"), dataset("B", key="raw"), project(key="cats", datasets=["@old", "@raw"])],
        tmp_path / "j",
    )
    (cats,) = service.projects.values()
    assert set(cats.datasets) == {outcomes[0].hash, outcomes[1].hash}


# --- API keys belong to a project -------------------------------------------------------------------------------------


def keys_of(service: Service, title: str = "Cats") -> list[int]:
    """How many API keys each project of *title* has."""
    return [len(one.keys) for one in service.projects.values() if one.title == title]


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.usefixtures("twins_pass")
async def test_who_comes_back_has_no_key_of_another_project(service: Service, tmp_path: Path, once: bool) -> None:
    """An API key counts in the project that it was made in: with another project, its entry gets another key."""
    old, new = project(key="old", api_keys=[KEY]), project(key="new")
    await run(service, [old], tmp_path / "j")
    await run(service, [new], tmp_path / "j")
    both = [new, old]
    assert said(await run(service, stream(both) if once else both, tmp_path / "j", existing="create")) == [
        "unchanged",
        "created",
    ]
    assert keys_of(service) == [1, 1]
    # What the old one let go of is there for the new one, whatever is asked about things that are there.
    both = [project(key="new", api_keys=[KEY]), old]
    for word in ("updated", "unchanged"):
        service.calls.clear()
        outcomes = await run(service, stream(both) if once else both, tmp_path / "j", existing="create")
        assert said(outcomes) in (["adopted", "unchanged"], ["unchanged", "unchanged"]), word
    assert service.calls == []
    assert keys_of(service) == [1, 1]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.usefixtures("twins_pass")
async def test_a_key_that_is_let_go_of_and_wished_for_at_once(service: Service, tmp_path: Path, first: int) -> None:
    """In whichever order the entries stand, the key goes to who has the project, and the other gets a new one."""
    old = project(key="old", api_keys=[KEY])
    await run(service, [old], tmp_path / "j")
    await run(service, [project(key="new")], tmp_path / "j")
    both = [project(key="new", api_keys=[KEY]), old]
    await run(service, both[first:] + both[:first], tmp_path / "j", existing="create")
    assert keys_of(service) == [1, 1]


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("first", [0, 1, 2])
async def test_a_key_entry_that_turns_to_another_project(
    service: Service, tmp_path: Path, first: int, key: str | None
) -> None:
    """So it is for an API key's own entry: what it leaves behind is who has the project's, who wishes for it."""
    read = READ | ({} if key is None else {"key": key})
    cats, dogs = project(key="cats"), project("Dogs", key="dogs")
    before = [cats, dogs, read]
    await run(service, before, tmp_path / "j", existing="create")
    export = {"title": "export", "scopes": ["label.read"]}
    after = [project(key="cats", api_keys=[export]), dogs, {**read, "project": "@dogs"}]
    await run(service, after[first:] + after[:first], tmp_path / "j", existing="create")
    assert (keys_of(service), keys_of(service, "Dogs")) == ([1], [1])
    # And back, with nobody to take the second over meanwhile.
    await run(service, before, tmp_path / "j", existing="create")
    await run(service, after, tmp_path / "j", existing="create")
    assert (keys_of(service), keys_of(service, "Dogs")) == ([1], [1])
    service.calls.clear()
    assert set(said(await run(service, after, tmp_path / "j"))) == {"unchanged"}
    assert service.calls == []


@pytest.mark.parametrize("own", [False, True])
async def test_a_key_that_is_wished_for_elsewhere(service: Service, tmp_path: Path, own: bool) -> None:
    """An API key that moves from its project into an entry of its own, or the other way round, is not made again."""
    wish = {"title": "export", "scopes": ["label.read"]}
    ways = [[project(key="cats", api_keys=[wish])], [project(key="cats"), READ]]
    await run(service, ways[own], tmp_path / "j", existing="create")
    await run(service, ways[not own], tmp_path / "j", existing="create")
    assert keys_of(service) == [1]


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("first", [0, 1])
async def test_a_project_and_an_entry_with_a_key_of_one_title(
    service: Service, tmp_path: Path, first: int, once: bool
) -> None:
    """When their project is renamed each keeps its own key, and one that is new makes another."""
    wish = {"title": "export", "scopes": ["label.read"]}
    for before in ([wish], []):
        read = READ | {"key": "k"}
        path = tmp_path / f"j{len(before)}"
        service.projects.clear()
        await run(service, [project(key="cats", api_keys=before), read], path, existing="create")
        after = [project(key="felines", api_keys=[wish]), {**read, "project": "@felines"}]
        after = after[first:] + after[:first]
        outcomes = await run(service, stream(after) if once else after, path, existing="create")
        assert "failed" not in said(outcomes)
        assert keys_of(service) == [2]
        service.calls.clear()
        assert said(await run(service, after, path, existing="create")) == ["unchanged"] * 2
        assert service.calls == []
        assert keys_of(service) == [2]


@pytest.mark.usefixtures("twins_pass")
async def test_a_key_in_doubt_in_another_project(service: Service, tmp_path: Path) -> None:
    """That a key may have been made in a project which is another's now says nothing of one's own."""
    service.faults += [
        Fault("projectapikey.POST", error=lambda: NoReplyError("cut"), applies=True),
        Fault("projectapikey.GET", code="AUTHORISATION_ERROR", left=99),
    ]
    old, new = project(key="old", api_keys=[KEY]), project(key="new")
    assert said(await run(service, [old], tmp_path / "j")) == ["in_doubt"]
    await run(service, [new], tmp_path / "j")
    assert said(await run(service, [new, old], tmp_path / "j", existing="create")) == ["unchanged", "created"]
    assert keys_of(service) == [1, 1]
    service.faults.clear()
    new = project(key="new", api_keys=[KEY])
    for _ in range(2):
        await run(service, [new, old], tmp_path / "j", existing="create")
        assert keys_of(service) == [1, 1]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.usefixtures("twins_pass")
async def test_twins_take_over_the_project_whose_keys_they_wish_for(
    service: Service, tmp_path: Path, swapped: bool
) -> None:
    """Of several that could be meant an edited entry takes one without keys that nobody would wish for then."""
    export = {"title": "export", "scopes": ["label.read"]}
    twins = [project(users=[ANN], api_keys=[KEY, export]), project(users=[BOB])]
    await run(service, twins, tmp_path / "j", existing="create")
    edited = [project(users=[BOB], api_keys=[KEY]), project(users=[ANN, BOB], api_keys=[KEY, export])]
    await run(service, edited[::-1] if swapped else edited, tmp_path / "j")
    assert sorted(keys_of(service)) == [1, 2]


# --- what is finished stays so ----------------------------------------------------------------------------------------


async def test_nothing_is_sent_again_when_a_key_has_moved(service: Service, tmp_path: Path) -> None:
    """Renaming something sends no dataset of any project once more: that a key stands for the same is known."""
    service.has_datasets("d1")
    raw = [dataset("A", key="a"), dataset("B", key="b"), dataset("C", key="c")]
    cats = project(key="cats", datasets=["@a", "d1", "@b", "@c"])
    copy = project("Dogs", key="dogs", datasets=["@a", "@b"])
    await run(service, [*raw, cats, copy], tmp_path / "j", max_batch=2)
    renamed = [{**entry, "key": f"new-{entry['key']}"} for entry in raw[:2]]
    cats = project(key="cats", datasets=["@new-a", "d1", "@new-b", "@c"])
    copy = project("Dogs", key="hounds", datasets=["@new-a", "@new-b"])
    service.calls.clear()
    await run(service, [*renamed, raw[2], cats, copy], tmp_path / "j", max_batch=2)
    assert not service.of("projectdataset.POST")
    service.calls.clear()
    assert set(said(await run(service, [*renamed, raw[2], cats, copy], tmp_path / "j"))) == {"unchanged"}
    assert service.calls == []


@pytest.mark.parametrize("known", [False, True])
async def test_an_adopted_project_is_finished(service: Service, tmp_path: Path, known: bool) -> None:
    """A project that was adopted or taken over with all its datasets is not given any of them again."""
    service.has_datasets("d1", "d2", "d3")
    wish = project(key="cats", datasets=["d1", "d2", "d3"])
    await run(service, [{**wish, "key": "old"}], tmp_path / ("j" if known else "other"))
    outcomes = await run(service, [wish], tmp_path / "j", max_batch=1)
    assert said(outcomes) == ["adopted"]
    service.calls.clear()
    assert said(await run(service, [wish], tmp_path / "j", max_batch=1)) == ["unchanged"]
    assert service.calls == []


# --- stamps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [False, True])
async def test_stamps_outlive_the_journal(service: Service, tmp_path: Path, once: bool) -> None:
    """With another journal the marks are the same, so that everything is known again."""
    manifest = [dataset("Raw", key="raw"), project(key="cats", datasets=["@raw"]), project(), project()]
    first = await run(service, manifest, tmp_path / "j", stamp=True)
    second = await run(service, stream(manifest) if once else manifest, tmp_path / "k", stamp=True)
    assert said(first) == ["created"] * 4
    assert said(second) == ["adopted"] * 4
    assert [one.hash for one in second] == [one.hash for one in first]


async def test_the_mark_of_another_entry_is_asked_about(service: Service, tmp_path: Path) -> None:
    """A thing of our title that shows the mark of no entry of this manifest is neither taken nor passed over."""
    (first,) = await run(service, [project(key="old")], tmp_path / "j", stamp=True)
    (second,) = await run(service, [project(key="new")], tmp_path / "k", stamp=True)
    assert second.status.value == "failed"
    assert second.error is not None
    assert second.error.code == "OTHER_STAMP"
    assert str(first.hash) in second.error.message
    assert 'existing="create"' in second.error.message
    assert len(service.projects) == 1
    (third,) = await run(service, [project(key="new")], tmp_path / "k", stamp=True, existing="create")
    assert third.status.value == "created"


async def test_twins_know_their_marks(service: Service, tmp_path: Path) -> None:
    """With the journal gone, one more of a title is made beside those whose marks the manifest accounts for."""
    await run(service, [project(key="a"), project(key="b")], tmp_path / "j", stamp=True)
    outcomes = await run(service, [project(key=key) for key in "cab"], tmp_path / "k", stamp=True)
    assert said(outcomes) == ["created", "adopted", "adopted"]


# --- what was undone --------------------------------------------------------------------------------------------------


def removal(of: str, *emails: str) -> Entry:
    """Users to remove from the project *of*."""
    return {"kind": "project_users", "project": of, "remove": emails}


def detach(of: str, *hashes: str) -> Entry:
    """Datasets to detach from the project *of*."""
    return {"kind": "project_datasets", "project": of, "remove": hashes}


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("own", [False, True])
async def test_added_removed_and_added_again(service: Service, tmp_path: Path, own: bool, key: str | None) -> None:
    """What a later version of the manifest has taken away is given again when it is wanted again."""
    service.has_datasets("d1")
    more: Entry = {} if key is None else {"key": key}
    plain = project(key="cats")
    wanting = (
        [project(key="cats", datasets=["d1"], users=[BOB])]
        if own
        else [plain, users("@cats", BOB["email"]) | more, attach("@cats", "d1") | ({"key": "l"} if key else {})]
    )
    taking = [plain, removal("@cats", BOB["email"]) | more, detach("@cats", "d1") | ({"key": "l"} if key else {})]
    for _ in range(2):
        await run(service, wanting, tmp_path / "j")
        (cats,) = service.projects.values()
        assert BOB["email"] in cats.users
        assert cats.datasets == ["d1"]
        service.calls.clear()
        assert set(said(await run(service, wanting, tmp_path / "j"))) == {"unchanged"}
        assert service.calls == []
        outcomes = await run(service, taking, tmp_path / "j")
        assert said(outcomes) == ["unchanged", "updated", "updated"]
        assert (BOB["email"] in cats.users, cats.datasets) == (False, [])


async def test_a_removal_that_was_cut_off_is_not_forgotten(service: Service, tmp_path: Path) -> None:
    """Before a removal is sent, it is written down that what was added may be there no more."""
    service.has_datasets("d1")
    wanting = [project(key="cats", datasets=["d1"])]
    await run(service, wanting, tmp_path / "j")
    fault = Fault("projectdataset.DELETE", error=lambda: NoReplyError("cut"), applies=True, left=99)
    service.faults.append(fault)
    outcomes = await run(service, [project(key="cats"), detach("@cats", "d1")], tmp_path / "j")
    assert said(outcomes)[0] == "unchanged"
    service.faults.clear()
    await run(service, wanting, tmp_path / "j")
    (cats,) = service.projects.values()
    assert cats.datasets == ["d1"]


async def test_a_keyed_entry_whose_project_changes(service: Service, tmp_path: Path) -> None:
    """A membership that is done in one project is not done in another."""
    service.has_datasets("d1")
    both = [project(key="a"), project("Dogs", key="b")]

    def wishes(of: str) -> list[Entry]:
        return [*both, users(of, BOB["email"]) | {"key": "u"}, attach(of, "d1") | {"key": "d"}]

    await run(service, wishes("@a"), tmp_path / "j")
    assert said(await run(service, wishes("@b"), tmp_path / "j"))[2:] == ["updated", "updated"]
    assert all(BOB["email"] in one.users and one.datasets == ["d1"] for one in service.projects.values())


async def test_another_role_is_another_wish(service: Service, tmp_path: Path) -> None:
    """What was done in one role is not done in another, and after that refusal not in the first one either."""
    plain = project(key="cats")
    await run(service, [plain, users("@cats", "ann@example.com")], tmp_path / "j")
    outcomes = await run(service, [plain, users("@cats", "ann@example.com", role="reviewer")], tmp_path / "j")
    assert said(outcomes) == ["unchanged", "failed"]
    outcomes = await run(service, [plain, users("@cats", "Ann@example.com")], tmp_path / "j")
    assert said(outcomes) == ["unchanged", "updated"]


@pytest.mark.parametrize("existing", [Existing.ADOPT, Existing.CREATE])
async def test_plan_announces_what_a_run_does(tmp_path: Path, existing: Existing) -> None:
    """Of an edited entry plan and run say the same: it is adopted."""
    async with open_world() as world:
        await world.run([project(users=[ANN])], tmp_path / "j")
        edited = [project(key="cats", users=[ANN])]
        actions = await world.actions(edited, existing, journal=tmp_path / "j")
        outcomes = await world.run(edited, tmp_path / "j", existing=existing)
    assert [action.verb.value for action in actions if action.what == "project"] == ["adopt"]
    assert words(outcomes) == {"cats": "adopted"}


async def test_plan_finds_what_an_entry_that_was_edited_left_in_doubt(tmp_path: Path) -> None:
    """What is in doubt of an entry before its edit is found by plan and run alike, and is no other's."""
    lost = FaultRule(query="project.POST", fault=Cause.DROP_AFTER_COMMIT, times=1)
    unseen = FaultRule(query="projectwithuserrole.GET", fault=Cause.ERROR, code="AUTHORISATION_ERROR")
    async with open_world(lost, unseen) as world:
        await world.run([project(users=[ANN])], tmp_path / "j", settle_s=0.0)
        world.emulator.set_faults(())
        edited = [project(key="cats", users=[ANN])]
        actions = await world.actions(edited, Existing.CREATE, journal=tmp_path / "j")
        outcomes = await world.run(edited, tmp_path / "j", existing=Existing.CREATE)
    assert [(action.verb.value, action.hash) for action in actions if action.what == "project"] == [
        ("settle", outcomes["cats"].hash)
    ]
    assert words(outcomes) == {"cats": "adopted"}


async def test_stamps_of_older_journals_are_known(service: Service, tmp_path: Path) -> None:
    """A mark that is wholly the journal's, as it was once, is one's own while that journal is there."""
    entry = ProjectEntry(title="Cats", key="cats")
    identity = Namer().identity(entry)
    (step,) = entry.steps(identity)
    async with open_session(service) as session:
        async with Journal(tmp_path / "j", Identity(session.settings.domain, session.identity)) as journal:
            mark = hashlib.blake2b(step.identity, key=journal.stamp_key, digest_size=6).hexdigest()
        before = await session.create_project("Cats", description=f"[encord-async {mark}]")
    (outcome,) = await run(service, [entry], tmp_path / "j", stamp=True)
    assert (outcome.status.value, outcome.hash) == ("adopted", before)
    (outcome,) = await run(service, [entry], tmp_path / "k", stamp=True)
    assert outcome.error is not None
    assert outcome.error.code == "OTHER_STAMP"


@given(heads=st.lists(st.binary(min_size=16, max_size=16), max_size=30), others=st.lists(st.binary(min_size=16)))
def test_a_roll_knows_whom_it_holds(heads: list[bytes], others: list[bytes]) -> None:
    """However many there are, a roll knows its entries and no others, and their marks."""
    roll, entry = Roll(), ProjectEntry(title="Cats")
    filler = [number.to_bytes(16, "little") for number in range(1, 9000)] if len(heads) > 20 else []
    for identity in (*heads, *filler):
        roll.add(entry, identity)
    assert all(identity in roll for identity in (*heads, *filler))
    known = {identity[:8] for identity in (*heads, *filler)}
    assert [identity in roll for identity in others] == [identity[:8] in known for identity in others]
    assert all(roll.has_mark(entry_mark("d", identity) + "0000", "d") for identity in heads)
