"""Where the threads of a worker are, told by a worker that answers nobody any more. It changes nothing else there."""

import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

__all__ = ["Stacks", "stacks"]

_FILE = "stacks"
_WRITTEN_S = 1.0
"""A worker that is not stopped writes at once, whoever has the interpreter's lock; of a stopped one nothing comes."""


class Stacks(WorkerPlugin):
    """Has each worker write the stacks of its threads into a file of its folder, upon a signal."""

    name = "stacks"

    def setup(self, worker: Any) -> None:
        """Called on each worker as it starts."""
        # A bare descriptor, which lives as long as the process.
        written = os.open(Path(worker.local_directory, _FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        faulthandler.register(signal.SIGUSR1, file=written, all_threads=True)


def stacks(client: Any) -> dict[int, str]:
    """The stacks of the threads of each worker of *client*'s local cluster, by process."""
    found = {}
    for nanny in client.cluster.workers.values():
        worker = nanny.process
        written = None if worker is None or worker.worker_dir is None else Path(worker.worker_dir, _FILE)
        if written is not None and written.exists():
            os.kill(worker.pid, signal.SIGUSR1)
            time.sleep(_WRITTEN_S)
            found[worker.pid] = written.read_text()
    return found
