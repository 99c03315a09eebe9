"""What the crash tests share: a service that outlives its clients, a client that can die at any point, and a witness.

The service is the emulator's own, asked without HTTP. A death is one of the client's process: from that point on
nothing of it reaches the service or the disk, whatever its code still tries while it is torn down.
"""

import asyncio
import json
import random
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar, cast

import anyio
import anyio.lowlevel
import pytest

from encord_async.client import EncordSession
from encord_async.emulator import Seed, SeedDataset, SeedProject, SeedUser, envelope, rest
from encord_async.emulator.calls import Terms
from encord_async.emulator.store import LogEntry, State
from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome, Summary
from encord_async.engine.run import Run
from encord_async.errors import JournalError, NoReplyError, NotSentError, UnreadableReplyError
from encord_async.journal.commit import Commit
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, Told, Word, tell_soon
from encord_async.journal.record import State as StepState
from encord_async.journal.taken_off import Said, TakenOffs
from encord_async.journal.traffic import Traffic
from encord_async.kinds.project_datasets import DATASETS
from encord_async.manifest.digests import Seen
from encord_async.protocol.catalogue import REST_ROOT, Endpoint
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import BearerToken
from encord_async.session.clock import Clock
from encord_async.session.settings import RetryPolicy, Settings
from encord_async.session.transport import Transport
from encord_async.verify.surplus import surplus
from tests import warm
from tests.direct import TOKEN, DirectEmulator, now_us
from tests.virtual import VirtualLoop
from tests.waiting import PATIENCE_S, free_port

T = TypeVar("T")
Entry: TypeAlias = dict[str, Any]

ME = "me@example.com"
SEED = Seed(
    users=(SeedUser(email=ME, public_key=None, bearer_token=TOKEN),),
    datasets=(SeedDataset(hash="d-old", title="Old", admins=(ME,)),),
    ontologies=(),
    projects=(SeedProject(hash="p-dogs", title="Dogs", admins=(ME,), datasets=("d-old",)),),
)
CREATES = frozenset(
    {
        "project.POST",
        "projectcopy.POST",
        "projectapikey.POST",
        "dataset.POST",
        "v2/datasets.POST",
        "v2/ontologies.POST",
        "v2/organisation/groups.POST",
        "v2/storage/folders.POST",
    }
)


MADE_BY = {"project": "project.POST", "dataset": "v2/datasets.POST"}
"""The call that makes what an entry wishes for."""


@pytest.fixture(autouse=True)
def _twins_pass(twins_pass: None) -> None:
    """Namesakes are the hard part, and earlier releases let them into one manifest."""


class Died(BaseException):
    """The process is no more."""


class Death:
    """Ends a process when it passes its *at*-th point; None lets it live. Points are counted from 1."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.passed: list[str] = []
        self.happened = False
        self._lock = threading.Lock()

    def point(self, name: str) -> None:
        """Pass a point, or die there. Whoever is dead dies at every point."""
        with self._lock:
            self.passed.append(name)
            self.happened = self.happened or len(self.passed) == self.at
            if self.happened:
                raise Died(name)


class Service(DirectEmulator):
    """The emulated service without HTTP. It lives on when its clients die."""

    def __init__(self, seed: Seed = SEED, *, now_us: Callable[[], int] = now_us) -> None:
        super().__init__(seed, now_us=now_us)

    def made(self) -> Counter[tuple[str, str]]:
        """How often something of each call and title was made."""
        return Counter((line["query"], line["title"]) for line in self.log() if line["query"] in CREATES)


class MortalTransport:
    """A `Transport` to *service* with a point before each request, after its work, and after its reply."""

    def __init__(self, service: Service, death: Death) -> None:
        self._service = service
        self._death = death

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """See `Transport`."""
        name = name_of(method, target, body)
        await anyio.lowlevel.checkpoint()
        self._death.point(f"{name} unsent")
        reply = self._service.answer(method, target, headers, body)
        self._death.point(f"{name} applied")
        await anyio.lowlevel.checkpoint()
        self._death.point(f"{name} answered")
        return reply

    async def aclose(self) -> None:
        """See `Transport`."""


class MortalJournal(Journal):
    """The journal with a point before and after each of its commits."""

    def __init__(self, path: Path, death: Death) -> None:
        super().__init__(path, Identity("http://127.0.0.1:1", BearerToken(TOKEN).identity))
        self._death = death

    def _commit(self, commit: Commit) -> None:
        written = {f"{record.kind} {record.state}" for record in commit.whole.values()}
        ended = {f"{record.kind} ended {record.state}" for record, _ in commit.ends.values()}
        what = "+".join(sorted(written | ended))
        # The journal hands errors of its own from its thread to those who wait; another kind would not reach them.
        try:
            self._death.point(f"uncommitted {what}")
            super()._commit(commit)
            self._death.point(f"committed {what}")
        except Died:
            raise JournalError("dead") from None


@dataclass(frozen=True, slots=True)
class Life:
    """What a process saw until it ended."""

    outcomes: Sequence[Outcome]
    summary: Summary
    died: bool

    @property
    def statuses(self) -> Counter[str]:
        """How the entries ended."""
        return Counter(outcome.status.value for outcome in self.outcomes)

    def assert_all_satisfied(self, entries: int) -> None:
        """Every entry ended once, and the account holds what each wishes for."""
        assert not self.died
        unsatisfied = [f"{one.place}: {one.status} {one.error}" for one in self.outcomes if not one.status.satisfied]
        assert not unsatisfied, unsatisfied
        assert len({outcome.number for outcome in self.outcomes}) == len(self.outcomes) == entries
        assert self.summary.entries == sum(self.summary.by_status.values()) == entries


@dataclass(kw_only=True)
class Program:
    """What a user keeps starting until it is through: a manifest, a journal, and how to run them."""

    manifest: Sequence[Entry]
    service: Service
    journal: Callable[[Death], Journal]
    options: Options = field(default_factory=lambda: Options(settle_s=0.02))
    settings: Settings = field(
        default_factory=lambda: Settings(
            domain="http://127.0.0.1:1",
            concurrency=4,
            retry=RetryPolicy(max_attempts=3, backoff_base_s=0.001, backoff_max_s=0.01),
        )
    )
    clock: Clock | None = None
    transport: "Callable[[Service, Death], Transport]" = MortalTransport

    async def live(self, death: Death | None = None) -> Life:
        """Run once, until all entries have ended or *death* comes."""
        death = death or Death()
        transport = self.transport(self.service, death)
        session = EncordSession(
            BearerToken(TOKEN),
            self.settings,
            transport=lambda _: transport,
            clock=self.clock,
            chance=random.Random(0),
        )
        more = surplus(self.manifest, self.options)
        run = Run(session, self.manifest, self.options, journal=self.journal(death), sequel=more)
        return await _lived(session, run, death)


async def _lived(session: EncordSession, run: Run, death: Death) -> Life:
    outcomes: list[Outcome] = []
    try:
        async with session, run:
            async for outcome in run:
                outcomes.append(outcome)  # noqa: PERF401 - what came before a death is kept
    except BaseException:
        if not death.happened:
            raise
    return Life(outcomes, run.summary, death.happened)


def name_of(method: str, target: str, body: bytes) -> str:
    """The call that a request of either API makes."""
    if not target.startswith(REST_ROOT):
        return envelope.name_of(Endpoint(target), json.loads(body))
    return rest.read(Terms(), method, target, {}, b"").name


# ------------------------------------------------------------------------------------- a world with a time of its own

SETTLE_S: Final = 10.0
LAG_S: Final = 4.0
"""How late something may be applied, and how far a listing may lag: both together are within the settling time."""


class Fate(StrEnum):
    """What becomes of a request that does not fare well."""

    UNSENT = "unsent"
    LOST = "lost"
    APPLIED_AND_LOST = "applied and lost"
    APPLIED_AND_CUT = "applied, and the reply cut"
    APPLIED_LATE = "applied late, and lost"
    BROKEN = "answered 502"
    BROKEN_BUT_APPLIED_LATE = "answered 502 and applied late"
    THROTTLED = "answered 429"
    STALE = "answered from the past"


class WorldClock:
    """The clock of client and service: that of the running loop, and between lives where the last one stopped."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def monotonic_s(self) -> float:
        """Virtual seconds."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return self.now_s

    wall_s = monotonic_s

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await anyio.sleep(seconds)


class Disk:
    """A ledger that survives: what was written stays, and a process can die before and after each writing."""

    def __init__(self, stamp_key: bytes = b"stamp") -> None:
        self.stamp_key = stamp_key
        self.records: dict[bytes, Record] = {}
        self.is_new = self.has_moved = self.is_cut_off = False
        self._gone: set[bytes] = set()
        self.death = Death()

    def opened_by(self, death: Death) -> Journal:
        """The same disk in the hands of the next process."""
        self.death = death
        return cast("Journal", self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is kept back."""

    async def is_alive(self) -> None:
        """See `Ledger`; a process that dies takes nothing with it."""

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """See `Ledger`."""
        return {identity: self.records[identity] for identity in identities if identity in self.records}

    async def words(self, identities: Sequence[bytes]) -> Mapping[bytes, Word]:
        """See `Ledger`."""
        return {one: Word.of(record) for one, record in (await self.known(identities)).items()}

    async def write(self, records: Iterable[Record], *, instead_of: Collection[bytes] = ()) -> None:
        """See `Ledger`."""
        await anyio.lowlevel.checkpoint()
        self._keep(records, instead_of)
        await anyio.lowlevel.checkpoint()

    def post(self, record: Record, told: Told[T], about: T) -> None:
        """See `Ledger`."""
        self._keep((record,), ())
        tell_soon(told, about)

    def _keep(self, records: Iterable[Record], instead_of: Collection[bytes]) -> None:
        self.death.point("unwritten")
        for identity in instead_of:
            self.records.pop(identity, None)
            self.has_moved = True
        written = {record.identity: record for record in records}
        self.records |= written
        self._gone -= written.keys()
        self.death.point("written")

    def note_traffic(self, sample: Traffic) -> None:
        """Nothing hangs on it."""

    async def namesakes(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        return [record for record in self.records.values() if record.name == name]

    async def open_intents(self) -> Sequence[Record]:
        """See `Ledger`."""
        return [record for record in self.records.values() if record.is_open]

    async def seen(self) -> Seen:
        """See `Ledger`."""
        return Seen(record.hash for record in self.records.values() if record.hash is not None and record.name)

    async def holders(self, found: str) -> Sequence[Record]:
        """See `Ledger`."""
        return [record for record in self.records.values() if record.hash == found and record.name]

    @property
    def has_made(self) -> bool:
        """See `Ledger`."""
        return any(record.name is not None for record in self.records.values())

    async def disown(self, is_present: Callable[[bytes], bool]) -> None:
        """See `Ledger`."""
        made = [record for record in self.records.values() if record.name is not None]
        self._gone = {record.identity for record in made if not is_present(record.holder)}
        keys = [(record, record.parent_step) for record in made]
        self._gone |= {key.identity for key, maker in keys if maker and key.has_lost(self.records.get(maker))}

    @property
    def may_leave(self) -> bool:
        """See `Ledger`."""
        return bool(self._gone) or any(record.is_aside for record in self.records.values())

    async def left_behind(self, name: bytes) -> Sequence[Record]:
        """See `Ledger`."""
        made = [record for record in await self.namesakes(name) if record.state is not StepState.FAILED]
        return [record for record in made if record.identity in self._gone or record.is_aside]

    async def gone_things(self) -> Sequence[Record]:
        """See `Ledger`."""
        return [one for one in self.records.values() if one.is_made_thing and one.identity in self._gone]

    async def taken_off(self, said: Said) -> TakenOffs:
        """See `Ledger`."""
        return TakenOffs()

    async def note_taken_off(self, found: TakenOffs) -> None:
        """See `Ledger`."""

    async def contested(self, keys: Sequence[bytes]) -> Collection[bytes]:
        """See `Ledger`."""
        return self._gone.intersection(keys)

    async def detached(self, project_hashes: Collection[str]) -> Collection[str]:
        """See `Ledger`."""
        return {
            record.parent_hash
            for record in self.records.values()
            if record.parent_hash is not None and record.parent_hash in project_hashes and _may_lack(record)
        }


def _may_lack(record: Record) -> bool:
    """Whether a dataset may be missing in a project because of *record*."""
    undone = record.kind is DATASETS.give and record.state is not StepState.DONE
    return undone or record.kind is DATASETS.take


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A manifest with the disk that its journal is on, and how it is run."""

    manifest: Sequence[Entry]
    disk: Disk = field(default_factory=Disk)
    options: Options = field(default_factory=lambda: Options(settle_s=SETTLE_S))


Fates: TypeAlias = Callable[[int, str], Fate | None]
"""What becomes of a request, given its number from 0 and its call; None: it fares well."""


def all_well(number: int, name: str) -> None:
    """`Fates` of a world in order."""


def of_numbers(fates: Mapping[int, Fate]) -> Fates:
    """*fates* by the numbers of requests."""
    return lambda number, _: fates.get(number)


Answering: TypeAlias = Callable[[int], RawReply]
"""Answers a request, showing in listings nothing younger than so many microseconds."""


class World:
    """The service and what is on its way to it: all that lives on when a process dies, the disks aside."""

    def __init__(self, *, lag_s: float = LAG_S) -> None:
        self.clock = WorldClock()
        self.service = Service(now_us=lambda: int(self.clock.monotonic_s() * 1e6))
        self.calls: list[str] = []
        self._lag_s = lag_s
        self._fates: Fates = all_well
        self._late: list[tuple[float, Answering]] = []
        # No listing lags so far that it does not show what was there from the first.
        self.clock.now_s += 2 * lag_s

    def close(self) -> None:
        """Let go of the service."""
        self.service.close()

    def live(self, job: Job, *, fates: Fates = all_well, dies_at: int | None = None) -> Life:
        """Run *job* once."""
        (life,) = self.live_together([job], fates=fates, dying_at=[dies_at])
        return life

    def live_together(
        self, jobs: Sequence[Job], *, fates: Fates = all_well, dying_at: Sequence[int | None]
    ) -> list[Life]:
        """Run several jobs at the same time, once each, in processes of their own."""
        self._fates, self.calls = fates, []

        async def all_of_them() -> list[Life]:
            lives = (self._program(job).live(Death(at)) for job, at in zip(jobs, dying_at, strict=True))
            return await asyncio.gather(*lives)

        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self.clock.now_s)) as runner:
            lived = runner.run(all_of_them())
            self.clock.now_s = runner.get_loop().time()
        return lived

    def _program(self, job: Job) -> "Program":
        return Program(
            manifest=list(job.manifest),
            service=self.service,
            journal=job.disk.opened_by,
            options=job.options,
            clock=self.clock,
            transport=lambda _, death: _WorldTransport(self, death),
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass between two lives."""
        self.clock.now_s += seconds
        self._catch_up(self.clock.now_s)

    def _catch_up(self, now_s: float) -> None:
        """Apply what was late and is due."""
        due = [one for one in self._late if one[0] <= now_s]
        self._late = [one for one in self._late if one[0] > now_s]
        for _, answering in due:
            answering(0)

    async def take(self, death: Death, name: str, answering: "Answering") -> RawReply:
        """Answer a request, or let its fate happen to it."""
        fate = self._fates(len(self.calls), name)
        self.calls.append(name)
        await anyio.sleep(0.01)
        death.point("unsent")
        if fate is Fate.UNSENT:
            raise NotSentError("no connection")
        reply = self._reply(fate, answering)
        death.point("applied")
        await anyio.sleep(0.01)
        if fate in {Fate.LOST, Fate.APPLIED_AND_LOST, Fate.APPLIED_LATE}:
            raise NoReplyError("lost")
        if fate is Fate.APPLIED_AND_CUT:
            raise UnreadableReplyError("cut")
        death.point("answered")
        return reply

    def _reply(self, fate: Fate | None, answering: "Answering") -> RawReply:
        now_s = self.clock.monotonic_s()
        self._catch_up(now_s)
        if fate in {Fate.APPLIED_LATE, Fate.BROKEN_BUT_APPLIED_LATE}:
            self._late.append((now_s + self._lag_s, answering))
        if fate is Fate.THROTTLED:
            return RawReply(429, {}, b"")
        if fate in {Fate.LOST, Fate.BROKEN, Fate.APPLIED_LATE, Fate.BROKEN_BUT_APPLIED_LATE}:
            return RawReply(502, {}, b"<html>502</html>")
        stale_us = int(self._lag_s * 1e6) if fate is Fate.STALE else 0
        return answering(stale_us)


class _WorldTransport:
    """A process's way to the world."""

    def __init__(self, world: World, death: Death) -> None:
        self._world = world
        self._death = death

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """See `Transport`."""
        answer = self._world.service.answer
        return await self._world.take(
            self._death,
            name_of(method, target, body),
            lambda stale_us: answer(method, target, headers, body, stale_us=stale_us),
        )

    async def aclose(self) -> None:
        """See `Transport`."""


# ---------------------------------------------------------------------------------------------------- what is wished


def programme(*, second_holds: Sequence[str]) -> list[Entry]:
    """Two datasets, two projects of one name and one that is there already, with users, keys and memberships.

    The second of the two of one name holds *second_holds*, the first ``@raw``.
    """
    users = [{"email": f"{name}@example.com", "role": "annotator"} for name in ("ann", "bob")]
    key = {"title": "ci", "scopes": ["label.read"]}
    cats: Entry = {"kind": "project", "title": "Cats", "description": "one name"}
    return [
        {"kind": "project", "key": "dogs", "title": "Dogs", "datasets": ["@night"], "users": users, "api_keys": [key]},
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "dataset", "key": "night", "title": "Night", "description": "dark"},
        {**cats, "key": "cats-1", "datasets": ["@raw"], "users": users, "api_keys": [key]},
        {**cats, "key": "cats-2", "datasets": [*second_holds], "users": users[:1]},
        {"kind": "project_datasets", "project": "@dogs", "add": ["@raw"], "remove": ["d-old"]},
        {"kind": "project_users", "project": "@cats-2", "emails": ["eve@example.com"], "role": "reviewer"},
        {"kind": "project_api_key", "project": "@cats-2", "title": "export", "scopes": ["label.read", "label.write"]},
        {"kind": "project_api_key", "project": "@dogs", "title": "twins", "scopes": ["label.read"]},
        {"kind": "project_api_key", "project": "@dogs", "title": "twins", "scopes": ["label.read"]},
    ]


def assert_exactly_the_programme(service: Service, *, second_holds: Sequence[str]) -> None:
    """Exactly one of everything that `programme` wishes for, and nothing else."""
    state = service.state()
    hashes = {f"@{one['title'].lower()}": one["dataset_hash"] for one in state["datasets"]} | {"d-old": "d-old"}
    assert Counter(one["title"] for one in state["datasets"]) == {"Old": 1, "Raw": 1, "Night": 1}
    found = Counter(_shape(project) for project in state["projects"])
    ann, bob, eve = (("ann@example.com", 1), ("bob@example.com", 1), ("eve@example.com", 2))
    ci, twins, export = ("ci", "label.read"), ("twins", "label.read"), ("export", "label.read label.write")
    assert found == Counter(
        [
            ("Dogs", _sorted(hashes["@night"], hashes["@raw"]), _sorted(ann, bob), _sorted(ci, twins, twins)),
            ("Cats", (hashes["@raw"],), _sorted(ann, bob), (ci,)),
            ("Cats", _sorted(*(hashes[one] for one in second_holds)), _sorted(ann, eve), (export,)),
        ]
    )


def _shape(project: Mapping[str, Any]) -> tuple[object, ...]:
    users = [(user["email"], user["role"]) for user in project["users"] if user["email"] != ME]
    keys = [(key["title"], " ".join(key["scopes"])) for key in project["api_keys"]]
    return project["title"], _sorted(*project["datasets"]), _sorted(*users), _sorted(*keys)


def _sorted(*items: Any) -> tuple[Any, ...]:
    return tuple(sorted(items))


# ---------------------------------------------------------------------------------------------- processes of their own


class EmulatorProcess:
    """An emulator with its state on disk, as a process that can be killed and started again on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.key_file = folder / "key"
        self._command = [sys.executable, "-m", "encord_async.emulator", "--state", str(folder / "state.db")]
        self._command += ["--write-key", str(self.key_file), *options]
        self._process: warm.Popen | None = None
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, where it was before, and wait until it answers."""
        port = self.url.rpartition(":")[2]
        self._process = warm.popen([*self._command, "--port", port], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the emulator did not start"
        self.url = json.loads(line)["url"]

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            kill(self._process)

    def get(self, what: str) -> Any:
        """What ``GET /_emulator/...`` tells."""
        with urllib.request.urlopen(f"{self.url}/_emulator/{what}", timeout=PATIENCE_S) as reply:  # noqa: S310 - loopback
            return json.load(reply)


def kill(process: warm.Popen) -> None:
    """kill -9, and let the process be gone."""
    process.kill()
    process.communicate()


@dataclass(frozen=True, slots=True)
class Runner:
    """Starts processes that provision *manifest* on *emulator*."""

    folder: Path
    emulator: EmulatorProcess
    manifest: Sequence[Entry]

    def __post_init__(self) -> None:
        path = self.folder / "manifest.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in self.manifest))

    def start(self) -> warm.Popen:
        """Start a run."""
        script = Path(__file__).with_name("runner.py")
        paths = [self.folder / "manifest.jsonl", self.folder / "run.journal"]
        command = [sys.executable, script, self.emulator.url, self.emulator.key_file, *paths]
        return warm.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_to_the_end(self, *, most_runs: int) -> None:
        """Run until every entry is satisfied: what is left in doubt is only sent again by a later run."""
        for _ in range(most_runs):
            process = self.start()
            told, errors = process.communicate()
            if process.returncode == 0:
                return
        raise AssertionError(f"{most_runs} runs did not bring it to an end: {told[-2000:]} {errors[-2000:]}")


def big_programme(projects: int, *, datasets: int = 10) -> list[Entry]:
    """Datasets, and projects with one of them, two users and an API key each."""
    entries: list[Entry] = [
        {
            "kind": "project",
            "key": f"p{number}",
            "title": f"Project {number}",
            "datasets": [f"@d{number % datasets}"],
            "users": [{"email": f"{name}{number}@example.com", "role": "annotator"} for name in ("ann", "bob")],
            "api_keys": [{"title": f"key {number}", "scopes": ["label.read"]}],
        }
        for number in range(projects)
    ]
    return entries + [{"kind": "dataset", "key": f"d{n}", "title": f"Own dataset {n}"} for n in range(datasets)]


@dataclass(frozen=True, slots=True)
class Census:
    """What the service's own log of commits says was made too often, or not at all."""

    duplicates: list[object]
    missing: list[object]


def census(manifest: Sequence[Entry], log: Sequence[LogEntry], state: State) -> Census:
    """Hold *manifest* against what was committed, and what is there."""
    wished: Counter[object] = Counter()
    for entry in manifest:
        wished[MADE_BY[entry["kind"]], entry["title"]] += 1
        wished.update(("projectapikey.POST", key["title"]) for key in entry.get("api_keys", ()))
        wished.update(("member", user["email"]) for user in entry.get("users", ()))
        wished.update(("attached", entry["title"]) for _ in entry.get("datasets", ()))
    made: Counter[object] = Counter((line["query"], line["title"]) for line in log if line["query"] in CREATES)
    for project in state["projects"]:
        made.update(("member", user["email"]) for user in project["users"] if user["role"] != 0)
        made.update(("attached", project["title"]) for _ in project["datasets"])
    return Census([*(made - wished).elements()], [*(wished - made).elements()])
