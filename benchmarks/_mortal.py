"""An emulator that is killed while it is worked on, for benchmarks of what is left then. Nothing here prints."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class MortalEmulator:
    """The emulator as a process with its state on disk; it can be killed and comes back on the same port."""

    def __init__(self, folder: Path, faults: Sequence[Mapping[str, object]], *options: str) -> None:
        (folder / "faults.json").write_text(json.dumps(faults))
        self.key_file = folder / "key"
        self.url = "http://127.0.0.1:0"
        self.requests_before = 0
        self._command = [sys.executable, "-m", "encord_async.emulator", "--state", str(folder / "state.db")]
        self._command += ["--write-key", str(self.key_file), "--faults", str(folder / "faults.json")]
        self._command += options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, where it was before."""
        command = [*self._command, "--port", self.url.rpartition(":")[2]]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            kill(self._process)

    def restart(self) -> None:
        """Kill it and start it again; what it had counted is kept here."""
        self.requests_before += self.get("stats")["requests"]
        self.kill()
        self.start()

    def get(self, what: str) -> Any:
        """What ``GET /_emulator/...`` tells."""
        with urllib.request.urlopen(f"{self.url}/_emulator/{what}", timeout=600) as reply:  # noqa: S310 - loopback
            return json.load(reply)

    def requests(self) -> int:
        """Requests seen in all its lives."""
        return int(self.get("stats")["requests"]) + self.requests_before

    def writes(self) -> int:
        """Requests seen in this life that would change something."""
        by_query: dict[str, int] = self.get("stats")["by_query"]
        return sum(count for name, count in by_query.items() if name.endswith(".POST"))


def kill(process: "subprocess.Popen[str]") -> None:
    """kill -9, and wait until it is gone."""
    process.kill()
    process.communicate()
