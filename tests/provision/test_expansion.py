"""Manifests with vars, defaults, includes and rows: what they become, and what is wrong with the others."""

import json
import os
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encord_async.engine.outcome import Status
from encord_async.errors import ManifestError, UsageError
from encord_async.kinds.entry import Entry
from encord_async.kinds.namer import Namer
from encord_async.kinds.project import ProjectEntry
from encord_async.manifest.files import check_manifest, read_manifest
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.reading import read_entry
from encord_async.manifest.sources import open_source, with_variables
from encord_async.manifest.variables import ManifestFile
from tests.provision.world import open_world

PROGRAMME = """\
vars: {year: 2026}
defaults:
  project: {description: "made for {{ year }}", users: [{email: boss@example.com, role: admin}]}
entries:
  - {kind: dataset, key: raw, title: Raw}
  - kind: project
    for_each: customers.csv
    key: "{{ customer }}"
    title: "{{ name }} {{ year }}"
    datasets: ["@raw"]
    users: [{email: "{{ lead }}", role: reviewer}]
"""
CUSTOMERS = "customer,name,lead\nacme,Acme,ann@example.com\nbeta,Beta,bob@example.com\n"
PER_ANNOTATOR = """\
- {kind: project, for_each: annotators.csv, key: "training-{{ email }}", title: "Training of {{ name }}",
   description: "{{ email }}", workflow_template_id: 6b8e6b5c-0d0f-4f9b-8a9e-000000000001, datasets: ["@training"],
   users: [{email: "{{ email }}", role: annotator}]}
"""

Files = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Write files into an empty folder, which is the current one, and give the name of the first."""
    monkeypatch.chdir(tmp_path)

    def put(texts: Mapping[str, str]) -> Path:
        for name, text in texts.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text)
        return Path(next(iter(texts)))

    return put


def found(manifest: Path | ManifestFile) -> list[Entry]:
    """The entries of a manifest in which nothing is wrong."""
    items = list(read_manifest(manifest))
    assert not [str(item) for item in items if isinstance(item, Problem)]
    return [item.entry for item in items if isinstance(item, PlacedEntry)]


def titles(manifest: Path | ManifestFile) -> list[str]:
    """The titles of its entries."""
    return [getattr(entry, "title", "") for entry in found(manifest)]


def problems(manifest: Path | ManifestFile) -> list[str]:
    """What is wrong in a manifest as a whole, as it is printed."""
    return [str(problem) for problem in check_manifest(manifest).problems]


def identities(manifest: Path) -> dict[str | None, bytes]:
    """The identity of each entry, by its key."""
    namer = Namer()
    return {entry.key: namer.identity(entry) for entry in found(manifest)}


# ------------------------------------------------------------------ the whole


def test_a_template_for_many_customers(files: Files) -> None:
    """A table beside the manifest gives an entry a row; defaults fill in what entries leave out, lists are replaced."""
    path = files({"m.yaml": PROGRAMME, "customers.csv": CUSTOMERS})
    raw, acme, beta = found(path)
    assert raw.key == "raw"
    assert isinstance(acme, ProjectEntry)
    assert (acme.key, acme.title, acme.description) == ("acme", "Acme 2026", "made for 2026")
    assert [user.email for user in acme.users] == ["ann@example.com"]
    assert beta.key == "beta"
    assert check_manifest(path).entries == 3


@pytest.mark.parametrize("text", ["{{ 'Cats' }}", "{% set x = 1 %}Cats"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_template_whose_characters_are_escaped(files: Files, text: str, blank: str) -> None:
    """However JSON writes the two characters that a template begins with, and wherever its object begins, it is one."""
    written = [(one, f"\\u{ord(one):04x}", f"\\u{ord(one):04X}") for one in text[:2]]
    titled = [first + second + text[2:] for first in written[0] for second in written[1]]
    lines = [f'{blank}{{"kind": "project", "title": "{title}", "key": "p{at}"}}' for at, title in enumerate(titled)]
    path = files({"m.jsonl": "\n".join(lines)})
    if text.startswith("{{"):
        assert titles(path) == len(titled) * ["Cats"]
    else:
        assert ["holds a statement" in one for one in problems(path)] == len(titled) * [True]


def test_directive_lines_say_the_same(files: Files) -> None:
    """The same manifest as JSON lines, with its preamble as lines of its own, becomes the same entries."""
    whole = yaml.safe_load(PROGRAMME)
    lines = [{"vars": whole["vars"]}, {"defaults": whole["defaults"]}, *whole["entries"]]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    jsonl = files({"m.jsonl": text, "m.yaml": PROGRAMME, "customers.csv": CUSTOMERS})
    assert found(jsonl) == found(Path("m.yaml"))
    together = "".join(json.dumps(line) + "\n" for line in [lines[0] | lines[1], *lines[2:]])
    assert found(files({"n.jsonl": together})) == found(jsonl)


def test_a_project_for_each_annotator(files: Files) -> None:
    """What Encord's guide asks for, a training project for each annotator, is three lines."""
    assert len(PER_ANNOTATOR.splitlines()) == 3
    path = files(
        {
            "m.yaml": "- {kind: dataset, key: training, title: Training}\n" + PER_ANNOTATOR,
            "annotators.csv": "email,name\nann@example.com,Ann\nbob@example.com,Bob\n",
        }
    )
    assert titles(path) == ["Training", "Training of Ann", "Training of Bob"]


def test_rows_of_a_list_and_of_a_matrix(files: Files) -> None:
    """Rows are written out, come from a variable, or are all combinations; `item` is a row that has no names."""
    path = files(
        {
            "m.yaml": """
vars: {teams: [red, blue]}
entries:
  - {kind: dataset, for_each: [{a: 1, b: x}, {a: 2, b: y}], key: "{{ b }}", title: "{{ a }}{{ b }}"}
  - {kind: dataset, for_each: "{{ teams }}", key: "{{ item }}", title: "{{ item }}"}
  - {kind: dataset, for_each: {matrix: {t: "{{ teams }}", n: [1, 2]}}, key: "{{ t }}{{ n }}", title: "{{ n }}-{{ t }}"}
  - {kind: dataset, for_each: [], key: "{{ item }}", title: none}
"""
        }
    )
    assert titles(path) == ["1x", "2y", "red", "blue", "1-red", "2-red", "1-blue", "2-blue"]


def test_anchors_and_templates_go_together(files: Files) -> None:
    """What stands at an anchor in the preamble may be used below it."""
    path = files(
        {
            "m.yaml": """
vars:
  crew: &crew [{email: ann@example.com, role: annotator}]
entries:
  - {kind: project, key: p, title: P, users: *crew}
  - {kind: project, key: q, title: Q, users: "{{ crew }}"}
"""
        }
    )
    one, other = found(path)
    assert isinstance(one, ProjectEntry)
    assert isinstance(other, ProjectEntry)
    assert one.users == other.users
    assert one.users[0].email == "ann@example.com"


def test_defaults(files: Files) -> None:
    """An entry's own list or text replaces the default's, its objects are put together with it, null takes it away."""
    path = files(
        {
            "m.yaml": """
defaults:
  project: {key: "p-{{ item }}", description: D, datasets: [x1, x2], users: [{email: ann@example.com, role: admin}]}
  ontology: {structure: {objects: [], classifications: []}}
entries:
  - {kind: project, for_each: [a], title: A}
  - {kind: project, key: b, title: B, description: own, datasets: [x3], users: null}
  - {kind: ontology, title: O, structure: {objects: [{id: '1', name: Car}]}}
  - {kind: "{{ 'pro' ~ 'ject' }}", key: c, title: C}
"""
        }
    )
    a, b, ontology, c = (entry.model_dump(mode="json") for entry in found(path))
    assert (a["key"], a["description"], a["datasets"]) == ("p-a", "D", ["x1", "x2"])
    assert (b["description"], b["datasets"], b["users"]) == ("own", ["x3"], [])
    assert ontology["structure"] == {"objects": [{"id": "1", "name": "Car"}], "classifications": []}
    assert c["description"] == "D"


# ------------------------------------------------------------------ variables


def test_the_nearest_variable_counts(files: Files) -> None:
    """What is given by name counts before files of variables, these before the environment, then the manifest."""
    path = files(
        {
            "m.yaml": "{vars: {a: 1, b: 1, c: 1, d: 1}, entries: [{kind: dataset, title: '{{ [a, b, c, d]|join }}'}]}",
            "one.yaml": "c: 9\nd: 3\n",
            "two.json": '{"c": 3}',
        }
    )
    environ = {"ENCORD_VAR_b": "2", "ENCORD_VAR_c": "2", "ENCORD_VAR_d": "2", "ENCORD_VAR_": "x"}
    manifest = ManifestFile.at(path, {"d": 4}, files=["one.yaml", "two.json"], environ=environ)
    assert titles(manifest) == ["1234"]


def test_variables_use_those_above(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the manifest may be made of others, whoever gives these."""
    monkeypatch.setenv("ENCORD_VAR_year", "2031")
    path = files(
        {"m.yaml": "{vars: {year: 2026, wave: 'W{{ year + 1 }}'}, entries: [{kind: dataset, title: '{{ wave }}'}]}"}
    )
    assert titles(path) == ["W2032"]


@pytest.mark.parametrize(
    ("own", "given", "value"),
    [("2026", "2027", 2027), ("[a]", '["b", "c"]', ["b", "c"]), ("true", "false", False), ("text", "[1]", "[1]")],
)
def test_text_is_taken_for_what_the_manifest_has(files: Files, own: str, given: str, value: object) -> None:
    """A command line has only text: where the manifest's value is a number or a list, so is what is given for it."""
    path = files({"m.yaml": f"{{vars: {{v: {own}}}, entries: [{{kind: dataset, title: '{{{{ v | tojson }}}}'}}]}}"})
    assert titles(ManifestFile.at(path, {"v": given}, environ={})) == [json.dumps(value)]
    if not isinstance(value, str):
        (problem,) = problems(ManifestFile.at(path, {"v": "x"}, environ={}))
        assert "and 'x' is given; give it as JSON has it" in problem


def test_a_variable_that_nothing_names(files: Files) -> None:
    """A slip in the name of a given variable is told, since nothing else would be seen of it."""
    path = files({"m.yaml": PROGRAMME, "customers.csv": CUSTOMERS})
    (problem,) = problems(ManifestFile.at(path, {"yaer": "2027"}, environ={"ENCORD_VAR_other": "x"}))
    assert problem == "m.yaml:1: vars: 'yaer' is given, and nothing in the manifest names it; did you mean 'year'?"
    lone = files({"n.yaml": "[{kind: dataset, title: 'For {{ whom }}'}]"})
    assert titles(ManifestFile.at(lone, {"whom": "me"}, environ={})) == ["For me"]


@pytest.mark.parametrize(
    ("variables", "file", "why"),
    [
        ({"a-b": 1}, "{}", "'a-b', given, is no name of a variable"),
        ({"a": object()}, "{}", "the variable 'a', given, is worth a object"),
        ({}, "[1]", "the variables in v.yaml are no object of names and values"),
        ({}, "{1: 2}", "v.yaml: names of fields must be text; put them in quotes"),
        ({}, "{", "v.yaml:2: is not YAML"),
    ],
)
def test_no_variables(files: Files, variables: Mapping[str, object], file: str, why: str) -> None:
    """Variables that are none are refused before anything is read."""
    files({"v.yaml": file})
    with pytest.raises(UsageError, match=why):
        ManifestFile.at("m.yaml", variables, files=["v.yaml"], environ={})


def test_a_file_of_variables_that_is_not_there(files: Files) -> None:
    """It is named."""
    files({"m.yaml": PROGRAMME})
    with pytest.raises(UsageError, match=r"the variables in 'no\.json' cannot be read"):
        ManifestFile.at("m.yaml", files=["no.json"], environ={})


# ------------------------------------------------------------------ includes


def test_included_files(files: Files) -> None:
    """Files are read where they are named, relative to the file that names them; its preamble counts before theirs."""
    path = files(
        {
            "m.yaml": "{include: [common.yaml, 'teams/{{ team }}.jsonl'], vars: {team: red, size: 1}, entries: "
            "[{kind: project, title: 'M{{ size }}{{ more }}'}]}",
            "common.yaml": "{vars: {size: 2, more: 3}, defaults: {project: {description: common}}}",
            "teams/red.jsonl": '{"include": ["../common.yaml", "people/ann.yaml"]}\n'
            '{"kind": "project", "key": "r", "title": "R{{ size }}", "datasets": ["@ann"]}\n',
            "teams/people/ann.yaml": "- {kind: dataset, for_each: ann.csv, key: '{{ n }}', title: A}",
            "teams/people/ann.csv": "n\nann\n",
        }
    )
    assert titles(path) == ["A", "R1", "M13"]
    assert [getattr(entry, "description", "") for entry in found(path)] == ["", "common", "common"]
    places = [str(item.place) for item in read_manifest(path)]
    assert places == ["teams/people/ann.yaml:1 row 1", "teams/red.jsonl:2", "m.yaml:1"]
    assert [item.place.number for item in read_manifest(path)] == [1, 2, 3]
    assert problems(path) == []


def test_a_file_is_included_once(files: Files) -> None:
    """What two files need they both name, and its entries are there once."""
    path = files(
        {
            "m.yaml": "include: [a.yaml, b.yaml, ./a.yaml]",
            "a.yaml": "{include: common.yaml, entries: [{kind: dataset, key: a, title: A}]}",
            "b.yaml": "{include: common.yaml, entries: [{kind: dataset, key: b, title: B}]}",
            "common.yaml": "[{kind: dataset, key: c, title: C}]",
        }
    )
    assert titles(path) == ["C", "A", "B"]
    assert problems(path) == []


def test_circles(files: Files) -> None:
    """Files that include one another in a circle are refused with the way around it."""
    path = files(
        {
            "a.yaml": "include: b/b.yaml",
            "b/b.yaml": "{vars: {x: 1}, include: ../c.jsonl}",
            "c.jsonl": '{"include": "a.yaml"}',
        }
    )
    assert problems(path) == [
        "c.jsonl:1: include: 'a.yaml' cannot be read: it includes itself: a.yaml > b/b.yaml > c.jsonl > a.yaml"
    ]


def test_a_long_chain(files: Files) -> None:
    """Files that include one another in a chain without end are refused before anything overflows."""
    files({f"{number}.yaml": f"include: {number + 1}.yaml" for number in range(2000)})
    assert problems(Path("0.yaml")) == [
        "31.yaml:1: include: '32.yaml' cannot be read: more than 32 files include one another"
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../secret.yaml", "it lies outside the folder of the manifest; put a copy of it there"),
        ("{absolute}", "it lies outside the folder of the manifest; put a copy of it there"),
        ("link.yaml", "it lies outside the folder of the manifest; put a copy of it there"),
        ("pipe.yaml", "it is no plain file"),
        ("no.yaml", "No such file or directory"),
        ("rows.csv", "use a file that ends in .jsonl, .ndjson, .yaml, .yml; rows of a table come by for_each"),
        ("m.txt", "use a file that ends in .jsonl, .ndjson, .yaml, .yml"),
        ("a\\0.yaml", "embedded null"),
    ],
)
def test_files_that_are_not_included(files: Files, tmp_path: Path, name: str, why: str) -> None:
    """Nothing outside the manifest's folder is read, wherever a name or a link leads, and no pipe is waited for."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("- {kind: dataset, title: Secret}")
    (folder / "link.yaml").symlink_to("../secret.yaml")
    os.mkfifo(folder / "pipe.yaml")
    path = files(
        {
            "in/m.yaml": json.dumps({"include": name.replace("{absolute}", str(tmp_path / "secret.yaml"))}).replace(
                "\\\\0", "\\u0000"
            )
        }
    )
    if "\\0" in name:
        path.write_text('{"include": "a\\u0000.yaml"}\n')
        path = path.rename("in/m.jsonl")
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:1: include: ")
    assert why in problem


@pytest.mark.parametrize("name", ["../rows.csv", "link.csv"])
def test_tables_outside_the_folder(files: Files, tmp_path: Path, name: str) -> None:
    """Nor is a table read that lies outside it."""
    path = files(
        {"in/m.yaml": f"[{{kind: dataset, for_each: {name}, key: '{{{{ n }}}}', title: T}}]", "rows.csv": "n\n1\n"}
    )
    (tmp_path / "in" / "link.csv").symlink_to("../rows.csv")
    (problem,) = problems(path)
    assert "cannot be read: it lies outside the folder of the manifest" in problem


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{vars: [1], entries: [{kind: dataset, title: T}]}",
            "m.yaml:1: vars: must be an object of names and values, not a list",
        ),
        ("vars: {a-b: 1}", "m.yaml:1: vars.a-b: is no name of a variable; use letters, digits and _"),
        ("vars: {a: '{{ b }}', b: 1}", "m.yaml:1: vars.a: names 'b', which is no variable here; known: none"),
        ("\ndefaults: {projct: {}}", "m.yaml:2: defaults.projct: is no kind of entry; did you mean 'project'?"),
        (
            "defaults: {project: {titel: x}}",
            "m.yaml:1: defaults.project.titel: is not a field of a project entry; did you mean 'title'?",
        ),
        ("defaults: {project: {kind: dataset}}", "m.yaml:1: defaults.project.kind: is not a field of a project entry"),
        ("defaults: {project: x}", "m.yaml:1: defaults.project: must be an object of fields and values, not text"),
        ("defaults: x", "m.yaml:1: defaults: must be an object of kinds and their fields, not text"),
        ("include: [{a: b}]", "m.yaml:1: include: must be the name of a file, or a list of such, not a list"),
        ("include: '{{ x }}.yaml'", "m.yaml:1: include: names 'x', which is no variable here; known: none"),
        ("vars: {a: 1}\nvars: {a: 2}", "m.yaml:2: 'vars' is given twice in one object"),
        ("entries: 5", "m.yaml:1: must be a list of entries; begin each entry with '- '"),
        ("entries: [{kind: dataset, title: T}]\nvars: {a: 1}", "m.yaml:2: vars: must stand before all entries"),
    ],
)
def test_a_bad_preamble(files: Files, text: str, expected: str) -> None:
    """What is wrong with what is said of all entries is told with its line, and no entry is made by it."""
    path = files({"m.yaml": text})
    assert problems(path)[0].startswith(expected)
    assert len(problems(path)) == 1


def test_a_directive_line_after_an_entry(files: Files) -> None:
    """Directive lines belong before the entries."""
    path = files(
        {"m.jsonl": '{"kind": "dataset", "title": "T"}\n{"vars": {"a": 1}}\n{"kind": "dataset", "title": "U"}\n'}
    )
    assert problems(path) == ["m.jsonl:2: vars: must stand before all entries"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "for_each: [{a: 1}], title: T",
            "m.yaml:1: key: must differ by row: it is what an entry of for_each is known by",
        ),
        ("for_each: [{a: 1}], key: k, title: T", "m.yaml:1: key: must differ by row"),
        (
            "for_each: [{a: 1, b: 2}], title: '{{ b }} of {{ a }}'",
            "m.yaml:1: key: must differ by row: it is what an entry of for_each is known by; write it with what "
            'differs, for example  key: "{{ a }}-{{ b }}"',
        ),
        (
            "for_each: [{a: 1}, {a: 1}], key: '{{ a }}x', title: T",
            "m.yaml:1 row 2: key: '1x' is the key of m.yaml:1 row 1 already",
        ),
        (
            "for_each: [{a: b}, {b: a}], key: '{{ a }}', title: T",
            "m.yaml:1 row 2: key: names 'a', which is no variable here",
        ),
        (
            "for_each: 5, key: '{{ a }}', title: T",
            "m.yaml:1: for_each: cannot be a number; give a list, the name of a table",
        ),
        ("for_each: {matrx: {}}, key: '{{ a }}', title: T", "m.yaml:1: for_each: cannot be an object"),
        (
            "for_each: {matrix: {a: 1}}, key: '{{ a }}', title: T",
            "m.yaml:1: for_each.matrix: must be an object of names, each",
        ),
        (
            "for_each: {matrix: {a: &a [1,2,3,4,5,6,7,8,9,0], b: *a, c: *a, d: *a, e: *a, f: *a, g: *a, h: *a}}, "
            "key: '{{ a }}', title: T",
            "m.yaml:1: for_each.matrix: has 100,000,000 rows, and may have 10,000,000",
        ),
        (
            "title: {{ x }}, key: known",
            "m.yaml:1: title: names of fields must be text; put {{ expressions }} in quotes",
        ),
        ("for_each: '{{ x }}', key: '{{ a }}', title: T", "m.yaml:1: for_each: names 'x', which is no variable here"),
        (
            "for_each: x.txt, key: '{{ a }}', title: T",
            "m.yaml:1: for_each: 'x.txt' is no table; name a file that ends in .csv",
        ),
        ("for_each: no.csv, key: '{{ a }}', title: T", "m.yaml:1: for_each: 'no.csv' cannot be read: No such file"),
        (
            "for_each: [{a: 1}], key: '{{ a }}', title: T",
            "m.yaml:1 row 1: key: must be text, not a number; make it one: {{ x | string }}",
        ),
        ("title: '{{ x }}', key: known", "m.yaml:1: title: names 'x', which is no variable here"),
    ],
)
def test_a_bad_entry(files: Files, entry: str, expected: str) -> None:
    """An entry with a bad key, rows or text is told with its line, and the row if it has one."""
    path = files({"m.yaml": f"[{{kind: dataset, {entry}}}]"})
    (problem,) = problems(path)
    assert problem.replace(" row 1: for_each", ": for_each").startswith(expected)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("n,n\n1,2\n", "t.csv:1: 'n' is the name of two columns"),
        ("n\n1,2\n", "t.csv:2: has 2 cells, and there are 1 columns; quote cells with commas"),
        ('n\n"1\n', "t.csv:2: is not CSV"),
        ("", "'t.csv' is empty; its first line has to name the columns"),
        (" \n\n", "'t.csv' is empty; its first line has to name the columns"),
        (
            "n\rx\r",
            "t.csv:1: is not CSV: new-line character seen in unquoted field; nothing after it was read; its lines",
        ),
    ],
)
def test_a_bad_table(files: Files, table: str, expected: str) -> None:
    """What is wrong with a table is told with its line, at the entry that names it."""
    path = files({"m.yaml": "[{kind: dataset, for_each: t.csv, key: '{{ n }}', title: T}]", "t.csv": table})
    (problem,) = problems(path)
    assert problem.startswith(f"m.yaml:1 row 1: for_each: {expected}")


def test_a_table_with_a_header_in_another_encoding(files: Files, tmp_path: Path) -> None:
    """Names of columns that are not UTF-8 are told where they stand, and not at each entry that names them."""
    path = files({"m.yaml": "[{kind: dataset, for_each: t.csv, key: '{{ n }}', title: T}]"})
    (tmp_path / "t.csv").write_bytes("n,größe\n1,2\n".encode("latin-1"))
    assert problems(path) == ["m.yaml:1 row 1: for_each: t.csv:1: is not UTF-8; save the file as UTF-8"]


def test_tables_as_spreadsheets_leave_them(files: Files) -> None:
    """Columns and cells without anything at the end of lines, blank lines and blanks around cells mean nothing."""
    table = "n, title ,,\n1, A ,,\n,,,\n\n2\n"
    path = files(
        {"m.yaml": "[{kind: dataset, for_each: t.csv, key: '{{ n }}', title: 'T{{ title }}'}]", "t.csv": table}
    )
    assert titles(path) == ["TA", "T"]


def test_rows_of_other_tables(files: Files) -> None:
    """Rows come from whatever tables there can be: with semicolons, or a sheet of Excel by its name."""
    path = files(
        {
            "m.yaml": "[{kind: dataset, for_each: a.csv, key: '{{ n }}', title: '{{ t }}'}, "
            "{kind: dataset, for_each: 'b.xlsx#Spring', key: 'x{{ n }}', title: '{{ t }}'}]",
            "a.csv": "n;t\n1;A, B\n",
        }
    )
    openpyxl: Any = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    book = openpyxl.Workbook()
    book.create_sheet("Spring").append(["n", "t"])
    book["Spring"].append([2, "C"])
    book.save("b.xlsx")
    assert [(entry.key, entry.model_dump()["title"]) for entry in found(path)] == [("1", "A, B"), ("x2", "C")]


def test_references_to_what_is_bad_are_not_told_again(files: Files) -> None:
    """A reference to a bad entry is wrong because that is, not because there is none."""
    path = files({"m.yaml": "[{kind: dataset, key: d, title: '{{ x }}'}, {kind: project, title: P, datasets: ['@d']}]"})
    assert problems(path)[1] == "m.yaml:1: datasets.0: '@d' names m.yaml:1, which is wrong itself"


def test_entries_of_programs_are_no_templates() -> None:
    """Entries from Python are taken as they are; variables for them are a mistake."""
    with pytest.raises(UsageError, match="variables are for manifests in files"):
        with_variables([{"kind": "dataset", "title": "{{ x }}"}], {"x": 1})


async def test_texts_of_programs_stay(files: Files) -> None:
    """A program may write what looks like a template."""
    (item,) = await open_source([{"kind": "dataset", "title": "{{ x }}"}]).take(5)
    assert isinstance(item, PlacedEntry)
    assert item.entry.model_dump()["title"] == "{{ x }}"


def test_a_manifest_of_nothing_but_a_preamble(files: Files) -> None:
    """A file that holds no entry is refused as before."""
    with pytest.raises(ManifestError, match=r"m\.yaml holds no entries"):
        list(read_manifest(files({"m.yaml": "vars: {a: 1}"})))


# ------------------------------------------------------------------ runs


async def test_rows_that_moved_are_done_already(files: Files) -> None:
    """A second run knows each row's entry again by its key, wherever the row stands now, and makes only the new one."""
    path = files({"m.yaml": PROGRAMME, "customers.csv": CUSTOMERS})
    async with open_world() as world:
        async with world.session.provision(path, variables={"year": 2027}) as run:
            assert {one.key: one.status for one in [one async for one in run]} == {
                "raw": Status.CREATED,
                "acme": Status.CREATED,
                "beta": Status.CREATED,
            }
        head, acme, beta = CUSTOMERS.splitlines()
        files({"customers.csv": f"{head}\nnew,New,cyd@example.com\n{beta}\n{acme}"})
        async with world.session.provision(path, variables={"year": 2027}) as run:
            ended = [one async for one in run]
        assert {one.key: one.status for one in ended if one.status is not Status.UNCHANGED} == {"new": Status.CREATED}
        assert [one.place for one in ended if one.key == "acme"] == ["m.yaml:6 row 3"]
        found = sorted(project["title"] for project in world.emulator.state()["projects"])
        assert found == ["Acme 2027", "Beta 2027", "New 2027"]


async def test_keys_of_some_rows_have_moved(files: Files) -> None:
    """Of an entry of rows those move that say another key than their own: the rest has none, or is what it was."""
    text = "- {kind: dataset, for_each: t.csv, key: '{{ id }}', moved: '{{ old }}', title: 'T {{ name }}'}"
    path = files({"m.yaml": text, "t.csv": "id,old,name\na,,1\nb,b,2\nc,,3\n"})
    async with open_world() as world:
        await world.session.provision(path).results()
        files({"t.csv": "id,old,name\na,,1\nb,b,2\nd,c,3\n"})
        async with world.session.provision(path) as run:
            assert {one.status for one in [one async for one in run]} == {Status.UNCHANGED}
            assert [(one.old, one.new) for one in run.register.moved] == [("c", "d")]


async def test_every_door_takes_variables(files: Files) -> None:
    """`validate`, `plan` and `verify` see the same entries as `provision`; a plan is for these, and no others."""
    path = files({"m.yaml": PROGRAMME, "customers.csv": CUSTOMERS})
    given = {"year": 2027}
    async with open_world() as world:
        session = world.session
        assert (await session.validate(path, variables=given)).entries == 3
        assert (await session.validate(path, variables={"yaer": 1})).problem_count == 1
        assert (await session.plan(path, variables=given, out="p.plan")).irreversible == 3
        files({"customers.csv": CUSTOMERS.replace("Beta,", "Bravo,")})
        with pytest.raises(UsageError, match="the manifest has changed since the plan was made"):
            async with session.provision(path, variables=given, plan="p.plan"):
                pass
        files({"customers.csv": CUSTOMERS})
        async with session.provision(path, variables=given, plan="p.plan") as run:
            assert [one.status async for one in run] == [Status.CREATED] * 3
        assert (await session.verify(path, variables=given)).differences == 0
        assert (await session.verify(path)).differences > 0


async def test_what_is_bad_is_skipped(files: Files) -> None:
    """With `skip_invalid` the rows that are good are made; but nothing where what is said of all entries is bad."""
    path = files({"m.yaml": PROGRAMME, "customers.csv": CUSTOMERS.replace("bob@example.com", "nobody")})
    async with open_world() as world:
        async with world.session.provision(path, skip_invalid=True) as run:
            ended = {one.place: one.status async for one in run}
        assert ended == {"m.yaml:5": Status.CREATED, "m.yaml:6 row 1": Status.CREATED, "m.yaml:6 row 2": Status.FAILED}
        bad = files({"n.yaml": PROGRAMME.replace("project:", "projct:")})
        async with world.session.provision(bad, skip_invalid=True, journal=None) as run:
            with pytest.raises(ManifestError, match="is no kind of entry"):
                assert [one async for one in run] == []


# ------------------------------------------------------------------ laws

KEYS = st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), unique=True, max_size=6)
PLAIN = st.builds(
    lambda keys, title, users: [
        {
            "kind": "project",
            "key": key,
            "title": title,
            "users": [{"email": f"{user}@example.com", "role": "annotator"} for user in users],
        }
        for key in keys
    ],
    KEYS.filter(bool),
    st.text(st.characters(codec="utf-8", exclude_characters="{\0"), min_size=1).filter(str.strip),
    st.lists(st.sampled_from("abc"), unique=True),
)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@QUIET
@given(PLAIN, st.sampled_from(["jsonl", "yaml", "mapping"]))
def test_without_templates_a_manifest_is_what_it_was(files: Files, entries: list[dict[str, Any]], form: str) -> None:
    """Whatever is in a manifest without templates is what the entries are, in each of its forms."""
    text = {
        "jsonl": lambda: "".join(json.dumps(entry) + "\n" for entry in entries),
        "yaml": lambda: yaml.safe_dump(entries),
        "mapping": lambda: yaml.safe_dump({"entries": entries}),
    }[form]()
    path = files({"m.jsonl" if form == "jsonl" else "m.yaml": text})
    assert found(path) == [read_entry(entry, Place("m", 1, 1)) for entry in entries]


@QUIET
@given(PLAIN)
def test_rows_are_entries_written_out(files: Files, entries: list[dict[str, Any]]) -> None:
    """An entry for each row is the same as the entries written out by hand, in the same order."""
    template = {name: f"{{{{ {name} }}}}" for name in entries[0] if name != "kind"}
    path = files({"m.yaml": yaml.safe_dump([{"kind": "project", "for_each": entries, **template}])})
    assert found(path) == found(files({"n.yaml": yaml.safe_dump(entries)}))


@QUIET
@given(
    st.lists(st.integers(0, 999), unique=True, min_size=1).flatmap(
        lambda rows: st.tuples(st.just(rows), st.permutations(rows))
    )
)
def test_rows_may_move(files: Files, orders: tuple[list[int], list[int]]) -> None:
    """An entry is known by its key: in whichever order rows stand, it is the same one."""
    entry = "[{kind: project, for_each: t.csv, key: 'p{{ n }}', title: 'P {{ n }}'}]"
    one, other = (
        identities(files({"m.yaml": entry, "t.csv": "n\n" + "".join(f"{row}\n" for row in order)})) for order in orders
    )
    assert one == other
    assert list(one) == [f"p{row}" for row in orders[0]]


def test_many_rows_in_flat_memory(files: Files) -> None:
    """A table of any length is read row by row."""
    entry = "[{kind: project, for_each: t.csv, key: 'p{{ n }}', title: 'P {{ name }}'}]"
    peaks = []
    for rows in (500, 4_000):
        path = files({"m.yaml": entry, "t.csv": "n,name\n" + "".join(f"{row},Name {row}\n" for row in range(rows))})
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_manifest(path)) == rows
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # The rows alone would take 720 kB more. Threads of a cluster that other tests have started take some, too.
    assert peaks[1] < peaks[0] + 600_000
