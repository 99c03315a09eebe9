"""Creates by the official SDK from a pool of threads, for a given time; run by the SDK's own Python, never by ours.

Arguments: URL, key file, seconds, threads. Writes one JSON object: creates done, creates that ended in an error.
"""

import importlib
import json
import logging
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any


def main() -> None:
    """Create until the time is over."""
    url, key_file, seconds, threads = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    logging.disable(logging.CRITICAL)
    encord: Any = importlib.import_module("encord")
    client = encord.EncordUserClient.create_with_ssh_private_key(key_file.read_text(), domain=url)
    ends_s = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        while time.monotonic() < ends_s:
            try:
                client.create_project("Cats", [])
                outcome = "done"
            except Exception:  # noqa: BLE001 - whatever it is, the create has failed
                outcome = "failed"
            with lock:
                counts[outcome] += 1

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.stdout.write(json.dumps({"done": counts["done"], "failed": counts["failed"]}) + "\n")


if __name__ == "__main__":
    main()
