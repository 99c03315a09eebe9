"""The documentation tells the truth: pages are played, what is made from the code is made, and links lead somewhere."""

import ast
import csv
import doctest
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import click
import pytest
import yaml

import encord_async.client
import encord_async.cluster
import encord_async.engine.run
import encord_async.operations
import encord_async.protocol.rest
import encord_async.session.session
import encord_async.testing
from encord_async import EncordSession, ProjectHandle
from encord_async.cli.main import cli
from encord_async.emulator import Emulator, EmulatorSettings
from encord_async.kinds.entry import Entry
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.cells import Columns
from encord_async.manifest.place import Place
from tests.cli.chromium import started_chromium

# Last, and not for long: it is the wheel that is under test, and not the checkout.
sys.path.append(str(Path(__file__).parents[1]))

from docs.workshop.facts import DIAGRAMS, HAPPENED, TABLES, doubt_answers
from docs.workshop.manifest_reference import as_table, as_yaml, examples, has_column
from docs.workshop.pictures import source_of
from docs.workshop.play import Block, Mismatch, Player, blocks, matches

ROOT: Final = Path(__file__).parents[1]
sys.path.remove(str(ROOT))

README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"
PAGES: Final = [README, *sorted(DOCS.rglob("*.md"))]
STARTS_ITS_OWN: Final = (README, DOCS / "tutorial" / "index.md")
"""Pages for somebody who has no account yet: they start the local Encord themselves."""
MODULES_WITH_EXAMPLES: Final = (
    encord_async.client,
    encord_async.cluster,
    encord_async.engine.run,
    encord_async.protocol.rest,
    encord_async.session.session,
    encord_async.testing,
)
MEASURED: Final = re.compile(r"\d[\d,.]*\s*(?:MB|MiB|GB|ms\b|µs|\w*/s\b|\w+ (?:a|per) second|times (?:as|faster))")
"""A figure that somebody has measured; limits and defaults are not written in these words."""


SEARCH: Final = (
    "[...document.querySelectorAll('*')].find(one => one.shadowRoot && one.shadowRoot.querySelector('input'))"
)
"""The search of the site, which its theme keeps in a tree of its own."""


def name_of(page: Path) -> str:
    """A page, as the name of a test has it."""
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The text of a page without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def table(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose first head is *head*, without the head."""
    found = re.search(rf"^\| {re.escape(head)} \|.*\n\|[- |:]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"no table {head!r}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()]


def words(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def blocks_of(languages: str) -> list[tuple[Path, Block]]:
    """The blocks of all pages in some languages."""
    return [(page, block) for page in PAGES for block in blocks(text_of(page)) if block.language in languages.split()]


# --- pages are played ------------------------------------------------------------------------------------------------


@pytest.mark.process  # a few pages ask for what is no command of ours: pytest, curl
@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(text_of(page)))], ids=name_of)
def test_what_a_page_says_happens(page: Path, tmp_path: Path) -> None:
    """Who types the commands of a page sees what it shows, and its files and programs are good."""
    with Player(tmp_path) as player:
        if page not in STARTS_ITS_OWN:
            player.account()
        player.play(text_of(page))


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("", "a\n", False),
        ("a\n", "", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("a\n...\nd\n", "a\nb\n", False),
        ("in 0.10 s\n", "in 12.34 s\n", True),
        ("created 2\n", "created 3\n", False),
    ],
)
def test_what_is_shown_is_compared(shown: str, printed: str, *, alike: bool) -> None:
    """Only times, ports and the like may differ, and lines that a page leaves out."""
    assert matches(shown, printed) is alike


def test_a_page_that_lies_is_found(tmp_path: Path) -> None:
    """A page that shows another exit code, or another text, does not pass."""
    for page in (
        "```console\n$ encord-async validate no.yaml\n...\n$ echo $?\n0\n```",
        "```console\n$ echo $?\n1\n```",
    ):
        with Player(tmp_path) as player, pytest.raises(Mismatch):
            player.play(page)


def test_commands_that_are_not_run_are_there() -> None:
    """Targets of make, verbs and options of the command line in blocks that no test can run exist all the same."""
    makefile = text_of(ROOT / "Makefile")
    for page, block in [*blocks_of("sh yaml text console"), (README, Block("", None, text_of(README), 0, 0))]:
        for target in re.findall(r"^(?:\$ )?make ([\w-]+)", block.text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page, target)
        for line in re.findall(r"^(?!\$ ).*?encord-async ((?:[a-z-]+ ?)+.*)$", block.text, re.MULTILINE):
            check_command(line.split(), page)


def check_command(line: list[str], page: Path) -> None:
    """The verb and the long options of a command line are those of the program."""
    command: click.Command = cli
    while isinstance(command, click.Group) and line and line[0] in command.commands:
        command, line = command.commands[line[0]], line[1:]
    assert command is not cli, (page, line)
    known = {name for option in command.params for name in option.opts} | {"--help"}
    assert {word for word in line if word.startswith("--")} <= known, (page, line)


def test_python_that_is_only_shown_compiles() -> None:
    """No block of Python has a mistake that a parser finds."""
    for page, block in blocks_of("py python"):
        compile(block.text, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


# --- what is made from the code --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link or a name that leads nowhere ends it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(DOCS / "workshop" / "build.py"), str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.process
@pytest.mark.slow  # a process that reads every module of the package, and Zensical's
def test_the_site_has_every_public_name(site: Path) -> None:
    """The reference has each name of `__all__` and no private one; types link to each other."""
    pages = {page.stem: text_of(page) for page in (site / "site" / "reference" / "python").glob("encord_async*.html")}
    headings = {name: re.findall(r'<h\d id="([\w.]+)"', text) for name, text in pages.items()}
    assert {f"encord_async.{name}" for name in encord_async.__all__} <= set(headings["encord_async"])
    assert {f"encord_async.operations.{name}" for name in encord_async.operations.__all__} <= {
        *headings["encord_async.operations"]
    }
    assert [name for found in headings.values() for name in found if "._" in name] == []
    page = pages["encord_async"]
    assert 'href="#encord_async.Settings"' in page.partition('id="encord_async.EncordSession"')[2]


@pytest.mark.process
@pytest.mark.slow  # the browser, and the site if no test before built it
def test_the_search_works_from_disk(site: Path, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """Who opens the site from disk finds a page by its words, and nothing is asked of the network."""
    with started_chromium(require_tool("chromium"), tmp_path) as chromium:
        page = chromium.open(site / "site" / "index.html")
        page.evaluate("document.querySelector('.md-search__button').click()")
        # What is typed goes where the focus is.
        page.until(f"{SEARCH}?.shadowRoot.activeElement?.tagName === 'INPUT'")
        page.call("Input.insertText", text="settle")
        page.until(f"{SEARCH}.shadowRoot.textContent.includes('Settle what is in doubt')")
        assert [address for address in page.addresses if not address.startswith(("file:", "data:", "blob:"))] == []


def test_each_kind_is_shown_in_three_forms() -> None:
    """The examples of a kind have every field, are good, and say the same as JSON lines, as YAML and as a table."""
    for kind, model in ENTRY_MODELS.items():
        shown = list(examples(model))
        assert {name for entry in shown for name in entry} == set(model.model_fields), kind
        entries = [read(model, entry) for entry in shown]
        assert [read(model, one) for one in yaml.safe_load(as_yaml(shown))] == entries, kind
        assert [read(model, json.loads(json.dumps(one))) for one in shown] == entries, kind
        without = [read(model, {name: entry[name] for name in entry if has_column(model, name)}) for entry in shown]
        assert list(in_table(as_table(model, shown))) == without, kind


def read(model: type[Entry], raw: Mapping[str, Any]) -> Entry:
    """The entry, without a fault."""
    entry = model.read(dict(raw))
    assert entry.faults() == []
    return entry


def in_table(text: str) -> Iterator[object]:
    """The entries of a table."""
    names, *rows = csv.reader(io.StringIO(text))
    columns = Columns(names)
    assert columns.problems(Place("t.csv", 1, 0)) == []
    for row in rows:
        yield columns.entry(row, Place("t.csv", 2, 1))


def test_the_diagrams_are_what_the_code_says() -> None:
    """Each picture was drawn from what its table says today: otherwise run docs/workshop/pictures.py, and look."""
    drawn = {path.stem: source_of(text_of(path)) for path in (DOCS / "images").glob("*.svg")}
    assert {name: drawn.get(name) for name in DIAGRAMS} == {name: source() for name, source in DIAGRAMS.items()}


def test_the_tables_of_concepts_are_answers_of_the_code() -> None:
    """The tables in the pages are there, and each case has an answer of its own."""
    for page in PAGES:
        assert set(re.findall(r"<!-- code: ([\w-]+) -->", text_of(page))) <= set(TABLES), page
    assert len({case for case, _ in doubt_answers()}) == 7
    assert len({said for _, said in doubt_answers()}) == 4
    assert all(happened in TABLES["retry-table"]() for happened in HAPPENED)


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    """``help()`` says what each public name is for, where Python would make up a signature otherwise."""
    for name in encord_async.__all__:
        doc = getattr(encord_async, name).__doc__
        assert doc, name
        assert not doc.startswith(f"{name}("), name


def test_examples_in_docstrings_are_good() -> None:
    """Whoever copies the example of a docstring has a program; what it shows as printed is printed."""
    known = {name: getattr(encord_async, name) for name in encord_async.__all__} | vars(encord_async.cluster)
    runner = doctest.DocTestRunner(verbose=False)
    for module in MODULES_WITH_EXAMPLES:
        for example in doctest.DocTestFinder().find(module, extraglobs=known | vars(encord_async.testing)):
            runner.run(example)
    done = runner.summarize(verbose=False)
    assert (done.failed, done.attempted > 8) == (0, True)


# --- what people write -----------------------------------------------------------------------------------------------


def test_the_readme_is_a_page() -> None:
    """Nobody reads a longer one; what else there is to say stands in the site."""
    assert len(text_of(README).splitlines()) <= 180


def test_installing_is_said_in_one_place() -> None:
    """A release changes one section of README, and nothing else."""
    said = [name_of(page) for page in PAGES if "pip install" in text_of(page)]
    assert said == ["README.md"]
    assert text_of(README).count("pip install") == 1
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert {words(row[0])[0] for row in table(text_of(DOCS / "install.md"), "extra")} == set(extras)


def test_links_of_the_readme_lead_somewhere() -> None:
    """Files that README links to exist, and so do their headings; of the pages among each other the build knows."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(README)):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            assert (ROOT / path).exists(), target
            assert not anchor or f"#{anchor} }}" in text_of(ROOT / path), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_figures_have_a_command_beside_them(page: Path) -> None:
    """A section with a measured figure names the command that measures it, or is on the page that does."""
    for part in re.split(r"^## ", prose_of(page), flags=re.MULTILINE):
        if MEASURED.search(part):
            assert re.search(r"make bench|benchmarks/\w+\.py|benchmarks\.md", part), part.partition("\n")[0]


async def test_the_control_endpoints_answer() -> None:
    """Each control endpoint of the emulator's page is there."""
    async with Emulator(EmulatorSettings()) as running, aiohttp.ClientSession(running.url) as client:
        for row in table(text_of(DOCS / "reference" / "emulator.md"), "control endpoint"):
            method, path = words(row[0])[0].split()
            async with client.request(method, path, json=[] if method == "PUT" else None) as reply:
                assert (reply.status, reply.content_type) == (200, "application/json"), row[0]


def test_modules_that_are_named_exist() -> None:
    """What a page says to ask ``help()`` about can be imported."""
    for page in PAGES:
        for name in re.findall(r'help\("([\w.]+)"\)', text_of(page)):
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


# --- leaving the SDK -------------------------------------------------------------------------------------------------


OWNERS: Final[Mapping[str, type]] = {
    "session": EncordSession,
    "EncordSession": EncordSession,
    "project": ProjectHandle,
}
SDK_TABLE: Final = table(text_of(DOCS / "how-to" / "leave-the-sdk.md"), "official SDK")


def public_members(kind: type) -> set[str]:
    """Public methods and properties of a class."""
    return {
        name
        for name, value in inspect.getmembers(kind)
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    }


def calls(cell: str) -> Iterator[tuple[str, str]]:
    """Owner and name of each of our calls in a cell; what else stands there are verbs."""
    for word in words(cell):
        if not word.startswith("encord-async "):
            owner, _, name = word.partition(".")
            yield owner, name


def test_what_the_sdk_s_calls_become_exists() -> None:
    """Whoever comes from the SDK is not sent to a method or a verb that is not there."""
    for theirs, ours, *_ in SDK_TABLE:
        found = list(calls(ours))
        assert found or ours == "none", theirs
        for owner, name in found:
            assert name in public_members(OWNERS[owner]), (owner, name)
        for word in words(ours):
            if word.startswith("encord-async "):
                check_command(word.split()[1:], DOCS)


def test_every_method_for_a_call_of_the_service_has_one_of_the_sdk() -> None:
    """No method is missing in the table but those that the SDK has nothing like."""
    shown = {call for _, ours, *_ in SDK_TABLE for call in calls(ours)}
    names = {name for owner, name in shown if owner != "project"}
    own = {"aclose", "check_open", "collect", "execute", "open", "pages", "send"}
    own |= {"export", "plan", "provision", "validate", "verify"}
    watching = {"clock", "identity", "in_outage", "is_free", "report_in_doubt", "statistics", "throttled_elsewhere"}
    assert public_members(EncordSession) - names == own | watching
    handle = {name for owner, name in shown if owner == "project"}
    assert public_members(ProjectHandle) - handle == set()
