"""What lies beyond datasets and projects is written down, and makes the same account on another local Encord."""

import json
from collections import Counter

import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.errors import AuthenticationError
from encord_async.export import Exported, LeftOut, Scope, export, written
from encord_async.kinds import entry as kinds
from encord_async.kinds.exporting import Inside, Pen
from encord_async.kinds.group import GROUP, MEMBERS
from encord_async.kinds.organisation_user import ORGANISATION_USER, OrganisationUserEntry
from encord_async.kinds.thing import Listed
from encord_async.manifest.checker import Checker
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.manifest.reading import read_json_entry
from encord_async.protocol.catalogue import MemberType, OrganisationRole
from encord_async.protocol.rest_models import OrganisationUser
from tests.provision.conftest import Entry, dataset, project
from tests.provision.world import PROGRAMME, STRUCTURE, World, open_world, words

MORE: list[Entry] = [
    dataset("Backed", create_backing_folder=True),
    {"kind": "group", "key": "bosses", "name": "Bosses", "description": "say so"},
    {"kind": "project_groups", "project": "@cats", "add": ["@bosses"], "role": "admin"},
    project("Dogs", key="dogs", ontology="@felines", users=[{"email": "guest@example.com", "role": "viewer"}]),
]
EVERYTHING = Scope()
LISTINGS = {
    "v2/datasets/list.GET": "which datasets have a backing folder",
    "v2/ontologies.GET": "ontologies",
    "v2/user/current-organisation/groups.GET": "groups",
    "v2/organisation/users.GET": "users of the organisation",
}


async def exported(world: World, scope: Scope = EVERYTHING) -> tuple[list[Entry], list[LeftOut], Exported]:
    """The lines of the manifest, what it leaves out, and the sums; nothing is changed."""
    found: list[Entry] = []
    left: list[LeftOut] = []
    before = world.emulator.log()
    sums = await export(world.session, lambda one: found.append(one.as_json()), scope=scope, on_left_out=left.append)
    assert world.emulator.log() == before
    return found, left, sums


def contents(world: World) -> Counter[str]:
    """All that an account holds, by titles."""
    state = world.emulator.state()
    datasets = {one["dataset_hash"]: one["title"] for one in state["datasets"]}
    ontologies = {one["ontology_hash"]: one["title"] for one in state["ontologies"]}
    groups = {one["group_hash"]: one["name"] for one in state["groups"]}
    shown = [("dataset", one["title"], one["description"], one["backing_folder"]) for one in state["datasets"]]
    shown += [("ontology", one["title"], one["description"], one["editor"]) for one in state["ontologies"]]  # type: ignore[misc]  # JSON
    shown += [("group", one["name"], one["description"], sorted(one["users"])) for one in state["groups"]]  # type: ignore[misc]  # JSON
    shown += [("user", one["email"], one["role"], one["member_type"]) for one in state["organisation_users"]]  # type: ignore[misc]  # JSON
    for one in state["projects"]:
        parts = {
            "ontology": ontologies[one["ontology_hash"]],
            "datasets": sorted(datasets[hash_] for hash_ in one["datasets"]),
            "groups": sorted((groups[group["group_hash"]], group["role"]) for group in one["groups"]),
            "users": sorted((user["email"], user["role"]) for user in one["users"]),
        }
        shown.append(("project", one["title"], one["description"], parts))  # type: ignore[arg-type]  # JSON
    return Counter(json.dumps(one, sort_keys=True) for one in shown)


async def test_the_manifest_makes_the_same_account() -> None:
    """Exported and provisioned elsewhere, all comes out the same; on the same account nothing at all is changed."""
    async with open_world() as one, open_world() as other:
        assert contents(one) == contents(other)
        await one.run([*PROGRAMME, *MORE])
        manifest, left, sums = await exported(one)
        assert left == []
        assert sums.not_listed == []
        assert (sums.numbers["groups"], sums.numbers["organisation_users"]) == (2, 3)
        outcomes = await other.run(manifest)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert contents(other) == contents(one)

        before = one.emulator.log()
        await one.run(manifest)
        made = [line["query"] for line in one.emulator.log()[len(before) :]]
        assert not [
            query for query in made if query in {"v2/ontologies.POST", "v2/organisation/groups.POST", "project.POST"}
        ]
        assert "v2/organisation/users.POST" not in made


async def test_what_the_entries_look_like() -> None:
    """Users of the organisation come before groups, and both before projects, which name them by their keys."""
    async with open_world() as world:
        await world.run([*PROGRAMME, *MORE])
        manifest, _, _ = await exported(world)
    by_key = {line["key"]: line for line in manifest if "key" in line}
    assert by_key["felines"] == {"kind": "ontology", "key": "felines", "title": "Felines", "structure": STRUCTURE}
    assert by_key["backed"]["create_backing_folder"] is True
    assert "create_backing_folder" not in by_key["raw"]
    assert by_key["annotators"]["members"] == ["@ann-example-com", "@emulator-example-com", "@rob-example-com"]
    rob = {"kind": "organisation_user", "key": "rob-example-com", "email": "rob@example.com"}
    assert by_key["rob-example-com"] == {**rob, "role": "tasker", "member_type": "external"}
    assert by_key["cats"]["ontology"] == "@felines"
    assert [line for line in manifest if line["kind"] == "project_groups"] == [
        {"kind": "project_groups", "project": "@cats", "add": ["@bosses"], "role": "admin"},
        {"kind": "project_groups", "project": "@cats", "add": ["@annotators"], "role": "annotator"},
    ]


async def test_nobody_is_named_without_users() -> None:
    """Without users nobody is in projects, groups or the organisation; without the organisation no group is there."""
    async with open_world() as world:
        await world.run([*PROGRAMME, *MORE])
        manifest, _, _ = await exported(world, Scope(users=False))
        assert "example.com" not in json.dumps(manifest)
        assert {"group", "project_groups"} < {line["kind"] for line in manifest}
        manifest, _, _ = await exported(world, Scope(organisation=False))
        assert not {"group", "project_groups", "organisation_user"} & {line["kind"] for line in manifest}
        assert "guest@example.com" in json.dumps(manifest)


@pytest.mark.parametrize("query", LISTINGS)
@pytest.mark.parametrize("code", ["RESOURCE_NOT_FOUND_ERROR", "METHOD_NOT_ALLOWED_ERROR", "AUTHORISATION_ERROR"])
async def test_what_the_service_does_not_list(query: str, code: str) -> None:
    """A listing that is not offered, or refused, is told, and all the rest is written down."""
    async with open_world() as world:
        await world.run([*PROGRAMME, *MORE])
        everything, _, _ = await exported(world)
        world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code=code)])
        manifest, _, sums = await exported(world)
        assert [what.partition(",")[0] for what in sums.not_listed] == [LISTINGS[query]]
        kinds = {line["kind"] for line in everything} - {line["kind"] for line in manifest}
        assert kinds <= {"ontology", "group", "project_groups", "organisation_user"}
        assert {line["key"] for line in manifest if line["kind"] == "project"} >= {"cats", "dogs"}
        world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code="AUTHENTICATION_ERROR")])
        with pytest.raises(AuthenticationError):
            await exported(world)


@pytest.mark.parametrize("query", ["v2/organisation/groups/{group}/users.GET", "v2/projects/{project}/groups.GET"])
async def test_parts_that_are_not_listed(query: str) -> None:
    """A group without its users, and a project without its groups, are written down, and what is missing is told."""
    async with open_world() as world:
        await world.run([*PROGRAMME, *MORE])
        everything, _, _ = await exported(world)
        world.emulator.set_faults([FaultRule(query=query, fault=Fault.ERROR, code="METHOD_NOT_ALLOWED_ERROR")])
        manifest, left, _ = await exported(world)
    assert {one.what for one in left} == {"users of a group" if "{group}" in query else "groups of a project"}
    assert {line["key"] for line in manifest if "key" in line} == {line["key"] for line in everything if "key" in line}


def test_what_no_entry_can_say() -> None:
    """Unknown roles, addresses that are none, and Admins from outside are left out, and the manifest is a good one."""
    left: list[LeftOut] = []
    pen, checker = Pen(on_left_out=left.append), Checker()
    people = [
        ("ann@example.com", "MEMBER", "internal"),
        ("ANN@example.com", "MEMBER", "internal"),
        ("novel@example.com", "NOVEL", "internal"),
        ("outside@example.com", "ADMIN", "external"),
        ("no address", "MEMBER", "internal"),
    ]
    entries: list[kinds.Entry] = []
    for email, role, kind in people:
        user = OrganisationUser(email=email, role_mnemonic_name=role, member_type=kind)
        entries += written(pen, ORGANISATION_USER, Listed("", email, None, is_admin=True, item=user), Inside())
    members = dict.fromkeys(["no address", "Ann@example.com", "novel@example.com"])
    entries += written(pen, GROUP, Listed("g", "G", None, is_admin=True, item=None), Inside(held={MEMBERS: members}))
    assert [(one.what, one.title) for one in left] == [
        ("user of the organisation", "novel@example.com"),
        ("user of the organisation", "outside@example.com"),
        ("user of the organisation", "no address"),
        ("user of a group", "no address"),
    ]
    assert isinstance(entries[0], OrganisationUserEntry)
    assert (entries[0].role, entries[0].member_type) == (OrganisationRole.MEMBER, MemberType.INTERNAL)
    for number, entry in enumerate(entries, 1):
        place = Place("m", number, number)
        assert read_json_entry(json.dumps(entry.as_json()).encode(), place) == entry
        assert checker.add(PlacedEntry(place, entry)) == ()
    assert checker.finish() == ()
    assert entries[1].as_json()["members"] == ["@ann-example-com", "novel@example.com"]
