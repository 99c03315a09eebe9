"""A manifest in a file, and the variables that it is read with: given, from files, from the environment.

Of several that give one variable the nearest counts: what is given by name, then files of variables, then the
environment; the manifest's own ``vars`` are for those that nobody gives.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from encord_async.errors import UsageError
from encord_async.kinds.faults import Fault
from encord_async.manifest.lines import MAX_LINE_BYTES, Unreadable
from encord_async.manifest.reading import json_value
from encord_async.manifest.template import NAME, plain
from encord_async.redaction import quoted

__all__ = ["ENV_VARIABLE", "STANDARD_INPUT", "ManifestFile"]

ENV_VARIABLE: Final = "ENCORD_VAR_"
"""What names of variables begin with in the environment."""

STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest by its *path*, or ``-``, with the variables that come from outside it.

    Attributes:
        path: Where it is.
        variables: All of them.
        asked_for: Those of them that were given by name: the manifest has to know them.
    """

    path: str | Path
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    asked_for: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input, which can be read once."""
        return str(self.path) == STANDARD_INPUT

    @property
    def journal(self) -> str | None:
        """Where a run of it is written down unless somebody says otherwise; None for standard input."""
        return None if self.is_stream else f"{self.path}.journal"

    @classmethod
    def at(
        cls,
        path: "str | Path | ManifestFile",
        variables: Mapping[str, object] | None = None,
        *,
        files: Iterable[str | Path] = (),
        environ: Mapping[str, str] | None = None,
    ) -> "Self | ManifestFile":
        """The manifest at *path*.

        Args:
            path: Where it is; one that has its variables already comes back as it is.
            variables: Given by name.
            files: Files of more of them, YAML or JSON; the last one that has one counts.
            environ: The environment; that of the process if it is left out.

        Raises:
            UsageError: One is none, or a file of them cannot be read.
            MissingExtraError: One is YAML, and PyYAML is not installed.
        """
        if isinstance(path, ManifestFile):
            return path
        env = os.environ if environ is None else environ
        found: dict[str, Any] = {
            name.removeprefix(ENV_VARIABLE): value
            for name, value in env.items()
            if name.startswith(ENV_VARIABLE) and NAME.fullmatch(name.removeprefix(ENV_VARIABLE))
        }
        for file in files:
            found |= _checked(_in_file(Path(file)), f"in {file}")
        given = _checked(variables or {}, "given")
        return cls(path, found | given, frozenset(given))


def _checked(variables: object, where: str) -> dict[str, Any]:
    if not isinstance(variables, Mapping):
        raise UsageError(f"the variables {where} are no object of names and values")
    checked = {}
    for name, value in variables.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UsageError(f"{quoted(str(name))}, {where}, is no name of a variable: use letters, digits and _")
        try:
            checked[name] = plain(value)
        except ValueError as error:
            raise UsageError(f"the variable {name!r}, {where}, {error}") from None
    return checked


def _in_file(path: Path) -> object:
    try:
        with path.open("rb") as stream:
            if path.suffix.lower() in {".yaml", ".yml"}:
                from encord_async.manifest.yaml_text import yaml_value

                value, faults = yaml_value(stream, str(path))
            else:
                value = json_value(stream.read(MAX_LINE_BYTES).removeprefix(b"\xef\xbb\xbf"))
                faults = [value] if isinstance(value, Fault) else []
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"the variables in {quoted(str(path))} cannot be read: {why}") from None
    except Unreadable as error:
        raise UsageError(f"{path}:{error.line}: {error.reason}") from None
    if faults:
        raise UsageError(f"{path}: {faults[0].field}: {faults[0].reason}".replace(": : ", ": "))
    return {} if value is None else value
