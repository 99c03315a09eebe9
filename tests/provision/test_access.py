"""Users and groups of datasets, groups of ontologies, tags and status of projects, provisioned on a local Encord."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.export import export
from encord_async.journal.journal import Identity, Journal
from encord_async.journal.record import MemoryLedger
from encord_async.operations import CreateTag
from encord_async.plan import Verb, plan
from encord_async.protocol.catalogue import ProjectStatus
from encord_async.protocol.reply import RawReply
from encord_async.verify.compare import compare
from encord_async.verify.difference import Difference
from encord_async.verify.repair import Repaired, Repairs, repair
from encord_async.verify.wishes import gather
from tests.crash.conftest import MortalJournal, Program, Service
from tests.direct import DirectEmulator
from tests.provision.conftest import Entry
from tests.provision.world import ME, STRUCTURE, World, open_world, words

MANIFEST: list[Entry] = [
    {
        "kind": "dataset",
        "key": "raw",
        "title": "Raw",
        "users": [{"email": "ann@example.com", "role": "user"}, {"email": "rob@example.com", "role": "admin"}],
        "groups": [{"group": "@annotators", "role": "user"}],
    },
    {
        "kind": "ontology",
        "key": "felines",
        "title": "Felines",
        "structure": STRUCTURE,
        "groups": [{"group": "@annotators", "role": "user"}],
    },
    {
        "kind": "project",
        "key": "cats",
        "title": "Cats",
        "ontology": "@felines",
        "datasets": ["@raw"],
        "tags": ["wave-1", "cats"],
        "status": "in_progress",
    },
    {"kind": "group", "key": "annotators", "name": "Annotators"},
]
SENT = {
    "datasetusers.POST": 2,
    "v2/datasets/{dataset}/groups.POST": 1,
    "v2/ontologies/{ontology}/groups.POST": 1,
    "v2/organisation/organisation-tags.POST": 2,
    "v2/projects/{project}/tags/{tag}.PUT": 2,
    "v2/projects/{project}/status.PUT": 1,
}


def changed(**fields: Any) -> list[Entry]:
    """The manifest with other *fields*, each given to the entries that have it."""
    return [entry | {name: value for name, value in fields.items() if name in entry} for entry in MANIFEST]


def there(world: World) -> dict[str, Any]:
    """What the account holds of all this, the account itself aside."""
    state = world.emulator.state()
    names = {one["group_hash"]: one["name"] for one in state["groups"]}
    (raw,) = [one for one in state["datasets"] if one["title"] == "Raw"]
    (felines,) = [one for one in state["ontologies"] if one["title"] == "Felines"]
    (cats,) = [one for one in state["projects"] if one["title"] == "Cats"]
    return {
        "users": {one["email"]: one["role"] for one in raw["users"] if one["email"] != ME},
        "groups": {names[one["group_hash"]]: one["role"] for one in raw["groups"]},
        "ontology": {names[one["group_hash"]]: one["role"] for one in felines["groups"]},
        "tags": sorted(cats["tags"]),
        "status": cats["status"],
    }


AS_WISHED = {
    "users": {"ann@example.com": 1, "rob@example.com": 0},
    "groups": {"Annotators": 1},
    "ontology": {"Annotators": 1},
    "tags": ["cats", "wave-1"],
    "status": "inProgress",
}


def sent(world: World, since: int = 0) -> dict[str, int]:
    """How often each of the calls that all this needs was sent, and changed something or was to."""
    return dict(Counter(one["query"] for one in world.emulator.log()[since:] if one["query"] in SENT))


async def verified(
    world: World, manifest: list[Entry], journal: Path | None, *, prune: bool = False, fix: bool = False
) -> tuple[list[Difference], Repaired | None]:
    """How the account differs from *manifest*; put right, with *fix*."""
    found: list[Difference] = []
    repairs = Repairs(prune=prune)
    if journal is None:
        wishes = await gather(manifest, MemoryLedger())
    else:
        async with Journal(journal, None) as opened:
            wishes = await gather(manifest, opened)
    await compare(world.session, wishes, on_difference=found.append, on_thing=repairs.note)
    if not fix:
        return found, None
    path = None if journal is None else Journal(journal, Identity(world.emulator.url, world.session.identity))
    return found, await repair(world.session, repairs, inner=(), journal=path)


async def test_all_of_it_is_given_once(tmp_path: Path) -> None:
    """Users, groups, tags and status come about; a second run sends nothing, and one without a journal changes none."""
    async with open_world() as world:
        outcomes = await world.run(MANIFEST, tmp_path / "j")
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert there(world) == AS_WISHED
        assert sent(world) == SENT

        requests = world.session.statistics().requests
        assert set(words(await world.run(MANIFEST, tmp_path / "j")).values()) == {"unchanged"}
        assert world.session.statistics().requests == requests

        logged = len(world.emulator.log())
        again = await world.run(MANIFEST)
        assert all(outcome.status.satisfied for outcome in again.values()), words(again)
        assert there(world) == AS_WISHED
        assert (
            sent(world, logged)
            .keys()
            .isdisjoint({"v2/organisation/organisation-tags.POST", "v2/projects/{project}/status.PUT"})
        )


async def test_the_plan_says_what_is_given(tmp_path: Path) -> None:
    """Who and what would be added where, which tags would be new, and what would be set; all can be undone."""
    async with open_world() as world:
        await world.run([{"kind": "project", "title": "Dogs", "tags": ["cats"]}])
        said = {(one.verb.value, one.what, one.items, one.role, one.project) for one in await world.actions(MANIFEST)}
        assert said >= {
            ("add", "dataset_user", ("ann@example.com",), "user", "@raw"),
            ("add", "dataset_user", ("rob@example.com",), "admin", "@raw"),
            ("add", "dataset_group", ("@annotators",), "user", "@raw"),
            ("add", "ontology_group", ("@annotators",), "user", "@felines"),
            ("add", "tag", ("wave-1", "cats"), None, "@cats"),
            ("create", "tag", ("wave-1",), None, None),
            ("change", "status", ("in_progress",), None, "@cats"),
        }
        assert ("create", "tag", ("cats",), None, None) not in said
        forecast = await plan(world.session, MANIFEST)
        assert forecast.irreversible_counts() == {"dataset": 1, "project": 1, "ontology": 1}

        await world.run(MANIFEST, tmp_path / "j")
        requests = world.session.statistics().requests
        assert await world.actions(MANIFEST, journal=tmp_path / "j") == []
        assert world.session.statistics().requests == requests


async def test_a_status_that_a_new_project_has_is_not_set(tmp_path: Path) -> None:
    """Neither the plan nor the run sets what is so already."""
    async with open_world() as world:
        manifest = changed(status="not_started")
        assert not [one for one in await world.actions(manifest) if one.what == "status"]
        await world.run(manifest, tmp_path / "j")
        assert "v2/projects/{project}/status.PUT" not in sent(world)


async def test_a_status_back_and_forth(tmp_path: Path) -> None:
    """Each status of an edited entry is set, also one that it had before, with a key and without."""
    for key in ({"key": "p"}, {}):
        async with open_world() as world:
            for status in ("in_progress", "paused", "in_progress", "in_progress"):
                manifest = [{"kind": "project", "title": "Cats", "status": status, **key}]
                journal = tmp_path / f"{len(key)}"
                actions = await world.actions(manifest, journal=journal if journal.exists() else None)
                logged = len(world.emulator.log())
                await world.run(manifest, journal)
                (project,) = [one for one in world.emulator.state()["projects"] if one["title"] == "Cats"]
                assert project["status"] == {"in_progress": "inProgress", "paused": "paused"}[status]
                planned = sum(one.verb is Verb.CHANGE for one in actions)
                assert planned == sent(world, logged).get("v2/projects/{project}/status.PUT", 0)


async def test_an_archived_project_is_only_set_as_planned(tmp_path: Path) -> None:
    """A saved plan in which a status is not set keeps the run from setting it."""
    async with open_world() as world:
        path, saved = tmp_path / "m.jsonl", tmp_path / "plan"
        path.write_text('{"kind": "project", "title": "Cats", "status": "archived"}')
        await world.run([{"kind": "project", "title": "Cats", "status": "archived"}])
        (hash_,) = [one["project_hash"] for one in world.emulator.state()["projects"]]
        await world.session.plan(path, out=saved)
        await world.session.project(hash_).set_status(ProjectStatus.PAUSED)
        async with world.session.provision(path, plan=saved) as run:
            outcomes = [outcome async for outcome in run]
        assert [one.status.satisfied for one in outcomes] == [True]
        assert world.emulator.state()["projects"][0]["status"] == "paused"


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.DROP_BEFORE, Fault.TRUNCATE])
async def test_a_lost_answer_to_the_making_of_a_tag(fault: Fault) -> None:
    """The tag is there once, and on the project."""
    async with open_world(FaultRule(query="v2/organisation/organisation-tags.POST", fault=fault, times=1)) as world:
        outcomes = await world.run(MANIFEST)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert sorted(world.emulator.state()["tags"]) == there(world)["tags"] == ["cats", "wave-1"]


class Confused(Service):
    """Answers to the making of a tag with another one; what it makes it lists only if it *lists* at all."""

    def __init__(self, *, lists: bool, there: bool) -> None:
        super().__init__()
        self._lists = lists
        self._there = there

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, stale_us: int = 0
    ) -> RawReply:
        """See the class."""
        reply = super().answer(method, target, headers, body, stale_us=stale_us)
        if not target.endswith("/organisation-tags"):
            return reply
        if method == "GET":
            return reply if self._lists else RawReply(200, {}, b'{"results": []}')
        if self._there:
            return RawReply(409, {}, b'{"message": "there"}')
        return RawReply(200, {}, b'{"uuid": "00000000-0000-4000-8000-000000000000", "name": "another"}')


@pytest.mark.parametrize(
    ("lists", "there", "said"),
    [
        (True, False, None),
        (True, True, None),
        (False, False, "made nothing that is called 'wave-1'"),
        (False, True, "the name 'wave-1' is taken, and not listed"),
    ],
)
async def test_an_answer_about_another_tag(*, lists: bool, there: bool, said: str | None, tmp_path: Path) -> None:
    """What the service says it made is only taken if it has the name; else the tags are listed again."""
    service = Confused(lists=lists, there=there)
    try:
        wishes: list[Entry] = [{"kind": "project", "title": "Cats", "tags": ["wave-1"]}]
        program = Program(manifest=wishes, service=service, journal=lambda death: MortalJournal(tmp_path / "j", death))
        (outcome,) = (await program.live()).outcomes
        assert said in str(outcome.error) if said else outcome.error is None
        tags = [project["tags"] for project in service.state()["projects"] if project["title"] == "Cats"]
        assert tags == ([[]] if said else [["wave-1"]])
    finally:
        service.close()


async def test_a_tag_that_somebody_else_makes_meanwhile() -> None:
    """What was not there when the tags were listed, and is when one is to be made, is taken."""
    async with open_world() as world:
        await world.run([{"kind": "project", "title": "One", "tags": ["a"]}])
        async with world.session.provision(_with_a_pause(world), journal=None) as run:
            outcomes = [outcome async for outcome in run]
        assert [one.status.value for one in outcomes] == ["created", "created"]
        assert world.emulator.state()["tags"] == ["a", "b"]


async def _with_a_pause(world: World) -> Any:
    """Two projects; before the second one comes, somebody makes its tag."""
    yield {"kind": "project", "key": "p", "title": "Two", "tags": ["a"]}
    while not any(one["title"] == "Two" and one["tags"] for one in world.emulator.state()["projects"]):
        await world.session.list_groups()
    await world.session.execute(CreateTag(name="b"))
    yield {"kind": "project", "title": "Three", "tags": ["b"]}


async def test_what_differs_is_told_and_put_right(tmp_path: Path) -> None:
    """Verify names what is missing, too much and different; --fix adds and sets it, --prune takes away the rest."""
    async with open_world() as world:
        made = await world.run([*MANIFEST, {"kind": "group", "key": "g", "name": "Others"}], tmp_path / "j")
        session, hashes = world.session, {key: one.hash or "" for key, one in made.items()}
        assert await verified(world, MANIFEST, tmp_path / "j") == ([], None)

        await session.remove_dataset_users(hashes["raw"], ["ann@example.com"])
        await session.add_dataset_users(hashes["raw"], ["eve@example.com"])
        other, known = {"group": hashes["g"], "role": "user"}, {"group": hashes["annotators"], "role": "admin"}
        await world.run(
            [
                {"kind": "dataset", "title": "Raw", "groups": [other, known]},
                {"kind": "ontology", "title": "Felines", "groups": [other]},
                {"kind": "project", "title": "Cats", "tags": ["other"], "status": "paused"},
            ]
        )
        found, repaired = await verified(world, MANIFEST, tmp_path / "j", fix=True, prune=True)
        assert {(one.fault.value, one.what, one.item, one.wanted, one.found) for one in found} == {
            ("missing", "dataset_user", "ann@example.com", "user", None),
            ("extra", "dataset_user", "eve@example.com", None, "user"),
            ("different", "role", hashes["annotators"], "user", "admin"),
            ("extra", "dataset_group", hashes["g"], None, "user"),
            ("extra", "ontology_group", hashes["g"], None, "user"),
            ("extra", "tag", "other", None, None),
            ("different", "status", "Cats", "in_progress", "paused"),
        }
        assert repaired is not None
        assert (repaired.kept, repaired.unsatisfied) == ([], [])
        assert there(world) == AS_WISHED
        assert await verified(world, MANIFEST, tmp_path / "j") == ([], None)
        assert set(words(await world.run(MANIFEST, tmp_path / "j")).values()) <= {"unchanged", "updated"}
        assert there(world) == AS_WISHED


async def test_prune_spares_what_the_manifest_does_not_speak_of(tmp_path: Path) -> None:
    """Of a manifest without users, groups or tags of such things nobody and nothing is too much."""
    async with open_world() as world:
        await world.run(MANIFEST, tmp_path / "j")
        plain = [{name: entry[name] for name in entry if name not in AS_WISHED} for entry in MANIFEST]
        found, _ = await verified(world, plain, tmp_path / "j", fix=True, prune=True)
        assert found == []
        assert there(world) == AS_WISHED


async def test_prune_does_not_take_out_whoever_may_be_the_account(tmp_path: Path) -> None:
    """Of a dataset whose Admin the account is not, nobody is removed, and the reason is said."""
    async with open_world() as world:
        made = await world.run(MANIFEST, tmp_path / "j")
        assert isinstance(world.emulator, DirectEmulator)
        store = world.emulator.store
        raw = made["raw"].hash or ""
        await world.session.add_dataset_users(raw, ["eve@example.com"])
        found, _ = await verified(world, MANIFEST, tmp_path / "j", prune=True)
        assert [(one.fault.value, one.item) for one in found] == [("extra", "eve@example.com")]
        repairs = Repairs(prune=True)
        async with Journal(tmp_path / "j", None) as opened:
            wishes = await gather(MANIFEST, opened)
        await compare(world.session, wishes, on_thing=repairs.note)
        with store.transaction():
            store._db.execute("UPDATE dataset_users SET role = 1 WHERE user_id = 1")
        repaired = await repair(world.session, repairs, inner=(), journal=None)
        (kept,) = repaired.kept
        assert "not Admin of the dataset" in str(kept.error)
        assert kept.as_json()["emails"] == ["eve@example.com"]
        assert "eve@example.com" in there(world)["users"]


async def test_it_is_exported_and_makes_the_same_elsewhere(tmp_path: Path) -> None:
    """Groups come before what names them; the account itself is among the users, and a status that all have is not."""
    found: list[Entry] = []
    async with open_world() as world:
        await world.run([*MANIFEST, {"kind": "project", "title": "Dogs"}], tmp_path / "j")
        await export(world.session, lambda one: found.append(one.as_json()))
    by_key = {entry["key"]: entry for entry in found if "key" in entry}
    assert by_key["raw"]["users"] == [
        {"email": "ann@example.com", "role": "user"},
        {"email": ME, "role": "admin"},
        {"email": "rob@example.com", "role": "admin"},
    ]
    assert by_key["raw"]["groups"] == by_key["felines"]["groups"] == [{"group": "@annotators", "role": "user"}]
    assert (by_key["cats"]["tags"], by_key["cats"]["status"]) == (["cats", "wave-1"], "in_progress")
    assert not {"tags", "status"} & by_key["dogs"].keys()
    kinds = [entry["kind"] for entry in found]
    assert kinds.index("group") < kinds.index("dataset")
    async with open_world() as other:
        outcomes = await other.run(found)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert there(other) == AS_WISHED


async def test_a_role_that_a_user_of_a_dataset_keeps() -> None:
    """Who is in a dataset in another role fails the entry, for no call changes it; the plan says so."""
    async with open_world() as world:
        await world.run(MANIFEST)
        wish = [{"kind": "dataset", "title": "Raw", "users": [{"email": "ann@example.com", "role": "admin"}]}]
        (refused,) = [one for one in await world.actions(wish) if one.verb is Verb.REFUSE]
        (outcome,) = (await world.run(wish)).values()
        assert (outcome.status.value, outcome.role_kept[0].held) == ("failed", "user")
        assert refused.reason == outcome.error.message if outcome.error else None
