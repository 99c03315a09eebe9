"""How many whole ``Authorization`` headers a second one core makes, hash, signature and hex, beside OpenSSL's own rate.

Rates are per second of CPU, as ``openssl speed`` counts, so that what else the machine does is left out. OpenSSL signs
with the library of the machine, ours with the one that the ``cryptography`` wheel brings.

    python benchmarks/sign.py [--quick]
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts
from encord_async import SSHKey
from encord_async.operations import CreateProject

REPEATS: Final = 9
LEAST_OF_OPENSSL: Final = 0.8
HEADERS: Final = 20_000

OPENSSL: Final = "openssl speed ed25519"
RAW: Final = "cryptography: sign 32 bytes, nothing else"
UNCACHED: Final = "encord-async, each body new"
CACHED: Final = "encord-async, 500 bodies again and again"


def openssl_per_s(program: str) -> float:
    """Signatures per second of CPU that OpenSSL claims for itself.

    Raises:
        RuntimeError: Its output is not as known.
    """
    told = subprocess.run([program, "speed", "-seconds", "1", "ed25519"], capture_output=True, text=True, check=True)
    line = re.search(r"EdDSA \(Ed25519\)\s+\S+\s+\S+\s+([\d.]+)\s+[\d.]+", told.stdout)
    if line is None:
        raise RuntimeError(f"the output of openssl speed is not as known: {told.stdout[-500:]}")
    return float(line[1])


def per_s(make: Callable[[bytes], object], bodies: list[bytes]) -> float:
    """How often a second of CPU *make* turns a body into what it makes."""
    began_s = time.process_time()
    for body in bodies:
        make(body)
    return len(bodies) / (time.process_time() - began_s)


def fresh_bodies(count: int) -> Iterator[list[bytes]]:
    """Bodies of creates, new ones each time."""
    first = 0
    while True:
        yield [CreateProject(title=f"Project {number}").request().body for number in range(first, first + count)]
        first += count


def main() -> None:
    """Measure interleaved repeats and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few headers and two repeats: shows that it works")
    quick = parser.parse_args().quick
    repeats, headers = (2, 2000) if quick else (REPEATS, HEADERS)
    private = Ed25519PrivateKey.generate()
    key, digest = SSHKey(private), bytes(32)
    openssl, fresh = shutil.which("openssl"), fresh_bodies(headers)
    rates: defaultdict[str, list[float]] = defaultdict(list)
    few = next(fresh)[:500]
    for _ in range(repeats):
        if openssl is not None:
            rates[OPENSSL].append(openssl_per_s(openssl))
        rates[RAW].append(per_s(lambda _: private.sign(digest), few * (headers // len(few))))
        rates[UNCACHED].append(per_s(key.authorization, next(fresh)))
        per_s(key.authorization, few)
        rates[CACHED].append(per_s(key.authorization, few * (headers // len(few))))
    medians = {who: statistics.median(found) for who, found in rates.items()}
    goals = []
    if openssl is not None:
        share = statistics.median(ours / its for ours, its in zip(rates[UNCACHED], rates[OPENSSL], strict=True))
        goals.append(Goal(name=f"{UNCACHED} / {OPENSSL}", found=share, least=LEAST_OF_OPENSSL))
    report(
        "sign",
        title=f"Signatures per second of CPU; bodies of {len(few[0])} bytes",
        header=("who", "per CPU s", "range", "µs each"),
        rows=[
            (who, f"{medians[who]:,.0f}", f"{min(found):,.0f} to {max(found):,.0f}", f"{1e6 / medians[who]:.1f}")
            for who, found in rates.items()
        ],
        notes=[*(["missing: openssl"] if openssl is None else [_release(openssl)]), *verdicts(goals)],
        figures={
            "runs": [{"who": who, "per_cpu_s": medians[who], "all": found} for who, found in rates.items()],
            "goals": as_figures(goals),
        },
        packages=("cryptography",),
        repeats=repeats,
        quick=quick,
    )


def _release(openssl: str) -> str:
    return subprocess.run([openssl, "version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
