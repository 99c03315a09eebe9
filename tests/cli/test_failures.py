"""Which exit code, which hint, and that no key is repeated."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.cli.failures import ExitCode, as_json, code_of, exit_code, hint, redacted, sole, told
from encord_async.engine.options import CHANGES
from encord_async.engine.outcome import Status, Summary
from encord_async.errors import (
    AuthenticationError,
    ConflictError,
    EncordError,
    ForbiddenError,
    JournalError,
    KeyFormatError,
    ManifestError,
    NoReplyError,
    NotFoundError,
    NotSentError,
    ReplyShapeError,
    UncertainError,
    spelt,
)

TABLE: list[tuple[dict[Status, int], str | None, EncordError | None, bool, int]] = [
    ({}, None, None, False, 0),
    ({Status.CREATED: 1, Status.ADOPTED: 1, Status.UPDATED: 1, Status.UNCHANGED: 1}, None, None, False, 0),
    ({Status.CREATED: 1, Status.FAILED: 1}, None, None, False, 1),
    ({Status.BLOCKED: 1}, None, None, False, 1),
    ({Status.FAILED: 0, Status.CREATED: 1}, None, None, False, 0),
    ({Status.FAILED: 1, Status.IN_DOUBT: 1}, None, None, False, 3),
    ({Status.CREATED: 1, Status.CANCELLED: 2}, "a bad entry in the manifest", ManifestError("x"), False, 2),
    ({Status.FAILED: 1}, None, ManifestError("x"), False, 2),
    ({Status.IN_DOUBT: 1}, None, ManifestError("x"), False, 3),
    ({Status.CANCELLED: 9}, "it cannot go on", AuthenticationError("x"), False, 4),
    ({Status.FAILED: 1, Status.CANCELLED: 9}, "fail_fast", None, False, 5),
    ({Status.IN_DOUBT: 1, Status.CANCELLED: 9}, "max_failures", None, False, 5),
    ({Status.CANCELLED: 9}, "it cannot go on", JournalError("x"), False, 2),
    ({Status.CANCELLED: 9}, "interrupted", None, True, 130),
    ({Status.FAILED: 1}, "fail_fast", AuthenticationError("x"), True, 130),
]


@pytest.mark.parametrize(("counts", "stopped_by", "failure", "interrupted", "code"), TABLE)
def test_exit_codes(
    counts: dict[Status, int], stopped_by: str | None, failure: EncordError | None, interrupted: bool, code: int
) -> None:
    """Of several exit codes that apply, the highest is taken."""
    summary = Summary(entries=sum(counts.values()), by_status=counts, stopped_by=stopped_by)
    assert exit_code(summary, failure, interrupted=interrupted) == code


def test_two_means_that_nothing_was_sent() -> None:
    """A journal that cannot be written any more is no bad usage once something was sent; a bad entry in a stream is."""
    summary = Summary(entries=3, by_status={Status.CREATED: 2, Status.FAILED: 1}, requests=3)
    assert exit_code(summary, JournalError("the disk is full"), interrupted=False) == 1
    assert exit_code(summary, ManifestError("x"), interrupted=False) == 2
    assert exit_code(replace(summary, requests=0), JournalError("x"), interrupted=False) == 2
    assert exit_code(replace(summary, requests=0, uncounted=1), JournalError("x"), interrupted=False) == 1


def test_what_is_in_doubt_of_a_run_is_found_out_by_the_next() -> None:
    """To look in the account is for who has no journal; of a run the error itself says what to do."""
    assert hint(UncertainError("the scheduler is gone; running again finds out")) == ""
    assert "look in the account" in hint(UncertainError("no answer", operation="project.POST"))


@given(st.dictionaries(st.sampled_from(Status), st.integers(0, 3)), st.booleans())
def test_zero_means_satisfied(counts: dict[Status, int], interrupted: bool) -> None:
    """The exit code is 0 exactly when every entry is satisfied and nobody interrupted."""
    summary = Summary(entries=sum(counts.values()), by_status=counts)
    good = not interrupted and all(status.satisfied or not count for status, count in counts.items())
    assert (exit_code(summary, None, interrupted=interrupted) == 0) is good
    removals = Summary(removals=sum(counts.values()), removals_by_status=counts)
    assert exit_code(removals, None, interrupted=interrupted) == exit_code(summary, None, interrupted=interrupted)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuthenticationError("x"), ExitCode.NOT_AUTHENTICATED),
        (KeyFormatError("x"), ExitCode.USAGE),
        (NoReplyError("x"), ExitCode.IN_DOUBT),
        (NotFoundError("x"), ExitCode.FAILED),
        (NotSentError("x"), ExitCode.FAILED),
        (ReplyShapeError("x"), ExitCode.FAILED),
    ],
)
def test_code_of_one_operation(error: EncordError, code: ExitCode) -> None:
    """A single operation ends in the code that says whether it may have happened."""
    assert code_of(error) is code


def test_hints_say_what_to_do() -> None:
    """A key that is not accepted comes with the two usual causes."""
    assert "region" in hint(AuthenticationError("x"))
    assert "admin of the project" in hint(ForbiddenError("x", operation="v2/projects/{project}/groups.POST"))
    assert "manage the group" in hint(ForbiddenError("x", operation="v2/organisation/groups/{group}/users.POST"))
    assert "Admin of the organisation" in hint(ForbiddenError("x", operation="v2/organisation/users.POST"))
    assert hint(KeyFormatError("x")) == ""


@pytest.mark.parametrize(
    "text",
    ["no file -----BEGIN OPENSSH PRIVATE KEY-----\nabc", "Got 'b3BlbnNzaC1rZXktdjEAAAA'", "PuTTY-User-Key-File-2: x"],
)
def test_key_text_is_not_repeated(text: str) -> None:
    """A message that quotes a key is replaced, and says where the key belongs."""
    assert redacted(text).startswith("an argument holds the text of a private key")
    assert redacted("no file cats.jsonl") == "no file cats.jsonl"


def test_an_error_as_json() -> None:
    """Programs get type, message, code and trace, and whether it may have happened."""
    error = NotFoundError("no such project", code="RESOURCE_NOT_FOUND_ERROR", http_status=200, trace_id="t")
    shown = as_json(error)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["type"] == "NotFoundError"
    assert shown["code"] == "RESOURCE_NOT_FOUND_ERROR"
    assert shown["applied"] == "not_applied"


def test_a_single_error_is_unwrapped() -> None:
    """An error that task groups wrapped up is reported as itself; several stay together."""
    inner, other = ValueError("a"), ValueError("b")
    assert sole(ExceptionGroup("x", [ExceptionGroup("y", [inner])])) is inner
    both = ExceptionGroup("x", [inner, other])
    assert sole(both) is both


def test_options_are_spelt_as_they_are_given() -> None:
    """A message that names an option in Python names it on the command line as it is given there."""
    error = ConflictError(f"use {spelt('existing', 'create')}, or {spelt('stamp', True)}, not {spelt('stamp', False)}")
    assert str(error) == 'use existing="create", or stamp=True, not stamp=False'
    assert told(str(error)) == "use --existing create, or --stamp, not no --stamp"


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_run_may_change_is_spelt_as_on_the_command_line(name: str) -> None:
    """Each of these options is named by some refusal."""
    assert told(f"or use {spelt(name, True)} for that") == f"or use --{name.replace('_', '-')} for that"
