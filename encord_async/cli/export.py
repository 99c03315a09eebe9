"""``encord-async export``: writes the account down as a manifest. Sends nothing but reads, and writes down no key."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from encord_async.cli.entries import entry_text, format_for, format_option
from encord_async.cli.failures import ExitCode, redacted
from encord_async.cli.interrupts import run
from encord_async.cli.options import (
    Service,
    concurrency_option,
    file_option,
    output_options,
    print_included,
    selection_options,
    service_options,
)
from encord_async.cli.outfile import force_option, refuse_others, whole
from encord_async.cli.output import Output, many
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.export import Exported, LeftOut
    from encord_async.kinds.entry import Entry
    from encord_async.manifest.selection import Selection

__all__ = ["export"]

_KEPT: Final = 1000
_SHOWN: Final = 20


_HELP: Final = """\
Write the account down as a manifest: the datasets, ontologies and projects that it is admin of,
with the users and groups of each, the datasets, tags and status of each project and its API keys by title and scopes,
and the users and groups of the organisation. The keys themselves are not written. Only reads are sent.

Entries get keys made of their titles, in the order in which things were made. Workflows are not written. The files of
folders, and which datasets they are linked to, are written with --items. Users are written with their roles, the
account itself among them; what the service does not list is left out, and that is said. Datasets, groups and
ontologies that are not the account's own stand in projects by their hashes, which another account may not know.

'apply' makes the users of the organisation users of another one, too: who has no account gets one, and a mail. For
those who are users of it already nothing changes. Only an Admin of the organisation may add users to it. To add
nobody to an organisation, leave out the users, or the organisation.

Things of the same title and description are each written down. 'apply' refuses them unless --stamp, or the policy
(twins = true), lets them pass; an account that holds none of them gets them all then. Where several are there
already, 'apply' cannot tell which is meant, and such entries fail, marked AMBIGUOUS: refer to them by their hashes
instead, or give 'apply' --existing create to make others.

Without ontologies each project gets a new, empty one. In the last example --domain and the key of the second
command are those of the other account.

\b
Examples:
  encord-async export -o account.jsonl
  encord-async export -o account.yaml
  encord-async export --only 'cats*' -o cats.jsonl
  encord-async export --items --tasks -o account.jsonl
  encord-async export --without-ontologies --without-users -o structure.jsonl
  encord-async export --without-organisation | encord-async apply - --yes --domain URL --ssh-key-file OTHER_KEY

Exit codes: 0 written, 1 the account cannot be read, 2 an unusable key, or FILE cannot be written,
4 the service does not accept the key.
"""


@click.command(short_help="Write an existing account down as a manifest.", help=_HELP)
@service_options
@file_option("-o", "--output", "target", help="Write to FILE.  [default: standard output]")
@format_option("as FILE is called, else jsonl")
@click.option(
    "--without-ontologies",
    is_flag=True,
    help="Leave out ontologies, and which of them a project has.",
)
@click.option("--without-users", is_flag=True, help="Leave out who the users of projects, groups and organisation are.")
@click.option(
    "--without-organisation",
    is_flag=True,
    help="Leave out users and groups of the organisation, and groups of projects.",
)
@click.option("--tasks", is_flag=True, help="Write whose the tasks of projects are, too, by the titles of their data.")
@click.option(
    "--items",
    is_flag=True,
    help="Write the files of folders, too, and which datasets they are linked to. Every file is read.",
)
@selection_options
@force_option
@concurrency_option
@output_options
def export(
    *,
    output: Output,
    service: Service,
    target: str | None,
    format_: str | None,
    without_ontologies: bool,
    without_users: bool,
    without_organisation: bool,
    tasks: bool,
    items: bool,
    selection: "Selection",
    force: bool,
    concurrency: int,
) -> int:
    """See `_HELP`."""
    if output.json and target in {None, "-"}:
        raise UsageError("--json and the manifest cannot both go to standard output; give -o FILE")
    left: list[LeftOut] = []
    with _writer(target, format_for(target or "-", format_), force=force) as write:
        sessions = service.sessions(concurrency=concurrency)

        async def work() -> "tuple[Exported, int]":
            from encord_async.export import Scope
            from encord_async.export import export as export_account

            scope = Scope(
                ontologies=not without_ontologies,
                users=not without_users,
                organisation=not without_organisation,
                tasks=tasks,
                items=items,
            )
            async with sessions() as session:
                exported = await export_account(
                    session, write, scope=scope, selection=selection, on_left_out=lambda one: _keep(left, one)
                )
                return exported, session.statistics().requests

        exported, requests = run(work, reads=True)
    if output.json:
        unlisted = any(what == "users" for what, _, _ in exported.unlisted)
        shown = exported.as_json() | {"users_read": not (without_users or unlisted), "requests": requests}
        shown |= {"included": [one.as_json() for one in exported.included], "not_chosen": exported.not_chosen.as_json()}
        shown["not_asked"] = [*exported.unasked.values()]
        output.result(shown | {"not_listed": exported.not_listed, "first_left_out": [one.as_json() for one in left]})
    else:
        print_included(output, exported.included, exported.not_chosen)
        _say(output, exported, left)
    return ExitCode.DONE


def _keep(left: "list[LeftOut]", one: "LeftOut") -> None:
    if len(left) < _KEPT:
        left.append(one)


@contextlib.contextmanager
def _writer(target: str | None, format_: str, *, force: bool) -> "Iterator[Callable[[Entry], None]]":
    """Writes entries to standard output, or to a file that is only there when it is whole.

    Raises:
        UsageError: The file cannot be written.
    """
    if target is None or target == "-":
        yield lambda entry: click.echo(entry_text(entry, format_), nl=False)
        return
    # Nobody could tell a manifest that was exported from one that was written by hand.
    refuse_others(target, lambda _: False, force=force)
    try:
        with whole(target) as file:
            yield lambda entry: _put(file, entry_text(entry, format_))
    except OSError as error:
        raise UsageError(f"-o {target}: cannot be written: {error.strerror or error}") from None


def _put(file: BinaryIO, line: bytes) -> None:
    file.write(line)


def _say(output: Output, exported: "Exported", left: "list[LeftOut]") -> None:
    """The sums, on standard error: standard output may be the manifest."""
    from encord_async.kinds.registry import summed

    told = [names for one, names in summed().items() if one not in exported.unasked]
    parts = [many(exported.numbers[name], *words) for name, *words in told]
    output.say(f"{', '.join(parts)} in {many(exported.entries, 'entry', 'entries')}", bold=True)
    for (inside, *words), number in exported.unlisted.items():
        output.say(f"without the {inside} of {many(number, *words)}: the service does not list them")
    for what in exported.not_listed:
        output.say(f"without {what}: the service does not list them")
    for what in exported.unasked.values():
        output.say(f"without {what}")
    for caution in exported.cautions:
        output.say(caution)
    if exported.left_out:
        output.say(f"{many(exported.left_out, 'thing is', 'things are')} left out:")
    for one in left[:_SHOWN]:
        output.say(f"  {one.what} {one.title!r} ({one.hash}): {redacted(one.reason)}")
    if exported.left_out > _SHOWN:
        more = exported.left_out - _SHOWN
        output.say(f"  ... and {more:,} more; --json lists {_KEPT:,} of them")
