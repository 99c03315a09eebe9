"""The service is killed and comes back while a run goes on."""

import json
import time
from pathlib import Path
from typing import Final

import pytest

from tests.crash.conftest import Census, EmulatorProcess, Runner, big_programme, census

pytestmark = pytest.mark.process

RESTARTS: Final = 3
PROJECTS: Final = 120


def commits(emulator: EmulatorProcess) -> int:
    """How many changes the emulator has committed."""
    return len(emulator.get("log"))


@pytest.mark.slow  # the service is a process that starts anew three times, and the run waits for it
def test_the_service_is_killed_under_a_run(tmp_path: Path) -> None:
    """Whatever was on its way when the service died, in the end nothing is there twice or missing."""
    restarts = 0
    with EmulatorProcess(tmp_path, "--rate-limit", "200", "--burst", "20", "--latency", "0.005-0.02") as emulator:
        runner = Runner(tmp_path, emulator, big_programme(PROJECTS))
        process = runner.start()
        while restarts < RESTARTS and process.poll() is None:
            until = commits(emulator) + 40
            while commits(emulator) < until and process.poll() is None:
                time.sleep(0.01)
            emulator.kill()
            emulator.start()
            restarts += 1
        told, errors = process.communicate()
        assert json.loads(told)["summary"]["entries"] == len(runner.manifest), errors
        runner.run_to_the_end(most_runs=4)
        found = census(runner.manifest, emulator.get("log"), emulator.get("state"))
    assert found == Census([], [])
    assert restarts == RESTARTS
