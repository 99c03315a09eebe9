"""A service whose bucket holds one token: how near do we come to who sends evenly, at the rate that suits it best?

Such a service refuses whoever arrives too soon behind another. Evenly spaced is all that a client can send; the network
moves requests together, and what then is refused is a matter of the rate alone. So ours is set against a sender in the
same network that leaves a constant time between requests, at the highest rate at which no larger share is refused than
of ours. It knows the limit and the network, which we have to learn. Virtual time.

    python benchmarks/spacing.py [--quick]
"""

import argparse
import itertools
import random
import sys
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from tests.session.simulation import LATENCY_SIGMA, Cell, Service, simulate

LIMITS_PER_S: Final = (5.0, 20.0, 100.0)
JITTERS: Final = (LATENCY_SIGMA, 0.1, 0.0)
"""Round trips of which one in 20 takes longer than 1.9, 1.2 and 1.0 times the usual one."""
STEPS: Final = 100


def even(cell: Cell, per_s: float) -> tuple[float, float]:
    """What is accepted, in terms of the limit, of requests sent *per_s*, and the share that is refused."""
    service = Service(cell, random.Random(f"even {cell}"))
    number = round(cell.duration_s * per_s)
    accepted = sum(map(service.take, sorted(sent / per_s + service.way_s() for sent in range(number))))
    return accepted / number * per_s / cell.limit_per_s, 1 - accepted / number


def best_even(cell: Cell, refused: float) -> float:
    """The most of the limit that an even sender gets of which no more is *refused*."""
    tried = (even(cell, cell.limit_per_s * step / STEPS) for step in range(1, STEPS))
    return max(goodput for goodput, share in tried if share <= refused)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20/s only")
    quick = parser.parse_args().quick
    found = []
    for jitter, limit_per_s in itertools.product(JITTERS, LIMITS_PER_S[1:2] if quick else LIMITS_PER_S):
        cell = Cell(in_flight=64, limit_per_s=limit_per_s, long_burst=False, jitter=jitter, single=True)
        ours = simulate(cell)
        found.append((jitter, limit_per_s, ours.goodput, ours.refused_late, best_even(cell, ours.refused_late)))
    report(
        "spacing",
        title="A bucket of one token, in virtual time: 64 in flight, a median round trip of 80 ms",
        header=("jitter", "limit", "ours", "refused after 20 s", "evenly, as much refused", "ours / evenly"),
        rows=[
            (jitter, f"{limit_per_s:g}/s", f"{ours:.2f}", f"{refused:.1%}", f"{best:.2f}", f"{ours / best:.2f}")
            for jitter, limit_per_s, ours, refused, best in found
        ],
        figures={
            "runs": [
                {"jitter": jitter, "limit_per_s": limit_per_s, "goodput": ours, "refused": refused, "evenly": best}
                for jitter, limit_per_s, ours, refused, best in found
            ]
        },
        repeats=1,
        quick=quick,
    )


if __name__ == "__main__":
    main()
