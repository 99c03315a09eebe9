"""Ontologies, groups and the organisation are compared with the manifest on a local Encord, and put right."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault as ServiceFault
from encord_async.emulator import FaultRule
from encord_async.errors import AuthenticationError
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import MemoryLedger
from encord_async.protocol.catalogue import MemberType, OrganisationRole, ProjectUserRole
from encord_async.verify.compare import Report, compare
from encord_async.verify.difference import Difference
from encord_async.verify.repair import Repaired, Repairs, repair
from encord_async.verify.wishes import gather
from tests.provision.conftest import Entry, dataset, project, users
from tests.provision.world import ME, PROGRAMME, World, open_world

LISTINGS = {
    "v2/ontologies.GET": ("ontology", 1),
    "v2/user/current-organisation/groups.GET": ("group", 1),
    "v2/organisation/groups/{group}/users.GET": ("member", 1),
    "v2/organisation/users.GET": ("organisation_user", 2),
    "v2/projects/{project}/groups.GET": ("project_group", 2),
}


@dataclass(slots=True)
class Provisioned:
    """An account that holds what PROGRAMME wants, and the journal of that."""

    world: World
    journal: Path
    hashes: dict[str, str]
    report: Report = field(default_factory=Report)

    async def told(self, manifest: Sequence[Entry] = PROGRAMME) -> list[str]:
        """Each difference in short."""
        found: list[Difference] = []
        async with Journal(self.journal, None) as journal:
            wishes = await gather(manifest, journal)
            self.report = await compare(self.world.session, wishes, on_difference=found.append)
        return [_short(one) for one in sorted(found, key=lambda one: (one.place.number, one.what, one.item))]

    async def fix(self, manifest: Sequence[Entry] = PROGRAMME, *, prune: bool = False) -> Repaired:
        """Compare and put right."""
        repairs, session = Repairs(prune=prune), self.world.session
        async with Journal(self.journal, None) as journal:
            wishes = await gather(manifest, journal)
            await compare(session, wishes, on_thing=repairs.note, on_lacking=repairs.note_lacking)
        journal = Journal(self.journal, Identity(session.settings.domain, session.identity))
        return await repair(session, repairs, inner=[], journal=journal)


def _short(one: Difference) -> str:
    change = f" {one.wanted} -> {one.found}" if one.wanted or one.found else ""
    return f"{one.place.number} {one.fault} {one.what} {one.item}{change}"


@pytest.fixture
async def done(tmp_path: Path) -> AsyncIterator[Provisioned]:
    """PROGRAMME, provisioned."""
    async with open_world() as world:
        outcomes = await world.run(PROGRAMME, tmp_path / "j")
        assert all(outcome.status.satisfied for outcome in outcomes.values())
        yield Provisioned(world, tmp_path / "j", {key: outcome.hash or "" for key, outcome in outcomes.items()})


async def test_right_after_a_run_nothing_differs(done: Provisioned) -> None:
    """Whoever made the group is in it, copies and references come out as wished, and nothing is sent but reads."""
    before = done.world.emulator.log()
    assert await done.told() == []
    assert not done.report.unlisted
    assert done.world.emulator.log() == before


async def spoil(done: Provisioned) -> None:
    """Let everything differ that can."""
    session, hashes = done.world.session, done.hashes
    await session.add_organisation_user("eve@example.com", role=OrganisationRole.MEMBER)
    await session.remove_organisation_user("rob@example.com")
    group, cats = hashes["annotators"], session.project(hashes["cats"])
    await session.add_group_members(group, ["eve@example.com"])
    await cats.add_groups([group], role=ProjectUserRole.REVIEWER)
    others = await session.create_group("Others")
    bosses = await session.create_group("Bosses")
    await cats.add_groups([others.group_hash], role=ProjectUserRole.VIEWER)
    await cats.add_groups([bosses.group_hash], role=ProjectUserRole.ADMIN)
    ontology = await session.get_ontology(hashes["felines"])
    assert ontology.title == "Felines"
    hashes["others"] = others.group_hash


async def test_each_difference_is_told(done: Provisioned) -> None:
    """Who or what is missing, too much or otherwise is told by itself; Admins nobody wished for are not."""
    await spoil(done)
    assert await done.told() == [
        "2 extra member eve@example.com",
        "2 missing member rob@example.com",
        f"3 extra project_group {done.hashes['others']} None -> viewer",
        f"3 different role {done.hashes['annotators']} annotator -> reviewer",
        "6 missing organisation_user rob@example.com tasker -> None",
    ]


async def test_fix_adds_and_prune_removes(done: Provisioned) -> None:
    """--fix adds to organisation, group and project and sets groups' roles; --prune takes groups off; no one leaves."""
    await spoil(done)
    repaired = await done.fix()
    assert (repaired.unsatisfied, repaired.kept) == ([], [])
    others = done.hashes["others"]
    assert await done.told() == [
        "2 extra member eve@example.com",
        f"3 extra project_group {others} None -> viewer",
    ]
    repaired = await done.fix(prune=True)
    assert (repaired.unsatisfied, repaired.kept) == ([], [])
    assert await done.told() == ["2 extra member eve@example.com"]
    members = await done.world.session.list_group_members(done.hashes["annotators"])
    assert {one.user_email for one in members} == {ME, "ann@example.com", "rob@example.com", "eve@example.com"}


async def test_what_an_entry_removes_has_to_be_gone(done: Provisioned) -> None:
    """Users and groups that an entry removes are too much while they are there, in any role; --prune removes them."""
    more: list[Entry] = [
        users("@cats", "ann@example.com", "boss@example.com", role="admin"),
    ]
    await done.world.run([*PROGRAMME, *more], done.journal)
    gone: list[Entry] = [
        *(one for one in PROGRAMME if one["kind"] != "project_groups"),
        {"kind": "project_users", "project": "@cats", "remove": ["Boss@example.com", "nobody@example.com"]},
        {"kind": "project_groups", "project": "@cats", "remove": ["@annotators"]},
    ]
    group = done.hashes["annotators"]
    assert await done.told(gone) == [
        f"2 extra project_group {group} None -> annotator",
        "2 extra user boss@example.com None -> admin",
    ]
    await done.fix(gone)
    assert len(await done.told(gone)) == 2
    await done.fix(gone, prune=True)
    assert await done.told(gone) == []


async def test_another_ontology(done: Provisioned) -> None:
    """A project's ontology is compared by what its reference became; one that nobody made is told with the reason."""
    other: list[Entry] = [
        {"kind": "ontology", "key": "canines", "title": "Canines"},
        project("Cats", key="cats", ontology="@canines", datasets=["@raw"]),
        dataset("Raw", key="raw"),
    ]
    felines = done.hashes["felines"]
    assert await done.told(other) == ["1 missing ontology Canines", f"2 different ontology Cats @canines -> {felines}"]
    outcomes = await done.world.run(other[:1], done.journal)
    assert await done.told(other) == [f"2 different ontology Cats {outcomes['canines'].hash} -> {felines}"]


async def test_what_an_ontology_says(done: Provisioned) -> None:
    """Other title, description or structure are told; what the manifest does not name of a structure may be there."""
    changed = [
        {**one, "title": "Cats", "structure": {"objects": [], "classifications": []}}
        if one["kind"] == "ontology"
        else one
        for one in PROGRAMME
    ]
    assert await done.told(changed) == ["7 different structure Cats", "7 different title Cats Cats -> Felines"]
    changed = [{**one, "structure": {"classifications": []}} if one["kind"] == "ontology" else one for one in PROGRAMME]
    assert await done.told(changed) == []


async def test_another_role_in_the_organisation(done: Provisioned) -> None:
    """Role and type of a member are compared, however the address is spelt, and --fix sends nothing for them."""
    changed = [
        {**one, "email": "Rob@Example.com", "role": "member", "member_type": "internal"}
        if one.get("key") == "rob"
        else one
        for one in PROGRAMME
    ]
    assert await done.told(changed) == [
        "6 different member_type Rob@Example.com internal -> external",
        "6 different role Rob@Example.com member -> tasker",
    ]
    before = done.world.emulator.log()
    await done.fix(changed)
    assert done.world.emulator.log() == before


async def test_without_a_journal(done: Provisioned) -> None:
    """Who belongs to the organisation needs no journal; groups and ontologies do."""
    found: list[Difference] = []
    entries: list[Entry] = [
        {"kind": "organisation_user", "email": "ann@example.com"},
        {"kind": "organisation_user", "email": "new@example.com"},
        {"kind": "group", "key": "annotators", "name": "Annotators"},
        {"kind": "project_groups", "project": done.hashes["cats"], "add": ["@annotators"], "role": "annotator"},
    ]
    await compare(done.world.session, await gather(entries, MemoryLedger()), on_difference=found.append)
    assert [_short(one) for one in found] == [
        "3 missing group Annotators",
        "2 missing organisation_user new@example.com member -> None",
        "4 missing project_group @annotators annotator -> None",
    ]


@pytest.mark.parametrize("query", LISTINGS)
@pytest.mark.parametrize("code", ["RESOURCE_NOT_FOUND_ERROR", "METHOD_NOT_ALLOWED_ERROR", "AUTHORISATION_ERROR"])
async def test_what_the_service_does_not_list(done: Provisioned, query: str, code: str) -> None:
    """A listing that is not offered, or refused, is counted with the reason; no difference, and nobody is invited."""
    what, number = LISTINGS[query]
    done.world.emulator.set_faults([FaultRule(query=query, fault=ServiceFault.ERROR, code=code)])
    assert await done.told() == []
    assert done.report.unlisted == {what: number}
    assert query in done.report.unlisted_reasons[what]
    before = done.world.emulator.log()
    await done.fix(prune=True)
    sent = [line["query"] for line in done.world.emulator.log()[len(before) :]]
    assert "v2/organisation/users.POST" not in sent


async def test_a_key_that_is_not_accepted_ends_it(done: Provisioned) -> None:
    """That the service does not know the key is no missing listing."""
    for query in LISTINGS:
        rule = FaultRule(query=query, fault=ServiceFault.ERROR, code="AUTHENTICATION_ERROR")
        done.world.emulator.set_faults([rule])
        with pytest.raises(AuthenticationError):
            await done.told()


async def test_what_a_copy_took_along_is_not_too_much(done: Provisioned) -> None:
    """A copy may hold the datasets and users that it was to take along, and --prune leaves them."""
    await done.world.run([*PROGRAMME, users("@cats", "ann@example.com", role="annotator")], done.journal)
    options = ["datasets", "collaborators"]
    copy = project("Copy", key="c", description="taken along", copy_of=done.hashes["cats"], copy_options=options)
    manifest: list[Entry] = [*PROGRAMME, users("@cats", "ann@example.com", role="annotator"), copy]
    await done.world.run(manifest, done.journal)
    assert await done.told(manifest) == []
    before = done.world.emulator.state()
    await done.fix(manifest, prune=True)
    assert done.world.emulator.state() == before


async def test_a_call_that_is_refused_is_told(done: Provisioned) -> None:
    """That the service takes no group off a project, or lets nobody into a group, is told, and the rest goes on."""
    await spoil(done)
    done.world.emulator.set_faults(
        [
            FaultRule(
                query="v2/projects/{project}/groups.DELETE", fault=ServiceFault.ERROR, code="AUTHORISATION_ERROR"
            ),
            FaultRule(
                query="v2/organisation/groups/{group}/users.POST", fault=ServiceFault.ERROR, code="AUTHORISATION_ERROR"
            ),
        ]
    )
    repaired = await done.fix(prune=True)
    shown: list[Any] = sorted((one.deed.kind.word, one.as_json()) for one in repaired.kept)
    assert [deed for deed, _ in shown] == ["group_member", "remove_group"]
    assert shown[0][1]["group"] == done.hashes["annotators"]
    assert shown[1][1]["groups"] == [done.hashes["others"]]
    assert "6 missing organisation_user rob@example.com tasker -> None" not in await done.told()
    assert MemberType.EXTERNAL in {one.member_type for one in await done.world.session.list_organisation_users()}
