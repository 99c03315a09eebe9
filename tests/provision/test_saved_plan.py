"""A plan that was kept is what happens: nothing else is done, and a run that is another one is refused."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from encord_async.errors import UsageError
from encord_async.journal.journal import Journal
from encord_async.saved_plan import SavedPlan
from tests.provision.conftest import Entry
from tests.provision.world import World, open_world

KEY = {"title": "ci", "scopes": ["label.read"]}
MANIFEST: list[Entry] = [
    {"kind": "dataset", "key": "raw", "title": "Raw"},
    {
        "kind": "project",
        "key": "cats",
        "title": "Cats",
        "datasets": ["@raw"],
        "users": [{"email": "ann@example.com", "role": "annotator"}],
        "api_keys": [KEY],
    },
]


def keys_of(world: World) -> list[str]:
    """Titles of all API keys."""
    return [key["title"] for project in world.emulator.state()["projects"] for key in project["api_keys"]]


class Desk:
    """A manifest, a plan of it, and an account."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.manifest = folder / "m.jsonl"
        self.plan = folder / "reviewed.plan"
        self.write(MANIFEST)

    def write(self, entries: list[Entry]) -> None:
        """Put *entries* into the manifest."""
        self.manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    async def review(self, **options: Any) -> None:
        """Make a plan and keep it."""
        await self.world.session.plan(self.manifest, out=self.plan, **options)

    async def apply(self, **options: Any) -> list[tuple[str, str | None]]:
        """Apply the plan; how entries ended, and the code of their errors."""
        async with self.world.session.provision(self.manifest, plan=self.plan, settle_s=0.2, **options) as run:
            return [(one.status.value, one.error.code if one.error else None) async for one in run]


async def test_what_was_reviewed_is_what_happens(tmp_path: Path) -> None:
    """The plan is applied as it is, its file is for its owner alone, and it holds no title and no address."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        await desk.review()
        assert stat.S_IMODE(desk.plan.stat().st_mode) == 0o600
        assert not any(word in desk.plan.read_text() for word in ("Cats", "ann@example.com", "PRIVATE"))
        assert await desk.apply() == [("created", None), ("created", None)]
        assert world.made() == {"v2/datasets.POST": ["Raw"], "project.POST": ["Cats"]}
        assert keys_of(world) == ["ci"]


async def test_what_has_come_since_is_not_adopted(tmp_path: Path) -> None:
    """Somebody makes a namesake after the review: the run would adopt it, which is not in the plan, and so it fails."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        await desk.review()
        await world.session.create_project("Cats")
        assert sorted(await desk.apply()) == [("created", None), ("failed", "NOT_PLANNED")]
        assert keys_of(world) == []


async def test_what_has_gone_since_is_not_made(tmp_path: Path) -> None:
    """Another thing of that name than the one that was reviewed is not adopted either."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        first = await world.session.create_project("Cats")
        await desk.review()
        plan = SavedPlan.read(desk.plan)
        assert [one.found for one in plan.steps.values() if one.verb.value == "adopt"] == [first]
        moved = desk.plan.read_text().replace(first, "another")
        desk.plan.write_text(moved)
        assert sorted(await desk.apply()) == [("created", None), ("failed", "NOT_PLANNED")]


async def test_memberships_that_are_not_in_the_plan_are_not_given(tmp_path: Path) -> None:
    """Who was a member when that was reviewed, and is not any more, stays out."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        async with world.session.provision(desk.manifest, settle_s=0.2) as run:
            _ = [one async for one in run]
        project = next(one for one in world.emulator.state()["projects"] if one["title"] == "Cats")
        desk.write(
            [{"kind": "project_users", "project": project["project_hash"], "emails": ["ann@example.com"], "role": 1}]
        )
        await desk.review(journal=None)
        await world.session.project(project["project_hash"]).remove_users(["ann@example.com"])
        assert await desk.apply(journal=None) == [("unchanged", None)]
        (project,) = (one for one in world.emulator.state()["projects"] if one["title"] == "Cats")
        assert "ann@example.com" not in {user["email"] for user in project["users"]}


async def test_other_rows_are_another_manifest(tmp_path: Path) -> None:
    """A file that an entry names for its rows is a part of what was reviewed."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"url": "s3://bucket/1.png"}\n')
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        folder: Entry = {"kind": "folder", "key": "f", "name": "F"}
        data: Entry = {"kind": "data", "key": "d", "folder": "@f", "integration": "b", "items_file": rows.name}
        desk.write([folder, data])
        await desk.review()
        rows.write_text('{"url": "s3://bucket/2.png"}\n')
        with pytest.raises(UsageError, match="the manifest has changed since the plan was made"):
            await desk.apply()


async def test_what_the_plan_refuses_is_told_as_that(tmp_path: Path) -> None:
    """Who keeps another role was refused by the plan; nobody is sent for a new one that would say the same."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        async with world.session.provision(desk.manifest, settle_s=0.2) as run:
            _ = [one async for one in run]
        desk.write([MANIFEST[0], {**MANIFEST[1], "users": [{"email": "ann@example.com", "role": "reviewer"}]}])
        await desk.review()
        async with world.session.provision(desk.manifest, plan=desk.plan) as run:
            [error] = [one.error async for one in run if one.error is not None]
        assert error.code == "NOT_PLANNED"
        assert "the plan refuses it" in error.message
        assert "the account has changed" not in error.message


async def test_a_create_that_the_plan_refuses_is_told_as_that(tmp_path: Path) -> None:
    """What a policy refused in the plan is not said to come of a change in the account."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        (tmp_path / "encord-async.toml").write_text("[most]\nproject = 0\n")
        await desk.review()
        async with world.session.provision(desk.manifest, plan=desk.plan, settle_s=0.2) as run:
            outcomes = [one async for one in run]
        assert [str(one.error) for one in outcomes if one.error] == [
            "create project 'Cats': the plan refuses it, and nothing was sent for it; "
            "'encord-async plan' says why and what to do (NOT_PLANNED)"
        ]
        assert world.made() == {"v2/datasets.POST": ["Raw"]}


async def test_what_is_looked_at_each_time_and_not_in_the_plan_stays_done(tmp_path: Path) -> None:
    """What a plan keeps is not written down as unfinished, though other runs would look at it again."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        desk.write(
            [
                {"kind": "folder", "key": "f", "name": "Images"},
                {"kind": "dataset", "key": "d", "title": "D", "folder": "@f"},
                {"kind": "data", "key": "x", "folder": "@f", "items": [{"url": "s3://b/1.png"}]},
            ]
        )
        async with world.session.provision(desk.manifest, settle_s=0.2) as run:
            _ = [one async for one in run]
        await desk.review()
        assert await desk.apply() == [("unchanged", None)] * 3
        async with Journal(desk.manifest.with_name("m.jsonl.journal"), None) as journal:
            assert await journal.cancelled(most=9) == []


@pytest.mark.parametrize("change", ["manifest", "journal", "options", "account"])
async def test_another_run_is_refused(tmp_path: Path, change: str) -> None:
    """Where manifest, journal, options or account are not those of the plan, nothing is sent, and that is said."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        await desk.review()
        options: dict[str, Any] = {}
        if change == "manifest":
            desk.write(MANIFEST[:1])
        elif change == "journal":
            async with world.session.provision(
                [{"kind": "group", "name": "G"}], journal=f"{desk.manifest}.journal"
            ) as run:
                _ = [one async for one in run]
        elif change == "options":
            options["existing"] = "create"
        else:
            desk.plan.write_text(desk.plan.read_text().replace(world.session.identity, "another", 1))
        made = world.made()
        word = {"account": "plan is for", "options": "existing="}.get(change, change)
        with pytest.raises(UsageError, match=word):
            await desk.apply(**options)
        assert world.made() == made
        # The journal was let go of.
        async with world.session.provision(desk.manifest, settle_s=0.2) as run:
            assert {one.status.value async for one in run} <= {"created", "adopted"}


async def test_what_is_no_plan(tmp_path: Path) -> None:
    """A file that is no plan is refused, and so is a plan of what nobody could tell apart later."""
    async with open_world() as world:
        desk = Desk(world, tmp_path)
        desk.plan.write_text("{}\n")
        with pytest.raises(UsageError, match="no plan of this release"):
            await desk.apply()
        with pytest.raises(UsageError, match="for a manifest in a file"):
            await world.session.plan(MANIFEST, journal=None, out=desk.plan)
