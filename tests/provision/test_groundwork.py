"""What a plan has read, the run after it does not read again."""

import json
from pathlib import Path
from typing import Any

import pytest

from encord_async.errors import ManifestError
from tests.provision.conftest import Entry, Project, Service, all_of, open_session, project


def written(path: Path, *entries: Entry) -> Path:
    """A manifest of *entries*."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


class Readings:
    """How often a file is opened to be read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        really = Path.open

        def counted(which: Path, *rest: Any, **more: Any) -> Any:
            self.count += which == path
            return really(which, *rest, **more)

        monkeypatch.setattr(Path, "open", counted)


async def test_plan_and_run_read_the_account_once(service: Service, tmp_path: Path) -> None:
    """A run that is given the plan lists nothing that the plan has listed, and decides as it does."""
    service.projects["there"] = Project("Cats")
    manifest = written(tmp_path / "m.jsonl", project("Cats"), project("Dogs"))
    async with open_session(service) as session:
        forecast = await session.plan(manifest)
        listed = service.names["v2/projects.GET"]
        async with session.provision(manifest, forecast=forecast) as run:
            outcomes = await all_of(run)
    assert [outcome.status for outcome in outcomes] == ["adopted", "created"]
    assert service.names["v2/projects.GET"] == listed == 1


async def test_what_was_taken_once_is_not_taken_again(service: Service, tmp_path: Path) -> None:
    """What the plan would adopt is still free for the run."""
    service.projects["there"] = Project("Cats")
    manifest = written(tmp_path / "m.jsonl", project("Cats"))
    async with open_session(service) as session:
        forecast = await session.plan(manifest)
        for _ in range(2):
            async with session.provision(manifest, journal=None, forecast=forecast) as run:
                (outcome,) = await all_of(run)
            assert (outcome.status, outcome.hash) == ("adopted", "there")


async def test_a_file_is_checked_once(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For plan and run a file is read three times: to check it, to rehearse it, and to do it."""
    manifest = written(tmp_path / "m.jsonl", project("Cats"))
    readings = Readings(manifest, monkeypatch)
    async with open_session(service) as session:
        forecast = await session.plan(manifest)
        assert readings.count == 2
        async with session.provision(manifest, journal=None, forecast=forecast) as run:
            await all_of(run)
    assert readings.count == 3


async def test_a_file_that_has_changed_is_checked_again(service: Service, tmp_path: Path) -> None:
    """A file that was edited between plan and run is read through again: nothing is sent if it has a mistake now."""
    manifest = written(tmp_path / "m.jsonl", project("Cats"))
    async with open_session(service) as session:
        forecast = await session.plan(manifest)
        written(manifest, project("Cats"), {"kind": "project"})
        with pytest.raises(ManifestError):
            async with session.provision(manifest, journal=None, forecast=forecast):
                pass
    assert not service.of("project.POST")


async def test_a_plan_with_stamps_knows_nothing_of_twins(service: Service, tmp_path: Path) -> None:
    """What was checked for a run that tells twins apart is checked again for one that does not."""
    manifest = written(tmp_path / "m.jsonl", project("Cats", key="a"), project("Cats", key="b"))
    async with open_session(service) as session:
        forecast = await session.plan(manifest, stamp=True)
        with pytest.raises(ManifestError, match="Cats"):
            async with session.provision(manifest, journal=None, forecast=forecast) as run:
                await all_of(run)
    assert not service.of("project.POST")


async def test_a_file_that_is_written_while_it_is_provisioned(service: Service, tmp_path: Path) -> None:
    """No entry is provisioned that nobody has checked beside the others: the run says so, and ends."""
    manifest = written(tmp_path / "m.jsonl", *(project(f"P{number}") for number in range(300)))
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        written(manifest, *(project(f"Other {number}") for number in range(300)))
        with pytest.raises(ManifestError, match="was changed while it was read; run it again"):
            await all_of(run)
    assert not any(made.title.startswith("Other") for made in service.projects.values())


async def test_a_file_that_is_replaced_while_it_is_provisioned(service: Service, tmp_path: Path) -> None:
    """Who puts another file in the place of the manifest, as editors do, leaves a run with the one that it began."""
    manifest = written(tmp_path / "m.jsonl", *(project(f"P{number}") for number in range(600)))
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        first = await anext(run)
        written(tmp_path / "new", project("Other")).replace(manifest)
        outcomes = [first, *await all_of(run)]
    assert [outcome.status for outcome in outcomes] == ["created"] * 600


async def test_an_included_file_that_is_written_while_it_is_provisioned(service: Service, tmp_path: Path) -> None:
    """No entry is provisioned that is another because an included file was written to; the file is named."""
    names = written(tmp_path / "names.jsonl", {"vars": {"one": "Cats", "other": "Dogs"}})
    manifest = written(
        tmp_path / "m.jsonl", {"include": "names.jsonl"}, project("{{ one }}", key="1"), project("{{ other }}", key="2")
    )
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        written(names, {"vars": {"one": "Cats", "other": "Cats"}})
        with pytest.raises(ManifestError, match=r"names\.jsonl was changed while it was read"):
            await all_of(run)
    assert not service.projects


async def test_a_policy_that_is_written_after_the_plan(service: Service, tmp_path: Path) -> None:
    """A run is held to the policy that there is when it begins, whatever its plan was held to."""
    manifest = written(tmp_path / "m.jsonl", project("Cats"))
    async with open_session(service) as session:
        forecast = await session.plan(manifest)
        (tmp_path / "encord-async.toml").write_text("[titles]\nproject = 'P-.*'\n")
        with pytest.raises(ManifestError, match="Cats"):
            async with session.provision(manifest, journal=None, forecast=forecast):
                pass
    assert not service.projects
