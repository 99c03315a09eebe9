"""How far jobs and tasks are at which time: the rules without HTTP, and with a time that is given."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from encord_async.emulator import Seed, SeedUser
from encord_async.emulator.calls import Terms
from encord_async.emulator.rest import read
from encord_async.emulator.seed import plant
from encord_async.emulator.service import Service
from encord_async.emulator.store import Store
from tests.emulator.conftest import ANN, BOB, ROOT, Signer, signed
from tests.emulator.test_storage import SEED, files

SPAN_S = 100
FOUR = files("s3://b/1", "s3://b/2", "s3://b/broken", "s3://b/4", ignoreErrors=True)


@dataclass
class Clocked:
    """The service at any time, in seconds after its beginning."""

    service: Service
    who: Signer = ANN

    def ask(self, at_s: float, line: str, body: object = None) -> Any:
        """What is answered at *at_s*; with how long it is held, if it is."""
        method, _, path = line.partition(" ")
        raw = b"" if body is None else json.dumps(body).encode()
        headers = signed(self.who, method, ROOT + path, raw, created=0)
        request = read(self.service.terms, method, ROOT + path, headers, raw)
        reply = self.service.answer(request, now_us=int(at_s * 1e6))
        assert reply.status in (200, 204), reply.body
        found = json.loads(reply.body) if reply.body else None
        return (found, reply.hold_until_us / 1e6) if reply.hold_until_us else found

    def urls(self, at_s: float) -> list[str]:
        """The items of the folder."""
        return [item["url"] for item in self.ask(at_s, "GET /storage/folders/f/items?order=createdAt")["results"]]

    def counts(self, at_s: float, job: str) -> tuple[str, list[int]]:
        """The status of a job; its units pending, done, failed and cancelled."""
        state = self.ask(at_s, f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds=0")
        return state["status"], [state[f"units{name}Count"] for name in ("Pending", "Done", "Error", "Cancelled")]


@pytest.fixture
def clocked() -> Iterator[Clocked]:
    """A service whose jobs take a hundred seconds."""
    with contextlib.closing(Store(None)) as store:
        with store.transaction():
            plant(store, SEED, now_us=0)
        yield Clocked(Service(store=store, terms=Terms(job_s=SPAN_S, signature_window_s=1e9)))


def test_units_are_done_one_after_the_other(clocked: Clocked) -> None:
    """What a job has made is there while it goes on, and what failed is told when it was tried."""
    job = clocked.ask(0, "POST /storage/folders/f/data-upload-jobs", FOUR)
    assert clocked.counts(24, job) == ("PENDING", [4, 0, 0, 0])
    assert clocked.counts(50, job) == ("PENDING", [2, 2, 0, 0])
    assert clocked.urls(50) == ["s3://b/1", "s3://b/2"]
    assert clocked.counts(75, job) == ("PENDING", [1, 2, 1, 0])
    assert clocked.counts(100, job) == ("DONE", [0, 3, 1, 0])
    assert clocked.urls(100) == ["s3://b/1", "s3://b/2", "s3://b/4"]


def test_a_cancelled_job_stays_where_it_was(clocked: Clocked) -> None:
    """What it had made stays, what it had not come to never comes, and can be registered again."""
    job = clocked.ask(0, "POST /storage/folders/f/data-upload-jobs", FOUR)
    assert clocked.ask(30, f"POST /storage/folders/f/data-upload-jobs/{job}/cancel") == {"unitsCancelledCount": 3}
    for at_s in (31, 1000):
        assert clocked.counts(at_s, job) == ("CANCELLED", [0, 1, 0, 3])
        assert clocked.urls(at_s) == ["s3://b/1"]
    assert clocked.ask(1000, f"POST /storage/folders/f/data-upload-jobs/{job}/cancel") == {"unitsCancelledCount": 0}
    clocked.ask(1000, "POST /storage/folders/f/data-upload-jobs", FOUR)
    assert clocked.urls(1100) == ["s3://b/1", "s3://b/2", "s3://b/4"]


@pytest.mark.parametrize(
    ("asked_s", "until_s"),
    [(30, 40), (604_800, 70), (60, 70)],
    ids=["as asked for", "no longer than a proxy", "a minute"],
)
def test_a_poll_is_held_as_long_as_it_may(clocked: Clocked, asked_s: int, until_s: float) -> None:
    """To the end of the job, of the time asked for, or of what a proxy bears, whichever comes first."""
    job = clocked.ask(0, "POST /storage/folders/f/data-upload-jobs", FOUR)
    place = f"GET /storage/folders/f/data-upload-jobs/{job}?timeoutSeconds={asked_s}"
    assert clocked.ask(10, place)[1] == until_s
    assert clocked.ask(99, place)[1] == 100
    assert clocked.ask(100, place)["status"] == "DONE"


def test_a_sync_goes_on_as_a_job_does(clocked: Clocked) -> None:
    """In small letters, and with the pages of the bucket beside the files."""
    cloud = {"integrationUuid": SEED.integrations[0].uuid, "remoteUrl": "s3://b/in/"}
    folder = clocked.ask(0, "POST /storage/folders", {"name": "c", "cloudSyncedFolderParams": cloud})["uuid"]
    job = clocked.ask(0, f"POST /storage/folders/{folder}/cloud-synced-folder-syncs")
    place = f"GET /storage/folders/{folder}/cloud-linked-folder-syncs/{job}/long-polling?timeoutSeconds=0"
    seen = [
        (state["status"], state["uploadJobsUnitsPending"], state["uploadJobsUnitsDone"], state["uploadJobsDone"])
        for state in (clocked.ask(at_s, place) for at_s in (0, 50, 100))
    ]
    assert seen == [("pending", 2, 0, 0), ("pending", 1, 1, 0), ("done", 0, 2, 1)]


def test_data_are_tasks_some_time_later(clocked: Clocked) -> None:
    """The time counts from when both were there, the data and the dataset in the project."""
    body = {"title": "D", "createBackingFolder": True, "legacyCall": False}
    made = clocked.ask(0, "POST /datasets", body)
    clocked.ask(0, f"POST /storage/folders/{made['backingFolderUuid']}/data-upload-jobs", files("s3://b/1"))
    with clocked.service.store.transaction():
        clocked.service.store.attach(1, [2], 150_000_000)
    stage = clocked.ask(0, "GET /projects/p")["workflow"]["stages"][0]["uuid"]

    def tasks(at_s: float) -> int:
        return len(clocked.ask(at_s, f"GET /projects/p/workflow/stages/{stage}/tasks")["results"])

    assert [tasks(at_s) for at_s in (149, 249, 250)] == [0, 0, 1]


def test_a_group_finds_what_is_below_its_folder(clocked: Clocked) -> None:
    """Listings have what a right reaches, and from where it begins."""
    inner = clocked.ask(0, "POST /storage/folders", {"name": "inner", "parent": "f"})["uuid"]
    clocked.ask(0, "POST /storage/folders", {"name": "deep", "parent": inner})
    group = clocked.ask(0, "POST /organisation/groups", {"name": "g", "description": ""})["groupHash"]
    with clocked.service.store.transaction():
        bob = clocked.service.store.user("bob@example.com").id
        clocked.service.store.organisation.join_group(1, [bob])
    clocked.ask(0, f"POST /storage/folders/{inner}/groups", {"groupHashList": [group], "userRole": "user"})
    clocked.who = BOB

    def names(path: str) -> list[tuple[str, str]]:
        return [(one["name"], one["userRole"]) for one in clocked.ask(1, f"GET /storage/{path}")["results"]]

    assert names("search/folders") == [("deep", "user"), ("inner", "user")]
    assert names(f"folders/{inner}/folders") == [("deep", "user")]
    assert names("folders") == []


def test_what_cannot_be_read_stays_so_after_another_seed(clocked: Clocked) -> None:
    """A seed that is planted later adds to the patterns of the one before."""
    with clocked.service.store.transaction():
        later = Seed(users=(SeedUser(email="eve@example.com"),), unreadable_urls=("*/4",))
        plant(clocked.service.store, later, now_us=0)
    job = clocked.ask(0, "POST /storage/folders/f/data-upload-jobs", FOUR)
    assert clocked.counts(100, job) == ("DONE", [0, 2, 2, 0])
