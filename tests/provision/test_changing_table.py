"""The table "What if I change something after apply?", row by row: plan, run, journal and verify say what it says."""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from encord_async.journal.journal import Journal
from encord_async.plan import Verb
from encord_async.protocol.catalogue import ProjectUserRole
from tests.cli.conftest import write_manifest
from tests.provision.conftest import Entry
from tests.provision.world import World

pytestmark = pytest.mark.usefixtures("empty_folder")

PAGE: Final = Path(__file__).parents[2] / "docs" / "changing.md"
WORDS: Final = re.compile(r"`([^`]+)`")
OPTION: Final = re.compile(r"`(\w+)=True`")
REFUSED: Final = {"CHANGED", "ROLE_KEPT"}

Edit: TypeAlias = Callable[[list[Entry]], list[Entry]]

PROGRAMME: Final[list[Entry]] = [
    {"kind": "ontology", "key": "felines", "title": "Felines", "structure": {"objects": [], "classifications": []}},
    {"kind": "ontology", "key": "canines", "title": "Canines"},
    {"kind": "dataset", "key": "raw", "title": "Raw", "folder": "@images"},
    {
        "kind": "project",
        "key": "cats",
        "title": "Cats",
        "description": "All of them",
        "ontology": "@felines",
        "datasets": ["@raw"],
        "users": [{"email": "ann@x.org", "role": "annotator"}, {"email": "bob@x.org", "role": "reviewer"}],
        "tags": ["wave-1", "wave-2"],
        "status": "in_progress",
        "api_keys": [{"title": "ci", "scopes": ["label.read"]}],
    },
    {"kind": "project", "key": "dogs", "title": "Dogs"},
    {"kind": "organisation_user", "key": "eve", "email": "eve@x.org", "role": "member"},
    {"kind": "folder", "key": "images", "name": "Images"},
    {"kind": "group", "key": "vets", "name": "Vets"},
    {"kind": "project_groups", "project": "@cats", "add": ["@vets"], "role": "annotator"},
]


def rows() -> Iterator[tuple[str, str, str]]:
    """What changes, what is said without an option, and what follows it."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| ---", "| What changes")):
            what, without, follows = (cell.strip() for cell in line.strip("|").split("|"))
            yield what, without, follows


def of(**changes: Any) -> Edit:
    """Change these members of the project."""

    def edit(entries: list[Entry]) -> list[Entry]:
        entries[3] |= changes
        return entries

    return edit


def role(entries: list[Entry]) -> list[Entry]:
    """Another role for one user."""
    entries[3]["users"][0]["role"] = "reviewer"
    return entries


def admin(entries: list[Entry]) -> list[Entry]:
    """Another role in the organisation."""
    entries[5]["role"] = "admin"
    return entries


def without_group(entries: list[Entry]) -> list[Entry]:
    """No group in the project, although there is one."""
    return entries[:8]


def drawn(entries: list[Entry]) -> list[Entry]:
    """All that can be otherwise of an ontology."""
    structure = {"objects": [{"name": "Lynx", "shape": "polygon"}], "classifications": []}
    entries[0] |= {"title": "All felines", "description": "big and small", "structure": structure}
    return entries


def template(entries: list[Entry]) -> list[Entry]:
    """Another template than none."""
    entries[4] |= {"workflow_template_id": "00000000-0000-0000-0000-00000000000a"}
    return entries


EDITS: Final[dict[str, Edit | None]] = {
    "the title of a project, dataset or group": of(title="Tomcats"),
    "the description of one": of(description="Some of them"),
    "a user's role": role,
    "the role or type of a member of the organisation": admin,
    "a user taken off the manifest": of(users=[{"email": "ann@x.org", "role": "annotator"}]),
    "a dataset taken off a project": of(datasets=[]),
    "a tag taken off a project": of(tags=["wave-1"]),
    "a group taken off a project": without_group,
    "the status taken off a project": of(status=None),
    "an API key taken off a project": of(api_keys=[]),
    "a user of the organisation is gone": lambda entries: [*entries[:5], *entries[6:]],
    "files, items or the folder taken off a dataset": lambda entries: [
        {name: value for name, value in entry.items() if name != "folder"} for entry in entries
    ],
    "the ontology of a project": of(ontology="@canines"),
    "the title, description or structure of an ontology": drawn,
    "the workflow template of a project": template,
    "the key of an entry": lambda entries: [*entries[:4], {**entries[4], "key": "hounds"}, *entries[5:]],
    "the order of entries": lambda entries: entries[::-1],
    "the name of the manifest's file": None,
    "an entry is gone": lambda entries: [*entries[:4], *entries[5:]],
    "the account was changed behind our back": None,
}
"""What is done for each row; the two that are no edits have tests of their own."""


@dataclass
class Said:
    """What is said of a manifest, by those who say something."""

    plan: set[str]
    run: set[str]
    journal: set[str]
    verify: set[str]
    refused: dict[str, set[str]]

    @property
    def words(self) -> str:
        """All of it."""
        return "\n".join((*self.plan, *self.run, *self.journal, *self.verify))


async def said(world: World, manifest: Path) -> Said:
    """Plan, provision and verify *manifest*; only what does not stay as it is counts, but for `keep`."""
    actions: list[Any] = []
    forecast = await world.session.plan(manifest, on_action=actions.append)
    async with world.session.provision(manifest, settle_s=0.2) as run:
        outcomes = await run.results()
        left, taken_off = await run.register.gone(), await run.register.taken_off()
    differences: list[Any] = []
    await world.session.verify(manifest, on_difference=differences.append)
    async with Journal(f"{manifest}.journal", None) as journal:
        failed, gone = await journal.failed(most=100), await journal.gone_things()
        noted = await journal.noted_taken_off()
    assert forecast.taken_off == taken_off == noted
    failures = [one.error for one in outcomes if one.error is not None]
    return Said(
        plan={f"{one.verb} {one.code} {one.reason}" for one in actions}
        | {f"{verb}" for verb, _ in forecast.counts}
        | {"gone from the manifest" for _ in (*forecast.gone, *forecast.taken_off.first)},
        run={f"{one.code} {one.message}" for one in failures}
        | {"gone from the manifest" for _ in (*left, *taken_off.first)},
        journal={f"{one.code} {one.message}" for one in failed}
        | {"gone from the manifest" for _ in (*gone, *noted.first)},
        verify={f"{one.fault} {one.reason}" for one in differences},
        refused={
            "plan": {one.reason for one in actions if one.verb is Verb.REFUSE},
            "run": {one.message for one in failures},
            "journal": {one.message or "" for one in failed},
        },
    )


def test_each_row_is_tested() -> None:
    """The table has no row that nobody holds it to, and none that is tested has left it."""
    assert [what for what, _, _ in rows()] == list(EDITS)


@pytest.mark.parametrize(
    ("what", "without", "follows"), [pytest.param(*row, id=row[0]) for row in rows() if EDITS.get(row[0])]
)
async def test_a_row(world: World, what: str, without: str, follows: str) -> None:
    """Plan, run, journal and verify say what the row says, and its option makes the account what the manifest wants."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *PROGRAMME)
    await world.session.provision(manifest, settle_s=0.2).results()
    edit = EDITS[what]
    assert edit is not None
    write_manifest(manifest, *edit(copy.deepcopy(PROGRAMME)))
    found = await said(world, manifest)
    for words in WORDS.findall(without):
        assert words in found.words or words in {"verify", "plan", "plan --refresh", "apply", "status"}, (words, found)
    if "gone from the manifest" in without:
        assert all("gone from the manifest" in said for said in (found.plan, found.run, found.journal))
    else:
        assert "gone from the manifest" not in found.words
    if "`extra`" in without:
        assert {"extra gone from the manifest"} == found.verify
    if any(code in without for code in REFUSED):
        assert found.refused["plan"] == found.refused["run"] == found.refused["journal"] != set()
        phrase = next(words for words in WORDS.findall(without) if " " in words)
        if "`verify` cannot" not in without:
            assert any(phrase in one for one in found.verify), found
    elif "extra" not in without:
        assert not found.verify
    option = OPTION.search(follows)
    if option is not None:
        changes: Any = {option[1]: True}
        actions: list[Any] = []
        await world.session.plan(manifest, on_action=actions.append, **changes)
        announced = {f"{one.verb}" for one in actions} | {item for one in actions for item in one.items}
        verbs = set(WORDS.findall(follows)) & {*(verb.value for verb in Verb), "archived"}
        assert verbs <= announced
        outcomes = await world.session.provision(manifest, settle_s=0.2, **changes).results()
        assert all(one.status.satisfied for one in outcomes)
        assert (await world.session.verify(manifest)).differences == 0


async def test_another_name_of_the_file(world: World) -> None:
    """Beside the new name there is no journal: all is adopted; with the old journal nothing is to be done."""
    manifest, renamed = Path("m.jsonl"), Path("n.jsonl")
    write_manifest(manifest, *PROGRAMME)
    write_manifest(renamed, *PROGRAMME)
    await world.session.provision(manifest, settle_s=0.2).results()
    forecast = await world.session.plan(renamed)
    assert forecast.count(Verb.ADOPT) == len([one for one in PROGRAMME if one["kind"] != "organisation_user"])
    assert not (await world.session.plan(renamed, journal="m.jsonl.journal")).changes


async def test_the_account_was_changed(world: World) -> None:
    """What is done is not looked at again by plan and run, and verify says what is missing, extra and different."""
    manifest = Path("m.jsonl")
    write_manifest(manifest, *PROGRAMME)
    await world.session.provision(manifest, settle_s=0.2).results()
    cats = next(one for one in world.emulator.state()["projects"] if one["title"] == "Cats")
    project = world.session.project(cats["project_hash"])
    await project.remove_users(["ann@x.org", "bob@x.org"])
    await project.add_users(["bob@x.org"], role=ProjectUserRole.ANNOTATOR)
    await project.add_users(["eve@x.org"], role=ProjectUserRole.ANNOTATOR)
    assert not (await world.session.plan(manifest)).changes
    differences: list[Any] = []
    await world.session.verify(manifest, on_difference=differences.append)
    assert {(one.fault.value, one.item) for one in differences} == {
        ("missing", "ann@x.org"),
        ("different", "bob@x.org"),
        ("extra", "eve@x.org"),
    }
