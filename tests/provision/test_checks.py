"""What is seen between entries before anything is sent that could not be undone."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encord_async.engine.outcome import Status
from encord_async.errors import ManifestError
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.manifest import checker as manifest_checker
from encord_async.manifest.checker import Checker
from encord_async.manifest.digests import Digests
from encord_async.manifest.files import CheckReport, check_manifest
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.plan import Verb
from encord_async.protocol.catalogue import ProjectUserRole
from tests.provision.conftest import Project, Service, provision
from tests.provision.world import open_world

Entry = dict[str, Any]
HASH = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1"
Check = Callable[..., CheckReport]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a manifest of entries in a file."""
    monkeypatch.chdir(tmp_path)

    def report(*entries: Entry, **how: Any) -> CheckReport:
        Path("m.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return check_manifest("m.jsonl", **how)

    return report


def texts(report: CheckReport) -> list[str]:
    """What is wrong."""
    return [str(problem) for problem in report.problems]


def warned(report: CheckReport) -> list[str]:
    """What is warned of, but for keys that are missing."""
    return [str(warning) for warning in report.warnings if warning.field != "key"]


# ------------------------------------------------------------------ twins


@pytest.mark.parametrize("kind", ["dataset", "project", "ontology", "group"])
def test_twins_are_refused(check: Check, kind: str) -> None:
    """Two things of one kind, title and description are refused with both places, whatever their keys; stamps help."""
    title = "name" if kind == "group" else "title"
    first: Entry = {"kind": kind, title: "Cats", "key": "a"}
    entries = [first, {"kind": "dataset" if kind == "project" else "project", "title": "Cats"}, first | {"key": "b"}]
    entries += [first | {"key": "c", "description": "others"}, first | {"key": "d", title: "Cats "}]
    one = "an ontology" if kind == "ontology" else f"a {kind}"
    assert texts(check(*entries)) == [
        f"m.jsonl:{line}: {title}: 'Cats' is the title of {one} with the same description at m.jsonl:1; give them "
        "other titles or descriptions, or use --stamp; a key does not tell them apart on the server"
        for line in (3, 5)
    ]
    assert not texts(check(*entries, stamps=True))


async def test_twins_in_a_stream_stop_the_run(service: Service) -> None:
    """Entries from an iterator are held to the same; with stamps both are made."""
    cats = {"kind": "project", "title": "Cats"}
    with pytest.raises(ManifestError, match="is the title of a project"):
        await provision(service, (entry for entry in [cats, cats]))
    assert (await provision(service, iter([cats, cats]), stamp=True)).statuses == ["created", "created"]


def test_a_twin_in_another_file_is_named() -> None:
    """Of entries from several files, the place of the first twin is that in its own file."""
    checker = Checker()
    for number, source in enumerate(["a.jsonl", "b.jsonl", "a.jsonl"], 1):
        placed = PlacedEntry(Place(source, number, number), ProjectEntry(title=f"P{number}"))
        assert checker.add(placed) == ()
    [problem] = checker.add(PlacedEntry(Place("a.jsonl", 4, 4), ProjectEntry(title="P2")))
    assert "with the same description at b.jsonl:2" in problem.reason


def test_a_bad_entry_is_nobodys_twin(check: Check) -> None:
    """What is not made because it is bad for another reason does not make another bad."""
    bad = {"kind": "project", "title": "Cats", "datasets": [HASH, HASH]}
    assert [problem.place.line for problem in check(bad, {"kind": "project", "title": "Cats"}).problems] == [1]


# ------------------------------------------------------------------ users


def users(project: str, role: str | None, *emails: str, remove: tuple[str, ...] = ()) -> Entry:
    """Users of a project."""
    entry: Entry = {"kind": "project_users", "project": project, "remove": list(remove)}
    return entry | ({"emails": list(emails), "role": role} if role else {})


def test_a_user_has_one_role_in_a_project(check: Check) -> None:
    """Two roles, or a role and a removal, in entries of one project are refused; the same twice is one wish."""
    report = check(
        {"kind": "project", "key": "p", "title": "P", "users": [{"email": "ann@x.org", "role": "annotator"}]},
        users("@p", "annotator", "Ann@x.org"),
        users("@p", "reviewer", "bob@x.org", "ANN@x.org"),
        users("@p", None, remove=("bob@x.org",)),
        users(HASH, "reviewer", "ann@x.org"),
        users(HASH, None, remove=("bob@x.org",)),
    )
    assert texts(report) == [
        "m.jsonl:3: emails.1: 'ANN@x.org' is annotator of @p by an earlier entry, and is reviewer of it by this one",
        "m.jsonl:4: remove.0: 'bob@x.org' is reviewer of @p by an earlier entry, and is removed from it by this one",
    ]


def test_what_is_not_compared_is_told(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so many users that it would take room, only the first are compared, and that is a warning."""
    monkeypatch.setattr(manifest_checker, "MAX_COMPARED", 2)
    report = check(*(users("@p", "admin", f"u{number}@x.org") for number in range(4)))
    assert "users of projects beyond the first 2 were not compared" in warned(report)[0]


def test_comparing_users_takes_little_room() -> None:
    """Of each user a few bytes are kept, and never more than for so many."""
    checker = Checker()
    checker.add(PlacedEntry(Place("m", 1, 1), ProjectEntry(key="p", title="P")))
    tracemalloc.start()
    try:
        for number in range(5_000):
            entry = ProjectUsersEntry(project="@p", emails=(f"u{number}@x.org",), role=ProjectUserRole.ADMIN)
            checker.add(PlacedEntry(Place("m", number, number), entry))
        held = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    # Of all threads, such as those of a cluster that other tests have started, so only what our own lines have made.
    ours = tracemalloc.Filter(inclusive=True, filename_pattern=f"{Path(manifest_checker.__file__).parents[1]}/*")
    assert 0 < sum(trace.size for trace in held.filter_traces([ours]).traces) < 5_000 * 45


def test_digests_find_what_was_put() -> None:
    """However many there are, each finds its own number, until there is no room for more."""
    digests = Digests("Q", most=5_000)
    assert [digests.put(("a", number), number) for number in range(6_000)] == [None] * 6_000
    assert [digests.put(("a", number), 0) for number in range(5_000)] == list(range(5_000))
    assert digests.is_full
    assert digests.put(("a", 5_500), 0) is None


# ------------------------------------------------------------------ warnings


def test_what_is_made_without_a_key_is_warned_of_once(check: Check) -> None:
    """One warning counts the entries that make something and have no key, and names the first places."""
    entries = [{"kind": "dataset", "title": f"D{number}"} for number in range(8)]
    [warning] = check({"kind": "dataset", "title": "D", "key": "d"}, *entries, users("@d", None)).warnings
    assert str(warning).startswith(
        "m.jsonl:2: key: is missing in 8 entries that make something (lines 2, 3, 4, 5, 6 and 3 more); give each a key"
    )
    [warning] = check(entries[0]).warnings
    assert str(warning).startswith("m.jsonl:1: key: is missing, and the entry makes something; give each a key")
    assert not check(users(HASH, "admin", "a@x.org")).warnings


def test_titles_with_blanks_are_trimmed_and_told(check: Check) -> None:
    """Blanks at the ends of a title are left out, and a warning says of how many."""
    report = check(
        {"kind": "dataset", "title": " Cats\t"}, {"kind": "group", "name": "G\u00a0"}, {"kind": "dataset", "title": "D"}
    )
    assert warned(report) == [
        "m.jsonl:1: 2 entries have a title with blanks at its ends, which are left out (lines 1, 2); leave them out in "
        "the manifest too"
    ]
    assert ProjectEntry(title=" P ").title == "P"


@pytest.mark.parametrize("existing", ["adopt", "fail"])
async def test_what_is_there_with_blanks_is_found(service: Service, existing: str) -> None:
    """A thing that was made with blanks around its title is taken for ours, or in the way, as without them."""
    service.projects["p"] = Project(" Cats ", "of ours\n", keys=[("ci ", ("label.read",))])
    entry: Entry = {"kind": "project", "key": "k", "title": "Cats", "description": "of ours"}
    entry |= {"api_keys": [{"title": " ci", "scopes": ["label.read"]}]}
    done = await provision(service, [entry], existing=existing)
    assert done.statuses == [{"adopt": "adopted", "fail": "failed"}[existing]]
    assert len(service.projects) == len(service.projects["p"].keys) == 1


def test_what_is_no_uuid_is_warned_of(check: Check) -> None:
    """A reference that is no UUID may be a key without its @: it is bad if there is such a key, before or after."""
    report = check(
        {"kind": "project", "key": "p", "title": "P", "datasets": ["raw", "nope", HASH, "@raw"]},
        {"kind": "dataset", "key": "raw", "title": "Raw"},
        {"kind": "group", "key": "g", "name": "G", "members": ["a@x.org"]},
        users("p", "admin", "a@x.org"),
    )
    assert texts(report) == [
        "m.jsonl:1: datasets.0: 'raw' is the key of m.jsonl:2; write '@raw'",
        "m.jsonl:4: project: 'p' is the key of m.jsonl:1; write '@p'",
    ]
    assert warned(report) == [
        "m.jsonl:1: 2 references are no UUID (lines 1, 1); hashes look like aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1; is "
        "an '@' missing?"
    ]


# ------------------------------------------------------------------ hashes that are not there

NOWHERE = "00000000-0000-4000-8000-00000000dead"


@pytest.mark.parametrize(
    "fields",
    [
        {"datasets": [NOWHERE]},
        {"ontology": NOWHERE},
        {"ontology_hash": NOWHERE},
        {"copy_of": NOWHERE, "description": "a copy"},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_a_plan_finds_what_a_project_refers_to_in_vain(fields: Entry) -> None:
    """The hash of a dataset, an ontology or what is copied that is not there is refused by plan and run."""
    async with open_world() as world:
        entry = {"kind": "project", "key": "p", "title": "P", **fields}
        refused = [action for action in await world.actions([entry]) if action.verb is Verb.REFUSE]
        assert ["no such" in (action.reason or "") for action in refused] == [True], refused
        [outcome] = (await world.run([entry])).values()
        assert outcome.status is Status.FAILED


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "project_users", "emails": ["a@x.org"], "role": "admin"},
        {"kind": "project_datasets", "add": [NOWHERE]},
        {"kind": "project_groups", "add": [NOWHERE], "role": "admin"},
        {"kind": "project_api_key", "title": "k", "scopes": ["label.read"]},
    ],
    ids=lambda entry: entry["kind"],
)
@pytest.mark.parametrize("is_there", [False, True])
async def test_a_plan_finds_what_is_not_there_to_be_given(entry: Entry, is_there: bool) -> None:
    """So is the hash of a project, a dataset or a group in an entry about a project."""
    async with open_world() as world:
        project = await world.session.create_project("P") if is_there else NOWHERE
        entry = {"project": project, **entry}
        refused = [action for action in await world.actions([entry]) if action.verb is Verb.REFUSE]
        [outcome] = (await world.run([entry])).values()
        assert bool(refused) == (outcome.status is Status.FAILED)
        assert bool(refused) == (not is_there or NOWHERE in entry.get("add", []))
