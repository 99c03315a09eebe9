"""``encord-async demo``: the main job from end to end, on a local API that is then held against the manifest.

Nothing leaves this machine: the requests go over HTTP to 127.0.0.1.
"""

import functools
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from importlib import resources
from typing import TYPE_CHECKING, Final

import anyio
import click

from encord_async.cli.apply import AnyRun, Ending, print_ending, provision
from encord_async.cli.failures import ExitCode, as_json, exit_code
from encord_async.cli.interrupts import Interrupts, interruptible, listening
from encord_async.cli.options import file_names, output_options, report
from encord_async.cli.output import Output, many
from encord_async.cli.validate import contents, counted
from encord_async.cli.verify import difference_row
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.emulator import Seed
    from encord_async.emulator.http import Stats
    from encord_async.journal.record import Ledger
    from encord_async.kinds.entry import Entry
    from encord_async.verify.difference import Difference

__all__ = ["demo"]

_MANIFEST: Final = "annotation-programme.jsonl"
_LATENCY_S: Final = (0.02, 0.05)
_CONCURRENCY: Final = 32
_SHOWN_DIFFERENCES: Final = 10


@click.command(short_help="See it work on a local API; needs no account.")
@click.argument("manifest", required=False, shell_complete=file_names, metavar="[MANIFEST]")
@output_options
def demo(*, output: Output, manifest: str | None) -> int:
    """Provision an annotation programme on a local Encord API, end to end; needs no account and no key.

    Starts the emulator (see 'encord-async emulator') with 20 to 50 ms of latency a request, provisions MANIFEST on it
    over real HTTP, by default one of 14 datasets and 44 projects that comes with the package, reads everything back
    and compares it with the manifest.

    \b
    Examples:
      encord-async demo
      encord-async demo programme.jsonl --json

    Exit codes: 0 the API holds exactly what the manifest says, otherwise as 'encord-async apply'.
    """
    with ExitStack() as stack:
        if manifest is None:
            shipped = resources.files("encord_async.cli").joinpath(_MANIFEST)
            manifest = str(stack.enter_context(resources.as_file(shipped)))
        performance = _Performance(output, manifest, _read(manifest))
        interrupts = stack.enter_context(listening())
        anyio.run(interruptible, performance.play, interrupts)
        return performance.curtain(interrupted=interrupts.count > 0)


def _read(manifest: str) -> "list[Entry]":
    """The entries of a manifest.

    Raises:
        ManifestError: The file cannot be read, or there is a bad entry.
    """
    if manifest == "-":
        raise UsageError("the demo reads its manifest more than once; give a file")
    from encord_async.manifest.files import check_manifest, raise_for_problems, read_manifest
    from encord_async.manifest.place import PlacedEntry

    found = check_manifest(manifest)
    raise_for_problems(found.problems, total=found.problem_count)
    return [item.entry for item in read_manifest(manifest) if isinstance(item, PlacedEntry)]


def _seed(entries: "Sequence[Entry]") -> "tuple[Seed, str]":
    """A seed with one user, and what the manifest takes to be there already; and the user's private key."""
    from encord_async.emulator import default_seed, stand_ins
    from encord_async.kinds.fields import referenced_key

    seed, pair = default_seed()
    uses = (use for entry in entries for use in entry.references())
    there = dict.fromkeys((use.kind, use.reference) for use in uses if referenced_key(use.reference) is None)
    return stand_ins(seed, there), pair.private_text


class _Performance:
    """The demo: plays once, and tells what it does while it does it."""

    def __init__(self, output: Output, manifest: str, entries: "list[Entry]") -> None:
        self._output = output
        self._manifest = manifest
        self._entries = entries
        self._census: Counter[str] = sum(map(contents, entries), Counter())
        self._ending = Ending()
        self._stats: Stats | None = None
        self._differences: list[Difference] = []

    async def play(self, interrupts: Interrupts) -> None:
        """Provision on an emulator, and compare."""
        from encord_async.client import EncordSession
        from encord_async.emulator import Emulator, EmulatorSettings
        from encord_async.verify.compare import compare
        from encord_async.verify.wishes import gather

        seed, key = _seed(self._entries)
        say = self._output.line
        say(f"Manifest: {self._manifest}", bold=True)
        say(f"  {self._census['entries']:,} entries, {self._numbers()}")
        async with Emulator(EmulatorSettings(seed=seed, latency_s=_LATENCY_S)) as emulator:
            low, high = _LATENCY_S
            say(f"A local Encord API listens on {emulator.url}; a request takes {low:g} to {high:g} s.")
            say(f"Provisioning, at most {_CONCURRENCY} requests at a time ...")
            say()
            open_session = functools.partial(
                EncordSession.from_ssh_key, key, domain=emulator.url, concurrency=_CONCURRENCY
            )
            ledgers: list[Ledger] = []

            async def begin(stack: AsyncExitStack) -> "AnyRun":
                session = await stack.enter_async_context(open_session())
                # What is made here is gone in a moment, and so would be the use of a journal.
                run = await stack.enter_async_context(session.provision(self._manifest, journal=None))
                ledgers.append(run.ledger)
                return run

            await provision(
                begin,
                self._ending,
                on_outcome=lambda _: None,
                interrupts=interrupts,
                progress=self._output if sys.stderr.isatty() and not self._output.json else None,
            )
            stats = emulator.stats()
            for ledger in ledgers:
                async with open_session() as session:
                    wishes = await gather(self._manifest, ledger)
                    await compare(session, wishes, on_difference=self._differences.append)
        # Only now: without them, nothing is known of how it ended.
        self._stats = stats
        self._differences.sort(key=lambda one: (one.place.number, one.what, one.fault, one.item))

    def _numbers(self) -> str:
        """What the manifest wants, in words."""
        from encord_async.kinds import registry

        wanted = registry.counted().items()
        return ", ".join(f"{self._census[name]:,} {words}" for name, words in wanted if self._census[name])

    def curtain(self, *, interrupted: bool) -> int:
        """Say how it went, and return the exit code."""
        ending, stats = self._ending, self._stats
        code = exit_code(ending.summary, ending.failure, interrupted=interrupted)
        if ending.summary is None or stats is None:
            if ending.failure is not None:
                return max(code, report(self._output, ending.failure))
            self._output.result({"error": {"type": "Interrupted", "message": "interrupted"}})
            self._output.error("interrupted")
            return ExitCode.INTERRUPTED
        if self._differences:
            code = max(code, ExitCode.FAILED)
        if self._output.json:
            self._print_json(stats)
            return code
        print_ending(self._output, ending)
        self._print_stats(stats)
        self._print_comparison()
        return code

    def _print_json(self, stats: "Stats") -> None:
        ending = self._ending
        self._output.result(
            {
                "manifest": {name: self._census[name] for name in counted()},
                "summary": ending.summary.as_json() if ending.summary is not None else None,
                "requests_by_query": stats["by_query"],
                "connections": stats["connections"],
                "max_in_flight": stats["max_in_flight"],
                "exact": not self._differences,
                "differences": [_described(one) for one in self._differences[:_SHOWN_DIFFERENCES]],
                **({"error": as_json(ending.failure)} if ending.failure is not None else {}),
            }
        )

    def _print_stats(self, stats: "Stats") -> None:
        say = self._output.line
        say()
        say(
            f"Seen by the API: {stats['requests']:,} requests over {stats['connections']:,} connections, "
            f"at most {stats['max_in_flight']:,} at a time",
            bold=True,
        )
        rows = sorted(stats["by_query"].items(), key=lambda item: -item[1])
        self._output.table([(f"  {name}", _QUERIES.get(name, ""), number) for name, number in rows], right=[2])
        say()

    def _print_comparison(self) -> None:
        say = self._output.line
        found = len(self._differences)
        if found:
            self._output.error(
                f"the API holds something else than the manifest says: {many(found, 'difference', 'differences')}"
            )
            for difference in self._differences[:_SHOWN_DIFFERENCES]:
                self._output.say(f"  {_described(difference)}")
            return
        say(f"Read back: the API holds exactly what the manifest says: {self._numbers()}.", bold=True)
        say("The local API has been shut down.")


def _described(difference: "Difference") -> str:
    place, fault, what, how = difference_row(difference)
    return f"{place}: {fault}: {what} {how}"


_QUERIES: Final = {
    "project.POST": "create a project, with its datasets",
    "v2/datasets.POST": "create a dataset",
    "dataset.POST": "create a dataset whose data lie elsewhere",
    "projectusers.POST": "add users to a project",
    "projectdataset.POST": "attach datasets",
    "projectdataset.DELETE": "detach datasets",
    "projectapikey.POST": "create an API key",
    "projectapikey.GET": "list API keys",
    "v2/projects.GET": "list projects",
    "v2/datasets/list.GET": "list datasets",
    "project.GET": "read a project",
}
