"""What becomes of a create in doubt: never sent again while it may be there, never taken from another."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from encord_async.client import EncordSession
from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule, Seed, SeedUser
from encord_async.engine.doubt import (
    AdoptIt,
    LeaveIt,
    SendAgain,
    Settler,
    Verdict,
    WaitLonger,
    decide,
)
from encord_async.errors import NoReplyError, NotFoundError
from encord_async.journal.record import Doubt, MemoryLedger, Record, State, name_digest
from encord_async.kinds.dataset import DATASET
from encord_async.kinds.group import GROUP
from encord_async.kinds.ontology import ONTOLOGY, structure_digest
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_api_key import API_KEY
from encord_async.kinds.registry import step_kind
from encord_async.kinds.thing import contents_digest
from encord_async.protocol.catalogue import APIKeyScope, DatasetUserRole, ProjectUserRole, StorageLocation
from encord_async.protocol.signing import BearerToken
from encord_async.session.settings import Settings

SETTLE_S = 10.0


def wish(number: int = 1, *, title: str = "Cats", datasets: Iterable[str] = (), **more: Any) -> Record:
    """A project that was sent and not heard of."""
    description = str(more.pop("description", ""))
    details = {"description": description, "contents": [contents_digest(datasets)], **more.pop("details", {})}
    plain = Record(
        identity=bytes([number]),
        entry=b"entry",
        kind=PROJECT,
        title=title,
        state=State.INTENDED,
        name=name_digest(PROJECT, title, description),
        request=f"{title} {description} {sorted(datasets)}",
        details=details,
    )
    return replace(plain, **more)


def doubt_of(record: Record, *, since_s: float = 0.0, over: bool = True, looks: int = 0) -> Doubt:
    """The doubt about it."""
    return Doubt(record=record, since_s=since_s, over=over, looks=looks)


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidates", "rivals", "now_s", "over", "fresh", "expected"),
    [
        # One thing is there, and it can only be ours.
        (["a"], 1, 0.0, False, True, AdoptIt("a")),
        (["a"], 1, 99.0, True, False, AdoptIt("a")),
        # As many as there are equal wishes, or fewer: any serves any.
        (["a", "b"], 2, 0.0, False, True, AdoptIt("a")),
        (["a"], 2, 0.0, False, True, AdoptIt("a")),
        # More than that: nobody can tell, whenever it is.
        (["a", "b"], 1, 0.0, True, True, LeaveIt("2 projects 'Cats' could be what this entry made", ("a", "b"))),
        (
            ["a", "b", "c"],
            2,
            99.0,
            True,
            True,
            LeaveIt("3 projects 'Cats' could be what this entry made", ("a", "b", "c")),
        ),
        # Nothing is there yet.
        ([], 1, 0.0, True, True, WaitLonger(0.5)),
        ([], 1, 9.99, True, True, WaitLonger(10.0)),
        ([], 1, 9.99, False, False, WaitLonger(10.0)),
        # Nothing is there, and the time has passed.
        ([], 1, 10.0, True, True, SendAgain()),
        ([], 3, 10.0, True, True, SendAgain()),
        ([], 1, 10.0, False, True, LeaveIt),
        ([], 1, 99.0, False, True, LeaveIt),
        ([], 1, 10.0, True, False, LeaveIt),
        ([], 1, 99.0, False, False, LeaveIt),
    ],
)
def test_the_rule(
    candidates: list[str], rivals: int, now_s: float, over: bool, fresh: bool, expected: Verdict | type[LeaveIt]
) -> None:
    """What is seen, how long it was waited and whether the service is done with it decide; nothing else."""
    verdict = decide(
        doubt_of(wish(), over=over),
        candidates,
        rivals=rivals,
        now_s=now_s,
        settle_s=SETTLE_S,
        listing_is_fresh=fresh,
    )
    if expected is LeaveIt:
        assert isinstance(verdict, LeaveIt)
        assert verdict.candidates == ()
    else:
        assert verdict == expected


@given(
    candidates=st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=40),
    rivals=st.integers(1, 5),
    since_s=st.floats(0, 1e6),
    waited_s=st.floats(0, 1e3),
    settle_s=st.floats(0, 600),
    looks=st.integers(0, 2000),
    over=st.booleans(),
    fresh=st.booleans(),
)
def test_never_twice(
    candidates: list[str],
    rivals: int,
    since_s: float,
    waited_s: float,
    settle_s: float,
    looks: int,
    over: bool,
    fresh: bool,
) -> None:
    """Sent again only if nothing is there, the time has passed, no answer can come and listings are fresh."""
    now_s = since_s + waited_s
    verdict = decide(
        doubt_of(wish(), since_s=since_s, over=over, looks=looks),
        candidates,
        rivals=rivals,
        now_s=now_s,
        settle_s=settle_s,
        listing_is_fresh=fresh,
    )
    match verdict:
        case SendAgain():
            assert not candidates
            assert over
            assert fresh
            assert now_s >= since_s + settle_s
        case AdoptIt(hash=found):
            assert found in candidates
            assert len(candidates) <= rivals
        case WaitLonger(due_s=due_s):
            assert not candidates
            assert now_s < due_s <= since_s + settle_s
        case LeaveIt():
            assert set(verdict.candidates) <= set(candidates)
            assert len(verdict.candidates) <= 20


def test_looks_ever_less_often() -> None:
    """The first look follows soon, the others at twice the distance of the one before, the last when time is up."""
    due_s, looks, seen = 0.0, 0, list[float]()
    while True:
        verdict = decide(doubt_of(wish(), looks=looks), (), rivals=1, now_s=due_s, settle_s=60.0)
        if not isinstance(verdict, WaitLonger):
            break
        due_s, looks = verdict.due_s, looks + 1
        seen.append(due_s)
    assert seen == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 60.0]
    assert verdict == SendAgain()


@given(st.lists(st.text("abc", max_size=2)))
def test_contents_are_a_set(hashes: list[str]) -> None:
    """Neither the order nor repetition makes other contents."""
    assert contents_digest(hashes) == contents_digest(reversed([*hashes, *hashes]))
    assert contents_digest(["ab", "c"]) != contents_digest(["a", "bc"])


def test_fingerprint_reveals_nothing() -> None:
    """Of an API key only what cannot be turned back is kept."""
    assert "secret" not in API_KEY.hash_of(SecretStr("secret-key"))
    assert (
        API_KEY.hash_of(SecretStr("secret-key"))
        == API_KEY.hash_of(SecretStr("secret-key"))
        != API_KEY.hash_of(SecretStr("secret-kez"))
    )


# --- looking things up ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """A settler at work on an emulator."""

    emulator: Emulator
    session: EncordSession
    ledger: MemoryLedger
    settler: Settler

    async def settle(self, record: Record, *, age_s: float = 0.0, over: bool = True) -> Verdict:
        """Look for *record*, whose doubt arose *age_s* ago."""
        since_s = self.session.clock.monotonic_s() - age_s
        return await self.settler.settle(doubt_of(record, since_s=since_s, over=over))

    def saw_created(self, record: Record, made: str) -> None:
        """Let the settler know of something that was made just now."""
        self.settler.saw_created(record, made, sent_s=self.session.clock.monotonic_s())


@asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    """A settler with a settling time of ten seconds."""
    async with Emulator() as emulator:
        assert emulator.private_key is not None
        session = EncordSession.from_ssh_key(emulator.private_key, settings=Settings(domain=emulator.url))
        async with session:
            ledger = MemoryLedger()
            yield Bench(emulator, session, ledger, Settler(session, ledger, settle_s=SETTLE_S))


DATASETS = [f"00000000-0000-4000-8000-{number:012d}" for number in (1, 2, 3)]

TITLES = ["Cats", "100%", "_ats", "C_t%", "Kätzchen \U0001f408", "it's", 'say "x"', "a\\b", " Cats ", "cats"]


async def test_finds_exactly_its_name() -> None:
    """Only what has exactly the title and description is found, whatever signs they hold."""
    async with open_bench() as bench:
        made = {}
        for title in TITLES:
            for description in ("", "100% of _ats"):
                made[title, description] = await bench.session.create_project(title, description=description)
        for (title, description), project_hash in made.items():
            record = wish(title=title, description=description)
            assert await bench.settle(record) == AdoptIt(project_hash)
        assert isinstance(await bench.settle(wish(title="Cat")), WaitLonger)
        assert isinstance(await bench.settle(wish(title="%")), WaitLonger)
        assert await bench.settle(wish(title="%"), age_s=SETTLE_S) == SendAgain()


async def test_finds_datasets() -> None:
    """A dataset is looked for among datasets, by title and description."""
    async with open_bench() as bench:
        await bench.session.create_project("Cats raw")
        made = await bench.session.create_dataset("Cats raw", description="of 2026")
        record = wish(title="Cats raw", description="of 2026", kind=DATASET)
        assert await bench.settle(record) == AdoptIt(made.dataset_hash)
        other = wish(title="Cats raw", kind=DATASET)
        assert await bench.settle(other, age_s=SETTLE_S) == SendAgain()


def key_wish(project_hash: str | None, *scopes: str) -> Record:
    """An API key that was sent and not heard of."""
    name = name_digest(API_KEY, project_hash or "", "ci", *scopes)
    details = {"scopes": list(scopes)}
    return wish(title="ci", kind=API_KEY, parent_hash=project_hash, name=name, details=details)


async def test_finds_api_keys() -> None:
    """An API key is looked for in its project by title and scopes, and named by a fingerprint."""
    async with open_bench() as bench:
        project_hash = await bench.session.create_project("Cats")
        read, write = APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE
        await bench.session.create_project_api_key(project_hash, "ci", [write])
        await bench.session.create_project_api_key(project_hash, "ci 2", [read, write])
        ours = await bench.session.create_project_api_key(project_hash, "ci", [write, read])
        record = key_wish(project_hash, read.value, write.value)
        assert await bench.settle(record) == AdoptIt(API_KEY.hash_of(ours))
        assert await bench.settle(key_wish(project_hash, read.value), age_s=SETTLE_S) == SendAgain()


async def test_api_key_of_a_project_that_is_gone() -> None:
    """A key cannot be in a project that does not exist."""
    async with open_bench() as bench:
        assert (
            await bench.settle(key_wish("00000000-0000-4000-8000-00000000dead", "label.read"), age_s=99) == SendAgain()
        )


async def test_what_was_there_before_is_not_ours() -> None:
    """What had the name before the create was sent cannot be what it made."""
    async with open_bench() as bench:
        before = await bench.session.create_project("Cats")
        record = wish(details={"baseline": [before]})
        assert isinstance(await bench.settle(record), WaitLonger)
        ours = await bench.session.create_project("Cats")
        assert await bench.settle(record) == AdoptIt(ours)


async def test_what_namesakes_made_is_not_ours() -> None:
    """What another entry of the same title is known to have made is left out."""
    async with open_bench() as bench:
        theirs = await bench.session.create_project("Cats")
        await bench.ledger.write([wish(1), wish(2, state=State.DONE, hash=theirs), wish(3, state=State.FAILED)])
        assert isinstance(await bench.settle(wish(1)), WaitLonger)
        ours = await bench.session.create_project("Cats")
        assert await bench.settle(wish(1)) == AdoptIt(ours)


async def test_equal_wishes_share_out_what_is_there() -> None:
    """Of two equal wishes in doubt each takes one, and none takes the other's."""
    async with open_bench() as bench:
        made = {await bench.session.create_project("Cats") for _ in range(2)}
        await bench.ledger.write([wish(1), wish(2)])
        first = await bench.settle(wish(1))
        assert isinstance(first, AdoptIt)
        await bench.ledger.write([wish(1, state=State.DONE, hash=first.hash)])
        second = await bench.settle(wish(2))
        assert isinstance(second, AdoptIt)
        assert {first.hash, second.hash} == made


async def test_contents_tell_namesakes_apart() -> None:
    """Two entries of equal titles with other datasets, both in doubt: each finds its own, even if only one is there."""
    async with open_bench() as bench:
        one, two = wish(1, datasets=DATASETS[:1]), wish(2, datasets=DATASETS[1:])
        await bench.ledger.write([one, two])
        ones = await bench.session.create_project("Cats", dataset_hashes=DATASETS[:1])
        assert isinstance(await bench.settle(two), WaitLonger)
        assert await bench.settle(one) == AdoptIt(ones)
        twos = await bench.session.create_project("Cats", dataset_hashes=DATASETS[1:])
        assert await bench.settle(two) == AdoptIt(twos)
        assert await bench.settle(one) == AdoptIt(ones)


async def test_ontologies_tell_namesakes_apart() -> None:
    """So do other ontologies."""
    async with open_bench() as bench:
        made = await bench.session.create_project("Cats")
        ontology = (await bench.session.project(made).get()).ontology_hash
        one = wish(1, details={"ontology": ontology})
        two = wish(2, details={"ontology": "00000000-0000-4000-8000-00000000dead"}, request="another")
        await bench.ledger.write([one, two])
        assert isinstance(await bench.settle(two), WaitLonger)
        assert await bench.settle(one) == AdoptIt(made)


async def test_half_filled_project_is_known_again() -> None:
    """A project whose datasets went out in several envelopes is its entry's after each of them."""
    stages = [contents_digest(DATASETS[:end]) for end in (2, 3)]
    async with open_bench() as bench:
        one, two = wish(1, details={"contents": stages}), wish(2, request="another")
        await bench.ledger.write([one, two])
        made = await bench.session.create_project("Cats", dataset_hashes=DATASETS[:2])
        for _ in range(2):
            assert await bench.settle(one) == AdoptIt(made)
            assert isinstance(await bench.settle(two), WaitLonger)
            await bench.session.project(made).add_datasets(DATASETS[2:])


async def test_stamps_tell_namesakes_apart() -> None:
    """With a mark in the description nobody is a rival, whatever the contents have become meanwhile."""
    async with open_bench() as bench:
        name = name_digest(PROJECT, "Cats", "")
        one = wish(1, description="[encord-async 111111111111]", name=name)
        two = wish(2, description="[encord-async 222222222222]", name=name)
        await bench.ledger.write([one, two])
        made = await bench.session.create_project("Cats", description="[encord-async 111111111111]")
        await bench.session.project(made).add_datasets(DATASETS[:1])
        assert await bench.settle(one) == AdoptIt(made)
        assert isinstance(await bench.settle(two), WaitLonger)


async def test_too_many_candidates() -> None:
    """If strangers have made namesakes meanwhile, a person decides, with the hashes at hand."""
    async with open_bench() as bench:
        made = {await bench.session.create_project("Cats") for _ in range(2)}
        verdict = await bench.settle(wish())
        assert isinstance(verdict, LeaveIt)
        assert set(verdict.candidates) == made


async def test_listing_that_lags() -> None:
    """If a listing does not show what was made after the doubt arose, it does not prove that something is absent."""
    async with open_bench() as bench:
        witness = await bench.session.create_project("Witness")
        bench.saw_created(wish(title="Witness"), witness)
        assert await bench.settle(wish(), age_s=SETTLE_S) == SendAgain()
        stale = FaultRule(query="projectwithuserrole.GET", fault=Fault.STALE_READ, seconds=3600)
        bench.emulator.set_faults([stale])
        verdict = await bench.settle(wish(), age_s=SETTLE_S)
        assert isinstance(verdict, LeaveIt)
        assert "lag" in verdict.why
        # A witness from before the doubt proves nothing either way.
        assert isinstance(await bench.settle(wish()), WaitLonger)


@pytest.mark.parametrize("kind", ["envelope", "rest", "ontology", "group", "api key"])
async def test_every_kind_has_a_witness(kind: str) -> None:
    """Whatever is in doubt, a listing of its kind that lags is no proof, and one that is fresh is."""
    async with open_bench() as bench:
        session, listing, more = bench.session, "", dict[str, Any]()
        match kind:
            case "envelope":
                made, listing = (await session.create_dataset("W")).dataset_hash, "datasetwithuserrole.GET"
                more = {"kind": DATASET}
            case "rest":
                made, listing = (await session.create_dataset_v2("W")).dataset_uuid, "v2/datasets/list.GET"
                more = {"kind": DATASET, "details": {"api": "rest"}}
            case "ontology":
                made, listing = (await session.create_ontology("W")).ontology_uuid, "v2/ontologies.GET"
                more = {"kind": ONTOLOGY}
            case "group":
                made, listing = (await session.create_group("W")).group_hash, "v2/user/current-organisation/groups.GET"
                more = {"kind": GROUP}
            case _:
                project_hash, listing = await session.create_project("P"), "projectapikey.GET"
                key = await session.create_project_api_key(project_hash, "W", [APIKeyScope.LABEL_READ])
                made = API_KEY.hash_of(key)
                more = {"kind": API_KEY, "parent_hash": project_hash, "details": {"scopes": ["label.read"]}}
        bench.saw_created(wish(2, title="W", **more), made)
        assert await bench.settle(wish(**more), age_s=SETTLE_S) == SendAgain()
        bench.emulator.set_faults([FaultRule(query=listing, fault=Fault.STALE_READ, seconds=3600)])
        verdict = await bench.settle(wish(**more), age_s=SETTLE_S)
        assert isinstance(verdict, LeaveIt)
        assert "lag" in verdict.why


async def test_witness_of_another_kind() -> None:
    """Where nothing else of its kind was made, what lags elsewhere speaks against sending again."""
    async with open_bench() as bench:
        bench.saw_created(wish(2, title="Witness"), "00000000-0000-4000-8000-00000000dead")
        assert isinstance(await bench.settle(wish(kind=ONTOLOGY), age_s=SETTLE_S), LeaveIt)


@pytest.mark.parametrize("kind", ["dataset", "ontology", "group"])
async def test_a_clock_that_is_days_ahead(kind: str) -> None:
    """What was made is found, whatever time it is here and there."""
    async with open_bench() as bench:
        session, details = bench.session, dict[str, Any]()
        match kind:
            case "dataset":
                made, details = (await session.create_dataset_v2("Cats")).dataset_uuid, {"api": "rest"}
            case "ontology":
                made = (await session.create_ontology("Cats")).ontology_uuid
            case _:
                made = (await session.create_group("Cats")).group_hash
        record = wish(kind=step_kind(kind), started_s=session.clock.wall_s() + 3 * 86_400, details=details)
        assert await bench.settle(record) == AdoptIt(made)


STRUCTURE: dict[str, Any] = {"objects": [{"id": "1", "name": "Cat"}], "classifications": []}


def ontology_wish(structure: dict[str, Any] | None) -> Record:
    """An ontology that was sent and not heard of."""
    details = {"structure": structure_digest(structure), "structure_parts": sorted(structure or ())}
    return wish(kind=ONTOLOGY, details=details)


async def test_ontology_of_a_project_is_not_ours() -> None:
    """The empty ontology that a project of that title got by itself is not what an entry has made."""
    async with open_bench() as bench:
        await bench.session.create_project("Cats")
        (automatic,) = [one.ontology_uuid for one in await bench.session.list_ontologies()]
        assert isinstance(await bench.settle(ontology_wish(STRUCTURE)), WaitLonger)
        assert await bench.settle(ontology_wish(STRUCTURE), age_s=SETTLE_S) == SendAgain()
        # An entry that wants an empty one cannot be told from it.
        assert isinstance(await bench.settle(ontology_wish(None)), WaitLonger)
        left = await bench.settle(ontology_wish(None), age_s=SETTLE_S)
        assert isinstance(left, LeaveIt)
        assert left.candidates == (automatic,)
        ours = await bench.session.create_ontology("Cats", editor=STRUCTURE)
        assert await bench.settle(ontology_wish(STRUCTURE)) == AdoptIt(ours.ontology_uuid)


async def test_ontology_of_another_structure() -> None:
    """What has our title and another structure may be ours, kept in another form: a person decides."""
    async with open_bench() as bench:
        made = await bench.session.create_ontology("Cats", editor={"objects": [{"name": "Dog"}]})
        left = await bench.settle(ontology_wish(STRUCTURE), age_s=SETTLE_S)
        assert isinstance(left, LeaveIt)
        assert left.candidates == (made.ontology_uuid,)


@pytest.mark.parametrize("api", ["rest", "envelope"])
async def test_where_data_lie_tells_datasets_apart(api: str) -> None:
    """Of two namesakes in doubt each finds the one that keeps its data as it asked; REST or envelope, said or read."""
    async with open_bench() as bench:
        more: dict[str, Any] = {"title": "Raw", "kind": DATASET}
        one = wish(1, details={"storage": 0, "create_backing_folder": True, "api": api}, request="one", **more)
        two = wish(2, details={"storage": 1, "create_backing_folder": False}, request="two", **more)
        await bench.ledger.write([one, two])
        aws = await bench.session.create_dataset("Raw", storage=StorageLocation.AWS_S3, create_backing_folder=False)
        assert isinstance(await bench.settle(one), WaitLonger)
        assert await bench.settle(two) == AdoptIt(aws.dataset_hash)
        plain = await bench.session.create_dataset("Raw", create_backing_folder=False)
        assert isinstance(await bench.settle(one), WaitLonger)
        ours = await bench.session.create_dataset("Raw")
        assert await bench.settle(one) == AdoptIt(ours.dataset_hash)
        left = await bench.settle(replace(one, details={**one.details, "baseline": [ours.dataset_hash]}), age_s=99)
        assert isinstance(left, LeaveIt)
        assert set(left.candidates) == {aws.dataset_hash, plain.dataset_hash}


async def test_namesake_of_somebody_else() -> None:
    """What somebody else has made and let us into is not what we have made, whatever its title."""
    me, other = (SeedUser(email=f"{name}@example.com", bearer_token=name) for name in ("me", "other"))
    async with Emulator(EmulatorSettings(seed=Seed(users=(me, other)))) as emulator:
        settings = Settings(domain=emulator.url)
        async with (
            EncordSession(BearerToken("me"), settings) as session,
            EncordSession(BearerToken("other"), settings) as others,
        ):
            bench = Bench(emulator, session, ledger := MemoryLedger(), Settler(session, ledger, settle_s=SETTLE_S))
            theirs = await others.create_project("Cats")
            await others.project(theirs).add_users([me.email], ProjectUserRole.ANNOTATOR)
            raw = await others.create_dataset("Cats")
            await others.add_dataset_users(raw.dataset_hash, [me.email], DatasetUserRole.USER)
            for kind, details in (("project", {}), ("dataset", {}), ("dataset", {"api": "rest"})):
                record = wish(kind=step_kind(kind), details=details)
                assert isinstance(await bench.settle(record), WaitLonger)
            ours = await session.create_project("Cats")
            assert await bench.settle(wish()) == AdoptIt(ours)


@pytest.mark.parametrize("api", [None, "rest", "envelope"])
async def test_missing_description_is_null(api: str | None) -> None:
    """What has no description is found where the service keeps that as NULL, which equals nothing."""
    async with Emulator(EmulatorSettings(null_descriptions=True)) as emulator:
        assert emulator.private_key is not None
        async with EncordSession.from_ssh_key(emulator.private_key, settings=Settings(domain=emulator.url)) as session:
            settler = Settler(session, MemoryLedger(), settle_s=SETTLE_S)
            if api is None:
                made, record = await session.create_project("Cats"), wish()
            else:
                made = (await session.create_dataset("Cats")).dataset_hash
                record = wish(kind=DATASET, details={"api": api})
            assert await settler.settle(doubt_of(record)) == AdoptIt(made)


async def test_old_witness_is_enough() -> None:
    """A listing that lags by less than the doubt is old is fresh enough, however much is made every moment."""
    async with open_bench() as bench:
        for number in range(3):
            title = f"Witness {number}"
            bench.saw_created(wish(title=title), await bench.session.create_project(title))
        # One that no listing shows yet.
        bench.saw_created(wish(title="Younger"), "00000000-0000-4000-8000-00000000dead")
        assert await bench.settle(wish(), age_s=SETTLE_S) == SendAgain()


async def test_look_that_fails() -> None:
    """A look that fails teaches nothing: it is tried again until the time has passed, and then a person decides."""
    async with open_bench() as bench:
        now_s = bench.session.clock.monotonic_s()
        error = NoReplyError("no answer")
        young, old = doubt_of(wish(), since_s=now_s), doubt_of(wish(), since_s=now_s - SETTLE_S)
        assert isinstance(bench.settler.not_seen(young, error), WaitLonger)
        left = bench.settler.not_seen(old, error)
        assert isinstance(left, LeaveIt)
        assert left.why == "it could not be looked up: no answer"


async def test_forbidden_look_is_an_error() -> None:
    """What may not be looked up is not taken for absent."""
    async with open_bench() as bench:
        refuse = FaultRule(query="projectwithuserrole.GET", fault=Fault.ERROR, code="RESOURCE_NOT_FOUND_ERROR")
        bench.emulator.set_faults([refuse])
        with pytest.raises(NotFoundError):
            await bench.settle(wish(), age_s=SETTLE_S)
