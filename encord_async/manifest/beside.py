"""Files beside a manifest: read when they are named, relative to the file that names them.

It reads only what is named, if that is a plain file in the manifest's folder, and nothing else: a manifest may come
from somebody who must not learn what else lies here. It never writes.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from encord_async.kinds.fields import shown
from encord_async.kinds.strict_json import NotStrictError, strict_json
from encord_async.manifest.items_file import read_items_file
from encord_async.manifest.place import PlacedEntry, Problem
from encord_async.manifest.reading import read_entry
from encord_async.plainfile import open_plain

__all__ = ["MAX_FILE_BYTES", "Beside", "with_file"]

MAX_FILE_BYTES: Final = 16 * 2**20
"""The largest such file."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What may be named in a file of a manifest.

    Attributes:
        folder: What names are relative to.
        root: The manifest's folder, out of which no name may lead.
        on_use: Is given each file that is named, before it is opened.
    """

    folder: Path
    root: Path
    on_use: Callable[[Path], None] = lambda _: None

    def path(self, name: str) -> Path:
        """Where the file *name* is, wherever links lead.

        Raises:
            ValueError: It lies outside the manifest's folder, or *name* is none.
        """
        # What is opened then is followed no further.
        path = Path(os.path.realpath(self.folder / name))
        if not path.is_relative_to(os.path.realpath(self.root)):
            raise ValueError("it lies outside the folder of the manifest; put a copy of it there")
        self.on_use(self.folder / name)
        return path

    def open(self, name: str) -> BinaryIO:
        """The plain file *name*.

        Raises:
            OSError: It cannot be opened.
            ValueError: It may not be.
        """
        return os.fdopen(open_plain(self.path(name), os.O_RDONLY), "rb")


def with_file(placed: PlacedEntry, beside: Beside | None) -> PlacedEntry | tuple[Problem, ...]:
    """*placed* with the value that its entry names a file for (`Entry.beside`), or what is wrong with that.

    Args:
        placed: Any entry; one that names no file comes back as it is.
        beside: What it may name; None if the entries come from no file, and none can be named.
    """
    entry = placed.entry
    if entry.rows_beside is not None and (named := getattr(entry, entry.rows_beside)) is not None:
        return _with_rows(placed, entry.rows_beside, named, beside)
    names, holds = entry.beside or ("", "")
    name = getattr(entry, names) if names else None
    if not isinstance(name, str):
        return placed
    if getattr(entry, holds) is not None:
        return (_problem(placed, f"is given beside {holds!r}", "keep one of them"),)
    if beside is None:
        return (_problem(placed, "is for manifests in files", f"read the file, and give {holds!r}"),)
    try:
        value = _read(beside, name)
    except OSError as error:
        return (_problem(placed, f"{shown(name)} cannot be read: {error.strerror or error}"),)
    except ValueError as error:
        return (_problem(placed, f"{shown(name)} is no {holds}: {error}"),)
    whole = entry.model_dump(exclude={names}) | {holds: value}
    read = read_entry(whole, placed.place)
    return read if isinstance(read, tuple) else PlacedEntry(placed.place, read, file=name)


def _with_rows(placed: PlacedEntry, field: str, name: str, beside: Beside | None) -> PlacedEntry | tuple[Problem, ...]:
    """*placed* with the rows in the file *name*, which its *field* has."""
    entry = placed.entry
    if beside is None:
        return (Problem(placed.place, field, "is for manifests in files", "give the items themselves", entry.key),)
    try:
        made = entry.with_rows(read_items_file(beside.path(name)))
    except OSError as error:
        reason = f"{shown(name)} cannot be read: {error.strerror or error}"
    except ValueError as error:
        reason = f"{shown(name)}: {error}"
    else:
        return PlacedEntry(placed.place, made, file=name)
    return (Problem(placed.place, field, reason, key=entry.key),)


def _read(beside: Beside, name: str) -> object:
    """The JSON value in the file *name*.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds something else, or too much.
    """
    with beside.open(name) as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        return strict_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise ValueError(f"it is not JSON: {what} at line {error.lineno} column {error.colno}") from None
    except NotStrictError as error:
        raise ValueError(f"in it {error}" if error.name else f"it {error}") from None


def _problem(placed: PlacedEntry, reason: str, hint: str = "") -> Problem:
    field = placed.entry.beside[0] if placed.entry.beside else ""
    return Problem(placed.place, field, reason, hint, placed.entry.key)
