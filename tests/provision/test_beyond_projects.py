"""Ontologies, groups, members of the organisation and copies of projects, provisioned on a local Encord."""

from pathlib import Path

import pytest

from encord_async.emulator import Fault, FaultRule
from encord_async.engine.outcome import Status
from encord_async.errors import ConflictError
from encord_async.journal.journal import Journal
from encord_async.journal.record import CHANGED
from encord_async.plan import Verb, plan
from encord_async.protocol.catalogue import CopyOption, OrganisationRole, ProjectUserRole
from tests.provision.conftest import Entry, project, users
from tests.provision.world import CREATES, ME, PROGRAMME, STRUCTURE, open_world, words


async def test_the_whole_programme(tmp_path: Path) -> None:
    """All is made after what it needs, whatever comes first in the manifest; a second run finds it all done."""
    async with open_world() as world:
        outcomes = await world.run(PROGRAMME, tmp_path / "j")
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert world.made() == {query: [title] for query, title in CREATES.items()}

        (ontology,) = [one for one in await world.session.list_ontologies() if one.title == "Felines"]
        assert ontology.ontology_uuid == outcomes["felines"].hash
        assert ontology.editor == STRUCTURE
        details = await world.session.project(outcomes["cats"].hash or "").details()
        assert details.ontology_hash == ontology.ontology_uuid
        members = await world.session.list_group_members(outcomes["annotators"].hash or "")
        assert {member.user_email for member in members} == {"ann@example.com", "rob@example.com", ME}
        (group,) = await world.session.project(outcomes["cats"].hash or "").list_groups()
        assert (group.name, group.user_role) == ("Annotators", ProjectUserRole.ANNOTATOR)
        colleagues = {one.email: one.role_mnemonic_name for one in await world.session.list_organisation_users()}
        assert (colleagues["ann@example.com"], colleagues["rob@example.com"]) == ("MEMBER", "TASKER")

        requests = world.session.statistics().requests
        again = await world.run(PROGRAMME, tmp_path / "j")
        assert set(words(again).values()) == {"unchanged"}
        assert world.session.statistics().requests == requests


async def test_what_is_there_is_adopted() -> None:
    """Without a journal the second run takes over what the first has made, and admits nobody twice."""
    async with open_world() as world:
        first = await world.run(PROGRAMME)
        made = world.made()
        second = await world.run(PROGRAMME)
        assert world.made() == made
        assert words(second) == {
            "project_groups": "updated",
            "annotators": "adopted",
            "cats": "adopted",
            "copy": "adopted",
            "ann": "unchanged",
            "rob": "unchanged",
            "felines": "adopted",
            "raw": "adopted",
        }
        assert {name: one.hash for name, one in second.items()} == {name: one.hash for name, one in first.items()}


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_COMMIT, Fault.TRUNCATE])
@pytest.mark.parametrize("query", CREATES)
async def test_a_lost_answer_to_a_create(query: str, fault: Fault, tmp_path: Path) -> None:
    """Whatever is created, a create whose answer was lost is found by a look-up and not sent again."""
    async with open_world(FaultRule(query=query, fault=fault, times=1)) as world:
        outcomes = await world.run(PROGRAMME, tmp_path / "j")
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert world.made()[query] == [CREATES[query]]
        assert world.emulator.stats()["by_query"][query] == 1


@pytest.mark.parametrize("query", CREATES)
async def test_a_lost_create(query: str, tmp_path: Path) -> None:
    """A create that got no answer and is not to be seen is left in doubt, and made by the next run."""
    async with open_world(FaultRule(query=query, fault=Fault.DROP_BEFORE, times=1)) as world:
        outcomes = await world.run(PROGRAMME, tmp_path / "j", settle_s=0.0)
        assert "in_doubt" in words(outcomes).values()
        outcomes = await world.run(PROGRAMME, tmp_path / "j", settle_s=0.0)
        assert all(outcome.status.satisfied for outcome in outcomes.values()), words(outcomes)
        assert world.made() == {query: [title] for query, title in CREATES.items()}


@pytest.mark.usefixtures("twins_pass")
async def test_namesakes_in_doubt_that_nothing_tells_apart(tmp_path: Path) -> None:
    """Two ontologies of one name and other structures, of which one answer was lost: neither takes the other's."""
    twins: list[Entry] = [
        {"kind": "ontology", "key": key, "title": "Twins", "structure": {"objects": [], "classifications": [key]}}
        for key in ("one", "two")
    ]
    lost = [
        FaultRule(query="v2/ontologies.POST", fault=fault, times=1)
        for fault in (Fault.DROP_BEFORE, Fault.DROP_AFTER_COMMIT)
    ]
    async with open_world(*lost) as world:
        outcomes = await world.run(twins, tmp_path / "j", settle_s=0.0)
        assert set(words(outcomes).values()) == {"in_doubt"}
        outcomes = await world.run(twins, tmp_path / "j", settle_s=0.0)
        assert set(words(outcomes).values()) == {"in_doubt"}
        assert [one.candidates for one in outcomes.values()] == [
            (one.ontology_uuid,) * 1 for one in await world.session.list_ontologies() if one.title == "Twins"
        ] * 2
        assert world.made() == {"v2/ontologies.POST": ["Twins"]}


async def test_an_ontology_that_is_there_with_another_structure() -> None:
    """An ontology of the same name is only taken over if it holds what was wished for."""
    async with open_world() as world:
        wish = {"kind": "ontology", "key": "o", "title": "Felines"}
        await world.run([{**wish, "structure": STRUCTURE}])
        assert words(await world.run([wish])) == {"o": "adopted"}
        other = {**wish, "structure": {"objects": [], "classifications": []}}
        outcome = (await world.run([other]))["o"]
        assert isinstance(outcome.error, ConflictError)
        assert outcome.error.code == "STRUCTURE_KEPT"
        (action,) = await world.actions([other])
        assert (action.verb, action.reason) == (
            Verb.REFUSE,
            outcome.error.message,
        )


async def test_users_and_groups_are_removed() -> None:
    """A manifest can take users and groups off a project; who is not in it does not matter."""
    async with open_world() as world:
        group: Entry = {"kind": "group", "key": "g", "name": "G"}
        there = await world.run(
            [
                project("Cats", key="c"),
                users("@c", "ann@example.com", "bob@example.com"),
                group,
                {"kind": "project_groups", "project": "@c", "add": ["@g"], "role": "reviewer"},
            ]
        )
        cats, groups = there["c"].hash or "", there["g"].hash
        ended = await world.run(
            [
                {"kind": "project_users", "project": cats, "remove": ["ann@example.com", "eve@example.com"]},
                {"kind": "project_groups", "project": cats, "remove": [groups]},
            ]
        )
        assert set(words(ended).values()) == {"updated"}
        assert {one.user_email for one in await world.session.project(cats).list_users()} >= {"bob@example.com"}
        assert "ann@example.com" not in {one.user_email for one in await world.session.project(cats).list_users()}
        assert await world.session.project(cats).list_groups() == ()


async def test_a_member_who_is_not_in_the_organisation() -> None:
    """Of members that come into a group together only the stranger's entry fails."""
    async with open_world() as world:
        outcomes = await world.run(
            [
                {"kind": "organisation_user", "key": "ann", "email": "ann@example.com"},
                {"kind": "group", "key": "g", "name": "G", "members": ["@ann", "stranger@example.com"]},
            ]
        )
        assert words(outcomes) == {"ann": "updated", "g": "failed"}
        members = await world.session.list_group_members(outcomes["g"].hash or "")
        assert {member.user_email for member in members} == {"ann@example.com", ME}


async def test_a_copy_takes_along_what_it_is_told() -> None:
    """A copy has the users of its template if asked for, and the datasets of its own entry besides."""
    async with open_world() as world:
        old = await world.run(
            [
                {"kind": "dataset", "key": "d", "title": "D"},
                project("Old", key="o", datasets=["@d"]),
                users("@o", "ann@example.com"),
            ]
        )
        copy: Entry = project("New", description="a copy", copy_of=old["o"].hash, datasets=["@e"], key="n")
        outcomes = await world.run(
            [{**copy, "copy_options": [CopyOption.COLLABORATORS.value]}, {"kind": "dataset", "key": "e", "title": "E"}]
        )
        new = world.session.project(outcomes["n"].hash or "")
        assert "ann@example.com" in {one.user_email for one in await new.list_users()}
        assert [one.dataset_hash for one in await new.list_datasets()] == [outcomes["e"].hash]


async def test_the_preview_says_what_a_run_would_do() -> None:
    """What is new is created, what is there is adopted, and groups are no things that cannot be undone."""
    async with open_world() as world:
        actions = await world.actions(PROGRAMME)
        made = {(action.verb, action.what, action.items) for action in actions}
        assert made >= {
            (Verb.CREATE, "ontology", ("Felines",)),
            (Verb.CREATE, "group", ("Annotators",)),
            (Verb.CREATE, "project", ("More cats",)),
            (Verb.ADD, "group_member", ("@ann", "@rob")),
            (Verb.ADD, "group", ("@annotators",)),
            (Verb.ADD, "org_user", ("ann@example.com",)),
        }
        assert (await plan(world.session, PROGRAMME)).irreversible == 4
        await world.run(PROGRAMME)
        verbs = {action.verb for action in await world.actions(PROGRAMME)}
        assert verbs == {Verb.ADOPT}


async def test_another_role_in_the_organisation(tmp_path: Path) -> None:
    """One whose role is edited is refused until the account has it, or the entry has the old one again."""
    member: Entry = {"kind": "organisation_user", "key": "ann", "email": "ann@example.com"}
    admin, journal = member | {"role": "admin"}, tmp_path / "j"
    async with open_world() as world:
        await world.run([member], journal)
        for _ in range(2):
            outcome = (await world.run([admin], journal))["ann"]
            assert (outcome.status, outcome.hash) == (Status.FAILED, "ann@example.com")
            assert outcome.error is not None
            assert outcome.error.code == CHANGED
            assert "ann@example.com has the role member and not admin" in outcome.error.message
            assert await failures(journal) == {"ann@example.com": outcome.error.message}
        assert words(await world.run([member], journal)) == {"ann": "unchanged"}
        assert await failures(journal) == {}

        # Somebody does by hand what the entry wishes for.
        await world.session.remove_organisation_user("ann@example.com")
        await world.session.add_organisation_user("ann@example.com", role=OrganisationRole.ADMIN)
        assert words(await world.run([admin], journal)) == {"ann": "unchanged"}
        requests = world.session.statistics().requests
        assert words(await world.run([admin], journal)) == {"ann": "unchanged"}
        assert world.session.statistics().requests == requests

        # Who has left is let in again, as the entry has it now.
        await world.session.remove_organisation_user("ann@example.com")
        assert words(await world.run([member], journal)) == {"ann": "updated"}
        assert words(await world.run([admin], journal)) == {"ann": "failed"}


async def test_who_was_in_before_stays_as_they_are(tmp_path: Path) -> None:
    """Somebody who was in the organisation in another role, of whom no journal knows, is no failure."""
    async with open_world() as world:
        await world.session.add_organisation_user("ann@example.com", role=OrganisationRole.ADMIN)
        member: Entry = {"kind": "organisation_user", "key": "ann", "email": "ann@example.com"}
        assert words(await world.run([member], tmp_path / "j")) == {"ann": "unchanged"}
        # The edit brings the entry to what the account has.
        assert words(await world.run([member | {"role": "admin"}], tmp_path / "j")) == {"ann": "unchanged"}


async def failures(journal: Path) -> dict[str, str | None]:
    """What a journal lists as failed, and why."""
    async with Journal(journal, None) as opened:
        return {one.title: one.message for one in await opened.failed(most=10)}
