"""Builds the site: hand-written pages, what is made from the code, and nothing from the network.

Zensical, the maintained successor of Material for MkDocs, reads ``mkdocs.yml``; strictly: a link that leads nowhere, a
name that is not there or a table that cannot be made ends the build.

    python docs/workshop/build.py OUT       # the site is OUT/site/index.html, and opens from disk
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    # Last, so that the package that is installed counts before the checkout.
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from docs.workshop import code_reference, manifest_reference
from docs.workshop.facts import TABLES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COPIED = ("*.md", "images/*", "assets/*", "tutorial/*", "how-to/*", "concepts/*", "reference/*")
HOLE = re.compile(r"<!-- code: ([\w-]+) -->")
SHIM = re.compile(r'<script src="https://unpkg\.com/iframe-worker/shim"[^>]*></script>')
"""What lets the search work on pages that are opened from disk; the theme would take it from the network."""
FROM_NETWORK = re.compile(r"""<(?:script|img|iframe|link rel="stylesheet")[^>]*(?:src|href)=["']?https?:[^>]*>""")


def main() -> int:
    """Build the site in the folder that the command line names; return the exit code."""
    out = Path(sys.argv[1]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    stage(out / "pages")
    configured = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("docs_dir: docs\n", "docs_dir: pages\n")
    (out / "mkdocs.yml").write_text(configured, encoding="utf-8")
    # It asks for a formatter of signatures by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(out / "mkdocs.yml")]
    done = subprocess.run(command, check=False, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode != 0 or "No issues found" not in done.stdout + done.stderr:
        sys.stderr.write(done.stdout + done.stderr)
        return 1
    take_off_the_network(out / "site")
    sys.stdout.write(f"{out / 'site' / 'index.html'}\n")
    return 0


def stage(pages: Path) -> None:
    """Write all pages to the folder *pages*, those made from the code with them."""
    for pattern in COPIED:
        for path in DOCS.glob(pattern):
            if path.is_file():
                copy(path, pages / path.relative_to(DOCS))
    for path in (ROOT / "benchmarks" / "results").glob("*.svg"):
        copy(path, pages / "images" / path.name)
    made = {
        "reference/manifest.md": manifest_reference.page(),
        "reference/command-line.md": code_reference.command_line(),
        "reference/errors.md": code_reference.errors(),
        "reference/environment.md": code_reference.environment(),
        **{f"reference/{name}": text for name, text in code_reference.python_pages()},
    }
    for name, text in made.items():
        target = pages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def copy(path: Path, target: Path) -> None:
    """Copy a file; in a page the tables that are made from the code are filled in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".md":
        shutil.copyfile(path, target)
        return
    text = path.read_text(encoding="utf-8")
    target.write_text(HOLE.sub(lambda hole: TABLES[hole[1]](), text), encoding="utf-8")


def take_off_the_network(site: Path) -> None:
    """Let each page take what it needs from the site itself.

    Raises:
        ValueError: A page would ask the network for something.
    """
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        up = "../" * (len(page.relative_to(site).parts) - 1)
        text = SHIM.sub(f'<script src="{up}assets/iframe-worker.js"></script>', text)
        if found := FROM_NETWORK.search(text):
            raise ValueError(f"{page} asks the network for {found[0]}")
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
