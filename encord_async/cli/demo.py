"""``encord-async demo``: the main job from end to end, on a local API that is then held against the manifest.

Nothing leaves this machine: the requests go over HTTP to 127.0.0.1.
"""

import functools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import TYPE_CHECKING, Final

import anyio
import click

from encord_async.cli.apply import Ending, begin_here, print_ending, provision
from encord_async.cli.census import contents, counted
from encord_async.cli.failures import ExitCode, as_json, exit_code
from encord_async.cli.interrupts import Interrupts, interruptible, listening
from encord_async.cli.options import file_names, output_options, report
from encord_async.cli.output import Output, many
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from encord_async.emulator import Seed
    from encord_async.emulator.http import Stats
    from encord_async.emulator.store import ProjectState, State
    from encord_async.engine.outcome import Outcome
    from encord_async.kinds.entry import Entry

__all__ = ["Wanted", "demo", "differences", "wanted_state"]

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


@dataclass(slots=True)
class WantedProject:
    """What a project has to hold after the run."""

    title: str
    description: str = ""
    datasets: set[str] = field(default_factory=set)
    users: dict[str, int] = field(default_factory=dict)
    api_keys: Counter[tuple[str, frozenset[str]]] = field(default_factory=Counter)


@dataclass(slots=True)
class Wanted:
    """What the account has to hold after the run, by hash."""

    datasets: dict[str, str] = field(default_factory=dict)
    """Titles."""
    projects: dict[str, WantedProject] = field(default_factory=dict)


def wanted_state(entries: "Sequence[Entry]", hashes: Mapping[int, str]) -> Wanted:
    """What *entries* ask for.

    Args:
        entries: The manifest.
        hashes: What each entry that makes something was said to have made, by its number from 1.
    """
    from encord_async.kinds.dataset import DatasetEntry
    from encord_async.kinds.project import ProjectEntry

    wanted, keys = Wanted(), dict[str, str]()
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, DatasetEntry | ProjectEntry):
            continue
        made = hashes.get(number, f"of entry {number}")
        if entry.key is not None:
            keys[f"@{entry.key}"] = made
        if isinstance(entry, DatasetEntry):
            wanted.datasets[made] = entry.title
        else:
            wanted.projects[made] = WantedProject(entry.title, entry.description)
    for kind, reference in _literal_references(entries):
        if kind == "dataset":
            wanted.datasets[reference] = reference
        elif kind == "project":
            wanted.projects[reference] = WantedProject(reference)
    _ask_all(wanted, entries, hashes, keys)
    return wanted


def _ask_all(wanted: Wanted, entries: "Sequence[Entry]", hashes: Mapping[int, str], keys: Mapping[str, str]) -> None:
    from encord_async.kinds.entry import InProjectEntry
    from encord_async.kinds.project import ProjectEntry
    from encord_async.kinds.project_datasets import ProjectDatasetsEntry
    from encord_async.kinds.project_users import ProjectUsersEntry

    for number, entry in enumerate(entries, 1):
        if isinstance(entry, ProjectEntry):
            _ask(wanted.projects[hashes.get(number, f"of entry {number}")], entry, keys)
        elif isinstance(entry, InProjectEntry):
            _ask(wanted.projects[keys.get(entry.project, entry.project)], entry, keys)
    # What is to be detached or removed is gone in the end, wherever it was asked for.
    for entry in entries:
        if isinstance(entry, ProjectUsersEntry):
            for email in entry.remove:
                wanted.projects[keys.get(entry.project, entry.project)].users.pop(email.casefold(), None)
        if isinstance(entry, ProjectDatasetsEntry):
            project = wanted.projects[keys.get(entry.project, entry.project)]
            project.datasets -= {keys.get(reference, reference) for reference in entry.remove}


def _ask(project: WantedProject, entry: "Entry", keys: Mapping[str, str]) -> None:
    """Add what *entry* asks of *project*."""
    from encord_async.kinds.project import ProjectEntry
    from encord_async.kinds.project_api_key import ProjectAPIKeyEntry
    from encord_async.kinds.project_datasets import ProjectDatasetsEntry
    from encord_async.kinds.project_users import ProjectUsersEntry

    match entry:
        case ProjectEntry():
            project.datasets |= {keys.get(reference, reference) for reference in entry.datasets}
            project.users |= {user.email.casefold(): int(user.role) for user in entry.users}
            project.api_keys.update((wish.title, frozenset(wish.scopes)) for wish in entry.api_keys)
        case ProjectDatasetsEntry():
            project.datasets |= {keys.get(reference, reference) for reference in entry.add}
        case ProjectUsersEntry():
            project.users |= {email.casefold(): int(entry.role or 0) for email in entry.emails}
        case ProjectAPIKeyEntry():
            project.api_keys[entry.title, frozenset(entry.scopes)] += 1


def _literal_references(entries: "Sequence[Entry]") -> Iterator[tuple[str, str]]:
    """Kind and hash of what the manifest takes to be there already."""
    from encord_async.kinds.entry import InProjectEntry
    from encord_async.kinds.project import ProjectEntry
    from encord_async.kinds.project_datasets import ProjectDatasetsEntry

    for entry in entries:
        found: list[tuple[str, str]] = []
        match entry:
            case ProjectEntry():
                found = [("dataset", reference) for reference in entry.datasets]
                found += [("ontology", entry.wanted_ontology)] if entry.wanted_ontology else []
                found += [("project", entry.copy_of)] if entry.copy_of else []
            case ProjectDatasetsEntry():
                found = [("dataset", reference) for reference in (*entry.add, *entry.remove)]
                found.append(("project", entry.project))
            case InProjectEntry():
                found = [("project", entry.project)]
        yield from (one for one in found if not one[1].startswith("@"))


def differences(wanted: Wanted, state: "State", *, owner: str) -> Iterator[str]:
    """What *state* holds otherwise than *wanted*, one line each. *owner* is admin of all that was made."""
    datasets = {dataset["dataset_hash"]: dataset["title"] for dataset in state["datasets"]}
    projects = {project["project_hash"]: project for project in state["projects"]}
    for word, asked, there in (("dataset", wanted.datasets, datasets), ("project", wanted.projects, projects)):
        yield from (f"{word} {hash_} is missing" for hash_ in asked if hash_ not in there)
        yield from (f"{word} {hash_} is there, and nobody asked for it" for hash_ in there if hash_ not in asked)
    for hash_, title in wanted.datasets.items():
        if datasets.get(hash_, title) != title:
            yield f"dataset {hash_} is called {datasets[hash_]!r}, not {title!r}"
    for hash_, project in wanted.projects.items():
        if hash_ in projects:
            yield from _project_differences(hash_, project, projects[hash_], owner)


def _project_differences(hash_: str, wanted: WantedProject, there: "ProjectState", owner: str) -> Iterator[str]:
    users = {user["email"].casefold(): user["role"] for user in there["users"]}
    asked = {owner.casefold(): 0} | wanted.users
    api_keys = Counter((key["title"], frozenset(key["scopes"])) for key in there["api_keys"])
    compared: tuple[tuple[str, object, object], ...] = (
        ("title", wanted.title, there["title"]),
        ("description", wanted.description, there["description"]),
        ("datasets", wanted.datasets, set(there["datasets"])),
        ("users", asked, users),
        ("API keys", wanted.api_keys, api_keys),
    )
    for what, one, other in compared:
        if one != other:
            yield f"project {hash_}: {what}: wanted {one}, found {other}"


def _seed(entries: "Sequence[Entry]") -> "tuple[Seed, str]":
    """A seed with one user, and what the manifest takes to be there already; and the user's private key."""
    from encord_async.emulator import SeedDataset, SeedOntology, SeedProject, default_seed

    seed, pair = default_seed()
    admins = (seed.users[0].email,)
    there = dict.fromkeys(_literal_references(entries))
    seeded = replace(
        seed,
        datasets=tuple(SeedDataset(hash=one, title=one, admins=admins) for kind, one in there if kind == "dataset"),
        ontologies=tuple(
            SeedOntology(hash=one, title=one, admins=admins, editor_ontology={"objects": [], "classifications": []})
            for kind, one in there
            if kind == "ontology"
        ),
        projects=tuple(SeedProject(hash=one, title=one, admins=admins) for kind, one in there if kind == "project"),
    )
    return seeded, pair.private_text


class _Performance:
    """The demo: plays once, and tells what it does while it does it."""

    def __init__(self, output: Output, manifest: str, entries: "list[Entry]") -> None:
        self._output = output
        self._manifest = manifest
        self._entries = entries
        self._census: Counter[str] = sum(map(contents, entries), Counter())
        self._ending = Ending()
        self._hashes: dict[int, str] = {}
        self._stats: Stats | None = None
        self._differences: list[str] = []

    async def play(self, interrupts: Interrupts) -> None:
        """Provision on an emulator, and compare."""
        from encord_async.client import EncordSession
        from encord_async.emulator import Emulator, EmulatorSettings

        seed, key = _seed(self._entries)
        say = self._output.line
        numbers = ", ".join(
            f"{self._census[name]:,} {words}" for name, words in counted().items() if self._census[name]
        )
        say(f"Manifest: {self._manifest}", bold=True)
        say(f"  {numbers}")
        async with Emulator(EmulatorSettings(seed=seed, latency_s=_LATENCY_S)) as emulator:
            low, high = _LATENCY_S
            say(f"A local Encord API listens on {emulator.url}; a request takes {low:g} to {high:g} s.")
            say(f"Provisioning, at most {_CONCURRENCY} requests at a time ...")
            say()
            session = EncordSession.from_ssh_key(key, domain=emulator.url, concurrency=_CONCURRENCY)
            # What is made here is gone in a moment, and so would be the use of a journal.
            begin = functools.partial(begin_here, session, self._manifest, {"journal": None})
            await provision(
                begin,
                self._ending,
                on_outcome=self._note,
                interrupts=interrupts,
                progress=self._output if sys.stderr.isatty() and not self._output.json else None,
            )
            self._stats = emulator.stats()
            wanted = wanted_state(self._entries, self._hashes)
            self._differences = list(differences(wanted, emulator.state(), owner=emulator.user_email))

    def _note(self, outcome: "Outcome") -> None:
        if outcome.hash is not None and outcome.kind in {"dataset", "project"}:
            self._hashes[outcome.number] = outcome.hash

    def curtain(self, *, interrupted: bool) -> int:
        """Say how it went, and return the exit code."""
        ending, stats = self._ending, self._stats
        code = exit_code(ending.summary, ending.failure, interrupted=interrupted)
        if ending.summary is None or stats is None:
            if ending.failure is not None:
                return max(code, report(self._output, ending.failure))
            if self._output.json:
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
                "differences": self._differences[:_SHOWN_DIFFERENCES],
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
                self._output.say(f"  {difference}")
            return
        census = self._census
        say(
            f"Read back: the API holds exactly what the manifest says: {census['projects']:,} projects, "
            f"{census['datasets']:,} datasets, {census['memberships']:,} memberships, {census['api_keys']:,} API keys.",
            bold=True,
        )
        say("The local API has been shut down.")


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
