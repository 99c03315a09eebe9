"""What an error means to whoever runs a command: the exit code, one message, and a hint. Pure; prints nothing."""

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from encord_async.errors import (
    AuthenticationError,
    EncordError,
    ForbiddenError,
    ManifestError,
    NotFoundError,
    NotSentError,
    PayloadTooLargeError,
    ThrottledError,
    UncertainError,
    UsageError,
)
from encord_async.redaction import HIDDEN_KEY
from encord_async.redaction import redacted as _redacted

if TYPE_CHECKING:
    from encord_async.engine.outcome import Summary

__all__ = ["ExitCode", "as_json", "code_of", "exit_code", "hint", "redacted", "sole", "told", "told_in"]


class ExitCode(IntEnum):
    """How a command ends; of several that apply, the highest."""

    DONE = 0
    """The account holds what was wished for."""
    FAILED = 1
    """Some of it failed, or was not tried because of that."""
    USAGE = 2
    """Bad usage, a bad manifest, an unusable key or a journal in use. Nothing was sent; but a bad entry that comes late
    in a stream stops only what follows."""
    IN_DOUBT = 3
    """Some of it may have happened, and could not be found out."""
    NOT_AUTHENTICATED = 4
    """The service does not accept the key."""
    STOPPED = 5
    """Stopped by `--fail-fast` or `--max-failures`."""
    WOULD_CHANGE = 6
    """`plan --detailed-exit-code`: something would change."""
    BUG = 70
    """A bug in encord-async (`EX_SOFTWARE` of sysexits.h)."""
    INTERRUPTED = 130
    """Interrupted: the first Ctrl-C lets requests under way end, the second stops at once."""


_OPTION: Final = re.compile(
    r"\b(?P<name>existing|dataset_api|max_batch|stamp|skip_invalid|only|exclude|replace_roles|update_ontologies"
    r"|prune_data|prune|retire)"
    r'=(?P<value>"[^"]*"|\w+)'
)
"""How messages spell options, see `errors.spelt`."""
_LIMITS: Final = frozenset({"fail_fast", "max_failures", "deadline"})
"""Values of `Summary.stopped_by` that a limit of the caller's stands behind."""


def exit_code(summary: "Summary | None", failure: EncordError | None, *, interrupted: bool) -> ExitCode:
    """The exit code of a run: the highest of those that apply.

    Args:
        summary: The sums, if the run got that far.
        failure: What stopped the run, or kept it from starting.
        interrupted: Whether a signal asked it to stop.
    """
    codes = {ExitCode.DONE}
    if interrupted:
        codes.add(ExitCode.INTERRUPTED)
    if failure is not None:
        codes.add(_code_in_a_run(failure, summary))
    if summary is not None:
        sums = (summary.by_status, summary.removals_by_status)
        counts = {status.value for some in sums for status, count in some.items() if count}
        if counts & {"failed", "blocked", "cancelled"}:
            codes.add(ExitCode.FAILED)
        if "in_doubt" in counts:
            codes.add(ExitCode.IN_DOUBT)
        if summary.stopped_by in _LIMITS:
            codes.add(ExitCode.STOPPED)
    return max(codes)


def _code_in_a_run(failure: EncordError, summary: "Summary | None") -> ExitCode:
    code = code_of(failure)
    sent = summary is not None and (summary.requests or summary.uncounted)
    if code is not ExitCode.USAGE or not sent or isinstance(failure, ManifestError):
        return code
    # "Bad usage, nothing was sent" is not so any more. Of a stream whose entries turn bad everybody is told so.
    return ExitCode.FAILED


def code_of(error: EncordError) -> ExitCode:
    """The exit code of a single operation that ended in *error*."""
    match error:
        case AuthenticationError():
            return ExitCode.NOT_AUTHENTICATED
        case UsageError():
            return ExitCode.USAGE
        case UncertainError():
            return ExitCode.IN_DOUBT
        case _:
            return ExitCode.FAILED


def hint(error: EncordError) -> str:
    """What to do about *error*, as far as its message does not say so; empty if it does."""
    match error:
        case AuthenticationError():
            return (
                "register the public half of this key with Encord, and check that --domain is the region of the "
                "account and this machine's clock right, which 'encord-async doctor' compares"
            )
        case ForbiddenError():
            return _who_may(error.operation or "")
        case NotFoundError():
            return "check the hash, and that --domain is the region of the account"
        case NotSentError():
            return "check --domain, the network and the proxy; nothing was sent"
        case PayloadTooLargeError():
            return "use a smaller --max-batch"
        case ThrottledError():
            return "try again later, or use a lower --concurrency"
        case UncertainError() if error.operation is not None:
            # That of a whole run names no operation, and says to run again: the journal has what was sent.
            return "look in the account whether it happened before you try again"
        case _:
            return ""


def _who_may(operation: str) -> str:
    """Who *operation* is not forbidden to."""
    if "/groups/{group}" in operation:
        return "the user of this key has to manage the group, or be Admin of the organisation"
    if "organisation" in operation:
        return "the user of this key has to be Admin of the organisation, or in a role that may do this"
    return "the user of this key has to be admin of the project, and of each dataset to attach"


def redacted(text: str) -> str:
    """*text* without secrets; if one is the text of a key that was given where something else belongs, that is said."""
    shown = _redacted(text)
    if HIDDEN_KEY in shown:
        return "an argument holds the text of a private key; give the path of its file with --ssh-key-file"
    return shown


def told(text: str) -> str:
    """A message as it is read on the command line: without secrets, and with options as they are given there."""
    return _OPTION.sub(lambda found: _on_the_command_line(found["name"], found["value"]), redacted(text))


def told_in(shown: Mapping[str, object]) -> dict[str, object]:
    """What programs read of an outcome, an action or a difference, with messages as `told`; titles stay as they are."""
    return {name: _told_member(name, value) for name, value in shown.items()}


def _told_member(name: str, value: object) -> object:
    match name, value:
        case "reason" | "message", str():
            return told(value)
        case "error", Mapping():
            return told_in(value)
        case _:
            return value


def _on_the_command_line(name: str, value: str) -> str:
    option = f"--{name.replace('_', '-')}"
    if value in {"True", "False"}:
        return option if value == "True" else f"no {option}"
    plain = value.strip('"')
    return f"{option} {plain}"


def sole(error: BaseException) -> BaseException:
    """What a task group wrapped up, if it is one error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def as_json(error: EncordError) -> dict[str, object]:
    """*error* as the member ``error`` of what a command prints."""
    # The lines after the first list problems, which have a member of their own.
    message = error.message.partition("\n")[0].rstrip(":") if isinstance(error, ManifestError) else error.message
    shown: dict[str, object] = {"type": type(error).__name__, "message": told(message)}
    facts = {"code": error.code, "http_status": error.http_status, "trace_id": error.trace_id, "hint": hint(error)}
    shown |= {name: value for name, value in facts.items() if value}
    return shown | {"applied": error.applied}
