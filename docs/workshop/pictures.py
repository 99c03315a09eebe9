"""Draws the pictures of the documentation: diagrams from the tables in the code, and screens of real runs.

Diagrams are drawn by Mermaid in Chromium, once, and kept as SVG with their source in them, so that a page needs neither
scripts nor a network to show them; `tests/test_docs.py` fails when a source is no longer what the code says. It takes
Chromium, and npm for Mermaid.

    python docs/workshop/pictures.py [diagrams] [screens]      # look at what it draws: docs/images
"""

import html
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

if __name__ == "__main__":
    # Last, so that the package that is installed counts before the checkout.
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from docs.workshop.facts import DIAGRAMS
from encord_async.emulator import EmulatorSettings
from encord_async.testing import EncordEmulator

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
MERMAID = "mermaid@11.17.2"
CHROMIUM = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
COLUMNS = 100
PAGE = """<!doctype html><meta charset="utf-8"><body><script src="mermaid.min.js"></script><script>
mermaid.initialize({startOnLoad: false, theme: "neutral", htmlLabels: false, flowchart: {htmlLabels: false}});
(async () => {
  const drawn = {};
  for (const [name, source] of Object.entries(SOURCES)) drawn[name] = (await mermaid.render("d-" + name, source)).svg;
  document.body.textContent = "DRAWN" + JSON.stringify(drawn) + "END";
})();
</script></body>"""


def main() -> None:
    """Draw what the command line names, or everything."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for draw in (diagrams, screens):
            if draw.__name__ in (sys.argv[1:] or ["diagrams", "screens"]):
                draw(Path(folder))


def diagrams(folder: Path) -> None:
    """Draw the diagrams, each with its source in a comment."""
    npm = shutil.which("npm") or "npm"
    subprocess.run([npm, "pack", "--silent", MERMAID], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("mermaid-*.tgz"))) as package:
        member = package.getmember("package/dist/mermaid.min.js")
        member.name = "mermaid.min.js"
        package.extract(member, folder, filter="data")
    sources = {name: source() for name, source in DIAGRAMS.items()}
    page = folder / "page.html"
    page.write_text(PAGE.replace("SOURCES", json.dumps(sources), 1), encoding="utf-8")
    command = [*CHROMIUM, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"DRAWN(\{.*\})END", shown, re.DOTALL)
    if found is None:
        raise RuntimeError(f"Mermaid drew nothing: {shown[-500:]}")
    drawn: Mapping[str, str] = json.loads(html.unescape(found[1]))
    for name, svg in drawn.items():
        (IMAGES / f"{name}.svg").write_text(f"{svg}\n<!-- {as_comment(sources[name])} -->\n", encoding="utf-8")


def as_comment(source: str) -> str:
    """*source* as it stands in the comment of its drawing, where two hyphens must not follow each other."""
    return json.dumps(source).replace("--", "-\\u002d").replace("->", "-\\u003e")


def source_of(svg: str) -> str:
    """The source that a drawing was made of."""
    found = re.search(r"<!-- (\".*\") -->\n\Z", svg)
    return str(json.loads(found[1])) if found else ""


# --- screens ---------------------------------------------------------------------------------------------------------


def screens(folder: Path) -> None:
    """Run the programme of the demo on a local Encord, and keep what the terminal and the report show."""
    manifest = ROOT / "examples" / "annotation-programme.jsonl"
    key, journal, page = folder / "key", folder / "programme.journal", folder / "run.html"
    settings = EmulatorSettings(port=8765, latency_s=(0.05, 0.1), rate_limit_per_s=60, burst=20)
    with EncordEmulator(settings) as emulator:
        key.write_text(emulator.private_key)
        key.chmod(0o600)
        env = {"ENCORD_DOMAIN": emulator.url, "ENCORD_SSH_KEY_FILE": str(key)}
        plan = on_terminal(["plan", str(manifest), "--summary"], env)
        as_picture("plan", "encord-async plan programme.jsonl --summary", tidy(plan))
        run = on_terminal(["apply", str(manifest), "--journal", str(journal), "--yes"], env)
        as_picture("progress", "encord-async apply programme.jsonl", tidy(half_way(run)))
        report = [sys.executable, "-m", "encord_async", "report", journal.name, "-o", page.name]
        subprocess.run(report, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    command = [*CHROMIUM, "--window-size=1100,1250", f"--screenshot={IMAGES / 'report.png'}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)


def on_terminal(arguments: list[str], env: Mapping[str, str]) -> str:
    """All that a command line writes on a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "xterm-256color", **env}
    command = [sys.executable, "-m", "encord_async", *arguments]
    with subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        text = b""
        while process.poll() is None:
            try:
                text += os.read(master, 65536)
            except OSError:
                time.sleep(0.05)
    os.close(master)
    return text.decode(errors="replace").replace("\r\n", "\n")


def half_way(text: str) -> str:
    """The last of what was shown before half of a run was over: a terminal replaces it each time."""
    frames = [frame for frame in re.split(r"\r|\x1b\[1A|\x1b\[2K", text) if re.search(r"\d+ of \d+ entries", frame)]
    return frames[len(frames) // 2] if frames else text


def tidy(text: str) -> str:
    """*text* without moves of the cursor and what was replaced, and with the name of a manifest that pages have."""
    text = re.sub(r"\x1b\[\?\d+[hl]|\x1b\[\d*[AKJ]", "", text)
    text = re.sub(r"^.*reading the account: .*\n?", "", text, flags=re.MULTILINE).replace("\r", "")
    return text.replace(str(ROOT / "examples" / "annotation-programme.jsonl"), "programme.jsonl")


def as_picture(name: str, title: str, text: str) -> None:
    """Keep what a terminal shows as SVG; without the fonts that it would take from the network."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.strip("\n")))
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=title), flags=re.DOTALL)
    (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
