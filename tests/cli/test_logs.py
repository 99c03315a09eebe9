"""The log on standard error."""

import errno
import io
import json
import logging

import pytest

from encord_async.cli.logs import logging_to_stderr

LOGGER = logging.getLogger("encord_async")


def test_people_read_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line of the log has time, level and text, and nothing for the terminal to obey."""
    with logging_to_stderr("text", verbose=True):
        LOGGER.debug("again in %.1f s: %s", 0.5, "lost\x1b[2J")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("debug   again in 0.5 s: lost\\x1b[2J\n")


def test_no_line_of_the_log_is_forged(capsys: pytest.CaptureFixture[str]) -> None:
    """A hash or an error's text with a line break in it is no second line of the log."""
    forged = "x\n12:00:00.000 info    created project @cats"
    with logging_to_stderr("text", verbose=True):
        LOGGER.debug("created %s", forged)
        try:
            raise ValueError(forged)
        except ValueError:
            LOGGER.exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if not line.startswith("  ")]) == 2


def test_programs_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --log-format json each line is an object, also that of an error with a traceback."""
    with logging_to_stderr("json", verbose=True):
        LOGGER.info("one")
        try:
            raise ValueError("two")
        except ValueError:
            LOGGER.exception("three")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["level"] == "info"
    assert first["message"] == "one"
    assert first["logger"] == "encord_async"
    assert "ValueError: two" in second["exception"]


def test_only_warnings_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --verbose the log shows warnings only; afterwards the logger is as it was."""
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    with logging_to_stderr("text", verbose=False):
        LOGGER.info("small")
        LOGGER.warning("large")
    assert "small" not in (err := capsys.readouterr().err)
    assert "large" in err
    assert (LOGGER.level, LOGGER.propagate, LOGGER.handlers) == before


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stream", [_Full(), None], ids=["full", "closed"])
def test_a_log_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None) -> None:
    """A disk that is full under the log does not end the work that is logged, and nor does a log that is closed."""
    monkeypatch.setattr("sys.stderr", stream)
    with logging_to_stderr("text", verbose=False):
        LOGGER.warning("lost")


def test_no_key_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The text of a key does not get into the log."""
    with logging_to_stderr("json", verbose=True):
        LOGGER.info("given: -----BEGIN OPENSSH PRIVATE KEY----- CANARY")
    assert "CANARY" not in capsys.readouterr().err
