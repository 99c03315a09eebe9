"""``report``: one page that needs nothing but a browser, JSON and CSV; what a journal holds stays text in all three."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from encord_async.cli.report_page import SCRIPTS, STYLES, asset, rendered
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import Record, State
from encord_async.journal.traffic import Traffic
from encord_async.kinds.dataset import DATASET
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_users import USERS
from encord_async.report.summary import ReportBuilder, links_for
from tests.cli.chromium import Chromium, Page, started_chromium
from tests.cli.conftest import Api, Done, Here, process, write_manifest
from tests.thorough import times

T0 = 1_760_000_000.0
ENCORD = "https://api.encord.com"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> {{data}} <!-- & ' \" \u2028 --> `${x}`"
ROWS = times(20_000, of=100_000)


def record(number: int, **more: Any) -> Record:
    """A project that was made."""
    plain: dict[str, Any] = {
        "identity": number.to_bytes(4) + b"-" * 12,
        "entry": b"entry".ljust(16),
        "place": f"programme.jsonl:{number}",
        "kind": PROJECT,
        "title": f"Project {number}",
        "state": State.DONE,
        "status": "created",
        "hash": f"00000000-0000-4000-8000-{number:012d}",
        "started_s": T0 + number / 100,
        "ended_s": T0 + number / 100 + 0.2,
    }
    return Record(**(plain | more))


def failed(number: int, **more: Any) -> Record:
    """A project that the service refused."""
    more = {"code": "UNKNOWN_ERROR", "message": "the service refused it"} | more
    return record(number, state=State.FAILED, status="failed", hash=None, **more)


def doubtful(number: int, **more: Any) -> Record:
    """A project that may have been made."""
    return record(
        number,
        state=State.IN_DOUBT,
        status="in_doubt",
        hash=None,
        message="two have this title",
        details={"candidates": ["one-hash", "other-hash"]},
        **more,
    )


def user(number: int, **more: Any) -> Record:
    """A member of a project."""
    more = {"kind": USERS.give, "status": "updated", "hash": None, "title": f"{number}@example.com"} | more
    return record(number, parent_hash="the-project", ended_s=T0 + number / 100, **more)


def journal_of(path: Path, records: Iterable[Record], *, domain: str = ENCORD, account: str = "SHA256:me") -> Path:
    """A journal that holds *records*."""

    async def write() -> None:
        async with Journal(path, Identity(domain, account)) as journal:
            await journal.write(records)

    anyio.run(write)
    return path


FEW = (record(1, key="cats"), user(2), failed(3), doubtful(4), record(5, status="adopted", ended_s=T0 + 0.05))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with one step of most kinds."""
    return journal_of(tmp_path / "run.journal", FEW)


class _Document(HTMLParser):
    """The elements of a page and the text of its scripts, as a browser's parser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside == "style":
            self.styles.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of that name."""
        return [attrs for name, attrs in self.tags if name == tag]


def data_of(page: str) -> Any:
    """What the page's script will find."""
    return json.loads(zlib.decompress(base64.b64decode(_Document(page).scripts[0])))


# ---------------------------------------------------------------------------------------------------- the file


def test_the_page_is_written_where_it_is_wanted(here: Here, journal: Path, tmp_path: Path) -> None:
    """`report JOURNAL -o run.html` writes one page with the sums in it, and says so."""
    done = here("report", journal, "-o", tmp_path / "run.html")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'run.html'}: the page of 5 steps\n"
    page = (tmp_path / "run.html").read_text()
    tiles = re.findall(r'data-status="(\w+)"[^>]*><b>([\d,]+)</b>', page)
    assert tiles == [
        *(("created", "1"), ("updated", "1"), ("adopted", "1")),
        *(("unchanged", "0"), ("failed", "1"), ("in_doubt", "1"), ("cancelled", "0")),
    ]
    assert "encord-async settle" in page


def test_the_page_lies_beside_the_journal_unless_told_otherwise(here: Here, journal: Path) -> None:
    """`report JOURNAL` alone writes JOURNAL.html."""
    assert here("report", journal).code == 0
    assert journal.with_name("run.journal.html").read_text().startswith("<!DOCTYPE html>")


def test_a_report_leaves_the_journal_alone(here: Here, journal: Path) -> None:
    """Reporting does not change the journal by a byte."""
    before = journal.read_bytes()
    assert here("report", journal).code == 0
    assert journal.read_bytes() == before


@pytest.mark.process
def test_a_run_that_goes_on_can_be_reported(here: Here, tmp_path: Path) -> None:
    """The page of a run that is not over says so; what is under way is among what may have happened."""
    under_way = record(2, state=State.INTENDED, status="", hash=None, ended_s=None)

    async def run() -> Done:
        async with Journal(tmp_path / "run.journal", Identity(ENCORD, "me")) as journal:
            await journal.write([record(1), under_way])
            arguments = ("report", str(tmp_path / "run.journal"), "--json", "-o", str(tmp_path / "run.html"))
            return await anyio.to_thread.run_sync(lambda: process(*arguments))

    done = anyio.run(run)
    assert (done.code, done.json["running_pid"], done.json["sums"]["in_doubt"]) == (0, os.getpid(), 1)
    assert f"still going on, in process {os.getpid()}" in (tmp_path / "run.html").read_text()


def test_the_page_asks_for_nothing_and_runs_only_its_own_scripts(here: Here, journal: Path, tmp_path: Path) -> None:
    """The page has no address in it that a browser would load, and a policy that forbids all but its own scripts."""
    here("report", journal, "-o", tmp_path / "run.html")
    document = _Document((tmp_path / "run.html").read_text())
    assert not [attrs for _, attrs in document.tags if "src" in attrs or "srcset" in attrs]
    assert {tag for tag, _ in document.tags}.isdisjoint({"link", "img", "iframe", "object", "embed", "base"})
    (policy,) = [one["content"] for one in document.of("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    directives = {name: rest.split() for name, _, rest in (part.strip().partition(" ") for part in policy.split(";"))}
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in [*document.scripts[1:], *document.styles]
    ]
    assert directives == {
        "default-src": ["'none'"],
        "script-src": hashes[:3],
        "style-src": hashes[3:],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


def test_hostile_texts_stay_texts(tmp_path: Path, here: Here) -> None:
    """Titles, keys, places, messages, account and path that are full of markup do not get out of their place."""
    texts = {"title": HOSTILE, "key": HOSTILE, "place": HOSTILE, "parent_hash": HOSTILE, "hash": HOSTILE}
    path = journal_of(
        tmp_path / "<b>&{{data}}.journal",
        [record(1, **texts), failed(2, message=HOSTILE, code=HOSTILE)],
        account=HOSTILE,
    )
    assert here("report", path, "-o", tmp_path / "run.html").code == 0
    page = (tmp_path / "run.html").read_text()
    hostile, plain = _Document(page), _Document(rendered_page([record(1)]))
    assert len(hostile.of("script")) == len(plain.of("script")) == 1 + len(SCRIPTS)
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in plain.tags} | {"code", "br"}
    rows = data_of(page)["rows"]
    assert (rows["title"], rows["key"][0], rows["texts"]) == ([HOSTILE, "Project 2"], HOSTILE, [HOSTILE])


def test_the_text_of_a_key_never_gets_into_a_report(tmp_path: Path, here: Here) -> None:
    """A private key that somebody gave for a title is in no report, whatever its form."""
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA"
    path = journal_of(tmp_path / "run.journal", [record(1, title=key, key=key), failed(2, message=key, place=key)])
    done = here("report", path, "--json", "-o", tmp_path / "run.html", "--csv", tmp_path / "run.csv")
    page = (tmp_path / "run.html").read_text()
    for text in (done.out, page, json.dumps(data_of(page)), (tmp_path / "run.csv").read_text()):
        assert "b3BlbnNzaC1rZXkt" not in text
        assert "PRIVATE KEY" not in text


def test_names_and_digests_of_a_record_stay_in_the_journal(tmp_path: Path, here: Here) -> None:
    """What only a look-up needs, such as descriptions and digests of requests, is in no report."""
    secret = {"details": {"description": "not-for-a-report"}, "request": "ab" * 32, "name": b"n" * 16}
    path = journal_of(tmp_path / "run.journal", [record(1, **secret)])
    done = here("report", path, "--json", "-o", tmp_path / "run.html")
    shown = done.out + json.dumps(data_of((tmp_path / "run.html").read_text()))
    assert "not-for-a-report" not in shown
    assert "abababab" not in shown


def rendered_page(
    records: Iterable[Record], *, max_rows: int = 200_000, domain: str = ENCORD, traffic: Iterable[Traffic] = ()
) -> str:
    """The page of *records* and of what was sent, without a journal."""
    builder = ReportBuilder(max_rows=max_rows)
    for one in records:
        builder.add(one)
    builder.add_traffic(traffic)
    report = builder.finish(domain=domain, account="SHA256:me")
    return rendered(report, journal="run.journal", links=links_for(domain), version="1.2.3")


def test_a_page_without_data_is_small() -> None:
    """Charts and table add less than a third of a megabyte to what is to be shown."""
    assert len(rendered_page([]).encode()) < 330_000


def test_the_notices_name_what_is_shipped() -> None:
    """Each library's file in the package is the one that the notice describes, and each page brings its licence."""
    notices = asset("THIRD_PARTY.txt")
    vendored = {name for name in (*SCRIPTS, *STYLES) if ".min." in name}
    assert set(re.findall(r"\S+\.min\.(?:js|css)(?= )", notices)) >= vendored
    named = dict(re.findall(r"^    (\S+\.min\.\w+) .*?SHA-256 ([0-9a-f]{64})", notices, re.MULTILINE | re.DOTALL))
    assert named == {name: hashlib.sha256(asset(name).encode()).hexdigest() for name in vendored}
    assert rendered_page([]).count("Permission is hereby granted") == 2


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES])
def test_a_script_or_style_can_stand_inside_a_page(name: str) -> None:
    """Nothing in them ends the element that holds them, or would be read otherwise than it was written."""
    text = asset(name)
    assert not re.search(r"</(script|style)|<!--|\r", text, re.IGNORECASE)
    assert "sourceMappingURL" not in text


# ---------------------------------------------------------------------------------------------------- JSON and CSV


def test_json_is_one_object_with_sums_and_lists(here: Here, journal: Path) -> None:
    """`--json` prints sums, sums by kind, and each step under its status, and writes no page."""
    done = here("report", journal, "--json")
    assert done.code == 0
    found = done.json
    assert found["sums"] == {
        "created": 1,
        "updated": 1,
        "adopted": 1,
        "unchanged": 0,
        "failed": 1,
        "in_doubt": 1,
        "cancelled": 0,
    }
    assert found["by_kind"]["user"] == {"updated": 1}
    assert [step["title"] for step in found["created"]] == ["Project 1"]
    assert found["failed"][0]["message"] == "the service refused it"
    assert found["in_doubt"][0]["candidates"] == ["one-hash", "other-hash"]
    assert (found["journal"], found["domain"], found["account"]) == (str(journal), ENCORD, "SHA256:me")
    assert [path.name for path in journal.parent.glob("*.html")] == []


def test_csv_has_a_line_a_step(here: Here, journal: Path, tmp_path: Path) -> None:
    """`--csv FILE` writes each step with its link; without a file it goes to standard output."""
    done = here("report", journal, "--csv", tmp_path / "steps.csv")
    assert (done.code, done.out) == (0, f"{tmp_path / 'steps.csv'}: the steps as CSV\n")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "steps.csv").read_text())))
    assert [line["status"] for line in lines] == ["created", "updated", "failed", "in_doubt", "adopted"]
    assert lines[0]["link"] == f"https://app.encord.com/projects/view/{lines[0]['hash']}/summary"
    assert lines[3]["candidates"] == "one-hash other-hash"
    assert here("report", journal, "--csv").out == (tmp_path / "steps.csv").read_text()


def test_csv_holds_every_step_and_json_says_how_many_it_lacks(here: Here, journal: Path) -> None:
    """--max-rows bounds what is listed of what went well; the sums and the CSV are of all."""
    assert len(here("report", journal, "--csv", "-", "--max-rows", 1).out.splitlines()) == 6
    found = here("report", journal, "--json", "--max-rows", 1).json
    assert (found["steps"], found["left_out"], len(found["failed"]), found["updated"]) == (5, 2, 1, [])


@pytest.mark.parametrize("title", ["=1+1", "+1", "-1", "@cmd", "\t=1", "\uff1d1", HOSTILE, 'a,"b"\nc', "Käsebröd 猫"])
def test_csv_survives_a_spreadsheet(tmp_path: Path, here: Here, title: str) -> None:
    """No title is run as a formula by a spreadsheet, and none breaks out of its cell."""
    path = journal_of(tmp_path / "run.journal", [record(1, title=title)])
    (line,) = csv.DictReader(io.StringIO(here("report", path, "--csv").out))
    assert line["title"] == (title if title[0] not in "=+-@\t\uff1d" else f"'{title}")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_no_line_of_a_cell_is_a_formula(tmp_path: Path, here: Here, end: str) -> None:
    """Nor is what follows a line break in a title, for readers that take any line break for the end of a row."""
    path = journal_of(tmp_path / "run.journal", [record(1, title=f"Cats{end}=1+1{end}Dogs")])
    assert here("report", path, "--csv", tmp_path / "steps.csv").code == 0
    text = (tmp_path / "steps.csv").read_bytes().decode()
    assert not any(line.startswith("=") for line in text.splitlines())
    (line,) = csv.DictReader(io.StringIO(text.replace("\r", "\n")))
    assert line["title"] == "Cats\n'=1+1\nDogs"


# ---------------------------------------------------------------------------------------------------- usage


def test_an_emulator_has_no_links(tmp_path: Path, here: Here) -> None:
    """A journal of a local API links nowhere, unless an address is given."""
    path = journal_of(tmp_path / "run.journal", [record(1)], domain="http://127.0.0.1:8080")
    assert here("report", path, "--json").json["created"][0]["link"] is None
    found = here("report", path, "--json", "--app-url", "https://labels.example.com").json
    assert found["created"][0]["link"].startswith("https://labels.example.com/projects/view/")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--json", "--csv"], "standard output"),
        (["-o", "-", "--csv", "-"], "standard output"),
        (["-o", "run.journal"], "would be overwritten"),
        (["--csv", "run.journal"], "would be overwritten"),
        (["-o", "missing/run.html"], "missing/run.html cannot be written: No such file"),
        (["--csv", "missing/run.csv"], "missing/run.csv cannot be written: No such file"),
        (["--app-url", "app.encord.com"], "--app-url"),
        (["--max-rows", "-1"], "--max-rows"),
    ],
)
def test_bad_usage_is_told_and_touches_nothing(
    here: Here, journal: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    """What cannot work ends with 2 and a message, and no journal is written over."""
    monkeypatch.chdir(journal.parent)
    before = journal.read_bytes()
    done = here("report", "run.journal", *options)
    assert done.code == 2
    assert words in done.out + done.err
    assert journal.read_bytes() == before


@pytest.mark.parametrize("option", ["-o", "--csv", "--traffic-csv"])
def test_what_is_written_goes_through_no_link(here: Here, journal: Path, tmp_path: Path, option: str) -> None:
    """A link in the place of the file is refused; a new file is for its user alone."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    done = here("report", journal, option, tmp_path / "link")
    assert done.code == 2
    assert f"{tmp_path / 'link'} cannot be written: it is a link" in done.err
    assert (tmp_path / "precious").read_text() == "precious"
    assert here("report", journal, option, tmp_path / "file").code == 0
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_missing_journal_is_told_and_writes_nothing(here: Here, tmp_path: Path) -> None:
    """Without a journal there is no report, and no empty file that looks like one."""
    done = here("report", tmp_path / "run.journal", "-o", tmp_path / "run.html", "--csv", tmp_path / "run.csv")
    assert done.code == 2
    assert "there is no journal" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_the_page_can_go_down_a_pipe(journal: Path) -> None:
    """`-o -` writes nothing but the page to standard output."""
    done = process("report", journal, "-o", "-")
    assert (done.code, done.out[:15], done.out[-8:]) == (0, "<!DOCTYPE html>", "</html>\n")


def test_a_run_of_the_example_can_be_reported(api: Api, here: Here, tmp_path: Path) -> None:
    """What `apply` has written down, `report` shows: each thing once, with the times that the creates took."""
    manifest = write_manifest(
        tmp_path / "programme.jsonl",
        {"kind": "dataset", "key": "raw", "title": "Reported raw"},
        {"kind": "project", "key": "cats", "title": "Reported cats", "datasets": ["@raw"]},
        {"kind": "project_users", "project": "@cats", "emails": ["a@example.com", "b@example.com"], "role": "reviewer"},
    )
    assert here("apply", manifest, "--yes", "--no-progress", env=api.env).code == 0
    found = here("report", f"{manifest}.journal", "--json").json
    assert found["by_kind"] == {"dataset": {"created": 1}, "project": {"created": 1}, "user": {"updated": 2}}
    assert [step["took_s"] > 0 for step in found["created"]] == [True, True]
    assert found["took_s"]["number"] == 2
    assert found["sent"]["requests"] == sum(one["requests"] for one in found["traffic"]) >= 3
    table = here("report", f"{manifest}.journal", "--traffic-csv").out
    lines = list(csv.DictReader(io.StringIO(table)))
    assert [int(line["requests"]) for line in lines] == [one["requests"] for one in found["traffic"]]
    done = here("report", f"{manifest}.journal", "--traffic-csv", tmp_path / "traffic.csv")
    assert done.out == f"{tmp_path / 'traffic.csv'}: the traffic as CSV\n"
    assert (tmp_path / "traffic.csv").read_text() == table
    assert here("report", f"{manifest}.journal", "--traffic-csv", "--csv").code == 2
    assert here("report", f"{manifest}.journal", "--traffic-csv", tmp_path).code == 2


# ---------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def chromium(require_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser that the tests of this file share."""
    program = require_tool("chromium")
    with started_chromium(program, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def show(chromium: Chromium, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Show a page and wait until it is ready; at the end it must not have complained or asked for anything."""
    pages: list[tuple[Page, str]] = []

    def open_page(page: str, **look: Any) -> Page:
        path = tmp_path / f"run{len(pages)}.html"
        path.write_text(page)
        shown = chromium.open(path, **look)
        pages.append((shown, path.as_uri()))
        shown.until("document.body && document.body.dataset.state")
        assert shown.evaluate("document.body.dataset.state") == "ready", shown.complaints
        return shown

    yield open_page
    for shown, address in pages:
        shown.evaluate("1")
        assert shown.complaints == []
        assert [one for one in shown.addresses if not one.startswith("data:")] == [address]
        shown.close()


def column(page: Page, field: str) -> list[str]:
    """The cells of a column that are drawn, from above."""
    found: list[str] = page.evaluate(
        f"""[...document.querySelectorAll('.tabulator-row')]
            .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)
            .map(row => row.querySelector('[tabulator-field="{field}"]').textContent)"""
    )
    return found


def search(page: Page, text: str) -> None:
    """Type into the search box, as a person would."""
    page.evaluate("document.getElementById('search').focus(); document.getElementById('search').select()")
    page.call("Input.insertText", text=text)


SHOWN = "document.getElementById('shown').textContent"


def test_the_page_opens_from_disk_with_charts_and_table(show: Callable[..., Page], tmp_path: Path) -> None:
    """A page opened from disk, light or dark, draws four charts on one time axis, a distribution and the steps."""
    for dark in (False, True):
        page = show(rendered_page(FEW), dark=dark)
        assert page.evaluate("document.querySelectorAll('#course canvas').length") == 4
        assert page.evaluate("document.querySelectorAll('#durations canvas').length") == 1
        assert column(page, "title") == ["Project 3", "Project 4", "Project 1", "2@example.com", "Project 5"]
        assert column(page, "status") == ["failed", "in doubt", "created", "updated", "adopted"]
        assert page.evaluate(SHOWN) == "5 steps"
        widths = page.evaluate("[...document.querySelectorAll('#course canvas')].map(one => one.clientWidth)")
        assert len(set(widths)) == 1
        page.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000


def test_a_person_sees_when_the_service_throttled(show: Callable[..., Page], tmp_path: Path) -> None:
    """With traffic there is a fifth chart on the same axis, of what was sent, turned away and sent again."""
    calm = Traffic(began_s=T0, ended_s=T0 + 1, requests=50, retries=0, throttled=0, in_flight=8)
    traffic = [replace(calm, began_s=T0 + second, ended_s=T0 + second + 1) for second in range(6)]
    traffic[3] = replace(traffic[3], throttled=30)
    page = show(rendered_page(FEW, traffic=traffic))
    assert page.evaluate("document.querySelectorAll('#course canvas').length") == 5
    assert page.evaluate("document.querySelector('.sent').textContent").startswith("300 requests: 30 turned away")
    widths = page.evaluate("[...document.querySelectorAll('#course canvas')].map(one => one.clientWidth)")
    assert len(set(widths)) == 1
    legend = "document.getElementById('chart-sent').parentElement.querySelector('.legend').textContent"
    box = page.evaluate("document.querySelector('#chart-sent .u-over').getBoundingClientRect().toJSON()")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + box["width"] * 3.5 / 6, y=box["y"] + 20)
    page.until(f"{legend}.includes('turned away/s30')")
    page.screenshot(tmp_path / "page.png")


def test_very_many_steps_can_be_sorted_filtered_and_searched(show: Callable[..., Page]) -> None:
    """With very many steps the page is there, holds few rows of them, and answers each click and word."""
    records = [record(number, kind=DATASET if number % 7 == 0 else PROJECT) for number in range(1, ROWS + 1)]
    for number in range(10, ROWS, 1000):
        records[number - 1] = failed(number, started_s=T0 + number / 100)
    content = rendered_page(records)
    assert len(content) < 1_000_000 + 70 * ROWS
    page = show(content)
    assert page.evaluate(SHOWN) == f"{ROWS:,} steps"
    assert page.evaluate("document.querySelectorAll('.tabulator-row').length") < 200

    page.evaluate("""document.querySelector('.tabulator-col[tabulator-field="title"]').click()""")
    page.evaluate("""document.querySelector('.tabulator-col[tabulator-field="title"]').click()""")
    page.until(
        f"""document.querySelector('.tabulator-row [tabulator-field="title"]').textContent === 'Project {ROWS}'"""
    )
    assert column(page, "title")[:3] == [f"Project {ROWS - less}" for less in range(3)]

    search(page, f"{ROWS - 2} project")
    page.until(f"{SHOWN} === '1 of {ROWS:,} steps'")
    assert column(page, "title") == [f"Project {ROWS - 2}"]
    search(page, "unknown_error REFUSED")
    page.until(f"{SHOWN} === '{ROWS // 1000} of {ROWS:,} steps'")

    search(page, " ")
    page.evaluate("document.querySelector('.tile.failed').click()")
    page.until(f"{SHOWN} === '{ROWS // 1000} of {ROWS:,} steps'")
    assert set(column(page, "status")) == {"failed"}
    page.evaluate("document.querySelector('.tile.failed').click()")

    page.evaluate(
        "const kind = document.getElementById('kind'); kind.value = 'dataset'; kind.dispatchEvent(new Event('change'))"
    )
    datasets = sum(one.kind is DATASET for one in records)
    page.until(f"{SHOWN} === '{datasets:,} of {ROWS:,} steps'")
    page.evaluate("document.getElementById('reset').click()")
    page.until(f"{SHOWN} === '{ROWS:,} steps'")
    assert column(page, "title")[0] == "Project 10"

    # Again and again, a pixel up and down: a table that is still being built scrolls back to where it was, and one that
    # missed an event draws at the next.
    page.until(
        f"""(table => (table.scrollTop = table.scrollHeight - table.clientHeight - Date.now() % 2,
            [...document.querySelectorAll('.tabulator-row [tabulator-field="title"]')]
            .some(one => one.textContent === 'Project {ROWS}')))(document.querySelector('.tabulator-tableholder'))"""
    )


def test_a_project_stands_together(show: Callable[..., Page]) -> None:
    """What went wrong comes first; all steps of one project stand together, with its title beside them."""
    made, others = record(1, hash="the-project", title="Cats of the north"), [record(2), record(3)]
    page = show(rendered_page([made, *others, user(4), user(5, state=State.FAILED, status="failed")]))
    assert column(page, "title") == ["5@example.com", "Cats of the north", "4@example.com", "Project 2", "Project 3"]
    assert column(page, "in") == ["Cats of the north", "", "Cats of the north", "", ""]


def test_titles_can_be_read_on_a_telephone(show: Callable[..., Page], tmp_path: Path) -> None:
    """400 pixels wide, a title is not cut off, and its status stands beside it."""
    title = "Annotation of felines in the wild, winter programme"
    page = show(rendered_page([record(1, title=title)]), width=400)
    cell = """document.querySelector('.tabulator-row [tabulator-field="title"]')"""
    assert page.evaluate(f"{cell}.scrollWidth <= {cell}.clientWidth && {cell}.scrollHeight <= {cell}.clientHeight")
    box = """document.querySelector('.tabulator-row [tabulator-field="status"]').getBoundingClientRect()"""
    assert page.evaluate(f"{box}.right") <= 400
    page.screenshot(tmp_path / "page.png")


def test_hostile_texts_are_shown_as_they_are(show: Callable[..., Page]) -> None:
    """Markup in titles, keys, messages and hashes is read by people, not by the browser."""
    texts = {"title": HOSTILE, "key": HOSTILE, "place": HOSTILE, "parent_hash": HOSTILE, "hash": HOSTILE}
    page = show(rendered_page([record(1, **texts), replace(doubtful(2), message=HOSTILE, code=HOSTILE)]))
    assert column(page, "title")[1] == column(page, "key")[1] == column(page, "hash")[1] == HOSTILE
    assert column(page, "message")[0] == HOSTILE
    page.evaluate("document.querySelectorAll('.tabulator-row button')[1].click()")
    assert HOSTILE in page.evaluate("document.querySelector('dialog').textContent")
    assert page.evaluate("document.querySelectorAll('main img, dialog img, main script').length") == 0
    link = page.evaluate("document.querySelector('.tabulator-row a').href")
    assert link.startswith("https://app.encord.com/projects/view/%3C%2Fscript%3E")


def test_a_step_shows_all_that_is_known_of_it(show: Callable[..., Page]) -> None:
    """A click on a step shows its message and the hashes that a step in doubt may have made; links lead to the app."""
    page = show(rendered_page(FEW))
    page.evaluate("""document.querySelectorAll('.tabulator-row [tabulator-field="title"]')[1].click()""")
    page.until("document.querySelector('dialog').open")
    shown = page.evaluate("document.querySelector('dialog').innerText")
    assert "two have this title" in shown
    assert "one-hash\nother-hash" in shown
    links = page.evaluate("[...document.querySelectorAll('#table a')].map(one => [one.href, one.rel, one.target])")
    assert links[0] == [
        f"https://app.encord.com/projects/view/{FEW[0].hash}/summary",
        *("noopener noreferrer", "_blank"),
    ]


def test_a_journal_without_steps_has_a_page(show: Callable[..., Page]) -> None:
    """The page of a run that did nothing says so and is not broken."""
    page = show(rendered_page([]))
    assert page.evaluate("document.getElementById('steps').hidden && document.getElementById('course').hidden")


def test_runs_with_a_pause_between_them_can_be_chosen(show: Callable[..., Page]) -> None:
    """The course shows the run that did the work; the others are a choice away."""
    page = show(rendered_page([record(1), record(2), record(9_000_000)]))
    assert page.evaluate("document.getElementById('stretch').value") == "0"
    page = show(rendered_page([record(1), record(2), record(9_000_000), record(9_000_001), record(9_000_002)]))
    names = page.evaluate("[...document.querySelectorAll('#stretch option')].map(one => one.textContent)")
    assert [name.partition(", ")[2] for name in names] == ["2 ended", "3 ended"]
    page.evaluate(
        "const chosen = document.getElementById('stretch'); chosen.value = 0; chosen.dispatchEvent(new Event('change'))"
    )
    assert page.evaluate("document.querySelectorAll('#course canvas').length") == 4
