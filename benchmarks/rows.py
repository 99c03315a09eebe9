"""Peak memory of checking and expanding one entry of a manifest with ``for_each`` over a table: a million rows.

The command is a process of its own each time. What is measured is the peak of its resident memory, with Python and all
imports in it. Nothing is sent.

    python benchmarks/rows.py [--quick]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

# Each file runs by itself, and the folder of a script is all that Python looks in.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._common import report
from benchmarks._goals import Goal, as_figures, verdicts

LONG, SHORT = 1_000_000, 100_000
MAX_BYTES_A_ROW: Final = 150
MANIFEST: Final = """\
- kind: project
  for_each: customers.csv
  key: "p-{{ id }}"
  title: "Project of {{ name }}"
  users: [{email: "{{ email }}", role: annotator}]
"""
VERBS: Final = ("validate", "expand")


def write(folder: Path, rows: int) -> Path:
    """A manifest of one entry, and beside it the table that it is made for."""
    with (folder / "customers.csv").open("w", encoding="utf-8") as table:
        table.write("id,name,email\n")
        table.writelines(f"{row:07},Customer {row},user{row}@example.com\n" for row in range(rows))
    manifest = folder / "programme.yaml"
    manifest.write_text(MANIFEST, encoding="utf-8")
    return manifest


def measure(verb: str, rows: int) -> dict[str, Any]:
    """Run one verb over so many rows in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = write(Path(folder), rows)
        began_s = time.perf_counter()
        program = "import sys; from encord_async.cli.main import run; sys.exit(run())"
        command = [sys.executable, "-c", program, verb, str(manifest)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, (verb, rows, process.returncode)
        # Linux counts in units of 1,024 bytes, macOS in bytes.
        peak_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        elapsed_s = time.perf_counter() - began_s
    return {"peak_bytes": peak_bytes, "elapsed_s": elapsed_s, "cpu_s": used.ru_utime + used.ru_stime}


def main() -> None:
    """Measure each verb at both lengths and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the lengths: shows that it works, no figures")
    arguments = parser.parse_args()
    short, long = (SHORT // 10, LONG // 10) if arguments.quick else (SHORT, LONG)
    table, goals, figures = [], [], []
    for verb in VERBS:
        found = {rows: measure(verb, rows) for rows in (short, long)}
        each = (found[long]["peak_bytes"] - found[short]["peak_bytes"]) / (long - short)
        figures.append({"verb": verb, "short": found[short], "long": found[long], "bytes_a_row": each})
        goals.append(Goal(name=f"{verb}: bytes that one more row takes", found=each, most=MAX_BYTES_A_ROW))
        for rows, one in found.items():
            peak, cpu = f"{one['peak_bytes'] / 1e6:.1f}", f"{one['cpu_s']:.1f}"
            table.append((verb, f"{rows:,}", peak, f"{one['elapsed_s']:.1f}", cpu, f"{rows / one['cpu_s']:,.0f}"))
    report(
        "rows",
        title="Peak resident memory of one entry with for_each over a table",
        header=("verb", "rows", "peak MB", "s", "CPU s", "rows per CPU s"),
        rows=table,
        notes=verdicts(goals),
        figures={"runs": figures, "goals": as_figures(goals)},
        packages=("jinja2", "pydantic", "pyyaml"),
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
