"""What is chosen of a manifest, what that needs, and that nothing else is touched or called gone."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from encord_async.errors import ManifestError, UsageError
from encord_async.kinds.dataset import DatasetEntry
from encord_async.kinds.entry import Entry as AnyEntry
from encord_async.kinds.project import ProjectEntry
from encord_async.kinds.project_datasets import ProjectDatasetsEntry
from encord_async.manifest.place import Place, PlacedEntry
from encord_async.manifest.selection import Choice, Selection, sift
from encord_async.plan import Action, Forecast
from tests.provision.conftest import Entry, attach, dataset, project, users
from tests.provision.world import World, open_world, words

pytestmark = pytest.mark.anyio

PROGRAMME: list[Entry] = [
    dataset("Raw", key="raw"),
    dataset("Spare", key="spare"),
    project("Cats", key="cats", datasets=["@raw"], tags=["wave-1"]),
    project("Dogs", key="dogs", datasets=["@spare"], tags=["wave-2"]),
    users("@cats", "ann@example.com"),
    users("@dogs", "bob@example.com"),
    project("Cats again", key="cats-copy", description="a copy", copy_of="@cats"),
]


def placed(*entries: AnyEntry) -> list[PlacedEntry]:
    """Entries with a place each."""
    return [PlacedEntry(Place("m", None, number), entry) for number, entry in enumerate(entries, 1)]


def chosen(items: list[PlacedEntry], choice: Choice) -> set[int]:
    """The places of what is chosen."""
    return {item.place.number for item in items if choice.has(item)}


# --- the choice, pure -------------------------------------------------------------------------------------------------

KEYS = [f"k{number}" for number in range(6)]
some_keys = st.lists(st.sampled_from(KEYS), max_size=3, unique=True)


@st.composite
def manifests(draw: st.DrawFn) -> list[PlacedEntry]:
    """Projects that have one another's datasets in any order, datasets, and entries without a key about projects."""
    entries: list[AnyEntry] = []
    sorts = draw(st.lists(st.booleans(), min_size=len(KEYS), max_size=len(KEYS)))
    keys_of = {True: [key for key, is_one in zip(KEYS, sorts, strict=True) if is_one]}
    datasets = [key for key in KEYS if key not in keys_of[True]]
    for key in KEYS:
        if key in datasets:
            entries.append(DatasetEntry(key=key, title=key))
            continue
        held: list[str] = draw(st.lists(st.sampled_from(datasets or [""]), max_size=2, unique=True)) if datasets else []
        template = draw(st.none() | st.sampled_from(keys_of[True]))
        origin = None if template in {None, key} else f"@{template}"
        parts = tuple(f"@{one}" for one in held)
        entries.append(ProjectEntry(key=key, title=key, description="one", copy_of=origin, datasets=parts))
        is_told_twice: bool = draw(st.booleans())
        if held and is_told_twice:
            entries.append(ProjectDatasetsEntry(project=f"@{key}", add=(f"@{held[0]}",)))
    return placed(*draw(st.permutations(entries)))


@given(items=manifests(), only=some_keys, exclude=some_keys)
def test_the_chosen_have_all_that_they_need_and_nothing_more(
    items: list[PlacedEntry], only: list[str], exclude: list[str]
) -> None:
    """What is chosen is closed under references, holds what was asked for, and nothing else but what that needs."""
    by_key = {item.entry.key: item.entry for item in items if item.entry.key is not None}
    wished = (set(only) or set(by_key)) - set(exclude)

    def needs(entry: AnyEntry) -> set[str]:
        return {use.reference[1:] for use in entry.references()}

    about = [item.entry for item in items if item.entry.key is None and (item.entry.about() or "@")[1:] in wished]
    expected, waiting = set(wished), [*(by_key[key] for key in wished), *about]
    while waiting:
        more = needs(waiting.pop()) - expected
        expected |= more
        waiting += [by_key[key] for key in more]
    selection = Selection(tuple(only), tuple(exclude))
    if not wished or expected & set(exclude):
        event("refused")
        with pytest.raises(UsageError):
            sift(items, selection)
        return
    event("chosen")
    choice = sift(items, selection)
    found = [item.entry for item in items if choice.has(item)]
    assert {entry.key for entry in found if entry.key is not None} == expected
    assert [entry for entry in found if entry.key is None] == about
    assert {one.key for one in choice.included} == expected - wished
    if only or exclude:
        assert choice.entries == len(found)


def test_patterns_and_tags() -> None:
    """A pattern fits keys as in a shell, a tag the projects that are to have it; an '@' before a key is no matter."""
    items = placed(
        ProjectEntry(key="cats-1", title="1", tags=("wave-1",)),
        ProjectEntry(key="cats-2", title="2", tags=("wave-2",)),
        ProjectEntry(key="cats[1]", title="3"),
        ProjectEntry(title="4", tags=("wave-1",)),
    )
    for only, numbers in {
        ("cats-*",): {1, 2},
        ("cats[1]",): {3},
        ("@cats-2",): {2},
        ("tag=wave-1",): {1, 4},
        ("tag=wave-?", "cats[[]1]"): {1, 2, 3, 4},
    }.items():
        assert chosen(items, sift(items, Selection(only))) == numbers
    assert chosen(items, sift(items, Selection(exclude=("tag=wave-1",)))) == {2, 3}


def test_entries_without_a_key_go_with_what_they_are_about() -> None:
    """Users of a project are chosen and left out with it, whether an entry makes the project or nobody."""
    items = placed(
        ProjectDatasetsEntry(project="@cats", add=("aaa",)),
        ProjectEntry(key="cats", title="Cats"),
        ProjectDatasetsEntry(project="9c53", add=("aaa",)),
        ProjectEntry(key="dogs", title="Dogs"),
    )
    assert chosen(items, sift(items, Selection(("cats",)))) == {1, 2}
    assert chosen(items, sift(items, Selection(("9c53",)))) == {3}
    assert chosen(items, sift(items, Selection(exclude=("cats",)))) == {3, 4}


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(("cast",)), ['only="cast" fits no entry', "near it are 'cats'"]),
        (Selection(("zzzzz",)), ["fits no entry", "its keys are 'raw', 'cats', 'copy'"]),
        (Selection(("cats", "tag=x")), ['only="tag=x" fits no entry', "none has the tag 'x'"]),
        (Selection((), ("dgos",)), ['exclude="dgos" fits no entry']),
        (Selection(("cats",), ("cats",)), ["nothing is left"]),
        (Selection((), ("raw",)), ['exclude="raw" leaves out @raw (entry 1)', "@cats (entry 2) refers to it"]),
        (Selection(("copy",), ("ra*",)), ['exclude="ra*" leaves out @raw (entry 1)', "@cats (entry 2) refers to it"]),
    ],
)
def test_what_cannot_be_meant_is_told(selection: Selection, said: list[str]) -> None:
    """A word that fits nothing is answered with keys near it, and an exclusion that is needed with both entries."""
    items = placed(
        DatasetEntry(key="raw", title="Raw"),
        ProjectEntry(key="cats", title="Cats", datasets=("@raw",)),
        ProjectEntry(key="copy", title="Cats", description="a copy", copy_of="@cats"),
    )
    with pytest.raises(UsageError) as caught:
        sift(items, selection)
    for words_of_it in said:
        assert words_of_it in caught.value.message


@pytest.mark.parametrize("text", ["", "@", "tag=", "a\nb"])
def test_words_that_are_none(text: str) -> None:
    """An empty word, or one that cannot be printed, is refused before anything is read."""
    with pytest.raises(UsageError, match="names nothing"):
        Selection((text,))


# --- runs -------------------------------------------------------------------------------------------------------------


async def planned(world: World, journal: Path, **options: Any) -> tuple[Forecast, list[Action]]:
    """What a run of the programme would do."""
    actions: list[Action] = []
    forecast = await world.session.plan(PROGRAMME, journal=journal, on_action=actions.append, **options)
    return forecast, actions


async def test_only_what_is_chosen_is_made(tmp_path: Path) -> None:
    """Plan and apply do the same of the chosen entries, and say why others are included; the rest comes later."""
    async with open_world() as world:
        journal = tmp_path / "journal"
        forecast, actions = await planned(world, journal, only=["cats"])
        assert forecast.entries == 3
        assert [str(one) for one in forecast.included] == [
            "entry 1: dataset @raw: included because @cats refers to it",
        ]
        assert {(action.number, action.verb.value) for action in actions} == {
            (1, "create"),
            (3, "create"),
            (3, "add"),
            (5, "add"),
        }
        async with world.session.provision(PROGRAMME, journal=journal, only="cats") as run:
            numbers = {outcome.number: outcome.status.value async for outcome in run}
        assert numbers == {1: "created", 3: "created", 5: "updated"}
        assert run.register.choice.included == forecast.included
        assert run.progress().total == 3
        assert world.made() == {"v2/datasets.POST": ["Raw"], "project.POST": ["Cats"]}
        rest = await world.run(PROGRAMME, journal)
        assert words(rest) == {
            "raw": "unchanged",
            "spare": "created",
            "cats": "unchanged",
            "dogs": "created",
            "project_users": "updated",
            "cats-copy": "created",
        }


async def test_entries_without_a_key_are_who_they_are_in_the_whole(tmp_path: Path) -> None:
    """Of two equal entries the second one, chosen alone, is the second one still when all are provisioned."""
    async with open_world() as world:
        twins = [project("Twin", tags=["a"]), project("Twin", tags=["b"])]
        journal = tmp_path / "journal"
        options: dict[str, Any] = {"stamp": True, "existing": "create"}
        await world.run(twins, journal, only="tag=b", **options)
        outcomes = await world.session.provision(twins, journal=journal, settle_s=0.2, **options).results()
        assert [outcome.status.value for outcome in outcomes] == ["created", "unchanged"]


async def test_what_is_not_chosen_has_not_gone(tmp_path: Path) -> None:
    """A plan of a part calls nothing gone, and a run of a part leaves what others have made to them."""
    async with open_world() as world:
        journal = tmp_path / "journal"
        await world.run(PROGRAMME, journal)
        forecast, actions = await planned(world, journal, only=["dogs"])
        assert (forecast.gone, actions) == ([], [])
        await world.run(PROGRAMME, journal, only=["dogs"])
        assert set(words(await world.run(PROGRAMME, journal)).values()) == {"unchanged"}
        forecast, _ = await planned(world, journal)
        assert forecast.gone == []


async def test_a_stream_cannot_be_chosen_from() -> None:
    """What can be read once is refused with what to do, before anything is sent and before it is read."""
    async with open_world() as world:
        read: list[int] = []

        def entries() -> Iterator[Entry]:
            read.append(1)
            yield from PROGRAMME

        async def later() -> AsyncIterator[Entry]:
            for entry in entries():
                yield entry

        for manifest in (entries(), later(), "-"):
            with pytest.raises(UsageError, match="a stream is read only once; give a file or a list"):
                await world.session.provision(manifest, journal=None, only="cats").results()
        assert (read, world.emulator.log()) == ([], [])


async def test_bad_usage_leaves_no_journal(tmp_path: Path) -> None:
    """A word that fits nothing is found before a journal is made."""
    async with open_world() as world:
        with pytest.raises(UsageError, match="fits no entry"):
            await world.session.provision(PROGRAMME, journal=tmp_path / "journal", only="cast").results()
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else is under way


async def test_bad_entries_that_are_not_chosen(tmp_path: Path) -> None:
    """A manifest with a bad entry is refused as a whole; with skip_invalid only what was chosen fails."""
    async with open_world() as world:
        manifest = tmp_path / "m.jsonl"
        bad: Entry = {"kind": "project", "key": "bad", "title": ""}
        refers = project("Copy", key="refers", description="a copy", copy_of="@bad")
        manifest.write_text("".join(json.dumps(entry) + "\n" for entry in [*PROGRAMME, bad, refers]))
        with pytest.raises(ManifestError, match="must not be empty"):
            await world.session.provision(manifest, journal=None, only="cats").results()
        options: dict[str, Any] = {"journal": None, "skip_invalid": True, "settle_s": 0.2}
        outcomes = await world.session.provision(manifest, only="raw", **options).results()
        assert [(outcome.number, outcome.status.value) for outcome in outcomes] == [(1, "created")]
        outcomes = await world.session.provision(manifest, only=["raw", "refers"], **options).results()
        assert [(outcome.number, outcome.status.value) for outcome in outcomes] == [(1, "adopted"), (9, "failed")]


async def test_a_saved_plan_is_for_its_choice(tmp_path: Path) -> None:
    """A plan of a part is applied with the same choice, and refused with another one or with none."""
    async with open_world() as world:
        manifest, plan, journal = tmp_path / "m.jsonl", tmp_path / "plan", tmp_path / "journal"
        manifest.write_text("".join(json.dumps(entry) + "\n" for entry in PROGRAMME))
        await world.session.plan(manifest, journal=journal, only="cats", out=plan)
        others: list[tuple[dict[str, Any], str]] = [
            ({"only": "dogs"}, 'only="cats", and this run is with only="dogs"'),
            ({}, 'only="cats", and this run is with no only'),
        ]
        for options, said in others:
            with pytest.raises(UsageError, match=said):
                await world.session.provision(manifest, journal=journal, plan=plan, **options).results()
        outcomes = await world.session.provision(manifest, journal=journal, plan=plan, only="cats").results()
        assert [outcome.status.value for outcome in outcomes] == ["created", "created", "updated"]


# --- verify and export ------------------------------------------------------------------------------------------------


async def test_verify_of_a_part(tmp_path: Path) -> None:
    """Only the chosen things are read back; what entries want that are not chosen is neither missing nor too much."""
    async with open_world() as world:
        journal = tmp_path / "journal"
        manifest = [*PROGRAMME, attach("@cats", "@spare") | {"key": "more"}]
        await world.run(manifest, journal)
        report = await world.session.verify(manifest, journal=journal, only="cats")
        assert (report.differences, report.read["project"], report.read["dataset"]) == (0, 1, 1)
        # Beside what "more" has attached, something that nobody wishes for.
        cats = next(one for one in world.emulator.state()["projects"] if one["title"] == "Cats")
        dogs = next(one for one in world.emulator.state()["projects"] if one["title"] == "Dogs")
        stray = await world.session.create_dataset("Stray")
        for found in (cats, dogs):
            await world.session.project(found["project_hash"]).add_datasets([stray.dataset_hash])
        differences: list[Any] = []
        await world.session.verify(manifest, journal=journal, only="cats", on_difference=differences.append)
        assert [(one.fault.value, one.item) for one in differences] == [("extra", stray.dataset_hash)]


async def test_export_of_a_part() -> None:
    """An export of one project holds it, what it refers to and its users, and counts no more."""
    async with open_world() as world:
        await world.run(PROGRAMME)
        entries: list[AnyEntry] = []
        exported = await world.session.export(entries.append, only="tag=wave-1", organisation=False)
        # Each new project has an ontology of its own, whose title is the project's.
        assert [(entry.kind, entry.key) for entry in entries] == [
            ("dataset", "raw"),
            ("ontology", "cats"),
            ("project", "cats-2"),
        ]
        assert exported.entries == len(entries)
        assert exported.numbers["projects"] == 1
        assert [one.key for one in exported.included] == ["raw", "cats"]
        with pytest.raises(UsageError, match="near it are 'cats'"):
            await world.session.export(entries.append, only="cast")
