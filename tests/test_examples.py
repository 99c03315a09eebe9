"""Every example, run as a user would run it: as a program of its own, with an account's environment."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
import yaml

from encord_async.testing import EncordEmulator
from tests import warm

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
KIT = EXAMPLES / "testing-kit"
NOTEBOOK = EXAMPLES / "notebook.ipynb"
CONTAINERFILE = EXAMPLES / "emulator" / "Containerfile"
MOST_LINES = 40
COMMAND = (sys.executable, "-W", "error")

RunExample: TypeAlias = Callable[[str], str]


@pytest.fixture
def account(encord_emulator: EncordEmulator, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with an account: a domain and the path of a key."""
    key = tmp_path / "key"
    key.write_text(encord_emulator.private_key)
    key.chmod(0o600)
    # HOME and PATH are not needed; coverage starts itself in other processes by a variable.
    ours = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return ours | {"ENCORD_DOMAIN": encord_emulator.url, "ENCORD_SSH_KEY_FILE": str(key)}


@pytest.fixture
def run_example(account: dict[str, str], tmp_path: Path) -> RunExample:
    """Run an example in an empty folder and give what it printed; it has to succeed and to be silent otherwise."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def run(name: str) -> str:
        command = [*COMMAND, str(EXAMPLES / name)]
        done = warm.run(command, cwd=folder, env=account)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def titles(emulator: EncordEmulator) -> list[str]:
    """The titles of all projects."""
    return sorted(project["title"] for project in emulator.state()["projects"])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_examples_are_short(program: Path) -> None:
    """An example fits on a screen, and this file runs it."""
    assert len(program.read_text().splitlines()) <= MOST_LINES
    assert f'"{program.name}"' in Path(__file__).read_text()


def test_one_operation(encord_emulator: EncordEmulator, run_example: RunExample) -> None:
    """It creates a project and says which."""
    printed = run_example("one_operation.py")
    (project,) = encord_emulator.state()["projects"]
    assert printed == f"Cats is {project['project_hash']} and has 0 datasets\n"


@pytest.mark.encord_emulator(faults=[{"query": "project.POST", "fault": "drop_after_commit", "times": 1}])
def test_one_operation_in_doubt(account: dict[str, str], tmp_path: Path) -> None:
    """When the reply is lost it says that nobody knows, and does not try again."""
    command = [*COMMAND, str(EXAMPLES / "one_operation.py")]
    done = warm.run(command, cwd=tmp_path, env=account)
    assert (done.returncode, done.stdout) == (1, "")
    assert "applied: unknown" in done.stderr


def test_from_database_cursor(encord_emulator: EncordEmulator, run_example: RunExample) -> None:
    """Each row becomes a project; a second run makes nothing more."""
    assert "'created': 3" in run_example("from_database_cursor.py")
    made = encord_emulator.log()
    assert titles(encord_emulator) == ["Cats", "Dogs", "Owls"]
    assert "'entries': 3" in run_example("from_database_cursor.py")
    assert encord_emulator.log() == made


def test_progress_callback(encord_emulator: EncordEmulator, run_example: RunExample) -> None:
    """It prints a line for each entry, and all annotators are there."""
    lines = run_example("progress_callback.py").splitlines()
    assert len(lines) == 21
    assert lines[-1].startswith("21 of 21 after ")
    (project,) = encord_emulator.state()["projects"]
    assert len(project["users"]) == 21


@pytest.mark.encord_emulator(latency_s=0.02)
async def test_retry_and_pacing(encord_emulator: EncordEmulator, run_example: RunExample) -> None:
    """It reads every project, with no more than eight requests in flight, and gets over lost connections."""
    async with encord_emulator.session() as session, asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(session.create_project(f"Project {number:02d}"))
    before = encord_emulator.stats()["requests"]
    encord_emulator.set_faults([{"query": "project.GET", "fault": "drop_before", "times": 2}])
    lines = (await asyncio.to_thread(run_example, "retry_and_pacing.py")).splitlines()
    assert sorted(lines[:-1]) == [f"Project {number:02d}: 0 datasets" for number in range(20)]
    assert lines[-1] == "23 requests, 2 retries, 0 throttled"
    assert encord_emulator.stats()["requests"] - before == 23


def test_from_sync_code(encord_emulator: EncordEmulator, run_example: RunExample) -> None:
    """The hashes come back in the order of the titles, and the listing shows the same."""
    printed = run_example("from_sync_code.py")
    hashes = {project["title"]: project["project_hash"] for project in encord_emulator.state()["projects"]}
    assert printed.splitlines()[0] == f"Cats is {hashes['Cats']}, Dogs is {hashes['Dogs']}"
    assert sorted(printed.splitlines()[1:]) == [f"Cats {hashes['Cats']}", f"Dogs {hashes['Dogs']}"]


# --- the notebook ----------------------------------------------------------------------------------------------------

RUN_CELLS = """
import asyncio, json, sys
from pathlib import Path
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

async def main():
    shell = InteractiveShell.instance(
        display_pub_class=CapturingDisplayPublisher, config=Config({"HistoryManager": {"enabled": False}})
    )
    for cell in json.loads(Path(sys.argv[1]).read_text())["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            done = await shell.run_cell_async(source, transformed_cell=shell.transform_cell(source))
            done.raise_error()
    for shown in shell.display_pub.outputs:
        print(shown["update"], shown["transient"]["display_id"], shown["data"]["text/plain"], sep=": ")

asyncio.run(main())
"""
"""The cells of a notebook in turn, then what was displayed: whether it took another's place, whose, and the text."""


def run_notebook(account: Mapping[str, str], folder: Path) -> list[str]:
    """Run the cells as a notebook does, and give the lines of what was printed and displayed."""
    command = [*COMMAND, "-c", RUN_CELLS, str(NOTEBOOK)]
    env = {**account, "IPYTHONDIR": str(folder / "ipython")}
    done = warm.run(command, cwd=folder, env=env)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def test_the_notebook(encord_emulator: EncordEmulator, account: dict[str, str], tmp_path: Path) -> None:
    """It makes what its manifest says, and one line shows how far it is; run once more it makes nothing more."""
    lines = run_notebook(account, tmp_path)
    hashes = {project["title"]: project["project_hash"] for project in encord_emulator.state()["projects"]}
    assert lines[:3] == [f"{title.lower()} created {hashes[title]} " for title in ("Cats", "Dogs", "Owls")]
    displayed = [line.split(": ") for line in lines[3:]]
    assert [update for update, _, _ in displayed] == ["False", *["True"] * (len(displayed) - 1)]
    assert len({display_id for _, display_id, _ in displayed}) == 1
    assert displayed[0][2].startswith("0 of 3 entries, 0 failed, ")
    assert displayed[-1][2].startswith("3 of 3 entries, 0 failed, ")
    made = encord_emulator.log()
    again = run_notebook(account, tmp_path)
    assert again[:3] == [line.replace("created", "unchanged") for line in lines[:3]]
    assert encord_emulator.log() == made


def test_the_notebook_holds_no_run() -> None:
    """It comes without outputs and without what an editor notes down, so that a change of it can be read."""
    notebook = json.loads(NOTEBOOK.read_text())
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook["metadata"] == {"kernelspec": kernel}
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert NOTEBOOK.read_text() == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


# --- the web application ---------------------------------------------------------------------------------------------

MANIFEST: list[dict[str, object]] = [
    {
        "kind": "project",
        "key": f"p{number}",
        "title": f"Project {number:02d}",
        "users": [{"email": "ann@example.com", "role": "annotator"}],
    }
    for number in range(12)
]


@contextmanager
def web_application(account: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The application as a process, stopped by SIGTERM when left; gives its address."""
    command = [*COMMAND, "-u", str(EXAMPLES / "web_background_task.py")]
    with warm.popen(command, cwd=folder, env={**account, "PORT": "0"}, **warm.PIPES) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-2]
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")


async def until(client: aiohttp.ClientSession, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask how far the runs are until *good* says yes."""
    while True:
        async with client.get("/") as response:
            shown: dict[str, Any] = await response.json()
        if good(shown):
            return shown
        # It is another process that has to get on, on the same few cores.
        await asyncio.sleep(0.02)


@pytest.mark.encord_emulator(latency_s=0.01)
async def test_web_background_task(encord_emulator: EncordEmulator, account: dict[str, str], tmp_path: Path) -> None:
    """Stopped in the middle of a run it ends at once; started and asked again it goes on, and nothing is made twice."""
    encord_emulator.set_faults([{"query": "projectusers.POST", "fault": "hang", "after": 4}])
    with web_application(account, tmp_path) as url:
        async with aiohttp.ClientSession(url) as client:
            await client.post("/", json=MANIFEST)
            await until(client, lambda _: encord_emulator.stats()["by_query"].get("projectusers.POST") == 12)
            shown = await until(client, lambda shown: shown.get("created") == 4)
            assert (shown["under_way"], shown["errors"]) == (1, [])
    made = encord_emulator.log()
    encord_emulator.clear_faults()
    with web_application(account, tmp_path) as url:
        async with aiohttp.ClientSession(url) as client:
            await client.post("/", json=MANIFEST)
            shown = await until(client, lambda shown: shown["under_way"] == 0)
            assert (shown["errors"], shown["entries"], shown["failed"], shown["in_doubt"]) == ([], 12, 0, 0)
    assert titles(encord_emulator) == [f"Project {number:02d}" for number in range(12)]
    assert all(len(project["users"]) == 2 for project in encord_emulator.state()["projects"])
    assert {entry["query"] for entry in encord_emulator.log()[len(made) :]} == {"projectusers.POST"}


async def test_web_background_task_tells_of_errors(account: dict[str, str], tmp_path: Path) -> None:
    """A manifest that cannot be provisioned is told of by whoever asks."""
    with web_application(account, tmp_path) as url:
        async with aiohttp.ClientSession(url) as client:
            await client.post("/", json=[{"kind": "cat"}])
            shown = await until(client, lambda shown: shown["under_way"] == 0)
    assert "kind" in shown["errors"][0]


# --- the example project, and the container --------------------------------------------------------------------------


def test_the_testing_kit_s_project(tmp_path: Path) -> None:
    """The example project's tests pass, by the command that its CI runs."""
    (job,) = yaml.safe_load((KIT / ".github" / "workflows" / "tests.yml").read_text())["jobs"].values()
    words = shlex.split(job["steps"][-1]["run"])
    assert words[0] == "python"
    project = shutil.copytree(KIT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    command = [sys.executable, *words[1:], "-W", "error", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(command, check=False, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def container_steps(name: str) -> list[str]:
    """What stands behind each *name* of the container's recipe."""
    steps = [line.split(maxsplit=1) for line in CONTAINERFILE.read_text().splitlines() if line[:1].isalpha()]
    return [rest for step, rest in steps if step == name]


def test_the_container_is_built_from_what_is_there() -> None:
    """What the container copies is there and is all that the build reads; the extra that it installs exists."""
    root = EXAMPLES.parent
    copied = [root / path for rest in container_steps("COPY") for path in rest.split()[:-1]]
    assert [path for path in copied if not path.exists()] == []
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = pyproject["project"]
    needed = [project["readme"], *project["license-files"], *wheel["packages"], *wheel["force-include"]]
    for path in needed:
        assert any((root / path).is_relative_to(one) for one in copied), path
    assert "'/src[cli]'" in container_steps("RUN")[0]
    assert "cli" in project["optional-dependencies"]


def test_the_container_runs_as_a_user_of_its_own() -> None:
    """Nothing in the container needs to be root."""
    (user,) = container_steps("USER")
    assert int(user.partition(":")[0]) > 0


def test_the_container_s_command(tmp_path: Path) -> None:
    """What the container runs serves and leaves a key, with ``/data`` somewhere else."""
    words = json.loads(container_steps("ENTRYPOINT")[0]) + json.loads(container_steps("CMD")[0])
    assert words[0] == "python"
    words = [word.replace("/data", str(tmp_path)) for word in words[1:]]
    words[words.index("--port") + 1] = "0"
    with warm.popen([sys.executable, *words], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"key", "state.db"}
