"""Tasks are given to people by runs that die at every point: in the end each is whose it would be had none died."""

import itertools
from pathlib import Path

import pytest

from encord_async.client import EncordSession
from encord_async.operations import CloudFile, CreateFolder, FileType, LinkItems, ListItems, StartUploadJob
from encord_async.protocol.operations.datasets import CreateDatasetV2
from encord_async.protocol.signing import BearerToken
from encord_async.session.settings import Settings
from tests.crash.conftest import ME, Death, Entry, MortalJournal, MortalTransport, Program, Service
from tests.direct import TOKEN
from tests.thorough import stride

# Each of many runs dies at another point.
pytestmark = pytest.mark.slow

COLLEAGUE = "fay@example.com"


def manifest(dataset: str) -> list[Entry]:
    """A project whose tasks two people get."""
    return [
        {
            "kind": "project_tasks",
            "project": "@p",
            "stage": "Annotate 1",
            "assign": [{"emails": [ME], "titles": ["1.png"]}, {"emails": [ME, COLLEAGUE]}],
            "priority": 0.5,
        },
        {
            "kind": "project",
            "key": "p",
            "title": "P",
            "datasets": [dataset],
            "users": [{"email": COLLEAGUE, "role": "annotator"}],
            "stages": ["Annotate 1", "Review 1", "Complete"],
        },
    ]


async def with_data(service: Service) -> str:
    """A dataset with five images."""
    transport = MortalTransport(service, Death())
    settings = Settings(domain="http://127.0.0.1:1")
    async with EncordSession(BearerToken(TOKEN), settings, transport=lambda _: transport) as session:
        folder = (await session.execute(CreateFolder(name="F"))).uuid
        files = tuple(CloudFile(type=FileType.IMAGE, url=f"s3://b/{number}.png") for number in range(5))
        await session.execute(StartUploadJob(folder_uuid=folder, items=files))
        dataset = await session.execute(CreateDatasetV2(title="D", create_backing_folder=False))
        items = tuple(item.uuid for item in await session.collect(ListItems(folder_uuid=folder)))
        await session.execute(LinkItems(dataset_hash=dataset.dataset_uuid, item_uuids=items))
        return dataset.dataset_uuid


async def test_wherever_it_dies(tmp_path: Path) -> None:
    """The next run gives away what is left, to whom the first would have."""
    for at in itertools.count(1, stride(5)):
        service, journal = Service(), tmp_path / str(at)
        try:
            program = Program(
                manifest=manifest(await with_data(service)),
                service=service,
                journal=lambda death: MortalJournal(journal, death),  # noqa: B023 - used in this turn
            )
            life = await program.live(Death(at))
            (await program.live()).assert_all_satisfied(2)
            (await program.live()).assert_all_satisfied(2)
            given = {task["title"]: (task["assignee"], task["priority"]) for task in service.state()["tasks"]}
            people = [ME, ME, COLLEAGUE, ME, COLLEAGUE]
            assert given == {f"{number}.png": (who, 0.5) for number, who in enumerate(people)}
            assert sum(service.made().values()) >= 1
        finally:
            service.close()
        if not life.died:
            break
    assert at > 20
