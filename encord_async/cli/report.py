"""``encord-async report``: the run that a journal tells of, as one HTML page, as JSON, or as CSV.

Sends nothing, needs no key, changes no journal.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

import click

from encord_async.cli.failures import ExitCode, redacted, told
from encord_async.cli.interrupts import run
from encord_async.cli.options import Whole, file_option, journal_argument, output_options
from encord_async.cli.outfile import force_option, refuse_others, whole, writing
from encord_async.cli.output import Output, many
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.journal.record import Record
    from encord_async.report.summary import Links, Report, Row

__all__ = ["cell", "report"]

_RECORDS_AT_A_TIME: Final = 2000
_STDOUT: Final = "-"
_FORMULA: Final = re.compile("^(?=[=+@\\-\t\uff1d\uff0b\uff20\uff0d])", re.MULTILINE)
"""Where a spreadsheet would take a cell for a formula, or a line of it, if it takes the line for a row."""
_LINE_ENDS: Final = re.compile("\r\n?")
"""Not put into quotes by Python's csv before 3.13, and ends of rows to whoever reads with universal newlines."""

_COLUMNS: Final = (
    *("id", "kind", "status", "title", "key", "hash", "project_hash", "link", "code", "message", "candidates"),
    *("began_s", "took_s", "place"),
)
_TRAFFIC_COLUMNS: Final = ("began_s", "ended_s", "requests", "retries", "throttled", "in_flight")


@click.command(short_help="Write the run of a journal as one HTML page, or as JSON or CSV.")
@journal_argument
@file_option("-o", "--out", help="Write the page to FILE.  [default: JOURNAL.html, if nothing else]")
@file_option(
    "--csv",
    "csv_file",
    is_flag=False,
    flag_value=_STDOUT,
    metavar="[FILE]",
    help="Write every step as a line of CSV to FILE; without FILE, or with '-', to standard output.",
)
@file_option(
    "--traffic-csv",
    "traffic_file",
    is_flag=False,
    flag_value=_STDOUT,
    metavar="[FILE]",
    help="Write how much was sent, retried and refused for load, per interval, as CSV; FILE as for --csv.",
)
@click.option(
    "--app-url",
    metavar="URL",
    help="Address of the web app, for links.  [default: guessed from the domain, as https://app.encord.com]",
)
@click.option(
    "--max-rows",
    type=Whole(min=0),
    default=200_000,
    show_default=True,
    metavar="N",
    help="Most steps that went well to list in the page and with --json; the others are always listed.",
)
@force_option
@output_options
def report(
    *,
    output: Output,
    journal: str,
    out: str | None,
    csv_file: str | None,
    traffic_file: str | None,
    app_url: str | None,
    max_rows: int,
    force: bool,
) -> int:
    """Write what the run of JOURNAL made, adopted, left, failed and has in doubt, and its course over time.

    The page is one file that opens from disk and needs no network: sums, charts, and a table to sort, filter and
    search. It may be written while the run goes on. Titles and e-mail addresses are in it, keys and tokens are not.

    Steps are counted, not entries: a project with two users and a key is four steps. Requests, retries and throttling
    are added up per interval; the intervals grow with the run, and journals of older releases have none. In CSV, a
    text that a spreadsheet would take for a formula begins with '.

    \b
    Examples:
      encord-async report programme.jsonl.journal -o run.html
      encord-async report programme.jsonl.journal --json | jq .sums
      encord-async report programme.jsonl.journal --csv steps.csv

    Exit codes: 0 it is written, whatever the run came to (see 'status'); 2 no usable journal, or it cannot be written.
    """
    from encord_async.report.summary import links_for

    if out is None and csv_file is None and traffic_file is None and not output.json:
        out = _beside(journal)
    files = (out, csv_file, traffic_file)
    _check_files(files, json=output.json, force=force)
    links_for("", app_url)
    with ExitStack() as stack:
        table = None if csv_file is None else stack.enter_context(_Csv(csv_file))
        name, made, links = run(lambda: _read(journal, app_url, max_rows, table), reads=True)
    if out is not None:
        _write_page(out, made, name, links)
    if traffic_file is not None:
        _write_traffic(traffic_file, made)
    if output.json:
        output.result({"journal": name, **made.as_json(links)})
    say = output.say if _STDOUT in files else output.line
    told = (f"the page of {many(made.steps, 'step', 'steps')}", "the steps as CSV", "the traffic as CSV")
    for path, what in zip(files, told, strict=True):
        if path not in {None, _STDOUT}:
            say(f"{path}: {what}")
    return ExitCode.DONE


def _beside(journal: str) -> str:
    """Where the page goes if nothing is said of it."""
    from encord_async.journal.journal import is_url

    if is_url(journal):
        raise UsageError("there is no place beside a journal in a database; give -o FILE")
    return f"{journal}.html"


def _check_files(files: Sequence[str | None], *, json: bool, force: bool) -> None:
    """Refuse *files* before anything is read, if one of them cannot be written where it is to go."""
    if [json, *(path == _STDOUT for path in files)].count(True) > 1:
        raise UsageError("only one thing can go to standard output; give a FILE for the other")
    for path, is_ours in zip(
        files,
        (_is_page, _is_csv(_COLUMNS), _is_csv(_TRAFFIC_COLUMNS)),
        strict=True,
    ):
        if path is not None and path != _STDOUT:
            refuse_others(path, is_ours, force=force)


def _is_page(head: bytes) -> bool:
    """Whether a file begins as a page of ours."""
    return b'content="encord-async report"' in head


def _is_csv(columns: Sequence[str]) -> Callable[[bytes], bool]:
    """Whether a file begins with the names of these columns."""
    return lambda head: head.startswith(",".join(columns).encode() + b"\n")


async def _read(
    where: str, app_url: str | None, max_rows: int, table: "_Csv | None"
) -> "tuple[str, Report, Links | None]":
    """Read the journal once, from its beginning to its end; the first of the result is its name."""
    from encord_async.journal.journal import Journal
    from encord_async.report.summary import ReportBuilder, links_for

    builder = ReportBuilder(max_rows=max_rows)
    async with Journal(where, None) as journal:
        name, about, owner = journal.name, await journal.about(), await journal.owner()
        links = links_for(about["domain"], app_url)
        if table is not None:
            table.begin(links)
        records, after = await journal.records(most=_RECORDS_AT_A_TIME)
        while records:
            rows = [builder.add(_clean(record)) for record in records]
            if table is not None:
                table.write(rows)
            records, after = await journal.records(most=_RECORDS_AT_A_TIME, after=after)
        builder.add_traffic(await journal.traffic())
    running_pid = None if owner is None else owner.pid
    return name, builder.finish(domain=about["domain"], account=about["account"], running_pid=running_pid), links


def _clean(record: "Record") -> "Record":
    """*record* without the secrets that stood where something else belongs."""
    texts = {"place": record.place, "key": record.key, "title": record.title}
    hidden: dict[str, Any] = {name: shown for name, text in texts.items() if text and (shown := redacted(text)) != text}
    if record.message and (message := told(record.message)) != record.message:
        hidden["message"] = message
    return replace(record, **hidden) if hidden else record


def _write_page(path: str, made: "Report", journal: str, links: "Links | None") -> None:
    from importlib.metadata import version

    from encord_async.cli.report_page import rendered

    page = rendered(made, journal=journal, links=links, version=version("encord-async")).encode()
    if path == _STDOUT:
        sys.stdout.buffer.write(page)
    else:
        with writing(path), whole(path) as file:
            file.write(page)


def _write_traffic(path: str, made: "Report") -> None:
    with writing(path), _text(path, errors="strict") as file:
        table = csv.DictWriter(file, _TRAFFIC_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(sample.as_json() for sample in made.traffic)


@contextmanager
def _text(path: str, *, errors: str) -> Iterator[TextIO]:
    """The file *path* for text, or standard output."""
    if path == _STDOUT:
        yield sys.stdout
    else:
        with whole(path) as file, io.TextIOWrapper(file, encoding="utf-8", errors=errors, newline="") as text:
            yield text


class _Csv:
    """Writes rows to a file or standard output; the file is opened once the journal is."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: TextIO = sys.stdout
        self._closing = ExitStack()
        self._links: Links | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with writing(self._path):
            self._closing.__exit__(kind, error, traceback)

    def begin(self, links: "Links | None") -> None:
        """Open the file and write the names of the columns."""
        self._links = links
        with writing(self._path):
            self._file = self._closing.enter_context(_text(self._path, errors="backslashreplace"))
        self._put([_COLUMNS])

    def write(self, rows: "Iterable[Row]") -> None:
        """Write a line for each of *rows*."""
        from encord_async.report.summary import row_json

        shown = (row_json(row, self._links) for row in rows)
        self._put([cell(values[name]) for name in _COLUMNS] for values in shown)

    def _put(self, lines: Iterable[Iterable[object]]) -> None:
        with writing(self._path):
            csv.writer(self._file, lineterminator="\n").writerows(lines)


def cell(value: object) -> object:
    """*value* as a cell of CSV that no spreadsheet takes for a formula."""
    text = " ".join(value) if isinstance(value, list) else value
    return _FORMULA.sub("'", _LINE_ENDS.sub("\n", text)) if isinstance(text, str) else text
