"""Whatever happens at any single point, a run that follows ends with exactly one of everything."""

import functools
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from encord_async.engine.account import Existing
from encord_async.engine.options import Options
from tests.crash.conftest import (
    SETTLE_S,
    Death,
    Fate,
    Job,
    Life,
    MortalJournal,
    Program,
    Service,
    World,
    assert_exactly_the_programme,
    of_numbers,
    programme,
)
from tests.thorough import is_thorough, stride, times

# Runs die at every few of the points that they have, and there are hundreds; at every one where it is thorough. The
# scenarios share the points: each begins at another one.
pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How the programme is run. *second_holds* are the datasets of the second of two projects of one name."""

    second_holds: tuple[str, ...]
    concurrency: int = 4
    lookahead: int = 10_000
    stamp: bool = False
    max_batch: int = 1000

    def options(self, *, settle_s: float) -> Options:
        """The options of its runs."""
        return Options(settle_s=settle_s, lookahead=self.lookahead, stamp=self.stamp, max_batch=self.max_batch)


SCENARIOS = {
    "all at once": Scenario(second_holds=("@night",)),
    "one by one": Scenario(second_holds=("@raw",), concurrency=1, lookahead=1),
    "stamped": Scenario(second_holds=("@raw",), stamp=True),
    "small batches": Scenario(second_holds=("@raw", "@night", "d-old"), max_batch=1),
}


class Programs:
    """Makes programs, each with a service and a journal of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: list[Service] = []

    def new(self, scenario: Scenario) -> Program:
        """A program of *scenario* that has not run yet."""
        service = Service()
        self._services.append(service)
        path = self._folder / f"{len(self._services)}.journal"
        program = Program(
            manifest=programme(second_holds=scenario.second_holds),
            service=service,
            journal=lambda death: MortalJournal(path, death),
            options=scenario.options(settle_s=0.01),
        )
        program.settings = replace(program.settings, concurrency=scenario.concurrency)
        return program

    def close(self) -> None:
        """Let go of all services."""
        for service in self._services:
            service.close()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Makes programs, and closes their services in the end."""
    made = Programs(tmp_path)
    yield made
    made.close()


async def assert_it_ends_well(program: Program, scenario: Scenario, deaths: Sequence[Death], *, twice: bool) -> None:
    """Let *program*, which has died before, live to its end; *twice* lets it run once more and make nothing."""
    try:
        life = await program.live()
        life.assert_all_satisfied(len(program.manifest))
        assert_exactly_the_programme(program.service, second_holds=scenario.second_holds)
        if twice:
            made = program.service.made()
            again = await program.live()
            again.assert_all_satisfied(len(program.manifest))
            assert program.service.made() == made
    except AssertionError as error:
        error.add_note(f"died at {[(death.at, death.passed[(death.at or 0) - 1]) for death in deaths]}")
        raise


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_death_at_any_point(programs: Programs, name: str) -> None:
    """Wherever the process ends, the next run leaves exactly one of everything, and the one after it makes nothing."""
    scenario, step = SCENARIOS[name], stride(11)
    for run, at in enumerate(itertools.count(1 + 3 * list(SCENARIOS).index(name) % step, step)):
        program, death = programs.new(scenario), Death(at)
        if not (await program.live(death)).died:
            break
        await assert_it_ends_well(program, scenario, [death], twice=run % 5 == 0)
    assert at > 60, "the programme has more points than that"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_deaths_in_two_runs(programs: Programs, name: str) -> None:
    """The resuming run may be ended as well, wherever it is: the third one leaves exactly one of everything."""
    scenario, chance = SCENARIOS[name], random.Random(name)
    first, second, most = 0, 0, 12 * times(2, of=1)
    while True:
        # Points are drawn so that each run's are spread over all it passes.
        first += chance.randint(most // 4, most)
        program, deaths = programs.new(scenario), [Death(first)]
        if not (await program.live(deaths[0])).died:
            break
        second = 1 + (second + chance.randint(5, 30)) % 70
        deaths.append(Death(second))
        life: Life = await program.live(deaths[1])
        if not life.died:
            deaths.pop()
        await assert_it_ends_well(program, scenario, deaths, twice=False)


@functools.cache
def calls_of(name: str) -> Sequence[str]:
    """What a run asks in which nothing goes wrong, in its order."""
    scenario, world = SCENARIOS[name], World()
    manifest = programme(second_holds=scenario.second_holds)
    world.live(Job(manifest=manifest, options=scenario.options(settle_s=SETTLE_S)))
    world.close()
    return world.calls


def struck(name: str, fate: Fate) -> Iterable[int]:
    """The numbers of the requests of a scenario that *fate* is to strike.

    That is all of them where it is thorough. Else the scenarios share the calls, so that each fate strikes each call in
    one of them: now the first of its requests, now a later one.
    """
    calls, turn = calls_of(name), list(SCENARIOS).index(name) + list(Fate).index(fate)
    if is_thorough():
        return range(len(calls))
    places = [[at for at, call in enumerate(calls) if call == one] for one in sorted(set(calls))]
    return [ats[turn % len(ats)] for number, ats in enumerate(places) if (number + turn) % len(SCENARIOS) == 0]


def test_every_fate_strikes_every_call() -> None:
    """No pair of a fate and a call is left out, however few requests are struck."""
    for fate in Fate:
        assert {calls_of(name)[at] for name in SCENARIOS for at in struck(name, fate)} == set(calls_of("one by one"))


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_any_request(name: str, fate: Fate) -> None:
    """Whichever single request goes wrong, and however, two runs leave exactly one of everything."""
    scenario = SCENARIOS[name]
    options = scenario.options(settle_s=SETTLE_S)
    manifest = programme(second_holds=scenario.second_holds)
    for number in struck(name, fate):
        world, job = World(), Job(manifest=manifest, options=options)
        try:
            world.live(job, fates=of_numbers({number: fate}))
            world.live(job).assert_all_satisfied(len(manifest))
            assert_exactly_the_programme(world.service, second_holds=scenario.second_holds)
        except AssertionError as error:
            error.add_note(f"request {number}, {calls_of(name)[number]}, was {fate}")
            raise
        finally:
            world.close()


@pytest.mark.parametrize(
    "fates",
    [
        [Fate.APPLIED_AND_LOST],
        [Fate.LOST],
        [Fate.BROKEN],
        [Fate.BROKEN, Fate.BROKEN, Fate.APPLIED_AND_LOST],
        [Fate.BROKEN, Fate.LOST],
    ],
)
def test_what_was_there_before_is_not_taken_for_it(fates: list[Fate]) -> None:
    """Where another one is asked for beside what is there, a create in doubt does not end with the old one."""
    world, left = World(), list(fates)
    job = Job(
        manifest=[{"kind": "project", "key": "new", "title": "Dogs"}],
        options=Options(settle_s=SETTLE_S, existing=Existing.CREATE),
    )
    world.live(job, fates=lambda _, name: left.pop(0) if left and name == "project.POST" else None)
    life = world.live(job)
    life.assert_all_satisfied(1)
    assert life.outcomes[0].hash != "p-dogs"
    assert world.service.made() == {("project.POST", "Dogs"): 1}
    world.close()
