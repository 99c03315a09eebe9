"""Manifests in files and streams: JSONL, YAML and CSV, read one entry at a time.

Says what is wrong with which line and goes on with the next one. It never sends anything, never writes a file, never
holds more than one entry, and YAML never makes an object that is not plain data.
"""

import codecs
import contextlib
import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from encord_async.errors import ManifestError, MissingExtraError
from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import shown
from encord_async.manifest.beside import with_file
from encord_async.manifest.cells import Columns
from encord_async.manifest.checker import Checker
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.reading import field_path, read_entry, read_json_entry
from encord_async.redaction import quoted

if TYPE_CHECKING:
    import yaml

__all__ = ["CheckReport", "check_manifest", "manifest_error", "raise_for_problems", "read_manifest"]

MAX_LINE_BYTES: Final = 16 * 2**20
"""The longest line of a manifest."""

MAX_YAML_BYTES: Final = 64 * 2**20
"""The largest YAML manifest: one entry may be as long as the file, and longer ones are better off as JSONL."""

MAX_YAML_DEPTH: Final = 32
"""How deep YAML may be nested; an entry needs four levels."""

MAX_ALIASED_BYTES: Final = MAX_YAML_BYTES
"""How long all that the aliases of a YAML file stand for may be, written out; a few lines of them can stand for more
than any memory holds."""

_BYTES_A_VALUE: Final = 8
"""What a value takes written out beside its text: its place in the line, quotes, comma."""

MAX_PROBLEMS: Final = 1_000
"""How many problems a report lists; it counts them all."""

_MAX_IN_MESSAGE: Final = 5

Item: TypeAlias = PlacedEntry | Problem

_Reader: TypeAlias = Callable[[BinaryIO, str], Iterator[Item]]


# ---------------------------------------------------------------------- the whole manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What is in a manifest and what is wrong with it.

    *entries* counts all entries, good and bad. *problems* are the first `MAX_PROBLEMS`; *problem_count* counts all.
    *bad* holds the `Place.number` of each entry that has a problem. *irreversible* counts the ``dataset``, ``project``,
    ``project_api_key`` and ``ontology`` that the manifest wants and nobody can unmake; it leaves out entries that were
    bad when they were read, not those whose references were seen to be bad at the end.
    """

    entries: int
    problems: tuple[Problem, ...]
    problem_count: int
    bad: frozenset[int]
    irreversible: Mapping[str, int]


def read_manifest(path: str | Path) -> Generator[Item]:
    """Read the manifest at *path*, or JSONL from standard input if it is ``-``.

    Entries and problems come in the order of the file. An entry with several faults gives several problems, all of
    the same `Place`. What is wrong between entries is for `Checker`. Close the generator to close the file.

    Raises:
        ManifestError: The file cannot be read or holds no entry; the first of it comes at once, the rest as it is read.
        MissingExtraError: It is YAML and PyYAML is not installed.
    """
    if str(path) == "-":
        return _entries_of(_read_stream, None, "<stdin>")
    suffix = Path(path).suffix.lower()
    if suffix not in _READERS:
        known = ", ".join(_READERS)
        raise ManifestError(
            f"{path} is no manifest: use a file that ends in {known}, or - for JSONL or YAML on standard input"
        )
    return _entries_of(_READERS[suffix], Path(path), str(path))


def check_manifest(path: str | Path, *, on_entry: Callable[[PlacedEntry], None] = lambda _: None) -> CheckReport:
    """Read the manifest at *path* once from end to end and report all that is wrong with it; nothing is sent.

    Args:
        path: Where it is.
        on_entry: Is given each entry that is none of the bad ones by itself.

    Raises:
        ManifestError: The file cannot be read or holds no entry.
        MissingExtraError: It is YAML and PyYAML is not installed.
    """
    checker = Checker()
    tally = _Tally()
    for item in read_manifest(path):
        if isinstance(item, Problem):
            checker.refuse(item)
            tally.add_problem(item)
        else:
            on_entry(item)
            tally.add_entry(item, checker.add(item))
    for problem in checker.finish():
        tally.add_problem(problem)
    return tally.report()


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
            self._irreversible.update(placed.entry.irreversible())

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


def _entries_of(reader: _Reader, path: Path | None, source: str) -> Generator[Item]:
    nothing = True
    try:
        folder = Path() if path is None else path.parent
        for item in _stdin_items(reader, source) if path is None else _file_items(reader, path, source):
            nothing = False
            if isinstance(item, PlacedEntry) and item.entry.beside is not None:
                whole = with_file(item, folder)
                yield from whole if isinstance(whole, tuple) else (whole,)
            else:
                yield item
    except OSError as error:
        raise ManifestError(f"{source} cannot be read: {error.strerror or error}") from error
    if nothing:
        raise ManifestError(f"{source} holds no entries")


def _stdin_items(reader: _Reader, source: str) -> Iterator[Item]:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise ManifestError("standard input is closed")
    # Something that is no file may stand in for it.
    with contextlib.suppress(OSError, ValueError):
        # A reader of its own: Python cannot end while a thread waits inside the one of sys.stdin.
        stream = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - ends with the process
    return reader(stream, source)


def _file_items(reader: _Reader, path: Path, source: str) -> Iterator[Item]:
    try:
        stream = path.open("rb")
    except ValueError as error:
        # A NUL in the name.
        raise ManifestError(f"{quoted(source)} is no name of a file") from error
    with stream:
        yield from reader(stream, source)


def _items(entry: Entry | tuple[Problem, ...], place: Place) -> Iterator[Item]:
    if isinstance(entry, tuple):
        yield from entry
    else:
        yield PlacedEntry(place, entry)


class _Unreadable(Exception):
    """The file cannot be read on from *line*."""

    def __init__(self, line: int, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.hint = hint

    def problem(self, source: str, number: int) -> Problem:
        return Problem(Place(source, self.line, number), "", self.reason, self.hint)


# ---------------------------------------------------------------------- lines, and JSONL


def _lines(stream: BinaryIO, source: str) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of lines; of a line longer than `MAX_LINE_BYTES` a beginning that is longer too."""
    # The mark at the beginning of a file does not count.
    most = MAX_LINE_BYTES + len(codecs.BOM_UTF8) + 1
    number = 0
    while line := stream.readline(most):
        number += 1
        yield number, _without_mark(line, source) if number == 1 else line
        while len(line) == most and not line.endswith(b"\n"):
            line = stream.readline(most)


def _without_mark(start: bytes, source: str) -> bytes:
    """The first bytes of a file without the mark that some editors put there."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ManifestError(f"{source} is encoded in UTF-16; save it as UTF-8")
    return start.removeprefix(codecs.BOM_UTF8)


def _read_jsonl(stream: BinaryIO, source: str) -> Iterator[Item]:
    number = 0
    for line, data in _lines(stream, source):
        too_long = len(data) > MAX_LINE_BYTES
        if not too_long and (not data or data.isspace()):
            continue
        number += 1
        place = Place(source, line, number)
        if too_long:
            yield Problem(place, "", _too_long(), "spread it over several entries")
        else:
            yield from _items(read_json_entry(data, place), place)


def _too_long() -> str:
    return f"is longer than {MAX_LINE_BYTES // 2**20} MiB"


def _read_stream(stream: BinaryIO, source: str) -> Iterator[Item]:
    """JSON lines, or a list in YAML: the first character says which."""
    # What stands in for a file may not let one look ahead.
    start = stream.peek(1) if isinstance(stream, io.BufferedReader) else b""
    is_yaml = start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in _YAML_BEGINS
    return (_read_yaml if is_yaml else _read_jsonl)(stream, source)


# ---------------------------------------------------------------------- CSV


def _read_csv(stream: BinaryIO, source: str) -> Iterator[Item]:
    """Rows of a table. A row may be spread over several lines by quotes; its line is the first of them."""
    columns: Columns | None = None
    number = 0
    try:
        for line, row in _csv_rows(_csv_lines(stream, source)):
            if columns is None:
                columns = Columns(row)
                problems = columns.problems(Place(source, line, 0))
                yield from problems
                if problems:
                    # Leaving out a column would make things that nobody asked for.
                    return
            elif any(cell.strip() for cell in row):
                number += 1
                place = Place(source, line, number)
                yield from _items(columns.entry(row, place), place)
    except _Unreadable as fault:
        yield fault.problem(source, number + 1)


def _csv_lines(stream: BinaryIO, source: str) -> Iterator[str]:
    for line, data in _lines(stream, source):
        if len(data) > MAX_LINE_BYTES:
            raise _Unreadable(line, _too_long(), "use JSONL")
        # What is no UTF-8 is found again in its cell, so that the problem can name the field.
        yield data.decode(errors="surrogateescape")


def _csv_rows(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(lines, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise _Unreadable(line, f"is not CSV: {error}; nothing after it was read", _csv_hint(error)) from error
        if row:
            yield line, row


def _csv_hint(error: csv.Error) -> str:
    return "use JSONL for long lists" if "field limit" in str(error) else "is a quote not closed, or not doubled?"


# ---------------------------------------------------------------------- YAML

_YAML_BEGINS: Final = (b"-", b"#", b"[", b"%")
_NO_YAML_CHARACTER: Final = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _read_yaml(stream: BinaryIO, source: str) -> Iterator[Item]:
    """The items of a list, each as soon as its last line is read; its line is the first one."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("YAML manifests need PyYAML: pip install 'encord-async[cli]'") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    number = 0
    try:
        events = yaml.parse(_YAMLText(stream, source), Loader=loader)
        for line, value, faults in _YAMLItems(events):
            number += 1
            place = Place(source, line, number)
            if faults:
                key = value.get("key") if isinstance(value, dict) else None
                known = key if isinstance(key, str) and key else None
                yield from (Problem(place, field, reason, key=known) for field, reason in faults)
            else:
                yield from _items(read_entry(value, place), place)
    except _Unreadable as fault:
        yield fault.problem(source, number + 1)
    except yaml.YAMLError as error:
        yield _yaml_fault(error).problem(source, number + 1)


def _yaml_fault(error: "yaml.YAMLError") -> _Unreadable:
    """What the parser complains about, in one line."""
    found, began = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    # What is not closed is missed at the end of the file, or wherever something does not fit in it.
    is_open = str(getattr(error, "context", None)).startswith(("while scanning", "while parsing a flow"))
    mark = (began if is_open else None) or found or began
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    what = ", ".join(part for part in parts if part) or "it cannot be parsed"
    return _Unreadable(mark.line + 1 if mark else 1, f"is not YAML: {what}; nothing after it was read")


def _line_of(event: "yaml.Event") -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _YAMLText:
    """The text of a stream for a parser: UTF-8, at most `MAX_YAML_BYTES`, and only characters that YAML knows."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._stream = stream
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._size_bytes = 0
        self._line = 1

    def read(self, size: int = 4096, /) -> str:
        """The next characters; none at the end.

        Raises:
            _Unreadable: What comes next is no text, or too much of it.
        """
        text = ""
        while not text:
            data = self._stream.read(size)
            if not self._size_bytes:
                data = _without_mark(data, self._source)
            self._size_bytes += len(data)
            if self._size_bytes > MAX_YAML_BYTES:
                raise _Unreadable(self._line, f"is beyond the first {MAX_YAML_BYTES // 2**20} MiB of YAML", "use JSONL")
            text = self._decode(data)
            if not data:
                break
        odd = _NO_YAML_CHARACTER.search(text)
        if odd:
            line = self._line + text.count("\n", 0, odd.start())
            raise _Unreadable(line, f"holds the character U+{ord(odd[0]):04X}, which YAML does not have")
        self._line += text.count("\n")
        return text

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            # Its bytes may begin with what was kept of the ones before, which holds no line break.
            line = self._line + error.object.count(b"\n", 0, error.start)
            raise _Unreadable(line, "is not UTF-8", "save the file as UTF-8") from error


class _YAMLItems:
    """Iterates over line, value and faults (field and reason) of the items of a YAML list.

    Values are made of the parser's events, not of its nodes: an alias then gives the same object again and a merge a
    dictionary of what is in it, so that aliases of aliases take no room.
    """

    def __init__(self, events: Iterator["yaml.Event"]) -> None:
        import yaml

        self._events = events
        self._resolver = yaml.resolver.Resolver()
        self._anchors: dict[str, tuple[object, int]] = {}
        self._size_bytes = 0
        """Of all values so far, written out."""
        self._aliased_bytes = 0
        self._faults: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[int, object, list[tuple[str, str]]]]:
        import yaml

        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
            elif isinstance(event, yaml.SequenceStartEvent):
                yield from self._list()
            elif isinstance(event, yaml.NodeEvent) and not self._is_empty(event):
                line = _line_of(event)
                raise _Unreadable(line, "must be a list of entries", "begin each entry with '- '")

    def _is_empty(self, event: "yaml.NodeEvent") -> bool:
        import yaml

        return isinstance(event, yaml.ScalarEvent) and self._scalar(event, ()) is None

    def _list(self) -> Iterator[tuple[int, object, list[tuple[str, str]]]]:
        import yaml

        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            self._faults = []
            line = _line_of(event)
            yield line, self._value(event, ()), self._faults

    def _value(self, event: "yaml.Event", path: tuple[str, ...]) -> object:
        """The value that begins with *event*, at *path* in its entry; takes the events up to its end."""
        import yaml

        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if len(path) > MAX_YAML_DEPTH:
            raise _Unreadable(_line_of(event), f"is nested deeper than {MAX_YAML_DEPTH} levels")
        before_bytes = self._size_bytes
        self._size_bytes += _BYTES_A_VALUE
        value: object = None
        if isinstance(event, yaml.ScalarEvent):
            self._size_bytes += len(event.value if event.value.isascii() else event.value.encode())
            value = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._refuse_tag(event, path, "seq")
            value = [
                self._value(item, (*path, str(index))) for index, item in enumerate(self._until(yaml.SequenceEndEvent))
            ]
        elif isinstance(event, yaml.MappingStartEvent):
            self._refuse_tag(event, path, "map")
            value = self._mapping(path)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = (value, self._size_bytes - before_bytes)
        return value

    def _until(self, end: "type[yaml.Event]") -> Iterator["yaml.Event"]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _alias(self, event: "yaml.AliasEvent", path: tuple[str, ...]) -> object:
        if event.anchor not in self._anchors:
            self._fault(path, f"{shown(f'*{event.anchor}')} names no anchor before it")
            return None
        value, size_bytes = self._anchors[event.anchor]
        self._size_bytes += size_bytes
        self._aliased_bytes += size_bytes
        if self._aliased_bytes > MAX_ALIASED_BYTES:
            most = f"{MAX_ALIASED_BYTES // 2**20} MiB"
            raise _Unreadable(_line_of(event), f"brings what aliases stand for above {most}", "use JSONL")
        return value

    def _mapping(self, path: tuple[str, ...]) -> dict[str, object]:
        import yaml

        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for event in self._until(yaml.MappingEndEvent):
            name = self._value(event, (*path, "?"))
            value_event = next(self._events)
            if isinstance(event, yaml.ScalarEvent) and self._tag(event) == "merge":
                self._merge(merged, self._value(value_event, path), path)
                continue
            value = self._value(value_event, (*path, name if isinstance(name, str) else "?"))
            if not isinstance(name, str):
                self._fault(path, "names of fields must be text; put them in quotes")
            elif name in own:
                self._fault((*path, name), "is given twice in one object")
            else:
                own[name] = value
        return {**merged, **own}

    def _merge(self, merged: dict[str, object], value: object, path: tuple[str, ...]) -> None:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                for name, item in part.items():
                    merged.setdefault(name, item)
            else:
                self._fault((*path, "<<"), "must be an alias of an object, or a list of such")

    def _scalar(self, event: "yaml.ScalarEvent", path: tuple[str, ...]) -> object:
        """Plain text, numbers, true, false and null; what only YAML knows, such as dates, is text."""
        tag, text = self._tag(event), event.value
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"yes", "true", "on"}
        if tag in {"int", "float"}:
            try:
                return int(text) if tag == "int" else float(text)
            except ValueError:
                return text
        if tag not in {"str", "timestamp", "merge", "value"}:
            self._fault(path, f"has the tag {shown(tag)}, which no manifest needs")
        return text

    def _tag(self, event: "yaml.ScalarEvent") -> str:
        import yaml

        tag = event.tag
        if tag is None or tag == "!":
            resolve: Callable[..., str] = self._resolver.resolve
            tag = resolve(yaml.ScalarNode, event.value, event.implicit)
        return tag.removeprefix("tag:yaml.org,2002:")

    def _refuse_tag(self, event: "yaml.CollectionStartEvent", path: tuple[str, ...], plain: str) -> None:
        tag = str(event.tag or plain).removeprefix("tag:yaml.org,2002:")
        if tag not in {plain, "!"}:
            self._fault(path, f"has the tag {shown(tag)}, which no manifest needs")

    def _fault(self, path: tuple[str, ...], reason: str) -> None:
        self._faults.append((field_path(path), reason))


_READERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".yaml": _read_yaml, ".yml": _read_yaml, ".csv": _read_csv}
)
