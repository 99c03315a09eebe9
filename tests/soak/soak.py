"""A soak: random manifests, edits between runs, stops of every sort, a hostile network, odd clocks, two runs at once.

Each scenario is a manifest that somebody edits and applies again and again with the command line, as a process of its
own, through a proxy that makes trouble, onto a real emulator. After each run a model says what must be true: nothing
is there twice; each outcome, the exit code and the sums are so; in the end, with a quiet network, nothing is missing.

    python tests/soak/soak.py [--minutes M] [--seed N] [--verbose]

A scenario is drawn from its seed, and ``--seed N --minutes 0`` plays that one again. (What meets what in time is not
drawn; a fault that hangs on it may need a few tries.) Exit code 1: something was not so, and is said.
"""

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

ROOT: Final = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    # Behind the installed package, which is what is tested.
    sys.path.append(str(ROOT))

from encord_async.testing import EmulatorSettings, EncordEmulator, Seed  # noqa: E402 - the path comes first
from tests.soak.proxy import LATE_S, SORTS, Fate, Proxy  # noqa: E402 - as above
from tests.soak.wishes import MAKING, UNREADABLE, Entry, Name, Wishes, name_of, role_of, urls_of  # noqa: E402 - as above

SETTLE_S: Final = 1.0
"""Above what may lag, and what may be late while two runs are going on."""
LATER_S: Final = 3.0
"""Above the settling time: what is in doubt then may be applied when its run has given it up, but not in the next."""
HANGS_S: Final = 200.0
"""A run of a few entries that takes so long does not end: where two requests of three get no answer it waits often."""
ROLES: Final = {"annotator": 1, "reviewer": 2, "annotator_reviewer": 3}
SATISFIED: Final = frozenset({"created", "adopted", "updated", "unchanged"})
COUNTS: Final = ("created", "adopted", "updated", "unchanged", "failed", "blocked", "in_doubt", "cancelled")
_STAMP: Final = re.compile(r" ?\[encord-async [0-9a-f]+\]$")
_TAKEN_BACK: Final = re.compile(r"(\d+) of the entries that were reported as made are in doubt")
_QUIET_RUNS: Final = 5

State: TypeAlias = Mapping[str, Any]


class Stop(StrEnum):
    """How a run is kept from its end."""

    NONE = "none"
    FAIL_FAST = "fail fast"
    MAX_FAILURES = "max failures"
    CTRL_C = "Ctrl-C"
    TWO_CTRL_C = "two Ctrl-C"
    TERMINATED = "SIGTERM"
    KILLED = "kill -9"


_SIGNALS: Final = {
    Stop.CTRL_C: [signal.SIGINT],
    Stop.TWO_CTRL_C: [signal.SIGINT, signal.SIGINT],
    Stop.TERMINATED: [signal.SIGTERM],
    Stop.KILLED: [signal.SIGKILL],
}


@dataclass(frozen=True, slots=True)
class Done:
    """A run that has ended; *code* is negative if a signal ended it."""

    code: int
    out: str
    err: str
    outcomes: Sequence[Mapping[str, Any]]
    stop: Stop

    @property
    def was_cut(self) -> bool:
        """Whether it could not say all that it had to say."""
        return self.stop in {Stop.KILLED, Stop.TWO_CTRL_C}

    @property
    def taken_back(self) -> int:
        """Of how many entries it said at its end that they may not have made what they were reported to have."""
        found = _TAKEN_BACK.search(self.err)
        return int(found[1]) if found else 0


def child(arguments: Sequence[str], out: str, err: str, environ: Mapping[str, str], clock_s: float) -> None:
    """Be the command line, in a process of its own whose clock is wrong by *clock_s*."""
    for number, path in ((1, out), (2, err)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.update(environ)
    right = time.time
    time.time = lambda: right() + clock_s
    from encord_async.cli.main import run

    code = run(list(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@dataclass
class Tally:
    """What a soak has been through."""

    scenarios: int = 0
    runs: int = 0
    edits: int = 0
    requests: int = 0
    made: int = 0
    removed: int = 0
    stops: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Scenario:
    """One manifest, its versions and its runs."""

    def __init__(self, seed: int, folder: Path, tally: Tally, *, verbose: bool = False) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.stamp = self.chance.random() < 0.3
        # Without stamps the command line refuses them; namesakes that come one after the other are left.
        self.wishes = Wishes(self.chance, twins=self.stamp)
        self.tally = tally
        self.folder = folder
        self.history: list[str] = []
        self._hashes: Mapping[str, str] = {}
        """Of the things that the last run has told, by the keys of their entries."""
        self._holders: dict[tuple[str, str], str | None] = {}
        """Who has each task, by project and data."""
        self.clock_s = self.chance.choice([0.0, 0.0, 0.0, -90_000.0, 200_000.0])
        self.lags = self.chance.random() < 0.3
        self._verbose = verbose
        self._context = multiprocessing.get_context("forkserver")

    def play(self) -> list[str]:
        """Go through it; what was not as it must be."""
        nothing = Seed(users=(), datasets=(), ontologies=(), projects=(), unreadable_urls=(UNREADABLE,))
        job_s = self.chance.choice([0.0, 0.1, 0.4])
        settings = EmulatorSettings(seed=nothing, latency_s=(0.0, 0.004), signature_window_s=1e9, job_s=job_s)
        with EncordEmulator(settings) as self.emulator:
            port = int(self.emulator.url.rpartition(":")[2])
            trouble = self.chance.choice([0.0, 0.05, 0.15, 0.3])
            fates = self.chance.choice(SORTS) if trouble and self.chance.random() < 0.5 else ()
            with Proxy(port, seed=self.seed, trouble=2 * trouble if fates else trouble, fates=fates) as self.proxy:
                met = " or ".join(sorted(fates)) or "anything"
                self._say(
                    f"trouble {trouble}, {met}, stamp {self.stamp}, clock {self.clock_s:+.0f} s, lags {self.lags}"
                )
                try:
                    self._live()
                finally:
                    self._count()
        return self.faults

    def _live(self) -> None:
        self.faults: list[str] = []
        self.wishes.begin()
        for _ in range(self.chance.randint(2, 5)):
            if self.lags:
                self.emulator.set_faults([{"query": "*", "fault": "stale_read", "seconds": 0.3, "probability": 0.5}])
            stop, twice = self.chance.choice(list(Stop)), self.chance.random() < 0.15
            if twice and stop is not Stop.KILLED:
                # By the requests of the other nobody can tell whether this one has begun to listen.
                stop = Stop.NONE
            self._run(stop, twice=twice)
            if self.faults:
                return
            for _ in range(self.chance.randint(0, 3)):
                self._say(f"edit: {self.wishes.edit()}")
                self.tally.edits += 1
        self._end()

    def _end(self) -> None:
        """With everything in order again, it comes to exactly what is wished for."""
        self.wishes.mend()
        self.emulator.clear_faults()
        self.proxy.trouble = 0.0
        self.proxy.settle()
        done = None
        for _ in range(_QUIET_RUNS):
            done = self._run(Stop.NONE)
            if self.faults or done.code == 0:
                break
        assert done is not None
        if done.code != 0:
            self._fault(f"exit code {done.code} on a quiet network: {done.out[-1500:]} {done.err[-500:]}")
        elif not self.faults:
            again = self._run(Stop.NONE)
            self._check_tasks_are_given()
            wrong = [one for one in again.outcomes if one["status"] != "unchanged"]
            if wrong or again.code != 0:
                entries = [self.wishes.entries[one["number"] - 1] for one in wrong]
                self._fault(f"a finished manifest ends in {wrong}, exit code {again.code}: {entries}")
            else:
                self._prune_data()

    def _prune_data(self) -> None:
        """Take out the data rows that no entry wants: just these go, if nothing that is wanted is missing."""
        self.wishes.take_files_off()
        # What a run has not tried yet may come about, as far as a plan knows.
        if self._run(Stop.NONE).code != 0:
            self._fault("files were taken off, and the run does not end well")
            return
        wanted: dict[str, set[str]] = {}
        lacking = set[str]()
        for entry in [one for one in self.wishes.entries if one["kind"] == "data"]:
            for found in [self._hashes[reference[1:]] for reference in entry.get("datasets", ())]:
                wanted.setdefault(found, set()).update(urls_of(entry))
                lacking |= {found} if len(urls_of(entry)) < len(entry["items"]) else set()
        before = self._links()
        going = {one for one in before if one[0] in wanted.keys() - lacking and one[1] not in wanted[one[0]]}
        done = self._run(Stop.NONE, more=["--prune-data", "--yes-prune-data", str(len(going))])
        self.tally.removed += len(going)
        if done.code != 0 or self._links() != before - going:
            self._fault(
                f"exit code {done.code}, {going} were to go and {before - self._links()} went: {done.err[-500:]}"
            )

    def _links(self) -> set[tuple[str, str, str]]:
        """Which file of which folder is in which dataset."""
        items = self.emulator.state()["items"]
        return {(found, item["url"] or "", item["folder"]) for item in items for found in item["datasets"]}

    # ------------------------------------------------------------------ a run

    def _run(self, stop: Stop, *, twice: bool = False, more: Sequence[str] = ()) -> Done:
        manifest = self.folder / "manifest.jsonl"
        manifest.write_text("".join(json.dumps(entry) + "\n" for entry in self.wishes.entries))
        self.wishes.begin_run()
        # A run that begins afterwards has to see what an earlier one has sent: nothing is later than its own settling.
        self.proxy.settle()
        self.proxy.late_s = LATE_S if twice or self.chance.random() < 0.7 else LATER_S
        before = len(self.emulator.log())
        made_before = self._made()
        journal = self.folder / "run.journal"
        process, collect = self._start("first", stop, journal, more)
        other = None
        if twice:
            link = self.folder / "other-name.journal"
            if self.chance.random() < 0.5 and journal.exists():
                link.unlink(missing_ok=True)
                link.hardlink_to(journal)
                journal = link
            other = self._start("second", Stop.NONE, journal)
        for number in _SIGNALS.get(stop, []):
            self.proxy.after(self.chance.randint(1, 25), functools.partial(_signal, process, number))
        done = collect()
        self.proxy.forget()
        # Of two at once the other may be the one that sends.
        self._check(done, None if other is not None else before)
        if other is None:
            self._check_not_made(done, made_before)
        codes = {done.code}
        if other is not None:
            second = other[1]()
            self._check(second, None)
            codes.add(second.code)
        if 0 in codes:
            self.wishes.end_run()
        return done

    def _start(self, name: str, stop: Stop, journal: Path, more: Sequence[str] = ()) -> tuple[Any, Callable[[], Done]]:
        outcomes, out, err = (self.folder / f"{name}.{what}" for what in ("outcomes", "out", "err"))
        for path in (outcomes, out, err):
            path.unlink(missing_ok=True)
        arguments = ["apply", str(self.folder / "manifest.jsonl"), "--json", "--yes", "--domain", self.proxy.url]
        arguments += ["--journal", str(journal), "--outcomes", str(outcomes), "--settle-s", str(SETTLE_S)]
        arguments += ["--concurrency", str(self.chance.choice([1, 4, 16]))]
        arguments += ["--max-batch", str(self.chance.choice([1, 2, 1000]))]
        arguments += [*["--stamp"] * self.stamp, *more]
        arguments += {Stop.FAIL_FAST: ["--fail-fast"], Stop.MAX_FAILURES: ["--max-failures", "0"]}.get(stop, [])
        self._say(f"run, {stop}: {' '.join(arguments[10:])}" + (" (at the same time)" if name == "second" else ""))
        environ = {"ENCORD_SSH_KEY": self.emulator.private_key}
        process = self._context.Process(target=child, args=(arguments, str(out), str(err), environ, self.clock_s))
        process.start()

        def collect() -> Done:
            process.join(HANGS_S)
            if process.exitcode is None:
                process.kill()
                process.join()
                self._fault(f"a run did not end within {HANGS_S:.0f} s")
            self.tally.runs += 1
            self.tally.stops[stop] += 1
            told = [one for one in _lines(outcomes) if one["number"] <= len(self.wishes.entries)]
            return Done(int(process.exitcode or 0), _text(out), _text(err), told, stop)

        return process, collect

    # ------------------------------------------------------------------ what must be so

    def _check(self, done: Done, before: int | None) -> None:
        self._say(f"exit code {done.code}: {dict(Counter(one['status'] for one in done.outcomes))} {done.err[-300:]}")
        self.tally.statuses.update(one["status"] for one in done.outcomes)
        if "Traceback" in done.err or done.code == 70:
            self._fault(f"exit code {done.code}, a traceback: {done.err[-2000:]}")
        if done.code == 2 and before is not None and len(self.emulator.log()) != before:
            self._fault("exit code 2 says that nothing was sent, and something was")
        self._check_nothing_twice()
        self._check_files(self.emulator.state())
        if not done.was_cut and done.code not in {2, 4}:
            self._check_sums(done)
        state = self.emulator.state()
        self._check_outcomes(done, state)

    def _check_nothing_twice(self) -> None:
        state = self.emulator.state()
        for name, count in (self._made() - self.wishes.most).items():
            self._fault(f"{count} too many of {name}: {self.wishes.most[name]} were wished for at most")
        projects = [(found, thing) for found, thing in things_of(state).items() if thing["name"][0] == "project"]
        for name in {thing["name"] for _, thing in projects}:
            most, most_in_one = self.wishes.most_keys(name)
            for found, thing in projects:
                if thing["name"] == name and (extra := thing["keys"] - most_in_one):
                    self._fault(f"too many API keys in {found}, {name}: {dict(extra)}")
            there: Counter[str] = sum((thing["keys"] for _, thing in projects if thing["name"] == name), Counter())
            # Of an exchanged one all that is known is that some entry wished for it where it is.
            if name not in self.wishes.exchanged and (extra := there - most):
                self._fault(f"too many API keys in projects {name}: {dict(extra)}")

    def _check_files(self, state: State) -> None:
        """No URL is twice in a folder, no item twice in a dataset, and no task is taken from who has it."""
        there = Counter((item["folder"], item["url"]) for item in state["items"])
        links = Counter((item["uuid"], found) for item in state["items"] for found in item["datasets"])
        for twice in [one for counts in (there, links) for one, number in counts.items() if number > 1]:
            self._fault(f"twice: {twice}")
        for task in state["tasks"]:
            named = task["project_hash"], task["data_hash"]
            had = self._holders.get(named)
            if had is not None and had != task["assignee"]:
                self._fault(f"a task of {had} is given to {task['assignee']}")
            self._holders[named] = task["assignee"]

    def _check_tasks_are_given(self) -> None:
        """In the end nobody lacks a task that is to be given away."""
        state = self.emulator.state()
        given = [entry for entry in self.wishes.entries if entry["kind"] == "project_tasks"]
        about = {self._hashes.get(entry["project"][1:]) for entry in given}
        left = [one for one in state["tasks"] if one["project_hash"] in about and one["assignee"] is None]
        if left:
            self._fault(f"tasks that nobody has: {left}")

    def _check_not_made(self, done: Done, before: Counter[Name]) -> None:
        """What is said not to have been made, as "cancelled" or "refused" says, was not."""
        if done.was_cut or done.code in {2, 4}:
            return
        entries = self.wishes.entries
        may = Counter(name_of(entries[one["number"] - 1]) for one in done.outcomes if _may_have_made(one))
        for name, count in (self._made() - before - may).items():
            self._fault(f"{count} more of {name} than any outcome tells: {done.outcomes}")

    def _made(self) -> Counter[Name]:
        return made_of(self.emulator.state(), self.emulator.log())

    def _check_sums(self, done: Done) -> None:
        documents = [json.loads(line) for line in done.out.splitlines()]
        if len(documents) != 1:
            self._fault(f"{len(documents)} JSON documents on standard output, exit code {done.code}: {done.out[-500:]}")
            return
        summary = documents[0]
        if "entries" not in summary:
            # It ended before it began.
            if done.outcomes:
                self._fault(f"outcomes, and no sums: {done.out[-500:]}")
            return
        said = {name: summary[name] for name in COUNTS}
        if sum(said.values()) != summary["entries"]:
            self._fault(f"sums that do not add up: {summary}")
        told = Counter(one["status"] for one in done.outcomes)
        if {name: told[name] for name in COUNTS} != said:
            self._fault(f"outcomes {dict(told)} and sums {said}")
        expected = (
            {3} if said["in_doubt"] or done.taken_back else {1} if said["failed"] or said["blocked"] else {0, 1, 5, 130}
        )
        if done.code not in expected | {4, 5, 130}:
            self._fault(f"exit code {done.code} with {said}")
        if done.code == 0 and sum(said[name] for name in SATISFIED) != summary["entries"]:
            self._fault(f"exit code 0 with {said}")

    def _check_outcomes(self, done: Done, state: State) -> None:
        """Whatever is said to be so is so."""
        things = things_of(state)
        hashes: dict[str, str] = {}
        wrong: dict[int, str] = {}
        entries = self.wishes.entries
        for one in done.outcomes:
            entry = entries[one["number"] - 1]
            if one["status"] not in SATISFIED or entry["kind"] not in MAKING:
                continue
            thing = things.get(one["hash"])
            if thing is None or thing["name"] != name_of(entry):
                wrong[one["number"]] = f"{one['status']} as {one['hash']}, which is {thing and thing['name']}: {entry}"
                continue
            if one["hash"] in hashes.values():
                wrong[one["number"]] = f"two entries have {one['hash']}: {entry}"
            hashes[entry.get("key") or f"number {one['number']}"] = one["hash"]
        if len(wrong) > done.taken_back:
            # An answer to another create can only be told when that one is looked up.
            for text in wrong.values():
                self._fault(text)
        self._hashes = hashes
        for one in done.outcomes:
            if (
                one["status"] in SATISFIED
                and one["number"] not in wrong
                and entries[one["number"] - 1]["kind"] == "data"
            ):
                self._check_registered(entries[one["number"] - 1], state, hashes)
            elif one["status"] in SATISFIED and one["number"] not in wrong:
                self._check_contents(entries[one["number"] - 1], one, things, hashes)

    def _check_registered(self, entry: Entry, state: State, hashes: Mapping[str, str]) -> None:
        folder = hashes.get(entry["folder"][1:])
        there = {item["url"]: set(item["datasets"]) for item in state["items"] if item["folder"] == folder}
        wanted = {hashes[one[1:]] for one in entry.get("datasets", ()) if one[1:] in hashes}
        lacking = [url for url in urls_of(entry) if not wanted <= there.get(url, {None})]
        if folder is not None and lacking:
            self._fault(f"{lacking} are not in {folder} and {wanted}: {entry} in {there}")

    def _check_contents(
        self, entry: Entry, one: Mapping[str, Any], things: Mapping[str, Any], hashes: Mapping[str, str]
    ) -> None:
        if entry["kind"] in {"dataset", "ontology", "folder", "project_tasks"}:
            return
        about = one["hash"] if entry["kind"] in MAKING else hashes.get(entry["project"][1:])
        thing = things.get(about or "")
        if thing is None:
            return
        people = {user["email"]: role_of(user["email"]) for user in entry.get("users", ())}
        people |= {email: role_of(email) for email in (*entry.get("emails", ()), *entry.get("members", ()))}
        held = thing["users"]
        lacking = [
            email
            for email, role in people.items()
            if email not in held or (held[email] is not None and held[email] != ROLES[role])
        ]
        lacking += [email for email in entry.get("remove", ()) if email in held]
        references = [*entry.get("datasets", ()), *entry.get("add", ())]
        wanted = {hashes.get(one[1:], one) for one in references if one[1:] in hashes}
        lacking += wanted - thing["datasets"]
        keys = [wish["title"] for wish in entry.get("api_keys", ())]
        keys += [entry["title"]] if entry["kind"] == "project_api_key" else []
        lacking += (Counter(keys) - thing["keys"]).elements()
        if lacking:
            self._fault(f"{one['status']}, and {lacking} is not so: {entry} in {thing}")

    # ------------------------------------------------------------------ telling

    def _say(self, text: str) -> None:
        self.history.append(text)
        if self._verbose:
            sys.stderr.write(f"  {text}\n")

    def _fault(self, text: str) -> None:
        self.faults.append(f"seed {self.seed}: {text}")
        self._say(f"FAULT {text}")

    def _count(self) -> None:
        self.tally.scenarios += 1
        self.tally.requests += self.proxy.requests
        self.tally.made += len(self.emulator.log())
        self.tally.fates.update(self.proxy.fates)
        self.tally.faults += self.faults


def made_of(state: State, log: Sequence[Mapping[str, Any]]) -> Counter[Name]:
    """How often a thing of each name is there."""
    counts = Counter(thing["name"] for thing in things_of(state).values() if thing["name"][0] != "ontology")
    # A project brings an ontology of its own, which nobody wished for.
    asked = {entry["hash"] for entry in log if entry["query"] == "v2/ontologies.POST"}
    counts.update(thing["name"] for found, thing in things_of(state).items() if found in asked)
    return counts


def things_of(state: State) -> dict[str, dict[str, Any]]:
    """What there is by its hash, with the name it goes by and what it holds."""
    found: dict[str, dict[str, Any]] = {}
    for kind in MAKING:
        for one in state["ontologies" if kind == "ontology" else f"{kind}s"]:
            users = one.get("users", [])
            found[one["uuid" if kind == "folder" else f"{kind}_hash"]] = {
                "name": (kind, one.get("title") or one.get("name"), _STAMP.sub("", one["description"] or "")),
                "users": dict.fromkeys(users) if kind == "group" else {u["email"]: u["role"] for u in users},
                "datasets": set(one.get("datasets", ())),
                "keys": Counter(key["title"] for key in one.get("api_keys", ())),
            }
    return found


def _may_have_made(one: Mapping[str, Any]) -> bool:
    """Whether the outcome *one* leaves it open that the entry has made something, or says so."""
    if one["kind"] not in MAKING or one["status"] == "in_doubt" or one.get("hash"):
        return one["kind"] in MAKING
    return one["status"] == "failed" and (one.get("error") or {}).get("applied") != "not_applied"


def _signal(process: Any, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.exitcode is None:
            os.kill(process.pid, number)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _lines(path: Path) -> list[Any]:
    """The outcomes; of a run that was cut the last line may be half."""
    found = []
    for line in _text(path).splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def seeds_for(minutes: float, first: int) -> Iterator[int]:
    """One after the other, at least one, until the time is over."""
    ends_s = time.monotonic() + 60 * minutes
    yield first
    while time.monotonic() < ends_s:
        first += 1
        yield first


def soak(seeds: Iterable[int], *, verbose: bool = False) -> Tally:
    """Play the scenarios of *seeds*, and print those in which something was not so."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["encord_async.cli.main", "encord_async.client", "encord_async.journal.sqlite", "encord_async.engine.run"]
    )
    tally = Tally()
    # The processes find this module by it; under pytest it is not there, and does not stay.
    sys.path.append(str(ROOT))
    try:
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="encord-async-soak-") as name:
                scenario = Scenario(seed, Path(name), tally, verbose=verbose)
                if scenario.play():
                    sys.stdout.write("\n  ".join([f"seed {seed}:", *scenario.history]) + "\n")
                    sys.stdout.flush()
    finally:
        sys.path.remove(str(ROOT))
    return tally


def main() -> int:
    """Read the command line, soak, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    tally = soak(seeds_for(options.minutes, options.seed), verbose=options.verbose)
    trouble = sum(tally.fates.values()) - tally.fates[Fate.PASSED]
    sys.stdout.write(
        f"{tally.scenarios:,} scenarios, {tally.runs:,} runs, {tally.edits:,} edits, {tally.requests:,} requests, "
        f"{trouble:,} of them in trouble, {tally.made:,} changes made, {tally.removed:,} data rows removed\n"
        f"stops: {dict(tally.stops.most_common())}\nnetwork: {dict(tally.fates.most_common())}\n"
        f"outcomes: {dict(tally.statuses.most_common())}\nfaults: {len(tally.faults)}\n"
    )
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
