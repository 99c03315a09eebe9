"""What all benchmarks found against what was asked of them, as one table made from ``results/*.json``.

It measures nothing; `make bench` runs it last. It prints the table and keeps it as ``results/summary.md``.

    python benchmarks/summary.py
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import RESULTS


def rows(result: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """What was measured, what was found, what was asked for, and whether that was met; for each goal of a result."""
    goals = result["figures"].get("goals", [])
    for goal in goals if isinstance(goals, list) else []:
        found, least, most = goal["found"], goal.get("least"), goal.get("most")
        if least is not None:
            asked, met, bound = f"at least {least:g}", found >= least, least
        else:
            asked, met, bound = f"at most {most:g}", found <= most, most
        by = f"{abs(found / bound - 1):.0%}" if bound else f"{found:g}"
        verdict = "met" if met else f"missed by {by}"
        yield goal["name"], f"{found:,.3f}" if found < 1000 else f"{found:,.0f}", asked, verdict


def main() -> None:
    """Print and keep the table."""
    lines = ["| benchmark | what | found | asked | |", "| --- | --- | ---: | ---: | --- |"]
    silent = []
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found = list(rows(result))
        lines += [f"| `{path.stem}.py` | {' | '.join(row)} |" for row in found]
        if not found:
            silent.append(path.stem)
    text = "\n".join(lines) + "\n"
    if silent:
        text += f"\nNo goals in the results of {', '.join(silent)}; see their own output.\n"
    print(text, end="")
    if RESULTS.exists():
        (RESULTS / "summary.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
