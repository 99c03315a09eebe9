"""``encord-async validate``: checks a manifest. Sends nothing and needs no key."""

from collections import Counter
from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.failures import ExitCode, redacted
from encord_async.cli.options import manifest_argument, output_options, print_warnings, problem_json
from encord_async.cli.output import Output, many

if TYPE_CHECKING:
    from encord_async.kinds.entry import Entry
    from encord_async.manifest.place import Problem
    from encord_async.manifest.variables import ManifestFile

__all__ = ["contents", "counted", "validate"]

_MAX_IN_JSON: Final = 1000
_MAX_SHARED: Final = 10_000


_HELP: Final = """\
Check MANIFEST without a network and without a key, and count what is in it.

Every bad entry is listed with file, line, field and reason. Files that it names (structures of ontologies, included
files, tables of rows) are read too, relative to the file that names them. '-' reads JSON lines from standard input.
With --json the first 1,000 problems are listed, and all are counted. Warnings stop nothing.

\b
In a table (.csv, .xlsx) a cell that holds a list separates its items by semicolons:
  datasets        @raw;@more
  users           ann@x.org=annotator;bob@x.org=reviewer   of a dataset: ann@x.org=user;bob@x.org=admin
  groups          @team=user;@leads=admin
  tags            wave-1;cats
  add, remove     @raw;@more   @team;@leads   ann@x.org;bob@x.org
  emails          ann@x.org;bob@x.org
  members         ann@x.org;@bob
  scopes          label.read;label.write
  copy_options    datasets;models
  stages          Annotate;Review
  items           s3://bucket/a.png;s3://bucket/b.png
  assign, release ann@x.org;bob@x.org

\b
Examples:
  encord-async validate programme.jsonl
  generate-programme | encord-async validate - --json

Exit codes: 0 the manifest is good, 2 it is not.
"""


@click.command(help=_HELP, short_help="Check a manifest; needs no network and no key.")
@manifest_argument
@click.option("--stamp", is_flag=True, help="As for apply: entries may have the same title and description.")
@output_options
def validate(*, output: Output, manifest: "ManifestFile", stamp: bool) -> int:
    """See `_HELP`."""
    from encord_async.manifest.checker import Checker
    from encord_async.manifest.files import read_manifest
    from encord_async.manifest.place import PlacedEntry
    from encord_async.manifest.policy_file import policy_for

    checker = Checker(stamps=stamp, policy=policy_for(manifest))
    census, complaints = Counter[str](), _Complaints(output)
    for item in read_manifest(manifest, on_empty=checker.note_empty):
        if isinstance(item, PlacedEntry):
            complaints.add(checker.add(item))
            census.update(contents(item.entry))
        else:
            checker.refuse(item)
            complaints.add((item,))
    complaints.add(checker.finish())
    warnings = checker.warnings()
    print_warnings(output, warnings)
    if complaints.count:
        return complaints.report(warnings)
    counts = {name: census[name] for name in counted()}
    output.result({"valid": True, **counts, "warnings": list(map(problem_json, warnings))})
    output.line(f"{manifest} is good.")
    output.table([(words, counts[name]) for name, words in counted().items() if counts[name]], right=[1])
    return ExitCode.DONE


def counted() -> dict[str, str]:
    """What is counted, with words for people."""
    from encord_async.kinds import registry

    return {"entries": "entries", **registry.counted()}


def contents(entry: "Entry") -> Counter[str]:
    """The numbers of one entry, under the names of `counted`."""
    return Counter(entries=1, **entry.contents())


class _Complaints:
    """Prints problems as they are found, those that rows share once; keeps the first for the JSON object."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._first: list[Problem] = []
        self._places: set[int] = set()
        self._shared: dict[Problem, int] = {}
        """In how many more rows of one entry is what is wrong with its first row."""
        self.count = 0

    def add(self, problems: "tuple[Problem, ...]") -> None:
        for problem in problems:
            self.count += 1
            self._places.add(problem.place.number)
            self._print(problem)
            if len(self._first) < _MAX_IN_JSON:
                self._first.append(problem)

    def _print(self, problem: "Problem") -> None:
        shared = problem.of_all_rows
        if shared is not None and shared in self._shared:
            self._shared[shared] += 1
            return
        if shared is not None and len(self._shared) < _MAX_SHARED:
            self._shared[shared] = 0
        self._output.line(redacted(str(problem)))

    def report(self, warnings: "tuple[Problem, ...]") -> int:
        problems = [problem_json(problem) for problem in self._first]
        said = {"warnings": list(map(problem_json, warnings))}
        self._output.result({"valid": False, "problem_count": self.count, "problems": problems} | said)
        for shared, number in self._shared.items():
            if number:
                self._output.line(f"{redacted(str(shared))} (in {many(number, 'more row', 'more rows')})")
        entries = many(len(self._places), "entry", "entries")
        self._output.error(f"{many(self.count, 'problem', 'problems')} in {entries}")
        return ExitCode.USAGE
