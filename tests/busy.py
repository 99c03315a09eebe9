"""Runs tests while every core has other work, again and again, and says which of them ever failed.

It ends by itself, with 1 if a test failed. It changes nothing, and it is no test: pytest does not collect it.

    python tests/busy.py --times 10 [arguments for pytest]
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """A process for each core that does nothing but compute; it ends with the block, or with this process."""
    spinning = [subprocess.Popen([sys.executable, "-S", "-c", _SPIN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def failures(arguments: list[str]) -> list[str]:
    """Run pytest once; the tests that failed, or that it ended without saying which."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Not `-m pytest`, which would have the checkout under test in place of the installed wheel.
        command = [str(Path(sys.executable).with_name("pytest")), "-q", f"--junit-xml={report}", *arguments]
        code = subprocess.run(command, check=False).returncode
        cases = ET.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314 - pytest has just written it
        found = [f"{one.get('classname')}::{one.get('name')}" for one in cases if _failed(one)]
    return found or ([f"pytest ended with {code}"] if code else [])


def _failed(case: "ET.Element[str]") -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def main() -> int:
    """Read the command line, run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    known, arguments = parser.parse_known_args()
    failed: Counter[str] = Counter()
    with busy_cores():
        for number in range(1, known.times + 1):
            print(f"=== run {number} of {known.times} beside {os.cpu_count()} busy processes", flush=True)
            failed.update(failures(arguments))
    for test, times in failed.most_common():
        print(f"failed {times} of {known.times} times: {test}")
    if not failed:
        print(f"all passed, {known.times} times")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
