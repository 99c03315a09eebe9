"""kill -9 of a real process, again and again over one job, while the service drops, cuts, breaks and throttles."""

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests import warm
from tests.crash.conftest import CREATES, Census, EmulatorProcess, Runner, big_programme, census, kill
from tests.thorough import times

pytestmark = pytest.mark.process

KILLS: Final = times(5, of=16)
PROJECTS: Final = times(60, of=150)
FAULTS: Final = [
    *({"query": call, "fault": "drop_after_commit", "probability": 0.1, "seed": 1} for call in sorted(CREATES)),
    {"query": "*", "fault": "truncate", "probability": 0.05, "seed": 2},
    {"query": "*", "fault": "status", "status": 502, "probability": 0.05, "seed": 3},
]


def wait_for_requests(emulator: EmulatorProcess, process: warm.Popen, requests: int) -> bool:
    """Wait until the emulator has seen so many more requests; False if *process* has ended before."""
    until = emulator.get("stats")["requests"] + requests
    while emulator.get("stats")["requests"] < until:
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    return True


@pytest.mark.slow  # processes, one after another, each killed and begun again
def test_killed_again_and_again(tmp_path: Path) -> None:
    """However often a run is killed and whatever the service does, in the end nothing is there twice or missing."""
    chance = random.Random(20)
    (tmp_path / "faults.json").write_text(json.dumps(FAULTS))
    options = ("--faults", str(tmp_path / "faults.json"), "--rate-limit", "300", "--burst", "30")
    kills, projects = 0, PROJECTS
    with EmulatorProcess(tmp_path, *options) as emulator:
        runner = Runner(tmp_path, emulator, big_programme(projects))
        while kills < KILLS:
            process = runner.start()
            if kills % 5 == 4:
                # Some die young: while the journal is made or opened, or before anything is sent.
                time.sleep(chance.uniform(0.2, 0.6))
            elif not wait_for_requests(emulator, process, chance.randint(3, 50)):
                # Who gets little of the processor is late for the end of a job, which then grows.
                process.communicate()
                projects += PROJECTS
                assert projects <= 10 * PROJECTS, "runs end without doing anything"
                runner = replace(runner, manifest=big_programme(projects))
                continue
            kill(process)
            kills += 1
        runner.run_to_the_end(most_runs=8)
        found = census(runner.manifest, emulator.get("log"), emulator.get("state"))
    assert found == Census([], [])
