"""What a manifest becomes: includes read in their place, defaults filled in, rows multiplied out, texts filled in.

An entry is made when it is asked for, and none is kept, nor is a row. It never sends anything and never writes a file.
"""

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import meant, shown, sort_of
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.beside import Beside, with_file
from encord_async.manifest.excel import sheet_of
from encord_async.manifest.lines import Unreadable, is_whole, without_blank_end
from encord_async.manifest.place import Place, PlacedEntry, Problem, Raw
from encord_async.manifest.reading import IN_QUOTES, json_value, key_of, read_entry
from encord_async.manifest.template import NAME, Filling, Prepared, is_template, named_in, prepare, render
from encord_async.manifest.variables import ManifestFile

__all__ = ["FOR_EACH", "Expansion", "Format", "Rows"]

FOR_EACH: Final = "for_each"
_ITEM: Final = "item"
"""The name of a row as a whole."""
_MATRIX: Final = "matrix"
_MOST_COMBINATIONS: Final = 10_000_000
_DEEPEST: Final = 32
"""How many files may include one another, one in the other."""

Item: TypeAlias = PlacedEntry | Problem
Format: TypeAlias = Callable[[BinaryIO, str], Iterator[Raw]]
"""Reads what a file holds."""
Rows: TypeAlias = Callable[[BinaryIO, str], Iterator[tuple[int, list[str]]]]
"""Reads the lines and cells of a table, the names of its columns first."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is being read: its *name* for people, what may be named in it, and the files that led to it."""

    name: str
    beside: Beside
    chain: tuple[tuple[str, Path], ...]


class _BadPreamble(Exception):
    """What a file says of all its entries is wrong, so that whatever it says of one may not be what is meant."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


class Expansion:
    """One reading of a manifest and of all that it includes.

    Args:
        manifest: The manifest, with the variables that are given.
        formats: How files that can be included are read, by what their names end in.
        rows: How tables are read that entries are made for, by what their names end in.
        on_empty: Is told where an entry stands that is made for no row at all.
        on_beside: Is given each other file that is named, before it is opened.
    """

    def __init__(
        self,
        manifest: ManifestFile,
        *,
        formats: Mapping[str, Format],
        rows: Mapping[str, Rows],
        on_empty: Callable[[Place], None],
        on_beside: Callable[[Path], None],
    ) -> None:
        self._manifest = manifest
        self._on_empty, self._on_beside = on_empty, on_beside
        self._formats = formats
        self._tables = rows
        self._names: dict[str, Any] = dict(manifest.variables)
        self._filling = Filling(self._names)
        """Of all variables together."""
        self._said: set[str] = set()
        """Variables that the files read so far have given a value."""
        self._defaults: dict[str, dict[str, object]] = {}
        self._unknown = set(manifest.asked_for)
        """Variables that were asked for, and that nothing has named yet."""
        self._included: set[Path] = set()
        self._number = 0

    def items(self, read: Format, stream: BinaryIO, source: str) -> Iterator[Item]:
        """What the manifest in *stream* becomes: entries, and what is wrong with those that are none."""
        folder = Path() if self._manifest.is_stream else Path(self._manifest.path).parent
        chain = () if self._manifest.is_stream else ((source, Path(os.path.realpath(self._manifest.path))),)
        file = _File(source, Beside(folder, folder, self._on_beside), chain)
        try:
            yield from self._file(read(stream, source), file)
        except _BadPreamble as error:
            yield from error.problems
            return
        known = self._names.keys() - self._unknown
        for name in sorted(self._unknown):
            reason = f"{shown(name)} is given, and nothing in the manifest names it"
            yield Problem(Place(source, 1, 0), "vars", reason, meant(name, known))

    def _file(self, raws: Iterator[Raw], file: _File) -> Iterator[Item]:
        preamble: list[Raw] = []
        is_preamble = True
        try:
            for raw in raws:
                if self._unknown:
                    with contextlib.suppress(RecursionError):
                        self._unknown -= named_in(raw.value)
                if raw.part and is_preamble:
                    preamble.append(raw)
                    continue
                if is_preamble:
                    is_preamble = False
                    yield from self._begin(preamble, file)
                if raw.part:
                    raise _bad_preamble(file, raw, [Fault(raw.part, "must stand before all entries")])
                yield from self._entries(raw, file)
        except Unreadable as fault:
            yield fault.problem(file.name, self._number + 1)
            return
        if is_preamble:
            yield from self._begin(preamble, file)

    def _problems(self, file: _File, line: int, faults: "list[Fault]", raw: object = None) -> Iterator[Problem]:
        """What is wrong with the next entry."""
        self._number += 1
        key = key_of(raw) if isinstance(raw, dict) else None
        for fault in faults:
            yield Problem(Place(file.name, line, self._number), *fault, key=key)

    # ------------------------------------------------------------------ what is said of all entries

    def _begin(self, preamble: list[Raw], file: _File) -> Iterator[Item]:
        for raw in preamble:
            if raw.faults:
                raise _bad_preamble(file, raw, list(raw.faults))
        for part, take in (("vars", self._take_vars), ("defaults", self._take_defaults)):
            for raw in preamble:
                if raw.part == part and raw.value is not None:
                    faults = take(raw.value)
                    if faults:
                        raise _bad_preamble(file, raw, faults)
        for raw in preamble:
            if raw.part == "include" and raw.value is not None:
                yield from self._include(raw, file)

    def _take_vars(self, value: object) -> list[Fault]:
        """Variables with their values; those that somebody has given keep theirs."""
        if not isinstance(value, dict):
            return [Fault("vars", f"must be an object of names and values, not {sort_of(value)}")]
        faults: list[Fault] = []
        for name, own in value.items():
            where = f"vars.{name}"
            if not NAME.fullmatch(name):
                faults.append(Fault(where, "is no name of a variable", "use letters, digits and _"))
                continue
            wrong: list[Fault] = []
            self._filling.faults = wrong
            found = render(own, self._filling)
            faults += [Fault(f"{where}.{fault.field}".rstrip("."), *fault[1:]) for fault in wrong]
            if name not in self._names:
                self._names[name] = found
            elif name not in self._said and not wrong:
                faults += self._fit(name, found)
            self._said.add(name)
            self._unknown.discard(name)
        return faults

    def _fit(self, name: str, own: object) -> list[Fault]:
        """Take what is given for *name* for what the manifest's *own* value is: command lines have only text."""
        given = self._names[name]
        if own is None or isinstance(own, str) or not isinstance(given, str):
            return []
        value = json_value(given.encode(errors="replace"))
        if isinstance(value, Fault) or sort_of(value) != sort_of(own):
            return [Fault(f"vars.{name}", f"is {sort_of(own)}, and {shown(given)} is given", "give it as JSON has it")]
        self._names[name] = value
        return []

    def _take_defaults(self, value: object) -> list[Fault]:
        if not isinstance(value, dict):
            return [Fault("defaults", f"must be an object of kinds and their fields, not {sort_of(value)}")]
        faults = []
        for kind, fields in value.items():
            model = ENTRY_MODELS.get(kind)
            where = f"defaults.{kind}"
            if model is None:
                hint = meant(kind, ENTRY_MODELS) or f"use some of {', '.join(ENTRY_MODELS)}"
                faults.append(Fault(where, "is no kind of entry", hint))
            elif not isinstance(fields, dict):
                faults.append(Fault(where, f"must be an object of fields and values, not {sort_of(fields)}"))
            else:
                known = [name for name in model.model_fields if name != "kind"]
                faults += [_unknown(f"{where}.{name}", name, kind, known) for name in fields if name not in known]
                self._defaults[kind] = _over(self._defaults.get(kind, {}), fields)
        return faults

    def _include(self, raw: Raw, file: _File) -> Iterator[Item]:
        value, faults = prepare(raw.value)(self._names)
        given = value if isinstance(value, list) else [value]
        names = [name for name in given if isinstance(name, str)]
        if not faults and len(names) < len(given):
            faults = [Fault("", f"must be the name of a file, or a list of such, not {sort_of(value)}")]
        if faults:
            raise _bad_preamble(file, raw, [Fault("include", *fault[1:]) for fault in faults])
        for name in names:
            try:
                opened = self._open(name, file)
            except (OSError, ValueError) as error:
                raise _bad_preamble(file, raw, [Fault("include", _cannot_be_read(name, error))]) from None
            if opened is not None:
                read, stream, inner = opened
                with stream:
                    yield from self._file(read(stream, inner.name), inner)

    def _open(self, name: str, file: _File) -> tuple[Format, BinaryIO, _File] | None:
        """The file *name* that *file* includes; None if it is in already.

        Raises:
            OSError: It cannot be opened.
            ValueError: It may not be.
        """
        path = file.beside.path(name)
        if path in [one for _, one in file.chain]:
            raise ValueError(f"it includes itself: {' > '.join((*(one for one, _ in file.chain), name))}")
        if len(file.chain) >= _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} files include one another")
        suffix = path.suffix.lower()
        if suffix not in self._formats:
            hint = "; rows of a table come by for_each" if suffix in self._tables else ""
            raise ValueError(f"use a file that ends in {', '.join(self._formats)}{hint}")
        if path in self._included:
            return None
        stream = file.beside.open(name)
        self._included.add(path)
        root = file.beside.root
        whole = root / path.relative_to(os.path.realpath(root))
        inner = _File(str(whole), Beside(whole.parent, root, self._on_beside), (*file.chain, (str(whole), path)))
        return self._formats[suffix], stream, inner

    # ------------------------------------------------------------------ entries

    def _entries(self, raw: Raw, file: _File) -> Iterable[Item]:
        value, faults = raw.value, raw.faults
        if faults:
            return self._problems(file, raw.line, list(faults), value)
        if isinstance(value, dict) and FOR_EACH in value:
            return self._multiplied(raw, value, file)
        self._number += 1
        if not raw.is_plain or self._defaults:
            value, faults = self._prepared(value)(self._names)
        return _entry(value, faults, Place(file.name, raw.line, self._number), file, raw.value)

    def _prepared(self, value: object) -> Prepared:
        """What makes an entry of *value*, with the defaults of its kind."""
        if not (isinstance(value, dict) and self._defaults):
            return _prepared(value)
        kind = value.get("kind")
        if not (isinstance(kind, str) and is_template(kind)):
            return _prepared(self._with_defaults(value, kind))
        # Which defaults it has is known when its kind is.
        return lambda names: _prepared(self._with_defaults(value, prepare(kind)(names)[0]))(names)

    def _with_defaults(self, value: dict[str, object], kind: object) -> dict[str, object]:
        defaults = self._defaults.get(kind) if isinstance(kind, str) else None
        return value if defaults is None else _over(value, defaults)

    # ------------------------------------------------------------------ rows

    def _multiplied(self, raw: Raw, value: dict[str, object], file: _File) -> Iterator[Item]:
        """An entry for each row of the one in *raw*."""
        entry = {name: item for name, item in value.items() if name != FOR_EACH}
        key = self._with_defaults(entry, entry.get("kind")).get("key")
        if not (isinstance(key, str) and is_template(key)):
            hint = f"write it with what differs, for example  key: {self._example_key(entry)}"
            fault = Fault("key", "must differ by row: it is what an entry of for_each is known by", hint)
            yield from self._problems(file, raw.line, [fault])
            return
        spec, faults = prepare(value[FOR_EACH])(self._names)
        if faults:
            yield from self._problems(
                file, raw.line, [Fault(f"{FOR_EACH}.{fault.field}".rstrip("."), *fault[1:]) for fault in faults]
            )
            return
        rows, prepared, row = self._rows(spec, file), self._prepared(entry), 0
        with contextlib.closing(rows):
            for row, cells in enumerate(rows, 1):
                self._number += 1
                place = Place(file.name, raw.line, self._number, row)
                if isinstance(cells, Fault):
                    yield Problem(place, *cells)
                else:
                    value, faults = prepared({**self._names, **cells})
                    yield from _entry(_of_row(value), faults, place, file, entry)
        if not row:
            self._on_empty(Place(file.name, raw.line, self._number))

    def _example_key(self, entry: Mapping[str, object]) -> str:
        """A key for an entry of rows, made of what its title is made of."""
        columns = named_in(entry.get("title", entry.get("name"))) - self._names.keys() or {_ITEM}
        return f'"{"-".join(f"{{{{ {name} }}}}" for name in sorted(columns))}"'

    def _rows(self, spec: object, file: _File) -> "Generator[Mapping[str, object] | Fault]":
        """What the variables of each row are; the last one may be a `Fault`."""
        if isinstance(spec, str):
            yield from self._table(spec, file)
        elif isinstance(spec, list):
            for item in spec:
                yield _row(item)
        elif isinstance(spec, dict) and list(spec) == [_MATRIX]:
            axes = spec[_MATRIX]
            if isinstance(axes, dict) and axes and all(isinstance(axis, list) for axis in axes.values()):
                rows = math.prod(map(len, axes.values()))
                if rows > _MOST_COMBINATIONS:
                    yield Fault(f"{FOR_EACH}.{_MATRIX}", f"has {rows:,} rows, and may have {_MOST_COMBINATIONS:,}")
                    return
                for values in itertools.product(*axes.values()):
                    yield _row(dict(zip(axes, values, strict=True)))
            else:
                yield Fault(f"{FOR_EACH}.{_MATRIX}", "must be an object of names, each with a list")
        else:
            hint = f"give a list, the name of a table beside the manifest, or {{{_MATRIX}: {{name: [...]}}}}"
            yield Fault(FOR_EACH, f"cannot be {sort_of(spec)}", hint)

    def _table(self, name: str, file: _File) -> "Generator[Mapping[str, object] | Fault]":
        path, _ = sheet_of(name)
        read = self._tables.get(path.suffix.lower())
        if read is None:
            yield Fault(FOR_EACH, f"{shown(name)} is no table", f"name a file that ends in {', '.join(self._tables)}")
            return
        try:
            with file.beside.open(str(path)) as stream:
                yield from _table_rows(read(stream, name), name)
        except (OSError, ValueError) as error:
            yield Fault(FOR_EACH, _cannot_be_read(name, error))
        except Unreadable as error:
            yield Fault(FOR_EACH, f"{name}:{error.line}: {error.reason}", error.hint)


def _unknown(where: str, name: str, kind: str, known: list[str]) -> Fault:
    hint = meant(name, known) or f"it has {', '.join(known)}"
    return Fault(where, f"is not a field of a {kind} entry", hint)


def _prepared(value: object) -> Prepared:
    try:
        return prepare(value)
    except RecursionError:
        return lambda _: (value, [Fault("", "is nested too deeply")])


def _entry(value: object, faults: Sequence[Fault], place: Place, file: _File, written: object) -> Sequence[Item]:
    """The entry in *value*, or what is wrong with it if not *faults* are it; *written* is what stands in the file."""
    if faults:
        key = key_of(value) if isinstance(value, dict) else None
        known = None if is_template(key) else key
        return [Problem(place, *fault, key=known) for fault in faults]
    entry = read_entry(value, place)
    if isinstance(entry, tuple):
        return [_as_text(problem, written) for problem in entry]
    if entry.beside is None and entry.rows_beside is None:
        return (PlacedEntry(place, entry),)
    whole = with_file(PlacedEntry(place, entry), file.beside)
    return whole if isinstance(whole, tuple) else (whole,)


def _as_text(problem: Problem, written: object) -> Problem:
    """*problem*, which for numbers that come from expressions is helped in another way."""
    if problem.hint == IN_QUOTES and isinstance(written, dict) and is_template(written.get(problem.field)):
        return replace(problem, hint="make it one: {{ x | string }}")
    return problem


def _bad_preamble(file: _File, raw: Raw, faults: list[Fault]) -> _BadPreamble:
    return _BadPreamble(*(Problem(Place(file.name, raw.line, 0), *fault) for fault in faults))


def _cannot_be_read(name: str, error: OSError | ValueError) -> str:
    reason = (isinstance(error, OSError) and error.strerror) or error
    return f"{shown(name)} cannot be read: {reason}"


def _over(own: dict[str, object], defaults: Mapping[str, object]) -> dict[str, object]:
    """*own* with what only *defaults* have; objects are put together, all else replaces, null takes a default away."""
    whole = dict(own)
    for name, default in defaults.items():
        mine = own.get(name, default)
        if isinstance(mine, dict) and isinstance(default, dict):
            whole[name] = _over(mine, default)
        elif mine is None:
            whole.pop(name, None)
        else:
            whole[name] = mine
    return whole


def _of_row(value: Any) -> Any:
    """The entry of one row: that others have another key now says nothing of one whose key is what it was."""
    if isinstance(value, dict) and "moved" in value and (value["moved"] == "" or value["moved"] == value.get("key")):
        return {name: item for name, item in value.items() if name != "moved"}
    return value


def _row(item: object) -> Mapping[str, object]:
    """The variables of a row: its members, and the row itself."""
    return {_ITEM: item, **item} if isinstance(item, dict) else {_ITEM: item}


def _table_rows(rows: Iterator[tuple[int, list[str]]], name: str) -> "Generator[Mapping[str, object] | Fault]":
    columns: list[str] | None = None
    for line, row in rows:
        cells = without_blank_end([cell.strip() for cell in row])
        if not cells:
            continue
        if columns is None:
            columns = cells
            if not all(map(is_whole, columns)):
                yield Fault(FOR_EACH, f"{name}:{line}: is not UTF-8", "save the file as UTF-8")
                return
            twice = next((one for one in columns if columns.count(one) > 1), None)
            if twice is not None:
                yield Fault(FOR_EACH, f"{name}:{line}: {shown(twice)} is the name of two columns")
                return
        elif len(cells) > len(columns):
            reason = f"{name}:{line}: has {len(cells)} cells, and there are {len(columns)} columns"
            yield Fault(FOR_EACH, reason, "quote cells with commas")
        elif not all(map(is_whole, cells)):
            yield Fault(FOR_EACH, f"{name}:{line}: is not UTF-8", "save the file as UTF-8")
        else:
            yield _row(dict(itertools.zip_longest(columns, cells, fillvalue="")))
    if columns is None:
        # One that was cut off would take all that it stands for out of the manifest, in silence.
        yield Fault(FOR_EACH, f"{shown(name)} is empty", "its first line has to name the columns")
