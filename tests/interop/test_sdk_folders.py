"""The official SDK reads back the storage folders that a manifest has made."""

from dataclasses import replace
from pathlib import Path

import pytest

from encord_async import EncordSession
from encord_async.emulator import Emulator, EmulatorSettings, SeedIntegration, default_seed
from tests.interop.conftest import said_by
from tests.provision.test_folders import SUB, SYNCED, TEAM, TOP

SCRIPT = Path(__file__).parent / "scripts" / "sdk_folders.py"
PLAIN: dict[str, object] = {
    "description": "",
    "parent": None,
    "metadata": {},
    "type": "generic",
    "integration": None,
    "url": None,
}


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
async def test_the_sdk_sees_what_apply_made(sdk_python: Path) -> None:
    """Names, places, metadata, groups with their roles, and what of a bucket is mirrored."""
    bucket, (seed, pair) = SeedIntegration(title="bucket"), default_seed()
    async with Emulator(EmulatorSettings(strict=True, seed=replace(seed, integrations=(bucket,)))) as emulator:
        async with (
            EncordSession.from_ssh_key(pair.private_text, domain=emulator.url) as session,
            session.provision([TEAM, TOP, SUB, SYNCED], journal=None) as run,
        ):
            assert [outcome.status.value async for outcome in run] == ["created"] * 4

        seen = await said_by(sdk_python, SCRIPT, emulator.url, given=pair.private_text)
    assert seen == {
        "Images": {**PLAIN, "groups": [["Team", "user"]]},
        "North": {
            **PLAIN,
            "description": "of the north",
            "parent": "Images",
            "metadata": {"site": {"no": 7}},
            "groups": [],
        },
        "Synced": {**PLAIN, "type": "cloudLinked", "integration": bucket.uuid, "url": "s3://b/in/", "groups": []},
    }
