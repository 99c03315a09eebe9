"""Finds the limits that a team sets itself: beside a manifest, or in the ``pyproject.toml`` above it. It only reads."""

import tomllib
from pathlib import Path
from typing import Any, Final

from encord_async.errors import UsageError
from encord_async.manifest.excel import sheet_of
from encord_async.manifest.policy import NO_POLICY, Policy
from encord_async.manifest.variables import ManifestFile

__all__ = ["POLICY_FILE", "policy_for"]

POLICY_FILE: Final = "encord-async.toml"
_PYPROJECT: Final = "pyproject.toml"
_TABLE: Final = "encord-async"


def policy_for(manifest: object) -> Policy:
    """The policy that holds for *manifest*: of entries that come from no file, that of the current folder.

    Raises:
        UsageError: There is one, and it cannot be read: nothing is done without it then.
    """
    folder = Path()
    if isinstance(manifest, str | Path | ManifestFile) and str(manifest) != "-":
        folder = sheet_of(manifest)[0].parent
    own = _read(folder / POLICY_FILE)
    if own is not None:
        return Policy.parse(own, str(folder / POLICY_FILE))
    try:
        above = folder.resolve()
    except OSError:
        return NO_POLICY
    for place in (above, *above.parents):
        table: Any = _read(place / _PYPROJECT)
        # The nearest one that says anything of it.
        tool = {} if table is None else table.get("tool", {})
        if isinstance(tool, dict) and _TABLE in tool:
            source = f"[tool.{_TABLE}] of {place / _PYPROJECT}"
            if not isinstance(tool[_TABLE], dict):
                raise UsageError(f"{source} must be a table")
            return Policy.parse(tool[_TABLE], source)
    return NO_POLICY


def _read(path: Path) -> dict[str, Any] | None:
    """What is in a file of TOML; None if it is not there."""
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"the policy {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the policy {path} is no TOML: {error}") from None
    except ValueError:
        # A NUL in the name of the folder: the manifest cannot be read either.
        return None
