"""Runs tests while every core has other work, again and again, and says which of them ever failed.

It ends by itself, with 1 if a test failed. It changes nothing, and it is no test: pytest does not collect it.

    python tests/busy.py --times 10 [arguments for pytest]
    python tests/busy.py --load stress-ng                         # its processes keep the cores busy, not ours
    python tests/busy.py --load none --beside .venv-313/bin/pytest    # two Pythons test, each the other's load
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

_SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
# Not `-m pytest`, which would have the checkout under test in place of the installed wheel.
_PYTEST = str(Path(sys.executable).with_name("pytest"))


def loads(name: str) -> list[list[str]]:
    """The commands that keep all cores busy, until they are killed."""
    cores = os.cpu_count() or 1
    if name == "spin":
        return [[sys.executable, "-S", "-c", _SPIN]] * cores
    return [["stress-ng", "--quiet", "--cpu", str(cores)]] if name == "stress-ng" else []


@contextlib.contextmanager
def busy_cores(name: str) -> Iterator[None]:
    """Other work for each core; it ends with the block."""
    working = [subprocess.Popen(command) for command in loads(name)]
    try:
        yield
    finally:
        for process in working:
            # Kindly, since it may have processes of its own to end.
            process.terminate()
            process.wait()


def failures(arguments: Sequence[str], pytest: str) -> list[str]:
    """Run pytest once; the tests that failed, or that it ended without saying which."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [pytest, "-q", f"--junit-xml={report}", *arguments]
        code = subprocess.run(command, check=False).returncode
        cases = ET.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314 - pytest has just written it
        found = [f"{one.get('classname')}::{one.get('name')}" for one in cases if _failed(one)]
    who = "" if pytest == _PYTEST else f" ({pytest})"
    return [one + who for one in found or ([f"pytest ended with {code}"] if code else [])]


def _failed(case: "ET.Element[str]") -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def main() -> int:
    """Read the command line, run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--load", choices=["spin", "stress-ng", "none"], default="spin", help="what works beside them")
    parser.add_argument("--beside", metavar="PYTEST", help="the pytest of another environment, to run at the same time")
    known, arguments = parser.parse_known_args()
    failed: Counter[str] = Counter()
    testing = [_PYTEST, *([known.beside] if known.beside else [])]
    with busy_cores(known.load), ThreadPoolExecutor(len(testing)) as pool:
        for number in range(1, known.times + 1):
            print(
                f"=== run {number} of {known.times}, load: {known.load}, testing: {' and '.join(testing)}", flush=True
            )
            for found in pool.map(partial(failures, arguments), testing):
                failed.update(found)
    for test, times in failed.most_common():
        print(f"failed {times} of {known.times} times: {test}")
    if not failed:
        print(f"all passed, {known.times} times")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
