"""``--outcomes``: what became of each entry, a line of JSON in a file. Decides nothing about the run."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from encord_async.cli.failures import told_in
from encord_async.cli.outfile import opened, refuse_others, writing
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.engine.outcome import Outcome

__all__ = ["Recorder"]

_FLUSH_EVERY_S: Final = 1.0


_MEMBERS: Final = frozenset({"number", "place", "kind", "key", "status"})


def _is_ours(head: bytes) -> bool:
    """Whether a file begins with an outcome."""
    line, end, _ = head.partition(b"\n")
    try:
        return not end or set(json.loads(line)) >= _MEMBERS
    except (ValueError, TypeError):
        return False


class Recorder:
    """Writes outcomes to a file, if one is given; a full disk ends in `error`, not in a lost run."""

    def __init__(self, path: str | None, manifest: str, *, force: bool) -> None:
        self.error: str | None = None
        self._path = path
        self._manifest = manifest
        self._force = force
        self._file: BinaryIO | None = None
        self._fresh = False
        self._flushed_s = time.monotonic()

    def __enter__(self) -> Self:
        """Open the file, so that a bad name shows before anything is sent.

        Raises:
            UsageError: It cannot be written, or is the manifest.
        """
        if self._path is None:
            return self
        from encord_async.manifest.excel import sheet_of

        with writing(f"--outcomes {self._path}:"):
            path = Path(self._path)
            if self._manifest != "-" and path.exists() and path.samefile(sheet_of(self._manifest)[0]):
                raise UsageError(f"--outcomes {path} is the manifest itself; give another file")
            refuse_others(self._path, _is_ours, force=self._force)
            # Emptied only when the first entry has ended: until then the last run's outcomes may be all there is.
            self._file = opened(self._path)
            self._fresh = path.is_file()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._try(self._file.close)

    def write(self, outcome: "Outcome") -> str | None:
        """Write one line; the answer is a reason to stop, if it cannot be written."""
        file = self._file
        if file is None or self.error is not None or self._try(lambda: self._put(file, outcome)):
            return None
        return "the outcomes cannot be written"

    def _put(self, file: BinaryIO, outcome: "Outcome") -> None:
        if self._fresh:
            self._fresh = False
            file.truncate(0)
        file.write(json.dumps(told_in(outcome.as_json())).encode() + b"\n")
        if time.monotonic() - self._flushed_s >= _FLUSH_EVERY_S:
            self._flushed_s = time.monotonic()
            file.flush()

    def _try(self, action: "Callable[[], None]") -> bool:
        """Whether it went well."""
        try:
            action()
        except OSError as error:
            self.error = f"--outcomes {self._path}: cannot be written: {error.strerror or error}"
        return self.error is None
