"""What every benchmark says at its end: the machine, the versions, a table, and one line of JSON kept in results/.

It measures nothing itself.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

__all__ = ["RESULTS", "SDK_PYTHON", "SDK_RELEASE", "machine", "report", "table", "versions"]

RESULTS: Final = Path(__file__).with_name("results")
SDK_RELEASE: Final = "0.1.211"
"""Of the official SDK, where it stands beside ours; and the interpreter that has it."""
SDK_PYTHON: Final = Path(
    os.environ.get("ENCORD_SDK_NEW_PYTHON")
    or Path(__file__).resolve().parents[1] / f".venv-sdk/{SDK_RELEASE}/bin/python"
)


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
    }


def versions(*packages: str) -> dict[str, str]:
    """The versions of ours and of *packages* in this environment."""
    return {package: version(package) for package in ("encord-async", *packages)}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns under their names, the first to the left and the others to the right."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for first, *others in cells:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *right]))
    return "\n".join(lines)


def report(
    name: str,
    *,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    figures: Mapping[str, object],
    repeats: int = 1,
    packages: Sequence[str] = (),
    notes: Sequence[str] = (),
    quick: bool,
) -> None:
    """Print title, machine, table and notes, then *figures* as a JSON line.

    The line is kept as ``results/NAME.json``; that of a *quick* run is not, its figures say little.
    """
    facts = {"benchmark": name, "quick": quick, "repeats": repeats, **machine(), "versions": versions(*packages)}
    print(f"{title}{' (quick: these figures say little)' if quick else ''}")
    where = f"{facts['system']}, {facts['cores']} cores, load {facts['load'][0]}, Python {facts['python']}"
    print(f"{where}; {f'median of {repeats} runs' if repeats > 1 else 'one run'}")
    print(", ".join(f"{package} {number}" for package, number in facts["versions"].items()))
    print(table(header, rows))
    for note in notes:
        print(note)
    line = json.dumps({**facts, "notes": list(notes), "figures": figures})
    print(line)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(line + "\n", encoding="utf-8")
