"""The stages that a project's entry names: checked when it is made and adopted, and by verify; nothing changes them."""

import json
from pathlib import Path
from typing import Any

from encord_async.emulator import SeedStage, SeedTemplate
from encord_async.journal.journal import Journal
from encord_async.plan import Verb
from encord_async.protocol.catalogue import StageType
from encord_async.verify.compare import compare
from encord_async.verify.repair import Repairs
from encord_async.verify.wishes import gather
from tests.provision.conftest import Entry
from tests.provision.world import open_world, words

SHORT = SeedTemplate(
    title="Short",
    stages=(
        SeedStage(title="Annotate", type=StageType.ANNOTATION),
        SeedStage(title="Done, at last", type=StageType.DONE),
    ),
)
CATS: Entry = {
    "kind": "project",
    "key": "cats",
    "title": "Cats",
    "workflow_template_id": SHORT.id,
    "stages": ["Done, at last", "Annotate"],
}
OTHERS = {**CATS, "stages": ["Annotate", "Review"]}
SAID = "is there with other stages than its entry says: Annotate, Done, at last, and not Annotate, Review; no call"


async def test_the_right_stages(tmp_path: Path) -> None:
    """In any order; a template is no project, so a plan takes it for granted; what was checked is not read again."""
    async with open_world(templates=[SHORT]) as world:
        forecast = await world.session.plan([CATS])
        assert forecast.as_json() == {"create": {"project": 1}, "keep": {"stages": 1}}
        assert words(await world.run([CATS], tmp_path / "j")) == {"cats": "created"}
        requests = world.session.statistics().requests
        assert words(await world.run([CATS], tmp_path / "j")) == {"cats": "unchanged"}
        assert world.session.statistics().requests == requests
        assert not (await world.session.verify([CATS], journal=tmp_path / "j")).differences
        assert words(await world.run([CATS])) == {"cats": "adopted"}


async def test_other_stages(tmp_path: Path) -> None:
    """The project is made, the entry fails with both; so does each run after it, and the plan says it before."""
    async with open_world(templates=[SHORT]) as world:
        outcome = (await world.run([OTHERS], tmp_path / "j"))["cats"]
        assert outcome.error is not None
        assert (outcome.status.value, outcome.error.code) == ("failed", "OTHER_STAGES")
        assert outcome.error.message.startswith(f"the project {outcome.hash} {SAID}")
        for journal in (tmp_path / "j", None):
            actions = await world.actions([OTHERS], journal=journal)
            (refused,) = [action for action in actions if action.verb is Verb.REFUSE]
            assert (refused.what, refused.items, refused.reason) == (
                "stages",
                ("Annotate, Review",),
                outcome.error.message,
            )
            again = (await world.run([OTHERS], journal))["cats"]
            assert (again.status.value, again.hash, again.error and again.error.code) == (
                "failed",
                outcome.hash,
                "OTHER_STAGES",
            )
        # The manifest is put right: it is checked anew, and nothing is made.
        assert words(await world.run([CATS], tmp_path / "j")) == {"cats": "unchanged"}
        assert words(await world.run([OTHERS], tmp_path / "j")) == {"cats": "failed"}


async def test_other_stages_are_a_difference(tmp_path: Path) -> None:
    """Verify tells them, and why nothing puts them right."""
    async with open_world(templates=[SHORT]) as world:
        await world.run([CATS], tmp_path / "j")
        found: list[Any] = []
        await world.session.verify([OTHERS], journal=tmp_path / "j", on_difference=found.append)
        ((what, wanted, there, reason),) = [(one.what, one.wanted, one.found, one.reason) for one in found]
        assert (what, wanted, there) == ("stages", "Annotate, Review", "Annotate, Done, at last")
        assert reason.startswith("no call changes a workflow")
        repairs = Repairs()
        async with Journal(tmp_path / "j", None) as journal:
            await compare(world.session, await gather([OTHERS], journal), on_thing=repairs.note)
        assert not repairs


async def test_a_reviewed_plan_checks_them(tmp_path: Path) -> None:
    """A plan that was saved cannot know the stages of what it makes; its run looks all the same."""
    async with open_world(templates=[SHORT]) as world:
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_text(json.dumps(OTHERS))
        await world.session.plan(manifest, out=tmp_path / "plan")
        async with world.session.provision(manifest, plan=tmp_path / "plan") as run:
            (outcome,) = [outcome async for outcome in run]
        assert (outcome.status.value, outcome.error and outcome.error.code) == ("failed", "OTHER_STAGES")
