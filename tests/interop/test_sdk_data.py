"""The official SDK reads back, item by item, the files that a manifest has registered and linked."""

from dataclasses import replace
from pathlib import Path

import pytest

from encord_async import EncordSession
from encord_async.emulator import Emulator, EmulatorSettings, SeedIntegration, default_seed
from tests.interop.conftest import said_by
from tests.provision.conftest import Entry
from tests.provision.world import World, words

SCRIPT = Path(__file__).parent / "scripts" / "sdk_data.py"
BUCKET = SeedIntegration(
    uuid="00000000-0000-4000-8000-0000000000c1", title="bucket", objects=("s3://b/in/1.mp4", "s3://b/in/2.png")
)
KINDS = {"png": "image", "mp4": "video", "wav": "audio", "pdf": "pdf", "txt": "plainText", "nii": "nifti"}
FILES: list[Entry] = [
    {"url": f"s3://b/{number}.{suffix}", "title": f"No {number}", "metadata": {"no": number, "é": [suffix]}}
    for number, suffix in enumerate(KINDS)
]
MANIFEST: list[Entry] = [
    {"kind": "folder", "key": "f", "name": "Files"},
    {
        "kind": "folder",
        "key": "s",
        "name": "Mirror",
        "cloud": {"integration": "bucket", "url": "s3://b/in/"},
        "sync": True,
    },
    {"kind": "data", "key": "x", "folder": "@f", "integration": "bucket", "items": FILES, "datasets": ["@named"]},
    {"kind": "dataset", "key": "named", "title": "Named"},
    {"kind": "dataset", "key": "all", "title": "All", "folder": "@f"},
    {"kind": "dataset", "key": "some", "title": "Some", "folder": "@f", "items": ["No [12]", "s3://b/0.*"]},
    {"kind": "dataset", "key": "mirrored", "title": "Mirrored", "folder": "@s"},
]


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
async def test_the_sdk_sees_each_file(sdk_python: Path) -> None:
    """Title, type, metadata and integration of each item, and each link of each dataset."""
    seed, pair = default_seed()
    settings = EmulatorSettings(strict=True, seed=replace(seed, integrations=(BUCKET,)), job_s=0.2)
    async with Emulator(settings) as emulator:
        async with EncordSession.from_ssh_key(pair.private_text, domain=emulator.url) as session:
            outcomes = words(await World(emulator, session).run(MANIFEST))
            assert set(outcomes.values()) == {"created", "updated"}, outcomes
        seen = await said_by(sdk_python, SCRIPT, emulator.url, given=pair.private_text)
    urls = [file["url"] for file in FILES]
    registered = {
        file["url"]: [["Files", file["title"], kind, file["metadata"], BUCKET.uuid]]
        for file, kind in zip(FILES, KINDS.values(), strict=True)
    }
    mirrored = {
        "s3://b/in/1.mp4": [["Mirror", "1.mp4", "video", {}, BUCKET.uuid]],
        "s3://b/in/2.png": [["Mirror", "2.png", "image", {}, BUCKET.uuid]],
    }
    assert seen["items"] == registered | mirrored
    assert seen["rows"] == {"Named": urls, "All": urls, "Some": urls[:3], "Mirrored": sorted(mirrored)}
