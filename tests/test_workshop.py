"""What those find who work on this or report to it: CI on the forge, hooks, templates, the words beside slow tests."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    """What the YAML file at *path* says, without the traps of YAML 1.1 such as a key `on` that is true."""
    read: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - it makes strings alone
    return read


def test_the_forge_tests_each_python_that_we_promise() -> None:
    """On Linux and on macOS alike, CI runs each Python that the package index names."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = [found[1] for text in classifiers if (found := re.fullmatch(r".*Python :: (3\.\d+)", text))]
    jobs = read(WORKFLOW)["jobs"]
    assert {job: jobs[job]["strategy"]["matrix"]["python"] for job in jobs} == {"linux": promised, "macos": promised}


def test_the_forge_runs_what_we_run() -> None:
    """CI on the forge has no checks of its own that could fall behind: it calls .ci/run, or make where that cannot."""
    jobs = read(WORKFLOW)["jobs"]
    last = {job: jobs[job]["steps"][-1]["run"].split()[:2] for job in jobs}
    assert last == {"linux": [".ci/run", "python3"], "macos": ["make", "test"]}


def test_the_forge_runs_nobody_elses_new_code() -> None:
    """An action is the commit that it was when it was chosen, its release beside it, and no job may write."""
    text = WORKFLOW.read_text()
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in uses)
    assert read(WORKFLOW)["permissions"] == {"contents": "read"}


def test_hooks_use_the_tools_of_the_lock() -> None:
    """A commit is checked by the releases that `make lint` checks it with, and nothing is fetched for it."""
    (repo,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    lint = (ROOT / "Makefile").read_text()
    tools = {hook["id"]: hook["entry"].split(" --")[0] for hook in repo["hooks"]}
    assert tools.pop("mypy") == "make"
    for entry in tools.values():
        assert f"\t{entry.replace('.venv/bin', '$(BIN)')} " in lint
    assert re.search(r"^types:.*\n\t\$\(BIN\)/mypy \$\(CHECKED\)$", lint, re.MULTILINE)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_are_forms(template: Path) -> None:
    """A form that the forge would not show is found here: names, kinds of fields, and labels for all that is asked."""
    form = read(template)
    assert form["name"]
    assert form["description"]
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in asked} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in asked)
    assert len({field["id"] for field in asked}) == len(asked)


def test_a_report_says_what_is_needed_to_help() -> None:
    """Whoever reports a fault is asked for version, command, journal's status and doctor's words, and for no secret."""
    fields = {field.get("id"): field for field in read(ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")["body"]}
    assert list(fields) == [None, "version", "command", "happened", "status", "doctor"]
    assert "status JOURNAL --json" in fields["status"]["attributes"]["description"]
    assert "doctor --json" in fields["doctor"]["attributes"]["description"]
    assert "Never paste a private key" in fields[None]["attributes"]["value"]


def test_a_slow_test_says_why() -> None:
    """Whoever waits for a slow test finds the reason beside its mark."""
    marked, mute = 0, []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"(@|pytestmark = \[?.*)pytest\.mark\.slow\b", line):
                marked += 1
                if "  # " not in line and not lines[number - 1].startswith("# "):
                    mute.append(f"{path.name}:{number + 1}")
    assert marked >= 14
    assert mute == []
