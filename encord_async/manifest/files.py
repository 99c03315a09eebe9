"""Manifests in files and streams: JSONL, YAML and tables, read one entry at a time.

Says what is wrong with which line and goes on with the next one. It never sends anything, never writes a file, and
never holds more than a few entries.
"""

import codecs
import contextlib
import io
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, TypeAlias

from encord_async.errors import ManifestError
from encord_async.kinds.faults import Fault
from encord_async.manifest.beside import Beside, with_file
from encord_async.manifest.checker import Checker
from encord_async.manifest.excel import EXCEL, excel_rows, sheet_of
from encord_async.manifest.expansion import Expansion, Format, Rows
from encord_async.manifest.lines import MAX_LINE_BYTES, numbered_lines, too_long
from encord_async.manifest.place import PARTS, Place, PlacedEntry, Problem, Raw
from encord_async.manifest.policy_file import policy_for
from encord_async.manifest.reading import json_value
from encord_async.manifest.tables import csv_rows, read_csv, read_excel
from encord_async.manifest.variables import ManifestFile
from encord_async.manifest.yaml_text import raw_yaml
from encord_async.redaction import quoted

__all__ = ["CheckReport", "check_manifest", "manifest_error", "raise_for_problems", "read_manifest"]

MAX_PROBLEMS: Final = 1_000
"""How many problems a report lists; it counts them all."""

_MAX_IN_MESSAGE: Final = 5

_AT_ONCE: Final = 16
"""So many entries go through one part of a check after another: a processor does that in two thirds of the time. Of
more, the garbage collector would look at too many that are still needed."""

Item: TypeAlias = PlacedEntry | Problem


# ---------------------------------------------------------------------- the whole manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What is in a manifest and what is wrong with it.

    *entries* counts all entries, good and bad. *problems* are the first `MAX_PROBLEMS`; *problem_count* counts all.
    *warnings* are what should be known of a good manifest too: a few at most, each with the first places it is about.
    *bad* holds the `Place.number` of each entry that has a problem. *irreversible* counts the ``dataset``, ``project``,
    ``project_api_key`` and ``ontology`` that the manifest wants and nobody can unmake; it leaves out entries that were
    bad when they were read, not those whose references were seen to be bad at the end.
    """

    entries: int
    problems: tuple[Problem, ...]
    problem_count: int
    bad: frozenset[int]
    irreversible: Mapping[str, int]
    warnings: tuple[Problem, ...] = ()


def read_manifest(
    path: str | Path | ManifestFile,
    *,
    on_empty: Callable[[Place], None] = lambda _: None,
    on_open: Callable[[BinaryIO], None] = lambda _: None,
    on_beside: Callable[[Path], None] = lambda _: None,
) -> Generator[Item]:
    """Read the manifest at *path*, or JSONL from standard input if it is ``-``.

    Entries and problems come in the order of the file. An entry with several faults gives several problems, all of
    the same `Place`. What is wrong between entries is for `Checker`. Close the generator to close the file.

    Args:
        path: Where it is.
        on_empty: Is told where an entry stands that is made for no row at all.
        on_open: Is given the file, if it is one, before it is read.
        on_beside: Is given each other file that is named in it, before it is opened to be read as well.

    Raises:
        ManifestError: The file cannot be read or holds no entry; the first of it comes at once, the rest as it is read.
        MissingExtraError: It is YAML and PyYAML is not installed, or has templates and Jinja is not.
    """
    manifest = ManifestFile.at(path)
    expansion = Expansion(manifest, formats=_FORMATS, rows=_ROWS, on_empty=on_empty, on_beside=on_beside)
    if manifest.is_stream:
        return _found(_stdin_items(expansion), "<stdin>")
    suffix = sheet_of(manifest)[0].suffix.lower()
    if suffix not in _FORMATS and suffix not in _TABLES:
        known = ", ".join((*_FORMATS, *_TABLES))
        raise ManifestError(
            f"{path} is no manifest: use a file that ends in {known}, or - for JSONL or YAML on standard input"
        )
    return _found(_file_items(manifest, suffix, expansion, on_open, on_beside), str(path))


def check_manifest(
    path: str | Path | ManifestFile,
    *,
    stamps: bool = False,
    on_entry: Callable[[PlacedEntry], None] = lambda _: None,
    on_beside: Callable[[Path], None] = lambda _: None,
) -> CheckReport:
    """Read the manifest at *path* once from end to end and report all that is wrong with it; nothing is sent.

    The policy that lies beside it, or above it, holds.

    Args:
        path: Where it is.
        stamps: Whether descriptions get a mark of the entry, by which twins can be told apart.
        on_entry: Is given each entry that is none of the bad ones by itself.
        on_beside: See `read_manifest`.

    Raises:
        ManifestError: The file cannot be read or holds no entry.
        MissingExtraError: See `read_manifest`.
        UsageError: The policy cannot be read.
    """
    checker = Checker(stamps=stamps, policy=policy_for(path), is_stream=ManifestFile.at(path).is_stream)
    tally = _Tally()
    items = read_manifest(path, on_empty=checker.note_empty, on_beside=on_beside)
    while some := list(itertools.islice(items, _AT_ONCE)):
        for item in some:
            if isinstance(item, PlacedEntry):
                on_entry(item)
        for item in some:
            if isinstance(item, Problem):
                checker.refuse(item)
                tally.add_problem(item)
            else:
                tally.add_entry(item, checker.add(item))
    for problem in checker.finish():
        tally.add_problem(problem)
    return replace(tally.report(), warnings=checker.warnings())


def raise_for_problems(problems: Sequence[Problem], *, total: int | None = None) -> None:
    """Raise what `manifest_error` makes of *problems*, if there are any.

    Raises:
        ManifestError: There are; its ``problems`` are these.
    """
    if problems:
        raise manifest_error(problems, total=total)


def manifest_error(problems: Sequence[Problem], *, total: int | None = None) -> ManifestError:
    """An error that names the first of *problems* and says how many more there are.

    Args:
        problems: What is wrong.
        total: How many there are if *problems* are only the first of them.
    """
    count = max(len(problems), total or 0)
    if count == 1:
        return ManifestError(str(problems[0]), problems=tuple(problems))
    lines = [f"the manifest has {count} problems:", *(f"  {problem}" for problem in problems[:_MAX_IN_MESSAGE])]
    if count > _MAX_IN_MESSAGE:
        lines.append(f"  and {count - _MAX_IN_MESSAGE} more")
    return ManifestError("\n".join(lines), problems=tuple(problems))


class _Tally:
    """The sums of a report while it is being made."""

    def __init__(self) -> None:
        self._entries = 0
        self._problems: list[Problem] = []
        self._problem_count = 0
        self._bad: set[int] = set()
        self._irreversible: Counter[str] = Counter()

    def add_entry(self, placed: PlacedEntry, problems: tuple[Problem, ...]) -> None:
        self._entries = placed.place.number
        for problem in problems:
            self.add_problem(problem)
        if not problems:
            for kind, number in placed.entry.irreversible().items():
                self._irreversible[kind] += number

    def add_problem(self, problem: Problem) -> None:
        self._entries = max(self._entries, problem.place.number)
        self._problem_count += 1
        self._bad.add(problem.place.number)
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)

    def report(self) -> CheckReport:
        return CheckReport(
            entries=self._entries,
            # References that lead nowhere are known only at the end.
            problems=tuple(sorted(self._problems, key=lambda problem: problem.place.number)),
            problem_count=self._problem_count,
            bad=frozenset(self._bad),
            irreversible=MappingProxyType(dict(self._irreversible)),
        )


def _found(items: Iterator[Item], source: str) -> Generator[Item]:
    """*items*, of which there has to be one."""
    try:
        first = next(items, None)
        if first is not None:
            yield first
            yield from items
            return
    except OSError as error:
        raise ManifestError(f"{source} cannot be read: {error.strerror or error}") from error
    raise ManifestError(f"{source} holds no entries")


def _stdin_items(expansion: Expansion) -> Iterator[Item]:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise ManifestError("standard input is closed")
    # Something that is no file may stand in for it.
    with contextlib.suppress(OSError, ValueError):
        # A reader of its own: Python cannot end while a thread waits inside the one of sys.stdin.
        stream = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - ends with the process
    return expansion.items(_raw_stream, stream, "<stdin>")


def _file_items(
    manifest: ManifestFile,
    suffix: str,
    expansion: Expansion,
    on_open: Callable[[BinaryIO], None],
    on_beside: Callable[[Path], None],
) -> Iterator[Item]:
    path, source = sheet_of(manifest)[0], str(manifest)
    try:
        stream = path.open("rb")
    except ValueError as error:
        # A NUL in the name.
        raise ManifestError(f"{quoted(source)} is no name of a file") from error
    with stream:
        on_open(stream)
        if suffix in _FORMATS:
            yield from expansion.items(_FORMATS[suffix], stream, source)
        else:
            beside = Beside(path.parent, path.parent, on_beside)
            for item in _TABLES[suffix](stream, source):
                whole = with_file(item, beside) if isinstance(item, PlacedEntry) else item
                yield from whole if isinstance(whole, tuple) else (whole,)


# ---------------------------------------------------------------------- JSONL


_TEMPLATES: Final = (b"{{", b"{%", b"\\u007", b"\\u002")
"""Of these there is one in each line of JSON with a template in it."""
_BACKSLASH: Final = ord("\\")


def _raw_jsonl(stream: BinaryIO, source: str) -> Iterator[Raw]:
    for line, data in numbered_lines(stream, source):
        if len(data) > MAX_LINE_BYTES:
            yield Raw(line, None, [Fault("", too_long(), "spread it over several entries")])
        elif data and not data.isspace():
            value = json_value(data)
            if isinstance(value, Fault):
                yield Raw(line, None, [value])
            elif isinstance(value, dict) and "kind" not in value and value and value.keys() <= set(PARTS):
                for part in PARTS:
                    if part in value:
                        yield Raw(line, value[part], part=part)
            else:
                yield Raw(line, value, (), "", _is_plain(data))


def _is_plain(data: bytes) -> bool:
    """Whether no text in a line of JSON is a template."""
    # Most lines have the brace of the object alone.
    is_bare = data.count(b"{") == 1 and data.startswith(b"{") and _BACKSLASH not in data
    return is_bare or max(map(data.find, _TEMPLATES)) < 0


_YAML_BEGINS: Final = (b"-", b"#", b"[", b"%")


def _raw_stream(stream: BinaryIO, source: str) -> Iterator[Raw]:
    """JSON lines, or a list in YAML: the first character says which."""
    # What stands in for a file may not let one look ahead.
    start = stream.peek(1) if isinstance(stream, io.BufferedReader) else b""
    is_yaml = start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in _YAML_BEGINS
    return (raw_yaml if is_yaml else _raw_jsonl)(stream, source)


_FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {".jsonl": _raw_jsonl, ".ndjson": _raw_jsonl, ".yaml": raw_yaml, ".yml": raw_yaml}
)
"""How files are read that hold entries, by what their names end in."""
_ROWS: Final[Mapping[str, Rows]] = MappingProxyType({".csv": csv_rows, EXCEL: excel_rows})
"""How tables are read of whose rows entries are made."""
_TABLES: Final[Mapping[str, Callable[[BinaryIO, str], Iterator[Item]]]] = MappingProxyType(
    {".csv": read_csv, EXCEL: read_excel}
)
"""How tables are read whose rows are entries."""
