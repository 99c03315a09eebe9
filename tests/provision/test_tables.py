import io
import itertools
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encord_async.cli.main import run
from encord_async.cli.outcomes import Recorder
from encord_async.errors import ManifestError, MissingExtraError, UsageError
from encord_async.kinds.data import DataEntry
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.project import ProjectEntry, UserWish
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest import excel
from encord_async.manifest.files import check_manifest, read_manifest
from encord_async.manifest.place import PlacedEntry, Problem
from encord_async.manifest.tables import read_csv
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.saved_plan import _digest
from tests.forms import list_forms

pytestmark = pytest.mark.usefixtures("empty_folder")

Cells = list[list[object]]


def csv(text: str) -> str:
    """A table in a file."""
    Path("m.csv").write_text(text, newline="")
    return "m.csv"


def entries(path: str) -> list[Entry]:
    """The entries of a manifest in which nothing is wrong."""
    found = []
    for item in read_manifest(path):
        assert isinstance(item, PlacedEntry), str(item)
        found.append(item.entry)
    return found


def problems(path: str) -> list[str]:
    """What is wrong in a manifest, as it is printed."""
    return [str(item) for item in read_manifest(path) if isinstance(item, Problem)]


# ------------------------------------------------------------------ what separates columns


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\r\n", " \n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_separates_columns_is_found(delimiter: str, start: str, end: str) -> None:
    """Commas, semicolons and tabs separate, with a mark, blank lines and the line ends of Windows; lines are right."""
    rows = [
        ["kind", " title ", "users", "description"],
        ["project", '"A, B; C"', '"a@x.de=admin;b@x.de=reviewer"', ""],
        ["", " ", "", ""],
        ["dataset", " Raw  ", "", " of ours"],
    ]
    path = csv(start + "".join(delimiter.join(row) + end for row in rows))
    assert entries(path) == [
        ProjectEntry(
            title="A, B; C",
            users=(
                UserWish(email="a@x.de", role=ProjectUserRole.ADMIN),
                UserWish(email="b@x.de", role=ProjectUserRole.REVIEWER),
            ),
        ),
        DatasetEntry(title="Raw", description="of ours"),
    ]
    first = 1 + start.count("\n")
    assert [item.place.line for item in read_manifest(path)] == [first + 1, first + 3]


def test_what_lists_are_separated_by_does_not_separate_columns() -> None:
    """A table with more semicolons in its cells than commas is one of commas all the same."""
    path = csv("kind,title,datasets\n" + "project,A,@a;@b;@c;@d\n" * 5)
    assert entries(path) == [ProjectEntry(title="A", datasets=("@a", "@b", "@c", "@d"))] * 5


def test_the_line_by_which_excel_names_its_separator_is_no_header() -> None:
    """'sep=|' at the beginning says what separates."""
    path = csv("sep=|\r\nkind|title\r\ndataset|A\r\n")
    assert entries(path) == [DatasetEntry(title="A")]
    assert [item.place.line for item in read_manifest(path)] == [3]


def test_columns_and_cells_that_only_fill_up_are_nothing() -> None:
    """Spreadsheets fill rows up to their longest one; a cell beyond the columns that holds something is bad."""
    path = csv("kind;title;;\ndataset;A;;;\ndataset;B\ndataset;C;;x\n")
    assert [item.entry.kind for item in read_manifest(path) if isinstance(item, PlacedEntry)] == ["dataset"] * 2
    assert problems(path) == [
        "m.csv:4: has 4 cells, and there are 2 columns; name each column in the first line; "
        "in CSV, quote cells that hold commas, semicolons or tabs"
    ]


def test_quotes_after_a_blank_are_quotes() -> None:
    """What people write by hand, with a blank after each comma, keeps the commas inside quotes."""
    assert entries(csv('kind, title\ndataset, "A, B"\n')) == [DatasetEntry(title="A, B")]


# ------------------------------------------------------------------ lists in cells


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("users", "ann@x.org:annotator", "users.0.role: is missing"),
        ("users", "ann@x.org=annotator, bob@x.org=reviewer", "users.0.role: 'annotator,' is no role; use one of"),
        ("users", "ann@x.org=boss", "users.0.role: 'boss' is no role; use one of"),
        ("datasets", "@raw; a b", "datasets.1: 'a b' is no hash; give a hash"),
    ],
)
def test_a_list_in_a_wrong_form_is_told_with_the_right_one(column: str, cell: str, reason: str) -> None:
    """Whoever writes a list in another form sees the one that is meant."""
    forms = {"users": "ann@x.org=annotator;bob@x.org=reviewer", "datasets": "@raw;@more"}
    [problem] = problems(csv(f'kind,title,{column}\nproject,A,"{cell}"\n'))
    assert problem.startswith(f"m.csv:2: {reason}")
    assert problem.endswith(f"; write the cell as {forms[column]}")


def test_a_cell_is_read_as_its_kind_has_it() -> None:
    """Kinds that share a column may hold something else in it: files in one, names of items in another."""
    rows = "dataset,T,@f,,a.png;b.png\ndata,,@f,bucket,s3://b/a.png;s3://b/b.png\n"
    dataset, data = entries(csv(f"kind,title,folder,integration,items\n{rows}"))
    assert isinstance(dataset, DatasetEntry)
    assert isinstance(data, DataEntry)
    assert dataset.items == ("a.png", "b.png")
    assert [one.url for one in data.items] == ["s3://b/a.png", "s3://b/b.png"]


def test_the_forms_of_lists_are_right() -> None:
    """What is given as the form of a cell is read, for some kind of entry that has the column."""
    for name, forms in list_forms().items():
        for form in forms:
            kinds = [kind for kind, model in ENTRY_MODELS.items() if name in model.model_fields]
            found = [problems(csv(f"kind,{name}\n{kind},{form}\n")) for kind in kinds]
            assert any(not [one for one in problem if f" {name}" in one] for problem in found), (name, form)


def test_every_field_is_a_column_or_said_to_be_none() -> None:
    """A kind's field can stand in a table; of others it is said where to go instead."""
    for model in ENTRY_MODELS.values():
        for name in model.model_fields:
            found = problems(csv(f"kind,{name}\ndataset,x\n" if name != "kind" else "kind\ndataset\n"))
            for problem in (one for one in found if "is not a column" in one):
                assert "give each key a row" in problem or "name a file" in problem


# ------------------------------------------------------------------ length


class _Endless(io.RawIOBase):
    """A file of a header and many rows that is nowhere."""

    def __init__(self, rows: int) -> None:
        self._lines = itertools.chain([b"kind;title;datasets\n"], itertools.repeat(b"project;Some title;@raw;\n", rows))

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"")


def test_a_table_of_any_length_takes_no_room() -> None:
    """Memory does not grow with the rows of a table."""

    def peak_bytes(rows: int) -> int:
        tracemalloc.start()
        try:
            for item in read_csv(_Endless(rows), "m.csv"):  # type: ignore[arg-type]  # it only has lines
                assert isinstance(item, PlacedEntry)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(10)
    assert peak_bytes(5_000) < peak_bytes(500) + 50_000


# ------------------------------------------------------------------ Excel


@pytest.fixture
def book() -> Callable[..., str]:
    """Write sheets into an Excel file, and give its name."""
    openpyxl: Any = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")

    def put(**sheets: Cells) -> str:
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title, rows in sheets.items():
            sheet = workbook.create_sheet(title)
            for row in rows:
                sheet.append(row)
        workbook.save("m.xlsx")
        return "m.xlsx"

    return put


def test_a_sheet_is_a_table(book: Callable[..., str]) -> None:
    """The first sheet is read, or the one that is named; numbers and truth are what CSV has of them."""
    rows: Cells = [
        [],
        ["kind", " title ", "storage", "create_backing_folder", "users", None],
        ["dataset", "A ", 1.0, True, None, None],
        [None, " "],
        ["project", 12, None, None, "a@x.de=admin; b@x.de=2"],
    ]
    path = book(Teams=rows, Rest=[["kind", "title"], ["dataset", "B"]])
    items = list(read_manifest(path))
    assert [item.place.line for item in items] == [3, 5]
    assert [str(item.place) for item in read_manifest(f"{path}#Rest")] == ["m.xlsx#Rest:2"]
    first, second = entries(path)
    assert first == DatasetEntry.model_validate(
        {"title": "A", "storage": 1, "create_backing_folder": True, "kind": "dataset"}
    )
    assert isinstance(second, ProjectEntry)
    assert (second.title, [user.role for user in second.users]) == (
        "12",
        [ProjectUserRole.ADMIN, ProjectUserRole(2)],
    )
    assert entries(f"{path}#Rest") == [DatasetEntry(title="B")]
    assert problems(f"{path}#Team") == ["m.xlsx#Team:1: has no sheet 'Team'; did you mean 'Teams'?"]


def test_an_error_in_a_cell_ends_the_reading(book: Callable[..., str]) -> None:
    """A formula that came to nothing is not taken for a title."""
    path = book(A=[["kind", "title"], ["dataset", "B"], ["dataset", "#N/A"], ["dataset", "C"]])
    assert problems(path) == ["m.xlsx:3: holds the error '#N/A'; nothing after it was read; mend the formula"]
    assert check_manifest(path).entries == 2


@pytest.mark.parametrize(
    ("rows", "merged", "said"),
    [
        (1, None, None),
        (1, "C3:C4", "m.xlsx:3: merges the cells C3:C4, of which only the first holds anything"),
        (3_000, "A9:B9", "m.xlsx:9: merges the cells A9:B9, of which only the first holds anything"),
        (3_000, "C3001:C3004", "m.xlsx:3001: merges the cells C3001:C3004, of which only the first holds anything"),
        (3_000, "=1+1", "m.xlsx:3001: holds a formula in C3001 that no program has calculated"),
    ],
)
def test_a_cell_that_only_looks_filled_ends_the_reading(
    book: Callable[..., str], rows: int, merged: str | None, said: str | None
) -> None:
    """What people see in a cell, and the file does not hold, is not taken for an empty cell in silence."""
    import openpyxl

    shown = merged if merged is not None and merged.startswith("=") else '=""'
    path = book(A=[["kind", "title", "description"], *(["dataset", f"D{n}"] for n in range(rows - 1))])
    workbook: Any = openpyxl.load_workbook(path)
    workbook.active.append(["dataset", "Last", shown])
    if merged is not None and shown != merged:
        workbook.active.merge_cells(merged)
    workbook.save(path)
    # As Excel says of a formula that it comes to no text.
    with zipfile.ZipFile(path) as old:
        parts = {part: old.read(part) for part in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for part, data in parts.items():
            new.writestr(part, data.replace(b'><f>""</f>', b' t="str"><f>""</f>'))
    found = problems(path)
    assert [one.partition("; nothing after it was read")[0] for one in found] == ([] if said is None else [said])


def test_what_is_no_excel_file_is_told(monkeypatch: pytest.MonkeyPatch, book: Callable[..., str]) -> None:
    """Another file of that name, a broken one, and one that is small only while it is packed are bad manifests."""
    Path("other.xlsx").write_bytes(b"kind,title\n")
    [found] = problems("other.xlsx")
    assert found.startswith("other.xlsx:1: cannot be read as an Excel file: File is not a zip file")
    whole = Path(book(A=[["kind"], ["dataset"]])).read_bytes()
    for part in ("xl/workbook.xml", "xl/worksheets/sheet1.xml"):
        with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile("broken.xlsx", "w") as new:
            for name in old.namelist():
                new.writestr(name, b"<workbook" if name == part else old.read(name))
        assert "cannot be read as an Excel file" in problems("broken.xlsx")[0]
    monkeypatch.setattr(excel, "MAX_EXCEL_BYTES", 10)
    [found] = problems("m.xlsx")
    assert "holds the part" in found


@pytest.mark.parametrize("block_bytes", [7, 2**16])
def test_a_row_too_long_to_be_held_is_refused(
    monkeypatch: pytest.MonkeyPatch, book: Callable[..., str], block_bytes: int
) -> None:
    """A cell that would not fit into memory is told before it is read; of rows of common size there may be many."""
    monkeypatch.setattr(excel, "MAX_ROW_BYTES", 2000)
    monkeypatch.setattr(excel, "_BLOCK_BYTES", block_bytes)
    rows = [["dataset", f"D{number}"] for number in range(100)]
    assert check_manifest(book(A=[["kind", "title"], *rows])).entries == 100
    whole = Path("m.xlsx").read_bytes()
    long_cell = b'<c r="B9" t="inlineStr"><is><t>' + b"x" * 5000 + b"</t></is></c></row>"
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile("long.xlsx", "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                parts = text.split(b"</row>")
                text = b"</row>".join([*parts[:8], parts[8] + long_cell + parts[9], *parts[10:]])
            new.writestr(name, text)
    [found] = problems("long.xlsx")
    assert "holds a row of more than 0 MiB, unpacked; nothing of it was read" in found


def test_without_openpyxl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks the extra is told which."""
    Path("m.xlsx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'encord-async\[xlsx\]'"):
        list(read_manifest("m.xlsx"))
    with pytest.raises(ManifestError, match="is no manifest"):
        read_manifest("m.xls#A")


def test_a_sheet_can_be_planned_and_its_file_is_not_written_over(book: Callable[..., str]) -> None:
    """A plan is kept for a sheet by the file it is in, and the outcomes of a run do not take that file's place."""
    path = book(A=[["kind", "title"], ["dataset", "B"]])
    assert _digest(f"{path}#A") == _digest(path)
    with pytest.raises(UsageError, match="is the manifest itself"), Recorder(path, f"{path}#A", force=False):
        pass


def test_drop_down_lists_are_no_cells(capfd: pytest.CaptureFixture[str]) -> None:
    """A sheet in which cells are chosen from a list is read like any other, and the command line says nothing of it."""
    openpyxl: Any = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    workbook = openpyxl.Workbook()
    for row in (["kind", "title", "key"], ["dataset", "A", "a"]):
        workbook.active.append(row)
    workbook.save("m.xlsx")
    extension = b'<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"/></extLst></worksheet>'
    parts = zipfile.ZipFile("m.xlsx")
    with zipfile.ZipFile("new.xlsx", "w") as new:
        for name in parts.namelist():
            new.writestr(name, parts.read(name).replace(b"</worksheet>", extension))
    parts.close()
    assert run(["validate", "new.xlsx"]) == 0
    assert capfd.readouterr().err == ""


def test_a_sheet_with_a_mark_in_its_name(book: Callable[..., str]) -> None:
    """What stands behind the first mark is the name of the sheet, whatever is in it."""
    path = book(**{"Teams": [["kind", "title"]], "Teams #2": [["kind", "title"], ["dataset", "Raw"]]})
    assert [entry.as_json() for entry in entries(f"{path}#Teams #2")] == [{"kind": "dataset", "title": "Raw"}]


@pytest.mark.parametrize("field", ["title", "description"])
def test_a_null_character_is_told(field: str) -> None:
    """A null character, which a database cannot store, is a bad entry and not the end of a run."""
    cells = {"title": "T", "description": "D"} | {field: "a\0b"}
    path = csv("kind,title,description\nproject,{title},{description}\n".format_map(cells))
    assert problems(path) == [f"m.csv:2: {field}: holds a null character, which not every database can store"]
