"""Files of a bucket, registered and linked: is each there once, in how many requests, and in how much memory.

20 folders get files that are linked to 10 datasets of 10 projects. The service is the emulator, a process of its own on
127.0.0.1, which drops 10 % of the answers to what starts an upload job, after committing it. With ``--kills`` our run
is killed again and again, and every other time the service, too. What is there in the end is read back.

    python benchmarks/cloud_data.py [--quick] [--files N] [--kills N]
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._mortal import MortalEmulator
from benchmarks._provisioning import peak_rss_bytes
from encord_async import EncordSession
from encord_async.kinds.files import BLOCK_ITEMS
from encord_async.operations import ListDataRows, ListDatasetsV2, ListItems, SearchFolders

FOLDERS: Final = 20
DATASETS: Final = 10
CONCURRENCY: Final = 16
START: Final = "v2/storage/folders/{folder}/data-upload-jobs.POST"
FAULTS: Final[list[dict[str, object]]] = [{"query": START, "fault": "drop_after_commit", "probability": 0.1, "seed": 1}]
MAX_BYTES: Final = 200_000_000
MOST_RUNS: Final = 20


def written(folder: Path, files: int) -> Path:
    """The manifest, with a file of rows for each folder."""
    entries: list[dict[str, object]] = []
    for number in range(FOLDERS):
        rows = folder / f"rows-{number}.jsonl"
        with rows.open("w") as out:
            for row in range(files // FOLDERS):
                out.write(json.dumps({"url": f"s3://bucket/{number}/{row}.png", "title": f"Image {row}"}) + "\n")
        data = {"folder": f"@f{number}", "items_file": rows.name, "datasets": [f"@d{number % DATASETS}"]}
        entries += [{"kind": "data", "key": f"x{number}", **data}]
        entries += [{"kind": "folder", "key": f"f{number}", "name": f"Folder {number}"}]
    for number in range(DATASETS):
        entries.append({"kind": "dataset", "key": f"d{number}", "title": f"Dataset {number}"})
        project = {"key": f"p{number}", "title": f"Project {number}", "datasets": [f"@d{number}"]}
        entries += [{"kind": "project", **project}]
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def fewest(files: int) -> int:
    """Requests that no run can do without which looks before it sends, when nothing is lost.

    Three listings of the account and the creates; a look into each folder; a job a block and one question about it;
    what lies in the folder, page by page, and a link for each page.
    """
    blocks = FOLDERS * -(-(files // FOLDERS) // BLOCK_ITEMS)
    return 3 + FOLDERS + 2 * DATASETS + FOLDERS + 4 * blocks


async def one_run(url: str, key_file: str, manifest: str) -> int:
    """Provision once, as a process of its own. Returns the exit code: 0 if every entry is satisfied."""
    session = EncordSession.from_ssh_key(key_file, domain=url, concurrency=CONCURRENCY)
    async with session, session.provision(manifest, settle_s=10.0) as run:
        left = [outcome.as_json() async for outcome in run if not outcome.status.satisfied]
    print(json.dumps({"peak": peak_rss_bytes(), "left": left[:3]}))
    return 1 if left else 0


@dataclass(slots=True)
class Found:
    """What was there in the end, and what it took."""

    files: int
    kills: int = 0
    restarts: int = 0
    runs: int = 0
    requests: int = 0
    peak: int = 0
    urls: "Counter[str]" = field(default_factory=Counter)
    links: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    elapsed_s: float = 0.0

    def figures(self) -> dict[str, object]:
        """For the line of JSON."""
        per_folder = self.files // FOLDERS
        return {
            "files": self.files,
            "kills": self.kills,
            "restarts": self.restarts,
            "runs": self.runs,
            "requests": self.requests,
            "fewest": fewest(self.files),
            "peak_bytes": self.peak,
            "urls": len(self.urls),
            "urls_twice": self.urls.total() - len(self.urls),
            "links": len(self.links),
            "links_twice": self.links.total() - len(self.links),
            "missing": 2 * per_folder * FOLDERS - len(self.urls) - len(self.links),
            "elapsed_s": round(self.elapsed_s, 1),
        }


async def look(service: MortalEmulator, found: Found) -> None:
    """Read back what is there."""
    async with EncordSession.from_ssh_key(str(service.key_file), domain=service.url) as session:
        for folder in await session.collect(SearchFolders()):
            async for page in session.pages(ListItems(folder_uuid=folder.uuid)):
                found.urls.update(item.url or "" for item in page.results)
        for dataset in await session.collect(ListDatasetsV2()):
            if dataset.title.startswith("Dataset "):
                rows = await session.execute(ListDataRows(dataset_hash=dataset.dataset_uuid))
                found.links.update((dataset.title, row.file_link or "") for row in rows)


def measured(files: int, kills: int) -> Found:
    """A job of so many files, killed so often, and gone on with to its end."""
    found, chance = Found(files), random.Random(1)
    with tempfile.TemporaryDirectory(prefix="encord-async-cloud-") as name:
        service = MortalEmulator(Path(name), FAULTS, "--job-time", "0.3")
        manifest = written(Path(name), files)
        service.start()
        try:
            began_s = time.perf_counter()
            for _ in range(kills + MOST_RUNS):
                found.runs += 1
                command = [sys.executable, __file__, "--one-run", service.url, str(service.key_file), str(manifest)]
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                if found.kills < kills:
                    before = service.get("stats")["requests"]
                    most = chance.randint(5, max(6, 2 * fewest(files) // kills))
                    while process.poll() is None and service.get("stats")["requests"] < before + most:
                        time.sleep(0.1)
                    process.kill()
                    found.kills += 1
                    if found.kills % 2:
                        service.restart()
                        found.restarts += 1
                told, _ = process.communicate()
                if process.returncode == 0:
                    found.peak = max(found.peak, json.loads(told)["peak"])
                    break
            found.elapsed_s = time.perf_counter() - began_s
            found.requests = service.requests()
            asyncio.run(look(service, found))
        finally:
            service.kill()
    return found


def main() -> int:
    """Measure, report, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--one-run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_run:
        return asyncio.run(one_run(*arguments.one_run))
    files = arguments.files // 10 if arguments.quick else arguments.files
    figures = measured(files, arguments.kills).figures()
    header = ["files", *(str(name) for name in figures if name != "files")]
    report(
        "cloud_data",
        title="Files of a bucket, registered in 20 folders and linked to 10 datasets of 10 projects",
        header=header,
        rows=[[f"{value:,}" if isinstance(value, int) else value for value in figures.values()]],
        figures=figures,
        quick=arguments.quick,
    )
    wrong = [name for name in ("urls_twice", "links_twice", "missing") if figures[name]]
    peak = figures["peak_bytes"]
    return 1 if wrong or (isinstance(peak, int) and peak > MAX_BYTES) else 0


if __name__ == "__main__":
    sys.exit(main())
