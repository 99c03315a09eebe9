"""What a run changes of what is there, where it is asked to: roles, ontologies, what is too much, what has gone."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.engine.options import Options
from encord_async.engine.outcome import Status
from encord_async.errors import UsageError
from encord_async.plan import Action, Verb
from encord_async.protocol.catalogue import ProjectUserRole
from tests.cli.conftest import write_manifest
from tests.crash.conftest import Service
from tests.provision.conftest import Entry
from tests.provision.test_plan_is_apply import Account, ontologies, pairs, roles
from tests.provision.world import ME, World
from tests.thorough import stride

pytestmark = pytest.mark.usefixtures("empty_folder")

ANN = "ann@example.com"


def cats(role: str, **more: Any) -> list[Entry]:
    """A project and a dataset, and who is in them."""
    return [
        {"kind": "project", "key": "cats", "title": "Cats", "users": [{"email": ANN, "role": role}]},
        {"kind": "dataset", "key": "raw", "title": "Raw", **more},
    ]


def held(world: World) -> dict[str, str]:
    """The role of each user in the one project."""
    [project] = world.emulator.state()["projects"]
    return {user["email"]: ProjectUserRole(user["role"]).name.lower() for user in project["users"]}


def protect(pattern: str) -> None:
    """Let a team's policy say that nothing is taken from what is called so."""
    Path("encord-async.toml").write_text(f'protected_keys = ["{pattern}"]\n')


async def planned(world: World, manifest: Path, **options: Any) -> list[Action]:
    """What `provision` would do with *manifest*."""
    found: list[Action] = []
    await world.session.plan(manifest, on_action=found.append, **options)
    return found


async def apply(world: World, manifest: Path, **options: Any) -> list[str]:
    """How the entries of *manifest* ended."""
    return [one.status.value for one in await world.session.provision(manifest, settle_s=0.2, **options).results()]


async def test_a_role_is_replaced(world: World) -> None:
    """With `replace_roles` who holds another role is taken out and added again, as the plan says, and all is clean."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *cats("annotator", users=[{"email": ANN, "role": "user"}]))
    await apply(world, manifest)
    write_manifest(manifest, *cats("reviewer", users=[{"email": ANN, "role": "admin"}]))
    [one, other] = await planned(world, manifest, replace_roles=True)
    assert (one.verb, one.what, one.items, one.was, one.role) == (Verb.CHANGE, "user", (ANN,), "annotator", "reviewer")
    assert (other.verb, other.what, other.was, other.role) == (Verb.CHANGE, "dataset_user", "user", "admin")
    assert await apply(world, manifest, replace_roles=True) == ["updated", "updated"]
    assert held(world)[ANN] == "reviewer"
    assert (await world.session.verify(manifest)).differences == 0
    assert await planned(world, manifest, replace_roles=True) == []


async def test_a_role_stays_unless_that_is_asked_for(world: World) -> None:
    """Without it the old role stays, and plan, run and verify say why in the same words, and what would help."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *cats("annotator"))
    await apply(world, manifest)
    write_manifest(manifest, *cats("reviewer"))
    why = (
        "this API cannot change the role of a member; change it in Encord's app, or use replace_roles=True to remove "
        "and add them"
    )
    [refused] = await planned(world, manifest)
    assert refused.verb is Verb.REFUSE
    [failed, _] = await world.session.provision(manifest).results()
    assert failed.error is not None
    assert refused.reason == failed.error.message
    assert failed.error.message.endswith(f"reviewer is wanted; {why}")
    differences: list[Any] = []
    await world.session.verify(manifest, on_difference=differences.append)
    assert [one.reason for one in differences] == [why]
    assert held(world)[ANN] == "annotator"


async def test_an_admin_stays(world: World) -> None:
    """Whoever is Admin may be the account itself, which must not take itself out."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *cats("annotator"))
    await apply(world, manifest)
    entries = cats("annotator")
    entries[0]["users"].append({"email": ME, "role": "viewer"})
    write_manifest(manifest, *entries)
    [refused] = await planned(world, manifest, replace_roles=True)
    assert refused.verb is Verb.REFUSE
    assert "may be the account itself" in (refused.reason or "")
    assert await apply(world, manifest, replace_roles=True) == ["failed", "unchanged"]
    assert held(world)[ME] == "admin"


@pytest.mark.parametrize("pattern", ["cats", "*"])
async def test_what_is_protected_stays(world: World, pattern: str) -> None:
    """Nobody is taken out of what a team's policy protects, not even to be added again."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *cats("annotator"))
    await apply(world, manifest)
    protect(pattern)
    write_manifest(manifest, *cats("reviewer"))
    [refused] = await planned(world, manifest, replace_roles=True)
    assert (refused.verb, "it is protected; see protected_keys" in (refused.reason or "")) == (Verb.REFUSE, True)
    assert await apply(world, manifest, replace_roles=True) == ["failed", "unchanged"]
    assert held(world)[ANN] == "annotator"


async def test_what_is_protected_stays_by_its_hash(world: World) -> None:
    """Who is in what a policy protects by its key stays there, too, where an entry names it by its hash."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *cats("annotator"))
    await apply(world, manifest)
    protect("cats")
    [project] = world.emulator.state()["projects"]
    wanted: list[Entry] = [{"emails": [ANN], "role": "reviewer"}, {"remove": [ANN]}]
    for wish in wanted:
        about = {"kind": "project_users", "project": project["project_hash"], **wish}
        write_manifest(manifest, {**cats("annotator")[0], "users": []}, about)
        [refused] = await planned(world, manifest, replace_roles=True)
        assert (refused.verb, "see protected_keys in" in (refused.reason or "")) == (Verb.REFUSE, True)
        assert await apply(world, manifest, replace_roles=True) == ["unchanged", "failed"]
    assert held(world)[ANN] == "annotator"


async def test_a_kept_plan_says_whose_role_is_replaced(world: World) -> None:
    """A plan that was kept knows the option; who has come meanwhile in another role keeps that."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *cats("annotator"))
    await apply(world, manifest)
    write_manifest(manifest, *cats("reviewer"))
    await world.session.plan(manifest, replace_roles=True, out="p.plan")
    with pytest.raises(UsageError, match="made with replace_roles=True"):
        await apply(world, manifest, plan="p.plan")
    assert await apply(world, manifest, plan="p.plan", replace_roles=True) == ["updated", "unchanged"]
    assert held(world)[ANN] == "reviewer"
    [project] = world.emulator.state()["projects"]
    await world.session.project(project["project_hash"]).remove_users([ANN])
    write_manifest(manifest, *cats("annotator"))
    await world.session.plan(manifest, replace_roles=True, out="p.plan")
    await world.session.project(project["project_hash"]).add_users([ANN], role=ProjectUserRole.VIEWER)
    [failed, _] = await world.session.provision(manifest, replace_roles=True, plan="p.plan").results()
    assert "is not in the plan" in str(failed.error)
    assert held(world)[ANN] == "viewer"


async def test_a_run_that_dies_goes_on(tmp_path: Path) -> None:
    """Wherever a run dies that replaces a role, the next one gives everybody the role that is wanted."""
    for dies_at in range(1, 60, stride(3)):
        service = Service()
        try:
            account, options = Account(service, tmp_path), Options(settle_s=0.02, replace_roles=True)
            await account.apply(cats("annotator"), f"{dies_at}.db", options)
            life = await account.apply(cats("reviewer"), f"{dies_at}.db", options, dies_at)
            again = await account.apply(cats("reviewer"), f"{dies_at}.db", options)
            again.assert_all_satisfied(2)
            [role] = [role for (_, _, email), role in roles(service).items() if email == ANN]
            assert role == 2
        finally:
            service.close()
        if not life.died:
            assert dies_at > 5
            return
    pytest.fail("it never got through")


# --- what is too much ------------------------------------------------------------------------------------------------

BOB = "bob@example.com"


def staffed(*emails: str, datasets: tuple[str, ...] = ()) -> list[Entry]:
    """A project with these annotators and datasets, and two datasets."""
    users = [{"email": email, "role": "annotator"} for email in emails]
    return [
        {"kind": "project", "key": "cats", "title": "Cats", "users": users, "datasets": list(datasets)},
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "dataset", "key": "more", "title": "More"},
    ]


async def test_what_no_entry_wants_is_pruned(world: World) -> None:
    """With `prune` users and datasets that were taken off the manifest go, as the plan says, and can come back."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, BOB, datasets=("@raw", "@more")))
    await apply(world, manifest)
    write_manifest(manifest, *staffed(ANN, datasets=("@raw",)))
    assert await planned(world, manifest) == []
    actions = await planned(world, manifest, prune=True)
    [project] = world.emulator.state()["projects"]
    more = next(one["dataset_hash"] for one in world.emulator.state()["datasets"] if one["title"] == "More")
    assert {(one.verb, one.what, one.items, one.project) for one in actions} == {
        (Verb.REMOVE, "user", (BOB,), project["project_hash"]),
        (Verb.REMOVE, "dataset", (more,), project["project_hash"]),
    }
    run = world.session.provision(manifest, prune=True)
    assert sorted(one.status.value for one in await run.results()) == ["unchanged"] * 3 + ["updated"] * 2
    assert run.summary.as_json()["entries"] == run.summary.count(Status.UNCHANGED) == 3
    assert (run.summary.removals, run.summary.as_json()["removals"]) == (2, {"updated": 2})
    far = run.progress()
    assert (far.ended, far.total, far.removals_ended, far.removals) == (3, 3, 2, 2)
    assert (await world.session.verify(manifest)).differences == 0
    assert await planned(world, manifest, prune=True) == []
    write_manifest(manifest, *staffed(ANN, BOB, datasets=("@raw", "@more")))
    assert await apply(world, manifest) == ["updated", "unchanged", "unchanged"]
    assert (await world.session.verify(manifest)).differences == 0


async def test_a_removal_that_fails_is_no_entry(world: World) -> None:
    """A removal that is refused is counted by itself, with a number that no entry has, of a part of a manifest too."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, BOB), {"kind": "project", "key": "dogs", "title": "Dogs"})
    await apply(world, manifest)
    write_manifest(manifest, {"kind": "project", "key": "dogs", "title": "Dogs"}, *staffed(ANN))
    query = "v2/projects/{project}/users/bulk-delete.POST"
    world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code="AUTHORISATION_ERROR")])
    run = world.session.provision(manifest, only=["cats"], prune=True)
    outcomes = [(one.number, one.status) for one in await run.results()]
    assert outcomes == [(2, Status.UNCHANGED), (5, Status.FAILED)]
    summary = run.summary
    assert (summary.entries, summary.by_status) == (1, {Status.UNCHANGED: 1})
    assert (summary.removals, summary.removals_by_status) == (1, {Status.FAILED: 1})
    assert (run.progress().failed, run.progress().ended) == (1, 1)


async def test_what_has_gone_is_retired(world: World) -> None:
    """With `retire` what the manifest no longer has is left by everybody but its Admin, and archived; it can return."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, datasets=("@raw",)))
    await apply(world, manifest)
    write_manifest(manifest, *staffed(ANN)[1:])
    actions = await planned(world, manifest, retire=True)
    assert sorted((one.verb.value, one.what) for one in actions) == [
        ("change", "status"),
        ("remove", "dataset"),
        ("remove", "user"),
    ]
    assert sorted(await apply(world, manifest, retire=True)) == ["unchanged"] * 2 + ["updated"] * 3
    [project] = world.emulator.state()["projects"]
    assert (list(held(world)), project["datasets"], project["status"]) == ([ME], [], "archived")
    assert await planned(world, manifest, retire=True) == []
    write_manifest(manifest, *staffed(ANN, datasets=("@raw",)))
    assert await apply(world, manifest) == ["updated", "unchanged", "unchanged"]
    assert (await world.session.verify(manifest)).differences == 0
    assert len(world.emulator.state()["projects"]) == 1


@pytest.mark.parametrize("pattern", ["cats", "*"])
async def test_nothing_is_taken_from_what_is_protected(world: World, pattern: str) -> None:
    """Neither `prune` nor `retire` takes anything from what a policy protects, and both plan and run say what stays."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, BOB, datasets=("@raw",)))
    await apply(world, manifest)
    protect(pattern)
    for entries in (staffed(ANN), staffed()[1:]):
        write_manifest(manifest, *entries)
        before = world.emulator.state()
        forecast = await world.session.plan(manifest, prune=True, retire=True)
        assert not forecast.changes
        run = world.session.provision(manifest, prune=True, retire=True)
        assert {one.status.value for one in await run.results()} == {"unchanged"}
        assert world.emulator.state() == before
        assert forecast.warnings == run.warnings
        assert f"{BOB} stays in Cats; it is protected; see protected_keys in" in "\n".join(map(str, run.warnings))


async def test_what_is_read_once_is_not_pruned(world: World) -> None:
    """What is too much is known when a manifest was read twice, which a stream cannot be."""
    for option in ("prune", "retire"):
        changes: Any = {option: True}
        with pytest.raises(UsageError, match=f"{option}=True reads the manifest a second time"):
            world.session.provision(iter(staffed()), journal=None, **changes)
        with pytest.raises(UsageError, match="leave out skip_invalid=True"):
            world.session.provision(staffed(), journal=None, skip_invalid=True, **changes)
    with pytest.raises(UsageError, match="retire=True needs a journal"):
        world.session.provision(staffed(), journal=None, retire=True)


async def test_what_is_not_chosen_is_neither_pruned_nor_retired(world: World) -> None:
    """With a selection only what is chosen loses what no entry wants; what is gone may be another's by a new key."""
    manifest = Path("m.jsonl")
    two = [{**cats("annotator")[0], "key": key, "title": key} for key in ("one", "two")]
    write_manifest(manifest, *two)
    await apply(world, manifest)
    write_manifest(manifest, *({**entry, "users": []} for entry in two))
    [removal] = await planned(world, manifest, prune=True, only="one")
    assert (removal.verb, removal.items) == (Verb.REMOVE, (ANN,))
    await apply(world, manifest, prune=True, only="one")
    users = {one["title"]: [user["email"] for user in one["users"]] for one in world.emulator.state()["projects"]}
    assert users == {"one": [ME], "two": [ME, ANN]}
    refused = 'retire=True is about the whole manifest: leave out only="one" and exclude="two"'
    with pytest.raises(UsageError, match=re.escape(refused)):
        world.session.provision(manifest, retire=True, only="one", exclude="two")


async def test_a_manifest_that_changes_meanwhile_takes_nothing(world: World) -> None:
    """Who saves the manifest half-way while it is provisioned loses nobody."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, BOB))
    await apply(world, manifest)
    async with world.session.provision(manifest, prune=True) as run:
        write_manifest(manifest, *staffed(ANN))
        with pytest.raises(UsageError, match="was changed while it was read"):
            async for _ in run:
                pass
    assert set(held(world)) == {ME, ANN, BOB}


async def test_a_manifest_that_changes_meanwhile_retires_nothing(world: World) -> None:
    """An entry that comes back while the manifest is provisioned keeps what it has made."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN))
    await apply(world, manifest)
    write_manifest(manifest, *staffed(ANN)[1:])
    async with world.session.provision(manifest, retire=True) as run:
        write_manifest(manifest, *staffed(ANN))
        with pytest.raises(UsageError, match="was changed while it was read"):
            async for _ in run:
                pass
    assert set(held(world)) == {ME, ANN}


async def test_what_has_another_key_now_is_not_retired(world: World) -> None:
    """An entry whose key has changed and that does not come about yet loses nobody, and both plan and run say why."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, datasets=("@raw",)))
    await apply(world, manifest)
    before = world.emulator.state()
    renamed = staffed(ANN, datasets=("@raw", "@more"))
    write_manifest(manifest, {**renamed[0], "key": "kitties"}, *renamed[1:])
    refused = FaultRule(query="projectdataset.POST", fault=Fault.ERROR, code="AUTHORISATION_ERROR")
    world.emulator.set_faults([refused])
    run = world.session.provision(manifest, retire=True)
    assert [one.status.value for one in await run.results()] == ["failed", "unchanged", "unchanged"]
    assert world.emulator.state() == before
    assert "<account>: nothing is retired; 1 entry has not come about" in "\n".join(map(str, run.warnings))
    world.emulator.set_faults([])
    assert await apply(world, manifest, retire=True) == ["adopted", "unchanged", "unchanged"]
    assert set(held(world)) == {ME, ANN}


async def test_what_an_entry_is_still_about_is_not_retired(world: World) -> None:
    """Who is wanted in a thing by an entry that names its hash stays in it, though the thing's own entry has gone."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN))
    await apply(world, manifest)
    [project] = world.emulator.state()["projects"]
    about = {"kind": "project_users", "project": project["project_hash"], "emails": [BOB], "role": "annotator"}
    write_manifest(manifest, *staffed(ANN)[1:], about)
    run = world.session.provision(manifest, retire=True)
    assert [one.status.value for one in await run.results()] == ["unchanged", "unchanged", "updated"]
    assert set(held(world)) == {ME, ANN, BOB}
    [kept] = [str(one) for one in run.warnings if "is not retired" in str(one)]
    assert kept.startswith("m.jsonl:3: Cats (")
    assert await apply(world, manifest, retire=True) == ["unchanged"] * 3


async def test_a_kept_plan_says_what_is_taken(world: World) -> None:
    """Who has come since a plan was kept is not taken out by a run of that plan."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *staffed(ANN, BOB))
    await apply(world, manifest)
    write_manifest(manifest, *staffed(ANN))
    await world.session.plan(manifest, prune=True, out="p.plan")
    [project] = world.emulator.state()["projects"]
    await world.session.project(project["project_hash"]).add_users(["eve@example.com"], role=ProjectUserRole.VIEWER)
    await apply(world, manifest, plan="p.plan", prune=True)
    assert set(held(world)) == {ME, ANN, "eve@example.com"}


@pytest.mark.parametrize("option", ["prune", "retire"])
async def test_taking_goes_on_after_a_death(tmp_path: Path, option: str) -> None:
    """Wherever a run dies that takes away what is too much, the next one takes the rest, and what goes can return."""
    changes: Any = {option: True}
    after = staffed(ANN) if option == "prune" else staffed()[1:]
    for dies_at in range(1, 80, stride(7)):
        service = Service()
        try:
            account, options = Account(service, tmp_path), Options(settle_s=0.02, **changes)
            journal = f"{dies_at}.db"
            await account.apply(staffed(ANN, BOB, datasets=("@raw",)), journal, options)
            life = await account.apply(after, journal, options, dies_at)
            await account.apply(after, journal, options)
            there = [pair for what in ("user", "dataset") for pair in pairs(service)[what]]
            assert [who for _, who in there if who != "d-old"] == ([ANN] if option == "prune" else [])
            again = await account.apply(staffed(ANN, BOB, datasets=("@raw",)), journal, options)
            again.assert_all_satisfied(3)
            assert len([who for _, who in pairs(service)["user"]]) == 2
        finally:
            service.close()
        if not life.died:
            assert dies_at > 10
            return
    pytest.fail("it never got through")


# --- ontologies ------------------------------------------------------------------------------------------------------


def drawn(*names: str, **more: Any) -> list[Entry]:
    """An ontology with these objects."""
    structure = {"objects": [{"name": name, "shape": "polygon"} for name in names], "classifications": []}
    return [{"kind": "ontology", "key": "felines", "title": "Felines", "structure": structure, **more}]


def objects(world: World) -> list[str]:
    """What the one ontology has."""
    [ontology] = world.emulator.state()["ontologies"]
    editor: Any = ontology["editor"]
    return [one["name"] for one in editor["objects"]]


@pytest.mark.parametrize("stamp", [False, True])
async def test_an_ontology_follows_its_entry(world: World, *, stamp: bool) -> None:
    """With `update_ontologies` it gets title, description and structure of its entry; plan says what is overwritten."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *drawn("Cat", "Lynx"))
    await apply(world, manifest, stamp=stamp)
    write_manifest(manifest, *drawn("Cat", "Tiger", title="Big felines", description="for all"))
    [refused] = await planned(world, manifest)
    assert refused.verb is Verb.REFUSE
    assert "which is changed only with update_ontologies=True" in (refused.reason or "")
    [change] = await planned(world, manifest, update_ontologies=True)
    assert (change.verb, change.what) == (Verb.CHANGE, "ontology")
    assert change.overwrites == (
        "title 'Felines'",
        "description ''" if not stamp else change.overwrites[1],
        "structure: objects: removes 'Lynx', adds 'Tiger'",
    )
    [before] = world.emulator.state()["ontologies"]
    assert await apply(world, manifest, update_ontologies=True) == ["updated"]
    [after] = world.emulator.state()["ontologies"]
    mark = before["description"].removeprefix("[") if stamp else ""
    assert after["description"] == ("for all" if not stamp else f"for all [{mark}")
    assert (after["title"], objects(world)) == ("Big felines", ["Cat", "Tiger"])
    assert (await world.session.verify(manifest)).differences == 0
    assert await planned(world, manifest, update_ontologies=True) == await planned(world, manifest) == []
    assert await apply(world, manifest, update_ontologies=True) == ["unchanged"]


async def test_what_somebody_else_drew_is_overwritten(world: World) -> None:
    """What was changed in the app is put back, and named before; so is what an adopted ontology has otherwise."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *drawn("Cat"))
    await apply(world, manifest)
    [made] = world.emulator.state()["ontologies"]
    other = {"objects": [{"name": "Dog", "shape": "polygon"}], "classifications": []}
    for journal in ("m.jsonl.journal", "new.journal"):
        await world.session.update_ontology(made["ontology_hash"], title="Felines", description="", editor=other)
        *_, change = await planned(world, manifest, update_ontologies=True, journal=journal)
        assert change.overwrites == ("structure: objects: removes 'Dog', adds 'Cat'",)
        await apply(world, manifest, update_ontologies=True, journal=journal)
        assert objects(world) == ["Cat"]
        assert len(world.emulator.state()["ontologies"]) == 1


async def test_an_ontology_that_cannot_be_changed_is_not_forgotten(world: World) -> None:
    """Where service, policy or a kept plan do not let it be changed the entry fails, and none is made instead."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *drawn("Cat"))
    await apply(world, manifest)
    await world.session.plan(manifest, update_ontologies=True, out="p.plan")
    [made] = world.emulator.state()["ontologies"]
    other: dict[str, Any] = {"objects": [], "classifications": []}
    await world.session.update_ontology(made["ontology_hash"], title="Felines", description="", editor=other)
    assert await apply(world, manifest, update_ontologies=True, plan="p.plan") == ["failed"]
    protect("felines")
    write_manifest(manifest, *drawn("Tiger"))
    assert [one.verb for one in await planned(world, manifest, update_ontologies=True)] == [Verb.REFUSE]
    assert await apply(world, manifest, update_ontologies=True) == ["failed"]
    protect("something else")
    query = "v2/ontologies/{ontology}.PUT"
    world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code="AUTHORISATION_ERROR", times=1)])
    assert await apply(world, manifest, update_ontologies=True) == ["failed"]
    assert await apply(world, manifest, update_ontologies=True) == ["updated"]
    assert objects(world) == ["Tiger"]
    assert len(world.emulator.state()["ontologies"]) == 1


async def test_changing_an_ontology_goes_on_after_a_death(tmp_path: Path) -> None:
    """Wherever a run dies that changes one, the next one has it as its entry says, and there is no second one."""
    for dies_at in range(1, 60, stride(3)):
        service = Service()
        try:
            account, options = Account(service, tmp_path), Options(settle_s=0.02, update_ontologies=True)
            await account.apply(drawn("Cat"), f"{dies_at}.db", options)
            life = await account.apply(drawn("Tiger", title="Big"), f"{dies_at}.db", options, dies_at)
            again = await account.apply(drawn("Tiger", title="Big"), f"{dies_at}.db", options)
            again.assert_all_satisfied(1)
            [(title, _, editor)] = [one for one in ontologies(service).values() if one[0] in {"Felines", "Big"}]
            assert (title, "Tiger" in editor) == ("Big", True)
        finally:
            service.close()
        if not life.died:
            assert dies_at > 3
            return
    pytest.fail("it never got through")


async def test_an_entry_that_is_edited_back_is_not_taken_for_done(tmp_path: Path) -> None:
    """Wherever a run dies that changes one, a later run whose entry is as before says "unchanged" only if it is so."""
    said: set[tuple[str, bool]] = set()
    for dies_at in range(1, 60, stride(3)):
        service = Service()
        try:
            account, options = Account(service, tmp_path), Options(settle_s=0.02)
            await account.apply(drawn("Cat"), f"{dies_at}.db", options)
            edits = replace(options, update_ontologies=True)
            life = await account.apply(drawn("Tiger"), f"{dies_at}.db", edits, dies_at)
            [outcome] = (await account.apply(drawn("Cat"), f"{dies_at}.db", options)).outcomes
            [is_tiger] = ["Tiger" in editor for title, _, editor in ontologies(service).values() if title == "Felines"]
            said.add((outcome.status.value, is_tiger))
            back = await account.apply(drawn("Cat"), f"{dies_at}.db", edits)
            back.assert_all_satisfied(1)
        finally:
            service.close()
        if not life.died:
            assert said == {("unchanged", False), ("failed", True)}
            return
    pytest.fail("it never got through")


async def test_what_was_changed_without_an_answer_is_looked_at(world: World) -> None:
    """An entry that is edited back after a change whose answer was lost fails as long as that is there, and says so."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *drawn("Cat"))
    await apply(world, manifest)
    write_manifest(manifest, *drawn("Tiger"))
    world.emulator.set_faults([FaultRule(query="v2/ontologies/{ontology}.PUT", fault=Fault.DROP_AFTER_COMMIT)])
    assert await apply(world, manifest, update_ontologies=True) == ["failed"]
    write_manifest(manifest, *drawn("Cat"))
    for _ in range(2):
        [refused] = await planned(world, manifest)
        [failed] = await world.session.provision(manifest).results()
        assert failed.error is not None
        assert (refused.verb, refused.reason) == (Verb.REFUSE, failed.error.message)
        assert "is changed only with update_ontologies=True" in failed.error.message
    world.emulator.set_faults([])
    assert await apply(world, manifest, update_ontologies=True) == ["updated"]
    assert objects(world) == ["Cat"]
    assert await apply(world, manifest) == ["unchanged"]


async def test_a_copy_that_is_there_is_not_taken_for_one_of_what_is_changed(world: World) -> None:
    """An ontology with another structure than what it is to be a copy of is no copy, as the plan says beforehand."""
    manifest, copy = Path("m.jsonl"), {"kind": "ontology", "key": "copy", "title": "Copy", "copy_of": "@felines"}
    write_manifest(manifest, *drawn("Cat"))
    await apply(world, manifest)
    [made] = world.emulator.state()["ontologies"]
    editor: Any = made["editor"]
    await world.session.create_ontology("Copy", editor=editor)
    write_manifest(manifest, *drawn("Tiger"), copy)
    verbs = [one.verb for one in await planned(world, manifest, update_ontologies=True)]
    assert verbs == [Verb.CHANGE, Verb.REFUSE]
    assert await apply(world, manifest, update_ontologies=True) == ["updated", "failed"]
    write_manifest(manifest, *drawn("Cat"), copy)
    verbs = [one.verb for one in await planned(world, manifest, update_ontologies=True)]
    assert verbs == [Verb.CHANGE, Verb.ADOPT]
    assert await apply(world, manifest, update_ontologies=True) == ["updated", "adopted"]
