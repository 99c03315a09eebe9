"""Records as rows of the journal and back, each with a checksum. Pure; nothing here decides what is written."""

import functools
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

from encord_async.journal.record import Record, State, Word
from encord_async.journal.tables import STEPS
from encord_async.journal.traffic import Traffic
from encord_async.kinds.registry import step_kind, step_kinds
from encord_async.kinds.step import StepKind

__all__ = ["BRIEF", "COLUMNS", "CONTENT", "END", "WORD", "Row", "brief", "end", "record", "row", "sample", "word"]

Row: TypeAlias = tuple[object, ...]

CONTENT: Final = tuple(column for column in STEPS.columns if column.name not in {"seq", "checksum"})
COLUMNS: Final = tuple(column.key for column in CONTENT)
_BRIEF: Final = ("identity", "entry", "parent_hash", "state", "hash", "details")
BRIEF: Final = tuple(STEPS.c[name] for name in _BRIEF)
"""The columns that say whose something is."""
WORD: Final = tuple(STEPS.c[name] for name in ("kind", "state", "title", "details"))
"""The columns of a `Word`."""
END: Final = ("state", "status", "hash", "code", "message", "ended_s")
"""The columns that are not known before a request is sent."""
_END_PLACES: Final = tuple(COLUMNS.index(name) for name in END)
_KIND, _STATE, _DETAILS, _MESSAGE = map(COLUMNS.index, ("kind", "state", "details", "message"))
_ANY: Final = step_kinds()[0]
_STATES: Final = {state.value: state for state in State}
_fields: Final = attrgetter(*COLUMNS)
_end_fields: Final = attrgetter(*END)


def row(record: Record) -> tuple[list[str], Row]:
    """What the checksum of a row is made of, and the row: the columns `COLUMNS`, and the checksum."""
    values = list(_fields(record))
    values[_KIND] = record.kind.word
    values[_STATE] = str(record.state)
    values[_DETAILS] = json.dumps(record.details) if record.details else ""
    values[_MESSAGE] = _storable(record.message)
    texts = list(map(repr, values))
    return texts, (*values, _checksum(texts))


def end(record: Record, texts: Sequence[str]) -> Row:
    """What ends an intent whose checksum was made of *texts*: its identity, the columns `END`, and the checksum."""
    state, status, found, code, message, ended_s = _end_fields(record)
    values = (str(state), status, found, code, _storable(message), ended_s)
    whole = list(texts)
    for place, value in zip(_END_PLACES, values, strict=True):
        whole[place] = repr(value)
    return (record.identity, *values, _checksum(whole))


def record(row: Iterable[Any]) -> Record:
    """The record of which *row* has the columns `CONTENT`."""
    return Record(**_read(COLUMNS, row))


def brief(kind: StepKind | None, row: Iterable[Any]) -> Record:
    """A record of *kind*, if that matters, with what *row* has of it: the columns `BRIEF`."""
    return Record(kind=kind or _ANY, title="", **_read(_BRIEF, row))


def word(kind: str, state: str, title: str, details: str) -> Word:
    """What the columns `WORD` say."""
    return Word(step_kind(kind), _STATES[state], title, _role(details))


@functools.lru_cache(maxsize=64)
def _role(details: str) -> object:
    return json.loads(details).get("role") if details else None


def sample(row: Mapping[Any, Any]) -> Traffic:
    """Traffic as it was written down.

    Raises:
        ValueError: It is damaged.
    """
    # There is no checksum here: a flipped bit may have made a text or a nothing of a number.
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in row.values()):
        raise ValueError("its table of traffic is damaged")
    return Traffic(**row)


def _read(names: Iterable[str], row: Iterable[Any]) -> dict[str, Any]:
    fields = dict(zip(names, row, strict=True))
    fields["state"] = _STATES[fields["state"]]
    fields["details"] = json.loads(fields["details"]) if fields["details"] else {}
    if "kind" in fields:
        fields["kind"] = step_kind(fields["kind"])
    return fields


def _storable(message: str | None) -> str | None:
    """The service's own words can hold what no database takes as text."""
    return None if message is None else message.encode("utf-8", "replace").decode()


def _checksum(texts: Iterable[str]) -> int:
    return zlib.crc32(f"[{', '.join(texts)}]".encode())
