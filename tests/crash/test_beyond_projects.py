"""Ontologies, groups, members of the organisation and copies: whatever happens at any point, there is one of each."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from encord_async.emulator.store import PROJECT
from encord_async.engine.options import Options
from encord_async.protocol.catalogue import ProjectUserRole
from tests.crash.conftest import (
    ME,
    SETTLE_S,
    Death,
    Entry,
    Fate,
    Job,
    MortalJournal,
    Program,
    Service,
    World,
    of_numbers,
)
from tests.thorough import stride

# Runs die at every few of the points that they have, at every one where it is thorough.
pytestmark = pytest.mark.slow

COLLEAGUE = "fay@example.com"
MANIFEST: list[Entry] = [
    {"kind": "project_groups", "project": "@lions", "add": ["@night"], "role": "reviewer"},
    {"kind": "group", "key": "night", "name": "Night shift", "members": ["@fay"]},
    {
        "kind": "project",
        "key": "lynx",
        "title": "Lynx",
        "description": "a copy",
        "copy_of": "@lions",
        "datasets": ["@raw"],
    },
    {
        "kind": "project",
        "key": "lions",
        "title": "Lions",
        "ontology": "@felines",
        "tags": ["wave"],
        "status": "paused",
    },
    {"kind": "ontology", "key": "felines", "title": "Felines", "structure": {"objects": [], "classifications": []}},
    {"kind": "organisation_user", "key": "fay", "email": COLLEAGUE},
    {"kind": "dataset", "key": "raw", "title": "Raw", "groups": [{"group": "@night", "role": "user"}]},
    {"kind": "project_users", "project": "p-dogs", "remove": [COLLEAGUE]},
    {
        "kind": "folder",
        "key": "day",
        "name": "Day",
        "parent": "@images",
        "groups": [{"group": "@night", "role": "user"}],
    },
    {"kind": "folder", "key": "images", "name": "Images", "metadata": {"site": 1}},
]
MADE = {
    ("project.POST", "Lions"): 1,
    ("projectcopy.POST", "Lynx"): 1,
    ("v2/datasets.POST", "Raw"): 1,
    ("v2/ontologies.POST", "Felines"): 1,
    ("v2/organisation/groups.POST", "Night shift"): 1,
    ("v2/storage/folders.POST", "Images"): 1,
    ("v2/storage/folders.POST", "Day"): 1,
}


def assert_exactly_the_manifest(service: Service) -> None:
    """One of everything that is wished for, and each where it belongs."""
    assert service.made() == MADE
    store, organisation = service.store, service.store.organisation
    projects = {project["title"]: project for project in service.state()["projects"]}
    (raw,) = [one["dataset_hash"] for one in service.state()["datasets"] if one["title"] == "Raw"]
    assert {title: list(project["datasets"]) for title, project in projects.items()} == {
        "Dogs": ["d-old"],
        "Lions": [],
        "Lynx": [raw],
    }
    lions = store.named(PROJECT, projects["Lions"]["project_hash"])
    assert lions is not None
    assert store.ontology_by_id(lions.ontology_id).title == "Felines"
    ((role, group),) = organisation.groups_in(PROJECT, lions.id)
    assert (role, group.name) == (ProjectUserRole.REVIEWER, "Night shift")
    assert set(organisation.group_emails(group.id)) == {ME, COLLEAGUE}
    assert (service.state()["tags"], projects["Lions"]["tags"], projects["Lions"]["status"]) == (
        ["wave"],
        ["wave"],
        "paused",
    )
    (dataset,) = [one for one in service.state()["datasets"] if one["title"] == "Raw"]
    assert [one["role"] for one in dataset["groups"]] == [1]


@pytest.fixture
def services() -> Iterator[list[Service]]:
    """The services of a test, which are closed in the end."""
    made: list[Service] = []
    yield made
    for service in made:
        service.close()


async def test_a_death_at_any_point(tmp_path: Path, services: list[Service]) -> None:
    """Wherever the process ends, the next run leaves exactly one of everything."""
    for at in itertools.count(1, stride(7)):
        services.append(Service())
        path = tmp_path / f"{at}.journal"
        program = Program(
            manifest=MANIFEST,
            service=services[-1],
            journal=lambda death, path=path: MortalJournal(path, death),  # type: ignore[misc]  # a default binds it
            options=Options(settle_s=0.01),
        )
        death = Death(at)
        if not (await program.live(death)).died:
            break
        try:
            (await program.live()).assert_all_satisfied(len(MANIFEST))
            assert_exactly_the_manifest(program.service)
        except AssertionError as error:
            error.add_note(f"died at {at}: {death.passed[-1]}")
            raise
    assert at > 40, "the manifest has more points than that"


@pytest.mark.parametrize("fate", Fate)
def test_a_fault_at_any_request(fate: Fate) -> None:
    """Whichever single request goes wrong, and however, two runs leave exactly one of everything."""
    step = stride(5)
    # Each fate begins at another request, so that together they meet every one.
    for number in itertools.count(list(Fate).index(fate) % step, step):
        world, job = World(), Job(manifest=MANIFEST, options=Options(settle_s=SETTLE_S))
        try:
            world.live(job, fates=of_numbers({number: fate}))
            if len(world.calls) <= number:
                break
            world.live(job).assert_all_satisfied(len(MANIFEST))
            assert_exactly_the_manifest(world.service)
        except AssertionError as error:
            error.add_note(f"request {number}, {world.calls[number : number + 1]}, was {fate}")
            raise
        finally:
            world.close()
    assert number > 12, "the manifest has more requests than that"


@pytest.mark.parametrize("number", range(3))
def test_copies_of_one_name(number: int) -> None:
    """Two copies and a project of one name: whichever create is lost, in the end there are exactly three."""
    cats: Entry = {"kind": "project", "title": "Cats", "description": "one name"}
    manifest = [{**cats, "copy_of": "p-dogs"}, {**cats, "copy_of": "p-dogs", "copy_options": ["datasets"]}, cats]
    creates = ["project.POST", "projectcopy.POST", "projectcopy.POST"]
    world, job = World(), Job(manifest=manifest, options=Options(settle_s=SETTLE_S))
    seen: Counter[str] = Counter()

    def fates(_: int, name: str) -> Fate | None:
        seen[name] += 1
        hit = name == creates[number] and seen[name] == 1 + (number == 2)
        return Fate.APPLIED_AND_LOST if hit else None

    world.live(job, fates=fates)
    world.live(job).assert_all_satisfied(len(manifest))
    assert world.service.made() == {("project.POST", "Cats"): 1, ("projectcopy.POST", "Cats"): 2}
    world.close()
