"""The log of a command, for people or for programs, on standard error. Never on standard output."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from encord_async.cli.failures import redacted
from encord_async.cli.output import plain

__all__ = ["LogFormat", "logging_to_stderr"]

LogFormat: TypeAlias = Literal["text", "json"]

_LOGGER: Final = "encord_async"


@contextmanager
def logging_to_stderr(log_format: LogFormat, *, verbose: bool) -> Iterator[None]:
    """Show what the package logs: warnings, and with *verbose* each step."""
    logger = logging.getLogger(_LOGGER)
    handler = _StderrHandler()
    handler.setFormatter(_JSONFormatter() if log_format == "json" else _TextFormatter())
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class _StderrHandler(logging.Handler):
    """Looks up standard error for each record: a progress bar puts a stream of its own there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as all handlers do: what cannot be logged must not end what is logged
            self.handleError(record)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, tz=UTC).astimezone()
        text = f"{moment:%H:%M:%S}.{record.msecs:03.0f} {record.levelname.lower():7} {redacted(record.getMessage())}"
        # Indented, so that no line of it passes for one of the log.
        more = redacted(self.formatException(record.exc_info)).split("\n") if record.exc_info else ()
        return "\n".join([plain(text), *(f"  {plain(line)}" for line in more)])


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            shown["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(shown)
