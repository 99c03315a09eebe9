"""``moved`` gives what a key has made to the key that the entry has today, in the journal, once, before all else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome
from encord_async.errors import ManifestError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import State
from encord_async.manifest.checker import Checker
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.reading import read_entry
from encord_async.plan import Action, Verb
from tests.crash.conftest import Service
from tests.provision.conftest import Entry, attach, dataset, project, users
from tests.provision.test_plan_is_apply import Account
from tests.provision.world import PROGRAMME, World, open_world, words
from tests.thorough import stride

pytestmark = pytest.mark.anyio

RENAMES = {
    "cats": "lions",
    "raw": "savannah",
    "annotators": "rangers",
    "felines": "panthera",
    "ann": "anna",
    "copy": "two",
}
EXTRA: list[Entry] = [
    {"kind": "project_api_key", "key": "ci", "project": "@cats", "title": "ci", "scopes": ["label.read"]},
    {"kind": "project_api_key", "project": "@cats", "title": "bare", "scopes": ["label.read"]},
    {"kind": "project_users", "key": "staff", "project": "@cats", "emails": ["bob@example.com"], "role": "reviewer"},
]


def renamed(manifest: list[Entry], renames: dict[str, str], *, moved: bool = True) -> list[Entry]:
    """The same with other keys, in the entries and wherever they are referred to; which is said with *moved*."""
    text = json.dumps(manifest)
    for old, new in renames.items():
        text = text.replace(f'"@{old}"', f'"@{new}"')
    found: list[Entry] = json.loads(text)
    for entry in found:
        old = entry.get("key", "")
        if old in renames:
            entry["key"] = renames[old]
            entry.update({"moved": old} if moved else {})
    return found


async def planned(world: World, manifest: Any, journal: Path) -> list[Action]:
    """What a run would do."""
    actions: list[Action] = []
    await world.session.plan(manifest, journal=journal, on_action=actions.append)
    return actions


async def keys(journal: Path) -> set[str]:
    """The keys that a journal knows."""
    async with Journal(journal, None) as opened:
        return {record.key async for record in opened.every() if record.key is not None}


async def outcomes_of(world: World, manifest: Any, journal: Path) -> list[Outcome]:
    """How the entries end."""
    return await world.session.provision(manifest, journal=journal, settle_s=0.2).results()


async def test_all_that_can_have_a_key_moves_at_once(tmp_path: Path) -> None:
    """Everything gets another key in one review: plan says so, apply sends nothing, and both say nothing afterwards."""
    before, journal = PROGRAMME + EXTRA, tmp_path / "journal"
    after = renamed(before, {**RENAMES, "ci": "build", "staff": "crew"})
    async with open_world() as world:
        await world.run(before, journal)
        log = len(world.emulator.log())
        moves = [action for action in await planned(world, after, journal) if action.verb is Verb.MOVE]
        made = {*RENAMES, "ci"} - {"ann"}
        assert {(action.items[0], action.to) for action in moves} >= {
            (f"@{old}", f"@{ {**RENAMES, 'ci': 'build'}[old] }") for old in made
        }
        run = world.session.provision(after, journal=journal, settle_s=0.2)
        outcomes = await run.results()
        assert {outcome.status.value for outcome in outcomes} == {"unchanged"}
        assert {one.new for one in run.register.moved} == {action.to[1:] for action in moves if action.to}
        assert [line["query"] for line in world.emulator.log()[log:] if "POST" in line["query"]] == []
        assert await planned(world, after, journal) == []
        assert not await keys(journal) & set(RENAMES)
        # Who has moved once may say so for ever, or no more.
        for again in (after, renamed(before, {**RENAMES, "ci": "build", "staff": "crew"}, moved=False)):
            assert {one.status.value for one in await outcomes_of(world, again, journal)} == {"unchanged"}
        assert (await world.session.verify(after, journal=journal)).differences == 0


async def test_it_is_done_before_anything_else(tmp_path: Path) -> None:
    """A run that is left at once has moved the key, and sent nothing."""
    journal = tmp_path / "journal"
    async with open_world() as world:
        await world.run([project(key="cats")], journal)
        log = len(world.emulator.log())
        async with world.session.provision([project(key="lions", moved="cats")], journal=journal):
            pass
        assert (await keys(journal), len(world.emulator.log())) == ({"lions"}, log)


async def test_verify_knows_the_new_key_before_apply_does(tmp_path: Path) -> None:
    """What moves with the next run is found under its new key already, and the journal stays as it is."""
    journal = tmp_path / "journal"
    async with open_world() as world:
        await world.run([dataset(key="raw"), project(key="cats", datasets=["@raw"])], journal)
        after = [dataset(key="rare", moved="raw"), project(key="lions", moved="cats", datasets=["@rare"])]
        assert (await world.session.verify(after, journal=journal)).differences == 0
        assert await keys(journal) == {"raw", "cats"}


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        ("organisation_user", {"role": "admin"}, "CHANGED"),
        ("organisation_user", {"member_type": "external"}, "CHANGED"),
        ("project", {"title": "Tigers"}, "CHANGED"),
        ("project", {"ontology": "@canines"}, "CHANGED"),
        ("project", {"users": [{"email": "bob@example.com", "role": "reviewer"}]}, "ROLE_KEPT"),
        ("project", {"tags": ["wave-2"]}, None),
    ],
)
async def test_what_is_edited_in_the_same_go_is_told(
    tmp_path: Path, kind: str, change: dict[str, object], code: str | None
) -> None:
    """An edit beside a move ends as it does without one, in plan and run; what is there is not called unchanged."""
    journal = tmp_path / "j"
    entries: list[Entry] = [
        {"kind": "ontology", "key": "felines", "title": "Felines"},
        {"kind": "ontology", "key": "canines", "title": "Canines"},
        {"kind": "organisation_user", "key": "eve", "email": "eve@example.com", "role": "member"},
        project("Cats", key="cats", ontology="@felines", users=[{"email": "bob@example.com", "role": "annotator"}]),
    ]
    async with open_world() as world:
        await world.session.provision(entries, journal=journal, settle_s=0.2).results()
        place = [one["kind"] for one in entries].index(kind)
        entries[place] |= {"key": "new", "moved": entries[place]["key"]} | change
        said = [one for one in await planned(world, entries, journal) if one.verb is not Verb.MOVE]
        assert {one.code for one in said} == {code}
        for _ in range(2):
            outcomes = await world.session.provision(entries, journal=journal, settle_s=0.2).results()
            failed = [one.error for one in outcomes if one.error is not None]
            assert [one.code for one in failed] == ([] if code is None else [code])


async def test_both_keys_have_something(tmp_path: Path) -> None:
    """Where the journal has something of either key, that is a bad entry, and nothing is sent or written."""
    journal = tmp_path / "journal"
    async with open_world() as world:
        await world.run([project(key="cats"), project("Lions", key="lions")], journal)
        log = len(world.emulator.log())
        for say in (planned, outcomes_of):
            with pytest.raises(
                ManifestError, match="entry 1: moved: the journal has something of both 'cats' and 'lions'"
            ):
                await say(world, [project("Lions", key="lions", moved="cats")], journal)
        assert (len(world.emulator.log()), await keys(journal)) == (log, {"cats", "lions"})


async def test_what_failed_under_the_new_key_gives_way(tmp_path: Path) -> None:
    """A try under the new key that came to nothing does not stand in the way of what the old one has made."""
    journal = tmp_path / "journal"
    async with open_world() as world:
        await world.run([project(key="cats"), attach("@cats", "no-such-dataset")], journal)
        bad = project("Other", key="lions", ontology="11111111-1111-1111-1111-111111111111")
        assert words(await world.run([bad], journal)) == {"lions": "failed"}
        assert words(await world.run([project(key="lions", moved="cats")], journal)) == {"lions": "unchanged"}


async def test_in_doubt(tmp_path: Path) -> None:
    """What is in doubt does not move before it is settled; that is said, and nothing is sent."""
    journal = tmp_path / "journal"
    async with open_world() as world:
        after = [project(key="lions", moved="cats")]
        await world.run([project(key="cats")], journal)
        async with Journal(journal, Identity(world.session.settings.domain, world.session.identity)) as opened:
            (record,) = [one async for one in opened.every() if one.key == "cats"]
            await opened.write([replace(record, state=State.IN_DOUBT, hash=None)])
        with pytest.raises(ManifestError, match="in doubt what came of 'cats'; see that with 'encord-async settle'"):
            await outcomes_of(world, after, journal)


@pytest.mark.parametrize("read", [iter, None])
async def test_a_stream_cannot_move(read: Any) -> None:
    """Entries that are read once are provisioned as they come, so a key that has moved is a bad entry there."""
    manifest = [project(key="lions", moved="cats")]

    def generated() -> Iterator[Entry]:
        yield from manifest

    async with open_world() as world:
        entries = generated() if read is None else read(manifest)
        with pytest.raises(
            ManifestError, match="moved: cannot be done while entries come in; give the manifest as a file"
        ):
            await world.session.provision(entries, journal=None).results()
        assert world.made() == {}


def problems(*entries: Entry) -> list[str]:
    """What is wrong with a manifest."""
    checker, found = Checker(), list[Problem]()
    for number, raw in enumerate(entries, 1):
        place = Place("m", number, number)
        entry = read_entry(raw, place)
        assert not isinstance(entry, tuple)
        found += checker.add(PlacedEntry(place, entry))
    return [str(problem) for problem in (*found, *checker.finish())]


LIONS = project("Lions", key="lions", moved="cats")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([LIONS, users("@lions", "ann@example.com")], []),
        ([project("Lions", moved="cats")], ["m:1: moved: says which key the entry had, and it has none now"]),
        ([project("Lions", key="cats", moved="cats")], ["m:1: moved: 'cats' is its key still; leave it out"]),
        ([project(key="cats"), LIONS], ["m:2: moved: 'cats' is the key of m:1 still"]),
        ([LIONS, project(key="cats")], ["m:2: key: 'cats' has moved to 'lions' at m:1"]),
        ([LIONS, project("T", key="tigers", moved="cats")], ["m:2: moved: 'cats' has moved to 'lions' at m:1 already"]),
        ([LIONS, users("@cats", "a@example.com")], ["m:2: project: '@cats' refers to nothing", "is 'lions' now"]),
        ([users("@cats", "a@example.com"), LIONS], ["m:1: project: '@cats' refers to nothing", "is 'lions' now"]),
    ],
)
def test_what_is_wrong_in_the_manifest_itself(entries: list[Entry], said: list[str]) -> None:
    """A key moves once, to one entry, and is nobody's afterwards; whoever still refers to it is told the new one."""
    found = problems(*entries)
    assert len(found) == bool(said)
    assert all(part in found[0] for part in said)


async def test_a_run_that_dies_while_keys_move(tmp_path: Path) -> None:
    """Wherever it dies, all keys have moved or none has, and the next run finds all that was made and makes nothing."""
    before, options = (
        [dataset("Savannah", key="raw"), project("Lions", key="cats", datasets=["@raw"]), *EXTRA],
        Options(),
    )
    after = renamed(before, {"cats": "lions", "raw": "savannah", "ci": "build", "staff": "crew"})
    whole: list[set[str]] = []
    for dies_at in range(1, 60, stride(3)):
        service, journal = Service(), tmp_path / f"{dies_at}.db"
        try:
            account = Account(service, tmp_path)
            (await account.apply(before, journal.name, options)).assert_all_satisfied(len(before))
            then, made = await keys(journal), service.made()
            life = await account.apply(after, journal.name, options, dies_at)
            whole.append(await keys(journal))
            again = await account.apply(after, journal.name, options)
            again.assert_all_satisfied(len(after))
            assert set(again.statuses) == {"unchanged"}
            assert service.made() == made
            assert whole[-1] in (then, await keys(journal))
        finally:
            service.close()
        if not life.died:
            assert whole[0] == then != whole[-1]
            return
    pytest.fail("it never got through")
