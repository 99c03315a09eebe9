"""The README tells the truth: its commands are run, its code is run, and its tables are compared with the code."""

import ast
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import aiohttp
import click
import pytest

import encord_async
from encord_async import (
    APIKeyScope,
    DatasetUserRole,
    EncordError,
    EncordSession,
    ProjectHandle,
    ProjectStatus,
    ProjectUserRole,
)
from encord_async.cli.failures import ExitCode
from encord_async.cli.main import cli
from encord_async.emulator import Emulator, EmulatorSettings, Fault
from encord_async.kinds.project import APIKeyWish, UserWish
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.schema import manifest_schema

pytestmark = pytest.mark.process

README: Final = Path(__file__).parents[1] / "README.md"
TEXT: Final = README.read_text(encoding="utf-8")
PROSE: Final = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
PORT: Final = "8765"
NOT_RUN: Final = ("pip install ",)
"""What a console block may begin with that cannot be run in a test: it needs an index."""
VARIES: Final = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\d+\.\d+ s\b", "TIME s"),
    (r'"pid": \d+', '"pid": PID'),
    (r"SHA256:[\w+/]+", "SHA256:FINGERPRINT"),
    (r"^Manifest: .*(?=site-packages/)", "Manifest: "),
    (r"over \d+ connections, at most \d+ at a time", "over N connections, at most N at a time"),
)
MEASURED: Final = re.compile(
    r"\d[\d,.]*\s*(?:MB|MiB|GB|ms\b|µs|\w*/s\b|\w+ (?:a|per) second|times (?:as|faster))",
)
"""A figure that somebody has measured; limits and defaults are not written in these words."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a console block, and what the README says it prints."""

    command: str
    printed: str


def section(title: str) -> str:
    """The text below a heading, up to the next heading of the same depth."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in the order of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in *text*, without rules; heads are rows as well."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose first head is *head*, without the head."""
    found = re.search(rf"^\| {re.escape(head)} \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"no table {head!r}"
    return rows(found[1])


def words(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def steps() -> list[Step]:
    """All commands of all console blocks."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = part.partition("\n")
            found.append(Step(re.sub(r"\s+#.*", "", line), printed))
    return found


def without_what_varies(text: str) -> str:
    """*text* with times, ports, hashes and paths replaced by words."""
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


def environment() -> dict[str, str]:
    """What a command needs, and nothing of the user's; coverage starts itself in other processes by a variable."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")} | {"COLUMNS": "150"}


def arguments(command: str) -> list[str]:
    """The command line of *command*, with this interpreter's encord-async."""
    program, *rest = command.split()
    assert program == "encord-async", command
    return [sys.executable, "-W", "error", "-m", "encord_async", *rest]


@contextmanager
def emulator(step: Step, folder: Path) -> Iterator[str]:
    """The emulator as the README starts it, but on a free port; gives its port. Stopped by SIGTERM when left."""
    command = arguments(step.command.removesuffix("&").replace(PORT, "0"))
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert without_what_varies(line) == without_what_varies(step.printed)
            yield json.loads(line)["url"].rpartition(":")[2]
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def play(step: Step, folder: Path, env: Mapping[str, str]) -> None:
    """Run a command, and compare what it prints with what the README says it does."""
    done = subprocess.run(arguments(step.command), check=False, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, (step.command, done.stderr)
    assert without_what_varies(done.stdout) == without_what_varies(step.printed), step.command


async def run_as_program(block: str) -> None:
    """Run a block of Python as ``python -m asyncio`` does, where ``await`` may stand at the top."""
    code = compile(block, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await types.FunctionType(code, {})()


# --- the tour --------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # every command that the README shows, each a process, one after another
async def test_the_tour_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who types the commands of the README sees what the README shows, and its program runs in the same folder."""
    manifest, _ = blocks("json")
    (tmp_path / "programme.jsonl").write_text(manifest, encoding="utf-8")
    env = environment()
    todo = [step for step in steps() if not step.command.startswith(NOT_RUN)]
    (start,) = (step for step in todo if step.command.endswith("&"))
    with emulator(start, tmp_path) as port:
        for step in todo:
            if step.command.startswith("export "):
                name, _, value = step.command.removeprefix("export ").partition("=")
                env[name] = value.replace(PORT, port)
            elif step is not start:
                play(step, tmp_path, env)
        for name in ("ENCORD_DOMAIN", "ENCORD_SSH_KEY_FILE"):
            monkeypatch.setenv(name, env[name])
        monkeypatch.chdir(tmp_path)
        (program,) = (block for block in blocks("python") if "from_env" in block)
        await run_as_program(program)
    assert "'entries': 3" in capsys.readouterr().out
    assert "</html>" in (tmp_path / "run.html").read_text(encoding="utf-8")


async def test_the_larger_manifest_is_provisioned(tmp_path: Path) -> None:
    """The example of ontologies, copies, groups, tags and access is a good manifest, and comes about as it says."""
    (tmp_path / "programme.jsonl").write_text(blocks("json")[1], encoding="utf-8")
    (tmp_path / "felines.json").write_text('{"objects": [], "classifications": []}', encoding="utf-8")
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        async with encord_async.EncordSession.from_ssh_key(emulator.private_key, domain=emulator.url) as session:
            await session.add_organisation_user("rob@example.com")
            async with session.provision(tmp_path / "programme.jsonl") as run:
                assert [outcome.error async for outcome in run if not outcome.status.satisfied] == []
            assert run.summary.entries == 9


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    """The test that the README shows is one that passes as it is."""
    (example,) = (block for block in blocks("python") if "def test_" in block)
    (tmp_path / "test_programme.py").write_text(example, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8"
    )
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_python_blocks_compile() -> None:
    """No block of Python has a mistake that a parser finds."""
    for block in blocks("python"):
        compile(block, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


# --- the command line ------------------------------------------------------------------------------------------------


def options_of(command: click.Command) -> set[str]:
    """The long names of the options of a verb."""
    return {name for option in command.params for name in option.opts if name.startswith("--")}


def test_every_verb_has_a_row() -> None:
    """The table of verbs is that of the program, and the operations of ``project`` stand in its row."""
    shown = {words(row[0])[0]: row[1] for row in table(section("Command line"), "verb")}
    assert set(shown) == {f"encord-async {name}" for name in cli.commands}
    project = cli.commands["project"]
    assert isinstance(project, click.Group)
    assert set(words(shown["encord-async project"])) == set(project.commands)


def test_every_option_of_apply_has_a_row() -> None:
    """The table of options has those of ``apply``, all of them and no others."""
    shown = {name for row in table(section("Command line"), "option") for name in words(row[0])}
    assert shown == options_of(cli.commands["apply"])


@pytest.mark.parametrize("verb", [name for name in cli.commands if name not in ("project", "emulator")])
def test_options_of_other_verbs_are_named(verb: str) -> None:
    """What only another verb has is named somewhere; ``project VERB --help`` is pointed at for single operations."""
    missing = {name for name in options_of(cli.commands[verb]) if not re.search(rf"{name}(?![\w-])", TEXT)}
    assert missing == set()


def test_exit_codes_are_those_of_the_program() -> None:
    """The table of exit codes is complete, and in ascending order."""
    assert [int(row[0]) for row in table(section("Command line"), "code")] == sorted(ExitCode)


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_kinds_and_fields_are_those_of_the_manifest() -> None:
    """Each kind of entry has a row with its fields, all of them and no others."""
    parts = {"users": set(UserWish.model_fields), "api_keys": set(APIKeyWish.model_fields)}
    shown = {}
    for kind, cell in table(section("Manifest"), "kind"):
        shown[words(kind)[0]] = set(words(re.sub(r"\([^)]*\)", "", cell)))
        for field, inner in re.findall(r"`(\w+)` \(([^)]*)\)", cell):
            if field in parts:
                assert set(words(inner)) == parts[field], field
    assert shown == {kind: set(model.model_fields) - {"kind"} for kind, model in ENTRY_MODELS.items()}


def test_words_of_the_manifest_are_those_it_takes() -> None:
    """Roles, storages and scopes are listed in full."""
    text = section("Manifest")
    storages = manifest_schema()["$defs"]["DatasetEntry"]["properties"]["storage"]["anyOf"][0]["enum"]
    (inner,) = re.findall(r"`storage` \(([^)]*)\)", text)
    assert words(inner) == [word for word in storages if isinstance(word, str)]
    assert words(re.findall(r"Roles: (.*?), or", text, re.DOTALL)[0]) == [role.name.lower() for role in ProjectUserRole]
    assert set(words(re.findall(r"Scopes: (.*?)\.\n", text, re.DOTALL)[0])) == set(APIKeyScope)
    (access,) = re.findall(r"In datasets and ontologies the roles are (.*?), or", text)
    assert words(access) == [role.name.lower() for role in DatasetUserRole]
    (statuses,) = re.findall(r"`status` is\n(.*?), and", text)
    assert words(statuses) == [status.name.lower() for status in ProjectStatus]


# --- the library -----------------------------------------------------------------------------------------------------


def public_members(kind: type) -> set[str]:
    """Public methods and properties of a class."""
    return {
        name
        for name, value in inspect.getmembers(kind)
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    }


@pytest.mark.parametrize("kind", [EncordSession, ProjectHandle], ids=lambda kind: kind.__name__)
def test_every_method_is_in_the_overview(kind: type) -> None:
    """The overview of the library has each public method of the class, and none that is not there."""
    shown = {
        name for row in table(section("Library"), f"`{kind.__name__}`") for name in words(row[1]) if name.isidentifier()
    }
    assert shown == public_members(kind)


def test_settings_are_named_in_full() -> None:
    """The overview lists the fields of the three classes of settings."""
    (text,) = re.findall(r"^Settings are (.*?)inside\.", section("Library"), re.MULTILINE | re.DOTALL)
    kinds = (encord_async.Settings, encord_async.Timeouts, encord_async.RetryPolicy)
    wanted = {field.name for kind in kinds for field in fields(kind)} - {"timeouts", "retry"}
    assert set(words(text)) == wanted | {kind.__name__ for kind in kinds}


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    """``help()`` says what each public name is for, where Python would make up a signature otherwise."""
    for name in encord_async.__all__:
        doc = getattr(encord_async, name).__doc__
        assert doc, name
        assert not doc.startswith(f"{name}("), name


def test_the_errors_are_those_of_the_tree() -> None:
    """Each error stands in the row of its branch, and the branch says whether the request may have taken effect."""
    named = set()
    for branch, applied, cell in table(section("Errors"), "branch"):
        kind = getattr(encord_async, words(branch)[0])
        assert words(applied) == [kind.applied]
        for name in words(cell):
            assert issubclass(getattr(encord_async, name), kind), name
            named.add(name)
        named.add(kind.__name__)
    public = {name for name in encord_async.__all__ if name.endswith("Error")}
    assert named == public - {EncordError.__name__}


# --- leaving the SDK -------------------------------------------------------------------------------------------------


OWNERS: Final[Mapping[str, type]] = {
    "session": EncordSession,
    "EncordSession": EncordSession,
    "project": ProjectHandle,
}


def calls(cell: str) -> Iterator[tuple[str, str]]:
    """Owner and name of each of our calls in a cell; what else stands there are verbs."""
    for word in words(cell):
        if not word.startswith("encord-async "):
            owner, _, name = word.partition(".")
            yield owner, name


def test_what_the_sdk_s_calls_become_exists() -> None:
    """Whoever comes from the SDK is not sent to a method or a verb that is not there."""
    shown = table(section("Leaving the SDK"), "official SDK")
    project = cli.commands["project"]
    assert isinstance(project, click.Group)
    for theirs, ours, _ in shown:
        found = list(calls(ours))
        assert found or ours == "none", theirs
        for owner, name in found:
            assert name in public_members(OWNERS[owner]), (owner, name)
        for word in words(ours):
            verb = word.removeprefix("encord-async ").split()
            if word.startswith("encord-async project "):
                assert verb[1] in project.commands, word
            elif word.startswith("encord-async "):
                assert verb[0] in cli.commands, word


def test_every_method_for_a_call_of_the_service_has_one_of_the_sdk() -> None:
    """No method is missing in the table but those that the SDK has nothing like."""
    shown = {call for _, ours, _ in table(section("Leaving the SDK"), "official SDK") for call in calls(ours)}
    names = {name for owner, name in shown if owner != "project"}
    own = {"aclose", "collect", "execute", "pages", "send"}
    own |= {"export", "plan", "provision", "validate", "verify"}
    watching = {"clock", "identity", "is_free", "report_in_doubt", "statistics", "throttled_elsewhere"}
    assert public_members(EncordSession) - names == own | watching
    handle = {name for owner, name in shown if owner == "project"}
    assert public_members(ProjectHandle) - handle == set()


# --- the local Encord ------------------------------------------------------------------------------------------------


def test_the_emulator_s_options_are_named() -> None:
    """The table of options is that of ``encord-async emulator --help``."""
    done = subprocess.run(
        arguments("encord-async emulator --help"), check=True, env=environment(), capture_output=True, text=True
    )
    shown = {name for row in table(section("A local Encord"), "option") for name in words(row[0])}
    assert shown == set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", done.stdout, re.MULTILINE)) - {"--help"}


def test_the_faults_are_named() -> None:
    """The table of faults has each of them, and no others."""
    shown = [name for row in table(section("A local Encord"), "fault") for name in words(row[0])]
    assert sorted(shown) == sorted(Fault)


async def test_the_control_endpoints_answer() -> None:
    """Each control endpoint of the README is there."""
    async with Emulator(EmulatorSettings()) as running, aiohttp.ClientSession(running.url) as client:
        for row in table(section("A local Encord"), "control endpoint"):
            method, path = words(row[0])[0].split()
            async with client.request(method, path, json=[] if method == "PUT" else None) as reply:
                assert (reply.status, reply.content_type) == (200, "application/json"), row[0]


# --- the text --------------------------------------------------------------------------------------------------------


def anchors() -> set[str]:
    """The anchors that a web page made of the README has."""
    titles = re.findall(r"^#+ (.*)$", PROSE, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere() -> None:
    """Files that are linked to exist, and so do headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PROSE):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not path or (README.parent / path).exists(), target
        assert not anchor or path or anchor in anchors(), target


def test_modules_that_are_named_exist() -> None:
    """What the README says to ask ``help()`` about can be imported."""
    for name in re.findall(r'help\("([\w.]+)"\)', TEXT):
        module, _, attribute = name.rpartition(".")
        # A module that nobody has imported yet is no attribute of its package.
        assert hasattr(importlib.import_module(module), attribute) or find_spec(name), name


def test_figures_have_a_command_beside_them() -> None:
    """A section with a measured figure names the command that measures it."""
    for part in re.split(r"^## ", PROSE, flags=re.MULTILINE):
        if MEASURED.search(part):
            assert re.search(r"make bench|benchmarks/\w+\.py", part), part.partition("\n")[0]


def test_the_questions_are_answered() -> None:
    """What people ask first is answered."""
    asked = re.findall(r"^\*\*(.*\?)\*\*", section("Questions"), re.MULTILINE)
    assert set(asked) >= {
        "It timed out: did it happen?",
        "Can I undo?",
        "What if I run it twice?",
        "US region?",
        "What does Encord see?",
    }
