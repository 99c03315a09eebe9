"""So many creates by the official SDK from a pool of threads; run by the SDK's own Python, never by ours.

Arguments: URL, key file, creates, threads. Writes one JSON object: seconds and seconds of CPU. The client is made, and
one project created, before the clock starts.
"""

import importlib
import json
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def main() -> None:
    """Create and measure."""
    url, key_file, creates, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    logging.disable(logging.CRITICAL)
    encord: Any = importlib.import_module("encord")
    client = encord.EncordUserClient.create_with_ssh_private_key(key_file.read_text(), domain=url)

    def create(number: int) -> None:
        client.create_project(f"Project {number}", [])

    create(0)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(create, range(creates)):
            pass
    found = {"elapsed_s": time.perf_counter() - began_s, "cpu_s": time.process_time() - began_cpu_s}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
