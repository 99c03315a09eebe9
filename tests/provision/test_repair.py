"""What a comparison finds is put right: only added to, unless asked otherwise, and never made twice."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from encord_async.engine.outcome import Status
from encord_async.errors import AuthenticationError, ConflictError, NoReplyError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import MemoryLedger
from encord_async.verify.compare import Report, compare
from encord_async.verify.difference import Difference
from encord_async.verify.repair import Repaired, Repairs, repair
from encord_async.verify.wishes import gather
from tests.provision.conftest import (
    ADMIN,
    Call,
    Entry,
    Fault,
    Json,
    Project,
    Service,
    all_of,
    attach,
    dataset,
    open_session,
    project,
    users,
)
from tests.provision.listing import LIST, READ, REMOVE, ListingService

KEY = {"title": "ci", "scopes": ["label.write", "label.read"]}
PROGRAMME = [
    dataset("Raw", key="raw"),
    project(
        "Cats",
        key="cats",
        datasets=["@raw", "old"],
        api_keys=[KEY],
        users=[{"email": "ann@example.com", "role": "reviewer"}],
    ),
    {"kind": "project_api_key", "project": "@cats", **KEY},
    users("@cats", "bob@example.com", role="annotator"),
]


class Key(tuple[str, tuple[str, ...]]):
    """Title and scopes of an API key, with the key itself."""

    text: str


class KeyService(ListingService):
    """An account that shows each API key as itself: a key is told from its namesakes by that."""

    def _answer(self, call: Call) -> Json:
        match call.name:
            case "projectapikey.POST":
                text: str = super()._answer(call)
                keys = self._project(call.uid).keys
                key = Key(keys[-1])
                key.text = text
                keys[-1] = key
                return text
            case "projectapikey.GET":
                keys = self._project(call.uid).keys
                return [
                    {"api_key": one.text, "title": one[0], "scopes": one[1]} for one in keys if isinstance(one, Key)
                ]
        return super()._answer(call)


@pytest.fixture
def service() -> Service:
    """An empty account."""
    return KeyService()


async def made(service: Service, path: Path, entries: Sequence[Entry] = PROGRAMME) -> Project:
    """Provision *entries* with a journal; the project called Cats, or an empty one."""
    service.has_datasets("old", "other")
    async with open_session(service) as session, session.provision(entries, journal=path, settle_s=0.0) as run:
        await all_of(run)
    return next((one for one in service.projects.values() if one.title == "Cats"), Project(""))


async def fixed(
    service: Service, path: Path, entries: Sequence[Entry] = PROGRAMME, *, prune: bool = False
) -> tuple[Repaired, Report]:
    """Compare, repair, and compare again."""
    repairs = Repairs(prune=prune)
    async with open_session(service) as session:
        async with Journal(path, None) as journal:
            wishes = await gather(entries, journal)
            await compare(session, wishes, on_thing=repairs.note)
            inner = await repairs.inner(journal)
        owner = Identity(session.settings.domain, session.identity)
        repaired = await repair(session, repairs, inner=inner, journal=Journal(path, owner), settle_s=0.0)
        return repaired, await compare(session, wishes)


async def test_what_is_missing_is_added(service: Service, tmp_path: Path) -> None:
    """Datasets are attached, users added and API keys made again; what is too much stays."""
    cats = await made(service, tmp_path / "j")
    attached, keys = {*cats.datasets, "other"}, list(cats.keys)
    members = dict(cats.users)
    cats.datasets, cats.users, cats.keys = ["other"], {ADMIN: 0}, cats.keys[1:]
    repaired, report = await fixed(service, tmp_path / "j")
    assert set(repaired.counts) <= {Status.CREATED, Status.UPDATED}
    assert report.as_json() == {"extra": {"attachment": 1}}
    assert set(cats.datasets) == attached
    assert cats.users == members
    assert cats.keys == keys
    assert len(service.projects) == 1


async def test_prune_detaches(service: Service, tmp_path: Path) -> None:
    """With prune, what is too much is detached; without an entry for the project only what an entry removes."""
    entries = [*PROGRAMME, {"kind": "project_datasets", "project": "there", "remove": ["other"]}]
    service.projects["there"] = Project("Dogs", datasets=["old"])
    cats = await made(service, tmp_path / "j", entries)
    there = service.projects["there"]
    wanted = list(cats.datasets)
    cats.datasets.append("other")
    there.datasets.append("other")
    _, report = await fixed(service, tmp_path / "j", entries)
    assert report.differences == 2
    _, report = await fixed(service, tmp_path / "j", entries, prune=True)
    assert report.differences == 0
    assert (cats.datasets, there.datasets) == (wanted, ["old"])


async def test_nothing_is_detached_while_a_dataset_has_no_hash(service: Service, tmp_path: Path) -> None:
    """What seems too much could be the dataset that the journal does not know."""
    cats = await made(service, tmp_path / "j")
    cats.datasets.append("other")
    entries = [dataset("New", key="new"), *PROGRAMME, attach("@cats", "@new")]
    _, report = await fixed(service, tmp_path / "j", entries, prune=True)
    assert report.as_json() == {"missing": {"dataset": 1, "attachment": 1}, "extra": {"attachment": 1}}
    assert "other" in cats.datasets


async def test_what_was_never_made_is_left_to_apply(service: Service, tmp_path: Path) -> None:
    """A key, project or dataset that the journal does not know as made is made by a run of the manifest alone."""
    await made(service, tmp_path / "j", PROGRAMME[:1])
    before = service.names
    await fixed(service, tmp_path / "j")
    assert (service.names - before).keys() == {"datasetwithuserrole.GET"}
    cats = await made(service, tmp_path / "j", PROGRAMME[:2])
    _, report = await fixed(service, tmp_path / "j")
    assert report.as_json() == {"missing": {"api_key": 1}}
    assert len(cats.keys) == 1


async def test_a_key_that_was_made_in_another_project_is_left_to_apply(service: Service, tmp_path: Path) -> None:
    """That a key was made once says nothing of the project that its entry has turned to since."""
    read: Entry = {"kind": "project_api_key", "key": "k", "project": "@cats", "title": "ci", "scopes": ["label.read"]}
    both = [project(key="cats"), project("Dogs", key="dogs")]
    await made(service, tmp_path / "j", [*both, read])
    repaired, report = await fixed(service, tmp_path / "j", [*both, {**read, "project": "@dogs"}])
    assert not repaired.counts
    assert report.as_json() == {"missing": {"api_key": 1}}


async def test_a_key_that_is_lost_again_is_made_again(service: Service, tmp_path: Path) -> None:
    """Each repair counts for itself: what was put right once is not taken for done the next time."""
    cats = await made(service, tmp_path / "j")
    for _ in range(3):
        cats.keys.clear()
        _, report = await fixed(service, tmp_path / "j")
        assert report.differences == 0
        assert len(cats.keys) == 2
    async with open_session(service) as session, session.provision(PROGRAMME, journal=tmp_path / "j") as run:
        assert {outcome.status for outcome in await all_of(run)} == {Status.UNCHANGED}
    assert len(cats.keys) == 2


@pytest.mark.parametrize("applied", [True, False])
async def test_no_key_is_made_twice(service: Service, tmp_path: Path, applied: bool) -> None:
    """A repair whose answer is lost is looked for, and sent again only by a later one, once nothing is to be seen."""
    cats = await made(service, tmp_path / "j")
    cats.keys.clear()
    service.faults.append(Fault("projectapikey.POST", error=lambda: NoReplyError("cut"), applies=applied))
    repaired, report = await fixed(service, tmp_path / "j")
    assert repaired.counts[Status.IN_DOUBT] == report.differences == (0 if applied else 1)
    sent = service.names["projectapikey.POST"]
    repaired, report = await fixed(service, tmp_path / "j")
    assert (report.differences, len(cats.keys)) == (0, 2)
    assert service.names["projectapikey.POST"] == (sent if applied else sent + 1)
    async with Journal(tmp_path / "j", None) as journal:
        assert await journal.open_intents() == []


async def test_only_missing_users_are_added(service: Service, tmp_path: Path) -> None:
    """Members are not added once more, whatever their role and spelling; the role stays, and stays a difference."""
    cats = await made(service, tmp_path / "j")
    del cats.users["ann@example.com"], cats.users["bob@example.com"]
    cats.users["ANN@example.com"] = 1
    before = service.names["projectusers.POST"]
    repaired, report = await fixed(service, tmp_path / "j")
    assert service.names["projectusers.POST"] == before + 1
    assert cats.users == {ADMIN: 0, "ANN@example.com": 1, "bob@example.com": 1}
    assert (repaired.unsatisfied, report.as_json()) == ([], {"different": {"role": 1}})


async def test_where_users_are_not_listed_all_are_added(service: Service, tmp_path: Path) -> None:
    """Where nobody knows the members all wishes are sent; who holds another role keeps it, and that is found out."""
    cats = await made(service, tmp_path / "j")
    cats.users |= {"ann@example.com": 1, "eve@example.com": 1}
    del cats.users["bob@example.com"]
    service.faults.append(Fault(LIST, code="METHOD_NOT_ALLOWED_ERROR", left=9))
    repaired, report = await fixed(service, tmp_path / "j", prune=True)
    (outcome,) = repaired.unsatisfied
    assert [(kept.email, kept.wanted, kept.held) for kept in outcome.role_kept] == [
        ("ann@example.com", "reviewer", "annotator")
    ]
    assert report.unlisted == {"user": 1}
    assert (cats.users["bob@example.com"], cats.users["eve@example.com"]) == (1, 1)


async def test_prune_removes_users(service: Service, tmp_path: Path) -> None:
    """With prune users who should not be there go, but Admins stay: one of them is the account."""
    cats = await made(service, tmp_path / "j")
    wanted = {**cats.users, "boss@example.com": 0}
    cats.users |= {"boss@example.com": 0} | {f"{number}@example.com": 1 for number in range(1500)}
    _, report = await fixed(service, tmp_path / "j")
    assert report.as_json() == {"extra": {"user": 1500}}
    repaired, report = await fixed(service, tmp_path / "j", prune=True)
    assert (report.differences, repaired.kept) == (0, [])
    assert cats.users == wanted
    assert [len(call.payload["userEmails"]) for call in service.of(REMOVE)] == [1000, 500]


async def test_what_was_pruned_is_given_again(service: Service, tmp_path: Path) -> None:
    """What a repair takes away, the journal no longer has for done: a run that wants it again gives it again."""
    cats = await made(service, tmp_path / "j")
    less = [PROGRAMME[0], {**PROGRAMME[1], "users": [], "datasets": []}]
    _, report = await fixed(service, tmp_path / "j", less, prune=True)
    assert report.differences == 0
    assert (set(cats.users), cats.datasets) == ({ADMIN}, [])
    await made(service, tmp_path / "j")
    assert cats.users.keys() == {ADMIN, "ann@example.com", "bob@example.com"}
    assert len(cats.datasets) == 2
    service.calls.clear()
    await made(service, tmp_path / "j")
    assert service.calls == []


async def test_a_repair_believes_no_journal(service: Service, tmp_path: Path) -> None:
    """Who was removed by hand is added again although the journal has them for added."""
    cats = await made(service, tmp_path / "j")
    members = dict(cats.users)
    cats.users = {ADMIN: 0}
    repaired, report = await fixed(service, tmp_path / "j")
    assert (report.differences, cats.users) == (0, members)
    assert set(repaired.counts) == {Status.UPDATED}
    service.calls.clear()
    await made(service, tmp_path / "j")
    assert service.calls == []


async def test_nobody_is_removed_by_an_account_that_is_no_admin(service: Service, tmp_path: Path) -> None:
    """If the account is not Admin it could be one of those to remove itself: nobody is, and that is told."""
    cats = await made(service, tmp_path / "j")
    cats.users["eve@example.com"] = 4

    def demoted(_: Call) -> bool:
        cats.role = 4
        return False

    service.faults.append(Fault(READ, touches=demoted))
    repairs = Repairs(prune=True)
    async with open_session(service) as session, Journal(tmp_path / "j", None) as journal:
        await compare(session, await gather(PROGRAMME, journal), on_thing=repairs.note)
        repaired = await repair(session, repairs, inner=[], journal=None)
    (kept,) = repaired.kept
    assert (kept.deed.items, type(kept.error)) == ((("eve@example.com", None),), ConflictError)
    assert service.of(REMOVE) == []


async def test_a_removal_that_is_refused(service: Service, tmp_path: Path) -> None:
    """That the service removes nobody from one project is told, and the others go on."""
    entries = [*PROGRAMME, project("Dogs", key="dogs")]
    cats = await made(service, tmp_path / "j", entries)
    dogs = service.projects[service.titled("Dogs")[0]]
    cats.users["eve@example.com"] = dogs.users["eve@example.com"] = 1
    service.faults.append(Fault(REMOVE, code="AUTHORISATION_ERROR"))
    repaired, report = await fixed(service, tmp_path / "j", entries, prune=True)
    assert (len(repaired.kept), report.as_json()) == (1, {"extra": {"user": 1}})
    service.faults.append(Fault(REMOVE, code="AUTHENTICATION_ERROR"))
    with pytest.raises(AuthenticationError):
        await fixed(service, tmp_path / "j", entries, prune=True)


async def test_nothing_to_put_right(service: Service) -> None:
    """An account as wished needs nothing."""
    service.projects["there"] = Project("Dogs", datasets=["old"])
    repairs = Repairs(prune=True)
    async with open_session(service) as session:
        wishes = await gather([attach("there", "old")], MemoryLedger())
        await compare(session, wishes, on_thing=repairs.note)
    assert not repairs


async def test_what_a_policy_protects_is_not_pruned(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a project whose key a team's policy protects nothing is taken, and the difference says why."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encord-async.toml").write_text('protected_keys = ["cat*"]\n')
    cats = await made(service, tmp_path / "j")
    cats.datasets.append("other")
    _, report = await fixed(service, tmp_path / "j", prune=True)
    assert "other" in cats.datasets
    assert report.as_json() == {"extra": {"attachment": 1}}
    differences: list[Difference] = []
    async with open_session(service) as session, Journal(tmp_path / "j", None) as journal:
        await compare(session, await gather(PROGRAMME, journal), on_difference=differences.append)
    assert [one.reason for one in differences] == ["it is protected; see protected_keys in encord-async.toml"]
