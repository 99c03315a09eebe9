"""Options that several verbs share, and what they stand for: how to speak, and with whom.

The key is read here, and asked for its passphrase if need be. No request is sent here.
"""

import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
from click.shell_completion import CompletionItem

from encord_async.cli.failures import ExitCode, as_json, code_of, hint, redacted, sole, told
from encord_async.cli.interrupts import InterruptedUnsent, listening
from encord_async.cli.logs import logging_to_stderr
from encord_async.cli.output import Output, many, on_terminal
from encord_async.errors import EncordError, KeyFormatError, ManifestError, SettingsError, UsageError
from encord_async.secrecy import Secret, sealed

if TYPE_CHECKING:
    from encord_async.client import EncordSession
    from encord_async.manifest.place import Problem
    from encord_async.manifest.selection import Included, NotChosen
    from encord_async.protocol.signing import APIKey, SSHKey
    from encord_async.session.observer import Observer
    from encord_async.session.settings import Settings

__all__ = [
    "Finite",
    "Service",
    "changing_options",
    "concurrency_option",
    "dataset_api_option",
    "existing_option",
    "file_names",
    "file_option",
    "journal_argument",
    "manifest_argument",
    "max_batch_option",
    "max_failures_option",
    "output_options",
    "planning_options",
    "print_included",
    "print_warnings",
    "problem_json",
    "report",
    "report_interrupt",
    "run_journal_option",
    "selection_options",
    "service_options",
    "skip_invalid_option",
    "stamp_option",
]

Verb: TypeAlias = Callable[..., int]


def file_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a path with what lies there."""
    return [CompletionItem(incomplete, type="file")]


API_KEY: Final = "ENCORD_API_KEY"
_SHOWN_PROBLEMS: Final = 100
_SHOWN_INCLUDED: Final = 3


def file_option(*names: str, metavar: str = "FILE", **more: Any) -> Callable[[Verb], Verb]:
    """An option that names a file; shells complete it. An empty name is bad usage, and not as if none was given."""
    more.setdefault("callback", _named)
    return click.option(*names, metavar=metavar, shell_complete=file_names, **more)


def _named(_: click.Context, _option: click.Parameter, value: object) -> object:
    # An unset variable of a script: its run would go on without its journal.
    if value == "":
        raise click.BadParameter("it is empty; give a name, or leave the option out")
    return value


class Whole(click.IntRange):
    """A whole number, by a name that people know it by."""

    name = "whole number"


class Finite(click.FloatRange):
    """A number that is one: for click, ``nan`` lies in any range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """*value* as a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


_OUTPUT: Final = (
    click.option("--json", "json_", is_flag=True, help="Print one JSON object on standard output, nothing else."),
    click.option("-v", "--verbose", is_flag=True, help="Log each step to standard error."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the log is written: for people, or a JSON object a line.",
    ),
    click.option("--no-color", is_flag=True, help="No colours, as with NO_COLOR in the environment."),
)

_SERVICE: Final = (
    click.option(
        "--domain",
        envvar="ENCORD_DOMAIN",
        metavar="URL",
        show_envvar=True,
        help="Address of the service.  [default: https://api.encord.com]",
    ),
    file_option(
        "--ssh-key-file",
        metavar="PATH",
        help="OpenSSH Ed25519 private key of the user.  [default: ENCORD_SSH_KEY_FILE, else the key in ENCORD_SSH_KEY]",
    ),
    file_option(
        "--ca-bundle",
        envvar="REQUESTS_CA_BUNDLE",
        metavar="PATH",
        show_envvar=True,
        help="PEM file of certificate authorities to trust.  [default: those of the system]",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=Finite(min=0, min_open=True),
        metavar="SECONDS",
        help="Longest wait for one reply.  [default: 180]",
    ),
)

_MANIFEST: Final = (
    click.argument("manifest", metavar="MANIFEST", shell_complete=file_names),
    click.option(
        "--var",
        "assigned",
        multiple=True,
        metavar="NAME=VALUE",
        help="A variable of MANIFEST; repeatable. The first of these that has it counts: --var, --var-file, "
        "ENCORD_VAR_NAME in the environment, MANIFEST itself.",
    ),
    file_option(
        "--var-file",
        "var_files",
        multiple=True,
        help="More variables of MANIFEST, in YAML or JSON. Of several files the last one counts.",
    ),
)

journal_argument: Final = click.argument("journal", metavar="JOURNAL", shell_complete=file_names)

existing_option: Final = click.option(
    "--existing",
    type=click.Choice(["adopt", "create", "fail"]),
    default="adopt",
    show_default=True,
    help="If a project or dataset of the same title and description is there: take it as ours, create another, "
    "or let the entry fail.",
)

dataset_api_option: Final = click.option(
    "--dataset-api",
    type=click.Choice(["rest", "envelope"]),
    default="rest",
    show_default=True,
    help="API over which datasets are created and listed. A dataset whose data do not lie at Encord is always created "
    "over the envelope API: only that API can name another storage.",
)

run_journal_option: Final = file_option(
    "--journal",
    metavar="PATH|URL",
    help="Where the run is written down: a file, or postgresql://user@host/database?job=NAME.  "
    "[default: MANIFEST.journal]",
)

concurrency_option: Final = click.option(
    "--concurrency", type=Whole(min=1), default=32, show_default=True, help="Most requests in flight at once."
)

max_batch_option: Final = click.option(
    "--max-batch",
    type=Whole(min=1),
    default=1000,
    show_default=True,
    help="Most users or datasets in one request.",
)


def _failures(_: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from encord_async.engine.options import FailureLimit

    if value is not None:
        try:
            FailureLimit.parse(value)
        except UsageError as error:
            raise click.BadParameter(error.message) from None
    return value


max_failures_option: Final = click.option(
    "--max-failures",
    metavar="N|P%",
    callback=_failures,
    help="Stop when more entries than this have failed; a share counts once 100 have ended.",
)

stamp_option: Final = click.option(
    "--stamp", is_flag=True, help="Put a short mark of the entry into descriptions, so that look-ups are exact."
)

skip_invalid_option: Final = click.option(
    "--skip-invalid", is_flag=True, help="Provision the good entries of a manifest that has bad ones."
)

_CHANGING: Final = (
    click.option(
        "--replace-roles",
        is_flag=True,
        help="Take out users who hold another role than wanted, and add them again: the API cannot change a role. "
        "Never an Admin, who may be the account itself.",
    ),
    click.option(
        "--update-ontologies",
        is_flag=True,
        help="Overwrite title, description and structure of ontologies that are otherwise than MANIFEST has them, by "
        "whoever they were changed; 'plan' says what is lost. Reads each of them.",
    ),
    click.option(
        "--prune",
        is_flag=True,
        help="After the manifest, take out what the things that it has entries for hold and no entry wants there: "
        "users, groups, datasets and tags, as 'verify --fix --prune' does. Reads all of these things.",
    ),
    click.option(
        "--retire",
        is_flag=True,
        help="After the manifest, take users, groups and datasets off what earlier runs made and the manifest no "
        "longer has, and set the status of projects among it to archived. Asks first.",
    ),
    click.option(
        "--prune-data",
        is_flag=True,
        help="After the manifest, remove the data rows of its datasets that it names data for and no entry wants. "
        "Their labels are lost for good. 'plan' names the number, and 'apply' wants it typed, or --yes-prune-data.",
    ),
)

_SELECTION: Final = (
    click.option(
        "--only",
        multiple=True,
        metavar="KEY|GLOB|tag=NAME",
        help="Only these entries, with all that they refer to; may be given several times. An entry without a "
        "key goes with the project that it is about; one with a key goes by that.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="KEY|GLOB|tag=NAME",
        help="The same for entries that are left out; nothing that is left may refer to them.",
    ),
)

_PLANNING: Final = (
    run_journal_option,
    existing_option,
    dataset_api_option,
    max_batch_option,
    stamp_option,
    skip_invalid_option,
    *_CHANGING,
)


def manifest_argument(verb: Verb) -> Verb:
    """MANIFEST and its variables: the verb gets them together as ``manifest``, a `ManifestFile`."""

    @functools.wraps(verb)
    def wrapped(*, manifest: str, assigned: Sequence[str], var_files: Sequence[str], **rest: Any) -> int:
        from encord_async.manifest.variables import ManifestFile

        variables = {}
        for assignment in assigned:
            name, equals, value = assignment.partition("=")
            if not equals:
                raise click.BadParameter("give NAME=VALUE", param_hint="--var")
            variables[name.strip()] = value
        try:
            found = ManifestFile.at(manifest, variables, files=var_files)
        except EncordError as error:
            raise click.UsageError(str(error)) from None
        return verb(manifest=found, **rest)

    return _with(wrapped, _MANIFEST)


def changing_options(verb: Verb) -> Verb:
    """What a run may change of what is there."""
    return _with(verb, _CHANGING)


def planning_options(verb: Verb) -> Verb:
    """What decides what a run does: the verb gets its ``journal``, and ``options``, which makes the rest."""

    @functools.wraps(verb)
    def wrapped(**given: Any) -> int:
        from encord_async.engine.options import CHANGES, Options

        names = ("existing", "dataset_api", "max_batch", "stamp", "skip_invalid", "selection", *CHANGES)
        chosen = {name: given.pop(name) for name in names}
        return verb(options=lambda: Options.chosen(dict(chosen)), **given)

    return _with(selection_options(wrapped), _PLANNING)


def selection_options(verb: Verb) -> Verb:
    """Which entries a verb is about; it gets that as ``selection``."""

    @functools.wraps(verb)
    def wrapped(*, only: Sequence[str], exclude: Sequence[str], **rest: Any) -> int:
        from encord_async.manifest.selection import Selection

        return verb(selection=Selection.of(only, exclude), **rest)

    return _with(wrapped, _SELECTION)


def print_included(output: Output, included: "Sequence[Included]", not_chosen: "NotChosen") -> None:
    """Say on standard error which entries nobody has chosen, and are needed; and which one may miss.

    With ``--verbose`` of each of the former why.
    """
    if len(included) == 1 or output.verbose:
        for one in included:
            output.say(redacted(str(one)))
    elif included:
        named = ", ".join(f"{one.named} (by {one.because})" for one in included[:_SHOWN_INCLUDED])
        more = f" and {len(included) - _SHOWN_INCLUDED:,} more; -v lists them" * (len(included) > _SHOWN_INCLUDED)
        output.say(redacted(f"{len(included):,} entries are included because others refer to them: {named}{more}"))
    if not_chosen.number:
        number = many(not_chosen.number, "entry", "entries")
        what = "is not chosen, for its key" if not_chosen.number == 1 else "are not chosen, for their keys"
        more = f" and {not_chosen.number - len(not_chosen.first):,} more" * (not_chosen.number > len(not_chosen.first))
        named = ", ".join(not_chosen.first)
        fits = "fits" if not_chosen.number == 1 else "fit"
        output.say(redacted(f"{number} about what is chosen {what} {fits} no --only: {named}{more}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Whom to talk to, and as whom."""

    domain: str | None = None
    ssh_key_file: str | None = None
    ca_bundle: str | None = None
    timeout_s: float | None = None

    def sessions(
        self,
        *,
        concurrency: int | None = None,
        max_rate_per_s: float | None = None,
        use_api_key: bool = False,
        observer: "Observer[Any] | None" = None,
    ) -> "Callable[[], EncordSession]":
        """Makes sessions that are not open yet; the key is read once, and its passphrase asked for if need be.

        Raises:
            KeyFormatError: There is no key, or it cannot be used.
            SettingsError: A setting cannot work.
        """
        from encord_async.client import EncordSession

        settings = self.settings(concurrency=concurrency, max_rate_per_s=max_rate_per_s)
        credential = _api_key() if use_api_key else self._key()
        return functools.partial(EncordSession, credential, settings, observer=observer)

    def settings(self, *, concurrency: int | None = None, max_rate_per_s: float | None = None) -> "Settings":
        """Everything about such sessions but the key.

        Raises:
            SettingsError: A setting cannot work.
        """
        from encord_async.session.settings import Settings, Timeouts

        defaults = Settings()
        return Settings(
            domain=defaults.domain if self.domain is None else self.domain,
            concurrency=defaults.concurrency if concurrency is None else concurrency,
            max_rate_per_s=max_rate_per_s,
            timeouts=defaults.timeouts if self.timeout_s is None else Timeouts(attempt_s=self.timeout_s),
            ca_bundle=None if self.ca_bundle is None else Path(self.ca_bundle),
        )

    @sealed
    def _key(self) -> "SSHKey":
        from encord_async.session.environment import ENV_PASSPHRASE, key_from_env

        load = functools.partial(key_from_env, os.environ, path=self.ssh_key_file)
        try:
            return load()
        except KeyFormatError as error:
            if "is encrypted" not in error.message:
                raise
            if not on_terminal():
                raise KeyFormatError(f"{error.message} in {ENV_PASSPHRASE}") from None
        return load(passphrase=Secret(click.prompt("Passphrase of the key", hide_input=True, err=True)))


def _api_key() -> "APIKey":
    from encord_async.protocol.signing import APIKey

    if not os.environ.get(API_KEY, "").strip():
        raise SettingsError(f"--use-api-key: {API_KEY} is not set; set it to the API key of the project")
    return APIKey(os.environ[API_KEY])


def service_options(verb: Verb) -> Verb:
    """Options of verbs that talk to the service; the verb gets them as ``service``."""

    @functools.wraps(verb)
    def wrapped(
        *, domain: str | None, ssh_key_file: str | None, ca_bundle: str | None, timeout_s: float | None, **rest: Any
    ) -> int:
        service = Service(domain=domain, ssh_key_file=ssh_key_file, ca_bundle=ca_bundle, timeout_s=timeout_s)
        return verb(service=service, **rest)

    return _with(wrapped, _SERVICE)


def output_options(verb: Verb) -> Verb:
    """Options of every verb; it gets them as ``output``, and its errors become messages and exit codes."""

    @functools.wraps(verb)
    def wrapped(*, json_: bool, verbose: bool, log_format: Any, no_color: bool, **rest: Any) -> int:
        output = Output.of(json=json_, no_color=no_color, verbose=verbose)
        with logging_to_stderr(log_format, verbose=verbose):
            return _speaking(output, lambda: verb(output=output, **rest))

    return _with(wrapped, _OUTPUT)


def _with(verb: Verb, options: tuple[Callable[[Verb], Verb], ...]) -> Verb:
    for option in reversed(options):
        verb = option(verb)
    return verb


def _speaking(output: Output, verb: Callable[[], int]) -> int:
    """Run *verb* and return its exit code; an error becomes one message, a bug a traceback with ``--verbose`` only."""
    try:
        return verb()
    except EncordError as error:
        return report(output, error)
    except (KeyboardInterrupt, click.Abort) as interrupt:
        with listening():
            # Whoever presses Ctrl-C once more does not cut off the words that the first one is due.
            return report_interrupt(output, sent=not isinstance(interrupt, InterruptedUnsent))
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the user gets a message
        inner = sole(error)
        if isinstance(inner, EncordError):
            return report(output, inner)
        if isinstance(inner, click.ClickException | click.exceptions.Exit | BrokenPipeError):
            # Those of the command line as a whole are for whoever runs it.
            raise inner from None
        return _report_bug(output, inner)


def report(output: Output, error: EncordError) -> int:
    """Say what went wrong, and return the exit code for it."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    shown: dict[str, object] = {"error": as_json(error)}
    output.result(shown | ({"problems": [problem_json(problem) for problem in problems]} if problems else {}))
    if len(problems) > 1:
        _list_problems(output, error.message, problems)
    else:
        output.error(told(str(error)), hint(error))
    return code_of(error)


def _list_problems(output: Output, message: str, problems: Sequence[object]) -> None:
    # The first line of the message counts them all, those included that nobody kept.
    output.error(f"{message.partition(chr(10))[0].rstrip(':')}; nothing was sent")
    first, more = alike(problems)
    for problem in first[:_SHOWN_PROBLEMS]:
        rows = f" (and in {many(more[problem], 'more row', 'more rows')})" if more[problem] else ""
        output.say(f"  {redacted(str(problem))}{rows}")
    if len(first) > _SHOWN_PROBLEMS:
        output.say("  ...; 'encord-async validate' lists them all")


def alike(problems: Iterable[object]) -> tuple[list[object], Counter[object]]:
    """The first of those problems that rows of one entry share, and in how many more rows each is."""
    from encord_async.manifest.place import Problem

    firsts, more, first = dict[Problem, object](), Counter[object](), list[object]()
    for problem in problems:
        shared = problem.of_all_rows if isinstance(problem, Problem) else None
        if shared is not None and shared in firsts:
            more[firsts[shared]] += 1
            continue
        first.append(problem)
        if shared is not None:
            firsts[shared] = problem
    return first, more


def problem_json(problem: object) -> dict[str, object]:
    """What is wrong with an entry, as JSON."""
    from encord_async.manifest.place import Problem

    if not isinstance(problem, Problem):
        return {"reason": redacted(str(problem))}
    place = problem.place
    shown: dict[str, object] = {"file": place.source, "line": place.line, "entry": place.number, "field": problem.field}
    if place.row is not None:
        shown["row"] = place.row
    return shown | {"reason": redacted(problem.reason), "hint": redacted(problem.hint)}


def print_warnings(output: Output, warnings: "Iterable[Problem]") -> None:
    """Say on standard error what should be known of a manifest, though nothing is wrong with it."""
    for warning in warnings:
        output.warning(redacted(str(warning)))


def report_interrupt(output: Output, *, sent: bool) -> int:
    """Say that it was interrupted, and whether what was *sent* may have changed anything; return the exit code."""
    message = "interrupted; a request that was under way may have taken effect"
    if not sent:
        message = "interrupted; nothing was sent that changes anything"
    output.result({"error": {"type": "Interrupted", "message": message}})
    output.error(message)
    return ExitCode.INTERRUPTED


def _report_bug(output: Output, error: BaseException) -> int:
    kind = type(error).__name__
    message = f"internal error ({kind}); this is a bug, please report it with the output of --verbose"
    output.result({"error": {"type": kind, "message": message}})
    if output.verbose:
        import traceback

        for line in redacted("".join(traceback.format_exception(error))).rstrip("\n").split("\n"):
            output.say(line)
    output.error(message)
    return ExitCode.BUG
