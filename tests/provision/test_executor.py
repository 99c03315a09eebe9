"""Work becomes as few requests as the service allows, and each entry learns its own end."""

import math
from collections import Counter
from typing import Any

import pytest

from encord_async.engine.outcome import Outcome, RoleKept
from encord_async.errors import (
    ConflictError,
    DeadlineError,
    ManifestError,
    NoReplyError,
    NotFoundError,
    NotSentError,
    ReplyShapeError,
    ServiceFaultError,
    ThrottledError,
)
from tests.provision.conftest import (
    Dataset,
    Fault,
    Project,
    Service,
    all_of,
    attach,
    collect,
    dataset,
    members,
    open_session,
    project,
    provision,
    users,
)
from tests.virtual import SkippingClock

# --- how many requests -----------------------------------------------------------------------------------------------


async def test_three_requests_a_project(service: Service) -> None:
    """A project with three datasets and ten users in two roles takes one create and two user calls, no more."""
    service.has_datasets("d1", "d2", "d3")
    wishes = [{"email": f"{n}@example.com", "role": "reviewer" if n < 4 else "annotator"} for n in range(10)]
    manifest = [project(f"P{n}", datasets=["d1", "d2", "d3"], users=wishes) for n in range(50)]
    done = await provision(service, manifest)
    assert done.statuses == ["created"] * 50
    assert service.names == {"v2/projects.GET": 1, "project.POST": 50, "projectusers.POST": 100}
    assert done.summary.requests == 151
    assert all(found.datasets == ["d1", "d2", "d3"] and len(found.users) == 11 for found in service.projects.values())


async def test_entries_of_one_project_and_role_go_together(service: Service) -> None:
    """A hundred memberships in as many entries are one request a role, and each entry has its outcome."""
    service.projects["p"] = Project("Cats")
    entries = [users("p", f"{n}@example.com", role="admin" if n % 2 else "reviewer") for n in range(100)]
    done = await provision(service, entries)
    assert done.statuses == ["updated"] * 100
    assert {outcome.hash for outcome in done.outcomes} == {"p"}
    assert sorted(len(call.items) for call in service.of("projectusers.POST")) == [50, 50]


async def test_datasets_of_one_project_go_together(service: Service) -> None:
    """Attachments from several entries are one request, and so are the removals."""
    service.has_datasets("d1", "d2", "d3", "old")
    service.projects["p"] = Project("Cats", datasets=["old"])
    entries = [
        attach("p", "d1", "d2"),
        attach("p", "d3"),
        {"kind": "project_datasets", "project": "p", "remove": ["old"]},
    ]
    done = await provision(service, entries)
    assert done.statuses == ["updated"] * 3
    assert service.names == {"projectdataset.POST": 1, "projectdataset.DELETE": 1}
    assert sorted(service.projects["p"].datasets) == ["d1", "d2", "d3"]


async def test_one_address_wished_for_twice_is_sent_once(service: Service) -> None:
    """Equal wishes of several entries stand once in the request, and all of them are told."""
    service.projects["p"] = Project("Cats")
    done = await provision(service, [users("p", "a@example.com")] * 3)
    assert done.statuses == ["updated"] * 3
    assert [call.items for call in service.of("projectusers.POST")] == [("a@example.com",)]


async def test_max_batch_bounds_every_list(service: Service) -> None:
    """No list in any request is longer than ``max_batch``, that of a create included; what is over follows."""
    hashes = [f"d{n}" for n in range(25)]
    service.has_datasets(*hashes)
    entries = [project(key="p", datasets=hashes), *members("@p", 25)]
    done = await provision(service, entries, max_batch=10)
    assert done.statuses == ["created"] + ["updated"] * 25
    [made] = service.projects.values()
    assert made.datasets == hashes
    assert len(made.users) == 26
    assert sorted(len(call.items) for call in service.calls if call.items) == [5, 5, 10, 10, 10, 10]
    assert service.names["project.POST"] == 1


async def test_account_is_not_listed_without_need(service: Service) -> None:
    """Nothing is looked up for a manifest that creates nothing, and of a manifest of datasets only datasets."""
    service.projects["p"] = Project("Cats")
    await provision(service, [users("p", "a@example.com")])
    assert service.names == {"projectusers.POST": 1}
    await provision(service, [dataset()])
    assert service.names["v2/projects.GET"] == 0


# --- refused batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("culprit", [0, 31, 63])
async def test_refused_batch_is_split_down_to_the_culprit(service: Service, culprit: int) -> None:
    """One bad address among 64 fails alone, after a logarithmic number of requests; the others are added."""
    service.projects["p"] = Project("Cats")
    service.refused_emails.add(f"{culprit}@example.com")
    done = await provision(service, members("p", 64))
    failed = [outcome for outcome in done.outcomes if not outcome.status.satisfied]
    assert [(outcome.number, outcome.error and outcome.error.code) for outcome in failed] == [
        (culprit + 1, "INVALID_ARGUMENTS_ERROR")
    ]
    assert done.summary.requests <= 2 * math.log2(64) + 1
    assert len(service.projects["p"].users) == 63


async def test_entry_with_a_culprit_fails_and_its_other_members_are_added(service: Service) -> None:
    """Of an entry with several addresses one may fail; the entry has failed then, and the others are members."""
    service.projects["p"] = Project("Cats")
    service.refused_emails.add("bad@example.com")
    done = await provision(service, [users("p", "a@example.com", "bad@example.com"), users("p", "b@example.com")])
    assert done.statuses == ["failed", "updated"]
    assert set(service.projects["p"].users) == {"a@example.com", "b@example.com"}


async def test_missing_dataset_is_found_with_one_look_at_the_project(service: Service) -> None:
    """A dataset that is not there makes the whole attachment fail: the project is read once, then the list is split."""
    service.has_datasets(*(f"d{n}" for n in range(15)))
    service.projects["p"] = Project("Cats")
    done = await provision(service, [attach("p", f"d{n}") for n in range(16)])
    assert done.statuses == ["updated"] * 15 + ["failed"]
    assert service.names["project.GET"] == 1
    assert service.names["projectdataset.POST"] <= 2 * math.log2(16) + 1


@pytest.mark.parametrize(
    ("role", "code"), [(None, "RESOURCE_NOT_FOUND_ERROR"), (1, "AUTHORISATION_ERROR")], ids=["missing", "not ours"]
)
async def test_refusal_of_the_project_itself_is_not_split(service: Service, role: int | None, code: str) -> None:
    """If the project is the problem, one look at it shows that, and all entries fail with the service's word."""
    if role is not None:
        service.projects["p"] = Project("Cats", role=role)
    done = await provision(service, members("p", 64))
    assert service.names == {"projectusers.POST": 1, "project.GET": 1}
    assert {outcome.error.code for outcome in done.outcomes if outcome.error} == {code}
    assert done.statuses == ["failed"] * 64


async def test_load_is_no_reason_to_split(service: Service) -> None:
    """A batch that is turned away for load until its time is up fails whole: smaller ones only add to the load."""
    service.projects["p"] = Project("Cats")
    service.faults.append(Fault("projectusers.POST", code="RATE_LIMIT_ERROR", left=10_000))
    async with (
        open_session(service, operation_s=60, clock=SkippingClock()) as session,
        session.provision(members("p", 8), journal=None) as run,
    ):
        outcomes = await all_of(run)
    # Its time may run out while it waits for its next turn, too.
    assert {type(outcome.error) for outcome in outcomes} <= {ThrottledError, DeadlineError}
    assert {len(call.items) for call in service.calls} == {8}


async def test_faults_of_idempotent_calls_are_tried_again(service: Service) -> None:
    """Attaching and adding users may be repeated, so a lost answer costs a request and no entry."""
    service.projects["p"] = Project("Cats")
    service.faults.append(Fault("projectusers.POST", error=lambda: NoReplyError("cut"), applies=True))
    done = await provision(service, members("p", 3))
    assert done.statuses == ["updated"] * 3
    assert (done.summary.requests, done.summary.retries) == (2, 1)


async def test_exists_already_is_success(service: Service) -> None:
    """A service that says of something wished for that it exists has what was wished for."""
    service.projects["p"] = Project("Cats")
    service.faults.append(Fault("projectusers.POST", code="RESOURCE_EXISTS_ERROR"))
    assert (await provision(service, [users("p", "a@example.com")])).statuses == ["unchanged"]


# --- roles -----------------------------------------------------------------------------------------------------------


async def test_kept_role_is_told(service: Service) -> None:
    """A member who keeps another role than wanted is no success in silence; others of the batch are not touched."""
    service.projects["p"] = Project("Cats", users={"old@example.com": 2})
    done = await provision(service, [users("p", "new@example.com"), users("p", "old@example.com")])
    assert done.statuses == ["updated", "failed"]
    kept = done.outcomes[1]
    assert isinstance(kept.error, ConflictError)
    assert kept.error.code == "ROLE_KEPT"
    assert kept.role_kept == (RoleKept(email="old@example.com", wanted="annotator", held="reviewer"),)
    assert "old@example.com is reviewer there already and annotator is wanted" in kept.error.message


async def test_member_in_the_wanted_role_is_fine(service: Service) -> None:
    """Adding who is there already in that role satisfies the entry, in whatever case the address is written."""
    service.projects["p"] = Project("Cats", users={"old@example.com": 1})
    service.pace = None
    assert (await provision(service, [users("p", "old@example.com")])).statuses == ["updated"]


async def test_member_who_is_not_listed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that leaves a user out is not taken for success for that user."""
    service.projects["p"] = Project("Cats")
    add = service._add_users
    monkeypatch.setattr(service, "_add_users", lambda call, project: add(call, project)[1:])
    done = await provision(service, members("p", 3))
    assert sorted(done.statuses) == ["failed", "updated", "updated"]
    assert [type(outcome.error) for outcome in done.outcomes if outcome.error] == [ReplyShapeError]


# --- what is there already -------------------------------------------------------------------------------------------


async def test_adopt(service: Service) -> None:
    """The one project of that title and description is taken as ours and given what it lacks."""
    service.has_datasets("d1", "d2")
    service.projects["p"] = Project("Cats", "about", datasets=["d1"])
    service.projects["q"] = Project("Cats", "something else")
    entry = project(key="k", description="about", datasets=["d1", "d2"], users=[{"email": "a@e.com", "role": "admin"}])
    done = await provision(service, [entry, users("@k", "b@e.com")])
    assert done.statuses == ["adopted", "updated"]
    assert [outcome.hash for outcome in done.outcomes] == ["p", "p"]
    assert [call.items for call in service.of("projectdataset.POST")] == [("d2",)]
    assert service.names["project.POST"] == 0
    assert {"a@e.com", "b@e.com"} <= set(service.projects["p"].users)


async def test_adopt_dataset(service: Service) -> None:
    """A dataset of ours is found again by title and description."""
    service.datasets["d"] = Dataset("Cats raw")
    done = await provision(service, [dataset(key="d"), project(datasets=["@d"])])
    assert done.statuses == ["adopted", "created"]
    assert [made.datasets for made in service.projects.values()] == [["d"]]


async def test_others_projects_are_not_adopted(service: Service) -> None:
    """A project of that title in which we are only annotator is left alone."""
    service.projects["p"] = Project("Cats", role=1)
    done = await provision(service, [project()])
    assert done.statuses == ["created"]


async def test_existing_create(service: Service) -> None:
    """``create`` makes another one."""
    service.projects["p"] = Project("Cats")
    assert (await provision(service, [project()], existing="create")).statuses == ["created"]
    assert len(service.projects) == 2


async def test_existing_fail(service: Service) -> None:
    """``fail`` fails, says by what, and makes nothing."""
    service.projects["p"] = Project("Cats")
    [outcome] = (await provision(service, [project()], existing="fail")).outcomes
    assert outcome.error is not None
    assert outcome.error.code == "EXISTS"
    assert len(service.projects) == 1


async def test_ambiguous(service: Service) -> None:
    """If several could be meant, none is touched and all are listed."""
    service.projects |= {"p": Project("Cats"), "q": Project("Cats")}
    [outcome, member] = (await provision(service, [project(key="k"), users("@k", "a@e.com")])).outcomes
    assert outcome.error is not None
    assert outcome.error.code == "AMBIGUOUS"
    assert "p, q" in outcome.error.message
    assert member.blocked_by == "@k"
    assert len(service.projects) == 2


@pytest.mark.usefixtures("twins_pass")
async def test_two_entries_do_not_adopt_the_same(service: Service) -> None:
    """Of two entries of one title, one takes the project that is there and the other gets one of its own."""
    service.projects["p"] = Project("Cats")
    done = await provision(service, [project(), project()])
    assert sorted(done.statuses) == ["adopted", "created"]
    assert len({outcome.hash for outcome in done.outcomes}) == len(service.projects) == 2


@pytest.mark.usefixtures("twins_pass")
async def test_many_entries_of_one_title(service: Service) -> None:
    """Ten entries of one title make ten projects in one run: none takes for there already what another has made."""
    done = await provision(service, [project() for _ in range(10)])
    assert done.statuses == ["created"] * 10
    assert len({outcome.hash for outcome in done.outcomes}) == len(service.projects) == 10


async def test_ontology_that_cannot_be_exchanged(service: Service) -> None:
    """A project with another ontology than wanted is not taken as if it had the right one."""
    service.projects["p"] = Project("Cats", ontology="o1")
    [outcome] = (await provision(service, [project(ontology_hash="o2")])).outcomes
    assert outcome.error is not None
    assert outcome.error.code == "ONTOLOGY_KEPT"


async def test_failed_look_makes_nothing(service: Service) -> None:
    """If it cannot be found out what is there, nothing is made."""
    service.faults.append(Fault("v2/projects.GET", error=lambda: ServiceFaultError("down"), left=1000))
    assert (await provision(service, [project()])).statuses == ["failed"]
    assert service.projects == {}


# --- API keys --------------------------------------------------------------------------------------------------------


async def test_api_keys_of_fresh_projects_are_not_looked_up(service: Service) -> None:
    """A project that was just made has no keys, so its keys are made without a look."""
    keys = [{"title": "ci", "scopes": ["label.read"]}, {"title": "export", "scopes": ["label.read", "label.write"]}]
    done = await provision(service, [project(api_keys=keys)])
    assert done.statuses == ["created"]
    assert service.names == {"v2/projects.GET": 1, "project.POST": 1, "projectapikey.POST": 2}


@pytest.mark.parametrize(
    ("existing", "status", "keys"), [("adopt", "adopted", 1), ("create", "created", 2), ("fail", "failed", 1)]
)
async def test_api_key_that_is_there(service: Service, existing: str, status: str, keys: int) -> None:
    """A key of that title with exactly those scopes is the one wanted."""
    service.projects["p"] = Project("Cats", keys=[("ci", ("label.write", "label.read"))])
    entry = {"kind": "project_api_key", "project": "p", "title": "ci", "scopes": ["label.read", "label.write"]}
    done = await provision(service, [entry], existing=existing)
    assert done.statuses == [status]
    assert len(service.projects["p"].keys) == keys
    assert "secret" not in repr(done.outcomes)


async def test_api_key_with_other_scopes_is_another(service: Service) -> None:
    """A key of that title with other scopes is left, and the wanted one is made."""
    service.projects["p"] = Project("Cats", keys=[("ci", ("label.read",))])
    entry = {"kind": "project_api_key", "project": "p", "title": "ci", "scopes": ["label.write"]}
    assert (await provision(service, [entry])).statuses == ["created"]


# --- what fails and what hangs on it ---------------------------------------------------------------------------------


async def test_references_before_and_after(service: Service) -> None:
    """A reference may stand before or after what it names."""
    entries = [users("@p", "a@e.com"), project(key="p", datasets=["@d", "@e"]), dataset(key="d"), dataset("E", key="e")]
    done = await provision(service, entries)
    assert done.statuses == ["updated", "created", "created", "created"]
    [made] = service.projects.values()
    assert made.datasets == [done.outcomes[2].hash, done.outcomes[3].hash]


async def test_reference_to_nothing(service: Service) -> None:
    """An entry that refers to a key that no entry has fails, nothing is sent for it, and the run says so at its end."""
    manifest = [project(key="p", datasets=["@nowhere"]), users("@p", "a@e.com"), dataset()]
    outcomes: list[Outcome] = []
    async with open_session(service) as session, session.provision(manifest, journal=None) as run:
        with pytest.raises(ManifestError, match=r"entry 1: datasets\.0: '@nowhere' refers to nothing"):
            await collect(run, outcomes)
    found = {outcome.number: outcome for outcome in outcomes}
    assert [found[number].status.value for number in (1, 2, 3)] == ["failed", "blocked", "created"]
    assert isinstance(found[1].error, ManifestError)
    assert found[2].blocked_by == "@p"
    assert service.projects == {}


@pytest.mark.parametrize(
    ("options", "wish", "calls"),
    [
        ({}, {}, {"v2/datasets/list.GET", "v2/datasets.POST"}),
        ({"dataset_api": "envelope"}, {}, {"datasetwithuserrole.GET", "dataset.POST"}),
        ({}, {"storage": "aws"}, {"v2/datasets/list.GET", "dataset.POST"}),
        ({"dataset_api": "envelope"}, {"storage": "aws"}, {"datasetwithuserrole.GET", "dataset.POST"}),
    ],
)
async def test_datasets_go_over_the_api_that_was_asked_for(
    service: Service, options: dict[str, Any], wish: dict[str, Any], calls: set[str]
) -> None:
    """Datasets are made over REST v2 unless told otherwise, those of another storage as only an envelope can say."""
    done = await provision(service, [dataset("Cats", **wish)], **options)
    assert done.statuses == ["created"]
    assert done.outcomes[0].hash in service.datasets
    assert service.names.keys() == calls
    adopted = await provision(service, [dataset("Cats", **wish)], **options)
    assert adopted.statuses == ["adopted"]
    assert adopted.outcomes[0].hash == done.outcomes[0].hash


@pytest.mark.parametrize("api", ["rest", "envelope"])
@pytest.mark.parametrize("folder", [True, False])
async def test_a_backing_folder_only_if_wished_for(service: Service, api: str, folder: bool) -> None:
    """Datasets get a backing folder if the manifest says so."""
    more = {"create_backing_folder": True} if folder else {}
    await provision(service, [dataset("Cats", **more)], dataset_api=api)
    (call,) = service.of("v2/datasets.POST") + service.of("dataset.POST")
    assert call.payload["createBackingFolder" if api == "rest" else "create_backing_folder"] is folder


async def test_blocked_says_by_what(service: Service) -> None:
    """What needs something that failed is not tried, and names it and why."""
    service.faults.append(Fault("v2/datasets.POST", code="INVALID_ARGUMENTS_ERROR"))
    done = await provision(service, [dataset(key="d"), project(key="p", datasets=["@d"]), users("@p", "a@e.com")])
    assert done.statuses == ["failed", "blocked", "blocked"]
    assert [outcome.blocked_by for outcome in done.outcomes] == [None, "@d", "@p"]
    assert "the service does not accept the request" in str(done.outcomes[1].error)
    assert service.names["project.POST"] == 0


async def test_members_of_a_project_that_failed_are_not_sent(service: Service) -> None:
    """If a project cannot be made, its own users and keys are not tried, and the entry has one outcome."""
    service.faults.append(Fault("project.POST", code="INVALID_ARGUMENTS_ERROR"))
    keys = [{"title": "ci", "scopes": ["label.read"]}]
    done = await provision(service, [project(users=[{"email": "a@e.com", "role": "admin"}], api_keys=keys)])
    assert done.statuses == ["failed"]
    assert isinstance(done.outcomes[0].error and done.outcomes[0].error.code, str)
    assert service.names == {"v2/projects.GET": 1, "project.POST": 1}


async def test_create_that_was_not_sent_is_tried_again(service: Service) -> None:
    """No connection is no doubt: the create is sent again."""
    service.faults.append(Fault("project.POST", error=lambda: NotSentError("no connection"), left=3))
    assert (await provision(service, [project()])).statuses == ["created"]
    assert len(service.projects) == 1


async def test_create_without_an_answer_is_in_doubt(service: Service) -> None:
    """A create whose answer never came, and which is not to be seen, is never sent again: it is in doubt."""
    cut = Fault("project.POST", error=lambda: NoReplyError("cut"), touches=lambda call: call.payload["title"] == "Cats")
    service.faults.append(cut)
    done = await provision(service, [project(key="p"), users("@p", "a@e.com"), project("Dogs")])
    assert done.statuses == ["in_doubt", "blocked", "created"]
    assert (done.outcomes[0].error and done.outcomes[0].error.applied) == "unknown"
    assert "in doubt" in str(done.outcomes[1].error)
    assert len(service.of("project.POST")) == 2


async def test_create_whose_answer_was_lost_is_found(service: Service) -> None:
    """A create that was done although its answer was lost is looked up and counts as made."""
    service.faults.append(Fault("project.POST", error=lambda: NoReplyError("cut"), applies=True))
    done = await provision(service, [project(key="p"), users("@p", "a@e.com")])
    assert done.statuses == ["created", "updated"]
    assert [outcome.hash for outcome in done.outcomes] == list(service.projects) * 2


async def test_unexpected_answer_to_a_create_is_not_repeated(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A success in a shape that is not understood was a success: it is looked up, not done again."""
    create = service._create_project

    def odd(payload: Any) -> Any:
        return {"hash": create(payload)}

    monkeypatch.setattr(service, "_create_project", odd)
    done = await provision(service, [project()])
    assert done.statuses == ["created"]
    assert [outcome.hash for outcome in done.outcomes] == list(service.projects)


async def test_failed_overflow_does_not_hide_the_project(service: Service) -> None:
    """If a project was made and its last datasets could not be attached, the outcome names the project."""
    service.has_datasets("d1", "d2")
    service.faults.append(Fault("projectdataset.POST", code="AUTHORISATION_ERROR"))
    [outcome] = (await provision(service, [project(datasets=["d1", "d2"])], max_batch=1)).outcomes
    assert outcome.status.value == "failed"
    assert [outcome.hash] == list(service.projects)


async def test_unknown_project_in_a_key_entry(service: Service) -> None:
    """The service's refusal of a key is the entry's error, code and all."""
    entry = {"kind": "project_api_key", "project": "none", "title": "ci", "scopes": ["label.read"]}
    [outcome] = (await provision(service, [entry])).outcomes
    assert isinstance(outcome.error, NotFoundError)


async def test_every_batch_counts_its_entries_once(service: Service) -> None:
    """Batches of many projects at once, some refused, lose and repeat nothing."""
    service.projects |= {f"p{n}": Project("Cats") for n in range(5)}
    service.refused_emails |= {f"{n}@example.com" for n in range(0, 200, 17)}
    entries = [users(f"p{n % 7}", f"{n}@example.com") for n in range(200)]
    done = await provision(service, entries, max_batch=7)
    expected = ["failed" if n % 17 == 0 or n % 7 >= 5 else "updated" for n in range(200)]
    assert done.statuses == expected
    added = Counter(email for found in service.projects.values() for email in found.users)
    assert set(added.values()) == {1}
    assert len(added) == expected.count("updated")
