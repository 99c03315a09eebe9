"""What a run writes down, and the ledger of a run without a journal."""

from hypothesis import assume, given
from hypothesis import strategies as st

from encord_async.journal.record import Ledger, MemoryLedger, Record, State, name_digest
from encord_async.kinds.project import PROJECT
from encord_async.kinds.registry import step_kinds
from encord_async.kinds.step import StepKind

NAME = name_digest(PROJECT, "Cats", "")


def record(identity: bytes, *, state: State = State.INTENDED, name: bytes | None = NAME) -> Record:
    """A project's record."""
    return Record(identity=identity, entry=b"e", kind=PROJECT, title="Cats", state=state, name=name)


names = st.tuples(st.sampled_from(step_kinds()), st.lists(st.text(max_size=3), max_size=3))


@given(names, names)
def test_names_do_not_run_together(one: tuple[StepKind, list[str]], other: tuple[StepKind, list[str]]) -> None:
    """A title that ends as another's description begins gives another name."""
    assume(one != other)
    assert name_digest(one[0], *one[1]) != name_digest(other[0], *other[1])


def test_open_records() -> None:
    """A step may have happened from the moment it is intended until it is known how it ended."""
    assert [state for state in State if record(b"1", state=state).is_open] == [State.INTENDED, State.IN_DOUBT]


async def test_memory_keeps_namesakes() -> None:
    """Without a journal a run still knows which of its own have equal names, by their last state."""
    ledger: Ledger = MemoryLedger()
    await ledger.write([record(b"1"), record(b"2"), record(b"3", name=None)])
    await ledger.write([record(b"1", state=State.DONE)])
    found = await ledger.namesakes(NAME)
    assert {one.identity: one.state for one in found} == {b"1": State.DONE, b"2": State.INTENDED}
    assert await ledger.namesakes(b"another") == []


async def test_memory_knows_no_earlier_run() -> None:
    """Without a journal there was no earlier run: only what this one has made is known."""
    ledger = MemoryLedger()
    assert await ledger.known([b"1"]) == {}
    await ledger.write([record(b"1")])
    assert (await ledger.known([b"1", b"2"])).keys() == {b"1"}
    assert await ledger.open_intents() == ()
