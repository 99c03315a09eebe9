"""The newest official SDK, unmodified, does its work over REST v2 on the local Encord; our client sees the same."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from encord_async import EncordSession, ProjectStatus
from encord_async.emulator import Emulator, EmulatorSettings
from encord_async.operations import ListDatasetGroups, ListingFilter
from encord_async.protocol.catalogue import DatasetUserRole
from tests.interop.conftest import said_by

SCRIPT = Path(__file__).parent / "scripts" / "sdk_rest.py"
FIRST = "00000000-0000-4000-8000-000000000001"
ME = "emulator@example.com"

newest = pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)


@pytest.fixture(params=[False, True], ids=["tolerant", "strict"])
async def local(request: pytest.FixtureRequest) -> AsyncIterator[Emulator]:
    """A local Encord with one user, whose listings that the SDK follows come in small pages.

    The SDK follows pages of projects and of their users only; what else is listed here is shorter than a page.
    """
    async with Emulator(EmulatorSettings(strict=request.param, page_size=4)) as emulator:
        yield emulator


async def _run(python: Path, emulator: Emulator) -> Any:
    key = emulator.private_key
    assert key is not None
    return await said_by(python, SCRIPT, emulator.url, given=key)


@newest
async def test_the_sdk_works_over_rest(sdk_python: Path, local: Emulator) -> None:
    """Projects, datasets, ontologies, groups, tags, the organisation and tokens: all as the SDK documents them."""
    seen = await _run(sdk_python, local)
    project, dataset, ontology, group = (seen[key] for key in ("projects", "datasets", "ontologies", "groups"))
    assert (project["title"], project["description"], project["role"]) == ("Cats", "about cats", 0)
    assert (project["type"], project["status"], project["creator"]) == ("workflow", "inReview", ME)
    assert project["datasets"] == [FIRST]
    assert project["ontology"]["objects"] == []
    assert project["before"] == [[ME, 0], *([f"u{number}@example.com", 2] for number in range(5))]
    assert project["after"] == [ME, "u0@example.com", "u3@example.com", "u4@example.com"]
    assert project["listed"] == ["Cats", "More 0", "More 1", "More 2", "More 3"]
    assert project["filtered"] == ["More 0", "More 1", "More 2", "More 3"]
    assert project["unknown"] == "ResourceNotFoundError"

    assert dataset["folder"] is True
    assert dataset["users"] == [[ME, 0], ["a@example.com", 1], ["b@example.com", 1]]
    assert dataset["left"] == [ME, "b@example.com"]
    assert dataset["found"] == [[dataset["hash"], "all of it", 0]]
    assert (dataset["all"], dataset["organisation"]) == (101, 101)

    assert ontology == {"title": "Animals", "names": ["Cat", "Dog"], "listed": ["Animals"], "role": 0}

    assert (group["listed"], group["got"]) == (["Reviewers"], "all of them")
    assert (group["added"], group["left"]) == ([ME, "new+x@example.com"], [ME])
    assert group["elsewhere"] == {"dataset": [["Reviewers", 1, True]], "ontology": [["Reviewers", 0, True]]}
    assert (group["on_it"], group["off_it"]) == ([["Reviewers", 2]], [])
    assert (group["tags"], group["tagged"], group["untagged"]) == (["q1"], ["Grouped"], [])
    assert group["users"] == [[ME, "ADMIN", "internal"], ["new+x@example.com", "MEMBER", "internal"]]
    assert group["gone"] == [ME]
    assert (group["same_tag"], group["again"]) == ("ResourceExistsError", "ResourceExistsError")
    assert (group["strangers"], group["nobody"]) == ("AuthorisationError", "ResourceNotFoundError")
    assert group["not_offered"] == "MethodNotAllowedError"
    assert seen["tokens"] == ["Cats"]


@newest
async def test_what_the_sdk_left_is_what_we_see(sdk_python: Path, local: Emulator) -> None:
    """Our client reads over REST and over the envelope what the SDK made over REST."""
    seen = await _run(sdk_python, local)
    async with EncordSession.from_ssh_key(local.private_key or "", domain=local.url) as session:
        project = session.project(seen["projects"]["hash"])
        assert (await project.details()).status is ProjectStatus.IN_REVIEW
        assert sorted(member.user_email for member in await project.list_users()) == seen["projects"]["after"]
        dataset = await session.get_dataset(seen["datasets"]["hash"])
        assert (dataset.title, dataset.description) == ("Raw", "all of it")
        (listed,) = await session.list_datasets_v2(ListingFilter(title_eq="Raw"))
        assert listed.dataset_uuid == seen["datasets"]["hash"]
        titles = [item.title for item in await session.list_projects_v2()]
        assert titles == [item.project.title for item in await session.list_projects()]
        assert titles == [*seen["projects"]["listed"], "Pets", "Grouped"]
        assert [item.name for item in await session.list_groups()] == ["Reviewers"]
        (on_it,) = await session.collect(ListDatasetGroups(dataset_hash=FIRST))
        assert (on_it.name, on_it.user_role) == ("Reviewers", DatasetUserRole.ADMIN)
