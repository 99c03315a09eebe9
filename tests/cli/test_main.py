"""The command as a whole: help, versions, usage errors, bugs, and what it imports."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pytest

from encord_async.cli.options import output_options
from encord_async.cli.output import Output
from tests import warm
from tests.cli.conftest import PROGRAM, Here, process, process_env

VERBS = ["demo", "validate", "plan", "apply", "status", "settle", "report", "verify", "export"]
VERBS += ["expand", "schema", "doctor", "emulator", "project"]
OPERATIONS = ["create", "get", "ontology", "add-datasets", "remove-datasets", "add-users"]
OPERATIONS += ["create-api-key", "list-api-keys", "copy", "delete"]


def test_help_lists_verbs_and_exit_codes(here: Here) -> None:
    """`encord-async --help` names each verb and each exit code."""
    done = here("--help")
    assert done.code == 0
    for word in [*VERBS, " 0 ", " 1 ", " 2 ", " 3 ", " 4 ", " 5 ", " 130 "]:
        assert word in done.out


@pytest.mark.parametrize(
    "verb", [[verb] for verb in VERBS if verb != "emulator"] + [["project", name] for name in OPERATIONS]
)
def test_each_verb_has_help(here: Here, verb: list[str]) -> None:
    """Each verb explains itself with a paragraph and its options."""
    done = here(*verb, "--help")
    assert done.code == 0
    assert len(done.out.splitlines()) > 5
    assert verb[-1] == "delete" or f"  Examples:\n    encord-async {' '.join(verb)}" in done.out


@pytest.mark.parametrize(
    "typed",
    ["apply", "apply m.jsonl --journal", "status", "report x -o", "report x --csv", "demo", "plan --ssh-key-file"],
)
def test_the_shell_completes_paths(here: Here, typed: str) -> None:
    """Where a file belongs the shell offers files, not nothing."""
    env = {"_ENCORD_ASYNC_COMPLETE": "bash_complete", "COMP_WORDS": f"encord-async {typed} m"}
    done = here(env=env | {"COMP_CWORD": str(len(typed.split()) + 1)})
    assert done.out == "file,m\n"


@pytest.mark.process
def test_the_shell_completes_the_emulators_options() -> None:
    """The options of `emulator` are offered as those of any other verb, and a path where one belongs."""
    env = {"_ENCORD_ASYNC_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    assert "plain,--write-key\n" in process(env=env | {"COMP_WORDS": "encord-async emulator --w"}).out
    assert process(env=env | {"COMP_WORDS": "encord-async emulator se"}).out == "file,se\n"


def test_apply_help_tells_the_exit_codes(here: Here) -> None:
    """`apply --help` has examples and the exit codes."""
    out = here("apply", "--help").out
    assert "Examples:" in out
    assert "130 interrupted" in out
    assert "--max-failures" in out


def test_versions(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--version` says what a bug report needs: what is required, what the extras bring, and what is not there."""
    known = metadata.requires("encord-async") or []
    monkeypatch.setattr("importlib.metadata.requires", lambda _: [*known, "nothing>1"])
    lines = here("--version").out.splitlines()
    assert lines[0] == f"encord-async {metadata.version('encord-async')}"
    assert lines[1].startswith("Python 3.")
    assert lines[2:] == sorted(lines[2:])
    for name in ("aiohttp", "cryptography", "click", "rich", "sqlalchemy", "uvloop"):
        assert f"{name} {metadata.version(name)}" in lines
    assert "nothing (not installed)" in lines
    assert sum(line.startswith("encord-async") for line in lines) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["nope"], ["apply"], ["apply", "m.jsonl", "--concurrency", "0"], ["plan", "m.jsonl", "--nope"]]
)
def test_bad_usage(here: Here, arguments: list[str]) -> None:
    """A command line that cannot be understood ends in 2, with the reason on standard error."""
    done = here(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize("option", ["--timeout", "--max-rate", "--settle-s"])
def test_a_number_is_finite(here: Here, option: str, number: str) -> None:
    """What is no number to count with is told by the name of its option, before anything is read."""
    done = here("apply", "m.jsonl", option, number)
    assert done.code == 2
    assert f"'{option}': {number} is no finite number" in done.err


def test_bad_usage_as_json(here: Here) -> None:
    """With --json a usage error is one object on standard output too."""
    done = here("apply", "--json", "m.jsonl", "--nope")
    assert done.code == 2
    assert done.json["error"]["type"] == "UsageError"


CANARY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACANARY\n-----END OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    "arguments",
    [
        [CANARY],
        ["apply", CANARY],
        ["validate", "x" + CANARY + ".jsonl"],
        ["apply", "m.jsonl", "--ssh-key-file", CANARY],
        ["apply", "m.jsonl", "--domain", CANARY],
        ["apply", "m.jsonl", "--domain", "x" + CANARY, "--json"],
        ["apply", "m.jsonl", "--timeout", "x" + CANARY],
        ["project", "get", "x" + CANARY, "-v"],
        ["project", "add-users", "p", "a@example.com", "--role", "x" + CANARY],
        ["plan", "m.jsonl", "--ca-bundle", "x" + CANARY],
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(here: Here, arguments: list[str]) -> None:
    """Somebody who gives the text of a key where a path belongs does not find it in the log of the job."""
    done = here(*arguments)
    assert done.code == 2
    assert "CANARY" not in done.out + done.err


def _crashing(*, output: Output) -> int:
    raise RuntimeError(f"unforeseen, json is {output.json}")


@pytest.mark.parametrize("options", [[], ["--json"], ["--verbose"]])
def test_a_bug_is_one_message(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    """An error that nobody foresaw ends in 70 and one line; the traceback comes with --verbose."""
    command: Any = click.command()(output_options(_crashing))
    assert command.main(options, standalone_mode=False) == 70
    out, err = capsys.readouterr()
    assert "internal error (RuntimeError)" in err
    assert ("Traceback" in err) is ("--verbose" in options)
    assert (json.loads(out)["error"]["type"] == "RuntimeError") if options == ["--json"] else out == ""


@pytest.mark.process
def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once: the package and its command line import heavy things only when a verb needs them."""
    code = """
import sys
from encord_async.cli.main import run
assert run(["--help"]) == 0
print(sorted({"aiohttp", "cryptography", "pydantic", "rich", "sqlalchemy", "yaml"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.process
def test_a_start_builds_no_reader_of_replies_or_entries() -> None:
    """A run waits for what it reads alone: what reads a reply or an entry is built when the first comes."""
    code = """
import encord_async.cli.main
from encord_async.kinds.fields import Part
from encord_async.protocol import models, rest_models
todo, built = [Part, models._Reply, rest_models._Reply], []
while todo:
    model = todo.pop()
    todo += model.__subclasses__()
    # What is generic pydantic builds in any case.
    built += [model.__name__] * (model.__pydantic_complete__ and model is not rest_models.Page)
print(built)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.process
def test_the_missing_extra_is_named() -> None:
    """In a bare install, or in half of one, the command says which `pip install` brings it."""
    code = """
import sys
sys.modules |= {"click": None, "rich": None}
from encord_async.__main__ import main
for there, missing in (("rich", "click"), ("click", "rich")):
    del sys.modules[there]
    try:
        main()
    except SystemExit as end:
        print(missing, end.code, "encord_async.cli.main" in sys.modules)
    sys.modules[there] = None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "click 2 False\nrich 2 False\n"
    assert [line.partition("pip install ")[2] for line in done.stderr.splitlines()] == ["'encord-async[cli]'"] * 2


@pytest.mark.process
def test_an_interrupt_while_it_is_loaded() -> None:
    """Ctrl-C before the command has begun is told as any other, in a word and without a traceback."""
    code = """
import signal, sys
from importlib.abc import MetaPathFinder
class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "encord_async.cli.apply":
            signal.raise_signal(signal.SIGINT)
# A shell has what it starts with `&` ignore Ctrl-C, this test's own run among them.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Slow())
from encord_async.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.process
def test_as_a_module() -> None:
    """`python -m encord_async` is the same command."""
    done = warm.run([sys.executable, "-m", "encord_async", "--version"])
    assert (done.returncode, done.stdout.startswith("encord-async ")) == (0, True)


@pytest.mark.process
def test_a_reader_that_leaves_early() -> None:
    """`encord-async schema | head -1` ends without a traceback."""
    with warm.popen([PROGRAM, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == 1


@pytest.mark.process
def test_a_terminal_that_lacks_the_letters(tmp_path: Path) -> None:
    """A name that the terminal's encoding cannot show is shown escaped; it does not end the command."""
    command = [PROGRAM, "validate", str(tmp_path / "猫.jsonl")]
    env = process_env({"PYTHONIOENCODING": "latin-1"})
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "\\u732b.jsonl cannot be read" in done.stderr


def test_the_schema(here: Here) -> None:
    """`schema` prints a JSON Schema that names the five kinds."""
    found = here("schema").json
    assert found["$schema"].startswith("https://json-schema.org/")
    assert "project_api_key" in json.dumps(found)


@pytest.mark.process
def test_the_emulator_takes_its_own_options() -> None:
    """`encord-async emulator` is the emulator's command, with its own help and errors."""
    assert "--rate-limit" in process("emulator", "--help").out
    done = process("emulator", "--latency", "x")
    assert done.code == 2
    assert "--latency x" in done.err
