import codecs
import io
import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from encord_async.errors import ManifestError, MissingExtraError
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.project import APIKeyWish, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.manifest import files as manifest_files
from encord_async.manifest import lines as manifest_lines
from encord_async.manifest import tables as manifest_tables
from encord_async.manifest import yaml_text
from encord_async.manifest.files import check_manifest, manifest_error, raise_for_problems, read_manifest
from encord_async.manifest.place import Place, PlacedEntry, Problem, place_said
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole

GOOD = '{"kind": "dataset", "title": "Cats"}\n'
ENTRIES: tuple[Entry, ...] = (
    DatasetEntry(key="raw", title="Cats, raw", description="first\nsecond"),
    ProjectEntry(
        key="cats",
        title='"Cats"',
        datasets=("@raw", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1"),
        users=(
            UserWish(email="ann@example.com", role=ProjectUserRole.ANNOTATOR),
            UserWish(email="bob@example.com", role=ProjectUserRole.ADMIN),
        ),
    ),
    ProjectDatasetsEntry(project="@cats", add=("x1", "x2"), remove=("@raw",)),
    ProjectUsersEntry(project="@cats", emails=("cyd@example.com",), role=ProjectUserRole.REVIEWER),
    ProjectAPIKeyEntry(project="@cats", title="export", scopes=(APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE)),
)
JSONL = "".join(entry.model_dump_json() + "\n" for entry in ENTRIES)
YAML = r"""# What the team needs
- kind: dataset
  key: raw
  title: Cats, raw
  description: |-
    first
    second
- kind: project
  key: cats
  title: '"Cats"'
  datasets: ["@raw", aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1]
  users:
    - {email: ann@example.com, role: annotator}
    - {email: bob@example.com, role: 0}

- {kind: project_datasets, project: "@cats", add: [x1, x2], remove: ["@raw"]}
- kind: project_users
  project: "@cats"
  emails: [cyd@example.com]
  role: reviewer
- {kind: project_api_key, project: "@cats", title: export, scopes: [label.read, label.write]}
"""
CSV = '''kind,key,project,title,description,datasets,users,add,remove,emails,role,scopes
dataset,raw,,"Cats, raw","first
second",,,,,,,
project,cats,,"""Cats""",,@raw;aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1,ann@example.com=annotator; bob@example.com = 0,,,,,
project_datasets,,@cats,,,,,x1 x2,@raw,,,
project_users,,@cats,,,,,,,cyd@example.com,reviewer,
project_api_key,,@cats,export,,,,,,,,label.read;label.write
'''

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into an empty folder, which is the current one, and give its bare name."""
    monkeypatch.chdir(tmp_path)

    def put(name: str, content: str | bytes) -> Path:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return Path(name)

    return put


def entries(path: Path | str) -> list[Entry]:
    """The entries of a manifest in which nothing is wrong."""
    found = []
    for item in read_manifest(path):
        assert isinstance(item, PlacedEntry), str(item)
        found.append(item.entry)
    return found


def problems(path: Path | str) -> list[str]:
    """What is wrong in a manifest, as it is printed."""
    return [str(item) for item in read_manifest(path) if isinstance(item, Problem)]


def places(path: Path | str) -> list[tuple[int | None, int]]:
    """Line and number of each item."""
    return [(item.place.line, item.place.number) for item in read_manifest(path)]


# ------------------------------------------------------------------ all formats


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("m.jsonl", JSONL, [1, 2, 3, 4, 5]),
        ("m.ndjson", JSONL, [1, 2, 3, 4, 5]),
        ("M.JSONL", JSONL, [1, 2, 3, 4, 5]),
        ("m.yaml", YAML, [2, 8, 16, 17, 21]),
        ("m.yml", YAML, [2, 8, 16, 17, 21]),
        ("m.csv", CSV, [2, 4, 5, 6, 7]),
    ],
)
def test_all_formats_give_the_same_entries(write: Write, name: str, content: str, lines: list[int]) -> None:
    """JSONL, YAML and CSV say the same things, and each entry knows the line on which it begins."""
    path = write(name, content)
    assert entries(path) == list(ENTRIES)
    assert places(path) == [(line, number) for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize(("name", "content"), [("m.jsonl", JSONL), ("m.yaml", YAML), ("m.csv", CSV)])
def test_windows_files_are_read(write: Write, name: str, content: str) -> None:
    """A byte order mark and line ends of two characters change nothing but a line break inside a CSV cell."""
    path = write(name, codecs.BOM_UTF8 + content.replace("\n", "\r\n").encode())
    found = entries(path)
    assert found[1:] == list(ENTRIES[1:])
    first = found[0]
    assert isinstance(first, DatasetEntry)
    assert first.description.splitlines() == ["first", "second"]


@pytest.mark.parametrize(("name", "content"), [("m.jsonl", JSONL), ("m.yaml", YAML), ("m.csv", CSV)])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_is_refused(write: Write, name: str, content: str, encoding: str) -> None:
    """A file that a spreadsheet saved as UTF-16 is refused as a whole, with what to do."""
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    with pytest.raises(ManifestError, match=r"is encoded in UTF-16; save it as UTF-8$"):
        list(read_manifest(write(name, mark + content.encode(encoding))))


@pytest.mark.parametrize("name", ["m.jsonl", "m.yaml", "m.csv"])
@pytest.mark.parametrize("content", [b"", b"\n \r\n\n", codecs.BOM_UTF8])
def test_a_file_without_entries_is_refused(write: Write, name: str, content: bytes) -> None:
    """An empty file is an error: doing nothing in silence would hide a mistake."""
    with pytest.raises(ManifestError, match=rf"^{name} holds no entries$"):
        list(read_manifest(write(name, content)))


@pytest.mark.parametrize(
    ("name", "content"), [("m.csv", "kind,title\n,\n"), ("m.yaml", "[]"), ("m.yaml", "# none\n---\n")]
)
def test_a_frame_without_entries_is_refused(write: Write, name: str, content: str) -> None:
    """A table that is only a header, an empty list and an empty document are no manifests."""
    with pytest.raises(ManifestError, match="holds no entries"):
        list(read_manifest(write(name, content)))


@pytest.mark.parametrize("name", ["m.json", "manifest", "m.jsonl.gz", "", "m.ods"])
def test_other_files_are_refused_at_once(name: str) -> None:
    """A name that says no known format is refused before anything is opened, with those that are known."""
    with pytest.raises(ManifestError, match=r"ends in \.jsonl, \.ndjson, \.yaml, \.yml, \.csv, \.xlsx, or - for JSONL"):
        read_manifest(name)


def test_a_file_that_is_not_there_is_named(write: Write) -> None:
    """A missing file, a folder and a name that cannot be one are errors that name it."""
    with pytest.raises(ManifestError, match=r"^no\.jsonl cannot be read: No such file or directory$"):
        next(read_manifest("no.jsonl"))
    write("x", "")
    Path("folder.yaml").mkdir()
    with pytest.raises(ManifestError, match=r"^folder\.yaml cannot be read: Is a directory$"):
        next(read_manifest(Path("folder.yaml")))
    with pytest.raises(ManifestError, match=r"^'a\\x00.jsonl' is no name of a file$"):
        next(read_manifest("a\0.jsonl"))


def test_the_file_is_closed_when_reading_stops_early(write: Write) -> None:
    """Whoever stops in the middle closes the generator and with it the file."""
    reading = read_manifest(write("m.jsonl", GOOD * 3))
    next(reading)
    reading.close()
    assert list(reading) == []


@given(
    content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    suffix=st.sampled_from(["jsonl", "yaml", "csv"]),
)
@example(content=b"- &a [*a]\n", suffix="yaml")
@example(content=b"- ? [a]\n  : b\n- ? *x\n  : b\n- {? {? {? {}}}}\n", suffix="yaml")
@example(content=b"%YAML 9.9\n--- !!set {a}\n...\n- !!omap []\n", suffix="yaml")
@example(content=b"- !!int abc\n- !!timestamp x\n- !!bool x\n- !!float x\n- 2024-13-45\n- .inf\n- 0b2\n", suffix="yaml")
@example(content=b'kind,title\n"a"b,c\n', suffix="csv")
@example(content=b"kind,kind,\xff,a\x00b,\x1b[2J\n", suffix="csv")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_items_or_an_error(write: Write, content: bytes, suffix: str) -> None:
    """Whatever is in a file, reading it gives entries, problems that can be printed, or a ManifestError."""
    told: list[str] = []
    try:
        items = list(read_manifest(write(f"m.{suffix}", content)))
    except ManifestError as error:
        told = [str(error)]
    else:
        assert items
        told = [str(item) for item in items if isinstance(item, Problem)]
    for text in told:
        assert text.isprintable(), ascii(text)
        text.encode()


# ------------------------------------------------------------------ JSONL


def test_jsonl_goes_on_after_a_bad_line(write: Write) -> None:
    """Each bad line is reported with its number, blank lines count as lines and not as entries, the rest is read."""
    path = write("m.jsonl", b"\n" + GOOD.encode() + b"  \r\n# no\n" + b'{"kind": "\xfc"}\n' + GOOD.encode().strip())
    assert places(path) == [(2, 1), (4, 2), (5, 3), (6, 4)]
    assert problems(path) == [
        "m.jsonl:4: is not JSON: expecting value at column 1; JSONL has no comments",
        "m.jsonl:5: is not UTF-8 at byte 11 of the line; save the file as UTF-8",
    ]


def test_a_line_that_is_too_long_is_not_held_in_memory(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of more than 16 MiB is a problem, costs no more memory than that, and the next line is read."""
    assert manifest_lines.MAX_LINE_BYTES == 16 * 2**20
    limit = 2 * 2**20
    for module in (manifest_files, manifest_lines):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", limit)
    fits = b'{"kind": "dataset", "title": "%s"}' % (b"x" * (limit - 34))
    assert len(fits) == limit - 2
    with write("m.jsonl", codecs.BOM_UTF8 + fits + b"\n").open("ab") as stream:
        for _ in range(5):
            stream.write(b" " * limit)
        stream.write(b"x\n" + GOOD.encode())
    tracemalloc.start()
    try:
        found = [(type(item), item.place.line) for item in read_manifest("m.jsonl")]
        assert tracemalloc.get_traced_memory()[1] < 5.5 * limit
    finally:
        tracemalloc.stop()
    assert found == [(PlacedEntry, 1), (Problem, 2), (PlacedEntry, 3)]
    assert problems("m.jsonl") == ["m.jsonl:2: is longer than 2 MiB; spread it over several entries"]


def test_jsonl_is_read_line_by_line(write: Write) -> None:
    """Memory does not grow with the length of the file."""

    def peak_bytes(lines: int) -> int:
        path = write("m.jsonl", GOOD * lines)
        tracemalloc.start()
        try:
            for item in read_manifest(path):
                assert isinstance(item, PlacedEntry)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(10)
    # One entry kept takes more than a hundred bytes.
    assert peak_bytes(5_000) < peak_bytes(500) + 100 * 4_500


def test_standard_input_is_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads JSONL from standard input and says so in places."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(JSONL.encode() + b"{}\n")))
    items = list(read_manifest("-"))
    assert [item.entry for item in items if isinstance(item, PlacedEntry)] == list(ENTRIES)
    assert items[0].place == Place("<stdin>", 1, 1)
    assert str(items[-1]).startswith("<stdin>:6: kind: is missing")
    with pytest.raises(ManifestError, match=r"^<stdin> holds no entries$"):
        list(read_manifest("-"))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ManifestError, match=r"^standard input is closed$"):
        list(read_manifest(Path("-")))


def test_an_error_of_the_system_while_reading_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails in the middle is a ManifestError, not a traceback."""

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Broken()))
    with pytest.raises(ManifestError, match=r"^<stdin> cannot be read: Input/output error$"):
        list(read_manifest("-"))


# ------------------------------------------------------------------ CSV


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("title", ["m.csv:1: kind: is missing; the first line names the columns, and one has to be 'kind'"]),
        ("kind,titel", ["m.csv:1: titel: is not a column; did you mean 'title'?"]),
        ("kind,title,kind", ["m.csv:1: kind: is the name of two columns"]),
        ("kind,api_keys", ["m.csv:1: api_keys: is not a column; give each key a row of kind project_api_key"]),
        (
            "kind,,\x1b[2J",
            [
                f"m.csv:1: column {number}: is not a column; use some of kind, key, moved, title, description, "
                "storage, create_backing_folder, users, groups, folder, items, ontology, ontology_hash, "
                "workflow_template_id, copy_of, copy_options, datasets, tags, status, stages, project, add, remove, "
                "emails, role, scopes, structure_file, name, members, email, member_type, parent, metadata, cloud, "
                "sync, integration, items_file, on_error, stage, assign, release, priority, wait_s"
                for number in (2, 3)
            ],
        ),
    ],
)
def test_a_bad_header_stops_the_table(write: Write, header: str, expected: list[str]) -> None:
    """Columns that are unknown, twice there or missing are reported, and no row is read without them."""
    path = write("m.csv", f"{header}\ndataset,Cats\n")
    assert [item.place.number for item in read_manifest(path)] == [0] * len(expected)
    assert problems(path) == expected


def test_the_faults_of_rows_are_reported(write: Write) -> None:
    """Each bad row is reported with its line and column, and the rows after it are read."""
    path = write(
        "m.csv",
        b"kind , title,users\n\n,,\nproject,Cats,ann@example.com\nproject,Cats, \ndataset,\xfc,\n"
        b"dataset,Cats,,,x\ndataset\nproject,Cats,ann=boss\n",
    )
    assert [str(item.place) for item in read_manifest(path) if isinstance(item, PlacedEntry)] == ["m.csv:5"]
    found = problems(path)
    assert found[:4] == [
        "m.csv:4: users.0.role: is missing; write the cell as ann@x.org=annotator;bob@x.org=reviewer",
        "m.csv:6: title: is not UTF-8; save the file as UTF-8",
        "m.csv:7: has 5 cells, and there are 3 columns; name each column in the first line; "
        "in CSV, quote cells that hold commas, semicolons or tabs",
        "m.csv:8: title: is missing",
    ]
    assert found[4].startswith("m.csv:9: users.0.email: 'ann' is no e-mail address; write the cell as ann@x.org=")
    assert found[5].startswith("m.csv:9: users.0.role: 'boss' is no role")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'"Cats\n', "is not CSV: unexpected end of data; nothing after it was read; is a quote not closed"),
        (b'"Cats"x\n', "is not CSV: ',' expected after '\"'; nothing after it was read; is a quote not closed"),
        (
            b"x" * 200_000 + b"\n",
            "is not CSV: field larger than field limit (131072); nothing after it was read; use JSONL",
        ),
    ],
)
def test_broken_csv_ends_the_reading(write: Write, row: bytes, reason: str) -> None:
    """Where quotes are in disorder nothing after it can be trusted; what came before is given."""
    path = write("m.csv", b"kind,title\ndataset,Dogs\ndataset," + row + b"dataset,Birds\n")
    items = list(read_manifest(path))
    assert [item.place.line for item in items] == [2, 3]
    assert str(items[1]).startswith(f"m.csv:3: {reason}")


def test_a_csv_line_that_is_too_long_ends_the_reading(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a line holds for tables too."""
    for module in (manifest_lines, manifest_tables):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    path = write("m.csv", "kind,title\ndataset,Dogs\n" + "x" * 2000 + "\ndataset,Birds\n")
    assert [type(item) for item in read_manifest(path)] == [PlacedEntry, Problem]
    assert problems(path) == ["m.csv:3: is longer than 0 MiB; use JSONL"]


def test_lists_in_cells(write: Write) -> None:
    """Semicolons separate, or blanks if there are none, so that keys may hold blanks; gaps between them are nothing."""
    path = write("m.csv", 'kind,title,datasets\nproject,A, a  b;\nproject,B,a b\nproject,C,"@my cats; @raw ;;"\n')
    assert problems(path) == [
        "m.csv:2: datasets.0: 'a  b' is no hash; give a hash, or '@' and the key of another entry; "
        "write the cell as @raw;@more"
    ]
    found = [item.entry for item in read_manifest(path) if isinstance(item, PlacedEntry)]
    assert found == [
        ProjectEntry(title="B", datasets=("a", "b")),
        ProjectEntry(title="C", datasets=("@my cats", "@raw")),
    ]


# ------------------------------------------------------------------ YAML


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """PyYAML with libyaml, and without it, as some wheels come."""
    import yaml

    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("this PyYAML is built without libyaml")
    return str(request.param)


def test_both_parsers_give_the_same(write: Write, parser: str) -> None:
    """Entries and lines do not depend on how PyYAML was built."""
    path = write("m.yaml", YAML)
    assert entries(path) == list(ENTRIES)
    assert [line for line, _ in places(path)] == [2, 8, 16, 17, 21]


def test_yaml_values_that_are_no_text_are_noticed(write: Write) -> None:
    """YAML makes numbers and truth of bare words; where text is needed that is said. Dates stay text."""
    path = write(
        "m.yaml",
        "- {kind: dataset, title: 2024-01-01}\n- {kind: dataset, title: 12}\n- {kind: dataset, title: yes}\n"
        "- {kind: dataset, title: ~}\n- {kind: dataset, title: 1.5}\n- {kind: dataset, title: '12'}\n"
        "- {kind: dataset, title: 0b2, storage: ! 0}\n- {kind: dataset, title: 1:30}\n- {kind: dataset, title: =}\n",
    )
    assert problems(path) == [
        "m.yaml:2: title: must be text, not a number; put it in quotes",
        "m.yaml:3: title: must be text, not true or false; put it in quotes",
        "m.yaml:4: title: must be text, not null; leave it out",
        "m.yaml:5: title: must be text, not a number; put it in quotes",
    ]
    found = [item.entry for item in read_manifest(path) if isinstance(item, PlacedEntry)]
    titles = [entry.title for entry in found if isinstance(entry, DatasetEntry)]
    assert titles == ["2024-01-01", "12", "0b2", "1:30", "="]


def test_anchors_and_merges_save_writing(write: Write) -> None:
    """A team or defaults can be named once and used again; what an entry says itself comes before what it merges."""
    path = write(
        "m.yaml",
        "- &first {kind: project, title: A, description: d, users: &team [{email: a@b.de, role: admin}]}\n"
        "- {kind: project, title: B, users: *team}\n"
        "- {<<: *first, title: C}\n"
        "- {title: D, <<: [{title: no, kind: project, description: nearer}, *first]}\n",
    )
    team = (UserWish(email="a@b.de", role=ProjectUserRole.ADMIN),)
    assert entries(path) == [
        ProjectEntry(title="A", description="d", users=team),
        ProjectEntry(title="B", users=team),
        ProjectEntry(title="C", description="d", users=team),
        ProjectEntry(title="D", description="nearer", users=team),
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("{kind: dataset, key: k, title: a, title: b}", "title: is given twice in one object"),
        ("{kind: project, title: A, users: [{role: 1, role: 1}]}", "users.0.role: is given twice in one object"),
        ("!!python/object/apply:os.system [x]", "has the tag 'python/object/apply:os.system', which no manifest needs"),
        ("{kind: dataset, title: !!binary YQ==}", "title: has the tag 'binary', which no manifest needs"),
        ("{kind: dataset, title: !mine a}", "title: has the tag '!mine', which no manifest needs"),
        ("!!set {a, b}", "has the tag 'set', which no manifest needs"),
        ("{kind: project, datasets: *nope}", "datasets: '*nope' names no anchor before it"),
        ("&a {kind: *a}", "kind: '*a' names no anchor before it"),
        ("{kind: dataset, <<: 3}", "<<: must be an alias of an object, or a list of such"),
        ("{kind: dataset, on: 3}", "names of fields must be text; put them in quotes"),
        ("{kind: dataset, ? [a] : 3}", "names of fields must be text; put them in quotes"),
        ("text", "must be an object with a 'kind', not text"),
    ],
)
def test_yaml_faults_of_one_item(write: Write, parser: str, item: str, expected: str) -> None:
    """What is wrong with an item is reported with its line, and the next item is read."""
    path = write("m.yaml", f"\n- {item}\n- {GOOD}")
    assert problems(path) == [f"m.yaml:2: {expected}"]
    assert places(path) == [(2, 1), (3, 2)]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b"- {kind: [\n", r"m\.yaml:\d: is not YAML: .*; nothing after it was read"),
        (b"- a: b: c\n", r"m\.yaml:2: is not YAML: .*mapping values are not allowed.*; nothing after it was read"),
        (b"\t- x\n", r"m\.yaml:2: is not YAML: .*"),
        (b"- kind: dataset\n\tkey: a\n", r"m\.yaml:3: is not YAML: .* indent with blanks, not tabs"),
        (b"- datasets: [@raw]\n", r"m\.yaml:2: is not YAML: .*; put what begins with '@', '`' or '%' in quotes, .*"),
        (b"- {key: a{{ x }}}\n", r"m\.yaml:2: is not YAML: .*; put a value that holds braces, .* in quotes"),
        (b"\n- title: \xff\n", "m.yaml:3: is not UTF-8; save the file as UTF-8"),
        (b"\n- title: \xc3\n", "m.yaml:3: is not UTF-8; save the file as UTF-8"),
        (b"- title: a\n  b: \x07\n", r"m\.yaml:3: holds the character U\+0007, which YAML does not have"),
        (b"- " + b"[" * 100 + b"]" * 100 + b"\n", "m.yaml:2: is nested deeper than 32 levels"),
        (b"- " + b"[" * 100_000, "m.yaml:2: is (nested deeper than 32 levels|not YAML: .*exceeded maximum nesting.*)"),
        (b"- " + b"? " * 100 + b"\n", "m.yaml:2: is nested deeper than 32 levels"),
        (b"---\nkind: b\n", "m.yaml:3: must be a list of entries; begin each entry with '- '"),
        (b"---\nentreis: b\n", r"m\.yaml:3: 'entreis' is no part of a manifest; did you mean 'entries'\?"),
    ],
)
def test_broken_yaml_ends_the_reading(write: Write, parser: str, rest: bytes, expected: str) -> None:
    """Where YAML cannot be read on, the line and the reason are given, after what the parser let through before."""
    path = write("m.yaml", b"- {kind: dataset, title: Cats}\n" + rest)
    items = list(read_manifest(path))
    assert isinstance(items[-1], Problem)
    assert re.fullmatch(expected, str(items[-1])), str(items[-1])
    assert items[-1].place.number == len(items) <= 2


def test_a_single_entry_is_no_list(write: Write) -> None:
    """A YAML file that is one entry is told to become a list."""
    path = write("m.yaml", "kind: dataset\ntitle: Cats\n")
    assert problems(path) == ["m.yaml:1: must be a list of entries; begin each entry with '- '"]


def test_several_documents_are_read_one_after_the_other(write: Write) -> None:
    """Documents may be joined by concatenation; anchors end with their document."""
    path = write("m.yaml", "- &a {kind: dataset, title: A}\n---\n- *a\n---\n- {kind: dataset, title: B}\n")
    assert problems(path) == ["m.yaml:3: '*a' names no anchor before it"]
    assert places(path) == [(1, 1), (3, 2), (5, 3)]


def test_a_bomb_of_aliases_does_not_go_off(write: Write, parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases of aliases, which stand for more values than there is memory, are refused after a few lines."""
    monkeypatch.setattr(yaml_text, "MAX_ALIASED_BYTES", 2**20)
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 100)]
    tracemalloc.start()
    try:
        found = problems(write("m.yaml", "\n".join(lines)))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert found[-1] == "m.yaml:5: brings what aliases stand for above 1 MiB; use JSONL"


@pytest.mark.parametrize("letter", ["x", "\N{GRINNING FACE}"])
def test_aliases_of_long_texts_are_counted_by_their_bytes(
    write: Write, parser: str, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few aliases of one long text are as much as many of short ones."""
    monkeypatch.setattr(yaml_text, "MAX_ALIASED_BYTES", 2**20)
    text = letter * (20_000 // len(letter.encode()))
    lines = [f"- {{kind: dataset, title: A, description: &d {text}}}"]
    lines += [f"- {{kind: dataset, title: A{n}, description: *d}}" for n in range(100)]
    found = problems(write("m.yaml", "\n".join(lines)))
    assert found[-1] == "m.yaml:54: brings what aliases stand for above 1 MiB; use JSONL"


def test_a_bomb_of_merges_does_not_go_off(write: Write) -> None:
    """A merge of merges is as large as the fields that are in it."""
    lines = ["- &a0 {kind: dataset, title: A}"]
    lines += [f"- &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 18)]
    assert entries(write("m.yaml", "\n".join(lines))) == [DatasetEntry(title="A")] * 18


def test_yaml_is_read_item_by_item(write: Write) -> None:
    """The first entry is there before the last line is parsed, and no more is kept than is needed."""
    path = write("m.yaml", "- {kind: dataset, title: Cats}\n" * 20_000 + "- {broken\n")
    tracemalloc.start()
    try:
        reading = read_manifest(path)
        assert isinstance(next(reading), PlacedEntry)
        reading.close()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_yaml_file_that_is_too_large_is_cut_off(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the limit is not read, and the problem says what to use."""
    monkeypatch.setattr(yaml_text, "MAX_YAML_BYTES", 2**20)
    path = write("m.yaml", f"- {{kind: dataset, title: Cats, description: {'x' * 2000}}}\n" * 600)
    for item in read_manifest(path):
        if isinstance(item, Problem):
            assert item.reason == "is beyond the first 1 MiB of YAML"
            assert item.hint == "use JSONL"
            break
    else:
        pytest.fail("the whole file was read")


def test_without_pyyaml_the_extra_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare install reads JSONL and CSV; for YAML it says what to install."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert entries(write("m.jsonl", JSONL)) == entries(write("m.csv", CSV))
    with pytest.raises(MissingExtraError, match=r"pip install 'encord-async\[cli\]'"):
        next(read_manifest(write("m.yaml", YAML)))


# ------------------------------------------------------------------ the whole manifest


def test_check_counts_what_cannot_be_undone(write: Write) -> None:
    """A good manifest's report has no problem and says how many things it would make for good."""
    keys = tuple(APIKeyWish(title=title, scopes=(APIKeyScope.LABEL_READ,)) for title in ("a", "b"))
    more = ProjectEntry(title="Dogs", api_keys=keys).model_dump_json()
    report = check_manifest(write("m.jsonl", JSONL + more))
    assert (report.entries, report.problems, report.problem_count, report.bad) == (6, (), 0, frozenset())
    assert report.irreversible == {"dataset": 1, "project": 2, "project_api_key": 3}


def test_check_lists_every_bad_entry(write: Write) -> None:
    """Faults in entries and between entries are all there, once, in order, with the numbers of the bad entries."""
    path = write(
        "m.jsonl",
        '{"kind": "project", "key": "p", "title": "P", "users": [{"email": "x", "role": "y"}]}\n'
        '{"kind": "dataset", "key": "d", "title": "D"}\n'
        '{"kind": "dataset", "key": "d", "title": "E"}\n'
        '{"kind": "project_users", "project": "@p", "emails": ["a@b.de"], "role": 1}\n'
        '{"kind": "project_users", "project": "@q", "emails": ["a@b.de"], "role": 1}\n'
        '{"kind": "project", "key": "r", "title": "R", "datasets": ["@d"]}\n'
        '{"kind": "dataset", "title": ""}\n',
    )
    report = check_manifest(path)
    assert [(str(problem.place), problem.field) for problem in report.problems] == [
        ("m.jsonl:1", "users.0.email"),
        ("m.jsonl:1", "users.0.role"),
        ("m.jsonl:3", "key"),
        ("m.jsonl:4", "project"),
        ("m.jsonl:5", "project"),
        ("m.jsonl:7", "title"),
    ]
    assert report.problems[3].reason == "'@p' names m.jsonl:1, which is wrong itself"
    assert (report.entries, report.problem_count, report.bad) == (7, 6, frozenset({1, 3, 4, 5, 7}))
    assert report.irreversible == {"dataset": 1, "project": 1, "project_api_key": 0}


def test_check_lists_a_thousand_problems_and_counts_the_rest(write: Write) -> None:
    """A file that is bad throughout does not fill the memory with problems."""
    report = check_manifest(write("m.jsonl", "{}\n" * 1500))
    assert (len(report.problems), report.problem_count, report.entries, len(report.bad)) == (1000, 1500, 1500, 1500)
    with pytest.raises(ManifestError, match="the manifest has 1500 problems:") as caught:
        raise_for_problems(report.problems, total=report.problem_count)
    assert str(caught.value).endswith("\n  and 1495 more")
    assert caught.value.problems == report.problems


def test_no_problem_no_error() -> None:
    """Nothing is raised for nothing."""
    raise_for_problems(())


def test_the_error_names_the_first_problems() -> None:
    """One problem is the whole message; of several the first five are listed, one a line, and the rest is counted."""
    several = [Problem(Place("m.jsonl", line, line), "title", "is missing") for line in range(1, 8)]
    one = manifest_error(several[:1])
    assert str(one) == "m.jsonl:1: title: is missing"
    assert one.problems == (several[0],)
    assert one.applied == "not_applied"
    lines = str(manifest_error(several)).splitlines()
    assert lines[0] == "the manifest has 7 problems:"
    assert lines[1:6] == [f"  {problem}" for problem in several[:5]]
    assert lines[6:] == ["  and 2 more"]
    assert "more" not in str(manifest_error(several[:5]))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- {kind: project, title: A}\n- {kind: project,\n   title: 'never closed}\n\n\n- x\n", 3),
        ("- {kind: project, title: A}\n- {kind: project, title: B\n- {kind: project, title: C}\n", 2),
    ],
)
def test_a_yaml_error_is_told_where_it_begins(tmp_path: Path, text: str, line: int) -> None:
    """What is not closed is told at the line where it was opened, not where the file ends."""
    path = tmp_path / "m.yaml"
    path.write_text(text)
    (problem,) = check_manifest(path).problems
    assert problem.place.line == line


@pytest.mark.parametrize(
    "text",
    [
        "- kind: project\n  title: A\n",
        '# mine\n- {"kind": "project", "title": "A"}\n',
        '[{"kind": "project", "title": "A"}]',
    ],
)
def test_a_yaml_list_on_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A list in YAML, or in JSON, is read from standard input as from a file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
    (item,) = read_manifest("-")
    assert isinstance(item, PlacedEntry)
    assert item.entry.as_json()["title"] == "A"


@given(
    source=st.text(min_size=1),
    line=st.none() | st.integers(min_value=1),
    number=st.integers(min_value=0),
    row=st.none() | st.integers(min_value=1),
)
@example(source="m.yaml", line=27, number=0, row=274)
def test_a_place_that_was_written_down_is_said_again(
    source: str, line: int | None, number: int, row: int | None
) -> None:
    """What is taken from a thing whose entry has gone is told with the place that the entry had, row and all."""
    said = str(Place(source, line, number, row))
    assert str(place_said(said)) == said
