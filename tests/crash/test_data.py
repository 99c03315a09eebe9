"""Files are registered and linked by runs that die at every point: in the end each is there once, and linked once."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from encord_async.client import EncordSession
from encord_async.operations import ListDataRows, ListDatasetsV2, ListItems, SearchFolders
from encord_async.protocol.signing import BearerToken
from encord_async.session.settings import Settings
from tests.crash.conftest import Death, Entry, MortalJournal, MortalTransport, Program, Service
from tests.direct import TOKEN
from tests.thorough import stride

# Each of many runs dies at another point.
pytestmark = pytest.mark.slow

URLS = [f"s3://b/{number}.png" for number in range(4)]
MANIFEST: list[Entry] = [
    {"kind": "dataset", "key": "all", "title": "All", "folder": "@f"},
    {"kind": "dataset", "key": "some", "title": "Some", "folder": "@f", "items": ["[01].png"]},
    {"kind": "dataset", "key": "named", "title": "Named"},
    {"kind": "data", "key": "x", "folder": "@f", "datasets": ["@named"], "items": [{"url": url} for url in URLS[:3]]},
    # Another job may be about one of them at the same time.
    {"kind": "data", "key": "y", "folder": "@f", "items": [{"url": url} for url in URLS[2:]]},
    {"kind": "folder", "key": "f", "name": "F"},
]


async def contents(service: Service) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """How often each URL is in folders, and in each dataset."""
    transport = MortalTransport(service, Death())
    settings = Settings(domain="http://127.0.0.1:1")
    urls, links = Counter[str](), dict[str, Counter[str]]()
    async with EncordSession(BearerToken(TOKEN), settings, transport=lambda _: transport) as session:
        for folder in await session.collect(SearchFolders()):
            urls.update(item.url or "" for item in await session.collect(ListItems(folder_uuid=folder.uuid)))
        for dataset in await session.collect(ListDatasetsV2()):
            rows = await session.execute(ListDataRows(dataset_hash=dataset.dataset_uuid))
            if rows:
                links[dataset.title] = Counter(row.file_link or "" for row in rows)
    return urls, links


async def test_wherever_it_dies(tmp_path: Path) -> None:
    """The next run registers and links what is left, and nothing twice."""
    for at in itertools.count(1, stride(5)):
        service, journal = Service(), tmp_path / str(at)
        try:
            program = Program(
                manifest=MANIFEST,
                service=service,
                journal=lambda death: MortalJournal(journal, death),  # noqa: B023 - used in this turn
            )
            life = await program.live(Death(at))
            (await program.live()).assert_all_satisfied(6)
            (await program.live()).assert_all_satisfied(6)
            urls, links = await contents(service)
            assert urls == Counter(URLS), at
            assert links == {"All": Counter(URLS), "Some": Counter(URLS[:2]), "Named": Counter(URLS[:3])}, at
        finally:
            service.close()
        if not life.died:
            break
    assert at > 30
