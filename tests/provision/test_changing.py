"""What a run changes of what is there, where it is asked to: roles."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from encord_async.engine.options import Options
from encord_async.errors import UsageError
from encord_async.plan import Action, Verb
from encord_async.protocol.catalogue import ProjectUserRole
from tests.cli.conftest import write_manifest
from tests.crash.conftest import Service
from tests.provision.conftest import Entry
from tests.provision.test_plan_is_apply import Account, roles
from tests.provision.world import ME, World, open_world

ANN = "ann@example.com"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A new account."""
    async with open_world() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)


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
    for dies_at in range(1, 60):
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
