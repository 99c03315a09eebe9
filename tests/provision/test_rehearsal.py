"""What a run would do is said beforehand, with reads only."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.engine.account import Existing
from encord_async.engine.options import Options
from encord_async.errors import AuthenticationError, ManifestError, ServiceFaultError
from encord_async.plan import Action, Forecast, Verb, plan
from tests.provision.conftest import (
    Dataset,
    Entry,
    Fault,
    Project,
    Service,
    attach,
    dataset,
    members,
    open_session,
    project,
    provision,
    users,
)

KEY = {"title": "k", "scopes": ["label.read"]}


@pytest.fixture(autouse=True)
def _twins_pass(twins_pass: None) -> None:
    """A plan of twins is right too, should they come."""


async def foresee(service: Service, *entries: Entry, **options: Any) -> tuple[Forecast, list[Action]]:
    """A plan of *entries*, which must only have read."""
    actions: list[Action] = []
    async with open_session(service) as session:
        forecast = await plan(session, entries, Options(**options), on_action=actions.append)
    assert all(name.endswith(".GET") for name in service.names)
    return forecast, sorted(actions, key=lambda action: action.number)


def told(actions: list[Action]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Verb, thing and items of each action."""
    return [(action.verb.value, action.what, action.items) for action in actions]


async def test_an_empty_account(service: Service) -> None:
    """Where nothing is there, everything is made, and what cannot be undone is counted."""
    forecast, actions = await foresee(
        service,
        users("@p", "a@example.com"),
        project("Cats", key="p", datasets=["@d"], users=[{"email": "b@example.com", "role": 0}], api_keys=[KEY]),
        dataset("Raw", key="d"),
        {"kind": "project_api_key", "project": "@p", **KEY},
    )
    assert told(actions) == [
        ("add", "user", ("a@example.com",)),
        ("create", "project", ("Cats",)),
        ("add", "dataset", ("@d",)),
        ("add", "user", ("b@example.com",)),
        ("create", "api_key", ("k",)),
        ("create", "dataset", ("Raw",)),
        ("create", "api_key", ("k",)),
    ]
    assert forecast.irreversible == 4
    assert forecast.entries == 4


async def test_what_is_there_is_adopted_and_compared(service: Service) -> None:
    """Of an adopted project only what is missing is attached; keys of the same title and scopes are ours."""
    service.has_datasets("d1", "d2", "d3")
    service.projects["there"] = Project("Cats", datasets=["d1", "d3"], keys=[("k", ("label.read",))])
    forecast, actions = await foresee(
        service,
        project("Cats", key="p", datasets=["d1", "d2"], api_keys=[KEY, {"title": "l", "scopes": ["label.write"]}]),
        {"kind": "project_datasets", "project": "@p", "remove": ["d3", "d2"]},
        users("there", "a@example.com"),
    )
    assert told(actions) == [
        ("adopt", "project", ("Cats",)),
        ("add", "dataset", ("d2",)),
        ("adopt", "api_key", ("k",)),
        ("create", "api_key", ("l",)),
        ("remove", "dataset", ("d3", "d2")),
        ("add", "user", ("a@example.com",)),
    ]
    assert actions[0].hash == "there"
    assert forecast.irreversible == 1


async def test_projects_by_hash_are_read(service: Service) -> None:
    """A hash in the manifest is looked at: attached or not, there or not."""
    service.has_datasets("d1", "d2")
    service.projects["there"] = Project("Cats", datasets=["d1"])
    _, actions = await foresee(
        service, attach("there", "d1", "d2"), attach("gone", "d1"), users("gone", "a@example.com")
    )
    assert told(actions) == [
        ("add", "dataset", ("d2",)),
        ("refuse", "dataset", ("d1",)),
        ("refuse", "user", ("a@example.com",)),
    ]
    assert "no such project" in (actions[1].reason or "")


async def test_two_of_one_title(service: Service) -> None:
    """Several candidates are a failure that lists them, and what refers to it fails too."""
    service.projects |= {"one": Project("Cats"), "two": Project("Cats")}
    forecast, actions = await foresee(service, project("Cats", key="p"), users("@p", "a@example.com"))
    assert [action.verb for action in actions] == [Verb.REFUSE, Verb.REFUSE]
    assert "one, two" in (actions[0].reason or "")
    assert forecast.count(Verb.REFUSE) == forecast.count(Verb.REFUSE, "project") + 1 == 2


async def test_a_dataset_that_is_kept_elsewhere(service: Service) -> None:
    """What keeps its data elsewhere than the entry asks is a failure, as it would be in a run."""
    service.datasets["d"] = Dataset("Raw", type=1)
    _, actions = await foresee(service, dataset("Raw"), dataset("Raw", storage="aws"))
    assert [action.verb for action in actions] == [Verb.REFUSE, Verb.ADOPT]
    assert "with its data at AWS_S3 and no backing folder, and its data at CORD_STORAGE" in (actions[0].reason or "")


async def test_one_of_two_equal_entries_adopts(service: Service) -> None:
    """What is there is taken once; the second entry of that title makes another."""
    service.datasets["d"] = Dataset("Raw")
    _, actions = await foresee(service, dataset("Raw"), dataset("Raw"))
    assert [action.verb for action in actions] == [Verb.ADOPT, Verb.CREATE]


@pytest.mark.parametrize(
    ("existing", "verbs"),
    [
        (Existing.ADOPT, [Verb.ADOPT, Verb.ADOPT]),
        (Existing.CREATE, [Verb.CREATE, Verb.CREATE]),
        (Existing.FAIL, [Verb.REFUSE]),
    ],
)
async def test_existing(service: Service, existing: Existing, verbs: list[Verb]) -> None:
    """The preview knows what to do about existing things as the run does."""
    service.projects["p"] = Project("Cats", keys=[("k", ("label.read",))])
    _, actions = await foresee(service, project("Cats", api_keys=[KEY]), existing=existing)
    assert [action.verb for action in actions] == verbs


async def test_an_api_key_that_is_there_fails_where_asked(service: Service) -> None:
    """With ``fail``, a key of that title and those scopes is a failure."""
    service.projects["p"] = Project("Cats", keys=[("k", ("label.read",))])
    _, actions = await foresee(service, {"kind": "project_api_key", "project": "p", **KEY}, existing=Existing.FAIL)
    assert told(actions) == [("refuse", "api_key", ("k",))]


async def test_another_ontology(service: Service) -> None:
    """A project that is there with another ontology cannot become the one wanted."""
    service.projects["p"] = Project("Cats", ontology="old")
    _, actions = await foresee(service, project("Cats", ontology_hash="new"))
    assert actions[0].verb is Verb.REFUSE
    assert "old" in (actions[0].reason or "")


async def test_what_two_entries_wish_for_is_counted_once(service: Service) -> None:
    """A membership that several entries ask for is added once."""
    service.has_datasets("d1")
    entries = [project(key="p", datasets=["d1"]), attach("@p", "d1"), users("@p", "a@x.com"), users("@p", "A@x.com")]
    forecast, _ = await foresee(service, *entries)
    assert forecast.count(Verb.ADD, "dataset") == 1
    assert forecast.count(Verb.ADD, "user") == 1


async def test_a_bad_entry(service: Service) -> None:
    """The first bad entry of what is no file is named, as by a run; with *skip_invalid* it is refused."""
    entries = [project("Cats", key="p"), {"kind": "dataset", "title": ""}, users("@q", "a@example.com")]
    with pytest.raises(ManifestError) as caught:
        await foresee(service, *entries)
    assert "entry 2: title: must not be empty" in str(caught.value)
    forecast, actions = await foresee(service, *entries, skip_invalid=True)
    assert [(action.verb, action.what, action.items) for action in actions[:2]] == [
        (Verb.CREATE, "project", ("Cats",)),
        (Verb.REFUSE, "entry", ("invalid",)),
    ]
    assert actions[1].reason == "title: must not be empty"
    assert actions[2].verb is Verb.REFUSE
    assert forecast.irreversible == 1
    # With nothing but bad entries, too, something is in the way.
    forecast, _ = await foresee(service, {"kind": "dataset", "title": ""}, skip_invalid=True)
    assert (forecast.changes, forecast.as_json()) == (True, {"refuse": {"entry": 1}})


async def test_a_credential_that_is_not_accepted(service: Service) -> None:
    """The error of the service comes as itself, however many projects were being read."""
    service.projects["p"] = Project("Cats")
    async with open_session(service, token="another") as session:
        with pytest.raises(AuthenticationError):
            await plan(session, [users("p", "a@example.com"), users("q", "a@example.com")])


async def test_a_service_that_breaks_down(service: Service) -> None:
    """A project that cannot be read for other reasons than a refusal ends the preview."""
    service.projects["p"] = Project("Cats")
    service.faults.append(Fault("project.GET", error=lambda: ServiceFaultError("broken"), left=100))
    async with open_session(service) as session:
        with pytest.raises(ServiceFaultError):
            await plan(session, [users("p", "a@example.com")])


async def test_a_stream(service: Service) -> None:
    """Entries may come from an async generator; late keys are waited for."""

    async def stream() -> AsyncIterator[Entry]:
        for entry in [*members("@p", 600), project("Cats", key="p")]:
            yield entry

    counted: list[Action] = []
    async with open_session(service) as session:
        forecast = await plan(session, stream(), on_action=counted.append)
    assert forecast.counts == {(Verb.ADD, "user"): 600, (Verb.CREATE, "project"): 1}
    assert len(counted) == forecast.entries == 601


async def test_projects_are_read_several_at_a_time(service: Service) -> None:
    """Many projects are read as many at once as the session allows."""
    service.projects |= {f"p{number}": Project(f"Cats {number}") for number in range(50)}
    forecast, _ = await foresee(service, *(users(f"p{number}", "a@example.com") for number in range(50)))
    assert forecast.count(Verb.ADD) == 50
    assert service.max_in_flight == 4


def test_an_action_as_json() -> None:
    """Programs get place, action, thing and items, and nothing that says nothing."""
    action = Action(number=3, place="m.jsonl:3", verb=Verb.ADD, what="user", items=("a",), role="admin")
    assert action.as_json() == {
        "number": 3,
        "place": "m.jsonl:3",
        "action": "add",
        "what": "user",
        "items": ["a"],
        "role": "admin",
    }


titles = st.sampled_from(["A", "B", "C"])
wishes = st.lists(st.one_of(st.builds(project, titles), st.builds(dataset, titles)), min_size=1, max_size=8)


@given(wishes, st.lists(titles, max_size=3, unique=True), st.lists(titles, max_size=3, unique=True))
async def test_the_run_does_what_was_said(entries: list[Entry], projects: list[str], datasets: list[str]) -> None:
    """As many things are made and adopted as the preview said."""
    service = Service()
    service.projects |= {f"p-{title}": Project(title) for title in projects}
    service.datasets |= {f"d-{title}": Dataset(title) for title in datasets}
    forecast, _ = await foresee(service, *entries)
    done = await provision(service, entries)
    assert done.statuses.count("created") == forecast.count(Verb.CREATE) == forecast.irreversible
    assert done.statuses.count("adopted") == forecast.count(Verb.ADOPT)
