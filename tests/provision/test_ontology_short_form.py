"""The short form of an ontology's structure becomes the editor's document, and the same one for everybody."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.kinds.ontology import OntologyEntry
from encord_async.kinds.ontology_short_form import expanded, is_short
from encord_async.manifest.files import read_manifest
from encord_async.manifest.place import PlacedEntry, Problem

SHORT: dict[str, Any] = {
    "objects": [
        {
            "name": "Car",
            "shape": "bounding_box",
            "attributes": {
                "Colour": ["Dark Red", {"Other": {"Which": "text"}}],
                "Damage": {"checklist": ["Dent"], "required": True, "dynamic": True},
            },
        },
        {"name": "Car", "shape": "polygon", "color": "#00ff00", "required": True},
    ],
    "classifications": {"Scene": ["Day"], "Speed": {"type": "numeric", "required": True}},
}


def attribute(number: str, name: str, kind: str, made: str, **more: Any) -> dict[str, Any]:
    """An attribute as the editor has it."""
    said = {"id": number, "name": name, "type": kind, "featureNodeHash": made, "archived": False}
    return said | {"required": False, "dynamic": False} | more


def option(number: str, label: str, value: str, made: str, **more: Any) -> dict[str, Any]:
    """An option as the editor has it."""
    return {"id": number, "label": label, "value": value, "featureNodeHash": made, "archived": False} | more


DOCUMENT: dict[str, Any] = {
    "objects": [
        {
            "id": "1",
            "name": "Car",
            "color": "#D33115",
            "shape": "bounding_box",
            "featureNodeHash": "c20a5e4e",
            "required": False,
            "archived": False,
            "attributes": [
                attribute(
                    "1.1",
                    "Colour",
                    "radio",
                    "SziYniOw",
                    options=[
                        option("1.1.1", "Dark Red", "dark_red", "wGB3YGAp"),
                        option(
                            "1.1.2",
                            "Other",
                            "other",
                            "aFgtUvNq",
                            options=[attribute("1.1.2.1", "Which", "text", "facwAzAL")],
                        ),
                    ],
                ),
                attribute(
                    "1.2",
                    "Damage",
                    "checklist",
                    "FyYBOn7q",
                    required=True,
                    dynamic=True,
                    options=[option("1.2.1", "Dent", "dent", "V0MVB6bo")],
                ),
            ],
        },
        {
            "id": "2",
            "name": "Car",
            "color": "#00ff00",
            "shape": "polygon",
            "featureNodeHash": "e776ed08",
            "required": True,
            "archived": False,
        },
    ],
    "classifications": [
        {
            "id": "1",
            "featureNodeHash": "8c3c6664",
            "attributes": [
                attribute("1.1", "Scene", "radio", "SajWoaK7", options=[option("1.1.1", "Day", "day", "QnfKfHH8")])
            ],
        },
        {
            "id": "2",
            "featureNodeHash": "4257aaf9",
            "attributes": [attribute("2.1", "Speed", "numeric", "7TqdnDpZ", required=True)],
        },
    ],
}


def test_the_document() -> None:
    """Each part has its place in the document; a release that gave other hashes would find no ontology again."""
    assert OntologyEntry(title="O", structure=SHORT).structure == DOCUMENT


def test_in_a_file_of_its_own(tmp_path: Path) -> None:
    """A file beside the manifest may have the short form too, and is the same."""
    (tmp_path / "o.json").write_text(json.dumps(SHORT))
    (tmp_path / "m.yaml").write_text("- {kind: ontology, title: O, structure_file: o.json}\n")
    (placed,) = read_manifest(tmp_path / "m.yaml")
    assert isinstance(placed, PlacedEntry)
    assert isinstance(placed.entry, OntologyEntry)
    assert placed.entry.structure == DOCUMENT


# ---------------------------------------------------------------------- properties

names = st.text("abcXYZ 1.", min_size=1, max_size=4).map(str.strip).filter(bool)


def specs(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What may be said of an attribute, whose options have *inner* as attributes of theirs."""
    labels = st.lists(names, min_size=1, max_size=3, unique_by=lambda label: label.lower().replace(" ", "_"))
    with_inner = st.builds(lambda some, more: [*some[:-1], {some[-1]: more}], labels, inner)
    checklist = st.builds(lambda some, required: {"checklist": some, "required": required}, labels, st.booleans())
    return st.one_of(labels, with_inner, checklist, st.sampled_from(["text", "numeric", {"type": "text"}]))


attributes = st.recursive(
    st.dictionaries(names, st.just("text"), max_size=2),
    lambda inner: st.dictionaries(names, specs(inner), max_size=2),
    max_leaves=6,
)
objects = st.lists(
    st.fixed_dictionaries({"name": names, "shape": st.sampled_from(["polygon", "point"]), "attributes": attributes}),
    max_size=4,
    unique_by=lambda one: (one["name"], one["shape"]),
)
classifications = st.dictionaries(names, specs(attributes), max_size=3)
shorts = st.fixed_dictionaries({"objects": objects, "classifications": classifications})


def nodes(part: Any) -> Iterator[dict[str, Any]]:
    """All that has a hash in a document."""
    for one in part:
        yield one
        yield from nodes([*one.get("attributes", ()), *one.get("options", ())])


def hashes(document: dict[str, Any]) -> list[str]:
    """All hashes of a document."""
    return [one["featureNodeHash"] for part in document.values() for one in nodes(part)]


@given(shorts)
def test_what_all_documents_have(short: dict[str, Any]) -> None:
    """Hashes of eight characters, each once, of the SDK's two sorts; identifiers count where things stand."""
    document = expanded(short)
    assert len(set(hashes(document))) == len(hashes(document))
    for part in document.values():
        for number, top in enumerate(part, 1):
            assert len(bytes.fromhex(top["featureNodeHash"])) == 4
            assert top["id"] == str(number)
            for one in nodes([*top.get("attributes", ())]):
                assert len(base64.b64decode(one["featureNodeHash"], validate=True)) == 6
                for count, inner in enumerate([*one.get("options", ())], 1):
                    assert inner["id"] == f"{one['id']}.{count}"


@given(shorts)
def test_the_document_is_a_structure_itself(short: dict[str, Any]) -> None:
    """What an export gives back, or `expand`, is taken as it is."""
    document = expanded(short)
    assert not is_short(document)
    assert OntologyEntry(title="O", structure=document).structure == document


@given(shorts, st.randoms(use_true_random=False))
def test_hashes_hang_on_the_path_alone(short: dict[str, Any], chance: Any) -> None:
    """Another order, and something new beside it, leaves to everything its hash."""
    new = {"name": "New", "shape": "circle"}
    other = {"objects": [*short["objects"], new], "classifications": {"New": "text", **short["classifications"]}}
    chance.shuffle(other["objects"])
    assert set(hashes(expanded(short))) < set(hashes(expanded(other)))


def test_two_paths_of_one_hash() -> None:
    """Paths that come to the same hash get two all the same (these two do; they were looked for)."""
    one, two = "S169819", "S182623"
    alone = [hashes(expanded({"classifications": {name: "text"}}))[0] for name in (one, two)]
    assert alone == ["e41f8446"] * 2
    together = hashes(expanded({"classifications": {one: "text", two: "text"}}))
    assert together[0] == "e41f8446"
    assert len(set(together)) == 4


# ---------------------------------------------------------------------- what is wrong


def car(**attributes: Any) -> dict[str, Any]:
    """A structure with a car."""
    return {"objects": [{"name": "Car", "shape": "polygon", "attributes": attributes}]}


def deep(levels: int) -> Any:
    """Attributes within options, so many levels."""
    return "text" if levels == 0 else [{"Yes": {"Deeper": deep(levels - 1)}}]


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        ({"objects": [{"name": "Car"}]}, "the object 'Car' has no shape; use one of bounding_box, "),
        (
            {"objects": [{"name": "Car", "shape": "polgon"}]},
            "the object 'Car' has the shape 'polgon', which is none; did you mean 'polygon'?",
        ),
        ({"objects": [{"name": "Hand", "shape": "skeleton"}]}, "the object 'Hand' is a skeleton, which needs a templ"),
        ({"objects": [{"name": 1, "shape": "point"}]}, "the name of objects.0 must be text, not a number"),
        ({"objects": [{"name": " ", "shape": "point"}]}, "the name of objects.0 must not be empty"),
        (
            {"objects": [{"name": "Car", "shape": "point"}] * 2},
            "the object 'Car' is there twice with the shape point; give one of them another name",
        ),
        (
            {"objects": [{"name": "Car", "shape": "point", "colour": "red"}]},
            "'colour' is not a part of the object 'Car'; did you mean 'color'?",
        ),
        (
            {"objects": [{"name": "Car", "shape": "point", "color": "red"}]},
            "the color of the object 'Car' is 'red'; write it as #D33115",
        ),
        (
            {"objects": [{"name": "Car", "shape": "point", "required": "yes"}]},
            "'required' of the object 'Car' must be true or false, not text",
        ),
        ({"objects": ["Car"], "classifications": {}}, "objects.0 must be an object with name and shape, not text"),
        (
            {"objects": [{"name": "Car", "shape": "point"}, {"id": "2", "name": "Van"}]},
            "objects.1 has identifiers, and others are in the short form; write all in one form",
        ),
        (
            {"objects": [{"name": "Car", "shape": "point"}], "classifications": [{"id": "1"}]},
            "'classifications' is a list, and 'objects' are in the short form; write all in one form",
        ),
        ({"objects": {}, "classifications": {}}, "'objects' in it must be a list, not an object"),
        ({"classifications": {}, "skeleton_templates": []}, "'skeleton_templates' is not a part of the short form"),
        (
            {"objects": [{"name": "Car", "shape": "point", "attributes": ["Red"]}]},
            "the attributes of the object 'Car' must be an object of names, not a list",
        ),
        (car(Colour=None), "the attribute 'Colour' of the object 'Car' is null; write [options], {checklist: [opti"),
        (car(Colour=[]), "the options of the attribute 'Colour' of the object 'Car' must be a list with one at least"),
        (
            car(Colour=["Red", "red"]),
            "the attribute 'Colour' of the object 'Car' has the option 'red' twice; see 'Red'",
        ),
        (
            car(Lit=[True]),
            "the attribute 'Lit' of the object 'Car' has the option true, which is no text; put it in quotes",
        ),
        (car(Lit=[None]), "an option of the attribute 'Lit' of the object 'Car' is missing"),
        (
            car(Lit=[{"a": {}, "b": {}}]),
            "the attribute 'Lit' of the object 'Car' has an option of several names; write {Label: {Attribute: ...}}",
        ),
        (
            car(Lit={"checklist": [{"a": {"b": "text"}}]}),
            "the option 'a' of the attribute 'Lit' of the object 'Car' has attributes; only an option of which one",
        ),
        (
            car(Lit={"checklst": ["a"]}),
            "'checklst' is not a part of the attribute 'Lit' of the object 'Car'; did you mean 'checklist'?",
        ),
        (
            car(Lit={"checklist": ["a"], "radio": ["a"]}),
            "the attribute 'Lit' of the object 'Car' must have one of radio, checklist and type; write [options]",
        ),
        (car(Lit={"type": "radio"}), "the type of the attribute 'Lit' of the object 'Car' must be text or numeric"),
        (car(**{"Lit": "text", "Lit ": "text"}), "the object 'Car' has two of one name among its attributes"),
        (
            {"classifications": {"Lit": {"radio": ["a"], "dynamic": True}}},
            "'dynamic' is not a part of the classification 'Lit'; it has radio, checklist, type, required",
        ),
        ({"classifications": {"Lit": deep(8)}}, "the attribute 'Deeper' of the option 'Yes' of the attribute"),
        ({"objects": [{"name": "Car", "shape": "point", "attributes": {"\ud800": "text"}}]}, "cannot be written as"),
    ],
)
def test_what_is_wrong(structure: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The message names the line, the object, the attribute and the option, and what to do."""
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"kind": "ontology", "title": "O", "structure": structure}) + "\n")
    (problem,) = read_manifest(path)
    assert isinstance(problem, Problem)
    assert str(problem).removeprefix(f"{tmp_path}/").startswith(f"m.jsonl:1: structure: {said}")


def test_as_deep_as_it_may_be() -> None:
    """Attributes may lie in options of attributes, seven times."""
    OntologyEntry(title="O", structure={"classifications": {"Lit": deep(7)}})
