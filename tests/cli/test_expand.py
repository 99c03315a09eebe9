"""Manifests with templates on the command line: what they become, and variables for every verb."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Api, Here

MANIFEST = """\
vars: {year: 2026}
defaults: {project: {description: "made in {{ year }}"}}
entries:
  - {kind: dataset, key: raw, title: "Raw {{ '{{' }}x}}"}
  - {kind: project, for_each: customers.csv, key: "{{ customer }}", title: "{{ name }} {{ year }}", datasets: ["@raw"]}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest for two customers."""
    (tmp_path / "customers.csv").write_text("customer,name\nacme,Acme\nbeta,Beta\n")
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST)
    return path


def test_what_it_becomes(here: Here, manifest: Path, tmp_path: Path) -> None:
    """`expand` prints JSON lines or YAML, either of which becomes the same again."""
    done = here("expand", manifest)
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["title"] for line in lines] == ["Raw {{ '{{' }}x}}", "Acme 2026", "Beta 2026"]
    assert lines[1]["description"] == "made in 2026"
    as_yaml = here("expand", manifest, "--format", "yaml").out
    assert yaml.safe_load(as_yaml) == lines == here("expand", manifest, "--json").json["entries"]
    for name, text in (("n.jsonl", done.out), ("n.yaml", as_yaml)):
        (tmp_path / name).write_text(text)
        assert here("expand", tmp_path / name).out == done.out


def test_variables_on_the_command_line(here: Here, manifest: Path, tmp_path: Path) -> None:
    """--var counts before --var-file, and that before the manifest."""
    (tmp_path / "v.yaml").write_text("year: 2030\n")
    for options, year in (([], 2026), (["--var-file", tmp_path / "v.yaml"], 2030)):
        assert here("expand", manifest, *options).out.count(f"made in {year}") == 2
    options = ["--var", "year=2031", "--var-file", tmp_path / "v.yaml"]
    assert here("expand", manifest, *options).out.count("made in 2031") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--var", "year"], "Invalid value for --var: give NAME=VALUE"),
        (["--var", "a-b=1"], "is no name of a variable"),
        (["--var-file", "no.yaml"], "the variables in 'no.yaml' cannot be read: No such file or directory\n"),
        (["--var", "yaer=1"], "'yaer' is given, and nothing in the manifest names it; did you mean 'year'?"),
        (["--var", "year=soon"], "vars.year: is a number, and 'soon' is given; give it as JSON has it"),
    ],
)
def test_bad_variables(here: Here, manifest: Path, options: list[str], said: str) -> None:
    """A variable that cannot be meant is told, and nothing is printed."""
    done = here("expand", manifest, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_bad_entry_is_told_with_its_row(here: Here, manifest: Path) -> None:
    """Line and row are in the text and in the JSON object; nothing is printed of a file with a bad entry."""
    manifest.write_text(MANIFEST.replace("{{ name }}", "{{ nam }}"))
    done = here("expand", manifest)
    assert (done.code, done.out) == (2, "")
    said = "row 1: title: names 'nam', which is no variable here; did you mean 'name'? (and in 1 more row)"
    assert f"{manifest}:5 {said}" in done.err
    (first, second) = here("validate", manifest, "--json").json["problems"]
    assert (first["line"], first["row"], first["field"]) == (5, 1, "title")
    assert second["row"] == 2


def test_the_environment_and_standard_input(here: Here) -> None:
    """Directive lines and variables of the environment work for a stream as well."""
    lines = [{"vars": {"year": 1}}, {"kind": "dataset", "title": "Y{{ year }}"}]
    stdin = "".join(json.dumps(line) + "\n" for line in lines)
    assert json.loads(here("expand", "-", stdin=stdin, env={"ENCORD_VAR_year": "7"}).out)["title"] == "Y7"


@pytest.mark.process
def test_every_verb_sees_the_same_entries(
    api: Api, here: Here, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `plan` reviews `apply` makes, once, and `verify` finds; with another variable it is another manifest."""
    for name, value in api.env.items():
        monkeypatch.setenv(name, value)
    given = ["--var", "year=2040"]
    assert here("validate", manifest, *given).code == 0
    planned = here("plan", manifest, *given, "--out", manifest.with_name("p"), "--json").json
    assert planned["counts"]["create"] == {"project": 2, "dataset": 1}
    refused = here("apply", manifest, "--plan", manifest.with_name("p"))
    assert refused.code == 2
    assert "the manifest has changed since the plan was made" in refused.err
    assert here("apply", manifest, *given, "--plan", manifest.with_name("p"), "--json").json["created"] == 3
    assert [project["description"] for project in api.projects("Acme 2040")] == ["made in 2040"]
    assert here("apply", manifest, *given, "--yes", "--json").json["unchanged"] == 3
    assert here("verify", manifest, *given).code == 0
    assert here("verify", manifest, "--json").json["difference_count"] > 0
