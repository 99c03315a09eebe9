"""What differs between an account and a manifest is found, and nothing else is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import AuthenticationError, ManifestError, ReplyShapeError
from encord_async.journal.journal import Journal
from encord_async.journal.record import Ledger, MemoryLedger, Record
from encord_async.kinds.membership import Relation
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_datasets import DATASETS
from encord_async.manifest.place import Place
from encord_async.protocol.catalogue import ProjectUserRole
from encord_async.verify.compare import Facts, Report, compare, examine
from encord_async.verify.difference import Difference, Fault
from encord_async.verify.wishes import ThingWish, gather
from tests.provision.conftest import (
    Entry,
    Project,
    Service,
    all_of,
    attach,
    dataset,
    open_session,
    project,
    users,
)
from tests.provision.conftest import (
    Fault as ServiceFault,
)
from tests.provision.listing import LIST, ListingService

READS = {"datasetwithuserrole.GET", "project.GET", "projectapikey.GET", LIST}
KEY = {"title": "ci", "scopes": ["label.read", "label.write"]}
PROGRAMME = [
    users("@cats", "ann@example.com", role="reviewer"),
    dataset("Raw", key="raw", description="as they came"),
    project("Cats", key="cats", description="wild", datasets=["@raw", "old"], api_keys=[KEY]),
    {"kind": "project_api_key", "project": "@cats", **KEY},
    attach("there", "@raw"),
]


async def made(service: Service, path: Path, entries: Sequence[Entry], **options: Any) -> None:
    """Provision *entries* with a journal."""
    async with (
        open_session(service) as session,
        session.provision(entries, journal=path, settle_s=0.0, **options) as run,
    ):
        await all_of(run)


@pytest.fixture
def service() -> Service:
    """An empty account."""
    return ListingService()


async def verified(service: Service, entries: Sequence[Entry], ledger: Ledger) -> tuple[Report, list[Difference]]:
    """Compare the account with *entries*; nothing but reads may be sent."""
    before, found = service.names, list[Difference]()
    async with open_session(service) as session:
        wishes = await gather(entries, ledger)
        report = await compare(session, wishes, on_difference=found.append)
    assert (service.names - before).keys() <= READS
    return report, sorted(found, key=lambda one: (one.place.number, one.what, one.item))


async def differences(
    service: Service, path: Path, entries: Sequence[Entry] = PROGRAMME
) -> list[tuple[int, str, str, str]]:
    """Entry, fault, thing and item of each difference."""
    async with Journal(path, None) as journal:
        report, found = await verified(service, entries, journal)
    assert report.counts == Counter((one.fault, one.what) for one in found)
    return [(one.place.number, one.fault.value, one.what, one.item) for one in found]


@pytest.fixture
async def provisioned(service: Service, tmp_path: Path) -> Path:
    """An account that holds what PROGRAMME wants; the journal of that."""
    service.has_datasets("old", "other")
    service.projects["there"] = Project("Dogs", datasets=["other"])
    path = tmp_path / "run.journal"
    await made(service, path, PROGRAMME)
    return path


async def test_an_account_as_wished(service: Service, provisioned: Path) -> None:
    """Right after a run nothing differs; each project is read once, keys and users only where the manifest says any."""
    before = service.names
    assert await differences(service, provisioned) == []
    assert service.names - before == {"datasetwithuserrole.GET": 1, "project.GET": 2, "projectapikey.GET": 1, LIST: 1}


async def test_each_difference_is_told(service: Service, provisioned: Path) -> None:
    """What is missing, too much or different is told one by one, with the entry that wants it."""
    (raw,) = [hash_ for hash_, one in service.datasets.items() if one.title == "Raw"]
    (cats,) = service.titled("Cats")
    found = service.projects[cats]
    found.datasets = ["other", "old"]
    found.description = "tame"
    found.keys = [("ci", ("label.read",)), ("ci", ("label.write", "label.read"))]
    service.datasets[raw].title = "Cooked"
    service.projects["there"].datasets.remove(raw)
    assert await differences(service, provisioned) == [
        (2, "different", "title", "Raw"),
        (3, "missing", "api_key", "ci"),
        (3, "missing", "attachment", raw),
        (3, "extra", "attachment", "other"),
        (3, "different", "description", "Cats"),
        (5, "missing", "attachment", raw),
    ]


async def test_what_the_service_has_no_more(service: Service, provisioned: Path) -> None:
    """A project or dataset that somebody deleted is missing, and one we may not see is unreadable."""
    (cats,) = service.titled("Cats")
    service.datasets = {hash_: one for hash_, one in service.datasets.items() if one.title != "Raw"}
    del service.projects[cats]
    service.projects["there"].role = ProjectUserRole.REVIEWER
    assert await differences(service, provisioned) == [
        (2, "missing", "dataset", "Raw"),
        (3, "missing", "project", "Cats"),
        (5, "unreadable", "project", "there"),
    ]


async def test_without_a_journal(service: Service) -> None:
    """Without a journal what is named by hash is compared, and what entries were made as is not known."""
    service.has_datasets("old")
    service.projects["there"] = Project("Dogs")
    entries = [*PROGRAMME[1:3], attach("there", "old"), attach("there", "@raw")]
    report, found = await verified(service, entries, MemoryLedger())
    assert [(one.fault, one.what, one.item) for one in found] == [
        (Fault.MISSING, "dataset", "Raw"),
        (Fault.MISSING, "project", "Cats"),
        (Fault.MISSING, "attachment", "@raw"),
        (Fault.MISSING, "attachment", "old"),
    ]
    assert "run 'encord-async apply'" in (found[0].reason or "")
    assert report.read["project"] == 1


async def test_a_project_without_an_entry_may_hold_more(service: Service) -> None:
    """Entries about the contents of a project do not say that it holds nothing else; what they remove is too much."""
    service.has_datasets("a", "b", "c")
    service.projects["there"] = Project("Dogs", datasets=["a", "b", "c"])
    entries = [{"kind": "project_datasets", "project": "there", "add": ["a"], "remove": ["b"]}]
    _, found = await verified(service, entries, MemoryLedger())
    assert [(one.fault, one.item) for one in found] == [(Fault.EXTRA, "b")]


async def test_what_one_entry_removes_is_not_wanted(service: Service, tmp_path: Path) -> None:
    """A dataset that an entry of the project names and another entry removes has to be gone."""
    service.has_datasets("a", "b")
    entries = [
        project("Cats", key="cats", datasets=["a", "b"]),
        {"kind": "project_datasets", "project": "@cats", "remove": ["b"]},
    ]
    await made(service, tmp_path / "j", entries)
    assert await differences(service, tmp_path / "j", entries) == []
    service.projects[service.titled("Cats")[0]].datasets = ["b"]
    assert await differences(service, tmp_path / "j", entries) == [
        (1, "missing", "attachment", "a"),
        (1, "extra", "attachment", "b"),
    ]


async def test_another_ontology(service: Service, tmp_path: Path) -> None:
    """The ontology is compared if the manifest names one."""
    entries = [project("Cats", key="cats", ontology_hash="wanted"), project("Dogs", key="dogs")]
    await made(service, tmp_path / "j", entries)
    for hash_ in service.projects:
        service.projects[hash_].ontology = "other"
    async with Journal(tmp_path / "j", None) as journal:
        _, found = await verified(service, entries, journal)
    assert [(one.item, one.wanted, one.found) for one in found] == [("Cats", "wanted", "other")]


async def test_a_stamp_is_no_difference(service: Service, tmp_path: Path) -> None:
    """The mark that a run leaves in descriptions, if asked to, does not count."""
    entries = [project("Cats", description="wild"), dataset("Raw")]
    await made(service, tmp_path / "j", entries, stamp=True)
    assert all("[encord-async " in one.description for one in service.projects.values())
    assert await differences(service, tmp_path / "j", entries) == []


async def test_what_failed_says_why(service: Service, tmp_path: Path) -> None:
    """An entry that the run could not make is missing for the reason that the run met."""
    service.faults.append(ServiceFault("v2/datasets.POST", code="INVALID_ARGUMENTS_ERROR"))
    await made(service, tmp_path / "j", [dataset("Raw", key="raw")])
    async with Journal(tmp_path / "j", None) as journal:
        _, found = await verified(service, [dataset("Raw", key="raw")], journal)
    assert "could not be made" in (found[0].reason or "")


async def found_of(service: Service, path: Path) -> list[tuple[str, str, str, str | None, str | None]]:
    """Way of differing, thing, item, wanted and found of each difference from PROGRAMME."""
    async with Journal(path, None) as journal:
        _, found = await verified(service, PROGRAMME, journal)
    return [(one.fault.value, one.what, one.item, one.wanted, one.found) for one in found]


async def test_users_are_compared(service: Service, provisioned: Path) -> None:
    """Users who are missing, too many or in another role are told, however their addresses are spelt, on all pages."""
    cats = service.projects[service.titled("Cats")[0]]
    del cats.users["ann@example.com"]
    cats.users |= {"ANN@example.com": 1, "bob@example.com": 2, "eve@example.com": 99}
    assert await found_of(service, provisioned) == [
        ("different", "role", "ann@example.com", "reviewer", "annotator"),
        ("extra", "user", "bob@example.com", None, "reviewer"),
        ("extra", "user", "eve@example.com", None, "99"),
    ]
    del cats.users["ANN@example.com"]
    assert ("missing", "user", "ann@example.com", "reviewer", None) in await found_of(service, provisioned)


async def test_a_role_that_cannot_be_changed_says_so(service: Service, provisioned: Path) -> None:
    """Another role than wanted comes with the reason why nothing here puts it right."""
    service.projects[service.titled("Cats")[0]].users["ann@example.com"] = 1
    async with Journal(provisioned, None) as journal:
        _, (role,) = await verified(service, PROGRAMME, journal)
    assert "cannot change the role" in (role.reason or "")


async def test_admins_whom_nobody_wished_for(service: Service, provisioned: Path) -> None:
    """Whoever made the project, and the account itself, are Admins, and no difference."""
    service.projects[service.titled("Cats")[0]].users["boss@example.com"] = ProjectUserRole.ADMIN
    assert await found_of(service, provisioned) == []


async def test_others_may_be_in_a_project_without_an_entry(service: Service) -> None:
    """Without an entry for the project itself the users wished for are looked for, and others are no difference."""
    service.projects["there"] = Project("Dogs", users={"old@example.com": 1})
    _, found = await verified(service, [users("there", "new@example.com")], MemoryLedger())
    assert [(one.fault, one.item) for one in found] == [(Fault.MISSING, "new@example.com")]


@pytest.mark.parametrize("code", ["RESOURCE_NOT_FOUND_ERROR", "METHOD_NOT_ALLOWED_ERROR", "AUTHORISATION_ERROR"])
async def test_a_service_that_lists_no_users(service: Service, provisioned: Path, code: str) -> None:
    """Where the service has no listing, or forbids it, users are not checked, and that is counted, not a difference."""
    service.projects[service.titled("Cats")[0]].users.clear()
    service.faults.append(ServiceFault(LIST, code=code))
    async with Journal(provisioned, None) as journal:
        report, found = await verified(service, PROGRAMME, journal)
    assert (report.unlisted, report.members["user"], found) == ({"user": 1}, 0, [])
    assert LIST in report.unlisted_reasons["user"]


async def test_a_bad_manifest_is_refused(tmp_path: Path) -> None:
    """A bad entry, in a file or in a stream, is told before anything is read from the service."""
    path = tmp_path / "m.jsonl"
    path.write_text('{"kind": "project"}\n')
    for manifest in (path, [{"kind": "project"}], [users("@nobody", "a@example.com")]):
        with pytest.raises(ManifestError):
            await gather(manifest, MemoryLedger())


async def test_a_service_that_cannot_be_read(service: Service, provisioned: Path) -> None:
    """A key that is not accepted and an answer that is not understood end the comparison; they are no differences."""
    async with Journal(provisioned, None) as journal:
        wishes = await gather(PROGRAMME, journal)
    async with open_session(service, token="wrong") as session:
        with pytest.raises(AuthenticationError):
            await compare(session, wishes)
    service.faults.append(ServiceFault("project.GET", error=lambda: ReplyShapeError("what is that?")))
    async with open_session(service) as session:
        with pytest.raises(ReplyShapeError):
            await compare(session, wishes)
    service.faults.append(ServiceFault(LIST, code="AUTHENTICATION_ERROR"))
    async with open_session(service) as session:
        with pytest.raises(AuthenticationError):
            await compare(session, wishes)


async def test_reads_are_bounded(service: Service, tmp_path: Path) -> None:
    """Many projects are read several at a time, never more than the session allows."""
    entries = [project(f"P{number}", key=f"p{number}") for number in range(30)]
    await made(service, tmp_path / "j", entries)
    service.max_in_flight = 0
    assert await differences(service, tmp_path / "j", entries) == []
    assert service.max_in_flight == 4


class Counting(MemoryLedger):
    """A ledger that notes how much it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def known(self, identities: Sequence[bytes]) -> Mapping[bytes, Record]:
        """Nothing."""
        self.asked.append(len(identities))
        return {}


async def test_the_journal_is_asked_for_many_at_once() -> None:
    """One look-up serves some hundred entries, and memberships are not looked up at all."""
    ledger = Counting()
    entries = [users("there", f"{number}@example.com") for number in range(600)]
    await gather(iter([*entries, attach("there", "@d"), dataset("D", key="d")]), ledger)
    assert ledger.asked == [0, 0, 1]


HASHES = st.frozensets(st.sampled_from("abcdef"))
NAMES = st.lists(
    st.tuples(
        st.sampled_from(["ci", "export"]), st.frozensets(st.sampled_from(["label.read", "label.write"]), min_size=1)
    )
)


@given(wanted=HASHES, unwanted=HASHES, attached=HASHES, whole=st.booleans(), keys=NAMES, there=NAMES)
def test_putting_the_differences_right_leaves_none(
    wanted: frozenset[str],
    unwanted: frozenset[str],
    attached: frozenset[str],
    whole: bool,
    keys: list[tuple[str, frozenset[str]]],
    there: list[tuple[str, frozenset[str]]],
) -> None:
    """What is told is exactly what has to change: after attaching, detaching and making it nothing differs."""
    closed = frozenset([DATASETS]) if whole else frozenset[Relation]()
    wish = ThingWish(PROJECT, "p", Place("m", 1, 1), "Cats", closed=closed, inner=Counter(keys))
    wish.of(DATASETS).wished.update(dict.fromkeys(wanted))
    wish.of(DATASETS).unwanted |= unwanted

    def facts(datasets: frozenset[str], names: Counter[tuple[str, frozenset[str]]]) -> Facts:
        return Facts(held={DATASETS: dict.fromkeys(datasets)}, spared={}, inner=names)

    found = list(examine(wish, facts(attached, Counter(there))))
    missing = {one.item for one in found if one.fault is Fault.MISSING and one.what == "attachment"}
    extra = {one.item for one in found if one.fault is Fault.EXTRA}
    assert not missing & attached
    assert extra <= attached
    made = Counter((one.item, frozenset((one.wanted or "").split())) for one in found if one.what == "api_key")
    assert list(examine(wish, facts(attached - extra | missing, Counter(there) + made))) == []
