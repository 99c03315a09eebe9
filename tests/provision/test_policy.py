"""Limits that a team sets itself: in a file beside the manifest, or in the pyproject.toml above it."""

from pathlib import Path
from typing import Any

import pytest

from encord_async.engine.outcome import Status
from encord_async.errors import ManifestError, UsageError
from encord_async.manifest.files import check_manifest
from encord_async.manifest.policy import Policy
from encord_async.manifest.policy_file import policy_for
from encord_async.plan import Verb
from tests.cli.conftest import write_manifest
from tests.provision.conftest import Project, Service, open_session, project, provision
from tests.provision.world import open_world

pytestmark = pytest.mark.usefixtures("empty_folder")

Entry = dict[str, Any]
HASH = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1"


def policy(text: str) -> None:
    """Let the policy of the current folder be this."""
    Path("encord-async.toml").write_text(text)


def projects(number: int, **more: object) -> list[Entry]:
    """So many projects."""
    return [{"kind": "project", "key": f"p{n}", "title": f"P{n}", **more} for n in range(number)]


def test_titles_and_removals_are_held_to_it() -> None:
    """A title that matches no pattern, and a removal from what is protected, are bad entries that name file and key."""
    Path("sub").mkdir()
    Path("sub/encord-async.toml").write_text(
        f'protected_keys = ["prod-*", "{HASH}"]\n[titles]\nproject = "[A-Z]{{3}} .+"\ngroup = "team .*"\n'
    )
    manifest = write_manifest(
        Path("sub/m.jsonl"),
        {"kind": "project", "key": "prod-1", "title": "ABC cats"},
        {"kind": "project", "key": "p", "title": "cats"},
        {"kind": "group", "name": "others"},
        {"kind": "dataset", "title": "anything"},
        {"kind": "project_users", "project": "@prod-1", "remove": ["a@x.org"]},
        {"kind": "project_datasets", "project": HASH, "remove": [HASH]},
        {"kind": "project_users", "project": "@p", "remove": ["a@x.org"]},
        {"kind": "project_users", "project": "@prod-1", "emails": ["b@x.org"], "role": "admin"},
    )
    assert [str(problem) for problem in check_manifest(manifest).problems] == [
        "sub/m.jsonl:2: title: 'cats' does not match '[A-Z]{3} .+'; see titles.project in sub/encord-async.toml",
        "sub/m.jsonl:3: name: 'others' does not match 'team .*'; see titles.group in sub/encord-async.toml",
        "sub/m.jsonl:5: remove: takes from @prod-1, which is protected; see protected_keys in sub/encord-async.toml",
        f"sub/m.jsonl:6: remove: takes from {HASH}, which is protected; see protected_keys in sub/encord-async.toml",
    ]


def test_the_nearest_project_file_that_says_anything_counts() -> None:
    """[tool.encord-async] is looked for in every pyproject.toml upwards; a file beside the manifest comes before it."""
    folder = Path("a/b")
    folder.mkdir(parents=True)
    Path("pyproject.toml").write_text("[tool.encord-async.most]\nproject = 1\n")
    Path("a/pyproject.toml").write_text("[tool.other]\n")
    found = policy_for("a/b/m.yaml")
    assert dict(found.most) == {"project": 1}
    assert found.source == f"[tool.encord-async] of {Path('pyproject.toml').resolve()}"
    assert policy_for(["entries"]) == policy_for("-") == found
    (folder / "encord-async.toml").write_text("")
    assert policy_for("a/b/t.xlsx#Sheet") == Policy(source="a/b/encord-async.toml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("most = 3", "most must be a table, not a number"),
        ("[most]\nprojects = 3", "most.projects is no limit; did you mean 'project'?"),
        ("[most]\nproject = -1", "most.project must be a whole number, 0 or more, not -1"),
        ("[most]\nproject = true", "most.project must be a whole number, 0 or more, not true"),
        ("[title]\n", "'title' is no limit; did you mean 'titles'?"),
        ("[titles]\nproject_users = 'x'", "titles.project_users is no limit; did you mean"),
        ("[titles]\nproject = 1", "titles.project must be a pattern in quotes, not 1"),
        ("[titles]\nproject = '('", "titles.project is no regular expression: "),
        ("protected_keys = 'x'", "protected_keys must be a list of patterns in quotes"),
        ("twins = 1", "twins must be true or false, not 1"),
        ("x = ", "the policy encord-async.toml is no TOML: "),
    ],
)
async def test_a_slip_in_the_policy_stops_everything(service: Service, text: str, reason: str) -> None:
    """A limit is not lost by a slip of the pen: nothing is checked, planned or sent."""
    policy(text)
    with pytest.raises(UsageError, match=r"encord-async\.toml") as caught:
        await provision(service, projects(1))
    assert reason in str(caught.value)
    assert not service.calls


async def test_no_more_is_made_than_a_run_may(service: Service) -> None:
    """What is there already does not count; what is beyond the limit is not sent, and the next run may make it."""
    # With the mark that some editors put at the beginning of a file.
    policy("\ufeff[most]\nproject = 2\napi_key = 1\n")
    service.projects["old"] = Project("P0")
    keys = [{"title": "k", "scopes": ["label.read"]}]
    async with open_session(service, concurrency=1) as session:
        forecast = await session.plan(projects(5, api_keys=keys), journal=None)
    assert forecast.count(Verb.CREATE, "project") == 2
    assert forecast.count(Verb.CREATE, "api_key") == 1
    assert not service.of("project.POST")
    done = await provision(service, projects(5, api_keys=keys), concurrency=1)
    assert len(service.projects) == 3
    assert len(service.of("projectapikey.POST")) == 1
    [failed] = {str(one.error) for one in done.outcomes if one.status is Status.FAILED and "P4" in str(one.error)}
    assert failed == (
        "project 'P4' is not made: a run makes 2 projects at most; see most.project in encord-async.toml (POLICY)"
    )
    await provision(service, projects(5))
    assert len(service.projects) == 5


async def test_entries_from_anywhere_are_held_to_it() -> None:
    """For entries from Python the policy of the current folder holds, in the plan and in the run."""
    policy('[titles]\nproject = "[A-Z].*"\n')
    async with open_world() as world:
        entry = {"kind": "project", "key": "p", "title": "cats"}
        for look in (world.actions, world.run):
            with pytest.raises(ManifestError, match="does not match"):
                await look([entry])


def test_projects_have_the_tags_that_are_required() -> None:
    """A project without a tag of each pattern is a bad entry."""
    policy('required_tags = ["team-*", "wave-?"]\n')
    manifest = write_manifest(
        Path("m.jsonl"),
        {"kind": "project", "key": "a", "title": "A", "tags": ["team-red", "wave-1"]},
        {"kind": "project", "key": "b", "title": "B", "tags": ["team-red"]},
        {"kind": "project", "key": "c", "title": "C"},
        {"kind": "dataset", "key": "d", "title": "D"},
    )
    assert [str(problem) for problem in check_manifest(manifest).problems] == [
        f"m.jsonl:{line}: tags: has none like {pattern}; see required_tags in encord-async.toml"
        for line, pattern in ((2, "'wave-?'"), (3, "'team-*'"), (3, "'wave-?'"))
    ]


async def test_twins_where_a_team_allows_them(service: Service) -> None:
    """Two projects of one title and description are refused, unless the policy says that there may be such."""
    with pytest.raises(ManifestError, match="is the title of a project with the same description"):
        await provision(service, [project(), project()])
    policy("twins = true")
    done = await provision(service, [project(), project()])
    assert done.statuses == ["created", "created"]
