"""What a checker remembers of a manifest of any length, in a few bytes each."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.kinds.project import ProjectEntry
from encord_async.manifest import known
from encord_async.manifest.checker import Checker
from encord_async.manifest.digests import Texts
from encord_async.manifest.known import Keys, OpenReferences, Places, Waiting
from encord_async.manifest.place import Place, PlacedEntry


@st.composite
def _places(draw: st.DrawFn) -> Place:
    number = draw(st.integers(0, 2**32 - 1))
    line = draw(st.none() | st.integers(1, 2**32 - 1))
    row = draw(st.none() | st.integers(1, max(1, number))) if number else None
    return Place(draw(st.sampled_from(("a.yaml", "b.jsonl", ""))), line, number, row)


PLACES = _places()
KEYS = st.text(alphabet="ab", min_size=1, max_size=2)


@given(st.lists(PLACES))
def test_a_place_comes_back_as_it_was(places: list[Place]) -> None:
    """Whatever stands before it, each place has its source, line, number and row."""
    kept = Places()
    indices = [kept.add(place) for place in places]
    assert [kept[index] for index in indices] == places


def test_the_same_place_is_kept_once() -> None:
    """An entry with a key that makes something takes one place."""
    kept, place = Places(), Place("m", 3, 4)
    assert (kept.add(place), kept.add(place), kept.add(place._replace(row=1)), len(kept)) == (0, 0, 1, 2)


@given(st.lists(KEYS), st.integers(0, 4))
def test_a_key_is_known_with_its_kind_and_place(keys: list[str], most: int) -> None:
    """Each key has what was said of it first, also once there are so many that only digests are kept."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(known, "MOST_NAMES", most)
        some, told = Keys(Places()), dict[str, tuple[str, Place]]()
        for number, key in enumerate(keys, 1):
            kind, place = ("project", "dataset")[number % 2], Place("m", number, number)
            assert (some.kind(key), some.place(key)) == told.get(key, (None, None))
            assert some.add(key, kind, place) == (told[key][1] if key in told else None)
            told.setdefault(key, (kind, place))
        assert {key: (some.kind(key), some.place(key)) for key in told} == told
        assert len(some) == len(told)
        names = [key for key, (kind, _) in told.items() if kind == "dataset"] if len(told) <= most else []
        assert list(some.of_kind("dataset")) == names


@given(st.lists(st.tuples(KEYS, KEYS), unique_by=lambda pair: pair[0]), st.sampled_from((0, 100)))
def test_a_circle_of_copies_is_found_when_it_closes(copies: list[tuple[str, str]], most: int) -> None:
    """A key that is copied from itself, if not directly, is one, however many keys there are."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(known, "MOST_NAMES", most)
        some, of = Keys(Places()), dict[str, str]()
        for number, (key, template) in enumerate(copies):
            some.add(key, "project", Place("m", None, number))
            if key == template:
                continue
            link: str | None = template
            while link is not None and link != key:
                link = of.get(link)
            assert some.closes_circle(key, template) is (link is not None)
            if link is None:
                of[key] = template


@given(st.lists(st.tuples(KEYS, PLACES, st.sampled_from(("project", "datasets.0")))))
def test_references_wait_until_they_are_taken(uses: list[tuple[str, Place, str]]) -> None:
    """What waits for a name comes back in its order, once."""
    some, told = OpenReferences(), dict[str, list[Waiting]]()
    for name, place, field in uses:
        some.add(name, Waiting(place, field, "dataset"))
        told.setdefault(name, []).append(Waiting(place, field, "dataset"))
    assert list(some) == list(told)
    for name, waiting in told.items():
        assert some.number(name) == len(waiting)
        assert list(some.of(name)) == waiting
        assert some.take(name) == waiting
        assert some.take(name) == []
    assert len(some) == 0


def test_texts_are_told_apart() -> None:
    """However many there are, each has its own number, and one that did not come has none."""
    texts = Texts()
    assert [texts.add(f"a{number}") for number in range(5_000)] == [None] * 5_000
    assert [texts.add(f"a{number}") for number in range(5_000)] == list(range(5_000))
    assert [texts.get(f"a{number}") for number in range(4_998, 5_002)] == [4_998, 4_999, None, None]
    # Half of a character, as a bad entry may have it in its key.
    assert (texts.get("\ud800"), texts.add("\ud800"), texts.get("\ud800"), len(texts)) == (None, None, 5_000, 5_001)
    # Python has one digest for both, since their characters are the same bytes.
    assert hash("aa") == hash("\u6161")
    assert (texts.add("aa"), texts.get("\u6161")) == (None, None)


def test_keys_take_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thing that has a key some sixty bytes are kept, however long its texts are."""
    monkeypatch.setattr(known, "MOST_NAMES", 1000)
    checker = Checker()
    tracemalloc.start()
    try:
        for number in range(5_000):
            entry = ProjectEntry(key=f"key-{number}", title=f"Title {number}", description="long" * 50)
            assert checker.add(PlacedEntry(Place("m", 1, number, number), entry)) == ()
        assert tracemalloc.get_traced_memory()[0] < 5_000 * 75
    finally:
        tracemalloc.stop()


def test_references_that_wait_take_little_room() -> None:
    """Of a reference to what comes later some bytes are kept: all of a manifest may refer to what is at its end."""
    open_ = OpenReferences()
    tracemalloc.start()
    try:
        for number in range(5_000):
            open_.add(f"p{number % 100}", Waiting(Place("m", number + 1, number + 1), "project", "project"))
        assert tracemalloc.get_traced_memory()[0] < 5_000 * 25
    finally:
        tracemalloc.stop()
