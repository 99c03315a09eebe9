"""Does what a page says: types its commands, saves its files, runs its programs, and compares what is printed.

A page is played in a folder of its own, against a local Encord of its own, all in this process. What varies from run to
run (times, ports, hashes, paths) is compared by its form. In a block of a page

- ``console`` is typed: lines that begin with ``$ `` are commands, the rest is what they print; ``echo $?`` shows an
  exit code that is not 0, and a line ``...`` stands for any lines;
- any language with a ``title="NAME"`` is a file that is saved under that name;
- ``python`` without a title is run as ``python -m asyncio`` would, so ``await`` may stand at the top.

    python docs/workshop/play.py PAGE...    # writes anew what the commands of the pages print
"""

import ast
import asyncio
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from encord_async.cli.main import run
from encord_async.emulator import command as emulator_command
from encord_async.testing import EncordEmulator

__all__ = ["Block", "Player", "blocks", "likeness", "matches"]

ROOT = Path(__file__).resolve().parents[2]
WIDTH = "110"
"""Columns of the terminal that pages show."""
NOT_RUN = ("pip install ", "make ", "podman ", "docker ", "git ", "ssh-keygen ", "python -m venv ")
"""What commands begin with that need an index, a tool or a checkout; `tests/test_docs.py` looks at them otherwise."""
VARIES = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b\d+\.\d+ ?s\b", "TIME s"),
    (r'"(\w+_s|pid|port)": [\d.]+', r'"\1": NUMBER'),
    (r"SHA256:[\w+/]+", "SHA256:FINGERPRINT"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "HASH"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?", "MOMENT"),
    (r"\b\d{8}T\d{6}Z(-\d+)?", "MOMENT"),
    (r"\b([0-9a-f]{12}|[0-9a-f]{32})\b", "NUMBER"),
    (r"^Manifest: \S*?(?=site-packages/|encord_async/cli/)(site-packages/)?", "Manifest: "),
    (r"over \d+ connections, at most \d+ at a time", "over N connections, at most N at a time"),
    (r"\b\d+ requests\b", "N requests"),
    (r"[ \t]+$", ""),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page; *start* and *end* are where its text is in that of the page."""

    language: str
    title: str | None
    text: str
    start: int
    end: int
    indent: str = ""


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in its order; of a block that is indented, without the indent."""
    fence = re.compile(r"^(?P<indent> *)```(?P<head>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
    for found in fence.finditer(page):
        language, _, rest = found["head"].strip().partition(" ")
        title = re.search(r'title="([^"]+)"', rest)
        text = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(
            language, title[1] if title else None, text, found.start("text"), found.end("text"), found["indent"]
        )


def likeness(text: str) -> str:
    """*text* with what varies from run to run replaced by words."""
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text.strip("\n")


def matches(shown: str, printed: str) -> bool:
    """Whether *printed* is what a page shows, where a line ``...`` stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n?", likeness(shown) + "\n", flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)?".join(parts), likeness(printed) + "\n", re.DOTALL) is not None


class Mismatch(AssertionError):
    """A command prints something else than its page shows."""


@dataclass(slots=True)
class Player:
    """Plays pages in the folder *folder*, one after the other. Use it in a ``with`` block."""

    folder: Path
    rewrite: bool = False
    """Write down what is printed, and do not compare it."""
    _code: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _urls: dict[str, str] = field(default_factory=dict)
    """Where pages have their local Encords, and where these are."""
    _said: str = ""
    _variables: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Go to the folder, and forget what else the environment says."""
        self._stack.callback(os.environ.update, dict(os.environ))
        self._stack.callback(os.environ.clear)
        self._stack.enter_context(chdir(self.folder))
        for name in [name for name in os.environ if name.startswith("ENCORD_")]:
            del os.environ[name]
        os.environ["COLUMNS"] = WIDTH
        sys.path.insert(0, str(self.folder))
        self._stack.callback(self._forget, set(sys.modules))
        self._stack.callback(sys.path.remove, str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what was started."""
        self._stack.close()

    def _forget(self, before: set[str]) -> None:
        """Let go of modules that were imported from the folder."""
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(self.folder):
                del sys.modules[name]

    def account(self) -> None:
        """Start a local Encord, and name it in the environment, for pages that begin with one."""
        self._emulator("--port 8765 --write-key key")
        os.environ |= {"ENCORD_DOMAIN": self._real("http://127.0.0.1:8765"), "ENCORD_SSH_KEY_FILE": "key"}

    def play(self, page: str) -> str:
        """Do all that *page* says; the page, with what was printed.

        Raises:
            Mismatch: A command prints something else.
        """
        played, at = [], 0
        for block in blocks(page):
            text = self._block(block)
            played += [page[at : block.start], re.sub(r"^(?=.)", block.indent, text, flags=re.MULTILINE)]
            at = block.end
        return "".join([*played, page[at:]])

    def _block(self, block: Block) -> str:
        if block.title is not None:
            target = self.folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            return "".join(self._console(block.text))
        elif block.language == "python":
            self._program(block.text)
        return block.text

    def _console(self, text: str) -> Iterator[str]:
        head, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
        yield head
        for part in parts:
            line, _, shown = part.partition("\n")
            printed = self._typed(re.sub(r"\s+# .*", "", line))
            if printed is None:
                yield f"$ {part}"
                continue
            for shown_url, url in self._urls.items():
                printed = printed.replace(url, shown_url)
            printed = printed.replace(str(self.folder), "/home/ann/programme")
            if self.rewrite and not matches(shown, printed):
                shown = re.sub(r"[ \t]+$", "", f"{printed.strip()}\n".lstrip("\n"), flags=re.MULTILINE)
                shown += "\n" if part.endswith("\n\n") else ""
            elif not matches(shown, printed):
                raise Mismatch(f"$ {line}\n--- the page shows\n{likeness(shown)}\n--- it prints\n{likeness(printed)}\n")
            yield f"$ {line}\n{shown}"

    def _typed(self, line: str) -> str | None:
        """What *line* prints; None if it is not run."""
        if line.startswith(NOT_RUN):
            return None
        if line == "echo $?":
            code, self._code = self._code, 0
            return str(code)
        assert self._code == 0, f"exit code {self._code} of the command before: {line}\n{self._said}"
        if line.endswith("&"):
            return self._emulator(line.removesuffix("&").removeprefix("encord-async emulator"))
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name] = self._real(value)
            return ""
        line = re.sub(r"\$(\w+)", lambda found: self._variables.get(found[1], found[0]), line)
        if found := re.fullmatch(r"(\w+)=\$\((.*)\)", line):
            self._variables[found[1]] = self._run(shlex.split(found[2]), "").strip()
            return ""
        line, _, target = line.partition(" > ")
        line, _, source = line.partition(" < ")
        stdin = Path(source.strip()).read_text(encoding="utf-8") if source else ""
        self._said = printed = self._run(shlex.split(line), stdin)
        if target:
            Path(target.strip()).write_text(printed, encoding="utf-8")
            return ""
        return printed

    def _run(self, words: list[str], stdin: str) -> str:
        match words:
            case ["encord-async", *arguments]:
                return self._ours([self._real(one) for one in arguments], stdin)
            case ["cat", name]:
                return Path(name).read_text(encoding="utf-8")
            case ["curl", *rest]:
                return self._process([shutil.which("curl") or "curl", "--silent", *(self._real(one) for one in rest)])
            case ["pytest", *rest]:
                return self._process([sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", *rest])
        raise AssertionError(f"a page says what nobody knows how to run: {' '.join(words)}")

    def _ours(self, arguments: list[str], stdin: str) -> str:
        # Some verbs write bytes.
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        before, sys.stdin = sys.stdin, io.StringIO(stdin)
        try:
            with redirect_stdout(out), redirect_stderr(out):
                self._code = int(run(arguments))
        finally:
            sys.stdin = before
        out.seek(0)
        # What a terminal shows while a run lasts, and replaces.
        return re.sub(r"^\d+ of \d+ entr(?:y|ies), .*\n", "", out.read(), flags=re.MULTILINE)

    def _process(self, command: list[str]) -> str:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._code = done.returncode
        return done.stdout

    def _emulator(self, options: str) -> str:
        arguments = emulator_command.parser().parse_args(shlex.split(options))
        shown, arguments.port = f"http://{arguments.host}:{arguments.port}", 0
        emulator = self._stack.enter_context(EncordEmulator(emulator_command.settings_of(arguments)))
        if arguments.write_key is not None:
            arguments.write_key.write_text(emulator.private_key)
            arguments.write_key.chmod(0o600)
        self._urls[shown] = emulator.url
        return json.dumps({"url": emulator.url, "pid": 4242}) + "\n"

    def _real(self, text: str) -> str:
        """*text* with the addresses where the local Encords are."""
        for shown, url in self._urls.items():
            text = text.replace(shown, url)
        return text

    def _program(self, text: str) -> None:
        code = compile(text, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with redirect_stdout(io.StringIO()):
            # Of a block without "await" at its top nothing is left to wait for.
            if asyncio.iscoroutine(begun := types.FunctionType(code, {"__name__": "page"})()):
                asyncio.run(begun)


def main() -> None:
    """Write anew what the commands of the pages print."""
    for name in sys.argv[1:]:
        path = Path(name).resolve()
        with tempfile.TemporaryDirectory() as folder, Player(Path(folder), rewrite=True) as player:
            if path.name != "README.md" and "tutorial" not in path.parts:
                player.account()
            path.write_text(player.play(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
