"""What a comparison finds is put right: only added to, unless asked otherwise, and never made twice."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from encord_async.errors import NoReplyError
from encord_async.provision.journal import Identity, Journal
from encord_async.provision.ledger import MemoryLedger
from encord_async.provision.outcome import Status
from encord_async.provision.repair import Repaired, Repairs, repair
from encord_async.provision.verify import Report, compare, gather
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


class KeyService(Service):
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
            wishes = await gather(entries, journal, keep_users=True)
            await compare(session, wishes, on_project=repairs.note)
            api_keys = await repairs.api_keys(journal)
        owner = Identity(session.settings.domain, session.identity)
        repaired = await repair(session, repairs, api_keys=api_keys, journal=Journal(path, owner), settle_s=0.0)
        return repaired, await compare(session, wishes)


async def test_what_is_missing_is_added(service: Service, tmp_path: Path) -> None:
    """Datasets are attached, users added and API keys made again; what is too much stays."""
    cats = await made(service, tmp_path / "j")
    attached, keys = {*cats.datasets, "other"}, list(cats.keys)
    members = {email: role for email, role in cats.users.items() if email != ADMIN}
    cats.datasets, cats.users, cats.keys = ["other"], {}, cats.keys[1:]
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


async def test_roles_that_stay_are_told(service: Service, tmp_path: Path) -> None:
    """A member in another role than wanted keeps it; the repair finds that out by adding."""
    cats = await made(service, tmp_path / "j")
    cats.users["ann@example.com"] = 1
    repaired, _ = await fixed(service, tmp_path / "j")
    (outcome,) = repaired.unsatisfied
    assert [(kept.email, kept.wanted, kept.held) for kept in outcome.role_kept] == [
        ("ann@example.com", "reviewer", "annotator")
    ]


async def test_known_members_are_not_added(service: Service, tmp_path: Path) -> None:
    """Where the users can be read, only those who are missing are added."""
    cats = await made(service, tmp_path / "j")
    del cats.users["bob@example.com"]

    async def users_of(project_hash: str) -> dict[str, int]:
        return service.projects[project_hash].users

    repairs = Repairs()
    async with open_session(service) as session, Journal(tmp_path / "j", None) as journal:
        wishes = await gather(PROGRAMME, journal, keep_users=True)
        await compare(session, wishes, users_of=users_of, on_project=repairs.note)
        assert repairs.counts() == {"attach": 0, "detach": 0, "users": 1, "api_keys": 0}
        await repair(session, repairs, api_keys=[], journal=None)
    assert cats.users["bob@example.com"] == 1


async def test_nothing_to_put_right(service: Service) -> None:
    """An account as wished needs nothing."""
    service.projects["there"] = Project("Dogs", datasets=["old"])
    repairs = Repairs(prune=True)
    async with open_session(service) as session:
        wishes = await gather([attach("there", "old")], MemoryLedger())
        await compare(session, wishes, on_project=repairs.note)
    assert not repairs
