"""What goes where, with colour or without, and nothing that a terminal would obey."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.cli.output import Output, many, plain


@given(st.text())
def test_nothing_for_the_terminal_to_obey(text: str) -> None:
    """Whatever a title holds, the terminal gets printable characters and line breaks only."""
    shown = plain(text)
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\x1b" not in shown


def test_printable_text_stays() -> None:
    """Titles in any script are shown as they are."""
    assert plain("Kätzchen 猫") == "Kätzchen 猫"
    assert plain("a\x1b[31mb\nc") == "a\\x1b[31mb\nc"


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
