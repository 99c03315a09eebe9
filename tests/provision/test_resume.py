"""A second run takes over what is done, adds what a manifest has gained, and says what it cannot change."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encord_async.engine.outcome import Outcome, Status
from encord_async.engine.resume import Past, Recall, recall
from encord_async.engine.ticket import Earlier, Result
from encord_async.errors import ConflictError
from encord_async.journal.record import Record, State
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry
from encord_async.kinds.namer import Namer
from encord_async.kinds.project import APIKeyWish, ProjectEntry, UserWish
from encord_async.kinds.project_api_key import API_KEY
from encord_async.kinds.project_datasets import DATASETS
from encord_async.kinds.step import Step
from encord_async.kinds.thing import item_digest
from encord_async.protocol.catalogue import ProjectUserRole
from tests.provision.conftest import (
    Call,
    Fault,
    Service,
    all_of,
    attach,
    dataset,
    open_session,
    project,
    users,
)

# --- the comparison ---------------------------------------------------------------------------------------------------

ENTRY = ProjectEntry(
    key="cats",
    title="Cats",
    description="All of them",
    ontology_hash="ontology-1",
    datasets=("@raw", "dataset-1"),
    users=(UserWish(email="ann@example.com", role=ProjectUserRole.REVIEWER),),
)


def parts(entry: Entry) -> tuple[bytes, list[Step]]:
    """The identity and the steps of *entry*."""
    identity = Namer().identity(entry)
    return identity, list(entry.steps(identity))


def made(entry: Entry = ENTRY, **more: Any) -> Record:
    """The record of the project or dataset that *entry* has made."""
    identity, steps = parts(entry)
    assert isinstance(entry, ProjectEntry | DatasetEntry)
    details: dict[str, object] = {"description": entry.description, "wished_description": entry.description}
    if isinstance(entry, ProjectEntry):
        details |= {"references": list(entry.datasets), "ontology": entry.ontology_hash}
    plain = Record(
        identity=steps[0].identity,
        entry=identity,
        kind=steps[0].kind,
        title=entry.title,
        state=State.DONE,
        status="created",
        hash="hash-1",
        details=details,
    )
    return replace(plain, **more)


def recalled(entry: Entry, *records: Record, **more: Any) -> Recall:
    """What a run recalls of *entry*."""
    identity, steps = parts(entry)
    past = Past(records={record.identity: record for record in records}, **more)
    return recall(entry, identity, steps, past, began_s=7.0)


def test_nothing_is_known() -> None:
    """Of a new entry nothing is recalled."""
    assert recalled(ENTRY) == Recall(steps=parts(ENTRY)[1])


def test_what_is_done_is_unchanged() -> None:
    """What was created or adopted is taken over with its hash, and is unchanged."""
    for status in (Status.CREATED, Status.ADOPTED):
        known = recalled(ENTRY, made(status=status.value))
        assert known.results == {made().identity: Result(status=Status.UNCHANGED, hash="hash-1")}
        assert known.steps == parts(ENTRY)[1]
        assert not known.doubts


def test_what_failed_is_tried_again() -> None:
    """Failing is no end for ever."""
    assert recalled(ENTRY, made(state=State.FAILED, hash=None)) == Recall(steps=parts(ENTRY)[1])


@pytest.mark.parametrize("state", [State.INTENDED, State.IN_DOUBT])
def test_what_is_open_is_in_doubt(state: State) -> None:
    """What has no end may have happened; the process that asked is gone, and the time counts from this run's start."""
    record = made(state=state, hash=None)
    known = recalled(ENTRY, record)
    assert not known.results
    (doubt,) = known.doubts.values()
    assert (doubt.record, doubt.since_s, doubt.over, doubt.looks, doubt.error) == (record, 7.0, True, 0, None)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ontology_hash": "ontology-2"}, "ontology"),
        ({"ontology_hash": None}, "ontology"),
        ({"copy_of": "project-2"}, "copy_of"),
        ({"title": "Dogs", "ontology_hash": None}, "title and ontology"),
    ],
)
def test_what_cannot_be_changed(change: dict[str, Any], named: str) -> None:
    """What it refers to otherwise by now is reported with the hash, and what hangs on the project goes on."""
    (result,) = recalled(ENTRY.model_copy(update=change), made()).results.values()
    assert result.status is Status.FAILED
    assert result.usable_hash == "hash-1"
    assert isinstance(result.error, ConflictError)
    assert result.error.code == "CHANGED"
    assert f"hash-1 ('Cats') with another {named}, which" in result.error.message
    # It is refused for something that nobody can change in the app either.
    assert "put back in the manifest what it was, or give the entry a new key" in result.error.message
    assert "app" not in result.error.message


@pytest.mark.parametrize("change", [{"title": "Dogs"}, {"description": ""}, {"title": "Dogs", "description": "x"}])
def test_what_may_be_called_so_by_now(change: dict[str, Any]) -> None:
    """Whether somebody has changed a title in the app as well, only a look at the project can tell."""
    record = made()
    known = recalled(ENTRY.model_copy(update=change), record)
    assert not known.results
    assert known.unsure == {record.identity: Earlier(record=record)}


def test_changed_dataset() -> None:
    """So it is for a dataset; one that is as it was is not looked at."""
    entry, record = DatasetEntry(key="raw", title="Raw"), made(DatasetEntry(key="raw", title="Raw"))
    known = recalled(entry.model_copy(update={"title": "Cooked"}), record)
    assert (known.results, list(known.unsure)) == ({}, [record.identity])
    (result,) = recalled(entry, record).results.values()
    assert result == Result(status=Status.UNCHANGED, hash="hash-1")


def test_mark_is_no_change() -> None:
    """The mark that a run has put into the description is not held against the entry."""
    details = {**made().details, "description": "All of them [encord-async 0123456789ab]"}
    (result,) = recalled(ENTRY, made(details=details)).results.values()
    assert result.status is Status.UNCHANGED


def test_new_datasets_are_attached() -> None:
    """Datasets that an entry has gained are attached, once each; those that it has lost stay."""
    entry = ENTRY.model_copy(update={"datasets": ("dataset-1", "new", "@new", "new")})
    known = recalled(entry, made())
    added = [step for step in known.steps if step.kind is DATASETS.give]
    assert [(step.item, step.parent) for step in added] == [("new", None), ("@new", None)]
    assert not any(known.unsure[step.identity].held_item("new") for step in added)


def test_datasets_that_may_have_been_detached() -> None:
    """If something was detached from a project, its datasets are looked at one by one; so are moved keys."""
    record = made(details={**made().details, "held": [item_digest("raw-1")]})

    def attached(**more: Any) -> dict[str, tuple[bool, ...]]:
        known = recalled(ENTRY, record, **more)
        added = {step.item: known.unsure[step.identity] for step in known.steps if step.kind is DATASETS.give}
        return {
            item: (was.detached, *map(was.held_item, ["raw-1", "dataset-1", "raw-2"])) for item, was in added.items()
        }

    assert attached(detached={"another"}) == {}
    assert attached(detached={"hash-1"}) == dict.fromkeys(["@raw", "dataset-1"], (True, True, True, False))
    assert attached(has_moved=True) == {"@raw": (False, True, True, False)}


def test_an_ontology_of_another_name() -> None:
    """Whether another key means another ontology, only its hash can tell."""
    record = made(details={**made().details, "ontology_reference": "@old"})
    entry = ENTRY.model_copy(update={"ontology_hash": None, "ontology": "@new"})
    known = recalled(entry, record)
    assert list(known.unsure) == [record.identity]
    assert not known.results


def test_no_datasets_before_the_project() -> None:
    """While the project is in doubt or has failed, its datasets go into its create."""
    entry = ENTRY.model_copy(update={"datasets": ("new",)})
    for state in (State.INTENDED, State.IN_DOUBT, State.FAILED):
        assert recalled(entry, made(state=state, hash=None)).steps == parts(entry)[1]


def test_an_api_key_is_of_its_project() -> None:
    """Whether an API key was made in the project that its step is about, is seen when that is known."""
    entry = ENTRY.model_copy(
        update={"api_keys": (APIKeyWish.model_validate({"title": "ci", "scopes": ["label.read"]}),)}
    )
    _, steps = parts(entry)
    step = next(step for step in steps if step.kind is API_KEY)
    record = made(identity=step.identity, kind=API_KEY, hash="api-key:1")
    known = recalled(entry, made(), record)
    assert known.unsure == {step.identity: Earlier(record=record)}
    assert step.identity not in known.results


# --- runs -------------------------------------------------------------------------------------------------------------


async def run(service: Service, manifest: Sequence[dict[str, Any]], journal: Path, **options: Any) -> list[Outcome]:
    """One run of *manifest*, to its end; waits for nothing."""
    async with open_session(service) as session:
        async with session.provision(manifest, journal=journal, **({"settle_s": 0.0} | options)) as run:
            outcomes = await all_of(run)
        assert run.summary.entries == len(manifest) == len(outcomes)
    return outcomes


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    """How they ended."""
    return [outcome.status.value for outcome in outcomes]


EVERYTHING = [
    dataset("Raw", key="raw"),
    dataset("Raw"),
    dataset("Raw"),
    project(
        "Cats",
        key="cats",
        datasets=["@raw", "given"],
        users=[{"email": "ann@example.com", "role": "reviewer"}],
        api_keys=[{"title": "ci", "scopes": ["label.read"]}],
    ),
    project("Dogs"),
    project("Dogs"),
    users("@cats", "bob@example.com", "cat@example.com"),
    users("@cats", "bob@example.com", "cat@example.com"),
    attach("@cats", "given"),
    {"kind": "project_datasets", "project": "@cats", "add": ["more"], "remove": ["old"]},
    {"kind": "project_api_key", "project": "@cats", "title": "export", "scopes": ["label.read"]},
]


@pytest.mark.usefixtures("twins_pass")
async def test_second_run_sends_nothing(service: Service, tmp_path: Path) -> None:
    """Run again, a finished manifest costs no request at all and says that everything is as it was."""
    service.has_datasets("given", "more", "old")
    first = await run(service, EVERYTHING, tmp_path / "j")
    assert all(outcome.status.satisfied for outcome in first), first
    service.calls.clear()
    second = await run(service, EVERYTHING, tmp_path / "j")
    assert statuses(second) == ["unchanged"] * len(EVERYTHING)
    assert [outcome.hash for outcome in second] == [outcome.hash for outcome in first]
    assert service.calls == []


@pytest.mark.usefixtures("twins_pass")
async def test_any_order_and_without_keys(service: Service, tmp_path: Path) -> None:
    """Entries without a key are known by content and occurrence: moved, each is still itself; one more is one more."""
    service.has_datasets("given", "more", "old")
    await run(service, EVERYTHING, tmp_path / "j", existing="create")
    made = len(service.projects) + len(service.datasets)
    service.calls.clear()
    assert set(statuses(await run(service, EVERYTHING[::-1], tmp_path / "j", existing="create"))) == {"unchanged"}
    assert service.calls == []
    again = await run(service, [project("Dogs"), dataset("Raw"), *EVERYTHING], tmp_path / "j", existing="create")
    assert sorted(statuses(again)) == ["created"] * 2 + ["unchanged"] * len(EVERYTHING)
    assert len(service.projects) + len(service.datasets) == made + 2


async def test_entry_that_has_grown(service: Service, tmp_path: Path) -> None:
    """New users, datasets and keys of a project that is done are added, and the run after that sends nothing."""
    service.has_datasets("d1", "d2", "d3")
    before = project("Cats", key="cats", datasets=["d1"], users=[{"email": "a@x.com", "role": "reviewer"}])
    after = project(
        "Cats",
        key="cats",
        datasets=["d2", "d3", "d1", "@raw"],
        users=[{"email": "b@x.com", "role": "reviewer"}],
        api_keys=[{"title": "ci", "scopes": ["label.read"]}],
    )
    await run(service, [before], tmp_path / "j")
    outcomes = await run(service, [after, dataset("Raw", key="raw")], tmp_path / "j")
    assert statuses(outcomes) == ["created", "created"]
    (only,) = service.projects.values()
    assert set(only.datasets) == {"d1", "d2", "d3", str(outcomes[1].hash)}
    assert only.users.keys() >= {"a@x.com", "b@x.com"}
    assert [title for title, _ in only.keys] == ["ci"]
    service.calls.clear()
    outcomes = await run(service, [after, dataset("Raw", key="raw")], tmp_path / "j")
    assert statuses(outcomes) == ["unchanged", "unchanged"]
    assert service.calls == []
    assert statuses(await run(service, [before], tmp_path / "j")) == ["unchanged"]
    assert service.calls == []


async def test_changed_title(service: Service, tmp_path: Path) -> None:
    """A changed title is reported as failed; what else the entry has gained is done, and nothing is made again."""
    await run(service, [project("Cats", key="cats")], tmp_path / "j")
    renamed = project("Felines", key="cats", users=[{"email": "a@x.com", "role": "reviewer"}])
    for _ in range(2):
        (outcome,) = await run(service, [renamed], tmp_path / "j")
        assert outcome.status is Status.FAILED
        assert outcome.error is not None
        assert outcome.error.code == "CHANGED"
        assert outcome.hash in service.projects
    (only,) = service.projects.values()
    assert only.title == "Cats"
    assert "a@x.com" in only.users
    assert len(service.of("projectusers.POST")) == 1


async def test_failed_and_blocked_are_tried_again(service: Service, tmp_path: Path) -> None:
    """What failed once, and what waited for it, is done by the next run; the rest is left alone."""
    service.faults.append(Fault("project.POST", code="INVALID_ARGUMENTS_ERROR", touches=titled_cats))
    manifest = [project("Cats", key="cats"), users("@cats", "a@x.com"), project("Dogs")]
    assert statuses(await run(service, manifest, tmp_path / "j")) == ["failed", "blocked", "created"]
    assert statuses(await run(service, manifest, tmp_path / "j")) == ["created", "updated", "unchanged"]
    assert sorted(one.title for one in service.projects.values()) == ["Cats", "Dogs"]


def titled_cats(call: Call) -> bool:
    """Whether a call makes the project Cats."""
    return bool(call.payload["title"] == "Cats")


async def test_datasets_that_did_not_fit(service: Service, tmp_path: Path) -> None:
    """If attaching what the create had no room for fails, the project is not forgotten: the next run completes it."""
    service.has_datasets(*(f"d{n}" for n in range(5)))
    service.faults.append(Fault("projectdataset.POST", code="INVALID_ARGUMENTS_ERROR"))
    manifest = [project("Cats", datasets=[f"d{n}" for n in range(5)])]
    options = {"max_batch": 2, "existing": "create"}
    (outcome,) = await run(service, manifest, tmp_path / "j", **options)
    assert outcome.status is Status.FAILED
    (outcome,) = await run(service, manifest, tmp_path / "j", **options)
    assert outcome.status is Status.UPDATED
    (only,) = service.projects.values()
    assert sorted(only.datasets) == [f"d{n}" for n in range(5)]
    service.calls.clear()
    (outcome,) = await run(service, manifest, tmp_path / "j", **options)
    assert outcome.status is Status.UNCHANGED
    assert service.calls == []
