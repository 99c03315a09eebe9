"""The whole grid of the pacer: the real session before a simulated service, in virtual time, against its goals.

Says a line for each cell, then a table by schedule and limit, and the goals that were missed and by how much. The tests
run a part of it with a seed of their own: ``tests/session/test_grid.py``. It takes six to seven
minutes of processor time for each seed.

What is missed is where two goals meet. At 5/s, who looks higher more often finds a limit that has tripled sooner, and
is refused more often while it has not; a minute of it lets 900 requests through, and a look costs 15 s and one refusal.
Where somebody else takes half of the limit at random, a share of requests meets an empty bucket at any rate near the
rest. And a long burst that has filled up meanwhile (after an outage, or while half of the limit went unused) looks like
a higher limit until it is used up. Tried at 5/s: cuts of 4 or 3 % instead of 6 (goodput of flat runs 0.993 instead of
0.991, 1.5 to 2.3 % refused instead of 1.4), a first step of 1 % and stretches of 4 successes (nine tenths of the
tripled runs refuse more than 2 %), a calm of 20 or 30 successes (tripled runs gain or lose 1 point, halved ones refuse
2.1 or 1.8 %), further cuts that grow by 3 points each (a limit that halves costs 11 refusals instead of 7). Tried at
all limits: to double above a known limit instead of rising in a straight line (81 runs instead of 61 are refused too
much).

    python benchmarks/pacing_grid.py [--quick] [--seeds N]
"""

import argparse
import itertools
import multiprocessing
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts
from tests.session.simulation import (
    HINTS,
    IN_FLIGHT,
    LIMITS_PER_S,
    SCHEDULES,
    Cell,
    Hint,
    Result,
    Schedule,
    margins,
    missed,
    simulate,
    without_seed,
)

FIRST_SEED: Final = 1000


def main() -> None:
    """Run the grid as the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1, help="runs of each cell (default 1)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"default {FIRST_SEED}")
    parser.add_argument("--quick", action="store_true", help="only the cells without a hint, below 500/s")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    cells = list(_cells(seeds, ("none",) if arguments.quick else HINTS, LIMITS_PER_S[: 3 if arguments.quick else None]))
    results: list[Result] = []
    with multiprocessing.Pool() as pool:
        runs = pool.imap(simulate, cells)
        for _, group in itertools.groupby(runs, key=lambda result: without_seed(result.cell)):
            results += _said(list(group))
    misses: dict[str, list[tuple[float, Cell]]] = defaultdict(list)
    for result in results:
        for goal, by in missed(result).items():
            misses[goal].append((by, result.cell))
    _report(results, misses, seeds=len(seeds), quick=arguments.quick)


def _cells(seeds: range, hints: Sequence[Hint], limits_per_s: Sequence[float]) -> Iterator[Cell]:
    for schedule, limit_per_s, long_burst, hint, in_flight, seed in itertools.product(
        SCHEDULES, limits_per_s, (False, True), hints, IN_FLIGHT, seeds
    ):
        yield Cell(
            in_flight=in_flight,
            limit_per_s=limit_per_s,
            long_burst=long_burst,
            hint=hint,
            schedule=schedule,
            seed=seed,
        )


def _said(runs: list[Result]) -> list[Result]:
    """The same *runs* of one cell, after a line about them."""
    goals = sorted({goal for run in runs for goal in missed(run)})
    print(
        f"{without_seed(runs[0].cell)!s:54} goodput {min(run.goodput for run in runs):7.2%}  "
        f"refused {max(run.refused for run in runs):6.2%}, after 20 s {max(run.refused_late for run in runs):6.2%}  "
        f"wait {max(run.wait_ratio for run in runs):6.2f}  {'MISSED: ' + '; '.join(goals) if goals else ''}",
        flush=True,
    )
    return runs


def _report(results: list[Result], misses: dict[str, list[tuple[float, Cell]]], *, seeds: int, quick: bool) -> None:
    groups: dict[tuple[Schedule, float], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.cell.schedule, result.cell.limit_per_s].append(result)
    notes = [
        f"missed: {goal}, in {len(where)} of {len(results)} runs, at worst by {worst:.3f} ({cell}, seed {cell.seed})"
        for goal, where in sorted(misses.items())
        if where
        for worst, cell in [max(where, key=lambda miss: miss[0])]
    ]
    judged = Counter(goal for result in results for goal in margins(result))
    aims = [
        Goal(name=f"runs of {judged[goal]} that miss: {goal}", found=len(misses[goal]), most=0)
        for goal in sorted(judged)
    ]
    report(
        "pacing_grid",
        title=f"{len(results) // seeds} cells in virtual time, {seeds} seed(s): worst and mean over the cells of a row",
        header=("schedule, limit", "goodput", "mean", "refused", "mean", "after 20 s", "load", "back s", "failed"),
        rows=[
            (
                f"{schedule}, {limit_per_s:g}/s",
                f"{min(run.goodput for run in runs):.2%}",
                f"{statistics.mean(run.goodput for run in runs):.2%}",
                f"{max(run.refused for run in runs):.2%}",
                f"{statistics.mean(run.refused for run in runs):.2%}",
                f"{max(run.refused_late for run in runs):.2%}",
                f"{max(run.outage_load for run in runs):.3f}",
                f"{max(run.back_s for run in runs):.1f}",
                sum(run.failed for run in runs),
            )
            for (schedule, limit_per_s), runs in groups.items()
        ],
        figures={
            "runs": len(results),
            "cpu_s": round(sum(run.cpu_s for run in results)),
            "worst": {goal: round(max(by for by, _ in where), 4) for goal, where in misses.items() if where},
            "rows": {
                f"{schedule}, {limit_per_s:g}/s": {
                    "goodput": round(statistics.mean(run.goodput for run in runs), 4),
                    "goodput_worst": round(min(run.goodput for run in runs), 4),
                    "refused": round(statistics.mean(run.refused for run in runs), 4),
                    "refused_after_20_s_worst": round(max(run.refused_late for run in runs), 4),
                    "failed": sum(run.failed for run in runs),
                }
                for (schedule, limit_per_s), runs in groups.items()
            },
            "goals": as_figures(aims),
        },
        repeats=seeds,
        notes=[*notes, *verdicts(aims)],
        quick=quick,
    )


if __name__ == "__main__":
    main()
