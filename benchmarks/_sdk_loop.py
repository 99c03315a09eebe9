"""A careful user's loop around the official SDK; run by the SDK's own Python, never by ours.

Each project is made in a loop that catches, sleeps and tries again. What is done is appended to a
file and synced, so that the next start goes on from there. It knows nothing of our package.
"""

import argparse
import importlib
import json
import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

_PAUSE_S: Final = 0.2


class _Done:
    """The user's own notes: what has been made, and as what."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.made: dict[str, str] = {}
        if path.exists():
            whole = path.read_text().rpartition("\n")[0]
            self.made = dict(json.loads(line) for line in whole.splitlines())
        # A line that was cut by a kill is written anew.
        path.write_text("".join(json.dumps(item) + "\n" for item in self.made.items()))
        self._file = path.open("a")

    def note(self, what: str, made: str) -> None:
        """Write down that *what* was made."""
        with self._lock:
            self.made[what] = made
            self._file.write(json.dumps([what, made]) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def _until_it_works(attempt: Any) -> str:
    while True:
        try:
            return str(attempt())
        except Exception:  # noqa: BLE001 - so does the user
            time.sleep(_PAUSE_S)


def main() -> None:
    """Make what is not noted yet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("key_file", type=Path)
    parser.add_argument("notes", type=Path)
    parser.add_argument("projects", type=int)
    parser.add_argument("dataset")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    encord: Any = importlib.import_module("encord")
    client = encord.EncordUserClient.create_with_ssh_private_key(arguments.key_file.read_text(), domain=arguments.url)
    done = _Done(arguments.notes)

    def make(number: int) -> None:
        title = f"Project {number}"
        if title not in done.made:
            done.note(title, _until_it_works(lambda: client.create_project(title, [arguments.dataset])))

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(make, range(arguments.projects)):
            pass
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
