"""What is kept of the wishes for a thing until it is compared."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from encord_async.kinds.registry import relations
from encord_async.verify.wanted import Said, Sort, Wanted

ITEMS = st.sampled_from(("a", "b", "Ann@x.org", "ü", "line\nbreak"))
ROLES = st.none() | st.integers(0, 4)


@given(st.lists(st.tuples(st.sampled_from(Sort), ITEMS, ROLES)))
def test_what_was_said_is_read_as_it_was_said(told: list[tuple[Sort, str, int | None]]) -> None:
    """Each item comes back with its role, in its way and in order; the first role counts, others stand beside it."""
    said, expected = Said(), Wanted()
    for sort, item, role in told:
        said.add(sort, item, role)
        match sort:
            case Sort.WISHED:
                expected.add(item, role)
            case Sort.UNMADE:
                expected.unmade.add((item, role))
            case Sort.UNWANTED:
                expected.unwanted.add(item)
            case Sort.OTHER:
                expected.others.add(item)
    relation = next(one for one in relations() if not one.is_of_addresses)
    assert said.read(relation, {}) == expected
    assert said.is_about == bool(expected.wished or expected.unwanted)


def test_people_who_are_named_by_a_key_have_their_addresses() -> None:
    """Who is let in by an entry is looked for by the address that this has."""
    relation = next(one for one in relations() if one.is_of_addresses and one.item is not None)
    said = Said()
    for sort, item in ((Sort.WISHED, "@ann"), (Sort.WISHED, "bob@x.org"), (Sort.OTHER, "@cy")):
        said.add(sort, item)
    read = said.read(relation, {"ann": "ann@x.org", "cy": "cy@x.org"})
    assert read == Wanted(wished={"ann@x.org": None, "bob@x.org": None}, others={"cy@x.org"})


def test_memberships_take_little_room_until_they_are_compared() -> None:
    """Of a membership its address is kept and some bytes, and no object: there may be a million."""
    said = Said()
    tracemalloc.start()
    try:
        for number in range(5_000):
            said.add(Sort.WISHED, f"person-{number:05}@example.com", 1)
        assert tracemalloc.get_traced_memory()[0] < 5_000 * 32
    finally:
        tracemalloc.stop()
    assert len(said.read(next(iter(relations())), {}).wished) == 5_000
