"""``encord-async doctor``: holds what is assumed of the service against the service. Makes nothing unless asked to."""

from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.failures import ExitCode, hint, told
from encord_async.cli.interrupts import run
from encord_async.cli.options import Service, output_options, service_options
from encord_async.cli.output import Output, many, on_terminal
from encord_async.cli.progress import show_reading
from encord_async.cli.question import agrees, at_the_terminal
from encord_async.errors import AuthenticationError, UsageError

if TYPE_CHECKING:
    from encord_async.checkup.report import CheckUp
    from encord_async.client import EncordSession

__all__ = ["doctor"]

_HELP: Final = """\
Say whether the service is as this program assumes it to be. It looks at the key and whose it is; clock, region, proxy
and certificates; what the listings of both APIs answer; and whatever else reading tells. Nobody has tried encord-async
against every Encord there is: a difference is worth an issue, with what --json prints.

Without --write only reads are sent, some thirty, one after the other. If a project of the account has an API key,
one read is signed with it.

--write makes one project, which cannot be deleted over the API and stays; its title says what it is. A dataset of
the account is attached to it twice, the user of the key, who is its Admin, is added to it twice, and two API keys
of one title are made. Nobody is invited, and nothing else is changed.

--json prints one object that can be sent to anybody: no secret, no title, no address; key, user, and a domain
that is not Encord's own, are hashes.

\b
Examples:
  encord-async doctor
  encord-async doctor --json > doctor.json
  encord-async doctor --write --domain https://api.us.encord.com

Exit codes: 0 nothing is otherwise than assumed, 1 something is, 2 bad usage or an unusable key, 3 the project may
have been made, and it is not known, 4 the service does not accept the key.
"""

_QUESTION: Final = (
    "One project is made to try the service on, with two API keys; it cannot be deleted over the API, and stays."
)
_WORDS: Final = {
    "as_assumed": "as assumed",
    "otherwise": "otherwise",
    "not_told": "cannot be told",
}
_COLOURS: Final = {"otherwise": "red", "cannot be told": "dim"}


@click.command(short_help="Say whether the service is as this program assumes.", help=_HELP)
@service_options
@click.option(
    "--write", is_flag=True, help="Make one project, which stays, to see what reading cannot tell; asks first."
)
@click.option("--yes", is_flag=True, help="With --write: do not ask.")
@output_options
def doctor(*, output: Output, service: Service, write: bool, yes: bool) -> int:
    """See `_HELP`."""
    from encord_async.checkup.chart import Chart, Headers
    from encord_async.checkup.report import check_up

    headers = Headers()
    sessions = service.sessions(observer=headers)
    if yes and not write:
        raise UsageError("--yes is for --write; without it nothing is asked, since nothing is made")
    if write and not yes:
        _ask(output, sessions())

    async def work() -> "CheckUp":
        async with sessions() as session:
            chart = Chart(session=session, headers=headers, writes=write)
            found: list[CheckUp] = []

            async def look() -> None:
                found.append(await check_up(chart))

            await show_reading(
                output,
                lambda: f"looking: {chart.now} ({many(session.statistics().requests, 'request', 'requests')})",
                look,
            )
            return found[0]

    found = run(work, reads=not write)
    output.result(found.as_json())
    _print(output, found)
    return _code(found)


def _ask(output: Output, session: "EncordSession") -> None:
    from encord_async.checkup.report import region

    domain = session.settings.domain
    where = region(domain)
    is_real = where != "this machine"
    with at_the_terminal():
        whose = f" ({where})" if where else ""
        output.say(f"account  {session.identity} at {domain}{whose}", bold=is_real, fg="yellow" if is_real else None)
        output.say(_QUESTION, bold=True)
        if not on_terminal():
            raise UsageError("standard input is no terminal, so nobody can be asked: give --yes. Nothing was sent")
        if not agrees("Go on?"):
            raise UsageError("you did not agree; nothing was made")


def _code(found: "CheckUp") -> ExitCode:
    if found.key_refused:
        return ExitCode.NOT_AUTHENTICATED
    if found.in_doubt:
        return ExitCode.IN_DOUBT
    return ExitCode.DONE if found.is_all_well else ExitCode.FAILED


def _print(output: Output, found: "CheckUp") -> None:
    from encord_async.checkup.chart import Verdict
    from encord_async.checkup.report import region, versions

    where = region(found.domain)
    output.line(f"service       {found.domain}{f' ({where})' if where else ''}", bold=True)
    output.line(f"key           {found.identity}")
    whose = f"{found.account} (the one Admin of all that was looked at)" if found.account else "not told by the service"
    output.line(f"user          {whose}")
    output.line(f"proxy         {'one that the environment names' if found.proxy else 'none'}")
    output.line(f"certificates  {' '.join(filter(None, (found.certificates.whose, found.certificates.path)))}")
    output.line(f"versions      {', '.join(f'{name} {release}' for name, release in versions().items())}")
    sent = found.statistics
    output.line(f"requests      {sent.requests:,}, {sent.retries:,} sent again, {sent.throttled:,} turned away")
    output.line()
    rows = [(one.name, one.assumed, one.seen, _WORDS[one.verdict.value]) for one in found.findings]
    output.table(rows, head=["check", "assumed", "seen", "verdict"], colours={3: _COLOURS})
    for one in found.findings:
        if one.aside:
            output.line(f"{one.name}: {told(one.aside)}")
    if found.key_refused:
        output.line(hint(AuthenticationError("")))
    output.line()
    if found.made is not None:
        output.line(f"made and stays: the project '{found.made.title}' ({found.made.hash})")
    counts = ", ".join(f"{found.number(verdict)} {_WORDS[verdict.value]}" for verdict in Verdict)
    output.line(f"{many(len(found.findings), 'check', 'checks')}: {counts}", bold=True)
