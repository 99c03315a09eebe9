"""What goes where, with colour or without, and nothing that a terminal would obey."""

import json
import os
import pty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.cli.output import Output, many, plain


@given(st.text())
def test_nothing_for_the_terminal_to_obey(text: str) -> None:
    """Whatever a title holds, the terminal gets printable characters only, and no line that is not ours."""
    assert plain(text).isprintable()


def test_printable_text_stays() -> None:
    """Titles in any script are shown as they are."""
    assert plain("Kätzchen 猫") == "Kätzchen 猫"
    assert plain("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"


def test_no_color_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR counts when it is not empty, as no-color.org says."""
    assert Output.of(json=False, no_color=False, verbose=False).colour
    monkeypatch.setenv("NO_COLOR", "")
    assert Output.of(json=False, no_color=False, verbose=False).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Output.of(json=False, no_color=False, verbose=False).colour


def test_results_and_messages_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json standard output gets the one object, however much else is said."""
    output = Output(json=True)
    output.line("for people")
    output.table([("a", 1)])
    output.say("working")
    output.error("broken", "mend it")
    output.result({"a": "é"})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": "é"}
    assert out.isascii()
    assert err == "working\nerror: broken\nhint: mend it\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_line_is_forged(capsys: pytest.CaptureFixture[str], end: str) -> None:
    """A title or hash with a line break in it stays in its line, whichever way it is shown."""
    output, title = Output(), f"Cats{end}m.jsonl:2  create  project  Dogs"
    output.line(title)
    output.say(title, bold=True)
    output.error(title, title)
    output.table([("m.jsonl:1", "create", title)], head=["entry", "action", ""])
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), len(err.splitlines())) == (3, 3)


def test_a_table_in_a_pipe_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe a row stays one line, numbers are aligned, and no blanks trail."""
    Output().table([("x" * 200, 1234567), ("[b]y[/b]", 8)], head=["what", "number"], right=[1])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1] == "x" * 200 + "  1,234,567"
    assert lines[2].startswith("[b]y[/b] ")
    assert lines[2].endswith("        8")
    assert not any(line.endswith(" ") for line in lines)


def test_numbers_have_their_nouns() -> None:
    """One entry, two entries."""
    assert many(1, "entry", "entries") == "1 entry"
    assert many(2000, "entry", "entries") == "2,000 entries"


def test_hashes_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns the cells beside a hash are broken, and the hash never."""
    found = "00000000-0000-4000-8000-000000000001"
    master, slave = pty.openpty()
    monkeypatch.setenv("COLUMNS", "80")
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        Output().table([("programme.jsonl:1", "a long title of a thing that needs some room " * 2, f"in ({found})")])
        shown = os.read(master, 4096).decode()
    os.close(master)
    assert f"({found})" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
