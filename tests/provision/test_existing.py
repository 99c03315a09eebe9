"""What is there already is looked up once a run and taken as ours, or not, by rule."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.engine.account import Account, Adopt, Create, Existing, match
from encord_async.errors import ConflictError, ServiceFaultError
from encord_async.kinds.dataset import DATASET
from encord_async.kinds.project import PROJECT
from encord_async.kinds.thing import Found, Thing
from tests.provision.conftest import Dataset, Fault, Project, Service, open_session

OURS, OTHERS = Found("ours", is_admin=True), Found("theirs", is_admin=False)

namesakes = st.lists(st.builds(Found, hash=st.sampled_from("abcdef"), is_admin=st.booleans()), max_size=5)


@pytest.mark.parametrize("existing", Existing)
def test_nothing_there(existing: Existing) -> None:
    """Where nothing has the name, it is made, whatever was asked for."""
    assert match(PROJECT, "Cats", [], existing) == Create()


@given(namesakes)
def test_create_never_looks(found: list[Found]) -> None:
    """``create`` makes another one, however many there are."""
    assert match(PROJECT, "Cats", found, Existing.CREATE) == Create()


@given(namesakes)
def test_adopt_takes_the_one_that_is_ours(found: list[Found]) -> None:
    """Exactly one of which we are admin is taken, several are an error that lists them, others' do not count."""
    ours = [one.hash for one in found if one.is_admin]
    if len(ours) == 1:
        assert match(PROJECT, "Cats", found, Existing.ADOPT) == Adopt(ours[0])
    elif not ours:
        assert match(PROJECT, "Cats", found, Existing.ADOPT) == Create()
    else:
        with pytest.raises(ConflictError, match="several projects 'Cats'") as caught:
            match(PROJECT, "Cats", found, Existing.ADOPT)
        assert caught.value.code == "AMBIGUOUS"
        assert all(hash_ in caught.value.message for hash_ in ours)


@pytest.mark.parametrize("found", [OURS, OTHERS])
def test_fail_fails(found: Found) -> None:
    """``fail`` fails if the name is taken at all, and says by which."""
    with pytest.raises(ConflictError, match=f"dataset 'Cats' is there already: {found.hash}") as caught:
        match(DATASET, "Cats", [found], Existing.FAIL)
    assert caught.value.code == "EXISTS"


async def test_account_is_listed_once(service: Service) -> None:
    """Any number of look-ups at once cost one listing of projects and one of datasets."""
    service.projects["p"] = Project("Cats", "about cats")
    service.datasets["d"] = Dataset("Cats", role=1)
    async with open_session(service) as session:
        account = Account(session)
        found: list[list[Found]] = []

        async def look(what: Thing, description: str) -> None:
            found.append(account.unclaimed(await account.namesakes(what, "Cats", description)))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(look, PROJECT, "about cats")
        assert found == [[Found("p", is_admin=True)]] * 5
        assert account.unclaimed(await account.namesakes(PROJECT, "Cats", "")) == []
        (theirs,) = account.unclaimed(await account.namesakes(DATASET, "Cats", ""))
        assert (theirs.hash, theirs.is_admin) == ("d", False)
    assert service.names == {"v2/projects.GET": 1, "v2/datasets/list.GET": 1}


async def test_title_and_description_are_kept_apart(service: Service) -> None:
    """A title that ends as another's description begins is no namesake."""
    service.projects["p"] = Project("ab", "c")
    async with open_session(service) as session:
        account = Account(session)
        assert account.unclaimed(await account.namesakes(PROJECT, "a", "bc")) == []
        assert account.unclaimed(await account.namesakes(PROJECT, "ab", "c")) == [Found("p", is_admin=True)]


async def test_claimed_is_not_found_again(service: Service) -> None:
    """What one entry has taken, no other is offered."""
    service.projects |= {"p": Project("Cats"), "q": Project("Cats")}
    async with open_session(service) as session:
        account = Account(session)
        account.claim("p")
        assert account.unclaimed(await account.namesakes(PROJECT, "Cats", "")) == [Found("q", is_admin=True)]


async def test_failed_listing_is_remembered(service: Service) -> None:
    """A listing that failed for one entry is not asked for again by each other, nor taken for an empty account."""
    service.faults.append(Fault("v2/projects.GET", error=lambda: ServiceFaultError("down"), left=1000))
    async with open_session(service) as session:
        account = Account(session)
        told = []
        for title in ("Cats", "Dogs", "Birds"):
            with pytest.raises(ServiceFaultError, match="the projects of the account cannot be listed: down") as caught:
                account.unclaimed(await account.namesakes(PROJECT, title, ""))
            told.append(str(caught.value))
        assert len(set(told)) == 1
        assert service.names["v2/projects.GET"] == session.settings.retry.max_attempts
        assert account.unclaimed(await account.namesakes(DATASET, "Cats", "")) == []
