"""The official SDK reads back whom a manifest has given the tasks of a stage to."""

from dataclasses import replace
from pathlib import Path

import pytest

from encord_async import EncordSession
from encord_async.emulator import Emulator, EmulatorSettings, default_seed
from encord_async.protocol.catalogue import StageType
from tests.interop.conftest import said_by
from tests.provision.test_tasks import ANN, BOB, EVE, SHORT, dataset, project, tasks
from tests.provision.world import World

SCRIPT = Path(__file__).parent / "scripts" / "sdk_tasks.py"


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
async def test_the_sdk_sees_whose_tasks_are(sdk_python: Path) -> None:
    """Stages by their titles, and each task with its assignee, by rules and in turn."""
    seed, pair = default_seed()
    # That release fails on every project that has a router.
    template = replace(SHORT, stages=tuple(one for one in SHORT.stages if one.type is not StageType.USER_ROUTER))
    settings = EmulatorSettings(strict=True, seed=replace(seed, workflow_templates=(template,)))
    async with Emulator(settings) as emulator:
        async with EncordSession.from_ssh_key(pair.private_text, domain=emulator.url) as session:
            world = World(emulator, session)
            rules = [{"emails": [EVE], "titles": ["*-0000.png"]}, {"emails": [ANN, BOB]}]
            made = project(await dataset(world, 4))
            stages = [stage.title for stage in template.stages]
            outcomes = await world.run([{**made, "stages": stages}, tasks(assign=rules)])
            found = outcomes["p"].hash or ""
            assert [outcome.status.value for outcome in outcomes.values()] == ["created", "updated"]

        seen = await said_by(sdk_python, SCRIPT, emulator.url, found, given=pair.private_text)
    given = {f"Raw-000{number}.png": [who, "ASSIGNED"] for number, who in enumerate((EVE, ANN, BOB, ANN))}
    assert seen == {"stages": stages, "tasks": {"Annotate": given, "Review": {}}}
