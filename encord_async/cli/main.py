"""The group of all verbs: turns a command line into an exit code. What a verb does stands in its own module."""

import os
import sys
import warnings
from collections.abc import Sequence

import click

from encord_async.cli.apply import apply
from encord_async.cli.demo import demo
from encord_async.cli.doctor import doctor
from encord_async.cli.emulator import emulator
from encord_async.cli.expand import expand
from encord_async.cli.export import export
from encord_async.cli.failures import ExitCode, redacted
from encord_async.cli.init import init
from encord_async.cli.journal import journal
from encord_async.cli.journal_import import import_
from encord_async.cli.journal_rebind import rebind
from encord_async.cli.journal_restore import restore
from encord_async.cli.output import Output
from encord_async.cli.outputs import outputs
from encord_async.cli.plan import plan
from encord_async.cli.project import project
from encord_async.cli.report import report
from encord_async.cli.schema import schema
from encord_async.cli.settle import settle
from encord_async.cli.status import status
from encord_async.cli.validate import validate
from encord_async.cli.verify import verify

__all__ = ["cli", "run"]


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's shape
    if not value or context.resilient_parsing:
        return
    import platform
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    click.echo(f"encord-async {version('encord-async')}")
    click.echo(f"Python {platform.python_version()}")
    names = {re.split(r"[^\w.-]", text)[0] for text in requires("encord-async") or ()}
    # An extra may ask for another one of ours.
    for name in sorted(names - {"encord-async"}):
        try:
            click.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} (not installed)")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the versions of encord-async, Python and the libraries that it uses, and exit.",
)
def cli() -> None:
    """Provision Encord in bulk: projects, datasets, users and API keys, as a manifest lists them, in parallel.

    A manifest is a file with one wish an entry: JSON lines (.jsonl), a YAML list (.yaml) or a table (.csv, or .xlsx
    with the extra xlsx; 'teams.xlsx#Sheet' names a sheet). See 'encord-async init' and 'encord-async schema', and
    'encord-async demo' for a run that needs no account.

    \b
    Examples:
      encord-async demo                         see it work, on a local API of its own
      encord-async init                         write a manifest to begin with
      encord-async validate programme.jsonl     find mistakes; needs no network and no key
      encord-async plan programme.jsonl         see what apply would do; only reads
      encord-async apply programme.jsonl        do it
      encord-async report programme.jsonl.journal
                                                see what it did, as one page for the browser
      encord-async verify programme.jsonl       read it all back and say what differs
      encord-async export -o account.jsonl      write an existing account down as a manifest
      encord-async doctor                       see whether the service is as this program assumes
      encord-async project create "Cats"        one operation

    \b
    Authentication: the OpenSSH Ed25519 key of an Encord user, from --ssh-key-file, ENCORD_SSH_KEY_FILE (a path)
    or ENCORD_SSH_KEY (its text); a passphrase is asked for, or taken from ENCORD_SSH_KEY_PASSPHRASE.

    \b
    Exit codes, of several that apply the highest:
        0  done: the account holds what was wished for
        1  some of it failed, or was not tried because of that
        2  bad usage, a bad manifest or an unusable key; nothing was sent (a bad entry in a stream stops what follows)
        3  some may have happened, and it could not be found out
        4  the service does not accept the key
        5  stopped by --fail-fast or --max-failures
        6  plan --detailed-exit-code: something would change
       70  a bug in encord-async
      130  interrupted: the first Ctrl-C lets requests under way end, the second stops at once

    \b
    Shell completion: eval "$(_ENCORD_ASYNC_COMPLETE=bash_source encord-async)"; also zsh_source, fish_source.
    """


for _verb in (
    demo,
    init,
    validate,
    expand,
    plan,
    apply,
    status,
    settle,
    report,
    outputs,
    journal,
    verify,
    export,
    schema,
    doctor,
    emulator,
    project,
):
    cli.add_command(_verb)
for _verb in (import_, rebind, restore):
    journal.add_command(_verb)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, that of the process if none is given, and return its exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    # It says of drop-down lists, and of much else that is no cell, that it does not keep them.
    warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
    for stream in (sys.stdout, sys.stderr):
        # A title in another script must not end a run where the terminal cannot show it.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args, prog_name="encord-async", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return _report_usage(error, args)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    return int(code or 0)


def _report_usage(error: click.ClickException, args: Sequence[str]) -> int:
    output = Output.of(json="--json" in args, no_color="--no-color" in args, verbose=False)
    message = redacted(error.format_message())
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    output.result({"error": {"type": "UsageError", "message": message, "applied": "not_applied"}})
    context = getattr(error, "ctx", None)
    # click lists the values of an option on lines of their own.
    output.error(
        " ".join(line.strip() for line in message.splitlines()),
        f"see '{context.command_path} --help'" if context is not None else "",
    )
    return ExitCode.USAGE
