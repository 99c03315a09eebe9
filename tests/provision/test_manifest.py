import functools
import json
from collections import UserDict
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.faults import Fault
from encord_async.kinds.project import ProjectEntry, UserWish
from encord_async.kinds.project_users import ProjectUsersEntry
from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest import checker as checker_module
from encord_async.manifest.checker import Checker
from encord_async.manifest.known import Keys, OpenReferences, Places
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.reading import json_value, read_entry, read_json_entry
from encord_async.manifest.schema import manifest_schema
from encord_async.protocol.catalogue import APIKeyScope, OrganisationRole, ProjectUserRole, StorageLocation

HASH = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1"
PLACE = Place("cats.jsonl", 12, 10)
FROM_THE_README: tuple[dict[str, Any], ...] = (
    {"kind": "dataset", "key": "cats-raw", "title": "Cats raw", "description": "", "storage": "cord"},
    {
        "kind": "project",
        "key": "cats",
        "title": "Cats",
        "description": "",
        "ontology_hash": None,
        "datasets": ["@cats-raw", HASH],
        "users": [{"email": "ann@example.com", "role": "annotator"}],
        "api_keys": [{"title": "ci", "scopes": ["label.read", "label.write"]}],
    },
    {"kind": "project_datasets", "project": "@cats", "add": [HASH], "remove": ["@cats-raw"]},
    {"kind": "project_users", "project": "@cats", "emails": ["bob@example.com"], "role": "reviewer"},
    {"kind": "project_api_key", "project": "@cats", "title": "export", "scopes": ["label.read"]},
    {"kind": "project_users", "project": "@cats", "remove": ["eve@example.com"]},
    {"kind": "project", "title": "Cats", "description": "2", "copy_of": "@cats", "copy_options": ["datasets"]},
    {"kind": "project", "title": "Lions", "ontology": "@felines"},
    {"kind": "ontology", "key": "felines", "title": "Felines", "structure": {"objects": [], "classifications": []}},
    {"kind": "group", "key": "night", "name": "Night shift", "members": ["@ann", "bob@example.com"]},
    {"kind": "organisation_user", "key": "ann", "email": "ann@example.com", "member_type": "external"},
    {"kind": "project_groups", "project": "@cats", "add": ["@night"], "role": "reviewer", "remove": [HASH]},
    {"kind": "folder", "key": "images", "name": "Images", "parent": HASH, "metadata": {"site": 1}},
)


def problems_of(raw: object) -> list[tuple[str, str, str]]:
    """Field, reason and hint of each problem of an entry that has some."""
    result = read_entry(raw, PLACE)
    assert isinstance(result, tuple), f"no problem was found in {raw}"
    assert all(problem.place is PLACE for problem in result)
    return [(problem.field, problem.reason, problem.hint) for problem in result]


def problem_of(raw: object) -> tuple[str, str, str]:
    """The one problem of an entry."""
    (problem,) = problems_of(raw)
    return problem


def entry_of(raw: object) -> Entry:
    """The entry, which has to be good."""
    result = read_entry(raw, PLACE)
    assert not isinstance(result, tuple), result
    return result


def project(**fields: object) -> dict[str, object]:
    """A project that lacks nothing, and *fields*."""
    return {"kind": "project", "title": "Cats", **fields}


# ------------------------------------------------------------------ what is read


@pytest.mark.parametrize("raw", FROM_THE_README, ids=lambda raw: str(raw["kind"]))
def test_each_kind_of_the_documentation_is_read(raw: dict[str, Any]) -> None:
    """The entries that the documentation shows are good, as dictionaries and as lines."""
    entry = entry_of(raw)
    assert type(entry) is ENTRY_MODELS[raw["kind"]]
    assert read_json_entry(json.dumps(raw).encode() + b"\r\n", PLACE) == entry


def test_entries_and_other_mappings_are_taken() -> None:
    """An entry made in Python passes as it is; a mapping need not be a dict; parts may be models."""
    entry = DatasetEntry(title="Cats")
    assert read_entry(entry, PLACE) is entry
    assert entry_of(UserDict({"kind": "dataset", "title": "Cats"})) == entry
    users = (UserWish(email="ann@example.com", role=ProjectUserRole.ADMIN),)
    assert entry_of(project(users=users)) == ProjectEntry(title="Cats", users=users)


@pytest.mark.parametrize("role", list(ProjectUserRole))
def test_roles_are_words_or_numbers(role: ProjectUserRole) -> None:
    """A role is read from its word in any case, its number, its number as text, or the enumeration's member."""
    for written in (role.name.lower(), f" {role.name.title()} ", int(role), str(int(role)), role):
        entry = entry_of({"kind": "project_users", "project": HASH, "emails": ["a@b.de"], "role": written})
        assert isinstance(entry, ProjectUsersEntry)
        assert entry.role is role


@pytest.mark.parametrize(("word", "number"), [("cord", 0), ("AWS", 1), ("gcp", 2), ("azure", 3), ("s3_compatible", 4)])
def test_storages_are_words_or_numbers(word: str, number: int) -> None:
    """Where a dataset lives is read from a word, a number, or a number as text."""
    for written in (word, number, str(number)):
        entry = entry_of({"kind": "dataset", "title": "Cats", "storage": written})
        assert isinstance(entry, DatasetEntry)
        assert entry.storage is StorageLocation(number)


# ------------------------------------------------------------------ what is wrong with one entry

ROLES = "admin, annotator, reviewer, annotator_reviewer, team_manager, viewer, or 0 to 5"
KINDS = (
    "dataset, project, project_datasets, project_users, project_api_key, project_groups, ontology, group, "
    "organisation_user, folder, data, project_tasks"
)
GIVE = "give a hash, or '@' and the key of another entry"


@pytest.mark.parametrize(
    ("raw", "field", "reason", "hint"),
    [
        (["dataset"], "", "must be an object with a 'kind', not a list", ""),
        ("dataset", "", "must be an object with a 'kind', not text", ""),
        (None, "", "must be an object with a 'kind', not null", ""),
        (
            UserWish(email="a@b.de", role=ProjectUserRole.ADMIN),
            "",
            "must be an object with a 'kind', not a UserWish",
            "",
        ),
        ({}, "kind", "is missing", f"use one of {KINDS}"),
        ({"project": HASH, "emails": [], "role": 1}, "kind", "is missing", "its fields are those of 'project_users'"),
        (
            {"kind": "folder", "name": "F", "metadata": {"encord_async": 1}},
            "metadata",
            "'encord_async' in it is what a run writes there itself",
            "give it another name",
        ),
        ({"kind": "folder", "name": "F", "metadata": [1]}, "metadata", "must be an object, not a list", ""),
        (
            {"kind": "folder", "name": "F", "metadata": "site=north"},
            "metadata",
            "'site=north' is no JSON object",
            'write it as {"site": "north"}',
        ),
        (
            {"kind": "folder", "name": "F", "cloud": {"integration": "bucket"}},
            "cloud",
            "'url' is missing",
            "write {integration: bucket, url: s3://bucket/prefix/}",
        ),
        (
            {"kind": "folder", "name": "F", "cloud": {"integration": "bucket", "uri": "s3://b/"}},
            "cloud",
            "'uri' is not a part of a cloud",
            "did you mean 'url'?",
        ),
        ({"kind": "proyect"}, "kind", f"'proyect' is no kind of entry; use one of {KINDS}", "did you mean 'project'?"),
        ({"kind": ["x"]}, "kind", f"a list is no kind of entry; use one of {KINDS}", ""),
        ({"kind": None}, "kind", f"null is no kind of entry; use one of {KINDS}", ""),
        (project(dataset_hashes=[]), "dataset_hashes", "is not a field of a project entry", "did you mean 'datasets'?"),
        (
            {"kind": "dataset", "title": "Cats", "scopes": []},
            "scopes",
            "is not a field of a dataset entry",
            "it has kind, key, moved, title, description, storage, create_backing_folder, users, groups, folder, items",
        ),
        (
            project(users=[{"email": "a@b.de", "role": 1, "rol": 1}]),
            "users.0.rol",
            "is not a field of a user",
            "did you mean 'role'?",
        ),
        (
            project(api_keys=[{"title": "ci", "name": "ci", "scopes": ["label.read"]}]),
            "api_keys.0.name",
            "is not a field of an API key",
            "did you mean 'title'?",
        ),
        ({"kind": "dataset"}, "title", "is missing", ""),
        (project(users=[{"role": 1}]), "users.0.email", "is missing", ""),
        (project(title=""), "title", "must not be empty", ""),
        (project(title=" \t"), "title", "must not be empty", ""),
        (project(title=12), "title", "must be text, not a number", "put it in quotes"),
        (project(title=True), "title", "must be text, not true or false", "put it in quotes"),
        (project(title=b"Cats"), "title", "must be text, not a bytes", "put it in quotes"),
        (project(title=["Cats"]), "title", "must be text, not a list", ""),
        (project(description=None), "description", "must be text, not null", "leave it out"),
        (project(title="\ud800"), "title", "holds half of a character (a lone surrogate)", ""),
        (project(description="\ud800"), "description", "holds half of a character (a lone surrogate)", ""),
        (project(datasets="a, b"), "datasets", "must be a list, not text", "put it in [brackets]"),
        (project(datasets=None), "datasets", "must be a list, not null", "leave it out"),
        (project(datasets={"a": 1}), "datasets", "must be a list, not an object", ""),
        (project(users=["a@b.de"]), "users.0", "must be an object with email and role", ""),
        (project(datasets=["@"]), "datasets.0", "'@' names no key", GIVE),
        (project(datasets=["@a\n"]), "datasets.0", r"'@a\n' names no key", GIVE),
        (project(datasets=["ok", ""]), "datasets.1", "'' is no hash", GIVE),
        (project(datasets=["my cats"]), "datasets.0", "'my cats' is no hash", GIVE),
        (project(datasets=["kätzchen"]), "datasets.0", "'kätzchen' is no hash", GIVE),
        (project(key=""), "key", "must not be empty", ""),
        (project(key="@cats"), "key", "must not begin with '@'", "only references to the key do"),
        (project(key="a\x1b[2J"), "key", r"'a\x1b[2J' holds a character that cannot be printed", ""),
        (
            project(ontology_hash="@o"),
            "ontology_hash",
            "'@o' is a reference, which this field does not take",
            "call the field 'ontology'",
        ),
        (project(ontology_hash=""), "ontology_hash", "'' is no hash", ""),
        (
            project(users=[{"email": "a@b.de", "role": "anotator"}]),
            "users.0.role",
            f"'anotator' is no role; use one of {ROLES}",
            "did you mean 'annotator'?",
        ),
        (project(users=[{"email": "a@b.de", "role": 6}]), "users.0.role", f"6 is no role; use one of {ROLES}", ""),
        (project(users=[{"email": "a@b.de", "role": -1}]), "users.0.role", f"-1 is no role; use one of {ROLES}", ""),
        (
            project(users=[{"email": "a@b.de", "role": "--5"}]),
            "users.0.role",
            f"'--5' is no role; use one of {ROLES}",
            "",
        ),
        (project(users=[{"email": "a@b.de", "role": "²"}]), "users.0.role", f"'²' is no role; use one of {ROLES}", ""),
        (
            project(users=[{"email": "a@b.de", "role": True}]),
            "users.0.role",
            f"true is no role; use one of {ROLES}",
            "",
        ),
        (project(users=[{"email": "a@b.de", "role": 1.0}]), "users.0.role", f"1.0 is no role; use one of {ROLES}", ""),
        (
            project(users=[{"email": "a@b.de", "role": None}]),
            "users.0.role",
            f"null is no role; use one of {ROLES}",
            "",
        ),
        (
            project(users=[{"email": "a@b.de", "role": 10**5000}]),
            "users.0.role",
            f"a number that large is no role; use one of {ROLES}",
            "",
        ),
        (
            {"kind": "dataset", "title": "Cats", "storage": "azur"},
            "storage",
            "'azur' is no storage; use one of cord, aws, gcp, azure, s3_compatible, or 0 to 4",
            "did you mean 'azure'?",
        ),
        (
            project(api_keys=[{"title": "ci", "scopes": ["label.raed"]}]),
            "api_keys.0.scopes.0",
            f"'label.raed' is no scope; use one of {', '.join(APIKeyScope)}",
            "did you mean 'label.read'?",
        ),
        (project(api_keys=[{"title": "ci", "scopes": []}]), "api_keys.0.scopes", "must not be empty", ""),
        (project(**{"a\nb": 1}), r"'a\nb'", "is not a field of a project entry", None),
        ({"kind": "dataset", "title": "Cats", 3: 4}, "3", "names of fields must be text", ""),
    ],
)
def test_a_fault_is_named_with_field_reason_and_guess(raw: object, field: str, reason: str, hint: str | None) -> None:
    """Each fault is one problem: the field's path, a reason in plain words and, where one can tell, what was meant."""
    found_field, found_reason, found_hint = problem_of(raw)
    assert (found_field, found_reason) == (field, reason)
    assert hint is None or found_hint == hint


@pytest.mark.parametrize(
    "email",
    [
        *(
            "",
            "ann",
            "ann@",
            "@example.com",
            "ann@example",
            "ann@.com",
            "ann@example.",
            "a@b@c.de",
            "a b@c.de",
            "a@b..de",
        ),
        *("Ann <ann@example.com>", "a@b.de,c@d.de", "a@b.de;", "a@b.de\n", "a@b.d\x00e", "\ud800@b.de", "mailto:@x"),
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    """An e-mail address that cannot be one is a problem, and the message can be printed."""
    field, reason, _ = problem_of(project(users=[{"email": email, "role": "admin"}]))
    assert field == "users.0.email"
    assert reason == f"{email!r} is no e-mail address"
    assert reason.isprintable()


@pytest.mark.parametrize(
    "email", ["ann@example.com", "a.b+c@x.co.uk", "ännchen@bücher.de", "o'neill_1@sub.example.org"]
)
def test_ordinary_addresses_pass(email: str) -> None:
    """Addresses with plus signs, apostrophes, umlauts and subdomains are good."""
    entry = entry_of(project(users=[{"email": email, "role": "admin"}]))
    assert isinstance(entry, ProjectEntry)
    assert entry.users[0].email == email


def test_all_faults_of_an_entry_are_listed() -> None:
    """An entry with several faults gives as many problems, in the order of its fields; a long list is cut."""
    raw = project(titel="Cats", users=[{"email": "x", "role": "boss"}, 3], api_keys=[{"scopes": ["x"]}])
    fields = [field for field, _, _ in problems_of(raw)]
    assert fields == ["users.0.email", "users.0.role", "users.1", "api_keys.0.title", "api_keys.0.scopes.0", "titel"]
    many = problems_of({"kind": "project_users", "project": HASH, "emails": ["x"] * 250, "role": 1})
    assert len(many) == 101
    assert many[-1] == ("", "has 150 more problems", "")


def test_a_problem_reads_like_a_compilers_message() -> None:
    """A problem as text is place, field, reason and guess; without lines, the place is the number of the entry."""
    result = read_entry(project(users=[{"email": "a@b.de", "role": "anotator"}]), PLACE)
    assert isinstance(result, tuple)
    assert str(result[0]) == (
        f"cats.jsonl:12: users.0.role: 'anotator' is no role; use one of {ROLES}; did you mean 'annotator'?"
    )
    assert str(Problem(Place("<iterable>", None, 3), "", "is bad")) == "entry 3: is bad"


def test_long_values_are_not_repeated_in_full() -> None:
    """A megabyte in the wrong place does not end in the terminal."""
    raw = project(key="k" * 10**6 + "\n", **{"f" * 10**6: 1}, users=[{"email": "x" * 10**6, "role": "r" * 10**6}])
    result = read_entry(raw, PLACE)
    assert isinstance(result, tuple)
    assert len(result) == 4
    assert max(len(str(problem)) for problem in result) < 400


def test_problems_carry_the_key_of_the_bad_entry() -> None:
    """The key is kept where it can be read, also if the kind cannot."""
    for raw in (project(key="cats", titel="x"), {"kind": "proyect", "key": "cats"}, {"key": "cats"}):
        result = read_entry(raw, PLACE)
        assert isinstance(result, tuple)
        assert {problem.key for problem in result} == {"cats"}


# ------------------------------------------------------------------ lines of JSON


@pytest.mark.parametrize(
    ("line", "field", "reason", "hint"),
    [
        (b'{"kind": "dataset", "title": "a", "title": "b"}', "title", "is given twice in one object", ""),
        (b'{"kind": "project", "users": [{"role": 1, "role": 1}]}', "role", "is given twice in one object", ""),
        (b"# cats", "", "is not JSON: expecting value at column 1", "JSONL has no comments"),
        (b"// cats", "", "is not JSON: expecting value at column 1", "JSONL has no comments"),
        (b'{"kind": "dataset"},\n', "", "is not JSON: extra data at column 20", "no comma between the lines"),
        (
            b"{\n",
            "",
            "is not JSON: expecting property name enclosed in double quotes at column 2",
            "write each entry on one line of its own",
        ),
        (b'{"kind": "data\n', "", "is not JSON: unterminated string starting at column 10", None),
        (b'{"a": NaN}', "", "holds NaN, which JSON does not have", ""),
        (b'{"a": -Infinity}', "", "holds -Infinity, which JSON does not have", ""),
        (b'{"a": ' + b"1" * 5000 + b"}", "", "holds a number with too many digits", ""),
        (b"[" * 100_000, "", "is nested too deeply", ""),
        (b'{"title": "\xff"}', "", "is not UTF-8 at byte 12 of the line", "save the file as UTF-8"),
        (b"[1]", "", "must be an object with a 'kind', not a list", ""),
        (b'{"kind": "dataset", "title": "\\ud800"}', "title", "holds half of a character (a lone surrogate)", ""),
    ],
)
def test_a_line_that_is_no_entry(line: bytes, field: str, reason: str, hint: str | None) -> None:
    """What is wrong with a line as JSON is said with the column, and what was probably done."""
    result = read_json_entry(line, PLACE)
    assert isinstance(result, tuple)
    (problem,) = result
    assert (problem.place, problem.field, problem.reason) == (PLACE, field, reason)
    assert hint is None or problem.hint == hint


# ------------------------------------------------------------------ properties

WORDS = st.sampled_from(
    [
        *ENTRY_MODELS,
        *(name for model in ENTRY_MODELS.values() for name in model.model_fields),
        "email",
        "",
        "@x",
        "admin",
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=6),
    max_leaves=12,
)
NEAR_ENTRIES = st.fixed_dictionaries({"kind": st.sampled_from(list(ENTRY_MODELS))}).flatmap(
    lambda start: st.dictionaries(
        st.sampled_from([*ENTRY_MODELS[start["kind"]].model_fields]), JSON_VALUES, max_size=8
    ).map(lambda rest: {**rest, **start})
)

TITLES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
KEYS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1).filter(
    lambda key: key.isprintable() and not key.startswith("@")
)
HASHES = st.uuids().map(str)
REFERENCES = HASHES | KEYS.map("@{}".format)
EMAILS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?@[a-z]{1,8}\.[a-z]{2,3}", fullmatch=True)
SCOPES = st.lists(st.sampled_from(APIKeyScope), min_size=1)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.builds(
        DatasetEntry,
        kind=st.just("dataset"),
        key=st.none() | KEYS,
        title=TITLES,
        description=TITLES | st.just(""),
        storage=st.sampled_from(StorageLocation),
        create_backing_folder=st.booleans(),
    ),
    st.fixed_dictionaries(
        {"title": TITLES, "datasets": st.lists(REFERENCES), "ontology_hash": st.none() | HASHES},
        optional={
            "key": KEYS,
            "users": st.lists(st.fixed_dictionaries({"email": EMAILS, "role": st.sampled_from(ProjectUserRole)})),
            "api_keys": st.lists(st.fixed_dictionaries({"title": TITLES, "scopes": SCOPES})),
        },
    ).map(ENTRY_MODELS["project"].model_validate),
    st.fixed_dictionaries({"project": REFERENCES, "add": st.lists(REFERENCES), "remove": st.lists(REFERENCES)}).map(
        ENTRY_MODELS["project_datasets"].model_validate
    ),
    st.fixed_dictionaries(
        {"project": REFERENCES, "emails": st.lists(EMAILS, min_size=1), "role": st.sampled_from(ProjectUserRole)}
    ).map(ENTRY_MODELS["project_users"].model_validate),
    st.fixed_dictionaries({"project": REFERENCES, "title": TITLES, "scopes": SCOPES}).map(
        ENTRY_MODELS["project_api_key"].model_validate
    ),
    st.fixed_dictionaries(
        {"project": REFERENCES, "add": st.lists(REFERENCES, min_size=1), "role": st.sampled_from(ProjectUserRole)}
    ).map(ENTRY_MODELS["project_groups"].model_validate),
    st.fixed_dictionaries(
        {"title": TITLES, "structure": st.none() | st.dictionaries(KEYS, st.lists(st.integers()), max_size=3)}
    ).map(ENTRY_MODELS["ontology"].model_validate),
    st.fixed_dictionaries({"name": TITLES, "members": st.lists(EMAILS | KEYS.map("@{}".format))}).map(
        ENTRY_MODELS["group"].model_validate
    ),
    st.fixed_dictionaries(
        {"email": EMAILS, "role": st.sampled_from(OrganisationRole).map(lambda role: role.value.lower())}
    ).map(ENTRY_MODELS["organisation_user"].model_validate),
    st.fixed_dictionaries(
        {
            "name": TITLES,
            "parent": st.none() | REFERENCES,
            "metadata": st.dictionaries(KEYS, st.lists(TITLES), max_size=2),
        }
    ).map(ENTRY_MODELS["folder"].model_validate),
)


@given(JSON_VALUES | NEAR_ENTRIES)
@example({"kind": "project", "title": "\udfff", "key": "\udfff", "\udfff": "\udfff"})
def test_any_value_is_an_entry_or_problems(raw: object) -> None:
    """Whatever JSON can hold is read or refused in text that can be written anywhere; nothing is raised."""
    result = read_entry(raw, PLACE)
    if isinstance(result, tuple):
        assert result
        for problem in result:
            str(problem).encode()
            assert str(problem).isprintable()
    else:
        assert Checker().add(PlacedEntry(PLACE, result)) is not None
    assert read_json_entry(json.dumps(raw).encode(), PLACE)


@given(st.binary())
def test_any_line_is_an_entry_or_problems(line: bytes) -> None:
    """Any bytes as a line are read or refused; nothing is raised."""
    assert read_json_entry(line, PLACE)


_PIECES = st.sampled_from(
    ['"a"', '"b"', '"a:"', ":", ": ", " :", ",", "{", "}", "[", "]", "1", "NaN", "1e9", "\\ud800", " ", "\n", '"\\":"']
)


@given(st.lists(_PIECES, max_size=12).map(lambda pieces: "{" + "".join(pieces) + "}"))
@example('{"a":1,"a":2}')
@example('{"a" :1,"a:":2}')
@example('{"a":1,"b":{"a":1,"a":2}}')
@example('{"a"\n:1,"a":2}')
@example('{"a":{"a" :1,"b":1},"a":1}')
def test_short_lines_are_read_as_long_ones(line: str) -> None:
    """How long a line is makes no difference to what it says, nor to what is wrong with it."""
    short, long = json_value(line.encode()), json_value((line + 5000 * " ").encode())
    is_wrong = isinstance(short, Fault)
    assert is_wrong == isinstance(long, Fault)
    # Of what is no JSON the column is said.
    assert is_wrong or short == long


@given(ENTRIES)
def test_an_entry_written_as_json_is_read_as_itself(entry: Entry) -> None:
    """What the models write, the reader reads, with all values equal."""
    assert read_json_entry(entry.model_dump_json().encode(), PLACE) == entry
    assert read_json_entry(json.dumps(entry.model_dump(mode="json")).encode(), PLACE) == entry


# ------------------------------------------------------------------ between entries


def check(raws: Iterable[object]) -> tuple[list[list[str]], list[str]]:
    """What the checker says at each entry, and what at the end."""
    checker = Checker()
    told: list[list[str]] = []
    for number, raw in enumerate(raws, 1):
        place = Place("m.jsonl", number, number)
        result = read_entry(raw, place)
        if isinstance(result, tuple):
            for problem in result:
                checker.refuse(problem)
            told.append([])
        else:
            told.append([str(problem) for problem in checker.add(PlacedEntry(place, result))])
    return told, [str(problem) for problem in checker.finish()]


def dataset(key: str) -> dict[str, object]:
    """A dataset that has a key."""
    return {"kind": "dataset", "key": key, "title": key}


def users(reference: str, *emails: str) -> dict[str, object]:
    """Users for the project that is referred to."""
    return {"kind": "project_users", "project": reference, "emails": emails or ("a@b.de",), "role": "admin"}


def test_references_may_stand_before_or_after_what_they_name() -> None:
    """The documentation's manifest is good forwards and backwards, and so is a hash that nobody knows."""
    assert check(FROM_THE_README) == ([[]] * len(FROM_THE_README), [])
    assert check(reversed(FROM_THE_README)) == ([[]] * len(FROM_THE_README), [])
    assert check([users(HASH)]) == ([[]], [])


def test_a_key_is_given_once() -> None:
    """A second entry of one key is a problem that names the first, whatever kinds they are."""
    told, end = check([dataset("cats"), project(key="dogs"), project(key="cats"), users("@dogs")])
    assert told == [[], [], ["m.jsonl:3: key: 'cats' is the key of m.jsonl:1 already"], []]
    assert end == []


def test_a_reference_to_nothing_is_told_at_the_end() -> None:
    """References that no entry answers are listed in order, with the key of the right kind that was probably meant."""
    cats = project(key="cats", datasets=["@cats-rew"])
    told, end = check([users("@cts"), cats, dataset("cats-raw"), users("@zebra"), dataset("cts-")])
    assert told == [[]] * 5
    assert end == [
        "m.jsonl:1: project: '@cts' refers to nothing: no entry has this key; did you mean '@cats'?",
        "m.jsonl:2: datasets.0: '@cats-rew' refers to nothing: no entry has this key; did you mean '@cats-raw'?",
        "m.jsonl:4: project: '@zebra' refers to nothing: no entry has this key",
    ]


def test_a_key_of_the_wrong_kind_is_told_at_once_if_it_is_known() -> None:
    """A dataset where a project is needed is a problem, and so is a kind that cannot be referred to at all."""
    named = {**users("@cats"), "key": "team"}
    told, end = check([dataset("raw"), project(key="cats"), users("@raw"), named, project(datasets=["@team", "@cats"])])
    assert told[2] == ["m.jsonl:3: project: '@raw' is a dataset, and 'project' needs a project"]
    assert told[4] == [
        "m.jsonl:5: datasets.0: '@team' is a project_users, and 'datasets' needs a dataset",
        "m.jsonl:5: datasets.1: '@cats' is a project, and 'datasets' needs a dataset",
    ]
    assert end == []


def test_a_key_of_the_wrong_kind_is_told_at_the_end_if_it_comes_later() -> None:
    """The problem belongs to the entry with the reference, not to the one with the key."""
    told, end = check([users("@zebra"), users("@raw"), dataset("raw")])
    assert told == [[], [], []]
    assert end == [
        "m.jsonl:1: project: '@zebra' refers to nothing: no entry has this key",
        "m.jsonl:2: project: '@raw' is a dataset, and 'project' needs a project",
    ]


def test_an_entry_cannot_refer_to_itself() -> None:
    """A project that is its own dataset is a problem of its own."""
    told, end = check([project(key="cats", datasets=["@cats"])])
    assert told == [["m.jsonl:1: datasets.0: '@cats' refers to this entry itself"]]
    assert end == []


def test_a_key_without_its_at_sign_is_noticed() -> None:
    """A hash that is somebody's key was meant as a reference."""
    told, _ = check([project(key="cats"), users("cats")])
    assert told[1] == ["m.jsonl:2: project: 'cats' is the key of m.jsonl:1; write '@cats'"]


def test_copies_that_go_in_circles() -> None:
    """Projects that are copied from each other can never begin; the entry that closes the circle is told so."""

    def copy(key: str, of: str) -> dict[str, object]:
        return {"kind": "project", "key": key, "title": key, "description": "a copy", "copy_of": of}

    told, end = check([copy("a", "@b"), copy("b", "@c"), copy("c", "@a"), copy("d", "@a")])
    assert told == [[], [], ["m.jsonl:3: copy_of: '@a' is itself copied from this entry, if not directly"], []]
    assert end == []
    told, _ = check([copy("a", "@b"), copy("b", "@c"), {"kind": "project", "key": "c", "title": "c"}])
    assert told == [[], [], []]


def test_users_of_a_template_in_the_same_manifest_are_not_copied() -> None:
    """A template that is only being made may not have its users yet, so that a copy could miss some."""
    wish = {"title": "Copy", "description": "a copy", "copy_options": ["datasets", "collaborators"]}
    told, _ = check([{"kind": "project", "key": "p", "title": "P"}, {"kind": "project", **wish, "copy_of": "@p"}])
    assert told[1] == [
        "m.jsonl:2: copy_options.1: the users of an entry of this manifest may not be there yet when it is copied; "
        "give the copy 'users' of its own"
    ]
    told, _ = check([{"kind": "project", **wish, "copy_of": HASH}])
    assert told == [[]]


@pytest.mark.parametrize("bad_first", [True, False])
def test_a_reference_to_a_bad_entry_is_not_called_a_reference_to_nothing(bad_first: bool) -> None:
    """What refers to an entry that could not be read says so, wherever that entry stands."""
    entries = [project(key="cats", titel="x"), users("@cats")]
    told, end = check(entries if bad_first else reversed(entries))
    if bad_first:
        assert told[1] == ["m.jsonl:2: project: '@cats' names m.jsonl:1, which is wrong itself"]
    else:
        assert end == ["m.jsonl:1: project: '@cats' names m.jsonl:2, which is wrong itself"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            project(
                users=[{"email": "a@b.de", "role": 0}, {"email": "c@b.de", "role": 0}, {"email": "A@b.de", "role": 1}]
            ),
            ["users.2.email: 'A@b.de' is listed twice as admin and as annotator; see users.0"],
        ),
        (
            project(users=[{"email": "a@b.de", "role": 0}] * 3),
            [
                "users.1.email: 'a@b.de' is listed twice; see users.0",
                "users.2.email: 'a@b.de' is listed twice; see users.0",
            ],
        ),
        (project(datasets=["x", "y", "x"]), ["datasets.2: 'x' is listed twice; see datasets.0"]),
        (
            project(api_keys=[{"title": "ci", "scopes": ["label.read"]}, {"title": "ci", "scopes": ["label.write"]}]),
            ["api_keys.1.title: 'ci' is listed twice; see api_keys.0.title"],
        ),
        (
            project(api_keys=[{"title": "ci", "scopes": ["label.read", "label.read"]}]),
            ["api_keys.0.scopes.1: 'label.read' is listed twice; see api_keys.0.scopes.0"],
        ),
        (
            {"kind": "project_datasets", "project": HASH, "add": ["x", "y", "y"], "remove": ["z", "y"]},
            ["add.2: 'y' is listed twice; see add.1", "remove.1: 'y' is in 'add' too"],
        ),
        (
            {"kind": "project_datasets", "project": HASH, "remove": ["z", "z"]},
            ["remove.1: 'z' is listed twice; see remove.0"],
        ),
        (
            {"kind": "project_users", "project": HASH, "emails": [], "role": 1},
            ["emails: must not be empty; give 'emails' and 'role', or 'remove'"],
        ),
        ({"kind": "project_users", "project": HASH, "emails": ["a@b.de"]}, ["role: is missing"]),
        (
            {"kind": "project_users", "project": HASH, "remove": ["a@b.de"], "role": 1},
            ["role: is for 'emails', which is missing; leave it out"],
        ),
        (
            {"kind": "project_users", "project": HASH, "emails": ["a@b.de"], "role": 1, "remove": ["A@B.de"]},
            ["remove.0: 'a@b.de' is in 'emails' too"],
        ),
        ({"kind": "project_groups", "project": HASH, "add": [HASH]}, ["role: is missing"]),
        (
            {"kind": "project_groups", "project": HASH},
            ["add: must not be empty; give 'add' and 'role', or 'remove'"],
        ),
        (
            {"kind": "project_groups", "project": HASH, "add": [HASH], "remove": [HASH], "role": "viewer"},
            [f"remove.0: '{HASH}' is in 'add' too"],
        ),
        (
            {"kind": "group", "name": "G", "members": ["a@b.de", "A@b.de"]},
            ["members.1: 'a@b.de' is listed twice; see members.0"],
        ),
        (
            {"kind": "organisation_user", "email": "a@b.de", "role": "admin", "member_type": "external"},
            ["member_type: only an internal member can be admin of an organisation; use another role or type"],
        ),
        (
            {"kind": "folder", "name": "F", "groups": [{"group": HASH, "role": "user"}] * 2},
            [f"groups.1.group: '{HASH}' is listed twice; see groups.0.group"],
        ),
        (
            project(ontology=HASH, ontology_hash=HASH),
            ["ontology_hash: is an older word for 'ontology', which is given too; keep 'ontology'"],
        ),
        (project(copy_options=["datasets"]), ["copy_options: says what a copy takes along, and 'copy_of' is missing"]),
        (
            project(copy_of=HASH),
            [
                "description: is missing: a copy without one may get that of 'copy_of', and could not be told apart "
                "from others; describe the copy"
            ],
        ),
        (
            project(copy_of=HASH, description="2", ontology=HASH, workflow_template_id=HASH),
            [
                f"{field}: cannot be chosen for a copy, which has that of 'copy_of'; leave it out"
                for field in ("ontology", "workflow_template_id")
            ],
        ),
        (users(HASH, "a@b.de", "c@b.de", "a@b.de"), ["emails.2: 'a@b.de' is listed twice; see emails.0"]),
        (
            {"kind": "project_api_key", "project": HASH, "title": "x", "scopes": ["label.read", "label.read"]},
            ["scopes.1: 'label.read' is listed twice; see scopes.0"],
        ),
    ],
)
def test_what_stands_twice_in_an_entry(raw: object, expected: list[str]) -> None:
    """A user, dataset, API key or scope that an entry lists twice is a problem that points to the first one."""
    told, end = check([raw])
    assert told == [[f"m.jsonl:1: {problem}" for problem in expected]]
    assert end == []


def test_the_checker_keeps_only_keys_and_open_references() -> None:
    """Entries without a key whose references are known leave nothing behind but a digest."""
    checker = Checker()
    checker.add(PlacedEntry(Place("m", 1, 1), ProjectEntry(key="cats", title="Cats")))
    for number in range(2, 500):
        entry = ProjectUsersEntry(project="@cats", emails=(f"u{number}@example.com",), role=ProjectUserRole.ADMIN)
        assert checker.add(PlacedEntry(Place("m", number, number), entry)) == ()
    kept = {
        name: len(kept)
        for name, kept in vars(checker).items()
        if isinstance(kept, dict | list | set | Keys | Places | OpenReferences)
    }
    assert kept == dict.fromkeys(kept, 0) | {"_known": 1, "_places": 1}


@pytest.mark.parametrize(("keys", "hint"), [(50, "did you mean '@d5'?"), (51, "")])
def test_guessing_does_not_take_forever(keys: int, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With very many keys, references to nothing are reported without a guess."""
    monkeypatch.setattr(checker_module, "_MAX_GUESSES", 50)
    checker = Checker()
    for number in range(keys):
        checker.add(PlacedEntry(Place("m", number, number), DatasetEntry(key=f"d{number}", title="D")))
    checker.add(PlacedEntry(Place("m", 1, 1), ProjectEntry(title="P", datasets=("@d51",))))
    (problem,) = checker.finish()
    assert problem.hint == hint


# ------------------------------------------------------------------ the schema


def test_the_schema_describes_one_entry_of_each_kind() -> None:
    """Editors see five kinds, each with its constant, its fields and which of them are needed; no title is made up."""
    schema = manifest_schema()
    json.dumps(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert not {"$id", "title", "description", "discriminator"} & schema.keys()
    refs = schema["$defs"]["entry"]["oneOf"]
    branches = [schema["$defs"][branch["$ref"].rpartition("/")[2]] for branch in refs]
    assert [branch["properties"]["kind"] for branch in branches] == [
        {"const": kind, "type": "string"} for kind in ENTRY_MODELS
    ]
    for ref, branch, model in zip(refs, branches, ENTRY_MODELS.values(), strict=True):
        assert branch["additionalProperties"] is False
        assert list(branch["properties"]) == [*model.model_fields, "for_each"]
        needed = [name for name, field in model.model_fields.items() if field.is_required()]
        assert ref["required"] == ["kind", *needed]
        assert "title" not in branch


def test_the_schema_offers_words_and_numbers() -> None:
    """Roles and storages are offered as words and as numbers, scopes as words; or an expression in their place."""
    definitions = manifest_schema()["$defs"]
    expression = {"$ref": "#/$defs/expression"}
    words = [role.name.lower() for role in ProjectUserRole]
    assert definitions["UserWish"]["properties"]["role"] == {
        "anyOf": [{"enum": [*words, 0, 1, 2, 3, 4, 5]}, expression]
    }
    storage = definitions["DatasetEntry"]["properties"]["storage"]
    assert storage["anyOf"][0]["enum"] == ["cord", "aws", "gcp", "azure", "s3_compatible", 0, 1, 2, 3, 4]
    assert definitions["APIKeyWish"]["properties"]["scopes"]["anyOf"][0]["items"] == {
        "anyOf": [{"enum": [scope.value for scope in APIKeyScope]}, expression]
    }


@functools.cache
def branches() -> list[Draft202012Validator]:
    """Each kind of entry, by the schema."""
    schema = manifest_schema()
    kinds = schema["$defs"]["entry"]["oneOf"]
    return [Draft202012Validator({**kind, "$defs": schema["$defs"]}) for kind in kinds]


def branches_that_fit(value: object) -> int:
    """How many kinds of entry *value* is, by the schema."""
    return sum(branch.is_valid(value) for branch in branches())


@given(ENTRIES)
def test_the_schema_accepts_what_is_good(entry: Entry) -> None:
    """Each entry that can be read fits exactly one branch of the schema."""
    assert branches_that_fit(json.loads(entry.model_dump_json())) == 1


@pytest.mark.parametrize("raw", [*FROM_THE_README], ids=lambda raw: str(raw["kind"]))
def test_the_schema_is_about_the_documented_form(raw: dict[str, Any]) -> None:
    """The documentation's entries fit; without their kind, or with a field that is unknown, they do not."""
    assert branches_that_fit(raw) == 1
    assert branches_that_fit({**raw, "unknown": 1}) == 0
    assert branches_that_fit({name: value for name, value in raw.items() if name != "kind"}) == 0
