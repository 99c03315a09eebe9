"""What the cells of a table hold, told from the fields of entries: texts, lists, parts. Pure; reads no file."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias, get_origin

from encord_async.kinds.entry import Entry
from encord_async.kinds.fields import Part, meant
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.lines import is_whole
from encord_async.manifest.place import Place, Problem
from encord_async.manifest.reading import read_entry

__all__ = ["Columns", "form_of"]

_LONGEST_NAME: Final = 60
_ANY: Final = ""
"""The kind of a row that names none that there is."""

_Cell: TypeAlias = Callable[[str], object]


class Columns:
    """The columns of one table, by the line that names them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(name.strip() for name in names)
        self._cells, self._instead = _known()

    def problems(self, place: Place) -> list[Problem]:
        """What is wrong with the names."""
        names = self._names
        problems = []
        for position, name in enumerate(names):
            if name in names[:position]:
                problems.append(Problem(place, _shown(name, position), "is the name of two columns"))
            elif name in self._instead:
                problems.append(Problem(place, name, "is not a column", self._instead[name]))
            elif name not in self._cells:
                hint = meant(name, [*self._cells, *self._instead]) or f"use some of {', '.join(self._cells)}"
                problems.append(Problem(place, _shown(name, position), "is not a column", hint))
        if "kind" not in names:
            problems.append(
                Problem(place, "kind", "is missing", "the first line names the columns, and one has to be 'kind'")
            )
        return problems

    def entry(self, row: Sequence[str], place: Place) -> Entry | tuple[Problem, ...]:
        """The entry in a row of cells without blanks at their ends, or its problems; empty cells say nothing."""
        names = self._names
        if len(row) > len(names):
            reason = f"has {len(row)} cells, and there are {len(names)} columns"
            advice = "name each column in the first line; in CSV, quote cells that hold commas, semicolons or tabs"
            return (Problem(place, "", reason, advice),)
        entry: dict[str, object] = {}
        kind = next((cell for name, cell in zip(names, row, strict=False) if name == "kind"), "")
        for name, cell in zip(names, row, strict=False):
            if not cell.isascii() and not is_whole(cell):
                return (Problem(place, name, "is not UTF-8", "save the file as UTF-8"),)
            if cell:
                entry[name] = (self._cells[name].get(kind) or self._cells[name][_ANY])(cell)
        read = read_entry(entry, place)
        return tuple(_with_form(one, entry) for one in read) if isinstance(read, tuple) else read


def form_of(model: type[Entry], name: str) -> str:
    """How a cell of the column *name* is written; nothing if it holds no list."""
    part = model.parts.get(name)
    if part is not None:
        return part.form
    field = model.model_fields.get(name)
    return "" if field is None or get_origin(field.annotation) is not tuple else model.forms.get(name, "a;b")


def _with_form(problem: Problem, entry: Mapping[str, object]) -> Problem:
    """*problem* with the form in which its cell is written, if that holds a list."""
    name, model = problem.field.partition(".")[0], ENTRY_MODELS.get(str(entry.get("kind")))
    form = "" if model is None or name not in entry else form_of(model, name)
    if not form:
        return problem
    hint = f"write the cell as {form}"
    return replace(problem, hint=f"{problem.hint}; {hint}" if problem.hint else hint)


def _known() -> tuple[Mapping[str, Mapping[str, _Cell]], Mapping[str, str]]:
    """What a cell of each column becomes in each kind, and what to do instead of giving a field a column."""
    cells: defaultdict[str, dict[str, _Cell]] = defaultdict(dict)
    instead: dict[str, str] = {}
    for kind, model in ENTRY_MODELS.items():
        for name, field in model.model_fields.items():
            part = model.parts.get(name)
            if part is not None and part.no_column:
                instead[name] = part.no_column
            elif model.beside is not None and name == model.beside[1]:
                instead[name] = f"name a file: {model.beside[0]}"
            else:
                is_list = get_origin(field.annotation) is tuple
                cell: _Cell = partial(_parts, part) if part is not None else _split if is_list else str
                cells[name][kind] = cell
                cells[name].setdefault(_ANY, cell)
    return cells, instead


def _parts(part: type[Part], cell: str) -> list[object]:
    return [part.in_cell(text) for text in _split(cell)]


def _split(cell: str) -> list[str]:
    # A key may hold blanks; whoever writes semicolons can name it.
    parts = cell.split(";") if ";" in cell else cell.split()
    return [part.strip() for part in parts if part.strip()]


def _shown(name: str, position: int) -> str:
    return name if name and name.isprintable() and len(name) <= _LONGEST_NAME else f"column {position + 1}"
