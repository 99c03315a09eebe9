"""Whatever happens to a create on its way, there is one of it in the end, and never two."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest

from encord_async.client import EncordSession
from encord_async.emulator import Fault, FaultRule
from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.run import Run
from encord_async.errors import AuthenticationError, UncertainError
from encord_async.session.settings import RetryPolicy, Settings, Timeouts
from tests.direct import CREDENTIAL, DirectEmulator
from tests.provision.conftest import Entry, all_of, collect, dataset, project, users
from tests.thorough import part
from tests.virtual import LoopClock
from tests.waiting import PATIENCE_S, time_passes

D1, D2, D3 = (f"00000000-0000-4000-8000-{number:012d}" for number in (1, 2, 3))

CREATE, LISTING = "project.POST", "projectwithuserrole.GET"


def rule(fault: Fault, query: str = CREATE, **more: Any) -> FaultRule:
    """A fault that strikes once, unless *more* says otherwise."""
    return FaultRule(query=query, fault=fault, **({"times": 1} | more))


@dataclass(slots=True)
class World:
    """An emulator, and runs against it as one process after the other would make them."""

    emulator: DirectEmulator
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(backoff_base_s=0.01))
    attempt_s: float = PATIENCE_S

    @asynccontextmanager
    async def session(self) -> AsyncIterator[EncordSession]:
        """A session of a user who waits *attempt_s* for an answer."""
        timeouts = Timeouts(attempt_s=self.attempt_s)
        # A worker for each that may be in flight is made at each run, and hardly anything is to be done here.
        settings = Settings(domain=self.emulator.url, concurrency=4, retry=self.retry, timeouts=timeouts)
        # By the loop's clock, which a test may put forward.
        session = EncordSession(CREDENTIAL, settings, transport=lambda _: self.emulator, clock=LoopClock())
        async with session:
            yield session

    @asynccontextmanager
    async def provision(self, manifest: list[Entry], journal: Path | None, **options: Any) -> AsyncIterator[Run]:
        """A run of *manifest* in a session of its own."""
        async with (
            self.session() as session,
            session.provision(manifest, journal=journal, **({"settle_s": 0.25} | options)) as run,
        ):
            yield run

    async def run(self, manifest: list[Entry], journal: Path | None, **options: Any) -> list[Outcome]:
        """Provision *manifest* to its end."""
        async with self.provision(manifest, journal, **options) as run:
            return await all_of(run)

    async def run_until_done(self, manifest: list[Entry], journal: Path, **options: Any) -> list[Outcome]:
        """Run it again and again, as a patient user would, until all is as wished."""
        for _ in range(5):
            outcomes = await self.run(manifest, journal, **options)
            if all(outcome.status.satisfied for outcome in outcomes):
                return outcomes
        raise AssertionError(f"not done after five runs: {outcomes}")

    def sent(self, query: str = CREATE) -> int:
        """How many requests of this name came."""
        return self.emulator.stats()["by_query"].get(query, 0)

    def made(self, query: str = CREATE) -> Counter[str]:
        """How many things of each title were made: the emulator's log is the witness."""
        return Counter(entry["title"] for entry in self.emulator.log() if entry["query"] == query)

    async def made_at_last(self, title: str) -> None:
        """Wait until something of this title is there."""
        await until(lambda: title in self.made())

    def contents(self) -> dict[str, list[str]]:
        """The datasets of each project, by its hash."""
        return {found["project_hash"]: list(found["datasets"]) for found in self.emulator.state()["projects"]}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that is not ours to tell when it happens."""
    with anyio.fail_after(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - the emulator has no events
            await anyio.sleep(0.01)


@asynccontextmanager
async def open_world(*faults: FaultRule) -> AsyncIterator[World]:
    """A new account where *faults* lie in wait."""
    with closing(DirectEmulator()) as emulator:
        emulator.set_faults(faults)
        yield World(emulator)


Scenario: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


async def all_at_once(*scenarios: Scenario) -> None:
    """Play scenarios beside each other, since all they do is wait."""
    async with anyio.create_task_group() as group:
        for scenario in scenarios:
            group.start_soon(scenario)


JOURNALS = pytest.mark.parametrize("journal", ["j", None])

# --- one create -------------------------------------------------------------------------------------------------------

ONE_OF_EACH = {
    "project.POST": project("Cats", datasets=[D1]),
    "v2/datasets.POST": dataset("Cats"),
    "dataset.POST": dataset("Cats", storage="aws"),
    "projectapikey.POST": {"kind": "project_api_key", "project": "@p", "title": "Cats", "scopes": ["label.read"]},
}


@JOURNALS
@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.TRUNCATE])
async def test_lost_answer(fault: Fault, journal: str | None, tmp_path: Path) -> None:
    """A create that was done and whose answer was lost is found, whatever was created, and not sent again."""

    async def play(query: str) -> None:
        async with open_world(rule(fault, query)) as world:
            manifest = [ONE_OF_EACH[query]]
            if query == "projectapikey.POST":
                manifest.append(project("P", key="p"))
            path = None if journal is None else tmp_path / query.replace("/", ".")
            outcome = (await world.run(manifest, path))[0]
            assert outcome.status is Status.CREATED, outcome
            assert world.made(query)["Cats"] == world.sent(query) - (query == "project.POST" and len(manifest) - 1) == 1
            if query == "project.POST":
                assert world.contents() == {outcome.hash: [D1]}

    async with anyio.create_task_group() as group:
        for query in ONE_OF_EACH:
            group.start_soon(play, query)


@pytest.mark.parametrize(("first", "then"), [("rest", "envelope"), ("envelope", "rest")])
async def test_a_dataset_in_doubt_is_found_over_either_api(first: str, then: str, tmp_path: Path) -> None:
    """A run that makes datasets over the other API than the one before finds what that one has made."""
    calls = {"rest": "v2/datasets.POST", "envelope": "dataset.POST"}
    async with open_world(
        rule(Fault.DROP_AFTER_COMMIT, calls[first]), rule(Fault.STALE_READ, "*", seconds=3600, times=4)
    ) as world:
        manifest = [dataset("Cats")]
        (outcome,) = await world.run(manifest, tmp_path / "j", dataset_api=first, settle_s=0.0)
        assert outcome.status is Status.IN_DOUBT
        world.emulator.clear_faults()
        (outcome,) = await world.run(manifest, tmp_path / "j", dataset_api=then)
        assert outcome.status.satisfied
        assert world.made(calls[first]) == {"Cats": 1}
        assert world.made(calls[then]) == {}


@JOURNALS
async def test_service_that_broke_down(journal: str | None, tmp_path: Path) -> None:
    """A create whose breakdown the service itself told is looked for, for the settling time, and then sent again."""
    async with open_world(rule(Fault.ERROR, code="UNKNOWN_ERROR")) as world:
        began_s = anyio.current_time()
        (outcome,) = await world.run([project("Cats")], None if journal is None else tmp_path / journal)
        assert outcome.status is Status.CREATED
        assert anyio.current_time() - began_s >= 0.25
        assert world.sent() == 2
        assert world.made() == {"Cats": 1}


async def test_service_that_stays_broken(tmp_path: Path) -> None:
    """A create that always ends in a breakdown fails after the usual number of tries, and is no doubt any more."""
    async with open_world(rule(Fault.ERROR, code="UNKNOWN_ERROR", times=2)) as world:
        world.retry = RetryPolicy(max_attempts=2, backoff_base_s=0.01)
        (outcome,) = await world.run([project("Cats")], tmp_path / "j", settle_s=0.05)
        assert outcome.status is Status.FAILED
        assert outcome.error is not None
        assert outcome.error.code == "UNKNOWN_ERROR"
        assert world.sent() == 2
        (outcome,) = await world.run([project("Cats")], tmp_path / "j", settle_s=0.05)
        assert outcome.status is Status.CREATED
        assert world.made() == {"Cats": 1}


@pytest.mark.parametrize("query", ["project.POST", "v2/datasets.POST"])
async def test_proxy_that_waits_no_longer(query: str, tmp_path: Path) -> None:
    """What a proxy says that gave up waiting is no answer: what comes after the settling time is not made twice."""

    for status in (202, 408, 460, 499, 502, 503, 504, 524):
        async with open_world(rule(Fault.GAVE_UP, query, status=status, seconds=3600)) as world:
            manifest, journal = [ONE_OF_EACH[query]], tmp_path / f"{status}"
            (outcome,) = await world.run(manifest, journal, settle_s=0.0)
            assert outcome.status is Status.IN_DOUBT, status
            time_passes(3600)
            await until(lambda world=world: world.made(query) == {"Cats": 1})  # type: ignore[misc]  # bound at once
            (outcome,) = await world.run(manifest, journal, settle_s=0.0)
            assert outcome.status is Status.UNCHANGED, status
            assert (world.sent(query), world.made(query)) == (1, {"Cats": 1}), status


@JOURNALS
async def test_lost_request(journal: str | None, tmp_path: Path) -> None:
    """A create that got no answer and is not to be seen is left in doubt; the next run waits and sends it."""
    path = None if journal is None else tmp_path / journal
    async with open_world(rule(Fault.DROP_BEFORE)) as world:
        manifest = [project("Cats", key="c"), users("@c", "a@example.com")]
        outcome, blocked = await world.run(manifest, path)
        assert (outcome.status, outcome.candidates) == (Status.IN_DOUBT, ())
        assert isinstance(outcome.error, UncertainError)
        assert blocked.status is Status.BLOCKED
        assert world.sent() == 1
        outcomes = await world.run(manifest, path)
        assert [outcome.status for outcome in outcomes] == [Status.CREATED, Status.UPDATED]
        assert world.made() == {"Cats": 1}


async def test_others_go_on_meanwhile(tmp_path: Path) -> None:
    """What hangs on a project in doubt waits for it, and gets it; everything else does not wait."""
    order: list[int] = []
    async with open_world(rule(Fault.ERROR, code="UNKNOWN_ERROR")) as world:
        manifest = [project("Cats", key="c"), users("@c", "a@example.com"), *(dataset(f"Dogs {n}") for n in range(20))]
        async with world.provision(manifest, tmp_path / "j", settle_s=PATIENCE_S) as run:
            async for outcome in run:
                assert outcome.status.satisfied
                order.append(outcome.number)
                if len(order) == 20:
                    time_passes(PATIENCE_S)
        assert order[-2:] == [1, 2]
        assert (world.made(), world.made("v2/datasets.POST").total()) == ({"Cats": 1}, 20)


async def test_late_commit(tmp_path: Path) -> None:
    """A create that is applied after its connection was cut is found within the settling time, and never doubled."""

    async def within() -> None:
        async with open_world(rule(Fault.LATE_COMMIT, seconds=0.2)) as world:
            (outcome,) = await world.run([project("Cats")], tmp_path / "within", settle_s=PATIENCE_S)
            assert outcome.status is Status.CREATED
            assert (world.sent(), world.made()) == (1, {"Cats": 1})

    async def beyond() -> None:
        async with open_world(rule(Fault.LATE_COMMIT, seconds=3600)) as world:
            (outcome,) = await world.run([project("Cats")], tmp_path / "beyond", settle_s=0.1)
            assert outcome.status is Status.IN_DOUBT
            assert world.sent() == 1
            time_passes(3600)
            await world.made_at_last("Cats")
            (outcome,) = await world.run([project("Cats")], tmp_path / "beyond", settle_s=0.1)
            assert outcome.status.satisfied
            assert world.contents() == {outcome.hash: []}
            assert world.sent() == 1

    await within()
    await beyond()


async def test_answer_that_takes_too_long(tmp_path: Path) -> None:
    """A create for whose answer nobody waited any longer is found when it is done."""
    async with open_world(rule(Fault.DELAY, seconds=0.7)) as world:
        world.attempt_s = 0.5
        (outcome,) = await world.run([project("Cats")], tmp_path / "j", settle_s=PATIENCE_S)
        assert outcome.status is Status.CREATED
        assert (world.sent(), world.made()) == (1, {"Cats": 1})


async def test_stale_listing(tmp_path: Path) -> None:
    """A listing that lags is waited for; one that lags by more than the settling time is not taken for a proof."""

    async def within() -> None:
        stale = rule(Fault.STALE_READ, LISTING, seconds=0.3, times=None)
        async with open_world(rule(Fault.DROP_AFTER_COMMIT), stale) as world:
            (outcome,) = await world.run([project("Cats")], tmp_path / "within", settle_s=PATIENCE_S)
            assert outcome.status is Status.CREATED
            assert (world.sent(), world.made()) == (1, {"Cats": 1})

    async def beyond() -> None:
        # Every listing: what is there already is read over another one than what is in doubt.
        stale = rule(Fault.STALE_READ, "*", seconds=3600, times=None)
        async with open_world(rule(Fault.DROP_AFTER_COMMIT), stale) as world:
            (outcome,) = await world.run([project("Cats")], tmp_path / "beyond")
            assert outcome.status is Status.IN_DOUBT
            # Now the process that asked is gone, and only what else this run makes shows that listings lag.
            manifest = [project("Cats"), project("Dogs")]
            async with world.provision(manifest, tmp_path / "beyond", settle_s=PATIENCE_S) as run:
                dogs = await anext(run)
                time_passes(PATIENCE_S)
                (cats,) = await all_of(run)
            assert (cats.status, dogs.status) == (Status.IN_DOUBT, Status.CREATED)
            assert "lag" in str(cats.error)
            world.emulator.clear_faults()
            await world.run_until_done(manifest, tmp_path / "beyond")
            assert world.made() == {"Cats": 1, "Dogs": 1}

    await within()
    await beyond()


async def test_look_that_fails_at_first(tmp_path: Path) -> None:
    """A look-up that does not come through is made again."""
    breakdown = rule(Fault.STATUS, LISTING, status=503, times=3)
    async with open_world(rule(Fault.DROP_AFTER_COMMIT), breakdown) as world:
        world.retry = RetryPolicy(max_attempts=1)
        (outcome,) = await world.run([project("Cats")], tmp_path / "j", settle_s=30.0)
        assert outcome.status is Status.CREATED
        assert (world.sent(), world.made()) == (1, {"Cats": 1})


async def test_refused_create_is_no_doubt(tmp_path: Path) -> None:
    """A create that was refused fails at once, without a look, and is tried by the next run."""
    async with open_world(rule(Fault.ERROR, code="INVALID_ARGUMENTS_ERROR")) as world:
        (outcome,) = await world.run([project("Cats")], tmp_path / "j")
        assert outcome.status is Status.FAILED
        assert world.sent(LISTING) == 0
        (outcome,) = await world.run([project("Cats")], tmp_path / "j")
        assert outcome.status is Status.CREATED


# --- stopped while in doubt -------------------------------------------------------------------------------------------


async def test_left_while_in_doubt(tmp_path: Path) -> None:
    """A run that is left while it waits has written down what is open; the next run finds it."""
    async with open_world(rule(Fault.DROP_AFTER_COMMIT), rule(Fault.STALE_READ, LISTING, seconds=9, times=3)) as world:
        async with world.provision([project("Cats")], tmp_path / "j"):
            await world.made_at_last("Cats")
        world.emulator.clear_faults()
        (outcome,) = await world.run([project("Cats")], tmp_path / "j")
        assert outcome.status.satisfied
        assert (world.sent(), world.made()) == (1, {"Cats": 1})


async def test_drained_while_in_doubt(tmp_path: Path) -> None:
    """A run that is asked to stop does not wait out a settling time of minutes; the entry is in doubt."""
    async with open_world(rule(Fault.DROP_BEFORE)) as world:
        async with (
            world.provision([project("Cats")], tmp_path / "j", settle_s=600) as run,
            anyio.create_task_group() as group,
        ):

            async def stop() -> None:
                await until(lambda: world.sent(LISTING) >= 2)
                run.drain()

            group.start_soon(stop)
            with anyio.fail_after(PATIENCE_S):
                (outcome,) = await all_of(run)
        assert outcome.status is Status.IN_DOUBT
        (outcome,) = await world.run([project("Cats")], tmp_path / "j")
        assert outcome.status is Status.CREATED
        assert world.made() == {"Cats": 1}


async def test_key_withdrawn_while_in_doubt(tmp_path: Path) -> None:
    """If the look-up is not allowed any more, the run stops with that, and the entry is in doubt, not cancelled."""
    outcomes: list[Outcome] = []
    withdrawn = rule(Fault.ERROR, LISTING, code="AUTHENTICATION_ERROR", times=None)
    async with open_world(rule(Fault.DROP_AFTER_COMMIT), withdrawn) as world:
        async with world.provision([project("Cats")], tmp_path / "j") as run:
            with pytest.raises(AuthenticationError):
                await collect(run, outcomes)
        assert [outcome.status for outcome in outcomes] == [Status.IN_DOUBT]
        world.emulator.clear_faults()
        (outcome,) = await world.run([project("Cats")], tmp_path / "j")
        assert outcome.status.satisfied
        assert (world.sent(), world.made()) == (1, {"Cats": 1})


# --- namesakes --------------------------------------------------------------------------------------------------------

TROUBLE = {
    "drop_after_commit": rule(Fault.DROP_AFTER_COMMIT),
    "truncate": rule(Fault.TRUNCATE),
    "status": rule(Fault.STATUS, status=502),
    "drop_before": rule(Fault.DROP_BEFORE),
    "late_commit": rule(Fault.LATE_COMMIT, seconds=0.1),
    "both lost": rule(Fault.DROP_AFTER_COMMIT, times=2),
    "both broken": rule(Fault.STATUS, status=502, times=2),
    "both dropped": rule(Fault.DROP_BEFORE, times=2),
    "both late": rule(Fault.LATE_COMMIT, seconds=0.1, times=2),
    "second lost": rule(Fault.DROP_AFTER_COMMIT, after=1),
    "second dropped": rule(Fault.DROP_BEFORE, after=1),
}


@pytest.mark.parametrize(
    ("other", "stamp", "journal"), part([*itertools.product((D1, D2), (False, True), ("j", None))], 3)
)
@pytest.mark.usefixtures("twins_pass")
async def test_namesakes(other: str, stamp: bool, journal: str | None, tmp_path: Path) -> None:
    """Two entries of equal titles, with equal or other datasets, have a project each and their own, come what may."""

    async def play(name: str) -> None:
        async with open_world(TROUBLE[name]) as world:
            manifest = [project("Cats", datasets=[D1]), project("Cats", datasets=[other])]
            if journal is None:
                outcomes = await world.run(manifest, None, stamp=stamp)
                if any(outcome.status is Status.IN_DOUBT for outcome in outcomes):
                    # Without a journal that is the end of it; but nothing was made twice.
                    assert world.made()["Cats"] <= 2
                    return
            else:
                outcomes = await world.run_until_done(manifest, tmp_path / name, stamp=stamp)
            hashes = [str(outcome.hash) for outcome in outcomes]
            assert len(set(hashes)) == 2, name
            assert world.made() == {"Cats": 2}, name
            assert [world.contents()[project_hash] for project_hash in hashes] == [[D1], [other]], name

    async with anyio.create_task_group() as group:
        for name in TROUBLE:
            group.start_soon(play, name)


async def test_equal_api_keys(tmp_path: Path) -> None:
    """Two API keys of equal title and scopes in one project are two, though the answers of both were lost."""
    async with open_world(rule(Fault.DROP_AFTER_COMMIT, "projectapikey.POST", times=2)) as world:
        key = {"kind": "project_api_key", "project": "@p", "title": "ci", "scopes": ["label.read"]}
        outcomes = await world.run_until_done([project("P", key="p"), key, key], tmp_path / "j")
        assert {outcome.status for outcome in outcomes} == {Status.CREATED}
        assert world.made("projectapikey.POST") == {"ci": 2}
        assert world.sent("projectapikey.POST") == 2


async def test_what_was_there_is_never_taken_for_the_answer(tmp_path: Path) -> None:
    """With existing=create, a namesake from before is not adopted, however often the create goes wrong."""

    async def play(name: str, *faults: FaultRule) -> None:
        async with open_world() as world:
            async with world.session() as session:
                before = await session.create_project("Cats")
            world.emulator.set_faults(faults)
            options = {"existing": "create", "settle_s": 0.1}
            (outcome,) = await world.run_until_done([project("Cats")], tmp_path / name, **options)
            assert outcome.hash != before
            assert world.made() == {"Cats": 2}

    broken, dropped = rule(Fault.STATUS, status=502), rule(Fault.DROP_BEFORE)
    await all_at_once(
        lambda: play("once", broken),
        lambda: play("twice", rule(Fault.STATUS, status=502, times=2)),
        lambda: play("broken, then dropped", broken, dropped),
        lambda: play("dropped, then broken", dropped, broken),
        lambda: play("dropped twice", rule(Fault.DROP_BEFORE, times=2)),
        lambda: play("lost", rule(Fault.DROP_AFTER_COMMIT)),
    )


async def test_stranger_of_the_same_title(tmp_path: Path) -> None:
    """If somebody else has made a namesake meanwhile, it is in doubt, with the candidates, and not sent again."""
    slow = rule(Fault.STALE_READ, LISTING, seconds=3600, times=1)
    async with open_world(rule(Fault.DROP_AFTER_COMMIT), slow) as world:
        async with world.session() as session, world.provision([project("Cats")], tmp_path / "j", settle_s=1.0) as run:
            await world.made_at_last("Cats")
            stranger = await session.create_project("Cats")
            (outcome,) = await all_of(run)
        assert outcome.status is Status.IN_DOUBT
        assert len(outcome.candidates) == 2
        assert stranger in outcome.candidates
        (again,) = await world.run([project("Cats")], tmp_path / "j")
        assert (again.status, set(again.candidates)) == (Status.IN_DOUBT, set(outcome.candidates))
        assert world.made() == {"Cats": 2}


# --- stamps -----------------------------------------------------------------------------------------------------------


async def test_stamped_descriptions(tmp_path: Path) -> None:
    """With stamp=True what is made carries a mark of its entry, the same in every run, after its own description."""
    async with open_world(rule(Fault.DROP_BEFORE)) as world:
        manifest = [project("Cats", description="All of them"), dataset("Raw"), dataset("Raw")]
        await world.run_until_done(manifest, tmp_path / "j", stamp=True)
        state = world.emulator.state()
        (cats,) = state["projects"]
        raw = [found["description"] for found in state["datasets"] if found["title"] == "Raw"]
        shown = [cats["description"].removeprefix("All of them "), *raw]
        assert len(set(shown)) == 3
        for mark in shown:
            assert mark.startswith("[encord-async ")
            assert len(mark) == len("[encord-async 0123456789ab]")
        outcomes = await world.run(manifest, tmp_path / "j", stamp=True)
        assert {outcome.status for outcome in outcomes} == {Status.UNCHANGED}


async def test_stamped_things_of_others_are_not_adopted(tmp_path: Path) -> None:
    """A new entry does not adopt what another entry of the manifest, of the same title, has made in an earlier run."""
    async with open_world() as world:
        one, two = project("Cats", key="one"), project("Cats", key="two")
        (first,) = await world.run([one], tmp_path / "j", stamp=True)
        outcomes = await world.run([two, one], tmp_path / "j", stamp=True)
        assert [outcome.status for outcome in outcomes] == [Status.CREATED, Status.UNCHANGED]
        assert outcomes[1].hash == first.hash != outcomes[0].hash


async def test_stamping_begins_later(tmp_path: Path) -> None:
    """Nor what it made when there were no stamps yet."""
    async with open_world() as world:
        one, two = project("Cats", key="one"), project("Cats", key="two")
        await world.run([one], tmp_path / "j")
        outcomes = await world.run([two, one], tmp_path / "j", stamp=True)
        assert [outcome.status for outcome in outcomes] == [Status.CREATED, Status.UNCHANGED]


async def test_two_runs_at_once(tmp_path: Path) -> None:
    """Two manifests of equal keys and titles at the same time in one account: with stamps neither takes the other's.

    They adopt nothing: what was made for the same entry under another journal is what a run would adopt.
    """
    faults = (
        rule(Fault.DROP_AFTER_COMMIT, probability=0.3, times=None, seed=1),
        rule(Fault.STATUS, status=502, probability=0.2, times=None, seed=2),
        rule(Fault.DROP_BEFORE, probability=0.1, times=None, seed=3),
    )
    hashes: dict[str, list[str | None]] = {}
    async with open_world(*faults) as world:

        async def provision(name: str, *datasets: str) -> None:
            manifest = [project(f"Cats {n}", key=f"cats-{n}", datasets=datasets) for n in range(20)]
            options = {"stamp": True, "existing": "create"}
            outcomes = await world.run_until_done(manifest, tmp_path / name, **options)
            hashes[name] = [outcome.hash for outcome in outcomes]

        async with anyio.create_task_group() as group:
            group.start_soon(provision, "one", D1)
            group.start_soon(provision, "two", D2, D3)
        assert world.made() == {f"Cats {n}": 2 for n in range(20)}
        assert [world.contents()[str(found)] for found in hashes["one"]] == [[D1]] * 20
        assert [world.contents()[str(found)] for found in hashes["two"]] == [[D2, D3]] * 20
